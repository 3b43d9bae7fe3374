/* SPDX-License-Identifier: MIT
 *
 * The threads of a timeline: an open hash table that starts anew when it is full, and in each of
 * its entries a short stack of begins.
 */
#include "cmd/vitrine-trace/tracks.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/strbuf.h"

enum { TRACK_SLOTS = 2 * TRACKS_MAX };

struct track_open {
    const struct track_role *role;
    uint64_t time;
    struct strbuf body;
};

struct tracks {
    track_emit_fn *emit;
    void *opaque;
    unsigned count;
    struct track *last; /* found the last time: most records follow one of the same thread */
    struct track slot[TRACK_SLOTS];
};

static const struct {
    const char *ending;
    enum track_mark mark;
} track_endings[] = {
    {"_enter", TRACK_BEGIN}, {"_entry", TRACK_BEGIN}, {"_begin", TRACK_BEGIN},
    {"_start", TRACK_BEGIN}, {"_exit", TRACK_END},    {"_leave", TRACK_END},
    {"_end", TRACK_END},     {"_stop", TRACK_END},    {"_complete", TRACK_END},
    {"_done", TRACK_END},    {"_finish", TRACK_END},
};

/* Events whose names are as they are: QEMU's. */
static const struct {
    const char *name, *stem;
    enum track_mark mark;
} track_names[] = {
    {"guest_user_syscall", "guest_user_syscall", TRACK_BEGIN},
    {"guest_user_syscall_ret", "guest_user_syscall", TRACK_END},
};

struct track_role track_role_of(const struct trace_decl *decl)
{
    size_t len = strlen(decl->name);

    for (unsigned i = 0; i < sizeof(track_names) / sizeof(track_names[0]); i++) {
        if (strcmp(decl->name, track_names[i].name) == 0) {
            return (struct track_role){.mark = track_names[i].mark,
                                       .stem = mem_string(track_names[i].stem)};
        }
    }

    for (unsigned i = 0; i < sizeof(track_endings) / sizeof(track_endings[0]); i++) {
        size_t ending = strlen(track_endings[i].ending);
        if (len > ending && strcmp(decl->name + len - ending, track_endings[i].ending) == 0) {
            return (struct track_role){.mark = track_endings[i].mark,
                                       .stem = mem_stringn(decl->name, len - ending)};
        }
    }
    return (struct track_role){.mark = TRACK_INSTANT};
}

struct tracks *tracks_new(track_emit_fn *emit, void *opaque)
{
    struct tracks *tracks = mem_alloc(sizeof(*tracks));

    tracks->emit = emit;
    tracks->opaque = opaque;
    return tracks;
}

struct track *tracks_find(struct tracks *tracks, uint32_t pid, uint32_t thread, bool *fresh)
{
    uint64_t key = (uint64_t)pid << 32 | thread;
    unsigned home = (unsigned)((key * UINT64_C(0x9e3779b97f4a7c15)) >> 40) % TRACK_SLOTS;
    unsigned at = home;

    *fresh = false;
    if (tracks->last != NULL && tracks->last->pid == pid && tracks->last->thread == thread) {
        return tracks->last;
    }
    while (tracks->slot[at].used) {
        struct track *track = &tracks->slot[at];
        if (track->pid == pid && track->thread == thread) {
            return tracks->last = track;
        }
        at = (at + 1) % TRACK_SLOTS;
    }

    *fresh = true;
    if (tracks->count == TRACKS_MAX) {
        tracks_flush(tracks);
        for (unsigned i = 0; i < TRACK_SLOTS; i++) {
            tracks->slot[i].used = false;
        }
        tracks->count = 0;
        at = home;
    }

    struct track *track = &tracks->slot[at];
    track->pid = pid;
    track->thread = thread;
    track->used = true;
    track->last_end = 0;
    tracks->count++;
    return tracks->last = track;
}

static void track_instant(struct tracks *tracks, struct track *track, const struct track_open *open)
{
    tracks->emit(tracks->opaque, track, TRACK_INSTANT, open->time, open->body.data, open->body.len);
}

/* Holds a begin back. False if it cannot become a slice. */
static bool track_push(struct tracks *tracks, struct track *track, const struct track_role *role,
                       uint64_t time, const void *body, size_t len)
{
    if (time < track->last_end ||
        (track->depth > 0 && time <= track->open[track->depth - 1].time)) {
        return false;
    }
    if (track->open == NULL) {
        track->open = mem_alloc(SLICES_MAX * sizeof(*track->open));
        for (unsigned i = 0; i < SLICES_MAX; i++) {
            strbuf_init(&track->open[i].body);
        }
    }
    if (track->depth == SLICES_MAX) {
        /* The outermost one gives way; its memory goes to the new one. */
        struct track_open first = track->open[0];
        track_instant(tracks, track, &first);
        memmove(track->open, track->open + 1, (SLICES_MAX - 1) * sizeof(*track->open));
        track->open[SLICES_MAX - 1] = first;
        track->depth--;
    }

    struct track_open *open = &track->open[track->depth++];
    open->role = role;
    open->time = time;
    strbuf_clear(&open->body);
    strbuf_add(&open->body, body, len);
    return true;
}

/* Finds the begin of an end and hands out both. False if there is none. */
static bool track_pop(struct tracks *tracks, struct track *track, const struct track_role *role,
                      uint64_t time, const void *body, size_t len)
{
    unsigned at = track->depth;

    while (at > 0 && strcmp(track->open[at - 1].role->stem, role->stem) != 0) {
        at--;
    }
    if (at == 0) {
        return false;
    }

    struct track_open *begin = &track->open[--at];
    for (unsigned i = at + 1; i < track->depth; i++) {
        track_instant(tracks, track, &track->open[i]);
    }
    track->depth = at;
    if (time < begin->time || time < track->last_end) {
        track_instant(tracks, track, begin);
        return false;
    }
    tracks->emit(tracks->opaque, track, TRACK_BEGIN, begin->time, begin->body.data,
                 begin->body.len);
    tracks->emit(tracks->opaque, track, TRACK_END, time, body, len);
    track->last_end = time;
    return true;
}

void tracks_add(struct tracks *tracks, struct track *track, const struct track_role *role,
                uint64_t time, const void *body, size_t len)
{
    if (role != NULL && role->mark == TRACK_BEGIN &&
        track_push(tracks, track, role, time, body, len)) {
        return;
    }
    if (role != NULL && role->mark == TRACK_END &&
        track_pop(tracks, track, role, time, body, len)) {
        return;
    }
    tracks->emit(tracks->opaque, track, TRACK_INSTANT, time, body, len);
}

void tracks_flush(struct tracks *tracks)
{
    for (unsigned i = 0; i < TRACK_SLOTS; i++) {
        struct track *track = &tracks->slot[i];
        for (unsigned k = 0; track->used && k < track->depth; k++) {
            track_instant(tracks, track, &track->open[k]);
        }
        track->depth = 0;
    }
}

void tracks_free(struct tracks *tracks)
{
    for (unsigned i = 0; i < TRACK_SLOTS; i++) {
        struct track_open *open = tracks->slot[i].open;
        for (unsigned k = 0; open != NULL && k < SLICES_MAX; k++) {
            strbuf_free(&open[k].body);
        }
        free(open);
    }
    free(tracks);
}
