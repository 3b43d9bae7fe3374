/* SPDX-License-Identifier: MIT
 *
 * Blocks: found, made, linked, killed.
 *
 * A block is made together with those it runs into (a group): where a block ends in a jump to a
 * place that is not translated yet, that place comes right behind it, and the jump is left out. So
 * the not-taken side of a conditional jump costs nothing, and each block is still a basic block.
 */
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "base/error.h"
#include "base/logitems.h"
#include "engine/internal.h"
#include "trace-engine.h"

enum {
    GROUP_LIMIT = 6,
    PAGE = 1 << PAGE_BITS,
    GROUP_ROOM = 128 << 10, /* of code: a group that needs more is not made in one piece */
    TRAP_PAGE_FAULT = 14,
    ERROR_PRESENT = 1, /* of a page fault */
    ERROR_WRITE = 2,
    ERROR_USER = 4,
    ERROR_FETCH = 16,
};

static unsigned hash_of(uint64_t pc, uint32_t set)
{
    uint64_t h = (pc + set * UINT64_C(0x632be5ab)) * UINT64_C(0x9e3779b97f4a7c15);

    return (unsigned)(h >> (64 - ENGINE_HASH_BITS));
}

struct block *block_find(struct engine *engine, uint64_t pc, uint32_t set)
{
    struct block *block = __atomic_load_n(&engine->hash[hash_of(pc, set)], __ATOMIC_ACQUIRE);

    while (block && (block->pc != pc || block->set != set))
        block = __atomic_load_n(&block->next, __ATOMIC_ACQUIRE);
    return block;
}

/* --- memory --- */

static void *arena(struct engine *engine, size_t size)
{
    void *at = engine->arena + engine->arena_used;

    size = (size + 7) & ~(size_t)7;
    if (engine->arena_used + size > engine->arena_size)
        return NULL;
    engine->arena_used += size;
    return at;
}

static bool tables_full(const struct engine *engine)
{
    return engine->used + GROUP_ROOM / 16 > engine->cache_size ||
           engine->by_code_count + IR_GROUP_BLOCKS > engine->by_code_max ||
           engine->site_count + IR_GROUP_SITES > engine->site_max ||
           engine->arena_used + (256 << 10) > engine->arena_size || probes_full(engine) ||
           engine->count_slots + IR_GROUP_BLOCKS > COUNT_SLOTS;
}

/* --- pages --- */

static struct code_page **page_chain(struct engine *engine, uint64_t address)
{
    uint64_t number = address >> PAGE_BITS;

    return &engine->pages[(number ^ number >> ENGINE_PAGES_BITS) & ((1u << ENGINE_PAGES_BITS) - 1)];
}

static struct code_page *page_find(struct engine *engine, uint64_t address)
{
    struct code_page *page = *page_chain(engine, address);

    address &= ~(uint64_t)(PAGE - 1);
    while (page && page->address != address)
        page = page->next;
    return page;
}

/* The page's record, made if need be and watched if the owner of the memory wants that. */
static struct code_page *page_use(struct engine *engine, uint64_t address, unsigned how)
{
    struct code_page *page = page_find(engine, address);

    if (!page) {
        struct code_page **chain = page_chain(engine, address);

        page = arena(engine, sizeof(*page));
        if (!page)
            return NULL;
        *page = (struct code_page){.next = *chain, .address = address & ~(uint64_t)(PAGE - 1)};
        __atomic_store_n(chain, page, __ATOMIC_RELEASE);
    }
    if ((how & ENGINE_PAGE_WATCH) && !page->watched) {
        engine->config.memory.watch_stores(engine->config.memory.opaque, page->address, true);
        page->watched = true;
    }
    page->how = how;
    return page;
}

static bool page_add(struct engine *engine, uint64_t address, struct block *block)
{
    struct code_page *page = page_find(engine, address);
    struct page_blocks *entry = arena(engine, sizeof(*entry));

    if (!page || !entry)
        return false;
    *entry = (struct page_blocks){page->blocks, block};
    page->blocks = entry;
    return true;
}

