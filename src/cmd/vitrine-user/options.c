/* SPDX-License-Identifier: MIT
 *
 * The options, a row each. */
#include "cmd/vitrine-user/options.h"

#include <limits.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <unistd.h>

#include "base/logitems.h"
#include "base/memory.h"
#include "base/option.h"
#include "base/strbuf.h"
#include "base/usage.h"
#include "engine/words.h"
#include "guest/x86/cpuid.h"

#define STACK_MIN UINT64_C(65536)
#define STACK_MAX (UINT64_C(4) << 30)

/* --- environment of the guest --- */

static size_t variable_at(const struct options *o, const char *text, size_t name)
{
    size_t i = 0;

    while (i < o->variables &&
           (strncmp(o->environment[i], text, name) != 0 || o->environment[i][name] != '=')) {
        i++;
    }
    return i;
}

static void set_variable(struct options *o, const char *text)
{
    size_t i = variable_at(o, text, strcspn(text, "="));

    if (i == o->variables) {
        o->environment = mem_resize(o->environment, o->variables + 2, sizeof *o->environment);
        o->environment[++o->variables] = NULL;
    } else {
        free(o->environment[i]);
    }
    o->environment[i] = mem_string(text);
}

static void unset_variable(struct options *o, const char *name)
{
    size_t i = variable_at(o, name, strlen(name));

    if (i < o->variables) {
        free(o->environment[i]);
        memmove(o->environment + i, o->environment + i + 1,
                (o->variables - i) * sizeof *o->environment);
        o->variables--;
    }
}

/* Calls `take` for each part between commas; two commas are one that belongs to the part. */
static bool each_part(struct options *o, const char *text,
                      bool (*take)(struct options *, const char *, struct error *),
                      struct error *err)
{
    struct strbuf part;
    bool ok = true;

    strbuf_init(&part);
    for (const char *at = text; ok; at++) {
        if (*at == ',' && at[1] == ',') {
            strbuf_putc(&part, *at++);
        } else if (*at == ',' || !*at) {
            ok = take(o, part.data, err);
            strbuf_clear(&part);
            if (!*at) {
                break;
            }
        } else {
            strbuf_putc(&part, *at);
        }
    }
    strbuf_free(&part);
    return ok;
}

static bool take_set_one(struct options *o, const char *text, struct error *err)
{
    if (!strchr(text, '=') || text[0] == '=') {
        return error_set(err,
                         "'%s' is not of the form VARIABLE=VALUE (a comma inside a value is "
                         "written ',,')",
                         text);
    }
    set_variable(o, text);
    return true;
}

static bool take_unset_one(struct options *o, const char *text, struct error *err)
{
    if (!text[0] || strchr(text, '=')) {
        return error_set(err, "'%s' is no name of a variable", text);
    }
    unset_variable(o, text);
    return true;
}

/* --- what the rows call. `false` with an empty sentence: help was printed --- */

typedef bool take_fn(struct options *o, const char *value, struct error *err);

static bool take_help(struct options *o, const char *value, struct error *err)
{
    (void)o, (void)value;
    options_help(stdout);
    err->text[0] = 0;
    return false;
}

static bool take_version(struct options *o, const char *value, struct error *err)
{
    (void)o, (void)value;
    puts("vitrine-user " VITRINE_VERSION);
    err->text[0] = 0;
    return false;
}

static bool take_sysroot(struct options *o, const char *value, struct error *err)
{
    (void)err;
    o->user.sysroot = value;
    return true;
}

static bool take_stack(struct options *o, const char *value, struct error *err)
{
    return option_size("-s", value, STACK_MIN, STACK_MAX, &o->user.stack_size, err);
}

static bool take_cpu(struct options *o, const char *value, struct error *err)
{
    if (!strcmp(value, "help") || !strcmp(value, "?")) {
        x86_model_help(stdout);
        err->text[0] = 0;
        return false;
    }
    o->user.cpu = value;
    return true;
}

static bool take_set(struct options *o, const char *value, struct error *err)
{
    return each_part(o, value, take_set_one, err) || error_prefix(err, "-E: ");
}

static bool take_unset(struct options *o, const char *value, struct error *err)
{
    return each_part(o, value, take_unset_one, err) || error_prefix(err, "-U: ");
}

static bool take_argv0(struct options *o, const char *value, struct error *err)
{
    (void)err;
    o->argv0 = value;
    return true;
}

static bool take_release(struct options *o, const char *value, struct error *err)
{
    (void)err;
    o->user.release = value;
    return true;
}

static bool take_trace(struct options *o, const char *name, const char *value, struct error *err)
{
    char *argv[] = {(char *)name, (char *)value, NULL}; // NOLINT: nothing is written there
    int i = 0;

    switch (trace_setup_option(o->trace, 2, argv, &i, err)) {
    case TRACE_OPTION_HELP: err->text[0] = 0; return false;
    case TRACE_OPTION_TAKEN: return true;
    default: return false;
    }
}

