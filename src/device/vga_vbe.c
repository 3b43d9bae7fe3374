/* SPDX-License-Identifier: MIT
 *
 * The Bochs VBE extensions of the standard VGA, version b0c5: registers of 16 bits at ports 0x1ce
 * (index) and 0x1cf or 0x1d0 (data), and in the MMIO region.
 *
 * What a guest writes is made to fit (vga_vbe_settle()) as soon as, and as long as, the extensions
 * are on: depths that there are not become 8, widths multiples of 8, and the picture fits into the
 * memory.
 */
#include "device/vga.h"
#include "trace-device.h"

enum { ID_FIRST = 0xb0c0, ID_LAST = 0xb0c5, X_MAX = 16000, Y_MAX = 12000, BPP_MAX = 32 };

static uint32_t pitch_of(unsigned width, unsigned bpp)
{
    return bpp == 4 ? width / 8 : width * ((bpp + 7) / 8);
}

uint32_t vga_vbe_pitch(const struct vga *v)
{
    return pitch_of(v->vbe[VBE_VIRTUAL_WIDTH], v->vbe[VBE_BPP]);
}

/* Bytes that lines can lie in. */
static uint32_t room(const struct vga *v)
{
    return v->vbe[VBE_BPP] == 4 ? v->memory_size / 4 : v->memory_size;
}

static bool is_depth(unsigned bpp)
{
    return bpp == 4 || bpp == 8 || bpp == 15 || bpp == 16 || bpp == 24 || bpp == 32;
}

static uint16_t clamp(unsigned value, unsigned low, unsigned high)
{
    return (uint16_t)(value < low ? low : value > high ? high : value);
}

static bool is_within(const struct vga *v)
{
    uint64_t lines = (uint64_t)v->vbe[VBE_Y_OFFSET] + v->vbe[VBE_YRES];
    return lines * vga_vbe_pitch(v) + pitch_of(v->vbe[VBE_X_OFFSET], v->vbe[VBE_BPP]) <= room(v);
}

static uint16_t bank_mask(const struct vga *v)
{
    return (uint16_t)(room(v) / VGA_BANK - 1);
}

void vga_vbe_settle(struct vga *v)
{
    uint16_t *vbe = v->vbe;
    if (!is_depth(vbe[VBE_BPP]))
        vbe[VBE_BPP] = 8;
    vbe[VBE_XRES] = clamp(vbe[VBE_XRES] & ~7u, 8, X_MAX);
    vbe[VBE_VIRTUAL_WIDTH] = clamp(vbe[VBE_VIRTUAL_WIDTH] & ~7u, vbe[VBE_XRES], X_MAX);
    uint32_t lines = room(v) / vga_vbe_pitch(v);
    vbe[VBE_YRES] = clamp(vbe[VBE_YRES], 1, lines < Y_MAX ? lines : Y_MAX);
    vbe[VBE_X_OFFSET] = clamp(vbe[VBE_X_OFFSET], 0, X_MAX);
    if (!is_within(v))
        vbe[VBE_Y_OFFSET] = 0;
    if (!is_within(v))
        vbe[VBE_X_OFFSET] = 0;
    vbe[VBE_BANK] &= bank_mask(v);
}

/* --- switching on --- */

/* The VGA's registers say the same, for those who look there: a graphics mode at 0xa0000, byte
 * addresses, no split. */
static void set_vga_registers(struct vga *v)
{
    unsigned last = v->vbe[VBE_YRES] - 1u;
    uint8_t *cr = v->crtc;
    v->graphics[GR_MISC] = GR_PIXELS | GR_MAP_64K;
    v->graphics[GR_MODE] &= (uint8_t) ~(GR_256 | GR_INTERLEAVE);
    if (v->vbe[VBE_BPP] > 4)
        v->graphics[GR_MODE] |= GR_256;
    cr[CR_H_DISPLAY_END] = (uint8_t)(v->vbe[VBE_XRES] / 8 - 1);
    cr[CR_V_DISPLAY_END] = (uint8_t)last;
    cr[CR_OVERFLOW] =
        (uint8_t)((cr[CR_OVERFLOW] & ~0x42u) | CR_LC8 | (last >> 7 & 0x02) | (last >> 3 & 0x40));
    cr[CR_OFFSET] = (uint8_t)(vga_vbe_pitch(v) / (v->vbe[VBE_BPP] == 4 ? 2 : 8));
    cr[CR_MAX_SCAN_LINE] = (uint8_t)((cr[CR_MAX_SCAN_LINE] & ~0x9fu) | 0x40);
    cr[CR_LINE_COMPARE] = 0xff;
    cr[CR_MODE] |= CR_NOT_A13 | CR_NOT_A14;
}

