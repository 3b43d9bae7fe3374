/* SPDX-License-Identifier: MIT
 *
 * IDE and floppy controllers with disks in them: a guest that does anything to their registers. The
 * input is a list of steps; every one consumes a byte that says what, and what it needs.
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../unit/device_harness.h"
#include "block/block.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum {
    PRIMARY = 0x1f0,
    SECONDARY = 0x170,
    BM = 0xc000,
    TABLE = 0x8000,
    WORDS_LARGEST = 256,
    STEPS_LARGEST = 4000,
};

struct steps {
    const uint8_t *at, *end;
};

static uint8_t take(struct steps *steps)
{
    return steps->at < steps->end ? *steps->at++ : 0;
}

static uint16_t take16(struct steps *steps)
{
    uint16_t low = take(steps);
    return (uint16_t)(low | take(steps) << 8);
}

static uint32_t take32(struct steps *steps)
{
    uint32_t low = take16(steps);
    return low | (uint32_t)take16(steps) << 16;
}

/* --- a DMA controller that agrees to everything --- */

struct channel {
    struct isa_dma dma;
    isa_dma_fn *transfer;
    void *device;
    size_t position, count;
    bool level, running, to_memory;
};

static void run_channel(struct channel *channel)
{
    while (!channel->running && channel->level && channel->position < channel->count) {
        channel->running = true;
        size_t moved = channel->transfer(channel->device, 2, channel->position,
                                         channel->count - channel->position);
        channel->running = false;
        if (!moved)
            break;
        channel->position += moved;
    }
}

static void attach(void *opaque, unsigned number, isa_dma_fn *transfer, void *device)
{
    struct channel *channel = opaque;
    (void)number;
    channel->transfer = transfer;
    channel->device = device;
}

static void request(void *opaque, unsigned number, bool level)
{
    struct channel *channel = opaque;
    (void)number;
    channel->level = level;
    run_channel(channel);
}

static bool from_memory(void *opaque, unsigned number, void *to, size_t position, size_t size)
{
    const struct channel *channel = opaque;
    (void)number;
    (void)position;
    memset(to, 1, size);
    return !channel->to_memory;
}

static bool to_memory(void *opaque, unsigned number, const void *from, size_t position, size_t size)
{
    const struct channel *channel = opaque;
    (void)number;
    (void)from;
    (void)position;
    (void)size;
    return channel->to_memory;
}

/* --- the machine --- */

struct machine {
    struct harness h;
    struct channel channel;
    struct block_pool *pool;
    struct drive *drive[3]; /* disk, CD-ROM, floppy */
};

static struct drive *open_drive(struct block_pool *pool, const char *id, off_t size)
{
    struct error err;
    struct drive_options options;
    char *file = mem_string("/tmp/vitrine-fuzz-XXXXXX");
    int fd = mkstemp(file);
    if (fd < 0 || ftruncate(fd, size))
        bug("no temporary file");
    char *text = mem_format("file=%s,format=raw,if=none,snapshot=on,discard=unmap", file);
    struct drive *drive = drive_new(id, pool);
    if (!drive_options_parse(&options, text, DRIVE_NONE, DRIVE_DISK, &err) ||
        !drive_open(drive, &options, NULL, &err))
        bug("%s", err.text);
    drive_options_free(&options);
    close(fd);
    unlink(file);
    free(file);
    free(text);
    return drive;
}

static void add(struct machine *m, const char *class, const char *property, struct drive *drive,
                const char *bus)
{
    struct error err;
    struct device *device = device_new(device_class_find(class), &m->h.board);
    device_set_pointer(device, property, drive);
    if ((bus && !device_set(device, "bus", bus, &err)) || !device_realize(device, &err))
        bug("%s: %s", class, err.text);
}

static void begin(struct machine *m, uint8_t how)
{
    memset(m, 0, sizeof(*m));
    harness_begin(&m->h);
    m->channel.dma = (struct isa_dma){
        .opaque = &m->channel,
        .attach = attach,
        .request = request,
        .read = from_memory,
        .write = to_memory,
    };
    m->h.isa.dma = &m->channel.dma;
    m->pool = block_pool_new_timed(&m->h.clock, 1000);
    m->drive[0] = open_drive(m->pool, "hd", how & 1 ? 8 << 20 : (off_t)3 << 40);
    m->drive[1] = open_drive(m->pool, "cd", how & 2 ? 1 << 20 : 1 << 30);
    m->drive[2] = open_drive(m->pool, "fd", how & 4 ? 1440 << 10 : 360 << 10);
    harness_add(&m->h, "piix3-ide", "addr=1.1", NULL);
    add(m, "ide-hd", "drive", m->drive[0], "ide.0");
    add(m, "ide-cd", "drive", m->drive[1], how & 8 ? "ide.0" : "ide.1");
    add(m, "isa-fdc", "driveA", m->drive[2], NULL);
    harness_reset(&m->h);
    config_write32(&m->h, 1, 1, 0x40, 0x80008000);
    config_write32(&m->h, 1, 1, 0x20, BM);
    config_write16(&m->h, 1, 1, PCI_COMMAND, PCI_COMMAND_IO | PCI_COMMAND_MASTER);
}

