"""A soak: random jobs under random faults, each of which must end in the fault-free digest, with what evidence.py
asks of a run.

    soak.py [MINUTES] [SEED]     schedules of SEED, SEED + 1, ... until the time is over (default: 10, any)
    soak.py 0 SEED               the schedule of SEED alone

A schedule is made from its seed and nothing else, so a failing one is replayed by the command that is printed with
it; what it left behind is kept. What the machine's scheduler does is not in the seed. Not a part of ctest.
"""

import random
import re
import shutil
import signal
import sys
import tempfile
import time
import traceback
import unittest

import harness
from evidence import EvidenceCase, RESTORED, slots_computed

PHASES = ("forward", "reduce", "commit", "checkpoint", "rebuild", "transfer")
INTERRUPTED = 130


class Schedule:
    """What is trained and what happens to it: plain values, all from one seed."""

    def __init__(self, seed):
        self.seed, self.random = seed, random.Random(seed)
        r = self.random
        self.replicas, self.steps = r.randint(2, 5), r.randint(25, 70)
        self.most = r.randint(self.replicas, 7)
        self.slots, self.nodes = r.choice((8, 16, 24)), r.choice((1, 1, 1, 2, 3))
        self.gpt = r.random() < 0.25
        self.groups = {
            "workers": {"maxReplicas": self.most, "minReplicas": r.randint(1, 2)},
            "training": {"steps": self.steps, "slots": self.slots, "seed": r.randint(1, 1000),
                         "reduction": r.choice(("Exact64", "Exact64", "Exact32")),
                         "evaluateEverySteps": r.choice((0, 7))},
            "checkpoint": {"everySteps": r.choice((0, 4, 11))},
            "elasticity": {"heartbeatTimeout": "1s"},
        }
        self.milliseconds = r.choice((1.0, 2.0, 4.0))
        self.state_bytes = r.choice((1200, 1 << 16, 1 << 20, 8 << 20))
        self.wanted = self.replicas  # as --join and --scale leave it, in the order of their steps
        self.fewest = self.replicas
        self.hurt = set()            # ordinals that a fault is meant for
        steps = sorted(r.randint(2, max(3, self.steps * 3 // 4)) for _ in range(r.randint(1, 5)))
        self.faults = [fault for step in steps for fault in self._fault(step)]
        self.interruption = r.choice((None, None, None, None, signal.SIGINT, signal.SIGKILL))
        self.interrupted_at = r.randint(3, self.steps // 2)
        self.resumed_with = r.randint(1, self.most)

    def _fault(self, step):
        r = self.random
        kind = r.choice(("kill",) * 6 + ("stop",) * 3 + ("term",) * 2 + ("join", "scale", "coordinator", "node"))
        when = f"@step={step}"
        if kind == "coordinator":
            return ["--kill", "coordinator" + when]
        if kind == "join" and self.wanted < self.most:
            self.wanted += 1
            return ["--join", when]
        if kind in ("scale", "join"):
            self.wanted = r.randint(1, self.most)
            self.fewest = min(self.fewest, self.wanted)
            return ["--scale", f"{self.wanted}{when}"]
        if kind == "node" and self.nodes > 1:
            node = r.randrange(self.nodes)
            self.hurt |= set(range(node, self.most, self.nodes))
            return ["--kill", f"node-{node}{when}"]
        ordinal = r.randrange(max(1, min(self.wanted, self.replicas)))
        self.hurt.add(ordinal)
        phase = f":in={r.choice(PHASES)}" if r.random() < 0.7 else ""
        if kind in ("kill", "node"):
            return ["--kill", f"worker-{ordinal}{when}{phase}"]
        if kind == "term":
            return ["--term", f"worker-{ordinal}{when}{phase}"]
        sleep = r.choice((":for=300ms", ":for=1500ms", ":for=3s", ""))
        return ["--stop", f"worker-{ordinal}{when}{phase}{sleep}"]

    def manifest(self, text):
        if self.gpt:
            return harness.gpt_job(text, "soak", self.replicas, **self.groups)
        return harness.job("soak", self.replicas, milliseconds=self.milliseconds, state_bytes=self.state_bytes,
                           **self.groups)

    def untouched(self):
        """First processes that nobody meant to hurt, and that are still wanted."""
        return [f"{k}.0" for k in range(min(self.fewest, self.replicas)) if k not in self.hurt]

    def __str__(self):
        training = self.groups["training"]
        words = ["gpt" if self.gpt else f"bench {self.state_bytes}", training["reduction"],
                 f"{self.replicas}..{self.most} workers, {self.slots} slots, {self.steps} steps,",
                 f"checkpoint every {self.groups['checkpoint']['everySteps']}:", f"--nodes {self.nodes}", *self.faults]
        if self.interruption:
            words.append(f"and {self.interruption.name} at step {self.interrupted_at}")
        return " ".join(words)


class Soak(EvidenceCase):

    def __init__(self, schedule):
        super().__init__("one")
        self.schedule, self.good = schedule, False

    def _clean_up(self):
        for run in self.runs:
            run.stop()
        if not self.good:
            kept = tempfile.mkdtemp(prefix=f"muster-soak-{self.schedule.seed}-")
            shutil.copytree(self.folder, kept, dirs_exist_ok=True, ignore=shutil.ignore_patterns("*.sock"))
            print(f"  kept: {kept}", flush=True)
        self._clean.clear()
        shutil.rmtree(self.folder, ignore_errors=True)

    def one(self):
        schedule = self.schedule
        text = self.folder / "text"
        text.mkdir()
        harness.write_text(text / "a.txt")
        manifest = schedule.manifest(text)
        reference = self.run_story(manifest, folder="clean")
        clean = harness.types.SimpleNamespace(digest=reference.digest, audit=reference.audit())
        run = self.start(manifest, "--nodes", schedule.nodes, *schedule.faults, folder="faults")
        if schedule.interruption:
            run = self.interrupt_and_resume(run, manifest)
        else:
            run.finish()
            self.assert_fault_exit(run)
        self.assert_same_result(run, clean)
        self.assert_ring_bytes(run)
        self.assertEqual([pid for pid in run.pids() if harness.alive(pid)], [])
        if not schedule.interruption:
            self.assert_no_more_than_needed(run, reference)
        self.good = True

    def assert_fault_exit(self, run):
        """0, or 2 where a fault's phase never came."""
        self.assertIn(run.exit, (0, 2), run.tail())
        if run.exit == 2:
            run.wait_for(r"^a fault never fired: ", 0)
        started = [member for member, _ in run.started()]
        self.assertEqual(len(started), len(set(started)), f"an id was started twice: {started}")

    def interrupt_and_resume(self, run, manifest):
        try:
            run.wait_for_step(self.schedule.interrupted_at, 60)
        except AssertionError:
            if run.process.poll() is None:
                raise
        run.process.send_signal(self.schedule.interruption)
        run.finish()
        # It may have come to its end first.
        self.assertIn(run.exit, (0, 2, INTERRUPTED, -self.schedule.interruption), run.tail())
        return self.run_story(manifest, "--replicas", self.schedule.resumed_with, folder="faults")

    def assert_no_more_than_needed(self, run, reference):
        schedule, status = self.schedule, run.status
        went_back = any("rollback" in line for line in run.audit())
        members = status["membership"]["members"].split()
        for member in schedule.untouched():
            self.assertIn(member, members, f"{member} was lost, and no fault was meant for it\n{run.tail(80)}")
        if went_back:
            return  # everybody who had the state was gone
        for name, text in run.logs().items():
            self.assertIsNone(RESTORED.search(text), f"{name} opened a checkpoint")
        self.assertEqual({r["stepsLost"] for r in status["rescales"]}, {0})
        once, computed = slots_computed(reference), slots_computed(run)
        missing = {step for step in once if computed[step] < once[step]}
        self.assertEqual(missing, set(), "slots are missing in the logs")
        extra = sum(computed.values()) - sum(once.values())
        lost = len([line for line in run.lines if re.search(r"\] evicted worker-", line)])
        self.assertLessEqual(extra, lost * schedule.slots, f"{lost} were lost, {extra} slots computed again")


def soak(minutes, seed):
    end, schedules, failures = time.monotonic() + 60 * minutes, 0, []
    while schedules == 0 or time.monotonic() < end:
        schedule = Schedule(seed + schedules)
        schedules += 1
        print(f"seed {schedule.seed}: {schedule}", flush=True)
        result = unittest.TestResult()
        case = Soak(schedule)
        case.run(result)
        for _, sentence in result.failures + result.errors:
            failures.append(schedule.seed)
            print(f"{sentence}\nFAILED: replay with hack/dev soak 0 {schedule.seed}", flush=True)
    print(f"{schedules} schedules, {len(failures)} failed" + (f": {failures}" if failures else ""))
    return 1 if failures else 0


if __name__ == "__main__":
    try:
        MINUTES = float(sys.argv[1]) if len(sys.argv) > 1 else 10.0
        SEED = int(sys.argv[2]) if len(sys.argv) > 2 else random.randrange(1_000_000)
    except ValueError:
        traceback.print_exc(limit=0)
        sys.exit("usage: soak.py [MINUTES] [SEED]; numbers both")
    sys.exit(soak(MINUTES, SEED))
