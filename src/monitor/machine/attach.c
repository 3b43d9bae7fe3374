/* SPDX-License-Identifier: MIT
 *
 * Monitors on back ends: who is there, what is typed, and answers that wait until there is room. */
#include "monitor/machine/attach.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/strbuf.h"
#include "chardev/chardev.h"
#include "monitor/machine/edit.h"
#include "monitor/machine/internal.h"
#include "monitor/machine/plain.h"

struct attached {
    struct machine_monitors *set;
    struct chardev_front front;
    struct monitor_session *session;
    struct editor *editor; /* NULL: `plain` reads the lines */
    struct plain plain;
    struct strbuf out; /* what there was no room for, from out_done on */
    size_t out_done;
    bool open;    /* somebody is there */
    bool focused; /* and types here, not at the other users of a multiplexer */
    bool greeted;
    struct attached *next;
};

struct machine_monitors *session_monitors(const struct monitor_session *session)
{
    return monitor_opaque(session);
}

struct machine *session_machine(const struct monitor_session *session)
{
    return session_monitors(session)->machine;
}

void session_print_text(struct monitor_session *session, struct strbuf *text)
{
    monitor_printf(session, "%s", text->data);
    strbuf_free(text);
}

void session_print_error(struct monitor_session *session, const struct error *err)
{
    monitor_printf(session, "Error: %s\n", err->text);
}

/* --- output --- */

static bool has_waiting(const struct attached *attached)
{
    return attached->out.len > attached->out_done;
}

static void push(struct attached *attached)
{
    if (has_waiting(attached)) {
        attached->out_done +=
            chardev_write(&attached->front, attached->out.data + attached->out_done,
                          attached->out.len - attached->out_done);
    }
    if (!has_waiting(attached)) {
        strbuf_free(&attached->out);
        attached->out_done = 0;
    }
}

static void put(void *opaque, const char *bytes, size_t count)
{
    struct attached *attached = opaque;

    if (attached->open) {
        strbuf_add(&attached->out, bytes, count);
        push(attached);
    }
}

/* The answer, with CR LF. */
static void put_answer(struct attached *attached)
{
    struct strbuf *answer = monitor_answer(attached->session);
    struct strbuf text;

    strbuf_init(&text);
    for (size_t i = 0; i < answer->len; i++) {
        if (answer->data[i] == '\n') {
            strbuf_putc(&text, '\r');
        }
        strbuf_putc(&text, answer->data[i]);
    }
    strbuf_clear(answer);
    if (text.len) {
        put(attached, text.data, text.len);
    }
    strbuf_free(&text);
}

/* --- lines --- */

/* The prompt, as soon as somebody is there who types here and has read everything. */
static void go_on(struct attached *attached)
{
    if (!attached->open || !attached->focused || has_waiting(attached) ||
        monitor_has_quit(attached->session)) {
        return;
    }
    if (!attached->greeted) {
        attached->greeted = true;
        monitor_greet(attached->session);
        put_answer(attached);
    }
    if (attached->editor) {
        editor_start(attached->editor);
    } else {
        plain_start(&attached->plain);
    }
}

static void take_line(void *opaque, const char *text)
{
    struct attached *attached = opaque;

    monitor_execute(attached->session, text);
    put_answer(attached);
    if (monitor_has_quit(attached->session)) {
        machine_quit(attached->set->machine, 0);
    } else {
        go_on(attached);
    }
}

static void complete(void *opaque, const char *text, struct monitor_words *words)
{
    struct attached *attached = opaque;

    monitor_complete(attached->session, text, words);
}

/* --- the back end --- */

static size_t can_receive(void *opaque)
{
    struct attached *attached = opaque;

    if (!attached->open || has_waiting(attached)) {
        return 0;
    }
    return attached->editor ? editor_room(attached->editor) : plain_room(&attached->plain);
}

static void receive(void *opaque, const uint8_t *bytes, size_t count)
{
    struct attached *attached = opaque;

    if (attached->editor) {
        editor_feed(attached->editor, bytes, count);
    } else {
        plain_feed(&attached->plain, bytes, count);
    }
}

