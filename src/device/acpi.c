/* SPDX-License-Identifier: MIT
 *
 * ACPI tables of the PC (ACPI Specification 6.3, chapter 5; IA-PC HPET Specification 1.0a, 3.2.4).
 *
 * Firmware places them: all lie in one file, pointers in them are offsets into it, and the loader's
 * script says which bytes are pointers and which checksums (the specification of fw_cfg's
 * "etc/table-loader"). */
#include "device/acpi.h"

#include <string.h>

#include "base/strbuf.h"
#include "device/acpi_aml.h"
#include "device/fw_cfg.h"
#include "device/piix4_pm.h"

static const char tables_file[] = "etc/acpi/tables", rsdp_file[] = "etc/acpi/rsdp";

enum {
    HEADER_LENGTH = 4,
    HEADER_CHECKSUM = 9,
    TABLES_MAX = 16,
    FACS_SIZE = 64,
    FADT_SIZE = 244,
    RSDP_SIZE = 36,
    RSDP_SIZE_1 = 20, /* of ACPI 1.0, which the first checksum is for */
};

enum {
    PM_BASE = 0x600, /* where SeaBIOS puts it */
    RESET_PORT = 0xcf9,
    RESET_VALUE = 6,
    CMOS_CENTURY = 0x32,
    LOCAL_APIC = 0xfee00000,
    IO_APIC = 0xfec00000,
    HPET = 0xfed00000,
    HPET_SIZE_OF_REGISTERS = 0x400,
    HPET_ID = 0x8086a201, /* Intel's, three comparators of 64 bits, legacy routing */
};

/* --- building --- */

struct builder {
    struct strbuf tables, script;
    uint32_t table[TABLES_MAX]; /* offsets of those that RSDT and XSDT list */
    unsigned count;
};

static void put(struct strbuf *to, uint64_t value, unsigned size)
{
    for (unsigned i = 0; i < size; i++) {
        strbuf_putc(to, (char)(value >> 8 * i));
    }
}

static void put_zeros(struct strbuf *to, size_t count)
{
    for (; count; count--) {
        strbuf_putc(to, 0);
    }
}

static void set(struct strbuf *in, size_t offset, uint64_t value, unsigned size)
{
    for (unsigned i = 0; i < size; i++) {
        in->data[offset + i] = (char)(value >> 8 * i);
    }
}

static void align(struct strbuf *to, size_t alignment)
{
    put_zeros(to, (alignment - to->len % alignment) % alignment);
}

/* --- the loader's script: commands of 128 bytes --- */

enum loader_command { LOADER_ALLOCATE = 1, LOADER_ADD_POINTER = 2, LOADER_ADD_CHECKSUM = 3 };
enum loader_zone { LOADER_HIGH = 1, LOADER_F_SEGMENT = 2 };
enum { LOADER_ENTRY = 128 };

static void put_name(struct strbuf *to, const char *name)
{
    strbuf_add(to, name, strlen(name));
    put_zeros(to, FW_CFG_NAME_SIZE - strlen(name));
}

static void end_command(struct strbuf *script)
{
    align(script, LOADER_ENTRY);
}

static void load_file(struct builder *build, const char *file, uint32_t alignment,
                      enum loader_zone zone)
{
    put(&build->script, LOADER_ALLOCATE, 4);
    put_name(&build->script, file);
    put(&build->script, alignment, 4);
    put(&build->script, zone, 1);
    end_command(&build->script);
}

/* At `offset` of `file` there is an offset into the tables. */
static void add_pointer(struct builder *build, const char *file, size_t offset, uint8_t size)
{
    put(&build->script, LOADER_ADD_POINTER, 4);
    put_name(&build->script, file);
    put_name(&build->script, tables_file);
    put(&build->script, offset, 4);
    put(&build->script, size, 1);
    end_command(&build->script);
}

