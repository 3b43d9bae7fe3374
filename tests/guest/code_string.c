/* SPDX-License-Identifier: MIT
 *
 * String instructions: every width, both directions, overlapping, with and without REP, counts of
 * zero, 32-bit addresses, and faults in the middle, where the registers tell how far it came. */
#include <setjmp.h>
#include <ucontext.h>

#include "expect.h"

struct regs {
    uint64_t rax, rcx, rsi, rdi, flags;
};

#define STRING(instruction, r, backward)                                                           \
    __asm__ volatile("test %5, %5\n\tjz 9f\n\tstd\n\t9: " instruction                              \
                     "\n\tpushfq\n\tpop %4\n\tcld"                                                 \
                     : "+a"((r).rax), "+c"((r).rcx), "+S"((r).rsi), "+D"((r).rdi), "=r"((r).flags) \
                     : "r"(backward)                                                               \
                     : "memory", "cc")

enum { SIZE = 4 * EXPECT_PAGE };
static uint8_t *area, *model;

static void refill(void)
{
    static uint8_t pattern[SIZE];
    uint32_t x = 12345;
    for (int i = 0; i < SIZE && !pattern[SIZE - 1]; i++) {
        x = x * 1103515245 + 12345;
        pattern[i] = (uint8_t)(x >> 16 | (i == SIZE - 1));
    }
    memcpy(area, pattern, SIZE);
    memcpy(model, pattern, SIZE);
}

static void model_move(size_t to, size_t from, size_t count, int width, int step)
{
    for (size_t i = 0; i < count; i++) {
        uint64_t v = 0;
        memcpy(&v, model + from, (size_t)width);
        memcpy(model + to, &v, (size_t)width);
        to += (size_t)(step * width), from += (size_t)(step * width);
    }
}

#define MOVE(instruction, width)                                                                   \
    do {                                                                                           \
        for (int backward = 0; backward < 2; backward++) {                                         \
            for (int distance = -9; distance <= 9; distance++) {                                   \
                for (size_t count = 0; count < 40; count += count < 5 ? 1 : 11) {                  \
                    int step = backward ? -1 : 1;                                                  \
                    size_t from = 5000, to = (size_t)(5000 + distance);                            \
                    refill();                                                                      \
                    struct regs r = {                                                              \
                        .rcx = count, .rsi = (uintptr_t)area + from, .rdi = (uintptr_t)area + to}; \
                    STRING("rep " instruction, r, backward);                                       \
                    model_move(to, from, count, width, step);                                      \
                    EXPECT_SAME(r.rcx, 0);                                                         \
                    EXPECT_SAME(r.rsi - (uintptr_t)area, from + count * (size_t)(step * width));   \
                    EXPECT_SAME(r.rdi - (uintptr_t)area, to + count * (size_t)(step * width));     \
                    EXPECT(!memcmp(area + 4000, model + 4000, 2000));                              \
                }                                                                                  \
            }                                                                                      \
        }                                                                                          \
    } while (0)

static void moves(void)
{
    MOVE("movsb", 1);
    MOVE("movsw", 2);
    MOVE("movsl", 4);
    MOVE("movsq", 8);
    /* Large. */
    refill();
    struct regs r = {.rcx = 10000, .rsi = (uintptr_t)area, .rdi = (uintptr_t)area + 1};
    STRING("rep movsb", r, 0);
    model_move(1, 0, 10000, 1, 1);
    EXPECT(!memcmp(area, model, SIZE));
    /* Without REP, both directions. */
    refill();
    r = (struct regs){.rcx = 77, .rsi = (uintptr_t)area + 100, .rdi = (uintptr_t)area + 200};
    STRING("movsw", r, 1);
    EXPECT_SAME(r.rcx, 77);
    EXPECT_SAME(r.rsi, (uintptr_t)area + 98);
    EXPECT_SAME(r.rdi, (uintptr_t)area + 198);
    EXPECT(!memcmp(area + 200, model + 100, 2));
}

