"""Pods behave as on any Kubernetes: images, network, names, tokens, rights, limits, volumes, eviction."""

import json
import os
import pathlib
import subprocess
import time

import cluster_harness as harness
from cluster_harness import NODES, ClusterCase, apply, cluster, kubectl, try_kubectl, wait_until

MANIFESTS = pathlib.Path(__file__).resolve().parent / "manifests"


def manifest(name, **words):
    """The text of a manifest with these words replaced."""
    text = (MANIFESTS / name).read_text()
    for word, value in words.items():
        text = text.replace(word, value)
    return text


class PodCase(ClusterCase):
    """Three pods of a small web server, one on each node."""

    def setUp(self):
        super().setUp()
        self.load()
        self.space = self.namespace()
        began = time.monotonic()
        apply(manifest("pods.yaml", NAMESPACE=self.space))
        self.kubectl("rollout", "status", "deploy/web", "--timeout=60s", seconds=70)
        self.tell(f"three pods are Ready after {time.monotonic() - began:.1f} s")

    def kubectl(self, *arguments, seconds=60):
        return kubectl("-n", self.space, *arguments, seconds=seconds)

    def load(self):
        archive = harness.make_image(self.folder)
        began = time.monotonic()
        cluster("load", archive)
        self.tell(f"an image of {archive.stat().st_size >> 20} MiB is in all nodes after "
                  f"{time.monotonic() - began:.1f} s")

    def pods(self):
        """{node: pod} of those that run."""
        items = json.loads(self.kubectl( "get", "pods", "-l", "app=web", "-o", "json"))["items"]
        return {item["spec"]["nodeName"]: item for item in items
                if item["status"]["phase"] == "Running" and "deletionTimestamp" not in item["metadata"]}

    def name_on(self, node):
        return self.pods()[node]["metadata"]["name"]

    def inside(self, pod, *command):
        return try_kubectl("-n", self.space, "exec", pod, "--", *command).stdout


class ImageTest(PodCase):

    def test_a_pod_on_each_node(self):
        self.assertEqual(sorted(self.pods()), sorted(NODES))

    def test_equal_folders_give_equal_images(self):
        first = harness.make_image(self.folder).read_bytes()
        time.sleep(1.1)
        self.assertEqual(harness.make_image(self.folder).read_bytes(), first)

    def test_images_outlast_the_loss_of_power(self):
        cluster("off", "n2")
        self.kubectl( "delete", "pods", "--all", "--force", "--grace-period=0")
        cluster("on", "n2")
        began = time.monotonic()
        wait_until(lambda: sorted(self.pods()) == sorted(NODES), 40, "three pods on three nodes again")
        self.tell(f"a pod runs on the node {time.monotonic() - began:.1f} s after it was switched on")


class NetworkTest(PodCase):

    def test_ways_between_pods(self):
        pods = self.pods()
        first, second = (pods[node]["metadata"]["name"] for node in ("n1", "n2"))
        address = pods["n2"]["status"]["podIP"]
        self.assertEqual(self.inside(first, "wget", "-qO-", f"http://{address}:8080/").strip(), second)
        from_machine = subprocess.run(["busybox", "wget", "-qO-", f"http://{address}:8080/"], text=True,
                                      stdout=subprocess.PIPE, check=True).stdout
        self.assertEqual(from_machine.strip(), second)
        answer = self.inside(first, "nslookup", f"web.{self.space}.svc.cluster.local")
        for pod in pods.values():
            self.assertIn(pod["status"]["podIP"], answer)
        names = [pod["metadata"]["name"] for pod in pods.values()]
        self.assertIn(self.inside(first, "wget", "-qO-", "http://web:8080/").strip(), names)  # the search path
        self.assertIn(self.inside(first, "wget", "-qO-", "http://web-vip/").strip(), names)  # kube-proxy
        self.assertIn("serving", self.kubectl( "logs", first))

    def test_a_link_between_two_nodes_is_cut_for_their_pods(self):
        pods = self.pods()
        first = pods["n1"]["metadata"]["name"]

        def hears(node):
            # A packet that is dropped is not refused, so it takes a limit of time.
            url = f"http://{pods[node]['status']['podIP']}:8080/"
            return self.inside(first, "timeout", "2", "wget", "-qO-", url).strip() == pods[node]["metadata"]["name"]
        self.assertEqual([hears("n2"), hears("n3")], [True, True])
        cluster("cut", "n1", "--to", "n2")
        self.assertEqual([hears("n2"), hears("n3")], [False, True])
        cluster("heal", "n1")
        wait_until(lambda: hears("n2"), 10, "the pods hear each other again")

    def test_pods_of_a_cut_node_run_on(self):
        pod = self.pods()["n3"]
        cluster("cut", "n3")
        wait_until(lambda: harness.ready("n3") is not True, 20, "n3 is not Ready")
        self.assertIn("httpd", cluster("run", "n3", "ps", "ax"))
        cluster("heal", "n3")
        self.wait_ready("n3")
        wait_until(lambda: "serving" in try_kubectl("-n", self.space, "logs", pod["metadata"]["name"]).stdout, 20, "logs again")
        self.assertEqual(self.pods()["n3"]["status"]["containerStatuses"][0]["containerID"],
                         pod["status"]["containerStatuses"][0]["containerID"])


