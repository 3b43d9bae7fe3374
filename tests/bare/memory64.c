/* build: 64 */
/* SPDX-License-Identifier: MIT
 *
 * Each way in which an instruction reaches memory, at places that a translator's cache of pages
 * finds hard: across two pages that are no neighbours in RAM, onto a page that is absent or must
 * not be written, beside an address that falls into the same place of such a cache, and at an
 * address that is not canonical. What is done must be the same everywhere, or nothing.
 */
#include "bare.h"

enum { MEMORY = 0x600000, FIRST = 0x140, FILLED = 64 };
#define PLACE     UINT64_C(0x555000000000)
#define ABSENT    (PLACE + 0x2000)
#define READ_ONLY (PLACE + 0x3000)
#define OTHER     (PLACE + 0x10000000) /* 2^16 pages further on */
/* The first 2 MiB are the supervisor's; here user mode sees them. */
#define USER_VIEW UINT64_C(0x222000000000)

enum { READS = 0, WRITES = 1, STACK = 2, PUSHES = 4, BYTE = 8, ALIGNED = 16 };

struct item {
    const char *name, *code;
    unsigned size, how;
};

#define ITEMS(X)                                                                                  \
    X(load_high, "MOV CH, m", 1, READS, "mov (%rbx), %ch")                                        \
    X(store_high, "MOV m, CH", 1, WRITES, "mov %ch, (%rbx)")                                      \
    X(store_dh, "MOV m, DH", 1, WRITES, "mov %dh, (%rbx)")                                        \
    X(xchg_high, "XCHG m, AH", 1, WRITES, "xchg %ah, (%rbx)")                                     \
    X(xadd_high, "XADD m, CH", 1, WRITES, "xadd %ch, (%rbx)")                                     \
    X(cmpxchg_high, "CMPXCHG m, CH", 1, WRITES, "cmpxchg %ch, (%rbx)")                            \
    X(add_high, "ADD CH, m", 1, READS, "add (%rbx), %ch")                                         \
    X(load_cl, "MOV CL, m", 1, READS, "mov (%rbx), %cl")                                          \
    X(load_r9b, "MOV R9B, m", 1, READS, "mov (%rbx), %r9b")                                       \
    X(load_word, "MOV R8W, m", 2, READS, "mov (%rbx), %r8w")                                      \
    X(load_long, "MOV R10D, m", 4, READS, "mov (%rbx), %r10d")                                    \
    X(load_quad, "MOV R11, m", 8, READS, "mov (%rbx), %r11")                                      \
    X(store_word, "MOV m, R8W", 2, WRITES, "mov %r8w, (%rbx)")                                    \
    X(store_quad, "MOV m, RCX", 8, WRITES, "mov %rcx, (%rbx)")                                    \
    X(store_imm, "MOV m, imm", 8, WRITES, "movq $-5, (%rbx)")                                     \
    X(movzx, "MOVZX", 2, READS, "movzwl (%rbx), %ecx")                                            \
    X(movsx, "MOVSXD", 4, READS, "movslq (%rbx), %r9")                                            \
    X(movbe, "MOVBE", 8, WRITES, "movbe %r10, (%rbx)")                                            \
    X(add_rcx, "ADD m, RCX", 8, WRITES, "add %rcx, (%rbx)")                                       \
    X(sbb, "SBB RCX, m", 8, READS, "sbb (%rbx), %rcx")                                            \
    X(adc_r9, "ADC m, R9D", 4, WRITES, "adc %r9d, (%rbx)")                                        \
    X(lock_add, "LOCK ADD", 4, WRITES, "lock addl $0x1020304, (%rbx)")                            \
    X(lock_xadd, "LOCK XADD m, R10", 8, WRITES, "lock xadd %r10, (%rbx)")                         \
    X(lock_inc, "LOCK INC", 2, WRITES, "lock incw (%rbx)")                                        \
    X(neg, "NEG", 4, WRITES, "negl (%rbx)")                                                       \
    X(xchg_r8, "XCHG m, R8", 8, WRITES, "xchg %r8, (%rbx)")                                       \
    X(shl_cl, "SHL m, CL", 4, WRITES, "shll %cl, (%rbx)")                                         \
    X(rcr_cl, "RCR m, CL", 8, WRITES, "rcrq %cl, (%rbx)")                                         \
    X(shld_cl, "SHLD m, R11, CL", 8, WRITES, "shld %cl, %r11, (%rbx)")                            \
    X(shrd, "SHRD m, ECX, 5", 4, WRITES, "shrd $5, %ecx, (%rbx)")                                 \
    X(imul, "IMUL RCX, m", 8, READS, "imul (%rbx), %rcx")                                         \
    X(mul, "MUL m", 8, READS, "mulq (%rbx)")                                                      \
    X(mulx, "MULX R8, R9, m", 8, READS, "mulx (%rbx), %r8, %r9")                                  \
    X(andn, "ANDN R10, R11, m", 8, READS, "andn (%rbx), %r11, %r10")                              \
    X(shlx, "SHLX R9D, m, ECX", 4, READS, "shlx %ecx, (%rbx), %r9d")                              \
    X(cmov, "CMOV that is not done", 8, READS, "cmovc (%rbx), %r8")                               \
    X(setcc, "SETcc", 1, WRITES, "setnc (%rbx)")                                                  \
    X(cmpxchg_no, "CMPXCHG that does not exchange", 8, WRITES, "cmpxchg %r9, (%rbx)")             \
    X(cmpxchg8b, "CMPXCHG8B", 8, WRITES, "lock cmpxchg8b (%rbx)")                                 \
    X(cmpxchg16b, "CMPXCHG16B", 16, WRITES | ALIGNED, "lock cmpxchg16b (%rbx)")                   \
    X(bt, "BT m, RCX", 8, READS, "mov $13, %ecx; bt %rcx, (%rbx)")                                \
    X(bts_r9, "BTS m, R9D", 4, WRITES, "mov $21, %r9d; bts %r9d, (%rbx)")                         \
    X(lock_btc, "LOCK BTC m, ECX, far away", 4, WRITES,                                           \
      "lea 0x200(%rbx), %rbx; mov $-0x1000 + 13, %ecx; lock btc %ecx, (%rbx)")                    \
    X(btr_imm, "LOCK BTR m, 17", 4, WRITES, "lock btrl $17, (%rbx)")                              \
    X(index_rcx, "an address with RCX and R9", 8, READS,                                          \
      "xor %ecx, %ecx; mov %rbx, %r9; mov (%r9, %rcx, 8), %r10")                                  \
    X(index_high, "CH and an address with R8 and RCX", 1, READS | BYTE,                           \
      "xor %ecx, %ecx; mov %rbx, %rax; add (%rax, %rcx), %ch")                                    \
    X(address_32, "an address of 32 bits goes elsewhere", 0, READS,                               \
      "mov $0x1000, %ecx; movzbl 8(%ecx), %r8d; xor %r8d, %r8d")                                  \
    X(xlat, "XLAT", 1, READS | BYTE, "xor %eax, %eax; xlat")                                      \
    X(movs_from, "MOVSQ from there", 8, READS, "mov %rbx, %rsi; mov %r12, %rdi; movsq")           \
    X(movs_to, "MOVSQ to there", 8, WRITES, "mov %r12, %rsi; mov %rbx, %rdi; movsq")              \
    X(stos, "STOSQ", 8, WRITES, "mov %rbx, %rdi; stosq")                                          \
    X(lods, "LODSL", 4, READS, "mov %rbx, %rsi; lodsl")                                           \
    X(scas, "SCASQ", 8, READS, "mov %rbx, %rdi; scasq")                                           \
    X(cmps, "CMPSQ", 8, READS, "mov %rbx, %rdi; mov %r12, %rsi; cmpsq")                           \
    X(push, "PUSH R9", 8, WRITES | PUSHES, "push %r9")                                            \
    X(push_16, "PUSH of 16 bits", 2, WRITES | PUSHES, "push %cx")                                 \
    X(push_imm, "PUSH imm", 8, WRITES | PUSHES, "push $-3")                                       \
    X(push_rsp, "PUSH RSP", 8, WRITES | PUSHES, "push %rsp")                                      \
    X(push_memory, "PUSH m", 8, READS, "push (%rbx)")                                             \
    X(push_to, "PUSH m to there", 8, WRITES | PUSHES, "push (%r12)")                              \
    X(pop, "POP R10", 8, READS | STACK, "pop %r10")                                               \
    X(pop_rcx, "POP RCX", 8, READS | STACK, "pop %rcx")                                           \
    X(pop_16, "POP of 16 bits", 2, READS | STACK, "pop %r8w")                                     \
    X(pop_rsp, "POP RSP", 8, READS | STACK, "pop %rsp")                                           \
    X(pop_memory, "POP m", 8, WRITES, "pop (%rbx)")                                               \
    X(pushf, "PUSHF", 8, WRITES | PUSHES, "pushf")                                                \
    X(call, "CALL", 8, WRITES | PUSHES, "call 1f; 1: movq $0, (%rsp)")                            \
    X(call_r, "CALL R9", 8, WRITES | PUSHES, "lea 1f(%rip), %r9; call *%r9; 1: movq $0, (%rsp); " \
                                             "xor %r9d, %r9d")                                    \
    X(enter, "ENTER", 8, WRITES | PUSHES, "enter $0, $0")                                         \
    X(leave, "LEAVE", 8, READS, "mov %rbx, %rbp; leave")                                          \
    X(movups_load, "MOVUPS of a load", 16, READS, "movups (%rbx), %xmm3; movq %xmm3, %rax")       \
    X(movups_store, "MOVUPS of a store", 16, WRITES,                                              \
      "movq %r9, %xmm3; movlhps %xmm3, %xmm3; movups %xmm3, (%rbx)")                              \
    X(movq_r11, "MOVQ", 8, WRITES, "movq %r11, %xmm2; movq %xmm2, (%rbx)")                        \
    X(movhps, "MOVHPS", 8, READS, "xorps %xmm1, %xmm1; movhps (%rbx), %xmm1; movhlps %xmm1, "     \
                                  "%xmm1; movq %xmm1, %rax")                                      \
    X(cvt, "CVTSI2SD", 8, READS, "cvtsi2sdq (%rbx), %xmm1; movq %xmm1, %rcx")                     \
    X(pinsrw, "PINSRW", 2, READS, "pinsrw $1, (%rbx), %xmm1; pextrw $1, %xmm1, %ecx")             \
    X(fild, "FILD", 8, READS, "fninit; fildll (%rbx); fistpll -64(%r12); mov -64(%r12), %rax")    \
    X(fst, "FST of 80 bits", 10, WRITES, "fninit; fld1; fstpt (%rbx)")

