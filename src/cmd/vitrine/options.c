/* SPDX-License-Identifier: MIT
 *
 * The options, a row each. */
#include "cmd/vitrine/options.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/option.h"
#include "base/usage.h"
#include "cmd/vitrine/take.h"
#include "engine/words.h"

/* clang-format off */
#define NOW(name, other, argument, take, help) \
    {name, other, argument, TURN_NOW, take, NULL, false, help}
#define WHOLE(name, other, argument, take, help) \
    {name, other, argument, TURN_NOW, take, NULL, true, help}
#define LATER(name, argument, turn, take, apply, help) \
    {name, NULL, argument, turn, take, apply, false, help}

static const struct option_row rows[] = {
    NOW("-h", "-help", NULL, take_help, "this text"),
    NOW("-version", NULL, NULL, take_version, "the version"),

    NOW("-machine", "-M", "[type=]NAME[,WORD=VALUE]...", take_machine,
        "which machine: pc (the only one, and the default); help lists it; words: accel, usb, hpet, acpi, "
        "i8042, graphics, kernel, initrd, append, firmware"),
    NOW("-cpu", NULL, "MODEL[,+FEATURE]...", take_cpu,
        "which CPU the guest sees, with features (Haswell,+aes,-avx2); qemu64 by default; help "
        "lists"),
    NOW("-accel", NULL, "NAME[,WORD=VALUE]...", take_accel,
        "tcg: the translator, the only one; thread=multi, tb-size=MIB, one-insn-per-tb=on"),
    NOW("-enable-kvm", NULL, NULL, take_kvm, "a warning: guests are translated always"),
    NOW("-smp", NULL, "[cpus=]N[,WORD=N]...", take_smp,
        "how many CPUs; words: maxcpus, sockets, dies, cores, threads"),
    NOW("-m", NULL, "[size=]SIZE", take_memory,
        "memory, in MiB or with k, M, G, T behind it; 128 MiB by default"),
    NOW("-uuid", NULL, "UUID", take_uuid, "of the machine, which SMBIOS tells"),
    NOW("-nodefaults", NULL, NULL, take_nodefaults,
        "none of the devices that nobody asked for: CD-ROM, floppy, network, VGA, serial port"),
    NOW("-no-hpet", NULL, NULL, take_no_hpet, "no HPET; the same as -machine hpet=off"),
    NOW("-no-acpi", NULL, NULL, take_no_acpi, "no power management; as -machine acpi=off"),
    LATER("-device", "NAME[,PROPERTY=VALUE]...", TURN_REST, take_device, apply_device,
          "adds a device; help lists them, NAME,help the properties of one"),
    LATER("-global", "NAME.PROPERTY=VALUE", TURN_DRIVES, NULL, apply_global,
          "a property of all devices of that name"),
    LATER("-fw_cfg", "[name=]NAME,file=FILE|string=TEXT", TURN_REST, NULL, apply_fw_cfg,
          "a file for the guest's firmware and kernel"),

    NOW("-bios", NULL, "FILE", take_bios, "firmware; bios-256k.bin of SeaBIOS by default"),
    NOW("-L", NULL, "FOLDER", take_folder,
        "where firmware and ROMs are looked for first; help lists the folders"),
    NOW("-kernel", NULL, "FILE", take_kernel, "a Linux or multiboot kernel, without a boot loader"),
    NOW("-initrd", NULL, "FILE", take_initrd, "its initramfs, or multiboot modules"),
    NOW("-append", NULL, "TEXT", take_append, "its command line"),
    LATER("-option-rom", "FILE", TURN_REST, NULL, apply_option_rom, "a ROM that firmware runs"),
    NOW("-boot", NULL, "[order=]LETTERS[,WORD=VALUE]...", take_boot,
        "what is tried first: a (floppy), c (disk), d (CD-ROM), n (network); words: once, menu, "
        "splash, splash-time, reboot-timeout, strict"),
    NOW("-rtc", NULL, "[base=]utc|localtime|DATE[,clock=CLOCK]", take_rtc,
        "what the real-time clock begins with (2006-06-17T16:01:21); clock: host, rt, vm"),
    NOW("-seed", NULL, "N", take_seed, "where all random numbers of the machine come from"),
    NOW("-icount", NULL, "[shift=]N[,sleep=on|off]", take_icount, "time by the number of instructions"),

    LATER("-hda", "FILE", TURN_DRIVES, NULL, apply_hda, "disk 0; also FILE without an option"),
    LATER("-hdb", "FILE", TURN_DRIVES, NULL, apply_hdb, "disk 1"),
    LATER("-hdc", "FILE", TURN_DRIVES, NULL, apply_hdc, "disk 2"),
    LATER("-hdd", "FILE", TURN_DRIVES, NULL, apply_hdd, "disk 3"),
    LATER("-cdrom", "FILE", TURN_DRIVES, NULL, apply_cdrom, "CD-ROM, at the place of disk 2"),
    LATER("-fda", "FILE", TURN_DRIVES, NULL, apply_fda, "floppy A"),
    LATER("-fdb", "FILE", TURN_DRIVES, NULL, apply_fdb, "floppy B"),
    LATER("-drive", "[WORD=VALUE]...", TURN_DRIVES, NULL, apply_drive,
          "an image in words: file, format=raw, if=ide|floppy|none, media=disk|cdrom, index, bus, "
          "unit, id, readonly, snapshot, cache, aio, discard, werror, rerror"),
    NOW("-snapshot", NULL, NULL, take_snapshot, "what is written to images goes to a temporary file"),

    NOW("-vga", NULL, "std|none", take_vga, "the graphics card"),
    NOW("-display", NULL, "none", take_display, "there are no windows: screendump shows the screen"),
    NOW("-nographic", NULL, NULL, take_nographic,
        "the serial port and the monitor are on the terminal: Ctrl-A c switches, Ctrl-A x ends, "
        "Ctrl-A h helps"),
    LATER("-chardev", "KIND,id=ID[,WORD=VALUE]...", TURN_CHARDEVS, take_chardev, apply_chardev,
          "a character back end; help lists the kinds"),
    LATER("-serial", "LINE", TURN_REST, take_serial, apply_serial,
          "where a serial port leads: none, null, stdio, mon:stdio, pty, file:PATH, pipe:PATH, "
          "unix:PATH,server, tcp:HOST:PORT,server, chardev:ID, ...; again for COM2 to COM4"),
    LATER("-monitor", "LINE", TURN_REST, take_monitor, apply_monitor,
          "where the monitor is: a line as of -serial; none"),
    LATER("-mon", "[chardev=]ID[,mode=readline]", TURN_REST, take_mon, apply_mon,
          "a monitor at a -chardev"),
    LATER("-debugcon", "LINE", TURN_REST, NULL, apply_debugcon,
          "where port 0xe9 leads, or -global isa-debugcon.iobase=PORT; a line as of -serial"),
    NOW("-parallel", NULL, "none", take_parallel, "there are no parallel ports"),

    LATER("-netdev", "user,id=ID[,WORD=VALUE]...", TURN_DRIVES, take_netdev, apply_netdev,
          "a network; help lists the kinds"),
    LATER("-nic", "user|none[,model=NAME][,WORD=VALUE]...", TURN_DRIVES, take_nic, apply_nic,
          "a network with its card, such as -nic user,hostfwd=tcp::2222-:22; model=help lists cards"),
    LATER("-net", "nic|user|none[,WORD=VALUE]...", TURN_DRIVES, take_net, apply_net,
          "the same in two options, of old"),
    LATER("-object", "filter-dump,id=ID,netdev=ID,file=FILE", TURN_DRIVES, NULL, apply_object,
          "writes a network's frames to a file that Wireshark reads"),

    NOW("-S", NULL, NULL, take_stopped, "the guest stands until cont in the monitor"),
    NOW("-no-reboot", NULL, NULL, take_no_reboot, "a reset of the guest is the end"),
    NOW("-no-shutdown", NULL, NULL, take_no_shutdown, "power off is no end: the guest stands"),
    NOW("-action", NULL, "EVENT=WHAT[,...]", take_action,
        "reboot=reset|shutdown, shutdown=poweroff|pause, "
        "panic=pause|shutdown|exit-failure|none, watchdog=none"),
    NOW("-name", NULL, "NAME[,process=NAME]", take_name, "of the machine, and of the process"),
    NOW("-pidfile", NULL, "FILE", take_pidfile, "the process id is written there"),
    NOW("-daemonize", NULL, NULL, take_daemonize, "goes to the background once all is ready"),
    NOW("-d", NULL, "ITEM[,...]", take_items,
        "logs items, or trace:PATTERN events as text; help lists"),
    NOW("-D", NULL, "FILE", take_log, "text goes there instead of standard error; %d is the process id"),
    NOW("-dfilter", NULL, "RANGE[,...]", take_filter,
        "only code at these addresses: START+LENGTH, START-LENGTH, START..END"),
    NOW("-msg", NULL, "timestamp=on", take_messages, "thread and time before each line of text"),
    WHOLE("-trace", NULL, "[enable=]PATTERN[,KEY=VALUE]...", take_events,
          "watches events; help lists them; keys are below"),
    NOW("-singlestep", "-one-insn-per-tb", NULL, take_single, "translates each instruction alone"),
    NOW("-engine", NULL, "WORD[,...]", take_engine, ENGINE_WORDS_HELP),
    NOW("-usb", NULL, NULL, take_usb, "refused: there is no USB"),
    NOW("-no-user-config", "-nouserconfig", NULL, take_ignored, "nothing: there are no such files"),
    NOW("-overcommit", NULL, "WORD=VALUE", take_ignored, "nothing"),
    NOW("-sandbox", NULL, "off", take_sandbox, "nothing: there is no sandbox"),
    NOW("-k", NULL, "LANGUAGE", take_ignored, "nothing: keys are named as on an American keyboard"),
};
/* clang-format on */

