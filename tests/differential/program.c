/* SPDX-License-Identifier: MIT
 *
 * Test cases of several instructions. The code is one to four pieces of straight-line code; each
 * ends in jumps to later ones, or back while a count lasts. A few registers are pinned: they hold
 * addresses (and the count), and no instruction writes them, so that memory operands are where they
 * should be. */
#include <string.h>

#include "engine_side.h"
#include "operands.h"

enum { PIECES = 4, PINS = 3 };

struct program {
    struct random *random;
    const struct x86_features *features;
    struct test_case *c;
    uint16_t pins;    /* registers that hold addresses */
    uint8_t counter;  /* the register with the count of repetitions */
    unsigned fault;   /* which instruction is to have bad operands */
    unsigned written; /* instructions so far */
};

static void add(struct test_case *c, const void *bytes, unsigned size)
{
    memcpy(c->bytes + c->size, bytes, size);
    c->size += size;
}

/* Rows with general registers are as frequent as all others together. */
static const struct x86_row *choose_row(struct random *r)
{
    unsigned count;
    const struct x86_row *rows = x86_rows(&count);

    for (;;) {
        const struct x86_row *row = &rows[random_below(r, count)];
        bool vector = row->native & (NATIVE_VECTOR | NATIVE_X87);

        if (!encode_possible(row) || generate_excluded(row) != NULL)
            continue;
        if (engine_side_is_soft() && row->implicit & NATIVE_MASKMOV)
            continue; /* what it leaves when it faults is open */
        if (row->lowering != X86_LOWER_NATIVE && row->lowering != X86_LOWER_PUSHF &&
            row->lowering != X86_LOWER_MOV_SEG)
            continue;
        if (vector && random_chance(r, 70))
            continue;
        return row;
    }
}

/* False: the guest's CPU does not have it, or makes another instruction of it. */
static bool is_there(const struct x86_features *features, const struct encoding *e,
                     const struct x86_row *row)
{
    struct x86_insn insn;

    return x86_decode(X86_MODE_64, features, e->bytes, e->size < 15 ? e->size : 15, 0x1000,
                      &insn) == X86_DECODE_OK &&
           insn.row == row;
}

static bool allowed(struct program *p, const struct encoding *e, const struct x86_insn *insn)
{
    const struct native_insn *n = &insn->native;
    unsigned kept = p->pins | 1u << p->counter;
    bool stack = n->mem_implicit == NATIVE_PUSH || n->mem_implicit == NATIVE_POP;

    if (!is_there(p->features, e, insn->row))
        return false;
    if (n->gpr_written & kept || (n->gpr_written & 1u << X86_RSP && !stack))
        return false;
    if (stack && (n->rm == X86_RSP || strcmp(insn->row->mnemonic, "leave") == 0))
        return false;
    if (n->mem_implicit != 0 && !stack && p->written > 0)
        return false;
    if (n->attributes & NATIVE_SERIALIZES_CODE)
        return false;
    if (strstr(insn->row->mnemonic, "div") != NULL && n->attributes & NATIVE_RM_GPR &&
        random_chance(p->random, 80))
        return false;
    return true;
}

static void add_instruction(struct program *p)
{
    struct test_case *c = p->c;
    struct machine unused = c->machine;
    struct encoding e = {.pins = p->pins};
    struct x86_insn insn;
    struct operands o = {.random = p->random,
                         .machine = p->written == 0 ? &c->machine : &unused,
                         .layout = c->layout,
                         .insn = &insn,
                         .encoding = &e,
                         .fixed =
                             p->written == 0 ? p->pins | 1u << p->counter | 1u << X86_RSP : 0xffff,
                         .good = p->written != p->fault};
    unsigned how = ENCODE_PINNED | (random_chance(p->random, 50) ? ENCODE_MEMORY : 0) |
                   (random_chance(p->random, 92) ? ENCODE_PLAIN : 0) |
                   (c->layout == SCRATCH_LOW && random_chance(p->random, 50) ? ENCODE_ABSOLUTE : 0);
    uint8_t *bytes = c->bytes + c->size;

    do {
        const struct x86_row *row = choose_row(p->random);

        e.pins = p->pins;
        encode(p->random, row, how, &e);
    } while (!operands_decode(e.bytes, e.size < 15 ? e.size : 15, c->code + c->size, &insn) ||
             !allowed(p, &e, &insn));
    memcpy(bytes, e.bytes, insn.length);
    o.bytes = bytes;
    if (e.disp_size == 1 && insn.native.mem_size >= 16)
        bytes[e.disp_at] &= ~15;
    operands_decode(bytes, insn.length, c->code + c->size, &insn);
    operands_set(&o);
    c->size += insn.length;
    c->undefined = (c->undefined & ~insn.native.flags_written) | insn.native.flags_undefined;
    c->x87_gs |= insn.native.attributes & NATIVE_X87 &&
                 (insn.native.segment == NATIVE_GS ||
                  (insn.native.segment == NATIVE_FS && engine_side_is_soft()));
    p->written++;
}

/* Jump to the start of a piece that is not there yet: filled in later. */
struct jump {
    unsigned at; /* of the displacement, 4 bytes; of an address, 8 bytes */
    bool address;
    unsigned piece;
};

