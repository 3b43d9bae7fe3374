/* SPDX-License-Identifier: MIT
 *
 * The NIC 82540EM, shared by its sources: e1000.c (registers, interrupts, the class),
 * e1000_names.c, e1000_phy.c (PHY and link), e1000_eeprom.c, e1000_transmit.c, e1000_receive.c.
 * Others make it by its class.
 */
#ifndef DEVICE_E1000_H
#define DEVICE_E1000_H

#include "device/pci.h"
#include "net/net.h"

/* Where the words of a register are in e1000.reg. */
enum e1000_register {
#define REGISTER(offset, name, words, access, writable, fields) \
    E1000_##name, E1000_##name##_LAST = E1000_##name + (words)-1,
#include "device/e1000_registers.def"
#undef REGISTER
    E1000_WORDS
};

enum e1000_control {
    CTRL_FD = 1 << 0,
    CTRL_SLU = 1 << 6,
    CTRL_SPEED_1000 = 2 << 8,
    CTRL_FRCSPD = 1 << 11,
    CTRL_RST = 1 << 26,
    CTRL_RFCE = 1 << 27,
    CTRL_VME = 1 << 30,
    CTRL_PHY_RST = 1u << 31,
};

enum e1000_cause {
    CAUSE_TXDW = 1 << 0,
    CAUSE_TXQE = 1 << 1,
    CAUSE_LSC = 1 << 2,
    CAUSE_RXDMT0 = 1 << 4,
    CAUSE_RXO = 1 << 6,
    CAUSE_RXT0 = 1 << 7,
    CAUSE_MDAC = 1 << 9,
    CAUSE_PHYINT = 1 << 12,
    CAUSE_TXD_LOW = 1 << 15,
    CAUSE_SRPD = 1 << 16,
    CAUSES = 0x1ffff & ~(1 << 5 | 1 << 8),
};

enum e1000_receive_control {
    RCTL_EN = 1 << 1,
    RCTL_UPE = 1 << 3,
    RCTL_MPE = 1 << 4,
    RCTL_LPE = 1 << 5,
    RCTL_LBM = 3 << 6, /* both bits: loopback */
    RCTL_RDMTS_SHIFT = 8,
    RCTL_MO_SHIFT = 12,
    RCTL_BAM = 1 << 15,
    RCTL_BSIZE_SHIFT = 16,
    RCTL_VFE = 1 << 18,
    RCTL_CFIEN = 1 << 19,
    RCTL_CFI = 1 << 20,
    RCTL_DPF = 1 << 22,
    RCTL_PMCF = 1 << 23,
    RCTL_BSEX = 1 << 25,
    RCTL_SECRC = 1 << 26,
};

enum e1000_transmit_control { TCTL_EN = 1 << 1, TCTL_PSP = 1 << 3 };

enum {
    E1000_DESCRIPTOR = 16, /* bytes of one, of any kind */
    E1000_FCS = 4,
    E1000_TAG = 4,
    E1000_EEPROM_WORDS = 64,
    E1000_PHY_WORDS = 32,
    E1000_HEADER_MAX = 255, /* of segmentation */
};

/* A frame that is being put together from descriptors. */
struct e1000_frame {
    uint8_t room[E1000_TAG + NET_FRAME_MAX]; /* room for a tag, then the frame */
    uint8_t header[E1000_HEADER_MAX];        /* of all segments */
    uint32_t size;                           /* without `room`'s first bytes */
    uint32_t segments;                       /* sent so far */
    uint16_t tag;
    uint8_t options; /* POPTS of its first descriptor */
    bool begun, segmented, tagged;
    bool broken; /* too long, or never sendable: gone at its end */
};

/* The wires of the EEPROM, a Microwire device. */
struct e1000_microwire {
    uint32_t in; /* bits of the command, the start bit first */
    uint8_t in_count;
    uint16_t out;
    uint8_t out_left;
    uint8_t address;
    bool data_out, may_write;
    bool armed; /* a command that changes words is complete, and happens when CS falls */
};

