/* SPDX-License-Identifier: MIT
 *
 * The walk from linear to physical addresses (SDM vol. 3, chapter 4).
 *
 * Three views have rights of their own: user mode, supervisor mode, and supervisor mode while
 * EFLAGS.AC lifts SMAP. Which one an access has follows from CPL and AC; implicit accesses (to
 * descriptor tables, TSS, stacks of gates) are the supervisor's, and AC does not help them.
 */
#ifndef GUEST_X86_PAGING_H
#define GUEST_X86_PAGING_H

#include <stdbool.h>
#include <stdint.h>

#include "guest/x86/x86.h"

struct strbuf;
struct x86_fault;

/* Kinds of access; IMPLICIT comes on top. */
enum x86_access {
    X86_ACCESS_READ = 0,
    X86_ACCESS_WRITE = 1,
    X86_ACCESS_EXECUTE = 2,
    X86_ACCESS_IMPLICIT = 4,
    X86_ACCESS_USER = 8, /* as if CPL were 3 */
};

/* Bits of a page fault's error code beside those of helpers.h. */
enum { X86_PF_RESERVED = 8, X86_PF_FETCH = 16, X86_PF_KEY = 32 };

enum x86_view { X86_VIEW_USER, X86_VIEW_SUPERVISOR, X86_VIEW_SUPERVISOR_AC, X86_VIEWS };

enum x86_right { X86_RIGHT_READ = 1, X86_RIGHT_WRITE = 2, X86_RIGHT_EXECUTE = 4 };

struct x86_walk {
    uint64_t physical;         /* of the byte, A20 applied */
    uint64_t page_size;        /* 4 KiB, 2 MiB, 4 MiB, 1 GiB; without paging 4 KiB */
    uint8_t rights[X86_VIEWS]; /* enum x86_right, sets */
    bool global;
    bool dirty;     /* D is set: a TLB may let stores pass */
    uint8_t memory; /* PAT, PCD, PWT of the page: index into the PAT */
    uint8_t key;    /* protection key */
    bool user;      /* U/S of all levels */
};

/* The view of an access of this kind in the current mode. */
enum x86_view x86_view(const struct x86_cpu *cpu, unsigned access);

/* Walks for an access; false: #PF, or #GP where the address is not canonical in 64-bit paging (a
 * caller that knows the segment has checked that). On success A is set in every entry, and D for
 * stores. */
bool x86_walk(struct x86_cpu *cpu, uint64_t linear, unsigned access, struct x86_walk *walk,
              struct x86_fault *fault);

/* For readers (monitor, debugger): no rights, nothing set. False: not mapped. */
bool x86_look(struct x86_cpu *cpu, uint64_t linear, struct x86_walk *walk);

/* A page as x86_each_page() finds it. */
struct x86_page {
    uint64_t linear, physical, size;
    uint64_t entry; /* the last level's: D, A, PCD, PWT, G at their places */
    bool large;     /* not 4 KiB */
    /* Of all levels. */
    bool user, writable, no_execute;
};

typedef bool x86_page_fn(void *opaque, const struct x86_page *page);

/* For readers: calls `visit` for every page that is mapped, in ascending order; no rights are
 * looked at, nothing is set. Ends when `visit` returns false, or after `entries` entries of tables,
 * since a guest can make tables that lead back to themselves. True: these were all. Not without
 * paging. */
bool x86_each_page(struct x86_cpu *cpu, uint64_t entries, x86_page_fn *visit, void *opaque);

/* Loads the four PDPTEs from a value of CR3; false: reserved bits are set. */
bool x86_load_pdptes(struct x86_cpu *cpu, uint64_t cr3, uint64_t pdpte[4]);

/* `info tlb` and `info mem`: the pages that are mapped, and runs of them with the same rights, in
 * QEMU's shapes (pages.c). At most `most` bytes of text are added, and one line that says so. */
void x86_print_pages(struct x86_cpu *cpu, size_t most, struct strbuf *text);
void x86_print_mappings(struct x86_cpu *cpu, size_t most, struct strbuf *text);

/* Physical memory, A20 applied; within a page. */
void x86_physical_read(struct x86_cpu *cpu, uint64_t physical, void *to, size_t size);
void x86_physical_write(struct x86_cpu *cpu, uint64_t physical, const void *from, size_t size);

#endif
