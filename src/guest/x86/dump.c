/* SPDX-License-Identifier: MIT
 *
 * The CPU for readers: the register block of `info registers` and -d int in QEMU's shape, and the
 * last exceptions and interrupts in words. */
#include <inttypes.h>

#include "base/strbuf.h"
#include "guest/x86/internal.h"

/* --- the register block */

static void print_general(const struct x86_cpu *cpu, struct strbuf *text)
{
    static const struct {
        const char *name;
        uint8_t number;
    } order[] = {
        {"AX", X86_RAX}, {"BX", X86_RBX}, {"CX", X86_RCX}, {"DX", X86_RDX},
        {"SI", X86_RSI}, {"DI", X86_RDI}, {"BP", X86_RBP}, {"SP", X86_RSP},
    };
    bool wide = x86_code64(cpu);

    for (unsigned i = 0; i < 8; i++) {
        uint64_t value = cpu->state.reg[order[i].number];
        char end = i % 4 == 3 ? '\n' : ' ';

        if (wide) {
            strbuf_printf(text, "R%s=%016" PRIx64 "%c", order[i].name, value, end);
        } else {
            strbuf_printf(text, "E%s=%08x%c", order[i].name, (uint32_t)value, end);
        }
    }
    for (unsigned i = 8; wide && i < 16; i++) {
        strbuf_printf(text, "R%-2u=%016" PRIx64 "%c", i, cpu->state.reg[i],
                      i % 4 == 3 ? '\n' : ' ');
    }
}

static void print_flags(const struct x86_cpu *cpu, struct strbuf *text)
{
    static const struct {
        uint32_t flag;
        char letter;
    } letters[] = {{NATIVE_DF, 'D'}, {NATIVE_OF, 'O'}, {NATIVE_SF, 'S'}, {NATIVE_ZF, 'Z'},
                   {NATIVE_AF, 'A'}, {NATIVE_PF, 'P'}, {NATIVE_CF, 'C'}};
    uint64_t flags = x86_get_rflags(cpu);

    if (x86_code64(cpu)) {
        strbuf_printf(text, "RIP=%016" PRIx64 " RFL=%08x [", cpu->state.pc, (uint32_t)flags);
    } else {
        strbuf_printf(text, "EIP=%08x EFL=%08x [", (uint32_t)cpu->state.pc, (uint32_t)flags);
    }
    for (unsigned i = 0; i < sizeof letters / sizeof *letters; i++) {
        strbuf_putc(text, flags & letters[i].flag ? letters[i].letter : '-');
    }
    strbuf_printf(text, "] CPL=%u II=%u A20=%d SMM=0 HLT=%d\n", cpu->system.cpl,
                  cpu->system.shadow ? 1u : 0u, cpu->system.a20_mask == ~UINT64_C(0),
                  cpu->system.activity != X86_RUNNING);
}

static void print_kind(const struct x86_cpu *cpu, uint32_t bits, struct strbuf *text)
{
    static const char *const system_names[2][16] = {
        {"Reserved", "TSS16-avl", "LDT", "TSS16-busy", "CallGate16", "TaskGate", "IntGate16",
         "TrapGate16", "Reserved", "TSS32-avl", "Reserved", "TSS32-busy", "CallGate32", "Reserved",
         "IntGate32", "TrapGate32"},
        {"<hiword>", "Reserved", "LDT", "Reserved", "Reserved", "Reserved", "Reserved", "Reserved",
         "Reserved", "TSS64-avl", "Reserved", "TSS64-busy", "CallGate64", "Reserved", "IntGate64",
         "TrapGate64"},
    };

    strbuf_printf(text, " DPL=%u ", x86_dpl(bits));
    if (!(bits & X86_SEG_S)) {
        strbuf_puts(text, system_names[x86_long(cpu)][x86_type(bits)]);
        return;
    }
    if (bits & X86_SEG_CODE) {
        strbuf_puts(text, bits & X86_SEG_LONG ? "CS64" : bits & X86_SEG_BIG ? "CS32" : "CS16");
        strbuf_printf(text, " [%c%c", bits & X86_SEG_CONFORMING ? 'C' : '-',
                      bits & X86_SEG_READABLE ? 'R' : '-');
    } else {
        strbuf_puts(text, bits & X86_SEG_BIG || x86_long(cpu) ? "DS  " : "DS16");
        strbuf_printf(text, " [%c%c", bits & X86_SEG_DOWN ? 'E' : '-',
                      bits & X86_SEG_WRITABLE ? 'W' : '-');
    }
    strbuf_printf(text, "%c]", bits & X86_SEG_ACCESSED ? 'A' : '-');
}

