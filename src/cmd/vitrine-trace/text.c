/* SPDX-License-Identifier: MIT
 *
 * Escaping. One table tells which ASCII bytes may be copied in which kind of text; everything from
 * 0x80 up goes through the UTF-8 check.
 */
#include "cmd/vitrine-trace/text.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define REPLACEMENT "\xef\xbf\xbd" /* U+FFFD */

enum text_kind {
    TEXT_PLAIN,
    TEXT_JSON,
    TEXT_CSV,
    TEXT_CSV_JSON,
    TEXT_XML,
};

/* Length of the valid UTF-8 sequence at `s`, 0 if there is none (Unicode 15, table 3-7: no
 * overlong forms, no surrogates, nothing above U+10FFFF). */
static size_t utf8_sequence(const uint8_t *s, size_t len)
{
    size_t need = s[0] >= 0xc2 && s[0] <= 0xdf   ? 2
                  : s[0] >= 0xe0 && s[0] <= 0xef ? 3
                  : s[0] >= 0xf0 && s[0] <= 0xf4 ? 4
                                                 : 0;

    if (need == 0 || len < need) {
        return 0;
    }
    for (size_t i = 1; i < need; i++) {
        if ((s[i] & 0xc0) != 0x80) {
            return 0;
        }
    }
    if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f) ||
        (s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] > 0x8f)) {
        return 0;
    }
    return need;
}

/* U+FFFE and U+FFFF: UTF-8 has them, XML does not. */
static bool is_nonchar(const uint8_t *s, size_t sequence)
{
    return sequence == 3 && s[0] == 0xef && s[1] == 0xbf && s[2] >= 0xbe;
}

/* True for an ASCII byte that this kind of text shows as it is. */
static inline bool text_is_plain(enum text_kind kind, uint8_t c)
{
    switch (kind) {
    case TEXT_PLAIN: return c < 0x80;
    case TEXT_JSON:
    case TEXT_CSV_JSON: return c >= 0x20 && c < 0x80 && c != '"' && c != '\\';
    case TEXT_CSV: return c < 0x80 && c != '"';
    case TEXT_XML:
        return c >= 0x20 && c < 0x80 && c != '"' && c != '&' && c != '<' && c != '>' && c != '\'';
    }
    return false;
}

/* Writes what stands for a byte that is not plain; returns its length. JSON takes any byte, the
 * others ASCII. */
static size_t text_escape(enum text_kind kind, uint8_t c, char form[16])
{
    static const char *const json[256] = {
        ['"'] = "\\\"", ['\\'] = "\\\\", ['\n'] = "\\n", ['\t'] = "\\t", ['\r'] = "\\r"};
    static const char *const xml[128] = {
        ['"'] = "&quot;", ['&'] = "&amp;",  ['<'] = "&lt;",  ['>'] = "&gt;",
        ['\''] = "&#39;", ['\n'] = "&#10;", ['\t'] = "&#9;", ['\r'] = "&#13;"};

    if (kind == TEXT_CSV) {
        return (size_t)sprintf(form, "\"\"");
    }
    if (kind == TEXT_CSV_JSON && c == '"') {
        return (size_t)sprintf(form, "\\\"\"");
    }
    if (kind == TEXT_JSON || kind == TEXT_CSV_JSON) {
        return (size_t)(json[c] != NULL ? sprintf(form, "%s", json[c])
                                        : sprintf(form, "\\u%04x", c));
    }
    return (size_t)sprintf(form, "%s", xml[c] != NULL ? xml[c] : REPLACEMENT);
}

/* The one loop: copies runs, replaces what stands between them. */
static inline void text_write(struct output *out, enum text_kind kind, const char *text, size_t len)
{
    const uint8_t *s = (const uint8_t *)text;
    size_t done = 0, i = 0;

    while (i < len) {
        if (text_is_plain(kind, s[i])) {
            i++;
            continue;
        }
        if (s[i] >= 0x80) {
            size_t sequence = utf8_sequence(s + i, len - i);
            if (kind == TEXT_XML && is_nonchar(s + i, sequence)) {
                output_add(out, s + done, i - done);
                output_puts(out, REPLACEMENT);
                done = i += sequence;
                continue;
            }
            if (sequence > 0) {
                i += sequence;
                continue;
            }
        }

        char form[16];
        size_t form_len;
        if (s[i] < 0x80 || kind == TEXT_JSON || kind == TEXT_CSV_JSON) {
            form_len = text_escape(kind, s[i], form);
        } else {
            form[0] = (char)(0xc0 | s[i] >> 6);
            form[1] = (char)(0x80 | (s[i] & 0x3f));
            form_len = 2;
        }
        output_add(out, s + done, i - done);
        output_add(out, form, form_len);
        done = ++i;
    }
    output_add(out, s + done, len - done);
}

void text_json(struct output *out, const char *text, size_t len)
{
    output_add(out, "\"", 1);
    text_write(out, TEXT_JSON, text, len);
    output_add(out, "\"", 1);
}

void text_csv_inner(struct output *out, const char *text, size_t len)
{
    text_write(out, TEXT_CSV, text, len);
}

void text_csv_json(struct output *out, const char *text, size_t len)
{
    output_add(out, "\"\"", 2);
    text_write(out, TEXT_CSV_JSON, text, len);
    output_add(out, "\"\"", 2);
}

void text_csv(struct output *out, const char *text, size_t len)
{
    bool quote = false;

    for (size_t i = 0; i < len && !quote; i++) {
        quote = text[i] == '"' || text[i] == ',' || text[i] == '\n' || text[i] == '\r';
    }
    if (quote) {
        output_add(out, "\"", 1);
    }
    text_write(out, TEXT_CSV, text, len);
    if (quote) {
        output_add(out, "\"", 1);
    }
}

void text_xml(struct output *out, const char *text, size_t len)
{
    text_write(out, TEXT_XML, text, len);
}

const char *text_utf8(struct strbuf *scratch, const char *text, size_t *len)
{
    const uint8_t *s = (const uint8_t *)text;
    size_t n = *len, i = 0;

    while (i < n) {
        size_t sequence = s[i] < 0x80 ? 1 : utf8_sequence(s + i, n - i);
        if (sequence == 0) {
            break;
        }
        i += sequence;
    }
    if (i == n) {
        return text;
    }

    strbuf_clear(scratch);
    strbuf_add(scratch, text, i);
    while (i < n) {
        size_t sequence = s[i] < 0x80 ? 1 : utf8_sequence(s + i, n - i);
        if (sequence > 0) {
            strbuf_add(scratch, s + i, sequence);
            i += sequence;
        } else {
            char form[2] = {(char)(0xc0 | s[i] >> 6), (char)(0x80 | (s[i] & 0x3f))};
            strbuf_add(scratch, form, 2);
            i++;
        }
    }
    *len = scratch->len;
    return scratch->data;
}
