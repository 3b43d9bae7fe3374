/* SPDX-License-Identifier: MIT
 *
 * The picture of the standard VGA: from its memory and registers to rows of pixels.
 *
 * What the VGA's own registers describe is drawn as the beam goes. For each scan line there is an
 * address and a row of the character or pixel (struct beam); for each character clock of the line
 * four bytes are fetched, one of each plane:
 *
 *     text       code, attribute; the third plane holds the font
 *     graphics   eight numbers of four bits, by one of three ways to shift (nibbles_of()), each a
 *                colour; or, of 256 colours, each two of them one colour
 *
 * A dot of the dot clock is a pixel; where the clock is halved it is two. So mode 3 is 720 x 400
 * and mode 0x13, with its pixels of two dots and two lines, 640 x 400. The picture of the VBE modes
 * of 8 bits and more lies in memory as it is; that of 4 bits is drawn as graphics.
 *
 * Nothing is drawn while registers (struct vga_look) and memory are as they were.
 */
#include <stdlib.h>

#include "base/memory.h"
#include "device/vga.h"
#include "trace-device.h"

enum {
    CURSOR_FRAMES = 8, /* on, and off again */
    BLINK_FRAMES = 16,
    BAND = 16,                /* rows that are told as one rectangle */
    CHARACTERS_MAX = 256 + 1, /* of a line; one more, for panning */
    DOTS_MAX = CHARACTERS_MAX * 9 * 2,
    LEGACY_MEMORY = 0x40000,
    FONT_CHARACTER = 32, /* bytes */
};

enum screen_kind { SCREEN_BLANK, SCREEN_TEXT, SCREEN_GRAPHICS, SCREEN_LINEAR };

static const char *const kind_names[] = {"blank", "text", "graphics", "linear"};

/* What the registers say of the picture, once for all lines. */
struct screen {
    enum screen_kind kind;
    unsigned width, height;
    uint32_t color[16]; /* of four bits */
    uint32_t wide[256]; /* of eight bits */
    /* all but SCREEN_LINEAR */
    unsigned characters, dots; /* of a line; of a character: 8 or 9 */
    bool doubled;              /* a dot is two pixels */
    unsigned clock_shift;      /* addresses count every 1, 2 or 4 characters */
    uint32_t background;       /* of SCREEN_BLANK */
};

/* --- colours --- */

static uint32_t dac_color(const struct vga *v, uint8_t index)
{
    const uint8_t *rgb = v->dac + (index & v->dac_mask) * 3;
    bool wide = vga_vbe_on(v) && v->vbe[VBE_ENABLE] & VBE_8_BIT_DAC;
    uint32_t color = 0;
    for (unsigned i = 0; i < 3; i++) {
        uint8_t value = rgb[i] & 0x3f;
        color = color << 8 | (wide ? rgb[i] : (uint32_t)(value << 2 | value >> 4));
    }
    return color;
}

/* Numbers of four bits become colours through the attribute controller's palette. In graphics modes
 * blinking turns bit 3 over: IBM's palette of mode 0x0f counts on it. */
static void make_colors(const struct vga *v, const struct vga_look *look, struct screen *s)
{
    unsigned turned = s->kind == SCREEN_GRAPHICS && look->blink ? 8 : 0;
    for (unsigned i = 0; i < 16; i++) {
        unsigned shown = i & v->attribute[AR_PLANES] & 0xf;
        uint8_t select = v->attribute[AR_COLOR_SELECT];
        unsigned value = v->attribute[shown ^ turned];
        if (v->attribute[AR_MODE] & AR_SELECT_45)
            value = (value & 0xf) | (select & 3u) << 4;
        s->color[i] = dac_color(v, (uint8_t)((value & 0x3f) | (select >> 2 & 3u) << 6));
    }
    for (unsigned i = 0; i < 256; i++)
        s->wide[i] = dac_color(v, (uint8_t)i);
}

/* --- what is shown --- */

