/* SPDX-License-Identifier: MIT
 *
 * Intel 82540EM, the Gigabit Ethernet controller that QEMU calls e1000: PCI 8086:100e (Intel's
 * PCI/PCI-X Family of Gigabit Ethernet Controllers Software Developer's Manual, 317453; "SDM"
 * below). This source has the registers, interrupts and the class.
 *
 *     BAR0   128 KiB of registers; all are of 32 bits
 *     BAR1   I/O: IOADDR, and behind it IODATA, the register of that offset
 *
 * What DMA costs in time, flow control and wake-up are not modelled; their registers keep what is
 * written. All timers go by the machine's clock.
 */
#include "device/e1000.h"

#include <string.h>

#include "trace-device.h"

enum {
    MMIO_SIZE = 0x20000,
    IO_SIZE = 0x40,
    IOADDR = 0,
    IODATA = 4,
    STATUS_FD = 1 << 0,
    STATUS_LU = 1 << 1,
    STATUS_SPEED_SHIFT = 6,
    STATUS_ASDV_1000 = 2 << 8,
    CONTROL_EXT_EE_RST = 1 << 13,
    CONTROL_EXT_ASDCHK = 1 << 12,
    RDTR_FPD = 1u << 31,
    RAH_AV = 1u << 31,
    RAH_WRITABLE = 0x8003ffff,
    PBA_DEFAULT = 48, /* KiB of 64 for what is received */
    PBA_SIZE = 64,
    THROTTLE_NANOSECONDS = 256, /* the unit of ITR */
    DELAY_NANOSECONDS = 1024,   /* of RDTR, RADV, TIDV and TADV */
};

/* --- tables --- */

