/* SPDX-License-Identifier: MIT
 *
 * The engine runs guest code: control flow, exact faults, interruptions, code that changes, a cache
 * that is too small, all switches, several engines and threads, fork.
 *
 * The right answer of a computation comes from the real CPU, which executes the same bytes.
 *
 * With the thread sanitizer the tests with a timer are left out: it wants to deliver signals when
 * its own data is in order, but does not see handlers that were installed by the system call alone,
 * as the engine's are; a signal that comes while it works would find its locks taken. Requests to
 * come out (kicks) are sent only to threads in translated code, so these tests stay. */
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "engine_guest.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* --- computing --- */

/* A bit of everything that blocks are made of: conditions, calls, an indirect call and jump, stack,
 * memory, flags that live over a block's end, SSE, string instructions. rdi: rounds, rsi: 4 KiB of
 * memory; rax: a checksum. */
GUEST_CODE(work, "push rbx\n push rbp\n push r12\n push r13\n push r14\n push r15\n"
                 "mov r12, rdi\n mov r13, rsi\n mov eax, 0x12345\n xor ebx, ebx\n"
                 "lea r14, [rip + 30f]\n lea r15, [rip + 40f]\n"
                 "pxor xmm1, xmm1\n"
                 "2: test r12, r12\n jz 9f\n"
                 "imul rax, rax, 0x5deece6\n add rax, 11\n adc rbx, 0\n"
                 "mov rdi, rax\n call 20f\n"
                 "mov ecx, eax\n and ecx, 3\n movsxd rdx, dword ptr [r14 + rcx*4]\n"
                 "add rdx, r14\n jmp rdx\n"
                 "3: add rax, 7\n jmp 7f\n"
                 "4: rol rax, 13\n sub rbx, rax\n jc 7f\n inc rbx\n jmp 7f\n"
                 "5: xor rax, rbx\n js 7f\n neg rbx\n jmp 7f\n"
                 "6: bswap rax\n push rax\n pop rbp\n add rbx, rbp\n"
                 "7: mov edx, eax\n and edx, 0xff8\n mov [r13 + rdx], rax\n"
                 "mov rcx, rbx\n and ecx, 0xff8\n xor rbx, [r13 + rcx]\n"
                 "movq xmm0, rax\n paddq xmm1, xmm0\n"
                 "lea rdi, [r13]\n lea rsi, [r13 + 64]\n mov ecx, 5\n cld\n rep movsb\n"
                 "cmp r12b, 17\n sbb rbx, 0\n"
                 "mov rdi, rbx\n call r15\n add rbx, rax\n"
                 "mov ecx, 3\n 8: add rbx, rcx\n loop 8b\n"
                 "dec r12\n jmp 2b\n"
                 "9: movq rdx, xmm1\n add rax, rbx\n xor rax, rdx\n"
                 "pop r15\n pop r14\n pop r13\n pop r12\n pop rbp\n pop rbx\n ret\n"
                 "20: cmp rdi, 100\n jb 21f\n push rdi\n shr rdi, 9\n call 20b\n pop rdi\n"
                 "add rax, rdi\n rcl rax, 1\n ret\n"
                 "21: lea rax, [rdi + rdi*2 + 1]\n ret\n"
                 "40: mov rax, rdi\n shr rax, 5\n sahf\n adc rax, 0\n ret\n"
                 ".balign 4\n"
                 "30: .long 3b - 30b, 4b - 30b, 5b - 30b, 6b - 30b\n");

/* What the real CPU makes of it. */
static uint64_t work_native(struct guest *guest, uint64_t pc, uint64_t rounds)
{
    memset(guest->data, 0x5a, GUEST_PAGE);
    return guest_call_native(pc, rounds, (uint64_t)(uintptr_t)guest->data, 0);
}

static uint64_t work_guest(struct guest *guest, struct vcpu *vcpu, uint64_t pc, uint64_t rounds)
{
    uint8_t *data = guest->data + (uint64_t)vcpu_number(vcpu) * GUEST_PAGE;

    memset(data, 0x5a, GUEST_PAGE);
    return guest_call(guest, vcpu, pc, rounds, (uint64_t)(uintptr_t)data, 0);
}

static void computes_like_the_real_cpu(void **state)
{
    struct guest guest;
    struct vcpu *vcpu;
    uint64_t pc;

    (void)state;
    guest_open(&guest, NULL, ENGINE_PAGE_EXEC);
    vcpu = guest_cpu_open(&guest, 0);
    pc = GUEST_PUT(&guest, work);
    for (uint64_t rounds = 0; rounds < 40; rounds++)
        assert_int_equal(work_guest(&guest, vcpu, pc, rounds), work_native(&guest, pc, rounds));
    assert_int_equal(work_guest(&guest, vcpu, pc, 20000), work_native(&guest, pc, 20000));
    guest_cpu_close(vcpu);
    guest_close(&guest);
}

/* Every switch, alone and with others. */
static void computes_the_same_with_all_switches(void **state)
{
    static const struct engine_options options[] = {
        {.no_chain = true},
        {.one_instruction = true},
        {.no_liveness = true},
        {.count = true},
        {.self_check = true},
        {.random_exits = true},
        {.cache_size = 1},
        {.block_limit = 1},
        {.block_limit = 3},
        {.block_limit = 128},
        {.code_near = UINT64_C(0x20000000)}, /* out of reach of the guest's code and data */
        {.count = true, .self_check = true, .no_liveness = true},
        {.count = true, .self_check = true, .random_exits = true, .block_limit = 2},
        {.one_instruction = true, .no_chain = true, .count = true, .random_exits = true},
        {.no_chain = true, .self_check = true, .code_near = UINT64_C(0x20000000)},
    };
    struct guest guest;

    (void)state;
    for (unsigned i = 0; i < COUNT(options); i++) {
        struct vcpu *vcpu;
        uint64_t pc;

        guest_open(&guest, &options[i], ENGINE_PAGE_EXEC);
        vcpu = guest_cpu_open(&guest, 0);
        pc = GUEST_PUT(&guest, work);
        if (work_guest(&guest, vcpu, pc, 500) != work_native(&guest, pc, 500))
            fail_msg("options %u: another result", i);
        guest_cpu_close(vcpu);
        guest_close(&guest);
    }
}

/* --- the last x87 instruction --- */

/* rdi: an operand, rsi: room for an environment; returns where the FLD is. */
GUEST_CODE(last_x87, "fninit\n 2: fld qword ptr [rdi]\n fnstenv [rsi]\n fstp st(0)\n"
                     "fldcw [rsi]\n lea rax, [rip+2b]\n ret\n");

static uint64_t guest_pc(void *engine, uint64_t host_pc)
{
    return engine_guest_pc(engine, host_pc);
}

/* AMD's processors forget it when the kernel switches to another thread in between: then again. */
static void last_x87_instruction_is_the_guests(void **state)
{
    struct x86_memory_access memory = x86_direct_memory;
    struct guest guest;
    struct vcpu *vcpu;
    uint32_t *environment;
    uint64_t pc, fld = 0;

    (void)state;
    guest_open(&guest, NULL, ENGINE_PAGE_EXEC);
    vcpu = guest_cpu_open(&guest, 0);
    memory.opaque = guest.engine;
    memory.guest_pc = guest_pc;
    guest_cpu(vcpu)->memory = &memory;
    environment = (uint32_t *)(void *)(guest.data + 64);
    pc = GUEST_PUT(&guest, last_x87);
    for (unsigned i = 0; i < 100 && environment[3] == 0; i++)
        fld = guest_call(&guest, vcpu, pc, (uint64_t)(uintptr_t)guest.data,
                         (uint64_t)(uintptr_t)environment, 0);
    assert_int_equal(environment[3], (uint32_t)fld);
    assert_int_equal(environment[5], (uint32_t)(uintptr_t)guest.data);
    assert_int_equal(environment[0] & 0xffff, 0x37f);
    guest_cpu_close(vcpu);
    guest_close(&guest);
}

/* --- counting --- */

/* 3 + 4 * rdi + 1 instructions, and the one at guest.done. */
GUEST_CODE(counted, "mov rcx, rdi\n xor eax, eax\n nop\n"
                    "2: add rax, rcx\n nop\n dec rcx\n jnz 2b\n"
                    "ret\n");

