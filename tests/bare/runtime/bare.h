/* SPDX-License-Identifier: MIT
 *
 * What bare-metal test programs are made of. A program is one source with a function program(); the
 * runtime takes it from the reset vector (or a multiboot loader) to 32-bit protected mode, or to
 * long mode if the first line says `build: 64`, and calls it. It names cases with test(), and says
 * with expect() what must hold; the runtime prints `ok NAME` or `FAIL NAME: ...` for each, at the
 * end `N passed, M failed`, and leaves through isa-debug-exit.
 *
 * Read in this order: this header, start.S, trap.c, then trap32.S or trap64.S.
 */
#ifndef TESTS_BARE_BARE_H
#define TESTS_BARE_BARE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "selectors.h"

/* A register or an address: 4 or 8 bytes. */
typedef unsigned long word;

void program(void); /* each program has one */

/* --- telling */

/* Formats: %s %c %d %u %x (unsigned), %lx (word), %llx (64 bits). */
void print(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Begins a case; the one before has ended with it. The name must live on. */
void test(const char *name);

/* Of the case that test() began: emulators that are known not to do as the manuals say, as in
 * "qemu: limits are not checked" or "qemu, bochs: ...". Only tests/bare/compare looks at it. */
void deviation(const char *text);

/* The case fails unless both are the same. */
void expect_same(const char *what, uint64_t got, uint64_t expected);
#define expect(got, expected) expect_same(#got, (uint64_t)(got), (uint64_t)(expected))
/* The case fails unless it holds. */
void expect_that(const char *what, bool holds);
#define expect_true(condition) expect_that(#condition, (condition))

/* Ends the program: sums up, and leaves with status 1 if all cases passed and 3 if not. */
void finish(void) __attribute__((noreturn));
/* Ends it as failed, now. */
void give_up(const char *why) __attribute__((noreturn));

/* --- the machine */

static inline void outb(uint16_t port, uint8_t value)
{
    __asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port));
}

static inline void outl(uint16_t port, uint32_t value)
{
    __asm__ volatile("outl %0, %1" : : "a"(value), "Nd"(port));
}

static inline void outw(uint16_t port, uint16_t value)
{
    __asm__ volatile("outw %0, %1" : : "a"(value), "Nd"(port));
}

static inline uint8_t inb(uint16_t port)
{
    uint8_t value;
    __asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
    return value;
}

static inline uint16_t inw(uint16_t port)
{
    uint16_t value;
    __asm__ volatile("inw %1, %0" : "=a"(value) : "Nd"(port));
    return value;
}

static inline uint32_t inl(uint16_t port)
{
    uint32_t value;
    __asm__ volatile("inl %1, %0" : "=a"(value) : "Nd"(port));
    return value;
}

static inline uint64_t rdmsr(uint32_t number)
{
    uint32_t low, high;
    __asm__ volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(number));
    return (uint64_t)high << 32 | low;
}

static inline void wrmsr(uint32_t number, uint64_t value)
{
    __asm__ volatile("wrmsr"
                     :
                     : "c"(number), "a"((uint32_t)value), "d"((uint32_t)(value >> 32))
                     : "memory");
}

static inline uint64_t rdtsc(void)
{
    uint32_t low, high;
    __asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
    return (uint64_t)high << 32 | low;
}

struct cpuid {
    uint32_t a, b, c, d;
};

static inline struct cpuid cpuid(uint32_t leaf, uint32_t part)
{
    struct cpuid r;
    __asm__ volatile("cpuid" : "=a"(r.a), "=b"(r.b), "=c"(r.c), "=d"(r.d) : "a"(leaf), "c"(part));
    return r;
}

