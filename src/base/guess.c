/* SPDX-License-Identifier: MIT
 *
 * Levenshtein's distance, a row of the table at a time. */
#include "base/guess.h"

#include <limits.h>

unsigned guess_distance(const char *a, size_t a_len, const char *b, size_t b_len)
{
    unsigned row[GUESS_MAX + 1];
    if (a_len > GUESS_MAX || b_len > GUESS_MAX) {
        return UINT_MAX;
    }
    for (unsigned j = 0; j <= b_len; j++) {
        row[j] = j;
    }
    for (unsigned i = 1; i <= a_len; i++) {
        unsigned diagonal = row[0];
        row[0] = i;
        for (unsigned j = 1; j <= b_len; j++) {
            unsigned change = diagonal + (a[i - 1] != b[j - 1]);
            unsigned edit = (row[j] < row[j - 1] ? row[j] : row[j - 1]) + 1;
            diagonal = row[j];
            row[j] = change < edit ? change : edit;
        }
    }
    return row[b_len];
}
