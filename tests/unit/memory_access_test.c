/* SPDX-License-Identifier: MIT
 *
 * Reads and writes: sizes and alignment as each device wants them, what crosses regions, what is
 * not there, ROM, ports, and what probes and -d say of it. */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/logitems.h"
#include "base/strbuf.h"
#include "log_capture.h"
#include "memory/memory.h"
#include "trace/probe/control.h"

/* --- a device that remembers how it was called --- */

struct device {
    struct strbuf calls;   /* "r4@0 w2@6=1234" */
    struct mem_space *dma; /* a read makes it access `dma_address` there */
    uint64_t dma_address;
    enum mem_result dma_result;
};

/* Each byte of the registers is its offset, beginning with 0x10. */
static uint64_t pattern(uint64_t offset, unsigned size)
{
    uint64_t value = 0;

    for (unsigned i = 0; i < size; i++)
        value |= (uint64_t)(uint8_t)(offset + i + 0x10) << (8 * i);
    return value;
}

static uint64_t device_read(void *opaque, uint64_t offset, unsigned size)
{
    struct device *device = opaque;
    uint64_t value;

    strbuf_printf(&device->calls, "%sr%u@%" PRIx64, device->calls.len ? " " : "", size, offset);
    if (device->dma)
        device->dma_result = mem_load(device->dma, MEM_BY_DEVICE, device->dma_address, &value, 1);
    /* What is beyond the size must be of no interest. */
    return pattern(offset, size) | (size < 8 ? UINT64_MAX << (8 * size) : 0);
}

static void device_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    struct device *device = opaque;

    strbuf_printf(&device->calls, "%sw%u@%" PRIx64 "=%" PRIx64, device->calls.len ? " " : "", size,
                  offset, value);
}

static void assert_calls(struct device *device, const char *wanted)
{
    assert_string_equal(device->calls.data, wanted);
    strbuf_clear(&device->calls);
}

/* A space with RAM, ROM and two devices:
 *
 *      0-fff ram    1000-10ff device    1100-11ff other device    2000-2fff rom    ...-2^64-1 top
 */
struct world {
    struct mem_region root, ram, rom, top, io[2];
    struct mem_space *space;
    struct mem_ops ops;
    struct device device[2];
};

static const struct mem_field fields[] = {{"ENABLE", 0, 1}, {"MODE", 4, 4}, {.name = NULL}};
static const struct mem_register registers[] = {
    {0x00, 4, MEM_RW, "CONTROL", fields},
    {0x04, 4, MEM_R, "STATUS", NULL},
    {0x08, 1, MEM_W, "COMMAND", NULL},
    {0x2c, 4, MEM_R, "ANSWER", NULL}, /* one for reads, one for writes */
    {0x2c, 4, MEM_W, "QUESTION", NULL},
    {.name = NULL},
};

static struct world *world_new(const struct mem_ops *ops)
{
    struct world *world = calloc(1, sizeof *world);
    struct error err;

    assert_non_null(world);
    world->ops = *ops;
    world->ops.read = device_read;
    world->ops.write = device_write;
    mem_init_container(&world->root, "root", UINT64_MAX);
    assert_true(mem_init_ram(&world->ram, "ram", 0x1000, &err));
    assert_true(mem_init_ram(&world->top, "top", 0x1000, &err));
    assert_true(mem_init_rom(&world->rom, "rom", 0x1000, &err));
    for (unsigned i = 0; i < 0x1000; i++)
        mem_host(&world->ram)[i] = mem_host(&world->rom)[i] = (uint8_t)(i * 7);
    for (unsigned i = 0; i < 2; i++) {
        strbuf_init(&world->device[i].calls);
        mem_init_io(&world->io[i], i ? "other" : "device", 0x100, &world->ops, &world->device[i]);
        mem_add(&world->root, &world->io[i], 0x1000 + 0x100 * i, 0);
    }
    mem_add(&world->root, &world->ram, 0, 0);
    mem_add(&world->root, &world->rom, 0x2000, 0);
    mem_add(&world->root, &world->top, -UINT64_C(0x1000), 0);
    world->space = mem_space_new("memory", &world->root);
    return world;
}

static void world_free(struct world *world)
{
    mem_space_free(world->space);
    for (unsigned i = 0; i < 2; i++) {
        strbuf_free(&world->device[i].calls);
        mem_free(&world->io[i]);
    }
    mem_free(&world->ram);
    mem_free(&world->rom);
    mem_free(&world->top);
    mem_free(&world->root);
    free(world);
}

