"""Story 3: the coordinator is killed in a quiet step and after each message of a rebuild. And `muster run`
itself: what kill -9 leaves behind."""

import signal

import harness
from evidence import EvidenceCase, LOSS
from harness import job

# Interrupt to three survivors, Persist, InstallView to three, acknowledgements: a rebuild has some ten.
BOUNDARIES = range(1, 13)


class CoordinatorTest(EvidenceCase):

    def test_in_a_quiet_step(self):
        manifest = job(steps=60)
        clean = self.clean(manifest)
        run = self.run_story(manifest, "--kill", "coordinator@step=8")
        self.assert_fired(run, "--kill coordinator@step=8")
        run.wait_for(r"coordinator started again", 0)
        # Members train on and reconnect: nobody is interrupted, the epoch stays.
        self.assertEqual(run.status["membership"]["epoch"], 1)
        self.assertGreaterEqual(run.status["membership"]["term"], 2)
        self.assert_survivors(run)
        self.assert_nothing_repeated(run, 0)
        self.assert_ring_bytes(run)
        self.assert_same_result(run, clean)

    def test_near_the_end(self):
        # All steps are committed when the successor comes: it adopts nothing and still owes the audit's last
        # lines, each slot once.
        manifest = job(slots=8, steps=12, milliseconds=1.0)
        clean = self.clean(manifest)
        run = self.run_story(manifest, "--kill", "coordinator@step=8")
        self.assert_survivors(run)
        self.assert_nothing_repeated(run, 0)
        self.assert_same_result(run, clean)

    def test_together_with_a_worker(self):
        manifest = job(steps=60)
        clean = self.clean(manifest)
        faults = ["coordinator@step=8", "worker-2@step=8:in=forward"]
        run = self.run_story(manifest, "--kill", faults[0], "--kill", faults[1])
        self.assert_story(run, clean, [f"--kill {f}" for f in faults], [LOSS], lost=["2.0"])

    def at_boundaries(self, boundaries):
        manifest = job(slots=8, steps=30, milliseconds=2.0)
        fault = "worker-2@step=6:in=forward"
        for count in boundaries:
            with self.subTest(dies_after=count):
                clean = self.clean(manifest)
                run = self.run_story(manifest, "--kill", fault,
                                     env={"MUSTER_TEST_COORDINATOR_DIE": str(count)})
                run.wait_for(r"coordinator started again, pid \d+: killed by signal 9", 0)
                # Whether the successor knows why the view that it found had been made depends on the
                # boundary; that it was made does not.
                self.assert_story(run, clean, [f"--kill {fault}"], [], lost=["2.0"])

    def test_at_the_first_boundaries_of_a_rebuild(self):
        self.at_boundaries(BOUNDARIES[:6])

    def test_at_the_later_boundaries_of_a_rebuild(self):
        self.at_boundaries(BOUNDARIES[6:])


class RunItselfTest(EvidenceCase):

    def test_kill_9_leaves_nothing_and_the_same_command_resumes(self):
        manifest = job(steps=60, milliseconds=5.0, checkpoint={"everySteps": 20})
        clean = self.clean(manifest)
        run = self.start(manifest)
        run.wait_for(r"checkpoint of step 20 committed")
        run.wait_for_step(25)
        pids = run.pids()
        self.assertGreaterEqual(len(pids), 5)
        run.process.send_signal(signal.SIGKILL)
        run.finish()
        harness.wait_until(lambda: not [p for p in pids if harness.alive(p)], 1, "all processes are gone")
        again = self.run_story(manifest, folder=run.folder.name)
        again.wait_for(r"goes on from its last committed checkpoint", 0)
        self.assert_same_result(again, clean)
        self.assertIn({"rollback": 20}, again.audit())


if __name__ == "__main__":
    harness.main()
