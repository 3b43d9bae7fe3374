/* SPDX-License-Identifier: MIT
 *
 * The 82540EM, driven as a driver does: probing, the EEPROM both ways, the PHY, queues, checksums
 * and segmentation compared with what is computed here, filters, interrupts and their delays.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "device/e1000.h"
#include "device_harness.h"
#include "net/net.h"

enum {
    MMIO = 0xfebc0000,
    PORTS = 0xc000,
    SLOT = 3,
    RING_TX = 0x10000,
    RING_RX = 0x20000,
    BUFFERS_TX = 0x40000,
    BUFFERS_RX = 0x80000,
    RING = 16, /* descriptors */
    BUFFER = 2048,
    US = 1000,
    MS = 1000000,
};

/* Offsets of registers, from the manual. */
enum {
    CTRL = 0x0,
    STATUS = 0x8,
    EECD = 0x10,
    EERD = 0x14,
    MDIC = 0x20,
    FCAL = 0x28,
    FCAH = 0x2c,
    FCT = 0x30,
    VET = 0x38,
    ICR = 0xc0,
    ITR = 0xc4,
    ICS = 0xc8,
    IMS = 0xd0,
    IMC = 0xd8,
    RCTL = 0x100,
    TCTL = 0x400,
    PBA = 0x1000,
    RDBAL = 0x2800,
    RDBAH = 0x2804,
    RDLEN = 0x2808,
    RDH = 0x2810,
    RDT = 0x2818,
    RDTR = 0x2820,
    RADV = 0x282c,
    TDBAL = 0x3800,
    TDBAH = 0x3804,
    TDLEN = 0x3808,
    TDH = 0x3810,
    TDT = 0x3818,
    TIDV = 0x3820,
    TADV = 0x382c,
    RXCSUM = 0x5000,
    MTA = 0x5200,
    RAL = 0x5400,
    RAH = 0x5404,
    VFTA = 0x5600,
    GPRC = 0x4074,
    BPRC = 0x4078,
    GPTC = 0x4080,
    GORCL = 0x4088,
    GORCH = 0x408c,
    PTC64 = 0x40d8,
    MPC = 0x4010,
    ROC = 0x40ac,
    TPR = 0x40d0,
    TSCTC = 0x40f8,
};

enum { TXDW = 1, TXQE = 2, LSC = 4, RXDMT0 = 0x10, RXO = 0x40, RXT0 = 0x80, MDAC = 0x200 };
enum { DD = 1, EOP = 2, IXSM = 4, VP = 8, TCPCS = 0x20, IPCS = 0x40, PIF = 0x80 };

/* Who is at the other end of the wire: keeps what comes. */
enum { KEPT = 64 };
struct peer {
    struct net_end end;
    unsigned count;
    size_t size[KEPT];
    uint8_t frame[KEPT][NET_FRAME_MAX];
    bool deaf;
    unsigned writable;
};

static bool peer_can_receive(void *opaque)
{
    return !((struct peer *)opaque)->deaf;
}

static void peer_receive(void *opaque, const uint8_t *frame, size_t size)
{
    struct peer *peer = opaque;
    if (peer->count < KEPT) {
        peer->size[peer->count] = size;
        memcpy(peer->frame[peer->count], frame, size);
    }
    peer->count++;
}

static void peer_writable(void *opaque)
{
    ((struct peer *)opaque)->writable++;
}

static const struct net_ops peer_ops = {
    .type = "peer",
    .can_receive = peer_can_receive,
    .receive = peer_receive,
    .writable = peer_writable,
};

struct machine {
    struct harness h;
    struct nets *nets;
    struct peer peer;
    struct e1000 *nic;
    unsigned tx_tail, rx_head;
};

static uint32_t get(struct machine *m, unsigned offset)
{
    return load32(&m->h, MMIO + offset);
}

static void put(struct machine *m, unsigned offset, uint32_t value)
{
    store32(&m->h, MMIO + offset, value);
}

static bool irq(struct machine *m)
{
    return m->h.pin[SLOT * PCI_PINS].level;
}

/* A NIC of these properties, with its registers where firmware puts them. */
static void begin_with(struct machine *m, const char *property)
{
    memset(m, 0, sizeof(*m));
    harness_begin(&m->h);
    m->nets = nets_new(NULL, &m->h.clock);
    m->h.board.nets = m->nets;
    m->nic = (struct e1000 *)harness_add(&m->h, "e1000", "addr=3", property, NULL);
    /* The wire's other end, which is a NIC to the room. */
    struct error err;
    uint8_t mac[6] = {0x52, 0x55, 10, 0, 2, 2};
    m->peer.end.ops = &peer_ops;
    m->peer.end.opaque = &m->peer;
    if (!net_nic_attach(&m->peer.end, m->nets, "peer", NULL, &m->nic->nic, mac, &err))
        bug("%s", err.text);
    harness_reset(&m->h);
    config_write32(&m->h, SLOT, 0, PCI_BAR0, MMIO);
    config_write32(&m->h, SLOT, 0, PCI_BAR0 + 4, PORTS);
    config_write16(&m->h, SLOT, 0, PCI_COMMAND, 7);
}

static void begin(struct machine *m)
{
    begin_with(m, NULL);
}

static void end(struct machine *m)
{
    net_nic_detach(&m->peer.end);
    harness_end(&m->h);
    nets_free(m->nets);
}

/* --- what drivers do --- */

static uint16_t phy_read(struct machine *m, unsigned number)
{
    put(m, MDIC, 2u << 26 | 1 << 21 | number << 16);
    uint32_t value = get(m, MDIC);
    assert_int_equal(value >> 28 & 7, 1);
    return (uint16_t)value;
}

static void phy_write(struct machine *m, unsigned number, uint16_t value)
{
    put(m, MDIC, 1u << 26 | 1 << 21 | number << 16 | value);
    assert_int_equal(get(m, MDIC) >> 28 & 7, 1);
}

static void eecd_clock(struct machine *m, uint32_t lines)
{
    put(m, EECD, lines | 1);
    put(m, EECD, lines);
}

enum { CS = 2, DI = 4, DO = 8, REQ = 0x40, GNT = 0x80 };

static void eecd_out(struct machine *m, unsigned value, unsigned bits)
{
    while (bits--)
        eecd_clock(m, REQ | CS | (value >> bits & 1 ? DI : 0));
}

static uint16_t eecd_word(struct machine *m, unsigned word)
{
    uint16_t value = 0;
    put(m, EECD, REQ);
    assert_true(get(m, EECD) & GNT);
    put(m, EECD, REQ | CS);
    eecd_out(m, 6, 3);
    eecd_out(m, word, 6);
    for (unsigned i = 0; i < 16; i++) {
        put(m, EECD, REQ | CS | 1);
        value = (uint16_t)(value << 1 | !!(get(m, EECD) & DO));
        put(m, EECD, REQ | CS);
    }
    put(m, EECD, 0);
    assert_false(get(m, EECD) & GNT);
    return value;
}

static void eecd_command(struct machine *m, unsigned command, unsigned bits)
{
    put(m, EECD, REQ | CS);
    eecd_out(m, command, bits);
    put(m, EECD, REQ);
    put(m, EECD, REQ | CS);
    assert_true(get(m, EECD) & DO); /* ready */
    put(m, EECD, 0);
}

static uint16_t eerd_word(struct machine *m, unsigned word)
{
    put(m, EERD, word << 8 | 1);
    uint32_t value = get(m, EERD);
    assert_true(value & 0x10);
    return (uint16_t)(value >> 16);
}

