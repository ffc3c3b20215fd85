"""NVIDIA's libraries in the worker's image for GPUs: single files of Python packages of pinned versions and hashes.

They come from the package index that pip uses, without the toolkit and without what else is in the packages. They are
kept as fetched, in a folder under the cache that is whole or not there.
"""

import hashlib
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import typing
import zipfile

from image.archive import Refused, architecture

PINS = pathlib.Path(__file__).resolve().parents[1] / "cuda_libraries.txt"
# The compiler's; its runtime is linked into the module.
COMPILER_PINS = PINS.with_name("cuda_wheels.txt")
RUNTIME = "nvidia-cuda-runtime"
LIBRARIES = {"nvidia-cublas": "libcublasLt.so.13", "nvidia-nccl-cu13": "libnccl.so.2"}


class Wheel(typing.NamedTuple):
    """A package of the index, and the one library that is taken from it."""
    name: str
    version: str
    sha256: str
    library: str


def pins(file=PINS):
    found = re.findall(r"^(\S+)==(\S+) --hash=sha256:([0-9a-f]{64})$", file.read_text(), re.MULTILINE)
    return {name: Wheel(name, version, total, LIBRARIES.get(name, "")) for name, version, total in found}


def runtime():
    return pins(COMPILER_PINS)[RUNTIME]


def cache():
    base = os.environ.get("MUSTER_CACHE") or pathlib.Path.home() / ".cache" / "muster"
    return pathlib.Path(base) / f"cuda-libraries-{hashlib.sha256(PINS.read_bytes()).hexdigest()[:12]}"


def pip(*arguments, folder):
    """In an environment of its own: Debian's Python has no pip."""
    python = folder / "venv" / "bin" / "python"
    for command in ([sys.executable, "-m", "venv", str(folder / "venv")],
                    [str(python), "-m", "pip", "--disable-pip-version-check", *map(str, arguments)]):
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        if done.returncode != 0:
            last = "\n".join(done.stdout.strip().splitlines()[-4:])
            raise Refused(f"{' '.join(command[1:4])} did not work:\n{last}\nis there a network, does the package index that "
                          f"pip uses have what {PINS.name} names, and is python3-venv installed?")


def unpack(file, wheel, target):
    """The library and the licence, and nothing else."""
    with zipfile.ZipFile(file) as packed:
        for inside, name in ((f"/{wheel.library}", wheel.library), ("/License.txt", "License.txt")):
            names = [each for each in packed.namelist() if each.endswith(inside)]
            if len(names) != 1:
                raise Refused(f"{file.name} has {len(names)} files {inside[1:]}, not one")
            with packed.open(names[0]) as source, open(target / name, "wb") as out:
                shutil.copyfileobj(source, out, 1 << 20)


def fetch():
    """The folder with a folder for each package; fetched once."""
    folder = cache()
    if folder.is_dir():
        return folder
    if architecture() != "amd64":
        raise Refused(f"NVIDIA's libraries are pinned for x86-64; this machine is {architecture()}")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=folder.name + ".part.") as scratch:
        scratch = pathlib.Path(scratch)
        pip("download", "--no-deps", "--only-binary", ":all:", "--require-hashes", "--no-cache-dir", "-d", scratch / "in",
            "-r", PINS, folder=scratch)
        for wheel in pins().values():
            file, = (scratch / "in").glob(f"{wheel.name.replace('-', '_')}-{wheel.version}-*.whl")
            (scratch / "out" / wheel.name).mkdir(parents=True)
            unpack(file, wheel, scratch / "out" / wheel.name)
        try:
            (scratch / "out").rename(folder)
        except OSError:
            # Another one was sooner, and has fetched the same.
            if not folder.is_dir():
                raise
    return folder


def find(folder):
    """[(wheel, library, licence)], each of which must be there."""
    found = []
    for wheel in pins().values():
        paths = [pathlib.Path(folder) / wheel.name / name for name in (wheel.library, "License.txt")]
        for path in paths:
            if not path.is_file():
                raise Refused(f"there is no {path}; without --libraries they are fetched")
        found.append((wheel, *paths))
    return found