static void counts_instructions_exactly(void **state)
{
    static const struct engine_options options[] = {
        {.count = true},
        {.count = true, .one_instruction = true},
        {.count = true, .block_limit = 2, .no_chain = true},
        {.count = true, .random_exits = true, .self_check = true},
    };

    (void)state;
    for (unsigned i = 0; i < COUNT(options); i++) {
        struct guest guest;
        struct vcpu *vcpu;
        uint64_t pc, before;

        guest_open(&guest, &options[i], ENGINE_PAGE_EXEC);
        vcpu = guest_cpu_open(&guest, 0);
        pc = GUEST_PUT(&guest, counted);
        assert_int_equal(vcpu_instructions(vcpu), 0);
        assert_int_equal(guest_call(&guest, vcpu, pc, 1000, 0, 0), 500500);
        assert_int_equal(vcpu_instructions(vcpu), 3 + 4 * 1000 + 1 + 1);
        before = vcpu_instructions(vcpu);
        guest_call(&guest, vcpu, pc, 7, 0, 0);
        assert_int_equal(vcpu_instructions(vcpu) - before, 3 + 4 * 7 + 1 + 1);
        guest_cpu_close(vcpu);
        guest_close(&guest);
    }
}

/* --- indirect jumps --- */

/* Adds up what two functions return, whose addresses share the low 16 bits: they contend for one
 * place of the jump table. rdi: rounds; rsi: first; rdx: second. */
GUEST_CODE(collide, "push rbx\n push r12\n push r13\n push r14\n"
                    "xor ebx, ebx\n mov r12, rdi\n mov r13, rsi\n mov r14, rdx\n"
                    "2: call r13\n add rbx, rax\n call r14\n lea rbx, [rbx + rax*8]\n"
                    "call r14\n sub rbx, rax\n dec r12\n jnz 2b\n"
                    "mov rax, rbx\n pop r14\n pop r13\n pop r12\n pop rbx\n ret\n");
GUEST_CODE(returns_3, "mov eax, 3\n ret\n");
GUEST_CODE(returns_5, "mov eax, 5\n ret 0\n");

static void targets_collide_in_the_jump_table(void **state)
{
    static const struct engine_options options[] = {{.count = false}, {.random_exits = true}};

    (void)state;
    for (unsigned i = 0; i < COUNT(options); i++) {
        struct guest guest;
        struct vcpu *vcpu;
        uint64_t pc, first, second;

        guest_open(&guest, &options[i], ENGINE_PAGE_EXEC);
        vcpu = guest_cpu_open(&guest, 0);
        pc = GUEST_PUT(&guest, collide);
        first = GUEST_PUT(&guest, returns_3);
        guest.used = first + 0x10000 - (uint64_t)(uintptr_t)guest.code;
        second = GUEST_PUT(&guest, returns_5);
        assert_int_equal(second - first, 0x10000);
        assert_int_equal(guest_call(&guest, vcpu, pc, 1000, first, second), 1000 * (3 + 5 * 8 - 5));
        assert_int_equal(guest_call(&guest, vcpu, pc, 10, second, first), 10 * (5 + 3 * 8 - 3));
        guest_cpu_close(vcpu);
        guest_close(&guest);
    }
}

/* RET with an immediate, and calls through memory. rdi: address of two pointers. */
GUEST_CODE(through_memory, "push rbx\n mov rbx, rsp\n"
                           "push 11\n push 22\n call [rdi]\n"
                           "sub rbx, rsp\n shl rbx, 32\n add rax, rbx\n"
                           "lea rsi, [rip + 3f]\n mov [rdi + 8], rsi\n xor ecx, ecx\n"
                           "jmp [rdi + rcx + 8]\n"
                           "ud2\n"
                           "3: inc rax\n pop rbx\n ret\n");
GUEST_CODE(takes_two, "mov rax, [rsp + 8]\n imul rax, [rsp + 16]\n ret 16\n");

static void calls_through_memory_and_releases_arguments(void **state)
{
    struct guest guest;
    struct vcpu *vcpu;
    uint64_t pc, function;

    (void)state;
    guest_open(&guest, NULL, ENGINE_PAGE_EXEC);
    vcpu = guest_cpu_open(&guest, 0);
    pc = GUEST_PUT(&guest, through_memory);
    function = GUEST_PUT(&guest, takes_two);
    for (unsigned i = 0; i < 3; i++) {
        memcpy(guest.data, &function, sizeof(function));
        assert_int_equal(guest_call(&guest, vcpu, pc, (uint64_t)(uintptr_t)guest.data, 0, 0),
                         22 * 11 + 1);
    }
    guest_cpu_close(vcpu);
    guest_close(&guest);
}

/* --- one after another --- */

GUEST_CODE(spoil_all,
           "mov rax, -1\n mov r15, rax\n movq xmm3, rax\n pcmpeqb xmm4, xmm4\n std\n call [rsi]\n"
           "ret\n");
GUEST_CODE(returns, "cld\n mov eax, 5\n ret\n");

/* The memory of a vCPU that is gone is used again: nothing of it shows, no jump of it is known. */
static void a_cpu_leaves_nothing_to_the_next(void **state)
{
    struct guest guest;
    const void *first = NULL;
    unsigned again = 0;

    (void)state;
    guest_open(&guest, NULL, ENGINE_PAGE_EXEC);
    uint64_t returning = GUEST_PUT(&guest, returns), pc = GUEST_PUT(&guest, spoil_all);
    *(uint64_t *)(void *)guest.data = returning;
    for (int i = 0; i < 12; i++) {
        static const uint64_t none[16];
        struct vcpu *vcpu = guest_cpu_open(&guest, i);
        struct x86_cpu *cpu = guest_cpu(vcpu);

        again += cpu == first;
        first = cpu;
        uint64_t rsp = cpu->state.reg[X86_RSP]; /* the only one that was set */
        cpu->state.reg[X86_RSP] = 0;
        assert_memory_equal(cpu->state.reg, none, sizeof none);
        cpu->state.reg[X86_RSP] = rsp;
        assert_memory_equal(cpu->state.vector + 160, none, sizeof none);
        assert_int_equal(guest_call(&guest, vcpu, pc, 0, (uint64_t)(uintptr_t)guest.data, 0),
                         5 + (unsigned)i);
        guest_cpu_close(vcpu);
        /* What it jumped to changes meanwhile. */
        ++*(uint8_t *)(uintptr_t)(returning + 2);
        engine_invalidate(guest.engine, returning, returning + 6);
    }
    assert_true(again > 0);
    guest_close(&guest);
}

/* --- faults --- */

/* Leaves known values in all registers and flags, then the instruction under test, which the test
 * appends; behind it, what must not have happened. */
GUEST_CODE(before_fault, "mov rax, 0x1010101010101010\n mov rcx, 0x1111111111111111\n"
                         "mov rdx, 0x1212121212121212\n mov rbx, 0x1313131313131313\n"
                         "mov rbp, 0x1515151515151515\n mov r8, 0x1818181818181818\n"
                         "mov r9, 0x1919191919191919\n mov r10, 0x1a1a1a1a1a1a1a1a\n"
                         "mov r11, 0x1b1b1b1b1b1b1b1b\n mov r12, 0x1c1c1c1c1c1c1c1c\n"
                         "mov r13, 0x1d1d1d1d1d1d1d1d\n mov r14, 0x1e1e1e1e1e1e1e1e\n"
                         "mov r15, 0x1f1f1f1f1f1f1f1f\n movq xmm5, r15\n"
                         "mov r15, 0x7fffffffffffffff\n add r15, 1\n" /* OF SF AF PF */
                         "mov r15, 0x1f1f1f1f1f1f1f1f\n");
enum { BEFORE_FAULT_INSNS = 17, FAULT_FLAGS = NATIVE_OF | NATIVE_SF | NATIVE_AF | NATIVE_PF };
GUEST_CODE(after_fault, "mov rcx, 1\n xor eax, eax\n mov rax, [rsi]\n cpuid\n ret\n");

