# SPDX-License-Identifier: MIT
#
# The programs of tests/guest, on the real CPU and under vitrine-user with each switch of its engine.
# They say themselves what did not hold. The short form runs each as it is and under one switch, which
# changes from day to day. VITRINE_GUEST_SWITCHES names those to run under: some of SWITCHES, none (the
# engine as it is), or all.
import os
import tempfile
import time
import unittest
from pathlib import Path

from recording import BUILD, LONG, ROOT
from translated import difference, run, translated

SWITCHES = ("one-insn", "no-chain", "no-liveness", "count", "self-check", "random-exits", "cache=256K",
            "one-insn,no-chain,self-check", "no-chain,random-exits,cache=256K", "block=1,count")
FOLDER = Path(BUILD) / "tests" / "guest"
NATIVE_TIMEOUT, TIMEOUT = 60, 120


def chosen(number):
    """The switches that program `number` runs under; "" is none."""
    asked = os.environ.get("VITRINE_GUEST_SWITCHES")
    if asked == "all" or (LONG and not asked):
        return ("",) + SWITCHES
    if asked:
        return tuple("" if word == "none" else word for word in asked.split())
    day = int(time.time()) // 86400
    return "", SWITCHES[(number + day) % len(SWITCHES)]


# CPU models that CPU_PROGRAMS run as: all that differ, in the long form.
MODELS = ("qemu64", "Nehalem", "Haswell", "x86-64-v3")
MORE_MODELS = ("Westmere", "SandyBridge", "IvyBridge", "Broadwell", "Skylake-Client", "x86-64-v1", "x86-64-v2",
               "max,-xsave", "max,-avx", "max,-xsavec", "max,-fsgsbase")
CPU_PROGRAMS = ("cpu_id", "cpu_state", "code_library")


class Guest(unittest.TestCase):
    def test_models(self):
        for name in CPU_PROGRAMS:
            for model in MODELS + (MORE_MODELS if LONG else ()):
                with self.subTest(program=name, model=model), \
                        tempfile.TemporaryDirectory(prefix="vitrine-test-") as folder:
                    done = run(translated([str(FOLDER / name)], ["-cpu", model]), folder, timeout=TIMEOUT)
                    self.assertEqual((done.ending, done.stdout, done.stderr), ("status 0", b"", b""))

    def compare(self, name, switches):
        program = FOLDER / name
        if not program.exists():
            self.fail(f"{program} is missing: the build makes it (ninja tests)")
        with tempfile.TemporaryDirectory(prefix="vitrine-test-") as folder:
            native = run([str(program)], folder, timeout=NATIVE_TIMEOUT)
            self.assertEqual(native.ending, "status 0",
                             f"it fails on the real CPU: {native.stdout} {native.stderr}")
            for switch in switches:
                options = ["-engine", switch] if switch else []
                under = run(translated([str(program)], options), folder, timeout=TIMEOUT)
                with self.subTest(switch=switch or "none"):
                    differs = difference(native, under)
                    if differs:
                        self.fail(f"under {' '.join(options) or 'no switch'}: {differs}")


def add_tests():
    sources = sorted((Path(ROOT) / "tests/guest").glob("*.c"))
    for number, source in enumerate(sources):
        def test(self, name=source.stem, switches=chosen(number)):
            self.compare(name, switches)
        setattr(Guest, f"test_{source.stem}", test)


add_tests()

if __name__ == "__main__":
    unittest.main()
