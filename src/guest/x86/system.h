/* SPDX-License-Identifier: MIT
 *
 * The x86 CPU in system mode: what its record holds beside that of a program, and what C does for
 * it. Everything works on the CPU record alone, without any translator; what leaves the CPU goes
 * through its bus (bus.h).
 *
 * The translator asks x86_mode_word() what its code depends on, and leaves to x86_execute()
 * whatever it does not lower; walks of page tables are x86_walk() (paging.h), exceptions that
 * translated code has found x86_raise(), and at instruction boundaries x86_take_event() delivers
 * what is pending.
 *
 * Read in this order: this header, bus.h, paging.h (walks), access.h (memory through segments),
 * system.c (reset, mode word), execute.c (the table of instructions), interrupt.c (delivery).
 *
 * All functions are for the thread that runs the vCPU, outside translated code, except where said.
 */
#ifndef GUEST_X86_SYSTEM_H
#define GUEST_X86_SYSTEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cpu_bus; /* bus.h */
struct ir_tlb;  /* ir/guest.h */
struct strbuf;
struct x86_cpu; /* x86.h */
struct x86_fault;
struct x86_insn;
struct x86_model;

/* --- segments */

/* Numbers of segment registers behind those of enum native_segment. */
enum { X86_LDTR = 6, X86_TR = 7, X86_SEGMENTS = 8 };

/* Attributes of a segment, as the upper doubleword of a descriptor has them (SDM vol. 3, figure
 * 3-8); bits 8 to 23 are kept. */
enum x86_segment_bits {
    X86_SEG_ACCESSED = 1 << 8,
    X86_SEG_WRITABLE = 1 << 9,    /* of data */
    X86_SEG_READABLE = 1 << 9,    /* of code */
    X86_SEG_DOWN = 1 << 10,       /* of data: expands down */
    X86_SEG_CONFORMING = 1 << 10, /* of code */
    X86_SEG_CODE = 1 << 11,
    X86_SEG_TYPE = 15 << 8,
    X86_SEG_S = 1 << 12, /* code or data; else a system descriptor */
    X86_SEG_DPL_SHIFT = 13,
    X86_SEG_DPL = 3 << 13,
    X86_SEG_PRESENT = 1 << 15,
    X86_SEG_LONG = 1 << 21,
    X86_SEG_BIG = 1 << 22, /* D or B */
    X86_SEG_GRANULAR = 1 << 23,
    X86_SEG_KEPT = 0x00ffff00,
};

/* A segment register with its hidden part. Without X86_SEG_PRESENT it cannot be used (a null
 * selector was loaded). The selectors of the six stand in x86_cpu.segment too, and the bases of FS
 * and GS in the state's thread_base and other_base: x86_set_segment() keeps them the same. */
struct x86_segment {
    uint64_t base;
    uint32_t limit; /* the last byte, in bytes */
    uint32_t attributes;
    uint16_t selector;
};

/* GDTR, IDTR. */
struct x86_table_register {
    uint64_t base;
    uint16_t limit;
};

/* --- control registers */

enum x86_cr0 {
    X86_CR0_PE = 1u << 0,
    X86_CR0_MP = 1u << 1,
    X86_CR0_EM = 1u << 2,
    X86_CR0_TS = 1u << 3,
    X86_CR0_ET = 1u << 4,
    X86_CR0_NE = 1u << 5,
    X86_CR0_WP = 1u << 16,
    X86_CR0_AM = 1u << 18,
    X86_CR0_NW = 1u << 29,
    X86_CR0_CD = 1u << 30,
};
#define X86_CR0_PG (UINT64_C(1) << 31)

enum x86_cr4 {
    X86_CR4_VME = 1 << 0,
    X86_CR4_PVI = 1 << 1,
    X86_CR4_TSD = 1 << 2,
    X86_CR4_DE = 1 << 3,
    X86_CR4_PSE = 1 << 4,
    X86_CR4_PAE = 1 << 5,
    X86_CR4_MCE = 1 << 6,
    X86_CR4_PGE = 1 << 7,
    X86_CR4_PCE = 1 << 8,
    X86_CR4_OSFXSR = 1 << 9,
    X86_CR4_OSXMMEXCPT = 1 << 10,
    X86_CR4_UMIP = 1 << 11,
    X86_CR4_FSGSBASE = 1 << 16,
    X86_CR4_PCIDE = 1 << 17,
    X86_CR4_OSXSAVE = 1 << 18,
    X86_CR4_SMEP = 1 << 20,
    X86_CR4_SMAP = 1 << 21,
    X86_CR4_PKE = 1 << 22,
};

