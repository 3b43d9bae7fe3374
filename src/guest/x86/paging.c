/* SPDX-License-Identifier: MIT
 *
 * The walk of page tables. An entry is read, all levels are judged, then A and D are set from the
 * top by compare-exchange on the host's memory; where an entry has changed meanwhile the walk
 * begins again. */
#include "guest/x86/paging.h"

#include <string.h>

#include "guest/x86/access.h"
#include "guest/x86/bus.h"
#include "guest/x86/cpuid.h"
#include "guest/x86/helpers.h"

enum entry_bits {
    PRESENT = 1 << 0,
    WRITABLE = 1 << 1,
    USER = 1 << 2,
    WRITE_THROUGH = 1 << 3,
    CACHE_OFF = 1 << 4,
    ACCESSED = 1 << 5,
    DIRTY = 1 << 6,
    LARGE = 1 << 7, /* not in the last level, where it is PAT */
    PAT_4K = 1 << 7,
    GLOBAL = 1 << 8,
    PAT_LARGE = 1 << 12,
};
#define NO_EXECUTE (UINT64_C(1) << 63)
#define FRAME      UINT64_C(0x000ffffffffff000)

enum { MOST_LEVELS = 4, PAGE = 4096 };

/* A kind of paging (SDM vol. 3, table 4-1). */
struct kind {
    uint8_t levels;
    uint8_t entry;    /* bytes */
    uint8_t bits;     /* of the address in a level */
    uint8_t top_bits; /* in the first */
    bool wide;        /* 64-bit linear addresses */
};

static const struct kind kind_32 = {2, 4, 10, 10, false};
static const struct kind kind_pae = {3, 8, 9, 2, false};
static const struct kind kind_4 = {4, 8, 9, 9, true};

/* What a walk has found. */
struct trail {
    const struct kind *kind;
    unsigned levels;               /* used */
    uint64_t address[MOST_LEVELS]; /* physical, of the entries; ~0: no entry in memory */
    uint64_t entry[MOST_LEVELS];
    unsigned shift; /* of the page */
    uint64_t all;   /* AND of the entries: U/S and R/W */
    bool no_execute;
    uint64_t frame; /* physical */
};

static uint64_t a20(const struct x86_cpu *cpu, uint64_t physical)
{
    return physical & cpu->system.a20_mask;
}

void x86_physical_read(struct x86_cpu *cpu, uint64_t physical, void *to, size_t size)
{
    const struct cpu_bus *bus = cpu->system.bus;
    const uint8_t *host = bus->host(bus->opaque, a20(cpu, physical), false);

    if (host) {
        memcpy(to, host, size);
        return;
    }
    for (size_t done = 0; done < size; done += 8) {
        bus->read(bus->opaque, a20(cpu, physical + done), (uint8_t *)to + done,
                  size - done < 8 ? size - done : 8);
    }
}

void x86_physical_write(struct x86_cpu *cpu, uint64_t physical, const void *from, size_t size)
{
    const struct cpu_bus *bus = cpu->system.bus;
    uint8_t *host = bus->host(bus->opaque, a20(cpu, physical), true);

    if (host) {
        memcpy(host, from, size);
        return;
    }
    for (size_t done = 0; done < size; done += 8) {
        bus->write(bus->opaque, a20(cpu, physical + done), (const uint8_t *)from + done,
                   size - done < 8 ? size - done : 8);
    }
}

enum x86_view x86_view(const struct x86_cpu *cpu, unsigned access)
{
    if (access & X86_ACCESS_IMPLICIT) {
        return X86_VIEW_SUPERVISOR;
    }
    if (cpu->system.cpl == 3 || access & X86_ACCESS_USER) {
        return X86_VIEW_USER;
    }
    return cpu->system_flags & X86_FLAG_AC ? X86_VIEW_SUPERVISOR_AC : X86_VIEW_SUPERVISOR;
}

