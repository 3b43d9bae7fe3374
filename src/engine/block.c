/* SPDX-License-Identifier: MIT
 *
 * Blocks: found, made, linked, killed.
 *
 * A block is made together with those it runs into (a group): where a block ends in a jump to a
 * place that is not translated yet, that place comes right behind it, and the jump is left out. So
 * the not-taken side of a conditional jump costs nothing, and each block is still a basic block.
 * Behind that come the blocks that its calls will return to, with entries for indirect jumps.
 */
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "base/error.h"
#include "base/logitems.h"
#include "base/memory.h"
#include "engine/internal.h"
#include "trace-engine.h"

enum {
    GROUP_LIMIT = IR_GROUP_BLOCKS,
    PAGE = 1 << PAGE_BITS,
    GROUP_ROOM = 128 << 10, /* of code: a group that needs more is not made in one piece */
    TRAP_PAGE_FAULT = 14,
    ERROR_PRESENT = 1, /* of a page fault */
    ERROR_WRITE = 2,
    ERROR_USER = 4,
    ERROR_FETCH = 16,
};

/* Neighbours in the guest are neighbours in the hash: what is looked up together is in the cache
 * together. */
static struct hash_place *place_of(const struct engine *engine, uint64_t pc)
{
    uint64_t index = (pc >> 3) + (pc >> (3 + ENGINE_HASH_BITS)) * UINT64_C(0x9e3779b9);

    return &engine->hash[index & ((1u << ENGINE_HASH_BITS) - 1)];
}

/* One of 32 bits. */
static uint32_t mark_of(uint64_t pc, uint32_t set)
{
    return 1u << ((pc + set * UINT64_C(0x632be5ab)) * UINT64_C(0x9e3779b97f4a7c15) >> 59);
}

/* The chain with one more in front. */
static uint64_t chain_add(uint64_t chain, uint32_t number, uint32_t mark)
{
    return (chain & ~(uint64_t)UINT32_MAX) | (uint64_t)mark << 32 | number;
}

/* Its first, if any that bears this mark may be in it. */
static uint32_t chain_first(uint64_t chain, uint32_t mark)
{
    return chain >> 32 & mark ? (uint32_t)chain : 0;
}

/* A block by its number +1. */
static struct block *numbered(const struct engine *engine, uint32_t number)
{
    return number ? &engine->block[number - 1] : NULL;
}

struct block *block_find(struct engine *engine, uint64_t pc, uint32_t set, uint32_t frame)
{
    uint64_t chain = __atomic_load_n(&place_of(engine, pc)->blocks, __ATOMIC_ACQUIRE);
    struct block *block = numbered(engine, chain_first(chain, mark_of(pc, set)));

    while (block && (block->pc != pc || block->set != set || block->frame != frame))
        block = numbered(engine, __atomic_load_n(&block->next, __ATOMIC_ACQUIRE));
    return block;
}

/* --- memory --- */

static void *arena(struct engine *engine, size_t size)
{
    void *at = engine->arena + engine->arena_used;

    size = (size + 7) & ~(size_t)7;
    if (engine->arena_used + size > engine->arena_table.size)
        return NULL;
    engine->arena_used += size;
    return at;
}

static bool tables_full(const struct engine *engine)
{
    return engine->used + GROUP_ROOM / 16 > engine->cache_size ||
           engine->block_count + IR_GROUP_BLOCKS > engine->block_max ||
           engine->site_count + IR_GROUP_SITES > engine->site_max ||
           engine->arena_used + (256 << 10) > engine->arena_table.size || probes_full(engine) ||
           engine->count_slots + IR_GROUP_BLOCKS > COUNT_SLOTS;
}

static void tables_ready(struct engine *engine)
{
    cache_ready(engine);
    table_ready(&engine->arena_table, engine->arena_used);
    table_ready(&engine->block_table, engine->block_count * sizeof(struct block));
    table_ready(&engine->site_table, engine->site_count * sizeof(struct site));
}

/* --- pages --- */

static struct code_page **page_chain(struct engine *engine, uint64_t address)
{
    uint64_t number = address >> PAGE_BITS;

    return &engine->pages[(number ^ number >> ENGINE_PAGES_BITS) & ((1u << ENGINE_PAGES_BITS) - 1)];
}

struct code_page *page_find(struct engine *engine, uint64_t address)
{
    struct code_page *page = *page_chain(engine, address);

    address &= ~(uint64_t)(PAGE - 1);
    while (page && page->address != address)
        page = page->next;
    return page;
}

/* Stores to the page are to be heard of, or need not be. */
static void watch(struct engine *engine, const struct code_page *page, bool on)
{
    if (page->region)
        mem_mark(page->region, page->offset, MEM_MARK_CODE, on);
    else
        engine->config.memory.watch_stores(engine->config.memory.opaque, page->address, on);
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
        watch(engine, page, true);
        page->watched = true;
    }
    page->how = how;
    return page;
}

