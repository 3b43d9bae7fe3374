/* SPDX-License-Identifier: MIT
 *
 * The engine: runs guest code by translating it. It owns the code cache, finds and links blocks,
 * plants guest probes where somebody listens, and turns host signals into precise guest faults.
 *
 * Guest and host are handed to it as structs of functions (ir/guest.h, ir/host.h). An engine has no
 * file-scope state: several can live in a process. A vCPU is run by one thread at a time.
 *
 * Read in this order: this header, internal.h (who owns what, which locks), cache.c (memory for
 * code), block.c (find, make, link, kill), run.c (the loop), signal.c (host signals), stream.c and
 * probes.c (guest probes), system.h (what is different in system mode). Beside that: looking.c
 * (logs), listen.c and perf.c (who hears of new code).
 */
#ifndef ENGINE_ENGINE_H
#define ENGINE_ENGINE_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/error.h"
#include "ir/guest.h"
#include "ir/host.h"

struct engine;
struct mem_space;
struct symbol_space;
struct vcpu;
struct vcpu_fault;

/* How a page of guest memory may be executed, in one-to-one mode. */
enum engine_page {
    ENGINE_PAGE_EXEC = 1,    /* may be executed */
    ENGINE_PAGE_WATCH = 2,   /* private and writable by the guest: stores must be caught */
    ENGINE_PAGE_CHECKED = 4, /* may change unseen (a shared mapping): blocks compare their bytes */
};

/* What the engine needs to know of guest memory: filled in by whoever owns the mappings (user/).
 * The functions are called with the engine's lock held, watch_stores() also inside a signal
 * handler: they must not call the engine. */
struct engine_memory {
    void *opaque;
    /* Set of enum engine_page for the page (4 KiB) at `address`; 0: not mapped or not executable.
     */
    unsigned (*page)(void *opaque, uint64_t address);
    /* On: make guest stores to this page raise SIGSEGV on the host, though the guest may write it.
     * Off: give it back the guest's own protection. */
    void (*watch_stores)(void *opaque, uint64_t address, bool on);
    /* Copies guest memory; false: not all of it can be read (another thread may unmap it at any
     * moment). NULL: it is read as it stands. */
    bool (*read)(void *opaque, uint64_t address, void *to, size_t size);
    /* Reads the byte at `address`, or writes it with what it holds, as an instruction of the guest
     * would. False: `fault` has what the host's CPU and kernel told of it. So it is known whether a
     * page fault is SIGSEGV or SIGBUS (behind a file's end), and its error code. On the vCPU's
     * thread, reading also with the engine's lock held. NULL: only whether something is mapped
     * there is told apart. */
    bool (*touch)(void *opaque, uint64_t address, bool write, struct vcpu_fault *fault);
};

/* Switches of the engine, for tests that bisect a failure and for people who look inside. */
struct engine_options {
    bool no_chain;        /* -d nochain: no links between blocks, no jump table */
    bool one_instruction; /* every block holds one instruction */
    bool no_liveness;     /* flags are always kept */
    bool count;           /* count instructions exactly (vcpu_instructions()) */
    bool budget;          /* system mode: run only as many instructions as vcpu_grant() says */
    bool self_check;      /* every block compares its source bytes */
    bool random_exits;    /* leave translated code at random block heads */
    size_t cache_size;    /* bytes of code; 0: 128 MiB */
    unsigned block_limit; /* instructions a block may have; 0: 64 */
    uint64_t code_near;   /* place the cache within 2 GiB of this address where that is free; 0: no
                             wish */
};

struct engine_config {
    const struct ir_guest *guest;
    const struct ir_host *host;
    const void *guest_config; /* the guest's own: struct x86_model for x86 */
    struct engine_memory memory;
    /* Physical memory of system mode (system.h), which outlives the engine; NULL: one-to-one mode.
     */
    struct mem_space *space;
    /* Names for addresses in logs; NULL: none. */
    struct symbol_space *symbols;
    struct engine_options options;
    /* The host signal that the engine may send to its own threads, with si_code SI_QUEUE and
     * si_ptr pointing to the engine. */
    int kick_signal;
};

/* Makes an engine; NULL with a sentence in `err`. Freed when its vCPUs are. */
struct engine *engine_new(const struct engine_config *config, struct error *err);
void engine_free(struct engine *engine);

/* The address range of the code cache as guest code sees it in /proc/self/maps; for user/ to keep
 * out of the guest's way. Two ranges: executable view, writable view. */
void engine_cache_ranges(const struct engine *engine, uint64_t start[2], uint64_t end[2]);

/* A vCPU: a CPU record in reset state. `number` is what traces call it. Any thread. */
struct vcpu *vcpu_new(struct engine *engine, int number, struct error *err);
void vcpu_free(struct vcpu *vcpu);

/* The guest's CPU record (struct x86_cpu). Valid outside vcpu_run(), for the thread that runs it.
 */
void *vcpu_state(struct vcpu *vcpu);
struct engine *vcpu_engine(struct vcpu *vcpu);
int vcpu_number(const struct vcpu *vcpu);

/* The vCPU whose code the calling thread runs, or NULL. Async-signal-safe. */
struct vcpu *vcpu_current(void);

/* Binds the vCPU to the calling thread (GS base and the rest); a thread keeps one vCPU for all of
 * vcpu_run() and until it binds another. */
