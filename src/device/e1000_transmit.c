/* SPDX-License-Identifier: MIT
 *
 * What the 82540EM sends: the transmit queue, its three kinds of descriptors, checksums,
 * segmentation and tags (SDM 3.3 to 3.5).
 *
 *              legacy                     context (DTYP 0)         data (DTYP 1)
 *     0   8    address                    IPCSS IPCSO IPCSE        address
 *                                         TUCSS TUCSO TUCSE
 *     8   2    length                     PAYLEN (20 bits)         length (20 bits)
 *     10  1    CSO                          DTYP                     DTYP
 *     11  1    CMD                        TUCMD                    DCMD
 *     12  1    STA                        STA                      STA
 *     13  1    CSS                        HDRLEN                   POPTS
 *     14  2    special (tag)              MSS                      special (tag)
 *
 * The guest decides all of these numbers. A frame is at most NET_FRAME_MAX bytes, whatever they
 * say; and a queue is left for a moment when much of it was sent, so that nobody waits for the
 * machine's lock for long. */
#include <string.h>

#include "device/e1000.h"
#include "trace-device.h"

enum command {
    COMMAND_EOP = 1 << 0,
    COMMAND_IFCS = 1 << 1,
    COMMAND_IC = 1 << 2,  /* legacy: insert a checksum */
    COMMAND_TSE = 1 << 2, /* others: segmentation */
    COMMAND_RS = 1 << 3,
    COMMAND_DEXT = 1 << 5, /* not legacy */
    COMMAND_VLE = 1 << 6,
    COMMAND_IDE = 1 << 7,
    TUCMD_TCP = 1 << 0,
    TUCMD_IP = 1 << 1, /* version 4 */
    OPTION_IXSM = 1 << 0,
    OPTION_TXSM = 1 << 1,
    STATUS_DD = 1 << 0,
};

enum {
    MAC_ADDRESSES = 12,
    TCP_FLAGS = 13,
    TCP_FIN_PSH = 0x09,
    BUDGET_DESCRIPTORS = 1024,
    BUDGET_BYTES = 512 << 10, /* and one descriptor more */
    PAUSE_NANOSECONDS = 1000,
    LOW_UNIT = 8, /* descriptors, of TXDCTL.LWTHRESH */
};

struct descriptor {
    uint64_t address;
    uint32_t lower, upper;
};

/* A context descriptor, taken apart. */
struct context {
    uint8_t ip_start, ip_offset, start, offset, command, header;
    uint16_t ip_end, end, segment;
};

static struct context context_of(const struct e1000 *e, bool segmentation)
{
    uint64_t low = e->context[segmentation ? 2 : 0], high = e->context[segmentation ? 3 : 1];

    return (struct context){
        .ip_start = (uint8_t)low,
        .ip_offset = (uint8_t)(low >> 8),
        .ip_end = (uint16_t)(low >> 16),
        .start = (uint8_t)(low >> 32),
        .offset = (uint8_t)(low >> 40),
        .end = (uint16_t)(low >> 48),
        .command = (uint8_t)(high >> 24),
        .header = (uint8_t)(high >> 40),
        .segment = (uint16_t)(high >> 48),
    };
}

static uint8_t *bytes_of(struct e1000_frame *frame)
{
    return frame->room + E1000_TAG;
}

/* --- frames go out --- */

static void count_frame(struct e1000 *e, const uint8_t *bytes, size_t size)
{
    uint32_t wire = (uint32_t)(size < NET_FRAME_MIN ? NET_FRAME_MIN : size) + E1000_FCS;

    e1000_count(e, E1000_TPT, 1);
    e1000_count(e, E1000_GPTC, 1);
    e1000_count64(e, E1000_TOTL, wire);
    e1000_count64(e, E1000_GOTCL, wire);
    e1000_count_size(e, E1000_PTC64, wire);
    if (!memcmp(bytes, "\xff\xff\xff\xff\xff\xff", NET_MAC_SIZE))
        e1000_count(e, E1000_BPTC, 1);
    else if (bytes[0] & 1)
        e1000_count(e, E1000_MPTC, 1);
}

