/* SPDX-License-Identifier: MIT
 *
 * Virtual-8086 mode: segments, what IOPL decides, interrupts, I/O permission, and the extensions
 * that CR4.VME and CR4.PVI switch on (SDM vol. 3, chapter 20). Rows begin with IOPL 3.
 */
#include "runtime/bare.h"

LOW uint16_t v86_word, v86_far[2];
LOW uint32_t v86_segments[4] = {1, 1, 1, 1};

static void iopl0(struct context *context)
{
    context->flags &= ~(word)FLAG_IOPL;
}

static void io_map(struct context *context)
{
    (void)context;
    memory_set(task_state.io_map, 0xff, sizeof task_state.io_map);
    task_state.io_map[0x80 / 8] &= ~(1 << (0x80 & 7));
    task_state.io_map[0x84 / 8] &= ~(0x30); /* 84 and 85 */
    task_state.io_base = offsetof(struct task_state, io_map);
}

static void io_map_iopl0(struct context *context)
{
    io_map(context);
    iopl0(context);
}

static void no_io_map(struct event *event)
{
    (void)event;
    task_state.io_base = sizeof task_state;
}

/* The vectors of the 8086 that tests use, and the map that leaves INT 60 and 61 to them. */
static void redirect(void)
{
    memory_set(task_state.redirection, 0xff, sizeof task_state.redirection);
    task_state.redirection[0x60 / 8] &= ~3;
    task_state.io_base = offsetof(struct task_state, io_map);
    write_cr4(read_cr4() | CR4_VME);
}

static void vme(struct context *context)
{
    (void)context;
    redirect();
}

static void vme_if(struct context *context)
{
    redirect();
    context->flags |= FLAG_IF;
}

static void vme_iopl0(struct context *context)
{
    redirect();
    iopl0(context);
    context->flags |= FLAG_VIF;
}

static void vme_iopl0_off(struct context *context)
{
    redirect();
    iopl0(context);
}

static void vme_pending(struct context *context)
{
    vme_iopl0_off(context);
    context->flags |= FLAG_VIP;
}

static void end_vme(struct event *event)
{
    (void)event;
    write_cr4(read_cr4() & ~(word)(CR4_VME | CR4_PVI));
    task_state.io_base = sizeof task_state;
}

static void pvi(struct context *context)
{
    (void)context;
    write_cr4(read_cr4() | CR4_PVI);
    context->flags |= FLAG_VIF | FLAG_IF;
}

static void pvi_pending(struct context *context)
{
    pvi(context);
    context->flags &= ~(word)FLAG_VIF;
    context->flags |= FLAG_VIP;
}

static void gate_conforming(struct context *context)
{
    (void)context;
    set_descriptor(FREE, descriptor(0, 0xfffff, SEGMENT_CONFORMING, 12));
    set_gate(0x42, GATE_INTERRUPT, FREE, (word)trap_entries + 16 * 0x42, 3, 0);
}

static void gate_dpl1(struct context *context)
{
    (void)context;
    set_descriptor(FREE, descriptor(0, 0xfffff, SEGMENT_CODE | 0x20, 12));
    set_gate(0x42, GATE_INTERRUPT, FREE, (word)trap_entries + 16 * 0x42, 3, 0);
}

static void gate_open(struct context *context)
{
    (void)context;
    set_gate(0x42, GATE_INTERRUPT, CODE32, (word)trap_entries + 16 * 0x42, 3, 0);
}

static void gates_again(struct event *event)
{
    (void)event;
    default_gates();
}

static void was_v86(struct event *event)
{
    expect(event->at.flags & FLAG_VM, FLAG_VM);
    expect(event->at.cs, 0);
    expect(event->at.ds, 0x1234);
    expect(event->at.es, 0x5678);
    expect(event->at.fs, 0x9abc);
    expect(event->at.gs, 0xdef0);
    expect(event->frame, (word)trap_stack_end - 36);
    expect(event->at.sp, (word)low_stack_end);
    default_gates();
}

/* clang-format off */

#define MODE MODE_V86
#define NO_LIMITS "qemu: limits of segments are not checked"

