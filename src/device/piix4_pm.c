/* SPDX-License-Identifier: MIT
 *
 * The PC's power management: Intel 82371AB (PIIX4, data sheet 290562), function 3. ACPI events and
 * the timer, soft-off, software SMIs, and the SMBus host, which has no devices on its bus.
 *
 *     configuration 0x40, 0x80   PM registers, 64 ports  ->  SCI: interrupt 9
 *     configuration 0x90, 0xd2   SMBus host, 16 ports    ->  interrupt 9, or SMI
 *     ports 0xb2, 0xb3           APM control and status  ->  SMI
 *     port 0xafe0                general purpose events 0, where QEMU's pc has them
 */
#include "device/piix4_pm.h"

#include <string.h>

#include "device/isa.h"
#include "device/pci.h"
#include "trace-device.h"

/* Configuration registers (7.1, 7.2). */
enum {
    PMBA = 0x40,
    CNTA = 0x44,
    DEVACTB = 0x58,
    DEVRESA = 0x5c,
    PMREGMISC = 0x80,
    SMBBA = 0x90,
    SMBHSTCFG = 0xd2,
    SMBREV = 0xd6,
};

enum {
    PMIOSE = 1,           /* PMREGMISC: the PM registers are there */
    DEVACTB_APMC = 0x02,  /* byte 3: writes of APMC make an SMI */
    SMB_ENABLE = 1,       /* SMBHSTCFG */
    SMB_INTERRUPT = 0x0e, /* where interrupts go: */
    SMB_TO_IRQ9 = 0x08,
};

static const struct config_register {
    uint8_t offset, bytes, initial, writable;
} config_registers[] = {
    {PMBA, 1, 0x01, 0xc0},        {PMBA + 1, 1, 0, 0xff},        {CNTA, 4, 0, 0xff},
    {CNTA + 4, 4, 0, 0xff},                                /* CNTB */
    {CNTA + 8, 4, 0, 0xff},       {CNTA + 12, 4, 0, 0xff}, /* GPICTL, DEVRESD */
    {CNTA + 16, 4, 0, 0xff},      {DEVACTB, 4, 0, 0xff},   /* DEVACTA */
    {DEVRESA, 3, 0, 0xff},        {DEVRESA + 3, 1, 0x90, 0xff},  {DEVRESA + 4, 3, 0, 0xff},
    {DEVRESA + 7, 1, 0x60, 0xff},                                /* DEVRESB */
    {DEVRESA + 8, 3, 0, 0xff},    {DEVRESA + 11, 1, 0x08, 0xff}, /* DEVRESC */
    {DEVRESA + 12, 16, 0, 0xff},                                 /* DEVRESE to DEVRESJ */
    {PMREGMISC, 1, 0, 0x01},      {SMBBA, 1, 0x01, 0xf0},        {SMBBA + 1, 1, 0, 0xff},
    {SMBHSTCFG, 1, 0x09, 0x0f},   {SMBHSTCFG + 1, 3, 0, 0xff}, /* SMBSLVC, SMBSHDW1, SMBSHDW2 */
};

enum { CONFIG_REGISTERS = sizeof(config_registers) / sizeof(config_registers[0]) };

/* --- PM registers (7.3) --- */

/* Register, port, bytes, value after reset, bits the guest may change, bits that writing 1 clears,
 * what access it has, its fields. */
#define PM_REGISTERS(_)                                       \
    _(PMSTS, 0x00, 2, 0, 0, 0x8d21, MEM_RW, status_fields)    \
    _(PMEN, 0x02, 2, 0, 0x0521, 0, MEM_RW, status_fields)     \
    _(PMCNTRL, 0x04, 2, 0, 0x1c03, 0, MEM_RW, control_fields) \
    _(PMTMR, 0x08, 4, 0, 0, 0, MEM_R, NULL)                   \
    _(GPSTS, 0x0c, 2, 0, 0, 0x0f81, MEM_RW, NULL)             \
    _(GPEN, 0x0e, 2, 0, 0x0f01, 0, MEM_RW, NULL)              \
    _(PCNTRL, 0x10, 4, 0, 0x00003e1e, 0, MEM_RW, NULL)        \
    _(PLVL2, 0x14, 1, 0, 0, 0, MEM_R, NULL)                   \
    _(PLVL3, 0x15, 1, 0, 0, 0, MEM_R, NULL)                   \
    _(GLBSTS, 0x18, 2, 0, 0, 0x0d27, MEM_RW, NULL)            \
    _(DEVSTS, 0x1c, 4, 0, 0, 0x3fff0000, MEM_RW, NULL)        \
    _(GLBEN, 0x20, 2, 0, 0x8d1f, 0, MEM_RW, NULL)             \
    _(GLBCTL, 0x28, 4, 0, 0x0701ff05, 0, MEM_RW, NULL)        \
    _(DEVCTL, 0x2c, 4, 0, 0x0fffffff, 0, MEM_RW, NULL)        \
    _(GPIREG, 0x30, 4, 0, 0, 0, MEM_R, NULL)                  \
    _(GPOREG, 0x34, 4, 0x7fffbfff, 0x7fffffff, 0, MEM_RW, NULL)

