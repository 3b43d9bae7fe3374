/* SPDX-License-Identifier: MIT
 *
 * What a multiboot or PVH kernel is told, and the file that its ROM loads it from. Layouts:
 * Multiboot Specification 0.6.96, 3.3; xen/include/public/arch-x86/hvm/start_info.h.
 *
 * Much of the information has its place here, but only firmware knows it; the ROM writes it:
 * multiboot's mem_lower, mem_upper, mmap_length and the flag of the framebuffer; PVH's rsdp_paddr
 * and memmap_entries. */
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/strbuf.h"
#include "machine/boot_internal.h"

enum {
    BLOCK_FIRST = 0x10000, /* where the block may begin; pages */
    BLOCK_LAST = 0x80000,
    MAP_ROOM = 128,
    MAP_ENTRY = 24,
    SCRATCH_ROOM = 96, /* SCRATCH_SIZE of rom/common.inc */
    STACK_ROOM = 256,
    ROM_ROOM = MAP_ROOM * MAP_ENTRY + SCRATCH_ROOM + STACK_ROOM,
};

/* --- structs of the specifications --- */

struct multiboot_info {
    uint32_t flags;
    uint32_t mem_lower, mem_upper; /* KiB */
    uint32_t boot_device;
    uint32_t cmdline;
    uint32_t mods_count, mods_addr;
    uint32_t syms[4];
    uint32_t mmap_length, mmap_addr;
    uint32_t drives_length, drives_addr;
    uint32_t config_table;
    uint32_t boot_loader_name;
    uint32_t apm_table;
    uint32_t vbe_control_info, vbe_mode_info;
    uint16_t vbe_mode, vbe_interface_seg, vbe_interface_off, vbe_interface_len;
    uint32_t framebuffer_addr[2]; /* 64 bits */
    uint32_t framebuffer_pitch, framebuffer_width, framebuffer_height;
    uint8_t framebuffer_bpp, framebuffer_type, color_info[6];
    uint16_t padding;
};

enum multiboot_info_flag {
    INFO_MEMORY = 0x001,
    INFO_CMDLINE = 0x004,
    INFO_MODS = 0x008,
    INFO_MMAP = 0x040,
    INFO_BOOT_LOADER_NAME = 0x200,
};

enum { EGA_TEXT = 2 }; /* framebuffer_type */

struct multiboot_module {
    uint32_t mod_start, mod_end;
    uint32_t string;
    uint32_t reserved;
};

struct pvh_info {
    uint32_t magic, version, flags, nr_modules;
    uint64_t modlist_paddr, cmdline_paddr, rsdp_paddr, memmap_paddr;
    uint32_t memmap_entries, reserved;
};

struct pvh_module {
    uint64_t paddr, size, cmdline_paddr, reserved;
};

enum { PVH_MAGIC = 0x336ec578, PVH_VERSION = 1 };

_Static_assert(offsetof(struct multiboot_info, padding) == 116, "as specified");
_Static_assert(sizeof(struct pvh_info) == 56, "as specified");
_Static_assert(sizeof(struct boot_image_header) == 52, "HEADER_SIZE of rom/imageboot.S");

/* --- modules --- */

static uint64_t page_up(uint64_t address)
{
    return (address + BOOT_PAGE - 1) & ~(uint64_t)(BOOT_PAGE - 1);
}

/* Behind the kernel, in order, on pages; a ramdisk for PVH at the end of memory, out of the way of
 * what Linux does behind its image. */
static bool place_modules(struct boot_image *image, uint64_t ram_below_4g,
                          struct boot_module *module, size_t modules, struct error *err)
{
    uint64_t end = boot_memory_end(ram_below_4g);
    uint64_t at = BOOT_HIGH;

