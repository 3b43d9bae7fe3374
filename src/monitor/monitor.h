/* SPDX-License-Identifier: MIT
 *
 * The monitor: commands, typed by people or sent by scripts, while the program runs. Commands are
 * rows of tables; the monitor brings its own and those of tracing, programs add theirs. What they
 * print has the shape of QEMU's.
 *
 * A monitor is a set of commands; a session is somebody who types them: a connection, a terminal.
 * One thread at a time uses a session; several sessions of a monitor need a lock of their owner
 * only for what their commands do.
 *
 * vitrine-user serves a Unix socket with a thread of its own, which has all signals blocked and
 * takes one connection after another. A machine's monitors are on character back ends:
 * monitor/machine/.
 *
 * Read in this order: this header, monitor.c (tables, help), line.c (a line to a call),
 * expression.c, complete.c, commands.c (its own commands), socket.c (connections).
 */
#ifndef MONITOR_MONITOR_H
#define MONITOR_MONITOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct monitor;
struct monitor_session;
struct strbuf;

enum {
    MONITOR_VALUES_MAX = 6,        /* arguments of a command */
    MONITOR_LINE_MAX = 4096,       /* bytes */
    MONITOR_ANSWER_MAX = 16 << 20, /* bytes of an answer; the rest is left out, and that is said */
};

/* How values are shown: /COUNT LETTER SIZE, as in "x /10xw". */
struct monitor_format {
    unsigned count; /* at least 1 unless 0 was said */
    char letter;    /* o d u x c i */
    uint8_t size;   /* bytes: 1, 2, 4, 8 */
};

struct monitor_value {
    bool given;
    bool on;          /* of b */
    const char *word; /* of s, F, f, S */
    uint64_t number;  /* of e, n */
};

/* Good during the command. */
struct monitor_arguments {
    uint32_t flags; /* monitor_flag() */
    struct monitor_format format;
    unsigned count; /* of values that were given */
    struct monitor_value value[MONITOR_VALUES_MAX];
};

/* Whether the flag -LETTER was given. */
static inline bool monitor_flag(const struct monitor_arguments *arguments, char letter)
{
    return arguments->flags >> (letter & 31) & 1;
}

/* `types` has a letter for each argument, in their order:
 *
 *     s   a word; "..." keeps blanks in it, and knows \n \r \\ \" \'
 *     F   the same: name of a file             f   that, too, where QEMU says "string expected"
 *     e   an expression, 64 bits                n   one of 32 bits, not negative
 *     b   on or off                             S   the rest of the line
 *     /   a format, also right behind the command's name; it may always be left out
 *     -a  (two characters) the flag -a, which may be left out
 *
 * A `?` behind a letter: it and what follows may be left out. */
struct monitor_command {
    const char *name;      /* with other names behind bars: "cont|c" */
    const char *arguments; /* as help shows them: "name on|off"; NULL: none */
    const char *help;
    const char *types; /* NULL: none */
    /* False: its help is pointed to. On the session's thread. */
    bool (*run)(struct monitor_session *session, const struct monitor_arguments *arguments);
    /* Calls monitor_offer() with words that argument number `argument` (from 0, flags and format do
     * not count) may be, any that there are; those that do not begin as what was typed are dropped.
     * NULL: nothing but what its type says. */
    void (*complete)(struct monitor_session *session, unsigned argument, const char *typed);
};

enum monitor_table {
    MONITOR_MAIN,
    MONITOR_INFO, /* `info NAME` */
    MONITOR_TABLES,
};

/* `version` is what `info version` shows and greetings begin with; kept. */
struct monitor *monitor_new(const char *version);
/* No session has it any more, and it does not listen. NULL: nothing. */
void monitor_free(struct monitor *monitor);

/* Adds commands: before there is a session. The rows stay the caller's and are kept. A command of
 * the same name that was added before is not seen any more. */
void monitor_add(struct monitor *monitor, enum monitor_table table,
                 const struct monitor_command *commands, size_t count);

/* What $NAME in an expression is: true and the value, or false if there is none of that name. */
typedef bool monitor_register_fn(struct monitor_session *session, const char *name,
                                 uint64_t *value);
void monitor_set_registers(struct monitor *monitor, monitor_register_fn *read);

/* The program's own, for its commands. */
void monitor_set_opaque(struct monitor *monitor, void *opaque);
void *monitor_opaque(const struct monitor_session *session);

/* Listens at a Unix socket that only this user may connect to, in a thread of its own. A socket
 * that is there already and nobody listens at is replaced. */
bool monitor_listen(struct monitor *monitor, const char *path, struct error *err);

/* --- sessions --- */

struct monitor_session *monitor_session_new(struct monitor *monitor);
void monitor_session_free(struct monitor_session *session);
/* Somebody else sits there: current vCPU and format are as in a new one. */
void monitor_session_reset(struct monitor_session *session);

/* "NAME VERSION monitor - type 'help' for more information". */
void monitor_greet(struct monitor_session *session);
extern const char monitor_prompt[];

/* Carries a line out. What it prints is appended to the answer, lines ending in \n. */
void monitor_execute(struct monitor_session *session, const char *line);
/* The answer so far, which the caller reads and clears. */
struct strbuf *monitor_answer(struct monitor_session *session);
/* `quit` was said. */
bool monitor_has_quit(const struct monitor_session *session);

/* What a line up to the cursor could go on with: the words are sorted and each there once. `start`
 * is where in the line the word begins that they replace. */
struct monitor_words {
    char **word;
    size_t count;
    size_t start;
};
void monitor_complete(struct monitor_session *session, const char *line,
                      struct monitor_words *words);
void monitor_words_free(struct monitor_words *words);
/* The words in columns, lines ending in \n: a string to free. */
char *monitor_words_columns(const struct monitor_words *words);
/* How many bytes all words begin with; 0 if there is none. */
size_t monitor_words_common(const struct monitor_words *words);

/* --- for commands --- */

void monitor_printf(struct monitor_session *session, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* Whether the answer has its full length: what follows would be left out. */
bool monitor_is_full(const struct monitor_session *session);
struct monitor *monitor_of(struct monitor_session *session);
/* Number of the vCPU that this session looks at: `cpu N`. 0 at first. */
unsigned *monitor_cpu(struct monitor_session *session);
/* For complete(). */
void monitor_offer(struct monitor_session *session, const char *word);
#endif
