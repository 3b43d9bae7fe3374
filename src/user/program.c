/* SPDX-License-Identifier: MIT
 *
 * Finding the program: permissions, `#!` lines, the interpreter of dynamic programs. The rules and
 * their order are execve(2)'s, whose errno is told beside the sentence. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/memory.h"
#include "user/loader.h"
#include "user/user.h"

static bool read_at(void *opaque, uint64_t offset, void *to, size_t size)
{
    const int fd = *(const int *)opaque;

    for (size_t done = 0; done < size;) {
        ssize_t n = pread(fd, (char *)to + done, size - done, (off_t)(offset + done));
        if (n == 0 || (n < 0 && errno != EINTR)) {
            return false;
        }
        done += n > 0 ? (size_t)n : 0;
    }
    return true;
}

static struct elf_source source_of(int *fd)
{
    struct stat status;

    return (struct elf_source){
        .read = read_at,
        .opaque = fd,
        .size = fstat(*fd, &status) || status.st_size < 0 ? 0 : (uint64_t)status.st_size,
    };
}

/* A descriptor, or -1 with the errno and the reason, without the path in it. */
static int open_to_run(const char *path, int *error, struct error *err)
{
    struct stat status;
    struct statvfs place;

    if (stat(path, &status)) {
        *error = errno;
        error_set(err, "%s", strerror(*error));
        return -1;
    }
    *error = EACCES;
    if (S_ISDIR(status.st_mode)) {
        error_set(err, "this is a directory, not a program");
    } else if (!S_ISREG(status.st_mode)) {
        error_set(err, "this is not a regular file");
    } else if (faccessat(AT_FDCWD, path, X_OK, AT_EACCESS)) {
        error_set(err, "Permission denied: the file may not be executed (chmod +x allows it)");
    } else {
        int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
        if (fd < 0) {
            error_set(err, "%s: to translate a program, its file must be read", strerror(errno));
        } else if (!fstatvfs(fd, &place) && place.f_flag & ST_NOEXEC) {
            error_set(err, "its file system is mounted with noexec");
            close(fd);
        } else {
            return fd;
        }
    }
    return -1;
}

static void free_arguments(char **argv)
{
    for (char **at = argv; at && *at; at++) {
        free(*at);
    }
    free(argv);
}

static char **copy_arguments(char *const *argv)
{
    size_t count = 0;

    while (argv[count]) {
        count++;
    }
    char **copy = mem_alloc((count + 2) * sizeof *copy);
    for (size_t i = 0; i < count; i++) {
        copy[i] = mem_string(argv[i]);
    }
    if (count == 0) { /* Linux 5.18: argv[0] is there in any case */
        copy[0] = mem_string("");
    }
    return copy;
}

/* INTERPRETER [ARGUMENT] SCRIPT ARGS: what argv[0] was is gone. */
static void script_arguments(struct user_program *program, const struct elf_script *script)
{
    size_t count = 0, n = 0;

    while (program->argv[count]) {
        count++;
    }
    char **argv = mem_alloc((count + 4) * sizeof *argv);
    argv[n++] = mem_string(script->interpreter);
    if (script->argument[0]) {
        argv[n++] = mem_string(script->argument);
    }
    argv[n++] = mem_string(program->path);
    for (size_t i = 1; i < count; i++) {
        argv[n++] = program->argv[i];
    }
    free(program->argv[0]);
    free(program->argv);
    program->argv = argv;
}

/* Follows `#!` from program->path until there is a file that is no script. */
static bool follow_scripts(struct user_program *program, int *error, struct error *err)
{
    const char *bad;
    struct elf_script script;

    for (int depth = 0;; depth++) {
        program->fd = open_to_run(program->path, error, err);
        if (program->fd < 0) {
            return error_prefix(err, "%s: ", program->path);
        }
        const struct elf_source source = source_of(&program->fd);
        if (!elf_script_parse(&source, &script, &bad)) {
            return true;
        }
        if (bad || depth == USER_SCRIPT_DEPTH) {
            *error = bad ? ENOEXEC : ELOOP;
            return error_set(err, "%s: %s", program->path,
                             bad ? bad : "too many scripts call each other by their #! lines");
        }
        close(program->fd);
        program->fd = -1;
        script_arguments(program, &script);
        free(program->path);
        program->path = mem_string(script.interpreter);
    }
}

static bool find_interpreter(struct user_program *program, const char *sysroot, int *error,
                             struct error *err)
{
    const char *name = program->elf.interpreter;
    struct stat status;

    if (sysroot && name[0] == '/') {
        program->interpreter = mem_format("%s%s", sysroot, name);
        if (stat(program->interpreter, &status)) {
            free(program->interpreter);
            program->interpreter = NULL;
        }
    }
    if (!program->interpreter) {
        program->interpreter = mem_string(name);
    }
    program->interpreter_fd = open_to_run(program->interpreter, error, err);
    if (program->interpreter_fd < 0) {
        return error_prefix(err, "%s: its interpreter %s%s: ", program->path, program->interpreter,
                            *error == ENOENT && !sysroot ? " (-L names a folder to find it in)"
                                                         : "");
    }
    const struct elf_source source = source_of(&program->interpreter_fd);
    if (!elf_parse(&source, &program->interpreter_elf, err)) {
        *error = ELIBBAD;
        return error_prefix(err, "%s: its interpreter %s: ", program->path, program->interpreter);
    }
    return true;
}

bool user_program_find(struct user_program *program, const char *path, char *const *argv,
                       const char *sysroot, int *error, struct error *err)
{
    program->fd = program->interpreter_fd = -1;
    program->interpreter = NULL;
    program->path = mem_string(path);
    program->argv = copy_arguments(argv);
    if (!follow_scripts(program, error, err)) {
        return false;
    }
    const struct elf_source source = source_of(&program->fd);
    if (!elf_parse(&source, &program->elf, err)) {
        *error = ENOEXEC;
        return error_prefix(err, "%s: ", program->path);
    }
    return !program->elf.has_interpreter || find_interpreter(program, sysroot, error, err);
}

void user_program_free(struct user_program *program)
{
    if (program->fd >= 0) {
        close(program->fd);
    }
    if (program->interpreter_fd >= 0) {
        close(program->interpreter_fd);
    }
    free(program->path);
    free(program->interpreter);
    free_arguments(program->argv);
}

/* --- PATH --- */

static bool is_program(const char *path)
{
    struct stat status;

    return !stat(path, &status) && S_ISREG(status.st_mode) &&
           !faccessat(AT_FDCWD, path, X_OK, AT_EACCESS);
}

char *user_find_program(const char *name, struct error *err)
{
    struct stat status;
    const char *path = getenv("PATH");

    if (strchr(name, '/') || !stat(name, &status)) {
        return mem_string(name);
    }
    for (const char *at = path; at && *name; at = *at ? at + 1 : NULL) {
        size_t len = strcspn(at, ":");
        char *file = len ? mem_format("%.*s/%s", (int)len, at, name) : mem_format("./%s", name);
        if (is_program(file)) {
            return file;
        }
        free(file);
        at += len;
    }
    error_set(err, "%s: there is no such program, neither here nor in PATH", name);
    return NULL;
}