enum x86_efer {
    X86_EFER_SCE = 1 << 0,
    X86_EFER_LME = 1 << 8,
    X86_EFER_LMA = 1 << 10,
    X86_EFER_NXE = 1 << 11,
};

/* Bits of DR6 and DR7. */
enum x86_debug {
    X86_DR6_B = 15,
    X86_DR6_BD = 1 << 13,
    X86_DR6_BS = 1 << 14,
    X86_DR6_BT = 1 << 15,
    X86_DR7_GD = 1 << 13,
};
#define X86_DR6_ONES UINT64_C(0xffff0ff0)
#define X86_DR7_ONES UINT64_C(0x400)

/* --- states between instructions */

/* An instruction during which interrupts, and for MOV SS debug traps too, wait. */
enum x86_shadow { X86_SHADOW_STI = 1, X86_SHADOW_SS = 2 };

enum x86_activity {
    X86_RUNNING,
    X86_HALTED,
    X86_MWAITING, /* as halted; a store to the monitored line ends it: x86_monitor_changed() */
    X86_WAITING_FOR_SIPI,
    X86_SHUTDOWN, /* a triple fault: only reset, INIT and NMI leave it */
};

/* What others want of a CPU; x86_request(). */
enum x86_request {
    X86_REQUEST_INTERRUPT = 1, /* a level: x86_withdraw() takes it back */
    X86_REQUEST_NMI = 2,
    X86_REQUEST_INIT = 4,
    X86_REQUEST_SIPI = 8,
};

/* --- the last exceptions and interrupts */

enum x86_event_kind {
    X86_EVENT_EXCEPTION,
    X86_EVENT_INTERRUPT, /* external */
    X86_EVENT_NMI,
    X86_EVENT_INT,   /* INT n */
    X86_EVENT_TRAP,  /* INT3, INTO */
    X86_EVENT_ICEBP, /* INT1 */
};

struct x86_event_record {
    uint64_t from, to; /* RIP */
    uint64_t stack;    /* RSP before */
    uint64_t cr2;      /* of a page fault */
    uint32_t error;
    uint16_t from_cs, to_cs, ss;
    uint8_t vector, kind; /* enum x86_event_kind */
    uint8_t raised;       /* what was raised: `vector`, unless that is a double fault */
    uint8_t during;       /* the exception in whose delivery; X86_DURING_NONE: none that counts */
    uint8_t cpl;          /* before */
    bool has_error;
    bool failed; /* it could not be delivered: the next record says why */
};

enum { X86_RECORDS = 64, X86_DURING_NONE = 255 };

/* --- MSRs that are only kept. The table is msr.def. */

enum { X86_MTRR_VARIABLE = 8, X86_MTRR_FIXED = 11, X86_MC_BANKS = 10 };

struct x86_msrs {
    uint64_t star, lstar, cstar, sfmask;
    uint64_t kernel_gs_base;
    uint64_t sysenter_cs, sysenter_esp, sysenter_eip;
    uint64_t pat;
    uint64_t mtrr_variable[2 * X86_MTRR_VARIABLE]; /* base, mask, base, mask */
    uint64_t mtrr_fixed[X86_MTRR_FIXED];
    uint64_t mtrr_default;
    uint64_t tsc_adjust, tsc_offset; /* TSC: the bus's plus tsc_offset */
    uint64_t tsc_aux;
    uint64_t misc_enable, debugctl, xss;
    uint64_t mcg_status, mcg_ctl, mc[4 * X86_MC_BANKS]; /* ctl, status, addr, misc */
    uint64_t microcode;                                 /* BIOS_SIGN_ID */
    uint64_t feature_control, spec_ctrl, perf_ctl;
    uint64_t syscfg, hwcr, top_mem, top_mem2, nb_cfg, int_pending, hsave, osvw[2], de_cfg;
};

