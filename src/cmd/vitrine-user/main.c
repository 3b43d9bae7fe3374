/* SPDX-License-Identifier: MIT
 *
 * vitrine-user: runs one x86-64 Linux program through the translator. Read options.c first. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/descriptor.h"
#include "base/log.h"
#include "base/logitems.h"
#include "cmd/vitrine-user/modules.h"
#include "cmd/vitrine-user/options.h"
#include "engine/filter.h"
#include "guest/x86/cpuid.h"
#include "monitor/monitor.h"
#include "user/user.h"

static const enum log_item log_items_here[] = {LOG_OUT_ASM, LOG_IN_ASM, LOG_OP,    LOG_INT,
                                               LOG_EXEC,    LOG_CPU,    LOG_FPU,   LOG_PAGE,
                                               LOG_NOCHAIN, LOG_STRACE, LOG_UNIMP, LOG_JIT_STATS};

static struct user *the_user; /* for what runs at exit */

static void warn(void *opaque, const char *sentence)
{
    (void)opaque;
    fprintf(stderr, "vitrine-user: %s\n", sentence);
}

static int fail(const struct error *err)
{
    fflush(stdout);
    fprintf(stderr, "vitrine-user: %s\n", err->text);
    return 1;
}

static int usage(void)
{
    fputs("usage: vitrine-user [OPTIONS] PROGRAM [ARGUMENTS]\n"
          "'vitrine-user -h' lists the options.\n",
          stderr);
    return 1;
}

/* --- -d jit-stats, info jit --- */

static char *engine_text(void)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);

    if (out) {
        engine_stats(user_engine(the_user), out);
        fclose(out);
    }
    return text;
}

static void log_stats(void)
{
    char *text = log_item_on(LOG_JIT_STATS) ? engine_text() : NULL;

    if (text) {
        log_text(text, strlen(text));
    }
    free(text);
}

static bool info_jit(struct monitor_session *session, const struct monitor_arguments *arguments)
{
    char *text = engine_text();

    (void)arguments;
    monitor_printf(session, "%s", text ? text : "");
    free(text);
    return true;
}

static bool info_status(struct monitor_session *session, const struct monitor_arguments *arguments)
{
    (void)arguments;
    monitor_printf(session, "VM status: running\n");
    return true;
}

static const struct monitor_command info_commands[] = {
    {.name = "jit", .help = "show what the translator did so far", .run = info_jit},
    {.name = "status", .help = "show whether the program runs", .run = info_status},
};

static bool start_monitor(const char *path, struct error *err)
{
    struct monitor *monitor = monitor_new("vitrine-user " VITRINE_VERSION);

    monitor_add(monitor, MONITOR_INFO, info_commands,
                sizeof info_commands / sizeof info_commands[0]);
    return monitor_listen(monitor, path, err);
}

/* A child says what is wrong and goes on: its parent's program waits for it, not for us. */
static bool start_perf(struct options *options, struct error *err)
{
    options->perf.child = options->child;
    if ((!options->perf.map && !options->perf.dump) ||
        perf_start(user_engine(the_user), &options->perf, err)) {
        return true;
    }
    if (options->child) {
        warn(NULL, err->text);
    }
    return options->child;
}

/* --- */

static bool prepare(struct options *options, struct error *err)
{
    options->user.model = x86_model_parse(options->user.cpu, err);
    if (!options->user.model) {
        return error_prefix(err, "-cpu: ");
    }
    if (!x86_has(&options->user.model->features, X86_FEATURE_LM)) {
        return error_set(err, "-cpu: the CPU %s has no 64-bit mode (lm), which programs need",
                         options->user.cpu);
    }
    const char *program = user_find_program(options->user.program, err);
    if (!program) {
        return false;
    }
    options->user.program = program;
    if (!trace_setup_apply(options->trace, warn, NULL, err)) {
        return false;
    }
    user_toggle_prepare(&options->user);
    options->user.modules = modules_new();
    the_user = user_new(&options->user, err);
    return the_user && start_perf(options, err) &&
           (!options->monitor || start_monitor(options->monitor, err));
}

int main(int argc, char **argv)
{
    static struct options options;
    struct error err;

    descriptor_keep_away();
    log_keep_standard();
    for (size_t i = 0; i < sizeof log_items_here / sizeof *log_items_here; i++) {
        log_item_support(log_items_here[i]);
    }
    user_guest_environment(environ);
    engine_filter_fields_add();
    trace_toggle_check = user_toggle_check;
    switch (options_parse(&options, argc, argv, environ, &err)) {
    case OPTIONS_DONE: return 0;
    case OPTIONS_USAGE: return usage();
    case OPTIONS_WRONG: return fail(&err);
    case OPTIONS_RUN: break;
    }
    if (!prepare(&options, &err)) {
        return fail(&err);
    }
    atexit(log_stats);
    return user_run(the_user);
}
