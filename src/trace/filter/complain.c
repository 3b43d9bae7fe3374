/* SPDX-License-Identifier: MIT
 *
 * Complaints about an expression: a sentence, the line, a caret; and guesses at misspelt names. */
#include "trace/filter/syntax.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/guess.h"

enum {
    LINE_COLUMNS = 72, /* of a long expression that are shown around the caret */
    SENTENCE_MAX = 600,
};

/* How many bytes the character at `s` has: a well-formed UTF-8 sequence that a terminal may be
 * sent, or one byte of anything else. */
static unsigned character_bytes(const char *s, size_t left)
{
    unsigned char lead = (unsigned char)s[0];
    unsigned size = lead >= 0xf0 && lead < 0xf5   ? 4
                    : lead >= 0xe0 && lead < 0xf0 ? 3
                    : lead >= 0xc2 && lead < 0xe0 ? 2
                                                  : 1;
    if (size > left) {
        return 1;
    }
    for (unsigned i = 1; i < size; i++) {
        if (((unsigned char)s[i] & 0xc0) != 0x80) {
            return 1;
        }
    }
    /* U+0080 to U+009F are control characters. */
    return lead == 0xc2 && (unsigned char)s[1] < 0xa0 ? 1 : size;
}

/* Appends one character, harmless. Returns the bytes written. */
static size_t show_character(char *to, const char *s, unsigned size)
{
    if (size > 1) {
        memcpy(to, s, size);
        return size;
    }
    unsigned char c = (unsigned char)*s;
    *to = c == '\t' || c == '\n' || c == '\r' ? ' ' : c >= 0x20 && c < 0x7f ? (char)c : '?';
    return 1;
}

static unsigned columns(const char *text, size_t len)
{
    unsigned n = 0;
    for (size_t i = 0; i < len; i += character_bytes(text + i, len - i)) {
        n++;
    }
    return n;
}

bool filter_complain(const struct filter_source *src, uint32_t place, const char *format, ...)
{
    char sentence[SENTENCE_MAX];
    va_list ap;
    va_start(ap, format);
    vsnprintf(sentence, sizeof sentence, format, ap);
    va_end(ap);

    unsigned total = columns(src->text, src->len), caret = columns(src->text, place), from = 0;
    if (total > LINE_COLUMNS) {
        from = caret > LINE_COLUMNS / 2 ? caret - LINE_COLUMNS / 2 : 0;
        from = from > total - LINE_COLUMNS ? total - LINE_COLUMNS : from;
    }
    unsigned to = total - from > LINE_COLUMNS ? from + LINE_COLUMNS : total;

    char line[LINE_COLUMNS * 4 + 1];
    size_t used = 0;
    unsigned column = 0, size;
    for (size_t i = 0; i < src->len && column < to; i += size, column++) {
        size = character_bytes(src->text + i, src->len - i);
        if (column >= from) {
            used += show_character(line + used, src->text + i, size);
        }
    }
    line[used] = 0;
    const char *before = from ? "..." : "", *after = to < total ? "..." : "";
    return error_set(src->err, "%s\n  %s%s%s\n  %*s^", sentence, before, line, after,
                     (int)(caret - from + strlen(before)), "");
}

const char *filter_excerpt(struct filter_excerpt *excerpt, const struct filter_source *src,
                           uint32_t start, uint32_t end)
{
    size_t used = 0;
    unsigned column = 0, size;
    for (uint32_t i = start; i < end; i += size) {
        if (column++ == FILTER_EXCERPT_MAX) {
            memcpy(excerpt->text + used, "...", 3);
            used += 3;
            break;
        }
        size = character_bytes(src->text + i, end - i);
        used += show_character(excerpt->text + used, src->text + i, size);
    }
    excerpt->text[used] = 0;
    return excerpt->text;
}

const char *filter_nearer(const char *name, size_t len, const char *candidate, const char *best)
{
    size_t candidate_len = strlen(candidate);
    unsigned d = guess_distance(name, len, candidate, candidate_len);
    /* A name of which nothing is left is no guess. */
    if (d > 2 || d >= len || d >= candidate_len) {
        return best;
    }
    return best && guess_distance(name, len, best, strlen(best)) <= d ? best : candidate;
}
