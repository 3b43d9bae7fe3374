# SPDX-License-Identifier: MIT
"""Pictures of the screen: boot sectors that set modes through the VGA BIOS and draw, and what screendump
writes of it."""
import os
import struct
import unittest
import zlib

from guest import IS_QEMU, Case

# QEMU makes eight bits of six in another way.
TOLERANCE = 3 if IS_QEMU else 0

BEGIN = bytes.fromhex("31c0 8ed8 fc")  # xor ax, ax; mov ds, ax; cld
WINDOW = bytes.fromhex("b800a0 8ec0 31ff")  # mov ax, 0xa000; mov es, ax; xor di, di
END = bytes.fromhex("f4 ebfd")  # hlt, for ever


def mode(number):
    """mov ax, NUMBER; int 0x10"""
    return b"\xb8" + struct.pack("<H", number) + b"\xcd\x10"


def vbe_mode(number):
    """mov bx, NUMBER; mov ax, 0x4f02; int 0x10"""
    return b"\xbb" + struct.pack("<H", number) + bytes.fromhex("b8024f cd10")


def bank(number):
    """mov dx, NUMBER; xor bx, bx; mov ax, 0x4f05; int 0x10"""
    return b"\xba" + struct.pack("<H", number) + bytes.fromhex("31db b8054f cd10")


def fill(count):
    """mov cx, COUNT; again: mov ax, di; xor al, ah; stosb; loop again"""
    return b"\xb9" + struct.pack("<H", count) + bytes.fromhex("89f8 30e0 aa e2f9")


def filled(address):
    return (address ^ address >> 8) & 0xff


# All colours grey: mov dx, 0x3c8; xor al, al; out dx, al; inc dx; xor bx, bx; again: mov al, bl; shr al, 2;
# out dx, al, three times; inc bl; jnz again
GREY = bytes.fromhex("bac803 30c0 ee 42 31db 88d8 c0e802 eeeeee fec3 75f4")


def grey(value):
    return (value >> 2 << 2 | value >> 6,) * 3


def sector(code, text=b""):
    """A boot sector: the code, text that is printed (int 0x10, AH 0x0e), then "drawn" on the serial line."""
    printing = bytes.fromhex("bb0700 ac 84c0 7406 b40e cd10 ebf5")
    telling = bytes.fromhex("baf803 ac 84c0 7403 ee ebf8")
    place = 0x7c00 + len(BEGIN) + len(code) + 3 + len(printing) + 3 + len(telling) + len(END)
    drawn = place + len(text) + 1
    whole = (BEGIN + code + b"\xbe" + struct.pack("<H", place) + printing + b"\xbe" +
             struct.pack("<H", drawn) + telling + END + text + b"\0" + b"drawn\r\n\0")
    return whole.ljust(510, b"\0") + b"\x55\xaa"


def read_ppm(path):
    with open(path, "rb") as file:
        magic, size, most, pixels = file.read().split(b"\n", 3)
    width, height = map(int, size.split())
    assert (magic, most, len(pixels)) == (b"P6", b"255", width * height * 3)
    return width, height, pixels


