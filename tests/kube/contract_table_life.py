"""The contract, second part: lists and watches, the end of objects, evictions, owners, tokens."""

from contract_steps import (ANY, BUDGETS, JOBS, MAPS, NONE, PODS, budget, config_map, delete, get, job, json_patch,
                            merge_patch, owned, pod, post, ready, watch)

LIST = {
    "a list comes in consistent pages": [
        *[post(MAPS, config_map(f"page-{i}", labels={"row": "pages"})) for i in range(3)],
        get(MAPS + "?labelSelector=row%3Dpages&limit=2", fields={
            "kind": "ConfigMapList", "items": lambda items: [i["metadata"]["name"] for i in items] ==
            ["page-0", "page-1"], "metadata.continue": ANY, "metadata.remainingItemCount": NONE},
            save={"token": "metadata.continue", "rv": "metadata.resourceVersion"}),
        delete(MAPS + "/page-2"),
        get(MAPS + "?labelSelector=row%3Dpages&limit=2&continue={token}", fields={
            "items.0.metadata.name": "page-2", "metadata.continue": NONE, "metadata.resourceVersion": "{rv}"}),
        get(MAPS + "?limit=1", fields={"metadata.remainingItemCount": lambda count: count >= 1})],
    "a continue token that the server never gave is a bad request": [
        get(MAPS + "?limit=2&continue=bm90IGEgdG9rZW4", 400, fields={"reason": "BadRequest"})],
    "items of a built-in kind leave out what the list says, those of a custom one do not": [
        post(MAPS, config_map("item")), post(JOBS, job("item")),
        get(MAPS, fields={"apiVersion": "v1", "items.0.kind": NONE, "items.0.apiVersion": NONE}),
        get(JOBS, fields={"kind": "TrainingJobList", "items.0.kind": "TrainingJob",
                          "items.0.apiVersion": "muster.dev/v1alpha1"})],
    "label selectors select": [
        post(MAPS, config_map("l1", labels={"row": "labels", "a": "1"})),
        post(MAPS, config_map("l2", labels={"row": "labels", "a": "2"})),
        post(MAPS, config_map("l3", labels={"row": "labels"})),
        *[get(MAPS + "?labelSelector=row%3Dlabels," + selector, fields={
            "items": lambda items, names=names: [i["metadata"]["name"] for i in items] == names})
          for selector, names in (("a%3D1", ["l1"]), ("a%3D%3D2", ["l2"]), ("a!%3D1", ["l2", "l3"]),
                                  ("a+in+(1,2)", ["l1", "l2"]), ("a+notin+(1)", ["l2", "l3"]), ("a", ["l1", "l2"]),
                                  ("!a", ["l3"]))]],
    "a selector that cannot be read is a bad request": [
        get(MAPS + "?labelSelector=a+b", 400, fields={"reason": "BadRequest"}),
        get(MAPS + "?fieldSelector=data.a%3D1", 400, fields={"reason": "BadRequest"})],
    "field selectors select by name and by node": [
        post(MAPS, config_map("by-name")),
        get(MAPS + "?fieldSelector=metadata.name%3Dby-name", fields={
            "items": lambda items: [i["metadata"]["name"] for i in items] == ["by-name"]}),
        post(PODS, pod("on-f1", "f1")), post(PODS, pod("on-f2", "f2")),
        get(PODS + "?fieldSelector=spec.nodeName%3Df1", fields={
            "items": lambda items: [i["metadata"]["name"] for i in items] == ["on-f1"]})],
}

WATCH = {
    "a watch shows what happened after its version, in order": [
        post(MAPS, config_map("w0", labels={"row": "watch"})),
        get(MAPS + "?labelSelector=row%3Dwatch", save={"rv": "metadata.resourceVersion"}),
        post(MAPS, config_map("w1", labels={"row": "watch"})),
        merge_patch(MAPS + "/w1", {"data": {"a": "1"}}),
        delete(MAPS + "/w0"), delete(MAPS + "/w1"),
        watch(MAPS + "?watch=1&labelSelector=row%3Dwatch&resourceVersion={rv}", ("ADDED", "w1"), ("MODIFIED", "w1"),
              ("DELETED", "w0"), ("DELETED", "w1"))],
    "an object that begins or ceases to match is added or deleted": [
        get(MAPS, save={"rv": "metadata.resourceVersion"}),
        post(MAPS, config_map("moves")),
        merge_patch(MAPS + "/moves", {"metadata": {"labels": {"row": "moves"}}}),
        merge_patch(MAPS + "/moves", {"metadata": {"labels": {"row": None}}}),
        watch(MAPS + "?watch=1&labelSelector=row%3Dmoves&resourceVersion={rv}", ("ADDED", "moves"),
              ("DELETED", "moves"))],
    "a watch without a version begins with what is there": [
        post(MAPS, config_map("here", labels={"row": "here"})),
        watch(MAPS + "?watch=1&labelSelector=row%3Dhere", ("ADDED", "here"))],
    "events of a built-in kind say their kind": [
        post(PODS, pod("kinds", labels={"row": "kinds"})),
        watch(PODS + "?watch=1&labelSelector=row%3Dkinds", ("ADDED", "kinds"),
              fields={"object.kind": "Pod", "object.apiVersion": "v1"})],
    "a version that is too old is told in an ERROR event": [
        post(JOBS, job("tooold")),
        watch(JOBS + "?watch=1&resourceVersion=1", ("ERROR", None), orders=("compact",),
              fields={"object.kind": "Status", "object.code": 410, "object.reason": "Expired"})],
    "a watch ends well after its timeout": [
        get(MAPS, save={"rv": "metadata.resourceVersion"}),
        watch(MAPS + "?watch=1&allowWatchBookmarks=true&timeoutSeconds=2&resourceVersion={rv}"
              "&labelSelector=row%3Dnobody", ("END", None))],
    "initial events end with a bookmark that says so": [
        post(MAPS, config_map("initial", labels={"row": "initial"})),
        watch(MAPS + "?watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true"
              "&labelSelector=row%3Dinitial", ("ADDED", "initial"), ("BOOKMARK", None),
              fields={"object.metadata.annotations": {"k8s.io/initial-events-end": "true"}})],
    "a version that is no number is refused, and not by a 410": [
        watch(MAPS + "?watch=1&resourceVersion=abc", code=500)],
}

