/* SPDX-License-Identifier: MIT
 *
 * Threads as tracks of a timeline, and pairs of events as slices on them: what the perfetto and
 * chrome formats share.
 *
 * Without slices every event is an instant. With them, an event called X_enter, X_entry, X_begin or
 * X_start opens a slice that the next X_exit, X_leave, X_end, X_stop, X_complete, X_done or
 * X_finish of the same thread closes; guest_user_syscall and its _ret are such a pair, and the
 * slice is called by the call's name. Viewers require that the slices of a track nest, and a
 * recording does not promise that, so a begin is held back until its end is seen. Then
 *   - begins that were opened after it and are still open did not end inside it: instants;
 *   - it becomes a slice, its begin and end handed out together, inner slices before outer ones.
 * A begin without an end, an end without a begin, and a pair that could not be sorted into place by
 * its times alone (equal or falling ones) stay instants. Nothing is lost in any case.
 *
 * Memory is bounded: TRACKS_MAX threads are known at a time and SLICES_MAX begins of each are held
 * back; beyond that begins become instants, and threads are introduced anew.
 */
#ifndef TRACKS_H
#define TRACKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "trace/read/reader.h"

enum {
    TRACKS_MAX = 1024,
    SLICES_MAX = 16,
};

enum track_mark {
    TRACK_INSTANT,
    TRACK_BEGIN,
    TRACK_END,
};

struct track_open;

struct track {
    uint32_t pid, thread;
    bool used;
    unsigned depth;          /* begins held back */
    uint64_t last_end;       /* of the slices handed out */
    struct track_open *open; /* SLICES_MAX of them, made on first use */
};

/* Writes one mark. `body` is what the format rendered of the event: its name and arguments. */
typedef void track_emit_fn(void *opaque, const struct track *track, enum track_mark mark,
                           uint64_t time, const void *body, size_t len);

/* What a name says about slices; stays the same for an event. */
struct track_role {
    enum track_mark mark;
    char *stem; /* the name without its ending; NULL for instants. free() it. */
};

struct track_role track_role_of(const struct trace_decl *decl);

struct tracks;

struct tracks *tracks_new(track_emit_fn *emit, void *opaque);

/* The track of a record's thread; `fresh` is set when it has to be introduced. Valid until the next
 * call. */
struct track *tracks_find(struct tracks *tracks, uint32_t pid, uint32_t thread, bool *fresh);

/* Takes one event. `role` NULL: an instant. */
void tracks_add(struct tracks *tracks, struct track *track, const struct track_role *role,
                uint64_t time, const void *body, size_t len);

/* Hands out every begin that is still held back, as instants. */
void tracks_flush(struct tracks *tracks);
void tracks_free(struct tracks *tracks);

#endif
