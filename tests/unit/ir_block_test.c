/* SPDX-License-Identifier: MIT
 *
 * Blocks: built, verified, printed; liveness of flags and registers; the list of operations. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/error.h"
#include "base/strbuf.h"
#include "ir/block.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

enum { PC = 0x401000, ALL_GPR = 0xffff };

static struct ir_block block;

static int set_up(void **state)
{
    (void)state;
    memset(&block, 0xa5, sizeof(block)); /* nothing may rest on what was there */
    ir_block_begin(&block, PC);
    return 0;
}

/* --- the list --- */

static void operations_have_rows(void **state)
{
    (void)state;
    for (unsigned op = 0; op < IR_OP_COUNT; op++) {
        unsigned flags = ir_op_flags(op);

        assert_non_null(ir_op_name(op));
        assert_true(ir_op_outputs(op) <= 1);
        assert_true(ir_op_inputs(op) <= 2);
        if (flags & IR_PURE)
            assert_int_equal(ir_op_outputs(op), 1);
        if (flags & IR_ENDS)
            assert_true(flags & IR_LEAVES);
        for (unsigned other = 0; other < op; other++)
            assert_string_not_equal(ir_op_name(op), ir_op_name(other));
    }
    assert_string_equal(ir_op_name(IR_STORE), "store");
    assert_int_equal(ir_op_inputs(IR_STORE), 2);
    assert_int_equal(ir_op_outputs(IR_STORE), 0);
    assert_true(ir_op_flags(IR_STORE) & IR_MEMORY);
    assert_true(ir_op_flags(IR_ADD) & IR_CLOBBERS);
    assert_true(ir_op_flags(IR_EXIT) & IR_ENDS);
}

/* --- building --- */

static void instructions_and_operations_are_in_order(void **state)
{
    static const struct native_insn nop = {.opcode = 0x90};
    unsigned a, b;

    (void)state;
    assert_true(ir_block_insn(&block, 3));
    a = ir_value(&block, IR_CONST, 4, 0, 0, 77);
    b = ir_value(&block, IR_NOT, 8, a, 0, 0);
    assert_int_equal(a, 0);
    assert_int_equal(b, 1);
    assert_true(ir_block_insn(&block, 5));
    ir_append_native(&block, IR_NATIVE, &nop);
    assert_int_equal(ir_value(&block, IR_GET, 8, 0, 0, 0), 0); /* values begin anew */
    assert_false(block.ended);
    ir_append_exit(&block, IR_EXIT_TRAP, 13);
    assert_true(block.ended);
    assert_int_equal(block.pc, PC);
    assert_int_equal(block.bytes, 8);
    assert_int_equal(block.insn_count, 2);
    assert_int_equal(block.insn[1].offset, 3);
    assert_int_equal(block.insn[1].length, 5);
    assert_int_equal(block.op_count, 7);
    assert_int_equal(block.op[0].op, IR_INSN);
    assert_int_equal(block.op[1].size, 4);
    assert_int_equal(block.op[2].insn, 0);
    assert_int_equal(block.op[3].insn, 1);
    assert_int_equal(block.op[4].native, 0);
    assert_int_equal(block.native[0].opcode, 0x90);
    assert_int_equal(block.op[6].reg, IR_EXIT_TRAP);
    assert_int_equal(block.op[6].imm, 13);
    assert_int_equal(ir_append_jump(&block, 5)->imm, 5);
}

static void a_full_block_says_so(void **state)
{
    static const struct native_insn nop = {.opcode = 0x90};
    unsigned count = 0;

    (void)state;
    while (ir_block_insn(&block, 1))
        count++;
    assert_int_equal(count, IR_BLOCK_INSNS);
    /* By bytes. */
    ir_block_begin(&block, PC);
    for (count = 0; ir_block_insn(&block, 255); count++)
        ;
    assert_int_equal(count, IR_BLOCK_BYTES / 255);
    /* By operations: all that one instruction may append still fits. */
    ir_block_begin(&block, PC);
    for (count = 0; ir_block_insn(&block, 1); count++)
        for (unsigned i = 1; i < IR_OPS_AN_INSN; i++)
            ir_append(&block, IR_STREAM_CLOSE);
    assert_true(count > 10 && count < IR_BLOCK_INSNS);
    assert_true(block.op_count <= IR_BLOCK_OPS / 2);
    /* By native instructions. */
    ir_block_begin(&block, PC);
    for (count = 0; ir_block_insn(&block, 1); count++)
        for (unsigned i = 0; i < 8; i++)
            ir_native_add(&block, &nop);
    assert_true(count < IR_BLOCK_INSNS);
    assert_true(block.native_count <= COUNT(block.native));
}

