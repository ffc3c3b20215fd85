#!/usr/bin/env python3
"""What the chart renders: accepted by Kubernetes' own schemas, restricted, each value on and off. `hack/dev chart`."""

import functools
import json
import unittest

import chart
import yaml
from chart import NAMESPACE, render

DEPLOYMENT = ("Deployment", "muster")
OPERATOR_ROLE = "muster-operator"

def pod(rendered, name="muster"):
    return rendered["Deployment", name]["spec"]["template"]["spec"]


def flags(rendered):
    args = pod(rendered)["containers"][0]["args"]
    assert args[0] == "operator", args
    return dict(arg.removeprefix("--").split("=", 1) for arg in args[1:])


def verbs(rules):
    """{"group/resource[name]": verbs}."""
    out = {}
    for rule in rules:
        for group in rule["apiGroups"]:
            for resource in rule["resources"]:
                for name in rule.get("resourceNames", [""]):
                    key = f"{group}/{resource}" + (f"[{name}]" if name else "")
                    out.setdefault(key, set()).update(rule["verbs"])
    return out


@functools.cache
def rendered_files():
    return [(file, render(file)) for file in chart.VALUES]


class EveryFileTest(unittest.TestCase):
    """On each of tests/chart/values."""

    def setUp(self):
        self.assertGreater(len(chart.VALUES), 4)

    def test_lint_finds_nothing(self):
        for file, _ in rendered_files():
            done = chart.run("helm", "lint", "--strict", "--values", file, "--namespace", NAMESPACE, chart.CHART)
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def test_every_object_has_the_schema_of_its_kind(self):
        schemas = chart.tools() / "schemas/{{.ResourceKind}}{{.KindSuffix}}.json"
        for file, rendered in rendered_files():
            done = chart.run("kubeconform", "-strict", "-output", "json", "-schema-location", schemas, "-summary", "-",
                             text=chart.template(file))
            answer = json.loads(done.stdout)
            self.assertEqual(done.returncode, 0, answer.get("resources"))
            self.assertEqual((answer["summary"]["valid"], answer["summary"]["skipped"]), (len(rendered), 0))

    def test_selectors_find_the_pods(self):
        for _, rendered in rendered_files():
            deployment = next(thing for (kind, _), thing in rendered.items() if kind == "Deployment")
            labels = deployment["spec"]["template"]["metadata"]["labels"].items()
            for (kind, name), thing in rendered.items():
                if kind in ("Service", "Deployment", "PodDisruptionBudget", "NetworkPolicy"):
                    spec = thing["spec"]
                    selector = spec.get("podSelector", spec.get("selector"))
                    selector = selector.get("matchLabels", selector)
                    self.assertTrue(selector.items() and selector.items() <= labels, (kind, name))

    def test_ports_that_are_named_exist(self):
        for _, rendered in rendered_files():
            spec = next(thing for (kind, _), thing in rendered.items() if kind == "Deployment")["spec"]["template"]["spec"]
            ports = {port["name"] for port in spec["containers"][0]["ports"]}
            for (kind, name), thing in rendered.items():
                if kind == "Service":
                    self.assertLessEqual({port["targetPort"] for port in thing["spec"]["ports"]}, ports, name)
                if kind == "NetworkPolicy":
                    self.assertLessEqual({rule["ports"][0]["port"] for rule in thing["spec"]["ingress"]}, ports)

    def test_names_fit_and_namespaces_are_said(self):
        cluster_wide = {"CustomResourceDefinition", "ClusterRole", "ClusterRoleBinding"}
        for file, rendered in rendered_files():
            allowed = {NAMESPACE, *(yaml.safe_load(file.read_text()).get("watchNamespaces") or [])}
            for (kind, name), thing in rendered.items():
                self.assertLessEqual(len(thing["metadata"]["name"]), 253 if kind.startswith("ClusterRole") else 63, name)
                namespace = thing["metadata"].get("namespace")
                self.assertIn(namespace, {None} if kind in cluster_wide else allowed, (kind, name))

    def test_pods_are_restricted(self):
        """The Pod Security Standard's restricted level, and a root that nobody can write."""
        for _, rendered in rendered_files():
            spec = next(thing for (kind, _), thing in rendered.items() if kind == "Deployment")["spec"]["template"]["spec"]
            self.assertEqual(spec["securityContext"], {"runAsNonRoot": True, "runAsUser": 65532, "runAsGroup": 65532,
                                                       "seccompProfile": {"type": "RuntimeDefault"}})
            self.assertFalse({"hostNetwork", "hostPID", "hostIPC", "volumes", "initContainers"} & set(spec))
            for container in spec["containers"]:
                self.assertEqual(container["securityContext"], {"allowPrivilegeEscalation": False,
                                                                "readOnlyRootFilesystem": True,
                                                                "capabilities": {"drop": ["ALL"]}})
                self.assertFalse(any("hostPort" in port for port in container["ports"]))

    def test_no_role_asks_for_everything(self):
        for _, rendered in rendered_files():
            for (kind, name), thing in rendered.items():
                if not kind.endswith("Role"):
                    continue
                for resource, allowed in verbs(thing["rules"]).items():
                    self.assertNotIn("*", resource + "".join(allowed), name)
                    self.assertNotRegex(resource, r"pods/|serviceaccounts|roles|bindings", name)
                    if "secrets" in resource:
                        self.assertEqual((kind, thing["metadata"]["namespace"]), ("Role", NAMESPACE))
                        self.assertTrue(resource.endswith("[muster-ca]") or allowed == {"create"}, (resource, allowed))

    def test_bindings_bind_what_is_there(self):
        for _, rendered in rendered_files():
            account = next(thing for (kind, _), thing in rendered.items()
                           if kind == "Deployment")["spec"]["template"]["spec"]["serviceAccountName"]
            for (kind, name), thing in rendered.items():
                if kind.endswith("Binding"):
                    self.assertIn((thing["roleRef"]["kind"], name), rendered)
                    self.assertEqual(thing["subjects"],
                                     [{"kind": "ServiceAccount", "name": account, "namespace": NAMESPACE}])


