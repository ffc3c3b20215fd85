#!/usr/bin/env python3
"""The chart's copies are those of crds/, every value is described, and nothing written from them is stale. Needs no
helm; what does is render_test.py."""

import json
import pathlib
import re
import sys
import unittest

import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "hack/lib/chart"))
import documents  # noqa: E402  (beside the scripts that use it, not installed)

SCHEMA = json.loads((documents.CHART / "values.schema.json").read_text())
VALUES = yaml.safe_load((documents.CHART / "values.yaml").read_text())


def groups(node, path=""):
    """(path, node) of each object whose names are known."""
    if "properties" in node:
        yield path, node
        for name, child in node["properties"].items():
            yield from groups(child, f"{path}.{name}".lstrip("."))
    if "items" in node:
        yield from groups(node["items"], path + "[]")


class DefinitionTest(unittest.TestCase):
    def test_the_chart_has_the_definitions_of_crds(self):
        copies = {path.name: path.read_text() for path in documents.COPIES.iterdir()}
        self.assertEqual(copies, documents.definitions(), "run hack/dev crd")

    def test_they_can_be_given_labels_and_cannot_be_taken_for_a_template(self):
        for name, text in documents.definitions().items():
            self.assertEqual(text.count("\nmetadata:\n"), 1, f"{name}: templates/crds.yaml puts labels after that line")

    def test_the_chart_has_no_folder_that_helm_never_upgrades(self):
        self.assertFalse((documents.CHART / "crds").exists())


class InstallTest(unittest.TestCase):
    def setUp(self):
        self.before, self.hashed, self.rendered = documents.parts(documents.INSTALL.read_text())

    def test_it_is_rendered_from_this_chart(self):
        self.assertEqual(self.hashed, documents.chart_hash(), "helm/install.yaml is stale: run hack/dev chart")

    def test_it_has_the_definitions_of_crds(self):
        self.assertEqual(self.before, documents.HEADER + documents.definition_part(), "run hack/dev crd")

    def test_deleting_by_its_label_spares_jobs(self):
        for thing in yaml.safe_load_all(documents.INSTALL.read_text()):
            with self.subTest(kind=thing["kind"], name=thing["metadata"]["name"]):
                labelled = thing["metadata"].get("labels", {}).get("app.kubernetes.io/name") == "muster"
                self.assertEqual(labelled, thing["kind"] not in ("Namespace", "CustomResourceDefinition"))
        self.assertIn("kubectl delete -f helm/install.yaml -l app.kubernetes.io/name=muster", self.before)


class ValuesTest(unittest.TestCase):
    def test_no_group_takes_an_unknown_name(self):
        for path, node in groups(SCHEMA):
            self.assertIs(node.get("additionalProperties"), False, path or "the root")

    def test_schema_and_values_have_the_same_names(self):
        def names(node, values, path):
            self.assertEqual(set(node["properties"]) - {"global"}, set(values), path or "the root")
            for name, child in node["properties"].items():
                if "properties" in child:
                    names(child, values[name], f"{path}.{name}".lstrip("."))
        names(SCHEMA, VALUES, "")

    def test_every_value_is_described_by_a_sentence(self):
        for path, _, description in documents.values_rows():
            self.assertRegex(description, r"^[A-Z`].{5,}[.)`]$", path)

    def test_every_value_is_read_by_a_template(self):
        text = "".join(path.read_text() for path in (documents.CHART / "templates").iterdir())
        for path, _, _ in documents.values_rows():
            group, _, leaf = path.rpartition(".")
            # Images are handed to a helper as a whole, and resources to the container.
            found = (f".Values.{path}" in text or (group in ("image", "workerImage") and f".image.{leaf}" in text)
                     or (group == "resources" and "with .Values.resources }}" in text))
            self.assertTrue(found, f"{path} changes nothing")

    def test_the_readme_lists_them(self):
        text = documents.README.read_text()
        self.assertEqual(text, documents.readme_text(text), "helm/muster/README.md is stale: run hack/dev chart")


class PagesTest(unittest.TestCase):
    """What docs tell people to type."""

    PAGES = [ROOT / "docs/install.md", ROOT / "docs/operations.md", documents.README]

    def test_values_that_they_name_exist(self):
        leaves = {path for path, _, _ in documents.values_rows()}
        known = leaves | {path.rsplit(".", depth)[0] for path in leaves for depth in (1, 2)}
        named = set()
        for page in self.PAGES:
            text = page.read_text().partition(documents.BEGIN)[0]
            named |= set(re.findall(r"--set(?:-string)? ([A-Za-z.]+)", text))
            named |= {name.removesuffix(".") for name in re.findall(r"`'?([a-z][A-Za-z]+\.?[A-Za-z.]*)[=\[*`]", text)
                      if name.split(".")[0] in SCHEMA["properties"]}
        self.assertGreater(len(named), 10)
        # Labels of one's own have further names below.
        unknown = {name for name in named - known if not name.startswith(tuple(f"{leaf}." for leaf in leaves))}
        self.assertEqual(unknown, set())

    def test_images_that_they_replace_are_those_of_install_yaml(self):
        rendered = documents.INSTALL.read_text()
        found = re.findall(r"s\|(muster/[a-z]+:[0-9.]+)\|", self.PAGES[0].read_text())
        self.assertEqual(len(found), 2)
        for image in found:
            self.assertIn(image, rendered)


class OperatorTest(unittest.TestCase):
    """The chart and the program speak of the same flags and names."""

    TEMPLATES = "".join(path.read_text() for path in sorted((documents.CHART / "templates").iterdir()))

    def source(self, pattern):
        """What the pattern's group finds in operator/."""
        files = [path for suffix in ("*.h", "*.cc") for path in (ROOT / "operator").rglob(suffix)]
        found = {word for path in files for word in re.findall(pattern, path.read_text())}
        self.assertTrue(found, pattern)
        return found

    def test_every_flag_is_one_of_the_operators(self):
        given = set(re.findall(r"^ +- (--[a-z-]+)=", self.TEMPLATES, re.MULTILINE))
        self.assertEqual(len(given), 12)
        self.assertLessEqual(given, self.source(r'"(?:-\w,)?(--[a-z-]+)"'))

    def test_rights_name_the_operators_lease_and_secret(self):
        for helper, constant in (("leaseName", "kLeaseName"), ("caSecretName", "kAuthoritySecret")):
            named = set(re.findall(rf'define "muster.{helper}" -}}}}([a-z-]+){{{{', self.TEMPLATES))
            self.assertEqual(len(named), 1)
            self.assertEqual(self.source(rf'\bchar {constant}\[\] = "([^"]+)"'), named)


class VersionTest(unittest.TestCase):
    def test_the_chart_has_the_version_of_the_project(self):
        version = re.search(r"^project\(muster VERSION ([0-9.]+)", (ROOT / "CMakeLists.txt").read_text(), re.M).group(1)
        chart = yaml.safe_load((documents.CHART / "Chart.yaml").read_text())
        self.assertEqual((chart["version"], chart["appVersion"]), (version, version))

    def test_installed_objects_have_it_too(self):
        versions = set(re.findall(r"app.kubernetes.io/version: \"(.*)\"", documents.INSTALL.read_text()))
        chart = yaml.safe_load((documents.CHART / "Chart.yaml").read_text())
        self.assertEqual(versions, {chart["appVersion"]})


if __name__ == "__main__":
    unittest.main()