static void add_checksum(struct builder *build, const char *file, size_t offset, size_t start,
                         size_t length)
{
    put(&build->script, LOADER_ADD_CHECKSUM, 4);
    put_name(&build->script, file);
    put(&build->script, offset, 4);
    put(&build->script, start, 4);
    put(&build->script, length, 4);
    end_command(&build->script);
}

/* --- tables --- */

/* Begins a table; its offset. */
static size_t begin_table(struct builder *build, const char *signature, uint8_t revision)
{
    struct strbuf *tables = &build->tables;

    align(tables, 16);
    size_t at = tables->len;
    strbuf_add(tables, signature, 4);
    put(tables, 0, 4); /* length */
    put(tables, revision, 1);
    put(tables, 0, 1); /* checksum */
    strbuf_add(tables, "VITRIN", 6);
    strbuf_add(tables, "VITRN", 5);
    strbuf_add(tables, signature, 3);
    put(tables, 1, 4);
    strbuf_add(tables, "VTRN", 4);
    put(tables, 1, 4);
    return at;
}

static void end_table(struct builder *build, size_t at)
{
    size_t length = build->tables.len - at;

    set(&build->tables, at + HEADER_LENGTH, length, 4);
    add_checksum(build, tables_file, at + HEADER_CHECKSUM, at, length);
}

static void list_table(struct builder *build, size_t at)
{
    build->table[build->count++] = (uint32_t)at;
}

/* A generic address: ports. */
static void put_ports(struct strbuf *to, uint64_t port, unsigned bytes)
{
    put(to, port ? 1 : 0, 1);
    put(to, port ? bytes * 8 : 0, 1);
    put(to, 0, 2);
    put(to, port, 8);
}

static size_t add_facs(struct builder *build)
{
    align(&build->tables, FACS_SIZE);
    size_t at = build->tables.len;
    strbuf_add(&build->tables, "FACS", 4);
    put(&build->tables, FACS_SIZE, 4);
    put_zeros(&build->tables, FACS_SIZE - 8);
    return at;
}

/* Events, control, timer and GPE of the PIIX4 (82371AB data sheet, 7.2). */
static const struct {
    uint16_t port;
    uint8_t size;
} pm_blocks[] = {
    {PM_BASE, 4},     /* PM1a events */
    {0, 0},           /* PM1b events */
    {PM_BASE + 4, 2}, /* PM1a control */
    {0, 0},           /* PM1b control */
    {0, 0},           /* PM2 control */
    {PM_BASE + 8, 4}, /* timer */
    {PIIX4_GPE0, PIIX4_GPE0_SIZE},
    {0, 0}, /* GPE1 */
};
enum { PM_BLOCKS = sizeof pm_blocks / sizeof pm_blocks[0] };

enum fadt_flags {
    FADT_WBINVD = 1 << 0,
    FADT_C1 = 1 << 2,
    FADT_SLEEP_BUTTON = 1 << 5, /* there is none */
    FADT_RTC_S4 = 1 << 7,
    FADT_RESET_REGISTER = 1 << 10,
};

