/* SPDX-License-Identifier: MIT
 *
 * Kernels of -kernel: headers of every version and at every limit, what goes where, and what the
 * kernel is told. The ROMs as they lie in the program. */
#include <elf.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/memory.h"
#include "device/fw_cfg.h"
#include "device_harness.h"
#include "log_capture.h"
#include "machine/boot.h"
#include "machine/boot_internal.h"
#include "trace/probe/control.h"

#define MIB ((uint64_t)1 << 20)

static uint16_t get16(const void *at)
{
    uint16_t value;
    memcpy(&value, at, sizeof value);
    return value;
}

static uint32_t get32(const void *at)
{
    uint32_t value;
    memcpy(&value, at, sizeof value);
    return value;
}

static void put16(uint8_t *at, uint16_t value)
{
    memcpy(at, &value, sizeof value);
}

static void put32(uint8_t *at, uint32_t value)
{
    memcpy(at, &value, sizeof value);
}

static void assert_says(const struct error *err, const char *words)
{
    if (!strstr(err->text, words)) {
        fail_msg("'%s' does not say '%s'", err->text, words);
    }
}

/* --- Linux --- */

/* A kernel file with this header and room for `rest` bytes behind the real-mode code. */
static uint8_t *linux_file(uint16_t version, bool high, uint8_t sectors, size_t rest, size_t *size)
{
    size_t setup = ((sectors ? sectors : 4u) + 1u) * 512;
    uint8_t *bytes = mem_alloc(setup + rest);

    bytes[0x1f1] = sectors;
    put16(bytes + 0x1fe, 0xaa55);
    if (version) {
        memcpy(bytes + 0x202, "HdrS", 4);
        put16(bytes + 0x206, version);
        bytes[0x211] = high;
    }
    if (version >= 0x203) {
        put32(bytes + 0x22c, 0x7fffffff);
    }
    if (version >= 0x204) {
        put32(bytes + 0x1f4, (uint32_t)((rest + 15) / 16));
    }
    memset(bytes + setup, 0xcc, rest);
    *size = setup + rest;
    return bytes;
}

static const struct {
    uint16_t version;
    bool high;
    uint32_t setup, setup_size, kernel, command, command_room, initrd_max;
    uint16_t heap_end; /* 0: not written */
} layouts[] = {
    {0, false, 0x90000, 0x8000, 0x10000, 0x99800, 0x800, 0x37ffffff, 0},
    {0x200, false, 0x90000, 0x8000, 0x10000, 0x99800, 0x800, 0x37ffffff, 0},
    {0x200, true, 0x90000, 0x8000, 0x100000, 0x99800, 0x800, 0x37ffffff, 0},
    {0x201, true, 0x90000, 0x8000, 0x100000, 0x99800, 0x800, 0x37ffffff, 0x9600},
    {0x202, false, 0x90000, 0x8000, 0x10000, 0x99800, 0x800, 0x37ffffff, 0x9600},
    {0x202, true, 0x10000, 0xa00, 0x100000, 0x20000, 0x70000, 0x37ffffff, 0xfe00},
    {0x203, true, 0x10000, 0xa00, 0x100000, 0x20000, 0x70000, 0x7fffffff, 0xfe00},
    {0x204, true, 0x10000, 0xa00, 0x100000, 0x20000, 0x70000, 0x7fffffff, 0xfe00},
    {0x20f, true, 0x10000, 0xa00, 0x100000, 0x20000, 0x70000, 0x7fffffff, 0xfe00},
    {0x300, true, 0x10000, 0xa00, 0x100000, 0x20000, 0x70000, 0x7fffffff, 0xfe00},
};

static void linux_layouts(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof layouts / sizeof layouts[0]; i++) {
        struct boot_linux kernel;
        struct error err;
        size_t size;
        uint8_t *file = linux_file(layouts[i].version, layouts[i].high, 0, 100000, &size);
        assert_int_equal(boot_linux_parse(file, size, 64 * MIB, &kernel, &err), BOOT_GOOD);
        assert_int_equal(kernel.version, layouts[i].version);
        assert_int_equal(kernel.setup_bytes, 5 * 512); /* 0 sectors mean 4 */
        assert_int_equal(kernel.setup_address, layouts[i].setup);
        assert_int_equal(kernel.setup_size, layouts[i].setup_size);
        assert_int_equal(kernel.kernel_address, layouts[i].kernel);
        assert_int_equal(kernel.kernel_size, 100000);
        assert_int_equal(kernel.command_address, layouts[i].command);
        assert_int_equal(kernel.command_max, layouts[i].command_room);
        assert_int_equal(kernel.initrd_max, layouts[i].initrd_max);

        uint8_t *setup = mem_alloc(kernel.setup_size), *before = mem_alloc(kernel.setup_size);
        memcpy(setup, file, kernel.setup_bytes);
        memcpy(before, setup, kernel.setup_size);
        assert_true(boot_linux_fill(&kernel, setup, "a b", 0x1234000, 0x567, &err));
        uint16_t version = layouts[i].version;
        if (version >= 0x200) {
            assert_int_equal(setup[0x210], 0xff);
            assert_int_equal(get32(setup + 0x218), 0x1234000);
            assert_int_equal(get32(setup + 0x21c), 0x567);
            memcpy(before + 0x210, setup + 0x210, 1);
            memcpy(before + 0x218, setup + 0x218, 8);
        }
        assert_int_equal(get16(setup + 0x224), layouts[i].heap_end);
        assert_int_equal(setup[0x211], layouts[i].high | (version >= 0x201 ? 0x80 : 0));
        memcpy(before + 0x224, setup + 0x224, 2);
        before[0x211] = setup[0x211];
        if (version >= 0x202) {
            assert_int_equal(get32(setup + 0x228), layouts[i].command);
            memcpy(before + 0x228, setup + 0x228, 4);
        } else {
            assert_int_equal(get16(setup + 0x20), 0xa33f);
            assert_int_equal(get16(setup + 0x22), 0x9800);
            memcpy(before + 0x20, setup + 0x20, 4);
            assert_int_equal(get16(setup + 0x212), version ? 0x9804 : 0);
            memcpy(before + 0x212, setup + 0x212, 2);
        }
        /* Nothing that the version does not have was written. */
        assert_memory_equal(setup, before, kernel.setup_size);
        free(before);
        free(setup);
        free(file);
    }
}