static unsigned shown_lines(const struct vga *v)
{
    uint8_t overflow = v->crtc[CR_OVERFLOW];
    unsigned lines =
        (v->crtc[CR_V_DISPLAY_END] | (overflow & 0x02u) << 7 | (overflow & 0x40u) << 3) + 1;
    return v->crtc[CR_MODE] & CR_HALF_LINES ? lines * 2 : lines;
}

static void describe_vga(const struct vga *v, struct screen *s)
{
    uint8_t clocking = v->sequencer[SR_CLOCKING];
    s->kind = v->graphics[GR_MISC] & GR_PIXELS ? SCREEN_GRAPHICS : SCREEN_TEXT;
    s->characters = v->crtc[CR_H_DISPLAY_END] + 1u;
    s->dots = s->kind == SCREEN_TEXT && !(clocking & SR_8_DOTS) ? 9 : 8;
    s->doubled = clocking & SR_HALF_CLOCK;
    s->width = s->characters * s->dots * (s->doubled ? 2 : 1);
    s->height = shown_lines(v);
    if (v->crtc[CR_UNDERLINE] & CR_COUNT_BY_4)
        s->clock_shift = 2;
    else if (v->crtc[CR_MODE] & CR_COUNT_BY_2)
        s->clock_shift = 1;
    if (!(v->crtc[CR_MODE] & CR_RUNS) || (v->sequencer[SR_RESET] & SR_RUNS) != SR_RUNS)
        s->kind = SCREEN_BLANK;
}

static void describe_vbe(const struct vga *v, struct screen *s)
{
    s->kind = vga_is_linear(v) ? SCREEN_LINEAR : SCREEN_GRAPHICS;
    s->width = v->vbe[VBE_XRES];
    s->height = v->vbe[VBE_YRES];
    s->characters = s->width / 8;
    s->dots = 8;
}

/* More than a surface can be. */
static bool is_too_large(const struct screen *s)
{
    return s->width > DISPLAY_WIDTH_MAX || s->height > DISPLAY_HEIGHT_MAX ||
           (uint64_t)s->width * s->height > DISPLAY_PIXELS_MAX;
}

/* Registers that were never set describe no picture: then it is as large as one of text. */
static void describe(const struct vga *v, const struct vga_look *look, struct screen *s)
{
    *s = (struct screen){.kind = SCREEN_BLANK};
    if (vga_vbe_on(v))
        describe_vbe(v, s);
    else
        describe_vga(v, s);
    if (!look->video)
        s->background = s->kind == SCREEN_LINEAR ? 0 : dac_color(v, v->attribute[AR_OVERSCAN]);
    if (!look->video || v->sequencer[SR_CLOCKING] & SR_SCREEN_OFF)
        s->kind = SCREEN_BLANK;
    if (is_too_large(s))
        *s = (struct screen){.kind = SCREEN_BLANK};
    if (s->kind == SCREEN_BLANK && s->height <= 1) {
        s->width = 720;
        s->height = 400;
    }
    make_colors(v, look, s);
}

static bool blinks(const struct vga *v, unsigned frames)
{
    return vga_frame(v) / frames & 1;
}

static void take_look(const struct vga *v, struct vga_look *look)
{
    bool text = !(v->graphics[GR_MISC] & GR_PIXELS) && !vga_vbe_on(v);
    memset(look, 0, sizeof(*look));
    memcpy(look->sequencer, v->sequencer, sizeof(look->sequencer));
    memcpy(look->graphics, v->graphics + GR_MODE, sizeof(look->graphics));
    memcpy(look->crtc, v->crtc, sizeof(look->crtc));
    memcpy(look->attribute, v->attribute, sizeof(look->attribute));
    memcpy(look->dac, v->dac, sizeof(look->dac));
    memcpy(look->vbe, v->vbe, sizeof(look->vbe));
    look->vbe[VBE_BANK] = 0;
    look->dac_mask = v->dac_mask;
    look->big_endian = v->big_endian;
    look->video = v->attribute_index & AR_VIDEO;
    look->cursor = text && !(v->crtc[CR_CURSOR_START] & CR_CURSOR_OFF) && !blinks(v, CURSOR_FRAMES);
    look->blink = v->attribute[AR_MODE] & AR_BLINK && !vga_is_linear(v) && blinks(v, BLINK_FRAMES);
}

