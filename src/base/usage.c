/* SPDX-License-Identifier: MIT
 *
 * Texts about options. */
#include "base/usage.h"

#include <string.h>

#include "base/guess.h"

enum { COLUMN = 28, WIDTH = 100, FAR = 3 };

void usage_row(FILE *out, const char *left, const char *right)
{
    size_t column = COLUMN;

    if (strlen(left) < COLUMN - 1) {
        fprintf(out, "%-*s", COLUMN, left);
    } else {
        fprintf(out, "%s\n%*s", left, COLUMN, "");
    }
    for (const char *at = right; *at;) {
        size_t word = strcspn(at, " ");
        if (column > COLUMN && column + 1 + word > WIDTH) {
            fprintf(out, "\n%*s", COLUMN, "");
            column = COLUMN;
        } else if (column > COLUMN) {
            fputc(' ', out);
            column++;
        }
        fwrite(at, 1, word, out);
        column += word;
        at += word + (at[word] == ' ');
    }
    fputc('\n', out);
}

bool usage_unknown(const char *word, usage_name_fn *name, struct error *err)
{
    const char *best = NULL, *known;
    unsigned nearest = FAR;

    for (size_t i = 0; (known = name(i)); i++) {
        unsigned far = guess_distance(word, strlen(word), known, strlen(known));
        if (strlen(known) > 2 && far < nearest && far * 2 < strlen(known)) {
            nearest = far;
            best = known;
        }
    }
    return best ? error_set(err, "%s: there is no such option (did you mean %s?)", word, best)
                : error_set(err, "%s: there is no such option (-h lists them)", word);
}
