/* SPDX-License-Identifier: MIT
 *
 * The standard VGA from inside: what its sources share. Boards need none of it; the screen is among
 * board->consoles.
 *
 *     vga.c         the PCI device: regions, properties, state
 *     vga_ports.c   the registers of the VGA (sequencer, graphics, attributes, CRTC, DAC)
 *     vga_vbe.c     the registers of the Bochs VBE extensions
 *     vga_memory.c  the window at 0xa0000
 *     vga_timing.c  where the beam is: retrace and blinking
 *     vga_draw.c    from memory to pixels
 *     vga_edid.c    what the monitor says of itself
 *
 * The facts are those of IBM's VGA (PS/2 Hardware Interface Technical Reference, Video Subsystem)
 * as the FreeVGA documents and the data books of Chips and Cirrus Logic tell them, and of the Bochs
 * VBE interface (BGA) and its extensions in "QEMU Standard VGA".
 *
 * Video memory. Planes have addresses of their own, "plane addresses", at which four bytes lie, one
 * of each plane. The bytes of plane address A are together, plane 0 first, at
 *
 *     A[..:16] << 18 | (A[1:0] ^ A[15:14]) << 16 | A[15:2] << 2
 *
 * Chain-4 puts byte B of the window into plane B[1:0] at plane address B[15:2] << 2 | B[15:14], as
 * the CRTC's doubleword addresses want it. So what the CPU sees through chain-4 lies byte after
 * byte in video memory: plain RAM, like that of the linear modes.
 */
#ifndef DEVICE_VGA_H
#define DEVICE_VGA_H

#include <string.h>

#include "device/pci.h"
#include "display/display.h"

enum vga_port {
    VGA_CRTC_INDEX_MONO = 0x3b4,
    VGA_CRTC_DATA_MONO = 0x3b5,
    VGA_STATUS_1_MONO = 0x3ba, /* written: feature control */
    VGA_ATTRIBUTE = 0x3c0,     /* index and data, in turns */
    VGA_ATTRIBUTE_READ = 0x3c1,
    VGA_STATUS_0 = 0x3c2, /* written: miscellaneous output */
    VGA_ENABLE = 0x3c3,
    VGA_SEQUENCER_INDEX = 0x3c4,
    VGA_SEQUENCER_DATA = 0x3c5,
    VGA_DAC_MASK = 0x3c6,
    VGA_DAC_READ_INDEX = 0x3c7, /* read: state */
    VGA_DAC_WRITE_INDEX = 0x3c8,
    VGA_DAC_DATA = 0x3c9,
    VGA_FEATURE_READ = 0x3ca,
    VGA_MISC_READ = 0x3cc,
    VGA_GRAPHICS_INDEX = 0x3ce,
    VGA_GRAPHICS_DATA = 0x3cf,
    VGA_CRTC_INDEX = 0x3d4,
    VGA_CRTC_DATA = 0x3d5,
    VGA_STATUS_1 = 0x3da,
};

enum vga_misc {
    MISC_COLOR = 0x01, /* CRTC at 0x3d4, not 0x3b4 */
    MISC_RAM = 0x02,   /* the window is there */
    MISC_CLOCK = 0x0c, /* 0: 25.175 MHz, 4: 28.322 MHz */
    MISC_PAGE = 0x20,  /* odd/even: which plane addresses */
};

enum vga_sequencer {
    SR_RESET,
    SR_CLOCKING,
    SR_MAP_MASK,
    SR_FONT,
    SR_MEMORY,
    SR_COUNT = 8,
    SR_RUNS = 0x03,   /* SR_RESET: neither reset */
    SR_8_DOTS = 0x01, /* SR_CLOCKING */
    SR_HALF_CLOCK = 0x08,
    SR_SCREEN_OFF = 0x20,
    SR_EXTENDED = 0x02, /* SR_MEMORY */
    SR_SEQUENTIAL = 0x04,
    SR_CHAIN_4 = 0x08,
};