/* --- the part of the CPU record */

struct x86_system {
    const struct cpu_bus *bus; /* NULL: user mode, and nothing else here is used */
    const struct ir_tlb *tlb;  /* the engine's; NULL: there is none. Reset leaves it */
    struct x86_segment segment[X86_SEGMENTS];
    struct x86_table_register gdt, idt;
    uint64_t cr0, cr2, cr3, cr4, efer;
    uint64_t pdpte[4]; /* loaded with CR3 in PAE paging */
    uint64_t dr[4], dr6, dr7;
    uint64_t a20_mask;      /* of physical addresses */
    uint64_t pending_debug; /* bits of DR6 of a trap behind the last instruction */
    uint32_t pkru;
    uint32_t mode;     /* x86_mode_word() of the last x86_update_mode() */
    uint32_t requests; /* enum x86_request; atomic, by any thread */
    uint8_t cpl;
    uint8_t shadow;      /* enum x86_shadow */
    uint8_t activity;    /* enum x86_activity */
    uint8_t sipi_vector; /* valid with X86_REQUEST_SIPI */
    uint8_t physical_bits;
    bool nmi_blocked;
    bool is_bsp;
    bool monitor_armed;
    bool telling;              /* accesses are told (struct ir_told): an instruction is under way */
    uint8_t number;            /* of the CPU, for probes */
    uint64_t monitor_physical; /* of the line */
    uint8_t monitor_line[64];  /* as MONITOR found it */
    struct x86_msrs msr;
    uint32_t records; /* counted; the last is record[(records - 1) % X86_RECORDS] */
    struct x86_event_record record[X86_RECORDS];
};

/* --- what translated code depends on */

enum x86_mode_bits {
    X86_MODE_CODE = 3 << 0,    /* enum x86_mode */
    X86_MODE_STACK32 = 1 << 2, /* outside 64-bit mode: SS.B */
    X86_MODE_CPL_SHIFT = 3,
    X86_MODE_CPL = 3 << 3,
    X86_MODE_PROTECTED = 1 << 5,
    X86_MODE_V86 = 1 << 6,
    X86_MODE_PAGING = 1 << 7,
    X86_MODE_LMA = 1 << 8,
    X86_MODE_SMAP = 1 << 9,   /* supervisor without AC: the view that has no user pages */
    X86_MODE_AC = 1 << 10,    /* supervisor with AC, while CR4.SMAP */
    X86_MODE_FLAT_SHIFT = 11, /* six bits: base 0, and anything but null may be read and written */
    X86_MODE_TS = 1 << 17,
    X86_MODE_EM = 1 << 18,
    X86_MODE_MP = 1 << 19,
    X86_MODE_OSFXSR = 1 << 20,
    X86_MODE_OSXSAVE = 1 << 21,
    X86_MODE_XCR0_SHIFT = 22, /* 0: x87, 1: and SSE, 2: and AVX */
    X86_MODE_A20 = 1 << 24,   /* the gate is open */
    X86_MODE_TF = 1 << 25,
    X86_MODE_SHADOW = 1 << 26,
    X86_MODE_RF = 1 << 27,
    X86_MODE_BREAK = 1 << 28, /* DR7 has breakpoints on instructions */
    X86_MODE_ALIGN = 1 << 29, /* alignment is checked */
    X86_MODE_WATCH = 1 << 30, /* DR7 has breakpoints on data */
};
#define X86_MODE_IOPL (UINT32_C(1) << 31) /* CPL <= IOPL: CLI, STI and I/O need no checks */

uint32_t x86_mode_word(const struct x86_cpu *cpu);

/* Stores the mode word in the record, and fires guest_mode_change if the kind of mode is another.
 * Every function that changes something has called it. */
void x86_update_mode(struct x86_cpu *cpu);

/* --- life of a CPU */

/* Makes the record that of a CPU after power-up (SDM vol. 3, table 10-1). `bus` outlives it. */
void x86_system_reset(struct x86_cpu *cpu, const struct x86_model *model, const struct cpu_bus *bus,
                      unsigned number);

/* INIT: like a reset, but x87, vectors, MSRs and cache bits stay, and all but CPU 0 wait for SIPI.
 */
void x86_system_init(struct x86_cpu *cpu);

