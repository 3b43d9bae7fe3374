/* SPDX-License-Identifier: MIT
 *
 * fw_cfg: how firmware asks the machine for numbers, blobs and files, by ports or by DMA. Follows
 * the specification "QEMU Firmware Configuration (fw_cfg) Device".
 *
 * The guest writes a key to the selector, then reads the item byte by byte from the data port; or
 * it writes the address of a struct to the DMA register (both big-endian):
 *
 *      0  control   bits 31:16 key, 4 write, 3 select, 2 skip, 1 read, 0 error (set by us)
 *      4  length
 *      8  address   of the guest's buffer
 *
 * whose control becomes 0 when all is done. Files have keys from 0x20 on, in the order of their
 * names; key 0x19 is their directory. */
#include "device/fw_cfg.h"

#include <endian.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "trace-device.h"

enum { SELECTOR = 0, DATA = 1, BASE = 0x510, DMA_BASE = 0x514 };

enum dma_control {
    DMA_ERROR = 0x01,
    DMA_READ = 0x02,
    DMA_SKIP = 0x04,
    DMA_SELECT = 0x08,
    DMA_WRITE = 0x10,
};

enum { ID_TRADITIONAL = 1, ID_DMA = 2, NO_ITEM = 0xffff, CHUNK = 4096 };

enum {
    PLAIN_KEYS = FW_CFG_FILE_FIRST, /* below the files, and as many of the architecture */
    NAME_MAX_BYTES = FW_CFG_NAME_SIZE - 1,
    ENTRY_SIZE = 64, /* of the directory */
};

/* What the DMA register reads as. */
static const char dma_signature[8] = {'Q', 'E', 'M', 'U', ' ', 'C', 'F', 'G'};

struct item {
    uint8_t *bytes; /* NULL: there is none */
    size_t size;
    bool writable;
};

struct file {
    char name[FW_CFG_NAME_SIZE];
    struct item item;
};

struct fw_cfg {
    struct device device;
    struct mem_region ports, dma_ports;
    struct item plain[2][PLAIN_KEYS]; /* [1]: from FW_CFG_ARCH_LOCAL on */
    struct file file[FW_CFG_FILES];   /* by name */
    unsigned files;
    bool dma; /* property */

    uint16_t key; /* selected; NO_ITEM: one that there is not */
    uint32_t position;
    uint64_t dma_address;
};

/* --- items --- */

static const char *const key_names[PLAIN_KEYS] = {
    [FW_CFG_SIGNATURE] = "signature",
    [FW_CFG_ID] = "id",
    [FW_CFG_UUID] = "uuid",
    [FW_CFG_RAM_SIZE] = "ram_size",
    [FW_CFG_NOGRAPHIC] = "nographic",
    [FW_CFG_NB_CPUS] = "nb_cpus",
    [FW_CFG_MACHINE_ID] = "machine_id",
    [FW_CFG_KERNEL_ADDR] = "kernel_addr",
    [FW_CFG_KERNEL_SIZE] = "kernel_size",
    [FW_CFG_KERNEL_CMDLINE] = "kernel_cmdline",
    [FW_CFG_INITRD_ADDR] = "initrd_addr",
    [FW_CFG_INITRD_SIZE] = "initrd_size",
    [FW_CFG_BOOT_DEVICE] = "boot_device",
    [FW_CFG_NUMA] = "numa",
    [FW_CFG_BOOT_MENU] = "boot_menu",
    [FW_CFG_MAX_CPUS] = "max_cpus",
    [FW_CFG_KERNEL_ENTRY] = "kernel_entry",
    [FW_CFG_KERNEL_DATA] = "kernel_data",
    [FW_CFG_INITRD_DATA] = "initrd_data",
    [FW_CFG_CMDLINE_ADDR] = "cmdline_addr",
    [FW_CFG_CMDLINE_SIZE] = "cmdline_size",
    [FW_CFG_CMDLINE_DATA] = "cmdline_data",
    [FW_CFG_SETUP_ADDR] = "setup_addr",
    [FW_CFG_SETUP_SIZE] = "setup_size",
    [FW_CFG_SETUP_DATA] = "setup_data",
    [FW_CFG_FILE_DIR] = "file_dir",
};

static const char *const arch_names[] = {"acpi_tables", "smbios_entries", "irq0_override",
                                         "e820_table", "hpet"};

static struct item *find_item(struct fw_cfg *fw, uint16_t key)
{
    unsigned number = key & 0x3fff; /* bit 14 once meant writing */

    if (number < PLAIN_KEYS) {
        return &fw->plain[key >> 15][number];
    }
    if (!(key & FW_CFG_ARCH_LOCAL) && number - PLAIN_KEYS < fw->files) {
        return &fw->file[number - PLAIN_KEYS].item;
    }
    return NULL;
}

