/* SPDX-License-Identifier: MIT
 *
 * vitrine-demo: a small program with probes of its own, to try recordings on. Read table.c next. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/option.h"
#include "table.h"
#include "trace-demo.h"
#include "trace/probe/control.h"

static void usage(FILE *out)
{
    fputs("usage: vitrine-demo [OPTIONS]\n\n"
          "Philosophers at a table think, take forks and eat; probes tell of it.\n\n"
          "  --seats N     how many, 2 to 32 (5)\n"
          "  --meals N     meals for each (40)\n"
          "  --seed N      other times to think and eat (1)\n"
          "  -h, --help    this text\n"
          "  --version     the version\n",
          out);
    trace_help_options(out);
    fputs("\nexamples:\n"
          "  vitrine-demo -trace 'fork_*'\n"
          "  vitrine-demo -trace '*,file=dinner.trace' && vitrine-trace show dinner.trace\n"
          "  vitrine-demo -trace 'fork_take,filter=waited_ns > 1000000'\n",
          out);
}

static void warn(void *opaque, const char *sentence)
{
    (void)opaque;
    fprintf(stderr, "vitrine-demo: %s\n", sentence);
}

static int fail(const struct error *err)
{
    fprintf(stderr, "vitrine-demo: %s\n", err->text);
    return 1;
}

/* `--name N` or `--name=N`. */
static bool number_option(const char *name, int argc, char **argv, int *i, uint64_t min,
                          uint64_t max, uint64_t *value, bool *ok, struct error *err)
{
    size_t len = strlen(name);
    if (!strncmp(argv[*i], name, len) && argv[*i][len] == '=') {
        *ok = option_number(name, argv[*i] + len + 1, min, max, value, err);
        return true;
    }
    if (strcmp(argv[*i], name)) {
        return false;
    }
    *ok = *i + 1 < argc ? option_number(name, argv[*i + 1], min, max, value, err)
                        : error_set(err, "%s: requires an argument", name);
    ++*i;
    return true;
}

static volatile sig_atomic_t ended_by;

static void end(int signal)
{
    ended_by = signal;
    table_close();
}

/* Ctrl-C and kill: whoever eats finishes the meal, so that the recording has everything until then.
 * The second time the program ends at once. */
static void end_on_signals(void)
{
    static const int signals[] = {SIGINT, SIGTERM, SIGHUP};
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++) {
        struct sigaction now, old;
        now = (struct sigaction){.sa_handler = end, .sa_flags = SA_RESETHAND | SA_RESTART};
        if (!sigaction(signals[i], NULL, &old) && old.sa_handler == SIG_DFL) {
            sigaction(signals[i], &now, NULL);
        }
    }
}

int main(int argc, char **argv)
{
    uint64_t seats = 5, meals = 40, seed = 1;
    struct trace_setup *setup = trace_setup_new();
    struct error err;
    bool ok = true;

    for (int i = 1; i < argc && ok; i++) {
        if (!strcmp(argv[i], "-h") || !strcmp(argv[i], "--help")) {
            usage(stdout);
            return 0;
        }
        if (!strcmp(argv[i], "--version")) {
            puts("vitrine-demo " VITRINE_VERSION);
            return 0;
        }
        if (number_option("--seats", argc, argv, &i, SEATS_MIN, SEATS_MAX, &seats, &ok, &err) ||
            number_option("--meals", argc, argv, &i, 1, 1000000, &meals, &ok, &err) ||
            number_option("--seed", argc, argv, &i, 0, 1000000, &seed, &ok, &err)) {
            continue;
        }
        switch (trace_setup_option(setup, argc, argv, &i, &err)) {
        case TRACE_OPTION_TAKEN: break;
        case TRACE_OPTION_HELP: return 0;
        case TRACE_OPTION_WRONG: ok = false; break;
        case TRACE_OPTION_FOREIGN:
            ok = error_set(&err, "%s: unknown option (--help lists them)", argv[i]);
            break;
        }
    }
    if (!ok || !trace_setup_apply(setup, warn, NULL, &err)) {
        return fail(&err);
    }
    trace_setup_free(setup);

    end_on_signals();
    trace_table_set((int)seats, (unsigned)meals);
    uint64_t waited = table_dine((int)seats, (unsigned)meals, (unsigned)seed);
    trace_table_cleared(waited);
    if (ended_by) {
        trace_shutdown();
        signal(ended_by, SIG_DFL);
        raise(ended_by);
    }
    return 0;
}
