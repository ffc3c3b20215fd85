#!/usr/bin/env python3
"""Checks the house rules over hand-written code and says each break as `file:line: sentence`.

usage: hack/tidy.py [ROOT]

Rules (docs/architecture.md): includes obey hack/layers.txt and go in no circle; a pure folder, marked
[P] there, uses no clock, thread, mutex, randomness, file or socket; a file has at most 400 lines and a
function 70; a .cc includes its own header first; no stray debug print; nothing is left to be done later.
Exit status 1 when a rule is broken.
"""

import ast
import pathlib
import re
import shutil
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent / "lib"))
import cpp_text  # noqa: E402  (beside this script, not installed)

MOST_FILE_LINES = 400
MOST_FUNCTION_LINES = 70
CPP = {".h", ".cc", ".cu"}
SUFFIXES = CPP | {".py", ".sh", ".cmake"}
SCRIPT_FOLDERS = ("hack/", ".ci/")
# Not hand-written, or wrong on purpose.
SKIPPED_FOLDERS = {".git", "build", "testdata", "__pycache__"}

# What a pure folder may not include: time that passes, chance, other threads, and the world outside.
IMPURE_HEADERS = re.compile(
    r"thread|stop_token|mutex|shared_mutex|condition_variable|semaphore|latch|barrier|future|atomic"
    r"|random|fstream|filesystem|iostream|ostream|istream|syncstream|cstdio|stdio\.h|ctime|time\.h"
    r"|csignal|signal\.h|pthread\.h|unistd\.h|fcntl\.h|poll\.h|dirent\.h|netdb\.h|dlfcn\.h|spawn\.h"
    r"|threads\.h|stdatomic\.h|semaphore\.h|sched\.h|ifaddrs\.h|glob\.h|ftw\.h|aio\.h|omp\.h"
    r"|sys/.*|netinet/.*|arpa/.*|linux/.*|openssl/(rand|ssl|bio)\.h|spdlog/.*|grpcpp?/.*|cpprest/.*"
    r"|boost/(asio|thread|filesystem|random).*|prometheus/.*|absl/(time|synchronization|random)/.*")
IMPURE_CALLS = re.compile(
    r"::now\s*\(|\b(?:s?rand|random_device|getenv|clock_gettime|gettimeofday|nanosleep|usleep|getpid)"
    r"\s*\(|\bstd::(?:(?:time|clock)\s*\(|(?:jthread|thread|mutex|shared_mutex|condition_variable|atomic"
    r"|future|promise|[io]?fstream|filesystem|random_device|mt19937)\b)")
# A bug's last words go to standard error: the one place in a pure folder that must print.
LAST_WORDS = "operator/base/check.cc"

PRINTS = re.compile(
    r"\bstd::(?:cout|cerr|clog)\b|(?<![\w.>])(?:std::|fmt::)?(?:v?[fd]?printf|f?puts|f?putc|putchar|perror"
    r"|print(?:ln)?)\s*\(")
SHELL_TRACE = re.compile(r"^\s*set\s+(?:-\w*x\w*|-o\s+xtrace)\b")
UNFINISHED = re.compile(r"\b(?:TO" r"DO|FIX" r"ME)\b")


class Layers:
    """hack/layers.txt: folders, what each may include, and which are pure."""

    def __init__(self, path):
        self.allowed, self.pure, self.lines = {}, set(), {}
        self.errors = []
        if not path.exists():
            return
        for number, line in enumerate(path.read_text().splitlines(), 1):
            line = line.split("#")[0].strip()
            if not line:
                continue
            match = re.fullmatch(r"(\S+)\s*(\[P\])?\s*:\s*(.*)", line)
            if not match:
                self.errors.append((number, f"'{line}' is not `folder [P] : folders`"))
                continue
            folder, pure, below = match.groups()
            for name in below.split():
                if name not in self.allowed:
                    self.errors.append(
                        (number, f"{folder} names {name}, which must stand above it in this file"))
                elif pure and name not in self.pure:
                    self.errors.append((number, f"the pure {folder} may not build on {name}, which is not"))
            self.allowed[folder] = set(below.split())
            self.lines[folder] = number
            if pure:
                self.pure.add(folder)

    def of(self, path):
        """The layer that a path lies in: the longest folder named in the file."""
        parts = path.split("/")[:-1]
        for length in range(len(parts), 0, -1):
            folder = "/".join(parts[:length])
            if folder in self.allowed:
                return folder
        return None


