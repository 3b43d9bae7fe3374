# SPDX-License-Identifier: MIT
"""What stands before any system: SeaBIOS and what it finds, the keyboard, the files that a machine is made
of, the monitor's trace commands; and memtest86+, which is a system of its own."""
import os
import re
import signal
import subprocess
import sys
import time
import unittest

from guest import IS_QEMU, Case
from recording import LONG, ROOT, VITRINE_TRACE

# What SeaBIOS finds and does on the pc machine with 128 MiB, in QEMU as well; where QEMU's tables are longer or
# it has a parallel port is left out.
FOUND = """\
Running on QEMU (i440fx)
QEMU fw_cfg DMA interface supported
qemu/e820: addr 0x0000000000000000 len 0x0000000008000000 [RAM]
Moving pm_base to 0x600
Found 6 PCI devices (max PCI bus is 00)
PCI: IO: c000 - c04f
PCI: 32: 0000000080000000 - 00000000fec00000
PCI: map device bdf=00:03.0  bar 1, addr 0000c000, size 00000040 [io]
PCI: map device bdf=00:01.1  bar 4, addr 0000c040, size 00000010 [io]
PCI: map device bdf=00:03.0  bar 6, addr feb80000, size 00040000 [mem]
PCI: map device bdf=00:03.0  bar 0, addr febc0000, size 00020000 [mem]
PCI: map device bdf=00:02.0  bar 6, addr febe0000, size 00010000 [mem]
PCI: map device bdf=00:02.0  bar 2, addr febf0000, size 00001000 [mem]
PCI: map device bdf=00:02.0  bar 0, addr fd000000, size 01000000 [prefmem]
PCI: init bdf=00:00.0 id=8086:1237
PCI: init bdf=00:01.0 id=8086:7000
PIIX3/PIIX4 init: elcr=00 0c
PCI: init bdf=00:01.1 id=8086:7010
PCI: init bdf=00:01.3 id=8086:7113
Using pmtimer, ioport 0x608
PCI: init bdf=00:02.0 id=1234:1111
PCI: init bdf=00:03.0 id=8086:100e
PCI: Using 00:02.0 for primary VGA
Found 1 cpu(s) max supported 1 cpu(s)
VBE DISPI: bdf 00:02.0, bar 0
VBE DISPI: lfb_addr=fd000000, size 16 MB
ATA controller 1 at 1f0/3f4/0 (irq 14 dev 9)
ATA controller 2 at 170/374/0 (irq 15 dev 9)
Found 1 serial ports
PS2 keyboard initialized
DVD/CD [ata1-0: QEMU DVD-ROM ATAPI-4 DVD/CD]
  0: 0000000000000000 - 000000000009fc00 = 1 RAM
  1: 000000000009fc00 - 00000000000a0000 = 2 RESERVED
  2: 00000000000f0000 - 0000000000100000 = 2 RESERVED
  5: 00000000fffc0000 - 0000000100000000 = 2 RESERVED
""".splitlines()


class FirmwareCase(Case):
    def wait_for_log(self, path, pattern, timeout=30):
        """The matches of a pattern in a file, as soon as there is one."""
        limit = time.monotonic() + timeout
        while True:
            text = ""
            if os.path.exists(path):
                with open(path, encoding="utf-8", errors="replace") as file:
                    text = file.read()
            found = re.findall(pattern, text)
            if found or time.monotonic() > limit:
                return found
            time.sleep(0.1)


