/* SPDX-License-Identifier: MIT
 *
 * Commands about devices and their back ends. */
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/strbuf.h"
#include "device/i8259.h"
#include "device/ioapic.h"
#include "display/display.h"
#include "monitor/machine/internal.h"

/* --- what printers print --- */

static bool info_pic(struct monitor_session *session, const struct monitor_arguments *arguments)
{
    const struct machine_devices *devices = &session_machine(session)->devices;
    struct strbuf text;

    (void)arguments;
    strbuf_init(&text);
    if (devices->ioapic) {
        ioapic_print(devices->ioapic, &text);
    }
    if (devices->pic) {
        i8259_print(devices->pic, &text);
    }
    session_print_text(session, &text);
    return true;
}

static bool info_irq(struct monitor_session *session, const struct monitor_arguments *arguments)
{
    const struct machine_devices *devices = &session_machine(session)->devices;
    struct strbuf text;

    (void)arguments;
    strbuf_init(&text);
    if (devices->ioapic) {
        ioapic_print_counts(devices->ioapic, &text);
    }
    if (devices->pic) {
        i8259_print_counts(devices->pic, &text);
    }
    session_print_text(session, &text);
    return true;
}

static bool info_pci(struct monitor_session *session, const struct monitor_arguments *arguments)
{
    const struct pci_bus *bus = session_machine(session)->board.pci;
    struct strbuf text;

    (void)arguments;
    strbuf_init(&text);
    if (bus) {
        pci_print(bus, &text);
    } else {
        strbuf_puts(&text, "PCI devices not supported\n");
    }
    session_print_text(session, &text);
    return true;
}

static bool info_qtree(struct monitor_session *session, const struct monitor_arguments *arguments)
{
    struct strbuf text;

    (void)arguments;
    strbuf_init(&text);
    device_print_tree(&session_machine(session)->board, &text);
    session_print_text(session, &text);
    return true;
}

static bool info_block(struct monitor_session *session, const struct monitor_arguments *arguments)
{
    const struct machine *machine = session_machine(session);
    const char *id = arguments->count ? arguments->value[0].word : NULL;
    struct strbuf text;

    strbuf_init(&text);
    for (size_t i = 0; i < machine->drives; i++) {
        if (!id || !strcmp(drive_id(machine->drive[i]), id)) {
            strbuf_puts(&text, text.len ? "\n" : "");
            drive_print(machine->drive[i], &text);
        }
    }
    session_print_text(session, &text);
    return true;
}

static bool info_chardev(struct monitor_session *session, const struct monitor_arguments *arguments)
{
    struct strbuf text;

    (void)arguments;
    strbuf_init(&text);
    chardevs_print(session_machine(session)->chardevs, &text);
    session_print_text(session, &text);
    return true;
}

/* What the network room prints, if there is one. */
static bool print_part(struct monitor_session *session,
                       void (*print)(void *opaque, struct strbuf *text))
{
    struct strbuf text;

    strbuf_init(&text);
    if (print) {
        print(session_monitors(session)->parts.opaque, &text);
    }
    session_print_text(session, &text);
    return true;
}

static bool info_network(struct monitor_session *session, const struct monitor_arguments *arguments)
{
    (void)arguments;
    return print_part(session, session_monitors(session)->parts.network);
}

static bool info_usernet(struct monitor_session *session, const struct monitor_arguments *arguments)
{
    (void)arguments;
    return print_part(session, session_monitors(session)->parts.user_network);
}

/* --- keys and the screen --- */

static bool run_sendkey(struct monitor_session *session, const struct monitor_arguments *arguments)
{
    const struct monitor_value *hold = &arguments->value[1];
    enum key keys[KEY_COMBINATION_MAX];
    struct error err;
    size_t count;

    if (!keys_parse(arguments->value[0].word, keys, &count, &err)) {
        monitor_printf(session, "%s\n", err.text);
    } else if (!keyboard_queue_add(&session_monitors(session)->keys, keys, count,
                                   hold->given ? hold->number : KEYBOARD_HOLD_MS)) {
        monitor_printf(session, "sendkey: too many keys wait to be pressed\n");
    }
    return true;
}

