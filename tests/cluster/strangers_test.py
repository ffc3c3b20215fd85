"""Who may not join the real operator's jobs, and what a worker may do: pods that pretend, rights, network policies."""

import base64
import json
import subprocess
import time

import training_harness as harness
from chart_test import CHART, helm
from cluster_harness import STATE, apply, cluster, kubectl, try_kubectl, wait_until
from training_harness import Job, TrainingCase, leader

REFUSED = 72
PORTS = {"membership": 7420, "metrics": 8080}  # of the operator's container, by name
TOKEN = "/var/run/secrets/muster.dev"


def encoded(data):
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def decoded(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def signed_again(token, **claims):
    """The token with other claims, by the key that the test cluster's API server signs with (ES256: RFC 7518, 3.4)."""
    header, old, _ = token.split(".")
    text = header + "." + encoded(json.dumps({**json.loads(decoded(old)), **claims}).encode())
    der = subprocess.run(["openssl", "dgst", "-sha256", "-sign", str(STATE / "pki/sa.key")], input=text.encode(),
                         stdout=subprocess.PIPE, check=True).stdout
    numbers, rest = b"", der[2:]  # a sequence of two integers
    while rest:
        length = rest[1]
        numbers += rest[2:2 + length].lstrip(b"\0").rjust(32, b"\0")
        rest = rest[2 + length:]
    return f"{text}.{encoded(numbers)}"


def projected(audience):
    return {"name": "muster-token", "projected": {"sources": [{"serviceAccountToken": {
        "audience": audience, "expirationSeconds": 3600, "path": "token"}}]}}


class JoinTest(TrainingCase):

    def setUp(self):
        super().setUp()
        self.job = Job(self, steps=1000)
        self.job.apply()
        self.job.wait_step(50)
        self.survivors = self.job.containers()
        self.template = self.job.pods()["0.0"]

    def pretend(self, name, volumes=(), env=()):
        """A pod like worker 0's, without its labels, with other volumes or variables of the same names."""
        spec = json.loads(json.dumps(self.template["spec"]))
        for key in ("nodeName", "serviceAccount", "serviceAccountName", "tolerations"):
            spec.pop(key, None)
        replaced = {each["name"]: each for each in volumes}
        spec["volumes"] = [replaced.get(each["name"], each) for each in spec["volumes"]]
        variables = dict(env)
        worker = spec["containers"][0]
        worker["env"] = [each for each in worker["env"] if each["name"] not in variables]
        worker["env"] += [{"name": key, "value": value} for key, value in variables.items() if value is not None]
        apply({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": self.space}, "spec": spec})

    def log(self, name):
        return try_kubectl("-n", self.space, "logs", name).stdout

    def wait_refused(self, name, *words):
        """Until it has ended as one that is refused, with a sentence that holds the words."""
        def ended():
            pod = json.loads(kubectl("-n", self.space, "get", "pod", name, "-o", "json"))
            return pod["status"].get("containerStatuses", [{}])[0].get("state", {}).get("terminated")
        wait_until(ended, 60, f"{name} has ended")
        self.assertEqual(ended()["exitCode"], REFUSED, self.log(name))
        for word in words:
            self.assertIn(word, self.log(name))
        self.tell(f"{name}: {json.loads(self.log(name).splitlines()[-1])['message']}")

    def wait_kept_out(self, name, word):
        """Until it says so of the leader's address; it goes on trying and is in no view."""
        lead = leader()
        address = next(each["status"]["podIP"] for each in harness.operator_pods() if each["metadata"]["name"] == lead)

        def lines():
            return [each for each in self.log(name).splitlines() if f"{address}:7420" in each and word in each]
        try:
            wait_until(lines, 30, f"{name} says '{word}' of {address}")
        except AssertionError as error:
            raise AssertionError(f"{error}; its log: {self.log(name)}") from error
        self.tell(f"{name}: {json.loads(lines()[0])['message'][:300]}")

    def assert_undisturbed(self):
        status = self.job.status()
        self.assertEqual([each["cause"] for each in status["rescales"]], ["FirstView"])
        self.assert_exact(self.job, self.survivors)

    def token_of(self, pod):
        return cluster("run", pod["spec"]["nodeName"], "cat", f"/var/lib/kubelet/pods/{pod['metadata']['uid']}"
                       "/volumes/kubernetes.io~projected/muster-token/token").strip()

    def test_a_pod_that_is_nobody_s_worker(self):
        """Its token is good, but no worker's: it may be one that the operator's cache does not show yet, so it is sent
        away to come again, and never let in."""
        self.pretend("nobody")
        self.wait_kept_out("nobody", "not known as a worker yet")
        self.assert_undisturbed()

    def test_the_token_of_another_member(self):
        apply({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "another", "namespace": self.space},
               "stringData": {"token": self.token_of(self.job.pods()["1.0"])}})
        self.pretend("another", [{"name": "muster-token", "secret": {"secretName": "another"}}])
        self.wait_refused("another", "1.0")
        self.assert_undisturbed()

    def test_a_token_for_somebody_else(self):
        self.pretend("other-audience", [projected("somebody-else")])
        self.wait_refused("other-audience", "does not accept the token")
        self.assert_undisturbed()

    def test_a_token_that_nobody_gave(self):
        parts = [encoded(each) for each in (b'{"alg":"RS256"}', b'{"aud":["muster"]}', b"no signature")]
        apply({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "made-up", "namespace": self.space},
               "stringData": {"token": ".".join(parts)}})
        self.pretend("made-up", [{"name": "muster-token", "secret": {"secretName": "made-up"}}])
        self.wait_refused("made-up", "does not accept the token")
        self.assert_undisturbed()

    def accepted(self, token):
        review = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview",
                  "spec": {"token": token, "audiences": ["muster"]}}
        answer = kubectl("create", "-f", "-", "-o", "json", stdin=json.dumps(review))
        return json.loads(answer)["status"].get("authenticated", False)

    def test_a_member_s_own_token_after_it_has_expired(self):
        """Kubernetes gives none for less than ten minutes, so one is signed here as its API server would have."""
        now = int(time.time())
        token = self.token_of(self.template)
        self.assertTrue(self.accepted(signed_again(token, exp=now + 600)), "only its time makes the next one invalid")
        expired = signed_again(token, iat=now - 1200, nbf=now - 1200, exp=now - 600)
        self.assertFalse(self.accepted(expired))
        apply({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "expired", "namespace": self.space},
               "stringData": {"token": expired}})
        self.pretend("expired", [{"name": "muster-token", "secret": {"secretName": "expired"}}])
        self.wait_refused("expired", "does not accept the token")
        self.assert_undisturbed()

    def test_a_member_s_own_token_after_its_pod_has_gone(self):
        member, pod = sorted(self.job.pods().items())[2]
        token = self.token_of(pod)
        kubectl("-n", self.space, "delete", "pod", pod["metadata"]["name"], "--grace-period=0", "--force")
        apply({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "stale", "namespace": self.space},
               "stringData": {"token": token}})
        self.pretend("stale", [{"name": "muster-token", "secret": {"secretName": "stale"}}], {"MUSTER_MEMBER": member})
        self.wait_refused("stale", "does not accept the token")
        del self.survivors[member]
        self.assert_exact(self.job, self.survivors)

    def test_plain_text(self):
        self.pretend("plain", env={"MUSTER_CA_FILE": None, "MUSTER_TOKEN_FILE": None, "MUSTER_TOKEN": "guess"})
        self.wait_kept_out("plain", "Socket closed")
        self.assert_undisturbed()

    def test_a_coordinator_of_a_foreign_authority(self):
        key, certificate = self.folder / "key", self.folder / "ca.crt"
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                        "-days", "1", "-subj", "/CN=foreign", "-keyout", str(key), "-out", str(certificate)],
                       check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "foreign", "namespace": self.space},
               "data": {"ca.crt": certificate.read_text()}})
        self.pretend("foreign", [{"name": "muster-ca", "configMap": {"name": "foreign"}}])
        self.wait_kept_out("foreign", "certificate verify failed")
        self.assert_undisturbed()