static void stores_and_loads(void)
{
    for (int backward = 0; backward < 2; backward++) {
        refill();
        struct regs r = {.rax = 0x1122334455667788, .rcx = 33, .rdi = (uintptr_t)area + 4096};
        STRING("rep stosl", r, backward);
        EXPECT_SAME(r.rdi - (uintptr_t)area, backward ? 4096 - 132 : 4096 + 132);
        for (int i = 0; i < 33; i++) {
            uint32_t v;
            memcpy(&v, area + 4096 + 4 * (backward ? -i : i), 4);
            EXPECT_SAME(v, 0x55667788);
        }
        r = (struct regs){.rax = ~0ull, .rcx = 3, .rsi = (uintptr_t)model + 64};
        STRING("rep lodsw", r, backward);
        uint16_t last;
        memcpy(&last, model + (backward ? 60 : 68), 2);
        EXPECT_SAME(r.rax, ~0xffffull | last);
        r = (struct regs){.rax = ~0ull, .rcx = 1, .rsi = (uintptr_t)model + 64};
        STRING("lodsl", r, backward);
        uint32_t word;
        memcpy(&word, model + 64, 4);
        EXPECT_SAME(r.rax, word);
    }
}

static void compares(void)
{
    refill();
    area[1000 + 57] ^= 1;
    struct regs r = {.rcx = 500, .rsi = (uintptr_t)area + 1000, .rdi = (uintptr_t)model + 1000};
    STRING("repe cmpsb", r, 0);
    EXPECT_SAME(r.rcx, 500 - 58);
    EXPECT_SAME(r.rsi, (uintptr_t)area + 1058);
    EXPECT(!(r.flags & 0x40));
    r = (struct regs){.rcx = 20, .rsi = (uintptr_t)area + 1050, .rdi = (uintptr_t)model + 1050};
    STRING("repe cmpsb", r, 1);
    EXPECT_SAME(r.rcx, 0);
    EXPECT(r.flags & 0x40);
    memset(area, 'a', 300);
    area[123] = 0;
    r = (struct regs){.rcx = ~0ull, .rdi = (uintptr_t)area};
    STRING("repne scasb", r, 0);
    EXPECT_SAME(r.rdi, (uintptr_t)area + 124);
    EXPECT_SAME(~r.rcx, 124);
    r = (struct regs){.rax = 'a' * 0x01010101u, .rcx = 75, .rdi = (uintptr_t)area};
    STRING("repe scasl", r, 0);
    EXPECT_SAME(r.rdi, (uintptr_t)area + 124);
    /* A count of zero changes nothing, flags too. */
    r = (struct regs){.rax = 1, .rdi = 1, .rsi = 1};
    STRING("repe cmpsq", r, 0);
    EXPECT(r.rdi == 1 && r.rsi == 1 && r.rcx == 0 && (r.flags & 0x40) == 0x40);
}

