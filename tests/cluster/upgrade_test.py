"""The chart is upgraded to another build while a job trains, and then a worker is killed: one job, one build."""

import os
import re
import shutil

import training_harness as harness
from chart_test import CHART, helm
from cluster_harness import cluster, kubectl, wait_until
from training_harness import BUILD, SYSTEM, WORKER, Job, TrainingCase, leader, operator_pods, run, signal_pod

NEXT = "next"


class UpgradeTest(TrainingCase):

    def make_another_build(self):
        """Images of the same programs under other build ids: what tells two builds apart."""
        folder = self.folder / "programs"
        folder.mkdir()
        for program in ("muster", "muster-worker"):
            said = run(BUILD / program, "version" if program == "muster" else "--version")
            own = bytes.fromhex(re.search(r"build ([0-9a-f]{40})", said).group(1))
            text = (BUILD / program).read_bytes()
            self.assertEqual(text.count(own), 1)
            (folder / program).write_bytes(text.replace(own, os.urandom(len(own))))
            shutil.copymode(BUILD / program, folder / program)
            self.assertNotIn(own.hex(), run(folder / program, "version" if program == "muster" else "--version"))
        for role in ("operator", "worker"):
            archive = self.folder / f"{role}.tar"
            run(harness.harness.SOURCE / "hack/image", "build", role, "--programs", folder, "--name",
                f"muster/{role}:{NEXT}", "-o", archive)
            cluster("load", archive)

    def image_of(self, pod):
        return next(each for each in pod["spec"]["containers"] if each["name"] == "worker")["image"]

    def leader_s_image(self):
        name = leader()
        return next((each["spec"]["containers"][0]["image"] for each in operator_pods()
                     if each["metadata"]["name"] == name), "")

    def test_the_chart_with_another_build(self):
        self.addCleanup(harness.install_again)
        self.addCleanup(helm, "uninstall", "muster", "-n", SYSTEM, "--ignore-not-found")
        # As docs/install.md says of who has begun with install.yaml.
        helm("upgrade", "--install", "muster", CHART, "-n", SYSTEM, "--take-ownership", "--wait", "--timeout", "60s")
        wait_until(leader, 30, "somebody leads")
        self.make_another_build()
        job = Job(self, steps=3000)
        job.apply()
        job.wait_step(100)
        began_with = self.image_of(job.pods()["0.0"])
        step = job.step()
        helm("upgrade", "muster", CHART, "-n", SYSTEM, "--reset-then-reuse-values", "--set",
             f"image.tag={NEXT},workerImage.tag={NEXT}", "--wait", "--timeout", "60s")
        wait_until(lambda: self.leader_s_image().endswith(f":{NEXT}"), 40, "an operator of the new build leads")
        self.assertGreater(job.step(), step, "training went on meanwhile")
        member, pod = sorted(job.pods().items())[1]
        survivors = job.containers(but=member)
        signal_pod(pod, WORKER, "KILL")
        wait_until(lambda: job.rescales("Joined"), 40, "a replacement is in")
        self.assertEqual({self.image_of(each) for each in job.pods().values()}, {began_with})
        self.assertEqual(job.status()["workerImage"], began_with)
        # The chart has no value for an audit.
        self.assert_exact(job, survivors, audited=False)
        kubectl("-n", self.space, "delete", "trainingjob", "licences", "--wait=true")
        later = Job(self, name="later", steps=50)
        later.body["spec"]["checkpoint"]["path"] += "/later"
        later.apply()
        later.wait_state("Succeeded")
        self.assertTrue(later.status()["workerImage"].endswith(f":{NEXT}"))
        self.assertEqual(later.status()["result"]["digest"], harness.digest_without_faults(50))


if __name__ == "__main__":
    harness.main()
