/* SPDX-License-Identifier: MIT
 *
 * The judge of guest probes. */
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <Zydis/Zydis.h>

#include "base/error.h"
#include "operands.h"
#include "scratch.h"
#include "told.h"
#include "trace/probe/control.h"
#include "trace/probe/event.h"

enum {
    EVENTS = 1 << 16,
    VALUES = 6,
    INFO_SIZE = 15,
    INFO_SIGN = 1 << 4,
    INFO_STORE = 1 << 6,
    TRAP_PROTECTION = 13,
    TRAP_PAGE = 14,
    FETCH = 16,
};

enum told_kind { TOLD_INSN, TOLD_BEFORE, TOLD_AFTER, TOLD_BRANCH, TOLD_CALL, TOLD_RET, TOLD_KINDS };

static const struct {
    const char *name;
    unsigned values;
} KIND[TOLD_KINDS] = {
    {"guest_insn", 2},      {"guest_mem_before_exec", 2},
    {"guest_mem_after", 6}, {"guest_branch", 3},
    {"guest_call", 3},      {"guest_ret", 2},
};

struct told {
    enum told_kind kind;
    uint64_t value[VALUES];
};

static struct told told[EVENTS];
static unsigned told_count;

static void event(struct trace_sink *sink, const struct trace_event *what, const uint64_t *values,
                  const uint32_t *lengths)
{
    (void)sink, (void)lengths;
    for (unsigned kind = 0; kind < TOLD_KINDS && told_count < EVENTS; kind++) {
        if (strcmp(what->decl->name, KIND[kind].name) != 0)
            continue;
        told[told_count].kind = kind;
        memcpy(told[told_count].value, values, KIND[kind].values * sizeof *values);
        told_count++;
    }
}

void told_open(void)
{
    static const struct trace_sink_ops ops = {.name = "judge", .event = event};
    static const struct trace_sink_options none;
    static const struct trace_rule_options all;
    struct trace_sink *sink;
    struct error err = {""};

    trace_control_lock();
    sink = trace_sink_new(&ops, &none, &err);
    if (sink == NULL || !trace_sink_on(sink, &err))
        bug("no sink: %s", err.text);
    trace_control_unlock();
    for (unsigned kind = 0; kind < TOLD_KINDS; kind++)
        if (!trace_rule_add(KIND[kind].name, sink, &all, NULL, &err))
            bug("no events: %s", err.text);
}

void told_begin(void)
{
    told_count = 0;
}

/* --- one case --- */

struct judge {
    const struct test_case *c;
    const struct outcome *native;
    struct x86_insn insn;
    struct strbuf *out;
    unsigned mistakes;
    bool ran, memory_fault, fetched;
    uint8_t *memory; /* as it is at this moment, as far as told */
};

