/* SPDX-License-Identifier: MIT
 *
 * Descriptors that are ours, and system calls about descriptors.
 *
 * Ours have high numbers (base/descriptor.h), and the guest finds them closed. It can see them in
 * /proc/self/fd. */
#include <errno.h>
#include <limits.h>
#include <linux/close_range.h>
#include <linux/ioctl.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/descriptor.h"
#include "user/access.h"
#include "user/internal.h"
#include "user/signals.h"
#include "user/syscalls.h"

enum { IOCTL_WRITES = 4096, FCNTL_WRITES = 64 };

bool user_descriptor_is_ours(int fd)
{
    return descriptor_is_own(fd);
}

/* --- system calls --- */

USER_CALL(close_range)
{
    uint64_t first = (uint32_t)call->args[0], last = (uint32_t)call->args[1];
    uint64_t flags = call->args[2];
    int64_t result = 0;

    if (first > last || (flags & ~(uint64_t)(CLOSE_RANGE_UNSHARE | CLOSE_RANGE_CLOEXEC))) {
        return -EINVAL;
    }
    if (flags & CLOSE_RANGE_UNSHARE) {
        if (syscall(SYS_unshare, CLONE_FILES) != 0) {
            return -errno;
        }
        flags &= ~(uint64_t)CLOSE_RANGE_UNSHARE;
    }
    while (first <= last && result == 0) {
        int own = first <= INT_MAX ? descriptor_next_own((int)first) : -1;
        uint64_t end = own < 0 ? last : (uint64_t)own - 1;
        if (own != (int)first) {
            uint64_t args[6] = {first, end < last ? end : last, flags};
            result = user_call_host(thread, call->number, args);
        }
        first = end + 2;
        if (own < 0) {
            break;
        }
    }
    return result;
}

USER_CALL(fcntl)
{
    if (call->args[2] >= USER_PAGE) { /* F_GETLK and others write */
        user_unwatch(thread->user, call->args[2], FCNTL_WRITES);
    }
    return call_pass(thread, call);
}

USER_CALL(ioctl)
{
    uint64_t size = _IOC_SIZE(call->args[1]);

    /* Old numbers do not tell their size; what they write is small. */
    user_unwatch(thread->user, call->args[2], size > IOCTL_WRITES ? size : IOCTL_WRITES);
    return call_pass(thread, call);
}

/* --- waiting with a mask --- */

/* Waits with a mask of the guest's, which is at `set` in its memory (0: none). Its address in the
 * arguments, *slot, is exchanged for that of the mask that goes to the host. */
static int64_t wait_masked(struct user_thread *thread, struct user_call *call, uint64_t set,
                           uint64_t size, uint64_t *slot)
{
    uint64_t mask;

    if (!set) {
        return call_pass(thread, call);
    }
    if (size != sizeof mask) {
        return -EINVAL;
    }
    if (!user_copy_in(&mask, set, sizeof mask)) {
        return -EFAULT;
    }
    user_signals_set_temporary_mask(thread, mask);
    mask = user_signals_host_mask(thread->mask);
    *slot = (uint64_t)(uintptr_t)&mask;
    int64_t result = call_pass(thread, call);
    user_signals_end_temporary_mask(thread);
    return result;
}

/* The same where mask and size are behind a pointer. */
static int64_t wait_masked_pair(struct user_thread *thread, struct user_call *call)
{
    uint64_t pair[2] = {0, 0};

    if (call->args[5] && !user_copy_in(pair, call->args[5], sizeof pair)) {
        return -EFAULT;
    }
    if (pair[0]) {
        call->args[5] = (uint64_t)(uintptr_t)pair;
    }
    return wait_masked(thread, call, pair[0], pair[1], &pair[0]);
}

USER_CALL(pselect6)
{
    return wait_masked_pair(thread, call);
}

USER_CALL(io_pgetevents)
{
    return wait_masked_pair(thread, call);
}

USER_CALL(ppoll)
{
    return wait_masked(thread, call, call->args[3], call->args[4], &call->args[3]);
}

USER_CALL(epoll_pwait)
{
    return wait_masked(thread, call, call->args[4], call->args[5], &call->args[4]);
}
