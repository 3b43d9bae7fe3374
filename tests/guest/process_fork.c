/* SPDX-License-Identifier: MIT
 *
 * Children by fork(): how they end, stop and go on, what they have of their own, forks from threads
 * while others work, and clone() with flags of its own. */
#include <linux/sched.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "expect.h"

static int wait_for(pid_t pid, int options)
{
    int status = -1;

    EXPECT_SAME(waitpid(pid, &status, options), pid);
    return status;
}

static void statuses(void)
{
    for (int i = 0; i < 256; i += 51) {
        pid_t pid = fork();
        if (pid == 0) {
            _exit(i);
        }
        EXPECT_SAME(wait_for(pid, 0), i << 8);
    }
    pid_t pid = fork();
    if (pid == 0) {
        raise(SIGSTOP);
        raise(SIGSTOP); /* SIGTSTP would be ignored in a process group without a parent */
        abort();
    }
    int status = wait_for(pid, WUNTRACED);
    EXPECT(WIFSTOPPED(status) && WSTOPSIG(status) == SIGSTOP);
    kill(pid, SIGCONT);
    EXPECT(WIFCONTINUED(wait_for(pid, WCONTINUED)));
    status = wait_for(pid, WUNTRACED);
    EXPECT(WIFSTOPPED(status) && WSTOPSIG(status) == SIGSTOP);
    struct rlimit none = {0, 0}, old;
    getrlimit(RLIMIT_CORE, &old);
    none.rlim_max = old.rlim_max;
    prlimit(pid, RLIMIT_CORE, &none, NULL);
    kill(pid, SIGCONT);
    status = wait_for(pid, 0);
    EXPECT(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT && !WCOREDUMP(status));
}

static volatile int mine = 1;

static void memory(void)
{
    int fd[2];
    int value = 0;

    EXPECT_OR_END(pipe(fd) == 0);
    int *shared =
        mmap(NULL, EXPECT_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pid_t pid = fork();
    if (pid == 0) {
        mine = 2;
        *shared = 3;
        value = getppid();
        _exit(write(fd[1], &value, sizeof value) == sizeof value ? 0 : 1);
    }
    EXPECT_SAME(wait_for(pid, 0), 0);
    EXPECT_SAME(read(fd[0], &value, sizeof value), sizeof value);
    EXPECT_SAME(value, getpid());
    EXPECT_SAME(mine, 1);
    EXPECT_SAME(*shared, 3);
    munmap(shared, EXPECT_PAGE);
    close(fd[0]);
    close(fd[1]);
}

static volatile sig_atomic_t children;

static void child_ended(int sig, siginfo_t *info, void *context)
{
    (void)context;
    EXPECT_SAME(sig, SIGCHLD);
    EXPECT_SAME(info->si_code, CLD_EXITED);
    EXPECT_SAME(info->si_status, 9);
    children++;
}

static void child_signals(void)
{
    struct sigaction action = {.sa_sigaction = child_ended, .sa_flags = SA_SIGINFO | SA_RESTART};

    sigaction(SIGCHLD, &action, NULL);
    pid_t pid = fork();
    if (pid == 0) {
        _exit(9);
    }
    EXPECT_SAME(wait_for(pid, 0), 9 << 8);
    EXPECT_SAME(children, 1);
    action.sa_flags |= SA_NOCLDWAIT;
    sigaction(SIGCHLD, &action, NULL);
    pid = fork();
    if (pid == 0) {
        _exit(9);
    }
    EXPECT(waitpid(pid, NULL, 0) == -1 && errno == ECHILD);
    signal(SIGCHLD, SIG_DFL);
}

static atomic_bool stop;
static atomic_ulong work;

static void *busy(void *opaque)
{
    (void)opaque;
    while (!stop) {
        work++;
        free(malloc(work % 4096 + 1));
    }
    return NULL;
}

static void *fork_often(void *opaque)
{
    for (int i = 0; i < 20; i++) {
        pid_t pid = fork();
        if (pid == 0) {
            char *text = malloc(100); /* what is locked in the parent is not here */
            snprintf(text, 100, "%d", i);
            _exit(atoi(text) + (getpid() == syscall(SYS_gettid) ? 100 : 0));
        }
        EXPECT_SAME(wait_for(pid, 0), (i + 100) << 8);
    }
    return opaque;
}

static void from_threads(void)
{
    pthread_t thread[4];

    for (int i = 0; i < 4; i++) {
        pthread_create(&thread[i], NULL, i < 2 ? busy : fork_often, NULL);
    }
    pthread_join(thread[2], NULL);
    pthread_join(thread[3], NULL);
    stop = true;
    pthread_join(thread[0], NULL);
    pthread_join(thread[1], NULL);
    EXPECT(work > 0);
}

static void *threads_in_child(void *opaque)
{
    atomic_fetch_add((atomic_ulong *)opaque, 1);
    return NULL;
}

static void child_with_threads(void)
{
    pid_t pid = fork();
    if (pid == 0) {
        pthread_t thread[3];
        atomic_ulong count = 0;
        for (int i = 0; i < 3; i++) {
            pthread_create(&thread[i], NULL, threads_in_child, &count);
        }
        for (int i = 0; i < 3; i++) {
            pthread_join(thread[i], NULL);
        }
        pid_t inner = fork();
        if (inner == 0) {
            _exit(5);
        }
        int status;
        waitpid(inner, &status, 0);
        exit((int)count + WEXITSTATUS(status));
    }
    EXPECT_SAME(wait_for(pid, 0), 8 << 8);
}

static void clones(void)
{
    int pidfd = -1, parent_tid = 0;
    static int child_tid;
    struct clone_args args = {.flags = CLONE_PIDFD | CLONE_PARENT_SETTID | CLONE_CHILD_SETTID,
                              .pidfd = (uintptr_t)&pidfd,
                              .parent_tid = (uintptr_t)&parent_tid,
                              .child_tid = (uintptr_t)&child_tid,
                              .exit_signal = SIGCHLD};

    pid_t pid = (pid_t)syscall(SYS_clone3, &args, sizeof args);
    if (pid == 0) {
        syscall(SYS_exit, child_tid == syscall(SYS_gettid) ? 21 : 1);
    }
    EXPECT(pid > 0 && pidfd >= 0 && parent_tid == pid);
    siginfo_t info = {0};
    EXPECT(waitid(P_PIDFD, (id_t)pidfd, &info, WEXITED) == 0);
    EXPECT_SAME(info.si_status, 21);
    EXPECT_SAME(child_tid, 0);
    close(pidfd);
    /* Another signal at the end, and none. */
    signal(SIGUSR1, SIG_IGN);
    pid = (pid_t)syscall(SYS_clone, CLONE_FS | CLONE_FILES | SIGUSR1, 0, 0, 0, 0);
    if (pid == 0) {
        syscall(SYS_exit, 4);
    }
    EXPECT_SAME(wait_for(pid, __WALL), 4 << 8);
    EXPECT(syscall(SYS_clone, CLONE_THREAD | SIGCHLD, 0, 0, 0, 0) == -1 && errno == EINVAL);
    EXPECT(syscall(SYS_clone3, &args, 8) == -1 && errno == EINVAL);
}

int main(void)
{
    statuses();
    memory();
    child_signals();
    from_threads();
    child_with_threads();
    clones();
    return expect_done();
}