static bool take_items(struct options *o, const char *value, struct error *err)
{
    return take_trace(o, "-d", value, err);
}

/* Text of several processes goes into one file; recordings cannot. */
static bool take_log(struct options *o, const char *value, struct error *err)
{
    char *name = mem_format("%s%s", o->child && value[0] != '+' ? "+" : "", value);
    bool ok = take_trace(o, "-D", name, err);

    free(name);
    return ok;
}

/* The text of -trace with the process id behind the name of its file. */
static char *with_own_file(const char *text)
{
    const char *file = !strncmp(text, "file=", 5) ? text : strstr(text, ",file=");
    if (!file) {
        return mem_string(text);
    }
    const char *end = strchr(file, '=') + 1;
    while (*end && (*end != ',' || end[1] == ',')) {
        end += *end == ',' ? 2 : 1;
    }
    return mem_format("%.*s-%d%s", (int)(end - text), text, (int)getpid(), end);
}

static bool take_events(struct options *o, const char *value, struct error *err)
{
    char *text = o->child ? with_own_file(value) : mem_string(value);
    bool ok = take_trace(o, "-trace", text, err);

    free(text);
    return ok;
}

static bool take_child(struct options *o, const char *value, struct error *err)
{
    (void)value, (void)err;
    o->child = true;
    return true;
}

static bool take_messages(struct options *o, const char *value, struct error *err)
{
    return take_trace(o, "-msg", value, err);
}

static bool take_filter(struct options *o, const char *value, struct error *err)
{
    (void)o;
    return log_filter_add(value, err) || error_prefix(err, "-dfilter: ");
}

static bool take_single(struct options *o, const char *value, struct error *err)
{
    (void)value, (void)err;
    o->user.engine.one_instruction = true;
    return true;
}

static bool take_strace(struct options *o, const char *value, struct error *err)
{
    (void)o, (void)value, (void)err;
    log_items_set(log_items | UINT64_C(1) << LOG_STRACE);
    return true;
}

static bool take_seed(struct options *o, const char *value, struct error *err)
{
    o->user.seeded = true;
    return option_number("-seed", value, 0, UINT64_MAX, &o->user.seed, err);
}

static bool take_native(struct options *o, const char *value, struct error *err)
{
    (void)value, (void)err;
    o->user.native_children = true;
    return true;
}

static bool take_perfmap(struct options *o, const char *value, struct error *err)
{
    (void)value, (void)err;
    o->perf.map = true;
    return true;
}

static bool take_jitdump(struct options *o, const char *value, struct error *err)
{
    (void)value, (void)err;
    o->perf.dump = true;
    return true;
}

static bool take_seccomp(struct options *o, const char *value, struct error *err)
{
    char *end;
    long fd = strtol(value, &end, 10);

    if (*end || end == value || fd <= 0 || fd > INT_MAX) {
        return error_set(err, "-seccomp: '%s' is no descriptor", value);
    }
    o->user.seccomp_fd = (int)fd;
    return true;
}

static bool take_toggles(struct options *o, const char *value, struct error *err)
{
    char *end;

    o->user.toggles_told = true;
    o->user.toggles_on = strtoull(value, &end, 0);
    if (end != value && *end == ',' && end[1]) {
        o->user.toggles_blocked = strtoull(end + 1, &end, 0);
        if (!*end) {
            return true;
        }
    }
    return error_set(err, "-toggles: '%s' is not two sets of signals", value);
}

static bool take_monitor(struct options *o, const char *value, struct error *err)
{
    if (strncmp(value, "unix:", 5) != 0 || !value[5]) {
        return error_set(err, "-monitor %s: expected unix:PATH", value);
    }
    o->monitor = value + 5;
    return true;
}

static bool refuse_gdb(struct options *o, const char *value, struct error *err)
{
    (void)o, (void)value;
    return error_set(err, "-g: a server for gdb is not there yet");
}

static bool refuse_base(struct options *o, const char *value, struct error *err)
{
    (void)o, (void)value;
    return error_set(err, "-B: the guest's addresses are the host's, so there is no base to set");
}

static bool refuse_plugin(struct options *o, const char *value, struct error *err)
{
    (void)o, (void)value;
    return error_set(err, "-plugin: plugins are not there yet");
}

static bool take_engine(struct options *o, const char *value, struct error *err)
{
    return engine_options_words(&o->user.engine, value, err) || error_prefix(err, "-engine: ");
}

/* --- the table --- */

