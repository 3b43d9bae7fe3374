/* SPDX-License-Identifier: MIT
 *
 * System mode: the loop of a vCPU, what translated code leaves it for, pages of code.
 *
 * A block is found by pc, context and the page of RAM its bytes lie on, so it stays good whatever
 * becomes of page tables. Within a page blocks are linked; between pages they go through the jump
 * table of their context, which is emptied when translations change. A context (struct ir_context)
 * is what code depends on beside its bytes; four of them have a jump table at a time.
 *
 * An access that the TLB does not know leaves at the beginning of its instruction. If the page can
 * be filled in, the instruction is begun again in the same block; else it is executed slowly: by C,
 * or, where C does not know it, by a block of its own whose operand is in state.bounce. So devices,
 * accesses across pages and stores to code need nothing of translated code.
 *
 * Pages of RAM that code was made from are not in any TLB for stores. Stores to them are slow, and
 * kill the blocks they hit.
 */
#include "engine/system.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/logitems.h"
#include "base/memory.h"
#include "engine/filter.h"
#include "engine/tlb.h"
#include "trace-engine.h"

enum {
    PAGE = 1 << PAGE_BITS,
    LONGEST_INSN = 15,
    VECTOR_UD = 6,
    VECTOR_PF = 14,
};

static const struct ir_system *system_of(const struct vcpu *vcpu)
{
    return vcpu->engine->guest->system;
}

/* --- RAM --- */

/* The RAM or ROM that a whole page of physical memory is. What was found last holds until the space
 * changes, which makes the vCPU flush. */
static bool find_ram(struct vcpu *vcpu, uint64_t physical, struct mem_range *range)
{
    uint64_t page = physical & ~(uint64_t)(PAGE - 1);
    struct mem_range *last = &vcpu->soft->range;

    if (last->region && page >= last->start && page - last->start < last->size) {
        *range = *last;
    } else {
        if (!mem_find(vcpu->engine->config.space, page, range))
            return false;
        *last = *range;
    }
    return (range->region->kind == MEM_RAM || range->region->kind == MEM_ROM) &&
           (range->size == 0 || range->size - (page - range->start) >= PAGE) &&
           mem_host(range->region);
}

static uint64_t offset_in(const struct mem_range *range, uint64_t physical)
{
    return range->offset + ((physical & ~(uint64_t)(PAGE - 1)) - range->start);
}

static bool is_writable(const struct mem_range *range)
{
    return range->region->kind == MEM_RAM && !range->readonly;
}

/* The engine hears of what is written to the region. */
static void listen_to(struct engine *engine, const struct mem_region *region)
{
    if (__atomic_load_n(&engine->heard, __ATOMIC_ACQUIRE) == region)
        return;
    mem_on_code(region, &engine->code_listener);
    __atomic_store_n(&engine->heard, region, __ATOMIC_RELEASE);
}

/* Fills in the page; false: it is no RAM, or stores to it want more (`write`). */
static bool fill(struct vcpu *vcpu, uint64_t linear, bool write, const struct ir_page *page)
{
    struct soft_cpu *soft = vcpu->soft;
    struct mem_range range;
    unsigned rights = page->rights;
    uint64_t offset;
    uint8_t *host;

    if (!find_ram(vcpu, page->physical, &range))
        return false;
    listen_to(vcpu->engine, range.region);
    offset = offset_in(&range, page->physical);
    host = mem_host(range.region) + offset + (page->physical & (PAGE - 1));
    /* Whoever marks the page from here on finds the entry and takes it away. */
    pthread_mutex_lock(&soft->lock);
    if (!is_writable(&range) || mem_marks(range.region, offset))
        rights &= ~(unsigned)IR_RIGHT_WRITE;
    tlb_fill(soft, soft->context.view, linear, host, rights, page);
    pthread_mutex_unlock(&soft->lock);
    return !write || rights & IR_RIGHT_WRITE;
}

/* --- pages of code --- */

static void protect_all(struct engine *engine, const uint8_t *host)
{
    for (struct vcpu *vcpu = engine->vcpus; vcpu; vcpu = vcpu->next)
        tlb_protect(vcpu->soft, host);
}

static bool has_others(struct vcpu *vcpu)
{
    struct engine *engine = vcpu->engine;
    bool others;

    pthread_mutex_lock(&engine->lock);
    others = engine->vcpus != vcpu || vcpu->next;
    pthread_mutex_unlock(&engine->lock);
    return others;
}

/* The record of a page of RAM, from now on watched. NULL: no memory for it. */
static struct code_page *watch_page(struct vcpu *vcpu, const struct mem_range *range,
                                    uint64_t physical)
{
    struct engine *engine = vcpu->engine;
    uint64_t offset = offset_in(range, physical);
    uint8_t *host = mem_host(range->region) + offset;
    bool others = has_others(vcpu);
    struct code_page *page;

    if (others)
        engine_stop_others(engine, vcpu);
    pthread_mutex_lock(&engine->lock);
    page = block_page(engine, range->region, offset, (uint64_t)(uintptr_t)host);
    if (page && !page->watched) {
        listen_to(engine, range->region);
        mem_mark(range->region, offset, MEM_MARK_CODE, true);
        protect_all(engine, host);
        __atomic_store_n(&page->watched, true, __ATOMIC_SEQ_CST);
    }
    pthread_mutex_unlock(&engine->lock);
    if (others)
        engine_go_on(engine);
    return page;
}