static void print_segment(const struct x86_cpu *cpu, unsigned number, struct strbuf *text)
{
    static const char names[X86_SEGMENTS][4] = {"ES ", "CS ", "SS ", "DS ",
                                                "FS ", "GS ", "LDT", "TR "};
    const struct x86_segment *segment = &cpu->system.segment[number];

    strbuf_printf(text, "%s=%04x %0*" PRIx64 " %08x %08x", names[number], segment->selector,
                  x86_code64(cpu) ? 16 : 8, segment->base, segment->limit, segment->attributes);
    if (x86_protected(cpu) && segment->attributes & X86_SEG_PRESENT) {
        print_kind(cpu, segment->attributes, text);
    }
    strbuf_putc(text, '\n');
}

void x86_print_system(const struct x86_cpu *cpu, struct strbuf *text)
{
    const struct x86_system *system = &cpu->system;
    int width = x86_long(cpu) ? 16 : 8;

    print_general(cpu, text);
    print_flags(cpu, text);
    for (unsigned i = 0; i < X86_SEGMENTS; i++) {
        print_segment(cpu, i, text);
    }
    strbuf_printf(text, "GDT=     %0*" PRIx64 " %08x\n", width, system->gdt.base,
                  system->gdt.limit);
    strbuf_printf(text, "IDT=     %0*" PRIx64 " %08x\n", width, system->idt.base,
                  system->idt.limit);
    strbuf_printf(text, "CR0=%08x CR2=%0*" PRIx64 " CR3=%0*" PRIx64 " CR4=%08x\n",
                  (uint32_t)system->cr0, width, system->cr2, width, system->cr3,
                  (uint32_t)system->cr4);
    for (unsigned i = 0; i < 4; i++) {
        strbuf_printf(text, "DR%u=%016" PRIx64 " ", i, system->dr[i]);
    }
    strbuf_printf(text, "\nDR6=%016" PRIx64 " DR7=%016" PRIx64 "\n", system->dr6, system->dr7);
    strbuf_printf(text, "EFER=%016" PRIx64 "\n", system->efer);
}

/* --- events */

const char *x86_vector_name(unsigned vector)
{
    static const char *const names[32] = {
        [X86_VECTOR_DE] = "#DE", [X86_VECTOR_DB] = "#DB", [X86_VECTOR_NMI] = "NMI",
        [X86_VECTOR_BP] = "#BP", [X86_VECTOR_OF] = "#OF", [X86_VECTOR_BR] = "#BR",
        [X86_VECTOR_UD] = "#UD", [X86_VECTOR_NM] = "#NM", [X86_VECTOR_DF] = "#DF",
        [X86_VECTOR_TS] = "#TS", [X86_VECTOR_NP] = "#NP", [X86_VECTOR_SS] = "#SS",
        [X86_VECTOR_GP] = "#GP", [X86_VECTOR_PF] = "#PF", [X86_VECTOR_MF] = "#MF",
        [X86_VECTOR_AC] = "#AC", [X86_VECTOR_MC] = "#MC", [X86_VECTOR_XM] = "#XM",
    };

    return vector < 32 ? names[vector] : NULL;
}

void x86_print_event(const struct x86_cpu *cpu, const struct x86_event_record *record,
                     unsigned number, struct strbuf *text)
{
    bool software = record->kind == X86_EVENT_INT || record->kind == X86_EVENT_TRAP;
    uint64_t base = x86_code64(cpu) ? 0 : cpu->system.segment[NATIVE_CS].base;

    if (record->kind == X86_EVENT_EXCEPTION) {
        strbuf_printf(text, "check_exception old: 0x%x new 0x%x\n",
                      record->during == X86_DURING_NONE ? UINT32_MAX : record->during,
                      record->raised);
    } else if (record->kind == X86_EVENT_INTERRUPT) {
        strbuf_printf(text, "Servicing hardware INT=0x%02x\n", record->vector);
    }
    strbuf_printf(text,
                  "%6u: v=%02x e=%04x i=%d cpl=%u IP=%04x:%016" PRIx64 " pc=%016" PRIx64
                  " SP=%04x:%016" PRIx64,
                  number, record->vector, record->error, software, record->cpl, record->from_cs,
                  record->from, base + record->from, record->ss, record->stack);
    if (record->vector == X86_VECTOR_PF) {
        strbuf_printf(text, " CR2=%016" PRIx64 "\n", record->cr2);
    } else {
        strbuf_printf(text, " env->regs[R_EAX]=%016" PRIx64 "\n", cpu->state.reg[X86_RAX]);
    }
    x86_print_system(cpu, text);
}

