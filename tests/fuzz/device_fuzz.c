/* SPDX-License-Identifier: MIT
 *
 * Every device class as a guest may treat it: registers of all its regions in every size, the
 * configuration space of PCI devices, memory that it may read, clock steps, resets, states saved
 * and loaded, also damaged ones. Nothing may crash, hang or be refused without a sentence.
 *
 * Two machines with the same device get the same accesses. Now and then the second is made anew and
 * gets the state of the first: from then on it must answer the same, or something is missing from
 * the table of its state.
 *
 * Input: the class, its properties, then operations. DEVICE_FUZZ_CLASS=NAME in the environment
 * takes that class only.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define HARNESS_RAM (1 << 20)
#include "../unit/device_harness.h"

#include "device/apic.h"
#include "device/i440fx.h"
#include "device/i8254.h"
#include "device/piix4_pm.h"
#include "display/display.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void promise(bool holds, const char *what, const char *class)
{
    if (!holds) {
        fprintf(stderr, "device_fuzz: %s: %s\n", class, what);
        abort();
    }
}

/* --- input --- */

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

/* --- a machine --- */

enum { TARGETS = 256 };

struct target {
    struct mem_space *space;
    uint64_t start, size;
};

struct machine {
    struct harness h;
    struct mem_listener listener[2]; /* memory, ports */
    bool moved;                      /* regions are seen elsewhere than the targets say */
    struct target target[TARGETS];
    unsigned targets;
};

static void changed(void *opaque)
{
    ((struct machine *)opaque)->moved = true;
}

/* Devices whose class alone is not enough: how a board makes them. */
static bool make_bridge(struct harness *h, struct error *err)
{
    mem_remove(&h->ram);
    return i440fx_new(&h->board, &h->ram, err);
}

static bool make_pm(struct harness *h, struct error *err)
{
    harness_add(h, "PIIX3", "addr=1", NULL);
    return piix4_pm_new(&h->board, h->isa.irq[0], err);
}

static bool make_speaker(struct harness *h, struct error *err)
{
    struct device *pit = i8254_new(&h->board, h->isa.irq[0], err);
    return pit && pcspk_new(&h->board, pit, err);
}

static int first_cpu(void *opaque)
{
    (void)opaque;
    return 0;
}

/* Each machine has a bus of its own, which its end leaves without a region. */
static bool make_apic(struct harness *h, struct error *err)
{
    enum { MACHINES = 8 };
    static struct apic_bus buses[MACHINES];
    struct apic_bus *bus = buses;
    while (bus->board && bus->board != &h->board && bus < buses + MACHINES - 1)
        bus++;
    struct apic_cpu cpu = {NULL, NULL, NULL};
    apic_bus_init(bus, &h->board, first_cpu, NULL);
    return local_apic_new(bus, 0, &cpu, err);
}

static const struct maker {
    const char *class;
    bool (*make)(struct harness *h, struct error *err);
} makers[] = {
    {"i440FX", make_bridge}, {"i440FX-pcihost", make_bridge},
    {"PIIX4_PM", make_pm},   {"isa-pcspk", make_speaker},
    {"apic", make_apic},
};

/* Values near which devices decide something. */
static void set_property(struct device *device, const struct device_property *property,
                         unsigned choice)
{
    static const char *const numbers[] = {"0",  "1",  "2",  "3",    "7",
                                          "15", "16", "64", "1016", "4096"};
    const char *text = numbers[choice % 10];
    struct error err = {""};
    unsigned words = 0;
    switch (property->type) {
    case PROPERTY_BOOL: text = choice & 1 ? "on" : "off"; break;
    case PROPERTY_WORD:
        while (property->words[words])
            words++;
        text = property->words[choice % words];
        break;
    case PROPERTY_STRING:
        text = choice & 1 ? "" : "some text that is longer than what devices have room for";
        break;
    case PROPERTY_MAC: text = "52:54:00:ff:00:01"; break;
    case PROPERTY_DEVFN: text = "4"; break;
    default: break;
    }
    promise(device_set(device, property->name, text, &err) || *err.text,
            "a property is refused without a sentence", device->class->name);
}

