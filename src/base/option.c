/* SPDX-License-Identifier: MIT
 *
 * Splitting option strings and reading the values in them. */
#include "base/option.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/strbuf.h"

/* Reads up to the next single comma, turning `,,` into `,`; returns what follows that comma, or
 * NULL at the end of the text. */
static const char *take_item(struct strbuf *item, const char *text)
{
    strbuf_clear(item);
    for (; *text; text++) {
        if (*text == ',') {
            if (text[1] != ',') {
                return text + 1;
            }
            text++;
        }
        strbuf_putc(item, *text);
    }
    return NULL;
}

static void add_pair(struct option_list *list, char *key, char *value)
{
    list->pair = mem_resize(list->pair, list->count + 1, sizeof *list->pair);
    list->pair[list->count++] = (struct option_pair){key, value};
}

bool option_list_parse(struct option_list *list, const char *text, const char *implied,
                       struct error *err)
{
    struct strbuf item;
    bool ok = true;

    *list = (struct option_list){0};
    strbuf_init(&item);
    for (const char *rest = text; rest && *rest && ok;) {
        bool first = rest == text;
        rest = take_item(&item, rest);
        /* A key is a word; an `=` behind anything else belongs to the value (`a>=1`). */
        size_t word = strspn(item.data, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                        "0123456789_-.");
        if (item.data[word] == '=' && word > 0) {
            add_pair(list, mem_stringn(item.data, word), mem_string(item.data + word + 1));
        } else if (first && implied) {
            add_pair(list, mem_string(implied), mem_string(item.data));
        } else if (word > 0 && !item.data[word]) {
            add_pair(list, mem_string(item.data), NULL);
        } else {
            ok = error_set(err,
                           "'%s' is not of the form key=value (a comma inside a value is written "
                           "',,')",
                           item.data);
        }
    }
    strbuf_free(&item);
    if (!ok) {
        option_list_free(list);
    }
    return ok;
}

void option_list_free(struct option_list *list)
{
    for (size_t i = 0; i < list->count; i++) {
        free(list->pair[i].key);
        free(list->pair[i].value);
    }
    free(list->pair);
    *list = (struct option_list){0};
}

static bool read_digits(const char *text, uint64_t *value, char **end)
{
    int base = text[0] == '0' && (text[1] == 'x' || text[1] == 'X') ? 16 : 10;
    if (text[0] < '0' || text[0] > '9') {
        return false;
    }
    errno = 0;
    *value = strtoull(text, end, base);
    return errno == 0;
}

bool option_size(const char *what, const char *text, uint64_t min, uint64_t max, uint64_t *value,
                 struct error *err)
{
    static const char units[] = "kKMGT";
    static const unsigned shifts[] = {10, 10, 20, 30, 40};
    char *end = NULL;
    uint64_t number = 0;
    bool ok = text && read_digits(text, &number, &end);

    if (ok && *end) {
        const char *unit = strchr(units, *end);
        unsigned shift = unit ? shifts[unit - units] : 0;
        ok = unit && !end[1] && number <= UINT64_MAX >> shift;
        number <<= shift;
    }
    if (!ok || number < min || number > max) {
        return error_set(err,
                         "%s=%s: expected a size from %" PRIu64 " to %" PRIu64
                         " bytes, with k, M, G or T behind it where wanted",
                         what, text ? text : "", min, max);
    }
    *value = number;
    return true;
}

bool option_number(const char *what, const char *text, uint64_t min, uint64_t max, uint64_t *value,
                   struct error *err)
{
    char *end = NULL;
    uint64_t number = 0;
    if (!text || !read_digits(text, &number, &end) || *end || number < min || number > max) {
        return error_set(err, "%s=%s: expected a number from %" PRIu64 " to %" PRIu64, what,
                         text ? text : "", min, max);
    }
    *value = number;
    return true;
}

bool option_bool(const char *what, const char *text, bool *value, struct error *err)
{
    static const struct {
        const char *word;
        bool value;
    } words[] = {{"on", true},   {"yes", true}, {"true", true},
                 {"off", false}, {"no", false}, {"false", false}};
    for (size_t i = 0; text && i < sizeof words / sizeof *words; i++) {
        if (!strcmp(text, words[i].word)) {
            *value = words[i].value;
            return true;
        }
    }
    return error_set(err, "%s=%s: expected 'on' or 'off'", what, text ? text : "");
}
