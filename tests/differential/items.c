/* SPDX-License-Identifier: MIT
 *
 * What can be run: every row in every form, bytes that are no instruction, programs. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "differential.h"
#include "encode.h"

struct item *items;
unsigned item_count;

static void name_row(const struct x86_row *rows, unsigned i, struct item *item)
{
    static const char *const table[X86_TABLE_COUNT] = {"",      "0f",      "0f38",   "0f3a",
                                                       "vex0f", "vex0f38", "vex0f3a"};
    const struct x86_row *row = &rows[i];
    unsigned same = 0;

    for (unsigned k = i; k-- > 0 && rows[k].table == row->table && rows[k].opcode == row->opcode;)
        same += strcmp(rows[k].mnemonic, row->mnemonic) == 0;
    snprintf(item->name, sizeof item->name, "%s:%s%02x", row->mnemonic, table[row->table],
             row->opcode);
    if (same > 0)
        snprintf(item->name + strlen(item->name), sizeof item->name - strlen(item->name), ".%u",
                 same);
    if (item->memory)
        strncat(item->name, "/m", sizeof item->name - strlen(item->name) - 1);
}

static bool named(const struct item *item)
{
    size_t length = settings.row != NULL ? strlen(settings.row) : 0;

    if (settings.row == NULL || strcmp(settings.row, item->name) == 0)
        return true;
    return strncmp(item->name, settings.row, length) == 0 &&
           (item->name[length] == ':' || item->name[length] == '/');
}

static void add_item(struct item item)
{
    if (named(&item))
        items[item_count++] = item;
}

void items_make(void)
{
    unsigned count;
    const struct x86_row *rows = x86_rows(&count);

    items = calloc(2 * count + 8, sizeof *items);
    if (items == NULL)
        bug("no memory for %u rows", count);
    add_item((struct item){.name = "program", .kind = KIND_PROGRAM});
    add_item((struct item){.name = "undefined", .kind = KIND_UNDEFINED});
    for (unsigned i = 0; i < count; i++) {
        struct item item = {.row = &rows[i]};
        bool both;

        if (!encode_possible(&rows[i]) || generate_excluded(&rows[i]) != NULL)
            continue;
        both = encode_both_forms(&rows[i], &item.memory);
        name_row(rows, i, &item);
        add_item(item);
        if (both) {
            item.memory = false;
            name_row(rows, i, &item);
            add_item(item);
        }
    }
}

void items_print_excluded(void)
{
    unsigned count;
    const struct x86_row *rows = x86_rows(&count);

    for (unsigned i = 0; i < count; i++) {
        struct item item = {.row = &rows[i]};
        const char *reason = generate_excluded(&rows[i]);

        if (reason == NULL && encode_possible(&rows[i]))
            continue;
        name_row(rows, i, &item);
        printf("%-28s not run: %s\n", item.name, reason != NULL ? reason : "not in 64-bit mode");
    }
}
