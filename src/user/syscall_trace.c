/* SPDX-License-Identifier: MIT
 *
 * The probes of system calls. guest_user_string and guest_user_memory tell what the decoder of
 * room `syscall` looks at when it shows a call: it is run with functions that fire them, so that a
 * reader of the recording can run it again and has all that it asks for. */
#include <string.h>

#include "base/clock.h"
#include "syscall/syscall.h"
#include "trace/probe/event.h"
#include "user/access.h"
#include "user/internal.h"
#include "user/signals.h"
#include "user/syscalls.h"

#include "trace-user.h"

enum { TOLD_MAX = 128 }; /* pieces of memory that are told of one call */

/* An argument whose memory is told. */
struct teller {
    const struct user_thread *thread;
    uint64_t number;
    unsigned argument; /* from 0 */
    unsigned told;
};

static size_t tell_text(void *opaque, uint64_t address, void *to, size_t size)
{
    struct teller *teller = opaque;
    char text[SYSCALL_STRING_SHOWN + 1];
    size_t there =
        user_copy_some(to, address, size < SYSCALL_STRING_SHOWN ? size : SYSCALL_STRING_SHOWN);

    if (there && teller->told++ < TOLD_MAX) {
        memcpy(text, to, there);
        text[there] = 0;
        trace_guest_user_string(teller->thread->vcpu, teller->number, teller->argument + 1, address,
                                text);
    }
    return there;
}

static size_t tell_bytes(void *opaque, uint64_t address, void *to, size_t size)
{
    static const char digit[] = "0123456789abcdef";
    struct teller *teller = opaque;
    char text[2 * SYSCALL_READ_MAX + 1];
    const uint8_t *bytes = to;
    size_t there = user_copy_some(to, address, size < SYSCALL_READ_MAX ? size : SYSCALL_READ_MAX);

    if (there && trace_event_get_state_backends(TRACE_GUEST_USER_MEMORY) &&
        teller->told++ < TOLD_MAX) {
        for (size_t i = 0; i < there; i++) {
            text[2 * i] = digit[bytes[i] >> 4];
            text[2 * i + 1] = digit[bytes[i] & 15];
        }
        text[2 * there] = 0;
        trace_guest_user_memory(teller->thread->vcpu, teller->number, teller->argument + 1, address,
                                (uint32_t)there, text);
    }
    return there;
}

/* `result`: of a call that was made; then what it may have written is told. */
static void tell(const struct user_thread *thread, const struct user_call *call,
                 const int64_t *result)
{
    const struct syscall_row *row = syscall_row(call->number);
    struct teller teller = {.thread = thread, .number = call->number};
    const struct syscall_memory memory = {tell_bytes, tell_text, &teller};
    const struct syscall_call shown = {call->number, call->args, result, &memory};
    char room[1024];
    struct strbuf text;

    strbuf_init_in(&text, room, sizeof room);
    for (unsigned i = 0; row && i < SYSCALL_ARGS; i++) {
        if (!result || syscall_kind(row->kind[i])->writes != SYSCALL_WRITES_NO) {
            teller.argument = i;
            strbuf_clear(&text);
            syscall_argument_text(&text, &shown, i);
        }
    }
    strbuf_free(&text);
}

static bool memory_is_wanted(void)
{
    return trace_event_get_state_backends(TRACE_GUEST_USER_STRING) ||
           trace_event_get_state_backends(TRACE_GUEST_USER_MEMORY);
}

void user_trace_call(const struct user_thread *thread, const struct user_call *call)
{
    const uint64_t *arg = call->args;

    if (memory_is_wanted()) {
        tell(thread, call, NULL);
    }
    trace_guest_user_syscall(thread->vcpu, call->number, arg[0], arg[1], arg[2], arg[3], arg[4],
                             arg[5], 0, 0);
}

void user_trace_result(const struct user_thread *thread, const struct user_call *call,
                       int64_t result)
{
    int64_t told = thread->restart == USER_RESTART_BEGIN ? SYSCALL_BEGINS_ANEW : result;

    if (memory_is_wanted()) {
        trace_batch_time = clock_monotonic(); /* what it takes to tell is no time of the call */
        tell(thread, call, &told);
    }
    trace_guest_user_syscall_ret(thread->vcpu, call->number, (uint64_t)told);
    trace_batch_time = 0;
}

/* Filters and recordings know the calls and errors by name. */
__attribute__((constructor)) static void name_numbers(void)
{
    trace_event_give_words(&_TRACE_GUEST_USER_SYSCALL_EVENT, "num", syscall_name_words());
    trace_event_give_words(&_TRACE_GUEST_USER_SYSCALL_RET_EVENT, "num", syscall_name_words());
    trace_event_give_words(&_TRACE_GUEST_USER_SYSCALL_RET_EVENT, "ret", syscall_error_words());
    trace_event_give_words(&_TRACE_GUEST_USER_STRING_EVENT, "num", syscall_name_words());
    trace_event_give_words(&_TRACE_GUEST_USER_MEMORY_EVENT, "num", syscall_name_words());
}