/* The key behind the last hyphen. */
static void offer_keys(struct monitor_session *session, unsigned argument, const char *typed)
{
    const char *hyphen = strrchr(typed, '-');
    int length = hyphen ? (int)(hyphen + 1 - typed) : 0;

    for (unsigned i = 1; argument == 0 && i < KEY_COUNT; i++) {
        char *word = mem_format("%.*s%s", length, typed, key_codes[i].name);
        monitor_offer(session, word);
        free(word);
    }
}

/* FILE [-f FORMAT] [DEVICE [HEAD]]: the format in either place, screens have one head. */
static bool run_screendump(struct monitor_session *session,
                           const struct monitor_arguments *arguments)
{
    const char *word[2] = {"ppm", NULL}; /* format, device */
    enum display_format format;
    struct display_console *console;
    struct error err;

    for (unsigned i = 1; i < arguments->count; i++) {
        const bool flag = !strcmp(arguments->value[i].word, "-f");
        if (flag && ++i == arguments->count) {
            monitor_printf(session, "screendump: -f wants a format: ppm or png\n");
            return false;
        }
        word[!flag] = flag || !word[1] ? arguments->value[i].word : word[1];
    }
    console = display_console_find(session_machine(session)->board.consoles, word[1]);
    if (!console && word[1]) {
        monitor_printf(session, "Error: Device '%s' not found, or it has no screen\n", word[1]);
    } else if (!console) {
        monitor_printf(session, "Error: There is no console to take a screendump from\n");
    } else if (!display_format_parse(word[0], &format, &err) ||
               !display_screendump(console, arguments->value[0].word, format, &err)) {
        session_print_error(session, &err);
    }
    return true;
}

static void offer_formats(struct monitor_session *session, unsigned argument, const char *typed)
{
    (void)typed;
    if (argument == 0) { /* flags do not count: behind -f it is the argument behind the file */
        return;
    }
    monitor_offer(session, "ppm");
    monitor_offer(session, "png");
    monitor_offer(session, "text");
}

static void offer_drives(struct monitor_session *session, unsigned argument, const char *typed)
{
    const struct machine *machine = session_machine(session);

    (void)typed;
    for (size_t i = 0; argument == 0 && i < machine->drives; i++) {
        monitor_offer(session, drive_id(machine->drive[i]));
    }
}

/* clang-format off */
static const struct monitor_command commands[] = {
    {"screendump", "filename [-f format] [device]",
     "save screen of display device 'device' in specified format 'format' as image 'filename'. "
     "'png', 'ppm' and 'text' formats are supported.", "Fs?s?s?s?", run_screendump, offer_formats},
    {"sendkey", "keys [hold_ms]",
     "send keys to the VM (e.g. 'sendkey ctrl-alt-f1', default hold time=10 ms)", "sn?",
     run_sendkey, offer_keys},
};

static const struct monitor_command info[] = {
    {"block", "[device]", "show info of one block device or all block devices", "s?", info_block,
     offer_drives},
    {"chardev", NULL, "show the character devices", NULL, info_chardev, NULL},
    {"irq", NULL, "show the interrupts statistics", NULL, info_irq, NULL},
    {"network", NULL, "show the network state", NULL, info_network, NULL},
    {"pci", NULL, "show PCI info", NULL, info_pci, NULL},
    {"pic", NULL, "show PIC state", NULL, info_pic, NULL},
    {"qtree", NULL, "show device tree", NULL, info_qtree, NULL},
    {"usernet", NULL, "show user network stack connection states", NULL, info_usernet, NULL},
};
/* clang-format on */

void monitor_add_device_commands(struct monitor *monitor)
{
    monitor_add(monitor, MONITOR_MAIN, commands, sizeof commands / sizeof commands[0]);
    monitor_add(monitor, MONITOR_INFO, info, sizeof info / sizeof info[0]);
}
