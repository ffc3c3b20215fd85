#!/usr/bin/env python3
"""The definition of TrainingJob is valid and cheap, says what operator/api says, and gives the same verdicts."""

import copy
import json
import pathlib
import re
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import cases  # noqa: E402  (beside this script, not installed)
import crdcheck  # noqa: E402

SERVER = None  # one for all tests: set by main


def schema():
    return SERVER.definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]


def walk(node, path=""):
    """(path, schema) of every field; items of lists as "path[]"."""
    for name, child in node.get("properties", {}).items():
        at = f"{path}.{name}".lstrip(".")
        yield at, child
        yield from walk(child, at)
        if "items" in child:
            yield from walk(child["items"], at + "[]")


def fields():
    """Rows of operator/api that an API server checks by this definition."""
    return [f for f in crdcheck.probe("fields") if f["path"] == "spec" or f["path"].startswith("spec.")]


def sentence_of(rule):
    """What the rule says, as a regular expression."""
    if "messageExpression" not in rule:
        return re.escape(rule["message"])
    form = re.match(r"'(.*)'\.format\(", rule["messageExpression"]).group(1).replace("\\'", "'")
    return re.escape(form).replace("%d", r"\d+").replace("%s", ".*")


class DefinitionTest(unittest.TestCase):
    def test_an_api_server_takes_it_and_its_rules_are_cheap(self):
        report = SERVER.report
        self.assertEqual(report["errors"], [])
        dearest = max(report["rules"], key=lambda rule: rule["cost"])
        print(f"{len(report['rules'])} rules, estimated {report['total']} of {report['totalLimit']}, the dearest "
              f"{dearest['cost']} of {report['ruleLimit']} at {dearest['at']}")
        self.assertLess(report["total"], report["totalLimit"] / 2)
        self.assertLess(dearest["cost"], report["ruleLimit"] / 2)

    def test_client_side_apply_can_hold_it(self):
        self.assertLess(crdcheck.CRD.stat().st_size, 256 * 1024)

    def test_names_subresources_and_columns(self):
        spec = SERVER.definition["spec"]
        version = spec["versions"][0]
        self.assertEqual((spec["group"], version["name"], spec["scope"]), ("muster.dev", "v1alpha1", "Namespaced"))
        self.assertEqual((spec["names"]["shortNames"], spec["names"]["categories"]), (["tj"], ["all"]))
        self.assertEqual(version["subresources"],
                         {"status": {}, "scale": {"specReplicasPath": ".spec.workers.replicas",
                                                  "statusReplicasPath": ".status.replicas",
                                                  "labelSelectorPath": ".status.selector"}})
        self.assertEqual([c["name"] for c in version["additionalPrinterColumns"]],
                         ["State", "Members", "Epoch", "Step", "Loss", "Age"])

    def test_columns_and_scale_read_fields_that_exist(self):
        known = {path for path, _ in walk(schema())}
        version = SERVER.definition["spec"]["versions"][0]
        paths = [c["jsonPath"] for c in version["additionalPrinterColumns"] if c["name"] != "Age"]
        for path in paths + list(version["subresources"]["scale"].values()):
            self.assertIn(path.lstrip("."), known)

    def test_every_field_and_every_rule_speaks(self):
        for path, node in walk(schema()):
            if path != "metadata":
                self.assertGreater(len(node.get("description", "")), 7, path)
            for rule in node.get("x-kubernetes-validations", []):
                self.assertIn("message", rule, path)


class SourceOfTruthTest(unittest.TestCase):
    def test_both_know_the_same_fields(self):
        in_definition = {path for path, _ in walk(schema()) if path.split(".")[0] == "spec"}
        self.assertEqual(in_definition, {field["path"] for field in fields()})

    def test_both_know_the_same_bounds_and_defaults(self):
        nodes = dict(walk(schema()))
        for field in fields():
            node = nodes[field["path"]]
            with self.subTest(field["path"]):
                self.assertEqual(node["type"] == "integer", field["integer"])
                self.assertEqual(node["type"] == "number", field["number"])
                self.assertEqual(node["type"] == "boolean", field["boolean"])
                self.assertEqual(node.get("nullable", False), field["nullable"])
                if field["integer"] or field["number"]:
                    self.assertEqual((node["minimum"], node["maximum"]), (field["least"], field["most"]))
                self.assertEqual(node.get("enum", []), field["oneOf"])
                self.check_default(field, node)

    def check_default(self, field, node):
        if field["required"] or field["nullable"] or field["path"] == "spec.workers.maxReplicas":
            self.assertNotIn("default", node)
        elif field["ofProgram"]:  # one written into every object would say that a bench has layers
            self.assertNotIn("default", node)
            self.assertIn(f"Default: {field['default'] or 'empty'}.", node["description"])
        elif node["type"] == "array":
            self.assertEqual(node["default"], [])
        elif node["type"] == "object":
            self.assertEqual(node["default"], {})
        elif node["type"] == "string":
            self.assertEqual(node["default"], field["default"])
        else:
            self.assertEqual(node["default"], json.loads(field["default"]))

    def test_required_fields_agree(self):
        nodes = dict(walk(schema()))
        nodes[""] = schema()
        for field in fields():
            parent, _, leaf = field["path"].rpartition(".")
            node = nodes.get(parent) or nodes[parent.removesuffix("[]")]["items"]
            self.assertEqual(leaf in node.get("required", []), field["required"], field["path"])