/* `frame` may have room for a tag before it, which is used. */
static void send_frame(struct e1000 *e)
{
    struct e1000_frame *frame = &e->frame;
    uint8_t *bytes = bytes_of(frame);
    uint32_t size = frame->size;

    if (size < NET_HEADER_SIZE) {
        device_guest_error(&e->pci.device, "a frame of %u bytes is no frame", size);
        return;
    }
    if (frame->tagged) {
        memmove(bytes - E1000_TAG, bytes, MAC_ADDRESSES);
        bytes -= E1000_TAG;
        size += E1000_TAG;
        e1000_put16(bytes + MAC_ADDRESSES, (uint16_t)e->reg[E1000_VET]);
        e1000_put16(bytes + MAC_ADDRESSES + 2, frame->tag);
    }
    if ((e->reg[E1000_TCTL] & TCTL_PSP) && size < NET_FRAME_MIN) {
        memset(bytes + size, 0, NET_FRAME_MIN - size);
        size = NET_FRAME_MIN;
    }
    trace_e1000_transmit_frame(size, frame->tagged);
    count_frame(e, bytes, size);
    if (e1000_phy_loops(e) || (e->reg[E1000_RCTL] & RCTL_LBM) == RCTL_LBM)
        e1000_receive(e, bytes, size);
    else if (e->link)
        net_send(&e->nic, bytes, size);
}

/* --- checksums --- */

/* The sum of bytes `start` to `end` (0: the last), to `offset`. Where that lies outside of the
 * frame nothing happens. */
static void insert_checksum(struct e1000_frame *frame, unsigned start, unsigned offset,
                            unsigned end, bool never_zero)
{
    uint8_t *bytes = bytes_of(frame);
    uint32_t behind = end && end < frame->size ? end + 1 : frame->size;

    if (offset + 2 > frame->size || start >= behind)
        return;
    uint16_t sum = (uint16_t)~net_sum(bytes + start, behind - start, 0);
    e1000_put16(bytes + offset, !sum && never_zero ? 0xffff : sum);
}

static void insert_checksums(struct e1000 *e, const struct context *context)
{
    struct e1000_frame *frame = &e->frame;

    if (frame->options & OPTION_TXSM)
        insert_checksum(frame, context->start, context->offset, context->end,
                        !(context->command & TUCMD_TCP));
    if (frame->options & OPTION_IXSM)
        insert_checksum(frame, context->ip_start, context->ip_offset, context->ip_end, false);
}

/* --- segmentation (SDM 3.5) --- */

/* Whether `count` bytes at `at` are in the header. */
static bool in_header(const struct context *context, unsigned at, unsigned count)
{
    return at + count <= context->header;
}

static void fix_ip(struct e1000_frame *frame, const struct context *context)
{
    uint8_t *ip = bytes_of(frame) + context->ip_start;
    uint32_t size = frame->size - context->ip_start;

    if (!in_header(context, context->ip_start, 6))
        return;
    if (context->command & TUCMD_IP) {
        e1000_put16(ip + 2, (uint16_t)size);
        e1000_put16(ip + 4, (uint16_t)(e1000_get16(ip + 4) + frame->segments));
    } else {
        e1000_put16(ip + 4, (uint16_t)(size - 40)); /* without the header of IPv6 */
    }
}

static void fix_transport(struct e1000_frame *frame, const struct context *context, bool last)
{
    uint8_t *header = bytes_of(frame) + context->start;
    uint8_t *sum = bytes_of(frame) + context->offset;
    uint32_t size = frame->size - context->start;

    if ((context->command & TUCMD_TCP) && in_header(context, context->start, TCP_FLAGS + 1)) {
        uint32_t sequence = (uint32_t)e1000_get16(header + 4) << 16 | e1000_get16(header + 6);
        sequence += frame->segments * context->segment;
        e1000_put16(header + 4, (uint16_t)(sequence >> 16));
        e1000_put16(header + 6, (uint16_t)sequence);
        if (!last)
            header[TCP_FLAGS] &= (uint8_t)~TCP_FIN_PSH;
    } else if (!(context->command & TUCMD_TCP) && in_header(context, context->start, 6)) {
        e1000_put16(header + 4, (uint16_t)size);
    }
    /* Software has put the sum of the pseudo header there, all but the length. */
    if ((frame->options & OPTION_TXSM) && in_header(context, context->offset, 2)) {
        uint32_t value = e1000_get16(sum) + (size & 0xffff) + (size >> 16);
        value = (value & 0xffff) + (value >> 16);
        e1000_put16(sum, (uint16_t)(value + (value >> 16)));
    }
}

/* A segment is as long as it will be. */
static void send_segment(struct e1000 *e, bool last)
{
    struct e1000_frame *frame = &e->frame;
    struct context context = context_of(e, true);
    unsigned header = context.header;

    if (frame->segments == 0)
        memcpy(frame->header, bytes_of(frame), header);
    else
        memcpy(bytes_of(frame), frame->header, header);
    fix_ip(frame, &context);
    fix_transport(frame, &context, last);
    insert_checksums(e, &context);
    send_frame(e);
    frame->segments++;
    frame->size = header; /* the next has the same */
}

