/* SPDX-License-Identifier: MIT
 *
 * Editing of lines on a terminal that we reach through functions: libedit behind a pair of
 * functions instead of descriptors. Bytes typed come in with editor_feed(), bytes for the screen
 * go out through write(). One thread; nothing waits.
 */
#ifndef MONITOR_MACHINE_EDIT_H
#define MONITOR_MACHINE_EDIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct editor;
struct monitor_words;

struct editor_user {
    void *opaque;
    void (*write)(void *opaque, const char *bytes, size_t count);
    /* A line was ended. The editor shows no prompt until editor_start(), which may be called from
     * here. */
    void (*line)(void *opaque, const char *text);
    /* What may follow, as monitor_complete() has it. */
    void (*complete)(void *opaque, const char *text, struct monitor_words *words);
};

/* NULL: not here (there are no pseudo terminals). `prompt` is kept; `user` is copied. */
struct editor *editor_new(const char *prompt, const struct editor_user *user);
void editor_free(struct editor *editor);

/* Shows the prompt and takes keys, those first that were typed ahead. */
void editor_start(struct editor *editor);
/* The half-typed line is forgotten. */
void editor_stop(struct editor *editor);
/* What was typed ahead is, too: somebody else sits there. */
void editor_forget(struct editor *editor);
bool editor_is_started(const struct editor *editor);

/* Bytes from the keyboard; at most editor_room() of them. */
void editor_feed(struct editor *editor, const uint8_t *bytes, size_t count);
size_t editor_room(const struct editor *editor);

#endif