static const struct mem_ops any = {.valid_unaligned = true, .impl_unaligned = true};

/* --- sizes --- */

/* valid, impl, unaligned valid and impl; the access; what the handler sees of a read and of a write
 * of 8877665544332211; NULL: refused. */
static const struct row {
    uint8_t valid_min, valid_max, impl_min, impl_max;
    bool valid_unaligned, impl_unaligned;
    uint8_t offset, size;
    const char *reads, *writes;
} rows[] = {
    /* as it comes */
    {0, 0, 0, 0, false, false, 0, 1, "r1@0", "w1@0=11"},
    {0, 0, 0, 0, false, false, 8, 8, "r8@8", "w8@8=8877665544332211"},
    {1, 4, 0, 0, false, false, 4, 4, "r4@4", "w4@4=44332211"},
    {4, 4, 4, 4, false, false, 4, 4, "r4@4", "w4@4=44332211"},
    /* refused */
    {1, 4, 0, 0, false, false, 0, 8, NULL, NULL},
    {4, 8, 0, 0, false, false, 0, 2, NULL, NULL},
    {4, 8, 0, 0, false, false, 4, 1, NULL, NULL},
    {1, 4, 1, 1, false, false, 1, 2, NULL, NULL},
    {0, 0, 0, 0, false, true, 4, 8, NULL, NULL},
    {0, 0, 0, 0, false, false, 2, 4, NULL, NULL},
    /* split */
    {1, 4, 1, 1, false, false, 4, 4, "r1@4 r1@5 r1@6 r1@7", "w1@4=11 w1@5=22 w1@6=33 w1@7=44"},
    {1, 8, 1, 4, false, false, 8, 8, "r4@8 r4@c", "w4@8=44332211 w4@c=88776655"},
    {1, 4, 2, 2, false, false, 4, 4, "r2@4 r2@6", "w2@4=2211 w2@6=4433"},
    /* widened */
    {1, 4, 4, 4, false, false, 4, 2, "r4@4", "w4@4=2211"},
    {1, 4, 4, 4, false, false, 6, 2, "r4@4", "w4@4=22110000"},
    {1, 4, 4, 4, false, false, 7, 1, "r4@4", "w4@4=11000000"},
    {1, 8, 8, 8, false, false, 4, 4, "r8@0", "w8@0=4433221100000000"},
    /* unaligned: split where the device does not take it, widened where it takes no less */
    {1, 4, 1, 4, true, false, 1, 4, "r1@1 r2@2 r1@4", "w1@1=11 w2@2=3322 w1@4=44"},
    {1, 4, 1, 4, true, true, 1, 4, "r4@1", "w4@1=44332211"},
    {1, 4, 4, 4, true, false, 3, 2, "r4@0 r4@4", "w4@0=11000000 w4@4=22"},
    {1, 4, 4, 4, true, false, 2, 4, "r4@0 r4@4", "w4@0=22110000 w4@4=4433"},
    {1, 8, 2, 4, true, false, 3, 8, "r2@2 r4@4 r2@8 r2@a",
     "w2@2=1100 w4@4=55443322 w2@8=7766 w2@a=88"},
    {1, 4, 2, 2, true, true, 1, 4, "r2@1 r2@3", "w2@1=2211 w2@3=4433"},
    {1, 4, 1, 1, true, false, 3, 2, "r1@3 r1@4", "w1@3=11 w1@4=22"},
};

static uint64_t mask(unsigned size)
{
    return UINT64_MAX >> (64 - 8 * size);
}

