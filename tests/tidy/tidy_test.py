#!/usr/bin/env python3
"""Shows that hack/tidy.py fails on small bad trees, one for each rule, and passes on a good one."""

import contextlib
import io
import pathlib
import subprocess
import sys
import tempfile
import unittest

TIDY = pathlib.Path(__file__).resolve().parents[2] / "hack" / "tidy.py"
sys.path.insert(0, str(TIDY.parent))
import tidy  # noqa: E402  (a script of this repository, not installed)

LAYERS = """\
# folders
operator/base [P] :
operator/job  [P] : operator/base
operator/cli      : operator/base operator/job
"""

GOOD = {
    "hack/layers.txt": LAYERS,
    "operator/base/ids.h": "#pragma once\n#include <chrono>\n#include <string>\n"
                           "// now() and std::cout and <thread> may stand in a comment.\n"
                           "inline const char* kText = \"#include <thread> std::cout << x; ::now()\";\n"
                           "inline int digits = 100'000;\ninline char brace = '{';\n",
    "operator/job/plan.h": '#pragma once\n#include "operator/base/ids.h"\n'
                           "struct Plan {\n  explicit Plan(int n) : n_{n}, m_(n) { m_ = n; }\n"
                           "  int n_, m_;\n};\n",
    "operator/cli/main.cc": '#include <iostream>\n#include "operator/job/plan.h"\n'
                            "int main() { std::cout << Plan(1).n_; }\n",
    "operator/CMakeLists.txt": "function(f)\nendfunction()\n",
    "hack/draw.py": "def draw():\n    print('a script')\n\nif __name__ == '__main__':\n    draw()\n",
    "hack/dev": "#!/usr/bin/env bash\nhelp() {\n  cat <<'TEXT'\n}\nTEXT\n}\nhelp\n",
    "tests/operator/base/testdata/wrong.cc": "int x = 1;  // TO" "DO\n" * 500,
    "docs/notes.md": "TO" "DO\n",
}


def lines(count, line="  x += 1;"):
    return "\n".join([line] * count) + "\n"


