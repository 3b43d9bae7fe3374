/* SPDX-License-Identifier: MIT
 *
 * Planting guest probes: which are wanted, and what they become in a block.
 */
#include "engine/probes.h"

#include <string.h>
#include <sys/mman.h>

#include "base/error.h"
#include "engine/filter.h"
#include "engine/internal.h"
#include "trace-engine.h"
#include "trace/probe/event.h"
#include "trace/write/count.h"

/* The events, in the order of enum guest_probe. */
static struct trace_event *const events[] = {
#define GUEST_PROBE_EVENT(id, event) &_TRACE_##event##_EVENT,
    GUEST_PROBES(GUEST_PROBE_EVENT)
#undef GUEST_PROBE_EVENT
};

/* --- which are wanted --- */

/* Who listens is a matter of the process, so the engines that want to know are listed for it. */
static struct {
    pthread_mutex_t lock;
    struct engine *first;
} engines = {PTHREAD_MUTEX_INITIALIZER, NULL};

static uint32_t listened_to(void)
{
    uint32_t mask = 0;

    for (unsigned i = 0; i < PROBE_COUNT; i++)
        if (trace_live(events[i]->enable))
            mask |= 1u << i;
    return mask;
}

static bool has_filters(uint32_t mask)
{
    for (unsigned i = 0; i < PROBE_COUNT; i++) {
        const struct trace_subscriptions *subs =
            __atomic_load_n(&events[i]->subscriptions, __ATOMIC_ACQUIRE);

        for (unsigned row = 0; (mask >> i & 1) && subs && row < subs->count; row++)
            if (subs->row[row].filter)
                return true;
    }
    return false;
}

uint32_t probes_only_counted(void)
{
    struct trace_thread *self = trace_hold();
    uint32_t set = 0;

    for (unsigned i = 0; i < PROBE_COUNT; i++)
        if (self && trace_only_counted(events[i]))
            set |= 1u << i;
    trace_release(self);
    return set;
}

bool probes_only_summed(uint32_t set)
{
    struct trace_thread *self = trace_hold();
    bool only = self;

    for (unsigned i = 0; i < PROBE_COUNT && only; i++)
        only = !(set >> i & 1) || trace_only_summed(events[i]);
    trace_release(self);
    return only;
}

void probes_add(const struct probe_sums *sums)
{
    const uint64_t access[] = {sums->address, sums->info};

    for (unsigned i = 0; i < PROBE_COUNT; i++)
        if (sums->count[i] > 0)
            trace_sums_add(events[i], sums->count[i], i == PROBE_MEM_BEFORE ? access : NULL);
}

/* Of a set, those that follow from how often blocks are executed, and whose listeners want to know
 * no more: no records are made for them. */
static uint32_t only_counted(uint32_t mask)
{
    static const uint32_t by_block = 1u << PROBE_INSN | 1u << PROBE_BLOCK | 1u << PROBE_EXEC_TB;
    uint32_t counted = 0;

    for (unsigned i = 0; i < PROBE_COUNT; i++)
        if ((mask & by_block) >> i & 1 && trace_only_counted(events[i]))
            counted |= 1u << i;
    return counted;
}

unsigned probes_counted(const struct engine *engine, uint32_t set)
{
    uint32_t counted = engine->set_counted[set];

    return (counted >> PROBE_INSN & 1) << COUNTED_INSN |
           (counted >> PROBE_BLOCK & 1) << COUNTED_BLOCK |
           (counted >> PROBE_EXEC_TB & 1) << COUNTED_TB;
}

/* Whether a CPU goes by the set: it makes blocks for it until it has seen the next. */
static bool in_use(const struct engine *engine, uint32_t set)
{
    for (const struct vcpu *vcpu = engine->vcpus; vcpu; vcpu = vcpu->next)
        if ((__atomic_load_n(&vcpu->set, __ATOMIC_RELAXED) & SET_PROBES) == set)
            return true;
    return false;
}

