/* SPDX-License-Identifier: MIT
 *
 * Helpers of the x86 guest beside the real CPU: the same state, the same instruction, all bytes
 * compared. The state goes through the CPU (XRSTOR, XSAVE) first, as the engine's does. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <x86intrin.h>

#include <cmocka.h>

#include "guest/x86/cpuid.h"
#include "guest/x86/helpers.h"
#include "guest/x86/registers.h"
#include "guest/x86/xstate.h"

enum { AREA = 1024, ROUNDS = 2000, PAGE = 4096 };

static uint64_t seed = 0x9e3779b97f4a7c15;

static uint64_t draw(void)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return seed;
}

static void draw_bytes(uint8_t *to, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        to[i] = (uint8_t)(draw() >> 32);
    }
}

/* --- the real CPU: load `state`, execute, store the state behind it to `after`, put ours back. */

typedef void native_fn(const uint8_t *state, uint8_t *area, uint64_t mask, uint8_t *after);

#define NATIVE(name, text)                                                               \
    static void name(const uint8_t *state, uint8_t *area, uint64_t mask, uint8_t *after) \
    {                                                                                    \
        _Alignas(64) uint8_t own[4096] = {0};                                            \
        __asm__ volatile(                                                                \
            "mov $7, %%eax\n"                                                            \
            "xor %%edx, %%edx\n"                                                         \
            "xsave64 %[own]\n"                                                           \
            "xrstor64 (%[state])\n"                                                      \
            "mov %[mask], %%rax\n"                                                       \
            "mov %[mask], %%rdx\n"                                                       \
            "shr $32, %%rdx\n" text "\n"                                                 \
            "mov $7, %%eax\n"                                                            \
            "xor %%edx, %%edx\n"                                                         \
            "xsave64 (%[after])\n"                                                       \
            "xrstor64 %[own]\n"                                                          \
            : [own] "+m"(own)                                                            \
            : [state] "r"(state), [area] "r"(area), [mask] "r"(mask), [after] "r"(after) \
            : "rax", "rdx", "memory");                                                   \
    }

NATIVE(native_nothing, "")
NATIVE(native_xsave64, "xsave64 (%[area])")
NATIVE(native_xsave, "xsave (%[area])")
NATIVE(native_xsaveopt64, "xsaveopt64 (%[area])")
NATIVE(native_xsavec64, "xsavec64 (%[area])")
NATIVE(native_xsavec, "xsavec (%[area])")
NATIVE(native_xrstor64, "xrstor64 (%[area])")
NATIVE(native_xrstor, "xrstor (%[area])")
NATIVE(native_fxsave64, "fxsave64 (%[area])")
NATIVE(native_fxsave, "fxsave (%[area])")
NATIVE(native_fnstenv, "fnstenv (%[area])")
NATIVE(native_fnstenv16, ".byte 0x66\nfnstenv (%[area])")
NATIVE(native_fnsave, "fnsave (%[area])")
NATIVE(native_fnsave16, ".byte 0x66\nfnsave (%[area])")

/* Bytes with the address in RDI. */
static const struct operation {
    const char *name;
    native_fn *native;
    uint8_t bytes[4];
} operations[] = {
    {"xsave64", native_xsave64, {0x48, 0x0f, 0xae, 0x27}},
    {"xsave", native_xsave, {0x0f, 0xae, 0x27}},
    {"xsaveopt64", native_xsaveopt64, {0x48, 0x0f, 0xae, 0x37}},
    {"xsaveopt64", native_xsaveopt64, {0x4c, 0x0f, 0xae, 0x37}}, /* REX.R means nothing */
    {"xsavec64", native_xsavec64, {0x48, 0x0f, 0xc7, 0x27}},
    {"xsavec", native_xsavec, {0x0f, 0xc7, 0x27}},
    {"xrstor64", native_xrstor64, {0x48, 0x0f, 0xae, 0x2f}},
    {"xrstor", native_xrstor, {0x0f, 0xae, 0x2f}},
    {"fxsave64", native_fxsave64, {0x48, 0x0f, 0xae, 0x07}},
    {"fxsave", native_fxsave, {0x0f, 0xae, 0x07}},
    {"fnstenv", native_fnstenv, {0xd9, 0x37}},
    {"fnstenv16", native_fnstenv16, {0x66, 0xd9, 0x37}},
    {"fnsave", native_fnsave, {0xdd, 0x37}},
    {"fnsave16", native_fnsave16, {0x66, 0xdd, 0x37}},
};

static const struct x86_model *model;
static struct x86_cpu cpu;
_Alignas(64) static uint8_t area[2 * AREA], area_native[2 * AREA];
_Alignas(64) static uint8_t after[PAGE], through[PAGE];

static void reset(void)
{
    memset(&cpu, 0, sizeof cpu);
    cpu.model = model;
    cpu.xcr0 = model->xcr0;
    cpu.segment[NATIVE_CS] = 0x33;
    cpu.segment[NATIVE_SS] = 0x2b;
    x86_xstate_reset(cpu.state.vector);
    cpu.state.pc = 0x401000;
    x86_set_rflags(&cpu, 0);
}

