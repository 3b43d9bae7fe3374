/* SPDX-License-Identifier: MIT
 *
 * Any bytes as a kernel: what is accepted has its pieces in the file and goes to memory where a
 * kernel may lie, and the ROM can do what it is told to.
 *
 * Input: one byte of how much memory there is (in MiB), one of how long the command line and the
 * ramdisk are, then the file. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/load.h"
#include "base/memory.h"
#include "machine/boot_internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void promise(bool holds)
{
    if (!holds) {
        abort();
    }
}

/* --- Linux --- */

static void try_linux(const uint8_t *bytes, size_t size, uint64_t ram, const char *command,
                      uint32_t initrd_size)
{
    struct boot_linux kernel;
    struct error err;
    uint32_t address = 0;

    if (boot_linux_parse(bytes, size, ram, &kernel, &err) != BOOT_GOOD) {
        return;
    }
    promise(kernel.setup_bytes + (uint64_t)kernel.kernel_size == size);
    promise(kernel.setup_bytes <= kernel.setup_size && kernel.setup_size <= 0x8000);
    promise(kernel.command_address >= kernel.setup_address + kernel.setup_size);
    promise(kernel.command_address + kernel.command_max <= 0x9a000);
    uint64_t end = kernel.kernel_address + (uint64_t)kernel.kernel_size;
    promise(kernel.high ? end <= boot_memory_end(ram) : end <= kernel.setup_address);
    if (initrd_size && boot_linux_place_initrd(&kernel, ram, initrd_size, &address, &err)) {
        promise(address % BOOT_PAGE == 0 && address >= BOOT_HIGH);
        promise(!kernel.high || address >= end);
        promise(address + (uint64_t)initrd_size <= boot_memory_end(ram));
        promise(address + (uint64_t)initrd_size - 1 <= kernel.initrd_max);
    }
    uint8_t *setup = mem_alloc(kernel.setup_size);
    memcpy(setup, bytes, kernel.setup_bytes);
    if (boot_linux_fill(&kernel, setup, command, address, address ? initrd_size : 0, &err)) {
        promise(strlen(command) < kernel.command_max);
    }
    free(setup);
}

/* --- images --- */

static void check_pieces(const struct boot_image *image, const uint8_t *bytes, size_t size,
                         uint64_t ram)
{
    promise(image->pieces > 0 && image->pieces <= BOOT_PIECES_MAX);
    for (unsigned i = 0; i < image->pieces; i++) {
        const struct boot_piece *piece = &image->piece[i];
        uint64_t end = piece->address + (uint64_t)piece->size + piece->zeros;
        promise(piece->bytes >= bytes && piece->size <= size &&
                (size_t)(piece->bytes - bytes) <= size - piece->size);
        promise((piece->address >= 0x1000 && end <= 0x9f000) ||
                (piece->address >= BOOT_HIGH && end <= boot_memory_end(ram)));
    }
}

/* The file, as the ROM reads it. */
static void check_file(const struct boot_bytes *file)
{
    struct boot_image_header header;
    uint64_t left;

    promise(file->size >= sizeof header);
    memcpy(&header, file->data, sizeof header);
    promise(header.block_bytes <= file->size && header.stack_top <= 0x10000);
    promise(header.block % 16 == 0 && header.block + header.stack_top <= 0x9f000);
    promise(header.info < header.block_bytes && header.map >= header.block_bytes);
    promise(header.table + header.pieces * 12 <= header.block_bytes);
    left = file->size - header.block_bytes;
    for (uint32_t i = 0; i < header.pieces; i++) {
        const uint8_t *row = file->data + header.table + i * (size_t)12;
        uint64_t address = load32(row), bytes = load32(row + 4), zeros = load32(row + 8);
        promise(bytes <= left);
        promise(address >= header.block + header.stack_top ||
                address + bytes + zeros <= header.block);
        left -= bytes;
    }
    promise(left == 0);
}

static void try_image(struct boot_image *image, const uint8_t *bytes, size_t size, uint64_t ram,
                      const char *command, uint32_t module_size)
{
    struct boot_module module = {{mem_alloc(module_size + 1), module_size}, (char *)command, 0};
    struct boot_bytes file;
    struct error err;
    uint64_t total = 0;

    check_pieces(image, bytes, size, ram);
    for (unsigned i = 0; i < image->pieces; i++) {
        total += image->piece[i].size; /* many may be of the same bytes */
    }
    if (total < 8 << 20 &&
        boot_image_make(image, ram, command, &module, module_size ? 1 : 0, &file, &err)) {
        check_file(&file);
        free(file.data);
    }
    free(module.file.data);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct boot_image image;
    struct error err;

    if (size < 2) {
        return 0;
    }
    uint64_t ram = (uint64_t)data[0] << 20;
    uint32_t length = data[1];
    char *command = mem_alloc(length * 256u + 1);
    memset(command, 'x', length * 256u);
    if (length & 1) {
        memcpy(command, "vga=7 ", 6);
    }
    data += 2;
    size -= 2;
    try_linux(data, size, ram, command, length * 4096u);
    if (boot_multiboot_parse(data, size, ram, &image, &err) == BOOT_GOOD) {
        try_image(&image, data, size, ram, command, length * 32u);
    }
    if (boot_pvh_parse(data, size, ram, &image, &err) == BOOT_GOOD) {
        try_image(&image, data, size, ram, command, length * 32u);
    }
    free(command);
    return 0;
}
