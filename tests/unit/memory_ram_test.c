/* SPDX-License-Identifier: MIT
 *
 * Pages of RAM: allocated when touched, marks, code that dies, what a screen must draw again; and
 * that threads see whole values and miss no mark. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/strbuf.h"
#include "log_capture.h"
#include "memory/memory.h"
#include "trace/probe/control.h"

enum { PAGE = 4096, PAGES = 16 };

/* --- a machine of one RAM, and an engine that writes down what it is told --- */

struct told {
    struct strbuf text;
    const struct mem_region *ram;
    uint64_t word; /* what the first told byte's word holds when it is told */
};

static void tell(struct told *told, const char *what, uint64_t offset, uint64_t size)
{
    strbuf_printf(&told->text, "%s%s %lx+%lx", told->text.len ? ", " : "", what,
                  (unsigned long)offset, (unsigned long)size);
}

static void written(void *opaque, const struct mem_region *region, uint64_t offset, uint64_t size)
{
    struct told *told = opaque;

    assert_ptr_equal(region, told->ram);
    memcpy(&told->word, mem_host(region) + offset, size < 8 ? size : 8);
    tell(told, "written", offset, size);
}

static void watched(void *opaque, const struct mem_region *region, uint64_t offset, uint64_t size)
{
    assert_ptr_equal(region, ((struct told *)opaque)->ram);
    assert_true(mem_marks(region, offset) & MEM_MARK_WATCH_VGA);
    tell(opaque, "watched", offset, size);
}

struct world {
    struct mem_region root, ram;
    struct mem_space *space;
    struct told told;
    struct mem_code_listener listener;
};

static struct world *world_new(void)
{
    struct world *world = calloc(1, sizeof *world);
    struct error err;

    assert_non_null(world);
    mem_init_container(&world->root, "root", UINT64_MAX);
    assert_true(mem_init_ram(&world->ram, "ram", PAGES * PAGE, &err));
    mem_add(&world->root, &world->ram, 0x100000, 0);
    world->space = mem_space_new("memory", &world->root);
    strbuf_init(&world->told.text);
    world->told.ram = &world->ram;
    world->listener = (struct mem_code_listener){&world->told, written, watched};
    mem_on_code(&world->ram, &world->listener);
    return world;
}

static void world_free(struct world *world)
{
    mem_space_free(world->space);
    mem_free(&world->ram);
    mem_free(&world->root);
    strbuf_free(&world->told.text);
    free(world);
}

static void assert_told(struct world *world, const char *wanted)
{
    assert_string_equal(world->told.text.data, wanted);
    strbuf_clear(&world->told.text);
}

static void store(struct world *world, uint64_t offset, uint64_t value, unsigned size)
{
    assert_int_equal(mem_store(world->space, MEM_BY_DEVICE, 0x100000 + offset, value, size),
                     MEM_OK);
}

/* --- allocation --- */

static long resident_kib(void)
{
    FILE *file = fopen("/proc/self/statm", "r");
    long size, resident;

    assert_non_null(file);
    assert_int_equal(fscanf(file, "%ld %ld", &size, &resident), 2);
    fclose(file);
    return resident * 4;
}

static void costs_nothing_until_touched(void **state)
{
    (void)state;
    const uint64_t size = UINT64_C(64) << 30;
    struct mem_region ram;
    struct error err;
    const long before = resident_kib();

    assert_true(mem_init_ram(&ram, "pc.ram", size, &err));
    mem_host(&ram)[size - 1] = 1;
    mem_host(&ram)[size / 2] = 1;
    mem_mark(&ram, size - 1, MEM_MARK_CODE, true);
    assert_int_equal(mem_marks(&ram, size - PAGE), MEM_MARK_CODE);
    assert_int_equal(mem_host(&ram)[size / 3], 0);
    assert_true(resident_kib() - before < 32 << 10);
    assert_int_equal((uintptr_t)mem_host(&ram) % PAGE, 0);
    mem_free(&ram);
}