static uint64_t read_entry(struct x86_cpu *cpu, uint64_t physical, unsigned size)
{
    const struct cpu_bus *bus = cpu->system.bus;
    const uint8_t *host = bus->host(bus->opaque, a20(cpu, physical), false);
    uint64_t value = 0;

    if (!host) {
        bus->read(bus->opaque, a20(cpu, physical), &value, size);
    } else if (size == 8) {
        value = __atomic_load_n((const uint64_t *)(const void *)host, __ATOMIC_RELAXED);
    } else {
        value = __atomic_load_n((const uint32_t *)(const void *)host, __ATOMIC_RELAXED);
    }
    return value;
}

/* Sets bits in an entry; false: it is not what was read. */
static bool set_bits(struct x86_cpu *cpu, uint64_t physical, unsigned size, uint64_t old,
                     uint64_t bits)
{
    const struct cpu_bus *bus = cpu->system.bus;
    uint8_t *host = bus->host(bus->opaque, a20(cpu, physical), true);
    uint64_t value = old | bits;
    uint32_t old_low = (uint32_t)old;

    if (!host) { /* tables in ROM or in a device: what a store does there */
        bus->write(bus->opaque, a20(cpu, physical), &value, size);
        return true;
    }
    if (size == 8) {
        return __atomic_compare_exchange_n((uint64_t *)(void *)host, &old, value, false,
                                           __ATOMIC_SEQ_CST, __ATOMIC_RELAXED);
    }
    return __atomic_compare_exchange_n((uint32_t *)(void *)host, &old_low, (uint32_t)value, false,
                                       __ATOMIC_SEQ_CST, __ATOMIC_RELAXED);
}

/* --- judging entries */

static uint64_t beyond_physical(const struct x86_cpu *cpu)
{
    return FRAME & ~((UINT64_C(1) << cpu->system.physical_bits) - 1);
}

/* Bits of an entry that must be 0 (SDM vol. 3, 4.3 to 4.5). `level` counts down to 0. */
static uint64_t reserved_bits(const struct x86_cpu *cpu, const struct kind *kind, unsigned level,
                              uint64_t entry)
{
    bool large = level && entry & LARGE;
    uint64_t reserved;

    if (kind == &kind_32) {
        return level && large && cpu->system.cr4 & X86_CR4_PSE ? UINT64_C(1) << 21 : 0;
    }
    reserved = beyond_physical(cpu);
    reserved |= cpu->system.efer & X86_EFER_NXE ? 0 : NO_EXECUTE;
    if (kind == &kind_pae) {
        reserved |= UINT64_C(0x7ff0000000000000);
    }
    if (level == 3) {
        reserved |= LARGE;
    } else if (level == 2 && large) {
        reserved |= x86_has(&cpu->model->features, X86_FEATURE_PDPE1GB)
                        ? (UINT64_C(1) << 30) - (1 << 13)
                        : LARGE;
    } else if (level == 1 && large) {
        reserved |= (UINT64_C(1) << 21) - (1 << 13);
    }
    return reserved;
}

static bool is_large(const struct x86_cpu *cpu, const struct kind *kind, unsigned level,
                     uint64_t entry)
{
    return level && entry & LARGE && (kind != &kind_32 || cpu->system.cr4 & X86_CR4_PSE);
}

/* Of a page of 4 MiB bits 13 to 20 are bits 32 to 39 of the address (PSE-36). */
static uint64_t frame_of(const struct kind *kind, unsigned level, uint64_t entry, unsigned shift)
{
    uint64_t size = UINT64_C(1) << shift;

    if (kind == &kind_32 && level) {
        return (entry & 0xffc00000) | (entry >> 13 & 0xff) << 32;
    }
    return entry & FRAME & ~(size - 1);
}

/* Reads the entries down to the page. Returns 0, or the P and RSVD bits of the error code + 256. */
enum { MISSED = 256 };

