/* SPDX-License-Identifier: MIT
 *
 * vitrine-trace stats --by module, symbol, line: where in the guest's code the records were made.
 */
#ifndef STATS_PLACES_H
#define STATS_PLACES_H

#include "cmd/vitrine-trace/command.h"

struct stats_places {
    const char *by;  /* a word of stats_places_known() */
    const char *sum; /* an argument whose values are added up; NULL: records are counted */
    uint64_t limit;  /* rows that are printed; 0: all */
    bool json;
};

bool stats_places_known(const char *by);

/* Reads all of `source` and prints the table. 0, or 1 after a complaint: nothing in the recording
 * tells where it was made, or has the argument. */
int stats_places(const struct command *self, struct source *source,
                 const struct stats_places *choice, struct output *out);

#endif