class Tree:
    """The hand-written files under a root, and what was found wrong with them."""

    def __init__(self, root):
        self.root = pathlib.Path(root).resolve()
        self.paths = sorted(path for path in self.list_files() if self.is_hand_written(path))
        self.texts = {path: (self.root / path).read_text(errors="replace") for path in self.paths}
        self.findings = []

    def list_files(self):
        # A root that is no checkout of its own (a tarball, a test's tree), or that git cannot list, is walked.
        if (self.root / ".git").exists() and shutil.which("git"):
            listed = subprocess.run(["git", "-C", str(self.root), "ls-files", "-co", "--exclude-standard"],
                                    capture_output=True, text=True, check=False)
            if listed.returncode == 0:
                return [path for path in listed.stdout.splitlines() if (self.root / path).is_file()]
        return [str(path.relative_to(self.root)) for path in self.root.rglob("*") if path.is_file()]

    def is_hand_written(self, path):
        name = pathlib.PurePosixPath(path)
        if SKIPPED_FOLDERS & set(name.parts[:-1]):
            return False
        if name.suffix in SUFFIXES or name.name == "CMakeLists.txt":
            return True
        return name.suffix == "" and path.startswith(SCRIPT_FOLDERS) and self.shebang(path) != ""

    def shebang(self, path):
        with open(self.root / path, "rb") as file:
            first = file.readline(200)
        return first.decode(errors="replace") if first.startswith(b"#!") else ""

    def language(self, path):
        name = pathlib.PurePosixPath(path)
        if name.suffix in CPP:
            return "cpp"
        if name.suffix == ".cmake" or name.name == "CMakeLists.txt":
            return "cmake"
        if name.suffix == ".py" or "python" in self.shebang(path):
            return "python"
        return "shell"

    def report(self, path, line, sentence):
        self.findings.append((path, line, sentence))


def check_lines(tree, path, text):
    count = len(text.splitlines())
    if count > MOST_FILE_LINES:
        tree.report(path, count, f"the file has {count} lines; at most {MOST_FILE_LINES} are allowed, "
                                 "split it by concept")
    for number, line in enumerate(text.splitlines(), 1):
        if found := UNFINISHED.search(line):
            tree.report(path, number, f"{found.group()} is not for the repository; do it or open an issue")


def python_functions(tree, path, text):
    try:
        parsed = ast.parse(text)
    except SyntaxError as error:
        tree.report(path, error.lineno or 1, f"Python cannot read it: {error.msg}")
        return []
    return [(node.name, node.lineno, node.end_lineno) for node in ast.walk(parsed)
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))]


def shell_functions(text):
    """(name, first line, last line); a function ends at the brace in the column where it began."""
    found, opened, heredoc = [], [], None
    for number, line in enumerate(text.splitlines(), 1):
        if heredoc:
            heredoc = None if line.strip() == heredoc else heredoc
            continue
        if match := re.match(r"(\s*)(?:function\s+)?([\w-]+)\s*\(\)\s*[{(]\s*$", line):
            opened.append((match.group(1), match.group(2), number))
        elif opened and re.match(re.escape(opened[-1][0]) + r"[})]", line):
            found.append((opened[-1][1], opened[-1][2], number))
            opened.pop()
        if match := re.search(r"(?<!<)<<-?\s*[\"'\\]?(\w+)", line):
            heredoc = match.group(1)
    return found


def cmake_functions(text):
    found, opened = [], None
    for number, line in enumerate(text.splitlines(), 1):
        if match := re.match(r"\s*(?:function|macro)\s*\(\s*(\w+)", line, re.IGNORECASE):
            opened = (match.group(1), number)
        elif opened and re.match(r"\s*end(?:function|macro)\s*\(", line, re.IGNORECASE):
            found.append((*opened, number))
            opened = None
    return found


def check_functions(tree, path, text):
    language = tree.language(path)
    if language == "cpp":
        functions = cpp_text.functions(text)
    elif language == "python":
        functions = python_functions(tree, path, text)
    else:
        functions = cmake_functions(text) if language == "cmake" else shell_functions(text)
    for name, first, last in functions:
        if last - first + 1 > MOST_FUNCTION_LINES:
            tree.report(path, first, f"{name} has {last - first + 1} lines; a function has at most "
                                     f"{MOST_FUNCTION_LINES}")


def may_print(path):
    name = pathlib.PurePosixPath(path).name
    return (path.startswith(("operator/cli/", "hack/", "tests/sim/")) or path == LAST_WORDS
            or name == "main.cc" or name.endswith(("_main.cc", "_bench.cc")))


def check_prints(tree, path, text):
    language = tree.language(path)
    if language == "cpp" and not may_print(path):
        for number, line in enumerate(cpp_text.without_comments_and_strings(text).splitlines(), 1):
            if found := PRINTS.search(line):
                tree.report(path, number, f"{found.group().rstrip(' (')} prints; only the command line, "
                                          "main files and benches may, others log or return a status")
    if language == "shell":
        for number, line in enumerate(text.splitlines(), 1):
            if SHELL_TRACE.search(line):
                tree.report(path, number, f"'{line.strip()}' prints every command; it is for debugging")
    if language == "python" and "__main__" not in text:
        try:
            nodes = list(ast.walk(ast.parse(text)))
        except SyntaxError:
            return  # said by check_functions
        for node in nodes:
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print":
                tree.report(path, node.lineno, "print is for scripts with a main; a module returns")


