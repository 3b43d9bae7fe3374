/* SPDX-License-Identifier: MIT
 *
 * Option strings of the form `first,key=value,key2=value2`, as QEMU's command line has them: a
 * literal comma in a value is written `,,`; the first value may leave out its key. Keys may repeat;
 * order is kept. One thread at a time.
 */
#ifndef BASE_OPTION_H
#define BASE_OPTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct option_pair {
    char *key;   /* never NULL: the implied key where the text had none */
    char *value; /* NULL where the text had no `=` (and no implied key took it) */
};

struct option_list {
    struct option_pair *pair;
    size_t count;
};

/* Splits `text`. `implied` is the key of a first value without one, or NULL. Frees nothing of the
 * caller's; option_list_free() frees what it made. Fails on an empty key (`,=x`). */
bool option_list_parse(struct option_list *list, const char *text, const char *implied,
                       struct error *err);
void option_list_free(struct option_list *list);

/* A size such as 64M: decimal digits and an optional k, K, M, G or T (powers of 1024). Fails with a
 * sentence naming `what` when the text is no such number or is out of [min, max]. */
bool option_size(const char *what, const char *text, uint64_t min, uint64_t max, uint64_t *value,
                 struct error *err);

/* An unsigned number, decimal or 0x hexadecimal, within [min, max]. */
bool option_number(const char *what, const char *text, uint64_t min, uint64_t max, uint64_t *value,
                   struct error *err);

/* on/off, yes/no, true/false. */
bool option_bool(const char *what, const char *text, bool *value, struct error *err);

#endif