GUEST_CODE(load, "mov rax, [rdi]\n");
GUEST_CODE(store, "mov [rdi], ecx\n");
GUEST_CODE(store_far, "mov [rdi + rdi*8 + 0x40], ecx\n");
GUEST_CODE(modify, "add [rdi], rcx\n");
GUEST_CODE(load_vector, "movups xmm5, [rdi]\n");
GUEST_CODE(load_aligned, "movaps xmm5, [rsi + 1]\n");
GUEST_CODE(not_canonical, "mov rdx, 0x8000000000000000\n mov rax, [rdx]\n");
GUEST_CODE(divide, "div rdi\n ret\n");
GUEST_CODE(undefined, "ud2\n");
GUEST_CODE(undefined_bytes, ".byte 0x0f, 0x04\n");
GUEST_CODE(breakpoint, "int3\n");
GUEST_CODE(privileged, "hlt\n");
GUEST_CODE(interrupt_80, "int 0x80\n");
GUEST_CODE(interrupt_21, "int 0x21\n");
GUEST_CODE(call_memory, "call [rdi]\n");
GUEST_CODE(jump_memory, "jmp [rdi]\n");
GUEST_CODE(jump_nowhere, "jmp rdi\n");
GUEST_CODE(pop_nowhere, "mov rsp, rdi\n pop rax\n");
GUEST_CODE(return_nowhere, "mov rsp, rdi\n ret\n");
GUEST_CODE(call_nowhere, "mov rsp, rdi\n call 2f\n 2: nop\n");
GUEST_CODE(call_overwritten, "mov rdx, 0x8000000000000000\n mov [rsp - 8], rdx\n"
                             "call [rsp - 8]\n");
GUEST_CODE(far_load, "mov rax, [0x1000]\n");
GUEST_CODE(absolute_load, "movabs rax, [0x1000]\n");
GUEST_CODE(gs_load, "mov rax, gs:[rdi]\n");
GUEST_CODE(fs_store, "mov fs:[rdi + 8], rax\n");
GUEST_CODE(repeat_store, "mov ecx, 100\n mov edi, 0x1000\n rep stosb\n");

enum { NOWHERE = 0x1000, AT_PC = 1 };

struct fault_case {
    const char *name;
    const uint8_t *code, *end;
    unsigned insns; /* that are executed before the fault, of `code`; traps: with it */
    int signal, code_value;
    uint64_t address; /* AT_PC: the instruction */
    uint32_t trap, error;
    unsigned changed; /* registers that `code` has changed before, a set */
    bool behind;      /* pc is behind the instruction */
    bool lands;       /* pc is where it went: RDI */
};

#define CASE(name) #name, name, name##_end
static const struct fault_case fault_cases[] = {
    {CASE(load), 0, SIGSEGV, SEGV_MAPERR, NOWHERE, 14, 4, 0, false, false},
    {CASE(store), 0, SIGSEGV, SEGV_MAPERR, NOWHERE, 14, 6, 0, false, false},
    {CASE(store_far), 0, SIGSEGV, SEGV_MAPERR, 9 * NOWHERE + 0x40, 14, 6, 0, false, false},
    {CASE(modify), 0, SIGSEGV, SEGV_MAPERR, NOWHERE, 14, 6, 0, false, false},
    {CASE(load_vector), 0, SIGSEGV, SEGV_MAPERR, NOWHERE, 14, 4, 0, false, false},
    {CASE(load_aligned), 0, SIGSEGV, SI_KERNEL, 0, 13, 0, 0, false, false},
    {CASE(not_canonical), 1, SIGSEGV, SI_KERNEL, 0, 13, 0, 1 << X86_RDX, false, false},
    {CASE(undefined), 0, SIGILL, ILL_ILLOPN, AT_PC, 6, 0, 0, false, false},
    {CASE(undefined_bytes), 0, SIGILL, ILL_ILLOPN, AT_PC, 6, 0, 0, false, false},
    {CASE(breakpoint), 1, SIGTRAP, SI_KERNEL, 0, 3, 0, 0, true, false},
    {CASE(privileged), 0, SIGSEGV, SI_KERNEL, 0, 13, 0, 0, false, false},
    {CASE(interrupt_80), 0, SIGSEGV, SI_KERNEL, 0, 13, 0x402, 0, false, false},
    {CASE(interrupt_21), 0, SIGSEGV, SI_KERNEL, 0, 13, 0x10a, 0, false, false},
    {CASE(call_memory), 0, SIGSEGV, SEGV_MAPERR, NOWHERE, 14, 4, 0, false, false},
    {CASE(jump_memory), 0, SIGSEGV, SEGV_MAPERR, NOWHERE, 14, 4, 0, false, false},
    {CASE(jump_nowhere), 1, SIGSEGV, SEGV_MAPERR, NOWHERE, 14, 0x14, 0, false, true},
    {CASE(pop_nowhere), 1, SIGSEGV, SEGV_MAPERR, NOWHERE, 14, 4, 1 << X86_RSP, false, false},
    {CASE(return_nowhere), 1, SIGSEGV, SEGV_MAPERR, NOWHERE, 14, 4, 1 << X86_RSP, false, false},
    {CASE(call_nowhere), 1, SIGSEGV, SEGV_MAPERR, NOWHERE - 8, 14, 6, 1 << X86_RSP, false, false},
    {CASE(call_overwritten), 2, SIGSEGV, SI_KERNEL, 0, 13, 0, 1 << X86_RDX, false, false},
    {CASE(far_load), 0, SIGSEGV, SEGV_MAPERR, NOWHERE, 14, 4, 0, false, false},
    {CASE(absolute_load), 0, SIGSEGV, SEGV_MAPERR, NOWHERE, 14, 4, 0, false, false},
    {CASE(gs_load), 0, SIGSEGV, SEGV_MAPERR, NOWHERE + 0x500, 14, 4, 0, false, false},
    {CASE(fs_store), 0, SIGSEGV, SEGV_MAPERR, NOWHERE + 0x700 + 8, 14, 6, 0, false, false},
    {CASE(repeat_store), 2, SIGSEGV, SEGV_MAPERR, NOWHERE, 14, 6, 1 << X86_RCX | 1 << X86_RDI,
     false, false},
};

static void check_fault(const struct fault_case *c, const struct engine_options *options)
{
    static const uint8_t fill[16] = {0x10, 0x11, 0x12, 0x13, 0,    0x15, 0,    0,
                                     0x18, 0x19, 0x1a, 0x1b, 0x1c, 0x1d, 0x1e, 0x1f};
    struct guest guest;
    struct vcpu *vcpu;
    struct x86_cpu *cpu;
    const struct vcpu_fault *fault;
    uint64_t pc, expected_pc, rsp;

    guest_open(&guest, options, ENGINE_PAGE_EXEC);
    vcpu = guest_cpu_open(&guest, 0);
    cpu = guest_cpu(vcpu);
    pc = GUEST_PUT(&guest, before_fault);
    guest.used = pc + (uint64_t)(before_fault_end - before_fault) - (uint64_t)(uintptr_t)guest.code;
    memcpy(guest.code + guest.used, c->code, (size_t)(c->end - c->code));
    expected_pc = (uint64_t)(uintptr_t)guest.code + guest.used;
    guest.used += (size_t)(c->end - c->code);
    memcpy(guest.code + guest.used, after_fault, (size_t)(after_fault_end - after_fault));
    cpu->state.thread_base = 0x700;
    cpu->state.other_base = 0x500;
    guest_prepare(&guest, vcpu, pc, NOWHERE, (uint64_t)(uintptr_t)guest.data, 0);
    rsp = cpu->state.reg[X86_RSP];
    if (guest_run(vcpu) != VCPU_FAULT)
        fail_msg("%s: no fault", c->name);
    fault = vcpu_fault(vcpu);
    if (fault->signal != c->signal || fault->code != c->code_value || fault->trap != c->trap ||
        fault->error != c->error)
        fail_msg("%s: signal %d code %d trap %u error %x", c->name, fault->signal, fault->code,
                 fault->trap, fault->error);
    /* The tests' instructions before the last have at most 10 bytes each: find the last by length.
     */
    if (c->lands)
        expected_pc = NOWHERE;
    else if (cpu->state.pc < expected_pc ||
             cpu->state.pc > expected_pc + (uint64_t)(c->end - c->code))
        fail_msg("%s: pc %#lx, code at %#lx", c->name, cpu->state.pc, expected_pc);
    if (c->insns == 0)
        assert_int_equal(cpu->state.pc, expected_pc);
    if (c->behind)
        assert_int_equal(cpu->state.pc, expected_pc + (uint64_t)(c->end - c->code));
    if (fault->address != (c->address == AT_PC ? cpu->state.pc : c->address))
        fail_msg("%s: address %#lx", c->name, fault->address);
    for (unsigned reg = 0; reg < 16; reg++) {
        uint64_t expected = fill[reg] * UINT64_C(0x0101010101010101);

        if (c->changed >> reg & 1)
            continue;
        if (reg == X86_RSP)
            expected = rsp;
        if (reg == X86_RSI)
            expected = (uint64_t)(uintptr_t)guest.data;
        if (reg == X86_RDI)
            expected = NOWHERE;
        if (cpu->state.reg[reg] != expected)
            fail_msg("%s: register %u is %#lx", c->name, reg, cpu->state.reg[reg]);
    }
    if (c->changed & 1 << X86_RSP)
        assert_int_equal(cpu->state.reg[X86_RSP], NOWHERE);
    if ((cpu->state.flags & NATIVE_ARITH) != FAULT_FLAGS)
        fail_msg("%s: flags %#lx", c->name, cpu->state.flags);
    if (memcmp(cpu->state.vector + 160 + 16 * 5, "\x1f\x1f\x1f\x1f\x1f\x1f\x1f\x1f\0\0\0\0\0\0\0\0",
               16) != 0)
        fail_msg("%s: XMM5 has changed", c->name);
    assert_int_equal(cpu->state.thread_base, 0x700);
    if (options->count && vcpu_instructions(vcpu) != BEFORE_FAULT_INSNS + c->insns)
        fail_msg("%s: %lu instructions", c->name, (unsigned long)vcpu_instructions(vcpu));
    guest_cpu_close(vcpu);
    guest_close(&guest);
}