/* Decodes and executes; false with the fault. */
static bool execute(const uint8_t *bytes, size_t size, struct x86_fault *fault)
{
    struct x86_insn insn;

    assert_int_equal(x86_decode(X86_MODE_64, &model->features, bytes, size, cpu.state.pc, &insn),
                     X86_DECODE_OK);
    assert_int_equal(insn.length, size);
    assert_non_null(x86_helpers[insn.lowering]);
    uint64_t pc = cpu.state.pc;
    bool done = x86_helpers[insn.lowering](&cpu, &insn, fault);
    if (!done) {
        assert_true(cpu.state.pc == pc);
    }
    return done;
}

#define EXECUTE(fault, ...) \
    execute((const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}), fault)

static size_t length_of(const struct operation *op)
{
    return (op->bytes[0] & 0xf8) == 0x48 ? 4 : op->bytes[0] == 0x0f || op->bytes[0] == 0x66 ? 3 : 2;
}

/* A state with everything random that can be, each component initial in a quarter of the cases. */
static void draw_state(uint8_t *image)
{
    uint64_t bv = (draw() | draw()) & 7;
    uint32_t mxcsr = (uint32_t)draw() & model->mxcsr_mask;

    memset(image, 0, X86_XSTATE_SIZE);
    draw_bytes(image, 512);
    draw_bytes(image + X86_XSTATE_YMM, 256);
    for (int i = 0; i < 8; i++) {
        uint8_t *st = image + X86_XSTATE_ST + 16 * i;
        switch (draw() % 6) {
        case 0: memset(st, 0, 10); break;
        case 1: st[8] = st[9] = 0; break;
        case 2: st[8] = 0xff, st[9] = 0x7f; break;
        case 3: st[7] |= 0x80; break;
        }
    }
    if (draw() % 4 == 0) {
        mxcsr = X86_MXCSR_INIT;
    }
    if (draw() % 2) { /* no exception pending */
        image[X86_XSTATE_FCW] |= 0x3f;
    }
    memset(image + X86_XSTATE_FIP + 6, 0, 2); /* canonical pointers */
    memset(image + X86_XSTATE_FDP + 6, 0, 2);
    image[X86_XSTATE_FIP + 5] &= 0x7f;
    image[X86_XSTATE_FDP + 5] &= 0x7f;
    memcpy(image + X86_XSTATE_MXCSR, &mxcsr, 4);
    memcpy(image + X86_XSTATE_HEADER, &bv, 8);
}

/* The first byte that differs, or `size`. */
static size_t difference(const uint8_t *ours, const uint8_t *theirs, size_t size)
{
    size_t i = 0;

    while (i < size && ours[i] == theirs[i]) {
        i++;
    }
    return i;
}

static void same_bytes(const char *what, const uint8_t *ours, const uint8_t *theirs, size_t size)
{
    size_t i = difference(ours, theirs, size);

    if (i < size) {
        fail_msg("%s: byte %zu is %02x, the CPU has %02x", what, i, ours[i], theirs[i]);
    }
}

/* What the CPU makes of the state in the record. */
static void pass_through(uint8_t *image, uint8_t *to)
{
    memset(to, 0, X86_XSTATE_SIZE);
    native_nothing(image, NULL, 0, to);
}

struct round {
    uint8_t state[X86_XSTATE_SIZE], area[AREA];
    uint64_t mask;
};

static void draw_round(const struct operation *op, struct round *round)
{
    round->mask = draw() % 4 ? (draw() & 7) | (draw() & ~UINT64_C(0x3ff)) : 7;
    draw_state(round->state);
    if (strncmp(op->name, "xrstor", 6) != 0) {
        draw_bytes(round->area, AREA);
        return;
    }
    draw_state(round->area);
    if (draw() % 2) { /* compacted */
        uint64_t xcomp = x86_xstate_bv(round->area) | (draw() & 7) | UINT64_C(1) << 63;
        memcpy(round->area + X86_XSTATE_HEADER + 8, &xcomp, 8);
    }
}

/* Ours and the CPU's; true if all bytes are the same. The guest has fewer components than the host
 * has switched on: bits of the mask that only the host knows do nothing for the guest. */
static bool try_round(const struct operation *op, const struct round *round)
{
    struct x86_fault fault;

    reset();
    memcpy(area, round->area, AREA);
    memcpy(area_native, round->area, AREA);
    memcpy(cpu.state.vector, round->state, X86_XSTATE_SIZE);
    pass_through(cpu.state.vector, through);
    memcpy(cpu.state.vector, through, X86_XSTATE_SIZE);
    op->native(through, area_native, round->mask & 7, after);
    cpu.state.reg[X86_RDI] = (uintptr_t)area;
    cpu.state.reg[X86_RAX] = (uint32_t)round->mask;
    cpu.state.reg[X86_RDX] = round->mask >> 32;
    if (!execute(op->bytes, length_of(op), &fault)) {
        fail_msg("%s: exception %u", op->name, fault.vector);
    }
    assert_true(cpu.state.pc == 0x401000 + length_of(op));
    pass_through(cpu.state.vector, through);
    return difference(area, area_native, AREA) == AREA &&
           difference(through, after, X86_XSTATE_SIZE) == X86_XSTATE_SIZE;
}

