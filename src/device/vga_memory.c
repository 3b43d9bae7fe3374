/* SPDX-License-Identifier: MIT
 *
 * The window at 0xa0000 of the standard VGA: how the CPU's bytes get into the planes.
 *
 *     write  CPU byte -> rotate -> set/reset -> AND, OR, XOR with the latches -> bit mask: a bit is
 *            the latches' or what came so far -> map mask: planes that are written
 *     read   the four bytes go into the latches; read mode 0 gives one of them, mode 1 a bit for
 *            each pixel that has the colour that is compared with
 *
 * All four planes are worked on at once, as the bytes of a 32-bit number.
 *
 * In two cases the window is plain RAM (vga_window_is_ram()): in the VBE modes of 8 bits and more,
 * and with chain-4 while no register between CPU and memory changes anything. What the latter
 * leaves out is that reads load the latches.
 */
#include "device/vga.h"

/* Each bit of four as a byte. */
static uint32_t expand(unsigned bits)
{
    return ((bits & 1) | (bits & 2) << 7 | (bits & 4) << 14 | (bits & 8) << 21) * 0xff;
}

static uint32_t repeat(uint8_t byte)
{
    return byte * UINT32_C(0x01010101);
}

/* --- addresses --- */

/* What an address of the window is. */
struct place {
    uint32_t address; /* plane address */
    unsigned plane;   /* what read mode 0 reads */
    unsigned written; /* planes that the addressing mode lets be written, a set */
};

/* False: the window does not answer there. `at` is within its 128 KiB, and then within the map. */
static bool within_map(const struct vga *v, uint32_t *at)
{
    static const struct {
        uint32_t start, size;
    } maps[4] = {{0, 0x20000}, {0, 0x10000}, {0x10000, 0x8000}, {0x18000, 0x8000}};
    unsigned map = (v->graphics[GR_MISC] & GR_MAP) >> 2;
    if (!(v->misc & MISC_RAM) || vga_is_linear(v) || *at < maps[map].start ||
        *at >= maps[map].start + maps[map].size)
        return false;
    *at -= maps[map].start;
    return true;
}

/* Odd/even addressing takes bit 0 for the plane, and another one in its place: of 128 KiB the
 * topmost, else the page bit of the miscellaneous output register, which is low for the upper. */
static uint32_t without_bit_0(const struct vga *v, uint32_t at)
{
    bool upper =
        (v->graphics[GR_MISC] & GR_MAP) == GR_MAP_128K ? at >> 16 & 1 : !(v->misc & MISC_PAGE);
    return (at & ~UINT32_C(1)) | upper;
}

static struct place place_of(const struct vga *v, uint32_t at)
{
    struct place place;
    if (v->sequencer[SR_MEMORY] & SR_CHAIN_4) {
        place.address = (at & 0xfffc) | (at >> 14 & 3);
        place.plane = at & 3;
        place.written = 1u << place.plane;
        return place;
    }
    bool chained = v->graphics[GR_MISC] & GR_CHAIN_ODD_EVEN;
    place.address = (chained ? without_bit_0(v, at) : at) & 0xffff;
    if (vga_vbe_on(v))
        place.address |= (uint32_t)v->vbe[VBE_BANK] << 16;
    place.plane = v->graphics[GR_READ_MAP];
    if (v->graphics[GR_MODE] & GR_ODD_EVEN)
        place.plane = (place.plane & 2) | (at & 1);
    place.written = v->sequencer[SR_MEMORY] & SR_SEQUENTIAL ? 0xf : at & 1 ? 0xa : 0x5;
    return place;
}

/* --- reading --- */

static uint64_t window_read(void *opaque, uint64_t offset, unsigned size)
{
    struct vga *v = opaque;
    uint32_t at = (uint32_t)offset;
    (void)size;
    if (!within_map(v, &at))
        return 0xff;
    struct place place = place_of(v, at);
    v->latch = vga_planes(v, place.address);
    if (!(v->graphics[GR_MODE] & GR_READ_MODE))
        return v->latch >> place.plane * 8 & 0xff;
    uint32_t other = (v->latch ^ expand(v->graphics[GR_COMPARE])) & expand(v->graphics[GR_CARE]);
    other |= other >> 16;
    other |= other >> 8;
    return ~other & 0xff;
}

/* --- writing --- */

static uint32_t combine(const struct vga *v, uint32_t data)
{
    switch (v->graphics[GR_ROTATE] >> 3) {
    case 0: return data;
    case 1: return data & v->latch;
    case 2: return data | v->latch;
    default: return data ^ v->latch;
    }
}

/* What comes out of the graphics controller for a byte of the CPU. */
static uint32_t data_of(const struct vga *v, uint8_t byte)
{
    unsigned rotate = v->graphics[GR_ROTATE] & 7;
    uint8_t rotated = (uint8_t)(byte >> rotate | byte << (8 - rotate));
    uint32_t data, mask = repeat(v->graphics[GR_BIT_MASK]);
    uint32_t set = expand(v->graphics[GR_SET_RESET]);
    uint32_t enabled = expand(v->graphics[GR_ENABLE_SET_RESET]);
    switch (v->graphics[GR_MODE] & GR_WRITE_MODE) {
    case 0: data = (repeat(rotated) & ~enabled) | (set & enabled); break;
    case 1: return v->latch;
    case 2: data = expand(byte & 15u); break;
    default:
        data = set;
        mask &= repeat(rotated);
        break;
    }
    return (combine(v, data) & mask) | (v->latch & ~mask);
}

static void window_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    struct vga *v = opaque;
    uint32_t at = (uint32_t)offset;
    (void)size;
    if (!within_map(v, &at))
        return;
    struct place place = place_of(v, at);
    uint32_t planes = expand(place.written & v->sequencer[SR_MAP_MASK]);
    uint32_t bytes =
        (vga_planes(v, place.address) & ~planes) | (data_of(v, (uint8_t)value) & planes);
    uint32_t to = vga_planes_at(v, place.address);
    if (!planes)
        return;
    memcpy(mem_host(&v->vram) + to, &bytes, sizeof(bytes));
    mem_written(&v->vram, to, sizeof(bytes));
}

const struct mem_ops vga_window_ops = {
    .read = window_read,
    .write = window_write,
    .valid_unaligned = true,
    .impl_min = 1,
    .impl_max = 1,
};

/* --- the window as RAM --- */

/* A byte of the CPU is the byte in memory. */
static bool is_transparent(const struct vga *v)
{
    const uint8_t *gr = v->graphics;
    return v->sequencer[SR_MAP_MASK] == 0xf && gr[GR_BIT_MASK] == 0xff && gr[GR_ROTATE] == 0 &&
           gr[GR_ENABLE_SET_RESET] == 0 && !(gr[GR_MODE] & (GR_WRITE_MODE | GR_READ_MODE));
}

bool vga_window_is_ram(const struct vga *v, uint32_t *offset)
{
    *offset = vga_is_linear(v) ? (uint32_t)v->vbe[VBE_BANK] * VGA_BANK : 0;
    if (!(v->misc & MISC_RAM) || vga_is_linear(v))
        return v->misc & MISC_RAM;
    return v->sequencer[SR_MEMORY] & SR_CHAIN_4 && (v->graphics[GR_MISC] & GR_MAP) == GR_MAP_64K &&
           is_transparent(v);
}
