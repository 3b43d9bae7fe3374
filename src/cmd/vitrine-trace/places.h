/* SPDX-License-Identifier: MIT
 *
 * Names for the addresses in a recording of a user-mode guest. The recording itself says which
 * files were mapped where, by two events that are looked at by name:
 *
 *     guest_module(uint64_t start, uint64_t end, uint64_t offset, const char *path)
 *     guest_module_gone(uint64_t start, uint64_t end)
 *
 * Each process has its own; addresses of a process that told nothing (the child of a fork, until it
 * does) are named by what the process before it told. The files are read where they are now: a
 * recording is best looked at on the machine that made it.
 */
#ifndef PLACES_H
#define PLACES_H

#include <stdbool.h>
#include <stdint.h>

#include "base/strbuf.h"
#include "symbol/symbol.h"
#include "trace/read/reader.h"

enum { PLACES_PROCESSES_MAX = 1024 }; /* further ones share the last one's modules */

struct places_process {
    uint32_t pid;
    struct symbol_space *space;
};

/* What an event means here, looked at when its first record comes. */
struct places_event {
    bool seen;
    uint8_t kind;                         /* enum in places.c */
    uint8_t start, end, offset, path, pc; /* numbers of arguments */
    uint32_t addresses;                   /* bit i: argument i may be an address */
};

struct places {
    unsigned style; /* enum symbol_style */
    struct places_process *process;
    unsigned processes, current; /* the one of the last record that had one */
    struct places_event *event;  /* by the record's event number */
    unsigned events;
};

/* `lines`: names come with source file and line. */
void places_begin(struct places *places, bool lines);
void places_end(struct places *places);

/* Before the records of another reader: event numbers start anew, modules are forgotten. */
void places_restart(struct places *places);

/* To be called for each record, in order. True if it tells of modules. */
bool places_take(struct places *places, const struct trace_record *record);

/* Where the record's guest was: its argument `pc`, or `ctx_pc` (context=pc). False (and zeros)
 * where there is none or it has no name. For a record that was taken. */
bool places_of(struct places *places, const struct trace_record *record, struct symbol_info *info);

/* The same in two steps: the address itself, and what is at an address of the record's process,
 * with source line if `line`. False where there is none. */
bool places_pc(struct places *places, const struct trace_record *record, uint64_t *pc);
bool places_at(struct places *places, const struct trace_record *record, uint64_t pc, bool line,
               struct symbol_info *info);

/* Adds the name of an argument that is an address in a module, or returns false. For a record that
 * was taken. */
bool places_name(struct places *places, const struct trace_record *record, unsigned argument,
                 struct strbuf *text);

#endif