enum found { FOUND, FOUND_EVENT, FOUND_FULL };

/* The page of code at a linear address. EVENT: an exception was delivered. `quietly`: none is, and
 * then *code is NULL. */
static enum found find_code(struct vcpu *vcpu, uint64_t linear, bool quietly,
                            struct code_page **code)
{
    const struct ir_system *sys = system_of(vcpu);
    struct soft_cpu *soft = vcpu->soft;
    struct code_entry *entry = tlb_code(soft, linear);
    struct mem_range range;
    struct ir_page page;

    *code = NULL;
    if (entry->page == (linear >> PAGE_BITS) + 1 && entry->view == soft->context.view &&
        __atomic_load_n(&entry->code->watched, __ATOMIC_SEQ_CST)) {
        *code = entry->code;
        return FOUND;
    }
    if (quietly && !(sys->look(vcpu->state, linear, &page) && page.rights & IR_RIGHT_EXECUTE))
        return FOUND;
    if (!sys->walk(vcpu->state, linear, IR_RIGHT_EXECUTE, &page))
        return FOUND_EVENT;
    if (!find_ram(vcpu, page.physical, &range)) {
        if (quietly)
            return FOUND;
        sys->raise(vcpu->state, VECTOR_UD, 0); /* code in registers of a device */
        return FOUND_EVENT;
    }
    *code = watch_page(vcpu, &range, page.physical);
    if (!*code)
        return FOUND_FULL;
    *entry = (struct code_entry){(linear >> PAGE_BITS) + 1, *code, soft->context.view, page.global};
    return FOUND;
}

/* --- contexts --- */

static bool same_context(const struct ir_context *a, const struct ir_context *b)
{
    return a->mode == b->mode && a->base == b->base && a->limit == b->limit && a->view == b->view;
}

/* The jump table that was not taken up for the longest time. */
static unsigned oldest_table(const struct engine *engine)
{
    unsigned oldest = 0;

    for (unsigned i = 1; i < JUMP_TABLES; i++)
        if (engine->table_used[i] < engine->table_used[oldest])
            oldest = i;
    return oldest;
}

/* The number of a context, a new one if need be. Lock held. */
static uint32_t context_number(struct engine *engine, const struct ir_context *context)
{
    for (uint32_t i = 0; i < engine->contexts; i++)
        if (same_context(&engine->context[i], context))
            return i;
    if (engine->contexts == engine->contexts_max) {
        engine->contexts_max = engine->contexts_max ? 2 * engine->contexts_max : 64;
        engine->context =
            mem_resize(engine->context, engine->contexts_max, sizeof(*engine->context));
        engine->context_table = mem_resize(engine->context_table, engine->contexts_max, 1);
    }
    engine->context[engine->contexts] = *context;
    engine->context_table[engine->contexts] = (uint8_t)oldest_table(engine);
    return engine->contexts++;
}

static void flush_engine(struct vcpu *vcpu)
{
    engine_stop_others(vcpu->engine, vcpu);
    engine_flush(vcpu->engine);
    engine_go_on(vcpu->engine);
}

/* Whether the budget may not be enough for a block: then they are of one instruction. */
static bool is_short(const struct vcpu *vcpu)
{
    return vcpu->engine->options.budget && vcpu->state->budget < IR_BLOCK_INSNS;
}

/* Another set of guest probes: other blocks from here on. */
static void take_up_probes(struct vcpu *vcpu, uint32_t probes)
{
    struct soft_cpu *soft = vcpu->soft;

    soft->tlb.told = probes_each_access(vcpu->engine, probes) ? &soft->told : NULL;
    soft->resumes = false;
}

/* Takes up the context that the CPU is in. */
static void take_up_context(struct vcpu *vcpu)
{
    struct soft_cpu *soft = vcpu->soft;
    struct engine *engine = vcpu->engine;
    struct ir_context now;
    struct jump_table *table;
    uint32_t set, probes;

    system_of(vcpu)->context(vcpu->state, &now);
    probes = probes_wanted(engine);
    if (probes + 1 != soft->probes)
        take_up_probes(vcpu, probes);
    if (!same_context(&now, &soft->context) || soft->context_number == UINT32_MAX) {
        uint32_t number;

        pthread_mutex_lock(&engine->lock);
        number = context_number(engine, &now);
        soft->table = engine->context_table[number];
        engine->table_used[soft->table] = ++engine->table_uses;
        pthread_mutex_unlock(&engine->lock);
        soft->context = now;
        soft->context_number = number;
        soft->resumes = false;
    }
    table = &soft->jump[soft->table];
    set = soft->context_number << SET_CONTEXT_SHIFT | probes;
    if (table->owner != set + 1) {
        jump_clear(table, engine->glue.empty);
        table->owner = set + 1;
    }
    vcpu->state->second = (uint64_t)(uintptr_t)table->second;
    __atomic_store_n(&vcpu->set, set | (now.single || is_short(vcpu) ? SET_STEP : 0),
                     __ATOMIC_RELAXED);
    if (probes + 1 != soft->probes) {
        soft->probes = probes + 1;
        drain_begin(vcpu);
    }
}