/* --- the beam --- */

struct beam {
    uint32_t address; /* counter at the line's beginning */
    unsigned row_scan, panning;
    bool again; /* the second of a doubled pair is to come */
    bool split; /* below the line compare */
};

static void begin_beam(const struct vga *v, struct beam *beam)
{
    uint8_t preset = v->crtc[CR_PRESET_ROW_SCAN];
    *beam = (struct beam){
        .address = (v->crtc[CR_START_HIGH] << 8 | v->crtc[CR_START_LOW]) + (preset >> 5 & 3u),
        .row_scan = preset & 0x1f,
        .panning = v->attribute[AR_PANNING],
    };
}

static unsigned line_compare(const struct vga *v)
{
    return v->crtc[CR_LINE_COMPARE] | (v->crtc[CR_OVERFLOW] & CR_LC8 ? 0x100u : 0) |
           (v->crtc[CR_MAX_SCAN_LINE] & 0x40u) << 3;
}

/* From line `y` to the next. */
static void next_line(const struct vga *v, struct beam *beam, unsigned y)
{
    uint8_t max = v->crtc[CR_MAX_SCAN_LINE];
    if (v->crtc[CR_MODE] & CR_HALF_LINES) {
        if (!(y & 1))
            return;
        y /= 2;
    }
    if (!beam->split && y == line_compare(v)) {
        bool stays = v->attribute[AR_MODE] & AR_SPLIT_STAYS;
        *beam = (struct beam){.split = true, .panning = stays ? 0 : v->attribute[AR_PANNING]};
        if (stays && v->attribute[AR_PANNING] == 8)
            beam->panning = 8;
        return;
    }
    if (max & CR_DOUBLE_SCAN) {
        beam->again = !beam->again;
        if (beam->again)
            return;
    }
    if (beam->row_scan == (max & 0x1fu)) {
        beam->row_scan = 0;
        beam->address = (beam->address + v->crtc[CR_OFFSET] * 2u) & 0xffff;
    } else {
        beam->row_scan = (beam->row_scan + 1) & 0x1f;
    }
}

/* The plane address of a count: byte, word or doubleword addresses, and the row scan in place of
 * A13 and A14 where CGA's and Hercules' memory is imitated. */
static uint32_t plane_address(const struct vga *v, uint32_t count, unsigned row_scan)
{
    uint8_t mode = v->crtc[CR_MODE];
    uint32_t address = count & 0xffff;
    if (v->crtc[CR_UNDERLINE] & CR_DWORD)
        address = address << 2 | (address >> 12 & 3);
    else if (!(mode & CR_BYTE))
        address = address << 1 | (address >> (mode & CR_WRAP_A15 ? 15 : 13) & 1);
    if (!(mode & CR_NOT_A13))
        address = (address & ~UINT32_C(0x2000)) | (row_scan & 1) << 13;
    if (!(mode & CR_NOT_A14))
        address = (address & ~UINT32_C(0x4000)) | (row_scan >> 1 & 1) << 14;
    return address & 0xffff;
}

/* --- text --- */

/* Where the two fonts begin in plane 2, by bit 3 of the attribute. */
static uint32_t font_address(const struct vga *v, uint8_t attribute)
{
    uint8_t select = v->sequencer[SR_FONT];
    unsigned b = (select & 3u) | (select >> 2 & 4u), a = (select >> 2 & 3u) | (select >> 3 & 4u);
    unsigned font = attribute & 8 && v->sequencer[SR_MEMORY] & SR_EXTENDED ? a : b;
    return (font & 3) << 14 | (font & 4) << 11;
}