CASE(16, base, "a segment's base is 16 times its selector", (AX(0x4321)), "movw $0x4321, v86_word; mov $0x20, %ax; mov %ax, %ds; mov v86_word - 0x200, %ax")
FAULT(16, limit, "a word at FFFF", VECTOR_GP, 0, (DEVIATION(NO_LIMITS)), "mov $0xffff, %bx; 9: mov (%bx), %ax")
FAULT(16, limit_stack, "a word at FFFF of the stack", VECTOR_SS, 0, (DEVIATION(NO_LIMITS)), "mov $0xffff, %bp; 9: mov (%bp), %ax")
CASE(16, wrap, "addresses wrap at 64 KiB", (AX(0x4321)), "movw $0x4321, v86_word; mov $v86_word + 8, %bx; mov $-8, %si; mov (%bx,%si), %ax")
CASE(16, far, "far CALL and RET, LES", (AX(0x10), SP(0)), "lcall $0x10, $1f - 0x100; jmp 2f; 1: mov %cs, %ax; lret; 2: les v86_far, %bx")
CASE(16, above, "above 1 MiB without wrap", (AX(0x77)), "mov $0xffff, %bx; mov %bx, %ds; movb $0x77, 0x7010; xor %ax, %ax; mov 0x7010, %al; xor %bx, %bx; mov %bx, %ds")
FAULT(16, frame, "INT: the frame of nine words, data segments", 0x42, 0, (BEFORE(gate_open), AFTER(was_v86)),
      "mov $0x1234, %ax; mov %ax, %ds; mov $0x5678, %ax; mov %ax, %es; mov $0x9abc, %ax; mov %ax, %fs; mov $0xdef0, %ax; mov %ax, %gs; int $0x42; 9:")
FAULT(16, gate_conforming_row, "INT: a gate to conforming code", VECTOR_GP, FREE, (BEFORE(gate_conforming), AFTER(gates_again)), "9: int $0x42")
FAULT(16, gate_dpl1_row, "INT: a gate to code of DPL 1", VECTOR_GP, FREE, (BEFORE(gate_dpl1), AFTER(gates_again), DEVIATION("qemu: #TS")), "9: int $0x42")
FAULT(16, gate_closed, "INT: a gate of DPL 0", VECTOR_GP, 0x42 * 8 + 2, (), "9: int $0x42")
FAULT(16, de, "#DE", VECTOR_DE, 0, (), "xor %cx, %cx; 9: div %cx")
FAULT(16, bp, "INT3", VECTOR_BP, 0, (), "int3; 9:")
FAULT(16, of, "INTO", VECTOR_OF, 0, (), "mov $0x7f, %al; inc %al; into; 9:")
FAULT(16, br, "BOUND", VECTOR_BR, 0, (), "mov $5, %ax; 9: bound %ax, v86_far")
FAULT(16, ud, "UD2", VECTOR_UD, 0, (), "9: ud2")
FAULT(16, step, "single step", VECTOR_DB, 0, (), "pushf; pop %ax; or $0x100, %ax; push %ax; popf; nop; 9: nop")