static unsigned descend(struct x86_cpu *cpu, uint64_t linear, struct trail *trail)
{
    const struct kind *kind = trail->kind;
    uint64_t table = cpu->system.cr3 & (kind->entry == 4 ? 0xfffff000 : FRAME);
    unsigned level = kind->levels;

    trail->all = WRITABLE | USER;
    trail->no_execute = false;
    trail->levels = 0;
    while (level-- > 0) {
        unsigned n = trail->levels++;
        unsigned shift = 12 + kind->bits * level;
        unsigned bits = n == 0 ? kind->top_bits : kind->bits;
        uint64_t index = linear >> shift & ((1u << bits) - 1), entry;

        if (kind == &kind_pae && level == 2) {
            trail->address[n] = ~UINT64_C(0);
            entry = trail->entry[n] = cpu->system.pdpte[index];
            if (!(entry & PRESENT)) {
                return MISSED;
            }
            table = entry & FRAME;
            continue; /* no rights in it, and its reserved bits were checked at loading */
        }
        trail->address[n] = table + index * kind->entry;
        entry = trail->entry[n] = read_entry(cpu, trail->address[n], kind->entry);
        if (!(entry & PRESENT)) {
            return MISSED;
        }
        if (entry & reserved_bits(cpu, kind, level, entry)) {
            return MISSED | X86_PF_PRESENT | X86_PF_RESERVED;
        }
        trail->all &= entry;
        trail->no_execute |= kind->entry == 8 && entry & NO_EXECUTE;
        if (level == 0 || is_large(cpu, kind, level, entry)) {
            trail->shift = shift;
            trail->frame = frame_of(kind, level, entry, shift);
            return 0;
        }
        table = entry & (kind->entry == 4 ? 0xfffff000 : FRAME);
    }
    return MISSED;
}

/* Rights of each view (SDM vol. 3, 4.6). */
static void find_rights(const struct x86_cpu *cpu, const struct trail *trail, struct x86_walk *walk)
{
    uint64_t cr0 = cpu->system.cr0, cr4 = cpu->system.cr4;
    bool user = trail->all & USER, writable = trail->all & WRITABLE;
    bool execute = !(trail->no_execute && cpu->system.efer & X86_EFER_NXE);
    uint8_t all = X86_RIGHT_READ | (execute ? X86_RIGHT_EXECUTE : 0);
    uint8_t supervisor = all | (writable || !(cr0 & X86_CR0_WP) ? X86_RIGHT_WRITE : 0);
    uint8_t program = user ? all | (writable ? X86_RIGHT_WRITE : 0) : 0;

    walk->key = 0;
    if (user && cr4 & X86_CR4_PKE && trail->kind == &kind_4) {
        uint64_t entry = trail->entry[trail->levels - 1];
        uint32_t key;

        walk->key = entry >> 59 & 15;
        key = cpu->system.pkru >> (2 * walk->key) & 3;
        if (key & 1) {
            program &= X86_RIGHT_EXECUTE;
            supervisor &= X86_RIGHT_EXECUTE;
        } else if (key & 2) {
            program &= (uint8_t)~X86_RIGHT_WRITE;
            supervisor &= cr0 & X86_CR0_WP ? (uint8_t)~X86_RIGHT_WRITE : 0xff;
        }
    }
    if (user && cr4 & X86_CR4_SMEP) {
        supervisor &= (uint8_t)~X86_RIGHT_EXECUTE;
    }
    walk->user = user;
    walk->rights[X86_VIEW_USER] = program;
    walk->rights[X86_VIEW_SUPERVISOR_AC] = supervisor;
    walk->rights[X86_VIEW_SUPERVISOR] =
        user && cr4 & X86_CR4_SMAP ? supervisor & X86_RIGHT_EXECUTE : supervisor;
}

static void fill(const struct x86_cpu *cpu, uint64_t linear, const struct trail *trail,
                 struct x86_walk *walk)
{
    uint64_t last = trail->entry[trail->levels - 1];
    uint64_t size = UINT64_C(1) << trail->shift;

    walk->physical = a20(cpu, trail->frame | (linear & (size - 1)));
    walk->page_size = size;
    walk->global = last & GLOBAL && cpu->system.cr4 & X86_CR4_PGE;
    walk->dirty = last & DIRTY;
    walk->memory = (uint8_t)((last & (WRITE_THROUGH | CACHE_OFF)) >> 3);
    if (last & (trail->shift == 12 ? PAT_4K : PAT_LARGE)) {
        walk->memory |= 4;
    }
    find_rights(cpu, trail, walk);
}

static void fill_unpaged(const struct x86_cpu *cpu, uint64_t linear, struct x86_walk *walk)
{
    *walk = (struct x86_walk){.page_size = PAGE, .dirty = true, .user = true};
    walk->physical = a20(cpu, (uint32_t)linear);
    memset(walk->rights, X86_RIGHT_READ | X86_RIGHT_WRITE | X86_RIGHT_EXECUTE, sizeof walk->rights);
}