struct glyph {
    uint32_t fore, back;
    uint16_t bits; /* of nine dots, the leftmost highest */
};

/* The line graphics of the code page, whose eighth column is also their ninth. */
static bool joins(const struct vga *v, uint8_t code)
{
    return v->attribute[AR_MODE] & AR_LINE_GRAPHICS && code >= 0xc0 && code <= 0xdf;
}

static struct glyph glyph_of(const struct vga *v, const struct screen *s,
                             const struct vga_look *look, uint32_t planes, unsigned row_scan)
{
    uint8_t code = (uint8_t)planes, attribute = (uint8_t)(planes >> 8);
    uint32_t font = font_address(v, attribute) + code * FONT_CHARACTER + row_scan;
    uint8_t bits = (uint8_t)(vga_planes(v, font) >> 16);
    unsigned back = attribute >> 4;
    struct glyph glyph = {.fore = s->color[attribute & 0xf]};
    glyph.bits = (uint16_t)(bits << 1 | (joins(v, code) ? bits & 1 : 0));
    if ((attribute & 0x77) == 0x01 && row_scan == (v->crtc[CR_UNDERLINE] & 0x1fu))
        glyph.bits = 0x1ff;
    if (v->attribute[AR_MODE] & AR_BLINK) {
        back &= 7;
        if (attribute & 0x80 && look->blink)
            glyph.bits = 0;
    }
    glyph.back = s->color[back];
    return glyph;
}

static bool is_cursor_line(const struct vga *v, const struct vga_look *look, unsigned row_scan)
{
    return look->cursor && row_scan >= (v->crtc[CR_CURSOR_START] & 0x1fu) &&
           row_scan <= (v->crtc[CR_CURSOR_END] & 0x1fu);
}

static uint32_t cursor_address(const struct vga *v)
{
    unsigned skew = v->crtc[CR_CURSOR_END] >> 5 & 3;
    return ((v->crtc[CR_CURSOR_HIGH] << 8 | v->crtc[CR_CURSOR_LOW]) + skew) & 0xffff;
}

static void draw_text(struct vga *v, const struct screen *s, const struct vga_look *look,
                      const struct beam *beam)
{
    bool cursor_line = is_cursor_line(v, look, beam->row_scan);
    uint32_t cursor = cursor_address(v), *to = v->dots;
    for (unsigned i = 0; i <= s->characters; i++) {
        uint32_t count = (beam->address + (i >> s->clock_shift)) & 0xffff;
        uint32_t planes = vga_planes(v, plane_address(v, count, beam->row_scan));
        struct glyph glyph = glyph_of(v, s, look, planes, beam->row_scan);
        if (cursor_line && count == cursor)
            glyph.bits = 0x1ff;
        for (unsigned dot = 0; dot < s->dots; dot++)
            *to++ = glyph.bits >> (8 - dot) & 1 ? glyph.fore : glyph.back;
    }
}

/* --- graphics --- */

/* The four-bit numbers of a character clock, in the order in which they are shown. */
static void nibbles_of(const struct vga *v, uint32_t planes, uint8_t nibble[8])
{
    uint8_t mode = v->graphics[GR_MODE];
    for (unsigned i = 0; i < 8; i++) {
        if (mode & GR_256) { /* plane after plane, the high half first */
            nibble[i] = planes >> (i / 2 * 8 + (i & 1 ? 0 : 4)) & 0xf;
        } else if (mode & GR_INTERLEAVE) { /* two bits of planes 0 and 2, then of 1 and 3 */
            uint32_t pair = planes >> (i & 4 ? 8 : 0) >> (6 - 2 * (i & 3));
            nibble[i] = (pair & 3) | (pair >> 16 & 3) << 2;
        } else { /* a bit of each */
            uint32_t bit = planes >> (7 - i);
            nibble[i] = (bit & 1) | (bit >> 7 & 2) | (bit >> 14 & 4) | (bit >> 21 & 8);
        }
    }
}