class RightsTest(unittest.TestCase):
    JOBS = {"muster.dev/trainingjobs": {"get", "list", "watch", "delete"}, "muster.dev/trainingjobs/status": {"patch"},
            "muster.dev/trainingjobs/finalizers": {"update"}, "/pods": {"create", "list", "watch", "delete"},
            "/configmaps": {"create", "patch"}, "/services": {"create", "patch"},
            "networking.k8s.io/networkpolicies": {"create", "patch"},
            "policy/poddisruptionbudgets": {"create", "patch", "delete"}, "events.k8s.io/events": {"create"}}
    CLUSTER = {"/nodes": {"list", "watch"}, "authentication.k8s.io/tokenreviews": {"create"}}
    OWN = {"coordination.k8s.io/leases": {"create"}, "coordination.k8s.io/leases[muster-operator]": {"get", "update"},
           "/secrets": {"create"}, "/secrets[muster-ca]": {"get", "update"}}

    def test_in_all_namespaces(self):
        rendered = render({})
        self.assertEqual(verbs(rendered["ClusterRole", OPERATOR_ROLE]["rules"]), {**self.JOBS, **self.CLUSTER})
        self.assertEqual(verbs(rendered["Role", f"{OPERATOR_ROLE}-own"]["rules"]), self.OWN)
        self.assertEqual([name for kind, name in rendered if kind == "Role"], [f"{OPERATOR_ROLE}-own"])

    def test_in_named_namespaces(self):
        rendered = render({"watchNamespaces": ["team-a", NAMESPACE]})
        self.assertEqual(verbs(rendered["ClusterRole", OPERATOR_ROLE]["rules"]), self.CLUSTER)
        for name in (f"team-a/{OPERATOR_ROLE}", OPERATOR_ROLE):
            self.assertEqual(verbs(rendered["Role", name]["rules"]), self.JOBS)
            self.assertIn(("RoleBinding", name), rendered)
        self.assertEqual(verbs(rendered["Role", f"{OPERATOR_ROLE}-own"]["rules"]), self.OWN)
        self.assertEqual(flags(rendered)["watch-namespaces"], f"team-a,{NAMESPACE}")

    def test_for_people(self):
        rendered = render({})
        view = rendered["ClusterRole", "muster-trainingjobs-view"]
        edit = rendered["ClusterRole", "muster-trainingjobs-edit"]
        self.assertEqual(view["metadata"]["labels"]["rbac.authorization.k8s.io/aggregate-to-view"], "true")
        self.assertEqual(edit["metadata"]["labels"]["rbac.authorization.k8s.io/aggregate-to-edit"], "true")
        self.assertNotIn("create", str(verbs(view["rules"])))
        # Nobody but the operator writes status.
        self.assertNotIn("muster.dev/trainingjobs/status", verbs(edit["rules"]))


