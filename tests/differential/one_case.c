/* SPDX-License-Identifier: MIT
 *
 * One case: made, run on both sides, compared, printed if they differ. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <Zydis/Zydis.h>

#include "base/error.h"
#include "differential.h"
#include "engine_side.h"
#include "native.h"
#include "offered.h"
#include "scratch.h"
#include "told.h"

static uint8_t *native_memory, *engine_memory;

static uint64_t hash(const char *text)
{
    uint64_t x = UINT64_C(14695981039346656037);

    while (*text != 0)
        x = (x ^ (uint8_t)*text++) * UINT64_C(1099511628211);
    return x;
}

static void print_code(struct strbuf *out, const struct test_case *c)
{
    ZydisDisassembledInstruction insn;
    unsigned at = 0;

    while (at < c->size) {
        unsigned length = 1;
        const char *text = "(int3)";

        if (c->bytes[at] != 0xcc) {
            text = "?";
            if (ZYAN_SUCCESS(ZydisDisassembleIntel(ZYDIS_MACHINE_MODE_LONG_64, c->code + at,
                                                   c->bytes + at, c->size - at, &insn))) {
                length = insn.info.length;
                text = insn.text;
            }
        }
        strbuf_printf(out, "    %#llx:", (unsigned long long)(c->code + at));
        for (unsigned i = 0; i < length; i++)
            strbuf_printf(out, " %02x", c->bytes[at + i]);
        strbuf_printf(out, "  %s\n", text);
        at += length;
        while (at + 1 < c->size && c->bytes[at] == 0xcc && c->bytes[at + 1] == 0xcc)
            at++;
    }
}

void one_case_print_how(struct strbuf *out, const struct item *item, uint32_t number, unsigned side)
{
    strbuf_printf(out, "%s case %u: differential --seed %#llx --row %s --case %u --switch %s%s",
                  item->name, number, (unsigned long long)settings.seed, item->name, number,
                  engine_side_name(side),
                  settings.probes ? " --probes"
                  : settings.soft ? " --soft"
                                  : "");
    if (settings.cpu != NULL)
        strbuf_printf(out, " --cpu %s", settings.cpu);
    strbuf_puts(out, "\n");
}

static void print_case(const struct item *item, uint32_t number, unsigned side, const char *what,
                       unsigned kinds, const struct test_case *c, const struct compare_side *a,
                       const struct compare_side *b)
{
    struct strbuf out;

    strbuf_init(&out);
    strbuf_puts(&out, "\n");
    one_case_print_how(&out, item, number, side);
    strbuf_printf(&out, "  %s\n", what);
    print_code(&out, c);
    if (a != NULL) {
        struct machine before = c->machine;

        machine_normalize(before.vector);
        strbuf_puts(&out, "  differences\n");
        compare_print(&out, &before, a, b);
        strbuf_printf(&out, "  natively: signal %d, code %d, address %#llx\n",
                      a->outcome->fault.signal, a->outcome->fault.code,
                      (unsigned long long)a->outcome->fault.address);
    }
    strbuf_puts(&out, "  state before\n");
    if (settings.verbose || (kinds & (COMPARE_VECTOR | COMPARE_X87)))
        kinds = ~0u;
    compare_print_before(&out, &c->machine,
                         kinds | COMPARE_REGISTERS | COMPARE_RIP | COMPARE_FLAGS);
    fputs(out.data, stdout);
    fflush(stdout);
    strbuf_free(&out);
}

/* The runs of a case in system mode. */
enum { SOFT_RUNS = 4 };

static void choose_runs(struct random *r, const struct item *item, const struct test_case *c,
                        struct soft_run runs[SOFT_RUNS])
{
    unsigned cpl = random_chance(r, 30) && soft_any_cpl(item->row, c) ? 0 : 3;

    runs[0] = (struct soft_run){.backing = random_chance(r, 90) ? SOFT_RAM : SOFT_CODE, .cpl = cpl};
    runs[1] = runs[0];
    runs[1].warm = true;
    runs[2] = (struct soft_run){.backing = random_chance(r, 50) ? SOFT_DEVICE : SOFT_MIXED,
                                .cpl = cpl,
                                .mixed = (unsigned)random_bits(r)};
    runs[3] = runs[2];
    runs[3].warm = true;
}