static void faults_are_exact(void **state)
{
    static const struct engine_options options[] = {
        {.count = true},
        {.count = true, .one_instruction = true},
        {.count = true, .self_check = true, .code_near = UINT64_C(0x20000000)},
        {.no_liveness = true},
        {.block_limit = 5, .no_chain = true},
    };

    (void)state;
    for (unsigned i = 0; i < COUNT(options); i++)
        for (unsigned c = 0; c < COUNT(fault_cases); c++)
            check_fault(&fault_cases[c], &options[i]);
}

/* DIV changes flags, so it has a test of its own. */
static void division_by_zero(void **state)
{
    static const struct engine_options options = {.count = true};
    struct guest guest;
    struct vcpu *vcpu;
    uint64_t pc;

    (void)state;
    guest_open(&guest, &options, ENGINE_PAGE_EXEC);
    vcpu = guest_cpu_open(&guest, 0);
    pc = GUEST_PUT(&guest, divide);
    guest_prepare(&guest, vcpu, pc, 0, 0, 77);
    guest_cpu(vcpu)->state.reg[X86_RAX] = 66;
    assert_int_equal(guest_run(vcpu), VCPU_FAULT);
    assert_int_equal(vcpu_fault(vcpu)->signal, SIGFPE);
    assert_int_equal(vcpu_fault(vcpu)->code, FPE_INTDIV);
    assert_int_equal(vcpu_fault(vcpu)->address, pc);
    assert_int_equal(vcpu_fault(vcpu)->trap, 0);
    assert_int_equal(guest_cpu(vcpu)->state.pc, pc);
    assert_int_equal(guest_cpu(vcpu)->state.reg[X86_RAX], 66);
    assert_int_equal(guest_cpu(vcpu)->state.reg[X86_RDX], 77);
    assert_int_equal(vcpu_instructions(vcpu), 0);
    /* It goes on when the cause is gone. */
    guest_cpu(vcpu)->state.reg[X86_RDX] = 0;
    guest_cpu(vcpu)->state.reg[X86_RDI] = 6;
    assert_int_equal(guest_run(vcpu), VCPU_SYSCALL);
    assert_int_equal(guest_cpu(vcpu)->state.reg[X86_RAX], 11);
    guest_cpu_close(vcpu);
    guest_close(&guest);
}

/* Pages that may not be executed: fallen into, and an instruction that goes on there. */
static void execution_ends_where_a_page_may_not_be_executed(void **state)
{
    enum { START = 2 * GUEST_PAGE - 4 };
    static const struct engine_options options = {.count = true};
    struct guest guest;
    struct vcpu *vcpu;
    uint64_t code;

    (void)state;
    guest_open(&guest, &options, ENGINE_PAGE_EXEC);
    vcpu = guest_cpu_open(&guest, 0);
    code = (uint64_t)(uintptr_t)guest.code;
    guest.refuse_exec[2] = true;
    memset(guest.code + START, 0x90, 16); /* NOP */
    guest_prepare(&guest, vcpu, code + START, 0, 0, 0);
    assert_int_equal(guest_run(vcpu), VCPU_FAULT);
    assert_int_equal(guest_cpu(vcpu)->state.pc, code + 2 * GUEST_PAGE);
    assert_int_equal(vcpu_fault(vcpu)->address, code + 2 * GUEST_PAGE);
    assert_int_equal(vcpu_fault(vcpu)->code, SEGV_ACCERR);
    assert_int_equal(vcpu_fault(vcpu)->error, 0x15);
    assert_int_equal(vcpu_instructions(vcpu), 4);
    engine_invalidate(guest.engine, code + GUEST_PAGE, code + 2 * GUEST_PAGE);
    guest.code[START + 3] = 0xb8; /* MOV EAX with an immediate that cannot be fetched */
    guest_prepare(&guest, vcpu, code + START, 0, 0, 0);
    assert_int_equal(guest_run(vcpu), VCPU_FAULT);
    assert_int_equal(guest_cpu(vcpu)->state.pc, code + START + 3);
    assert_int_equal(vcpu_fault(vcpu)->address, code + 2 * GUEST_PAGE);
    assert_int_equal(vcpu_instructions(vcpu), 4 + 3);
    guest_cpu_close(vcpu);
    guest_close(&guest);
}

/* --- single steps --- */

GUEST_CODE(stepped,
           "mov ecx, 2\n 2: call 3f\n dec ecx\n jnz 2b\n cpuid\n mov rdi, rsi\n movsb\n ret\n"
           "3: nop\n ret\n");

static void steps_through_every_instruction(void **state)
{
    /* Offsets behind each step; the last step is RET. */
    static const uint8_t where[] = {5, 21, 22, 10, 12, 5, 21, 22, 10, 12, 14, 16, 19, 20, 0};
    static const struct engine_options options[] = {
        {.count = true}, {.count = true, .self_check = true}, {.random_exits = true}};

    (void)state;
    assert_int_equal(stepped_end - stepped, 23);
    for (unsigned i = 0; i < COUNT(options); i++) {
        struct guest guest;
        struct vcpu *vcpu;
        uint64_t pc;

        guest_open(&guest, &options[i], ENGINE_PAGE_EXEC);
        vcpu = guest_cpu_open(&guest, 0);
        pc = GUEST_PUT(&guest, stepped);
        guest_call(&guest, vcpu, pc, 0, (uint64_t)(uintptr_t)guest.data, 0);
        guest_prepare(&guest, vcpu, pc, 0, (uint64_t)(uintptr_t)guest.data, 0);
        guest_cpu(vcpu)->system_flags |= X86_FLAG_TF;
        for (unsigned step = 0; step < COUNT(where); step++) {
            uint64_t count = vcpu_instructions(vcpu);

            assert_int_equal(guest_run(vcpu), VCPU_FAULT);
            assert_int_equal(vcpu_fault(vcpu)->signal, SIGTRAP);
            assert_int_equal(vcpu_fault(vcpu)->code, TRAP_TRACE);
            assert_int_equal(vcpu_fault(vcpu)->trap, 1);
            if (options[i].count)
                assert_int_equal(vcpu_instructions(vcpu) - count, 1);
            if (step + 1 < COUNT(where))
                assert_int_equal(guest_cpu(vcpu)->state.pc, pc + where[step]);
            else
                assert_int_equal(guest_cpu(vcpu)->state.pc, guest.done);
        }
        guest_cpu(vcpu)->system_flags &= ~(uint64_t)X86_FLAG_TF;
        guest_cpu_close(vcpu);
        guest_close(&guest);
    }
}

/* --- interruptions --- */

/* Counts in several registers at once: between any two instructions at most one step apart. Ends
 * when [rdi] is not 0. */
GUEST_CODE(in_step,
           "xor eax, eax\n xor ebx, ebx\n xor r8d, r8d\n mov rdx, rsp\n lea r10, [rip + 4f]\n"
           "2: inc rax\n add rbx, 2\n lea r8, [r8 + 3]\n"
           "call 3f\n"
           "push r8\n pop r9\n"
           "cmp dword ptr [rdi], 0\n je 2b\n ret\n"
           "3: mov rsi, [rsp]\n jmp r10\n 4: ret\n");

