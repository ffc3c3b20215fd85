"""Builds the images of the programs under test once, and reads archives without the code that wrote them.

Environment: MUSTER_BIN_DIR (muster and muster-worker), MUSTER_SOURCE_DIR (the checkout). Python 3.9 or newer, standard
library only.
"""

import atexit
import functools
import gzip
import hashlib
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tarfile
import tempfile

SOURCE = pathlib.Path(os.environ.get("MUSTER_SOURCE_DIR", pathlib.Path(__file__).resolve().parents[2]))
BIN = pathlib.Path(os.environ.get("MUSTER_BIN_DIR", SOURCE / "build" / "release" / "bin"))
PROGRAMS = {"operator": "muster", "worker": "muster-worker"}
NOT_RUN = 77  # what CMakeLists.txt tells ctest


def hack_image(*arguments, programs=BIN, env=None, **options):
    """hack/image to its end: CompletedProcess whose stdout has what it said on both channels."""
    command = [str(SOURCE / "hack" / "image"), *map(str, arguments)]
    if programs:
        command += ["--programs", str(programs)]
    return subprocess.run(command, env={**os.environ, **(env or {})}, text=True, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60, check=False, **options)


@functools.lru_cache(maxsize=None)
def scratch():
    folder = pathlib.Path(tempfile.mkdtemp())
    folder.chmod(0o755)  # other users run what is unpacked below it
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


class Image:
    """An archive that was read: every sum in it is checked, and the layer is unpacked on demand."""

    def __init__(self, path):
        self.path = pathlib.Path(path)
        with tarfile.open(path) as tar:
            files = {entry.name: tar.extractfile(entry).read() for entry in tar if entry.isfile()}
        for name, data in files.items():
            if name.startswith("blobs/") and name != f"blobs/sha256/{hashlib.sha256(data).hexdigest()}":
                raise AssertionError(f"{path}: the content of {name} has another sum")
        self.layout, self.docker = json.loads(files["oci-layout"]), json.loads(files["manifest.json"])
        self.about, = json.loads(files["index.json"])["manifests"]

        def pointed(pointer):
            data = files["blobs/sha256/" + pointer["digest"].removeprefix("sha256:")]
            if pointer["size"] != len(data):
                raise AssertionError(f"{path}: {pointer} names another size than {len(data)}")
            return data

        self.digest = self.about["digest"]
        self.manifest = json.loads(pointed(self.about))
        self.config = json.loads(pointed(self.manifest["config"]))
        layer, = self.manifest["layers"]
        plain = gzip.decompress(pointed(layer)) if layer["mediaType"].endswith(".tar+gzip") else pointed(layer)
        self.layer_head = pointed(layer)[:16]
        self.layer_digest = f"sha256:{hashlib.sha256(plain).hexdigest()}"
        self.blobs = {name for name in files if name.startswith("blobs/")}
        self._layer_file = scratch() / (layer["digest"].removeprefix("sha256:") + ".layer")
        self._layer_file.write_bytes(plain)
        with tarfile.open(self._layer_file) as tar:
            self.entries = tar.getmembers()
        self.sbom = json.loads(self.path.with_suffix(".spdx.json").read_text())

    @functools.cached_property
    def root(self):
        """The layer unpacked, for tests that only read it."""
        return self.unpack(pathlib.Path(tempfile.mkdtemp(dir=scratch())))

    def unpack(self, folder):
        folder.chmod(0o755)
        subprocess.run(["tar", "-x", "-p", "-f", self._layer_file, "-C", folder], check=True)
        return folder


@functools.lru_cache(maxsize=None)
def built(role):
    out = scratch() / f"{role}.tar"
    said = hack_image("build", role, "-o", out)
    if said.returncode != 0:
        raise AssertionError(f"hack/image build {role}: {said.stdout}")
    image = Image(out)
    image.said = said.stdout
    return image


def stop(reason):
    """Never silently: with CI=true the tests fail, elsewhere ctest lists them as skipped."""
    sys.stderr.write(f"the programs were NOT run inside their images: {reason}\n")
    sys.exit(1 if os.environ.get("CI") == "true" else NOT_RUN)


def require_root():
    if os.geteuid() != 0:
        stop("that takes root (chroot, mounts)")
    tried = subprocess.run(["unshare", "--mount", "--pid", "--net", "--fork", "true"], capture_output=True, text=True,
                           check=False)
    if tried.returncode != 0:
        stop(f"this machine gives no namespaces: {tried.stderr.strip()}")
