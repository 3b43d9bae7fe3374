/* SPDX-License-Identifier: MIT
 *
 * The monitors of a machine: people and scripts at character back ends, with the commands of a PC.
 * There may be several; each has its own current vCPU, history and half-typed line.
 *
 * Commands run on the loop's thread with the machine's lock held. Those that look at vCPUs hold
 * them still meanwhile (machine_hold()), so a guest that runs in circles with interrupts off
 * hinders nobody.
 *
 * Where the back end is a terminal (stdio, pty, a serial line, telnet) lines are edited by libedit,
 * with history and completion; elsewhere typed characters are echoed, a little can be corrected,
 * and what scripts send is read line by line. Lines of output end in CR LF, as QEMU's do.
 *
 * Read in this order: this header, attach.c (sessions on back ends), edit.h and edit.c (libedit),
 * plain.c (no terminal), internal.h, control.c, cpu.c, memory.c, dump.c, devices.c,
 * changes.c, keyboard.c.
 */
#ifndef MONITOR_MACHINE_ATTACH_H
#define MONITOR_MACHINE_ATTACH_H

#include <stdbool.h>

#include "base/error.h"

struct chardev;
struct machine;
struct machine_monitors;
struct monitor_session;
struct strbuf;

/* What rooms offer that the machine knows nothing of. Functions may be NULL. */
struct machine_monitor_parts {
    void *opaque;
    /* `info network`, `info usernet`. */
    void (*network)(void *opaque, struct strbuf *text);
    void (*user_network)(void *opaque, struct strbuf *text);
};

/* The set of a machine that was made; it has no monitor yet. `version` is what greetings begin
 * with: "Vitrine 0.1.0". `parts` is copied; NULL: none. All of the following with the lock. */
struct machine_monitors *machine_monitors_new(struct machine *machine, const char *version,
                                              const struct machine_monitor_parts *parts);
/* Before machine_free(). NULL: nothing. */
void machine_monitors_free(struct machine_monitors *monitors);

/* Puts a monitor on a back end: -monitor, -mon, the one of -nographic and mon:. False: a sentence
 * (it is used by another). */
bool machine_monitors_add(struct machine_monitors *monitors, struct chardev *chardev,
                          struct error *err);

/* A session without a back end, for other faces that take commands as text: monitor_execute() with
 * the lock on the loop's thread, monitor_answer(). Freed by monitor_session_free(), before the set
 * is. */
struct monitor_session *machine_monitors_session(struct machine_monitors *monitors);

#endif
