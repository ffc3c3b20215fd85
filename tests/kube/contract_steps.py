"""The words in which the contract's rows are written: requests, what they must answer, what a watch must see.

A path "metadata.labels.a" or "items.0.kind" leads into an answer. Words in braces ("{uid}") are replaced by what a
step before has saved under that name, in paths and in bodies.
"""

import dataclasses
import re

ANY = object()  # the field must be there
NONE = object()  # the field must not be there

JSON = "application/json"
JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"
APPLY_PATCH = "application/apply-patch+yaml"

CORE = "/api/v1/namespaces/{ns}"
MAPS = CORE + "/configmaps"
PODS = CORE + "/pods"
LEASES = "/apis/coordination.k8s.io/v1/namespaces/{ns}/leases"
BUDGETS = "/apis/policy/v1/namespaces/{ns}/poddisruptionbudgets"
JOBS = "/apis/muster.dev/v1alpha1/namespaces/{ns}/trainingjobs"


@dataclasses.dataclass
class Step:
    """One request; or, with `method` WATCH, a stream that is read until `events` have come."""

    method: str
    path: str
    body: object = None
    code: int = 200
    fields: dict = dataclasses.field(default_factory=dict)
    save: dict = dataclasses.field(default_factory=dict)
    content_type: str = JSON
    # Asked again until it holds: other programs of a real cluster have to act first.
    eventually: bool = False
    # What the double's players have to do first; a real cluster's do it by themselves.
    orders: tuple = ()
    events: tuple = ()  # (type, name) in order


def get(path, code=200, **rest):
    return Step("GET", path, code=code, **rest)


def post(path, body, code=201, **rest):
    return Step("POST", path, body, code, **rest)


def put(path, body, code=200, **rest):
    return Step("PUT", path, body, code, **rest)


def delete(path, body=None, code=200, **rest):
    return Step("DELETE", path, body, code, **rest)


def json_patch(path, operations, code=200, **rest):
    return Step("PATCH", path, operations, code, content_type=JSON_PATCH, **rest)


def merge_patch(path, body, code=200, **rest):
    return Step("PATCH", path, body, code, content_type=MERGE_PATCH, **rest)


def apply(path, body, code=200, manager="a", force=False, **rest):
    query = f"?fieldManager={manager}" + ("&force=true" if force else "")
    return Step("PATCH", path + query, body, code, content_type=APPLY_PATCH, **rest)


def watch(path, *events, code=200, **rest):
    return Step("WATCH", path, code=code, events=events, **rest)


def config_map(name, data=None, **metadata):
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, **metadata}, "data": data or {}}


def pod(name, node=None, **metadata):
    spec = {"containers": [{"name": "c", "image": "none.invalid/none:1"}]}
    if node:
        spec["nodeName"] = node
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, **metadata}, "spec": spec}


def ready(phase="Running", status="True"):
    return {"status": {"phase": phase, "conditions": [{"type": "Ready", "status": status}]}}


def lease(name, holder, **metadata):
    return {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": name, **metadata},
            "spec": {"holderIdentity": holder, "leaseDurationSeconds": 5}}


def budget(name, app, **spec):
    return {"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": name},
            "spec": {"selector": {"matchLabels": {"app": app}}, **spec}}


def job(name, **metadata):
    return {"apiVersion": "muster.dev/v1alpha1", "kind": "TrainingJob", "metadata": {"name": name, **metadata},
            "spec": {"workers": {"replicas": 2, "maxReplicas": 4}, "program": {"builtin": "bench"},
                     "training": {"steps": 10, "slots": 32}}}


def owned(by_kind, by_version, uid, name, **more):
    return [{"apiVersion": by_version, "kind": by_kind, "name": name, "uid": uid, **more}]


def filled(value, names):
    """`value` with every {word} of its strings replaced."""
    if isinstance(value, str):
        return re.sub(r"\{(\w+)\}", lambda match: str(names.get(match.group(1), match.group(0))), value)
    if isinstance(value, dict):
        return {key: filled(item, names) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [filled(item, names) for item in value]
    return value


def value_at(answer, path):
    """What a path leads to; NONE where there is nothing."""
    at = answer
    for part in re.split(r"\.(?![a-z]*/)", path):
        if isinstance(at, list) and part.isdigit() and int(part) < len(at):
            at = at[int(part)]
        elif isinstance(at, dict) and part in at:
            at = at[part]
        else:
            return NONE
    return at


def differences(step, code, answer, names):
    """Sentences: what of an answer is not as the row says."""
    found = []
    if code != step.code:
        found.append(f"code {code}, not {step.code}: {str(answer)[:600]}")
    for path, wanted in step.fields.items():
        wanted = filled(wanted, names) if not callable(wanted) else wanted
        is_there = value_at(answer, path)
        if wanted is ANY:
            good = is_there is not NONE
        elif wanted is NONE:
            good = is_there is NONE
        elif callable(wanted):
            good = is_there is not NONE and bool(wanted(is_there))
        else:
            good = is_there == wanted
        if not good:
            shown = "absent" if is_there is NONE else repr(is_there)
            found.append(f"{path} is {shown}, not {wanted!r}")
    return found
