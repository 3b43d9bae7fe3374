/* SPDX-License-Identifier: MIT
 *
 * Matching with `*` and `?`: on a mismatch, go back to the last star and let it eat one more. */
#include "base/glob.h"

#include <string.h>

bool glob_is_pattern(const char *text)
{
    return strpbrk(text, "*?") != NULL;
}

bool glob_match_bytes(const char *pattern, size_t pattern_len, const char *text, size_t text_len)
{
    const char *p = pattern, *p_end = pattern + pattern_len;
    const char *t = text, *t_end = text + text_len;
    const char *star = NULL, *resume = NULL;

    while (t < t_end) {
        if (p < p_end && *p == '*') {
            star = p++;
            resume = t;
        } else if (p < p_end && (*p == '?' || *p == *t)) {
            p++;
            t++;
        } else if (star) {
            p = star + 1;
            t = ++resume;
        } else {
            return false;
        }
    }
    while (p < p_end && *p == '*') {
        p++;
    }
    return p == p_end;
}

bool glob_match(const char *pattern, const char *name)
{
    return glob_match_bytes(pattern, strlen(pattern), name, strlen(name));
}
