"""What a job on GPUs does about NCCL over time, on the stand-ins of gpu_test.py: breaks without a death, what rebuilds
leave behind, and what a worker's metrics say of all of it."""

import re
import urllib.request

import harness
from gpu_test import GPU, GpuCase
from harness import SOURCE, wait_until

STARTS_AGAIN = 79


class GpuRuntimeTest(GpuCase):

    def test_a_break_without_a_death_costs_a_view_and_nobody(self):
        clean = self.clean(self.manifest(steps=10), GPU)
        # A step has one group for each part of the sums, three to eight of them: not in the first step, whose view would count
        # as the first one still.
        run = self.run_story(self.manifest(steps=10), env={**GPU, "MUSTER_STANDIN_NCCL_BREAK_COLLECTIVE": "20@0"})
        self.assertEqual(run.digest, clean.digest)
        self.assertEqual([r["cause"] for r in run.status["rescales"]], ["FirstView", "NcclBroken"], run.tail())
        self.assertEqual(run.status["failures"], [])
        self.assertEqual(sorted(run.exited()), ["0.0", "1.0", "2.0"], "nobody was replaced")

    def test_a_worker_that_leaks_starts_again_as_a_new_member(self):
        # Each init leaves 60 descriptors open. The first view whose members have had two inits, and that is not smaller
        # than the one before it, is the third; rank 0's turn.
        leaks = {**GPU, "MUSTER_STANDIN_NCCL_LEAK": "60", "MUSTER_TEST_HOOKS": "leak-fds=40"}
        manifest = self.manifest(steps=60)
        manifest["spec"]["training"]["slots"] = 4
        clean = self.clean(manifest, GPU)
        run = self.run_story(manifest, "--kill", "worker-1@step=4", env=leaks)
        self.assertEqual(run.digest, clean.digest)
        codes = run.exited()
        again = [member for member, code in codes.items() if code == STARTS_AGAIN]
        self.assertEqual(again, ["0.0"], run.tail())
        self.assertIn("0.1", codes, "it came back as a new member")
        self.assertEqual([f["member"] for f in run.status["failures"]], ["1.0"], "only the killed one is charged")
        self.assertEqual(run.status["members"], "3/3", run.tail())
        log = "".join(run.logs().values())
        self.assertRegex(log, r"starts again: open files grew from \d+ to \d+, by more than 40")

    def fetch(self, port):
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
            return answer.read().decode()

    def test_a_workers_metrics_tell_of_nccl_device_and_phases(self):
        manifest = self.manifest(steps=400)
        manifest["spec"]["checkpoint"] = {"everySteps": 3}
        manifest["spec"]["training"]["evaluateEverySteps"] = 3
        run = self.start(manifest, "--metrics-port", 0, env=GPU)
        run.wait_for_step(7)
        port = re.search(r"metrics on port (\d+)", "".join(run.logs().values())).group(1)

        def has_sums_by_both():
            text = self.fetch(port)
            return text if text.count("nccl_bus_bandwidth_gbs{") >= 2 and 'phase="checkpoint"' in text else None

        text = wait_until(has_sums_by_both, 20, "bandwidths of NCCL's sums and the ring's, and a checkpoint")
        names = set(re.findall(r"^(\w+?)(?:_bucket|_sum|_count)?(?:\{.*\})? \S+$", text, re.M))
        documented = (SOURCE / "docs" / "metrics.md").read_text()
        self.assertEqual([name for name in sorted(names) if f"`{name}`" not in documented], [])
        for phase in ("loading_data", "rebuild", "forward", "reduce", "apply", "evaluate", "checkpoint"):
            self.assertRegex(text, rf'(?m)^muster_worker_phase_seconds_total\{{phase="{phase}"\}} \S', phase)
        for carrier in ("unknown", "RING_TCP"):
            self.assertRegex(text, rf'(?m)^nccl_bus_bandwidth_gbs\{{algo_proto="{carrier}",collective="AllReduce",'
                                   r'comm_name="tiny",message_size="\d+-\d+[KM]?B",n_nodes="1",nranks="3"\} \d')
        self.assertIn("nccl_collective_exec_time_microseconds{", text)
        value = lambda name: float(re.search(rf"(?m)^{name} (\S+)$", text).group(1))
        used, total = value("muster_worker_device_memory_used_bytes"), value("muster_worker_device_memory_total_bytes")
        self.assertTrue(0 < used < total == 4 << 30, (used, total))
        self.assertEqual(value(r'muster_worker_nccl_inits_total\{outcome="succeeded"\}'), 1)
        self.assertEqual(value(r'muster_worker_nccl_inits_total\{outcome="failed"\}'), 0)
        self.assertEqual(value("muster_worker_nccl_unused_ids"), 0)
        self.assertGreater(value("muster_worker_open_fds"), 5)
        self.assertGreater(value("muster_worker_threads"), 5)
        palm, llmc = value("muster_worker_model_flops_palm_total"), value("muster_worker_model_flops_total")
        self.assertTrue(palm > llmc > 0, "both formulas, the paper's the larger")
        run.interrupt()
        run.finish()
        self.assertEqual(run.exit, 130, run.tail())


if __name__ == "__main__":
    harness.main()
