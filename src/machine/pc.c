/* SPDX-License-Identifier: MIT
 *
 * The board `pc`: i440FX, PIIX3, and what has been in a PC since the AT, at the places that QEMU's
 * machine of this name has them.
 *
 *     00:00.0 i440FX   00:01.0 PIIX3   00:01.1 IDE   00:01.3 power management   00:02.0 VGA
 *     00:03.0 network, and what -device adds
 *
 * Line n of the ISA bus goes to the 8259 pair and to the I/O APIC. */
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "device/fdc.h"
#include "device/fw_cfg.h"
#include "device/hpet.h"
#include "device/i440fx.h"
#include "device/i8042.h"
#include "device/i8254.h"
#include "device/i8257.h"
#include "device/i8259.h"
#include "device/ioapic.h"
#include "device/mc146818.h"
#include "device/piix3.h"
#include "device/piix4_pm.h"
#include "device/port92.h"
#include "machine/boot.h"
#include "machine/internal.h"

enum {
    POST_PORT = 0x80,  /* firmware tells its progress; delays of old programs */
    FLOAT_PORT = 0xf0, /* clears what FERR# has raised */
    FLOAT_LINE = 13,
    TIMER_LINE = 0,
    CLOCK_LINE = 8,
    VGA_SLOT = 2,
};

#define DEFAULT_RAM (UINT64_C(128) << 20)

/* --- lines --- */

static void isa_line(void *opaque, int number, bool level)
{
    const struct machine_private *own = ((struct machine *)opaque)->own;

    irq_set(own->to_pic[number], level);
    irq_set(own->to_ioapic[number], level);
}

static void connect_isa(struct machine *machine)
{
    machine->isa = machine->board.isa;
    for (int i = 0; i < ISA_IRQS; i++) {
        machine->isa->irq[i] = (struct irq){isa_line, machine, i};
    }
}

static uint8_t acknowledge(void *opaque)
{
    return i8259_acknowledge(opaque);
}

static void a20_port92(void *opaque, int number, bool level)
{
    struct machine *machine = opaque;

    (void)number;
    machine->own->a20_port92 = level;
    machine_set_a20(machine);
}

static void a20_keyboard(void *opaque, int number, bool level)
{
    struct machine *machine = opaque;

    (void)number;
    machine->own->a20_keyboard = level;
    machine_set_a20(machine);
}

static void nmi_mask(void *opaque, int number, bool level)
{
    (void)number;
    ((struct machine *)opaque)->own->nmi_masked = level;
}

/* --- ports of the board itself --- */

static uint64_t nothing_read(void *opaque, uint64_t offset, unsigned size)
{
    (void)opaque, (void)offset, (void)size;
    return UINT64_MAX;
}

static void nothing_written(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    (void)opaque, (void)offset, (void)value, (void)size;
}

static void float_written(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    struct machine *machine = opaque;

    (void)offset, (void)value, (void)size;
    irq_set(machine->isa->irq[FLOAT_LINE], false);
}

static const struct mem_ops post_ops = {
    .read = nothing_read, .write = nothing_written, .valid_min = 1, .valid_max = 1};
static const struct mem_ops float_ops = {
    .read = nothing_read, .write = float_written, .valid_min = 1, .valid_max = 1};

static void add_ports(struct machine *machine)
{
    struct machine_private *own = machine->own;

    mem_init_io(&own->port80, "ioport80", 1, &post_ops, machine);
    mem_add(&machine->port_root, &own->port80, POST_PORT, 0);
    mem_init_io(&own->port_f0, "ioportF0", 1, &float_ops, machine);
    mem_add(&machine->port_root, &own->port_f0, FLOAT_PORT, 0);
}

/* --- groups of devices, in the order in which they need each other --- */

static bool make_memory(struct machine *machine, struct error *err)
{
    uint64_t size = machine->options->ram_size ? machine->options->ram_size : DEFAULT_RAM;

    machine->ram_below_4g = i440fx_below_4g(size);
    machine->ram_above_4g = size - machine->ram_below_4g;
    return mem_init_ram(&machine->ram, "pc.ram", size, err);
}

