/* SPDX-License-Identifier: MIT
 *
 * Guest memory of the test: pages for code and pages for data with every kind of neighbour. It is
 * there twice, once within the first 2 GiB (absolute and 32-bit addresses) and once far up, and
 * code and data of one layout reach each other with RIP-relative addresses.
 *
 * The program writes through a second mapping, so the guest's code is read-only to the guest and
 * its read-only data still has random contents. One thread.
 */
#ifndef DIFFERENTIAL_SCRATCH_H
#define DIFFERENTIAL_SCRATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "random.h"

enum { SCRATCH_PAGE = 4096, SCRATCH_PAGES = 16 };

enum scratch_layout { SCRATCH_LOW, SCRATCH_HIGH, SCRATCH_LAYOUTS };

/* What is at an operand's place. */
enum scratch_place {
    SCRATCH_ALIGNED,       /* on 64 bytes, all there and writable */
    SCRATCH_ANYWHERE,      /* the same, any alignment */
    SCRATCH_PAGE_START,    /* first bytes of a page, none before it */
    SCRATCH_PAGE_END,      /* last bytes of a page, none behind it */
    SCRATCH_CROSSES,       /* over two pages that are there */
    SCRATCH_CROSSES_OUT,   /* into no mapping */
    SCRATCH_CROSSES_GUARD, /* into PROT_NONE */
    SCRATCH_CROSSES_IN,    /* out of no mapping */
    SCRATCH_CROSSES_READ,  /* into a read-only page */
    SCRATCH_FROM_READ,     /* out of a read-only page into a writable one */
    SCRATCH_CROSSES_END,   /* over the end of the file that is mapped: SIGBUS */
    SCRATCH_READ_ONLY,
    SCRATCH_NOWHERE,
    SCRATCH_GUARD,
    SCRATCH_BEYOND, /* beyond the end of the file */
    SCRATCH_NOT_CANONICAL,
    SCRATCH_PLACES,
    SCRATCH_GOOD = SCRATCH_CROSSES + 1, /* those below need not fault */
};

/* Maps everything. Aborts when it cannot. */
void scratch_open(void);

/* An address of the given kind for `size` bytes (at least 1, at most 2,048). */
uint64_t scratch_address(struct random *r, enum scratch_layout layout, enum scratch_place place,
                         unsigned size);

/* The first address of data, and how many bytes there are to the last, holes included. */
uint64_t scratch_data(enum scratch_layout layout, size_t *size);

/* Code: `pages` executable pages, with a hole behind them. */
uint64_t scratch_code(enum scratch_layout layout, unsigned *pages);
/* Where the program writes for the guest's address; NULL where nothing is mapped. */
uint8_t *scratch_writable(uint64_t address);

/* The contents that the next runs begin with are those that scratch_begin() makes, and what
 * scratch_put() adds to them, in `layout`. */
void scratch_begin(enum scratch_layout layout);
/* Writes that part of [address, address + size) that is mapped. */
void scratch_put(uint64_t address, const void *bytes, size_t size);

/* Before each run: the contents. After it: how they are then. The copy has scratch_kept() bytes. */
void scratch_reset(void);
void scratch_keep(uint8_t *copy);
size_t scratch_kept(void);
/* The guest address of a place in such a copy. */
uint64_t scratch_kept_address(size_t place);
/* What is there before the run. */
const uint8_t *scratch_initial(void);

/* How the engine is to see this page: true if it may be executed. */
bool scratch_executable(uint64_t address);

/* The pages one by one, as another side may map them: the guest's address, what may be done with
 * it, and where the program reads and writes its bytes (NULL: nowhere). */
enum { SCRATCH_READ = 1, SCRATCH_WRITE = 2, SCRATCH_EXECUTE = 4 };
uint64_t scratch_page_address(enum scratch_layout layout, unsigned page);
unsigned scratch_page_rights(unsigned page);
uint8_t *scratch_page_bytes(enum scratch_layout layout, unsigned page);

#endif
