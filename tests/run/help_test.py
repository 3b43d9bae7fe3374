# SPDX-License-Identifier: MIT
"""The manual pages and --help tell of the same options and keys, in both directions."""
import os
import re
import subprocess
import unittest

from recording import BUILD, ROOT

# What every program and command has, and its help therefore does not repeat.
ALWAYS = {"-h", "--help"}


def options(text):
    """Words with two dashes wherever they stand; those with one at the beginning of a line."""
    return (set(re.findall(r"(?<![\w-])--[a-z][a-z-]*[a-z]", text)) |
            set(re.findall(r"(?m)^\s*(-[A-Za-z]+)\b", text)))


def keys(text):
    """The words before an equals sign, as -trace has them."""
    return set(re.findall(r"(?<![\w-])([a-z]+)=", text))


def sections(name):
    """{heading: text} of a manual page, without what is for troff alone."""
    with open(os.path.join(ROOT, "docs", "man", name + ".1"), encoding="utf-8") as file:
        text = file.read()
    text = re.sub(r"\\f[A-Z]", "", text.replace(r"\-", "-").replace('"', ""))
    text = re.sub(r"(?m)^\.(?!SH)[A-Za-z]+ ?", "", text)
    parts = re.split(r"(?m)^\.SH (.*)$", text)
    return dict(zip(parts[1::2], parts[2::2]))


class Help(unittest.TestCase):
    def help(self, *command):
        done = subprocess.run([os.path.join(BUILD, command[0]), *command[1:], "--help"],
                              stdout=subprocess.PIPE, text=True, timeout=60, check=True)
        return done.stdout

    def test_demo(self):
        page, text = sections("vitrine-demo")["OPTIONS"], self.help("vitrine-demo")
        self.assertEqual(options(page), options(text))
        self.assertEqual(keys(page), keys(text))
        self.assertIn("--seats", options(text))
        self.assertIn("overflow", keys(text))

    def test_user(self):
        page, text = sections("vitrine-user")["OPTIONS"], self.help("vitrine-user")
        self.assertEqual(options(page), options(text))
        self.assertEqual(keys(page), keys(text))
        self.assertIn("-dfilter", options(text))
        self.assertIn("cache", keys(text))
        variables = set(re.findall(r"QEMU_[A-Z_]+", page))
        self.assertEqual(variables, set(re.findall(r"QEMU_[A-Z_]+", text)))

    def test_tracegen(self):
        page, text = sections("vitrine-tracegen")["OPTIONS"], self.help("vitrine-tracegen")
        self.assertEqual(options(page), options(text))
        self.assertIn("--lttng-source", options(text))

    def test_trace(self):
        page = sections("vitrine-trace")
        common = options(page["OPTIONS OF ALL COMMANDS"])
        text = self.help("vitrine-trace")
        listed = re.findall(r"(?m)^  ([a-z]+)  ", text)
        self.assertEqual(options(text), {"--help", "--version"})
        self.assertLessEqual(options(text), common)
        self.assertEqual([name for name in page if name.lower() in listed],
                         [name.upper() for name in listed])
        for name in listed:
            with self.subTest(command=name):
                told = options(self.help("vitrine-trace", name)) | ALWAYS | {"--output", "--version"}
                self.assertEqual(options(page[name.upper()]) | common, told)


if __name__ == "__main__":
    unittest.main()
