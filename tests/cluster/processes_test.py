"""Pods of several processes on real nodes that advertise GPUs, by a patch: the engine is the CPU's.

What is real: scheduling (one pod a node), the environment, /dev/shm, the parent of each pod and its processes, tokens,
and what the loss of a process, a pod and a node costs. What is not: a GPU; nothing here asks a device for anything.
"""

import json

import training_harness as harness
from cluster_harness import NODES, cluster, kubectl, wait_until
from training_harness import WORKER, Job, TrainingCase, container_of

GPUS = 2
RESOURCE = "nvidia.com/gpu"
POINTER = "/status/capacity/nvidia.com~1gpu"
EVERYBODY = {f"{ordinal}.0" for ordinal in range(6)}
PARENT = "parent"


def patch_nodes(nodes, operation, **value):
    for node in nodes:
        kubectl("patch", "node", node, "--subresource=status", "--type=json", "-p",
                json.dumps([{"op": operation, "path": POINTER, **value}]))


def allocatable(node):
    """What the scheduler may give away: the kubelet copies it from the capacity, some time after the patch."""
    return json.loads(kubectl("get", "node", node, "-o", "json"))["status"]["allocatable"].get(RESOURCE, "0")


def advertise(*nodes):
    """As administrators advertise what no device plugin knows of. A kubelet that starts sets it back to none."""
    patch_nodes(nodes, "add", value=str(GPUS))
    wait_until(lambda: all(allocatable(node) == str(GPUS) for node in nodes), 40, f"{RESOURCE} can be had")


def take_back():
    for node in NODES:
        if RESOURCE in json.loads(kubectl("get", "node", node, "-o", "json"))["status"]["capacity"]:
            patch_nodes([node], "remove")


class PairJob(Job):
    """Workers of two processes, each of which asks for a GPU and computes on the CPU."""

    def __init__(self, case, gpus=GPUS, **kwargs):
        workers = {"processesPerWorker": 2, "maxReplicas": 4, **kwargs.pop("workers", {})}
        super().__init__(case, workers=workers, **kwargs)
        self.body["spec"]["program"]["config"]["device"] = "cpu"
        container, = self.body["spec"]["workers"]["template"]["spec"]["containers"]
        container["resources"]["limits"] = {RESOURCE: str(gpus)}

    def processes(self, pod):
        """{member: pid on its node} of the pod's processes; the pod's first one is PARENT."""
        found = {}
        said = cluster("run", pod["spec"]["nodeName"], "sh", "-c",
                       f"for p in $(pgrep -f '{WORKER}'); do grep -q {pod['metadata']['uid']} /proc/$p/cgroup && "
                       "echo $p $(tr '\\0' '\\n' </proc/$p/environ | grep -E '^MUSTER_(MEMBER|PROCESSES)='); done; true")
        for line in said.splitlines():
            pid, *variables = line.split()
            # One that ends while it is looked at has no environment any more.
            if not variables:
                continue
            member = next(each.partition("=")[2] for each in variables if each.startswith("MUSTER_MEMBER="))
            found[PARENT if any(each.startswith("MUSTER_PROCESSES=") for each in variables) else member] = int(pid)
        return found

    def everything(self):
        """{pod: {member: pid}} of all pods that have a node."""
        return {pod: self.processes(each) for pod, each in self.pods().items() if each["spec"].get("nodeName")}

    def signal(self, pod, member, number):
        cluster("run", pod["spec"]["nodeName"], "kill", f"-{number}", self.processes(pod)[member])

    def trained(self):
        """Those that computed the newest step of the audit."""
        try:
            lines = (harness.AUDIT / f"{self.space}_{self.name}.jsonl").read_text().splitlines()
        except FileNotFoundError:
            return set()
        return {slot["member"] for slot in json.loads(lines[-1])["slots"]} if lines else set()

    def wait_trained(self, members, seconds=60):
        wait_until(lambda: self.trained() == set(members), seconds, f"{sorted(members)} train, and nobody else")


