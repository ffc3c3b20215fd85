"""kubectl drain of a node with a worker: it leaves in order, nothing is lost or computed twice."""

import json

import training_harness as harness
from cluster_harness import cluster, kubectl, wait_until
from training_harness import Job, TrainingCase


class DrainCase(TrainingCase):

    def setUp(self):
        super().setUp()
        for node in harness.harness.NODES:
            self.addCleanup(kubectl, "uncordon", node)

    def drain(self, node, seconds=60):
        """As a person does it; the scratch of workers is an emptyDir. Fails when the drain does not end."""
        took = wait_until(lambda: kubectl("drain", node, "--ignore-daemonsets", "--delete-emptydir-data",
                                          f"--timeout={seconds}s", seconds=seconds + 15) is not None, 1, "drained")
        self.tell(f"kubectl drain ended after {took:.1f} s")

    def assert_left_in_order(self, job, member):
        """One view without the member, by its own leave: no step and no slot done again, nobody evicted."""
        status = job.status()
        drained = job.rescales("Drained")
        self.assertEqual(len(drained), 1, [each["cause"] for each in status["rescales"]])
        self.assertNotIn(member, job.pods())
        for rescale in status["rescales"]:
            self.assertEqual((rescale.get("stepsLost", 0), rescale.get("slotsRecomputed", 0)), (0, 0), rescale)
        self.assertNotIn("MemberEvicted", {reason for reason, _ in job.events()})
        charged = [each for each in status.get("failures", []) if each.get("charged")]
        self.assertEqual(charged, [])
        for rescale in drained:
            self.tell_rescale(rescale)


class DrainTest(DrainCase):

    def test_a_node_of_three(self):
        job = Job(self, steps=2000)
        job.apply()
        job.wait_step(100)
        member, pod = job.worker_away_from_leader()
        node = pod["spec"]["nodeName"]
        survivors = job.containers(but=member)
        self.drain(node)
        wait_until(lambda: len([p for p in job.pods().values() if p["spec"].get("nodeName") != node]) == 3, 20,
                   "another worker elsewhere")
        self.assert_exact(job, survivors)
        self.assert_left_in_order(job, member)

    def test_the_only_worker_of_a_job(self):
        job = Job(self, steps=2000, workers={"replicas": 1, "minReplicas": 1, "maxReplicas": 3})
        job.apply()
        job.wait_step(100)
        (member, pod), = job.pods().items()
        node = pod["spec"]["nodeName"]
        self.drain(node)
        self.assertTrue([message for reason, message in job.events() if reason == "PodCreated" and "cordoned" in message],
                        job.events())
        self.assert_exact(job)
        self.assert_left_in_order(job, member)
        self.assertEqual(len([p for p in job.pods().values() if p["spec"]["nodeName"] != node]), 1)

    def test_an_eviction_is_held_back_while_there_is_nowhere_to_go(self):
        """All nodes are cordoned: the budget keeps the worker, it trains on, and goes once there is room."""
        job = Job(self, steps=2000, workers={"replicas": 1, "minReplicas": 1, "maxReplicas": 3})
        job.apply()
        job.wait_step(50)
        (member, pod), = job.pods().items()
        for node in harness.harness.NODES:
            kubectl("cordon", node)
        wait_until(lambda: len(job.pods()) == 2, 20, "one pod more")
        review = {"apiVersion": "policy/v1", "kind": "Eviction",
                  "metadata": {"name": pod["metadata"]["name"], "namespace": self.space}}
        path = f"/api/v1/namespaces/{self.space}/pods/{pod['metadata']['name']}/eviction"
        said = harness.harness.try_kubectl("create", "--raw", path, "-f", "-", stdin=json.dumps(review))
        self.assertNotEqual(said.returncode, 0, said.stdout)
        self.assertIn("disruption budget", said.stdout)
        step = job.step()
        job.wait_step(step + 20)
        other = next(node for node in harness.harness.NODES if node != pod["spec"]["nodeName"])
        kubectl("uncordon", other)
        self.drain(pod["spec"]["nodeName"])
        self.assert_exact(job)
        self.assert_left_in_order(job, member)


if __name__ == "__main__":
    harness.main()