uint64_t soft_linear(const struct vcpu *vcpu, uint64_t pc)
{
    return system_of(vcpu)->linear(vcpu->state, pc);
}

static const struct ir_context *context_of(const struct engine *engine, const struct block *block)
{
    return &engine->context[(block->set & ~SET_FLAGS) >> SET_CONTEXT_SHIFT];
}

uint64_t block_linear(const struct engine *engine, const struct block *block)
{
    const struct ir_context *context = context_of(engine, block);

    if (!engine->config.space)
        return block->pc;
    return context->code == 8 ? block->pc + context->base : (uint32_t)(block->pc + context->base);
}

void soft_prepare(const struct vcpu *vcpu, struct ir_block *ir)
{
    const struct soft_cpu *soft = vcpu->soft;
    uint32_t view = TLB_AT + 3u * SOFT_TABLE * soft->context.view;

    system_of(vcpu)->soft(vcpu->state, &soft->context, ir);
    ir->soft.read = view;
    ir->soft.write = view + SOFT_TABLE;
    ir->soft.addend = view + 2 * SOFT_TABLE;
    ir->soft.jump_table = SYSTEM_AT + SOFT_TABLE * soft->table;
    ir->soft.bounced = vcpu->set & SET_BEGUN;
}

void soft_remember(struct vcpu *vcpu, const struct block *block)
{
    struct soft_cpu *soft = vcpu->soft;
    const struct engine *engine = vcpu->engine;
    struct jump_table *table = &soft->jump[soft->table];
    uint64_t linear = block->pc + soft->context.base;
    const struct code_entry *entry = tlb_code(soft, linear);
    bool global = entry->page == (linear >> PAGE_BITS) + 1 && entry->global;

    jumped(soft, linear);
    if (table->entry[block->pc & (JUMP_ENTRIES - 1)] == engine->glue.empty)
        jump_remember(table, block->pc, engine->exec + block->indirect, global);
    else
        jump_remember_second(table, engine->host->second(block->pc), block->pc,
                             block_exec(engine, block), global);
}

void soft_forget_entry(struct vcpu *vcpu, const struct block *block)
{
    const struct engine *engine = vcpu->engine;
    unsigned index = block->pc & (JUMP_ENTRIES - 1), second = engine->host->second(block->pc);

    for (unsigned i = 0; i < JUMP_TABLES; i++) {
        struct jump_table *table = &vcpu->soft->jump[i];

        if (block->indirect && table->entry[index] == engine->exec + block->indirect)
            __atomic_store_n(&table->entry[index], engine->glue.empty, __ATOMIC_RELAXED);
        if (table->second[second].exec == block_exec(engine, block))
            __atomic_store_n(&table->second[second].tag, 0, __ATOMIC_RELAXED);
    }
}

void soft_forget(struct vcpu *vcpu)
{
    tlb_flush(vcpu->soft, IR_FLUSH_ALL, 0, vcpu->engine->glue.empty);
}

bool soft_settled(const struct vcpu *vcpu)
{
    if (vcpu->set & SET_BEGUN) /* an instruction that has begun goes to its end */
        return true;
    return !__atomic_load_n(&vcpu->interrupt, __ATOMIC_SEQ_CST) &&
           !__atomic_load_n(&vcpu->soft->attend, __ATOMIC_SEQ_CST) &&
           probes_wanted(vcpu->engine) == (vcpu->set & SET_PROBES) &&
           !__atomic_load_n(&vcpu->soft->flush, __ATOMIC_SEQ_CST);
}

/* --- blocks --- */

/* Where the code at state.pc is. EVENT: an exception was delivered instead. */
static enum found find_place(struct vcpu *vcpu, bool fetch_more, struct code_place *place)
{
    uint64_t linear;
    unsigned room;
    enum found found;

    *place = (struct code_place){0};
    if (!system_of(vcpu)->code(vcpu->state, &linear, &room))
        return FOUND_EVENT;
    place->offset = (unsigned)linear & (PAGE - 1);
    place->room = room;
    found = find_code(vcpu, linear, false, &place->page);
    if (found != FOUND || place->offset + LONGEST_INSN <= PAGE || room <= PAGE - place->offset)
        return found;
    return find_code(vcpu, linear + PAGE - place->offset, !fetch_more, &place->second);
}

static struct block *find_block(struct vcpu *vcpu, uint64_t pc, const struct code_place *place)
{
    struct block *block;

    vcpu_look_begin(vcpu);
    block = block_find_at(vcpu->engine, pc, vcpu->set, place);
    vcpu_look_end(vcpu);
    return block;
}

