"""The programs that a part runs, from a build or from a bundle, and what they are told of the machine; and the bundle: what
a machine needs that has a GPU and neither a compiler nor a network. Python 3.9, standard library only."""

import hashlib
import lzma
import os
import pathlib
import re
import shutil
import subprocess
import tarfile

import tokens
from results import Failed, fail_unless

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAMS = ("muster", "muster-worker", "nccl_bench", "slot_bench")
TESTS = ("worker_cuda_launched_test", "worker_cuda_gpt_test")
MODULE = "libmuster_cuda.so"
# Of the C library: the machine's own, which its driver is made for.
OF_THE_SYSTEM = re.compile(r"^(ld-linux-x86-64\.so\.2|lib(c|m|pthread|dl|rt|resolv|util|anl|nss_[a-z]+|mvec|thread_db)"
                           r"\.so\.[0-9]+)$")
VOCABULARY = 50257  # as many different tokens as GPT-2 has; the model's table is padded to 50304
ARCHIVE_LIMIT = 64 << 20


class Programs:
    """Where they are: `bin`, `lib` and `tests` of a build or a bundle. `libraries`: machine.libraries()."""

    def __init__(self, folder, stand_in, libraries):
        self.folder, self.stand_in = pathlib.Path(folder), stand_in
        self.bin, self.lib, self.tests = self.folder / "bin", self.folder / "lib", self.folder / "tests"
        for name in ("muster", "muster-worker"):
            if not os.access(self.bin / name, os.X_OK):
                raise Failed(f"there is no {self.bin / name}: make a bundle with `hack/dev gpu bundle`, or name one with "
                             "--bundle")
        self.environment = {name: path for name, path in libraries.items() if path}
        if stand_in:
            # A bundle has none of them: those of a build of the same sources are taken.
            places = [self.lib, ROOT / "build/release/lib", ROOT / "build/cuda/lib"]
            of = next((place for place in places if (place / "libmuster_cuda_simt.so").exists()), places[1])
            self.environment = {"MUSTER_CUDA_MODULE": str(of / "libmuster_cuda_simt.so"),
                                "LD_LIBRARY_PATH": str(of / "standin_driver"),
                                "MUSTER_NCCL_LIB": str(of / "libmuster_nccl_standin.so"),
                                **{name: value for name, value in os.environ.items() if name.startswith("MUSTER_STANDIN_")}}
        else:
            self.environment["MUSTER_CUDA_MODULE"] = str(self.lib / MODULE)
        for name in ("MUSTER_CUDA_MODULE", "MUSTER_NCCL_LIB"):
            path = self.environment.get(name)
            if name == "MUSTER_CUDA_MODULE" or stand_in:
                fail_unless(path and pathlib.Path(path).exists(), f"{name}: there is no {path}")

    def child_environment(self, **extra):
        """For what is not started by `muster run`."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("MUSTER_")}
        return {**kept, **self.environment, **extra}

    @property
    def tokens(self):
        return self.folder / "data" / "tokens.bin"


def needed_libraries(programs):
    """{name: path} of what the loader gives these programs, without the C library's own."""
    found = {}
    for program in programs:
        said = subprocess.run(["ldd", str(program)], capture_output=True, text=True, check=True).stdout
        for line in said.splitlines():
            words = line.split()
            if len(words) >= 3 and words[1] == "=>":
                fail_unless(words[2] != "not", f"{program} needs {words[0]}, which is not here")
                if words[2].startswith("/") and not OF_THE_SYSTEM.match(words[0]):
                    found[words[0]] = words[2]
    return found


def newest_glibc(files):
    """The newest version of the C library that any of these asks for."""
    newest = (0, 0)
    for file in files:
        said = subprocess.run(["objdump", "-T", str(file)], capture_output=True, text=True, check=False).stdout
        for major, minor in re.findall(r"GLIBC_(\d+)\.(\d+)", said):
            newest = max(newest, (int(major), int(minor)))
    return ".".join(map(str, newest))


