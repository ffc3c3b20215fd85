"""What a part of `hack/dev gpu` found: a JSON file and a text for people, both written again after every step, so that a
run that is cut off keeps what it had. A step has its own time limit; one that fails or has no time left is said so, and
the next one runs."""

import json
import os
import pathlib
import re
import signal
import subprocess
import time
import traceback

DONE, FAILED, NOT_RUN = "done", "failed", "not run"


class Failed(Exception):
    """The sentence says why."""


class Missing(Exception):
    """The machine lacks what this step needs; the sentence says what."""


def bounded(command, seconds, env=None, cwd=None, stdin=None):
    """(exit status, output) of a command that is ended with all that it started when its time is over."""
    process = subprocess.Popen([str(word) for word in command], stdin=stdin or subprocess.DEVNULL,
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
                               env=env, cwd=cwd, start_new_session=True)
    try:
        out, _ = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        out, _ = process.communicate()
        raise Failed(f"still running after {seconds:.0f} s: {tail(out)}") from None
    except BaseException:  # this script is asked to end
        os.killpg(process.pid, signal.SIGKILL)
        raise
    return process.returncode, out


def tail(text, count=12):
    return "\n".join(text.strip().splitlines()[-count:])


def run_or_fail(command, seconds, env=None):
    status, out = bounded(command, seconds, env)
    if status != 0:
        raise Failed(f"{pathlib.Path(str(command[0])).name} ended with exit status {status}: {tail(out)}")
    return out


class Results:
    """Thread rule: one thread."""

    def __init__(self, part, folder, head, seconds, tell, only=None):
        self.tell, self.only = tell, only
        self.part, self.folder = part, pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.ends = time.monotonic() + seconds
        self.head, self.steps, self.lines = head, [], []
        self.began = time.monotonic()
        for name, value in head.items():
            self.say(f"{name}: {value}")
        self.write()

    def left(self):
        return self.ends - time.monotonic()

    def say(self, line):
        self.lines.append(line)
        self.tell(line)

    def run(self, name, function, *arguments, needs=5.0, most=600.0, **options):
        """function(seconds it may take, ...) -> a dictionary of what was found. True when it did all of it."""
        if self.only and not self.only.search(name):
            return False
        left = self.left() - 3  # to write and to end what is left
        step = {"step": name, "state": NOT_RUN, "at": round(time.monotonic() - self.began, 1)}
        self.steps.append(step)
        if left < needs:
            step["why"] = f"it needs {needs:.0f} s, and {max(0, left):.0f} s are left of this run"
            self._end(step)
            return False
        begin = time.monotonic()
        try:
            step["found"] = function(min(most, left), *arguments, **options)
            step["state"] = DONE
        except Missing as missing:
            step["why"] = str(missing)
        except (Failed, AssertionError, OSError, subprocess.SubprocessError) as failure:
            step.update(state=FAILED, why=str(failure) or repr(failure))
        except Exception:  # pylint: disable=broad-except  # of the script: the other steps still tell something
            step.update(state=FAILED, why=traceback.format_exc())
        step["seconds"] = round(time.monotonic() - begin, 2)
        self._end(step)
        return step["state"] == DONE

    def found(self, name):
        """What a step of this name found, or None."""
        return next((step.get("found") for step in self.steps if step["step"] == name), None)

    def _end(self, step):
        self.say(f"[{step['at']:6.1f} s] {step['step']}: {step['state']}"
                 + (f" ({step['seconds']:.1f} s)" if "seconds" in step else ""))
        for line in step.get("why", "").splitlines():
            self.say(f"    {line}")
        found = step.get("found")
        for line in (found or {}).get("summary", []):
            self.say(f"    {line}")
        self.write()

    def write(self):
        document = {"part": self.part, **self.head, "steps": self.steps}
        for name, text in ((f"{self.part}.json", json.dumps(document, indent=1, default=str) + "\n"),
                           (f"{self.part}.txt", "\n".join(self.lines) + "\n")):
            beside = self.folder / (name + ".new")
            beside.write_text(text)
            beside.replace(self.folder / name)

    def finish(self):
        """The exit status: 0 everything ran and held, 1 something failed, 2 nothing failed and not everything ran."""
        states = [step["state"] for step in self.steps]
        counts = ", ".join(f"{states.count(state)} {state}" for state in (DONE, FAILED, NOT_RUN))
        self.say(f"{self.part}: {counts}; {self.folder}/{self.part}.json")
        self.write()
        return 1 if FAILED in states else 2 if NOT_RUN in states or not states else 0


def fail_unless(condition, sentence):
    if not condition:
        raise Failed(sentence)
