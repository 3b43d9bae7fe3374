/* SPDX-License-Identifier: MIT
 *
 * Guest probes: which events each instruction gives, in which order, with which addresses and
 * values.
 *
 * Addresses are told as offsets: code from the instruction's block, memory from the data area (rbx,
 * rsi and rdi point into it) or from the stack pointer at the beginning. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "engine_guest.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

enum { SIGN = 16, STORE = 64, DATA = 1024 };

static struct guest guest;
static struct vcpu *vcpu;

/* In the test itself, since the test runner installs handlers of its own behind a fixture. */
static void open_guest(void)
{
    guest_open(&guest, NULL, ENGINE_PAGE_EXEC);
    vcpu = guest_cpu_open(&guest, 0);
}

static void close_guest(void)
{
    guest_cpu_close(vcpu);
    guest_close(&guest);
}

/* --- events as text --- */

static char log_text[4096];
static uint64_t code_base, data_base, stack_base;

static void add(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void add(const char *format, ...)
{
    size_t used = strlen(log_text);
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(log_text + used, sizeof(log_text) - used, format, arguments);
    va_end(arguments);
}

static const char *place(uint64_t address)
{
    static char text[4][32];
    static unsigned next;
    char *to = text[next++ % 4];

    if (address - code_base < 4096)
        snprintf(to, 32, "c%lu", (unsigned long)(address - code_base));
    else if (address == guest.done)
        snprintf(to, 32, "done");
    else if (address - data_base < GUEST_DATA_SIZE)
        snprintf(to, 32, "d%ld", (long)(address - data_base - DATA));
    else if (address - (stack_base - 4096) < 8192)
        snprintf(to, 32, "s%ld", (long)(address - stack_base));
    else
        snprintf(to, 32, "%lx", (unsigned long)address);
    return to;
}

/* One word for each: before r4@d0, after w8@s-8=VALUE, branch c1>c4 1 and so on. */
static void note(void *opaque, const char *name, const uint64_t *v)
{
    (void)opaque;
    if (strcmp(name, "guest_insn") == 0 || strcmp(name, "guest_block") == 0) {
        if (v[0] - code_base >= 4096)
            return; /* the SYSCALL at guest.done */
        if (name[6] == 'i')
            add("i %s %lu;", place(v[0]), v[1]);
        else
            add("b %s %lu %lu;", place(v[0]), v[1], v[2]);
    } else if (strcmp(name, "guest_mem_before_exec") == 0) {
        add("<%c%u@%s;",
            v[1] & STORE  ? 'w'
            : v[1] & SIGN ? 's'
                          : 'r',
            1u << (v[1] & 15), place(v[0]));
    } else if (strcmp(name, "guest_mem_after") == 0) {
        add(">%c%u@%s=%lx",
            v[1] & STORE  ? 'w'
            : v[1] & SIGN ? 's'
                          : 'r',
            1u << (v[1] & 15), place(v[0]), v[2]);
        for (unsigned i = 1; i < (1u << (v[1] & 15)) / 8; i++)
            add(":%lx", v[2 + i]);
        add(";");
    } else if (strcmp(name, "guest_branch") == 0) {
        add("j %s>%s %lu;", place(v[0]), place(v[1]), v[2]);
    } else if (strcmp(name, "guest_call") == 0) {
        add("call %s>%s %s;", place(v[0]), place(v[1]), place(v[2]));
    } else if (strcmp(name, "guest_ret") == 0) {
        add("ret %s>%s;", place(v[0]), place(v[1]));
    }
}

/* Runs code behind which a RET is, twice, with the events of `pattern`; both must give the same. */
static const char *events_of(const char *pattern, const uint8_t *code, const uint8_t *end)
{
    static char first[sizeof(log_text)];
    struct guest_trace *trace = guest_trace_on(pattern, note, NULL);
    static const uint8_t ret = 0xc3;

    code_base = guest_put(&guest, code, end);
    guest.code[code_base + (uint64_t)(end - code) - (uint64_t)(uintptr_t)guest.code] = ret;
    guest.used += 16;
    data_base = (uint64_t)(uintptr_t)guest.data;
    for (unsigned n = 0; n < 2; n++) {
        struct x86_cpu *cpu = guest_cpu(vcpu);

        memset(guest.data, 0, GUEST_DATA_SIZE);
        for (unsigned i = 0; i < 256; i++)
            guest.data[DATA + i] = (uint8_t)(i + 1);
        guest_prepare(&guest, vcpu, code_base, data_base + DATA + 64, data_base + DATA, 0);
        stack_base = cpu->state.reg[X86_RSP];
        cpu->state.reg[X86_RBX] = data_base + DATA;
        cpu->state.reg[X86_RAX] = 0x1122334455667788;
        cpu->state.reg[X86_RCX] = 3;
        cpu->state.thread_base = data_base + DATA;
        cpu->state.other_base = data_base + DATA;
        log_text[0] = 0;
        if (guest_run(vcpu) != VCPU_SYSCALL)
            fail_msg("stopped at %#lx, address %#lx", (unsigned long)cpu->state.pc,
                     (unsigned long)vcpu_fault(vcpu)->address);
        assert_int_equal(cpu->state.reg[X86_RSP], stack_base + 8);
        if (n == 0)
            memcpy(first, log_text, sizeof(first));
        else
            assert_string_equal(log_text, first);
    }
    guest_trace_off(trace);
    return log_text;
}

/* --- memory --- */

GUEST_CODE(load_1, "mov al, [rbx+5]\n");
GUEST_CODE(load_8, "mov rdx, [rbx+rcx*8]\n");
GUEST_CODE(store_2, "mov [rbx], ax\n");
GUEST_CODE(load_zx, "movzx eax, word ptr [rbx]\n");
GUEST_CODE(load_sx, "movsx eax, byte ptr [rbx]\n");
GUEST_CODE(load_sx_dword, "movsxd rdx, dword ptr [rbx]\n");
GUEST_CODE(load_into_base, "mov rsi, [rsi]\n");
GUEST_CODE(modify_4, "add [rbx], eax\n");
GUEST_CODE(compare_4, "cmp dword ptr [rbx], 1\n");
GUEST_CODE(exchange_8, "xchg [rbx], rax\n");
GUEST_CODE(load_16, "movups xmm0, [rbx]\n");
GUEST_CODE(store_16, "movups xmm0, [rbx]\n movups [rbx+16], xmm0\n");
GUEST_CODE(address_only, "lea rax, [rbx+8]\n nop dword ptr [rbx]\n");
GUEST_CODE(push_pop, "push rax\n pop rdx\n");
GUEST_CODE(push_imm, "push 5\n lea rsp, [rsp+8]\n");
GUEST_CODE(push_memory, "push [rbx]\n lea rsp, [rsp+8]\n");
GUEST_CODE(pop_memory, "push rax\n pop [rbx]\n");
GUEST_CODE(pop_relative, "push rax\n pop [rsp-64]\n");
GUEST_CODE(push_2, "push ax\n pop dx\n");
GUEST_CODE(frame, "xchg rbp, rdx\n push rax\n mov rbp, rsp\n sub rsp, 32\n leave\n mov rbp, rdx\n");
GUEST_CODE(table, "mov eax, 7\n xlatb\n");
GUEST_CODE(move_string, "movsd\n");
GUEST_CODE(load_string, "lodsw\n");
GUEST_CODE(store_string, "stosb\n");
GUEST_CODE(scan_string, "scasq\n");
GUEST_CODE(compare_string, "cmpsb\n");
GUEST_CODE(repeat_move, "mov ecx, 2\n rep movsq\n");
GUEST_CODE(repeat_none, "xor ecx, ecx\n rep stosb\n");
GUEST_CODE(fs_load, "mov eax, fs:[8]\n");
GUEST_CODE(gs_store, "mov gs:[rcx], eax\n");
GUEST_CODE(call_push, "call 2f\n jmp 3f\n 2: ret\n 3:\n");
GUEST_CODE(call_table, "lea rdx, [rip+2f]\n mov [rbx], rdx\n call [rbx]\n jmp 3f\n 2: ret\n 3:\n");
GUEST_CODE(x87, "fld tbyte ptr [rbx]\n fstp qword ptr [rbx+16]\n");
GUEST_CODE(load_32, "vmovups ymm0, [rbx]\n vzeroupper\n");
GUEST_CODE(swap_16, "push rbx\n mov rsi, rbx\n xor eax, eax\n xor edx, edx\n xor ecx, ecx\n"
                    "mov ebx, 1\n cmpxchg16b [rsi]\n pop rbx\n");
GUEST_CODE(deep_frame, "xchg rbp, rdx\n mov rbp, rsp\n enter 16, 2\n leave\n mov rbp, rdx\n");
GUEST_CODE(bit_beyond, "mov ecx, -3\n bts [rbx], ecx\n mov ecx, 100\n bt [rbx], rcx\n");
GUEST_CODE(lanes, "vpcmpeqd xmm2, xmm2, xmm2\n vpsrldq xmm2, xmm2, 8\n vpxor xmm1, xmm1, xmm1\n"
                  "vpcmpeqd xmm0, xmm0, xmm0\n vmaskmovps [rbx], xmm2, xmm0\n"
                  "vpgatherdq xmm0, [rbx+xmm1*4+8], xmm2\n");
GUEST_CODE(area, "fninit\n fnstenv [rbx]\n fldenv [rbx]\n");
GUEST_CODE(flags, "pushfq\n popfq\n");
GUEST_CODE(table_register, "sidt [rbx]\n");
GUEST_CODE(far_away, "lea rdx, [rip+2f]\n mov [rbx], rdx\n mov word ptr [rbx+8], 0x33\n"
                     "rex64 jmp fword ptr [rbx]\n 2:\n");
GUEST_CODE(far_call, "lea rdx, [rip+2f]\n mov [rbx], rdx\n mov word ptr [rbx+8], 0x33\n"
                     "rex64 call fword ptr [rbx]\n jmp 3f\n 2: rex64 retf\n 3:\n");
GUEST_CODE(masked, "push rdi\n pcmpeqb mm0, mm0\n maskmovq mm0, mm0\n emms\n pop rdi\n");

struct case_of {
    const uint8_t *code, *end;
    const char *before, *after;
};
#define CASE(name, before, after)       \
    {                                   \
        name, name##_end, before, after \
    }

static const struct case_of memory_cases[] = {
    CASE(load_1, "<r1@d5;", ">r1@d5=6;"),
    CASE(load_8, "<r8@d24;", ">r8@d24=201f1e1d1c1b1a19;"),
    CASE(store_2, "<w2@d0;", ">w2@d0=7788;"),
    CASE(load_zx, "<r2@d0;", ">r2@d0=201;"),
    CASE(load_sx, "<s1@d0;", ">s1@d0=1;"),
    CASE(load_sx_dword, "<s4@d0;", ">s4@d0=4030201;"),
    CASE(load_into_base, "<r8@d0;", ">r8@d0=807060504030201;"),
    CASE(modify_4, "<r4@d0;<w4@d0;", ">r4@d0=4030201;>w4@d0=59697989;"),
    CASE(compare_4, "<r4@d0;", ">r4@d0=4030201;"),
    CASE(exchange_8, "<r8@d0;<w8@d0;", ">r8@d0=807060504030201;>w8@d0=1122334455667788;"),
    CASE(load_16, "<r16@d0;", ">r16@d0=807060504030201:100f0e0d0c0b0a09;"),
    CASE(store_16, "<r16@d0;<w16@d16;",
         ">r16@d0=807060504030201:100f0e0d0c0b0a09;>w16@d16=807060504030201:100f0e0d0c0b0a09;"),
    CASE(address_only, "", ""),
    CASE(push_pop, "<w8@s-8;<r8@s-8;", ">w8@s-8=1122334455667788;>r8@s-8=1122334455667788;"),
    CASE(push_imm, "<w8@s-8;", ">w8@s-8=5;"),
    CASE(push_memory, "<r8@d0;<w8@s-8;", ">r8@d0=807060504030201;>w8@s-8=807060504030201;"),
    CASE(pop_memory, "<w8@s-8;<r8@s-8;<w8@d0;",
         ">w8@s-8=1122334455667788;>r8@s-8=1122334455667788;>w8@d0=1122334455667788;"),
    /* The address is made with RSP as it is behind the read (SDM vol. 2, POP). */
    CASE(pop_relative, "<w8@s-8;<r8@s-8;<w8@s-64;",
         ">w8@s-8=1122334455667788;>r8@s-8=1122334455667788;>w8@s-64=1122334455667788;"),
    CASE(push_2, "<w2@s-2;<r2@s-2;", ">w2@s-2=7788;>r2@s-2=7788;"),
    CASE(frame, "<w8@s-8;<r8@s-8;", ">w8@s-8=1122334455667788;>r8@s-8=1122334455667788;"),
    CASE(table, "<r1@d7;", ">r1@d7=8;"),
    CASE(move_string, "<r4@d0;<w4@d64;", ">r4@d0=4030201;>w4@d64=4030201;"),
    CASE(load_string, "<r2@d0;", ">r2@d0=201;"),
    CASE(store_string, "<w1@d64;", ">w1@d64=88;"),
    CASE(scan_string, "<r8@d64;", ">r8@d64=4847464544434241;"),
    CASE(compare_string, "<r1@d0;<r1@d64;", ">r1@d0=1;>r1@d64=41;"),
    CASE(repeat_move, "<r8@d0;<w8@d64;<r8@d8;<w8@d72;",
         ">r8@d0=807060504030201;>w8@d64=807060504030201;"
         ">r8@d8=100f0e0d0c0b0a09;>w8@d72=100f0e0d0c0b0a09;"),
    CASE(repeat_none, "", ""),
    CASE(fs_load, "<r4@d8;", ">r4@d8=c0b0a09;"),
    CASE(gs_store, "<w4@d3;", ">w4@d3=55667788;"),
    CASE(x87, "<r8@d0;<r2@d8;<w8@d16;", NULL), /* ten bytes: 8 and 2 */
    CASE(masked, "<w8@s-8;<w1@d64;<w1@d65;<w1@d66;<w1@d67;<w1@d68;<w1@d69;<w1@d70;<w1@d71;<r8@s-8;",
         NULL),
    CASE(load_32, "<r32@d0;",
         ">r32@d0=807060504030201:100f0e0d0c0b0a09:1817161514131211:201f1e1d1c1b1a19;"),
    CASE(swap_16, "<w8@s-8;<r16@d0;<w16@d0;<r8@s-8;", NULL),
    CASE(deep_frame, "<w8@s-8;<r8@s-8;<w8@s-16;<w8@s-24;<r8@s-8;", NULL),
    CASE(bit_beyond, "<r4@d-4;<w4@d-4;<r8@d8;",
         ">r4@d-4=0;>w4@d-4=20000000;>r8@d8=100f0e0d0c0b0a09;"),
    CASE(lanes, "<w4@d0;<w4@d4;<r8@d8;",
         ">w4@d0=ffffffff;>w4@d4=ffffffff;>r8@d8=100f0e0d0c0b0a09;"),
    CASE(area, "<w16@d0;<w8@d16;<w4@d24;<r16@d0;<r8@d16;<r4@d24;", NULL),
    CASE(flags, "<w8@s-8;<r8@s-8;", NULL),
    CASE(table_register, "<w8@d0;<w2@d8;", NULL),
    CASE(far_away, "<w8@d0;<w2@d8;<r8@d0;<r2@d8;", NULL),
    CASE(far_call, "<w8@d0;<w2@d8;<r8@d0;<r2@d8;<w8@s-8;<w8@s-16;<r8@s-16;<r8@s-8;", NULL),
};

static void every_access_is_told(void **state)
{
    (void)state;
    open_guest();
    for (unsigned i = 0; i < COUNT(memory_cases); i++) {
        const struct case_of *c = &memory_cases[i];
        char expected[512];

        snprintf(expected, sizeof(expected), "%s<r8@s0;", c->before);
        if (strcmp(events_of("guest_mem_before_exec", c->code, c->end), expected) != 0)
            print_error("case %u before: %s, not %s\n", i, log_text, expected);
        assert_string_equal(log_text, expected);
        if (!c->after)
            continue;
        snprintf(expected, sizeof(expected), "%s>r8@s0=%lx;", c->after, (unsigned long)guest.done);
        if (strcmp(events_of("guest_mem_after", c->code, c->end), expected) != 0)
            print_error("case %u after: %s, not %s\n", i, log_text, expected);
        assert_string_equal(log_text, expected);
    }
    close_guest();
}

/* --- control --- */

GUEST_CODE(taken, "mov ecx, 2\n 2: nop\n dec ecx\n jnz 2b\n");
GUEST_CODE(loops, "mov ecx, 2\n 2: loop 2b\n jrcxz 3f\n nop\n 3:\n");
GUEST_CODE(jumps, "jmp 2f\n nop\n 2: lea rdx, [rip+3f]\n jmp rdx\n nop\n 3:\n");

static void branches_calls_and_returns_are_told(void **state)
{
    static const struct {
        const uint8_t *code, *end;
        const char *pattern, *events;
    } cases[] = {
        {taken, taken_end, "guest_branch", "j c8>c5 1;j c8>c10 0;"},
        {loops, loops_end, "guest_branch", "j c5>c5 1;j c5>c7 0;j c7>c10 1;"},
        {jumps, jumps_end, "guest_branch", "j c0>c3 1;j c10>c13 1;"},
        {call_push, call_push_end, "guest_call", "call c0>c7 c5;"},
        {call_push, call_push_end, "guest_ret", "ret c7>c5;ret c8>done;"},
        {call_table, call_table_end, "guest_call", "call c10>c14 c12;"},
        {far_away, far_away_end, "guest_branch", "j c16>c19 1;"},
        {far_call, far_call_end, "guest_call", "call c16>c21 c19;"},
        {far_call, far_call_end, "guest_ret", "ret c21>c19;ret c23>done;"},
        {call_push, call_push_end, "guest_mem_before_exec", "<w8@s-8;<r8@s-8;<r8@s0;"},
        {call_table, call_table_end, "guest_mem_before_exec",
         "<w8@d0;<r8@d0;<w8@s-8;<r8@s-8;<r8@s0;"},
        {taken, taken_end, "guest_insn",
         "i c0 5;i c5 1;i c6 2;i c8 2;i c5 1;i c6 2;i c8 2;i c10 1;"},
        {taken, taken_end, "guest_block", "b c0 4 10;b c5 3 5;b c10 1 1;"},
    };

    (void)state;
    open_guest();
    for (unsigned i = 0; i < COUNT(cases); i++) {
        events_of(cases[i].pattern, cases[i].code, cases[i].end);
        if (strcmp(log_text, cases[i].events) != 0)
            print_error("case %u: %s, not %s\n", i, log_text, cases[i].events);
        assert_string_equal(log_text, cases[i].events);
    }
    close_guest();
}

static void events_come_in_the_order_of_the_instructions(void **state)
{
    char expected[256];

    (void)state;
    open_guest();
    snprintf(expected, sizeof(expected),
             "b c0 3 8;i c0 2;<r8@d0;<w8@s-8;>r8@d0=807060504030201;>w8@s-8=807060504030201;"
             "i c2 5;i c7 1;<r8@s0;>r8@s0=%lx;ret c7>done;",
             (unsigned long)guest.done);
    assert_string_equal(events_of("guest_*", push_memory, push_memory_end), expected);
    close_guest();
}

/* More records than the stream buffer holds, within one block that runs round and round. */
GUEST_CODE(many, "mov ecx, 100000\n 2: mov [rbx], rcx\n dec ecx\n jnz 2b\n");

static void count_down(void *opaque, const char *name, const uint64_t *values)
{
    uint64_t *expected = opaque;

    (void)name;
    if (values[1] == (STORE | 3) && values[2] != (*expected)--)
        guest_die("value %lu, not %lu\n", (unsigned long)values[2], (unsigned long)*expected + 1);
}

static void no_record_is_lost_when_the_buffer_is_full(void **state)
{
    uint64_t expected = 100000;
    struct guest_trace *trace = guest_trace_on("guest_mem_after", count_down, &expected);
    static const uint8_t ret = 0xc3;
    uint64_t pc;

    (void)state;
    open_guest();
    pc = GUEST_PUT(&guest, many);
    memcpy((void *)(uintptr_t)(pc + (uint64_t)(many_end - many)), &ret, 1); // NOLINT
    guest_cpu(vcpu)->state.reg[X86_RBX] = (uint64_t)(uintptr_t)guest.data;
    guest.used += 16;
    guest_call(&guest, vcpu, pc, 0, 0, 0);
    guest_trace_off(trace);
    assert_int_equal(expected, 0);
    close_guest();
}

/* --- interruptions --- */

/* One that repeats, and one that is executed apart; 7 accesses to memory each time round. */
GUEST_CODE(long_ones, "mov ecx, 20000\n rep movsb\n mov rbp, rsp\n mov ecx, 2000\n"
                      "2: enter 16, 3\n leave\n loop 2b\n ret\n");

struct sums {
    uint64_t insns, accesses;
};

static void sum_up(void *opaque, const char *name, const uint64_t *values)
{
    struct sums *sums = opaque;

    (void)values;
    if (strcmp(name, "guest_insn") == 0)
        sums->insns++;
    else if (strcmp(name, "guest_mem_before_exec") == 0)
        sums->accesses++;
}

static bool over;
static uint32_t interruptions;

static void *interrupt(void *opaque)
{
    while (!__atomic_load_n(&over, __ATOMIC_RELAXED)) {
        vcpu_interrupt(opaque);
        usleep(20);
    }
    return NULL;
}

static void an_interrupted_instruction_is_told_once(void **state)
{
    static const struct engine_options options = {.count = true};
    struct sums sums = {0, 0};
    struct guest_trace *trace = guest_trace_on("guest_*", sum_up, &sums);
    pthread_t thread;
    uint64_t pc;

    (void)state;
    guest_open(&guest, &options, ENGINE_PAGE_EXEC);
    vcpu = guest_cpu_open(&guest, 0);
    pc = GUEST_PUT(&guest, long_ones);
    guest_prepare(&guest, vcpu, pc, (uint64_t)(uintptr_t)guest.data + 30000,
                  (uint64_t)(uintptr_t)guest.data, 0);
    over = false;
    assert_int_equal(pthread_create(&thread, NULL, interrupt, vcpu), 0);
    for (interruptions = 0; vcpu_run(vcpu) == VCPU_INTERRUPTED;)
        interruptions++;
    __atomic_store_n(&over, true, __ATOMIC_RELAXED);
    pthread_join(thread, NULL);
    guest_trace_off(trace);
    assert_int_equal(guest_cpu(vcpu)->state.pc, guest.done + 2);
    assert_true(interruptions > 20);
    assert_int_equal(sums.insns, 4 + 3 * 2000 + 2); /* RET, SYSCALL */
    assert_int_equal(vcpu_instructions(vcpu), sums.insns);
    assert_int_equal(sums.accesses, 2 * 20000 + 7 * 2000 + 1);
    close_guest();
}

/* A page that is not there, in the middle of what repeats, and in a frame. */
GUEST_CODE(fault_repeat, "mov ecx, 100\n rep stosb\n ret\n");
GUEST_CODE(fault_frame, "mov rbp, rdi\n enter 16, 2\n ret\n");
GUEST_CODE(fault_load, "nop\n add [rdi], eax\n ret\n");

static void what_faults_is_told_before_and_not_after(void **state)
{
    static const struct {
        const uint8_t *code, *end;
        unsigned before, after;
        int from_end; /* of the data */
    } cases[] = {
        {fault_repeat, fault_repeat_end, 11, 10, -10},
        {fault_frame, fault_frame_end, 4, 0, 0x1000},
        {fault_load, fault_load_end, 2, 0, 0},
    };

    (void)state;
    for (unsigned i = 0; i < COUNT(cases); i++) {
        static const struct engine_options options = {.count = true};
        struct guest_trace *trace;
        struct x86_cpu *cpu;
        unsigned before = 0, after = 0, insns = 0;
        uint64_t hole;

        guest_open(&guest, &options, ENGINE_PAGE_EXEC);
        vcpu = guest_cpu_open(&guest, 0);
        cpu = guest_cpu(vcpu);
        hole = (uint64_t)(uintptr_t)guest.data + GUEST_DATA_SIZE - GUEST_PAGE;
        assert_int_equal(mprotect((void *)(uintptr_t)hole, GUEST_PAGE, PROT_NONE), 0); // NOLINT
        log_text[0] = 0;
        trace = guest_trace_on("guest_*", note, NULL);
        code_base = guest_put(&guest, cases[i].code, cases[i].end);
        guest_prepare(&guest, vcpu, code_base, hole + (uint64_t)cases[i].from_end, 0, 0);
        assert_int_equal(guest_run(vcpu), VCPU_FAULT);
        guest_trace_off(trace);
        assert_int_equal(cpu->state.pc, code_base + (i == 0 ? 5 : i == 1 ? 3 : 1));
        for (const char *at = log_text; *at; at++) {
            before += *at == '<';
            after += *at == '>' && (at == log_text || at[-1] == ';');
            insns += *at == 'i' && at[1] == ' ';
        }
        assert_int_equal(before, cases[i].before);
        assert_int_equal(after, cases[i].after);
        assert_int_equal(insns, 2);
        assert_int_equal(vcpu_instructions(vcpu), 1); /* the other one is not executed */
        mprotect((void *)(uintptr_t)hole, GUEST_PAGE, PROT_READ | PROT_WRITE); // NOLINT
        close_guest();
    }
}

/* --- sums --- */

enum { TURNS = 500000, PLACES = 1024 };

/* rcx: how often; rsi: cannot be read, so that the last block is left in its middle. */
GUEST_CODE(accesses, "2: mov edx, ecx\n and edx, 1023\n mov [rbx+rdx*8], rcx\n"
                     "add rax, [rbx+8]\n cmp al, 2\n jz 3f\n push rax\n pop rdx\n 3:\n"
                     "dec ecx\n jnz 2b\n"
                     "mov eax, [rbx]\n mov eax, [rsi]\n mov eax, [rbx+4]\n ret\n");

struct access_sums {
    unsigned long count, address, info;
};

static void add_access(struct access_sums *sums, uint64_t address, unsigned info)
{
    sums->count++;
    sums->address += address;
    sums->info += info;
}

/* What the code does, in C. */
static struct access_sums expected_sums(uint64_t data, uint64_t stack, uint64_t bad)
{
    struct access_sums sums = {0};
    uint64_t second = 0, rax = 0;

    for (uint32_t rcx = TURNS; rcx > 0; rcx--) {
        if (rcx % PLACES == 1)
            second = rcx;
        add_access(&sums, data + 8 * (rcx % PLACES), STORE | 3);
        add_access(&sums, data + 8, 3);
        rax += second;
        if ((uint8_t)rax == 2)
            continue;
        add_access(&sums, stack - 8, STORE | 3);
        add_access(&sums, stack - 8, 3);
    }
    add_access(&sums, data, 2);
    add_access(&sums, bad, 2);
    return sums;
}

static struct access_sums sums_in(const char *file)
{
    struct access_sums sums = {0};
    FILE *in = fopen(file, "r");

    assert_non_null(in);
    assert_int_equal(fscanf(in, "guest_mem_before_exec %lu vaddr=0x%lx info=0x%lx", &sums.count,
                            &sums.address, &sums.info),
                     3);
    fclose(in);
    return sums;
}

/* Far more than all stream buffers hold. Somebody else may listen to the events of a pattern. */
static void check_sums(const char *other_pattern, guest_event_fn *event)
{
    char file[] = "/tmp/vitrine-sums-XXXXXX";
    int fd = mkstemp(file);
    struct guest_trace *trace, *other = NULL;
    struct access_sums expected, found;
    struct x86_cpu *cpu;
    uint64_t bad = 4096;

    assert_true(fd >= 0);
    close(fd);
    open_guest();
    trace = guest_trace_to("guest_mem_before_exec", "sum", file);
    if (other_pattern)
        other = guest_trace_on(other_pattern, event, NULL);
    cpu = guest_cpu(vcpu);
    guest_prepare(&guest, vcpu, GUEST_PUT(&guest, accesses), 0, bad, 0);
    stack_base = cpu->state.reg[X86_RSP];
    data_base = (uint64_t)(uintptr_t)guest.data;
    cpu->state.reg[X86_RBX] = data_base;
    cpu->state.reg[X86_RCX] = TURNS;
    cpu->state.reg[X86_RAX] = 0;
    assert_int_equal(guest_run(vcpu), VCPU_FAULT);
    assert_int_equal(vcpu_fault(vcpu)->address, bad);
    if (other)
        guest_trace_off(other);
    guest_trace_off(trace);
    expected = expected_sums(data_base, stack_base, bad);
    found = sums_in(file);
    unlink(file);
    close_guest();
    assert_int_equal(found.count, expected.count);
    assert_int_equal(found.info, expected.info);
    assert_int_equal(found.address, expected.address);
}

static void addresses_are_added_up_by_buffers(void **state)
{
    (void)state;
    check_sums(NULL, NULL);
}

static unsigned long events_seen;

static void see(void *opaque, const char *name, const uint64_t *values)
{
    (void)opaque;
    (void)name;
    (void)values;
    events_seen++;
}

/* Somebody listens to each, so they are events: with the same sums. */
static void addresses_are_added_up_one_by_one(void **state)
{
    (void)state;
    events_seen = 0;
    check_sums("guest_mem_before_exec", see);
    assert_true(events_seen > TURNS * 2);
}

/* Counters of blocks and records of blocks, where a block is left by a fault before the place where
 * it is counted. */
GUEST_CODE(late, "lea rdx, [rbx+8]\n mov rcx, [rbx]\n mov rcx, [rsi]\n xor eax, eax\n ret\n");
GUEST_CODE(early, "xor eax, eax\n mov rcx, [rsi]\n nop\n ret\n");
GUEST_CODE(behind, "lea rdx, [rbx+8]\n mov rcx, [rbx]\n mov rsp, rsi\n ret\n");

static unsigned long counted(const char *event, const uint8_t *code, const uint8_t *end)
{
    char file[] = "/tmp/vitrine-count-XXXXXX", name[32] = "";
    int fd = mkstemp(file);
    struct guest_trace *trace;
    unsigned long count = 0;
    FILE *in;

    assert_true(fd >= 0);
    open_guest();
    trace = guest_trace_to(event, "count", file);
    guest_prepare(&guest, vcpu, guest_put(&guest, code, end), 0, 4096, 0);
    guest_cpu(vcpu)->state.reg[X86_RBX] = (uint64_t)(uintptr_t)guest.data;
    assert_int_equal(guest_run(vcpu), VCPU_FAULT);
    guest_trace_off(trace);
    close_guest();
    in = fdopen(fd, "r");
    assert_int_equal(fscanf(in, "%31s %lu", name, &count), 2);
    fclose(in);
    unlink(file);
    assert_string_equal(name, event);
    return count;
}

static void blocks_that_are_left_early_are_counted(void **state)
{
    (void)state;
    assert_int_equal(counted("guest_block", late, late_end), 1);
    assert_int_equal(counted("guest_insn", late, late_end), 3);
    assert_int_equal(counted("guest_block", early, early_end), 1);
    assert_int_equal(counted("guest_insn", early, early_end), 2);
    assert_int_equal(counted("guest_block", behind, behind_end), 1);
    assert_int_equal(counted("guest_insn", behind, behind_end), 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(addresses_are_added_up_by_buffers),
        cmocka_unit_test(addresses_are_added_up_one_by_one),
        cmocka_unit_test(blocks_that_are_left_early_are_counted),
        cmocka_unit_test(every_access_is_told),
        cmocka_unit_test(branches_calls_and_returns_are_told),
        cmocka_unit_test(events_come_in_the_order_of_the_instructions),
        cmocka_unit_test(no_record_is_lost_when_the_buffer_is_full),
        cmocka_unit_test(an_interrupted_instruction_is_told_once),
        cmocka_unit_test(what_faults_is_told_before_and_not_after),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
