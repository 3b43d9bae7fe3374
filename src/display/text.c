/* SPDX-License-Identifier: MIT
 *
 * Screens of characters as text. The glyphs are those of the IBM PC's character generator, code
 * page 437; codes below 32 are drawn, too, and do nothing. */
#include <stdlib.h>

#include "base/memory.h"
#include "base/strbuf.h"
#include "display/display.h"

/* clang-format off */
static const uint16_t low[32] = {
    0x0020, 0x263a, 0x263b, 0x2665, 0x2666, 0x2663, 0x2660, 0x2022,
    0x25d8, 0x25cb, 0x25d9, 0x2642, 0x2640, 0x266a, 0x266b, 0x263c,
    0x25ba, 0x25c4, 0x2195, 0x203c, 0x00b6, 0x00a7, 0x25ac, 0x21a8,
    0x2191, 0x2193, 0x2192, 0x2190, 0x221f, 0x2194, 0x25b2, 0x25bc,
};
static const uint16_t high[129] = { /* from 127 on */
    0x2302, 0x00c7, 0x00fc, 0x00e9, 0x00e2, 0x00e4, 0x00e0, 0x00e5,
    0x00e7, 0x00ea, 0x00eb, 0x00e8, 0x00ef, 0x00ee, 0x00ec, 0x00c4,
    0x00c5, 0x00c9, 0x00e6, 0x00c6, 0x00f4, 0x00f6, 0x00f2, 0x00fb,
    0x00f9, 0x00ff, 0x00d6, 0x00dc, 0x00a2, 0x00a3, 0x00a5, 0x20a7,
    0x0192, 0x00e1, 0x00ed, 0x00f3, 0x00fa, 0x00f1, 0x00d1, 0x00aa,
    0x00ba, 0x00bf, 0x2310, 0x00ac, 0x00bd, 0x00bc, 0x00a1, 0x00ab,
    0x00bb, 0x2591, 0x2592, 0x2593, 0x2502, 0x2524, 0x2561, 0x2562,
    0x2556, 0x2555, 0x2563, 0x2551, 0x2557, 0x255d, 0x255c, 0x255b,
    0x2510, 0x2514, 0x2534, 0x252c, 0x251c, 0x2500, 0x253c, 0x255e,
    0x255f, 0x255a, 0x2554, 0x2569, 0x2566, 0x2560, 0x2550, 0x256c,
    0x2567, 0x2568, 0x2564, 0x2565, 0x2559, 0x2558, 0x2552, 0x2553,
    0x256b, 0x256a, 0x2518, 0x250c, 0x2588, 0x2584, 0x258c, 0x2590,
    0x2580, 0x03b1, 0x00df, 0x0393, 0x03c0, 0x03a3, 0x03c3, 0x00b5,
    0x03c4, 0x03a6, 0x0398, 0x03a9, 0x03b4, 0x221e, 0x03c6, 0x03b5,
    0x2229, 0x2261, 0x00b1, 0x2265, 0x2264, 0x2320, 0x2321, 0x00f7,
    0x2248, 0x00b0, 0x2219, 0x00b7, 0x221a, 0x207f, 0x00b2, 0x25a0,
    0x0020,
};
/* clang-format on */

uint32_t display_unicode(uint8_t code)
{
    return code < 32 ? low[code] : code < 127 ? code : high[code - 127];
}

void display_text_init(struct display_text *text, unsigned columns, unsigned rows)
{
    columns = columns < DISPLAY_TEXT_MAX ? columns : DISPLAY_TEXT_MAX;
    rows = rows < DISPLAY_TEXT_MAX ? rows : DISPLAY_TEXT_MAX;
    *text = (struct display_text){.columns = columns, .rows = rows};
    text->cells = mem_alloc((size_t)columns * rows * sizeof(*text->cells) + 1);
}

void display_text_free(struct display_text *text)
{
    free(text->cells);
    *text = (struct display_text){.cells = NULL};
}

/* No character of the page needs more than three bytes. */
static void add_utf8(struct strbuf *to, uint32_t c)
{
    if (c < 0x80) {
        strbuf_putc(to, (char)c);
        return;
    }
    if (c < 0x800) {
        strbuf_putc(to, (char)(0xc0 | c >> 6));
    } else {
        strbuf_putc(to, (char)(0xe0 | c >> 12));
        strbuf_putc(to, (char)(0x80 | (c >> 6 & 0x3f)));
    }
    strbuf_putc(to, (char)(0x80 | (c & 0x3f)));
}

/* Columns up to the last one that is not blank. */
static unsigned used_columns(const struct display_text *text, unsigned row)
{
    const struct display_cell *cells = text->cells + (size_t)row * text->columns;
    unsigned count = text->columns;
    while (count && display_unicode(cells[count - 1].code) == ' ')
        count--;
    return count;
}

void display_text_print(const struct display_text *text, struct strbuf *to)
{
    unsigned rows = text->rows;
    while (rows && !used_columns(text, rows - 1))
        rows--;
    for (unsigned row = 0; row < rows; row++) {
        const struct display_cell *cells = text->cells + (size_t)row * text->columns;
        unsigned count = used_columns(text, row);
        for (unsigned i = 0; i < count; i++)
            add_utf8(to, display_unicode(cells[i].code));
        strbuf_putc(to, '\n');
    }
}

bool display_console_text(struct display_console *console, struct strbuf *to, struct error *err)
{
    struct display_text text = {.cells = NULL};
    if (!console->ops->text || !console->ops->text(console->opaque, &text)) {
        display_console_update(console);
        return error_set(err,
                         "the screen of %s shows pixels (%u x %u), not characters; formats png and "
                         "ppm show them",
                         console->name, console->surface.width, console->surface.height);
    }
    display_text_print(&text, to);
    display_text_free(&text);
    return true;
}
