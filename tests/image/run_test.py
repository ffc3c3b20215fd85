"""The programs inside their images, as a node would run them: as user 65532, the root read-only, only /tmp writable.

A chroot in namespaces of its own stands in for a container, so no container tool is needed; it takes root.
"""

import json
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

import images
from images import BIN, SOURCE, built

ENTER = r"""
set -e
root=$1; shift
mount --bind "$root" "$root"
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
mount -o remount,ro,bind "$root"
status=0
chroot --userspec=65532:65532 "$root" "$@" || status=$?
exit $status
"""
TEXT = "the ring sums integers, not floats, so that their order does not matter to anyone who looks at the sum. " * 60
JOB = {"apiVersion": "muster.dev/v1alpha1", "kind": "TrainingJob", "metadata": {"name": "tiny"}, "spec": {
    "workers": {"replicas": 2},
    "program": {"builtin": "gpt", "config": {"layers": 1, "heads": 2, "width": 32, "context": 32, "batch": 1,
                                             "warmupSteps": 2}},
    "training": {"steps": 6, "slots": 16}, "data": {"path": "/data/text.txt", "format": "text"}}}


def entered(root, *command):
    """The command line that runs `command` inside `root`. It ends with all that it started: process 1 of its namespace
    dies with `unshare`, which it would not after becoming the program, because a change of user undoes that."""
    return ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--propagation", "private",
            "bash", "-c", ENTER, "enter", str(root), *map(str, command)]


def run(command, stdin="", seconds=60):
    return subprocess.run(command, input=stdin, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          timeout=seconds, check=False, env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"})


def own_copy(*roles):
    """An unpacked image, or several in one folder, with what a node puts into each container."""
    folder = pathlib.Path(tempfile.mkdtemp(dir=images.scratch()))
    for role in roles:
        built(role).unpack(folder)
    (folder / "etc/hosts").write_text("127.0.0.1 localhost\n")
    (folder / "etc/resolv.conf").write_text("nameserver 127.0.0.1\noptions attempts:1 timeout:2\n")
    return folder


class OperatorTest(unittest.TestCase):

    def test_it_prints_its_version(self):
        said = run(entered(built("operator").root, "/usr/bin/muster", "version"))
        self.assertEqual((said.returncode, said.stderr), (0, ""))
        self.assertEqual(said.stdout, run([BIN / "muster", "version"]).stdout)
        self.assertIn(built("operator").config["config"]["Labels"]["dev.muster.build-id"], said.stdout)

    def test_it_checks_manifests(self):
        validate = entered(built("operator").root, "/usr/bin/muster", "validate", "-")
        said = run(validate, (SOURCE / "docs/examples/licences.yaml").read_text())
        self.assertEqual((said.returncode, said.stderr), (0, ""))
        said = run(validate, json.dumps({**JOB, "metadata": {"name": "Bad_Name"}}))
        self.assertEqual(said.returncode, 2)
        self.assertIn("metadata.name", said.stderr)

    def test_there_is_no_shell_and_nothing_else_to_start(self):
        said = run(entered(built("operator").root, "/bin/sh", "-c", "true"))
        self.assertEqual(said.returncode, 127, said.stderr)


class WorkerTest(unittest.TestCase):

    def test_it_says_what_it_misses(self):
        said = run(entered(built("worker").root, "/usr/bin/muster-worker"))
        self.assertEqual(said.returncode, 73)
        self.assertIn("MUSTER_JOB_UID is not set", said.stderr)

    def test_it_finds_its_coordinator_by_name(self):
        """By /etc/hosts and by DNS: names of Services are how a worker on Kubernetes finds the operator."""
        probe = pathlib.Path(__file__).with_name("name_probe.py")
        for by, name, known_to_dns in (("hosts", "coordinator.test", "other.test"),
                                       ("dns", "coordinator.test", "coordinator.test")):
            with self.subTest(by):
                root = own_copy("worker")
                if by == "hosts":
                    (root / "etc/hosts").write_text(f"127.0.0.1 localhost\n127.0.0.1 {name}\n")
                said = run(["unshare", "--net", "--pid", "--fork", "--kill-child", sys.executable, probe, name,
                            known_to_dns, *entered(root, "/usr/bin/muster-worker")])
                self.assertEqual(said.returncode, 0, said.stdout + said.stderr)
                self.assertIn("connected", said.stdout)


class TrainingTest(unittest.TestCase):

    def test_the_root_is_read_only(self):
        """So what the other tests say was said without a right to write."""
        said = run(entered(own_copy("operator", "worker"), "/usr/bin/muster", "run", "-", "--state-dir", "/usr/state"),
                   json.dumps(JOB))
        self.assertNotEqual(said.returncode, 0)
        self.assertIn("Read-only file system", said.stderr)

    def test_a_job_trains_to_the_digest_that_it_has_outside(self):
        """Both images in one folder: BLAS, threads, sockets and a worker that starts itself anew, all of it inside."""
        root = own_copy("operator", "worker")
        (root / "data").mkdir()
        (root / "data/text.txt").write_text(TEXT)
        inside = run(entered(root, "/usr/bin/muster", "run", "-", "--state-dir", "/tmp/state"), json.dumps(JOB))
        self.assertEqual(inside.returncode, 0, inside.stdout + inside.stderr)
        manifest = json.loads(json.dumps(JOB))
        manifest["spec"]["data"]["path"] = str(root / "data/text.txt")
        outside = run([BIN / "muster", "run", "-", "--state-dir", root / "state"], json.dumps(manifest))
        self.assertEqual(outside.returncode, 0, outside.stdout + outside.stderr)
        digest = re.compile(r"^digest +([0-9a-f]{16,})$", re.MULTILINE)
        self.assertEqual(digest.search(inside.stdout)[1], digest.search(outside.stdout)[1])
        shutil.rmtree(root)


if __name__ == "__main__":
    images.require_root()
    unittest.main()
