/* SPDX-License-Identifier: MIT
 *
 * What the 82540EM receives: filters, checksums, tags, and the receive queue (SDM 3.2).
 *
 *     descriptor:  address(8) length(2) checksum(2) status(1) errors(1) special(2)
 */
#include <string.h>

#include "device/e1000.h"
#include "trace-device.h"

enum {
    STATUS_DD = 1 << 0,
    STATUS_EOP = 1 << 1,
    STATUS_IXSM = 1 << 2,
    STATUS_VP = 1 << 3,
    STATUS_TCPCS = 1 << 5,
    STATUS_IPCS = 1 << 6,
    STATUS_PIF = 1 << 7,
    ERROR_TCPE = 1 << 5,
    ERROR_IPE = 1 << 6,
    RXCSUM_PCSS = 0xff,
    RXCSUM_IPOFL = 1 << 8,
    RXCSUM_TUOFL = 1 << 9,
    RXCSUM_IPV6OFL = 1 << 10,
    RAH_AV = 1u << 31,
    RAH_AS_SHIFT = 16,
    ADDRESSES = 16,
    MAC_ADDRESSES = 12, /* bytes of both */
    LONG_FRAME = 1522,  /* with FCS and tag; longer ones are for RCTL.LPE */
    TYPE_IPV4 = 0x0800,
    TYPE_IPV6 = 0x86dd,
    PROTOCOL_TCP = 6,
    PROTOCOL_UDP = 17,
};

/* A frame on its way into memory. */
struct incoming {
    const uint8_t *bytes;
    size_t size; /* without FCS */
    uint8_t status, errors;
    uint16_t checksum, tag;
    uint8_t room[NET_FRAME_MAX];
};

/* --- the queue --- */

static uint32_t queue_size(const struct e1000 *e)
{
    return e->reg[E1000_RDLEN] / E1000_DESCRIPTOR;
}

/* Descriptors that are the hardware's. */
static uint32_t free_descriptors(const struct e1000 *e)
{
    uint32_t count = queue_size(e), head = e->reg[E1000_RDH], tail = e->reg[E1000_RDT];

    if (head >= count || tail >= count)
        return 0;
    return tail >= head ? tail - head : count - head + tail;
}

static uint32_t buffer_size(const struct e1000 *e)
{
    uint32_t control = e->reg[E1000_RCTL], size = 2048u >> (control >> RCTL_BSIZE_SHIFT & 3);
    return control & RCTL_BSEX && size < 2048 ? size * 16 : size;
}

static bool is_enabled(const struct e1000 *e)
{
    return e->reg[E1000_RCTL] & RCTL_EN;
}

bool e1000_can_receive(void *opaque)
{
    const struct e1000 *e = opaque;

    if (!e->link || !is_enabled(e)) /* what comes now is lost, as on the wire */
        return true;
    if (!e1000_may_master(e)) {
        trace_e1000x_rx_can_recv_disabled(e->link, true, false);
        return false;
    }
    return free_descriptors(e) > 0;
}

static uint64_t descriptor_address(const struct e1000 *e, uint32_t index)
{
    return (e->reg[E1000_RDBAL] | (uint64_t)e->reg[E1000_RDBAH] << 32) +
           (uint64_t)index * E1000_DESCRIPTOR;
}

/* --- filters (SDM 3.2.1) --- */

static bool is_tagged(const struct e1000 *e, const uint8_t *frame)
{
    bool tagged = e1000_get16(frame + MAC_ADDRESSES) == (uint16_t)e->reg[E1000_VET];
    trace_e1000x_vlan_is_vlan_pkt(tagged, e1000_get16(frame + MAC_ADDRESSES),
                                  (uint16_t)e->reg[E1000_VET]);
    return tagged;
}

static bool passes_vlan(const struct e1000 *e, const uint8_t *frame)
{
    uint32_t control = e->reg[E1000_RCTL];
    uint16_t tag = e1000_get16(frame + MAC_ADDRESSES + 2), id = tag & 0xfff;

    if (!(control & RCTL_VFE))
        return true;
    if ((control & RCTL_CFIEN) && (tag >> 12 & 1) != !!(control & RCTL_CFI))
        return false;
    return e->reg[E1000_VFTA + (id >> 5)] >> (id & 31) & 1;
}

/* One of the addresses of RA, of the destination or (AS) the source. */
static bool passes_exact(const struct e1000 *e, const uint8_t *frame)
{
    for (unsigned i = 0; i < ADDRESSES; i++) {
        uint32_t low = e->reg[E1000_RA + 2 * i], high = e->reg[E1000_RA + 2 * i + 1];
        unsigned select = high >> RAH_AS_SHIFT & 3;
        const uint8_t *address = frame + (select == 1 ? NET_MAC_SIZE : 0);
        if (!(high & RAH_AV) || select > 1)
            continue;
        if (pci_get32(address) == low && pci_get16(address + 4) == (uint16_t)high) {
            trace_e1000x_rx_flt_ucast_match(i, address[0], address[1], address[2], address[3],
                                            address[4], address[5]);
            return true;
        }
    }
    return false;
}