static void linux_limits(void **state)
{
    struct boot_linux kernel;
    struct error err;
    size_t size;
    uint8_t *file;

    (void)state;
    /* 32 KiB of real-mode code. */
    file = linux_file(0x20f, true, 63, 4096, &size);
    assert_int_equal(boot_linux_parse(file, size, 64 * MIB, &kernel, &err), BOOT_GOOD);
    free(file);
    file = linux_file(0x20f, true, 64, 4096, &size);
    assert_int_equal(boot_linux_parse(file, size, 64 * MIB, &kernel, &err), BOOT_BAD);
    assert_says(&err, "real-mode code has 33280 bytes");
    free(file);
    /* 512 KiB of zImage. */
    file = linux_file(0x201, false, 1, 512 << 10, &size);
    assert_int_equal(boot_linux_parse(file, size, 64 * MIB, &kernel, &err), BOOT_GOOD);
    free(file);
    file = linux_file(0x201, false, 1, (512 << 10) + 1, &size);
    assert_int_equal(boot_linux_parse(file, size, 64 * MIB, &kernel, &err), BOOT_BAD);
    assert_says(&err, "512 KiB");
    free(file);
    /* What has no header and is too large for a kernel without is something else. */
    file = linux_file(0, false, 1, (512 << 10) + 1, &size);
    assert_int_equal(boot_linux_parse(file, size, 64 * MIB, &kernel, &err), BOOT_NOT);
    put16(file + 0x1fe, 0);
    assert_int_equal(boot_linux_parse(file, 10000, 64 * MIB, &kernel, &err), BOOT_NOT);
    free(file);
    /* Memory, without what firmware needs of it. */
    uint64_t rest = 4 * MIB - MIB - BOOT_FIRMWARE_ROOM;
    file = linux_file(0x20f, true, 1, rest + 1, &size);
    assert_int_equal(boot_linux_parse(file, size, 4 * MIB, &kernel, &err), BOOT_BAD);
    assert_says(&err, "-m");
    put32(file + 0x1f4, (uint32_t)(rest / 16));
    assert_int_equal(boot_linux_parse(file, size - 1, 4 * MIB, &kernel, &err), BOOT_GOOD);
    free(file);
    /* A version that there is not. */
    file = linux_file(0x1ff, true, 1, 4096, &size);
    assert_int_equal(boot_linux_parse(file, size, 64 * MIB, &kernel, &err), BOOT_BAD);
    assert_says(&err, "1.255");
    free(file);
}

static void linux_cut_off(void **state)
{
    struct boot_linux kernel;
    struct error err;
    size_t size;
    uint8_t *file = linux_file(0x20f, true, 1, 1000, &size);

    (void)state;
    for (size_t length = 0; length < size; length++) {
        uint8_t *part = mem_alloc(length ? length : 1); /* its end is where a sanitizer looks */
        memcpy(part, file, length);
        enum boot_verdict verdict = boot_linux_parse(part, length, 64 * MIB, &kernel, &err);
        /* The last paragraph may be a part. */
        assert_int_equal(verdict, length <= 1024               ? BOOT_NOT
                                  : length <= 1024 + 1008 - 16 ? BOOT_BAD
                                                               : BOOT_GOOD);
        free(part);
    }
    free(file);
}

static void linux_initrd(void **state)
{
    static const struct {
        uint16_t version;
        uint64_t ram;
        uint64_t size;
        uint32_t address; /* 0: does not fit */
    } rows[] = {
        /* The example of the boot protocol. */
        {0x202, 2048 * MIB, 131072, 0x37fe0000},
        {0x202, 2048 * MIB, 131073, 0x37fdf000},
        {0x203, 4096 * MIB, 1, 0x7ffff000},
        {0x20f, 512 * MIB, 5000, 0x1ffd6000},
        {0x20f, 512 * MIB, 4096, 0x1ffd7000},
        {0x20f, 512 * MIB, 4097, 0x1ffd6000},
        /* Between the kernel's 100000 bytes and firmware's room in 4 MiB. */
        {0x20f, 4 * MIB, 0x3d8000 - 0x119000, 0x119000},
        {0x20f, 4 * MIB, 0x3d8000 - 0x119000 + 1, 0},
        {0x20f, 4 * MIB, UINT32_MAX, 0},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct boot_linux kernel;
        struct error err;
        size_t size;
        uint32_t address = 0;
        uint8_t *file = linux_file(rows[i].version, true, 1, 100000, &size);
        assert_int_equal(boot_linux_parse(file, size, rows[i].ram, &kernel, &err), BOOT_GOOD);
        bool good = boot_linux_place_initrd(&kernel, rows[i].ram, rows[i].size, &address, &err);
        assert_int_equal(good, rows[i].address != 0);
        assert_int_equal(address, rows[i].address);
        if (!good) {
            assert_says(&err, "initrd is too large, cannot support. (max: 2879488, need ");
        }
        free(file);
    }
    struct boot_linux old = {.version = 0};
    struct error err;
    uint32_t address;
    assert_false(boot_linux_place_initrd(&old, 64 * MIB, 1, &address, &err));
    assert_string_equal(err.text, "linux kernel too old to load a ram disk");
}

static void linux_command_lines(void **state)
{
    static const struct {
        const char *command;
        int mode; /* -1: unchanged, -2: refused */
    } rows[] = {
        {"", -1},
        {"root=/dev/sda vga=791 quiet", 791},
        {"vga=0x317", 0x317},
        {"vga=normal", 0xffff},
        {"vga=ext x", 0xfffe},
        {"x vga=ask", 0xfffd},
        {"novga=5 notvga=normal", -1},
        {"vga=", -2},
        {"vga=12x", -2},
        {"vga=0x10000", -2},
        {"vga=askme", -2},
    };
    struct boot_linux kernel;
    struct error err;
    size_t size;
    uint8_t *file = linux_file(0x20f, true, 1, 4096, &size);

    (void)state;
    assert_int_equal(boot_linux_parse(file, size, 64 * MIB, &kernel, &err), BOOT_GOOD);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        put16(file + 0x1fa, 0x55);
        bool good = boot_linux_fill(&kernel, file, rows[i].command, 0, 0, &err);
        assert_int_equal(good, rows[i].mode != -2);
        assert_int_equal(get16(file + 0x1fa), rows[i].mode < 0 ? 0x55 : rows[i].mode);
        assert_int_equal(get32(file + 0x218), 0); /* no ramdisk */
    }
    free(file);

    file = linux_file(0x201, true, 1, 4096, &size);
    uint8_t setup[0x8000] = {0};
    char *command = mem_alloc(0x801);
    memset(command, 'x', 0x800);
    assert_int_equal(boot_linux_parse(file, size, 64 * MIB, &kernel, &err), BOOT_GOOD);
    assert_false(boot_linux_fill(&kernel, setup, command, 0, 0, &err));
    assert_says(&err, "has 2048 bytes; this kernel takes 2047");
    command[0x7ff] = 0;
    assert_true(boot_linux_fill(&kernel, setup, command, 0, 0, &err));
    assert_int_equal(get16(setup + 0x212), 0x9800 + 0x800);
    free(command);
    free(file);
}

