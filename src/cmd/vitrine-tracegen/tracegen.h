/* SPDX-License-Identifier: MIT
 *
 * vitrine-tracegen: makes C code, lists and tapsets of trace-events files. The build runs it.
 *
 * Read in this order: this header, main.c (options, files), header.c and source.c (what a group of
 * probes becomes in C), merge.c, lttng.c, stap.c, write.c (the pieces that they share).
 */
#ifndef TRACEGEN_H
#define TRACEGEN_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "base/strbuf.h"
#include "trace/decl/decl.h"

/* One trace-events file: its declarations are `count` rows of the list from `first` on. */
struct tracegen_input {
    const char *path;  /* as it was given: for messages */
    const char *shown; /* the same from --root on: for what is generated */
    size_t first, count;
};

/* Everything that was read, in one list. */
struct tracegen {
    struct trace_decls *decls;
    struct tracegen_input *input;
    size_t ninputs;
};

/* C code for the probes of one file. `group` consists of [a-z0-9_]; `header` is what the source
 * includes. The source fails when the names of two events differ in case alone. */
void tracegen_header(struct strbuf *out, const struct tracegen *gen, const char *group);
void tracegen_source(struct strbuf *out, const struct tracegen *gen, const char *group,
                     const char *header);

/* One list of everything. */
void tracegen_merge(struct strbuf *out, const struct tracegen *gen);

/* An LTTng provider: its header (`name` is the file's own name) and its source. */
void tracegen_lttng_header(struct strbuf *out, const struct tracegen *gen, const char *name);
void tracegen_lttng_source(struct strbuf *out, const struct tracegen *gen, const char *header);

/* A SystemTap tapset for the probes of the program at `binary`. */
void tracegen_stap(struct strbuf *out, const struct tracegen *gen, const char *binary,
                   const char *prefix);

/* write.c: pieces. */

/* The text as a C literal, quotes included. */
void tracegen_literal(struct strbuf *out, const char *text);

/* The text with capitals for small letters. */
void tracegen_upper(struct strbuf *out, const char *text);

/* "int seat, const char *who", or "void". */
void tracegen_parameters(struct strbuf *out, const struct trace_decl *decl);

/* "seat, who"; with arguments and `before`, `before` stands in front. */
void tracegen_names(struct strbuf *out, const struct trace_decl *decl, const char *before);

/* The line that says who made the file, without comment signs, and no newline. */
void tracegen_made_by(struct strbuf *out, const struct tracegen *gen);

/* C code with its long lines broken behind commas. */
void tracegen_wrap(struct strbuf *out, const char *text);

/* A name that no argument of the event has: `name` or `name` and some '_'. */
void tracegen_local(struct strbuf *out, const struct trace_decl *decl, const char *name);

#endif
