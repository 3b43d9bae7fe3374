/* SPDX-License-Identifier: MIT
 *
 * Commands about vCPUs. All vCPUs stand while one is looked at. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/strbuf.h"
#include "engine/engine.h"
#include "guest/x86/access.h"
#include "guest/x86/paging.h"
#include "guest/x86/registers.h"
#include "monitor/machine/dump.h"
#include "monitor/machine/internal.h"

struct machine_cpu *session_cpu(struct monitor_session *session)
{
    struct machine *machine = session_machine(session);
    unsigned number = *monitor_cpu(session);

    return &machine->cpu[number < machine->cpus ? number : 0];
}

/* --- registers of expressions --- */

/* Those of system mode, which are not in the table of all registers. */
static const struct system_register {
    const char *name;
    size_t at;
    uint8_t size;
} system_registers[] = {
    {"cr0", offsetof(struct x86_cpu, system.cr0), 8},
    {"cr2", offsetof(struct x86_cpu, system.cr2), 8},
    {"cr3", offsetof(struct x86_cpu, system.cr3), 8},
    {"cr4", offsetof(struct x86_cpu, system.cr4), 8},
    {"efer", offsetof(struct x86_cpu, system.efer), 8},
    {"dr0", offsetof(struct x86_cpu, system.dr[0]), 8},
    {"dr1", offsetof(struct x86_cpu, system.dr[1]), 8},
    {"dr2", offsetof(struct x86_cpu, system.dr[2]), 8},
    {"dr3", offsetof(struct x86_cpu, system.dr[3]), 8},
    {"dr6", offsetof(struct x86_cpu, system.dr6), 8},
    {"dr7", offsetof(struct x86_cpu, system.dr7), 8},
    {"gdtr.base", offsetof(struct x86_cpu, system.gdt.base), 8},
    {"gdtr.limit", offsetof(struct x86_cpu, system.gdt.limit), 2},
    {"idtr.base", offsetof(struct x86_cpu, system.idt.base), 8},
    {"idtr.limit", offsetof(struct x86_cpu, system.idt.limit), 2},
    {"eip", offsetof(struct x86_cpu, state.pc), 4},
};

static const char segment_names[X86_SEGMENTS][4] = {"es", "cs", "ss",  "ds",
                                                    "fs", "gs", "ldt", "tr"};

/* cs, cs.base, cs.limit. */
static bool read_segment(const struct x86_cpu *cpu, const char *name, uint64_t *value)
{
    for (unsigned i = 0; i < X86_SEGMENTS; i++) {
        const struct x86_segment *segment = &cpu->system.segment[i];
        size_t length = strlen(segment_names[i]);
        if (strncmp(name, segment_names[i], length) != 0) {
            continue;
        }
        const char *part = name + length;
        *value = !*part                    ? segment->selector
                 : !strcmp(part, ".base")  ? segment->base
                 : !strcmp(part, ".limit") ? segment->limit
                                           : 0;
        return !*part || !strcmp(part, ".base") || !strcmp(part, ".limit");
    }
    return false;
}

static bool read_named(const struct x86_cpu *cpu, const char *name, uint64_t *value)
{
    const struct x86_register *reg;
    uint8_t bytes[X86_REGISTER_BYTES];

    *value = 0;
    if (!strcmp(name, "pc")) { /* linear, so that x /i $pc works in all modes */
        *value = cpu->state.pc + (x86_code64(cpu) ? 0 : cpu->system.segment[NATIVE_CS].base);
        *value = x86_code64(cpu) ? *value : (uint32_t)*value;
        return true;
    }
    if (read_segment(cpu, name, value)) {
        return true;
    }
    for (size_t i = 0; i < sizeof system_registers / sizeof system_registers[0]; i++) {
        if (!strcmp(name, system_registers[i].name)) {
            memcpy(value, (const uint8_t *)cpu + system_registers[i].at, system_registers[i].size);
            return true;
        }
    }
    reg = x86_register_find(name);
    if (reg && reg->bits <= 64) {
        x86_register_read(cpu, reg, bytes);
        memcpy(value, bytes, reg->bits / 8);
    }
    return reg && reg->bits <= 64;
}

bool session_register(struct monitor_session *session, const char *name, uint64_t *value)
{
    char *lower = mem_string(name);

    for (char *at = lower; *at; at++) {
        *at |= *at >= 'A' && *at <= 'Z' ? 'a' - 'A' : 0;
    }
    machine_hold(session_machine(session));
    bool found = read_named(session_cpu(session)->x86, lower, value);
    machine_release(session_machine(session));
    free(lower);
    return found;
}

/* --- commands --- */

static bool run_print(struct monitor_session *session, const struct monitor_arguments *arguments)
{
    struct strbuf text;

    strbuf_init(&text);
    dump_value(&text, arguments->format.letter, arguments->value[0].number);
    strbuf_putc(&text, '\n');
    session_print_text(session, &text);
    return true;
}

static bool run_cpu(struct monitor_session *session, const struct monitor_arguments *arguments)
{
    if (arguments->value[0].number >= session_machine(session)->cpus) {
        monitor_printf(session, "invalid CPU index\n");
    } else {
        *monitor_cpu(session) = (unsigned)arguments->value[0].number;
    }
    return true;
}

