/* SPDX-License-Identifier: MIT
 *
 * ACPI and SMBIOS tables: loaded as firmware does it, then read as an operating system does; AML
 * is disassembled and compiled again by ACPICA's iasl. */
#include "device/acpi.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#include <cmocka.h>

#include "device/acpi_aml.h"
#include "device/fw_cfg.h"
#include "device_harness.h"

enum { TABLES_AT = 0x7fe0000, RSDP_AT = 0xf5000 };

struct fixture {
    struct harness h;
    struct device *fw;
    uint8_t *tables, *rsdp; /* as loaded */
    size_t tables_size, rsdp_size;
    char folder[64];
};

static const struct acpi_machine full = {
    .cpus = 3,
    .cpus_max = 20,
    .hole_first = 0x08000000,
    .hole_last = 0xfebfffff,
    .has_hpet = true,
    .has_keyboard = true,
    .has_floppy = true,
    .has_com = {true, true, false, true},
};

static int set_up(void **state)
{
    struct fixture *f = *state = mem_alloc(sizeof *f);

    harness_begin(&f->h);
    f->fw = harness_add(&f->h, "fw_cfg_io", NULL);
    harness_reset(&f->h);
    strcpy(f->folder, "/tmp/vitrine-acpi-XXXXXX");
    return mkdtemp(f->folder) ? 0 : -1;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    char *command = mem_format("rm -r %s", f->folder);
    int failed = system(command);

    harness_end(&f->h);
    free(command);
    free(f->tables);
    free(f->rsdp);
    free(f);
    return failed;
}

static uint64_t get(const uint8_t *from, unsigned size)
{
    uint64_t value = 0;

    for (unsigned i = 0; i < size; i++) {
        value |= (uint64_t)from[i] << 8 * i;
    }
    return value;
}

static uint8_t sum(const uint8_t *bytes, size_t size)
{
    uint8_t total = 0;

    for (size_t i = 0; i < size; i++) {
        total = (uint8_t)(total + bytes[i]);
    }
    return total;
}

/* --- as firmware does it --- */

static uint8_t *file_of(struct fixture *f, const char *name, size_t *size)
{
    if (!strcmp(name, "etc/acpi/tables")) {
        *size = f->tables_size;
        return f->tables;
    }
    assert_string_equal(name, "etc/acpi/rsdp");
    *size = f->rsdp_size;
    return f->rsdp;
}

static uint8_t *copy(struct fixture *f, const char *name, size_t *size)
{
    const void *bytes = fw_cfg_file(f->fw, name, size);

    assert_non_null(bytes);
    uint8_t *mine = mem_alloc(*size);
    memcpy(mine, bytes, *size);
    return mine;
}

static void load(struct fixture *f)
{
    size_t size;
    const uint8_t *script = fw_cfg_file(f->fw, "etc/table-loader", &size);
    unsigned allocated = 0;

    assert_non_null(script);
    assert_int_equal(size % 128, 0);
    for (size_t at = 0; at < size; at += 128) {
        const uint8_t *command = script + at;
        size_t file_size;
        uint8_t *file;
        switch (get(command, 4)) {
        case 1:
            if (!strcmp((const char *)command + 4, "etc/acpi/tables")) {
                f->tables = copy(f, "etc/acpi/tables", &f->tables_size);
                assert_int_equal(get(command + 60, 4), 64);
                assert_int_equal(command[64], 1);
            } else {
                f->rsdp = copy(f, "etc/acpi/rsdp", &f->rsdp_size);
                assert_int_equal(get(command + 60, 4), 16);
                assert_int_equal(command[64], 2);
            }
            allocated++;
            break;
        case 2: {
            file = file_of(f, (const char *)command + 4, &file_size);
            assert_string_equal((const char *)command + 60, "etc/acpi/tables");
            uint64_t offset = get(command + 116, 4);
            unsigned width = command[120];
            assert_true(offset + width <= file_size);
            uint64_t value = get(file + offset, width);
            assert_true(value < f->tables_size);
            value += TABLES_AT;
            memcpy(file + offset, &value, width);
            break;
        }
        case 3: {
            file = file_of(f, (const char *)command + 4, &file_size);
            uint64_t where = get(command + 60, 4), start = get(command + 64, 4);
            uint64_t length = get(command + 68, 4);
            assert_true(where < file_size && start + length <= file_size);
            assert_int_equal(file[where], 0);
            file[where] = (uint8_t)-sum(file + start, length);
            break;
        }
        default: fail_msg("command %d", (int)get(command, 4));
        }
    }
    assert_int_equal(allocated, 2);
}