static void add_fadt(struct builder *build, size_t facs, size_t dsdt, bool has_keyboard)
{
    struct strbuf *to = &build->tables;
    size_t at = begin_table(build, "FACP", 3);

    put(to, facs, 4);
    put(to, dsdt, 4);
    put(to, 0, 1);
    put(to, 0, 1); /* no profile */
    put(to, PIIX4_SCI, 2);
    put(to, PIIX4_SMI_COMMAND, 4);
    put(to, PIIX4_ACPI_ENABLE, 1);
    put(to, PIIX4_ACPI_DISABLE, 1);
    put(to, 0, 2); /* S4BIOS, P-states */
    for (unsigned i = 0; i < PM_BLOCKS; i++) {
        put(to, pm_blocks[i].port, 4);
    }
    static const uint8_t lengths[] = {4, 2, 0, 4, PIIX4_GPE0_SIZE, 0};
    strbuf_add(to, lengths, sizeof lengths);
    put(to, 0, 2);     /* GPE1's first, C-states */
    put(to, 0xfff, 2); /* no C2 */
    put(to, 0xfff, 2); /* no C3 */
    put(to, 0, 4);     /* WBINVD flushes */
    put(to, 0, 2);     /* duty cycle */
    put(to, 0, 2);     /* alarms by day and month */
    put(to, CMOS_CENTURY, 1);
    put(to, 1 | (has_keyboard ? 2 : 0), 2); /* ISA devices, 8042 */
    put(to, 0, 1);
    put(to, FADT_WBINVD | FADT_C1 | FADT_SLEEP_BUTTON | FADT_RTC_S4 | FADT_RESET_REGISTER, 4);
    put_ports(to, RESET_PORT, 1);
    put(to, RESET_VALUE, 1);
    put(to, 0, 3);
    put(to, facs, 8);
    put(to, dsdt, 8);
    for (unsigned i = 0; i < PM_BLOCKS; i++) {
        put_ports(to, pm_blocks[i].port, pm_blocks[i].size);
    }
    if (to->len - at != FADT_SIZE) {
        bug("the FADT has %zu bytes", to->len - at);
    }
    add_pointer(build, tables_file, at + 36, 4);
    add_pointer(build, tables_file, at + 40, 4);
    add_pointer(build, tables_file, at + 132, 8);
    add_pointer(build, tables_file, at + 140, 8);
    end_table(build, at);
    list_table(build, at);
}

enum madt { MADT_LOCAL_APIC = 0, MADT_IO_APIC = 1, MADT_OVERRIDE = 2, MADT_LOCAL_NMI = 4 };

static void put_override(struct strbuf *to, uint8_t line, uint32_t input, uint16_t flags)
{
    put(to, MADT_OVERRIDE, 1);
    put(to, 10, 1);
    put(to, 0, 1); /* ISA */
    put(to, line, 1);
    put(to, input, 4);
    put(to, flags, 2);
}

static void add_madt(struct builder *build, const struct acpi_machine *machine)
{
    static const uint8_t pci_lines[] = {5, 9, 10, 11};
    struct strbuf *to = &build->tables;
    size_t at = begin_table(build, "APIC", 1);

    put(to, LOCAL_APIC, 4);
    put(to, 1, 4); /* and two 8259 */
    for (unsigned i = 0; i < machine->cpus_max; i++) {
        put(to, MADT_LOCAL_APIC, 1);
        put(to, 8, 1);
        put(to, i, 1);
        put(to, i, 1);
        put(to, i < machine->cpus, 4);
    }
    put(to, MADT_IO_APIC, 1);
    put(to, 12, 1);
    put(to, 0, 2);
    put(to, IO_APIC, 4);
    put(to, 0, 4); /* first input */
    put_override(to, 0, 2, 0);
    for (size_t i = 0; i < sizeof pci_lines; i++) {
        put_override(to, pci_lines[i], pci_lines[i], 0xd); /* active high, level */
    }
    put(to, MADT_LOCAL_NMI, 1);
    put(to, 6, 1);
    put(to, 0xff, 1); /* of all processors */
    put(to, 0, 2);
    put(to, 1, 1); /* LINT1 */
    end_table(build, at);
    list_table(build, at);
}

static void add_hpet(struct builder *build)
{
    struct strbuf *to = &build->tables;
    size_t at = begin_table(build, "HPET", 1);

    put(to, HPET_ID, 4);
    put(to, 0, 4); /* a generic address: memory */
    put(to, HPET, 8);
    put(to, 0, 1); /* the first one */
    put(to, 0, 2);
    put(to, 0, 1);
    end_table(build, at);
    list_table(build, at);
}

/* --- definition blocks --- */

/* _CRS = ResourceTemplate { ports, line }. */
static void isa_resources(struct aml *aml, uint16_t port, uint8_t ports, unsigned line)
{
    aml_name(aml, "_CRS");
    aml_begin_resources(aml);
    aml_resource_io(aml, port, ports);
    aml_resource_irq(aml, line);
    aml_end_resources(aml);
}