enum pm_register {
#define PM_ENUM(name, port, bytes, initial, writable, clears, access, fields) PM_##name,
    PM_REGISTERS(PM_ENUM)
#undef PM_ENUM
        PM_COUNT,
};

static const struct pm_row {
    uint8_t port, bytes;
    uint32_t initial, writable, clears;
} pm_rows[] = {
#define PM_ROW(name, port, bytes, initial, writable, clears, access, fields) \
    {port, bytes, initial, writable, clears},
    PM_REGISTERS(PM_ROW)
#undef PM_ROW
};

static const struct mem_field status_fields[] = {
    {"TMROF", 0, 1}, {"GBL", 5, 1},       {"PWRBTN", 8, 1}, {"RTC", 10, 1},
    {"RSM", 15, 1},  {"PWRBTNOR", 11, 1}, {NULL, 0, 0}};
static const struct mem_field control_fields[] = {
    {"SCI_EN", 0, 1}, {"SUS_TYP", 10, 3}, {"SUS_EN", 13, 1}, {NULL, 0, 0}};
enum {
    PM_SIZE = 64,
    STS_TIMER = 0x0001,
    STS_GLOBAL = 0x0020,
    STS_BUTTON = 0x0100,
    STS_RESUME = 0x8000,
    SCI_ENABLED = 0x0001, /* PMCNTRL */
    GLOBAL_RELEASE = 0x0004,
    SUSPEND = 0x2000,
    SUSPEND_TYPE_SHIFT = 10,
    GLB_BIOS = 0x01,    /* GLBSTS and GLBEN: the global lock was released */
    GLB_APM = 0x20,     /* GLBSTS */
    SMI_ENABLED = 0x01, /* GLBCTL */
    BIOS_RELEASE = 0x02,
    TIMER_BITS = 24,
};

enum suspend_type { SOFT_OFF = 0, TO_RAM = 1, TO_DISK = 2 };

/* --- SMBus host (7.4) --- */

enum smb_register {
    SMBHSTSTS,
    SMBSLVSTS,
    SMBHSTCNT,
    SMBHSTCMD,
    SMBHSTADD,
    SMBHSTDAT0,
    SMBHSTDAT1,
    SMBBLKDAT,
    SMBSLVCNT,
    SMBSHDWCMD,
    SMBSLVEVT,
    SMBSLVDAT = 12,
    SMB_SIZE = 16,
};

enum {
    SMB_INTR = 0x02,   /* SMBHSTSTS: finished */
    SMB_ERROR = 0x04,  /* nobody acknowledged */
    SMB_FAILED = 0x10, /* killed */
    SMB_CLEARABLE = 0x1e,
    SMB_SLAVE_CLEARABLE = 0x3c,
    SMB_INTERRUPTS = 0x01, /* SMBHSTCNT */
    SMB_KILL = 0x02,
    SMB_PROTOCOL = 0x1c,
    SMB_START = 0x40,
    SMB_BLOCK = 32,
};

