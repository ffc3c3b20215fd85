"""The command line: exit statuses, documents, sentences."""

import json
import subprocess

import harness
from evidence import EvidenceCase
from harness import job, muster

BAD = """apiVersion: muster.dev/v1alpha1
kind: TrainingJob
metadata: {name: Bad_Name}
spec:
  workers: {replicas: 4, minReplica: 1}
  program: {builtin: gpt, config: {layers: 0, width: many}}
  training: {steps: 10, slots: 2}
"""


class ValidateTest(EvidenceCase):

    def test_all_errors_at_once(self):
        path = self.folder / "bad.yaml"
        path.write_text(BAD)
        said = muster("validate", path)
        self.assertEqual(said.returncode, 2)
        for line, field, *words in ((3, "metadata.name", "Bad_Name"),
                                    (5, "spec.workers.minReplica", "minReplicas"),
                                    (6, "spec.program.config.layers", "0", "1 to 1000"),
                                    (6, "spec.program.config.width", "many"),
                                    (7, "spec.training.slots", "2")):
            found = [s for s in said.stderr.splitlines() if s.startswith(f"{path}:{line}: {field}: ")]
            self.assertEqual(len(found), 1, f"{field}:\n{said.stderr}")
            for word in words:
                self.assertIn(word, found[0])

    def test_valid_with_a_warning_about_slots(self):
        path = self.folder / "good.yaml"
        path.write_text(json.dumps(job()))
        said = muster("validate", path)
        self.assertEqual(said.returncode, 0)
        self.assertRegex(said.stderr, r"warning: spec\.training\.slots: 16 is less than 8 for each of 4")
        enough = muster("validate", "-", stdin=json.dumps(job(slots=32)))
        self.assertEqual((enough.returncode, enough.stderr), (0, ""))

    def test_several_files_and_json(self):
        good, bad = self.folder / "good.yaml", self.folder / "bad.yaml"
        good.write_text(json.dumps(job()))
        bad.write_text(BAD)
        said = muster("validate", "-o", "json", good, bad, self.folder / "none.yaml")
        self.assertEqual(said.returncode, 2)
        self.assertEqual([entry["valid"] for entry in json.loads(said.stdout)], [True, False, False])

    def test_the_example_is_valid(self):
        example = harness.SOURCE / "docs" / "examples" / "licences.yaml"
        said = muster("validate", example)
        self.assertEqual((said.returncode, said.stderr), (0, ""))

    def test_version_and_help(self):
        self.assertRegex(muster("version").stdout, r"^muster \d+\.\d+\.\d+ \(build [0-9a-f]+\)\n$")
        for arguments in (("--help",), ("run", "--help"), ("validate", "--help")):
            said = muster(*arguments)
            self.assertEqual((said.returncode, said.stderr), (0, ""))
            self.assertIn("Examples:", said.stdout)
        self.assertRegex(muster("run", "--help").stdout, r"\n +130 +stopped, as by Ctrl-C")
        self.assertEqual(muster().returncode, 2)
        self.assertEqual(muster("walk").returncode, 2)


class RunTest(EvidenceCase):

    def test_bad_manifest_is_status_2_and_starts_nothing(self):
        path = self.folder / "bad.yaml"
        path.write_text(BAD)
        said = muster("run", path, "--state-dir", self.folder / "state")
        self.assertEqual(said.returncode, 2)
        self.assertIn(f"{path}:7: spec.training.slots: ", said.stderr)
        self.assertFalse((self.folder / "state").exists())

    def test_bad_faults_are_status_2(self):
        path = self.folder / "job.yaml"
        path.write_text(json.dumps(job()))
        for option, fault, word in (("--kill", "worker-9@step=3", "worker-9"),
                                    ("--kill", "worker-1@step=3:in=lunch", "lunch"),
                                    ("--kill", "worker-1", "@"),
                                    ("--stop", "coordinator@step=3", "coordinator"),
                                    ("--kill", "node-1@step=3", "node-1"),
                                    ("--kill", "worker-1@step=99", "99"),
                                    ("--scale", "0@step=3", "0")):
            with self.subTest(f"{option} {fault}"):
                said = muster("run", path, option, fault, "--state-dir", self.folder / "state")
                self.assertEqual(said.returncode, 2, said.stderr)
                self.assertIn(word, said.stderr)

    def test_unfired_fault_is_status_2(self):
        fault = "worker-1@time=1h"
        run = self.run_story(job(steps=5), "--kill", fault, exit_status=2)
        run.wait_for(rf"a fault never fired: --kill {fault}", 0)
        self.assertEqual(run.status["state"], "Succeeded")

    def test_too_many_losses_fail_the_job(self):
        manifest = job(failurePolicy={"maxReplacements": 0})
        run = self.run_story(manifest, "--kill", "worker-1@step=5:in=reduce", exit_status=1)
        failed = next(c for c in run.status["conditions"] if c["type"] == "Failed")
        self.assertEqual((failed["status"], failed["reason"]), ("True", "TooManyReplacements"))
        self.assertIn("maxReplacements", failed["message"])
        run.wait_for(r"^failed: TooManyReplacements: ", 0)
        self.assertEqual([pid for pid in run.pids() if harness.alive(pid)], [])

    def test_json_document(self):
        run = self.run_story(job(steps=5))
        document = json.loads(run.stdout)
        self.assertEqual(list(document), ["status"])
        status = document["status"]
        self.assertLessEqual({"observedGeneration", "conditions", "state", "startTime", "kernelFamily", "members",
                              "replicas", "selector", "membership", "progress", "timeSeconds", "rescaleCount",
                              "rescales", "failures", "checkpoint", "result"}, set(status))
        for condition in status["conditions"]:
            self.assertTrue(condition["reason"] and condition["message"], condition)
        self.assertLessEqual({"term", "nonce", "epoch", "size", "members", "previous"},
                             set(status["membership"]))
        self.assertIsInstance(status["membership"]["nonce"], str)
        self.assertRegex(status["result"]["digest"], r"^[0-9a-f]{16}$")
        self.assertRegex(status["result"]["weightsDigest"], r"^[0-9a-f]{64}$")

    def test_text_says_where_the_state_is_and_the_digest(self):
        manifest = self.folder / "job.yaml"
        manifest.write_text(json.dumps(job(steps=5)))
        said = muster("run", manifest, env={"XDG_STATE_HOME": str(self.folder / "xdg")})
        self.assertEqual(said.returncode, 0, said.stderr)
        self.assertEqual(said.stdout.splitlines()[0], f"state: {self.folder}/xdg/muster/story")
        self.assertRegex(said.stdout, r"(?m)^digest         [0-9a-f]{16}$")
        quiet = muster("run", manifest, "--quiet", env={"XDG_STATE_HOME": str(self.folder / "other")})
        self.assertRegex(quiet.stdout, r"(?m)^digest         [0-9a-f]{16}$")
        self.assertNotIn("started", quiet.stdout)

    def test_closed_output_does_not_stop_training(self):
        manifest = self.folder / "job.yaml"
        manifest.write_text(json.dumps(job(steps=5)))
        state = self.folder / "state"
        subprocess.run(f"'{harness.MUSTER}' run '{manifest}' --state-dir '{state}' | head -n 1", shell=True,
                       env=harness.environment({}), timeout=60, check=True, capture_output=True)
        status = json.loads((state / "status.json").read_text())
        self.assertEqual(status["state"], "Succeeded")


if __name__ == "__main__":
    harness.main()
