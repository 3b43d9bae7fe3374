/* SPDX-License-Identifier: MIT
 *
 * What firmware is told: CMOS memory, fw_cfg, ACPI and SMBIOS tables. What SeaBIOS reads of them,
 * and where, its documentation "Runtime configuration" and the classic CMOS map say. */
#include <endian.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "device/acpi.h"
#include "device/fdc.h"
#include "device/fw_cfg.h"
#include "device/ide.h"
#include "device/ioapic.h"
#include "device/mc146818.h"
#include "machine/internal.h"

#define GIB4 (UINT64_C(4) << 30)
#define MIB  (UINT64_C(1) << 20)

/* --- CMOS --- */

enum cmos {
    CMOS_FLOPPIES = 0x10,
    CMOS_DISKS = 0x12,
    CMOS_EQUIPMENT = 0x14,
    CMOS_BASE_KIB = 0x15,
    CMOS_EXTENDED_KIB = 0x17,
    CMOS_DISK_C_TYPE = 0x19,
    CMOS_DISK_C = 0x1b, /* nine bytes, and nine of the second disk behind them */
    CMOS_EXTENDED_KIB_2 = 0x30,
    CMOS_ABOVE_16M = 0x34, /* in 64 KiB */
    CMOS_BOOT_3 = 0x38,
    CMOS_TRANSLATION = 0x39,
    CMOS_BOOT_12 = 0x3d,
    CMOS_ABOVE_4G = 0x5b, /* in 64 KiB, three bytes */
    CMOS_MORE_CPUS = 0x5f,
};

enum {
    BASE_KIB = 640,
    USER_TYPE = 47,
    EQUIPMENT_FLOPPY = 0x01,
    EQUIPMENT_FPU = 0x02,
    EQUIPMENT_MOUSE = 0x04,
    EQUIPMENT_SECOND_FLOPPY = 0x40,
    IDE_DISKS = 4,
};

static void put16(struct machine *machine, unsigned index, uint64_t value)
{
    value = value < 0xffff ? value : 0xffff;
    mc146818_set(machine->devices.rtc, index, (uint8_t)value);
    mc146818_set(machine->devices.rtc, index + 1, (uint8_t)(value >> 8));
}

static void put_memory(struct machine *machine)
{
    struct device *rtc = machine->devices.rtc;
    uint64_t below = machine->ram_below_4g, above = machine->ram_above_4g >> 16;
    uint64_t extended = below > MIB ? (below - MIB) >> 10 : 0;

    put16(machine, CMOS_BASE_KIB, BASE_KIB);
    put16(machine, CMOS_EXTENDED_KIB, extended);
    put16(machine, CMOS_EXTENDED_KIB_2, extended);
    put16(machine, CMOS_ABOVE_16M, below > 16 * MIB ? (below - 16 * MIB) >> 16 : 0);
    above = above < 0xffffff ? above : 0xffffff;
    for (unsigned i = 0; i < 3; i++) {
        mc146818_set(rtc, CMOS_ABOVE_4G + i, (uint8_t)(above >> i * 8));
    }
}

static const struct ide_drive *disk(const struct machine *machine, unsigned number)
{
    const struct ide_drive *drive =
        piix3_ide_channel(machine->devices.ide, number / IDE_UNITS)->drive[number % IDE_UNITS];

    return drive && !drive->is_atapi ? drive : NULL;
}

/* The table of a disk of type 47: cylinders, heads, write precompensation, control, landing zone,
 * sectors. */
static void put_disk(struct machine *machine, unsigned number, const struct geometry *geometry)
{
    enum { TABLE = 9, MORE_THAN_8_HEADS = 8, NO_RETRIES = 0xc0 };
    const uint8_t low = (uint8_t)geometry->cylinders, high = (uint8_t)(geometry->cylinders >> 8);
    const uint8_t bytes[TABLE] = {
        low,  high, (uint8_t)geometry->heads,
        0xff, 0xff, (uint8_t)(NO_RETRIES | (geometry->heads > 8 ? MORE_THAN_8_HEADS : 0)),
        low,  high, (uint8_t)geometry->sectors,
    };

    mc146818_set(machine->devices.rtc, CMOS_DISK_C_TYPE + number, USER_TYPE);
    for (unsigned i = 0; i < TABLE; i++) {
        mc146818_set(machine->devices.rtc, CMOS_DISK_C + number * TABLE + i, bytes[i]);
    }
}

