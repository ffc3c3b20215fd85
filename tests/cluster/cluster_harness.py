"""Runs hack/cluster and asks the cluster what is true.

All tests share one cluster of three nodes, which ctest's fixture starts and removes; a test started by hand starts it
itself and leaves it. It lies in a state folder of its own, so a developer's cluster is never touched: hack/cluster
refuses to start a second one and says which is up.

A machine that cannot run it (no root, no namespaces) gives exit status 77, which ctest shows as "Skipped" in its
closing lines; with CI=true it is a failure. Python 3.9 or newer, standard library only.
"""

import datetime
import functools
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time
import unittest

SOURCE = pathlib.Path(os.environ.get("MUSTER_SOURCE_DIR", pathlib.Path(__file__).resolve().parents[2]))
CACHE = pathlib.Path(os.environ.get("MUSTER_CACHE", pathlib.Path.home() / ".cache" / "muster"))
STATE = pathlib.Path(os.environ.get("MUSTER_CLUSTER_STATE", CACHE / "cluster" / "test"))
PROGRAM = SOURCE / "hack" / "cluster"
NODES = ("n1", "n2", "n3")
NOT_RUN = 77
# What the fast timing gives, with room for a machine that is busy: the grace period of the controllers is 4 s, counted
# from the last sign of life, which is up to 1 s old, and the check for it comes once a second.
NOT_READY_SECONDS = (2.0, 9.0)


def environment(extra=None):
    return {**os.environ, "MUSTER_CLUSTER_STATE": str(STATE), **(extra or {})}


def start(*arguments, env=None, **options):
    """hack/cluster as a process that is not waited for."""
    return subprocess.Popen([str(PROGRAM), *map(str, arguments)], env=environment(env), text=True,
                            stdin=options.pop("stdin", subprocess.DEVNULL), stdout=subprocess.PIPE,
                            stderr=options.pop("stderr", subprocess.STDOUT), **options)


def attempt(*arguments, env=None, seconds=150):
    """hack/cluster to its end: CompletedProcess whose stdout has what it said on both channels."""
    return subprocess.run([str(PROGRAM), *map(str, arguments)], env=environment(env), text=True,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          timeout=seconds, check=False)


def cluster(*arguments, env=None, seconds=150):
    """hack/cluster, which must succeed: what it said."""
    done = attempt(*arguments, env=env, seconds=seconds)
    if done.returncode != 0:
        raise AssertionError(f"hack/cluster {' '.join(map(str, arguments))}: exit status {done.returncode}\n"
                             f"{done.stdout}")
    return done.stdout


@functools.lru_cache(maxsize=1)
def kubectl_program():
    exports = cluster("env").split()
    return [exports[2].removeprefix("PATH=").removesuffix(":$PATH") + "/kubectl",
            "--kubeconfig=" + exports[1].removeprefix("KUBECONFIG=")]


def try_kubectl(*arguments, stdin=None, seconds=60):
    return subprocess.run([*kubectl_program(), *map(str, arguments)], text=True, input=stdin, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, timeout=seconds, check=False)


def kubectl(*arguments, stdin=None, seconds=60):
    done = try_kubectl(*arguments, stdin=stdin, seconds=seconds)
    if done.returncode != 0:
        raise AssertionError(f"kubectl {' '.join(map(str, arguments))}: {done.stdout}")
    return done.stdout


def apply(*objects):
    """Objects as Python values, or YAML text."""
    for each in objects:
        kubectl("apply", "-f", "-", stdin=each if isinstance(each, str) else json.dumps(each))


def wait_until(condition, seconds, what):
    """Polls; returns the seconds it took, or raises with `what`."""
    began = time.monotonic()
    while not condition():
        if time.monotonic() - began > seconds:
            raise AssertionError(f"{what}: not within {seconds} s")
        time.sleep(0.05)
    return time.monotonic() - began


def ready(node):
    """True, False, or the word Unknown: the Ready condition of the node."""
    word = try_kubectl("get", "node", node, "-o",
                       "jsonpath={.status.conditions[?(@.type=='Ready')].status}").stdout.strip()
    return {"True": True, "False": False}.get(word, word)


def boot_id(node):
    return kubectl("get", "node", node, "-o", "jsonpath={.status.nodeInfo.bootID}")


def api_is_ready():
    return try_kubectl("get", "--raw=/readyz", "--request-timeout=2s").returncode == 0


def node_process(node):
    """The number of the node's process 1 on this machine."""
    return int((STATE / "nodes" / node / "pid").read_text())