/* One row a register of the manual. */
static const struct row {
    uint32_t offset;
    uint16_t first, words;
    uint32_t writable;
} rows[] = {
#define REGISTER(offset, name, words, access, writable, fields) \
    {offset, E1000_##name, words, writable},
#include "device/e1000_registers.def"
#undef REGISTER
};
enum { ROWS = sizeof(rows) / sizeof(rows[0]) };

static const struct mem_register io_registers[] = {
    {IOADDR, 4, MEM_RW, "IOADDR", NULL},
    {IODATA, 4, MEM_RW, "IODATA", NULL},
    {0, 0, 0, NULL, NULL},
};

/* --- interrupts (SDM 3.2.7, 13.4.17 to 13.4.21) --- */

static void set_level(struct e1000 *e, bool level)
{
    if (e->irq_level == level)
        return;
    e->irq_level = level;
    trace_e1000_interrupt(e->reg[E1000_ICR], e->reg[E1000_IMS], level);
    pci_set_irq(&e->pci, level);
}

/* ITR counts from one assertion of the pin to the next that is allowed. */
static void update_irq(struct e1000 *e)
{
    bool wanted = e->reg[E1000_ICR] & e->reg[E1000_IMS];
    uint32_t interval = e->mitigation ? e->reg[E1000_ITR] : 0;

    if (wanted && !e->irq_level) {
        if (timer_is_set(&e->throttle))
            return;
        if (interval)
            timer_set(&e->throttle,
                      clock_now(e->throttle.clock) + (uint64_t)interval * THROTTLE_NANOSECONDS);
    }
    set_level(e, wanted);
}

void e1000_cause(struct e1000 *e, uint32_t causes)
{
    e->reg[E1000_ICR] |= causes & CAUSES;
    update_irq(e);
}

static void throttle_over(void *opaque, uint64_t now)
{
    (void)now;
    update_irq(opaque);
}

void e1000_delay(struct e1000 *e, struct timer *delay, uint32_t ticks, struct timer *absolute,
                 uint32_t absolute_ticks)
{
    uint64_t now = clock_now(e->throttle.clock);

    timer_set(delay, now + (uint64_t)ticks * DELAY_NANOSECONDS);
    if (absolute_ticks && !timer_is_set(absolute))
        timer_set(absolute, now + (uint64_t)absolute_ticks * DELAY_NANOSECONDS);
}

static void receive_over(void *opaque, uint64_t now)
{
    struct e1000 *e = opaque;

    (void)now;
    timer_stop(&e->receive_delay);
    timer_stop(&e->receive_absolute);
    e1000_cause(e, CAUSE_RXT0);
}

static void transmit_over(void *opaque, uint64_t now)
{
    struct e1000 *e = opaque;

    (void)now;
    timer_stop(&e->transmit_delay);
    timer_stop(&e->transmit_absolute);
    e1000_cause(e, CAUSE_TXDW);
}

static void negotiation_over(void *opaque, uint64_t now)
{
    (void)now;
    e1000_phy_negotiated(opaque);
}

static void transmit_again(void *opaque, uint64_t now)
{
    (void)now;
    e1000_transmit(opaque);
}

/* --- statistics (SDM 13.7): they stop at their largest values, and are 0 once read --- */

void e1000_count(struct e1000 *e, enum e1000_register which, uint32_t add)
{
    uint32_t *value = &e->reg[which];
    *value = *value > UINT32_MAX - add ? UINT32_MAX : *value + add;
}

void e1000_count64(struct e1000 *e, enum e1000_register low, uint32_t add)
{
    uint64_t value = e->reg[low] | (uint64_t)e->reg[low + 1] << 32;

    value = value > UINT64_MAX - add ? UINT64_MAX : value + add;
    e->reg[low] = (uint32_t)value;
    e->reg[low + 1] = (uint32_t)(value >> 32);
}

void e1000_count_size(struct e1000 *e, enum e1000_register first, size_t size)
{
    static const uint16_t limits[] = {64, 127, 255, 511, 1023};
    unsigned i = 0;

    while (i < sizeof(limits) / sizeof(limits[0]) && size > limits[i])
        i++;
    e1000_count(e, first + i, 1);
}

static uint32_t read_statistic(struct e1000 *e, unsigned index)
{
    uint32_t value = e->reg[index];

    switch (index) {
    case E1000_GORCL:
    case E1000_GOTCL:
    case E1000_TORL:
    case E1000_TOTL: break; /* until the upper half is read */
    case E1000_GORCH:
    case E1000_GOTCH:
    case E1000_TORH:
    case E1000_TOTH: e->reg[index - 1] = 0; /* fall through */
    default: e->reg[index] = 0;
    }
    return value;
}

/* --- reset --- */

static void load_address(struct e1000 *e)
{
    e->reg[E1000_RA] = e->eeprom[0] | (uint32_t)e->eeprom[1] << 16;
    e->reg[E1000_RA + 1] = e->eeprom[2] | RAH_AV;
}

static void stop_timers(struct e1000 *e)
{
    timer_stop(&e->throttle);
    timer_stop(&e->receive_delay);
    timer_stop(&e->receive_absolute);
    timer_stop(&e->transmit_delay);
    timer_stop(&e->transmit_absolute);
    timer_stop(&e->transmit_more);
}

/* What CTRL.RST does (SDM 14.7): all but the PHY, the EEPROM and the configuration space. */
static void reset_mac(struct e1000 *e)
{
    trace_e1000_reset();
    stop_timers(e);
    memset(e->reg, 0, sizeof(e->reg));
    memset(e->context, 0, sizeof(e->context));
    memset(&e->frame, 0, sizeof(e->frame));
    e->io_address = 0;
    e->reg[E1000_CTRL] = CTRL_FD | CTRL_SLU | CTRL_SPEED_1000;
    e->reg[E1000_PBA] = PBA_DEFAULT;
    e->reg[E1000_VET] = e->init_vet ? 0x8100 : 0;
    e->reg[E1000_LEDCTL] = 0x07061302;
    load_address(e);
    set_level(e, false);
}

/* --- registers --- */

static const struct row *find_row(uint32_t offset)
{
    unsigned low = 0, high = ROWS;

    while (high - low > 1) {
        unsigned middle = (low + high) / 2;
        if (rows[middle].offset <= offset)
            low = middle;
        else
            high = middle;
    }
    return offset - rows[low].offset < rows[low].words * 4u ? &rows[low] : NULL;
}

/* What extra_mac_registers=off takes away: those that QEMU's device has only with it. */
static bool is_extra(unsigned index)
{
    return index == E1000_AIFS || (index >= E1000_RDFH && index <= E1000_RDFPC) ||
           (index >= E1000_TDFH && index <= E1000_TDFPC) || index == E1000_FCRUC ||
           (index >= E1000_WUC && index <= E1000_FFVT_LAST);
}

uint32_t e1000_status(const struct e1000 *e)
{
    uint32_t control = e->reg[E1000_CTRL];
    uint32_t speed = control & CTRL_FRCSPD ? control >> 8 & 3 : 2;

    return STATUS_FD | (e->link ? (uint32_t)STATUS_LU : 0) | speed << STATUS_SPEED_SHIFT |
           STATUS_ASDV_1000;
}

static uint32_t read_register(struct e1000 *e, uint32_t offset)
{
    const struct row *row = find_row(offset);

    if (!row)
        return 0;
    unsigned index = row->first + (offset - row->offset) / 4;
    uint32_t value = e->reg[index];
    if (index >= E1000_CRCERRS && index <= E1000_TSCTFC)
        return read_statistic(e, index);
    if (!e->extra_mac_registers && is_extra(index))
        return 0;
    switch (index) {
    case E1000_CTRL_DUP: return e->reg[E1000_CTRL];
    case E1000_STATUS: return e1000_status(e);
    case E1000_EECD: return e1000_eecd_read(e);
    case E1000_PBA: return value | (PBA_SIZE - (value < PBA_SIZE ? value : PBA_SIZE)) << 16;
    case E1000_ICR:
        e->reg[E1000_ICR] = 0;
        update_irq(e);
        return value;
    case E1000_ICS:
    case E1000_IMC: return 0;
    default: return value;
    }
}

/* A receive queue that has got descriptors takes what waits; a receiver that is off loses it. */
static void receive_again(struct e1000 *e)
{
    if (e->nic.name && !e->receiving)
        net_accept(&e->nic);
}

static void write_control(struct e1000 *e, uint32_t value)
{
    bool reset = value & CTRL_RST, phy_reset = value & CTRL_PHY_RST;

    if (reset) {
        reset_mac(e);
        receive_again(e);
    } else {
        e->reg[E1000_CTRL] = value & ~((uint32_t)CTRL_RST | CTRL_PHY_RST);
    }
    if (phy_reset)
        e1000_phy_reset(e);
}

static void write_control_ext(struct e1000 *e, uint32_t value)
{
    e->reg[E1000_CTRL_EXT] = value & ~(uint32_t)(CONTROL_EXT_EE_RST | CONTROL_EXT_ASDCHK);
    if (value & CONTROL_EXT_EE_RST)
        load_address(e);
}

/* The first address is the NIC's own, for those who look from outside. */
static void write_address(struct e1000 *e, unsigned index, uint32_t value)
{
    bool high = (index - E1000_RA) & 1;

    e->reg[index] = high ? value & RAH_WRITABLE : value;
    if (index == E1000_RA + 1 && (value & RAH_AV)) {
        uint8_t mac[8];
        pci_set32(mac, e->reg[E1000_RA]);
        pci_set32(mac + 4, value);
        trace_e1000x_mac_indicate(mac[0], mac[1], mac[2], mac[3], mac[4], mac[5]);
        net_nic_set_mac(&e->nic, mac);
    }
}

/* Those whose writing does something. */
static void write_active(struct e1000 *e, unsigned index, uint32_t value, uint32_t kept)
{
    switch (index) {
    case E1000_CTRL:
    case E1000_CTRL_DUP: write_control(e, kept); break;
    case E1000_CTRL_EXT: write_control_ext(e, kept); break;
    case E1000_EECD: e1000_eecd_write(e, kept); break;
    case E1000_EERD: e->reg[index] = e1000_eerd(e, value); break;
    case E1000_MDIC: e->reg[index] = e1000_mdic(e, kept); break;
    case E1000_ICR:
        e->reg[E1000_ICR] &= ~value;
        update_irq(e);
        break;
    case E1000_ICS: e1000_cause(e, value); break;
    case E1000_IMS:
        e->reg[E1000_IMS] |= value & CAUSES;
        update_irq(e);
        break;
    case E1000_IMC:
        e->reg[E1000_IMS] &= ~value;
        update_irq(e);
        break;
    case E1000_RDTR:
        e->reg[index] = kept;
        if ((value & RDTR_FPD) &&
            (timer_is_set(&e->receive_delay) || timer_is_set(&e->receive_absolute)))
            receive_over(e, 0);
        break;
    case E1000_RDT:
        if (e->reg[E1000_RDLEN] && kept >= e->reg[E1000_RDLEN] / E1000_DESCRIPTOR)
            device_guest_error(&e->pci.device, "receive tail %u is not in a queue of %u", kept,
                               e->reg[E1000_RDLEN] / E1000_DESCRIPTOR); /* fall through */
    case E1000_RCTL:
    case E1000_RDLEN:
        e->reg[index] = kept;
        receive_again(e);
        break;
    case E1000_TCTL:
    case E1000_TDT:
        e->reg[index] = kept;
        e1000_transmit(e);
        break;
    default: e->reg[index] = kept;
    }
}

static void write_register(struct e1000 *e, uint32_t offset, uint32_t value)
{
    const struct row *row = find_row(offset);

    if (!row)
        return;
    unsigned index = row->first + (offset - row->offset) / 4;
    if (!e->extra_mac_registers && is_extra(index))
        return;
    if (index >= E1000_RA && index <= E1000_RA_LAST)
        write_address(e, index, value);
    else
        write_active(e, index, value, value & row->writable);
}

static uint64_t mmio_read(void *opaque, uint64_t offset, unsigned size)
{
    (void)size;
    return read_register(opaque, (uint32_t)offset);
}

static void mmio_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    (void)size;
    write_register(opaque, (uint32_t)offset, (uint32_t)value);
}