static void start_queues(struct machine *m)
{
    put(m, TDBAL, RING_TX);
    put(m, TDLEN, RING * 16);
    put(m, TCTL, 1 << 1 | 1 << 3 | 0x10 << 4 | 0x40 << 12);
    put(m, RDBAL, RING_RX);
    put(m, RDLEN, RING * 16);
    for (unsigned i = 0; i < RING; i++) {
        store64(&m->h, RING_RX + i * 16, BUFFERS_RX + i * BUFFER);
        store64(&m->h, RING_RX + i * 16 + 8, 0);
    }
    put(m, RCTL, 1 << 1 | 1 << 15 | 1 << 26); /* on, broadcasts, without FCS */
    put(m, RDT, RING - 1);
    m->tx_tail = m->rx_head = 0;
}

/* A transmit descriptor at the tail; the tail register is not written. */
static void push(struct machine *m, uint64_t first, uint64_t second)
{
    store64(&m->h, RING_TX + m->tx_tail * 16, first);
    store64(&m->h, RING_TX + m->tx_tail * 16 + 8, second);
    m->tx_tail = (m->tx_tail + 1) % RING;
}

static void kick(struct machine *m)
{
    put(m, TDT, m->tx_tail);
}

enum { C_EOP = 1, C_IFCS = 2, C_IC = 4, C_TSE = 4, C_RS = 8, C_DEXT = 0x20, C_VLE = 0x40 };
enum { C_IDE = 0x80 };

static void push_legacy(struct machine *m, uint64_t at, unsigned size, unsigned command,
                        unsigned start, unsigned offset, unsigned tag)
{
    push(m, at,
         size | (uint64_t)offset << 16 | (uint64_t)command << 24 | (uint64_t)start << 40 |
             (uint64_t)tag << 48);
}

static void push_data(struct machine *m, uint64_t at, unsigned size, unsigned command,
                      unsigned options, unsigned tag)
{
    push(m, at,
         size | 1ull << 20 | (uint64_t)(command | C_DEXT) << 24 | (uint64_t)options << 40 |
             (uint64_t)tag << 48);
}

/* ip_end, end: 0 for the last byte. */
static void push_context(struct machine *m, unsigned ip_start, unsigned ip_end, unsigned start,
                         unsigned offset, unsigned command, unsigned header, unsigned segment,
                         unsigned payload)
{
    push(m,
         ip_start | (uint64_t)(ip_start + 10) << 8 | (uint64_t)ip_end << 16 |
             (uint64_t)start << 32 | (uint64_t)offset << 40,
         payload | (uint64_t)(command | C_DEXT) << 24 | (uint64_t)header << 40 |
             (uint64_t)segment << 48);
}

/* --- frames --- */

static const uint8_t own[6] = {0x52, 0x54, 0x00, 0x12, 0x34, 0x56};

static void put16(uint8_t *at, unsigned value)
{
    at[0] = (uint8_t)(value >> 8);
    at[1] = (uint8_t)value;
}

static unsigned get16(const uint8_t *at)
{
    return (unsigned)(at[0] << 8 | at[1]);
}

/* RFC 1071, word by word. */
static unsigned sum_of(const uint8_t *at, size_t size, unsigned sum)
{
    for (size_t i = 0; i < size; i++)
        sum += i & 1 ? at[i] : (unsigned)at[i] << 8;
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return sum;
}

static unsigned pseudo_sum(const uint8_t *ip, unsigned length)
{
    return sum_of(ip + 12, 8, ip[9] + length);
}

/* Ethernet, IPv4, TCP or UDP; sums are 0. The size of the whole. */
static size_t build(uint8_t *frame, unsigned protocol, size_t payload)
{
    size_t transport = protocol == 6 ? 20 : 8;
    uint8_t *ip = frame + 14, *header = ip + 20;
    memset(frame, 0, 14 + 20 + transport);
    memcpy(frame, "\x52\x55\x0a\x00\x02\x02", 6);
    memcpy(frame + 6, own, 6);
    put16(frame + 12, 0x800);
    ip[0] = 0x45;
    put16(ip + 2, (unsigned)(20 + transport + payload));
    put16(ip + 4, 0x1234);
    ip[6] = 0x40;
    ip[8] = 64;
    ip[9] = (uint8_t)protocol;
    memcpy(ip + 12, "\x0a\x00\x02\x0f\x0a\x00\x02\x02", 8);
    put16(header, 1025);
    put16(header + 2, 80);
    if (protocol == 6) {
        put16(header + 4, 0x1000);
        put16(header + 6, 0xff00);
        header[12] = 0x50;
        header[13] = 0x19; /* FIN, PSH, ACK */
    } else {
        put16(header + 4, (unsigned)(8 + payload));
    }
    for (size_t i = 0; i < payload; i++)
        header[transport + i] = (uint8_t)(i * 7 + (i >> 8));
    return 34 + transport + payload;
}

/* Fills in all sums. */
static void complete(uint8_t *frame)
{
    uint8_t *ip = frame + 14, *header = ip + 20;
    unsigned length = get16(ip + 2) - 20, at = ip[9] == 6 ? 16 : 6;
    put16(ip + 10, 0);
    put16(ip + 10, ~sum_of(ip, 20, 0) & 0xffff);
    put16(header + at, 0);
    put16(header + at, ~sum_of(header, length, pseudo_sum(ip, length)) & 0xffff);
}

/* As a driver prepares it: the pseudo header's sum in the transport's field, IP's 0. */
static void prepare(uint8_t *frame, bool with_length)
{
    uint8_t *ip = frame + 14;
    unsigned length = with_length ? get16(ip + 2) - 20 : 0;
    put16(ip + 20 + (ip[9] == 6 ? 16 : 6), pseudo_sum(ip, length));
}

static void assert_good_sums(const uint8_t *frame)
{
    const uint8_t *ip = frame + 14;
    unsigned length = get16(ip + 2) - 20;
    assert_int_equal(sum_of(ip, 20, 0), 0xffff);
    assert_int_equal(sum_of(ip + 20, length, pseudo_sum(ip, length)), 0xffff);
}

/* A frame for the NIC, from the other end. */
static bool arrive(struct machine *m, const uint8_t *frame, size_t size)
{
    return net_send(&m->peer.end, frame, size);
}

