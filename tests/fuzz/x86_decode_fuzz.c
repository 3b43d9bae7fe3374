/* SPDX-License-Identifier: MIT
 *
 * The x86 decoder on foreign bytes. The first byte chooses the mode and whether all features are
 * there; the rest is decoded instruction after instruction, from a copy that ends where the bytes
 * do. What comes out has to agree with itself. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "guest/x86/rows.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct x86_insn *insn, size_t size)
{
    const struct native_insn *n = &insn->native;

    if (!insn->length || insn->length > size || insn->length > 15)
        bug("length %u of %zu", insn->length, size);
    if (n->gpr_killed & ~n->gpr_written)
        bug("%s kills what it does not write", x86_mnemonic(insn));
    if (n->flags_written & (n->flags_may | n->flags_undefined))
        bug("%s is of two minds about flags", x86_mnemonic(insn));
    if (n->mem_access && !(n->attributes & NATIVE_MAY_FAULT))
        bug("%s accesses memory and cannot fault", x86_mnemonic(insn));
    if (n->prefix & NATIVE_LOCK && n->modrm != NATIVE_MODRM_MEM)
        bug("%s is locked without memory", x86_mnemonic(insn));
    if (n->scale & (n->scale - 1) || n->scale > 8)
        bug("%s has scale %u", x86_mnemonic(insn), n->scale);
}

/* Exactly its own bytes give the same; a byte less is too short. */
static void check_ends(enum x86_mode mode, const struct x86_features *features,
                       const uint8_t *bytes, const struct x86_insn *insn)
{
    struct x86_insn again;

    if (x86_decode(mode, features, bytes, insn->length, insn->pc, &again) != X86_DECODE_OK ||
        memcmp(&again.native, &insn->native, sizeof(again.native)) || again.row != insn->row)
        bug("%s differs by what follows", x86_mnemonic(insn));
    if (x86_decode(mode, features, bytes, insn->length - 1u, insn->pc, &again) != X86_DECODE_SHORT)
        bug("%s without its last byte is not short", x86_mnemonic(insn));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct x86_features none;
    const struct x86_features *features;
    enum x86_mode mode;
    uint8_t *bytes;

    if (size < 2)
        return 0;
    mode = (enum x86_mode)(data[0] % 3);
    features = data[0] & 0x80 ? &none : NULL;
    size--;
    bytes = malloc(size);
    if (!bytes)
        abort();
    memcpy(bytes, data + 1, size);
    for (size_t at = 0; at < size;) {
        struct x86_insn insn;

        if (x86_decode(mode, features, bytes + at, size - at, 0x1000 + at, &insn) !=
            X86_DECODE_OK) {
            at++;
            continue;
        }
        check(&insn, size - at);
        check_ends(mode, features, bytes + at, &insn);
        at += insn.length;
    }
    free(bytes);
    return 0;
}
