# SPDX-License-Identifier: MIT
"""The command line of vitrine: help, what is refused, what reaches the machine, exit status. The firmware
of these tests is a few bytes of real mode; nothing here needs a package."""
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import unittest

from recording import BUILD

VITRINE = os.path.join(BUILD, "vitrine")

# Ends the process: OUT 0xf4, AL through isa-debug-exit.
EXIT = bytes([0xb0, 0x10, 0xe6, 0xf4, 0xf4, 0xeb, 0xfd])
# Writes "ok" to the debug console and halts for ever, interrupts off.
SAY_OK = bytes([0xb0, ord("o"), 0xe6, 0xe9, 0xb0, ord("k"), 0xe6, 0xe9, 0xfa, 0xf4, 0xeb, 0xfc])
# Resets by port 0x92, after a word on the debug console.
RESET = bytes([0xb0, ord("r"), 0xe6, 0xe9, 0xb0, 1, 0xe6, 0x92, 0xf4, 0xeb, 0xfd])
# An empty IDT and an invalid instruction: a triple fault.
TRIPLE = bytes([0x2e, 0x0f, 0x01, 0x1e, 0x00, 0x01, 0x0f, 0x0b])
# Reads a byte of fw_cfg key 5 (how many CPUs) to the debug console.
CPUS = bytes([0xba, 0x10, 0x05, 0xb8, 0x05, 0x00, 0xef, 0x42, 0xec, 0xe6, 0xe9, 0xfa, 0xf4, 0xeb, 0xfc])
# Soft-off as QEMU's firmware does it: the PM ports at 0x600 by configuration space, then sleep type 0.
POWER_OFF = bytes([
    0x66, 0xb8, 0x40, 0x0b, 0x00, 0x80, 0xba, 0xf8, 0x0c, 0x66, 0xef,  # 00:01.3, register 0x40
    0x66, 0xb8, 0x01, 0x06, 0x00, 0x00, 0xba, 0xfc, 0x0c, 0x66, 0xef,
    0x66, 0xb8, 0x80, 0x0b, 0x00, 0x80, 0xba, 0xf8, 0x0c, 0x66, 0xef,  # PMREGMISC
    0xb0, 0x01, 0xba, 0xfc, 0x0c, 0xee,
    0xba, 0x04, 0x06, 0xb8, 0x00, 0x20, 0xef, 0xf4, 0xeb, 0xfd])


def firmware(code):
    """64 KiB: the code at 0, a far jump to it at the reset vector."""
    image = bytearray(65536)
    image[:len(code)] = code
    image[0xfff0:0xfff5] = bytes([0xea, 0x00, 0x00, 0x00, 0xf0])
    return bytes(image)


class Case(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="vitrine-test-")
        self.addCleanup(shutil.rmtree, self.folder)

    def path(self, name):
        return os.path.join(self.folder, name)

    def write(self, name, content):
        with open(self.path(name), "wb") as file:
            file.write(content)
        return self.path(name)

    def run_vitrine(self, *args, program=VITRINE, **more):
        return subprocess.run([program, *args], text=True, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=120,
                              cwd=self.folder, **more)

    def boot(self, code, *args):
        """A machine without anything that nobody asked for."""
        return self.run_vitrine("-nodefaults", "-vga", "none", "-display", "none", "-m", "16", "-bios",
                                self.write("bios", firmware(code)), *args)

    def start(self, code, *args):
        process = subprocess.Popen(
            [VITRINE, "-nodefaults", "-vga", "none", "-display", "none", "-m", "16", "-bios",
             self.write("bios", firmware(code)), *args], text=True, stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=self.folder)
        self.addCleanup(self.end, process)
        return process

    def end(self, process):
        process.kill()
        process.communicate()

    def wait_for(self, path, content):
        for _ in range(600):
            if os.path.exists(path):
                with open(path, "rb") as file:
                    if content in file.read():
                        return
            time.sleep(0.1)
        self.fail(f"{path}: {content} did not come")


