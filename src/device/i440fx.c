/* SPDX-License-Identifier: MIT
 *
 * The host bridge of the PC: Intel 82441FX PCI and Memory Controller (data sheet 290549). Two
 * devices: the one with the ports 0xcf8 and 0xcfc and the PCI bus, and its face on that bus, which
 * decides what of RAM is seen.
 *
 *     0          640K      768K        1M              below 4G          4G
 *     |   RAM     | VGA (PCI) | 13 windows |    RAM         |  PCI hole  | RAM ...
 *                 ^ SMRAM       ^ PAM0-PAM6: each RAM or PCI, for reads and for writes
 *
 * Ids and the values after reset are those of QEMU's pc, as its guests see them.
 */
#include "device/i440fx.h"

#include <inttypes.h>
#include <string.h>

#include "base/memory.h"
#include "device/pci.h"
#include "trace-device.h"

/* Configuration registers of the 82441FX. */
enum {
    PMCCFG = 0x50,
    DETURBO = 0x52,
    DBC = 0x53,
    AXC = 0x54,
    DRT = 0x55,
    DRAMC = 0x57,
    DRAMT = 0x58,
    PAM0 = 0x59,
    DRB0 = 0x60,
    FDHC = 0x68,
    MTT = 0x70,
    CLT = 0x71,
    SMRAM = 0x72,
    ERRCMD = 0x90,
    ERRSTS = 0x91,
    TRC = 0x93,
};

enum {
    PAM_READ = 1, /* reads are of RAM, else of the PCI bus */
    PAM_WRITE = 2,
    SMRAM_ENABLE = 0x08, /* G_SMRAME */
    SMRAM_LOCK = 0x10,   /* D_LCK */
    SMRAM_CLOSED = 0x20, /* D_CLS */
    SMRAM_OPEN = 0x40,   /* D_OPEN */
    TRC_RESET_CPU = 0x04,
};

/* Value after reset, and the bits that the guest may change. */
static const struct bridge_register {
    uint8_t offset, bytes, initial, writable;
} bridge_registers[] = {
    {PMCCFG, 2, 0, 0xff},   {DETURBO, 1, 0, 0xff},  {DBC, 1, 0, 0xff},    {AXC, 1, 0, 0xff},
    {DRT, 2, 0, 0xff},      {DRAMC, 1, 0x10, 0xff}, {DRAMT, 1, 0, 0xff},  {PAM0, 1, 0, 0x30},
    {PAM0 + 1, 6, 0, 0x33}, {DRB0, 8, 0, 0xff},     {FDHC, 1, 0, 0xc0},   {MTT, 1, 0, 0xf8},
    {CLT, 1, 0, 0x1f},      {SMRAM, 1, 0x02, 0x78}, {ERRCMD, 1, 0, 0x1f}, {TRC, 1, 0, 0x0e},
};

enum { BRIDGE_REGISTERS = sizeof(bridge_registers) / sizeof(bridge_registers[0]) };

enum {
    WINDOWS = 13,
    WINDOW_SIZE = 0x4000,
    VGA_START = 0xa0000,
    VGA_SIZE = 0x20000,
    HIGH_START = 0x100000,
};

static const uint64_t four_gib = 1ull << 32;

/* A part of the first megabyte. One of its three regions is enabled. */
struct window {
    struct mem_region ram;  /* read, or read and written */
    struct mem_region pci;  /* neither */
    struct mem_region both; /* written only: writes go to RAM, reads to the bus */
    struct bridge *bridge;
    uint32_t start, size;
    uint8_t pam; /* as it is shown */
};

struct host {
    struct device device;
    struct pci_bus bus;
    struct pci_bus *other_bus; /* that the board had before */
    struct bridge *bridge;
    uint32_t address; /* CONFADD */
    struct mem_region *ram;
    struct mem_region pci, smram, address_port, data_port;
    struct i440fx_reset_control reset_control;
};

struct bridge {
    struct pci_device pci;
    struct host *host;
    /* Below 640 KiB, from 1 MiB and from 4 GiB on; with SMRAM open, and in that mode. */
    struct mem_region ram_base, ram_low, ram_high, ram_open, ram_smm;
    struct mem_region vga; /* 640 KiB to 768 KiB of the bus */
    struct mem_space *bus; /* what PCI alone shows */
    struct window window[WINDOWS];
};

