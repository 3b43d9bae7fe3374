/* SPDX-License-Identifier: MIT
 *
 * Run states, and what is asked of a machine while it runs.
 *
 *     prelaunch --> running <--> paused, io-error, suspended, shutdown, guest-panicked
 *
 * Requests are bits that any thread sets; the loop's thread serves them, in the order of the code
 * below. */
#include <signal.h>
#include <string.h>

#include "base/memory.h"
#include "device/piix4_pm.h"
#include "machine/internal.h"
#include "net/net.h"
#include "trace-machine.h"

static const char *const state_names[] = {
#define STATE_NAME(state, name) [RUN_STATE_##state] = name,
    RUN_STATES(STATE_NAME)
#undef STATE_NAME
};

static const char *const cause_names[] = {
#define CAUSE_NAME(cause, name) [SHUTDOWN_CAUSE_##cause] = name,
    SHUTDOWN_CAUSES(CAUSE_NAME)
#undef CAUSE_NAME
};

const char *run_state_name(enum run_state state)
{
    return state < RUN_STATE_COUNT ? state_names[state] : "?";
}

const char *shutdown_cause_name(enum shutdown_cause cause)
{
    return cause < SHUTDOWN_CAUSE_COUNT ? cause_names[cause] : "?";
}

/* --- listeners --- */

void machine_listen(struct machine *machine, struct machine_listener *listener)
{
    struct machine_listener **end = &machine->listeners;

    while (*end) {
        end = &(*end)->next;
    }
    listener->next = NULL;
    *end = listener;
}

void machine_listen_no_more(struct machine *machine, struct machine_listener *listener)
{
    for (struct machine_listener **at = &machine->listeners; *at; at = &(*at)->next) {
        if (*at == listener) {
            *at = listener->next;
            return;
        }
    }
}

