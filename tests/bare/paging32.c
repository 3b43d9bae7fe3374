/* SPDX-License-Identifier: MIT
 *
 * Paging with 32-bit entries, PSE and PSE-36, and PAE with its four pointers (SDM vol. 3, 4.3
 * and 4.4).
 */
#include "runtime/bare.h"

enum { P = 1, W = 2, U = 4, A = 32, D = 64, PS = 128, G = 256 };
enum {
    DIRECTORY = 0x200000,
    TABLE = 0x201000,
    POINTERS = 0x202000,
    DIRECTORIES = 0x203000,
    TABLE_PAE = 0x207000,
    MEMORY = 0x600000,
    LARGE = 0x800000
};
/* Both kinds of tables map 4 GiB one to one in large pages, but for what lies around PLACE. The
 * first 2 MiB (4 MiB) are for user mode too. */
#define PLACE UINT32_C(0x50000000)

static struct event event;
static volatile uint32_t *const directory = (uint32_t *)DIRECTORY, *const table = (uint32_t *)TABLE;
static volatile uint64_t *const pointers = (uint64_t *)POINTERS,
                                *const directories = (uint64_t *)DIRECTORIES,
                                *const table_pae = (uint64_t *)TABLE_PAE;

CODE(32, do_read, ".globl do_read_at; do_read_at: mov (%ebx), %eax");
CODE(32, do_write, ".globl do_write_at; do_write_at: mov %ecx, (%ebx)");
CODE(32, do_fetch, "jmp *%ebx");
CODE(32, do_add, ".globl do_add_at; do_add_at: addl $1, (%ebx)");
MARK(do_read_at);
MARK(do_write_at);
MARK(do_add_at);
CODE(32, do_cr3, ".globl do_cr3_at; do_cr3_at: mov %ebx, %cr3");
MARK(do_cr3_at);
CODE(32, do_cr0, ".globl do_cr0_at; do_cr0_at: mov %ebx, %cr0");
MARK(do_cr0_at);

enum { NO_FAULT = 0xffff };
enum kind { READ, WRITE, FETCH, ADD };
static const char *const codes[] = {do_read, do_write, do_fetch, do_add};
static const char *const places[] = {do_read_at, do_write_at, (const char *)PLACE, do_add_at};

static void expect_access(enum kind kind, bool user, word error)
{
    struct context context = user ? user_context(codes[kind]) : kernel_context(codes[kind]);
    context.bx = PLACE;
    context.cx = 0x12345678;
    run(&context, &event);
    if (error == NO_FAULT) {
        expect_done(&event);
    } else {
        expect_page_fault(&event, error, places[kind], PLACE);
    }
}

static void fill(void)
{
    for (unsigned i = 0; i < 4096; i += 2) {
        *(volatile uint16_t *)(MEMORY + i) = DONE << 8 | 0xcd;
    }
}

static void set_with(const char *code, word value)
{
    struct context context = kernel_context(code);
    context.bx = value;
    run(&context, &event);
}

/* --- 32-bit entries */

static void on_32(void)
{
    for (unsigned i = 0; i < 1024; i++) {
        directory[i] = i << 22 | PS | W | P | (i ? 0 : U);
        table[i] = 0;
    }
    directory[PLACE >> 22] = TABLE | U | W | P;
    write_cr4(read_cr4() | CR4_PSE);
    write_cr3(DIRECTORY);
    write_cr0(read_cr0() | CR0_PG);
}

static void off(void)
{
    write_cr0(read_cr0() & ~(CR0_PG | CR0_WP));
    write_cr4(0);
}

