/* SPDX-License-Identifier: MIT
 *
 * The progress bar: `what  [######----------]  37%  4 s left`. Without a total it tells what has
 * been read so far. */
#include "base/progress.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"

static const uint64_t second = 1000000000;

enum { CELLS = 24 };

void progress_begin(struct progress *p, const char *what)
{
    const char *term = getenv("TERM");
    bool dumb = !term || !strcmp(term, "dumb");
    *p = (struct progress){.on = !dumb && isatty(STDERR_FILENO)};
    if (p->on) {
        size_t len = strlen(what);
        what += len > PROGRESS_WHAT ? len - PROGRESS_WHAT : 0;
        for (char *to = p->what; *what; what++) {
            *to++ = *what >= ' ' && *what < 0x7f ? *what : '?';
        }
        p->started = clock_monotonic();
    }
}

static void draw(const struct progress *p, uint64_t elapsed, uint64_t done, uint64_t total)
{
    if (!total) {
        fprintf(stderr, "\r\x1b[K%s  %.1f MB", p->what, (double)done / 1e6);
    } else {
        double part = done < total ? (double)done / (double)total : 1;
        char bar[CELLS + 1];
        memset(bar, '-', CELLS);
        memset(bar, '#', (size_t)(part * CELLS));
        bar[CELLS] = 0;
        fprintf(stderr, "\r\x1b[K%s  [%s] %3.0f%%", p->what, bar, part * 100);
        if (part > 0.01) {
            double left = (double)elapsed / 1e9 * (1 - part) / part;
            fprintf(stderr, "  %.0f s left", left);
        }
    }
    fflush(stderr);
}

void progress_step(struct progress *p, uint64_t done, uint64_t total)
{
    if (!p->on) {
        return;
    }
    uint64_t now = clock_monotonic();
    uint64_t elapsed = now - p->started;
    if (elapsed > second && now - p->shown > second / 10) {
        p->shown = now;
        draw(p, elapsed, done, total);
    }
}

void progress_end(struct progress *p)
{
    if (p->on && p->shown) {
        fputs("\r\x1b[K", stderr);
        fflush(stderr);
    }
    p->on = false;
}
