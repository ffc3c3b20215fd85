"""Whole jobs as on GPUs, on a machine that has none: the CUDA module's own sources on the emulator of
tests/worker/cuda/simt, a driver and an NCCL that stand in (tests/worker/device, tests/worker/nccl/standin). What is
shown is how workers, module, NCCL and membership fit together, and that the digest does not depend on members or
faults; nothing of it is a GPU's speed or a GPU's bits."""

import hashlib
import os
import pathlib
import re
import subprocess
import sys

import harness
from evidence import EvidenceCase, LOSS

LIBRARIES = pathlib.Path(os.environ.get("MUSTER_LIB_DIR", harness.BIN.parent / "lib"))
CUBLASLT = harness.BIN.parent / "tests" / "fake_cublaslt" / "libfake_cublaslt_engine.so"
GPU = {
    "MUSTER_CUDA_MODULE": str(LIBRARIES / "libmuster_cuda_simt.so"),
    "LD_LIBRARY_PATH": str(LIBRARIES / "standin_driver"),
    "MUSTER_NCCL_LIB": str(LIBRARIES / "libmuster_nccl_standin.so"),
    "MUSTER_SHARE_GPUS": "1",
}


class GpuCase(EvidenceCase):

    def manifest(self, replicas=3, steps=6, device="cuda", transport="nccl", reduction="Exact64", **config):
        text = self.folder / "text"
        if not text.exists():
            text.mkdir()
            harness.write_text(text / "a.txt")
        manifest = harness.gpt_job(text, replicas=replicas, slots=6, steps=steps,
                                   training={"transport": transport, "reduction": reduction},
                                   elasticity={"heartbeatTimeout": "5s"})
        manifest["spec"]["program"]["config"].update({"context": 16, "batch": 1, "device": device, **config})
        return manifest

    def assert_on_gpus(self, run, sums):
        for name, text in run.logs().items():
            self.assertRegex(text, f'computes on gpu "MUSTER emulated GPU".*sums by {sums}', name)


class GpuTest(GpuCase):

    def test_members_transports_and_kills_do_not_show(self):
        for reduction in ("Exact64", "Exact32"):
            alone = self.run_story(self.manifest(replicas=1, reduction=reduction), env=GPU)
            self.assert_on_gpus(alone, "nccl")
            for transport in ("nccl", "ring"):
                run = self.run_story(self.manifest(transport=transport, reduction=reduction), env=GPU)
                self.assert_on_gpus(run, transport)
                self.assertEqual(run.digest, alone.digest, f"3 members, {reduction}, {transport}")

    def test_a_kill_in_each_phase(self):
        clean = self.clean(self.manifest(steps=10), GPU)
        for phase in ("forward", "overlap", "reduce", "commit"):
            fault = f"worker-1@step=4:in={phase}"
            run = self.run_story(self.manifest(steps=10), "--kill", fault, env=GPU)
            self.assert_story(run, clean, [f"--kill {fault}"], (LOSS,), lost=["1.0"])
            self.assert_on_gpus(run, "nccl")

    def test_a_kill_between_two_parts_of_an_overlapped_sum(self):
        alone = {}
        for replicas, reduction in ((2, "Exact32"), (4, "Exact32"), (4, "Exact64")):
            manifest = self.manifest(replicas=replicas, steps=8, reduction=reduction)
            fault = "worker-1@step=4:in=overlap"
            run = self.run_story(manifest, "--kill", fault, env=GPU)
            self.assert_fired(run, f"--kill {fault}")
            self.assert_survivors(run, lost=["1.0"])
            if reduction not in alone:
                alone[reduction] = self.clean(self.manifest(replicas=1, steps=8, reduction=reduction), GPU)
            self.assertEqual(run.digest, alone[reduction].digest, f"{replicas} members, {reduction}")

    def test_an_abort_that_never_returns_ends_its_process(self):
        clean = self.clean(self.manifest(steps=10), GPU)
        hangs = {**GPU, "MUSTER_STANDIN_NCCL_HANG_ABORT": "1@0"}
        run = self.run_story(self.manifest(steps=10), "--kill", "worker-1@step=4:in=reduce", env=hangs)
        self.assertEqual(run.digest, clean.digest)
        self.assertEqual(run.exited().get("0.0"), 76, run.tail())

    def test_two_processes_a_worker_and_a_worker_killed(self):
        manifest = self.manifest(replicas=1, steps=10)
        manifest["spec"]["training"]["slots"] = 8
        alone = self.clean(manifest, GPU)
        manifest["spec"]["workers"] = {"replicas": 2, "maxReplicas": 2, "processesPerWorker": 2}
        run = self.run_story(manifest, "--kill", "worker-1@step=4", env=GPU)
        self.assertEqual(run.digest, alone.digest)
        self.assertEqual(run.status["members"], "4/4", run.tail())

    def test_a_checkpoint_of_the_device_is_gone_on_from(self):
        manifest = self.manifest(steps=8)
        manifest["spec"]["checkpoint"] = {"everySteps": 2}
        clean = self.clean(manifest, GPU)
        run = self.start(manifest, env=GPU)
        run.wait_for_step(4)
        run.interrupt()
        run.finish()
        self.assertEqual(run.exit, 130, run.tail())
        again = self.run_story(manifest, folder="run-1", env=GPU)
        self.assertEqual(again.digest, clean.digest)


