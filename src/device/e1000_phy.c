/* SPDX-License-Identifier: MIT
 *
 * The PHY of the 82540EM, a Marvell 88E1011 inside (SDM chapter 8, MDIC in 13.4; IEEE 802.3 clause
 * 22 and 40 for registers 0 to 15), and the link. The partner at the other end can do everything
 * but pause frames. */
#include "device/e1000.h"
#include "trace-device.h"

enum phy_register {
    PHY_CONTROL = 0,
    PHY_STATUS = 1,
    PHY_ID1 = 2,
    PHY_ID2 = 3,
    PHY_ADVERTISE = 4,
    PHY_PARTNER = 5,
    PHY_EXPANSION = 6,
    PHY_NEXT_PAGE = 7,
    PHY_PARTNER_NEXT_PAGE = 8,
    PHY_1000T_CONTROL = 9,
    PHY_1000T_STATUS = 10,
    PHY_EXTENDED_STATUS = 15,
    PHY_SPECIFIC_CONTROL = 16,
    PHY_SPECIFIC_STATUS = 17,
    PHY_INTERRUPT_ENABLE = 18,
    PHY_INTERRUPT_STATUS = 19,
    PHY_EXTENDED_CONTROL = 20,
    PHY_RECEIVE_ERRORS = 21,
    PHY_EXTENDED_CONTROL2 = 26,
    PHY_PAGE = 29,
    PHY_PAGE_DATA = 30,
};

enum {
    CONTROL_RESET = 1 << 15,
    CONTROL_LOOPBACK = 1 << 14,
    CONTROL_NEGOTIATE = 1 << 12,
    CONTROL_RESTART = 1 << 9,
    STATUS_CAN = 0x7949, /* 10 and 100 Mbit/s, extended status, registers; can negotiate */
    STATUS_NEGOTIATED = 1 << 5,
    STATUS_LINK = 1 << 2,
    PARTNER_CAN = 0x41e1,   /* acknowledged; 10 and 100 Mbit/s, half and full duplex */
    PARTNER_1000T = 0x3c00, /* both receivers good; 1000 Mbit/s, half and full duplex */
    EXPANSION_PARTNER = 0x0001,
    SPECIFIC_1000 = 0xac00, /* 1000 Mbit/s, full duplex, resolved, link */
    INTERRUPT_LINK = 1 << 10,
    INTERRUPT_NEGOTIATED = 1 << 11,
    OWN_ADDRESS = 1,
    NEGOTIATION_NANOSECONDS = 500000000,
};

enum {
    MDIC_REGISTER_SHIFT = 16,
    MDIC_ADDRESS_SHIFT = 21,
    MDIC_WRITE = 1 << 26,
    MDIC_READ = 2 << 26,
    MDIC_OPERATION = 3 << 26,
    MDIC_READY = 1 << 28,
    MDIC_INTERRUPT = 1 << 29,
    MDIC_ERROR = 1 << 30,
};

/* What software may write, and what is there after a reset. Others are as the link says. */
static const struct {
    uint16_t writable, initial;
} phy_rows[E1000_PHY_WORDS] = {
    [PHY_CONTROL] = {0x7fc0, 0x1140},
    [PHY_STATUS] = {0, STATUS_CAN},
    [PHY_ID1] = {0, 0x0141},
    [PHY_ID2] = {0, 0x0c20},
    [PHY_ADVERTISE] = {0xbfff, 0x0de1},
    [PHY_EXPANSION] = {0, 0x0004},
    [PHY_NEXT_PAGE] = {0xbfff, 0x2001},
    [PHY_1000T_CONTROL] = {0xff00, 0x0e00},
    [PHY_EXTENDED_STATUS] = {0, 0x3000},
    [PHY_SPECIFIC_CONTROL] = {0xffff, 0x0360},
    [PHY_INTERRUPT_ENABLE] = {0xffff, 0},
    [PHY_EXTENDED_CONTROL] = {0xffff, 0x0d60},
    [PHY_EXTENDED_CONTROL2] = {0xffff, 0x000a},
    [PHY_PAGE] = {0xffff, 0},
    [PHY_PAGE_DATA] = {0xffff, 0},
};

static void interrupt(struct e1000 *e, unsigned what)
{
    e->phy[PHY_INTERRUPT_STATUS] |= (uint16_t)what;
    if (e->phy[PHY_INTERRUPT_ENABLE] & what)
        e1000_cause(e, CAUSE_PHYINT);
}

