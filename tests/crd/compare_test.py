#!/usr/bin/env python3
"""Nothing of the last release's definition is removed or tightened; the comparison itself is shown to see it."""

import pathlib
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import crdcheck  # noqa: E402  (beside this script, not installed)

SERVER = None  # one for all tests: set by main
RELEASED = crdcheck.ROOT / "tests/crd/released"

# (what stands in a definition, what a newer one says instead, what the comparison must say; "" for nothing)
SMALL = """\
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: things.muster.dev}
spec:
  group: muster.dev
  names: {kind: Thing, listKind: ThingList, plural: things, singular: thing, shortNames: [th], categories: [all]}
  scope: Namespaced
  versions:
  - name: v1
    served: true
    storage: true
    additionalPrinterColumns: [{name: A, type: integer, jsonPath: .spec.a}]
    subresources: {status: {}, scale: {specReplicasPath: .spec.a, statusReplicasPath: .status.a}}
    schema:
      openAPIV3Schema:
        type: object
        properties:
          spec:
            type: object
            required: [a]
            properties:
              a: {type: integer, minimum: 1, maximum: 9, default: 3}
              q: {type: number, maximum: 1, nullable: true}
              s: {type: string, maxLength: 5}
              e: {type: string, enum: [X, B]}
              t: {type: object, x-kubernetes-preserve-unknown-fields: true}
              l: {type: array, maxItems: 4, items: {type: object, properties: {k: {type: string}}}}
              m: {type: object, additionalProperties: {type: integer, minimum: 0}}
            x-kubernetes-validations:
            - {rule: "self.a != 7", message: seven is taken}
          status: {type: object, properties: {a: {type: integer}}}
"""
CHANGES = [
    ("shortNames: [th], ", "", "short name th was removed"),
    ("categories: [all]", "categories: [some]", "category all was removed"),
    ("scope: Namespaced", "scope: Cluster", "group or scope changed"),
    ("name: v1\n", "name: v2\n", "version v1 was removed"),
    ("    additionalPrinterColumns: [{name: A, type: integer, jsonPath: .spec.a}]\n", "", "column A was removed"),
    ("jsonPath: .spec.a}", "jsonPath: .status.a}", "column A was removed or shows something else"),
    ("subresources: {status: {}, ", "subresources: {", "the status subresource was removed"),
    ("specReplicasPath: .spec.a", "specReplicasPath: .spec.b", "the scale subresource was removed or reads"),
    ("required: [a]", "required: [a, s]", "v1.spec.s is required now"),
    ("minimum: 1,", "minimum: 2,", "v1.spec.a: the least value is 2 now"),
    ("minimum: 1,", "minimum: 1, exclusiveMinimum: true,", "v1.spec.a: the least value is 1 now"),
    ("maximum: 9", "maximum: 8", "v1.spec.a: the largest value is 8 now"),
    ("maximum: 9", "maximum: 9, exclusiveMaximum: true", "v1.spec.a: the largest value is 9 now"),
    ("maximum: 9", "maximum: 9, multipleOf: 2", "v1.spec.a: values must be multiples of 2 now"),
    ("default: 3", "default: 4", "v1.spec.a: the default changed from 3 to 4"),
    (", default: 3", "", "v1.spec.a: the default changed from 3 to none"),
    ("a: {type: integer, minimum: 1", "a: {type: number, minimum: 1", "v1.spec.a: type integer"),
    (", nullable: true", "", "v1.spec.q: null is no longer allowed"),
    ("maxLength: 5", "maxLength: 4", "v1.spec.s: the largest length is 4 now"),
    ("maxLength: 5", "maxLength: 5, minLength: 1", "v1.spec.s: the least length is 1 now"),
    ("maxLength: 5", "maxLength: 5, pattern: '^a'", "v1.spec.s: the pattern ^a is new"),
    ("s: {type: string, ", "s: {type: string, format: date-time, ", "v1.spec.s: type string"),
    ("s: {type: string, ", "s: {type: string, enum: [A], ", "v1.spec.s: only some values are allowed now"),
    ("enum: [X, B]", "enum: [X]", "v1.spec.e: the value B is no longer allowed"),
    ("x-kubernetes-preserve-unknown-fields: true", "properties: {z: {type: string}}", "v1.spec.t: unknown fields are no"),
    ("maxItems: 4", "maxItems: 3", "v1.spec.l: the largest number of items is 3 now"),
    ("maxItems: 4", "maxItems: 4, x-kubernetes-list-type: set", "v1.spec.l: the list's type or keys changed"),
    ("properties: {k: {type: string}}", "properties: {j: {type: string}}", "v1.spec.l[].k was removed"),
    ("additionalProperties: {type: integer, minimum: 0}", "additionalProperties: {type: integer, minimum: 1}",
     "v1.spec.m.*: the least value is 1 now"),
    ("              s: {type: string, maxLength: 5}\n", "", "v1.spec.s was removed"),
    ("properties: {a: {type: integer}}}", "properties: {b: {type: integer}}}", "v1.status.a was removed"),
    ("self.a != 7", "self.a != 8", "v1.spec: the rule self.a != 8 is new"),
    # What a newer definition may do.
    ("maximum: 9", "maximum: 10", ""),
    ("minimum: 1,", "minimum: 0,", ""),
    ("required: [a]", "required: []", ""),
    ("maxLength: 5", "maxLength: 6", ""),
    ("enum: [X, B]", "enum: [X, B, Z]", ""),
    ("seven is taken", "seven is not free", ""),
    ("{rule: \"self.a != 7\", message: seven is taken}", "{rule: \"true\"}", "v1.spec: the rule true is new"),
    ("              s: {", "              r: {type: string, maxLength: 1}\n              s: {", ""),
    ("shortNames: [th], ", "shortNames: [th, ti], ", ""),
]


