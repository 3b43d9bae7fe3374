/* SPDX-License-Identifier: MIT
 *
 * vCPUs: a thread each.
 *
 *     with the lock            without
 *     -------------            -------
 *     stands (may it run?) --> vcpu_run()
 *     waits in HLT         <--
 *
 * What a device wants of a CPU comes through its local APIC, under the lock: a bit in its record,
 * a word to the engine, which looks at the next instruction boundary, and a signal to the thread if
 * it waits. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/log.h"
#include "base/logitems.h"
#include "base/memory.h"
#include "engine/engine.h"
#include "engine/system.h"
#include "guest/x86/bus.h"
#include "guest/x86/cpuid.h"
#include "guest/x86/guest.h"
#include "guest/x86/x86.h"
#include "host/x64/x64.h"
#include "machine/internal.h"
#include "trace/probe/context.h"

enum {
    ALTERNATE_STACK = 256 << 10,
    MWAIT_FIRST = 20000,  /* ns: when a line that MONITOR named is looked at again, at first ... */
    MWAIT_LAST = 1000000, /* ... and in the end */
};

#define KICK_SIGNAL (SIGRTMIN + 1)

static _Thread_local struct machine_cpu *current;

struct machine_cpu *machine_current_cpu(const struct machine *machine)
{
    return current && current->machine == machine ? current : NULL;
}

/* --- host signals --- */

static const int fault_signals[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP};

/* A fault that is not the guest's is ours: it happens again, with the host's own way to end. */
static void handler(int signal, siginfo_t *info, void *ucontext)
{
    if (engine_signal(signal, info, ucontext) == ENGINE_SIGNAL_HOST && signal != KICK_SIGNAL) {
        struct sigaction action = {.sa_handler = SIG_DFL};
        sigaction(signal, &action, NULL);
    }
}

static bool install_handlers(struct machine *machine, struct error *err)
{
    bool good = engine_sigaction(machine->engine, KICK_SIGNAL, handler);

    for (size_t i = 0; good && i < sizeof fault_signals / sizeof fault_signals[0]; i++) {
        good = engine_sigaction(machine->engine, fault_signals[i], handler);
    }
    return good || error_set(err, "signal handlers cannot be installed: %s", strerror(errno));
}

/* Signals that are for the process are not for this thread. */
static void block_signals(void)
{
    sigset_t set;

    sigfillset(&set);
    sigdelset(&set, KICK_SIGNAL);
    for (size_t i = 0; i < sizeof fault_signals / sizeof fault_signals[0]; i++) {
        sigdelset(&set, fault_signals[i]);
    }
    pthread_sigmask(SIG_SETMASK, &set, NULL);
}

/* --- notices of the APIC; with the lock --- */

static void notify(void *opaque, enum apic_notice what, unsigned value)
{
    struct machine_cpu *cpu = opaque;

    if (!cpu->x86) {
        return;
    }
    switch (what) {
    case APIC_NOTICE_INTERRUPT:
        if (!value) {
            x86_withdraw(cpu->x86, X86_REQUEST_INTERRUPT);
            return;
        }
        x86_request(cpu->x86, X86_REQUEST_INTERRUPT);
        break;
    case APIC_NOTICE_NMI:
        if (cpu->machine->own->nmi_masked && cpu->number == 0) {
            return;
        }
        x86_request(cpu->x86, X86_REQUEST_NMI);
        break;
    case APIC_NOTICE_SMI: return; /* there is no such mode */
    case APIC_NOTICE_INIT: x86_request(cpu->x86, X86_REQUEST_INIT); break;
    case APIC_NOTICE_SIPI: x86_request_sipi(cpu->x86, (uint8_t)value); break;
    }
    vcpu_attend(cpu->vcpu);
    pthread_cond_signal(&cpu->wake);
}

/* The TSC counts the clock's nanoseconds. */
static uint64_t tsc_time(void *opaque, uint64_t tsc)
{
    const struct machine_cpu *cpu = opaque;
    uint64_t offset = cpu->x86 ? cpu->x86->system.msr.tsc_offset : 0;
    uint64_t now = clock_now(&cpu->machine->clock);

    /* Offsets may be negative: what is to come is counted from now. */
    int64_t left = (int64_t)(tsc - (now + offset));
    if (left <= 0) {
        return 0;
    }
    return now + (uint64_t)left;
}

static int current_number(void *opaque)
{
    const struct machine_cpu *cpu = machine_current_cpu(opaque);

    return cpu ? (int)cpu->number : MEM_BY_DEVICE;
}

/* --- A20 --- */

void machine_set_a20(struct machine *machine)
{
    for (unsigned i = 0; i < machine->cpus; i++) {
        machine->cpu[i].a20_changed = true;
    }
    machine_cpus_interrupt(machine);
}

