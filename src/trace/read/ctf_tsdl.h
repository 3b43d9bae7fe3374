/* SPDX-License-Identifier: MIT
 *
 * Reading TSDL, the language of CTF metadata: the part that our writer uses, in any order and with
 * any white space. The reader of the grammar hands out what it finds block by block; what it means
 * is ctf_metadata.c's.
 */
#ifndef TRACE_READ_CTF_TSDL_H
#define TRACE_READ_CTF_TSDL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

enum {
    TSDL_NAME_MAX = 256,
    TSDL_TEXT_MAX = 1024, /* bytes of a quoted text; longer ones are cut */
    TSDL_FIELDS_MAX = 32, /* of a struct */
};

enum tsdl_kind { TSDL_NUMBER, TSDL_STRING, TSDL_STRUCT };

/* A type without what is inside. */
struct tsdl_type {
    enum tsdl_kind kind;
    uint8_t bytes; /* of a number */
    bool is_signed;
};

struct tsdl_field {
    char name[TSDL_NAME_MAX];
    struct tsdl_type type;
    uint32_t count; /* of an array, else 0 */
};

/* `name = value;` or `name := struct { ... };` inside a block. */
struct tsdl_entry {
    const char *block; /* "trace", "env", "clock", "stream", "event" */
    const char *name;  /* with dots: "packet.header" */
    enum { TSDL_IS_NUMBER, TSDL_IS_TEXT, TSDL_IS_WORD, TSDL_IS_STRUCT } what;
    bool negative;
    uint64_t number; /* magnitude */
    const char *text;
    const struct tsdl_field *field;
    unsigned nfields;
};

/* What is found. The functions return false after setting the error (without a place). */
struct tsdl_visitor {
    void (*begin)(void *opaque, const char *block);
    bool (*entry)(void *opaque, const struct tsdl_entry *entry, struct error *err);
    bool (*end)(void *opaque, const char *block, struct error *err);
    /* A comment that begins with CTF_DECLARATIONS: what is inside. */
    bool (*declarations)(void *opaque, const char *text, size_t len, struct error *err);
    void *opaque;
};

/* Reads the whole text. Sentences begin with "PATH: line N: ". */
bool tsdl_read(const char *path, const char *text, size_t len, const struct tsdl_visitor *visitor,
               struct error *err);

/* True if the text somewhere has NAME = "TEXT"; the text is copied (cut to `size`). For questions
 * that must be answered before it is known whether the text can be read. */
bool tsdl_find_text(const char *text, size_t len, const char *name, char *value, size_t size);

#endif
