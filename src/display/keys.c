/* SPDX-License-Identifier: MIT
 *
 * Keys by name and by code. */
#include "display/keys.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/option.h"

const struct key_codes key_codes[KEY_COUNT] = {
#define KEY(name, set1, set2, set3) {#name, {set1, set2, set3}},
#include "display/keys.def"
#undef KEY
};

enum key key_find(const char *name)
{
    for (unsigned i = 1; i < KEY_COUNT; i++) {
        if (!strcmp(key_codes[i].name, name)) {
            return (enum key)i;
        }
    }
    return KEY_unmapped;
}

enum key key_by_code(uint32_t code)
{
    if (code >= 0x80 && code < 0x100) {
        code = 0xe000 | (code & 0x7f);
    }
    for (unsigned i = 1; code && i < KEY_COUNT; i++) {
        if (key_codes[i].set[0] == code) {
            return (enum key)i;
        }
    }
    return KEY_unmapped;
}

/* One of the words between the hyphens. */
static enum key parse_one(const char *word)
{
    uint64_t code;

    /* QEMU's old name for it. */
    if (!strcmp(word, "<")) {
        return KEY_less;
    }
    if (!strncmp(word, "0x", 2) && option_number("key", word, 1, 0xffff, &code, NULL)) {
        return key_by_code((uint32_t)code);
    }
    return key_find(word);
}

bool keys_parse(const char *text, enum key *keys, size_t *count, struct error *err)
{
    bool good = true;

    *count = 0;
    for (const char *at = text;; at++) {
        size_t length = strcspn(at, "-");
        char *word = mem_stringn(at, length);
        enum key key = parse_one(word);
        if (key == KEY_unmapped) {
            good = error_set(err, "invalid parameter: %s", word);
        } else if (*count == KEY_COMBINATION_MAX) {
            good = error_set(err, "more than %d keys at once", KEY_COMBINATION_MAX);
        } else {
            keys[(*count)++] = key;
        }
        free(word);
        at += length;
        if (!good || !*at) {
            return good;
        }
    }
}
