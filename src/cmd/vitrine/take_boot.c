/* SPDX-License-Identifier: MIT
 *
 * Options about how the machine begins and ends. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/memory.h"
#include "base/option.h"
#include "cmd/vitrine/take.h"

enum { ICOUNT_SHIFT_MAX = 10, TIMEOUT_MAX = 0xffff };

/* --- files --- */

bool take_bios(struct options *o, const char *value, struct error *err)
{
    (void)err;
    o->machine.firmware = value;
    return true;
}

bool take_kernel(struct options *o, const char *value, struct error *err)
{
    (void)err;
    o->machine.kernel = value;
    return true;
}

bool take_initrd(struct options *o, const char *value, struct error *err)
{
    (void)err;
    o->machine.initrd = value;
    return true;
}

bool take_append(struct options *o, const char *value, struct error *err)
{
    (void)err;
    o->machine.append = value;
    return true;
}

bool take_folder(struct options *o, const char *value, struct error *err)
{
    if (is_help(value)) {
        for (size_t i = 0; i < o->folders_count; i++) {
            puts(o->folders[i]);
        }
        for (const char *const *folder = machine_usual_folders(); *folder; folder++) {
            puts(*folder);
        }
        return help_was_printed(err);
    }
    o->folders = mem_resize(o->folders, o->folders_count + 2, sizeof *o->folders);
    o->folders[o->folders_count++] = value;
    o->folders[o->folders_count] = NULL;
    return true;
}

/* --- -boot --- */

static bool check_letters(const char *letters, struct error *err)
{
    for (const char *at = letters; *at; at++) {
        if (!strchr("acdn", *at)) {
            return error_set(err,
                             "Invalid boot device '%c': a (floppy), c (disk), d (CD-ROM), n "
                             "(network)",
                             *at);
        }
        if (strchr(at + 1, *at)) {
            return error_set(err, "Boot device '%c' was given twice", *at);
        }
    }
    return true;
}

static bool boot_word(void *opaque, const char *key, const char *value, struct error *err)
{
    struct machine_options *m = &((struct options *)opaque)->machine;
    uint64_t number;

    if (!strcmp(key, "order") || !strcmp(key, "once")) {
        *(!strcmp(key, "order") ? &m->boot_order : &m->boot_once) = mem_string(value);
        return check_letters(value, err);
    }
    if (!strcmp(key, "menu")) {
        return option_bool(key, value, &m->boot_menu, err);
    }
    if (!strcmp(key, "strict")) {
        return option_bool(key, value, &m->boot_strict, err);
    }
    if (!strcmp(key, "splash")) {
        m->boot_splash = mem_string(value);
        return true;
    }
    if (!strcmp(key, "splash-time")) {
        m->boot_splash_timed = true;
        bool good = option_number(key, value, 0, TIMEOUT_MAX, &number, err);
        m->boot_splash_time = good ? (unsigned)number : 0;
        return good;
    }
    if (!strcmp(key, "reboot-timeout")) {
        if (!strcmp(value, "-1")) {
            return true;
        }
        bool good = option_number(key, value, 0, TIMEOUT_MAX, &number, err);
        m->reboot_timeout = good ? (int64_t)number : -1;
        return good;
    }
    return error_set(err,
                     "Invalid parameter '%s'; there are order, once, menu, splash, "
                     "splash-time, reboot-timeout, strict",
                     key);
}

bool take_boot(struct options *o, const char *value, struct error *err)
{
    return each_word(value, "order", boot_word, o, err);
}

/* --- -rtc --- */

static bool parse_date(const char *text, int64_t *seconds)
{
    struct tm tm = {0};
    const char *end = strptime(text, "%Y-%m-%dT%H:%M:%S", &tm);

    if (!end || *end) {
        tm = (struct tm){0};
        end = strptime(text, "%Y-%m-%d", &tm);
    }
    *seconds = timegm(&tm);
    return end && !*end;
}