def make_image(folder, name="muster.local/busybox:1", programs=()):
    """An archive of an image that holds busybox under all its names, and those programs."""
    root = pathlib.Path(tempfile.mkdtemp(dir=folder))
    for each in ("bin", "etc", "tmp", "proc", "sys", "dev"):
        (root / each).mkdir()
    (root / "tmp").chmod(0o1777)
    root.chmod(0o755)
    busybox = shutil.which("busybox")
    if busybox is None:
        raise AssertionError("busybox is not installed: hack/cluster build installs busybox-static")
    shutil.copy(busybox, root / "bin" / "busybox")
    names = subprocess.run([busybox, "--list"], text=True, stdout=subprocess.PIPE, check=True).stdout.split()
    for each in names:
        if each != "busybox":
            (root / "bin" / each).symlink_to("busybox")
    for program in programs:
        shutil.copy(program, root / "bin")
    archive = pathlib.Path(folder) / (name.replace("/", "_").replace(":", "_") + ".tar")
    cluster("image", name, root, archive)
    return archive


def heard(node):
    """When its kubelet said last that it is there."""
    time_of = kubectl("-n", "kube-node-lease", "get", "lease", node, "-o", "jsonpath={.spec.renewTime}")
    return datetime.datetime.fromisoformat(time_of.replace("Z", "+00:00"))


class ClusterCase(unittest.TestCase):
    """A cluster of three nodes, all well before each test, and all faults undone after it."""

    maxDiff = None

    @classmethod
    def setUpClass(cls):
        cluster("up", len(NODES))

    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="muster-cluster-"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.addCleanup(self.undo_faults)

    def undo_faults(self):
        if not re.search(r"stopped|: off|frozen|cut \(|NotReady", cluster("status")):
            return
        for component in ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "coredns"):
            cluster("start", component)
        for node in NODES:
            cluster("heal", node)
            cluster("on", node)
            cluster("thaw", node)
        wait_until(api_is_ready, 60, "the API server is ready again")
        # One that was away for a moment was never missed, and would be missed too soon by the next test.
        since = datetime.datetime.now(datetime.timezone.utc)
        for node in NODES:
            wait_until(lambda node=node: heard(node) > since and ready(node) is True, 60, f"{node} is Ready again")

    def wait_not_ready(self, node, began):
        """Until the node is not Ready; the seconds since `began` are what the timing promises."""
        wait_until(lambda: ready(node) is not True, 60, f"{node} is not Ready")
        seconds = time.monotonic() - began
        self.tell(f"{node} is not Ready {seconds:.1f} s after the fault")
        least, most = NOT_READY_SECONDS
        self.assertGreater(seconds, least)
        self.assertLess(seconds, most)

    def wait_ready(self, node, seconds=20):
        took = wait_until(lambda: ready(node) is True, seconds, f"{node} is Ready")
        self.tell(f"{node} is Ready again after {took:.1f} s")

    def tell(self, sentence):
        """A figure for whoever reads the log."""
        sys.stderr.write(f"    {sentence}\n")

    def namespace(self, labels=None):
        """A new namespace for the test; Kubernetes takes seconds to remove one, and nobody waits for that."""
        name = f"test-{os.getpid()}-{time.monotonic_ns() // 1000000}"
        apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels or {}}})
        self.addCleanup(kubectl, "delete", "namespace", name, "--wait=false", "--ignore-not-found")
        wait_until(lambda: try_kubectl("-n", name, "get", "serviceaccount", "default").returncode == 0, 60,
                   f"{name} has its service account")
        return name


def chosen_tests():
    """The names of the tests that the command line asks for."""
    module, loader = sys.modules["__main__"], unittest.defaultTestLoader
    suites = [loader.loadTestsFromNames(sys.argv[1:], module) if sys.argv[1:] else loader.loadTestsFromModule(module)]
    names = []
    while suites:
        for each in suites.pop(0):
            if isinstance(each, unittest.TestSuite):
                suites.append(each)
            else:
                names.append(each.id().removeprefix("__main__."))
    return names


def main():
    """unittest.main, unless no cluster can run here: then the reason, and the names of what does not run."""
    able = attempt("check")
    if able.returncode == 0:
        unittest.main(verbosity=2)
    sys.stderr.write(f"NOT RUN, because no cluster can run here: {able.stdout.strip()}\n")
    for name in chosen_tests():
        sys.stderr.write(f"NOT RUN: {name}\n")
    sys.exit(1 if os.environ.get("CI") == "true" else NOT_RUN)
