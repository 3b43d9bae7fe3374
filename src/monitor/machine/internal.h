/* SPDX-License-Identifier: MIT
 *
 * What the files of a machine's monitors share.
 */
#ifndef MONITOR_MACHINE_INTERNAL_H
#define MONITOR_MACHINE_INTERNAL_H

#include "machine/machine.h"
#include "monitor/machine/attach.h"
#include "monitor/machine/keyboard.h"
#include "monitor/monitor.h"

struct attached; /* attach.c */

struct machine_monitors {
    struct machine *machine;
    struct monitor *monitor;
    struct machine_monitor_parts parts;
    char *version;
    struct attached *first;
    struct keyboard_queue keys;
};

/* Of a session. */
struct machine_monitors *session_monitors(const struct monitor_session *session);
struct machine *session_machine(const struct monitor_session *session);
/* The vCPU that it looks at. */
struct machine_cpu *session_cpu(struct monitor_session *session);

/* Lines that a printer has added to a strbuf, which is freed. */
void session_print_text(struct monitor_session *session, struct strbuf *text);
void session_print_error(struct monitor_session *session, const struct error *err);

/* $NAME of an expression, of the current vCPU. */
bool session_register(struct monitor_session *session, const char *name, uint64_t *value);

/* The rows: control.c, cpu.c, memory.c, devices.c, changes.c. */
void monitor_add_control_commands(struct monitor *monitor);
void monitor_add_cpu_commands(struct monitor *monitor);
void monitor_add_memory_commands(struct monitor *monitor);
void monitor_add_device_commands(struct monitor *monitor);
void monitor_add_change_commands(struct monitor *monitor);

#endif