static const uint8_t broadcast[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

static size_t simple(uint8_t *frame, const uint8_t to[6], size_t size)
{
    memcpy(frame, to, 6);
    memcpy(frame + 6, "\x52\x55\x0a\x00\x02\x02", 6);
    put16(frame + 12, 0x88b5);
    for (size_t i = 14; i < size; i++)
        frame[i] = (uint8_t)i;
    return size;
}

struct received {
    unsigned size, checksum, status, errors, tag;
};

/* The descriptor that the hardware has just given back. */
static struct received next_received(struct machine *m)
{
    uint64_t words = load64(&m->h, RING_RX + m->rx_head * 16 + 8);
    m->rx_head = (m->rx_head + 1) % RING;
    return (struct received){(unsigned)(words & 0xffff), (unsigned)(words >> 16 & 0xffff),
                             (unsigned)(words >> 32 & 0xff), (unsigned)(words >> 40 & 0xff),
                             (unsigned)(words >> 48)};
}

static const uint8_t *ram(struct machine *m, uint64_t at)
{
    return mem_host(&m->h.ram) + at;
}

static void to_ram(struct machine *m, uint64_t at, const void *bytes, size_t size)
{
    mem_write(m->h.board.memory, 0, at, bytes, size);
}

/* --- tests --- */

static void probe(void **state)
{
    struct machine m;
    uint16_t sum = 0;

    (void)state;
    begin(&m);
    assert_int_equal(config_read32(&m.h, SLOT, 0, 0), 0x100e8086);
    assert_int_equal(config_read32(&m.h, SLOT, 0, 8), 0x02000003);
    assert_int_equal(config_read32(&m.h, SLOT, 0, 0x2c), 0x11001af4);
    assert_int_equal(config_read8(&m.h, SLOT, 0, PCI_INTERRUPT_PIN), 1);
    config_write32(&m.h, SLOT, 0, PCI_BAR0, 0xffffffff);
    assert_int_equal(config_read32(&m.h, SLOT, 0, PCI_BAR0), 0xfffe0000);
    config_write32(&m.h, SLOT, 0, PCI_BAR0 + 4, 0xffffffff);
    assert_int_equal(config_read32(&m.h, SLOT, 0, PCI_BAR0 + 4), 0xffffffc1);
    config_write32(&m.h, SLOT, 0, PCI_BAR0, MMIO);
    config_write32(&m.h, SLOT, 0, PCI_BAR0 + 4, PORTS);

    /* Linux: masks, resets, waits, masks again. */
    put(&m, IMC, 0xffffffff);
    put(&m, RCTL, 0);
    put(&m, TCTL, 8);
    put(&m, CTRL, get(&m, CTRL) | 1 << 26);
    assert_int_equal(get(&m, CTRL) & 1 << 26, 0);
    assert_int_equal(get(&m, RCTL), 0);
    assert_int_equal(get(&m, IMS), 0);
    for (unsigned word = 0; word < 64; word++) {
        uint16_t value = eecd_word(&m, word);
        assert_int_equal(value, eerd_word(&m, word));
        sum = (uint16_t)(sum + value);
    }
    assert_int_equal(sum, 0xbaba);
    assert_int_equal(eerd_word(&m, 0), 0x5452);
    assert_int_equal(eerd_word(&m, 2), 0x5634);
    assert_int_equal(get(&m, RAL), 0x12005452);
    assert_int_equal(get(&m, RAH), 0x80005634);
    assert_int_equal(phy_read(&m, 2), 0x0141);
    assert_int_equal(phy_read(&m, 3), 0x0c20);
    assert_int_equal(get(&m, PBA), 16 << 16 | 48);
    assert_int_equal(get(&m, VET), 0x8100);
    /* 1000 Mbit/s, full duplex, 33 MHz, 32 bits */
    assert_int_equal(get(&m, STATUS), 0x283);
    end(&m);
}

static void names(void **state)
{
    static const struct {
        unsigned offset;
        const char *name;
    } rows[] = {
        {CTRL, "CTRL"},          {MTA, "MTA0"},       {MTA + 4 * 99, "MTA99"},
        {RAL + 8 * 15, "RAL15"}, {RAH + 8, "RAH1"},   {VFTA + 508, "VFTA127"},
        {0x5a7c, "WUPM31"},      {0x93f8, "FFMT127"}, {0x9800, "FFVT0"},
        {0x5858, "IP4AT3"},      {0x588c, "IP6AT3"},  {0x5f18, "FFLT3"},
        {TSCTC + 4, "TSCTFC"},
    };
    struct machine m;

    (void)state;
    begin(&m);
    for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const struct mem_register *found = mem_register_at(&m.nic->mmio, rows[i].offset);
        assert_non_null(found);
        assert_string_equal(found->name, rows[i].name);
    }
    assert_null(mem_register_at(&m.nic->mmio, 0x0c));
    struct strbuf text;
    strbuf_init(&text);
    mem_register_print(mem_register_at(&m.nic->mmio, RCTL), 0x8002, &text);
    assert_non_null(strstr(text.data, "RCTL EN=1 "));
    assert_non_null(strstr(text.data, " BAM=1 "));
    strbuf_free(&text);
    end(&m);
}

static void eeprom_writes(void **state)
{
    struct machine m;

    (void)state;
    begin(&m);
    uint16_t before = eecd_word(&m, 20);
    /* WRITE before EWEN */
    eecd_command(&m, 5u << 22 | 20 << 16 | 0x1234, 25);
    assert_int_equal(eecd_word(&m, 20), before);
    eecd_command(&m, 4 << 6 | 0x30, 9); /* EWEN */
    eecd_command(&m, 5u << 22 | 20 << 16 | 0x1234, 25);
    assert_int_equal(eecd_word(&m, 20), 0x1234);
    eecd_command(&m, 7 << 6 | 20, 9); /* ERASE */
    assert_int_equal(eecd_word(&m, 20), 0xffff);
    eecd_command(&m, 4 << 6 | 0x00, 9); /* EWDS */
    eecd_command(&m, 5u << 22 | 20 << 16 | 0x4321, 25);
    assert_int_equal(eecd_word(&m, 20), 0xffff);
    /* One word after the other, without a new command. */
    put(&m, EECD, REQ | CS);
    eecd_out(&m, 6, 3);
    eecd_out(&m, 0, 6);
    uint32_t two = 0;
    for (unsigned i = 0; i < 32; i++) {
        put(&m, EECD, REQ | CS | 1);
        two = two << 1 | !!(get(&m, EECD) & DO);
        put(&m, EECD, REQ | CS);
    }
    assert_int_equal(two, 0x54521200);
    end(&m);
}

static void phy_and_link(void **state)
{
    struct machine m;
    struct error err;

    (void)state;
    begin(&m);
    assert_int_equal(phy_read(&m, 1) & 0x24, 0x24);
    assert_int_equal(phy_read(&m, 17), 0xac00);
    assert_int_equal(phy_read(&m, 10) & 0x3000, 0x3000);
    put(&m, IMS, LSC);
    get(&m, ICR);
    phy_write(&m, 0, 0x1340); /* negotiate anew */
    assert_int_equal(get(&m, STATUS) & 2, 0);
    assert_true(irq(&m));
    assert_int_equal(get(&m, ICR), LSC);
    assert_false(irq(&m));
    assert_int_equal(phy_read(&m, 0), 0x1140);
    assert_int_equal(phy_read(&m, 1) & 0x24, 0);
    harness_advance(&m.h, 499ull * MS);
    assert_int_equal(get(&m, STATUS) & 2, 0);
    harness_advance(&m.h, 2 * MS);
    assert_int_equal(get(&m, STATUS) & 2, 2);
    assert_int_equal(get(&m, ICR), LSC);
    assert_int_equal(phy_read(&m, 1) & 4, 0); /* it was lost, which is told once */
    assert_int_equal(phy_read(&m, 1) & 0x24, 0x24);
    assert_int_equal(phy_read(&m, 5), 0x41e1);

    /* set_link */
    assert_true(nets_set_link(m.nets, "e1000.0", false, &err));
    assert_int_equal(get(&m, STATUS) & 2, 0);
    assert_int_equal(get(&m, ICR), LSC);
    assert_true(nets_set_link(m.nets, "e1000.0", true, &err));
    harness_advance(&m.h, 500ull * MS);
    assert_int_equal(get(&m, STATUS) & 2, 2);
    assert_false(nets_set_link(m.nets, "nobody", true, &err));
    assert_string_equal(err.text, "Device 'nobody' not found");

    /* No PHY at another address; and the interrupt of MDIC. */
    put(&m, MDIC, 2u << 26 | 2 << 21 | 2 << 16);
    assert_int_equal(get(&m, MDIC) >> 28 & 7, 5);
    get(&m, ICR);
    put(&m, MDIC, 2u << 26 | 1 << 21 | 2 << 16 | 1 << 29);
    assert_int_equal(get(&m, ICR), MDAC);
    end(&m);

    begin_with(&m, "autonegotiation=off");
    phy_write(&m, 0, 0x1340);
    assert_int_equal(get(&m, STATUS) & 2, 2);
    end(&m);
}

