/* SPDX-License-Identifier: MIT
 *
 * What loader.c, stack.c and exec.c share: finding and judging the file to run.
 */
#ifndef USER_LOADER_H
#define USER_LOADER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "user/elf.h"

struct user;

enum { USER_SCRIPT_DEPTH = 5 }; /* scripts whose interpreters are scripts, as the kernel allows */

/* A program found: the file after all `#!`, and the arguments they make. */
struct user_program {
    int fd;      /* of the ELF file, read only; -1: none */
    char *path;  /* its path, as it was opened */
    char **argv; /* ends with NULL; owned, strings too */
    struct elf_file elf;
    int interpreter_fd; /* -1: none */
    char *interpreter;  /* its path, with the sysroot where it is there */
    struct elf_file interpreter_elf;
};

/* Opens `path` and whatever it needs to run. False with the sentence, which names the file, and
 * with the errno that execve() gives in `*error`. user_program_free() is due in any case. */
bool user_program_find(struct user_program *program, const char *path, char *const *argv,
                       const char *sysroot, int *error, struct error *err);
void user_program_free(struct user_program *program);

/* What the memory of a program begins with: stack.c. */
bool user_stack_make(struct user *user, char *const *argv, struct error *err);

#endif