/* --- multiboot --- */

enum { FILE_SIZE = 0x4000, HEADER_AT = 0x200 };

struct multiboot_file {
    uint8_t bytes[FILE_SIZE];
};

static void put_header(uint8_t *at, uint32_t flags)
{
    put32(at, 0x1badb002);
    put32(at + 4, flags);
    put32(at + 8, -(0x1badb002 + flags));
}

/* A file that is loaded by the header's addresses. */
static struct multiboot_file *by_addresses(uint32_t header, uint32_t load, uint32_t load_end,
                                           uint32_t bss_end, uint32_t entry)
{
    struct multiboot_file *file = mem_alloc(sizeof *file);

    for (size_t i = 0; i < FILE_SIZE; i++) {
        file->bytes[i] = (uint8_t)(i * 7);
    }
    uint8_t *at = file->bytes + HEADER_AT;
    put_header(at, 0x10003);
    put32(at + 12, header);
    put32(at + 16, load);
    put32(at + 20, load_end);
    put32(at + 24, bss_end);
    put32(at + 28, entry);
    return file;
}

static void multiboot_by_addresses(void **state)
{
    static const struct {
        uint32_t header, load, load_end, bss_end;
        enum boot_verdict verdict;
        uint32_t offset, size, zeros;
    } rows[] = {
        /* All of the file; the header is where it is. */
        {0x100200, 0x100000, 0, 0, BOOT_GOOD, 0, FILE_SIZE, 0},
        {0x100000, 0x100000, 0, 0, BOOT_GOOD, 0x200, FILE_SIZE - 0x200, 0},
        {0x100080, 0x100000, 0x101000, 0x105000, BOOT_GOOD, 0x180, 0x1000, 0x4000},
        {0x100080, 0x100000, 0x101000, 0x101000, BOOT_GOOD, 0x180, 0x1000, 0},
        {0x100200, 0x100000, 0x104000, 0, BOOT_GOOD, 0, FILE_SIZE, 0},
        /* Below 640 KiB. */
        {0x10200, 0x10000, 0, 0x20000, BOOT_GOOD, 0, FILE_SIZE, 0xc000},
        /* load_addr behind the header; in front of the file. */
        {0x100000, 0x100001, 0, 0, BOOT_BAD, 0, 0, 0},
        {0x100201, 0x100000, 0, 0, BOOT_BAD, 0, 0, 0},
        /* Ends. */
        {0x100200, 0x100000, 0x104001, 0, BOOT_BAD, 0, 0, 0},
        {0x100200, 0x100000, 0xfffff, 0, BOOT_BAD, 0, 0, 0},
        {0x100200, 0x100000, 0, 0x103fff, BOOT_BAD, 0, 0, 0},
        /* Where no memory is. */
        {0x200, 0, 0, 0, BOOT_BAD, 0, 0, 0},
        {0x9c200, 0x9c000, 0, 0, BOOT_BAD, 0, 0, 0},
        {0xa0200, 0xa0000, 0, 0, BOOT_BAD, 0, 0, 0},
        {0x100200, 0x100000, 0, 0x4000000, BOOT_BAD, 0, 0, 0},
        {0xfffff200, 0xfffff000, 0, 0, BOOT_BAD, 0, 0, 0},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct boot_image image;
        struct error err;
        struct multiboot_file *file = by_addresses(rows[i].header, rows[i].load, rows[i].load_end,
                                                   rows[i].bss_end, 0x12345678);
        assert_int_equal(boot_multiboot_parse(file->bytes, FILE_SIZE, 64 * MIB, &image, &err),
                         rows[i].verdict);
        if (rows[i].verdict == BOOT_GOOD) {
            assert_int_equal(image.kind, BOOT_MULTIBOOT);
            assert_int_equal(image.entry, 0x12345678);
            assert_int_equal(image.pieces, 1);
            assert_int_equal(image.piece[0].address, rows[i].load);
            assert_ptr_equal(image.piece[0].bytes, file->bytes + rows[i].offset);
            assert_int_equal(image.piece[0].size, rows[i].size);
            assert_int_equal(image.piece[0].zeros, rows[i].zeros);
        }
        free(file);
    }
}

/* The header must lie in the first 8192 bytes, on four. */
static void multiboot_header_place(void **state)
{
    static const struct {
        size_t at, size;
        enum boot_verdict verdict;
    } rows[] = {
        {0, FILE_SIZE, BOOT_GOOD},
        {4, FILE_SIZE, BOOT_GOOD},
        {8192 - 32, FILE_SIZE, BOOT_GOOD},
        {8192 - 28, FILE_SIZE, BOOT_BAD},
        {8192 - 12, FILE_SIZE, BOOT_BAD},
        {8192 - 8, FILE_SIZE, BOOT_NOT},
        {2, FILE_SIZE, BOOT_NOT},
        {0x100, 0x100 + 32, BOOT_GOOD},
        {0x100, 0x100 + 31, BOOT_BAD},
        {0x100, 0x100 + 11, BOOT_NOT},
        {0x100, 3, BOOT_NOT},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct boot_image image;
        struct error err;
        uint8_t *bytes = mem_alloc(FILE_SIZE);
        put_header(bytes + rows[i].at, 0x10000);
        put32(bytes + rows[i].at + 12, 0x100000);
        put32(bytes + rows[i].at + 16, 0x100000);
        uint8_t *part = mem_alloc(rows[i].size);
        memcpy(part, bytes, rows[i].size);
        assert_int_equal(boot_multiboot_parse(part, rows[i].size, 64 * MIB, &image, &err),
                         rows[i].verdict);
        free(part);
        free(bytes);
    }
}