static void writable(void *opaque)
{
    struct attached *attached = opaque;

    push(attached);
    if (!has_waiting(attached)) {
        go_on(attached);
        chardev_accept_input(&attached->front);
    }
}

static void stop(struct attached *attached)
{
    if (attached->editor) {
        editor_stop(attached->editor);
    } else {
        plain_stop(&attached->plain);
    }
}

/* Whoever was there is gone, with what was typed and not read. */
static void forget(struct attached *attached)
{
    attached->open = attached->greeted = false;
    monitor_session_reset(attached->session);
    strbuf_free(&attached->out);
    attached->out_done = 0;
    if (attached->editor) {
        editor_forget(attached->editor);
    } else {
        plain_forget(&attached->plain);
    }
}

static void tell(void *opaque, enum chardev_event event)
{
    struct attached *attached = opaque;

    switch (event) {
    case CHARDEV_OPENED:
        attached->open = true;
        go_on(attached);
        break;
    case CHARDEV_CLOSED: forget(attached); break;
    case CHARDEV_BREAK: break;
    case CHARDEV_MUX_IN:
        attached->focused = true;
        go_on(attached);
        break;
    case CHARDEV_MUX_OUT:
        attached->focused = false;
        stop(attached);
        break;
    }
}

/* --- the set --- */

struct machine_monitors *machine_monitors_new(struct machine *machine, const char *version,
                                              const struct machine_monitor_parts *parts)
{
    struct machine_monitors *set = mem_alloc(sizeof *set);

    set->machine = machine;
    set->version = mem_string(version);
    set->parts = parts ? *parts : (struct machine_monitor_parts){0};
    set->monitor = monitor_new(set->version);
    monitor_set_opaque(set->monitor, set);
    monitor_set_registers(set->monitor, session_register);
    monitor_add_control_commands(set->monitor);
    monitor_add_cpu_commands(set->monitor);
    monitor_add_memory_commands(set->monitor);
    monitor_add_device_commands(set->monitor);
    monitor_add_change_commands(set->monitor);
    keyboard_queue_init(&set->keys, machine);
    return set;
}

static void free_one(struct attached *attached)
{
    if (attached->front.chardev) {
        chardev_detach(&attached->front);
    }
    editor_free(attached->editor);
    monitor_session_free(attached->session);
    strbuf_free(&attached->out);
    free(attached);
}

void machine_monitors_free(struct machine_monitors *monitors)
{
    if (!monitors) {
        return;
    }
    while (monitors->first) {
        struct attached *attached = monitors->first;
        monitors->first = attached->next;
        free_one(attached);
    }
    keyboard_queue_free(&monitors->keys);
    monitor_free(monitors->monitor);
    free(monitors->version);
    free(monitors);
}

bool machine_monitors_add(struct machine_monitors *monitors, struct chardev *chardev,
                          struct error *err)
{
    struct attached *attached = mem_alloc(sizeof *attached);
    const struct editor_user user = {attached, put, take_line, complete};

    attached->set = monitors;
    attached->session = monitor_session_new(monitors->monitor);
    attached->focused = !chardev_is_mux(chardev);
    attached->front = (struct chardev_front){.can_receive = can_receive,
                                             .receive = receive,
                                             .event = tell,
                                             .writable = writable,
                                             .opaque = attached};
    strbuf_init(&attached->out);
    plain_init(&attached->plain, monitor_prompt, &user);
    if (chardev_is_terminal(chardev)) {
        attached->editor = editor_new(monitor_prompt, &user);
    }
    if (!chardev_attach(&attached->front, chardev, err)) {
        free_one(attached);
        return false;
    }
    attached->next = monitors->first;
    monitors->first = attached;
    return true;
}

struct monitor_session *machine_monitors_session(struct machine_monitors *monitors)
{
    return monitor_session_new(monitors->monitor);
}
