"""The chart on a real API server: installed, its rights as they are granted, upgraded, removed, installed again.

The operator's image is a stand-in that answers its probes, so what runs in the pods is not what is shown here; that
they start under the `restricted` level, as user 65532 on a read-only root, is.
"""

import json
import re
import shutil
import subprocess

import cluster_harness as harness
from cluster_harness import ClusterCase, apply, cluster, kubectl, try_kubectl

CHART = harness.SOURCE / "helm/muster"
DEFINITION = "trainingjobs.muster.dev"
IMAGE = "muster.local/operator-stand-in:v1"
ACCOUNT = "system:serviceaccount:{}:muster"
JOB = {"apiVersion": "muster.dev/v1alpha1", "kind": "TrainingJob", "metadata": {"name": "first"},
       "spec": {"workers": {"replicas": 2}, "program": {"builtin": "bench"}, "training": {"steps": 10, "slots": 16}}}
# What every authenticated account may do.
EVERYBODYS = ("selfsubject", "/", "clustertrustbundles")


def helm(*arguments, check=True):
    tools = subprocess.run([str(harness.SOURCE / "hack/lib/chart/tools.sh")], text=True, stdout=subprocess.PIPE, check=True)
    done = subprocess.run([tools.stdout.strip() + "/helm", harness.kubectl_program()[1], *map(str, arguments)],
                          text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=120, check=False)
    if check and done.returncode != 0:
        raise AssertionError(f"helm {' '.join(map(str, arguments))}: {done.stdout}")
    return done.stdout


def granted(account, namespace):
    """{"resource.group[name]": verbs} that the API server says, without what everybody has."""
    out = {}
    for line in kubectl("auth", "can-i", "--list", "--no-headers", f"--as={account}", "-n", namespace).splitlines():
        resource = line.split()[0]
        if resource.startswith("[") or resource.startswith(EVERYBODYS):
            continue
        names, verbs = re.findall(r"\[(.*?)\]", line)[1:]
        key = resource + (f"[{names}]" if names else "")
        out.setdefault(key, set()).update(verbs.split())
    return out


class ChartCase(ClusterCase):

    def setUp(self):
        super().setUp()
        self.load_stand_in()
        # Others may have left the definition, with no release as its owner.
        kubectl("delete", "customresourcedefinition", DEFINITION, "--ignore-not-found")
        self.space = self.namespace({"pod-security.kubernetes.io/enforce": "restricted"})
        self.jobs = self.namespace()
        self.addCleanup(kubectl, "delete", "customresourcedefinition", DEFINITION, "--ignore-not-found")
        self.addCleanup(helm, "uninstall", "muster", "-n", self.space, "--ignore-not-found")

    def load_stand_in(self):
        """Files that a web server gives out as /healthz and /readyz."""
        root = self.folder / "stand-in"
        (root / "bin").mkdir(parents=True)
        (root / "www").mkdir()
        root.chmod(0o755)
        busybox = shutil.which("busybox")
        self.assertIsNotNone(busybox, "busybox is not installed: hack/cluster build installs busybox-static")
        shutil.copy(busybox, root / "bin/busybox")
        for name in ("healthz", "readyz"):
            (root / "www" / name).write_text("ok\n")
        archive = self.folder / "stand-in.tar"
        # The chart's arguments follow the script and are not read.
        cluster("image", IMAGE, root, archive, "/bin/busybox", "sh", "-c",
                "exec /bin/busybox httpd -f -p 8080 -h /www")
        cluster("load", archive)

    def helm(self, verb, *arguments, chart=CHART, release="muster", check=True):
        repository, _, tag = IMAGE.rpartition(":")
        return helm(verb, release, chart, "-n", self.space, "--set", f"image.repository={repository},image.tag={tag}",
                    *arguments, check=check)

    def job_exists(self):
        return try_kubectl("get", "trainingjob", "first", "-n", self.jobs).returncode == 0


