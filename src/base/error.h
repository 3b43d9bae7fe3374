/* SPDX-License-Identifier: MIT
 *
 * Errors of set-up work: one sentence that a user can act on.
 *
 * A function that can fail takes a `struct error *` last and returns false (or NULL). The sentence
 * says what, where, what was expected and what is possible. It has no trailing newline and no
 * program name: the caller that shows it adds those. `err` may be NULL when the reason is of no
 * interest. The struct owns nothing, so it needs no clean-up and may be copied. Any thread.
 *
 * The room base holds what every other room is made of and knows nothing of machines and traces.
 * Read in this order: this header, memory.h and strbuf.h (memory); input.h, output.h and log.h
 * (files); option.h, glob.h, guess.h and names.h (words); progress.h; timer.h (the time of
 * machines); clock.h, digits.h and load.h (small and fast).
 */
#ifndef BASE_ERROR_H
#define BASE_ERROR_H

#include <stdbool.h>
#include <stdnoreturn.h>

struct error {
    char text[1024];
};

/* Writes the sentence. Always returns false, so that `return error_set(err, ...)` reads well. A
 * sentence longer than the struct is cut. */
bool error_set(struct error *err, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Puts context in front of a sentence that is there already: "FILE: " and the like. Returns false.
 */
bool error_prefix(struct error *err, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Our own impossibilities: prints "bug: ..." with the values on stderr and aborts. */
noreturn void bug(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
