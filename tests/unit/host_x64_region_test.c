/* SPDX-License-Identifier: MIT
 *
 * Generic operations: random sequences of them, with random sizes, are executed through the engine
 * and compared with C; whatever they borrow, registers and flags of the guest stay as they were.
 *
 * The guest is one of our own: it has a block for each test, built by hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/strbuf.h"
#include "engine_guest.h"
#include "guest/x86/guest.h"
#include "ir/block.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

enum { MAX = 12, ROUNDS = 3000, RESULT = X86_R12 };

static uint64_t random_number(void)
{
    static uint64_t x = 0x2545f4914f6cdd1d;

    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    return x * UINT64_C(0x9e3779b97f4a7c15);
}

static unsigned below(unsigned n)
{
    return (unsigned)(random_number() >> 33) % n;
}

/* Numbers at the edges more often than others. */
static uint64_t random_value(void)
{
    static const uint64_t edges[] = {
        0,    1,      2,      63,         64,         0x7f,         0x80,
        0xff, 0x7fff, 0x8000, 0x7fffffff, 0x80000000, ~UINT64_C(0), UINT64_C(1) << 63};

    return below(2) ? edges[below(COUNT(edges))] : random_number() >> below(64);
}

/* --- the guest --- */

static void (*build)(struct ir_block *block);

static enum ir_translated translate(const void *config, struct ir_block *block,
                                    const uint8_t *bytes, size_t size, unsigned limit)
{
    struct error err = {""};

    (void)config, (void)bytes, (void)size, (void)limit;
    ir_block_insn(block, 1);
    build(block);
    ir_block_insn(block, 1);
    ir_append_exit(block, IR_EXIT_SYSCALL, 0);
    if (!ir_verify(block, &err))
        guest_die("%s\n", err.text);
    return IR_TRANSLATED;
}

static void syscall_effects(void *state)
{
    (void)state; /* none: all registers are looked at */
}

static struct guest guest;
static struct vcpu *vcpu;
static uint64_t before[16], before_flags;

static void open_guest(const struct engine_options *options)
{
    static struct ir_guest by_hand;

    by_hand = x86_guest;
    by_hand.translate = translate;
    by_hand.syscall = syscall_effects;
    guest_open_with(&guest, options, ENGINE_PAGE_EXEC, &by_hand);
    vcpu = guest_cpu_open(&guest, 0);
}

static void close_guest(void)
{
    guest_cpu_close(vcpu);
    guest_close(&guest);
}

/* Runs the block that `build_block` builds, with random registers and flags. */
static void run(void (*build_block)(struct ir_block *block))
{
    struct x86_cpu *cpu = guest_cpu(vcpu);
    uint64_t pc = (uint64_t)(uintptr_t)guest.code;

    build = build_block;
    engine_invalidate(guest.engine, pc, pc + GUEST_PAGE);
    for (unsigned i = 0; i < 16; i++)
        if (i != X86_RSP)
            cpu->state.reg[i] = random_value();
    cpu->state.reg[X86_RBX] = (uint64_t)(uintptr_t)guest.data;
    cpu->state.flags = 0x202 | (random_number() & NATIVE_ARITH);
    cpu->state.pc = pc;
    memcpy(before, cpu->state.reg, sizeof(before));
    before_flags = cpu->state.flags;
    assert_int_equal(guest_run(vcpu), VCPU_SYSCALL);
}

/* --- what C makes of an operation --- */

static uint64_t cut(uint64_t value, unsigned size)
{
    return size == 8 ? value : value & ((UINT64_C(1) << 8 * size) - 1);
}

static int64_t sign(uint64_t value, unsigned size)
{
    return (int64_t)(value << (64 - 8 * size)) >> (64 - 8 * size);
}