static void put_disks(struct machine *machine)
{
    uint8_t types = 0, translations = 0;

    for (unsigned i = 0; i < IDE_DISKS; i++) {
        const struct ide_drive *drive = disk(machine, i);
        if (!drive) {
            continue;
        }
        if (i < IDE_UNITS) {
            types |= i ? 0x0f : 0xf0;
            put_disk(machine, i, &drive->geometry);
        }
        if (drive->geometry.translation > GEOMETRY_NONE) {
            translations |= (uint8_t)((drive->geometry.translation - 1) << i * 2);
        }
    }
    mc146818_set(machine->devices.rtc, CMOS_DISKS, types);
    mc146818_set(machine->devices.rtc, CMOS_TRANSLATION, translations);
}

static void put_floppies(struct machine *machine)
{
    const struct device *fdc = machine->devices.fdc;
    unsigned first = fdc ? fdc_cmos_type(fdc, 0) : 0, second = fdc ? fdc_cmos_type(fdc, 1) : 0;
    unsigned equipment = EQUIPMENT_FPU | EQUIPMENT_MOUSE;

    if (first || second) {
        equipment |= EQUIPMENT_FLOPPY | (first && second ? (unsigned)EQUIPMENT_SECOND_FLOPPY : 0);
    }
    mc146818_set(machine->devices.rtc, CMOS_FLOPPIES, (uint8_t)(first << 4 | second));
    mc146818_set(machine->devices.rtc, CMOS_EQUIPMENT, (uint8_t)equipment);
}

static unsigned boot_code(char letter)
{
    static const char letters[] = "acdn"; /* floppy, disk, CD-ROM, network */
    const char *found = letter ? strchr(letters, letter) : NULL;

    return found ? (unsigned)(found - letters) + 1 : 0;
}

void machine_cmos_boot(struct machine *machine)
{
    const struct machine_options *options = machine->options;
    const char *order = options->boot_order ? options->boot_order : "cad";
    unsigned code[3] = {0};

    if (options->boot_once && !machine->own->booted) {
        order = options->boot_once;
    }
    for (unsigned i = 0; i < 3 && order[i]; i++) {
        code[i] = boot_code(order[i]);
    }
    mc146818_set(machine->devices.rtc, CMOS_BOOT_12, (uint8_t)(code[0] | code[1] << 4));
    mc146818_set(machine->devices.rtc, CMOS_BOOT_3, (uint8_t)(code[2] << 4));
}

static void fill_cmos(struct machine *machine)
{
    put_memory(machine);
    put_floppies(machine);
    put_disks(machine);
    mc146818_set(machine->devices.rtc, CMOS_MORE_CPUS, (uint8_t)(machine->cpus - 1));
}

/* --- fw_cfg --- */

enum { RAM = 1, RESERVED = 2 };

static size_t map_entry(uint8_t *to, uint64_t start, uint64_t size, uint32_t type)
{
    start = htole64(start);
    size = htole64(size);
    type = htole32(type);
    memcpy(to, &start, 8);
    memcpy(to + 8, &size, 8);
    memcpy(to + 16, &type, 4);
    return 20;
}

/* What firmware cannot find out itself. The range below 1 TiB is where AMD's processors have their
 * interconnect. */
static bool add_map(struct machine *machine, struct error *err)
{
    uint8_t bytes[3 * 20];
    size_t size = map_entry(bytes, UINT64_C(0xfd00000000), UINT64_C(0x300000000), RESERVED);

    size += map_entry(bytes + size, 0, machine->ram_below_4g, RAM);
    if (machine->ram_above_4g) {
        size += map_entry(bytes + size, GIB4, machine->ram_above_4g, RAM);
    }
    return fw_cfg_add_file(machine->devices.fw_cfg, "etc/e820", bytes, size, err);
}

/* A picture for the boot menu: firmware takes JPEG and BMP, each under its name. */
static bool add_splash(struct machine *machine, struct error *err)
{
    enum { SPLASH_MAX = 16 << 20 };
    const struct machine_options *options = machine->options;
    size_t size;

    if (!options->boot_splash) {
        return true;
    }
    uint8_t *bytes = machine_read_file(machine, options->boot_splash, true, SPLASH_MAX, &size, err);
    if (!bytes) {
        return error_prefix(err, "-boot splash=: ");
    }
    bool is_jpeg = size > 2 && bytes[0] == 0xff && bytes[1] == 0xd8;
    bool is_bmp = size > 2 && bytes[0] == 'B' && bytes[1] == 'M';
    bool good =
        is_jpeg || is_bmp
            ? fw_cfg_add_file(machine->devices.fw_cfg,
                              is_jpeg ? "bootsplash.jpg" : "bootsplash.bmp", bytes, size, err)
            : error_set(err, "-boot splash=%s: neither a JPEG nor a BMP picture",
                        options->boot_splash);
    free(bytes);
    return good;
}

