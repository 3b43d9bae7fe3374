/* SPDX-License-Identifier: MIT
 *
 * The EEPROM of the 82540EM: 64 words, which EERD reads, and which the bits of EECD reach as the
 * wires of a Microwire device such as the 93C46 (SDM chapter 5, 13.4.3 and 13.4.4). What a guest
 * writes there stays until the machine ends. */
#include "device/e1000.h"
#include "trace-device.h"

enum {
    EECD_SK = 1 << 0,
    EECD_CS = 1 << 1,
    EECD_DI = 1 << 2,
    EECD_DO = 1 << 3,
    EECD_REQ = 1 << 6,
    EECD_GNT = 1 << 7,
    EECD_PRES = 1 << 8,
    EERD_START = 1 << 0,
    EERD_DONE = 1 << 4,
    CHECKSUM = 0xbaba, /* the sum of all words */
};

/* Words of the map (SDM 5.6). */
enum {
    WORD_COMPATIBILITY = 0x03,
    WORD_CONTROL1 = 0x0a,
    WORD_SUBSYSTEM = 0x0b,
    WORD_SUBSYSTEM_VENDOR = 0x0c,
    WORD_DEVICE = 0x0d,
    WORD_VENDOR = 0x0e,
    WORD_CONTROL2 = 0x0f,
    WORD_CHECKSUM = 0x3f,
};

void e1000_eeprom_fill(struct e1000 *e)
{
    uint16_t *words = e->eeprom, sum = 0;

    for (unsigned i = 0; i < E1000_EEPROM_WORDS; i++)
        words[i] = 0xffff;
    for (unsigned i = 0; i < NET_MAC_SIZE / 2; i++)
        words[i] = (uint16_t)(e->mac[2 * i] | e->mac[2 * i + 1] << 8);
    words[WORD_COMPATIBILITY] = 0x0000;
    words[WORD_CONTROL1] = 0x4403; /* signature; full duplex; ids are loaded */
    words[WORD_SUBSYSTEM] = pci_get16(e->pci.config + PCI_SUBSYSTEM);
    words[WORD_SUBSYSTEM_VENDOR] = pci_get16(e->pci.config + PCI_SUBSYSTEM_VENDOR);
    words[WORD_DEVICE] = pci_get16(e->pci.config + PCI_DEVICE_ID);
    words[WORD_VENDOR] = pci_get16(e->pci.config + PCI_VENDOR_ID);
    words[WORD_CONTROL2] = 0x3000; /* both kinds of pause frames are advertised */
    for (unsigned i = 0; i < WORD_CHECKSUM; i++)
        sum = (uint16_t)(sum + words[i]);
    words[WORD_CHECKSUM] = (uint16_t)(CHECKSUM - sum);
}

uint32_t e1000_eerd(const struct e1000 *e, uint32_t value)
{
    unsigned address = value >> 8 & 0xff;

    if (!(value & EERD_START))
        return value & 0xff00;
    uint16_t word = address < E1000_EEPROM_WORDS ? e->eeprom[address] : 0xffff;
    trace_e1000_eeprom_read(address, word);
    return (uint32_t)word << 16 | (value & 0xff00) | EERD_DONE;
}

/* --- the wires --- */

enum {
    COMMAND_BITS = 9, /* 1, two of the operation, six of the address */
    WRITE_BITS = COMMAND_BITS + 16,
    OPERATION_OTHER = 0, /* which, the upper two bits of the address say */
    OPERATION_WRITE = 1,
    OPERATION_READ = 2,
    OPERATION_ERASE = 3,
    OTHER_DISABLE = 0,
    OTHER_WRITE_ALL = 1,
    OTHER_ERASE_ALL = 2,
    OTHER_ENABLE = 3,
};

static void put_word(struct e1000 *e, unsigned address, uint16_t word)
{
    trace_e1000_eeprom_write(address, word);
    e->eeprom[address] = word;
}

