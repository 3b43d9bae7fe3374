/* SPDX-License-Identifier: MIT
 *
 * Options about the process, logs and traces. */
#include <stdlib.h>
#include <string.h>

#include "base/logitems.h"
#include "base/memory.h"
#include "cmd/vitrine/take.h"
#include "engine/words.h"

static bool name_word(void *opaque, const char *key, const char *value, struct error *err)
{
    struct options *o = opaque;

    if (!strcmp(key, "guest") || !strcmp(key, "process")) {
        char **to = !strcmp(key, "guest") ? &o->guest_name : &o->process_name;
        free(*to);
        *to = mem_string(value);
        o->machine.name = o->guest_name;
        return true;
    }
    return !strcmp(key, "debug-threads") ||
           error_set(err, "Invalid parameter '%s'; there are guest, process, debug-threads", key);
}

bool take_name(struct options *o, const char *value, struct error *err)
{
    return each_word(value, "guest", name_word, o, err);
}

bool take_pidfile(struct options *o, const char *value, struct error *err)
{
    (void)err;
    o->pidfile = value;
    return true;
}

bool take_daemonize(struct options *o, const char *value, struct error *err)
{
    (void)value, (void)err;
    o->daemonize = true;
    return true;
}

/* --- logs and traces --- */

static bool take_trace_option(struct options *o, const char *name, const char *value,
                              struct error *err)
{
    char *argv[] = {(char *)name, (char *)value, NULL}; // NOLINT: nothing is written there
    int i = 0;

    switch (trace_setup_option(o->trace, 2, argv, &i, err)) {
    case TRACE_OPTION_HELP: return help_was_printed(err);
    case TRACE_OPTION_TAKEN: return true;
    default: return false;
    }
}

bool take_items(struct options *o, const char *value, struct error *err)
{
    return take_trace_option(o, "-d", value, err);
}

bool take_log(struct options *o, const char *value, struct error *err)
{
    return take_trace_option(o, "-D", value, err);
}

bool take_events(struct options *o, const char *value, struct error *err)
{
    return take_trace_option(o, "-trace", value, err);
}

bool take_messages(struct options *o, const char *value, struct error *err)
{
    return take_trace_option(o, "-msg", value, err);
}

bool take_filter(struct options *o, const char *value, struct error *err)
{
    (void)o;
    return log_filter_add(value, err);
}

bool take_single(struct options *o, const char *value, struct error *err)
{
    (void)value, (void)err;
    o->engine.one_instruction = true;
    return true;
}

bool take_engine(struct options *o, const char *value, struct error *err)
{
    return engine_options_words(&o->engine, value, err);
}