/* Whether segmentation can be done as the context says. */
static bool can_segment(struct e1000 *e, const struct context *context)
{
    if (context->segment && context->header && context->header + context->segment <= NET_FRAME_MAX)
        return true;
    device_guest_error(&e->pci.device, "segments of %u bytes with headers of %u cannot be made",
                       context->segment, context->header);
    return false;
}

/* --- descriptors --- */

static void begin_frame(struct e1000 *e, bool segmented, uint8_t options)
{
    struct e1000_frame *frame = &e->frame;

    frame->size = frame->segments = 0;
    frame->tag = 0;
    frame->options = options;
    frame->begun = true;
    frame->tagged = frame->broken = false;
    frame->segmented = segmented;
    if (segmented) {
        struct context context = context_of(e, true);
        frame->broken = !can_segment(e, &context);
        e1000_count(e, E1000_TSCTC, !frame->broken);
        e1000_count(e, E1000_TSCTFC, frame->broken);
    }
}

/* Takes bytes from memory; full segments go out when it is known that they are not the last. */
static void add_bytes(struct e1000 *e, uint64_t address, uint32_t length)
{
    struct e1000_frame *frame = &e->frame;
    struct context context = context_of(e, true);
    uint32_t most =
        frame->segmented ? (uint32_t)context.header + context.segment : (uint32_t)NET_FRAME_MAX;

    /* A context that came in the middle of a frame counts, too. */
    if (frame->segmented && !frame->broken && !can_segment(e, &context))
        frame->broken = true;
    while (length && !frame->broken) {
        if (frame->size >= most) {
            if (!frame->segmented) {
                device_guest_error(&e->pci.device, "a frame of more than %u bytes", most);
                frame->broken = true;
                break;
            }
            send_segment(e, false);
        }
        uint32_t count = most - frame->size < length ? most - frame->size : length;
        if (dma_read(&e->pci.device, address, bytes_of(frame) + frame->size, count) != MEM_OK) {
            device_guest_error(&e->pci.device, "there is no memory to send from at 0x%llx",
                               (unsigned long long)address);
            frame->broken = true;
        }
        frame->size += count;
        address += count;
        length -= count;
    }
}

/* A frame whose descriptor says that software has added the FCS: it is not carried. */
static void take_off_fcs(struct e1000 *e)
{
    struct e1000_frame *frame = &e->frame;
    const uint8_t *bytes = bytes_of(frame);

    if (frame->size > NET_HEADER_SIZE + E1000_FCS &&
        net_crc(&e->crc, bytes, frame->size - E1000_FCS) ==
            pci_get32(bytes + frame->size - E1000_FCS))
        frame->size -= E1000_FCS;
    else
        device_guest_error(&e->pci.device, "a frame with neither IFCS nor an FCS of its own");
}

static void end_frame(struct e1000 *e, const struct descriptor *d, bool legacy)
{
    struct e1000_frame *frame = &e->frame;
    uint8_t command = (uint8_t)(d->lower >> 24);

    frame->begun = false;
    if (frame->broken)
        return;
    if (frame->segmented) {
        struct context context = context_of(e, true);
        if (frame->size >= context.header)
            send_segment(e, true);
        return;
    }
    if (!(command & COMMAND_IFCS))
        take_off_fcs(e);
    if (!legacy) {
        struct context context = context_of(e, false);
        insert_checksums(e, &context);
    } else if (command & COMMAND_IC) {
        insert_checksum(frame, d->upper >> 8 & 0xff, d->lower >> 16 & 0xff, 0, false);
    }
    send_frame(e);
}

static void process(struct e1000 *e, const struct descriptor *d)
{
    uint8_t command = (uint8_t)(d->lower >> 24);
    bool legacy = !(command & COMMAND_DEXT);
    unsigned type = d->lower >> 20 & 15;
    uint32_t length = legacy ? d->lower & 0xffff : d->lower & 0xfffff;

    if (!legacy && type == 0) {
        unsigned which = command & COMMAND_TSE ? 2 : 0;
        e->context[which] = d->address;
        e->context[which + 1] = d->lower | (uint64_t)d->upper << 32;
        return;
    }
    if (!legacy && type != 1) {
        device_guest_error(&e->pci.device, "a transmit descriptor of type %u", type);
        return;
    }
    if (!e->frame.begun)
        begin_frame(e, !legacy && (command & COMMAND_TSE), legacy ? 0 : (uint8_t)(d->upper >> 8));
    if ((command & COMMAND_VLE) && (e->reg[E1000_CTRL] & CTRL_VME)) {
        e->frame.tagged = true;
        e->frame.tag = (uint16_t)(d->upper >> 16);
    }
    add_bytes(e, d->address, length);
    if (command & COMMAND_EOP)
        end_frame(e, d, legacy);
}