/* CS falls behind a whole command. */
static void change_words(struct e1000 *e)
{
    struct e1000_microwire *wire = &e->microwire;
    bool with_data = wire->in_count == WRITE_BITS;
    uint32_t command = with_data ? wire->in >> 16 : wire->in;
    unsigned operation = command >> 6 & 3, address = command & 63, other = address >> 4;
    uint16_t data = with_data ? (uint16_t)wire->in : 0xffff;

    if (!wire->may_write) {
        device_guest_error(&e->pci.device, "the EEPROM is written before writing is enabled");
        return;
    }
    if (operation == OPERATION_WRITE || operation == OPERATION_ERASE) {
        put_word(e, address, data);
    } else if (other == OTHER_WRITE_ALL || other == OTHER_ERASE_ALL) {
        for (unsigned i = 0; i < E1000_EEPROM_WORDS; i++)
            put_word(e, i, data);
    }
}

/* The bits of a command are there. */
static void command_complete(struct e1000 *e)
{
    struct e1000_microwire *wire = &e->microwire;
    unsigned operation = wire->in >> 6 & 3, address = wire->in & 63, other = address >> 4;

    if (operation == OPERATION_READ) {
        wire->address = (uint8_t)address;
        wire->out = e->eeprom[address];
        wire->out_left = 16;
        wire->data_out = false; /* a 0 goes before the data */
        trace_e1000_eeprom_read(address, wire->out);
    } else if (operation == OPERATION_OTHER && (other == OTHER_ENABLE || other == OTHER_DISABLE)) {
        wire->may_write = other == OTHER_ENABLE;
    } else {
        wire->armed = operation == OPERATION_ERASE ||
                      (operation == OPERATION_OTHER && other == OTHER_ERASE_ALL);
    }
}

static void clock_out(struct e1000 *e)
{
    struct e1000_microwire *wire = &e->microwire;

    wire->data_out = wire->out >> 15;
    wire->out = (uint16_t)(wire->out << 1);
    if (--wire->out_left == 0) { /* the next word follows */
        wire->address = (uint8_t)((wire->address + 1) % E1000_EEPROM_WORDS);
        wire->out = e->eeprom[wire->address];
        wire->out_left = 16;
    }
}

static bool takes_data(uint32_t command)
{
    unsigned operation = command >> 6 & 3, other = command >> 4 & 3;
    return operation == OPERATION_WRITE ||
           (operation == OPERATION_OTHER && other == OTHER_WRITE_ALL);
}

static void clock_in(struct e1000 *e, bool bit)
{
    struct e1000_microwire *wire = &e->microwire;

    if (wire->out_left) {
        clock_out(e);
    } else if ((wire->in_count || bit) && wire->in_count < WRITE_BITS) {
        wire->in = wire->in << 1 | bit;
        wire->in_count++;
        if (wire->in_count == COMMAND_BITS)
            command_complete(e);
        else if (wire->in_count == WRITE_BITS)
            wire->armed = takes_data(wire->in >> 16);
    }
}

void e1000_eecd_write(struct e1000 *e, uint32_t value)
{
    struct e1000_microwire *wire = &e->microwire;
    uint32_t old = e->reg[E1000_EECD];

    e->reg[E1000_EECD] = value;
    if (!(value & EECD_CS)) {
        if ((old & EECD_CS) && wire->armed)
            change_words(e);
        wire->in = wire->in_count = wire->out_left = 0;
        wire->armed = false;
        wire->data_out = true; /* ready */
    } else if ((value & EECD_SK) && !(old & EECD_SK)) {
        clock_in(e, value & EECD_DI);
    }
}

uint32_t e1000_eecd_read(const struct e1000 *e)
{
    uint32_t value = e->reg[E1000_EECD];

    return value | EECD_PRES | (e->microwire.data_out ? (uint32_t)EECD_DO : 0) |
           (value & EECD_REQ ? (uint32_t)EECD_GNT : 0);
}