enum vga_graphics {
    GR_SET_RESET,
    GR_ENABLE_SET_RESET,
    GR_COMPARE,
    GR_ROTATE,
    GR_READ_MAP,
    GR_MODE,
    GR_MISC,
    GR_CARE,
    GR_BIT_MASK,
    GR_COUNT = 16,
    GR_WRITE_MODE = 0x03, /* GR_MODE */
    GR_READ_MODE = 0x08,
    GR_ODD_EVEN = 0x10,
    GR_INTERLEAVE = 0x20,
    GR_256 = 0x40,
    GR_PIXELS = 0x01, /* GR_MISC */
    GR_CHAIN_ODD_EVEN = 0x02,
    GR_MAP = 0x0c,
    GR_MAP_128K = 0x00,
    GR_MAP_64K = 0x04,
    GR_MAP_MONO = 0x08,
    GR_MAP_COLOR = 0x0c,
};

enum vga_crtc {
    CR_H_TOTAL,
    CR_H_DISPLAY_END,
    CR_OVERFLOW = 0x07,
    CR_PRESET_ROW_SCAN,
    CR_MAX_SCAN_LINE,
    CR_CURSOR_START,
    CR_CURSOR_END,
    CR_START_HIGH,
    CR_START_LOW,
    CR_CURSOR_HIGH,
    CR_CURSOR_LOW,
    CR_V_RETRACE_START,
    CR_V_RETRACE_END,
    CR_V_DISPLAY_END,
    CR_OFFSET,
    CR_UNDERLINE,
    CR_V_TOTAL = 0x06,
    CR_MODE = 0x17,
    CR_LINE_COMPARE,
    CR_COUNT = 32,
    CR_PROTECT = 0x80,     /* CR_V_RETRACE_END: registers 0 to 7, but for */
    CR_LC8 = 0x10,         /* CR_OVERFLOW: bit 8 of the line compare */
    CR_DOUBLE_SCAN = 0x80, /* CR_MAX_SCAN_LINE */
    CR_CURSOR_OFF = 0x20,  /* CR_CURSOR_START */
    CR_COUNT_BY_4 = 0x20,  /* CR_UNDERLINE */
    CR_DWORD = 0x40,
    CR_NOT_A13 = 0x01, /* CR_MODE: A13 is not row scan bit 0 */
    CR_NOT_A14 = 0x02,
    CR_HALF_LINES = 0x04,
    CR_COUNT_BY_2 = 0x08,
    CR_WRAP_A15 = 0x20,
    CR_BYTE = 0x40,
    CR_RUNS = 0x80,
};

enum vga_attribute {
    AR_MODE = 0x10,
    AR_OVERSCAN,
    AR_PLANES,
    AR_PANNING,
    AR_COLOR_SELECT,
    AR_COUNT = 32,
    AR_VIDEO = 0x20,         /* in the index: the palette is the screen's, not the CPU's */
    AR_LINE_GRAPHICS = 0x04, /* AR_MODE */
    AR_BLINK = 0x08,
    AR_SPLIT_STAYS = 0x20,
    AR_256 = 0x40,
    AR_SELECT_45 = 0x80,
};

/* Registers of the VBE extensions. */
enum vga_vbe {
    VBE_ID,
    VBE_XRES,
    VBE_YRES,
    VBE_BPP,
    VBE_ENABLE,
    VBE_BANK,
    VBE_VIRTUAL_WIDTH,
    VBE_VIRTUAL_HEIGHT,
    VBE_X_OFFSET,
    VBE_Y_OFFSET,
    VBE_MEMORY_64K,
    VBE_COUNT,
    VBE_ON = 0x01, /* VBE_ENABLE */
    VBE_CAPABILITIES = 0x02,
    VBE_8_BIT_DAC = 0x20,
    VBE_LINEAR = 0x40,
    VBE_KEEP_MEMORY = 0x80,
};

enum {
    VGA_DAC_SIZE = 768, /* 256 colours of 3 components */
    VGA_WINDOW = 0xa0000,
    VGA_WINDOW_SIZE = 0x20000,
    VGA_BANK = 0x10000,
    VGA_PORT_RANGES = 5,
    VGA_EDID_SIZE = 0x180,
};

/* All that makes the picture but memory: while it is the same, only what was written is drawn. */
struct vga_look {
    uint8_t sequencer[SR_COUNT], graphics[2], crtc[CR_COUNT], attribute[AR_COUNT];
    uint8_t dac[VGA_DAC_SIZE], dac_mask;
    uint16_t vbe[VBE_COUNT];
    bool video, big_endian, cursor, blink;
};

