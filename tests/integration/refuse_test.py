"""Story 8: a build of another id and another kernel family are refused. A state directory of another job,
of other data or in use is refused. Nothing that was written before is lost by it."""

import pathlib
import subprocess

import harness
from evidence import EvidenceCase
from harness import job

REFUSED = 72


class ForeignWorkerTest(EvidenceCase):

    def foreign(self, run, hooks):
        """A worker started by hand with the environment of a live one, except for what `hooks` says."""
        _, pid = run.started()[0]
        entries = pathlib.Path(f"/proc/{pid}/environ").read_bytes().decode().split("\0")
        env = dict(entry.split("=", 1) for entry in entries if "=" in entry)
        env.update(MUSTER_MEMBER="9.0", MUSTER_TEST_HOOKS=hooks)
        return subprocess.run([str(harness.WORKER)], env=env, stdin=subprocess.DEVNULL, capture_output=True,
                              text=True, timeout=20, check=False)

    def test_others_are_refused_and_training_goes_on(self):
        manifest = job(steps=80)
        clean = self.clean(manifest)
        run = self.start(manifest)
        run.wait_for_step(3)
        for hooks, words in (("build-id=other-build", ("other-build", "build")),
                             ("family=Z80", ("Z80", "famil"))):
            with self.subTest(hooks):
                refused = self.foreign(run, hooks)
                self.assertEqual(refused.returncode, REFUSED, refused.stderr)
                for word in words:
                    self.assertIn(word, refused.stderr)
        run.finish()
        self.assertEqual(run.exit, 0, run.tail())
        self.assertEqual(run.status["membership"]["epoch"], 1)
        self.assert_same_result(run, clean)


class ResumeRefusedTest(EvidenceCase):

    def interrupted(self, manifest):
        run = self.start(manifest)
        run.wait_for_step(5)
        run.interrupt()
        self.assertEqual(run.finish().exit, 130, run.tail())
        return run

    def test_other_build_and_family(self):
        manifest = job(steps=40, replicas=2)
        clean = self.clean(manifest)
        first = self.interrupted(manifest)
        for hooks, word in (("build-id=other-build", "build id"), ("family=Z80", "famil")):
            with self.subTest(hooks):
                run = self.run_story(manifest, exit_status=1, folder=first.folder.name,
                                     env={"MUSTER_TEST_HOOKS": hooks})
                self.assertEqual(run.status["state"], "Failed")
                failed = next(c for c in run.status["conditions"] if c["type"] == "Failed")
                self.assertEqual(failed["reason"], "Refused")
                self.assertIn(word, failed["message"])
        self.assert_same_result(self.run_story(manifest, folder=first.folder.name), clean)

    def test_other_data(self):
        text = self.folder / "text"
        text.mkdir()
        harness.write_text(text / "a.txt")
        manifest = harness.gpt_job(text, replicas=2, steps=60)
        clean = self.clean(manifest)
        first = self.interrupted(manifest)
        before = (text / "a.txt").read_text()
        (text / "a.txt").write_text(before.replace("floats", "boats.", 1))
        run = self.run_story(manifest, exit_status=1, folder=first.folder.name)
        failed = next(c for c in run.status["conditions"] if c["type"] == "Failed")
        self.assertRegex(failed["message"], r"data")
        (text / "a.txt").write_text(before)
        self.assert_same_result(self.run_story(manifest, folder=first.folder.name), clean)

    def test_other_job_in_the_same_directory(self):
        manifest = job(steps=40, replicas=2)
        first = self.interrupted(manifest)
        for change, words in (({"name": "another"}, ("metadata.name", "another")),
                              ({"slots": 32}, ("training.slots", "16", "32"))):
            with self.subTest(change):
                run = self.run_story(job(**{"steps": 40, "replicas": 2, **change}), exit_status=2,
                                     folder=first.folder.name)
                for word in words:
                    self.assertIn(word, run.tail())
        self.assert_same_result(self.run_story(manifest, folder=first.folder.name), self.clean(manifest))

    def test_in_use_by_a_live_run(self):
        manifest = job(steps=60, replicas=2)
        first = self.start(manifest)
        first.wait_for_step(3)
        second = self.run_story(manifest, exit_status=2, folder=first.folder.name, audit="other.jsonl")
        self.assertRegex(second.tail(), rf"in use by a live run \(pid {first.process.pid}\)")
        self.assertEqual(first.finish().exit, 0, first.tail())
        self.assert_same_result(first, self.clean(manifest))


if __name__ == "__main__":
    harness.main()
