/* SPDX-License-Identifier: MIT
 *
 * Words for values: printing a set, comparing two, and the text of a value. */
#include "trace/decl/internal.h"

#include <inttypes.h>
#include <string.h>

bool trace_words_same(const struct trace_words *a, const struct trace_words *b)
{
    if (a == b) {
        return true;
    }
    if (strcmp(a->name, b->name) != 0 || a->flags != b->flags || a->count != b->count) {
        return false;
    }
    for (unsigned i = 0; i < a->count; i++) {
        if (a->row[i].value != b->row[i].value || strcmp(a->row[i].word, b->row[i].word) != 0) {
            return false;
        }
    }
    return true;
}

void trace_words_print(struct strbuf *out, const struct trace_words *words)
{
    strbuf_printf(out, "#@%s %s", words->flags ? "flags" : "enum", words->name);
    for (unsigned i = 0; i < words->count; i++) {
        const char *word = words->row[i].word;
        if (words->flags) {
            strbuf_printf(out, " 0x%" PRIx64 "=%s", words->row[i].value, word);
        } else {
            strbuf_printf(out, " %" PRId64 "=%s", (int64_t)words->row[i].value, word);
        }
    }
    strbuf_putc(out, '\n');
}

static bool enum_text(struct strbuf *out, const struct trace_words *words, uint64_t value)
{
    for (unsigned i = 0; i < words->count; i++) {
        if (words->row[i].value == value) {
            strbuf_puts(out, words->row[i].word);
            return true;
        }
    }
    return false;
}

static bool flags_text(struct strbuf *out, const struct trace_words *words, uint64_t value)
{
    if (value == 0) {
        return enum_text(out, words, 0); /* a word for "none", if there is one */
    }
    uint64_t left = value;
    const char *between = "";
    for (unsigned i = 0; i < words->count; i++) {
        uint64_t mask = words->row[i].value;
        if (mask && (left & mask) == mask) {
            strbuf_puts(out, between);
            strbuf_puts(out, words->row[i].word);
            between = "|";
            left &= ~mask;
        }
    }
    if (left == value) {
        return false;
    }
    if (left) {
        strbuf_printf(out, "|0x%" PRIx64, left);
    }
    return true;
}

bool trace_words_text(struct strbuf *out, const struct trace_words *words, uint64_t value)
{
    return words->flags ? flags_text(out, words, value) : enum_text(out, words, value);
}
