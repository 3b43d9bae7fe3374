/* SPDX-License-Identifier: MIT
 *
 * The PC's ISA bridge: Intel 82371SB (PIIX3, data sheet 290550), function 0. What is visible of it
 * besides the bus itself: PIRQ routing and the reset control register. The other registers of its
 * configuration keep what firmware writes.
 *
 *     pin of a slot -> PIRQ (pin + slot - 1) mod 4 -> PIRQRC[A:D] -> one of the ISA interrupts
 */
#include "device/piix3.h"

#include <string.h>

#include "device/i440fx.h"
#include "device/pci.h"
#include "trace-device.h"

enum {
    IORT = 0x4c,
    XBCS = 0x4e,
    PIRQRCA = 0x60,
    TOM = 0x69,
    MBIRQ0 = 0x70,
    MBDMA0 = 0x76,
    PCSC = 0x78,
    APICBASE = 0x80,
    DLC = 0x82,
    SMICNTL = 0xa0,
    SMIEN = 0xa2,
    SEE = 0xa4,
    FTMR = 0xa8,
    SMIREQ = 0xaa,
    CTLTMR = 0xac,
    CTHTMR = 0xae,
};

enum {
    PIRQ_OFF = 0x80, /* PIRQRC: routed nowhere */
    PIRQ_NUMBER = 0x0f,
    RCR_HARD = 0x02,  /* SRST: all of the system, else the CPU */
    RCR_RESET = 0x04, /* RCPU: rising, it resets */
    STATUS_MEDIUM = 0x0200,
};

/* Interrupts that the timer, keyboard, cascade, clock and coprocessor have for themselves. */
static const uint16_t not_for_pirqs = 1 << 0 | 1 << 1 | 1 << 2 | 1 << 8 | 1 << 13;

static const struct bridge_register {
    uint8_t offset, bytes, initial, writable;
} bridge_registers[] = {
    {IORT, 1, 0x4d, 0xff},    {XBCS, 1, 0x03, 0xff},   {XBCS + 1, 1, 0, 0x01},
    {PIRQRCA, 4, 0x80, 0x8f}, {TOM, 1, 0x02, 0xfe},    {MBIRQ0, 1, 0x80, 0xcf},
    {MBDMA0, 2, 0x0c, 0x8f},  {PCSC, 1, 0x02, 0xff},   {PCSC + 1, 1, 0, 0xff},
    {APICBASE, 1, 0, 0x7f},   {DLC, 1, 0, 0x0f},       {SMICNTL, 1, 0x08, 0x1f},
    {SMIEN, 1, 0, 0xff},      {SMIEN + 1, 1, 0, 0x01}, {SEE, 4, 0, 0xff},
    {FTMR, 1, 0x0f, 0xff},    {SMIREQ, 1, 0, 0xff},    {SMIREQ + 1, 1, 0, 0x01},
    {CTLTMR, 1, 0, 0xff},     {CTHTMR, 1, 0, 0xff},
};

enum { BRIDGE_REGISTERS = sizeof(bridge_registers) / sizeof(bridge_registers[0]) };

struct piix3 {
    struct pci_device pci;
    struct isa_bus isa;
    struct isa_bus *other_isa; /* that the board had before */
    uint32_t pirq[PCI_PINS];   /* a bit for each slot that drives it */
    uint16_t driven;           /* ISA interrupts that are up */
    uint8_t reset_control;     /* RCR, port 0xcf9 */
};

/* --- interrupts --- */

static void update_irqs(struct piix3 *piix3)
{
    uint16_t wanted = 0;
    for (unsigned i = 0; i < PCI_PINS; i++) {
        uint8_t route = piix3->pci.config[PIRQRCA + i];
        if (piix3->pirq[i] && !(route & PIRQ_OFF))
            wanted |= (uint16_t)(1 << (route & PIRQ_NUMBER));
    }
    wanted &= (uint16_t)~not_for_pirqs;
    uint16_t changed = wanted ^ piix3->driven;
    piix3->driven = wanted;
    for (unsigned i = 0; i < ISA_IRQS; i++) {
        if (changed >> i & 1)
            irq_set(piix3->isa.irq[i], wanted >> i & 1);
    }
}

static void set_pin(void *opaque, unsigned slot, unsigned pin, bool level)
{
    struct piix3 *piix3 = opaque;
    unsigned pirq = (pin + slot - 1) % PCI_PINS;
    uint32_t before = piix3->pirq[pirq], bit = 1u << slot;
    piix3->pirq[pirq] = level ? before | bit : before & ~bit;
    if (piix3->pirq[pirq] == before)
        return;
    trace_piix3_pirq(pirq, slot, level, piix3->pci.config[PIRQRCA + pirq]);
    update_irqs(piix3);
}

