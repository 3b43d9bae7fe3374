/* SPDX-License-Identifier: MIT
 *
 * A string that grows. Always true: `data` is never NULL and data[len] is NUL. The fields may be
 * read directly; they are changed only by the functions below. One thread at a time.
 */
#ifndef BASE_STRBUF_H
#define BASE_STRBUF_H

#include <stddef.h>

struct strbuf {
    char *data;
    size_t len;
    size_t room; /* bytes there are, 0 while data is the shared empty string */
    char *lent;  /* the caller's memory, NULL: none */
};

void strbuf_init(struct strbuf *s);
/* Begins in memory of the caller's, which must outlive it. Nothing is allocated while the text fits
 * into it, so that signal handlers can make one. */
void strbuf_init_in(struct strbuf *s, char *room, size_t size);
void strbuf_free(struct strbuf *s);  /* leaves it initialised and empty */
void strbuf_clear(struct strbuf *s); /* keeps the memory */
void strbuf_add(struct strbuf *s, const void *bytes, size_t len);
void strbuf_puts(struct strbuf *s, const char *text);
void strbuf_putc(struct strbuf *s, char c);
void strbuf_printf(struct strbuf *s, const char *format, ...) __attribute__((format(printf, 2, 3)));
char *strbuf_take(struct strbuf *s); /* hands the text over (free() it); s is empty after */

#endif
