/* SPDX-License-Identifier: MIT
 *
 * -kernel, -initrd and -append: reads the files, finds out what the kernel is, and puts its pieces
 * where our option ROMs find them. */
#include "machine/boot.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/memory.h"
#include "block/block.h"
#include "device/fw_cfg.h"
#include "machine/boot_internal.h"
#include "machine/machine.h"

enum { READ_FIRST = 1 << 20, MODULES_MAX = 64 };

/* Of a kernel, a ramdisk or a module: what fw_cfg can say, and a DMA can move. */
static const uint64_t file_max = UINT32_MAX;

/* --- files --- */

enum read_result { READ_GOOD, READ_NOT_OPENED, READ_FAILED }; /* errno tells the rest */

/* The rest of a file, which may be a pipe. */
static bool read_descriptor(int fd, uint64_t limit, struct boot_bytes *file)
{
    struct stat status;
    size_t room = READ_FIRST;

    if (fstat(fd, &status) < 0) {
        return false;
    }
    if (S_ISREG(status.st_mode)) {
        if ((uint64_t)status.st_size > limit) {
            errno = EFBIG;
            return false;
        }
        room = (size_t)status.st_size + 1;
    }
    *file = (struct boot_bytes){mem_resize(NULL, room, 1), 0};
    for (;;) {
        ssize_t count = read(fd, file->data + file->size, room - file->size);
        if (count < 0 && errno == EINTR) {
            continue;
        }
        if (count <= 0) {
            return count == 0;
        }
        file->size += (size_t)count;
        if (file->size > limit) {
            errno = EFBIG;
            return false;
        }
        if (file->size == room) {
            room *= 2;
            file->data = mem_resize(file->data, room, 1);
        }
    }
}

static enum read_result read_file(const char *name, const char *path, uint64_t limit,
                                  struct boot_bytes *file)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    *file = (struct boot_bytes){NULL, 0};
    if (fd < 0) {
        return READ_NOT_OPENED;
    }
    file_opened(name, path);
    bool good = read_descriptor(fd, limit, file);
    int failure = errno;
    close(fd);
    if (!good) {
        free(file->data);
        *file = (struct boot_bytes){NULL, 0};
    }
    errno = failure;
    return good ? READ_GOOD : READ_FAILED;
}

static bool read_kernel(const char *path, struct boot_bytes *file, struct error *err)
{
    switch (read_file(path, path, file_max, file)) {
    case READ_NOT_OPENED:
        return error_set(err, "could not open kernel file '%s': %s", path, strerror(errno));
    case READ_FAILED:
        return error_set(err, "could not load kernel '%s': %s", path, strerror(errno));
    case READ_GOOD: break;
    }
    if (!file->size) {
        free(file->data);
        return error_set(err, "could not load kernel '%s': the file is empty", path);
    }
    return true;
}

static bool read_initrd(const char *path, struct boot_bytes *file, struct error *err)
{
    if (read_file(path, path, file_max, file) != READ_GOOD) {
        return error_set(err, "error reading initrd %s: %s", path, strerror(errno));
    }
    return true;
}

/* --- Linux --- */

static void add_linux_items(struct device *fw_cfg, const struct boot_linux *kernel,
                            const struct boot_bytes *file, const uint8_t *setup,
                            const char *command, uint32_t initrd_address,
                            const struct boot_bytes *initrd)
{
    uint32_t command_size = (uint32_t)strlen(command) + 1;

    fw_cfg_add_i32(fw_cfg, FW_CFG_CMDLINE_ADDR, kernel->command_address);
    fw_cfg_add_i32(fw_cfg, FW_CFG_CMDLINE_SIZE, command_size);
    fw_cfg_add_string(fw_cfg, FW_CFG_CMDLINE_DATA, command);
    if (initrd->size) {
        fw_cfg_add_i32(fw_cfg, FW_CFG_INITRD_ADDR, initrd_address);
        fw_cfg_add_i32(fw_cfg, FW_CFG_INITRD_SIZE, (uint32_t)initrd->size);
        fw_cfg_add_bytes(fw_cfg, FW_CFG_INITRD_DATA, initrd->data, initrd->size);
    }
    fw_cfg_add_i32(fw_cfg, FW_CFG_KERNEL_ADDR, kernel->kernel_address);
    fw_cfg_add_i32(fw_cfg, FW_CFG_KERNEL_SIZE, kernel->kernel_size);
    fw_cfg_add_bytes(fw_cfg, FW_CFG_KERNEL_DATA, file->data + kernel->setup_bytes,
                     kernel->kernel_size);
    fw_cfg_add_i32(fw_cfg, FW_CFG_SETUP_ADDR, kernel->setup_address);
    fw_cfg_add_i32(fw_cfg, FW_CFG_SETUP_SIZE, kernel->setup_size);
    fw_cfg_add_bytes(fw_cfg, FW_CFG_SETUP_DATA, setup, kernel->setup_size);
}

