/* SPDX-License-Identifier: MIT
 *
 * What the monitor at the standard VGA says of itself: an EDID structure of 128 bytes (VESA E-EDID
 * release A, revision 2), which guests read at the beginning of the MMIO region. The preferred mode
 * is that of the properties xres and yres; the sizes are those of a screen of 100 dots per inch.
 */
#include "device/vga.h"

enum {
    BLOCK = 128,
    STANDARD = 38, /* eight standard timings, 2 bytes each */
    DESCRIPTORS = 54,
    DESCRIPTOR = 18,
    DPI = 100,
    RATE_DEFAULT = 75000, /* mHz */
    SIZE_MAX_MM = 4095,
};

static void put16(uint8_t *to, unsigned value)
{
    to[0] = (uint8_t)value;
    to[1] = (uint8_t)(value >> 8);
}

static unsigned at_most(unsigned value, unsigned most)
{
    return value < most ? value : most;
}

static unsigned millimetres(unsigned dots)
{
    return at_most((unsigned)((uint64_t)dots * 254 / (10 * DPI)), SIZE_MAX_MM);
}

static unsigned rate_of(const struct vga *v)
{
    return v->refresh_rate ? v->refresh_rate : RATE_DEFAULT;
}

/* --- the parts --- */

static void put_head(uint8_t *edid, const struct vga *v)
{
    static const uint8_t magic[8] = {0x00, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x00};
    /* Coordinates of the primaries and of white: sRGB's. */
    static const uint8_t colors[10] = {0xee, 0x91, 0xa3, 0x54, 0x4c, 0x99, 0x26, 0x0f, 0x50, 0x54};
    memcpy(edid, magic, sizeof(magic));
    edid[8] = ('R' - '@') << 2 | ('H' - '@') >> 3; /* RHT, as drivers know it */
    edid[9] = (uint8_t)(('H' - '@') << 5 | ('T' - '@'));
    put16(edid + 10, 0x1234);
    edid[16] = 42;          /* made in week 42 */
    edid[17] = 2014 - 1990; /* of 2014 */
    edid[18] = 1;           /* version 1.4 */
    edid[19] = 4;
    edid[20] = 0xa5; /* digital, 8 bits a colour, DisplayPort */
    edid[21] = (uint8_t)at_most(millimetres(v->xres) / 10, 255);
    edid[22] = (uint8_t)at_most(millimetres(v->yres) / 10, 255);
    edid[23] = 220 - 100; /* gamma 2.2 */
    edid[24] = 0x06;      /* sRGB; the preferred timing is the panel's */
    memcpy(edid + 25, colors, sizeof(colors));
}

static bool fits(const struct vga *v, unsigned width, unsigned height)
{
    return (!v->xmax || width <= v->xmax) && (!v->ymax || height <= v->ymax);
}

/* Modes that have a bit (640 x 480, 800 x 600 and 1024 x 768 at 60 Hz) and modes by their width. */
static void put_modes(uint8_t *edid, const struct vga *v)
{
    static const struct {
        uint16_t width, height;
        uint8_t aspect;
    } standard[8] = {{1920, 1080, 3}, {1680, 1050, 0}, {1600, 1200, 1}, {1440, 900, 0},
                     {1280, 1024, 2}, {1280, 960, 1},  {1280, 800, 0},  {1280, 720, 3}};
    edid[35] = (fits(v, 640, 480) ? 0x20 : 0) | (fits(v, 800, 600) ? 0x01 : 0);
    edid[36] = fits(v, 1024, 768) ? 0x08 : 0;
    for (unsigned i = 0; i < 8; i++) {
        uint8_t *to = edid + STANDARD + i * 2;
        bool offered = fits(v, standard[i].width, standard[i].height);
        to[0] = offered ? (uint8_t)(standard[i].width / 8 - 31) : 1;
        to[1] = offered ? (uint8_t)(standard[i].aspect << 6) : 1; /* at 60 Hz; 1, 1: unused */
    }
}

/* A detailed timing: a quarter of the width and 35 lines are blank. */
static void put_preferred(uint8_t *to, const struct vga *v)
{
    unsigned width = v->xres, height = v->yres, h_blank = width / 4 & ~1u, v_blank = 35;
    unsigned front = width / 40, sync = width / 32, mm_x = millimetres(width),
             mm_y = millimetres(height);
    uint64_t clock = (uint64_t)(width + h_blank) * (height + v_blank) * rate_of(v) / 10000000;
    put16(to, (unsigned)(clock < UINT16_MAX ? clock : UINT16_MAX)); /* in 10 kHz */
    to[2] = (uint8_t)width;
    to[3] = (uint8_t)h_blank;
    to[4] = (uint8_t)((width >> 8 & 0xf) << 4 | (h_blank >> 8 & 0xf));
    to[5] = (uint8_t)height;
    to[6] = (uint8_t)v_blank;
    to[7] = (uint8_t)((height >> 8 & 0xf) << 4);
    to[8] = (uint8_t)front;
    to[9] = (uint8_t)sync;
    to[10] = 3 << 4 | 6; /* lines before the vertical synchronisation, and of it */
    to[11] = (uint8_t)((front >> 8 & 3) << 6 | (sync >> 8 & 3) << 4);
    to[12] = (uint8_t)mm_x;
    to[13] = (uint8_t)mm_y;
    to[14] = (uint8_t)((mm_x >> 8 & 0xf) << 4 | (mm_y >> 8 & 0xf));
    to[17] = 0x18; /* separate synchronisation */
}

static void put_descriptor(uint8_t *to, uint8_t tag, const void *bytes, size_t size)
{
    to[3] = tag;
    memset(to + 5, ' ', DESCRIPTOR - 5);
    memcpy(to + 5, bytes, size);
}

void vga_make_edid(struct vga *v)
{
    static const uint8_t limits[7] = {50, 125, 30, 160, 255, 0x01, 0x0a};
    static const char name[] = "QEMU Monitor\n"; /* 13 bytes; udev's and people's rules know it */
    uint8_t *edid = v->edid, sum = 0;
    memset(edid, 0, VGA_EDID_SIZE);
    put_head(edid, v);
    put_modes(edid, v);
    put_preferred(edid + DESCRIPTORS, v);
    put_descriptor(edid + DESCRIPTORS + DESCRIPTOR, 0xfd, limits, sizeof(limits));
    put_descriptor(edid + DESCRIPTORS + 2 * DESCRIPTOR, 0xfc, name, sizeof(name) - 1);
    edid[DESCRIPTORS + 3 * DESCRIPTOR + 3] = 0x10; /* nothing more */
    for (unsigned i = 0; i < BLOCK - 1; i++)
        sum = (uint8_t)(sum + edid[i]);
    edid[BLOCK - 1] = (uint8_t)-sum;
}
