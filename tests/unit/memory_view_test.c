/* SPDX-License-Identifier: MIT
 *
 * Views: random trees against a resolver that looks at one byte, and searches on other threads
 * while the tree changes. */
#include <malloc.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "memory/memory.h"

static const struct mem_ops no_registers;

static bool is_long(void)
{
    const char *length = getenv("VITRINE_CHECK");
    return length && !strcmp(length, "long");
}

/* --- random trees --- */

static uint64_t random_state;

static uint64_t random_word(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state * UINT64_C(2685821657736338717);
}

static unsigned below(unsigned bound)
{
    return (unsigned)((random_word() >> 32) % bound);
}

enum { REGIONS = 24, SMALL = 256 };

/* What the test knows of each region by itself. Containers and targets have lower numbers. */
static struct model {
    enum mem_kind kind;
    uint64_t size; /* UINT64_MAX: 2^64 */
    unsigned container, target;
    bool added, enabled, readonly;
    uint64_t address, target_offset;
    int priority;
    unsigned added_as;
} model[REGIONS];

static struct mem_region region[REGIONS];
static char names[REGIONS][8];
static unsigned additions, pieces_seen;

/* In a small world every byte can be looked at; in a large one positions are near its ends too. */
static bool is_small;

static uint64_t random_position(void)
{
    if (is_small)
        return below(SMALL);
    switch (below(4)) {
    case 0: return below(SMALL);
    case 1: return UINT64_MAX - below(SMALL);
    case 2: return (UINT64_C(1) << 63) + below(SMALL) - SMALL / 2;
    default: return random_word();
    }
}

static uint64_t random_size(void)
{
    if (is_small)
        return 1 + below(SMALL / 2);
    switch (below(4)) {
    case 0: return UINT64_MAX;
    case 1: return 1 + below(SMALL);
    default: return 1 + random_word() / 2;
    }
}

/* An alias must not lead to where it lies: then the byte is looked for in circles. */
static bool reaches(unsigned from, unsigned to)
{
    if (from == to)
        return true;
    if (model[from].kind == MEM_ALIAS)
        return reaches(model[from].target, to);
    for (unsigned i = 1; i < REGIONS; i++) {
        if (model[i].added && model[i].container == from && reaches(i, to))
            return true;
    }
    return false;
}

static void add(unsigned i)
{
    struct model *m = &model[i];

    m->container = below(i);
    if (model[m->container].kind == MEM_ALIAS || reaches(i, m->container))
        return;
    m->address = random_position();
    m->priority = (int)below(5) - 2;
    m->added = true;
    m->added_as = ++additions;
    mem_add(&region[m->container], &region[i], m->address, m->priority);
}

static void make(unsigned i)
{
    struct model *m = &model[i];
    const unsigned kind = below(5);
    struct error err;

    snprintf(names[i], sizeof names[i], "r%u", i);
    *m = (struct model){.size = random_size(), .enabled = true};
    if (i == 0) {
        m->kind = MEM_CONTAINER;
        m->size = is_small ? SMALL : UINT64_MAX;
    } else if (kind == 0) {
        m->kind = MEM_CONTAINER;
    } else if (kind == 1) {
        m->kind = MEM_IO;
    } else if (kind == 2) {
        m->kind = MEM_RAM;
        m->size = 1 + below(SMALL);
    } else {
        m->kind = MEM_ALIAS;
        m->target = below(i);
        m->target_offset = random_position();
    }
    switch (m->kind) {
    case MEM_CONTAINER: mem_init_container(&region[i], names[i], m->size); break;
    case MEM_IO: mem_init_io(&region[i], names[i], m->size, &no_registers, NULL); break;
    case MEM_RAM: assert_true(mem_init_ram(&region[i], names[i], m->size, &err)); break;
    default:
        mem_init_alias(&region[i], names[i], &region[m->target], m->target_offset, m->size);
        break;
    }
    if (i > 0)
        add(i);
}

static void change(unsigned i)
{
    struct model *m = &model[i];

    switch (below(5)) {
    case 0:
        m->added = false;
        mem_remove(&region[i]);
        add(i);
        break;
    case 1:
        m->enabled = !m->enabled;
        mem_enable(&region[i], m->enabled);
        break;
    case 2:
        m->readonly = !m->readonly;
        mem_set_readonly(&region[i], m->readonly);
        break;
    case 3:
        if (m->added) {
            m->address = random_position();
            mem_move(&region[i], m->address);
        }
        break;
    default:
        m->target_offset = random_position();
        mem_set_alias_offset(&region[i], m->target_offset);
        break;
    }
}