static void io_space(void **state)
{
    struct machine m;

    (void)state;
    begin(&m);
    out32(&m.h, PORTS, RAL);
    assert_int_equal(in32(&m.h, PORTS), RAL);
    assert_int_equal(in32(&m.h, PORTS + 4), 0x12005452);
    out32(&m.h, PORTS, VET);
    out32(&m.h, PORTS + 4, 0x88a8);
    assert_int_equal(get(&m, VET), 0x88a8);
    out32(&m.h, PORTS, 0x20000);
    assert_int_equal(in32(&m.h, PORTS + 4), 0);
    end(&m);
}

static void legacy(void **state)
{
    struct machine m;
    uint8_t frame[NET_FRAME_MAX];

    (void)state;
    begin(&m);
    start_queues(&m);
    put(&m, IMS, TXDW | TXQE);
    size_t size = build(frame, 17, 101);
    prepare(frame, true);
    put16(frame + 14 + 10, ~sum_of(frame + 14, 20, 0) & 0xffff);
    /* In three pieces, with the checksum of UDP inserted. */
    to_ram(&m, BUFFERS_TX, frame, size);
    push_legacy(&m, BUFFERS_TX, 14, 0, 0, 0, 0);
    push_legacy(&m, BUFFERS_TX + 14, 3, 0, 0, 0, 0);
    push_legacy(&m, BUFFERS_TX + 17, (unsigned)size - 17, C_EOP | C_IFCS | C_IC | C_RS, 34, 40, 0);
    assert_int_equal(m.peer.count, 0);
    kick(&m);
    assert_int_equal(m.peer.count, 1);
    complete(frame);
    assert_int_equal(m.peer.size[0], size);
    assert_memory_equal(m.peer.frame[0], frame, size);
    assert_int_equal(get(&m, TDH), 3);
    assert_int_equal(load8(&m.h, RING_TX + 12) & DD, 0);
    assert_int_equal(load8(&m.h, RING_TX + 2 * 16 + 12) & DD, DD);
    assert_true(irq(&m));
    assert_int_equal(get(&m, ICR), TXDW | TXQE);

    /* Short ones are padded; without RS nothing is reported. */
    push_legacy(&m, BUFFERS_TX, 20, C_EOP | C_IFCS, 0, 0, 0);
    kick(&m);
    assert_int_equal(m.peer.size[1], 60);
    assert_int_equal(get(&m, ICR), TXQE);

    /* A tag, if CTRL.VME allows. */
    push_legacy(&m, BUFFERS_TX, 60, C_EOP | C_IFCS | C_VLE, 0, 0, 0x2064);
    kick(&m);
    assert_int_equal(m.peer.size[2], 60);
    put(&m, CTRL, get(&m, CTRL) | 1 << 30);
    push_legacy(&m, BUFFERS_TX, 60, C_EOP | C_IFCS | C_VLE, 0, 0, 0x2064);
    kick(&m);
    assert_int_equal(m.peer.size[3], 64);
    assert_memory_equal(m.peer.frame[3], ram(&m, BUFFERS_TX), 12);
    assert_int_equal(get16(m.peer.frame[3] + 12), 0x8100);
    assert_int_equal(get16(m.peer.frame[3] + 14), 0x2064);
    assert_memory_equal(m.peer.frame[3] + 16, ram(&m, BUFFERS_TX + 12), 48);

    /* With an FCS of the driver's own, which is not carried. */
    size = simple(frame, broadcast, 100);
    struct net_crc crc;
    net_crc_init(&crc);
    uint32_t fcs = net_crc(&crc, frame, size);
    to_ram(&m, BUFFERS_TX, frame, size);
    to_ram(&m, BUFFERS_TX + size, &fcs, 4);
    push_legacy(&m, BUFFERS_TX, (unsigned)size + 4, C_EOP, 0, 0, 0);
    kick(&m);
    assert_int_equal(m.peer.size[4], size);

    assert_int_equal(get(&m, GPTC), 5);
    assert_int_equal(get(&m, GPTC), 0); /* read once */
    assert_int_equal(get(&m, PTC64), 2);
    end(&m);
}

/* The residue of a frame with its FCS is a constant (IEEE 802.3). */
static void crc(void **state)
{
    struct net_crc crc;

    (void)state;
    net_crc_init(&crc);
    assert_int_equal(net_crc(&crc, "123456789", 9), 0xcbf43926);
    for (size_t size = 0; size < 20; size++)
        assert_int_equal(net_sum("abcdefghijklmnopqrstuvw", size, 0xfff0),
                         sum_of((const uint8_t *)"abcdefghijklmnopqrstuvw", size, 0xfff0));
}

static void checksums(void **state)
{
    struct machine m;
    uint8_t frame[NET_FRAME_MAX];

    (void)state;
    begin(&m);
    start_queues(&m);
    static const unsigned protocols[] = {6, 17};
    for (unsigned i = 0; i < 2; i++) {
        for (unsigned payload = 30; payload < 34; payload++) {
            size_t size = build(frame, protocols[i], payload);
            prepare(frame, true);
            to_ram(&m, BUFFERS_TX, frame, size);
            push_context(&m, 14, 33, 34, protocols[i] == 6 ? 50 : 40, protocols[i] == 6 ? 3 : 2, 0,
                         0, 0);
            push_data(&m, BUFFERS_TX, 40, C_IFCS, 3, 0);
            push_data(&m, BUFFERS_TX + 40, (unsigned)size - 40, C_EOP | C_IFCS | C_RS, 0, 0);
            m.peer.count = 0;
            kick(&m);
            assert_int_equal(m.peer.count, 1);
            complete(frame);
            assert_int_equal(m.peer.size[0], size);
            assert_memory_equal(m.peer.frame[0], frame, size);
        }
    }
    /* Without options the context does nothing. */
    size_t size = build(frame, 6, 100);
    to_ram(&m, BUFFERS_TX, frame, size);
    push_data(&m, BUFFERS_TX, (unsigned)size, C_EOP | C_IFCS, 0, 0);
    m.peer.count = 0;
    kick(&m);
    assert_memory_equal(m.peer.frame[0], frame, size);
    /* UDP has no sum of 0. */
    size = build(frame, 17, 18);
    complete(frame);
    unsigned sum = get16(frame + 40), word = get16(frame + 42);
    put16(frame + 42, sum_of(NULL, 0, word + sum)); /* makes the sum 0 */
    put16(frame + 24, 0);
    prepare(frame, true);
    to_ram(&m, BUFFERS_TX, frame, size);
    push_context(&m, 14, 33, 34, 40, 2, 0, 0, 0);
    push_data(&m, BUFFERS_TX, (unsigned)size, C_EOP | C_IFCS, 3, 0);
    m.peer.count = 0;
    kick(&m);
    assert_int_equal(get16(m.peer.frame[0] + 40), 0xffff);
    assert_good_sums(m.peer.frame[0]);
    end(&m);
}