/* The block at state.pc; NULL: look again, something has happened. */
static struct block *find_or_make(struct vcpu *vcpu)
{
    uint64_t pc = vcpu->state->pc;
    struct code_place place;
    struct block *block;
    bool more = false;

    for (;;) {
        enum found found = find_place(vcpu, more, &place);

        if (found == FOUND_FULL)
            flush_engine(vcpu);
        if (found != FOUND)
            return NULL;
        block = find_block(vcpu, pc, &place);
        if (block)
            return block;
        switch (block_make_at(vcpu, pc, &place, &block)) {
        case BLOCK_MADE: return block;
        case BLOCK_FULL: flush_engine(vcpu); return NULL;
        case BLOCK_AGAIN: return NULL;
        default: break;
        }
        if (more || place.second || place.room < LONGEST_INSN) { /* there are no more bytes */
            system_of(vcpu)->fetch_fault(vcpu->state);
            return NULL;
        }
        more = true;
    }
}

/* --- what translated code leaves for --- */

/* The bytes of the instruction at state.pc, for C: how many; 0: an exception was delivered. */
static size_t bytes_here(struct vcpu *vcpu, uint8_t bytes[LONGEST_INSN])
{
    struct code_place place;
    size_t first;

    if (find_place(vcpu, false, &place) != FOUND)
        return 0;
    first = PAGE - place.offset < LONGEST_INSN ? PAGE - place.offset : LONGEST_INSN;
    if (place.room < first)
        first = place.room;
    memcpy(bytes, (const uint8_t *)(uintptr_t)place.page->address + place.offset, first); // NOLINT
    if (!place.second)
        return first;
    memcpy(bytes + first, (const uint8_t *)(uintptr_t)place.second->address, // NOLINT
           LONGEST_INSN - first);
    return place.room < LONGEST_INSN ? place.room : LONGEST_INSN;
}

/* Runs the instruction at state.pc by a block of its own, its operand being in state.bounce. What
 * was read from a device must not be read again, so nothing keeps it from being executed. False: it
 * has raised an exception, which was delivered. */
static bool run_bounced(struct vcpu *vcpu)
{
    uint32_t set = vcpu->set;
    bool executed = false;

    __atomic_store_n(&vcpu->set, set | SET_BEGUN | SET_STEP, __ATOMIC_RELAXED);
    while (!executed && !vcpu->fault_pending) {
        struct block *block = find_or_make(vcpu);

        if (block && vcpu_enter(vcpu, block, 0))
            executed = vcpu->state->exit == IR_EXIT_LINK && vcpu->left.cause == IR_EXIT_ACCESSED;
    }
    __atomic_store_n(&vcpu->set, set, __ATOMIC_RELAXED);
    if (executed)
        return true;
    vcpu->fault_pending = false;
    system_of(vcpu)->raise(vcpu->state, vcpu->fault.trap, vcpu->fault.error);
    return false;
}

static void take_away(struct vcpu *vcpu);

/* The instruction whose operand was brought. What it reads is told as it was before. `locked`: the
 * store lock is held. */
static enum ir_executed execute_brought(struct vcpu *vcpu, bool locked)
{
    const struct ir_operand *operand = &vcpu->soft->operand;
    const uint8_t *value = vcpu->state->bounce + (operand->linear & 63);
    pthread_mutex_t *lock = &vcpu->engine->store_lock;
    bool told = vcpu->soft->tlb.told, stored;

    if (told && operand->read)
        told_after(vcpu, operand->linear, operand->size, false, value);
    if (!run_bounced(vcpu))
        return IR_RAISED;
    stored = system_of(vcpu)->bounced(vcpu->state, operand);
    if (told && stored)
        told_after(vcpu, operand->linear, operand->size, true, value);
    vcpu->state->pc = vcpu->left_next;
    if (!locked)
        pthread_mutex_lock(lock);
    if (stored)
        take_away(vcpu);
    if (!locked)
        pthread_mutex_unlock(lock);
    system_of(vcpu)->stepped(vcpu->state);
    return IR_EXECUTED;
}

/* A locked instruction excludes the stores of all others that have to take this way too: those
 * across the same two pages, or to the same code. */
static enum ir_executed execute_alone(struct vcpu *vcpu, const uint8_t *bytes, size_t size)
{
    const struct engine *engine = vcpu->engine;
    struct soft_cpu *soft = vcpu->soft;
    enum ir_executed done;

    pthread_mutex_lock(&vcpu->engine->store_lock);
    soft->operand.alone = true;
    done = system_of(vcpu)->execute(engine->config.guest_config, vcpu->state, bytes, size,
                                    &soft->operand);
    if (done == IR_BROUGHT)
        done = execute_brought(vcpu, true);
    soft->operand.alone = false;
    pthread_mutex_unlock(&vcpu->engine->store_lock);
    return done;
}

/* In C; a repeated instruction goes on as long as nothing else is to be done. */
static enum ir_executed execute_in_c(struct vcpu *vcpu, const uint8_t *bytes, size_t size)
{
    const struct ir_system *sys = system_of(vcpu);
    const struct engine *engine = vcpu->engine;
    struct soft_cpu *soft = vcpu->soft;
    enum ir_executed done;

