/* SPDX-License-Identifier: MIT
 *
 * A string that grows. */
#include "base/strbuf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

static char empty[1];

void strbuf_init(struct strbuf *s)
{
    *s = (struct strbuf){.data = empty};
}

void strbuf_init_in(struct strbuf *s, char *room, size_t size)
{
    *s = (struct strbuf){.data = room, .room = size, .lent = room};
    room[0] = 0;
}

void strbuf_free(struct strbuf *s)
{
    if (s->room && s->data != s->lent) {
        free(s->data);
    }
    strbuf_init(s);
}

void strbuf_clear(struct strbuf *s)
{
    s->len = 0;
    if (s->room) {
        s->data[0] = 0;
    }
}

static void make_room(struct strbuf *s, size_t more)
{
    size_t need = s->len + more + 1;
    if (need > s->room) {
        size_t room = need < 64 ? 64 : need + need / 2;
        if (s->room && s->data == s->lent) {
            s->data = memcpy(mem_resize(NULL, room, 1), s->data, s->len + 1);
        } else {
            s->data = mem_resize(s->room ? s->data : NULL, room, 1);
        }
        s->room = room;
    }
}

void strbuf_add(struct strbuf *s, const void *bytes, size_t len)
{
    if (!len) {
        return;
    }
    make_room(s, len);
    memcpy(s->data + s->len, bytes, len);
    s->len += len;
    s->data[s->len] = 0;
}

void strbuf_puts(struct strbuf *s, const char *text)
{
    strbuf_add(s, text, strlen(text));
}

void strbuf_putc(struct strbuf *s, char c)
{
    strbuf_add(s, &c, 1);
}

void strbuf_printf(struct strbuf *s, const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    int len = vsnprintf(NULL, 0, format, ap);
    va_end(ap);
    if (len <= 0) {
        return;
    }
    make_room(s, (size_t)len);
    va_start(ap, format);
    vsnprintf(s->data + s->len, (size_t)len + 1, format, ap);
    va_end(ap);
    s->len += (size_t)len;
}

char *strbuf_take(struct strbuf *s)
{
    char *text = s->room && s->data != s->lent ? s->data : mem_string(s->data);
    strbuf_init(s);
    return text;
}