/* --- code --- */

static void marks_belong_to_pages(void **state)
{
    (void)state;
    struct world *world = world_new();
    struct mem_region container;

    mem_mark(&world->ram, 3 * PAGE + 5, MEM_MARK_CODE, true);
    mem_mark(&world->ram, 4 * PAGE - 1, MEM_MARK_WATCH_VGA, true);
    assert_int_equal(mem_marks(&world->ram, 3 * PAGE), MEM_MARK_CODE | MEM_MARK_WATCH_VGA);
    assert_int_equal(mem_marks(&world->ram, 3 * PAGE - 1), 0);
    assert_int_equal(mem_marks(&world->ram, 4 * PAGE), 0);
    mem_mark(&world->ram, 3 * PAGE, MEM_MARK_CODE, false);
    assert_int_equal(mem_marks(&world->ram, 3 * PAGE), MEM_MARK_WATCH_VGA);
    /* What is no page of RAM has none. */
    mem_mark(&world->ram, PAGES * PAGE, MEM_MARK_CODE, true);
    assert_int_equal(mem_marks(&world->ram, PAGES * PAGE), 0);
    mem_init_container(&container, "container", 0x1000);
    mem_mark(&container, 0, MEM_MARK_CODE, true);
    assert_int_equal(mem_marks(&container, 0), 0);
    mem_free(&container);
    world_free(world);
}

static void tells_of_stores_to_code(void **state)
{
    (void)state;
    struct world *world = world_new();
    static const uint8_t zeros[4 * PAGE];

    store(world, 0x1000, 1, 8);
    assert_told(world, "");
    mem_mark(&world->ram, 1 * PAGE, MEM_MARK_CODE, true);
    mem_mark(&world->ram, 3 * PAGE, MEM_MARK_CODE, true);
    store(world, 0x1008, 0x1122334455667788, 8);
    assert_told(world, "written 1008+8");
    assert_int_equal(world->told.word, 0x1122334455667788); /* the new bytes */
    store(world, 0xffe, 0, 4);
    assert_told(world, "written 1000+2");
    store(world, 0x1ffe, 0, 8);
    assert_told(world, "written 1ffe+2");
    mem_write(world->space, 0, 0x100800, zeros, sizeof zeros);
    assert_told(world, "written 1000+1000, written 3000+1000");
    mem_written(&world->ram, 0x1234, 1);
    assert_told(world, "written 1234+1");
    mem_written(&world->ram, 0x3ff0, UINT64_MAX); /* as far as there is RAM */
    assert_told(world, "written 3ff0+10");
    mem_written(&world->ram, 0x3ff0, 0);
    mem_written(&world->ram, UINT64_MAX, UINT64_MAX);
    mem_written(&world->root, 0, 8);
    mem_mark(&world->ram, 1 * PAGE, MEM_MARK_CODE, false);
    store(world, 0x1000, 1, 8);
    assert_told(world, "");
    mem_set_readonly(&world->ram, true); /* nothing is written, nobody is told */
    store(world, 0x3000, 1, 8);
    assert_told(world, "");
    mem_set_readonly(&world->ram, false);
    mem_on_code(&world->ram, NULL);
    store(world, 0x3000, 1, 8);
    assert_told(world, "");
    world_free(world);
}

/* --- screens --- */