/* A listener may take itself out. */
#define TELL(machine, function, ...)                                                         \
    for (struct machine_listener *listener = (machine)->listeners, *next_listener; listener; \
         listener = next_listener) {                                                         \
        next_listener = listener->next;                                                      \
        if (listener->function) {                                                            \
            listener->function(listener->opaque, ##__VA_ARGS__);                             \
        }                                                                                    \
    }

/* --- states --- */

static void set_state(struct machine *machine, enum run_state state)
{
    trace_runstate_set((int)machine->state, run_state_name(machine->state), (int)state,
                       run_state_name(state));
    machine->state = state;
}

static void notify(struct machine *machine, bool running)
{
    trace_vm_state_notify(running, (int)machine->state, run_state_name(machine->state));
    nets_run(machine->nets, running);
    TELL(machine, state, running, machine->state)
}

static void go(struct machine *machine)
{
    if (machine->state == RUN_STATE_IO_ERROR) {
        block_pool_resume(machine->pool);
    }
    set_state(machine, RUN_STATE_RUNNING);
    machine_clock_start(machine);
    notify(machine, true);
    machine_cpus_wake(machine);
}

void machine_stop(struct machine *machine, enum run_state state)
{
    if (machine->state == state ||
        (machine->state != RUN_STATE_RUNNING && state == RUN_STATE_PAUSED)) {
        return;
    }
    bool was_running = machine->state == RUN_STATE_RUNNING;
    set_state(machine, state);
    if (was_running) {
        machine_cpus_stand(machine);
        machine_clock_stop(machine);
        notify(machine, false);
    }
}

/* What only a reset leads out of. */
static bool needs_reset(enum run_state state)
{
    return state == RUN_STATE_SHUTDOWN || state == RUN_STATE_INTERNAL_ERROR;
}

bool machine_cont(struct machine *machine, struct error *err)
{
    if (needs_reset(machine->state)) {
        return error_set(err, "Resetting the Virtual Machine is required");
    }
    if (machine->state == RUN_STATE_SUSPENDED) {
        return true;
    }
    if (machine->state != RUN_STATE_RUNNING) {
        go(machine);
    }
    return true;
}

void machine_print_status(const struct machine *machine, struct strbuf *text)
{
    bool running = machine_is_running(machine);

    strbuf_printf(text, "VM status: %s", running ? "running" : "paused");
    if (!running && machine->state != RUN_STATE_PAUSED) {
        strbuf_printf(text, " (%s)", run_state_name(machine->state));
    }
    strbuf_putc(text, '\n');
}

void machine_hold(struct machine *machine)
{
    machine->own->held++;
    machine_cpus_stand(machine);
}

void machine_release(struct machine *machine)
{
    if (!--machine->own->held) {
        machine_cpus_wake(machine);
    }
}

/* --- reset --- */

void machine_reset(struct machine *machine, enum shutdown_cause cause)
{
    machine_hold(machine);
    __atomic_fetch_and(&machine->own->requests, ~(unsigned)REQUEST_RESET, __ATOMIC_SEQ_CST);
    machine->reset_cause = cause;
    machine->own->booted |= cause != SHUTDOWN_CAUSE_NONE;
    machine_cmos_boot(machine);
    device_reset_all(&machine->board);
    machine_cpus_reset(machine);
    machine_blobs_write(machine);
    if (cause != SHUTDOWN_CAUSE_NONE) {
        TELL(machine, reset, cause)
    }
    if (needs_reset(machine->state) || machine->state == RUN_STATE_SUSPENDED) {
        set_state(machine, RUN_STATE_PAUSED);
    }
    machine_release(machine);
}

/* Through the local APICs' LINT1, as the button of a PC: who has masked it hears nothing. */
void machine_nmi(struct machine *machine)
{
    irq_pulse(apic_bus_line(&machine->apics, 1));
}

/* --- the end --- */

void machine_quit(struct machine *machine, int status)
{
    int none = MACHINE_NO_QUIT;

    __atomic_compare_exchange_n(&machine->own->quit, &none, status & 0xff, false, __ATOMIC_SEQ_CST,
                                __ATOMIC_SEQ_CST);
    loop_quit(machine->loop);
}

static void shut_down(struct machine *machine, enum shutdown_cause cause)
{
    const struct machine_options *options = machine->options;

    TELL(machine, shutdown, cause)
    bool by_host = cause == SHUTDOWN_CAUSE_HOST_QMP_QUIT || cause == SHUTDOWN_CAUSE_HOST_SIGNAL ||
                   cause == SHUTDOWN_CAUSE_HOST_UI;
    if (options->shutdown == SHUTDOWN_PAUSE && !by_host) {
        machine_stop(machine, RUN_STATE_SHUTDOWN);
        return;
    }
    machine_quit(machine,
                 cause == SHUTDOWN_CAUSE_GUEST_PANIC && options->panic == PANIC_EXIT_FAILURE);
}

static void panicked(struct machine *machine)
{
    switch (machine->options->panic) {
    case PANIC_NONE: break;
    case PANIC_PAUSE: machine_stop(machine, RUN_STATE_GUEST_PANICKED); break;
    case PANIC_SHUTDOWN:
    case PANIC_EXIT_FAILURE: shut_down(machine, SHUTDOWN_CAUSE_GUEST_PANIC); break;
    }
}

/* --- requests --- */

static bool take(struct machine *machine, unsigned request)
{
    return __atomic_fetch_and(&machine->own->requests, ~request, __ATOMIC_SEQ_CST) & request;
}

static void wake_up(struct machine *machine)
{
    if (machine->state != RUN_STATE_SUSPENDED) {
        return;
    }
    set_state(machine, RUN_STATE_RUNNING);
    machine_reset(machine, SHUTDOWN_CAUSE_NONE);
    if (machine->devices.pm) {
        piix4_pm_woken(machine->devices.pm);
    }
    TELL(machine, wakeup)
    machine_clock_start(machine);
    notify(machine, true);
    machine_cpus_wake(machine);
}

static void suspend(struct machine *machine)
{
    if (machine_is_running(machine)) {
        machine_stop(machine, RUN_STATE_SUSPENDED);
        TELL(machine, suspend)
    }
}

static void reset_or_end(struct machine *machine, enum shutdown_cause cause)
{
    if (machine->options->reboot == REBOOT_SHUTDOWN && cause != SHUTDOWN_CAUSE_SUBSYSTEM_RESET) {
        shut_down(machine, cause);
    } else {
        machine_reset(machine, cause);
    }
}

static void power_button(struct machine *machine)
{
    trace_qemu_system_powerdown_request();
    if (machine->state == RUN_STATE_SUSPENDED) {
        wake_up(machine);
    }
    if (machine->devices.pm) {
        piix4_pm_powerdown(machine->devices.pm);
    }
    TELL(machine, powerdown)
}

static void serve(void *opaque)
{
    struct machine *machine = opaque;
    struct machine_private *own = machine->own;
    struct error ignored;

    if (!own->built || own->serving) {
        return;
    }
    own->serving = true;
    if (take(machine, REQUEST_SUSPEND)) {
        suspend(machine);
    }
    if (take(machine, REQUEST_SHUTDOWN)) {
        shut_down(machine, (enum shutdown_cause)own->shutdown_cause);
    }
    if (take(machine, REQUEST_RESET)) {
        reset_or_end(machine, (enum shutdown_cause)own->reset_cause);
    }
    if (take(machine, REQUEST_WAKEUP)) {
        wake_up(machine);
    }
    if (take(machine, REQUEST_POWERDOWN)) {
        power_button(machine);
    }
    if (take(machine, REQUEST_PANIC)) {
        panicked(machine);
    }
    if (take(machine, REQUEST_STOP)) {
        machine_stop(machine, (enum run_state)own->stop_state);
    }
    if (take(machine, REQUEST_CONT)) {
        machine_cont(machine, &ignored);
    }
    own->serving = false;
    machine_cpus_wake(machine);
}

static void request(struct machine *machine, unsigned what)
{
    __atomic_fetch_or(&machine->own->requests, what, __ATOMIC_SEQ_CST);
    if (what & REQUESTS_THAT_HALT) {
        machine_cpus_interrupt(machine);
    }
    loop_post(machine->loop, serve, machine);
}

void machine_request_stop(struct machine *machine, enum run_state state)
{
    __atomic_store_n(&machine->own->stop_state, (int)state, __ATOMIC_SEQ_CST);
    request(machine, REQUEST_STOP);
}

void machine_request_cont(struct machine *machine)
{
    request(machine, REQUEST_CONT);
}

void machine_request_reset(struct machine *machine, enum shutdown_cause cause)
{
    __atomic_store_n(&machine->own->reset_cause, (int)cause, __ATOMIC_SEQ_CST);
    request(machine, REQUEST_RESET);
}

void machine_request_shutdown(struct machine *machine, enum shutdown_cause cause)
{
    trace_qemu_system_shutdown_request((int)cause);
    __atomic_store_n(&machine->own->shutdown_cause, (int)cause, __ATOMIC_SEQ_CST);
    request(machine, REQUEST_SHUTDOWN);
}

void machine_request_powerdown(struct machine *machine)
{
    request(machine, REQUEST_POWERDOWN);
}

void machine_request_suspend(struct machine *machine)
{
    request(machine, REQUEST_SUSPEND);
}

void machine_request_wakeup(struct machine *machine)
{
    trace_system_wakeup_request(0);
    request(machine, REQUEST_WAKEUP);
}

void machine_guest_panicked(struct machine *machine)
{
    request(machine, REQUEST_PANIC);
}

void machine_board_request(struct board *board, enum board_request what, int argument)
{
    struct machine *machine = board->opaque;

    switch (what) {
    case BOARD_RESET: machine_request_reset(machine, SHUTDOWN_CAUSE_GUEST_RESET); break;
    case BOARD_SHUTDOWN: machine_request_shutdown(machine, SHUTDOWN_CAUSE_GUEST_SHUTDOWN); break;
    case BOARD_EXIT:
        machine_quit(machine, argument);
        machine_request_stop(machine, RUN_STATE_SHUTDOWN);
        break;
    case BOARD_SUSPEND: machine_request_suspend(machine); break;
    case BOARD_WAKEUP: machine_request_wakeup(machine); break;
    }
}

/* --- begin and end --- */

void machine_begin_running(struct machine *machine)
{
    if (!machine->options->stopped && machine->state == RUN_STATE_PRELAUNCH) {
        go(machine);
    }
    serve(machine);
}

void machine_end_running(struct machine *machine)
{
    if (machine_is_running(machine)) {
        machine_stop(machine, RUN_STATE_SHUTDOWN);
    }
}

int machine_run(struct machine *machine)
{
    struct error err;

    machine_lock(machine);
    bool good = machine_cpus_start(machine, &err);
    if (good) {
        machine_begin_running(machine);
    }
    machine_unlock(machine);
    if (!good) {
        machine_warn(machine, "%s", err.text);
        return 1;
    }
    loop_run(machine->loop);
    machine_lock(machine);
    machine_end_running(machine);
    machine_unlock(machine);
    int status = __atomic_load_n(&machine->own->quit, __ATOMIC_SEQ_CST);
    return status == MACHINE_NO_QUIT ? 0 : status;
}