/* clang-format off */
static const struct row {
    const char *name, *other; /* with one dash; each may have two. `other` NULL: none */
    const char *argument;     /* NULL: none */
    const char *variable;     /* in the environment; NULL: none */
    bool inherited;           /* by programs that the guest starts */
    take_fn *take;
    const char *help;
} rows[] = {
    {"-h", "-help", NULL, NULL, false, take_help, "this text"},
    {"-version", NULL, NULL, "QEMU_VERSION", false, take_version, "the version"},
    {"-L", NULL, "PATH", "QEMU_LD_PREFIX", true, take_sysroot,
     "folder where the interpreter of dynamic programs is looked for first"},
    {"-s", NULL, "SIZE", "QEMU_STACK_SIZE", true, take_stack,
     "size of the stack; the limit (ulimit -s) by default"},
    {"-cpu", NULL, "MODEL", "QEMU_CPU", true, take_cpu,
     "which CPU the program sees, with features (Haswell,+aes,-avx2); max by default; help lists"},
    {"-E", NULL, "VAR=VALUE[,...]", "QEMU_SET_ENV", false, take_set,
     "sets variables in the program's environment"},
    {"-U", NULL, "VAR[,...]", "QEMU_UNSET_ENV", false, take_unset,
     "removes variables from the program's environment"},
    {"-0", NULL, "ARGV0", "QEMU_ARGV0", false, take_argv0, "what the program gets as argv[0]"},
    {"-r", NULL, "RELEASE", "QEMU_UNAME", true, take_release, "the release that uname tells"},
    {"-seed", NULL, "N", "QEMU_RAND_SEED", true, take_seed,
     "where random bytes at the start (AT_RANDOM) and the program's place come from"},
    {"-native-children", NULL, NULL, NULL, true, take_native,
     "programs that the program starts run without us"},
    {"-seccomp", NULL, "FD", NULL, false, take_seccomp,
     "one vitrine-user hands the program's filters of system calls to another"},
    {"-toggles", NULL, "ON,BLOCKED", NULL, false, take_toggles,
     "one vitrine-user tells another which signals of toggle= have switched on, and which are "
     "blocked"},
    {"-singlestep", "-one-insn-per-tb", NULL, "QEMU_SINGLESTEP", true, take_single,
     "translates each instruction alone"},
    {"-strace", NULL, NULL, "QEMU_STRACE", true, take_strace, "shows system calls"},
    {"-d", NULL, "ITEM[,...]", "QEMU_LOG", true, take_items,
     "logs items, or trace:PATTERN events as text; help lists"},
    {"-dfilter", NULL, "RANGE[,...]", "QEMU_DFILTER", true, take_filter,
     "only code at these addresses: START+LENGTH, START-LENGTH, START..END"},
    {"-D", NULL, "FILE", "QEMU_LOG_FILENAME", true, take_log,
     "text goes there instead of standard error; %d is the process id"},
    {"-trace", NULL, "[enable=]PATTERN[,KEY=VALUE]...", "QEMU_TRACE", true, take_events,
     "watches events; help lists them; keys are below"},
    {"-msg", NULL, "timestamp=on", NULL, true, take_messages,
     "thread and time before each line of text"},
    {"-perfmap", NULL, NULL, "QEMU_PERFMAP", true, take_perfmap,
     "names for perf: writes /tmp/perf-PID.map"},
    {"-jitdump", NULL, NULL, "QEMU_JITDUMP", true, take_jitdump,
     "names and code for perf inject --jit: writes jit-PID.dump"},
    {"-monitor", NULL, "unix:PATH", NULL, false, take_monitor,
     "commands while the program runs, at this socket"},
    {"-engine", NULL, "WORD[,...]", NULL, true, take_engine, ENGINE_WORDS_HELP},
    {"-child", NULL, NULL, NULL, false, take_child,
     "one vitrine-user says so to another: text is appended to the file of -D, and the process id "
     "to the name of a recording"},
    {"-g", NULL, "PORT", "QEMU_GDB", false, refuse_gdb, "not there yet"},
    {"-B", NULL, "ADDRESS", "QEMU_GUEST_BASE", false, refuse_base, "refused: there is no base"},
    {"-plugin", NULL, "FILE", "QEMU_PLUGIN", false, refuse_plugin, "not there yet"},
};
/* clang-format on */

enum { ROWS = sizeof rows / sizeof rows[0] };

void options_help(FILE *out)
{
    fputs(
        "usage: vitrine-user [OPTIONS] PROGRAM [ARGUMENTS]\n\n"
        "Runs an x86-64 Linux program by translation, so that it can be watched. It is no "
        "sandbox.\n"
        "Options may be written with two dashes. In [], the variable that has the same effect.\n\n",
        out);
    for (unsigned i = 0; i < ROWS; i++) {
        const struct row *row = &rows[i];
        char *left = mem_format("  %s%s%s%s%s", row->name, row->other ? ", " : "",
                                row->other ? row->other : "", row->argument ? " " : "",
                                row->argument ? row->argument : "");
        char *right =
            row->variable ? mem_format("%s [%s]", row->help, row->variable) : mem_string(row->help);
        usage_row(out, left, right);
        free(left);
        free(right);
    }
    fputs("\nWhat -trace takes, with commas between:\n", out);
    trace_help_keys(out);
}