#define READ_WRITE_REGISTER(name)                                       \
    static inline word read_##name(void)                                \
    {                                                                   \
        word value;                                                     \
        __asm__ volatile("mov %%" #name ", %0" : "=r"(value));          \
        return value;                                                   \
    }                                                                   \
    static inline void write_##name(word value)                         \
    {                                                                   \
        __asm__ volatile("mov %0, %%" #name : : "r"(value) : "memory"); \
    }

READ_WRITE_REGISTER(cr0)
READ_WRITE_REGISTER(cr2)
READ_WRITE_REGISTER(cr3)
READ_WRITE_REGISTER(cr4)
READ_WRITE_REGISTER(dr0)
READ_WRITE_REGISTER(dr1)
READ_WRITE_REGISTER(dr2)
READ_WRITE_REGISTER(dr3)
READ_WRITE_REGISTER(dr6)
READ_WRITE_REGISTER(dr7)

static inline void invlpg(const volatile void *address)
{
    __asm__ volatile("invlpg (%0)" : : "r"(address) : "memory");
}

void *memory_set(void *to, int byte, size_t count);
void *memory_copy(void *to, const void *from, size_t count);

/* Values of a register that name bits by their number. */
#define BIT(n) (UINT64_C(1) << (n))

enum {
    CR0_PE = 1 << 0,
    CR0_MP = 1 << 1,
    CR0_EM = 1 << 2,
    CR0_TS = 1 << 3,
    CR0_ET = 1 << 4,
    CR0_NE = 1 << 5,
    CR0_WP = 1 << 16,
    CR0_AM = 1 << 18,
    CR0_NW = 1 << 29,
    CR0_CD = 1 << 30,
};
#define CR0_PG 0x80000000u

enum {
    CR4_VME = 1 << 0,
    CR4_PVI = 1 << 1,
    CR4_TSD = 1 << 2,
    CR4_DE = 1 << 3,
    CR4_PSE = 1 << 4,
    CR4_PAE = 1 << 5,
    CR4_MCE = 1 << 6,
    CR4_PGE = 1 << 7,
    CR4_PCE = 1 << 8,
    CR4_OSFXSR = 1 << 9,
    CR4_OSXMMEXCPT = 1 << 10,
    CR4_UMIP = 1 << 11,
    CR4_LA57 = 1 << 12,
    CR4_FSGSBASE = 1 << 16,
    CR4_PCIDE = 1 << 17,
    CR4_OSXSAVE = 1 << 18,
    CR4_SMEP = 1 << 20,
    CR4_SMAP = 1 << 21,
    CR4_PKE = 1 << 22,
};

enum {
    FLAG_CF = 1 << 0,
    FLAG_ONE = 1 << 1,
    FLAG_PF = 1 << 2,
    FLAG_AF = 1 << 4,
    FLAG_ZF = 1 << 6,
    FLAG_SF = 1 << 7,
    FLAG_TF = 1 << 8,
    FLAG_IF = 1 << 9,
    FLAG_DF = 1 << 10,
    FLAG_OF = 1 << 11,
    FLAG_IOPL = 3 << 12,
    FLAG_NT = 1 << 14,
    FLAG_RF = 1 << 16,
    FLAG_VM = 1 << 17,
    FLAG_AC = 1 << 18,
    FLAG_VIF = 1 << 19,
    FLAG_VIP = 1 << 20,
    FLAG_ID = 1 << 21,
    FLAG_STATUS = FLAG_CF | FLAG_PF | FLAG_AF | FLAG_ZF | FLAG_SF | FLAG_OF,
};

enum msr {
    MSR_TSC = 0x10,
    MSR_APIC_BASE = 0x1b,
    MSR_TSC_ADJUST = 0x3b,
    MSR_SYSENTER_CS = 0x174,
    MSR_SYSENTER_ESP = 0x175,
    MSR_SYSENTER_EIP = 0x176,
    MSR_PAT = 0x277,
    MSR_TSC_DEADLINE = 0x6e0,
    MSR_EFER = 0xc0000080,
    MSR_STAR = 0xc0000081,
    MSR_LSTAR = 0xc0000082,
    MSR_CSTAR = 0xc0000083,
    MSR_SFMASK = 0xc0000084,
    MSR_FS_BASE = 0xc0000100,
    MSR_GS_BASE = 0xc0000101,
    MSR_KERNEL_GS_BASE = 0xc0000102,
    MSR_TSC_AUX = 0xc0000103,
};

enum vector {
    VECTOR_DE = 0,
    VECTOR_DB = 1,
    VECTOR_NMI = 2,
    VECTOR_BP = 3,
    VECTOR_OF = 4,
    VECTOR_BR = 5,
    VECTOR_UD = 6,
    VECTOR_NM = 7,
    VECTOR_DF = 8,
    VECTOR_TS = 10,
    VECTOR_NP = 11,
    VECTOR_SS = 12,
    VECTOR_GP = 13,
    VECTOR_PF = 14,
    VECTOR_MF = 16,
    VECTOR_AC = 17,
    VECTOR_XM = 19,
};

enum { ERROR_P = 1, ERROR_W = 2, ERROR_U = 4, ERROR_RESERVED = 8, ERROR_FETCH = 16, ERROR_PK = 32 };

/* --- running code of a test */

/* The registers code starts with. The assembler knows the layout. */
struct context {
    word ax, cx, dx, bx, sp, bp, si, di;
#ifdef __x86_64__
    word r8, r9, r10, r11, r12, r13, r14, r15;
#endif
    word ip, flags, cs, ss, ds, es, fs, gs;
};

/* How it ended: the registers then, and the exception or interrupt. */
struct event {
    struct context at;
    word vector, error, cr2;
    word frame; /* address of the frame the CPU pushed */
};

/* Code of a test: assembled for 16, 32 or 64 bits, below 64 KiB, ending with INT DONE. NAME is the
 * function that C calls code by; other labels inside, such as NAME_at, are declared with MARK(). */
#define CODE(bits, name, ...)                                                           \
    extern const char name[];                                                           \
    __asm__(".pushsection .low.code, \"awx\"\n.code" #bits "\n.globl " #name "\n" #name \
            ":\n" __VA_ARGS__ "\nint $0x30\n.popsection\n" CODE_AGAIN)
#ifdef __x86_64__
#define CODE_AGAIN ".code64\n"
#else
#define CODE_AGAIN ".code32\n"
#endif
#define MARK(name) extern const char name[]

/* A place below 64 KiB for data that 16-bit code reaches. */
#define LOW __attribute__((section(".low.data")))

/* A context that starts at `ip` with everything flat: code of the C code's own kind at CPL 0, in
 * user mode, or of 16 bits; interrupts off. The stack lies below 64 KiB. */
struct context kernel_context(const void *ip);
struct context user_context(const void *ip);
struct context kernel_context16(const void *ip);
#ifdef __x86_64__
struct context kernel_context32(const void *ip); /* compatibility mode */
struct context user_context32(const void *ip);
#endif

/* Runs until an exception or interrupt for which there is no hook. */
void run(const struct context *context, struct event *event);
/* Ends a run() from a hook: the event is as a trap would have left it. */
void resume(void) __attribute__((noreturn));

/* The same in real mode (32-bit programs). All segments are the context's; vectors are those of
 * real_vectors(). */
void run_real(const struct context *context, struct event *event);
struct context real_context(const void *ip);
/* Makes the table at 0 anew. */
void real_vectors(void);

/* What the CPU and the entry have pushed. */
struct frame {
    word gs, fs, es, ds;
#ifdef __x86_64__
    word r15, r14, r13, r12, r11, r10, r9, r8, di, si, bp, bx, dx, cx, ax;
#else
    word di, si, bp, unused, bx, dx, cx, ax;
#endif
    word vector, error, ip, cs, flags, sp, ss;
#ifndef __x86_64__
    word v86_es, v86_ds, v86_fs, v86_gs;
#endif
};

/* Called instead of ending the run; what it changes in the frame is taken. NULL: none. */
extern void (*trap_hook[256])(struct frame *frame);

/* Each entry takes 16 bytes. */
extern const char trap_entries[];
extern const char run_return[]; /* the IRET that starts code */

/* The run ended with this vector, this error code, at this instruction. */
void expect_event(const struct event *event, unsigned vector, word error, const void *ip);
/* The run ended with INT DONE. */
void expect_done(const struct event *event);
void expect_page_fault(const struct event *event, word error, const void *ip, word address);

/* --- tables of cases. CASE(bits, id, title, (fields), code) is code that must come to its end;
 * FAULT(bits, id, title, vector, error, (fields), code) must end with an exception, at the
 * instruction that has the label 9. Both are rows that run_rows() runs in their order, in the mode
 * that MODE is defined as. Registers begin as 0, except SP. */

enum mode {
    MODE_REAL,     /* 32-bit programs */
    MODE_V86,      /* 32-bit programs */
    MODE_KERNEL,   /* the C code's own */
    MODE_KERNEL16, /* 16-bit segments */
    MODE_KERNEL32, /* in 64-bit programs: compatibility mode */
    MODE_USER,
    MODE_USER16,
    MODE_USER32,
};

struct row {
    const char *name, *code;
    const char *at; /* NULL: the place does not matter */
    const char *deviation;
    enum mode mode;
    unsigned vector;
    word error;
    void (*before)(struct context *context);
    void (*after)(struct event *event); /* also undoes what `before` did */
    bool checks_ax, checks_dx, checks_sp;
    word ax, dx, flags, flags_mask;
    long sp; /* against the one it began with */
};

/* Fields: what holds at the end. */
#define AX(value)          .checks_ax = true, .ax = (value)
#define DX(value)          .checks_dx = true, .dx = (value)
#define SP(value)          .checks_sp = true, .sp = (value)
#define FLAGS(mask, value) .flags_mask = (mask), .flags = (value)
#define BEFORE(function)   .before = function
#define AFTER(function)    .after = function
#define DEVIATION(text)    .deviation = text
#define ROW_FIELDS(...)    __VA_ARGS__
#define ROW(id, title, ...)                                           \
    static const struct row row_##id = {                              \
        .name = title, .code = case_##id, .mode = MODE, __VA_ARGS__}; \
    static const struct row *const row_of_##id __attribute__((used, section(".rows"))) = &row_##id;
#define CASE(bits, id, title, fields, ...) \
    CODE(bits, case_##id, __VA_ARGS__);    \
    ROW(id, title, .vector = DONE, ROW_FIELDS fields)
#define FAULT(bits, id, title, vector_, error_, fields, ...)                                   \
    MARK(case_##id##_at);                                                                      \
    CODE(bits, case_##id, __VA_ARGS__ "\n.globl case_" #id "_at\n.set case_" #id "_at, 9b\n"); \
    ROW(id, title, .vector = (vector_), .error = (error_), .at = case_##id##_at, ROW_FIELDS fields)

/* Ends with an exception somewhere, or where the field .at says. */
#define ENDS(bits, id, title, vector_, error_, fields, ...) \
    CODE(bits, case_##id, __VA_ARGS__);                     \
    ROW(id, title, .vector = (vector_), .error = (error_), ROW_FIELDS fields)

void run_rows(void);

/* --- descriptors */

extern uint64_t gdt[128];
struct table_register {
    uint16_t limit;
    word base;
} __attribute__((packed));

enum gate_type {
    GATE_TASK = 5,
    GATE_CALL16 = 4,
    GATE_CALL = 12,
    GATE_INTERRUPT = 14,
    GATE_TRAP = 15,
    GATE_INTERRUPT16 = 6,
    GATE_TRAP16 = 7
};

/* Access bytes. */
enum {
    SEGMENT_DATA = 0x93,
    SEGMENT_DATA_READ = 0x91,
    SEGMENT_DOWN = 0x97,
    SEGMENT_CODE = 0x9b,
    SEGMENT_CODE_EXECUTE = 0x99,
    SEGMENT_CONFORMING = 0x9f,
    SEGMENT_USER = 0x60,
};
enum { SEGMENT_GRANULAR = 8, SEGMENT_BIG = 4, SEGMENT_LONG = 2 };

/* A descriptor. `limit` as it stands in it (20 bits). */
uint64_t descriptor(uint32_t base, uint32_t limit, unsigned access, unsigned flags);
/* Puts it in the place of a selector. */
void set_descriptor(unsigned selector, uint64_t value);

/* The gate of a vector. */
void set_gate(unsigned vector, enum gate_type type, unsigned selector, word to, unsigned dpl,
              unsigned ist);
/* All gates as the runtime wants them, vectors 3, 4 and DONE open to user mode. */
void default_gates(void);
extern uint64_t idt[];

#ifdef __x86_64__
struct task_state {
    uint32_t reserved0;
    uint64_t sp[3];
    uint64_t reserved1;
    uint64_t ist[7];
    uint64_t reserved2;
    uint16_t reserved3, io_base;
    uint8_t io_map[8193];
} __attribute__((packed));
#else
struct task_state {
    uint32_t back;
    uint32_t sp0, ss0, sp1, ss1, sp2, ss2;
    uint32_t cr3, ip, flags, ax, cx, dx, bx, sp, bp, si, di;
    uint32_t es, cs, ss, ds, fs, gs, ldt;
    uint16_t trap, io_base;
    uint8_t redirection[32]; /* of INT in virtual-8086 mode, if io_base lies behind it */
    uint8_t io_map[8193];
} __attribute__((packed));
#endif
extern struct task_state task_state;
extern char trap_stack_end[], double_stack_end[], main_stack_end[], low_stack_end[];
/* TASK is that one, not busy, and loaded. */
void load_task(void);

#ifdef __x86_64__
/* --- page tables of 64-bit programs. Below 4 GiB all is mapped one to one in pages of 2 MiB, for
 * user mode too. */

enum {
    PAGE_P = 1,
    PAGE_W = 2,
    PAGE_U = 4,
    PAGE_PWT = 8,
    PAGE_PCD = 16,
    PAGE_A = 32,
    PAGE_D = 64,
    PAGE_PS = 128, /* of a PTE: PAT */
    PAGE_G = 256,
    PAGE_ALL = PAGE_P | PAGE_W | PAGE_U,
};
#define PAGE_NX       BIT(63)
#define PAGE_KEY(key) ((uint64_t)(key) << 59)
#define PAGE_FRAME    UINT64_C(0x000ffffffffff000)

/* The entry for an address at a level: 1, the PTE, to 4. Tables above it are made where they are
 * missing, all rights given; there is room for 60. */
volatile uint64_t *page_entry(word linear, unsigned level);
/* A page of 4 KiB. */
void map_page(word linear, uint64_t physical, uint64_t flags);
void flush_all(void); /* global pages too */
#endif

/* --- the rest of the runtime, used by itself */

void print_start(void);
void trap_start(void);
void trap(struct frame *frame);
void trap_lost(void);
void runtime_main(void);

#endif
