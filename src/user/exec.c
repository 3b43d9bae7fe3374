/* SPDX-License-Identifier: MIT
 *
 * execve: the new program starts under a translator of its own, with the options of this one. What
 * the kernel would refuse is refused before, because afterwards nobody is left to tell. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/memory.h"
#include "trace/probe/control.h"
#include "user/internal.h"
#include "user/loader.h"
#include "user/seccomp.h"
#include "user/toggle.h"

enum { PATH_ROOM = 4096 };

/* The path that the new process finds the file by: `path` as it is where it is absolute or from the
 * working folder. A file that has no path (a memfd, one that was removed) is passed as a descriptor
 * that stays open; *kept is that one. NULL with *error. */
static char *path_for_child(int dirfd, const char *path, int flags, int *kept, int *error)
{
    char link[64], folder[PATH_ROOM];

    *kept = -1;
    if (path[0] == '/' || (dirfd == AT_FDCWD && path[0])) {
        return mem_string(path);
    }
    if (!path[0] && !(flags & AT_EMPTY_PATH)) {
        *error = ENOENT;
        return NULL;
    }
    snprintf(link, sizeof link,
             dirfd == AT_FDCWD ? "/proc/thread-self/cwd" : "/proc/thread-self/fd/%d", dirfd);
    ssize_t len = readlink(link, folder, sizeof folder - 1);
    if (len < 0) {
        *error = EBADF;
        return NULL;
    }
    folder[len] = 0;
    struct stat by_path, by_fd;
    if (stat(folder, &by_path) == 0 && stat(link, &by_fd) == 0 && by_path.st_ino == by_fd.st_ino &&
        by_path.st_dev == by_fd.st_dev) {
        return path[0] ? mem_format("%s/%s", folder, path) : mem_string(folder);
    }
    if (path[0]) { /* a folder that was removed has nothing in it */
        *error = ENOENT;
        return NULL;
    }
    *kept = fcntl(dirfd, F_DUPFD, 512);
    *kept = *kept < 0 ? fcntl(dirfd, F_DUPFD, 0) : *kept;
    *error = *kept < 0 ? errno : 0;
    return *kept < 0 ? NULL : mem_format("/proc/thread-self/fd/%d", *kept);
}

/* execve()'s errno for a file that cannot be run here, 0 for one that can. */
static int refuse(const struct user *user, const char *path, char *const *argv)
{
    struct user_program program;
    int error = 0;

    bool ok = user_program_find(&program, path, argv, user->options.sysroot, &error, NULL);
    user_program_free(&program);
    return ok ? 0 : error;
}

/* OURSELVES OPTIONS [-seccomp FILTERS] [-toggles TOGGLES] -0 ARGV0 -- PATH ARGS. `filters`: text of
 * a descriptor, or ""; `toggles` is empty too where there are none. */
static char **child_arguments(const struct user *user, const char *path, char *const *argv,
                              char *filters, char *toggles)
{
    size_t count = 0, words = 0, n = 0;

    while (argv[count]) {
        count++;
    }
    while (user->options.words && user->options.words[words]) {
        words++;
    }
    char **all = mem_alloc((words + count + 12) * sizeof *all);
    all[n++] = user->self_path ? user->self_path : (char *)"vitrine-user";
    for (size_t i = 0; i < words; i++) {
        all[n++] = user->options.words[i];
    }
    if (*filters) {
        all[n++] = (char *)"-seccomp";
        all[n++] = filters;
    }
    if (*toggles) {
        all[n++] = (char *)"-toggles";
        all[n++] = toggles;
    }
    all[n++] = (char *)"-0";
    all[n++] = count ? argv[0] : (char *)"";
    all[n++] = (char *)"--";
    all[n++] = (char *)path; // NOLINT: execve() changes none
    for (size_t i = 1; i < count; i++) {
        all[n++] = argv[i];
    }
    return all;
}

/* The child's environment is first that of the translator, whose own dynamic linker must not obey
 * what is meant for the guest's: LD_PRELOAD=X goes as VITRINE_GUEST_LD_PRELOAD=X, and is given its
 * name back by user_guest_environment(). A new array; renamed strings are new. */
static char **child_environment(char *const *envp)
{
    size_t count = 0;

    while (envp && envp[count]) {
        count++;
    }
    char **all = mem_alloc((count + 1) * sizeof *all);
    for (size_t i = 0; i < count; i++) {
        all[i] = strncmp(envp[i], "LD_", 3) ? mem_string(envp[i])
                                            : mem_format(USER_GUEST_PREFIX "%s", envp[i]);
    }
    return all;
}

void user_guest_environment(char **envp)
{
    const size_t prefix = strlen(USER_GUEST_PREFIX);

    for (; *envp; envp++) {
        if (!strncmp(*envp, USER_GUEST_PREFIX, prefix)) {
            *envp += prefix;
        }
    }
}

static void free_strings(char **strings)
{
    for (char **s = strings; *s; s++) {
        free(*s);
    }
    free(strings);
}

int64_t user_exec(struct user *user, int dirfd, const char *path, char *const *argv,
                  char *const *envp, int flags)
{
    const char *program = user_proc_path(user, dirfd, path);
    int kept = -1, error = 0;
    struct stat status;

    if (flags & ~(AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW)) {
        return -EINVAL;
    }
    if (user->options.native_children) {
        syscall(SYS_execveat, dirfd, program ? program : path, argv, envp, flags);
        return -errno;
    }
    if (flags & AT_SYMLINK_NOFOLLOW && path[0] &&
        !fstatat(dirfd, path, &status, AT_SYMLINK_NOFOLLOW) && S_ISLNK(status.st_mode)) {
        return -ELOOP;
    }
    char *file = program ? mem_string(program) : path_for_child(dirfd, path, flags, &kept, &error);
    if (!file) {
        return -error;
    }
    error = refuse(user, file, argv);
    if (!error) {
        char filters[16] = "", toggles[64];
        int filters_fd = user_seccomp_save(user_self());
        if (filters_fd >= 0) {
            snprintf(filters, sizeof filters, "%d", filters_fd);
        }
        user_toggle_words(user_self(), toggles, sizeof toggles);
        char **all = child_arguments(user, file, argv, filters, toggles);
        char **environment = child_environment(envp);
        trace_file_flush();
        execve("/proc/thread-self/exe", all, environment);
        error = errno;
        if (error == ENOENT && user->self_path) { /* no /proc here */
            execve(user->self_path, all, environment);
            error = errno;
        }
        free_strings(environment);
        free(all);
        if (filters_fd >= 0) {
            close(filters_fd);
        }
    }
    if (kept >= 0) {
        close(kept);
    }
    free(file);
    return -error;
}