class Words(Case):
    def refuses(self, sentence, *args):
        done = self.run_vitrine(*args)
        self.assertEqual(done.stderr, f"vitrine: {sentence}\n")
        self.assertEqual(done.stdout, "")
        self.assertEqual(done.returncode, 1)

    def test_help(self):
        for option in ("-h", "--help", "-help"):
            done = self.run_vitrine(option)
            self.assertEqual(done.returncode, 0)
            self.assertTrue(done.stdout.startswith("usage: vitrine [OPTIONS] [IMAGE]\n"))
        rows = done.stdout.split("\nWhat -trace takes")[0]
        self.assertLessEqual(max(map(len, rows.splitlines())), 100)

    def test_lists(self):
        for words, part in ((["-M", "help"], "pc                   Standard PC (i440FX + PIIX, 1996)"),
                            (["-machine", "help"], "Supported machines are:"),
                            (["-cpu", "help"], "qemu64"),
                            (["-accel", "help"], "tcg"),
                            (["-device", "help"], 'name "isa-debug-exit", bus ISA'),
                            (["-device", "isa-debug-exit,help"], "iobase=<uint32>"),
                            (["-chardev", "help"], "  socket"),
                            (["-netdev", "help"], "user"),
                            (["-nic", "model=help"], "e1000"),
                            (["-vga", "help"], "std "),
                            (["-display", "help"], "none"),
                            (["-d", "help"], "cpu_reset"),
                            (["-trace", "help"], "pci_cfg_read"),
                            (["-L", "/x", "-L", "help"], "/x\n"),
                            (["-version"], "vitrine ")):
            with self.subTest(words=words):
                done = self.run_vitrine(*words)
                self.assertEqual((done.returncode, done.stderr), (0, ""))
                self.assertIn(part, done.stdout)

    def test_unknown(self):
        self.refuses("-kernell: there is no such option (did you mean -kernel?)", "-kernell", "x")
        self.refuses("-frobnicate: there is no such option (-h lists them)", "-frobnicate")
        self.refuses("-m: requires an argument ([size=]SIZE)", "-m")

    def test_refused_by_name(self):
        self.refuses("-display gtk: GTK support is disabled; there is none, and screendump in the "
                     "monitor", "-display", "gtk")
        for words, part in (("-s", "gdb"), ("-qmp stdio", "JSON"), ("--vnc :0", "VNC support is disabled"),
                            ("-curses", "-nographic"), ("-pflash x", "-bios FILE"),
                            ("-virtfs x", "mke2fs"), ("-plugin x", "-trace"), ("-usb", "USB"),
                            ("-vga cirrus", "std"), ("-parallel pty", "none"), ("-loadvm x", "-snapshot"),
                            ("-sandbox on", "sandboxing"), ("-icount shift=auto", "shift=auto")):
            with self.subTest(words=words):
                done = self.run_vitrine(*words.split())
                self.assertEqual(done.returncode, 1)
                self.assertIn(part, done.stderr)
                self.assertTrue(done.stderr.startswith("vitrine: " + words.split()[0]), done.stderr)

    def test_bad_values(self):
        for words, part in (
                ("-M q35", "unsupported machine type 'q35'; there is pc (i440FX + PIIX)"),
                ("-M pc,hpet=maybe", "hpet"),
                ("-M pc,frob=on", "Property 'pc.frob' not found"),
                ("-M pc,usb=on", "usb=on: there is nothing of the kind"),
                ("-cpu nosuch", "unable to find CPU model 'nosuch'"),
                ("-accel frob", "invalid accelerator frob"),
                ("-smp 0", "CPU topology parameters must be greater than zero"),
                ("-smp 4,cores=3", "product of the hierarchy must match maxcpus"),
                ("-smp 3,maxcpus=2", "maxcpus must be equal to or greater than smp"),
                ("-smp 300", "The max CPUs supported by machine 'pc' is 255"),
                ("-m 12x", "size=12x"),
                ("-m 4k", "at least 1 MiB"),
                ("-m 1G,slots=2", "memory cannot be added"),
                ("-boot z", "Invalid boot device 'z'"),
                ("-boot cc", "Boot device 'c' was given twice"),
                ("-boot frob=on", "Invalid parameter 'frob'"),
                ("-rtc base=yesterday", "invalid datetime format"),
                ("-rtc clock=sun", "there are host, rt, vm"),
                ("-seed x", "seed=x"),
                ("-uuid 1-2", "failed to parse UUID"),
                ("-action reboot=none", "Parameter 'reboot' does not accept value 'none'"),
                ("-vga frob", "unknown vga type: frob"),
                ("-device isa-debug-exi", "did you mean 'isa-debug-exit'?"),
                ("-device PIIX3", "'PIIX3' is a part of the board"),
                ("-global frob", "not of the form DRIVER.PROPERTY=VALUE"),
                ("-drive file=nosuch.img", "Could not open 'nosuch.img': No such file or directory"),
                ("-hda nosuch.img", "Could not open 'nosuch.img': No such file or directory"),
                ("-drive media=cdrom,if=scsi", "there are ide, floppy and none"),
                ("-serial frob", "'frob' is not a character device"),
                ("-serial chardev:frob", "frob"),
                ("-mon frob", 'chardev "frob" not found'),
                ("-netdev frob,id=x", "frob"),
                ("-nic user,model=frob", "Unsupported NIC model: frob"),
                ("-object frob", "frob"),
                ("-fw_cfg opt/x", "either file= or string="),
                ("-bios nosuch.bin", "failed to find file 'nosuch.bin'"),
                ("-kernel nosuch.bin", "nosuch.bin"),
                ("-option-rom nosuch.rom", "nosuch.rom"),
                ("-d frob", "frob"),
                ("-D /nosuch/x -d int", "/nosuch/x"),
                ("-engine frob", "there is no word 'frob'"),
                ("-name frob=x", "Invalid parameter 'frob'"),
                ("-pidfile /nosuch/x", "cannot open PID file"),
                ("-nographic -daemonize", "-nographic cannot be used with -daemonize")):
            with self.subTest(words=words):
                done = self.run_vitrine("-display", "none", *words.split())
                self.assertEqual(done.returncode, 1, done.stderr)
                self.assertIn(part, done.stderr)
                self.assertTrue(done.stderr.startswith("vitrine: "), done.stderr)
                self.assertEqual(done.stderr.count("\n"), 1, done.stderr)

    def test_guests_by_name(self):
        for name, good in (("vitrine-i386", True), ("vitrine-system-x86_64", True),
                           ("vitrine-aarch64", False)):
            link = self.path(name)
            os.symlink(VITRINE, link)
            done = self.run_vitrine("-version", program=link)
            if good:
                self.assertEqual(done.returncode, 0)
            else:
                self.assertEqual(done.returncode, 1)
                self.assertEqual(done.stderr, f"{name}: there is no machine for 'aarch64'; there are "
                                              "x86_64 and i386\n")


