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


# A row of a table of the monitor: its name, without others behind bars.
COMMAND = r'(?m)^    \{(?:\.name = )?"([a-z][a-z0-9_-]*)(?:\|[^"]*)?",\s+(?:NULL|"|\.help)'


def source(*parts):
    with open(os.path.join(ROOT, *parts), encoding="utf-8") as file:
        return file.read()


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

    def test_vitrine(self):
        page, text = sections("vitrine")["OPTIONS"], self.help("vitrine")
        self.assertEqual(options(page), options(text))
        self.assertEqual(keys(page), keys(text))
        self.assertIn("-dfilter", options(text))
        self.assertIn("hostfwd", keys(text))
        text = subprocess.run([os.path.join(BUILD, "vitrine"), "-d", "help"],
                              stdout=subprocess.PIPE, text=True, timeout=60, check=True).stdout
        listed = re.search(r"lists: ((?:[a-z_-]+,\s)+[a-z_-]+)\.", page)[1]
        self.assertEqual(set(re.findall(r"(?m)^([a-z_-]+)  ", text)),
                         set(re.findall(r"[a-z_-]+", listed)))

    def test_vitrine_refuses_what_it_says(self):
        """No option is both in the table and among those that are refused."""
        rows = set(re.findall(r'(?:NOW|WHOLE|LATER)\("(-[\w-]+)"', source("src", "cmd", "vitrine", "options.c")))
        refused = re.findall(r'\{"( -[^"]+ )",', source("src", "cmd", "vitrine", "refused.c"))
        refused = {name for names in refused for name in names.split()}
        self.assertIn("-gdb", refused)
        self.assertIn("-drive", rows)
        self.assertEqual(rows & refused, set())

    def test_writers(self):
        """Those that there are, in every text about them."""
        known = set(re.findall(r"writer=([a-z]+) ", self.help("vitrine-demo")))
        self.assertIn("simple", known)
        self.assertEqual(known, set(re.findall(r"writer=([a-z]+) ", self.help("vitrine-user"))))
        for name in ("vitrine-demo", "vitrine-user"):
            listed = re.search(r"writer= ?\(([^;]*);", sections(name)["OPTIONS"])[1]
            self.assertEqual(known, set(re.findall(r"[a-z]+", listed)))

    def test_log_items(self):
        text = subprocess.run([os.path.join(BUILD, "vitrine-user"), "-d", "help"],
                              stdout=subprocess.PIPE, text=True, timeout=60, check=True).stdout
        known = set(re.findall(r"(?m)^([a-z_-]+)  ", text))
        listed = re.search(r"lists: ([^(]*)\(QEMU_LOG\)", sections("vitrine-user")["OPTIONS"])[1]
        self.assertEqual(known, set(re.findall(r"[a-z_-]+", listed)))
        with open(os.path.join(ROOT, "docs", "guest-probes.md"), encoding="utf-8") as file:
            page = file.read()
        told = re.search(r"`-d ([a-z_,]+)`", page)[1].split(",")
        self.assertLessEqual(set(told), known)
        self.assertEqual(known - set(told), {"unimp", "jit-stats"})

    def test_engine_words(self):
        text = source("src", "engine", "words.c")
        table = re.search(r"engine_words\[\] = \{(.*?)\n\};", text, re.S)[1]
        known = set(re.findall(r'\{"([a-z-]+)", offsetof', table)) | {"cache", "block"}
        self.assertIn("no-chain", known)
        page = sections("vitrine-user")["OPTIONS"]
        for part in (re.search(r"-engine WORD.*?-child", self.help("vitrine-user"), re.S)[0],
                     re.search(r"-engine *WORD.*?-seccomp", page, re.S)[0]):
            for word in known:
                self.assertRegex(part, rf"(?<![\w-]){word}(?![\w-])")

    def test_pages_and_links(self):
        """README leads to every page, and no page to one that is not there."""
        pages = [os.path.join("docs", name) for name in os.listdir(os.path.join(ROOT, "docs"))
                 if name.endswith(".md")] + ["README.md", "CONTRIBUTING.md"]
        for page in pages:
            here = os.path.dirname(page)
            for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", source(page)):
                self.assertTrue(os.path.exists(os.path.join(ROOT, here, link)), f"{page}: {link}")
        linked = set(re.findall(r"\]\(([^)#]+)\)", source("README.md")))
        self.assertLessEqual(set(pages) - {"README.md"}, linked)

    def test_readme_commands(self):
        """What README shows after a $ can be typed: programs are there and know the options."""
        commands = re.findall(r"(?m)^    \$ (.*)$", source("README.md"))
        self.assertGreater(len(commands), 8)
        for command in commands:
            for program, rest in re.findall(r"build/(vitrine-\w+)((?: [^|&]*)?)", command):
                self.assertTrue(os.path.exists(os.path.join(BUILD, program)), command)
                known = self.help(program)
                if program == "vitrine-trace":
                    known += self.help(program, rest.split()[0])
                for option in re.findall(r" (--?[a-z][a-z-]*)(?= )", rest):
                    if program == "vitrine-user" and option not in options(known):
                        break  # from here on they are the program's
                    self.assertIn(option, known, command)

    def test_monitor(self):
        """The commands of the tables in the code, in the manual pages and in docs/."""
        page = sections("vitrine-user")["MONITOR"]
        with open(os.path.join(ROOT, "docs", "vitrine-user.md"), encoding="utf-8") as file:
            told = file.read()
        names = set()
        for place in (("src", "monitor", "commands.c"), ("src", "cmd", "vitrine-user", "main.c")):
            names |= set(re.findall(COMMAND, source(*place)))
        self.assertGreaterEqual(names, {"help", "trace-event", "jit", "quit"})
        for name in names:
            for text in (page, told):
                self.assertRegex(text, rf"(?<![\w-]){name}(?![\w-])")

    def test_monitor_of_machines(self):
        with open(os.path.join(ROOT, "docs", "man", "vitrine-monitor.7"), encoding="utf-8") as file:
            page = re.sub(r"\\f[A-Z]", "", file.read().replace(r"\-", "-"))
        with open(os.path.join(ROOT, "docs", "monitor.md"), encoding="utf-8") as file:
            told = file.read()
        folder = ("src", "monitor", "machine")
        places = [(*folder, name) for name in os.listdir(os.path.join(ROOT, *folder))
                  if name.endswith(".c")] + [("src", "monitor", "commands.c")]
        names = set()
        for place in places:
            names |= set(re.findall(COMMAND, source(*place)))
        self.assertGreaterEqual(names, {"help", "xp", "registers", "mtree", "sendkey"})
        for name in names:
            for text in (page, told):
                self.assertRegex(text, rf"(?<![\w-]){name}(?![\w-])")

    def test_tracegen(self):
        page, text = sections("vitrine-tracegen")["OPTIONS"], self.help("vitrine-tracegen")
        self.assertEqual(options(page), options(text))
        self.assertIn("--lttng-source", options(text))

    def test_trace_against_the_code(self):
        """Each option is a row of its command's table."""
        listed = re.findall(r"(?m)^  ([a-z]+)  ", self.help("vitrine-trace"))
        for name in listed:
            with self.subTest(command=name):
                rows = set(re.findall(r'\{\s*\.name = "([a-z-]+)", \.(?:letter|text|on|list)\b',
                                      source("src", "cmd", "vitrine-trace", name + ".c")))
                told = {option[2:] for option in options(self.help("vitrine-trace", name))
                        if option.startswith("--")}
                self.assertEqual(rows - {"output"}, told - {"help", "output"})

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
