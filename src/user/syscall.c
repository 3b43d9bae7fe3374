/* SPDX-License-Identifier: MIT
 *
 * Dispatch of system calls: registers to a row of syscalls.def, and the result back; what most rows
 * need (`pass`), and what the kernel will write where. */
#include <errno.h>
#include <linux/audit.h>
#include <linux/futex.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/log.h"
#include "user/access.h"
#include "user/internal.h"
#include "user/seccomp.h"
#include "user/signals.h"
#include "user/syscalls.h"
#include "user/toggle.h"

/* --- the table --- */

static const struct user_syscall rows[SYSCALL_MAX] = {
#define CALL(name, how, sleeps) [SYSCALL_##name] = {call_##how, #sleeps[0]},
#include "user/syscalls.def"
#undef CALL
};

const struct user_syscall *user_syscall_row(uint64_t number)
{
    return number < SYSCALL_MAX && rows[number].carry_out ? &rows[number] : NULL;
}

/* --- what the kernel writes --- */

enum {
    VECTORS_MAX = 1024,    /* UIO_MAXIOV */
    SMALL = 8,             /* a word that some kinds have beside their array */
    COUNT_MAX = INT32_MAX, /* more the kernel refuses */
};

static void unwatch_vectors(struct user *user, uint64_t address, uint64_t count)
{
    struct iovec vector;

    for (uint64_t i = 0; i < count && i < VECTORS_MAX; i++) {
        if (!user_copy_in(&vector, address + i * sizeof vector, sizeof vector)) {
            return;
        }
        user_unwatch(user, (uint64_t)(uintptr_t)vector.iov_base, vector.iov_len);
    }
}

static void unwatch_message(struct user *user, uint64_t address)
{
    struct msghdr message;

    if (user_copy_in(&message, address, sizeof message)) {
        user_unwatch(user, (uint64_t)(uintptr_t)message.msg_name, message.msg_namelen);
        user_unwatch(user, (uint64_t)(uintptr_t)message.msg_control, message.msg_controllen);
        unwatch_vectors(user, (uint64_t)(uintptr_t)message.msg_iov, message.msg_iovlen);
        user_unwatch(user, address, sizeof message);
    }
}

static void unwatch_messages(struct user *user, uint64_t address, uint64_t count)
{
    for (uint64_t i = 0; i < count && i < VECTORS_MAX; i++) {
        unwatch_message(user, address + i * sizeof(struct mmsghdr));
    }
    user_unwatch(user, address,
                 (count < VECTORS_MAX ? count : VECTORS_MAX) * sizeof(struct mmsghdr));
}

static uint64_t times(uint64_t count, uint64_t size)
{
    return (count < COUNT_MAX ? count : COUNT_MAX) * size + SMALL;
}

static void unwatch_argument(struct user *user, const struct user_call *call, unsigned i,
                             unsigned kind)
{
    uint64_t address = call->args[i], next = i + 1 < SYSCALL_ARGS ? call->args[i + 1] : 0;
    uint64_t size = syscall_kind(kind)->size;
    uint32_t length;

    switch (syscall_kind(kind)->writes) {
    case SYSCALL_WRITES_FIXED: user_unwatch(user, address, size); break;
    case SYSCALL_WRITES_NEXT: user_unwatch(user, address, times(next, size)); break;
    case SYSCALL_WRITES_BEFORE:
        user_unwatch(user, address, times(i ? call->args[i - 1] : 0, size));
        break;
    case SYSCALL_WRITES_INT:
        if (user_copy_in(&length, next, sizeof length)) {
            user_unwatch(user, address, times(length, size));
        }
        break;
    case SYSCALL_WRITES_IOV: unwatch_vectors(user, address, next); break;
    case SYSCALL_WRITES_MSG: unwatch_message(user, address); break;
    case SYSCALL_WRITES_MMSG: unwatch_messages(user, address, next); break;
    default: break;
    }
}

void user_call_outputs(struct user_thread *thread, const struct user_call *call)
{
    const struct syscall_row *row = syscall_row(call->number);

    for (unsigned i = 0; i < SYSCALL_ARGS; i++) {
        if (syscall_kind(row->kind[i])->writes != SYSCALL_WRITES_NO && call->args[i]) {
            unwatch_argument(thread->user, call, i, row->kind[i]);
        }
    }
}

/* --- descriptors of ours --- */

