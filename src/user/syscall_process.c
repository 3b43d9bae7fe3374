/* SPDX-License-Identifier: MIT
 *
 * System calls about the process itself: its limits, its name, its CPU, and what is refused. */
#include <asm/prctl.h>
#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "user/access.h"
#include "user/internal.h"
#include "user/seccomp.h"
#include "user/syscalls.h"

enum {
    STACK_LIMIT_MIN = 1 << 20, /* our own main stack is under this limit too */
};

/* --- limits --- */

/* Limits that would hit the translator's own memory are kept here and told, not set. */
static struct {
    pthread_mutex_t lock;
    bool kept[RLIM_NLIMITS];
    struct rlimit64 value[RLIM_NLIMITS];
} limits = {.lock = PTHREAD_MUTEX_INITIALIZER};

static bool is_kept(uint64_t resource, const struct rlimit64 *value)
{
    return resource == RLIMIT_AS || resource == RLIMIT_DATA ||
           (resource == RLIMIT_STACK && value->rlim_cur < STACK_LIMIT_MIN);
}

static int64_t get_limit(uint64_t resource, struct rlimit64 *value)
{
    bool kept = false;

    if (resource >= RLIM_NLIMITS) {
        return -EINVAL;
    }
    pthread_mutex_lock(&limits.lock);
    if (limits.kept[resource]) {
        kept = true;
        *value = limits.value[resource];
    }
    pthread_mutex_unlock(&limits.lock);
    return kept || syscall(SYS_prlimit64, 0, resource, NULL, value) == 0 ? 0 : -errno;
}

static int64_t set_limit(struct user *user, uint64_t resource, const struct rlimit64 *value)
{
    struct rlimit64 old;
    int64_t result = get_limit(resource, &old);

    if (result < 0) {
        return result;
    }
    if (value->rlim_cur > value->rlim_max) {
        return -EINVAL;
    }
    if (!is_kept(resource, value)) {
        result = syscall(SYS_prlimit64, 0, resource, value, NULL) == 0 ? 0 : -errno;
    } else if (value->rlim_max > old.rlim_max && geteuid() != 0) {
        result = -EPERM;
    }
    if (result == 0) {
        pthread_mutex_lock(&limits.lock);
        limits.kept[resource] = is_kept(resource, value);
        limits.value[resource] = *value;
        pthread_mutex_unlock(&limits.lock);
        if (resource == RLIMIT_STACK) {
            user_stack_limit(user, value->rlim_cur);
        }
    }
    return result;
}

USER_CALL(getrlimit)
{
    struct rlimit64 value;
    int64_t result = get_limit(call->args[0], &value);

    (void)thread;
    return result == 0 && !user_copy_out(call->args[1], &value, sizeof value) ? -EFAULT : result;
}

USER_CALL(setrlimit)
{
    struct rlimit64 value;

    return user_copy_in(&value, call->args[1], sizeof value)
               ? set_limit(thread->user, call->args[0], &value)
               : -EFAULT;
}

USER_CALL(prlimit64)
{
    struct rlimit64 value, old;

    if (call->args[0] != 0 && (pid_t)call->args[0] != getpid()) {
        return call_pass(thread, call);
    }
    if (call->args[2] && !user_copy_in(&value, call->args[2], sizeof value)) {
        return -EFAULT;
    }
    int64_t result = get_limit(call->args[1], &old);
    if (result == 0 && call->args[2]) {
        result = set_limit(thread->user, call->args[1], &value);
    }
    return result == 0 && call->args[3] && !user_copy_out(call->args[3], &old, sizeof old) ? -EFAULT
                                                                                           : result;
}

/* --- names --- */

USER_CALL(uname)
{
    struct utsname name;
    const char *release = thread->user->options.release;

    if (uname(&name) != 0) {
        return -errno;
    }
    if (release) {
        strncpy(name.release, release, sizeof name.release - 1);
    }
    return user_copy_out(call->args[0], &name, sizeof name) ? 0 : -EFAULT;
}

/* Mappings that can be read are not to become executable in our own address space. */
USER_CALL(personality)
{
    struct user_call other = *call;

    if ((uint32_t)call->args[0] != UINT32_MAX) {
        other.args[0] &= ~(uint64_t)READ_IMPLIES_EXEC;
    }
    return call_pass(thread, &other);
}

/* --- prctl --- */

#ifndef PR_SET_MDWE
#define PR_SET_MDWE 65
#endif
#ifndef PR_SET_SYSCALL_USER_DISPATCH
#define PR_SET_SYSCALL_USER_DISPATCH 59
#endif

