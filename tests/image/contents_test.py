"""What is in the images and what is not: files, sums, bill of materials, and that equal inputs give equal bytes."""

import functools
import hashlib
import json
import os
import pathlib
import re
import shutil
import stat
import subprocess
import tempfile
import unittest

import images
from images import BIN, PROGRAMS, SOURCE, built, hack_image

ROLES = sorted(PROGRAMS)
MOST_MEGABYTES = 80


def run(*command):
    return subprocess.run([str(word) for word in command], stdout=subprocess.PIPE, text=True, check=True).stdout


def dynamic(path, tag):
    """Values of the dynamic section: what a library is called, what a program needs."""
    return re.findall(rf"\({tag}\).*\[(.*)\]", run("readelf", "-d", "-W", path))


def each_image(test):
    @functools.wraps(test)
    def both(self):
        for role in ROLES:
            with self.subTest(role):
                test(self, role, built(role))
    return both


class ArchiveTest(unittest.TestCase):

    @each_image
    def test_it_is_an_oci_layout_and_a_docker_archive_of_the_same_image(self, role, image):
        self.assertEqual(image.layout, {"imageLayoutVersion": "1.0.0"})
        version = run(BIN / PROGRAMS[role], "--version").split()[1]
        self.assertEqual(image.about["annotations"],
                         {"io.containerd.image.name": f"docker.io/muster/{role}:{version}",
                          "org.opencontainers.image.ref.name": version})
        self.assertEqual(image.config["rootfs"], {"type": "layers", "diff_ids": [image.layer_digest]})
        docker, = image.docker
        self.assertEqual(docker["RepoTags"], [f"muster/{role}:{version}"])
        self.assertEqual(docker["Config"].rpartition("/")[2],
                         image.manifest["config"]["digest"].removeprefix("sha256:"))
        self.assertEqual([name.rpartition("/")[2] for name in docker["Layers"]],
                         [image.manifest["layers"][0]["digest"].removeprefix("sha256:")])
        self.assertEqual(len(image.blobs), 3, "manifest, config, layer and nothing else")

    @each_image
    def test_it_runs_the_program_as_nobody_in_particular(self, role, image):
        config = image.config["config"]
        self.assertEqual(config["User"], "65532:65532")
        self.assertEqual(config["Entrypoint"], [f"/usr/bin/{PROGRAMS[role]}"])
        self.assertEqual(config.get("Cmd"), ["operator"] if role == "operator" else None)
        _, version, _, build = run(BIN / PROGRAMS[role], "--version").split()
        labels = config["Labels"]
        self.assertEqual(labels["org.opencontainers.image.version"], version)
        self.assertEqual(labels["org.opencontainers.image.licenses"], "Apache-2.0")
        self.assertEqual(labels["dev.muster.build-id"] + ")", build)
        self.assertIn(f"version {version}", (SOURCE / "CMakeLists.txt").read_text().lower())

    @each_image
    def test_it_says_size_and_digest_and_both_are_true(self, role, image):
        self.assertIn(image.digest, image.said)
        size = sum(entry.size for entry in image.entries if entry.isfile()) / 1e6
        self.assertIn(f"{size:.1f} MB unpacked", image.said)
        self.assertLessEqual(size, MOST_MEGABYTES)


