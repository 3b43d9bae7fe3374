/* SPDX-License-Identifier: MIT
 *
 * What the files of this room share: the process, its threads, and what each file offers.
 *
 * Locks, outermost first: `user->process_lock` (thread list, signal handlers, fork), the engine's
 * own, `user->map.lock` (table of mappings). The engine calls page() and watch_stores() with its
 * lock held and these take map.lock: so nothing here calls the engine with map.lock held. All
 * signals are blocked while map.lock is held (user_map_lock()): the handler of a store fault takes
 * it, and a thread in translated code never has it.
 *
 * A range of guest addresses is [start, end), whole pages. Functions that carry out a system call
 * take the guest's arguments as they are and give the kernel's result: a value, or -errno.
 */
#ifndef USER_INTERNAL_H
#define USER_INTERNAL_H

#include <elf.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/strbuf.h"
#include "engine/engine.h"
#include "guest/x86/helpers.h"
#include "guest/x86/x86.h"
#include "user/map.h"
#include "user/memory.h"
#include "user/user.h"

enum {
    USER_PAGE = 4096,
    USER_AUXV_WORDS = 64,
    USER_KICK_SIGNAL = 63, /* the engine's; the guest's use of it is told apart by si_ptr */
};

/* --- the process --- */

/* What is loaded; filled in by user_load(). */
struct user_image {
    char *path;     /* the file run, absolute where it can be told: /proc/self/exe */
    int exe_fd;     /* O_PATH or O_RDONLY descriptor of it, out of the guest's way; -1 */
    uint64_t entry; /* where to begin: of the interpreter if there is one */
    uint64_t program_entry;
    uint64_t base;    /* of the interpreter; 0 */
    uint64_t headers; /* the program's headers in memory (AT_PHDR); 0: not mapped */
    unsigned header_count;
    uint64_t start_code, end_code, start_data, end_data;
    uint64_t brk;   /* first byte behind bss */
    uint64_t stack; /* initial RSP */
    uint64_t arg_start, arg_end, env_start, env_end;
    bool stack_executable;
    Elf64_auxv_t auxv[USER_AUXV_WORDS / 2];
    size_t auxv_count; /* with the AT_NULL */
};

struct user_thread;
struct user_plan; /* loader.c */

struct user {
    struct user_options options;
    struct engine *engine;
    struct user_map map;
    struct x86_memory_access memory_access; /* of instructions executed in C */
    struct user_image image;
    struct user_plan *plan; /* between user_load_plan() and user_load() */
    char *self_path;        /* ourselves: /proc/self/exe, resolved at start */
    bool proc_told;         /* the kernel shows the guest's arguments, environment, auxv */

    pthread_mutex_t process_lock;
    struct user_thread *threads; /* all of them, any order */
    unsigned thread_count;
    int next_number; /* of vCPUs */
    bool exiting;
    int exit_status;

    struct user_signals *signals;   /* signal.c: the guest's actions */
    pid_t toggle_tid;               /* toggle.c: the thread that waits; 0: none */
    uint32_t toggle_away[2];        /* signals that it leaves to the guest for now; a set */
    struct user_syscalls *syscalls; /* syscall.c: its private state (seccomp and the like) */
};

/* A thread of the guest: one host thread, one vCPU. Fields are its own thread's, except where said.
 * Fields of signal.c and thread.c may be added. */
struct user_thread {
    struct user *user;
    struct user_thread *next;
    struct vcpu *vcpu;
    struct x86_cpu *cpu; /* vcpu_state(vcpu) */
    pid_t tid;           /* atomic for others */
    pthread_t pthread;

    /* Signals; signals.h. */
    struct user_signals *signals; /* the actions; a child of vfork() has its own */
    stack_t altstack;             /* the guest's */
    uint64_t mask;                /* the guest's blocked signals, bit N-1 */
    uint64_t saved_mask;          /* to be restored behind rt_sigsuspend and the like */
    bool mask_saved;
    uint64_t pending;   /* atomic: bit N-1 taken by our handler, not yet delivered */
    uint64_t attention; /* not 0: one of them is not blocked */
    siginfo_t info[64]; /* of pending ones; written by the handler before the bit */
    uint64_t trap, error, fault_address; /* of the last fault, as signal frames tell it */
    uint8_t restart;                     /* enum user_restart: how the last system call ended */
    char sleeps;                         /* of its row in syscalls.def */
    uint64_t restart_number;
    bool disturbed; /* a signal came that the guest does not notice (toggle.h) */

    /* Threads. */
    uint64_t clear_child_tid;
    uint64_t robust_list;
    uint64_t robust_size;
    bool is_main;
    bool vfork_child;
    bool ending; /* the loop is to be left */
    int exit_status;
    void *host_stack; /* its alternate stack for host signals */
    size_t host_stack_size;
    struct user_seccomp *seccomp; /* filters, newest first */
    void *exec_memory;            /* of a child of vfork(), for its parent to free */
};

