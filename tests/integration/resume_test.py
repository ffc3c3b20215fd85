"""Going on: after Ctrl-C, at another number of workers, after the loss of all workers (story 6), and from
an older checkpoint when the newest one is damaged."""

import json
import signal
import subprocess
import sys
import time

import harness
from evidence import EvidenceCase
from harness import job

INTERRUPTED = 130


class CtrlCTest(EvidenceCase):

    def drain(self, manifest, step=6, *arguments):
        run = self.start(manifest, *arguments)
        run.wait_for_step(step)
        run.interrupt()
        run.finish()
        self.assertEqual(run.exit, INTERRUPTED, run.tail())
        return run

    def test_drains_and_resumes_at_another_number_of_workers(self):
        manifest = job(steps=60)
        clean = self.clean(manifest)
        run = self.drain(manifest)
        committed = run.status["checkpoint"]["step"]
        self.assertGreaterEqual(committed, 6)
        run.wait_for(rf"the state of step {committed} is committed. Go on with:", 0)
        run.wait_for(r"^  muster run .*--state-dir", 0)
        self.assertEqual([line["step"] for line in run.audit()], list(range(1, committed + 1)))
        again = self.start(manifest, "--replicas", 2, folder=run.folder.name)
        again.wait_for_step(committed + 10)
        again.interrupt()
        self.assertEqual(again.finish().exit, INTERRUPTED, again.tail())
        with self.subTest("the run before is said once, and its members are nobody's loss"):
            said = [text for _, text in again.events()]
            self.assertEqual(sum("an earlier run" in text for text in said), 1, again.tail())
            for text in said:
                self.assertNotRegex(text, "evicted|pod is gone|interrupts epoch|below the minimum")
        last = self.run_story(manifest, "--replicas", 3, folder=run.folder.name)
        self.assert_same_result(last, clean)
        steps = [line["step"] for line in last.audit()]
        self.assertEqual(steps, list(range(1, 61)), "a drain loses nothing, so nothing is rolled back")
        with self.subTest("the same command once more has nothing to do"):
            once_more = self.run_story(manifest, folder=run.folder.name)
            self.assertEqual(once_more.digest, clean.digest)
            self.assertEqual(once_more.started(), [])

    def test_a_second_ctrl_c_ends_at_once(self):
        manifest = job(steps=5, replicas=1, milliseconds=400.0, slots=16)
        run = self.start(manifest)
        run.wait_for(r"epoch 1: 1 members")
        time.sleep(0.3)
        run.interrupt()
        time.sleep(0.3)
        self.assertIsNone(run.process.poll(), "the first Ctrl-C finishes the step")
        began = time.monotonic()
        run.interrupt()
        run.finish()
        self.assertLess(time.monotonic() - began, 1)
        self.assertEqual(run.exit, INTERRUPTED)
        self.assertEqual([pid for pid in run.pids() if harness.alive(pid)], [])
        run.wait_for(r"stopping: the step is finished and the state committed", 0)
        run.wait_for(r"^ended at once; the same command goes on from the beginning:", 0)
        run.wait_for(r"^  muster run .*--state-dir", 0)

    def test_sigterm_and_a_lost_terminal_drain_as_well(self):
        manifest = job(steps=60, replicas=2)
        clean = self.clean(manifest)
        folder = None
        for number, steps in ((signal.SIGTERM, 6), (signal.SIGHUP, 6)):
            run = self.start(manifest, folder=folder)
            folder = run.folder.name
            before = len(run.audit())
            run.wait_for_step(before + steps)
            # A shell says SIGHUP, too, when the kernel has said so already: that must not end it at once.
            for _ in range(2 if number == signal.SIGHUP else 1):
                run.process.send_signal(number)
                time.sleep(0.01)
            self.assertEqual(run.finish().exit, INTERRUPTED, run.tail())
            run.wait_for(rf"the state of step {run.status['checkpoint']['step']} is committed. Go on with:", 0)
        last = self.run_story(manifest, folder=folder)
        self.assert_same_result(last, clean)
        self.assertFalse(any("rollback" in line for line in last.audit()), "a drain loses nothing")

    def test_hack_digest_recomputes_the_result(self):
        run = self.run_story(job(steps=4, state_bytes=120_000))
        script = harness.SOURCE / "hack" / "digest.py"
        said = subprocess.run([sys.executable, str(script), str(run.state_dir / "checkpoints")],
                              capture_output=True, text=True, timeout=60, check=False)
        self.assertEqual(said.returncode, 0, said.stderr)
        result = run.status["result"]
        self.assertIn(result["digest"], said.stdout)
        self.assertIn(result["weightsDigest"], said.stdout)


