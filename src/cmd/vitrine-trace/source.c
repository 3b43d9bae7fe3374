/* SPDX-License-Identifier: MIT
 *
 * A recording that a command reads, with its progress bar. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "cmd/vitrine-trace/command.h"

/* Records between two looks at the clock: at most that many, fewer where they come slowly, as
 * through a pipe from a program that runs. */
enum { STEP_MAX = 4096, LOOK_EVERY = 20000000 /* ns */ };

bool source_open(struct source *source, const struct command *self, const char *path,
                 const struct trace_reader_options *options)
{
    struct error err;
    *source = (struct source){.path = path, .step = 1};
    source->reader = trace_reader_open(path, options, &err);
    if (!source->reader) {
        command_failed(self, "%s", err.text);
        return false;
    }
    progress_begin(&source->progress, strcmp(path, "-") ? path : "standard input");
    return true;
}

static void look(struct source *source)
{
    uint64_t done, size, now = clock_monotonic();
    bool late = now - source->looked > LOOK_EVERY;
    source->step = late ? source->step / 2 : source->step * 2;
    source->step = source->step < 1 ? 1 : source->step > STEP_MAX ? STEP_MAX : source->step;
    source->looked = now;
    source->next = source->count + source->step;
    trace_reader_progress(source->reader, &done, &size);
    progress_step(&source->progress, done, size);
}

int source_next(struct source *source, struct trace_record *record)
{
    int got = trace_reader_next(source->reader, record);
    if (got > 0 && ++source->count >= source->next && source->progress.on) {
        look(source);
    }
    return got;
}

int source_close(struct source *source, const struct command *self)
{
    int status = 0;
    progress_end(&source->progress);
    const char *error = trace_reader_error(source->reader);
    if (*error) {
        status = command_failed(self, "%s", error);
    }
    trace_reader_close(source->reader);
    source->reader = NULL;
    return status;
}

bool command_takes_binary(const struct command *self, const char *path)
{
    if (strcmp(path, "-") != 0 || !isatty(STDOUT_FILENO)) {
        return true;
    }
    command_usage_error(self, "standard output is a terminal, and what comes is no text: name a "
                              "file with -o, or lead it into a pipe");
    return false;
}

bool command_colour(void)
{
    const char *off = getenv("NO_COLOR"), *term = getenv("TERM");
    return isatty(STDOUT_FILENO) && !(off && *off) && term && strcmp(term, "dumb") != 0;
}
