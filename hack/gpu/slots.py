"""One slot by itself (tests/bench/slot_bench.cc): what computing takes without the job around it, and under NVIDIA's
profiler which kernel takes what, beside what the device could do."""

import collections
import csv
import glob
import io
import json
import shutil

from results import Failed, Missing, fail_unless, run_or_fail

KINDS = ("none", "float", "int32", "int64")
TIME, BYTES = "gpu__time_duration.sum", "dram__bytes.sum"
MEMORY, COMPUTE = (f"{unit}__throughput.avg.pct_of_peak_sustained_elapsed" for unit in ("dram", "sm"))
LISTED = 15


def command(bench, sums, warm, repeats):
    shape = {name: bench.shape[name] for name in ("layers", "heads", "width", "context", "batch", "vocabulary")}
    shape.update(sums=sums, warm=warm, repeats=repeats,
                 products="cublaslt" if "MUSTER_CUBLASLT_LIB" in bench.programs.environment else "own")
    program = bench.programs.bin / "slot_bench"
    fail_unless(program.exists(), f"there is no {program}")
    return [program, *(str(word) for name, value in shape.items() for word in (f"--{name}", value))]


def alone(seconds, bench):
    """Tokens a second of slots alone, with nothing done to their gradients and with each kind of sums."""
    found = {}
    for sums in KINDS:
        said = run_or_fail(command(bench, sums, *((1, 2) if bench.programs.stand_in else (3, 10))), seconds / len(KINDS),
                           bench.programs.child_environment())
        found[sums] = json.loads(said.splitlines()[-1])
    return {**found, "summary": [f"{sums}: {each['tokensPerSecond']:,.0f} tokens a second (cuBLASLt {each['cublasLt']})"
                                 for sums, each in found.items()]}


def table(text):
    """Rows of what ncu printed as CSV: one a kernel, the one that takes most first."""
    begin = text.find('"ID"')
    fail_unless(begin >= 0, f"ncu printed no table: {text[-800:]}")
    kernels = collections.defaultdict(lambda: {"launches": 0, "ns": 0.0, "bytes": 0.0, "memory": 0.0, "compute": 0.0})
    launches = collections.defaultdict(dict)
    for row in csv.DictReader(io.StringIO(text[begin:])):
        if row.get("Metric Name"):
            launches[row["ID"], row["Kernel Name"]][row["Metric Name"]] = float(row["Metric Value"].replace(",", ""))
    for (_, name), metrics in launches.items():
        fail_unless(TIME in metrics, f"ncu gave no {TIME} for {name}")
        each, ns = kernels[name.split("(")[0][:90]], metrics[TIME]
        each["launches"] += 1
        each["ns"] += ns
        each["bytes"] += metrics.get(BYTES, 0)
        # Means over time, so that a long launch counts for what it takes.
        each["memory"] += ns * metrics.get(MEMORY, 0)
        each["compute"] += ns * metrics.get(COMPUTE, 0)
    whole = sum(each["ns"] for each in kernels.values())
    fail_unless(whole > 0, "ncu saw no kernel")
    return [{"kernel": name, "launches": each["launches"], "milliseconds": each["ns"] / 1e6, "share": each["ns"] / whole,
             "GBs": each["bytes"] / each["ns"], "percentOfMemory": each["memory"] / each["ns"],
             "percentOfCompute": each["compute"] / each["ns"]}
            for name, each in sorted(kernels.items(), key=lambda item: -item[1]["ns"])]


def kernels_of_a_slot(seconds, bench):
    profiler = shutil.which("ncu") or next(iter(sorted(glob.glob("/usr/local/cuda*/bin/ncu")
                                                       + glob.glob("/opt/nvidia/nsight-compute/*/ncu"))), None)
    if profiler is None:
        raise Missing("ncu (Nsight Compute) is not on this machine")
    said = run_or_fail([profiler, "--csv", "--print-units", "base", "--clock-control", "none", "--metrics",
                        ",".join((TIME, BYTES, MEMORY, COMPUTE)), *command(bench, "int32", 0, 1)], seconds,
                       bench.programs.child_environment())
    rows = table(said)
    if len(rows) < 3:
        raise Failed(f"ncu saw only {len(rows)} kernels: {said[-800:]}")
    return {"kernels": rows, "summary": [
        f"{row['share']:6.1%} {row['milliseconds']:9.3f} ms {row['launches']:5d} x  memory {row['percentOfMemory']:5.1f} %  "
        f"compute {row['percentOfCompute']:5.1f} %  {row['kernel']}" for row in rows[:LISTED]]}