static const struct mem_register smb_registers[] = {{SMBHSTSTS, 1, MEM_RW, "SMBHSTSTS", NULL},
                                                    {SMBSLVSTS, 1, MEM_RW, "SMBSLVSTS", NULL},
                                                    {SMBHSTCNT, 1, MEM_RW, "SMBHSTCNT", NULL},
                                                    {SMBHSTCMD, 1, MEM_RW, "SMBHSTCMD", NULL},
                                                    {SMBHSTADD, 1, MEM_RW, "SMBHSTADD", NULL},
                                                    {SMBHSTDAT0, 1, MEM_RW, "SMBHSTDAT0", NULL},
                                                    {SMBHSTDAT1, 1, MEM_RW, "SMBHSTDAT1", NULL},
                                                    {SMBBLKDAT, 1, MEM_RW, "SMBBLKDAT", NULL},
                                                    {SMBSLVCNT, 1, MEM_RW, "SMBSLVCNT", NULL},
                                                    {SMBSHDWCMD, 1, MEM_R, "SMBSHDWCMD", NULL},
                                                    {SMBSLVEVT, 2, MEM_RW, "SMBSLVEVT", NULL},
                                                    {SMBSLVDAT, 2, MEM_R, "SMBSLVDAT", NULL},
                                                    {0, 0, 0, NULL, NULL}};

struct piix4_pm {
    struct pci_device pci;
    uint32_t smb_io_base;
    uint8_t disable_s3, disable_s4, s4_val;
    bool smm_enabled;
    struct irq sci, smi;
    struct mem_region pm_ports, smb_ports, apm_ports, gpe_ports;
    /* state */
    uint32_t pm[PM_COUNT];
    uint64_t overflow;  /* tick at which the timer's highest bit changes next, unless it has */
    struct timer timer; /* fires then */
    uint8_t gpe[PIIX4_GPE0_SIZE];
    uint8_t apm_control, apm_status;
    uint8_t smb[SMB_SIZE];
    uint8_t block[SMB_BLOCK], block_at;
    bool sci_level;
};

static struct piix4_pm *pm_of(struct device *device)
{
    return (struct piix4_pm *)device;
}

/* --- interrupts --- */

static void raise_smi(struct piix4_pm *pm)
{
    if (!(pm->pm[PM_GLBCTL] & SMI_ENABLED))
        return;
    trace_piix4_pm_smi(pm->apm_control);
    irq_pulse(pm->smi);
}

static bool smb_wants_irq9(const struct piix4_pm *pm)
{
    return (pm->smb[SMBHSTCNT] & SMB_INTERRUPTS) && (pm->smb[SMBHSTSTS] & SMB_CLEARABLE) &&
           (pm->pci.config[SMBHSTCFG] & SMB_INTERRUPT) == SMB_TO_IRQ9;
}

static void update_sci(struct piix4_pm *pm)
{
    bool event = pm->pm[PM_PMSTS] & pm->pm[PM_PMEN];
    for (unsigned i = 0; i < PIIX4_GPE0_SIZE / 2; i++)
        event |= pm->gpe[i] & pm->gpe[PIIX4_GPE0_SIZE / 2 + i];
    event |= (pm->pm[PM_GPSTS] & pm->pm[PM_GPEN]) != 0;
    bool level = (event && (pm->pm[PM_PMCNTRL] & SCI_ENABLED)) || smb_wants_irq9(pm);
    if (level == pm->sci_level)
        return;
    pm->sci_level = level;
    trace_piix4_pm_sci(level, (uint16_t)pm->pm[PM_PMSTS], (uint16_t)pm->pm[PM_PMEN]);
    irq_set(pm->sci, level);
}

/* --- the timer --- */

enum { NANOSECONDS = 1000000000 };

static uint64_t ticks(const struct piix4_pm *pm)
{
    return time_scale(clock_now(pm->pci.device.board->clock), PIIX4_PM_TIMER_HZ, NANOSECONDS);
}

/* The first nanosecond of a tick. */
static uint64_t tick_time(uint64_t tick)
{
    return (uint64_t)(((unsigned __int128)tick * NANOSECONDS + PIIX4_PM_TIMER_HZ - 1) /
                      PIIX4_PM_TIMER_HZ);
}

/* Until the guest has cleared the status, nothing more can happen. */
static void update_timer(struct piix4_pm *pm)
{
    if (!(pm->pm[PM_PMSTS] & STS_TIMER) && ticks(pm) >= pm->overflow)
        pm->pm[PM_PMSTS] |= STS_TIMER;
    bool waits = (pm->pm[PM_PMEN] & STS_TIMER) && !(pm->pm[PM_PMSTS] & STS_TIMER);
    timer_set(&pm->timer, waits ? tick_time(pm->overflow) : TIMER_NEVER);
    update_sci(pm);
}

static void next_overflow(struct piix4_pm *pm)
{
    const uint64_t half = 1u << (TIMER_BITS - 1);
    pm->overflow = (ticks(pm) / half + 1) * half;
}

