/* SPDX-License-Identifier: MIT
 *
 * Keys that `sendkey` presses, one after another with time between them: a queue on the machine's
 * clock, so that runs can be repeated.
 */
#ifndef MONITOR_MACHINE_KEYBOARD_H
#define MONITOR_MACHINE_KEYBOARD_H

#include "base/timer.h"
#include "display/keys.h"

struct machine;

enum { KEYBOARD_QUEUE_MAX = 1024, KEYBOARD_HOLD_MS = 10 };

struct keyboard_step {
    uint64_t wait; /* behind it, ns */
    enum key key;
    bool down;
};

struct keyboard_queue {
    struct machine *machine;
    struct timer timer;
    struct keyboard_step step[KEYBOARD_QUEUE_MAX];
    unsigned first, count;
};

void keyboard_queue_init(struct keyboard_queue *queue, struct machine *machine);
void keyboard_queue_free(struct keyboard_queue *queue);

/* Presses the keys in their order and releases them in the other, with `hold` milliseconds behind
 * each step. False: the queue is full, and nothing of it is sent. */
bool keyboard_queue_add(struct keyboard_queue *queue, const enum key *keys, size_t count,
                        uint64_t hold);

#endif
