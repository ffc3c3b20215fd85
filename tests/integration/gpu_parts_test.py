"""What `hack/dev gpu` runs where there is a GPU, on the emulator and NCCL's stand-in with tiny shapes: that each part goes
through, says what it found and notices what is wrong. No figure of it means anything."""

import json
import os
import subprocess
import sys

import harness

ROOT = harness.SOURCE
sys.path.insert(0, str(ROOT / "hack" / "gpu"))
import order  # noqa: E402
import slots  # noqa: E402
import tokens  # noqa: E402

BUILD = harness.BIN.parent
ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith("MUSTER_")}


class PartsCase(harness.StoryCase):

    def part(self, name, *arguments, bundle=BUILD, exit_status=0):
        """(document, text) of a part."""
        out = self.folder / "out"
        done = subprocess.run([sys.executable, str(ROOT / "hack/gpu/main.py"), name, "--stand-in", "--bundle", str(bundle),
                               "--out", str(out), "--seconds", "150", *arguments], capture_output=True, text=True,
                              timeout=170, env=ENVIRONMENT, check=False)
        self.assertIn(done.returncode, exit_status if isinstance(exit_status, tuple) else (exit_status,),
                      done.stdout[-4000:] + done.stderr[-4000:])
        return json.loads((out / f"{name}.json").read_text()), (out / f"{name}.txt").read_text()

    def states(self, document):
        return {step["step"]: step["state"] for step in document["steps"]}


class DeviceTest(PartsCase):

    def test_tests(self):
        document, text = self.part("tests")
        self.assertEqual(set(self.states(document).values()), {"done"}, text)
        found = {step["step"]: step["found"] for step in document["steps"]}
        self.assertGreater(len(found["kernels on the device"]["held"]), 10)
        self.assertIn("CudaGptSlotTest.WithDropoutToo", found["slots of a GPT on the device"]["held"])
        self.assertEqual({line["type"] for line in found["sums of 3 ranks on one GPU"]["lines"] if "type" in line},
                         {"int32", "int64", "float"})
        self.assertIn("of a stand-in", document["figures"])

    def test_a_sum_that_is_not_to_be_had_is_a_failure_and_the_next_step_runs(self):
        # A library that adds, and hangs in the first collective of rank 0.
        ENVIRONMENT["MUSTER_STANDIN_NCCL_HANG_COLLECTIVE"] = "1@0"
        self.addCleanup(ENVIRONMENT.pop, "MUSTER_STANDIN_NCCL_HANG_COLLECTIVE")
        document, text = self.part("tests", "--only", "sums of 2|sums of 3", "--seconds", "40", exit_status=1)
        self.assertEqual(len(document["steps"]), 2)
        self.assertEqual(set(self.states(document).values()), {"failed"}, text)
        self.assertTrue(all(step["why"] for step in document["steps"]))

    def test_what_is_not_there_is_said(self):
        empty = self.folder / "empty"
        empty.mkdir()
        document, _ = self.part("tests", bundle=empty, exit_status=1)
        self.assertIn("hack/dev gpu bundle", document["steps"][0]["why"])
        document, _ = self.part("bench-124", "--slots", "3", exit_status=1)
        self.assertIn("--slots 3", document["steps"][0]["why"])


class KillsTest(PartsCase):

    def test_kills(self):
        document, text = self.part("kills", "--only", "members: |in reduce|state transfer|coordinator")
        self.assertEqual(set(self.states(document).values()), {"done"}, text)
        digests = {step["found"]["digest"] for step in document["steps"] if "digest" in step["found"]}
        self.assertEqual(len(digests), 1)
        killed = next(step["found"] for step in document["steps"] if step["step"].endswith("SIGKILL in reduce"))
        self.assertEqual(killed["survivors"], ["0.0", "2.0"])
        self.assertGreater(killed["costs"][0]["interruptedStep"], 0)