static bool holds(enum ir_cond cond, uint64_t a, uint64_t b, unsigned size)
{
    uint64_t ua = cut(a, size), ub = cut(b, size);
    int64_t sa = sign(a, size), sb = sign(b, size);

    switch (cond) {
    case IR_EQ: return ua == ub;
    case IR_NE: return ua != ub;
    case IR_LTU: return ua < ub;
    case IR_GEU: return ua >= ub;
    case IR_LEU: return ua <= ub;
    case IR_GTU: return ua > ub;
    case IR_LTS: return sa < sb;
    case IR_GES: return sa >= sb;
    case IR_LES: return sa <= sb;
    default: return sa > sb;
    }
}

static uint64_t compute(const struct ir_op *op, uint64_t a, uint64_t b)
{
    unsigned size = op->size, count = (unsigned)(b & (8 * size - 1));

    switch (op->op) {
    case IR_MOVE: return a;
    case IR_ADD: return cut(a + b, size);
    case IR_SUB: return cut(a - b, size);
    case IR_MUL: return cut(a * b, size);
    case IR_AND: return cut(a & b, size);
    case IR_OR: return cut(a | b, size);
    case IR_XOR: return cut(a ^ b, size);
    case IR_SHL: return cut(a << count, size);
    case IR_SHR: return cut(cut(a, size) >> count, size);
    case IR_SAR: return cut((uint64_t)(sign(a, size) >> count), size);
    case IR_NOT: return cut(~a, size);
    case IR_NEG: return cut(-a, size);
    case IR_SIGN: return (uint64_t)sign(a, size);
    case IR_ZERO: return cut(a, size);
    default: return holds(op->cond, a, b, size);
    }
}

/* --- random sequences --- */

static const uint8_t computing[] = {IR_MOVE, IR_ADD, IR_SUB,  IR_MUL,  IR_AND,
                                    IR_OR,   IR_XOR, IR_SHL,  IR_SHR,  IR_SAR,
                                    IR_NOT,  IR_NEG, IR_SIGN, IR_ZERO, IR_COMPARE};

static struct ir_op sequence[MAX];
static unsigned sequence_length, result_value;
static bool flags_dead;
static uint16_t killed; /* registers that the next instruction overwrites */

static void random_sequence(void)
{
    sequence_length = 3 + below(MAX - 3);
    for (unsigned i = 0; i < sequence_length; i++) {
        struct ir_op *op = &sequence[i];

        *op = (struct ir_op){.size = (uint8_t)(1u << below(4)), .out = (uint8_t)i};
        if (i < 2 || below(6) == 0) {
            op->op = below(2) ? IR_CONST : IR_GET;
            op->size = 8;
            op->reg = below(16);
            op->imm = random_value();
            continue;
        }
        op->op = computing[below(COUNT(computing))];
        op->cond = (uint8_t)below(10);
        op->in[0] = (uint8_t)below(i);
        op->in[1] = (uint8_t)below(i);
    }
    result_value = sequence_length - 1 - below(2);
    flags_dead = below(2);
    killed = below(2) ? (uint16_t)(random_number() & ~(1u << X86_RSP)) : 0;
}

/* An instruction that overwrites flags and registers, so that they are free before it. */
static void overwrite(struct ir_block *block)
{
    static const struct native_insn test_eax = {.opcode = 0x85, /* TEST EAX, EAX */
                                                .modrm = NATIVE_MODRM_REG,
                                                .segment = NATIVE_DS,
                                                .base = NATIVE_NONE,
                                                .index = NATIVE_NONE,
                                                .gpr_read = 1 << X86_RAX,
                                                .flags_written = NATIVE_ARITH & ~NATIVE_AF,
                                                .flags_undefined = NATIVE_AF};

    ir_block_insn(block, 1);
    for (unsigned reg = 0; reg < 16; reg++) {
        struct native_insn mov = {.opcode = 0xb8, /* MOV r, imm64 */
                                  .w = true,
                                  .rm = (uint8_t)reg,
                                  .segment = NATIVE_DS,
                                  .base = NATIVE_NONE,
                                  .index = NATIVE_NONE,
                                  .imm_size = 8,
                                  .imm = UINT64_C(0x0101010101010101) * reg,
                                  .attributes = NATIVE_OPCODE_REG | NATIVE_RM_GPR,
                                  .gpr_written = (uint16_t)(1u << reg),
                                  .gpr_killed = (uint16_t)(1u << reg)};

        if (killed >> reg & 1 && reg != RESULT) {
            ir_block_insn(block, 1);
            ir_append_native(block, IR_NATIVE, &mov);
        }
    }
    if (flags_dead)
        ir_append_native(block, IR_NATIVE, &test_eax);
}

