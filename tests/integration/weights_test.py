"""A job that starts from a GPT-2 that another one has exported: it goes on from there, its digest does not depend
on who trained, the file is needed to begin and for nothing else, and all who begin must have the same one."""

import json
import os
import pathlib
import shutil
import signal

import harness
from evidence import EvidenceCase, LOSS

REFUSED, DATA = 72, 74
READ = "weights: read what the job starts from"
STEPS = 16


class WeightsCase(EvidenceCase):
    """`model/` beside the runs' folders is what a first job exported: made once in this program."""

    _exported = None

    def setUp(self):
        super().setUp()
        self.text = self.folder / "text.txt"
        harness.write_text(self.text)
        self.model = self.folder / "model"
        if WeightsCase._exported is None:
            WeightsCase._exported = self.export()
        files, self.first_losses = WeightsCase._exported
        self.model.mkdir()
        for name, content in files.items():
            (self.model / name).write_bytes(content)

    def export(self):
        """({file: content}, losses of the steps) of a job that begins from the seed."""
        run = self.run_story(self.manifest(None, replicas=2, steps=40))
        folder = next((run.state_dir / "checkpoints").glob("step-00000040-*"))
        return ({name: (folder / name).read_bytes() for name in ("model.safetensors", "config.json")},
                self.losses(run))

    def manifest(self, weights="../model", replicas=3, steps=STEPS, **spec):
        manifest = harness.gpt_job(self.text, replicas=replicas, steps=steps, **spec)
        manifest["spec"]["program"]["config"].update(dropout=0.0, learningRate=0.003)
        if weights is not None:
            manifest["spec"]["program"]["weights"] = {"path": str(weights)}
        return manifest

    def losses(self, run):
        lines = (run.state_dir / "checkpoints" / "steps.jsonl").read_text().splitlines()
        return [json.loads(line)["loss"] for line in lines]

    def other_file(self):
        """Replaces the file by one whose last weight is another."""
        path = self.model / "model.safetensors"
        beside = self.model / "new"
        beside.write_bytes(path.read_bytes()[:-1] + b"\x3d")
        assert beside.read_bytes() != path.read_bytes()
        beside.rename(path)

    def readers(self, run):
        return [name for name, text in run.logs().items() if READ in text]

    def fails(self, run, reason, *words):
        self.assertEqual(run.exit, 1, run.tail())
        failed = next(c for c in run.status["conditions"] if c["type"] == "Failed")
        self.assertEqual((failed["status"], failed["reason"]), ("True", reason), failed)
        for word in words:
            self.assertIn(word, failed["message"])


class StartTest(WeightsCase):

    def test_it_goes_on_where_the_first_job_ended(self):
        # A relative path is the person's; here that of the folder of each run.
        clean = self.run_story(self.manifest(), "--replicas", 1)
        self.assertEqual(len(self.readers(clean)), 1)
        begun, ended = self.first_losses[0], sum(self.first_losses[-5:]) / 5
        self.assertLess(ended, begun - 1, "the first job has learned nothing")
        self.assertLess(abs(self.losses(clean)[0] - ended), 0.2 * (begun - ended))
        self.assertRegex(clean.status["membership"]["startWeightsDigest"], r"^[0-9a-f]{64}$")
        seed = self.run_story(self.manifest(None), "--replicas", 1)
        self.assertNotEqual(seed.digest, clean.digest)
        self.assertNotIn("startWeightsDigest", seed.status["membership"])
        with self.subTest("three members, one of them killed, and not the same bytes of the file"):
            run = self.run_story(self.manifest(self.model / "model.safetensors"), "--kill", "worker-2@step=6:in=forward")
            self.assert_fired(run, "--kill worker-2@step=6:in=forward")
            self.assert_rescaled(run, LOSS)
            self.assertEqual(run.digest, clean.digest)
            self.assertEqual(self.losses(run), self.losses(clean))
            # The replacement received the state; it had no use for the file.
            self.assertIn("2.1", [member for member, _ in run.started()])
            self.assertEqual(len(self.readers(run)), 3)
            self.assertEqual(run.status["membership"]["startWeightsDigest"],
                             clean.status["membership"]["startWeightsDigest"])

    def test_without_the_file_a_job_goes_on_and_is_resumed(self):
        manifest = self.manifest(replicas=2, steps=60)
        clean = self.clean(manifest)
        run = self.start(manifest, "--kill", "worker-1@step=20:in=reduce")
        run.wait_for_step(3)
        shutil.rmtree(self.model)
        run.wait_for(r"^.*started worker-1 \(1\.1\)")
        run.wait_for_step(30)
        run.interrupt()
        self.assertEqual(run.finish().exit, 130, run.tail())
        self.assertEqual(len(self.readers(run)), 2)
        again = self.run_story(manifest, folder=run.folder.name)
        self.assertTrue(any("checkpoint: restored" in text for text in again.logs().values()))
        self.assert_same_result(again, clean)

    def test_back_at_the_beginning_it_is_read_again(self):
        manifest = self.manifest(replicas=2)
        faults = ["node-0@step=9", "node-1@step=9"]
        run = self.run_story(manifest, "--nodes", 2, "--kill", faults[0], "--kill", faults[1])
        self.assertIn({"rollback": 0}, run.audit())
        self.assert_same_result(run, self.clean(manifest))


