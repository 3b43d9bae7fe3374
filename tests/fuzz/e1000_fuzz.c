/* SPDX-License-Identifier: MIT
 *
 * The e1000 with its queues running, as a driver that has lost its mind may treat it: device_fuzz
 * knows no register by name and seldom gets that far. Descriptors, frames from outside, registers,
 * time; nothing may crash or hang, no frame that goes out is longer than a frame, and a state that
 * is saved and loaded is the same.
 *
 * Input: operations.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define HARNESS_RAM (1 << 20)
#include "../unit/device_harness.h"

#include "device/e1000.h"
#include "net/net.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum {
    MMIO = 0xfebc0000,
    SLOT = 3,
    RING_TX = 0x10000,
    RING_RX = 0x20000,
    BUFFERS = 0x40000,
    DESCRIPTORS = 32,
    STEPS = 400,
};

struct input {
    const uint8_t *at, *end;
};

static uint8_t take(struct input *in)
{
    return in->at < in->end ? *in->at++ : 0;
}

static uint64_t take_number(struct input *in, unsigned bytes)
{
    uint64_t value = 0;
    for (unsigned i = 0; i < bytes; i++)
        value |= (uint64_t)take(in) << i * 8;
    return value;
}

static void receive(void *opaque, const uint8_t *frame, size_t size)
{
    (void)opaque;
    if (size < NET_HEADER_SIZE || size > NET_FRAME_MAX || !frame)
        abort();
}

static const struct net_ops peer_ops = {.type = "peer", .receive = receive};

static const uint16_t offsets[] = {
#define REGISTER(offset, name, words, access, writable, fields) offset,
#include "device/e1000_registers.def"
#undef REGISTER
};
enum { OFFSETS = sizeof(offsets) / sizeof(offsets[0]) };

struct machine {
    struct harness h;
    struct nets *nets;
    struct net_end peer;
};

static void put(struct machine *m, unsigned offset, uint32_t value)
{
    store32(&m->h, MMIO + offset, value);
}

/* Queues that run: what a driver does before the first frame. */
static void start(struct machine *m)
{
    put(m, 0x3800, RING_TX);
    put(m, 0x3804, 0);
    put(m, 0x3808, DESCRIPTORS * 16);
    put(m, 0x2800, RING_RX);
    put(m, 0x2804, 0);
    put(m, 0x2808, DESCRIPTORS * 16);
    for (unsigned i = 0; i < DESCRIPTORS; i++)
        store64(&m->h, RING_RX + i * 16, BUFFERS + i * 2048);
    put(m, 0x400, 0xa);
    put(m, 0x100, 0x801a);
    put(m, 0x2818, DESCRIPTORS - 1);
}

static bool begin(struct machine *m)
{
    struct error err;
    const uint8_t mac[6] = {0x52, 0x55, 10, 0, 2, 2};
    memset(m, 0, sizeof(*m));
    harness_begin(&m->h);
    m->nets = nets_new(NULL, &m->h.clock);
    m->h.board.nets = m->nets;
    struct e1000 *nic = (struct e1000 *)harness_add(&m->h, "e1000", "addr=3", NULL);
    m->peer.ops = &peer_ops;
    if (!net_nic_attach(&m->peer, m->nets, "peer", NULL, &nic->nic, mac, &err))
        return false;
    harness_reset(&m->h);
    config_write32(&m->h, SLOT, 0, PCI_BAR0, MMIO);
    config_write16(&m->h, SLOT, 0, PCI_COMMAND, 7);
    start(m);
    return true;
}

/* A descriptor that may well be a good one: its parts are chosen, not its bytes. */
static void put_descriptor(struct machine *m, struct input *in)
{
    static const uint32_t lengths[] = {0, 1, 14, 54, 60, 1500, 5000, 0xfffff};
    unsigned index = take(in) % DESCRIPTORS, kind = take(in);
    uint64_t low = BUFFERS + (take(in) << 8), high;
    uint64_t command = (uint64_t)take(in) << 24, rest = take_number(in, 4) << 32;
    if (kind & 0x80)
        low = take_number(in, 8);
    switch (kind & 3) {
    case 0: high = lengths[kind >> 2 & 7] & 0xffff; break;
    case 1: high = lengths[kind >> 2 & 7] | 1 << 20 | 0x20 << 24; break;
    case 2:
        high = 0x20 << 24;
        low = take_number(in, 8);
        break;
    default: high = take_number(in, 4); break;
    }
    store64(&m->h, RING_TX + index * 16, low);
    store64(&m->h, RING_TX + index * 16 + 8, high | command | rest);
}

static void send_frame(struct machine *m, struct input *in)
{
    static const uint16_t types[] = {0x0800, 0x86dd, 0x8100, 0x8808};
    static const uint16_t sizes[] = {14, 42, 60, 100, 300, 1514, 4000, NET_FRAME_MAX};
    uint8_t frame[NET_FRAME_MAX] = {0};
    unsigned shape = take(in), size = sizes[shape & 7] + (shape >> 5);
    if (size > NET_FRAME_MAX)
        size = NET_FRAME_MAX;
    memset(frame, shape & 8 ? 0xff : 0x52, 6);
    frame[12] = (uint8_t)(types[shape >> 4 & 3] >> 8);
    frame[13] = (uint8_t)types[shape >> 4 & 3];
    for (unsigned i = 14; i < 14 + 16; i++)
        frame[i] = take(in);
    net_send(&m->peer, frame, size);
}

static void operate(struct machine *m, struct input *in)
{
    static const uint64_t steps[] = {1, 300, 2000, 100000, 1000000, 600000000};
    struct error err = {""};
    unsigned operation = take(in), offset = offsets[take(in) % OFFSETS];
    switch (operation % 10) {
    case 0:
    case 1: put(m, offset, (uint32_t)take_number(in, 4)); break;
    case 2: put(m, offset + (take(in) & 0x7c), take(in)); break;
    case 3: load32(&m->h, MMIO + offset); break;
    case 4:
    case 5: put_descriptor(m, in); break;
    case 6: put(m, 0x3818, take(in) % DESCRIPTORS); break;
    case 7: send_frame(m, in); break;
    case 8: clock_advance(&m->h.clock, steps[take(in) % 6]); break;
    default:
        if (operation < 60) {
            put(m, 0x2818, take(in) % DESCRIPTORS);
        } else if (operation < 200) {
            store64(&m->h, RING_RX + take(in) % DESCRIPTORS * 16, take_number(in, 4));
        } else if (operation < 230) {
            start(m);
        } else if (operation < 250) {
            nets_set_link(m->nets, "e1000.0", take(in) & 1, &err);
        } else if (!harness_keeps_state(&m->h, &err)) {
            abort();
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct machine m;
    struct input in = {data, data + size};
    if (!begin(&m))
        abort();
    for (unsigned i = 0; i < STEPS && in.at < in.end; i++)
        operate(&m, &in);
    net_nic_detach(&m.peer);
    harness_end(&m.h);
    nets_free(m.nets);
    return 0;
}