static void build_sequence(struct ir_block *block)
{
    for (unsigned i = 0; i < sequence_length; i++) {
        struct ir_op *op = ir_append(block, sequence[i].op);
        uint8_t insn = op->insn;

        *op = sequence[i];
        op->insn = insn;
    }
    block->temp_count = sequence_length;
    /* One value to a register, all to the state. */
    for (unsigned i = 0; i < sequence_length; i++) {
        struct ir_op *op = ir_append(block, IR_STORE_STATE);

        op->in[0] = (uint8_t)i;
        op->imm = offsetof(struct ir_state, reg) + 8 * (16 + i);
    }
    ir_append(block, IR_PUT)->in[0] = (uint8_t)result_value;
    block->op[block->op_count - 1].reg = RESULT;
    overwrite(block);
}

static void print_sequence(void)
{
    static struct ir_block block;
    struct strbuf text;

    ir_block_begin(&block, 0);
    ir_block_insn(&block, 1);
    build_sequence(&block);
    strbuf_init(&text);
    ir_print(&block, &text);
    print_error("%s", text.data);
    strbuf_free(&text);
}

static void check_sequence(void)
{
    const struct ir_state *state = vcpu_state(vcpu);
    uint64_t value[MAX];

    for (unsigned i = 0; i < sequence_length; i++) {
        const struct ir_op *op = &sequence[i];

        value[i] = op->op == IR_CONST ? op->imm
                   : op->op == IR_GET ? before[op->reg]
                                      : compute(op, value[op->in[0]], value[op->in[1]]);
        if (state->reg[16 + i] != value[i]) {
            print_sequence();
            fail_msg("value %u is %#lx, not %#lx", i, (unsigned long)state->reg[16 + i],
                     (unsigned long)value[i]);
        }
    }
    for (unsigned reg = 0; reg < 16; reg++) {
        uint64_t expected = reg == RESULT       ? value[result_value]
                            : killed >> reg & 1 ? UINT64_C(0x0101010101010101) * reg
                                                : before[reg];

        if (state->reg[reg] != expected) {
            print_sequence();
            fail_msg("register %u is %#lx, not %#lx", reg, (unsigned long)state->reg[reg],
                     (unsigned long)expected);
        }
    }
    if (!flags_dead && (state->flags & NATIVE_ARITH) != (before_flags & NATIVE_ARITH)) {
        print_sequence();
        fail_msg("flags are %#lx, not %#lx", (unsigned long)state->flags,
                 (unsigned long)before_flags);
    }
}

static void sequences_compute_what_c_does(void **state)
{
    static const struct engine_options options[] = {
        {.count = false}, {.count = true, .self_check = true}, {.no_liveness = true}};

    (void)state;
    for (unsigned i = 0; i < COUNT(options); i++) {
        open_guest(&options[i]);
        for (unsigned round = 0; round < ROUNDS; round++) {
            random_sequence();
            run(build_sequence);
            check_sequence();
        }
        close_guest();
    }
}

/* --- memory --- */

static unsigned access_size, access_offset;
static uint64_t access_value;

static void build_memory(struct ir_block *block)
{
    unsigned base = ir_value(block, IR_GET, 8, 0, 0, 0);
    unsigned offset, address, value;

    block->op[block->op_count - 1].reg = X86_RBX;
    offset = ir_value(block, IR_CONST, 8, 0, 0, access_offset);
    address = ir_value(block, IR_ADD, 8, base, offset, 0);
    value = ir_value(block, IR_CONST, 8, 0, 0, access_value);
    ir_append(block, IR_STORE)->size = (uint8_t)access_size;
    block->op[block->op_count - 1].in[0] = (uint8_t)address;
    block->op[block->op_count - 1].in[1] = (uint8_t)value;
    value = ir_value(block, IR_LOAD, access_size, address, 0, 0);
    ir_append(block, IR_PUT)->in[0] = (uint8_t)value;
    block->op[block->op_count - 1].reg = RESULT;
}

