/* SPDX-License-Identifier: MIT
 *
 * Protocol Buffers' wire format, writing only: fields are appended to a strbuf; a message inside a
 * message is written into a strbuf of its own first and then added as bytes.
 */
#ifndef PROTOBUF_H
#define PROTOBUF_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/strbuf.h"

enum {
    PROTO_VARINT_MAX = 10, /* bytes */
    PROTO_VARINT = 0,      /* wire types */
    PROTO_BYTES = 2,
};

/* Writes a varint at `p` and returns what follows it. */
static inline uint8_t *proto_put(uint8_t *p, uint64_t value)
{
    while (value >= 0x80) {
        *p++ = (uint8_t)(value | 0x80);
        value >>= 7;
    }
    *p++ = (uint8_t)value;
    return p;
}

static inline uint8_t *proto_put_tag(uint8_t *p, unsigned field, unsigned type)
{
    return proto_put(p, (uint64_t)field << 3 | type);
}

static inline void proto_uint(struct strbuf *s, unsigned field, uint64_t value)
{
    uint8_t bytes[2 * PROTO_VARINT_MAX], *p = proto_put_tag(bytes, field, PROTO_VARINT);

    p = proto_put(p, value);
    strbuf_add(s, bytes, (size_t)(p - bytes));
}

static inline void proto_bytes(struct strbuf *s, unsigned field, const void *data, size_t len)
{
    uint8_t bytes[2 * PROTO_VARINT_MAX], *p = proto_put_tag(bytes, field, PROTO_BYTES);

    p = proto_put(p, len);
    strbuf_add(s, bytes, (size_t)(p - bytes));
    strbuf_add(s, data, len);
}

static inline void proto_text(struct strbuf *s, unsigned field, const char *text)
{
    proto_bytes(s, field, text, strlen(text));
}

#endif