static void begin_device(struct aml *aml, const char *name, const char *id)
{
    aml_begin_named(aml, AML_EXT_DEVICE, name);
    aml_name(aml, "_HID");
    aml_eisa(aml, id);
}

static void keyboard_and_mouse(struct aml *aml)
{
    begin_device(aml, "KBD", "PNP0303");
    aml_name(aml, "_CRS");
    aml_begin_resources(aml);
    aml_resource_io(aml, 0x60, 1);
    aml_resource_io(aml, 0x64, 1);
    aml_resource_irq(aml, 1);
    aml_end_resources(aml);
    aml_end(aml);
    begin_device(aml, "MOU", "PNP0F13");
    aml_name(aml, "_CRS");
    aml_begin_resources(aml);
    aml_resource_irq(aml, 12);
    aml_end_resources(aml);
    aml_end(aml);
}

static void floppy(struct aml *aml)
{
    begin_device(aml, "FDC0", "PNP0700");
    aml_name(aml, "_CRS");
    aml_begin_resources(aml);
    aml_resource_io(aml, 0x3f2, 4);
    aml_resource_io(aml, 0x3f7, 1);
    aml_resource_irq(aml, 6);
    aml_resource_dma(aml, 2);
    aml_end_resources(aml);
    aml_end(aml);
}

static void serial_ports(struct aml *aml, const struct acpi_machine *machine)
{
    static const struct {
        const char *name;
        uint16_t port;
        uint8_t line;
    } com[ACPI_COM_PORTS] = {
        {"COM1", 0x3f8, 4}, {"COM2", 0x2f8, 3}, {"COM3", 0x3e8, 4}, {"COM4", 0x2e8, 3}};

    for (unsigned i = 0; i < ACPI_COM_PORTS; i++) {
        if (machine->has_com[i]) {
            begin_device(aml, com[i].name, "PNP0501");
            aml_name_integer(aml, "_UID", i + 1);
            isa_resources(aml, com[i].port, 8, com[i].line);
            aml_end(aml);
        }
    }
}

/* The ISA bridge, 00:01.0, whose configuration routes the PCI interrupts (82371SB data sheet,
 * PIRQRC[A:D]). */
static void isa_bridge(struct aml *aml, const struct acpi_machine *machine)
{
    static const char *const routes[] = {"PRQ0", "PRQ1", "PRQ2", "PRQ3"};

    aml_begin_named(aml, AML_EXT_DEVICE, "ISA");
    aml_name_integer(aml, "_ADR", 0x00010000);
    aml_region(aml, "P40C", AML_PCI_CONFIG, 0x60, 4);
    aml_begin_field(aml, "P40C");
    for (unsigned i = 0; i < 4; i++) {
        aml_field_part(aml, routes[i], 8);
    }
    aml_end(aml);
    begin_device(aml, "RTC", "PNP0B00");
    isa_resources(aml, 0x70, 2, 8);
    aml_end(aml);
    if (machine->has_keyboard) {
        keyboard_and_mouse(aml);
    }
    if (machine->has_floppy) {
        floppy(aml);
    }
    serial_ports(aml, machine);
    aml_end(aml);
}

/* Interrupt link `number`, 0 to 3; its register is PRQn, of which bit 7 means off:
 *
 *      Method (_STA) { Local0 = 0x0B; If (PRQn & 0x80) { Local0 = 0x09 }; Return (Local0) }
 *      Method (_DIS) { PRQn |= 0x80 }
 *      Method (_CRS) { Return (IQCR (PRQn)) }
 *      Method (_SRS, 1) { CreateDWordField (Arg0, 5, PRRI); PRQn = PRRI }
 */