static bool page_add_block(struct engine *engine, struct code_page *page, struct block *block)
{
    struct page_blocks *entry = arena(engine, sizeof(*entry));

    if (!entry)
        return false;
    *entry = (struct page_blocks){page->blocks, block};
    page->blocks = entry;
    return true;
}

/* The frame of an instruction that lies on the place's two pages; 0: no memory for it. */
static uint32_t pair_of(struct engine *engine, const struct code_place *place, bool make)
{
    struct page_pair *pair = place->page->pairs;

    while (pair && pair->second != place->second)
        pair = pair->next;
    if (!pair && make) {
        if (engine->pairs + 1 >= engine->pairs_max) {
            engine->pairs_max = engine->pairs_max ? 2 * engine->pairs_max : 256;
            engine->pair = mem_resize(engine->pair, engine->pairs_max, sizeof(struct page_pair *));
        }
        pair = arena(engine, sizeof(*pair));
        if (!pair)
            return 0;
        *pair = (struct page_pair){place->page->pairs, place->page, place->second,
                                   ++engine->pairs | FRAME_PAIR};
        engine->pair[engine->pairs] = pair;
        place->page->pairs = pair;
    }
    return pair ? pair->number : 0;
}

/* In system mode. */
static bool frame_add(struct engine *engine, struct block *block, unsigned offset)
{
    const struct code_place *place = engine->group_place;

    if (offset + block->bytes > PAGE) {
        block->frame = pair_of(engine, place, true);
        return block->frame && page_add_block(engine, place->page, block) &&
               page_add_block(engine, place->second, block);
    }
    block->next_on_page = place->page->first;
    place->page->first = block_number(engine, block) + 1;
    return true;
}

struct block *block_find_at(struct engine *engine, uint64_t pc, uint32_t set,
                            const struct code_place *place)
{
    struct block *block = block_find(engine, pc, set, place->page->number);
    uint32_t pair = !block && place->second ? pair_of(engine, place, false) : 0;

    return pair ? block_find(engine, pc, set, pair) : block;
}

struct code_page *block_page(struct engine *engine, const struct mem_region *region,
                             uint64_t offset, uint64_t address)
{
    struct code_page *page = page_find(engine, address);
    struct code_page **chain = page_chain(engine, address);

    if (page)
        return page;
    page = arena(engine, sizeof(*page));
    if (!page)
        return NULL;
    *page = (struct code_page){.next = *chain,
                               .address = address,
                               .region = region,
                               .offset = offset,
                               .number = ++engine->frames};
    __atomic_store_n(chain, page, __ATOMIC_RELEASE);
    return page;
}

/* The block dies with the pages that it has bytes on, at most two. */
static bool pages_add(struct engine *engine, struct block *block)
{
    uint64_t last = block->pc + (block->bytes ? block->bytes - 1u : 0);
    struct code_page *page = page_find(engine, block->pc);
    struct page_blocks *entry;

    if (!page)
        return false;
    block->next_on_page = page->first;
    page->first = block_number(engine, block) + 1;
    if ((last ^ block->pc) >> PAGE_BITS == 0)
        return true;
    page = page_find(engine, last);
    entry = arena(engine, sizeof(*entry));
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

static void patch_site(struct engine *engine, const struct site *site, uint32_t target)
{
    engine->host->patch(engine->write + site->patch, engine->exec + site->patch,
                        engine->exec + target);
}

/* Takes a site out of the list of those that wait. */
static void wait_no_more(struct engine *engine, uint32_t number)
{
    struct site *site = &engine->site[number];
    uint64_t *chain = &place_of(engine, site->target)->waiting;
    uint32_t before = (uint32_t)*chain;

    site->waits = false;
    if (before == number + 1) {
        *chain = chain_add(*chain, site->next, 0);
        return;
    }
    while (engine->site[before - 1].next != number + 1)
        before = engine->site[before - 1].next;
    engine->site[before - 1].next = site->next;
}

/* The page that a block's jumps stay on; 0 in user mode. */
static uint32_t own_frame(const struct engine *engine, const struct block *block)
{
    return block->frame & FRAME_PAIR ? engine->pair[block->frame & ~FRAME_PAIR]->first->number
                                     : block->frame;
}

static bool may_link(const struct engine *engine, const struct site *site,
                     const struct block *block)
{
    const struct block *from = &engine->block[site->block];

    return !from->dead && !block->dead && !site->linked && site->target == block->pc &&
           from->set == block->set && own_frame(engine, from) == block->frame;
}

/* The site does not wait. */
static void link_site(struct engine *engine, uint32_t number, struct block *block)
{
    struct site *site = &engine->site[number];

    site->linked = block_number(engine, block) + 1;
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
        engine->site[number].cause == IR_EXIT_LINK &&
        may_link(engine, &engine->site[number], block)) {
        if (engine->site[number].waits)
            wait_no_more(engine, number);
        link_site(engine, number, block);
    }
    pthread_mutex_unlock(&engine->lock);
}

