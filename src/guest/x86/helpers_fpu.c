/* SPDX-License-Identifier: MIT
 *
 * XGETBV, XSAVE and XRSTOR in all forms, FXSAVE, FNSTENV, FNSAVE: what stores the state of the x87
 * unit with its instruction pointer, which must be the guest's, or depends on XCR0, which is not
 * the host's (SDM vol. 1, chapter 13 and 8.1.10; APM vol. 2, 11.5). */
#include <string.h>

#include "guest/x86/cpuid.h"
#include "guest/x86/helpers.h"
#include "guest/x86/xstate.h"

/* Translated code leaves addresses of the host in the x87 unit. */
void x86_guest_pointers(const struct x86_cpu *cpu, uint64_t *fip, uint64_t *fdp)
{
    const struct ir_tlb *tlb = cpu->system.tlb;
    const struct x86_memory_access *memory = x86_memory_of(cpu);

    if (x86_system_mode(&cpu->system)) {
        if (tlb && tlb->guest_pc && *fip) {
            *fip = tlb->guest_pc(tlb->opaque, *fip);
        }
        if (tlb && tlb->guest_data && *fdp) {
            *fdp = tlb->guest_data(tlb->opaque, *fdp);
        }
    } else if (memory->guest_pc && *fip) {
        *fip = memory->guest_pc(memory->opaque, *fip);
    }
}

/* The state as an instruction stores it: a normalised copy with the guest's instruction pointer.
 * `wide`: REX.W, pointers of 64 bits; else 32 bits and a selector. The selector is 0, as the CPU
 * gives it after a context switch, or always where CPUID says so. */
static void visible_state(const struct x86_cpu *cpu, bool wide, uint8_t image[X86_XSTATE_SIZE])
{
    uint64_t fip, fdp;

    memcpy(image, cpu->state.vector, X86_XSTATE_SIZE);
    x86_xstate_normalise(image);
    fip = x86_xstate_pointer(image, X86_XSTATE_FIP);
    fdp = x86_xstate_pointer(image, X86_XSTATE_FDP);
    x86_guest_pointers(cpu, &fip, &fdp);
    if (!wide) {
        fip = (uint32_t)fip;
        fdp = (uint32_t)fdp;
    }
    x86_xstate_set_pointer(image, X86_XSTATE_FIP, fip);
    x86_xstate_set_pointer(image, X86_XSTATE_FDP, fdp);
    x86_xstate_set_word(image, X86_XSTATE_FOP, x86_xstate_word(image, X86_XSTATE_FOP) & 0x7ff);
    memcpy(image + X86_XSTATE_MXCSR_MASK, &cpu->model->mxcsr_mask, 4);
}

/* AMD: FXSAVE and XSAVE store FOP, FIP and FDP as 0 unless an exception is pending. */
static void hide_pointers(const struct x86_cpu *cpu, uint8_t image[X86_XSTATE_SIZE])
{
    if (cpu->model->pointers_when_pending && !x86_xstate_pending(image)) {
        x86_xstate_set_word(image, X86_XSTATE_FOP, 0);
        x86_xstate_set_pointer(image, X86_XSTATE_FIP, 0);
        x86_xstate_set_pointer(image, X86_XSTATE_FDP, 0);
    }
}

static uint64_t requested(const struct x86_cpu *cpu)
{
    return cpu->xcr0 & (cpu->state.reg[X86_RDX] << 32 | (uint32_t)cpu->state.reg[X86_RAX]);
}

/* Of an area in standard form with these components. */
static size_t area_size(uint64_t components)
{
    return components & X86_XSTATE_AVX ? X86_XSTATE_SIZE : X86_XSTATE_HEADER + 64;
}

bool x86_help_xgetbv(struct x86_cpu *cpu, const struct x86_insn *insn, struct x86_fault *fault)
{
    const uint8_t *image = cpu->state.vector;
    uint64_t value = cpu->xcr0;

    switch ((uint32_t)cpu->state.reg[X86_RCX]) {
    case 0: break;
    case 1:
        if (!x86_has(&cpu->model->features, X86_FEATURE_XGETBV1)) {
            return x86_raise_gp(fault, 0);
        }
        value &= x86_xstate_in_use(image) |
                 (x86_xstate_mxcsr(image) != X86_MXCSR_INIT ? X86_XSTATE_SSE : 0);
        break;
    default: return x86_raise_gp(fault, 0);
    }
    cpu->state.reg[X86_RAX] = (uint32_t)value;
    cpu->state.reg[X86_RDX] = value >> 32;
    return x86_done(cpu, insn);
}

/* The parts of an XSAVE area and the components that have them stored. MXCSR belongs to none: the
 * callers make a bit of it. AVX is the first component behind the header in compacted form too. */
