/* SPDX-License-Identifier: MIT
 *
 * The items of -d: what a program can log beside trace events. The names are QEMU's. Each program
 * says which it has; the others are refused by name. Switching is a store to a mask, and asking is
 * a load and a test. Any thread.
 */
#ifndef BASE_LOGITEMS_H
#define BASE_LOGITEMS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/error.h"

/* Item, name, what it shows. The order is that of -d help. */
#define LOG_ITEMS(_)                                                                    \
    _(OUT_ASM, "out_asm", "host code that was made, block by block")                    \
    _(IN_ASM, "in_asm", "guest code that is translated, block by block")                \
    _(OP, "op", "the intermediate form of each block")                                  \
    _(OP_OPT, "op_opt", "the same behind the passes that improve it")                   \
    _(OP_IND, "op_ind", "the same before indirect accesses are lowered")                \
    _(INT, "int", "interrupts and exceptions")                                          \
    _(EXEC, "exec", "each block that is executed (all of them with nochain)")           \
    _(CPU, "cpu", "registers before each block that is executed")                       \
    _(FPU, "fpu", "floating point registers as well, with cpu")                         \
    _(MMU, "mmu", "what the MMU does")                                                  \
    _(PCALL, "pcall", "far calls, returns and exceptions in protected mode")            \
    _(CPU_RESET, "cpu_reset", "registers before each reset")                            \
    _(UNIMP, "unimp", "what the guest asks for and is not there")                       \
    _(GUEST_ERRORS, "guest_errors", "what the guest does wrong")                        \
    _(PAGE, "page", "the guest's mappings, at the start and when they change")          \
    _(NOCHAIN, "nochain", "no links between blocks, so that exec and cpu are complete") \
    _(PLUGIN, "plugin", "what plugins write")                                           \
    _(STRACE, "strace", "system calls")                                                 \
    _(TID, "tid", "a file for each thread, where -D has %d in its name")                \
    _(JIT_STATS, "jit-stats", "what the translator did, at the end")

enum log_item {
#define LOG_ITEM_ENUM(item, name, help) LOG_##item,
    LOG_ITEMS(LOG_ITEM_ENUM)
#undef LOG_ITEM_ENUM
        LOG_ITEM_COUNT,
};

/* A bit for each item that is on. Written by the functions below. */
extern uint64_t log_items;

static inline bool log_item_on(enum log_item item)
{
    return __atomic_load_n(&log_items, __ATOMIC_RELAXED) >> item & 1;
}

/* Says that this program has the item: early in main(). */
void log_item_support(enum log_item item);

/* True if the program has any. */
bool log_items_supported(void);

/* The mask of a name; "all" is all that the program has. False with a sentence that says whether
 * there is no such item or only not in this program. */
bool log_item_find(const char *name, uint64_t *mask, struct error *err);

/* Changes the mask: `log_items_set(log_items | mask)`. */
void log_items_set(uint64_t mask);

/* The items that the program has, a line each. */
void log_items_help(FILE *out);

/* --- the ranges of -dfilter --- */

/* Adds ranges: START+LENGTH, START-LENGTH (the bytes before and at START), START..END, several with
 * commas. Not while other threads ask. */
bool log_filter_add(const char *text, struct error *err);

/* True if code at the address is to be logged: always where there is no range. */
bool log_filter_has(uint64_t address);

#endif