static void update_a20(struct machine_cpu *cpu)
{
    const struct machine_private *own = cpu->machine->own;

    if (cpu->a20_changed) {
        cpu->a20_changed = false;
        x86_set_a20(cpu->x86, own->a20_port92 || own->a20_keyboard);
        vcpu_changed(cpu->vcpu);
    }
}

/* --- the thread --- */

/* While nothing wakes a CPU in HLT. Nobody tells of stores to the line that MWAIT waits for: it is
 * looked at, soon and then less and less often. */
static void wait_halted(struct machine_cpu *cpu)
{
    struct machine *machine = cpu->machine;
    struct x86_system *system = &cpu->x86->system;
    uint64_t pause = MWAIT_FIRST;

    cpu->waits = true;
    while (machine_may_run(machine) && !x86_event_wakes(cpu->x86)) {
        if (system->activity == X86_MWAITING && x86_monitor_changed(cpu->x86)) {
            system->activity = X86_RUNNING;
            system->monitor_armed = false;
            break;
        }
        if (machine->options->count_instructions) {
            machine_icount_wait(machine);
        } else if (system->activity != X86_MWAITING) {
            machine_wait(machine, &cpu->wake, TIMER_NEVER);
        } else {
            machine_wait(machine, &cpu->wake, pause);
            pause = pause * 2 < MWAIT_LAST ? pause * 2 : MWAIT_LAST;
        }
    }
    cpu->waits = false;
}

