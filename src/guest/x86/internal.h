/* SPDX-License-Identifier: MIT
 *
 * What the files of system mode share: descriptors, loading of segment registers, delivery, the
 * helpers behind the table of execute.c.
 */
#ifndef GUEST_X86_INTERNAL_H
#define GUEST_X86_INTERNAL_H

#include "guest/x86/access.h"
#include "guest/x86/bus.h"
#include "guest/x86/helpers.h"
#include "guest/x86/system.h"
#include "guest/x86/x86.h"

/* --- registers (system.c) */

/* Loads a segment register with its hidden part; CS does not change the CPL. */
void x86_set_segment(struct x86_cpu *cpu, unsigned number, const struct x86_segment *segment);
/* By 16 times the selector: in real mode limit and attributes stay, in virtual-8086 mode they are
 * what that mode has. */
void x86_set_segment_real(struct x86_cpu *cpu, unsigned number, uint16_t selector);
void x86_set_segment_base(struct x86_cpu *cpu, unsigned number, uint64_t base);
void x86_set_activity(struct x86_cpu *cpu, enum x86_activity activity);
void x86_flush(struct x86_cpu *cpu, enum cpu_flush what, uint64_t address);
/* The same for a PCID that is named. */
void x86_flush_of(struct x86_cpu *cpu, enum cpu_flush what, uint64_t address, uint16_t pcid);
/* CR3 is another, and nothing was flushed. */
void x86_space_changed(struct x86_cpu *cpu);
uint16_t x86_pcid(const struct x86_cpu *cpu);

/* The segment that SYSCALL and the like load: flat. */
struct x86_segment x86_flat_segment(uint16_t selector, uint32_t attributes);
enum {
    X86_FLAT_CODE64 = 0x00af9b00,
    X86_FLAT_CODE32 = 0x00cf9b00,
    X86_FLAT_DATA = 0x00cf9300,
};

/* --- descriptors (descriptor.c) */

struct x86_descriptor {
    uint32_t low, high;
    uint64_t address; /* linear */
    uint16_t selector;
};

static inline bool x86_null(uint16_t selector)
{
    return !(selector & 0xfffc);
}

static inline unsigned x86_dpl(uint32_t attributes)
{
    return attributes >> X86_SEG_DPL_SHIFT & 3;
}

static inline unsigned x86_type(uint32_t attributes)
{
    return attributes >> 8 & 15;
}

/* System descriptor types. */
enum {
    X86_TYPE_TSS16 = 1,
    X86_TYPE_LDT = 2,
    X86_TYPE_TSS16_BUSY = 3,
    X86_TYPE_CALL16 = 4,
    X86_TYPE_TASK_GATE = 5,
    X86_TYPE_INT16 = 6,
    X86_TYPE_TRAP16 = 7,
    X86_TYPE_TSS32 = 9,
    X86_TYPE_TSS32_BUSY = 11,
    X86_TYPE_CALL32 = 12,
    X86_TYPE_INT32 = 14,
    X86_TYPE_TRAP32 = 15,
};

static inline bool x86_is_code(uint32_t attributes)
{
    return (attributes & (X86_SEG_S | X86_SEG_CODE)) == (X86_SEG_S | X86_SEG_CODE);
}

static inline bool x86_is_data(uint32_t attributes)
{
    return (attributes & (X86_SEG_S | X86_SEG_CODE)) == X86_SEG_S;
}

static inline bool x86_is_writable_data(uint32_t attributes)
{
    return x86_is_data(attributes) && attributes & X86_SEG_WRITABLE;
}

/* An error code that names a selector. */
static inline uint32_t x86_selector_error(uint16_t selector, uint32_t ext)
{
    return (selector & 0xfffc) | ext;
}

/* Reads the descriptor of a selector that is not null. Beyond the table: `vector` with the selector
 * and `ext`. */
bool x86_read_descriptor(struct x86_cpu *cpu, uint16_t selector, unsigned vector, uint32_t ext,
                         struct x86_descriptor *descriptor, struct x86_fault *fault);
/* The upper half of a 16-byte descriptor; type bits of it must be 0: `vector`. */
bool x86_read_upper(struct x86_cpu *cpu, const struct x86_descriptor *descriptor, unsigned vector,
                    uint32_t ext, uint32_t *base_high, struct x86_fault *fault);
/* Whether a descriptor lies within its table, without an exception. */
bool x86_has_descriptor(const struct x86_cpu *cpu, uint16_t selector);

struct x86_segment x86_segment_of(const struct x86_descriptor *descriptor);
uint64_t x86_gate_offset(const struct x86_descriptor *descriptor);

/* Sets the accessed bit of a code or data segment, in memory and in `segment`. */
bool x86_set_accessed(struct x86_cpu *cpu, const struct x86_descriptor *descriptor,
                      struct x86_segment *segment, struct x86_fault *fault);

/* Checks a selector for ES, DS, FS, GS, SS as MOV does, and finds the segment (null: unusable). */
bool x86_find_segment(struct x86_cpu *cpu, unsigned number, uint16_t selector,
                      struct x86_segment *segment, struct x86_fault *fault);
/* The same by the rules of the mode, and loads it. */
bool x86_load_segment(struct x86_cpu *cpu, unsigned number, uint16_t selector,
                      struct x86_fault *fault);

/* Checks code at a new CS:RIP: limit, or canonical. */
bool x86_check_target(const struct x86_cpu *cpu, const struct x86_segment *cs, uint64_t pc,
                      uint32_t ext, struct x86_fault *fault);