struct answer {
    int region; /* -1: none */
    uint64_t offset;
    bool readonly;
};

/* One byte, `at` bytes behind the region's beginning. */
static struct answer resolve(unsigned i, __int128 at)
{
    const struct model *m = &model[i];
    const __int128 size = m->size == UINT64_MAX ? (__int128)1 << 64 : m->size;
    struct answer best = {.region = -1};
    unsigned best_child = 0;

    if (!m->enabled || at < 0 || at >= size)
        return best;
    if (m->kind == MEM_ALIAS) {
        best = resolve(m->target, at + m->target_offset);
        best.readonly |= m->readonly;
        return best;
    }
    for (unsigned c = 1; c < REGIONS; c++) {
        const struct model *child = &model[c];
        if (!child->added || child->container != i)
            continue;
        const struct answer answer = resolve(c, at - child->address);
        if (answer.region < 0)
            continue;
        if (best.region < 0 || child->priority > model[best_child].priority ||
            (child->priority == model[best_child].priority &&
             child->added_as > model[best_child].added_as)) {
            best = answer;
            best_child = c;
        }
    }
    if (best.region < 0 && m->kind != MEM_CONTAINER)
        best = (struct answer){(int)i, (uint64_t)at, false};
    best.readonly |= m->readonly;
    return best;
}

static void compare(struct mem_space *space, uint64_t address)
{
    const struct answer wanted = resolve(0, address);
    struct mem_range range;
    const bool found = mem_find(space, address, &range);

    assert_int_equal(found, wanted.region >= 0);
    assert_true(range.size == 0 || address - range.start < range.size);
    if (!found)
        return;
    pieces_seen++;
    assert_ptr_equal(range.region, &region[wanted.region]);
    assert_int_equal(range.offset + (address - range.start), wanted.offset);
    if (range.region->kind == MEM_RAM)
        assert_int_equal(range.readonly, wanted.readonly);
}

/* Every byte of a small world; of a large one the ends of all pieces, and what lies beside them. */
static void compare_all(struct mem_space *space)
{
    struct mem_range range;
    uint64_t at = 0;

    do {
        mem_find(space, at, &range);
        compare(space, range.start - 1);
        compare(space, range.start);
        compare(space, range.start + 1);
        compare(space, range.start + range.size - 1);
        assert_int_equal(range.start, at);
        at = range.start + range.size;
    } while (at);
    for (unsigned i = 0; i < (is_small ? SMALL + 8 : 16); i++)
        compare(space, is_small ? i : random_position());
}

static void one_tree(void)
{
    memset(model, 0, sizeof model);
    for (unsigned i = 0; i < REGIONS; i++)
        make(i);
    struct mem_space *space = mem_space_new("memory", &region[0]);
    compare_all(space);
    for (unsigned step = 0; step < 30; step++) {
        change(1 + below(REGIONS - 1));
        compare_all(space);
    }
    mem_begin(&region[0]);
    for (unsigned step = 0; step < 10; step++)
        change(1 + below(REGIONS - 1));
    mem_commit(&region[0]);
    compare_all(space);
    for (unsigned i = 0; i < REGIONS; i++)
        mem_free(&region[i]);
    mem_space_free(space);
}

static void agrees_with_a_look_at_each_byte(void **state)
{
    (void)state;
    const unsigned trees = is_long() ? 5000 : 500;

    for (unsigned tree = 0; tree < trees; tree++) {
        random_state = 0x9e3779b97f4a7c15 + tree;
        is_small = tree & 1;
        one_tree();
    }
    assert_true(pieces_seen > 1000 * trees); /* the trees were not empty */
}

/* --- threads --- */

enum { SLOT = 0x1000, SLOTS = 64, READERS = 3, BASE = 0x100000 };

struct field {
    struct mem_region root, ram[2], io[SLOTS];
    struct mem_space *space;
    bool stop;
    uint64_t reads, wrong;
};

/* RAM 0 lies at BASE or a slot behind it, RAM 1 at the other; each word says in which it is, and
 * where. Below them lie more and fewer registers, so that no piece keeps its number. */