/* A number for another set: a new one, or, when there are none left, that of a set with filters
 * which is not wanted any more, whose blocks are forgotten. Sets without filters are fewer than
 * there are numbers. A number that some CPU still goes by is used only when there is no other;
 * then that CPU goes by the new set a little early. */
static uint32_t free_number(struct engine *engine)
{
    uint32_t i = engine->set_count;

    if (i < PROBE_SETS_MAX) {
        __atomic_store_n(&engine->set_count, i + 1, __ATOMIC_RELEASE);
        return i;
    }
    for (unsigned tries = 0;; tries++) {
        i = engine->set_next;
        engine->set_next = (i + 1) % PROBE_SETS_MAX;
        if (engine->set_filtered[i] && i != engine->wanted_set &&
            (tries >= PROBE_SETS_MAX || !in_use(engine, i)))
            break;
    }
    if (engine->set_blocks[i] > 0)
        blocks_kill_filtered(engine);
    return i;
}

/* The number of a set of probes. Sets without filters are never forgotten, so that their blocks are
 * found again; one with filters is another each time that who listens changes. Lock held. */
static uint32_t set_number(struct engine *engine, uint32_t mask)
{
    bool filters = has_filters(mask);
    uint32_t counted = only_counted(mask);
    uint32_t i;

    for (i = 0; !filters && i < engine->set_count; i++)
        if (engine->set_mask[i] == mask && !engine->set_filtered[i] &&
            engine->set_counted[i] == counted)
            return i;
    i = free_number(engine);
    __atomic_store_n(&engine->set_mask[i], mask, __ATOMIC_RELAXED);
    engine->set_filtered[i] = filters;
    engine->set_counted[i] = counted;
    return i;
}

static void want(struct engine *engine)
{
    uint32_t set;

    pthread_mutex_lock(&engine->lock);
    set = set_number(engine, listened_to());
    if (set != engine->wanted_set) {
        __atomic_store_n(&engine->wanted_set, set, __ATOMIC_SEQ_CST);
        for (struct vcpu *vcpu = engine->vcpus; vcpu; vcpu = vcpu->next)
            if (__atomic_load_n(&vcpu->in_code, __ATOMIC_SEQ_CST))
                vcpu_kick(vcpu);
    }
    pthread_mutex_unlock(&engine->lock);
}

static bool is_ours(const struct trace_event *event)
{
    for (unsigned i = 0; i < PROBE_COUNT; i++)
        if (events[i] == event)
            return true;
    return false;
}

static void listeners_changed(const struct trace_event *event)
{
    if (!is_ours(event))
        return;
    pthread_mutex_lock(&engines.lock);
    for (struct engine *engine = engines.first; engine; engine = engine->next)
        want(engine);
    pthread_mutex_unlock(&engines.lock);
}

/* Somebody wants to see the counts. */
static void collect_counts(void)
{
    pthread_mutex_lock(&engines.lock);
    for (struct engine *engine = engines.first; engine; engine = engine->next) {
        drain_wait(engine);
        pthread_mutex_lock(&engine->lock);
        for (struct vcpu *vcpu = engine->vcpus; vcpu; vcpu = vcpu->next)
            counts_report(vcpu);
        pthread_mutex_unlock(&engine->lock);
    }
    pthread_mutex_unlock(&engines.lock);
}

/* Of the sites, and what their runs come to. */
static const size_t SITES_BYTES = (sizeof(struct probe_site) + sizeof(uint32_t)) * PROBE_SITES_MAX;

