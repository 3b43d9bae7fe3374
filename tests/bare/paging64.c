/* build: 64 */
/* SPDX-License-Identifier: MIT
 *
 * Paging with four levels: rights at each level, error codes, reserved bits, large pages, accessed
 * and dirty bits, what flushes, faults in the midst of instructions (SDM vol. 3, chapter 4).
 */
#include "runtime/bare.h"

enum { MEMORY = 0x600000, LARGE = 0x800000 };
#define PLACE UINT64_C(0x555000000000) /* nothing is mapped around it */
/* The first 2 MiB are the supervisor's; here user mode sees them. */
#define USER_VIEW UINT64_C(0x222000000000)

static unsigned physical_bits;

/* --- accesses: at RBX, and what they leave in RAX */

#define ACCESS(name, ...) \
    MARK(name##_at);      \
    CODE(64, name, ".globl " #name "_at\n" #name "_at: " __VA_ARGS__)

ACCESS(do_read, "mov (%rbx), %rax");
ACCESS(do_write, "mov %rcx, (%rbx)");
ACCESS(do_add, "addl $1, (%rbx)");
ACCESS(do_locked, "lock xaddl %ecx, (%rbx)");
ACCESS(do_cmpxchg, "cmpxchg %ecx, (%rbx)");
ACCESS(do_fetch, "jmp *%rbx");
ACCESS(do_call, "call *%rbx");

enum { NO_FAULT = 0xffff };

struct access {
    const char *code, *at;
    bool fetch;
};
static const struct access READ = {do_read, do_read_at, false},
                           WRITE = {do_write, do_write_at, false}, ADD = {do_add, do_add_at, false},
                           LOCKED = {do_locked, do_locked_at, false},
                           CMPXCHG = {do_cmpxchg, do_cmpxchg_at, false},
                           FETCH = {do_fetch, do_fetch_at, true},
                           CALL = {do_call, do_call_at, true};

static struct event event;

static void access(const struct access *what, word linear, bool user, word flags)
{
    struct context context = user ? user_context(what->code) : kernel_context(what->code);
    if (user) {
        context.ip += USER_VIEW;
        context.sp += USER_VIEW;
    }
    context.bx = linear;
    context.cx = 0x1122334455667788;
    context.flags |= flags;
    run(&context, &event);
}

/* The access must fault with an error code, or not at all. */
static void expect_access(const struct access *what, word linear, bool user, word flags, word error)
{
    access(what, linear, user, flags);
    if (error == NO_FAULT) {
        expect_done(&event);
    } else {
        expect_page_fault(&event, error,
                          what->fetch ? (const char *)linear : what->at + (user ? USER_VIEW : 0),
                          linear);
    }
}

/* The page at PLACE anew: MEMORY, filled with INT DONE. */
static void fresh(uint64_t flags)
{
    static const uint8_t done[2] = {0xcd, DONE};
    for (unsigned i = 0; i < 4096; i += 2) {
        memory_copy((char *)MEMORY + i, done, 2);
    }
    static uint64_t clean[5];
    if (!clean[2]) {
        page_entry(PLACE, 1);
    }
    for (unsigned level = 4; level >= 2; level--) {
        if (!clean[level]) {
            clean[level] = (*page_entry(PLACE, level) & PAGE_FRAME) | PAGE_ALL;
        }
        *page_entry(PLACE, level) = clean[level];
    }
    *page_entry(PLACE, 1) = MEMORY | flags;
    flush_all();
}

static void rights(void)
{
    static const struct {
        const char *name;
        uint64_t clear, set; /* of the entry at each level, in turn */
        word cr0, cr4, efer;
        bool user;
        const struct access *what;
        word error;
        const char *deviation;
    } rows[] = {
        {"present: user reads", 0, 0, 0, 0, 0, true, &READ, NO_FAULT, NULL},
        {"present: user writes", 0, 0, 0, 0, 0, true, &WRITE, NO_FAULT, NULL},
        {"present: user executes", 0, 0, 0, 0, 0, true, &FETCH, NO_FAULT, NULL},
        {"not present: read", PAGE_P, 0, 0, 0, 0, false, &READ, 0, NULL},
        {"not present: write", PAGE_P, 0, 0, 0, 0, false, &WRITE, ERROR_W, NULL},
        {"not present: fetch without NXE and SMEP", PAGE_P, 0, 0, 0, 0, false, &FETCH, 0, NULL},
        {"not present: fetch with NXE", PAGE_P, 0, 0, 0, 0x800, false, &FETCH, ERROR_FETCH, NULL},
        {"not present: fetch with SMEP", PAGE_P, 0, 0, CR4_SMEP, 0, false, &FETCH, ERROR_FETCH,
         "qemu: bit I is missing"},
        {"not present: user reads", PAGE_P, 0, 0, 0, 0, true, &READ, ERROR_U, NULL},
        {"not present: user writes", PAGE_P, 0, 0, 0, 0, true, &WRITE, ERROR_U | ERROR_W, NULL},
        {"not present: user fetches with NXE", PAGE_P, 0, 0, 0, 0x800, true, &FETCH,
         ERROR_U | ERROR_FETCH, NULL},
        {"not present: what else stands there is ignored", PAGE_P, BIT(63) | BIT(51) | PAGE_PS, 0,
         0, 0, false, &READ, 0, NULL},
        {"read-only: user writes", PAGE_W, 0, 0, 0, 0, true, &WRITE, ERROR_P | ERROR_W | ERROR_U,
         NULL},
        {"read-only: user reads", PAGE_W, 0, 0, 0, 0, true, &READ, NO_FAULT, NULL},
        {"read-only: user adds", PAGE_W, 0, 0, 0, 0, true, &ADD, ERROR_P | ERROR_W | ERROR_U, NULL},
        {"read-only: user adds with LOCK", PAGE_W, 0, 0, 0, 0, true, &LOCKED,
         ERROR_P | ERROR_W | ERROR_U, NULL},
        {"read-only: CMPXCHG writes though unequal", PAGE_W, 0, 0, 0, 0, true, &CMPXCHG,
         ERROR_P | ERROR_W | ERROR_U, NULL},
        {"read-only: supervisor writes with WP", PAGE_W, 0, CR0_WP, 0, 0, false, &WRITE,
         ERROR_P | ERROR_W, NULL},
        {"read-only: supervisor writes without WP", PAGE_W, 0, 0, 0, 0, false, &WRITE, NO_FAULT,
         NULL},
        {"supervisor's: user reads", PAGE_U, 0, 0, 0, 0, true, &READ, ERROR_P | ERROR_U, NULL},
        {"supervisor's: user writes", PAGE_U, 0, 0, 0, 0, true, &WRITE, ERROR_P | ERROR_U | ERROR_W,
         NULL},
        {"supervisor's: user fetches", PAGE_U, 0, 0, 0, 0x800, true, &FETCH,
         ERROR_P | ERROR_U | ERROR_FETCH, NULL},
        {"supervisor's: user calls", PAGE_U, 0, 0, 0, 0x800, true, &CALL,
         ERROR_P | ERROR_U | ERROR_FETCH, NULL},
        {"supervisor's: user fetches without NXE", PAGE_U, 0, 0, 0, 0, true, &FETCH,
         ERROR_P | ERROR_U, NULL},
        {"supervisor's: supervisor reads", PAGE_U, 0, CR0_WP, 0, 0, false, &READ, NO_FAULT, NULL},
        {"NX: supervisor fetches", 0, PAGE_NX, 0, 0, 0x800, false, &FETCH, ERROR_P | ERROR_FETCH,
         NULL},
        {"NX: user fetches", 0, PAGE_NX, 0, 0, 0x800, true, &FETCH, ERROR_P | ERROR_U | ERROR_FETCH,
         NULL},
        {"NX: user reads and writes", 0, PAGE_NX, 0, 0, 0x800, true, &ADD, NO_FAULT, NULL},
        {"NX is reserved without NXE", 0, PAGE_NX, 0, 0, 0, false, &READ, ERROR_P | ERROR_RESERVED,
         "qemu: bit P is missing"},
        {"NX is reserved without NXE: user writes", 0, PAGE_NX, 0, 0, 0, true, &WRITE,
         ERROR_P | ERROR_RESERVED | ERROR_U | ERROR_W, "qemu: bit P is missing"},
        {"reserved bit 51: supervisor reads", 0, BIT(51), 0, 0, 0, false, &READ,
         ERROR_P | ERROR_RESERVED, "qemu: bit P is missing"},
        {"reserved bit 51: user writes", 0, BIT(51), 0, 0, 0, true, &WRITE,
         ERROR_P | ERROR_RESERVED | ERROR_U | ERROR_W, "qemu: bit P is missing"},
        {"reserved bit 51: user fetches", 0, BIT(51), 0, 0, 0x800, true, &FETCH,
         ERROR_P | ERROR_RESERVED | ERROR_U | ERROR_FETCH, "qemu: bit P is missing"},
        {"bits 52 to 58 are ignored", 0, UINT64_C(0x7f) << 52, 0, 0, 0, true, &WRITE, NO_FAULT,
         NULL},
        {"PWT, PCD and bits 9 to 11 are ignored", 0, PAGE_PWT | PAGE_PCD | 0xe00, 0, 0, 0, true,
         &WRITE, NO_FAULT, NULL},
        {"SMEP: supervisor fetches the user's", 0, 0, 0, CR4_SMEP, 0, false, &FETCH,
         ERROR_P | ERROR_FETCH, NULL},
        {"SMEP: user fetches", 0, 0, 0, CR4_SMEP, 0, true, &FETCH, NO_FAULT, NULL},
        {"SMEP: supervisor fetches his own", PAGE_U, 0, 0, CR4_SMEP, 0, false, &FETCH, NO_FAULT,
         NULL},
        {"SMEP: supervisor reads the user's", 0, 0, 0, CR4_SMEP, 0, false, &READ, NO_FAULT, NULL},
        {"SMAP: supervisor reads the user's", 0, 0, 0, CR4_SMAP, 0, false, &READ, ERROR_P, NULL},
        {"SMAP: supervisor writes the user's", 0, 0, 0, CR4_SMAP, 0, false, &WRITE,
         ERROR_P | ERROR_W, NULL},
        {"SMAP: supervisor reads his own", PAGE_U, 0, 0, CR4_SMAP, 0, false, &READ, NO_FAULT, NULL},
        {"SMAP: user reads", 0, 0, 0, CR4_SMAP, 0, true, &READ, NO_FAULT, NULL},
        {"SMAP: supervisor fetches the user's", 0, 0, 0, CR4_SMAP, 0, false, &FETCH, NO_FAULT,
         NULL},
    };
    static char names[sizeof rows / sizeof rows[0]][4][64];
    for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        for (unsigned level = 1; level <= 4; level++) {
            char *name = names[i][level - 1];
            unsigned length = 0;
            for (const char *from = rows[i].name; *from && length < 52; from++) {
                name[length++] = *from;
            }
            memory_copy(name + length, ", level 1", 9);
            name[length + 8] = (char)('0' + level);
            test(name);
            if (rows[i].deviation) {
                deviation(rows[i].deviation);
            }
            fresh(PAGE_ALL);
            volatile uint64_t *entry = page_entry(PLACE, level);
            *entry = (*entry & ~rows[i].clear) | rows[i].set;
            flush_all();
            wrmsr(MSR_EFER, rdmsr(MSR_EFER) | rows[i].efer);
            word cr0 = read_cr0(), cr4 = read_cr4();
            write_cr0(cr0 | rows[i].cr0);
            write_cr4(cr4 | rows[i].cr4);
            expect_access(rows[i].what, PLACE, rows[i].user, 0, rows[i].error);
            write_cr4(cr4);
            write_cr0(cr0);
            wrmsr(MSR_EFER, rdmsr(MSR_EFER) & ~UINT64_C(0x800));
        }
    }
}

/* Rows above need no page tables of their own; what follows has functions. */

static void large_pages(void)
{
    static const word at = 0x556000000000, giant = 0x557000000000;
    test("2 MiB: translation");
    *page_entry(at, 2) = LARGE | PAGE_ALL | PAGE_PS;
    *(volatile uint64_t *)(LARGE + 0x123458) = 0x4711;
    access(&READ, at + 0x123458, false, 0);
    expect_done(&event);
    expect(event.at.ax, 0x4711);
    test("2 MiB: accessed and dirty");
    *page_entry(at, 2) = LARGE | PAGE_ALL | PAGE_PS;
    flush_all();
    access(&READ, at, false, 0);
    expect(*page_entry(at, 2) & (PAGE_A | PAGE_D), PAGE_A);
    access(&WRITE, at, false, 0);
    expect(*page_entry(at, 2) & (PAGE_A | PAGE_D), PAGE_A | PAGE_D);
    test("2 MiB: a reserved bit of the frame");
    deviation("qemu: bit P is missing");
    *page_entry(at, 2) = LARGE | PAGE_ALL | PAGE_PS | BIT(13);
    flush_all();
    expect_access(&READ, at, false, 0, ERROR_P | ERROR_RESERVED);
    test("2 MiB: bit 12 is PAT");
    *page_entry(at, 2) = LARGE | PAGE_ALL | PAGE_PS | BIT(12);
    flush_all();
    expect_access(&READ, at, false, 0, NO_FAULT);
    test("2 MiB: INVLPG anywhere in it");
    *page_entry(at, 2) = LARGE | PAGE_ALL | PAGE_PS;
    flush_all();
    access(&READ, at + 0x1000, false, 0);
    *page_entry(at, 2) = 0;
    invlpg((void *)(at + 0x1ff000));
    invlpg((void *)(at + 0x1000));
    expect_access(&READ, at + 0x1000, false, 0, 0);
    test("1 GiB: translation, accessed and dirty, or a reserved bit");
    deviation("qemu: bit P is missing");
    bool has = cpuid(0x80000001, 0).d >> 26 & 1;
    *page_entry(giant, 3) = PAGE_ALL | PAGE_PS;
    if (has) {
        access(&READ, giant + LARGE + 0x123458, false, 0);
        expect_done(&event);
        expect(event.at.ax, 0x4711);
        expect(*page_entry(giant, 3) & (PAGE_A | PAGE_D), PAGE_A);
        access(&WRITE, giant + LARGE + 8, false, 0);
        expect(*page_entry(giant, 3) & (PAGE_A | PAGE_D), PAGE_A | PAGE_D);
        *page_entry(giant, 3) = PAGE_ALL | PAGE_PS | BIT(20);
        flush_all();
        expect_access(&READ, giant, false, 0, ERROR_P | ERROR_RESERVED);
    } else {
        expect_access(&READ, giant, false, 0, ERROR_P | ERROR_RESERVED);
    }
    test("PS is reserved in a PML4 entry");
    deviation("qemu: bit P is missing");
    fresh(PAGE_ALL);
    *page_entry(PLACE, 4) |= PAGE_PS;
    flush_all();
    expect_access(&READ, PLACE, false, 0, ERROR_P | ERROR_RESERVED);
    fresh(PAGE_ALL);
}

static void accessed_and_dirty(void)
{
    test("A: set at all levels by a read, D not");
    fresh(PAGE_ALL);
    access(&READ, PLACE, false, 0);
    for (unsigned level = 1; level <= 4; level++) {
        expect(*page_entry(PLACE, level) & PAGE_A, PAGE_A);
    }
    expect(*page_entry(PLACE, 1) & PAGE_D, 0);
    test("D: set by a write after a read, in the PTE only");
    access(&WRITE, PLACE, false, 0);
    expect(*page_entry(PLACE, 1) & PAGE_D, PAGE_D);
    expect(*page_entry(PLACE, 2) & PAGE_D, 0);
    test("A: set by a fetch");
    fresh(PAGE_ALL);
    access(&FETCH, PLACE, false, 0);
    expect(*page_entry(PLACE, 1) & (PAGE_A | PAGE_D), PAGE_A);
    test("D: not set by a write that faults");
    fresh(PAGE_P | PAGE_U);
    expect_access(&WRITE, PLACE, true, 0, ERROR_P | ERROR_W | ERROR_U);
    expect(*page_entry(PLACE, 1) & PAGE_D, 0);
    test("D: set by a CMPXCHG that does not exchange");
    fresh(PAGE_ALL);
    *(volatile uint32_t *)MEMORY = 77;
    access(&CMPXCHG, PLACE, false, 0);
    expect(*page_entry(PLACE, 1) & PAGE_D, PAGE_D);
    test("D: set again after it was cleared and flushed");
    fresh(PAGE_ALL);
    access(&WRITE, PLACE, false, 0);
    *page_entry(PLACE, 1) &= ~(uint64_t)(PAGE_A | PAGE_D);
    invlpg((void *)PLACE);
    access(&WRITE, PLACE, false, 0);
    expect(*page_entry(PLACE, 1) & (PAGE_A | PAGE_D), PAGE_A | PAGE_D);
    test("A: left alone where it was not reached");
    fresh(0);
    expect_access(&READ, PLACE, false, 0, 0);
    expect(*page_entry(PLACE, 1), MEMORY);
}

/* --- what is seen when; frames with different words */

static volatile uint64_t *const frame_a = (uint64_t *)MEMORY, *const frame_b =
                                                                  (uint64_t *)(MEMORY + 0x1000);

static uint64_t seen(void)
{
    return *(volatile uint64_t *)PLACE;
}

static void flushes(void)
{
    fresh(PAGE_ALL);
    *frame_a = 0xaaaa;
    *frame_b = 0xbbbb;
    test("an entry that was not present is seen without a flush");
    *page_entry(PLACE, 1) = 0;
    flush_all();
    expect_access(&READ, PLACE, false, 0, 0);
    *page_entry(PLACE, 1) = MEMORY | PAGE_ALL;
    expect(seen(), 0xaaaa);
    test("INVLPG");
    *page_entry(PLACE, 1) = (MEMORY + 0x1000) | PAGE_ALL;
    invlpg((void *)(PLACE + 0x123));
    expect(seen(), 0xbbbb);
    test("MOV to CR3 flushes what is not global");
    *page_entry(PLACE, 1) = MEMORY | PAGE_ALL;
    write_cr3(read_cr3());
    expect(seen(), 0xaaaa);
    test("INVLPG flushes global entries");
    write_cr4(read_cr4() | CR4_PGE);
    *page_entry(PLACE, 1) = MEMORY | PAGE_ALL | PAGE_G;
    invlpg((void *)PLACE);
    expect(seen(), 0xaaaa);
    *page_entry(PLACE, 1) = (MEMORY + 0x1000) | PAGE_ALL | PAGE_G;
    invlpg((void *)PLACE);
    expect(seen(), 0xbbbb);
    test("a change of CR4.PGE flushes global entries");
    *page_entry(PLACE, 1) = MEMORY | PAGE_ALL | PAGE_G;
    write_cr4(read_cr4() & ~(word)CR4_PGE);
    expect(seen(), 0xaaaa);
    test("G without CR4.PGE is not global");
    *page_entry(PLACE, 1) = (MEMORY + 0x1000) | PAGE_ALL | PAGE_G;
    write_cr3(read_cr3());
    expect(seen(), 0xbbbb);
    test("a change of CR0.PG flushes"); /* through SMEP: a change of CR4.SMEP does, too */
    *page_entry(PLACE, 1) = MEMORY | PAGE_ALL;
    write_cr4(read_cr4() | CR4_SMEP);
    expect(seen(), 0xaaaa);
    write_cr4(read_cr4() & ~(word)CR4_SMEP);
    test("rights taken away are gone after INVLPG");
    fresh(PAGE_ALL);
    access(&WRITE, PLACE, true, 0);
    *page_entry(PLACE, 1) = MEMORY | PAGE_P | PAGE_U;
    invlpg((void *)PLACE);
    expect_access(&WRITE, PLACE, true, 0, ERROR_P | ERROR_W | ERROR_U);
    test("a change of CR0.WP counts at once");
    access(&WRITE, PLACE, false, 0);
    expect_done(&event);
    write_cr0(read_cr0() | CR0_WP);
    expect_access(&WRITE, PLACE, false, 0, ERROR_P | ERROR_W);
    write_cr0(read_cr0() & ~(word)CR0_WP);
    access(&WRITE, PLACE, false, 0);
    expect_done(&event);
    test("a change of EFER.NXE counts after a flush");
    deviation("qemu: bit P is missing");
    fresh(PAGE_ALL | PAGE_NX);
    wrmsr(MSR_EFER, rdmsr(MSR_EFER) | BIT(11));
    flush_all();
    expect_access(&READ, PLACE, false, 0, NO_FAULT);
    expect_access(&FETCH, PLACE, false, 0, ERROR_P | ERROR_FETCH);
    wrmsr(MSR_EFER, rdmsr(MSR_EFER) & ~BIT(11));
    flush_all();
    expect_access(&READ, PLACE, false, 0, ERROR_P | ERROR_RESERVED);
    fresh(PAGE_ALL);
}

/* --- PCID */

static word other_root(void)
{
    static word root;
    extern uint64_t first_tables[];
    if (!root) {
        /* A second set of tables for PLACE alone. */
        root = 0x300000;
        memory_copy((void *)root, first_tables, 4096);
        memory_set((void *)(root + 0x1000), 0, 0x3000);
        uint64_t *table = (uint64_t *)root;
        table[PLACE >> 39 & 511] = (root + 0x1000) | PAGE_ALL;
        table += 512;
        table[PLACE >> 30 & 511] = (root + 0x2000) | PAGE_ALL;
        table += 512;
        table[PLACE >> 21 & 511] = (root + 0x3000) | PAGE_ALL;
        table += 512;
        table[PLACE >> 12 & 511] = (MEMORY + 0x1000) | PAGE_ALL;
    }
    return root;
}

static struct {
    uint64_t pcid, linear;
} invalidate __attribute__((aligned(16)));

CODE(64, do_invpcid, ".globl do_invpcid_at\ndo_invpcid_at: invpcid (%rbx), %rcx");
MARK(do_invpcid_at);
CODE(64, do_cr3, ".globl do_cr3_at\ndo_cr3_at: mov %rbx, %cr3");
MARK(do_cr3_at);
CODE(64, do_cr4, ".globl do_cr4_at\ndo_cr4_at: mov %rbx, %cr4");
MARK(do_cr4_at);

static void invpcid(word type, uint64_t pcid, uint64_t linear)
{
    invalidate.pcid = pcid;
    invalidate.linear = linear;
    struct context context = kernel_context(do_invpcid);
    context.bx = (word)&invalidate;
    context.cx = type;
    run(&context, &event);
}

static void set_with(const char *code, word value)
{
    struct context context = kernel_context(code);
    context.bx = value;
    run(&context, &event);
}

static void process_contexts(void)
{
    word first = read_cr3(), second = other_root(), cr4 = read_cr4();
    fresh(PAGE_ALL);
    *frame_a = 0xaaaa;
    *frame_b = 0xbbbb;
    if (!(cpuid(1, 0).c >> 17 & 1)) {
        test("CR4.PCIDE is reserved where CPUID has no PCID");
        deviation("qemu: accepted");
        set_with(do_cr4, cr4 | CR4_PCIDE);
        expect_event(&event, VECTOR_GP, 0, do_cr4_at);
        write_cr4(cr4);
        return;
    }
    test("#GP when CR4.PCIDE is set while CR3 has a PCID");
    write_cr3(first | 8);
    set_with(do_cr4, cr4 | CR4_PCIDE);
    expect_event(&event, VECTOR_GP, 0, do_cr4_at);
    write_cr3(first);
    test("CR4.PCIDE can be set");
    set_with(do_cr4, cr4 | CR4_PCIDE);
    expect_done(&event);
    expect(read_cr4() & CR4_PCIDE, CR4_PCIDE);
    test("two address spaces with PCIDs, kept");
    write_cr3(first | 1);
    expect(seen(), 0xaaaa);
    write_cr3(second | 2);
    expect(seen(), 0xbbbb);
    write_cr3(first | 1 | BIT(63));
    expect(seen(), 0xaaaa);
    write_cr3(second | 2 | BIT(63));
    expect(seen(), 0xbbbb);
    expect(read_cr3(), second | 2);
    test("MOV to CR3 without bit 63 flushes its PCID");
    write_cr3(first | 1);
    expect(seen(), 0xaaaa);
    *page_entry(PLACE, 1) = (MEMORY + 0x1000) | PAGE_ALL;
    write_cr3(first | 1);
    expect(seen(), 0xbbbb);
    test("INVPCID: an address of a PCID");
    *page_entry(PLACE, 1) = MEMORY | PAGE_ALL;
    write_cr3(second | 2 | BIT(63));
    invpcid(0, 1, PLACE);
    expect_done(&event);
    write_cr3(first | 1 | BIT(63));
    expect(seen(), 0xaaaa);
    test("INVPCID: a PCID");
    *page_entry(PLACE, 1) = (MEMORY + 0x1000) | PAGE_ALL;
    write_cr3(second | 2 | BIT(63));
    invpcid(1, 1, 0);
    expect_done(&event);
    write_cr3(first | 1 | BIT(63));
    expect(seen(), 0xbbbb);
    test("INVPCID: all, with global entries");
    write_cr4(read_cr4() | CR4_PGE);
    *page_entry(PLACE, 1) = MEMORY | PAGE_ALL | PAGE_G;
    invpcid(2, 0, 0);
    expect(seen(), 0xaaaa);
    *page_entry(PLACE, 1) = (MEMORY + 0x1000) | PAGE_ALL | PAGE_G;
    invpcid(2, 0, 0);
    expect_done(&event);
    expect(seen(), 0xbbbb);
    *page_entry(PLACE, 1) = MEMORY | PAGE_ALL;
    invpcid(2, 0, 0);
    write_cr4(read_cr4() & ~(word)CR4_PGE);
    test("INVPCID: all but global entries");
    *page_entry(PLACE, 1) = (MEMORY + 0x1000) | PAGE_ALL;
    invpcid(3, 0, 0);
    expect_done(&event);
    expect(seen(), 0xbbbb);
    test("INVPCID: #GP for type 4");
    invpcid(4, 0, 0);
    expect_event(&event, VECTOR_GP, 0, do_invpcid_at);
    test("INVPCID: #GP for reserved bits of the descriptor");
    invpcid(1, 0x1000, 0);
    expect_event(&event, VECTOR_GP, 0, do_invpcid_at);
    test("INVPCID: #GP for an address that is not canonical, of type 0");
    invpcid(0, 1, BIT(60));
    expect_event(&event, VECTOR_GP, 0, do_invpcid_at);
    test("INVPCID: no #GP for it with type 1");
    invpcid(1, 1, BIT(60));
    expect_done(&event);
    test("INVPCID: #GP at CPL 3");
    struct context context = user_context(do_invpcid);
    context.ip += USER_VIEW;
    context.bx = (word)&invalidate + USER_VIEW;
    run(&context, &event);
    expect_event(&event, VECTOR_GP, 0, do_invpcid_at + USER_VIEW);
    write_cr3(first);
    test("CR4.PCIDE can be cleared");
    set_with(do_cr4, cr4);
    expect_done(&event);
    test("INVPCID: #GP for a PCID while CR4.PCIDE is clear");
    invpcid(0, 1, PLACE);
    expect_event(&event, VECTOR_GP, 0, do_invpcid_at);
    test("#GP by bit 63 of CR3 without CR4.PCIDE");
    deviation("qemu: ignored");
    set_with(do_cr3, first | BIT(63));
    expect_event(&event, VECTOR_GP, 0, do_cr3_at);
    test("#GP by a bit of CR3 above the physical addresses");
    set_with(do_cr3, first | BIT(physical_bits));
    expect_event(&event, VECTOR_GP, 0, do_cr3_at);
    test("bits 3 and 4 of CR3 are kept, others below 12 ignored or kept");
    write_cr3(first | 0x18);
    expect(read_cr3() & ~0xfe7ul, first | 0x18);
    write_cr3(first);
    fresh(PAGE_ALL);
}

/* --- SMAP with AC, UMIP, protection keys */

CODE(64, do_stac, "stac; mov (%rbx), %rax; clac; .globl do_stac_at; do_stac_at: mov (%rbx), %rcx");
MARK(do_stac_at);
CODE(64, do_stac_only, ".globl do_stac_only_at; do_stac_only_at: stac");
MARK(do_stac_only_at);
CODE(64, do_rep_ac, "mov $2, %ecx; mov $0x500, %edi; mov %rbx, %rsi; stac; rep movsb");
CODE(64, do_load_ldt, ".globl do_load_ldt_at; do_load_ldt_at: mov %ecx, %ds");
MARK(do_load_ldt_at);

static void supervisor_access(void)
{
    word cr4 = read_cr4();
    fresh(PAGE_ALL);
    *frame_a = 0xaaaa;
    test("SMAP: AC allows it");
    write_cr4(cr4 | CR4_SMAP);
    expect_access(&READ, PLACE, false, FLAG_AC, NO_FAULT);
    expect(event.at.ax, 0xaaaa);
    expect_access(&ADD, PLACE, false, FLAG_AC, NO_FAULT);
    expect_access(&READ, PLACE, false, 0, ERROR_P);
    test("SMAP: STAC and CLAC");
    access(&(struct access){do_stac, do_stac_at, false}, PLACE, false, 0);
    expect_page_fault(&event, ERROR_P, do_stac_at, PLACE);
    expect(event.at.ax, 0xaaab);
    expect(event.at.flags & FLAG_AC, 0);
    test("SMAP: string instructions with AC");
    access(&(struct access){do_rep_ac, NULL, false}, PLACE, false, 0);
    expect_done(&event);
    write_cr4(cr4);
    test("STAC is #UD at CPL 3");
    expect_access(&READ, PLACE, true, 0, NO_FAULT);
    access(&(struct access){do_stac_only, NULL, false}, PLACE, true, 0);
    expect_event(&event, VECTOR_UD, 0, do_stac_only_at + USER_VIEW);
    test("SMAP: a descriptor in the user's page is not reached, AC or not");
    deviation("qemu, bochs: AC counts");
    *(volatile uint64_t *)(MEMORY + 8) = descriptor(0, 0xfffff, SEGMENT_DATA | SEGMENT_USER, 12);
    set_descriptor(FREE, descriptor(0, 0xfff, 0x82, 0));
    gdt[FREE / 8] |= (PLACE & 0xffffff) << 16 | (PLACE >> 24 & 255) << 56;
    gdt[FREE / 8 + 1] = PLACE >> 32;
    __asm__ volatile("lldt %w0" : : "r"(FREE));
    write_cr4(cr4 | CR4_SMAP);
    struct context context = user_context(do_load_ldt);
    context.ip += USER_VIEW;
    context.cx = 8 | 4 | 3;
    context.flags |= FLAG_AC;
    run(&context, &event);
    expect_page_fault(&event, ERROR_P, do_load_ldt_at + USER_VIEW, PLACE + 8);
    write_cr4(cr4);
    test("the same without SMAP, and the accessed bit");
    *(volatile uint64_t *)(MEMORY + 8) =
        descriptor(0, 0xfffff, (SEGMENT_DATA | SEGMENT_USER) & ~1, 12);
    run(&context, &event);
    expect_done(&event);
    expect(event.at.ds, 8 | 4 | 3);
    expect(*(volatile uint64_t *)(MEMORY + 8),
           descriptor(0, 0xfffff, SEGMENT_DATA | SEGMENT_USER, 12));
    test("a descriptor in a page that is not there: #PF as the supervisor's");
    *page_entry(PLACE, 1) = 0;
    flush_all();
    run(&context, &event);
    expect_page_fault(&event, 0, do_load_ldt_at + USER_VIEW, PLACE + 8);
    __asm__ volatile("lldt %w0" : : "r"(0));
    fresh(PAGE_ALL);
}

CODE(64, do_sgdt, "sgdt -64(%rsp)");
CODE(64, do_sidt, "sidt -64(%rsp)");
CODE(64, do_sldt, "sldt %ax");
CODE(64, do_str, "str %ax");
CODE(64, do_smsw, "smsw %ax");

static void user_mode_instruction_prevention(void)
{
    static const struct {
        const char *name, *with, *code;
    } rows[] = {
        {"SGDT at CPL 3", "UMIP: #GP by SGDT", do_sgdt},
        {"SIDT at CPL 3", "UMIP: #GP by SIDT", do_sidt},
        {"SLDT at CPL 3", "UMIP: #GP by SLDT", do_sldt},
        {"STR at CPL 3", "UMIP: #GP by STR", do_str},
        {"SMSW at CPL 3", "UMIP: #GP by SMSW", do_smsw},
    };
    for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct context context = user_context(rows[i].code);
        context.ip += USER_VIEW;
        context.sp += USER_VIEW;
        test(rows[i].name);
        run(&context, &event);
        expect_done(&event);
        test(rows[i].with);
        write_cr4(read_cr4() | CR4_UMIP);
        run(&context, &event);
        expect_event(&event, VECTOR_GP, 0, rows[i].code + USER_VIEW);
        struct context kernel = kernel_context(rows[i].code);
        run(&kernel, &event);
        expect_done(&event);
        write_cr4(read_cr4() & ~(word)CR4_UMIP);
    }
}

