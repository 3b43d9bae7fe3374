/* SPDX-License-Identifier: MIT
 *
 * What shows arguments. Each kind of kinds.def has a function syscall_show_SHOW() that appends the
 * decoder's current argument. */
#ifndef SYSCALL_INTERNAL_H
#define SYSCALL_INTERNAL_H

#include "syscall/syscall.h"

/* A call, and which of its arguments is being shown. */
struct syscall_decoder {
    struct strbuf *to;
    const uint64_t *args;
    const int64_t *result; /* NULL: before the call */
    unsigned i;
    const struct syscall_memory *memory;
};

#define KIND(name, show, writes, size) void syscall_show_##show(struct syscall_decoder *d);
#include "syscall/kinds.def"
#undef KIND

static inline uint64_t syscall_arg(const struct syscall_decoder *d, unsigned i)
{
    return i < SYSCALL_ARGS ? d->args[i] : 0;
}

static inline uint64_t syscall_own(const struct syscall_decoder *d)
{
    return syscall_arg(d, d->i);
}

/* True if what the kernel has written can be looked at. */
static inline bool syscall_written(const struct syscall_decoder *d)
{
    return d->result && *d->result >= 0 && syscall_own(d);
}

/* --- words.c --- */

/* A word fits if the bits of the mask have the value. Tables end with text NULL. */
struct syscall_word {
    uint64_t mask, value;
    const char *text;
};

#define SET(name)  extern const struct syscall_word syscall_words_##name[];
#define ENUM(name) extern const struct syscall_word syscall_words_##name[];
#define WORD(value, text)
#define FIELD(mask, value, text)
#define END
#include "syscall/words.def"
#undef SET
#undef ENUM
#undef WORD
#undef FIELD
#undef END

/* All words that fit, joined by '|', and what is left as a number. */
void syscall_add_flags(struct strbuf *to, const struct syscall_word *word, uint64_t value);
/* The word of a value, or the number. */
void syscall_add_word(struct strbuf *to, const struct syscall_word *word, uint64_t value);

/* --- number.c, signal.c --- */

void syscall_add_pointer(struct strbuf *to, uint64_t address);
void syscall_add_signal(struct strbuf *to, unsigned signal);

/* --- memory.c --- */

/* How many bytes are there. */
size_t syscall_read(const struct syscall_decoder *d, uint64_t address, void *to, size_t size);
/* False unless all are. */
bool syscall_fetch(const struct syscall_decoder *d, uint64_t address, void *to, size_t size);

/* What is at the argument; where it cannot be read its address is shown, and false returned. The
 * second: what the kernel has written there. */
bool syscall_fetch_own(struct syscall_decoder *d, void *to, size_t size);
bool syscall_fetch_written(struct syscall_decoder *d, void *to, size_t size);

/* Bytes in quotation marks, what is no plain character escaped; `cut`: "..." behind. */
void syscall_add_quoted(struct strbuf *to, const char *bytes, size_t size, bool cut);

#endif
