/* SPDX-License-Identifier: MIT
 *
 * See x86_native.h. */
#include "x86_native.h"

#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>

#include "base/error.h"
#include "guest/x86/xstate.h"
#include "ir/native.h"

/* Offsets into these stand in the assembly below. */
struct native_registers native_state;
uint64_t native_host_stack;
const void *native_code;
_Alignas(64) uint8_t native_image[X86_XSTATE_SIZE], native_host_image[X86_XSTATE_SIZE];

_Static_assert(offsetof(struct native_registers, flags) == 128, "known to assembly");

void native_enter(void);
void native_back(void);

/* Flags are loaded while there is the host's stack, and stored when there is one again; nothing
 * between changes them. EDX:EAX = 7 is x87, SSE and AVX. */
__asm__(".text\n"
        ".globl native_enter\n"
        "native_enter:\n"
        "    push %rbx; push %rbp; push %r12; push %r13; push %r14; push %r15\n"
        "    mov %rsp, native_host_stack(%rip)\n"
        "    mov $7, %eax\n"
        "    xor %edx, %edx\n"
        "    xsave64 native_host_image(%rip)\n"
        "    xrstor64 native_image(%rip)\n"
        "    push native_state+128(%rip)\n"
        "    popfq\n"
        "    mov native_state(%rip), %rax\n"
        "    mov native_state+8(%rip), %rcx\n"
        "    mov native_state+16(%rip), %rdx\n"
        "    mov native_state+24(%rip), %rbx\n"
        "    mov native_state+32(%rip), %rsp\n"
        "    mov native_state+40(%rip), %rbp\n"
        "    mov native_state+48(%rip), %rsi\n"
        "    mov native_state+56(%rip), %rdi\n"
        "    mov native_state+64(%rip), %r8\n"
        "    mov native_state+72(%rip), %r9\n"
        "    mov native_state+80(%rip), %r10\n"
        "    mov native_state+88(%rip), %r11\n"
        "    mov native_state+96(%rip), %r12\n"
        "    mov native_state+104(%rip), %r13\n"
        "    mov native_state+112(%rip), %r14\n"
        "    mov native_state+120(%rip), %r15\n"
        "    jmp *native_code(%rip)\n"
        ".globl native_back\n"
        "native_back:\n"
        "    mov %rax, native_state(%rip)\n"
        "    mov %rcx, native_state+8(%rip)\n"
        "    mov %rdx, native_state+16(%rip)\n"
        "    mov %rbx, native_state+24(%rip)\n"
        "    mov %rsp, native_state+32(%rip)\n"
        "    mov %rbp, native_state+40(%rip)\n"
        "    mov %rsi, native_state+48(%rip)\n"
        "    mov %rdi, native_state+56(%rip)\n"
        "    mov %r8, native_state+64(%rip)\n"
        "    mov %r9, native_state+72(%rip)\n"
        "    mov %r10, native_state+80(%rip)\n"
        "    mov %r11, native_state+88(%rip)\n"
        "    mov %r12, native_state+96(%rip)\n"
        "    mov %r13, native_state+104(%rip)\n"
        "    mov %r14, native_state+112(%rip)\n"
        "    mov %r15, native_state+120(%rip)\n"
        "    mov native_host_stack(%rip), %rsp\n"
        "    pushfq\n"
        "    pop native_state+128(%rip)\n"
        "    cld\n"
        "    mov $7, %eax\n"
        "    xor %edx, %edx\n"
        "    xsave64 native_image(%rip)\n"
        "    xrstor64 native_host_image(%rip)\n"
        "    pop %r15; pop %r14; pop %r13; pop %r12; pop %rbp; pop %rbx\n"
        "    ret\n");

static volatile sig_atomic_t faulted;

/* Leaves everything as it is at the fault. */
static void on_fault(int number, siginfo_t *info, void *context)
{
    ucontext_t *uc = context;

    (void)number;
    faulted = 1;
    native_state.address = (uint64_t)(uintptr_t)info->si_addr;
    uc->uc_mcontext.gregs[REG_RIP] = (greg_t)(uintptr_t)native_back;
}

enum { CODE_SIZE = 4096, SIGNAL_STACK = 64 << 10 };

/* Below 4 GiB, for compatibility mode. */
static uint8_t *code_page(void)
{
    static uint8_t *code;

    if (!code) {
        code = mmap(NULL, CODE_SIZE, PROT_READ | PROT_WRITE | PROT_EXEC,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
        if (code == MAP_FAILED)
            bug("no memory for code");
        native_code = code;
    }
    return code;
}

static uint8_t *append(uint8_t *at, const void *bytes, size_t size)
{
    memcpy(at, bytes, size);
    return at + size;
}

/* JMP [RIP + 0], with the address behind it. */
static uint8_t *append_way_back(uint8_t *at)
{
    static const uint8_t jump[] = {0xff, 0x25, 0, 0, 0, 0};
    uint64_t back = (uint64_t)(uintptr_t)native_back;

    at = append(at, jump, sizeof jump);
    return append(at, &back, sizeof back);
}

/* The instruction's RSP may be anything: signals have a stack of their own. */
static void enter(struct native_registers *registers)
{
    static uint8_t stack[SIGNAL_STACK];
    stack_t own = {.ss_sp = stack, .ss_size = sizeof stack}, old_stack;
    struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    struct sigaction old;

    faulted = 0;
    native_state = *registers;
    native_state.flags &= NATIVE_ARITH | NATIVE_DF;
    if (registers->image)
        memcpy(native_image, registers->image, sizeof native_image);
    else
        x86_xstate_reset(native_image);
    sigaltstack(&own, &old_stack);
    sigaction(SIGSEGV, &action, &old);
    native_enter();
    sigaction(SIGSEGV, &old, NULL);
    sigaltstack(&old_stack, NULL);
    *registers = native_state;
    registers->flags &= NATIVE_ARITH | NATIVE_DF;
    if (registers->image)
        memcpy(registers->image, native_image, sizeof native_image);
}

bool native_run(struct native_registers *registers, const void *bytes, size_t size)
{
    append_way_back(append(code_page(), bytes, size));
    enter(registers);
    return !faulted;
}

/* Linux's selectors for programs. */
enum { CODE_32 = 0x23, CODE_64 = 0x33 };

void native_run32(struct native_registers *registers, const void *bytes, size_t size)
{
    static const uint8_t there[] = {0xff, 0x2d, 0, 0, 0, 0}; /* far JMP [RIP + 0] */
    static const uint8_t far_jump = 0xea;
    uint8_t *code = code_page(), *at = append(code, there, sizeof there);
    uint32_t begin = (uint32_t)(uintptr_t)at + 6, end = begin + (uint32_t)size + 7;
    uint16_t selector = CODE_32;

    at = append(at, &begin, sizeof begin);
    at = append(at, &selector, sizeof selector);
    at = append(at, bytes, size);
    selector = CODE_64;
    at = append(at, &far_jump, 1);
    at = append(at, &end, sizeof end);
    at = append(at, &selector, sizeof selector);
    append_way_back(at);
    enter(registers);
}

uint8_t *native_map(uint64_t address, size_t size)
{
    void *wanted = (void *)(uintptr_t)address;
    void *map = mmap(wanted, size, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);

    if (map != wanted)
        bug("nothing can be mapped at %lx", address);
    return map;
}
