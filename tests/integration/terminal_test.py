"""`muster run` on a real terminal: the live view is painted in place at every width, Ctrl-C is a key, and whatever
ends it leaves the terminal as it was."""

import codecs
import fcntl
import json
import os
import re
import signal
import struct
import subprocess
import termios
import threading
import time

import harness
from harness import StoryCase, alive, job, wait_until

ESCAPE = re.compile(r"\x1b\[(\??)(\d*)([A-Za-z])")
HEADER = re.compile(r"^story  epoch \d+  \d/4 members")
WIDTH = 100


class Screen:
    """As much of a terminal as the live view needs; a window that changes its width wraps its lines anew."""

    def __init__(self, width):
        self.width, self.rows, self.row, self.column = width, [["", False]], 0, 0  # [text, goes on below]

    def feed(self, text):
        while text:
            escape = ESCAPE.match(text)
            if escape:
                self._escape(escape.group(2), escape.group(3))
                text = text[escape.end():]
                continue
            self._put(text[0])
            text = text[1:]

    def _escape(self, number, what):
        if what == "A":
            self.row = max(0, self.row - int(number or 1))
        elif what == "K":
            self.rows[self.row] = [self.rows[self.row][0][:self.column], False]
        elif what == "J":
            self.rows[self.row] = [self.rows[self.row][0][:self.column], False]
            del self.rows[self.row + 1:]

    def _put(self, character):
        if character == "\r":
            self.column = 0
        elif character == "\n":
            self._down(False)
        else:
            if self.column == self.width:
                self._down(True)
                self.column = 0
            text = self.rows[self.row][0].ljust(self.column)
            self.rows[self.row][0] = text[:self.column] + character + text[self.column + 1:]
            self.column += 1

    def _down(self, wrapped):
        self.rows[self.row][1] = wrapped
        self.row += 1
        if self.row == len(self.rows):
            self.rows.append(["", False])

    def resize(self, width):
        """The cursor is at the beginning of a line whenever the program waits, so it stays at that line."""
        lines, line, at = [], "", 0
        for number, (text, goes_on) in enumerate(self.rows):
            if number == self.row:
                at = len(lines)
            line += text
            if not goes_on:
                lines.append(line)
                line = ""
        self.width, self.rows = width, []
        for number, text in enumerate(lines):
            if number == at:
                self.row, self.column = len(self.rows), 0
            pieces = [text[i:i + width] for i in range(0, len(text), width)] or [""]
            self.rows += [[piece, i + 1 < len(pieces)] for i, piece in enumerate(pieces)]

    def lines(self):
        return [text.rstrip() for text, _ in self.rows]


class Session:
    """A program with a terminal of its own."""

    def __init__(self, command, env, cwd):
        self.master, slave = os.openpty()
        self._set_size(WIDTH)
        self.screen, self.raw, self._lock = Screen(WIDTH), "", threading.Lock()
        self.process = subprocess.Popen(["setsid", "--ctty", *map(str, command)], stdin=slave, stdout=slave,
                                        stderr=slave, env=env, cwd=cwd)
        os.close(slave)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _set_size(self, width):
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", 50, width, 0, 0))

    def _read(self):
        decode = codecs.getincrementaldecoder("utf-8")("replace").decode
        while True:
            try:
                data = os.read(self.master, 65536)
            except OSError:
                return  # nobody holds the other end any more
            with self._lock:
                text = decode(data)
                self.raw += text
                self.screen.feed(text)

    def resize(self, width):
        with self._lock:
            self.screen.resize(width)
        self._set_size(width)

    def lines(self):
        with self._lock:
            return self.screen.lines()

    def type(self, keys):
        os.write(self.master, keys)

    def finish(self, seconds=60):
        self.process.wait(seconds)
        self._reader.join(5)
        return self.process.returncode

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self.master)