/* Which of the three has been stepped at each offset is told by the order of instructions. */
static const char *out_of_step(const struct x86_cpu *cpu)
{
    static _Thread_local char text[160];
    const uint64_t *reg = cpu->state.reg;
    uint64_t a = reg[X86_RAX], b = reg[X86_RBX] / 2, c = reg[X86_R8] / 3;
    uint64_t depth = reg[X86_RDX] - reg[X86_RSP];

    /* Behind the last RET the return address is gone too. */
    if (a - b <= 1 && b - c <= 1 && a - c <= 1 && (depth == 0 || depth == 8 || depth + 8 == 0))
        return NULL;
    snprintf(text, sizeof(text), "pc %#lx: %lu %lu %lu, stack %ld", (unsigned long)cpu->state.pc,
             (unsigned long)a, (unsigned long)b, (unsigned long)c, (long)depth);
    return text;
}

struct interrupter {
    struct vcpu *vcpu;
    uint32_t seen, stop;
};

static void *interrupt_again_and_again(void *opaque)
{
    struct interrupter *i = opaque;

    /* The next only when the last was seen: each must be answered. */
    for (uint32_t n = 0; !__atomic_load_n(&i->stop, __ATOMIC_ACQUIRE); n++) {
        vcpu_interrupt(i->vcpu);
        while (__atomic_load_n(&i->seen, __ATOMIC_ACQUIRE) == n &&
               !__atomic_load_n(&i->stop, __ATOMIC_ACQUIRE))
            sched_yield();
    }
    return NULL;
}

/* Blocks what is not for this thread's ears: only threads with a CPU can take signals. */
static void start(pthread_t *thread, void *(*function)(void *), void *opaque)
{
    sigset_t all, before;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    if (pthread_create(thread, NULL, function, opaque) != 0)
        guest_die("no thread\n");
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

/* The same for a thread that has a CPU: kicks and faults reach it. */
static void let_signals_in(void)
{
    sigset_t none;

    sigemptyset(&none);
    pthread_sigmask(SIG_SETMASK, &none, NULL);
}

static void is_interrupted_by_another_thread(void **state)
{
    static const struct engine_options options[] = {
        {.count = true}, {.self_check = true, .block_limit = 4}, {.no_chain = true}};

    (void)state;
    for (unsigned i = 0; i < COUNT(options); i++) {
        struct interrupter interrupter = {0};
        struct guest guest;
        struct vcpu *vcpu;
        pthread_t thread;

        guest_open(&guest, &options[i], ENGINE_PAGE_EXEC);
        vcpu = guest_cpu_open(&guest, 0);
        guest_prepare(&guest, vcpu, GUEST_PUT(&guest, in_step), (uint64_t)(uintptr_t)guest.data, 0,
                      0);
        interrupter.vcpu = vcpu;
        start(&thread, interrupt_again_and_again, &interrupter);
        for (unsigned n = 0; n < 2000; n++) {
            assert_int_equal(vcpu_run(vcpu), VCPU_INTERRUPTED);
            if (n > 0 && out_of_step(guest_cpu(vcpu)) && guest_cpu(vcpu)->state.reg[X86_R8] > 0)
                fail_msg("%s", out_of_step(guest_cpu(vcpu)));
            __atomic_fetch_add(&interrupter.seen, 1, __ATOMIC_RELEASE);
        }
        __atomic_store_n(&interrupter.stop, 1, __ATOMIC_RELEASE);
        pthread_join(thread, NULL);
        guest.data[0] = 1;
        assert_int_equal(guest_run(vcpu), VCPU_SYSCALL);
        assert_null(out_of_step(guest_cpu(vcpu)));
        if (options[i].count) {
            /* 5 before the loop, 11 a round, RET, and SYSCALL. */
            assert_int_equal(vcpu_instructions(vcpu),
                             5 + 11 * guest_cpu(vcpu)->state.reg[X86_RAX] + 2);
        }
        guest_cpu_close(vcpu);
        guest_close(&guest);
    }
}

#ifndef __SANITIZE_THREAD__
static unsigned timer_signals;

static bool work_again(struct guest *guest, struct vcpu *vcpu, uint64_t pc, uint64_t rounds,
                       uint64_t *before)
{
    memset(guest->data, 0x5a, GUEST_PAGE);
    guest_prepare(guest, vcpu, pc, rounds, (uint64_t)(uintptr_t)guest->data, 0);
    *before = vcpu_instructions(vcpu);
    return true;
}

/* The handler of the shared guest takes signals of its own kind by interrupting the CPU. */
static void result_is_the_same_under_a_timer(void **state)
{
    static const struct engine_options options[] = {
        {.count = true}, {.self_check = true}, {.one_instruction = true, .no_chain = true}};
    enum { ROUNDS = 100000, ROUNDS_SLOW = 3000 };

    (void)state;
    for (unsigned i = 0; i < COUNT(options); i++) {
        uint64_t rounds = options[i].no_chain ? ROUNDS_SLOW : ROUNDS;
        struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGRTMIN};
        struct itimerspec every = {{0, 1000000}, {0, 1000000}}, never = {{0, 0}, {0, 0}};
        struct guest guest;
        struct vcpu *vcpu;
        uint64_t pc, expected, undisturbed, again, result, before;
        timer_t timer;

        guest_open(&guest, &options[i], ENGINE_PAGE_EXEC);
        vcpu = guest_cpu_open(&guest, 0);
        pc = GUEST_PUT(&guest, work);
        expected = work_native(&guest, pc, rounds);
        before = vcpu_instructions(vcpu);
        assert_int_equal(work_guest(&guest, vcpu, pc, rounds), expected);
        undisturbed = vcpu_instructions(vcpu) - before;
        event._sigev_un._tid = gettid();
        assert_int_equal(timer_create(CLOCK_MONOTONIC, &event, &timer), 0);
        assert_int_equal(timer_settime(timer, 0, &every, NULL), 0);
        timer_signals = 0;
        work_again(&guest, vcpu, pc, rounds, &before);
        do {
            for (enum vcpu_event what; (what = vcpu_run(vcpu)) != VCPU_SYSCALL; timer_signals++)
                if (what != VCPU_INTERRUPTED)
                    guest_die("event %d under a timer\n", what);
            result = guest_cpu(vcpu)->state.reg[X86_RAX];
            again = vcpu_instructions(vcpu) - before;
        } while (again == undisturbed && result == expected && timer_signals < 100 &&
                 work_again(&guest, vcpu, pc, rounds, &before));
        timer_settime(timer, 0, &never, NULL);
        timer_delete(timer);
        assert_int_equal(result, expected);
        assert_int_equal(again, undisturbed);
        guest_cpu_close(vcpu);
        guest_close(&guest);
    }
}
#endif

/* --- code that changes --- */

/* Calls a function that returns a constant until [rdi] is not 0. r8: how many results differed from
 * the one before; rax: the last. rsi: the function. */
GUEST_CODE(call_forever, "xor r8d, r8d\n xor r9d, r9d\n xor r10d, r10d\n"
                         "2: call rsi\n cmp rax, r9\n je 3f\n inc r8\n mov r9, rax\n"
                         "3: inc r10\n mov [rdi + 8], r10\n mov [rdi + 16], rax\n"
                         "cmp dword ptr [rdi], 0\n je 2b\n ret\n");
GUEST_CODE(returns_constant, "mov eax, 1\n ret\n");

struct changer {
    struct guest *guest;
    uint64_t function;
    bool invalidate;
    const char *failure;
};

/* Changes the constant and waits until the new one is returned. */
static void *change_code(void *opaque)
{
    struct changer *c = opaque;
    volatile uint64_t *shown = (volatile uint64_t *)(void *)(c->guest->data + 16);

    for (uint32_t value = 2; value < 300 && !c->failure; value++) {
        struct timespec nap = {0, 20000};
        uint32_t *place = (uint32_t *)(uintptr_t)(c->function + 1); // NOLINT

        /* As the processor wants it: one store; the engine: forget, then look again. */
        __asm__ volatile("movl %1, %0" : "=m"(*place) : "r"(value)); /* the guest's own race */
        if (c->invalidate)
            engine_invalidate(c->guest->engine, c->function, c->function + 6);
        for (unsigned tries = 0; *shown != value; tries++) {
            if (tries == 50000) {
                c->failure = "a change of code was not seen";
                break;
            }
            nanosleep(&nap, NULL);
        }
    }
    __atomic_store_n((uint32_t *)(void *)c->guest->data, 1, __ATOMIC_SEQ_CST);
    return NULL;
}