class InstallTest(ChartCase):

    def test_it_runs_restricted_and_is_used_at_once(self):
        said = self.helm("install", "--wait", "--timeout", "60s")
        self.assertIn(f"kubectl -n {self.space} rollout status deployment/muster", said)
        self.assertNotIn("WARNING", said)
        pods = json.loads(kubectl("get", "pods", "-n", self.space, "-o", "json"))["items"]
        self.assertEqual(len(pods), 2)
        self.assertEqual(len({pod["spec"]["nodeName"] for pod in pods}), 2, "both pods are on one node")
        slices = json.loads(kubectl("get", "endpointslices", "-l", "kubernetes.io/service-name=muster-membership",
                                    "-n", self.space, "-o", "json"))["items"]
        self.assertEqual(sum(len(each["endpoints"]) for each in slices), 2)
        # NOTES' own job, as a person would paste it.
        manifest = said.split("<<'EOF'\n")[1].split("    EOF")[0]
        kubectl("apply", "--dry-run=server", "-f", "-", stdin=manifest)

    def test_install_yaml_comes_and_goes_and_leaves_jobs(self):
        text = (harness.SOURCE / "helm/install.yaml").read_text().replace("muster-system", self.space)
        kubectl("apply", "--server-side", "-f", "-", stdin=text)
        kubectl("wait", "--for=condition=Established", f"crd/{DEFINITION}", "--timeout=30s")
        apply({**JOB, "metadata": {"name": "first", "namespace": self.jobs}})
        kubectl("delete", "-f", "-", "-l", "app.kubernetes.io/name=muster", stdin=text)
        self.assertTrue(self.job_exists())
        self.assertEqual(try_kubectl("get", "deployment", "muster", "-n", self.space).returncode, 1)
        self.assertEqual(try_kubectl("get", "clusterrole", "muster-operator").returncode, 1)

    def test_helm_takes_over_what_kubectl_installed(self):
        text = (harness.SOURCE / "helm/install.yaml").read_text().replace("muster-system", self.space)
        kubectl("apply", "--server-side", "-f", "-", stdin=text)
        uid = kubectl("get", "deployment", "muster", "-n", self.space, "-o", "jsonpath={.metadata.uid}")
        self.assertIn("invalid ownership metadata", self.helm("install", check=False))
        self.helm("install", "--take-ownership", "--wait", "--timeout", "60s")
        self.assertEqual(kubectl("get", "deployment", "muster", "-n", self.space, "-o", "jsonpath={.metadata.uid}"), uid)


class RightsTest(ChartCase):
    APPLIED = {"create", "patch"}
    READ = {"get", "list", "watch"}

    def test_in_all_namespaces(self):
        self.helm("install")
        account = ACCOUNT.format(self.space)
        everywhere = {"trainingjobs.muster.dev": self.READ | {"delete"}, "trainingjobs.muster.dev/status": {"patch"},
                      "trainingjobs.muster.dev/finalizers": {"update"}, "pods": {"create", "list", "watch", "delete"},
                      "configmaps": self.APPLIED, "services": self.APPLIED,
                      "poddisruptionbudgets.policy": self.APPLIED | {"delete"},
                      "networkpolicies.networking.k8s.io": self.APPLIED, "events.events.k8s.io": {"create"},
                      "nodes": {"list", "watch"}, "tokenreviews.authentication.k8s.io": {"create"}}
        self.assertEqual(granted(account, self.jobs), everywhere)
        self.assertEqual(granted(account, self.space), {
            **everywhere, "leases.coordination.k8s.io": {"create"},
            "leases.coordination.k8s.io[muster-operator]": {"get", "update"},
            "secrets": {"create"}, "secrets[muster-ca]": {"get", "update"}})

    def test_creating_and_patching_is_enough_to_apply(self):
        self.helm("install")
        account = ACCOUNT.format(self.space)
        for value in ("1", "2"):
            made = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "first-ca", "namespace": self.jobs},
                    "data": {"key": value}}
            kubectl("apply", "--server-side", "--field-manager=muster", f"--as={account}", "-f", "-",
                    stdin=json.dumps(made))
        seen = try_kubectl("get", "configmap", "first-ca", "-n", self.jobs, f"--as={account}")
        self.assertIn("Forbidden", seen.stdout)

    def test_in_named_namespaces(self):
        self.helm("install", "--set", f"watchNamespaces={{{self.jobs}}}")
        account = ACCOUNT.format(self.space)
        self.assertEqual(granted(account, "default"),
                         {"nodes": {"list", "watch"}, "tokenreviews.authentication.k8s.io": {"create"}})
        self.assertIn("trainingjobs.muster.dev", granted(account, self.jobs))
        self.assertEqual({name for name in granted(account, self.space) if "muster.dev" in name or name == "pods"}, set())

    def test_of_people(self):
        self.helm("install")
        for role, verbs, scales in (("view", self.READ, {"get"}),
                                    ("edit", self.READ | {"create", "update", "patch", "delete", "deletecollection"},
                                     {"get", "update", "patch"})):
            kubectl("create", "rolebinding", role, f"--clusterrole={role}", f"--user={role}er", "-n", self.jobs)
            has = {}
            harness.wait_until(lambda has=has, role=role: has.update(granted(f"{role}er", self.jobs)) or
                               "trainingjobs.muster.dev" in has, 20, f"{role} is aggregated")
            self.assertEqual(has["trainingjobs.muster.dev"], verbs)
            self.assertEqual(has["trainingjobs.muster.dev/scale"], scales)
            self.assertEqual(has["trainingjobs.muster.dev/status"], {"get"})


