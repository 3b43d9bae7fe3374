/* SPDX-License-Identifier: MIT
 *
 * A process whose first thread has ended: /proc tells nothing of that thread's memory, but of the
 * others'; mappings, paths that begin at a descriptor and execve() work as before. */
#include <fcntl.h>
#include <pthread.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "expect.h"

/* Bytes that can be read; less than 0: what open() says. */
static long length(const char *form, int id)
{
    static char text[1 << 16];
    char path[64];
    snprintf(path, sizeof path, form, id);
    int fd = open(path, O_RDONLY);
    if (fd < 0) {
        return -errno;
    }
    long got = read(fd, text, sizeof text);
    close(fd);
    return got;
}

static void tells(void)
{
    static const struct {
        const char *name;
        long first; /* of the first thread: 0, or what open() says */
    } files[] = {
        {"maps", 0},         {"smaps", 0},     {"smaps_rollup", -ESRCH}, {"cmdline", 0},
        {"environ", -ESRCH}, {"auxv", -ESRCH}, {"exe", -ENOENT},
    };
    int first = getpid(), own = (int)syscall(SYS_gettid);
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        static const char *const folders[] = {"/proc/self", "/proc/%d", "/proc/self/task/%d"};
        char form[64];
        for (int k = 0; k < 3; k++) {
            snprintf(form, sizeof form, "%s/%s", folders[k], files[i].name);
            EXPECT_SAME(length(form, first), files[i].first);
        }
        snprintf(form, sizeof form, "/proc/thread-self/%s", files[i].name);
        EXPECT_THAT(length(form, 0) > 0, "%s", files[i].name);
        snprintf(form, sizeof form, "/proc/self/task/%%d/%s", files[i].name);
        EXPECT_THAT(length(form, own) > 0, "%s", files[i].name);
    }
    char to[64];
    EXPECT(readlink("/proc/self/exe", to, sizeof to) < 0 && errno == ENOENT);
    EXPECT(readlink("/proc/thread-self/exe", to, sizeof to) > 0);
}

static void works(void)
{
    int folder = open(".", O_RDONLY | O_DIRECTORY);
    EXPECT_OR_END(folder >= 0);
    int fd = openat(folder, "maps", O_RDWR | O_CREAT | O_TRUNC, 0600);
    EXPECT_OR_END(fd >= 0);
    EXPECT(ftruncate(fd, 8192) == 0);
    char *memory = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    EXPECT_OR_END(memory != MAP_FAILED);
    memory[4096] = 'x';
    char *big = mmap(NULL, 200 << 20, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    EXPECT(big != MAP_FAILED);
    big[100 << 20] = 1;
    /* The file is told by its name. */
    FILE *maps = fopen("/proc/thread-self/maps", "r");
    EXPECT_OR_END(maps);
    char line[8192];
    bool found = false;
    while (fgets(line, sizeof line, maps)) {
        found |= strtoul(line, NULL, 16) == (unsigned long)memory && strstr(line, "/maps\n");
    }
    EXPECT(found);
    fclose(maps);
    unlinkat(folder, "maps", 0);
    pid_t child = fork();
    if (child == 0) {
        _exit(length("/proc/self/maps", 0) > 0 ? 0 : 1);
    }
    int status = -1;
    EXPECT(waitpid(child, &status, 0) == child);
    EXPECT_SAME(status, 0);
}

static void *other(void *path)
{
    char to[64];
    while (readlink("/proc/self/cwd", to, sizeof to) > 0) {
        usleep(1000);
    }
    tells();
    works();
    if (expect_done()) {
        _exit(1);
    }
    char *arguments[] = {path, "second", NULL}, *environment[] = {NULL};
    execve(path, arguments, environment);
    printf("execve: %s\n", strerror(errno));
    exit(1);
}

int main(int argc, char **argv)
{
    alarm(60);
    if (argc > 1) {
        EXPECT(length("/proc/self/maps", 0) > 0);
        return expect_done();
    }
    pthread_t thread;
    EXPECT_OR_END(pthread_create(&thread, NULL, other, argv[0]) == 0);
    pthread_exit(NULL);
}