enum { ROWS = sizeof rows / sizeof rows[0] };

/* An image that stands alone. */
static const struct option_row image_row = {
    .name = "", .argument = "FILE", .turn = TURN_DRIVES, .apply = apply_hda};

/* --- help --- */

bool take_help(struct options *o, const char *value, struct error *err)
{
    (void)value;
    options_help(o, stdout);
    return help_was_printed(err);
}

bool take_version(struct options *o, const char *value, struct error *err)
{
    (void)o, (void)value;
    puts("vitrine " VITRINE_VERSION);
    return help_was_printed(err);
}

void options_help(const struct options *options, FILE *out)
{
    fprintf(out,
            "usage: %s [OPTIONS] [IMAGE]\n\n"
            "Emulates a PC by translation, so that it can be watched. IMAGE is a raw disk image.\n"
            "Options may be written with two dashes.\n\n",
            options->program);
    for (unsigned i = 0; i < ROWS; i++) {
        const struct option_row *row = &rows[i];
        char *left = mem_format("  %s%s%s%s%s", row->name, row->other ? ", " : "",
                                row->other ? row->other : "", row->argument ? " " : "",
                                row->argument ? row->argument : "");
        usage_row(out, left, row->help);
        free(left);
    }
    fputs("\nWhat -trace takes, with commas between:\n", out);
    trace_help_keys(out);
}