static const struct kind *kind_of(const struct x86_cpu *cpu)
{
    if (!(cpu->system.cr4 & X86_CR4_PAE)) {
        return &kind_32;
    }
    return x86_long(cpu) ? &kind_4 : &kind_pae;
}

/* --- the fault */

static bool denied_by_key(const struct x86_cpu *cpu, const struct x86_walk *walk, unsigned access)
{
    uint32_t key = cpu->system.pkru >> (2 * walk->key) & 3;

    if (access & X86_ACCESS_EXECUTE || !walk->user || !(cpu->system.cr4 & X86_CR4_PKE) ||
        !x86_long(cpu)) {
        return false;
    }
    return key & 1 || (key & 2 && access & X86_ACCESS_WRITE &&
                       (cpu->system.cr0 & X86_CR0_WP || x86_view(cpu, access) == X86_VIEW_USER));
}

/* SDM vol. 3, 4.7. */
static bool page_fault(const struct x86_cpu *cpu, uint64_t linear, unsigned access, unsigned error,
                       struct x86_fault *fault)
{
    error &= ~(unsigned)MISSED;
    error |= access & X86_ACCESS_WRITE ? X86_PF_WRITE : 0;
    error |= x86_view(cpu, access) == X86_VIEW_USER ? X86_PF_USER : 0;
    if (access & X86_ACCESS_EXECUTE &&
        (cpu->system.cr4 & X86_CR4_SMEP ||
         (cpu->system.cr4 & X86_CR4_PAE && cpu->system.efer & X86_EFER_NXE))) {
        error |= X86_PF_FETCH;
    }
    x86_raise_error(fault, X86_VECTOR_PF, error);
    fault->address = linear;
    return false;
}

static bool allowed(const struct x86_cpu *cpu, const struct x86_walk *walk, unsigned access)
{
    uint8_t need = access & X86_ACCESS_EXECUTE ? X86_RIGHT_EXECUTE
                   : access & X86_ACCESS_WRITE ? X86_RIGHT_WRITE
                                               : X86_RIGHT_READ;

    return walk->rights[x86_view(cpu, access)] & need;
}

/* Sets A, and D of the page for a store. False: something has changed. */
static bool mark(struct x86_cpu *cpu, struct trail *trail, unsigned access)
{
    for (unsigned i = 0; i < trail->levels; i++) {
        bool last = i == trail->levels - 1;
        uint64_t bits = ACCESSED | (last && access & X86_ACCESS_WRITE ? DIRTY : 0);

        if (trail->address[i] == ~UINT64_C(0) || (trail->entry[i] & bits) == bits) {
            continue;
        }
        if (!set_bits(cpu, trail->address[i], trail->kind->entry, trail->entry[i], bits)) {
            return false;
        }
        trail->entry[i] |= bits;
    }
    return true;
}

bool x86_walk(struct x86_cpu *cpu, uint64_t linear, unsigned access, struct x86_walk *walk,
              struct x86_fault *fault)
{
    struct trail trail = {.kind = kind_of(cpu)};

    if (!(cpu->system.cr0 & X86_CR0_PG)) {
        fill_unpaged(cpu, linear, walk);
        return true;
    }
    if (!trail.kind->wide) {
        linear = (uint32_t)linear;
    } else if (!x86_is_canonical(linear)) {
        return x86_raise_gp(fault, 0);
    }
    for (;;) {
        unsigned error = descend(cpu, linear, &trail);

        if (error) {
            return page_fault(cpu, linear, access, error, fault);
        }
        fill(cpu, linear, &trail, walk);
        if (!allowed(cpu, walk, access)) {
            error = X86_PF_PRESENT | (denied_by_key(cpu, walk, access) ? X86_PF_KEY : 0);
            return page_fault(cpu, linear, access, error, fault);
        }
        if (mark(cpu, &trail, access)) {
            walk->dirty = trail.entry[trail.levels - 1] & DIRTY;
            return true;
        }
    }
}

