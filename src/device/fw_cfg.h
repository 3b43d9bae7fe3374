/* SPDX-License-Identifier: MIT
 *
 * fw_cfg, for boards: what firmware learns from the machine, by key or by file name. Everything is
 * added before the machine runs; bytes are copied.
 */
#ifndef DEVICE_FW_CFG_H
#define DEVICE_FW_CFG_H

#include "device/device.h"

/* Keys that are not files. Numbers are little-endian. */
enum fw_cfg_key {
    FW_CFG_SIGNATURE = 0x00,
    FW_CFG_ID = 0x01,
    FW_CFG_UUID = 0x02,
    FW_CFG_RAM_SIZE = 0x03, /* 64 bits */
    FW_CFG_NOGRAPHIC = 0x04,
    FW_CFG_NB_CPUS = 0x05, /* 16 bits */
    FW_CFG_MACHINE_ID = 0x06,
    FW_CFG_KERNEL_ADDR = 0x07,
    FW_CFG_KERNEL_SIZE = 0x08,
    FW_CFG_KERNEL_CMDLINE = 0x09,
    FW_CFG_INITRD_ADDR = 0x0a,
    FW_CFG_INITRD_SIZE = 0x0b,
    FW_CFG_BOOT_DEVICE = 0x0c,
    FW_CFG_NUMA = 0x0d,
    FW_CFG_BOOT_MENU = 0x0e, /* 16 bits */
    FW_CFG_MAX_CPUS = 0x0f,  /* 16 bits */
    FW_CFG_KERNEL_ENTRY = 0x10,
    FW_CFG_KERNEL_DATA = 0x11,
    FW_CFG_INITRD_DATA = 0x12,
    FW_CFG_CMDLINE_ADDR = 0x13,
    FW_CFG_CMDLINE_SIZE = 0x14,
    FW_CFG_CMDLINE_DATA = 0x15,
    FW_CFG_SETUP_ADDR = 0x16,
    FW_CFG_SETUP_SIZE = 0x17,
    FW_CFG_SETUP_DATA = 0x18,
    FW_CFG_FILE_DIR = 0x19,
    FW_CFG_FILE_FIRST = 0x20,
    /* Of x86 machines. */
    FW_CFG_ARCH_LOCAL = 0x8000,
    FW_CFG_ACPI_TABLES = 0x8000,
    FW_CFG_SMBIOS_ENTRIES = 0x8001,
    FW_CFG_IRQ0_OVERRIDE = 0x8002,
    FW_CFG_E820_TABLE = 0x8003,
    FW_CFG_HPET = 0x8004,
};

enum { FW_CFG_FILES = 64, FW_CFG_NAME_SIZE = 56 }; /* with the NUL */

/* The board's; NULL: it has none. */
struct device *fw_cfg_of(const struct board *board);

/* A key's bytes, in place of what it had. Keys of files are given by fw_cfg_add_file(). */
void fw_cfg_add_bytes(struct device *device, uint16_t key, const void *bytes, size_t size);
void fw_cfg_add_string(struct device *device, uint16_t key, const char *text); /* with its NUL */
void fw_cfg_add_i16(struct device *device, uint16_t key, uint16_t value);
void fw_cfg_add_i32(struct device *device, uint16_t key, uint32_t value);
void fw_cfg_add_i64(struct device *device, uint16_t key, uint64_t value);

/* A file: "etc/acpi/tables", "opt/org.example/x". Names differ, and have 1 to 55 bytes. */
bool fw_cfg_add_file(struct device *device, const char *name, const void *bytes, size_t size,
                     struct error *err);
/* The same, which the guest may write, too (its size stays). */
bool fw_cfg_add_writable(struct device *device, const char *name, const void *bytes, size_t size,
                         struct error *err);
/* The bytes of a file; NULL: there is none. */
const void *fw_cfg_file(const struct device *device, const char *name, size_t *size);

#endif