static void timer_fires(void *opaque, uint64_t now)
{
    (void)now;
    update_timer(opaque);
}

/* --- PM ports --- */

static void go_to_sleep(struct piix4_pm *pm)
{
    struct board *board = pm->pci.device.board;
    unsigned type = pm->pm[PM_PMCNTRL] >> SUSPEND_TYPE_SHIFT & 7;
    trace_piix4_pm_sleep(type);
    if (type == SOFT_OFF || (type == pm->s4_val && !pm->disable_s4))
        board->request(board, BOARD_SHUTDOWN, 0);
    else if (type == TO_RAM && !pm->disable_s3)
        board->request(board, BOARD_SUSPEND, 0);
    else
        device_unimp(&pm->pci.device, "suspend type %u", type);
}

/* Bits that do something when they are written, and read as 0. */
static void pm_commands(struct piix4_pm *pm, enum pm_register reg, uint32_t value)
{
    switch (reg) {
    case PM_PMSTS:
        if (value & STS_TIMER)
            next_overflow(pm);
        break;
    case PM_PMCNTRL:
        if (value & GLOBAL_RELEASE) {
            pm->pm[PM_GLBSTS] |= GLB_BIOS;
            if (pm->pm[PM_GLBEN] & GLB_BIOS)
                raise_smi(pm);
        }
        if (value & SUSPEND)
            go_to_sleep(pm);
        break;
    case PM_GLBCTL:
        if (value & BIOS_RELEASE)
            pm->pm[PM_PMSTS] |= STS_GLOBAL;
        break;
    default: break;
    }
}

static uint64_t pm_read(void *opaque, uint64_t offset, unsigned size)
{
    struct piix4_pm *pm = opaque;
    uint32_t value = 0;
    update_timer(pm);
    pm->pm[PM_PMTMR] = (uint32_t)ticks(pm) & ((1u << TIMER_BITS) - 1);
    for (unsigned i = 0; i < PM_COUNT; i++) {
        const struct pm_row *row = &pm_rows[i];
        for (unsigned byte = 0; byte < row->bytes; byte++) {
            unsigned at = row->port + byte;
            if (at >= offset && at < offset + size)
                value |= (pm->pm[i] >> byte * 8 & 0xff) << (at - offset) * 8;
        }
    }
    trace_piix4_pm_read((unsigned)offset, size, value);
    return value;
}

static void pm_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    struct piix4_pm *pm = opaque;
    trace_piix4_pm_write((unsigned)offset, size, (uint32_t)value);
    update_timer(pm);
    for (unsigned i = 0; i < PM_COUNT; i++) {
        const struct pm_row *row = &pm_rows[i];
        uint32_t written = 0, mask = 0;
        for (unsigned byte = 0; byte < row->bytes; byte++) {
            unsigned at = row->port + byte;
            if (at < offset || at >= offset + size)
                continue;
            written |= (uint32_t)(value >> (at - offset) * 8 & 0xff) << byte * 8;
            mask |= 0xffu << byte * 8;
        }
        if (!mask)
            continue;
        uint32_t change = mask & row->writable;
        pm->pm[i] = ((pm->pm[i] & ~change) | (written & change)) & ~(written & row->clears);
        pm_commands(pm, (enum pm_register)i, written);
    }
    update_timer(pm);
}

static const struct mem_register pm_registers[] = {
#define PM_REGISTER(name, port, bytes, initial, writable, clears, access, fields) \
    {port, bytes, access, #name, fields},
    PM_REGISTERS(PM_REGISTER)
#undef PM_REGISTER
        {0, 0, 0, NULL, NULL}};

static const struct mem_ops pm_ops = {.read = pm_read,
                                      .write = pm_write,
                                      .valid_max = 4,
                                      .valid_unaligned = true,
                                      .registers = pm_registers};

/* --- general purpose events --- */

static uint64_t gpe_read(void *opaque, uint64_t offset, unsigned size)
{
    const struct piix4_pm *pm = opaque;
    trace_piix4_gpe_readb(offset, size, pm->gpe[offset]);
    return pm->gpe[offset];
}

static void gpe_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    struct piix4_pm *pm = opaque;
    trace_piix4_gpe_writeb(offset, size, value);
    if (offset < PIIX4_GPE0_SIZE / 2)
        pm->gpe[offset] &= (uint8_t)~value;
    else
        pm->gpe[offset] = (uint8_t)value;
    update_sci(pm);
}