static void draw_graphics(struct vga *v, const struct screen *s, const struct beam *beam)
{
    bool wide = v->attribute[AR_MODE] & AR_256 && !vga_vbe_on(v);
    uint32_t *to = v->dots;
    for (unsigned i = 0; i <= s->characters; i++, to += 8) {
        uint32_t count = beam->address + (i >> s->clock_shift);
        uint8_t nibble[8];
        if (!vga_vbe_on(v))
            count = plane_address(v, count, beam->row_scan);
        nibbles_of(v, vga_planes(v, count), nibble);
        for (unsigned dot = 0; dot < 8; dot++) {
            unsigned first = dot & ~1u;
            to[dot] =
                wide ? s->wide[nibble[first] << 4 | nibble[first + 1]] : s->color[nibble[dot]];
        }
    }
}

/* --- lines --- */

/* How many dots the line is moved to the left. */
static unsigned panned(const struct vga *v, const struct screen *s, unsigned panning)
{
    if (s->dots == 9)
        return panning < 8 ? panning + 1 : 0;
    if (s->kind == SCREEN_GRAPHICS && v->attribute[AR_MODE] & AR_256 && !vga_vbe_on(v))
        return panning & 6;
    return panning & 7;
}

static void make_row(struct vga *v, const struct screen *s, unsigned panning)
{
    const uint32_t *dots = v->dots + panned(v, s, panning);
    if (!s->doubled) {
        memcpy(v->row, dots, s->width * sizeof(*v->row));
        return;
    }
    for (unsigned x = 0; x < s->width; x++)
        v->row[x] = dots[x / 2];
}

/* Tells of a band of rows when it is complete. */
static void end_row(struct vga *v, unsigned y, struct display_rectangle *changed)
{
    if ((y + 1) % BAND && y + 1 < v->console.surface.height)
        return;
    display_console_changed_rectangle(&v->console, changed);
    *changed = (struct display_rectangle){0, 0, 0, 0};
}

static void draw_blank(struct vga *v, const struct screen *s)
{
    struct display_rectangle changed = {0, 0, 0, 0};
    for (unsigned x = 0; x < s->width; x++)
        v->row[x] = s->background;
    for (unsigned y = 0; y < s->height; y++) {
        display_console_row(&v->console, y, v->row, &changed);
        end_row(v, y, &changed);
    }
}

static void draw_vga(struct vga *v, const struct screen *s, const struct vga_look *look)
{
    struct display_rectangle changed = {0, 0, 0, 0};
    struct beam beam, last = {.address = UINT32_MAX};
    begin_beam(v, &beam);
    for (unsigned y = 0; y < s->height; next_line(v, &beam, y), y++) {
        if (beam.address != last.address || beam.row_scan != last.row_scan ||
            beam.panning != last.panning) {
            if (s->kind == SCREEN_TEXT)
                draw_text(v, s, look, &beam);
            else
                draw_graphics(v, s, &beam);
            make_row(v, s, beam.panning);
            last = beam;
        }
        display_console_row(&v->console, y, v->row, &changed);
        end_row(v, y, &changed);
    }
}

static void draw_vbe_planes(struct vga *v, const struct screen *s)
{
    struct display_rectangle changed = {0, 0, 0, 0};
    uint32_t pitch = vga_vbe_pitch(v), x = v->vbe[VBE_X_OFFSET];
    for (unsigned y = 0; y < s->height; y++) {
        struct beam beam = {.address = (v->vbe[VBE_Y_OFFSET] + y) * pitch + x / 8,
                            .panning = x & 7};
        draw_graphics(v, s, &beam);
        make_row(v, s, beam.panning);
        display_console_row(&v->console, y, v->row, &changed);
        end_row(v, y, &changed);
    }
}

/* --- linear modes --- */

