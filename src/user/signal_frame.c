/* SPDX-License-Identifier: MIT
 *
 * The frame of a signal handler, as Linux lays it out on x86-64:
 *
 *     what was interrupted          up to 128 bytes below its RSP stay (the red zone)
 *     XSAVE image, 64-aligned       x87 and SSE, header, AVX, a magic word; behind the legacy part
 *                                   the kernel's words about its size
 *     siginfo                       128 bytes
 *     ucontext                      flags, alternate stack, registers, mask
 *     address of the restorer       RSP of the handler; RSP + 8 is 16-aligned
 *
 * A handler may change all of it; rt_sigreturn takes what it can and refuses what the processor
 * would refuse. (uapi headers sigcontext.h, ucontext.h; man 2 sigreturn; SDM vol. 1, 13.8.) */
#include <string.h>

#include "guest/x86/cpuid.h"
#include "guest/x86/xstate.h"
#include "user/access.h"
#include "user/internal.h"
#include "user/signals.h"

enum {
    RED_ZONE = 128,
    FLAGS_ARITHMETIC = 0x8d5,
    FLAG_TF = 0x100,
    FLAG_DF = 0x400,
    FLAG_RF = 0x10000,
    FLAG_AC = 0x40000,
    FLAGS_ALWAYS = 0x202, /* IF and the bit that is 1 */
    FLAGS_SYSTEM = FLAG_TF | FLAG_AC,
    FLAGS_RESTORED = FLAGS_ARITHMETIC | FLAG_DF | FLAG_TF | FLAG_AC,
    CODE_SEGMENT = 0x33,
    STACK_SEGMENT = 0x2b,
    SIGINFO_SIZE = 128,
    AUTODISARM = (int)0x80000000, /* SS_AUTODISARM */

    UC_FP_XSTATE = 1,
    UC_SIGCONTEXT_SS = 2,
    UC_STRICT_RESTORE_SS = 4,
    SA_RESTORER_FLAG = 0x04000000,

    LEGACY_SIZE = 512,
    SOFTWARE_WORDS = 464, /* place of struct software in the legacy part */
    HEADER_SIZE = 64,
    MAGIC_SIZE = 4,
};

static const uint32_t magic_first = 0x46505853, magic_last = 0x46505845;

struct registers { /* struct sigcontext */
    uint64_t r8, r9, r10, r11, r12, r13, r14, r15;
    uint64_t rdi, rsi, rbp, rbx, rdx, rax, rcx, rsp, rip, flags;
    uint16_t cs, gs, fs, ss;
    uint64_t error, trap, old_mask, fault_address;
    uint64_t fpstate;
    uint64_t reserved[8];
};

struct context { /* struct ucontext */
    uint64_t flags, link;
    uint64_t stack;
    int32_t stack_flags;
    uint32_t stack_padding;
    uint64_t stack_size;
    struct registers registers;
    uint64_t mask;
};

struct frame { /* struct rt_sigframe */
    uint64_t restorer;
    struct context context;
    siginfo_t info;
};

struct software { /* struct _fpx_sw_bytes */
    uint32_t magic, extended_size;
    uint64_t features;
    uint32_t size, padding[7];
};

_Static_assert(sizeof(struct registers) == 256, "struct sigcontext");
_Static_assert(sizeof(struct frame) == 8 + 304 + SIGINFO_SIZE, "struct rt_sigframe");
_Static_assert(sizeof(struct software) == LEGACY_SIZE - SOFTWARE_WORDS, "sw_reserved");

/* Where registers are in the frame. */
static const uint16_t place[16] = {
    [X86_RAX] = offsetof(struct registers, rax), [X86_RCX] = offsetof(struct registers, rcx),
    [X86_RDX] = offsetof(struct registers, rdx), [X86_RBX] = offsetof(struct registers, rbx),
    [X86_RSP] = offsetof(struct registers, rsp), [X86_RBP] = offsetof(struct registers, rbp),
    [X86_RSI] = offsetof(struct registers, rsi), [X86_RDI] = offsetof(struct registers, rdi),
    [X86_R8] = offsetof(struct registers, r8),   [X86_R9] = offsetof(struct registers, r9),
    [X86_R10] = offsetof(struct registers, r10), [X86_R11] = offsetof(struct registers, r11),
    [X86_R12] = offsetof(struct registers, r12), [X86_R13] = offsetof(struct registers, r13),
    [X86_R14] = offsetof(struct registers, r14), [X86_R15] = offsetof(struct registers, r15),
};

