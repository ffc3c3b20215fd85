"""What hack/image and `hack/cluster image` refuse, and that the Containerfile makes the same image."""

import json
import os
import pathlib
import re
import shutil
import socket
import subprocess
import tarfile
import tempfile
import unittest

from images import BIN, PROGRAMS, SOURCE, built, hack_image


class FolderCase(unittest.TestCase):

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)


class RefusalTest(FolderCase):

    def refused(self, said, *words, status=1):
        self.assertEqual(said.returncode, status, said.stdout)
        for word in words:
            self.assertIn(str(word), said.stdout)
        self.assertNotIn("Traceback", said.stdout)
        self.assertEqual(list(self.folder.rglob("*.tar*")), [])

    def build(self, *arguments, **options):
        return hack_image("build", "worker", "-o", self.folder / "x.tar", *arguments, **options)

    def test_programs_that_are_not_there(self):
        self.refused(self.build(programs=self.folder), f"there is no program {self.folder}/muster-worker",
                     "hack/dev build")

    def test_a_program_of_another_kind(self):
        """Whatever answers to the name: a script has no libraries, and what says no version is not Muster's."""
        script = self.folder / "muster-worker"
        script.write_text("#!/bin/sh\necho busybox\n")
        script.chmod(0o755)
        self.refused(self.build(programs=self.folder), "--version said 'busybox'", "NAME VERSION (build ID)")
        script.write_text("#!/bin/sh\necho 'muster-worker 1.0 (build abc)'\n")
        self.refused(self.build(programs=self.folder), script)

    def test_a_library_that_no_package_owns(self):
        """Nobody could say its licence. Found through LD_LIBRARY_PATH, as on a machine with libraries of its own."""
        found = re.search(r"=> (\S+/libstdc\+\+\.so\.6) ", subprocess.run(
            ["ldd", BIN / "muster-worker"], stdout=subprocess.PIPE, text=True, check=True).stdout)[1]
        shutil.copy(found, self.folder)
        self.refused(self.build(env={"LD_LIBRARY_PATH": str(self.folder)}),
                     f"{self.folder}/libstdc++.so.6 belongs to no Debian package", "licence")

    def test_a_library_that_is_missing(self):
        """Not there in a namespace whose library folder is another: ldd says so before the program can."""
        program = self.folder / "muster-worker"
        program.write_bytes((BIN / "muster-worker").read_bytes().replace(b"libstdc++.so.6", b"libstdc++.so.7"))
        program.chmod(0o755)
        self.refused(self.build(programs=self.folder), "libstdc++.so.7")

    def test_names_files_and_times(self):
        self.refused(self.build("--name", "Muster:1"), "the image name 'Muster:1' must look like")
        self.refused(hack_image("build", "worker", "-o", self.folder / "x.img"), "x.img' does not end in .tar")
        for bad in ("yesterday", "-1", "8589934592"):
            self.refused(self.build(env={"SOURCE_DATE_EPOCH": bad}),
                         f"SOURCE_DATE_EPOCH='{bad}' is not a number of seconds from 0 to 8589934591")

    def test_usage(self):
        self.refused(hack_image("build", "coordinator"), "invalid choice: 'coordinator'", "usage: hack/image", status=2)
        self.refused(hack_image("build", "-o", self.folder / "x.tar"), "say operator or worker", status=2)
        self.refused(hack_image("push", programs=None), "invalid choice: 'push'", status=2)
        self.assertEqual(hack_image("help", programs=None).returncode, 0)

    def test_a_root_file_system_is_not_mixed_with_other_files(self):
        (self.folder / "mine").write_text("")
        self.refused(hack_image("rootfs", "worker", self.folder), "exists and is not an empty folder")


class AnyFolderTest(FolderCase):
    """`hack/cluster image`, which tests on a cluster pack their own images with."""

    def pack(self, name="muster.local/x:1", *entrypoint):
        return subprocess.run([SOURCE / "hack/cluster", "image", name, self.folder / "root", self.folder / "x.tar",
                               *entrypoint], text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=30,
                              check=False)

    def test_equal_folders_give_equal_archives(self):
        seen = []
        for names in (("a", "b"), ("b", "a")):
            for name in names:
                (self.folder / "root" / name).mkdir(parents=True)
                (self.folder / "root" / name / "file").write_text(name)
            self.assertEqual(self.pack("muster.local/x:1", "/a/file", 'say "so"').returncode, 0)
            seen.append((self.folder / "x.tar").read_bytes())
            shutil.rmtree(self.folder / "root")
        self.assertEqual(*seen)
        with tarfile.open(self.folder / "x.tar") as tar:
            docker, = json.load(tar.extractfile("manifest.json"))
            config = json.load(tar.extractfile(docker["Config"]))
        self.assertEqual(config["config"]["Entrypoint"], ["/a/file", 'say "so"'])

    def test_refusals(self):
        for name, word in (("muster.local/x:1", "is not a folder"), ("muster.local/x", "must look like"),
                           ("Muster.local/x:1", "must look like"), ("muster.local/../x:1", "must look like")):
            said = self.pack(name)
            self.assertEqual(said.returncode, 1)
            self.assertIn(word, said.stdout)
        (self.folder / "root").mkdir()
        with socket.socket(socket.AF_UNIX) as plug:
            plug.bind(str(self.folder / "root/plug"))
            said = self.pack()
        self.assertEqual(said.returncode, 1)
        self.assertIn("root/plug is neither a file nor a folder nor a link", said.stdout)
        self.assertEqual(sorted(os.listdir(self.folder)), ["root"])


class ContainerfileTest(unittest.TestCase):
    """It cannot be built here without a container tool; what it says is compared with what hack/image writes."""

    def setUp(self):
        self.text = (SOURCE / "Containerfile").read_text()

    def test_the_last_stages_say_what_the_recipe_says(self):
        for role in PROGRAMS:
            stage = re.search(rf"^FROM scratch AS {role}\n(.*?)(?=^FROM|\Z)", self.text, re.DOTALL | re.MULTILINE)[1]
            config = built(role).config["config"]
            self.assertIn(f"COPY --from=build /images/{role} /\n", stage)
            self.assertIn(f"USER {config['User']}\n", stage)
            self.assertIn(f"WORKDIR {config['WorkingDir']}\n", stage)
            variables = " ".join(config["Env"])
            self.assertIn(f"ENV {variables}\n", stage)
            for word, value in (("ENTRYPOINT", config["Entrypoint"]), ("CMD", config.get("Cmd"))):
                found = re.search(rf"^{word} (.*)$", stage, re.MULTILINE)
                self.assertEqual(json.loads(found[1]) if found else None, value)
            labels = dict(re.findall(r'^LABEL (\S+?)="(.*)"$', stage, re.MULTILINE))
            # A Containerfile cannot know what the linker will write.
            self.assertEqual({**labels, "dev.muster.build-id": config["Labels"]["dev.muster.build-id"]},
                             config["Labels"])

    def test_it_leaves_out_what_is_built_here(self):
        self.assertIn("build/", (SOURCE / ".dockerignore").read_text().split())


if __name__ == "__main__":
    unittest.main()
