/* SPDX-License-Identifier: MIT
 *
 * The test's guest memory. One row of the table is one page; addresses in it go up. */
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/error.h"
#include "scratch.h"

enum kind { HOLE, GUARD, CODE, WRITABLE, READ_ONLY, BEYOND };

enum {
    CODE_PAGE = 0,
    CODE_PAGES = 3,
    DATA_PAGE = 4, /* first and last of the data */
    FIRST_PAIR = 5,
    WRITE_READ = 8,
    GUARD_READ = 10,
    READ_WRITE = 11,
    FILE_END = 14,
    PAGES = SCRATCH_PAGES,
    KEPT_PAGES = 5,
};

static const uint8_t PAGE_KIND[PAGES] = {
    CODE,     CODE,      CODE,  HOLE,      GUARD,    WRITABLE, WRITABLE, HOLE,
    WRITABLE, READ_ONLY, GUARD, READ_ONLY, WRITABLE, WRITABLE, BEYOND,   HOLE,
};
static const uint8_t KEPT[KEPT_PAGES] = {5, 6, 8, 12, 13};
static const uint64_t BASE[SCRATCH_LAYOUTS] = {0x21234000, UINT64_C(0x2a5512345000)};

static uint8_t *alias[SCRATCH_LAYOUTS]; /* one page for each of the table's, some unused */
static uint8_t pristine[PAGES * SCRATCH_PAGE];
static uint8_t initial[KEPT_PAGES * SCRATCH_PAGE];
static enum scratch_layout current;

/* What scratch_put() wrote since scratch_begin(), to be undone. */
enum { PUTS = 256 };
static struct {
    uint64_t address;
    size_t size;
} undo[PUTS];
static unsigned put_count;

static void map_page(enum scratch_layout layout, int page, int file)
{
    static const int protection[] = {
        [CODE] = PROT_READ | PROT_EXEC,
        [WRITABLE] = PROT_READ | PROT_WRITE,
        [READ_ONLY] = PROT_READ,
        [BEYOND] = PROT_READ | PROT_WRITE,
    };
    void *address = (void *)(BASE[layout] + page * SCRATCH_PAGE);
    off_t place = (off_t)page * SCRATCH_PAGE;
    int flags = MAP_FIXED_NOREPLACE;
    void *got;

    if (PAGE_KIND[page] == HOLE)
        return;
    if (PAGE_KIND[page] == GUARD)
        got = mmap(address, SCRATCH_PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | flags, -1, 0);
    else
        got = mmap(address, SCRATCH_PAGE, protection[PAGE_KIND[page]],
                   MAP_SHARED | MAP_POPULATE | flags, file, place);
    if (got != address)
        bug("no page at %p", address);
}