/* Registers through the I/O space (SDM 13.2.2), aligned; there is no flash memory behind. */
static uint64_t io_read(void *opaque, uint64_t offset, unsigned size)
{
    struct e1000 *e = opaque;

    (void)size;
    if (offset == IOADDR)
        return e->io_address;
    if (offset == IODATA && e->io_address < MMIO_SIZE)
        return read_register(e, e->io_address & ~3u);
    return 0;
}

static void io_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    struct e1000 *e = opaque;

    (void)size;
    if (offset == IOADDR)
        e->io_address = (uint32_t)value;
    else if (offset == IODATA && e->io_address < MMIO_SIZE)
        write_register(e, e->io_address & ~3u, (uint32_t)value);
}

static const struct mem_ops mmio_ops = {
    .read = mmio_read,
    .write = mmio_write,
    .valid_min = 1,
    .valid_max = 8,
    .impl_min = 4,
    .impl_max = 4,
    .registers = e1000_registers,
};
static const struct mem_ops io_ops = {
    .read = io_read,
    .write = io_write,
    .valid_min = 1,
    .valid_max = 4,
    .impl_min = 4,
    .impl_max = 4,
    .registers = io_registers,
};

/* --- the wire --- */

static void link_changed(void *opaque)
{
    e1000_phy_link_changed(opaque);
}

