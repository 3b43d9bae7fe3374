/* SPDX-License-Identifier: MIT
 *
 * Guest-physical memory and I/O ports: regions, the spaces they make up, and accesses.
 *
 * A board builds a tree of regions (RAM, ROM, registers of devices, windows onto other regions);
 * where regions overlap the higher priority wins, among equals the one added last. A space is a
 * tree seen flat: it finds the region of an address without walking the tree. Ports are a second
 * space of 64 KiB.
 *
 * Threads: the tree changes under the machine's lock, and registers are read and written under it.
 * Spaces may be searched, and RAM read and written, by any thread at any time.
 *
 * Read in this order: this header, region.c (the tree), view.c (flat), access.c (reads and writes,
 * sizes), port.c (IN and OUT), names.c (registers), ram.c (pages: dirty, code), print.c.
 */
#ifndef MEMORY_MEMORY_H
#define MEMORY_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

/* --- registers --- */

/* A part of a register, for those who print it. */
struct mem_field {
    const char *name;
    uint8_t low, bits; /* bit of the lowest, and how many */
};

enum mem_register_access { MEM_R = 1, MEM_W = 2, MEM_RW = 3 };

/* A register of a region: what it is called. The list ends with a NULL name. */
struct mem_register {
    uint32_t offset;
    uint8_t width;  /* bytes */
    uint8_t access; /* enum mem_register_access */
    const char *name;
    const struct mem_field *fields; /* ends with a NULL name; or NULL */
};

/* How a region of registers is accessed. Sizes are 1, 2, 4 or 8 bytes; offsets count from the
 * region's beginning. Handlers are called with the machine's lock held, only with sizes from
 * impl_min to impl_max and offsets that are multiples of the size (unless impl_unaligned): access.c
 * splits what is larger, lowest address first, and widens what is smaller, as a bus does: of what
 * is read the bytes asked for are taken, beside those written there are zeros. Little-endian. A
 * handler that is NULL: nothing there (MEM_UNASSIGNED). A device whose DMA leads back into a
 * handler of its own that has not returned gets MEM_REFUSED. */
struct mem_ops {
    uint64_t (*read)(void *opaque, uint64_t offset, unsigned size);
    void (*write)(void *opaque, uint64_t offset, uint64_t value, unsigned size);
    uint8_t valid_min, valid_max; /* of mem_load(), mem_store(); 0: 1 and 8. Else MEM_REFUSED */
    uint8_t impl_min, impl_max;   /* what the handlers take; 0: as valid */
    bool valid_unaligned;         /* unaligned accesses are not refused */
    bool impl_unaligned;
    const struct mem_register *registers; /* or NULL */
};

/* --- regions --- */

enum mem_kind { MEM_CONTAINER, MEM_RAM, MEM_ROM, MEM_IO, MEM_ALIAS };

struct mem_ram;
struct mem_space;

/* Lies in the memory of whoever owns it, which is all zeros at first; fields are for memory/ alone.
 */
struct mem_region {
    const char *name;
    enum mem_kind kind;
    uint64_t size; /* bytes; UINT64_MAX stands for 2^64 */
    const struct mem_ops *ops;
    void *opaque;
    struct mem_ram *ram;       /* of RAM and ROM */
    struct mem_region *target; /* of an alias */
    uint64_t target_offset;
    struct mem_region *container; /* where it was added; NULL: nowhere */
    uint64_t address;             /* there */
    int priority;
    bool enabled, readonly;
    bool seen;                            /* by a search for the spaces that show it */
    bool pending;                         /* changed since mem_begin() */
    bool busy;                            /* a handler is running */
    unsigned held;                        /* mem_begin() without mem_commit() */
    struct mem_region *children, *next;   /* highest priority first */
    struct mem_region *aliases, *sibling; /* windows onto it; the next onto the same target */
    struct mem_space *spaces;             /* whose root it is */
};

/* Each makes a region that is enabled and in no container yet. `name` must outlive it. Any region
 * but an alias can contain others; they lie above what it shows itself. */
void mem_init_container(struct mem_region *region, const char *name, uint64_t size);
void mem_init_io(struct mem_region *region, const char *name, uint64_t size,
                 const struct mem_ops *ops, void *opaque);
/* RAM, all 0, allocated lazily. ROM is RAM that stores do not change: what they do is nothing, with
 * a guest_errors message. */