static uint32_t load16(const struct vga *v, const uint8_t *at)
{
    return v->big_endian ? at[0] << 8 | at[1] : at[1] << 8 | at[0];
}

static uint32_t wider5(uint32_t value)
{
    return (value & 0x1f) << 3 | (value & 0x1f) >> 2;
}

static uint32_t wider6(uint32_t value)
{
    return (value & 0x3f) << 2 | (value & 0x3f) >> 4;
}

static uint32_t pixel_of(const struct vga *v, const struct screen *s, const uint8_t *at)
{
    uint32_t value;
    switch (v->vbe[VBE_BPP]) {
    case 8: return s->wide[*at];
    case 15:
        value = load16(v, at);
        return wider5(value >> 10) << 16 | wider5(value >> 5) << 8 | wider5(value);
    case 16:
        value = load16(v, at);
        return wider5(value >> 11) << 16 | wider6(value >> 5) << 8 | wider5(value);
    case 24: return (uint32_t)(at[2] << 16 | at[1] << 8 | at[0]);
    default:
        if (v->big_endian)
            return (uint32_t)(at[1] << 16 | at[2] << 8 | at[3]);
        return (uint32_t)(at[2] << 16 | at[1] << 8 | at[0]);
    }
}

/* Which banks of memory were written; rows ask for theirs, the first first. */
struct written {
    uint64_t next; /* bank that was not asked for yet */
    bool bank[2];  /* the two last, by the lowest bit */
};

static bool was_written(struct vga *v, struct written *written, uint64_t from, uint64_t end)
{
    bool any = false;
    for (uint64_t bank = from / VGA_BANK; bank <= (end - 1) / VGA_BANK; bank++) {
        for (; written->next <= bank; written->next++)
            written->bank[written->next & 1] =
                mem_dirty_take(&v->vram, written->next * VGA_BANK, VGA_BANK);
        any |= written->bank[bank & 1];
    }
    return any;
}

static void draw_linear(struct vga *v, const struct screen *s, bool all)
{
    struct display_rectangle changed = {0, 0, 0, 0};
    const uint8_t *memory = mem_host(&v->vram);
    uint32_t pitch = vga_vbe_pitch(v), bytes = (v->vbe[VBE_BPP] + 7u) / 8;
    uint64_t at = (uint64_t)v->vbe[VBE_Y_OFFSET] * pitch + v->vbe[VBE_X_OFFSET] * bytes;
    struct written written = {.next = at / VGA_BANK};
    for (unsigned y = 0; y < s->height; y++, at += pitch) {
        uint64_t end = at + (uint64_t)s->width * bytes;
        if (end > v->memory_size)
            end = v->memory_size; /* the last line of a picture that was moved to the right */
        if (was_written(v, &written, at, end) || all) {
            for (unsigned x = 0; x < s->width; x++)
                v->row[x] =
                    at + (x + 1) * bytes <= end ? pixel_of(v, s, memory + at + x * bytes) : 0;
            display_console_row(&v->console, y, v->row, &changed);
        }
        end_row(v, y, &changed);
    }
}

/* --- the console --- */

/* Room for a line of the screen. */
static void make_room(struct vga *v, const struct screen *s)
{
    unsigned room = s->width > DOTS_MAX ? s->width : DOTS_MAX;
    room += 2 * 9; /* the character that panning brings in */
    if (room <= v->row_room)
        return;
    v->row = mem_resize(v->row, room, sizeof(*v->row));
    v->dots = mem_resize(v->dots, room, sizeof(*v->dots));
    v->row_room = room;
}

/* Bytes of memory that pictures of planes lie in. */
static uint64_t planes_size(const struct vga *v)
{
    if (!vga_vbe_on(v))
        return LEGACY_MEMORY;
    uint64_t lines = (uint64_t)v->vbe[VBE_Y_OFFSET] + v->vbe[VBE_YRES] + 1;
    uint64_t groups = (lines * vga_vbe_pitch(v) + v->vbe[VBE_X_OFFSET]) / 0x10000 + 1;
    uint64_t size = groups * LEGACY_MEMORY;
    return size < v->memory_size ? size : v->memory_size;
}