/* How the page may be executed: asked for once, and again after it has changed. */
static unsigned page_how(struct engine *engine, uint64_t address)
{
    const struct code_page *page = page_find(engine, address);

    return page && page->how ? page->how
                             : engine->config.memory.page(engine->config.memory.opaque, address);
}

/* --- linking --- */

static void patch_site(struct engine *engine, const struct site *site, uint64_t target)
{
    engine->host->patch(cache_writable(engine, site->patch), site->patch, target);
}

static void link_site(struct engine *engine, uint32_t number, struct block *block)
{
    struct site *site = &engine->site[number];

    if (site->block->dead || block->dead || site->linked || site->target != block->pc ||
        site->block->set != block->set)
        return;
    site->linked = block;
    site->next = block->incoming;
    block->incoming = number + 1;
    patch_site(engine, site, block->exec);
    engine->counts.links++;
}

void block_link(struct vcpu *vcpu, uint32_t number, struct block *block)
{
    struct engine *engine = vcpu->engine;

    pthread_mutex_lock(&engine->lock);
    if (engine->generation == vcpu->generation && number < engine->site_count &&
        engine->site[number].cause == IR_EXIT_LINK)
        link_site(engine, number, block);
    pthread_mutex_unlock(&engine->lock);
}

/* Links a new site if its target is there; else it waits for it. */
static void link_or_wait(struct engine *engine, uint32_t number)
{
    struct site *site = &engine->site[number];
    struct block *block = block_find(engine, site->target, site->block->set);
    uint32_t *chain = &engine->waiting[hash_of(site->target, 0)];

    if (block) {
        link_site(engine, number, block);
    } else {
        site->next_waiting = *chain;
        *chain = number + 1;
    }
}

/* A new block: links the sites that wait for it. */
static void link_waiting(struct engine *engine, struct block *block)
{
    uint32_t *at = &engine->waiting[hash_of(block->pc, 0)];

    while (*at) {
        struct site *site = &engine->site[*at - 1];

        if (site->target != block->pc || site->block->set != block->set) {
            at = &site->next_waiting;
            continue;
        }
        link_site(engine, *at - 1, block);
        *at = site->next_waiting;
    }
}

/* --- making --- */

bool guest_read(struct engine *engine, uint64_t address, void *to, size_t size)
{
    const struct engine_memory *memory = &engine->config.memory;

    if (memory->read)
        return memory->read(memory->opaque, address, to, size);
    memcpy(to, (const void *)(uintptr_t)address, size); // NOLINT
    return true;
}

size_t guest_read_code(struct engine *engine, uint64_t address, void *to, size_t first, size_t size)
{
    if (guest_read(engine, address, to, size))
        return size;
    return first < size && guest_read(engine, address, to, first) ? first : 0;
}

/* Whether anything is mapped there, whatever may be done with it: Linux tells SEGV_ACCERR from
 * SEGV_MAPERR by that. */
static bool is_mapped(uint64_t address)
{
    unsigned char there;

    return mincore((void *)(uintptr_t)(address & ~(uint64_t)(PAGE - 1)), 1, &there) == 0; // NOLINT
}

static void page_fault(struct vcpu *vcpu, uint64_t address, bool mapped, uint32_t error)
{
    vcpu->fault = (struct vcpu_fault){
        .signal = SIGSEGV,
        .code = mapped ? SEGV_ACCERR : SEGV_MAPERR,
        .address = address,
        .trap = TRAP_PAGE_FAULT,
        .error = error,
    };
}

void access_fault(struct vcpu *vcpu, uint64_t address, uint32_t error)
{
    const struct engine_memory *memory = &vcpu->engine->config.memory;

    /* Where it works now, another thread has just made it possible. */
    if (!memory->touch || memory->touch(memory->opaque, address, error & ERROR_WRITE, &vcpu->fault))
        page_fault(vcpu, address, is_mapped(address), error);
}

/* For the guest, nothing is where the code cache is. */
static bool is_own(const struct engine *engine, uint64_t address)
{
    return address - engine->exec < engine->cache_size ||
           address - (uint64_t)(uintptr_t)engine->write < engine->cache_size;
}

