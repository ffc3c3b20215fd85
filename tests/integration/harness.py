"""Runs the real programs and collects everything that they leave behind.

A Run is one `muster run` with its own folder: manifest, state directory, audit file. It is a child of the
test, so the CPU seconds of all its processes are known at the end, and none of them outlives the test:
the programs' own promise (kill `muster run` and nothing is left) is what stop() relies on and what
Leftovers checks.

Environment: MUSTER_BIN_DIR (muster and muster-worker), MUSTER_SOURCE_DIR (the checkout). Python 3.9 or
newer, standard library only.
"""

import copy
import functools
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import types
import unittest

SOURCE = pathlib.Path(os.environ.get("MUSTER_SOURCE_DIR", pathlib.Path(__file__).resolve().parents[2]))
BIN = pathlib.Path(os.environ.get("MUSTER_BIN_DIR", SOURCE / "build" / "release" / "bin"))
MUSTER = BIN / "muster"
WORKER = BIN / "muster-worker"
HARD_LIMIT_SECONDS = 100
SKIPPED = 77  # what CMakeLists.txt tells ctest

EVENT = re.compile(r"^\[ *(\d+\.\d) s\] (.*)$")
STARTED = re.compile(r"^started worker-(\d+) \((\d+\.\d+)\)(?: on (\S+))?, pid (\d+)")
EXITED = re.compile(r"^worker-\d+ \((\d+\.\d+)\)(?: on \S+)?, pid (\d+), "
                    r"(?:was killed by signal (\d+)|exited with status (\d+))")
FIRED = re.compile(r"^fault (--\S+ \S+): (.*)$")


def job(name="story", replicas=4, slots=16, steps=20, milliseconds=3.0, state_bytes=1 << 20, **spec):
    """A manifest of the bench program. `spec` goes into the groups of that name."""
    manifest = {
        "apiVersion": "muster.dev/v1alpha1",
        "kind": "TrainingJob",
        "metadata": {"name": name},
        "spec": {
            "workers": {"replicas": replicas, "maxReplicas": max(replicas, 4)},
            "program": {"builtin": "bench",
                        "config": {"stateBytes": state_bytes, "slotMilliseconds": milliseconds}},
            "training": {"steps": steps, "slots": slots},
            "elasticity": {"heartbeatTimeout": "1s"},
        },
    }
    for group, values in spec.items():
        manifest["spec"].setdefault(group, {}).update(values)
    return manifest


def gpt_job(text, name="tiny", replicas=4, slots=16, steps=20, **spec):
    """A manifest of a very small GPT on the text at `text`."""
    manifest = job(name, replicas, slots, steps, **spec)
    manifest["spec"]["program"] = {"builtin": "gpt", "config": {
        "layers": 2, "heads": 2, "width": 32, "context": 64, "batch": 2, "warmupSteps": 2, "dropout": 0.1}}
    manifest["spec"]["data"] = {"path": str(text), "format": "text"}
    return manifest


def write_text(path, characters=6000):
    """A text with some structure, the same in each call."""
    words = ["the", "ring", "sums", "integers", "not", "floats", "so", "order", "does", "matter", "never"]
    state, out = 12345, []
    while sum(map(len, out)) + len(out) < characters:
        state = (state * 1103515245 + 12345) % (1 << 31)
        out.append(words[(state >> 8) % len(words)])
    pathlib.Path(path).write_text(" ".join(out)[:characters])


def alive(pid):
    """Whether a process with this number runs (a zombie does not)."""
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] not in "ZX"
    except (OSError, IndexError):
        return False


def wait_until(condition, seconds, what):
    """Polls; returns the first true value, or raises with `what`."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.02)
    raise AssertionError(f"{what}: not within {seconds} s")


def environment(extra):
    """The test's own environment without what would steer the programs, plus `extra`."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("MUSTER_") and k != "XDG_STATE_HOME"}
    kept["MUSTER_DEBUG"] = "1"  # a line for each slot and each reduction: see evidence.py
    kept.update(extra or {})
    return kept


