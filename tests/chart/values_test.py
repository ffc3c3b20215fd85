#!/usr/bin/env python3
"""Values of the chart: each does something, wrong ones are refused with a sentence, NOTES tell of them. `hack/dev
chart`."""

import json
import sys
import unittest

import chart
import yaml
from chart import NAMESPACE, Refused, nested, render

sys.path[:0] = [str(chart.ROOT / "hack/lib/chart"), str(chart.ROOT / "tests/crd")]
import crdcheck  # noqa: E402  (neither is installed)
import documents  # noqa: E402

# One value other than the default for each; see EachValueTest.
OTHER_VALUES = {
    "replicas": 3,
    "image.repository": "registry.example/operator", "image.tag": "v9", "image.digest": "sha256:" + "ab" * 32,
    "image.pullPolicy": "Never",
    "workerImage.repository": "registry.example/worker", "workerImage.tag": "v9",
    "workerImage.digest": "sha256:" + "cd" * 32,
    "imagePullSecrets": [{"name": "login"}],
    "watchNamespaces": ["team-a"],
    "hardwareFaults.taints": ["a.io/broken"], "hardwareFaults.conditions": ["KernelDeadlock"],
    "crds.enabled": False, "crds.keep": False,
    "rbac.create": False, "rbac.aggregate": False,
    "serviceAccount.name": "other", "serviceAccount.annotations": {"a": "b"},
    "leaderElection.leaseDuration": "15s", "leaderElection.renewDeadline": "2500ms", "leaderElection.retryPeriod": "2s",
    "log.format": "text",
    "metrics.service.enabled": False, "metrics.service.annotations": {"a": "b"},
    "metrics.serviceMonitor.enabled": True,
    "networkPolicy.enabled": True,
    "podDisruptionBudget.enabled": False,
    "resources.requests": {"cpu": "1"}, "resources.limits": {"cpu": "1"},
    "nodeSelector": {"pool": "system"},
    "tolerations": [],
    "affinity": {"nodeAffinity": {}},
    "priorityClassName": "system-cluster-critical",
    "podAnnotations": {"a": "b"}, "podLabels": {"a": "b"},
    "nameOverride": "other", "fullnameOverride": "other",
}
# Those that matter only where something else is on.
WITHIN = {
    "metrics.serviceMonitor.interval": ("30s", {"metrics": {"serviceMonitor": {"enabled": True}}}),
    "metrics.serviceMonitor.labels": ({"a": "b"}, {"metrics": {"serviceMonitor": {"enabled": True}}}),
    "networkPolicy.metricsFrom": ([{"podSelector": {}}], {"networkPolicy": {"enabled": True}}),
    "serviceAccount.create": (False, {"serviceAccount": {"name": "mine"}}),
}


def merged(one, other):
    out = dict(one)
    for key, value in other.items():
        out[key] = merged(out[key], value) if isinstance(value, dict) and isinstance(out.get(key), dict) else value
    return out


class EachValueTest(unittest.TestCase):
    """No value that does nothing, and no test of values that forgets one."""

    def test_the_table_has_every_value(self):
        self.assertEqual({path for path, _, _ in documents.values_rows()}, set(OTHER_VALUES) | set(WITHIN))

    def test_each_changes_what_is_rendered(self):
        default = render({})
        for path, value in OTHER_VALUES.items():
            with self.subTest(path):
                self.assertNotEqual(render(nested(path, value)), default)
        for path, (value, around) in WITHIN.items():
            with self.subTest(path):
                self.assertNotEqual(render(merged(around, nested(path, value))), render(around))


