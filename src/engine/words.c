/* SPDX-License-Identifier: MIT
 *
 * Words of -engine. */
#include "engine/words.h"

#include <stddef.h>
#include <string.h>

#include "base/option.h"

#define CACHE_MIN UINT64_C(65536)
#define CACHE_MAX (UINT64_C(1) << 30)

enum { BLOCK_MAX = 64 };

static const struct {
    const char *name;
    size_t place; /* a bool in struct engine_options */
} engine_words[] = {
    {"one-insn", offsetof(struct engine_options, one_instruction)},
    {"no-chain", offsetof(struct engine_options, no_chain)},
    {"no-liveness", offsetof(struct engine_options, no_liveness)},
    {"count", offsetof(struct engine_options, count)},
    {"self-check", offsetof(struct engine_options, self_check)},
    {"random-exits", offsetof(struct engine_options, random_exits)},
    {"no-tlb", offsetof(struct engine_options, no_tlb)},
};

enum { ENGINE_WORDS = sizeof engine_words / sizeof engine_words[0] };

static bool take(struct engine_options *engine, const struct option_pair *pair, struct error *err)
{
    uint64_t number;

    if (!strcmp(pair->key, "cache")) {
        if (!option_size("cache", pair->value, CACHE_MIN, CACHE_MAX, &number, err))
            return false;
        engine->cache_size = number;
        return true;
    }
    if (!strcmp(pair->key, "block")) {
        if (!option_number("block", pair->value, 1, BLOCK_MAX, &number, err))
            return false;
        engine->block_limit = (unsigned)number;
        return true;
    }
    for (unsigned i = 0; i < ENGINE_WORDS; i++) {
        if (!strcmp(pair->key, engine_words[i].name)) {
            bool *flag = (bool *)((char *)engine + engine_words[i].place);
            *flag = true;
            return !pair->value || option_bool(pair->key, pair->value, flag, err);
        }
    }
    return error_set(err,
                     "there is no word '%s'; there are one-insn, no-chain, no-liveness, count, "
                     "self-check, random-exits, no-tlb, cache=SIZE, block=N",
                     pair->key);
}

bool engine_options_words(struct engine_options *options, const char *text, struct error *err)
{
    struct option_list list;

    if (!option_list_parse(&list, text, NULL, err))
        return false;
    bool good = true;
    for (size_t i = 0; good && i < list.count; i++)
        good = take(options, &list.pair[i], err);
    option_list_free(&list);
    return good;
}