def copy_stripped(source, target):
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(os.path.realpath(source), target)
    shutil.copymode(source, target)
    subprocess.run(["strip", "--strip-unneeded", str(target)], check=True)


def write_data(folder, text=None):
    """tokens.bin: real text (tokens.real_text, or the files of a folder), and a line that says what it is."""
    if text is None:
        words, what = tokens.real_text(ROOT), "this project's documents and Python's library"
    else:
        files = sorted(path for path in pathlib.Path(text).rglob("*") if path.is_file())
        words, what = "\n".join(path.read_text(encoding="utf-8", errors="replace") for path in files), str(text)
    found = tokens.encode(words, VOCABULARY)
    folder.mkdir(parents=True, exist_ok=True)
    tokens.write_llmc(folder / "tokens.bin", found)
    digest = hashlib.sha256((folder / "tokens.bin").read_bytes()).hexdigest()
    line = (f"{len(words)} characters of {what}; {len(found)} tokens, {len(set(found))} different; "
            f"tokens.bin has SHA-256 {digest}")
    (folder / "README").write_text(line + "\n")
    return line


def make_bundle(build, folder, text=None):
    """A folder that runs wherever its C library is new enough, and beside it one file of it; lines to print."""
    build, folder = pathlib.Path(build), pathlib.Path(folder)
    shutil.rmtree(folder, ignore_errors=True)
    files = {f"bin/{name}": build / "bin" / name for name in PROGRAMS}
    files.update({f"tests/{name}": build / "tests" / name for name in TESTS})
    files[f"lib/{MODULE}"] = build / "lib" / MODULE
    for path in files.values():
        fail_unless(path.exists(), f"{path} is not built")
    for name, path in needed_libraries(files.values()).items():
        files[f"lib/{name}"] = path
    for name, path in files.items():
        copy_stripped(path, folder / name)
    lines = [write_data(folder / "data", text)]
    revision = subprocess.run(["git", "-C", str(ROOT), "describe", "--always", "--dirty"], capture_output=True, text=True,
                              check=False).stdout.strip()
    glibc = newest_glibc(folder / name for name in files)
    (folder / "README").write_text(f"Muster {revision}, for x86-64 with a C library (glibc) of {glibc} or newer\n")
    for path in folder.glob("tests/*"):
        fail_unless("RPATH" in subprocess.run(["readelf", "-d", str(path)], capture_output=True, text=True,
                                              check=True).stdout,
                    f"{path} does not look for its libraries beside itself: it is not of preset cuda")
    archive = pathlib.Path(str(folder) + ".tar.xz")
    with lzma.open(archive, "wb", preset=6) as packed, tarfile.open(fileobj=packed, mode="w") as tar:
        tar.add(folder, arcname=".")
    unpacked = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    size = archive.stat().st_size
    lines += [f"{folder}: {unpacked / 1e6:.1f} MB, {len(files)} programs and libraries, glibc {glibc} or newer",
              f"{archive}: {size / 1e6:.1f} MB"]
    fail_unless(size < ARCHIVE_LIMIT, f"{archive} has {size} bytes; below {ARCHIVE_LIMIT} is allowed")
    return lines


def opened_bundle(path, scratch):
    """The folder of a bundle, which may be one file."""
    path = pathlib.Path(path)
    if path.is_dir():
        return path
    beside = pathlib.Path(str(path) + ".tar.xz")
    path = beside if not path.exists() and beside.exists() else path
    fail_unless(path.is_file(), f"--bundle {path}: there is no such folder or file, nor {beside}")
    with lzma.open(path) as packed, tarfile.open(fileobj=packed) as tar:
        # Of our own making; newer Pythons want to be told what kind of archive they may trust.
        tar.extractall(scratch, **({"filter": "tar"} if hasattr(tarfile, "tar_filter") else {}))
    return pathlib.Path(scratch)