def check_pure(tree, layers, path, text):
    layer = layers.of(path)
    if layer not in layers.pure or path == LAST_WORDS:
        return
    for number, name in cpp_text.includes(text):
        if IMPURE_HEADERS.fullmatch(name):
            tree.report(path, number, f"{layer} is pure: it may not include <{name}> (no clock, thread, "
                                      "mutex, randomness, file or socket)")
    for number, line in enumerate(cpp_text.without_comments_and_strings(text).splitlines(), 1):
        if found := IMPURE_CALLS.search(line):
            tree.report(path, number, f"{layer} is pure: it may not use {found.group().rstrip(' (')}; time "
                                      "and chance are arguments, and it has one thread")


def check_layers(tree, layers, path, text):
    layer = layers.of(path)
    top = path.split("/")[0]
    if layer is None and top in ("operator", "worker"):
        tree.report(path, 1, "its folder is not named in hack/layers.txt")
    for number, name in cpp_text.project_includes(text):
        if "/" not in name or name.startswith("."):
            if (tree.root / path).parent.joinpath(name).exists():
                tree.report(path, number, f'"{name}": includes are written from the root')
            continue
        included = layers.of(name)
        if layer is None or included == layer:
            continue
        if name.startswith("tests/"):
            tree.report(path, number, f'"{name}": code may not include tests')
        elif included is None and name.startswith(("operator/", "worker/")):
            tree.report(path, number, f'"{name}": its folder is not named in hack/layers.txt')
        elif included is not None and included not in layers.allowed[layer]:
            allowed = " ".join(sorted(layers.allowed[layer])) or "nothing"
            tree.report(path, number, f'"{name}": {layer} may not include {included}; hack/layers.txt '
                                      f"allows {allowed}")


def check_own_header(tree, path, text):
    """First, so that what a header lacks is seen where it is written; lint compiles each one alone as well."""
    own = str(pathlib.PurePosixPath(path).with_suffix(".h"))
    if path.endswith(".h") or own not in tree.texts:
        return
    first = next(iter(cpp_text.includes(text)), (1, None))
    if first[1] != own:
        tree.report(path, first[0], f'its first include is "{own}"')


def circle_in(graph):
    """Some circle of a graph {node: {next: line}} as a list of nodes, or None."""
    state = {}
    for start in sorted(graph):
        stack = [(start, iter(sorted(graph.get(start, {}))))]
        while stack and state.get(stack[-1][0]) != "done":
            node, successors = stack[-1]
            state[node] = "open"
            successor = next((s for s in successors if state.get(s) != "done"), None)
            if successor is None:
                state[node] = "done"
                stack.pop()
            elif state.get(successor) == "open":
                path = [entry[0] for entry in stack]
                return path[path.index(successor):] + [successor]
            else:
                stack.append((successor, iter(sorted(graph.get(successor, {})))))
    return None


def check_circles(tree):
    files, folders = {}, {}
    for path in tree.paths:
        if tree.language(path) != "cpp":
            continue
        for number, name in cpp_text.project_includes(tree.texts[path]):
            if name not in tree.texts:
                continue
            files.setdefault(path, {})[name] = (path, number)
            here, there = path.rpartition("/")[0], name.rpartition("/")[0]
            if here != there:
                folders.setdefault(here, {}).setdefault(there, (path, number))
    for kind, graph in (("files", files), ("folders", folders)):
        if circle := circle_in(graph):
            path, number = graph[circle[0]][circle[1]]
            tree.report(path, number, f"{kind} include each other in a circle: {' -> '.join(circle)}")


def check(root):
    tree = Tree(root)
    layers = Layers(tree.root / "hack" / "layers.txt")
    for number, sentence in layers.errors:
        tree.report("hack/layers.txt", number, sentence)
    for path in tree.paths:
        text = tree.texts[path]
        check_lines(tree, path, text)
        check_functions(tree, path, text)
        check_prints(tree, path, text)
        if tree.language(path) == "cpp":
            check_pure(tree, layers, path, text)
            check_layers(tree, layers, path, text)
            check_own_header(tree, path, text)
    check_circles(tree)
    return tree


def main(arguments):
    root = arguments[0] if arguments else pathlib.Path(__file__).resolve().parent.parent
    tree = check(root)
    for path, line, sentence in sorted(tree.findings):
        print(f"{path}:{line}: {sentence}")
    if not tree.paths:
        print(f"{tree.root}: there is no hand-written file to check")
        return 1
    print(f"tidy: {len(tree.paths)} files, {len(tree.findings)} findings")
    return 1 if tree.findings else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
