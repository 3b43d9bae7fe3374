/* SPDX-License-Identifier: MIT
 *
 * What firmware is given to describe the machine to operating systems: ACPI and SMBIOS tables.
 */
#ifndef DEVICE_ACPI_H
#define DEVICE_ACPI_H

#include "device/device.h"

enum { ACPI_CPUS_MAX = 255, ACPI_COM_PORTS = 4 };

struct acpi_machine {
    unsigned cpus, cpus_max; /* that run; that could. APIC ids are 0, 1, 2 ... */
    uint32_t hole_first;     /* where memory of PCI devices may lie: from here ... */
    uint32_t hole_last;      /* ... to here, below 4 GiB */
    bool has_hpet, has_keyboard, has_floppy;
    bool has_com[ACPI_COM_PORTS]; /* COM1 ... at the PC's places */
};

/* Adds etc/acpi/tables, etc/acpi/rsdp and etc/table-loader to fw_cfg: RSDP, RSDT, XSDT, FADT of the
 * PIIX4, FACS, MADT, HPET, DSDT and SSDT. */
bool acpi_add_tables(struct device *fw_cfg, const struct acpi_machine *machine, struct error *err);

struct smbios_machine {
    unsigned cpus;
    uint64_t ram_size;
    uint32_t ram_below_4g;
    uint8_t uuid[16]; /* as the table has it; zeros: there is none */
    const char *manufacturer, *product, *version, *serial; /* of the system; NULL: ours */
    const char *processor;                                 /* its version string; NULL: ours */
};

/* Adds etc/smbios/smbios-tables and etc/smbios/smbios-anchor (SMBIOS 2.8): types 0, 1, 3, 4, 16,
 * 17, 19, 32 and 127. */
bool smbios_add_tables(struct device *fw_cfg, const struct smbios_machine *machine,
                       struct error *err);

#endif