class BenchTest(PartsCase):

    def test_bench_without_pytorch_still_measures_muster(self):
        document, text = self.part("bench-124", "--lanes", "Float,Exact32,Float", exit_status=(0, 2))
        states = self.states(document)
        for name in ("1: Muster Float", "2: Muster Exact32", "3: Muster Float", "verdict"):
            self.assertEqual(states[name], "done", text)
        found = next(step["found"] for step in document["steps"] if step["step"] == "1: Muster Float")
        self.assertEqual((len(found["stepSeconds"]), len(found["losses"])), (3, 5))
        self.assertGreater(found["losses"][0], found["losses"][-1])
        self.assertEqual(set(found["phases"]), {"slots", "reduce", "apply"})
        alone = next(step["found"] for step in document["steps"] if step["step"] == "a slot alone")
        self.assertTrue(all(alone[kind]["tokensPerSecond"] > 0 for kind in ("none", "float", "int32", "int64")))

    def test_a_table_of_kernels_is_made_of_what_ncu_prints(self):
        head = '"ID","Process ID","Kernel Name","Metric Name","Metric Unit","Metric Value"\n'
        rows = [(0, "fast(int *)", 100, 1000, 50), (1, "slow(float)", 300, 600, 10), (2, "fast(int *)", 300, 200, 90)]
        lines = [f'"{number}","7","{name}","{metric}","base","{value:,}"\n' for number, name, ns, size, share in rows
                 for metric, value in ((slots.TIME, ns), (slots.BYTES, size), (slots.MEMORY, share), (slots.COMPUTE, 1))]
        first, second = slots.table("==PROF== Connected\n{}\n" + head + "".join(lines))
        self.assertEqual((first["kernel"], first["launches"], first["share"]), ("fast", 2, 400 / 700))
        self.assertEqual((first["GBs"], first["percentOfMemory"]), (1200 / 400, (100 * 50 + 300 * 90) / 400))
        self.assertEqual((second["kernel"], second["percentOfCompute"]), ("slow", 1))
        with self.assertRaisesRegex(Exception, "no table"):
            slots.table("==ERROR== it cannot be profiled")

    def test_a_run_that_has_no_time_left_says_so(self):
        document, text = self.part("bench-124", "--lanes", "Float", "--seconds", "5", exit_status=(1, 2))
        self.assertTrue(any(step["state"] != "done" for step in document["steps"]), text)


class PeerTest(PartsCase):
    """What PyTorch is given: the same samples and learning rates. Losses are compared where there is a PyTorch."""

    def test_samples_and_learning_rates_are_musters(self):
        path = self.folder / "tokens.bin"
        tokens.write_llmc(path, tokens.encode(tokens.real_text(ROOT, 3000), 300))
        manifest = harness.gpt_job(path, replicas=1, slots=4, steps=90)
        manifest["spec"]["data"]["format"] = "llmc"
        config = manifest["spec"]["program"]["config"]
        config.update(layers=1, heads=1, width=8, context=16, vocabulary=300, batch=8, warmupSteps=7, learningRate=0.01)
        run = self.run_story(manifest)
        windows = order.Windows(tokens.read_llmc(path), 16, 1, 4, 8)
        self.assertGreater(90 * 4 * 8, windows.samples, "more than one data epoch")
        for line in run.audit():
            for slot in line["slots"]:
                self.assertEqual(windows.starts(line["step"], slot["slot"]), slot["samples"])
        steps = [json.loads(line) for line in (run.state_dir / "checkpoints/steps.jsonl").read_text().splitlines()]
        for line in steps:
            self.assertAlmostEqual(order.learning_rate(line["step"], 90, 0.01, 7), line["learningRate"], delta=1e-12)

    def test_tokens_are_whole(self):
        text = tokens.real_text(ROOT, 5000) + " é 漢\n"
        found = tokens.encode(text, 400)
        self.assertLess(max(found), 400)
        ranked = tokens.encode(text, 256)
        self.assertEqual(bytes(list(ranked)).decode("utf-8"), text)
        self.assertLess(len(found), len(ranked))
        tokens.write_llmc(self.folder / "t.bin", found)
        self.assertEqual(tokens.read_llmc(self.folder / "t.bin"), found)
        (self.folder / "t.bin").write_bytes((self.folder / "t.bin").read_bytes()[:-2])
        with self.assertRaisesRegex(ValueError, "no llmc file"):
            tokens.read_llmc(self.folder / "t.bin")


if __name__ == "__main__":
    harness.main()