static const struct net_ops nic_ops = {
    .type = "nic",
    .can_receive = e1000_can_receive,
    .receive = e1000_receive,
    .link_changed = link_changed,
};

bool e1000_may_master(const struct e1000 *e)
{
    return pci_get16(e->pci.config + PCI_COMMAND) & PCI_COMMAND_MASTER;
}

static void config_written(struct pci_device *pci, unsigned offset, unsigned size)
{
    struct e1000 *e = (struct e1000 *)pci;

    (void)size;
    if (offset <= PCI_COMMAND && e1000_may_master(e)) {
        e1000_transmit(e);
        receive_again(e);
    }
}

/* --- the class --- */

static bool realize(struct device *device, struct error *err)
{
    struct e1000 *e = (struct e1000 *)device;
    struct clock *clock = device->board->clock;

    if (!pci_device_init(&e->pci, err))
        return false;
    struct nets *nets = device->board->nets;
    net_nic_choose_mac(nets, e->mac);
    e->nic.ops = &nic_ops;
    e->nic.opaque = e;
    if (!net_nic_attach(&e->nic, nets, device->class->name, device->id, e->netdev, e->mac, err))
        return false;
    net_crc_init(&e->crc);
    timer_init(&e->throttle, clock, throttle_over, e);
    timer_init(&e->receive_delay, clock, receive_over, e);
    timer_init(&e->receive_absolute, clock, receive_over, e);
    timer_init(&e->transmit_delay, clock, transmit_over, e);
    timer_init(&e->transmit_absolute, clock, transmit_over, e);
    timer_init(&e->negotiation, clock, negotiation_over, e);
    timer_init(&e->transmit_more, clock, transmit_again, e);
    mem_init_io(&e->mmio, "e1000-mmio", MMIO_SIZE, &mmio_ops, e);
    mem_init_io(&e->io, "e1000-io", IO_SIZE, &io_ops, e);
    pci_add_bar(&e->pci, 0, PCI_REGION_MEMORY, false, &e->mmio);
    pci_add_bar(&e->pci, 1, PCI_REGION_IO, false, &e->io);
    e1000_eeprom_fill(e);
    return true;
}