static void segmentation(void **state)
{
    struct machine m;
    static uint8_t frame[NET_FRAME_MAX], whole[NET_FRAME_MAX];
    enum { PAYLOAD = 5000, MSS = 1460 };

    (void)state;
    begin(&m);
    start_queues(&m);
    put(&m, CTRL, get(&m, CTRL) | 1 << 30);
    for (unsigned tagged = 0; tagged < 2; tagged++) {
        size_t size = build(frame, 6, PAYLOAD), got = 0;
        unsigned command = C_TSE | C_IFCS | (tagged ? C_VLE : 0);
        put16(frame + 16, 0); /* the length is the hardware's */
        prepare(frame, false);
        to_ram(&m, BUFFERS_TX, frame, size);
        push_context(&m, 14, 33, 34, 50, 3 | C_TSE, 54, MSS, PAYLOAD);
        push_data(&m, BUFFERS_TX, 54, command, 3, 77);
        push_data(&m, BUFFERS_TX + 54, 3000, command, 3, 77);
        push_data(&m, BUFFERS_TX + 3054, PAYLOAD - 3000, command | C_EOP | C_RS, 3, 77);
        m.peer.count = 0;
        kick(&m);
        assert_int_equal(m.peer.count, 4);
        for (unsigned i = 0; i < 4; i++) {
            uint8_t *segment = m.peer.frame[i];
            size_t length = m.peer.size[i];
            if (tagged) {
                assert_int_equal(get16(segment + 12), 0x8100);
                assert_int_equal(get16(segment + 14), 77);
                memmove(segment + 4, segment, 12);
                segment += 4;
                length -= 4;
            }
            assert_int_equal(get16(segment + 16), length - 14);
            assert_int_equal(get16(segment + 18), 0x1234 + i);
            uint32_t sequence = get16(segment + 38) << 16 | get16(segment + 40);
            assert_int_equal(sequence, 0x1000ff00 + i * MSS);
            assert_int_equal(segment[47], i == 3 ? 0x19 : 0x10);
            assert_int_equal(length, i == 3 ? 54 + PAYLOAD - 3 * MSS : 54 + MSS);
            assert_good_sums(segment);
            memcpy(whole + got, segment + 54, length - 54);
            got += length - 54;
        }
        assert_int_equal(got, PAYLOAD);
        assert_memory_equal(whole, frame + 54, PAYLOAD);
    }
    assert_int_equal(get(&m, TSCTC), 2);
    end(&m);
}

/* UDP in pieces, and a last segment that is exactly full. */
static void segmentation_of_udp(void **state)
{
    struct machine m;
    static uint8_t frame[NET_FRAME_MAX];

    (void)state;
    begin(&m);
    start_queues(&m);
    size_t size = build(frame, 17, 2000);
    put16(frame + 16, 0);
    put16(frame + 38, 0);
    prepare(frame, false);
    to_ram(&m, BUFFERS_TX, frame, size);
    push_context(&m, 14, 33, 34, 40, 2 | C_TSE, 42, 1000, 2000);
    push_data(&m, BUFFERS_TX, (unsigned)size, C_TSE | C_IFCS | C_EOP | C_RS, 3, 0);
    kick(&m);
    assert_int_equal(m.peer.count, 2);
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(m.peer.size[i], 1042);
        assert_int_equal(get16(m.peer.frame[i] + 38), 1008);
        assert_good_sums(m.peer.frame[i]);
    }
    end(&m);
}

/* What no driver does. */
static void bad_descriptors(void **state)
{
    struct machine m;

    (void)state;
    begin(&m);
    start_queues(&m);
    /* Longer than any frame; of an impossible type; segments of 0; from nowhere. */
    for (unsigned i = 0; i < 4; i++)
        push_data(&m, 0, 0xfffff, C_IFCS, 0, 0);
    push_data(&m, 0, 0xfffff, C_IFCS | C_EOP | C_RS, 0, 0);
    kick(&m);
    harness_advance(&m.h, 1 * MS); /* much at once is sent in parts */
    assert_int_equal(load8(&m.h, RING_TX + 4 * 16 + 12) & DD, DD);
    push(&m, 0, 7ull << 20 | (uint64_t)(C_DEXT | C_EOP | C_RS) << 24);
    push_context(&m, 14, 33, 34, 50, 3 | C_TSE, 0, 0, 0);
    push_data(&m, BUFFERS_TX, 3000, C_TSE | C_IFCS | C_EOP | C_RS, 3, 0);
    push_context(&m, 255, 33, 255, 255, 3 | C_TSE, 1, 0xffff, 0);
    push_data(&m, BUFFERS_TX, 0xfffff, C_TSE | C_IFCS | C_EOP | C_RS, 3, 0);
    push_legacy(&m, UINT64_C(0x123456789000), 100, C_EOP | C_IFCS | C_RS, 0, 0, 0);
    kick(&m);
    harness_advance(&m.h, 1 * MS);
    assert_int_equal(get(&m, TDH), m.tx_tail);
    assert_int_equal(m.peer.count, 0);
    /* A context with no segments that comes when a frame has begun. */
    push_context(&m, 14, 33, 34, 50, 3 | C_TSE, 54, 100, 0);
    push_data(&m, BUFFERS_TX, 100, C_TSE | C_IFCS, 3, 0);
    push_context(&m, 14, 33, 34, 50, 3 | C_TSE, 54, 0, 0);
    push_data(&m, BUFFERS_TX, 1000, C_TSE | C_IFCS | C_EOP, 3, 0);
    kick(&m);
    harness_advance(&m.h, 1 * MS);
    assert_int_equal(get(&m, TDH), m.tx_tail);
    /* A tail behind the queue. */
    put(&m, TDT, RING);
    assert_int_equal(get(&m, TDH), m.tx_tail);
    /* The queue is in the NIC's own registers. */
    put(&m, TDT, m.tx_tail);
    put(&m, TDBAL, MMIO + TDBAL);
    put(&m, TDT, (m.tx_tail + 5) % RING);
    harness_advance(&m.h, 10 * MS);
    put(&m, TDBAL, RING_TX);
    assert_int_equal(get(&m, TDH), (m.tx_tail + 5) % RING);
    end(&m);
}

/* So much at once that others get a turn in between. */
static void long_queue(void **state)
{
    struct machine m;
    enum { MANY = 4096 };

    (void)state;
    begin(&m);
    start_queues(&m);
    put(&m, TDLEN, MANY * 16);
    for (unsigned i = 0; i < MANY - 1; i++) {
        store64(&m.h, RING_TX + i * 16, BUFFERS_RX);
        store64(&m.h, RING_TX + i * 16 + 8, 60 | (uint64_t)(C_EOP | C_IFCS) << 24);
    }
    put(&m, TDT, MANY - 1);
    assert_in_range(m.peer.count, 100, MANY - 2);
    assert_int_equal(get(&m, ICR) & TXQE, 0);
    harness_advance(&m.h, 1 * MS);
    assert_int_equal(m.peer.count, MANY - 1);
    assert_int_equal(get(&m, ICR) & TXQE, TXQE);
    end(&m);
}

