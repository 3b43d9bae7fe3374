/* SPDX-License-Identifier: MIT
 *
 * Files: firmware, ROMs, and bytes that lie in memory after a reset. Each file that is opened fires
 * load_file. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/memory.h"
#include "device/fw_cfg.h"
#include "device/i440fx.h"
#include "device/pci.h"
#include "machine/internal.h"

enum {
    ROM_SPACE = 0xc0000,
    ROM_SPACE_SIZE = 0x20000,
    LOW_FIRMWARE = 0x20000, /* of its end, seen below 1 MiB too */
    FIRMWARE_UNIT = 0x10000,
    FIRMWARE_MAX = 16 << 20,
    ROM_MAX = 16 << 20,
    BLOB_MAX = 1 << 30,
};

#define GIB4             (UINT64_C(4) << 30)
#define DEFAULT_FIRMWARE "bios-256k.bin"

/* Where Debian's packages have firmware and ROMs: seabios, ipxe-qemu, qemu-system-data. */
static const char *const usual_folders[] = {VITRINE_DATADIR, "/usr/share/seabios",
                                            "/usr/lib/ipxe/qemu", "/usr/share/qemu", NULL};

/* --- finding and reading --- */

const char *const *machine_usual_folders(void)
{
    return usual_folders;
}

static bool is_file(const char *path)
{
    struct stat status;

    return !stat(path, &status) && !S_ISDIR(status.st_mode);
}

static char *find_in(const char *const *folders, const char *name)
{
    for (; folders && *folders; folders++) {
        char *path = mem_format("%s/%s", *folders, name);
        if (is_file(path)) {
            return path;
        }
        free(path);
    }
    return NULL;
}

char *machine_find_file(const struct machine *machine, const char *name)
{
    if (is_file(name)) {
        return mem_string(name);
    }
    char *path = find_in(machine->options->folders, name);
    return path ? path : find_in(usual_folders, name);
}

static uint8_t *read_all(int fd, size_t limit, size_t *size, struct error *err)
{
    enum { FIRST = 64 << 10 };
    uint8_t *bytes = NULL;
    size_t room = 0;

    *size = 0;
    for (;;) {
        if (*size == room) {
            room = room ? room * 2 : FIRST;
            bytes = mem_resize(bytes, room, 1);
        }
        ssize_t n = read(fd, bytes + *size, room - *size);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            if (n < 0) {
                error_set(err, "%s", strerror(errno));
                free(bytes);
                return NULL;
            }
            return bytes;
        }
        *size += (size_t)n;
        if (*size > limit) {
            error_set(err, "the file is larger than %zu bytes", limit);
            free(bytes);
            return NULL;
        }
    }
}

uint8_t *machine_read_file(const struct machine *machine, const char *name, bool search,
                           size_t limit, size_t *size, struct error *err)
{
    char *path = search ? machine_find_file(machine, name) : mem_string(name);
    if (!path) {
        error_set(err, "failed to find file '%s' (-L names folders to look in)", name);
        return NULL;
    }
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    uint8_t *bytes = NULL;
    if (fd < 0) {
        error_set(err, "could not open '%s': %s", path, strerror(errno));
    } else {
        bytes = read_all(fd, limit, size, err);
        close(fd);
        if (bytes) {
            file_opened(name, path);
        } else {
            error_prefix(err, "could not read '%s': ", path);
        }
    }
    free(path);
    return bytes;
}

/* --- firmware --- */

/* At the end of 4 GiB, its last part below 1 MiB too. */
static bool map_firmware(struct machine *machine, const uint8_t *bytes, size_t size,
                         struct error *err)
{
    struct machine_private *own = machine->own;
    struct mem_region *pci = i440fx_pci_memory(machine->devices.host_bridge);
    size_t low = size < LOW_FIRMWARE ? size : LOW_FIRMWARE;

    if (!mem_init_rom(&own->firmware, "pc.bios", size, err)) {
        return false;
    }
    memcpy(mem_host(&own->firmware), bytes, size);
    mem_add(pci, &own->firmware, GIB4 - size, 0);
    mem_init_alias(&own->firmware_low, "isa-bios", &own->firmware, size - low, low);
    mem_add(pci, &own->firmware_low, (UINT64_C(1) << 20) - low, 1);
    return true;
}

bool machine_firmware_map(struct machine *machine, struct error *err)
{
    struct machine_private *own = machine->own;
    const char *name = machine->options->firmware ? machine->options->firmware : DEFAULT_FIRMWARE;
    size_t size;

    uint8_t *bytes = machine_read_file(machine, name, true, FIRMWARE_MAX, &size, err);
    if (!bytes) {
        return error_prefix(err, "could not load PC BIOS '%s'%s: ", name,
                            machine->options->firmware ? "" : " (package seabios has it)");
    }
    bool good = size && size % FIRMWARE_UNIT == 0
                    ? map_firmware(machine, bytes, size, err)
                    : error_set(err,
                                "could not load PC BIOS '%s': %zu bytes are not a multiple of "
                                "64 KiB",
                                name, size);
    free(bytes);
    if (!good) {
        return false;
    }
    if (!mem_init_rom(&own->rom_space, "pc.rom", ROM_SPACE_SIZE, err)) {
        return false;
    }
    mem_add(i440fx_pci_memory(machine->devices.host_bridge), &own->rom_space, ROM_SPACE, 1);
    return true;
}