/* --- as an operating system does it --- */

/* The table at an address, its checksum checked. */
static const uint8_t *table_at(struct fixture *f, uint64_t address)
{
    assert_true(address >= TABLES_AT && address + 36 <= TABLES_AT + f->tables_size);
    const uint8_t *table = f->tables + (address - TABLES_AT);
    uint64_t length = get(table + 4, 4);
    assert_true(address + length <= TABLES_AT + f->tables_size);
    if (memcmp(table, "FACS", 4) != 0) {
        assert_int_equal(sum(table, length), 0);
    }
    return table;
}

/* By its signature, through the RSDT (pointers of 4 bytes) or XSDT (8); NULL: there is none. */
static const uint8_t *find_table(struct fixture *f, const char *signature, unsigned width)
{
    assert_memory_equal(f->rsdp, "RSD PTR ", 8);
    assert_int_equal(sum(f->rsdp, 20), 0);
    assert_int_equal(sum(f->rsdp, 36), 0);
    assert_int_equal(f->rsdp[15], 2);
    const uint8_t *root = table_at(f, width == 4 ? get(f->rsdp + 16, 4) : get(f->rsdp + 24, 8));
    assert_memory_equal(root, width == 4 ? "RSDT" : "XSDT", 4);
    for (size_t at = 36; at < get(root + 4, 4); at += width) {
        const uint8_t *table = table_at(f, get(root + at, width));
        if (!memcmp(table, signature, 4)) {
            return table;
        }
    }
    return NULL;
}

static void tables(void **state)
{
    struct fixture *f = *state;
    struct error err = {.text = ""};
    static const char *const names[] = {"FACP", "SSDT", "APIC", "HPET"};

    assert_true(acpi_add_tables(f->fw, &full, &err));
    load(f);
    for (unsigned i = 0; i < 4; i++) {
        assert_non_null(find_table(f, names[i], 4));
        assert_ptr_equal(find_table(f, names[i], 4), find_table(f, names[i], 8));
    }
    const uint8_t *fadt = find_table(f, "FACP", 4);
    assert_int_equal(get(fadt + 4, 4), 244);
    const uint8_t *facs = table_at(f, get(fadt + 36, 4));
    assert_memory_equal(facs, "FACS", 4);
    assert_int_equal((facs - f->tables) % 64, 0);
    assert_ptr_equal(table_at(f, get(fadt + 132, 8)), facs);
    assert_memory_equal(table_at(f, get(fadt + 40, 4)), "DSDT", 4);
    assert_int_equal(get(fadt + 40, 4), get(fadt + 140, 8));
    assert_int_equal(get(fadt + 46, 2), 9);
    assert_int_equal(get(fadt + 48, 4), 0xb2);
    assert_int_equal(get(fadt + 56, 4), 0x600);
    assert_int_equal(get(fadt + 64, 4), 0x604);
    assert_int_equal(get(fadt + 76, 4), 0x608);
    assert_int_equal(get(fadt + 80, 4), 0xafe0);
    assert_int_equal(fadt[88], 4);
    assert_int_equal(fadt[89], 2);
    assert_int_equal(fadt[91], 4);
    assert_int_equal(fadt[92], 4);
    assert_int_equal(get(fadt + 109, 2), 3);
    assert_int_equal(get(fadt + 112, 4) & 0x10, 0); /* the power button is fixed */
    assert_int_equal(get(fadt + 116 + 4, 8), 0xcf9);
    assert_int_equal(get(fadt + 208 + 4, 8), 0x608);

    const uint8_t *hpet = find_table(f, "HPET", 4);
    assert_int_equal(get(hpet + 4, 4), 56);
    assert_int_equal(get(hpet + 44, 8), 0xfed00000);
}