/* Where the system switches threads between the CPU's load and store, a component can count as in
 * use afterwards that did not before: such a round is tried again. */
static void stores_as_the_cpu_does(void **state)
{
    (void)state;
    for (size_t o = 0; o < sizeof operations / sizeof *operations; o++) {
        const struct operation *op = &operations[o];
        for (int i = 0; i < ROUNDS; i++) {
            struct round round = {.mask = 0};
            bool same = false;
            draw_round(op, &round);
            for (int attempt = 0; attempt < 5 && !same; attempt++) {
                same = try_round(op, &round);
            }
            if (!same) {
                same_bytes(op->name, area, area_native, AREA);
                same_bytes(op->name, through, after, X86_XSTATE_SIZE);
            }
        }
    }
}

/* --- faults, natively through a signal */

static sigjmp_buf fault_jump;
static volatile long fault_error, fault_trap;

static void on_fault(int signal, siginfo_t *info, void *context)
{
    const ucontext_t *uc = context;

    (void)signal;
    (void)info;
    fault_error = uc->uc_mcontext.gregs[REG_ERR];
    fault_trap = uc->uc_mcontext.gregs[REG_TRAPNO];
    siglongjmp(fault_jump, 1);
}

static void catch_faults(bool on)
{
    struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_NODEFER};

    if (!on) {
        action = (struct sigaction){.sa_handler = SIG_DFL};
    }
    sigaction(SIGSEGV, &action, NULL);
    sigaction(SIGBUS, &action, NULL);
}

/* True if the CPU takes the area. */
__attribute__((noinline)) static bool native_loads(const uint8_t *state, uint8_t *from,
                                                   uint64_t mask)
{
    volatile bool done = false;

    catch_faults(true);
    if (!sigsetjmp(fault_jump, 1)) {
        native_xrstor64(state, from, mask, after);
        done = true;
    }
    catch_faults(false);
    return done;
}

/* True if the CPU takes the selector; else fault_error. */
__attribute__((noinline)) static bool native_selects(unsigned selector, bool stack)
{
    volatile bool done = false;

    catch_faults(true);
    if (!sigsetjmp(fault_jump, 1)) {
        if (stack) {
            __asm__ volatile("mov %0, %%ss" : : "r"(selector));
        } else {
            __asm__ volatile("mov %0, %%es" : : "r"(selector));
        }
        done = true;
    }
    catch_faults(false);
    __asm__ volatile("mov %0, %%es" : : "r"(0));
    return done;
}

/* Bits set in the header and MXCSR one by one: XRSTOR faults exactly where the CPU does. */
static void xrstor_checks_what_the_cpu_checks(void **state)
{
    (void)state;
    _Alignas(64) static uint8_t initial[X86_XSTATE_SIZE];
    unsigned faults = 0;

    x86_xstate_reset(initial);
    for (unsigned bit = 0; bit < 64 * 8 + 32; bit++) {
        for (unsigned variant = 0; variant < 16; variant++) {
            uint64_t mask = variant & 7;
            bool compact = variant & 8;
            uint64_t header[2] = {3, compact ? 7 | UINT64_C(1) << 63 : 0};
            struct x86_fault fault;

            /* Components that only the host has switched on, the guest not. */
            unsigned in_word = bit % 64;
            if (bit < 128 && in_word > 2 && in_word < 63) {
                uint32_t low, high;
                __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
                if (((uint64_t)high << 32 | low) >> in_word & 1) {
                    continue;
                }
            }
            x86_xstate_reset(area);
            memset(area + X86_XSTATE_SIZE, 0, 64);
            memcpy(area + X86_XSTATE_HEADER, header, sizeof header);
            if (bit < 512) {
                area[X86_XSTATE_HEADER + bit / 8] ^= (uint8_t)(1 << bit % 8);
            } else {
                area[X86_XSTATE_MXCSR + (bit - 512) / 8] ^= (uint8_t)(1 << bit % 8);
            }
            bool native = native_loads(initial, area, mask);
            reset();
            cpu.state.reg[X86_RDI] = (uintptr_t)area;
            cpu.state.reg[X86_RAX] = mask;
            if (EXECUTE(&fault, 0x48, 0x0f, 0xae, 0x2f) != native) {
                fail_msg("bit %u, mask %u, compact %d: the CPU %s", bit, (unsigned)mask, compact,
                         native ? "loads it" : "raises #GP");
            }
            if (!native) {
                assert_int_equal(fault.vector, X86_VECTOR_GP);
                assert_int_equal(fault.error, 0);
                assert_int_equal(fault_trap, X86_VECTOR_GP);
                faults++;
            }
        }
    }
    assert_true(faults > 100);
}

