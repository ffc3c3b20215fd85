#!/usr/bin/env python3
"""Random manifests: the definition and operator/api give the same verdicts. The seed is fixed."""

import json
import pathlib
import random
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import crdcheck  # noqa: E402  (beside this script, not installed)

SERVER = None  # one for all tests: set by main

BASE = {"apiVersion": "muster.dev/v1alpha1", "kind": "TrainingJob", "metadata": {"name": "a"},
        "spec": {"workers": {"replicas": 1}, "program": {"builtin": "bench"}, "training": {"steps": 10, "slots": 1}}}


class RulesTest(unittest.TestCase):
    """Rules between fields on random small numbers."""

    def test_verdicts_fields_and_sentences_agree(self):
        chance = random.Random(4711)
        texts = []
        for _ in range(600):
            spec = {"workers": {"replicas": chance.randint(1, 4)}, "training": {"steps": 9, "slots": chance.randint(2, 12)},
                    "program": {"builtin": chance.choice(["gpt", "gpt", "bench"]), "config": {}}, "data": {"path": "/d"}}
            options = [(spec["workers"], "minReplicas", lambda: chance.randint(1, 4)),
                       (spec["workers"], "maxReplicas", lambda: chance.randint(1, 5)),
                       (spec["workers"], "processesPerWorker", lambda: chance.randint(1, 3)),
                       (spec["program"]["config"], "width", lambda: chance.randint(8, 16)),
                       (spec["program"]["config"], "heads", lambda: chance.randint(1, 5)),
                       (spec["program"]["config"], "vocabulary", lambda: chance.choice([255, 256, 512])),
                       (spec["program"]["config"], "stateBytes", lambda: 64),
                       (spec["data"], "format", lambda: chance.choice(["text", "llmc"])),
                       (spec["data"], "path", lambda: "")]
            for group, name, value in options:
                if chance.random() < 0.25:
                    group[name] = value()
            texts.append(json.dumps({**BASE, "spec": spec}))
        good = 0
        for text, mine, answer in zip(texts, crdcheck.validate(texts), SERVER.create(texts)):
            theirs = {(e["field"], crdcheck.plain(e["message"])) for e in answer["errors"]}
            self.assertEqual({(e["field"], e["message"]) for e in mine["errors"]}, theirs, text)
            good += not mine["errors"]
        print(f"{len(texts)} manifests, {good} taken by both")
        self.assertGreater(good, 100)
        self.assertLess(good, 500)


class TextsTest(unittest.TestCase):
    """Texts with a syntax of their own, made of the pieces that they are made of."""

    def agree(self, manifests, least):
        texts = [json.dumps(manifest) for manifest in manifests]
        good = 0
        for text, mine, answer in zip(texts, crdcheck.validate(texts), SERVER.create(texts)):
            self.assertEqual(bool(mine["errors"]), bool(answer["errors"]), (text, mine["errors"], answer["errors"]))
            good += not mine["errors"]
        print(f"{len(texts)} manifests, {good} taken by both")
        self.assertGreater(good, least)
        self.assertGreater(len(texts) - good, least)

    def made_of(self, pieces, most):
        return "".join(self.chance.choice(pieces) for _ in range(self.chance.randint(1, most)))

    def setUp(self):
        self.chance = random.Random(4711)

    def test_durations(self):
        numbers = ["1", "30", "2.5", "0", "99", "007", "720", "0.000000001"]
        units = ["h", "m", "s", "s", "s", "ms", "us", "\u00b5s", "ns"]
        noise = ["", "", "", "", "", "", "-", "+", " ", "d", ".", "1", "h"]
        values = []
        for _ in range(1000):
            parts = [self.chance.choice(numbers) + self.chance.choice(units) for _ in range(self.chance.randint(1, 3))]
            parts.insert(self.chance.randint(0, len(parts)), self.chance.choice(noise))
            values.append("".join(parts))
        self.agree([dict(BASE, spec=dict(BASE["spec"], failurePolicy={"window": value})) for value in values], 200)

    def test_labels_and_annotations(self):
        pieces = ["a", "B", "7", "-", "_", ".", "a.b", "x" * 32] * 3 + ["/", " ", "\u00e4"]
        manifests = []
        for _ in range(500):
            meta = {"name": "a", self.chance.choice(["labels", "annotations"]): {
                self.made_of(pieces, 5): self.made_of(pieces, 3)}}
            manifests.append(dict(BASE, metadata=meta))
        self.agree(manifests, 100)

    def test_names_and_namespaces(self):
        pieces = ["a", "b", "7", "-", "c" * 20, "A", ".", "_"]
        names = [self.made_of(pieces[:5] * 3 + pieces, 5) for _ in range(300)]
        self.agree([dict(BASE, metadata={"name": name}) for name in names], 50)
        self.agree([dict(BASE, metadata={"name": "a", "namespace": name}) for name in names], 50)


if __name__ == "__main__":
    SERVER = crdcheck.Server()
    unittest.main(verbosity=2)