/* Twelve bits of the address choose a bit of MTA; MO says which twelve. */
static bool passes_hash(const struct e1000 *e, const uint8_t *address)
{
    static const uint8_t shifts[] = {4, 3, 2, 0};
    unsigned offset = e->reg[E1000_RCTL] >> RCTL_MO_SHIFT & 3;
    unsigned hash = (unsigned)(address[4] | address[5] << 8) >> shifts[offset] & 0xfff;
    uint32_t word = e->reg[E1000_MTA + (hash >> 5)];

    if (word >> (hash & 31) & 1)
        return true;
    trace_e1000x_rx_flt_inexact_mismatch(address[0], address[1], address[2], address[3], address[4],
                                         address[5], offset, hash >> 5, word);
    return false;
}

/* `inexact`: it passed only because the hash of its address did. */
static bool passes_address(const struct e1000 *e, const uint8_t *frame, bool *inexact)
{
    uint32_t control = e->reg[E1000_RCTL];

    *inexact = false;
    if (!memcmp(frame, "\xff\xff\xff\xff\xff\xff", NET_MAC_SIZE) &&
        (control & (RCTL_BAM | RCTL_MPE)))
        return true;
    if (passes_exact(e, frame))
        return true;
    if (frame[0] & 1) {
        if (control & RCTL_MPE)
            return true;
        *inexact = passes_hash(e, frame);
        return *inexact;
    }
    if (control & RCTL_UPE)
        return true;
    trace_e1000x_rx_flt_ucast_mismatch(frame[0], frame[1], frame[2], frame[3], frame[4], frame[5]);
    return false;
}

/* A pause frame or the like (IEEE 802.3, 31) is counted; the driver gets it with PMCF only. */
static bool is_consumed(struct e1000 *e, const struct incoming *in)
{
    uint32_t low = e->reg[E1000_FCAL], high = e->reg[E1000_FCAH];

    if (e1000_get16(in->bytes + MAC_ADDRESSES) != e->reg[E1000_FCT] || !e->reg[E1000_FCT] ||
        pci_get32(in->bytes) != low || pci_get16(in->bytes + 4) != high)
        return false;
    if (!(e->reg[E1000_CTRL] & CTRL_RFCE))
        e1000_count(e, E1000_FCRUC, 1);
    else
        e1000_count(e, e1000_get16(in->bytes + 16) ? E1000_XOFFRXC : E1000_XONRXC, 1);
    return (e->reg[E1000_RCTL] & RCTL_DPF) || !(e->reg[E1000_RCTL] & RCTL_PMCF);
}

static void count_frame(struct e1000 *e, const struct incoming *in)
{
    uint32_t wire = (uint32_t)in->size + E1000_FCS;

    e1000_count(e, E1000_GPRC, 1);
    e1000_count64(e, E1000_GORCL, wire);
    e1000_count_size(e, E1000_PRC64, wire);
    if (!memcmp(in->bytes, "\xff\xff\xff\xff\xff\xff", NET_MAC_SIZE))
        e1000_count(e, E1000_BPRC, 1);
    else if (in->bytes[0] & 1)
        e1000_count(e, E1000_MPRC, 1);
}

/* --- checksums (SDM 3.2.9) --- */

/* `transport` of `size` bytes, behind a header whose addresses are at `addresses`. */
static void check_transport(struct incoming *in, unsigned protocol, const uint8_t *addresses,
                            size_t addresses_size, const uint8_t *transport, size_t size)
{
    uint16_t sum = net_sum(addresses, addresses_size, (uint16_t)protocol);

    if (protocol == PROTOCOL_UDP ? size < 8 || !e1000_get16(transport + 6)
                                 : protocol != PROTOCOL_TCP || size < 20)
        return;
    uint8_t length[2];
    e1000_put16(length, (uint16_t)size);
    sum = net_sum(length, sizeof(length), sum);
    in->status |= STATUS_TCPCS;
    if (net_sum(transport, size, sum) != 0xffff)
        in->errors |= ERROR_TCPE;
}