/* --- vector state --- */

/* Bytes of the XSAVE image under the guest's XCR0; without XSAVE only the legacy part. */
static uint32_t image_size(const struct x86_cpu *cpu)
{
    if (cpu->xcr0 & X86_XSTATE_AVX) {
        return X86_XSTATE_SIZE;
    }
    return cpu->xcr0 ? LEGACY_SIZE + HEADER_SIZE : LEGACY_SIZE;
}

/* Bytes on the stack. */
static uint32_t fpstate_size(const struct x86_cpu *cpu)
{
    return cpu->xcr0 ? image_size(cpu) + MAGIC_SIZE : LEGACY_SIZE;
}

/* The last x87 instruction is known by where it ran: in the code cache. */
static void show_guest_fip(const struct x86_cpu *cpu, uint8_t *image)
{
    uint64_t fip = x86_xstate_pointer(image, X86_XSTATE_FIP);

    if (fip && cpu->memory && cpu->memory->guest_pc) {
        x86_xstate_set_pointer(image, X86_XSTATE_FIP,
                               cpu->memory->guest_pc(cpu->memory->opaque, fip));
    }
}

static void fill_fpstate(const struct x86_cpu *cpu, uint8_t *to)
{
    uint32_t size = image_size(cpu);
    _Alignas(64) uint8_t image[X86_XSTATE_SIZE];

    memcpy(image, cpu->state.vector, sizeof image);
    uint64_t in_use = x86_xstate_bv(image);
    x86_xstate_normalise(image);
    show_guest_fip(cpu, image);
    memcpy(to, image, size);
    memset(to + SOFTWARE_WORDS, 0, LEGACY_SIZE - SOFTWARE_WORDS);
    if (!cpu->xcr0) {
        return;
    }
    /* x87 and SSE are always marked, so that programs that know only these can change them. */
    in_use = (in_use | X86_XSTATE_X87 | X86_XSTATE_SSE) & cpu->xcr0;
    memset(to + X86_XSTATE_HEADER, 0, HEADER_SIZE);
    memcpy(to + X86_XSTATE_HEADER, &in_use, sizeof in_use);
    struct software words = {
        .magic = magic_first,
        .extended_size = size + MAGIC_SIZE,
        .features = cpu->xcr0,
        .size = size,
    };
    memcpy(to + SOFTWARE_WORDS, &words, sizeof words);
    memcpy(to + size, &magic_last, MAGIC_SIZE);
}

static bool mxcsr_is_good(const struct x86_cpu *cpu, const uint8_t *image)
{
    uint32_t mxcsr, mask = cpu->model && cpu->model->mxcsr_mask ? cpu->model->mxcsr_mask : 0xffff;

    memcpy(&mxcsr, image + X86_XSTATE_MXCSR, sizeof mxcsr);
    return !(mxcsr & ~mask);
}

/* Like the kernel's check: does the frame hold an extended state that we made (or one like it)? */
static bool is_extended(const struct x86_cpu *cpu, uint64_t address, const struct software *words,
                        bool *readable)
{
    uint32_t magic;

    if (words->magic != magic_first || words->size < LEGACY_SIZE + HEADER_SIZE ||
        words->size > image_size(cpu) || words->size > words->extended_size) {
        return false;
    }
    *readable = user_copy_in(&magic, address + words->size, sizeof magic);
    return *readable && magic == magic_last;
}

