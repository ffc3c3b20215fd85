#!/usr/bin/env python3
"""What an update of a TrainingJob may change: the definition's rules, and the operator's own hash."""

import copy
import json
import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import crdcheck  # noqa: E402  (beside this script, not installed)

SERVER = None  # one for all tests: set by main

STARTED = {"startTime": "2026-11-21T08:00:00Z", "state": "Running"}
GPT = {"apiVersion": "muster.dev/v1alpha1", "kind": "TrainingJob", "metadata": {"name": "a", "resourceVersion": "1"},
       "spec": {"workers": {"replicas": 2, "maxReplicas": 4}, "program": {"builtin": "gpt"}, "data": {"path": "/d"},
                "training": {"steps": 10, "slots": 64}}}

# A value that differs from the one in GPT, or from the default.
OTHER = {
    "spec.workers.replicas": 3, "spec.workers.minReplicas": 2, "spec.workers.maxReplicas": 5, "spec.workers.spares": 1,
    "spec.workers.processesPerWorker": 2, "spec.workers.template": {"spec": {"nodeName": "n"}},
    "spec.program.builtin": "bench",
    "spec.program.config.layers": 5, "spec.program.config.heads": 2, "spec.program.config.width": 64,
    "spec.program.config.context": 64, "spec.program.config.batch": 2, "spec.program.config.vocabulary": 300,
    "spec.program.config.learningRate": 0.002, "spec.program.config.warmupSteps": 1,
    "spec.program.config.weightDecay": 0.2, "spec.program.config.clip": 0.5, "spec.program.config.dropout": 0.1,
    "spec.program.config.device": "cpu",
    "spec.program.config.recompute": 2, "spec.program.config.matmulTable": "/t",
    "spec.program.config.stateBytes": 4096, "spec.program.config.slotMilliseconds": 6,
    "spec.program.weights.path": "/m",
    "spec.training.steps": 11, "spec.training.slots": 65, "spec.training.reduction": "Exact32",
    "spec.training.transport": "ring", "spec.training.evaluateEverySteps": 5, "spec.training.seed": 2,
    "spec.data.path": "/e", "spec.data.format": "llmc",
    "spec.checkpoint.path": "/c", "spec.checkpoint.everySteps": 5, "spec.checkpoint.everySeconds": 5,
    "spec.checkpoint.keep": 5,
    "spec.elasticity.heartbeatTimeout": "2s", "spec.elasticity.belowMinTimeout": "2s",
    "spec.elasticity.lostPodGracePeriod": "2s", "spec.elasticity.avoidNodes.failures": 3,
    "spec.elasticity.avoidNodes.window": "2h",
    "spec.failurePolicy.maxReplacements": 5, "spec.failurePolicy.window": "2h",
    "spec.failurePolicy.rules": [{"action": "FailJob"}],
    "spec.suspend": True, "spec.managedBy": "other", "spec.activeDeadlineSeconds": 5,
    "spec.ttlSecondsAfterFinished": 5,
}


def job(*edits, status=None, base=None):
    """GPT with (path, value) set; a value of None removes it."""
    out = copy.deepcopy(base or GPT)
    for path, value in edits:
        at = out
        *groups, leaf = path.split(".")
        for group in groups:
            at = at.setdefault(group, {})
        if value is None:
            at.pop(leaf, None)
        else:
            at[leaf] = value
    if status is not None:
        out["status"] = status
    return json.dumps(out)


def base_for(path):
    """A job in which the field has a meaning and the other value is valid."""
    if path.endswith((".stateBytes", ".slotMilliseconds")):
        return json.loads(job(("spec.program.builtin", "bench"), ("spec.data", None)))
    if path.endswith(".vocabulary"):
        return json.loads(job(("spec.data.format", "llmc"), ("spec.program.config.vocabulary", 512)))
    if path.endswith((".recompute", ".matmulTable")):
        return json.loads(job(("spec.program.config.device", "cuda")))
    return GPT