static void check_ipv4(struct e1000 *e, struct incoming *in, const uint8_t *ip, size_t left)
{
    uint32_t control = e->reg[E1000_RXCSUM];
    size_t header = left >= 20 ? (ip[0] & 15u) * 4 : 0;

    if (header < 20 || header > left || ip[0] >> 4 != 4)
        return;
    size_t total = e1000_get16(ip + 2);
    if (control & RXCSUM_IPOFL) {
        in->status |= STATUS_IPCS;
        if (net_sum(ip, header, 0) != 0xffff)
            in->errors |= ERROR_IPE;
    }
    /* Fragments have only a part of what the sum is of. */
    if ((control & RXCSUM_TUOFL) && !(e1000_get16(ip + 6) & 0x3fff) && total >= header &&
        total <= left)
        check_transport(in, ip[9], ip + 12, 8, ip + header, total - header);
}

static void check_ipv6(struct e1000 *e, struct incoming *in, const uint8_t *ip, size_t left)
{
    uint32_t control = e->reg[E1000_RXCSUM];

    if (left < 40 || ip[0] >> 4 != 6 || !(control & RXCSUM_IPV6OFL) || !(control & RXCSUM_TUOFL))
        return;
    size_t size = e1000_get16(ip + 4);
    if (size <= left - 40)
        check_transport(in, ip[6], ip + 8, 32, ip + 40, size);
}

static void check_sums(struct e1000 *e, struct incoming *in, bool tagged)
{
    unsigned header = NET_HEADER_SIZE + (tagged && !(in->status & STATUS_VP) ? E1000_TAG : 0);
    uint32_t start = e->reg[E1000_RXCSUM] & RXCSUM_PCSS;

    if (in->size > start)
        in->checksum = (uint16_t)~net_sum(in->bytes + start, in->size - start, 0);
    if (in->size > header) {
        unsigned type = e1000_get16(in->bytes + header - 2);
        if (type == TYPE_IPV4)
            check_ipv4(e, in, in->bytes + header, in->size - header);
        else if (type == TYPE_IPV6)
            check_ipv6(e, in, in->bytes + header, in->size - header);
    }
    if (!(in->status & (STATUS_IPCS | STATUS_TCPCS)))
        in->status |= STATUS_IXSM;
}

/* --- into memory --- */

/* The tag goes to the descriptor; what is left is one piece again. */
static void take_out_tag(struct incoming *in)
{
    in->tag = e1000_get16(in->bytes + MAC_ADDRESSES + 2);
    in->status |= STATUS_VP;
    memmove(in->room + MAC_ADDRESSES, in->bytes + MAC_ADDRESSES + E1000_TAG,
            in->size - MAC_ADDRESSES - E1000_TAG);
    memmove(in->room, in->bytes, MAC_ADDRESSES);
    in->bytes = in->room;
    in->size -= E1000_TAG;
}

/* A piece of the frame, then of the FCS. */
static void write_piece(struct e1000 *e, uint64_t address, const struct incoming *in,
                        const uint8_t fcs[E1000_FCS], size_t from, size_t count)
{
    enum mem_result result = MEM_OK;
    size_t of_frame = from < in->size ? in->size - from : 0;

    of_frame = of_frame < count ? of_frame : count;
    if (of_frame)
        result = dma_write(&e->pci.device, address, in->bytes + from, of_frame);
    if (of_frame < count) {
        size_t of_fcs = from + of_frame - in->size;
        dma_write(&e->pci.device, address + of_frame, fcs + of_fcs, count - of_frame);
    }
    if (result != MEM_OK)
        device_guest_error(&e->pci.device, "there is no memory to receive to at 0x%llx",
                           (unsigned long long)address);
}

/* Fills the descriptor at the head. Its buffer's size, or 0: it has none, and is only passed. */
static size_t fill_descriptor(struct e1000 *e, const struct incoming *in,
                              const uint8_t fcs[E1000_FCS], size_t from, size_t whole)
{
    uint64_t at = descriptor_address(e, e->reg[E1000_RDH]);
    uint8_t raw[E1000_DESCRIPTOR];
    size_t count = buffer_size(e);

    if (dma_read(&e->pci.device, at, raw, sizeof(raw)) != MEM_OK) {
        device_guest_error(&e->pci.device, "there is no memory for receive descriptor %u at 0x%llx",
                           e->reg[E1000_RDH], (unsigned long long)at);
        return 0;
    }
    uint64_t address = e1000_get64(raw);
    if (!address) { /* SDM 3.2.5.2: padding */
        raw[12] |= STATUS_DD;
        dma_write(&e->pci.device, at, raw, sizeof(raw));
        return 0;
    }
    count = count < whole - from ? count : whole - from;
    write_piece(e, address, in, fcs, from, count);
    bool last = from + count == whole;
    pci_set16(raw + 8, (uint16_t)count);
    pci_set16(raw + 10, last ? in->checksum : 0);
    raw[12] = (uint8_t)(STATUS_DD | (last ? STATUS_EOP | in->status : in->status & STATUS_VP));
    raw[13] = last ? in->errors : 0;
    pci_set16(raw + 14, in->tag);
    dma_write(&e->pci.device, at + 8, raw + 8, 8);
    return count;
}