static void receiving(void **state)
{
    struct machine m;
    uint8_t frame[NET_FRAME_MAX];

    (void)state;
    begin(&m);
    size_t size = simple(frame, broadcast, 100);
    assert_true(arrive(&m, frame, size)); /* not enabled: gone */
    start_queues(&m);
    put(&m, IMS, RXT0);
    assert_true(arrive(&m, frame, size));
    assert_int_equal(get(&m, RDH), 1);
    struct received r = next_received(&m);
    assert_int_equal(r.size, 100);
    assert_int_equal(r.status, DD | EOP | IXSM);
    assert_int_equal(r.errors, 0);
    assert_int_equal(r.checksum, ~sum_of(frame, 100, 0) & 0xffff);
    assert_memory_equal(ram(&m, BUFFERS_RX), frame, 100);
    assert_true(irq(&m));
    assert_int_equal(get(&m, ICR) & RXT0, RXT0);
    assert_false(irq(&m));
    assert_int_equal(get(&m, BPRC), 1);
    assert_int_equal(get(&m, GPRC), 1);
    assert_int_equal(get(&m, GORCL), 104);
    assert_int_equal(get(&m, GORCL), 104); /* until the upper half is read */
    assert_int_equal(get(&m, GORCH), 0);
    assert_int_equal(get(&m, GORCL), 0);

    /* Short ones are padded, and the FCS is there unless SECRC takes it off. */
    put(&m, RCTL, 1 << 1 | 1 << 15);
    assert_true(arrive(&m, frame, 42));
    r = next_received(&m);
    assert_int_equal(r.size, 64);
    struct net_crc crc;
    net_crc_init(&crc);
    uint8_t padded[60] = {0};
    memcpy(padded, frame, 42);
    assert_memory_equal(ram(&m, BUFFERS_RX + BUFFER), padded, 60);
    assert_int_equal(load32(&m.h, BUFFERS_RX + BUFFER + 60), net_crc(&crc, padded, 60));

    /* Too long for RCTL without LPE; with it over several small buffers. */
    size = simple(frame, broadcast, 4000);
    assert_true(arrive(&m, frame, size));
    assert_int_equal(get(&m, RDH), 2);
    assert_int_equal(get(&m, ROC), 1);
    put(&m, RCTL, 1 << 1 | 1 << 15 | 1 << 5 | 1 << 16); /* 1024 bytes */
    assert_true(arrive(&m, frame, size));
    assert_int_equal(get(&m, RDH), 6);
    for (unsigned i = 0; i < 4; i++) {
        r = next_received(&m);
        assert_int_equal(r.size, i < 3 ? 1024 : 4004 - 3 * 1024);
        assert_int_equal(r.status & (DD | EOP), i < 3 ? DD : DD | EOP);
        size_t bytes = i < 3 ? 1024 : 4000 - 3 * 1024;
        assert_memory_equal(ram(&m, BUFFERS_RX + (2 + i) * BUFFER), frame + i * 1024, bytes);
    }
    /* A descriptor without an address is passed. */
    store64(&m.h, RING_RX + 6 * 16, 0);
    assert_true(arrive(&m, frame, 100));
    assert_int_equal(next_received(&m).status, DD);
    assert_int_equal(next_received(&m).size, 104);
    end(&m);
}

/* A full queue lets frames wait, and the sender is told. */
static void full_queue(void **state)
{
    struct machine m;
    uint8_t frame[NET_FRAME_MAX];

    (void)state;
    begin(&m);
    start_queues(&m);
    size_t size = simple(frame, broadcast, 100);
    get(&m, ICR);
    for (unsigned i = 0; i < RING - 1; i++)
        assert_true(arrive(&m, frame, size));
    assert_int_equal(get(&m, RDH), RING - 1);
    assert_int_equal(get(&m, ICR) & (RXDMT0 | RXO), RXDMT0);
    for (unsigned i = 0; i < 300; i++) {
        frame[20] = (uint8_t)i;
        if (i < 100)
            assert_true(net_can_send(&m.peer.end));
        assert_true(arrive(&m, frame, size));
    }
    assert_false(net_can_send(&m.peer.end));
    for (unsigned i = 0; i < 1000; i++)
        arrive(&m, frame, size);
    assert_false(arrive(&m, frame, size)); /* enough */
    put(&m, RDT, 0);                       /* one more descriptor */
    assert_int_equal(get(&m, RDH), 0);
    assert_int_equal(load8(&m.h, BUFFERS_RX + (RING - 1) * BUFFER + 20), 0);
    put(&m, RDT, 3);
    assert_int_equal(load8(&m.h, BUFFERS_RX + 20), 1);
    assert_int_equal(load8(&m.h, BUFFERS_RX + 2 * BUFFER + 20), 3);
    assert_int_equal(m.peer.writable, 0);
    for (unsigned i = 4; i < 600; i++)
        put(&m, RDT, i % RING);
    assert_int_equal(m.peer.writable, 1);
    assert_true(net_can_send(&m.peer.end));

    /* Not enough descriptors for one frame. */
    put(&m, RCTL, 1 << 1 | 1 << 15 | 1 << 5 | 3 << 16); /* 256 bytes, long ones */
    put(&m, RDT, (get(&m, RDH) + 2) % RING);
    get(&m, ICR);
    size = simple(frame, broadcast, 2000);
    assert_true(arrive(&m, frame, size));
    assert_int_equal(get(&m, ICR) & RXO, RXO);
    assert_int_equal(get(&m, MPC), 1);
    /* No bus master, no DMA. */
    config_write16(&m.h, SLOT, 0, PCI_COMMAND, 3);
    uint32_t head = get(&m, RDH);
    assert_true(arrive(&m, frame, 100));
    assert_int_equal(get(&m, RDH), head);
    config_write16(&m.h, SLOT, 0, PCI_COMMAND, 7);
    assert_int_equal(get(&m, RDH), (head + 1) % RING);

    /* What waits when a new driver comes is not for it. */
    while (get(&m, RDH) != get(&m, RDT))
        arrive(&m, frame, 100);
    arrive(&m, frame, 100);
    put(&m, CTRL, get(&m, CTRL) | 1 << 26);
    start_queues(&m);
    assert_int_equal(get(&m, RDH), 0);
    end(&m);
}

/* Whether the frame to this address passes. */
static bool passes(struct machine *m, const uint8_t to[6], unsigned *status)
{
    uint8_t frame[60];
    uint32_t head = get(m, RDH);
    arrive(m, frame, simple(frame, to, sizeof frame));
    put(m, RDT, (get(m, RDH) + RING - 1) % RING);
    bool passed = get(m, RDH) != head;
    if (status && passed)
        *status = load8(&m->h, RING_RX + head * 16 + 12);
    return passed;
}

