"""Reads what the processes of a `muster run` under MUSTER_DEBUG did and when, from their logs.

Benchmarks measure with it: the workers' own lines, with microseconds, add nothing to what is measured but one
line a slot, a reduction and a commit.
"""

import datetime
import os
import pathlib
import re
import subprocess
import sys

LINE = re.compile(r"^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+)Z \w+ +(\S+): (.*)$")
COMMITTED = re.compile(r"^committed step=(\d+) wallNanoseconds=(\d+)")
REDUCED = re.compile(r"^reduced step=(\d+)")
COMPUTED = re.compile(r"^slot computed step=(\d+) slot=(\d+)")
FAILURE_VIEW = re.compile(r"^epoch (\d+): (\d+) members, resume at step (\d+)")


def log_lines(path):
    """(seconds, component, text) of each line of a log of ours."""
    for line in path.read_text(errors="replace").splitlines():
        found = LINE.match(line)
        if found:
            at = datetime.datetime.fromisoformat(found.group(1)).replace(tzinfo=datetime.timezone.utc)
            yield at.timestamp(), found.group(2), found.group(3)


class Worker:
    """One worker process: seconds by step, and seconds by step and slot."""

    def __init__(self, path):
        self.name, self.commits, self.reduced, self.slots = path.stem, {}, {}, {}
        for at, component, text in log_lines(path):
            if component == "commit" and (found := COMMITTED.match(text)):
                self.commits[int(found.group(1))] = int(found.group(2)) * 1e-9
            elif component == "reduce" and (found := REDUCED.match(text)):
                self.reduced[int(found.group(1))] = at
            elif component == "forward" and (found := COMPUTED.match(text)):
                self.slots.setdefault(int(found.group(1)), {})[int(found.group(2))] = at

    def interval(self, step):
        if step in self.commits and step - 1 in self.commits:
            return self.commits[step] - self.commits[step - 1]
        return None

    def last_slot(self, step):
        return max(self.slots.get(step, {}).values(), default=None)

    def handed_over(self, step, since):
        """Seconds for the slots of `step` that were another's in the step before."""
        own, seconds, before = self.slots.get(step - 1, {}), 0.0, since
        for slot, at in sorted(self.slots.get(step, {}).items(), key=lambda item: item[1]):
            if slot not in own:
                seconds += max(0.0, at - max(before, since))
            before = at
        return seconds


def read_workers(state):
    """The workers of a state directory."""
    return [Worker(path) for path in sorted((state / "logs").glob("*.log")) if path.stem != "coordinator"]


def read_losses(state):
    """(eviction, epoch, resume step, moment of the view) of each view that followed an eviction."""
    losses, evicted = [], None
    for at, component, text in log_lines(state / "logs" / "coordinator.log"):
        if component != "membership":
            continue
        if text.startswith("evicted"):
            evicted = at
        view = FAILURE_VIEW.match(text)
        if view and evicted is not None:
            losses.append((evicted, int(view.group(1)), int(view.group(3)), at))
            evicted = None
    return losses


def debug_environment(**extra):
    """The caller's environment without what would steer the programs, with debug lines."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MUSTER_")}
    return {**kept, "MUSTER_DEBUG": "1", **extra}


def version_of(program, argument):
    return subprocess.run([str(program), argument], capture_output=True, text=True, check=False).stdout.strip()


def machine():
    """What somebody needs to know of the machine to compare figures."""
    cpuinfo = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.split(":", 1)[1].strip() for line in cpuinfo if line.startswith("model name")), "unknown")
    return {"cpu": model, "cores": os.cpu_count(), "kernel": os.uname().release,
            "loadAverage": [round(load, 1) for load in os.getloadavg()], "python": sys.version.split()[0]}


def about(programs, status):
    """The machine and the programs that ran on it."""
    return {**machine(),
            "muster": version_of(programs / "muster", "version"),
            "musterWorker": version_of(programs / "muster-worker", "--version"),
            "kernelFamily": status.get("kernelFamily", "unknown")}
