/* SPDX-License-Identifier: MIT
 *
 * The I/O APIC (Intel 82093AA data sheet, 290566), as version 0x20: with the EOI register of later
 * chips (ICH data sheets, "IOAPIC").
 *
 * An edge is a message at once, or lost while the input is masked. A level is in IRR while the
 * input is high; its message goes out when no earlier one is without an end ("remote IRR").
 */
#include "device/ioapic.h"

#include <inttypes.h>

#include "base/strbuf.h"
#include "trace-device.h"

/* Offsets in memory. */
enum ioapic_offset { IOREGSEL = 0x00, IOWIN = 0x10, EOIR = 0x40 };

/* Numbers behind IOREGSEL. */
enum ioapic_register { IOAPICID = 0x00, IOAPICVER = 0x01, IOAPICARB = 0x02, IOREDTBL = 0x10 };

enum { VERSION_82093AA = 0x11, VERSION_WITH_EOI = 0x20 };

#define VECTOR     UINT64_C(0xff)
#define LOGICAL    (UINT64_C(1) << 11)
#define PENDING    (UINT64_C(1) << 12)
#define ACTIVE_LOW (UINT64_C(1) << 13)
#define REMOTE_IRR (UINT64_C(1) << 14)
#define LEVEL      (UINT64_C(1) << 15)
#define MASKED     (UINT64_C(1) << 16)
#define READ_ONLY  (PENDING | REMOTE_IRR)
#define WRITABLE   UINT64_C(0xff0000000001afff)

struct ioapic {
    struct device device;
    struct mem_region region;
    ioapic_deliver_fn *deliver;
    void *opaque;
    uint8_t version; /* property */
    uint8_t id, select;
    uint32_t irr, level; /* of the inputs, as they are now */
    uint64_t entry[IOAPIC_PINS];
    uint64_t count[IOAPIC_PINS]; /* rises of each input: for people */
};

static unsigned delivery(uint64_t entry)
{
    return (unsigned)(entry >> 8 & 7);
}

/* Sends what the pin asks for, if it may. */
static void serve(struct ioapic *ioapic, unsigned pin)
{
    uint64_t *entry = &ioapic->entry[pin];
    struct apic_message message = {
        .destination = (uint32_t)(*entry >> 56),
        .logical = *entry & LOGICAL,
        .level = *entry & LEVEL,
        .delivery = (uint8_t)delivery(*entry),
        .vector = (uint8_t)*entry,
    };

    if (!(ioapic->irr >> pin & 1) || *entry & (MASKED | REMOTE_IRR))
        return;
    if (message.level) {
        /* Only fixed and lowest priority have an end that is told. */
        if (message.delivery <= APIC_LOWEST_PRIORITY) {
            trace_ioapic_set_remote_irr((int)pin);
            *entry |= REMOTE_IRR;
        }
    } else {
        ioapic->irr &= ~(1u << pin);
    }
    if (message.destination == 0xff && !message.logical)
        message.destination = APIC_BROADCAST;
    if (ioapic->deliver)
        ioapic->deliver(ioapic->opaque, &message);
}

static void set_pin(void *opaque, int number, bool level)
{
    struct ioapic *ioapic = opaque;
    unsigned pin = (unsigned)number;
    uint32_t bit = 1u << pin;
    bool rises = level && !(ioapic->level & bit);

    if (level != ((ioapic->level & bit) != 0))
        trace_ioapic_set_irq(number, level);
    ioapic->level = level ? ioapic->level | bit : ioapic->level & ~bit;
    ioapic->count[pin] += rises;
    if (ioapic->entry[pin] & LEVEL) {
        ioapic->irr = level ? ioapic->irr | bit : ioapic->irr & ~bit;
        if (rises)
            serve(ioapic, pin);
    } else if (rises && !(ioapic->entry[pin] & MASKED)) {
        /* Edges at a masked input are lost (data sheet, "Interrupt Mask"). */
        ioapic->irr |= bit;
        serve(ioapic, pin);
    }
}

void ioapic_eoi(struct device *device, uint8_t vector)
{
    struct ioapic *ioapic = (struct ioapic *)device;

    for (unsigned pin = 0; pin < IOAPIC_PINS; pin++) {
        uint64_t *entry = &ioapic->entry[pin];

        if ((*entry & VECTOR) != vector || !(*entry & LEVEL) || !(*entry & REMOTE_IRR))
            continue;
        trace_ioapic_eoi_broadcast(vector);
        trace_ioapic_clear_remote_irr((int)pin, vector);
        *entry &= ~REMOTE_IRR;
        serve(ioapic, pin);
    }
}

/* --- registers --- */

