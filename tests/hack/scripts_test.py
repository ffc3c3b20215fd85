#!/usr/bin/env python3
"""What hack/quickstart, hack/test and hack/dev say on machines that lack something.

Each test runs a script in a copy of hack/ with a PATH that holds real tools by name and stand-ins for
apt, sudo, df and cmake, so nothing is installed or built and no network is needed.
"""

import pathlib
import shutil
import subprocess
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
TOOLS = ("bash awk cat cut dirname du env grep head mkdir mktemp rm sed seq sleep tail tee").split()

STAND_INS = {
    "id": "echo 0",
    "dpkg-query": "echo 'install ok installed'",
    "apt-get": "echo called >>$HOME/apt-get",
    "df": "echo head; echo \"disk 9 9 $(cat $HOME/free_kib 2>/dev/null || echo 9000000) 1% /\"",
    "cmake": "mkdir -p build/release; : >build/release/build.ninja",
    "ctest": "echo '100% tests passed'",
}
MISSING = {"dpkg-query": "exit 1"}


class Machine:
    """A fresh machine: a copy of the scripts, a home, and the programs in its PATH."""

    def __init__(self, folder):
        self.root = pathlib.Path(folder) / "muster"
        self.home = pathlib.Path(folder) / "home"
        self.bin = pathlib.Path(folder) / "bin"
        shutil.copytree(ROOT / "hack", self.root / "hack")
        (self.root / "docs/examples").mkdir(parents=True)
        shutil.copy(ROOT / "docs/examples/licences.yaml", self.root / "docs/examples")
        self.home.mkdir()
        self.bin.mkdir()
        for name in TOOLS:
            (self.bin / name).symlink_to(shutil.which(name))

    def program(self, path, script):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"#!/usr/bin/env bash\n{script}\n")
        path.chmod(0o755)

    def run(self, command, programs, **environment):
        for name, script in {**STAND_INS, **programs}.items():
            if script is not None:
                self.program(self.bin / name, script)
        variables = {"PATH": str(self.bin), "HOME": str(self.home), **environment}
        return subprocess.run([str(self.root / command[0]), *command[1:]], text=True, timeout=30, check=False,
                              env={k: v for k, v in variables.items() if v is not None},
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


class ScriptsTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.machine = Machine(folder.name)

    def refused(self, programs, *words, command=("hack/test",), **environment):
        done = self.machine.run(command, programs, **environment)
        self.assertEqual(done.returncode, 1, done.stdout)
        for wanted in words:
            self.assertIn(wanted, done.stdout)

    def test_without_root_it_says_what_root_has_to_run(self):
        """The sentence once went into the log of apt-get, which nobody saw."""
        self.refused({**MISSING, "id": "echo 1000"}, "neither root nor sudo is at hand", "apt-get install g++")

    def test_others_install_by_sudo(self):
        installed = self.machine.home / "installed"
        done = self.machine.run(("hack/test",), {"dpkg-query": f"[ -e {installed} ] && {STAND_INS['dpkg-query']}",
                                                 "id": "echo 1000", "sudo": f': >{installed}; exec "$@"'})
        self.assertEqual(done.returncode, 0, done.stdout)
        self.assertEqual((self.machine.home / "apt-get").read_text().count("called"), 2)

    def test_without_a_network_it_asks_for_one_and_shows_why(self):
        self.refused({**MISSING, "apt-get": "echo 'Temporary failure resolving'; exit 100"},
                     "Temporary failure resolving", "is there a network")

    def test_an_unknown_distribution_is_told_what_to_do_by_hand(self):
        self.refused({"apt-get": None}, "apt on Debian 12 or Ubuntu 24.04 only", "cmake --preset release")

    def test_a_full_disk_is_named_before_anything_is_built(self):
        (self.machine.home / "free_kib").write_text("102400")
        for command in (("hack/test",), ("hack/quickstart",), ("hack/dev", "unit"), ("hack/dev", "build")):
            with self.subTest(command):
                self.refused({}, "only 100 MiB are free under", "about 3 GiB", command=command)

    def test_a_disk_that_fills_up_during_the_build_is_named(self):
        self.refused({"cmake": "echo 0 >$HOME/free_kib; echo 'No space left on device'; exit 1"},
                     "No space left on device", "the disk is full: 0 MiB are free", "build (release) failed")

    def test_a_failed_build_shows_the_error(self):
        self.refused({"cmake": f"{STAND_INS['cmake']}; [ $1 = --preset ] || {{ echo 'a.cc:1: error: no'; exit 1; }}"},
                     "a.cc:1: error: no", "build (release) failed (exit status 1)")

    def test_does_nothing_where_nothing_is_to_do(self):
        for home in (str(self.machine.home), None):
            with self.subTest(home=home):
                done = self.machine.run(("hack/test",), {"df": "echo head; echo 'disk 9 9 9000000 1% /'"}, HOME=home)
                self.assertEqual(done.returncode, 0, done.stdout)
                self.assertTrue(done.stdout.endswith("100% tests passed\n"), done.stdout)
                self.assertIn("==> build (release)", done.stdout)
                self.assertRegex(done.stdout, r"time of each phase:\n +\d+ s  packages")
        self.assertFalse((self.machine.home / "apt-get").exists())

    def test_an_unknown_verb_and_an_unknown_benchmark_are_named(self):
        self.refused({}, "unknown verb 'biuld'; see hack/dev help", command=("hack/dev", "biuld"))
        self.refused({"ls": "echo recovery; echo step", "tr": "cat"}, "'speed' is not one of", "recovery",
                     command=("hack/dev", "bench", "speed"))

    def quickstart(self, storm_digest):
        self.machine.program(self.machine.root / "build/release/bin/muster",
                             'case "$*" in *--kill*) d=' + storm_digest + ";; *) d=0123456789abcdef;; esac\n"
                             'grep -c "steps: 40" "$2"; echo "digest: $d"')
        return self.machine.run(("hack/quickstart",), {})

    def test_quickstart_succeeds_only_when_the_digests_agree(self):
        done = self.quickstart("0123456789abcdef")
        self.assertEqual(done.returncode, 0, done.stdout)
        self.assertIn("They agree", done.stdout)
        done = self.quickstart("0123456789abcdee")
        self.assertEqual(done.returncode, 1, done.stdout)
        self.assertIn("the digests differ", done.stdout)
        done = self.quickstart("none")
        self.assertEqual(done.returncode, 1, done.stdout)


if __name__ == "__main__":
    unittest.main()
