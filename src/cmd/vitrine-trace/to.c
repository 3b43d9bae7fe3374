/* SPDX-License-Identifier: MIT
 *
 * What the output formats share.
 */
#include "cmd/vitrine-trace/to.h"

#include <string.h>
#include <sys/stat.h>

#include "base/memory.h"
#include "cmd/vitrine-trace/calls.h"

void event_table_grow(struct event_table *table, unsigned event)
{
    unsigned count = table->count == 0 ? 64 : table->count;

    while (count <= event) {
        count *= 2;
    }
    table->row = mem_resize(table->row, count, sizeof(*table->row));
    memset(table->row + table->count, 0, (count - table->count) * sizeof(*table->row));
    table->count = count;
}

void event_table_free(struct event_table *table, void (*each)(void *row))
{
    for (unsigned i = 0; i < table->count; i++) {
        if (table->row[i] != NULL) {
            each(table->row[i]);
        }
    }
    free(table->row);
    *table = (struct event_table){0};
}

bool record_is_loss(const struct trace_record *record)
{
    return record->lost > 0 || strcmp(record->decl->name, "Dropped_Event") == 0;
}

char *word_name(const struct trace_decl *decl, unsigned i)
{
    if (decl->arg[i].words == NULL && !call_has_word(decl, i)) {
        return NULL;
    }

    char *name = mem_format("%s_word", decl->arg[i].name);
    for (unsigned k = 0; k < decl->nargs; k++) {
        if (strcmp(decl->arg[k].name, name) == 0) {
            free(name);
            return NULL;
        }
    }
    return name;
}

bool record_word(struct strbuf *to, const struct trace_record *record, unsigned i)
{
    const struct trace_words *words = record->decl->arg[i].words;

    return words != NULL ? trace_words_text(to, words, record->values[i])
                         : call_word(to, record, i);
}

char *simple_events_path(const char *path)
{
    size_t len = strlen(path);

    if (len > 4 && strcmp(path + len - 4, ".zst") == 0) {
        len -= 4;
    }
    return mem_format("%.*s.events", (int)len, path);
}

/* True if both names lead to one file or directory. */
static bool same_file(const char *a, const char *b)
{
    struct stat sa, sb;

    return stat(a, &sa) == 0 && stat(b, &sb) == 0 && (S_ISREG(sa.st_mode) || S_ISDIR(sa.st_mode)) &&
           sa.st_dev == sb.st_dev && sa.st_ino == sb.st_ino;
}

bool output_differs(const char *input, const char *events, const char *output, bool simple,
                    struct error *err)
{
    if (strcmp(output, "-") == 0) {
        return true;
    }
    if (strcmp(input, "-") != 0 && same_file(input, output)) {
        return error_set(err, "%s is the recording that is read: name another file after -o",
                         output);
    }
    /* Where declarations may come from, and what will be written. */
    char *theirs[] = {mem_string(events), mem_format("%s.events", input),
                      simple_events_path(input)};
    char *mine[] = {mem_string(output), simple ? simple_events_path(output) : NULL};
    bool ok = true;
    for (unsigned i = 0; i < 6; i++) {
        const char *read = theirs[i / 2], *written = mine[i % 2];
        if (ok && read != NULL && written != NULL && same_file(read, written)) {
            ok = error_set(err,
                           i % 2 == 0 ? "%s holds the declarations that are read: name another "
                                        "file after -o"
                                      : "the declarations of %s would go into %s, which is being "
                                        "read: name another file after -o",
                           output, written);
        }
    }
    for (unsigned i = 0; i < 3; i++) {
        free(theirs[i]);
    }
    free(mine[0]);
    free(mine[1]);
    return ok;
}