static void mistake(struct judge *j, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void mistake(struct judge *j, const char *format, ...)
{
    char text[256];
    va_list ap;

    va_start(ap, format);
    vsnprintf(text, sizeof text, format, ap);
    va_end(ap);
    strbuf_printf(j->out, "    %s\n", text);
    j->mistakes++;
}

static unsigned size_of(const struct told *t)
{
    return 1u << (t->value[1] & INFO_SIZE);
}

static bool stores(const struct told *t)
{
    return t->value[1] & INFO_STORE;
}

/* Where the byte is in `memory`; NULL: it does not change. */
static uint8_t *kept(struct judge *j, uint64_t address)
{
    for (size_t page = 0; page < scratch_kept(); page += SCRATCH_PAGE)
        if (address - scratch_kept_address(page) < SCRATCH_PAGE)
            return j->memory + page + (address - scratch_kept_address(page));
    return NULL;
}

static bool byte_at(struct judge *j, uint64_t address, uint8_t *byte)
{
    const uint8_t *at = kept(j, address);

    if (at == NULL)
        at = scratch_writable(address);
    if (at == NULL)
        return false;
    *byte = *at;
    return true;
}

/* A turn of a repeated instruction has its reads before its stores, so that overlapping ones see
 * each other; otherwise all reads are before all stores. */
static void judge_value(struct judge *j, const struct told *t)
{
    const uint8_t *value = (const uint8_t *)&t->value[2];

    for (unsigned i = 0; i < size_of(t); i++) {
        uint8_t *at = kept(j, t->value[0] + i), byte;

        if (!byte_at(j, t->value[0] + i, &byte)) {
            mistake(j, "%#lx is told and cannot be accessed", (unsigned long)t->value[0] + i);
            return;
        }
        if (stores(t) && at == NULL) {
            mistake(j, "a store to %#lx is told, which is read-only",
                    (unsigned long)t->value[0] + i);
            return;
        }
        if (stores(t)) {
            *at = value[i];
        } else if (byte != value[i]) {
            mistake(j, "%#lx: byte %u of %u is read as %#x, not %#x", (unsigned long)t->value[0], i,
                    size_of(t), value[i], byte);
            return;
        }
    }
    for (unsigned i = size_of(t); i < 32; i++) {
        if (value[i] != 0) {
            mistake(j, "a value has %u bytes, not %u", i + 1, size_of(t));
            return;
        }
    }
}

static void judge_stores(struct judge *j, const uint8_t *after)
{
    for (size_t i = 0; i < scratch_kept(); i++) {
        if (j->memory[i] != after[i]) {
            mistake(j, "%#lx becomes %#x, and %#x is told", (unsigned long)scratch_kept_address(i),
                    after[i], j->memory[i]);
            return;
        }
    }
}

/* Each `before` has its `after`, in the same order; of the last turn there are none if it faults.
 */
static void judge_pairs(struct judge *j)
{
    unsigned before = 0, after = 0, open;

    for (;;) {
        while (before < told_count && told[before].kind != TOLD_BEFORE)
            before++;
        while (after < told_count && told[after].kind != TOLD_AFTER)
            after++;
        if (before == told_count || after == told_count)
            break;
        if (told[before].value[0] != told[after].value[0] ||
            told[before].value[1] != told[after].value[1])
            mistake(j, "before %#lx info %lu, after %#lx info %lu",
                    (unsigned long)told[before].value[0], (unsigned long)told[before].value[1],
                    (unsigned long)told[after].value[0], (unsigned long)told[after].value[1]);
        before++, after++;
    }
    if (after < told_count)
        mistake(j, "an access is told after it that was not before");
    for (open = 0; before < told_count; before++)
        open += told[before].kind == TOLD_BEFORE;
    if (j->ran && open > 0)
        mistake(j, "%u accesses are told before and not after", open);
    /* CALL reads its operand, and then perhaps cannot push. */
    if (!j->ran && !(j->insn.native.attributes & NATIVE_REP) &&
        j->insn.lowering != X86_LOWER_CALL_R)
        for (unsigned i = 0; i < told_count; i++)
            if (told[i].kind == TOLD_AFTER)
                mistake(j, "it faults, and an access is told after it");
}

/* What faults beyond what is accessed: ENTER at where RSP comes to lie; stores under a mask perhaps
 * where it is 0 (SDM vol. 2, MASKMOVDQU); FXRSTOR behind what it loads; what only handles caches;
 * MOVSXD to 16 bits, which AMD's processors have read 4 bytes, and Intel's manual 2. */
static bool may_fault_elsewhere(const struct judge *j)
{
    static const char *const names[] = {"enter", "cl", "fxrstor", "movsxd"};

    for (unsigned i = 0; i < sizeof names / sizeof *names; i++)
        if (strncmp(j->insn.row->mnemonic, names[i], strlen(names[i])) == 0)
            return true;
    return j->insn.native.mem_implicit & NATIVE_MASKMOV;
}

/* The page fault's address is that of an access that was told. */
static void judge_fault(struct judge *j)
{
    uint64_t address = j->native->fault.address;

    if (!j->memory_fault || j->c->several || may_fault_elsewhere(j))
        return;
    for (unsigned i = 0; i < told_count; i++)
        if (told[i].kind == TOLD_BEFORE && address - told[i].value[0] < size_of(&told[i]))
            return;
    mistake(j, "it faults at %#lx, of which nothing was told", (unsigned long)address);
}

/* --- Zydis --- */

static bool reads_zydis(ZydisOperandActions actions)
{
    return actions & ZYDIS_OPERAND_ACTION_MASK_READ;
}

static bool writes_zydis(ZydisOperandActions actions)
{
    return actions & ZYDIS_OPERAND_ACTION_MASK_WRITE;
}

static uint64_t gpr_zydis(const struct judge *j, ZydisRegister reg)
{
    const struct machine *m = &j->c->machine;
    int id = ZydisRegisterGetId(reg);

    switch (ZydisRegisterGetClass(reg)) {
    case ZYDIS_REGCLASS_GPR64: return m->gpr[id];
    case ZYDIS_REGCLASS_GPR32: return (uint32_t)m->gpr[id];
    case ZYDIS_REGCLASS_GPR8: return (uint8_t)m->gpr[id]; /* AL, of XLAT */
    case ZYDIS_REGCLASS_IP: return j->c->machine.rip + j->insn.length;
    default: return 0;
    }
}

static uint64_t address_zydis(const struct judge *j, const ZydisDecodedInstruction *insn,
                              const ZydisDecodedOperand *operand)
{
    const ZydisDecodedOperandMem *mem = &operand->mem;
    uint64_t address = gpr_zydis(j, mem->base) + (uint64_t)mem->disp.value;

    /* REX.B does not matter where SIB says that there is no base (SDM vol. 2, table 2-5). */
    if (insn->raw.modrm.mod == 0 && insn->raw.modrm.rm == 4 && insn->raw.sib.base == 5 &&
        operand->visibility == ZYDIS_OPERAND_VISIBILITY_EXPLICIT)
        address = (uint64_t)(int64_t)j->insn.native.disp;

    if (mem->index != ZYDIS_REGISTER_NONE)
        address += gpr_zydis(j, mem->index) * (mem->scale ? mem->scale : 1);
    /* Pushes are told as they are behind the move of RSP, POP's operand too. */
    if (operand->visibility == ZYDIS_OPERAND_VISIBILITY_HIDDEN && mem->base == ZYDIS_REGISTER_RSP &&
        writes_zydis(operand->actions))
        address -= operand->size / 8;
    if (operand->visibility == ZYDIS_OPERAND_VISIBILITY_EXPLICIT &&
        insn->mnemonic == ZYDIS_MNEMONIC_POP &&
        (mem->base == ZYDIS_REGISTER_RSP || mem->index == ZYDIS_REGISTER_RSP))
        address += operand->size / 8;
    if (insn->mnemonic == ZYDIS_MNEMONIC_XLAT)
        address += (uint8_t)j->c->machine.gpr[X86_RAX];
    if (insn->address_width == 32 && mem->base != ZYDIS_REGISTER_RSP)
        address = (uint32_t)address;
    if (mem->segment == ZYDIS_REGISTER_FS)
        address += j->c->machine.fs_base;
    if (mem->segment == ZYDIS_REGISTER_GS)
        address += j->c->machine.gs_base;
    return address;
}

/* Instructions of which Zydis knows only the operand, or another size than is touched. */
static bool zydis_knows(const struct judge *j)
{
    /* Of prefetches and NOPs it says that they read, of MOVSXD to 16 bits that it reads 4 bytes. */
    static const char *const others[] = {"prefetch", "nop",    "cl",       "movsxd",     "enter",
                                         "leave",    "clzero", "maskmovq", "maskmovdqu", "fxsave",
                                         "fxrstor",  "xsave",  "xrstor",   "iret",       "retf"};
    const struct native_insn *n = &j->insn.native;
    const char *name = j->insn.row->mnemonic + (j->insn.row->mnemonic[0] == 'v');

    if (n->mem_implicit & NATIVE_OTHER || n->attributes & NATIVE_REP || n->mem_size > 32)
        return false;
    for (unsigned i = 0; i < sizeof others / sizeof *others; i++)
        if (strncmp(name, others[i], strlen(others[i])) == 0)
            return false;
    return j->insn.lowering != X86_LOWER_PRIVILEGED && j->insn.lowering != X86_LOWER_FAR &&
           j->insn.lowering != X86_LOWER_INT;
}

/* Bytes that are told as read or written within [address, address + size). */
static unsigned bytes_told(uint64_t address, unsigned size, bool write)
{
    unsigned sum = 0;

    for (unsigned i = 0; i < told_count; i++)
        if (told[i].kind == TOLD_BEFORE && stores(&told[i]) == write &&
            told[i].value[0] - address < size &&
            told[i].value[0] + size_of(&told[i]) - address <= size)
            sum += size_of(&told[i]);
    return sum;
}

static void judge_operand(struct judge *j, uint64_t address, unsigned size, bool write,
                          unsigned *total)
{
    unsigned bytes = bytes_told(address, size, write);

    if (bytes < size && (j->ran || bytes != 0)) /* CMPS may read a place twice */
        mistake(j, "Zydis: %s of %u bytes at %#lx, of which %u are told",
                write ? "a store" : "a read", size, (unsigned long)address, bytes);
    *total += size;
}

static void judge_zydis(struct judge *j)
{
    ZydisDecoder decoder;
    ZydisDecodedInstruction insn;
    ZydisDecodedOperand operand[ZYDIS_MAX_OPERAND_COUNT];
    unsigned total = 0, all = 0;

    if (!zydis_knows(j))
        return;
    ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
    if (!ZYAN_SUCCESS(ZydisDecoderDecodeFull(&decoder, j->c->bytes, j->c->size, &insn, operand)))
        return;
    for (unsigned i = 0; i < insn.operand_count; i++) {
        const ZydisDecodedOperand *o = &operand[i];
        uint64_t address;

        if (o->type != ZYDIS_OPERAND_TYPE_MEMORY || o->mem.type != ZYDIS_MEMOP_TYPE_MEM)
            continue;
        address = address_zydis(j, &insn, o);
        if (reads_zydis(o->actions))
            judge_operand(j, address, o->size / 8, false, &total);
        if (writes_zydis(o->actions))
            judge_operand(j, address, o->size / 8, true, &total);
    }
    for (unsigned i = 0; i < told_count; i++)
        all += told[i].kind == TOLD_BEFORE ? size_of(&told[i]) : 0;
    if (j->ran ? all != total : all > total)
        mistake(j, "Zydis: %u bytes in all, and %u are told", total, all);
}

/* --- control --- */

static unsigned count_of(enum told_kind kind, const struct told **last)
{
    unsigned count = 0;

    for (unsigned i = 0; i < told_count; i++) {
        if (told[i].kind == kind && told[i].value[0] == last[0]->value[0]) {
            count++;
            last[1] = &told[i];
        }
    }
    return count;
}

static enum told_kind transfer(const struct judge *j)
{
    switch (j->insn.lowering) {
    case X86_LOWER_JCC:
    case X86_LOWER_LOOP:
    case X86_LOWER_JMP:
    case X86_LOWER_JMP_R: return TOLD_BRANCH;
    case X86_LOWER_CALL:
    case X86_LOWER_CALL_R: return TOLD_CALL;
    case X86_LOWER_RET:
    case X86_LOWER_IRET: return TOLD_RET;
    case X86_LOWER_FAR:
        return j->insn.native.opcode != 0xff   ? TOLD_RET
               : (j->insn.native.reg & 7) == 3 ? TOLD_CALL
                                               : TOLD_BRANCH;
    default: return TOLD_KINDS;
    }
}

static void judge_branch(struct judge *j)
{
    struct told here = {.value = {j->c->machine.rip}};
    const struct told *found[2] = {&here, NULL};
    uint64_t behind = here.value[0] + j->insn.length, to = j->native->machine.rip;
    bool taken;

    to -= j->native->fault.signal == SIGTRAP;
    for (enum told_kind kind = TOLD_BRANCH; kind <= TOLD_RET; kind++) {
        unsigned count = count_of(kind, found);

        if (count != (kind == transfer(j) && (j->ran || j->fetched)))
            mistake(j, "%s is told %u times", KIND[kind].name, count);
    }
    if (found[1] == NULL)
        return;
    if (found[1]->value[1] != to)
        mistake(j, "it goes to %#lx, and %#lx is told", (unsigned long)to,
                (unsigned long)found[1]->value[1]);
    taken = found[1]->value[2];
    if (found[1]->kind == TOLD_CALL && found[1]->value[2] != behind)
        mistake(j, "a call returns to %#lx, not %#lx", (unsigned long)behind,
                (unsigned long)found[1]->value[2]);
    if (found[1]->kind == TOLD_BRANCH && j->insn.target != behind && taken != (to != behind))
        mistake(j, "a jump is told as %staken", taken ? "" : "not ");
}

static void judge_insn(struct judge *j)
{
    struct told here = {.value = {j->c->machine.rip}};
    const struct told *found[2] = {&here, NULL};
    unsigned count = count_of(TOLD_INSN, found);

    if (count != 1 || found[1]->value[1] != j->insn.length)
        mistake(j, "guest_insn is told %u times", count);
}

static void judge_sign(struct judge *j)
{
    bool sign = strncmp(j->insn.row->mnemonic, "movsx", 5) == 0;

    for (unsigned i = 0; i < told_count; i++)
        if (told[i].kind == TOLD_BEFORE && !(told[i].value[1] & INFO_SIGN) == sign)
            mistake(j, "info says %s", sign ? "nothing of the sign" : "that it extends a sign");
}

bool told_judge(const struct test_case *c, const struct outcome *native, const uint8_t *memory,
                struct strbuf *mistakes)
{
    struct judge j = {.c = c, .native = native, .out = mistakes};
    const struct machine_fault *fault = &native->fault;
    bool page = fault->trap == TRAP_PAGE;

    if (!operands_decode(c->bytes, c->size, c->code, &j.insn))
        bug("the case cannot be decoded");
    /* Of a branch into a place where no instruction is, and of what cannot be fetched itself. */
    j.fetched = page && fault->error & FETCH && native->machine.rip != c->machine.rip;
    if ((page && fault->error & FETCH && !j.fetched) || fault->signal == SIGILL)
        return true;
    j.ran = fault->signal == SIGTRAP || j.fetched;
    j.memory_fault = page && !j.fetched;
    /* The target is refused when all else is done. */
    if (transfer(&j) != TOLD_KINDS && fault->trap == TRAP_PROTECTION)
        return true;
    j.memory = malloc(scratch_kept());
    if (j.memory == NULL)
        bug("no memory");
    memcpy(j.memory, scratch_initial(), scratch_kept());
    for (unsigned i = 0; i < told_count; i++)
        if (told[i].kind == TOLD_AFTER)
            judge_value(&j, &told[i]);
    if (j.ran)
        judge_stores(&j, memory);
    judge_pairs(&j);
    judge_fault(&j);
    if (j.ran || j.memory_fault)
        judge_zydis(&j);
    judge_branch(&j);
    judge_insn(&j);
    judge_sign(&j);
    if (j.mistakes > 0)
        for (unsigned i = 0; i < told_count && i < 40; i++)
            strbuf_printf(mistakes, "      told: %s %#lx %#lx %#lx %#lx\n", KIND[told[i].kind].name,
                          (unsigned long)told[i].value[0], (unsigned long)told[i].value[1],
                          (unsigned long)told[i].value[2], (unsigned long)told[i].value[3]);
    free(j.memory);
    return j.mistakes == 0;
}