enum { PART_MXCSR = 8, PART_BV = 16, PART_XCOMP_BV = 32 };

static const struct part {
    uint8_t components;
    uint16_t at, size;
} parts[] = {
    {X86_XSTATE_X87, X86_XSTATE_FCW, 24},  {PART_MXCSR, X86_XSTATE_MXCSR, 8},
    {X86_XSTATE_X87, X86_XSTATE_ST, 128},  {X86_XSTATE_SSE, X86_XSTATE_XMM, 256},
    {PART_BV, X86_XSTATE_HEADER, 8},       {PART_XCOMP_BV, X86_XSTATE_HEADER + 8, 8},
    {X86_XSTATE_AVX, X86_XSTATE_YMM, 256},
};
enum { PARTS = sizeof parts / sizeof *parts };

/* The next run of neighbouring parts of `set` from part *next on; false: there is none. */
static bool next_run(uint64_t set, size_t *next, size_t *at, size_t *size)
{
    size_t i = *next;

    while (i < PARTS && !(parts[i].components & set)) {
        i++;
    }
    *size = 0;
    for (*at = i < PARTS ? parts[i].at : 0;
         i < PARTS && parts[i].components & set && parts[i].at == *at + *size; i++) {
        *size += parts[i].size;
    }
    *next = i;
    return *size;
}

/* Whether all parts can be stored. The area has two pages at most and begins and ends with a part:
 * what is between them does not matter. */
static bool probe_parts(struct x86_cpu *cpu, const struct x86_insn *insn, uint64_t address,
                        uint64_t set, struct x86_fault *fault)
{
    size_t next = 0, at, size, start, end;

    next_run(set, &next, &start, &size);
    for (end = start + size; next_run(set, &next, &at, &size);) {
        end = at + size;
    }
    return x86_probe_write(cpu, insn, address + start, end - start, fault);
}

static bool store_parts(struct x86_cpu *cpu, uint64_t address, const uint8_t *image, uint64_t set,
                        struct x86_fault *fault)
{
    for (size_t next = 0, at, size; next_run(set, &next, &at, &size);) {
        if (!x86_write_probed(cpu, address + at, image + at, size, fault)) {
            return false;
        }
    }
    return true;
}

/* SDM vol. 1, 13.7 to 13.10. XSAVE stores what is asked for; XSAVEOPT and XSAVEC leave out what is
 * in its initial configuration. XSAVEC writes the header anew, the others keep bits of components
 * that are not asked for. */
static bool is_compact(const struct x86_insn *insn)
{
    return insn->native.opcode == 0xc7;
}

/* Makes the image, but for XSTATE_BV; returns the parts of it that are to be stored. `used`: the
 * components of what is asked for that are in use. */
static uint64_t make_image(const struct x86_cpu *cpu, const struct x86_insn *insn,
                           uint8_t image[X86_XSTATE_SIZE], uint64_t *used)
{
    bool optimise = (insn->native.reg & 7) == 6;
    uint64_t rfbm = requested(cpu), xcomp_bv = rfbm | UINT64_C(1) << 63;

    visible_state(cpu, insn->native.w, image);
    hide_pointers(cpu, image);
    *used = x86_xstate_in_use(image) & rfbm;
    if (!is_compact(insn)) {
        return (optimise ? *used : rfbm) | PART_BV |
               (rfbm & (X86_XSTATE_SSE | X86_XSTATE_AVX) ? PART_MXCSR : 0);
    }
    memcpy(image + X86_XSTATE_HEADER + 8, &xcomp_bv, 8);
    if (x86_xstate_mxcsr(image) != X86_MXCSR_INIT) {
        *used |= rfbm & X86_XSTATE_SSE;
    }
    return *used | PART_BV | PART_XCOMP_BV | (*used & X86_XSTATE_SSE ? PART_MXCSR : 0);
}

bool x86_help_xsave(struct x86_cpu *cpu, const struct x86_insn *insn, struct x86_fault *fault)
{
    bool compact = is_compact(insn);
    uint64_t address = x86_effective_address(cpu, insn), rfbm = requested(cpu), bv = 0, used, set;
    uint8_t image[X86_XSTATE_SIZE];

    if (!x86_check_area(cpu, insn, address, area_size(rfbm), 64, fault)) {
        return false;
    }
    set = make_image(cpu, insn, image, &used);
    if (!probe_parts(cpu, insn, address, set, fault) ||
        (!compact && !x86_read(cpu, insn, address + X86_XSTATE_HEADER, &bv, sizeof bv, fault))) {
        return false;
    }
    bv = (bv & ~rfbm) | used;
    memcpy(image + X86_XSTATE_HEADER, &bv, sizeof bv);
    return store_parts(cpu, address, image, set, fault) && x86_done(cpu, insn);
}