static bool load_linux(struct device *fw_cfg, uint64_t ram_below_4g, const struct boot_files *files,
                       const struct boot_linux *kernel, const struct boot_bytes *file,
                       struct error *err)
{
    const char *command = files->append ? files->append : "";
    struct boot_bytes initrd = {NULL, 0};
    uint32_t initrd_address = 0;
    uint8_t *setup = mem_alloc(kernel->setup_size);
    bool good;

    memcpy(setup, file->data, kernel->setup_bytes);
    good = !files->initrd ||
           (read_initrd(files->initrd, &initrd, err) &&
            boot_linux_place_initrd(kernel, ram_below_4g, initrd.size, &initrd_address, err));
    good =
        good && boot_linux_fill(kernel, setup, command, initrd_address, (uint32_t)initrd.size, err);
    if (good) {
        add_linux_items(fw_cfg, kernel, file, setup, command, initrd_address, &initrd);
    }
    free(initrd.data);
    free(setup);
    return good;
}

/* --- multiboot, PVH --- */

/* "FILE ARGUMENTS,FILE ARGUMENTS": the texts, in which ,, has become a comma. */
static size_t split_modules(const char *list, struct boot_module *module, size_t room)
{
    size_t modules = 0;

    while (modules < room) {
        char *text = mem_alloc(strlen(list) + 1), *to = text;
        while (*list && (*list != ',' || list[1] == ',')) {
            list += *list == ',';
            *to++ = *list++;
        }
        module[modules++].text = text;
        if (!*list) {
            break;
        }
        list++;
    }
    return modules;
}

static bool read_modules(struct boot_module *module, size_t modules, bool has_arguments,
                         struct error *err)
{
    for (size_t i = 0; i < modules; i++) {
        size_t length = has_arguments ? strcspn(module[i].text, " ") : strlen(module[i].text);
        char *path = mem_stringn(module[i].text, length);
        bool good = read_initrd(path, &module[i].file, err);
        free(path);
        if (!good) {
            return false;
        }
    }
    return true;
}

static bool load_image(struct device *fw_cfg, uint64_t ram_below_4g, const struct boot_files *files,
                       struct boot_image *image, struct error *err)
{
    struct boot_module module[MODULES_MAX + 1] = {0};
    struct boot_bytes file = {NULL, 0};
    const char *append = files->append ? files->append : "";
    bool multiboot = image->kind == BOOT_MULTIBOOT;
    size_t modules = 0;
    /* A multiboot kernel gets its own name, too. */
    char *command = multiboot ? mem_format("%s%s%s", files->kernel, *append ? " " : "", append)
                              : mem_string(append);

    if (files->initrd && multiboot) {
        modules = split_modules(files->initrd, module, MODULES_MAX + 1);
    } else if (files->initrd) {
        module[modules++].text = mem_string(files->initrd);
    }
    bool good =
        modules <= MODULES_MAX || error_set(err, "-initrd names more than %u modules", MODULES_MAX);
    good = good && read_modules(module, modules, multiboot, err) &&
           boot_image_make(image, ram_below_4g, command, module, modules, &file, err) &&
           fw_cfg_add_file(fw_cfg, "etc/boot-image", file.data, file.size, err);
    free(file.data);
    for (size_t i = 0; i < modules; i++) {
        free(module[i].file.data);
        free(module[i].text);
    }
    free(command);
    return good;
}

