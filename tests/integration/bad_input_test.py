"""Bad input and a bad machine, through the real command: each gets a sentence that names the thing and what
is allowed, and nothing that was written before is lost."""

import os
import pathlib
import shutil
import socket
import struct
import subprocess

import harness
from evidence import EvidenceCase
from harness import gpt_job, job

LLMC_MAGIC = 20240520
NOBODY = 65534


def llmc(tokens, magic=LLMC_MAGIC, count=None):
    """A token file as llm.c writes it."""
    header = [magic, 1, len(tokens) if count is None else count] + [0] * 253
    return struct.pack("<256i", *header) + struct.pack(f"<{len(tokens)}H", *tokens)


class BadInputCase(EvidenceCase):

    def fails(self, manifest, *sentences, reason=None, arguments=(), **options):
        """The run fails (status 1) and says these things; returns it."""
        run = self.run_story(manifest, *arguments, exit_status=1, **options)
        said = run.tail(200)
        for sentence in sentences:
            self.assertRegex(said, sentence)
        if reason is not None:
            failed = next(c for c in run.status["conditions"] if c["type"] == "Failed")
            self.assertEqual((failed["status"], failed["reason"]), ("True", reason), failed)
            self.assertTrue(failed["message"])
        return run


class BadDataTest(BadInputCase):

    def manifest(self, path, data_format="text", **config):
        manifest = gpt_job(path, replicas=2, steps=4)
        manifest["spec"]["data"]["format"] = data_format
        manifest["spec"]["program"]["config"].update(config)
        return manifest

    def file(self, name, content):
        path = self.folder / name
        path.write_bytes(content)
        return path

    def test_missing_path(self):
        path = self.folder / "nowhere"
        self.fails(self.manifest(path), rf"{path}.*(No such file|does not exist|not found)", reason="BadData")

    def test_empty_path(self):
        run = self.run_story(self.manifest(""), exit_status=2)
        self.assertRegex(run.tail(), r"spec\.data\.path")

    def test_folder_without_files(self):
        path = self.folder / "empty"
        path.mkdir()
        self.fails(self.manifest(path), rf"{path}.*(no .*file|empty)", reason="BadData")

    def test_unreadable_file(self):
        path = self.file("secret.txt", b"text " * 1000)
        path.chmod(0)
        self.fails(self.manifest(path), rf"{path}.*Permission denied", reason="BadData",
                   **self.nobody_if_root())

    def nobody_if_root(self):
        """Options for a run of somebody who may not read everything, with a folder and programs of theirs."""
        if os.geteuid() != 0:
            return {}
        self.folder.chmod(0o755)
        programs = self.folder / "bin"
        programs.mkdir()
        for program in (harness.MUSTER, harness.WORKER):
            shutil.copy(program, programs)
        theirs = self.folder / "theirs"
        theirs.mkdir()
        os.chown(theirs, NOBODY, NOBODY)
        return {"user": NOBODY, "program": programs / "muster", "folder": "theirs"}

    def test_text_shorter_than_one_sequence(self):
        path = self.file("short.txt", b"too short")
        self.fails(self.manifest(path), rf"{path}", r"\b9 (bytes|tokens)", r"\b65\b", reason="BadData")

    def test_wrong_magic(self):
        path = self.file("tokens.bin", llmc([1, 2, 3] * 2000, magic=4711))
        self.fails(self.manifest(path, "llmc"), rf"{path}", r"4711", str(LLMC_MAGIC), reason="BadData")

    def test_fewer_tokens_than_the_header_says(self):
        path = self.file("tokens.bin", llmc([1, 2, 3] * 2000, count=9999))
        self.fails(self.manifest(path, "llmc"), rf"{path}", r"9999", reason="BadData")

    def test_token_beyond_the_vocabulary(self):
        path = self.file("tokens.bin", struct.pack("<3001H", *([5] * 3000 + [700])))
        self.fails(self.manifest(path, "tokens16", vocabulary=512), r"tokens\.bin", r"\b700\b", r"\b51[12]\b",
                   reason="BadData")

    def test_half_a_token(self):
        path = self.file("tokens.bin", struct.pack("<3000H", *([5] * 3000)) + b"x")
        self.fails(self.manifest(path, "tokens16", vocabulary=512), rf"{path}", r"6001", reason="BadData")

    def test_good_tokens(self):
        # The same manifest with good data succeeds: what the tests above change is what is refused.
        path = self.file("tokens.bin", llmc([1, 2, 3, 511] * 1500))
        self.run_story(self.manifest(path, "llmc", vocabulary=512))