static void change_while_running(const struct engine_options *options, unsigned how,
                                 bool invalidate)
{
    struct guest guest;
    struct vcpu *vcpu;
    struct changer changer = {.guest = &guest, .invalidate = invalidate};
    pthread_t thread;
    uint64_t pc;

    guest_open(&guest, options, how);
    vcpu = guest_cpu_open(&guest, 0);
    pc = GUEST_PUT(&guest, call_forever);
    guest.used = 2 * GUEST_PAGE;
    changer.function = GUEST_PUT(&guest, returns_constant);
    guest_prepare(&guest, vcpu, pc, (uint64_t)(uintptr_t)guest.data, changer.function, 0);
    start(&thread, change_code, &changer);
    assert_int_equal(guest_run(vcpu), VCPU_SYSCALL);
    pthread_join(thread, NULL);
    if (changer.failure)
        fail_msg("%s", changer.failure);
    assert_int_equal(guest_cpu(vcpu)->state.reg[X86_RAX], 299);
    assert_in_range(guest_cpu(vcpu)->state.reg[X86_R8], 298, 299);
    guest_cpu_close(vcpu);
    guest_close(&guest);
}

static void code_is_invalidated_while_it_runs(void **state)
{
    static const struct engine_options options[] = {
        {.count = false}, {.random_exits = true}, {.no_chain = true}};

    (void)state;
    for (unsigned i = 0; i < COUNT(options); i++)
        change_while_running(&options[i], ENGINE_PAGE_EXEC, true);
}

static void checked_pages_are_compared(void **state)
{
    static const struct engine_options options[] = {{.count = false}, {.count = true}};

    (void)state;
    for (unsigned i = 0; i < COUNT(options); i++)
        change_while_running(&options[i], ENGINE_PAGE_EXEC | ENGINE_PAGE_CHECKED, false);
}

/* A block whose first form overwrites registers and flags before it reads them, and whose second
 * does not: they must survive that the check finds the difference. */
GUEST_CODE(overwrites, "mov r11d, 1\n mov r10d, 2\n mov r9d, 3\n add r11, r10\n ret\n");
GUEST_CODE(reads,
           "lea rax, [r11 + r10*2]\n lea rax, [rax + r9*4]\n setc dl\n movzx edx, dl\n ret\n");
GUEST_CODE(jump_there, "mov r11, 100\n mov r10, 1000\n mov r9, 10000\n stc\n jmp rsi\n");

static void a_changed_block_finds_all_registers(void **state)
{
    static const struct engine_options options[] = {{.self_check = true},
                                                    {.count = true, .self_check = true}};

    (void)state;
    for (unsigned i = 0; i < COUNT(options); i++) {
        struct guest guest;
        struct vcpu *vcpu;
        uint64_t pc, there;

        guest_open(&guest, &options[i], ENGINE_PAGE_EXEC);
        vcpu = guest_cpu_open(&guest, 0);
        pc = GUEST_PUT(&guest, jump_there);
        there = GUEST_PUT(&guest, overwrites);
        for (unsigned n = 0; n < 3; n++) {
            memcpy((void *)(uintptr_t)there, overwrites,
                   (size_t)(overwrites_end - overwrites)); // NOLINT
            guest_call(&guest, vcpu, pc, 0, there, 0);
            guest_call(&guest, vcpu, pc, 0, there, 0);
            memcpy((void *)(uintptr_t)there, reads, (size_t)(reads_end - reads)); // NOLINT
            assert_int_equal(guest_call(&guest, vcpu, pc, 0, there, 0), 100 + 2000 + 40000);
            assert_int_equal(guest_cpu(vcpu)->state.reg[X86_RDX], 1);
        }
        guest_cpu_close(vcpu);
        guest_close(&guest);
    }
}

/* Code that changes itself: the immediate of an instruction of the same block right before it is
 * executed; and a function on another page that is called. rdi: rounds; rsi: the function. */
GUEST_CODE(changes_itself, "xor r8d, r8d\n"
                           "2: mov [rip + 3f - 4], edi\n nop\n"
                           "mov eax, 0x55555555\n 3: add r8, rax\n"
                           "lea ecx, [rdi + rdi*2]\n mov [rsi + 1], ecx\n"
                           "call rsi\n add r8, rax\n"
                           "dec rdi\n jnz 2b\n mov rax, r8\n ret\n");

static void code_that_changes_itself(void **state)
{
    static const struct engine_options options[] = {{.count = false},
                                                    {.count = true, .block_limit = 2},
                                                    {.one_instruction = true},
                                                    {.random_exits = true, .self_check = true}};
    enum { ROUNDS = 100 };

    (void)state;
    for (unsigned i = 0; i < COUNT(options); i++) {
        struct guest guest;
        struct vcpu *vcpu;
        uint64_t pc, function;

        guest_open(&guest, &options[i], ENGINE_PAGE_EXEC | ENGINE_PAGE_WATCH);
        vcpu = guest_cpu_open(&guest, 0);
        pc = GUEST_PUT(&guest, changes_itself);
        guest.used = 2 * GUEST_PAGE;
        function = GUEST_PUT(&guest, returns_constant);
        assert_int_equal(guest_call(&guest, vcpu, pc, ROUNDS, function, 0),
                         4 * ROUNDS * (ROUNDS + 1) / 2);
        assert_true(guest.caught >= ROUNDS);
        assert_true(guest.watched >= ROUNDS);
        if (options[i].count)
            assert_int_equal(vcpu_instructions(vcpu), 1 + ROUNDS * 12 + 2 + 1);
        guest_cpu_close(vcpu);
        guest_close(&guest);
    }
}

static void memory_with_code_is_known(void **state)
{
    struct guest guest;
    struct vcpu *vcpu;
    uint64_t pc, code;

    (void)state;
    guest_open(&guest, NULL, ENGINE_PAGE_EXEC | ENGINE_PAGE_WATCH);
    vcpu = guest_cpu_open(&guest, 0);
    code = (uint64_t)(uintptr_t)guest.code;
    guest.used = 2 * GUEST_PAGE - 3;
    pc = code + guest.used;
    memcpy(guest.code + guest.used, returns_3,
           (size_t)(returns_3_end - returns_3)); /* on two pages */
    assert_false(engine_has_code(guest.engine, code, code + GUEST_CODE_SIZE));
    assert_int_equal(guest_call(&guest, vcpu, pc, 0, 0, 0), 3);
    assert_true(engine_has_code(guest.engine, pc, pc + 1));
    assert_true(engine_has_code(guest.engine, code + 2 * GUEST_PAGE, code + 3 * GUEST_PAGE));
    assert_false(engine_has_code(guest.engine, code + 3 * GUEST_PAGE, code + 4 * GUEST_PAGE));
    assert_int_equal(guest.watched, 3);
    /* The second page alone is enough to forget it. */
    guest.how = ENGINE_PAGE_EXEC;
    engine_invalidate(guest.engine, code + 2 * GUEST_PAGE, code + 2 * GUEST_PAGE + 1);
    mprotect(guest.code, GUEST_CODE_SIZE, PROT_READ | PROT_WRITE | PROT_EXEC);
    assert_false(engine_has_code(guest.engine, code + 2 * GUEST_PAGE, code + 3 * GUEST_PAGE));
    guest.code[2 * GUEST_PAGE - 3 + 1] = 4;
    assert_int_equal(guest_call(&guest, vcpu, pc, 0, 0, 0), 4);
    /* A range that is larger than the table of pages. */
    engine_invalidate(guest.engine, 0, UINT64_C(1) << 47);
    assert_false(engine_has_code(guest.engine, code, code + GUEST_CODE_SIZE));
    assert_int_equal(guest_call(&guest, vcpu, pc, 0, 0, 0), 4);
    guest_cpu_close(vcpu);
    guest_close(&guest);
}

/* --- a cache that is too small --- */

enum { FUNCTIONS = 1500, FUNCTION_BYTES = 64, THREADS = 3 };

/* rdi: table of functions; rsi: how many; rdx: a number; calls them all in an order that depends on
 * what they return. */
GUEST_CODE(call_all, "push rbx\n push r12\n push r13\n push r14\n"
                     "mov r12, rdi\n mov r13, rsi\n mov r14, rdx\n xor ebx, ebx\n"
                     "2: imul rax, rbx, 31\n add rax, r14\n add rax, r13\n xor edx, edx\n div rsi\n"
                     "mov edi, edx\n mov rdx, [r12 + rdx*8]\n call rdx\n"
                     "add rbx, rax\n rol rbx, 1\n dec r13\n jnz 2b\n"
                     "mov rax, rbx\n pop r14\n pop r13\n pop r12\n pop rbx\n ret\n");
