"""The contract: what an API server answers, row by row. One table for the double and for a real one.

Each row has a name that is a sentence, and steps that build on one another; names of objects differ from row to row.
"""

from contract_steps import (ANY, APPLY_PATCH, CORE, JOBS, JSON, LEASES, MAPS, NONE, PODS, Step, apply, config_map,
                            delete, get, job, json_patch, lease, merge_patch, pod, post, put, ready)

CREATE = {
    "a created object has what the server gives it": [
        post(MAPS, config_map("made", {"a": "1"}), fields={
            "kind": "ConfigMap", "apiVersion": "v1", "metadata.uid": ANY, "metadata.resourceVersion": ANY,
            "metadata.creationTimestamp": ANY, "metadata.namespace": "{ns}", "data.a": "1"}),
        get(MAPS + "/made", fields={"kind": "ConfigMap", "data.a": "1"})],
    "a name is taken once": [
        post(MAPS, config_map("twice")),
        post(MAPS, config_map("twice"), 409, fields={
            "reason": "AlreadyExists", "kind": "Status", "status": "Failure", "code": 409, "details.name": "twice",
            "details.kind": "configmaps"})],
    "what is not there is not found": [
        get(MAPS + "/missing", 404, fields={"reason": "NotFound", "details.name": "missing",
                                            "details.kind": "configmaps"}),
        get(JOBS + "/missing", 404, fields={"reason": "NotFound", "details.group": "muster.dev"})],
    "a generated name begins as asked": [
        post(MAPS, {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"generateName": "some-"}},
             fields={"metadata.name": lambda name: name.startswith("some-") and len(name) > 5,
                     "metadata.generateName": "some-"})],
    "nothing is created in a namespace that is not there": [
        post("/api/v1/namespaces/nowhere-{ns}/configmaps", config_map("x"), 404,
             fields={"reason": "NotFound", "details.kind": "namespaces"})],
    "the body's namespace agrees with the path": [
        post(MAPS, config_map("elsewhere", namespace="other"), 400, fields={"reason": "BadRequest"})],
    "a bad name is refused by field": [
        post(MAPS, config_map("Bad_Name"), 422, fields={"reason": "Invalid", "details.causes.0.field": "metadata.name",
                                                        "details.causes.0.reason": "FieldValueInvalid"})],
    "a name is required": [
        post(MAPS, {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {}}, 422, fields={
            "reason": "Invalid", "details.causes.0.field": "metadata.name",
            "details.causes.0.reason": "FieldValueRequired"})],
    "a dry run answers and writes nothing": [
        post(MAPS + "?dryRun=All", config_map("dry"), fields={"metadata.uid": ANY}),
        get(MAPS + "/dry", 404)],
    "what is no JSON is a bad request": [
        Step("POST", MAPS, "{{", 400, {"reason": "BadRequest"})],
    "a field of a wrong type is a bad request": [
        post(MAPS, {"apiVersion": "v1", "kind": "ConfigMap", "metadata": "name"}, 400, fields={"reason": "BadRequest"}),
        post(PODS, {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "bad"}, "spec": [1]}, 400)],
    "a wrong kind is a bad request": [
        post(MAPS, {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "x"}}, 400,
             fields={"reason": "BadRequest"})],
    "an unknown kind is not found": [
        get(CORE + "/gadgets", 404), get("/apis/nobody.example/v1/gadgets", 404)],
    "a pod needs a container": [
        post(PODS, {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "empty"}, "spec": {"containers": []}}, 422,
             fields={"reason": "Invalid", "details.causes.0.field": "spec.containers"})],
    "a pod begins as Pending with a grace of 30 s": [
        post(PODS, pod("fresh"), fields={"status.phase": "Pending", "spec.terminationGracePeriodSeconds": 30,
                                         "spec.restartPolicy": "Always"})],
    "a new job has generation 1 and no status": [
        post(JOBS, {**job("statusless"), "status": {"replicas": 7}},
             fields={"metadata.generation": 1, "status": NONE})],
}

