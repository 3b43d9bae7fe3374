/* SPDX-License-Identifier: MIT
 *
 * The queue of key presses. */
#include "monitor/machine/keyboard.h"

#include "device/ps2.h"
#include "machine/machine.h"

static void send_next(void *opaque, uint64_t now)
{
    struct keyboard_queue *queue = opaque;
    uint64_t wait = 0;

    while (queue->count && !wait) {
        const struct keyboard_step *step = &queue->step[queue->first];
        struct device *keyboard = ps2_keyboard(&queue->machine->board);
        if (keyboard) {
            ps2_keyboard_key(keyboard, step->key, step->down);
        }
        wait = step->wait;
        queue->first = (queue->first + 1) % KEYBOARD_QUEUE_MAX;
        queue->count--;
    }
    /* Also behind the last: what is sent next comes no sooner. */
    if (wait) {
        timer_set(&queue->timer, now + wait);
    }
}

void keyboard_queue_init(struct keyboard_queue *queue, struct machine *machine)
{
    queue->machine = machine;
    timer_init(&queue->timer, &machine->clock, send_next, queue);
}

void keyboard_queue_free(struct keyboard_queue *queue)
{
    timer_stop(&queue->timer);
}

static void put(struct keyboard_queue *queue, enum key key, bool down, uint64_t wait)
{
    unsigned last = (queue->first + queue->count++) % KEYBOARD_QUEUE_MAX;

    queue->step[last] = (struct keyboard_step){wait, key, down};
}

bool keyboard_queue_add(struct keyboard_queue *queue, const enum key *keys, size_t count,
                        uint64_t hold)
{
    const uint64_t wait = hold * 1000000u;

    if (2 * count > KEYBOARD_QUEUE_MAX - queue->count) {
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        put(queue, keys[i], true, wait);
    }
    for (size_t i = count; i-- > 0;) {
        put(queue, keys[i], false, wait);
    }
    if (!timer_is_set(&queue->timer)) {
        send_next(queue, clock_now(&queue->machine->clock));
    }
    return true;
}