static const struct mem_register gpe_registers[] = {
    {0, 2, MEM_RW, "GPE0_STS", NULL}, {2, 2, MEM_RW, "GPE0_EN", NULL}, {0, 0, 0, NULL, NULL}};
static const struct mem_ops gpe_ops = {.read = gpe_read,
                                       .write = gpe_write,
                                       .impl_max = 1,
                                       .valid_unaligned = true,
                                       .registers = gpe_registers};

/* --- APM --- */

enum { APMC, APMS };

static uint64_t apm_read(void *opaque, uint64_t offset, unsigned size)
{
    const struct piix4_pm *pm = opaque;
    uint8_t value = offset == APMC ? pm->apm_control : pm->apm_status;
    (void)size;
    trace_apm_io_read((uint8_t)offset, value);
    return value;
}

/* ACPI firmware would enable and disable the SCI in its SMI handler; the machine does it, so that
 * firmware needs none. */
static void acpi_command(struct piix4_pm *pm, uint8_t value)
{
    if (value == PIIX4_ACPI_ENABLE)
        pm->pm[PM_PMCNTRL] |= SCI_ENABLED;
    else if (value == PIIX4_ACPI_DISABLE)
        pm->pm[PM_PMCNTRL] &= ~(uint32_t)SCI_ENABLED;
    else
        return;
    update_timer(pm);
}

static void apm_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    struct piix4_pm *pm = opaque;
    (void)size;
    trace_apm_io_write((uint8_t)offset, (uint8_t)value);
    if (offset == APMS) {
        pm->apm_status = (uint8_t)value;
        return;
    }
    pm->apm_control = (uint8_t)value;
    acpi_command(pm, (uint8_t)value);
    if (pm->pci.config[DEVACTB + 3] & DEVACTB_APMC) {
        pm->pm[PM_GLBSTS] |= GLB_APM;
        raise_smi(pm);
    }
}

static const struct mem_register apm_registers[] = {
    {APMC, 1, MEM_RW, "APMC", NULL}, {APMS, 1, MEM_RW, "APMS", NULL}, {0, 0, 0, NULL, NULL}};
static const struct mem_ops apm_ops = {.read = apm_read,
                                       .write = apm_write,
                                       .impl_max = 1,
                                       .valid_unaligned = true,
                                       .registers = apm_registers};

/* --- SMBus --- */

/* The bus is empty: no address is acknowledged. */
static void smb_start(struct piix4_pm *pm)
{
    trace_piix4_smbus_transfer(pm->smb[SMBHSTADD], (pm->smb[SMBHSTCNT] & SMB_PROTOCOL) >> 2,
                               pm->smb[SMBHSTCMD]);
    pm->smb[SMBHSTSTS] |= SMB_ERROR;
}

static void smb_control(struct piix4_pm *pm, uint8_t value)
{
    pm->smb[SMBHSTCNT] = value & (SMB_INTERRUPTS | SMB_KILL | SMB_PROTOCOL);
    if (value & SMB_KILL)
        pm->smb[SMBHSTSTS] |= SMB_FAILED;
    else if (value & SMB_START)
        smb_start(pm);
    bool smi = (pm->pci.config[SMBHSTCFG] & SMB_INTERRUPT) == 0;
    if (smi && (value & SMB_INTERRUPTS) && (value & (SMB_START | SMB_KILL)))
        raise_smi(pm);
}

static uint64_t smb_read(void *opaque, uint64_t offset, unsigned size)
{
    struct piix4_pm *pm = opaque;
    (void)size;
    switch (offset) {
    case SMBHSTCNT:
        pm->block_at = 0; /* 7.4.8: reading it begins the block anew */
        return pm->smb[SMBHSTCNT];
    case SMBBLKDAT: return pm->block[pm->block_at++ % SMB_BLOCK];
    default: return pm->smb[offset];
    }
}

