"""Parts `bench-124` and `bench-1558`: tokens a second of Muster and of PyTorch in the ways that it has, in turn on one
device; and `train-124`: 500 steps of both on real text."""

import json
import os
import re
import select
import statistics
import subprocess
import sys
import time

import machine
import slots
from programs import ROOT
from results import Failed, Missing, fail_unless, run_or_fail

sys.path.insert(0, str(ROOT / "tests" / "integration"))
COMMITTED = re.compile(r"commit: committed step=(\d+) wallNanoseconds=(\d+)(?: loss=(\S+))?")
# llm.c's test_gpt2.cu, for bfloat16: losses of ten steps.
MOST_LOSS_DIFFERENCE = 0.05
TRAINING = {"weightDecay": 0.1, "clip": 1.0, "seed": 1}
SHAPES = {
    "bench-124": {"layers": 12, "heads": 12, "width": 768, "context": 1024, "vocabulary": 50304, "tokens": 524288,
                  "slots": 8, "learningRate": 6e-4, "warmupSteps": 4},
    "bench-1558": {"layers": 48, "heads": 25, "width": 1600, "context": 1024, "vocabulary": 50304, "tokens": 65536,
                   "slots": 8, "learningRate": 2e-4, "warmupSteps": 4},
    "train-124": {"layers": 12, "heads": 12, "width": 768, "context": 1024, "vocabulary": 50304, "tokens": 32768,
                  "slots": 2, "learningRate": 6e-4, "warmupSteps": 40},
    "stand-in": {"layers": 1, "heads": 1, "width": 16, "context": 16, "vocabulary": 304, "tokens": 64, "slots": 4,
                 "learningRate": 3e-3, "warmupSteps": 2},
}
PEAKS = {"H200": 989e12, "H100": 989e12, "A100": 312e12}  # worker/device/peak.h


def flops_a_token(shape):
    """llm.c's formula and the PaLM paper's (docs/metrics.md)."""
    layers, width, context = shape["layers"], shape["width"], shape["context"]
    parameters = (shape["vocabulary"] + context) * width + layers * (12 * width * width + 13 * width) + 2 * width
    return 6 * parameters + 6 * layers * width * context, 6 * parameters + 12 * layers * width * context