class GpuSettingsTest(GpuCase):

    def test_graphs_and_recompute_do_not_show(self):
        clean = self.clean(self.manifest(replicas=1), GPU)
        for level, graphs in ((0, "0"), (1, "1"), (2, "1")):
            run = self.run_story(self.manifest(replicas=1, recompute=level), env={**GPU, "MUSTER_CUDA_GRAPHS": graphs})
            self.assertEqual(run.digest, clean.digest, (level, graphs))

    def test_a_table_of_products_is_made_and_is_the_jobs(self):
        # What stands in for cuBLASLt knows nothing of the emulator's streams, which a graph would need.
        env = {**GPU, "MUSTER_CUBLASLT_LIB": str(CUBLASLT), "MUSTER_CUDA_GRAPHS": "0"}
        manifest = self.manifest(replicas=1, steps=2, transport="ring")
        config = manifest["spec"]["program"]["config"]
        settings = [f"{name}={config[name]}" for name in ("layers", "heads", "width", "context", "batch") if name in config]
        made = subprocess.run([harness.BIN / "muster-worker", "tune", *settings], env={**os.environ, **env}, text=True,
                              capture_output=True, timeout=60)
        self.assertEqual(made.returncode, 0, made.stderr)
        self.assertRegex(made.stdout, r"^muster products 1\ngpu simt\n")
        self.assertGreater(made.stdout.count("\nproduct "), 5)
        table = self.folder / "table"
        table.write_text(made.stdout)
        config["matmulTable"] = str(table)
        digest = hashlib.sha256(made.stdout.encode()).hexdigest()[:16]
        run = self.run_story(manifest, env=env)
        for text in run.logs().values():
            self.assertRegex(text, f"cuBLASLt 130000, table {digest}")
        bad = subprocess.run([harness.BIN / "muster-worker", "tune", "layers=many"], env={**os.environ, **env}, text=True,
                             capture_output=True, timeout=60)
        self.assertEqual(bad.returncode, 2)
        self.assertIn("layers=many is not allowed", bad.stderr)


