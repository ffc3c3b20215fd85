"""Part `kills`: jobs of 1 to 4 members that share the GPU, with faults in every phase: one digest, survivors that are the
processes they were, and what a fault cost them."""

import os
import pathlib
import statistics
import sys

import tokens
from results import Failed, fail_unless
from programs import ROOT

sys.path.insert(0, str(ROOT / "tests" / "integration"))
sys.path.insert(0, str(ROOT / "hack" / "lib"))
import worker_logs  # noqa: E402

REDUCTIONS = ("Exact32", "Exact64")
PHASES = ("forward", "reduce", "commit")
SLOTS = 8
# A GPT of three million parameters on bytes: processes that share a GPU reduce slowly, and a job must start at once.
SMALL = {"layers": 4, "heads": 4, "width": 256, "context": 256, "batch": 4, "vocabulary": 256, "warmupSteps": 2,
         "dropout": 0.1}
TINY = {"layers": 1, "heads": 1, "width": 16, "context": 16, "batch": 1, "vocabulary": 256, "warmupSteps": 2,
        "dropout": 0.1}
GPT2_124M = {"layers": 12, "heads": 12, "width": 768, "context": 1024, "batch": 1, "vocabulary": 50304, "warmupSteps": 2}
PARTS = ("detectSeconds", "agreeSeconds", "rebuildSeconds", "synchroniseSeconds", "recomputeSeconds", "stallSeconds")


class Stories:
    """Runs of `muster run`, judged as tests/integration judges them."""

    def __init__(self, programs, scratch):
        os.environ["MUSTER_BIN_DIR"] = str(programs.bin)
        os.environ["MUSTER_SOURCE_DIR"] = str(ROOT)
        import evidence  # pylint: disable=import-outside-toplevel  # reads where the programs are
        import harness  # pylint: disable=import-outside-toplevel
        self.harness, self.judge = harness, evidence.EvidenceCase()
        self.programs, self.scratch, self.clean, self.count = programs, pathlib.Path(scratch), {}, 0
        self.config = TINY if programs.stand_in else SMALL
        self.environment = {**programs.environment, "MUSTER_SHARE_GPUS": "1"}
        self.transport = "nccl"
        self.text = self.scratch / "text.txt"
        self.text.write_text(tokens.real_text(ROOT, 6000 if programs.stand_in else 200000), encoding="utf-8")

    def manifest(self, reduction, replicas, steps=14, heartbeat="5s"):
        return {"apiVersion": "muster.dev/v1alpha1", "kind": "TrainingJob", "metadata": {"name": "gpu"},
                "spec": {"workers": {"replicas": replicas, "minReplicas": 1, "maxReplicas": 4},
                         "program": {"builtin": "gpt", "config": {**self.config, "device": "cuda"}},
                         "training": {"steps": steps, "slots": SLOTS, "reduction": reduction,
                                      "transport": self.transport},
                         "data": {"path": str(self.text), "format": "text"},
                         "elasticity": {"heartbeatTimeout": heartbeat}}}

    def job(self, seconds, manifest, *arguments):
        self.count += 1
        folder = self.scratch / f"run-{self.count}"
        folder.mkdir()
        run = self.harness.Run(folder, manifest, *arguments, env=self.environment)
        try:
            run.finish(seconds)
        finally:
            run.stop()
        if run.exit != 0:
            logs = "\n".join(text[-600:] for text in run.logs().values())
            raise Failed(f"muster run ended with exit status {run.exit}: {run.tail(12)}\n{logs}")
        return run

    def whole(self, seconds, reduction, replicas):
        """Without a fault: every number of members has the digest of one."""
        run = self.job(seconds, self.manifest(reduction, replicas))
        for text in run.logs().values():
            fail_unless("computes on gpu" in text and f"sums by {self.transport}" in text,
                        f"no GPU, or not by {self.transport}: {text[:600]}")
        if replicas == 1:
            self.clean[reduction] = run
        known = self.clean.get(reduction)
        fail_unless(known is not None, "there is no digest of one member to compare with")
        fail_unless(run.digest == known.digest, f"{run.digest}, and one member has {known.digest}")
        return {"digest": run.digest, "loss": run.status["result"]["loss"], "wallSeconds": run.wall_seconds,
                "device": run.status["membership"].get("device"),
                "summary": [f"digest {run.digest}, {run.wall_seconds:.1f} s"]}

    def fault(self, seconds, reduction, replicas, arguments, lost, steps=14):
        """With faults: the same digest, and all that evidence.py asks of survivors."""
        known = self.clean.get(reduction)
        fail_unless(known is not None, "there is no digest of one member to compare with")
        manifest = self.manifest(reduction, replicas, steps)
        run = self.job(seconds, manifest, *arguments)
        fail_unless(run.digest == known.digest, f"{run.digest}, and without a fault it is {known.digest}")
        faults = [f"{kind} {what}" for kind, what in zip(arguments[::2], arguments[1::2])]
        self.judge.assert_fired(run, *faults)
        survivors = self.judge.assert_survivors(run, lost)
        found = {"digest": run.digest, "survivors": survivors, "lost": lost, "wallSeconds": run.wall_seconds,
                 "costs": costs(run)}
        return {**found, "summary": [describe(found)]}

    def transfer(self, seconds, config):
        """A joiner of a larger model: bytes of its state over the seconds that it took, staging included."""
        manifest = self.manifest("Exact32", 2, steps=12)
        manifest["spec"]["program"]["config"] = {**config, "device": "cuda"}
        # By sockets, as the sums, which would take NCCL minutes on a shared GPU.
        manifest["spec"]["training"].update(slots=4, transport="ring")
        if not self.programs.stand_in:
            manifest["spec"]["data"] = {"path": str(self.programs.tokens), "format": "llmc"}
        run = self.job(seconds, manifest, "--kill", "worker-1@step=3")
        taken = [rescale["synchroniseSeconds"] for rescale in run.status["rescales"] if rescale["synchroniseSeconds"] > 0]
        sizes = [int(line.rsplit("bytes=", 1)[1].split()[0]) for text in run.logs().values() for line in text.splitlines()
                 if "transfer: received the state" in line]
        fail_unless(taken and sizes, f"no state was transferred: {run.status['rescales']}")
        rate = sizes[-1] / taken[-1] / 1e9
        return {"bytes": sizes, "seconds": taken, "GBs": rate, "costs": costs(run),
                "summary": [f"{sizes[-1] / 1e6:.1f} MB in {taken[-1]:.3f} s: {rate:.3f} GB/s"]}


