/* SPDX-License-Identifier: MIT
 *
 * Any bytes as what is typed at a monitor: at a socket, at a terminal with libedit, and as lines.
 * Answers consist of lines, and what is offered for completion begins as what was typed. Commands
 * that write files are hidden by others.
 *
 * Input: one byte that says where it is typed, then the bytes. */
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/memory.h"
#include "base/strbuf.h"
#include "monitor/machine/edit.h"
#include "monitor/machine/plain.h"
#include "monitor/monitor.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { SIZE_MAX_HERE = 1 << 14 };

static struct monitor *monitor;
static struct monitor_session *session;
static struct editor *editor;
static struct plain plain;
static size_t written;

static bool show(struct monitor_session *to, const struct monitor_arguments *arguments)
{
    for (unsigned i = 0; i < MONITOR_VALUES_MAX; i++) {
        const struct monitor_value *value = &arguments->value[i];
        if (value->given) {
            monitor_printf(to, " %s %llx %d", value->word ? value->word : "",
                           (unsigned long long)value->number, value->on);
        }
    }
    monitor_printf(to, " %u%c%u %x\n", arguments->format.count, arguments->format.letter,
                   arguments->format.size, arguments->flags);
    return arguments->count != 3;
}

static void offer(struct monitor_session *to, unsigned argument, const char *typed)
{
    monitor_offer(to, typed);
    monitor_offer(to, argument ? "second" : "first");
}

static const struct monitor_command commands[] = {
    {"log", NULL, "", "s", show, offer},
    {"logfile", NULL, "", "s", show, NULL},
    {"trace-file", NULL, "", "s?s?", show, offer},
    {"trace-event", NULL, "", "sb", show, offer},
    {"trace-filter", NULL, "", "sS", show, NULL},
    {"quit|q", NULL, "", NULL, show, NULL},
    {"x", NULL, "", "/e", show, NULL},
    {"memsave", NULL, "", "ens", show, NULL},
    {"flags", NULL, "", "-a-b-cn?s?", show, offer},
    {"all", NULL, "", "/esenb?S?", show, offer},
};

static bool read_register(struct monitor_session *of, const char *name, uint64_t *value)
{
    (void)of;
    *value = strlen(name);
    return name[0] != 'x';
}

static void execute(const char *line)
{
    struct strbuf *answer = monitor_answer(session);

    monitor_execute(session, line);
    if (answer->len && answer->data[answer->len - 1] != '\n') {
        bug("'%s' is answered by half a line: %s", line, answer->data);
    }
    strbuf_clear(answer);
}

static void check_completion(const char *line, struct monitor_words *words)
{
    monitor_complete(session, line, words);
    if (words->start > strlen(line)) {
        bug("a word begins behind '%s'", line);
    }
    for (size_t i = 0; i < words->count; i++) {
        if (strncmp(words->word[i], line + words->start, strlen(line + words->start)) != 0) {
            bug("'%s' is no continuation of '%s'", words->word[i], line);
        }
    }
}

static void count_bytes(void *opaque, const char *bytes, size_t count)
{
    (void)opaque, (void)bytes;
    written += count;
}

static void take_plain(void *opaque, const char *text)
{
    (void)opaque;
    execute(text);
    plain_start(&plain);
}

static void take_edited(void *opaque, const char *text)
{
    (void)opaque;
    execute(text);
    editor_start(editor);
}

static void complete(void *opaque, const char *text, struct monitor_words *words)
{
    (void)opaque;
    check_completion(text, words);
}

static void begin(void)
{
    const struct editor_user user = {NULL, count_bytes, take_edited, complete};

    setenv("TERM", "vt100", 1);
    monitor = monitor_new("fuzz 1");
    monitor_add(monitor, MONITOR_MAIN, commands, sizeof commands / sizeof commands[0]);
    monitor_set_registers(monitor, read_register);
    session = monitor_session_new(monitor);
    editor = editor_new(monitor_prompt, &user);
}

static void type_plain(const uint8_t *data, size_t size)
{
    const struct editor_user user = {NULL, count_bytes, take_plain, complete};

    plain_init(&plain, monitor_prompt, &user);
    plain_start(&plain);
    while (size) {
        size_t room = plain_room(&plain), count = room < size ? room : size;
        plain_feed(&plain, data, count);
        data += count;
        size -= count;
    }
}

/* Each byte alone for an odd choice: keys come in pieces. */
static void type_edited(const uint8_t *data, size_t size, bool pieces)
{
    editor_start(editor);
    while (size) {
        size_t room = editor_room(editor), count = room < size ? room : size;
        count = pieces && count ? 1 : count;
        if (!count) {
            bug("the editor takes nothing any more");
        }
        editor_feed(editor, data, count);
        data += count;
        size -= count;
    }
    editor_forget(editor);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!monitor) {
        begin();
    }
    if (!size || size > SIZE_MAX_HERE) {
        return 0;
    }
    char *line = mem_stringn((const char *)data + 1, size - 1);
    struct monitor_words words;
    switch (data[0] % 4) {
    case 0:
        execute(line);
        check_completion(line, &words);
        monitor_words_free(&words);
        break;
    case 1: type_plain(data + 1, size - 1); break;
    default:
        if (editor) {
            type_edited(data + 1, size - 1, data[0] & 1);
        }
    }
    free(line);
    return 0;
}