class GpuStateTest(GpuCase):
    """How a state leaves a device and comes to another one."""

    def test_a_state_goes_by_what_carries_the_sums(self):
        for transport, reduction in (("nccl", "Exact64"), ("nccl", "Exact32"), ("ring", "Exact32")):
            manifest = self.manifest(steps=16, transport=transport, reduction=reduction)
            clean = self.clean(manifest, GPU)
            run = self.run_story(manifest, "--kill", "worker-1@step=3", env=GPU)
            self.assertEqual(run.digest, clean.digest)
            self.assert_received(run, 1, transport)

    def assert_received(self, run, ordinal, transport):
        texts = [text for name, text in run.logs().items() if f"-{ordinal}-" in name]
        self.assertTrue(any(re.search(f"transfer: received the state .*by={transport}", text) for text in texts),
                        run.tail())
        self.assertNotIn("checkpoint: restored", "".join(run.logs().values()))

    def test_kills_in_a_state_transfer(self):
        for transport in ("nccl", "ring"):
            manifest = self.manifest(steps=24, transport=transport)
            clean = self.clean(manifest, GPU)
            # The replacement is told of the state by member 0, whose vectors go out, and which then dies.
            run = self.run_story(manifest, "--kill", "worker-2@step=3", "--kill", "worker-0@step=4:in=transfer",
                                 env=GPU)
            self.assertEqual(run.digest, clean.digest)
            self.assertEqual([run.exited().get(m) for m in ("2.0", "0.0")], [-9, -9], run.tail())
            self.assert_survivors(run, lost=["2.0", "0.0"])
            self.assert_received(run, 2, transport)
            # The replacement dies, and the next one gets the state.
            run = self.run_story(manifest, "--kill", "worker-2@step=3", "--kill", "worker-2@step=4:in=transfer",
                                 env=GPU)
            self.assertEqual(run.digest, clean.digest)
            self.assertEqual([run.exited().get(m) for m in ("2.0", "2.1")], [-9, -9], run.tail())
            self.assert_received(run, 2, transport)

    def test_training_goes_on_while_a_checkpoint_is_staged_and_written(self):
        manifest = self.manifest(steps=10)
        manifest["spec"]["checkpoint"] = {"everySteps": 3, "keep": 5}
        clean = self.clean(manifest, GPU)
        slow = {**GPU, "MUSTER_TEST_HOOKS": "slow-disk=1000"}
        run = self.run_story(manifest, "--kill", "worker-1@step=6:in=checkpoint", env=slow)
        self.assertEqual(run.digest, clean.digest)
        overtaken = 0
        for text in run.logs().values():
            for written in re.finditer(r"checkpoint: part written step=(\d+)", text):
                after = f"forward: slot computed step={int(written[1]) + 1} "
                overtaken += after in text[:written.start()]
        self.assertGreater(overtaken, 0, "no slot of the next step was there before a part was written")
        folders = sorted((run.state_dir / "checkpoints").glob("step-*"))
        kept = [folder for folder in folders if (folder / "manifest.json").exists()]
        self.assertGreater(len(kept), 1, folders)
        for folder in kept:
            checked = subprocess.run([sys.executable, harness.SOURCE / "hack" / "digest.py", folder],
                                     capture_output=True, text=True, check=False)
            self.assertEqual(checked.returncode, 0, f"{folder}: {checked.stdout}{checked.stderr}")


class NoGpuTest(GpuCase):

    def refused(self, code, sentence, env, **options):
        run = self.run_story(self.manifest(replicas=1, **options), exit_status=1, env=env)
        self.assertIn(sentence, run.status["conditions"][-1]["message"] + run.tail())
        self.assertEqual(set(run.exited().values()), {code}, run.tail())

    def test_what_is_missing_is_said(self):
        self.refused(75, "there is no NVIDIA driver", {}, transport="auto")
        self.refused(75, "spec.training.transport is nccl, which needs a GPU", {}, device="cpu")
        self.refused(75, "the CUDA module cannot be used", {**GPU, "MUSTER_CUDA_MODULE": "/nowhere.so"})
        self.refused(75, "/nowhere-nccl.so", {**GPU, "MUSTER_NCCL_LIB": "/nowhere-nccl.so"})
        self.refused(73, "matmulTable: /nowhere.table cannot be read", GPU, matmulTable="/nowhere.table")
        (self.folder / "table").write_text("muster products 2\n")
        self.refused(75, "the table of matrix products: line 1", {**GPU, "MUSTER_CUBLASLT_LIB": str(CUBLASLT)},
                     matmulTable=str(self.folder / "table"))
        self.refused(77, "of GPU memory", {**GPU, "MUSTER_STANDIN_GPU_BYTES": str(1 << 30)})

    def test_auto_takes_the_cpu_where_the_installation_has_no_cuda(self):
        # A machine with a GPU and the build of the README, which has no module.
        driver = {"LD_LIBRARY_PATH": GPU["LD_LIBRARY_PATH"]}
        run = self.run_story(self.manifest(replicas=1, device="auto", transport="auto"), env=driver)
        for text in run.logs().values():
            self.assertRegex(text, "computes on cpu .*this installation has no CUDA module")
        self.refused(75, "the CUDA module cannot be used", driver)
        self.refused(75, "the CUDA module cannot be used", {**driver, "MUSTER_CUDA_MODULE": "/nowhere.so"},
                     device="auto")

    def test_auto_takes_the_cpu_where_there_is_no_gpu(self):
        run = self.run_story(self.manifest(replicas=1, device="auto", transport="auto"))
        for text in run.logs().values():
            self.assertIn("computes on cpu", text)


if __name__ == "__main__":
    harness.main()
