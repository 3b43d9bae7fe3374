/* SPDX-License-Identifier: MIT
 *
 * A line: to a command and its arguments, and what is said when that does not work. */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "monitor/internal.h"

/* Where a line is read, and what became of it. */
struct reader {
    struct monitor_session *session;
    const struct monitor_command *command;
    const char *name; /* of it, as help is asked for */
    const char *at;
    char *room; /* for words: as long as the line */
    struct monitor_arguments arguments;
};

bool monitor_is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

const char *monitor_skip(const char *text)
{
    while (monitor_is_blank(*text)) {
        text++;
    }
    return text;
}

/* --- arguments --- */

static bool complain(struct reader *reader, const char *what)
{
    monitor_printf(reader->session, "%s: %s\n", reader->command->name, what);
    return false;
}

/* /10xw: digits and letters in any order; what is not said is as it was last. */
static bool read_format(struct reader *reader)
{
    struct monitor_format *format = &reader->session->format;
    static const struct {
        char letter;
        uint8_t size;
    } sizes[] = {{'b', 1}, {'h', 2}, {'w', 4}, {'g', 8}};

    format->count = 1;
    if (*reader->at == '/') {
        const char *at = reader->at + 1;
        if (isdigit((unsigned char)*at)) {
            unsigned long count = strtoul(at, (char **)&at, 10);
            format->count = count > UINT32_MAX ? UINT32_MAX : (unsigned)count;
        }
        for (; *at && !monitor_is_blank(*at); at++) {
            bool known = strchr("oduxci", *at) != NULL;
            format->letter = known ? *at : format->letter;
            for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
                known |= *at == sizes[i].letter;
                format->size = *at == sizes[i].letter ? sizes[i].size : format->size;
            }
            if (!known) {
                monitor_printf(reader->session, "invalid char in format: '%c'\n", *at);
                return false;
            }
        }
        reader->at = at;
    }
    reader->arguments.format = *format;
    return true;
}

/* The flags that `types` begins with. */
static bool read_flags(struct reader *reader, const char *types)
{
    while (reader->at[0] == '-' && !isdigit((unsigned char)reader->at[1])) {
        for (reader->at++; *reader->at && !monitor_is_blank(*reader->at); reader->at++) {
            const char *flag = types;
            while (flag[0] == '-' && flag[1] != *reader->at) {
                flag += 2;
            }
            if (flag[0] != '-') {
                monitor_printf(reader->session, "%s: unsupported option -%c\n",
                               reader->command->name, *reader->at);
                return false;
            }
            reader->arguments.flags |= UINT32_C(1) << (*reader->at & 31);
        }
        reader->at = monitor_skip(reader->at);
    }
    return true;
}

/* Behind the opening quote. */
static bool read_quoted(struct reader *reader)
{
    static const char escapes[] = "nr\\\"'", meanings[] = "\n\r\\\"'";

    while (*reader->at != '"') {
        char c = *reader->at++;
        if (!c) {
            reader->at--;
            monitor_printf(reader->session, "unterminated string\n");
            return false;
        }
        if (c == '\\') {
            const char *escape = *reader->at ? strchr(escapes, *reader->at) : NULL;
            if (!escape) {
                monitor_printf(reader->session, "unsupported escape code: '\\%c'\n", *reader->at);
                return false;
            }
            c = meanings[escape - escapes];
            reader->at++;
        }
        *reader->room++ = c;
    }
    reader->at++;
    return true;
}

static bool read_word(struct reader *reader, char type, struct monitor_value *value)
{
    bool good = *reader->at != 0;

    value->word = reader->room;
    if (*reader->at == '"') {
        reader->at++;
        good = read_quoted(reader);
    } else {
        while (*reader->at && !monitor_is_blank(*reader->at)) {
            *reader->room++ = *reader->at++;
        }
    }
    *reader->room++ = 0;
    return good || complain(reader, type == 'F' ? "filename expected" : "string expected");
}

/* The rest of the line, or what is between quotes if that is all of it. */
static bool read_rest(struct reader *reader, struct monitor_value *value)
{
    size_t length = strlen(reader->at);

    if (length > 1 && *reader->at == '"' &&
        !*monitor_skip(reader->at + 1 + strcspn(reader->at + 1, "\"\\") + 1)) {
        return read_word(reader, 's', value);
    }
    while (length && monitor_is_blank(reader->at[length - 1])) {
        length--;
    }
    memcpy(reader->room, reader->at, length);
    reader->room[length] = 0;
    value->word = reader->room;
    reader->room += length + 1;
    reader->at += strlen(reader->at);
    return length || complain(reader, "string expected");
}

static bool read_expression(struct reader *reader, char type, bool more,
                            struct monitor_value *value)
{
    struct error err;