/* Starts at page `vector`; nothing where the CPU does not wait for it. */
void x86_system_sipi(struct x86_cpu *cpu, uint8_t vector);

/* Any thread. The caller sees to it that the CPU looks. */
void x86_request(struct x86_cpu *cpu, unsigned requests);
void x86_request_sipi(struct x86_cpu *cpu, uint8_t vector);
void x86_withdraw(struct x86_cpu *cpu, unsigned requests);

void x86_set_a20(struct x86_cpu *cpu, bool open);

static inline bool x86_system_mode(const struct x86_system *system)
{
    return system->bus;
}

/* --- execution */

/* Executes an instruction in C; with the effects of an instruction's end (shadow, RF, single
 * step). As other helpers: false with `fault`, and then nothing has changed, except that repeated
 * string instructions and gathers have done whole elements, and after a task switch the fault is
 * the new task's. True with state.pc unchanged: one of these has done a part, and is to be begun
 * again when events have been looked for. #UD for what x86_executes() does not know. */
bool x86_execute(struct x86_cpu *cpu, const struct x86_insn *insn, struct x86_fault *fault);
bool x86_executes(const struct x86_insn *insn);

/* An instruction has been executed by translated code: what ends with it (shadow, RF), and what it
 * leaves behind (single step) if TF was set before it. */
void x86_instruction_done(struct x86_cpu *cpu, bool trap_flag);

/* Delivers an exception; state.pc is the instruction. Ends as a double fault or a shutdown if it
 * cannot be delivered. */
void x86_raise(struct x86_cpu *cpu, const struct x86_fault *fault);

/* An x87 instruction has found an exception pending: false with #MF, or, where CR0.NE is clear,
 * true after telling the bus; the instruction is to be begun again once the interrupt was served.
 */
bool x86_float_error(struct x86_cpu *cpu, struct x86_fault *fault);

enum x86_taken {
    X86_TAKEN_NONE,      /* go on */
    X86_TAKEN_DELIVERED, /* state.pc is another */
    X86_TAKEN_WAIT,      /* the CPU waits for a request */
};

/* At an instruction boundary: INIT, SIPI, debug traps, NMI, interrupts, in this order. */
enum x86_taken x86_take_event(struct x86_cpu *cpu);

/* Whether x86_take_event() would do something. Any time on the vCPU's thread. */
bool x86_event_pending(const struct x86_cpu *cpu);
/* Whether it would do more than wait: for a CPU that waits. */
bool x86_event_wakes(const struct x86_cpu *cpu);

/* Whether the line that MONITOR named is another than then. */
bool x86_monitor_changed(struct x86_cpu *cpu);

/* --- debug registers. Each returns whether a breakpoint was hit. */

/* Before an instruction at a linear address: fills the fault (unless RF is set). */
bool x86_debug_execute(struct x86_cpu *cpu, uint64_t linear, struct x86_fault *fault);
/* After an access: the trap is pending. */
bool x86_debug_data(struct x86_cpu *cpu, uint64_t linear, size_t size, bool write);
bool x86_debug_io(struct x86_cpu *cpu, uint16_t port, unsigned size);

/* --- MSRs. False: #GP. */
bool x86_msr_read(struct x86_cpu *cpu, uint32_t number, uint64_t *value);
bool x86_msr_write(struct x86_cpu *cpu, uint32_t number, uint64_t value);
const char *x86_msr_name(uint32_t number); /* NULL: there is none */

uint64_t x86_tsc(const struct x86_cpu *cpu);

/* --- for readers */

/* The block of `info registers`, without x87 and vectors, in QEMU's shape. */
void x86_print_system(const struct x86_cpu *cpu, struct strbuf *text);
/* The lines of -d int for a record (check_exception or Servicing, v=...), and the block. `number`
 * counts lines. */
void x86_print_event(const struct x86_cpu *cpu, const struct x86_event_record *record,
                     unsigned number, struct strbuf *text);
/* The last exceptions and interrupts in words, oldest first; `count` at most, 0: all. */
void x86_print_story(const struct x86_cpu *cpu, unsigned count, struct strbuf *text);
const char *x86_vector_name(unsigned vector); /* "#PF"; NULL from 32 on and for reserved ones */

#endif