static void write_pkru(uint32_t value)
{
    __asm__ volatile("wrpkru" : : "a"(value), "c"(0), "d"(0));
}

CODE(64, do_rdpkru, ".globl do_rdpkru_at; do_rdpkru_at: rdpkru");
MARK(do_rdpkru_at);
CODE(64, do_wrpkru, ".globl do_wrpkru_at; do_wrpkru_at: wrpkru");
MARK(do_wrpkru_at);

static void protection_keys(void)
{
    enum { KEY = 5, AD = 1 << 2 * KEY, WD = 2 << 2 * KEY };
    static const struct {
        const char *name;
        uint32_t pkru;
        uint64_t flags;
        bool user, write_protect;
        const struct access *what;
        word error;
        const char *deviation;
    } rows[] = {
        {"keys: all allowed", 0, PAGE_ALL, true, false, &WRITE, NO_FAULT, NULL},
        {"keys: AD, user reads", AD, PAGE_ALL, true, false, &READ, ERROR_P | ERROR_U | ERROR_PK,
         NULL},
        {"keys: AD, user writes", AD, PAGE_ALL, true, false, &WRITE,
         ERROR_P | ERROR_U | ERROR_W | ERROR_PK, NULL},
        {"keys: AD, user executes", AD, PAGE_ALL, true, false, &FETCH, NO_FAULT, NULL},
        {"keys: WD, user reads", WD, PAGE_ALL, true, false, &READ, NO_FAULT, NULL},
        {"keys: WD, user writes", WD, PAGE_ALL, true, false, &WRITE,
         ERROR_P | ERROR_U | ERROR_W | ERROR_PK, NULL},
        {"keys: AD, supervisor reads the user's", AD, PAGE_ALL, false, false, &READ,
         ERROR_P | ERROR_PK, "bochs: not checked"},
        {"keys: AD, supervisor reads his own", AD, PAGE_P | PAGE_W, false, false, &READ, NO_FAULT,
         NULL},
        {"keys: WD, supervisor writes with WP", WD, PAGE_ALL, false, true, &WRITE,
         ERROR_P | ERROR_W | ERROR_PK, NULL},
        {"keys: WD, supervisor writes without WP", WD, PAGE_ALL, false, false, &WRITE, NO_FAULT,
         NULL},
        {"keys: AD and a read-only page", AD, PAGE_P | PAGE_U, true, false, &WRITE,
         ERROR_P | ERROR_U | ERROR_W | ERROR_PK, NULL},
        {"keys: of others do not matter", ~(uint32_t)(AD | WD | 3), PAGE_ALL, true, false, &WRITE,
         NO_FAULT, NULL},
    };
    word cr4 = read_cr4();
    struct context context = kernel_context(do_rdpkru);
    test("RDPKRU and WRPKRU are #UD without CR4.PKE");
    run(&context, &event);
    expect_event(&event, VECTOR_UD, 0, do_rdpkru_at);
    context.ip = (word)do_wrpkru;
    run(&context, &event);
    expect_event(&event, VECTOR_UD, 0, do_wrpkru_at);
    write_cr4(cr4 | CR4_PKE);
    for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        test(rows[i].name);
        if (rows[i].deviation) {
            deviation(rows[i].deviation);
        }
        fresh(rows[i].flags | PAGE_KEY(KEY));
        write_pkru(rows[i].pkru);
        write_cr0(read_cr0() | (rows[i].write_protect ? CR0_WP : 0));
        expect_access(rows[i].what, PLACE, rows[i].user, 0, rows[i].error);
        write_cr0(read_cr0() & ~(word)CR0_WP);
        write_pkru(0);
    }
    test("WRPKRU counts at once, for what is in the TLB");
    fresh(PAGE_ALL | PAGE_KEY(KEY));
    expect_access(&WRITE, PLACE, true, 0, NO_FAULT);
    write_pkru(WD);
    expect_access(&WRITE, PLACE, true, 0, ERROR_P | ERROR_U | ERROR_W | ERROR_PK);
    write_pkru(0);
    expect_access(&WRITE, PLACE, true, 0, NO_FAULT);
    test("RDPKRU");
    write_pkru(0x12345678);
    context = user_context(do_rdpkru);
    context.ip += USER_VIEW;
    context.dx = 5;
    run(&context, &event);
    write_pkru(0);
    expect_done(&event);
    expect(event.at.ax, 0x12345678);
    expect(event.at.dx, 0);
    test("RDPKRU: #GP with ECX");
    context.cx = 1;
    run(&context, &event);
    expect_event(&event, VECTOR_GP, 0, do_rdpkru_at + USER_VIEW);
    test("WRPKRU: #GP with EDX");
    context = kernel_context(do_wrpkru);
    context.dx = 1;
    run(&context, &event);
    expect_event(&event, VECTOR_GP, 0, do_wrpkru_at);
    write_cr4(cr4);
    test("keys do not count without CR4.PKE");
    fresh(PAGE_ALL | PAGE_KEY(KEY));
    expect_access(&WRITE, PLACE, true, 0, NO_FAULT);
    fresh(PAGE_ALL);
}