class BadMachineTest(BadInputCase):

    def test_model_that_does_not_fit_in_memory(self):
        text = self.folder / "a.txt"
        harness.write_text(text)
        manifest = gpt_job(text, replicas=1, steps=4)
        manifest["spec"]["program"]["config"].update(layers=1000, width=16384, heads=64)
        self.fails(manifest, r"does not fit in memory", r"\d+ MiB .*available", r"spec\.program\.config",
                   reason="OutOfMemory")

    def test_bench_state_that_does_not_fit_in_memory(self):
        self.fails(job(replicas=1, steps=4, state_bytes=1 << 40), r"does not fit in memory",
                   reason="OutOfMemory")

    def test_taken_metrics_port(self):
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            self.fails(job(steps=4), rf"\b{port}\b", r"(?i)in use|taken", reason="PortTaken",
                       arguments=("--metrics-port", port))

    def test_state_directory_that_cannot_be_made(self):
        (self.folder / "run-0").mkdir()
        (self.folder / "run-0" / "state").write_text("a file")
        run = self.run_story(job(steps=4), exit_status=2, folder="run-0")
        self.assertRegex(run.tail(), r"state directory .*run-0/state")
        self.assertEqual((self.folder / "run-0" / "state").read_text(), "a file")

    def test_audit_file_of_something_else(self):
        (self.folder / "run-0").mkdir()
        (self.folder / "run-0" / "audit.jsonl").write_text("my diary\n")
        self.fails(job(steps=4), r"audit file .*audit\.jsonl", reason="AuditUnwritable", folder="run-0")
        self.assertEqual((self.folder / "run-0" / "audit.jsonl").read_text(), "my diary\n")

    def test_worker_program_is_missing(self):
        alone = self.folder / "bin"
        alone.mkdir()
        shutil.copy(harness.MUSTER, alone)
        manifest = self.folder / "job.yaml"
        manifest.write_text(harness.json.dumps(job()))
        said = subprocess.run([str(alone / "muster"), "run", str(manifest), "--state-dir",
                               str(self.folder / "state")], capture_output=True, text=True, timeout=20,
                              check=False)
        self.assertEqual(said.returncode, 2, said.stderr)
        self.assertRegex(said.stderr, r"muster-worker is missing")


def can_mount():
    """Whether a tmpfs can be mounted in a namespace of its own."""
    tried = subprocess.run(["unshare", "-rm", "mount", "-t", "tmpfs", "tmpfs", "/mnt"], capture_output=True,
                           check=False) if shutil.which("unshare") else None
    return tried is not None and tried.returncode == 0


class NoSpaceTest(BadInputCase):

    @harness.needs(can_mount(), "unshare -rm and a tmpfs inside it")
    def test_disk_full_in_mid_checkpoint(self):
        manifest = job(steps=150, replicas=2, milliseconds=2.0, checkpoint={"path": "ckpt", "everySteps": 5})
        clean = self.clean(manifest)
        folder = self.folder / "full"
        disk = folder / "state" / "ckpt"
        disk.mkdir(parents=True)
        # 6 MiB hold three checkpoints of 1 MiB and the final one with its export; the ballast takes all
        # but what the first needs.
        script = ('mount -t tmpfs -o size=6m tmpfs "$1" && head -c 4600000 /dev/zero > "$1/ballast" && '
                  'shift && exec "$@"')
        run = self.start(manifest, folder="full",
                         wrapper=("unshare", "-rm", "sh", "-c", script, "sh", str(disk)))
        run.wait_for(r"checkpoint of step \d+ abandoned: .*No space left")
        at = run.audit()[-1]["step"]
        run.wait_for_step(at + 20)

        def degraded_status():
            status = harness.json.loads((folder / "state" / "status.json").read_text())
            condition = next(c for c in status["conditions"] if c["type"] == "Degraded")
            return status if (condition["status"], condition["reason"]) == ("True", "NoSpaceLeft") else None

        # Without room for its final checkpoint the job cannot end, so this waits for the status alone.
        seen = harness.wait_until(degraded_status, 10, "the Degraded condition in status.json")
        # What was committed before is still there and is named by the record.
        first = seen["checkpoint"]["step"]
        inside = pathlib.Path(f"/proc/{run.process.pid}/root") / str(disk).lstrip("/")
        self.assertTrue(list(inside.glob(f"step-{first:08d}-*/manifest.json")), list(inside.iterdir()))
        (inside / "ballast").unlink()
        run.finish()
        self.assertEqual(run.exit, 0, run.tail())
        self.assert_same_result(run, clean)
        self.assertEqual(run.status["checkpoint"]["step"], 150)
        degraded = next(c for c in run.status["conditions"] if c["type"] == "Degraded")
        self.assertEqual(degraded["status"], "False", degraded)


if __name__ == "__main__":
    harness.main()
