"""The images of hack/image as pods: loaded into the nodes, `restricted`, with nothing said about the user."""

import json
import os
import pathlib
import subprocess

import cluster_harness as harness
from cluster_harness import SOURCE, ClusterCase, apply, cluster, kubectl, try_kubectl, wait_until

BIN = pathlib.Path(os.environ.get("MUSTER_BIN_DIR", SOURCE / "build" / "release" / "bin"))
PROGRAMS = {"operator": "muster", "worker": "muster-worker"}


def pod(space, role, version):
    """`--version` in the image of that role, under the most that Pod Security asks for, the root read-only. What is
    mounted is what a worker's pod has, below a folder that is a link in the image."""
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": role, "namespace": space}, "spec": {
        "restartPolicy": "Never", "automountServiceAccountToken": False,
        "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [{
            "name": role, "image": f"muster/{role}:{version}", "imagePullPolicy": "Never", "args": ["--version"],
            "securityContext": {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True,
                                "capabilities": {"drop": ["ALL"]}},
            "volumeMounts": [{"name": "token", "mountPath": "/var/run/secrets/muster.dev", "readOnly": True},
                             {"name": "scratch", "mountPath": "/tmp"}]}],
        "volumes": [{"name": "scratch", "emptyDir": {}},
                    {"name": "token", "projected": {"sources": [
                        {"serviceAccountToken": {"audience": "muster", "path": "token"}}]}}]}}


class ImagesTest(ClusterCase):

    def build(self, role):
        """The archive, and what the program says of itself outside."""
        archive = self.folder / f"{role}.tar"
        said = subprocess.run([SOURCE / "hack/image", "build", role, "-o", archive, "--programs", BIN], text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60, check=False)
        self.assertEqual(said.returncode, 0, said.stdout)
        self.tell(" ".join(said.stdout.split("\n  ")[-2:]).strip())
        return archive, subprocess.run([BIN / PROGRAMS[role], "--version"], text=True, stdout=subprocess.PIPE,
                                       check=True).stdout

    def test_each_prints_its_version_in_a_restricted_pod(self):
        space = self.namespace({"pod-security.kubernetes.io/enforce": "restricted"})
        images = {role: self.build(role) for role in PROGRAMS}
        cluster("load", *(archive for archive, _ in images.values()))
        for role, (_, said) in images.items():
            apply(pod(space, role, said.split()[1]))
        for role, (_, said) in images.items():
            def status(role=role):
                return json.loads(kubectl("-n", space, "get", "pod", role, "-o", "json"))["status"]
            took = wait_until(lambda: status()["phase"] in ("Succeeded", "Failed"), 40, f"the pod of {role} ends")
            self.tell(f"{role} is through {took:.1f} s later")
            self.assertEqual(try_kubectl("-n", space, "logs", role).stdout, said)
            self.assertEqual(status()["phase"], "Succeeded")


if __name__ == "__main__":
    harness.main()
