/* SPDX-License-Identifier: MIT
 *
 * Tests of the test. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "compare.h"
#include "native.h"
#include "random.h"
#include "scratch.h"
#include "self_test.h"

static int failures;
static struct machine before;
static struct outcome after;

static void check(bool good, const char *what)
{
    if (good)
        return;
    printf("self-test: %s\n", what);
    failures++;
}

/* Runs these bytes in the high layout; what the state is before is `before`. */
static void run(const void *code, size_t size)
{
    unsigned pages;

    scratch_begin(SCRATCH_HIGH);
    before.rip = scratch_code(SCRATCH_HIGH, &pages) + 100;
    scratch_put(before.rip, code, size);
    scratch_reset();
    native_run(&before, &after);
}

static void fresh(struct random *r)
{
    random_machine(r, &before);
    before.vector[MACHINE_FCW] |= 0x3f;
    before.vector[MACHINE_FSW] &= 0x40;
    before.vector[MACHINE_FSW + 1] &= 0x7f;
}

static bool stopped(int signal, int code, uint64_t address, unsigned trap, unsigned error)
{
    return after.fault.signal == signal && after.fault.code == code &&
           after.fault.address == address && after.fault.trap == trap && after.fault.error == error;
}

static void known_results(struct random *r)
{
    uint64_t hole = scratch_address(r, SCRATCH_HIGH, SCRATCH_NOWHERE, 16) & ~UINT64_C(15);
    uint64_t good = scratch_address(r, SCRATCH_HIGH, SCRATCH_ALIGNED, 64);
    uint64_t read_only = scratch_address(r, SCRATCH_HIGH, SCRATCH_READ_ONLY, 8);
    uint64_t end = scratch_address(r, SCRATCH_HIGH, SCRATCH_BEYOND, 8);

    fresh(r);
    before.gpr[0] = 5, before.gpr[3] = 7;
    run("\x48\x01\xd8", 3); /* add rax, rbx */
    check(after.machine.gpr[0] == 12, "ADD: 5 + 7 is not 12");
    check((after.machine.flags & MACHINE_ARITH) == 4, "ADD: flags of 12");
    check(stopped(SIGTRAP, 0x80, 0, 3, 0), "INT3 behind the instruction: not the trap expected");
    check(after.machine.rip == before.rip + 4, "rip is not behind INT3");
    for (int i = 1; i < 16; i++)
        check(after.machine.gpr[i] == before.gpr[i], "ADD changed another register");
    check(memcmp(after.machine.vector, before.vector, MACHINE_MXCSR_MASK) == 0, "x87 or MXCSR");
    check(memcmp(after.machine.vector + MACHINE_XMM, before.vector + MACHINE_XMM, 256) == 0 &&
              memcmp(after.machine.vector + MACHINE_YMM, before.vector + MACHINE_YMM, 256) == 0,
          "vector registers did not come through");
    check(after.machine.fs_base == before.fs_base && after.machine.gs_base == before.gs_base,
          "segment bases did not come through");

    fresh(r);
    before.gpr[3] = 0;
    run("\x48\xf7\xf3", 3); /* div rbx */
    check(stopped(SIGFPE, FPE_INTDIV, before.rip, 0, 0), "division by zero");
    check(after.machine.rip == before.rip, "a fault's rip is not that of the instruction");

    before.gpr[3] = hole;
    run("\x48\x89\x03", 3); /* mov [rbx], rax */
    check(stopped(SIGSEGV, SEGV_MAPERR, hole, 14, 6), "store to no mapping");
    before.gpr[3] = read_only;
    run("\x48\x89\x03", 3);
    check(stopped(SIGSEGV, SEGV_ACCERR, read_only, 14, 7), "store to a read-only page");
    before.gpr[3] = end;
    run("\x48\x8b\x03", 3); /* mov rax, [rbx] */
    check(after.fault.signal == SIGBUS && after.fault.code == BUS_ADRERR, "end of the file");
    before.gpr[3] = good + 1;
    run("\x66\x0f\x6f\x03", 4); /* movdqa xmm0, [rbx] */
    check(stopped(SIGSEGV, 0x80, 0, 13, 0), "aligned load from an odd address");
    run("\x0f\x0b", 2); /* ud2 */
    check(stopped(SIGILL, ILL_ILLOPN, before.rip, 6, 0), "UD2");

    fresh(r);
    before.vector[MACHINE_FSW + 1] = 0;
    before.vector[MACHINE_FTW] = 0;
    run("\xd9\xe8", 2); /* fld1 */
    check(after.machine.vector[MACHINE_FTW] == 0x80, "FLD1: tag of the new register");
    check(memcmp(after.machine.vector + MACHINE_ST, "\0\0\0\0\0\0\0\x80\xff\x3f", 10) == 0,
          "FLD1: the value");

    before.gpr[3] = good, before.fs_base = 0;
    run("\x64\x48\xc7\x03\x34\x12\x00\x00", 8); /* mov qword fs:[rbx], 0x1234 */
    check(*scratch_writable(good) == 0x34, "store through FS");
}

