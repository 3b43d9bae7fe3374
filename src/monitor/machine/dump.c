/* SPDX-License-Identifier: MIT
 *
 * Printing of values, memory and code. */
#include "monitor/machine/dump.h"

#include <inttypes.h>
#include <string.h>

#include "base/strbuf.h"

static void add_character(struct strbuf *text, uint64_t value)
{
    static const char plain[] = "\n\r\t\\'", escapes[] = "nrt\\'";
    const char *escape = value && value < 128 ? strchr(plain, (int)value) : NULL;

    if (escape) {
        strbuf_printf(text, "'\\%c'", escapes[escape - plain]);
    } else if (value >= ' ' && value < 127) {
        strbuf_printf(text, "'%c'", (int)value);
    } else {
        strbuf_printf(text, "'\\x%02x'", (unsigned)value);
    }
}

void dump_value(struct strbuf *text, char letter, uint64_t value)
{
    switch (letter) {
    case 'o': strbuf_printf(text, "%#" PRIo64, value); break;
    case 'x': strbuf_printf(text, "%#" PRIx64, value); break;
    case 'u': strbuf_printf(text, "%" PRIu64, value); break;
    case 'c': add_character(text, value); break;
    default: strbuf_printf(text, "%" PRId64, (int64_t)value);
    }
}

/* A value of `size` bytes in a column that is as wide as any of them. */
static void add_column(struct strbuf *text, char letter, unsigned size, uint64_t value)
{
    static const uint8_t decimal[] = {[1] = 3, [2] = 5, [4] = 10, [8] = 20};

    switch (letter) {
    case 'o': strbuf_printf(text, "%#*" PRIo64, (int)(size * 8 + 2) / 3, value); break;
    case 'x': strbuf_printf(text, "0x%0*" PRIx64, (int)size * 2, value); break;
    case 'u': strbuf_printf(text, "%*" PRIu64, decimal[size], value); break;
    case 'c': add_character(text, value); break;
    default: strbuf_printf(text, "%*" PRId64, decimal[size], (int64_t)value);
    }
}

void dump_memory(struct monitor_session *session, const struct dump_source *source,
                 struct monitor_format format, uint64_t address)
{
    const unsigned line = format.size == 1 ? 8 : 16;
    const unsigned size = format.letter == 'c' ? 1 : format.size;
    uint64_t left = (uint64_t)format.count * format.size;
    uint8_t bytes[16];

    while (left && !monitor_is_full(session)) {
        unsigned count = left < line ? (unsigned)left : line;
        struct strbuf text;
        bool good = source->read(source->opaque, address, bytes, count);

        strbuf_init(&text);
        strbuf_printf(&text, "%016" PRIx64 ":", address);
        for (unsigned i = 0; good && i < count; i += size) {
            uint64_t value = 0;
            memcpy(&value, bytes + i, size);
            strbuf_putc(&text, ' ');
            add_column(&text, format.letter, size, value);
        }
        monitor_printf(session, "%s%s\n", text.data, good ? "" : " Cannot access memory");
        strbuf_free(&text);
        if (!good) {
            return;
        }
        address += count;
        left -= count;
    }
}

void dump_code(struct monitor_session *session, const struct dump_source *source,
               enum disas_mode mode, unsigned count, uint64_t address)
{
    const struct disas_style style = {.mode = mode, .syntax = DISAS_ATT};
    uint8_t bytes[DISAS_LENGTH_MAX];

    for (; count && !monitor_is_full(session); count--) {
        struct strbuf text;
        size_t size = sizeof bytes;

        /* The last bytes may be behind what can be read. */
        while (size && !source->read(source->opaque, address, bytes, size)) {
            size--;
        }
        strbuf_init(&text);
        unsigned length = disas_line(&style, bytes, size, address, &text);
        monitor_printf(session, "%s", text.data);
        strbuf_free(&text);
        if (!length) {
            monitor_printf(session, "0x%08" PRIx64 ": unable to read memory\n", address);
            return;
        }
        address += length;
    }
}