struct e1000 {
    struct pci_device pci;
    struct mem_region mmio, io;
    struct net_end nic;
    /* properties */
    struct net_end *netdev;
    uint8_t mac[NET_MAC_SIZE];
    bool autonegotiation, mitigation, extra_mac_registers, migrate_tso_props, init_vet;
    int32_t bootindex;
    /* state */
    uint32_t reg[E1000_WORDS];
    uint32_t io_address;
    bool irq_level;
    bool link; /* the PHY has one, and is not negotiating */
    bool link_was_lost;
    uint16_t phy[E1000_PHY_WORDS];
    uint16_t eeprom[E1000_EEPROM_WORDS];
    struct e1000_microwire microwire;
    uint64_t context[4]; /* the last for checksums, the last for segmentation; two words each */
    struct e1000_frame frame;
    struct timer throttle;                          /* ITR: no interrupt before */
    struct timer receive_delay, receive_absolute;   /* RDTR, RADV */
    struct timer transmit_delay, transmit_absolute; /* TIDV, TADV */
    struct timer negotiation;
    struct timer transmit_more; /* the queue was left with descriptors in it */
    /* derived */
    bool transmitting, receiving;
    struct net_crc crc;
};

/* --- e1000_names.c --- */

extern const struct mem_register e1000_registers[];

/* --- e1000.c --- */

/* Causes of interrupts have come up. */
void e1000_cause(struct e1000 *e, uint32_t causes);
/* Causes that come up later: by `delay` and, when that is set anew all the time, by `absolute`. */
void e1000_delay(struct e1000 *e, struct timer *delay, uint32_t ticks, struct timer *absolute,
                 uint32_t absolute_ticks);
/* STATUS, as it is read. */
uint32_t e1000_status(const struct e1000 *e);
bool e1000_may_master(const struct e1000 *e);
/* Counts in a register of statistics, which stops at its largest value. */
void e1000_count(struct e1000 *e, enum e1000_register which, uint32_t add);
/* The same for two registers of 64 bits; `low` is the first. */
void e1000_count64(struct e1000 *e, enum e1000_register low, uint32_t add);
/* The six counters by size that begin with `first`; `size` counts the FCS. */
void e1000_count_size(struct e1000 *e, enum e1000_register first, size_t size);

/* --- e1000_phy.c --- */

/* As it is a while after power came: with a link, if there is one. */
void e1000_phy_power_on(struct e1000 *e);
void e1000_phy_reset(struct e1000 *e);
/* What the wire says has changed. */
void e1000_phy_link_changed(struct e1000 *e);
void e1000_phy_negotiated(struct e1000 *e);
bool e1000_phy_loops(const struct e1000 *e);
/* MDIC is written; what is read there then. */
uint32_t e1000_mdic(struct e1000 *e, uint32_t value);

/* --- e1000_eeprom.c --- */

/* As the factory leaves it, with this address. */
void e1000_eeprom_fill(struct e1000 *e);
uint32_t e1000_eerd(const struct e1000 *e, uint32_t value);
void e1000_eecd_write(struct e1000 *e, uint32_t value);
uint32_t e1000_eecd_read(const struct e1000 *e);

/* --- e1000_transmit.c, e1000_receive.c --- */

/* Sends what is in the queue. */
void e1000_transmit(struct e1000 *e);
bool e1000_can_receive(void *opaque);
void e1000_receive(void *opaque, const uint8_t *frame, size_t size);

/* --- small ones --- */

static inline uint16_t e1000_get16(const uint8_t *at)
{
    return (uint16_t)(at[0] << 8 | at[1]); /* as networks have it */
}

static inline void e1000_put16(uint8_t *at, uint16_t value)
{
    at[0] = (uint8_t)(value >> 8);
    at[1] = (uint8_t)value;
}

static inline uint64_t e1000_get64(const uint8_t *at)
{
    return pci_get32(at) | (uint64_t)pci_get32(at + 4) << 32; /* as descriptors have it */
}

#endif