class OtherWeightsTest(WeightsCase):

    def kill_all(self, run):
        for member, pid in run.started():
            if member not in run.exited():
                os.kill(pid, signal.SIGKILL)

    def test_a_file_that_changed_is_refused_at_the_second_beginning(self):
        run = self.start(self.manifest(replicas=2, steps=2000))
        run.wait_for_step(3)
        self.other_file()
        self.kill_all(run)
        run.finish()
        self.fails(run, "Refused", "SHA-256", "the job started from those with", "/../model")

    def test_a_file_that_is_gone_is_said_at_the_second_beginning(self):
        run = self.start(self.manifest(replicas=2, steps=2000))
        run.wait_for_step(3)
        shutil.rmtree(self.model)
        self.kill_all(run)
        run.finish()
        self.fails(run, "BadData", "spec.program.weights.path", "/../model", "No such file")

    def test_two_members_with_two_files_do_not_begin(self):
        # Opening the data takes a while, so that the second worker is stopped long before it reads the weights.
        self.text.write_text(self.text.read_text() * 400)
        manifest = self.manifest(replicas=2)
        manifest["spec"]["workers"]["minReplicas"] = 2
        run = self.start(manifest)
        pid = int(run.wait_for(r"started worker-1 \(1\.0\).*, pid (\d+)")[1])
        os.kill(pid, signal.SIGSTOP)
        harness.wait_until(lambda: self.readers(run), 30, "worker-0 reads the weights")
        self.assertEqual(len(self.readers(run)), 1, "worker-1 was stopped too late")
        self.other_file()
        os.kill(pid, signal.SIGCONT)
        run.finish()
        self.fails(run, "Refused", "it would start from the weights with SHA-256", "program.weights.path")
        self.assertEqual(run.exited()["1.0"], REFUSED)
        self.assertEqual(run.audit(), [], "they have trained")


class BadWeightsTest(WeightsCase):

    def test_what_cannot_be_started_from_is_said(self):
        nowhere, config = self.folder / "nowhere", self.model / "config.json"
        heads = config.read_text().replace('"n_head": 2', '"n_head": 4')
        self.assertNotEqual(heads, config.read_text())

        def shorten():
            path = self.model / "model.safetensors"
            path.write_bytes(path.read_bytes()[:-1])

        for words, change, path, edit in (
                ((str(nowhere), "No such file"), None, nowhere, {}),
                (("wte.weight has shape [256, 32]", "[256, 64]"), None, "../model", {"width": 64}),
                (("n_head is 4", "has to be 2"), lambda: config.write_text(heads), "../model", {}),
                (("is truncated",), shorten, "../model/model.safetensors", {"heads": 4})):
            with self.subTest(words[0]):
                if change is not None:
                    change()
                manifest = self.manifest(path, replicas=1)
                manifest["spec"]["program"]["config"].update(edit)
                run = self.start(manifest).finish()
                self.fails(run, "BadData", "spec.program.weights.path", *words)
                self.assertEqual(run.exited()["0.0"], DATA)

    def test_a_bench_has_no_weights_to_start_from(self):
        manifest = harness.job()
        manifest["spec"]["program"]["weights"] = {"path": str(pathlib.Path("/models/gpt2"))}
        run = self.run_story(manifest, exit_status=2)
        self.assertIn("spec.program.weights.path: does not belong to program bench", run.tail())


if __name__ == "__main__":
    harness.main()
