/* SPDX-License-Identifier: MIT
 *
 * For the fuzz targets of readers: reads a recording to its end and looks at everything that is
 * handed out, so that a pointer to the wrong place shows.
 */
#ifndef FUZZ_WALK_H
#define FUZZ_WALK_H

#include <stdlib.h>

#include "base/strbuf.h"
#include "trace/read/internal.h"

/* Closes the reader; NULL is one that could not be opened, `err` its reason. Aborts when a failure
 * has no sentence or a clean end has one, and when times fall although the format keeps their order
 * (`ordered`). */
static inline void walk_reader(struct trace_reader *reader, const struct error *err, bool ordered)
{
    struct trace_record record;
    struct strbuf text;
    uint64_t time = 0;
    int got;
    if (!reader) {
        if (!*err->text) {
            abort();
        }
        return;
    }
    strbuf_init(&text);
    while ((got = trace_reader_next(reader, &record)) > 0) {
        strbuf_clear(&text);
        trace_decl_render(&text, record.decl, record.values, record.lengths);
        for (unsigned i = 0; i < record.decl->nargs; i++) {
            if (record.decl->arg[i].kind == TRACE_STRING) {
                strbuf_add(&text, (const char *)(uintptr_t)record.values[i], record.lengths[i]);
            }
        }
        if (ordered && record.time < time) {
            abort();
        }
        time = record.time;
    }
    if (!*trace_reader_error(reader) != (got == 0)) {
        abort();
    }
    strbuf_free(&text);
    trace_reader_close(reader);
}

#endif