/* --- verifying --- */

static void sentence_is(const char *sentence)
{
    struct error err = {""};

    if (!sentence) {
        if (!ir_verify(&block, &err))
            fail_msg("%s", err.text);
        return;
    }
    assert_false(ir_verify(&block, &err));
    assert_string_equal(err.text, sentence);
}

static void end_missing(void)
{
    ir_append(&block, IR_STREAM_CLOSE);
}

static void end_in_the_middle(void)
{
    ir_append_jump(&block, 1);
    ir_append(&block, IR_STREAM_CLOSE);
    ir_append_jump(&block, 1);
}

static void no_such_operation(void)
{
    ir_append(&block, IR_STREAM_CLOSE)->op = 200;
    ir_append_jump(&block, 1);
}

static void value_never_made(void)
{
    ir_value(&block, IR_CONST, 8, 0, 0, 1);
    ir_value(&block, IR_ADD, 8, 0, 7, 0);
    ir_append_jump(&block, 1);
}

static void value_of_another_instruction(void)
{
    unsigned a = ir_value(&block, IR_CONST, 8, 0, 0, 1);

    ir_block_insn(&block, 1);
    ir_append(&block, IR_PUT)->in[0] = (uint8_t)a;
    ir_append_jump(&block, 1);
}

static void value_out_of_range(void)
{
    ir_append(&block, IR_CONST)->out = IR_BLOCK_TEMPS;
    ir_append_jump(&block, 1);
}

static void wrong_size(void)
{
    ir_value(&block, IR_CONST, 3, 0, 0, 1);
    ir_append_jump(&block, 1);
}

static void correct(void)
{
    unsigned a = ir_value(&block, IR_CONST, 8, 0, 0, 1);
    unsigned b = ir_value(&block, IR_GET, 4, 0, 0, 0);

    ir_value(&block, IR_ADD, 4, a, b, 0);
    ir_append_jump(&block, 1);
}

static void each_error_has_its_sentence(void **state)
{
    static const struct {
        void (*build)(void);
        const char *sentence;
    } cases[] = {
        {correct, NULL},
        {end_missing, "the block at 0x401000 does not end"},
        {end_in_the_middle, "operation 1 (jump) ends the block, but 2 follow"},
        {no_such_operation, "operation 1: there is no operation 200"},
        {value_never_made, "operation 2 (add) reads value 7, which nothing before it makes"},
        {value_of_another_instruction,
         "operation 3 (put) reads value 0, which nothing before it makes"},
        {value_out_of_range, "operation 1 (const) makes value 48; there are 48"},
        {wrong_size, "operation 1 (const): size 3"},
    };

    (void)state;
    sentence_is("the block at 0x401000 does not end"); /* it is empty */
    for (unsigned i = 0; i < COUNT(cases); i++) {
        ir_block_begin(&block, PC);
        ir_block_insn(&block, 1);
        cases[i].build();
        sentence_is(cases[i].sentence);
    }
}

/* --- printing --- */