#define CODE_OF(id, title, size, how, text) CODE(64, do_##id, text);
ITEMS(CODE_OF)

static const struct item items[] = {
#define ITEM_OF(id, title, size, how, text) {title, do_##id, size, how},
    ITEMS(ITEM_OF)};

static struct event event, expected;
static uint8_t stored[FILLED];

/* The bytes around the place are always the same; from the end on there are none. */
static void fill(word place, word end)
{
    for (word i = 0; i < FILLED; i++) {
        word at = place - FILLED / 2 + i;
        if (at < end) {
            *(volatile uint8_t *)at = (uint8_t)(0x35 + 29 * i);
        }
    }
    for (word i = 0; i < FILLED; i++) {
        ((volatile uint8_t *)OTHER + FIRST)[i] = (uint8_t)(0x71 + 13 * i);
    }
}

static void go(const struct item *item, word place)
{
    struct context context = user_context(item->code);
    context.ip += USER_VIEW;
    context.sp += USER_VIEW;
    context.ax = 0x1122334455667788;
    context.cx = 0x8877665544332211;
    context.dx = 0x0102030405060708;
    context.bp = 0x99aabbccddeeff00;
    context.r8 = 0x0808080818181818;
    context.r9 = 0x0909090919191919;
    context.r10 = 0x1010101020202020;
    context.r11 = 0x1111111121212121;
    context.r12 = OTHER + FIRST;
    context.r15 = 0x1515151525252525;
    context.bx = place;
    if (item->how & STACK) {
        context.sp = place;
    } else if (item->how & PUSHES) {
        context.sp = place + item->size;
    }
    run(&context, &event);
}

