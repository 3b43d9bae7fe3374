/* SPDX-License-Identifier: MIT
 *
 * An address as text. */
#include "symbol/symbol.h"

#include <inttypes.h>
#include <string.h>

bool symbol_format(struct symbol_space *space, uint64_t address, unsigned style,
                   struct strbuf *text)
{
    struct symbol_info info;
    bool found = style & SYMBOL_LINE ? symbol_find_line(space, address, &info)
                                     : symbol_find(space, address, &info);
    if (!found || !(info.symbol || style & SYMBOL_MODULE)) {
        return false;
    }
    if (style & SYMBOL_MODULE) {
        strbuf_puts(text, info.module);
    }
    if (info.symbol) {
        strbuf_printf(text, "%s%s", style & SYMBOL_MODULE ? "!" : "", info.symbol);
    }
    uint64_t offset = info.symbol ? info.offset : info.module_address;
    if (style & SYMBOL_OFFSET && (offset || !info.symbol)) {
        strbuf_printf(text, "+0x%" PRIx64, offset);
    }
    if (info.file) {
        const char *slash = strrchr(info.file, '/');
        strbuf_printf(text, " (%s:%u)", slash ? slash + 1 : info.file, info.line);
    }
    return true;
}