/* The bytes of 64 Ki plane addresses lie together. */
static void clear_plane_addresses(struct vga *v, uint32_t count)
{
    enum { GROUP = 0x10000, PLANES = 4 };
    static const uint32_t none = 0;
    uint32_t whole = count / GROUP * GROUP;
    memset(mem_host(&v->vram), 0, (size_t)whole * PLANES);
    for (uint32_t address = whole; address < count; address++)
        memcpy(mem_host(&v->vram) + vga_planes_at(v, address), &none, sizeof(none));
    mem_written(&v->vram, 0, ((uint64_t)whole + GROUP) * PLANES);
}

static void clear_picture(struct vga *v)
{
    uint32_t bytes = vga_vbe_pitch(v) * v->vbe[VBE_YRES];
    if (v->vbe[VBE_BPP] == 4) {
        clear_plane_addresses(v, bytes);
    } else {
        memset(mem_host(&v->vram), 0, bytes);
        mem_written(&v->vram, 0, bytes);
    }
}

static void write_enable(struct vga *v, uint16_t value)
{
    bool was = vga_vbe_on(v);
    v->vbe[VBE_ENABLE] = value;
    if (was || !vga_vbe_on(v))
        return;
    v->vbe[VBE_VIRTUAL_WIDTH] = 0;
    v->vbe[VBE_X_OFFSET] = v->vbe[VBE_Y_OFFSET] = 0;
    vga_vbe_settle(v);
    set_vga_registers(v);
    if (!(value & VBE_KEEP_MEMORY))
        clear_picture(v);
    trace_vga_vbe_mode(v->vbe[VBE_XRES], v->vbe[VBE_YRES], v->vbe[VBE_BPP]);
}

/* --- registers --- */

static uint16_t get(const struct vga *v, unsigned index)
{
    if (v->vbe[VBE_ENABLE] & VBE_CAPABILITIES) {
        switch (index) {
        case VBE_XRES: return X_MAX;
        case VBE_YRES: return Y_MAX;
        case VBE_BPP: return BPP_MAX;
        default: break;
        }
    }
    switch (index) {
    case VBE_VIRTUAL_HEIGHT: {
        uint32_t pitch = vga_vbe_pitch(v), lines = pitch ? room(v) / pitch : 0;
        return (uint16_t)(lines < UINT16_MAX ? lines : UINT16_MAX);
    }
    case VBE_MEMORY_64K: return (uint16_t)(v->memory_size / VGA_BANK);
    default: return index < VBE_COUNT ? v->vbe[index] : 0;
    }
}

uint16_t vga_vbe_get(struct vga *v, unsigned index)
{
    uint16_t value = get(v, index);
    trace_vga_vbe_read(index, value);
    return value;
}

void vga_vbe_set(struct vga *v, unsigned index, uint16_t value)
{
    trace_vga_vbe_write(index, value);
    switch (index) {
    case VBE_ID:
        if (value >= ID_FIRST && value <= ID_LAST)
            v->vbe[VBE_ID] = value;
        return;
    case VBE_ENABLE: write_enable(v, value); break;
    case VBE_XRES:
    case VBE_YRES:
    case VBE_BPP:
    case VBE_VIRTUAL_WIDTH:
    case VBE_X_OFFSET:
    case VBE_Y_OFFSET:
        v->vbe[index] = value;
        if (vga_vbe_on(v))
            vga_vbe_settle(v);
        break;
    case VBE_BANK: v->vbe[VBE_BANK] = value & bank_mask(v); break;
    case VBE_VIRTUAL_HEIGHT:
    case VBE_MEMORY_64K: return;
    default:
        device_guest_error(&v->pci.device, "there is no VBE register 0x%x to write 0x%x to", index,
                           value);
        return;
    }
    vga_update_window(v);
}