class ManifestTest(unittest.TestCase):
    def test_bad_ones_are_refused_by_both_with_the_field(self):
        self.assertGreater(len(cases.BAD), 60)
        texts = [cases.edited(before, after) for _, before, after in cases.BAD]
        for (field, _, after), ours, theirs in zip(cases.BAD, crdcheck.validate(texts), SERVER.create(texts)):
            with self.subTest(field=field, manifest=after[:80]):
                self.assertTrue(ours["errors"], "muster validate took it")
                self.assertTrue(theirs["errors"], "the API server took it")
                self.assertTrue(crdcheck.names(ours, field), ours["errors"])
                self.assertTrue(crdcheck.names(theirs, field), theirs["errors"])

    def test_every_field_has_a_bad_manifest(self):
        tried = [re.sub(r"\[\d+\]", "[]", field) for field, _, _ in cases.BAD]
        for field in crdcheck.probe("fields"):
            if field["ignored"] or field["group"]:
                continue
            self.assertIn(field["path"], tried)

    def test_every_rule_has_a_bad_manifest(self):
        texts = [cases.edited(before, after) for _, before, after in cases.BAD]
        said = {(e["field"], crdcheck.plain(e["message"])) for answer in SERVER.create(texts) for e in answer["errors"]}
        for path, node in [*walk(schema()), ("", schema())]:
            for rule in node.get("x-kubernetes-validations", []):
                if "oldSelf" in rule["rule"]:
                    continue  # update_test.py
                field = (path + rule.get("fieldPath", "")).lstrip(".")
                sentence = sentence_of(rule)
                self.assertTrue(any(field == at and re.fullmatch(sentence, text, re.S) for at, text in said),
                                (field, sentence))

    def test_muster_wants_one_spelling(self):
        texts = [cases.edited(before, after) for _, before, after in cases.SPELLING]
        for (field, _, after), ours, theirs in zip(cases.SPELLING, crdcheck.validate(texts), SERVER.create(texts)):
            self.assertTrue(crdcheck.names(ours, field), after)
            self.assertEqual(theirs["errors"], [], after)

    def good(self):
        texts = {name: cases.edited(before, after) for name, before, after in cases.FINE}
        for file in sorted((crdcheck.ROOT / "docs/examples").glob("*.yaml")):
            texts[file.name] = file.read_text(encoding="utf-8")
        page = (crdcheck.ROOT / "docs/trainingjob.md").read_text(encoding="utf-8")
        for i, block in enumerate(re.findall(r"```yaml\n(apiVersion.*?)```", page, re.S)):
            texts[f"docs/trainingjob.md, example {i + 1}"] = block
        return texts

    def test_good_ones_are_taken_by_both_and_mean_the_same(self):
        texts = self.good()
        theirs = SERVER.create(list(texts.values()))
        ours = crdcheck.validate(list(texts.values()))
        stored = crdcheck.validate([json.dumps(answer.get("object")) for answer in theirs])
        for name, mine, answer, back in zip(texts, ours, theirs, stored):
            with self.subTest(name):
                self.assertEqual(mine["errors"], [])
                self.assertEqual(answer["errors"], [])
                # With the defaults that the API server wrote into it.
                self.assertEqual(back["errors"], [])
                self.assertEqual(back["spec"], mine["spec"])
                self.assertEqual((back["frozen"], back["template"]), (mine["frozen"], mine["template"]))

    def test_the_page_shows_every_field(self):
        page = (crdcheck.ROOT / "docs/trainingjob.md").read_text(encoding="utf-8")
        shown = "".join(re.findall(r"```yaml\n(.*?)```", page, re.S))
        for field in fields():
            self.assertRegex(shown, rf"\b{field['path'].rpartition('.')[2]}:")