static uint64_t word_of(unsigned number, uint64_t offset)
{
    return (uint64_t)(number + 1) << 32 | offset;
}

static bool is_right(struct field *field, uint64_t address)
{
    struct mem_range range;
    uint64_t value;

    if (!mem_find(field->space, address, &range))
        return false;
    if (range.offset != 0 || range.start % SLOT || range.size != SLOT ||
        (range.region != &field->ram[0] && range.region != &field->ram[1]))
        return false;
    return mem_load(field->space, 0, address, &value, 8) == MEM_OK &&
           (value == word_of(0, address % SLOT) || value == word_of(1, address % SLOT));
}

static void *read_on(void *opaque)
{
    struct field *field = opaque;
    uint64_t reads = 0, wrong = 0;

    for (; !__atomic_load_n(&field->stop, __ATOMIC_RELAXED); reads++)
        wrong += !is_right(field, BASE + reads * 8 % (2 * SLOT));
    __atomic_fetch_add(&field->reads, reads, __ATOMIC_RELAXED);
    __atomic_fetch_add(&field->wrong, wrong, __ATOMIC_RELAXED);
    return NULL;
}

static void field_init(struct field *field)
{
    struct error err;

    memset(field, 0, sizeof *field);
    mem_init_container(&field->root, "root", UINT64_MAX);
    for (unsigned i = 0; i < 2; i++) {
        assert_true(mem_init_ram(&field->ram[i], i ? "one" : "zero", SLOT, &err));
        for (uint64_t offset = 0; offset < SLOT; offset += 8) {
            const uint64_t word = word_of(i, offset);
            memcpy(mem_host(&field->ram[i]) + offset, &word, 8);
        }
        mem_add(&field->root, &field->ram[i], BASE + i * SLOT, 0);
    }
    for (unsigned i = 0; i < SLOTS; i++) {
        mem_init_io(&field->io[i], "io", 0x10, &no_registers, NULL);
        mem_add(&field->root, &field->io[i], i * SLOT, 0);
    }
    field->space = mem_space_new("memory", &field->root);
}

static void field_free(struct field *field)
{
    mem_space_free(field->space);
    for (unsigned i = 0; i < SLOTS; i++)
        mem_free(&field->io[i]);
    for (unsigned i = 0; i < 2; i++)
        mem_free(&field->ram[i]);
    mem_free(&field->root);
}

/* The two change places, and all that lies before them moves up or down. */
static void shake(struct field *field, unsigned step)
{
    mem_begin(&field->root);
    mem_move(&field->ram[0], BASE + (step & 1 ? SLOT : 0));
    mem_move(&field->ram[1], BASE + (step & 1 ? 0 : SLOT));
    for (unsigned i = 0; i < SLOTS; i++)
        mem_enable(&field->io[i], step * 23 % SLOTS > i);
    mem_commit(&field->root);
}

static void readers_see_whole_pictures(void **state)
{
    (void)state;
    struct field field;
    pthread_t thread[READERS];
    const unsigned steps = is_long() ? 1000000 : 60000;

    field_init(&field);
    for (unsigned i = 0; i < READERS; i++)
        assert_int_equal(pthread_create(&thread[i], NULL, read_on, &field), 0);
    for (unsigned step = 0; step < steps; step++)
        shake(&field, step);
    __atomic_store_n(&field.stop, true, __ATOMIC_RELAXED);
    for (unsigned i = 0; i < READERS; i++)
        pthread_join(thread[i], NULL);
    assert_true(field.reads > 0);
    assert_int_equal(field.wrong, 0);
    field_free(&field);
}

/* A guest that moves things around for ever gets no more memory for it. (Where a sanitizer has its
 * own allocator both figures are 0.) */
static void changes_take_no_memory(void **state)
{
    (void)state;
    struct field field;
    size_t before = 0;

    field_init(&field);
    for (unsigned step = 0; step < 100 * SLOTS; step++) {
        shake(&field, step);
        if (step == SLOTS)
            before = mallinfo2().uordblks;
    }
    assert_true(mallinfo2().uordblks <= before + 1024);
    field_free(&field);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(agrees_with_a_look_at_each_byte),
        cmocka_unit_test(readers_see_whole_pictures),
        cmocka_unit_test(changes_take_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