static void knows_what_to_draw_again(void **state)
{
    (void)state;
    struct world *world = world_new();
    struct mem_region *ram = &world->ram;

    store(world, 0, 1, 8);
    assert_false(mem_dirty_take(ram, 0, PAGES * PAGE)); /* nobody watches */
    mem_dirty_start(ram);
    assert_int_equal(mem_marks(ram, 0), 0);
    assert_true(mem_dirty_take(ram, 2 * PAGE + 1, 2 * PAGE)); /* three pages */
    assert_told(world, "watched 2000+3000");
    assert_false(mem_dirty_take(ram, 2 * PAGE, 3 * PAGE));
    assert_told(world, "");
    assert_true(mem_dirty_take(ram, 0, PAGES * PAGE));
    assert_told(world, "watched 0+10000");
    assert_int_equal(mem_marks(ram, 2 * PAGE), MEM_MARK_WATCH_VGA);

    store(world, 5 * PAGE - 2, 0, 4); /* two pages, by a device */
    mem_written(ram, 9 * PAGE, 1);    /* by the owner */
    assert_int_equal(mem_marks(ram, 4 * PAGE), 0);
    assert_false(mem_dirty_take(ram, 0, 4 * PAGE));
    assert_true(mem_dirty_take(ram, 4 * PAGE, 1));
    assert_true(mem_dirty_take(ram, 5 * PAGE, 1));
    assert_false(mem_dirty_take(ram, 5 * PAGE, 2 * PAGE));
    assert_told(world, "watched 4000+1000, watched 5000+1000");
    assert_true(mem_dirty_take(ram, 0, UINT64_MAX));
    assert_told(world, "watched 9000+1000");

    mem_mark(ram, 7 * PAGE, MEM_MARK_CODE, true); /* both, and neither loses the other */
    store(world, 7 * PAGE, 0, 1);
    assert_told(world, "written 7000+1");
    assert_int_equal(mem_marks(ram, 7 * PAGE), MEM_MARK_CODE);
    mem_dirty_start(ram); /* again: nothing becomes dirty that is watched */
    assert_false(mem_dirty_take(ram, 0, 7 * PAGE));
    assert_true(mem_dirty_take(ram, 7 * PAGE, 1));
    assert_int_equal(mem_marks(ram, 7 * PAGE), MEM_MARK_CODE | MEM_MARK_WATCH_VGA);
    assert_false(mem_dirty_take(&world->root, 0, UINT64_MAX));
    world_free(world);
}

static void translated_stores_fire_probes(void **state)
{
    (void)state;
    struct world *world = world_new();
    struct error err;

    mem_dirty_start(&world->ram);
    assert_true(mem_dirty_take(&world->ram, 0, UINT64_MAX));
    assert_true(trace_control_set("memory_notdirty_*", true, &err));
    capture_begin();
    mem_dirty_set(&world->ram, 2 * PAGE - 4, 8, 0x7ffffc);
    mem_dirty_set(&world->ram, PAGE, 8, 0x7ff000);
    char *text = capture_end();
    assert_string_equal(text, "memory_notdirty_write_access 0x7ffffc ram_addr 0x1ffc size 8\n"
                              "memory_notdirty_set_dirty 0x7ffffc\n"
                              "memory_notdirty_set_dirty 0x800000\n"
                              "memory_notdirty_write_access 0x7ff000 ram_addr 0x1000 size 8\n");
    free(text);
    assert_true(trace_control_set("memory_notdirty_*", false, &err));
    assert_true(mem_dirty_take(&world->ram, PAGE, 1));
    assert_true(mem_dirty_take(&world->ram, 2 * PAGE, 1));
    assert_false(mem_dirty_take(&world->ram, 0, UINT64_MAX));
    world_free(world);
}

/* --- threads --- */

enum { ROUNDS = 100000 };

static const uint64_t halves[] = {0, UINT64_MAX};

static void *write_halves(void *opaque)
{
    struct world *world = opaque;

    for (unsigned i = 0; i < ROUNDS; i++) {
        mem_store(world->space, 0, 0x100040, halves[i & 1], 8);
        mem_write(world->space, MEM_BY_DEVICE, 0x100048, &halves[i & 1], 8);
    }
    return NULL;
}