static const char *key_name(const struct fw_cfg *fw, uint16_t key)
{
    unsigned number = key & 0x3fff;
    const char *name = NULL;

    if (key & FW_CFG_ARCH_LOCAL) {
        name = number < sizeof arch_names / sizeof arch_names[0] ? arch_names[number] : NULL;
    } else if (number < PLAIN_KEYS) {
        name = key_names[number];
    } else if (number - PLAIN_KEYS < fw->files) {
        name = fw->file[number - PLAIN_KEYS].name;
    }
    return name ? name : "unknown";
}

static void set_item(struct item *item, const void *bytes, size_t size)
{
    free(item->bytes);
    item->bytes = mem_alloc(size ? size : 1);
    item->size = size;
    if (size) {
        memcpy(item->bytes, bytes, size);
    }
}

struct device *fw_cfg_of(const struct board *board)
{
    for (struct device *device = device_first(board); device; device = device->next) {
        if (!strcmp(device->class->name, "fw_cfg_io")) {
            return device;
        }
    }
    return NULL;
}

static void add_quietly(struct device *device, uint16_t key, const void *bytes, size_t size)
{
    struct fw_cfg *fw = (struct fw_cfg *)device;

    if ((key & 0x7fff) >= PLAIN_KEYS) {
        bug("fw_cfg: 0x%x is a file's key", key);
    }
    set_item(find_item(fw, key), bytes, size);
}

void fw_cfg_add_bytes(struct device *device, uint16_t key, const void *bytes, size_t size)
{
    trace_fw_cfg_add_bytes(key, key_name((struct fw_cfg *)device, key), size);
    add_quietly(device, key, bytes, size);
}

void fw_cfg_add_string(struct device *device, uint16_t key, const char *text)
{
    trace_fw_cfg_add_string(key, key_name((struct fw_cfg *)device, key), text);
    add_quietly(device, key, text, strlen(text) + 1);
}

void fw_cfg_add_i16(struct device *device, uint16_t key, uint16_t value)
{
    uint16_t little = htole16(value);

    trace_fw_cfg_add_i16(key, key_name((struct fw_cfg *)device, key), value);
    add_quietly(device, key, &little, sizeof little);
}

void fw_cfg_add_i32(struct device *device, uint16_t key, uint32_t value)
{
    uint32_t little = htole32(value);

    trace_fw_cfg_add_i32(key, key_name((struct fw_cfg *)device, key), value);
    add_quietly(device, key, &little, sizeof little);
}

void fw_cfg_add_i64(struct device *device, uint16_t key, uint64_t value)
{
    uint64_t little = htole64(value);

    trace_fw_cfg_add_i64(key, key_name((struct fw_cfg *)device, key), value);
    add_quietly(device, key, &little, sizeof little);
}

/* --- files --- */

static void put32(uint8_t *to, uint32_t value)
{
    value = htobe32(value);
    memcpy(to, &value, sizeof value);
}

static void make_directory(struct fw_cfg *fw)
{
    size_t size = 4 + fw->files * (size_t)ENTRY_SIZE;
    uint8_t *bytes = mem_alloc(size);

    put32(bytes, fw->files);
    for (unsigned i = 0; i < fw->files; i++) {
        uint8_t *entry = bytes + 4 + i * (size_t)ENTRY_SIZE;
        put32(entry, (uint32_t)fw->file[i].item.size);
        put32(entry + 4, (uint32_t)(FW_CFG_FILE_FIRST + i) << 16);
        memcpy(entry + 8, fw->file[i].name, FW_CFG_NAME_SIZE);
    }
    set_item(&fw->plain[0][FW_CFG_FILE_DIR], bytes, size);
    free(bytes);
}

static bool add_file(struct device *device, const char *name, const void *bytes, size_t size,
                     bool writable, struct error *err)
{
    struct fw_cfg *fw = (struct fw_cfg *)device;
    unsigned place = 0;

    if (!name[0] || strlen(name) > NAME_MAX_BYTES) {
        return error_set(err, "fw_cfg: the name of a file has 1 to %d bytes, '%s' does not",
                         NAME_MAX_BYTES, name);
    }
    if (size > UINT32_MAX) {
        return error_set(err, "fw_cfg: the file '%s' is larger than 4 GiB", name);
    }
    while (place < fw->files && strcmp(fw->file[place].name, name) < 0) {
        place++;
    }
    if (place < fw->files && !strcmp(fw->file[place].name, name)) {
        return error_set(err, "fw_cfg: there is a file '%s' already", name);
    }
    if (fw->files == FW_CFG_FILES) {
        return error_set(err, "fw_cfg: there is no room for '%s': %d files at most", name,
                         FW_CFG_FILES);
    }
    memmove(&fw->file[place + 1], &fw->file[place], (fw->files - place) * sizeof fw->file[0]);
    fw->files++;
    memset(&fw->file[place], 0, sizeof fw->file[place]);
    strcpy(fw->file[place].name, name);
    set_item(&fw->file[place].item, bytes, size);
    fw->file[place].item.writable = writable;
    trace_fw_cfg_add_file(fw, (int)place, fw->file[place].name, size);
    make_directory(fw);
    return true;
}

