/* SPDX-License-Identifier: MIT
 *
 * Children that share their parent's memory until they execute another program: vfork() and
 * posix_spawn(), what execve() keeps and what it does not, and how it fails. */
#include <fcntl.h>
#include <pthread.h>
#include <spawn.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "expect.h"

extern char **environ;

static char *self;
static volatile int handled, changed;

static int wait_for(pid_t pid)
{
    int status = -1;

    EXPECT_SAME(waitpid(pid, &status, 0), pid);
    return status;
}

static void handler(int sig)
{
    (void)sig;
    handled++;
}

static void vforks(void)
{
    volatile int error = 0;

    signal(SIGUSR1, handler);
    for (int i = 0; i < 20; i++) {
        pid_t pid = vfork();
        if (pid == 0) {
            changed = i; /* in the parent, too */
            signal(SIGUSR1, SIG_IGN);
            _exit(i);
        }
        EXPECT_SAME(changed, i);
        EXPECT_SAME(wait_for(pid), i << 8);
    }
    raise(SIGUSR1); /* the parent's action is its own */
    EXPECT_SAME(handled, 1);
    volatile pid_t child = 0;
    pid_t pid = vfork();
    if (pid == 0) {
        child = getpid();
        raise(SIGUSR1);
        execl("/nonexistent/program", "program", NULL);
        error = errno;
        execl("/bin/sh", "sh", "-c", "exit 33", NULL);
        _exit(1);
    }
    EXPECT_SAME(child, pid);
    EXPECT_SAME(error, ENOENT);
    EXPECT_SAME(wait_for(pid), 33 << 8);
    EXPECT_SAME(handled, 2);
    pid = vfork();
    if (pid == 0) {
        kill(getpid(), SIGKILL);
    }
    EXPECT_SAME(wait_for(pid), SIGKILL);
}

static void spawns(void)
{
    pid_t pid = 0;
    char *arguments[] = {self, (char *)"child", (char *)"two words", (char *)"", NULL};
    char *const none[] = {(char *)"NAME=value", NULL};
    posix_spawn_file_actions_t actions;
    int fd[2];
    char text[64] = "";

    EXPECT_SAME(posix_spawn(&pid, "/nonexistent", NULL, NULL, arguments, environ), ENOENT);
    EXPECT_SAME(posix_spawn(&pid, "/", NULL, NULL, arguments, environ), EACCES);
    EXPECT_OR_END(pipe(fd) == 0);
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, fd[1], 1);
    posix_spawn_file_actions_addclose(&actions, fd[0]);
    EXPECT_SAME(posix_spawn(&pid, self, &actions, NULL, arguments, none), 0);
    close(fd[1]);
    EXPECT(read(fd[0], text, sizeof text - 1) > 0);
    EXPECT_THAT(strcmp(text, "4 two words||value") == 0, "%s", text);
    close(fd[0]);
    EXPECT_SAME(wait_for(pid), 44 << 8);
}

static void *spawn_often(void *opaque)
{
    (void)opaque;
    for (int i = 0; i < 10; i++) {
        char *arguments[] = {(char *)"true", NULL};
        pid_t pid;
        EXPECT_SAME(posix_spawn(&pid, "/bin/true", NULL, NULL, arguments, environ), 0);
        EXPECT_SAME(wait_for(pid), 0);
    }
    return NULL;
}

static void from_threads(void)
{
    pthread_t thread[3];

    for (int i = 0; i < 3; i++) {
        pthread_create(&thread[i], NULL, spawn_often, NULL);
    }
    for (int i = 0; i < 3; i++) {
        pthread_join(thread[i], NULL);
    }
}

/* What an execve() hands on: descriptors without FD_CLOEXEC, ignored signals, the mask; handlers
 * become the default, and other threads end. */
static void *exec_from_thread(void *opaque)
{
    char *arguments[] = {self, (char *)"inherit", opaque, NULL};

    execv(self, arguments);
    _exit(1);
}

static void inherits(void)
{
    pid_t pid = fork();
    if (pid == 0) {
        char number[16];
        sigset_t set;
        pthread_t thread;
        int kept = open("/dev/null", O_RDONLY), closed = open("/dev/null", O_RDONLY | O_CLOEXEC);
        snprintf(number, sizeof number, "%d", kept * 1000 + closed);
        signal(SIGUSR1, handler);
        signal(SIGUSR2, SIG_IGN);
        signal(SIGFPE, SIG_IGN);
        sigemptyset(&set);
        sigaddset(&set, SIGTERM);
        sigprocmask(SIG_SETMASK, &set, NULL);
        pthread_create(&thread, NULL, exec_from_thread, number);
        pause();
    }
    EXPECT_SAME(wait_for(pid), 0);
}

static int inherited(const char *number)
{
    struct sigaction action;
    sigset_t set;
    int kept = atoi(number) / 1000, closed = atoi(number) % 1000;

    EXPECT(fcntl(kept, F_GETFD) == 0);
    EXPECT(fcntl(closed, F_GETFD) == -1 && errno == EBADF);
    sigaction(SIGUSR1, NULL, &action);
    EXPECT(action.sa_handler == SIG_DFL);
    sigaction(SIGUSR2, NULL, &action);
    EXPECT(action.sa_handler == SIG_IGN);
    sigaction(SIGFPE, NULL, &action);
    EXPECT(action.sa_handler == SIG_IGN);
    sigaction(SIGSEGV, NULL, &action);
    EXPECT(action.sa_handler == SIG_DFL);
    sigprocmask(SIG_SETMASK, NULL, &set);
    EXPECT(sigismember(&set, SIGTERM) && !sigismember(&set, SIGUSR1));
    EXPECT_SAME(syscall(SYS_gettid), getpid());
    return expect_done();
}

static void shells(void)
{
    char line[64] = "";

    FILE *pipe = popen("echo a b c | tr a-z A-Z; exit 3", "r");
    EXPECT_OR_END(pipe);
    EXPECT(fgets(line, sizeof line, pipe));
    EXPECT_THAT(strcmp(line, "A B C\n") == 0, "%s", line);
    EXPECT_SAME(pclose(pipe), 3 << 8);
    EXPECT_SAME(system("kill -TERM $$"), SIGTERM);
    EXPECT_SAME(system("exec /nonexistent/x 2>/dev/null"), 127 << 8);
}

static void many_descriptors(void)
{
    /* None that we have not opened is in the way or can be closed from under the translator. */
    for (int fd = 3; fd < 256; fd++) {
        close(fd);
    }
    EXPECT_SAME(open("/dev/null", O_RDONLY), 3);
    EXPECT_SAME(dup2(3, 100), 100);
    EXPECT_SAME(syscall(SYS_close_range, 3, ~0u, 0), 0);
    EXPECT(fcntl(100, F_GETFD) == -1 && errno == EBADF);
    EXPECT_SAME(open("/dev/null", O_RDONLY), 3);
    close(3);
}

int main(int argc, char **argv)
{
    if (argc > 2 && strcmp(argv[1], "inherit") == 0) {
        return inherited(argv[2]);
    }
    if (argc > 1) {
        printf("%d %s|%s|%s", argc, argv[2], argv[3], getenv("NAME"));
        return 44;
    }
    self = argv[0];
    vforks();
    spawns();
    from_threads();
    inherits();
    shells();
    many_descriptors();
    spawns();
    return expect_done();
}
