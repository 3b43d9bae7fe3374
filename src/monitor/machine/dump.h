/* SPDX-License-Identifier: MIT
 *
 * Values and memory as `print`, `x` and `xp` show them, in QEMU's shapes.
 */
#ifndef MONITOR_MACHINE_DUMP_H
#define MONITOR_MACHINE_DUMP_H

#include <stddef.h>

#include "disas/disas.h"
#include "monitor/monitor.h"

struct strbuf;

/* "0x2a", "42", "052", "'*'". */
void dump_value(struct strbuf *text, char letter, uint64_t value);

/* Where the bytes come from. */
struct dump_source {
    void *opaque;
    /* All `size` bytes, or false. */
    bool (*read)(void *opaque, uint64_t address, void *to, size_t size);
};

/* Lines of values, 8 bytes or 16 each: "ADDRESS: 0x01 0x02"; ends at what cannot be read. */
void dump_memory(struct monitor_session *session, const struct dump_source *source,
                 struct monitor_format format, uint64_t address);

/* format.count instructions. */
void dump_code(struct monitor_session *session, const struct dump_source *source,
               enum disas_mode mode, unsigned count, uint64_t address);

#endif