    do
        done = sys->execute(engine->config.guest_config, vcpu->state, bytes, size, &soft->operand);
    while (done == IR_EXECUTED_PART && soft_settled(vcpu) && !sys->pending(vcpu->state));
    if (done == IR_WANTS_ALONE)
        return execute_alone(vcpu, bytes, size);
    return done == IR_BROUGHT ? execute_brought(vcpu, false) : done;
}

/* Executes the instruction at state.pc without the TLB. False: it has not come to its end, but
 * raised an exception, or done a part. */
static bool execute(struct vcpu *vcpu)
{
    struct soft_cpu *soft = vcpu->soft;
    uint64_t behind = soft_linear(vcpu, vcpu->left_next);
    uint8_t bytes[LONGEST_INSN];
    size_t size = bytes_here(vcpu, bytes);
    enum ir_executed done;

    soft->waiting = true;
    if (size == 0)
        return false;
    soft->linear = engine_filter_pc = soft_linear(vcpu, vcpu->state->pc);
    done = execute_in_c(vcpu, bytes, size);
    if (soft->tlb.told)
        told_end(vcpu, done == IR_EXECUTED);
    if (done != IR_EXECUTED)
        return false;
    branch_executed(vcpu, soft->operand.kind, soft->linear, behind);
    return true;
}

/* Stores the operand. A store to RAM that code was made from kills what it hits, and no more. */
static void take_away(struct vcpu *vcpu)
{
    const struct ir_system *sys = system_of(vcpu);
    const struct ir_operand *operand = &vcpu->soft->operand;
    struct engine *engine = vcpu->engine;
    unsigned offset = (unsigned)operand->linear & (PAGE - 1);
    struct code_page *code;
    struct mem_range range;
    struct ir_page page;
    uint64_t in_region;
    uint8_t *host;

    if (offset + operand->size > PAGE || !sys->look(vcpu->state, operand->linear, &page) ||
        !(page.rights & IR_RIGHT_WRITE) || !find_ram(vcpu, page.physical, &range) ||
        !is_writable(&range)) {
        sys->take_away(vcpu->state, operand);
        return;
    }
    in_region = offset_in(&range, page.physical);
    if (mem_marks(range.region, in_region) != MEM_MARK_CODE) {
        sys->take_away(vcpu->state, operand);
        return;
    }
    host = mem_host(range.region) + in_region;
    memcpy(host + offset, vcpu->state->bounce + (operand->linear & 63), operand->size);
    pthread_mutex_lock(&engine->lock);
    code = page_find(engine, (uint64_t)(uintptr_t)host);
    if (code)
        block_written(engine, code, offset, operand->size);
    pthread_mutex_unlock(&engine->lock);
}

/* Where the code of the instruction begins; 0: nowhere. */
static uint64_t find_boundary(const struct engine *engine, const struct block *block, unsigned insn)
{
    struct side_cursor cursor;

    side_begin(engine, block, &cursor);
    while (side_next(&cursor))
        if (cursor.point.insn == insn && cursor.point.flags & IR_POINT_BOUNDARY)
            return engine->exec + block->base + cursor.point.host;
    return 0;
}

/* But behind an event, the state becomes that of the instruction's beginning: nothing is recorded
 * or counted of it. */
void soft_note(struct vcpu *vcpu, const struct block *block)
{
    struct soft_cpu *soft = vcpu->soft;

    if (vcpu->left.cause == IR_EXIT_EVENT) {
        counts_correct(vcpu, block, vcpu->left.insn + 1u, false);
        budget_return(vcpu, block->insns - (vcpu->left.insn + 1));
        return;
    }
    budget_return(vcpu, block->insns - vcpu->left.insn);
    soft->block = *block;
    soft->block_number = block_number(vcpu->engine, block);
    soft->insn = vcpu->left.insn;
    if (vcpu->left.cause == IR_EXIT_MISS)
        soft->resume_entry = find_boundary(vcpu->engine, block, soft->insn);
    if (vcpu->left.target & IR_SITE_DROPS)
        vcpu->state->stream = vcpu->state->stream_mark;
    counts_leave(vcpu, block, soft->insn);
}

/* What soft_note() has taken back, for C. */
static void begin_in_c(struct vcpu *vcpu)
{
    const struct soft_cpu *soft = vcpu->soft;

    budget_return(vcpu, -1); /* it counts, whatever becomes of it */
    counts_in_c(vcpu, &soft->block, soft->insn);
    insn_begun(vcpu, &soft->block, soft->insn, soft_linear(vcpu, vcpu->left_pc),
               (unsigned)(vcpu->left_next - vcpu->left_pc));
}

/* An instruction that was counted is not executed, or not yet to its end. */
static void not_executed(struct vcpu *vcpu)
{
    counts_take_back(vcpu);
}

/* Instead of translated code, which has left in the middle of a block. */
static void execute_instead(struct vcpu *vcpu)
{
    begin_in_c(vcpu);
    if (!execute(vcpu))
        not_executed(vcpu);
}