class ProcessesCase(TrainingCase):

    def setUp(self):
        super().setUp()
        self.addCleanup(take_back)
        advertise(*NODES)

    def begin(self, steps, **kwargs):
        """A job in which all six train: (job, {pod: {member: pid}})."""
        job = PairJob(self, steps=steps, **kwargs)
        job.apply()
        job.wait_trained(EVERYBODY)
        everything = job.everything()
        self.assertEqual({pod: set(own) for pod, own in everything.items()},
                         {"0.0": {PARENT, "0.0", "1.0"}, "1.0": {PARENT, "2.0", "3.0"}, "2.0": {PARENT, "4.0", "5.0"}})
        return job, everything

    def failures(self, job):
        return {each["member"]: each["reason"] for each in job.status().get("failures", [])}


class TrainTest(ProcessesCase):

    def test_two_processes_a_pod_and_one_pod_a_node(self):
        job, everything = self.begin(300)
        pods = job.pods()
        self.assertEqual(sorted(pod["spec"]["nodeName"] for pod in pods.values()), sorted(NODES))
        pod = pods["1.0"]
        node, pids = pod["spec"]["nodeName"], everything["1.0"]
        variables = {member: dict(line.partition("=")[::2] for line in cluster(
            "run", node, "sh", "-c", f"tr '\\0' '\\n' </proc/{pid}/environ").splitlines()) for member, pid in pids.items()}
        self.assertEqual((variables[PARENT]["MUSTER_MEMBER"], variables[PARENT]["MUSTER_PROCESSES"]), ("1.0", "2"))
        for number, member in enumerate(("2.0", "3.0")):
            self.assertEqual((variables[member]["MUSTER_PROCESS"], variables[member]["MUSTER_METRICS_PORT"]),
                             (str(number), str(9464 + number)))
        shared = [line.split() for line in cluster("run", node, "cat", f"/proc/{pids['2.0']}/mounts").splitlines()
                  if line.split()[1] == "/dev/shm"]
        self.assertEqual([each[2] for each in shared], ["tmpfs"])
        # A container runtime's own has 64 MiB.
        self.assertNotIn("size=65536k", shared[0][3])
        self.assert_exact(job)
        self.assertEqual(job.status()["members"], "6/6")

    def test_a_job_with_too_few_gpus_makes_no_pods(self):
        job = PairJob(self, gpus=1)
        job.apply()

        def admitted():
            conditions = {each["type"]: each for each in job.status().get("conditions", [])}
            return conditions.get("Admitted", {}).get("reason")
        wait_until(lambda: admitted() == "GpuMismatch", 20, "it is not admitted")
        self.assertEqual(job.pods(), {})