/* Registers are the same, or as far from the place as they were. */
static void expect_registers(word place, word before)
{
    const word *got = &event.at.ax, *want = &expected.at.ax;
    for (unsigned i = 0; i < 16; i++) {
        if (got[i] - place != want[i] - before) {
            expect_same("a register", got[i], want[i]);
        }
    }
    expect_same("flags", event.at.flags, expected.at.flags);
}

static void expect_stored(word place)
{
    for (word i = 0; i < FILLED; i++) {
        uint8_t byte = *(volatile uint8_t *)(place - FILLED / 2 + i);
        if (byte != stored[i]) {
            expect_same("a byte in memory", byte, stored[i]);
            return;
        }
    }
}

static void first_time(const struct item *item)
{
    word place = PLACE + FIRST;
    fill(place, ABSENT);
    go(item, place);
    expect_done(&event);
    expected = event;
    memory_copy(stored, (void *)(place - FILLED / 2), FILLED);
    if (item->how & PUSHES && item->how & WRITES) { /* RSP itself may have been pushed */
        fill(place, ABSENT);
    }
}

static void elsewhere(const struct item *item, word place)
{
    bool rsp = item->code == do_push_rsp;
    fill(place, ~(word)0);
    go(item, place);
    expect_done(&event);
    expect_registers(place, PLACE + FIRST);
    if (!rsp) {
        expect_stored(place);
    } else {
        expect(*(volatile word *)place, place + 8);
    }
}

