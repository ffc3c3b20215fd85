"""Starting and removing: twice at once, killed in the middle, and nothing left behind.

These start from nothing and end with nothing, so they come before the tests that share a cluster.
"""

import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import unittest

import cluster_harness as harness
from cluster_harness import STATE, attempt, cluster, kubectl, wait_until
import machine


class LifecycleCase(unittest.TestCase):

    def setUp(self):
        cluster("down")
        self.addCleanup(cluster, "down")

    def assert_nothing_left(self, before):
        # The machine's own process 1 collects the orphans, and the kernel frees namespaces a moment later.
        def left():
            return machine.differences(before, machine.snapshot())
        try:
            wait_until(lambda: not left(), 5, "nothing is left")
        except AssertionError:
            self.fail("left behind:\n" + "\n".join(left()))
        self.assertFalse(STATE.exists(), f"{STATE} is left behind")


class LeftoversTest(LifecycleCase):

    def set_for_the_test(self, setting, value):
        """A value that kubelets change, so that the comparison has something to see."""
        own = subprocess.run(["sysctl", "-n", setting], text=True, stdout=subprocess.PIPE, check=True).stdout.strip()
        self.addCleanup(subprocess.run, ["sysctl", "-qw", f"{setting}={own}"], check=True)
        subprocess.run(["sysctl", "-qw", f"{setting}={value}"], check=True)

    def test_down_with_faults_leaves_nothing_behind(self):
        self.set_for_the_test("vm.overcommit_memory", 0)
        before = machine.snapshot()
        cluster("up", 3)
        during = machine.differences(before, machine.snapshot())
        for kind in ("processes", "links", "routes", "namespaces", "cgroups", "the setting vm.overcommit_memory"):
            self.assertNotEqual([each for each in during if each.startswith(kind)], [],
                                f"the comparison does not see {kind}")
        cluster("off", "n1")
        cluster("cut", "n2", "--out", "--to", "n3")
        cluster("cut", "n3")
        cluster("freeze", "n2")
        self.assertTrue([each for each in machine.differences(before, machine.snapshot())
                         if each.startswith("nftables")], "the comparison does not see rules")
        began = time.monotonic()
        cluster("down")
        self.assertLess(time.monotonic() - began, 10)
        self.assert_nothing_left(before)
        self.assertEqual(attempt("status").stdout.strip(), "down")
        cluster("down")  # once more does nothing


class KilledTest(LifecycleCase):
    """`up` is killed at a moment that is recognised by what it has made by then."""

    MOMENTS = {
        "the certificates are being made": "pki/etcd-ca.crt",
        "the nodes' files are being made": "nodes/n1/kubelet.yaml",
        "etcd starts": "log/etcd.log",
        "the scheduler starts": "log/kube-scheduler.log",
        "the first node starts": "nodes/n1/pid",
        "the last node starts": "nodes/n3/kubelet.log",
    }

    def kill_at(self, file, whole_group):
        process = harness.start("up", 3, start_new_session=True, stderr=subprocess.DEVNULL)
        drain = threading.Thread(target=process.stdout.read, daemon=True)
        drain.start()
        wait_until(lambda: (STATE / file).exists() or process.poll() is not None, 60, f"{file} is there")
        self.assertIsNone(process.poll(), "up ended before it was killed")
        if whole_group:
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
        process.wait()
        self.addCleanup(process.stdout.close)
        self.addCleanup(drain.join, 10)

    def test_then_down_leaves_nothing_behind(self):
        before = machine.snapshot()
        for moment, file in self.MOMENTS.items():
            for whole_group in (False, True):
                with self.subTest(moment=moment, whole_group=whole_group):
                    self.kill_at(file, whole_group)
                    cluster("down")
                    self.assert_nothing_left(before)

    def test_then_up_starts_a_whole_cluster(self):
        for moment in ("the certificates are being made", "etcd starts", "the last node starts"):
            with self.subTest(moment=moment):
                self.kill_at(self.MOMENTS[moment], whole_group=False)
                cluster("up", 2)
                nodes = json.loads(kubectl("get", "nodes", "-o", "json"))["items"]
                self.assertEqual([node["metadata"]["name"] for node in nodes], ["n1", "n2"])
                cluster("down")


class ControlPlaneAloneTest(LifecycleCase):

    def test_no_nodes(self):
        before = machine.snapshot()
        cluster("up", 0)
        self.assertEqual(json.loads(kubectl("get", "nodes", "-o", "json"))["items"], [])
        # Controllers run: a namespace gets its service account and its certificate authority.
        kubectl("create", "namespace", "alone")
        wait_until(lambda: harness.try_kubectl("-n", "alone", "get", "configmap", "kube-root-ca.crt").returncode == 0,
                   10, "the controllers work")
        cluster("down")
        self.assert_nothing_left(before)