static void draw_screen(struct vga *v, const struct screen *s, const struct vga_look *look,
                        bool all)
{
    if (s->kind == SCREEN_LINEAR) {
        draw_linear(v, s, all);
        return;
    }
    if (s->kind == SCREEN_BLANK) {
        if (all)
            draw_blank(v, s);
        return;
    }
    if (!mem_dirty_take(&v->vram, 0, planes_size(v)) && !all)
        return;
    if (vga_vbe_on(v))
        draw_vbe_planes(v, s);
    else
        draw_vga(v, s, look);
}

static void console_draw(void *opaque)
{
    struct vga *v = opaque;
    struct vga_look look;
    struct screen s;
    take_look(v, &look);
    describe(v, &look, &s);
    bool all = !v->drawn || memcmp(&look, &v->look, sizeof(look)) != 0;
    unsigned width = v->console.surface.width, height = v->console.surface.height;
    if (!display_console_resize(&v->console, s.width, s.height))
        return;
    if (s.width != width || s.height != height) {
        trace_vga_screen(kind_names[s.kind], s.width, s.height);
        all = true;
    }
    if (!v->watched) {
        mem_dirty_start(&v->vram);
        v->watched = true;
    }
    make_room(v, &s);
    draw_screen(v, &s, &look, all);
    v->look = look;
    v->drawn = true;
}

static void console_forget(void *opaque)
{
    ((struct vga *)opaque)->drawn = false;
}

/* --- as text --- */

static void put_text_row(const struct vga *v, const struct screen *s, const struct beam *beam,
                         struct display_text *text, unsigned row)
{
    uint32_t cursor = cursor_address(v);
    for (unsigned i = 0; i < text->columns; i++) {
        uint32_t count = (beam->address + (i >> s->clock_shift)) & 0xffff;
        uint32_t planes = vga_planes(v, plane_address(v, count, beam->row_scan));
        text->cells[row * text->columns + i] =
            (struct display_cell){(uint8_t)planes, (uint8_t)(planes >> 8)};
        if (count == cursor && !(v->crtc[CR_CURSOR_START] & CR_CURSOR_OFF) && !text->cursor) {
            text->cursor = true;
            text->cursor_column = i;
            text->cursor_row = row;
        }
    }
}

static unsigned row_lines(const struct vga *v)
{
    uint8_t max = v->crtc[CR_MAX_SCAN_LINE];
    return ((max & 0x1fu) + 1) * (max & CR_DOUBLE_SCAN ? 2 : 1) *
           (v->crtc[CR_MODE] & CR_HALF_LINES ? 2 : 1);
}

/* A row of text begins where the row scan does, on the first line that the beam is there. */
static bool console_text(void *opaque, struct display_text *text)
{
    struct vga *v = opaque;
    struct vga_look look;
    struct screen s;
    struct beam beam;
    take_look(v, &look);
    describe(v, &look, &s);
    if (s.kind == SCREEN_BLANK)
        s.characters = s.height = 0;
    else if (s.kind != SCREEN_TEXT)
        return false;
    display_text_init(text, s.characters, s.height / row_lines(v) + (s.height > 0) * 2);
    begin_beam(v, &beam);
    unsigned row = 0;
    uint32_t drawn = UINT32_MAX;
    for (unsigned y = 0; y < s.height && row < text->rows; next_line(v, &beam, y), y++) {
        uint32_t here = beam.address | (uint32_t)beam.split << 16;
        if (here != drawn)
            put_text_row(v, &s, &beam, text, row++);
        drawn = here;
    }
    text->rows = row;
    return true;
}

const struct display_console_ops vga_console_ops = {
    .draw = console_draw,
    .forget = console_forget,
    .text = console_text,
};