struct vga;

struct vga_ports {
    struct vga *vga;
    uint16_t base;
    struct mem_region region;
};

struct vga {
    struct pci_device pci;
    struct mem_region vram, window, linear; /* `linear`: RAM seen in the window */
    struct vga_ports ports[VGA_PORT_RANGES];
    struct mem_region vbe_ports;
    struct mem_region mmio, mmio_edid, mmio_vbe, mmio_extended;
    struct vga_ports mmio_ports;
    struct display_console console;
    uint32_t memory_size; /* of vram: a power of two */
    uint8_t edid[VGA_EDID_SIZE];

    /* properties */
    uint32_t vgamem_mb, xres, yres, xmax, ymax, refresh_rate;
    bool with_mmio, with_extended, with_edid, global_vmstate, begins_big_endian;

    /* registers */
    uint8_t misc, feature, enable;
    uint8_t sequencer_index, sequencer[SR_COUNT];
    uint8_t graphics_index, graphics[GR_COUNT];
    uint8_t crtc_index, crtc[CR_COUNT];
    uint8_t attribute_index, attribute[AR_COUNT];
    bool attribute_data; /* the next write to 0x3c0 is data */
    uint8_t dac_mask, dac_read_index, dac_write_index, dac_component, dac_reading;
    uint8_t dac_latch[3], dac[VGA_DAC_SIZE];
    uint32_t latch; /* plane 0 in the lowest byte */
    uint16_t vbe_index, vbe[VBE_COUNT];
    bool big_endian; /* pixels of 15, 16 and 32 bits */

    /* of the last picture */
    struct vga_look look;
    bool drawn;           /* `look` is what the surface shows */
    bool watched;         /* mem_dirty_start() was called */
    uint32_t *dots, *row; /* a scan line */
    unsigned row_room;    /* pixels */
};

/* --- vga.c --- */

/* After changes of what the CPU sees: the window is RAM, registers or nothing. */
void vga_update_window(struct vga *v);

/* --- vga_ports.c --- */

uint8_t vga_port_read(struct vga *v, uint16_t port);
void vga_port_write(struct vga *v, uint16_t port, uint8_t value);

/* --- vga_vbe.c --- */

uint16_t vga_vbe_get(struct vga *v, unsigned index);
void vga_vbe_set(struct vga *v, unsigned index, uint16_t value);
/* Makes the registers fit together and into the memory. */
void vga_vbe_settle(struct vga *v);
/* Bytes of a line of the virtual screen; of each plane, with 4 bits. */
uint32_t vga_vbe_pitch(const struct vga *v);

static inline bool vga_vbe_on(const struct vga *v)
{
    return v->vbe[VBE_ENABLE] & VBE_ON;
}

/* Modes of 8 bits and more: pixels one after the other. */
static inline bool vga_is_linear(const struct vga *v)
{
    return vga_vbe_on(v) && v->vbe[VBE_BPP] > 4;
}

/* --- vga_memory.c --- */

extern const struct mem_ops vga_window_ops;

/* Whether the window shows RAM, in place of vga_window_ops: 64 KiB at 0xa0000, from `offset` of
 * video memory on. */
bool vga_window_is_ram(const struct vga *v, uint32_t *offset);

/* Where the bytes of a plane address lie. */
static inline uint32_t vga_planes_at(const struct vga *v, uint32_t address)
{
    return ((address >> 16) << 18 | ((address ^ address >> 14) & 3) << 16 | (address & 0xfffc)) &
           (v->memory_size - 1);
}

/* The bytes of the four planes, plane 0 in the lowest. */
static inline uint32_t vga_planes(const struct vga *v, uint32_t address)
{
    uint32_t bytes;
    memcpy(&bytes, mem_host(&v->vram) + vga_planes_at(v, address), sizeof(bytes));
    return bytes;
}

/* --- vga_timing.c --- */

/* Input status register 1: bit 0, no pixel is shown now; bit 3, vertical retrace. */
uint8_t vga_status_1(const struct vga *v);
/* Pictures since the machine began. */
uint64_t vga_frame(const struct vga *v);

/* --- vga_draw.c --- */

extern const struct display_console_ops vga_console_ops;

/* --- vga_edid.c --- */

void vga_make_edid(struct vga *v);

#endif