class RefusalTest(LifecycleCase):
    """One sentence each, and nothing is touched. Only a second `up` for the same cluster is none: it waits."""

    def setUp(self):
        super().setUp()
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="muster-cluster-", dir=pathlib.Path.home()))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)

    def refuse(self, sentence, *arguments, **env):
        done = attempt(*arguments, env=env)
        said = [line for line in done.stdout.splitlines() if not line.startswith("muster: up failed")]
        self.assertEqual(done.returncode, 1, done.stdout)
        self.assertEqual(len(said), 1, done.stdout)
        self.assertRegex(said[0], sentence)

    def test_settings_and_arguments(self):
        before = machine.snapshot()
        self.refuse("'100' is not a number of nodes from 0 to 99", "up", 100)
        self.refuse("'x' is not a number of nodes", "up", "x")
        self.refuse("unknown verb 'upp'", "upp")
        self.refuse("MUSTER_CLUSTER_NET is '10'; it must be two bytes", "up", MUSTER_CLUSTER_NET="10")
        self.refuse("MUSTER_CLUSTER_NET is '10.254'", "up", MUSTER_CLUSTER_NET="10.254")
        self.refuse("MUSTER_CLUSTER_TIMING is 'slow'; it must be fast", "up", MUSTER_CLUSTER_TIMING="slow")
        self.refuse("MUSTER_CLUSTER_KUBERNETES is '1.2'; it must be one of", "up", MUSTER_CLUSTER_KUBERNETES="1.2")
        self.refuse("MUSTER_CLUSTER_STATE is 'here'", "up", MUSTER_CLUSTER_STATE="here")
        self.refuse("may not lie in /run", "up", MUSTER_CLUSTER_STATE="/run/muster-cluster-test")
        self.refuse("lies on tmpfs; containers need a disk", "up", MUSTER_CLUSTER_STATE="/dev/shm/muster-cluster-test")
        for verb in ("load", "off", "run", "stop"):
            self.refuse("no cluster is up", verb, "n1")
        self.assert_nothing_left(before)

    def test_a_folder_with_other_files(self):
        (self.folder / "diary").write_text("dear")
        self.refuse("it must be empty, and other files are in it", "up", MUSTER_CLUSTER_STATE=str(self.folder))
        cluster("down", env={"MUSTER_CLUSTER_STATE": str(self.folder)})
        self.assertEqual((self.folder / "diary").read_text(), "dear")

    def test_addresses_in_use(self):
        subprocess.run(["ip", "addr", "add", "10.77.0.5/32", "dev", "lo"], check=True)
        self.addCleanup(subprocess.run, ["ip", "addr", "del", "10.77.0.5/32", "dev", "lo"], check=True)
        self.refuse("addresses of 10.77.0, 10.78 or 10.79 are in use", "up", MUSTER_CLUSTER_NET="10.77")

    def test_without_root(self):
        def as_nobody(*command, **extra):
            return subprocess.run(["unshare", "--user", *command], env=harness.environment(extra), text=True,
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=30, check=False)
        self.assertRegex(as_nobody(harness.PROGRAM, "up").stdout, r"\Amuster: hack/cluster needs root .*\n\Z")
        # A test of the cluster is then not run, loudly; and where CI says that it must run, it fails.
        here = pathlib.Path(__file__).resolve()
        skipped = as_nobody(sys.executable, str(here), CI="")
        self.assertEqual(skipped.returncode, harness.NOT_RUN, skipped.stdout)
        self.assertIn("NOT RUN: RefusalTest.test_without_root", skipped.stdout)
        self.assertEqual(as_nobody(sys.executable, str(here), CI="true").returncode, 1)

    def test_two_at_once_and_then_others(self):
        both = [harness.start("up", 1) for _ in range(2)]
        answers = [process.communicate(timeout=120)[0] for process in both]
        self.assertEqual([process.returncode for process in both], [0, 0], answers)
        self.assertEqual(sorted("already up" in answer for answer in answers), [False, True], answers)
        self.assertEqual(len(json.loads(kubectl("get", "nodes", "-o", "json"))["items"]), 1)
        self.refuse("a cluster of 1 nodes is up, not of 2", "up", 2)
        self.refuse("a cluster with MUSTER_CLUSTER_TIMING=fast is up", "up", MUSTER_CLUSTER_TIMING="default")
        self.refuse(f"another cluster is up, with MUSTER_CLUSTER_STATE={STATE}", "up",
                    MUSTER_CLUSTER_STATE=str(self.folder / "state"))
        self.refuse(f"another cluster is up, with MUSTER_CLUSTER_STATE={STATE}", "down",
                    MUSTER_CLUSTER_STATE=str(self.folder / "state"))
        self.refuse("there is no node 'n2'; the nodes are: n1", "off", "n2")
        self.refuse("there is no component 'kubelet'; the components are: etcd", "stop", "kubelet")
        self.refuse("'--sideways' is not one of --in, --out", "cut", "n1", "--sideways")
        self.refuse("a node cannot be cut from itself", "cut", "n1", "--to", "n1")
        self.refuse("there is no node 'n9'", "cut", "n1", "--to", "n9")
        self.refuse("cannot read /nowhere.tar", "load", "/nowhere.tar")
        self.refuse("which command", "run", "n1")
        cluster("up")  # no number: whatever is up
        cluster("stop", "kube-apiserver")
        self.assertIn("already up: 1 nodes", cluster("up"))  # and it starts what was stopped
        self.assertTrue(harness.api_is_ready())


if __name__ == "__main__":
    harness.main()
