/* SPDX-License-Identifier: MIT
 *
 * What tests of the engine share; see engine_guest.h. */
#include "engine_guest.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#include "guest/x86/cpuid.h"
#include "guest/x86/guest.h"
#include "host/x64/x64.h"
#include "trace/probe/control.h"
#include "trace/probe/event.h"

enum { SIGNALS = 6, STACK = 256 << 10, WRITE_FAULT = 2, KERNEL_SIGSET = 8 };

static int signal_number(unsigned i)
{
    const int signals[SIGNALS] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP, SIGRTMIN};

    return signals[i];
}

/* As the kernel has it: the engine installs its handlers without the C library. */
struct kernel_action {
    uint64_t handler, flags, restorer, mask;
};

static struct {
    struct kernel_action action[SIGNALS]; /* before the first guest was opened */
    unsigned open;
    const struct x86_model *model;
} shared;

/* Of the CPU that is bound to this thread. */
static _Thread_local struct {
    struct guest *guest;
    stack_t before;
    void *stack;
} mine;

void guest_die(const char *format, ...)
{
    char text[256];
    va_list arguments;
    int len;

    va_start(arguments, format);
    len = vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    if (len > 0 && write(STDOUT_FILENO, text, (size_t)len) < 0)
        _exit(2);
    _exit(1);
}

/* --- memory --- */

static unsigned page(void *opaque, uint64_t address)
{
    const struct guest *guest = opaque;
    uint64_t offset = address - (uint64_t)(uintptr_t)guest->code;

    if (offset >= GUEST_CODE_SIZE || guest->refuse_exec[offset / GUEST_PAGE])
        return 0;
    return guest->how;
}

static void protect(uint64_t address, int protection)
{
    if (mprotect((void *)(uintptr_t)(address & -(uint64_t)GUEST_PAGE), GUEST_PAGE, protection) != 0)
        guest_die("mprotect of a guest page: %s\n", strerror(errno));
}

static void watch_stores(void *opaque, uint64_t address, bool on)
{
    struct guest *guest = opaque;

    __atomic_fetch_add(&guest->watched, on, __ATOMIC_RELAXED);
    protect(address, on ? PROT_READ | PROT_EXEC : PROT_READ | PROT_WRITE | PROT_EXEC);
}

/* A store to a page of code that is watched: it may go ahead once the code is forgotten. */
static bool store_to_code(struct guest *guest, int signal, const siginfo_t *info, void *opaque)
{
    const ucontext_t *context = opaque;
    uint64_t address = (uint64_t)(uintptr_t)info->si_addr;
    uint64_t start = address & -(uint64_t)GUEST_PAGE;

    if (signal != SIGSEGV || info->si_code != SEGV_ACCERR || !(guest->how & ENGINE_PAGE_WATCH) ||
        !(context->uc_mcontext.gregs[REG_ERR] & WRITE_FAULT) ||
        address - (uint64_t)(uintptr_t)guest->code >= GUEST_CODE_SIZE)
        return false;
    __atomic_fetch_add(&guest->caught, 1, __ATOMIC_RELAXED);
    protect(address, PROT_READ | PROT_WRITE | PROT_EXEC);
    engine_invalidate(guest->engine, start, start + GUEST_PAGE);
    engine_code_changed(opaque);
    return true;
}

static void handler(int signal, siginfo_t *info, void *context)
{
    const ucontext_t *uc = context;
    int saved = errno;

    if (!mine.guest)
        guest_die("signal %d on a thread without a CPU\n", signal);
    if (!store_to_code(mine.guest, signal, info, context)) {
        switch (engine_signal(signal, info, context)) {
        case ENGINE_SIGNAL_TAKEN:
        case ENGINE_SIGNAL_FAULT: break;
        case ENGINE_SIGNAL_CODE: vcpu_interrupt(vcpu_current()); break;
        case ENGINE_SIGNAL_HOST:
            if (info->si_code > 0 && signal < SIGRTMIN)
                guest_die("signal %d in C, at %#llx, address %p\n", signal,
                          uc->uc_mcontext.gregs[REG_RIP], info->si_addr);
            vcpu_interrupt(vcpu_current());
        }
    }
    errno = saved;
}

/* --- opened and closed --- */