/* --- which it is --- */

static bool bad_kernel(const char *path, struct error *err)
{
    return error_prefix(err, "could not load kernel '%s': ", path);
}

static bool load(struct device *fw_cfg, uint64_t ram_below_4g, const struct boot_files *files,
                 const struct boot_bytes *file, struct boot_rom *rom, struct error *err)
{
    static const struct boot_rom linux_rom = {"linuxboot_dma.bin", linuxboot_rom, 0};
    static const char *const image_names[] = {
        [BOOT_MULTIBOOT] = "multiboot_dma.bin", [BOOT_PVH] = "pvh.bin"};
    struct boot_linux kernel;
    struct boot_image image;

    enum boot_verdict as_linux =
        boot_linux_parse(file->data, file->size, ram_below_4g, &kernel, err);
    if (as_linux == BOOT_BAD) {
        return bad_kernel(files->kernel, err);
    }
    if (as_linux == BOOT_NOT || !kernel.version) {
        enum boot_verdict verdict =
            boot_multiboot_parse(file->data, file->size, ram_below_4g, &image, err);
        if (verdict == BOOT_NOT) {
            verdict = boot_pvh_parse(file->data, file->size, ram_below_4g, &image, err);
        }
        if (verdict == BOOT_BAD) {
            return bad_kernel(files->kernel, err);
        }
        if (verdict == BOOT_GOOD) {
            *rom = (struct boot_rom){image_names[image.kind], imageboot_rom, imageboot_rom_size};
            return load_image(fw_cfg, ram_below_4g, files, &image, err);
        }
    }
    if (as_linux == BOOT_NOT) {
        return error_set(err,
                         "invalid kernel header: '%s' is neither a Linux bzImage, nor a multiboot "
                         "kernel, nor an ELF file with the note of a PVH entry",
                         files->kernel);
    }
    *rom = linux_rom;
    rom->size = linuxboot_rom_size;
    return load_linux(fw_cfg, ram_below_4g, files, &kernel, file, err);
}

bool boot_files_check(const struct boot_files *files, struct error *err)
{
    if (!files->kernel && files->append) {
        return error_set(err, "-append only allowed with -kernel option");
    }
    if (!files->kernel && files->initrd) {
        return error_set(err, "-initrd only allowed with -kernel option");
    }
    return true;
}

bool boot_load_kernel(struct device *fw_cfg, uint64_t ram_below_4g, const struct boot_files *files,
                      struct boot_rom *rom, struct error *err)
{
    struct boot_bytes file;

    *rom = (struct boot_rom){NULL, NULL, 0};
    if (!files->kernel) {
        return boot_files_check(files, err);
    }
    if (!read_kernel(files->kernel, &file, err)) {
        return false;
    }
    bool good = load(fw_cfg, ram_below_4g, files, &file, rom, err);
    free(file.data);
    if (!good) {
        *rom = (struct boot_rom){NULL, NULL, 0};
    }
    return good;
}

/* --- machines --- */

bool boot_machine(struct machine *machine, struct error *err)
{
    const struct machine_options *options = machine->options;
    struct boot_files files = {options->kernel, options->initrd, options->append};
    struct boot_rom rom;

    return boot_load_kernel(machine->devices.fw_cfg, machine->ram_below_4g, &files, &rom, err) &&
           (!rom.name || machine_add_rom(machine, rom.name, rom.bytes, rom.size, 0, err));
}

bool boot_add_option_rom(struct machine *machine, const char *name, int bootindex,
                         struct error *err)
{
    const char *slash = strrchr(name, '/');
    size_t size;
    uint8_t *bytes = machine_read_file(machine, name, true, BOOT_ROM_MAX, &size, err);
    bool good = bytes && (size || error_set(err, "the file is empty")) &&
                machine_add_rom(machine, slash ? slash + 1 : name, bytes, size, bootindex, err);

    free(bytes);
    return good || error_prefix(err, "option ROM '%s': ", name);
}