class FieldsTest(unittest.TestCase):
    """Each field changed once: before the start, after it, and while suspended."""

    def rows(self):
        return [f for f in crdcheck.probe("fields") if f["path"].startswith("spec.") and not f["group"]
                and "[]" not in f["path"]]

    def refused(self, status, *also):
        """{path: whether the change was refused}, and the refusals name the field."""
        paths = [row["path"] for row in self.rows()]
        changes = [(job(*also, base=base_for(path), status=status), job(*also, (path, OTHER[path]), base=base_for(path)))
                   for path in paths]
        answers = SERVER.update(changes)
        for path, answer in zip(paths, answers):
            if answer["errors"]:
                self.assertTrue(all(e["field"] == path for e in answer["errors"]), (path, answer["errors"]))
                self.assertIn("may ", answer["errors"][0]["message"])
        return {path: bool(answer["errors"]) for path, answer in zip(paths, answers)}

    def test_every_field_is_tried(self):
        self.assertEqual({row["path"] for row in self.rows()}, set(OTHER))

    def test_before_the_start_all_but_managed_by_may_change(self):
        for status in (None, {}, {"state": "Pending"}):
            refused = self.refused(status)
            self.assertEqual([path for path in refused if refused[path]], ["spec.managedBy"])

    def test_after_the_start_what_decides_the_result_is_fixed(self):
        fixed = {row["path"] for row in self.rows() if row["change"] != "always"}
        refused = self.refused(STARTED)
        self.assertEqual({path for path in refused if refused[path]}, fixed)
        # As the design lists what may change.
        free = {path for path in refused if not refused[path]}
        self.assertEqual(free, {path for path in OTHER if path.startswith(("spec.elasticity.", "spec.failurePolicy."))}
                         | {"spec.workers." + n for n in ("replicas", "minReplicas", "maxReplicas", "spares")}
                         | {"spec.checkpoint." + n for n in ("everySteps", "everySeconds", "keep")}
                         | {"spec.suspend", "spec.activeDeadlineSeconds", "spec.ttlSecondsAfterFinished"})

    def test_while_suspended_the_template_may_change_too(self):
        fixed = {row["path"] for row in self.rows() if row["change"] in ("untilStart", "never")}
        refused = self.refused(dict(STARTED, state="Suspended"), ("spec.suspend", True))
        self.assertEqual({path for path in refused if refused[path]}, fixed)

    def test_the_hash_sees_the_same(self):
        """FrozenHash differs where the definition refuses, the template's own hash for the template."""
        for row in self.rows():
            path = row["path"]
            old, new = crdcheck.validate([job(base=base_for(path)), job((path, OTHER[path]), base=base_for(path))])
            self.assertEqual((old["errors"], new["errors"]), ([], []), path)
            self.assertEqual(old["frozen"] != new["frozen"], row["change"] in ("untilStart", "never"), path)
            self.assertEqual(old["template"] != new["template"], row["change"] == "whileSuspended", path)