void vcpu_bind(struct vcpu *vcpu);

enum vcpu_event {
    VCPU_SYSCALL,     /* the guest asks for a system call; pc is behind the instruction */
    VCPU_FAULT,       /* an exception of the guest: vcpu_fault() */
    VCPU_INTERRUPTED, /* vcpu_interrupt() was called */
    VCPU_SPENT,       /* system mode: all instructions that were granted are executed */
    VCPU_WAITS,       /* system mode: halted, and nothing is pending that would wake it */
};

/* A fault as Linux reports it. pc in the CPU record is the instruction's (behind it for traps). */
struct vcpu_fault {
    int signal;       /* SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP */
    int code;         /* si_code */
    uint64_t address; /* si_addr */
    uint32_t trap;    /* vector, as in the signal frame's trapno */
    uint32_t error;   /* error code, as in the signal frame's err */
};

/* Runs guest code until there is something for the caller to do. The whole state is in the CPU
 * record then and may be changed, pc too. */
enum vcpu_event vcpu_run(struct vcpu *vcpu);
const struct vcpu_fault *vcpu_fault(const struct vcpu *vcpu);

/* Makes a running or the next vcpu_run() return VCPU_INTERRUPTED, at an instruction boundary. Once:
 * the request is gone then. Any thread; from another than the vCPU's own a signal is sent.
 * Async-signal-safe on the vCPU's own thread. */
void vcpu_interrupt(struct vcpu *vcpu);

/* Exact number of guest instructions executed, if options.count. */
uint64_t vcpu_instructions(const struct vcpu *vcpu);

/* --- host signals --- */

enum engine_signal {
    ENGINE_SIGNAL_TAKEN, /* the engine's own affair: return from the handler */
    ENGINE_SIGNAL_FAULT, /* a fault of guest code; vcpu_run() will return VCPU_FAULT: return */
    ENGINE_SIGNAL_CODE,  /* asynchronous, while translated code ran; state is whole only after
                            vcpu_interrupt(), which the caller wants now: then return */
    ENGINE_SIGNAL_HOST,  /* not in translated code: the caller's affair */
};

/* To be called first by the handler of every host signal, with what the handler got. The handler
 * must be installed by engine_sigaction(): while translated code runs, FS is the guest's. */
enum engine_signal engine_signal(int signal, siginfo_t *info, void *ucontext);

/* To be called by the handler when it has let a store to watched code go ahead (after
 * engine_invalidate()): translated code that did it leaves right behind that instruction. */
void engine_code_changed(void *ucontext);

/* What a handler looks like. It runs on the thread's alternate stack with host FS. */
typedef ir_handler_fn engine_handler_fn;

/* rt_sigaction for such a handler: SA_SIGINFO | SA_ONSTACK, all signals blocked while it runs, and
 * SA_RESTART (so that the restart range of a system call can tell restartable calls). An engine has
 * one handler: all its signals go to the one that was given last. */
bool engine_sigaction(struct engine *engine, int signal, engine_handler_fn *handler);

/* --- memory and code --- */

/* Forgets translations of [start, end): its contents, protection or mapping changes. Called before
 * the change is visible to other guest threads where that can be. Any thread, also vCPU threads
 * outside vcpu_run(). */
void engine_invalidate(struct engine *engine, uint64_t start, uint64_t end);

/* True if any page of [start, end) has translations or is watched: a cheap test before system calls
 * that write to guest memory. */
bool engine_has_code(struct engine *engine, uint64_t start, uint64_t end);

/* --- fork --- */

/* Around fork() on a vCPU's thread: prepare stops translation and copies what the child needs;
 * parent and child go on. In the child only the calling thread's vCPU is left. */
void engine_fork_prepare(struct engine *engine);
void engine_fork_parent(struct engine *engine);
void engine_fork_child(struct engine *engine, struct vcpu *self);

/* --- looking --- */

enum engine_code_kind {
    ENGINE_CODE_BLOCK, /* of the guest's code at pc */
    ENGINE_CODE_EXITS, /* ways out of the block at pc, and of those it was made with */
    ENGINE_CODE_GLUE,  /* what all blocks share; pc is 0 */
};

/* Code that was made. */
struct engine_code {
    enum engine_code_kind kind;
    uint64_t pc;       /* guest address */
    uint64_t exec;     /* where it is executed */
    size_t size;       /* in bytes */
    const void *bytes; /* the code, to read; gone when the call returns */
};

/* Called with the engine's lock held: must not call the engine. */
struct engine_listener {
    void *opaque;
    void (*made)(void *opaque, const struct engine_code *code);
    void (*forked)(void *opaque); /* in a forked child, before it is told of all it has inherited */
};

/* From now on tells of all code, beginning with what is there. One listener; it stays. Before the
 * first vcpu_run(). */
void engine_listen(struct engine *engine, const struct engine_listener *listener);

/* config.symbols. */
struct symbol_space *engine_symbols(struct engine *engine);

/* The guest address of the instruction that the code at this host address was made from; the
 * address itself where it is not in the code cache. Any thread. */
uint64_t engine_guest_pc(struct engine *engine, uint64_t host_pc);

/* Prints what -d jit-stats does: instructions, exits by cause, bytes made, and ratios. */
void engine_stats(struct engine *engine, FILE *out);

#endif
