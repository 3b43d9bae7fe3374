/* SPDX-License-Identifier: MIT
 *
 * The words of -serial, -monitor and the like, turned into those of -chardev:
 * "tcp:HOST:PORT,server" into "socket,host=HOST,port=PORT,server". */
#include <string.h>

#include "chardev/internal.h"

/* A value may hold commas; in what we make they are doubled. */
static void put_value(struct strbuf *to, const char *key, const char *text, size_t length)
{
    strbuf_printf(to, ",%s=", key);
    for (size_t i = 0; i < length; i++) {
        if (text[i] == ',') {
            strbuf_putc(to, ',');
        }
        strbuf_putc(to, text[i]);
    }
}

/* "HOST:PORT" of `length` bytes, HOST possibly empty or in brackets. */
static bool put_address(struct strbuf *to, const char *host_key, const char *port_key,
                        const char *text, size_t length, struct error *err)
{
    size_t colon = length;

    while (colon && text[colon - 1] != ':') {
        colon--;
    }
    if (!colon) {
        return error_set(err, "'%.*s' is no HOST:PORT", (int)length, text);
    }
    const char *host = text;
    size_t host_length = colon - 1;
    if (host_length >= 2 && host[0] == '[' && host[host_length - 1] == ']') {
        host++;
        host_length -= 2;
    }
    if (host_length) {
        put_value(to, host_key, host, host_length);
    }
    if (length > colon) {
        put_value(to, port_key, text + colon, length - colon);
    }
    return true;
}

static bool tcp(struct strbuf *to, const char *text, bool telnet, struct error *err)
{
    size_t length = strcspn(text, ",");

    strbuf_puts(to, telnet ? "socket,telnet=on" : "socket");
    if (!put_address(to, "host", "port", text, length, err)) {
        return false;
    }
    strbuf_puts(to, text + length);
    return true;
}

static bool unix_socket(struct strbuf *to, const char *text)
{
    size_t length = strcspn(text, ",");

    strbuf_puts(to, "socket");
    put_value(to, "path", text, length);
    strbuf_puts(to, text + length);
    return true;
}

/* "[REMOTE_HOST]:REMOTE_PORT[@[LOCAL_HOST]:LOCAL_PORT]" */
static bool udp(struct strbuf *to, const char *text, struct error *err)
{
    size_t length = strcspn(text, ","), remote = strcspn(text, "@");

    remote = remote < length ? remote : length;
    strbuf_puts(to, "udp");
    if (!put_address(to, "host", "port", text, remote, err)) {
        return false;
    }
    if (remote < length &&
        !put_address(to, "localaddr", "localport", text + remote + 1, length - remote - 1, err)) {
        return false;
    }
    strbuf_puts(to, text + length);
    return true;
}

/* Kinds whose one value is a path: "file:X" is "file,path=X". */
static const struct {
    const char *prefix, *kind;
} with_path[] = {{"file:", "file"}, {"pipe:", "pipe"}};

/* Kinds that need nothing more. */
static const char *const alone[] = {"null", "stdio", "pty", "ringbuf"};

bool chardev_words(const char *text, struct strbuf *options, bool *mux, struct error *err)
{
    *mux = !strncmp(text, "mon:", 4);
    text += *mux ? 4 : 0;
    for (size_t i = 0; i < sizeof alone / sizeof alone[0]; i++) {
        size_t length = strlen(alone[i]);
        if (!strncmp(text, alone[i], length) && (!text[length] || text[length] == ',')) {
            strbuf_puts(options, text);
            /* The multiplexer's keys: Ctrl-C goes to the guest. */
            if (*mux && !strcmp(text, "stdio")) {
                strbuf_puts(options, ",signal=off");
            }
            return true;
        }
    }
    for (size_t i = 0; i < sizeof with_path / sizeof with_path[0]; i++) {
        size_t length = strlen(with_path[i].prefix);
        if (!strncmp(text, with_path[i].prefix, length)) {
            strbuf_puts(options, with_path[i].kind);
            put_value(options, "path", text + length, strlen(text + length));
            return true;
        }
    }
    if (!strncmp(text, "/dev/", 5)) {
        strbuf_puts(options, "serial");
        put_value(options, "path", text, strlen(text));
        return true;
    }
    if (!strncmp(text, "tcp:", 4)) {
        return tcp(options, text + 4, false, err);
    }
    if (!strncmp(text, "telnet:", 7)) {
        return tcp(options, text + 7, true, err);
    }
    if (!strncmp(text, "unix:", 5)) {
        return unix_socket(options, text + 5);
    }
    if (!strncmp(text, "udp:", 4)) {
        return udp(options, text + 4, err);
    }
    if (!strcmp(text, "vc") || !strncmp(text, "vc:", 3)) {
        return error_set(err, "'vc' is a console in a window, and there are no windows; pty, stdio "
                              "or unix:PATH,server,nowait are near it");
    }
    return error_set(err,
                     "'%s' is not a character device; there are none, null, stdio, mon:stdio, pty, "
                     "ringbuf, file:PATH, pipe:PATH, /dev/TTY, tcp:HOST:PORT, telnet:HOST:PORT, "
                     "unix:PATH, udp:HOST:PORT and chardev:ID",
                     text);
}