class EvictionTest(PodCase):

    def evict(self, pod):
        return try_kubectl("create", "--raw", f"/api/v1/namespaces/{self.space}/pods/{pod}/eviction", "-f", "-", stdin=json.dumps(
            {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod, "namespace": self.space}})).stdout

    def allow(self, least, disruptions):
        self.kubectl( "patch", "pdb", "web", "--type=merge", "-p", json.dumps({"spec": {"minAvailable": least}}))
        wait_until(lambda: self.kubectl( "get", "pdb", "web", "-o", "jsonpath={.status.disruptionsAllowed}")
                   == str(disruptions), 10, f"{disruptions} disruptions are allowed")

    def test_a_budget_and_a_drain(self):
        self.allow(3, 0)
        self.assertIn("disruption budget", self.evict(self.name_on("n1")))
        self.allow(2, 1)
        self.addCleanup(kubectl, "uncordon", "n1")
        kubectl("drain", "n1", "--ignore-daemonsets", "--delete-emptydir-data", "--timeout=40s", seconds=50)
        self.assertNotIn("n1", self.pods())

    def test_pods_of_a_dead_node_stay_until_they_are_deleted_by_force(self):
        name = self.name_on("n2")

        def taints():
            return kubectl("get", "node", "n2", "-o", "jsonpath={.spec.taints}")
        began = time.monotonic()
        cluster("off", "n2")
        wait_until(lambda: "NoExecute" in taints(), 20, "n2 is tainted")
        self.tell(f"the NoExecute taint came {time.monotonic() - began:.1f} s after power off")
        self.assertEqual(self.kubectl( "get", "pod", name, "-o", "jsonpath={.status.phase}"), "Running")
        self.kubectl( "delete", "pod", name, "--force", "--grace-period=0")
        self.assertNotEqual(try_kubectl("-n", self.space, "get", "pod", name).returncode, 0)


class RestrictedTest(ClusterCase):
    """A pod as Pod Security `restricted` wants it, with the volumes that a trainer needs."""

    def setUp(self):
        super().setUp()
        kubectl_program = harness.kubectl_program()[0]
        cluster("load", harness.make_image(self.folder),
                harness.make_image(self.folder, "muster.local/tools:1", [kubectl_program]))
        self.space = self.namespace({"pod-security.kubernetes.io/enforce": "restricted"})
        apply(manifest("restricted.yaml", NAMESPACE=self.space))
        kubectl("-n", self.space, "wait", "--for=condition=Ready", "pod/worker", "--timeout=40s", seconds=50)

    def inside(self, *command):
        return try_kubectl("-n", self.space, "exec", "worker", "--", *command)

    def test_rights(self):
        self.assertIn("uid=65532", self.inside("id").stdout)
        self.assertNotEqual(self.inside("touch", "/x").returncode, 0)
        self.assertEqual(self.inside("touch", "/scratch/x", "/dev/shm/x").returncode, 0)
        status = self.inside("cat", "/proc/1/status").stdout
        self.assertRegex(status, r"CapEff:\s+0+\n")
        self.assertRegex(status, r"Seccomp:\s+2\n")
        refused = try_kubectl("-n", self.space, "run", "bad", "--image=muster.local/busybox:1", "--privileged")
        self.assertIn("violates PodSecurity", refused.stdout)

    def test_memory_limit(self):
        limits = [path.read_text().strip() for pattern in ("memory/muster/**/memory.limit_in_bytes", "muster/**/memory.max")
                  for path in pathlib.Path("/sys/fs/cgroup").glob(pattern)]
        self.assertIn(str(128 << 20), limits)

    def test_its_own_token(self):
        cache = "--cache-dir=/scratch/c"
        self.assertIn("worker", self.inside("kubectl", cache, "-n", self.space, "get", "pods").stdout)
        self.assertIn("Forbidden", self.inside("kubectl", cache, "-n", self.space, "get", "secrets").stdout)
        token = self.inside("cat", "/var/run/muster/token").stdout.strip()

        def review(audience):
            return json.loads(kubectl("create", "-o", "json", "-f", "-", stdin=json.dumps(
                {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview",
                 "spec": {"token": token, "audiences": [audience]}})))["status"]
        right = review("muster")
        self.assertTrue(right["authenticated"])
        self.assertIn("authentication.kubernetes.io/pod-uid", right["user"]["extra"])
        self.assertFalse(review("other").get("authenticated", False))

    def test_one_folder_as_a_volume_of_all_nodes(self):
        shared = self.folder / "shared"
        shared.mkdir()
        shared.chmod(0o1777)
        self.folder.chmod(0o755)
        self.addCleanup(kubectl, "delete", "pv", self.space, "--wait=false")
        apply(manifest("shared-volume.yaml", NAMESPACE=self.space, SHARED_FOLDER=str(shared)))
        wait_until(lambda: sorted(os.listdir(shared)) == sorted(NODES), 30, "each node wrote its name")

    def test_kubelet_statistics(self):
        node = kubectl("-n", self.space, "get", "pod", "worker", "-o", "jsonpath={.spec.nodeName}")

        def pods():
            summary = json.loads(kubectl("get", "--raw", f"/api/v1/nodes/{node}/proxy/stats/summary"))
            return [pod["podRef"]["namespace"] for pod in summary["pods"]]
        took = wait_until(lambda: self.space in pods(), 40, "the kubelet counts the pod")
        self.tell(f"the kubelet's statistics name the pod after {took:.1f} s")


if __name__ == "__main__":
    harness.main()