class RefusalTest(unittest.TestCase):
    def refusal(self, values):
        with self.assertRaises(Refused) as caught:
            render(values)
        return str(caught.exception)

    def test_unknown_names_are_refused_by_name(self):
        for path in ("bogus", "image.bogus", "crds.bogus", "metrics.bogus", "metrics.serviceMonitor.bogus",
                     "serviceAccount.bogus", "leaderElection.bogus", "networkPolicy.bogus", "rbac.bogus", "log.bogus",
                     "resources.bogus", "podDisruptionBudget.bogus", "workerImage.pullPolicy", "operator"):
            with self.subTest(path):
                sentence = self.refusal(nested(path, "x"))
                leaf, group = path.rsplit(".", 1)[-1], path.rpartition(".")[0].replace(".", "/")
                self.assertRegex(sentence, rf"at '/?{group}'.*\n?.*additional properties '{leaf}' not allowed")

    def test_wrong_types_are_refused(self):
        for path, value in OTHER_VALUES.items():
            with self.subTest(path):
                wrong = [] if isinstance(value, (dict, bool, int)) else {"x": 1}
                self.assertIn(path.split(".")[0], self.refusal(nested(path, wrong)))

    def test_wrong_values_are_refused(self):
        rows = [("replicas", 0), ("replicas", 11), ("image.pullPolicy", "Sometimes"), ("image.repository", ""),
                ("image.repository", "a/b:tag@x"), ("image.tag", "a b"), ("image.digest", "sha256:12"),
                ("watchNamespaces", ["Team_A"]), ("watchNamespaces", ["a", "a"]), ("log.format", "xml"),
                ("leaderElection.leaseDuration", "5"), ("leaderElection.retryPeriod", "0s"),
                ("hardwareFaults.conditions", ["GpuReady=No"]), ("imagePullSecrets", ["name-alone"]), ("tolerations", [{"key": "a", "effect": "Never"}]),
                ("fullnameOverride", "Upper"), ("fullnameOverride", "x" * 51), ("networkPolicy.metricsFrom", [{"pods": {}}])]
        for path, value in rows:
            with self.subTest(path=path, value=value):
                self.assertIn(path.replace(".", "/"), self.refusal(nested(path, value)))

    def test_values_that_do_not_go_together(self):
        values = {"metrics": {"service": {"enabled": False}, "serviceMonitor": {"enabled": True}}}
        self.assertIn("a ServiceMonitor finds pods through that Service; set it to true", self.refusal(values))
        self.assertIn("name the service account", self.refusal({"serviceAccount": {"create": False}}))

    def test_an_older_kubernetes_is_refused(self):
        with self.assertRaisesRegex(Refused, "kubeVersion: >=1.31.0-0"):
            chart.helm("template", "muster", chart.CHART, "--kube-version", "1.30.9")


class NotesTest(unittest.TestCase):
    def test_the_next_command_names_what_was_installed(self):
        text = chart.notes({"fullnameOverride": "trainer"})
        self.assertIn(f"kubectl -n {NAMESPACE} rollout status deployment/trainer", text)
        self.assertNotIn("WARNING", text)

    def test_the_job_is_in_a_namespace_that_is_watched(self):
        for values, namespace in (({}, "default"), ({"watchNamespaces": ["team-a", "team-b"]}, "team-a")):
            job = self.job(values)
            self.assertEqual((job["kind"], job["metadata"]["namespace"]), ("TrainingJob", namespace))

    def test_an_api_server_takes_the_job(self):
        job = self.job({})
        job["spec"]["workers"]["typo"] = 1
        good, bad = crdcheck.Server().create([json.dumps(self.job({})), json.dumps(job)])
        self.assertEqual(good["errors"], [])
        self.assertTrue(bad["errors"])

    def job(self, values):
        lines = chart.notes(values).splitlines()
        begin = next(i for i, line in enumerate(lines) if "<<'EOF'" in line)
        end = lines.index("    EOF")
        return yaml.safe_load("\n".join(lines[begin + 1:end]))

    def test_warnings(self):
        for values, words in (({"replicas": 1}, "replicas is 1"), ({"crds": {"enabled": False}}, "crds.enabled is false"),
                              ({"crds": {"keep": False}}, "crds.keep is false"), ({"rbac": {"create": False}}, "rbac.create"),
                              ({"networkPolicy": {"enabled": True}}, "metricsFrom is empty")):
            with self.subTest(values):
                text = chart.notes(values)
                self.assertEqual(text.count("WARNING"), 1)
                self.assertIn(words, text)


if __name__ == "__main__":
    chart.main()