static bool make_any(struct harness *h, const struct device_class *class, struct input properties,
                     struct error *err)
{
    for (unsigned i = 0; i < sizeof(makers) / sizeof(makers[0]); i++) {
        if (strcmp(makers[i].class, class->name) == 0)
            return makers[i].make(h, err);
    }
    struct device *device = device_new(class, &h->board);
    for (const struct device_property *row = class->properties; row && row->name; row++) {
        uint8_t choice = take(&properties);
        if (choice & 0x80)
            set_property(device, row, choice & 0x7f);
    }
    return device_realize(device, err);
}

static bool machine_begin(struct machine *m, const struct device_class *class,
                          struct input properties)
{
    struct error err = {""};
    memset(m, 0, sizeof(*m));
    harness_begin(&m->h);
    if (!make_any(&m->h, class, properties, &err)) {
        promise(*err.text, "it is refused without a sentence", class->name);
        harness_end(&m->h);
        return false;
    }
    harness_reset(&m->h);
    struct mem_space *spaces[] = {m->h.board.memory, m->h.board.ports};
    for (unsigned i = 0; i < 2; i++) {
        m->listener[i] = (struct mem_listener){.opaque = m, .changed = changed};
        mem_listen(spaces[i], &m->listener[i]);
    }
    m->moved = true;
    return true;
}

static void machine_end(struct machine *m)
{
    mem_listen_no_more(m->h.board.memory, &m->listener[0]);
    mem_listen_no_more(m->h.board.ports, &m->listener[1]);
    harness_end(&m->h);
}

/* All regions that are seen, RAM too. */
static void find_targets(struct machine *m)
{
    struct mem_space *spaces[] = {m->h.board.ports, m->h.board.memory};
    if (!m->moved)
        return;
    m->moved = false;
    m->targets = 0;
    for (unsigned i = 0; i < 2; i++) {
        uint64_t at = 0;
        do {
            struct mem_range range;
            if (mem_find(spaces[i], at, &range) && m->targets < TARGETS)
                m->target[m->targets++] = (struct target){spaces[i], range.start, range.size};
            at = range.start + range.size;
        } while (at);
    }
}

/* --- operations, the same on both --- */

struct pair {
    struct machine *a, *b; /* b NULL: there is none yet */
    const struct device_class *class;
    unsigned drawn;
};

static void check_same(const struct pair *p, const char *what, uint64_t a, uint64_t b)
{
    if (!p->b || a == b)
        return;
    fprintf(stderr, "device_fuzz: %s: %s: 0x%llx, and 0x%llx with the state loaded\n",
            p->class->name, what, (unsigned long long)a, (unsigned long long)b);
    abort();
}

static void compare_lines(const struct pair *p)
{
    for (unsigned i = 0; p->b && i < ISA_IRQS; i++)
        check_same(p, "level of an interrupt", p->a->h.line[i].level, p->b->h.line[i].level);
    for (unsigned i = 0; p->b && i < 32 * PCI_PINS; i++)
        check_same(p, "level of a pin", p->a->h.pin[i].level, p->b->h.pin[i].level);
}

static void access_one(struct machine *m, uint8_t which, bool write, uint64_t at, unsigned size,
                       uint64_t *value)
{
    find_targets(m);
    if (!m->targets)
        return;
    const struct target *target = &m->target[which % m->targets];
    uint64_t address = target->start + (target->size ? at % target->size : at);
    if (write)
        mem_store(target->space, 0, address, *value, size);
    else
        mem_load(target->space, 0, address, value, size);
}

static void do_access(const struct pair *p, struct input *in, bool write)
{
    uint8_t which = take(in), shape = take(in);
    unsigned size = 1u << (shape & 3);
    uint64_t at = take_number(in, shape & 4 ? 3 : 1);
    uint64_t value = write ? take_number(in, size) : 0, other = value;
    access_one(p->a, which, write, at, size, &value);
    if (p->b) {
        access_one(p->b, which, write, at, size, &other);
        if (!write)
            check_same(p, "value read", value, other);
    }
}

