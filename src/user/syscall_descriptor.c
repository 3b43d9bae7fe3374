/* SPDX-License-Identifier: MIT
 *
 * Descriptors that are ours, and system calls about descriptors.
 *
 * What is open with FD_CLOEXEC before the guest begins is ours: descriptors that the guest inherits
 * have survived an execve(). The guest finds ours closed. A number that we have closed ourselves
 * and the guest has got since is told by the file behind it. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <linux/ioctl.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "user/access.h"
#include "user/internal.h"
#include "user/signals.h"
#include "user/syscalls.h"

enum { OURS_MAX = 64, IOCTL_WRITES = 4096, FCNTL_WRITES = 64 };

static struct {
    int fd;
    dev_t device;
    ino_t inode;
} ours[OURS_MAX]; /* ascending; the process's, so that vfork()'s children have them too */
static unsigned ours_count;

void user_descriptor_add(int fd)
{
    struct stat status;
    unsigned at = ours_count;

    if (ours_count == OURS_MAX || fstat(fd, &status) != 0) {
        return;
    }
    for (; at > 0 && ours[at - 1].fd > fd; at--) {
        ours[at] = ours[at - 1];
    }
    ours[at].fd = fd;
    ours[at].device = status.st_dev;
    ours[at].inode = status.st_ino;
    ours_count++;
}

void user_descriptors_init(void)
{
    DIR *folder = opendir("/proc/self/fd");

    if (!folder) {
        return;
    }
    for (const struct dirent *entry; (entry = readdir(folder));) {
        int fd = atoi(entry->d_name);
        int flags = entry->d_name[0] == '.' ? -1 : fcntl(fd, F_GETFD);
        if (flags >= 0 && (flags & FD_CLOEXEC) && fd != dirfd(folder)) {
            user_descriptor_add(fd);
        }
    }
    closedir(folder);
}

bool user_descriptor_is_ours(int fd)
{
    struct stat status;

    for (unsigned i = 0; i < ours_count && ours[i].fd <= fd; i++) {
        if (ours[i].fd == fd) {
            return fstat(fd, &status) == 0 && status.st_dev == ours[i].device &&
                   status.st_ino == ours[i].inode;
        }
    }
    return false;
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
    for (unsigned i = 0; i <= ours_count && first <= last && result == 0; i++) {
        uint64_t end = i < ours_count ? (uint64_t)ours[i].fd : UINT64_MAX;
        if (i < ours_count && !user_descriptor_is_ours(ours[i].fd)) {
            continue;
        }
        if (end > first) {
            uint64_t args[6] = {first, end - 1 < last ? end - 1 : last, flags};
            result = user_call_host(thread, call->number, args);
        }
        first = end < first ? first : end + 1;
        if (end == UINT64_MAX) {
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
