/* SPDX-License-Identifier: MIT
 *
 * Kernels, for the sources that load them and their tests. What parses is pure: bytes in, a plan
 * out; nothing in the bytes is believed. Any thread.
 */
#ifndef MACHINE_BOOT_INTERNAL_H
#define MACHINE_BOOT_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

/* Our ROMs, made of rom/NAME.S by the build. */
extern const uint8_t linuxboot_rom[], imageboot_rom[];
extern const size_t linuxboot_rom_size, imageboot_rom_size;

struct boot_bytes {
    uint8_t *data;
    size_t size;
};

enum {
    /* At the end of the memory below 4 GiB: ACPI tables and what else firmware leaves there. */
    BOOT_FIRMWARE_ROOM = 0x28000,
    BOOT_PAGE = 4096,
    BOOT_HIGH = 1 << 20,
};

/* The end of what a kernel may fill, by the size of the memory below 4 GiB. */
uint64_t boot_memory_end(uint64_t ram_below_4g);

/* --- Linux: boot_linux.c --- */

struct boot_linux {
    uint16_t version;     /* of the boot protocol; 0: older than 2.00 */
    bool high;            /* loaded at 1 MiB: a bzImage */
    uint32_t setup_bytes; /* of the file that are real-mode code */
    uint32_t setup_size;  /* in memory, with zeros behind */
    uint32_t setup_address;
    uint32_t kernel_size, kernel_address; /* the rest of the file */
    uint32_t command_address;
    uint32_t command_max; /* bytes that there is room for, with the NUL */
    uint32_t initrd_max;  /* the last byte that a ramdisk may use */
};

enum boot_verdict { BOOT_NOT, BOOT_GOOD, BOOT_BAD }; /* another kind; ours; ours, with a sentence */

/* Where the pieces go. Version 0 is told from other files by its boot flag and size alone, so all
 * other kinds go first. */
enum boot_verdict boot_linux_parse(const uint8_t *bytes, size_t size, uint64_t ram_below_4g,
                                   struct boot_linux *kernel, struct error *err);

/* The address of a ramdisk of `size` bytes. */
bool boot_linux_place_initrd(const struct boot_linux *kernel, uint64_t ram_below_4g, uint64_t size,
                             uint32_t *address, struct error *err);

/* Fills in the setup header at `setup` (kernel->setup_size bytes). `initrd_size` 0: there is none.
 * `command` is the command line. */
bool boot_linux_fill(const struct boot_linux *kernel, uint8_t *setup, const char *command,
                     uint32_t initrd_address, uint32_t initrd_size, struct error *err);

/* --- 32-bit images: boot_elf.c --- */

enum { BOOT_PIECES_MAX = 256 };
enum boot_kind { BOOT_MULTIBOOT = 1, BOOT_PVH = 2 };

/* Bytes that go to an address, and zeros behind them. */
struct boot_piece {
    uint32_t address;
    uint32_t size;
    uint32_t zeros;
    const uint8_t *bytes; /* of the file */
};

struct boot_image {
    enum boot_kind kind;
    uint32_t entry;
    uint32_t multiboot_flags; /* of the header */
    unsigned pieces;
    struct boot_piece piece[BOOT_PIECES_MAX];
};

/* A multiboot header. Pieces lie in memory, apart from what firmware uses. */
enum boot_verdict boot_multiboot_parse(const uint8_t *bytes, size_t size, uint64_t ram_below_4g,
                                       struct boot_image *image, struct error *err);
/* An ELF with the note of a PVH entry. An ELF without is bad. */
enum boot_verdict boot_pvh_parse(const uint8_t *bytes, size_t size, uint64_t ram_below_4g,
                                 struct boot_image *image, struct error *err);

/* Appends a piece if its place is one where a kernel may lie. `what` is for the sentence. */
bool boot_image_add(struct boot_image *image, uint64_t ram_below_4g, const char *what,
                    uint64_t address, const uint8_t *bytes, uint64_t size, uint64_t memory_size,
                    struct error *err);

/* --- what it is told: boot_image.c --- */

struct boot_module {
    struct boot_bytes file;
    char *text; /* its file and arguments */
    uint32_t address;
};

/* The file etc/boot-image, beginning with this header; all little-endian. The first block_bytes are
 * a block for `block` in low memory: this header, what the kernel is given a pointer to, the
 * strings and the table of pieces (address, size, zeros: 32 bits each). The ROM uses the rest of
 * the block: memory map, scratch, stack. The bytes of the pieces follow in the order of the table.
 */
struct boot_image_header {
    uint32_t magic;
    uint32_t block; /* its address */
    uint32_t block_bytes;
    uint32_t scratch; /* offsets in the block */
    uint32_t stack_top;
    uint32_t map;
    uint32_t map_room; /* entries of 24 bytes */
    uint32_t map_prefix;
    uint32_t kind;
    uint32_t entry;
    uint32_t info; /* offset */
    uint32_t table;
    uint32_t pieces;
};

enum { BOOT_IMAGE_MAGIC = 0x544f4256, BOOT_BLOCK_MAX = 0xf000 };

/* Places the modules, appends them to the pieces and makes the file. */
bool boot_image_make(struct boot_image *image, uint64_t ram_below_4g, const char *command,
                     struct boot_module *module, size_t modules, struct boot_bytes *file,
                     struct error *err);

#endif
