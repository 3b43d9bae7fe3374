/* SPDX-License-Identifier: MIT
 *
 * The engine under test, and what it asks of the owner of guest memory. */
#include <signal.h>
#include <string.h>
#include <ucontext.h>

#include "base/error.h"
#include "engine/engine.h"
#include "engine_side.h"
#include "guest/x86/cpuid.h"
#include "guest/x86/guest.h"
#include "guest/x86/helpers.h"
#include "guest/x86/x86.h"
#include "host/x64/x64.h"
#include "scratch.h"
#include "user/access.h"

enum { NEAR = 0x30000000, NEAR_SIZE = 1 << 20 }; /* small: guests may hit it */

static const struct {
    const char *name;
    struct engine_options options;
} SWITCHES[] = {
    {"none", {.no_chain = false}},
    {"nochain", {.no_chain = true}},
    {"one", {.one_instruction = true}},
    {"noliveness", {.no_liveness = true}},
    {"count", {.count = true}},
    {"selfcheck", {.self_check = true}},
    {"randomexits", {.random_exits = true}},
    {"smallcache", {.cache_size = 256 << 10}},
    {"short", {.block_limit = 3}},
    {"near", {.code_near = NEAR, .cache_size = NEAR_SIZE}},
    {"all",
     {.no_chain = true,
      .no_liveness = true,
      .count = true,
      .self_check = true,
      .random_exits = true,
      .cache_size = 256 << 10,
      .block_limit = 2}},
};
enum { COUNT = sizeof SWITCHES / sizeof *SWITCHES };

static const int SIGNALS[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP};

static const struct x86_model *model;
static struct engine *engines[COUNT];
static struct vcpu *vcpus[COUNT];
static bool soft;
static struct soft_machine *machines[COUNT];
static struct x86_memory_access memories[COUNT];
static void (*on_crash)(int signal, uint64_t pc, uint64_t address);

unsigned engine_side_count(void)
{
    return COUNT;
}

const char *engine_side_name(unsigned number)
{
    return SWITCHES[number].name;
}

void engine_side_on_crash(void (*crash)(int, uint64_t, uint64_t))
{
    on_crash = crash;
}

static unsigned page(void *opaque, uint64_t address)
{
    (void)opaque;
    return scratch_executable(address) ? ENGINE_PAGE_EXEC : 0;
}

static void watch_stores(void *opaque, uint64_t address, bool on)
{
    (void)opaque, (void)address, (void)on;
}

static bool read_code(void *opaque, uint64_t address, void *to, size_t size)
{
    (void)opaque;
    return user_copy_in(to, address, size);
}

static bool touch(void *opaque, uint64_t address, bool write, struct vcpu_fault *fault)
{
    (void)opaque;
    return user_touch(address, write, fault);
}

static void handle(int signal, siginfo_t *info, void *context)
{
    const ucontext_t *uc = context;

    if (engine_signal(signal, info, context) == ENGINE_SIGNAL_HOST && !user_access_fault(context) &&
        !user_touch_fault(signal, info, context))
        on_crash(signal, uc->uc_mcontext.gregs[REG_RIP], (uint64_t)info->si_addr);
}

bool engine_side_model(const char *text, struct error *err)
{
    model = soft ? x86_model_parse_system(text, NULL, NULL, err) : x86_model_parse(text, err);
    return model != NULL;
}

void engine_side_soft(void)
{
    soft = true;
}

bool engine_side_is_soft(void)
{
    return soft;
}

/* The cache of `near` has a few pages beside. */
bool engine_side_owns(uint64_t address)
{
    return address - NEAR < 2 * NEAR_SIZE;
}

const struct x86_features *engine_side_features(void)
{
    return &model->features;
}

uint64_t engine_side_xcr0(void)
{
    return model->xcr0;
}

static uint64_t guest_pc(void *opaque, uint64_t host_pc)
{
    return engine_guest_pc(opaque, host_pc);
}