static void smb_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    struct piix4_pm *pm = opaque;
    uint8_t byte = (uint8_t)value;
    (void)size;
    switch (offset) {
    case SMBHSTSTS: pm->smb[offset] &= (uint8_t) ~(byte & SMB_CLEARABLE); break;
    case SMBSLVSTS: pm->smb[offset] &= (uint8_t) ~(byte & SMB_SLAVE_CLEARABLE); break;
    case SMBHSTCNT: smb_control(pm, byte); break;
    case SMBBLKDAT: pm->block[pm->block_at++ % SMB_BLOCK] = byte; break;
    case SMBSHDWCMD:
    case SMBSLVDAT:
    case SMBSLVDAT + 1:
    case SMBSLVDAT + 2: /* reserved, and the next */
    case SMBSLVDAT + 3: break;
    default: pm->smb[offset] = byte;
    }
    update_sci(pm);
}

static const struct mem_ops smb_ops = {.read = smb_read,
                                       .write = smb_write,
                                       .impl_max = 1,
                                       .valid_unaligned = true,
                                       .registers = smb_registers};

/* --- where it is --- */

static void show_ports(struct piix4_pm *pm)
{
    struct mem_region *root = pm->pci.device.board->port_root;
    const uint8_t *config = pm->pci.config;
    uint16_t pm_base = pci_get16(config + PMBA) & 0xffc0;
    uint16_t smb_base = pci_get16(config + SMBBA) & 0xfff0;
    bool pm_on = config[PMREGMISC] & PMIOSE, smb_on = config[SMBHSTCFG] & SMB_ENABLE;
    trace_piix4_pm_base(pm_base, pm_on, smb_base, smb_on);
    mem_begin(root);
    mem_move(&pm->pm_ports, pm_base);
    mem_enable(&pm->pm_ports, pm_on);
    mem_move(&pm->smb_ports, smb_base);
    mem_enable(&pm->smb_ports, smb_on);
    mem_commit(root);
}

static void config_written(struct pci_device *pci, unsigned offset, unsigned size)
{
    struct piix4_pm *pm = (struct piix4_pm *)pci;
    static const struct {
        uint8_t offset, bytes;
    } rows[] = {{PMBA, 2}, {PMREGMISC, 1}, {SMBBA, 2}, {SMBHSTCFG, 1}};
    for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (offset < rows[i].offset + rows[i].bytes && offset + size > rows[i].offset) {
            show_ports(pm);
            update_sci(pm);
            return;
        }
    }
}

/* --- the device --- */

void piix4_pm_powerdown(struct device *device)
{
    struct piix4_pm *pm = pm_of(device);
    pm->pm[PM_PMSTS] |= STS_BUTTON;
    update_sci(pm);
}

void piix4_pm_woken(struct device *device)
{
    struct piix4_pm *pm = pm_of(device);
    pm->pm[PM_PMSTS] |= STS_RESUME | STS_BUTTON;
    update_sci(pm);
}

static bool realize(struct device *device, struct error *err)
{
    struct piix4_pm *pm = pm_of(device);
    struct board *board = device->board;
    timer_init(&pm->timer, board->clock, timer_fires, pm);
    if (!board->isa)
        return error_set(err, "No 'ISA' bus found for device '%s'", device->class->name);
    if (!isa_irq(device, PIIX4_SCI, &pm->sci, err) || !pci_device_init(&pm->pci, err))
        return false;
    for (unsigned i = 0; i < CONFIG_REGISTERS; i++) {
        const struct config_register *reg = &config_registers[i];
        memset(pm->pci.writable + reg->offset, reg->writable, reg->bytes);
    }
    mem_init_io(&pm->pm_ports, "piix4-pm", PM_SIZE, &pm_ops, pm);
    mem_init_io(&pm->smb_ports, "pm-smbus", SMB_SIZE, &smb_ops, pm);
    mem_enable(&pm->pm_ports, false);
    mem_enable(&pm->smb_ports, false);
    mem_add(board->port_root, &pm->pm_ports, 0, 0);
    mem_add(board->port_root, &pm->smb_ports, 0, 0);
    mem_init_io(&pm->apm_ports, "apm-io", 2, &apm_ops, pm);
    mem_add(board->port_root, &pm->apm_ports, PIIX4_SMI_COMMAND, 0);
    mem_init_io(&pm->gpe_ports, "acpi-gpe0", PIIX4_GPE0_SIZE, &gpe_ops, pm);
    mem_add(board->port_root, &pm->gpe_ports, PIIX4_GPE0, 0);
    return true;
}

