# SPDX-License-Identifier: MIT
"""Debian packages, fetched and unpacked without installing them, kept in a folder.

Packages of this machine's architecture come by its own lists of packages when it has them. Otherwise,
and for i386, lists are fetched into a private apt directory: the system's own are never changed, and no
architecture is added to it. apt checks what it fetches; its digest is kept beside it and compared
whenever the package is used. A package that is there is not fetched again."""

import contextlib
import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path

NATIVE = "amd64"
KEYS = "/usr/share/keyrings/debian-archive-keyring.gpg"
# Where packages come from when the system's own list of Debian's archives cannot be read.
ARCHIVES = (("http://deb.debian.org/debian/", "bookworm"),
            ("http://deb.debian.org/debian-security/", "bookworm-security"))


class Missing(Exception):
    """Something cannot be had; the text says what, and what to do."""


def command(words, environment=None, folder=None):
    """Runs a program to its end; gives (whether it succeeded, what it printed)."""
    done = subprocess.run([str(word) for word in words], cwd=folder, env=environment, check=False,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, errors="replace")
    return done.returncode == 0, done.stdout


def digest(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextlib.contextmanager
def locked(folder):
    """One process at a time works in the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / ".lock", "w", encoding="ascii") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


class Apt:
    """apt for one architecture: by the system's lists, or by private ones."""

    def __init__(self, folder, architecture):
        self.folder = folder
        self.architecture = architecture

    def private(self):
        """The environment that makes apt use the private directory, which is made if need be."""
        settings = self.folder / "apt.conf"
        if not settings.exists():
            for name in ("state/lists/partial", "cache/archives/partial", "parts"):
                (self.folder / name).mkdir(parents=True, exist_ok=True)
            (self.folder / "state/status").touch()
            (self.folder / "sources.list").write_text("".join(
                f"deb [arch={self.architecture} signed-by={KEYS}] {site} {suite} main\n"
                for site, suite in archives()))
            settings.write_text(f"""\
Dir::State "{self.folder}/state";
Dir::State::status "{self.folder}/state/status";
Dir::Cache "{self.folder}/cache";
Dir::Etc::sourcelist "{self.folder}/sources.list";
Dir::Etc::sourceparts "{self.folder}/parts";
#clear APT::Architectures;
APT::Architecture "{self.architecture}";
APT::Architectures {{ "{self.architecture}"; }};
APT::Sandbox::User "";
Acquire::Languages "none";
Acquire::Retries "3";
""")
        return dict(os.environ, APT_CONFIG=str(settings), LC_ALL="C")

    def ask(self, words, folder=None):
        """What an apt command prints, in the first way in which it succeeds: with the system's lists, with
        private ones, with private ones fetched again. One archive of several may be out of order: what is
        wanted may be in another."""
        ways = [dict(os.environ, LC_ALL="C")] if self.architecture == NATIVE else []
        ways += [self.private()] if (self.folder / "apt.conf").exists() else []
        for environment in ways:
            fine, said = command(words, environment, folder)
            if fine:
                return said
        environment = self.private()
        updated, complaint = command(["apt-get", "-qq", "update"], environment)
        fine, said = command(words, environment, folder)
        if fine:
            return said
        if not updated:
            raise Missing(f"the lists of Debian's packages for {self.architecture} cannot be fetched: is there a "
                          f"network? apt says: {first_error(complaint)}")
        raise Missing(f"{' '.join(words[-2:])} ({self.architecture}): {first_error(said)}")


def archives():
    """(site, suite) of Debian's archives that this system uses."""
    fine, said = command(["apt-get", "indextargets", "--format", "$(REPO_URI) $(RELEASE) $(ORIGIN) $(COMPONENT)",
                          "Created-By: Packages"])
    found = [tuple(line.split()[:2]) for line in said.splitlines() if line.endswith(" Debian main")]
    return sorted(set(found)) if fine and found else ARCHIVES


def first_error(text):
    telling = [line for line in text.splitlines() if line.startswith("E: ")]
    return (telling or text.splitlines() or ["nothing"])[0].removeprefix("E: ")


class Packages:
    """The packages in a folder."""

    def __init__(self, folder):
        self.folder = Path(folder)
        self.apt = {}
        for tool in ("apt-get", "dpkg-deb"):
            if shutil.which(tool) is None:
                raise Missing(f"{tool} is missing: guests are made of Debian's packages, on a Debian system")

    def _apt(self, architecture):
        return self.apt.setdefault(architecture, Apt(self.folder / f"apt-{architecture}", architecture))

    def needs(self, package, architecture=NATIVE):
        """What the package depends on: the names of packages, in order. It is asked once."""
        kept = self.folder / f"{package}_{architecture}.needs"
        with locked(self.folder):
            if not kept.exists():
                said = self._apt(architecture).ask(["apt-cache", "depends", "--important", package])
                found = re.findall(r"^ +Depends: ([^\s<>]+)", said, re.MULTILINE)
                kept.write_text("\n".join(found) + "\n")
            return kept.read_text().split()

    def kernel(self, package, architecture=NATIVE):
        """The package with the kernel itself, for one that means the newest of a kind."""
        for name in self.needs(package, architecture):
            if name.startswith("linux-image-"):
                return name
        raise Missing(f"{package} names no kernel")

    def fetch(self, package, architecture=NATIVE):
        """The path of the package's file."""
        path = self.folder / f"{package}_{architecture}.deb"
        note = path.with_suffix(".sha256")
        with locked(self.folder):
            if not note.exists() or not path.exists() or digest(path) != note.read_text().strip():
                note.unlink(missing_ok=True)
                self._download(package, architecture, path)
                note.write_text(digest(path) + "\n")
        return path

    def _download(self, package, architecture, path):
        with tempfile.TemporaryDirectory(dir=self.folder) as scratch:
            self._apt(architecture).ask(["apt-get", "-qq", "-o", "APT::Sandbox::User=", "-o", "Acquire::Retries=3",
                                         "download", package], scratch)
            found = list(Path(scratch).glob("*.deb"))
            if len(found) != 1:
                raise Missing(f"{package}: apt-get download left {len(found)} packages instead of one")
            found[0].rename(path)

    def files(self, package, wanted, architecture=NATIVE):
        """Content by path, as "boot/vmlinuz-6.1", of the files that wanted(path) picks."""
        deb = self.fetch(package, architecture)
        found = {}
        with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", deb], stdout=subprocess.PIPE) as process:
            with tarfile.open(fileobj=process.stdout, mode="r|") as archive:
                for member in archive:
                    name = member.name.removeprefix("./")
                    if member.isfile() and wanted(name):
                        found[name] = archive.extractfile(member).read()
        if process.returncode != 0:
            raise Missing(f"{deb} cannot be unpacked")
        return found

    def file(self, package, path, architecture=NATIVE):
        found = self.files(package, lambda name: name == path, architecture)
        if path not in found:
            raise Missing(f"{package} has no {path}")
        return found[path]

    def unpack(self, package, folder, architecture=NATIVE):
        """Unpacks all of it into the folder."""
        fine, said = command(["dpkg-deb", "-x", self.fetch(package, architecture), folder])
        if not fine:
            raise Missing(f"{package} cannot be unpacked: {first_error(said)}")