bool probes_init(struct engine *engine)
{
    uint8_t *sites = mmap(NULL, SITES_BYTES, PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (sites == MAP_FAILED)
        return false;
    engine->probe_site = (struct probe_site *)(void *)sites;
    engine->probe_run_info =
        (uint32_t *)(void *)(sites + sizeof(struct probe_site) * PROBE_SITES_MAX);
    engine->set_count = 1; /* number 0: none */
    trace_control_lock();  /* who listens stays as it is meanwhile */
    pthread_mutex_lock(&engines.lock);
    probes_reset(engine);
    engine->next = engines.first;
    engines.first = engine;
    trace_listeners_changed = listeners_changed;
    trace_counts_wanted = collect_counts;
    engine->wanted_set = set_number(engine, listened_to());
    pthread_mutex_unlock(&engines.lock);
    trace_control_unlock();
    return true;
}

void probes_free(struct engine *engine)
{
    pthread_mutex_lock(&engines.lock);
    for (struct engine **at = &engines.first; *at; at = &(*at)->next) {
        if (*at == engine) {
            *at = engine->next;
            break;
        }
    }
    pthread_mutex_unlock(&engines.lock);
    munmap(engine->probe_site, SITES_BYTES);
}

uint32_t probes_wanted(const struct engine *engine)
{
    return __atomic_load_n(&engine->wanted_set, __ATOMIC_SEQ_CST);
}

bool probes_full(const struct engine *engine)
{
    return engine->probe_site_count + IR_GROUP_BLOCKS * IR_BLOCK_INSNS * 8 > PROBE_SITES_MAX;
}

void probes_reset(struct engine *engine)
{
    static const uint8_t words[PROBE_COUNT] = {
        [PROBE_INSN] = 2,      [PROBE_BLOCK] = 3,  [PROBE_EXEC_TB] = 2, [PROBE_MEM_BEFORE] = 3,
        [PROBE_MEM_AFTER] = 7, [PROBE_BRANCH] = 3, [PROBE_CALL] = 4,    [PROBE_RET] = 3,
    };

    for (unsigned i = 0; i < PROBE_SITES_LOOSE; i++)
        engine->probe_site[i] = (struct probe_site){
            .probe = (uint8_t)i, .words = words[i], .taken = 1, .bytes = 32, .loose = true};
    engine->probe_site_count = PROBE_SITES_LOOSE;
}

/* --- planting --- */

/* One block being copied with its probes. */
struct planting {
    struct engine *engine;
    struct ir_block *ir;    /* new operations go here */
    const struct ir_op *op; /* the old ones */
    unsigned count, next;
    uint32_t mask;
    uint64_t pc; /* of the current instruction: its linear address */
    uint32_t size;
    unsigned insn;
    unsigned words;   /* of the stream so far, at most */
    unsigned records; /* sites so far */
    bool choices;     /* which records are made is not known beforehand */
    unsigned temps;   /* values used in this instruction, from TEMPS on */
    unsigned labels;  /* labels used in this instruction */
    bool filters;     /* some rule of the set has one */
    struct engine_filter_place place;
};

/* Values of predicates: behind those that a guest uses. */
enum { TEMPS = 24 };

static bool planted(const struct planting *p, enum guest_probe probe)
{
    return p->mask >> probe & 1;
}

/* In system mode code may lie in a segment with a base. */
static uint64_t linear(const struct planting *p, uint64_t pc)
{
    const struct ir_soft *soft = &p->ir->soft;

    return soft->code == 0 || soft->code == 8 ? pc + soft->base : (uint32_t)(pc + soft->base);
}

static struct ir_op *put(struct planting *p, enum ir_opcode op)
{
    struct ir_op *new_op = ir_append(p->ir, op);

    new_op->insn = (uint8_t)p->insn;
    return new_op;
}

/* --- filters --- */

/* What is known about an event here, decided: see engine_filter_event(). */
static enum engine_decision decide(struct planting *p, enum guest_probe probe, uint32_t constant,
                                   const uint64_t *values, uint32_t inline_arguments,
                                   struct engine_predicate *predicate)
{
    struct engine_known known = {
        .arguments = constant,
        .fields = engine_filter_constant_fields(),
        .input = {.values = values, .field = engine_filter_field, .opaque = &p->place},
        .inline_arguments = inline_arguments,
    };
    bool exact;

    /* Not by who listens at this moment: blocks of the set stay for when it comes back. */
    if (!p->filters)
        return ENGINE_ALWAYS;
    p->place = (struct engine_filter_place){
        .event = events[probe],
        .space = p->engine->config.symbols,
        .pc = p->pc,
    };
    return engine_filter_event(__atomic_load_n(&events[probe]->subscriptions, __ATOMIC_ACQUIRE),
                               &known, predicate, &exact);
}

/* True if the event, all of whose arguments are known, is to be planted here. */
static bool wanted_here(struct planting *p, enum guest_probe probe, unsigned arguments,
                        const uint64_t *values)
{
    struct engine_predicate predicate;

    return planted(p, probe) &&
           decide(p, probe, (1u << arguments) - 1, values, 0, &predicate) != ENGINE_NEVER;
}

static unsigned constant_value(struct planting *p, uint64_t value)
{
    struct ir_op *op = put(p, IR_CONST);

    op->imm = value;
    op->out = (uint8_t)(TEMPS + p->temps++);
    return op->out;
}

/* The value of an operand. `first` is the number of the value that temporary 0 is, `argument` that
 * of the one argument that predicates here can read. */
static unsigned operand(struct planting *p, const struct engine_operand *o, unsigned first,
                        unsigned argument)
{
    switch (o->kind) {
    case ENGINE_OPERAND_TEMPORARY: return first + o->number;
    case ENGINE_OPERAND_ARGUMENT: return argument;
    default: return constant_value(p, o->value);
    }
}

static void binary(struct planting *p, enum ir_opcode code, unsigned cond, unsigned out, unsigned a,
                   unsigned b)
{
    struct ir_op *op = put(p, code);

    op->cond = (uint8_t)cond;
    op->out = (uint8_t)out;
    op->in[0] = (uint8_t)a;
    op->in[1] = (uint8_t)b;
}

static void branch_to(struct planting *p, enum ir_opcode code, unsigned value, unsigned label)
{
    struct ir_op *op = put(p, code);

    op->in[0] = (uint8_t)value;
    op->imm = label;
}

/* The constants and results that the operations of a predicate need, at most. */
static bool predicate_fits(const struct planting *p, const struct engine_predicate *predicate)
{
    return p->temps + 2 + ENGINE_PREDICATE_TEMPORARIES + 3 * predicate->count <=
               IR_BLOCK_TEMPS - TEMPS &&
           p->labels + predicate->count + 2 <= IR_BLOCK_LABELS;
}

/* The predicate as operations: goes on behind them if it accepts, and to the label that is returned
 * if it rejects. */
static unsigned put_predicate(struct planting *p, const struct engine_predicate *predicate,
                              unsigned argument)
{
    unsigned first = TEMPS + p->temps;
    unsigned label = p->labels;
    unsigned accept = label + predicate->count, reject = accept + 1;

    p->labels = reject + 1;
    p->temps += ENGINE_PREDICATE_TEMPORARIES;
    for (unsigned i = 0; i < predicate->count; i++) {
        const struct engine_predicate_op *op = &predicate->op[i];
        unsigned kept = p->temps;
        unsigned a, b, result;

        put(p, IR_LABEL)->imm = label + i;
        switch (op->code) {
        case ENGINE_PREDICATE_ACCEPT: branch_to(p, IR_BRANCH, 0, accept); continue;
        case ENGINE_PREDICATE_REJECT: branch_to(p, IR_BRANCH, 0, reject); continue;
        case ENGINE_PREDICATE_GOTO: branch_to(p, IR_BRANCH, 0, label + op->to); continue;
        default: break;
        }
        a = operand(p, &op->a, first, argument);
        b = op->code == ENGINE_PREDICATE_MOVE ? a : operand(p, &op->b, first, argument);
        switch (op->code) {
        case ENGINE_PREDICATE_COMPUTE: binary(p, op->op, 0, first + op->to, a, b); break;
        case ENGINE_PREDICATE_MOVE: binary(p, IR_MOVE, 0, first + op->to, a, a); break;
        case ENGINE_PREDICATE_COMPARE: binary(p, IR_COMPARE, op->op, first + op->to, a, b); break;
        default: /* JUMP: conditions come in pairs, so the other is next to it */
            result = TEMPS + p->temps++;
            binary(p, IR_COMPARE, op->op ^ 1u, result, a, b);
            branch_to(p, IR_BRANCH_ZERO, result, label + op->to);
        }
        p->temps = kept; /* constants and results are used up */
    }
    put(p, IR_LABEL)->imm = accept;
    return reject;
}

static struct probe_site *new_site(struct planting *p, enum guest_probe probe, unsigned words)
{
    struct engine *engine = p->engine;
    struct probe_site *site = &engine->probe_site[engine->probe_site_count];

    *site = (struct probe_site){
        .pc = p->pc,
        .block = linear(p, p->ir->pc),
        .size = p->size,
        .probe = (uint8_t)probe,
        .words = (uint8_t)words,
    };
    put(p, IR_STREAM_CONST)->imm = IR_STREAM_HEADER(engine->probe_site_count++, words);
    p->words += 1 + words;
    p->records++;
    return site;
}

/* What an instruction does to memory: one row an access. */
struct access {
    enum ir_access kind;
    bool write;
};

enum { ACCESSES = 4 };

static unsigned accesses_of(const struct native_insn *native, struct access access[ACCESSES])
{
    unsigned count = 0;
    unsigned implicit = native->mem_implicit;
    bool operand = native->modrm == NATIVE_MODRM_MEM || (implicit & NATIVE_MOFFS);

    if (native->mem_access == 0)
        return 0;
    if (operand && native->base != NATIVE_POOL && !(implicit & (NATIVE_MASKMOV | NATIVE_XLAT))) {
        /* PUSH and POP with a memory operand use the operand the other way around. */
        bool reads = implicit & NATIVE_PUSH ||
                     (!(implicit & NATIVE_POP) && native->mem_access & NATIVE_READ);
        bool writes = implicit & NATIVE_POP ||
                      (!(implicit & NATIVE_PUSH) && native->mem_access & NATIVE_WRITE);

        if (reads)
            access[count++] = (struct access){IR_ACCESS_OPERAND, false};
        if (writes && !(implicit & NATIVE_POP))
            access[count++] = (struct access){IR_ACCESS_OPERAND, true};
        if (implicit & NATIVE_POP) {
            access[count++] = (struct access){IR_ACCESS_POP, false};
            access[count++] = (struct access){IR_ACCESS_OPERAND, true};
            return count;
        }
    }
    if (implicit & NATIVE_POP)
        access[count++] = (struct access){IR_ACCESS_POP, false};
    if (implicit & NATIVE_FRAME)
        access[count++] = (struct access){IR_ACCESS_FRAME, false};
    if (implicit & NATIVE_XLAT)
        access[count++] = (struct access){IR_ACCESS_TABLE, false};
    if (implicit & NATIVE_STRING_SI)
        access[count++] = (struct access){IR_ACCESS_SOURCE, false};
    if (implicit & NATIVE_STRING_DI_R)
        access[count++] = (struct access){IR_ACCESS_DESTINATION, false};
    if (implicit & (NATIVE_STRING_DI_W | NATIVE_MASKMOV))
        access[count++] = (struct access){IR_ACCESS_DESTINATION, true};
    if (implicit & NATIVE_PUSH)
        access[count++] = (struct access){IR_ACCESS_PUSH, true};
    return count;
}

/* One record of an access: all of it, or a piece where its size is no power of two. */
struct piece {
    unsigned native; /* index into the block's instructions */
    enum ir_access kind;
    bool write, old; /* old: what is read is told as it was before the instruction */
    unsigned offset, size;
};

enum { PIECES = 2 * ACCESSES };

static unsigned pieces_of(struct planting *p, const struct ir_op *op, struct piece piece[PIECES])
{
    const struct native_insn *native = &p->ir->native[op->native];
    struct access access[ACCESSES];
    unsigned accesses = p->ir->told ? 0 : accesses_of(native, access), count = 0;
    bool writes = false;

    for (unsigned i = 0; i < accesses; i++)
        writes = writes || access[i].write;
    for (unsigned i = 0; i < accesses; i++) {
        unsigned left = native->mem_size;

        while (left > 0 && count < PIECES) {
            unsigned size = 1u << (31 - (unsigned)__builtin_clz(left));

            piece[count++] = (struct piece){
                .native = op->native,
                .kind = access[i].kind,
                .write = access[i].write,
                .old = writes && !access[i].write,
                .offset = native->mem_size - left,
                .size = size,
            };
            left -= size;
        }
    }
    return count;
}

/* QEMU's bits: log2 of the size, 4 for a sign extension, 6 for a store. */
static uint16_t info_of(const struct planting *p, const struct piece *piece)
{
    bool sign = p->ir->native[piece->native].attributes & NATIVE_SIGNED;

    return (uint16_t)(__builtin_ctz(piece->size) | (sign ? 1u << 4 : 0) |
                      (piece->write ? 1u << 6 : 0));
}

static struct ir_op *put_address(struct planting *p, enum ir_opcode code, const struct piece *piece)
{
    struct ir_op *op = put(p, code);

    op->native = (uint16_t)piece->native;
    op->reg = piece->kind;
    op->imm = piece->offset;
    return op;
}

/* The record of one access, if its filter wants it. */
static void before_access(struct planting *p, const struct piece *piece)
{
    uint16_t info = info_of(p, piece);
    const uint64_t values[] = {0, info};
    struct engine_predicate predicate;
    enum engine_decision decision = decide(p, PROBE_MEM_BEFORE, 2, values, 1, &predicate);
    unsigned address, reject;

    if (decision == ENGINE_NEVER)
        return;
    if (decision != ENGINE_INLINE || !predicate_fits(p, &predicate)) {
        new_site(p, PROBE_MEM_BEFORE, 1)->info = info;
        put_address(p, IR_STREAM_ADDRESS, piece);
        put(p, IR_STREAM_CLOSE);
        return;
    }
    p->choices = true;
    address = TEMPS + p->temps++;
    put_address(p, IR_ADDRESS, piece)->out = (uint8_t)address;
    reject = put_predicate(p, &predicate, address);
    new_site(p, PROBE_MEM_BEFORE, 1)->info = info;
    put(p, IR_STREAM_VALUE)->in[0] = (uint8_t)address;
    put(p, IR_STREAM_CLOSE);
    put(p, IR_LABEL)->imm = reject;
}

static void put_memory(struct planting *p, const struct piece *piece)
{
    struct ir_op *op = put(p, IR_STREAM_MEMORY);

    op->native = (uint16_t)piece->native;
    op->reg = piece->offset;
    op->imm = piece->size;
    op->cond = piece->old;
}

/* Records before an access, and the beginning of those behind it. */
static void before_native(struct planting *p, const struct ir_op *op)
{
    struct piece piece[PIECES];
    unsigned count = pieces_of(p, op, piece);

    for (unsigned i = 0; i < count; i++) {
        trace_guest_mem_before_trans(info_of(p, &piece[i]));
        if (planted(p, PROBE_MEM_BEFORE))
            before_access(p, &piece[i]);
    }
    for (unsigned i = 0; planted(p, PROBE_MEM_AFTER) && i < count; i++) {
        unsigned words = (piece[i].size + 7) / 8;
        struct probe_site *site = new_site(p, PROBE_MEM_AFTER, 1 + words);

        site->info = info_of(p, &piece[i]);
        site->bytes = (uint8_t)piece[i].size;
        put_address(p, IR_STREAM_ADDRESS, &piece[i]);
        if (piece[i].old)
            put_memory(p, &piece[i]);
        else
            put(p, IR_STREAM_SKIP)->imm = words;
    }
}

static void after_native(struct planting *p, const struct ir_op *op)
{
    struct piece piece[PIECES];
    unsigned count = planted(p, PROBE_MEM_AFTER) ? pieces_of(p, op, piece) : 0;

    for (unsigned i = 0; i < count; i++) {
        put(p, IR_STREAM_SKIP)->imm = 2; /* the site and the address are there */
        if (piece[i].old)
            put(p, IR_STREAM_SKIP)->imm = (piece[i].size + 7) / 8;
        else
            put_memory(p, &piece[i]);
    }
    if (count > 0)
        put(p, IR_STREAM_CLOSE);
}

static void copy(struct planting *p, const struct ir_op *op)
{
    struct ir_op *new_op = put(p, op->op);

    *new_op = *op;
}

static void branch_record(struct planting *p, uint64_t target, bool taken)
{
    struct probe_site *site;

    if (!wanted_here(p, PROBE_BRANCH, 3, (const uint64_t[]){p->pc, target, taken}))
        return;
    site = new_site(p, PROBE_BRANCH, 0);
    site->target = target;
    site->taken = taken;
    put(p, IR_STREAM_CLOSE);
}

static void plant_jump_if(struct planting *p, const struct ir_op *op)
{
    unsigned at = p->ir->op_count;

    copy(p, op);
    if (!planted(p, PROBE_BRANCH))
        return;
    branch_record(p, linear(p, op->imm), true);
    p->ir->op[at].reg = p->ir->op_count - at - 1;
}

/* A jump whose target is known. */
static void plant_jump(struct planting *p, const struct ir_op *op)
{
    uint64_t behind = p->pc + p->size, target = linear(p, op->imm);

    if (op->reg == IR_KIND_NOT_TAKEN && planted(p, PROBE_BRANCH))
        branch_record(p, target, false);
    if (op->reg == IR_KIND_JUMP && planted(p, PROBE_BRANCH))
        branch_record(p, target, true);
    if (op->reg == IR_KIND_CALL &&
        wanted_here(p, PROBE_CALL, 3, (const uint64_t[]){p->pc, target, behind})) {
        struct probe_site *site = new_site(p, PROBE_CALL, 0);

        site->target = target;
        site->block = behind;
        put(p, IR_STREAM_CLOSE);
    }
    copy(p, op);
}

static void plant_jump_target(struct planting *p, const struct ir_op *op)
{
    enum guest_probe probe = op->reg == IR_KIND_CALL  ? PROBE_CALL
                             : op->reg == IR_KIND_RET ? PROBE_RET
                                                      : PROBE_BRANCH;

    const uint64_t values[] = {p->pc, 0, 1};
    struct engine_predicate predicate;

    if (planted(p, probe) &&
        decide(p, probe, probe == PROBE_BRANCH ? 5 : 1, values, 0, &predicate) != ENGINE_NEVER) {
        struct probe_site *site = new_site(p, probe, 1);

        site->taken = 1;
        site->block = p->pc + p->size;
        put(p, IR_STREAM_TARGET);
        put(p, IR_STREAM_CLOSE);
    }
    copy(p, op);
}

static void plant_insn(struct planting *p, const struct ir_op *op)
{
    const struct ir_insn *insn = &p->ir->insn[op->insn];
    bool any = false;

    p->insn = op->insn;
    p->pc = linear(p, p->ir->pc + insn->offset);
    p->size = insn->length;
    p->temps = 0;
    p->labels = 0;
    copy(p, op);
    if (p->ir->goes_on) {
        put(p, IR_STREAM_OPEN);
        return;
    }
    if (op->insn == 0) {
        const uint64_t tb[] = {p->pc, p->pc}, whole[] = {p->pc, p->ir->insn_count, p->ir->bytes};

        put(p, IR_STREAM_OPEN);
        if (wanted_here(p, PROBE_EXEC_TB, 2, tb)) {
            new_site(p, PROBE_EXEC_TB, 0);
            any = true;
        }
        if (wanted_here(p, PROBE_BLOCK, 3, whole)) {
            struct probe_site *site = new_site(p, PROBE_BLOCK, 0);

            site->info = (uint16_t)p->ir->insn_count;
            site->size = p->ir->bytes;
            any = true;
        }
    }
    if (wanted_here(p, PROBE_INSN, 2, (const uint64_t[]){p->pc, p->size})) {
        new_site(p, PROBE_INSN, 0);
        any = true;
    }
    if (any)
        put(p, IR_STREAM_CLOSE);
}

/* Each STREAM_OPEN makes sure of room for all that the block may write; where filters have left
 * nothing to write, they go. */
static void finish_opens(struct ir_block *ir, unsigned words)
{
    unsigned kept = 0;

    for (unsigned i = 0; i < ir->op_count; i++) {
        if (ir->op[i].op == IR_STREAM_OPEN) {
            if (words == 0)
                continue;
            ir->op[i].imm = words;
        }
        ir->op[kept++] = ir->op[i];
    }
    ir->op_count = kept;
}

/* Says at the first site what a run from there on comes to. */
static void add_up_run(struct engine *engine, uint32_t first, unsigned records)
{
    struct probe_site *site = &engine->probe_site[first];
    uint32_t info = 0;

    site->run_records = (uint16_t)records;
    for (unsigned i = 0; i < records; i++) {
        site->run_count[site[i].probe]++;
        info += site[i].info;
    }
    __atomic_store_n(&engine->probe_run_info[first], info, __ATOMIC_RELAXED);
}

/* All records of the block are one run: no headers but one, nothing to close. */
static void make_run(struct ir_block *ir, uint32_t first)
{
    unsigned kept = 0;

    for (unsigned i = 0; i < ir->op_count; i++) {
        struct ir_op *op = &ir->op[i];

        if (op->op == IR_STREAM_CLOSE)
            continue;
        if (op->op == IR_STREAM_CONST)
            op->op = IR_STREAM_RECORD;
        if (op->op == IR_STREAM_OPEN) {
            op->cond = 1;
            op->reg = first;
            op->imm++; /* the header */
        }
        ir->op[kept++] = *op;
    }
    ir->op_count = kept;
}

bool probes_has(const struct engine *engine, uint32_t set, enum guest_probe probe)
{
    return (engine->set_mask[set] & ~engine->set_counted[set]) >> probe & 1;
}

bool probes_each_access(const struct engine *engine, uint32_t set)
{
    return engine->set_mask[set] & (1u << PROBE_MEM_BEFORE | 1u << PROBE_MEM_AFTER);
}

void probes_plant(struct engine *engine, struct ir_block *ir, uint32_t set)
{
    struct planting p = {.engine = engine,
                         .ir = ir,
                         .mask = engine->set_mask[set] & ~engine->set_counted[set],
                         .filters = engine->set_filtered[set]};
    unsigned count = ir->op_count;
    struct trace_thread *holding;

    if (p.mask == 0 || count == 0)
        return;
    holding = trace_hold();
    memcpy(engine->old_op, ir->op, count * sizeof(*ir->op));
    p.op = engine->old_op;
    ir->op_count = 0;
    for (unsigned i = 0; i < count; i++) {
        const struct ir_op *op = &p.op[i];

        switch (op->op) {
        case IR_INSN: plant_insn(&p, op); break;
        case IR_NATIVE:
        case IR_TARGET:
            before_native(&p, op);
            copy(&p, op);
            after_native(&p, op);
            break;
        case IR_JUMP_IF:
        case IR_JUMP_LOOP: plant_jump_if(&p, op); break;
        case IR_JUMP: plant_jump(&p, op); break;
        case IR_JUMP_TARGET: plant_jump_target(&p, op); break;
        case IR_ANCHOR: /* what follows may come again */
            p.choices = true;
            copy(&p, op);
            put(&p, IR_STREAM_OPEN);
            break;
        default: copy(&p, op);
        }
    }
    trace_release(holding);
    finish_opens(ir, p.words);
    if (!engine->config.space && !p.choices && !planted(&p, PROBE_BRANCH) &&
        !planted(&p, PROBE_MEM_AFTER) && p.records > 0 &&
        p.words - p.records <= IR_STREAM_WORDS_MAX) {
        add_up_run(engine, engine->probe_site_count - p.records, p.records);
        make_run(ir, engine->probe_site_count - p.records);
        return;
    }
    for (unsigned i = 0; i < p.records; i++)
        add_up_run(engine, engine->probe_site_count - 1 - i, 1);
}