def as_user(uid):
    """Arguments of Popen for a process of another user; none to stay who one is."""
    return {} if uid is None else {"user": uid, "group": uid, "extra_groups": []}


class Run:
    """One `muster run`: started by the constructor, finished by finish()."""

    def __init__(self, folder, manifest, *arguments, env=None, state="state", audit="audit.jsonl",
                 wrapper=(), output="json", program=MUSTER, user=None):
        self.folder = pathlib.Path(folder)
        self.state_dir = self.folder / state
        self.audit_path = self.folder / audit
        self.manifest_path = self.folder / "job.yaml"
        self.manifest_path.write_text(json.dumps(manifest, indent=1))
        self.manifest = manifest
        self.arguments = [str(a) for a in arguments]
        command = [*wrapper, str(program), "run", str(self.manifest_path), "--state-dir", str(self.state_dir),
                   "--output", output, "--audit", str(self.audit_path), *self.arguments]
        self.began = time.monotonic()
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, text=True, errors="replace",
                                        env=environment(env), cwd=self.folder, **as_user(user))
        self.lines, self.stdout, self._changed = [], "", threading.Condition()
        self.exit, self.cpu_seconds, self.wall_seconds = None, 0.0, 0.0
        self._readers = [threading.Thread(target=self._read_lines, daemon=True),
                         threading.Thread(target=self._read_stdout, daemon=True)]
        for reader in self._readers:
            reader.start()

    def _read_lines(self):
        for line in self.process.stderr:
            with self._changed:
                self.lines.append(line.rstrip("\n"))
                self._changed.notify_all()

    def _read_stdout(self):
        self.stdout = self.process.stdout.read()

    def wait_for(self, pattern, seconds=30):
        """The match of the first line, past or to come, in which the pattern is found."""
        end = time.monotonic() + seconds
        seen = 0
        with self._changed:
            while True:
                for line in self.lines[seen:]:
                    found = re.search(pattern, line)
                    if found:
                        return found
                seen = len(self.lines)
                left = end - time.monotonic()
                if left <= 0 or (self.process.poll() is not None and not self._readers[0].is_alive()):
                    raise AssertionError(f"no line with '{pattern}' came:\n{self.tail()}")
                self._changed.wait(min(left, 0.1))

    def wait_for_step(self, step, seconds=30):
        """Until the audit file has the line of that step."""
        wait_until(lambda: any(line.get("step", 0) >= step for line in self.audit()), seconds,
                   f"step {step}\n{self.tail()}")

    def interrupt(self):
        self.process.send_signal(signal.SIGINT)

    def finish(self, seconds=HARD_LIMIT_SECONDS):
        """Waits for the end. exit, status, cpu_seconds and wall_seconds are set afterwards."""
        end = self.began + seconds
        while True:
            pid, status, usage = os.wait4(self.process.pid, os.WNOHANG)
            if pid != 0:
                break
            if time.monotonic() > end:
                self.stop()
                raise AssertionError(f"still running after {seconds} s: {self.arguments}\n{self.tail()}")
            time.sleep(0.01)
        self.process.returncode = self.exit = os.waitstatus_to_exitcode(status)
        self.cpu_seconds = usage.ru_utime + usage.ru_stime
        self.wall_seconds = time.monotonic() - self.began
        self._close()
        return self

    def _close(self):
        for reader in self._readers:
            reader.join(5)
        self.process.stdout.close()
        self.process.stderr.close()

    def stop(self):
        """Ends it the hard way, as tests that failed leave it."""
        if self.process.returncode is None:
            self.process.kill()
            self.process.wait()
            self._close()

    @property
    def status(self):
        return json.loads(self.stdout)["status"]

    @property
    def digest(self):
        return self.status["result"]["digest"]

    def audit(self):
        """The audit's whole lines, as they are in the file."""
        if not self.audit_path.exists():
            return []
        whole = self.audit_path.read_text().rpartition("\n")[0]
        return [json.loads(line) for line in whole.splitlines()]

    def events(self):
        """(seconds, text) of each event line."""
        return [(float(m.group(1)), m.group(2)) for m in map(EVENT.match, self.lines) if m]

    def _found(self, pattern):
        return [m for m in (pattern.match(text) for _, text in self.events()) if m]

    def started(self):
        """[(member, pid)] in the order in which they were started."""
        return [(m.group(2), int(m.group(4))) for m in self._found(STARTED)]

    def exited(self):
        """{member: -signal or exit code} of the workers whose end was reported."""
        return {m.group(1): -int(m.group(3)) if m.group(3) else int(m.group(4)) for m in self._found(EXITED)}

    def fired(self):
        """{fault: what it did}."""
        return {m.group(1): m.group(2) for m in self._found(FIRED)}

    def pids(self):
        """Of all workers and coordinators that this run's lines name, and of itself."""
        named = re.findall(r"\bpid (\d+)", "\n".join(self.lines))
        return {int(pid) for pid in named} | {self.process.pid}

    def logs(self):
        """{file name: text} of the workers' logs."""
        folder = self.state_dir / "logs"
        return {path.name: path.read_text(errors="replace")
                for path in sorted(folder.glob("*.log")) if path.name != "coordinator.log"}

    def tail(self, count=40):
        return "\n".join(self.lines[-count:])