static void alignment_is_checked(void **state)
{
    (void)state;
    struct x86_fault fault;

    reset();
    cpu.state.reg[X86_RAX] = 7;
    cpu.state.reg[X86_RDI] = (uintptr_t)area + 32;
    assert_false(EXECUTE(&fault, 0x0f, 0xae, 0x27));
    assert_int_equal(fault.vector, X86_VECTOR_GP);
    assert_false(EXECUTE(&fault, 0x0f, 0xae, 0x2f));
    assert_int_equal(fault.vector, X86_VECTOR_GP);
    cpu.state.reg[X86_RDI] = (uintptr_t)area + 8;
    assert_false(EXECUTE(&fault, 0x0f, 0xae, 0x07));
    assert_int_equal(fault.vector, X86_VECTOR_GP);
    cpu.state.reg[X86_RDI] = (uintptr_t)area + 16;
    assert_true(EXECUTE(&fault, 0x0f, 0xae, 0x07));
}

/* A page that cannot be written behind one that can: a page fault there and no store before it. */
static void pages_are_checked_before_the_first_store(void **state)
{
    (void)state;
    uint8_t *pages =
        mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    static const struct {
        uint8_t bytes[4];
        unsigned before; /* bytes of the first page */
    } stores[] = {
        {{0x48, 0x0f, 0xae, 0x27}, 128},
        {{0x48, 0x0f, 0xc7, 0x27}, 576},
        {{0x48, 0x0f, 0xae, 0x07}, 128},
        {{0x26, 0x2e, 0xd9, 0x37}, 16},
    };
    struct x86_fault fault;

    assert_true(pages != MAP_FAILED);
    memset(pages, 0x5a, PAGE);
    for (int protection = 0; protection < 2; protection++) {
        mprotect(pages + PAGE, PAGE, protection ? PROT_READ : PROT_NONE);
        for (size_t i = 0; i < sizeof stores / sizeof *stores; i++) {
            reset();
            draw_bytes(cpu.state.vector, 512);
            x86_xstate_set_mxcsr(cpu.state.vector, X86_MXCSR_INIT);
            cpu.state.vector[X86_XSTATE_HEADER] = 7;
            cpu.state.vector[X86_XSTATE_YMM] = 1;
            cpu.state.reg[X86_RAX] = 7;
            cpu.state.reg[X86_RDI] = (uintptr_t)pages + PAGE - stores[i].before;
            assert_false(execute(stores[i].bytes, 4, &fault));
            assert_int_equal(fault.vector, X86_VECTOR_PF);
            /* which byte of the page is the processor's choice: AMD looks at the last one first */
            assert_in_range(fault.address, (uintptr_t)pages + PAGE,
                            (uintptr_t)pages + 2 * PAGE - 1);
            assert_true(fault.has_error);
            assert_int_equal(fault.error,
                             X86_PF_USER | X86_PF_WRITE | (protection ? X86_PF_PRESENT : 0));
            for (unsigned b = 0; b < PAGE; b++) {
                assert_int_equal(pages[b], 0x5a);
            }
        }
    }
    munmap(pages, 2 * PAGE);
    reset();
    cpu.state.reg[X86_RDI] = UINT64_C(0x800000000000);
    assert_false(EXECUTE(&fault, 0xd9, 0x37));
    assert_int_equal(fault.vector, X86_VECTOR_GP);
    cpu.state.reg[X86_RSP] = UINT64_C(0x800000000000);
    assert_false(EXECUTE(&fault, 0x9d));
    assert_int_equal(fault.vector, X86_VECTOR_SS);
}

static uint64_t shift_pc(void *opaque, uint64_t host_pc)
{
    return host_pc - 0x1000 * *(unsigned *)opaque;
}

static void instruction_pointers_are_the_guests(void **state)
{
    (void)state;
    unsigned pages = 3;
    struct x86_memory_access memory = x86_direct_memory;
    struct x86_fault fault;
    uint64_t fip;
    uint32_t fip32;

    reset();
    memory.opaque = &pages;
    memory.guest_pc = shift_pc;
    cpu.memory = &memory;
    x86_xstate_set_word(cpu.state.vector, X86_XSTATE_FCW, 0x340);
    x86_xstate_set_word(cpu.state.vector, X86_XSTATE_FSW, 0x8084); /* division by 0 is pending */
    x86_xstate_set_pointer(cpu.state.vector, X86_XSTATE_FIP, 0x7f0000005000);
    cpu.state.reg[X86_RAX] = 7;
    cpu.state.reg[X86_RDI] = (uintptr_t)area;
    static const uint8_t stores[3][4] = {
        {0x48, 0x0f, 0xae, 0x27}, {0x48, 0x0f, 0xc7, 0x27}, {0x48, 0x0f, 0xae, 0x07}};
    for (int i = 0; i < 3; i++) {
        memset(area, 0, AREA);
        assert_true(execute(stores[i], 4, &fault));
        memcpy(&fip, area + X86_XSTATE_FIP, 8);
        assert_true(fip == 0x7f0000002000);
    }
    assert_true(EXECUTE(&fault, 0xd9, 0x37));
    memcpy(&fip32, area + 12, 4);
    assert_int_equal(fip32, 0x2000);
}