void fetch_fault(struct vcpu *vcpu, uint64_t address)
{
    const struct engine_memory *memory = &vcpu->engine->config.memory;
    bool mapped = is_mapped(address);

    if (is_own(vcpu->engine, address))
        page_fault(vcpu, address, false, ERROR_USER);
    else if (!memory->touch || memory->touch(memory->opaque, address, false, &vcpu->fault))
        /* What can be read is present: Linux has made it so, and only then refuses the fetch. */
        page_fault(vcpu, address, mapped, ERROR_USER | (mapped ? ERROR_PRESENT : 0));
    if (vcpu->fault.trap == TRAP_PAGE_FAULT)
        vcpu->fault.error |= ERROR_FETCH;
}

struct source {
    unsigned size;  /* bytes that may be read at pc */
    bool checked;   /* they may change unseen */
    uint64_t fault; /* where the bytes end, if they do */
};

/* What can be read at pc; marks the pages as code first, so that what is read stays true. */
static bool source_at(struct engine *engine, uint64_t pc, struct source *source)
{
    unsigned how = page_how(engine, pc);
    unsigned first = PAGE - (unsigned)(pc & (PAGE - 1));

    *source = (struct source){0};
    if (!(how & ENGINE_PAGE_EXEC) || !page_use(engine, pc, how))
        return false;
    source->size = first;
    source->checked = how & ENGINE_PAGE_CHECKED;
    source->fault = pc + first;
    /* An instruction may go on in the next page; blocks do not, so that they die with few pages. */
    if (first < 16) {
        how = page_how(engine, pc + first);
        if ((how & ENGINE_PAGE_EXEC) && page_use(engine, pc + first, how)) {
            source->size += PAGE;
            source->checked = source->checked || (how & ENGINE_PAGE_CHECKED);
        }
    }
    return true;
}

/* Puts the operations that the engine wants at the head of the block in front of all others. */
static void plant_head(struct ir_block *ir, const struct ir_op *op, unsigned count)
{
    const unsigned at = 1; /* behind the mark of the first instruction */

    memmove(&ir->op[at + count], &ir->op[at], (ir->op_count - at) * sizeof(*op));
    memcpy(&ir->op[at], op, count * sizeof(*op));
    ir->op_count += count;
}

static void plant(struct engine *engine, struct ir_block *ir, const struct source *source,
                  uint32_t set)
{
    unsigned kinds = probes_counted(engine, set & ~SET_STEP);

    if (engine->options.count)
        kinds |= 1u << COUNTED_INSTRUCTIONS;
    engine->group_counted[engine->code->block_count] = (uint8_t)kinds;
    engine->group_run[engine->code->block_count] = engine->probe_site_count;
    probes_plant(engine, ir, set & ~SET_STEP);
    if (source->checked || engine->options.self_check) {
        ir->source = engine->source;
        plant_head(ir, &(struct ir_op){.op = IR_CHECK_CODE, .size = 8}, 1);
    }
}