static void multiboot_refusals(void **state)
{
    struct boot_image image;
    struct error err;
    uint8_t *bytes = mem_alloc(FILE_SIZE);

    (void)state;
    put_header(bytes, 0x10008);
    assert_int_equal(boot_multiboot_parse(bytes, FILE_SIZE, 64 * MIB, &image, &err), BOOT_BAD);
    assert_says(&err, "flags 0x10008, of which 0x8 are unknown");
    put_header(bytes, 0x80000000); /* optional ones may be unknown */
    assert_int_equal(boot_multiboot_parse(bytes, FILE_SIZE, 64 * MIB, &image, &err), BOOT_BAD);
    assert_says(&err, "no ELF file");
    bytes[8]++; /* the sum */
    assert_int_equal(boot_multiboot_parse(bytes, FILE_SIZE, 64 * MIB, &image, &err), BOOT_NOT);
    free(bytes);
}

/* --- ELF --- */

enum { SEGMENTS = 4, NOTES_AT = 0x3000 };

/* Linked at 3 GiB, loaded at 1 MiB and at 0x8000; a note in the last segment. */
struct elf32_file {
    Elf32_Ehdr head;
    Elf32_Phdr header[SEGMENTS];
    uint8_t rest[FILE_SIZE - sizeof(Elf32_Ehdr) - SEGMENTS * sizeof(Elf32_Phdr)];
};

static struct elf32_file elf32_file(void)
{
    struct elf32_file file = {
        .head = {.e_ident = {ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS32, ELFDATA2LSB, 1},
                 .e_type = ET_EXEC,
                 .e_machine = EM_386,
                 .e_entry = 0xc0100123,
                 .e_phoff = sizeof(Elf32_Ehdr),
                 .e_phentsize = sizeof(Elf32_Phdr),
                 .e_phnum = SEGMENTS},
        .header = {{.p_type = PT_LOAD,
                    .p_offset = 0x1000,
                    .p_vaddr = 0xc0100000,
                    .p_paddr = 0x100000,
                    .p_filesz = 0x1000,
                    .p_memsz = 0x1800},
                   {.p_type = PT_LOAD,
                    .p_offset = 0x2000,
                    .p_vaddr = 0xc0008000,
                    .p_paddr = 0x8000,
                    .p_filesz = 0x800,
                    .p_memsz = 0x800},
                   {.p_type = PT_LOAD, .p_offset = FILE_SIZE, .p_paddr = 0xa0000},
                   {.p_type = PT_NOTE, .p_offset = NOTES_AT, .p_filesz = 0x100, .p_align = 4}},
    };
    return file;
}

static Elf64_Phdr widened(const Elf32_Phdr *narrow)
{
    return (Elf64_Phdr){.p_type = narrow->p_type,
                        .p_offset = narrow->p_offset,
                        .p_vaddr = 0xffffffff00000000 | narrow->p_vaddr,
                        .p_paddr = narrow->p_paddr,
                        .p_filesz = narrow->p_filesz,
                        .p_memsz = narrow->p_memsz,
                        .p_align = narrow->p_align};
}

/* The same as a 64-bit file: same places of all bytes behind the headers. */
static uint8_t *elf64_of(const struct elf32_file *file)
{
    uint8_t *bytes = mem_alloc(FILE_SIZE);
    Elf64_Ehdr head = {
        .e_ident = {ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB, 1},
        .e_machine = EM_X86_64,
        .e_entry = 0xffffffff00000000 | file->head.e_entry,
        .e_phoff = sizeof(Elf64_Ehdr),
        .e_phentsize = sizeof(Elf64_Phdr),
        .e_phnum = SEGMENTS,
    };

    memcpy(bytes, file, FILE_SIZE);
    memcpy(bytes, &head, sizeof head);
    for (int i = 0; i < SEGMENTS; i++) {
        Elf64_Phdr header = widened(&file->header[i]);
        memcpy(bytes + sizeof head + (size_t)i * sizeof header, &header, sizeof header);
    }
    return bytes;
}

static void check_elf_pieces(const struct boot_image *image, const uint8_t *bytes)
{
    assert_int_equal(image->pieces, 2);
    assert_int_equal(image->piece[0].address, 0x100000);
    assert_ptr_equal(image->piece[0].bytes, bytes + 0x1000);
    assert_int_equal(image->piece[0].size, 0x1000);
    assert_int_equal(image->piece[0].zeros, 0x800);
    assert_int_equal(image->piece[1].address, 0x8000);
    assert_ptr_equal(image->piece[1].bytes, bytes + 0x2000);
    assert_int_equal(image->piece[1].size, 0x800);
    assert_int_equal(image->piece[1].zeros, 0);
}

static void multiboot_elf(void **state)
{
    struct elf32_file file = elf32_file();
    struct boot_image image;
    struct error err;

    (void)state;
    put_header((uint8_t *)&file + 0x400, 3);
    assert_int_equal(boot_multiboot_parse((uint8_t *)&file, FILE_SIZE, 64 * MIB, &image, &err),
                     BOOT_GOOD);
    check_elf_pieces(&image, (uint8_t *)&file);
    assert_int_equal(image.entry, 0x100123); /* where it is loaded */
    uint8_t *wide = elf64_of(&file);
    assert_int_equal(boot_multiboot_parse(wide, FILE_SIZE, 64 * MIB, &image, &err), BOOT_GOOD);
    check_elf_pieces(&image, wide);
    assert_int_equal(image.entry, 0x100123);
    free(wide);
    /* An entry in no segment stays as it is. */
    file.head.e_entry = 0x200000;
    assert_int_equal(boot_multiboot_parse((uint8_t *)&file, FILE_SIZE, 64 * MIB, &image, &err),
                     BOOT_GOOD);
    assert_int_equal(image.entry, 0x200000);
    wide = elf64_of(&file);
    assert_int_equal(boot_multiboot_parse(wide, FILE_SIZE, 64 * MIB, &image, &err), BOOT_BAD);
    assert_says(&err, "lies in no segment");
    free(wide);
}