static void reset_config(struct piix4_pm *pm)
{
    uint8_t *config = pm->pci.config;
    pci_device_reset(&pm->pci);
    pci_set16(config + PCI_STATUS, 0x0280); /* fast back-to-back, medium DEVSEL# */
    for (unsigned i = 0; i < CONFIG_REGISTERS; i++) {
        const struct config_register *reg = &config_registers[i];
        memset(config + reg->offset, reg->initial, reg->bytes);
    }
    pci_set16(config + SMBBA, (uint16_t)((pm->smb_io_base & 0xfff0) | 1));
    /* Firmware that finds this set takes its SMI handler for installed, and makes none. */
    if (!pm->smm_enabled)
        config[DEVACTB + 3] |= DEVACTB_APMC;
}

static void reset(struct device *device)
{
    struct piix4_pm *pm = pm_of(device);
    reset_config(pm);
    for (unsigned i = 0; i < PM_COUNT; i++)
        pm->pm[i] = pm_rows[i].initial;
    memset(pm->gpe, 0, sizeof(pm->gpe));
    memset(pm->smb, 0, sizeof(pm->smb));
    memset(pm->block, 0, sizeof(pm->block));
    pm->block_at = 0;
    pm->apm_control = pm->apm_status = 0;
    show_ports(pm);
    next_overflow(pm);
    update_timer(pm);
}

static bool loaded(struct device *device, struct error *err)
{
    (void)err;
    show_ports(pm_of(device));
    return true;
}

static void end(struct device *device)
{
    struct piix4_pm *pm = pm_of(device);
    timer_stop(&pm->timer);
    mem_free(&pm->pm_ports);
    mem_free(&pm->smb_ports);
    mem_free(&pm->apm_ports);
    mem_free(&pm->gpe_ports);
    pci_device_free(&pm->pci);
}

static const struct device_field fields[] = {
    FIELD_ARRAY(struct piix4_pm, pm, FIELD_U32),
    FIELD(struct piix4_pm, overflow, FIELD_U64),
    FIELD(struct piix4_pm, timer, FIELD_TIMER),
    FIELD_ARRAY(struct piix4_pm, gpe, FIELD_U8),
    FIELD(struct piix4_pm, apm_control, FIELD_U8),
    FIELD(struct piix4_pm, apm_status, FIELD_U8),
    FIELD_ARRAY(struct piix4_pm, smb, FIELD_U8),
    FIELD_ARRAY(struct piix4_pm, block, FIELD_U8),
    FIELD(struct piix4_pm, block_at, FIELD_U8),
    FIELD(struct piix4_pm, sci_level, FIELD_BOOL),
    FIELD_END,
};

#define PROPERTY(name, type, initial, help)                                     \
    {                                                                           \
#name, type, offsetof(struct piix4_pm, name), initial, NULL, NULL, help \
    }

static const struct device_property properties[] = {
    PROPERTY(smb_io_base, PROPERTY_U32, 0, "ports of the SMBus host before firmware sets them"),
    PROPERTY(disable_s3, PROPERTY_U8, 0, "1: no suspend to RAM"),
    PROPERTY(disable_s4, PROPERTY_U8, 0, "1: no suspend to disk"),
    PROPERTY(s4_val, PROPERTY_U8, TO_DISK, "type of suspend to disk"),
    {"smm-enabled", PROPERTY_BOOL, offsetof(struct piix4_pm, smm_enabled), false, NULL, NULL, NULL},
    {NULL, PROPERTY_BOOL, 0, 0, NULL, NULL, NULL},
};

static const struct pci_class pci_face = {
    .vendor = 0x8086,
    .device = 0x7113,
    .class = 0x0680,
    .revision = 3,
    .pin = 1,
    .config_written = config_written,
};

static const struct device_class piix4_pm_class = {
    .name = "PIIX4_PM",
    .help = "PM",
    .bus = "PCI",
    .category = "Bridge",
    .size = sizeof(struct piix4_pm),
    .properties = properties,
    .state = fields,
    .realize = realize,
    .reset = reset,
    .loaded = loaded,
    .free = end,
    .bus_class = &pci_face,
};
DEVICE(piix4_pm_class)

struct device *piix4_pm_new(struct board *board, struct irq smi, struct error *err)
{
    struct device *device = device_new(&piix4_pm_class, board);
    struct piix4_pm *pm = pm_of(device);
    pm->pci.devfn = 1 << 3 | 3;
    pm->smb_io_base = PIIX4_SMBUS;
    pm->smi = smi;
    pm->smm_enabled = smi.set != NULL;
    return device_realize(device, err) ? device : NULL;
}
