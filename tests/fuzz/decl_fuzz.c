/* SPDX-License-Identifier: MIT
 *
 * Declarations from foreign bytes: reading, printing and reading again gives the same list; events
 * are rendered with made values; the words of every value are looked up. The first byte picks the
 * dialect. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "trace/decl/decl.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void take_warning(void *opaque, const char *sentence)
{
    size_t *count = opaque;
    if (!strchr(sentence, ':') || ++*count > 51) {
        bug("a warning without a place, or one too many: %s", sentence);
    }
}

static void print(struct strbuf *out, const struct trace_decls *decls)
{
    trace_decls_print(out, (const struct trace_decl *const *)decls->row, decls->count);
}

static void render(const struct trace_decl *decl, const uint8_t *data, size_t size)
{
    uint64_t values[TRACE_VALUES_MAX];
    uint32_t lengths[TRACE_VALUES_MAX];
    struct strbuf out;
    strbuf_init(&out);
    for (unsigned i = 0; i < decl->nargs; i++) {
        values[i] = (uint64_t)i * 0x9e3779b97f4a7c15u >> (size + i) % 64;
        lengths[i] = UINT32_MAX; /* to be read for strings only */
        if (decl->strings >> i & 1) {
            /* Exactly as long as it says, so that reading behind it is seen. */
            lengths[i] = (uint32_t)(size < 20 ? size : 20);
            values[i] = (i + size) % 3 ? (uintptr_t)data : 0;
        }
        if (decl->arg[i].words) {
            trace_words_text(&out, decl->arg[i].words, values[i]);
        }
    }
    trace_decl_render(&out, decl, values, lengths);
    if (out.len > 200000) {
        bug("%zu bytes of text for one event", out.len);
    }
    strbuf_free(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1) {
        return 0;
    }
    enum trace_dialect dialect = data[0] & 1 ? TRACE_DIALECT_ANY : TRACE_DIALECT_OWN;
    /* A copy of its own, without a NUL behind it. */
    char *text = malloc(size - 1 ? size - 1 : 1);
    memcpy(text, data + 1, size - 1);
    struct error err;
    size_t warnings = 0;
    struct trace_decls *first = trace_decls_new();
    trace_decls_parse(first, dialect, "fuzz", text, size - 1, take_warning, &warnings, &err);
    free(text);

    struct strbuf one, two;
    strbuf_init(&one);
    strbuf_init(&two);
    print(&one, first);
    for (size_t i = 0; i < first->count; i++) {
        if (trace_decls_find(first, first->row[i]->name) != first->row[i]) {
            bug("event %s is not found", first->row[i]->name);
        }
        render(first->row[i], data, size);
    }

    struct trace_decls *second = trace_decls_new();
    if (!trace_decls_parse(second, dialect, "printed", one.data, one.len, NULL, NULL, &err)) {
        bug("what was printed is not read back: %s", err.text);
    }
    print(&two, second);
    if (first->count != second->count || strcmp(one.data, two.data) != 0) {
        bug("printed, read and printed again:\n%s\ninstead of\n%s", two.data, one.data);
    }
    for (size_t i = 0; i < first->count; i++) {
        if (strcmp(first->row[i]->format, second->row[i]->format) != 0) {
            bug("the format of %s has changed", first->row[i]->name);
        }
    }
    strbuf_free(&one);
    strbuf_free(&two);
    trace_decls_free(first);
    trace_decls_free(second);
    return 0;
}
