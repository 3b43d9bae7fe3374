/* SPDX-License-Identifier: MIT
 *
 * What the engine gets of the x86 guest, for user mode: 64-bit code at CPL 3 of a Linux process.
 */
#include "guest/x86/guest.h"

#include <string.h>

#include "guest/x86/cpuid.h"
#include "guest/x86/helpers.h"
#include "guest/x86/registers.h"
#include "guest/x86/x86.h"

enum {
    LINUX_USER_CS = 0x33,
    LINUX_USER_SS = 0x2b,
    MXCSR_AT = 24, /* in the FXSAVE area */
    MXCSR_RESET = 0x1f80,
    VECTOR_UD = 6,
};

static void reset(const void *config, void *state)
{
    const struct x86_model *model = config;
    struct x86_cpu *cpu = state;
    uint32_t mxcsr = MXCSR_RESET;

    memset(cpu, 0, sizeof(*cpu));
    cpu->model = model;
    cpu->xcr0 = model->xcr0;
    cpu->segment[NATIVE_CS] = LINUX_USER_CS;
    cpu->segment[NATIVE_SS] = LINUX_USER_SS;
    cpu->state.flags = X86_FLAG_ONE | X86_FLAG_IF;
    memcpy(cpu->state.vector + MXCSR_AT, &mxcsr, sizeof(mxcsr));
}

static bool help(const void *config, void *state, const uint8_t *bytes, size_t size,
                 struct ir_fault *fault)
{
    const struct x86_model *model = config;
    struct x86_cpu *cpu = state;
    struct x86_fault raised = {.vector = VECTOR_UD};
    struct x86_insn insn;

    if (x86_decode(X86_MODE_64, x86_features_at(model, cpu->state.pc), bytes, size, cpu->state.pc,
                   &insn) == X86_DECODE_OK &&
        x86_helpers[insn.lowering] && x86_helpers[insn.lowering](cpu, &insn, &raised))
        return true;
    *fault = (struct ir_fault){raised.vector, raised.error, raised.address};
    return false;
}

/* SYSCALL leaves the return address in RCX and the flags in R11 (AMD64 vol. 3, SYSCALL). */
static void syscall_effects(void *state)
{
    struct x86_cpu *cpu = state;

    cpu->state.reg[X86_RCX] = cpu->state.pc;
    cpu->state.reg[X86_R11] = x86_get_rflags(cpu);
}

static bool single_step(const void *state)
{
    const struct x86_cpu *cpu = state;

    return cpu->system_flags & X86_FLAG_TF;
}

static void print_state(const void *state, bool fpu, struct strbuf *text)
{
    x86_print_state(state, text, fpu ? X86_PRINT_FPU : 0);
}

const struct ir_guest x86_guest = {
    .name = "x86-64",
    .state_size = sizeof(struct x86_cpu),
    .reset = reset,
    .translate = x86_translate,
    .help = help,
    .accesses = x86_accesses,
    .impossible_pc = x86_impossible_pc,
    .led_there = x86_led_there,
    .syscall = syscall_effects,
    .single_step = single_step,
    .print_state = print_state,
};
