/* SPDX-License-Identifier: MIT
 *
 * Linux kernels with their real-mode code in front: where the pieces go, and what the loader writes
 * into the setup header. Follows Documentation/x86/boot.rst, whose names the fields have. */
#include <stdlib.h>
#include <string.h>

#include "base/load.h"
#include "machine/boot_internal.h"

enum header_field {
    CMD_LINE_MAGIC = 0x020, /* before 2.02 */
    CMD_LINE_OFFSET = 0x022,
    SETUP_SECTS = 0x1f1,
    SYSSIZE = 0x1f4,
    VID_MODE = 0x1fa,
    BOOT_FLAG = 0x1fe,
    HEADER = 0x202,
    VERSION = 0x206,
    TYPE_OF_LOADER = 0x210,
    LOADFLAGS = 0x211,
    SETUP_MOVE_SIZE = 0x212,
    RAMDISK_IMAGE = 0x218,
    RAMDISK_SIZE = 0x21c,
    HEAP_END_PTR = 0x224,
    CMD_LINE_PTR = 0x228,
    INITRD_ADDR_MAX = 0x22c,
    FIELDS_END = 0x230, /* of those above */
};

enum {
    SECTOR = 512,
    OLD_SETUP_SECTS = 4,
    HDRS = 0x53726448, /* "HdrS" */
    LOADED_HIGH = 0x01,
    CAN_USE_HEAP = 0x80,
    UNDEFINED_LOADER = 0xff,
    COMMAND_MAGIC = 0xa33f,
    SETUP_MAX = 0x8000,
    INITRD_MAX_BEFORE_203 = 0x37ffffff,
};

/* Where the real-mode code runs; "Sample Boot Configuration". The command line is at the end of
 * stack and heap, from 2.02 on behind the segment. */
enum {
    SETUP_ADDRESS = 0x10000,
    COMMAND_ADDRESS = 0x20000,
    COMMAND_END = 0x90000,
    OLD_SETUP_ADDRESS = 0x90000,
    OLD_HEAP_END = 0x9800,
    OLD_COMMAND_END = 0xa000,
    LOW_KERNEL_ADDRESS = 0x10000,
    LOW_KERNEL_MAX = 0x80000,
};

static uint16_t load16(const uint8_t *p)
{
    return (uint16_t)(p[0] | p[1] << 8);
}

static void store16(uint8_t *p, uint32_t value)
{
    p[0] = (uint8_t)value;
    p[1] = (uint8_t)(value >> 8);
}

static void store32(uint8_t *p, uint32_t value)
{
    memcpy(p, &value, sizeof value);
}

uint64_t boot_memory_end(uint64_t ram_below_4g)
{
    return ram_below_4g > BOOT_FIRMWARE_ROOM ? ram_below_4g - BOOT_FIRMWARE_ROOM : 0;
}

/* --- the plan --- */

static bool check_sizes(const uint8_t *bytes, size_t size, uint64_t ram_below_4g,
                        struct boot_linux *kernel, struct error *err)
{
    if (kernel->setup_bytes > SETUP_MAX) {
        return error_set(err, "its real-mode code has %u bytes; the boot protocol allows %u",
                         kernel->setup_bytes, SETUP_MAX);
    }
    uint64_t rest = size - kernel->setup_bytes;
    /* Paragraphs of 16 bytes; the last may be a part. */
    uint64_t wanted = kernel->version >= 0x204 ? (uint64_t)load32(bytes + SYSSIZE) * 16 : 0;
    if (rest + 15 < wanted) {
        return error_set(err, "the file is cut off: %llu of %llu bytes of the kernel are there",
                         (unsigned long long)rest, (unsigned long long)wanted);
    }
    uint64_t end = kernel->high ? boot_memory_end(ram_below_4g)
                                : (uint64_t)LOW_KERNEL_ADDRESS + LOW_KERNEL_MAX;
    if (rest > end || kernel->kernel_address + rest > end) {
        return error_set(err, "the kernel of %llu bytes does not fit into %s",
                         (unsigned long long)rest,
                         kernel->high ? "memory: give the machine more with -m"
                                      : "the 512 KiB that there are for a zImage");
    }
    kernel->kernel_size = (uint32_t)rest;
    return true;
}

