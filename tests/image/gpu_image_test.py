"""The worker's image for GPUs, of stand-ins for what is NVIDIA's: what is in it, where, and what its bill says.

The emulator's module stands in for the CUDA module, which is of the same sources, and a small library of our own for
cuBLASLt and NCCL. That the pinned packages can be fetched, and how large the image is then, docs/install.md says.
"""

import functools
import json
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import unittest

import images
from images import BIN, SOURCE, Image, built, hack_image

LIBRARIES = {"nvidia-cublas": "libcublasLt.so.13", "nvidia-nccl-cu13": "libnccl.so.2"}
MODULE = BIN.parent / "lib" / "libmuster_cuda_simt.so"
STANDIN = BIN.parent / "lib" / "libmuster_nccl_standin.so"


@functools.lru_cache(maxsize=None)
def standins():
    folder = pathlib.Path(tempfile.mkdtemp(dir=images.scratch()))
    for package, library in LIBRARIES.items():
        (folder / package).mkdir()
        shutil.copy(STANDIN, folder / package / library)
        (folder / package / "License.txt").write_text(f"the licence of {package}\n")
    return folder


def build(out, module=MODULE, libraries=None):
    return hack_image("build", "worker-cuda", "-o", out, "--module", module, "--libraries", libraries or standins())


@functools.lru_cache(maxsize=None)
def image():
    out = images.scratch() / "worker-cuda.tar"
    said = build(out)
    if said.returncode != 0:
        raise AssertionError(said.stdout)
    return Image(out)


class ContentsTest(unittest.TestCase):

    def test_libraries_are_where_the_loader_looks_and_the_module_where_the_worker_does(self):
        root = image().root
        folder, = {path.parent for path in root.rglob("libc.so.6")}
        for package, library in LIBRARIES.items():
            self.assertEqual((folder / library).read_bytes(), STANDIN.read_bytes())
            self.assertEqual((root / "usr/share/doc" / package / "copyright").read_text(), f"the licence of {package}\n")
        self.assertTrue((root / "usr/lib/libmuster_cuda.so").is_file())
        self.assertTrue((root / "usr/bin/muster-worker").is_file())
        for path in (root / "usr/lib/libmuster_cuda.so", *(folder / each for each in LIBRARIES.values())):
            said = subprocess.run(["readelf", "-d", "-W", path], stdout=subprocess.PIPE, text=True, check=True).stdout
            for needed in re.findall(r"\(NEEDED\).*\[(.*)\]", said):
                self.assertTrue((folder / needed).exists(), f"{path.name} needs {needed}")

    def test_it_has_what_the_image_for_cpus_has_and_asks_for_the_drivers_libraries(self):
        ours, plain = image(), built("worker")
        self.assertLess({entry.name for entry in plain.entries}, {entry.name for entry in ours.entries})
        config, other = ours.config["config"], plain.config["config"]
        self.assertEqual(config["Env"], [*other["Env"], "NVIDIA_DRIVER_CAPABILITIES=compute,utility"])
        for key in ("User", "Entrypoint", "WorkingDir"):
            self.assertEqual(config[key], other[key])

    def test_equal_parts_give_equal_archives(self):
        again = images.scratch() / "again.tar"
        self.assertEqual(build(again).returncode, 0)
        self.assertEqual(again.read_bytes(), image().path.read_bytes())

    def test_the_bill_names_the_packages_of_the_index_with_their_versions(self):
        pinned = dict(re.findall(r"^(\S+)==(\S+) --hash", "".join(
            (SOURCE / "hack/lib" / name).read_text() for name in ("cuda_libraries.txt", "cuda_wheels.txt")), re.MULTILINE))
        found = {each["name"]: each for each in image().sbom["packages"]
                 if each["externalRefs"][0]["referenceLocator"].startswith("pkg:pypi/")}
        self.assertEqual({name: each["versionInfo"] for name, each in found.items()},
                         {name: pinned[name] for name in (*LIBRARIES, "nvidia-cuda-runtime")})
        ids = {each["SPDXID"]: each for each in image().sbom["files"]}
        came_from = {ids[each["spdxElementId"]]["fileName"].rpartition("/")[2]: each["relatedSpdxElement"]
                     for each in image().sbom["relationships"] if each["relationshipType"] == "EXPANDED_FROM_ARCHIVE"}
        for package, library in LIBRARIES.items():
            self.assertEqual(came_from[library], found[package]["SPDXID"])

    def test_the_images_for_cpus_have_nothing_of_it(self):
        for role in images.PROGRAMS:
            for entry in built(role).entries:
                self.assertNotRegex(entry.name.lower(), r"cuda|nccl|cublas|nvidia")

    def test_the_containerfile_says_the_same(self):
        text = (SOURCE / "Containerfile").read_text()
        stage = re.search(r"^FROM scratch AS worker-cuda\n(.*?)(?=^FROM|\Z)", text, re.DOTALL | re.MULTILINE)[1]
        config = image().config["config"]
        for line in ("COPY --from=build-cuda /images/worker-cuda /", f"USER {config['User']}", f"WORKDIR {config['WorkingDir']}",
                     f"ENV {' '.join(config['Env'])}", f"ENTRYPOINT {json.dumps(config['Entrypoint'])}"):
            self.assertIn(line + "\n", stage)
        labels = dict(re.findall(r'^LABEL (\S+?)="(.*)"$', stage, re.MULTILINE))
        self.assertEqual({**labels, "dev.muster.build-id": config["Labels"]["dev.muster.build-id"]}, config["Labels"])
        self.assertIn("FROM build AS build-cuda\n", text)
        # The targets that have been there need nothing of the toolkit.
        before = text[:text.index("FROM build AS build-cuda")]
        self.assertNotRegex(re.sub(r"(?m)^#.*$", "", before), r"cuda|CUDA")


class RefusalTest(unittest.TestCase):

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def refused(self, said, *words, status=1):
        self.assertEqual(said.returncode, status, said.stdout)
        for word in words:
            self.assertIn(str(word), said.stdout)
        self.assertNotIn("Traceback", said.stdout)
        self.assertEqual(os.listdir(self.folder), [])

    def test_a_module_that_is_not_there_or_of_other_sources(self):
        out = self.folder / "x.tar"
        self.refused(build(out, module=self.folder / "none.so"), f"there is no CUDA module {self.folder}/none.so")
        other = images.scratch() / "other.so"
        said = set(re.findall(rb"(?<=\0)[0-9a-f]{16}(?=\0)", MODULE.read_bytes())) - {b"0123456789abcdef"}
        text = MODULE.read_bytes()
        for each in said:
            text = text.replace(each, b"f" * 16)
        other.write_bytes(text)
        self.refused(build(out, module=other), f"{other} is not of the sources that {BIN}/muster-worker is of")

    def test_a_library_or_licence_that_is_not_there(self):
        for name in ("nvidia-nccl-cu13/libnccl.so.2", "nvidia-cublas/License.txt"):
            libraries = images.scratch() / name.replace("/", "_")
            shutil.copytree(standins(), libraries)
            (libraries / name).unlink()
            self.refused(build(self.folder / "x.tar", libraries=libraries), f"there is no {libraries}/{name}")

    def test_what_belongs_to_this_image_alone(self):
        self.refused(hack_image("build", "worker", "-o", self.folder / "x.tar", "--module", MODULE),
                     "--module and --libraries are of worker-cuda", status=2)


if __name__ == "__main__":
    unittest.main()