class TerminalTest(StoryCase):

    def open(self, manifest, **variables):
        path = self.folder / "job.yaml"
        path.write_text(json.dumps(manifest))
        env = harness.environment({"TERM": "xterm", "LC_ALL": "C.UTF-8", **variables})
        session = Session([harness.MUSTER, "run", path, "--state-dir", self.folder / "state"], env, self.folder)
        self.addCleanup(session.close)
        return session

    def pids(self):
        """The processes of this test's run: they have its state directory on their command line or as output."""
        out = []
        for entry in os.listdir("/proc"):
            try:
                if entry.isdigit() and str(self.folder) in os.readlink(f"/proc/{entry}/fd/2"):
                    out.append(int(entry))
            except OSError:
                pass
        return out

    def headers(self, session):
        return [line for line in session.lines() if HEADER.match(line)]

    def wait_for_view(self, session, step):
        wait_until(lambda: any((m := re.search(r"  step (\d+)/", line)) and int(m.group(1)) >= step
                               for line in session.lines()), 30, f"step {step} in the view\n{session.raw[-2000:]}")

    def repaints_in_place(self, session, width):
        """Whether nothing of the picture before was left behind. One that is on its way while the window shrinks
        is wrapped at a width that its painter did not know, and stays: a single try proves nothing."""
        before = len(self.headers(session))
        session.resize(width)
        time.sleep(0.5)  # some pictures
        return len(self.headers(session)) == before

    def test_painted_in_place_at_every_width_until_ctrl_c(self):
        session = self.open(job(steps=800))
        self.wait_for_view(session, 3)
        for width in (200, 60, 30, 80):
            tries = 1
            while not self.repaints_in_place(session, width):
                self.assertLess(tries, 3, f"at {width} columns:\n" + "\n".join(session.lines()))
                tries += 1
                self.repaints_in_place(session, 100)
            lines = session.lines()
            picture = lines[max(i for i, line in enumerate(lines) if HEADER.match(line)):]
            self.assertLess(max(map(len, picture)), width, "\n".join(lines))
            self.assertGreaterEqual(len(picture), 7, "\n".join(lines))
        painted = len(self.headers(session))
        session.type(b"\x03")
        self.assertEqual(session.finish(), 130, session.raw[-2000:])
        lines = session.lines()
        self.assertEqual(len(self.headers(session)), painted, "\n".join(lines))
        self.assertIn("DRAINING (Ctrl-C again ends at once)", session.raw)
        self.assertTrue(any(re.match(r"stopped; the state of step \d+ is committed\. Go on with:", line)
                            for line in lines), "\n".join(lines))
        self.assertEqual(self.pids(), [])

    def test_ctrl_c_twice_ends_at_once(self):
        session = self.open(job(steps=5, replicas=4, milliseconds=400.0))
        wait_until(lambda: any(" computing" in line for line in session.lines()), 20, "a member computes")
        session.type(b"\x03")
        wait_until(lambda: "DRAINING" in session.raw, 5, "the first Ctrl-C is shown")
        began = time.monotonic()
        session.type(b"\x03")
        self.assertEqual(session.finish(), 130, session.raw[-2000:])
        self.assertLess(time.monotonic() - began, 1)
        self.assertTrue(any(line.startswith("ended at once; the same command goes on") for line in session.lines()))
        self.assertEqual(self.pids(), [])

    def test_killed_with_9_it_leaves_a_terminal_that_works(self):
        session = self.open(job(steps=400))
        self.wait_for_view(session, 3)
        mode = termios.tcgetattr(session.master)
        pids = self.pids()
        self.assertGreaterEqual(len(pids), 5)
        session.process.send_signal(signal.SIGKILL)
        self.assertEqual(session.finish(), -9)
        wait_until(lambda: not any(map(alive, pids)), 1, "all processes are gone")
        # No mode was switched that nobody is left to switch back: no hidden cursor, no other screen, no raw input.
        self.assertEqual([m.group() for m in ESCAPE.finditer(session.raw) if m.group(1)], [])
        self.assertEqual(termios.tcgetattr(session.master), mode)

    def test_a_terminal_without_utf_8_gets_ascii(self):
        session = self.open(job(steps=20), LC_ALL="C")
        self.assertEqual(session.finish(), 0)
        self.assertTrue(session.raw.isascii())
        self.assertRegex(session.raw, r"#{10}\.*  step ")

    def test_a_dumb_terminal_gets_plain_lines(self):
        session = self.open(job(steps=20), TERM="dumb")
        self.assertEqual(session.finish(), 0)
        self.assertNotIn("\x1b", session.raw)
        self.assertRegex(session.raw, r"(?m)^\[ +\d+\.\d s\] started worker-0 ")


if __name__ == "__main__":
    harness.main()
