/* SPDX-License-Identifier: MIT
 *
 * The CPU as context of events: what a CPU's thread is at when it fires one. */
#include <string.h>

#include "guest/x86/access.h"
#include "machine/internal.h"
#include "trace/probe/context.h"

static uint64_t get_cpl(uint32_t *length)
{
    const struct x86_cpu *cpu = machine_thread_cpu();

    (void)length;
    return cpu ? cpu->system.cpl : ~UINT64_C(0);
}

static const char *mode_of(const struct x86_cpu *cpu)
{
    static const char *const protected[] = {"prot16", "prot32"};
    static const char *const compatible[] = {"compat16", "compat32"};
    enum x86_mode mode;

    if (!x86_protected(cpu)) {
        return "real";
    }
    if (x86_v86(cpu)) {
        return "v86";
    }
    mode = x86_code_mode(cpu);
    if (mode == X86_MODE_64) {
        return "long64";
    }
    return (x86_long(cpu) ? compatible : protected)[mode == X86_MODE_32];
}

static uint64_t get_mode(uint32_t *length)
{
    const struct x86_cpu *cpu = machine_thread_cpu();
    const char *mode = cpu ? mode_of(cpu) : "";

    *length = (uint32_t)strlen(mode);
    return (uintptr_t)mode;
}

static uint64_t get_cr3(uint32_t *length)
{
    const struct x86_cpu *cpu = machine_thread_cpu();

    (void)length;
    return cpu ? cpu->system.cr3 : 0;
}

void machine_fields_add(void)
{
    static const struct trace_field cpl = {"cpl", TRACE_SIGNED,
                                           "privilege level of the guest's CPU, -1: not on its "
                                           "thread"};
    static const struct trace_field mode = {"mode", TRACE_STRING,
                                            "mode of the guest's CPU: real, v86, prot16, prot32, "
                                            "compat16, compat32, long64"};
    static const struct trace_field cr3 = {"cr3", TRACE_UNSIGNED,
                                           "address space of the guest: CR3"};

    trace_context_add(&cpl, get_cpl);
    trace_context_add(&mode, get_mode);
    trace_context_add(&cr3, get_cr3);
}