static void make(unsigned number)
{
    struct error err = {""};
    struct engine_config config = {
        .guest = &x86_guest,
        .host = &x64_host,
        .guest_config = model,
        .memory =
            {
                .page = page,
                .watch_stores = watch_stores,
                .read = read_code,
                .touch = touch,
            },
        .options = SWITCHES[number].options,
        .kick_signal = SIGRTMIN,
    };

    if (soft) {
        machines[number] = soft_new_machine();
        config.guest = &x86_system_guest;
        config.host = &x64_soft_host;
        config.options.self_check = false; /* pages of code are watched */
        config.options.code_near = 0;      /* the guest does not share addresses with it */
        config.memory = (struct engine_memory){0};
        config.space = soft_space(machines[number]);
    }
    engines[number] = engine_new(&config, &err);
    if (engines[number] != NULL)
        vcpus[number] = vcpu_new(engines[number], number, &err);
    if (vcpus[number] == NULL)
        bug("no engine: %s", err.text);
    if (soft) {
        soft_connect(machines[number], vcpus[number]);
        return;
    }
    memories[number] = user_guest_memory;
    memories[number].opaque = engines[number];
    memories[number].guest_pc = guest_pc;
    ((struct x86_cpu *)vcpu_state(vcpus[number]))->memory = &memories[number];
}

static void bind_one(unsigned number)
{
    static unsigned bound = COUNT;

    if (engines[number] == NULL)
        make(number);
    if (bound == number)
        return;
    bound = number;
    for (unsigned i = 0; i < sizeof SIGNALS / sizeof *SIGNALS; i++)
        if (!engine_sigaction(engines[number], SIGNALS[i], handle))
            bug("no handler for signal %d", SIGNALS[i]);
    vcpu_bind(vcpus[number]);
}

static void put(struct x86_cpu *cpu, const struct machine *in)
{
    memcpy(cpu->state.reg, in->gpr, sizeof in->gpr);
    cpu->state.pc = in->rip;
    x86_set_rflags(cpu, in->flags);
    cpu->state.thread_base = in->fs_base;
    cpu->state.other_base = in->gs_base;
    memset(cpu->segment, 0, sizeof cpu->segment);
    cpu->segment[NATIVE_CS] = 0x33;
    cpu->segment[NATIVE_SS] = 0x2b;
    memcpy(cpu->state.vector, in->vector, sizeof in->vector);
}

/* The last x87 instruction is told where it ran: in the code cache. */
static void get(struct engine *engine, const struct x86_cpu *cpu, struct machine *out)
{
    uint64_t fip;

    memcpy(out->gpr, cpu->state.reg, sizeof out->gpr);
    out->rip = cpu->state.pc;
    out->flags = x86_get_rflags(cpu);
    out->fs_base = cpu->state.thread_base;
    out->gs_base = cpu->state.other_base;
    memcpy(out->vector, cpu->state.vector, sizeof out->vector);
    memcpy(&fip, out->vector + MACHINE_FIP, sizeof fip);
    fip = engine_guest_pc(engine, fip);
    memcpy(out->vector + MACHINE_FIP, &fip, sizeof fip);
    machine_normalize(out->vector);
}

void engine_side_run(unsigned number, const struct machine *in, struct outcome *out)
{
    enum vcpu_event event;

    bind_one(number);
    put(vcpu_state(vcpus[number]), in);
    do
        event = vcpu_run(vcpus[number]);
    while (event == VCPU_INTERRUPTED);
    get(engines[number], vcpu_state(vcpus[number]), &out->machine);
    memset(&out->fault, 0, sizeof out->fault);
    out->fault.code = event;
    if (event == VCPU_FAULT) {
        const struct vcpu_fault *fault = vcpu_fault(vcpus[number]);

        out->fault = (struct machine_fault){fault->signal, fault->code, fault->address, fault->trap,
                                            fault->error};
    }
}

void engine_side_run_soft(unsigned number, const struct soft_run *how, enum scratch_layout layout,
                          const struct machine *in, struct outcome *out)
{
    bind_one(number);
    soft_side_run(machines[number], how, layout, in, out);
}

void engine_side_forget(uint64_t start, uint64_t end)
{
    for (unsigned i = 0; i < COUNT; i++)
        if (engines[i] != NULL)
            engine_invalidate(engines[i], start, end);
}
