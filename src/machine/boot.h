/* SPDX-License-Identifier: MIT
 *
 * Booting a kernel without a disk: -kernel, -initrd, -append; and -option-rom.
 *
 * A kernel's pieces become items of fw_cfg, and one of our option ROMs (rom/) takes them from there
 * once firmware has run. What a kernel can be, the first that fits:
 *
 *      Linux       bzImage or zImage, boot protocol 2.00 and later, started in real mode
 *      multiboot   version 1: an ELF file, or any that says itself where it is loaded
 *      PVH         an ELF with the note XEN_ELFNOTE_PHYS32_ENTRY, such as Linux's vmlinux
 *      old Linux   as before protocol 2.00
 *
 * Read in this order: this header, boot.c (files, which kind), boot_linux.c, boot_elf.c (multiboot,
 * ELF), boot_image.c (what such a kernel is told), rom/common.inc, rom/linuxboot.S,
 * rom/imageboot.S.
 */
#ifndef MACHINE_BOOT_H
#define MACHINE_BOOT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct device;
struct machine;

/* NULL: not given. The strings are the caller's. */
struct boot_files {
    const char *kernel;
    const char *initrd; /* multiboot: "FILE ARGUMENTS,FILE ARGUMENTS...", with ,, for a comma */
    const char *append;
};

/* An option ROM to be offered to firmware as genroms/NAME. */
struct boot_rom {
    const char *name; /* NULL: none is needed */
    const uint8_t *bytes;
    size_t size;
};

/* Whether what was given goes together: -initrd and -append need -kernel. */
bool boot_files_check(const struct boot_files *files, struct error *err);

/* Reads the files (each fires load_file), adds their pieces to `fw_cfg`, and tells in `rom` which
 * ROM must boot first; it stays valid for ever. Without a kernel nothing is done. `ram_below_4g`:
 * bytes of memory from 0 on. On failure some items may have been added. */
bool boot_load_kernel(struct device *fw_cfg, uint64_t ram_below_4g, const struct boot_files *files,
                      struct boot_rom *rom, struct error *err);

/* The same for a machine whose fw_cfg is there: -kernel and its like of its options; the ROM boots
 * before all else. */
bool boot_machine(struct machine *machine, struct error *err);

enum { BOOT_ROM_MAX = 128 << 10 };

/* -option-rom: a file, found as firmware is, of 1 to BOOT_ROM_MAX bytes, which firmware gets as
 * genroms/ and the last part of the name. `bootindex`: -1 for none. */
bool boot_add_option_rom(struct machine *machine, const char *name, int bootindex,
                         struct error *err);

#endif
