"""A node that loses its power says nothing to anyone, and comes back as a machine that was started again."""

import os
import pathlib
import re
import signal
import subprocess
import sys
import threading
import time

import cluster_harness as harness
from cluster_harness import ClusterCase, boot_id, cluster, node_process, ready

TALKER = pathlib.Path(__file__).resolve().parent / "talker.py"


class FarewellCounter:
    """Counts what comes out of a node's cable that ends a TCP connection, by a rule of the machine's own bridge."""

    TABLE = "muster_test"

    def __init__(self, node):
        rules = "\n".join((
            f"table bridge {self.TABLE} {{",
            "chain leaving {",
            "type filter hook prerouting priority -400;",
            f'iifname "muster-{node}" counter comment "all"',
            f'iifname "muster-{node}" tcp flags & (fin | rst) != 0 counter comment "farewell"',
            "}", "}", ""))
        subprocess.run(["nft", "-f", "-"], input=rules, text=True, check=True)

    def read(self):
        """(packets, packets that end a connection)"""
        text = subprocess.run(["nft", "list", "table", "bridge", self.TABLE], text=True, stdout=subprocess.PIPE,
                              check=True).stdout
        counts = {name: int(packets) for packets, name in re.findall(r'packets (\d+) bytes \d+ comment "(\w+)"', text)}
        return counts["all"], counts["farewell"]

    def close(self):
        subprocess.run(["nft", "delete", "table", "bridge", self.TABLE], check=True)


class Conversation:
    """A TCP connection from n1 to n2 on which n1 talks all the time, and what n2 heard of its end."""

    def __init__(self):
        self.listener = harness.start("run", "n2", sys.executable, TALKER, "listen", stderr=subprocess.DEVNULL)
        address = self.listener.stdout.readline().strip()
        self.talker = harness.start("run", "n1", sys.executable, TALKER, "talk", address, stderr=subprocess.DEVNULL)
        self.last, self.ending, self.began = 0.0, None, threading.Event()
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()
        if not self.began.wait(10):
            raise AssertionError("n1 does not talk to n2")

    def read(self):
        for line in self.listener.stdout:
            if line == "heard\n":
                self.last = time.monotonic()
                self.began.set()
            else:
                self.ending = line.strip()

    def close(self):
        for node, process in (("n1", self.talker), ("n2", self.listener)):
            harness.attempt("run", node, "pkill", "-KILL", "-f", TALKER.name)  # the node may be off: then it is gone
            process.wait(10)
        self.reader.join(10)
        self.listener.stdout.close()
        self.talker.stdout.close()


class PowerTest(ClusterCase):

    def setUp(self):
        super().setUp()
        self.counter = FarewellCounter("n1")
        self.addCleanup(self.counter.close)
        self.conversation = Conversation()
        self.addCleanup(self.conversation.close)

    def test_no_farewell_leaves_a_node_that_is_switched_off(self):
        before = boot_id("n1")
        packets, farewells = self.counter.read()
        began = time.monotonic()
        cluster("off", "n1")
        took = time.monotonic() - began
        self.tell(f"off took {took:.2f} s")
        self.assertLess(took, 3)
        dark, _ = self.counter.read()
        self.assertGreater(dark, packets, "the counter sees nothing, so it proves nothing")
        self.wait_not_ready("n1", began)
        time.sleep(max(0.0, began + 6 - time.monotonic()))
        after, last_farewells = self.counter.read()
        self.assertEqual(last_farewells, farewells, "the node said good-bye on some connection")
        self.assertEqual(after, dark, "packets came out of a node that is off")
        self.assertIsNone(self.conversation.ending, "n2 heard that the connection ended")
        self.assertLess(self.conversation.last - began, took)
        self.assertEqual(self.conversation.talker.wait(5), 137)  # a command that ran in the node died with it

        cluster("on", "n1")
        self.wait_ready("n1")
        self.assertNotEqual(boot_id("n1"), before, "Kubernetes did not see that the node was started again")

    def test_the_cable_must_go_first(self):
        # The same loss of power in the other order: the kernel closes the sockets of the dead, and all hear it.
        _, farewells = self.counter.read()
        os.kill(node_process("n1"), signal.SIGKILL)
        harness.wait_until(lambda: self.conversation.ending is not None, 5, "n2 heard the end")
        self.assertIn(self.conversation.ending, ("closed", "reset"))
        self.assertGreater(self.counter.read()[1], farewells)
        cluster("off", "n1")
        cluster("on", "n1")
        self.wait_ready("n1")

    def test_on_and_off_twice_change_nothing(self):
        process = node_process("n1")
        cluster("on", "n1")
        self.assertEqual(node_process("n1"), process)
        cluster("off", "n1")
        cluster("off", "n1")
        self.assertIn("n1 10.90.0.11: off", cluster("status"))
        self.assertRegex(harness.attempt("run", "n1", "true").stdout, r"the node n1 is off")
        self.assertRegex(harness.attempt("freeze", "n1").stdout, r"the node n1 is off")


class FreezeTest(ClusterCase):

    def test_a_machine_that_hangs(self):
        def answers():
            return subprocess.run(["busybox", "ping", "-c", "1", "-W", "1", "10.90.0.11"], check=False,
                                  stdout=subprocess.DEVNULL).returncode == 0
        before, process = boot_id("n1"), node_process("n1")
        began = time.monotonic()
        cluster("freeze", "n1")
        self.wait_not_ready("n1", began)
        self.assertTrue(answers(), "the kernel of a machine that hangs still answers")
        self.assertIn("n1 10.90.0.11: on, frozen", cluster("status"))
        cluster("thaw", "n1")
        self.wait_ready("n1")
        self.assertEqual((boot_id("n1"), node_process("n1")), (before, process), "it was started again")

    def test_a_frozen_node_can_be_switched_off(self):
        cluster("freeze", "n2")
        cluster("off", "n2")
        cluster("on", "n2")
        self.assertNotIn("frozen", cluster("status"))
        harness.wait_until(lambda: ready("n2") is True, 20, "n2 is Ready")


if __name__ == "__main__":
    harness.main()