static void write_entry(struct ioapic *ioapic, unsigned index, uint32_t value)
{
    unsigned pin = index / 2;
    uint64_t *entry = &ioapic->entry[pin];
    uint32_t bit = 1u << pin;
    uint64_t was = *entry, written;

    written =
        index % 2 ? (uint64_t)value << 32 | (uint32_t)was : (was & ~UINT64_C(0xffffffff)) | value;
    *entry = (written & WRITABLE) | (was & READ_ONLY);
    if (!(*entry & LEVEL)) {
        *entry &= ~REMOTE_IRR;
        if (was & LEVEL)
            ioapic->irr &= ~bit;
    } else {
        ioapic->irr = (ioapic->irr & ~bit) | (ioapic->level & bit);
    }
    serve(ioapic, pin);
}

static uint32_t read_selected(const struct ioapic *ioapic)
{
    unsigned index = ioapic->select - (unsigned)IOREDTBL;

    switch (ioapic->select) {
    case IOAPICID:
    case IOAPICARB: return (uint32_t)ioapic->id << 24;
    case IOAPICVER: return ioapic->version | (IOAPIC_PINS - 1) << 16;
    default: break;
    }
    if (ioapic->select < IOREDTBL || index >= 2 * IOAPIC_PINS)
        return 0;
    return (uint32_t)(ioapic->entry[index / 2] >> (index % 2 ? 32 : 0));
}

static void write_selected(struct ioapic *ioapic, uint32_t value)
{
    if (ioapic->select == IOAPICID)
        ioapic->id = value >> 24 & 0xf;
    else if (ioapic->select >= IOREDTBL && ioapic->select < IOREDTBL + 2 * IOAPIC_PINS)
        write_entry(ioapic, ioapic->select - IOREDTBL, value);
    else
        device_guest_error(&ioapic->device, "register 0x%02x cannot be written", ioapic->select);
}

static uint64_t ioapic_read(void *opaque, uint64_t offset, unsigned size)
{
    const struct ioapic *ioapic = opaque;
    uint32_t value = 0;

    if (offset == IOREGSEL)
        value = ioapic->select;
    else if (offset == IOWIN)
        value = read_selected(ioapic);
    trace_ioapic_mem_read((uint8_t)offset, ioapic->select, (uint8_t)size, value);
    return value;
}

static void ioapic_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    struct ioapic *ioapic = opaque;

    trace_ioapic_mem_write((uint8_t)offset, ioapic->select, (uint8_t)size, (uint32_t)value);
    if (offset == IOREGSEL)
        ioapic->select = (uint8_t)value;
    else if (offset == IOWIN)
        write_selected(ioapic, (uint32_t)value);
    else if (offset == EOIR && ioapic->version == VERSION_WITH_EOI)
        ioapic_eoi(&ioapic->device, (uint8_t)value);
}

static const struct mem_register ioapic_registers[] = {
    {IOREGSEL, 4, MEM_RW, "IOREGSEL", NULL},
    {IOWIN, 4, MEM_RW, "IOWIN", NULL},
    {EOIR, 4, MEM_W, "EOI", NULL},
    {0, 0, 0, NULL, NULL},
};

static const struct mem_ops ioapic_ops = {
    .read = ioapic_read,
    .write = ioapic_write,
    .valid_min = 1,
    .valid_max = 4,
    .impl_min = 1,
    .impl_max = 4,
    .registers = ioapic_registers,
};

/* --- printing --- */

static void print_pins(const char *name, uint32_t pins, struct strbuf *text)
{
    strbuf_printf(text, "  %-8s ", name);
    if (!pins)
        strbuf_puts(text, "(none)");
    for (unsigned pin = 0; pin < IOAPIC_PINS; pin++) {
        if (pins >> pin & 1)
            strbuf_printf(text, "%-2u ", pin);
    }
    strbuf_putc(text, '\n');
}

void ioapic_print(const struct device *device, struct strbuf *text)
{
    static const char *const DELIVERY[] = {"fixed", "lowest", "SMI", "...",
                                           "NMI",   "INIT",   "...", "extINT"};
    const struct ioapic *ioapic = (const struct ioapic *)device;
    uint32_t remote = 0;

    strbuf_printf(text, "ioapic0: ver=0x%02x id=0x%02x sel=0x%02x", ioapic->version, ioapic->id,
                  ioapic->select);
    if (ioapic->select >= IOREDTBL)
        strbuf_printf(text, " (redir[%u])", (ioapic->select - IOREDTBL) / 2u);
    strbuf_putc(text, '\n');
    for (unsigned pin = 0; pin < IOAPIC_PINS; pin++) {
        uint64_t entry = ioapic->entry[pin];

        strbuf_printf(
            text, "  pin %-2u 0x%016" PRIx64 " dest=%" PRIx64 " vec=%-3u %s %-5s %-6s %-6s %s\n",
            pin, entry, entry >> 56, (unsigned)(entry & VECTOR),
            entry & ACTIVE_LOW ? "active-lo" : "active-hi", entry & LEVEL ? "level" : "edge",
            entry & MASKED ? "masked" : "", DELIVERY[delivery(entry)],
            entry & LOGICAL ? "logical" : "physical");
        remote |= (uint32_t)((entry & REMOTE_IRR) != 0) << pin;
    }
    print_pins("IRR", ioapic->irr, text);
    print_pins("Remote IRR", remote, text);
}