static void check_row(const struct row *row)
{
    const struct mem_ops ops = {.valid_min = row->valid_min,
                                .valid_max = row->valid_max,
                                .impl_min = row->impl_min,
                                .impl_max = row->impl_max,
                                .valid_unaligned = row->valid_unaligned,
                                .impl_unaligned = row->impl_unaligned};
    const enum mem_result result = row->reads ? MEM_OK : MEM_REFUSED;
    struct world *world = world_new(&ops);
    struct mem_range range;
    uint64_t value = 0;

    assert_int_equal(mem_load(world->space, 0, 0x1000 + row->offset, &value, row->size), result);
    assert_int_equal(value, row->reads ? pattern(row->offset, row->size) : mask(row->size));
    assert_calls(&world->device[0], row->reads ? row->reads : "");
    assert_int_equal(mem_store(world->space, 0, 0x1000 + row->offset,
                               0x8877665544332211 & mask(row->size), row->size),
                     result);
    assert_calls(&world->device[0], row->writes ? row->writes : "");

    assert_true(mem_find(world->space, 0x1000 + row->offset, &range));
    value = 0;
    assert_int_equal(mem_io_load(&range, 0, 0x1000 + row->offset, &value, row->size), result);
    assert_int_equal(value, row->reads ? pattern(row->offset, row->size) : mask(row->size));
    assert_calls(&world->device[0], row->reads ? row->reads : "");
    assert_int_equal(mem_io_store(&range, 0, 0x1000 + row->offset, 0x8877665544332211, row->size),
                     result);
    assert_calls(&world->device[0], row->writes ? row->writes : "");
    world_free(world);
}

static void fits_sizes(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        check_row(&rows[i]);
}

/* mem_read() and mem_write() choose what the device takes. */
static void copies_in_sizes_that_fit(void **state)
{
    (void)state;
    const struct mem_ops ops = {.valid_min = 1, .valid_max = 4};
    struct world *world = world_new(&ops);
    uint8_t bytes[16];

    assert_int_equal(mem_read(world->space, MEM_BY_DEVICE, 0x1001, bytes, 10), MEM_OK);
    assert_calls(&world->device[0], "r1@1 r2@2 r4@4 r2@8 r1@a");
    for (unsigned i = 0; i < 10; i++)
        assert_int_equal(bytes[i], 0x11 + i);
    assert_int_equal(mem_write(world->space, MEM_BY_DEVICE, 0x1003, bytes, 6), MEM_OK);
    assert_calls(&world->device[0], "w1@3=11 w4@4=15141312 w1@8=16");
    assert_int_equal(mem_read(world->space, MEM_BY_DEVICE, 0x1001, bytes, 0), MEM_OK);
    assert_calls(&world->device[0], "");
    world_free(world);
}

/* --- crossing --- */

static void crosses_regions(void **state)
{
    (void)state;
    struct world *world = world_new(&any);
    uint8_t bytes[0x300];
    uint64_t value;

    mem_host(&world->ram)[0xffe] = 0xaa;
    mem_host(&world->ram)[0xfff] = 0xbb;
    assert_int_equal(mem_load(world->space, 0, 0xffe, &value, 8), MEM_OK);
    assert_int_equal(value, 0x151413121110bbaa);
    assert_calls(&world->device[0], "r4@0 r2@4");
    assert_int_equal(mem_store(world->space, 0, 0x10ff, 0x44332211, 4), MEM_OK);
    assert_calls(&world->device[0], "w1@ff=11");
    assert_calls(&world->device[1], "w2@0=3322 w1@2=44");
    /* The end of the second device, and nothing behind it. */
    assert_int_equal(mem_load(world->space, 0, 0x11fe, &value, 4), MEM_UNASSIGNED);
    assert_int_equal(value, 0xffff0f0e);
    assert_calls(&world->device[1], "r2@fe");

    memset(bytes, 0, sizeof bytes);
    assert_int_equal(mem_read(world->space, 0, 0xff8, bytes, sizeof bytes), MEM_UNASSIGNED);
    assert_int_equal(bytes[6], 0xaa);
    for (unsigned i = 8; i < 0x208; i++)
        assert_int_equal(bytes[i], (uint8_t)(i - 8 + 0x10));
    for (unsigned i = 0x208; i < sizeof bytes; i++)
        assert_int_equal(bytes[i], 0xff);
    world_free(world);
}

static void goes_on_from_the_top_at_zero(void **state)
{
    (void)state;
    struct world *world = world_new(&any);
    uint8_t bytes[8] = {1, 2, 3, 4, 5, 6, 7, 8}, back[8];
    uint64_t value;

    assert_int_equal(mem_write(world->space, 0, UINT64_MAX - 2, bytes, 8), MEM_OK);
    assert_memory_equal(mem_host(&world->top) + 0xffd, bytes, 3);
    assert_memory_equal(mem_host(&world->ram), bytes + 3, 5);
    assert_int_equal(mem_read(world->space, 0, UINT64_MAX - 2, back, 8), MEM_OK);
    assert_memory_equal(back, bytes, 8);
    assert_int_equal(mem_load(world->space, 0, UINT64_MAX, &value, 8), MEM_OK);
    assert_int_equal(value & 0xffffffff, 0x06050403);
    assert_int_equal(mem_store(world->space, 0, UINT64_MAX, 0x2211, 2), MEM_OK);
    assert_int_equal(mem_host(&world->top)[0xfff], 0x11);
    assert_int_equal(mem_host(&world->ram)[0], 0x22);
    world_free(world);
}