static void end(struct machine *m)
{
    harness_end(&m->h);
    for (unsigned i = 0; i < 3; i++)
        drive_free(m->drive[i]);
    block_pool_free(m->pool);
}

/* --- steps --- */

static void write_table(struct machine *m, uint16_t bm, struct steps *steps)
{
    unsigned count = take(steps) % 8 + 1u;
    for (unsigned i = 0; i < count; i++) {
        store32(&m->h, TABLE + 8 * i, take32(steps) & 0x81ffffff);
        store32(&m->h, TABLE + 8 * i + 4, take16(steps) | (i + 1 == count ? 0x80000000u : 0));
    }
    out32(&m->h, (uint16_t)(bm + 4), TABLE);
}

static void move_words(struct machine *m, uint16_t base, struct steps *steps)
{
    uint8_t how = take(steps), value = take(steps);
    for (unsigned i = take(steps) % WORDS_LARGEST; i > 0; i--) {
        if (how & 1)
            in16(&m->h, base);
        else
            out16(&m->h, base, value);
    }
}

static void send_packet(struct machine *m, uint16_t base, struct steps *steps)
{
    out8(&m->h, (uint16_t)(base + 7), 0xa0);
    for (unsigned i = 0; i < 6; i++)
        out16(&m->h, base, take16(steps));
}

static void use_fifo(struct machine *m, struct steps *steps)
{
    uint8_t value = take(steps);
    for (unsigned i = take(steps); i > 0; i--) {
        if ((in8(&m->h, 0x3f4) & 0xc0) == 0xc0)
            in8(&m->h, 0x3f5);
        else
            out8(&m->h, 0x3f5, value);
    }
}

static void step(struct machine *m, struct steps *steps)
{
    struct harness *h = &m->h;
    uint8_t what = take(steps);
    uint16_t base = what & 0x80 ? SECONDARY : PRIMARY, bm = what & 0x80 ? BM + 8 : BM;
    switch (what & 0x1f) {
    case 0: out8(h, (uint16_t)(base + 1 + take(steps) % 7), take(steps)); break;
    case 1: out8(h, (uint16_t)(base + 7), take(steps)); break;
    case 2: out8(h, (uint16_t)(base + 6), take(steps)); break;
    case 3: out8(h, (uint16_t)(base + 0x206), take(steps)); break;
    case 4: in32(h, (uint16_t)(base + take(steps) % 8)); break;
    case 5: out32(h, (uint16_t)(base + take(steps) % 8), take32(steps)); break;
    case 6: in8(h, (uint16_t)(base + 7)); break;
    case 7: move_words(m, base, steps); break;
    case 8: send_packet(m, base, steps); break;
    case 9: write_table(m, bm, steps); break;
    case 10: out8(h, bm, take(steps)); break;
    case 11: out16(h, (uint16_t)(BM + take(steps) % 16), take16(steps)); break;
    case 12: in32(h, (uint16_t)(BM + take(steps) % 16)); break;
    case 13: config_write32(h, 1, 1, take(steps) & 0xfc, take32(steps)); break;
    case 14: config_write16(h, 1, 1, PCI_COMMAND, 5); break;
    case 15: harness_advance(h, take16(steps)); break;
    case 16: harness_advance(h, take16(steps) * UINT64_C(10000)); break;
    case 17: out8(h, 0x3f5, take(steps)); break;
    case 18: in8(h, (uint16_t)(0x3f0 + take(steps) % 8)); break;
    case 19: out8(h, (uint16_t)(0x3f0 + take(steps) % 8), take(steps)); break;
    case 20: use_fifo(m, steps); break;
    case 21:
        m->channel.to_memory = take(steps) & 1;
        m->channel.position = 0;
        m->channel.count = take16(steps);
        run_channel(&m->channel);
        break;
    case 22:
        drive_inject(m->drive[take(steps) % 3], (enum block_op)(take(steps) % BLOCK_OPS),
                     take(steps) * 512u, 5, take(steps) % 4);
        break;
    case 23: drive_eject(m->drive[1 + take(steps) % 2], what & 0x40, NULL); break;
    case 24: {
        struct error err;
        if (!harness_keeps_state(h, &err))
            bug("%s", err.text);
        break;
    }
    default: out8(h, (uint16_t)(base + 2 + what % 4), take(steps)); break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct machine m;
    struct steps steps = {data, data + size};
    begin(&m, take(&steps));
    for (unsigned i = 0; i < STEPS_LARGEST && steps.at < steps.end; i++)
        step(&m, &steps);
    end(&m);
    return 0;
}
