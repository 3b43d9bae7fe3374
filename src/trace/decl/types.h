/* SPDX-License-Identifier: MIT
 *
 * The C types that an argument of an event may have. Any thread.
 */
#ifndef TRACE_DECL_TYPES_H
#define TRACE_DECL_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/strbuf.h"
#include "trace/decl/decl.h"

struct trace_type {
    enum trace_kind kind;
    uint8_t bits;
    bool long_long;  /* takes %ll where others of 64 bits take %l */
    bool tcg;        /* was a TCGv type: known only when the event runs */
    char length;     /* the usual length modifier: 0, 'l', 'L' for ll, 'z', 't' */
    const char *pri; /* "64" or "PTR" for types that PRI macros are made for, else NULL */
};

enum trace_type_result {
    TRACE_TYPE_OK,
    TRACE_TYPE_UNKNOWN, /* a word that is no allowed one */
    TRACE_TYPE_NO_TYPE, /* allowed words that make no C type together ("short char") */
    TRACE_TYPE_VOID,    /* `void` without a star */
};

/* Looks at a type such as "const char *". Writes its usual spelling to `spelling` (one blank
 * between words, stars together behind a blank; TCGv types replaced by what they hold). On failure
 * `bad` is the first word that is wrong, inside `text`. A result other than TRACE_TYPE_UNKNOWN
 * fills `type` with the best guess. */
enum trace_type_result trace_type_parse(const char *text, size_t len, struct trace_type *type,
                                        struct strbuf *spelling, const char **bad, size_t *bad_len);

/* The type of an argument that was read before. */
struct trace_type trace_type_of(const struct trace_arg *arg);

/* All words that are allowed, for messages. */
extern const char trace_type_allowed[];

/* True for `word` in a type. */
bool trace_type_is_word(const char *word, size_t len);

#endif
