# SPDX-License-Identifier: MIT
"""Debian's kernels boot to a shell on the serial line, with one and with four CPUs, find nothing wrong with
the machine, see its devices, run programs and power off. The short form boots the cloud kernel alone."""
import hashlib
import re
import time
import unittest

from guest import Case
from recording import LONG

# What lspci says of the pc machine: addresses, classes, names, revisions and subsystems are QEMU's.
DEVICES = """\
00:00.0 0600: 8086:1237 (rev 02, 1af4:1100)
00:01.0 0601: 8086:7000 (rev 00, 1af4:1100)
00:01.1 0101: 8086:7010 (rev 00, 1af4:1100)
00:01.3 0680: 8086:7113 (rev 03, 1af4:1100)
00:02.0 0300: 1234:1111 (rev 02, 1af4:1100)
00:03.0 0200: 8086:100e (rev 03, 1af4:1100)
"""

WARNING = 4

# Warnings that the kernel has for QEMU's pc machine too: it has no MMCONFIG; the numbers of the CPUs that
# start are of this level; the TSCs of several CPUs are not known to go together; how well the TSC and the
# APIC's timer can be measured depends on what else the host does.
EXPECTED = re.compile(r"""
      fail\ to\ add\ MMCONFIG
    | acpi\ resource\ window\ .*\ ignored,\ not\ CPU\ addressable
    | \]\ +\#\d+$
    | mtrr:\ your\ CPUs\ had\ inconsistent
    | Unstable\ clock\ detected | keep\ using\ the\ local\ clock | "trace_clock=local" | on\ the\ kernel\ command\ line
    | tsc:\ Unable\ to\ calibrate\ against\ PIT | tsc:\ PIT\ calibration\ deviates\ from | APIC\ calibration\ not\ consistent
    | hrtimer:\ interrupt\ took | hpet:\ Lost\ [0-9]+\ RTC\ interrupts
    | clocksource:\ Long\ readout\ interval,\ skipping
    """, re.VERBOSE)


def complaints(messages):
    """Lines of the kernel's log (dmesg -r) that are warnings or worse, and not expected."""
    found = []
    for line in messages.splitlines():
        match = re.match(r"<(\d+)>(.*)", line)
        if match and int(match[1]) & 7 <= WARNING and not EXPECTED.search(match[2]):
            found.append(match[2])
    return found


class Boots(Case):
    def boot(self, name, cpus=1, memory=256, append="quiet", options=()):
        machine = self.machine([*self.linux(name, append), "-m", memory, "-smp", cpus, "-no-reboot", *options])
        machine.serial.wait_for(r"^guest: user space$")
        machine.shell()
        return machine

    def check_log(self, machine):
        messages = machine.run("dmesg -r")
        self.assertIn("Linux version 6.", messages)
        self.assertEqual(complaints(messages), [])
        return messages

    def check_power_off(self, machine):
        machine.serial.send("poweroff -f\n")
        machine.serial.wait_for("reboot: Power down")
        self.check_end(machine)

    def check_commands(self, machine):
        """Programs of the guest, and the clock."""
        for command, answer in (
                ("echo $((12345 * 6789))", "83810205\n"),
                ("seq 1 20000 | awk '{s += $1 * $1} END {print s}'", "2666866670000\n"),
                ("seq 1 5000 | sort -r | head -2; seq 3 | tr 1-3 a-c", "999\n998\na\nb\nc\n"),
                ("(exit 3) | cat; (sleep 60 & kill -9 $!; wait $!; echo $?) 2>/dev/null", "137\n"),
                ("echo 2 200 ^ p | dc | cut -c1-20", "16069380442589902755\n"),
                ("head -c 3000000 /dev/zero | gzip -c | gunzip -c | md5sum", hashlib.md5(bytes(3000000)).hexdigest()
                 + "  -\n")):
            with self.subTest(command=command):
                self.assertEqual(machine.run(command), answer)
        with self.subTest("the date"):
            self.assertAlmostEqual(int(machine.run("date +%s")), time.time(), delta=5)
        with self.subTest("a second"):
            begin = float(machine.run("cut -d' ' -f1 /proc/uptime; sleep 1").split()[0])
            self.assertAlmostEqual(float(machine.run("cut -d' ' -f1 /proc/uptime")) - begin, 1.1, delta=0.6)

    def check_cpus(self, machine, cpus):
        self.assertEqual(machine.run("nproc"), f"{cpus}\n")
        # Each CPU has a program of its own, and all are heard.
        machine.run(f"for i in $(seq 0 {cpus - 1}); do "
                    "(taskset $(printf %x $((1 << i))) sh -c "
                    "'i=0; while [ $i -lt 3000 ]; do i=$((i + 1)); done; "
                    "cut -d\" \" -f39 /proc/self/stat' >/tmp/on$i) & done; wait")
        self.assertEqual(machine.run("cat /tmp/on*").split(), [str(i) for i in range(cpus)])
        self.assertEqual(machine.run("cat /sys/devices/system/cpu/online"), f"0-{cpus - 1}\n" if cpus > 1 else "0\n")


