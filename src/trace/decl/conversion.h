/* SPDX-License-Identifier: MIT
 *
 * Formats: the C source text of a declaration (literals and PRI macros) becomes a printf format,
 * and a printf format is taken apart into conversions. Any thread; nothing here allocates.
 */
#ifndef TRACE_DECL_CONVERSION_H
#define TRACE_DECL_CONVERSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "trace/decl/decl.h"
#include "trace/decl/types.h"

enum {
    TRACE_FORMAT_MAX = 8192, /* bytes of a format, without its NUL */
    TRACE_WIDTH_MAX = 1024,  /* widths and precisions above are taken as this */
};

enum trace_length {
    TRACE_LENGTH_NONE,
    TRACE_LENGTH_HH,
    TRACE_LENGTH_H,
    TRACE_LENGTH_L,
    TRACE_LENGTH_LL,
    TRACE_LENGTH_J,
    TRACE_LENGTH_Z,
    TRACE_LENGTH_T,
};

/* One conversion: `%` flags width .precision length letter. */
struct trace_conversion {
    const char *start; /* the '%' */
    const char *spec;  /* behind flags, width and precision: where the length begins */
    const char *end;   /* behind the letter */
    bool left, plus, space, alternate, zero, group;
    bool width_arg, precision_arg; /* `*`: takes an argument */
    bool wide;                     /* width or precision was above TRACE_WIDTH_MAX */
    int width, precision;          /* -1: none */
    enum trace_length length;
    char letter; /* 0: incomplete; what follows is no letter */
};

/* Takes apart the conversion at `percent`, which is a '%'. */
void trace_conversion_parse(const char *percent, struct trace_conversion *c);

/* What a letter takes: an argument at all, an integer. */
bool trace_conversion_takes_argument(const struct trace_conversion *c);
bool trace_conversion_is_integer(const struct trace_conversion *c);

/* NULL if the compilers agree that this conversion shows an argument of this type; otherwise what
 * is wrong ("needs an integer"). */
const char *trace_conversion_misfit(const struct trace_conversion *c,
                                    const struct trace_type *type);

/* The same for the argument behind a `*`. */
bool trace_conversion_star_fits(const struct trace_type *type);

/* The length and letter that show the type: "s", "p", "lx". `hex`: hexadecimal for integers. Writes
 * at most 4 bytes with the NUL. */
void trace_conversion_letters(const struct trace_type *type, bool hex, char letters[4]);

/* The conversions that fit, for messages: "%d, %u, %x, %o or %c". */
const char *trace_conversion_allowed(const struct trace_type *type);

/* The replacement of a macro such as PRIx64: "lx". NULL when the name is no such macro. Writes to
 * `letters`. */
const char *trace_conversion_pri(const char *name, size_t len, char letters[4]);

/* Writes an event's format as C source text, with PRI macros where the types are made for them:
 * `"0x%"PRIx64" (%s)"`. */
void trace_decl_format_source(struct strbuf *out, const struct trace_decl *decl);

#endif