/* --- the queue --- */

static uint64_t descriptor_address(const struct e1000 *e, uint32_t index)
{
    return (e->reg[E1000_TDBAL] | (uint64_t)e->reg[E1000_TDBAH] << 32) +
           (uint64_t)index * E1000_DESCRIPTOR;
}

static void report_done(struct e1000 *e, uint64_t at, const struct descriptor *d)
{
    uint8_t upper[4];

    pci_set32(upper, d->upper | STATUS_DD);
    dma_write(&e->pci.device, at + 12, upper, sizeof(upper));
    if ((d->lower >> 24 & COMMAND_IDE) && e->reg[E1000_TIDV] && e->mitigation)
        e1000_delay(e, &e->transmit_delay, e->reg[E1000_TIDV], &e->transmit_absolute,
                    e->reg[E1000_TADV]);
    else
        e1000_cause(e, CAUSE_TXDW);
}

/* The descriptor at the head; what it cost, in bytes. */
static uint32_t take_one(struct e1000 *e, uint32_t count)
{
    uint32_t head = e->reg[E1000_TDH];
    uint64_t at = descriptor_address(e, head);
    uint8_t raw[E1000_DESCRIPTOR];
    struct descriptor d = {0, 0, 0};

    if (dma_read(&e->pci.device, at, raw, sizeof(raw)) == MEM_OK) {
        d = (struct descriptor){e1000_get64(raw), pci_get32(raw + 8), pci_get32(raw + 12)};
        trace_e1000_transmit_descriptor(head, d.address, d.lower, d.upper);
        process(e, &d);
    } else {
        device_guest_error(&e->pci.device,
                           "there is no memory for transmit descriptor %u at 0x%llx", head,
                           (unsigned long long)at);
    }
    e->reg[E1000_TDH] = head + 1 < count ? head + 1 : 0;
    if (d.lower >> 24 & COMMAND_RS)
        report_done(e, at, &d);
    return d.lower & 0xfffff;
}

static uint32_t left_in_queue(const struct e1000 *e, uint32_t count)
{
    uint32_t head = e->reg[E1000_TDH], tail = e->reg[E1000_TDT];
    return tail >= head ? tail - head : count - head + tail;
}

static bool may_transmit(struct e1000 *e, uint32_t count)
{
    if (e->transmitting || !(e->reg[E1000_TCTL] & TCTL_EN) || !count || !e1000_may_master(e))
        return false;
    if (e->reg[E1000_TDH] < count && e->reg[E1000_TDT] < count)
        return true;
    device_guest_error(&e->pci.device, "transmit head %u or tail %u is not in a queue of %u",
                       e->reg[E1000_TDH], e->reg[E1000_TDT], count);
    return false;
}

void e1000_transmit(struct e1000 *e)
{
    uint32_t count = e->reg[E1000_TDLEN] / E1000_DESCRIPTOR, bytes = 0, taken = 0;

    timer_stop(&e->transmit_more);
    if (!may_transmit(e, count) || !left_in_queue(e, count))
        return;
    e->transmitting = true;
    uint32_t low = (e->reg[E1000_TXDCTL] >> 25) * LOW_UNIT;
    uint32_t before = left_in_queue(e, count);
    /* DMA that leads into the registers may change them: they are looked at each time. */
    while (count == e->reg[E1000_TDLEN] / E1000_DESCRIPTOR && e->reg[E1000_TDH] < count &&
           e->reg[E1000_TDT] < count && e->reg[E1000_TDH] != e->reg[E1000_TDT]) {
        if (taken++ == BUDGET_DESCRIPTORS || bytes > BUDGET_BYTES) {
            timer_set(&e->transmit_more, clock_now(e->transmit_more.clock) + PAUSE_NANOSECONDS);
            break;
        }
        bytes += take_one(e, count);
    }
    e->transmitting = false;
    uint32_t causes = e->reg[E1000_TDH] == e->reg[E1000_TDT] ? CAUSE_TXQE : 0;
    if (low && before > low && left_in_queue(e, count) <= low)
        causes |= CAUSE_TXD_LOW;
    e1000_cause(e, causes);
}
