/* SPDX-License-Identifier: MIT
 *
 * vitrine: a PC behind glass. Read options.h first. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/logitems.h"
#include "cmd/vitrine/options.h"
#include "cmd/vitrine/process.h"
#include "cmd/vitrine/setup.h"
#include "engine/engine.h"
#include "engine/filter.h"

static const enum log_item log_items_here[] = {
    LOG_OUT_ASM, LOG_IN_ASM,       LOG_OP,   LOG_INT,     LOG_EXEC,
    LOG_CPU,     LOG_FPU,          LOG_MMU,  LOG_PCALL,   LOG_CPU_RESET,
    LOG_UNIMP,   LOG_GUEST_ERRORS, LOG_PAGE, LOG_NOCHAIN, LOG_JIT_STATS};

static struct options options;
static struct setup setup;

static void warn(void *opaque, const char *sentence)
{
    (void)opaque;
    fprintf(stderr, "%s: %s\n", options.program, sentence);
}

static int fail(const struct error *err)
{
    fflush(stdout);
    fprintf(stderr, "%s: %s\n", options.program, err->text);
    return 1;
}

/* -d jit-stats */
static void log_stats(void)
{
    char *text = NULL;
    size_t size = 0;

    if (!log_item_on(LOG_JIT_STATS) || !setup.machine->engine) {
        return;
    }
    FILE *out = open_memstream(&text, &size);
    if (out) {
        engine_stats(setup.machine->engine, out);
        fclose(out);
        log_text(text, size);
    }
    free(text);
}

static bool prepare(struct error *err)
{
    if (options.daemonize && options.machine.nographic) {
        return error_set(err, "-nographic cannot be used with -daemonize");
    }
    if (options.daemonize && !process_detach(err)) {
        return false;
    }
    if (options.process_name) {
        process_set_name(options.process_name);
    }
    options.engine.no_chain |= log_item_on(LOG_NOCHAIN);
    return (!options.pidfile || process_write_pid(options.pidfile, err)) &&
           trace_setup_apply(options.trace, warn, NULL, err) &&
           setup_machine(&setup, &options, err);
}

int main(int argc, char **argv)
{
    struct error err;

    for (size_t i = 0; i < sizeof log_items_here / sizeof *log_items_here; i++) {
        log_item_support(log_items_here[i]);
    }
    engine_filter_fields_add();
    machine_fields_add();
    switch (options_parse(&options, argc, argv, &err)) {
    case OPTIONS_DONE: return 0;
    case OPTIONS_WRONG: return fail(&err);
    case OPTIONS_RUN: break;
    }
    if (!prepare(&err)) {
        int status = fail(&err);
        setup_free(&setup);
        return status;
    }
    process_take_signals(options.program, setup.machine);
    process_is_ready();
    int status = machine_run(setup.machine);
    process_tell_signal();
    log_stats();
    setup_free(&setup);
    return status;
}
