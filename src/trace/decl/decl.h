/* SPDX-License-Identifier: MIT
 *
 * Declarations of events: what a line of a `trace-events` file says, after reading. The same
 * structs describe an event in a running program (the generator writes them out as constants) and
 * in a recording that is being read.
 *
 * Read in this order: this header, decl/parse.c (files to structs), decl/conversion.h (formats),
 * decl/print.c (structs to files).
 *
 * Grammar: reference for QEMU's trace-events files, plus the older dialects (`tcg` with two formats
 * and TCGv types, `vcpu`, `\n` in formats) and our comment lines:
 *
 *     #@enum NAME VALUE=WORD ...       one word for each value
 *     #@flags NAME MASK=WORD ...       one word for each bit or mask that is set
 *     #@args ARG:NAME ...              which arguments of the next declaration use which of them
 *
 * To QEMU's tools these are comments.
 */
#ifndef TRACE_DECL_H
#define TRACE_DECL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/error.h"
#include "base/strbuf.h"

enum {
    TRACE_ARGS_MAX = 10, /* that a declaration in our sources may have */
    /* That an event in a recording may have: `vcpu` adds one in front, `context=` some behind. The
     * tolerant dialect accepts declarations with as many. */
    TRACE_VALUES_MAX = 16,
    TRACE_STRING_MAX = 512, /* bytes of a string that are kept, as in QEMU */
};

/* What the 64 bits of an argument's value mean. */
enum trace_kind {
    TRACE_UNSIGNED, /* zero-extended */
    TRACE_SIGNED,   /* sign-extended */
    TRACE_BOOL,     /* 0 or 1 */
    TRACE_POINTER,  /* an address, never followed */
    TRACE_STRING,   /* text: a pointer to bytes, with a length beside it */
};

/* Words for values: an enumeration (exactly one row matches) or a flag set (rows are masks). */
struct trace_word {
    uint64_t value;
    const char *word;
};

struct trace_words {
    const char *name;
    bool flags;
    unsigned count;
    const struct trace_word *row;
};

struct trace_arg {
    const char *name;
    const char *type; /* as declared: "const char *", "uint32_t"; TCGv types already replaced */
    enum trace_kind kind;
    uint8_t bits;                    /* width of the C type: 8, 16, 32, 64; 64 for strings */
    const struct trace_words *words; /* or NULL */
};

struct trace_decl {
    const char *name;
    unsigned nargs;
    struct trace_arg arg[TRACE_VALUES_MAX];
    uint32_t strings;   /* bit i is set when arg[i] is a string */
    bool disabled;      /* `disable`: cannot be switched on */
    bool vcpu;          /* `vcpu`: arg[0] is the implied `void *__cpu` */
    bool tcg;           /* came out of a `tcg` declaration */
    const char *format; /* the printf format with literals joined and PRI macros replaced */
    const char *source; /* the name in the last `# file.c` comment above it, or NULL */
    unsigned line;
};

/* All declarations of one or more files, in their order. Names are unique. */
struct trace_decls {
    size_t count;
    struct trace_decl **row;
    /* the rest belongs to decl/parse.c */
    struct trace_decls_private *own;
};

/* How strict the reader is. */
enum trace_dialect {
    /* Our own sources: every rule of the grammar holds, `tcg` and TCGv are refused. */
    TRACE_DIALECT_OWN,
    /* People's files of any QEMU release: takes the older forms, a missing newline at the end, a
     * declaration that occurs twice (the first counts) and `#@` lines that it does not know. */
    TRACE_DIALECT_ANY,
};

/* Receives one complaint: "file:line:column: what is wrong, what is allowed". */
typedef void trace_warn_fn(void *opaque, const char *sentence);

struct trace_decls *trace_decls_new(void);
void trace_decls_free(struct trace_decls *decls); /* and every row, name and format in it */

/* Reads declarations and adds them. `file` is the name for messages. On failure `err` holds
 * "file:line:column: ..." and what was added before stays. `warn` may be NULL. The text need not
 * end in a NUL; it may hold any bytes. */
bool trace_decls_parse(struct trace_decls *decls, enum trace_dialect dialect, const char *file,
                       const char *text, size_t len, trace_warn_fn *warn, void *opaque,
                       struct error *err);

/* The same from a file. */
bool trace_decls_load(struct trace_decls *decls, enum trace_dialect dialect, const char *path,
                      trace_warn_fn *warn, void *opaque, struct error *err);

/* The declaration of that name, or NULL. Constant time. */
const struct trace_decl *trace_decls_find(const struct trace_decls *decls, const char *name);

/* Writes one declaration as a line of our merged list, with `#@` lines before it where arguments
 * have words: `vcpu` becomes an ordinary first argument `void *cpu`, the format is one literal.
 * Every release of QEMU's tools reads it. `trace_words_print` must have written the sets it uses.
 */
void trace_decl_print(struct strbuf *out, const struct trace_decl *decl);
void trace_words_print(struct strbuf *out, const struct trace_words *words);

/* Writes a whole list: each set of words once, before its first use, then the declarations. */
void trace_decls_print(struct strbuf *out, const struct trace_decl *const *row, size_t count);

/* The word for a value, for readers: an enumeration's word, or flag words joined by '|' with what
 * is left over in hexadecimal. False (and nothing written) when no row matches. */
bool trace_words_text(struct strbuf *out, const struct trace_words *words, uint64_t value);

/* True if two sets have the same name, kind and rows. */
bool trace_words_same(const struct trace_words *a, const struct trace_words *b);

/* Renders an event as its declared format says, as printf would: values[i] is the argument's 64-bit
 * value or, for strings, a pointer to lengths[i] bytes (NULL prints as "(null)"). A conversion that
 * does not fit its argument's kind is shown by the kind instead, so no input can make it read
 * memory it should not. Conversions beyond the last argument print as they stand. */
void trace_decl_render(struct strbuf *out, const struct trace_decl *decl, const uint64_t *values,
                       const uint32_t *lengths);

#endif