bool fw_cfg_add_file(struct device *device, const char *name, const void *bytes, size_t size,
                     struct error *err)
{
    return add_file(device, name, bytes, size, false, err);
}

bool fw_cfg_add_writable(struct device *device, const char *name, const void *bytes, size_t size,
                         struct error *err)
{
    return add_file(device, name, bytes, size, true, err);
}

const void *fw_cfg_file(const struct device *device, const char *name, size_t *size)
{
    const struct fw_cfg *fw = (const struct fw_cfg *)device;

    for (unsigned i = 0; i < fw->files; i++) {
        if (!strcmp(fw->file[i].name, name)) {
            *size = fw->file[i].item.size;
            return fw->file[i].item.bytes;
        }
    }
    return NULL;
}

/* --- the guest's side --- */

static void select_key(struct fw_cfg *fw, uint16_t key)
{
    bool found = find_item(fw, key) != NULL;

    fw->key = found ? key : NO_ITEM;
    fw->position = 0;
    trace_fw_cfg_select(fw, key, key_name(fw, key), found);
}

/* Bytes of the item from the position on; behind its end there are zeros. */
static void read_bytes(struct fw_cfg *fw, uint8_t *to, uint32_t count)
{
    const struct item *item = fw->key == NO_ITEM ? NULL : find_item(fw, fw->key);
    size_t left = item && fw->position < item->size ? item->size - fw->position : 0;
    uint32_t from_item = left < count ? (uint32_t)left : count;

    if (from_item) {
        memcpy(to, item->bytes + fw->position, from_item);
    }
    memset(to + from_item, 0, count - from_item);
    fw->position += from_item;
}

static uint64_t read_port(void *opaque, uint64_t offset, unsigned size)
{
    uint8_t byte = 0;

    if (offset == DATA && size == 1) {
        read_bytes(opaque, &byte, 1);
        trace_fw_cfg_read(opaque, byte);
    }
    return byte;
}

static void write_port(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    /* Writing data by the port is a thing of the past. */
    if (offset == SELECTOR && size == 2) {
        select_key(opaque, (uint16_t)value);
    }
}

/* --- DMA --- */

static bool dma_to_guest(struct fw_cfg *fw, uint64_t address, uint32_t length)
{
    uint8_t chunk[CHUNK];

    while (length) {
        uint32_t count = length < CHUNK ? length : CHUNK;
        read_bytes(fw, chunk, count);
        if (dma_write(&fw->device, address, chunk, count) != MEM_OK) {
            return false;
        }
        address += count;
        length -= count;
    }
    return true;
}

static bool dma_from_guest(struct fw_cfg *fw, uint64_t address, uint32_t length)
{
    struct item *item = fw->key == NO_ITEM ? NULL : find_item(fw, fw->key);

    if (!item || !item->writable || fw->position > item->size ||
        length > item->size - fw->position ||
        dma_read(&fw->device, address, item->bytes + fw->position, length) != MEM_OK) {
        return false;
    }
    fw->position += length;
    return true;
}

static void skip(struct fw_cfg *fw, uint32_t length)
{
    const struct item *item = fw->key == NO_ITEM ? NULL : find_item(fw, fw->key);
    size_t left = item && fw->position < item->size ? item->size - fw->position : 0;

    fw->position += left < length ? (uint32_t)left : length;
}

static void run_dma(struct fw_cfg *fw)
{
    struct {
        uint32_t control, length;
        uint64_t address;
    } access;
    uint64_t at = fw->dma_address;
    bool good = true;

    fw->dma_address = 0;
    if (dma_read(&fw->device, at, &access, sizeof access) != MEM_OK) {
        device_guest_error(&fw->device, "DMA access at 0x%llx, where no memory is",
                           (unsigned long long)at);
        access.control = htobe32(DMA_ERROR);
        dma_write(&fw->device, at, &access.control, sizeof access.control);
        return;
    }
    uint32_t control = be32toh(access.control), length = be32toh(access.length);
    uint64_t address = be64toh(access.address);
    if (control & DMA_SELECT) {
        select_key(fw, (uint16_t)(control >> 16));
    }
    if (control & DMA_READ) {
        good = dma_to_guest(fw, address, length);
    } else if (control & DMA_WRITE) {
        good = dma_from_guest(fw, address, length);
    } else if (control & DMA_SKIP) {
        skip(fw, length);
    }
    if (!good) {
        device_guest_error(&fw->device, "DMA of %u bytes at 0x%llx of key 0x%x failed", length,
                           (unsigned long long)address, fw->key);
    }
    control = htobe32(good ? 0 : DMA_ERROR);
    dma_write(&fw->device, at, &control, sizeof control);
}

