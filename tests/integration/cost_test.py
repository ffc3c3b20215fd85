"""What elasticity costs and shows: CPU seconds, bytes on the ring, metrics, time accounts, logs."""

import json
import re
import unittest
import urllib.request

from evidence import EvidenceCase
from harness import job, wait_until


class CostTest(EvidenceCase):

    def test_four_members_cost_no_more_cpu_than_one(self):
        # A slot takes 25 ms of processor time however busy the machine is; what comes on top (starting,
        # reducing, applying) is not immune to its neighbours, so up to three pairs are taken. Four members that
        # all computed everything would cost 4 x in each of them.
        manifest = job(steps=12, slots=32, milliseconds=25.0)
        ratios = []
        while len(ratios) < 3 and not any(ratio <= 1.15 for ratio in ratios):
            four = self.run_story(manifest, folder=f"four-{len(ratios)}")
            one = self.run_story(manifest, "--replicas", 1, folder=f"one-{len(ratios)}")
            self.assertEqual(one.digest, four.digest)
            # Below this the processes' start would count for more than the training.
            self.assertGreater(one.cpu_seconds, 0.4 * 12 * 32 * 0.025)
            ratios.append(four.cpu_seconds / one.cpu_seconds)
        self.assertLessEqual(min(ratios), 1.15, ratios)

    def test_bytes_on_the_ring(self):
        for replicas in (1, 2, 3, 5):
            with self.subTest(replicas=replicas):
                manifest = job(replicas=replicas, steps=6)
                run = self.run_story(manifest)
                self.assertEqual(self.assert_ring_bytes(run), 6 if replicas > 1 else 0)
                self.assert_nothing_repeated(run, 0)


class MetricsTest(EvidenceCase):

    def fetch(self, url):
        with urllib.request.urlopen(url, timeout=5) as answer:
            return answer.read().decode()

    def names(self, text):
        return set(re.findall(r"^(\w+?)(?:_bucket|_sum|_count)?(?:\{.*\})? \S+$", text, re.M))

    def test_metrics_health_and_json_logs(self):
        manifest = job(steps=120)
        run = self.start(manifest, "--metrics-port", 0, "--log-format", "json", "--kill", "worker-2@step=6")
        url = run.wait_for(r"metrics: (http://\S+)/metrics").group(1)
        run.wait_for(r"epoch 3: ")
        for path in ("/healthz", "/readyz"):
            self.assertTrue(self.fetch(url + path))
        text = self.fetch(url + "/metrics")
        wanted = {f"muster_{name}" for name in (
            "trainingjob_state", "world_size", "desired_world_size", "epoch", "step", "loss", "tokens_total",
            "time_seconds_total", "rescales_total", "detection_seconds", "stall_seconds", "evictions_total",
            "digest_mismatches_total", "build_info")}
        self.assertEqual(wanted - self.names(text), set())
        self.assertRegex(text, r'muster_world_size\{.*job_name="story".*\} 4\b')
        self.assertRegex(text, r'muster_rescales_total\{.*cause="WorkerKilled".*\} 1\b')
        port = wait_until(lambda: re.search(r"metrics on port (\d+)", "".join(run.logs().values())), 5,
                          "a worker's metrics port").group(1)
        text = self.fetch(f"http://127.0.0.1:{port}/metrics")
        wanted = {f"muster_worker_{name}" for name in ("step_duration_seconds", "phase_seconds_total",
                                                       "reduced_bytes_total", "model_flops_total")}
        self.assertEqual(wanted - self.names(text), set())
        self.assertEqual(run.finish().exit, 0, run.tail())
        for name, text in run.logs().items():
            for line in text.splitlines():
                self.assertLessEqual({"time", "level", "component", "message"}, set(json.loads(line)), name)

    def test_time_accounts_add_up_to_wall_time(self):
        run = self.run_story(job(steps=60), "--kill", "worker-1@step=6:in=reduce")
        closed = run.status["timeSeconds"]["closed"]
        total = sum(closed.values())
        self.assertLessEqual(closed.get("unknown", 0), 0.01 * total, closed)
        self.assertGreater(closed["productive"], 0)
        # From the coordinator's start to the end of the job; what is missing is its own start and end.
        self.assertLessEqual(total, run.wall_seconds + 0.1)
        self.assertGreater(total, run.wall_seconds - 1.0)

    def test_the_last_lines_of_a_dead_worker_are_kept(self):
        run = self.run_story(job(), "--kill", "worker-1@step=6:in=reduce")
        kept = [text for text in run.logs().values() if "step=5 " in text and "step=7 " not in text]
        self.assertTrue(kept, "the killed worker's log is in the state folder")


if __name__ == "__main__":
    unittest.main(verbosity=2)
