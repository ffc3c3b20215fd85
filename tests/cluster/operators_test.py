"""Operators that are killed or frozen, and a watch that etcd has forgotten."""

import json
import time

import training_harness as harness
from cluster_harness import cluster, kubectl, wait_until
from training_harness import (OPERATOR, WORKER, Job, TrainingCase, kill_leader, leader, set_operator,
                              signal_pod)


class OperatorCase(TrainingCase):

    def wait_another_leads(self, former, began):
        wait_until(lambda: leader() not in ("", former), 40, "another leads")
        self.tell(f"another operator leads {time.monotonic() - began:.1f} s after it")

    def signal_leader(self, number):
        """To the process of the leader's pod; what sends another signal to the same one."""
        name = leader()
        pod = next(each for each in harness.operator_pods() if each["metadata"]["name"] == name)

        signal_pod(pod, OPERATOR, number)
        return lambda another: signal_pod(pod, OPERATOR, another)

    def assert_no_double(self, job, creates):
        """As many pods as were wanted, each name once."""
        items = json.loads(kubectl("-n", self.space, "get", "pods", "-o", "json"))["items"]
        members = [each["metadata"]["labels"]["muster.dev/member"] for each in items]
        self.assertEqual(len(members), len(set(members)), members)
        self.assertLessEqual(len(members), creates, members)


class KilledTest(OperatorCase):

    def test_before_it_creates_the_pods(self):
        job = Job(self, steps=600)
        former = leader()
        self.signal_leader("STOP")
        job.apply()
        self.assertEqual(job.pods(), {})
        began = time.monotonic()
        kill_leader()
        self.wait_another_leads(former, began)
        self.assert_exact(job)
        self.assert_no_double(job, 3)

    def test_when_it_has_created_one(self):
        job = Job(self, steps=600)
        job.apply()
        wait_until(job.pods, 20, "one pod")
        began, former = time.monotonic(), kill_leader()
        self.wait_another_leads(former, began)
        self.assert_exact(job)
        self.assert_no_double(job, 3)

    def test_in_mid_rescale(self):
        job = Job(self, steps=2000)
        job.apply()
        job.wait_step(100)
        member, pod = job.worker_away_from_leader()
        survivors = job.containers(but=member)
        former, began = leader(), time.monotonic()
        signal_pod(pod, WORKER, "KILL")
        kill_leader()
        self.wait_another_leads(former, began)
        wait_until(lambda: [(each["from"], each["to"]) for each in job.rescales()][-2:] == [(3, 2), (2, 3)], 60,
                   "the loss, and three members again")
        self.tell(f"three members again {time.monotonic() - began:.1f} s after worker and leader were killed")
        # What the worker said of its last step, it said to the leader that died with it.
        self.assert_exact(job, survivors, unheard=1)


class FrozenTest(OperatorCase):

    def test_a_leader_that_wakes_up_with_writes_under_way(self):
        job = Job(self, steps=2000, workers={"replicas": 1})
        job.apply()
        job.wait_step(100)
        survivors = job.containers()
        former = leader()
        kubectl("-n", self.space, "scale", "trainingjob/licences", "--replicas=4")
        send, began = self.signal_leader("STOP"), time.monotonic()
        self.addCleanup(send, "CONT")
        step = job.step()
        self.wait_another_leads(former, began)
        send("CONT")
        wait_until(lambda: job.status().get("members") == "4/4", 60, "four members")
        self.assertGreater(job.step(), step, "training went on meanwhile")
        self.assertNotEqual(leader(), former)
        self.assertEqual(job.status()["membership"]["term"], 2)
        self.assert_exact(job, survivors)
        self.assert_no_double(job, 4)


class CompactionTest(OperatorCase):

    def test_watches_that_etcd_has_forgotten(self):
        """The API server starts anew with a cache that begins after the compaction: resuming a watch is answered 410.
        A leader that keeps its Lease through it has watches to resume; one that lost it would list from nothing."""
        self.addCleanup(harness.install_again)
        set_operator("--leader-elect-lease-duration=60s", "--leader-elect-renew-deadline=40s")
        lead = leader()
        for number in range(20):
            kubectl("annotate", "namespace", self.space, f"test/revision={number}", "--overwrite")
        cluster("stop", "kube-apiserver")
        cluster("compact")
        cluster("start", "kube-apiserver")
        wait_until(harness.harness.api_is_ready, 60, "the API server is ready")
        wait_until(lambda: "the watched version is too old" in kubectl("-n", harness.SYSTEM, "logs", lead), 60,
                   "the leader is told 410")
        job = Job(self, steps=2000)
        job.apply()
        job.wait_step(100)
        member, pod = job.worker_away_from_leader()
        survivors = job.containers(but=member)
        signal_pod(pod, WORKER, "KILL")
        wait_until(lambda: any(each["from"] < each["to"] == 3 for each in job.rescales()[1:]), 60,
                   "the killed worker is replaced")
        self.assertEqual(leader(), lead)
        self.assert_exact(job, survivors)


if __name__ == "__main__":
    harness.main()