/* Links a new site if its target is there; else it waits for it. */
static void link_or_wait(struct engine *engine, uint32_t number)
{
    struct site *site = &engine->site[number];
    const struct block *from = &engine->block[site->block];
    struct block *block = block_find(engine, site->target, from->set, own_frame(engine, from));
    uint64_t *chain = &place_of(engine, site->target)->waiting;

    if (block) {
        if (may_link(engine, site, block))
            link_site(engine, number, block);
    } else {
        site->waits = true;
        site->next = (uint32_t)*chain;
        *chain = chain_add(*chain, number + 1, mark_of(site->target, 0));
    }
}

/* A new block: links the sites that wait for it. */
static void link_waiting(struct engine *engine, struct block *block)
{
    uint64_t *chain = &place_of(engine, block->pc)->waiting;
    uint32_t number = chain_first(*chain, mark_of(block->pc, 0)), next, before = 0;

    for (; number; number = next) {
        struct site *site = &engine->site[number - 1];

        bool dead = engine->block[site->block].dead; /* it waits no more */

        next = site->next;
        if (!dead && !may_link(engine, site, block)) {
            before = number;
            continue;
        }
        if (before)
            engine->site[before - 1].next = next;
        else
            *chain = chain_add(*chain, next, 0);
        site->waits = false;
        if (!dead)
            link_site(engine, number - 1, block);
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

enum {
    MOST_BLOCKS = 128, /* bytes that most blocks are shorter than */
    LONGEST_INSN = 16,
};

/* Translates the block at pc from its first `size` bytes. False: there are too few for one
 * instruction. */
static bool translate(struct vcpu *vcpu, uint64_t pc, bool indirect, const struct source *source,
                      unsigned size)
{
    struct engine *engine = vcpu->engine;
    struct ir_block *ir = engine->ir;

    ir_block_begin(ir, pc);
    ir->indirect_entry = indirect;
    ir->ends_at_stores = source->checked || engine->options.self_check;
    ir->each_access = probes_each_access(engine, vcpu->set & SET_PROBES);
    ir->begun = vcpu->set & SET_BEGUN;
    return engine->guest->translate(engine->config.guest_config, ir, engine->source, size,
                                    vcpu->set & SET_FLAGS ? 1 : engine->options.block_limit) !=
           IR_SHORT;
}

/* The bytes at pc, and their translation. False: there is nothing to execute. */
static bool read_and_translate(struct vcpu *vcpu, uint64_t pc, bool indirect, struct source *source)
{
    struct engine *engine = vcpu->engine;
    size_t first = (size_t)(source->fault - pc);
    unsigned size;

    if (source->size > SOURCE_BYTES)
        source->size = SOURCE_BYTES;
    if (source->size > MOST_BLOCKS) {
        size = (unsigned)guest_read_code(engine, pc, engine->source,
                                         first < MOST_BLOCKS ? first : MOST_BLOCKS, MOST_BLOCKS);
        if (size == MOST_BLOCKS && translate(vcpu, pc, indirect, source, size) &&
            engine->ir->bytes + LONGEST_INSN <= size)
            return true;
    }
    source->size = (unsigned)guest_read_code(engine, pc, engine->source, first, source->size);
    if (source->size == 0) {
        fetch_fault(vcpu, pc);
        return false;
    }
    if (!translate(vcpu, pc, indirect, source, source->size)) {
        fetch_fault(vcpu, source->fault);
        return false;
    }
    return true;
}

/* System mode: translates the block at pc, which lies on the group's page. False: the first
 * instruction goes on behind the bytes that are known, or, within a group, on another page. */
static bool translate_at(struct vcpu *vcpu, uint64_t pc, bool indirect)
{
    struct engine *engine = vcpu->engine;
    const struct code_place *place = engine->group_place;
    struct ir_block *ir = engine->ir;
    bool first = engine->code->block_count == 0;
    unsigned offset = (place->offset + (unsigned)(pc - engine->group_pc[0])) & (PAGE - 1);
    unsigned size;

    if (first)
        offset = place->offset;
    ir_block_begin(ir, pc);
    soft_prepare(vcpu, ir);
    ir->indirect_entry = indirect;
    ir->page_room = size = PAGE - offset;
    if (size > SOURCE_BYTES)
        size = SOURCE_BYTES;
    memcpy(engine->source, (const uint8_t *)(uintptr_t)place->page->address + offset, // NOLINT
           size);
    if (place->second && size + LONGEST_INSN <= SOURCE_BYTES) {
        memcpy(engine->source + size, (const uint8_t *)(uintptr_t)place->second->address, // NOLINT
               LONGEST_INSN);
        size += LONGEST_INSN;
    }
    if (first && place->room < size && place->room < LONGEST_INSN)
        size = place->room;
    return engine->guest->translate(engine->config.guest_config, ir, engine->source, size,
                                    vcpu->set & SET_FLAGS ? 1 : engine->options.block_limit) !=
               IR_SHORT &&
           (first || ir->bytes <= ir->page_room);
}

/* Puts the operations that the engine wants at the head of the block in front of all others. */
static void plant_head(struct ir_block *ir, const struct ir_op *op, unsigned count)
{
    const unsigned at = 1; /* behind the mark of the first instruction */

    memmove(&ir->op[at + count], &ir->op[at], (ir->op_count - at) * sizeof(*op));
    memcpy(&ir->op[at], op, count * sizeof(*op));
    ir->op_count += count;
    ir->generic = true;
}

static void plant(struct engine *engine, struct ir_block *ir, const struct source *source,
                  uint32_t set)
{
    unsigned kinds = probes_counted(engine, set & SET_PROBES);

    if (ir->goes_on) /* its block has been counted */
        kinds &= ~(1u << COUNTED_BLOCK | 1u << COUNTED_TB);

    if (engine->options.count)
        kinds |= 1u << COUNTED_INSTRUCTIONS;
    engine->group_counted[engine->code->block_count] = (uint8_t)kinds;
    engine->group_run[engine->code->block_count] = engine->probe_site_count;
    if (engine->options.budget && engine->group_place && !(set & SET_BEGUN))
        plant_head(ir, &(struct ir_op){.op = IR_BUDGET, .size = 8, .imm = ir->insn_count}, 1);
    if (!engine->group_place)
        probes_plant(engine, ir, set & SET_PROBES);
    if (source->checked || engine->options.self_check) {
        ir->source = engine->source;
        plant_head(ir, &(struct ir_op){.op = IR_CHECK_CODE, .size = 8}, 1);
    }
}

/* System mode: whether pc lies on the page of the group that is being made. */
static bool on_page(const struct engine *engine, uint64_t pc)
{
    return pc - (engine->group_pc[0] - engine->group_place->offset) < PAGE;
}

static uint32_t group_frame(const struct engine *engine)
{
    return engine->group_place ? engine->group_place->page->number : 0;
}

/* Whether the block at pc may be one of the group, which has `count` blocks already. */
static bool may_come_along(struct vcpu *vcpu, uint64_t pc, unsigned count, unsigned limit)
{
    struct engine *engine = vcpu->engine;

    if (count >= limit || !vcpu_chains(vcpu) || engine->options.one_instruction ||
        block_find(engine, pc, vcpu->set, group_frame(engine)))
        return false;
    for (unsigned i = 0; i < count; i++)
        if (engine->group_pc[i] == pc)
            return false;
    return engine->group_place ? on_page(engine, pc) : page_how(engine, pc) & ENGINE_PAGE_EXEC;
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
    if (engine->group_place) {
        source = (struct source){0};
        if (!translate_at(vcpu, pc, indirect))
            return false;
    } else {
        if (!source_at(engine, pc, &source)) {
            fetch_fault(vcpu, pc);
            return false;
        }
        if (!read_and_translate(vcpu, pc, indirect, &source))
            return false;
    }
    last = &ir->op[ir->op_count - 1];
    if (last->op == IR_JUMP)
        __builtin_prefetch(place_of(engine, last->imm), 1);
    plant(engine, ir, &source, vcpu->set);
    if (ir->generic || engine->group_counted[engine->code->block_count] || log_item_on(LOG_OP))
        ir_liveness(ir, engine->options.no_liveness);
    count_plant(engine, ir);
    if (log_item_on(LOG_OP))
        log_ir(ir);
    last = &ir->op[ir->op_count - 1];
    engine->group_pc[engine->code->block_count] = pc;
    if (last->op == IR_JUMP && !last->cond &&
        may_come_along(vcpu, last->imm, engine->code->block_count + 1, limit))
        *next = last->imm;
    ir->falls_through = *next != 0;
    engine->group_return[engine->code->block_count] =
        last->reg == IR_KIND_CALL && (last->op == IR_JUMP || last->op == IR_JUMP_TARGET)
            ? pc + ir->bytes
            : 0;
    engine->host->emit(engine->code, &engine->glue, ir);
    return true;
}

/* A block that the one before runs into, and which cannot be translated now: only a jump. */
static void emit_landing(struct vcpu *vcpu, uint64_t pc)
{
    struct engine *engine = vcpu->engine;
    struct ir_block *ir = engine->ir;

    ir_block_begin(ir, pc);
    if (engine->group_place)
        soft_prepare(vcpu, ir);
    ir_append_jump(ir, pc);
    engine->group_counted[engine->code->block_count] = 0;
    engine->group_count_at[engine->code->block_count] = 0;
    engine->group_return[engine->code->block_count] = 0;
    engine->group_pc[engine->code->block_count] = pc;
    engine->host->emit(engine->code, &engine->glue, ir);
}

/* What is known of a block beside its code. */
struct shape {
    unsigned insn_count, bytes;
    uint8_t length[IR_BLOCK_INSNS];
    bool landing;
    bool falls_into; /* see struct block */
};

/* The packed side table of the group's block; its place in the arena. False: no room. */
static bool record_table(struct engine *engine, const struct ir_entry *entry,
                         const struct shape *shape, uint32_t *place)
{
    uint8_t *to = engine->arena + engine->arena_used;

    if (engine->arena_used + SIDE_TABLE_MAX(entry->points, shape->insn_count) >
        engine->arena_table.size)
        return false;
    *place = (uint32_t)engine->arena_used;
    return arena(engine, side_table_pack(to, &engine->code->point[entry->point], entry->points,
                                         entry->start, shape->length, shape->insn_count)) != NULL;
}

/* Fills in the block behind the last. It is not known yet. */
static bool record_block(struct engine *engine, unsigned index, uint32_t set,
                         const struct shape *shape)
{
    const struct ir_code *code = engine->code;
    const struct ir_entry *entry = &code->block[index];
    uint32_t base = (uint32_t)(code->exec - engine->exec), table;
    bool prologue = entry->indirect || entry->entry != entry->start;

    if (!record_table(engine, entry, shape, &table))
        return false;
    engine->block[engine->block_count + index] = (struct block){
        .pc = engine->group_pc[index],
        .exec = base + entry->entry,
        .indirect = prologue ? base + entry->start : 0,
        .start = base + entry->start,
        .end = base + entry->end,
        .base = base,
        .table = table,
        .set = set,
        .counted = engine->group_counted[index],
        .count_at = engine->group_count_at[index],
        .run_first = engine->group_run[index],
        .frame = group_frame(engine),
        .bytes = (uint16_t)shape->bytes,
        .insns = (uint8_t)shape->insn_count,
        .falls_into = shape->falls_into,
    };
    return true;
}

static void record_site(struct engine *engine, const struct ir_site *site, uint32_t block)
{
    uint32_t base = (uint32_t)(engine->code->exec - engine->exec);

    engine->site[engine->site_count++] = (struct site){
        .block = block,
        .target = site->target,
        .patch = base + site->patch,
        .stub = base + site->stub,
        .cause = site->cause,
        .insn = site->insn,
    };
    __builtin_prefetch(place_of(engine, site->target), 1);
}

static void publish(struct engine *engine, struct block *block)
{
    uint64_t *chain = &place_of(engine, block->pc)->blocks;
    uint32_t mark = mark_of(block->pc, block->set);

    engine->set_blocks[block->set & SET_PROBES]++;
    block->next = (uint32_t)*chain;
    __atomic_store_n(chain, chain_add(*chain, block_number(engine, block) + 1, mark),
                     __ATOMIC_RELEASE);
}

static uint64_t now_ns(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}

static void note_shape(const struct ir_block *ir, struct shape *shape)
{
    shape->insn_count = ir->insn_count;
    shape->bytes = ir->bytes;
    for (unsigned i = 0; i < ir->insn_count; i++)
        shape->length[i] = ir->insn[i].length;
}

/* The block at pc, and those that it runs into. False: there is nothing to execute at pc. */
static bool emit_chain(struct vcpu *vcpu, uint64_t pc, bool indirect, unsigned limit,
                       struct shape *shape)
{
    struct engine *engine = vcpu->engine;
    struct ir_code *code = engine->code;
    uint64_t here, next = pc;

    do {
        struct shape *s = &shape[code->block_count];

        here = next;
        s->falls_into = here != pc;
        s->landing = !emit_block(vcpu, here, indirect && here == pc, limit, &next);
        if (s->landing && here == pc)
            return false;
        if (s->landing) {
            emit_landing(vcpu, here);
            next = 0;
        }
        note_shape(engine->ir, s);
    } while (next != 0 && !code->full);
    return true;
}

/* The group at pc, into engine->code and `shape`. */
static enum block_made emit_group(struct vcpu *vcpu, uint64_t pc, bool indirect, unsigned limit,
                                  struct shape *shape)
{
    struct engine *engine = vcpu->engine;
    struct ir_code *code = engine->code;

    code->write = engine->write + engine->used;
    code->exec = engine->exec + engine->used;
    code->room = engine->cache_size - engine->used;
    code->size = 0;
    code->full = false;
    code->first_site = engine->site_count;
    code->block_count = code->site_count = code->point_count = code->pool_count = 0;
    if (!emit_chain(vcpu, pc, indirect, limit, shape))
        return BLOCK_FAULT;
    for (unsigned i = 0; i < code->block_count && !code->full; i++)
        if (engine->group_return[i] &&
            may_come_along(vcpu, engine->group_return[i], code->block_count, limit))
            emit_chain(vcpu, engine->group_return[i], true, limit, shape);
    engine->host->finish(code, &engine->glue);
    return code->full ? BLOCK_FULL : BLOCK_MADE;
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
    engine->host->indirect_entry(code, &engine->glue, block->pc, block_exec(engine, block));
    if (code->full)
        return false;
    engine->used += code->size;
    engine->counts.made_code += code->size;
    block->indirect = (uint32_t)(code->exec - engine->exec);
    if (engine->listener.made)
        tell_entry(engine, block, engine->used);
    return true;
}

/* Its place in the jump table is taken. */
static void remember_second(struct vcpu *vcpu, const struct block *block)
{
    struct ir_second *second = &vcpu->second_table[vcpu->engine->host->second(block->pc)];

    __atomic_store_n(&second->exec, 0, __ATOMIC_RELEASE);
    __atomic_store_n(&second->tag, -block->pc - 1, __ATOMIC_RELEASE);
    __atomic_store_n(&second->exec, block_exec(vcpu->engine, block), __ATOMIC_RELEASE);
}

/* Puts the block into the vCPU's tables for indirect jumps. Lock held. */
static void remember(struct vcpu *vcpu, struct block *block)
{
    struct engine *engine = vcpu->engine;
    uint64_t *place = &vcpu->jump_table[block->pc & ((1u << IR_JUMP_BITS) - 1)];

    if (vcpu->soft) {
        if (make_indirect_entry(engine, block))
            soft_remember(vcpu, block);
        return;
    }
    if (*place != engine->glue.empty)
        remember_second(vcpu, block);
    else if (make_indirect_entry(engine, block))
        __atomic_store_n(place, engine->exec + block->indirect, __ATOMIC_RELAXED);
}

/* Makes a recorded block known. */
static bool record_known(struct vcpu *vcpu, struct block *block, bool eager)
{
    struct engine *engine = vcpu->engine;

    if (engine->group_place
            ? !frame_add(engine, block,
                         (unsigned)(engine->group_place->offset + block->pc - engine->group_pc[0]) &
                             (PAGE - 1))
            : !pages_add(engine, block))
        return false;
    engine->counts.made_blocks++;
    engine->counts.made_insns += block->insns;
    engine->counts.made_bytes += block->bytes;
    if (eager)
        link_waiting(engine, block);
    trace_translate_block((void *)(uintptr_t)block->pc, (uintptr_t)block->pc,
                          (void *)(uintptr_t)block_exec(engine, block));
    publish(engine, block);
    if (eager && block->indirect)
        remember(vcpu, block);
    return true;
}

static enum block_made record_group(struct vcpu *vcpu, const struct shape *shape,
                                    struct block **made)
{
    struct engine *engine = vcpu->engine;
    struct ir_code *code = engine->code;
    uint32_t first = engine->block_count, first_site = engine->site_count;
    bool eager = vcpu_chains(vcpu) && !engine->options.random_exits;

    for (unsigned i = 0; i < code->block_count; i++)
        if (!record_block(engine, i, vcpu->set, &shape[i]))
            return BLOCK_FULL;
    for (unsigned i = 0; i < code->site_count; i++)
        record_site(engine, &code->site[i], first + code->site[i].block);
    for (unsigned i = 0; i < code->block_count; i++) {
        __atomic_store_n(&engine->block_count, first + i + 1, __ATOMIC_RELEASE);
        if (!shape[i].landing && !record_known(vcpu, &engine->block[first + i], eager))
            return BLOCK_FULL;
    }
    engine->counts.made_code += code->size;
    engine->used += code->size;
    *made = &engine->block[first];
    for (uint32_t i = first_site; eager && i < engine->site_count; i++)
        if (engine->site[i].cause == IR_EXIT_LINK)
            link_or_wait(engine, i);
    if (log_item_on(LOG_IN_ASM) || log_item_on(LOG_OUT_ASM))
        log_blocks(engine, &engine->block[first], code->block_count);
    if (engine->listener.made)
        tell_blocks(engine, &engine->block[first], code->block_count, engine->used);
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
    *made = block_find(engine, pc, vcpu->set, 0);
    if (*made) { /* another thread was first */
        pthread_mutex_unlock(&engine->lock);
        return BLOCK_MADE;
    }
    tables_ready(engine);
    result = tables_full(engine) ? BLOCK_FULL : emit_group(vcpu, pc, indirect, GROUP_LIMIT, shape);
    if (result == BLOCK_FULL && !tables_full(engine)) /* not in one piece */
        result = emit_group(vcpu, pc, indirect, 1, shape);
    if (result == BLOCK_FULL && engine->block_count == 0)
        bug("the block at %#lx does not fit into an empty code cache", (unsigned long)pc);
    if (result == BLOCK_MADE)
        result = record_group(vcpu, shape, made);
    if (timed)
        engine->counts.translate_ns += now_ns() - began;
    pthread_mutex_unlock(&engine->lock);
    return result;
}

enum block_made block_make_at(struct vcpu *vcpu, uint64_t pc, const struct code_place *place,
                              struct block **made)
{
    struct engine *engine = vcpu->engine;
    static _Thread_local struct shape shape[IR_GROUP_BLOCKS];
    enum block_made result;

    pthread_mutex_lock(&engine->lock);
    *made = NULL;
    if (!place->page->watched || (place->second && !place->second->watched)) {
        pthread_mutex_unlock(&engine->lock);
        return BLOCK_AGAIN;
    }
    *made = block_find_at(engine, pc, vcpu->set, place);
    if (*made) {
        pthread_mutex_unlock(&engine->lock);
        return BLOCK_MADE;
    }
    tables_ready(engine);
    engine->group_place = place;
    engine->group_pc[0] = pc;
    result = tables_full(engine) ? BLOCK_FULL : emit_group(vcpu, pc, true, GROUP_LIMIT, shape);
    if (result == BLOCK_FULL && !tables_full(engine)) /* not in one piece */
        result = emit_group(vcpu, pc, true, 1, shape);
    if (result == BLOCK_FULL && engine->block_count == 0)
        bug("the block at %#lx does not fit into an empty code cache", (unsigned long)pc);
    if (result == BLOCK_MADE)
        result = record_group(vcpu, shape, made);
    engine->group_place = NULL;
    pthread_mutex_unlock(&engine->lock);
    return result;
}

void block_remember(struct vcpu *vcpu, struct block *block)
{
    pthread_mutex_lock(&vcpu->engine->lock);
    if (vcpu->engine->generation == vcpu->generation && !block->dead && block->set == vcpu->set)
        remember(vcpu, block);
    pthread_mutex_unlock(&vcpu->engine->lock);
}

/* --- killing --- */

static void unpublish(struct engine *engine, const struct block *block)
{
    uint64_t *chain = &place_of(engine, block->pc)->blocks;
    uint32_t number = block_number(engine, block) + 1;
    struct block *before = numbered(engine, (uint32_t)*chain);

    if (before != block)
        while (before && before->next != number)
            before = numbered(engine, before->next);
    if (!before)
        return;
    engine->set_blocks[block->set & SET_PROBES]--;
    if (before == block)
        __atomic_store_n(chain, chain_add(*chain, block->next, 0), __ATOMIC_RELEASE);
    else
        __atomic_store_n(&before->next, block->next, __ATOMIC_RELEASE);
}

static void forget_indirect(struct engine *engine, const struct block *block)
{
    unsigned index = block->pc & ((1u << IR_JUMP_BITS) - 1);

    if (engine->config.space) {
        for (struct vcpu *vcpu = engine->vcpus; vcpu; vcpu = vcpu->next)
            soft_forget_entry(vcpu, block);
        return;
    }
    for (struct vcpu *vcpu = engine->vcpus; vcpu; vcpu = vcpu->next) {
        struct ir_second *second = &vcpu->second_table[engine->host->second(block->pc)];

        if (second->exec == block_exec(engine, block)) {
            __atomic_store_n(&second->exec, 0, __ATOMIC_RELEASE);
            __atomic_store_n(&second->tag, 0, __ATOMIC_RELEASE);
        }
    }
    for (struct vcpu *vcpu = engine->vcpus; block->indirect && vcpu; vcpu = vcpu->next)
        if (vcpu->jump_table[index] == engine->exec + block->indirect)
            __atomic_store_n(&vcpu->jump_table[index], engine->glue.empty, __ATOMIC_RELAXED);
}

static void kill_one(struct engine *engine, struct block *block)
{
    __atomic_store_n(&block->dead, true, __ATOMIC_RELAXED);
    engine->counts.kills++;
    unpublish(engine, block);
    for (uint32_t number = block->incoming; number != 0;) {
        struct site *site = &engine->site[number - 1];

        number = site->next;
        site->linked = 0;
        patch_site(engine, site, site->stub);
    }
    block->incoming = 0;
    forget_indirect(engine, block);
}

/* With it die those that run into it. */
void block_kill(struct engine *engine, struct block *block)
{
    for (; !block->dead; block--) {
        kill_one(engine, block);
        if (!block->falls_into)
            return;
    }
}

void blocks_kill_filtered(struct engine *engine)
{
    for (uint32_t i = 0; i < engine->block_count; i++) {
        uint32_t set = engine->block[i].set & SET_PROBES;

        if (engine->set_filtered[set] && set != engine->wanted_set)
            block_kill(engine, &engine->block[i]);
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
                watch(engine, page, false);
        *chain = NULL;
    }
    engine->frames = engine->pairs = 0;
    probes_reset(engine);
    counts_reset(engine);
    table_clear(&engine->hash_table);
    memset(engine->set_blocks, 0, sizeof(engine->set_blocks));
    engine->block_count = 0;
    engine->site_count = 0;
    engine->arena_used = 0;
    engine->used = engine->glue_size;
}

static void page_kill(struct engine *engine, struct code_page *page)
{
    for (struct block *block = numbered(engine, page->first); block;
         block = numbered(engine, block->next_on_page))
        block_kill(engine, block);
    for (struct page_blocks *entry = page->blocks; entry; entry = entry->next)
        block_kill(engine, entry->block);
    if (page->watched)
        watch(engine, page, false);
    page->first = 0;
    page->blocks = NULL;
    page->watched = false;
    page->how = 0;
}

/* Whether the block has one of the bytes [from, to) of the page. */
static bool lies_on(const struct engine *engine, const struct block *block,
                    const struct code_page *page, unsigned from, unsigned to)
{
    uint64_t base = engine->context[(block->set & ~SET_FLAGS) >> SET_CONTEXT_SHIFT].base;
    unsigned start = (unsigned)(block->pc + base) & (PAGE - 1), end = start + block->bytes;

    if (block->frame & FRAME_PAIR) {
        const struct page_pair *pair = engine->pair[block->frame & ~FRAME_PAIR];

        if (pair->second == page && from < end - PAGE)
            return true;
        if (pair->first != page)
            return false;
    }
    return start < to && from < end;
}

void block_written(struct engine *engine, struct code_page *page, unsigned offset, size_t size)
{
    unsigned to = size < PAGE - offset ? offset + (unsigned)size : PAGE;
    uint32_t *first = &page->first;
    struct page_blocks **entry = &page->blocks;

    while (*first) {
        struct block *block = numbered(engine, *first);

        if (!block->dead && lies_on(engine, block, page, offset, to))
            block_kill(engine, block);
        if (block->dead)
            *first = block->next_on_page;
        else
            first = &block->next_on_page;
    }
    while (*entry) {
        struct block *block = (*entry)->block;

        if (!block->dead && lies_on(engine, block, page, offset, to))
            block_kill(engine, block);
        if (block->dead)
            *entry = (*entry)->next;
        else
            entry = &(*entry)->next;
    }
    if (!page->first && !page->blocks && page->watched) {
        __atomic_store_n(&page->watched, false, __ATOMIC_SEQ_CST);
        watch(engine, page, false);
    }
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
            if (page->address == address && (page->watched || page->first || page->blocks))
                return true;
    }
    return false;
}

/* --- from code back to blocks --- */

uint64_t block_next_point(const struct engine *engine, const struct block *block, uint64_t exec)
{
    uint64_t base = engine->exec + block->base;
    struct side_cursor cursor;

    side_begin(engine, block, &cursor);
    while (side_next(&cursor))
        if (base + cursor.point.host > exec)
            return base + cursor.point.host;
    return engine->exec + block->end;
}

/* The last block whose code begins at or before the offset. */
static struct block *block_before(struct engine *engine, uint32_t offset)
{
    uint32_t low = 0, high = __atomic_load_n(&engine->block_count, __ATOMIC_ACQUIRE);

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;

        if (engine->block[middle].start <= offset)
            low = middle + 1;
        else
            high = middle;
    }
    return numbered(engine, low);
}

bool block_at(struct engine *engine, uint64_t exec, struct block **found, struct ir_point *point)
{
    uint32_t offset = (uint32_t)(exec - engine->exec);
    const struct block *block = *found = block_before(engine, offset);
    struct side_cursor cursor;
    bool any = false;

    if (!block)
        return false;
    side_begin(engine, block, &cursor);
    while (offset < block->end && side_next(&cursor)) {
        if (block->base + cursor.point.host > offset)
            break;
        *point = cursor.point;
        any = true;
    }
    if (!any) {
        *point = (struct ir_point){.flags = IR_POINT_COLD};
        return true;
    }
    if (block->base + point->host != offset)
        point->flags &= (uint8_t)~IR_POINT_BOUNDARY;
    return true;
}