/* --- IOPL */
CASE(16, iopl3_flags, "IOPL 3: CLI, STI, PUSHF, POPF", (AX(0x3200)), "sti; pushf; cli; pop %ax; and $0x3200, %ax; push %ax; popf; cli")
FAULT(16, iopl3_iret, "IOPL 3: IRET", DONE, 0, (AX(5)), "pushw $0x3002; push %cs; pushw $1f; iret; 1: mov $5, %ax; int $0x30; 9:")
CASE(16, iopl3_popf_iopl, "IOPL 3: POPF leaves IOPL", (AX(0x3000)), "pushw $2; popf; pushf; pop %ax; and $0x3000, %ax")
CASE(16, iopl3_popfd, "IOPL 3: POPFD leaves VM", (AX(0)), "pushl $0x3002; popfl; pushfl; pop %eax; and $0x20000, %eax")
FAULT(16, iopl0_cli, "IOPL 0: CLI", VECTOR_GP, 0, (BEFORE(iopl0)), "9: cli")
FAULT(16, iopl0_sti, "IOPL 0: STI", VECTOR_GP, 0, (BEFORE(iopl0)), "9: sti")
FAULT(16, iopl0_pushf, "IOPL 0: PUSHF", VECTOR_GP, 0, (BEFORE(iopl0), SP(0)), "9: pushf")
FAULT(16, iopl0_pushfd, "IOPL 0: PUSHFD", VECTOR_GP, 0, (BEFORE(iopl0)), "9: pushfl")
FAULT(16, iopl0_popf, "IOPL 0: POPF", VECTOR_GP, 0, (BEFORE(iopl0), SP(0)), "9: popf")
FAULT(16, iopl0_iret, "IOPL 0: IRET", VECTOR_GP, 0, (BEFORE(iopl0), SP(0)), "9: iret")
FAULT(16, iopl0_int, "IOPL 0: INT n", VECTOR_GP, 0, (BEFORE(iopl0)), "9: int $0x30")
FAULT(16, iopl0_int3, "IOPL 0: INT3 is not held back", VECTOR_BP, 0, (BEFORE(iopl0)), "int3; 9:")
FAULT(16, iopl0_into, "IOPL 0: INTO is not held back", VECTOR_OF, 0, (BEFORE(iopl0)), "mov $0x7f, %al; inc %al; into; 9:")
FAULT(16, iopl0_lock, "IOPL 0: XCHG with memory is allowed", VECTOR_BP, 0, (BEFORE(iopl0)), "lock incw v86_word; xchg %ax, v86_word; int3; 9:")

/* --- what is the kernel's */
FAULT(16, hlt, "HLT", VECTOR_GP, 0, (), "9: hlt")
FAULT(16, mov_cr0, "MOV from CR0", VECTOR_GP, 0, (), "9: mov %cr0, %eax")
FAULT(16, mov_dr7, "MOV from DR7", VECTOR_GP, 0, (), "9: mov %dr7, %eax")
FAULT(16, lgdt, "LGDT", VECTOR_GP, 0, (), "9: lgdt v86_far")
FAULT(16, lidt, "LIDT", VECTOR_GP, 0, (), "9: lidt v86_far")
FAULT(16, lmsw, "LMSW", VECTOR_GP, 0, (), "9: lmsw %ax")
FAULT(16, clts, "CLTS", VECTOR_GP, 0, (), "9: clts")
FAULT(16, rdmsr, "RDMSR", VECTOR_GP, 0, (), "9: rdmsr")
FAULT(16, invd, "INVD", VECTOR_GP, 0, (), "9: invd")
FAULT(16, lldt, "LLDT is #UD", VECTOR_UD, 0, (), "9: lldt %ax")
FAULT(16, ltr, "LTR is #UD", VECTOR_UD, 0, (), "9: ltr %ax")
FAULT(16, sldt, "SLDT is #UD", VECTOR_UD, 0, (), "9: sldt %ax")
FAULT(16, str, "STR is #UD", VECTOR_UD, 0, (), "9: str %ax")
FAULT(16, lar, "LAR is #UD", VECTOR_UD, 0, (), "9: lar %ax, %cx")
FAULT(16, verr, "VERR is #UD", VECTOR_UD, 0, (), "9: verr %ax")
FAULT(16, arpl, "ARPL is #UD", VECTOR_UD, 0, (), "9: arpl %ax, %cx")
CASE(16, smsw, "SMSW", (AX(1)), "smsw %ax; and $1, %ax")
CASE(16, sgdt, "SGDT", (AX(0x3ff)), "sgdt v86_segments; mov v86_segments, %ax")