static void reset(struct device *device)
{
    struct e1000 *e = (struct e1000 *)device;

    pci_device_reset(&e->pci);
    timer_stop(&e->negotiation);
    memset(&e->microwire, 0, sizeof(e->microwire));
    reset_mac(e);
    e1000_phy_power_on(e);
    net_nic_set_mac(&e->nic, e->mac);
    receive_again(e);
}

static bool loaded(struct device *device, struct error *err)
{
    struct e1000 *e = (struct e1000 *)device;

    if (e->frame.size > NET_FRAME_MAX)
        return error_set(err, "e1000: a frame of %u bytes", e->frame.size);
    if (e->microwire.in_count > 32 || e->microwire.out_left > 16 ||
        e->microwire.address >= E1000_EEPROM_WORDS)
        return error_set(err, "e1000: no such state of the EEPROM's wires");
    uint8_t mac[8];
    pci_set32(mac, e->reg[E1000_RA]);
    pci_set32(mac + 4, e->reg[E1000_RA + 1]);
    net_nic_set_mac(&e->nic, mac);
    pci_device_loaded(&e->pci);
    pci_set_irq(&e->pci, e->irq_level);
    return true;
}

static void free_e1000(struct device *device)
{
    struct e1000 *e = (struct e1000 *)device;

    net_nic_detach(&e->nic);
    if (e->throttle.clock) {
        stop_timers(e);
        timer_stop(&e->negotiation);
    }
    pci_device_free(&e->pci);
    mem_free(&e->mmio);
    mem_free(&e->io);
}

#define ROW(label, kind, member, value, words)                                                   \
    {                                                                                            \
        .name = label, .type = kind, .offset = offsetof(struct e1000, member), .initial = value, \
        .help = words                                                                            \
    }
static const struct device_property properties[] = {
    ROW("mac", PROPERTY_MAC, mac, 0, NULL),
    ROW("netdev", PROPERTY_NETDEV, netdev, 0, NULL),
    ROW("bootindex", PROPERTY_I32, bootindex, (uint64_t)-1, NULL),
    ROW("autonegotiation", PROPERTY_BOOL, autonegotiation, true,
        "on/off: the link goes away for half a second when the PHY negotiates"),
    ROW("mitigation", PROPERTY_BOOL, mitigation, true, "on/off: ITR and delays of interrupts"),
    ROW("extra_mac_registers", PROPERTY_BOOL, extra_mac_registers, true,
        "on/off: registers of wake-up and diagnosis"),
    ROW("migrate_tso_props", PROPERTY_BOOL, migrate_tso_props, true,
        "on/off: without effect, states are always whole"),
    ROW("init-vet", PROPERTY_BOOL, init_vet, true, "on/off: VET is 0x8100 after a reset"),
    {.name = NULL},
};
#undef ROW