static void bad_elf(void **state)
{
    static const struct {
        const char *name;
        size_t offset;
        uint32_t value; /* 16 bits if below 0x10000 */
        const char *sentence;
    } rows[] = {
        {"big-endian", offsetof(struct elf32_file, head.e_ident[5]), ELFDATA2MSB, "processor"},
        {"of ARM", offsetof(struct elf32_file, head.e_machine), EM_ARM, "processor"},
        {"many headers", offsetof(struct elf32_file, head.e_phnum), 129, "129 program headers"},
        {"more than there are", offsetof(struct elf32_file, head.e_phoff), FILE_SIZE - 64,
         "outside of the file"},
        {"behind the end", offsetof(struct elf32_file, head.e_phoff), 0xfffffff0,
         "outside of the file"},
        {"small headers", offsetof(struct elf32_file, head.e_phentsize), 31, "outside"},
        {"cut off", offsetof(struct elf32_file, header[1].p_filesz), 0x2001, "cut off"},
        {"offset behind the end", offsetof(struct elf32_file, header[1].p_offset),
         FILE_SIZE - 0x7ff, "cut off"},
        {"file larger than memory", offsetof(struct elf32_file, header[1].p_memsz), 0x7ff,
         "impossible"},
        {"at 0", offsetof(struct elf32_file, header[1].p_paddr), 0, "0x0-0x800"},
        {"over the BIOS", offsetof(struct elf32_file, header[1].p_paddr), 0xf0000, "no memory"},
        {"to the end", offsetof(struct elf32_file, header[0].p_memsz), 0xffffffff, "no memory"},
    };
    struct boot_image image;
    struct error err;

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct elf32_file file = elf32_file();
        put_header((uint8_t *)&file + 0x400, 3);
        if (rows[i].value < 0x100 && rows[i].offset < EI_NIDENT) {
            ((uint8_t *)&file)[rows[i].offset] = (uint8_t)rows[i].value;
        } else if (rows[i].offset >= offsetof(struct elf32_file, head.e_phentsize) &&
                   rows[i].offset < sizeof(Elf32_Ehdr)) {
            put16((uint8_t *)&file + rows[i].offset, (uint16_t)rows[i].value);
        } else if (rows[i].offset == offsetof(struct elf32_file, head.e_machine)) {
            put16((uint8_t *)&file + rows[i].offset, (uint16_t)rows[i].value);
        } else {
            put32((uint8_t *)&file + rows[i].offset, rows[i].value);
        }
        if (boot_multiboot_parse((uint8_t *)&file, FILE_SIZE, 64 * MIB, &image, &err) != BOOT_BAD) {
            fail_msg("%s is accepted", rows[i].name);
        }
        assert_says(&err, rows[i].sentence);
    }
    struct elf32_file file = elf32_file();
    put_header((uint8_t *)&file + 0x400, 3);
    file.header[0].p_type = file.header[1].p_type = PT_NULL;
    assert_int_equal(boot_multiboot_parse((uint8_t *)&file, FILE_SIZE, 64 * MIB, &image, &err),
                     BOOT_BAD);
    assert_says(&err, "no segment to load");
}

/* Appends a note; the offset behind it. */
static size_t put_note(uint8_t *at, const char *name, uint32_t type, const void *descriptor,
                       uint32_t size, size_t align)
{
    uint32_t name_size = (uint32_t)strlen(name) + 1;

    put32(at, name_size);
    put32(at + 4, size);
    put32(at + 8, type);
    memcpy(at + 12, name, name_size);
    size_t descriptor_at = (12 + name_size + align - 1) & ~(align - 1);
    memcpy(at + descriptor_at, descriptor, size);
    return (descriptor_at + size + align - 1) & ~(align - 1);
}

static void pvh_notes(void **state)
{
    const uint64_t entry = 0x100040;
    struct boot_image image;
    struct error err;

    (void)state;
    for (unsigned align = 4; align <= 8; align += 4) {
        for (unsigned size = 4; size <= 8; size += 4) {
            struct elf32_file file = elf32_file();
            uint8_t *at = (uint8_t *)&file + NOTES_AT;
            file.header[3].p_align = align;
            at += put_note(at, "GNU", 18, &(uint32_t){7}, 4, align);
            at += put_note(at, "Xen", 6, "linux", 6, align);
            at += put_note(at, "Xen", 18, &entry, size, align);
            assert_int_equal(boot_pvh_parse((uint8_t *)&file, FILE_SIZE, 64 * MIB, &image, &err),
                             BOOT_GOOD);
            assert_int_equal(image.kind, BOOT_PVH);
            assert_int_equal(image.entry, entry);
            check_elf_pieces(&image, (uint8_t *)&file);
            uint8_t *wide = elf64_of(&file);
            assert_int_equal(boot_pvh_parse(wide, FILE_SIZE, 64 * MIB, &image, &err), BOOT_GOOD);
            assert_int_equal(image.entry, entry);
            free(wide);
            /* Cut before its last byte, it is no note. */
            file.header[3].p_filesz =
                (uint32_t)(at - ((uint8_t *)&file + NOTES_AT)) - (size == 4 && align == 8 ? 5 : 1);
            assert_int_equal(boot_pvh_parse((uint8_t *)&file, FILE_SIZE, 64 * MIB, &image, &err),
                             BOOT_BAD);
            assert_string_equal(err.text, "Error loading uncompressed kernel without PVH ELF Note");
        }
    }
    struct elf32_file file = elf32_file();
    put32((uint8_t *)&file + NOTES_AT, 0xfffffffd); /* a name that has no end */
    put32((uint8_t *)&file + NOTES_AT + 4, 0xffffffff);
    assert_int_equal(boot_pvh_parse((uint8_t *)&file, FILE_SIZE, 64 * MIB, &image, &err), BOOT_BAD);
    assert_int_equal(boot_pvh_parse((uint8_t *)&file, 20, 64 * MIB, &image, &err), BOOT_NOT);
    file.head.e_ident[0] = 0;
    assert_int_equal(boot_pvh_parse((uint8_t *)&file, FILE_SIZE, 64 * MIB, &image, &err), BOOT_NOT);
}

/* --- what kernels are told --- */

/* Where the ROM would have put the block. */
struct told {
    const uint8_t *bytes;
    const struct boot_image_header *header;
    const uint8_t *pieces; /* the bytes behind the block */
};

static struct told told(const struct boot_bytes *file)
{
    struct told t = {file->data, (const void *)file->data, NULL};

