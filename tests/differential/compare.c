/* SPDX-License-Identifier: MIT
 *
 * Differences between two outcomes. What is compared is one table. */
#include <stddef.h>
#include <string.h>

#include "compare.h"
#include "scratch.h"

static const char *const KIND[COMPARE_KINDS] = {
    "registers",    "rip",    "flags", "undefined flags", "vector", "x87",
    "x87 pointers", "memory", "fault", "address",         "told",
};

/* RF is the kernel's affair; TF and AC are seen by what they do. */
enum { SEEN_FLAGS = MACHINE_ARITH | MACHINE_DF | MACHINE_ID };

struct field {
    const char *name;
    uint16_t kind;
    uint16_t offset; /* in struct outcome */
    uint16_t size;
};

#define GPR(n, name)                                                                \
    {                                                                               \
        name, COMPARE_REGISTERS, offsetof(struct outcome, machine.gpr) + 8 * (n), 8 \
    }
#define FIELD(name, kind, member)                                                              \
    {                                                                                          \
        name, kind, offsetof(struct outcome, member), sizeof(((struct outcome *)NULL)->member) \
    }
#define IMAGE(name, kind, place, size)                                       \
    {                                                                        \
        name, kind, offsetof(struct outcome, machine.vector) + (place), size \
    }
#define ST(n)  IMAGE("st" #n, COMPARE_X87, MACHINE_ST + 16 * (n), 10)
#define XMM(n) IMAGE("xmm" #n, COMPARE_VECTOR, MACHINE_XMM + 16 * (n), 16)
#define YMM(n) IMAGE("ymm" #n " high", COMPARE_VECTOR, MACHINE_YMM + 16 * (n), 16)

static const struct field FIELDS[] = {
    FIELD("signal", COMPARE_FAULT, fault.signal),
    FIELD("si_code", COMPARE_FAULT, fault.code),
    FIELD("si_addr", COMPARE_ADDRESS, fault.address),
    FIELD("trapno", COMPARE_FAULT, fault.trap),
    FIELD("err", COMPARE_FAULT, fault.error),
    FIELD("rip", COMPARE_RIP, machine.rip),
    FIELD("flags", COMPARE_FLAGS, machine.flags),
    GPR(0, "rax"),
    GPR(1, "rcx"),
    GPR(2, "rdx"),
    GPR(3, "rbx"),
    GPR(4, "rsp"),
    GPR(5, "rbp"),
    GPR(6, "rsi"),
    GPR(7, "rdi"),
    GPR(8, "r8"),
    GPR(9, "r9"),
    GPR(10, "r10"),
    GPR(11, "r11"),
    GPR(12, "r12"),
    GPR(13, "r13"),
    GPR(14, "r14"),
    GPR(15, "r15"),
    FIELD("fs base", COMPARE_REGISTERS, machine.fs_base),
    FIELD("gs base", COMPARE_REGISTERS, machine.gs_base),
    IMAGE("mxcsr", COMPARE_VECTOR, MACHINE_MXCSR, 4),
    IMAGE("fcw", COMPARE_X87, MACHINE_FCW, 2),
    IMAGE("fsw", COMPARE_X87, MACHINE_FSW, 2),
    IMAGE("ftw", COMPARE_X87, MACHINE_FTW, 2),
    IMAGE("fop", COMPARE_POINTERS, MACHINE_FOP, 2),
    IMAGE("fip", COMPARE_POINTERS, MACHINE_FIP, 8),
    IMAGE("fdp", COMPARE_POINTERS, MACHINE_FDP, 8),
    ST(0),
    ST(1),
    ST(2),
    ST(3),
    ST(4),
    ST(5),
    ST(6),
    ST(7),
    XMM(0),
    XMM(1),
    XMM(2),
    XMM(3),
    XMM(4),
    XMM(5),
    XMM(6),
    XMM(7),
    XMM(8),
    XMM(9),
    XMM(10),
    XMM(11),
    XMM(12),
    XMM(13),
    XMM(14),
    XMM(15),
    YMM(0),
    YMM(1),
    YMM(2),
    YMM(3),
    YMM(4),
    YMM(5),
    YMM(6),
    YMM(7),
    YMM(8),
    YMM(9),
    YMM(10),
    YMM(11),
    YMM(12),
    YMM(13),
    YMM(14),
    YMM(15),
};
enum { FIELD_COUNT = sizeof FIELDS / sizeof *FIELDS };