static void entries_32(void)
{
    static const struct {
        const char *name;
        uint32_t pde, pte;
        bool user, write_protect;
        enum kind kind;
        word error;
    } rows[] = {
        {"32-bit: read", U | W | P, U | W | P, true, false, READ, NO_FAULT},
        {"32-bit: write", U | W | P, U | W | P, true, false, WRITE, NO_FAULT},
        {"32-bit: fetch", U | W | P, U | W | P, true, false, FETCH, NO_FAULT},
        {"32-bit: PTE not present", U | W | P, U | W, false, false, READ, 0},
        {"32-bit: PDE not present", U | W, U | W | P, true, false, WRITE, ERROR_U | ERROR_W},
        {"32-bit: fetch not present: bit I is clear", U | W | P, 0, true, false, FETCH, ERROR_U},
        {"32-bit: PTE read-only", U | W | P, U | P, true, false, WRITE,
         ERROR_U | ERROR_W | ERROR_P},
        {"32-bit: PDE read-only", U | P, U | W | P, true, false, ADD, ERROR_U | ERROR_W | ERROR_P},
        {"32-bit: read-only, supervisor without WP", U | P, U | P, false, false, WRITE, NO_FAULT},
        {"32-bit: read-only, supervisor with WP", U | W | P, U | P, false, true, WRITE,
         ERROR_W | ERROR_P},
        {"32-bit: PTE supervisor's", U | W | P, W | P, true, false, READ, ERROR_U | ERROR_P},
        {"32-bit: PDE supervisor's", W | P, U | W | P, true, false, FETCH, ERROR_U | ERROR_P},
        {"32-bit: bits 9 to 11 are ignored", U | W | P | 0xe00, U | W | P | 0xe00, true, false,
         WRITE, NO_FAULT},
    };
    on_32();
    for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        test(rows[i].name);
        fill();
        directory[PLACE >> 22] = TABLE | rows[i].pde;
        table[0] = MEMORY | rows[i].pte;
        write_cr3(DIRECTORY);
        write_cr0(read_cr0() | (rows[i].write_protect ? CR0_WP : 0));
        expect_access(rows[i].kind, rows[i].user, rows[i].error);
        write_cr0(read_cr0() & ~(word)CR0_WP);
    }
    test("32-bit: accessed and dirty");
    fill();
    directory[PLACE >> 22] = TABLE | U | W | P;
    table[0] = MEMORY | U | W | P;
    write_cr3(DIRECTORY);
    expect_access(READ, false, NO_FAULT);
    expect(directory[PLACE >> 22] & (A | D), A);
    expect(table[0] & (A | D), A);
    expect_access(WRITE, false, NO_FAULT);
    expect(directory[PLACE >> 22] & (A | D), A);
    expect(table[0] & (A | D), A | D);
    test("4 MiB: translation, accessed and dirty");
    *(volatile uint32_t *)0xc12344 = 0x4711;
    directory[PLACE >> 22] = 0xc00000 | PS | U | W | P;
    write_cr3(DIRECTORY);
    expect(*(volatile uint32_t *)(PLACE + 0x12344), 0x4711);
    expect(directory[PLACE >> 22] & (A | D), A);
    expect_access(WRITE, true, NO_FAULT);
    expect(directory[PLACE >> 22] & (A | D), A | D);
    expect(*(volatile uint32_t *)0xc00000, 0x12345678);
    test("4 MiB: bit 12 is PAT, bit 21 is reserved");
    deviation("qemu: bit P is missing");
    directory[PLACE >> 22] = 0xc00000 | PS | U | W | P | 1 << 12;
    write_cr3(DIRECTORY);
    expect_access(READ, true, NO_FAULT);
    directory[PLACE >> 22] = 0xc00000 | PS | U | W | P | 1 << 21;
    write_cr3(DIRECTORY);
    expect_access(READ, true, ERROR_P | ERROR_U | ERROR_RESERVED);
    test("PSE-36: bits 13 to 20 are bits 32 to 39 of the address");
    directory[PLACE >> 22] =
        0xc00000 | PS | U | W | P | 1 << 13; /* 1 00c0 0000: nothing is there */
    write_cr3(DIRECTORY);
    *(volatile uint32_t *)PLACE = 0x99;
    expect(*(volatile uint32_t *)0xc00000, 0x12345678);
    test("PS without CR4.PSE is ignored");
    directory[PLACE >> 22] = TABLE | PS | U | W | P;
    table[0] = MEMORY | U | W | P;
    off();
    /* Without large pages our own code needs a table, too. */
    static uint32_t low[1024] __attribute__((aligned(4096)));
    for (unsigned i = 0; i < 1024; i++) {
        low[i] = i << 12 | U | W | P;
    }
    directory[0] = (word)low | PS | U | W | P;
    fill();
    write_cr3(DIRECTORY);
    write_cr0(read_cr0() | CR0_PG);
    expect(*(volatile uint16_t *)PLACE, DONE << 8 | 0xcd);
    expect_access(FETCH, true, NO_FAULT);
    off();
    test("global entries");
    on_32();
    write_cr4(read_cr4() | CR4_PGE);
    table[0] = MEMORY | U | W | P | G;
    *(volatile uint32_t *)MEMORY = 1;
    *(volatile uint32_t *)(MEMORY + 0x1000) = 2;
    expect(*(volatile uint32_t *)PLACE, 1);
    table[0] = (MEMORY + 0x1000) | U | W | P | G;
    invlpg((void *)PLACE);
    expect(*(volatile uint32_t *)PLACE, 2);
    table[0] = MEMORY | U | W | P | G;
    write_cr4(read_cr4() & ~(word)CR4_PGE);
    expect(*(volatile uint32_t *)PLACE, 1);
    off();
    test("paging switched off and on");
    expect(*(volatile uint32_t *)MEMORY, 1);
    on_32();
    off();
}

