/* SPDX-License-Identifier: MIT
 *
 * The items of -d and the ranges of -dfilter. */
#include "base/logitems.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

uint64_t log_items;

static uint64_t supported;

static const struct {
    const char *name, *help;
} items[] = {
#define LOG_ITEM_ROW(item, name, help) {name, help},
    LOG_ITEMS(LOG_ITEM_ROW)
#undef LOG_ITEM_ROW
};

_Static_assert(LOG_ITEM_COUNT <= 64, "a bit each");

void log_item_support(enum log_item item)
{
    supported |= UINT64_C(1) << item;
}

bool log_items_supported(void)
{
    return supported != 0;
}

bool log_item_find(const char *name, uint64_t *mask, struct error *err)
{
    if (!strcmp(name, "all") && supported) {
        *mask = supported;
        return true;
    }
    for (unsigned i = 0; i < LOG_ITEM_COUNT; i++) {
        if (!strcmp(items[i].name, name)) {
            *mask = UINT64_C(1) << i;
            return supported & *mask ||
                   error_set(err,
                             "this program does not have the log item %s (-d help lists what it "
                             "has)",
                             name);
        }
    }
    return error_set(err, "there is no such log item; there is trace:PATTERN%s (-d help lists)",
                     supported ? ", and others" : "");
}

void log_items_set(uint64_t mask)
{
    __atomic_store_n(&log_items, mask & supported, __ATOMIC_RELAXED);
}

void log_items_help(FILE *out)
{
    for (unsigned i = 0; i < LOG_ITEM_COUNT; i++) {
        if (supported >> i & 1) {
            fprintf(out, "%-15s %s\n", items[i].name, items[i].help);
        }
    }
}

/* --- ranges --- */

static struct range {
    uint64_t first, last; /* both within */
} * ranges;
static size_t range_count;

static bool read_number(const char **at, uint64_t *value)
{
    char *end;

    if (**at < '0' || **at > '9') {
        return false;
    }
    errno = 0;
    *value = strtoull(*at, &end, 0);
    *at = end;
    return errno == 0;
}

static bool read_range(const char *text, struct range *range)
{
    const char *at = text;
    uint64_t start, other;

    if (!read_number(&at, &start)) {
        return false;
    }
    const char sign = *at++;
    if (sign == '.' && *at++ != '.') {
        return false;
    }
    if (!sign || !read_number(&at, &other) || *at) {
        return false;
    }
    switch (sign) {
    case '+':
        *range = (struct range){start, start + other - 1};
        return other != 0 && range->last >= start;
    case '-':
        *range = (struct range){start - (other - 1), start};
        return other != 0 && range->first <= start;
    case '.': *range = (struct range){start, other}; return other >= start;
    default: return false;
    }
}

bool log_filter_add(const char *text, struct error *err)
{
    bool ok = true;

    for (const char *at = text; ok && *at;) {
        size_t len = strcspn(at, ",");
        char *part = mem_stringn(at, len);
        struct range range;
        at += len + (at[len] == ',');
        ok = read_range(part, &range) ||
             error_set(err,
                       "'%s' is no range of addresses: START+LENGTH, START-LENGTH or START..END",
                       part);
        if (ok) {
            ranges = mem_resize(ranges, range_count + 1, sizeof *ranges);
            ranges[range_count++] = range;
        }
        free(part);
    }
    return ok;
}

bool log_filter_has(uint64_t address)
{
    for (size_t i = 0; i < range_count; i++) {
        if (address >= ranges[i].first && address <= ranges[i].last) {
            return true;
        }
    }
    return range_count == 0;
}