static bool info_cpus(struct monitor_session *session, const struct monitor_arguments *arguments)
{
    struct machine *machine = session_machine(session);

    (void)arguments;
    for (unsigned i = 0; i < machine->cpus; i++) {
        monitor_printf(session, "%c CPU #%u: thread_id=%d\n",
                       &machine->cpu[i] == session_cpu(session) ? '*' : ' ', i,
                       (int)machine->cpu[i].thread_id);
    }
    return true;
}

static void print_registers(struct monitor_session *session, const struct machine_cpu *cpu)
{
    struct strbuf text;

    strbuf_init(&text);
    strbuf_printf(&text, "\nCPU#%u\n", cpu->number);
    x86_print_state(cpu->x86, &text, X86_PRINT_FPU);
    session_print_text(session, &text);
}

static bool info_registers(struct monitor_session *session,
                           const struct monitor_arguments *arguments)
{
    struct machine *machine = session_machine(session);
    const struct monitor_value *wanted = &arguments->value[0];

    if (wanted->given && !monitor_flag(arguments, 'a') && wanted->number >= machine->cpus) {
        monitor_printf(session, "CPU#%" PRIu64 " not available\n", wanted->number);
        return true;
    }
    machine_hold(machine);
    for (unsigned i = 0; i < machine->cpus; i++) {
        const struct machine_cpu *cpu = &machine->cpu[i];
        if (monitor_flag(arguments, 'a') ||
            (wanted->given ? wanted->number == i : cpu == session_cpu(session))) {
            print_registers(session, cpu);
        }
    }
    machine_release(machine);
    return true;
}

static bool info_lapic(struct monitor_session *session, const struct monitor_arguments *arguments)
{
    struct machine *machine = session_machine(session);
    struct machine_cpu *cpu = session_cpu(session);
    struct strbuf text;

    if (arguments->count) {
        cpu = NULL;
        for (unsigned i = 0; i < machine->cpus && !cpu; i++) {
            if (local_apic_id(machine->cpu[i].apic) == arguments->value[0].number) {
                cpu = &machine->cpu[i];
            }
        }
    }
    if (!cpu) {
        monitor_printf(session, "No CPU available\n");
        return true;
    }
    strbuf_init(&text);
    local_apic_print(cpu->apic, &text);
    session_print_text(session, &text);
    return true;
}

/* What a printer says of the current vCPU. */
static void print_held(struct monitor_session *session, size_t number,
                       void (*print)(struct x86_cpu *cpu, size_t number, struct strbuf *text))
{
    struct strbuf text;

    strbuf_init(&text);
    machine_hold(session_machine(session));
    print(session_cpu(session)->x86, number, &text);
    machine_release(session_machine(session));
    session_print_text(session, &text);
}

static bool info_mem(struct monitor_session *session, const struct monitor_arguments *arguments)
{
    (void)arguments;
    print_held(session, MONITOR_ANSWER_MAX / 2, x86_print_mappings);
    return true;
}

static bool info_tlb(struct monitor_session *session, const struct monitor_arguments *arguments)
{
    (void)arguments;
    print_held(session, MONITOR_ANSWER_MAX / 2, x86_print_pages);
    return true;
}

static void print_story(struct x86_cpu *cpu, size_t number, struct strbuf *text)
{
    x86_print_story(cpu, (unsigned)number, text);
}

static bool info_exceptions(struct monitor_session *session,
                            const struct monitor_arguments *arguments)
{
    print_held(session, arguments->count ? arguments->value[0].number : 0, print_story);
    return true;
}

static bool info_jit(struct monitor_session *session, const struct monitor_arguments *arguments)
{
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);

    (void)arguments;
    if (out) {
        engine_stats(session_machine(session)->engine, out);
        fclose(out);
        monitor_printf(session, "%s", text);
        free(text);
    }
    return true;
}

/* clang-format off */
static const struct monitor_command commands[] = {
    {"cpu", "index", "set the default CPU", "n", run_cpu, NULL},
    {"print|p", "/fmt expr", "print expression value (use $reg for CPU register access)", "/e",
     run_print, NULL},
};

static const struct monitor_command info[] = {
    {"cpus", NULL, "show infos for each CPU", NULL, info_cpus, NULL},
    {"exceptions", "[count]",
     "tell the last exceptions and interrupts of the current CPU, 64 at most", "n?",
     info_exceptions, NULL},
    {"jit", NULL, "show dynamic compiler info", NULL, info_jit, NULL},
    {"lapic", "[apic-id]",
     "show local apic state (apic-id: local apic to read, default is which of current CPU)", "n?",
     info_lapic, NULL},
    {"mem", NULL, "show the active virtual memory mappings", NULL, info_mem, NULL},
    {"registers", "[-a|vcpu]",
     "show the cpu registers (-a: show register info for all cpus; vcpu: specific vCPU to query; "
     "show the current CPU's registers if no argument is specified)",
     "-an?", info_registers, NULL},
    {"tlb", NULL, "show virtual to physical memory mappings", NULL, info_tlb, NULL},
};
/* clang-format on */

void monitor_add_cpu_commands(struct monitor *monitor)
{
    monitor_add(monitor, MONITOR_MAIN, commands, sizeof commands / sizeof commands[0]);
    monitor_add(monitor, MONITOR_INFO, info, sizeof info / sizeof info[0]);
}