static bool make_bridges(struct machine *machine, struct error *err)
{
    struct machine_devices *d = &machine->devices;

    d->host_bridge = i440fx_new(&machine->board, &machine->ram, err);
    d->isa_bridge = d->host_bridge ? piix3_new(&machine->board, err) : NULL;
    if (!d->isa_bridge) {
        return false;
    }
    connect_isa(machine);
    machine->isa->dma = i8257_new_pair(&machine->board, err);
    return machine->isa->dma;
}

static bool make_interrupts(struct machine *machine, struct error *err)
{
    struct machine_devices *d = &machine->devices;
    struct machine_private *own = machine->own;

    if (!machine_cpus_connect(machine, err)) {
        return false;
    }
    d->pic = i8259_new_pair(&machine->board, apic_bus_line(&machine->apics, 0), err);
    if (!d->pic) {
        return false;
    }
    machine->apics.acknowledge_external = acknowledge;
    machine->apics.external_opaque = d->pic;
    d->ioapic = ioapic_new_on_bus(&machine->board, &machine->apics, err);
    if (!d->ioapic) {
        return false;
    }
    for (unsigned i = 0; i < ISA_IRQS; i++) {
        own->to_pic[i] = i8259_line(d->pic, i);
        own->to_ioapic[i] = ioapic_isa_line(d->ioapic, i);
    }
    return true;
}

static bool make_hpet(struct machine *machine, struct irq *timer, struct irq *clock,
                      struct error *err)
{
    struct irq isa[2] = {machine->isa->irq[TIMER_LINE], machine->isa->irq[CLOCK_LINE]};
    struct irq lines[HPET_LINES] = {{NULL, NULL, 0}};

    *timer = isa[0];
    *clock = isa[1];
    if (machine->options->no_hpet) {
        return true;
    }
    for (unsigned i = 0; i < IOAPIC_PINS; i++) {
        lines[i] = ioapic_line(machine->devices.ioapic, i);
    }
    struct device *hpet = hpet_new(&machine->board, isa, lines, err);
    if (!hpet) {
        return false;
    }
    machine->devices.hpet = hpet;
    *timer = hpet_isa_line(hpet, 0);
    *clock = hpet_isa_line(hpet, 1);
    return true;
}

static bool make_timers(struct machine *machine, struct error *err)
{
    struct machine_devices *d = &machine->devices;
    struct irq timer, clock;

    if (!make_hpet(machine, &timer, &clock, err)) {
        return false;
    }
    d->pit = i8254_new(&machine->board, timer, err);
    if (!d->pit || !pcspk_new(&machine->board, d->pit, err)) {
        return false;
    }
    d->rtc = mc146818_new(&machine->board, clock, (struct irq){nmi_mask, machine, 0}, err);
    return d->rtc;
}

static bool make_input(struct machine *machine, struct error *err)
{
    if (!machine->options->no_i8042) {
        struct device *kbc = machine_make_device(machine, "i8042", NULL, NULL, err);
        if (!kbc) {
            return false;
        }
        machine->devices.keyboard_controller = kbc;
        i8042_connect_a20(kbc, (struct irq){a20_keyboard, machine, 0});
    } else {
        machine->own->a20_keyboard = true; /* nothing holds address line 20 down */
    }
    return port92_new(&machine->board, (struct irq){a20_port92, machine, 0}, err);
}

static bool make_power(struct machine *machine, struct error *err)
{
    const struct irq none = {NULL, NULL, 0};

    if (machine->options->no_acpi) {
        return true;
    }
    machine->devices.pm = piix4_pm_new(&machine->board, none, err);
    return machine->devices.pm;
}

/* --- storage --- */