static void a_block_is_printed_an_operation_a_line(void **state)
{
    static const struct native_insn mov = {
        .opcode = 0x89, .modrm = NATIVE_MODRM_REG, .reg = 4, .rm = 7};
    static const struct native_insn load = {.opcode = 0x8b,
                                            .modrm = NATIVE_MODRM_MEM,
                                            .reg = 1,
                                            .base = 3,
                                            .index = NATIVE_NONE,
                                            .scale = 1,
                                            .disp = -8};
    static const struct native_insn rip = {
        .opcode = 0x8b, .modrm = NATIVE_MODRM_MEM, .base = NATIVE_RIP, .address = 0x1234};
    struct strbuf text;
    unsigned a, b;

    (void)state;
    strbuf_init(&text);
    ir_block_insn(&block, 1);
    ir_append_native(&block, IR_NATIVE, &mov);
    ir_append_native(&block, IR_NATIVE, &load);
    ir_append_native(&block, IR_NATIVE, &rip);
    ir_block_insn(&block, 2);
    a = ir_value(&block, IR_CONST, 8, 0, 0, 16);
    b = ir_value(&block, IR_GET, 8, 0, 0, 0);
    block.op[block.op_count - 1].reg = 5;
    ir_value(&block, IR_ADD, 8, a, b, 0);
    block.op[block.op_count - 1].flags_live = true;
    ir_append(&block, IR_STORE)->in[1] = 2;
    ir_append_jump(&block, 0x99)->reg = IR_KIND_CALL;
    ir_print(&block, &text);
    assert_string_equal(text.data, " ---- 0000000000401000 1\n"
                                   " native map=0 opcode=89 reg=4 rm=7\n"
                                   " native map=0 opcode=8b reg=1 [base=3 index=-1*1 -8]\n"
                                   " native map=0 opcode=8b reg=0 [0x1234]\n"
                                   " ---- 0000000000401001 2\n"
                                   " const t0, $0x10\n"
                                   " get t1, r5\n"
                                   " add t2, t0, t1 (flags live)\n"
                                   " store t0, t2\n"
                                   " jump call $0x99\n");
    strbuf_free(&text);
}

/* --- liveness --- */

static void native(struct native_insn insn)
{
    ir_block_insn(&block, 1);
    ir_append_native(&block, IR_NATIVE, &insn);
}

/* An operation that asks for liveness, as the engine's are; its index. */
static unsigned ask(void)
{
    ir_append(&block, IR_COUNT);
    return block.op_count - 1;
}

static const struct native_insn writes_flags = {.flags_written = NATIVE_ARITH};
static const struct native_insn reads_carry = {.flags_read = NATIVE_CF};

static void flags_are_dead_before_they_are_overwritten(void **state)
{
    unsigned before, between, behind;

    (void)state;
    ir_block_insn(&block, 1);
    before = ask();
    native(writes_flags);
    between = ask();
    native(reads_carry);
    behind = ask();
    native(writes_flags);
    ir_append_jump(&block, 1);
    ir_liveness(&block, false);
    assert_false(block.op[before].flags_live);
    assert_true(block.op[between].flags_live);
    assert_false(block.op[behind].flags_live);
    assert_true(block.op[block.op_count - 1].flags_live); /* at the end all are wanted */
    ir_liveness(&block, true);
    assert_true(block.op[before].flags_live);
    assert_int_equal(block.op[before].gpr_free, 0);
}

/* Whether the flags are alive before an instruction: at the end of a block, where all are wanted,
 * and before an instruction that overwrites all. */
static void flags_half_written_stay_alive(void **state)
{
    enum { NOT_AF = NATIVE_ARITH & ~NATIVE_AF, CF_OF = NATIVE_CF | NATIVE_OF };
    static const struct {
        struct native_insn insn;
        bool at_end, overwritten;
    } cases[] = {
        {{.flags_written = NATIVE_ARITH}, false, false},
        {{.flags_written = NATIVE_ARITH & ~NATIVE_CF}, true, false},             /* INC */
        {{.flags_may = NATIVE_ARITH}, true, true},                               /* SHL by CL */
        {{.flags_written = NOT_AF, .flags_undefined = NATIVE_AF}, false, false}, /* AND */
        {{.flags_written = CF_OF, .flags_undefined = NATIVE_ARITH & ~CF_OF}, true, true}, /* IMUL */
        {{.flags_written = NATIVE_ARITH, .flags_read = NATIVE_CF}, true, true},           /* ADC */
        {{.flags_written = NATIVE_ARITH, .attributes = NATIVE_MAY_FAULT}, true, true},
        {{.flags_written = NATIVE_DF}, true, false},
        {{.opcode = 0x90}, true, false},
    };

    (void)state;
    for (unsigned i = 0; i < COUNT(cases); i++) {
        for (unsigned overwritten = 0; overwritten < 2; overwritten++) {
            unsigned before;

            ir_block_begin(&block, PC);
            ir_block_insn(&block, 1);
            before = ask();
            native(cases[i].insn);
            if (overwritten)
                native(writes_flags);
            ir_append_jump(&block, 1);
            ir_liveness(&block, false);
            if (block.op[before].flags_live !=
                (overwritten ? cases[i].overwritten : cases[i].at_end))
                fail_msg("case %u, overwritten %u: flags are %s", i, overwritten,
                         block.op[before].flags_live ? "alive" : "dead");
        }
    }
}