static void interrupt_link(struct aml *aml, unsigned number)
{
    static const uint8_t lines[] = {5, 10, 11};
    static const char *const names[] = {"LNKA", "LNKB", "LNKC", "LNKD"};
    static const char *const routes[] = {"^PCI0.ISA.PRQ0", "^PCI0.ISA.PRQ1", "^PCI0.ISA.PRQ2",
                                         "^PCI0.ISA.PRQ3"};
    char route[32] = "^";

    strcat(route, routes[number]); /* seen from a method of the device */
    begin_device(aml, names[number], "PNP0C0F");
    aml_name_integer(aml, "_UID", number + 1);
    aml_name(aml, "_PRS");
    aml_begin_resources(aml);
    aml_resource_interrupts(aml, lines, sizeof lines);
    aml_end_resources(aml);

    aml_begin_method(aml, "_STA", 0, false);
    aml_op(aml, AML_STORE);
    aml_integer(aml, 0x0b);
    aml_op(aml, AML_LOCAL0);
    aml_begin(aml, AML_IF);
    aml_op(aml, AML_AND);
    aml_path(aml, route);
    aml_integer(aml, 0x80);
    aml_byte(aml, 0); /* no target */
    aml_op(aml, AML_STORE);
    aml_integer(aml, 0x09);
    aml_op(aml, AML_LOCAL0);
    aml_end(aml);
    aml_op(aml, AML_RETURN);
    aml_op(aml, AML_LOCAL0);
    aml_end(aml);

    aml_begin_method(aml, "_DIS", 0, false);
    aml_op(aml, AML_OR);
    aml_path(aml, route);
    aml_integer(aml, 0x80);
    aml_path(aml, route);
    aml_end(aml);

    aml_begin_method(aml, "_CRS", 0, false);
    aml_op(aml, AML_RETURN);
    aml_path(aml, "IQCR");
    aml_path(aml, route);
    aml_end(aml);

    aml_begin_method(aml, "_SRS", 1, true);
    aml_op(aml, AML_CREATE_DWORD_FIELD);
    aml_op(aml, AML_ARG0);
    aml_integer(aml, 5);
    aml_path(aml, "PRRI");
    aml_op(aml, AML_STORE);
    aml_path(aml, "PRRI");
    aml_path(aml, route);
    aml_end(aml);
    aml_end(aml);
}

/* Method (IQCR, 1, Serialized): the resources of a link whose register has this value; its line is
 * at offset 5 of the descriptor. */
static void link_resources(struct aml *aml)
{
    static const uint8_t none[] = {0};

    aml_begin_method(aml, "IQCR", 1, true);
    aml_name(aml, "PRR0");
    aml_begin_resources(aml);
    aml_resource_interrupts(aml, none, 1);
    aml_end_resources(aml);
    aml_op(aml, AML_CREATE_DWORD_FIELD);
    aml_path(aml, "PRR0");
    aml_integer(aml, 5);
    aml_path(aml, "PRRI");
    aml_begin(aml, AML_IF);
    aml_op(aml, AML_LESS);
    aml_op(aml, AML_ARG0);
    aml_integer(aml, 0x80);
    aml_op(aml, AML_STORE);
    aml_op(aml, AML_ARG0);
    aml_path(aml, "PRRI");
    aml_end(aml);
    aml_op(aml, AML_RETURN);
    aml_path(aml, "PRR0");
    aml_end(aml);
}

/* The link of the power management's interrupt, which is wired to line 9. */
static void sci_link(struct aml *aml)
{
    static const uint8_t line[] = {PIIX4_SCI};
    static const char *const names[] = {"_PRS", "_CRS"};

    begin_device(aml, "LNKS", "PNP0C0F");
    aml_name_integer(aml, "_UID", 5);
    for (unsigned i = 0; i < 2; i++) {
        aml_name(aml, names[i]);
        aml_begin_resources(aml);
        aml_resource_interrupts(aml, line, 1);
        aml_end_resources(aml);
    }
    aml_begin_method(aml, "_STA", 0, false);
    aml_op(aml, AML_RETURN);
    aml_integer(aml, 0x0b);
    aml_end(aml);
    aml_begin_method(aml, "_DIS", 0, false);
    aml_end(aml);
    aml_begin_method(aml, "_SRS", 1, false);
    aml_end(aml);
    aml_end(aml);
}