void scratch_open(void)
{
    struct random r = random_stream(1, 2, 3); /* the same contents for every seed */

    for (int layout = 0; layout < SCRATCH_LAYOUTS; layout++) {
        int file = memfd_create("scratch", MFD_CLOEXEC);

        if (file < 0 || ftruncate(file, FILE_END * SCRATCH_PAGE) != 0)
            bug("no memory file");
        alias[layout] =
            mmap(NULL, FILE_END * SCRATCH_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
        if (alias[layout] == MAP_FAILED)
            bug("no mapping of the memory file");
        for (int page = 0; page < PAGES; page++)
            map_page(layout, page, file);
        close(file);
    }
    for (int page = 0; page < PAGES; page++) {
        uint8_t *bytes = pristine + page * SCRATCH_PAGE;

        if (PAGE_KIND[page] == CODE)
            memset(bytes, 0xcc, SCRATCH_PAGE);
        else
            for (int i = 0; i < SCRATCH_PAGE; i += 32)
                random_vector(&r, bytes + i, 32);
    }
    for (int layout = 0; layout < SCRATCH_LAYOUTS; layout++)
        memcpy(alias[layout], pristine, FILE_END * SCRATCH_PAGE);
    for (int i = 0; i < KEPT_PAGES; i++)
        memcpy(initial + i * SCRATCH_PAGE, pristine + KEPT[i] * SCRATCH_PAGE, SCRATCH_PAGE);
}

/* A place that crosses the start of `page` with at least one byte on each side. */
static uint64_t over(struct random *r, unsigned page, unsigned size)
{
    return page * SCRATCH_PAGE - 1 - (size > 2 ? random_below(r, size - 1) : 0);
}

static uint64_t within(struct random *r, unsigned page, unsigned size)
{
    return page * SCRATCH_PAGE + random_below(r, SCRATCH_PAGE - size);
}

uint64_t scratch_address(struct random *r, enum scratch_layout layout, enum scratch_place place,
                         unsigned size)
{
    uint64_t base = BASE[layout];

    switch (place) {
    case SCRATCH_ALIGNED:
        return base + FIRST_PAIR * SCRATCH_PAGE +
               (random_below(r, 2 * SCRATCH_PAGE - size) & ~UINT64_C(63));
    case SCRATCH_ANYWHERE: return base + within(r, random_chance(r, 50) ? 5 : 6, size);
    case SCRATCH_PAGE_START: return base + FIRST_PAIR * SCRATCH_PAGE;
    case SCRATCH_PAGE_END: return base + (FIRST_PAIR + 2) * SCRATCH_PAGE - size;
    case SCRATCH_CROSSES: return base + over(r, random_chance(r, 50) ? 6 : 13, size);
    case SCRATCH_CROSSES_OUT: return base + over(r, FIRST_PAIR + 2, size);
    case SCRATCH_CROSSES_GUARD: return base + over(r, GUARD_READ, size);
    case SCRATCH_CROSSES_IN: return base + over(r, random_chance(r, 50) ? 5 : 8, size);
    case SCRATCH_CROSSES_READ: return base + over(r, WRITE_READ + 1, size);
    case SCRATCH_FROM_READ: return base + over(r, READ_WRITE + 1, size);
    case SCRATCH_CROSSES_END: return base + over(r, FILE_END, size);
    case SCRATCH_READ_ONLY: return base + within(r, random_chance(r, 50) ? 9 : 11, size);
    case SCRATCH_NOWHERE: return base + within(r, random_chance(r, 50) ? 7 : 15, size);
    case SCRATCH_GUARD: return base + within(r, random_chance(r, 50) ? 4 : 10, size);
    case SCRATCH_BEYOND: return base + within(r, FILE_END, size);
    default: return random_bits(r) >> 17 | UINT64_C(1) << (48 + random_below(r, 15));
    }
}

uint64_t scratch_data(enum scratch_layout layout, size_t *size)
{
    *size = (PAGES - DATA_PAGE) * SCRATCH_PAGE;
    return BASE[layout] + DATA_PAGE * SCRATCH_PAGE;
}

uint64_t scratch_code(enum scratch_layout layout, unsigned *pages)
{
    *pages = CODE_PAGES;
    return BASE[layout] + CODE_PAGE * SCRATCH_PAGE;
}

/* The layout an address belongs to, and how far in it is; SCRATCH_LAYOUTS: none. */
static int layout_of(uint64_t address, uint64_t *place)
{
    int layout = 0;

    while (layout < SCRATCH_LAYOUTS && address - BASE[layout] >= PAGES * SCRATCH_PAGE)
        layout++;
    *place = layout < SCRATCH_LAYOUTS ? address - BASE[layout] : 0;
    return layout;
}

uint8_t *scratch_writable(uint64_t address)
{
    uint64_t place;
    int layout = layout_of(address, &place);

    if (layout == SCRATCH_LAYOUTS)
        return NULL;
    switch (PAGE_KIND[place / SCRATCH_PAGE]) {
    case CODE:
    case WRITABLE:
    case READ_ONLY: return alias[layout] + place;
    default: return NULL;
    }
}

bool scratch_executable(uint64_t address)
{
    uint64_t place;

    return layout_of(address, &place) < SCRATCH_LAYOUTS && PAGE_KIND[place / SCRATCH_PAGE] == CODE;
}

static void put_bytes(uint64_t address, const uint8_t *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        uint8_t *to = scratch_writable(address + i);
        uint64_t place;

        if (to == NULL || layout_of(address + i, &place) != (int)current)
            continue;
        *to = bytes != NULL ? bytes[i] : pristine[place];
        for (int k = 0; k < KEPT_PAGES; k++)
            if (KEPT[k] == place / SCRATCH_PAGE)
                initial[k * SCRATCH_PAGE + place % SCRATCH_PAGE] = *to;
    }
}

void scratch_begin(enum scratch_layout layout)
{
    while (put_count > 0) {
        put_count--;
        put_bytes(undo[put_count].address, NULL, undo[put_count].size);
    }
    current = layout;
}

void scratch_put(uint64_t address, const void *bytes, size_t size)
{
    if (put_count == PUTS)
        bug("more than %d places with contents in a case", PUTS);
    undo[put_count].address = address;
    undo[put_count].size = size;
    put_count++;
    put_bytes(address, bytes, size);
}

void scratch_reset(void)
{
    for (int i = 0; i < KEPT_PAGES; i++)
        memcpy(alias[current] + KEPT[i] * SCRATCH_PAGE, initial + i * SCRATCH_PAGE, SCRATCH_PAGE);
}

void scratch_keep(uint8_t *copy)
{
    for (int i = 0; i < KEPT_PAGES; i++)
        memcpy(copy + i * SCRATCH_PAGE, alias[current] + KEPT[i] * SCRATCH_PAGE, SCRATCH_PAGE);
}

size_t scratch_kept(void)
{
    return sizeof initial;
}

const uint8_t *scratch_initial(void)
{
    return initial;
}

uint64_t scratch_kept_address(size_t place)
{
    return BASE[current] + KEPT[place / SCRATCH_PAGE] * SCRATCH_PAGE + place % SCRATCH_PAGE;
}

uint64_t scratch_page_address(enum scratch_layout layout, unsigned page)
{
    return BASE[layout] + (uint64_t)page * SCRATCH_PAGE;
}

unsigned scratch_page_rights(unsigned page)
{
    switch (PAGE_KIND[page]) {
    case CODE: return SCRATCH_READ | SCRATCH_EXECUTE;
    case WRITABLE: return SCRATCH_READ | SCRATCH_WRITE;
    case READ_ONLY: return SCRATCH_READ;
    default: return 0;
    }
}

uint8_t *scratch_page_bytes(enum scratch_layout layout, unsigned page)
{
    return scratch_page_rights(page) ? alias[layout] + (size_t)page * SCRATCH_PAGE : NULL;
}
