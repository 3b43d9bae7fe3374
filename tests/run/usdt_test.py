# SPDX-License-Identifier: MIT
#
# Static probes, armed by the kernel itself: a uprobe with a semaphore is what bpftrace, SystemTap and
# perf set. Takes root and tracefs; elsewhere tests/unit counts the semaphore up by hand.
import os
import re
import subprocess
import time
import unittest

from recording import BUILD, Case, tool

STORM = os.path.join(BUILD, "tests", "storm")
TRACING = "/sys/kernel/tracing"


def output(*command):
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def static_probe(program, name):
    """Addresses of a static probe and of its semaphore, as offsets in the file."""
    notes = output("readelf", "-n", program)
    found = re.search(r"Name: " + name + r"\n\s*Location: (0x[0-9a-f]+), Base: (0x[0-9a-f]+), "
                      r"Semaphore: (0x[0-9a-f]+)", notes)
    segments = re.findall(r"LOAD\s+(0x[0-9a-f]+) (0x[0-9a-f]+) 0x[0-9a-f]+\s+(0x[0-9a-f]+)",
                          output("readelf", "-lW", program))

    def in_file(address):
        for offset, virtual, size in ([int(x, 16) for x in row] for row in segments):
            if virtual <= address < virtual + size:
                return address - virtual + offset
        raise ValueError(f"{address:#x} is in no segment of {program}")

    return in_file(int(found[1], 16)), in_file(int(found[3], 16))


class StaticProbes(Case):
    def control(self, file, text):
        control = os.open(os.path.join(TRACING, file), os.O_WRONLY | os.O_APPEND)
        try:
            os.write(control, text.encode())
        finally:
            os.close(control)

    def setUp(self):
        super().setUp()
        if os.geteuid() != 0:
            self.skipTest("arming a uprobe takes root")
        if not os.path.exists(f"{TRACING}/uprobe_events"):
            mounted = subprocess.run([tool("mount"), "-t", "tracefs", "tracefs", TRACING],
                                     check=False, capture_output=True)
            if mounted.returncode == 0:
                self.addCleanup(subprocess.run, [tool("umount"), "-l", TRACING], check=True)
        if not os.path.exists(f"{TRACING}/uprobe_events"):
            self.skipTest("this kernel offers no uprobes in tracefs")
        location, semaphore = static_probe(STORM, "storm_three")
        self.event = f"vitrine{os.getpid()}/three"
        try:
            self.control("uprobe_events", f"p:{self.event} {STORM}:{location:#x}({semaphore:#x})\n")
        except OSError as error:
            self.skipTest(f"this kernel arms no uprobe with a semaphore: {error}")
        self.addCleanup(self.control, "uprobe_events", f"-:{self.event}\n")

    def switch(self, value):
        self.control(f"events/{self.event}/enable", value)

    def hits(self):
        """How often the probe's place was passed while it was armed."""
        with open(f"{TRACING}/uprobe_profile", encoding="ascii") as profile:
            for line in profile:
                words = line.split()  # program, event, hits
                if words[:2] == [STORM, self.event.split("/")[1]]:
                    return int(words[2])
        return 0

    def test_the_kernel_arms_and_disarms_it(self):
        program = subprocess.Popen([STORM, "--count", "100000", "--pause-us", "1000"],
                                   stdout=subprocess.DEVNULL)
        self.addCleanup(program.wait)
        self.addCleanup(program.kill)
        time.sleep(0.1)
        self.assertEqual(self.hits(), 0)
        self.switch("1")
        deadline = time.monotonic() + 20
        while self.hits() < 20 and time.monotonic() < deadline:
            time.sleep(0.02)
        self.assertGreaterEqual(self.hits(), 20)
        self.switch("0")
        after = self.hits()
        time.sleep(0.1)
        self.assertEqual(self.hits(), after)
        self.assertIsNone(program.poll())


if __name__ == "__main__":
    unittest.main()
