#!/usr/bin/env python3
"""Does the simulation notice when the machines are wrong? Puts bugs into a copy of the tree, one at a time.

usage: hack/mutate.py [--schedules N] [NAME...]

Each mutation below changes one expression or statement. All of them go into one scratch copy behind a
switch (the variable MUSTER_MUTANT), so sim_test is built once; then its schedules run with one after the
other. A mutation that no schedule catches is a finding: an invariant of tests/sim is too weak, or the
line is not needed. Exit status 1 when one survives, 2 when one fits no line any more.
"""

import argparse
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
MACHINE, SESSION = "operator/membership/", "worker/session/"

# name: (file, what stands there exactly once, what stands there instead, the rule it breaks)
MUTATIONS = {
    "lowest-step": (MACHINE + "forming.cc", "highest = any ? std::max(highest, m.committed) : m.committed;",
                    "highest = any ? std::min(highest, m.committed) : m.committed;",
                    "M6: the view resumes after the highest committed step"),
    "foreign-sums": (MACHINE + "forming.cc", "sums.tag != view.resume_tag", "false",
                     "M6: kept sums with another tag are void"),
    "hello-without-sums": (MACHINE + "on_received_hello.cc", "m.kept = hello.kept;", "",
                           "M11: what a Hello says of kept sums is believed"),
    "early-fence": (MACHINE + "failure.cc", "!m.dead || InRecord(m.id) || !m.stream", "!m.dead || !m.stream",
                    "M2: fenced only when the record names it no more"),
    "hasty-settle": (MACHINE + "failure.cc", "m.ready && m.stream", "m.ready || !m.stream",
                     "M4: settling waits for every unsuspected member"),
    "new-nonce": (MACHINE + "persist.cc", "out.push_back(Persist{in_flight->expected, in_flight->next});",
                  "in_flight->next.nonce = Nonce(); "
                  "out.push_back(Persist{in_flight->expected, in_flight->next});",
                  "M1: a retry is the same write, because the first may still land"),
    "adopt-interrupted": (MACHINE + "knowing.cc", "m->installed != record->newest.epoch || m->interrupted",
                          "m->installed != record->newest.epoch", "M11: only an uninterrupted view is adopted"),
    "hasty-release": (MACHINE + "voluntary.cc", "done = done && Find(other)->committed >= m.committed;", "",
                      "M15: a leaver waits until all others have its last step"),
    "commit-after-ready": (SESSION + "on_reduce.cc", "!believed || !InView() || event.epoch != view->epoch",
                           "event.epoch.value == 0",
                           "M4: nothing is committed after Ready"),
    "switch-alone": (SESSION + "on_apply.cc", "reduced.view_held_by_all", "true",
                     "M5: all switch when the control word counts everybody"),
    "old-interrupt": (SESSION + "on_interrupt.cc", "view && message.epoch < view->epoch", "false",
                      "M2: what belongs to an older epoch is ignored"),
    "forgotten-exponents": (SESSION + "on_apply.cc", "exponents = event.exponents;", "",
                            "E5: exponents are state"),
}

SWITCH = """\
#include <cstdlib>
#include <string_view>
[[maybe_unused]] static bool Mutant(std::string_view name) {
  static const char* const on = std::getenv("MUSTER_MUTANT");
  return on != nullptr && name == on;
}
"""


def switched(name):
    """The mutated place: the good text and the bad one, chosen at run time."""
    _, good, bad, _ = MUTATIONS[name]
    if good.endswith(";"):
        return f'if (Mutant("{name}")) {{ {bad} }} else {{ {good} }}'
    return f'(Mutant("{name}") ? ({bad}) : ({good}))'


def run(command, cwd, seconds):
    """(exit status, output); a command that runs out of time has status 124."""
    try:
        done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, errors="replace",
                              timeout=seconds, check=False)
    except subprocess.TimeoutExpired:
        return 124, f"no end after {seconds} s"
    return done.returncode, done.stdout + done.stderr


def why(output):
    """The first sentence of a failed run that says what did not hold."""
    lines = output.splitlines()
    for number, line in enumerate(lines):
        if "MUSTER_SIM_SEED=" in line:
            return " ".join(part.strip() for part in (line[line.index("MUSTER_SIM_SEED="):].split()[0],
                                                      *lines[number + 1:number + 2]))[:200]
        if "CHECK failed" in line:
            return line[:200]
    return lines[-1][:200] if lines else "it ended without a word"


def copy_with_mutations(root):
    listed = subprocess.run(["git", "-C", str(ROOT), "ls-files", "-co", "--exclude-standard"],
                            capture_output=True, text=True, check=True).stdout.splitlines()
    for name in listed:
        if (ROOT / name).is_file():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, root / name)
    for file in {mutation[0] for mutation in MUTATIONS.values()}:
        text = (root / file).read_text()
        for name, (where, good, _, _) in MUTATIONS.items():
            if where == file:
                text = text.replace(good, switched(name))
        (root / file).write_text(SWITCH + text)


def build(root):
    os.environ["CCACHE_BASEDIR"] = str(root)
    status, output = run(["cmake", "--preset", "release"], root, 300)
    if status == 0:
        status, output = run(["cmake", "--build", "--preset", "release", "--target", "sim_test"], root, 3600)
    return status, output


def simulate(program, name, schedules):
    os.environ.update(MUSTER_MUTANT=name, MUSTER_SIM_SCHEDULES=str(schedules), MUSTER_SIM_FAILURES="1")
    return run([str(program), "--gtest_filter=*EveryScheduleEndsInTheFaultFreeDigest"], ROOT, 1800)


def try_all(program, names, schedules):
    """Names of those that no schedule catches; None when the program fails without a mutation."""
    status, output = simulate(program, "none", schedules)
    if status:
        print(f"the simulation fails without a mutation:\n{output[-3000:]}")
        return None
    survivors = []
    for name in names:
        begun = time.monotonic()
        status, output = simulate(program, name, schedules)
        verdict = "caught: " + why(output) if status else "SURVIVED"
        print(f"{name:20} {time.monotonic() - begun:4.0f} s  {verdict}\n{'':28} {MUTATIONS[name][3]}", flush=True)
        if status == 0:
            survivors.append(name)
    return survivors


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--schedules", type=int, default=2000, help="schedules for each (default 2000)")
    parser.add_argument("names", nargs="*", metavar="NAME", help="of " + ", ".join(MUTATIONS))
    options = parser.parse_args()
    for name in options.names:
        if name not in MUTATIONS:
            parser.error(f"'{name}' is no mutation; there are {', '.join(MUTATIONS)}")
    stale = [name for name, (file, line, _, _) in MUTATIONS.items() if (ROOT / file).read_text().count(line) != 1]
    if stale:
        print(f"these fit no line any more, or more than one: {', '.join(stale)}")
        return 2
    names = options.names or list(MUTATIONS)
    with tempfile.TemporaryDirectory(prefix="muster-mutate-") as folder:
        root = pathlib.Path(folder)
        copy_with_mutations(root)
        status, output = build(root)
        if status:
            print(f"the copy with mutations does not build:\n{output[-3000:]}")
            return 2
        survivors = try_all(root / "build/release/tests/sim_test", names, options.schedules)
    if survivors is None:
        return 2
    print(f"{len(names)} mutations, {len(survivors)} survived: {', '.join(survivors) or 'none'}")
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main())