static void processors(void **state)
{
    struct fixture *f = *state;
    struct error err = {.text = ""};
    unsigned counts[5] = {0}, enabled = 0;

    assert_true(acpi_add_tables(f->fw, &full, &err));
    load(f);
    const uint8_t *madt = find_table(f, "APIC", 8);
    size_t end = get(madt + 4, 4), at = 44;
    assert_int_equal(get(madt + 36, 4), 0xfee00000);
    for (; at < end; at += madt[at + 1]) {
        const uint8_t *entry = madt + at;
        assert_true(entry[0] < 5 && entry[1] > 0);
        if (entry[0] == 0) {
            assert_int_equal(entry[2], counts[0]);
            assert_int_equal(entry[3], counts[0]);
            enabled += entry[4];
        } else if (entry[0] == 1) {
            assert_int_equal(get(entry + 4, 4), 0xfec00000);
        } else if (entry[0] == 2 && entry[3] == 0) {
            assert_int_equal(get(entry + 4, 4), 2);
        } else if (entry[0] == 2) {
            assert_int_equal(get(entry + 4, 4), entry[3]);
            assert_int_equal(get(entry + 8, 2), 0xd);
        } else {
            assert_int_equal(entry[5], 1);
        }
        counts[entry[0]]++;
    }
    assert_int_equal(at, end);
    assert_int_equal(counts[0], 20);
    assert_int_equal(enabled, 3);
    assert_int_equal(counts[1], 1);
    assert_int_equal(counts[2], 5);
    assert_int_equal(counts[4], 1);
}

/* --- AML --- */

/* What iasl makes of a table: the disassembly, which it also compiles again without an error. */
static char *disassemble(struct fixture *f, const uint8_t *table)
{
    char *path = mem_format("%s/table.aml", f->folder);
    FILE *file = fopen(path, "w");

    assert_non_null(file);
    assert_int_equal(fwrite(table, 1, get(table + 4, 4), file), get(table + 4, 4));
    fclose(file);
    free(path);
    char *command =
        mem_format("cd %s && { iasl -d table.aml && iasl -p again table.dsl; } >log 2>&1 "
                   "&& grep -q ' 0 Errors, 0 Warnings' log",
                   f->folder);
    int failed = system(command);
    free(command);
    path = mem_format("%s/%s", f->folder, failed ? "log" : "table.dsl");
    file = fopen(path, "r");
    free(path);
    char *text = mem_alloc(1 << 20);
    if (file) {
        fread(text, 1, (1 << 20) - 1, file);
        fclose(file);
    }
    if (failed) {
        fail_msg("iasl (package acpica-tools) is not content: %s", text);
    }
    return text;
}

/* Whether the words come in this order. */
static void assert_in_order(const char *text, const char *const *words, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const char *at = strstr(text, words[i]);
        if (!at) {
            fail_msg("'%s' is not there, or not in its place", words[i]);
        }
        text = at + strlen(words[i]);
    }
}