static void config_written(struct pci_device *pci, unsigned offset, unsigned size)
{
    struct piix3 *piix3 = (struct piix3 *)pci;
    bool routed = false;
    for (unsigned i = offset; i < offset + size; i++) {
        if (i >= PIRQRCA && i < PIRQRCA + PCI_PINS) {
            trace_piix3_pirq_route(i - PIRQRCA, pci->config[i]);
            routed = true;
        }
    }
    if (routed)
        update_irqs(piix3);
}

/* --- port 0xcf9 --- */

static uint8_t reset_control_read(void *opaque)
{
    const struct piix3 *piix3 = opaque;
    return piix3->reset_control;
}

static void reset_control_write(void *opaque, uint8_t value)
{
    struct piix3 *piix3 = opaque;
    struct board *board = piix3->pci.device.board;
    bool rises = (value & RCR_RESET) && !(piix3->reset_control & RCR_RESET);
    trace_piix3_reset_control_write(value);
    piix3->reset_control = value & (RCR_HARD | RCR_RESET);
    if (rises)
        board->request(board, BOARD_RESET, 0);
}

/* --- the device --- */

static bool realize(struct device *device, struct error *err)
{
    struct piix3 *piix3 = (struct piix3 *)device;
    struct board *board = device->board;
    if (!pci_device_init(&piix3->pci, err))
        return false;
    pci_set16(piix3->pci.config + PCI_STATUS, STATUS_MEDIUM);
    for (unsigned i = 0; i < BRIDGE_REGISTERS; i++) {
        const struct bridge_register *reg = &bridge_registers[i];
        memset(piix3->pci.writable + reg->offset, reg->writable, reg->bytes);
    }
    if (board->isa)
        piix3->isa = *board->isa;
    piix3->isa.ports = board->port_root;
    piix3->isa.memory = piix3->pci.bus->memory;
    piix3->other_isa = board->isa;
    board->isa = &piix3->isa;
    piix3->pci.bus->set_pin = set_pin;
    piix3->pci.bus->opaque = piix3;
    struct device *host = i440fx_of(board);
    struct i440fx_reset_control control = {piix3, reset_control_read, reset_control_write};
    if (host)
        i440fx_set_reset_control(host, &control);
    return true;
}

static void reset(struct device *device)
{
    struct piix3 *piix3 = (struct piix3 *)device;
    pci_device_reset(&piix3->pci);
    for (unsigned i = 0; i < BRIDGE_REGISTERS; i++) {
        const struct bridge_register *reg = &bridge_registers[i];
        memset(piix3->pci.config + reg->offset, reg->initial, reg->bytes);
    }
    piix3->reset_control = 0;
    update_irqs(piix3);
}

static void end(struct device *device)
{
    struct piix3 *piix3 = (struct piix3 *)device;
    struct board *board = device->board;
    struct pci_bus *bus = piix3->pci.bus;
    if (board->isa == &piix3->isa) {
        struct device *host = i440fx_of(board);
        struct i440fx_reset_control none = {NULL, NULL, NULL};
        if (host)
            i440fx_set_reset_control(host, &none);
        bus->set_pin = NULL;
        bus->opaque = NULL;
        board->isa = piix3->other_isa;
    }
    pci_device_free(&piix3->pci);
}

static const struct device_field fields[] = {
    FIELD_ARRAY(struct piix3, pirq, FIELD_U32),
    FIELD(struct piix3, driven, FIELD_U16),
    FIELD(struct piix3, reset_control, FIELD_U8),
    FIELD_END,
};

static const struct pci_class pci_face = {
    .vendor = 0x8086,
    .device = 0x7000,
    .class = 0x0601,
    .multifunction = true,
    .config_written = config_written,
};

static const struct device_bus buses[] = {{"isa.0", "ISA"}, {NULL, NULL}};

static const struct device_class piix3_class = {
    .name = "PIIX3",
    .help = "ISA bridge",
    .bus = "PCI",
    .category = "Bridge",
    .size = sizeof(struct piix3),
    .state = fields,
    .realize = realize,
    .reset = reset,
    .free = end,
    .bus_class = &pci_face,
    .buses = buses,
};
DEVICE(piix3_class)

struct device *piix3_new(struct board *board, struct error *err)
{
    struct device *device = device_new(&piix3_class, board);
    ((struct piix3 *)device)->pci.devfn = 1 << 3;
    return device_realize(device, err) ? device : NULL;
}