static void do_config(const struct pair *p, struct input *in, bool write)
{
    uint8_t slot = take(in), shape = take(in), offset = take(in);
    unsigned size = 1u << (shape & 3) & 7, devfn = (slot & 7u) << 3 | (slot >> 3 & 7u);
    uint32_t value = write ? (uint32_t)take_number(in, 4) : 0;
    struct machine *both[] = {p->a, p->b};
    uint32_t got[2] = {0, 0};
    for (unsigned i = 0; i < 2; i++) {
        struct pci_bus *bus = both[i] ? both[i]->h.board.pci : NULL;
        if (!bus)
            continue;
        if (write)
            pci_config_write(bus, 0, devfn, offset, value, size);
        else
            got[i] = pci_config_read(bus, 0, devfn, offset, size);
    }
    check_same(p, "configuration", got[0], got[1]);
}

/* Puts all regions of PCI devices somewhere, as firmware does. */
static void do_map(const struct pair *p)
{
    struct machine *both[] = {p->a, p->b};
    for (unsigned i = 0; i < 2; i++) {
        struct pci_bus *bus = both[i] ? both[i]->h.board.pci : NULL;
        for (unsigned devfn = 0; bus && devfn < PCI_DEVICES; devfn++) {
            if (!bus->device[devfn])
                continue;
            for (unsigned bar = 0; bar < PCI_BARS; bar++) {
                bool io = bus->device[devfn]->region[bar].kind == PCI_REGION_IO;
                uint32_t base = io ? 0xc000 + bar * 0x400 : 0xe0000000 + bar * 0x2000000;
                if (bus->device[devfn]->region[bar].kind != PCI_REGION_NONE)
                    pci_config_write(bus, 0, devfn, PCI_BAR0 + bar * 4, base, 4);
            }
            pci_config_write(bus, 0, devfn, PCI_COMMAND, 7, 2);
        }
    }
}

static void do_time(const struct pair *p, struct input *in)
{
    static const uint64_t steps[] = {1, 100, 1000, 10000, 100000, 1000000, 5000000, 20000000};
    uint8_t step = take(in);
    uint64_t nanoseconds = steps[step & 7] * (1 + (step >> 3));
    clock_advance(&p->a->h.clock, nanoseconds);
    if (p->b)
        clock_advance(&p->b->h.clock, nanoseconds);
}

/* Bytes where descriptors and buffers of DMA may be. */
static void do_memory(const struct pair *p, struct input *in)
{
    uint64_t at = take_number(in, 2);
    uint8_t bytes[16];
    for (unsigned i = 0; i < sizeof(bytes); i++)
        bytes[i] = take(in);
    mem_write(p->a->h.board.memory, 0, at, bytes, sizeof(bytes));
    if (p->b)
        mem_write(p->b->h.board.memory, 0, at, bytes, sizeof(bytes));
}

static void do_reset(const struct pair *p)
{
    device_reset_all(&p->a->h.board);
    if (p->b)
        device_reset_all(&p->b->h.board);
}

/* Screens are drawn; both show the same. Large ones take their time: only a few. */
static void do_draw(struct pair *p)
{
    enum { DRAWN_MAX = 8 };
    struct display_console *a = p->a->h.board.consoles;
    struct display_console *b = p->b ? p->b->h.board.consoles : NULL;
    struct display_text text;
    for (; a && p->drawn < DRAWN_MAX; a = a->next, b = b ? b->next : NULL) {
        p->drawn++;
        display_console_update(a);
        if (a->ops->text && a->ops->text(a->opaque, &text))
            display_text_free(&text);
        if (!b)
            continue;
        display_console_update(b);
        const struct display_surface *one = &a->surface, *other = &b->surface;
        check_same(p, "width of a screen", one->width, other->width);
        check_same(p, "height of a screen", one->height, other->height);
        for (size_t i = 0; i < (size_t)one->width * one->height; i++)
            check_same(p, "pixel", one->pixels[i], other->pixels[i]);
    }
}

