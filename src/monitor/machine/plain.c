/* SPDX-License-Identifier: MIT
 *
 * Echo and correction without a terminal. */
#include "monitor/machine/plain.h"

#include <stdlib.h>
#include <string.h>

#include "base/strbuf.h"

enum { CTRL_C = 3, BACKSPACE = 8, TAB = 9, CTRL_U = 21, ESCAPE = 27, DELETE = 127 };

void plain_init(struct plain *plain, const char *prompt, const struct editor_user *user)
{
    memset(plain, 0, sizeof *plain);
    plain->prompt = prompt;
    plain->user = *user;
}

static void say(struct plain *plain, const char *text, size_t count)
{
    if (count) {
        plain->user.write(plain->user.opaque, text, count);
    }
}

static void say_text(struct plain *plain, const char *text)
{
    say(plain, text, strlen(text));
}

static void rub_out(struct plain *plain, size_t count)
{
    while (count--) {
        say_text(plain, "\b \b");
    }
}

/* Bytes that are not the first of a UTF-8 character take no place on a screen. */
static void delete_last(struct plain *plain)
{
    while (plain->length && (plain->line[--plain->length] & 0xc0) == 0x80) {
    }
}

static void add(struct plain *plain, const char *text, size_t count)
{
    size_t room = MONITOR_LINE_MAX - plain->length;

    count = count < room ? count : room;
    memcpy(plain->line + plain->length, text, count);
    plain->length += count;
    say(plain, text, count);
}

static void complete(struct plain *plain)
{
    struct monitor_words words = {0};

    plain->line[plain->length] = 0;
    plain->user.complete(plain->user.opaque, plain->line, &words);
    size_t typed = plain->length - words.start, length = monitor_words_common(&words);
    if (words.count > 1) {
        char *list = monitor_words_columns(&words);
        say_text(plain, "\r\n");
        for (const char *at = list; *at; at++) {
            say(plain, *at == '\n' ? "\r\n" : at, *at == '\n' ? 2 : 1);
        }
        free(list);
        say_text(plain, plain->prompt);
        say(plain, plain->line, plain->length);
    }
    if (length > typed) {
        add(plain, words.word[0] + typed, length - typed);
    }
    if (words.count == 1 && words.word[0][length - 1] != '/') {
        add(plain, " ", 1);
    }
    monitor_words_free(&words);
}

static void end_line(struct plain *plain)
{
    plain->line[plain->length] = 0;
    plain->started = false;
    say_text(plain, "\r\n");
    plain->user.line(plain->user.opaque, plain->line);
}

/* A byte; those of escape sequences and other control characters are nothing. */
static void key(struct plain *plain, uint8_t byte)
{
    const bool skip = plain->skip_newline;

    plain->skip_newline = byte == '\r';
    if (plain->escape) {
        plain->escape = byte == '[' || byte < 0x40;
        return;
    }
    switch (byte) {
    case '\n':
        if (!skip) {
            end_line(plain);
        }
        break;
    case '\r': end_line(plain); break;
    case ESCAPE: plain->escape = true; break;
    case TAB: complete(plain); break;
    case BACKSPACE:
    case DELETE:
        rub_out(plain, plain->length > 0);
        delete_last(plain);
        break;
    case CTRL_C:
    case CTRL_U:
        rub_out(plain, plain->length);
        plain->length = 0;
        break;
    default:
        if (byte >= ' ') {
            add(plain, (const char *)&byte, 1);
        }
    }
}

static void run(struct plain *plain)
{
    size_t used = 0;

    if (plain->running) {
        return;
    }
    plain->running = true;
    while (plain->started && used < plain->count) {
        key(plain, plain->input[used++]);
    }
    used = used < plain->count ? used : plain->count; /* plain_forget() may have been called */
    plain->count -= used;
    memmove(plain->input, plain->input + used, plain->count);
    plain->running = false;
}

void plain_feed(struct plain *plain, const uint8_t *bytes, size_t count)
{
    size_t room = plain_room(plain);

    count = count < room ? count : room;
    memcpy(plain->input + plain->count, bytes, count);
    plain->count += count;
    run(plain);
}

size_t plain_room(const struct plain *plain)
{
    return PLAIN_INPUT_MAX - plain->count;
}

void plain_start(struct plain *plain)
{
    if (!plain->started) {
        plain->started = true;
        plain->length = 0;
        say_text(plain, plain->prompt);
        run(plain);
    }
}

void plain_stop(struct plain *plain)
{
    plain->started = false;
    plain->length = 0;
}

void plain_forget(struct plain *plain)
{
    plain_stop(plain);
    plain->count = 0;
    plain->escape = plain->skip_newline = false;
}