class LossTest(ProcessesCase):

    def test_a_process_that_is_killed_takes_nobody_along(self):
        job, before = self.begin(1500)
        containers = job.containers()
        job.signal(job.pods()["1.0"], "3.0", "KILL")
        job.wait_trained(EVERYBODY - {"3.0"} | {"3.1"})
        now = job.everything()
        self.assertEqual(set(now["1.0"]), {PARENT, "2.0", "3.1"})
        for member in (PARENT, "2.0"):
            self.assertEqual(now["1.0"][member], before["1.0"][member], f"{member} is another process")
        for pod in ("0.0", "2.0"):
            self.assertEqual(now[pod], before[pod])
        self.assert_exact(job, containers)
        self.assertEqual(set(self.failures(job)), {"3.0"})
        self.tell_rescale(next(each for each in job.rescales() if each["to"] == 5))

    def test_a_process_that_hangs_is_killed_by_its_parent(self):
        job, before = self.begin(1500)
        containers = job.containers()
        job.signal(job.pods()["2.0"], "4.0", "STOP")
        job.wait_trained(EVERYBODY - {"4.0"} | {"4.1"})
        now = job.everything()
        self.assertEqual(set(now["2.0"]), {PARENT, "4.1", "5.0"})
        self.assertEqual(now["2.0"]["5.0"], before["2.0"]["5.0"])
        self.assert_exact(job, containers)
        self.assertEqual(self.failures(job), {"4.0": "HeartbeatTimeout"})

    def test_a_pod_that_dies_takes_both_along(self):
        job, before = self.begin(1500)
        containers = job.containers(but="1.0")
        job.signal(job.pods()["1.0"], PARENT, "KILL")
        job.wait_trained({"0.0", "1.0", "4.0", "5.0", "2.1000", "3.1000"})
        now = job.everything()
        self.assertEqual({pod: now[pod] for pod in ("0.0", "2.0")}, {pod: before[pod] for pod in ("0.0", "2.0")})
        self.assert_exact(job, containers)
        # One loss for the pod, under the id that no process has.
        self.assertIn("2.999", self.failures(job))

    def test_a_node_that_loses_its_power_takes_both_along(self):
        job, before = self.begin(4000)
        pod, lost = job.worker_away_from_leader()
        node = lost["spec"]["nodeName"]
        containers = job.containers(but=pod)
        left = {member for each, own in before.items() if each != pod for member in own} - {PARENT}
        cluster("off", node)
        job.wait_trained(left)
        wait_until(lambda: pod not in job.pods(), 30, "the lost pod is gone")

        def waiting():
            return [each for each in job.pods().values() if not each["spec"].get("nodeName")]
        wait_until(waiting, 30, "another pod, which waits for a node of its own")
        cluster("on", node)
        self.wait_ready(node, 40)
        advertise(node)
        ordinal = int(pod.split(".")[0])
        came = {f"{2 * ordinal}.1000", f"{2 * ordinal + 1}.1000"}
        job.wait_trained(left | came, 90)
        self.assertEqual({container_of(each) for name, each in job.pods().items() if name in containers},
                         set(containers.values()))
        now = job.everything()
        for each in containers:
            self.assertEqual(now[each], before[each], f"a process of pod {each} is another one")
        self.assert_exact(job, containers)
        self.assertEqual(job.pods()[f"{ordinal}.1"]["spec"]["nodeName"], node)
        first = next(each for each in job.rescales() if each["cause"] == "HeartbeatTimeout")
        self.tell_rescale(first)
        self.assertEqual((first["from"], job.rescales()[-1]["to"]), (6, 6))


class ScaleTest(ProcessesCase):

    def scale(self, job, replicas):
        kubectl("-n", self.space, "scale", f"trainingjob/{job.name}", f"--replicas={replicas}")

    def test_down_and_up_in_whole_pods_and_no_further_than_there_are_nodes(self):
        job, before = self.begin(4000)
        self.scale(job, 2)
        job.wait_trained({"0.0", "1.0", "2.0", "3.0"})
        self.scale(job, 3)
        job.wait_trained({"0.0", "1.0", "2.0", "3.0", "4.1000", "5.1000"})
        self.scale(job, 4)

        def degraded():
            return {each["type"]: each for each in job.status()["conditions"]}.get("Degraded", {}).get("reason")
        wait_until(lambda: degraded() == "Unschedulable", 30, "no node is left for a fourth pod")
        now = job.everything()
        for pod in ("0.0", "1.0"):
            self.assertEqual(now[pod], before[pod])
        self.assert_exact(job)

    def test_a_drained_node_lets_both_leave_in_order(self):
        job, before = self.begin(4000)
        pod, leaving = job.worker_away_from_leader()
        node = leaving["spec"]["nodeName"]
        self.addCleanup(kubectl, "uncordon", node)
        kubectl("drain", node, "--ignore-daemonsets", "--delete-emptydir-data", "--timeout=60s", seconds=75)
        job.wait_trained({member for each, own in before.items() if each != pod for member in own} - {PARENT})
        kubectl("uncordon", node)
        wait_until(lambda: len(job.trained()) == 6, 60, "all six train again")
        now = job.everything()
        for each in before:
            if each != pod:
                self.assertEqual(now[each], before[each])
        self.assert_exact(job)
        self.assertNotIn("MemberEvicted", {reason for reason, _ in job.events()})
        self.assertEqual([each for each in job.status().get("failures", []) if each.get("charged")], [])
        for rescale in job.rescales("Drained"):
            self.assertEqual(rescale.get("slotsRecomputed", 0), 0, rescale)
        self.assertTrue(job.rescales("Drained"))


if __name__ == "__main__":
    harness.main()