static uint64_t read_dma(void *opaque, uint64_t offset, unsigned size)
{
    uint64_t value = 0;

    (void)opaque;
    memcpy(&value, dma_signature + offset, size);
    return value;
}

/* Big-endian: the high half first, the low half begins it. */
static void write_dma(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    struct fw_cfg *fw = opaque;

    if (size == 8) {
        fw->dma_address = __builtin_bswap64(value);
        run_dma(fw);
    } else if (offset == 0) {
        fw->dma_address = (uint64_t)__builtin_bswap32((uint32_t)value) << 32;
    } else {
        fw->dma_address |= __builtin_bswap32((uint32_t)value);
        run_dma(fw);
    }
}

/* --- the device --- */

static const struct mem_register port_registers[] = {
    {SELECTOR, 2, MEM_W, "selector", NULL},
    {DATA, 1, MEM_R, "data", NULL},
    {0, 0, 0, NULL, NULL},
};

static const struct mem_register dma_registers[] = {
    {0, 4, MEM_RW, "dma-high", NULL},
    {4, 4, MEM_RW, "dma-low", NULL},
    {0, 0, 0, NULL, NULL},
};

static const struct mem_ops port_ops = {
    .read = read_port,
    .write = write_port,
    .valid_min = 1,
    .valid_max = 2,
    .registers = port_registers,
};

static const struct mem_ops dma_ops = {
    .read = read_dma,
    .write = write_dma,
    .valid_min = 4,
    .valid_max = 8,
    .registers = dma_registers,
};

static bool fw_cfg_realize(struct device *device, struct error *err)
{
    struct fw_cfg *fw = (struct fw_cfg *)device;

    (void)err;
    fw_cfg_add_bytes(device, FW_CFG_SIGNATURE, "QEMU", 4);
    fw_cfg_add_i32(device, FW_CFG_ID, ID_TRADITIONAL | (fw->dma ? (unsigned)ID_DMA : 0));
    make_directory(fw);
    mem_init_io(&fw->ports, "fwcfg", 2, &port_ops, fw);
    mem_add(device->board->port_root, &fw->ports, BASE, 0);
    if (fw->dma) {
        mem_init_io(&fw->dma_ports, "fwcfg.dma", 8, &dma_ops, fw);
        mem_add(device->board->port_root, &fw->dma_ports, DMA_BASE, 0);
    }
    return true;
}

static void fw_cfg_reset(struct device *device)
{
    struct fw_cfg *fw = (struct fw_cfg *)device;

    fw->dma_address = 0;
    select_key(fw, FW_CFG_SIGNATURE);
}

static void fw_cfg_free(struct device *device)
{
    struct fw_cfg *fw = (struct fw_cfg *)device;

    for (unsigned i = 0; i < PLAIN_KEYS; i++) {
        free(fw->plain[0][i].bytes);
        free(fw->plain[1][i].bytes);
    }
    for (unsigned i = 0; i < fw->files; i++) {
        free(fw->file[i].item.bytes);
    }
    mem_free(&fw->ports);
    mem_free(&fw->dma_ports);
}

static const struct device_property fw_cfg_properties[] = {
    {.name = "dma_enabled",
     .type = PROPERTY_BOOL,
     .offset = offsetof(struct fw_cfg, dma),
     .initial = true,
     .help = "the DMA register is there"},
    {.name = NULL},
};

static const struct device_field fw_cfg_state[] = {
    FIELD(struct fw_cfg, key, FIELD_U16),
    FIELD(struct fw_cfg, position, FIELD_U32),
    FIELD(struct fw_cfg, dma_address, FIELD_U64),
    FIELD_END,
};

static const struct device_class fw_cfg_class = {
    .name = "fw_cfg_io",
    .help = "firmware configuration",
    .bus = "System",
    .category = "Misc",
    .size = sizeof(struct fw_cfg),
    .properties = fw_cfg_properties,
    .state = fw_cfg_state,
    .realize = fw_cfg_realize,
    .reset = fw_cfg_reset,
    .free = fw_cfg_free,
};
DEVICE(fw_cfg_class)
