#!/usr/bin/env python3
"""One strict JSON schema for each kind that Kubernetes and some custom resource definitions know, for kubeconform.

usage: schemas.py OUT SWAGGER.json CRD.yaml...

Strict: a property that a kind does not have is an error. File names are kubeconform's own,
KIND[-GROUP]-VERSION.json, where GROUP ends at its first dot.
"""

import json
import pathlib
import sys

import yaml

PREFIX = "#/definitions/"
# Types whose OpenAPI says less, or something else, than what the API server takes.
WIDER = {"io.k8s.apimachinery.pkg.util.intstr.IntOrString": {"type": ["string", "integer"]},
         "io.k8s.apimachinery.pkg.api.resource.Quantity": {"type": ["string", "number"]}}
DROPPED = ("format", "description")


def strict(schema, definitions=None, seen=frozenset()):
    """The schema with references inlined and unknown properties refused. A recursive type is cut to anything."""
    if isinstance(schema, list):
        return [strict(item, definitions, seen) for item in schema]
    if not isinstance(schema, dict):
        return schema
    reference = schema.get("$ref")  # JSONSchemaProps has a *field* of this name, which is no text
    if isinstance(reference, str):
        name = reference.removeprefix(PREFIX)
        if name in WIDER:
            return WIDER[name]
        return {} if name in seen else strict(definitions[name], definitions, seen | {name})
    if schema.get("x-kubernetes-int-or-string"):
        return {"type": ["string", "integer"]}
    out = {}
    for key, value in schema.items():
        if key == "properties":  # below it any name is a field's, `format` too
            out[key] = {name: strict(field, definitions, seen) for name, field in value.items()}
        elif not key.startswith("x-kubernetes-") and key not in DROPPED:
            out[key] = strict(value, definitions, seen)
    open_ended = schema.get("x-kubernetes-preserve-unknown-fields") or "additionalProperties" in out
    if isinstance(out.get("properties"), dict) and not open_ended:
        out["additionalProperties"] = False
    return out


def write(folder, group, version, kind, schema):
    known = schema.setdefault("properties", {})
    known["apiVersion"] = {"type": "string", "enum": [f"{group}/{version}" if group else version]}
    known["kind"] = {"type": "string", "enum": [kind]}
    name = "-".join(part for part in (kind.lower(), group.split(".")[0], version) if part)
    (folder / f"{name}.json").write_text(json.dumps(schema, separators=(",", ":")))


def main():
    folder = pathlib.Path(sys.argv[1])
    folder.mkdir(parents=True)
    definitions = json.loads(pathlib.Path(sys.argv[2]).read_text())["definitions"]
    for name, definition in definitions.items():
        for kind in definition.get("x-kubernetes-group-version-kind", []):
            write(folder, kind["group"], kind["version"], kind["kind"], strict(definition, definitions, {name}))
    meta = strict({"$ref": PREFIX + "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"}, definitions)
    for file in sys.argv[3:]:
        spec = yaml.safe_load(pathlib.Path(file).read_text())["spec"]
        for version in spec["versions"]:
            schema = strict(version["schema"]["openAPIV3Schema"])
            schema["properties"]["metadata"] = meta
            write(folder, spec["group"], version["name"], spec["names"]["kind"], schema)
    print(f"{len(list(folder.iterdir()))} schemas")


if __name__ == "__main__":
    main()