static bool prepare_thread(struct machine_cpu *cpu, void **stack)
{
    stack_t alternate = {.ss_size = ALTERNATE_STACK};

    *stack = mmap(NULL, ALTERNATE_STACK, PROT_READ | PROT_WRITE,
                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
    if (*stack == MAP_FAILED) {
        return false;
    }
    alternate.ss_sp = *stack;
    sigaltstack(&alternate, NULL);
    block_signals();
    current = cpu;
    trace_vcpu = (int)cpu->number;
    vcpu_bind(cpu->vcpu);
    return true;
}

static void *thread_main(void *opaque)
{
    struct machine_cpu *cpu = opaque;
    struct machine *machine = cpu->machine;
    void *stack;

    if (!prepare_thread(cpu, &stack)) {
        bug("no memory for the signal stack of CPU %u", cpu->number);
    }
    machine_lock(machine);
    cpu->thread_id = gettid();
    pthread_cond_broadcast(&machine->stood);
    while (!machine->own->ends) {
        if (!machine_may_run(machine)) {
            machine_wait(machine, &cpu->wake, TIMER_NEVER);
            continue;
        }
        update_a20(cpu);
        if (machine->options->count_instructions) {
            machine_icount_grant(machine);
        }
        cpu->inside = true;
        machine_unlock(machine);
        enum vcpu_event event = vcpu_run(cpu->vcpu);
        machine_lock(machine);
        cpu->inside = false;
        if (machine->options->count_instructions) {
            machine_icount_settle(machine);
        }
        pthread_cond_broadcast(&machine->stood);
        if (event == VCPU_WAITS) {
            wait_halted(cpu);
        }
    }
    machine_unlock(machine);
    stack_t none = {.ss_flags = SS_DISABLE};
    sigaltstack(&none, NULL);
    munmap(stack, ALTERNATE_STACK);
    return NULL;
}

void machine_cpus_interrupt(struct machine *machine)
{
    for (unsigned i = 0; i < machine->cpus; i++) {
        if (machine->cpu[i].vcpu) {
            vcpu_interrupt(machine->cpu[i].vcpu);
        }
    }
}

void machine_cpus_wake(struct machine *machine)
{
    for (unsigned i = 0; i < machine->cpus; i++) {
        pthread_cond_signal(&machine->cpu[i].wake);
    }
}

static bool any_inside(const struct machine *machine)
{
    for (unsigned i = 0; i < machine->cpus; i++) {
        if (machine->cpu[i].inside) {
            return true;
        }
    }
    return false;
}

void machine_cpus_stand(struct machine *machine)
{
    if (!any_inside(machine)) {
        return;
    }
    machine_cpus_interrupt(machine);
    while (any_inside(machine)) {
        machine_wait(machine, &machine->stood, TIMER_NEVER);
    }
}

void machine_cpu_changed(struct machine_cpu *cpu)
{
    if (cpu->vcpu) {
        x86_update_mode(cpu->x86);
        vcpu_changed(cpu->vcpu);
    }
}

/* --- making, starting, ending --- */

static bool make_engine(struct machine *machine, struct error *err)
{
    const struct machine_options *options = machine->options;
    struct engine_config config = {
        .guest = &x86_system_guest,
        .host = &x64_soft_host,
        .guest_config = options->model,
        .space = machine->board.memory,
        .symbols = options->symbols,
        .kick_signal = KICK_SIGNAL,
    };

    if (options->engine) {
        config.options = *options->engine;
    }
    config.options.budget = options->count_instructions;
    machine->engine = engine_new(&config, err);
    return machine->engine && install_handlers(machine, err);
}

static bool make_cpu(struct machine *machine, unsigned number, struct error *err)
{
    struct machine_cpu *cpu = &machine->cpu[number];

    if (!machine->engine) {
        return true;
    }
    cpu->vcpu = vcpu_new(machine->engine, (int)number, err);
    if (!cpu->vcpu) {
        return false;
    }
    cpu->x86 = vcpu_state(cpu->vcpu);
    cpu->bus = mem_alloc(sizeof *cpu->bus);
    cpu->bus->opaque = cpu;
    machine_bus_fill(cpu, cpu->bus);
    vcpu_connect(cpu->vcpu, cpu->bus);
    return true;
}

bool machine_cpus_new(struct machine *machine, struct error *err)
{
    const struct machine_options *options = machine->options;

    machine->cpus = options->cpus ? options->cpus : 1;
    machine->cpu = mem_alloc(machine->cpus * sizeof *machine->cpu);
    for (unsigned i = 0; i < machine->cpus; i++) {
        pthread_condattr_t monotonic;
        pthread_condattr_init(&monotonic);
        pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
        machine->cpu[i].machine = machine;
        machine->cpu[i].number = i;
        pthread_cond_init(&machine->cpu[i].wake, &monotonic);
        pthread_condattr_destroy(&monotonic);
    }
    if (options->model && !make_engine(machine, err)) {
        return false;
    }
    for (unsigned i = 0; i < machine->cpus; i++) {
        if (!make_cpu(machine, i, err)) {
            return false;
        }
    }
    return true;
}

bool machine_cpus_connect(struct machine *machine, struct error *err)
{
    apic_bus_init(&machine->apics, &machine->board, current_number, machine);
    for (unsigned i = 0; i < machine->cpus; i++) {
        struct machine_cpu *cpu = &machine->cpu[i];
        const struct apic_cpu face = {cpu, notify, tsc_time};
        cpu->apic = local_apic_new(&machine->apics, i, &face, err);
        if (!cpu->apic) {
            return false;
        }
    }
    return true;
}

bool machine_cpus_start(struct machine *machine, struct error *err)
{
    for (unsigned i = 0; machine->engine && i < machine->cpus; i++) {
        struct machine_cpu *cpu = &machine->cpu[i];
        int failed = pthread_create(&cpu->thread, NULL, thread_main, cpu);
        if (failed) {
            return error_set(err, "no thread for CPU %u: %s", i, strerror(failed));
        }
        cpu->started = true;
    }
    for (unsigned i = 0; machine->engine && i < machine->cpus; i++) {
        while (!machine->cpu[i].thread_id) {
            machine_wait(machine, &machine->stood, TIMER_NEVER);
        }
    }
    return true;
}

void machine_cpus_end(struct machine *machine)
{
    machine_lock(machine);
    machine->own->ends = true;
    machine_cpus_stand(machine);
    machine_cpus_wake(machine);
    machine_unlock(machine);
    for (unsigned i = 0; i < machine->cpus; i++) {
        if (machine->cpu[i].started) {
            pthread_join(machine->cpu[i].thread, NULL);
            machine->cpu[i].started = false;
        }
    }
}

void machine_cpus_free(struct machine *machine)
{
    for (unsigned i = 0; i < machine->cpus; i++) {
        if (machine->cpu[i].vcpu) {
            vcpu_free(machine->cpu[i].vcpu);
        }
        free(machine->cpu[i].bus);
        pthread_cond_destroy(&machine->cpu[i].wake);
    }
    if (machine->engine) {
        engine_free(machine->engine);
    }
    if (machine->apics.board) {
        apic_bus_free(&machine->apics);
    }
    free(machine->cpu);
    machine->cpu = NULL;
    machine->cpus = 0;
}

/* --- reset --- */

static void log_reset(const struct machine_cpu *cpu)
{
    struct strbuf text;

    strbuf_init(&text);
    strbuf_printf(&text, "CPU Reset (CPU %u)\n", cpu->number);
    x86_print_system(cpu->x86, &text);
    log_text(text.data, text.len);
    strbuf_free(&text);
}

void machine_cpus_reset(struct machine *machine)
{
    for (unsigned i = 0; i < machine->cpus; i++) {
        struct machine_cpu *cpu = &machine->cpu[i];
        if (!cpu->vcpu) {
            continue;
        }
        if (log_item_on(LOG_CPU_RESET)) {
            log_reset(cpu);
        }
        x86_system_reset(cpu->x86, machine->options->model, cpu->x86->system.bus, cpu->number);
        cpu->a20_changed = true;
        cpu->told_shutdown = false;
        vcpu_changed(cpu->vcpu);
        if (local_apic_pending(cpu->apic)) {
            x86_request(cpu->x86, X86_REQUEST_INTERRUPT);
        }
    }
}