class RightsTest(TrainingCase):

    def granted(self, account, space):
        """What `kubectl auth can-i --list` says, without the order."""
        return sorted(kubectl("auth", "can-i", "--list", "-n", space, f"--as=system:serviceaccount:{space}:{account}",
                              f"--as-group=system:serviceaccounts:{space}", "--as-group=system:serviceaccounts",
                              "--as-group=system:authenticated").splitlines())

    def test_a_worker_may_do_what_any_account_may(self):
        job = Job(self, steps=5000)
        job.apply()
        job.wait_step(20)
        pod = job.pods()["0.0"]
        self.assertEqual(pod["spec"].get("serviceAccountName"), "default")
        self.assertIs(pod["spec"]["automountServiceAccountToken"], False)
        # While it runs: afterwards its volumes are gone.
        path = f"/var/lib/kubelet/pods/{pod['metadata']['uid']}/volumes/kubernetes.io~projected/muster-token/token"
        token = cluster("run", pod["spec"]["nodeName"], "cat", path).strip()
        fresh = self.namespace()
        kubectl("-n", fresh, "create", "serviceaccount", "fresh")
        self.assertEqual(self.granted("default", self.space), self.granted("fresh", fresh))
        # And the token that it had is none for the API server.
        program, config = harness.harness.kubectl_program()
        server = json.loads(subprocess.run([program, config, "config", "view", "-o", "json"], text=True, check=True,
                                           stdout=subprocess.PIPE).stdout)["clusters"][0]["cluster"]["server"]
        seen = subprocess.run(["curl", "-sk", "-o", "/dev/null", "-w", "%{http_code}", "-H",
                               f"Authorization: Bearer {token}", f"{server}/api/v1/namespaces/{self.space}/pods"],
                              text=True, stdout=subprocess.PIPE, timeout=30, check=False).stdout
        self.assertEqual(seen, "401")