static bool has_our_descriptor(const struct user_call *call)
{
    const struct syscall_row *row = syscall_row(call->number);

    for (unsigned i = 0; i < SYSCALL_ARGS; i++) {
        if ((row->kind[i] == SYSCALL_KIND_FD || row->kind[i] == SYSCALL_KIND_AT_FD) &&
            user_descriptor_is_ours((int)call->args[i])) {
            return true;
        }
    }
    return false;
}

/* --- calls --- */

int64_t user_call_host(struct user_thread *thread, uint64_t number, const uint64_t args[6])
{
    struct user_toggle_call timed;

    user_toggle_call_begin(thread, &timed);
    int64_t result = user_call_raw(&thread->attention, number, args);
    uint64_t again[6];
    for (memcpy(again, args, sizeof again);
         result == -EINTR && user_toggle_call_again(thread, &timed, number, again);) {
        result = user_call_raw(&thread->attention, number, again);
    }
    if (result == USER_CALL_RESTART) {
        thread->restart = USER_RESTART_BEGIN;
        return -EINTR;
    }
    if (result == -EINTR && thread->sleeps != '_') {
        thread->restart = USER_RESTART_EINTR;
    }
    return result;
}

USER_CALL(pass)
{
    if (has_our_descriptor(call)) {
        return -EBADF;
    }
    user_call_outputs(thread, call);
    return user_call_host(thread, call->number, call->args);
}

USER_CALL(nosys)
{
    (void)thread;
    (void)call;
    return -ENOSYS;
}

USER_CALL(futex)
{
    enum { COMMAND = FUTEX_CMD_MASK };
    int command = (int)call->args[1] & COMMAND;

    if (command == FUTEX_WAKE_OP || command == FUTEX_CMP_REQUEUE_PI) {
        user_unwatch(thread->user, call->args[4], sizeof(uint32_t));
    }
    user_unwatch(thread->user, call->args[0], sizeof(uint32_t));
    return user_call_host(thread, call->number, call->args);
}

/* --- showing --- */

static size_t read_guest(void *opaque, uint64_t address, void *to, size_t size)
{
    (void)opaque;
    return user_copy_some(to, address, size);
}

/* A call that may sleep, in its thread's own frame while it lasts. */
struct lasting {
    struct lasting *next;
    bool listed;
    bool told; /* the line of another thread has come in between: it was shown as unfinished */
    struct strbuf line;
    char room[512];
};

/* Those of all threads; and who shows something. */
static struct {
    pthread_mutex_t lock;
    struct lasting *first;
} showing = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* "NUMBER NAME(ARGUMENTS)" and the result, if it is there. */
static void describe(struct strbuf *line, const struct user_thread *thread,
                     const struct user_call *call, const int64_t *result)
{
    static const struct syscall_memory memory = {read_guest, read_guest, NULL};
    const struct syscall_call shown = {call->number, call->args, result, &memory};

    strbuf_printf(line, "%d ", (int)thread->tid);
    syscall_text(line, &shown);
}

/* Lock held. */
static void tell_unfinished(void)
{
    for (struct lasting *call = showing.first; call; call = call->next) {
        if (!call->told) {
            call->told = true;
            log_text(call->line.data, call->line.len);
        }
    }
}

static void show(const struct strbuf *line)
{
    pthread_mutex_lock(&showing.lock);
    tell_unfinished();
    log_text(line->data, line->len);
    pthread_mutex_unlock(&showing.lock);
}

static void show_before(const struct user_thread *thread, const struct user_call *call)
{
    char room[1024];
    struct strbuf line;

    strbuf_init_in(&line, room, sizeof room);
    describe(&line, thread, call, NULL);
    strbuf_puts(&line, " = ?\n");
    show(&line);
    strbuf_free(&line);
}

void user_show_unfinished(void)
{
    pthread_mutex_lock(&showing.lock);
    tell_unfinished();
    pthread_mutex_unlock(&showing.lock);
}

void user_show_forked(void)
{
    pthread_mutex_init(&showing.lock, NULL);
    showing.first = NULL;
}

static void lasting_begin(struct lasting *lasting, const struct user_thread *thread,
                          const struct user_call *call)
{
    strbuf_init_in(&lasting->line, lasting->room, sizeof lasting->room);
    describe(&lasting->line, thread, call, NULL);
    lasting->line.len--; /* the parenthesis */
    strbuf_puts(&lasting->line, " <unfinished ...>\n");
    lasting->listed = true;
    lasting->told = false;
    pthread_mutex_lock(&showing.lock);
    lasting->next = showing.first;
    showing.first = lasting;
    pthread_mutex_unlock(&showing.lock);
}