/* --- configuration ports --- */

enum {
    CONFADD_ENABLE = 1u << 31,
    CONFADD_BITS = 0x80fffffc,
    RESET_CONTROL = 1, /* offset of port 0xcf9 */
};

static const struct mem_field confadd_fields[] = {{"CONE", 31, 1},   {"BUSNUM", 16, 8},
                                                  {"DEVNUM", 11, 5}, {"FUNCNUM", 8, 3},
                                                  {"REGNUM", 2, 6},  {NULL, 0, 0}};
static const struct mem_register address_registers[] = {{0, 4, MEM_RW, "CONFADD", confadd_fields},
                                                        {0, 0, 0, NULL, NULL}};
static const struct mem_register data_registers[] = {{0, 4, MEM_RW, "CONFDATA", NULL},
                                                     {0, 0, 0, NULL, NULL}};

/* Only a doubleword is CONFADD; bytes and words are ports of the buses behind (3.1). */
static uint64_t address_read(void *opaque, uint64_t offset, unsigned size)
{
    struct host *host = opaque;
    if (size == 4)
        return host->address;
    uint64_t value = UINT64_MAX;
    if (offset == RESET_CONTROL && size == 1 && host->reset_control.read)
        value = host->reset_control.read(host->reset_control.opaque);
    return value;
}

static void address_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    struct host *host = opaque;
    if (size == 4) {
        host->address = (uint32_t)value & CONFADD_BITS;
        trace_i440fx_config_address(host->address);
    } else if (offset == RESET_CONTROL && size == 1 && host->reset_control.write) {
        host->reset_control.write(host->reset_control.opaque, (uint8_t)value);
    }
}

static uint64_t data_read(void *opaque, uint64_t offset, unsigned size)
{
    struct host *host = opaque;
    uint32_t at = host->address;
    if (!(at & CONFADD_ENABLE))
        return UINT64_MAX;
    return pci_config_read(&host->bus, at >> 16 & 0xff, at >> 8 & 0xff,
                           (at & 0xfc) + (unsigned)offset, size);
}

static void data_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    struct host *host = opaque;
    uint32_t at = host->address;
    if (at & CONFADD_ENABLE)
        pci_config_write(&host->bus, at >> 16 & 0xff, at >> 8 & 0xff,
                         (at & 0xfc) + (unsigned)offset, (uint32_t)value, size);
}

static const struct mem_ops address_ops = {.read = address_read,
                                           .write = address_write,
                                           .valid_max = 4,
                                           .valid_unaligned = true,
                                           .registers = address_registers};
static const struct mem_ops data_ops = {.read = data_read,
                                        .write = data_write,
                                        .valid_max = 4,
                                        .valid_unaligned = true,
                                        .registers = data_registers};

/* --- what is seen --- */

/* Attributes of a window: PAM0 has one, in its upper half; the others two. */
static unsigned pam_of(const struct bridge *bridge, unsigned window)
{
    const uint8_t *pam = bridge->pci.config + PAM0;
    unsigned byte = window == WINDOWS - 1 ? 0 : 1 + window / 2;
    unsigned upper = window == WINDOWS - 1 ? 1 : window & 1;
    return pam[byte] >> (upper ? 4 : 0) & (PAM_READ | PAM_WRITE);
}

static uint64_t window_read(void *opaque, uint64_t offset, unsigned size)
{
    struct window *window = opaque;
    uint64_t value;
    mem_load(window->bridge->bus, MEM_BY_DEVICE, window->start + offset, &value, size);
    return value;
}

static void window_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    struct window *window = opaque;
    struct mem_region *ram = window->bridge->host->ram;
    uint64_t at = window->start + offset;
    if (!ram)
        return;
    memcpy(mem_host(ram) + at, &value, size);
    mem_written(ram, at, size);
}

static const struct mem_ops window_ops = {.read = window_read, .write = window_write};

