# SPDX-License-Identifier: MIT
"""Programs of Debian inside a guest: what they print and how they end is the same as on this machine. The
programs are those of user_programs.py; they are on a disk with the files of the packages they are in, as
this machine has them. The guest runs all of them, one after the other; what they left is read from its disk.
"""
import os
import shlex
import shutil
import signal
import subprocess
import unittest
from pathlib import Path

import user_programs
from guest import Case
from recording import LONG
from translated import Outcome, difference, environment, run, system_tool

import programs  # of scripts/images

PACKAGES = ("base-files bash dash coreutils grep sed mawk diffutils findutils tar gzip xz-utils bzip2 zstd perl-base "
            "perl libperl5.36 perl-modules-5.36 sqlite3 openssl libc6 libc-bin ncurses-base").split()
LONG_PACKAGES = ("python3-minimal python3.11-minimal python3.11 libpython3.11-minimal libpython3.11-stdlib "
                 "libpython3.11-testsuite luajit git").split()

SHORT_ROWS = ("bash_pipes", "bash_arithmetic_and_text", "coreutils_sums", "grep_sed_awk", "gzip", "perl", "sqlite3")
LONG_ROWS = (*SHORT_ROWS, "bash_subshells", "bash_traps", "bash_here_documents", "bash_jobs", "bash_ends_by_signal",
             "bash_ends_with_status", "bash_not_found", "coreutils_text", "coreutils_numbers", "tar", "xz", "bzip2",
             "zstd", "python", "python_traceback", "python_test_math", "python_test_float", "python_test_struct",
             "python_test_decimal", "python_test_zlib", "python_test_re", "openssl_digests",
             "openssl_ciphers", "openssl_keys", "git", "threads", "luajit", "luajit_interpreter", "ldd", "script")

# Runs in the guest, in the disk's root.
RUN_ALL = """\
export LC_ALL=C.UTF-8 TZ=UTC
while read -r name folder; do
    cd "$folder"
    env -i PATH={path} HOME="$folder" TMPDIR="$folder" LC_ALL=C.UTF-8 TZ=UTC PYTHONHASHSEED=0 \\
        PYTHONDONTWRITEBYTECODE=1 GIT_CONFIG_NOSYSTEM=1 TERM=dumb \\
        /bin/bash /rows/$name.command </rows/$name.stdin >/rows/$name.stdout 2>/rows/$name.stderr
    echo $? >/rows/$name.status
    echo "row $name done"
done </rows/list
"""


class Programs(Case):
    def prepare(self, row, folder):
        folder.mkdir(parents=True)
        for name, content in row.files.items():
            path = folder / name
            path.write_bytes(content.encode() if isinstance(content, str) else content)
        if row.prepare:
            subprocess.run(["bash", "-c", row.prepare], cwd=folder, check=True, stdin=subprocess.DEVNULL,
                           stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment(str(folder)))

    def make_disk(self, rows, packages):
        """A disk with all programs and the rows; each row's folder has the path that it has natively."""
        root = Path(self.path("root"))
        programs.make_root(root, packages)
        (root / "rows").mkdir()
        lines = []
        for row in rows:
            folder = self.path(f"work-{row.name}")
            self.prepare(row, root / folder.lstrip("/"))
            command = list(row.command)
            if not command[0].startswith("."):
                command[0] = system_tool(command[0])
            (root / f"rows/{row.name}.command").write_text("exec " + shlex.join(command) + "\n")
            (root / f"rows/{row.name}.stdin").write_bytes(row.stdin)
            lines.append(f"{row.name} {folder}\n")
        (root / "rows/list").write_text("".join(lines))
        (root / "rows/all").write_text(RUN_ALL.replace("{path}", environment("/")["PATH"]))
        path = Path(self.path("disk.img"))
        programs.make_disk(path, root, 64 << 20)
        shutil.rmtree(root)
        return path

    def natively(self, row):
        folder = Path(self.path(f"work-{row.name}"))
        self.prepare(row, folder)
        command = list(row.command)
        if not command[0].startswith("."):
            command[0] = system_tool(command[0])
        outcome = run(["bash", "-c", "exec " + shlex.join(command)], str(folder), row.stdin, row.timeout)
        self.assertFalse(outcome.ending.startswith("still"), f"{row.name}: natively it does not end")
        return outcome

    def left(self, path, row):
        """What the guest left of a row on its disk."""
        def content(kind):
            return (Path(self.path("rows")) / f"{row.name}.{kind}").read_bytes()

        if not Path(self.path("rows")).exists():
            debugfs = shutil.which("debugfs", path="/usr/sbin:/sbin:/usr/bin")
            self.assertIsNotNone(debugfs, "debugfs is missing: scripts/install-deps check gets it")
            subprocess.run([debugfs, "-R", f"rdump /rows {self.folder}", path], check=True, capture_output=True)
        status = int(content("status"))
        ending = f"status {status}" if status <= 128 else f"signal {signal.Signals(status - 128).name}"
        return Outcome(ending, content("stdout"), content("stderr"), 0)

    def check_rows(self, names, packages, options=()):
        rows = {row.name: row for row in user_programs.ROWS}
        rows = [rows[name] for name in names]
        path = self.make_disk(rows, packages)
        machine = self.machine([*self.linux("amd64"), "-m", 768, "-drive", f"file={path},format=raw", *options])
        machine.shell()
        machine.serial.send(f"{programs.MOUNT} && chroot /mnt /bin/bash /rows/all; {programs.UNMOUNT}; poweroff -f\n")
        natively = [self.natively(row) for row in rows]
        for row in rows:
            machine.serial.wait_for(f"^row {row.name} done$", timeout=20 * row.timeout)
        self.check_end(machine)
        for row, native in zip(rows, natively):
            with self.subTest(row=row.name):
                under = self.left(path, row)
                if not row.stdout:
                    native, under = native._replace(stdout=b""), under._replace(stdout=b"")
                differs = difference(native, under, row.normalize, row.stderr)
                if differs:
                    self.fail(differs)

    def test_some(self):
        self.check_rows(SHORT_ROWS, PACKAGES, ["-cpu", "max"])


class LongPrograms(Programs):
    def test_some(self):
        """On the CPU that is the default."""
        self.check_rows(SHORT_ROWS, PACKAGES)

    def test_all(self):
        self.check_rows(LONG_ROWS, (*PACKAGES, *LONG_PACKAGES), ["-cpu", "max", "-smp", "2"])


if not LONG:
    del LongPrograms

if __name__ == "__main__":
    unittest.main()