/* The header as XRSTOR wants it (SDM vol. 1, 13.8). */
static bool check_header(const struct x86_cpu *cpu, const uint8_t header[64],
                         struct x86_fault *fault)
{
    uint64_t word[8];
    uint64_t reserved = 0;

    memcpy(word, header, sizeof word);
    if (word[1] >> 63) {
        for (int i = 2; i < 8; i++) {
            reserved |= word[i];
        }
        reserved |= word[1] << 1 >> 1 & ~cpu->xcr0;
        reserved |= word[0] & ~(word[1] & cpu->xcr0);
        reserved |= !x86_has(&cpu->model->features, X86_FEATURE_XSAVEC);
    } else {
        reserved = word[1] | word[2] | (word[0] & ~cpu->xcr0);
    }
    return !reserved || x86_raise_gp(fault, 0);
}

/* Reads the parts of the components in `set` from the area at `address` into `image`. */
static bool load_parts(struct x86_cpu *cpu, const struct x86_insn *insn, uint64_t address,
                       uint8_t *image, uint64_t set, struct x86_fault *fault)
{
    for (size_t next = 0, at, size; next_run(set, &next, &at, &size);) {
        if (!x86_read(cpu, insn, address + at, image + at, size, fault)) {
            return false;
        }
    }
    return true;
}

/* Without REX.W there are 32-bit pointers, behind them selectors, which the record has no place
 * for: host and engine use the 64-bit form. */
static void narrow_pointers(uint8_t *image)
{
    memset(image + X86_XSTATE_FIP + 4, 0, 4);
    memset(image + X86_XSTATE_FDP + 4, 0, 4);
}

/* What is loaded from an area: components, and PART_MXCSR. */
static uint64_t loaded(uint64_t rfbm, uint64_t bv, bool compact)
{
    uint64_t load = rfbm & bv;

    if ((rfbm & X86_XSTATE_SSE || (!compact && rfbm & X86_XSTATE_AVX)) &&
        !(compact && !(load & X86_XSTATE_SSE))) {
        load |= PART_MXCSR;
    }
    return load;
}

bool x86_help_xrstor(struct x86_cpu *cpu, const struct x86_insn *insn, struct x86_fault *fault)
{
    uint64_t address = x86_effective_address(cpu, insn), rfbm = requested(cpu), load, bv;
    uint8_t image[X86_XSTATE_SIZE], header[64], last;
    bool compact;

    if (!x86_check_area(cpu, insn, address, area_size(0), 64, fault) ||
        !x86_read(cpu, insn, address + X86_XSTATE_HEADER, header, sizeof header, fault) ||
        !check_header(cpu, header, fault)) {
        return false;
    }
    memcpy(&bv, header, sizeof bv);
    compact = header[15] >> 7;
    if (!compact && !x86_read(cpu, insn, address + area_size(rfbm) - 1, &last, 1, fault)) {
        return false;
    }
    load = loaded(rfbm, bv, compact);
    memcpy(image, cpu->state.vector, sizeof image);
    if (rfbm & X86_XSTATE_SSE && !(load & PART_MXCSR)) {
        x86_xstate_set_mxcsr(image, X86_MXCSR_INIT);
    }
    if (!load_parts(cpu, insn, address, image, load, fault)) {
        return false;
    }
    if (x86_xstate_mxcsr(image) & ~cpu->model->mxcsr_mask) {
        return x86_raise_gp(fault, 0);
    }
    bv = (x86_xstate_bv(image) & ~rfbm) | (rfbm & load);
    memcpy(image + X86_XSTATE_HEADER, &bv, sizeof bv);
    if (load & X86_XSTATE_X87) {
        if (!insn->native.w) {
            narrow_pointers(image);
        }
        x86_xstate_settle_x87(image);
    }
    memcpy(cpu->state.vector, image, sizeof image);
    return x86_done(cpu, insn);
}

static void tell_parts(uint64_t address, uint64_t set, bool write, x86_access_fn *told,
                       void *opaque)
{
    for (size_t i = 0; i < PARTS; i++) {
        if (parts[i].components & set) {
            told(opaque, address + parts[i].at, parts[i].size, write);
        }
    }
}

void x86_xsave_accesses(struct x86_cpu *cpu, const struct x86_insn *insn, x86_access_fn *told,
                        void *opaque)
{
    uint64_t address = x86_effective_address(cpu, insn), used, set;
    uint8_t image[X86_XSTATE_SIZE];

    set = make_image(cpu, insn, image, &used);
    if (!is_compact(insn)) {
        told(opaque, address + X86_XSTATE_HEADER, 8, false);
    }
    tell_parts(address, set, true, told, opaque);
}