class Peer:
    """gpt_pytorch.py in a process of its own, which keeps what it has compiled while others are measured. One for each
    variant: PyTorch's compiler may take one variant's code for another's, whose shapes are the same."""

    def __init__(self, python, bench, variant):
        self.log = bench.scratch / f"pytorch-{variant}.log"
        self.process = subprocess.Popen(
            [python, str(ROOT / "hack/gpu/gpt_pytorch.py"), "serve", "--shape", json.dumps(bench.peer_shape), "--weights",
             str(bench.weights), "--tokens", str(bench.tokens)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=open(self.log, "w", encoding="utf-8"), bufsize=0, start_new_session=True,
            env={**os.environ, "HF_HUB_OFFLINE": "1", "PYTHONDONTWRITEBYTECODE": "1"})
        self.unread = b""

    def answer(self, seconds):
        end = time.monotonic() + seconds
        while b"\n" not in self.unread:
            left = end - time.monotonic()
            if left <= 0 or not select.select([self.process.stdout], [], [], left)[0]:
                self.stop()
                raise Failed(f"PyTorch did not answer within {seconds:.0f} s; {self.last_words()}")
            read = os.read(self.process.stdout.fileno(), 1 << 20)
            if not read:
                raise Failed(f"PyTorch's process ended; {self.last_words()}")
            self.unread += read
        line, self.unread = self.unread.split(b"\n", 1)
        found = json.loads(line)
        if "failed" in found:
            raise Failed(f"PyTorch: {found['failed']}; {self.last_words()}")
        return found

    def last_words(self):
        return " | ".join(self.log.read_text(errors="replace").splitlines()[-6:])

    def ask(self, command, seconds):
        fail_unless(self.process.poll() is None, f"PyTorch's process has ended; {self.last_words()}")
        self.process.stdin.write((json.dumps(command) + "\n").encode())
        return self.answer(seconds)

    def stop(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()


class Bench:
    """One shape with its weights and tokens, and what was measured of whom."""

    def __init__(self, programs, scratch, part, options, python):
        os.environ["MUSTER_BIN_DIR"], os.environ["MUSTER_SOURCE_DIR"] = str(programs.bin), str(ROOT)
        import harness  # pylint: disable=import-outside-toplevel  # reads where the programs are
        self.harness, self.programs, self.scratch = harness, programs, scratch
        shape = dict(SHAPES["stand-in" if programs.stand_in else part])
        shape["slots"] = options.slots or shape["slots"]
        sequences = shape["tokens"] // shape["context"]
        fail_unless(sequences % shape["slots"] == 0, f"--slots {shape['slots']}: {sequences} sequences a step are no "
                    "whole number for each slot")
        self.shape = {**shape, **TRAINING, "batch": sequences // shape["slots"], "steps": options.steps}
        peer_slots = options.peer_slots or shape["slots"]
        fail_unless(sequences % peer_slots == 0, f"--peer-slots {peer_slots}: {sequences} sequences a step are no whole "
                    "number for each")
        # The same samples a step, however they are cut.
        self.peer_shape = {**self.shape, "slots": peer_slots, "batch": sequences // peer_slots}
        self.options, self.weights, self.tokens = options, None, programs.tokens
        self.speeds, self.losses, self.count, self.peers, self.python = {}, {}, 0, {}, python
        if programs.stand_in:
            self.tokens = scratch / "tokens.bin"

    def write_tokens(self, _):
        import tokens  # pylint: disable=import-outside-toplevel
        if self.programs.stand_in:
            tokens.write_llmc(self.tokens, tokens.encode(tokens.real_text(ROOT, 20000), self.shape["vocabulary"] - 4))
        found = tokens.read_llmc(self.tokens)
        return {"tokens": len(found), "different": len(set(found)), "shape": self.shape,
                "summary": [f"{len(found)} tokens; B = {self.shape['batch']}, M = {self.shape['slots']}, "
                            f"T = {self.shape['context']}"]}

    def write_weights(self, seconds, torch):
        if self.python is None:
            raise Missing(f"PyTorch is not on this machine: {torch}")
        path = self.scratch / "weights.safetensors"
        run_or_fail([self.python, ROOT / "hack/gpu/gpt_pytorch.py", "weights", path, "--shape", json.dumps(self.shape)], seconds)
        self.weights = path
        return {"bytes": path.stat().st_size}

    def manifest(self, reduction, steps, evaluate=0):
        config = {name: self.shape[name] for name in ("layers", "heads", "width", "context", "batch", "vocabulary",
                                                      "learningRate", "warmupSteps", "weightDecay", "clip")}
        program = {"builtin": "gpt", "config": {**config, "device": "cuda"}}
        if self.weights:
            program["weights"] = {"path": str(self.weights)}
        return {"apiVersion": "muster.dev/v1alpha1", "kind": "TrainingJob", "metadata": {"name": "bench"},
                "spec": {"workers": {"replicas": 1}, "program": program,
                         "training": {"steps": steps, "slots": self.shape["slots"], "reduction": reduction,
                                      "transport": "auto", "seed": TRAINING["seed"], "evaluateEverySteps": evaluate},
                         "data": {"path": str(self.tokens), "format": "llmc"},
                         "elasticity": {"heartbeatTimeout": "30s"}}}

    def job(self, manifest, steps, seconds):
        """(commits, run) of a job that is ended by SIGKILL after so many steps: no checkpoint is written, and none is
        measured. commits: {step: (seconds, loss)}."""
        self.count += 1
        folder = self.scratch / f"job-{self.count}"
        folder.mkdir()
        run = self.harness.Run(folder, manifest, env=self.programs.environment)
        ends, memory = time.monotonic() + seconds, None
        try:
            while True:
                commits = commits_of(run)
                if max(commits, default=0) >= steps:
                    return commits, run, memory
                if run.process.poll() is not None:
                    raise Failed(f"muster run ended before step {steps}: {run.tail(8)} {log_tail(run)}")
                if time.monotonic() > ends:
                    raise Failed(f"{max(commits, default=0)} of {steps} steps within {seconds:.0f} s: {log_tail(run)}")
                memory = memory or (machine.used_mib() if len(commits) > 2 else None)
                time.sleep(0.2)
        finally:
            run.stop()

    def muster(self, seconds, reduction):
        """One run: its first losses, which begin at the file's weights, then steps that are timed."""
        warm, timed = self.options.warm, self.options.timed
        commits, run, memory = self.job(self.manifest(reduction, self.shape["steps"]), warm + timed, seconds)
        losses = [commits[step][1] for step in range(1, min(self.options.losses, warm + timed) + 1)]
        fail_unless(None not in losses, "the worker's log has no losses: it is of another version")
        self.losses.setdefault(reduction, losses)
        times = [commits[step][0] - commits[step - 1][0] for step in range(warm + 1, warm + timed + 1)]
        return self.speed(f"Muster {reduction}", times, {"losses": losses, "device": identity(run), "usedMiB": memory,
                                                         "phases": phases(run, warm, warm + timed)})

    def speed(self, who, times, more):
        median = statistics.median(times)
        rate = self.shape["tokens"] / median
        self.speeds.setdefault(who, []).append(rate)
        found = {"stepSeconds": times, "tokensPerSecond": rate, **more}
        line = f"{who}: {rate:,.0f} tokens a second; step {median * 1e3:.1f} ms of {len(times)}"
        peak = next((value for name, value in PEAKS.items() if name in json.dumps(machine.gpus())), None)
        if peak and not self.programs.stand_in:
            found["mfuLlmc"], found["mfuPalm"] = (rate * each / peak for each in flops_a_token(self.shape))
            line += f"; MFU {found['mfuLlmc']:.3f} (llm.c's formula), {found['mfuPalm']:.3f} (PaLM's)"
        return {**found, "summary": [line]}

    def peer(self, variant, seconds):
        """The variant's process, with the file's weights loaded; (peer, seconds of a new one or None)."""
        if variant in self.peers:
            return self.peers[variant], None
        if self.python is None or self.weights is None:
            raise Missing("PyTorch does not run, or there are no weights that both could begin with")
        if not self.options.keep:
            self.stop_peers()
        begin = time.monotonic()
        made = self.peers[variant] = Peer(self.python, self, variant)
        made.answer(seconds)
        made.ask({"variant": variant, "load": True}, max(1.0, seconds - (time.monotonic() - begin)))
        return made, time.monotonic() - begin

    def stop_peers(self):
        while self.peers:
            self.peers.popitem()[1].stop()

    def peer_lane(self, seconds, variant):
        """Loads and compiles where that is not done yet, and makes the first steps: losses to compare, and warm-ups."""
        end = time.monotonic() + seconds
        peer, loading = self.peer(variant, seconds)

        def ask(**command):
            return peer.ask({"variant": variant, **command}, max(1.0, end - time.monotonic()))
        more = {}
        if loading is not None:
            more = {"loadSeconds": loading, **self.compared(ask(losses=self.options.losses)["losses"])}
        warm = self.options.warm - self.options.losses if more else 3
        if warm > 0:
            ask(time=warm)
        found = ask(time=self.options.timed)
        result = self.speed(f"PyTorch {variant}", found["seconds"], {"peakMiB": found["peakMiB"], **more})
        if more.get("largestDifference"):
            result["summary"].append("losses part by at most " + ", ".join(
                f"{value:.4f} from {name}'s" for name, value in more["largestDifference"].items()))
            worst = max(more["largestDifference"].values())
            fail_unless(worst < MOST_LOSS_DIFFERENCE,
                        f"losses part by {worst:.4f}, allowed is {MOST_LOSS_DIFFERENCE}: {json.dumps(result)}")
        return result

    def compared(self, losses):
        return {"losses": losses, "largestDifference": {
            name: max(abs(a - b) for a, b in zip(known, losses)) for name, known in self.losses.items()}}

    def verdict(self, _):
        """Ratios of the medians of all rounds; nothing where one side is missing."""
        rates = {who: statistics.median(each) for who, each in self.speeds.items()}
        fail_unless(rates, "nothing was measured")
        best = max((who for who in rates if who.startswith("PyTorch")), key=rates.get, default=None)
        lines = [f"{who}: {rate:,.0f} tokens a second (rounds: {len(self.speeds[who])})" for who, rate in rates.items()]
        ratios = {}
        if best and "Muster Float" in rates:
            ratios["floatOverBest"] = rates["Muster Float"] / rates[best]
            lines.append(f"Float over the best PyTorch ({best}): {ratios['floatOverBest']:.3f} (goal 1.00)")
        for reduction in ("Exact32", "Exact64"):
            if {"Muster Float", f"Muster {reduction}"} <= set(rates):
                ratios[f"{reduction}OverFloat"] = rates[f"Muster {reduction}"] / rates["Muster Float"]
                lines.append(f"{reduction} over Float: {ratios[f'{reduction}OverFloat']:.3f}"
                             + (" (goal 0.97)" if reduction == "Exact32" else ""))
        return {"tokensPerSecond": rates, "best": best, **ratios, "summary": lines}


def commits_of(run):
    found = {}
    for text in run.logs().values():
        for step, at, loss in COMMITTED.findall(text):
            found[int(step)] = (int(at) * 1e-9, float(loss) if loss else None)
    return found


def identity(run):
    found = re.search(r"computes on (.*)", "\n".join(run.logs().values()))
    return found.group(1) if found else None


def log_tail(run):
    return " | ".join(line for text in run.logs().values() for line in text.splitlines()[-6:])


def phases(run, first, last):
    """Medians over these steps: until the last slot was computed, until the sums were reduced, until the commit."""
    import kills  # pylint: disable=import-outside-toplevel,unused-import  # puts hack/lib on the path
    import worker_logs  # pylint: disable=import-outside-toplevel
    worker = worker_logs.read_workers(run.state_dir)[0]
    steps = [step for step in range(first + 1, last + 1) if step in worker.reduced and worker.slots.get(step)
             and worker.interval(step) is not None]
    if not steps:
        return None
    parts = {"slots": [worker.last_slot(step) - worker.commits[step - 1] for step in steps],
             "reduce": [worker.reduced[step] - worker.last_slot(step) for step in steps],
             "apply": [worker.commits[step] - worker.reduced[step] for step in steps]}
    return {name: statistics.median(values) for name, values in parts.items()}


def first_steps(results, bench):
    """Tokens, and weights that both begin with; without PyTorch Muster begins with its own."""
    results.run("tokens", bench.write_tokens, most=120)
    results.run("weights", bench.write_weights, results.head["torch"], most=180)


def run(results, bench):
    """Lanes in turn, so that a device that grows warm or is shared disturbs all alike: A, B, A."""
    first_steps(results, bench)
    step = bench.shape["tokens"] / (400e3 if bench.shape["layers"] < 20 else 40e3)  # seconds, as somebody else's GPUs need
    count, small = bench.options.warm + bench.options.timed, bench.programs.stand_in
    try:
        for number, lane in enumerate(bench.options.lanes):
            if lane in ("Float", "Exact32", "Exact64"):
                results.run(f"{number + 1}: Muster {lane}", bench.muster, lane, needs=0 if small else 15 + count * step,
                            most=240)
            else:
                compiling = 0 if lane in bench.peers or small else 50
                results.run(f"{number + 1}: PyTorch {lane}", bench.peer_lane, lane,
                            needs=0 if small else compiling + bench.options.timed * step, most=360)
    finally:
        bench.stop_peers()
    results.run("verdict", bench.verdict, needs=-1e9)
    results.run("a slot alone", slots.alone, bench, needs=0 if small else 15, most=60)
    if not small:
        results.run("kernels of a slot", slots.kernels_of_a_slot, bench, needs=20, most=150)


def train(results, bench):
    """The same steps by both, and the held-out loss as it falls."""
    first_steps(results, bench)
    try:
        results.run("Muster Exact32 trains", train_muster, bench, needs=5, most=300)
        results.run("PyTorch trains", train_peer, bench, "eager" if bench.programs.stand_in else "b", needs=5, most=300)
        results.run("both beside each other", compare_training, results, needs=-1e9)
    finally:
        bench.stop_peers()


def every(bench):
    return max(1, bench.shape["steps"] // 5)


def train_muster(seconds, bench):
    folder = bench.scratch / "train"
    folder.mkdir()
    run_ = bench.harness.Run(folder, bench.manifest("Exact32", bench.shape["steps"], every(bench)),
                             env=bench.programs.environment)
    try:
        run_.finish(seconds)
    finally:
        run_.stop()
    fail_unless(run_.exit == 0, f"muster run ended with exit status {run_.exit}: {run_.tail(8)} {log_tail(run_)}")
    commits = commits_of(run_)
    held_out = {int(step): float(loss) for step, loss in
                re.findall(r"step (\d+): held-out loss ([0-9.]+)", "\n".join(run_.lines))}
    held_out[bench.shape["steps"]] = float(run_.status["result"]["heldOutLoss"])
    losses = [commits[step][1] for step in sorted(commits)]
    return {"losses": losses, "heldOut": held_out, "device": identity(run_), "digest": run_.digest,
            "seconds": run_.wall_seconds, "summary": [told(losses, held_out)]}


def train_peer(seconds, bench, variant):
    end = time.monotonic() + seconds
    peer, _ = bench.peer(variant, seconds)
    steps = bench.shape["steps"]
    at = sorted({*range(every(bench), steps + 1, every(bench)), steps})
    found = peer.ask({"variant": variant, "train": steps, "heldOutAt": at}, max(1, end - time.monotonic()))
    return {**found, "summary": [told(found["losses"], found["heldOut"])]}


def told(losses, held_out):
    return (f"loss {losses[0]:.4f} ... {losses[-1]:.4f}; held out "
            + ", ".join(f"{step}: {loss:.4f}" for step, loss in held_out.items()))


def compare_training(_, results):
    mine, theirs = results.found("Muster Exact32 trains"), results.found("PyTorch trains")
    if mine is None or theirs is None:
        raise Missing("one of the two did not train")
    last = max(1, len(mine["losses"]) // 10)
    means = [statistics.mean(found["losses"][-last:]) for found in (mine, theirs)]
    ends = [list(found["heldOut"].values())[-1] for found in (mine, theirs)]
    fail_unless(abs(ends[0] - ends[1]) < MOST_LOSS_DIFFERENCE, f"held-out losses at the end: {ends}")
    return {"lastLosses": means, "heldOut": ends, "summary": [
        f"mean loss of the last {last} steps: {means[0]:.4f} and PyTorch's {means[1]:.4f}; held out: {ends[0]:.4f} and "
        f"{ends[1]:.4f}"]}