class ToggleTest(unittest.TestCase):
    def kinds(self, values):
        return {key for key, _ in render(values).items()}

    def test_what_comes_by_default(self):
        self.assertEqual(sorted(render({})), sorted([
            ("CustomResourceDefinition", "trainingjobs.muster.dev"), ("ServiceAccount", "muster"),
            ("ClusterRole", "muster-operator"), ("ClusterRoleBinding", "muster-operator"),
            ("Role", "muster-operator-own"), ("RoleBinding", "muster-operator-own"),
            ("ClusterRole", "muster-trainingjobs-view"), ("ClusterRole", "muster-trainingjobs-edit"),
            ("Service", "muster-membership"), ("Service", "muster-metrics"), ("PodDisruptionBudget", "muster"),
            ("Deployment", "muster")]))

    def test_objects_that_come_and_go(self):
        rows = [({"crds": {"enabled": False}}, {("CustomResourceDefinition", "trainingjobs.muster.dev")}, set()),
                ({"rbac": {"aggregate": False}}, {("ClusterRole", "muster-trainingjobs-view"),
                                                  ("ClusterRole", "muster-trainingjobs-edit")}, set()),
                ({"rbac": {"create": False}}, {("ClusterRole", "muster-operator"), ("Role", "muster-operator-own"),
                                               ("ClusterRoleBinding", "muster-operator"),
                                               ("RoleBinding", "muster-operator-own")}, set()),
                ({"serviceAccount": {"create": False, "name": "mine"}}, {("ServiceAccount", "muster")}, set()),
                ({"metrics": {"service": {"enabled": False}}}, {("Service", "muster-metrics")}, set()),
                ({"metrics": {"serviceMonitor": {"enabled": True}}}, set(), {("ServiceMonitor", "muster")}),
                ({"networkPolicy": {"enabled": True}}, set(), {("NetworkPolicy", "muster")}),
                ({"podDisruptionBudget": {"enabled": False}}, {("PodDisruptionBudget", "muster")}, set()),
                ({"replicas": 1}, {("PodDisruptionBudget", "muster")}, set())]
        default = self.kinds({})
        for values, gone, come in rows:
            with self.subTest(values):
                found = self.kinds(values)
                self.assertEqual((default - found, found - default), (gone, come))

    def test_the_definition_is_kept_unless_it_is_not(self):
        key = ("CustomResourceDefinition", "trainingjobs.muster.dev")
        self.assertEqual(render({})[key]["metadata"]["annotations"], {"helm.sh/resource-policy": "keep"})
        self.assertNotIn("annotations", render({"crds": {"keep": False}})[key]["metadata"])

    def test_the_definition_is_that_of_the_project(self):
        for values in ({}, {"crds": {"keep": False}}):
            found = render(values)["CustomResourceDefinition", "trainingjobs.muster.dev"]
            project = yaml.safe_load((chart.ROOT / "crds/muster.dev_trainingjobs.yaml").read_text())
            self.assertEqual(found["spec"], project["spec"])
            self.assertEqual(found["metadata"]["name"], project["metadata"]["name"])

    def test_flags(self):
        self.assertEqual(flags(render({})), {
            "namespace": NAMESPACE, "membership-address": "0.0.0.0:7420", "advertise": f"muster-membership.{NAMESPACE}.svc:7420",
            "metrics-address": "0.0.0.0:8080", "worker-image": "muster/worker:0.1.0",
            "leader-elect-lease-duration": "5s", "leader-elect-renew-deadline": "3s", "leader-elect-retry-period": "1s",
            "log-format": "json"})

    def test_what_workers_dial_is_a_headless_service_of_all_pods(self):
        spec = render({})["Service", "muster-membership"]["spec"]
        self.assertEqual((spec["clusterIP"], spec["publishNotReadyAddresses"]), ("None", True))

    def test_the_monitor_finds_the_metrics_service_alone(self):
        rendered = render({"metrics": {"serviceMonitor": {"enabled": True}}})
        wanted = rendered["ServiceMonitor", "muster"]["spec"]["selector"]["matchLabels"].items()
        found = [name for (kind, name), thing in rendered.items()
                 if kind == "Service" and wanted <= thing["metadata"]["labels"].items()]
        self.assertEqual(found, ["muster-metrics"])

    def test_the_policy_lets_workers_and_scrapers_in(self):
        peers = [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}]
        closed = render({"networkPolicy": {"enabled": True}})["NetworkPolicy", "muster"]["spec"]["ingress"]
        self.assertEqual([rule["ports"][0]["port"] for rule in closed], ["membership"])
        self.assertEqual(closed[0]["from"][0]["namespaceSelector"], {})
        values = {"networkPolicy": {"enabled": True, "metricsFrom": peers}, "watchNamespaces": ["team-a"]}
        workers, scrapers = render(values)["NetworkPolicy", "muster"]["spec"]["ingress"]
        self.assertEqual(workers["from"][0]["namespaceSelector"]["matchExpressions"][0]["values"], ["team-a"])
        self.assertEqual((scrapers["ports"][0]["port"], scrapers["from"]), ("metrics", peers))

    def test_a_digest_counts_instead_of_a_tag(self):
        for image, read in (("image", lambda r: pod(r)["containers"][0]["image"]),
                            ("workerImage", lambda r: flags(r)["worker-image"])):
            digest = "sha256:" + "ef" * 32
            rendered = render({image: {"repository": "a/b", "tag": "v1", "digest": digest}})
            self.assertEqual(read(rendered), f"a/b@{digest}")
            self.assertEqual(read(render({image: {"repository": "a/b", "tag": "v1"}})), "a/b:v1")

    def test_labels_of_the_chart_win_in_pods(self):
        labels = render({"podLabels": {"app.kubernetes.io/component": "x", "team": "y"}})[DEPLOYMENT]
        labels = labels["spec"]["template"]["metadata"]["labels"]
        self.assertEqual((labels["app.kubernetes.io/component"], labels["team"]), ("operator", "y"))

    def test_a_pod_of_the_operator_is_no_worker(self):
        # The operator lists pods by managed-by=muster and component=worker.
        labels = render({})[DEPLOYMENT]["spec"]["template"]["metadata"]["labels"]
        self.assertNotIn("app.kubernetes.io/managed-by", labels)

    def test_names_follow_the_release(self):
        self.assertIn(("Deployment", "second-muster"), render({}, release="second"))
        self.assertIn(("Deployment", "my-muster"), render({}, release="my-muster"))


class InstallTest(unittest.TestCase):
    def test_it_has_the_objects_of_the_chart(self):
        installed = chart.objects((chart.ROOT / "helm/install.yaml").read_text())
        self.assertEqual(set(installed) - set(render({})), {("Namespace", NAMESPACE)})
        self.assertEqual(set(render({})) - set(installed), set())
        for key, thing in render({}).items():
            if key[0] != "CustomResourceDefinition":
                for label in ("helm.sh/chart", "app.kubernetes.io/managed-by"):
                    del thing["metadata"]["labels"][label]
                self.assertEqual(installed[key], thing)


if __name__ == "__main__":
    chart.main()
