/* SPDX-License-Identifier: MIT
 *
 * The monitor: commands, typed by people or sent by scripts, while the program runs. Commands are
 * rows of tables; the monitor brings its own and those of tracing, programs add theirs. What they
 * print has the shape of QEMU's.
 *
 * A thread with all signals blocked serves one connection after another.
 *
 * Read in this order: this header, monitor.c (tables, lines), commands.c (its own commands),
 * socket.c (connections).
 */
#ifndef MONITOR_MONITOR_H
#define MONITOR_MONITOR_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

struct monitor;
struct monitor_session; /* one connection */

struct monitor_command {
    const char *name;
    const char *arguments; /* as help shows them: "name on|off"; NULL: none */
    const char *help;
    unsigned min, max; /* how many arguments there may be */
    /* argv[0] is the command's full name. False: its help is pointed to. Monitor thread. */
    bool (*run)(struct monitor_session *session, int argc, char **argv);
};

enum monitor_table {
    MONITOR_MAIN,
    MONITOR_INFO, /* `info NAME` */
    MONITOR_TABLES,
};

/* `version` is what `info version` shows; kept. */
struct monitor *monitor_new(const char *version);

/* Adds commands: before monitor_listen(). The rows stay the caller's and are kept. */
void monitor_add(struct monitor *monitor, enum monitor_table table,
                 const struct monitor_command *commands, size_t count);

/* `after` is called with the full name of each command that was carried out, on the monitor's
 * thread: before monitor_listen(). */
void monitor_after(struct monitor *monitor, void (*after)(const char *command));

/* Listens at a Unix socket that only this user may connect to, in a thread of its own. A socket
 * that is there already and nobody listens at is replaced. */
bool monitor_listen(struct monitor *monitor, const char *path, struct error *err);

/* --- for commands --- */

void monitor_printf(struct monitor_session *session, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
struct monitor *monitor_of(struct monitor_session *session);

#endif
