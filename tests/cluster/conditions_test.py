"""What a cluster refuses or cannot give is a condition that says what to do, and passes when the cause has gone."""

import json
import re
import time

import training_harness as harness
from cluster_harness import apply, kubectl, try_kubectl, wait_until
from training_harness import Job, TrainingCase


def refused_creates():
    """Requests of the leader that the API server has forbidden, so far."""
    text = kubectl("get", "--raw", f"/api/v1/namespaces/{harness.SYSTEM}/pods/{harness.leader()}:8080/proxy/metrics")
    line = next((each for each in text.splitlines() if re.match(
        r'rest_client_requests_total\{.*code="403".*method="POST"', each)), "none 0")
    return float(line.split()[-1])


class ConditionCase(TrainingCase):

    def condition(self, job, kind):
        return next((each for each in job.status().get("conditions", []) if each["type"] == kind), {})

    def wait_condition(self, job, kind, status, reason, *words, seconds=40):
        """Until the condition has this status and reason; its message holds every word."""
        seen = {}

        def there():
            seen.clear()
            seen.update(self.condition(job, kind))
            return (seen.get("status"), seen.get("reason")) == (status, reason)

        try:
            took = wait_until(there, seconds, f"{kind} is {status} with {reason}")
        except AssertionError as error:
            raise AssertionError(f"{error}; seen: {seen}") from error
        for word in words:
            self.assertIn(word, seen["message"])
        self.tell(f"{kind} {status}, {reason} after {took:.1f} s: {seen['message']}")

    def container(self, job):
        return job.body["spec"]["workers"]["template"]["spec"]["containers"][0]


class RefusedTest(ConditionCase):

    def test_a_quota(self):
        quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "pods", "namespace": self.space},
                 "spec": {"hard": {"pods": "2"}}}
        apply(quota)
        before = refused_creates()
        job = Job(self, steps=2000)
        job.apply()
        self.wait_condition(job, "Degraded", "True", "QuotaExceeded", "exceeded quota: pods",
                            "raise the namespace's quota")
        job.wait_step(20)
        self.assertEqual(job.status()["members"], "2/3")
        # Asked for again a handful of times, not in a loop.
        self.assertIn(refused_creates() - before, range(1, 8))
        apply({**quota, "spec": {"hard": {"pods": "5"}}})
        wait_until(lambda: job.status().get("members") == "3/3", 90, "3 members")
        self.wait_condition(job, "Degraded", "False", "AllMembersPresent")
        self.assert_exact(job)

    def test_a_quota_below_the_minimum(self):
        apply({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "pods", "namespace": self.space},
               "spec": {"hard": {"pods": "1"}}})
        job = Job(self, steps=100, workers={"minReplicas": 2})
        job.apply()
        self.wait_condition(job, "Running", "False", "QuotaExceeded", "exceeded quota: pods")
        kubectl("-n", self.space, "delete", "resourcequota", "pods")
        job.wait_state("Succeeded")

    def test_a_template_that_the_api_server_refuses(self):
        job = Job(self, steps=100)
        self.container(job)["resources"]["requests"]["cpu"] = "1"
        self.container(job)["resources"]["limits"] = {"cpu": "10m"}
        job.apply()
        self.wait_condition(job, "Admitted", "False", "TemplateRefused", "must be less than or equal to cpu limit",
                            "mend spec.workers.template")
        self.assertEqual(job.pods(), {})
        del self.container(job)["resources"]["limits"]
        job.apply()
        job.wait_state("Succeeded")
        self.wait_condition(job, "Admitted", "True", "Accepted")