static void tell_page_fault(const struct x86_event_record *record, struct strbuf *text)
{
    uint32_t error = record->error;

    strbuf_printf(text, ": %s of 0x%" PRIx64 " by %s",
                  error & X86_PF_FETCH   ? "instruction fetch"
                  : error & X86_PF_WRITE ? "write"
                                         : "read",
                  record->cr2, error & X86_PF_USER ? "the program" : "the system");
    strbuf_puts(text, error & X86_PF_RESERVED  ? ", reserved bit in a page table"
                      : error & X86_PF_KEY     ? ", forbidden by a protection key"
                      : error & X86_PF_PRESENT ? ", not allowed"
                                               : ", no such page");
}

static void tell_selector(uint32_t error, struct strbuf *text)
{
    if (error & 2) {
        strbuf_printf(text, ": gate 0x%02x", error >> 3);
    } else if (error & 0xfffc) {
        strbuf_printf(text, ": selector 0x%04x in the %s", error & 0xfffc,
                      error & 4 ? "LDT" : "GDT");
    }
    if (error & 1) {
        strbuf_puts(text, ", while something else was delivered");
    }
}

static void tell(const struct x86_event_record *record, struct strbuf *text)
{
    const char *name = x86_vector_name(record->vector);

    switch (record->kind) {
    case X86_EVENT_INTERRUPT: strbuf_printf(text, "interrupt 0x%02x", record->vector); break;
    case X86_EVENT_NMI: strbuf_puts(text, "NMI"); break;
    case X86_EVENT_INT: strbuf_printf(text, "INT 0x%02x", record->vector); break;
    default:
        if (name) {
            strbuf_puts(text, name);
        } else {
            strbuf_printf(text, "exception 0x%02x", record->vector);
        }
    }
    if (record->kind != X86_EVENT_EXCEPTION) {
        return;
    }
    if (record->has_error) {
        strbuf_printf(text, " (error 0x%x)", record->error);
    }
    if (record->vector == X86_VECTOR_PF) {
        tell_page_fault(record, text);
    } else if (record->has_error && record->vector >= X86_VECTOR_TS &&
               record->vector <= X86_VECTOR_GP) {
        tell_selector(record->error, text);
    }
}

void x86_print_story(const struct x86_cpu *cpu, unsigned count, struct strbuf *text)
{
    uint32_t total = cpu->system.records;
    uint32_t shown = total < X86_RECORDS ? total : X86_RECORDS;

    if (count && count < shown) {
        shown = count;
    }
    if (!shown) {
        strbuf_printf(text, "CPU %u has had no exception and no interrupt.\n", cpu->system.number);
        return;
    }
    strbuf_printf(text, "CPU %u, the last %u of %u exceptions and interrupts:\n",
                  cpu->system.number, shown, total);
    for (uint32_t i = total - shown; i != total; i++) {
        const struct x86_event_record *record = &cpu->system.record[i % X86_RECORDS];

        strbuf_printf(text, "%6u: ", i + 1);
        tell(record, text);
        strbuf_printf(text, "; at %04x:%" PRIx64 ", CPL %u, stack %04x:%" PRIx64, record->from_cs,
                      record->from, record->cpl, record->ss, record->stack);
        if (record->failed) {
            strbuf_puts(text, "; its handler could not be entered\n");
        } else {
            strbuf_printf(text, "; handler %04x:%" PRIx64 "\n", record->to_cs, record->to);
        }
    }
    if (cpu->system.activity == X86_SHUTDOWN) {
        strbuf_puts(text, "The double fault could not be delivered: triple fault, shutdown.\n");
    }
}
