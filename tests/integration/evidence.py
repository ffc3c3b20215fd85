"""What a run with faults must show besides its digest, because a run that restarts everybody, or in which
everybody computes everything, would end in the same one.

Where each fact comes from:
  who lived          lines `started worker-K (K.I), pid P` and `worker-K (K.I), pid P, exited ...`; a process
                     that is started again is a new member, so an id that is in the last view's members and
                     has one pid is the same process from start to end
  phase of a fault   `fault F: killed worker-K (K.I) in PHASE`: said after the process stopped itself there
  slots computed     MUSTER_DEBUG's line `slot computed` in each worker's log, the dead ones' included,
                     written where the slot function returns
  bytes on the ring  MUSTER_DEBUG's line `reduced`: bytes of the sums, bytes sent by this member
  checkpoints read   a worker's line `checkpoint: restored`
  samples            the audit file
"""

import collections
import re

from harness import StoryCase

COMPUTED = re.compile(r" forward: slot computed step=(\d+) slot=(\d+)$", re.M)
REDUCED = re.compile(r" reduce: reduced step=(\d+) members=(\d+) sumBytes=(\d+) sentBytes=(\d+)$", re.M)
# Causes that membership gives a rescale after a death: by whoever noticed first.
LOSS = ("WorkerKilled", "StreamLost")
RESTORED = re.compile(r" checkpoint: restored\b")


def slots_computed(run):
    """{step: number of slots that all processes together computed for it}."""
    count = collections.Counter()
    for text in run.logs().values():
        count.update(int(step) for step, _ in COMPUTED.findall(text))
    return count


def samples_by_slot(audit):
    """{(step, slot): samples}, each once; a roll-back takes back what it names."""
    out, steps = {}, []
    for line in audit:
        if "rollback" in line:
            while steps and steps[-1] > line["rollback"]:
                gone = steps.pop()
                out = {key: value for key, value in out.items() if key[0] != gone}
            continue
        assert not steps or line["step"] == steps[-1] + 1, f"step {line['step']} follows {steps[-1:]}"
        steps.append(line["step"])
        for slot in line["slots"]:
            key = (line["step"], slot["slot"])
            assert key not in out, f"{key} is in the audit twice"
            out[key] = slot["samples"]
    return out


class EvidenceCase(StoryCase):
    """Assertions about a finished run, compared with the fault-free run of the same manifest."""

    def assert_same_result(self, run, clean):
        self.assertEqual(run.status["state"], "Succeeded")
        self.assertEqual(run.digest, clean.digest, "the digest differs from the fault-free run's")
        training = run.manifest["spec"]["training"]
        got, want = samples_by_slot(run.audit()), samples_by_slot(clean.audit)
        everything = {(step, slot) for step in range(1, training["steps"] + 1)
                      for slot in range(training["slots"])}
        self.assertEqual(set(got), everything, "the audit lacks slots or has others")
        self.assertEqual(got, want, "other samples than in the fault-free run")

    def assert_samples_once(self, run, samples):
        """Each sample at most once within a data epoch of `samples`."""
        in_order = [n for _, slot in sorted(samples_by_slot(run.audit()).items()) for n in slot]
        for begin in range(0, len(in_order), samples):
            epoch = in_order[begin:begin + samples]
            self.assertEqual(len(epoch), len(set(epoch)), "a sample was read twice in one data epoch")

    def assert_fired(self, run, *faults):
        """Each fault struck, and in the phase that it names."""
        fired = run.fired()
        for fault in faults:
            self.assertIn(fault, fired, run.tail())
            phase = re.search(r":in=(\w+)", fault)
            if phase:
                self.assertTrue(fired[fault].endswith(" in " + phase.group(1)), fired[fault])

    def assert_rescaled(self, run, *causes):
        """The epoch grew and the causes are among those of the rescales."""
        status = run.status
        self.assertGreater(status["membership"]["epoch"], 1)
        self.assertEqual(status["rescaleCount"], len(status["rescales"]))
        have = [r["cause"] for r in status["rescales"]]
        for cause in causes:
            options = cause if isinstance(cause, tuple) else (cause,)
            self.assertTrue(set(options) & set(have), f"{options} not among {have}\n{run.tail()}")

    def assert_survivors(self, run, lost=(), left=()):
        """All but `lost` (killed or fenced) and `left` (drained, scaled away) are the processes that they
        were. Returns their ids."""
        first = [f"{ordinal}.0" for ordinal in range(run.manifest["spec"]["workers"]["replicas"])]
        started = run.started()
        ids = [member for member, _ in started]
        self.assertEqual(len(ids), len(set(ids)), f"an id was started twice: {started}")
        self.assertEqual(len({pid for _, pid in started}), len(started))
        exited = run.exited()
        survivors = [m for m in first if m not in lost and m not in left]
        members = run.status["membership"]["members"].split()
        for member in survivors:
            self.assertIn(member, members, f"{member} did not stay a member\n{run.tail()}")
            self.assertIn(exited.get(member, 0), (0, -9), f"{member}: exit {exited.get(member)}")
        for member in lost:
            self.assertNotIn(member, members)
        return survivors

    def assert_nothing_repeated(self, run, held_by_lost, attempts=None):
        """Nobody opened a checkpoint, no step was lost, and each slot was computed once, but for at most
        `held_by_lost` slots in all. `attempts`: {step: how often all slots of it are computed}."""
        for name, text in run.logs().items():
            self.assertIsNone(RESTORED.search(text), f"{name} opened a checkpoint")
        rescales = run.status["rescales"]
        self.assertEqual([r["stepsLost"] for r in rescales], [0] * len(rescales))
        again = sum(r["slotsRecomputed"] for r in rescales)
        self.assertLessEqual(again, held_by_lost, rescales)
        training = run.manifest["spec"]["training"]
        computed, extra = slots_computed(run), 0
        for step in range(1, training["steps"] + 1):
            once = training["slots"] * (attempts or {}).get(step, 1)
            self.assertGreaterEqual(computed[step], once, f"step {step}: slots are missing in the logs")
            extra += computed[step] - once
        self.assertLessEqual(extra, held_by_lost, f"slots computed a step: {dict(computed)}")

    def assert_ring_bytes(self, run):
        """All members of a step together sent 2(n-1) times its sums: 2(n-1)/n each. Returns the steps in
        which more than one trained."""
        sent, facts = collections.defaultdict(list), {}
        for text in run.logs().values():
            for step, members, sums, mine in REDUCED.findall(text):
                sent[int(step)].append(int(mine))
                facts[int(step)] = (int(members), int(sums))
        shared = 0
        for step, (members, sums) in facts.items():
            if len(sent[step]) != members:
                continue  # one of them died before it could say so
            self.assertEqual(sum(sent[step]), 2 * (members - 1) * sums, f"step {step}, {members} members")
            shared += members > 1
        return shared

    def assert_story(self, run, clean, faults, causes, lost=(), left=(), held=None,
                     attempts=None):
        """Everything that holds of a run whose faults are losses of single members."""
        self.assert_fired(run, *faults)
        self.assert_rescaled(run, *causes)
        self.assert_survivors(run, lost, left)
        if held is None:  # with nobody replaced meanwhile, each loss leaves the others with more
            spec = run.manifest["spec"]
            members = spec["workers"]["replicas"]
            held = sum(-(-spec["training"]["slots"] // (members - i)) for i in range(len(lost)))
        self.assert_nothing_repeated(run, held, attempts)
        self.assert_ring_bytes(run)
        self.assert_same_result(run, clean)
