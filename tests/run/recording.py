# SPDX-License-Identifier: MIT
#
# For tests of vitrine-trace: where programs and data are, running them, and making recordings in the
# simple format by hand.
import os
import shutil
import struct
import subprocess
import tempfile
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.path.abspath(os.environ.get("VITRINE_BUILD", os.path.join(ROOT, "build")))
DATA = os.path.join(ROOT, "tests", "data")
VITRINE_TRACE = os.path.join(BUILD, "vitrine-trace")
QEMU_EVENTS = "/usr/share/qemu/trace-events-all"
LONG = os.environ.get("VITRINE_CHECK") == "long"

DROPPED = 0xfffffffffffffffe


def tool(name):
    """Path of a program that scripts/install-deps check installs; tests need it."""
    path = shutil.which(name)
    if path is None:
        raise FileNotFoundError(f"{name} is missing: scripts/install-deps check gets it")
    return path


def words(*values):
    return b"".join(struct.pack("<Q", v & 0xffffffffffffffff) for v in values)


def text(value):
    return struct.pack("<I", len(value)) + value


def header(version=4):
    head = words(-1, 0xf2b177cb0aa429b4, version)
    return head + bytes(40) if version == 0 else head


def mapping(number, name):
    return words(0, number) + text(name.encode())


def event(number, time, args=b"", pid=1, version=4):
    kind = words(1) if version == 4 else b""
    return kind + words(number, time) + struct.pack("<II", 24 + len(args), pid) + args


class Case(unittest.TestCase):
    """Runs in a folder of its own, with helpers to run the program."""

    def setUp(self):
        for path, what in ((VITRINE_TRACE, "the build"), (DATA, "the test data")):
            if not os.path.exists(path):
                self.fail(f"{path} is missing: {what} is needed for this test")
        self.folder = tempfile.mkdtemp(prefix="vitrine-test-")
        self.addCleanup(shutil.rmtree, self.folder)

    def path(self, name):
        return os.path.join(self.folder, name)

    def write(self, name, content):
        path = self.path(name)
        with open(path, "wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
        return path

    def recording(self, content, events, name="trace"):
        """A recording with its declarations beside it; returns its path."""
        self.write(name + ".events", events)
        return self.write(name, content)

    def run_trace(self, *args, status=0, stdin=None, env=None):
        """Runs vitrine-trace; returns (stdout as bytes, stderr as text)."""
        done = subprocess.run([VITRINE_TRACE, *args], input=stdin, capture_output=True, timeout=120,
                              env=dict(os.environ, **(env or {})), check=False)
        errors = done.stderr.decode(errors="replace")
        self.assertEqual(done.returncode, status, errors)
        return done.stdout, errors

    def qemu_recording(self):
        """A recording written by QEMU, and the text that QEMU's own reader prints of it."""
        packed = os.path.join(DATA, "pc-boot.simple-v4.zst")
        reference = os.path.join(DATA, "pc-boot.simple-v4.txt.zst")
        for path in (packed, reference, QEMU_EVENTS):
            if not os.path.exists(path):
                self.fail(f"{path} is missing: it is needed for this test")
        return packed, self.unpack(reference)

    def unpack(self, path):
        return subprocess.run(["zstd", "-dcq", path], capture_output=True, check=True).stdout
