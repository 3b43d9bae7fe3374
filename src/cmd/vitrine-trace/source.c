/* SPDX-License-Identifier: MIT
 *
 * A recording that a command reads, with its progress bar. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cmd/vitrine-trace/command.h"

enum { STEP = 4096 }; /* records between two looks at the clock */

bool source_open(struct source *source, const struct command *self, const char *path,
                 const struct trace_reader_options *options)
{
    struct error err;
    *source = (struct source){.path = path};
    source->reader = trace_reader_open(path, options, &err);
    if (!source->reader) {
        command_failed(self, "%s", err.text);
        return false;
    }
    progress_begin(&source->progress, path);
    return true;
}

int source_next(struct source *source, struct trace_record *record)
{
    int got = trace_reader_next(source->reader, record);
    if (got > 0 && ++source->count % STEP == 0 && source->progress.on) {
        uint64_t done, size;
        trace_reader_progress(source->reader, &done, &size);
        progress_step(&source->progress, done, size);
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

bool command_colour(void)
{
    const char *off = getenv("NO_COLOR"), *term = getenv("TERM");
    return isatty(STDOUT_FILENO) && !(off && *off) && term && strcmp(term, "dumb") != 0;
}
