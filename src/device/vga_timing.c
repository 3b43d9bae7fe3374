/* SPDX-License-Identifier: MIT
 *
 * Where the beam of the standard VGA is, by the machine's clock and the CRTC's registers. Nothing
 * runs: the position is computed when it is asked for. The VBE modes, whose registers say nothing
 * of timing, are shown 60 times a second.
 */
#include "device/vga.h"

enum { NS = 1000000000, VBE_RATE = 60, STATUS_NO_PIXEL = 1, STATUS_RETRACE = 8 };

/* A picture in dots and lines. */
struct timing {
    uint64_t dots_per_second;
    uint32_t h_total, h_shown, v_total, v_shown;
    uint32_t retrace, retrace_lines;
};

/* A vertical count: its low byte, and bits 8 and 9 from the overflow register. */
static uint32_t v_count(const struct vga *v, enum vga_crtc low, unsigned bit_8, unsigned bit_9)
{
    uint8_t overflow = v->crtc[CR_OVERFLOW];
    return v->crtc[low] | (overflow >> bit_8 & 1u) << 8 | (overflow >> bit_9 & 1u) << 9;
}

static struct timing vga_modes(const struct vga *v)
{
    uint32_t dots = v->sequencer[SR_CLOCKING] & SR_8_DOTS ? 8 : 9;
    struct timing t = {
        .dots_per_second = (v->misc & MISC_CLOCK) == 4 ? 28322000 : 25175000,
        .h_total = (v->crtc[CR_H_TOTAL] + 5u) * dots,
        .h_shown = (v->crtc[CR_H_DISPLAY_END] + 1u) * dots,
        .v_total = v_count(v, CR_V_TOTAL, 0, 5) + 2,
        .v_shown = v_count(v, CR_V_DISPLAY_END, 1, 6) + 1,
        .retrace = v_count(v, CR_V_RETRACE_START, 2, 7),
    };
    t.retrace_lines = (v->crtc[CR_V_RETRACE_END] - t.retrace) & 0xf;
    if (v->sequencer[SR_CLOCKING] & SR_HALF_CLOCK)
        t.dots_per_second /= 2;
    if (v->crtc[CR_MODE] & CR_HALF_LINES) {
        t.v_total *= 2;
        t.v_shown *= 2;
        t.retrace *= 2;
        t.retrace_lines *= 2;
    }
    return t;
}

static struct timing vbe_modes(const struct vga *v)
{
    struct timing t = {.h_shown = v->vbe[VBE_XRES], .v_shown = v->vbe[VBE_YRES]};
    t.h_total = t.h_shown + t.h_shown / 4;
    t.v_total = t.v_shown + t.v_shown / 16 + 8;
    t.retrace = t.v_shown + 2;
    t.retrace_lines = 4;
    t.dots_per_second = (uint64_t)t.h_total * t.v_total * VBE_RATE;
    return t;
}

static struct timing timing_of(const struct vga *v)
{
    return vga_vbe_on(v) ? vbe_modes(v) : vga_modes(v);
}

/* Dots since the machine began. */
static uint64_t dots_so_far(const struct vga *v, const struct timing *t)
{
    return time_scale(clock_now(v->pci.device.board->clock), t->dots_per_second, NS);
}

uint64_t vga_frame(const struct vga *v)
{
    struct timing t = timing_of(v);
    return dots_so_far(v, &t) / ((uint64_t)t.h_total * t.v_total);
}

uint8_t vga_status_1(const struct vga *v)
{
    struct timing t = timing_of(v);
    uint64_t at = dots_so_far(v, &t) % ((uint64_t)t.h_total * t.v_total);
    uint32_t line = (uint32_t)(at / t.h_total), dot = (uint32_t)(at % t.h_total);
    uint8_t status = 0;
    if (line >= t.v_shown || dot >= t.h_shown)
        status |= STATUS_NO_PIXEL;
    if (line >= t.retrace && line < t.retrace + t.retrace_lines)
        status |= STATUS_RETRACE;
    return status;
}