enum boot_verdict boot_linux_parse(const uint8_t *bytes, size_t size, uint64_t ram_below_4g,
                                   struct boot_linux *kernel, struct error *err)
{
    *kernel = (struct boot_linux){.initrd_max = INITRD_MAX_BEFORE_203};
    if (size < FIELDS_END) {
        return BOOT_NOT;
    }
    bool has_header = load32(bytes + HEADER) == HDRS;
    uint8_t sectors = bytes[SETUP_SECTS] ? bytes[SETUP_SECTS] : OLD_SETUP_SECTS;
    kernel->setup_bytes = (sectors + 1u) * SECTOR;
    if ((!has_header && load16(bytes + BOOT_FLAG) != 0xaa55) || kernel->setup_bytes >= size) {
        return BOOT_NOT;
    }
    if (has_header) {
        kernel->version = load16(bytes + VERSION);
        if (kernel->version < 0x200) {
            error_set(err, "its boot protocol has version %u.%02u, which does not exist",
                      kernel->version >> 8, kernel->version & 0xff);
            return BOOT_BAD;
        }
        kernel->high = bytes[LOADFLAGS] & LOADED_HIGH;
    }
    if (kernel->version >= 0x203) {
        kernel->initrd_max = load32(bytes + INITRD_ADDR_MAX);
    }
    kernel->kernel_address = kernel->high ? (uint32_t)BOOT_HIGH : (uint32_t)LOW_KERNEL_ADDRESS;
    if (kernel->version >= 0x202 && kernel->high) {
        kernel->setup_address = SETUP_ADDRESS;
        kernel->setup_size = kernel->setup_bytes;
        kernel->command_address = COMMAND_ADDRESS;
        kernel->command_max = COMMAND_END - COMMAND_ADDRESS;
    } else {
        kernel->setup_address = OLD_SETUP_ADDRESS;
        kernel->setup_size = SETUP_MAX; /* old code expects zeros behind it */
        kernel->command_address = OLD_SETUP_ADDRESS + OLD_HEAP_END;
        kernel->command_max = OLD_COMMAND_END - OLD_HEAP_END;
    }
    if (!check_sizes(bytes, size, ram_below_4g, kernel, err)) {
        return has_header ? BOOT_BAD : BOOT_NOT;
    }
    return BOOT_GOOD;
}

bool boot_linux_place_initrd(const struct boot_linux *kernel, uint64_t ram_below_4g, uint64_t size,
                             uint32_t *address, struct error *err)
{
    if (!kernel->version) {
        return error_set(err, "linux kernel too old to load a ram disk");
    }
    uint64_t end = boot_memory_end(ram_below_4g);
    uint64_t begin =
        kernel->high ? (uint64_t)kernel->kernel_address + kernel->kernel_size : (uint64_t)BOOT_HIGH;
    if (end > (uint64_t)kernel->initrd_max + 1) {
        end = (uint64_t)kernel->initrd_max + 1;
    }
    begin = (begin + BOOT_PAGE - 1) & ~(uint64_t)(BOOT_PAGE - 1);
    end &= ~(uint64_t)(BOOT_PAGE - 1);
    if (begin > end || size > end - begin) {
        return error_set(err, "initrd is too large, cannot support. (max: %llu, need %llu)",
                         (unsigned long long)(begin > end ? 0 : end - begin),
                         (unsigned long long)size);
    }
    *address = (uint32_t)((end - size) & ~(uint64_t)(BOOT_PAGE - 1));
    return true;
}

/* --- the header --- */

/* vga=, which is the loader's to understand: "Special Command Line Options". */
static bool find_video_mode(const char *command, bool *found, uint16_t *mode, struct error *err)
{
    static const struct {
        const char *name;
        uint16_t mode;
    } names[] = {{"normal", 0xffff}, {"ext", 0xfffe}, {"ask", 0xfffd}};
    const char *word = command;
    char *end;

    *found = false;
    while (word && strncmp(word, "vga=", 4) != 0) {
        word = strchr(word, ' ');
        word = word ? word + strspn(word, " ") : NULL;
    }
    if (!word) {
        return true;
    }
    word += 4;
    size_t length = strcspn(word, " ");
    *found = true;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (length == strlen(names[i].name) && !strncmp(word, names[i].name, length)) {
            *mode = names[i].mode;
            return true;
        }
    }
    unsigned long value = strtoul(word, &end, 0);
    if (!length || end != word + length || value > 0xffff) {
        return error_set(err,
                         "-append: vga=%.*s is neither normal, ext or ask nor the number of a "
                         "video mode",
                         (int)(length < 40 ? length : 40), word);
    }
    *mode = (uint16_t)value;
    return true;
}

bool boot_linux_fill(const struct boot_linux *kernel, uint8_t *setup, const char *command,
                     uint32_t initrd_address, uint32_t initrd_size, struct error *err)
{
    uint32_t command_offset = kernel->command_address - kernel->setup_address;
    size_t command_size = strlen(command) + 1;
    bool has_mode;
    uint16_t mode = 0;

    if (command_size > kernel->command_max) {
        return error_set(err, "the command line (-append) has %zu bytes; this kernel takes %u",
                         command_size - 1, kernel->command_max - 1);
    }
    if (!find_video_mode(command, &has_mode, &mode, err)) {
        return false;
    }
    if (has_mode) {
        store16(setup + VID_MODE, mode);
    }
    if (kernel->version < 0x202) {
        store16(setup + CMD_LINE_MAGIC, COMMAND_MAGIC);
        store16(setup + CMD_LINE_OFFSET, command_offset);
    }
    if (kernel->version < 0x200) {
        return true;
    }
    setup[TYPE_OF_LOADER] = UNDEFINED_LOADER;
    if (initrd_size) {
        store32(setup + RAMDISK_IMAGE, initrd_address);
        store32(setup + RAMDISK_SIZE, initrd_size);
    }
    if (kernel->version >= 0x201) {
        store16(setup + HEAP_END_PTR, command_offset - 0x200);
        setup[LOADFLAGS] |= CAN_USE_HEAP;
    }
    if (kernel->version >= 0x202) {
        store32(setup + CMD_LINE_PTR, kernel->command_address);
    } else {
        store16(setup + SETUP_MOVE_SIZE, command_offset + (uint32_t)command_size);
    }
    return true;
}