/* --- two pages, and faults in the midst */

CODE(64, do_rep_movs, ".globl do_rep_movs_at; do_rep_movs_at: rep movsb");
MARK(do_rep_movs_at);
CODE(64, do_rep_stos, ".globl do_rep_stos_at; do_rep_stos_at: rep stosq");
MARK(do_rep_stos_at);
CODE(64, do_rep_cmps, ".globl do_rep_cmps_at; do_rep_cmps_at: repe cmpsb");
MARK(do_rep_cmps_at);
CODE(64, do_push_rsp, "mov %rbx, %rsp; .globl do_push_rsp_at; do_push_rsp_at: push %rcx");
MARK(do_push_rsp_at);
CODE(64, do_call_rsp, "mov %rbx, %rsp; .globl do_call_rsp_at; do_call_rsp_at: call 1f; 1:");
MARK(do_call_rsp_at);
CODE(64, do_pop_mem, "push %rcx; .globl do_pop_mem_at; do_pop_mem_at: pop (%rbx)");
MARK(do_pop_mem_at);
CODE(64, do_enter, "mov %rbx, %rsp; mov $77, %ebp; .globl do_enter_at; do_enter_at: enter $0, $0");
MARK(do_enter_at);
CODE(64, do_xchg, ".globl do_xchg_at; do_xchg_at: xchg %rcx, (%rbx)");
MARK(do_xchg_at);
CODE(64, do_ud, "mov %rbx, %rsp; ud2");