/* _PRT: pin of slot -> link (pin + slot - 1) mod 4. Slot 1's INTA is the power management's. */
static void routing(struct aml *aml)
{
    static const char *const links[] = {"\\_SB.LNKA", "\\_SB.LNKB", "\\_SB.LNKC", "\\_SB.LNKD"};
    enum { SLOTS = 32, PINS = 4 };

    aml_name(aml, "_PRT");
    aml_begin_package(aml, SLOTS * PINS);
    for (unsigned slot = 0; slot < SLOTS; slot++) {
        for (unsigned pin = 0; pin < PINS; pin++) {
            bool sci = slot == 1 && pin == 0;
            aml_begin_package(aml, 4);
            aml_integer(aml, slot << 16 | 0xffff);
            aml_integer(aml, pin);
            aml_path(aml, sci ? "\\_SB.LNKS" : links[(pin + slot + PINS - 1) % PINS]);
            aml_integer(aml, 0);
            aml_end(aml);
        }
    }
    aml_end(aml);
}

static void host_bridge(struct aml *aml, const struct acpi_machine *machine)
{
    begin_device(aml, "PCI0", "PNP0A03");
    aml_name_integer(aml, "_UID", 0);
    aml_name(aml, "_CRS");
    aml_begin_resources(aml);
    aml_resource_bus_numbers(aml, 0, 0xff);
    aml_resource_io(aml, 0xcf8, 8);
    aml_resource_window_io(aml, 0, 0xcf7);
    aml_resource_window_io(aml, 0xd00, 0xffff);
    aml_resource_window_memory(aml, 0xa0000, 0xbffff, true);
    aml_resource_window_memory(aml, machine->hole_first, machine->hole_last, false);
    aml_end_resources(aml);
    routing(aml);
    isa_bridge(aml, machine);
    aml_end(aml);
}

static void timer_device(struct aml *aml)
{
    begin_device(aml, "HPET", "PNP0103");
    aml_name_integer(aml, "_UID", 0);
    aml_name(aml, "_CRS");
    aml_begin_resources(aml);
    aml_resource_memory(aml, HPET, HPET_SIZE_OF_REGISTERS);
    aml_end_resources(aml);
    aml_end(aml);
}

/* Name (STATE, Package {TYPE, TYPE, 0, 0}): what goes into SUS_TYP. */
static void sleep_state(struct aml *aml, const char *state, unsigned type)
{
    aml_name(aml, state);
    aml_begin_package(aml, 4);
    aml_integer(aml, type);
    aml_integer(aml, type);
    aml_integer(aml, 0);
    aml_integer(aml, 0);
    aml_end(aml);
}

static size_t add_block(struct builder *build, const char *signature, struct aml *aml)
{
    size_t at = begin_table(build, signature, 1);

    strbuf_add(&build->tables, aml->bytes.data, aml->bytes.len);
    aml_free(aml);
    end_table(build, at);
    return at;
}

static size_t add_dsdt(struct builder *build, const struct acpi_machine *machine)
{
    struct aml aml;

    aml_init(&aml);
    aml_begin_named(&aml, AML_SCOPE, "\\_SB");
    host_bridge(&aml, machine);
    link_resources(&aml);
    for (unsigned i = 0; i < 4; i++) {
        interrupt_link(&aml, i);
    }
    sci_link(&aml);
    if (machine->has_hpet) {
        timer_device(&aml);
    }
    aml_end(&aml);
    sleep_state(&aml, "\\_S5", 0);
    return add_block(build, "DSDT", &aml);
}