static void *map(size_t size, int protection)
{
    void *at = mmap(NULL, size, protection, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (at == MAP_FAILED)
        guest_die("no memory for a guest: %s\n", strerror(errno));
    return at;
}

static bool read_memory(void *opaque, uint64_t address, void *to, size_t size)
{
    uint64_t bad;

    (void)opaque;
    return x86_direct_memory.read(NULL, address, to, size, &bad);
}

void guest_open_with(struct guest *guest, const struct engine_options *options, unsigned how,
                     const struct ir_guest *guest_cpu_functions)
{
    static const struct engine_options none;
    static const uint8_t syscall_code[] = {0x0f, 0x05};
    struct error err = {""};
    struct engine_config config = {
        .guest = guest_cpu_functions,
        .host = &x64_host,
        .memory = {.opaque = guest,
                   .page = page,
                   .watch_stores = watch_stores,
                   .read = read_memory},
        .options = options ? *options : none,
        .kick_signal = SIGRTMIN,
    };

    *guest = (struct guest){.how = how};
    guest->code = map(GUEST_CODE_SIZE, PROT_READ | PROT_WRITE | PROT_EXEC);
    guest->data = map(GUEST_DATA_SIZE, PROT_READ | PROT_WRITE);
    guest->stacks = map(GUEST_CPUS * GUEST_STACK_SIZE, PROT_READ | PROT_WRITE);
    guest->done = guest_put(guest, syscall_code, syscall_code + sizeof(syscall_code));
    if (shared.open++ == 0) {
        for (unsigned i = 0; i < SIGNALS; i++)
            syscall(SYS_rt_sigaction, signal_number(i), NULL, &shared.action[i], KERNEL_SIGSET);
        shared.model = x86_model_parse(NULL, &err);
        if (!shared.model)
            guest_die("no model: %s\n", err.text);
    }
    config.guest_config = shared.model;
    guest->engine = engine_new(&config, &err);
    if (!guest->engine)
        guest_die("no engine: %s\n", err.text);
    for (unsigned i = 0; i < SIGNALS; i++)
        if (!engine_sigaction(guest->engine, signal_number(i), handler))
            guest_die("no handler for signal %d\n", signal_number(i));
}

void guest_open(struct guest *guest, const struct engine_options *options, unsigned how)
{
    guest_open_with(guest, options, how, &x86_guest);
}

void guest_close(struct guest *guest)
{
    engine_free(guest->engine);
    munmap(guest->code, GUEST_CODE_SIZE);
    munmap(guest->data, GUEST_DATA_SIZE);
    munmap(guest->stacks, GUEST_CPUS * GUEST_STACK_SIZE);
    if (--shared.open > 0)
        return;
    for (unsigned i = 0; i < SIGNALS; i++)
        syscall(SYS_rt_sigaction, signal_number(i), &shared.action[i], NULL, KERNEL_SIGSET);
    x86_model_free(shared.model);
}

uint64_t guest_put(struct guest *guest, const uint8_t *code, const uint8_t *end)
{
    uint8_t *at = guest->code + guest->used;
    size_t size = (size_t)(end - code);

    if (guest->used + size > GUEST_CODE_SIZE)
        guest_die("the guest's memory is full\n");
    memcpy(at, code, size);
    guest->used = (guest->used + size + 15) & ~(size_t)15;
    return (uint64_t)(uintptr_t)at;
}

struct vcpu *guest_cpu_open(struct guest *guest, unsigned number)
{
    struct error err = {""};
    struct vcpu *vcpu = vcpu_new(guest->engine, (int)number, &err);

    if (!vcpu)
        guest_die("no CPU: %s\n", err.text);
    if (!mine.stack) {
        stack_t stack = {.ss_size = STACK};

        stack.ss_sp = mine.stack = map(STACK, PROT_READ | PROT_WRITE);
        sigaltstack(&stack, &mine.before);
    }
    mine.guest = guest;
    vcpu_bind(vcpu);
    guest_cpu(vcpu)->state.reg[X86_RSP] =
        (uint64_t)(uintptr_t)guest->stacks + (number + 1) * (uint64_t)GUEST_STACK_SIZE - 64;
    return vcpu;
}

void guest_cpu_close(struct vcpu *vcpu)
{
    vcpu_free(vcpu);
    if (mine.stack) {
        sigaltstack(&mine.before, NULL);
        munmap(mine.stack, STACK);
        mine.stack = NULL;
    }
    mine.guest = NULL;
}

/* --- running --- */

enum vcpu_event guest_run(struct vcpu *vcpu)
{
    enum vcpu_event event;

    do
        event = vcpu_run(vcpu);
    while (event == VCPU_INTERRUPTED);
    return event;
}

void guest_prepare(struct guest *guest, struct vcpu *vcpu, uint64_t pc, uint64_t a, uint64_t b,
                   uint64_t c)
{
    struct ir_state *state = vcpu_state(vcpu);
    uint64_t *stack = (uint64_t *)(uintptr_t)(state->reg[X86_RSP] -= 8);

    *stack = guest->done;
    state->reg[X86_RDI] = a;
    state->reg[X86_RSI] = b;
    state->reg[X86_RDX] = c;
    state->pc = pc;
}

uint64_t guest_call(struct guest *guest, struct vcpu *vcpu, uint64_t pc, uint64_t a, uint64_t b,
                    uint64_t c)
{
    struct ir_state *state = vcpu_state(vcpu);
    enum vcpu_event event;

    guest_prepare(guest, vcpu, pc, a, b, c);
    event = guest_run(vcpu);
    if (event != VCPU_SYSCALL)
        guest_die("guest code stopped with event %d at %#lx (signal %d, address %#lx)\n", event,
                  (unsigned long)state->pc, vcpu_fault(vcpu)->signal,
                  (unsigned long)vcpu_fault(vcpu)->address);
    return state->reg[X86_RAX];
}

uint64_t guest_call_native(uint64_t pc, uint64_t a, uint64_t b, uint64_t c)
{
    uint64_t (*function)(uint64_t, uint64_t, uint64_t);

    memcpy(&function, &pc, sizeof(function));
    return function(a, b, c);
}

/* --- events --- */

struct guest_trace {
    char pattern[64];
    struct trace_sink *sink;
    guest_event_fn *event;
    void *opaque;
};

static void event_here(struct trace_sink *sink, const struct trace_event *event,
                       const uint64_t *values, const uint32_t *lengths)
{
    const struct guest_trace *trace = sink->own;

    (void)lengths;
    trace->event(trace->opaque, event->decl->name, values);
}

static struct guest_trace *listen(const char *pattern, const struct trace_sink_ops *ops,
                                  const struct trace_sink_options *options, guest_event_fn *event,
                                  void *opaque)
{
    static const struct trace_rule_options all;
    struct guest_trace *trace = malloc(sizeof(*trace));
    struct error err = {""};

    if (!trace)
        guest_die("no memory\n");
    snprintf(trace->pattern, sizeof(trace->pattern), "%s", pattern);
    trace->event = event;
    trace->opaque = opaque;
    trace_control_lock();
    trace->sink = trace_sink_new(ops, options, &err);
    if (!trace->sink)
        guest_die("no sink: %s\n", err.text);
    if (event)
        trace->sink->own = trace;
    if (!trace_sink_on(trace->sink, &err))
        guest_die("no sink: %s\n", err.text);
    trace_control_unlock();
    if (!trace_rule_add(pattern, trace->sink, &all, NULL, &err))
        guest_die("no events: %s\n", err.text);
    return trace;
}

void guest_trace_filter(struct guest_trace *trace, const char *filter)
{
    const struct trace_rule_options only = {.filter = filter};
    struct error err = {""};

    trace_control_lock();
    trace_rules_drop(trace->sink);
    trace_control_unlock();
    if (!trace_rule_add(trace->pattern, trace->sink, &only, NULL, &err))
        guest_die("%s: %s\n", filter, err.text);
}

struct guest_trace *guest_trace_on(const char *pattern, guest_event_fn *event, void *opaque)
{
    static const struct trace_sink_ops ops = {.name = "test", .event = event_here};
    static const struct trace_sink_options none;

    return listen(pattern, &ops, &none, event, opaque);
}

struct guest_trace *guest_trace_to(const char *pattern, const char *writer, const char *file)
{
    const struct trace_sink_options options = {.file = strdup(file)};

    return listen(pattern, trace_writer_find(writer), &options, NULL, NULL);
}

void guest_trace_off(struct guest_trace *trace)
{
    struct trace_match match;

    trace_control_lock();
    trace_sink_off(trace->sink);
    trace_rules_drop(trace->sink);
    trace_control_unlock();
    trace_state_set(trace->pattern, false, &match);
    trace_control_lock();
    trace_sink_free(trace->sink);
    trace_control_unlock();
    free(trace);
}
