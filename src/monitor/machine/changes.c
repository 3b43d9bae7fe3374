/* SPDX-License-Identifier: MIT
 *
 * Commands that change what is plugged in: media, links, forwarded ports; and the mouse. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/strbuf.h"
#include "device/ps2.h"
#include "monitor/machine/internal.h"
#include "net/net.h"

/* --- media --- */

enum { CD_SECTOR = 2048 };

/* A drive that media can be taken out of; NULL: that was said. */
static struct drive *removable(struct monitor_session *session, const char *id)
{
    struct drive *drive = machine_find_drive(session_machine(session), id);

    if (!drive) {
        monitor_printf(session, "Error: Device '%s' not found\n", id);
    } else if (!drive_is_removable(drive)) {
        monitor_printf(session, "Error: Device '%s' is not removable\n", id);
        drive = NULL;
    }
    return drive;
}

static bool run_eject(struct monitor_session *session, const struct monitor_arguments *arguments)
{
    struct drive *drive = removable(session, arguments->value[0].word);
    struct error err;

    if (drive && !drive_eject(drive, monitor_flag(arguments, 'f'), &err)) {
        session_print_error(session, &err);
    }
    return true;
}

static bool insert(struct drive *drive, const char *file, const char *format,
                   struct strbuf *warnings, struct error *err)
{
    struct drive_options options;
    const bool optical = drive_sector(drive) == CD_SECTOR;

    drive_options_file(&options, file, DRIVE_NONE, optical ? DRIVE_CDROM : drive_media(drive), 0);
    if (format) {
        free(options.format);
        options.format = strdup(format);
    }
    bool good = drive_open(drive, &options, warnings, err);
    drive_options_free(&options);
    return good;
}

/* DEVICE [-f] FILE [FORMAT]. What was in comes out first, if the guest lets it. */
static bool run_change(struct monitor_session *session, const struct monitor_arguments *arguments)
{
    const bool force = arguments->count > 1 && !strcmp(arguments->value[1].word, "-f");
    const struct monitor_value *file = &arguments->value[1 + force], *format = file + 1;
    struct strbuf warnings;
    struct error err;

    if (!file->given) {
        monitor_printf(session, "change: filename expected\n");
        return false;
    }
    struct drive *drive = removable(session, arguments->value[0].word);
    if (!drive) {
        return true;
    }
    /* Before what is in comes out. */
    if (access(file->word, R_OK)) {
        monitor_printf(session, "Error: Could not open '%s': %s\n", file->word, strerror(errno));
        return true;
    }
    strbuf_init(&warnings);
    if ((drive_has_medium(drive) && !drive_eject(drive, force, &err)) ||
        !insert(drive, file->word, format->given ? format->word : NULL, &warnings, &err)) {
        session_print_error(session, &err);
    }
    session_print_text(session, &warnings);
    return true;
}

static void offer_removable(struct monitor_session *session, unsigned argument, const char *typed)
{
    const struct machine *machine = session_machine(session);

    (void)typed;
    for (size_t i = 0; argument == 0 && i < machine->drives; i++) {
        if (drive_is_removable(machine->drive[i])) {
            monitor_offer(session, drive_id(machine->drive[i]));
        }
    }
}

/* --- networks --- */

static bool run_set_link(struct monitor_session *session, const struct monitor_arguments *arguments)
{
    struct nets *nets = session_machine(session)->nets;
    const char *name = arguments->value[0].word;
    struct error err;

    if (!nets) {
        monitor_printf(session, "Error: Device '%s' not found\n", name);
    } else if (!nets_set_link(nets, name, arguments->value[1].on, &err)) {
        session_print_error(session, &err);
    }
    return true;
}

/* [NETDEV] RULE. */
static bool forward(struct monitor_session *session, const struct monitor_arguments *arguments,
                    bool (*change)(struct nets *nets, const char *id, const char *rule,
                                   struct error *err),
                    const char *done)
{
    struct nets *nets = session_machine(session)->nets;
    const bool named = arguments->count > 1;
    const char *rule = arguments->value[named].word;
    struct error err;

    if (!nets) {
        monitor_printf(session, "there is no user networking\n");
    } else if (!change(nets, named ? arguments->value[0].word : NULL, rule, &err)) {
        monitor_printf(session, "%s\n", err.text);
    } else if (done) {
        monitor_printf(session, "host forwarding rule for %s %s\n", rule, done);
    }
    return true;
}

static bool run_hostfwd_add(struct monitor_session *session,
                            const struct monitor_arguments *arguments)
{
    return forward(session, arguments, nets_forward, NULL);
}

static bool run_hostfwd_remove(struct monitor_session *session,
                               const struct monitor_arguments *arguments)
{
    return forward(session, arguments, nets_forward_no_more, "removed");
}

/* --- the mouse --- */

/* DX DY [DZ]: words, so that -5 is no flag. */
static bool run_mouse_move(struct monitor_session *session,
                           const struct monitor_arguments *arguments)
{
    struct device *mouse = ps2_mouse(&session_machine(session)->board);
    int by[3] = {0, 0, 0};

    for (unsigned i = 0; i < arguments->count; i++) {
        char *end;
        long value = strtol(arguments->value[i].word, &end, 0);
        if (*end || value < -10000 || value > 10000) {
            monitor_printf(session, "mouse_move: '%s' is no number from -10000 to 10000\n",
                           arguments->value[i].word);
            return false;
        }
        by[i] = (int)value;
    }
    if (mouse) {
        ps2_mouse_move(mouse, by[0], by[1], by[2]);
        ps2_mouse_sync(mouse);
    }
    return true;
}

/* Bits: left 1, middle 2, right 4. */
static bool run_mouse_button(struct monitor_session *session,
                             const struct monitor_arguments *arguments)
{
    static const enum ps2_button buttons[] = {PS2_BUTTON_LEFT, PS2_BUTTON_MIDDLE, PS2_BUTTON_RIGHT};
    struct device *mouse = ps2_mouse(&session_machine(session)->board);

    for (unsigned i = 0; mouse && i < sizeof buttons / sizeof buttons[0]; i++) {
        ps2_mouse_button(mouse, buttons[i], arguments->value[0].number >> i & 1);
    }
    if (mouse) {
        ps2_mouse_sync(mouse);
    }
    return true;
}

/* clang-format off */
static const struct monitor_command commands[] = {
    {"change", "device [-f] filename [format]", "change a removable medium, optional format, use "
     "-f to force the operation", "sFs?s?", run_change, offer_removable},
    {"eject", "[-f] device", "eject a removable medium (use -f to force it)", "-fs", run_eject,
     offer_removable},
    {"hostfwd_add", "[netdev_id] [tcp|udp]:[hostaddr]:hostport-[guestaddr]:guestport",
     "redirect TCP or UDP connections from host to guest (requires -net user)", "ss?",
     run_hostfwd_add, NULL},
    {"hostfwd_remove", "[netdev_id] [tcp|udp]:[hostaddr]:hostport",
     "remove host-to-guest TCP or UDP redirection", "ss?", run_hostfwd_remove, NULL},
    {"mouse_button", "state", "change mouse button state (1=L, 2=M, 4=R)", "n", run_mouse_button,
     NULL},
    {"mouse_move", "dx dy [dz]", "send mouse move events", "sss?", run_mouse_move, NULL},
    {"set_link", "name on|off", "change the link status of a network adapter", "sb", run_set_link,
     NULL},
};
/* clang-format on */

void monitor_add_change_commands(struct monitor *monitor)
{
    monitor_add(monitor, MONITOR_MAIN, commands, sizeof commands / sizeof commands[0]);
}