/* --- I/O: only the map counts */
FAULT(16, io_none, "I/O without a map, IOPL 3", VECTOR_GP, 0, (), "9: in $0x80, %al")
FAULT(16, io_denied, "I/O that the map denies, IOPL 3", VECTOR_GP, 0, (BEFORE(io_map), AFTER(no_io_map)), "9: in $0x81, %al")
CASE(16, io_allowed, "I/O that the map allows, IOPL 3", (BEFORE(io_map), AFTER(no_io_map)), "out %al, $0x80")
FAULT(16, io_allowed0, "I/O that the map allows, IOPL 0", VECTOR_BP, 0, (BEFORE(io_map_iopl0), AFTER(no_io_map)), "out %al, $0x80; int3; 9:")
CASE(16, io_word, "a word whose ports are both allowed", (BEFORE(io_map), AFTER(no_io_map)), "out %ax, $0x84")
FAULT(16, io_word_denied, "a word whose second port is denied", VECTOR_GP, 0, (BEFORE(io_map), AFTER(no_io_map)), "9: out %ax, $0x80")
FAULT(16, io_dword_denied, "a doubleword whose third port is denied", VECTOR_GP, 0, (BEFORE(io_map), AFTER(no_io_map)), "9: out %eax, $0x84")
FAULT(16, io_string, "OUTSB that is denied", VECTOR_GP, 0, (BEFORE(io_map), AFTER(no_io_map)), "mov $0x82, %dx; 9: outsb")
FAULT(16, io_end, "the last port, whose bits end with the map", VECTOR_GP, 0, (BEFORE(io_map), AFTER(no_io_map)), "mov $0xffff, %dx; 9: in %dx, %al")

/* --- VME */
CASE(16, vme_redirected, "VME, IOPL 3: INT through the vectors at 0", (AX(0x55), BEFORE(vme), AFTER(end_vme), DEVIATION("qemu: VME and PVI are missing")),
     "movw $1f, 0x60 * 4; movw $0, 0x60 * 4 + 2; int $0x60; jmp 2f; 1: mov $0x55, %ax; iret; 2:")
CASE(16, vme_redirected_if, "VME, IOPL 3: it clears IF and saves it", (AX(0x3000), DX(0x3200), BEFORE(vme_if), AFTER(end_vme), DEVIATION("qemu: VME and PVI are missing")),
     "movw $1f, 0x60 * 4; movw $0, 0x60 * 4 + 2; int $0x60; jmp 2f; 1: pushf; pop %ax; and $0x3200, %ax; mov %sp, %bp; mov 4(%bp), %dx; and $0x3200, %dx; iret; 2:")
FAULT(16, vme_not_redirected, "VME, IOPL 3: INT that the map keeps", DONE, 0, (BEFORE(vme), AFTER(end_vme)), "int $0x30; 9:")
FAULT(16, vme0_redirected, "VME, IOPL 0: INT through the vectors, VIF in place of IF", VECTOR_BP, 0, (AX(0x3000), DX(0x3200), FLAGS(FLAG_VIF, FLAG_VIF), BEFORE(vme_iopl0), AFTER(end_vme), DEVIATION("qemu: VME and PVI are missing")),
      "movw $1f, 0x60 * 4; movw $0, 0x60 * 4 + 2; int $0x60; jmp 2f; 1: pushf; pop %ax; and $0x3200, %ax; mov %sp, %bp; mov 4(%bp), %dx; and $0x3200, %dx; iret; 2: int3; 9:")
