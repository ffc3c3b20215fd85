"""kubectl apply, and what happens to the machines: the bits are those of `muster run` without a fault."""

import json
import time

import training_harness as harness
from cluster_harness import cluster, kubectl, try_kubectl, wait_until
from training_harness import WORKER, Job, TrainingCase, kill_leader, leader, node_of_leader, signal_pod


class ApplyTest(TrainingCase):

    def test_a_job_ends_with_the_digest_of_one_machine(self):
        job = Job(self, steps=300)
        job.apply()
        wait_until(lambda: len(job.pods()) == 3, 20, "three pods")
        self.assert_exact(job)
        conditions = {each["type"]: each for each in job.status()["conditions"]}
        self.assertEqual(conditions["Succeeded"]["status"], "True")
        kubectl("-n", self.space, "wait", "trainingjob/licences", "--for=condition=Succeeded", "--timeout=1s")
        columns = kubectl("-n", self.space, "get", "tj").split()
        self.assertIn("Succeeded", columns)
        self.assertIn("3/3", columns)
        said = harness.run(harness.BUILD / "muster", "status", "licences", "-n", self.space,
                           "--kubeconfig", kubectl_config())
        self.assertIn(job.status()["result"]["digest"], said)


class DeleteTest(TrainingCase):

    def test_a_job_that_is_deleted_leaves_nothing(self):
        job = Job(self, steps=5000)
        job.apply()
        job.wait_step(20)
        began = time.monotonic()
        kubectl("-n", self.space, "delete", "trainingjob", "licences")
        wait_until(lambda: not job.pods(), 40, "no pods")
        self.tell(f"no pod is left {time.monotonic() - began:.1f} s after the deletion")
        for kind in ("configmap", "service", "poddisruptionbudget", "networkpolicy"):
            left = [each for each in kubectl("-n", self.space, "get", kind, "-o", "name").split()
                    if not each.endswith("kube-root-ca.crt")]
            self.assertEqual(left, [])

    def test_a_namespace_that_is_deleted_goes(self):
        job = Job(self, steps=5000)
        job.apply()
        job.wait_step(20)
        kubectl("delete", "namespace", self.space, "--wait=true", "--timeout=60s", seconds=90)


class PowerTest(TrainingCase):

    def lose(self, job, node):
        """Powers the node off; the members that survive, by container."""
        pods = job.pods()
        survivors = {m: each for m, each in job.containers().items() if pods[m]["spec"]["nodeName"] != node}
        self.assertEqual(len(survivors), 2)
        cluster("off", node)
        return survivors

    def test_a_node_without_the_leader(self):
        job = Job(self, steps=900)
        job.apply()
        job.wait_step(100)
        lead = node_of_leader()
        node = next(pod["spec"]["nodeName"] for pod in job.pods().values() if pod["spec"]["nodeName"] != lead)
        survivors = self.lose(job, node)
        wait_until(lambda: job.rescales("HeartbeatTimeout"), 15, "the lost worker is evicted")
        wait_until(lambda: job.rescales("Joined"), 30, "a replacement is in")
        self.assert_exact(job, survivors)
        lost = job.rescales("HeartbeatTimeout")[0]
        self.tell_rescale(lost)
        # Power lost, not a connection closed: the heartbeat alone can tell.
        self.assertGreaterEqual(lost["detectSeconds"], 0.8)
        self.assertEqual((lost["from"], lost["to"]), (3, 2))
        # The lost pod went without anybody's help, though its kubelet says nothing more.
        self.assertNotIn(node, [pod["spec"]["nodeName"] for pod in job.pods().values()])
        reasons = {reason for reason, _ in job.events()}
        self.assertLessEqual({"MemberEvicted", "PodCreated", "PodDeleted", "Rescaled"}, reasons)

    def test_a_node_with_the_leader(self):
        job = Job(self, steps=2500)
        job.apply()
        job.wait_step(100)
        node = node_of_leader()
        self.assertIn(node, [pod["spec"]["nodeName"] for pod in job.pods().values()])
        former = leader()
        began = time.monotonic()
        survivors = self.lose(job, node)
        wait_until(lambda: leader() not in ("", former), 30, "another leads")
        self.tell(f"another operator leads {time.monotonic() - began:.1f} s after the power went")
        wait_until(lambda: len(job.rescales()) >= 2 and job.status()["membership"]["term"] == 2, 30, "the worker is evicted")
        self.tell(f"the survivors have a new view {time.monotonic() - began:.1f} s after the power went")
        # What the lost worker said of its last step may have gone with the leader.
        self.assert_exact(job, survivors, unheard=1)