/* The second run of the other side: the engine, or the real CPU again. */
static void run_other(unsigned side, const struct machine *in, struct outcome *out)
{
    scratch_reset();
    told_begin();
    if (settings.native_only)
        native_run(in, out);
    else
        engine_side_run(side, in, out);
    scratch_keep(engine_memory);
}

/* Runs natively, or tells what must happen where the CPU has what the guest lacks: #UD, or what is
 * left without a prefix. False: it lacks it and the bytes cannot be fetched, so that there is
 * nothing to compare with. */
static bool run_native(const struct item *item, const struct test_case *c, struct outcome *out)
{
    uint8_t without[GENERATE_CODE];
    enum offered what = settings.native_only || item->kind != KIND_ROW
                            ? OFFERED
                            : offered(engine_side_features(), c, without);

    if (what == OFFERED_NOT) {
        if (!generate_fetched(c))
            return false;
        out->machine = c->machine;
        machine_normalize(out->machine.vector);
        out->fault = (struct machine_fault){SIGILL, ILL_ILLOPN, c->machine.rip, 6, 0};
        memcpy(native_memory, scratch_initial(), scratch_kept());
        return true;
    }
    if (what == OFFERED_ANOTHER)
        scratch_put(c->code, without, c->size);
    scratch_reset();
    native_run(&c->machine, out);
    scratch_keep(native_memory);
    if (what == OFFERED_ANOTHER)
        scratch_put(c->code, c->bytes, c->size);
    return true;
}

/* x87 remembers how its last instruction addressed memory, which re-encoding may change: mod and rm
 * in FOP, and whether a segment base is within FDP. */
static void forget_addressing(const struct test_case *c, struct outcome *o)
{
    uint8_t *image = o->machine.vector;

    if ((image[MACHINE_FOP] & 0xc0) != 0xc0)
        image[MACHINE_FOP] &= 0x38;
    if (c->x87_gs)
        memset(image + MACHINE_FDP, 0, 8);
}

/* A far transfer into 32-bit code, which the guest does not have: its selector faults. */
static bool enters_short_code(const struct test_case *c, const struct outcome *other)
{
    enum { GENERAL_PROTECTION = 13, LINUX_CODE_32 = 0x20 };

    return c->selectors && other->fault.trap == GENERAL_PROTECTION &&
           other->fault.error == LINUX_CODE_32;
}

/* Kinds of difference that no manual rules out. */
static unsigned allowed(const struct test_case *c, const struct outcome *native,
                        const struct outcome *other)
{
    enum { GENERAL_PROTECTION = 13 };
    static const uint8_t none[8];
    const struct machine_fault *a = &native->fault, *b = &other->fault;

    /* AMD's XSAVE forgets the pointers while no exception is pending, as a context switch of the
     * kernel would at this place; FLDCW can make one pending later. */
    if (c->size > 15 && (memcmp(other->machine.vector + MACHINE_FIP, none, sizeof none) == 0 ||
                         memcmp(other->machine.vector + MACHINE_FDP, none, sizeof none) == 0))
        return COMPARE_POINTERS;
    if (a->signal == SIGTRAP || b->signal == SIGTRAP)
        return 0;
    if (c->calls && a->trap == GENERAL_PROTECTION)
        return COMPARE_MEMORY;
    if (c->selectors)
        return COMPARE_ADDRESS | COMPARE_FAULT | COMPARE_MEMORY;
    if (c->two_strings && (settings.probes || settings.soft))
        return COMPARE_ADDRESS | COMPARE_FAULT;
    return c->several && a->signal == b->signal ? COMPARE_ADDRESS : 0;
}

static const struct test_case *running;
static unsigned running_side;

static void crashed(int signal, uint64_t pc, uint64_t address)
{
    char what[128];

    snprintf(what, sizeof what, "the engine itself raised signal %d at %#llx, address %#llx",
             signal, (unsigned long long)pc, (unsigned long long)address);
    if (shared->tally[shared->item].crashes < settings.show)
        print_case(&items[shared->item], shared->number, running_side, what, 0, running, NULL,
                   NULL);
    _exit(3);
}

