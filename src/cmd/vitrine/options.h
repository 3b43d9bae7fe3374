/* SPDX-License-Identifier: MIT
 *
 * The command line of vitrine: QEMU's words where it has the feature. Every option is a row of a
 * table in options.c, refusals are rows of refused.c; -h, errors and completeness tests read them.
 *
 * An option is taken at once, when it only changes numbers and names, or later, in three turns,
 * when there is a machine to apply it to: character back ends first, then drives, then what may
 * name them.
 *
 * Read in this order: this header, options.c, take.h (what rows call), take_*.c, lines.c (serial
 * ports, monitors), storage.c (drives), refused.c, setup.c (the machine), process.c (-daemonize,
 * -pidfile, signals), main.c.
 */
#ifndef VITRINE_OPTIONS_H
#define VITRINE_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/error.h"
#include "engine/engine.h"
#include "machine/machine.h"
#include "trace/probe/control.h"

enum guest_kind { GUEST_X86_64, GUEST_I386 };

enum turn {
    TURN_NOW,      /* take() when it is read */
    TURN_CHARDEVS, /* apply() */
    TURN_DRIVES,
    TURN_REST,
    TURNS,
};

struct setup; /* setup.h */
struct options;

struct option_row {
    const char *name, *other; /* with one dash; each may have two. `other` NULL: none */
    const char *argument;     /* NULL: none */
    enum turn turn;
    /* Of TURN_NOW. False with an empty sentence: help was printed. */
    bool (*take)(struct options *o, const char *value, struct error *err);
    /* Of the others; also of TURN_NOW rows where the machine must know, after it was taken. */
    bool (*apply)(struct setup *setup, const char *value, struct error *err);
    bool whole; /* its sentences begin with the option already */
    const char *help;
};

/* An option as it stands on the command line. */
struct option_word {
    const struct option_row *row;
    const char *written, *value; /* "-hda"; NULL: none */
};

struct options {
    const char *program; /* the name it was called by, without folder */
    enum guest_kind guest;
    struct machine_options machine;
    struct engine_options engine;
    struct trace_setup *trace; /* applied by the caller */
    struct option_word *word;
    size_t words;
    const char *cpu; /* NULL: the guest's default */
    const char **folders;
    size_t folders_count;
    char *guest_name, *process_name; /* -name */
    bool snapshot, daemonize;
    const char *pidfile;
    bool has_serial, has_monitor, has_vga, has_display; /* one was given, or "none" */
    bool display_none;
};

enum options_result {
    OPTIONS_RUN,
    OPTIONS_DONE,  /* help and the like was printed: exit with status 0 */
    OPTIONS_WRONG, /* `err` has the sentence: status 1 */
};

/* Reads the command line. Strings of argv are kept; `options` is zeroed before. */
enum options_result options_parse(struct options *options, int argc, char **argv,
                                  struct error *err);
void options_free(struct options *options);

/* Puts "-option value: " in front of a sentence. Returns false. */
bool option_prefix(const struct option_word *word, struct error *err);

void options_help(const struct options *options, FILE *out);

/* --- refused.c --- */

/* What QEMU has and we have not: true with the sentence, if the option is one. */
bool option_refused(const char *name, struct error *err);

#endif
