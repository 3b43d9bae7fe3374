/* SPDX-License-Identifier: MIT
 *
 * What a line could go on with: names of commands and topics, files, words that a command knows. */
#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/memory.h"
#include "monitor/internal.h"

enum { WORDS_MAX = 100000, LINE_WIDTH = 80 };

void monitor_offer(struct monitor_session *session, const char *word)
{
    struct monitor_words *words = session->words;

    if (strncmp(word, session->typed, strlen(session->typed)) != 0 || words->count == WORDS_MAX) {
        return;
    }
    words->word = mem_resize(words->word, words->count + 1, sizeof *words->word);
    words->word[words->count++] = mem_string(word);
}

void monitor_words_free(struct monitor_words *words)
{
    for (size_t i = 0; i < words->count; i++) {
        free(words->word[i]);
    }
    free(words->word);
    *words = (struct monitor_words){0};
}

size_t monitor_words_common(const struct monitor_words *words)
{
    size_t length = words->count ? strlen(words->word[0]) : 0;

    for (size_t i = 1; i < words->count; i++) {
        size_t same = 0;
        while (same < length && words->word[i][same] == words->word[0][same]) {
            same++;
        }
        length = same;
    }
    return length;
}

char *monitor_words_columns(const struct monitor_words *words)
{
    struct strbuf text;
    size_t width = 0, columns;

    for (size_t i = 0; i < words->count; i++) {
        size_t length = strlen(words->word[i]);
        width = length > width ? length : width;
    }
    columns = width + 2 < LINE_WIDTH ? LINE_WIDTH / (width + 2) : 1;
    strbuf_init(&text);
    for (size_t i = 0; i < words->count; i++) {
        bool last = i + 1 == words->count || (i + 1) % columns == 0;
        strbuf_printf(&text, "%-*s%s", last ? 0 : (int)width + 2, words->word[i], last ? "\n" : "");
    }
    return strbuf_take(&text);
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void sort(struct monitor_words *words)
{
    size_t kept = 0;

    if (!words->count) {
        return;
    }
    qsort(words->word, words->count, sizeof *words->word, by_text);
    for (size_t i = 0; i < words->count; i++) {
        if (kept && !strcmp(words->word[i], words->word[kept - 1])) {
            free(words->word[i]);
        } else {
            words->word[kept++] = words->word[i];
        }
    }
    words->count = kept;
}

/* --- what there is --- */

static void offer_commands(struct monitor_session *session, enum monitor_table table)
{
    size_t count;
    const struct monitor_command **rows = monitor_rows(session->monitor, table, &count);

    for (size_t i = 0; i < count; i++) {
        char *name = mem_stringn(rows[i]->name, strcspn(rows[i]->name, "|"));
        monitor_offer(session, name);
        free(name);
    }
    free(rows);
}

static void offer_files(struct monitor_session *session)
{
    const char *slash = strrchr(session->typed, '/');
    size_t folder_length = slash ? (size_t)(slash + 1 - session->typed) : 0;
    char *folder = mem_stringn(session->typed, folder_length);
    DIR *dir = opendir(folder_length ? folder : ".");
    struct dirent *entry;

    while (dir && (entry = readdir(dir))) {
        if (entry->d_name[0] == '.' && session->typed[folder_length] != '.') {
            continue;
        }
        struct stat status;
        char *path = mem_format("%s%s", folder, entry->d_name);
        char *word =
            mem_format("%s%s", path, !stat(path, &status) && S_ISDIR(status.st_mode) ? "/" : "");
        monitor_offer(session, word);
        free(word);
        free(path);
    }
    if (dir) {
        closedir(dir);
    }
    free(folder);
}

/* --- where in the line --- */

/* The type of argument number `n`; 0: there is none. */
static char type_of(const struct monitor_command *command, unsigned n)
{
    for (const char *type = command->types ? command->types : ""; *type; type++) {
        if (*type == '-') {
            type++;
        } else if (*type == 'S') {
            return 'S';
        } else if (*type != '/' && *type != '?' && n-- == 0) {
            return *type;
        }
    }
    return 0;
}

static void offer_argument(struct monitor_session *session, const struct monitor_command *command,
                           unsigned n)
{
    switch (type_of(command, n)) {
    case 0: return;
    case 'f':
    case 'F': offer_files(session); break;
    case 'b':
        monitor_offer(session, "on");
        monitor_offer(session, "off");
        break;
    default: break;
    }
    if (command->complete) {
        command->complete(session, n, session->typed);
    }
}

/* The next word of a line up to `end`: where it begins, and *at behind it; `end`: there is none. */
static size_t next_word(const char *line, size_t end, size_t *at)
{
    while (*at < end && monitor_is_blank(line[*at])) {
        (*at)++;
    }
    size_t begin = *at;
    while (*at < end && !monitor_is_blank(line[*at])) {
        (*at)++;
    }
    return begin;
}

/* How many words that are arguments, not flags or formats, there are from `at` on; `last`: the last
 * word. */
static unsigned count_arguments(const char *line, size_t end, size_t at, size_t *last)
{
    unsigned n = 0;
    size_t begin;

    while ((begin = next_word(line, end, &at)) < end) {
        n += line[begin] != '-' && line[begin] != '/';
        *last = begin;
    }
    return n;
}

static void offer_help(struct monitor_session *session, unsigned n, const char *last)
{
    if (n == 0) {
        offer_commands(session, MONITOR_MAIN);
    } else if (n == 1 && !strncmp(last, "info", 4) && monitor_is_blank(last[4])) {
        offer_commands(session, MONITOR_INFO);
    }
}

/* For the word behind line[0] to line[end - 1]. */
static void offer_for(struct monitor_session *session, enum monitor_table table, const char *line,
                      size_t end)
{
    size_t at = 0, begin = next_word(line, end, &at), last = 0;
    bool many;

    if (begin == end) {
        offer_commands(session, table);
        return;
    }
    char *name = mem_stringn(line + begin, at - begin);
    name[strcspn(name, "/")] = 0;
    const struct monitor_command *command = monitor_find(session->monitor, table, name, &many);
    free(name);
    unsigned n = count_arguments(line, end, at, &last);
    if (!command) {
        return;
    }
    if (table == MONITOR_MAIN && !strcmp(command->name, "info")) {
        offer_for(session, MONITOR_INFO, line + at, end - at);
    } else if (table == MONITOR_MAIN && !strcmp(command->name, "help|?")) {
        offer_help(session, n, line + last);
    } else {
        offer_argument(session, command, n);
    }
}

void monitor_complete(struct monitor_session *session, const char *line,
                      struct monitor_words *words)
{
    size_t start = strlen(line);

    while (start && !monitor_is_blank(line[start - 1])) {
        start--;
    }
    *words = (struct monitor_words){.start = start};
    session->words = words;
    session->typed = line + start;
    offer_for(session, MONITOR_MAIN, line, start);
    session->words = NULL;
    sort(words);
}
