# SPDX-License-Identifier: MIT
"""Kernels out of Debian's packages, and those of their modules that a guest needs."""

import re

from packages import NATIVE, Missing


def _plain(name):
    """A module's name as the kernel has it: files may have dashes where names have underscores."""
    return name.replace("-", "_")


class Kernel:
    def __init__(self, packages, kind, architecture=NATIVE):
        self.packages = packages
        self.architecture = architecture
        self.package = packages.kernel(kind, architecture)

    def image(self):
        version = self.package.removeprefix("linux-image-")
        return self.packages.file(self.package, f"boot/vmlinuz-{version}", self.architecture)

    def modules(self, wanted):
        """Pairs of name and content of the modules named and of all that they need, in the order in which
        they can be loaded. What a module needs stands in the module itself."""
        found = {}
        for path, content in self.packages.files(self.package, lambda path: path.endswith(".ko"),
                                                 self.architecture).items():
            found[_plain(path.rsplit("/", 1)[1].removesuffix(".ko"))] = content
        order = []

        def add(name):
            if name in order:
                return
            if name not in found:
                raise Missing(f"{self.package} has no module {name}")
            needs = re.search(rb"\0depends=([^\0]*)\0", found[name])
            for needed in (needs[1].decode().split(",") if needs and needs[1] else ()):
                add(_plain(needed))
            order.append(name)

        for name in wanted:
            add(_plain(name))
        return [(name, found[name]) for name in order]