UPDATE = {
    "an old version is a conflict": [
        post(MAPS, config_map("old"), save={"rv": "metadata.resourceVersion"}),
        put(MAPS + "/old", config_map("old", {"a": "1"}, resourceVersion="{rv}")),
        put(MAPS + "/old", config_map("old", {"a": "2"}, resourceVersion="{rv}"), 409, fields={"reason": "Conflict"})],
    "without a version a built-in kind is overwritten": [
        post(MAPS, config_map("blind")), put(MAPS + "/blind", config_map("blind", {"a": "1"}), fields={"data.a": "1"})],
    "without a version a custom resource is refused": [
        post(JOBS, job("versionless")),
        put(JOBS + "/versionless", job("versionless"), 422,
            fields={"reason": "Invalid", "details.causes.0.field": "metadata.resourceVersion"})],
    "a write that changes nothing makes no version": [
        post(MAPS, config_map("same", {"a": "1"}), save={"rv": "metadata.resourceVersion"}),
        put(MAPS + "/same", config_map("same", {"a": "1"}), fields={"metadata.resourceVersion": "{rv}"})],
    "another UID is a conflict": [
        post(MAPS, config_map("uid")),
        put(MAPS + "/uid", config_map("uid", uid="5b2f1c9a-0000-4000-8000-000000000000"), 409,
            fields={"reason": "Conflict"})],
    "the body's name agrees with the path": [
        post(MAPS, config_map("one-name")), put(MAPS + "/one-name", config_map("another"), 400)],
    "a PUT creates no config map": [
        put(MAPS + "/unmade", config_map("unmade"), 404, fields={"reason": "NotFound"})],
    "a PUT creates a lease": [
        put(LEASES + "/by-put", lease("by-put", "me"), 201, fields={"spec.holderIdentity": "me"})],
    "a lease that was deleted is made again by a write of its old version": [
        post(LEASES, lease("gone", "me"), save={"rv": "metadata.resourceVersion", "uid": "metadata.uid"}),
        delete(LEASES + "/gone"),
        put(LEASES + "/gone", lease("gone", "me", resourceVersion="{rv}"), 201),
        delete(LEASES + "/gone"),
        put(LEASES + "/gone", lease("gone", "me", resourceVersion="{rv}", uid="{uid}"), 409),
        post(LEASES, lease("gone", "you")),
        put(LEASES + "/gone", lease("gone", "me", resourceVersion="{rv}"), 409, fields={"reason": "Conflict"})],
    "a renewed lease has a new version, and the old one is a conflict": [
        post(LEASES, lease("renewed", "me"), save={"rv": "metadata.resourceVersion"}),
        put(LEASES + "/renewed", lease("renewed", "you", resourceVersion="{rv}"), fields={
            "spec.holderIdentity": "you", "metadata.resourceVersion": ANY}),
        put(LEASES + "/renewed", lease("renewed", "me", resourceVersion="{rv}"), 409)],
    "status and the rest are written apart, and the spec alone counts": [
        post(JOBS, job("apart"), save={"rv": "metadata.resourceVersion"}),
        put(JOBS + "/apart/status",
            {**job("apart", resourceVersion="{rv}"), "spec": {}, "status": {"replicas": 2, "selector": "a=b"}},
            fields={"spec.workers.replicas": 2, "status.replicas": 2, "metadata.generation": 1},
            save={"rv": "metadata.resourceVersion"}),
        merge_patch(JOBS + "/apart", {"spec": {"workers": {"replicas": 3}}, "status": {"replicas": 9}},
                    fields={"spec.workers.replicas": 3, "status.replicas": 2, "metadata.generation": 2}),
        merge_patch(JOBS + "/apart", {"metadata": {"labels": {"a": "b"}}}, fields={"metadata.generation": 2})],
    "a pod's spec is frozen": [
        post(PODS, pod("frozen")),
        merge_patch(PODS + "/frozen", {"spec": {"restartPolicy": "Never"}}, 422, fields={"reason": "Invalid"}),
        json_patch(PODS + "/frozen", [{"op": "replace", "path": "/spec/containers/0/image", "value": "other:1"}])],
    "a pod's status is written by its subresource": [
        post(PODS, pod("told")),
        merge_patch(PODS + "/told", ready(), fields={"status.phase": "Pending"}),
        merge_patch(PODS + "/told/status", ready(), fields={"status.phase": "Running"})],
    "the scale subresource reads and writes replicas": [
        post(JOBS, job("scaled")),
        get(JOBS + "/scaled/scale", fields={"kind": "Scale", "apiVersion": "autoscaling/v1", "spec.replicas": 2,
                                            "status.replicas": 0}, save={"rv": "metadata.resourceVersion"}),
        merge_patch(JOBS + "/scaled/scale", {"spec": {"replicas": 3}}, fields={"spec.replicas": 3}),
        get(JOBS + "/scaled", fields={"spec.workers.replicas": 3, "metadata.generation": 2}),
        put(JOBS + "/scaled/scale",
            {"apiVersion": "autoscaling/v1", "kind": "Scale", "metadata":
             {"name": "scaled", "namespace": "{ns}", "resourceVersion": "{rv}"}, "spec": {"replicas": 4}}, 409),
        get(JOBS + "/nobody/scale", 404)],
    "a pod is bound once": [
        post(PODS, pod("bound")),
        post(PODS + "/bound/binding", {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": "bound"},
                                       "target": {"apiVersion": "v1", "kind": "Node", "name": "ghost"}}),
        get(PODS + "/bound", fields={"spec.nodeName": "ghost"}),
        post(PODS + "/bound/binding", {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": "bound"},
                                       "target": {"apiVersion": "v1", "kind": "Node", "name": "other"}}, 409)],
}

