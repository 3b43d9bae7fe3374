/* SPDX-License-Identifier: MIT
 *
 * Mapping records for the events of this program. */
#include "trace/write/mapping.h"

#include <string.h>

#include "base/strbuf.h"
#include "trace/probe/event.h"
#include "trace/record.h"

uint8_t *trace_mapping(unsigned first, size_t *len)
{
    struct strbuf out;
    strbuf_init(&out);
    for (unsigned i = first; i < trace_event_count(); i++) {
        const char *name = trace_event_at(i)->decl->name;
        const uint64_t head[2] = {TRACE_TYPE_MAPPING, i};
        const uint32_t length = (uint32_t)strlen(name);
        strbuf_add(&out, head, sizeof head);
        strbuf_add(&out, &length, sizeof length);
        strbuf_add(&out, name, length);
    }
    *len = out.len;
    return (uint8_t *)strbuf_take(&out);
}