/* --- states --- */

static struct device *device_number(struct machine *m, unsigned number)
{
    struct device *device = device_first(&m->h.board);
    while (number-- && device->next)
        device = device->next;
    return device;
}

/* A state with some bytes changed: taken or refused, the device lives on, and both alike. */
static void do_damage(const struct pair *p, struct input *in)
{
    unsigned number = take(in) & 3, changes = 1 + (take(in) & 3);
    struct device *a = device_number(p->a, number);
    struct error err = {""}, other = {""};
    struct strbuf bytes;
    strbuf_init(&bytes);
    device_save(a, &bytes);
    while (changes--) {
        size_t at = take_number(in, 2) % bytes.len;
        bytes.data[at] = (char)take(in);
    }
    bool taken = device_load(a, bytes.data, bytes.len, &err);
    promise(taken || *err.text, "a state is refused without a sentence", a->class->name);
    if (p->b) {
        bool same = device_load(device_number(p->b, number), bytes.data, bytes.len, &other);
        promise(same == taken, "one takes a state, the other does not", a->class->name);
    }
    strbuf_free(&bytes);
}

static void do_keep(const struct pair *p)
{
    struct error err = {""};
    if (!harness_keeps_state(&p->a->h, &err) || (p->b && !harness_keeps_state(&p->b->h, &err)))
        promise(false, err.text, p->class->name);
}

/* Ends the second machine, if there is one, and makes another like the first. */
static void do_twin(struct pair *p, struct machine *room, struct input properties)
{
    struct error err = {""};
    if (p->b)
        machine_end(p->b);
    p->b = NULL;
    promise(machine_begin(room, p->class, properties), "it cannot be made twice", p->class->name);
    if (!harness_transplant(&p->a->h, &room->h, &err))
        promise(false, err.text, p->class->name);
    p->b = room;
}

static void operate(struct pair *p, struct machine *room, struct input properties, struct input *in)
{
    uint8_t operation = take(in);
    if (operation < 96) {
        do_access(p, in, operation & 1);
    } else if (operation < 160) {
        do_access(p, in, true);
    } else if (operation < 196) {
        do_config(p, in, operation & 1);
    } else if (operation < 200) {
        do_draw(p);
    } else if (operation < 225) {
        do_time(p, in);
    } else if (operation < 235) {
        do_memory(p, in);
    } else if (operation < 240) {
        do_map(p);
    } else if (operation < 243) {
        do_reset(p);
    } else if (operation < 248) {
        do_twin(p, room, properties);
    } else if (operation < 251) {
        do_keep(p);
    } else {
        do_damage(p, in);
    }
    compare_lines(p);
}

static const struct device_class *choose_class(uint8_t number)
{
    const char *name = getenv("DEVICE_FUZZ_CLASS");
    size_t count = 0;
    if (name) {
        const struct device_class *class = device_class_find(name);
        promise(class, "DEVICE_FUZZ_CLASS names no device", name);
        return class;
    }
    while (device_class_at(count))
        count++;
    return count ? device_class_at(number % count) : NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    enum { PROPERTIES = 8 };
    static struct machine first, second;
    struct input in = {data, data + size};
    const struct device_class *class = choose_class(take(&in));
    if (!class || (size_t)(in.end - in.at) < PROPERTIES)
        return 0;
    const struct input properties = {in.at, in.at + PROPERTIES};
    in.at += PROPERTIES;
    if (!machine_begin(&first, class, properties))
        return 0;
    struct pair pair = {&first, NULL, class, 0};
    do_map(&pair);
    for (unsigned i = 0; i < 2000 && in.at < in.end; i++)
        operate(&pair, &second, properties, &in);
    struct strbuf text;
    strbuf_init(&text);
    device_print_tree(&first.h.board, &text);
    pci_print(first.h.board.pci, &text);
    strbuf_free(&text);
    if (pair.b)
        machine_end(pair.b);
    machine_end(&first);
    return 0;
}
