/* SPDX-License-Identifier: MIT
 *
 * Commands that steer the machine as a whole, and tell its state. */
#include "base/strbuf.h"
#include "monitor/machine/internal.h"

static bool run_stop(struct monitor_session *session, const struct monitor_arguments *arguments)
{
    (void)arguments;
    if (machine_is_running(session_machine(session))) {
        machine_stop(session_machine(session), RUN_STATE_PAUSED);
    }
    return true;
}

static bool run_cont(struct monitor_session *session, const struct monitor_arguments *arguments)
{
    struct error err;

    (void)arguments;
    if (!machine_cont(session_machine(session), &err)) {
        session_print_error(session, &err);
    }
    return true;
}

static bool run_reset(struct monitor_session *session, const struct monitor_arguments *arguments)
{
    (void)arguments;
    machine_request_reset(session_machine(session), SHUTDOWN_CAUSE_HOST_QMP_SYSTEM_RESET);
    return true;
}

static bool run_powerdown(struct monitor_session *session,
                          const struct monitor_arguments *arguments)
{
    (void)arguments;
    machine_request_powerdown(session_machine(session));
    return true;
}

static bool run_wakeup(struct monitor_session *session, const struct monitor_arguments *arguments)
{
    (void)arguments;
    if (session_machine(session)->state != RUN_STATE_SUSPENDED) {
        monitor_printf(session, "Error: Unable to wake up: guest is not in suspended state\n");
    } else {
        machine_request_wakeup(session_machine(session));
    }
    return true;
}

static bool run_nmi(struct monitor_session *session, const struct monitor_arguments *arguments)
{
    (void)arguments;
    machine_nmi(session_machine(session));
    return true;
}

static bool run_gdbserver(struct monitor_session *session,
                          const struct monitor_arguments *arguments)
{
    (void)arguments;
    monitor_printf(session, "gdbserver: this program has no server for gdb; \"x /10i $pc\", \"info "
                            "registers\" and \"info exceptions\" show where the machine is, and "
                            "-trace and -d int,exec what it did\n");
    return true;
}

static bool info_status(struct monitor_session *session, const struct monitor_arguments *arguments)
{
    struct strbuf text;

    (void)arguments;
    strbuf_init(&text);
    machine_print_status(session_machine(session), &text);
    session_print_text(session, &text);
    return true;
}

static bool info_name(struct monitor_session *session, const struct monitor_arguments *arguments)
{
    const char *name = session_machine(session)->options->name;

    (void)arguments;
    if (name) {
        monitor_printf(session, "%s\n", name);
    }
    return true;
}

static bool info_uuid(struct monitor_session *session, const struct monitor_arguments *arguments)
{
    const uint8_t *uuid = session_machine(session)->options->uuid;

    (void)arguments;
    for (unsigned i = 0; i < 16; i++) {
        monitor_printf(session, "%s%02x", i >= 4 && i <= 10 && i % 2 == 0 ? "-" : "", uuid[i]);
    }
    monitor_printf(session, "\n");
    return true;
}

/* clang-format off */
static const struct monitor_command commands[] = {
    {"cont|c", NULL, "resume emulation", NULL, run_cont, NULL},
    {"gdbserver", "[device]", "is not there: a server for gdb", "s?", run_gdbserver, NULL},
    {"nmi", NULL, "inject an NMI", NULL, run_nmi, NULL},
    {"stop|s", NULL, "stop emulation", NULL, run_stop, NULL},
    {"system_powerdown", NULL, "send system power down event", NULL, run_powerdown, NULL},
    {"system_reset", NULL, "reset the system", NULL, run_reset, NULL},
    {"system_wakeup", NULL, "wakeup guest from suspend", NULL, run_wakeup, NULL},
};

static const struct monitor_command info[] = {
    {"name", NULL, "show the current VM name", NULL, info_name, NULL},
    {"status", NULL, "show the current VM status (running|paused)", NULL, info_status, NULL},
    {"uuid", NULL, "show the current VM UUID", NULL, info_uuid, NULL},
};
/* clang-format on */

void monitor_add_control_commands(struct monitor *monitor)
{
    monitor_add(monitor, MONITOR_MAIN, commands, sizeof commands / sizeof commands[0]);
    monitor_add(monitor, MONITOR_INFO, info, sizeof info / sizeof info[0]);
}