static bool add_boot(struct machine *machine, struct error *err)
{
    struct device *fw_cfg = machine->devices.fw_cfg;
    const struct machine_options *options = machine->options;
    uint16_t wait = htole16((uint16_t)options->boot_splash_time);
    uint32_t fail = htole32((uint32_t)options->reboot_timeout);

    fw_cfg_add_i16(fw_cfg, FW_CFG_BOOT_MENU, options->boot_menu);
    if (options->boot_splash_timed &&
        !fw_cfg_add_file(fw_cfg, "etc/boot-menu-wait", &wait, sizeof wait, err)) {
        return false;
    }
    return add_splash(machine, err) &&
           fw_cfg_add_file(fw_cfg, "etc/boot-fail-wait", &fail, sizeof fail, err) &&
           machine_boot_order_add(machine, err);
}

static bool add_numbers(struct machine *machine, struct error *err)
{
    /* ACPI sleep states: bit 7 that there is one, the type beside it. */
    static const uint8_t states[6] = {0x80, 0, 0, 0x81, 0x82, 0x80};
    struct device *fw_cfg = machine->devices.fw_cfg;
    const struct machine_options *options = machine->options;
    uint16_t most =
        (uint16_t)(options->cpus_max > machine->cpus ? options->cpus_max : machine->cpus);

    fw_cfg_add_i16(fw_cfg, FW_CFG_NB_CPUS, (uint16_t)machine->cpus);
    fw_cfg_add_i16(fw_cfg, FW_CFG_MAX_CPUS, most);
    fw_cfg_add_i64(fw_cfg, FW_CFG_RAM_SIZE, machine->ram_below_4g + machine->ram_above_4g);
    fw_cfg_add_i16(fw_cfg, FW_CFG_NOGRAPHIC, options->nographic);
    fw_cfg_add_i32(fw_cfg, FW_CFG_IRQ0_OVERRIDE, 1);
    fw_cfg_add_bytes(fw_cfg, FW_CFG_UUID, options->uuid, sizeof options->uuid);
    return !machine->devices.pm ||
           fw_cfg_add_file(fw_cfg, "etc/system-states", states, sizeof states, err);
}

static bool has_com(const struct machine *machine, unsigned number)
{
    static const uint16_t ports[] = {0x3f8, 0x2f8, 0x3e8, 0x2e8};
    struct mem_range range;

    return mem_find(machine->board.ports, ports[number], &range) &&
           !strcmp(range.region->name, "serial");
}

static bool add_acpi(struct machine *machine, struct error *err)
{
    const struct machine_options *options = machine->options;
    struct acpi_machine acpi = {
        .cpus = machine->cpus,
        .cpus_max = options->cpus_max > machine->cpus ? options->cpus_max : machine->cpus,
        .hole_first = (uint32_t)machine->ram_below_4g,
        .hole_last = IOAPIC_BASE - 1,
        .has_hpet = machine->devices.hpet,
        .has_keyboard = machine->devices.keyboard_controller,
        .has_floppy = machine->devices.fdc,
    };

    if (!machine->devices.pm) {
        return true;
    }
    for (unsigned i = 0; i < ACPI_COM_PORTS; i++) {
        acpi.has_com[i] = has_com(machine, i);
    }
    return acpi_add_tables(machine->devices.fw_cfg, &acpi, err);
}

static bool add_smbios(struct machine *machine, struct error *err)
{
    struct smbios_machine smbios = {
        .cpus = machine->cpus,
        .ram_size = machine->ram_below_4g + machine->ram_above_4g,
        .ram_below_4g = (uint32_t)machine->ram_below_4g,
    };

    /* As text it begins with the highest byte; the table has the first three fields the other way
     * round (SMBIOS 2.6, 7.2.1). */
    static const uint8_t order[16] = {3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15};
    for (unsigned i = 0; i < sizeof order; i++) {
        smbios.uuid[i] = machine->options->uuid[order[i]];
    }
    return smbios_add_tables(machine->devices.fw_cfg, &smbios, err);
}

static bool add_files(struct machine *machine, struct error *err)
{
    const struct machine_private *own = machine->own;

    for (const struct machine_blob *file = own->fw_cfg_files; file; file = file->next) {
        if (!fw_cfg_add_file(machine->devices.fw_cfg, file->name, file->bytes, file->size, err)) {
            return false;
        }
    }
    return true;
}

bool machine_tables_add(struct machine *machine, struct error *err)
{
    fill_cmos(machine);
    return add_numbers(machine, err) && add_map(machine, err) && add_boot(machine, err) &&
           add_files(machine, err) && add_acpi(machine, err) && add_smbios(machine, err);
}
