"""Story 1: SIGKILL of a worker in every phase. Story 7: Exact32 saturates in the step of the kill."""

import harness
from evidence import EvidenceCase, LOSS
from harness import job


class KillTest(EvidenceCase):

    def story(self, manifest, *faults, lost, causes=(LOSS,), held=None, env=None):
        clean = self.clean(manifest, env)
        arguments = [part for fault in faults for part in ("--kill", fault)]
        faults = [f"--kill {fault}" for fault in faults]
        run = self.run_story(manifest, *arguments, env=env)
        self.assert_story(run, clean, faults, causes, lost=lost, held=held)
        for member in lost:
            self.assertEqual(run.exited().get(member), -9, run.tail())
        return run

    def test_in_the_forward_pass(self):
        run = self.story(job(), "worker-2@step=6:in=forward", lost=["2.0"])
        # The survivors go on with the same step: what they held was kept, what was lost was dealt anew.
        self.assertGreater(sum(r["slotsRecomputed"] for r in run.status["rescales"]), 0)
        self.assertIn("2.1", [member for member, _ in run.started()], "the lost worker was not replaced")

    def test_in_the_reduction(self):
        self.story(job(), "worker-1@step=7:in=reduce", lost=["1.0"])

    def test_between_reduction_and_commit(self):
        # Others have confirmed the reduction: the step counts, and nothing of it is computed again.
        self.story(job(), "worker-3@step=9:in=commit", lost=["3.0"])

    def test_of_rank_0(self):
        self.story(job(), "worker-0@step=5:in=reduce", lost=["0.0"])

    def test_during_a_checkpoint(self):
        manifest = job(checkpoint={"everySteps": 5, "keep": 2})
        run = self.story(manifest, "worker-2@step=5:in=checkpoint", lost=["2.0"])
        run.wait_for(r"checkpoint of step 5 abandoned", 0)
        self.assertEqual(run.status["checkpoint"]["step"], manifest["spec"]["training"]["steps"])

    def test_in_the_rebuild(self):
        self.story(job(steps=24), "worker-1@step=6:in=forward", "worker-3@step=6:in=rebuild",
                   lost=["1.0", "3.0"])

    def test_as_source_of_a_state_transfer(self):
        # The replacement of the first loss asks all members for the state; one of them dies before it answers.
        run = self.story(job(steps=40), "worker-2@step=5", "worker-1@step=6:in=transfer", lost=["2.0", "1.0"])
        self.assert_received(run, 2)

    def test_as_receiver_of_a_state_transfer(self):
        # The replacement dies when it is about to ask; the next one gets the state.
        run = self.story(job(steps=60), "worker-2@step=5", "worker-2@step=6:in=transfer", lost=["2.0", "2.1"],
                         held=4)
        self.assert_received(run, 2)

    def assert_received(self, run, ordinal):
        """The ordinal's last process got its state from the others, and no more than two processes did."""
        received = [name for name, text in run.logs().items() if "transfer: received the state" in text]
        self.assertTrue(any(f"-{ordinal}-" in name for name in received), received)

    def test_two_at_once(self):
        self.story(job(), "worker-1@step=8:in=forward", "worker-3@step=8:in=forward", lost=["1.0", "3.0"])

    def test_a_node_with_half_of_the_workers(self):
        manifest = job()
        clean = self.clean(manifest)
        run = self.run_story(manifest, "--nodes", 2, "--kill", "node-1@step=6")
        self.assert_story(run, clean, ["--kill node-1@step=6"], [LOSS], lost=["1.0", "3.0"])
        self.assertEqual([f["charged"] for f in run.status["failures"]], [False, False],
                         "the loss of a node is not charged to the job")

    def test_after_a_time(self):
        # On a busy machine the first view takes its time, and a death before it is another story.
        self.story(job(steps=150), "worker-1@time=2s", lost=["1.0"])

    def test_below_min_replicas_they_wait_with_their_state(self):
        manifest = job(workers={"minReplicas": 4})
        run = self.story(manifest, "worker-1@step=6:in=reduce", lost=["1.0"])
        sizes = {len({slot["member"] for slot in line["slots"]}) for line in run.audit()}
        self.assertEqual(sizes, {4}, "no step was done by fewer than minReplicas")

    def test_tiny_gpt_on_text(self):
        text = self.folder / "text"
        text.mkdir()
        harness.write_text(text / "a.txt")
        manifest = harness.gpt_job(text, training={"evaluateEverySteps": 5})
        run = self.story(manifest, "worker-1@step=5:in=forward", "worker-2@step=12:in=commit",
                         lost=["1.0", "2.0"])
        self.assertEqual(run.status["result"]["heldOutLoss"],
                         self.clean(manifest).status["result"]["heldOutLoss"])
        self.assert_samples_once(run, samples=6000 * 9 // 10 - 65 + 1)
        run.wait_for(r"step 5: held-out loss \d", 0)


class SaturationTest(EvidenceCase):

    def test_exact32_saturates_in_the_step_of_a_kill(self):
        manifest = job(training={"reduction": "Exact32"})
        env = {"MUSTER_TEST_HOOKS": "saturate=8"}
        clean = self.clean(manifest, env)
        fault = "worker-2@step=8:in=reduce"
        run = self.run_story(manifest, "--kill", fault, env=env)
        self.assert_fired(run, f"--kill {fault}")
        self.assert_rescaled(run, LOSS)
        self.assert_survivors(run, ["2.0"])
        # Step 8 is done twice by all: once with the exponents of step 7, once with its own.
        # So is step 1, whose exponents come from a pass of its own.
        self.assert_nothing_repeated(run, held_by_lost=2 * 6, attempts={1: 2, 8: 2})
        self.assert_same_result(run, clean)

    def test_exact32_without_saturation(self):
        manifest = job(training={"reduction": "Exact32"})
        clean = self.clean(manifest)
        run = self.run_story(manifest, "--kill", "worker-1@step=6:in=forward")
        self.assert_story(run, clean, ["--kill worker-1@step=6:in=forward"], [LOSS], lost=["1.0"],
                          attempts={1: 2})


if __name__ == "__main__":
    harness.main()
