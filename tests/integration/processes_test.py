"""Workers of several processes: one that dies comes again as another member and takes nobody along, a worker that
dies takes all of its own along, and nothing of it shows in the result."""

import os
import pathlib
import signal

import harness
from evidence import LOSS, EvidenceCase
from harness import alive, job, wait_until


def pair_job(**changes):
    return job(replicas=3, slots=16, milliseconds=2.0, workers={"processesPerWorker": 2}, **changes)


def children(parent):
    """{member: pid} of the processes that this one started."""
    found = {}
    for folder in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            ppid = int((folder / "stat").read_text().rsplit(")", 1)[1].split()[1])
            if ppid != parent:
                continue
            variables = (folder / "environ").read_bytes().decode(errors="replace").split("\0")
        except (OSError, IndexError):
            continue
        member = [text.partition("=")[2] for text in variables if text.startswith("MUSTER_MEMBER=")]
        found[member[0] if member else ""] = int(folder.name)
    return found


def members(run):
    """Those that computed the newest step which the audit tells of."""
    audit = run.audit()
    return {slot["member"] for slot in audit[-1]["slots"]} if audit else set()


class ProcessesTest(EvidenceCase):

    def begin(self, manifest, *arguments):
        """A run in which all six train, and {worker: {member: pid}}."""
        run = self.start(manifest, *arguments)
        everybody = {f"{ordinal}.0" for ordinal in range(6)}
        wait_until(lambda: members(run) == everybody, 20, f"all six train\n{run.tail()}")
        workers = {worker: children(pid) for worker, pid in run.started()}
        self.assertEqual({worker: set(own) for worker, own in workers.items()},
                         {"0.0": {"0.0", "1.0"}, "1.0": {"2.0", "3.0"}, "2.0": {"4.0", "5.0"}})
        return run, workers

    def test_a_dead_process_and_a_dead_worker(self):
        manifest = pair_job(steps=400)
        clean = self.clean(manifest)
        run, workers = self.begin(manifest)
        parents = dict(run.started())
        os.kill(workers["1.0"]["3.0"], signal.SIGKILL)
        wait_until(lambda: "3.1" in members(run), 20, f"3.1 trains\n{run.tail()}")
        now = children(parents["1.0"])
        self.assertEqual(set(now), {"2.0", "3.1"})
        self.assertEqual(now["2.0"], workers["1.0"]["2.0"], "its neighbour was started again")
        self.assertEqual(len(run.started()), 3, "a worker was made for a process")
        os.kill(parents["2.0"], signal.SIGKILL)
        wait_until(lambda: members(run) >= {"4.1000", "5.1000"}, 20, f"worker 2.1 trains\n{run.tail()}")
        for member in ("4.0", "5.0"):
            self.assertFalse(alive(workers["2.0"][member]), "it outlived its parent")
        self.assertEqual(children(parents["0.0"]), workers["0.0"])
        run.finish()
        self.assertEqual(run.exit, 0, run.tail())
        self.assert_same_result(run, clean)
        self.assert_rescaled(run, LOSS)
        self.assertEqual(set(run.status["membership"]["members"].split()),
                         {"0.0", "1.0", "2.0", "3.1", "4.1000", "5.1000"})
        lost = [failure["member"] for failure in run.status["failures"]]
        self.assertIn("4.999", lost, "the loss of worker 2.0")
        for pid in [*workers["0.0"].values(), *now.values(), *parents.values()]:
            self.assertFalse(alive(pid), f"{pid} is left")

    def test_a_hung_process_is_killed_by_its_parent(self):
        manifest = pair_job(steps=400)
        run, workers = self.begin(manifest)
        hung = workers["1.0"]["3.0"]
        os.kill(hung, signal.SIGSTOP)
        wait_until(lambda: "3.1" in members(run), 20, f"3.1 trains\n{run.tail()}")
        self.assertFalse(alive(hung), "it was evicted, and it is still there")
        self.assertEqual(children(dict(run.started())["1.0"])["2.0"], workers["1.0"]["2.0"])
        run.finish()
        self.assertEqual(run.exit, 0, run.tail())
        self.assert_same_result(run, self.clean(manifest))
        self.assert_rescaled(run, "HeartbeatTimeout")

    def test_how_members_are_dealt_to_workers_does_not_show(self):
        manifest = pair_job(steps=20)
        alone = job(replicas=6, slots=16, milliseconds=2.0, steps=20)
        self.assertEqual(self.clean(manifest).digest, self.clean(alone).digest)

    def test_scaling_down_takes_whole_workers(self):
        manifest = pair_job(steps=120)
        run, _ = self.begin(manifest, "--scale", "2@step=40")
        run.finish()
        self.assertEqual(run.exit, 0, run.tail())
        self.assert_same_result(run, self.clean(manifest))
        self.assertEqual(run.status["membership"]["members"], "0.0 1.0 2.0 3.0")
        self.assertEqual(run.exited().get("2.0"), 0, "its processes left in order")
        self.assertEqual(run.status["failures"], [])

    def test_the_coordinator_dies_together_with_a_worker(self):
        manifest = pair_job(steps=200)
        run = self.run_story(manifest, "--kill", "worker-1@step=40", "--kill", "coordinator@step=40",
                             "--kill", "coordinator@step=90")
        self.assert_same_result(run, self.clean(manifest))
        members_now = set(run.status["membership"]["members"].split())
        self.assertLessEqual({"0.0", "1.0", "4.0", "5.0"}, members_now, "a survivor is gone")
        self.assertEqual(members_now - {"0.0", "1.0", "4.0", "5.0"}, {"2.1000", "3.1000"})

    def test_it_stops_and_goes_on(self):
        manifest = pair_job(steps=200)
        run, workers = self.begin(manifest)
        run.interrupt()
        run.finish()
        self.assertEqual(run.exit, 130, run.tail())
        for own in workers.values():
            self.assertFalse(any(alive(pid) for pid in own.values()), "a process is left")
        again = self.run_story(manifest, folder="run-0")
        self.assertEqual(again.digest, self.clean(manifest).digest)

    def test_a_phase_cannot_be_named(self):
        run = self.run_story(pair_job(), "--kill", "worker-1@step=5:in=reduce", exit_status=2)
        self.assertIn("needs processesPerWorker 1; it is 2", run.tail())


if __name__ == "__main__":
    harness.main()