/* Both operands of an instruction are in memory and drive each other out of the TLB: it was filled
 * for one of them just now, and then the other was missed. */
static bool operands_contend(const struct soft_cpu *soft, const struct site *site, uint64_t linear)
{
    return soft->filled_block == site->block && soft->filled_insn == site->insn &&
           tlb_contend(soft->filled, linear);
}

/* The TLB did not know an address: fills it in, or executes the instruction slowly. Where accesses
 * are told, one that faults is so too, by C. */
static void miss(struct vcpu *vcpu)
{
    const struct ir_system *sys = system_of(vcpu);
    struct soft_cpu *soft = vcpu->soft;
    uint64_t linear = vcpu->state->miss, target = vcpu->left.target;
    unsigned size = (unsigned)(target & (IR_SITE_DROPS - 1)) >> 1;
    bool write = target & 1, crosses = ((linear + size - 1) ^ linear) >> PAGE_BITS;
    bool contend = operands_contend(soft, &vcpu->left, linear);
    enum ir_right right = write ? IR_RIGHT_WRITE : IR_RIGHT_READ;
    struct ir_page page;

    soft->filled_insn = UINT32_MAX; /* none */
    /* Where it knows the page the instruction goes on beyond it. */
    if (crosses || contend || !sys->possible(linear) ||
        tlb_cached(soft, soft->context.view, linear, write) || vcpu->engine->options.no_tlb ||
        (soft->tlb.told && !(sys->look(vcpu->state, linear, &page) && page.rights & right))) {
        execute_instead(vcpu);
    } else if (!sys->walk(vcpu->state, linear, right, &page)) {
        execute_instead(vcpu); /* and raises what it must */
    } else if (fill(vcpu, linear, write, &page)) {
        soft->filled = linear;
        soft->filled_block = vcpu->left.block;
        soft->filled_insn = vcpu->left.insn;
        soft->resumes = soft->resume_entry != 0;
    } else {
        execute_instead(vcpu);
    }
}

/* Whether the jump that translated code has left by leads to where code can be. If not, the branch
 * has faulted. */
static bool has_landed(struct vcpu *vcpu)
{
    const struct ir_system *sys = system_of(vcpu);
    uint64_t target = vcpu->state->pc;
    uint8_t bytes[LONGEST_INSN];
    size_t size;

    if (sys->inside(vcpu->state))
        return true;
    vcpu->state->pc = vcpu->left_pc;
    size = bytes_here(vcpu, bytes);
    if (size == 0)
        return false;
    vcpu->state->pc = target;
    if (!sys->refuse_branch(vcpu->engine->config.guest_config, vcpu->state, bytes, size,
                            vcpu->left_pc))
        return true;
    vcpu->soft->waiting = true;
    counts_take_back(vcpu);
    return false;
}

static void left_at_site(struct vcpu *vcpu, uint32_t *link, bool *linked)
{
    const struct ir_system *sys = system_of(vcpu);
    const struct site *site = &vcpu->left;

    vcpu->counts.exits[site->cause]++;
    if (site->cause == IR_EXIT_LINK)
        vcpu->state->pc = site->target;
    else if (site->cause == IR_EXIT_STEPPED || site->cause == IR_EXIT_EVENT)
        vcpu->state->pc = vcpu->left_next;
    else
        vcpu->state->pc = vcpu->left_pc;
    switch (site->cause) {
    case IR_EXIT_LINK:
        if (!has_landed(vcpu))
            break;
        *link = vcpu->state->exit_arg;
        *linked = true;
        if (vcpu->soft->context.single)
            sys->stepped(vcpu->state);
        break;
    case IR_EXIT_HELPER:
        if (!execute(vcpu))
            not_executed(vcpu);
        break;
    case IR_EXIT_ACCESS: execute_instead(vcpu); break;
    case IR_EXIT_MISS: miss(vcpu); break;
    case IR_EXIT_EVENT: break;
    case IR_EXIT_BUDGET: break;
    case IR_EXIT_STEPPED: sys->stepped(vcpu->state); break;
    default: bug("translated code left for an unknown reason (%u)", site->cause);
    }
}

static void why_left(struct vcpu *vcpu, uint32_t *link, bool *linked, bool *by_lookup)
{
    const struct ir_system *sys = system_of(vcpu);

    switch (vcpu->state->exit) {
    case IR_EXIT_LINK: left_at_site(vcpu, link, linked); break;
    case IR_EXIT_LOOKUP:
        vcpu->counts.exits[IR_EXIT_LOOKUP]++;
        if (!has_landed(vcpu))
            break;
        *by_lookup = true;
        if (vcpu->soft->context.single)
            sys->stepped(vcpu->state);
        break;
    case IR_EXIT_INTERRUPT:
        vcpu->counts.exits[vcpu->fault_pending ? IR_EXIT_FAULT : IR_EXIT_INTERRUPT]++;
        if (!vcpu->fault_pending)
            break;
        vcpu->fault_pending = false;
        if (vcpu->fault.trap == VECTOR_PF)
            bug("translated code at guest address %#lx has accessed %#lx of the host",
                (unsigned long)vcpu->state->pc, (unsigned long)vcpu->fault.address);
        sys->raise(vcpu->state, vcpu->fault.trap, vcpu->fault.error);
        break;
    default: bug("translated code left with %u", vcpu->state->exit);
    }
}