/* Nothing has happened but the fault. */
static void faults(const struct item *item, word place, word end, word error, word at)
{
    static uint8_t before[FILLED];
    word size = place + FILLED / 2 < end ? FILLED : end - (place - FILLED / 2);
    memory_copy(before, (void *)(place - FILLED / 2), size);
    go(item, place);
    expect(event.vector, VECTOR_PF);
    expect(event.error, error);
    expect(event.cr2, at);
    expect(event.at.ip - USER_VIEW - (word)item->code < 24, true);
    if (event.at.ip == (word)item->code + USER_VIEW) { /* else something was done before */
        expect(event.at.ax, 0x1122334455667788);
        expect(event.at.cx, 0x8877665544332211);
        expect(event.at.bp, 0x99aabbccddeeff00);
        expect(event.at.r10, 0x1010101020202020);
        if (item->how & (STACK | PUSHES)) {
            expect(event.at.sp, place + (item->how & PUSHES ? item->size : 0));
        }
    }
    for (word i = 0; i < size; i++) {
        expect_same("a byte in memory", *(volatile uint8_t *)(place - FILLED / 2 + i), before[i]);
    }
}

static void try(const struct item *item)
{
    unsigned step = item->how & ALIGNED ? item->size : 1;
    word write = item->how & WRITES ? ERROR_W : 0;
    test(item->name);
    if (item->how & WRITES) {
        deviation("qemu: what is changed is read first, and a store may be done in part");
    }
    first_time(item);
    elsewhere(item, PLACE + FIRST);
    if (item->size == 0) {
        return;
    }
    elsewhere(item, OTHER + 0x800);
    for (unsigned k = step; k < item->size; k += step) {
        elsewhere(item, PLACE + 0x1000 - k);
    }
    for (unsigned k = 0; k < item->size; k += step) {
        fill(ABSENT - k, ABSENT);
        faults(item, ABSENT - k, ABSENT, write | ERROR_U, ABSENT);
    }
    if (write) {
        faults(item, READ_ONLY + FIRST, READ_ONLY + 0x1000, ERROR_P | ERROR_W | ERROR_U,
               READ_ONLY + FIRST);
    } else {
        go(item, READ_ONLY + FIRST);
        expect_done(&event);
    }
}

/* --- repeated strings */

CODE(64, do_rep_movs, "rep movsb");
CODE(64, do_rep_movsq, "rep movsq");
CODE(64, do_rep_stos, "rep stosl");
CODE(64, do_repe_cmps, "repe cmpsb");
CODE(64, do_repne_scas, "repne scasw");
CODE(64, do_rep_lods, "rep lodsb");

struct repeat {
    const char *name, *code;
    unsigned size;
    bool from, to, write;
};

static const struct repeat repeats[] = {
    {"REP MOVSB into an absent page", do_rep_movs, 1, false, true, true},
    {"REP MOVSB from an absent page", do_rep_movs, 1, true, false, false},
    {"REP MOVSQ into an absent page", do_rep_movsq, 8, false, true, true},
    {"REP STOSL into an absent page", do_rep_stos, 4, false, true, true},
    {"REPE CMPSB with an absent page", do_repe_cmps, 1, false, true, false},
    {"REPNE SCASW into an absent page", do_repne_scas, 2, false, true, false},
    {"REP LODSB from an absent page", do_rep_lods, 1, true, false, false},
};

