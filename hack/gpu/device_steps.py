"""Part `tests`: the module's own tests on the device, and what NCCL does that no machine without a GPU can show."""

import json
import os
import pathlib
import shutil
import time

from results import Failed, Missing, bounded, fail_unless, run_or_fail, tail

# What takes minutes in an emulator, or is of a GPU or of NVIDIA's libraries alone.
NOT_ON_STAND_IN = ("*MoreElementsThanTheGrid*", "*HeadsOfGpt2*", "*ForOtherShapes*", "*FoldsVectors*", "*MeansOfAllKinds*",
                   "*RowsOfEveryShape*", "*SaysWhatItIs", "*WithTheProductsOfCublasLt")
EMULATOR_ALONE = "of the emulator alone"  # tests/worker/cuda/tested_module.h
LAUNCHED, SLOTS = "worker_cuda_launched_test", "worker_cuda_gpt_test"
WITHOUT_CUMEM = {"NCCL_CUMEM_ENABLE": "0", "NCCL_CUMEM_HOST_ENABLE": "0"}


def named_tests(path, wanted, environment):
    said = run_or_fail([path, "--gtest_list_tests", f"--gtest_filter={wanted}"], 30, environment)
    suite, names = "", []
    for line in said.splitlines():
        if line.startswith("  "):
            names.append(suite + line.split("#")[0].strip())
        elif line.endswith("."):
            suite = line
    return names


def one_test(path, name, seconds, environment, before):
    """("OK" | "SKIPPED" | "FAILED", why): in a process of its own, since a fault of a device is the process's for ever."""
    try:
        status, out = bounded([*before, path, f"--gtest_filter={name}"], seconds, environment)
    except Failed as failure:
        return "FAILED", str(failure)
    if status != 0 or ("[       OK ]" not in out and "[  SKIPPED ]" not in out):
        return "FAILED", f"exit status {status}: {tail(out)}"
    if "[  SKIPPED ]" not in out:
        return "OK", ""
    if EMULATOR_ALONE not in out:
        return "FAILED", f"skipped for another reason than that it is {EMULATOR_ALONE}: {tail(out)}"
    return "SKIPPED", ""


def gtest(seconds, programs, program, wanted, before=()):
    """Which of a test program's tests held on the module; fails with what was said where one did not."""
    path = programs.tests / program
    fail_unless(path.exists(), f"there is no {path}")
    ends = time.monotonic() + seconds
    environment = programs.child_environment(MUSTER_TEST_CUDA_MODULE=programs.environment["MUSTER_CUDA_MODULE"])
    excluded = ":".join(NOT_ON_STAND_IN) if programs.stand_in else ""
    states, why = {}, []
    for name in named_tests(path, f"{wanted}-{excluded}", environment):
        left = ends - time.monotonic()
        state, said = one_test(path, name, min(left, 60), environment, before) if left > 1 else ("FAILED", "no time was left for it")
        states[name] = state
        if state == "FAILED":
            why.append(f"{name}: {said}")
    held, skipped = [[name for name in states if states[name] == state] for state in ("OK", "SKIPPED")]
    if why:
        raise Failed(f"{len(why)} of {len(states)} failed, {len(held)} held\n" + "\n".join(why)[:6000])
    fail_unless(held, f"{program} ran no test for {wanted}")
    summary = [f"{len(held)} tests held, {len(skipped)} are {EMULATOR_ALONE}"]
    if excluded:
        summary.append("left out on a stand-in: " + excluded)
    return {"held": held, "skipped": skipped, "summary": summary}


def sanitised(seconds, programs, tool, program, wanted):
    checker = shutil.which("compute-sanitizer") or next(
        (str(path) for path in pathlib.Path("/usr/local").glob("cuda*/bin/compute-sanitizer")), None)
    if checker is None:
        raise Missing("compute-sanitizer is not on this machine")
    return gtest(seconds, programs, program, wanted,
                 [checker, "--tool", tool, "--error-exitcode", "9", "--print-limit", "20"])