static void xgetbv_tells_components_in_use(void **state)
{
    (void)state;
    struct x86_fault fault;

    reset();
    assert_true(EXECUTE(&fault, 0x0f, 0x01, 0xd0));
    assert_true(cpu.state.reg[X86_RAX] == model->xcr0);
    cpu.state.reg[X86_RCX] = 1;
    assert_true(EXECUTE(&fault, 0x0f, 0x01, 0xd0));
    assert_int_equal(cpu.state.reg[X86_RAX], 0);
    x86_xstate_set_ymm_high(cpu.state.vector, 3, (const uint8_t[16]){1});
    assert_true(EXECUTE(&fault, 0x0f, 0x01, 0xd0));
    assert_int_equal(cpu.state.reg[X86_RAX], 4 & model->xcr0);
    x86_xstate_set_mxcsr(cpu.state.vector, 0x1fa0);
    assert_true(EXECUTE(&fault, 0x0f, 0x01, 0xd0));
    assert_int_equal(cpu.state.reg[X86_RAX], 6 & model->xcr0);
    cpu.state.reg[X86_RCX] = 2;
    assert_false(EXECUTE(&fault, 0x0f, 0x01, 0xd0));
    assert_int_equal(fault.vector, X86_VECTOR_GP);
}

/* --- flags */

/* POPF of `value` on top of `start`; what PUSHF says then. No red zone: the stack is used. */
__attribute__((noinline)) static uint64_t native_popf(uint64_t start, uint64_t value, bool words)
{
    uint64_t result;

    __asm__ volatile("lea -256(%%rsp), %%rsp\n"
                     "pushfq\n"
                     "push %[start]\n"
                     "popfq\n"
                     "push %[value]\n"
                     "test %[words], %[words]\n" /* the start's flags are not of interest beside */
                     "jnz 1f\n"
                     "push %[start]\n"
                     "popfq\n"
                     "popfq\n"
                     "jmp 2f\n"
                     "1: push %[start]\n"
                     "popfq\n"
                     "popfw\n"
                     "lea 6(%%rsp), %%rsp\n"
                     "2: pushfq\n"
                     "pop %[result]\n"
                     "popfq\n"
                     "lea 256(%%rsp), %%rsp\n"
                     : [result] "=&r"(result)
                     : [start] "r"(start), [value] "r"(value), [words] "r"((uint64_t)words)
                     : "cc", "memory");
    return result;
}

static void flags_are_popped_as_the_cpu_does(void **state)
{
    (void)state;
    _Alignas(16) uint64_t stack[4];
    struct x86_fault fault;

    for (int round = 0; round < ROUNDS; round++) {
        bool words = draw() & 1;
        uint64_t keep = ~(uint64_t)(X86_FLAG_TF | X86_FLAG_NT); /* not set natively for long */
        uint64_t start = draw() & 0x240dd5 & keep & ~(uint64_t)X86_FLAG_AC, value = draw() & keep;

        reset();
        x86_set_rflags(&cpu, start);
        stack[1] = value;
        cpu.state.reg[X86_RSP] = (uintptr_t)&stack[1];
        if (words) {
            assert_true(EXECUTE(&fault, 0x66, 0x9d));
            assert_true(cpu.state.reg[X86_RSP] == (uintptr_t)&stack[1] + 2);
            cpu.state.reg[X86_RSP] += 6;
        } else {
            assert_true(EXECUTE(&fault, 0x9d));
        }
        assert_true(EXECUTE(&fault, 0x9c));
        assert_true(cpu.state.reg[X86_RSP] == (uintptr_t)&stack[1]);
        uint64_t native = native_popf(start, value, words);
        if (stack[1] != native) {
            fail_msg("popf%s of %lx on %lx: %lx, the CPU has %lx", words ? "w" : "q", value, start,
                     stack[1], native);
        }
    }
    reset();
    stack[1] = X86_FLAG_TF | X86_FLAG_NT | X86_FLAG_AC | X86_FLAG_ID | NATIVE_DF;
    cpu.state.reg[X86_RSP] = (uintptr_t)&stack[1];
    assert_true(EXECUTE(&fault, 0x9d));
    assert_int_equal(cpu.system_flags, X86_FLAGS_SYSTEM);
    assert_true(cpu.state.flags & NATIVE_DF);
}

/* --- segments */

static void selectors_load_as_on_the_cpu(void **state)
{
    (void)state;
    struct x86_fault fault;

    for (unsigned selector = 0; selector < 0x400; selector++) {
        bool stack = native_selects(selector, true);
        assert_true(stack || fault_error == (selector & 0xfffc));
        bool data = native_selects(selector, false);
        reset();
        cpu.state.other_base = 0x1234;
        cpu.state.reg[X86_RAX] = 0xabcd0000 | selector;
        if (EXECUTE(&fault, 0x8e, 0xe8) != data) { /* mov gs, eax */
            fail_msg("selector %x", selector);
        }
        if (data) {
            assert_int_equal(cpu.segment[NATIVE_GS], selector);
            assert_int_equal(cpu.state.other_base, 0);
            assert_true(EXECUTE(&fault, 0x8c, 0xe9)); /* mov ecx, gs */
            assert_int_equal(cpu.state.reg[X86_RCX], selector);
        } else {
            assert_int_equal(fault.vector, X86_VECTOR_GP);
            assert_int_equal(fault.error, fault_error);
            assert_int_equal(cpu.segment[NATIVE_GS], 0);
            assert_int_equal(cpu.state.other_base, 0x1234);
        }
        assert_int_equal(EXECUTE(&fault, 0x8e, 0xd0), stack); /* mov ss, eax */
    }
}