class BoundsTest(unittest.TestCase):
    """Every field at and beyond each of its bounds, made from the table: verdicts must agree."""

    BASE = {"apiVersion": "muster.dev/v1alpha1", "kind": "TrainingJob", "metadata": {"name": "a"},
            "spec": {"workers": {"replicas": 1}, "program": {"builtin": "gpt"}, "data": {"path": "/d"},
                     "training": {"steps": 10, "slots": 1}}}

    def values(self, field):
        least, most = field["least"], field["most"]
        if field["oneOf"]:
            return [*field["oneOf"], "other", 1, "", None]
        if field["integer"]:
            return [least, least - 1, most, most + 1, least + 1, str(least), least + 0.5, True, None, [least]]
        if field["number"]:
            return [least, least - 0.001, most, most + 0.001, (least + most) / 2, str(most), False, None, {}]
        if field["boolean"]:
            return [True, False, "true", 1, None]
        if field["path"].endswith(("Timeout", "window", "Period")):
            return [f"{least}ns", f"{least - 1}ns", f"{most}ns", f"{most + 1}ns", "1s", "0.25h", "1s1s", "1", "s", "",
                    " 1s", 1, 0, True, None]
        if field["group"]:
            return [{}, [], "x", 1, True, None]
        return ["", "x", "x" * most, "x" * (most + 1), 1, 1.5, True, {}, [], None]

    def test_verdicts_agree(self):
        tried = []
        for field in fields():
            for value in self.values(field) if "[]" not in field["path"] else []:
                manifest = copy.deepcopy(self.BASE)
                at = manifest
                *groups, leaf = field["path"].split(".")
                for group in groups:
                    at = at.setdefault(group, {})
                at[leaf] = value
                tried.append((field["path"], value, json.dumps(manifest)))
        ours, theirs = crdcheck.validate([t[2] for t in tried]), SERVER.create([t[2] for t in tried])
        refused = 0
        for (path, value, _), mine, answer in zip(tried, ours, theirs):
            with self.subTest(field=path, value=str(value)[:60]):
                self.assertEqual(bool(mine["errors"]), bool(answer["errors"]),
                                 f"muster: {mine['errors']}; API server: {answer['errors']}")
                for error in answer["errors"]:
                    self.assertNotIn("evaluating rule", error["message"])
                refused += bool(mine["errors"])
        print(f"{len(tried)} values, {refused} refused by both")
        self.assertGreater(refused, 100)
        self.assertGreater(len(tried) - refused, 100)


class CostTest(unittest.TestCase):
    def test_the_largest_object_is_within_the_budget(self):
        rules = [{"action": "Ignore", "exitCodes": [255] * 256, "podCondition": "c" * 316}] * 20
        large = {"apiVersion": "muster.dev/v1alpha1", "kind": "TrainingJob", "metadata": {"name": "a" * 40},
                 "spec": {"workers": {"replicas": 10000, "minReplicas": 10000, "maxReplicas": 10000, "spares": 1000,
                                      "processesPerWorker": 6,
                                      "template": {"spec": {"containers": [{"args": ["x" * 1000] * 300}] * 2}}},
                          "program": {"builtin": "gpt", "config": {"width": 16384, "heads": 1024, "vocabulary": 256}},
                          "training": {"steps": 10**9, "slots": 65536, "seed": 2**53 - 1},
                          "data": {"path": "/" + "d" * 4095}, "checkpoint": {"path": "/" + "c" * 4095},
                          "elasticity": {"heartbeatTimeout": "1s" * 32, "belowMinTimeout": "1s" * 32,
                                         "lostPodGracePeriod": "1s" * 32, "avoidNodes": {"window": "1s" * 32}},
                          "failurePolicy": {"window": "1s" * 32, "rules": rules}, "managedBy": "m" * 63}}
        started = dict(large, status={"startTime": "2026-11-21T08:00:00Z", "state": "Running"})
        created = SERVER.create([json.dumps(large)])[0]
        updated = SERVER.update([(json.dumps(started), json.dumps(large))])[0]
        self.assertEqual((created["errors"], updated["errors"]), ([], []))
        limit = SERVER.report["runtimeLimit"]
        print(f"rules of the largest object: {created['cost']} to create, {updated['cost']} to update, of {limit}")
        self.assertLess(max(created["cost"], updated["cost"]), limit / 10)


class StatusTest(unittest.TestCase):
    def test_a_full_status_is_taken_whole(self):
        full = crdcheck.probe("full")
        full["metadata"] = {"name": "full"}
        empty = {key: value for key, value in full.items() if key != "status"}
        answer = SERVER.update([(json.dumps(empty), json.dumps(full), True)])[0]
        self.assertEqual(answer["errors"], [])
        self.assertEqual(answer["object"]["status"], full["status"])

    def test_every_field_of_the_status_is_written(self):
        def paths(value, at):
            yield at
            if isinstance(value, list):
                for item in value:
                    yield from paths(item, at + "[]")
            elif isinstance(value, dict):
                for key, item in value.items():
                    yield from paths(item, f"{at}.{key}")
        written = set(paths(crdcheck.probe("full")["status"], "status"))
        for path, _ in walk(schema()):
            if path.startswith("status"):
                self.assertIn(path, written)

    def test_a_status_of_no_sense_is_refused(self):
        old = json.dumps(BoundsTest.BASE)
        for field, status in [("status.zebra", {"zebra": 1}), ("status.state", {"state": "Odd"}),
                              ("status.startTime", {"startTime": "today"}), ("status.replicas", {"replicas": -1}),
                              ("status.conditions[0].reason", {"conditions": [{
                                  "type": "Running", "status": "True", "message": "m",
                                  "lastTransitionTime": "2026-11-21T08:00:00Z"}]}),
                              ("status.rescales", {"rescales": [{"epoch": i} for i in range(21)]})]:
            answer = SERVER.update([(old, json.dumps(dict(BoundsTest.BASE, status=status)), True)])[0]
            self.assertTrue(crdcheck.names(answer, field), (field, answer["errors"]))


if __name__ == "__main__":
    SERVER = crdcheck.Server()
    unittest.main(verbosity=2)