# The record's compare-and-swap is made of these (operator/kube/record_patch.h).
PATCH = {
    "a test that does not hold refuses the whole patch": [
        post(MAPS, config_map("tested", {"a": "1", "b": "1"})),
        json_patch(MAPS + "/tested", [{"op": "replace", "path": "/data/b", "value": "2"},
                                      {"op": "test", "path": "/data/a", "value": "2"}], 422,
                   fields={"reason": "Invalid", "kind": "Status", "details.causes": NONE}),
        get(MAPS + "/tested", fields={"data.b": "1"}),
        json_patch(MAPS + "/tested", [{"op": "test", "path": "/data/a", "value": "1"},
                                      {"op": "replace", "path": "/data/b", "value": "2"}], fields={"data.b": "2"})],
    "a test for null holds where the last step is missing, and nowhere else": [
        post(MAPS, config_map("nulls", {"a": "1"})),
        json_patch(MAPS + "/nulls", [{"op": "test", "path": "/data/b", "value": None},
                                     {"op": "add", "path": "/data/b", "value": "2"}], fields={"data.b": "2"}),
        json_patch(MAPS + "/nulls", [{"op": "test", "path": "/data/b", "value": None}], 422),
        json_patch(MAPS + "/nulls", [{"op": "test", "path": "/nothing/b", "value": None}], 422)],
    "what a patch changes has to be there": [
        post(MAPS, config_map("there")),
        json_patch(MAPS + "/there", [{"op": "remove", "path": "/data/a"}], 422),
        json_patch(MAPS + "/there", [{"op": "replace", "path": "/binaryData/a", "value": "1"}], 422),
        json_patch(MAPS + "/there", [{"op": "add", "path": "/nothing/a", "value": "1"}], 422)],
    "what is no patch is a bad request": [
        post(MAPS, config_map("nopatch")),
        json_patch(MAPS + "/nopatch", {"op": "test"}, 400),
        Step("PATCH", MAPS + "/nopatch", {"data": {}}, 415, content_type=JSON),
        json_patch(MAPS + "/unknown", [], 404)],
    "the first record is written once, whether there is a status or not": [
        post(JOBS, job("first"), save={"uid": "metadata.uid"}),
        json_patch(JOBS + "/first/status", [
            {"op": "test", "path": "/metadata/uid", "value": "{uid}"}, {"op": "test", "path": "/status", "value": None},
            {"op": "add", "path": "/status", "value": {"membership": {"term": 1, "epoch": 0, "nonce": "7"}}}],
            fields={"status.membership.nonce": "7"}),
        json_patch(JOBS + "/first/status", [
            {"op": "test", "path": "/status", "value": None},
            {"op": "add", "path": "/status", "value": {"membership": {"term": 1, "epoch": 0, "nonce": "8"}}}], 422),
        json_patch(JOBS + "/first/status", [
            {"op": "test", "path": "/status/membership", "value": None},
            {"op": "add", "path": "/status/membership", "value": {"term": 1, "epoch": 0, "nonce": "8"}}], 422),
        post(JOBS, job("second")),
        merge_patch(JOBS + "/second/status", {"status": {"replicas": 2}}),
        json_patch(JOBS + "/second/status", [
            {"op": "test", "path": "/status/membership", "value": None},
            {"op": "add", "path": "/status/membership", "value": {"term": 1, "epoch": 0, "nonce": "8"}}],
            fields={"status.membership.nonce": "8", "status.replicas": 2})],
    "the record is replaced while term, epoch and nonce are those expected": [
        post(JOBS, job("swap")),
        merge_patch(JOBS + "/swap/status", {"status": {"membership": {"term": 1, "epoch": 2, "nonce": "7"}}}),
        json_patch(JOBS + "/swap/status", [
            {"op": "test", "path": "/status/membership/term", "value": 1},
            {"op": "test", "path": "/status/membership/nonce", "value": "7"},
            {"op": "replace", "path": "/status/membership", "value": {"term": 1, "epoch": 3, "nonce": "9"}},
            {"op": "add", "path": "/status/kernelFamily", "value": "Haswell"}],
            fields={"status.membership.epoch": 3, "status.kernelFamily": "Haswell"}),
        json_patch(JOBS + "/swap/status", [
            {"op": "test", "path": "/status/membership/nonce", "value": "7"},
            {"op": "replace", "path": "/status/membership", "value": {"term": 1, "epoch": 4, "nonce": "10"}}], 422),
        json_patch(JOBS + "/swap/status", [{"op": "test", "path": "/status/membership/term", "value": "1"}], 422),
        json_patch(JOBS + "/swap/status", [
            {"op": "test", "path": "/metadata/uid", "value": "another"},
            {"op": "add", "path": "/status/kernelFamily", "value": "Zen"}], 422)],
    "a patch of status leaves the spec alone": [
        post(JOBS, job("statusonly")),
        json_patch(JOBS + "/statusonly/status", [
            {"op": "replace", "path": "/spec/workers/replicas", "value": 3},
            {"op": "add", "path": "/status", "value": {"replicas": 1}}],
            fields={"spec.workers.replicas": 2, "status.replicas": 1, "metadata.generation": 1})],
    "null in a merge patch removes": [
        post(MAPS, config_map("merged", {"a": "1", "b": "2"})),
        merge_patch(MAPS + "/merged", {"data": {"a": None, "c": "3"}},
                    fields={"data.a": NONE, "data.b": "2", "data.c": "3"})],
}

