#!/usr/bin/env python3
"""What is written from helm/muster and crds/, and what tests compare with them.

usage: documents.py definition           the chart's copy of crds/, and that of helm/install.yaml
       documents.py readme               the table of values in helm/muster/README.md
       documents.py install RENDERED     helm/install.yaml from what `helm template` printed

helm/install.yaml is checked in, for who has no helm. A test that needs no helm either sees that it is stale by the
hash of what it was rendered from.
"""

import hashlib
import json
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parents[3]
CHART = ROOT / "helm/muster"
COPIES = CHART / "files/crds"
README = CHART / "README.md"
INSTALL = ROOT / "helm/install.yaml"
NAMESPACE = "muster-system"
BEGIN, END = "<!-- values: begin -->", "<!-- values: end -->"
# Nobody's release owns what kubectl installs.
HELMS_OWN = re.compile(r"^ *(helm\.sh/chart: .*|app\.kubernetes\.io/managed-by: Helm|# Source: .*)\n", re.MULTILINE)

HEADER = f"""\
# Muster without Helm, in the namespace {NAMESPACE}. Written by `hack/dev chart` from helm/muster with its defaults.
#
#   kubectl apply --server-side -f helm/install.yaml
#   kubectl delete -f helm/install.yaml -l app.kubernetes.io/name=muster    # jobs and their definition stay
#
# Deleting all of this file deletes the definition of TrainingJob, and with it every job of the cluster.
---
apiVersion: v1
kind: Namespace
metadata:
  name: {NAMESPACE}
  labels:
    pod-security.kubernetes.io/enforce: restricted
---
"""
MARK = "# The operator; rendered from helm/muster, whose files have the hash "


def definitions():
    """The definitions of crds/ by file name."""
    return {path.name: path.read_text() for path in sorted((ROOT / "crds").glob("*.yaml"))}


def chart_hash():
    """Of all that decides what the chart renders with its defaults, but for the definitions."""
    digest = hashlib.sha256()
    for path in [CHART / "Chart.yaml", CHART / "values.yaml", *sorted((CHART / "templates").iterdir())]:
        digest.update(f"{path.name} {path.stat().st_size}\n".encode() + path.read_bytes())
    return digest.hexdigest()[:16]


def definition_part():
    return "".join(text + "---\n" for text in definitions().values())


def install_text(rendered):
    text = HELMS_OWN.sub("", rendered).strip().removeprefix("---\n")
    return HEADER + definition_part() + MARK + chart_hash() + "\n" + text + "\n"


def parts(text):
    """What stands before the operator's objects, the hash, and those objects."""
    before, _, rest = text.partition(MARK)
    hashed, _, rendered = rest.partition("\n")
    return before, hashed, rendered


def values_rows():
    """(path, default, description) of each value, in the order of values.yaml."""
    import yaml  # only here: what needs no helm needs no package either

    schema = json.loads((CHART / "values.schema.json").read_text())
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    return list(leaves(values, schema, ""))


def leaves(values, schema, path):
    for name, value in values.items():
        node = schema["properties"][name]
        at = f"{path}.{name}".lstrip(".")
        if "properties" in node:
            yield from leaves(value, node, at)
        else:
            yield at, value, node["description"]


def values_table():
    lines = ["| value | default | meaning |", "|---|---|---|"]
    for path, value, description in values_rows():
        if isinstance(value, list) and value:
            shown = "see `values.yaml`"
        else:
            shown = f"`{json.dumps(value)}`"
        lines.append(f"| `{path}` | {shown} | {description} |")
    return "\n".join(lines)


def readme_text(current):
    before, _, rest = current.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{values_table()}\n{END}{after}"


def write_definition():
    COPIES.mkdir(parents=True, exist_ok=True)
    for stale in COPIES.iterdir():
        stale.unlink()
    for name, text in definitions().items():
        (COPIES / name).write_text(text)
    _, hashed, rendered = parts(INSTALL.read_text())
    INSTALL.write_text(HEADER + definition_part() + MARK + hashed + "\n" + rendered)


def main():
    verb = sys.argv[1]
    if verb == "definition":
        write_definition()
    elif verb == "readme":
        README.write_text(readme_text(README.read_text()))
    elif verb == "install":
        INSTALL.write_text(install_text(pathlib.Path(sys.argv[2]).read_text()))
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main()