GHOST = "ghost-node"

DELETE = {
    "a deletion says what it deleted": [
        post(MAPS, config_map("del"), save={"uid": "metadata.uid"}),
        delete(MAPS + "/del", fields={"kind": "Status", "status": "Success", "details.uid": "{uid}",
                                      "details.kind": "configmaps"}),
        delete(MAPS + "/del", code=404)],
    "preconditions protect another object of the same name": [
        post(MAPS, config_map("pre"), save={"uid": "metadata.uid", "rv": "metadata.resourceVersion"}),
        delete(MAPS + "/pre", {"preconditions": {"uid": "another"}}, 409, fields={"reason": "Conflict"}),
        delete(MAPS + "/pre", {"preconditions": {"resourceVersion": "1"}}, 409),
        delete(MAPS + "/pre", {"preconditions": {"uid": "{uid}", "resourceVersion": "{rv}"}})],
    "a pod without a node goes at once, and its name is free": [
        post(PODS, pod("nodeless")),
        delete(PODS + "/nodeless", fields={"kind": "Pod"}),
        get(PODS + "/nodeless", 404), post(PODS, pod("nodeless"))],
    "a pod on a node gets its grace, less if asked, and none by force": [
        post(PODS, pod("graceful", GHOST)),
        delete(PODS + "/graceful", fields={"metadata.deletionGracePeriodSeconds": 30,
                                           "metadata.deletionTimestamp": ANY}),
        post(PODS, pod("graceful"), 409, fields={"reason": "AlreadyExists"}),
        delete(PODS + "/graceful?gracePeriodSeconds=5", fields={"metadata.deletionGracePeriodSeconds": 5}),
        delete(PODS + "/graceful", {"gracePeriodSeconds": 0}),
        get(PODS + "/graceful", 404)],
    "a pod that has ended gets no grace": [
        post(PODS, pod("ended", GHOST)),
        merge_patch(PODS + "/ended/status", {"status": {"phase": "Failed"}}),
        delete(PODS + "/ended"), get(PODS + "/ended", 404)],
    "a finalizer holds an object until it is taken away": [
        post(MAPS, config_map("held", finalizers=["muster.dev/test"])),
        delete(MAPS + "/held"),
        get(MAPS + "/held", fields={"metadata.deletionTimestamp": ANY}),
        merge_patch(MAPS + "/held", {"metadata": {"finalizers": None}}),
        get(MAPS + "/held", 404)],
    "a collection is deleted by label": [
        post(MAPS, config_map("c1", labels={"row": "collection"})), post(MAPS, config_map("c2")),
        delete(MAPS + "?labelSelector=row%3Dcollection"),
        get(MAPS + "/c1", 404), get(MAPS + "/c2")],
    "what is owned goes after its owner": [
        post(JOBS, job("owner"), save={"uid": "metadata.uid"}),
        post(MAPS, config_map("ofowner", ownerReferences=owned("TrainingJob", "muster.dev/v1alpha1", "{uid}", "owner",
                                                               controller=True, blockOwnerDeletion=True))),
        delete(JOBS + "/owner"),
        get(JOBS + "/owner", 404),
        get(MAPS + "/ofowner", 404, eventually=True, orders=("collect",))],
    "in the foreground the owner goes last": [
        post(JOBS, job("fore"), save={"uid": "metadata.uid"}),
        post(MAPS, config_map("offore", finalizers=["muster.dev/test"], ownerReferences=owned(
            "TrainingJob", "muster.dev/v1alpha1", "{uid}", "fore", controller=True, blockOwnerDeletion=True))),
        delete(JOBS + "/fore", {"propagationPolicy": "Foreground"}),
        get(MAPS + "/offore", fields={"metadata.deletionTimestamp": ANY}, eventually=True, orders=("collect",)),
        get(JOBS + "/fore", fields={"metadata.deletionTimestamp": ANY,
                                    "metadata.finalizers": ["foregroundDeletion"]}),
        merge_patch(MAPS + "/offore", {"metadata": {"finalizers": None}}),
        get(JOBS + "/fore", 404, eventually=True, orders=("collect",))],
    "orphans stay": [
        post(JOBS, job("orphaner"), save={"uid": "metadata.uid"}),
        post(MAPS, config_map("orphan", ownerReferences=owned("TrainingJob", "muster.dev/v1alpha1", "{uid}",
                                                              "orphaner"))),
        delete(JOBS + "/orphaner", {"propagationPolicy": "Orphan"}),
        get(JOBS + "/orphaner", 404, eventually=True, orders=("collect",)),
        get(MAPS + "/orphan", fields={"metadata.ownerReferences": NONE})],
    "a namespace that ends takes nothing in": [
        post("/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "ending-{ns}"}}),
        post("/api/v1/namespaces/ending-{ns}/configmaps", config_map("holds", finalizers=["muster.dev/test"])),
        delete("/api/v1/namespaces/ending-{ns}"),
        post("/api/v1/namespaces/ending-{ns}/configmaps", config_map("late"), 403, fields={
            "reason": "Forbidden", "details.causes.0.reason": "NamespaceTerminating"}),
        merge_patch("/api/v1/namespaces/ending-{ns}/configmaps/holds", {"metadata": {"finalizers": None}}),
        get("/api/v1/namespaces/ending-{ns}", 404, eventually=True, orders=("collect",))],
}


def eviction(name):
    return {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name}}