class Machines(Case):
    def test_debug_exit(self):
        done = self.boot(EXIT, "-device", "isa-debug-exit,iobase=0xf4,iosize=4")
        self.assertEqual(done.returncode, 0x21, done.stderr)
        done = self.boot(EXIT, "-global", "isa-debug-exit.iobase=0xf4", "-device", "isa-debug-exit")
        self.assertEqual(done.returncode, 0x21, done.stderr)

    def test_triple_fault_tells_its_story(self):
        done = self.boot(TRIPLE, "-no-reboot")
        self.assertEqual(done.returncode, 0)
        self.assertIn("vitrine: CPU 0: triple fault, the machine ends. What happened before:", done.stderr)
        self.assertIn("#UD", done.stderr)

    def test_resets(self):
        process = self.start(RESET, "-debugcon", "file:" + self.path("out"), "-d", "cpu_reset", "-D",
                             self.path("log"))
        self.wait_for(self.path("out"), b"rrr")
        process.terminate()
        self.assertEqual(process.wait(60), 0)
        with open(self.path("log"), encoding="utf-8") as file:
            self.assertGreater(file.read().count("CPU Reset (CPU 0)\n"), 3)

    def test_no_reboot(self):
        done = self.boot(RESET, "-debugcon", "stdio", "-no-reboot")
        self.assertEqual((done.returncode, done.stdout), (0, "r"))
        done = self.boot(RESET, "-debugcon", "stdio", "-action", "reboot=shutdown")
        self.assertEqual((done.returncode, done.stdout), (0, "r"))

    def test_power_off(self):
        done = self.boot(POWER_OFF)
        self.assertEqual((done.returncode, done.stderr), (0, ""))

    def test_no_shutdown(self):
        process = self.start(POWER_OFF, "-no-shutdown", "-monitor", "stdio")
        time.sleep(1)
        out, err = process.communicate("info status\nquit\n", timeout=60)
        self.assertIn("VM status: paused (shutdown)", out, err)
        self.assertEqual(process.returncode, 0)

    def test_number_of_cpus(self):
        process = self.start(CPUS, "-smp", "3", "-debugcon", "file:" + self.path("out"))
        self.wait_for(self.path("out"), b"\x03")
        process.terminate()
        process.wait(60)

    def test_stopped(self):
        process = self.start(SAY_OK, "-S", "-debugcon", "file:" + self.path("out"), "-monitor",
                             "unix:" + self.path("mon") + ",server,nowait")
        for _ in range(100):
            if os.path.exists(self.path("mon")):
                break
            time.sleep(0.1)
        with socket.socket(socket.AF_UNIX) as monitor:
            monitor.settimeout(60)
            monitor.connect(self.path("mon"))
            time.sleep(0.3)
            self.assertEqual(os.path.getsize(self.path("out")), 0)
            monitor.sendall(b"cont\n")
            self.wait_for(self.path("out"), b"ok")
            monitor.sendall(b"quit\n")
            self.assertEqual(process.wait(60), 0)

    def test_signals(self):
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            process = self.start(SAY_OK, "-debugcon", "file:" + self.path("out"))
            self.wait_for(self.path("out"), b"ok")
            process.send_signal(number)
            _, err = process.communicate(timeout=60)
            self.assertEqual(process.returncode, 0)
            self.assertEqual(err, f"vitrine: terminating on signal {int(number)} from pid {os.getpid()}\n")
            os.unlink(self.path("out"))

    def test_a_busy_guest_can_be_stopped(self):
        process = self.start(bytes([0xfa, 0xeb, 0xfe]), "-monitor", "stdio")
        time.sleep(1)
        out, err = process.communicate("info status\nstop\ninfo status\ninfo registers\nquit\n", timeout=60)
        self.assertEqual(process.returncode, 0, err)
        self.assertIn("VM status: running", out)
        self.assertIn("VM status: paused", out)
        self.assertIn("EIP=00000001", out)

    def test_states_are_probes(self):
        done = self.boot(POWER_OFF, "-trace", "runstate_set", "-trace", "vm_state_notify", "-trace",
                         "load_file", "-trace", "qemu_system_shutdown_request")
        self.assertEqual(done.stderr.splitlines(), [
            f"load_file name {self.path('bios')} location {self.path('bios')}",
            "runstate_set current_run_state 6 (prelaunch) new_state 9 (running)",
            "vm_state_notify running 1 reason 9 (running)",
            "qemu_system_shutdown_request reason=6",
            "runstate_set current_run_state 9 (running) new_state 11 (shutdown)",
            "vm_state_notify running 0 reason 11 (shutdown)"])

    def test_pidfile_and_background(self):
        done = self.boot(SAY_OK, "-daemonize", "-pidfile", self.path("pid"), "-debugcon",
                         "file:" + self.path("out"))
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        with open(self.path("pid"), encoding="ascii") as file:
            pid = int(file.read())
        self.wait_for(self.path("out"), b"ok")
        os.kill(pid, signal.SIGTERM)
        for _ in range(100):
            if not os.path.exists(self.path("pid")):
                return
            time.sleep(0.1)
        self.fail("the file with the process id is still there")

    def test_daemon_that_cannot_start(self):
        done = self.run_vitrine("-daemonize", "-bios", "nosuch.bin", "-display", "none")
        self.assertEqual(done.returncode, 1)
        self.assertIn("failed to find file 'nosuch.bin'", done.stderr)

    def test_folders(self):
        os.mkdir(self.path("roms"))
        with open(self.path("roms/mine.bin"), "wb") as file:
            file.write(firmware(EXIT))
        done = self.run_vitrine("-nodefaults", "-vga", "none", "-bios", "mine.bin", "-L", "roms", "-device",
                                "isa-debug-exit,iobase=0xf4")
        self.assertEqual(done.returncode, 0x21, done.stderr)

    def test_firmware_of_odd_size(self):
        done = self.run_vitrine("-nodefaults", "-vga", "none", "-bios", self.write("odd", bytes(1000)))
        self.assertEqual(done.returncode, 1)
        self.assertIn("1000 bytes are not a multiple of 64 KiB", done.stderr)

    def test_kvm_is_a_warning(self):
        done = self.boot(POWER_OFF, "-enable-kvm")
        self.assertEqual(done.returncode, 0)
        self.assertEqual(done.stderr, "vitrine: warning: there is no KVM here: the guest is translated\n")
        for words in (["-accel", "kvm"], ["-M", "pc,accel=kvm"]):
            done = self.boot(POWER_OFF, *words)
            self.assertEqual(done.returncode, 0)
            self.assertIn("warning", done.stderr)
        done = self.boot(POWER_OFF, "-accel", "kvm", "-accel", "tcg", "-M", "pc,accel=kvm:tcg")
        self.assertEqual(done.returncode, 0)

    def test_odd_globals_are_warnings(self):
        done = self.boot(POWER_OFF, "-global", "frob.x=1", "-global", "isa-debug-exit.frob=1")
        self.assertEqual(done.returncode, 0)
        self.assertEqual(done.stderr.splitlines(),
                         ["vitrine: warning: global frob.x has invalid class name",
                          "vitrine: warning: global isa-debug-exit.frob=1 not used"])

    def test_name_of_the_process(self):
        process = self.start(SAY_OK, "-name", "guest=g,process=looking-glass", "-debugcon",
                             "file:" + self.path("out"))
        self.wait_for(self.path("out"), b"ok")
        with open(f"/proc/{process.pid}/comm", encoding="ascii") as file:
            self.assertEqual(file.read(), "looking-glass\n")
        process.terminate()

    def test_nographic_is_serial_and_monitor(self):
        """Ctrl-A x ends it."""
        process = subprocess.Popen([VITRINE, "-nographic", "-nic", "none", "-vga", "none", "-bios",
                                    self.write("bios", firmware(SAY_OK))], stdin=subprocess.PIPE,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.addCleanup(process.kill)
        time.sleep(0.5)
        process.stdin.write(b"\x01x")
        process.stdin.flush()
        out, err = process.communicate(timeout=60)
        self.assertEqual(process.returncode, 0, err)
        self.assertTrue(re.search(rb"Terminated", err + out), err + out)


if __name__ == "__main__":
    unittest.main()