void one_case_open(void)
{
    scratch_open();
    native_open();
    native_memory = malloc(scratch_kept());
    engine_memory = malloc(scratch_kept());
    if (native_memory == NULL || engine_memory == NULL)
        bug("no memory");
    engine_side_on_crash(crashed);
    if (settings.probes)
        told_open();
}

static bool make_case(struct random *r, const struct item *item, struct test_case *c)
{
    switch (item->kind) {
    case KIND_PROGRAM: generate_program(r, engine_side_features(), c); return true;
    case KIND_UNDEFINED:
        for (int i = 0; i < 1000; i++)
            if (generate_undefined(r, c))
                return true;
        return false;
    default: return generate_instruction(r, item->row, item->memory, c);
    }
}

/* What differs in system mode. `how`: the run. */
static unsigned soft_differences(const struct item *item, const struct test_case *c, unsigned side,
                                 const struct soft_run *how, const struct outcome *native_outcome,
                                 struct compare_side *a, struct compare_side *b,
                                 struct outcome *native, struct outcome *other)
{
    *native = *native_outcome;
    scratch_reset();
    engine_side_run_soft(side, how, c->layout, &c->machine, other);
    scratch_keep(engine_memory);
    forget_addressing(c, other);
    soft_settle(how, native, other);
    return compare(a, b, c->undefined) &
           ~(allowed(c, native, other) | soft_allowed(item->row, native, other));
}

void one_case(const struct item *item, uint32_t number, struct tally *tally)
{
    static struct test_case c;
    static struct outcome native, other;
    struct random r = random_stream(settings.seed, hash(item->name), number);
    unsigned side = random_chance(&r, 40) ? random_below(&r, engine_side_count()) : 0;
    struct compare_side a = {"native", &native, native_memory};
    struct compare_side b = {"engine", &other, engine_memory};
    struct strbuf mistakes;
    unsigned kinds = 0;

    if (settings.side >= 0)
        side = settings.side;
    if (!make_case(&r, item, &c)) {
        tally->unmet++;
        return;
    }
    strbuf_init(&mistakes);
    running = &c;
    running_side = side;
    if (!run_native(item, &c, &native)) {
        tally->cases++;
        tally->faults++;
        return;
    }
    forget_addressing(&c, &native);
    tally->cases++;
    tally->faults += native.fault.signal != SIGTRAP;
    if (!settings.native_only && !settings.soft)
        engine_side_forget(c.code, c.code + c.size + 1);
    if (settings.soft) {
        struct soft_run runs[SOFT_RUNS];
        static struct outcome first;

        first = native;
        choose_runs(&r, item, &c, runs);
        for (unsigned i = 0; i < SOFT_RUNS && kinds == 0; i++) {
            kinds = soft_differences(item, &c, side, &runs[i], &first, &a, &b, &native, &other);
            b.name = soft_run_name(&runs[i]);
        }
    }
    /* Twice: the second time the blocks are there, and linked. */
    for (int i = 0; !settings.soft && i < (item->kind == KIND_PROGRAM ? 2 : 1) && kinds == 0; i++) {
        run_other(side, &c.machine, &other);
        forget_addressing(&c, &other);
        kinds = compare(&a, &b, c.undefined);
        kinds &= ~allowed(&c, &native, &other);
        if (enters_short_code(&c, &other))
            kinds = 0;
        else if (settings.probes && item->kind == KIND_ROW &&
                 !told_judge(&c, &native, native_memory, &mistakes))
            kinds |= COMPARE_TOLD;
    }
    if (!settings.native_only && !settings.soft)
        engine_side_forget(c.code, c.code + c.size + 1);
    for (unsigned i = 0; i < COMPARE_KINDS; i++)
        tally->different[i] += kinds >> i & 1;
    kinds &= ~settings.ignore;
    if (settings.verbose || (kinds != 0 && tally->failures < settings.show))
        print_case(item, number, side,
                   kinds & COMPARE_TOLD ? mistakes.data
                   : kinds              ? "differs"
                                        : "is the same",
                   kinds, &c, &a, &b);
    strbuf_free(&mistakes);
    tally->failures += kinds != 0;
}
