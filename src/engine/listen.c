/* SPDX-License-Identifier: MIT
 *
 * Telling of code that was made.
 */
#include "engine/internal.h"

static void tell(const struct engine *engine, enum engine_code_kind kind, uint64_t pc,
                 uint32_t start, uint32_t end)
{
    const struct engine_code code = {
        .kind = kind,
        .pc = pc,
        .exec = engine->exec + start,
        .size = end - start,
        .bytes = engine->write + start,
    };

    if (end > start)
        engine->listener.made(engine->listener.opaque, &code);
}

void tell_blocks(const struct engine *engine, const struct block *block, unsigned count,
                 uint32_t end)
{
    for (unsigned i = 0; i < count; i++)
        tell(engine, ENGINE_CODE_BLOCK, block[i].pc, block[i].start, block[i].end);
    tell(engine, ENGINE_CODE_EXITS, block[0].pc, block[count - 1].end, end);
}

void tell_entry(const struct engine *engine, const struct block *block, uint32_t end)
{
    tell(engine, ENGINE_CODE_BLOCK, block->pc, block->indirect, end);
}

/* What lies between two blocks are exits of the first, and entries that came later. */
void tell_all(const struct engine *engine)
{
    tell(engine, ENGINE_CODE_GLUE, 0, 0, (uint32_t)engine->glue_size);
    for (uint32_t i = 0; i < engine->block_count; i++) {
        uint32_t end =
            i + 1 < engine->block_count ? engine->block[i + 1].start : (uint32_t)engine->used;

        tell_blocks(engine, &engine->block[i], 1, end);
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