static void definition_blocks(void **state)
{
    static const char *const dsdt_words[] = {
        "Scope (\\_SB)", "Device (PCI0)", "PNP0A03", "WordBusNumber", "0x0CF8", "WordIO", "0x0D00",
        "DWordMemory", "0x08000000", "0xFEBFFFFF", "Name (_PRT, Package (0x80)",
        /* Slot 1: INTA is the power management's; slot 3's INTA leads to the third link. */
        "0x0001FFFF", "LNKS", "0x0001FFFF", "LNKB", "0x0003FFFF", "Zero", "LNKC", "Device (ISA)",
        "OperationRegion (P40C, PCI_Config, 0x60, 0x04)", "PRQ0,   8", "PNP0B00", "PNP0303",
        "PNP0F13", "PNP0700", "DMA (Compatibility, NotBusMaster, Transfer8, )", "Device (COM1)",
        "0x03F8", "Device (COM2)", "Device (COM4)", "Method (IQCR, 1, Serialized)", "Device (LNKA)",
        "Interrupt (ResourceConsumer, Level, ActiveHigh, Shared, ,, )",
        "Method (_STA, 0, NotSerialized)", "^^PCI0.ISA.PRQ0", "Method (_CRS",
        "IQCR (^^PCI0.ISA.PRQ0)", "Method (_SRS, 1, Serialized)", "Device (LNKD)",
        "^^PCI0.ISA.PRQ3", "Device (HPET)", "0xFED00000", "Name (\\_S5, Package (0x04)"};
    static const char *const ssdt_words[] = {"Device (C000)", "\"ACPI0007\"", "(_UID, Zero)",
                                             "Device (C013)", "(_UID, 0x13)"};
    struct fixture *f = *state;
    struct error err = {.text = ""};

    assert_true(acpi_add_tables(f->fw, &full, &err));
    load(f);
    const uint8_t *fadt = find_table(f, "FACP", 4);
    char *text = disassemble(f, table_at(f, get(fadt + 40, 4)));
    assert_in_order(text, dsdt_words, sizeof dsdt_words / sizeof dsdt_words[0]);
    assert_null(strstr(text, "COM3"));
    free(text);
    text = disassemble(f, find_table(f, "SSDT", 4));
    assert_in_order(text, ssdt_words, sizeof ssdt_words / sizeof ssdt_words[0]);
    assert_null(strstr(text, "C014"));
    free(text);
}

/* A machine with little in it. */
static void what_is_not_there(void **state)
{
    static const struct acpi_machine bare = {
        .cpus = 1, .cpus_max = 1, .hole_first = 0xe0000000, .hole_last = 0xfebfffff};
    static const char *const absent[] = {"PNP0303", "PNP0F13", "PNP0700", "PNP0501", "PNP0103"};
    struct fixture *f = *state;
    struct error err = {.text = ""};

    assert_true(acpi_add_tables(f->fw, &bare, &err));
    load(f);
    assert_null(find_table(f, "HPET", 4));
    const uint8_t *fadt = find_table(f, "FACP", 4);
    assert_int_equal(get(fadt + 109, 2), 1);
    char *text = disassemble(f, table_at(f, get(fadt + 40, 4)));
    for (size_t i = 0; i < sizeof absent / sizeof absent[0]; i++) {
        assert_null(strstr(text, absent[i]));
    }
    free(text);
    /* Twice is an error of the board, told as a sentence. */
    assert_false(acpi_add_tables(f->fw, &bare, &err));
    assert_string_equal(err.text, "fw_cfg: there is a file 'etc/acpi/tables' already");

    struct acpi_machine bad = bare;
    bad.cpus = 2;
    assert_false(acpi_add_tables(f->fw, &bad, &err));
    assert_string_equal(err.text, "ACPI tables describe 1 to 255 processors, not 2 of 1");
    bad = bare;
    bad.hole_first = 0xff000000;
    assert_false(acpi_add_tables(f->fw, &bad, &err));
    assert_string_equal(err.text, "there is no room for memory of PCI devices below 4 GiB");
}

