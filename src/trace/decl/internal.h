/* SPDX-License-Identifier: MIT
 *
 * What the files of trace/decl share: the store behind a list of declarations, the line that is
 * being read and how it is complained about.
 */
#ifndef TRACE_DECL_INTERNAL_H
#define TRACE_DECL_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "trace/decl/conversion.h"
#include "trace/decl/decl.h"

enum {
    DECL_FILE_MAX = 64 << 20,       /* bytes of a file */
    DECL_LINE_MAX = 64 << 10,       /* bytes of a line */
    DECL_NAME_MAX = 256,            /* bytes of a name of an event, an argument, a type */
    DECL_WORD_MAX = 64,             /* bytes of the name of a set and of its words */
    DECL_WORDS_MAX = 512,           /* words of a set */
    DECL_SETS_MAX = 1024,           /* sets of a list */
    DECL_WORDS_TOTAL_MAX = 1 << 17, /* words of a file */
    DECL_MARKS_MAX = 1 << 17,       /* `#@` lines of a file */
    DECL_ROWS_MAX = 1 << 17,        /* declarations of a list */
    DECL_WARNINGS_MAX = 50,         /* complaints about one file */
};

/* store.c: memory and look-up. Blocks live until the list is freed. */
void *decl_store_alloc(struct trace_decls *decls, size_t size); /* zeroed */
char *decl_store_string(struct trace_decls *decls, const char *text, size_t len);
void decl_store_add(struct trace_decls *decls, struct trace_decl *decl);
const struct trace_words *decl_store_find_words(const struct trace_decls *decls, const char *name,
                                                size_t len);
bool decl_store_add_words(struct trace_decls *decls,
                          const struct trace_words *words); /* false: full */

/* The file and line that are being read. */
struct decl_reader {
    struct trace_decls *decls;
    enum trace_dialect dialect;
    const char *file;
    unsigned line;
    const char *text; /* the line, without its newline */
    const char *end;
    trace_warn_fn *warn;
    void *opaque;
    unsigned warnings;
    struct error *err;

    /* The last `# file.c`; copied to `source` when a declaration needs it. */
    const char *source_text;
    size_t source_len;
    const char *source;

    unsigned declarations, marks, words; /* read so far */

    /* `#@args` that wait for their declaration, and where they stood. */
    unsigned npending;
    struct decl_pending {
        const char *arg;
        const struct trace_words *words;
        unsigned line, column;
    } pending[TRACE_VALUES_MAX];
};

/* "file:line:column: sentence"; `at` points into the line. decl_fail() returns false. */
bool decl_fail(struct decl_reader *r, const char *at, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void decl_warn(struct decl_reader *r, const char *at, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
bool decl_fail_place(struct decl_reader *r, unsigned line, unsigned column, const char *sentence);
void decl_warn_place(struct decl_reader *r, unsigned line, unsigned column, const char *sentence);

/* A piece of foreign text for a message: cut to a bearable length, unprintable bytes as '?'. */
struct decl_quote {
    char text[64];
};
struct decl_quote decl_quote(const char *text, size_t len);

static inline bool decl_is_blank(char c)
{
    return c == ' ' || c == '\t';
}

static inline bool decl_is_name_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

static inline const char *decl_skip_blanks(const char *p, const char *end)
{
    while (p < end && decl_is_blank(*p)) {
        p++;
    }
    return p;
}

/* format.c: a format while it is made, each byte with the place it came from. */
struct decl_format {
    size_t len;
    size_t settled; /* while it is read: what stands before holds no incomplete conversion */
    char text[TRACE_FORMAT_MAX + 1];
    uint32_t at[TRACE_FORMAT_MAX + 1]; /* offset in the line */
};

/* Reads literals and macros from `p` on until the end of the line or a comma; `stop` is where that
 * was. */
bool decl_format_read(struct decl_reader *r, const char *p, struct decl_format *format,
                      const char **stop);

/* Puts text in front. False if it gets too long. */
bool decl_format_prefix(struct decl_format *format, const char *text);

/* Completes incomplete conversions from the arguments and compares the others with them, as the
 * dialect asks. */
bool decl_format_check(struct decl_reader *r, struct decl_format *format,
                       const struct trace_decl *decl);

/* marks.c: a comment line (`text` begins with '#'). */
bool decl_read_comment(struct decl_reader *r, const char *text);

/* Gives the waiting `#@args` to a declaration. They wait on until `npending` is set to 0. */
bool decl_apply_pending(struct decl_reader *r, struct trace_decl *decl);

/* names.c: why a name may not be used in our own files, or NULL. */
const char *decl_refuse_arg_name(const char *name);
const char *decl_refuse_event_name(const char *name);

#endif