def matches(selector, labels):
    wanted = selector.get("matchLabels", {}).items() <= labels.items()
    for each in selector.get("matchExpressions", []):
        if each["operator"] != "In":
            raise AssertionError(f"the evaluator does not know {each}")
        wanted = wanted and labels.get(each["key"]) in each["values"]
    return wanted


def may_enter(policies, source, target, port):
    """Kubernetes' rule for ingress: who no policy selects takes all; else one rule of one policy has to let it in.
    A pod is (namespace, namespace's labels, labels)."""
    chosen = [each for each in policies if each["metadata"]["namespace"] == target[0]
              and matches(each["spec"]["podSelector"], target[2]) and "Ingress" in each["spec"]["policyTypes"]]
    if not chosen:
        return True

    def peer(policy, each):
        if "ipBlock" in each:
            raise AssertionError("the evaluator does not know ipBlock")
        inside = (matches(each["namespaceSelector"], source[1]) if "namespaceSelector" in each
                  else source[0] == policy["metadata"]["namespace"])
        return inside and matches(each.get("podSelector", {}), source[2])

    return any((not rule.get("from") or any(peer(policy, each) for each in rule["from"]))
               and (not rule.get("ports") or port in [PORTS.get(each["port"], each["port"]) for each in rule["ports"]])
               for policy in chosen for rule in policy["spec"].get("ingress", []))


class NetworkPolicyTest(TrainingCase):
    """This cluster enforces none (docs/cluster.md), so what they say is evaluated here for every pair of pods."""

    def test_of_two_jobs(self):
        jobs = [Job(self, name=name, steps=5000, workers={"replicas": 2}) for name in ("first", "second")]
        for job in jobs:
            job.body["spec"]["checkpoint"]["path"] += f"/{job.name}"
            job.apply()
        for job in jobs:
            wait_until(lambda job=job: len(job.pods()) == 2, 30, "two pods")
        # The operator's own is the chart's, and off unless it is asked for.
        rendered = helm("template", "muster", CHART, "-n", harness.SYSTEM, "--set", "networkPolicy.enabled=true",
                        "--show-only", "templates/networkpolicy.yaml")
        self.addCleanup(kubectl, "delete", "-f", "-", "--ignore-not-found", stdin=rendered)
        kubectl("apply", "-f", "-", stdin=rendered)
        policies = json.loads(kubectl("get", "networkpolicy", "-A", "-o", "json"))["items"]
        self.assertEqual({each["metadata"]["name"] for each in policies if each["metadata"]["namespace"] == self.space},
                         {"first", "second"})
        spaces = {each["metadata"]["name"]: each["metadata"].get("labels", {})
                  for each in json.loads(kubectl("get", "namespaces", "-o", "json"))["items"]}
        pods = {}
        for job in jobs:
            for member, pod in job.pods().items():
                pods[f"{job.name} {member}"] = (self.space, spaces[self.space], pod["metadata"]["labels"])
        for pod in harness.operator_pods():
            pods[pod["metadata"]["name"]] = (harness.SYSTEM, spaces[harness.SYSTEM], pod["metadata"]["labels"])
        pods["neighbour"] = (self.space, spaces[self.space], {"app": "web"})
        pods["stranger"] = ("default", spaces["default"], {})
        workers = [name for name in pods if name.startswith(("first", "second"))]
        for target in workers:
            for source in pods:
                same = source in workers and source.split()[0] == target.split()[0]
                said = f"{source} to {target}"
                # The ring and the transfer of state have a port that the kernel chooses.
                self.assertIs(may_enter(policies, pods[source], pods[target], 45678), same, said)
                self.assertIs(may_enter(policies, pods[source], pods[target], 9464), True, f"{said}, metrics")
        for target in pods:
            if target not in workers and target not in ("neighbour", "stranger"):
                for source in pods:
                    said = f"{source} to {target}"
                    self.assertIs(may_enter(policies, pods[source], pods[target], 7420), source in workers, said)
                    # Nobody was named in networkPolicy.metricsFrom.
                    self.assertIs(may_enter(policies, pods[source], pods[target], 8080), False, f"{said}, metrics")


if __name__ == "__main__":
    harness.main()