/* --- reading --- */

static const char *row_name(size_t i)
{
    return i < ROWS ? rows[i].name : NULL;
}

static const struct option_row *row_called(const char *name)
{
    name += name[0] == '-' && name[1] == '-' && name[2];
    for (unsigned i = 0; i < ROWS; i++) {
        if (!strcmp(rows[i].name, name) || (rows[i].other && !strcmp(rows[i].other, name))) {
            return &rows[i];
        }
    }
    return NULL;
}

bool option_prefix(const struct option_word *word, struct error *err)
{
    if (word->row->whole) {
        return false;
    }
    if (!word->value) {
        return error_prefix(err, "%s: ", word->written);
    }
    return *word->row->name ? error_prefix(err, "%s %s: ", word->written, word->value)
                            : error_prefix(err, "%s: ", word->value);
}

static bool take_word(struct options *o, struct option_word word, struct error *err)
{
    err->text[0] = 0;
    if (word.row->take && !word.row->take(o, word.value, err)) {
        return err->text[0] ? option_prefix(&word, err) : false;
    }
    o->word = mem_resize(o->word, o->words + 1, sizeof *o->word);
    o->word[o->words++] = word;
    return true;
}

static bool read_words(struct options *o, int argc, char **argv, struct error *err)
{
    for (int i = 1; i < argc; i++) {
        struct option_word word = {.written = argv[i]};
        if (argv[i][0] != '-') {
            word.row = &image_row;
            word.value = argv[i];
        } else {
            word.row = row_called(argv[i]);
            if (!word.row) {
                return option_refused(argv[i], err) ? false : usage_unknown(argv[i], row_name, err);
            }
            if (word.row->argument && ++i == argc) {
                return error_set(err, "%s: requires an argument (%s)", word.written,
                                 word.row->argument);
            }
            word.value = word.row->argument ? argv[i] : NULL;
        }
        if (!take_word(o, word, err)) {
            return false;
        }
    }
    return true;
}