bool mem_init_ram(struct mem_region *region, const char *name, uint64_t size, struct error *err);
bool mem_init_rom(struct mem_region *region, const char *name, uint64_t size, struct error *err);
/* A window onto a part of another region. */
void mem_init_alias(struct mem_region *region, const char *name, struct mem_region *target,
                    uint64_t offset, uint64_t size);
/* Takes it out of its container, its children out of it, and frees its memory: RAM when no other
 * thread can be accessing it any more. Aliases of it and spaces with it as root show nothing from
 * then on. Regions of any kind end with this, before the memory they lie in. All zeros: nothing. */
void mem_free(struct mem_region *region);

/* Changes of the tree are seen at once; but those at `region` and below, also through aliases, only
 * behind the mem_commit() that belongs to the first mem_begin(). */
void mem_begin(struct mem_region *region);
void mem_commit(struct mem_region *region);
/* The part of `region` that reaches over the container's end is not seen. */
void mem_add(struct mem_region *container, struct mem_region *region, uint64_t address,
             int priority);
void mem_remove(struct mem_region *region); /* in no container: nothing */
void mem_move(struct mem_region *region, uint64_t address);
void mem_enable(struct mem_region *region, bool enabled);
/* RAM becomes ROM and back (the shadow RAM of the host bridge). Of an alias: only through it. */
void mem_set_readonly(struct mem_region *region, bool readonly);
void mem_set_alias_offset(struct mem_region *region, uint64_t offset);

/* The bytes of RAM or ROM, aligned to pages at least; for the owner, and for a TLB. Stores through
 * it are told to nobody: mem_written(). NULL for other kinds. */
uint8_t *mem_host(const struct mem_region *region);
/* Bytes of RAM were changed through mem_host(): dirty, and code made from them dies. */
void mem_written(const struct mem_region *region, uint64_t offset, uint64_t size);

/* --- spaces --- */

enum mem_result {
    MEM_OK = 0,
    MEM_UNASSIGNED = 1, /* nothing there: reads give all ones */
    MEM_REFUSED = 2,    /* a size or alignment that the device does not take: likewise */
};

/* Who accesses. */
enum { MEM_BY_DEVICE = -1 }; /* else the number of the vCPU */

/* A piece of a space where one region is seen. */
struct mem_range {
    uint64_t start, size;      /* in the space; size 0 stands for all 2^64 */
    struct mem_region *region; /* RAM, ROM or IO */
    uint64_t offset;           /* of `start` in the region */
    bool readonly;
};

/* What others want to know of a space. Called with the machine's lock held, when all spaces show
 * the change; it must not change the tree. */
struct mem_listener {
    void *opaque;
    /* Something is seen elsewhere than before: cached searches are void (TLBs). */
    void (*changed)(void *opaque);
    struct mem_listener *next;
};

/* `name` is copied. Made and freed under the machine's lock; freed when nobody searches it. */
struct mem_space *mem_space_new(const char *name, struct mem_region *root);
void mem_space_free(struct mem_space *space);
const char *mem_space_name(const struct mem_space *space);
void mem_listen(struct mem_space *space, struct mem_listener *listener);
void mem_listen_no_more(struct mem_space *space, struct mem_listener *listener);

/* What is seen at the address; false: nothing (`range` is then the hole, its region NULL). `range`
 * is a copy, good until the space changes. Any thread; takes no lock. */
bool mem_find(struct mem_space *space, uint64_t address, struct mem_range *range);

/* Reads and writes of a vCPU or device: `size` 1, 2, 4 or 8 bytes for load and store, any number of
 * bytes for the others, across regions too, and from the top of the space on to 0. What is RAM is
 * copied, 1, 2, 4 and 8 bytes that are aligned in one host access; what is a register's needs the
 * machine's lock, which the caller holds. mem_read() and mem_write() use the largest accesses that
 * a device takes. Ordering between CPUs is the host's. `by`: see above. What is not there reads as
 * ones; the result is the worst of all parts. Stores to ROM do nothing and are MEM_OK.
 * They fire memory_region_ops_read and _write for each call of a handler (the name is REGION or
 * REGION:REGISTER), log unimp for what is not there, registers that are in no table too, and
 * guest_errors for what is refused, for ROM, and for registers read or written against the table.
 */