static void values_are_never_torn(void **state)
{
    (void)state;
    struct world *world = world_new();
    pthread_t thread;
    uint64_t value;

    assert_int_equal(pthread_create(&thread, NULL, write_halves, world), 0);
    for (unsigned i = 0; i < ROUNDS; i++) {
        mem_load(world->space, 0, 0x100048, &value, 8);
        assert_true(value == 0 || value == UINT64_MAX);
        mem_read(world->space, 0, 0x100040, &value, 8);
        assert_true(value == 0 || value == UINT64_MAX);
    }
    pthread_join(thread, NULL);
    world_free(world);
}

/* A device stores, and looks at the mark; a translator marks, and reads the bytes; page by page. On
 * no page may both have missed the other: old bytes read, and not told. The translator follows the
 * device, a few pages ahead of what it sees of it, so that they meet. */
enum { RACES = 20000, PASSES = 12, AHEAD = 64 };

struct race {
    struct mem_region root, ram;
    struct mem_space *space;
    uint8_t told[RACES], seen[RACES];
    bool go;
};

static void race_written(void *opaque, const struct mem_region *region, uint64_t offset,
                         uint64_t size)
{
    struct race *race = opaque;
    (void)region, (void)size;
    race->told[offset / PAGE] = 1;
}

static void *store_everywhere(void *opaque)
{
    struct race *race = opaque;

    while (!__atomic_load_n(&race->go, __ATOMIC_ACQUIRE))
        continue;
    for (uint64_t i = 0; i < RACES; i++)
        mem_store(race->space, MEM_BY_DEVICE, i * PAGE, 1, 4);
    return NULL;
}

static void translate_everywhere(struct race *race)
{
    uint64_t value;

    for (uint64_t i = 0; i < RACES; i++) {
        const uint64_t behind = 1 + i % AHEAD * 4;
        do {
            value = 1;
            if (i >= behind)
                mem_load(race->space, 0, (i - behind) * PAGE, &value, 4);
        } while (!value);
        mem_mark(&race->ram, i * PAGE, MEM_MARK_CODE, true);
        mem_load(race->space, 0, i * PAGE, &value, 4);
        race->seen[i] = value != 0;
    }
}

static unsigned count_missed(void)
{
    struct race *race = calloc(1, sizeof *race);
    struct mem_code_listener listener = {.opaque = race, .written = race_written};
    unsigned missed = 0;
    struct error err;
    pthread_t thread;

    assert_non_null(race);
    mem_init_container(&race->root, "root", UINT64_MAX);
    assert_true(mem_init_ram(&race->ram, "ram", (uint64_t)RACES * PAGE, &err));
    mem_add(&race->root, &race->ram, 0, 0);
    race->space = mem_space_new("memory", &race->root);
    mem_on_code(&race->ram, &listener);
    /* No page faults in the race; and stores that take long, since no cache has their lines. */
    memset(mem_host(&race->ram), 0, (size_t)RACES * PAGE);
    assert_int_equal(pthread_create(&thread, NULL, store_everywhere, race), 0);
    __atomic_store_n(&race->go, true, __ATOMIC_RELEASE);
    translate_everywhere(race);
    pthread_join(thread, NULL);
    for (unsigned i = 0; i < RACES; i++)
        missed += !race->seen[i] && !race->told[i];
    mem_space_free(race->space);
    mem_free(&race->ram);
    mem_free(&race->root);
    free(race);
    return missed;
}

static void no_store_misses_a_mark(void **state)
{
    (void)state;
    const char *length = getenv("VITRINE_CHECK");
    const unsigned passes = length && !strcmp(length, "long") ? 20 * PASSES : PASSES;

    for (unsigned pass = 0; pass < passes; pass++)
        assert_int_equal(count_missed(), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(costs_nothing_until_touched),   cmocka_unit_test(marks_belong_to_pages),
        cmocka_unit_test(tells_of_stores_to_code),       cmocka_unit_test(knows_what_to_draw_again),
        cmocka_unit_test(translated_stores_fire_probes), cmocka_unit_test(values_are_never_torn),
        cmocka_unit_test(no_store_misses_a_mark),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
