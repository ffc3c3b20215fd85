"""Each component of the control plane is stopped, missed, and started again; and commands run in nodes."""

import json
import os
import subprocess
import time

import cluster_harness as harness
from cluster_harness import ClusterCase, api_is_ready, apply, attempt, cluster, kubectl, try_kubectl, wait_until


# A pod whose image does not exist: it is created and scheduled, and never runs.
POD_SPEC = {"containers": [{"name": "main", "image": "muster.local/none:1", "imagePullPolicy": "Never"}]}


class ComponentsTest(ClusterCase):

    def setUp(self):
        super().setUp()
        self.space = self.namespace()

    def get(self, *arguments):
        return kubectl("-n", self.space, "get", *arguments)

    def restart_api(self, name):
        cluster("start", name)
        took = wait_until(api_is_ready, 60, "the API server is ready")
        self.tell(f"the API server answers {took:.1f} s after the start of {name}")

    def test_etcd(self):
        kubectl("-n", self.space, "create", "configmap", "kept", "--from-literal=a=b")
        cluster("stop", "etcd")
        self.assertIn("etcd: stopped", cluster("status"))
        wait_until(lambda: not api_is_ready(), 20, "the API server misses etcd")
        self.restart_api("etcd")
        self.assertEqual(self.get("configmap", "kept", "-o", "jsonpath={.data.a}"), "b")

    def test_kube_apiserver(self):
        cluster("stop", "kube-apiserver")
        self.assertFalse(api_is_ready())
        self.restart_api("kube-apiserver")

    def test_kube_controller_manager(self):
        def created():
            return json.loads(self.get("pods", "-o", "json"))["items"]
        template = {"metadata": {"labels": {"app": "set"}}, "spec": POD_SPEC}
        cluster("stop", "kube-controller-manager")
        apply({"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": {"name": "set", "namespace": self.space},
               "spec": {"replicas": 1, "selector": {"matchLabels": {"app": "set"}}, "template": template}})
        time.sleep(2)
        self.assertEqual(created(), [])
        cluster("start", "kube-controller-manager")
        wait_until(created, 20, "the controllers work again")

    def test_kube_scheduler(self):
        def place():
            return self.get("pod", "waits", "-o", "jsonpath={.spec.nodeName}")
        cluster("stop", "kube-scheduler")
        apply({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "waits", "namespace": self.space},
               "spec": POD_SPEC})
        time.sleep(2)
        self.assertEqual(place(), "")
        cluster("start", "kube-scheduler")
        wait_until(place, 20, "the scheduler works again")

    def test_coredns(self):
        def resolves():
            return attempt("run", "n1", "busybox", "nslookup", "kubernetes.default.svc.cluster.local",
                           "10.90.0.1", seconds=30).returncode == 0
        self.assertTrue(resolves())
        cluster("stop", "coredns")
        self.assertFalse(resolves())
        cluster("start", "coredns")
        wait_until(resolves, 20, "names resolve again")

    def test_compact(self):
        kubectl("-n", self.space, "create", "configmap", "old", "--from-literal=a=1")
        old = self.get("configmap", "old", "-o", "jsonpath={.metadata.resourceVersion}")
        kubectl("-n", self.space, "patch", "configmap", "old", "--type=merge", "-p", '{"data":{"a":"2"}}')
        path = f"/api/v1/namespaces/{self.space}/configmaps?resourceVersion={old}"
        exactly, watch = path + "&resourceVersionMatch=Exact", path + "&watch=true&timeoutSeconds=2"
        self.assertIn('"a":"1"', kubectl("get", "--raw", exactly))
        self.assertIn('"MODIFIED"', kubectl("get", "--raw", watch))
        cluster("compact")
        cluster("stop", "kube-apiserver")  # its cache remembers more than etcd does
        self.restart_api("kube-apiserver")
        self.assertRegex(try_kubectl("get", "--raw", exactly).stdout, "too old|compacted|Expired")
        self.assertRegex(try_kubectl("get", "--raw", watch).stdout, "too old|compacted|Expired")


class RunTest(ClusterCase):

    def test_in_the_node_and_not_in_the_machine(self):
        self.assertEqual(cluster("run", "n2", "hostname"), "n2\n")
        self.assertNotEqual(os.uname().nodename, "n2")
        self.assertIn("node-init", cluster("run", "n2", "cat", "/proc/1/cmdline"))
        self.assertIn("containerd", cluster("run", "n2", "ls", "/run"))
        self.assertIn("10.90.0.12", cluster("run", "n2", "ip", "addr"))
        self.assertNotIn("10.90.0.11/", cluster("run", "n2", "ip", "addr"))

    def test_exit_status_and_both_channels_pass_through(self):
        done = subprocess.run([str(harness.PROGRAM), "run", "n1", "sh", "-c", "cat; echo wrong >&2; exit 5"],
                              input="right", text=True, capture_output=True, timeout=30, check=False,
                              env=harness.environment())
        self.assertEqual((done.stdout, done.stderr, done.returncode), ("right", "wrong\n", 5))

    def test_a_service_that_was_killed_is_started_again(self):
        def kubelet():
            return attempt("run", "n3", "pgrep", "-x", "kubelet").stdout.strip()
        before = kubelet()
        self.assertRegex(before, r"^\d+$")
        cluster("run", "n3", "pkill", "-KILL", "-x", "kubelet")
        wait_until(lambda: kubelet() not in ("", before), 10, "node-init starts another kubelet")


if __name__ == "__main__":
    harness.main()