static bool take_extended(struct x86_cpu *cpu, const uint8_t *from, uint64_t features)
{
    uint64_t header[HEADER_SIZE / 8];

    memcpy(header, from + X86_XSTATE_HEADER, sizeof header);
    if ((header[0] & ~cpu->xcr0) || header[1] || header[2]) {
        return false; /* XRSTOR would refuse it */
    }
    uint64_t in_use = header[0] & features;
    memcpy(cpu->state.vector, from, X86_XSTATE_SIZE);
    memset(cpu->state.vector + SOFTWARE_WORDS, 0, LEGACY_SIZE - SOFTWARE_WORDS);
    memset(cpu->state.vector + X86_XSTATE_HEADER, 0, HEADER_SIZE);
    memcpy(cpu->state.vector + X86_XSTATE_HEADER, &in_use, sizeof in_use);
    return true;
}

static bool take_fpstate(struct x86_cpu *cpu, uint64_t address)
{
    uint8_t from[X86_XSTATE_SIZE] = {0};
    struct software words;
    bool readable = true;

    if (address == 0) {
        x86_xstate_reset(cpu->state.vector);
        return true;
    }
    if (!user_copy_in(from, address, LEGACY_SIZE)) {
        return false;
    }
    memcpy(&words, from + SOFTWARE_WORDS, sizeof words);
    bool extended = cpu->xcr0 && is_extended(cpu, address, &words, &readable);
    if (!readable || !mxcsr_is_good(cpu, from)) {
        return false;
    }
    if (extended) {
        return user_copy_in(from, address, words.size) &&
               take_extended(cpu, from, words.features & cpu->xcr0);
    }
    x86_xstate_reset(cpu->state.vector);
    x86_xstate_from_fxsave(cpu->state.vector, from);
    return true;
}

/* --- push --- */

static void fill_registers(const struct user_thread *thread, struct registers *to)
{
    const struct x86_cpu *cpu = thread->cpu;

    for (unsigned i = 0; i < 16; i++) {
        memcpy((uint8_t *)to + place[i], &cpu->state.reg[i], sizeof(uint64_t));
    }
    to->rip = cpu->state.pc;
    to->flags = (cpu->state.flags & (FLAGS_ARITHMETIC | FLAG_DF)) |
                (cpu->system_flags & FLAGS_SYSTEM) | FLAGS_ALWAYS |
                (cpu->state.begun ? FLAG_RF : 0);
    to->cs = CODE_SEGMENT;
    to->ss = STACK_SEGMENT;
    to->error = thread->error;
    to->trap = thread->trap;
    to->fault_address = thread->fault_address;
}

static void fill_stack(const struct user_thread *thread, struct context *to)
{
    to->stack = (uint64_t)(uintptr_t)thread->altstack.ss_sp;
    to->stack_flags = thread->altstack.ss_flags;
    to->stack_size = thread->altstack.ss_size;
}

/* The stack pointer to build the frame below; 0: it would leave the alternate stack it is on. */
static uint64_t frame_top(const struct user_thread *thread, const struct user_action *action)
{
    const stack_t *alternate = &thread->altstack;
    uint64_t sp = thread->cpu->state.reg[X86_RSP] - RED_ZONE;

    if ((action->flags & SA_ONSTACK) && !(alternate->ss_flags & SS_DISABLE) &&
        !user_signals_on_altstack(thread, sp + RED_ZONE)) {
        return (uint64_t)(uintptr_t)alternate->ss_sp + alternate->ss_size;
    }
    return sp;
}

static bool leaves_altstack(const struct user_thread *thread, const struct user_action *action,
                            uint64_t sp)
{
    const stack_t *alternate = &thread->altstack;
    uint64_t low = (uint64_t)(uintptr_t)alternate->ss_sp;
    bool nested = user_signals_on_altstack(thread, thread->cpu->state.reg[X86_RSP]);
    bool entering = !nested && (action->flags & SA_ONSTACK) && !(alternate->ss_flags & SS_DISABLE);

    return (nested || entering) && !(sp > low && sp - low <= alternate->ss_size);
}