    if (!monitor_evaluate(reader->session, &reader->at, more, &value->number, &err)) {
        monitor_printf(reader->session, "%s\n", err.text);
        return false;
    }
    if (type == 'n' && value->number > UINT32_MAX) {
        monitor_printf(reader->session, "'%s' has failed: integer is for 32-bit values\n",
                       reader->command->name);
        return false;
    }
    return true;
}

static bool read_switch(struct reader *reader, struct monitor_value *value)
{
    size_t length = 0;

    while (reader->at[length] && !monitor_is_blank(reader->at[length])) {
        length++;
    }
    value->on = length == 2 && !strncmp(reader->at, "on", 2);
    if (!value->on && !(length == 3 && !strncmp(reader->at, "off", 3))) {
        monitor_printf(reader->session, "Expected 'on' or 'off'\n");
        return false;
    }
    reader->at += length;
    return true;
}

static bool read_value(struct reader *reader, const char *types, struct monitor_value *value)
{
    const bool more = types[1] && types[1] != '?';

    switch (*types) {
    case 's':
    case 'f':
    case 'F': return read_word(reader, *types, value);
    case 'e':
    case 'n': return read_expression(reader, *types, more, value);
    case 'b': return read_switch(reader, value);
    case 'S': return read_rest(reader, value);
    default: bug("monitor command %s: no type '%c'", reader->command->name, *types);
    }
}

static bool read_arguments(struct reader *reader)
{
    const char *types = reader->command->types ? reader->command->types : "";
    unsigned n = 0;

    for (const char *type = types; *type; type++) {
        reader->at = monitor_skip(reader->at);
        if (*type == '/') {
            if (!read_format(reader)) {
                return false;
            }
        } else if (*type == '-') {
            if (!read_flags(reader, type)) {
                return false;
            }
            while (type[2] == '-') {
                type += 2;
            }
            type++;
        } else {
            const bool optional = type[1] == '?';
            if (n == MONITOR_VALUES_MAX) {
                bug("monitor command %s has too many arguments", reader->command->name);
            }
            struct monitor_value *value = &reader->arguments.value[n++];
            value->given = !optional || *reader->at;
            if (value->given && !read_value(reader, type, value)) {
                return false;
            }
            reader->arguments.count += value->given;
            type += optional;
        }
    }
    return !*monitor_skip(reader->at) ||
           complain(reader, "extraneous characters at the end of line");
}

/* --- commands --- */

static void list_matches(struct monitor_session *session, enum monitor_table table,
                         const char *name)
{
    size_t count;
    const struct monitor_command **rows = monitor_rows(session->monitor, table, &count);

    for (size_t i = 0; i < count; i++) {
        if (!strncmp(rows[i]->name, name, strlen(name))) {
            monitor_printf(session, " %.*s", (int)strcspn(rows[i]->name, "|"), rows[i]->name);
        }
    }
    monitor_printf(session, "\n");
    free(rows);
}

static void run_with(struct reader *reader, const char *where)
{
    if (!read_arguments(reader) || !reader->command->run(reader->session, &reader->arguments)) {
        monitor_printf(reader->session, "Try \"help %s%s\" for more information\n", where,
                       reader->name);
    }
}

void monitor_run(struct monitor_session *session, enum monitor_table table, const char *line)
{
    const char *where = table == MONITOR_INFO ? "info " : "";
    struct reader reader = {.session = session, .at = monitor_skip(line)};
    size_t length = 0;
    bool many;

    /* A `/` ends a name, for x/10i; a name that is nothing but that is said to be unknown. */
    while (reader.at[length] && !monitor_is_blank(reader.at[length]) &&
           (reader.at[length] != '/' || !length)) {
        length++;
    }
    if (!length) {
        return;
    }
    char *name = mem_stringn(reader.at, length);
    reader.at += length;
    reader.command = monitor_find(session->monitor, table, name, &many);
    if (many) {
        monitor_printf(session, "ambiguous command: '%s%s' could be", where, name);
        list_matches(session, table, name);
    } else if (!reader.command) {
        monitor_printf(session, "unknown command: '%s%s'\n", where, name);
    } else {
        /* Each word is followed by a NUL where the line has a blank, or its end. */
        char *room = mem_alloc(strlen(reader.at) + MONITOR_VALUES_MAX + 1);
        char *full = mem_stringn(reader.command->name, strcspn(reader.command->name, "|"));
        reader.room = room;
        reader.name = monitor_is_named(reader.command, name, length) ? name : full;
        run_with(&reader, where);
        free(full);
        free(room);
    }
    free(name);
}

void monitor_execute(struct monitor_session *session, const char *line)
{
    session->cut = false;
    if (strlen(line) > MONITOR_LINE_MAX) {
        monitor_printf(session, "the line has more than %d bytes\n", MONITOR_LINE_MAX);
    } else {
        monitor_run(session, MONITOR_MAIN, line);
    }
}