/* --- RAM, ROM, nothing --- */

static void copies_memory(void **state)
{
    (void)state;
    struct world *world = world_new(&any);
    uint8_t *ram = mem_host(&world->ram);
    uint64_t value, wanted;

    for (unsigned size = 1; size <= 8; size *= 2) {
        for (unsigned offset = 0; offset < 9; offset++) {
            wanted = 0;
            memcpy(&wanted, ram + offset, size);
            assert_int_equal(mem_load(world->space, 0, offset, &value, size), MEM_OK);
            assert_int_equal(value, wanted);
            memset(ram, 0xcc, 32);
            assert_int_equal(mem_store(world->space, 0, offset, 0x8877665544332211, size), MEM_OK);
            wanted = 0xcccccccccccccccc;
            memcpy(&value, ram + offset + size, 8);
            assert_int_equal(value, wanted);
            value = 0;
            memcpy(&value, ram + offset, size);
            assert_int_equal(value, 0x8877665544332211 & mask(size));
        }
    }
    world_free(world);
}

static void rom_stays(void **state)
{
    (void)state;
    struct world *world = world_new(&any);
    uint8_t bytes[8] = {0};
    uint64_t value;

    assert_int_equal(mem_store(world->space, 0, 0x2008, 0, 8), MEM_OK);
    assert_int_equal(mem_write(world->space, MEM_BY_DEVICE, 0x2001, bytes, 8), MEM_OK);
    assert_int_equal(mem_load(world->space, 0, 0x2008, &value, 1), MEM_OK);
    assert_int_equal(value, 8 * 7);
    assert_int_equal(mem_read(world->space, 0, 0x2001, bytes, 1), MEM_OK);
    assert_int_equal(bytes[0], 7);
    mem_set_readonly(&world->rom, false);
    assert_int_equal(mem_store(world->space, 0, 0x2008, 0x55, 1), MEM_OK);
    assert_int_equal(mem_host(&world->rom)[8], 0x55);
    world_free(world);
}

static void nothing_reads_as_ones(void **state)
{
    (void)state;
    const struct mem_ops none = {.read = NULL};
    struct world *world = world_new(&any);
    struct mem_region mute;
    struct mem_range range;
    uint64_t value = 0;

    assert_false(mem_find(world->space, 0x3456, &range));
    assert_null(range.region);
    assert_int_equal(range.start, 0x3000);
    assert_int_equal(range.size, UINT64_MAX - 0x1000 + 1 - 0x3000);
    assert_int_equal(mem_load(world->space, 0, 0x3456, &value, 4), MEM_UNASSIGNED);
    assert_int_equal(value, 0xffffffff);
    assert_int_equal(mem_store(world->space, 0, 0x3456, 1, 4), MEM_UNASSIGNED);
    mem_init_io(&mute, "mute", 0x10, &none, NULL);
    mem_add(&world->root, &mute, 0x4000, 0);
    assert_int_equal(mem_load(world->space, 0, 0x4000, &value, 8), MEM_UNASSIGNED);
    assert_int_equal(value, UINT64_MAX);
    assert_int_equal(mem_store(world->space, 0, 0x4000, 1, 4), MEM_UNASSIGNED);
    /* A range that somebody found, and an access that does not lie in it. */
    assert_true(mem_find(world->space, 0x1080, &range));
    assert_int_equal(mem_io_load(&range, 0, 0x10fe, &value, 4), MEM_UNASSIGNED);
    assert_int_equal(value, 0xffffffff);
    assert_int_equal(mem_io_store(&range, 0, 0xfff, 1, 4), MEM_UNASSIGNED);
    assert_calls(&world->device[0], "");
    mem_free(&mute);
    world_free(world);
}

/* A device that is sent into itself by its DMA is not entered again; by way of another it is not
 * either. A CPU is let in: it is the one that waits. */
