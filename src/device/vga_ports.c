/* SPDX-License-Identifier: MIT
 *
 * The registers of the VGA: I/O ports 0x3b4 to 0x3da. Most come in groups behind an index and a
 * data port; of each register only the bits exist that its group's table names.
 */
#include "device/vga.h"
#include "trace-device.h"

enum {
    SEQUENCER_INDICES = 0x07,
    GRAPHICS_INDICES = 0x0f,
    CRTC_INDICES = 0x1f,
    ATTRIBUTE_INDICES = 0x1f,
    MISC_BITS = 0xef,
    FEATURE_BITS = 0x0b,
    DAC_STATE_READ = 3,
    CRTC_PROTECTED = 8, /* the registers below */
};

static const uint8_t sequencer_bits[SR_COUNT] = {0x03, 0x3d, 0x0f, 0x3f, 0x0e};
static const uint8_t graphics_bits[GR_COUNT] = {0x0f, 0x0f, 0x0f, 0x1f, 0x03,
                                                0x7b, 0x0f, 0x0f, 0xff};
static const uint8_t attribute_bits[AR_COUNT] = {
    0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0x3f,
    0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0xef, 0xff, 0x3f, 0x0f, 0x0f,
};
static const uint8_t crtc_bits[CR_COUNT] = {
    0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f, 0xff, 0x3f, 0x7f, 0xff,
    0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f, 0xff, 0xff, 0xef, 0xff,
};

/* --- the DAC --- */

static uint8_t read_dac(struct vga *v)
{
    uint8_t value = v->dac[v->dac_read_index * 3 + v->dac_component];
    if (++v->dac_component == 3) {
        v->dac_component = 0;
        v->dac_read_index++;
    }
    return value;
}

/* A colour takes effect with its third component. */
static void write_dac(struct vga *v, uint8_t value)
{
    bool wide = vga_vbe_on(v) && v->vbe[VBE_ENABLE] & VBE_8_BIT_DAC;
    v->dac_latch[v->dac_component] = wide ? value : value & 0x3f;
    if (++v->dac_component == 3) {
        v->dac_component = 0;
        memcpy(v->dac + v->dac_write_index * 3, v->dac_latch, 3);
        v->dac_write_index++;
    }
}

static void begin_dac(struct vga *v, uint8_t state)
{
    v->dac_reading = state;
    v->dac_component = 0;
}

/* --- the others --- */

static void write_attribute(struct vga *v, uint8_t value)
{
    uint8_t index = v->attribute_index & ATTRIBUTE_INDICES;
    if (v->attribute_data)
        v->attribute[index] = value & attribute_bits[index];
    else
        v->attribute_index = value & (ATTRIBUTE_INDICES | AR_VIDEO);
    v->attribute_data = !v->attribute_data;
}

static void write_crtc(struct vga *v, uint8_t value)
{
    uint8_t index = v->crtc_index, bits = crtc_bits[index];
    if (v->crtc[CR_V_RETRACE_END] & CR_PROTECT && index < CRTC_PROTECTED)
        bits = index == CR_OVERFLOW ? CR_LC8 : 0;
    v->crtc[index] = (uint8_t)((v->crtc[index] & ~bits) | (value & bits));
}

/* Monochrome and colour have the CRTC at different ports. */
static bool is_elsewhere(const struct vga *v, uint16_t port)
{
    bool mono = port >= 0x3b0 && port < 0x3c0, color = port >= 0x3d0 && port < 0x3e0;
    return v->misc & MISC_COLOR ? mono : color;
}

static uint8_t read_status_1(struct vga *v)
{
    v->attribute_data = false;
    return vga_status_1(v);
}

static uint8_t read_port(struct vga *v, uint16_t port)
{
    switch (port) {
    case VGA_ATTRIBUTE: return v->attribute_index;
    case VGA_ATTRIBUTE_READ: return v->attribute[v->attribute_index & ATTRIBUTE_INDICES];
    case VGA_STATUS_0: return 0;
    case VGA_ENABLE: return v->enable;
    case VGA_SEQUENCER_INDEX: return v->sequencer_index;
    case VGA_SEQUENCER_DATA: return v->sequencer[v->sequencer_index];
    case VGA_DAC_MASK: return v->dac_mask;
    case VGA_DAC_READ_INDEX: return v->dac_reading;
    case VGA_DAC_WRITE_INDEX: return v->dac_write_index;
    case VGA_DAC_DATA: return read_dac(v);
    case VGA_FEATURE_READ: return v->feature;
    case VGA_MISC_READ: return v->misc;
    case VGA_GRAPHICS_INDEX: return v->graphics_index;
    case VGA_GRAPHICS_DATA: return v->graphics[v->graphics_index];
    case VGA_CRTC_INDEX_MONO:
    case VGA_CRTC_INDEX: return v->crtc_index;
    case VGA_CRTC_DATA_MONO:
    case VGA_CRTC_DATA: return v->crtc[v->crtc_index];
    case VGA_STATUS_1_MONO:
    case VGA_STATUS_1: return read_status_1(v);
    default: return 0;
    }
}

uint8_t vga_port_read(struct vga *v, uint16_t port)
{
    uint8_t value = is_elsewhere(v, port) ? 0xff : read_port(v, port);
    trace_vga_std_read_io(port, value);
    return value;
}

static void write_port(struct vga *v, uint16_t port, uint8_t value)
{
    switch (port) {
    case VGA_ATTRIBUTE: write_attribute(v, value); break;
    case VGA_STATUS_0: v->misc = value & MISC_BITS; break;
    case VGA_ENABLE: v->enable = value & 1; break;
    case VGA_SEQUENCER_INDEX: v->sequencer_index = value & SEQUENCER_INDICES; break;
    case VGA_SEQUENCER_DATA:
        v->sequencer[v->sequencer_index] = value & sequencer_bits[v->sequencer_index];
        break;
    case VGA_DAC_MASK: v->dac_mask = value; break;
    case VGA_DAC_READ_INDEX:
        v->dac_read_index = value;
        begin_dac(v, DAC_STATE_READ);
        break;
    case VGA_DAC_WRITE_INDEX:
        v->dac_write_index = value;
        begin_dac(v, 0);
        break;
    case VGA_DAC_DATA: write_dac(v, value); break;
    case VGA_GRAPHICS_INDEX: v->graphics_index = value & GRAPHICS_INDICES; break;
    case VGA_GRAPHICS_DATA:
        v->graphics[v->graphics_index] = value & graphics_bits[v->graphics_index];
        break;
    case VGA_CRTC_INDEX_MONO:
    case VGA_CRTC_INDEX: v->crtc_index = value & CRTC_INDICES; break;
    case VGA_CRTC_DATA_MONO:
    case VGA_CRTC_DATA: write_crtc(v, value); break;
    case VGA_STATUS_1_MONO:
    case VGA_STATUS_1: v->feature = value & FEATURE_BITS; break;
    default: break;
    }
}

void vga_port_write(struct vga *v, uint16_t port, uint8_t value)
{
    trace_vga_std_write_io(port, value);
    if (is_elsewhere(v, port))
        return;
    write_port(v, port, value);
    if (port == VGA_STATUS_0 || port == VGA_SEQUENCER_DATA || port == VGA_GRAPHICS_DATA)
        vga_update_window(v);
}
