/* SPDX-License-Identifier: MIT
 *
 * System calls as text: any numbers and results, and memory that lies about itself: what is read
 * changes from one look to the next, ends anywhere, and is sometimes told to be longer than asked.
 * What comes out is bounded text without control characters. */
#include <stdint.h>
#include <string.h>

#include "base/error.h"
#include "syscall/syscall.h"

enum {
    LOOKS_MAX = 4096,
    TEXT_MAX = 256 << 10, /* more than the longest line: 17 strings, each byte as \ooo */
};

struct liar {
    const uint8_t *bytes;
    size_t size, at;
    unsigned looks;
};

static size_t lie(void *opaque, uint64_t address, void *to, size_t size)
{
    struct liar *liar = opaque;

    if (size > SYSCALL_STRING_SHOWN || (size == 0))
        bug("%zu bytes are asked for", size);
    if (!liar->size || ++liar->looks > LOOKS_MAX)
        return 0;
    for (size_t i = 0; i < size; i++)
        ((uint8_t *)to)[i] = liar->bytes[(liar->at + i) % liar->size];
    liar->at += size + (size_t)address % 7;
    switch (liar->bytes[liar->at % liar->size] & 15) {
    case 0: return 0;
    case 1: return size / 2;
    case 2: return SIZE_MAX;
    default: return size;
    }
}

static void check(const struct strbuf *text)
{
    if (text->len > TEXT_MAX)
        bug("%zu bytes of text", text->len);
    for (size_t i = 0; i < text->len; i++) {
        if (text->data[i] < ' ' || text->data[i] > '~')
            bug("the character %d at %zu", text->data[i], i);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    enum { HEAD = 1 + 2 + 8 + 8 * SYSCALL_ARGS };
    uint64_t args[SYSCALL_ARGS];
    uint16_t number;
    int64_t result;

    if (size < HEAD)
        return 0;
    memcpy(&number, data + 1, sizeof number);
    memcpy(&result, data + 3, sizeof result);
    memcpy(args, data + 11, sizeof args);
    struct liar liar = {data + HEAD, size - HEAD, 0, 0};
    const struct syscall_memory memory = {data[0] & 1 ? lie : NULL, data[0] & 2 ? lie : NULL,
                                          &liar};
    const struct syscall_call call = {
        .number = data[0] & 4 ? number : number % SYSCALL_MAX,
        .args = data[0] & 8 ? NULL : args,
        .result = data[0] & 16 ? NULL : &result,
        .memory = data[0] & 32 ? NULL : &memory,
    };
    struct strbuf text;

    strbuf_init(&text);
    syscall_text(&text, &call);
    check(&text);
    for (unsigned i = 0; call.args && i <= SYSCALL_ARGS; i++) {
        strbuf_clear(&text);
        syscall_argument_text(&text, &call, i);
        check(&text);
    }
    strbuf_free(&text);
    return 0;
}