def unfilter(kind, line, above):
    """A line of a PNG of three bytes a pixel (PNG specification, 9.2)."""
    for i in range(len(line)):
        left = line[i - 3] if i >= 3 else 0
        corner = above[i - 3] if i >= 3 else 0
        up = above[i]
        if kind == 1:
            line[i] = (line[i] + left) & 0xff
        elif kind == 2:
            line[i] = (line[i] + up) & 0xff
        elif kind == 3:
            line[i] = (line[i] + (left + up) // 2) & 0xff
        elif kind == 4:
            guess = left + up - corner
            near = min((left, up, corner), key=lambda value: abs(guess - value))
            line[i] = (line[i] + near) & 0xff
    return line


def read_png(path):
    with open(path, "rb") as file:
        data = file.read()
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    at, packed = 8, b""
    while at < len(data):
        length, kind = struct.unpack(">I4s", data[at:at + 8])
        body = data[at + 8:at + 8 + length]
        assert zlib.crc32(kind + body) == struct.unpack(">I", data[at + 8 + length:at + 12 + length])[0]
        if kind == b"IHDR":
            width, height, bits, color = struct.unpack(">IIBB", body[:10])
            assert (bits, color) == (8, 2)
        elif kind == b"IDAT":
            packed += body
        at += 12 + length
    raw, pixels, above = zlib.decompress(packed), bytearray(), bytes(width * 3)
    for y in range(height):
        begin = y * (width * 3 + 1)
        above = unfilter(raw[begin], bytearray(raw[begin + 1:begin + 1 + width * 3]), above)
        pixels += above
    return width, height, bytes(pixels)


class Screen(Case):
    def boot(self, image):
        path = self.path("disk.img")
        with open(path, "wb") as file:
            file.write(image)
        machine = self.machine(["-m", 64, "-drive", f"file={path},format=raw"])
        machine.serial.wait_for("^drawn")
        return machine

    def dump(self, machine, *words):
        path = self.path("screen")
        if os.path.exists(path):
            os.remove(path)
        self.assertEqual(machine.monitor(" ".join(["screendump", path, *words])), "")
        return path

    def picture(self, image, size):
        """The pixels of the screen that a boot sector draws."""
        machine = self.boot(image)
        width, height, pixels = read_ppm(self.dump(machine))
        self.assertEqual((width, height), size)
        self.assertEqual(read_png(self.dump(machine, "-f", "png")), (width, height, pixels))
        return [tuple(pixels[at:at + 3]) for at in range(0, len(pixels), 3)]

    def check(self, pixels, expected):
        for at, (got, wanted) in enumerate(zip(pixels, expected)):
            if any(abs(a - b) > TOLERANCE for a, b in zip(got, wanted)):
                self.fail(f"pixel {at} is {got}, not {wanted}")
        self.assertEqual(len(pixels), len(expected))

    def test_256_colors(self):
        pixels = self.picture(sector(mode(0x13) + GREY + WINDOW + fill(64000)), (640, 400))
        self.check(pixels, [grey(filled(y // 2 * 320 + x // 2)) for y in range(400) for x in range(640)])

    def test_16_colors(self):
        # mov dx, 0x3c4; mov ax, 0x0502; out dx, ax: planes 0 and 2
        planes = bytes.fromhex("bac403 b80205 ef")
        pixels = self.picture(sector(mode(0x12) + WINDOW + planes + fill(38400)), (640, 480))
        self.check(pixels, [(0xaa, 0, 0xaa) if filled(bit // 8) >> (7 - bit % 8) & 1 else (0, 0, 0)
                            for bit in range(640 * 480)])

    def test_vbe(self):
        code = vbe_mode(0x115) + bank(0) + WINDOW + fill(0x8000) + bank(1) + WINDOW + fill(0x4000)
        pixels = self.picture(sector(code), (800, 600))
        memory = bytearray(800 * 600 * 3)
        memory[:0x8000] = bytes(map(filled, range(0x8000)))
        memory[0x10000:0x14000] = bytes(map(filled, range(0x4000)))
        self.check(pixels, [(memory[at + 2], memory[at + 1], memory[at]) for at in range(0, len(memory), 3)])

    def test_text(self):
        machine = self.boot(sector(mode(3), b"Hello,\r\n  \xda\xc4\xbf \x01 100 \xf8C"))
        width, height, pixels = read_ppm(self.dump(machine))
        self.assertEqual((width, height), (720, 400))
        self.assertEqual({pixels[at:at + 3] for at in range(0, len(pixels), 3)},
                         {b"\0\0\0", b"\xa8\xa8\xa8" if IS_QEMU else b"\xaa\xaa\xaa"})
        if not IS_QEMU:
            path = self.dump(machine, "-f", "text")
            with open(path, encoding="utf-8") as file:
                self.assertEqual(file.read(), "Hello,\n  ┌─┐ ☺ 100 °C\n")
            self.assertEqual(os.stat(path).st_mode & 0o777, 0o600)


if __name__ == "__main__":
    unittest.main()