class WaitingTest(ConditionCase):

    def test_no_node_has_room(self):
        job = Job(self, steps=300)
        self.container(job)["resources"]["requests"]["cpu"] = "1000"
        job.apply()
        self.wait_condition(job, "Running", "False", "Unschedulable", "Insufficient cpu", "add nodes")

    def test_a_node_that_comes_later(self):
        label = f"test/{self.space}"
        for node in harness.harness.NODES:
            self.addCleanup(kubectl, "label", "node", node, f"{label}-")
        job = Job(self, steps=300)
        job.body["spec"]["workers"]["template"]["spec"]["nodeSelector"] = {label: "yes"}
        job.apply()
        self.wait_condition(job, "Running", "False", "Unschedulable", "node affinity/selector")
        for node in harness.harness.NODES:
            kubectl("label", "node", node, f"{label}=yes")
        self.assert_exact(job)

    def test_an_image_that_is_not_there(self):
        job = Job(self, steps=300)
        self.container(job)["image"] = "muster/none:0.1.0"
        job.apply()
        self.wait_condition(job, "Running", "False", "ImagePullFailed", "ErrImageNeverPull", "imagePullSecrets")

    def test_a_registry_that_is_not_there(self):
        job = Job(self, steps=300)
        self.container(job)["image"] = "registry.invalid/muster/worker:0.1.0"
        self.container(job)["imagePullPolicy"] = "IfNotPresent"
        job.apply()
        self.wait_condition(job, "Running", "False", "ImagePullFailed", "registry.invalid", "reaches the registry",
                            seconds=90)

    def test_a_config_map_that_comes_later(self):
        job = Job(self, steps=300)
        self.container(job)["envFrom"] = [{"configMapRef": {"name": "settings"}}]
        job.apply()
        self.wait_condition(job, "Running", "False", "ContainerCannotStart", 'configmap "settings" not found',
                            "ConfigMaps")
        apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings", "namespace": self.space},
               "data": {"MUSTER_TEST": "1"}})
        self.assert_exact(job)


class EndTest(ConditionCase):

    def test_a_worker_that_crashes_at_its_start(self):
        job = Job(self, steps=300)
        self.container(job)["command"] = ["/usr/bin/no-such-program"]
        job.apply()
        began = time.monotonic()
        self.wait_condition(job, "Running", "False", "WorkersCrash", "in a row", "the log of its pod", seconds=60)
        job.wait_state("Failed", 240)
        self.tell(f"given up {time.monotonic() - began:.0f} s after it was applied")
        self.wait_condition(job, "Failed", "True", "WorkersCrash")
        self.assertLess(len([reason for reason, _ in job.events() if reason == "PodCreated"]), 30)

    def test_a_worker_that_refuses_its_settings(self):
        job = Job(self, steps=300)
        self.container(job)["env"] = [{"name": "MUSTER_THREADS", "value": "many"}]
        job.apply()
        job.wait_state("Failed")
        self.wait_condition(job, "Failed", "True", "BadConfiguration", "MUSTER_THREADS", "many")

    def test_a_checkpoint_path_that_is_not_shared(self):
        job = Job(self, steps=400)
        job.body["spec"]["checkpoint"]["everySteps"] = 20
        job.body["spec"]["workers"]["template"]["spec"]["volumes"][1] = {"name": "checkpoints", "emptyDir": {}}
        job.apply()
        self.wait_condition(job, "Degraded", "True", "CheckpointFailed", "must be one that all members share")
        self.assertEqual(job.status().get("checkpoint"), None)

    def test_a_job_that_is_to_go_after_its_end(self):
        job = Job(self, steps=50, ttlSecondsAfterFinished=4)
        job.apply()
        job.wait_state("Succeeded")
        ended = time.monotonic()
        wait_until(lambda: try_kubectl("-n", self.space, "get", "trainingjob", "licences").returncode != 0, 20,
                   "the job is gone")
        self.assertGreater(time.monotonic() - ended, 2)
        wait_until(lambda: not job.pods(), 20, "its pods are gone")
        left = json.loads(kubectl("-n", self.space, "get", "service,networkpolicy,poddisruptionbudget", "-o", "json"))
        self.assertEqual(left["items"], [])


if __name__ == "__main__":
    harness.main()
