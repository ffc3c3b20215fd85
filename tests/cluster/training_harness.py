"""Muster on the shared cluster: its images from this build, its operator from helm/install.yaml, and jobs to break.

The operator is installed once and stays until the cluster goes. Everything that a test compares with is asked of the
cluster (status, Events, pods, nodes) or of the files that the workers wrote.
"""

import functools
import hashlib
import json
import os
import pathlib
import shutil
import subprocess
import time

import cluster_harness as harness
from cluster_harness import ClusterCase, cluster, kubectl, try_kubectl, wait_until

BUILD = pathlib.Path(os.environ.get("MUSTER_BIN_DIR", harness.SOURCE / "build" / "release" / "bin"))
SYSTEM = "muster-system"
DATA = "/usr/share/common-licenses"
LEASE = "muster-operator"
AUDIT = harness.STATE / "audit"  # a line for each committed step of each job, by `muster operator --audit-dir`
# As `pgrep -f` takes them: a worker has started itself anew, and its name is that of a link to a program.
WORKER = "^(/usr/bin/)?muster-worker$"
OPERATOR = "muster operator"


def run(*command, seconds=120):
    done = subprocess.run([str(each) for each in command], text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          timeout=seconds, check=False)
    if done.returncode != 0:
        raise AssertionError(f"{' '.join(map(str, command))}: exit status {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def install_again():
    """Whatever a test has done to the operator."""
    (harness.STATE / "muster-build").unlink(missing_ok=True)
    install()


def build_id():
    """Of both programs and of what is applied."""
    parts = [(harness.SOURCE / "helm/install.yaml").read_bytes(), (BUILD / "muster").read_bytes(),
             (BUILD / "muster-worker").read_bytes()]
    return hashlib.sha256(b"".join(parts)).hexdigest()


def install():
    """The definition, the images and the operator of this build; nothing where they are there already."""
    marker = harness.STATE / "muster-build"
    there = all(try_kubectl(*each).returncode == 0 for each in (
        ("get", "crd", "trainingjobs.muster.dev"), ("-n", SYSTEM, "get", "deployment", "muster")))
    if there and marker.exists() and marker.read_text() == build_id():
        return
    kubectl("apply", "--server-side", "-f", harness.SOURCE / "crds/muster.dev_trainingjobs.yaml")
    for role in ("operator", "worker"):
        archive = harness.STATE / f"{role}.tar"
        run(harness.SOURCE / "hack/image", "build", role, "--programs", BUILD, "-o", archive)
        cluster("load", archive)
        archive.unlink()
    if try_kubectl("get", "namespace", SYSTEM).returncode != 0:
        kubectl("create", "namespace", SYSTEM)
    # A second installation of other programs under the same names, and without what a test has given the first one.
    if there:
        kubectl("-n", SYSTEM, "delete", "deployment", "muster", "--cascade=foreground", seconds=90)
    kubectl("apply", "--server-side", "--force-conflicts", "-f", harness.SOURCE / "helm/install.yaml", seconds=90)
    AUDIT.mkdir(exist_ok=True)
    AUDIT.chmod(0o777)
    kubectl("-n", SYSTEM, "rollout", "status", "deployment", "--timeout=60s", seconds=90)
    # It runs where pods are restricted; its audit, which only tests have, needs a folder of the node.
    kubectl("label", "namespace", SYSTEM, "pod-security.kubernetes.io/enforce=privileged", "--overwrite")
    set_operator()
    marker.write_text(build_id())


def set_operator(*arguments):
    """Gives it an audit, and these arguments instead of what it had of their names; until one leads."""
    deployment = json.loads(kubectl("-n", SYSTEM, "get", "deployment", "muster", "-o", "json"))
    pod = deployment["spec"]["template"]["spec"]
    container = pod["containers"][0]
    wanted = ["--audit-dir=/audit", *arguments]
    given = {each.split("=")[0] for each in wanted}
    container["args"] = [each for each in container["args"] if each.split("=")[0] not in given] + wanted
    container["volumeMounts"] = [{"name": "audit", "mountPath": "/audit"}]
    del deployment["metadata"]["resourceVersion"]
    pod["volumes"] = [{"name": "audit", "hostPath": {"path": str(AUDIT)}}]
    kubectl("replace", "-f", "-", stdin=json.dumps(deployment))
    kubectl("-n", SYSTEM, "rollout", "status", "deployment", "--timeout=60s", seconds=90)
    wait_until(lambda: leader() in [each["metadata"]["name"] for each in operator_pods()], 30, "somebody leads")


def signal_pod(pod, program, number):
    """To the pod's program alone: there may be others of it on the node, and a process's cgroup has its pod's uid."""
    cluster("run", pod["spec"]["nodeName"], "sh", "-c",
            f"hit=1; for p in $(pgrep -f '{program}'); do "
            f"grep -q {pod['metadata']['uid']} /proc/$p/cgroup && kill -{number} $p && hit=0; done; exit $hit")


def kill_leader():
    name = leader()
    kubectl("-n", SYSTEM, "delete", "pod", name, "--grace-period=0", "--force", "--wait=false")
    return name


def leader():
    """The name of the pod that leads; empty: none."""
    holder = try_kubectl("-n", SYSTEM, "get", "lease", LEASE, "-o", "jsonpath={.spec.holderIdentity}").stdout
    return holder.partition("_")[0]


def operator_pods():
    return json.loads(kubectl("-n", SYSTEM, "get", "pods", "-l", "app.kubernetes.io/name=muster", "-o", "json"))["items"]


def node_of_leader():
    name = leader()
    for pod in operator_pods():
        if pod["metadata"]["name"] == name:
            return pod["spec"].get("nodeName", "")
    return ""


def manifest(folder, name="licences", steps=600, workers=None, **spec):
    """A small GPT on the licence texts, some 15 s of three workers; `folder` is shared by all nodes."""
    container = {"name": "worker", "imagePullPolicy": "Never",
                 "resources": {"requests": {"cpu": "10m"}},
                 "volumeMounts": [{"name": "data", "mountPath": DATA, "readOnly": True},
                                  {"name": "checkpoints", "mountPath": "/checkpoints"}]}
    volumes = [{"name": "data", "hostPath": {"path": DATA}},
               {"name": "checkpoints", "hostPath": {"path": str(folder)}}]
    return {"apiVersion": "muster.dev/v1alpha1", "kind": "TrainingJob", "metadata": {"name": name},
            "spec": {"workers": {"replicas": 3, "minReplicas": 1, "maxReplicas": 5, **(workers or {}),
                                 "template": {"spec": {"containers": [container], "volumes": volumes}}},
                     "program": {"builtin": "gpt",
                                 "config": {"layers": 2, "heads": 2, "width": 32, "context": 32, "batch": 1,
                                            "learningRate": 3.0e-3, "warmupSteps": 5}},
                     "training": {"steps": steps, "slots": 40, "reduction": "Exact64", "seed": 1},
                     "data": {"path": DATA, "format": "text"},
                     "checkpoint": {"path": "/checkpoints", "everySteps": 200, "keep": 2}, **spec}}


@functools.lru_cache(maxsize=8)
def digest_without_faults(steps):
    """What `muster run` ends with on the same manifest, on this machine, without a fault."""
    folder = pathlib.Path(subprocess.run(["mktemp", "-d"], text=True, stdout=subprocess.PIPE, check=True).stdout.strip())
    try:
        job = manifest(folder, steps=steps)
        job["spec"]["checkpoint"]["path"] = str(folder / "checkpoints")
        del job["spec"]["workers"]["template"]
        (folder / "job.yaml").write_text(json.dumps(job))
        out = run(BUILD / "muster", "run", folder / "job.yaml", "--replicas", "2", "--state-dir", folder / "state",
                  "-o", "json", "-q", seconds=240)
        return json.loads(out)["status"]["result"]["digest"]
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class Job:
    """One TrainingJob in the test's namespace."""

    def __init__(self, case, name="licences", **kwargs):
        self.case, self.name, self.space = case, name, case.space
        self.folder = case.folder / "checkpoints"
        self.folder.mkdir(exist_ok=True)
        case.folder.chmod(0o755)
        self.folder.chmod(0o777)
        self.body = manifest(self.folder, name=name, **kwargs)

    def kubectl(self, *arguments, **options):
        return kubectl("-n", self.space, *arguments, **options)

    def apply(self):
        self.kubectl("apply", "-f", "-", stdin=json.dumps(self.body))

    def object(self):
        return json.loads(self.kubectl("get", "trainingjob", self.name, "-o", "json"))

    def status(self):
        return self.object().get("status", {})

    def pods(self):
        """Worker pods by member, without those that are going."""
        items = json.loads(self.kubectl("get", "pods", "-l", f"muster.dev/job-name={self.name}", "-o", "json"))["items"]
        return {each["metadata"]["labels"]["muster.dev/member"]: each for each in items}

    def worker_away_from_leader(self):
        """(member, pod): one whose node may be lost without the operator that leads."""
        lead = node_of_leader()
        return next((m, p) for m, p in self.pods().items() if p["spec"]["nodeName"] != lead)

    def containers(self, but=None):
        """{member: container} of those who are there: what a story compares with at its end. A member trains before its
        kubelet has told the container's id."""
        found = {}

        def known():
            found.clear()
            found.update({m: container_of(p) for m, p in self.pods().items() if m != but})
            return all(found.values())
        wait_until(known, 30, "the kubelets have told the members' containers")
        return found

    def step(self):
        """The newest committed step, as the workers wrote it down: status says it every 10 s only."""
        try:
            lines = (self.folder / "steps.jsonl").read_text().splitlines()
        except FileNotFoundError:
            return 0
        return json.loads(lines[-1])["step"] if lines else 0

    def wait_step(self, step, seconds=60):
        wait_until(lambda: self.step() >= step, seconds, f"step {step}")

    def wait_state(self, state, seconds=120):
        def there():
            now = self.status().get("state")
            if now == "Failed" and state != "Failed":
                raise AssertionError(f"the job failed: {self.status()['conditions']}")
            return now == state
        wait_until(there, seconds, f"the job is {state}")

    def rescales(self, cause=None):
        return [each for each in self.status().get("rescales", []) if cause in (None, each["cause"])]

    def events(self):
        items = json.loads(self.kubectl("get", "events", "-o", "json", "--field-selector",
                                        f"involvedObject.name={self.name}"))["items"]
        return [(each["reason"], each["message"]) for each in items]


def container_of(pod):
    return pod["status"].get("containerStatuses", [{}])[0].get("containerID")


class TrainingCase(ClusterCase):

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        install()

    def setUp(self):
        super().setUp()
        self.space = self.namespace()
        wait_until(leader, 60, "somebody leads")

    def assert_exact(self, job, survivors=None, audited=True, unheard=0):
        """The bits of a run without faults, each slot of each step once; and, where there are survivors, these never
        left, and nobody read a checkpoint."""
        job.wait_state("Succeeded")
        status = job.status()
        steps = job.body["spec"]["training"]["steps"]
        self.assertEqual(status["result"]["digest"], digest_without_faults(steps))
        lines = [json.loads(line)["step"] for line in (job.folder / "steps.jsonl").read_text().splitlines()]
        self.assertEqual(lines, list(range(1, steps + 1)))
        if audited:
            self.assert_each_slot_once(job, unheard)
        for rescale in status["rescales"]:
            self.assertEqual(rescale.get("stepsLost", 0), 0, rescale)
        pods = job.pods()
        for member, container in (survivors or {}).items():
            self.assertEqual(container_of(pods[member]), container, f"member {member} is another container")
        if survivors:
            self.assert_no_checkpoint_read(job, survivors)

    def assert_each_slot_once(self, job, unheard=0):
        """In the audit. Of so many steps it may lack the line: a member has died with what it had computed of them
        while nobody was there to hear of it, or together with the only one who had."""
        training = job.body["spec"]["training"]
        file = AUDIT / f"{self.space}_{job.name}.jsonl"
        # The last step's line may follow the status that tells of the end.
        wait_until(lambda: len(file.read_text().splitlines()) >= training["steps"] - unheard, 20, "the audit is whole")
        steps = []
        for line in map(json.loads, file.read_text().splitlines()):
            steps.append(line["step"])
            slots = sorted(each["slot"] for each in line["slots"])
            self.assertEqual(slots, list(range(training["slots"])), f"step {line['step']}")
        self.assertEqual(steps, sorted(set(steps)))
        self.assertLessEqual(set(steps), set(range(1, training["steps"] + 1)))

    def assert_no_checkpoint_read(self, job, survivors):
        """As the pods that are still there say; a survivor's log has all of its life."""
        for member, pod in job.pods().items():
            log = try_kubectl("-n", self.space, "logs", pod["metadata"]["name"]).stdout
            self.assertNotIn('"restored"', log, f"member {member} read a checkpoint")
            if member in survivors:
                self.assertIn('"message"', log, f"the log of member {member}")

    def tell_rescale(self, rescale):
        self.tell(f"{rescale['cause']}: detect {rescale['detectSeconds']:.3f} s, stall {rescale['stallSeconds']:.3f} s")


main = harness.main