APPLY = {
    "an apply creates, and the same again writes nothing": [
        apply(MAPS + "/applied", config_map("applied", {"a": "1"}), 201, fields={
            "metadata.managedFields.0.manager": "a", "metadata.managedFields.0.operation": "Apply"},
            save={"rv": "metadata.resourceVersion"}),
        apply(MAPS + "/applied", config_map("applied", {"a": "1"}), fields={"metadata.resourceVersion": "{rv}"})],
    "an apply names its manager": [
        Step("PATCH", MAPS + "/managerless", config_map("managerless"), 422, content_type=APPLY_PATCH,
             fields={"reason": "Invalid", "details.causes.0.field": "fieldManager"})],
    "what is applied no more is removed, unless another has it": [
        apply(MAPS + "/less", config_map("less", {"a": "1", "b": "1"}), 201),
        apply(MAPS + "/less", config_map("less", {"b": "1", "c": "1"}), manager="b"),
        apply(MAPS + "/less", config_map("less", {}), fields={"data.a": NONE, "data.b": "1", "data.c": "1"})],
    "another's field is a conflict that force resolves": [
        apply(MAPS + "/fought", config_map("fought", {"a": "1"}), 201),
        apply(MAPS + "/fought", config_map("fought", {"a": "2"}), 409, manager="b", fields={
            "reason": "Conflict", "details.causes.0.reason": "FieldManagerConflict",
            "details.causes.0.field": ".data.a"}),
        apply(MAPS + "/fought", config_map("fought", {"a": "2"}), manager="b", force=True, fields={"data.a": "2"}),
        apply(MAPS + "/fought", config_map("fought", {}), fields={"data.a": "2"})],
    "a field that another wrote by a patch is in conflict too": [
        apply(MAPS + "/patched", config_map("patched", {"a": "1"}), 201),
        merge_patch(MAPS + "/patched?fieldManager=b", {"data": {"a": "2"}}),
        apply(MAPS + "/patched", config_map("patched", {"a": "1"}), 409),
        apply(MAPS + "/patched", config_map("patched", {"a": "1"}), force=True, fields={"data.a": "1"})],
    "an applied status leaves the record alone": [
        post(JOBS, job("beside")),
        json_patch(JOBS + "/beside/status?fieldManager=record", [
            {"op": "add", "path": "/status", "value": {"membership": {"term": 1, "epoch": 0, "nonce": "7"}}}]),
        apply(JOBS + "/beside/status", {**job("beside"), "status": {"replicas": 2, "state": "Running"}}, force=True,
              fields={"status.membership.nonce": "7", "status.replicas": 2}),
        apply(JOBS + "/beside/status", {**job("beside"), "status": {"state": "Running"}}, force=True,
              fields={"status.membership.nonce": "7", "status.replicas": NONE})],
    "conditions are one per type, each with its owner": [
        post(JOBS, job("conditions")),
        apply(JOBS + "/conditions/status", {
            "apiVersion": "muster.dev/v1alpha1", "kind": "TrainingJob", "status": {"conditions": [
                {"type": "Running", "status": "True", "reason": "A", "message": "m",
                 "lastTransitionTime": "2026-01-01T00:00:00Z"}]}}),
        apply(JOBS + "/conditions/status", {
            "apiVersion": "muster.dev/v1alpha1", "kind": "TrainingJob", "status": {"conditions": [
                {"type": "Degraded", "status": "True", "reason": "B", "message": "m",
                 "lastTransitionTime": "2026-01-01T00:00:00Z"}]}}, manager="b",
            fields={"status.conditions": lambda all: sorted(c["type"] for c in all) == ["Degraded", "Running"]}),
        apply(JOBS + "/conditions/status", {"apiVersion": "muster.dev/v1alpha1", "kind": "TrainingJob", "status": {}},
              fields={"status.conditions": lambda all: [c["type"] for c in all] == ["Degraded"]})],
    "an apply with another's UID is refused": [
        post(MAPS, config_map("otheruid")),
        apply(MAPS + "/otheruid", config_map("otheruid", uid="5b2f1c9a-0000-4000-8000-000000000000"), 422,
              fields={"reason": "Invalid", "details.causes.0.field": "metadata.uid"})],
}