static void byte_code(void **state)
{
    static const struct {
        uint64_t value;
        const char *bytes;
        size_t count;
    } integers[] = {
        {0, "\x00", 1},
        {1, "\x01", 1},
        {2, "\x0a\x02", 2},
        {0x100, "\x0b\x00\x01", 3},
        {0x12345678, "\x0c\x78\x56\x34\x12", 5},
        {0x123456789, "\x0e\x89\x67\x45\x23\x01\x00\x00\x00", 9},
    };
    static const struct {
        const char *path, *bytes;
        size_t count;
    } paths[] = {
        {"A", "A___", 4},
        {"\\", "\\\0", 2},
        {"\\_SB.PCI0", "\\\x2e_SB_PCI0", 10},
        {"^^AB.C.DEFG",
         "^^\x2f\x03"
         "AB__C___DEFG",
         16},
    };
    struct aml aml;

    (void)state;
    for (size_t i = 0; i < sizeof integers / sizeof integers[0]; i++) {
        aml_init(&aml);
        aml_integer(&aml, integers[i].value);
        assert_int_equal(aml.bytes.len, integers[i].count);
        assert_memory_equal(aml.bytes.data, integers[i].bytes, integers[i].count);
        aml_free(&aml);
    }
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        aml_init(&aml);
        aml_path(&aml, paths[i].path);
        assert_int_equal(aml.bytes.len, paths[i].count);
        assert_memory_equal(aml.bytes.data, paths[i].bytes, paths[i].count);
        aml_free(&aml);
    }
    aml_init(&aml);
    aml_eisa(&aml, "PNP0A03");
    assert_memory_equal(aml.bytes.data, "\x0c\x41\xd0\x0a\x03", 5);
    aml_free(&aml);
}

/* --- SMBIOS --- */

static void smbios(void **state)
{
    static const uint8_t order[] = {0, 1, 3, 4, 4, 16, 17, 17, 19, 19, 32, 127};
    struct smbios_machine machine = {
        .cpus = 2,
        .ram_size = (uint64_t)20 << 30,
        .ram_below_4g = 0xe0000000,
        .uuid = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16},
        .product = "Test",
    };
    struct fixture *f = *state;
    struct error err = {.text = ""};
    size_t size, at = 0, anchor_size, largest = 0;
    unsigned count = 0;

    assert_true(smbios_add_tables(f->fw, &machine, &err));
    const uint8_t *bytes = fw_cfg_file(f->fw, "etc/smbios/smbios-tables", &size);
    const uint8_t *anchor = fw_cfg_file(f->fw, "etc/smbios/smbios-anchor", &anchor_size);
    while (at < size) {
        const uint8_t *entry = bytes + at;
        size_t begin = at;
        assert_true(count < sizeof order);
        assert_int_equal(entry[0], order[count++]);
        if (entry[0] == 1) {
            assert_memory_equal(entry + 8, machine.uuid, 16);
            assert_string_equal((const char *)entry + entry[1], "Vitrine");
            assert_string_equal((const char *)entry + entry[1] + 8, "Test");
        } else if (entry[0] == 16) {
            assert_int_equal(get(entry + 7, 4), 20 << 20);
            assert_int_equal(get(entry + 13, 2), 2);
        } else if (entry[0] == 17) {
            assert_int_equal(get(entry + 12, 2), count == 7 ? 16384 : 4096);
        } else if (entry[0] == 19) {
            assert_int_equal(get(entry + 4, 4), count == 9 ? 0 : 4 << 20);
            assert_int_equal(
                get(entry + 8, 4),
                (count == 9 ? 0xe0000000u >> 10 : (4u << 20) + (16u << 20) + (0x20000000u >> 10)) -
                    1);
        }
        at += entry[1];
        while (at + 1 < size && (bytes[at] || bytes[at + 1])) {
            at++;
        }
        at += 2;
        largest = at - begin > largest ? at - begin : largest;
    }
    assert_int_equal(at, size);
    assert_int_equal(count, sizeof order);
    assert_int_equal(anchor_size, 31);
    assert_int_equal(sum(anchor, 31), 0);
    assert_int_equal(sum(anchor + 16, 15), 0);
    assert_int_equal(get(anchor + 8, 2), largest);
    assert_int_equal(get(anchor + 22, 2), size);
    assert_int_equal(get(anchor + 28, 2), count);

    machine.ram_below_4g = 0;
    assert_false(smbios_add_tables(f->fw, &machine, &err));
    assert_string_equal(err.text, "SMBIOS tables describe up to 255 processors and 4080 GiB");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(tables),    TEST(processors), TEST(definition_blocks), TEST(what_is_not_there),
        TEST(byte_code), TEST(smbios),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