/* Processors, a device each; _UID is the number in the MADT. */
static void add_ssdt(struct builder *build, const struct acpi_machine *machine)
{
    struct aml aml;
    char name[] = "C000";

    aml_init(&aml);
    aml_begin_named(&aml, AML_SCOPE, "\\_SB");
    for (unsigned i = 0; i < machine->cpus_max; i++) {
        name[2] = "0123456789ABCDEF"[i >> 4];
        name[3] = "0123456789ABCDEF"[i & 15];
        aml_begin_named(&aml, AML_EXT_DEVICE, name);
        aml_name(&aml, "_HID");
        aml_string(&aml, "ACPI0007");
        aml_name_integer(&aml, "_UID", i);
        aml_end(&aml);
    }
    aml_end(&aml);
    list_table(build, add_block(build, "SSDT", &aml));
}

/* --- roots --- */

/* RSDT with pointers of four bytes, XSDT with eight. */
static size_t add_root(struct builder *build, const char *signature, uint8_t pointer)
{
    size_t at = begin_table(build, signature, 1);

    for (unsigned i = 0; i < build->count; i++) {
        add_pointer(build, tables_file, build->tables.len, pointer);
        put(&build->tables, build->table[i], pointer);
    }
    end_table(build, at);
    return at;
}

static void make_rsdp(struct builder *build, struct strbuf *rsdp, size_t rsdt, size_t xsdt)
{
    strbuf_add(rsdp, "RSD PTR ", 8);
    put(rsdp, 0, 1);
    strbuf_add(rsdp, "VITRIN", 6);
    put(rsdp, 2, 1); /* ACPI 2.0 and later */
    put(rsdp, rsdt, 4);
    put(rsdp, RSDP_SIZE, 4);
    put(rsdp, xsdt, 8);
    put(rsdp, 0, 4);
    load_file(build, rsdp_file, 16, LOADER_F_SEGMENT);
    add_pointer(build, rsdp_file, 16, 4);
    add_pointer(build, rsdp_file, 24, 8);
    add_checksum(build, rsdp_file, 8, 0, RSDP_SIZE_1);
    add_checksum(build, rsdp_file, 32, 0, RSDP_SIZE);
}

bool acpi_add_tables(struct device *fw_cfg, const struct acpi_machine *machine, struct error *err)
{
    struct builder build = {.count = 0};
    struct strbuf rsdp;

    if (!machine->cpus || machine->cpus > machine->cpus_max || machine->cpus_max > ACPI_CPUS_MAX) {
        return error_set(err, "ACPI tables describe 1 to %d processors, not %u of %u",
                         ACPI_CPUS_MAX, machine->cpus, machine->cpus_max);
    }
    if (machine->hole_first >= machine->hole_last) {
        return error_set(err, "there is no room for memory of PCI devices below 4 GiB");
    }
    strbuf_init(&build.tables);
    strbuf_init(&build.script);
    strbuf_init(&rsdp);
    load_file(&build, tables_file, FACS_SIZE, LOADER_HIGH);
    size_t facs = add_facs(&build), dsdt = add_dsdt(&build, machine);
    add_fadt(&build, facs, dsdt, machine->has_keyboard);
    add_ssdt(&build, machine);
    add_madt(&build, machine);
    if (machine->has_hpet) {
        add_hpet(&build);
    }
    size_t rsdt = add_root(&build, "RSDT", 4), xsdt = add_root(&build, "XSDT", 8);
    make_rsdp(&build, &rsdp, rsdt, xsdt);
    bool good =
        fw_cfg_add_file(fw_cfg, tables_file, build.tables.data, build.tables.len, err) &&
        fw_cfg_add_file(fw_cfg, rsdp_file, rsdp.data, rsdp.len, err) &&
        fw_cfg_add_file(fw_cfg, "etc/table-loader", build.script.data, build.script.len, err);
    strbuf_free(&build.tables);
    strbuf_free(&build.script);
    strbuf_free(&rsdp);
    return good;
}
