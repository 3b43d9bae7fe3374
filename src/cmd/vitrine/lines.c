/* SPDX-License-Identifier: MIT
 *
 * Options about character lines: serial ports, monitors, debug consoles, and what is there when
 * nobody says anything.
 *
 *     nothing          COM1 leads nowhere; no monitor (QEMU's are in a window)
 *     -nographic       COM1 and the monitor share the terminal
 *     -nodefaults      no serial port */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/option.h"
#include "base/strbuf.h"
#include "cmd/vitrine/take.h"

bool take_chardev(struct options *o, const char *value, struct error *err)
{
    struct strbuf text;

    (void)o;
    if (!is_help(value)) {
        return true;
    }
    strbuf_init(&text);
    chardev_print_kinds(&text);
    fputs(text.data, stdout);
    strbuf_free(&text);
    return help_was_printed(err);
}

bool take_serial(struct options *o, const char *value, struct error *err)
{
    (void)value, (void)err;
    o->has_serial = true;
    return true;
}

bool take_monitor(struct options *o, const char *value, struct error *err)
{
    (void)value, (void)err;
    o->has_monitor = true;
    return true;
}

bool take_mon(struct options *o, const char *value, struct error *err)
{
    (void)value, (void)err;
    o->has_monitor = true;
    return true;
}

bool take_parallel(struct options *o, const char *value, struct error *err)
{
    (void)o;
    return !strcmp(value, "none") || !strcmp(value, "null") ||
           error_set(err, "there are no parallel ports, so there is only none");
}

/* --- with a machine --- */

bool apply_chardev(struct setup *setup, const char *value, struct error *err)
{
    return chardev_open(setup->machine->chardevs, value, err);
}

bool setup_add_monitor(struct setup *setup, struct chardev *chardev, struct error *err)
{
    if (setup->monitors == MONITORS_MAX) {
        return error_set(err, "there are %d monitors already", MONITORS_MAX);
    }
    setup->monitor[setup->monitors++] = chardev;
    return true;
}

/* The back end of a line; NULL for none. "mon:" brings a monitor with it. */
static bool open_line(struct setup *setup, const char *kind, unsigned number, const char *value,
                      struct chardev **chardev, struct error *err)
{
    char *id = mem_format("%s%u", kind, number);
    bool good = chardev_open_words(setup->machine->chardevs, id, value, chardev, err);

    free(id);
    return good &&
           (strncmp(value, "mon:", 4) != 0 || !*chardev || setup_add_monitor(setup, *chardev, err));
}

bool apply_serial(struct setup *setup, const char *value, struct error *err)
{
    struct chardev *chardev;

    if (!open_line(setup, "serial", setup->serials, value, &chardev, err)) {
        return false;
    }
    if (!chardev) { /* none: no port */
        return true;
    }
    return machine_set_serial(setup->machine, setup->serials++, chardev, err);
}

bool apply_monitor(struct setup *setup, const char *value, struct error *err)
{
    struct chardev *chardev;
    char *id = mem_format("compat_monitor%u", setup->monitors_named++);
    bool good = chardev_open_words(setup->machine->chardevs, id, value, &chardev, err);

    free(id);
    return good && (!chardev || setup_add_monitor(setup, chardev, err));
}

struct mon {
    struct setup *setup;
    struct chardev *chardev;
};

static bool mon_word(void *opaque, const char *key, const char *value, struct error *err)
{
    struct mon *mon = opaque;

    if (!strcmp(key, "chardev")) {
        mon->chardev = chardev_find(mon->setup->machine->chardevs, value);
        return mon->chardev || error_set(err, "chardev \"%s\" not found", value);
    }
    if (!strcmp(key, "mode")) {
        return !strcmp(value, "readline") ||
               error_set(err, "mode=%s is not there yet; there is readline", value);
    }
    return !strcmp(key, "id") || !strcmp(key, "pretty") ||
           error_set(err, "Invalid parameter '%s'; there are chardev, mode, id", key);
}

bool apply_mon(struct setup *setup, const char *value, struct error *err)
{
    struct mon mon = {setup, NULL};

    return each_word(value, "chardev", mon_word, &mon, err) &&
           (mon.chardev ? setup_add_monitor(setup, mon.chardev, err)
                        : error_set(err, "Parameter 'chardev' is missing"));
}

bool apply_debugcon(struct setup *setup, const char *value, struct error *err)
{
    struct chardev *chardev;

    if (!open_line(setup, "debugcon", setup->debugcons++, value, &chardev, err)) {
        return false;
    }
    if (chardev) {
        machine_add_debugcon(setup->machine, chardev);
    }
    return true;
}

/* --- what nobody asked for --- */

bool setup_default_lines(struct setup *setup, struct error *err)
{
    const struct options *o = setup->options;
    bool serial = !o->has_serial && !o->machine.no_default_devices;
    bool monitor = !o->has_monitor && !o->machine.no_default_devices;

    if (!o->machine.nographic) {
        return !serial || machine_set_serial(setup->machine, 0, NULL, err);
    }
    if (serial && monitor) {
        return apply_serial(setup, "mon:stdio", err) || error_prefix(err, "-nographic: ");
    }
    if (serial) {
        return apply_serial(setup, "stdio", err) || error_prefix(err, "-nographic: ");
    }
    return !monitor || apply_monitor(setup, "stdio", err) || error_prefix(err, "-nographic: ");
}