    for (unsigned i = 0; i < image->pieces; i++) {
        const struct boot_piece *piece = &image->piece[i];
        uint64_t behind = (uint64_t)piece->address + piece->size + piece->zeros;
        at = behind > at ? behind : at;
    }
    for (size_t i = 0; i < modules; i++) {
        size_t size = module[i].file.size;
        at = page_up(at);
        if (at > end || size > end - at) {
            return error_set(err, "initrd is too large, cannot support. (max: %llu, need %zu)",
                             (unsigned long long)(at > end ? 0 : end - at), size);
        }
        if (image->kind == BOOT_PVH) {
            at = (end - size) & ~(uint64_t)(BOOT_PAGE - 1);
        }
        module[i].address = (uint32_t)at;
        if (!boot_image_add(image, ram_below_4g, "a module", at, module[i].file.data, size, size,
                            err)) {
            return false;
        }
        at += size;
    }
    return true;
}

/* --- the block --- */

/* A page below 640 KiB that has `size` bytes which no piece goes to; 0: there is none. */
static uint32_t find_block(const struct boot_image *image, uint32_t size)
{
    for (uint32_t at = BLOCK_FIRST; at <= BLOCK_LAST; at += BOOT_PAGE) {
        bool free_here = true;
        for (unsigned i = 0; i < image->pieces; i++) {
            const struct boot_piece *piece = &image->piece[i];
            uint64_t behind = (uint64_t)piece->address + piece->size + piece->zeros;
            free_here &= piece->address >= at + size || behind <= at;
        }
        if (free_here) {
            return at;
        }
    }
    return 0;
}

/* The address of a string, which is appended to the block's bytes. */
static uint32_t add_string(struct strbuf *block, uint32_t address, const char *text)
{
    uint32_t at = address + (uint32_t)block->len;

    strbuf_add(block, text, strlen(text) + 1);
    return at;
}

static void align_block(struct strbuf *block, size_t unit)
{
    static const char zeros[16];

    strbuf_add(block, zeros, -block->len % unit);
}

/* The list of modules behind the information, whose addresses are known when the strings are
 * written: they come first. */
static void describe_multiboot(struct strbuf *block, uint32_t address, const char *command,
                               const struct boot_module *module, size_t modules)
{
    struct multiboot_info info = {
        .flags = INFO_MEMORY | INFO_CMDLINE | INFO_MODS | INFO_MMAP | INFO_BOOT_LOADER_NAME,
        .mods_count = (uint32_t)modules,
        /* Text as the BIOS leaves it; the ROM sets the flag if it has. */
        .framebuffer_addr = {0xb8000},
        .framebuffer_pitch = 160,
        .framebuffer_width = 80,
        .framebuffer_height = 25,
        .framebuffer_bpp = 16,
        .framebuffer_type = EGA_TEXT,
    };
    size_t at = block->len;

    strbuf_add(block, &info, sizeof info);
    info.mods_addr = address + (uint32_t)block->len;
    size_t list = block->len;
    struct multiboot_module entry = {0};
    for (size_t i = 0; i < modules; i++) {
        strbuf_add(block, &entry, sizeof entry);
    }
    for (size_t i = 0; i < modules; i++) {
        entry.mod_start = module[i].address;
        entry.mod_end = module[i].address + (uint32_t)module[i].file.size;
        entry.string = add_string(block, address, module[i].text);
        memcpy(block->data + list + i * sizeof entry, &entry, sizeof entry);
    }
    info.cmdline = add_string(block, address, command);
    info.boot_loader_name = add_string(block, address, "vitrine");
    memcpy(block->data + at, &info, sizeof info);
}

static void describe_pvh(struct strbuf *block, uint32_t address, const char *command,
                         const struct boot_module *module, size_t modules)
{
    struct pvh_info info = {
        .magic = PVH_MAGIC,
        .version = PVH_VERSION,
        .nr_modules = (uint32_t)modules,
    };
    size_t at = block->len;

    strbuf_add(block, &info, sizeof info);
    info.modlist_paddr = modules ? address + block->len : 0;
    for (size_t i = 0; i < modules; i++) {
        struct pvh_module entry = {.paddr = module[i].address, .size = module[i].file.size};
        strbuf_add(block, &entry, sizeof entry);
    }
    info.cmdline_paddr = add_string(block, address, command);
    memcpy(block->data + at, &info, sizeof info);
}