/* A disk or CD-ROM for each -drive of the interface. */
static bool make_ide(struct machine *machine, struct error *err)
{
    machine->devices.ide = machine_make_device(machine, "piix3-ide", NULL, "addr=1.1", err);
    if (!machine->devices.ide) {
        return false;
    }
    for (size_t i = 0; i < machine->own->drives; i++) {
        struct machine_drive *drive = machine->own->drive[i];
        char place[48];
        if (drive->options.interface != DRIVE_IDE) {
            continue;
        }
        struct device *device = machine_begin_device(
            machine, drive->options.media == DRIVE_CDROM ? "ide-cd" : "ide-hd", err);
        snprintf(place, sizeof place, "ide.%u", drive->options.bus);
        bool good = device_set(device, "bus", place, err);
        snprintf(place, sizeof place, "%u", drive->options.unit);
        good = good && device_set(device, "unit", place, err);
        device_set_pointer(device, "drive", drive->drive);
        drive->has_device = true;
        if (!good || !machine_end_device(machine, device, err)) {
            return error_prefix(err, "%s: ", drive->what);
        }
    }
    return true;
}

static bool make_floppies(struct machine *machine, struct error *err)
{
    static const char *const names[] = {"driveA", "driveB"};

    if (machine->options->no_default_devices && !machine_drive_at(machine, DRIVE_FLOPPY, 0, 0) &&
        !machine_drive_at(machine, DRIVE_FLOPPY, 0, 1)) {
        return true;
    }
    struct device *fdc = machine_begin_device(machine, "isa-fdc", err);
    for (unsigned i = 0; i < 2; i++) {
        struct machine_drive *drive = machine_drive_at(machine, DRIVE_FLOPPY, 0, i);
        if (drive) {
            device_set_pointer(fdc, names[i], drive->drive);
            drive->has_device = true;
        }
    }
    if (!machine_end_device(machine, fdc, err)) {
        return false;
    }
    machine->devices.fdc = fdc;
    return true;
}

/* --- lines to the outside --- */

static bool make_serial(struct machine *machine, struct error *err)
{
    struct machine_private *own = machine->own;

    for (unsigned i = 0; i < MACHINE_SERIAL_PORTS; i++) {
        char number[16];
        if (!own->has_serial[i]) {
            continue;
        }
        struct device *port = machine_begin_device(machine, "isa-serial", err);
        snprintf(number, sizeof number, "%u", i);
        device_set_pointer(port, "chardev", own->serial[i]);
        if (!device_set(port, "index", number, err) || !machine_end_device(machine, port, err)) {
            return error_prefix(err, "-serial %u: ", i);
        }
    }
    for (unsigned i = 0; i < own->debugcons; i++) {
        struct device *console = machine_begin_device(machine, "isa-debugcon", err);
        device_set_pointer(console, "chardev", own->debugcon[i]);
        if (!machine_end_device(machine, console, err)) {
            return error_prefix(err, "-debugcon: ");
        }
    }
    return true;
}

static bool make_vga(struct machine *machine, struct error *err)
{
    char place[16];

    if (machine->options->vga == VGA_NONE) {
        return true;
    }
    snprintf(place, sizeof place, "addr=%x", VGA_SLOT);
    machine->devices.vga = machine_make_device(machine, "VGA", NULL, place, err);
    return machine->devices.vga;
}

/* --- */

bool machine_build_pc(struct machine *machine, struct error *err)
{
    if (!make_memory(machine, err) || !make_bridges(machine, err) ||
        !machine_cpus_new(machine, err) || !make_interrupts(machine, err) ||
        !make_timers(machine, err)) {
        return false;
    }
    add_ports(machine);
    machine->devices.fw_cfg = machine_make_device(machine, "fw_cfg_io", NULL, NULL, err);
    if (!machine->devices.fw_cfg || !machine_firmware_map(machine, err) ||
        !machine_drives_open(machine, err) || !make_vga(machine, err) ||
        !make_serial(machine, err) || !make_input(machine, err) || !make_floppies(machine, err) ||
        !machine_run_hooks(machine, MACHINE_STAGE_DEVICES, err) ||
        !machine_nics_make(machine, err) || !make_ide(machine, err) || !make_power(machine, err)) {
        return false;
    }
    if (!machine_devices_make(machine, err) || !boot_machine(machine, err) ||
        !machine_run_hooks(machine, MACHINE_STAGE_KERNEL, err) ||
        !machine_tables_add(machine, err)) {
        return false;
    }
    machine_devices_warn(machine);
    machine_nics_warn(machine);
    return true;
}