static void filters(void **state)
{
    struct machine m;
    static const uint8_t other[6] = {0x52, 0x54, 0, 1, 2, 3}, group[6] = {1, 0, 0x5e, 1, 2, 3};
    unsigned status = 0;

    (void)state;
    begin(&m);
    start_queues(&m);
    put(&m, RCTL, 1 << 1);
    assert_true(passes(&m, own, &status));
    assert_int_equal(status & PIF, 0);
    assert_false(passes(&m, other, NULL));
    assert_false(passes(&m, group, NULL));
    assert_false(passes(&m, broadcast, NULL));
    put(&m, RCTL, 1 << 1 | 1 << 3); /* UPE */
    assert_true(passes(&m, other, NULL));
    assert_false(passes(&m, group, NULL));
    put(&m, RCTL, 1 << 1 | 1 << 4); /* MPE */
    assert_true(passes(&m, group, NULL));
    assert_false(passes(&m, other, NULL));
    put(&m, RCTL, 1 << 1);
    put(&m, RAL + 15 * 8, 0x01005452);
    put(&m, RAH + 15 * 8, 0x0302);
    assert_false(passes(&m, other, NULL)); /* not valid */
    put(&m, RAH + 15 * 8, 0x80000302);
    assert_true(passes(&m, other, NULL));
    /* The source, which is the peer's. */
    put(&m, RAL + 8, 0x000a5552);
    put(&m, RAH + 8, 0x80010202);
    put(&m, RAH + 15 * 8, 0);
    assert_true(passes(&m, group, NULL));
    put(&m, RAH + 8, 0);
    /* The hash of group: bits 47 to 36, ... 43 to 32 of the address. */
    for (unsigned offset = 0; offset < 4; offset++) {
        static const unsigned low[] = {36, 35, 34, 32};
        uint64_t address = UINT64_C(0x0302015e0001);
        unsigned hash = (unsigned)(address >> low[offset]) & 0xfff;
        put(&m, RCTL, 1 << 1 | offset << 12);
        assert_false(passes(&m, group, NULL));
        put(&m, MTA + (hash >> 5) * 4, 1u << (hash & 31));
        assert_true(passes(&m, group, &status));
        assert_int_equal(status & PIF, PIF);
        put(&m, MTA + (hash >> 5) * 4, 0);
    }
    end(&m);
}

static void tags(void **state)
{
    struct machine m;
    uint8_t frame[104];

    (void)state;
    begin(&m);
    start_queues(&m);
    simple(frame, own, sizeof frame);
    put16(frame + 12, 0x8100);
    put16(frame + 14, 0x6064); /* VLAN 100 */
    put16(frame + 16, 0x88b5);
    assert_true(arrive(&m, frame, sizeof frame));
    struct received r = next_received(&m);
    assert_int_equal(r.size, 104);
    assert_int_equal(r.status & VP, 0);
    put(&m, CTRL, get(&m, CTRL) | 1 << 30);
    assert_true(arrive(&m, frame, sizeof frame));
    r = next_received(&m);
    assert_int_equal(r.size, 100);
    assert_int_equal(r.status & VP, VP);
    assert_int_equal(r.tag, 0x6064);
    assert_memory_equal(ram(&m, BUFFERS_RX + BUFFER), frame, 12);
    assert_memory_equal(ram(&m, BUFFERS_RX + BUFFER + 12), frame + 16, 88);
    put(&m, RCTL, 1 << 1 | 1 << 26 | 1 << 18); /* filter */
    assert_true(arrive(&m, frame, sizeof frame));
    assert_int_equal(get(&m, RDH), 2);
    put(&m, VFTA + (100 >> 5) * 4, 1u << (100 & 31));
    assert_true(arrive(&m, frame, sizeof frame));
    assert_int_equal(get(&m, RDH), 3);
    put(&m, RCTL, 1 << 1 | 1 << 26 | 1 << 18 | 1 << 19 | 1 << 20); /* CFI must be set */
    assert_true(arrive(&m, frame, sizeof frame));
    assert_int_equal(get(&m, RDH), 3);
    put16(frame + 14, 0x7064);
    assert_true(arrive(&m, frame, sizeof frame));
    assert_int_equal(get(&m, RDH), 4);
    end(&m);
}

static void received_sums(void **state)
{
    struct machine m;
    uint8_t frame[NET_FRAME_MAX];

    (void)state;
    begin(&m);
    start_queues(&m);
    put(&m, RXCSUM, 3 << 8 | 14);
    for (unsigned i = 0; i < 2; i++) {
        size_t size = build(frame, i ? 17 : 6, 99);
        memcpy(frame, own, 6);
        complete(frame);
        arrive(&m, frame, size);
        struct received r = next_received(&m);
        assert_int_equal(r.status, DD | EOP | IPCS | TCPCS);
        assert_int_equal(r.errors, 0);
        assert_int_equal(r.checksum, ~sum_of(frame + 14, size - 14, 0) & 0xffff);
        frame[60]++;
        arrive(&m, frame, size);
        r = next_received(&m);
        assert_int_equal(r.errors, 0x20);
        frame[60]--;
        frame[22]++; /* time to live */
        arrive(&m, frame, size);
        r = next_received(&m);
        assert_int_equal(r.errors, 0x40);
    }
    /* UDP without a sum, and a fragment. */
    size_t size = build(frame, 17, 99);
    memcpy(frame, own, 6);
    put16(frame + 24, ~sum_of(frame + 14, 20, 0) & 0xffff);
    arrive(&m, frame, size);
    assert_int_equal(next_received(&m).status, DD | EOP | IPCS);
    build(frame, 6, 99);
    memcpy(frame, own, 6);
    frame[20] = 0x20;
    put16(frame + 24, ~sum_of(frame + 14, 20, 0) & 0xffff);
    arrive(&m, frame, size);
    struct received r = next_received(&m);
    assert_int_equal(r.status, DD | EOP | IPCS);
    assert_int_equal(r.errors, 0);
    end(&m);
}

static void interrupts(void **state)
{
    struct machine m;
    uint8_t frame[60];

    (void)state;
    begin(&m);
    start_queues(&m);
    simple(frame, own, sizeof frame);
    get(&m, ICR);
    /* Masks, ICS, and ICR that clears what is written. */
    put(&m, ICS, LSC | RXT0);
    assert_false(irq(&m));
    put(&m, IMS, RXT0);
    assert_true(irq(&m));
    put(&m, IMC, RXT0);
    assert_false(irq(&m));
    put(&m, IMS, RXT0 | TXDW);
    put(&m, ICR, RXT0);
    assert_false(irq(&m));
    assert_int_equal(get(&m, ICR), LSC);
    config_write16(&m.h, SLOT, 0, PCI_COMMAND, 0x407);
    put(&m, ICS, RXT0);
    assert_false(irq(&m)); /* INTx is off */
    config_write16(&m.h, SLOT, 0, PCI_COMMAND, 7);
    assert_true(irq(&m));
    get(&m, ICR);

    /* RDTR is set anew by each frame, RADV bounds it. */
    put(&m, RDTR, 100);
    put(&m, RADV, 250);
    for (unsigned i = 0; i < 3; i++) {
        arrive(&m, frame, sizeof frame);
        harness_advance(&m.h, 80 * 1024);
        assert_false(irq(&m));
    }
    harness_advance(&m.h, 20 * 1024);
    assert_true(irq(&m));
    assert_int_equal(get(&m, ICR) & RXT0, RXT0);
    harness_advance(&m.h, 500 * US);
    assert_int_equal(get(&m, ICR) & RXT0, 0);
    arrive(&m, frame, sizeof frame);
    for (unsigned i = 0; i < 4; i++) {
        harness_advance(&m.h, 60 * 1024);
        arrive(&m, frame, sizeof frame);
    }
    assert_false(irq(&m));
    harness_advance(&m.h, 10 * 1024);
    assert_true(irq(&m)); /* 250 * 1.024 us after the first */
    get(&m, ICR);
    arrive(&m, frame, sizeof frame);
    put(&m, RDTR, 1u << 31 | 100); /* FPD */
    assert_true(irq(&m));
    get(&m, ICR);
    put(&m, RDTR, 0);

    /* The same for sending. */
    put(&m, TIDV, 50);
    put(&m, TADV, 80);
    push_legacy(&m, BUFFERS_TX, 60, C_EOP | C_IFCS | C_RS | C_IDE, 0, 0, 0);
    kick(&m);
    assert_false(irq(&m));
    harness_advance(&m.h, 50 * 1024);
    assert_true(irq(&m));
    assert_int_equal(get(&m, ICR) & TXDW, TXDW);

    /* No two within ITR. */
    put(&m, ITR, 1000); /* 256 us */
    put(&m, ICS, RXT0);
    assert_true(irq(&m));
    get(&m, ICR);
    put(&m, ICS, RXT0);
    assert_false(irq(&m));
    harness_advance(&m.h, 255 * US);
    assert_false(irq(&m));
    harness_advance(&m.h, 1 * US);
    assert_true(irq(&m));
    get(&m, ICR);
    harness_advance(&m.h, 300 * US);
    put(&m, ICS, RXT0);
    assert_true(irq(&m));
    end(&m);

    begin_with(&m, "mitigation=off");
    start_queues(&m);
    put(&m, IMS, RXT0);
    put(&m, RDTR, 100);
    put(&m, ITR, 1000);
    arrive(&m, frame, sizeof frame);
    assert_true(irq(&m));
    get(&m, ICR);
    arrive(&m, frame, sizeof frame);
    assert_true(irq(&m));
    end(&m);
}

