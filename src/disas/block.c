/* SPDX-License-Identifier: MIT
 *
 * Listings of blocks, in the shape of QEMU's logs. */
#include "disas/disas.h"

#include <inttypes.h>

#include "base/load.h"

enum { LINE_BYTES = 8 };

static void put_bytes(struct strbuf *text, const uint8_t *bytes, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        strbuf_printf(text, "%s%02x", i ? " " : "", bytes[i]);
    }
}

unsigned disas_line(const struct disas_style *style, const void *bytes, size_t size, uint64_t pc,
                    struct strbuf *text)
{
    struct strbuf insn;
    strbuf_init(&insn);
    unsigned length = disas_insn(style, bytes, size, pc, &insn);
    unsigned first = length > LINE_BYTES ? LINE_BYTES : length;
    if (length) {
        strbuf_printf(text, "0x%08" PRIx64 ":  ", pc);
        put_bytes(text, bytes, first);
        strbuf_printf(text, "%*s%s\n", 25 - (int)(3 * first - 1), "", insn.data);
    }
    if (length > first) {
        strbuf_printf(text, "0x%08" PRIx64 ":  ", pc + first);
        put_bytes(text, (const uint8_t *)bytes + first, length - first);
        strbuf_putc(text, '\n');
    }
    strbuf_free(&insn);
    return length;
}

static void put_code(const struct disas_style *style, const uint8_t *bytes, size_t size,
                     uint64_t pc, struct strbuf *text)
{
    for (size_t at = 0; at < size;) {
        at += disas_line(style, bytes + at, size - at, pc + at, text);
    }
}

void disas_in_asm(const struct disas_style *style, const char *symbol, const void *bytes,
                  size_t size, uint64_t pc, struct strbuf *text)
{
    strbuf_printf(text, "----------------\nIN: %s\n", symbol ? symbol : "");
    put_code(style, bytes, size, pc, text);
    strbuf_putc(text, '\n');
}

static void put_data(const uint8_t *bytes, size_t size, uint64_t pc, struct strbuf *text)
{
    for (size_t at = 0; at + 8 <= size; at += 8) {
        strbuf_printf(text, "0x%08" PRIx64 ":  .quad  0x%016" PRIx64 "\n", pc + at,
                      load64(bytes + at));
    }
}

void disas_out_asm(const struct disas_style *style, const void *bytes, size_t size, uint64_t pc,
                   const struct disas_mark *mark, size_t marks, struct strbuf *text)
{
    size_t at = 0;
    bool data = false;
    strbuf_printf(text, "OUT: [size=%zu]\n", size);
    for (size_t i = 0; i <= marks; i++) {
        size_t next = i < marks && mark[i].offset < size ? mark[i].offset : size;
        next = next < at ? at : next;
        if (data) {
            put_data((const uint8_t *)bytes + at, next - at, pc + at, text);
        } else {
            put_code(style, (const uint8_t *)bytes + at, next - at, pc + at, text);
        }
        at = next;
        if (i == marks || at == size) {
            break;
        }
        data = mark[i].data;
        if (mark[i].title) {
            strbuf_printf(text, "  -- %s\n", mark[i].title);
        } else {
            strbuf_printf(text, "  -- guest addr 0x%016" PRIx64 "%s\n", mark[i].guest,
                          mark[i].note ? mark[i].note : "");
        }
    }
    strbuf_putc(text, '\n');
}