const char *compare_name(unsigned bit)
{
    return bit < COMPARE_KINDS ? KIND[bit] : "?";
}

static const uint8_t *field(const struct outcome *o, const struct field *f)
{
    return (const uint8_t *)o + f->offset;
}

static bool same(const struct outcome *a, const struct outcome *b, const struct field *f)
{
    if (f->kind == COMPARE_FLAGS)
        return ((a->machine.flags ^ b->machine.flags) & SEEN_FLAGS) == 0;
    return memcmp(field(a, f), field(b, f), f->size) == 0;
}

unsigned compare(const struct compare_side *a, const struct compare_side *b, unsigned undefined)
{
    unsigned kinds = 0;

    for (int i = 0; i < FIELD_COUNT; i++)
        if (!same(a->outcome, b->outcome, &FIELDS[i]))
            kinds |= FIELDS[i].kind;
    if (kinds & COMPARE_FLAGS) {
        uint64_t differ = (a->outcome->machine.flags ^ b->outcome->machine.flags) & SEEN_FLAGS;

        if (!(differ & ~(uint64_t)undefined))
            kinds ^= COMPARE_FLAGS | COMPARE_UNDEFINED;
        else if (differ & undefined)
            kinds |= COMPARE_UNDEFINED;
    }
    if (memcmp(a->memory, b->memory, scratch_kept()) != 0)
        kinds |= COMPARE_MEMORY;
    return kinds;
}

static void print_value(struct strbuf *out, const uint8_t *bytes, unsigned size)
{
    for (unsigned i = size; i-- > 0;)
        strbuf_printf(out, "%02x%s", bytes[i], i == 8 && size > 8 ? "_" : "");
}

void compare_print_before(struct strbuf *out, const struct machine *m, unsigned kinds)
{
    struct outcome o = {.machine = *m};
    unsigned column = 0;

    for (int i = 0; i < FIELD_COUNT; i++) {
        if (!(FIELDS[i].kind & kinds & ~(COMPARE_FAULT | COMPARE_ADDRESS)))
            continue;
        strbuf_printf(out, "%s%s ", column % 4 == 0 ? "    " : "  ", FIELDS[i].name);
        print_value(out, field(&o, &FIELDS[i]), FIELDS[i].size);
        if (++column % 4 == 0)
            strbuf_putc(out, '\n');
    }
    if (column % 4 != 0)
        strbuf_putc(out, '\n');
}

static void print_memory(struct strbuf *out, const struct compare_side *a,
                         const struct compare_side *b)
{
    const uint8_t *before = scratch_initial();
    unsigned shown = 0;

    for (size_t i = 0; i < scratch_kept() && shown < 8; i += 8) {
        if (memcmp(a->memory + i, b->memory + i, 8) == 0)
            continue;
        strbuf_printf(out, "    memory %#llx: before ",
                      (unsigned long long)scratch_kept_address(i));
        print_value(out, before + i, 8);
        strbuf_printf(out, ", %s ", a->name);
        print_value(out, a->memory + i, 8);
        strbuf_printf(out, ", %s ", b->name);
        print_value(out, b->memory + i, 8);
        strbuf_putc(out, '\n');
        shown++;
    }
}

void compare_print(struct strbuf *out, const struct machine *before, const struct compare_side *a,
                   const struct compare_side *b)
{
    struct outcome o = {.machine = *before};

    for (int i = 0; i < FIELD_COUNT; i++) {
        const struct field *f = &FIELDS[i];

        if (same(a->outcome, b->outcome, f))
            continue;
        strbuf_printf(out, "    %s: ", f->name);
        if (!(f->kind & (COMPARE_FAULT | COMPARE_ADDRESS))) {
            strbuf_puts(out, "before ");
            print_value(out, field(&o, f), f->size);
            strbuf_puts(out, ", ");
        }
        strbuf_printf(out, "%s ", a->name);
        print_value(out, field(a->outcome, f), f->size);
        strbuf_printf(out, ", %s ", b->name);
        print_value(out, field(b->outcome, f), f->size);
        strbuf_putc(out, '\n');
    }
    print_memory(out, a, b);
}