/* Whether the stopped instruction can be gone on with where it was left. */
static const struct block *resumed(struct vcpu *vcpu)
{
    const struct soft_cpu *soft = vcpu->soft;
    const struct engine *engine = vcpu->engine;
    const struct block *block = &engine->block[soft->block_number];

    return soft->resumes &&
                   __atomic_load_n(&engine->generation, __ATOMIC_SEQ_CST) == vcpu->generation &&
                   !__atomic_load_n(&block->dead, __ATOMIC_RELAXED)
               ? block
               : NULL;
}

/* Events and what others want. False: the CPU waits. */
static bool look_around(struct vcpu *vcpu)
{
    const struct ir_system *sys = system_of(vcpu);
    struct soft_cpu *soft = vcpu->soft;

    __atomic_store_n(&soft->attend, 0, __ATOMIC_SEQ_CST);
    if (__atomic_exchange_n(&soft->flush, 0, __ATOMIC_SEQ_CST)) {
        soft->range.region = NULL;
        tlb_flush(soft, IR_FLUSH_ALL, 0, vcpu->engine->glue.empty);
    }
    if (!soft->waiting && !sys->pending(vcpu->state))
        return true;
    soft->waiting = false;
    switch (sys->take_event(vcpu->state)) {
    case IR_EVENT_NONE: return true;
    case IR_EVENT_TAKEN:
        soft->resumes = false;
        soft->waiting = true;
        return true;
    default: soft->waiting = true; return false;
    }
}

enum vcpu_event system_run(struct vcpu *vcpu)
{
    struct soft_cpu *soft = vcpu->soft;
    bool linked = false, by_lookup = false, resumes;
    struct block left = {0};
    unsigned insn = 0;
    int again = 0;
    uint32_t link = 0;

    soft->waiting = true; /* C may have changed anything */
    soft->resumes = false;
    for (;;) {
        const struct block *block;
        uint64_t entry;

        if (__atomic_exchange_n(&vcpu->interrupt, 0, __ATOMIC_SEQ_CST))
            return VCPU_INTERRUPTED;
        if (!look_around(vcpu))
            return VCPU_WAITS;
        if (vcpu->engine->options.budget && vcpu->state->budget <= 0)
            return VCPU_SPENT;
        take_up_context(vcpu);
        block = resumed(vcpu);
        resumes = block;
        entry = soft->resume_entry;
        if (!block) {
            uint64_t pc = vcpu->state->pc;
            struct block *found;

            soft->resumes = false;
            found = find_or_make(vcpu);
            if (!found || vcpu->state->pc != pc) {
                linked = by_lookup = false;
                soft->waiting = true;
                continue;
            }
            if (linked && vcpu_chains(vcpu))
                block_link(vcpu, link, found);
            if (by_lookup && vcpu_chains(vcpu))
                block_remember(vcpu, found);
            block = found;
            entry = 0;
            if (log_item_on(LOG_EXEC) || log_item_on(LOG_CPU))
                log_entry(vcpu, found);
        }
        linked = by_lookup = false;
        if (resumes) { /* what it was left with may be overwritten in between */
            left = soft->block;
            insn = soft->insn;
            again = insn > 0 ? left.insns - (int)insn : 0; /* at the head it takes them itself */
            budget_return(vcpu, -again);
        }
        if (!vcpu_enter(vcpu, block, entry)) {
            if (resumes)
                budget_return(vcpu, again);
            continue;
        }
        soft->resumes = false;
        if (resumes)
            counts_return(vcpu, &left, insn);
        why_left(vcpu, &link, &linked, &by_lookup);
    }
}

/* --- the guest's side of the TLB --- */

static void guest_flush(void *opaque, enum ir_flush what, uint64_t address)
{
    struct vcpu *vcpu = opaque;

    tlb_flush(vcpu->soft, what, address, vcpu->engine->glue.empty);
}

static void tell_before(void *opaque, uint64_t linear, size_t size, bool write)
{
    told_before(opaque, linear, size, write);
}

static void tell_after(void *opaque, uint64_t linear, size_t size, bool write, const void *value)
{
    told_after(opaque, linear, size, write, value);
}

static void tell_turn(void *opaque)
{
    told_end(opaque, true);
}

static uint8_t *guest_cached(void *opaque, uint64_t linear, bool write)
{
    const struct vcpu *vcpu = opaque;

    return tlb_cached(vcpu->soft, vcpu->soft->context.view, linear, write);
}

static uint64_t guest_pc(void *opaque, uint64_t host)
{
    const struct vcpu *vcpu = opaque;

    return engine_guest_pc(vcpu->engine, host);
}

static uint64_t guest_data(void *opaque, uint64_t host)
{
    const struct vcpu *vcpu = opaque;
    uint64_t linear;

    return tlb_linear(vcpu->soft, host, &linear) ? linear : host;
}