static const struct device_field frame_fields[] = {
    FIELD_ARRAY(struct e1000_frame, room, FIELD_U8),
    FIELD_ARRAY(struct e1000_frame, header, FIELD_U8),
    FIELD(struct e1000_frame, size, FIELD_U32),
    FIELD(struct e1000_frame, segments, FIELD_U32),
    FIELD(struct e1000_frame, tag, FIELD_U16),
    FIELD(struct e1000_frame, options, FIELD_U8),
    FIELD(struct e1000_frame, begun, FIELD_BOOL),
    FIELD(struct e1000_frame, segmented, FIELD_BOOL),
    FIELD(struct e1000_frame, tagged, FIELD_BOOL),
    FIELD(struct e1000_frame, broken, FIELD_BOOL),
    FIELD_END,
};
static const struct device_field microwire_fields[] = {
    FIELD(struct e1000_microwire, in, FIELD_U32),
    FIELD(struct e1000_microwire, in_count, FIELD_U8),
    FIELD(struct e1000_microwire, out, FIELD_U16),
    FIELD(struct e1000_microwire, out_left, FIELD_U8),
    FIELD(struct e1000_microwire, address, FIELD_U8),
    FIELD(struct e1000_microwire, data_out, FIELD_BOOL),
    FIELD(struct e1000_microwire, may_write, FIELD_BOOL),
    FIELD(struct e1000_microwire, armed, FIELD_BOOL),
    FIELD_END,
};
#define ONE_STRUCT(member, rows_of)                               \
    {                                                             \
#member, FIELD_STRUCT, offsetof(struct e1000, member), 1, \
            sizeof(((struct e1000 *)0)->member), rows_of          \
    }
static const struct device_field fields[] = {
    FIELD_ARRAY(struct e1000, reg, FIELD_U32),
    FIELD(struct e1000, io_address, FIELD_U32),
    FIELD(struct e1000, irq_level, FIELD_BOOL),
    FIELD(struct e1000, link, FIELD_BOOL),
    FIELD(struct e1000, link_was_lost, FIELD_BOOL),
    FIELD_ARRAY(struct e1000, phy, FIELD_U16),
    FIELD_ARRAY(struct e1000, eeprom, FIELD_U16),
    ONE_STRUCT(microwire, microwire_fields),
    FIELD_ARRAY(struct e1000, context, FIELD_U64),
    ONE_STRUCT(frame, frame_fields),
    FIELD(struct e1000, throttle, FIELD_TIMER),
    FIELD(struct e1000, receive_delay, FIELD_TIMER),
    FIELD(struct e1000, receive_absolute, FIELD_TIMER),
    FIELD(struct e1000, transmit_delay, FIELD_TIMER),
    FIELD(struct e1000, transmit_absolute, FIELD_TIMER),
    FIELD(struct e1000, negotiation, FIELD_TIMER),
    FIELD(struct e1000, transmit_more, FIELD_TIMER),
    FIELD_END,
};

static const struct pci_class bus_class = {
    .vendor = 0x8086,
    .device = 0x100e,
    .class = 0x0200,
    .revision = 3,
    .pin = 1,
    .rom = "efi-e1000.rom",
    .config_written = config_written,
};

static const struct device_class e1000_class = {
    .name = "e1000",
    .help = "Intel Gigabit Ethernet",
    .bus = "PCI",
    .category = "Network",
    .size = sizeof(struct e1000),
    .by_user = true,
    .properties = properties,
    .state = fields,
    .realize = realize,
    .reset = reset,
    .loaded = loaded,
    .free = free_e1000,
    .bus_class = &bus_class,
};
DEVICE(e1000_class)
