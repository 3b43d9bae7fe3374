/* SPDX-License-Identifier: MIT
 *
 * The system calls of x86-64 Linux as facts and as text: numbers in, names and words out. Nothing
 * here makes a call or needs a guest: memory is read through functions that may say that it is not
 * there, so that a recording can be shown like a running program. Any thread; nothing is kept.
 *
 * Read in this order: this header, calls.def (the calls), kinds.def (kinds of arguments), table.c,
 * text.c (the whole line), internal.h (what shows arguments), then number.c, words.c, memory.c,
 * struct.c, signal.c.
 */
#ifndef SYSCALL_SYSCALL_H
#define SYSCALL_SYSCALL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/strbuf.h"
#include "trace/decl/decl.h"

enum {
    SYSCALL_MAX = 463,          /* numbers are below */
    SYSCALL_ARGS = 6,           /* at most */
    SYSCALL_ERRORS = 4095,      /* results from -4095 to -1 are errors */
    SYSCALL_BEGINS_ANEW = -512, /* a result that is none: a signal came first, it is asked again */
    SYSCALL_STRING_SHOWN = 512, /* bytes of a string that are looked at */
    SYSCALL_READ_MAX = 256,     /* bytes of anything else that are read at once */
};

/* SYSCALL_read and so on: the numbers. */
enum syscall_number {
#define SYS(number, name, result, ...) SYSCALL_##name = (number),
#include "syscall/calls.def"
#undef SYS
};

/* Kinds of arguments: kinds.def. */
enum syscall_kind_number {
#define KIND(name, show, writes, size) SYSCALL_KIND_##name,
#include "syscall/kinds.def"
#undef KIND
    SYSCALL_KINDS,
};

/* What the kernel writes where an argument points: explained in kinds.def. */
enum syscall_writes {
    SYSCALL_WRITES_NO,
    SYSCALL_WRITES_FIXED,
    SYSCALL_WRITES_NEXT,
    SYSCALL_WRITES_BEFORE,
    SYSCALL_WRITES_INT,
    SYSCALL_WRITES_IOV,
    SYSCALL_WRITES_MSG,
    SYSCALL_WRITES_MMSG,
};

struct syscall_kind {
    uint8_t writes; /* enum syscall_writes */
    uint16_t size;  /* in bytes */
};

struct syscall_row {
    const char *name;           /* NULL: there is no such call */
    char result;                /* I, H or N, as in calls.def */
    uint8_t kind[SYSCALL_ARGS]; /* enum syscall_kind_number */
};

/* The row of a number, or NULL. */
const struct syscall_row *syscall_row(uint64_t number);

/* The row of a kind, below SYSCALL_KINDS. */
const struct syscall_kind *syscall_kind(unsigned kind);

/* True for calls that do not come back, or with everything changed: they are told of before. */
bool syscall_told_before(uint64_t number);
/* True if a result is told of (again): those calls only when they fail. */
bool syscall_told_again(uint64_t number, int64_t result);

/* Names of calls for numbers, and of errors for results (-2: ENOENT), as sets of words. */
const struct trace_words *syscall_name_words(void);
const struct trace_words *syscall_error_words(void);

/* How the decoder looks at memory. Both return how many bytes could be had, 0 for none; `text`
 * reads a string and may stop behind its NUL. At most SYSCALL_READ_MAX bytes, or
 * SYSCALL_STRING_SHOWN of text, are asked for. NULL for either: nothing can be had. */
struct syscall_memory {
    size_t (*read)(void *opaque, uint64_t address, void *to, size_t size);
    size_t (*text)(void *opaque, uint64_t address, void *to, size_t size);
    void *opaque;
};

/* A call to be shown. */
struct syscall_call {
    uint64_t number;
    const uint64_t *args;  /* SYSCALL_ARGS of them; NULL: not known */
    const int64_t *result; /* NULL: it has not been made, so there is nothing in what it writes */
    const struct syscall_memory *memory;
};

/* Appends "name(arguments)" in the words that people know from strace; with a result " = result",
 * errors with name and sentence. */
void syscall_text(struct strbuf *to, const struct syscall_call *call);

/* Appends argument `i` alone, as syscall_text() shows it. Nothing where the call has none. */
void syscall_argument_text(struct strbuf *to, const struct syscall_call *call, unsigned i);

#endif
