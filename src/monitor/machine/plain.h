/* SPDX-License-Identifier: MIT
 *
 * Lines from where there is no terminal: a socket, a pipe, a file. What is typed is echoed, as
 * QEMU's monitor does everywhere; backspace, Ctrl-U and TAB work, which is what people need who use
 * a raw socket.
 */
#ifndef MONITOR_MACHINE_PLAIN_H
#define MONITOR_MACHINE_PLAIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "monitor/machine/edit.h"
#include "monitor/monitor.h"

enum { PLAIN_INPUT_MAX = 4096 };

struct plain {
    const char *prompt;
    struct editor_user user;
    bool started, running, escape, skip_newline;
    uint8_t input[PLAIN_INPUT_MAX]; /* typed ahead */
    size_t count;
    char line[MONITOR_LINE_MAX + 1];
    size_t length;
};

/* As the functions of edit.h. */
void plain_init(struct plain *plain, const char *prompt, const struct editor_user *user);
void plain_start(struct plain *plain);
void plain_stop(struct plain *plain);
void plain_forget(struct plain *plain);
void plain_feed(struct plain *plain, const uint8_t *bytes, size_t count);
size_t plain_room(const struct plain *plain);

#endif