static void segments_move_through_memory_and_stack(void **state)
{
    (void)state;
    struct x86_fault fault;
    _Alignas(16) uint64_t stack[4] = {0, 0, 0xffff00000000002b, 0};

    reset();
    cpu.state.thread_base = 0x7000;
    cpu.state.reg[X86_RSP] = (uintptr_t)&stack[2];
    assert_true(EXECUTE(&fault, 0x0f, 0xa1)); /* pop fs */
    assert_int_equal(cpu.segment[NATIVE_FS], 0x2b);
    assert_int_equal(cpu.state.thread_base, 0);
    assert_true(cpu.state.reg[X86_RSP] == (uintptr_t)&stack[3]);
    assert_true(EXECUTE(&fault, 0x0f, 0xa0)); /* push fs */
    assert_true(stack[2] == 0x2b);
    stack[0] = ~UINT64_C(0);
    cpu.state.reg[X86_RDI] = (uintptr_t)stack;
    assert_true(EXECUTE(&fault, 0x48, 0x8c, 0x0f)); /* mov [rdi], cs: 2 bytes */
    assert_true(stack[0] == 0xffffffffffff0033);
    cpu.state.reg[X86_RAX] = ~UINT64_C(0);
    assert_true(EXECUTE(&fault, 0x66, 0x8c, 0xc8)); /* mov ax, cs */
    assert_true(cpu.state.reg[X86_RAX] == 0xffffffffffff0033);
    assert_true(EXECUTE(&fault, 0x48, 0x8c, 0xc8)); /* mov rax, cs */
    assert_true(cpu.state.reg[X86_RAX] == 0x33);
    memcpy((uint8_t *)stack + 4, &(uint16_t){0x2b}, 2);
    assert_true(EXECUTE(&fault, 0x0f, 0xb2, 0x07)); /* lss eax, [rdi] */
    assert_true(cpu.state.reg[X86_RAX] == 0xffff0033);
    assert_int_equal(cpu.segment[NATIVE_SS], 0x2b);
}

static void bases_are_read_and_written(void **state)
{
    (void)state;
    struct x86_fault fault;

    assert_true(x86_has(&model->features, X86_FEATURE_FSGSBASE)); /* vitrine-user needs it too */
    reset();
    cpu.state.reg[X86_RAX] = 0x123456789abc;
    assert_true(EXECUTE(&fault, 0xf3, 0x48, 0x0f, 0xae, 0xd0)); /* wrfsbase rax */
    assert_true(cpu.state.thread_base == 0x123456789abc);
    assert_true(EXECUTE(&fault, 0xf3, 0x0f, 0xae, 0xd8)); /* wrgsbase eax */
    assert_true(cpu.state.other_base == 0x56789abc);
    assert_true(EXECUTE(&fault, 0xf3, 0x48, 0x0f, 0xae, 0xc9)); /* rdgsbase rcx */
    assert_true(cpu.state.reg[X86_RCX] == 0x56789abc);
    assert_true(EXECUTE(&fault, 0xf3, 0x0f, 0xae, 0xc1)); /* rdfsbase ecx */
    assert_true(cpu.state.reg[X86_RCX] == 0x56789abc);
    cpu.state.reg[X86_RAX] = UINT64_C(1) << 47;
    assert_false(EXECUTE(&fault, 0xf3, 0x48, 0x0f, 0xae, 0xd0));
    assert_int_equal(fault.vector, X86_VECTOR_GP);
    assert_true(cpu.state.thread_base == 0x123456789abc);
}

