#!/usr/bin/env python3
"""The contract of contract_table*.py, against the API-server double or against a real API server.

    contract_test.py                                  the double (program kube_api_double in MUSTER_TESTS_DIR)
    MUSTER_TEST_KUBECONFIG=FILE contract_test.py      a real cluster, through `kubectl proxy`
    MUSTER_TEST_API_SERVER=URL contract_test.py       a real one behind a plain HTTP address

KUBECONFIG itself is not read: a person's own cluster is not a place for tests. On a real cluster the rows run in a
namespace of their own, which is deleted; the TrainingJob CRD must be installed there (crds/).
"""

import http.client
import json
import os
import pathlib
import re
import subprocess
import sys
import time
import unittest
import urllib.parse

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import contract_steps  # noqa: E402  (beside this script, not installed)
import contract_table  # noqa: E402
import contract_table_life  # noqa: E402

TABLES = {
    "create": contract_table.CREATE, "update": contract_table.UPDATE, "patch": contract_table.PATCH,
    "apply": contract_table.APPLY, "list": contract_table_life.LIST, "watch": contract_table_life.WATCH,
    "delete": contract_table_life.DELETE, "evict": contract_table_life.EVICT,
}
# Seconds that other programs of a real cluster have; the double has none and answers at once.
PATIENCE = {True: 20, False: 10}


class Server:
    """Where the requests go: a URL, and the program behind it if it is ours."""

    def __init__(self):
        self.program = None
        self.real = True
        if url := os.environ.get("MUSTER_TEST_API_SERVER"):
            self.url = url
        elif kubeconfig := os.environ.get("MUSTER_TEST_KUBECONFIG"):
            self.start(["kubectl", f"--kubeconfig={kubeconfig}", "proxy", "--port=0"])
            self.url = "http://" + self.program.stdout.readline().split()[-1]
        else:
            self.real = False
            self.start([os.path.join(os.environ["MUSTER_TESTS_DIR"], "kube_api_double")])
            self.url = self.program.stdout.readline().strip()
        self.address = urllib.parse.urlsplit(self.url).netloc

    def start(self, command):
        self.program = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def order(self, word):
        """What the double's players do; a real cluster's need no telling."""
        if self.real:
            return
        self.program.stdin.write(word + "\n")
        self.program.stdin.flush()
        said = self.program.stdout.readline().strip()
        if said != "done":
            raise AssertionError(f"the double answers '{word}' with '{said}'")

    def ask(self, method, path, body=None, content_type=contract_steps.JSON):
        connection = http.client.HTTPConnection(self.address, timeout=PATIENCE[self.real])
        try:
            sent = body if body is None or isinstance(body, str) else json.dumps(body)
            headers = {"User-Agent": "contract/1", "Accept": "application/json"}
            if sent is not None:
                headers["Content-Type"] = content_type
            connection.request(method, path, sent, headers)
            answer = connection.getresponse()
            text = answer.read().decode()
        finally:
            connection.close()
        try:
            return answer.status, json.loads(text)
        except json.JSONDecodeError:
            return answer.status, text

    def watch(self, path, wanted):
        """(status, events): as many as wanted, {"type": "END"} when the stream ended before.

        Bookmarks are skipped where none is wanted: when they come is the server's own affair.
        """
        connection = http.client.HTTPConnection(self.address, timeout=PATIENCE[self.real])
        try:
            connection.request("GET", path, headers={"User-Agent": "contract/1"})
            answer = connection.getresponse()
            if answer.status != 200:
                return answer.status, answer.read().decode()
            events = []
            while len(events) < len(wanted):
                line = answer.readline()
                if not line:
                    events.append({"type": "END"})
                    break
                event = json.loads(line)
                if event["type"] != "BOOKMARK" or wanted[len(events)][0] == "BOOKMARK":
                    events.append(event)
            return 200, events
        finally:
            connection.close()

    def close(self):
        if self.program:
            self.program.stdin.close()
            if self.real:
                self.program.terminate()
            self.program.wait(timeout=10)
            self.program.stdout.close()


class ContractTest(unittest.TestCase):
    """One test for each row; the rows are added below."""

    @classmethod
    def setUpClass(cls):
        cls.server = Server()
        cls.ns = f"contract-{os.getpid()}-{int(time.time()) % 100000}"
        code, answer = cls.server.ask("POST", "/api/v1/namespaces", {"metadata": {"name": cls.ns}})
        if code != 201:
            raise AssertionError(f"cannot make namespace {cls.ns}: {code} {answer}")
        if cls.server.real:
            cls.wait_for(f"/api/v1/namespaces/{cls.ns}/serviceaccounts/default")

    @classmethod
    def wait_for(cls, path):
        until = time.monotonic() + PATIENCE[cls.server.real]
        while cls.server.ask("GET", path)[0] != 200:
            if time.monotonic() > until:
                raise AssertionError(f"{path} does not come")
            time.sleep(0.1)

    @classmethod
    def tearDownClass(cls):
        if cls.server.real:
            pods = cls.server.ask("GET", f"/api/v1/namespaces/{cls.ns}/pods")[1]
            for pod in pods.get("items", []):
                cls.server.ask("DELETE", f"/api/v1/namespaces/{cls.ns}/pods/{pod['metadata']['name']}",
                               {"gracePeriodSeconds": 0})
            cls.server.ask("DELETE", f"/api/v1/namespaces/{cls.ns}")
        cls.server.close()

    def run_row(self, steps):
        names = {"ns": self.ns}
        for number, step in enumerate(steps, 1):
            found, answer = self.run_step(step, names)
            until = time.monotonic() + PATIENCE[self.server.real]
            while found and step.eventually and time.monotonic() < until:
                time.sleep(0.05)
                found, answer = self.run_step(step, names)
            where = f"step {number}, {step.method} {contract_steps.filled(step.path, names)}"
            self.assertFalse(found, where + ": " + "; ".join(found))
            for name, path in step.save.items():
                names[name] = contract_steps.value_at(answer, path)

    def run_step(self, step, names):
        for word in step.orders:
            self.server.order(word)
        path = contract_steps.filled(step.path, names)
        if step.method == "WATCH":
            return self.run_watch(step, path, names)
        body = contract_steps.filled(step.body, names)
        code, answer = self.server.ask(step.method, path, body, step.content_type)
        return contract_steps.differences(step, code, answer, names), answer

    def run_watch(self, step, path, names):
        code, events = self.server.watch(path, step.events)
        if code != 200 or step.code != 200:
            return contract_steps.differences(step, code, events, names), events
        seen = [(event["type"], event.get("object", {}).get("metadata", {}).get("name") if name else None)
                for event, (_, name) in zip(events, step.events)]
        if seen != list(step.events):
            return [f"events {seen}, not {list(step.events)}"], events
        with_object = [event for event in events if "object" in event]
        return contract_steps.differences(step, 200, with_object[-1] if with_object else {}, names), events


def add_rows():
    for table, rows in TABLES.items():
        for sentence, steps in rows.items():
            name = f"test_{table}_" + re.sub(r"\W+", "_", sentence)
            setattr(ContractTest, name, lambda self, steps=steps: self.run_row(steps))


add_rows()

if __name__ == "__main__":
    unittest.main()
