/* SPDX-License-Identifier: MIT
 *
 * Keys of a PC's keyboard: their names, and their codes in the three scan code sets. Any thread.
 */
#ifndef DISPLAY_KEYS_H
#define DISPLAY_KEYS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

enum key {
#define KEY(name, set1, set2, set3) KEY_##name,
#include "display/keys.def"
#undef KEY
    KEY_COUNT
};

enum { KEY_COMBINATION_MAX = 16 };

struct key_codes {
    const char *name;
    uint32_t set[3]; /* 1, 2, 3; the byte sent first is the highest; 0: there is none */
};

extern const struct key_codes key_codes[KEY_COUNT];

/* By name; KEY_unmapped: there is none. */
enum key key_find(const char *name);
/* By the code in set 1, 0xe0 and a byte as 0xe0nn or as 0x80 + byte. KEY_unmapped: there is none.
 */
enum key key_by_code(uint32_t code);

/* Keys that are pressed together, as `sendkey` takes them: "ctrl-alt-delete", "shift-0x1e". At most
 * KEY_COMBINATION_MAX. */
bool keys_parse(const char *text, enum key *keys, size_t *count, struct error *err);

#endif