FAULT(16, vme0_not_redirected, "VME, IOPL 0: INT that the map keeps is #GP", VECTOR_GP, 0, (BEFORE(vme_iopl0), AFTER(end_vme)), "9: int $0x30")
FAULT(16, vme0_cli, "VME, IOPL 0: CLI clears VIF", VECTOR_BP, 0, (FLAGS(FLAG_VIF | FLAG_IF, 0), BEFORE(vme_iopl0), AFTER(end_vme), DEVIATION("qemu: VME and PVI are missing")), "cli; int3; 9:")
FAULT(16, vme0_sti, "VME, IOPL 0: STI sets VIF", VECTOR_BP, 0, (FLAGS(FLAG_VIF | FLAG_IF, FLAG_VIF), BEFORE(vme_iopl0_off), AFTER(end_vme), DEVIATION("qemu: VME and PVI are missing")), "sti; int3; 9:")
FAULT(16, vme0_sti_pending, "VME, IOPL 0: STI with VIP", VECTOR_GP, 0, (FLAGS(FLAG_VIF, 0), BEFORE(vme_pending), AFTER(end_vme)), "9: sti")
FAULT(16, vme0_pushf, "VME, IOPL 0: PUSHF shows VIF as IF and IOPL 3", VECTOR_BP, 0, (AX(0x3202), BEFORE(vme_iopl0), AFTER(end_vme), DEVIATION("qemu: VME and PVI are missing")), "pushf; pop %ax; int3; 9:")
FAULT(16, vme0_pushfd, "VME, IOPL 0: PUSHFD is #GP", VECTOR_GP, 0, (BEFORE(vme_iopl0), AFTER(end_vme)), "9: pushfl")
FAULT(16, vme0_popf, "VME, IOPL 0: POPF sets VIF", VECTOR_BP, 0, (FLAGS(FLAG_VIF | FLAG_IF | FLAG_CF | FLAG_IOPL, FLAG_VIF | FLAG_CF), BEFORE(vme_iopl0_off), AFTER(end_vme), DEVIATION("qemu: VME and PVI are missing")), "pushw $0x0203; popf; int3; 9:")
FAULT(16, vme0_popf_pending, "VME, IOPL 0: POPF of IF with VIP", VECTOR_GP, 0, (BEFORE(vme_pending), AFTER(end_vme)), "pushw $0x0202; 9: popf")
FAULT(16, vme0_popf_tf, "VME, IOPL 0: POPF of TF", VECTOR_GP, 0, (BEFORE(vme_iopl0), AFTER(end_vme)), "pushw $0x0102; 9: popf")
FAULT(16, vme0_popfd, "VME, IOPL 0: POPFD is #GP", VECTOR_GP, 0, (BEFORE(vme_iopl0), AFTER(end_vme)), "9: popfl")
FAULT(16, vme0_iret, "VME, IOPL 0: IRET sets VIF", VECTOR_BP, 0, (FLAGS(FLAG_VIF | FLAG_IF, FLAG_VIF), BEFORE(vme_iopl0_off), AFTER(end_vme), DEVIATION("qemu: VME and PVI are missing")), "pushw $0x0202; push %cs; pushw $1f; iret; 1: int3; 9:")
FAULT(16, vme0_iret_pending, "VME, IOPL 0: IRET of IF with VIP", VECTOR_GP, 0, (BEFORE(vme_pending), AFTER(end_vme)), "pushw $0x0202; push %cs; pushw $1f; 9: iret; 1:")
FAULT(16, vme0_iretd, "VME, IOPL 0: IRETD is #GP", VECTOR_GP, 0, (BEFORE(vme_iopl0), AFTER(end_vme)), "9: iretl")
FAULT(16, vme0_int3, "VME: INT3 never goes through the vectors", VECTOR_BP, 0, (BEFORE(vme_iopl0), AFTER(end_vme)), "int3; 9:")

/* --- PVI: the same for CPL 3 of protected mode */
#undef MODE
#define MODE MODE_USER
CASE(32, pvi_cli, "PVI: CLI clears VIF", (FLAGS(FLAG_VIF | FLAG_IF, FLAG_IF), BEFORE(pvi), AFTER(end_vme), DEVIATION("qemu: VME and PVI are missing")), "cli")
CASE(32, pvi_sti, "PVI: STI sets VIF", (FLAGS(FLAG_VIF | FLAG_IF, FLAG_VIF | FLAG_IF), BEFORE(pvi), AFTER(end_vme), DEVIATION("qemu: VME and PVI are missing")), "cli; sti")
FAULT(32, pvi_sti_pending, "PVI: STI with VIP", VECTOR_GP, 0, (BEFORE(pvi_pending), AFTER(end_vme)), "9: sti")
CASE(32, pvi_pushf, "PVI: PUSHF shows IF, not VIF", (AX(0x200), BEFORE(pvi), AFTER(end_vme), DEVIATION("qemu: VME and PVI are missing")), "cli; pushf; pop %eax; and $0x3200, %eax")
FAULT(32, no_pvi, "without PVI: CLI is #GP", VECTOR_GP, 0, (), "9: cli")

/* clang-format on */

void program(void)
{
    real_vectors();
    run_rows();
}