class LifeTest(ChartCase):

    def later(self):
        """The chart of a later version, whose definition has one more column."""
        chart = self.folder / "later"
        shutil.copytree(CHART, chart)
        file = chart / "files/crds/muster.dev_trainingjobs.yaml"
        text = file.read_text()
        column = '    - name: "Wanted"\n      type: "integer"\n      jsonPath: ".spec.workers.replicas"\n'
        self.assertIn("    additionalPrinterColumns:\n", text)
        file.write_text(text.replace("    additionalPrinterColumns:\n", "    additionalPrinterColumns:\n" + column))
        return chart

    def test_upgrade_changes_the_definition_and_removal_keeps_it(self):
        self.helm("install")
        kubectl("wait", "--for=condition=Established", f"crd/{DEFINITION}", "--timeout=30s")
        apply({**JOB, "metadata": {"name": "first", "namespace": self.jobs}})
        uid = kubectl("get", "trainingjob", "first", "-n", self.jobs, "-o", "jsonpath={.metadata.uid}")
        self.helm("upgrade", "--reset-then-reuse-values", chart=self.later())
        harness.wait_until(lambda: "WANTED" in try_kubectl("get", "tj", "-n", self.jobs).stdout, 20, "the new column")
        self.assertIn("were kept due to the resource policy", helm("uninstall", "muster", "-n", self.space))
        self.assertEqual(kubectl("get", "trainingjob", "first", "-n", self.jobs, "-o", "jsonpath={.metadata.uid}"), uid)
        left = kubectl("get", "deployment,service,rolebinding,poddisruptionbudget", "-n", self.space, "-o", "name").split()
        self.assertEqual(left, [])
        self.assertIn("invalid ownership metadata", self.helm("install", release="other", check=False))
        self.helm("install")  # under the old name the definition is taken over, back to what this version has
        harness.wait_until(lambda: "WANTED" not in try_kubectl("get", "tj", "-n", self.jobs).stdout, 20, "no column")
        self.assertTrue(self.job_exists())
        helm("uninstall", "muster", "-n", self.space)
        self.addCleanup(helm, "uninstall", "other", "-n", self.space, "--ignore-not-found")
        self.helm("install", "--take-ownership", release="other")
        self.assertTrue(self.job_exists())

    def test_without_keep_removal_deletes_jobs_as_the_notes_warn(self):
        self.assertIn("deletes the definition", self.helm("install", "--set", "crds.keep=false"))
        kubectl("wait", "--for=condition=Established", f"crd/{DEFINITION}", "--timeout=30s")
        apply({**JOB, "metadata": {"name": "first", "namespace": self.jobs}})
        helm("uninstall", "muster", "-n", self.space, "--wait")
        harness.wait_until(lambda: not self.job_exists(), 20, "the job is gone")


if __name__ == "__main__":
    harness.main()