static bool rtc_word(void *opaque, const char *key, const char *value, struct error *err)
{
    static const char *const clocks[] = {"host", "rt", "vm", NULL};
    static const char *const fixes[] = {"none", "slew", NULL};
    struct machine_options *m = &((struct options *)opaque)->machine;

    if (!strcmp(key, "base")) {
        m->rtc_base = !strcmp(value, "utc")         ? RTC_UTC
                      : !strcmp(value, "localtime") ? RTC_LOCALTIME
                                                    : RTC_DATE;
        return m->rtc_base != RTC_DATE || parse_date(value, &m->rtc_date) ||
               error_set(err, "invalid datetime format; valid formats: utc, localtime, "
                              "'2006-06-17T16:01:21' or '2006-06-17'");
    }
    if (!strcmp(key, "clock")) {
        int clock = word_index(value, clocks);
        m->rtc_clock = clock < 0 ? RTC_HOST : (enum rtc_clock)clock;
        return clock >= 0 ||
               error_set(err, "invalid option value '%s'; there are host, rt, vm", value);
    }
    if (!strcmp(key, "driftfix")) {
        return word_index(value, fixes) >= 0 ||
               error_set(err, "invalid option value '%s'; there are none, slew", value);
    }
    return error_set(err, "Invalid parameter '%s'; there are base, clock, driftfix", key);
}

bool take_rtc(struct options *o, const char *value, struct error *err)
{
    return each_word(value, "base", rtc_word, o, err);
}

/* --- -seed, -icount --- */

bool take_seed(struct options *o, const char *value, struct error *err)
{
    o->machine.seeded = true;
    return option_number("seed", value, 0, UINT64_MAX, &o->machine.seed, err);
}

static bool icount_word(void *opaque, const char *key, const char *value, struct error *err)
{
    struct machine_options *m = &((struct options *)opaque)->machine;
    uint64_t shift;

    if (!strcmp(key, "shift")) {
        if (!strcmp(value, "auto")) {
            return error_set(err, "shift=auto follows the host's time, which no two runs have "
                                  "alike; a number is wanted");
        }
        if (!option_number(key, value, 0, ICOUNT_SHIFT_MAX, &shift, err)) {
            return false;
        }
        m->icount_shift = (unsigned)shift;
        return true;
    }
    if (!strcmp(key, "sleep")) {
        return option_bool(key, value, &m->icount_sleep, err);
    }
    if (!strcmp(key, "align")) {
        bool on;
        return option_bool(key, value, &on, err) &&
               (!on || error_set(err, "align=on is not there"));
    }
    static const char *const replay[] = {"rr", "rrfile", "rrsnapshot", NULL};
    return word_index(key, replay) >= 0
               ? error_set(err, "%s: recording and replaying is not there yet", key)
               : error_set(err, "Invalid parameter '%s'; there are shift, sleep, align", key);
}

bool take_icount(struct options *o, const char *value, struct error *err)
{
    o->machine.count_instructions = true;
    o->machine.icount_sleep = true;
    return each_word(value, "shift", icount_word, o, err);
}

/* --- states --- */

bool take_stopped(struct options *o, const char *value, struct error *err)
{
    (void)value, (void)err;
    o->machine.stopped = true;
    return true;
}

bool take_no_reboot(struct options *o, const char *value, struct error *err)
{
    (void)value, (void)err;
    o->machine.reboot = REBOOT_SHUTDOWN;
    return true;
}

bool take_no_shutdown(struct options *o, const char *value, struct error *err)
{
    (void)value, (void)err;
    o->machine.shutdown = SHUTDOWN_PAUSE;
    return true;
}

static bool action_word(void *opaque, const char *key, const char *value, struct error *err)
{
    static const char *const reboots[] = {"reset", "shutdown", NULL};
    static const char *const shutdowns[] = {"poweroff", "pause", NULL};
    static const char *const panics[] = {"shutdown", "pause", "exit-failure", "none", NULL};
    static const char *const watchdogs[] = {"reset", "shutdown", "poweroff", "inject-nmi",
                                            "pause", "debug",    "none",     NULL};
    struct machine_options *m = &((struct options *)opaque)->machine;
    int which = -1;

    if (!strcmp(key, "reboot")) {
        which = word_index(value, reboots);
        m->reboot = which == 1 ? REBOOT_SHUTDOWN : REBOOT_RESET;
    } else if (!strcmp(key, "shutdown")) {
        which = word_index(value, shutdowns);
        m->shutdown = which == 1 ? SHUTDOWN_PAUSE : SHUTDOWN_POWEROFF;
    } else if (!strcmp(key, "panic")) {
        which = word_index(value, panics);
        m->panic = which >= 0 ? (enum panic_action)which : PANIC_SHUTDOWN;
    } else if (!strcmp(key, "watchdog")) {
        which = word_index(value, watchdogs); /* there is none that could bite */
    } else {
        return error_set(err, "Invalid parameter '%s'; there are reboot, shutdown, panic, watchdog",
                         key);
    }
    return which >= 0 || error_set(err, "Parameter '%s' does not accept value '%s'", key, value);
}

bool take_action(struct options *o, const char *value, struct error *err)
{
    return each_word(value, NULL, action_word, o, err);
}