static void memory_is_stored_and_loaded(void **state)
{
    (void)state;
    open_guest(NULL);
    for (unsigned round = 0; round < 400; round++) {
        uint64_t there = 0, expected = UINT64_C(0xaaaaaaaaaaaaaaaa);

        access_size = 1u << round % 4;
        access_offset = below(100);
        access_value = random_value();
        memset(guest.data, 0xaa, 128);
        run(build_memory);
        memcpy(&there, guest.data + access_offset, 8);
        memcpy(&expected, &access_value, access_size);
        assert_int_equal(there, expected);
        assert_int_equal(guest_cpu(vcpu)->state.reg[RESULT], cut(access_value, access_size));
        assert_int_equal(guest_cpu(vcpu)->state.flags & NATIVE_ARITH, before_flags & NATIVE_ARITH);
    }
    close_guest();
}

static void build_bad_load(struct ir_block *block)
{
    unsigned address = ir_value(block, IR_CONST, 8, 0, 0, 0x1000);
    unsigned sum = ir_value(block, IR_ADD, 8, address, address, 0);

    ir_append(block, IR_PUT)->in[0] = (uint8_t)ir_value(block, IR_LOAD, 8, sum, 0, 0);
    block->op[block->op_count - 1].reg = RESULT;
}

/* The guest's registers and flags are what they were before the region. */
static void a_fault_within_a_region_is_exact(void **state)
{
    (void)state;
    open_guest(NULL);
    build = build_bad_load;
    for (unsigned round = 0; round < 50; round++) {
        struct x86_cpu *cpu = guest_cpu(vcpu);

        for (unsigned i = 0; i < 16; i++)
            if (i != X86_RSP)
                cpu->state.reg[i] = random_value();
        cpu->state.flags = 0x202 | (random_number() & NATIVE_ARITH);
        cpu->state.pc = (uint64_t)(uintptr_t)guest.code;
        memcpy(before, cpu->state.reg, sizeof(before));
        before_flags = cpu->state.flags;
        assert_int_equal(guest_run(vcpu), VCPU_FAULT);
        assert_int_equal(vcpu_fault(vcpu)->address, 0x2000);
        assert_memory_equal(cpu->state.reg, before, sizeof(before));
        assert_int_equal(cpu->state.flags & NATIVE_ARITH, before_flags & NATIVE_ARITH);
        assert_int_equal(cpu->state.pc, (uint64_t)(uintptr_t)guest.code);
    }
    close_guest();
}

/* --- state, branches, addresses --- */

static void build_state(struct ir_block *block)
{
    unsigned value =
        ir_value(block, IR_LOAD_STATE, access_size, 0, 0, offsetof(struct ir_state, reg) + 8 * 20);

    ir_append(block, IR_PUT)->in[0] = (uint8_t)value;
    block->op[block->op_count - 1].reg = RESULT;
}

static void state_is_loaded_by_size(void **state)
{
    (void)state;
    open_guest(NULL);
    for (unsigned round = 0; round < 16; round++) {
        uint64_t value = random_number();

        access_size = 1u << round % 4;
        guest_cpu(vcpu)->state.reg[20] = value;
        run(build_state);
        assert_int_equal(guest_cpu(vcpu)->state.reg[RESULT], cut(value, access_size));
    }
    close_guest();
}

