/* SPDX-License-Identifier: MIT
 *
 * Telling of code that was made.
 */
#include "engine/internal.h"

static void tell(const struct engine *engine, enum engine_code_kind kind, uint64_t pc,
                 uint64_t start, uint64_t end)
{
    const struct engine_code code = {
        .kind = kind,
        .pc = pc,
        .exec = start,
        .size = end - start,
        .bytes = cache_writable(engine, start),
    };

    if (end > start)
        engine->listener.made(engine->listener.opaque, &code);
}

void tell_blocks(const struct engine *engine, struct block *const *block, unsigned count,
                 uint64_t end)
{
    for (unsigned i = 0; i < count; i++)
        tell(engine, ENGINE_CODE_BLOCK, block[i]->pc, block[i]->start, block[i]->end);
    tell(engine, ENGINE_CODE_EXITS, block[0]->pc, block[count - 1]->end, end);
}

void tell_entry(const struct engine *engine, const struct block *block, uint64_t end)
{
    tell(engine, ENGINE_CODE_BLOCK, block->pc, block->indirect, end);
}

/* What lies between two blocks are exits of the first, and entries that came later. */
void tell_all(const struct engine *engine)
{
    tell(engine, ENGINE_CODE_GLUE, 0, engine->exec, engine->exec + engine->glue_size);
    for (uint32_t i = 0; i < engine->by_code_count; i++) {
        uint64_t end = i + 1 < engine->by_code_count ? engine->by_code[i + 1]->start
                                                     : engine->exec + engine->used;

        tell_blocks(engine, &engine->by_code[i], 1, end);
    }
}

struct symbol_space *engine_symbols(struct engine *engine)
{
    return engine->config.symbols;
}

void engine_listen(struct engine *engine, const struct engine_listener *listener)
{
    pthread_mutex_lock(&engine->lock);
    engine->listener = *listener;
    tell_all(engine);
    pthread_mutex_unlock(&engine->lock);
}