static void does_not_recurse(void **state)
{
    (void)state;
    struct world *world = world_new(&any);
    uint64_t value;

    world->device[0].dma = world->device[1].dma = world->space;
    world->device[0].dma_address = 0x1004;
    assert_int_equal(mem_load(world->space, 0, 0x1000, &value, 4), MEM_OK);
    assert_calls(&world->device[0], "r4@0");
    assert_int_equal(world->device[0].dma_result, MEM_REFUSED);
    world->device[0].dma_address = 0x1100;
    world->device[1].dma_address = 0x1000;
    assert_int_equal(mem_load(world->space, 0, 0x1000, &value, 4), MEM_OK);
    assert_calls(&world->device[0], "r4@0");
    assert_calls(&world->device[1], "r1@0");
    assert_int_equal(world->device[0].dma_result, MEM_OK);
    assert_int_equal(world->device[1].dma_result, MEM_REFUSED);
    world->device[0].dma_address = 0x10;
    assert_int_equal(mem_load(world->space, MEM_BY_DEVICE, 0x1000, &value, 4), MEM_OK);
    assert_int_equal(world->device[0].dma_result, MEM_OK);
    world_free(world);
}

/* --- what is said --- */

static void names_registers(void **state)
{
    (void)state;
    struct mem_ops ops = any;
    struct strbuf text;

    ops.registers = registers;
    struct world *world = world_new(&ops);
    const struct mem_register *reg = mem_register_at(&world->io[0], 3);
    assert_ptr_equal(reg, &registers[0]);
    assert_ptr_equal(mem_register_at(&world->io[0], 8), &registers[2]);
    assert_null(mem_register_at(&world->io[0], 9));
    assert_null(mem_register_at(&world->ram, 0));
    strbuf_init(&text);
    mem_register_print(reg, 0xb1, &text);
    assert_string_equal(text.data, "CONTROL ENABLE=1 MODE=0xb");
    strbuf_clear(&text);
    mem_register_print(&registers[1], 0xb1, &text);
    assert_string_equal(text.data, "STATUS");
    strbuf_free(&text);
    world_free(world);
}

static void messages_name_who_and_why(void **state)
{
    (void)state;
    struct mem_ops ops = {.valid_max = 4, .registers = registers};
    struct world *world = world_new(&ops);
    uint8_t bytes[0x40];
    uint64_t value;
    char *text;

    log_item_support(LOG_UNIMP);
    log_item_support(LOG_GUEST_ERRORS);
    capture_begin();
    mem_load(world->space, 0, 0x5000, &value, 4); /* nobody listens yet */
    mem_load(world->space, 0, 0x1010, &value, 4);
    log_items_set(UINT64_C(1) << LOG_GUEST_ERRORS);
    mem_load(world->space, 0, 0x5000, &value, 4);
    mem_write(world->space, 0, 0xabcdef0123, bytes, sizeof bytes);
    mem_store(world->space, 0, 0x2010, 1, 2);
    mem_load(world->space, 0, 0x1000, &value, 8);
    mem_store(world->space, 0, 0x1005, 1, 2);
    mem_store(world->space, 0, 0x1004, 1, 4);
    mem_load(world->space, 0, 0x1008, &value, 1);
    mem_load(world->space, 0, 0x102c, &value, 4);
    mem_store(world->space, 0, 0x102c, 1, 4);
    mem_store(world->space, 0, 0x102d, 1, 2);
    mem_load(world->space, 0, 0x1010, &value, 4);
    log_items_set(UINT64_C(1) << LOG_UNIMP);
    mem_load(world->space, 0, 0x5000, &value, 4);
    mem_load(world->space, 0, 0x1000, &value, 4);
    mem_store(world->space, 0, 0x1110, 1, 4);
    log_items_set(0);
    text = capture_end();
    assert_string_equal(
        text,
        "Invalid read at addr 0x5000, size 4, region 'memory', reason: nothing is there\n"
        "Invalid write at addr 0xABCDEF0123, size 64, region 'memory', reason: nothing is there\n"
        "Invalid write at addr 0x2010, size 2, region 'rom', reason: read-only\n"
        "Invalid read at addr 0x1000, size 8, region 'device:CONTROL', reason: invalid size (min:1 "
        "max:4)\n"
        "Invalid write at addr 0x1005, size 2, region 'device:STATUS', reason: unaligned\n"
        "device: write of register STATUS (offset 0x4), which can only be read\n"
        "device: read of register COMMAND (offset 0x8), which can only be written\n"
        "Invalid write at addr 0x102D, size 2, region 'device:QUESTION', reason: unaligned\n"
        "other: write of 4 bytes at offset 0x10, where no register is implemented\n");
    free(text);
    world_free(world);
}