bool x86_look(struct x86_cpu *cpu, uint64_t linear, struct x86_walk *walk)
{
    struct trail trail = {.kind = kind_of(cpu)};

    if (!(cpu->system.cr0 & X86_CR0_PG)) {
        fill_unpaged(cpu, linear, walk);
        return true;
    }
    if (!trail.kind->wide) {
        linear = (uint32_t)linear;
    } else if (!x86_is_canonical(linear)) {
        return false;
    }
    if (descend(cpu, linear, &trail)) {
        return false;
    }
    fill(cpu, linear, &trail, walk);
    return true;
}

/* --- all pages */

/* What the levels above leave, on the way down. */
struct tour {
    struct x86_cpu *cpu;
    const struct kind *kind;
    uint64_t left; /* entries that may still be read */
    x86_page_fn *visit;
    void *opaque;
};

static bool visit_page(struct tour *tour, unsigned level, uint64_t linear, uint64_t entry,
                       uint64_t all, bool no_execute)
{
    unsigned shift = 12 + tour->kind->bits * level;
    struct x86_page page = {.size = UINT64_C(1) << shift,
                            .linear = linear,
                            .entry = entry,
                            .large = level,
                            .user = all & USER,
                            .writable = all & WRITABLE};

    if (tour->kind->wide && linear >> 47 & 1) {
        page.linear |= UINT64_C(0xffff) << 48;
    }
    page.physical = a20(tour->cpu, frame_of(tour->kind, level, entry, shift));
    page.no_execute = no_execute && tour->cpu->system.efer & X86_EFER_NXE;
    return tour->visit(tour->opaque, &page);
}

static bool visit_table(struct tour *tour, uint64_t table, unsigned level, uint64_t linear,
                        uint64_t all, bool no_execute)
{
    const struct kind *kind = tour->kind;
    const bool top = level == kind->levels - 1u, registers = kind == &kind_pae && top;
    const unsigned count = 1u << (top ? kind->top_bits : kind->bits);
    const uint64_t frame = kind->entry == 4 ? 0xfffff000 : FRAME;

    for (unsigned i = 0; i < count; i++, linear += UINT64_C(1) << (12 + kind->bits * level)) {
        if (!tour->left) {
            return false;
        }
        tour->left--;
        uint64_t entry = registers ? tour->cpu->system.pdpte[i]
                                   : read_entry(tour->cpu, table + i * kind->entry, kind->entry);
        if (!(entry & PRESENT) ||
            (!registers && entry & reserved_bits(tour->cpu, kind, level, entry))) {
            continue;
        }
        /* The four entries of PAE's first level have no rights. */
        uint64_t rights = registers ? all : all & entry;
        bool execute_off = no_execute || (!registers && kind->entry == 8 && entry & NO_EXECUTE);
        bool leaf = !level || (!registers && is_large(tour->cpu, kind, level, entry));
        if (leaf ? !visit_page(tour, level, linear, entry, rights, execute_off)
                 : !visit_table(tour, entry & frame, level - 1, linear, rights, execute_off)) {
            return false;
        }
    }
    return true;
}

bool x86_each_page(struct x86_cpu *cpu, uint64_t entries, x86_page_fn *visit, void *opaque)
{
    struct tour tour = {cpu, kind_of(cpu), entries, visit, opaque};
    uint64_t table = cpu->system.cr3 & (tour.kind->entry == 4 ? 0xfffff000 : FRAME);

    return visit_table(&tour, table, tour.kind->levels - 1u, 0, WRITABLE | USER, false);
}

/* SDM vol. 3, 4.4.1: bits 1, 2, 5 to 8 and those above MAXPHYADDR are reserved. */
bool x86_load_pdptes(struct x86_cpu *cpu, uint64_t cr3, uint64_t pdpte[4])
{
    uint64_t reserved = beyond_physical(cpu) | UINT64_C(0xfff0000000000000) | 0x1e6;

    for (unsigned i = 0; i < 4; i++) {
        pdpte[i] = read_entry(cpu, (cr3 & 0xffffffe0) + 8 * i, 8);
        if (pdpte[i] & PRESENT && pdpte[i] & reserved) {
            return false;
        }
    }
    return true;
}