/* False: the queue has not enough descriptors. */
static bool store(struct e1000 *e, const struct incoming *in)
{
    bool with_fcs = !(e->reg[E1000_RCTL] & RCTL_SECRC);
    size_t whole = in->size + (with_fcs ? E1000_FCS : 0), done = 0;
    uint32_t left = free_descriptors(e), count = queue_size(e), buffer = buffer_size(e);
    uint8_t fcs[E1000_FCS] = {0};

    if (left < (whole + buffer - 1) / buffer)
        return false;
    if (with_fcs)
        pci_set32(fcs, net_crc(&e->crc, in->bytes, in->size));
    /* DMA that leads into the registers may change them: `left` bounds it. */
    while (done < whole && left-- && e->reg[E1000_RDH] < count) {
        uint32_t head = e->reg[E1000_RDH];
        done += fill_descriptor(e, in, fcs, done, whole);
        e->reg[E1000_RDH] = head + 1 < count ? head + 1 : 0;
    }
    return done == whole;
}

static void overrun(struct e1000 *e, size_t size)
{
    trace_e1000_receiver_overrun(size, e->reg[E1000_RDH], e->reg[E1000_RDT]);
    e1000_count(e, E1000_RNBC, 1);
    e1000_count(e, E1000_MPC, 1);
    e1000_cause(e, CAUSE_RXO);
}

/* A frame was written. */
static void report(struct e1000 *e, size_t size)
{
    unsigned fraction = e->reg[E1000_RCTL] >> RCTL_RDMTS_SHIFT & 3;
    uint32_t delay = e->mitigation ? e->reg[E1000_RDTR] & 0xffff : 0, causes = 0;

    if (free_descriptors(e) <= queue_size(e) >> (fraction + 1))
        causes |= CAUSE_RXDMT0;
    if (size <= e->reg[E1000_RSRPD])
        causes |= CAUSE_SRPD;
    if (delay)
        e1000_delay(e, &e->receive_delay, delay, &e->receive_absolute, e->reg[E1000_RADV]);
    else
        causes |= CAUSE_RXT0;
    e1000_cause(e, causes);
}

/* --- a frame comes --- */

static bool is_too_long(const struct e1000 *e, const struct incoming *in)
{
    return in->size + E1000_FCS > LONG_FRAME && !(e->reg[E1000_RCTL] & RCTL_LPE);
}

static void take(struct e1000 *e, struct incoming *in)
{
    bool tagged = is_tagged(e, in->bytes), inexact;
    size_t size = in->size;

    e1000_count(e, E1000_TPR, 1);
    e1000_count64(e, E1000_TORL, (uint32_t)size + E1000_FCS);
    if (is_too_long(e, in)) {
        trace_e1000x_rx_oversized(size);
        e1000_count(e, E1000_ROC, 1);
        return;
    }
    if ((tagged && !passes_vlan(e, in->bytes)) || is_consumed(e, in) ||
        !passes_address(e, in->bytes, &inexact))
        return;
    count_frame(e, in);
    if (inexact)
        in->status |= STATUS_PIF;
    if (tagged && (e->reg[E1000_CTRL] & CTRL_VME))
        take_out_tag(in);
    check_sums(e, in, tagged);
    if (!store(e, in)) {
        overrun(e, size);
        return;
    }
    trace_e1000_receive_frame(size, in->status, in->errors, e->reg[E1000_RDH]);
    report(e, size + E1000_FCS);
}

void e1000_receive(void *opaque, const uint8_t *frame, size_t size)
{
    struct e1000 *e = opaque;
    struct incoming in; /* its room is not filled for nothing */
    bool loops = e1000_phy_loops(e) || (e->reg[E1000_RCTL] & RCTL_LBM) == RCTL_LBM;

    if (!e->link && !loops) {
        trace_e1000x_rx_link_down(e1000_status(e));
        return;
    }
    if (!is_enabled(e)) {
        trace_e1000x_rx_disabled(e->reg[E1000_RCTL]);
        return;
    }
    if (e->receiving || size > NET_FRAME_MAX || !e1000_may_master(e))
        return;
    in.bytes = frame;
    in.size = size;
    in.status = in.errors = 0;
    in.checksum = in.tag = 0;
    if (size < NET_FRAME_MIN) {
        memcpy(in.room, frame, size);
        memset(in.room + size, 0, NET_FRAME_MIN - size);
        in.bytes = in.room;
        in.size = NET_FRAME_MIN;
    }
    e->receiving = true;
    take(e, &in);
    e->receiving = false;
}