class Nccl:
    """nccl_bench, with the settings of the recipe that an init succeeded with."""

    def __init__(self, programs):
        self.programs, self.extra = programs, {}

    def ask(self, seconds, mode, *options, **environment):
        """Its lines, as dictionaries."""
        if "MUSTER_NCCL_LIB" not in self.programs.environment:
            raise Missing("there is no libnccl.so.2 on this machine")
        limit = 8 if self.programs.stand_in else max(15, min(30, seconds / 3))
        status, out = bounded([self.programs.bin / "nccl_bench", mode, "--limit", f"{limit:.0f}", *options], seconds,
                              self.programs.child_environment(NCCL_DEBUG=os.environ.get("NCCL_DEBUG", "WARN"),
                                                              **self.extra, **environment))
        lines = [json.loads(line) for line in out.splitlines() if line.startswith("{")]
        failed = [line for line in lines if "failed" in line]
        if status != 0 or failed:
            raise Failed(f"{mode} {' '.join(options)}: exit status {status}; {failed}; {tail(out, 20)}")
        return lines

    def sums(self, seconds, ranks):
        most = "65536" if self.programs.stand_in else str(64 << 20)
        options = ("--ranks", str(ranks), "--most-bytes", most)
        tried = "as the recipe is"
        try:
            lines = self.ask(seconds / 2, "sums", *options)
        except Failed as failure:
            if self.extra or self.programs.stand_in:
                raise
            tried = f"without CUDA's virtual memory, because before: {failure}"
            self.extra = WITHOUT_CUMEM
            lines = self.ask(seconds / 2, "sums", *options)
        sizes = [line for line in lines if "bytes" in line]
        last = sizes[-1]
        return {"lines": lines, "tried": tried, "summary": [
            f"{ranks} ranks, NCCL {lines[0].get('nccl')}: {len(sizes)} sums verified ({tried[:40]}); "
            f"{last['bytes']} bytes of {last['type']}: {last['medianSeconds'] * 1e3:.2f} ms, busbw {last['busGBs']} GB/s "
            "(of sockets and time slices)"]}

    def rebuilds(self, seconds, ranks, count):
        lines = self.ask(seconds, "rebuilds", "--ranks", str(ranks), "--count", str(count))
        return {"lines": lines, "summary": [growth(lines, "rebuild"), spread(lines, "installSeconds"),
                                            spread(lines, "quietSeconds")]}

    def failed_inits(self, seconds, ranks, count, connect):
        wait = 0.1 if self.programs.stand_in else 2
        lines = self.ask(seconds, "failed", "--ranks", str(ranks), "--count", str(count), "--init-seconds", str(wait),
                         NCCL_RUNTIME_CONNECT=connect)
        return {"lines": lines, "summary": [growth(lines, "failedInit"), spread(lines, "quietSeconds")]}

    def aborts(self, seconds, ranks):
        options = ("--queue-bytes", "65536", "--queue-seconds", "0.02") if self.programs.stand_in else ()
        lines = self.ask(seconds, "aborts", "--ranks", str(ranks), *options)
        told = [f"{line['queuedSeconds']:.2f} s queued: quiet after {line['abortToQuietSeconds']:.3f} s"
                for line in lines if "abortToQuietSeconds" in line and line["rank"] == 0]
        return {"lines": lines, "summary": told}

    def killed(self, seconds, mode, ranks, count, connect="0"):
        most = "65536" if self.programs.stand_in else str(16 << 20)
        lines = self.ask(seconds, mode, "--ranks", str(ranks), "--count", str(count), "--most-bytes", most,
                         NCCL_RUNTIME_CONNECT=connect)
        return {"lines": lines, "summary": [spread(lines, name) for name in
                                            ("toldSeconds", "quietSeconds", "installSeconds", "killToSumSeconds")]}


def growth(lines, number):
    """What one of rank 0's processes has more after the last than after the second."""
    mine = [line for line in lines if line.get("rank") == 0 and number in line]
    first, last = mine[min(1, len(mine) - 1)], mine[-1]
    times = max(1, last[number] - first[number])
    parts = [f"{name} {(last[name] - first[name]) / times:+.2f}" for name in ("fds", "threads")]
    if first["freeBytes"] >= 0:
        parts.append(f"device memory {(first['freeBytes'] - last['freeBytes']) / times / 2**20:+.3f} MiB (all processes')")
    return f"each of {times}: {', '.join(parts)}"


def spread(lines, name):
    values = sorted(line[name] for line in lines if name in line)
    return f"{name}: median {values[len(values) // 2]:.4f}, most {values[-1]:.4f} of {len(values)}" if values else name


def run(results, programs):
    small = programs.stand_in
    nccl = Nccl(programs)
    results.run("kernels on the device", gtest, programs, LAUNCHED, "*", needs=10, most=120)
    results.run("slots of a GPT on the device", gtest, programs, SLOTS, "CudaGptSlotTest.*", needs=10, most=120)
    for ranks in (2, 3, 4):
        results.run(f"sums of {ranks} ranks on one GPU", nccl.sums, ranks, needs=10, most=80)
    count = 3 if small else 20
    results.run("rebuilds in live processes", nccl.rebuilds, 2, count, needs=10, most=90)
    for connect, times in (("0", count),) if small else (("0", count), ("1", 5)):
        results.run(f"failed inits, NCCL_RUNTIME_CONNECT={connect}", nccl.failed_inits, 2, times, connect, needs=10, most=100)
    results.run("abort against queued kernels", nccl.aborts, 2, needs=10, most=60)
    for ranks in (2, 3) if small else (2, 3, 4):
        results.run(f"one of {ranks} killed in a sum", nccl.killed, "killed", ranks, 1 if small else 3, needs=10, most=60)
    for connect in ("0",) if small else ("0", "1"):
        results.run(f"one of 3 killed in an init, NCCL_RUNTIME_CONNECT={connect}", nccl.killed, "killed-init", 3,
                    1 if small else 3, connect, needs=10, most=60)
    if small:
        return
    slots = "CudaGptSlotTest.LossAndGradients*:CudaGptSlotTest.WithDropoutToo"
    kernels = "LaunchedAdamWTest.UpdatesEdges*:LaunchedFixedPointTest.AddsGradientsOfEveryShape*:LaunchedNormTest.Edges*"
    for tool in ("memcheck", "racecheck"):
        results.run(f"compute-sanitizer {tool}: a slot", sanitised, programs, tool, SLOTS, slots, needs=20, most=100)
        results.run(f"compute-sanitizer {tool}: kernels", sanitised, programs, tool, LAUNCHED, kernels, needs=20, most=100)