def compared(old, new):
    with tempfile.TemporaryDirectory() as folder:
        files = [pathlib.Path(folder) / name for name in ("old.yaml", "new.yaml")]
        for file, text in zip(files, (old, new)):
            file.write_text(text, encoding="utf-8")
        return SERVER.compare(*files)


class ComparisonTest(unittest.TestCase):
    def test_sees_what_is_removed_or_tightened(self):
        self.assertEqual(compared(SMALL, SMALL), [])
        for before, after, expected in CHANGES:
            with self.subTest(after=after, before=before):
                self.assertTrue(before in SMALL)
                findings = compared(SMALL, SMALL.replace(before, after, 1))
                if expected:
                    self.assertTrue(any(expected in finding for finding in findings), findings)
                else:
                    self.assertEqual(findings, [])

    def test_sees_it_in_the_definition_itself(self):
        text = crdcheck.CRD.read_text(encoding="utf-8")
        for before, after, expected in [
                ("maximum: 65536", "maximum: 65535", "the largest value is 65535 now"),
                ("default: \"Exact64\"", "default: \"Float\"", "v1alpha1.spec.training.reduction: the default changed"),
                ("        - \"spec\"\n", "        - \"spec\"\n        - \"status\"\n", "v1alpha1.status is required now")]:
            self.assertTrue(before in text, before)
            findings = compared(text, text.replace(before, after, 1))
            self.assertTrue(any(expected in finding for finding in findings), findings)


class ReleaseTest(unittest.TestCase):
    def test_nothing_of_an_earlier_release_is_removed_or_tightened(self):
        """`hack/dev crd release` keeps each release's file. Before the first one the file is its own base."""
        kept = sorted(RELEASED.glob("*.yaml"))
        for base in kept or [crdcheck.CRD]:
            self.assertEqual(SERVER.compare(base, crdcheck.CRD), [], base.name)
        print(f"compared with {len(kept)} earlier releases")


if __name__ == "__main__":
    SERVER = crdcheck.Server()
    unittest.main(verbosity=2)