/* Translates and emits the block at pc. False: there is nothing to execute there. */
static bool emit_block(struct vcpu *vcpu, uint64_t pc, bool indirect, unsigned limit,
                       uint64_t *next)
{
    struct engine *engine = vcpu->engine;
    struct ir_block *ir = engine->ir;
    struct ir_op *last;
    struct source source;

    *next = 0;
    if (!source_at(engine, pc, &source)) {
        fetch_fault(vcpu, pc);
        return false;
    }
    if (source.size > SOURCE_BYTES)
        source.size = SOURCE_BYTES;
    source.size = (unsigned)guest_read_code(engine, pc, engine->source, (size_t)(source.fault - pc),
                                            source.size);
    if (source.size == 0) {
        fetch_fault(vcpu, pc);
        return false;
    }
    ir_block_begin(ir, pc);
    ir->indirect_entry = indirect;
    ir->ends_at_stores = source.checked || engine->options.self_check;
    ir->each_access = probes_each_access(engine, vcpu->set & ~SET_STEP);
    if (engine->guest->translate(engine->config.guest_config, ir, engine->source, source.size,
                                 vcpu->set & SET_STEP ? 1 : engine->options.block_limit) ==
        IR_SHORT) {
        fetch_fault(vcpu, source.fault);
        return false;
    }
    plant(engine, ir, &source, vcpu->set);
    ir_liveness(ir, engine->options.no_liveness);
    count_plant(engine, ir);
    if (log_item_on(LOG_OP))
        log_ir(ir);
    last = &ir->op[ir->op_count - 1];
    if (last->op == IR_JUMP && engine->code->block_count + 1 < limit && vcpu_chains(vcpu) &&
        !engine->options.one_instruction && !block_find(engine, last->imm, vcpu->set) &&
        (page_how(engine, last->imm) & ENGINE_PAGE_EXEC)) {
        *next = last->imm;
        for (unsigned i = 0; i < engine->code->block_count; i++)
            if (engine->group_pc[i] == last->imm)
                *next = 0;
        if (last->imm == pc)
            *next = 0;
        ir->falls_through = *next != 0;
    }
    engine->group_pc[engine->code->block_count] = pc;
    engine->host->emit(engine->code, &engine->glue, ir);
    return true;
}

/* A block that the one before runs into, and which cannot be translated now: only a jump. */
static void emit_landing(struct engine *engine, uint64_t pc)
{
    struct ir_block *ir = engine->ir;

    ir_block_begin(ir, pc);
    ir_append_jump(ir, pc);
    ir_liveness(ir, false);
    engine->group_counted[engine->code->block_count] = 0;
    engine->group_pc[engine->code->block_count] = pc;
    engine->host->emit(engine->code, &engine->glue, ir);
}

static struct block *record_block(struct engine *engine, unsigned index, uint32_t set,
                                  const uint16_t *insns, unsigned insn_count, unsigned bytes)
{
    const struct ir_code *code = engine->code;
    const struct ir_entry *entry = &code->block[index];
    struct block *block = arena(engine, sizeof(*block));
    struct ir_point *point = arena(engine, entry->points * sizeof(*point));
    uint16_t *insn = arena(engine, (insn_count + 1) * sizeof(*insn));

    if (!block || !point || !insn)
        return NULL;
    memcpy(point, &code->point[entry->point], entry->points * sizeof(*point));
    memcpy(insn, insns, (insn_count + 1) * sizeof(*insn));
    *block = (struct block){
        .pc = engine->group_pc[index],
        .exec = code->exec + entry->entry,
        .indirect = entry->indirect || entry->entry != entry->start ? code->exec + entry->start : 0,
        .start = code->exec + entry->start,
        .end = code->exec + entry->end,
        .base = code->exec,
        .point = point,
        .insn = insn,
        .points = entry->points,
        .set = set,
        .counted = engine->group_counted[index],
        .count_at = engine->group_count_at[index],
        .run_first = engine->group_run[index],
        .bytes = (uint16_t)bytes,
        .insns = (uint8_t)insn_count,
    };
    return block;
}

static void record_site(struct engine *engine, const struct ir_site *site, struct block *block)
{
    struct site *new_site = &engine->site[engine->site_count++];

    *new_site = (struct site){
        .block = block,
        .target = site->target,
        .patch = engine->code->exec + site->patch,
        .stub = engine->code->exec + site->stub,
        .cause = site->cause,
        .insn = site->insn,
    };
}

static void publish(struct engine *engine, struct block *block)
{
    struct block **chain = &engine->hash[hash_of(block->pc, block->set)];

    block->next = *chain;
    __atomic_store_n(chain, block, __ATOMIC_RELEASE);
}

static uint64_t now_ns(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}

/* The group at pc, into engine->code; what is known of its blocks beside the code, into `shape`. */
struct shape {
    unsigned insn_count, bytes;
    uint16_t insn[IR_BLOCK_INSNS + 1];
    bool landing;
};