/* What fits is done, and the registers say how far it is; with the page there it goes on. */
static void repeated(const struct repeat *repeat)
{
    enum { FIT = 48, ALL = 96 };
    struct context context = user_context(repeat->code);
    word begin = ABSENT - FIT, count = FIT / repeat->size;
    test(repeat->name);
    for (word i = 0; i < 0x1000; i++) {
        ((volatile uint8_t *)PLACE + 0x1000)[i] = 0x5a;
        ((volatile uint8_t *)OTHER)[i] = 0x5a;
    }
    context.ip += USER_VIEW;
    context.sp += USER_VIEW;
    context.ax = 0x2211;
    context.cx = ALL / repeat->size;
    context.si = repeat->from ? begin : OTHER;
    context.di = repeat->to ? begin : OTHER;
    run(&context, &event);
    expect(event.vector, VECTOR_PF);
    expect(event.error, ERROR_U | (repeat->write ? ERROR_W : 0));
    expect(event.cr2, ABSENT);
    expect(event.at.ip, context.ip);
    expect(event.at.cx, context.cx - count);
    expect(event.at.si - context.si, repeat->code == do_rep_stos || repeat->code == do_repne_scas ? 0 : FIT);
    expect(event.at.di - context.di, repeat->code == do_rep_lods ? 0 : FIT);
    map_page(ABSENT, MEMORY + 0x6000, PAGE_ALL);
    for (word i = 0; i < 0x1000; i++) {
        ((volatile uint8_t *)ABSENT)[i] = 0x5a;
    }
    struct context rest = event.at;
    run(&rest, &event);
    expect_done(&event);
    expect(event.at.cx, 0);
    *page_entry(ABSENT, 1) = 0;
    flush_all();
}

/* Source and destination fall into the same place of a cache of 2^16 pages. */
static void same_place(void)
{
    static const struct {
        const char *name, *code;
        word count;
    } rows[] = {
        {"REP MOVSB between pages 2^28 apart", do_rep_movs, 0x900},
        {"REP MOVSQ between pages 2^28 apart", do_rep_movsq, 0x100},
        {"REPE CMPSB between pages 2^28 apart", do_repe_cmps, 0x900},
    };
    for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct context context = user_context(rows[i].code);
        test(rows[i].name);
        for (word at = 0; at < 0x1000; at++) {
            ((volatile uint8_t *)OTHER)[at] = (uint8_t)(at * 7);
            ((volatile uint8_t *)PLACE)[at] =
                (uint8_t)(rows[i].code == do_repe_cmps ? at * 7 : 0);
        }
        context.ip += USER_VIEW;
        context.sp += USER_VIEW;
        context.cx = rows[i].count;
        context.si = OTHER + 8;
        context.di = PLACE + 8;
        run(&context, &event);
        expect_done(&event);
        expect(event.at.cx, 0);
        unsigned wrong = 0;
        for (word at = 8; at < rows[i].count; at++) {
            wrong += ((volatile uint8_t *)PLACE)[at] != (uint8_t)(at * 7);
        }
        expect(wrong, 0);
    }
}

/* --- addresses that are not canonical */

#define MODE MODE_KERNEL
#define HOLE "movabs $0x900000000000, %rbp; "
FAULT(64, hole_load, "not canonical: #GP by a load", VECTOR_GP, 0, (), HOLE "mov %rbp, %rax; 9: mov (%rax), %cl")
FAULT(64, hole_rbp, "not canonical: #SS by RBP as base", VECTOR_SS, 0, (DEVIATION("qemu: #GP")), HOLE "9: add %cl, 5(%rbp)")
FAULT(64, hole_ds, "not canonical: #SS by RBP, DS or not", VECTOR_SS, 0, (DEVIATION("qemu: #GP")), HOLE "9: ds mov %ch, (%rbp)")
FAULT(64, hole_index, "not canonical: #GP by RBP as index", VECTOR_GP, 0, (), HOLE "xor %eax, %eax; 9: mov (%rax, %rbp), %cl")
FAULT(64, hole_string, "not canonical: #GP by MOVSB", VECTOR_GP, 0, (), HOLE "mov %rbp, %rsi; mov %rsp, %rdi; sub $64, %rdi; 9: movsb")
FAULT(64, hole_rep, "not canonical: #GP by REP STOSB", VECTOR_GP, 0, (), HOLE "mov %rbp, %rdi; mov $5, %ecx; 9: rep stosb")
CASE(64, hole_rep_none, "not canonical: REP STOSB with RCX 0", (), HOLE "mov %rbp, %rdi; xor %ecx, %ecx; rep stosb")
FAULT(64, hole_bit, "not canonical: #GP by BTS", VECTOR_GP, 0, (), HOLE "xor %edx, %edx; mov %rbp, %rax; 9: bts %rdx, (%rax)")
FAULT(64, hole_leave, "not canonical: #SS by LEAVE", VECTOR_SS, 0, (DEVIATION("qemu: #GP")), HOLE "9: leave")
FAULT(64, hole_jmp, "not canonical: #GP at JMP", VECTOR_GP, 0, (DEVIATION("qemu: at the target")), HOLE "9: jmp *%rbp")
FAULT(64, hole_jump_call, "not canonical: #GP at CALL, RSP kept", VECTOR_GP, 0, (SP(0), DEVIATION("qemu: at the target")), HOLE "9: call *%rbp")
FAULT(64, hole_call_m, "not canonical: #GP at CALL through memory", VECTOR_GP, 0, (SP(0), DEVIATION("qemu: at the target")),
      HOLE "mov %rbp, -64(%rsp); 9: call *-64(%rsp)")