def muster(*arguments, cwd=None, env=None, stdin=None, seconds=20):
    """A command that ends by itself: CompletedProcess with text."""
    return subprocess.run([str(MUSTER), *map(str, arguments)], cwd=cwd, env=environment(env), text=True,
                          input=stdin, capture_output=True, timeout=seconds, check=False)


def main():
    """For a test program: its exit status is that of unittest, or SKIPPED where a test could not run, which ctest
    lists. A program without a test fails."""
    result = unittest.main(module="__main__", verbosity=2, exit=False).result
    if not result.wasSuccessful() or result.testsRun == 0:
        sys.exit(1)
    sys.exit(SKIPPED if result.skipped else 0)


def needs(possible, what):
    """Decorates a test that not every machine can run. Where it cannot, it says so and is skipped; with CI=true
    in the environment it fails instead, for a machine that is to judge a change must be able to."""
    def decorate(test):
        if possible:
            return test

        @functools.wraps(test)
        def cannot(_):
            sentence = f"{test.__qualname__} cannot run here: it needs {what}"
            sys.stderr.write(f"SKIPPED: {sentence}\n")
            if os.environ.get("CI") == "true":
                raise AssertionError(sentence + " (CI=true)")
            raise unittest.SkipTest(sentence)
        return cannot
    return decorate


class StoryCase(unittest.TestCase):
    """A folder for each test, and the end of every run that it started."""

    maxDiff = None
    _clean = {}

    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="muster-test-"))
        self.runs = []
        self.addCleanup(self._clean_up)

    def _clean_up(self):
        for run in self.runs:
            run.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def start(self, manifest, *arguments, folder=None, **options):
        """A Run in a folder of its own, or in the one that is named (to resume)."""
        where = self.folder / (folder or f"run-{len(self.runs)}")
        where.mkdir(exist_ok=True)
        run = Run(where, manifest, *arguments, **options)
        self.runs.append(run)
        return run

    def run_story(self, manifest, *arguments, exit_status=0, **options):
        """Starts, finishes, and expects this exit status."""
        run = self.start(manifest, *arguments, **options).finish()
        self.assertEqual(run.exit, exit_status, run.tail())
        return run

    def clean(self, manifest, env=None):
        """The fault-free run of the manifest, made once in this program. `bench` burns its processor time
        beside the arithmetic, so the reference does without."""
        manifest = copy.deepcopy(manifest)
        config = manifest["spec"]["program"]["config"]
        if "slotMilliseconds" in config:
            config["slotMilliseconds"] = 0
        key = json.dumps([manifest, env], sort_keys=True)
        if key not in self._clean:
            run = self.run_story(manifest, env=env)
            self._clean[key] = types.SimpleNamespace(digest=run.digest, status=run.status, audit=run.audit(),
                                                     wall_seconds=run.wall_seconds)
        return self._clean[key]