class FilesTest(unittest.TestCase):

    @each_image
    def test_modes_owners_and_times(self, role, image):
        names = [entry.name for entry in image.entries]
        self.assertEqual(len(names), len(set(names)))
        for entry in image.entries:
            self.assertEqual((entry.uid, entry.gid, entry.mtime), (0, 0, 0), entry.name)
            self.assertTrue(entry.isfile() or entry.isdir() or entry.issym(), entry.name)
            wanted = {0o755, 0o644} if entry.isfile() else {0o777} if entry.issym() else {0o755}
            self.assertIn(entry.mode, {0o1777} if entry.name == "tmp" else wanted, entry.name)

    @each_image
    def test_every_link_leads_to_something_inside(self, role, image):
        root = image.root
        for path in root.rglob("*"):
            if path.is_symlink():
                target = os.readlink(path)
                there = root / target.lstrip("/") if target.startswith("/") else path.parent / target
                self.assertTrue(there.exists(), f"{path} -> {target}")

    @each_image
    def test_it_holds_what_the_loader_needs_and_no_other_program(self, role, image):
        """By the dynamic sections, not by the loader's own list, which the recipe was made from."""
        root = image.root
        folder, = {path.parent for path in root.rglob("libc.so.6")}
        program = root / "usr/bin" / PROGRAMS[role]
        waiting, seen = [program], {program}
        while waiting:
            for name in dynamic(waiting.pop(), "NEEDED"):
                path = (folder / name).resolve()
                self.assertTrue(path.is_file() and path.is_relative_to(root), name)
                if path not in seen:
                    seen.add(path)
                    waiting.append(path)
        interpreter = re.search(r"interpreter: (\S+)\]", run("readelf", "-l", "-W", program))[1]
        seen.add((root / interpreter.lstrip("/")).resolve())
        binaries = {path for path in root.rglob("*")
                    if path.is_file() and not path.is_symlink() and path.read_bytes()[:4] == b"\x7fELF"}
        self.assertEqual(binaries, seen)
        executable = {path for path in root.rglob("*")
                      if path.is_file() and not path.is_symlink() and path.stat().st_mode & stat.S_IXUSR}
        self.assertEqual({path.name for path in executable},
                         {program.name, (root / interpreter.lstrip("/")).resolve().name})
        for folders in dynamic(program, "RUNPATH") + dynamic(program, "RPATH"):
            self.assertRegex(folders, r"^/usr/lib/[^:]+$", "a folder that users could write to would be searched first")

    @each_image
    def test_programs_are_stripped(self, role, image):
        self.assertNotIn(".symtab", run("readelf", "-S", "-W", image.root / "usr/bin" / PROGRAMS[role]))

    @each_image
    def test_no_path_of_this_machine_is_in_it(self, role, image):
        for path in image.root.rglob("*"):
            if path.is_file() and not path.is_symlink():
                self.assertFalse(f"{SOURCE}/".encode() in path.read_bytes(), f"{role}: {path} names {SOURCE}")

    def test_the_certificates_are_the_packages(self):
        """/etc/ssl/certs would hold what the administrators of this machine trust besides."""
        bundle = (built("operator").root / "etc/ssl/certs/ca-certificates.crt").read_text()
        files = [pathlib.Path(line) for line in run("dpkg", "-L", "ca-certificates").splitlines()
                 if line.endswith(".crt") and "/examples/" not in line]
        self.assertGreater(len(files), 100)
        wanted = sorted(file.read_text().strip() for file in files)
        found = sorted(re.findall(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", bundle, re.DOTALL))
        self.assertEqual(found, wanted)
        self.assertFalse((built("worker").root / "etc/ssl").exists())

    def test_openssl_looks_where_the_certificates_are(self):
        root = built("operator").root
        libcrypto, = root.rglob("libcrypto.so.*")
        place = re.search(rb'OPENSSLDIR: "([^"]+)"', libcrypto.read_bytes())[1].decode()
        link = root / place.lstrip("/") / "cert.pem"
        self.assertTrue((root / os.readlink(link).lstrip("/")).is_file())


class BillTest(unittest.TestCase):

    @each_image
    def test_it_names_every_file_with_its_sum_and_its_package(self, role, image):
        root = image.root
        wanted = {f"./{path.relative_to(root)}": hashlib.sha256(path.read_bytes()).hexdigest()
                  for path in root.rglob("*") if path.is_file() and not path.is_symlink()}
        files = {entry["fileName"]: entry["checksums"][1]["checksumValue"] for entry in image.sbom["files"]}
        self.assertEqual(files, wanted)
        ids = {entry["SPDXID"]: entry for entry in image.sbom["packages"] + image.sbom["files"]}
        self.assertEqual(len(ids), len(image.sbom["packages"]) + len(image.sbom["files"]))
        came_from = {}
        for relation in image.sbom["relationships"]:
            one, other = relation["spdxElementId"], relation["relatedSpdxElement"]
            self.assertTrue(one in ids or one == "SPDXRef-DOCUMENT", relation)
            self.assertIn(other, ids)
            if relation["relationshipType"] in ("GENERATED_FROM", "EXPANDED_FROM_ARCHIVE"):
                came_from[ids[one]["fileName"]] = ids[other]["name"]
        self.assertEqual(set(came_from), set(files))
        self.assertEqual(came_from[f"./usr/bin/{PROGRAMS[role]}"], "muster")
        libc, = (name for name in files if name.endswith("/libc.so.6"))
        self.assertEqual(came_from[libc], "libc6")

    @each_image
    def test_versions_are_those_of_the_machine_and_every_package_comes_with_its_licence(self, role, image):
        root = image.root
        layer, = (entry["checksums"] for entry in image.sbom["packages"] if entry["SPDXID"] == "SPDXRef-Package-image")
        self.assertEqual("sha256:" + layer[0]["checksumValue"], image.layer_digest)
        for entry in image.sbom["packages"]:
            url = entry["externalRefs"][0]["referenceLocator"]
            if not url.startswith("pkg:deb/"):
                continue
            version = run("dpkg-query", "-W", "-f=${Version}", entry["name"])
            self.assertEqual(entry["versionInfo"], version)
            self.assertTrue((root / f"usr/share/doc/{entry['name']}/copyright").stat().st_size > 100)
        known = {path.name for path in (root / "var/lib/dpkg/status.d").iterdir()}
        self.assertIn("libc6", known)
        for name in known:
            self.assertIn(f"Package: {name}\n", (root / "var/lib/dpkg/status.d" / name).read_text())

    @each_image
    def test_libraries_of_headers_alone_are_named(self, role, image):
        """Of each header that was compiled into a program, the source package is in its image's bill."""
        build = BIN.parent
        inputs = run("ninja", "-C", build, "-t", "inputs", f"bin/{PROGRAMS[role]}").split()
        objects = [name for name in inputs if name.endswith(".o")]
        self.assertGreater(len(objects), 20)
        headers = set(re.findall(r"^    (/usr/include/\S+)$",
                                 run("ninja", "-C", build, "-t", "deps", *objects), re.MULTILINE))
        self.assertIn("/usr/include/nlohmann/json.hpp", headers)
        spellings = sorted({os.path.realpath(header) for header in headers})
        owners = {line.partition(":")[0] for line in run("dpkg-query", "-S", *spellings).splitlines()}
        sources = {run("dpkg-query", "-W", "-f=${source:Package}\n", name).split()[0] for name in owners}
        named = " ".join(entry.get("sourceInfo", "") + " " for entry in image.sbom["packages"])
        # The kernel's headers declare and hold no code.
        missing = {source for source in sources - {"linux"} if f"source package {source} " not in named}
        self.assertEqual(missing, set())


class EqualityTest(unittest.TestCase):

    def test_equal_inputs_give_equal_archives_and_bills(self):
        """Later, elsewhere, by another umask, in another time zone, of programs with other times."""
        with tempfile.TemporaryDirectory() as folder:
            for role, name in PROGRAMS.items():
                shutil.copy(BIN / name, folder)
                os.utime(f"{folder}/{name}", (1e9, 1e9))
                out = f"{folder}/{role}.tar"
                said = hack_image("build", role, "-o", out, programs=folder, cwd=folder,
                                  env={"TZ": "Asia/Tokyo", "LC_ALL": "C.UTF-8"}, preexec_fn=lambda: os.umask(0o077))
                self.assertEqual(said.returncode, 0, said.stdout)
                for suffix in (".tar", ".spdx.json"):
                    first = built(role).path.with_suffix(suffix).read_bytes()
                    with open(f"{folder}/{role}{suffix}", "rb") as again:
                        self.assertTrue(again.read() == first, f"{role}{suffix} differs")

    def test_a_compressed_image_has_the_same_files(self):
        with tempfile.TemporaryDirectory() as folder:
            said = hack_image("build", "operator", "--gzip", "-o", f"{folder}/x.tar")
            self.assertEqual(said.returncode, 0, said.stdout)
            image, plain = images.Image(f"{folder}/x.tar"), built("operator")
            self.assertLess(image.path.stat().st_size, plain.path.stat().st_size / 2)
        self.assertEqual(image.config, plain.config)
        self.assertEqual(image.sbom, plain.sbom)
        self.assertEqual(image.layer_digest, plain.layer_digest)
        self.assertNotEqual(image.digest, plain.digest)
        # No flags (so no name of a file), and no time.
        self.assertEqual(image.layer_head[:8], b"\x1f\x8b\x08\x00\x00\x00\x00\x00")

    def test_a_folder_for_the_containerfile_has_the_same_files(self):
        with tempfile.TemporaryDirectory() as folder:
            said = hack_image("rootfs", "operator", f"{folder}/root")
            self.assertEqual(said.returncode, 0, said.stdout)
            self.assertIn(f"layer {built('operator').layer_digest}", said.stdout)
            with open(f"{folder}/root.spdx.json", encoding="utf-8") as bill:
                self.assertEqual(json.load(bill)["files"], built("operator").sbom["files"])

    def test_source_date_epoch_is_the_time_of_all_files(self):
        with tempfile.TemporaryDirectory() as folder:
            said = hack_image("build", "operator", "-o", f"{folder}/x.tar", env={"SOURCE_DATE_EPOCH": "86400"})
            self.assertEqual(said.returncode, 0, said.stdout)
            image = images.Image(f"{folder}/x.tar")
            self.assertEqual({entry.mtime for entry in image.entries}, {86400})
            self.assertEqual(image.sbom["creationInfo"]["created"], "1970-01-02T00:00:00Z")


if __name__ == "__main__":
    unittest.main()
