/* SPDX-License-Identifier: MIT
 *
 * vitrine-trace stats --by module, symbol, line.
 *
 * A place is the text that stands for it, so processes that run the same code share a row. What an
 * address led to is remembered until modules change: a recording asks for few addresses often. */
#include "cmd/vitrine-trace/stats_places.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/strbuf.h"
#include "cmd/vitrine-trace/places.h"
#include "cmd/vitrine-trace/text.h"

enum {
    KNOWN_BITS = 16,
    ROWS_MAX = 1 << 20, /* what comes beyond is counted together in the last row */
    NO_ROW = 0,
};

enum kind { BY_MODULE, BY_SYMBOL, BY_LINE };

static const char *const kinds[] = {
    [BY_MODULE] = "module", [BY_SYMBOL] = "symbol", [BY_LINE] = "line"};

enum { KINDS = sizeof kinds / sizeof kinds[0] };

struct row {
    char *name;
    uint64_t sum;
};

struct known {
    uint64_t pc;
    uint32_t pid, row; /* number + 1; NO_ROW: free */
};

struct table {
    enum kind kind;
    const char *argument;
    struct places places;
    struct row *row;
    uint32_t count, size;
    uint32_t *index; /* hash table of numbers + 1, twice as large as the rows at least */
    uint32_t slots;
    struct known *known;
    uint64_t all, nowhere;
};

static uint32_t hash_text(const char *text)
{
    uint32_t hash = 2166136261U;

    for (; *text; text++) {
        hash = (hash ^ (uint8_t)*text) * 16777619U;
    }
    return hash;
}

static uint32_t *slot_of(const struct table *table, const char *name)
{
    uint32_t at = hash_text(name) & (table->slots - 1);

    while (table->index[at] && strcmp(table->row[table->index[at] - 1].name, name) != 0) {
        at = (at + 1) & (table->slots - 1);
    }
    return &table->index[at];
}

static void grow(struct table *table)
{
    table->size = table->size ? 2 * table->size : 1024;
    table->row = mem_resize(table->row, table->size, sizeof *table->row);
    free(table->index);
    table->slots = 2 * table->size;
    table->index = mem_alloc(table->slots * sizeof *table->index);
    for (uint32_t i = 0; i < table->count; i++) {
        *slot_of(table, table->row[i].name) = i + 1;
    }
}

/* The number of the row called `name`, plus one. */
static uint32_t row_called(struct table *table, const char *name)
{
    if (table->count == table->size) {
        grow(table);
    }
    uint32_t *slot = slot_of(table, name);
    if (!*slot && table->count >= ROWS_MAX) {
        name = "(further places)";
        slot = slot_of(table, name);
    }
    if (!*slot) {
        table->row[table->count] = (struct row){.name = mem_string(name)};
        *slot = ++table->count;
    }
    return *slot;
}

static void name_of(const struct table *table, const struct symbol_info *info, struct strbuf *text)
{
    strbuf_puts(text, info->module ? info->module : "(no name)");
    if (table->kind == BY_MODULE || !info->module) {
        return;
    }
    if (info->symbol) {
        strbuf_printf(text, "!%s", info->symbol);
    }
    if (table->kind == BY_LINE && info->file) {
        const char *slash = strrchr(info->file, '/');
        strbuf_printf(text, " (%s:%u)", slash ? slash + 1 : info->file, info->line);
    }
}

static uint32_t row_at(struct table *table, const struct trace_record *record, uint64_t pc)
{
    uint64_t hash = (pc ^ (uint64_t)record->pid << 40) * UINT64_C(0x9e3779b97f4a7c15);
    struct known *known = &table->known[hash >> (64 - KNOWN_BITS)];

    if (known->row == NO_ROW || known->pc != pc || known->pid != record->pid) {
        struct symbol_info info;
        struct strbuf text;

        strbuf_init(&text);
        places_at(&table->places, record, pc, table->kind == BY_LINE, &info);
        name_of(table, &info, &text);
        *known = (struct known){pc, record->pid, row_called(table, text.data)};
        strbuf_free(&text);
    }
    return known->row;
}

/* What the record weighs; false: it does not take part. */
static bool weight_of(const struct table *table, const struct trace_record *record,
                      uint64_t *weight)
{
    const struct trace_decl *decl = record->decl;

    *weight = 1;
    if (!table->argument) {
        return true;
    }
    for (unsigned i = 0; i < decl->nargs; i++) {
        if (!strcmp(decl->arg[i].name, table->argument) && decl->arg[i].kind != TRACE_STRING) {
            *weight = record->values[i];
            return true;
        }
    }
    return false;
}

