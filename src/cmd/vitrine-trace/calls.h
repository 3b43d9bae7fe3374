/* SPDX-License-Identifier: MIT
 *
 * System calls in a recording: which events tell of them, and following them from call to result.
 *
 *     guest_user_string, guest_user_memory    what an argument points to, before the record of the
 *                                             call, or of its result for what was written
 *     guest_user_syscall                      the call
 *     guest_user_syscall_ret                  its result
 *
 * Threads are told apart by the argument ctx_thread where the recording has it (context=thread),
 * else by the thread that made the record, its process and the argument `cpu`: a child of vfork()
 * runs in its parent's thread, on a cpu of its own.
 */
#ifndef CALLS_H
#define CALLS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/strbuf.h"
#include "syscall/syscall.h"
#include "trace/read/reader.h"

enum {
    CALLERS_MAX = 4096, /* threads followed at a time; further ones replace the one last quiet */
    PIECES_MAX = 512,   /* of memory that are kept of one call */
};

enum call_kind { CALL_OTHER, CALL_ENTERS, CALL_RETURNS, CALL_STRING, CALL_MEMORY };

/* What an event is, by its name and arguments; numbers of arguments, CALL_NO_ARGUMENT: none. */
enum { CALL_NO_ARGUMENT = TRACE_VALUES_MAX };
struct call_event {
    enum call_kind kind;
    uint8_t cpu, thread; /* who */
    uint8_t num;
    uint8_t first; /* of the six of CALL_ENTERS; the result of CALL_RETURNS; the text of others */
    uint8_t address;
};

struct call_event call_event_of(const struct trace_decl *decl);

/* True if argument `i` is one of the call's six and the recording is one of ours, so that its words
 * are known though none are declared. */
bool call_has_word(const struct trace_decl *decl, unsigned i);

/* Appends the words of such an argument, "O_RDONLY|O_CLOEXEC", or returns false where the number
 * says as much. */
bool call_word(struct strbuf *to, const struct trace_record *record, unsigned i);

/* True if the event tells of calls of this machine. Then the name of a record's call, or NULL; and
 * its number, SYSCALL_MAX for all that have no name, with a name for these, too. */
bool call_is_named(const struct trace_decl *decl);
const char *call_name(const struct trace_record *record);
unsigned call_number(const struct trace_record *record, const char **name);

/* A piece of the guest's memory at the time of the call. */
struct call_piece {
    uint64_t number, address;
    bool text;
    uint32_t size;
    uint8_t *bytes; /* TRACE_STRING_MAX of them */
};

/* A thread of the guest. */
struct caller {
    uint32_t pid, thread;
    uint64_t cpu;
    unsigned ordinal; /* 1: the first with these ids */
    bool inside;      /* a call */
    bool done;        /* its result was the last record */
    uint64_t turn;    /* of its last record */
    uint64_t number, args[SYSCALL_ARGS], began;
    struct call_piece *piece;
    unsigned pieces, room, entered; /* pieces, and how many came before the call */
};

enum call_what { CALL_NOTHING, CALL_ASKED, CALL_DONE };

/* What a record tells. */
struct call_told {
    enum call_what what;
    struct caller *caller;
    struct syscall_call call; /* args NULL: the call itself was not recorded */
    int64_t result;           /* of CALL_DONE */
    uint64_t began, ended;    /* ns; began is 0 where it was not recorded */
};

struct calls {
    struct caller *caller;
    unsigned callers;
    uint64_t turn;
    struct call_event *event; /* by the record's event number */
    unsigned events;
    struct syscall_memory memory;
};

void calls_begin(struct calls *calls);
void calls_end(struct calls *calls);

/* To be called for each record, in order. `told` is valid until the next. Lost records end all
 * calls: what belongs together is not known any more. */
void calls_take(struct calls *calls, const struct trace_record *record, struct call_told *told);

/* What is known of a caller's call that has not come back. False if it is in none. */
bool calls_unfinished(struct calls *calls, struct caller *caller, struct call_told *told);

/* Appends who calls, as -strace does: the thread's id, or its process's where that is not known;
 * for those that cannot be told apart by it ID.2 and so on. */
void caller_name(struct strbuf *to, const struct caller *caller);

#endif
