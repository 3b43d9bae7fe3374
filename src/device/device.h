/* SPDX-License-Identifier: MIT
 *
 * Devices: what all of them have in common. A device is one source file with a class: its name, its
 * properties, its state as a table, and what makes, resets and ends it. Boards make devices and
 * connect them; -device does, by name.
 *
 *     struct pit {
 *         struct device device;   // first
 *         struct irq out;
 *         ...
 *     };
 *     static const struct device_class pit_class = {.name = "isa-pit", .size = sizeof(struct pit),
 * ...}; DEVICE(pit_class)
 *
 * Devices see memory regions, lines, timers, DMA through a space, and the back ends that their
 * properties name; never a CPU, never the host's time. All their functions run with the machine's
 * lock held, on whichever thread holds it. There is no file-scope state: two machines can live in
 * one process. What a guest does wrong is a device_guest_error() and what the data sheet says,
 * never the end of the process.
 *
 * Read in this order: this header, device.c (classes, making and freeing), property.c (text to
 * values and back), state.c (saving and loading), print.c (`info qtree`, help), isa.h, pci.h, then
 * any device.
 */
#ifndef DEVICE_DEVICE_H
#define DEVICE_DEVICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/timer.h"
#include "memory/memory.h"

struct board;
struct device;
struct display_console;
struct nets;
struct strbuf;

/* --- lines --- */

/* The far end of a line: interrupts, resets, gates. A value; copy it. */
struct irq {
    void (*set)(void *opaque, int number, bool level);
    void *opaque;
    int number;
};

/* Nothing happens where the line is not connected. */
static inline void irq_set(struct irq irq, bool level)
{
    if (irq.set)
        irq.set(irq.opaque, irq.number, level);
}

static inline void irq_pulse(struct irq irq)
{
    irq_set(irq, true);
    irq_set(irq, false);
}

/* --- properties --- */

enum property_type {
    PROPERTY_BOOL, /* bool: on, off */
    PROPERTY_U8,   /* uint8_t ... numbers in C's notation, with K, M, G for SIZE */
    PROPERTY_U16,
    PROPERTY_U32,
    PROPERTY_U64,
    PROPERTY_I32,
    PROPERTY_SIZE,    /* uint64_t */
    PROPERTY_STRING,  /* const char *, owned by the device; NULL: none */
    PROPERTY_WORD,    /* uint8_t: index into `words` */
    PROPERTY_MAC,     /* uint8_t[6]: 52:54:00:12:34:56 */
    PROPERTY_DEVFN,   /* int32_t: "3", "1f.2" (PCI slot.function); -1: the next free one */
    PROPERTY_CHARDEV, /* struct chardev *, by id */
    PROPERTY_DRIVE,   /* struct drive *, by id */
    PROPERTY_NETDEV,  /* struct net_end *, by id of the netdev */
};

struct device_property {
    const char *name; /* NULL ends the list */
    enum property_type type;
    size_t offset; /* in the device's struct */
    uint64_t initial;
    const char *initial_text; /* of STRING and MAC */
    const char *const *words; /* of WORD: ends with NULL */
    const char *help;
};

/* --- what a board offers to its devices --- */

enum board_request {
    BOARD_RESET,    /* the machine; -no-reboot makes it an exit */
    BOARD_SHUTDOWN, /* power off: soft-off by ACPI */
    BOARD_EXIT,     /* the process ends with `argument` as its status (isa-debug-exit) */
    BOARD_SUSPEND,  /* to RAM (ACPI S3): the vCPUs stand until BOARD_WAKEUP */
    BOARD_WAKEUP,   /* from sleep */
};

struct board {
    const char *name;
    struct mem_space *memory, *ports; /* of the CPUs, and of DMA */
    struct mem_region *memory_root, *port_root;
    struct clock *clock;
    struct isa_bus *isa; /* NULL: none */
    struct pci_bus *pci; /* NULL: none */
    struct nets *nets;   /* that NICs are on; NULL: none */
    void *opaque;        /* the board's own, for the functions below */
    /* Happens when the vCPUs are out of translated code, not inside the call. */
    void (*request)(struct board *board, enum board_request what, int argument);
    /* The next random bytes of the machine (-seed makes them repeatable). */
    void (*random)(struct board *board, void *to, size_t size);
    /* Seconds since 1970 that the real-time clock begins with, at clock time 0 (-rtc). */
    int64_t rtc_base;
    /* The back end of a CHARDEV, DRIVE or NETDEV property by its id, NULL if there is none; and the
     * id of one. Either may be NULL: no back ends. */
    void *(*back_end)(struct board *board, enum property_type type, const char *id);
    const char *(*back_end_id)(struct board *board, enum property_type type, const void *back_end);
    struct device *devices;           /* device.c's own: see device_first() */
    struct display_console *consoles; /* screens of devices: display/display.h; NULL: none */
};

/* --- state --- */

enum field_type {
    FIELD_BOOL,
    FIELD_U8,
    FIELD_U16,
    FIELD_U32,
    FIELD_U64,
    FIELD_I32,
    FIELD_I64,
    FIELD_TIMER,  /* struct timer: whether it is set and when */
    FIELD_STRUCT, /* `count` structs of `stride` bytes, each by `fields` */
};