/* --- ROMs of devices --- */

static bool is_own_choice(const struct pci_device *pci)
{
    const struct pci_class *class = pci->device.class->bus_class;

    return !class->rom || strcmp(class->rom, pci->romfile) != 0;
}

bool machine_load_rom(struct machine *machine, struct device *device, struct error *err)
{
    struct pci_device *pci = (struct pci_device *)device;
    size_t size;

    if (!device->class->bus || strcmp(device->class->bus, "PCI") != 0 || !pci->romfile ||
        !*pci->romfile || pci->region[PCI_ROM].kind != PCI_REGION_NONE) {
        return true;
    }
    uint8_t *bytes = machine_read_file(machine, pci->romfile, true, ROM_MAX, &size, err);
    if (!bytes) {
        if (is_own_choice(pci)) {
            return error_prefix(err, "romfile of %s: ", device->class->name);
        }
        machine_warn(machine, "warning: device %s goes without its ROM: %s", device->class->name,
                     err ? err->text : pci->romfile);
        return true;
    }
    bool good = pci_add_rom(pci, bytes, size, err);
    free(bytes);
    return good;
}

/* --- what is added by others --- */

static struct machine_blob *blob_new(const char *name, uint64_t address, const void *bytes,
                                     size_t size)
{
    struct machine_blob *blob = mem_alloc(sizeof *blob);

    *blob = (struct machine_blob){mem_string(name), address, mem_alloc(size + 1), size, NULL};
    if (size) {
        memcpy(blob->bytes, bytes, size);
    }
    return blob;
}

static void append(struct machine_blob **list, struct machine_blob *blob)
{
    while (*list) {
        list = &(*list)->next;
    }
    *list = blob;
}

static void free_blobs(struct machine_blob *list)
{
    while (list) {
        struct machine_blob *next = list->next;
        free(list->name);
        free(list->bytes);
        free(list);
        list = next;
    }
}

bool machine_add_rom(struct machine *machine, const char *name, const void *bytes, size_t size,
                     int bootindex, struct error *err)
{
    char *file = mem_format("genroms/%s", name);
    bool good = fw_cfg_add_file(machine->devices.fw_cfg, file, bytes, size, err);

    if (good && bootindex >= 0) {
        char *path = mem_format("/rom@%s", file);
        good = machine_add_boot_path(machine, bootindex, path, err);
        free(path);
    }
    free(file);
    return good;
}

bool machine_add_fw_cfg(struct machine *machine, const char *name, const void *bytes, size_t size,
                        struct error *err)
{
    size_t length = strlen(name);

    if (!length || length >= FW_CFG_NAME_SIZE) {
        return error_set(err, "name '%s' has %zu characters; 1 to %d are possible", name, length,
                         FW_CFG_NAME_SIZE - 1);
    }
    append(&machine->own->fw_cfg_files, blob_new(name, 0, bytes, size));
    return true;
}

bool machine_add_blob(struct machine *machine, const char *name, uint64_t address,
                      const void *bytes, size_t size, struct error *err)
{
    if (size > BLOB_MAX) {
        return error_set(err, "%s: %zu bytes are more than %d", name, size, BLOB_MAX);
    }
    append(&machine->own->blobs, blob_new(name, address, bytes, size));
    return true;
}

/* Into RAM and ROM alike. */
static void write_blob(struct machine *machine, const struct machine_blob *blob)
{
    for (size_t done = 0; done < blob->size;) {
        struct mem_range range;
        uint64_t at = blob->address + done;
        if (!mem_find(machine->board.memory, at, &range) || !mem_host(range.region)) {
            machine_warn(machine, "warning: %s: there is no memory at 0x%llx", blob->name,
                         (unsigned long long)at);
            return;
        }
        uint64_t skip = at - range.start, room = range.size - skip;
        size_t count = blob->size - done < room ? blob->size - done : (size_t)room;
        memcpy(mem_host(range.region) + range.offset + skip, blob->bytes + done, count);
        mem_written(range.region, range.offset + skip, count);
        done += count;
    }
}

void machine_blobs_write(struct machine *machine)
{
    for (const struct machine_blob *blob = machine->own->blobs; blob; blob = blob->next) {
        write_blob(machine, blob);
    }
}

void machine_roms_free(struct machine *machine)
{
    struct machine_private *own = machine->own;

    free_blobs(own->blobs);
    free_blobs(own->fw_cfg_files);
    for (struct machine_boot_path *path = own->boot_paths; path;) {
        struct machine_boot_path *next = path->next;
        free(path->path);
        free(path);
        path = next;
    }
    mem_free(&own->firmware_low);
    mem_free(&own->firmware);
    mem_free(&own->rom_space);
    mem_free(&own->port80);
    mem_free(&own->port_f0);
}