def counted(name, healthy):
    """The budget's controller has seen the pods; the double counts when it is asked."""
    return get(BUDGETS + "/" + name, eventually=True, orders=("budgets",),
               fields={"status.currentHealthy": healthy})


EVICT = {
    "without a budget a pod is evicted, and its condition says why": [
        post(PODS, pod("free", GHOST)),
        merge_patch(PODS + "/free/status", ready()),
        post(PODS + "/free/eviction", eviction("free"), fields={"kind": "Status", "status": "Success"}),
        get(PODS + "/free", fields={"metadata.deletionTimestamp": ANY, "status.conditions": lambda all: any(
            c["type"] == "DisruptionTarget" and c["reason"] == "EvictionByEvictionAPI" for c in all)})],
    "a budget that is used up refuses": [
        post(PODS, pod("kept", GHOST, labels={"app": "kept"})),
        merge_patch(PODS + "/kept/status", ready()),
        post(BUDGETS, budget("kept", "kept", minAvailable=1)),
        counted("kept", 1),
        post(PODS + "/kept/eviction", eviction("kept"), 429, fields={
            "reason": "TooManyRequests", "details.causes.0.reason": "DisruptionBudget"}),
        get(PODS + "/kept", fields={"metadata.deletionTimestamp": NONE})],
    "a budget with room allows one": [
        *[step for name in ("r1", "r2") for step in (
            post(PODS, pod(name, GHOST, labels={"app": "room"})), merge_patch(PODS + f"/{name}/status", ready()))],
        post(BUDGETS, budget("room", "room", minAvailable=1)),
        counted("room", 2),
        post(PODS + "/r1/eviction", eviction("r1")),
        post(PODS + "/r2/eviction", eviction("r2"), 429)],
    "AlwaysAllow lets pods go that are not ready": [
        post(PODS, pod("sick", GHOST, labels={"app": "sick"})),
        merge_patch(PODS + "/sick/status", ready(status="False")),
        post(BUDGETS, budget("sick", "sick", minAvailable=1, unhealthyPodEvictionPolicy="AlwaysAllow")),
        counted("sick", 0),
        post(PODS + "/sick/eviction", eviction("sick"))],
    "two budgets over one pod refuse with 500": [
        post(PODS, pod("torn", GHOST, labels={"app": "torn"})),
        merge_patch(PODS + "/torn/status", ready()),
        post(BUDGETS, budget("torn-1", "torn", minAvailable=0)),
        post(BUDGETS, budget("torn-2", "torn", minAvailable=0)),
        post(PODS + "/torn/eviction", eviction("torn"), 500)],
    "an eviction of nobody is not found": [post(PODS + "/nobody/eviction", eviction("nobody"), 404)],
    "a token that nobody gave is not authenticated": [
        post("/apis/authentication.k8s.io/v1/tokenreviews", {
            "apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview",
            "spec": {"token": "wrong", "audiences": ["muster"]}},
            fields={"status.authenticated": NONE, "status.error": ANY})],
    "a job's budget is deleted while its pods run": [
        post(BUDGETS, budget("short", "short", minAvailable=1)),
        delete(BUDGETS + "/short", fields={"status": "Success"})],
    "a test of the UID protects a status of another job": [
        post(JOBS, job("reborn"), save={"uid": "metadata.uid"}),
        delete(JOBS + "/reborn"), post(JOBS, job("reborn")),
        json_patch(JOBS + "/reborn/status", [
            {"op": "test", "path": "/metadata/uid", "value": "{uid}"},
            {"op": "add", "path": "/status", "value": {"replicas": 1}}], 422)],
}
