/* SPDX-License-Identifier: MIT
 *
 * See x86_native.h. */
#include "x86_native.h"

#include <string.h>
#include <sys/mman.h>

#include "base/error.h"
#include "ir/native.h"

/* Offsets into it stand in the assembly below. */
struct native_registers native_state;
uint64_t native_host_stack;
const void *native_code;

_Static_assert(offsetof(struct native_registers, flags) == 128, "known to assembly");

void native_enter(void);
void native_back(void);

/* Flags are loaded while there is the host's stack, and stored when there is one again; nothing
 * between changes them. */
__asm__(".text\n"
        ".globl native_enter\n"
        "native_enter:\n"
        "    push %rbx; push %rbp; push %r12; push %r13; push %r14; push %r15\n"
        "    mov %rsp, native_host_stack(%rip)\n"
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
        "    pop %r15; pop %r14; pop %r13; pop %r12; pop %rbp; pop %rbx\n"
        "    ret\n");

enum { CODE_SIZE = 4096 };

/* The instruction, and JMP [RIP + 0] with the way back behind it. */
void native_run(struct native_registers *registers, const void *bytes, size_t size)
{
    static const uint8_t jump[] = {0xff, 0x25, 0, 0, 0, 0};
    static uint8_t *code;
    uint64_t back = (uint64_t)(uintptr_t)native_back;

    if (!code) {
        code = mmap(NULL, CODE_SIZE, PROT_READ | PROT_WRITE | PROT_EXEC,
                    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (code == MAP_FAILED)
            bug("no memory for code");
        native_code = code;
    }
    memcpy(code, bytes, size);
    memcpy(code + size, jump, sizeof jump);
    memcpy(code + size + sizeof jump, &back, sizeof back);
    native_state = *registers;
    native_state.flags &= NATIVE_ARITH | NATIVE_DF;
    native_enter();
    *registers = native_state;
    registers->flags &= NATIVE_ARITH | NATIVE_DF;
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