/* The calling thread's; NULL on threads that are not the guest's. Async-signal-safe. (thread.c) */
struct user_thread *user_self(void);

/* --- memory.c: system calls on mappings. Any guest thread, outside vcpu_run(). --- */

void user_memory_init(struct user *user);
/* The callbacks for engine_new(); the place for the code cache is map.code_near. */
struct engine_memory user_memory_callbacks(struct user *user);
/* Fills in user->memory_access. */
void user_memory_access(struct user *user);
/* After engine_new(): notes its ranges and the vDSO. */
void user_memory_engine(struct user *user);

int64_t user_mmap(struct user *user, uint64_t address, uint64_t length, uint64_t prot,
                  uint64_t flags, uint64_t fd, uint64_t offset);
int64_t user_munmap(struct user *user, uint64_t address, uint64_t length);
int64_t user_mprotect(struct user *user, uint64_t address, uint64_t length, uint64_t prot);
int64_t user_mremap(struct user *user, uint64_t old_address, uint64_t old_size, uint64_t new_size,
                    uint64_t flags, uint64_t new_address);
int64_t user_brk(struct user *user, uint64_t address);
int64_t user_shmat(struct user *user, uint64_t id, uint64_t address, uint64_t flags);
int64_t user_shmdt(struct user *user, uint64_t address);
int64_t user_madvise(struct user *user, uint64_t address, uint64_t length, uint64_t advice);

/* For the handler of SIGSEGV, on a write fault (error code bit 1) at `address` in translated code:
 * true if it was one of ours, a watched page that the guest may write; translations of the page
 * are gone and the store can be made again. Async-signal-safe on a thread in translated code. */
bool user_store_fault(struct user *user, uint64_t address);

/* Before the kernel writes to [start, start + length) for a system call: pages watched there are
 * given back, with their translations forgotten. Cheap when nothing is watched; `length` may be
 * too large or the range not mapped. */
void user_unwatch(struct user *user, uint64_t start, uint64_t length);

/* True if all of [start, start + length) is mapped for the guest with `prot`. */
bool user_memory_allows(struct user *user, uint64_t start, uint64_t length, int prot);

/* True if [start, start + length) touches the code cache or other memory of ours: a system call
 * must not be given such a range to write. */
bool user_memory_is_ours(struct user *user, uint64_t start, uint64_t length);

/* The limit of the main thread's stack has been raised: it may grow as far (stack.c). */
void user_stack_limit(struct user *user, uint64_t limit);

/* From now on, whoever begins to listen to guest_module late is told of all that is mapped. */
void user_memory_tell_late(struct user *user);

void user_memory_fork_prepare(struct user *user); /* innermost: behind engine_fork_prepare() */
void user_memory_fork_parent(struct user *user);
void user_memory_fork_child(struct user *user);

/* --- loader.c --- */

/* First of two steps, before engine_new(): looks at options.program, follows `#!`, chooses where
 * the program and the code cache go, and reserves the program's place. */
bool user_load_plan(struct user *user, struct error *err);

/* Loads options.program with its interpreter, makes the stack, fills in user->image. Leaves a
 * sentence in `err`. Main thread, after user_memory_engine(). */
bool user_load(struct user *user, struct error *err);

/* Frees what the two steps made, successful or not, and the table of mappings; what is mapped
 * stays.
 */
void user_load_free(struct user *user);

/* Puts a CPU record in the state a new program begins with. */
void user_load_cpu(struct user *user, struct x86_cpu *cpu);

/* --- proc.c --- */

enum { USER_NOT_MINE = -4096 }; /* no errno */

/* After loading: tells the kernel where arguments, environment and auxv are, and the name. */
void user_proc_begin(struct user *user);

/* open() of a file of /proc that is about the guest itself: a descriptor, -errno, or
 * USER_NOT_MINE. The path is in guest memory that has been checked. */
int64_t user_proc_open(struct user *user, int dirfd, const char *path, int flags, unsigned mode);
/* readlink() of such a link: a length, -errno, or USER_NOT_MINE. */
int64_t user_proc_readlink(struct user *user, int dirfd, const char *path, char *buffer,
                           uint64_t size);
/* The path to use instead for stat, access, execve and the like: of /proc/self/exe the program's
 * file; NULL: the path is not ours. Static or the process's storage. */
const char *user_proc_path(struct user *user, int dirfd, const char *path);

/* --- exec.c --- */

/* execve() and execveat(): `path`, `argv` and `envp` were copied out of guest memory. Gives -errno;
 * on success there is no return. The caller has put signal dispositions and the signal mask in the
 * state the guest's are in. */
int64_t user_exec(struct user *user, int dirfd, const char *path, char *const *argv,
                  char *const *envp, int flags);

/* --- run.c, thread.c, signal.c, syscall.c, process.c: declared by their owner below --- */

#endif