/* The guest is in the name that the program was called by: vitrine-i386, vitrine-system-x86_64. */
static bool read_name(struct options *o, const char *argv0, struct error *err)
{
    static const char prefix[] = "vitrine-", system[] = "system-";
    const char *slash = strrchr(argv0, '/');
    const char *name = slash ? slash + 1 : argv0;

    o->program = *name ? name : "vitrine";
    if (strncmp(name, prefix, strlen(prefix)) != 0) {
        return true;
    }
    name += strlen(prefix);
    name += strncmp(name, system, strlen(system)) ? 0 : strlen(system);
    o->guest = strcmp(name, "i386") ? GUEST_X86_64 : GUEST_I386;
    return o->guest == GUEST_I386 || !strcmp(name, "x86_64") ||
           error_set(err, "there is no machine for '%s'; there are x86_64 and i386", name);
}

static void set_defaults(struct options *o)
{
    o->trace = trace_setup_new();
    o->machine = (struct machine_options){
        .program = o->program,
        .reboot_timeout = -1,
        .vga = VGA_STD,
        .panic = PANIC_SHUTDOWN,
    };
}

enum options_result options_parse(struct options *options, int argc, char **argv, struct error *err)
{
    err->text[0] = 0;
    bool good = read_name(options, argc > 0 ? argv[0] : "vitrine", err);
    set_defaults(options);
    if (!good || !read_words(options, argc, argv, err)) {
        return err->text[0] ? OPTIONS_WRONG : OPTIONS_DONE;
    }
    options->machine.folders = options->folders;
    if (options->machine.no_default_devices && !options->has_vga) {
        options->machine.vga = VGA_NONE;
    }
    return OPTIONS_RUN;
}

void options_free(struct options *options)
{
    free(options->word);
    free(options->folders);
    free(options->guest_name);
    free(options->process_name);
    trace_setup_free(options->trace);
}

/* --- help for rows --- */

bool help_was_printed(struct error *err)
{
    err->text[0] = 0;
    return false;
}

bool is_help(const char *value)
{
    return value && (!strcmp(value, "help") || !strcmp(value, "?"));
}

int word_index(const char *value, const char *const *words)
{
    for (int i = 0; words[i]; i++) {
        if (!strcmp(value, words[i])) {
            return i;
        }
    }
    return -1;
}

bool each_word(const char *text, const char *implied,
               bool (*word)(void *opaque, const char *key, const char *value, struct error *err),
               void *opaque, struct error *err)
{
    struct option_list list;

    if (!option_list_parse(&list, text, implied, err)) {
        return false;
    }
    bool good = true;
    for (size_t i = 0; good && i < list.count; i++) {
        const char *value = list.pair[i].value;
        good = word(opaque, list.pair[i].key, value ? value : "on", err);
    }
    option_list_free(&list);
    return good;
}