/* One row is `count` values one after the other. */
struct device_field {
    const char *name; /* NULL ends the list */
    enum field_type type;
    size_t offset;
    uint32_t count;
    uint32_t stride;                   /* of FIELD_STRUCT */
    const struct device_field *fields; /* of FIELD_STRUCT */
};

/* FIELD(struct pit, latch, FIELD_U16), FIELD_ARRAY(struct fdc, fifo, FIELD_U8),
 * FIELD_STRUCTS(struct pit, channel, channel_fields). */
#define FIELD(type, member, kind)                         \
    {                                                     \
#member, kind, offsetof(type, member), 1, 0, NULL \
    }
#define FIELD_ARRAY(type, member, kind)                                           \
    {                                                                             \
#member, kind, offsetof(type, member),                                    \
            sizeof(((type *)0)->member) / sizeof(((type *)0)->member[0]), 0, NULL \
    }
#define FIELD_STRUCTS(type, member, rows)                                 \
    {                                                                     \
#member, FIELD_STRUCT, offsetof(type, member),                    \
            sizeof(((type *)0)->member) / sizeof(((type *)0)->member[0]), \
            sizeof(((type *)0)->member[0]), rows                          \
    }
#define FIELD_END                       \
    {                                   \
        NULL, FIELD_BOOL, 0, 0, 0, NULL \
    }

/* --- classes and devices --- */

/* A bus that a device offers to others. */
struct device_bus {
    const char *name; /* "ide.0"; NULL ends the list */
    const char *type; /* as device_class.bus */
};

struct device_class {
    const char *name; /* for -device: QEMU's */
    const char *help;
    const char *bus;      /* "ISA", "PCI": the board has one when it is realized; "IDE", "System" */
    const char *category; /* as `-device help` sorts them: "Storage", "Network", "Input", "Display",
                             "Misc" ... */
    size_t size;          /* of the device's struct, which begins with struct device */
    bool by_user;         /* -device may make one */
    const struct device_property *properties;
    const struct device_field *state;
    /* Connects regions, timers and lines; properties are set. False: a sentence, and what was
     * begun is undone by free(). */
    bool (*realize)(struct device *device, struct error *err);
    /* As power-on does. Called after all devices are realized, and at each machine reset. */
    void (*reset)(struct device *device);
    /* After its state was loaded: derived things are made anew. Or NULL. */
    bool (*loaded)(struct device *device, struct error *err);
    void (*free)(struct device *device); /* or NULL */
    /* The bus's own: struct pci_class for PCI. */
    const void *bus_class;
    const struct device_bus *buses; /* that devices of this class offer; or NULL */
};

struct device {
    const struct device_class *class;
    struct board *board;
    char *id;  /* of -device id=; NULL: none */
    char *bus; /* name of the bus it is on, of -device bus=; NULL: the first of its type */
    bool realized;
    struct device *next; /* of the board's, as they were made */
};

/* All classes of the program are found without a list. */
#define DEVICE(class_name)                                       \
    static const struct device_class *const class_name##_pointer \
        __attribute__((used, section("vitrine_devices"))) = &class_name;

/* NULL: there is none of that name. `i` from 0 on: all, NULL at the end. */
const struct device_class *device_class_find(const char *name);
const struct device_class *device_class_at(size_t i);

/* A device with its properties as they are initially; not yet on the board. Never NULL. */
struct device *device_new(const struct device_class *class, struct board *board);
/* "KEY", "VALUE" of -device, `id` and `bus` too. Before it is realized. The sentence names the
 * property that is like it. */
bool device_set(struct device *device, const char *name, const char *value, struct error *err);
/* For boards: the back end of a CHARDEV, DRIVE or NETDEV property, which there is. */
void device_set_pointer(struct device *device, const char *name, void *value);
/* Puts it on the board and realizes it; if that fails it is gone. */
bool device_realize(struct device *device, struct error *err);
void device_free(struct device *device);

/* The devices of a board; device_first() is the first made. */
struct device *device_first(const struct board *board);
/* All, as they were made. */
void device_reset_all(struct board *board);
void device_free_all(struct board *board);

/* State as bytes, with the names of class and fields (state.c draws them). Loading wants the same
 * fields of a device that is realized, tells which one is wrong, and changes nothing then; if only
 * loaded() finds that the values do not fit together, the device is reset. */
void device_save(const struct device *device, struct strbuf *to);
bool device_load(struct device *device, const void *bytes, size_t size, struct error *err);

/* Messages of -d guest_errors and -d unimp: "isa-pit: ...", a line each. The arguments are cheap.
 */
void device_guest_error(const struct device *device, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void device_unimp(const struct device *device, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* `info qtree` in QEMU's shape; `-device help`; `-device NAME,help`. */
void device_print_tree(const struct board *board, struct strbuf *text);
void device_print_classes(struct strbuf *text);
void device_print_properties(const struct device_class *class, struct strbuf *text);

/* --- DMA: the board's memory, by a device --- */

static inline enum mem_result dma_read(const struct device *device, uint64_t address, void *to,
                                       size_t size)
{
    return mem_read(device->board->memory, MEM_BY_DEVICE, address, to, size);
}

static inline enum mem_result dma_write(const struct device *device, uint64_t address,
                                        const void *from, size_t size)
{
    return mem_write(device->board->memory, MEM_BY_DEVICE, address, from, size);
}

#endif