static void show_window(struct bridge *bridge, unsigned i)
{
    struct window *window = &bridge->window[i];
    unsigned pam = bridge->host->ram ? pam_of(bridge, i) : 0;
    bool write_only = pam == PAM_WRITE;
    if (pam != window->pam)
        trace_i440fx_pam(window->start, window->size, pam & PAM_READ, (pam & PAM_WRITE) != 0);
    window->pam = (uint8_t)pam;
    mem_enable(&window->pci, pam == 0);
    mem_enable(&window->both, write_only);
    if (bridge->host->ram) {
        mem_set_readonly(&window->ram, !(pam & PAM_WRITE));
        mem_enable(&window->ram, pam & PAM_READ);
    }
}

static void show_smram(struct bridge *bridge)
{
    uint8_t smram = bridge->pci.config[SMRAM];
    bool enabled = smram & SMRAM_ENABLE;
    bool open = enabled && (smram & SMRAM_OPEN) && bridge->host->ram;
    trace_i440fx_smram(enabled, open, (smram & SMRAM_LOCK) != 0);
    mem_enable(&bridge->vga, !open);
    if (bridge->host->ram) {
        mem_enable(&bridge->ram_open, open);
        mem_enable(&bridge->ram_smm, enabled);
    }
}

static void show(struct bridge *bridge)
{
    struct mem_region *root = bridge->pci.device.board->memory_root;
    mem_begin(root);
    mem_begin(&bridge->host->smram);
    for (unsigned i = 0; i < WINDOWS; i++)
        show_window(bridge, i);
    show_smram(bridge);
    mem_commit(&bridge->host->smram);
    mem_commit(root);
}

/* --- the bridge on its bus --- */

static bool touches(unsigned offset, unsigned size, unsigned first, unsigned last)
{
    return offset <= last && offset + size > first;
}

/* A locked SMRAM is closed, and only a reset opens it (3.2.20). */
static void smram_written(struct bridge *bridge)
{
    uint8_t *config = bridge->pci.config;
    if (config[SMRAM] & SMRAM_LOCK) {
        config[SMRAM] &= (uint8_t)~SMRAM_OPEN;
        bridge->pci.writable[SMRAM] = SMRAM_CLOSED | SMRAM_ENABLE;
    } else {
        bridge->pci.writable[SMRAM] = 0x78;
    }
}

static void bridge_config_written(struct pci_device *pci, unsigned offset, unsigned size)
{
    struct bridge *bridge = (struct bridge *)pci;
    bool smram = touches(offset, size, SMRAM, SMRAM);
    if (smram)
        smram_written(bridge);
    if (smram || touches(offset, size, PAM0, PAM0 + 6))
        show(bridge);
    /* The reset begins as the bit rises; no guest sees it up. */
    if (touches(offset, size, TRC, TRC) && (pci->config[TRC] & TRC_RESET_CPU)) {
        struct board *board = pci->device.board;
        pci->config[TRC] &= (uint8_t)~TRC_RESET_CPU;
        board->request(board, BOARD_RESET, 0);
    }
}

static void make_window(struct bridge *bridge, unsigned i)
{
    struct window *window = &bridge->window[i];
    struct mem_region *root = bridge->pci.device.board->memory_root;
    struct host *host = bridge->host;
    bool last = i == WINDOWS - 1;
    window->bridge = bridge;
    window->start = 0xc0000 + i * WINDOW_SIZE;
    window->size = last ? 4 * WINDOW_SIZE : WINDOW_SIZE;
    mem_init_alias(&window->pci, "pam-pci", &host->pci, window->start, window->size);
    mem_add(root, &window->pci, window->start, 1);
    mem_init_io(&window->both, "pam-write", window->size, &window_ops, window);
    mem_enable(&window->both, false);
    mem_add(root, &window->both, window->start, 1);
    if (!host->ram)
        return;
    mem_init_alias(&window->ram, "pam-ram", host->ram, window->start, window->size);
    mem_enable(&window->ram, false);
    mem_add(root, &window->ram, window->start, 1);
}

