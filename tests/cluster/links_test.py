"""Cut cables and links: which packets get through, and which do not, for every pair of machines."""

import json
import pathlib
import queue
import subprocess
import sys
import threading
import time

import cluster_harness as harness
from cluster_harness import NODES, ClusterCase, cluster, ready

AGENT = pathlib.Path(__file__).resolve().parent / "agent.py"
MACHINES = (*NODES, "control")
EVERY_PAIR = {(a, b) for a in MACHINES for b in MACHINES if a != b}


class Agents:
    """One sender and receiver in each node, and one on the machine, where the control plane is."""

    def __init__(self):
        self.addresses = {"control": "10.90.0.1"}
        for item in json.loads(harness.kubectl("get", "nodes", "-o", "json"))["items"]:
            self.addresses[item["metadata"]["name"]] = item["status"]["addresses"][0]["address"]
        self.round, self.received, self.processes = 0, queue.Queue(), {}
        for name in MACHINES:
            self.start(name)

    def start(self, name):
        command = [sys.executable, str(AGENT), self.addresses[name]]
        if name == "control":
            process = subprocess.Popen(command, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        else:
            process = harness.start("run", name, *command, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL)
        if process.stdout.readline() != "ready\n":
            raise AssertionError(f"no agent in {name}")
        self.processes[name] = process
        threading.Thread(target=self.read, args=(name, process.stdout), daemon=True).start()

    def read(self, name, stream):
        for line in stream:
            self.received.put((name, line.strip()))

    def pairs_that_hear(self):
        """{(sender, receiver)}: each sends to each, three times, because the first may only resolve the address."""
        self.round += 1
        for _ in range(3):
            for a, b in sorted(EVERY_PAIR):
                self.processes[a].stdin.write(f"{self.addresses[b]} {self.round}:{a}\n")
                self.processes[a].stdin.flush()
            time.sleep(0.05)
        heard, end = set(), time.monotonic() + 0.2
        while time.monotonic() < end:
            try:
                receiver, text = self.received.get(timeout=0.05)
            except queue.Empty:
                continue
            number, sender = text.split(":")
            if int(number) == self.round:
                heard.add((sender, receiver))
        return heard

    def stop(self, name):
        process = self.processes.pop(name)
        process.stdin.close()
        process.wait(10)
        process.stdout.close()

    def close(self):
        for name in list(self.processes):
            self.stop(name)


def both(a, b):
    return {(a, b), (b, a)}


class LinksCase(ClusterCase):

    def setUp(self):
        super().setUp()
        self.agents = Agents()
        self.addCleanup(lambda: self.agents.close())

    def assert_lost(self, lost):
        """Just these pairs do not hear each other; a healed one needs a second to resolve the address again."""
        end = time.monotonic() + 6
        while (seen := EVERY_PAIR - self.agents.pairs_that_hear()) != lost and time.monotonic() < end:
            pass
        self.assertEqual(sorted(seen), sorted(lost))


class LinksTest(LinksCase):

    def test_each_kind_of_cut_takes_just_its_pairs(self):
        others = [name for name in MACHINES if name != "n1"]
        outward, inward = {("n1", b) for b in others}, {(a, "n1") for a in others}
        self.assert_lost(set())
        for arguments, lost in (
                (("n1",), outward | inward),
                (("n1", "--out"), outward),
                (("n1", "--in"), inward),
                (("n1", "--to", "n2"), both("n1", "n2")),
                (("n1", "--out", "--to", "n2"), {("n1", "n2")}),
                (("n1", "--in", "--to", "n2"), {("n2", "n1")}),
                (("n1", "--to", "control"), both("n1", "control")),
                (("n1", "--out", "--to", "control"), {("n1", "control")}),
                (("n1", "--in", "--to", "control"), {("control", "n1")})):
            with self.subTest(cut=arguments):
                cluster("cut", *arguments)
                self.assert_lost(lost)
                cluster("heal", "n1")
                self.assert_lost(set())

    def test_cuts_add_up_and_heal_one_by_one(self):
        cluster("cut", "n1", "--to", "n2")
        cluster("cut", "n3", "--to", "n1")
        self.assert_lost(both("n1", "n2") | both("n1", "n3"))
        self.assertIn("cut (n1 both n2)", cluster("status"))
        cluster("heal", "n2", "--to", "n1")  # the same link, named from its other end
        self.assert_lost(both("n1", "n3"))
        cluster("cut", "n2")
        cluster("heal", "n3")
        self.assert_lost({pair for pair in EVERY_PAIR if "n2" in pair})
        cluster("heal", "n2")
        self.assert_lost(set())


class CutAndPowerTest(LinksCase):

    def test_a_cut_outlasts_the_loss_of_power(self):
        cluster("cut", "n1", "--to", "n2")
        cluster("cut", "n3")
        for node in ("n1", "n3"):
            cluster("off", node)
            self.agents.stop(node)
            cluster("on", node)
            self.agents.start(node)
        self.assert_lost(both("n1", "n2") | {pair for pair in EVERY_PAIR if "n3" in pair})


class SeenByKubernetesTest(ClusterCase):

    def test_a_cut_node_is_not_ready_until_it_is_healed(self):
        began = time.monotonic()
        cluster("cut", "n3")
        self.wait_not_ready("n3", began)
        cluster("heal", "n3")
        self.wait_ready("n3")

    def test_so_is_one_that_is_not_heard_and_one_that_does_not_hear(self):
        began = time.monotonic()
        cluster("cut", "n1", "--out")
        cluster("cut", "n2", "--in")
        self.wait_not_ready("n1", began)
        self.wait_not_ready("n2", began)
        cluster("heal", "n1")
        cluster("heal", "n2")
        self.wait_ready("n1")
        self.wait_ready("n2")

    def test_nodes_that_only_lost_each_other_stay_ready(self):
        cluster("cut", "n1", "--to", "n2")
        end = time.monotonic() + 8
        while time.monotonic() < end:
            self.assertEqual([ready(node) for node in NODES], [True, True, True])
            time.sleep(0.2)


if __name__ == "__main__":
    harness.main()