static word fix_entry;
static unsigned fixed;

static void fix(struct frame *frame)
{
    (void)frame;
    *page_entry(fix_entry, 1) = (MEMORY + 0x1000) | PAGE_ALL;
    fixed++;
}

/* PLACE to MEMORY, the next page with these flags, and the stack of page faults elsewhere. */
static void two_pages(uint64_t first, uint64_t second)
{
    memory_set((void *)MEMORY, 0x11, 0x2000);
    fresh(PAGE_ALL);
    memory_set((void *)MEMORY, 0x11, 0x2000);
    *page_entry(PLACE, 1) = MEMORY | first;
    *page_entry(PLACE + 0x1000, 1) = (MEMORY + 0x1000) | second;
    flush_all();
}

static void crossing(void)
{
    static const word edge = PLACE + 0xffc, next = PLACE + 0x1000;
    static const struct access push_at = {do_push_rsp, do_push_rsp_at, false},
                               call_at = {do_call_rsp, do_call_rsp_at, false},
                               pop_at = {do_pop_mem, do_pop_mem_at, false},
                               enter_at = {do_enter, do_enter_at, false},
                               xchg_at = {do_xchg, do_xchg_at, false};
    test("crossing: both pages are there");
    two_pages(PAGE_ALL, PAGE_ALL);
    access(&WRITE, edge, false, 0);
    expect_done(&event);
    expect(*(volatile uint32_t *)(MEMORY + 0xffc), 0x55667788);
    expect(*(volatile uint32_t *)(MEMORY + 0x1000), 0x11223344);
    access(&READ, edge, false, 0);
    expect(event.at.ax, 0x1122334455667788);
    expect(*page_entry(next, 1) & (PAGE_A | PAGE_D), PAGE_A | PAGE_D);
    test("crossing: pages that are not neighbours in memory");
    *page_entry(next, 1) = LARGE | PAGE_ALL;
    *(volatile uint32_t *)LARGE = 0x99;
    invlpg((void *)next);
    access(&READ, edge, false, 0);
    expect(event.at.ax, 0x9955667788);
    access(&ADD, PLACE + 0xffe, false, 0);
    expect_done(&event);
    expect(*(volatile uint16_t *)(MEMORY + 0xffe), 0x5567);
    access(&LOCKED, PLACE + 0xffe, false, 0);
    expect_done(&event);
    expect(*(volatile uint32_t *)(LARGE), 0x99 + 0x5566);
    test("crossing: a read, the second page is missing");
    two_pages(PAGE_ALL, 0);
    access(&READ, edge, false, 0);
    expect_page_fault(&event, 0, do_read_at, next);
    test("crossing: a read, the first page is missing");
    two_pages(0, PAGE_ALL);
    access(&READ, edge, false, 0);
    expect_page_fault(&event, 0, do_read_at, edge);
    test("crossing: a read, both are missing");
    two_pages(0, 0);
    access(&READ, edge, false, 0);
    expect_page_fault(&event, 0, do_read_at, edge);
    test("crossing: a write, the second page is missing, nothing is written");
    two_pages(PAGE_ALL, 0);
    access(&WRITE, edge, false, 0);
    expect_page_fault(&event, ERROR_W, do_write_at, next);
    expect(*(volatile uint32_t *)(MEMORY + 0xffc), 0x11111111);
    test("crossing: a write, the second page is read-only");
    two_pages(PAGE_ALL, PAGE_P | PAGE_U);
    access(&WRITE, edge, true, 0);
    expect_page_fault(&event, ERROR_W | ERROR_P | ERROR_U, do_write_at + USER_VIEW, next);
    expect(*(volatile uint32_t *)(MEMORY + 0xffc), 0x11111111);
    test("crossing: read-modify-write, the second page is read-only");
    access(&ADD, PLACE + 0xffe, true, 0);
    expect_page_fault(&event, ERROR_W | ERROR_P | ERROR_U, do_add_at + USER_VIEW, next);
    expect(*(volatile uint16_t *)(MEMORY + 0xffe), 0x1111);
    test("crossing: LOCK, the second page is read-only");
    access(&LOCKED, PLACE + 0xffe, true, 0);
    expect_page_fault(&event, ERROR_W | ERROR_P | ERROR_U, do_locked_at + USER_VIEW, next);
    expect(event.at.cx, 0x1122334455667788);
    expect(*(volatile uint16_t *)(MEMORY + 0xffe), 0x1111);
    test("crossing: an instruction, the second page is missing");
    two_pages(PAGE_ALL, 0);
    *(volatile uint8_t *)(MEMORY + 0xffe) = 0xb8;
    access(&FETCH, PLACE + 0xffe, false, 0);
    expect_page_fault(&event, 0, (const char *)PLACE + 0xffe, next);
    test("crossing: an instruction, the second page may not be executed");
    wrmsr(MSR_EFER, rdmsr(MSR_EFER) | BIT(11));
    *page_entry(next, 1) = (MEMORY + 0x1000) | PAGE_ALL | PAGE_NX;
    flush_all();
    access(&FETCH, PLACE + 0xffe, true, 0);
    expect_page_fault(&event, ERROR_P | ERROR_U | ERROR_FETCH, (const char *)PLACE + 0xffe, next);
    wrmsr(MSR_EFER, rdmsr(MSR_EFER) & ~BIT(11));
    test("crossing: an instruction on pages that are not neighbours");
    two_pages(PAGE_ALL, PAGE_ALL);
    *page_entry(next, 1) = LARGE | PAGE_ALL;
    flush_all();
    *(volatile uint8_t *)(MEMORY + 0xffe) = 0xb8;
    *(volatile uint8_t *)(MEMORY + 0xfff) = 0x44;
    memory_copy((void *)LARGE, "\x33\x22\x11\xcd\x30", 5);
    access(&FETCH, PLACE + 0xffe, false, 0);
    expect_done(&event);
    expect(event.at.ax, 0x11223344);
    expect(event.at.ip, next + 5);
    test("crossing: a jump that ends at the page's end, the next is missing");
    two_pages(PAGE_ALL, 0);
    *(volatile uint8_t *)(MEMORY + 0xfff) = 0x90;
    access(&FETCH, PLACE + 0xfff, false, 0);
    expect_page_fault(&event, 0, (const char *)next, next);

    test("midst: PUSH leaves RSP");
    two_pages(0, PAGE_ALL);
    for (unsigned vector = 0; vector < 32; vector++) { /* the stack may be unusable: IST for all */
        set_gate(vector, GATE_INTERRUPT, KERNEL_CODE, (word)trap_entries + 16 * vector, 0, 2);
    }
    set_gate(DONE, GATE_INTERRUPT, KERNEL_CODE, (word)trap_entries + 16 * DONE, 3, 2);
    task_state.ist[1] = (word)trap_stack_end;
    access(&push_at, next, false, 0);
    expect_page_fault(&event, ERROR_W, do_push_rsp_at, next - 8);
    expect(event.at.sp, next);
    test("midst: PUSH across two pages");
    access(&push_at, next + 4, false, 0);
    expect_page_fault(&event, ERROR_W, do_push_rsp_at, next - 4);
    test("midst: CALL leaves RSP and RIP");
    access(&call_at, next, false, 0);
    expect_page_fault(&event, ERROR_W, do_call_rsp_at, next - 8);
    expect(event.at.sp, next);
    test("midst: ENTER leaves RSP and RBP");
    access(&enter_at, next, false, 0);
    expect_page_fault(&event, ERROR_W, do_enter_at, next - 8);
    expect(event.at.sp, next);
    expect(event.at.bp, 77);
    test("midst: POP to memory leaves RSP");
    access(&pop_at, PLACE, false, 0);
    expect_page_fault(&event, ERROR_W, do_pop_mem_at, PLACE);
    expect(event.at.sp, (word)low_stack_end - 8);
    test("midst: XCHG leaves its register");
    deviation("qemu: bit W is missing");
    access(&xchg_at, PLACE, false, 0);
    expect_page_fault(&event, ERROR_W, do_xchg_at, PLACE);
    expect(event.at.cx, 0x1122334455667788);
    default_gates();
    test("midst: an exception whose frame cannot be pushed ends as #DF");
    access(&(struct access){do_ud, NULL, false}, next, false, 0);
    expect_event(&event, VECTOR_DF, 0, NULL);

    test("midst: REP MOVSB");
    deviation("qemu: RF is not saved");
    two_pages(PAGE_ALL, 0);
    struct context context = kernel_context(do_rep_movs);
    context.si = 0x80000;
    context.di = next - 10;
    context.cx = 100;
    run(&context, &event);
    expect_page_fault(&event, ERROR_W, do_rep_movs_at, next);
    expect(event.at.cx, 90);
    expect(event.at.si, 0x8000a);
    expect(event.at.di, next);
    expect(event.at.flags & FLAG_RF, FLAG_RF);
    test("midst: REP MOVSB backwards");
    two_pages(0, PAGE_ALL);
    context.di = next + 9;
    context.flags |= FLAG_DF;
    run(&context, &event);
    expect_page_fault(&event, ERROR_W, do_rep_movs_at, next - 1);
    expect(event.at.cx, 90);
    expect(event.at.di, next - 1);
    test("midst: REP STOSQ whose element crosses");
    two_pages(PAGE_ALL, 0);
    context = kernel_context(do_rep_stos);
    context.di = next - 12;
    context.cx = 5;
    context.ax = 0x2222222222222222;
    run(&context, &event);
    expect_page_fault(&event, ERROR_W, do_rep_stos_at, next);
    expect(event.at.cx, 4);
    expect(event.at.di, next - 4);
    expect(*(volatile uint64_t *)(MEMORY + 0xff4), 0x2222222222222222);
    expect(*(volatile uint32_t *)(MEMORY + 0xffc), 0x11111111);
    test("midst: REPE CMPSB");
    two_pages(PAGE_ALL, 0);
    context = kernel_context(do_rep_cmps);
    context.si = PLACE;
    context.di = next - 7;
    context.cx = 50;
    run(&context, &event);
    expect_page_fault(&event, 0, do_rep_cmps_at, next);
    expect(event.at.cx, 43);
    test("midst: REP MOVSB goes on after the page was brought");
    two_pages(PAGE_ALL, 0);
    fix_entry = next;
    fixed = 0;
    trap_hook[VECTOR_PF] = fix;
    context = kernel_context(do_rep_movs);
    context.si = PLACE;
    context.di = next - 10;
    context.cx = 100;
    run(&context, &event);
    expect_done(&event);
    expect(event.at.cx, 0);
    expect(event.at.di, next + 90);
    expect(fixed, 1);
    expect(*(volatile uint8_t *)(MEMORY + 0x1059), 0x11);
    test("midst: a crossing add goes on after the page was brought");
    two_pages(PAGE_ALL, 0);
    *(volatile uint16_t *)(MEMORY + 0xffe) = 0xffff;
    access(&ADD, PLACE + 0xffe, false, 0);
    trap_hook[VECTOR_PF] = NULL;
    expect_done(&event);
    expect(*(volatile uint16_t *)(MEMORY + 0xffe), 0);
    expect(*(volatile uint16_t *)(MEMORY + 0x1000), 0x1112);
    expect(fixed, 2);
    fresh(PAGE_ALL);
}

void program(void)
{
    *page_entry(USER_VIEW, 2) = PAGE_ALL | PAGE_PS;
    *page_entry(0, 2) = PAGE_P | PAGE_W | PAGE_PS;
    flush_all();
    task_state.ist[0] = (word)double_stack_end;
    physical_bits = cpuid(0x80000008, 0).a & 0xff;
    rights();
    large_pages();
    accessed_and_dirty();
    flushes();
    process_contexts();
    supervisor_access();
    user_mode_instruction_prevention();
    protection_keys();
    crossing();
}