/* A part of RAM that is seen where it lies. */
static void make_part(struct bridge *bridge, struct mem_region *part, const char *name,
                      struct mem_region *container, uint64_t start, uint64_t end)
{
    mem_init_alias(part, name, bridge->host->ram, start, end - start);
    mem_add(container, part, start, 0);
}

static void make_ram(struct bridge *bridge)
{
    struct mem_region *ram = bridge->host->ram, *root = bridge->pci.device.board->memory_root;
    const uint64_t low = i440fx_below_4g(ram->size), vga_end = VGA_START + VGA_SIZE;
    make_part(bridge, &bridge->ram_base, "ram-below-640k", root, 0, VGA_START);
    if (low > HIGH_START)
        make_part(bridge, &bridge->ram_low, "ram-below-4g", root, HIGH_START, low);
    if (ram->size > low) {
        mem_init_alias(&bridge->ram_high, "ram-above-4g", ram, low, ram->size - low);
        mem_add(root, &bridge->ram_high, four_gib, 0);
    }
    make_part(bridge, &bridge->ram_open, "smram-open", root, VGA_START, vga_end);
    mem_enable(&bridge->ram_open, false);
    make_part(bridge, &bridge->ram_smm, "smram-low", &bridge->host->smram, VGA_START, vga_end);
    mem_enable(&bridge->ram_smm, false);
}

static bool bridge_realize(struct device *device, struct error *err)
{
    struct bridge *bridge = (struct bridge *)device;
    struct mem_region *root = device->board->memory_root;
    bridge->host = (struct host *)i440fx_of(device->board);
    if (!bridge->host || bridge->host->bridge)
        return error_set(err, "a machine has one device %s, and its host bridge makes it",
                         device->class->name);
    if (!pci_device_init(&bridge->pci, err))
        return false;
    bridge->host->bridge = bridge;
    for (unsigned i = 0; i < BRIDGE_REGISTERS; i++) {
        const struct bridge_register *reg = &bridge_registers[i];
        memset(bridge->pci.writable + reg->offset, reg->writable, reg->bytes);
    }
    bridge->pci.write_one_clears[ERRSTS] = 0x13;
    bridge->bus = mem_space_new("pci", &bridge->host->pci);
    mem_begin(root);
    if (bridge->host->ram)
        make_ram(bridge);
    mem_init_alias(&bridge->vga, "smram-region", &bridge->host->pci, VGA_START, VGA_SIZE);
    mem_add(root, &bridge->vga, VGA_START, 1);
    for (unsigned i = 0; i < WINDOWS; i++)
        make_window(bridge, i);
    mem_commit(root);
    return true;
}

static void bridge_reset(struct device *device)
{
    struct bridge *bridge = (struct bridge *)device;
    pci_device_reset(&bridge->pci);
    for (unsigned i = 0; i < BRIDGE_REGISTERS; i++) {
        const struct bridge_register *reg = &bridge_registers[i];
        memset(bridge->pci.config + reg->offset, reg->initial, reg->bytes);
    }
    bridge->pci.config[ERRSTS] = 0;
    smram_written(bridge);
    show(bridge);
}

static bool bridge_loaded(struct device *device, struct error *err)
{
    struct bridge *bridge = (struct bridge *)device;
    (void)err;
    smram_written(bridge);
    show(bridge);
    return true;
}

static void bridge_free(struct device *device)
{
    struct bridge *bridge = (struct bridge *)device;
    if (!bridge->host || bridge->host->bridge != bridge)
        return;
    for (unsigned i = 0; i < WINDOWS; i++) {
        mem_free(&bridge->window[i].ram);
        mem_free(&bridge->window[i].pci);
        mem_free(&bridge->window[i].both);
    }
    mem_free(&bridge->vga);
    mem_free(&bridge->ram_open);
    mem_free(&bridge->ram_smm);
    mem_free(&bridge->ram_base);
    mem_free(&bridge->ram_low);
    mem_free(&bridge->ram_high);
    mem_space_free(bridge->bus);
    bridge->host->bridge = NULL;
    pci_device_free(&bridge->pci);
}

static const struct pci_class bridge_pci = {
    .vendor = 0x8086,
    .device = 0x1237,
    .class = 0x0600,
    .revision = 2,
    .config_written = bridge_config_written,
};