enum mem_result mem_load(struct mem_space *space, int by, uint64_t address, uint64_t *value,
                         unsigned size);
enum mem_result mem_store(struct mem_space *space, int by, uint64_t address, uint64_t value,
                          unsigned size);
enum mem_result mem_read(struct mem_space *space, int by, uint64_t address, void *to, size_t size);
enum mem_result mem_write(struct mem_space *space, int by, uint64_t address, const void *from,
                          size_t size);
/* As a device's register whose region is known: the slow path of a TLB that has found it. All
 * bytes must lie in the range: MEM_UNASSIGNED if not, mem_load() and mem_store() can do that. */
enum mem_result mem_io_load(const struct mem_range *range, int by, uint64_t address,
                            uint64_t *value, unsigned size);
enum mem_result mem_io_store(const struct mem_range *range, int by, uint64_t address,
                             uint64_t value, unsigned size);

/* IN and OUT of a vCPU, 1, 2 or 4 bytes: mem_load() and mem_store() on the space of ports, firing
 * cpu_in and cpu_out. */
uint32_t mem_in(struct mem_space *ports, int by, uint16_t port, unsigned size);
void mem_out(struct mem_space *ports, int by, uint16_t port, uint32_t value, unsigned size);

struct strbuf;

/* The register at the offset (the first, where it has one for reads and one for writes), NULL if
 * the region has none there or no table. Any thread. */
const struct mem_register *mem_register_at(const struct mem_region *region, uint64_t offset);
/* "NAME", with fields "NAME FIELD=1 FIELD=0x2", added to `text`. */
void mem_register_print(const struct mem_register *reg, uint64_t value, struct strbuf *text);

/* `info mtree` (flat: `info mtree -f`) of a machine's spaces, in QEMU's shape, added to `text`.
 * Spaces of the same root are shown as one. */
void mem_print(struct mem_space *const *spaces, size_t count, bool flat, struct strbuf *text);

/* --- pages of RAM --- */

/* Marks of a page (4 KiB) of RAM, a set. Stores of devices look at them; translated code does,
 * through its TLB, which asks before it lets stores pass. */
enum mem_mark {
    MEM_MARK_CODE = 1,      /* code was made from it: writers must tell (mem_on_code()) */
    MEM_MARK_WATCH_VGA = 2, /* a screen wants to know: see mem_dirty_*() */
};

/* The marks of the page. Any thread. */
unsigned mem_marks(const struct mem_region *region, uint64_t offset);
void mem_mark(const struct mem_region *region, uint64_t offset, unsigned marks, bool on);

/* Who keeps code made from RAM, and lets stores pass by TLBs. One a region. */
struct mem_code_listener {
    void *opaque;
    /* Bytes of a page marked MEM_MARK_CODE were changed by anything but translated code (DMA,
     * helpers, the monitor); called before the access returns, on any thread. Whoever sets the mark
     * and reads the bytes only then either sees the new bytes or is called. */
    void (*written)(void *opaque, const struct mem_region *region, uint64_t offset, uint64_t size);
    /* Pages are marked MEM_MARK_WATCH_VGA again: once it returns, no store passes to them without
     * mem_dirty_set(). On the thread of mem_dirty_take(). Or NULL. */
    void (*watched)(void *opaque, const struct mem_region *region, uint64_t offset, uint64_t size);
};
void mem_on_code(const struct mem_region *region, const struct mem_code_listener *listener);

/* Pages written since the last time they were asked for, for a screen: mem_dirty_start() makes the
 * region watched, all of it counting as written; mem_dirty_take() returns whether anything in the
 * pages of the range was written, clearing that; what is read behind it is no older. A page is
 * marked MEM_MARK_WATCH_VGA while it is watched and clean. Under the machine's lock. */
void mem_dirty_start(struct mem_region *region);
bool mem_dirty_take(struct mem_region *region, uint64_t offset, uint64_t size);
/* What translated code calls (through the engine) for its first store to a watched page, when the
 * store is done: the pages are dirty, and watched no more until they are taken. `address` is the
 * guest's virtual one, for the probes memory_notdirty_*. Any thread. */
void mem_dirty_set(const struct mem_region *region, uint64_t offset, uint64_t size,
                   uint64_t address);

#endif