FAULT(64, hole_jump_ret, "not canonical: #GP at RET n, RSP kept", VECTOR_GP, 0, (SP(-8), DEVIATION("qemu: at the target")), HOLE "push %rbp; 9: ret $16")
FAULT(64, hole_loop, "not canonical: the same branch many times", VECTOR_GP, 0, (AX(100), DEVIATION("qemu: at the target")),
      "xor %eax, %eax; lea 1f(%rip), %rbx; 1: inc %eax; cmp $100, %eax; jb 2f; movabs $0x900000000000, %rbx; 2: 9: jmp *%rbx")
CASE(64, loop_32, "LOOP with an address size of 32 bits", (AX(3)),
     "movabs $0x100000003, %rcx; xor %eax, %eax; 1: inc %eax; addr32 loop 1b; test %rcx, %rcx; jz 2f; mov $99, %eax; 2:")
CASE(64, jecxz, "JECXZ and JRCXZ", (AX(1)), "movabs $0x100000000, %rcx; xor %eax, %eax; jrcxz 2f; jecxz 1f; jmp 2f; 1: inc %eax; 2:")

CODE(64, hole_push, "push %r9");
CODE(64, hole_pop, "pop %r9");
CODE(64, hole_call, "call hole_push");
CODE(64, hole_ret, "ret");
CODE(64, hole_popf, "popf");

static void stack_in_the_hole(void)
{
    static const struct {
        const char *name, *code;
    } rows[] = {
        {"not canonical: #SS by PUSH", hole_push}, {"not canonical: #SS by POP", hole_pop},
        {"not canonical: #SS by CALL", hole_call}, {"not canonical: #SS by RET", hole_ret},
        {"not canonical: #SS by POPF", hole_popf},
    };
    for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct context context = user_context(rows[i].code);
        test(rows[i].name);
        deviation("qemu: #GP");
        context.ip += USER_VIEW;
        context.sp = UINT64_C(0x900000000000);
        context.r9 = 7;
        run(&context, &event);
        expect_event(&event, VECTOR_SS, 0, rows[i].code + USER_VIEW);
        expect(event.at.sp, context.sp);
        expect(event.at.r9, 7);
    }
}

void program(void)
{
    *page_entry(USER_VIEW, 2) = PAGE_ALL | PAGE_PS;
    flush_all();
    map_page(PLACE, MEMORY, PAGE_ALL);
    map_page(PLACE + 0x1000, MEMORY + 0x3000, PAGE_ALL);
    map_page(READ_ONLY, MEMORY + 0x5000, PAGE_ALL & ~(uint64_t)PAGE_W);
    map_page(OTHER, MEMORY + 0x9000, PAGE_ALL);
    flush_all();
    write_cr0((read_cr0() & ~(word)CR0_EM) | CR0_MP);
    write_cr4(read_cr4() | CR4_OSFXSR | CR4_OSXMMEXCPT);
    for (unsigned i = 0; i < sizeof items / sizeof items[0]; i++) {
        try(&items[i]);
    }
    for (unsigned i = 0; i < sizeof repeats / sizeof repeats[0]; i++) {
        repeated(&repeats[i]);
    }
    same_place();
    stack_in_the_hole();
    run_rows();
}