/* ES, DS, FS, GS that a less privileged CPL may not have become null. */
void x86_drop_segments(struct x86_cpu *cpu);

/* --- tasks (task.c) */

enum x86_switch { X86_SWITCH_JUMP, X86_SWITCH_CALL, X86_SWITCH_IRET, X86_SWITCH_GATE };

/* To the TSS of a descriptor that has been checked for type and privilege. `next`: where the old
 * task goes on. On a fault in the new task `fault` is that task's. */
bool x86_task_switch(struct x86_cpu *cpu, const struct x86_descriptor *tss, enum x86_switch why,
                     uint64_t next, const uint32_t *error_code, uint32_t ext,
                     struct x86_fault *fault);
/* Through a task gate. */
bool x86_task_gate(struct x86_cpu *cpu, uint16_t selector, enum x86_switch why, uint64_t next,
                   const uint32_t *error_code, uint32_t ext, struct x86_fault *fault);
/* SS:RSP for a privilege level from the TSS. */
bool x86_tss_stack(struct x86_cpu *cpu, unsigned level, uint32_t ext, uint16_t *ss, uint64_t *sp,
                   struct x86_fault *fault);
/* Finds a segment for SS at `level` from a TSS or gate: faults are #TS, absent is #SS. */
bool x86_find_gate_stack(struct x86_cpu *cpu, uint16_t selector, unsigned level, uint32_t ext,
                         struct x86_segment *segment, struct x86_fault *fault);

/* Whether the TSS lets the program use `size` ports from `port`. */
bool x86_io_allowed(struct x86_cpu *cpu, uint16_t port, unsigned size, struct x86_fault *fault);
/* The bit of the interrupt redirection bitmap of virtual-8086 mode; `redirected`: by the program's
 * own table. */
bool x86_vme_redirected(struct x86_cpu *cpu, uint8_t vector, bool *redirected,
                        struct x86_fault *fault);

/* --- delivery (interrupt.c) */

struct x86_event {
    uint8_t vector;
    uint8_t kind;           /* enum x86_event_kind */
    uint8_t raised, during; /* as in struct x86_event_record */
    bool has_error;
    uint32_t error;
    uint64_t next; /* RIP to be pushed */
};

/* Delivers, without regard to double faults; false: `fault`, nothing has changed. */
bool x86_enter(struct x86_cpu *cpu, const struct x86_event *event, struct x86_fault *fault);

/* --- control registers (control.c) */

bool x86_write_cr0(struct x86_cpu *cpu, uint64_t value, struct x86_fault *fault);
bool x86_write_cr3(struct x86_cpu *cpu, uint64_t value, struct x86_fault *fault);
bool x86_write_cr4(struct x86_cpu *cpu, uint64_t value, struct x86_fault *fault);
bool x86_write_efer(struct x86_cpu *cpu, uint64_t value);

/* --- flags (flags.c) */

/* Sets the bits of `mask` from `value`. */
void x86_change_rflags(struct x86_cpu *cpu, uint64_t value, uint64_t mask);

/* --- instructions */

x86_helper_fn x86_sys_far, x86_sys_retf, x86_sys_iret, x86_sys_syscall, x86_sys_sysret,
    x86_sys_sysenter, x86_sys_sysexit, x86_sys_swapgs;
x86_helper_fn x86_sys_int, x86_sys_int3, x86_sys_into, x86_sys_int1, x86_sys_bound;
x86_helper_fn x86_sys_mov_to_seg, x86_sys_pop_seg, x86_sys_far_pointer, x86_sys_mov_seg,
    x86_sys_push_seg, x86_sys_seg_base;
x86_helper_fn x86_sys_group6, x86_sys_group7, x86_sys_lar_lsl, x86_sys_arpl;
x86_helper_fn x86_sys_mov_from_cr, x86_sys_mov_to_cr, x86_sys_mov_from_dr, x86_sys_mov_to_dr,
    x86_sys_clts, x86_sys_clflush, x86_sys_invpcid, x86_sys_wbinvd;
x86_helper_fn x86_sys_rdmsr, x86_sys_wrmsr, x86_sys_rdtsc, x86_sys_rdpmc, x86_sys_rdpid,
    x86_sys_xgetbv, x86_sys_xsetbv, x86_sys_pkru;
x86_helper_fn x86_sys_direction, x86_sys_cli, x86_sys_sti, x86_sys_pushf, x86_sys_popf, x86_sys_ac;
x86_helper_fn x86_sys_hlt, x86_sys_monitor, x86_sys_mwait;
x86_helper_fn x86_sys_in, x86_sys_out, x86_sys_ins, x86_sys_outs;
x86_helper_fn x86_sys_enter, x86_sys_leave, x86_sys_pusha, x86_sys_popa;
x86_helper_fn x86_sys_string;
x86_helper_fn x86_sys_push, x86_sys_pop, x86_sys_pop_operand;
x86_helper_fn x86_sys_adjust_packed, x86_sys_adjust_unpacked, x86_sys_aam, x86_sys_aad,
    x86_sys_salc;
x86_helper_fn x86_sys_bit_string;
x86_helper_fn x86_sys_xlat, x86_sys_maskmov, x86_sys_vmaskmov, x86_sys_gather;
x86_helper_fn x86_sys_jcc, x86_sys_loop, x86_sys_jmp, x86_sys_call, x86_sys_ret;

/* A repeated instruction has not come to its end: it is begun again, and a breakpoint at it does
 * not count again (SDM vol. 3, 17.3.1.1). Returns true. */
bool x86_again(struct x86_cpu *cpu);

#endif
