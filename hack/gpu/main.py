#!/usr/bin/env python3
"""Muster on a GPU: one part of what docs/gpu.md has to be shown, in a bounded time, into a folder.

usage: hack/dev gpu bundle [--out FOLDER] [--text FOLDER]
       hack/dev gpu tests|kills|bench-124|bench-1558|train-124 [--out FOLDER] [--bundle FOLDER|FILE] [OPTIONS]

  bundle      builds preset cuda here, where no GPU is needed, and packs what a machine with one needs: a folder and
              FOLDER.tar.xz, either of which --bundle takes (default build/gpu/bundle)
  tests       the module's tests on the device, compute-sanitizer, several ranks on one GPU, rebuilds, failed inits, aborts
  kills       jobs of 1 to 4 members that share the GPU, with faults in every phase; state transfer; times of a loss
  bench-124   tokens a second of GPT-2 124M beside PyTorch, 524,288 tokens a step
  bench-1558  the same of 1558M, 65,536 tokens a step
  train-124   500 steps of 124M on real text beside PyTorch, with the held-out loss

Each writes PART.json and PART.txt into --out (default build/gpu/results), again after every step, and PART-logs.tar.gz. What
the machine lacks (PyTorch, NCCL, compute-sanitizer) is said there, and the rest runs. Exit status: 0 everything ran and held,
1 something failed, 2 nothing failed and not everything ran.
"""

import argparse
import os
import pathlib
import re
import shlex
import shutil
import signal
import sys
import tarfile
import tempfile
import time

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import bench  # noqa: E402
import device_steps  # noqa: E402
import kills  # noqa: E402
import machine  # noqa: E402
import programs  # noqa: E402
from results import Failed, Results  # noqa: E402

PARTS = ("tests", "kills", "bench-124", "bench-1558", "train-124")
LANES = {"bench-124": "Float,b,Exact32,Float,c,b,Exact64,d,a,Float",
         "bench-1558": "Float,b,Exact32,Float,c,Exact64,d,a", "train-124": "", "tests": "", "kills": ""}
REDUCTIONS = {"Float", "Exact32", "Exact64"}
VARIANTS = {"a", "b", "c", "d", "eager"}
LOG_BYTES = 12 << 20


def read_options(arguments):
    parser = argparse.ArgumentParser(prog="hack/dev gpu", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=("bundle", *PARTS))
    parser.add_argument("--out", type=pathlib.Path, help="results, or the bundle")
    parser.add_argument("--bundle", type=pathlib.Path, default=programs.ROOT / "build/gpu/bundle",
                        help="programs and data (default build/gpu/bundle)")
    parser.add_argument("--seconds", type=float, default=570, help="of the whole part (default 570)")
    parser.add_argument("--stand-in", action="store_true",
                        help="on the emulator and NCCL's stand-in, with tiny shapes: shows that the part works, and no figure")
    parser.add_argument("--only", type=re.compile, metavar="PATTERN", help="only the steps in whose name it is found")
    parser.add_argument("--slots", type=int, help="M of the bench parts (default 8; B follows)")
    parser.add_argument("--peer-slots", type=int, help="micro-batches of a step in PyTorch (default: as many as --slots)")
    parser.add_argument("--lanes", help="who is measured, in this order: Float, Exact32, Exact64, a, b, c, d")
    parser.add_argument("--warm", type=int, help="steps before those that are timed (default 20; 1558M: 3)")
    parser.add_argument("--timed", type=int, help="steps that are timed in each round (default 20; 1558M: 10)")
    parser.add_argument("--text", type=pathlib.Path, help="bundle: a folder of text in place of the usual one")
    options = parser.parse_args(arguments)
    large = options.part == "bench-1558"
    short = options.stand_in
    options.warm = options.warm if options.warm is not None else 2 if short else 3 if large else 20
    options.timed = options.timed if options.timed is not None else 3 if short else 10 if large else 20
    # One schedule for all, so that every run's first steps are the same ones.
    options.steps = (12 if short else 500) if options.part == "train-124" else 100000
    options.losses = 5 if short else 10
    options.keep = not large
    lanes = options.lanes or ("Float,eager,Exact32,Float,eager" if short and options.part.startswith("bench") else
                              LANES.get(options.part, ""))
    options.lanes = [lane for lane in lanes.split(",") if lane]
    for lane in options.lanes:
        if lane not in REDUCTIONS | VARIANTS:
            parser.error(f"--lanes: '{lane}' is not one of {', '.join(sorted(REDUCTIONS | VARIANTS))}")
    for name, least in (("warm", 0), ("timed", 1), ("seconds", 5), ("slots", 1), ("peer_slots", 1)):
        if getattr(options, name) is not None and getattr(options, name) < least:
            parser.error(f"--{name.replace('_', '-')} {getattr(options, name)}: at least {least} is allowed")
    return options


def keep_logs(scratch, path):
    """What the processes wrote, as far as it fits: the newest first."""
    files = [file for pattern in ("*.log", "*.jsonl") for file in pathlib.Path(scratch).rglob(pattern) if file.is_file()]
    room = LOG_BYTES
    with tarfile.open(path, "w:gz") as tar:
        for file in sorted(files, key=lambda file: -file.stat().st_mtime):
            room -= file.stat().st_size
            if room >= 0:
                tar.add(file, arcname=str(file.relative_to(scratch)))


def run_part(options, scratch):
    began = time.monotonic()
    python, torch = machine.python_with_torch()
    found = machine.libraries(python)
    part, out = options.part, options.out or programs.ROOT / "build/gpu/results"
    head = machine.about(shlex.join(["hack/dev", "gpu", *sys.argv[1:]]), options.stand_in, torch, found)
    results = Results(part, out, head, options.seconds - (time.monotonic() - began), say, options.only)
    # What is asked to end writes down what it has.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        folder = programs.opened_bundle(options.bundle, scratch / "bundle")
        readme = folder / "README"
        results.head["programs"] = readme.read_text().strip() if readme.exists() else str(folder)
        known = programs.Programs(folder, options.stand_in, found)
        if part == "tests":
            device_steps.run(results, known)
        elif part == "kills":
            kills.run(results, known, scratch)
        else:
            each = bench.Bench(known, scratch, part, options, python)
            (bench.train if part == "train-124" else bench.run)(results, each)
    except Failed as failure:
        results.run("start", refuse, str(failure), needs=-1000)
    finally:
        status = results.finish()
        keep_logs(scratch, out / f"{part}-logs.tar.gz")
    return status


def say(line):
    print(line, flush=True)


def refuse(_, sentence):
    raise Failed(sentence)


def main(arguments):
    options = read_options(arguments)
    if options.part == "bundle":
        try:
            for line in programs.make_bundle(programs.ROOT / "build/cuda", options.out or options.bundle, options.text):
                print(line)
        except (Failed, OSError) as failure:
            print(f"muster: {failure}", file=sys.stderr)
            return 1
        return 0
    scratch = pathlib.Path(tempfile.mkdtemp(prefix="muster-gpu-", dir=os.environ.get("MUSTER_GPU_SCRATCH")))
    try:
        return run_part(options, scratch)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
