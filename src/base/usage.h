/* SPDX-License-Identifier: MIT
 *
 * What programs with many options have in common: how -h looks, and what is said of an option that
 * there is not. One thread at a time.
 */
#ifndef BASE_USAGE_H
#define BASE_USAGE_H

#include <stddef.h>
#include <stdio.h>

#include "base/error.h"

/* A row of -h: what is typed at the left, what it does at the right, over several lines where it is
 * long. */
void usage_row(FILE *out, const char *left, const char *right);

/* Of word `i` of a table, NULL behind the last. */
typedef const char *usage_name_fn(size_t i);

/* Sets the sentence for an option that no row has, with the name that it may have been meant to be.
 * Returns false. */
bool usage_unknown(const char *word, usage_name_fn *name, struct error *err);

#endif