class AllWorkersDieTest(EvidenceCase):

    def all_die(self, manifest, back_to):
        clean = self.clean(manifest)
        faults = ["node-0@step=9", "node-1@step=9"]
        run = self.run_story(manifest, "--nodes", 2, "--kill", faults[0], "--kill", faults[1])
        self.assert_fired(run, *(f"--kill {fault}" for fault in faults))
        self.assertEqual({m: run.exited().get(m) for m in ("0.0", "1.0", "2.0", "3.0")},
                         {"0.0": -9, "1.0": -9, "2.0": -9, "3.0": -9})
        self.assertIn({"rollback": back_to}, run.audit())
        lost = sum(r["stepsLost"] for r in run.status["rescales"])
        self.assertGreaterEqual(lost, 8 - back_to)
        run.wait_for(rf"went back to step {back_to}\b", 0)
        self.assert_same_result(run, clean)
        return run

    def test_back_to_the_last_checkpoint(self):
        run = self.all_die(job(checkpoint={"everySteps": 3}), 6)
        self.assertTrue(any("checkpoint: restored step=6" in text for text in run.logs().values()))

    def test_back_to_step_0(self):
        self.all_die(job(), 0)


class DamagedCheckpointTest(EvidenceCase):

    def damaged(self, damage):
        """A run that was interrupted with checkpoints of two steps, resumed after `damage`."""
        manifest = job(steps=40, checkpoint={"everySteps": 5, "keep": 3})
        clean = self.clean(manifest)
        run = self.start(manifest)
        run.wait_for(r"checkpoint of step 10 committed")
        run.interrupt()
        self.assertEqual(run.finish().exit, INTERRUPTED, run.tail())
        latest = json.loads((run.state_dir / "checkpoints" / "latest.json").read_text())
        newest = run.status["checkpoint"]["step"]
        self.assertIn(str(newest), json.dumps(latest))
        folder = next((run.state_dir / "checkpoints").glob(f"step-{newest:08d}-*"))
        damage(folder)
        again = self.run_story(manifest, folder=run.folder.name)
        self.assert_same_result(again, clean)
        restored = [line for text in again.logs().values() for line in text.splitlines()
                    if "checkpoint: restored" in line]
        self.assertTrue(restored and not any(f"step={newest}" in line for line in restored), restored)
        # It says which file is wrong and what was used instead.
        again.wait_for(rf"{folder.name}.*(truncated|altered|missing)", 0)

    def test_truncated_part(self):
        def truncate(folder):
            part = sorted(folder.glob("part-*"))[1]
            part.write_bytes(part.read_bytes()[:-100])
        self.damaged(truncate)

    def test_altered_part(self):
        def alter(folder):
            part = sorted(folder.glob("part-*"))[2]
            content = bytearray(part.read_bytes())
            content[-1] ^= 1
            part.write_bytes(bytes(content))
        self.damaged(alter)

    def test_missing_manifest(self):
        self.damaged(lambda folder: (folder / "manifest.json").unlink())


class TimedCheckpointTest(EvidenceCase):

    def test_every_seconds_counts_from_the_last_commit(self):
        manifest = job(steps=60, milliseconds=10.0, checkpoint={"everySteps": 0, "everySeconds": 1})
        run = self.run_story(manifest)
        events = [harness.EVENT.match(line) for line in run.lines]
        at = [float(e[1]) for e in events if e and "committed" in e[2] and e[2].startswith("checkpoint of step")]
        # The last one is the end's own. Lines tell tenths of a second.
        timed = at[:-1]
        self.assertGreaterEqual(len(timed), 3, run.tail())
        gaps = [later - sooner for sooner, later in zip([0.0, *timed], timed)]
        self.assertGreaterEqual(min(gaps), 0.9, at)
        # A step in which it is asked for, and the writing, come on top.
        self.assertLess(sorted(gaps)[len(gaps) // 2], 2.0, at)
        self.assert_same_result(run, self.clean(manifest))


if __name__ == "__main__":
    harness.main()
