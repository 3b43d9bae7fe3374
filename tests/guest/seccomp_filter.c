/* SPDX-License-Identifier: MIT
 *
 * Filters of system calls: answers of every kind, several filters, threads and children that
 * inherit them, programs that they are refused, and that they outlive an execve(). */
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <ucontext.h>

#include "expect.h"

#define LOAD(field) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field))
#define ON(number, answer) \
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (number), 0, 1), BPF_STMT(BPF_RET | BPF_K, (answer))
#define ALLOW BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)

static long set_filter(struct sock_filter *program, size_t length, unsigned flags)
{
    struct sock_fprog all = {(unsigned short)length, program};

    return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &all);
}

#define SET(program, flags) set_filter(program, sizeof(program) / sizeof *(program), flags)

static int status_of(void (*child)(void))
{
    int status = 0;

    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
        child();
        fflush(stdout);
        _exit(expect_failed ? 1 : 0);
    }
    EXPECT_SAME(waitpid(pid, &status, 0), pid);
    return status;
}

static void *uid_is_refused(void *opaque)
{
    EXPECT(syscall(SYS_getuid) == -1 && errno == 123);
    return opaque;
}

static void errors(void)
{
    struct sock_filter program[] = {
        LOAD(arch),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 1, 0),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
        LOAD(nr),
        ON(SYS_getuid, SECCOMP_RET_ERRNO | 123),
        ON(SYS_getgid, SECCOMP_RET_TRACE | 7),
        ON(SYS_geteuid, SECCOMP_RET_LOG),
        ON(SYS_getegid, SECCOMP_RET_ERRNO | 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_lseek, 0, 3),
        LOAD(args[1]),
        BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, 1000, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | 5),
        ALLOW,
    };
    struct sock_filter stricter[] = {LOAD(nr), ON(SYS_geteuid, SECCOMP_RET_ERRNO | 77), ALLOW};
    pthread_t thread;
    int fd[2];

    EXPECT_SAME(prctl(PR_GET_SECCOMP), 0);
    EXPECT_SAME(SET(program, 0), 0);
    EXPECT_SAME(prctl(PR_GET_SECCOMP), 2);
    uid_is_refused(NULL);
    EXPECT(syscall(SYS_getgid) == -1 && errno == ENOSYS);
    EXPECT_SAME(syscall(SYS_geteuid), geteuid());
    EXPECT_SAME(syscall(SYS_getegid), 0);
    EXPECT_OR_END(pipe(fd) == 0);
    EXPECT(lseek(fd[0], 10, SEEK_SET) == -1 && errno == ESPIPE);
    EXPECT(lseek(fd[0], 2000, SEEK_SET) == -1 && errno == EIO);
    pthread_create(&thread, NULL, uid_is_refused, NULL);
    pthread_join(thread, NULL);
    EXPECT_SAME(SET(stricter, 0), 0);
    EXPECT(syscall(SYS_geteuid) == -1 && errno == 77);
    uid_is_refused(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        uid_is_refused(NULL);
        _exit(expect_failed ? 1 : 0);
    }
    int status = -1;
    waitpid(pid, &status, 0);
    EXPECT_SAME(status, 0);
}

static volatile int traps;

static void trapped(int sig, siginfo_t *info, void *context)
{
    ucontext_t *uc = context;

    EXPECT_SAME(sig, SIGSYS);
    EXPECT_SAME(info->si_code, 1); /* SYS_SECCOMP */
    EXPECT_SAME(info->si_errno, 55);
    EXPECT_SAME(info->si_syscall, SYS_getppid);
    EXPECT_SAME(info->si_arch, AUDIT_ARCH_X86_64);
    EXPECT_SAME((uintptr_t)info->si_call_addr, (uintptr_t)uc->uc_mcontext.gregs[REG_RIP]);
    EXPECT_SAME(uc->uc_mcontext.gregs[REG_RAX], SYS_getppid);
    uc->uc_mcontext.gregs[REG_RAX] = 4242;
    traps++;
}

static void set_trap(void)
{
    struct sock_filter program[] = {LOAD(nr), ON(SYS_getppid, SECCOMP_RET_TRAP | 55), ALLOW};

    EXPECT_SAME(SET(program, 0), 0);
}