static void lasting_end(struct lasting *lasting)
{
    pthread_mutex_lock(&showing.lock);
    for (struct lasting **at = &showing.first; *at; at = &(*at)->next) {
        if (*at == lasting) {
            *at = lasting->next;
            break;
        }
    }
    pthread_mutex_unlock(&showing.lock);
    strbuf_free(&lasting->line);
}

/* A call that is over; or is to be made again, which is told only of one that was shown. */
static void show_after(const struct user_thread *thread, const struct user_call *call,
                       const int64_t *result, bool resumed)
{
    char room[1024], resumed_room[1024];
    struct strbuf line, whole;
    const char *again = thread->restart == USER_RESTART_BEGIN ? " = ? (to be restarted)" : NULL;

    if (again && !resumed) {
        return;
    }
    strbuf_init_in(&line, room, sizeof room);
    describe(&line, thread, call, again ? NULL : result);
    strbuf_puts(&line, again ? again : "");
    strbuf_putc(&line, '\n');
    if (!resumed) {
        show(&line);
    } else { /* "<... NAME resumed>ARGUMENTS) = RESULT" */
        const char *name = strchr(line.data, ' ') + 1;
        const int length = (int)strcspn(name, "(");
        strbuf_init_in(&whole, resumed_room, sizeof resumed_room);
        strbuf_printf(&whole, "%d <... %.*s resumed>%s", (int)thread->tid, length, name,
                      name + length + 1);
        show(&whole);
        strbuf_free(&whole);
    }
    strbuf_free(&line);
}

void user_tell_once(enum user_told what, const char *sentence)
{
    static uint32_t told;
    static const char name[] = "vitrine-user: ";
    char text[512];

    if (!(__atomic_fetch_or(&told, 1u << what, __ATOMIC_RELAXED) >> what & 1)) {
        int length = snprintf(text, sizeof text, "%s%s", name, sentence);
        log_text(text, (size_t)length);
    }
}

/* --- dispatch --- */

static bool allowed(struct user_thread *thread, const struct user_call *call, int64_t *result)
{
    struct seccomp_data data = {
        .nr = (int)call->number,
        .arch = AUDIT_ARCH_X86_64,
        .instruction_pointer = thread->cpu->state.pc,
    };

    memcpy(data.args, call->args, sizeof data.args);
    return user_seccomp_allows(thread, &data, result);
}

static int64_t carry_out(struct user_thread *thread, struct user_call *call, bool strace)
{
    const struct user_syscall *row = user_syscall_row(call->number);

    if (!row) {
        return -ENOSYS;
    }
    if (strace && syscall_told_before(call->number)) {
        show_before(thread, call);
    }
    thread->sleeps = row->sleeps;
    return row->carry_out(thread, call);
}

void user_syscall(struct user_thread *thread)
{
    struct ir_state *state = &thread->cpu->state;
    const uint64_t *reg = state->reg;
    struct user_call call = {
        .number = (uint32_t)reg[X86_RAX], /* the kernel looks at no more */
        .args = {reg[X86_RDI], reg[X86_RSI], reg[X86_RDX], reg[X86_R10], reg[X86_R8], reg[X86_R9]},
    };
    const struct user_call asked = call;
    bool strace = thread->user->options.strace;
    int64_t result = 0;
    struct lasting lasting;
    const struct user_syscall *row = user_syscall_row(asked.number);

    lasting.listed = lasting.told = false;
    thread->restart_number = reg[X86_RAX];
    user_trace_call(thread, &asked);
    if (thread->seccomp && !allowed(thread, &call, &result)) {
        strace = false;
    } else {
        if (strace && row && row->sleeps != '_' && !syscall_told_before(asked.number)) {
            lasting_begin(&lasting, thread, &asked);
        }
        if (thread->user->options.toggles) {
            user_toggle_before_call(thread->user, call.number, call.args);
        }
        result = carry_out(thread, &call, strace);
    }
    state->reg[X86_RAX] = (uint64_t)result;
    user_trace_result(thread, &asked, result);
    if (lasting.listed) {
        lasting_end(&lasting);
    }
    if (strace && syscall_told_again(asked.number, result)) {
        show_after(thread, &asked, &result, lasting.told);
    }
}