static enum block_made emit_group(struct vcpu *vcpu, uint64_t pc, bool indirect, unsigned limit,
                                  struct shape *shape)
{
    struct engine *engine = vcpu->engine;
    struct ir_code *code = engine->code;
    uint64_t next = pc;

    code->write = engine->write + engine->used;
    code->exec = engine->exec + engine->used;
    code->room = engine->cache_size - engine->used;
    code->size = 0;
    code->full = false;
    code->first_site = engine->site_count;
    code->block_count = code->site_count = code->point_count = code->pool_count = 0;
    do {
        struct shape *s = &shape[code->block_count];
        uint64_t here = next;

        s->landing = false;
        if (!emit_block(vcpu, here, indirect && here == pc, limit, &next)) {
            if (code->block_count == 0)
                return BLOCK_FAULT;
            emit_landing(engine, here);
            s->landing = true;
            next = 0;
        }
        s->insn_count = engine->ir->insn_count;
        s->bytes = engine->ir->bytes;
        for (unsigned i = 0; i < s->insn_count; i++)
            s->insn[i] = engine->ir->insn[i].offset;
        s->insn[s->insn_count] = (uint16_t)s->bytes;
    } while (next != 0 && !code->full);
    engine->host->finish(code, &engine->glue);
    return code->full ? BLOCK_FULL : BLOCK_MADE;
}

static enum block_made record_group(struct vcpu *vcpu, const struct shape *shape,
                                    struct block **made)
{
    struct engine *engine = vcpu->engine;
    struct ir_code *code = engine->code;
    struct block *block[IR_GROUP_BLOCKS];
    bool eager = vcpu_chains(vcpu) && !engine->options.random_exits;
    uint32_t first_site;

    for (unsigned i = 0; i < code->block_count; i++) {
        block[i] =
            record_block(engine, i, vcpu->set, shape[i].insn, shape[i].insn_count, shape[i].bytes);
        if (!block[i])
            return BLOCK_FULL;
        if (i > 0)
            block[i]->falls_from = block[i - 1];
    }
    for (unsigned i = 0; i < code->site_count; i++)
        record_site(engine, &code->site[i], block[code->site[i].block]);
    first_site = engine->site_count - code->site_count;
    for (unsigned i = 0; i < code->block_count; i++) {
        uint64_t last = block[i]->pc + (block[i]->bytes ? block[i]->bytes - 1u : 0);

        engine->by_code[engine->by_code_count] = block[i];
        __atomic_store_n(&engine->by_code_count, engine->by_code_count + 1, __ATOMIC_RELEASE);
        if (shape[i].landing)
            continue;
        if (!page_add(engine, block[i]->pc, block[i]) ||
            ((last ^ block[i]->pc) >> PAGE_BITS && !page_add(engine, last, block[i])))
            return BLOCK_FULL;
        engine->counts.made_blocks++;
        engine->counts.made_insns += block[i]->insns;
        engine->counts.made_bytes += block[i]->bytes;
        if (eager)
            link_waiting(engine, block[i]);
        trace_translate_block((void *)(uintptr_t)block[i]->pc, (uintptr_t)block[i]->pc,
                              (void *)(uintptr_t)block[i]->exec);
        publish(engine, block[i]);
    }
    engine->counts.made_code += code->size;
    engine->used += code->size;
    *made = block[0];
    for (uint32_t i = first_site; eager && i < engine->site_count; i++)
        if (engine->site[i].cause == IR_EXIT_LINK)
            link_or_wait(engine, i);
    if (log_item_on(LOG_IN_ASM) || log_item_on(LOG_OUT_ASM))
        log_blocks(engine, block, code->block_count);
    return BLOCK_MADE;
}

enum block_made block_make(struct vcpu *vcpu, uint64_t pc, bool indirect, struct block **made)
{
    struct engine *engine = vcpu->engine;
    static _Thread_local struct shape shape[IR_GROUP_BLOCKS];
    bool timed = log_item_on(LOG_JIT_STATS);
    uint64_t began = timed ? now_ns() : 0;
    enum block_made result;

