#!/usr/bin/env python3
"""The definition on a real API server: the verdicts that hack/crdcheck predicts, kubectl's view, the scale subresource.

    KUBECONFIG=FILE python3 tests/crd/server_test.py      with kubectl on PATH, as a cluster's administrator

Makes a namespace of its own and removes it; the definition stays. No node is needed.
"""

import json
import os
import pathlib
import subprocess
import sys
import time
import unittest
import urllib.error
import urllib.request
import uuid

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import cases  # noqa: E402  (beside this script, not installed)
import crdcheck  # noqa: E402
import update_test  # noqa: E402

SERVER = None
REAL = None


def kubectl(*args, text=None, check=True):
    run = subprocess.run(["kubectl", *args], input=text, capture_output=True, text=True, check=False, timeout=60)
    if check and run.returncode != 0:
        raise RuntimeError(f"kubectl {' '.join(args)}: {run.stderr.strip()}")
    return run


class Real:
    """A real API server through kubectl's proxy, and a namespace there."""

    def __init__(self):
        self.namespace = "crd-" + uuid.uuid4().hex[:8]
        kubectl("apply", "-f", str(crdcheck.CRD))
        kubectl("wait", "--for=condition=Established", "crd/trainingjobs.muster.dev", "--timeout=30s")
        kubectl("create", "namespace", self.namespace)
        self.proxy = subprocess.Popen(["kubectl", "proxy", "--port=0"], stdout=subprocess.PIPE, text=True)
        self.url = "http://" + self.proxy.stdout.readline().split()[-1]
        self.jobs = f"/apis/muster.dev/v1alpha1/namespaces/{self.namespace}/trainingjobs"

    def close(self):
        self.proxy.terminate()
        self.proxy.wait(timeout=10)
        kubectl("delete", "namespace", self.namespace, "--wait=false")

    def send(self, method, path, body, kind="application/yaml"):
        """(status, answer); kubectl's own strictness about fields."""
        request = urllib.request.Request(self.url + path, data=body.encode(), method=method,
                                         headers={"Content-Type": kind})
        try:
            with urllib.request.urlopen(request, timeout=30) as response:
                return response.status, json.load(response)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)

    def create(self, text, dry=True):
        query = "?fieldValidation=Strict" + ("&dryRun=All" if dry else "")
        return self.send("POST", self.jobs + query, text)


def fields_of(answer):
    causes = answer.get("details", {}).get("causes", [])
    return sorted(cause.get("field", "").replace("<nil>", "") for cause in causes)