    assert_true(file->size >= sizeof *t.header);
    assert_int_equal(t.header->magic, BOOT_IMAGE_MAGIC);
    assert_true(t.header->block_bytes <= file->size);
    assert_int_equal(t.header->block % 4096, 0);
    assert_in_range(t.header->block, 0x10000, 0x80000);
    assert_true(t.header->map >= t.header->block_bytes);
    assert_true(t.header->scratch >= t.header->map + t.header->map_room * 24);
    assert_true(t.header->stack_top >= t.header->scratch + 96 + 128);
    assert_true(t.header->stack_top <= 0x10000);
    t.pieces = file->data + t.header->block_bytes;
    return t;
}

static const void *told_at(const struct told *t, uint64_t address)
{
    assert_in_range(address, t->header->block, t->header->block + t->header->block_bytes - 1);
    return t->bytes + (address - t->header->block);
}

/* The table says what the image does, and nothing goes to the block. */
static void check_table(const struct told *t, const struct boot_image *image,
                        const struct boot_bytes *file)
{
    const uint8_t *row = t->bytes + t->header->table, *from = t->pieces;

    assert_int_equal(t->header->pieces, image->pieces);
    for (unsigned i = 0; i < image->pieces; i++, row += 12) {
        const struct boot_piece *piece = &image->piece[i];
        assert_int_equal(get32(row), piece->address);
        assert_int_equal(get32(row + 4), piece->size);
        assert_int_equal(get32(row + 8), piece->zeros);
        assert_true(piece->address >= t->header->block + t->header->stack_top ||
                    piece->address + piece->size + piece->zeros <= t->header->block);
        assert_memory_equal(from, piece->bytes, piece->size);
        from += piece->size;
    }
    assert_ptr_equal(from, file->data + file->size);
}

static struct boot_module module_of(const char *text, size_t size, uint8_t fill)
{
    struct boot_module module = {{mem_alloc(size ? size : 1), size}, mem_string(text), 0};

    memset(module.file.data, fill, size);
    return module;
}

static void free_modules(struct boot_module *module, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        free(module[i].file.data);
        free(module[i].text);
    }
}

static struct boot_image small_image(enum boot_kind kind, uint32_t address, uint32_t zeros)
{
    static const uint8_t bytes[64] = "kernel";
    struct boot_image image = {.kind = kind, .entry = address};
    struct error err;

    assert_true(boot_image_add(&image, 64 * MIB, "it", address, bytes, sizeof bytes,
                               sizeof bytes + zeros, &err));
    return image;
}

static void multiboot_information(void **state)
{
    struct boot_image image = small_image(BOOT_MULTIBOOT, 0x100000, 0x2000);
    struct boot_module module[] = {module_of("first a b", 5000, 1), module_of("second", 0, 2),
                                   module_of("third", 4096, 3)};
    struct boot_bytes file;
    struct error err;

    (void)state;
    assert_true(boot_image_make(&image, 64 * MIB, "kernel x=1", module, 3, &file, &err));
    struct told t = told(&file);
    assert_int_equal(t.header->kind, 1);
    assert_int_equal(t.header->entry, 0x100000);
    assert_int_equal(t.header->map_prefix, 4);
    check_table(&t, &image, &file);
    /* Specification, 3.3. */
    const uint8_t *info = t.bytes + t.header->info;
    assert_int_equal(get32(info), 0x24d); /* memory, command line, modules, map, loader */
    assert_int_equal(get32(info + 4), 0); /* the ROM's */
    assert_string_equal(told_at(&t, get32(info + 16)), "kernel x=1");
    assert_int_equal(get32(info + 20), 3);
    assert_int_equal(get32(info + 44), 0); /* the ROM's */
    assert_int_equal(get32(info + 48), t.header->block + t.header->map);
    assert_string_equal(told_at(&t, get32(info + 64)), "vitrine");
    static const uint32_t text[] = {0xb8000, 0, 160, 80, 25};
    assert_memory_equal(info + 88, text, sizeof text);
    assert_int_equal(info[108], 16);
    assert_int_equal(info[109], 2);
    const uint8_t *list = told_at(&t, get32(info + 24));
    static const struct {
        uint32_t start, end;
        const char *text;
    } modules[] = {{0x103000, 0x103000 + 5000, "first a b"},
                   {0x105000, 0x105000, "second"},
                   {0x105000, 0x106000, "third"}};
    for (int i = 0; i < 3; i++, list += 16) {
        assert_int_equal(get32(list), modules[i].start);
        assert_int_equal(get32(list + 4), modules[i].end);
        assert_string_equal(told_at(&t, get32(list + 8)), modules[i].text);
        assert_int_equal(get32(list + 12), 0);
    }
    free(file.data);
    free_modules(module, 3);
}

static void pvh_information(void **state)
{
    struct boot_image image = small_image(BOOT_PVH, 0x1000000, 0);
    struct boot_module module = module_of("initrd", 5000, 1);
    struct boot_bytes file;
    struct error err;

    (void)state;
    assert_true(boot_image_make(&image, 64 * MIB, "console=ttyS0", &module, 1, &file, &err));
    struct told t = told(&file);
    check_table(&t, &image, &file);
    assert_int_equal(t.header->kind, 2);
    assert_int_equal(t.header->map_prefix, 0);
    /* struct hvm_start_info */
    const uint8_t *info = t.bytes + t.header->info;
    uint64_t field[7];
    memcpy(field, info, sizeof field);
    assert_int_equal(get32(info), 0x336ec578);
    assert_int_equal(get32(info + 4), 1);
    assert_int_equal(get32(info + 8), 0);
    assert_int_equal(get32(info + 12), 1);
    assert_string_equal(told_at(&t, field[3]), "console=ttyS0");
    assert_int_equal(field[4], 0); /* the ROM's */
    assert_int_equal(field[5], t.header->block + t.header->map);
    assert_int_equal(field[6], 0); /* the ROM's */
    memcpy(field, told_at(&t, field[2]), 4 * sizeof field[0]);
    assert_int_equal(field[0], 0x3fd6000); /* at the end of what firmware leaves of 64 MiB */
    assert_int_equal(field[1], 5000);
    assert_int_equal(field[2], 0);
    free(file.data);
    free_modules(&module, 1);
}