static void add_jump(struct program *p, unsigned piece, struct jump *jump)
{
    struct test_case *c = p->c;
    unsigned scratch = X86_R11;
    uint8_t bytes[16];
    unsigned condition = random_below(p->random, 16);

    jump->piece = piece;
    jump->address = false;
    switch (random_below(p->random, 4)) {
    case 0: add(c, "\xe9", 1); break;
    case 1:
        bytes[0] = 0x0f;
        bytes[1] = 0x80 | condition;
        add(c, bytes, 2);
        break;
    case 2: add(c, "\xe8", 1); break;
    default: /* MOV R11, imm64; JMP R11 or CALL R11 */
        jump->address = true;
        bytes[0] = 0x49;
        bytes[1] = 0xb8 | (scratch & 7);
        add(c, bytes, 2);
        jump->at = c->size;
        add(c, "\0\0\0\0\0\0\0", 8);
        add(c, random_chance(p->random, 50) ? "\x41\xff\xe3" : "\x41\xff\xd3", 3);
        return;
    }
    jump->at = c->size;
    add(c, "\0\0\0", 4);
}

/* MOV counter, a few; what follows is the start of the repeated code. */
static void add_count(struct program *p)
{
    uint8_t bytes[7] = {0x48 | p->counter >> 3, 0xc7, 0xc0 | (p->counter & 7)};

    bytes[3] = 1 + random_below(p->random, 5);
    add(p->c, bytes, sizeof bytes);
}

/* SUB counter, 1; JNZ to `start`. */
static void add_loop(struct program *p, unsigned start)
{
    struct test_case *c = p->c;
    uint8_t bytes[10] = {0x48 | p->counter >> 3, 0x83, 0xe8 | (p->counter & 7), 1, 0x0f, 0x85};
    int32_t away = (int)start - (int)(c->size + sizeof bytes);

    memcpy(bytes + 6, &away, 4);
    add(c, bytes, sizeof bytes);
}

static void fill_jump(struct test_case *c, const struct jump *jump, unsigned start)
{
    if (jump->address) {
        uint64_t address = c->code + start;
        memcpy(c->bytes + jump->at, &address, 8);
    } else {
        int32_t away = (int)start - (int)(jump->at + 4);
        memcpy(c->bytes + jump->at, &away, 4);
    }
}

static void set_state(struct program *p)
{
    struct random *r = p->random;
    struct machine *m = &p->c->machine;
    uint32_t masked;

    random_machine(r, m);
    if (random_chance(r, 85)) {
        m->vector[MACHINE_FCW] |= 0x3f;
        m->vector[MACHINE_FSW] &= ~0x80;
        m->vector[MACHINE_FSW + 1] &= ~0x80;
        memcpy(&masked, m->vector + MACHINE_MXCSR, 4);
        masked |= 0x1f80;
        memcpy(m->vector + MACHINE_MXCSR, &masked, 4);
    }
    p->pins = 0;
    for (int i = 0; i < PINS; i++) {
        unsigned pin;

        do
            pin = random_below(r, 16);
        while (pin == X86_RSP || pin == X86_R11 || p->pins >> pin & 1);
        p->pins |= 1u << pin;
        m->gpr[pin] = scratch_address(r, p->c->layout, SCRATCH_ALIGNED, 1024) + 256;
    }
    do
        p->counter = random_below(r, 16);
    while (p->counter == X86_RSP || p->counter == X86_R11 || p->pins >> p->counter & 1);
    m->gpr[X86_RSP] = (scratch_address(r, p->c->layout, SCRATCH_CROSSES, 2) & ~UINT64_C(15)) +
                      8 * (random_below(r, 200)) - 800;
}

void generate_program(struct random *r, const struct x86_features *features, struct test_case *c)
{
    unsigned pages, pieces = 1 + random_below(r, PIECES), jumps = 0;
    unsigned total = 2 + random_below(r, 29), start[PIECES];
    struct program p = {.random = r, .features = features, .c = c};
    struct jump jump[2 * PIECES];

    memset(c->bytes, 0xcc, sizeof c->bytes);
    c->layout = random_chance(r, 50) ? SCRATCH_LOW : SCRATCH_HIGH;
    c->size = 0;
    c->undefined = 0;
    c->several = c->two_strings = c->calls = c->selectors = c->x87_gs = false;
    scratch_begin(c->layout);
    c->code = c->machine.rip =
        scratch_code(c->layout, &pages) + random_below(r, pages * SCRATCH_PAGE - GENERATE_CODE);
    set_state(&p);
    c->machine.rip = c->code;
    p.fault = random_below(r, total * 3 / 2);
    for (unsigned i = 0; i < pieces; i++) {
        unsigned part = (total + pieces - 1) / pieces;

        unsigned loop;

        start[i] = c->size;
        add_count(&p);
        loop = c->size;
        for (unsigned k = 0; k < part && c->size < GENERATE_CODE - 300; k++)
            add_instruction(&p);
        if (random_chance(r, 40))
            add_loop(&p, loop);
        if (i + 1 < pieces) {
            add_jump(&p, i + 1 + random_below(r, pieces - i - 1), &jump[jumps++]);
            if (random_chance(r, 70))
                add_jump(&p, i + 1 + random_below(r, pieces - i - 1), &jump[jumps++]);
        }
        c->size += random_below(r, 20); /* INT3s */
    }
    for (unsigned i = 0; i < jumps; i++)
        fill_jump(c, &jump[i], start[jump[i].piece]);
    scratch_put(c->code, c->bytes, c->size + 1);
}
