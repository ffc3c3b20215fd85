#!/usr/bin/env python3
"""How `hack/dev cuda` fetches its compiler: whole or not at all, once, and with the hashes that it names.

As in scripts_test.py nothing is installed; a stand-in plays Python and its pip, and writes down each call.
"""

import pathlib
import shutil
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import scripts_test  # noqa: E402  (beside this script, not installed)

MORE_TOOLS = "chmod cmp cp flock ln mv".split()

# python3 -m venv makes a python whose pip installs a compiler, or does what PIP says.
PYTHON = """
[ "$1" = -m ] || exit 0
mkdir -p "$3/bin"
cat >"$3/bin/python" <<'TEXT'
#!/usr/bin/env bash
echo "$*" >>$HOME/pip
while [ "$1" != --target ]; do shift; done
mkdir -p "$2/nvidia/cu13/bin" "$2/nvidia/cu13/lib"
PIP
echo compiler >"$2/nvidia/cu13/bin/nvcc"
chmod +x "$2/nvidia/cu13/bin/nvcc"
TEXT
chmod +x "$3/bin/python"
"""
COMMAND = ("hack/dev", "cuda")


class CudaTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.machine = scripts_test.Machine(folder.name)
        for name in MORE_TOOLS:
            (self.machine.bin / name).symlink_to(shutil.which(name))
        self.cache = self.machine.home / ".cache/muster"

    def run_with(self, pip="", **programs):
        stand_ins = {"python3": PYTHON.replace("PIP", pip), "uname": "echo x86_64",
                     "cmake": "echo $MUSTER_CUDA_HOME >>$HOME/compiler; mkdir -p build/cuda; : >build/cuda/build.ninja"}
        return self.machine.run(COMMAND, {**stand_ins, **programs})

    def calls(self):
        file = self.machine.home / "pip"
        return file.read_text().splitlines() if file.exists() else []

    def folders(self):
        return sorted(path.name for path in self.cache.glob("cuda-*") if path.is_dir())

    def test_is_fetched_once_with_the_hashes_and_found_again(self):
        for _ in range(2):
            done = self.run_with()
            self.assertEqual(done.returncode, 0, done.stdout)
        self.assertEqual(self.folders(), ["cuda-13.0.2"])
        self.assertEqual(len(self.calls()), 1)
        for wanted in ("--require-hashes", "--no-deps", "hack/lib/cuda_wheels.txt"):
            self.assertIn(wanted, self.calls()[0])
        home = self.cache / "cuda-13.0.2"
        self.assertTrue((home / "lib64").is_symlink())
        self.assertEqual((self.machine.home / "compiler").read_text().splitlines()[0], str(home))

    def test_other_pins_are_fetched_anew(self):
        self.run_with()
        with open(self.machine.root / "hack/lib/cuda_wheels.txt", "a", encoding="utf-8") as pins:
            pins.write("# another\n")
        self.assertEqual(self.run_with().returncode, 0)
        self.assertEqual(len(self.calls()), 2)

    def test_without_an_index_it_says_what_it_wanted_and_leaves_nothing(self):
        done = self.run_with("echo 'ERROR: No matching distribution'; exit 1")
        self.assertEqual(done.returncode, 1, done.stdout)
        self.assertIn("ERROR: No matching distribution", done.stdout)
        self.assertIn("is there a network", done.stdout)
        self.assertEqual(self.folders(), [])

    def test_a_fetch_that_is_killed_leaves_nothing_that_is_taken_for_a_compiler(self):
        done = self.run_with("kill -9 $PPID; exit 1")
        self.assertNotEqual(done.returncode, 0)
        self.assertNotIn("cuda-13.0.2", self.folders())
        self.assertEqual(self.run_with().returncode, 0)
        self.assertEqual(self.folders(), ["cuda-13.0.2"], "and the next one takes away what it left")

    def test_a_machine_that_it_cannot_serve_is_told(self):
        done = self.run_with(uname="echo aarch64")
        self.assertEqual(done.returncode, 1)
        self.assertIn("this machine is aarch64", done.stdout)
        done = self.run_with(python3="[ $1 = -c ] || { echo 'no module named venv'; exit 1; }")
        self.assertEqual(done.returncode, 1)
        self.assertIn("no module named venv", done.stdout)

    def test_a_python_without_venv_gets_its_package(self):
        done = self.run_with(**{"python3": "exit 1", "dpkg-query": "case $3 in python3-venv) exit 1;; esac; "
                                                                  "echo 'install ok installed'"})
        self.assertIn("installing 1 packages: python3-venv", done.stdout)


if __name__ == "__main__":
    unittest.main()