static const struct device_class bridge_class = {
    .name = "i440FX",
    .help = "Host bridge",
    .bus = "PCI",
    .category = "Bridge",
    .size = sizeof(struct bridge),
    .realize = bridge_realize,
    .reset = bridge_reset,
    .loaded = bridge_loaded,
    .free = bridge_free,
    .bus_class = &bridge_pci,
};
DEVICE(bridge_class)

/* --- the host --- */

static bool host_realize(struct device *device, struct error *err)
{
    struct host *host = (struct host *)device;
    struct board *board = device->board;
    if (board->pci && i440fx_of(board))
        return error_set(err, "a machine has one device %s", device->class->name);
    if (host->ram && host->ram->size < HIGH_START)
        return error_set(err, "a PC needs at least 1 MiB of memory, not %" PRIu64 " bytes",
                         host->ram->size);
    mem_init_container(&host->pci, "pci", UINT64_MAX);
    mem_add(board->memory_root, &host->pci, 0, -1);
    mem_init_container(&host->smram, "smram", four_gib);
    mem_init_io(&host->address_port, "pci-conf-idx", 4, &address_ops, host);
    mem_add(board->port_root, &host->address_port, 0xcf8, 0);
    mem_init_io(&host->data_port, "pci-conf-data", 4, &data_ops, host);
    mem_add(board->port_root, &host->data_port, 0xcfc, 0);
    pci_bus_init(&host->bus, "pci.0", board, &host->pci, board->port_root);
    host->other_bus = board->pci;
    board->pci = &host->bus;
    struct device *bridge = device_new(&bridge_class, board);
    ((struct bridge *)bridge)->pci.devfn = 0;
    return device_realize(bridge, err);
}

static void host_reset(struct device *device)
{
    ((struct host *)device)->address = 0;
}

static bool host_loaded(struct device *device, struct error *err)
{
    (void)err;
    ((struct host *)device)->address &= CONFADD_BITS;
    return true;
}

static void host_free(struct device *device)
{
    struct host *host = (struct host *)device;
    struct board *board = device->board;
    if (host->bridge)
        device_free(&host->bridge->pci.device);
    mem_free(&host->address_port);
    mem_free(&host->data_port);
    mem_free(&host->smram);
    mem_free(&host->pci);
    if (board->pci == &host->bus)
        board->pci = host->other_bus;
}

static const struct device_field host_state[] = {
    FIELD(struct host, address, FIELD_U32),
    FIELD_END,
};

static const struct device_bus host_buses[] = {{"pci.0", "PCI"}, {NULL, NULL}};

static const struct device_class host_class = {
    .name = "i440FX-pcihost",
    .help = "PCI host of the PC",
    .bus = "System",
    .category = "Bridge",
    .size = sizeof(struct host),
    .state = host_state,
    .realize = host_realize,
    .reset = host_reset,
    .loaded = host_loaded,
    .free = host_free,
    .buses = host_buses,
};
DEVICE(host_class)

uint64_t i440fx_below_4g(uint64_t ram)
{
    /* As QEMU's pc: what is more than fits is cut at a whole gigabyte. */
    const uint64_t most = 0xe0000000, cut = 0xc0000000;
    return ram < most ? ram : cut;
}

struct device *i440fx_of(const struct board *board)
{
    for (struct device *device = device_first(board); device; device = device->next) {
        if (device->class == &host_class && board->pci == &((struct host *)device)->bus)
            return device;
    }
    return NULL;
}

struct device *i440fx_new(struct board *board, struct mem_region *ram, struct error *err)
{
    struct device *device = device_new(&host_class, board);
    ((struct host *)device)->ram = ram;
    return device_realize(device, err) ? device : NULL;
}

struct mem_region *i440fx_pci_memory(struct device *host)
{
    return &((struct host *)host)->pci;
}

struct mem_region *i440fx_smram(struct device *host)
{
    return &((struct host *)host)->smram;
}

void i440fx_set_reset_control(struct device *host, const struct i440fx_reset_control *control)
{
    ((struct host *)host)->reset_control = *control;
}
