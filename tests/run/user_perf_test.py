# SPDX-License-Identifier: MIT
"""-perfmap and -jitdump: what perf would read, judged by Linux's jitdump-specification.txt and by the
event translate_block, which tells of the same blocks in another way."""
import bisect
import os
import re
import shutil
import stat
import struct
import subprocess
import tempfile
import unittest

from recording import BUILD

VITRINE_USER = os.path.join(BUILD, "vitrine-user")
PERL = "/usr/bin/perl"
EM_X86_64 = 62

FORKS = """
$| = 1;
my $child = fork;
if (!$child) { print "child $$\\n"; my $sum = 0; $sum += $_ for 1 .. 1000; exit }
waitpid $child, 0;
print "parent $$\\n";
exec "/bin/echo", "executed";
"""


def parse_map(text):
    """[(start, size, name)] of a map file."""
    rows = []
    for line in text.splitlines():
        found = re.fullmatch(r"([0-9a-f]+) ([0-9a-f]+) ([!-~\x80-\xff]+)", line)
        if not found:
            raise AssertionError(f"no line of a map file: {line!r}")
        rows.append((int(found[1], 16), int(found[2], 16), found[3]))
    return rows


class Perf(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="vitrine-test-")
        self.addCleanup(shutil.rmtree, self.folder)
        self.environment = {name: value for name, value in os.environ.items()
                            if not name.startswith("QEMU_")}

    def run_user(self, *args, **more):
        """(pid, standard output, standard error) of vitrine-user in the folder."""
        process = subprocess.Popen([VITRINE_USER, *args], cwd=self.folder, text=True,
                                   stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, env={**self.environment, **more})
        self.addCleanup(self.remove_map, process.pid)
        out, errors = process.communicate(timeout=120)
        self.assertEqual(process.returncode, 0, errors)
        return process.pid, out, errors

    @staticmethod
    def map_path(pid):
        return f"/tmp/perf-{pid}.map"

    def remove_map(self, pid):
        if os.path.exists(self.map_path(pid)):
            os.remove(self.map_path(pid))

    def read(self, path):
        """A file that must be ours alone."""
        status = os.lstat(path)
        self.assertEqual(status.st_mode, stat.S_IFREG | 0o600)
        with open(path, "rb") as file:
            return file.read()

    def map(self, pid):
        return parse_map(self.read(self.map_path(pid)).decode("latin-1"))

    def dump(self, pid):
        """[(start, size, name, code, index, time)] of a dump, every field checked."""
        data = self.read(os.path.join(self.folder, f"jit-{pid}.dump"))
        magic, version, size, machine, _, owner, begin, flags = struct.unpack_from("=IIIIIIQQ", data)
        self.assertEqual((magic, version, size, machine, owner, flags),
                         (0x4a695444, 1, 40, EM_X86_64, pid, 0))
        rows, at, before = [], size, begin
        while at < len(data):
            kind, total, time, owner, thread, vma, address, length, index = struct.unpack_from(
                "=IIQIIQQQQ", data, at)
            end = data.index(b"\0", at + 56)
            self.assertEqual((kind, owner, vma), (0, pid, address))
            self.assertGreater(thread, 0)
            self.assertEqual(total, end + 1 - at + length)
            self.assertGreaterEqual(time, before)
            before = time
            rows.append((address, length, data[at + 56:end].decode("latin-1"),
                         data[end + 1:at + total], index, time))
            at += total
        self.assertEqual(at, len(data))
        self.assertEqual(len({row[4] for row in rows}), len(rows))
        return rows

    def blocks(self, errors):
        """{address of code: guest address} as translate_block tells."""
        return {int(code, 16): int(pc, 16) for pc, code in
                re.findall(r"translate_block tb:\S+, pc:(0x[0-9a-f]+), tb_code:(0x[0-9a-f]+)", errors)}

    def check(self, rows, errors):
        blocks = self.blocks(errors)
        self.assertGreater(len(blocks), 1000)
        rows = sorted(rows)
        for (start, size, name), (after, _, _) in zip(rows, rows[1:]):
            self.assertLessEqual(start + size, after, name)
        for code, pc in blocks.items():
            start, size, name = rows[bisect.bisect(rows, (code, 1 << 64)) - 1]
            self.assertTrue(start <= code < start + size, hex(code))
            self.assertNotIn("vitrine!", name)
            # Modules lie on pages: the last digits of the address are those that the file counts.
            offset = re.fullmatch(r"[^!+]+\+0x([0-9a-f]+)", name)
            if offset:
                self.assertEqual(int(offset[1], 16) & 0xfff, pc & 0xfff)
        names = {name for _, _, name in rows}
        self.assertIn("vitrine!glue", names)
        self.assertIn("perl!Perl_runops_standard", names)
        self.assertTrue([name for name in names if re.match(r"libc\.so\.6!\w+\+0x", name)])
        self.assertTrue([name for name in names if name.startswith("vitrine!exits:perl!Perl_")])

    def test_both(self):
        pid, out, errors = self.run_user("-perfmap", "--jitdump", "-trace", "translate_block", PERL,
                                         "-e", "print join ' ', map { $_ * 2 } 1 .. 5")
        self.assertEqual(out, "2 4 6 8 10")
        rows, dump = self.map(pid), self.dump(pid)
        self.check(rows, errors)
        self.assertEqual([row[:3] for row in dump], rows)
        for start, size, name, code, _, _ in dump:
            self.assertEqual(len(code), size)
            self.assertNotEqual(code, bytes(size), f"{name} at {start:#x} has no code")

    def test_by_environment(self):
        pid, _, _ = self.run_user("/bin/true", QEMU_PERFMAP="1", QEMU_JITDUMP="1")
        self.assertEqual(self.map(pid), [row[:3] for row in self.dump(pid)])

    def test_nothing_without(self):
        pid, _, _ = self.run_user("/bin/true")
        self.assertFalse(os.path.exists(self.map_path(pid)))
        self.assertEqual(os.listdir(self.folder), [])

    def test_fork_and_exec(self):
        pid, out, _ = self.run_user("-perfmap", "-jitdump", PERL, "-e", FORKS)
        child = int(re.search(r"child (\d+)", out)[1])
        self.addCleanup(self.remove_map, child)
        self.assertIn(f"parent {pid}\nexecuted\n", out)
        names = {name for _, _, name in self.map(child)}
        self.assertIn("vitrine!glue", names)
        self.assertIn("perl!Perl_pp_fork", " ".join(names))  # inherited
        self.assertFalse([name for name in names if name.startswith("echo")])
        inherited = {row[:2] for row in self.dump(child)}
        self.assertEqual(inherited, {row[:2] for row in self.map(child)})
        names = [name for _, _, name in self.map(pid)]
        self.assertEqual(names.count("vitrine!glue"), 2)  # before and behind exec
        after = names[len(names) - names[::-1].index("vitrine!glue"):]
        self.assertTrue([name for name in after if name.startswith("echo")])
        self.assertFalse([name for name in after if name.startswith("perl")])
        self.assertEqual([row[2] for row in self.dump(pid)], names)

    def test_a_file_of_an_earlier_process(self):
        """It is replaced, and a link there is not followed."""
        victim = os.path.join(self.folder, "victim")
        script = ('ln -sf "$PWD/victim" /tmp/perf-$$.map; echo stale > jit-$$.dump; echo $$; '
                  'exec "$0" -perfmap -jitdump /bin/true')
        with open(victim, "w", encoding="utf-8") as file:
            file.write("untouched")
        done = subprocess.run(["bash", "-c", script, VITRINE_USER], cwd=self.folder, text=True,
                              stdout=subprocess.PIPE, env=self.environment, timeout=60, check=True)
        pid = int(done.stdout)
        self.addCleanup(self.remove_map, pid)
        self.assertGreater(len(self.map(pid)), 100)
        self.assertGreater(len(self.dump(pid)), 100)
        with open(victim, encoding="utf-8") as file:
            self.assertEqual(file.read(), "untouched")

    def test_a_flush(self):
        """Code that replaces other code is told of too."""
        pid, _, errors = self.run_user("-jitdump", "-engine", "cache=512k", "-d", "jit-stats", PERL,
                                       "-e", "my %h; $h{$_ % 7} .= sprintf '%d', $_ for 1 .. 2000")
        self.assertGreater(int(re.search(r"(\d+) flushes", errors)[1]), 0)
        starts = [row[0] for row in self.dump(pid)]
        self.assertGreater(len(starts), len(set(starts)))

    def test_no_place_for_it(self):
        done = subprocess.run([VITRINE_USER, "-jitdump", "/bin/true"], cwd="/proc", text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60,
                              env=self.environment, check=False)
        self.assertEqual(done.returncode, 1)
        self.assertRegex(done.stderr, r"^vitrine-user: /proc/jit-\d+\.dump: cannot be created: .+\n$")


if __name__ == "__main__":
    unittest.main()
