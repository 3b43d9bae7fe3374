/* SPDX-License-Identifier: MIT
 *
 * Names of registers, and the messages of -d unimp and -d guest_errors that carry them. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/log.h"
#include "base/logitems.h"
#include "base/strbuf.h"
#include "memory/internal.h"

const struct mem_register *mem_register_at(const struct mem_region *region, uint64_t offset)
{
    const struct mem_register *reg = region->ops ? region->ops->registers : NULL;

    for (; reg && reg->name; reg++) {
        if (offset >= reg->offset && offset - reg->offset < reg->width)
            return reg;
    }
    return NULL;
}

/* Where reads and writes are of different registers: the one of the way. */
static const struct mem_register *register_of(const struct mem_region *region, enum mem_way way,
                                              uint64_t offset)
{
    const struct mem_register *first = mem_register_at(region, offset);

    for (const struct mem_register *reg = first; reg && reg->name; reg++) {
        if (offset >= reg->offset && offset - reg->offset < reg->width &&
            reg->access & (way == MEM_READ ? MEM_R : MEM_W))
            return reg;
    }
    return first;
}

void mem_register_print(const struct mem_register *reg, uint64_t value, struct strbuf *text)
{
    strbuf_puts(text, reg->name);
    for (const struct mem_field *field = reg->fields; field && field->name; field++) {
        const uint64_t mask = field->bits < 64 ? (UINT64_C(1) << field->bits) - 1 : UINT64_MAX;
        const uint64_t part = value >> field->low & mask;
        strbuf_printf(text, part < 10 ? " %s=%" PRIu64 : " %s=0x%" PRIx64, field->name, part);
    }
}

const char *mem_region_words(const struct mem_region *region, enum mem_way way, uint64_t offset,
                             char *room, size_t size)
{
    const struct mem_register *reg = register_of(region, way, offset);

    if (!reg)
        return region->name;
    snprintf(room, size, "%s:%s", region->name, reg->name);
    return room;
}

/* --- messages --- */

static const char *const WAYS[] = {[MEM_READ] = "read", [MEM_WRITE] = "write"};

enum { WORDS_ROOM = 128, LINE_ROOM = 320 };

__attribute__((format(printf, 1, 2))) static void say(const char *format, ...)
{
    char room[LINE_ROOM];
    va_list ap;

    va_start(ap, format);
    int len = vsnprintf(room, sizeof room, format, ap);
    va_end(ap);
    if (len >= (int)sizeof room) { /* a name that long is cut, the line's end is not */
        len = sizeof room - 1;
        room[len - 1] = '\n';
    }
    if (len > 0)
        log_text(room, (size_t)len);
}

void mem_log_hole(const struct mem_space *space, enum mem_way way, uint64_t address, size_t size)
{
    if (log_item_on(LOG_GUEST_ERRORS))
        say("Invalid %s at addr 0x%" PRIX64 ", size %zu, region '%s', reason: nothing is there\n",
            WAYS[way], address, size, space ? space->name : "(null)");
}

void mem_log_rom(const struct mem_region *region, uint64_t address, size_t size)
{
    if (log_item_on(LOG_GUEST_ERRORS))
        say("Invalid write at addr 0x%" PRIX64 ", size %zu, region '%s', reason: read-only\n",
            address, size, region->name);
}

void mem_log_refused(const struct mem_region *region, enum mem_way way, uint64_t address,
                     uint64_t offset, unsigned size, const char *reason)
{
    char room[WORDS_ROOM];

    if (log_item_on(LOG_GUEST_ERRORS))
        say("Invalid %s at addr 0x%" PRIX64 ", size %u, region '%s', reason: %s\n", WAYS[way],
            address, size, mem_region_words(region, way, offset, room, sizeof room), reason);
}

void mem_log_register(const struct mem_region *region, enum mem_way way, uint64_t offset,
                      unsigned size)
{
    const bool unimp = log_item_on(LOG_UNIMP), errors = log_item_on(LOG_GUEST_ERRORS);

    if ((!unimp && !errors) || !region->ops->registers)
        return;
    const struct mem_register *reg = register_of(region, way, offset);
    if (!reg) {
        if (unimp)
            say("%s: %s of %u bytes at offset 0x%" PRIx64 ", where no register is implemented\n",
                region->name, WAYS[way], size, offset);
    } else if (errors && !(reg->access & (way == MEM_READ ? MEM_R : MEM_W))) {
        say("%s: %s of register %s (offset 0x%" PRIx64 "), which can only be %s\n", region->name,
            WAYS[way], reg->name, offset, way == MEM_READ ? "written" : "read");
    }
}