void ioapic_print_counts(const struct device *device, struct strbuf *text)
{
    const struct ioapic *ioapic = (const struct ioapic *)device;

    strbuf_puts(text, "IRQ statistics for ioapic:\n");
    for (unsigned pin = 0; pin < IOAPIC_PINS; pin++) {
        if (ioapic->count[pin])
            strbuf_printf(text, "%2u: %" PRIu64 "\n", pin, ioapic->count[pin]);
    }
}

/* --- the device --- */

struct irq ioapic_line(struct device *device, unsigned pin)
{
    if (pin >= IOAPIC_PINS)
        return (struct irq){NULL, NULL, 0};
    return (struct irq){set_pin, device, (int)pin};
}

struct irq ioapic_isa_line(struct device *device, unsigned number)
{
    return ioapic_line(device, number == 0 ? 2 : number == 2 ? IOAPIC_PINS : number);
}

static bool ioapic_realize(struct device *device, struct error *err)
{
    struct ioapic *ioapic = (struct ioapic *)device;

    if (ioapic->version != VERSION_82093AA && ioapic->version != VERSION_WITH_EOI)
        return error_set(err, "ioapic: version is 0x11 or 0x20, not 0x%02x", ioapic->version);
    mem_init_io(&ioapic->region, "ioapic", 0x1000, &ioapic_ops, ioapic);
    mem_add(device->board->memory_root, &ioapic->region, IOAPIC_BASE, 0);
    return true;
}

static void ioapic_reset(struct device *device)
{
    struct ioapic *ioapic = (struct ioapic *)device;

    ioapic->id = ioapic->select = 0;
    ioapic->irr = 0;
    for (unsigned pin = 0; pin < IOAPIC_PINS; pin++)
        ioapic->entry[pin] = MASKED;
}

static bool ioapic_loaded(struct device *device, struct error *err)
{
    struct ioapic *ioapic = (struct ioapic *)device;

    (void)err;
    ioapic->irr &= (1u << IOAPIC_PINS) - 1;
    ioapic->level &= (1u << IOAPIC_PINS) - 1;
    return true;
}

static void ioapic_free(struct device *device)
{
    if (device->realized)
        mem_free(&((struct ioapic *)device)->region);
}

static const struct device_property ioapic_properties[] = {
    {"version", PROPERTY_U8, offsetof(struct ioapic, version), VERSION_WITH_EOI, NULL, NULL,
     "0x11, or 0x20 with an EOI register"},
    {NULL, 0, 0, 0, NULL, NULL, NULL},
};

static const struct device_field ioapic_state[] = {
    FIELD(struct ioapic, id, FIELD_U8),           FIELD(struct ioapic, select, FIELD_U8),
    FIELD(struct ioapic, irr, FIELD_U32),         FIELD(struct ioapic, level, FIELD_U32),
    FIELD_ARRAY(struct ioapic, entry, FIELD_U64), FIELD_END,
};

static const struct device_class ioapic_class = {
    .name = "ioapic",
    .help = "82093AA I/O APIC",
    .bus = "System",
    .category = "Misc",
    .size = sizeof(struct ioapic),
    .properties = ioapic_properties,
    .state = ioapic_state,
    .realize = ioapic_realize,
    .reset = ioapic_reset,
    .loaded = ioapic_loaded,
    .free = ioapic_free,
};
DEVICE(ioapic_class)

struct device *ioapic_new(struct board *board, ioapic_deliver_fn *deliver, void *opaque,
                          struct error *err)
{
    struct ioapic *ioapic = (struct ioapic *)device_new(&ioapic_class, board);

    ioapic->deliver = deliver;
    ioapic->opaque = opaque;
    return device_realize(&ioapic->device, err) ? &ioapic->device : NULL;
}

static void to_bus(void *opaque, const struct apic_message *message)
{
    apic_bus_deliver(opaque, message);
}

static void from_bus(void *opaque, uint8_t vector)
{
    ioapic_eoi(opaque, vector);
}

struct device *ioapic_new_on_bus(struct board *board, struct apic_bus *bus, struct error *err)
{
    struct device *ioapic = ioapic_new(board, to_bus, bus, err);

    if (ioapic) {
        bus->eoi = from_bus;
        bus->eoi_opaque = ioapic;
    }
    return ioapic;
}