bool user_frame_push(struct user_thread *thread, int signal, const struct user_action *action,
                     const siginfo_t *info, uint64_t mask)
{
    struct x86_cpu *cpu = thread->cpu;
    uint8_t fpstate[X86_XSTATE_SIZE + MAGIC_SIZE];
    struct frame frame = {.restorer = action->restorer, .info = *info};

    if (!(action->flags & SA_RESTORER_FLAG)) {
        return false; /* the kernel has no other way back on x86-64 either */
    }
    uint64_t at_fpstate = (frame_top(thread, action) - fpstate_size(cpu)) & -(uint64_t)64;
    uint64_t sp = ((at_fpstate - sizeof frame) & -(uint64_t)16) - 8;
    if (leaves_altstack(thread, action, sp)) {
        return false;
    }
    fill_fpstate(cpu, fpstate);
    fill_registers(thread, &frame.context.registers);
    fill_stack(thread, &frame.context);
    frame.context.flags = (cpu->xcr0 ? UC_FP_XSTATE : 0) | UC_SIGCONTEXT_SS | UC_STRICT_RESTORE_SS;
    frame.context.registers.fpstate = at_fpstate;
    frame.context.registers.old_mask = mask;
    frame.context.mask = mask;
    user_unwatch(thread->user, sp, at_fpstate + fpstate_size(cpu) - sp);
    if (!user_copy_out(at_fpstate, fpstate, fpstate_size(cpu)) ||
        !user_copy_out(sp, &frame, sizeof frame)) {
        return false;
    }
    if (thread->altstack.ss_flags & AUTODISARM) {
        thread->altstack = (stack_t){.ss_flags = SS_DISABLE};
    }
    cpu->state.reg[X86_RSP] = sp;
    cpu->state.reg[X86_RDI] = (uint64_t)signal;
    cpu->state.reg[X86_RSI] = sp + offsetof(struct frame, info);
    cpu->state.reg[X86_RDX] = sp + offsetof(struct frame, context);
    cpu->state.reg[X86_RAX] = 0;
    cpu->state.pc = action->handler;
    cpu->state.begun = 0;
    cpu->state.flags &= ~(uint64_t)(FLAG_DF | FLAG_TF | FLAG_RF);
    cpu->system_flags &= ~(uint64_t)(FLAG_TF | FLAG_RF);
    x86_xstate_reset(cpu->state.vector);
    return true;
}

/* --- pop --- */

static void take_registers(struct x86_cpu *cpu, const struct registers *from)
{
    for (unsigned i = 0; i < 16; i++) {
        memcpy(&cpu->state.reg[i], (const uint8_t *)from + place[i], sizeof(uint64_t));
    }
    cpu->state.pc = from->rip;
    cpu->state.flags = (cpu->state.flags & ~(uint64_t)FLAGS_RESTORED) |
                       (from->flags & (FLAGS_ARITHMETIC | FLAG_DF));
    cpu->system_flags =
        (cpu->system_flags & ~(uint64_t)FLAGS_SYSTEM) | (from->flags & FLAGS_SYSTEM);
    cpu->state.begun = (from->flags & FLAG_RF) != 0;
}

/* IRET would fault on other selectors: there is only 64-bit code here. */
static bool segments_are_good(const struct context *context)
{
    return (context->registers.cs | 3) == CODE_SEGMENT &&
           (!(context->flags & UC_STRICT_RESTORE_SS) ||
            (context->registers.ss | 3) == STACK_SEGMENT);
}

bool user_frame_pop(struct user_thread *thread)
{
    struct x86_cpu *cpu = thread->cpu;
    struct context context;
    uint64_t sp = cpu->state.reg[X86_RSP] - 8; /* the restorer's address was popped */

    if (!user_copy_in(&context, sp + offsetof(struct frame, context), sizeof context)) {
        return false;
    }
    user_signals_set_mask(thread, context.mask);
    if (!segments_are_good(&context) || !take_fpstate(cpu, context.registers.fpstate)) {
        return false;
    }
    take_registers(cpu, &context.registers);
    /* A bad alternate stack is no reason to fail. */
    stack_t stack = {
        .ss_sp = (void *)(uintptr_t)context.stack, // NOLINT
        .ss_flags = context.stack_flags,
        .ss_size = context.stack_size,
    };
    user_signals_altstack(thread, &stack, NULL, cpu->state.reg[X86_RSP]);
    return true;
}