    pthread_mutex_lock(&engine->lock);
    *made = block_find(engine, pc, vcpu->set);
    if (*made) { /* another thread was first */
        pthread_mutex_unlock(&engine->lock);
        return BLOCK_MADE;
    }
    result = tables_full(engine) ? BLOCK_FULL : emit_group(vcpu, pc, indirect, GROUP_LIMIT, shape);
    if (result == BLOCK_FULL && !tables_full(engine)) /* not in one piece */
        result = emit_group(vcpu, pc, indirect, 1, shape);
    if (result == BLOCK_FULL && engine->by_code_count == 0)
        bug("the block at %#lx does not fit into an empty code cache", (unsigned long)pc);
    if (result == BLOCK_MADE)
        result = record_group(vcpu, shape, made);
    if (timed)
        engine->counts.translate_ns += now_ns() - began;
    pthread_mutex_unlock(&engine->lock);
    return result;
}

/* Lock held. */
static bool make_indirect_entry(struct engine *engine, struct block *block)
{
    struct ir_code *code = engine->code;

    if (block->indirect)
        return true;
    code->write = engine->write + engine->used;
    code->exec = engine->exec + engine->used;
    code->room = engine->cache_size - engine->used;
    code->size = 0;
    code->full = false;
    engine->host->indirect_entry(code, &engine->glue, block->pc, block->exec);
    if (code->full)
        return false;
    engine->used += code->size;
    engine->counts.made_code += code->size;
    block->indirect = code->exec;
    return true;
}

/* Its place in the jump table is taken. */
static void remember_second(struct vcpu *vcpu, const struct block *block)
{
    struct ir_second *second = &vcpu->second_table[vcpu->engine->host->second(block->pc)];

    __atomic_store_n(&second->exec, 0, __ATOMIC_RELEASE);
    __atomic_store_n(&second->tag, -block->pc - 1, __ATOMIC_RELEASE);
    __atomic_store_n(&second->exec, block->exec, __ATOMIC_RELEASE);
}

void block_remember(struct vcpu *vcpu, struct block *block)
{
    struct engine *engine = vcpu->engine;

    pthread_mutex_lock(&engine->lock);
    if (engine->generation == vcpu->generation && !block->dead && block->set == vcpu->set) {
        uint64_t *place = &vcpu->jump_table[block->pc & ((1u << IR_JUMP_BITS) - 1)];

        if (*place != engine->glue.empty)
            remember_second(vcpu, block);
        else if (make_indirect_entry(engine, block))
            __atomic_store_n(place, block->indirect, __ATOMIC_RELAXED);
    }
    pthread_mutex_unlock(&engine->lock);
}

/* --- killing --- */

static void unpublish(struct engine *engine, struct block *block)
{
    struct block **at = &engine->hash[hash_of(block->pc, block->set)];

    while (*at && *at != block)
        at = &(*at)->next;
    if (*at)
        __atomic_store_n(at, block->next, __ATOMIC_RELEASE);
}

static void forget_indirect(struct engine *engine, const struct block *block)
{
    unsigned index = block->pc & ((1u << IR_JUMP_BITS) - 1);

    for (struct vcpu *vcpu = engine->vcpus; vcpu; vcpu = vcpu->next) {
        struct ir_second *second = &vcpu->second_table[engine->host->second(block->pc)];

        if (second->exec == block->exec) {
            __atomic_store_n(&second->exec, 0, __ATOMIC_RELEASE);
            __atomic_store_n(&second->tag, 0, __ATOMIC_RELEASE);
        }
    }
    for (struct vcpu *vcpu = engine->vcpus; block->indirect && vcpu; vcpu = vcpu->next)
        if (vcpu->jump_table[index] == block->indirect)
            __atomic_store_n(&vcpu->jump_table[index], engine->glue.empty, __ATOMIC_RELAXED);
}