static void loopback(void **state)
{
    struct machine m;
    uint8_t frame[100];

    (void)state;
    begin(&m);
    start_queues(&m);
    to_ram(&m, BUFFERS_TX, frame, simple(frame, own, sizeof frame));
    push_legacy(&m, BUFFERS_TX, sizeof frame, C_EOP | C_IFCS | C_RS, 0, 0, 0);
    phy_write(&m, 0, 0x4140);
    kick(&m);
    assert_int_equal(m.peer.count, 0);
    assert_int_equal(next_received(&m).size, sizeof frame);
    assert_memory_equal(ram(&m, BUFFERS_RX), frame, sizeof frame);
    phy_write(&m, 0, 0x0140);
    push_legacy(&m, BUFFERS_TX, sizeof frame, C_EOP | C_IFCS | C_RS, 0, 0, 0);
    kick(&m);
    assert_int_equal(m.peer.count, 1);
    put(&m, RCTL, get(&m, RCTL) | 3 << 6);
    push_legacy(&m, BUFFERS_TX, sizeof frame, C_EOP | C_IFCS | C_RS, 0, 0, 0);
    kick(&m);
    assert_int_equal(m.peer.count, 1);
    assert_int_equal(get(&m, RDH), 2);
    end(&m);
}

static void pause_frames(void **state)
{
    struct machine m;
    uint8_t frame[60];

    (void)state;
    begin(&m);
    start_queues(&m);
    put(&m, FCAL, 0x00c28001);
    put(&m, FCAH, 0x0100);
    put(&m, FCT, 0x8808);
    put(&m, CTRL, get(&m, CTRL) | 1 << 27);
    simple(frame, (const uint8_t *)"\x01\x80\xc2\x00\x00\x01", sizeof frame);
    put16(frame + 12, 0x8808);
    put16(frame + 14, 1);
    put16(frame + 16, 0xffff);
    put(&m, RCTL, get(&m, RCTL) | 1 << 4);
    arrive(&m, frame, sizeof frame);
    put16(frame + 16, 0);
    arrive(&m, frame, sizeof frame);
    assert_int_equal(get(&m, RDH), 0);
    assert_int_equal(get(&m, 0x4050), 1); /* XOFFRXC */
    assert_int_equal(get(&m, 0x4048), 1); /* XONRXC */
    put(&m, RCTL, get(&m, RCTL) | 1 << 23);
    arrive(&m, frame, sizeof frame);
    assert_int_equal(get(&m, RDH), 1);
    end(&m);
}

/* A frame half put together, delays running, a link coming: all of it is in the state. */
static void state_is_whole(void **state)
{
    static struct machine m, n;
    struct error err = {""};
    uint8_t frame[NET_FRAME_MAX];

    (void)state;
    begin(&m);
    begin(&n);
    start_queues(&m);
    put(&m, IMS, RXT0 | LSC);
    put(&m, RDTR, 100);
    size_t size = simple(frame, own, 200);
    arrive(&m, frame, size);
    to_ram(&m, BUFFERS_TX, frame, size);
    push_legacy(&m, BUFFERS_TX, 150, C_IFCS, 0, 0, 0);
    kick(&m);
    put(&m, EECD, REQ | CS);
    eecd_out(&m, 6, 3);
    eecd_out(&m, 1, 6);
    assert_true(harness_keeps_state(&m.h, &err));
    if (!harness_transplant(&m.h, &n.h, &err))
        fail_msg("%s", err.text);
    n.tx_tail = m.tx_tail;
    push_legacy(&n, BUFFERS_TX + 150, 50, C_EOP | C_IFCS | C_RS, 0, 0, 0);
    kick(&n);
    assert_int_equal(n.peer.size[0], 200);
    assert_memory_equal(n.peer.frame[0], frame, 200);
    assert_false(irq(&n));
    harness_advance(&n.h, 100 * 1024);
    assert_true(irq(&n));
    unsigned word = 0;
    for (unsigned i = 0; i < 16; i++) {
        put(&n, EECD, REQ | CS | 1);
        word = word << 1 | !!(get(&n, EECD) & DO);
        put(&n, EECD, REQ | CS);
    }
    assert_int_equal(word, 0x1200);
    end(&n);
    end(&m);
}

static void addresses(void **state)
{
    struct harness h;
    struct strbuf text;

    (void)state;
    harness_begin(&h);
    h.board.nets = nets_new(NULL, &h.clock);
    harness_add(&h, "e1000", NULL);
    harness_add(&h, "e1000", "mac=52:54:00:12:34:58", NULL);
    harness_add(&h, "e1000", "id=third", NULL);
    harness_add(&h, "e1000", NULL);
    assert_string_equal(harness_refuses(&h, "e1000", "mac=01:00:5e:00:00:01", NULL),
                        "NIC cannot have multicast MAC address");
    strbuf_init(&text);
    nets_print(h.board.nets, &text);
    assert_string_equal(text.data,
                        "e1000.0: index=0,type=nic,model=e1000,macaddr=52:54:00:12:34:56\n"
                        "e1000.1: index=0,type=nic,model=e1000,macaddr=52:54:00:12:34:58\n"
                        "third: index=0,type=nic,model=e1000,macaddr=52:54:00:12:34:57\n"
                        "e1000.3: index=0,type=nic,model=e1000,macaddr=52:54:00:12:34:59\n");
    strbuf_free(&text);
    struct nets *nets = h.board.nets;
    harness_end(&h);
    nets_free(nets);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(probe),
        cmocka_unit_test(names),
        cmocka_unit_test(eeprom_writes),
        cmocka_unit_test(phy_and_link),
        cmocka_unit_test(io_space),
        cmocka_unit_test(legacy),
        cmocka_unit_test(crc),
        cmocka_unit_test(checksums),
        cmocka_unit_test(segmentation),
        cmocka_unit_test(segmentation_of_udp),
        cmocka_unit_test(bad_descriptors),
        cmocka_unit_test(long_queue),
        cmocka_unit_test(receiving),
        cmocka_unit_test(full_queue),
        cmocka_unit_test(filters),
        cmocka_unit_test(tags),
        cmocka_unit_test(received_sums),
        cmocka_unit_test(interrupts),
        cmocka_unit_test(loopback),
        cmocka_unit_test(pause_frames),
        cmocka_unit_test(state_is_whole),
        cmocka_unit_test(addresses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
