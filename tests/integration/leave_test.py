"""Story 2: a worker that sleeps is evicted and finds out that it is fenced. Story 5: SIGTERM drains.
Story 4: scale while training."""

import datetime
import re
import time

import harness
from evidence import EvidenceCase
from harness import alive, job

FENCED = 71
LINE = re.compile(r"^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+)Z \w+ +(\S+): ")


class HangStory(EvidenceCase):

    def hang(self, member, phase=""):
        ordinal = member.split(".")[0]
        # Five seconds of training on two cores: the sleeper wakes well before the end.
        manifest = job(steps=80, milliseconds=8.0, elasticity={"heartbeatTimeout": "500ms"})
        clean = self.clean(manifest)
        fault = f"worker-{ordinal}@step=10{phase}:for=2500ms"
        run = self.run_story(manifest, "--stop", fault)
        self.assert_hung(run, clean, fault, member, timeout=0.5, slept=2.5)

    def assert_hung(self, run, clean, fault, member, timeout, slept):
        self.assert_story(run, clean, [f"--stop {fault}"], [("HeartbeatTimeout", "Stalled")], lost=[member])
        self.assertEqual(run.exited().get(member), FENCED, run.tail())
        rescale = next(r for r in run.status["rescales"] if r["cause"] != "FirstView")
        self.assertLess(rescale["detectSeconds"], timeout + 0.3)
        self.assert_wrote_nothing_after_waking(run, slept)

    def assert_wrote_nothing_after_waking(self, run, slept):
        """The fenced process finished at most its slots of the step that it was at and said that it is fenced;
        steps.jsonl has no line of its own."""
        logs = [text for text in run.logs().values() if re.search(r"exitCode=71\b", text)]
        self.assertEqual(len(logs), 1, "exactly one log ends with exit code 71")
        last_words = next(line for line in logs[0].splitlines() if "exitCode=71" in line)
        self.assertIn("evicted", last_words)
        lines = [line for line in map(LINE.match, logs[0].splitlines()) if line]
        times = [datetime.datetime.fromisoformat(line[1]).timestamp() for line in lines]
        woke = [i for i in range(1, len(times)) if times[i] - times[i - 1] > 0.8 * slept]
        self.assertEqual(len(woke), 1, f"one gap of {slept} s in the sleeper's log:\n{logs[0]}")
        did = [line[2] for line in lines[woke[0]:]]
        self.assertLessEqual(set(did), {"forward", "session", "worker", "rpc"}, logs[0])
        # It computes until it has heard that it is fenced, and cannot get beyond the reduction.
        spec = run.manifest["spec"]
        self.assertLessEqual(did.count("forward"), spec["training"]["slots"] // spec["workers"]["replicas"], logs[0])
        path = run.state_dir / "checkpoints" / "steps.jsonl"
        steps = [int(s) for s in re.findall(r'^\{"step":(\d+),', path.read_text(), re.M)]
        self.assertEqual(steps, list(range(1, run.manifest["spec"]["training"]["steps"] + 1)),
                         "each step has one line in steps.jsonl, in order")


class LongSleepTest(HangStory):

    def test_a_sleep_of_20_seconds(self):
        # Whoever is left computes for 22 s or more, whatever the machine: 1,100 steps of two slots of 10 ms. One
        # worker is enough for that, so the sleeper's replacement is not wanted for long.
        manifest = job(replicas=2, slots=2, steps=1115, milliseconds=10.0, state_bytes=120_000,
                       workers={"maxReplicas": 2})
        fault = "worker-1@step=15:for=20s"
        clean = self.clean(manifest)
        run = self.start(manifest, "--stop", fault, "--scale", "1@step=16")
        run.wait_for(r"evicted worker-1 \(1\.0\)")
        asleep = time.time()
        run.wait_for(r"worker-1 \(1\.0\) .*exited with status 71", 40)
        self.assertGreater(time.time() - asleep, 18, "it slept for 20 s, one of them before its eviction")
        run.finish(200)  # 23 s of processor time, on a machine that may have others to serve
        self.assertEqual(run.exit, 0, run.tail())
        self.assert_hung(run, clean, fault, "1.0", timeout=1.0, slept=20)


class HangTest(HangStory):

    def test_sleeper_is_evicted_and_fenced(self):
        self.hang("1.0")

    def test_rank_0_that_sleeps_in_a_reduction(self):
        self.hang("0.0", ":in=reduce")

    def test_one_that_never_wakes_is_not_left_behind(self):
        manifest = job(steps=60, elasticity={"heartbeatTimeout": "500ms"})
        clean = self.clean(manifest)
        run = self.run_story(manifest, "--stop", "worker-2@step=6:in=forward")
        self.assert_story(run, clean, ["--stop worker-2@step=6:in=forward"], ["HeartbeatTimeout"],
                          lost=["2.0"])
        self.assertEqual([pid for pid in run.pids() if alive(pid)], [])

    def test_a_short_sleep_is_forgiven(self):
        manifest = job(steps=30, elasticity={"heartbeatTimeout": "3s"})
        clean = self.clean(manifest)
        run = self.run_story(manifest, "--stop", "worker-1@step=6:for=1s")
        self.assert_fired(run, "--stop worker-1@step=6:for=1s")
        self.assert_survivors(run)
        self.assert_nothing_repeated(run, 0)
        self.assert_same_result(run, clean)
        self.assertEqual([r["cause"] for r in run.status["rescales"] if r["from"] > r["to"]], [])


class DrainTest(EvidenceCase):

    def test_sigterm_finishes_the_step_and_leaves(self):
        manifest = job(steps=40)
        clean = self.clean(manifest)
        run = self.run_story(manifest, "--term", "worker-1@step=6")
        self.assert_story(run, clean, ["--term worker-1@step=6"], ["Drained"], left=["1.0"], held=0)
        self.assertEqual(run.exited().get("1.0"), 0, run.tail())
        self.assertEqual([f for f in run.status["failures"] if f["charged"]], [])

    def test_sigterm_of_rank_0_in_the_forward_pass(self):
        manifest = job(steps=40)
        clean = self.clean(manifest)
        run = self.run_story(manifest, "--term", "worker-0@step=6:in=forward")
        self.assert_story(run, clean, ["--term worker-0@step=6:in=forward"], ["Drained"], left=["0.0"], held=0)
        self.assertEqual(run.exited().get("0.0"), 0, run.tail())


class ScaleTest(EvidenceCase):

    def test_4_to_1_to_7(self):
        manifest = job(steps=100, milliseconds=4.0, workers={"maxReplicas": 7})
        clean = self.clean(manifest)
        faults = ["1@step=6", "7@step=15"]
        run = self.run_story(manifest, "--scale", faults[0], "--scale", faults[1])
        self.assert_story(run, clean, [f"--scale {f}" for f in faults], ["ScaledDown", "ScaledUp"], left=["1.0", "2.0", "3.0"], held=0)
        sizes = {len({slot["member"] for slot in line["slots"]}) for line in run.audit()}
        self.assertLessEqual({4, 1, 7}, sizes, "it trained with 4, with 1 and with 7 members")
        self.assertEqual(run.status["members"], "7/7")

    def test_join_adds_one(self):
        manifest = job(steps=60, replicas=2, workers={"maxReplicas": 3})
        clean = self.clean(manifest)
        run = self.run_story(manifest, "--join", "@step=5")
        self.assert_story(run, clean, ["--join @step=5"], [("ScaledUp", "Joined")], held=0)
        self.assertEqual(run.status["members"], "3/3")

    def test_a_joiner_without_slots_in_a_failure_view(self):
        # The joiner gets warm while the others wait for a sleeper, so it comes in with the view that evicts
        # the sleeper; the survivors hold nearly all of the step, and nothing is left for the joiner to compute.
        # It once reduced what it had received as state.
        manifest = job(slots=8, steps=20, workers={"maxReplicas": 6}, state_bytes=4 << 20,
                       elasticity={"heartbeatTimeout": "500ms"})
        clean = self.clean(manifest)
        run = self.run_story(manifest, "--join", "@step=9", "--stop", "worker-0@step=10:in=reduce:for=900ms")
        self.assert_survivors(run, ["0.0"])
        self.assert_nothing_repeated(run, 2)
        self.assert_same_result(run, clean)

    def test_no_more_than_max_replicas(self):
        manifest = job(replicas=2, workers={"maxReplicas": 2})
        for arguments, sentence in ((("--join", "@step=3"), "maxReplicas"),
                                    (("--scale", "3@step=3"), "maxReplicas"),
                                    (("--replicas", "3"), "maxReplicas")):
            run = self.run_story(manifest, *arguments, exit_status=2)
            self.assertIn(sentence, run.tail())
            self.assertEqual(run.started(), [])


class SlowStepTest(EvidenceCase):

    def test_a_joiner_waits_for_the_end_of_a_long_step(self):
        # Seven seconds a step: longer than a neighbour that does not come is waited for after a failure.
        manifest = job(replicas=1, slots=8, steps=3, milliseconds=900.0)
        run = self.run_story(manifest, "--join", "@step=2")
        self.assert_same_result(run, self.clean(manifest))
        self.assert_fired(run, "--join @step=2")
        self.assertEqual([(r["cause"], r["from"], r["to"]) for r in run.status["rescales"]],
                         [("FirstView", 0, 1), ("ScaledUp", 1, 2)])
        self.assertEqual(run.status["failures"], [])
        self.assertEqual({len({slot["member"] for slot in line["slots"]}) for line in run.audit()}, {1, 2})


if __name__ == "__main__":
    harness.main()