class LinkTest(TrainingCase):

    def lost(self, job):
        """The one loss, which membership decided upon, and no kubelet."""
        (failure,) = job.status()["failures"]
        return failure["reason"]

    def test_a_node_that_is_cut_off_and_heals(self):
        job = Job(self, steps=1500)
        job.apply()
        job.wait_step(100)
        member, pod = job.worker_away_from_leader()
        node = pod["spec"]["nodeName"]
        survivors = job.containers(but=member)
        cluster("cut", node)
        wait_until(lambda: job.rescales("Joined"), 40, "a replacement is in")
        cluster("heal", node)
        self.assert_exact(job, survivors)
        self.assertGreaterEqual(job.rescales("HeartbeatTimeout")[0]["detectSeconds"], 0.8)
        self.assertEqual(self.lost(job), "HeartbeatTimeout")

    def test_a_node_that_is_frozen_and_thaws(self):
        job = Job(self, steps=1500)
        job.apply()
        job.wait_step(100)
        member, pod = job.worker_away_from_leader()
        survivors = job.containers(but=member)
        cluster("freeze", pod["spec"]["nodeName"])
        wait_until(lambda: job.rescales("Joined"), 40, "a replacement is in")
        cluster("thaw", pod["spec"]["nodeName"])
        self.assert_exact(job, survivors)
        self.assertGreaterEqual(job.rescales("HeartbeatTimeout")[0]["detectSeconds"], 0.8)
        self.assertEqual(self.lost(job), "HeartbeatTimeout")

    def test_two_nodes_that_do_not_hear_each_other(self):
        """Both beat and both wait in the reduction: only the link itself tells. All members once stood for good."""
        job = Job(self, steps=2000)
        spread = {"maxSkew": 1, "topologyKey": "kubernetes.io/hostname", "whenUnsatisfiable": "ScheduleAnyway",
                  "labelSelector": {"matchLabels": {"muster.dev/job-name": "licences"}}}
        job.body["spec"]["workers"]["template"]["spec"]["topologySpreadConstraints"] = [spread]
        job.apply()
        job.wait_step(100)
        lead = node_of_leader()
        nodes = {pod["spec"]["nodeName"]: member for member, pod in job.pods().items()}
        others = sorted(node for node in nodes if node != lead)
        self.assertEqual(len(others), 2, "a worker on each of the two nodes without the leader")
        bystander = {nodes[lead]: job.containers()[nodes[lead]]}
        cluster("cut", others[0], "--to", others[1])
        began, step = time.monotonic(), job.step()
        wait_until(lambda: any(each["to"] == 2 for each in job.rescales()), 40, "one is evicted")
        job.wait_step(step + 20)
        self.tell(f"training went on within {time.monotonic() - began:.1f} s of the cut")
        cluster("heal", others[0], "--to", others[1])
        wait_until(lambda: job.status().get("failures"), 20, "the loss is written down")
        (failure,) = job.status()["failures"]
        self.assertEqual((failure["reason"], failure["charged"]), ("CannotReach", True), "why it was evicted, and not how it ended")
        self.assert_exact(job, bystander)


class OperatorTest(TrainingCase):

    def test_a_leader_that_is_killed_stops_nobody(self):
        job = Job(self, steps=2500)
        job.apply()
        job.wait_step(100)
        survivors = job.containers()
        began, step = time.monotonic(), job.step()
        former = kill_leader()
        wait_until(lambda: leader() not in ("", former), 30, "another leads")
        self.tell(f"another operator leads {time.monotonic() - began:.1f} s after the kill")
        wait_until(lambda: job.status()["membership"]["term"] == 2, 30, "the next term")
        self.assertGreater(job.step(), step, "training went on meanwhile")
        self.assert_exact(job, survivors)

    def test_an_outage_of_the_api_server_with_a_worker_killed_in_it(self):
        job = Job(self, steps=4000)
        job.apply()
        job.wait_step(100)
        member, pod = job.worker_away_from_leader()
        survivors = job.containers(but=member)
        cluster("stop", "kube-apiserver")
        time.sleep(20)
        step = job.step()
        self.assertGreater(step, 100, "training goes on without an API server")
        # The leader cannot renew and has closed the streams: nobody is there to say who goes on.
        signal_pod(pod, WORKER, "KILL")
        time.sleep(5)
        stood = job.step()
        time.sleep(5)
        self.assertEqual(job.step(), stood, "the others wait in the step that the member was lost in")
        began = time.monotonic()
        cluster("start", "kube-apiserver")
        job.wait_step(stood + 1, 60)
        self.tell(f"training goes on {time.monotonic() - began:.1f} s after the API server was started again")
        self.assert_exact(job, survivors, unheard=1)


class ScaleTest(TrainingCase):

    def scale(self, job, replicas, members):
        kubectl("-n", self.space, "scale", "trainingjob/licences", f"--replicas={replicas}")
        wait_until(lambda: job.status().get("members") == members, 40, f"{members} members")

    def test_down_and_up_through_the_scale_subresource(self):
        job = Job(self, steps=3000)
        job.apply()
        job.wait_step(50)
        self.scale(job, 1, "1/1")
        wait_until(lambda: len([p for p in job.pods().values() if p["status"]["phase"] == "Running"]) == 1, 40,
                   "one pod runs")
        self.scale(job, 5, "5/5")
        self.assert_exact(job)

    def test_suspend_and_resume(self):
        job = Job(self, steps=1500)
        job.apply()
        job.wait_step(100)
        kubectl("-n", self.space, "patch", "trainingjob", "licences", "--type=merge", "-p",
                json.dumps({"spec": {"suspend": True}}))
        job.wait_state("Suspended", 60)
        wait_until(lambda: not [p for p in job.pods().values() if p["status"]["phase"] in ("Pending", "Running")], 40,
                   "no pod runs")
        kubectl("-n", self.space, "patch", "trainingjob", "licences", "--type=merge", "-p",
                json.dumps({"spec": {"suspend": False}}))
        job.wait_state("Running", 60)
        self.assert_exact(job)


def kubectl_config():
    return harness.harness.kubectl_program()[1].removeprefix("--kubeconfig=")


if __name__ == "__main__":
    harness.main()