/* RESULT = RAX != 0 ? 5 : 7, and a value made before the branch is good on both ways. */
static void build_branch(struct ir_block *block)
{
    unsigned kept = ir_value(block, IR_CONST, 8, 0, 0, 100);
    unsigned a = ir_value(block, IR_GET, 8, 0, 0, 0);
    unsigned five = ir_value(block, IR_CONST, 8, 0, 0, 5);
    unsigned out = ir_value(block, IR_CONST, 8, 0, 0, 7);
    struct ir_op *op;

    block->op[block->op_count - 1].out = (uint8_t)out;
    op = ir_append(block, IR_BRANCH_ZERO);
    op->in[0] = (uint8_t)a;
    op->imm = 0;
    op = ir_append(block, IR_MOVE);
    op->in[0] = (uint8_t)five;
    op->out = (uint8_t)out;
    ir_append(block, IR_BRANCH)->imm = 1;
    ir_append(block, IR_LABEL)->imm = 0;
    op = ir_append(block, IR_ADD); /* only the way of zero: 7 + 100 */
    op->in[0] = (uint8_t)out;
    op->in[1] = (uint8_t)kept;
    op->out = (uint8_t)out;
    ir_append(block, IR_LABEL)->imm = 1;
    ir_append(block, IR_PUT)->in[0] = (uint8_t)out;
    block->op[block->op_count - 1].reg = RESULT;
}

static void branches_go_where_the_value_says(void **state)
{
    (void)state;
    open_guest(NULL);
    for (unsigned round = 0; round < 200; round++) {
        run(build_branch);
        assert_int_equal(guest_cpu(vcpu)->state.reg[RESULT], before[X86_RAX] ? 5 : 107);
        assert_int_equal(guest_cpu(vcpu)->state.flags & NATIVE_ARITH, before_flags & NATIVE_ARITH);
    }
    close_guest();
}

static struct native_insn operand;

static void build_address(struct ir_block *block)
{
    struct ir_op *op;
    unsigned value;

    value = ir_value(block, IR_ADDRESS, 8, 0, 0, 0);
    op = &block->op[block->op_count - 1];
    op->native = (uint16_t)ir_native_add(block, &operand);
    op->reg = IR_ACCESS_OPERAND;
    ir_append(block, IR_PUT)->in[0] = (uint8_t)value;
    block->op[block->op_count - 1].reg = RESULT;
}

static void addresses_are_linear(void **state)
{
    static const uint8_t segments[] = {NATIVE_DS, NATIVE_DS, NATIVE_FS, NATIVE_GS};

    (void)state;
    open_guest(NULL);
    for (unsigned round = 0; round < 1000; round++) {
        uint64_t expected;

        operand = (struct native_insn){.opcode = 0x8b,
                                       .modrm = NATIVE_MODRM_MEM,
                                       .base = (uint8_t)below(16),
                                       .index = NATIVE_NONE,
                                       .scale = 1,
                                       .segment = segments[below(4)],
                                       .disp = (int32_t)random_number(),
                                       .prefix = below(4) ? 0 : NATIVE_67};
        operand.gpr_read = (uint16_t)(1u << operand.base);
        if (below(2)) {
            do
                operand.index = (uint8_t)below(16);
            while (operand.index == X86_RSP);
            operand.scale = (uint8_t)(1u << below(4));
            operand.gpr_read |= (uint16_t)(1u << operand.index);
        }
        guest_cpu(vcpu)->state.thread_base = 0x7000;
        guest_cpu(vcpu)->state.other_base = 0x5000;
        run(build_address);
        expected = before[operand.base] + (uint64_t)(int64_t)operand.disp;
        if (operand.index != NATIVE_NONE)
            expected += before[operand.index] * operand.scale;
        if (operand.prefix & NATIVE_67)
            expected = (uint32_t)expected;
        if (operand.segment == NATIVE_FS)
            expected += 0x7000;
        if (operand.segment == NATIVE_GS)
            expected += 0x5000;
        assert_int_equal(guest_cpu(vcpu)->state.reg[RESULT], expected);
        for (unsigned reg = 0; reg < 16; reg++)
            if (reg != RESULT)
                assert_int_equal(guest_cpu(vcpu)->state.reg[reg], before[reg]);
    }
    close_guest();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sequences_compute_what_c_does),
        cmocka_unit_test(memory_is_stored_and_loaded),
        cmocka_unit_test(a_fault_within_a_region_is_exact),
        cmocka_unit_test(state_is_loaded_by_size),
        cmocka_unit_test(branches_go_where_the_value_says),
        cmocka_unit_test(addresses_are_linear),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