USER_CALL(prctl)
{
    const uint64_t *args = call->args;

    switch ((int)args[0]) {
    case PR_SET_SECCOMP:
        if (args[1] == SECCOMP_MODE_STRICT) {
            return user_seccomp_call(thread, SECCOMP_SET_MODE_STRICT, 0, 0);
        }
        return args[1] == SECCOMP_MODE_FILTER
                   ? user_seccomp_call(thread, SECCOMP_SET_MODE_FILTER, 0, args[2])
                   : -EINVAL;
    case PR_GET_SECCOMP: return user_seccomp_mode(thread);
    case PR_GET_TID_ADDRESS: return user_put_u64(args[1], thread->clear_child_tid) ? 0 : -EFAULT;
    case PR_SET_MM: return -EPERM; /* what it describes is our process */
    case PR_SET_TSC:
    case PR_SET_MDWE:
    case PR_SET_SYSCALL_USER_DISPATCH:
        user_tell_once(
            USER_TOLD_PRCTL,
            "the program asks prctl() for what would stop the translator itself "
            "(PR_SET_TSC, PR_SET_MDWE or PR_SET_SYSCALL_USER_DISPATCH): it gets EINVAL\n");
        return -EINVAL;
    case PR_GET_PDEATHSIG:
    case PR_GET_TSC:
    case PR_GET_CHILD_SUBREAPER:
    case PR_GET_UNALIGN: user_unwatch(thread->user, args[1], sizeof(uint32_t)); break;
    case PR_GET_NAME: user_unwatch(thread->user, args[1], 16); break;
    default: break;
    }
    return call_pass(thread, call);
}

/* --- arch_prctl --- */

enum { /* asm/prctl.h, also of later kernels */
       GET_CPUID = 0x1011,
       SET_CPUID = 0x1012,
       GET_STATE_COMPONENTS = 0x1021,
       GET_STATE_PERMISSION = 0x1022,
};

static int64_t set_base(uint64_t *base, uint64_t value)
{
    if (value >= USER_ADDRESS_END) {
        return -EPERM;
    }
    *base = value;
    return 0;
}

USER_CALL(arch_prctl)
{
    struct ir_state *state = &thread->cpu->state;
    uint64_t address = call->args[1];

    switch ((int)call->args[0]) {
    case ARCH_SET_FS: return set_base(&state->thread_base, address);
    case ARCH_SET_GS: return set_base(&state->other_base, address);
    case ARCH_GET_FS: return user_put_u64(address, state->thread_base) ? 0 : -EFAULT;
    case ARCH_GET_GS: return user_put_u64(address, state->other_base) ? 0 : -EFAULT;
    case GET_CPUID: return 1; /* CPUID does not fault */
    case SET_CPUID: return -ENODEV;
    case GET_STATE_COMPONENTS:
    case GET_STATE_PERMISSION: return user_put_u64(address, thread->cpu->xcr0) ? 0 : -EFAULT;
    default: return -EINVAL;
    }
}

/* --- refused --- */

USER_CALL(ptrace)
{
    (void)thread;
    (void)call;
    user_tell_once(
        USER_TOLD_PTRACE,
        "the program wants to trace another with ptrace(), which is not possible under the "
        "translator: it gets EPERM\n");
    return -EPERM;
}

USER_CALL(modify_ldt)
{
    (void)thread;
    if (call->args[0] == 0) {
        return 0; /* the table is empty */
    }
    user_tell_once(USER_TOLD_LDT,
                   "the program wants segment descriptors of its own (modify_ldt), which are not "
                   "supported: it gets ENOSYS\n");
    return -ENOSYS;
}

/* The kernel would write to guest memory at any time, and its shared rings would be mappings that
 * nobody told us of. Programs fall back on other ways. */
USER_CALL(io_uring)
{
    (void)thread;
    (void)call;
    user_tell_once(USER_TOLD_IO_URING,
                   "the program asks for io_uring, which is not supported: it gets "
                   "ENOSYS\n");
    return -ENOSYS;
}

/* Ports are not reachable: the host would let our code touch them, not the guest's. */
USER_CALL(iopl)
{
    (void)thread;
    return (uint32_t)call->args[0] > 3 ? -EINVAL : -EPERM;
}

USER_CALL(ioperm)
{
    (void)thread;
    (void)call;
    return -EPERM;
}

/* Only the kernel's own code calls it with sense. */
USER_CALL(restart_syscall)
{
    (void)thread;
    (void)call;
    return -EINTR;
}

USER_CALL(seccomp)
{
    return user_seccomp_call(thread, call->args[0], call->args[1], call->args[2]);
}