/* What is said of regions, with the address of `region` as R. */
static char *with_region(char *text, const struct mem_region *region)
{
    char pointer[32], *at;

    snprintf(pointer, sizeof pointer, "%p", (const void *)region);
    while ((at = strstr(text, pointer))) {
        *at = 'R';
        memmove(at + 1, at + strlen(pointer), strlen(at + strlen(pointer)) + 1);
    }
    return text;
}

static void probes_fire_for_each_call(void **state)
{
    (void)state;
    struct mem_ops ops = {
        .impl_min = 4, .impl_max = 4, .valid_unaligned = true, .registers = registers};
    struct world *world = world_new(&ops);
    struct mem_region alias;
    struct error err;
    uint64_t value;

    mem_init_alias(&alias, "alias", &world->io[0], 0, 0x10);
    mem_add(&world->root, &alias, 0x7000, 0);
    assert_true(trace_control_set("memory_region_ops_*", true, &err));
    capture_begin();
    mem_load(world->space, 3, 0x1003, &value, 2);
    mem_store(world->space, MEM_BY_DEVICE, 0x7020 - 0x12, 0xbeef, 2);
    mem_load(world->space, 0, 0x10, &value, 2); /* RAM says nothing */
    char *text = capture_end();
    assert_string_equal(with_region(text, &world->io[0]),
                        "memory_region_ops_read cpu 3 mr R addr 0x1000 value 0x13121110 size 4 "
                        "name 'device:CONTROL'\n"
                        "memory_region_ops_read cpu 3 mr R addr 0x1004 value 0x17161514 size 4 "
                        "name 'device:STATUS'\n"
                        "memory_region_ops_write cpu -1 mr R addr 0x700c value 0xbeef0000 size 4 "
                        "name 'device'\n");
    free(text);
    assert_true(trace_control_set("memory_region_ops_*", false, &err));
    mem_free(&alias);
    world_free(world);
}

static void ports_are_accessed(void **state)
{
    (void)state;
    const struct mem_ops ops = {.valid_max = 1};
    struct world *world = world_new(&ops);
    struct mem_region ports, alias;
    struct error err;

    mem_init_container(&ports, "io", 65536);
    mem_init_alias(&alias, "alias", &world->io[0], 0, 2);
    mem_add(&ports, &alias, 0xfffe, 0);
    struct mem_space *space = mem_space_new("I/O", &ports);
    assert_true(trace_control_set("cpu_*", true, &err));
    capture_begin();
    assert_int_equal(mem_in(space, 0, 0xffff, 1), 0x11);
    assert_int_equal(mem_in(space, 0, 0xfffe, 2), 0xffff); /* refused */
    assert_int_equal(mem_in(space, 0, 0xffff, 4), 0xffffff11);
    assert_int_equal(mem_in(space, 0, 0x80, 4), 0xffffffff);
    mem_out(space, 1, 0xfffe, 0x34, 1);
    mem_out(space, 1, 0x80, 0x1234, 2);
    char *text = capture_end();
    assert_string_equal(text, "cpu_in addr 0xffff(b) value 17\n"
                              "cpu_in addr 0xfffe(w) value 65535\n"
                              "cpu_in addr 0xffff(l) value 4294967057\n"
                              "cpu_in addr 0x80(l) value 4294967295\n"
                              "cpu_out addr 0xfffe(b) value 52\n"
                              "cpu_out addr 0x80(w) value 4660\n");
    assert_calls(&world->device[0], "r1@1 r1@1 w1@0=34");
    free(text);
    assert_true(trace_control_set("cpu_*", false, &err));
    mem_space_free(space);
    mem_free(&alias);
    mem_free(&ports);
    world_free(world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fits_sizes),
        cmocka_unit_test(copies_in_sizes_that_fit),
        cmocka_unit_test(crosses_regions),
        cmocka_unit_test(goes_on_from_the_top_at_zero),
        cmocka_unit_test(copies_memory),
        cmocka_unit_test(rom_stays),
        cmocka_unit_test(nothing_reads_as_ones),
        cmocka_unit_test(does_not_recurse),
        cmocka_unit_test(names_registers),
        cmocka_unit_test(messages_name_who_and_why),
        cmocka_unit_test(probes_fire_for_each_call),
        cmocka_unit_test(ports_are_accessed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