static void registers_are_free_before_they_are_overwritten(void **state)
{
    static const struct native_insn kills_r11 = {.gpr_killed = 1 << 11, .gpr_written = 1 << 11};
    static const struct native_insn writes_r10 = {.gpr_written = 1 << 10}; /* in part */
    static const struct native_insn reads_r9 = {.gpr_read = 1 << 9};
    static const struct native_insn kills_r9_reading = {.gpr_killed = 1 << 9, .gpr_read = 1 << 9};
    unsigned before, behind;

    (void)state;
    ir_block_insn(&block, 1);
    before = ask();
    native(reads_r9);
    native(kills_r11);
    native(writes_r10);
    behind = ask();
    native(kills_r9_reading);
    ir_append_jump(&block, 1);
    ir_liveness(&block, false);
    assert_int_equal(block.op[before].gpr_free, 1 << 11);
    assert_int_equal(block.op[behind].gpr_free, 0);
}

/* Everything that can show the state to somebody reads all of it. */
static void what_may_leave_reads_everything(void **state)
{
    static const uint8_t leaving[] = {IR_LOAD,       IR_STORE,        IR_TARGET,
                                      IR_JUMP_IF,    IR_JUMP_LOOP,    IR_STREAM_OPEN,
                                      IR_CHECK_CODE, IR_STREAM_MEMORY};
    static const struct native_insn kills_all = {.gpr_killed = ALL_GPR,
                                                 .flags_written = NATIVE_ARITH};
    struct native_insn faults = {.attributes = NATIVE_MAY_FAULT};
    unsigned before;

    (void)state;
    for (unsigned i = 0; i <= COUNT(leaving); i++) {
        ir_block_begin(&block, PC);
        ir_block_insn(&block, 1);
        before = ask();
        if (i < COUNT(leaving))
            ir_append(&block, leaving[i]);
        else
            native(faults);
        native(kills_all);
        ir_append_jump(&block, 1);
        ir_liveness(&block, false);
        if (block.op[before].gpr_free != 0 || !block.op[before].flags_live)
            fail_msg("case %u: free %#x", i, block.op[before].gpr_free);
    }
    /* And what only reads: GET, an address. */
    ir_block_begin(&block, PC);
    ir_block_insn(&block, 1);
    before = ask();
    ir_append(&block, IR_GET)->reg = 3;
    ir_append(&block, IR_STREAM_ADDRESS)->native =
        (uint16_t)ir_native_add(&block, &(struct native_insn){.gpr_read = 1 << 5});
    native(kills_all);
    ir_append_jump(&block, 1);
    ir_liveness(&block, false);
    assert_int_equal(block.op[before].gpr_free, ALL_GPR & ~(1 << 3 | 1 << 5));
    assert_false(block.op[before].flags_live);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(operations_have_rows, set_up),
        cmocka_unit_test_setup(instructions_and_operations_are_in_order, set_up),
        cmocka_unit_test_setup(a_full_block_says_so, set_up),
        cmocka_unit_test_setup(each_error_has_its_sentence, set_up),
        cmocka_unit_test_setup(a_block_is_printed_an_operation_a_line, set_up),
        cmocka_unit_test_setup(flags_are_dead_before_they_are_overwritten, set_up),
        cmocka_unit_test_setup(flags_half_written_stay_alive, set_up),
        cmocka_unit_test_setup(registers_are_free_before_they_are_overwritten, set_up),
        cmocka_unit_test_setup(what_may_leave_reads_everything, set_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
