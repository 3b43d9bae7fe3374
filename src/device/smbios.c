/* SPDX-License-Identifier: MIT
 *
 * SMBIOS tables of the PC (System Management BIOS Reference Specification 2.8). Firmware copies
 * them, and fills the address and the checksums of the entry point in. */
#include <stdio.h>
#include <string.h>

#include "base/strbuf.h"
#include "device/acpi.h"
#include "device/fw_cfg.h"

enum {
    ENTRY_POINT_SIZE = 31,
    STRINGS_MAX = 4, /* of a structure */
    UNKNOWN_HANDLE = 0xfffe,
    CPU_MHZ = 2000,
};

#define MODULE_SIZE ((uint64_t)16 << 30) /* of a memory module, at most */

/* Handles: the type, and a number below it. */
#define HANDLE(type, number) ((uint16_t)((type) << 8 | (number)))

struct tables {
    struct strbuf bytes;
    const char *string[STRINGS_MAX];
    unsigned strings;
    size_t begun;
    uint16_t count, largest;
};

/* Little-endian, filled up with zeros. */
static void put(struct tables *tables, uint64_t value, unsigned size)
{
    for (unsigned i = 0; i < size; i++) {
        strbuf_putc(&tables->bytes, i < 8 ? (char)(value >> 8 * i) : 0);
    }
}

static void begin(struct tables *tables, uint8_t type, uint16_t handle)
{
    tables->begun = tables->bytes.len;
    tables->strings = 0;
    put(tables, type, 1);
    put(tables, 0, 1); /* length */
    put(tables, handle, 2);
}

/* The number of a string that stands behind the structure; 0: none. */
static void put_string(struct tables *tables, const char *text)
{
    if (text && text[0]) {
        tables->string[tables->strings++] = text;
        put(tables, tables->strings, 1);
    } else {
        put(tables, 0, 1);
    }
}

static void end(struct tables *tables)
{
    tables->bytes.data[tables->begun + 1] = (char)(tables->bytes.len - tables->begun);
    for (unsigned i = 0; i < tables->strings; i++) {
        strbuf_add(&tables->bytes, tables->string[i], strlen(tables->string[i]) + 1);
    }
    put(tables, 0, tables->strings ? 1 : 2);
    size_t size = tables->bytes.len - tables->begun;
    tables->largest = size > tables->largest ? (uint16_t)size : tables->largest;
    tables->count++;
}

static void bios(struct tables *tables)
{
    begin(tables, 0, HANDLE(0, 0));
    put_string(tables, "SeaBIOS");
    put_string(tables, VITRINE_VERSION);
    put(tables, 0xe800, 2);
    put_string(tables, "04/01/2014");
    put(tables, 0, 1); /* 64 KiB */
    put(tables, 8, 8); /* characteristics: not told */
    put(tables, 0, 1);
    put(tables, 0x14, 1); /* a virtual machine; may be updated */
    put(tables, 0, 2);    /* release */
    put(tables, 0xffff, 2);
    end(tables);
}

static const char *or_ours(const char *text, const char *ours)
{
    return text ? text : ours;
}

static void system_information(struct tables *tables, const struct smbios_machine *machine)
{
    begin(tables, 1, HANDLE(1, 0));
    put_string(tables, or_ours(machine->manufacturer, "Vitrine"));
    put_string(tables, or_ours(machine->product, "Standard PC (i440FX + PIIX, 1996)"));
    put_string(tables, or_ours(machine->version, VITRINE_VERSION));
    put_string(tables, machine->serial);
    strbuf_add(&tables->bytes, machine->uuid, sizeof machine->uuid);
    put(tables, 6, 1); /* woken by the power switch */
    put(tables, 0, 2);
    end(tables);
}

static void chassis(struct tables *tables, const struct smbios_machine *machine)
{
    begin(tables, 3, HANDLE(3, 0));
    put_string(tables, or_ours(machine->manufacturer, "Vitrine"));
    put(tables, 1, 1); /* other */
    put_string(tables, or_ours(machine->version, VITRINE_VERSION));
    put(tables, 0, 2);
    put(tables, 0x030303, 3); /* boot, power, temperature: safe */
    put(tables, 2, 1);        /* security: unknown */
    put(tables, 0, 9);
    end(tables);
}

static void processor(struct tables *tables, const struct smbios_machine *machine, unsigned number)
{
    char socket[16];

    snprintf(socket, sizeof socket, "CPU %u", number);
    begin(tables, 4, HANDLE(4, number));
    put_string(tables, socket);
    put(tables, 3, 1); /* central */
    put(tables, 1, 1); /* family: other */
    put_string(tables, or_ours(machine->manufacturer, "Vitrine"));
    put(tables, 0, 8);
    put_string(tables, or_ours(machine->processor, VITRINE_VERSION));
    put(tables, 0, 3);
    put(tables, CPU_MHZ, 2);
    put(tables, CPU_MHZ, 2);
    put(tables, 0x41, 1); /* there, and enabled */
    put(tables, 1, 1);
    put(tables, 0xffffffffffff, 6); /* caches: not told */
    put(tables, 0, 3);
    put(tables, 0x010101, 3); /* cores, those enabled, threads */
    put(tables, 2, 2);        /* characteristics: unknown */
    put(tables, 1, 2);
    end(tables);
}

static unsigned modules(const struct smbios_machine *machine)
{
    return (unsigned)((machine->ram_size + MODULE_SIZE - 1) / MODULE_SIZE);
}