class Linux(Boots):
    def test_cloud(self):
        machine = self.boot("cloud")
        self.check_log(machine)
        self.assertEqual(machine.run("lspci"), DEVICES)
        self.check_commands(machine)
        self.check_power_off(machine)

    def test_cloud_on_four_cpus(self):
        machine = self.boot("cloud", 4)
        self.check_log(machine)
        self.check_cpus(machine, 4)
        self.check_power_off(machine)


class LongLinux(Boots):
    def check_boot(self, name, cpus, options=(), word="x86_64"):
        machine = self.boot(name, cpus, options=options)
        self.check_log(machine)
        self.assertEqual(machine.run("uname -m").strip(), word)
        self.assertEqual(machine.run("lspci"), DEVICES)
        self.check_cpus(machine, cpus)
        self.check_commands(machine)
        self.check_power_off(machine)

    def test_amd64(self):
        self.check_boot("amd64", 1)

    def test_amd64_on_four_cpus(self):
        self.check_boot("amd64", 4)

    def test_amd64_with_every_feature(self):
        self.check_boot("amd64", 2, ["-cpu", "max"])

    def test_686(self):
        self.check_boot("i686", 1, word="i686")

    def test_686_on_four_cpus(self):
        self.check_boot("i686", 4, word="i686")

    def test_686_pae(self):
        self.check_boot("i686-pae", 1, word="i686")

    def test_686_pae_on_four_cpus(self):
        self.check_boot("i686-pae", 4, word="i686")

    def test_much_memory(self):
        """Memory above 4 GiB, where the hole of PCI splits it."""
        machine = self.boot("cloud", memory=5120)
        total = int(machine.run("awk '/MemTotal/ {print $2}' /proc/meminfo"))
        self.assertGreater(total, 4800 * 1024)
        self.assertIn("100000000-", machine.run("grep RAM /proc/iomem"))
        machine.run("dd if=/dev/zero of=/tmp/much bs=1M count=400 2>/dev/null")
        self.assertEqual(machine.run("md5sum </tmp/much", timeout=300), hashlib.md5(bytes(400 << 20)).hexdigest() + "  -\n")
        self.check_power_off(machine)

    def test_date_that_is_set(self):
        machine = self.boot("cloud", options=["-rtc", "base=2001-02-03T04:05:06"])
        self.assertRegex(machine.run("date -u +%Y-%m-%d"), "2001-02-03")
        self.check_power_off(machine)

    def test_reboot_ends_with_no_reboot(self):
        machine = self.boot("cloud")
        machine.serial.send("reboot -f\n")
        self.check_end(machine)

    def test_panic(self):
        """The kernel's own words about a panic come through, and it reboots."""
        machine = self.boot("cloud", append="quiet panic=1")
        machine.serial.send("echo c >/proc/sysrq-trigger\n")
        machine.serial.wait_for("Kernel panic - not syncing: sysrq triggered crash")
        self.check_end(machine)


if not LONG:
    del LongLinux

if __name__ == "__main__":
    unittest.main()