static bool guest_has_code(void *opaque, uint64_t physical)
{
    struct vcpu *vcpu = opaque;
    struct mem_range range;

    return find_ram(vcpu, physical, &range) &&
           mem_marks(range.region, offset_in(&range, physical)) & MEM_MARK_CODE;
}

/* --- what others do --- */

void vcpu_attend(struct vcpu *vcpu)
{
    if (__atomic_exchange_n(&vcpu->soft->attend, 1, __ATOMIC_SEQ_CST))
        return;
    if (vcpu == vcpu_current())
        return; /* in C: it will look */
    if (__atomic_load_n(&vcpu->in_code, __ATOMIC_SEQ_CST))
        vcpu_kick(vcpu);
}

static void space_changed(void *opaque)
{
    struct engine *engine = opaque;

    pthread_mutex_lock(&engine->lock);
    for (struct vcpu *vcpu = engine->vcpus; vcpu; vcpu = vcpu->next) {
        __atomic_store_n(&vcpu->soft->flush, 1, __ATOMIC_SEQ_CST);
        __atomic_store_n(&vcpu->soft->attend, 0, __ATOMIC_SEQ_CST);
        vcpu_attend(vcpu);
    }
    pthread_mutex_unlock(&engine->lock);
}

/* Bytes of RAM have changed. Of struct mem_code_listener, as the next. */
static void ram_written(void *opaque, const struct mem_region *region, uint64_t offset,
                        uint64_t size)
{
    struct engine *engine = opaque;

    pthread_mutex_lock(&engine->lock);
    while (size > 0) {
        unsigned in_page = (unsigned)offset & (PAGE - 1);
        uint64_t piece = size < PAGE - in_page ? size : PAGE - in_page;
        struct code_page *page =
            page_find(engine, (uint64_t)(uintptr_t)(mem_host(region) + offset - in_page));

        if (page)
            block_written(engine, page, in_page, piece);
        offset += piece;
        size -= piece;
    }
    pthread_mutex_unlock(&engine->lock);
}

/* Stores to RAM are to be told of. */
static void ram_watched(void *opaque, const struct mem_region *region, uint64_t offset,
                        uint64_t size)
{
    struct engine *engine = opaque;
    struct vcpu *self = vcpu_current();

    engine_stop_others(engine, self);
    pthread_mutex_lock(&engine->lock);
    for (uint64_t at = offset & ~(uint64_t)(PAGE - 1); at < offset + size; at += PAGE)
        protect_all(engine, mem_host(region) + at);
    pthread_mutex_unlock(&engine->lock);
    engine_go_on(engine);
}

/* --- life --- */

void system_new(struct engine *engine)
{
    engine->space_listener = (struct mem_listener){.opaque = engine, .changed = space_changed};
    engine->code_listener = (struct mem_code_listener){
        .opaque = engine, .written = ram_written, .watched = ram_watched};
    mem_listen(engine->config.space, &engine->space_listener);
    pthread_mutex_init(&engine->store_lock, NULL);
}

void system_free(struct engine *engine)
{
    if (engine->space_listener.opaque)
        mem_listen_no_more(engine->config.space, &engine->space_listener);
    free(engine->context);
    free(engine->context_table);
    free(engine->pair);
}

void soft_new(struct vcpu *vcpu)
{
    struct soft_cpu *soft = mem_alloc(sizeof(*soft));

    soft->tlb = (struct ir_tlb){.opaque = vcpu,
                                .flush = guest_flush,
                                .cached = guest_cached,
                                .has_code = guest_has_code,
                                .guest_pc = guest_pc,
                                .guest_data = guest_data};
    soft->told = (struct ir_told){
        .opaque = vcpu, .before = tell_before, .after = tell_after, .turn = tell_turn};
    soft->context_number = UINT32_MAX;
    vcpu->soft = soft;
    tlb_new(soft, (uint8_t *)vcpu->state, vcpu->engine->glue.empty);
}

void soft_free(struct vcpu *vcpu)
{
    tlb_free(vcpu->soft);
    free(vcpu->soft);
}

void vcpu_connect(struct vcpu *vcpu, const void *bus)
{
    struct engine *engine = vcpu->engine;

    system_of(vcpu)->connect(engine->config.guest_config, vcpu->state, bus, &vcpu->soft->tlb,
                             (unsigned)vcpu->number);
}

void vcpu_was_reset(struct vcpu *vcpu)
{
    trace_guest_cpu_reset(vcpu->number);
    vcpu_changed(vcpu);
}

void vcpu_changed(struct vcpu *vcpu)
{
    tlb_flush(vcpu->soft, IR_FLUSH_ALL, 0, vcpu->engine->glue.empty);
}

void vcpu_grant(struct vcpu *vcpu, uint32_t instructions)
{
    vcpu->state->budget = instructions;
}

uint32_t vcpu_left(const struct vcpu *vcpu)
{
    return vcpu->state->budget > 0 ? (uint32_t)vcpu->state->budget : 0;
}