static void random_results(struct random *r)
{
    static struct outcome again;
    uint8_t *a = malloc(scratch_kept()), *b = malloc(scratch_kept());
    struct compare_side first = {"first", &after, a}, second = {"second", &again, b};

    for (int i = 0; i < 200; i++) {
        random_machine(r, &before);
        before.gpr[3] = scratch_address(r, SCRATCH_HIGH, SCRATCH_ALIGNED, 8);
        run("\x48\x01\x03\x0f\x58\xc1", 6); /* add [rbx], rax; addps xmm0, xmm1 */
        scratch_keep(a);
        scratch_reset();
        native_run(&before, &again);
        scratch_keep(b);
        check(compare(&first, &second, 0) == 0, "the same twice is not the same");
    }
    free(a);
    free(b);
}

/* Each kind of difference, one bit each. */
static void planted(void)
{
    static struct outcome other;
    uint8_t *a = calloc(1, scratch_kept()), *b = calloc(1, scratch_kept());
    struct compare_side first = {"first", &after, a}, second = {"second", &other, b};

    for (size_t place = 0; place < sizeof other.machine.gpr; place++) {
        other = after;
        ((uint8_t *)other.machine.gpr)[place] ^= 1 << place % 8;
        check(compare(&first, &second, 0) == COMPARE_REGISTERS, "a bit of a register");
    }
    for (unsigned place = MACHINE_ST; place < MACHINE_XMM; place++) {
        other = after;
        other.machine.vector[place] ^= 1;
        check(compare(&first, &second, 0) == (place % 16 < 10 ? COMPARE_X87 : 0), "a bit of x87");
    }
    for (unsigned place = MACHINE_XMM; place < MACHINE_VECTOR_BYTES; place++) {
        other = after;
        other.machine.vector[place] ^= 0x80;
        check(compare(&first, &second, 0) ==
                  (place < MACHINE_UNUSED || place >= MACHINE_YMM ? COMPARE_VECTOR : 0),
              "a bit of a vector register");
    }
    other = after;
    other.machine.flags ^= 0x10;
    check(compare(&first, &second, 0) == COMPARE_FLAGS, "AF");
    check(compare(&first, &second, 0x10) == COMPARE_UNDEFINED, "AF where it is undefined");
    other.machine.flags ^= 1;
    check(compare(&first, &second, 0x10) == (COMPARE_FLAGS | COMPARE_UNDEFINED), "CF and AF");
    other = after;
    other.machine.rip++;
    check(compare(&first, &second, 0) == COMPARE_RIP, "rip");
    other = after;
    other.fault.error ^= 2;
    check(compare(&first, &second, 0) == COMPARE_FAULT, "the error code");
    other = after;
    other.machine.vector[MACHINE_FIP] ^= 2;
    check(compare(&first, &second, 0) == COMPARE_POINTERS, "FIP");
    b[scratch_kept() - 1] = 1;
    other = after;
    check(compare(&first, &second, 0) == COMPARE_MEMORY, "the last byte of memory");
    free(a);
    free(b);
}

int self_test(void)
{
    struct random r = random_stream(7, 0, 0);

    scratch_open();
    native_open();
    known_results(&r);
    random_results(&r);
    planted();
    printf("self-test: %d failures\n", failures);
    return failures > 0;
}
