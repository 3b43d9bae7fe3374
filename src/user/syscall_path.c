/* SPDX-License-Identifier: MIT
 *
 * System calls with paths: what /proc tells about a process, it tells the guest about the guest. */
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/syscall.h>

#include "user/access.h"
#include "user/internal.h"
#include "user/syscalls.h"

/* The folder that a path argument counts from. */
static int folder_of(const struct syscall_row *row, const struct user_call *call, unsigned i)
{
    return i > 0 && row->kind[i - 1] == SYSCALL_KIND_AT_FD ? (int)call->args[i - 1] : AT_FDCWD;
}

USER_CALL(path)
{
    const struct syscall_row *row = syscall_row(call->number);
    char path[USER_PATH_MAX];

    for (unsigned i = 0; i < SYSCALL_ARGS; i++) {
        if (row->kind[i] != SYSCALL_KIND_PATH || !call->args[i] ||
            user_copy_string(path, call->args[i], sizeof path) <= 0) {
            continue; /* the kernel has the right error */
        }
        const char *other = user_proc_path(thread->user, folder_of(row, call, i), path);
        if (other) {
            call->args[i] = (uint64_t)(uintptr_t)other;
        }
    }
    return call_pass(thread, call);
}

/* open() and its relatives; `path` is the argument with the path. */
static int64_t open_path(struct user_thread *thread, struct user_call *call, int dirfd,
                         uint64_t address, uint64_t flags, uint64_t mode)
{
    char path[USER_PATH_MAX];

    if (user_copy_string(path, address, sizeof path) > 0) {
        int64_t result = user_proc_open(thread->user, dirfd, path, (int)flags, (unsigned)mode);
        if (result != USER_NOT_MINE) {
            return result;
        }
    }
    return call_pass(thread, call);
}

USER_CALL(open)
{
    return open_path(thread, call, AT_FDCWD, call->args[0], call->args[1], call->args[2]);
}

USER_CALL(openat)
{
    return open_path(thread, call, (int)call->args[0], call->args[1], call->args[2], call->args[3]);
}

USER_CALL(openat2)
{
    struct open_how how;

    if (call->args[3] < sizeof how || !user_copy_in(&how, call->args[2], sizeof how) ||
        how.resolve) {
        return call_pass(thread, call);
    }
    return open_path(thread, call, (int)call->args[0], call->args[1], how.flags, how.mode);
}

static int64_t read_link(struct user_thread *thread, struct user_call *call, int dirfd,
                         const uint64_t *args)
{
    char path[USER_PATH_MAX], target[USER_PATH_MAX];

    if (args[1] && (int)args[2] > 0 && user_copy_string(path, args[0], sizeof path) > 0) {
        uint64_t size = args[2] < sizeof target ? args[2] : sizeof target;
        int64_t result = user_proc_readlink(thread->user, dirfd, path, target, size);
        if (result != USER_NOT_MINE) {
            return result > 0 && !user_copy_out(args[1], target, (size_t)result) ? -EFAULT : result;
        }
    }
    return call_pass(thread, call);
}

USER_CALL(readlink)
{
    return read_link(thread, call, AT_FDCWD, call->args);
}

USER_CALL(readlinkat)
{
    return read_link(thread, call, (int)call->args[0], call->args + 1);
}
