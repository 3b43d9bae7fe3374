/* SPDX-License-Identifier: MIT
 *
 * System calls about memory: the work is done in memory.c. */
#include <errno.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#include "user/access.h"
#include "user/internal.h"
#include "user/syscalls.h"

enum { VECTORS_MAX = 1024 };

USER_CALL(mmap)
{
    const uint64_t *args = call->args;

    if (!(args[3] & MAP_ANONYMOUS) && user_descriptor_is_ours((int)args[4])) {
        return -EBADF;
    }
    return user_mmap(thread->user, args[0], args[1], args[2], args[3], args[4], args[5]);
}

USER_CALL(munmap)
{
    return user_munmap(thread->user, call->args[0], call->args[1]);
}

USER_CALL(mprotect)
{
    return user_mprotect(thread->user, call->args[0], call->args[1], call->args[2]);
}

USER_CALL(mremap)
{
    const uint64_t *args = call->args;

    return user_mremap(thread->user, args[0], args[1], args[2], args[3], args[4]);
}

USER_CALL(brk)
{
    return user_brk(thread->user, call->args[0]);
}

USER_CALL(shmat)
{
    return user_shmat(thread->user, call->args[0], call->args[1], call->args[2]);
}

USER_CALL(shmdt)
{
    return user_shmdt(thread->user, call->args[0]);
}

USER_CALL(madvise)
{
    return user_madvise(thread->user, call->args[0], call->args[1], call->args[2]);
}

USER_CALL(mincore)
{
    user_unwatch(thread->user, call->args[2], call->args[1] / USER_PAGE + 1);
    return call_pass(thread, call);
}

/* MCL_FUTURE and MCL_CURRENT are meant for the guest's memory; with MCL_ONFAULT our own
 * reservations (the code cache, jump tables) cost no more than what is used. */
USER_CALL(mlockall)
{
    struct user_call more = *call;

    if (call->args[0] & (MCL_CURRENT | MCL_FUTURE)) {
        more.args[0] |= MCL_ONFAULT;
    }
    return call_pass(thread, &more);
}

/* Protection keys: as on a processor without them. */
USER_CALL(pkey_mprotect)
{
    return (int)call->args[3] == -1
               ? user_mprotect(thread->user, call->args[0], call->args[1], call->args[2])
               : -EINVAL;
}

USER_CALL(pkey_alloc)
{
    (void)thread;
    return call->args[0] || call->args[1] & ~UINT64_C(3) ? -EINVAL : -ENOSPC;
}

USER_CALL(pkey_free)
{
    (void)thread;
    (void)call;
    return -EINVAL;
}

USER_CALL(process_vm_writev)
{
    struct iovec vector;

    if ((pid_t)call->args[0] == getpid()) {
        for (uint64_t i = 0; i < call->args[4] && i < VECTORS_MAX; i++) {
            if (!user_copy_in(&vector, call->args[3] + i * sizeof vector, sizeof vector)) {
                break;
            }
            user_unwatch(thread->user, (uint64_t)(uintptr_t)vector.iov_base, vector.iov_len);
        }
    }
    return call_pass(thread, call);
}