void x86_xrstor_accesses(struct x86_cpu *cpu, const struct x86_insn *insn, x86_access_fn *told,
                         void *opaque)
{
    uint64_t address = x86_effective_address(cpu, insn), rfbm = requested(cpu), bv;
    struct x86_fault fault;
    uint8_t header[64];

    told(opaque, address + X86_XSTATE_HEADER, sizeof header, false);
    if (!x86_read(cpu, insn, address + X86_XSTATE_HEADER, header, sizeof header, &fault) ||
        !check_header(cpu, header, &fault)) {
        return;
    }
    memcpy(&bv, header, sizeof bv);
    tell_parts(address, loaded(rfbm, bv, header[15] >> 7), false, told, opaque);
}

bool x86_help_fxsave(struct x86_cpu *cpu, const struct x86_insn *insn, struct x86_fault *fault)
{
    enum { FXSAVE_AREA = 512 };
    uint64_t address = x86_effective_address(cpu, insn);
    uint8_t image[X86_XSTATE_SIZE];

    if (!x86_check_area(cpu, insn, address, FXSAVE_AREA, 16, fault)) {
        return false;
    }
    visible_state(cpu, insn->native.w, image);
    hide_pointers(cpu, image);
    return x86_write_probed(cpu, address, image, X86_XSTATE_FXSAVE_WRITES, fault) &&
           x86_done(cpu, insn);
}

/* What translated code has kept of the environment (32-bit protected mode): puts back the masks
 * that keeping it has set, and what XSAVE forgets on AMD's processors. */
static void take_kept(struct x86_cpu *cpu)
{
    const uint32_t *kept = cpu->state.environment;
    uint64_t here = cpu->state.environment_at, fip;
    uint8_t *image = cpu->state.vector;

    if (here == 0)
        return;
    cpu->state.environment_at = 0;
    x86_xstate_set_word(image, X86_XSTATE_FCW, (uint16_t)kept[0]);
    x86_xstate_settle_x87(image);
    if (x86_xstate_pointer(image, X86_XSTATE_FIP) == 0 &&
        x86_xstate_pointer(image, X86_XSTATE_FDP) == 0) {
        fip = here + (uint64_t)(int64_t)(int32_t)(kept[3] - (uint32_t)here);
        x86_xstate_set_pointer(image, X86_XSTATE_FIP, kept[3] == 0 ? 0 : fip);
        x86_xstate_set_word(image, X86_XSTATE_FOP, kept[4] >> 16 & 0x7ff);
        x86_xstate_set_pointer(image, X86_XSTATE_FDP, kept[5]);
    }
}

/* The environment in protected mode (SDM vol. 1, figures 8-9 and 8-11): seven words or doublewords.
 * The unused upper halves of the doublewords are ones. */
static size_t environment(const uint8_t *image, bool words, uint8_t out[28])
{
    uint64_t fip = x86_xstate_pointer(image, X86_XSTATE_FIP);
    uint64_t fdp = x86_xstate_pointer(image, X86_XSTATE_FDP);
    uint32_t fop = x86_xstate_word(image, X86_XSTATE_FOP);
    uint32_t field[7] = {
        x86_xstate_word(image, X86_XSTATE_FCW) | 0xffff0000,
        x86_xstate_word(image, X86_XSTATE_FSW) | 0xffff0000,
        x86_xstate_tags(image) | 0xffff0000,
        (uint32_t)fip,
        fop << 16,
        (uint32_t)fdp,
        0xffff0000,
    };

    for (int i = 0; i < 7; i++) {
        memcpy(out + (words ? 2 : 4) * i, &field[i], words ? 2 : 4);
    }
    return words ? 14 : 28;
}

/* FNSTENV is D9 /6 and masks all exceptions; FNSAVE is DD /6, stores the registers too and
 * initialises. */
bool x86_help_fnstenv(struct x86_cpu *cpu, const struct x86_insn *insn, struct x86_fault *fault)
{
    bool save = insn->native.opcode == 0xdd;
    bool words = insn->native.mem_size == (save ? 94 : 14);
    uint64_t address = x86_effective_address(cpu, insn);
    uint8_t image[X86_XSTATE_SIZE], out[108];
    size_t size;

    take_kept(cpu);
    visible_state(cpu, true, image);
    size = environment(image, words, out);
    for (unsigned i = 0; i < 8 && save; i++) {
        x86_xstate_get_st(image, i, out + size);
        size += 10;
    }
    if (!x86_write(cpu, insn, address, out, size, fault)) {
        return false;
    }
    if (save) {
        x86_xstate_fninit(cpu->state.vector);
    } else {
        x86_xstate_set_word(cpu->state.vector, X86_XSTATE_FCW,
                            x86_xstate_word(cpu->state.vector, X86_XSTATE_FCW) | 0x3f);
        x86_xstate_settle_x87(cpu->state.vector);
    }
    return x86_done(cpu, insn);
}