static void image_places(void **state)
{
    struct boot_image image = small_image(BOOT_MULTIBOOT, 0x10800, 0);
    struct boot_bytes file;
    struct error err;

    (void)state;
    /* The block goes where the kernel is not, if there is such a place. */
    assert_true(boot_image_make(&image, 64 * MIB, "", NULL, 0, &file, &err));
    struct told t = told(&file);
    check_table(&t, &image, &file);
    assert_int_equal(t.header->block, 0x11000);
    free(file.data);
    image = small_image(BOOT_MULTIBOOT, 0x2000, 0x9d000 - 64);
    assert_false(boot_image_make(&image, 64 * MIB, "", NULL, 0, &file, &err));
    assert_says(&err, "no room below 640 KiB");
    /* Modules that do not fit. */
    image = small_image(BOOT_MULTIBOOT, 0x100000, 0);
    struct boot_module module[] = {module_of("a", 3 << 20, 1), module_of("b", 0xd7000, 1)};
    assert_false(boot_image_make(&image, 4 * MIB, "", module, 1, &file, &err));
    assert_says(&err, "initrd is too large, cannot support. (max: 2977792, need 3145728)");
    image = small_image(BOOT_MULTIBOOT, 0x100000, 0);
    assert_true(boot_image_make(&image, 5 * MIB, "", module, 2, &file, &err));
    assert_int_equal(module[1].address, 0x401000); /* to the last byte */
    free(file.data);
    image = small_image(BOOT_MULTIBOOT, 0x100000, 0xfc1);
    assert_false(boot_image_make(&image, 5 * MIB, "", module, 2, &file, &err));
    free_modules(module, 2);
    /* Strings that do not fit. */
    char *text = mem_alloc(0xf001);
    memset(text, 'x', 0xf000);
    image = small_image(BOOT_MULTIBOOT, 0x100000, 0);
    assert_false(boot_image_make(&image, 64 * MIB, text, NULL, 0, &file, &err));
    assert_says(&err, "too long");
    text[0xd000] = 0;
    assert_true(boot_image_make(&image, 64 * MIB, text, NULL, 0, &file, &err));
    t = told(&file);
    check_table(&t, &image, &file);
    free(file.data);
    free(text);
}

/* --- ROMs --- */

static void check_rom(const uint8_t *rom, size_t size)
{
    uint8_t sum = 0;

    assert_int_equal(size % 512, 0);
    assert_int_equal(get16(rom), 0xaa55);
    assert_int_equal(rom[2], size / 512);
    for (size_t i = 0; i < size; i++) {
        sum = (uint8_t)(sum + rom[i]);
    }
    assert_int_equal(sum, 0);
    size_t at = get16(rom + 0x1a);
    assert_in_range(at, 0x1c, size - 32);
    const uint8_t *pnp = rom + at;
    assert_memory_equal(pnp, "$PnP\1\2", 6);
    for (int i = 0; i < 32; i++) {
        sum = (uint8_t)(sum + pnp[i]);
    }
    assert_int_equal(sum, 0);
    assert_string_equal(rom + get16(pnp + 0x0e), "Vitrine");
    assert_in_range(get16(pnp + 0x1a), 1, size - 1); /* the bootstrap entry */
    assert_int_equal(get16(pnp + 0x16), 0);          /* no boot connection */
}

static void roms(void **state)
{
    (void)state;
    check_rom(linuxboot_rom, linuxboot_rom_size);
    check_rom(imageboot_rom, imageboot_rom_size);
}

/* --- files --- */

struct files {
    struct harness h;
    struct device *fw;
    char folder[32];
};

static int set_up(void **state)
{
    struct files *f = *state = mem_alloc(sizeof *f);

    harness_begin(&f->h);
    f->fw = harness_add(&f->h, "fw_cfg_io", NULL);
    harness_reset(&f->h);
    strcpy(f->folder, "/tmp/boot-test-XXXXXX");
    assert_non_null(mkdtemp(f->folder));
    assert_int_equal(chdir(f->folder), 0);
    return 0;
}

static int tear_down(void **state)
{
    static const char *const names[] = {"kernel", "initrd", "m,1", "empty", "big"};
    struct files *f = *state;

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        unlink(names[i]);
    }
    assert_int_equal(chdir("/"), 0);
    assert_int_equal(rmdir(f->folder), 0);
    harness_end(&f->h);
    free(f);
    return 0;
}

static void write_file(const char *name, const void *bytes, size_t size)
{
    int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC, 0600);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes, size), (ssize_t)size);
    close(fd);
}

static uint32_t fw_number(struct files *f, uint16_t key)
{
    uint32_t value = 0;

    out16(&f->h, 0x510, key);
    for (int i = 0; i < 4; i++) {
        value |= (uint32_t)in8(&f->h, 0x511) << 8 * i;
    }
    return value;
}

static void fw_bytes(struct files *f, uint16_t key, void *to, size_t size)
{
    out16(&f->h, 0x510, key);
    for (size_t i = 0; i < size; i++) {
        ((uint8_t *)to)[i] = in8(&f->h, 0x511);
    }
}

static void load_linux(void **state)
{
    struct files *f = *state;
    struct boot_files files = {"kernel", "initrd", "console=ttyS0"};
    struct boot_rom rom;
    struct error err;
    size_t size;
    uint8_t *file = linux_file(0x20f, true, 1, 5000, &size), bytes[5000];

    write_file("kernel", file, size);
    write_file("initrd", "ramdisk", 7);
    assert_true(trace_control_set("load_file", true, &err));
    capture_begin();
    assert_true(boot_load_kernel(f->fw, 64 * MIB, &files, &rom, &err));
    char *log = capture_end();
    assert_true(trace_control_set("load_file", false, &err));
    assert_non_null(strstr(log, "load_file name kernel location kernel"));
    assert_non_null(strstr(log, "load_file name initrd location initrd"));
    free(log);
    assert_string_equal(rom.name, "linuxboot_dma.bin");
    assert_ptr_equal(rom.bytes, linuxboot_rom);
    assert_int_equal(rom.size, linuxboot_rom_size);
    assert_int_equal(fw_number(f, FW_CFG_SETUP_ADDR), 0x10000);
    assert_int_equal(fw_number(f, FW_CFG_SETUP_SIZE), 1024);
    fw_bytes(f, FW_CFG_SETUP_DATA, bytes, 1024);
    assert_int_equal(get32(bytes + 0x218), 0x3fd7000);
    assert_int_equal(get32(bytes + 0x21c), 7);
    assert_int_equal(get32(bytes + 0x228), 0x20000);
    assert_int_equal(fw_number(f, FW_CFG_KERNEL_ADDR), 0x100000);
    assert_int_equal(fw_number(f, FW_CFG_KERNEL_SIZE), 5000);
    fw_bytes(f, FW_CFG_KERNEL_DATA, bytes, 5000);
    assert_memory_equal(bytes, file + 1024, 5000);
    assert_int_equal(fw_number(f, FW_CFG_INITRD_ADDR), 0x3fd7000);
    assert_int_equal(fw_number(f, FW_CFG_INITRD_SIZE), 7);
    fw_bytes(f, FW_CFG_INITRD_DATA, bytes, 7);
    assert_memory_equal(bytes, "ramdisk", 7);
    assert_int_equal(fw_number(f, FW_CFG_CMDLINE_ADDR), 0x20000);
    assert_int_equal(fw_number(f, FW_CFG_CMDLINE_SIZE), 14);
    fw_bytes(f, FW_CFG_CMDLINE_DATA, bytes, 14);
    assert_string_equal(bytes, "console=ttyS0");
    free(file);
}

