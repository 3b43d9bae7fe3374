# SPDX-License-Identifier: MIT
"""Disks, a CD and a floppy: GRUB boots from them, Linux has its root on one, what is written lasts over a
reboot, and what is read is what is there."""
import hashlib
import os
import re
import shutil
import subprocess
import unittest

from guest import Case
from recording import LONG

from machine import Unexpected  # of scripts/images

FIRST_PARTITION = 2048 * 512

KEYS = {" ": "spc", "\n": "ret", "-": "minus", "/": "slash", ".": "dot", "(": "shift-9", ")": "shift-0"}

# What GRUB's own lspci says of the pc machine.
GRUB_LSPCI = r"""00:00\.0 8086:1237 \[0600\] Host Bridge
00:01\.0 8086:7000 \[0601\] ISA Bridge
00:01\.1 8086:7010 \[0101\] IDE Controller \[PI 80\]
00:01\.3 8086:7113 \[0680\] Unknown Bridge
00:02\.0 1234:1111 \[0300\] VGA Controller
00:03\.0 8086:100e \[0200\] Ethernet Controller
"""


def digest(path, begin=0, size=None):
    with open(path, "rb") as file:
        file.seek(begin)
        return hashlib.md5(file.read() if size is None else file.read(size)).hexdigest()


class Disks(Case):
    def check_file_system(self, path):
        """e2fsck finds nothing to mend in the first partition."""
        e2fsck = shutil.which("e2fsck", path="/usr/sbin:/sbin:/usr/bin")
        self.assertIsNotNone(e2fsck, "e2fsck is missing: scripts/install-deps check gets it")
        # What was going on when the machine ended is in the journal; that is replayed first, as at a boot.
        subprocess.run([e2fsck, "-p", f"{path}?offset={FIRST_PARTITION}"], check=False, capture_output=True)
        done = subprocess.run([e2fsck, "-fn", f"{path}?offset={FIRST_PARTITION}"], check=False, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self.assertEqual(done.returncode, 0, done.stdout)

    def boot_disk(self, disk, options=()):
        return self.machine(["-drive", f"file={disk},format=raw", "-m", 256, *options])

    def wait_for_boot(self, machine, number):
        machine.serial.wait_for("grub: loading")
        machine.serial.wait_for("^guest: user space$")
        machine.serial.wait_for(f"^guest: root on disk, boot {number}$")
        machine.shell()
        self.assertRegex(machine.run("mount"), r"/dev/(root|sda1) on / type ext4 \(rw")

    def check_reboot(self, name):
        """Boots through GRUB, writes, reboots, and finds what was written."""
        disk = self.copy(name, "disk.img")
        machine = self.boot_disk(disk)
        self.wait_for_boot(machine, 1)
        machine.run("head -c 9000000 /dev/urandom >/random; cp /random /other; sync")
        written = machine.run("md5sum </random")
        machine.serial.send("reboot -f\n")
        self.wait_for_boot(machine, 2)
        self.assertEqual(machine.run("md5sum </random"), written)
        self.assertEqual(machine.run("cmp /random /other && rm /other && sync"), "")
        self.assertEqual(machine.power_off(), 0)
        self.assertEqual(machine.errors(), "")
        self.check_file_system(disk)

    def type_keys(self, machine, text):
        for letter in text:
            machine.monitor(f"sendkey {KEYS.get(letter, letter)}")


class ShortDisks(Disks):
    def test_grub_and_reboot(self):
        self.check_reboot("disk-cloud")

    def test_reads_are_seen(self):
        """Two reads of 128 bytes, at 0 and at 16384 of the second disk, are DMA from there."""
        log = self.path("log")
        numbers = self.guest("numbers", "numbers.img")
        machine = self.machine([*self.linux("amd64"), "-m", 256, "-snapshot", "-drive",
                                f"file={numbers},format=raw", "-drive", f"file={numbers},format=raw",
                                "-d", "trace:dma_blk_io", "-D", log])
        machine.shell()
        for at in (0, 128):
            before = os.path.getsize(log)
            out = machine.run(f"dd if=/dev/sdb bs=128 skip={at} count=1 2>/dev/null | md5sum")
            self.assertEqual(out.split()[0], digest(numbers, at * 128, 128))
            with open(log, encoding="utf-8") as file:
                file.seek(before)
                seen = re.findall(r"dma_blk_io dbs=0x[0-9a-f]+ bs=0x[0-9a-f]+ offset=(\d+) to_dev=(\d)", file.read())
            self.assertEqual(seen[:1], [(str(at * 128), "0")])
        self.assertEqual(machine.power_off(), 0)

    def test_floppy(self):
        machine = self.machine(["-fda", self.guest("rescue", "grub-rescue-floppy.img"), "-boot", "a", "-m", 64,
                                "-snapshot"])
        machine.wait_for_screen("GNU GRUB +version 2")
        machine.wait_for_screen("Press enter to boot")
        self.type_keys(machine, "c")
        machine.wait_for_screen("grub>")
        self.type_keys(machine, "ls\n")
        machine.wait_for_screen(r"grub> ls *\n.*\(fd0\)")
        machine.monitor_quit()
        self.check_end(machine)


class LongDisks(Disks):
    def test_grub_and_reboot_with_modules(self):
        self.check_reboot("disk-amd64")

    def test_all_of_a_disk_and_a_cd(self):
        """Through both channels, with DMA and without."""
        numbers = self.guest("numbers", "numbers.img")
        before = digest(numbers)
        cd = self.guest("rescue", "grub-rescue-cdrom.iso")
        for words in ("quiet", "quiet libata.dma=0"):
            with self.subTest(append=words):
                machine = self.machine([*self.linux("amd64", words), "-m", 256, "-snapshot", "-hda", numbers,
                                        "-hdb", numbers, "-hdd", numbers, "-cdrom", cd])
                machine.shell()
                for disk in ("sda", "sdb", "sdc"):
                    self.assertEqual(machine.run(f"md5sum </dev/{disk}").split()[0], digest(numbers))
                self.assertEqual(machine.run("md5sum </dev/sr0").split()[0], digest(cd))
                machine.run("head -c 700000 /dev/sr0 | tee /dev/sdc >/dev/sda; sync; echo 3 >/proc/sys/vm/drop_caches")
                for disk in ("sda", "sdc"):
                    self.assertEqual(machine.run(f"head -c 700000 /dev/{disk} | md5sum").split()[0],
                                     digest(cd, 0, 700000))
                self.assertEqual(machine.power_off(), 0)
                machine.close()
        self.assertEqual(digest(numbers), before)

    def test_snapshot_keeps_the_disk(self):
        disk = self.copy("disk-cloud", "disk.img")
        before = digest(disk)
        for _ in range(2):
            machine = self.boot_disk(disk, ["-snapshot"])
            self.wait_for_boot(machine, 1)
            self.assertEqual(machine.power_off(), 0)
            machine.close()
        self.assertEqual(digest(disk), before)

    def test_positional_disk_with_much_written(self):
        disk = self.copy("disk-cloud", "disk.img")
        machine = self.machine([disk, "-m", 256])
        self.wait_for_boot(machine, 1)
        machine.run("for i in $(seq 300); do seq $i 3000 >/file$i; done; sync; echo 3 >/proc/sys/vm/drop_caches")
        wanted = hashlib.md5("".join(f"{n}\n" for i in range(1, 301) for n in range(i, 3001)).encode())
        self.assertEqual(machine.run("for i in $(seq 300); do cat /file$i; done | md5sum").split()[0],
                         wanted.hexdigest())
        self.assertEqual(machine.power_off(), 0)
        self.check_file_system(disk)

    def test_cd(self):
        """GRUB from a CD: its own list of devices, and what the CPU can."""
        machine = self.machine(["-cdrom", self.guest("rescue", "grub-rescue-cdrom.iso"), "-boot", "d", "-m", 64])
        machine.wait_for_screen("Press enter to boot")
        self.type_keys(machine, "c")
        machine.wait_for_screen("grub>")
        self.type_keys(machine, "ls\n")
        machine.wait_for_screen(r"grub> ls *\n\(cd\) ")
        self.type_keys(machine, "lspci\n")
        machine.wait_for_screen(GRUB_LSPCI + "grub>")
        self.type_keys(machine, "halt\n")
        self.check_end(machine)

    def test_no_disk_to_boot(self):
        machine = self.machine(["-m", 64, "-net", "none"], debug_console=True)
        machine.wait_for_screen("No bootable device")
        with self.assertRaises(Unexpected):
            machine.wait_for_screen("grub>", timeout=1)
        machine.monitor_quit()
        self.check_end(machine)


if not LONG:
    del LongDisks

if __name__ == "__main__":
    unittest.main()
