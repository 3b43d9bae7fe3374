/* SPDX-License-Identifier: MIT
 *
 * Linux user mode: runs one x86-64 Linux program in this process, its addresses one to one with
 * ours. The room loads the program, keeps the table of its mappings, carries out its system calls,
 * delivers its signals and starts its threads and children; the engine runs its code.
 *
 * User mode is no sandbox: what the user may touch, the guest may touch.
 *
 * Read in this order: this header, internal.h (who owns what, which locks), run.c (start and loop),
 * loader.c and elf.c (programs), memory.c and map.c (mappings), syscall.c and syscalls.def (system
 * calls), signal.c, thread.c, process.c, exec.c, proc.c.
 */
#ifndef USER_USER_H
#define USER_USER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "engine/engine.h"

struct user;
struct x86_model;

/* Whoever keeps names for the program's code: is told of file mappings as they come and go. Called
 * with the table of mappings locked and all signals blocked, so they must not ask for it. */
struct user_modules {
    void *opaque;
    void (*mapped)(void *opaque, const char *path, uint64_t start, uint64_t end, uint64_t offset);
    void (*unmapped)(void *opaque, uint64_t start, uint64_t end);
    struct symbol_space *symbols; /* for the engine's logs and filters */
};

/* What the command line decides. Everything pointed to is the caller's and outlives the struct
 * user. */
struct user_options {
    const char *program; /* path of the program */
    char **argv;         /* its arguments, argv[0] too (-0 is applied); ends with NULL */
    char **envp;         /* its environment (-E and -U are applied); ends with NULL */
    const char *sysroot; /* -L: looked in first for the interpreter of dynamic programs; NULL */
    const char *release; /* -r: what uname() says; NULL: the host's */
    const char *cpu;     /* -cpu as given; NULL: the default */
    const struct x86_model *model; /* what it means */
    uint64_t stack_size;           /* -s, bytes; 0: the limit RLIMIT_STACK */
    bool strace;                   /* -strace */
    int seccomp_fd;       /* -seccomp: filters that are inherited through execve(); 0: none */
    bool native_children; /* --native-children: exec leaves the translator */
    bool seeded;          /* -seed: AT_RANDOM and the program's place come from it */
    uint64_t seed;
    bool deterministic; /* no random placement (the guest's personality may ask for it too) */
    char **words;       /* the option words for exec'd children, without the program; NULL last */
    const struct user_modules *modules; /* NULL: nobody keeps names */
    struct engine_options engine;       /* code_near is filled in by user_new() */
};

/* Makes the process: engine and map, and loads the program. NULL with a sentence in `err` that
 * names the file. Main thread, before there are others. One per process: it has the process's
 * signals and its address space. */
struct user *user_new(const struct user_options *options, struct error *err);

/* Runs the guest on the calling thread until its process ends; gives the exit status. A guest that
 * dies by a signal takes us with it by the same signal. exit_group() by another thread ends the
 * process without a return. */
int user_run(struct user *user);

/* Fires guest_module for all that is mapped, if anybody listens: for a listener that came later.
 * Any thread. */
void user_tell_modules(struct user *user);

/* The engine, for -d jit-stats and the monitor's `info jit`. */
struct engine *user_engine(struct user *user);

/* What is in front of the names of variables that are the guest's alone, in the environment of a
 * child of the guest, which is ours first. */
#define USER_GUEST_PREFIX "VITRINE_GUEST_"

/* Gives such variables their own names back, in place: for what the guest gets. */
void user_guest_environment(char **envp);

/* Finds `name` as the shell would where it has no slash and is not in the current folder: a new
 * string, or NULL with the sentence. */
char *user_find_program(const char *name, struct error *err);

#endif
