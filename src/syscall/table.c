/* SPDX-License-Identifier: MIT
 *
 * The tables calls.def and kinds.def as C sees them, and names as sets of words. */
#include "syscall/syscall.h"

#include <pthread.h>
#include <string.h>

static const struct syscall_row rows[SYSCALL_MAX] = {
#define KINDS(a, b, c, d, e, f, ...)                                                              \
    {                                                                                             \
        SYSCALL_KIND_##a, SYSCALL_KIND_##b, SYSCALL_KIND_##c, SYSCALL_KIND_##d, SYSCALL_KIND_##e, \
            SYSCALL_KIND_##f                                                                      \
    }
#define SYS(number, name, result, ...) \
    [number] = {#name, #result[0], KINDS(__VA_ARGS__, NONE, NONE, NONE, NONE, NONE, NONE)},
#include "syscall/calls.def"
#undef SYS
#undef KINDS
};

static const struct syscall_kind kinds[SYSCALL_KINDS] = {
#define KIND(name, show, writes, size) {SYSCALL_WRITES_##writes, size},
#include "syscall/kinds.def"
#undef KIND
};

const struct syscall_row *syscall_row(uint64_t number)
{
    return number < SYSCALL_MAX && rows[number].name ? &rows[number] : NULL;
}

const struct syscall_kind *syscall_kind(unsigned kind)
{
    return &kinds[kind];
}

bool syscall_told_before(uint64_t number)
{
    const struct syscall_row *row = syscall_row(number);

    return row && (row->result == 'N' || number == SYSCALL_execve || number == SYSCALL_execveat);
}

bool syscall_told_again(uint64_t number, int64_t result)
{
    const struct syscall_row *row = syscall_row(number);

    return !syscall_told_before(number) || (row->result != 'N' && result < 0);
}

/* --- words --- */

enum { ERRNO_MAX = 200 }; /* more than Linux has */

static struct trace_word name_rows[SYSCALL_MAX], error_rows[ERRNO_MAX];
static struct trace_words names = {"syscall", false, 0, name_rows};
static struct trace_words errors = {"errno", false, 0, error_rows};

static void make_words(void)
{
    for (uint64_t number = 0; number < SYSCALL_MAX; number++) {
        if (rows[number].name) {
            name_rows[names.count++] = (struct trace_word){number, rows[number].name};
        }
    }
    for (int number = 1; number < ERRNO_MAX; number++) {
        const char *name = strerrorname_np(number);
        if (name) {
            error_rows[errors.count++] = (struct trace_word){(uint64_t) - (int64_t)number, name};
        }
    }
}

static const struct trace_words *made(const struct trace_words *words)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    pthread_once(&once, make_words);
    return words;
}

const struct trace_words *syscall_name_words(void)
{
    return made(&names);
}

const struct trace_words *syscall_error_words(void)
{
    return made(&errors);
}