static void far_transfers_stay_in_the_mode(void **state)
{
    (void)state;
    struct x86_fault fault;
    _Alignas(16) uint64_t stack[16] = {0};
    uint64_t *top = &stack[8];

    reset();
    top[0] = 0x402000, top[1] = 0x33, top[2] = 0x8d5 | X86_FLAG_ID, top[3] = 0x7ffff000,
    top[4] = 0x2b;
    cpu.state.reg[X86_RSP] = (uintptr_t)top;
    assert_true(EXECUTE(&fault, 0x48, 0xcf)); /* iretq */
    assert_true(cpu.state.pc == 0x402000);
    assert_true(cpu.state.reg[X86_RSP] == 0x7ffff000);
    assert_true(x86_get_rflags(&cpu) == (0x8d5 | X86_FLAG_ID | X86_FLAG_IF | 2));

    static const struct {
        uint64_t pc;
        uint16_t cs, ss, error;
    } bad[] = {
        {0x402000, 0x23, 0x2b, 0x20}, {0x402000, 0x30, 0x2b, 0x30},
        {0x402000, 0, 0x2b, 0},       {0x402000, 0x33, 0, 0},
        {0x402000, 0x33, 0x28, 0x28}, {UINT64_C(1) << 63, 0x33, 0x2b, 0},
        {0x402000, 0x13, 0x2b, 0x10},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        reset();
        top[0] = bad[i].pc, top[1] = bad[i].cs, top[4] = bad[i].ss;
        cpu.state.reg[X86_RSP] = (uintptr_t)top;
        assert_false(EXECUTE(&fault, 0x48, 0xcf));
        assert_int_equal(fault.vector, X86_VECTOR_GP);
        assert_int_equal(fault.error, bad[i].error);
        assert_true(cpu.state.reg[X86_RSP] == (uintptr_t)top);
    }
    reset();
    cpu.system_flags = X86_FLAG_NT;
    top[0] = 0x402000, top[1] = 0x33, top[4] = 0x2b;
    cpu.state.reg[X86_RSP] = (uintptr_t)top;
    assert_false(EXECUTE(&fault, 0x48, 0xcf));

    assert_true(EXECUTE(&fault, 0x48, 0xca, 0x10, 0x00)); /* retfq 16 */
    assert_true(cpu.state.pc == 0x402000);
    assert_true(cpu.state.reg[X86_RSP] == (uintptr_t)top + 32);
    cpu.state.reg[X86_RDI] = (uintptr_t)stack;
    memcpy(stack, &(uint32_t){0x403000}, 4);
    memcpy((uint8_t *)stack + 4, &(uint16_t){0x33}, 2);
    cpu.state.reg[X86_RSP] = (uintptr_t)top;
    assert_true(EXECUTE(&fault, 0xff, 0x1f)); /* call far [rdi] */
    assert_true(cpu.state.pc == 0x403000);
    assert_true(cpu.state.reg[X86_RSP] == (uintptr_t)top - 8);
    assert_true(top[-1] == (0x402002 | UINT64_C(0x33) << 32));
    assert_true(EXECUTE(&fault, 0xcb)); /* retf */
    assert_true(cpu.state.pc == 0x402002);
    assert_true(EXECUTE(&fault, 0xff, 0x2f)); /* jmp far [rdi] */
    assert_true(cpu.state.pc == 0x403000);
    assert_true(cpu.state.reg[X86_RSP] == (uintptr_t)top);
}

/* --- time, chance, addresses */

static void time_goes_on(void **state)
{
    (void)state;
    struct x86_fault fault;
    uint64_t before = __rdtsc(), time;

    reset();
    assert_true(EXECUTE(&fault, 0x0f, 0x31));
    time = cpu.state.reg[X86_RDX] << 32 | cpu.state.reg[X86_RAX];
    assert_true(time >= before && time <= __rdtsc());
    if (x86_has(&model->features, X86_FEATURE_RDTSCP)) {
        assert_true(EXECUTE(&fault, 0x0f, 0x01, 0xf9));
        assert_true((cpu.state.reg[X86_RCX] & 0xfff) < model->cpus);
    }
    if (x86_has(&model->features, X86_FEATURE_RDRAND)) {
        uint64_t seen = 0;
        for (int i = 0; i < 8; i++) {
            cpu.state.flags |= NATIVE_ARITH;
            assert_true(EXECUTE(&fault, 0x48, 0x0f, 0xc7, 0xf0)); /* rdrand rax */
            assert_int_equal(cpu.state.flags & NATIVE_ARITH & ~NATIVE_CF, 0);
            seen |= cpu.state.reg[X86_RAX];
        }
        assert_true(seen >> 32);
        cpu.state.reg[X86_RAX] = ~UINT64_C(0);
        assert_true(EXECUTE(&fault, 0x0f, 0xc7, 0xf0)); /* rdrand eax */
        assert_true(cpu.state.reg[X86_RAX] >> 32 == 0);
    }
}

static void addresses_are_computed(void **state)
{
    (void)state;
    struct x86_insn insn;
    static const struct {
        uint8_t bytes[10], size;
        uint64_t address;
    } cases[] = {
        {{0x0f, 0xae, 0x64, 0x8f, 0xf0}, 5, 0x7fff00000000 + 4 * 0x100 - 16}, /* [rdi+rcx*4-16] */
        {{0x0f, 0xae, 0x25, 0x10, 0, 0, 0}, 7, 0x401017},                     /* [rip+16] */
        {{0x67, 0x0f, 0xae, 0x67, 0x08}, 5, 8},                               /* [edi+8] */
        {{0x64, 0x0f, 0xae, 0x27}, 4, 0x7fff00000000 + 0x10000},              /* fs:[rdi] */
        {{0x65, 0x67, 0x0f, 0xae, 0x67, 0xff}, 6, 0xffffffff + UINT64_C(0x20000)}, /* gs:[edi-1] */
        {{0x0f, 0xae, 0x24, 0x25, 0, 0, 0, 0x80}, 8, 0xffffffff80000000},          /* [abs] */
    };

    reset();
    cpu.state.reg[X86_RDI] = 0x7fff00000000;
    cpu.state.reg[X86_RCX] = 0x100;
    cpu.state.thread_base = 0x10000;
    cpu.state.other_base = 0x20000;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(
            x86_decode(X86_MODE_64, NULL, cases[i].bytes, cases[i].size, cpu.state.pc, &insn),
            X86_DECODE_OK);
        assert_true(x86_effective_address(&cpu, &insn) == cases[i].address);
    }
}