GUEST_CODE(one_of_many, "mov eax, 0x11111111\n test edi, 1\n jz 2f\n add eax, edi\n jmp 3f\n"
                        "2: sub eax, edi\n"
                        "3: cmp edi, 700\n jb 4f\n ror eax, 3\n 4: ret\n");

static uint64_t function_table[FUNCTIONS];

static void put_functions(struct guest *guest)
{
    for (uint32_t i = 0; i < FUNCTIONS; i++) {
        uint32_t constant = i * 2654435761U;
        uint8_t *at = guest->code + guest->used;

        memcpy(at, one_of_many, (size_t)(one_of_many_end - one_of_many));
        memcpy(at + 1, &constant, sizeof(constant));
        function_table[i] = (uint64_t)(uintptr_t)at;
        guest->used += FUNCTION_BYTES;
    }
}

struct caller {
    struct guest *guest;
    uint64_t pc;
    unsigned number, rounds;
    uint64_t result[8];
    uint64_t instructions;
};

static void *call_on_a_thread(void *opaque)
{
    struct caller *caller = opaque;
    struct vcpu *vcpu = guest_cpu_open(caller->guest, caller->number);

    let_signals_in();
    for (unsigned i = 0; i < caller->rounds; i++)
        caller->result[i] =
            guest_call(caller->guest, vcpu, caller->pc, (uint64_t)(uintptr_t)function_table,
                       FUNCTIONS, caller->number + 10 * i);
    caller->instructions = vcpu_instructions(vcpu);
    guest_cpu_close(vcpu);
    return NULL;
}

static void several_threads_share_a_small_cache(void **state)
{
    static const struct engine_options options[] = {
        {.cache_size = 64 << 10, .count = true},
        {.cache_size = 64 << 10, .random_exits = true, .self_check = true},
        {.cache_size = 100 << 10, .no_chain = true},
    };
    enum { ROUNDS = 4 };

    (void)state;
    for (unsigned i = 0; i < COUNT(options); i++) {
        struct caller caller[THREADS];
        pthread_t thread[THREADS];
        struct guest guest;
        char *text = NULL;
        size_t size = 0;
        FILE *out = open_memstream(&text, &size);
        uint64_t pc;

        guest_open(&guest, &options[i], ENGINE_PAGE_EXEC);
        pc = GUEST_PUT(&guest, call_all);
        put_functions(&guest);
        for (unsigned t = 0; t < THREADS; t++) {
            caller[t] = (struct caller){&guest, pc, t, ROUNDS, {0}, 0};
            start(&thread[t], call_on_a_thread, &caller[t]);
        }
        for (unsigned t = 0; t < THREADS; t++)
            pthread_join(thread[t], NULL);
        for (unsigned t = 0; t < THREADS; t++)
            for (unsigned r = 0; r < ROUNDS; r++)
                assert_int_equal(caller[t].result[r],
                                 guest_call_native(pc, (uint64_t)(uintptr_t)function_table,
                                                   FUNCTIONS, t + 10 * r));
        engine_stats(guest.engine, out);
        fclose(out);
        assert_non_null(strstr(text, "flushes"));
        assert_null(strstr(text, " 0 flushes"));
        free(text);
        guest_close(&guest);
    }
}

/* The largest blocks with all probes do not fit into the smallest cache as a group. */
static void large_blocks_fit_into_a_small_cache(void **state)
{
    static const struct engine_options options = {
        .cache_size = 1, .block_limit = 128, .count = true, .self_check = true};
    struct guest guest;
    struct vcpu *vcpu;
    uint64_t pc;

    (void)state;
    guest_open(&guest, &options, ENGINE_PAGE_EXEC);
    vcpu = guest_cpu_open(&guest, 0);
    pc = (uint64_t)(uintptr_t)guest.code + guest.used;
    for (unsigned i = 0; i < 2000; i++) { /* add [rdi + disp32], rdi */
        static const uint8_t add[] = {0x48, 0x01, 0xbf};
        uint32_t disp = i % 64 * 8;

        memcpy(guest.code + guest.used, add, sizeof(add));
        memcpy(guest.code + guest.used + 3, &disp, sizeof(disp));
        guest.used += 7;
    }
    guest.code[guest.used++] = 0xc3;
    guest_call(&guest, vcpu, pc, (uint64_t)(uintptr_t)guest.data, 0, 0);
    assert_int_equal(vcpu_instructions(vcpu), 2000 + 1 + 1);
    guest_cpu_close(vcpu);
    guest_close(&guest);
}

/* --- several engines --- */

static void engines_do_not_disturb_each_other(void **state)
{
    static const struct engine_options count = {.count = true}, plain = {.no_chain = true};
    struct guest first, second;
    struct vcpu *a, *b;
    uint64_t pc_a, pc_b;

    (void)state;
    guest_open(&first, &count, ENGINE_PAGE_EXEC);
    guest_open(&second, &plain, ENGINE_PAGE_EXEC);
    a = guest_cpu_open(&first, 0);
    b = guest_cpu_open(&second, 0);
    pc_a = GUEST_PUT(&first, counted);
    pc_b = GUEST_PUT(&second, work);
    assert_ptr_equal(vcpu_engine(a), first.engine);
    assert_ptr_equal(vcpu_engine(b), second.engine);
    for (uint64_t i = 1; i < 20; i++) {
        vcpu_bind(a);
        assert_ptr_equal(vcpu_current(), a);
        assert_int_equal(guest_call(&first, a, pc_a, i, 0, 0), i * (i + 1) / 2);
        vcpu_bind(b);
        assert_ptr_equal(vcpu_current(), b);
        assert_int_equal(work_guest(&second, b, pc_b, i), work_native(&second, pc_b, i));
    }
    assert_int_equal(vcpu_instructions(b), 0);
    vcpu_bind(a);
    guest_cpu_close(a);
    assert_null(vcpu_current());
    vcpu_bind(b);
    guest_cpu_close(b);
    guest_close(&first);
    guest_close(&second);
}

static void *work_on_a_thread(void *opaque)
{
    struct caller *caller = opaque;
    struct vcpu *vcpu = guest_cpu_open(caller->guest, 0);

    let_signals_in();
    for (unsigned i = 0; i < caller->rounds; i++)
        caller->result[i] = work_guest(caller->guest, vcpu, caller->pc, 2000 + i);
    guest_cpu_close(vcpu);
    return NULL;
}

static void engines_run_on_threads_of_their_own(void **state)
{
    static const struct engine_options options[2] = {{.cache_size = 64 << 10},
                                                     {.self_check = true}};
    struct guest guest[2];
    struct caller caller[2];
    pthread_t thread[2];

    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        guest_open(&guest[i], &options[i], ENGINE_PAGE_EXEC);
        caller[i] = (struct caller){&guest[i], GUEST_PUT(&guest[i], work), 0, 8, {0}, 0};
        start(&thread[i], work_on_a_thread, &caller[i]);
    }
    for (unsigned i = 0; i < 2; i++)
        pthread_join(thread[i], NULL);
    for (unsigned i = 0; i < 2; i++) {
        for (unsigned r = 0; r < caller[i].rounds; r++)
            assert_int_equal(caller[i].result[r], work_native(&guest[i], caller[i].pc, 2000 + r));
        guest_close(&guest[i]);
    }
}

/* --- fork --- */

static int child_of_a_fork(struct guest *guest, struct vcpu *vcpu, uint64_t pc, uint64_t expected)
{
    engine_fork_child(guest->engine, vcpu);
    if (work_guest(guest, vcpu, pc, 300) != expected)
        return 3;
    /* Code of its own: what it translates and flushes is not seen by the parent. */
    for (unsigned i = 0; i < 3; i++)
        if (guest_call(guest, vcpu, GUEST_PUT(guest, counted), 10, 0, 0) != 55)
            return 4;
    engine_invalidate(guest->engine, 0, UINT64_C(1) << 47);
    return work_guest(guest, vcpu, pc, 300) == expected ? 0 : 5;
}

static void *run_until_told(void *opaque)
{
    struct caller *caller = opaque;
    struct vcpu *vcpu = guest_cpu_open(caller->guest, caller->number);

    let_signals_in();
    guest_call(caller->guest, vcpu, caller->pc,
               (uint64_t)(uintptr_t)caller->guest->data + 5 * GUEST_PAGE, 0, 0);
    guest_cpu_close(vcpu);
    return NULL;
}