/* What the registers say of a link that is there, or not. */
static void show_link(struct e1000 *e, bool link)
{
    bool negotiates = e->phy[PHY_CONTROL] & CONTROL_NEGOTIATE;

    e->link = link;
    e->phy[PHY_STATUS] = (uint16_t)(STATUS_CAN | (link ? STATUS_LINK : 0) |
                                    (link && negotiates ? STATUS_NEGOTIATED : 0));
    e->phy[PHY_PARTNER] = link && negotiates ? PARTNER_CAN : 0;
    e->phy[PHY_1000T_STATUS] = link && negotiates ? PARTNER_1000T : 0;
    e->phy[PHY_SPECIFIC_STATUS] = link ? SPECIFIC_1000 : 0;
    e->phy[PHY_EXPANSION] =
        (uint16_t)(phy_rows[PHY_EXPANSION].initial | (link && negotiates ? EXPANSION_PARTNER : 0));
}

static void set_link(struct e1000 *e, bool link)
{
    bool changes = e->link != link;

    show_link(e, link);
    if (!link)
        e->link_was_lost = true;
    if (changes) {
        e1000_cause(e, CAUSE_LSC);
        interrupt(e, INTERRUPT_LINK);
    }
    if (link && e->nic.name && !e->receiving)
        net_accept(&e->nic);
}

static void fill(struct e1000 *e)
{
    for (unsigned i = 0; i < E1000_PHY_WORDS; i++)
        e->phy[i] = phy_rows[i].initial;
}

void e1000_phy_power_on(struct e1000 *e)
{
    fill(e);
    e->link_was_lost = false;
    show_link(e, net_link_is_up(&e->nic));
}

/* The link is gone until both sides have agreed. */
static void negotiate(struct e1000 *e)
{
    timer_stop(&e->negotiation);
    if (!(e->phy[PHY_CONTROL] & CONTROL_NEGOTIATE) || !e->autonegotiation) {
        set_link(e, net_link_is_up(&e->nic));
        return;
    }
    set_link(e, false);
    if (net_link_is_up(&e->nic)) {
        trace_e1000x_link_negotiation_start();
        timer_set(&e->negotiation, clock_now(e->negotiation.clock) + NEGOTIATION_NANOSECONDS);
    }
}

void e1000_phy_negotiated(struct e1000 *e)
{
    if (!net_link_is_up(&e->nic))
        return;
    trace_e1000x_link_negotiation_done();
    set_link(e, true);
    interrupt(e, INTERRUPT_NEGOTIATED);
}

void e1000_phy_reset(struct e1000 *e)
{
    fill(e);
    negotiate(e);
}

void e1000_phy_link_changed(struct e1000 *e)
{
    negotiate(e);
}

bool e1000_phy_loops(const struct e1000 *e)
{
    return e->phy[PHY_CONTROL] & CONTROL_LOOPBACK;
}

/* --- registers --- */

static uint16_t read_register(struct e1000 *e, unsigned number)
{
    uint16_t value = e->phy[number];

    switch (number) {
    case PHY_STATUS: /* that the link was lost is told once */
        if (e->link_was_lost)
            value &= (uint16_t)~STATUS_LINK;
        e->link_was_lost = !e->link;
        break;
    case PHY_INTERRUPT_STATUS:
    case PHY_RECEIVE_ERRORS: e->phy[number] = 0; break;
    default: break;
    }
    trace_e1000_phy_read(number, value);
    return value;
}

static void write_register(struct e1000 *e, unsigned number, uint16_t value)
{
    uint16_t writable = phy_rows[number].writable;

    trace_e1000_phy_write(number, value);
    if (!writable)
        device_guest_error(&e->pci.device, "PHY register %u cannot be written", number);
    e->phy[number] = (uint16_t)((e->phy[number] & ~writable) | (value & writable));
    if (number != PHY_CONTROL)
        return;
    if (value & CONTROL_RESET) {
        e1000_phy_reset(e);
    } else {
        e->phy[PHY_CONTROL] &= (uint16_t)~CONTROL_RESTART;
        if (value & CONTROL_RESTART)
            negotiate(e);
    }
}

uint32_t e1000_mdic(struct e1000 *e, uint32_t value)
{
    unsigned number = value >> MDIC_REGISTER_SHIFT & 31;
    unsigned address = value >> MDIC_ADDRESS_SHIFT & 31;
    uint32_t result = value & ~(uint32_t)(MDIC_READY | MDIC_ERROR);

    if (address != OWN_ADDRESS) {
        device_guest_error(&e->pci.device, "there is no PHY at address %u", address);
        result |= MDIC_ERROR | 0xffff;
    } else if ((value & MDIC_OPERATION) == MDIC_READ) {
        result = (result & ~0xffffu) | read_register(e, number);
    } else if ((value & MDIC_OPERATION) == MDIC_WRITE) {
        write_register(e, number, (uint16_t)value);
    } else {
        result |= MDIC_ERROR;
    }
    if (value & MDIC_INTERRUPT)
        e1000_cause(e, CAUSE_MDAC);
    return result | MDIC_READY;
}