class RealServerTest(unittest.TestCase):
    def in_namespace(self, text):
        """Cases name namespaces that do not exist: the request's own is the one that counts here."""
        return text.replace(", namespace: 1team", "")

    def test_refuses_what_it_should_with_the_same_fields(self):
        texts = [cases.edited(before, after) for _, before, after in cases.BAD]
        compared = 0
        for (field, _, after), text, foreseen in zip(cases.BAD, texts, SERVER.create(texts)):
            status, answer = REAL.create(text)
            with self.subTest(field=field, manifest=after[:80]):
                self.assertIn(status, (400, 404, 422), answer.get("message"))
                if field in ("apiVersion", "kind", "metadata"):
                    continue  # refused before anybody knows which definition is meant: kubectl itself says it better
                leaf = field.rsplit(".", 1)[-1].split("[")[0]
                self.assertIn(leaf.lower(), answer["message"].lower())
                if status == 422:  # judged by the definition; before it come decoding and routing
                    said = sorted(e["field"] for e in foreseen["errors"])
                    self.assertEqual(fields_of(answer)[-len(said):], said)
                    compared += 1
        print(f"{len(texts)} bad manifests, {compared} refused by the definition, the others while decoding")
        self.assertGreater(compared, 100)

    def test_takes_what_it_should_and_stores_what_is_foreseen(self):
        rows = [(name, self.in_namespace(cases.edited(before, after))) for name, before, after in cases.FINE]
        rows += [(after, cases.edited(before, after)) for _, before, after in cases.SPELLING]
        for (name, text), foreseen in zip(rows, SERVER.create([text for _, text in rows])):
            status, answer = REAL.create(text)
            with self.subTest(name):
                self.assertEqual(status, 201, answer.get("message"))
                self.assertEqual(answer["spec"], foreseen["object"]["spec"])
                self.assertNotIn("status", answer)

    def test_updates_are_judged_as_foreseen(self):
        status, stored = REAL.create(update_test.job(("metadata", {"name": "updates"})), dry=False)
        self.assertEqual(status, 201, stored.get("message"))
        path = f"{REAL.jobs}/updates"
        stored["status"] = update_test.STARTED
        status, stored = REAL.send("PUT", path + "/status", json.dumps(stored), "application/json")
        self.assertEqual((status, stored["status"]), (200, update_test.STARTED))
        for field, value in update_test.OTHER.items():
            new = json.loads(update_test.job((field, value), base=stored))
            foreseen = SERVER.update([(json.dumps(stored), json.dumps(new))])[0]["errors"]
            status, answer = REAL.send("PUT", path + "?dryRun=All", json.dumps(new), "application/json")
            with self.subTest(field):
                self.assertEqual(status, 422 if foreseen else 200, answer.get("message"))
                self.assertEqual(fields_of(answer), sorted(e["field"] for e in foreseen))

    def test_kubectl_shows_and_scales(self):
        manifest = cases.GOOD.replace("licences", "shown")
        kubectl("-n", REAL.namespace, "apply", "-f", "-", text=manifest)
        columns = kubectl("-n", REAL.namespace, "get", "tj").stdout.split("\n")[0].split()
        self.assertEqual(columns, ["NAME", "STATE", "MEMBERS", "EPOCH", "STEP", "LOSS", "AGE"])
        self.assertIn("trainingjob.muster.dev/shown", kubectl("-n", REAL.namespace, "get", "all").stdout)
        kubectl("-n", REAL.namespace, "scale", "tj/shown", "--replicas=8")
        beyond = kubectl("-n", REAL.namespace, "scale", "tj/shown", "--replicas=9", check=False)
        self.assertIn("8 is not allowed: at least replicas, which is 9", beyond.stderr)
        scale = json.loads(kubectl("get", "--raw", f"{REAL.jobs}/shown/scale").stdout)
        self.assertEqual((scale["kind"], scale["spec"]["replicas"]), ("Scale", 8))
        kubectl("-n", REAL.namespace, "apply", "-f", "-", text=manifest)  # client-side, over what scale wrote
        scale = json.loads(kubectl("get", "--raw", f"{REAL.jobs}/shown/scale").stdout)
        self.assertEqual(scale["spec"]["replicas"], 4)

    def test_kubectl_explains_every_field(self):
        end = time.monotonic() + 30  # the server publishes a new definition's description a little later
        while kubectl("explain", "trainingjob.spec", check=False).returncode != 0 and time.monotonic() < end:
            time.sleep(0.5)
        told = kubectl("explain", "trainingjob", "--recursive").stdout
        for field in crdcheck.probe("fields"):
            if field["path"].startswith("spec."):
                self.assertRegex(told, rf"(?m)^ +{field['path'].rpartition('.')[2]}\t<")
        seed = " ".join(kubectl("explain", "trainingjob.spec.training.seed").stdout.split())
        self.assertIn("Fixed once the job has started.", seed)


if __name__ == "__main__":
    if not os.environ.get("KUBECONFIG"):
        sys.exit("usage: KUBECONFIG=FILE python3 tests/crd/server_test.py (kubectl on PATH): no cluster is named")
    SERVER = update_test.SERVER = crdcheck.Server()
    REAL = Real()
    try:
        outcome = unittest.main(verbosity=2, exit=False).result
    finally:
        REAL.close()
    sys.exit(0 if outcome.wasSuccessful() else 1)