void block_kill(struct engine *engine, struct block *block)
{
    while (block && !block->dead) {
        __atomic_store_n(&block->dead, true, __ATOMIC_RELAXED);
        engine->counts.kills++;
        unpublish(engine, block);
        for (uint32_t number = block->incoming; number != 0;) {
            struct site *site = &engine->site[number - 1];

            number = site->next;
            site->linked = NULL;
            patch_site(engine, site, site->stub);
        }
        block->incoming = 0;
        forget_indirect(engine, block);
        block = block->falls_from;
    }
}

void block_stale(struct vcpu *vcpu, struct block *block)
{
    pthread_mutex_lock(&vcpu->engine->lock);
    if (vcpu->engine->generation == vcpu->generation)
        block_kill(vcpu->engine, block);
    pthread_mutex_unlock(&vcpu->engine->lock);
}

void blocks_reset(struct engine *engine)
{
    for (struct code_page **chain = engine->pages; chain < engine->pages + (1 << ENGINE_PAGES_BITS);
         chain++) {
        for (struct code_page *page = *chain; page; page = page->next)
            if (page->watched)
                engine->config.memory.watch_stores(engine->config.memory.opaque, page->address,
                                                   false);
        *chain = NULL;
    }
    probes_reset(engine);
    counts_reset(engine);
    madvise(engine->hash, sizeof(*engine->hash) << ENGINE_HASH_BITS, MADV_DONTNEED);
    madvise(engine->waiting, sizeof(*engine->waiting) << ENGINE_HASH_BITS, MADV_DONTNEED);
    engine->by_code_count = 0;
    engine->site_count = 0;
    engine->arena_used = 0;
    engine->used = engine->glue_size;
}

static void page_kill(struct engine *engine, struct code_page *page)
{
    for (struct page_blocks *entry = page->blocks; entry; entry = entry->next)
        block_kill(engine, entry->block);
    if (page->watched)
        engine->config.memory.watch_stores(engine->config.memory.opaque, page->address, false);
    page->blocks = NULL;
    page->watched = false;
    page->how = 0;
}

void engine_invalidate(struct engine *engine, uint64_t start, uint64_t end)
{
    pthread_mutex_lock(&engine->lock);
    start &= ~(uint64_t)(PAGE - 1);
    if ((end - start) >> PAGE_BITS > 1u << ENGINE_PAGES_BITS) {
        for (unsigned i = 0; i < 1u << ENGINE_PAGES_BITS; i++)
            for (struct code_page *page = engine->pages[i]; page; page = page->next)
                if (page->address >= start && page->address < end)
                    page_kill(engine, page);
    } else {
        for (uint64_t address = start; address < end; address += PAGE) {
            struct code_page *page = page_find(engine, address);

            if (page)
                page_kill(engine, page);
        }
    }
    pthread_mutex_unlock(&engine->lock);
}

bool engine_has_code(struct engine *engine, uint64_t start, uint64_t end)
{
    for (uint64_t address = start & ~(uint64_t)(PAGE - 1); address < end; address += PAGE) {
        struct code_page *page = __atomic_load_n(page_chain(engine, address), __ATOMIC_ACQUIRE);

        for (; page; page = page->next)
            if (page->address == address && (page->watched || page->blocks))
                return true;
    }
    return false;
}

/* --- from code back to blocks --- */

bool block_at(struct engine *engine, uint64_t exec, struct block **found, struct ir_point *point)
{
    uint32_t low = 0, high = __atomic_load_n(&engine->by_code_count, __ATOMIC_ACQUIRE);
    const struct block *block;
    uint32_t first, last;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;

        if (engine->by_code[middle]->start <= exec)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == 0)
        return false;
    *found = engine->by_code[low - 1];
    block = *found;
    first = 0;
    last = block->points;
    while (first < last) {
        uint32_t middle = first + (last - first) / 2;

        if (block->base + block->point[middle].host <= exec)
            first = middle + 1;
        else
            last = middle;
    }
    if (exec >= block->end || first == 0) {
        *point = (struct ir_point){.flags = IR_POINT_COLD};
        return true;
    }
    *point = block->point[first - 1];
    if (block->base + point->host != exec)
        point->flags &= (uint8_t)~IR_POINT_BOUNDARY;
    return true;
}
