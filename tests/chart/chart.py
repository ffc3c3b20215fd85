"""The chart as helm renders it: programs, objects, refusals."""

import functools
import json
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
CHART = ROOT / "helm/muster"
VALUES = sorted((pathlib.Path(__file__).resolve().parent / "values").glob("*.yaml"))
NAMESPACE = "muster-system"
SKIPPED = 77  # what ctest shows as "Skipped", with the names of the tests at its end

# Shown beside the templates so that NOTES.txt, which `helm template` leaves out, can be read.
NOTES_TEMPLATE = """\
apiVersion: v1
kind: ConfigMap
metadata: {name: the-notes}
data: {text: {{ include "muster.notes" . | toJson }}}
"""


class Refused(Exception):
    """helm's sentence."""


@functools.cache
def tools():
    """The folder of helm and kubeconform, if they have been built; None otherwise."""
    found = subprocess.run([ROOT / "hack/lib/chart/tools.sh", "--if-built"], capture_output=True, text=True, check=False)
    return pathlib.Path(found.stdout.strip()) if found.returncode == 0 else None


def run(program, *args, text=None):
    return subprocess.run([tools() / program, *map(str, args)], input=text, capture_output=True, text=True, check=False,
                          timeout=60)


def helm(*args):
    done = run("helm", *args)
    if done.returncode != 0:
        raise Refused(done.stderr.strip())
    return done.stdout


def template(values, chart=CHART, release="muster"):
    """The text that helm prints; `values` is a dict or a file."""
    # As JSON, because helm and PyYAML differ in what `y` means.
    return template_of(values.read_text() if isinstance(values, pathlib.Path) else json.dumps(values), chart, release)


@functools.cache
def template_of(text, chart, release):
    with tempfile.TemporaryDirectory() as folder:
        file = pathlib.Path(folder) / "values.yaml"
        file.write_text(text)
        return helm("template", release, chart, "--namespace", NAMESPACE, "--values", file)


def render(values, **options):
    """The objects, in a dict by (kind, name) or (kind, namespace/name)."""
    return objects(template(values, **options))


def objects(text):
    found = {}
    for thing in yaml.safe_load_all(text):
        if thing is None:
            continue
        metadata = thing["metadata"]
        name = "/".join(part for part in (metadata.get("namespace"), metadata["name"]) if part)
        key = (thing["kind"], name.removeprefix(f"{NAMESPACE}/"))
        assert key not in found, f"{key} twice"
        found[key] = thing
    return found


def notes(values):
    with tempfile.TemporaryDirectory() as folder:
        copy = pathlib.Path(folder) / "muster"
        shutil.copytree(CHART, copy)
        (copy / "templates/notes-to-read.yaml").write_text(NOTES_TEMPLATE)
        return render(values, chart=copy)["ConfigMap", "the-notes"]["data"]["text"]


def nested(path, value):
    """{"a": {"b": value}} for "a.b"."""
    for name in reversed(path.split(".")):
        value = {name: value}
    return value


def main():
    """Runs the tests of the calling script, if helm has been built."""
    if tools() is None:
        sys.stderr.write("The chart was NOT rendered, linted or validated: helm is not built. `hack/dev chart` builds "
                         "it (some minutes, once) and runs these tests.\n")
        sys.exit(SKIPPED)
    unittest.main()