static void set_map(struct strbuf *block, const struct boot_image_header *header)
{
    char *info = block->data + header->info;
    uint32_t map = header->block + header->map;

    if (header->kind == BOOT_MULTIBOOT) {
        memcpy(info + offsetof(struct multiboot_info, mmap_addr), &map, sizeof map);
    } else {
        uint64_t wide = map;
        memcpy(info + offsetof(struct pvh_info, memmap_paddr), &wide, sizeof wide);
    }
}

static void add_table(struct strbuf *block, const struct boot_image *image)
{
    for (unsigned i = 0; i < image->pieces; i++) {
        const struct boot_piece *piece = &image->piece[i];
        uint32_t row[] = {piece->address, piece->size, piece->zeros};
        strbuf_add(block, row, sizeof row);
    }
}

/* The bytes of the block for `address`. */
static void make_block(struct strbuf *block, uint32_t address, const struct boot_image *image,
                       const char *command, const struct boot_module *module, size_t modules)
{
    struct boot_image_header header = {
        .magic = BOOT_IMAGE_MAGIC,
        .block = address,
        .map_room = MAP_ROOM,
        .map_prefix = image->kind == BOOT_MULTIBOOT ? 4 : 0,
        .kind = image->kind,
        .entry = image->entry,
        .pieces = image->pieces,
    };

    strbuf_add(block, &header, sizeof header);
    align_block(block, 16);
    header.info = (uint32_t)block->len;
    if (image->kind == BOOT_MULTIBOOT) {
        describe_multiboot(block, address, command, module, modules);
    } else {
        describe_pvh(block, address, command, module, modules);
    }
    align_block(block, 16);
    header.table = (uint32_t)block->len;
    add_table(block, image);
    align_block(block, 16);
    header.block_bytes = (uint32_t)block->len;
    header.map = header.block_bytes;
    header.scratch = header.map + MAP_ROOM * MAP_ENTRY;
    header.stack_top = header.scratch + SCRATCH_ROOM + STACK_ROOM;
    memcpy(block->data, &header, sizeof header);
    set_map(block, &header);
}

/* --- the file --- */

static void join(const struct boot_image *image, const struct strbuf *block,
                 struct boot_bytes *file)
{
    file->size = block->len;
    for (unsigned i = 0; i < image->pieces; i++) {
        file->size += image->piece[i].size;
    }
    uint8_t *to = file->data = mem_alloc(file->size);
    memcpy(to, block->data, block->len);
    to += block->len;
    for (unsigned i = 0; i < image->pieces; i++) {
        if (image->piece[i].size) {
            memcpy(to, image->piece[i].bytes, image->piece[i].size);
        }
        to += image->piece[i].size;
    }
}

bool boot_image_make(struct boot_image *image, uint64_t ram_below_4g, const char *command,
                     struct boot_module *module, size_t modules, struct boot_bytes *file,
                     struct error *err)
{
    struct strbuf block;
    bool good = false;

    if (!place_modules(image, ram_below_4g, module, modules, err)) {
        return false;
    }
    /* Its size does not depend on the address. */
    strbuf_init(&block);
    make_block(&block, 0, image, command, module, modules);
    size_t room = block.len + ROM_ROOM;
    uint32_t address = room <= BOOT_BLOCK_MAX ? find_block(image, (uint32_t)room) : 0;
    strbuf_clear(&block);
    if (room > BOOT_BLOCK_MAX) {
        error_set(err, "-append and -initrd are %zu bytes too long for what a kernel can be told",
                  room - BOOT_BLOCK_MAX);
    } else if (!address) {
        error_set(err, "the kernel leaves no room below 640 KiB for what it is to be told");
    } else {
        make_block(&block, address, image, command, module, modules);
        join(image, &block, file);
        good = true;
    }
    strbuf_free(&block);
    return good;
}