static const struct row *row_called(const char *name)
{
    name += name[0] == '-' && name[1] == '-' && name[2];
    for (unsigned i = 0; i < ROWS; i++) {
        if (!strcmp(rows[i].name, name) || (rows[i].other && !strcmp(rows[i].other, name))) {
            return &rows[i];
        }
    }
    return NULL;
}

static const char *row_name(size_t i)
{
    return i < ROWS ? rows[i].name : NULL;
}

static void add_word(struct options *o, const char *word)
{
    o->user.words = mem_resize(o->user.words, o->words + 2, sizeof *o->user.words);
    o->user.words[o->words++] = (char *)word; // NOLINT: execve() changes none
    o->user.words[o->words] = NULL;
}

/* A word of the command line. What the environment says is not handed on: it is inherited itself.
 */
static bool take(struct options *o, const struct row *row, const char *value, struct error *err)
{
    if (!row->take(o, value, err)) {
        return false;
    }
    if (row->inherited) {
        add_word(o, row->name);
        if (row->argument) {
            add_word(o, value);
        }
    }
    return true;
}

/* --- reading --- */

static bool read_environment(struct options *o, int argc, char **argv, struct error *err)
{
    bool ok = true;

    o->child = argc > 1 && !strcmp(argv[1], "-child"); /* where one of us writes it */
    for (unsigned i = 0; ok && i < ROWS; i++) {
        const char *value = rows[i].variable ? getenv(rows[i].variable) : NULL;
        if (!value) {
            continue;
        }
        ok = rows[i].take(o, value, err);
        if (!ok && err->text[0]) {
            error_prefix(err, "%s=%s in the environment: ", rows[i].variable, value);
        }
    }
    return ok;
}

/* binfmt_misc with flag P starts us as PATH ARGV0 ARGUMENTS..., and the kernel says so (bit 0,
 * AT_FLAGS_PRESERVE_ARGV0, since Linux 5.12). */
static bool by_binfmt(void)
{
    return getauxval(AT_FLAGS) & 1;
}

/* Reads up to the program's name; its position in *at. */
static bool read_words(struct options *o, int argc, char **argv, int *at, struct error *err)
{
    for (*at = 1; *at < argc && argv[*at][0] == '-' && argv[*at][1]; ++*at) {
        const char *name = argv[*at];
        if (!strcmp(name, "--")) {
            ++*at;
            break;
        }
        const struct row *row = row_called(name);
        if (!row) {
            return usage_unknown(name, row_name, err);
        }
        if (row->argument && *at + 1 == argc) {
            return error_set(err, "%s: requires an argument (%s)", name, row->argument);
        }
        if (!take(o, row, row->argument ? argv[++*at] : NULL, err)) {
            return false;
        }
    }
    return true;
}

enum options_result options_parse(struct options *options, int argc, char **argv, char **variables,
                                  struct error *err)
{
    int at = argc;

    err->text[0] = 0;
    options->trace = trace_setup_new();
    add_word(options, "-child");
    options->environment = mem_alloc(sizeof *options->environment);
    for (char **variable = variables; *variable; variable++) {
        options->environment =
            mem_resize(options->environment, options->variables + 2, sizeof *options->environment);
        options->environment[options->variables++] = mem_string(*variable);
        options->environment[options->variables] = NULL;
    }
    const bool binfmt = argc > 2 && by_binfmt();
    if (!read_environment(options, argc, argv, err) ||
        (!binfmt && !read_words(options, argc, argv, &at, err))) {
        return err->text[0] ? OPTIONS_WRONG : OPTIONS_DONE;
    }
    at = binfmt ? 1 : at;
    if (at >= argc) {
        return OPTIONS_USAGE;
    }
    options->user.envp = options->environment;
    options->user.program = argv[at];
    options->user.argv = argv + at + binfmt;
    if (options->argv0) {
        options->user.argv[0] = (char *)options->argv0; // NOLINT: copied to the guest
    }
    options->user.strace = log_item_on(LOG_STRACE);
    options->user.engine.no_chain |= log_item_on(LOG_NOCHAIN);
    return OPTIONS_RUN;
}

void options_free(struct options *options)
{
    for (size_t i = 0; i < options->variables; i++) {
        free(options->environment[i]);
    }
    free(options->environment);
    free(options->user.words);
    trace_setup_free(options->trace);
}