static void trap(void)
{
    struct sigaction action = {.sa_sigaction = trapped, .sa_flags = SA_SIGINFO};

    sigaction(SIGSYS, &action, NULL);
    set_trap();
    for (int i = 1; i <= 10; i++) {
        EXPECT_SAME(syscall(SYS_getppid), 4242);
        EXPECT_SAME(traps, i);
    }
}

static void trap_without_handler(void)
{
    set_trap();
    syscall(SYS_getppid);
}

static void killed(void)
{
    struct sock_filter program[] = {LOAD(nr), ON(SYS_getppid, SECCOMP_RET_KILL_PROCESS), ALLOW};

    EXPECT_SAME(SET(program, 0), 0);
    syscall(SYS_getppid);
}

static void strict(void)
{
    prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT);
    syscall(SYS_getppid);
}

static void strict_exit(void)
{
    prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT);
    syscall(SYS_exit, 12);
}

static pthread_barrier_t barrier;

static void *wait_for_filter(void *opaque)
{
    pthread_barrier_wait(&barrier);
    pthread_barrier_wait(&barrier);
    return uid_is_refused(opaque);
}

static void all_threads(void)
{
    struct sock_filter program[] = {LOAD(nr), ON(SYS_getuid, SECCOMP_RET_ERRNO | 123), ALLOW};
    pthread_t thread;

    pthread_barrier_init(&barrier, NULL, 2);
    pthread_create(&thread, NULL, wait_for_filter, NULL);
    pthread_barrier_wait(&barrier);
    EXPECT_SAME(SET(program, SECCOMP_FILTER_FLAG_TSYNC), 0);
    pthread_barrier_wait(&barrier);
    pthread_join(thread, NULL);
}

static void refused(void)
{
    struct sock_filter no_end[] = {LOAD(nr)};
    struct sock_filter odd_place[] = {BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 2), ALLOW};
    struct sock_filter far[] = {BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 1, 1, 0), ALLOW};
    struct sock_filter bytes[] = {BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 0), ALLOW};
    struct sock_filter zero[] = {BPF_STMT(BPF_ALU | BPF_DIV | BPF_K, 0), ALLOW};
    struct sock_filter unset[] = {BPF_STMT(BPF_LD | BPF_MEM, 3), ALLOW};
    uint32_t action = SECCOMP_RET_ERRNO;

    EXPECT(SET(no_end, 0) == -1 && errno == EINVAL);
    EXPECT(SET(odd_place, 0) == -1 && errno == EINVAL);
    EXPECT(SET(far, 0) == -1 && errno == EINVAL);
    EXPECT(SET(bytes, 0) == -1 && errno == EINVAL);
    EXPECT(SET(zero, 0) == -1 && errno == EINVAL);
    EXPECT(SET(unset, 0) == -1 && errno == EINVAL);
    EXPECT(set_filter(NULL, 1, 0) == -1 && errno == EINVAL);
    EXPECT(set_filter((void *)(uintptr_t)8, 1, 0) == -1 && errno == EFAULT);
    EXPECT(set_filter(zero, 0, 0) == -1 && errno == EINVAL);
    EXPECT_SAME(syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &action), 0);
    action = 0x12340000;
    EXPECT(syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &action) == -1 && errno == EOPNOTSUPP);
    EXPECT_SAME(prctl(PR_GET_SECCOMP), 0);
}

static char *self;

static void executes(void)
{
    struct sock_filter program[] = {LOAD(nr), ON(SYS_getuid, SECCOMP_RET_ERRNO | 123), ALLOW};

    EXPECT_SAME(SET(program, 0), 0);
    execl(self, self, "child", NULL);
}

int main(int argc, char **argv)
{
    if (argc > 1) {
        EXPECT_SAME(prctl(PR_GET_SECCOMP), 2);
        uid_is_refused(NULL);
        return expect_failed ? 1 : 66;
    }
    self = argv[0];
    EXPECT_SAME(status_of(errors), 0);
    EXPECT_SAME(status_of(trap), 0);
    EXPECT_SAME(status_of(trap_without_handler) & 0x7f, SIGSYS);
    EXPECT_SAME(status_of(killed) & 0x7f, SIGSYS);
    EXPECT_SAME(status_of(strict) & 0x7f, SIGKILL);
    EXPECT_SAME(status_of(strict_exit), 12 << 8);
    EXPECT_SAME(status_of(all_threads), 0);
    EXPECT_SAME(status_of(refused), 0);
    EXPECT_SAME(status_of(executes), 66 << 8);
    return expect_done();
}