/* --- PAE */

static void on_pae(void)
{
    memory_set((void *)POINTERS, 0, 0x1000);
    memory_set((void *)TABLE_PAE, 0, 0x1000);
    for (unsigned i = 0; i < 4; i++) {
        pointers[i] = (DIRECTORIES + i * 0x1000) | P;
    }
    for (unsigned i = 0; i < 2048; i++) {
        directories[i] = (uint64_t)i << 21 | PS | W | P | (i ? 0 : U);
    }
    directories[PLACE >> 21] = TABLE_PAE | U | W | P;
    write_cr4(read_cr4() | CR4_PAE);
    write_cr3(POINTERS);
    write_cr0(read_cr0() | CR0_PG);
}

static void entries_pae(void)
{
    static const struct {
        const char *name;
        uint64_t pde, pte;
        bool user, execute_disable;
        enum kind kind;
        word error;
        const char *deviation;
    } rows[] = {
        {"PAE: write", U | W | P, U | W | P, true, false, WRITE, NO_FAULT, NULL},
        {"PAE: PTE not present", U | W | P, 0, true, false, READ, ERROR_U, NULL},
        {"PAE: PDE not present, fetch with NXE", 0, U | W | P, true, true, FETCH,
         ERROR_U | ERROR_FETCH, NULL},
        {"PAE: read-only", U | W | P, U | P, true, false, WRITE, ERROR_U | ERROR_W | ERROR_P, NULL},
        {"PAE: supervisor's", U | W | P, W | P, true, false, READ, ERROR_U | ERROR_P, NULL},
        {"PAE: NX in the PTE", U | W | P, U | W | P | BIT(63), true, true, FETCH,
         ERROR_U | ERROR_FETCH | ERROR_P, NULL},
        {"PAE: NX in the PDE", U | W | P | BIT(63), U | W | P, false, true, FETCH,
         ERROR_FETCH | ERROR_P, NULL},
        {"PAE: NX, read", U | W | P, U | W | P | BIT(63), true, true, READ, NO_FAULT, NULL},
        {"PAE: NX is reserved without NXE", U | W | P, U | W | P | BIT(63), true, false, READ,
         ERROR_U | ERROR_P | ERROR_RESERVED, "qemu: bit P is missing"},
        {"PAE: bit 62 is reserved", U | W | P, U | W | P | BIT(62), true, true, READ,
         ERROR_U | ERROR_P | ERROR_RESERVED, "qemu: bit P is missing"},
        {"PAE: bit 51 of the PDE is reserved", U | W | P | BIT(51), U | W | P, false, false, READ,
         ERROR_P | ERROR_RESERVED, "qemu: bit P is missing"},
    };
    on_pae();
    for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        test(rows[i].name);
        if (rows[i].deviation) {
            deviation(rows[i].deviation);
        }
        fill();
        directories[PLACE >> 21] = TABLE_PAE | rows[i].pde;
        table_pae[0] = MEMORY | rows[i].pte;
        wrmsr(MSR_EFER, rows[i].execute_disable ? BIT(11) : 0);
        write_cr3(POINTERS);
        expect_access(rows[i].kind, rows[i].user, rows[i].error);
        wrmsr(MSR_EFER, 0);
    }
    test("PAE: 2 MiB, accessed and dirty");
    directories[PLACE >> 21] = LARGE | PS | U | W | P;
    write_cr3(POINTERS);
    *(volatile uint32_t *)(LARGE + 0x1234) = 0x4711;
    expect(*(volatile uint32_t *)(PLACE + 0x1234), 0x4711);
    expect(directories[PLACE >> 21] & (A | D), A);
    expect_access(WRITE, true, NO_FAULT);
    expect(directories[PLACE >> 21] & (A | D), A | D);
    test("PAE: the pointers are loaded with CR3, not when they are used");
    deviation("qemu: they are read when used");
    directories[PLACE >> 21] = TABLE_PAE | U | W | P;
    table_pae[0] = MEMORY | U | W | P;
    *(volatile uint32_t *)MEMORY = 0x1111;
    write_cr3(POINTERS);
    pointers[PLACE >> 30] = 0;
    invlpg((void *)PLACE);
    expect_access(READ, false, NO_FAULT);
    expect(event.at.ax, 0x1111);
    write_cr3(POINTERS);
    test("PAE: a pointer that is not present");
    expect_access(READ, true, ERROR_U);
    pointers[PLACE >> 30] = (DIRECTORIES + (PLACE >> 30) * 0x1000) | P;
    write_cr3(POINTERS);
    test("PAE: a pointer's accessed bit is not set");
    expect(pointers[PLACE >> 30], (DIRECTORIES + (PLACE >> 30) * 0x1000) | P);
    test("PAE: #GP by MOV to CR3 with a reserved bit in a pointer");
    deviation("qemu: not checked");
    pointers[3] |= 2;
    set_with(do_cr3, POINTERS);
    expect_event(&event, VECTOR_GP, 0, do_cr3_at);
    pointers[3] = (DIRECTORIES + 0x3000) | P | BIT(63);
    set_with(do_cr3, POINTERS);
    expect_event(&event, VECTOR_GP, 0, do_cr3_at);
    pointers[3] = (DIRECTORIES + 0x3000) | P;
    test("PAE: a pointer that is not present may have anything");
    pointers[2] = BIT(63) | 0x1e6;
    set_with(do_cr3, POINTERS);
    expect_done(&event);
    pointers[2] = (DIRECTORIES + 0x2000) | P;
    set_with(do_cr3, POINTERS);
    test("PAE: CR3 has 32 bytes of alignment");
    memory_copy((char *)POINTERS + 0x20, (void *)POINTERS, 32);
    set_with(do_cr3, POINTERS + 0x20);
    expect_done(&event);
    expect(*(volatile uint32_t *)PLACE, 0x1111);
    write_cr3(POINTERS);
    off();
    test("PAE: #GP by CR0.PG with a reserved bit in a pointer");
    deviation("qemu: not checked");
    pointers[1] |= 4;
    write_cr4(CR4_PAE);
    write_cr3(POINTERS);
    set_with(do_cr0, read_cr0() | CR0_PG);
    expect_event(&event, VECTOR_GP, 0, do_cr0_at);
    off();
}

/* SMEP and SMAP work here as well. */
static void supervisor(void)
{
    word smep = cpuid(7, 0).b >> 7 & 1 ? CR4_SMEP : 0,
         smap = cpuid(7, 0).b >> 20 & 1 ? CR4_SMAP : 0;
    test("32-bit: SMEP");
    on_32();
    directory[0] = PS | W | P;
    fill();
    table[0] = MEMORY | U | W | P;
    write_cr4(read_cr4() | smep);
    expect_access(FETCH, false, smep ? ERROR_P | ERROR_FETCH : NO_FAULT);
    write_cr4(read_cr4() & ~smep);
    test("32-bit: SMAP");
    write_cr4(read_cr4() | smap);
    expect_access(READ, false, smap ? ERROR_P : NO_FAULT);
    off();
    directory[0] |= U;
}

void program(void)
{
    entries_32();
    entries_pae();
    supervisor();
}