class StoriesTest(unittest.TestCase):
    def verdict(self, old, new, *status):
        answer = SERVER.update([(old, new, *status)])[0]
        return [e["field"] for e in answer["errors"]]

    def test_spelling_a_default_out_is_no_change(self):
        old = job(status=STARTED)
        self.assertEqual(self.verdict(old, job(("spec.program.config.layers", 4), ("spec.training.seed", 1),
                                               ("spec.program.config.learningRate", 0.001))), [])
        old = job(("spec.program.config.learningRate", 1), status=STARTED)
        self.assertEqual(self.verdict(old, job(("spec.program.config.learningRate", 1.0))), [])
        old = job(("spec.program.config.layers", 5), status=STARTED)
        self.assertEqual(self.verdict(old, job()), ["spec.program.config.layers"])

    def test_scaling_stays_within_its_bounds(self):
        old = job(("spec.workers.minReplicas", 2), status=STARTED)
        change = [("spec.workers.minReplicas", 2)]
        self.assertEqual(self.verdict(old, job(*change, ("spec.workers.replicas", 4))), [])
        self.assertEqual(self.verdict(old, job(*change, ("spec.workers.replicas", 5))), ["spec.workers.maxReplicas"])
        self.assertEqual(self.verdict(old, job(*change, ("spec.workers.replicas", 1))), ["spec.workers.minReplicas"])
        self.assertEqual(self.verdict(old, job(*change, ("spec.workers.replicas", 0))),
                         ["spec.workers.replicas", "spec.workers.minReplicas"])
        self.assertEqual(self.verdict(old, job(("spec.workers.maxReplicas", 65))), ["spec.training.slots"])

    def test_the_template_changes_with_the_resume_itself(self):
        """As queueing controllers do it: placement is written when the job is let go."""
        held = job(("spec.suspend", True), status=dict(STARTED, state="Suspended"))
        placed = job(("spec.workers.template", {"spec": {"nodeSelector": {"pool": "a"}}}))
        self.assertEqual(self.verdict(held, placed), [])
        running = job(status=STARTED)
        stop_and_change = job(("spec.suspend", True), ("spec.workers.template", {"spec": {"nodeName": "n"}}))
        self.assertEqual(self.verdict(running, stop_and_change), ["spec.workers.template"])

    def test_a_template_may_be_changed_deep_inside(self):
        def template(value):
            return ("spec.workers.template", {"metadata": {}, "spec": {"containers": [{"name": "worker", "env": value}]}})
        old = job(template([{"name": "A", "value": "1"}]), status=STARTED)
        self.assertEqual(self.verdict(old, job(template([{"name": "A", "value": "1"}]))), [])
        self.assertEqual(self.verdict(old, job(template([{"name": "A", "value": "2"}]))), ["spec.workers.template"])
        self.assertEqual(self.verdict(old, job(template([{"name": "A", "values": "1"}]))), ["spec.workers.template"])
        self.assertEqual(self.verdict(old, job()), ["spec.workers.template"])

    def test_a_key_in_the_place_of_another_is_seen_by_the_hash_alone(self):
        """CEL compares fields without a schema only where both have them: the operator must compare, too."""
        old, new = ("spec.workers.template", {"spec": {}}), ("spec.workers.template", {"metadata": {}})
        self.assertEqual(self.verdict(job(old, status=STARTED), job(new)), [])
        one, other = crdcheck.validate([job(old), job(new)])
        self.assertNotEqual(one["template"], other["template"])

    def test_the_end_is_final_and_the_start_too(self):
        for state in ("Succeeded", "Failed"):
            old = job(status=dict(STARTED, state=state))
            self.assertEqual(self.verdict(old, job(status=dict(STARTED, state="Running")), True), ["status.state"])
            self.assertEqual(self.verdict(old, job(status=dict(STARTED, state=state, replicas=0)), True), [])
        old = job(status=STARTED)
        self.assertEqual(self.verdict(old, job(status={"state": "Running"}), True), ["status.startTime"])
        later = {"startTime": "2026-11-21T09:00:00Z", "state": "Running"}
        self.assertEqual(self.verdict(old, job(status=later), True), ["status.startTime"])
        same_moment = {"startTime": "2026-11-21T08:00:00Z", "state": "Degraded"}
        self.assertEqual(self.verdict(old, job(status=same_moment), True), [])

    def test_the_first_status_may_come_at_any_time(self):
        self.assertEqual(self.verdict(job(), job(status=STARTED), True), [])

    def test_a_spec_does_not_go_through_the_status(self):
        answer = SERVER.update([(job(status=STARTED), job(("spec.training.seed", 9), status=STARTED), True)])[0]
        self.assertEqual(answer["errors"], [])
        self.assertEqual(answer["object"]["spec"]["training"]["seed"], 1)


if __name__ == "__main__":
    SERVER = crdcheck.Server()
    unittest.main(verbosity=2)