/* --- access functions and the register table */

static void fxsave_images_go_both_ways(void **state)
{
    (void)state;
    uint8_t fxsave[512];

    for (int round = 0; round < 100; round++) {
        reset();
        draw_state(cpu.state.vector);
        pass_through(cpu.state.vector, through);
        memcpy(cpu.state.vector, through, X86_XSTATE_SIZE);
        x86_xstate_to_fxsave(cpu.state.vector, fxsave);
        memset(area, 0, AREA);
        native_fxsave64(through, area, 0, after);
        same_bytes("fxsave", fxsave, area, X86_XSTATE_FXSAVE_WRITES);
        x86_xstate_from_fxsave(cpu.state.vector, fxsave);
        pass_through(cpu.state.vector, after);
        same_bytes("fxrstor", after, through, X86_XSTATE_HEADER);
        x86_xstate_normalise(cpu.state.vector);
        assert_int_equal(x86_xstate_bv(cpu.state.vector), 7);
        pass_through(cpu.state.vector, after);
        same_bytes("normalise", after, through, X86_XSTATE_HEADER);
        same_bytes("normalise", after + 576, through + 576, 256);
    }
}

/* Every register takes a value and gives it back, and changes no other than those it is part of. */
static void registers_are_read_and_written(void **state)
{
    (void)state;
    uint8_t value[X86_REGISTER_BYTES], back[X86_REGISTER_BYTES];

    for (size_t i = 0; i < x86_register_count; i++) {
        const struct x86_register *reg = &x86_registers[i];
        size_t size = reg->bits / 8;

        assert_ptr_equal(x86_register_find(reg->name), reg);
        reset();
        if (reg->kind == X86_REGISTER_RFLAGS || reg->kind == X86_REGISTER_FPU_TAGS ||
            reg->kind == X86_REGISTER_MXCSR || reg->kind == X86_REGISTER_FPU_WORD ||
            reg->kind == X86_REGISTER_SELECTOR) {
            continue; /* below */
        }
        draw_bytes(value, sizeof value);
        value[0] |= 1;
        x86_register_write(&cpu, reg, value);
        assert_int_equal(x86_register_read(&cpu, reg, back), size);
        assert_memory_equal(back, value, size);
    }
    reset();
    struct {
        const char *name;
        uint64_t value, back;
    } special[] = {
        {"rflags", ~UINT64_C(0), 0},
        {"fctrl", 0xffff, 0x1f7f},
        {"mxcsr", ~UINT64_C(0), model->mxcsr_mask},
        {"ftag", 0x1b1b, 0x5757},
        {"fs", 0x2b, 0x2b},
        {"fop", 0x123, 0x123},
    };
    special[0].back = (NATIVE_ARITH | NATIVE_DF | X86_FLAGS_SYSTEM | X86_FLAG_IF | 2);
    for (size_t i = 0; i < sizeof special / sizeof *special; i++) {
        const struct x86_register *reg = x86_register_find(special[i].name);
        uint64_t read = 0;
        assert_non_null(reg);
        memcpy(value, &special[i].value, 8);
        x86_register_write(&cpu, reg, value);
        x86_register_read(&cpu, reg, back);
        memcpy(&read, back, reg->bits / 8);
        assert_int_equal(read, special[i].back);
    }
    assert_null(x86_register_find("rax2"));
}

/* gdb's numbers have no gap and no double: the description lists them in order. */
static void gdb_numbers_are_dense(void **state)
{
    (void)state;
    const char *name[75] = {NULL};

    for (size_t i = 0; i < x86_register_count; i++) {
        int number = x86_registers[i].gdb;
        if (number >= 0) {
            assert_in_range(number, 0, 74);
            assert_null(name[number]);
            name[number] = x86_registers[i].name;
        }
    }
    for (int i = 0; i < 75; i++) {
        assert_non_null(name[i]);
    }
}

static int set_up(void **state)
{
    struct error err;

    (void)state;
    model = x86_model_parse(NULL, &err);
    return model && (model->xcr0 & 4) ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    x86_model_free(model);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stores_as_the_cpu_does),
        cmocka_unit_test(xrstor_checks_what_the_cpu_checks),
        cmocka_unit_test(alignment_is_checked),
        cmocka_unit_test(pages_are_checked_before_the_first_store),
        cmocka_unit_test(instruction_pointers_are_the_guests),
        cmocka_unit_test(xgetbv_tells_components_in_use),
        cmocka_unit_test(flags_are_popped_as_the_cpu_does),
        cmocka_unit_test(selectors_load_as_on_the_cpu),
        cmocka_unit_test(segments_move_through_memory_and_stack),
        cmocka_unit_test(bases_are_read_and_written),
        cmocka_unit_test(far_transfers_stay_in_the_mode),
        cmocka_unit_test(time_goes_on),
        cmocka_unit_test(addresses_are_computed),
        cmocka_unit_test(fxsave_images_go_both_ways),
        cmocka_unit_test(registers_are_read_and_written),
        cmocka_unit_test(gdb_numbers_are_dense),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