static void memory_array(struct tables *tables, const struct smbios_machine *machine)
{
    uint64_t kib = machine->ram_size >> 10;

    begin(tables, 16, HANDLE(16, 0));
    put(tables, 1, 1); /* other */
    put(tables, 3, 1); /* system memory */
    put(tables, 3, 1); /* no correction */
    put(tables, kib < 0x80000000 ? kib : 0x80000000, 4);
    put(tables, UNKNOWN_HANDLE, 2);
    put(tables, modules(machine), 2);
    put(tables, kib < 0x80000000 ? 0 : machine->ram_size, 8);
    end(tables);
}

static void memory_module(struct tables *tables, const struct smbios_machine *machine,
                          unsigned number)
{
    uint64_t left = machine->ram_size - number * MODULE_SIZE;
    uint64_t mib = (left < MODULE_SIZE ? left : MODULE_SIZE) >> 20;
    char locator[16];

    snprintf(locator, sizeof locator, "DIMM %u", number);
    begin(tables, 17, HANDLE(17, number));
    put(tables, HANDLE(16, 0), 2);
    put(tables, UNKNOWN_HANDLE, 2);
    put(tables, 0xffffffff, 4); /* widths */
    put(tables, mib < 0x7fff ? mib : 0x7fff, 2);
    put(tables, 9, 1); /* DIMM */
    put(tables, 0, 1);
    put_string(tables, locator);
    put(tables, 0, 1);
    put(tables, 7, 1); /* RAM */
    put(tables, 2, 2);
    put(tables, 0, 2);
    put_string(tables, or_ours(machine->manufacturer, "Vitrine"));
    put(tables, 0, 4);
    put(tables, mib < 0x7fff ? 0 : mib, 4);
    put(tables, 0, 8);
    end(tables);
}

/* Addresses from `first` to `last`, which end in full KiB. */
static void mapped_addresses(struct tables *tables, unsigned number, uint64_t first, uint64_t size)
{
    uint64_t last = first + size - 1;
    bool small = last >> 10 < 0xffffffff;

    begin(tables, 19, HANDLE(19, number));
    put(tables, small ? first >> 10 : 0xffffffff, 4);
    put(tables, small ? last >> 10 : 0xffffffff, 4);
    put(tables, HANDLE(16, 0), 2);
    put(tables, 1, 1);
    put(tables, small ? 0 : first, 8);
    put(tables, small ? 0 : last, 8);
    end(tables);
}

static void all(struct tables *tables, const struct smbios_machine *machine)
{
    bios(tables);
    system_information(tables, machine);
    chassis(tables, machine);
    for (unsigned i = 0; i < machine->cpus; i++) {
        processor(tables, machine, i);
    }
    memory_array(tables, machine);
    for (unsigned i = 0; i < modules(machine); i++) {
        memory_module(tables, machine, i);
    }
    mapped_addresses(tables, 0, 0, machine->ram_below_4g);
    if (machine->ram_size > machine->ram_below_4g) {
        mapped_addresses(tables, 1, (uint64_t)1 << 32, machine->ram_size - machine->ram_below_4g);
    }
    begin(tables, 32, HANDLE(32, 0));
    put(tables, 0, 7); /* booted without an error */
    end(tables);
    begin(tables, 127, HANDLE(127, 0));
    end(tables);
}

/* --- the entry point (5.2.1) --- */

static uint8_t checksum(const uint8_t *bytes, size_t size)
{
    uint8_t sum = 0;

    for (size_t i = 0; i < size; i++) {
        sum = (uint8_t)(sum + bytes[i]);
    }
    return (uint8_t)-sum;
}

static void entry_point(const struct tables *tables, uint8_t *to)
{
    memset(to, 0, ENTRY_POINT_SIZE);
    memcpy(to, "_SM_", 4);
    to[5] = ENTRY_POINT_SIZE;
    to[6] = 2; /* version 2.8 */
    to[7] = 8;
    to[8] = (uint8_t)tables->largest;
    to[9] = (uint8_t)(tables->largest >> 8);
    memcpy(to + 16, "_DMI_", 5);
    to[22] = (uint8_t)tables->bytes.len;
    to[23] = (uint8_t)(tables->bytes.len >> 8);
    to[28] = (uint8_t)tables->count;
    to[29] = (uint8_t)(tables->count >> 8);
    to[30] = 0x28;
    to[21] = checksum(to + 16, 15);
    to[4] = checksum(to, ENTRY_POINT_SIZE);
}

bool smbios_add_tables(struct device *fw_cfg, const struct smbios_machine *machine,
                       struct error *err)
{
    struct tables tables = {.count = 0};
    uint8_t anchor[ENTRY_POINT_SIZE];

    if (!machine->ram_below_4g || machine->ram_size < machine->ram_below_4g ||
        modules(machine) > 0xff || machine->cpus > 0xff) {
        return error_set(err, "SMBIOS tables describe up to 255 processors and 4080 GiB");
    }
    strbuf_init(&tables.bytes);
    all(&tables, machine);
    entry_point(&tables, anchor);
    bool good = (tables.bytes.len <= 0xffff ||
                 error_set(err, "the SMBIOS tables are larger than 64 KiB")) &&
                fw_cfg_add_file(fw_cfg, "etc/smbios/smbios-tables", tables.bytes.data,
                                tables.bytes.len, err) &&
                fw_cfg_add_file(fw_cfg, "etc/smbios/smbios-anchor", anchor, sizeof anchor, err);
    strbuf_free(&tables.bytes);
    return good;
}