/* With another CPU in translated code all the while. */
static void the_child_of_a_fork_goes_on(void **state)
{
    static const struct engine_options options[] = {{.count = true}, {.cache_size = 64 << 10}};

    (void)state;
    for (unsigned i = 0; i < COUNT(options); i++) {
        struct caller other = {.number = 1};
        struct guest guest;
        struct vcpu *vcpu;
        pthread_t thread;
        uint64_t pc, expected;

        guest_open(&guest, &options[i], ENGINE_PAGE_EXEC);
        vcpu = guest_cpu_open(&guest, 0);
        pc = GUEST_PUT(&guest, work);
        other.guest = &guest;
        other.pc = GUEST_PUT(&guest, in_step);
        start(&thread, run_until_told, &other);
        expected = work_native(&guest, pc, 300);
        assert_int_equal(work_guest(&guest, vcpu, pc, 300), expected);
        for (unsigned n = 0; n < 4; n++) {
            int status;
            pid_t child;

            engine_fork_prepare(guest.engine);
            child = fork();
            if (child == 0)
                _exit(child_of_a_fork(&guest, vcpu, pc, expected));
            engine_fork_parent(guest.engine);
            assert_true(child > 0);
            assert_int_equal(work_guest(&guest, vcpu, pc, 300), expected);
            assert_int_equal(waitpid(child, &status, 0), child);
            assert_int_equal(status, 0);
        }
        guest.data[5 * GUEST_PAGE] = 1;
        pthread_join(thread, NULL);
        guest_cpu_close(vcpu);
        guest_close(&guest);
    }
}

/* --- probes that come and go --- */

struct switcher {
    const char *pattern;
    guest_event_fn *event;
    void *opaque;
    uint32_t stop;
    unsigned times;
};

static void *switch_again_and_again(void *opaque)
{
    struct switcher *s = opaque;

    while (!__atomic_load_n(&s->stop, __ATOMIC_ACQUIRE)) {
        struct timespec nap = {0, 500000};
        struct guest_trace *trace = guest_trace_on(s->pattern, s->event, s->opaque);

        nanosleep(&nap, NULL);
        guest_trace_off(trace);
        nanosleep(&nap, NULL);
        __atomic_fetch_add(&s->times, 1, __ATOMIC_RELAXED);
    }
    return NULL;
}

static void count_event(void *opaque, const char *name, const uint64_t *values)
{
    uint64_t *count = opaque;

    (void)name, (void)values;
    __atomic_fetch_add(count, 1, __ATOMIC_RELAXED);
}

/* guest_insn is on all the while, other probes come and go: nothing is lost or counted twice. */
static void events_are_exact_while_other_probes_change(void **state)
{
    static const struct engine_options options = {.count = true};
    uint64_t events = 0, others = 0, rounds;
    struct switcher switcher = {"guest_branch", count_event, &others, 0, 0};
    struct guest_trace *trace = guest_trace_on("guest_insn", count_event, &events);
    struct guest guest;
    struct vcpu *vcpu;
    pthread_t thread;
    uint64_t pc;

    (void)state;
    guest_open(&guest, &options, ENGINE_PAGE_EXEC);
    vcpu = guest_cpu_open(&guest, 0);
    pc = GUEST_PUT(&guest, work);
    start(&thread, switch_again_and_again, &switcher);
    for (rounds = 0; rounds < 200 || __atomic_load_n(&others, __ATOMIC_RELAXED) < 1000; rounds++)
        if (work_guest(&guest, vcpu, pc, 100) != work_native(&guest, pc, 100))
            guest_die("another result with probes\n");
    __atomic_store_n(&switcher.stop, 1, __ATOMIC_RELEASE);
    pthread_join(thread, NULL);
    guest_trace_off(trace);
    assert_true(switcher.times > 1);
    assert_int_equal(events, vcpu_instructions(vcpu));
    guest_cpu_close(vcpu);
    guest_close(&guest);
}

/* guest_insn itself comes and goes: while it is there, no instruction is missing. */
struct sequence {
    uint64_t pc, last;
    uint64_t seen, gaps; /* gaps: where it was switched on again */
};

/* The successors of each instruction of `cycle`, by offset. */
GUEST_CODE(cycle, "2: nop\n xor eax, eax\n call 3f\n jmp 4f\n 3: nop\n ret\n"
                  "4: push rax\n pop rax\n dec rdi\n jnz 2b\n ret\n");
enum { CYCLE_END = 19 }; /* RET; the next is 0 again */
static const uint8_t next_offset[32] = {
    [0] = 1,  [1] = 3,   [3] = 10,  [8] = 12,  [10] = 11,
    [11] = 8, [12] = 13, [13] = 14, [14] = 17, [17] = 0,
};

static void follow(void *opaque, const char *name, const uint64_t *values)
{
    struct sequence *s = opaque;
    uint64_t offset = values[0] - s->pc;

    (void)name;
    if (offset >= sizeof(next_offset))
        return; /* the SYSCALL at guest.done */
    if (s->last >= sizeof(next_offset) ||
        (next_offset[s->last] != offset && !(s->last == CYCLE_END - 2 && offset == CYCLE_END)))
        s->gaps++;
    s->seen++;
    s->last = offset;
}

static void no_event_is_missing_while_probes_come_and_go(void **state)
{
    struct sequence sequence = {.last = ~UINT64_C(0)};
    struct switcher switcher = {"guest_insn", follow, &sequence, 0, 0};
    struct guest guest;
    struct vcpu *vcpu;
    pthread_t thread;

    (void)state;
    guest_open(&guest, NULL, ENGINE_PAGE_EXEC);
    vcpu = guest_cpu_open(&guest, 0);
    assert_int_equal(cycle_end - cycle, 20);
    sequence.pc = GUEST_PUT(&guest, cycle);
    guest_call(&guest, vcpu, sequence.pc, 1, 0, 0);
    start(&thread, switch_again_and_again, &switcher);
    /* Long calls: nothing but the requests of the other thread gets it out. */
    for (unsigned calls = 0;
         calls < 2000 &&
         (__atomic_load_n(&switcher.times, __ATOMIC_RELAXED) < 10 || sequence.seen <= 1000);
         calls++)
        guest_call(&guest, vcpu, sequence.pc, 300000, 0, 0);
    __atomic_store_n(&switcher.stop, 1, __ATOMIC_RELEASE);
    pthread_join(thread, NULL);
    assert_true(sequence.seen > 1000);
    assert_true(switcher.times > 3);
    assert_in_range(sequence.gaps, 1, switcher.times + 1);
    guest_cpu_close(vcpu);
    guest_close(&guest);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(computes_like_the_real_cpu),
        cmocka_unit_test(computes_the_same_with_all_switches),
        cmocka_unit_test(last_x87_instruction_is_the_guests),
        cmocka_unit_test(counts_instructions_exactly),
        cmocka_unit_test(targets_collide_in_the_jump_table),
        cmocka_unit_test(calls_through_memory_and_releases_arguments),
        cmocka_unit_test(a_cpu_leaves_nothing_to_the_next),
        cmocka_unit_test(faults_are_exact),
        cmocka_unit_test(division_by_zero),
        cmocka_unit_test(execution_ends_where_a_page_may_not_be_executed),
        cmocka_unit_test(steps_through_every_instruction),
        cmocka_unit_test(is_interrupted_by_another_thread),
#ifndef __SANITIZE_THREAD__
        cmocka_unit_test(result_is_the_same_under_a_timer),
#endif
        cmocka_unit_test(code_is_invalidated_while_it_runs),
        cmocka_unit_test(checked_pages_are_compared),
        cmocka_unit_test(a_changed_block_finds_all_registers),
        cmocka_unit_test(code_that_changes_itself),
        cmocka_unit_test(memory_with_code_is_known),
        cmocka_unit_test(several_threads_share_a_small_cache),
        cmocka_unit_test(large_blocks_fit_into_a_small_cache),
        cmocka_unit_test(engines_do_not_disturb_each_other),
        cmocka_unit_test(engines_run_on_threads_of_their_own),
        cmocka_unit_test(the_child_of_a_fork_goes_on),
        cmocka_unit_test(events_are_exact_while_other_probes_change),
        cmocka_unit_test(no_event_is_missing_while_probes_come_and_go),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