static void load_multiboot(void **state)
{
    struct files *f = *state;
    struct boot_files files = {"kernel", "m,,1 a=1,,2,initrd", NULL};
    struct boot_rom rom;
    struct error err;
    struct elf32_file file = elf32_file();
    struct boot_bytes image;

    put_header((uint8_t *)&file + 0x400, 3);
    write_file("kernel", &file, sizeof file);
    write_file("m,1", "one", 3);
    write_file("initrd", "second", 6);
    assert_true(boot_load_kernel(f->fw, 64 * MIB, &files, &rom, &err));
    assert_string_equal(rom.name, "multiboot_dma.bin");
    assert_ptr_equal(rom.bytes, imageboot_rom);
    image.data = (uint8_t *)fw_cfg_file(f->fw, "etc/boot-image", &image.size);
    assert_non_null(image.data);
    struct told t = told(&image);
    const uint8_t *info = t.bytes + t.header->info;
    assert_string_equal(told_at(&t, get32(info + 16)), "kernel");
    assert_int_equal(get32(info + 20), 2);
    const uint8_t *list = told_at(&t, get32(info + 24));
    assert_int_equal(get32(list + 4) - get32(list), 3);
    assert_string_equal(told_at(&t, get32(list + 8)), "m,1 a=1,2");
    assert_string_equal(told_at(&t, get32(list + 24)), "initrd");
    assert_memory_equal(image.data + image.size - 9, "onesecond", 9);
}

static void load_pvh(void **state)
{
    struct files *f = *state;
    struct boot_files files = {"kernel", "m,1", "quiet"};
    struct boot_rom rom;
    struct error err;
    struct elf32_file file = elf32_file();
    struct boot_bytes image;

    put_note((uint8_t *)&file + NOTES_AT, "Xen", 18, &(uint32_t){0x100000}, 4, 4);
    write_file("kernel", &file, sizeof file);
    write_file("m,1", "one", 3); /* one file, whatever its name */
    assert_true(boot_load_kernel(f->fw, 64 * MIB, &files, &rom, &err));
    assert_string_equal(rom.name, "pvh.bin");
    image.data = (uint8_t *)fw_cfg_file(f->fw, "etc/boot-image", &image.size);
    assert_non_null(image.data);
    assert_int_equal(told(&image).header->kind, BOOT_PVH);
    assert_int_equal(told(&image).header->pieces, 3);
}

static void load_refusals(void **state)
{
    static const struct {
        struct boot_files files;
        const char *sentence;
    } rows[] = {
        {{NULL, NULL, "x"}, "-append only allowed with -kernel option"},
        {{NULL, "x", NULL}, "-initrd only allowed with -kernel option"},
        {{"nothing", NULL, NULL},
         "could not open kernel file 'nothing': No such file or directory"},
        {{"/", NULL, NULL}, "could not load kernel '/': Is a directory"},
        {{"empty", NULL, NULL}, "could not load kernel 'empty': the file is empty"},
        {{"initrd", NULL, NULL},
         "invalid kernel header: 'initrd' is neither a Linux bzImage, nor a multiboot kernel, nor "
         "an ELF file with the note of a PVH entry"},
        {{"/proc/self/exe", NULL, NULL},
         "could not load kernel '/proc/self/exe': Error loading uncompressed kernel without PVH "
         "ELF Note"},
        {{"kernel", "nothing", NULL}, "error reading initrd nothing: No such file or directory"},
        {{"kernel", "/", NULL}, "error reading initrd /: Is a directory"},
        {{"kernel", NULL, "vga=?"},
         "-append: vga=? is neither normal, ext or ask nor the number of a video mode"},
        {{"kernel", "big", NULL},
         "initrd is too large, cannot support. (max: 2973696, need 3000000)"},
    };
    struct files *f = *state;
    struct boot_rom rom;
    struct error err;
    size_t size;
    uint8_t *file = linux_file(0x20f, true, 1, 5000, &size);

    write_file("kernel", file, size);
    write_file("initrd", "ramdisk", 7);
    write_file("empty", "", 0);
    write_file("big", "", 0);
    assert_int_equal(truncate("big", 3000000), 0);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_false(boot_load_kernel(f->fw, 4 * MIB, &rows[i].files, &rom, &err));
        assert_string_equal(err.text, rows[i].sentence);
        assert_null(rom.name);
    }
    free(file);
    struct boot_files none = {NULL, NULL, NULL};
    assert_true(boot_load_kernel(f->fw, 4 * MIB, &none, &rom, &err));
    assert_null(rom.name);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(linux_layouts),
        cmocka_unit_test(linux_limits),
        cmocka_unit_test(linux_cut_off),
        cmocka_unit_test(linux_initrd),
        cmocka_unit_test(linux_command_lines),
        cmocka_unit_test(multiboot_by_addresses),
        cmocka_unit_test(multiboot_header_place),
        cmocka_unit_test(multiboot_refusals),
        cmocka_unit_test(multiboot_elf),
        cmocka_unit_test(bad_elf),
        cmocka_unit_test(pvh_notes),
        cmocka_unit_test(multiboot_information),
        cmocka_unit_test(pvh_information),
        cmocka_unit_test(image_places),
        cmocka_unit_test(roms),
        cmocka_unit_test_setup_teardown(load_linux, set_up, tear_down),
        cmocka_unit_test_setup_teardown(load_multiboot, set_up, tear_down),
        cmocka_unit_test_setup_teardown(load_pvh, set_up, tear_down),
        cmocka_unit_test_setup_teardown(load_refusals, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