static void add_records(struct table *table, struct source *source)
{
    struct trace_record record;

    while (source_next(source, &record) > 0) {
        uint64_t pc, weight;

        if (!record.decl) {
            continue;
        }
        if (places_take(&table->places, &record)) {
            memset(table->known, 0, sizeof *table->known << KNOWN_BITS);
        } else if (weight_of(table, &record, &weight)) {
            if (places_pc(&table->places, &record, &pc)) {
                uint32_t row = row_at(table, &record, pc); /* may move the rows */
                table->row[row - 1].sum += weight;
                table->all += weight;
            } else {
                table->nowhere++;
            }
        }
    }
}

static int by_sum(const void *a, const void *b)
{
    const struct row *x = a, *y = b;

    return x->sum != y->sum ? (x->sum < y->sum ? 1 : -1) : strcmp(x->name, y->name);
}

static double share(const struct table *table, uint64_t sum)
{
    return table->all ? 100.0 * (double)sum / (double)table->all : 0;
}

static void print_text(struct output *out, const struct table *table, uint64_t limit)
{
    const char *what = table->argument ? table->argument : "records";
    uint64_t shown = limit && limit < table->count ? limit : table->count, rest = table->all;

    output_printf(out, "%20s   share  %s\n", what, kinds[table->kind]);
    for (uint64_t i = 0; i < shown; i++) {
        const struct row *row = &table->row[i];
        output_printf(out, "%20" PRIu64 " %6.2f%%  ", row->sum, share(table, row->sum));
        output_puts(out, row->name);
        output_putc(out, '\n');
        rest -= row->sum;
    }
    if (shown < table->count) {
        output_printf(out, "%20" PRIu64 " %6.2f%%  (%" PRIu64 " more)\n", rest, share(table, rest),
                      table->count - shown);
    }
    if (table->nowhere) {
        output_printf(out, "%20" PRIu64 "          records that do not tell where\n",
                      table->nowhere);
    }
}

static void print_json(struct output *out, const struct table *table, uint64_t limit)
{
    output_printf(out, "{\n  \"by\": \"%s\",\n  \"sum\": ", kinds[table->kind]);
    if (table->argument) {
        text_json(out, table->argument, strlen(table->argument));
    } else {
        output_puts(out, "null");
    }
    output_printf(out, ",\n  \"all\": %" PRIu64 ",\n  \"nowhere\": %" PRIu64 ",\n  \"places\": [",
                  table->all, table->nowhere);
    for (uint64_t i = 0; i < table->count && (!limit || i < limit); i++) {
        output_puts(out, i ? ",\n    {\"name\": " : "\n    {\"name\": ");
        text_json(out, table->row[i].name, strlen(table->row[i].name));
        output_printf(out, ", \"sum\": %" PRIu64 ", \"share\": %.6f}", table->row[i].sum,
                      share(table, table->row[i].sum) / 100);
    }
    output_puts(out, "\n  ]\n}\n");
}

bool stats_places_known(const char *by)
{
    for (unsigned i = 0; i < KINDS; i++) {
        if (!strcmp(kinds[i], by)) {
            return true;
        }
    }
    return false;
}

static int complain(const struct command *self, const struct source *source,
                    const struct table *table)
{
    if (table->argument && !table->nowhere) {
        return command_failed(self, "%s: no record has an argument '%s' that is a number",
                              source->path, table->argument);
    }
    return command_failed(self,
                          "%s: no record tells where it was made (an argument pc, or -trace with "
                          "context=pc)",
                          source->path);
}

int stats_places(const struct command *self, struct source *source,
                 const struct stats_places *choice, struct output *out)
{
    struct table table = {.argument = choice->sum};
    int status = 0;

    for (unsigned i = 0; i < KINDS; i++) {
        table.kind = strcmp(kinds[i], choice->by) ? table.kind : (enum kind)i;
    }
    table.known = mem_alloc(sizeof *table.known << KNOWN_BITS);
    places_begin(&table.places, table.kind == BY_LINE);
    add_records(&table, source);
    progress_end(&source->progress);
    if (table.count) {
        qsort(table.row, table.count, sizeof *table.row, by_sum);
        (choice->json ? print_json : print_text)(out, &table, choice->limit);
    } else if (!*trace_reader_error(source->reader)) {
        status = complain(self, source, &table);
    }
    places_end(&table.places);
    for (uint32_t i = 0; i < table.count; i++) {
        free(table.row[i].name);
    }
    free(table.row);
    free(table.index);
    free(table.known);
    return status;
}