/* ECX, ESI, EDI: the upper halves are not part of the address, and end as zero. */
static void short_addresses(void)
{
    uint8_t *low = mmap(NULL, EXPECT_PAGE, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
    EXPECT_OR_END(low != MAP_FAILED);
    memcpy(low, "0123456789", 10);
    struct regs r = {.rcx = 0xabcd00000000000a,
                     .rsi = 0x1234567800000000 | (uintptr_t)low,
                     .rdi = 0x8765432100000000 | ((uintptr_t)low + 20)};
    STRING("addr32 rep movsb", r, 0);
    EXPECT(!memcmp(low + 20, "0123456789", 10));
    EXPECT_SAME(r.rcx, 0);
    EXPECT_SAME(r.rsi, (uintptr_t)low + 10);
    EXPECT_SAME(r.rdi, (uintptr_t)low + 30);
    munmap(low, EXPECT_PAGE);
}

/* --- faults in the middle */

static volatile uint64_t seen_rcx, seen_rsi, seen_rdi, seen_address, seen_instruction;
static uint8_t *opened;
static int faults;

/* The page becomes accessible; the instruction goes on where it was. */
static void on_fault(int signal, siginfo_t *info, void *opaque)
{
    const greg_t *regs = ((ucontext_t *)opaque)->uc_mcontext.gregs;
    (void)signal;
    faults++;
    seen_rcx = (uint64_t)regs[REG_RCX];
    seen_rsi = (uint64_t)regs[REG_RSI];
    seen_rdi = (uint64_t)regs[REG_RDI];
    seen_address = (uintptr_t)info->si_addr;
    const uint8_t *pc = (const uint8_t *)(uintptr_t)regs[REG_RIP];
    seen_instruction = (uint64_t)(pc[0] << 8 | pc[1]);
    EXPECT_OR_END(faults < 10 && mprotect(opened, EXPECT_PAGE, PROT_READ | PROT_WRITE) == 0);
}

static void faults_in_the_middle(void)
{
    struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO};
    sigaction(SIGSEGV, &action, NULL);
    uint8_t *end = area + 2 * EXPECT_PAGE;

    /* The source ends after 300 bytes. */
    refill();
    faults = 0, opened = end;
    mprotect(end, EXPECT_PAGE, PROT_NONE);
    struct regs r = {.rcx = 600, .rsi = (uintptr_t)end - 300, .rdi = (uintptr_t)area};
    STRING("rep movsb", r, 0);
    EXPECT_SAME(faults, 1);
    EXPECT_SAME(seen_rcx, 300);
    EXPECT_SAME(seen_rsi, (uintptr_t)end);
    EXPECT_SAME(seen_rdi, (uintptr_t)area + 300);
    EXPECT_SAME(seen_address, (uintptr_t)end);
    EXPECT_SAME(seen_instruction, 0xf3a4);
    EXPECT_SAME(r.rcx, 0);
    model_move(0, (size_t)(end - 300 - area), 600, 1, 1);
    EXPECT(!memcmp(area, model, 600));

    /* The target ends after 10 words and a half. */
    refill();
    faults = 0;
    mprotect(end, EXPECT_PAGE, PROT_READ);
    r = (struct regs){.rax = 0x0102030405060708, .rcx = 64, .rdi = (uintptr_t)end - 84};
    STRING("rep stosq", r, 0);
    EXPECT_SAME(faults, 1);
    EXPECT_SAME(seen_rcx, 54);
    EXPECT_SAME(seen_rdi, (uintptr_t)end - 4);
    EXPECT_SAME(r.rcx, 0);
    EXPECT_SAME(r.rdi, (uintptr_t)end - 84 + 512);

    /* Backwards out of the lower end. */
    refill();
    faults = 0, opened = end - EXPECT_PAGE;
    mprotect(opened, EXPECT_PAGE, PROT_NONE);
    r = (struct regs){.rcx = 100, .rsi = (uintptr_t)end + 29, .rdi = (uintptr_t)area + 1000};
    STRING("rep movsb", r, 1);
    EXPECT_SAME(faults, 1);
    EXPECT_SAME(seen_rcx, 70);
    EXPECT_SAME(seen_rsi, (uintptr_t)end - 1);
    EXPECT_SAME(seen_rdi, (uintptr_t)area + 970);

    /* A comparison that does not reach the bad page does not fault; one that does, faults there. */
    memset(area, 7, SIZE);
    faults = 0, opened = end;
    mprotect(end, EXPECT_PAGE, PROT_NONE);
    end[-5] = 8;
    r = (struct regs){.rax = 8, .rcx = 4096, .rdi = (uintptr_t)end - 100};
    STRING("repne scasb", r, 0);
    EXPECT_SAME(faults, 0);
    EXPECT_SAME(r.rdi, (uintptr_t)end - 4);
    r = (struct regs){.rax = 9, .rcx = 200, .rdi = (uintptr_t)end - 100};
    STRING("repne scasb", r, 0);
    EXPECT_SAME(faults, 1);
    EXPECT_SAME(seen_rcx, 100);
    EXPECT_SAME(seen_rdi, (uintptr_t)end);
    EXPECT_SAME(r.rcx, 0);
}

int main(void)
{
    alarm(60);
    area = expect_pages(SIZE / EXPECT_PAGE, PROT_READ | PROT_WRITE);
    model = expect_pages(SIZE / EXPECT_PAGE, PROT_READ | PROT_WRITE);
    moves();
    stores_and_loads();
    compares();
    short_addresses();
    faults_in_the_middle();
    return expect_done();
}