def costs(run):
    """Of each loss: what of the interrupted step the survivors saw, from the first sign of the fault until their next
    commits, and the parts that the job's status tells."""
    workers = worker_logs.read_workers(run.state_dir)
    told = {rescale["epoch"]: rescale for rescale in run.status["rescales"]}
    found = []
    for evicted, epoch, step, view in worker_logs.read_losses(run.state_dir):
        rescale = told.get(epoch, {})
        sign = evicted - rescale.get("detectSeconds", 0)
        survivors = [worker for worker in workers if worker.commits.get(step, 0) > view and worker.interval(step)]
        if survivors:
            commits = [worker.commits[step] for worker in survivors]
            found.append({"epoch": epoch, "step": step, "signToFirstCommit": min(commits) - sign,
                          "signToLastCommit": max(commits) - sign,
                          "interruptedStep": max(worker.interval(step) for worker in survivors),
                          **{name: rescale[name] for name in PARTS if name in rescale}})
    return found


def describe(found):
    parts = [f"{cost['signToLastCommit']:.2f} s from the first sign until all survivors had committed, their step took "
             f"{cost['interruptedStep']:.2f} s ("
             + ", ".join(f"{name.removesuffix('Seconds')} {cost[name]:.3f}" for name in PARTS if name in cost) + ")"
             for cost in found["costs"]]
    return "; ".join(parts) or f"same digest, nobody lost, {found['wallSeconds']:.1f} s"


def stories(stand_in):
    """(name, members, faults, lost): every phase of each kind of fault; the most telling first."""
    for phase in PHASES:
        yield f"SIGKILL in {phase}", 3, ["--kill", f"worker-1@step=5:in={phase}"], ["1.0"]
    yield "coordinator killed", 3, ["--kill", "coordinator@step=5"], []
    yield "SIGSTOP in reduce", 3, ["--stop", "worker-1@step=5:in=reduce"], ["1.0"]
    yield "SIGKILL in a state transfer", 3, ["--kill", "worker-2@step=4", "--kill", "worker-1@step=5:in=transfer"], [
        "2.0", "1.0"]
    if stand_in:
        return
    for phase in ("forward", "commit"):
        yield f"SIGSTOP in {phase}", 3, ["--stop", f"worker-1@step=5:in={phase}"], ["1.0"]
    for members in (2, 4):
        yield f"SIGKILL in reduce, {members} members", members, ["--kill", "worker-1@step=5:in=reduce"], ["1.0"]
    yield "coordinator and a worker killed", 3, ["--kill", "coordinator@step=5", "--kill",
                                                 "worker-2@step=5:in=forward"], ["2.0"]


def run(results, programs, scratch):
    each = Stories(programs, scratch)
    if "MUSTER_NCCL_LIB" not in programs.environment:
        each.transport = "ring"
        results.say("there is no libnccl.so.2 on this machine: sums go by the ring")
    for reduction in REDUCTIONS[:1] if programs.stand_in else REDUCTIONS:
        for members in (1, 3) if programs.stand_in else (1, 2, 3, 4):
            name = f"{reduction}, members: {members}"
            if not results.run(name, each.whole, reduction, members, needs=10, most=60) and members == 2:
                # Some platform may refuse what lets ranks share a GPU; the rest is worth knowing all the same.
                each.transport = "ring"
                results.run(f"{name}, and from here on sums by the ring", each.whole, reduction, members, needs=10, most=60)
    for reduction in REDUCTIONS[:1] if programs.stand_in else REDUCTIONS:
        for name, members, faults, lost in stories(programs.stand_in):
            results.run(f"{reduction}, {name}", each.fault, reduction, members, faults, lost, needs=15, most=60)
    results.run("state transfer, " + ("tiny" if programs.stand_in else "124M"), each.transfer,
                TINY if programs.stand_in else GPT2_124M, needs=30, most=90)
    # A moment that no breakpoint has chosen, as hack/bench/recovery does it.
    for members in (2,) if programs.stand_in else (2, 3, 4):
        results.run(f"times of a SIGKILL, {members} members", times, each, members, needs=20, most=90)


def times(seconds, each, members):
    run_ = each.job(seconds, each.manifest("Exact32", members, steps=60, heartbeat="1s"), "--kill", "worker-1@step=10",
                    "--kill", "worker-1@step=25", "--kill", "worker-1@step=40")
    found = costs(run_)
    fail_unless(found, f"no loss left what is needed in the logs: {run_.tail()}")
    workers = worker_logs.read_workers(run_.state_dir)
    calm = statistics.median(worker.interval(step) for worker in workers for step in range(3, 9)
                             if worker.interval(step) is not None)
    return {"costs": found, "calmStepSeconds": calm, "device": run_.status["membership"].get("device"), "summary": [
        f"fault-free step {calm:.3f} s", *[describe({"costs": [cost], "wallSeconds": 0}) for cost in found]]}
