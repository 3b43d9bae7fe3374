/* SPDX-License-Identifier: MIT
 *
 * A guest for tests of the engine: memory with code and data, an engine on it, CPUs, and the
 * handler of host signals. Guest code is written in the test (GUEST_CODE) and copied to guest
 * memory; since guest and host are the same kind of machine, it can also be called as it is, for
 * the right answer.
 *
 * Nothing here asserts on other threads than the test's own: what fails elsewhere ends the program
 * with a sentence.
 */
#ifndef ENGINE_GUEST_H
#define ENGINE_GUEST_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdnoreturn.h>

#include "engine/engine.h"
#include "guest/x86/helpers.h"
#include "guest/x86/x86.h"

/* Guest code in Intel's syntax, position independent, as bytes between NAME and NAME_end. Local
 * labels begin at 2, since 0b and 1b are numbers in this syntax. */
#define GUEST_CODE(name, text)                                               \
    extern const uint8_t name[] __attribute__((visibility("hidden")));       \
    extern const uint8_t name##_end[] __attribute__((visibility("hidden"))); \
    __asm__(".pushsection .rodata\n"                                         \
            ".intel_syntax noprefix\n" #name ":\n" text "\n" #name "_end:\n" \
            ".att_syntax prefix\n"                                           \
            ".popsection\n")

enum {
    GUEST_CODE_SIZE = 512 << 10,
    GUEST_DATA_SIZE = 64 << 10,
    GUEST_STACK_SIZE = 64 << 10,
    GUEST_CPUS = 8,
    GUEST_PAGE = 4096,
};

struct guest {
    struct engine *engine;
    uint8_t *code;                                  /* readable, writable, executable */
    uint8_t *data, *stacks;                         /* a stack for each CPU */
    size_t used;                                    /* of code */
    unsigned how;                                   /* of its pages: enum engine_page */
    uint64_t done;                                  /* guest address of a SYSCALL instruction */
    uint32_t caught;                                /* stores to watched pages */
    uint32_t watched;                               /* pages that were watched, each time counted */
    bool refuse_exec[GUEST_CODE_SIZE / GUEST_PAGE]; /* these pages may not be executed */
};

/* Maps memory, makes an engine and installs handlers. `guest_cpu` NULL: x86_guest. */
void guest_open(struct guest *guest, const struct engine_options *options, unsigned how);
void guest_open_with(struct guest *guest, const struct engine_options *options, unsigned how,
                     const struct ir_guest *guest_cpu);
void guest_close(struct guest *guest);

/* Copies code into free guest memory, at a multiple of 16, and says where it is. */
uint64_t guest_put(struct guest *guest, const uint8_t *code, const uint8_t *end);
#define GUEST_PUT(guest, name) guest_put(guest, name, name##_end)

/* A CPU with a stack, bound to the calling thread; freed by the same thread. */
struct vcpu *guest_cpu_open(struct guest *guest, unsigned number);
void guest_cpu_close(struct vcpu *vcpu);

static inline struct x86_cpu *guest_cpu(struct vcpu *vcpu)
{
    return vcpu_state(vcpu);
}

/* vcpu_run() until it is something else than an interruption. */
enum vcpu_event guest_run(struct vcpu *vcpu);

/* Prepares a call: arguments as C passes them, a return address that leads to guest->done. */
void guest_prepare(struct guest *guest, struct vcpu *vcpu, uint64_t pc, uint64_t a, uint64_t b,
                   uint64_t c);
/* Calls guest code and returns what it left in RAX; ends the program if it does not return. */
uint64_t guest_call(struct guest *guest, struct vcpu *vcpu, uint64_t pc, uint64_t a, uint64_t b,
                    uint64_t c);
/* Calls the same bytes on the real CPU. */
uint64_t guest_call_native(uint64_t pc, uint64_t a, uint64_t b, uint64_t c);

/* Writes the sentence and ends the program: for threads and handlers. */
noreturn void guest_die(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* --- events --- */

/* Calls `event` for every event that matches the pattern, on the thread that fires it. */
struct guest_trace;
typedef void guest_event_fn(void *opaque, const char *name, const uint64_t *values);
struct guest_trace *guest_trace_on(const char *pattern, guest_event_fn *event, void *opaque);
/* From now on only those for which the expression holds. */
void guest_trace_filter(struct guest_trace *trace, const char *filter);
/* Gives them to a writer of vitrine-user, which has its own file. */
struct guest_trace *guest_trace_to(const char *pattern, const char *writer, const char *file);
/* Closes what was written, and switches the events off that match. */
void guest_trace_off(struct guest_trace *trace);

#endif
