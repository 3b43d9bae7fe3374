/* SPDX-License-Identifier: MIT
 *
 * /proc/self/task shows the guest its own threads, not those that work for us (the monitor's, those
 * that write recordings and drain streams): its entries are left out of what getdents64() gives. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/memory.h"
#include "user/access.h"
#include "user/internal.h"
#include "user/syscalls.h"

/* What getdents64() gives: the libc's own struct, with a name as long as the record says. */
enum { HEAD = offsetof(struct dirent64, d_name) };

static bool is_task_folder(int fd)
{
    char link[64], shown[64], own[64];
    ssize_t length;

    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    length = readlink(link, shown, sizeof shown - 1);
    if (length < 0) {
        return false;
    }
    shown[length] = 0;
    snprintf(own, sizeof own, "/proc/%d/task", getpid());
    return !strcmp(shown, own);
}

static bool is_guest_thread(struct user *user, pid_t tid)
{
    bool found = tid == getpid(); /* also when it has ended before the others */

    pthread_mutex_lock(&user->process_lock);
    for (const struct user_thread *t = user->threads; t && !found; t = t->next) {
        found = __atomic_load_n(&t->tid, __ATOMIC_RELAXED) == tid;
    }
    pthread_mutex_unlock(&user->process_lock);
    return found;
}

/* Keeps the entries that the guest may see, in their order. Returns their bytes. */
static size_t keep_guest_threads(struct user *user, uint8_t *entries, size_t size)
{
    size_t kept = 0;

    for (size_t at = 0; at + HEAD < size;) {
        uint16_t length;
        memcpy(&length, entries + at + offsetof(struct dirent64, d_reclen), sizeof length);
        if (length <= HEAD || length > size - at) {
            break;
        }
        long tid = strtol((const char *)entries + at + HEAD, NULL, 10);
        if (tid == 0 || is_guest_thread(user, (pid_t)tid)) { /* 0: "." and ".." */
            memmove(entries + kept, entries + at, length);
            kept += length;
        }
        at += length;
    }
    return kept;
}

USER_CALL(getdents64)
{
    int64_t result;

    do { /* nothing left is not the end */
        result = call_pass(thread, call);
        if (result <= 0 || !is_task_folder((int)call->args[0])) {
            return result;
        }
        uint8_t *entries = mem_alloc((size_t)result);
        if (user_copy_in(entries, call->args[1], (size_t)result)) {
            result = (int64_t)keep_guest_threads(thread->user, entries, (size_t)result);
            user_copy_out(call->args[1], entries, (size_t)result);
        }
        free(entries);
    } while (result == 0);
    return result;
}