class Firmware(FirmwareCase):
    def test_seabios(self):
        machine = self.machine(["-m", 128], debug_console=True)
        self.wait_for_log(machine.debug_path, "enter handle_19")
        lines = machine.debug_console().splitlines()
        self.assertRegex(lines[0], r"^SeaBIOS \(version 1\.\d+\.\d+")
        self.assertEqual([line for line in FOUND if line not in lines], [])
        machine.wait_for_screen(r"SeaBIOS \(version 1[^$]*\niPXE ")
        machine.monitor_quit()
        self.check_end(machine)

    def test_four_cpus(self):
        machine = self.machine(["-m", 128, "-net", "none", "-smp", "4,maxcpus=8"], debug_console=True)
        machine.wait_for_screen("No bootable device")
        self.assertIn("Found 4 cpu(s) max supported 8 cpu(s)", machine.debug_console())
        machine.monitor_quit()
        self.check_end(machine)

    def test_key(self):
        """sendkey g: the scan codes of set 2."""
        log = self.path("log")
        machine = self.machine(["-m", 64, "-net", "none", "-d", "trace:ps2_put_keycode", "-D", log])
        machine.wait_for_screen("No bootable device")
        machine.monitor("sendkey g")
        self.wait_for_log(log, r"0xf0\n.*0x34")
        self.assertEqual(self.wait_for_log(log, r"ps2_put_keycode 0x[0-9a-f]+ keycode (0x[0-9a-f]+)"),
                         ["0x34", "0xf0", "0x34"])
        machine.monitor_quit()
        self.check_end(machine)

    def test_seed_monitor(self):
        """A user lists events, and switches one off."""
        with open(self.path("events"), "w", encoding="ascii") as file:
            file.write("load_file\n")
        machine = self.machine(["-S", "-trace", f"events={self.path('events')}"])
        everything = machine.monitor("info trace-events")
        for line in ("load_file : state 1", "runstate_set : state 0", "vm_state_notify : state 0",
                     "cpu_out : state 0", "pci_cfg_read : state 0"):
            self.assertIn(line, everything.splitlines())
        self.assertEqual(machine.monitor("info trace-events load_f*"), "load_file : state 1\n")
        self.assertEqual(machine.monitor("trace-event load_file off"), "")
        self.assertEqual(machine.monitor("info trace-events load_f*"), "load_file : state 0\n")
        if not IS_QEMU:  # Debian's has no writer of recordings
            self.assertEqual(machine.monitor("trace-file flush"), "")
        machine.monitor_quit()
        self.assertEqual(machine.ended(), 0)

    def test_files_opened(self):
        log = self.path("log")
        disk = self.guest("numbers", "numbers.img")
        machine = self.machine(["-S", "-snapshot", "-drive", f"file={disk},format=raw", "-d", "trace:load_file", "-D",
                                log])
        self.assertIn("prelaunch", machine.monitor("info status"))
        found = dict(self.wait_for_log(log, r"load_file name (\S+) location (\S+)"))
        for name in ("bios-256k.bin", "vgabios-stdvga.bin", "efi-e1000.rom"):
            self.assertTrue(os.path.isfile(found.get(name, "")), f"{name}: {found}")
        machine.monitor_quit()
        self.check_end(machine)

    def test_ended_by_a_signal(self):
        machine = self.machine(["-m", 64, "-net", "none"])
        machine.wait_for_screen("No bootable device")
        os.kill(machine.process.pid, signal.SIGTERM)
        self.assertEqual(machine.ended(), 0)


class Recordings(Case):
    """What QEMU of Debian cannot do: recordings."""

    def test_seed_recording(self):
        """The files of a machine in a recording, read with the script that QEMU's users have."""
        with open(self.path("events"), "w", encoding="ascii") as file:
            file.write("load_file\n")
        machine = self.machine(["-m", 64, "-trace", f"events={self.path('events')}"])
        machine.wait_for_screen("SeaBIOS")
        machine.monitor("trace-file flush")
        path = os.path.join(machine.folder, f"trace-{machine.process.pid}")
        script = [sys.executable, os.path.join(ROOT, "python", "simpletrace.py"), f"{path}.events", path]

        def read():
            return subprocess.run(script, check=True, stdout=subprocess.PIPE, text=True,
                                  env=dict(os.environ, VITRINE_TRACE=VITRINE_TRACE)).stdout

        while_running = read()
        for name in ("bios-256k.bin", "vgabios-stdvga.bin", "efi-e1000.rom"):
            self.assertRegex(while_running, rf"load_file [0-9.]+ pid={machine.process.pid} "
                             rf"name=b'{name}' path=b'/\S+/{name}'")
        machine.monitor_quit()
        self.check_end(machine)
        self.assertEqual(read(), while_running)


class LongFirmware(FirmwareCase):
    def test_ipxe(self):
        """The network card's own ROM has an address by DHCP."""
        machine = self.machine(["-m", 128, "-boot", "n"])
        machine.wait_for_screen(r"net0: 10\.0\.2\.15/255\.255\.255\.0 gw 10\.0\.2\.2")
        machine.monitor_quit()
        self.check_end(machine)


class Memtest(Case):
    def test_pass(self):
        """A whole pass over 64 MiB."""
        machine = self.machine(["-kernel", self.guest("memtest", "memtest86+x64.bin"), "-m", "64M"])
        machine.wait_for_screen(r"Memtest86\+ v6")
        machine.wait_for_screen(r"Pass: +1 ", timeout=1500)
        self.assertRegex("\n".join(machine.screen()), r"Testing: +\S+ - \S+ \[\d\d\.?\d*MB of 6[34].*[^$]*Errors: +0\b")
        # Escape reboots; and -no-reboot is not given: the firmware starts it again.
        machine.monitor_quit()
        self.check_end(machine)

    def test_disc(self):
        """From a CD, by way of the boot loader on it."""
        machine = self.machine(["-cdrom", self.guest("memtest", "memtest86+x64.iso"), "-m", "64M", "-smp", 2])
        machine.wait_for_screen(r"Memtest86\+ v6")
        machine.wait_for_screen(r"Test #2[^$]*Errors: +0\b", timeout=300)
        machine.monitor_quit()
        self.check_end(machine)


if IS_QEMU:
    del Recordings
if not LONG:
    del LongFirmware
    del Memtest

if __name__ == "__main__":
    unittest.main()