class TidyTest(unittest.TestCase):
    def run_tidy(self, changes):
        """(exit status, output) for the good tree with `changes` laid over it."""
        with tempfile.TemporaryDirectory() as root:
            for name, content in {**GOOD, **changes}.items():
                path = pathlib.Path(root) / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(content)
            output = io.StringIO()
            with contextlib.redirect_stdout(output):
                status = tidy.main([root])
        return status, output.getvalue()

    def refused(self, changes, *expected):
        """The tree is refused with exactly one finding for each expected `file:line: words`."""
        status, output = self.run_tidy(changes)
        findings = output.splitlines()[:-1]
        self.assertEqual(status, 1, output)
        self.assertEqual(len(findings), len(expected), output)
        for place_and_words in expected:
            place, words = place_and_words
            self.assertTrue(any(line.startswith(place + ": ") and words in line for line in findings),
                            f"no finding {place}: ...{words}... in\n{output}")

    def test_a_good_tree_passes(self):
        status, output = self.run_tidy({})
        self.assertEqual(status, 0, output)
        self.assertIn("0 findings", output)

    def test_an_empty_tree_is_not_a_good_one(self):
        """As a process: this is also where the exit status is seen."""
        with tempfile.TemporaryDirectory() as root:
            done = subprocess.run([sys.executable, str(TIDY), root], capture_output=True, text=True,
                                  check=False, timeout=60)
        self.assertEqual(done.returncode, 1)
        self.assertIn("no hand-written file", done.stdout)

    def test_a_checkout_is_walked_where_there_is_no_git(self):
        with tempfile.TemporaryDirectory() as root:
            for name in (".git/HEAD", "operator/extra/a.h"):
                (pathlib.Path(root) / name).parent.mkdir(parents=True, exist_ok=True)
                (pathlib.Path(root) / name).write_text("\n")
            done = subprocess.run([sys.executable, str(TIDY), root], capture_output=True, text=True,
                                  check=False, timeout=60, env={"PATH": "/nowhere"})
        self.assertEqual((done.returncode, done.stderr), (1, ""))
        self.assertIn("operator/extra/a.h:1: its folder is not named", done.stdout)

    def test_include_against_the_layers(self):
        self.refused({"operator/base/bad.h": '#include <string>\n#include "operator/job/plan.h"\n',
                      "operator/job/plan.h": "#pragma once\n"},
                     ("operator/base/bad.h:2", "operator/base may not include operator/job"))

    def test_marks_and_generated_headers_do_not_get_around_the_layers(self):
        for include in ("<operator/job/plan.h>", '"operator/job/plan.pb.h"'):
            with self.subTest(include):
                self.refused({"operator/base/bad.h": f"#include {include}\n", "operator/job/plan.h": "\n"},
                             ("operator/base/bad.h:1", "operator/base may not include operator/job"))
        self.refused({"operator/base/a.h": "#include <operator/base/b.h>\n",
                      "operator/base/b.h": "#include <operator/base/a.h>\n"},
                     ("operator/base/a.h:1", "files include each other in a circle"))

    def test_folder_that_no_layer_names(self):
        self.refused({"operator/extra/a.h": "#pragma once\n"},
                     ("operator/extra/a.h:1", "not named in hack/layers.txt"))
        self.refused({"operator/cli/a.cc": '#include "worker/unknown/a.h"\n'},
                     ("operator/cli/a.cc:1", "not named in hack/layers.txt"))

    def test_code_that_includes_tests(self):
        self.refused({"operator/cli/a.cc": '#include "tests/operator/fake.h"\n'},
                     ("operator/cli/a.cc:1", "may not include tests"))

    def test_include_that_is_not_from_the_root(self):
        self.refused({"operator/job/a.cc": '#include "plan.h"\n'},
                     ("operator/job/a.cc:1", "written from the root"))

    def test_own_header_that_is_not_included_first(self):
        header = {"operator/job/a.h": "#pragma once\n"}
        self.refused({**header, "operator/job/a.cc": '// Why.\n#include <vector>\n#include "operator/job/a.h"\n'},
                     ("operator/job/a.cc:2", 'first include is "operator/job/a.h"'))
        self.refused({**header, "operator/job/a.cc": "int a;\n"}, ("operator/job/a.cc:1", 'first include is'))
        status, output = self.run_tidy({**header, "operator/job/a.cc": '#include "operator/job/a.h"\n#include <vector>\n'})
        self.assertEqual(status, 0, output)

    def test_layers_file_that_contradicts_itself(self):
        self.refused({"hack/layers.txt": LAYERS + "operator/z [P] : operator/cli\n"},
                     ("hack/layers.txt:5", "the pure operator/z may not build on operator/cli"))
        self.refused({"hack/layers.txt": LAYERS + "operator/z : operator/zz\noperator/zz :\n"},
                     ("hack/layers.txt:5", "must stand above"))
        self.refused({"hack/layers.txt": LAYERS + "operator/z\n"}, ("hack/layers.txt:5", "is not"))

    def test_include_circle_between_files(self):
        self.refused({"operator/base/a.h": '#include "operator/base/b.h"\n',
                      "operator/base/b.h": '\n#include "operator/base/c.h"\n',
                      "operator/base/c.h": '#include "operator/base/a.h"\n'},
                     ("operator/base/a.h:1", "files include each other in a circle"))

    def test_include_circle_between_folders(self):
        self.refused({"tests/x/a.h": '#include "tests/y/b.h"\n', "tests/y/b.h": "\n",
                      "tests/y/c.h": '#include "tests/x/d.h"\n', "tests/x/d.h": "\n"},
                     ("tests/x/a.h:1", "folders include each other in a circle"))

    def test_impure_header_in_a_pure_folder(self):
        for header in ("thread", "mutex", "shared_mutex", "condition_variable", "atomic", "random",
                       "fstream", "filesystem", "iostream", "cstdio", "ctime", "sys/socket.h",
                       "netinet/in.h", "unistd.h", "fcntl.h", "openssl/rand.h", "grpcpp/grpcpp.h",
                       "semaphore", "future", "stop_token", "threads.h", "time.h", "spdlog/spdlog.h"):
            with self.subTest(header):
                self.refused({"operator/job/a.cc": f"\n  #  include <{header}>\n"},
                             ("operator/job/a.cc:2", f"may not include <{header}>"))
        status, output = self.run_tidy({"operator/cli/a.cc": "#include <thread>\n"})
        self.assertEqual(status, 0, output)

    def test_impure_call_in_a_pure_folder(self):
        for call in ("std::chrono::steady_clock::now()", "rand()", "std::time(nullptr)", "getenv(\"A\")",
                     "std::mutex()", "std::random_device{}()"):
            with self.subTest(call):
                self.refused({"operator/job/a.cc": f"void F() {{\n  (void){call};\n}}\n"},
                             ("operator/job/a.cc:2", "operator/job is pure: it may not use"))

    def test_long_file(self):
        self.refused({"operator/job/a.cc": lines(401, "int F();")},
                     ("operator/job/a.cc:401", "the file has 401 lines"))
        status, output = self.run_tidy({"operator/job/a.cc": lines(400, "int F();")})
        self.assertEqual(status, 0, output)

    def test_long_cpp_function(self):
        heads = {
            "F": "int F(int x) {\n",
            "G::G": "G::G(int x)\n    : a_{x},\n      b_(x) {\n",
            "L::L": "L::L(int x) : a_(x), b_([this] { F({1}); }) {\n",
            "H": "namespace a::b {\nclass C : public D {\n public:\n  void H(int x) const override {\n",
            "Deduced": "template <typename T>\nauto Deduced(T x) -> absl::StatusOr<T> {\n",
            "Made": "struct stat Made(int x) {\n",
            "TEST(A, B)": "TEST(A, B) {\n",
        }
        for name, head in heads.items():
            with self.subTest(name):
                closing = "}\n" * (3 if name == "H" else 1)
                skipped = 3 if name == "H" else 0  # lines before the function's first
                inside = 70 - (head.count("\n") - skipped) - 1
                text = "// a comment {\n" + head + '  const char* s = "}";\n'
                status, output = self.run_tidy({"operator/job/a.cc": text + lines(inside - 1) + closing})
                self.assertEqual(status, 0, output)
                self.refused({"operator/job/a.cc": text + lines(inside) + closing},
                             (f"operator/job/a.cc:{2 + skipped}", f"{name} has 71 lines"))

    def test_long_function_after_a_table_and_a_macro(self):
        text = ("#define OPEN(x) \\\n  if (x) {\n"
                "constexpr int kTable[] = {1, 2};\nconst auto kText = R\"x({\")x\";\n"
                "struct S {\n  int a{F()};\n  int b = 0;\n};\n")
        self.refused({"operator/job/a.cc": text + "void Long() {\n" + lines(70) + "}\n"},
                     ("operator/job/a.cc:9", "Long has 72 lines"))

    def test_long_python_shell_and_cmake_functions(self):
        self.refused({"hack/a.py": "class A:\n    def long(self):\n" + lines(70, "        self.x = 1")},
                     ("hack/a.py:2", "long has 71 lines"))
        self.refused({"hack/run": "#!/bin/sh\nlong() {\n" + lines(69, "  true") + "}\n"},
                     ("hack/run:2", "long has 71 lines"))
        self.refused({"hack/a.sh": "long() {\ncat <<EOF\n}\nEOF\n" + lines(67, "  true") + "}\n"},
                     ("hack/a.sh:1", "long has 72 lines"))
        self.refused({"hack/a.cmake": "function(long)\n" + lines(69, "set(x 1)") + "endfunction()\n"},
                     ("hack/a.cmake:1", "long has 71 lines"))

    def test_stray_debug_print(self):
        for call in ("printf(\"x\")", "std::printf(\"x\")", "fprintf(stderr, \"x\")", "std::cerr << 1",
                     "std::cout << 1", "puts(\"x\")", "perror(\"x\")", "std::print(\"x\")", "dprintf(2, \"x\")"):
            with self.subTest(call):
                for path in ("operator/job/a.cc", "operator/job/a.cu", "tests/operator/job/a_test.cc"):
                    self.refused({path: f"void F() {{\n  {call};\n}}\n"}, (f"{path}:2", "prints"))
        status, output = self.run_tidy({"operator/cli/a.cc": "void F() { std::cerr << 1; }\n",
                                        "operator/job/a.cc": "void F() { snprintf(b, 1, \"x\"); }\n"})
        self.assertEqual(status, 0, output)
        self.refused({"hack/lib/a.py": "x = 1\nprint(x)\n"}, ("hack/lib/a.py:2", "print is for scripts"))
        self.refused({"hack/run": "#!/bin/sh\nset -ex\n"}, ("hack/run:2", "it is for debugging"))

    def test_unfinished_work(self):
        for word in ("TO" "DO", "FIX" "ME"):
            for path in ("operator/job/a.cc", "hack/run", "hack/a.cmake", "hack/a.py"):
                with self.subTest(word, path=path):
                    text = ("#!/bin/sh\n" if path == "hack/run" else "\n")
                    comment = "//" if path.endswith(".cc") else "#"
                    self.refused({path: f"{text}{comment} {word}(me): later\n"},
                                 (f"{path}:2", f"{word} is not for the repository"))

    def test_python_that_does_not_parse(self):
        self.refused({"hack/a.py": "x = 1\ndef (:\n"}, ("hack/a.py:2", "Python cannot read it"))


if __name__ == "__main__":
    unittest.main()
