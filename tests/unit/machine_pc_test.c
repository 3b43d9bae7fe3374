/* SPDX-License-Identifier: MIT
 *
 * The board without CPUs: what firmware finds, host-driven over ports and memory; what options
 * change; run states and requests.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/strbuf.h"
#include "device/fw_cfg.h"
#include "device/i8259.h"
#include "device/mc146818.h"
#include "machine/machine.h"

enum { CPU = 0, FIRMWARE_SIZE = 256 << 10 };

static char folder[] = "/tmp/machine-test-XXXXXX";
static const char *const folders[] = {folder, NULL};

/* --- a machine with a firmware of our own: the last byte of each 64 KiB says which it is --- */

static void write_file(const char *name, const void *bytes, size_t size)
{
    char path[128];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
}

static int make_files(void **state)
{
    (void)state;
    uint8_t *bytes = calloc(1, FIRMWARE_SIZE);
    assert_non_null(mkdtemp(folder));
    for (unsigned i = 0; i < FIRMWARE_SIZE >> 16; i++) {
        bytes[(i << 16) + 0xffff] = (uint8_t)(0xa0 + i);
    }
    write_file("bios.bin", bytes, FIRMWARE_SIZE);
    write_file("odd.bin", bytes, 1000);
    memset(bytes, 0, 64 << 10);
    write_file("disk.img", bytes, 64 << 10);
    free(bytes);
    return 0;
}

static int remove_files(void **state)
{
    (void)state;
    char command[160];
    snprintf(command, sizeof command, "rm -r %s", folder);
    return system(command);
}

static struct machine_options plain(void)
{
    return (struct machine_options){.program = "test",
                                    .folders = folders,
                                    .firmware = "bios.bin",
                                    .ram_size = 64 << 20,
                                    .no_default_devices = true,
                                    .rtc_base = RTC_DATE,
                                    .rtc_date = 1577934245,
                                    .reboot_timeout = -1,
                                    .seeded = true};
}

static struct machine *begin(const struct machine_options *options)
{
    struct error err;
    struct machine *machine = machine_new(options, &err);
    assert_non_null(machine);
    return machine;
}

static void build(struct machine *machine)
{
    struct error err = {""};
    if (!machine_build(machine, &err)) {
        fail_msg("%s", err.text);
    }
    machine_lock(machine);
}

static void end(struct machine *machine)
{
    machine_unlock(machine);
    machine_free(machine);
}

static uint32_t in(struct machine *machine, uint16_t port, unsigned size)
{
    return mem_in(machine->board.ports, CPU, port, size);
}

static void out(struct machine *machine, uint16_t port, uint32_t value, unsigned size)
{
    mem_out(machine->board.ports, CPU, port, value, size);
}

static uint8_t peek(struct machine *machine, uint64_t address)
{
    uint8_t byte = 0;
    mem_read(machine->board.memory, CPU, address, &byte, 1);
    return byte;
}

static uint32_t config(struct machine *machine, unsigned slot, unsigned function, unsigned offset)
{
    out(machine, 0xcf8, 0x80000000 | slot << 11 | function << 8 | offset, 4);
    return in(machine, 0xcfc, 4);
}

static uint8_t cmos(struct machine *machine, unsigned index)
{
    return mc146818_get(machine->devices.rtc, index);
}

/* --- the board --- */

static void functions_are_where_qemu_has_them(void **state)
{
    (void)state;
    static const struct {
        unsigned slot, function;
        uint32_t id, class;
    } expected[] = {{0, 0, 0x12378086, 0x060000},
                    {1, 0, 0x70008086, 0x060100},
                    {1, 1, 0x70108086, 0x010180},
                    {1, 3, 0x71138086, 0x068000}};
    const struct machine_options options = plain();
    struct machine *machine = begin(&options);
    build(machine);
    unsigned found = 0;
    for (unsigned slot = 0; slot < 32; slot++) {
        for (unsigned function = 0; function < 8; function++) {
            if (config(machine, slot, function, 0) == UINT32_MAX) {
                continue;
            }
            assert_in_range(found, 0, 3);
            assert_int_equal(slot, expected[found].slot);
            assert_int_equal(function, expected[found].function);
            assert_int_equal(config(machine, slot, function, 0), expected[found].id);
            assert_int_equal(config(machine, slot, function, 8) >> 8, expected[found].class);
            assert_int_equal(config(machine, slot, function, 0x2c), 0x11001af4);
            found++;
        }
    }
    assert_int_equal(found, 4);
    end(machine);
}

static void firmware_is_below_4g_and_below_1m(void **state)
{
    (void)state;
    const struct machine_options options = plain();
    struct machine *machine = begin(&options);
    build(machine);
    assert_int_equal(peek(machine, 0xffffffff), 0xa3);
    assert_int_equal(peek(machine, 0xffffffff - 0x30000), 0xa0);
    assert_int_equal(peek(machine, 0xfffff), 0xa3);
    assert_int_equal(peek(machine, 0xeffff), 0xa2);
    assert_int_equal(peek(machine, 0xffffffff - 0x40000), 0xff); /* nothing */
    end(machine);
}

static void shadow_ram_is_seen_where_the_bridge_says(void **state)
{
    (void)state;
    const struct machine_options options = plain();
    struct machine *machine = begin(&options);
    build(machine);
    uint8_t byte = 0x5a;
    mem_write(machine->board.memory, CPU, 0xfffff, &byte, 1);
    assert_int_equal(peek(machine, 0xfffff), 0xa3);
    out(machine, 0xcf8, 0x80000058, 4); /* PAM0 is 0x59 */
    out(machine, 0xcfd, 0x30, 1);
    mem_write(machine->board.memory, CPU, 0xfffff, &byte, 1);
    assert_int_equal(peek(machine, 0xfffff), 0x5a);
    machine_reset(machine, SHUTDOWN_CAUSE_GUEST_RESET);
    assert_int_equal(peek(machine, 0xfffff), 0xa3);
    assert_int_equal(mem_host(&machine->ram)[0xfffff], 0x5a);
    end(machine);
}

static void ram_above_the_hole_is_above_4g(void **state)
{
    (void)state;
    struct machine_options options = plain();
    options.ram_size = UINT64_C(5) << 30;
    struct machine *machine = begin(&options);
    build(machine);
    uint8_t byte = 0x77;
    mem_write(machine->board.memory, CPU, UINT64_C(0x17fffffff), &byte, 1);
    assert_int_equal(mem_host(&machine->ram)[options.ram_size - 1], 0x77);
    assert_int_equal(peek(machine, UINT64_C(0x180000000)), 0xff);
    assert_int_equal(peek(machine, 0xc0000000), 0xff);
    /* As QEMU's: 2 GiB of 64 KiB each above. */
    assert_int_equal(cmos(machine, 0x5c), 0x80);
    assert_int_equal(cmos(machine, 0x34), 0);
    assert_int_equal(cmos(machine, 0x35), 0xbf);
    end(machine);
}

static void lines_reach_the_8259_and_the_ioapic(void **state)
{
    (void)state;
    const struct machine_options options = plain();
    struct machine *machine = begin(&options);
    build(machine);
    out(machine, 0x20, 0x11, 1);
    out(machine, 0x21, 0x08, 1);
    out(machine, 0x21, 0x04, 1);
    out(machine, 0x21, 0x01, 1);
    out(machine, 0x21, 0xef, 1); /* line 4 alone */
    irq_set(machine->isa->irq[4], true);
    assert_true(i8259_pending(machine->devices.pic));
    assert_int_equal(i8259_acknowledge(machine->devices.pic), 0x0c);
    irq_set(machine->isa->irq[4], false);
    /* Pin 5 to vector 0x55 of the APIC, which is enabled. */
    struct local_apic *apic = machine->cpu[0].apic;
    assert_true(local_apic_set_base(apic, local_apic_base(apic) | 0x400, 36));
    assert_true(local_apic_write_msr(apic, 0x80f, 0x1ff));
    uint32_t value = 0x10 + 5 * 2;
    mem_write(machine->board.memory, CPU, 0xfec00000, &value, 4);
    value = 0x55;
    mem_write(machine->board.memory, CPU, 0xfec00010, &value, 4);
    irq_set(machine->isa->irq[5], true);
    assert_true(local_apic_pending(apic));
    assert_int_equal(local_apic_acknowledge(apic), 0x55);
    end(machine);
}

static void set_bool(void *opaque, int number, bool level)
{
    assert_int_equal(number, 13);
    *(bool *)opaque = level;
}

static void float_errors_are_cleared_by_port_f0(void **state)
{
    (void)state;
    const struct machine_options options = plain();
    struct machine *machine = begin(&options);
    build(machine);
    bool level = true;
    machine->isa->irq[13] = (struct irq){set_bool, &level, 13};
    out(machine, 0xf0, 0, 1);
    assert_false(level);
    end(machine);
}

/* --- what firmware is told --- */

static uint64_t fw_cfg_number(struct machine *machine, uint16_t key, unsigned size)
{
    uint64_t value = 0;
    out(machine, 0x510, key, 2);
    for (unsigned i = 0; i < size; i++) {
        value |= (uint64_t)in(machine, 0x511, 1) << i * 8;
    }
    return value;
}

static void fw_cfg_tells_the_machine(void **state)
{
    (void)state;
    struct machine_options options = plain();
    options.cpus = 3;
    options.cpus_max = 8;
    options.boot_menu = true;
    options.nographic = true;
    struct machine *machine = begin(&options);
    build(machine);
    struct device *fw_cfg = machine->devices.fw_cfg;
    size_t size;
    assert_int_equal(fw_cfg_number(machine, FW_CFG_SIGNATURE, 4), 0x554d4551);
    assert_int_equal(fw_cfg_number(machine, FW_CFG_NB_CPUS, 2), 3);
    assert_int_equal(fw_cfg_number(machine, FW_CFG_MAX_CPUS, 2), 8);
    assert_int_equal(fw_cfg_number(machine, FW_CFG_RAM_SIZE, 8), 64 << 20);
    assert_int_equal(fw_cfg_number(machine, FW_CFG_BOOT_MENU, 2), 1);
    assert_int_equal(fw_cfg_number(machine, FW_CFG_NOGRAPHIC, 2), 1);
    const uint8_t *map = fw_cfg_file(fw_cfg, "etc/e820", &size);
    assert_int_equal(size, 40);
    static const uint8_t ram[20] = {[11] = 0x04, [16] = 1};
    assert_memory_equal(map + 20, ram, 20);
    const uint8_t *states = fw_cfg_file(fw_cfg, "etc/system-states", &size);
    assert_memory_equal(states, "\x80\0\0\x81\x82\x80", 6);
    const uint8_t *fail = fw_cfg_file(fw_cfg, "etc/boot-fail-wait", &size);
    assert_memory_equal(fail, "\xff\xff\xff\xff", 4);
    assert_non_null(fw_cfg_file(fw_cfg, "etc/acpi/tables", &size));
    assert_non_null(fw_cfg_file(fw_cfg, "etc/smbios/smbios-tables", &size));
    assert_non_null(fw_cfg_file(fw_cfg, "bootorder", &size));
    assert_int_equal(size, 0);
    end(machine);
}

/* The values are those that QEMU 7.2 shows for the same options. */
static void cmos_tells_memory_and_boot_order(void **state)
{
    (void)state;
    static const struct {
        uint8_t index, value;
    } expected[] = {{0x10, 0},    {0x12, 0},    {0x14, 0x06}, {0x15, 0x80}, {0x16, 0x02},
                    {0x17, 0},    {0x18, 0xfc}, {0x30, 0},    {0x31, 0xfc}, {0x34, 0},
                    {0x35, 0x03}, {0x38, 0},    {0x3d, 0x23}, {0x5f, 3}};
    struct machine_options options = plain();
    options.cpus = 4;
    options.boot_order = "dc";
    struct machine *machine = begin(&options);
    build(machine);
    for (size_t i = 0; i < sizeof expected / sizeof expected[0]; i++) {
        assert_int_equal(cmos(machine, expected[i].index), expected[i].value);
    }
    end(machine);
}

static void boot_once_is_over_after_a_reset(void **state)
{
    (void)state;
    struct machine_options options = plain();
    options.boot_once = "n";
    struct machine *machine = begin(&options);
    build(machine);
    assert_int_equal(cmos(machine, 0x3d), 0x04);
    machine_reset(machine, SHUTDOWN_CAUSE_GUEST_RESET);
    assert_int_equal(cmos(machine, 0x3d), 0x12);
    assert_int_equal(cmos(machine, 0x38), 0x30);
    end(machine);
}

static void add_drive(struct machine *machine, const char *text)
{
    struct drive_options drive;
    struct error err = {""};
    assert_true(drive_options_parse(&drive, text, DRIVE_IDE, DRIVE_DISK, &err));
    assert_true(machine_add_drive(machine, &drive, text, &err));
}

static void drives_are_at_their_channels_and_in_the_boot_order(void **state)
{
    (void)state;
    char text[160];
    struct error err = {""};
    struct machine_options options = plain();
    options.boot_strict = true;
    struct machine *machine = begin(&options);
    snprintf(text, sizeof text, "file=%s/disk.img,format=raw,if=none,id=d", folder);
    add_drive(machine, text);
    add_drive(machine, "media=cdrom,index=3");
    assert_true(machine_add_device(machine, "ide-hd,drive=d,bus=ide.1,bootindex=7", &err));
    assert_true(machine_add_boot_path(machine, 2, "/rom@genroms/x", &err));
    build(machine);
    size_t size;
    const char *order = fw_cfg_file(machine->devices.fw_cfg, "bootorder", &size);
    assert_string_equal(order, "/rom@genroms/x\n/pci@i0cf8/ide@1,1/drive@1/disk@0\nHALT");
    assert_int_equal(size, strlen(order) + 1);
    assert_non_null(machine_find_drive(machine, "d"));
    assert_non_null(machine_find_drive(machine, "ide1-cd1"));
    assert_null(machine_find_drive(machine, "ide1-cd0"));
    end(machine);
}

static void a_pc_has_a_cdrom_and_a_floppy_drive(void **state)
{
    (void)state;
    struct machine_options options = plain();
    options.no_default_devices = false;
    struct machine *machine = begin(&options);
    build(machine);
    assert_non_null(machine_find_drive(machine, "ide1-cd0"));
    assert_non_null(machine_find_drive(machine, "floppy0"));
    assert_int_equal(cmos(machine, 0x10), 0x50);
    assert_int_equal(cmos(machine, 0x14), 0x07);
    end(machine);
}

/* --- what cannot be built --- */

static void refuses(struct machine *machine, const char *sentence)
{
    struct error err = {""};
    assert_false(machine_build(machine, &err));
    assert_string_equal(err.text, sentence);
    machine_free(machine);
}

static void what_is_wrong_is_told(void **state)
{
    (void)state;
    struct error err = {""};
    struct machine_options options = plain();
    options.firmware = "odd.bin";
    refuses(begin(&options),
            "could not load PC BIOS 'odd.bin': 1000 bytes are not a multiple of 64 KiB");
    options.firmware = "none.bin";
    refuses(begin(&options), "could not load PC BIOS 'none.bin': failed to find file 'none.bin' "
                             "(-L names folders to look in)");
    options = plain();
    struct machine *machine = begin(&options);
    assert_false(machine_add_device(machine, "isa-debug-exi", &err));
    assert_string_equal(err.text, "'isa-debug-exi' is not a valid device model name (did you mean "
                                  "'isa-debug-exit'?)");
    assert_false(machine_add_device(machine, "PIIX3", &err));
    assert_string_equal(err.text, "'PIIX3' is a part of the board: it cannot be added");
    assert_false(machine_add_global(machine, "isa-debug-exit", &err));
    assert_string_equal(err.text, "'isa-debug-exit' is not of the form DRIVER.PROPERTY=VALUE");
    assert_true(machine_add_device(machine, "isa-debug-exit,iobas=1", &err));
    refuses(machine, "-device isa-debug-exit,iobas=1: Property 'isa-debug-exit.iobas' not found "
                     "(did you mean 'iobase'?)");
    machine = begin(&options);
    add_drive(machine, "media=cdrom,if=scsi");
    refuses(machine, "media=cdrom,if=scsi: machine type does not support if=scsi,bus=0,unit=0 "
                     "(there are ide, floppy and none)");
}

static void globals_come_before_properties(void **state)
{
    (void)state;
    struct error err = {""};
    const struct machine_options options = plain();
    struct machine *machine = begin(&options);
    assert_true(machine_add_global(machine, "isa-debug-exit.iobase=0xf4", &err));
    assert_true(machine_add_global(machine, "driver=isa-debug-exit,property=iosize,value=1", &err));
    assert_true(machine_add_device(machine, "isa-debug-exit,iosize=4", &err));
    build(machine);
    struct mem_range range;
    assert_true(mem_find(machine->board.ports, 0xf7, &range));
    assert_int_equal(range.start, 0xf4);
    assert_int_equal(range.size, 4);
    end(machine);
}

/* --- states and requests --- */

struct seen {
    unsigned resets, stops, goes, shutdowns, buttons;
    enum run_state state;
    enum shutdown_cause cause;
};

static void saw_state(void *opaque, bool running, enum run_state state)
{
    struct seen *seen = opaque;
    seen->state = state;
    *(running ? &seen->goes : &seen->stops) += 1;
}

static void saw_reset(void *opaque, enum shutdown_cause cause)
{
    struct seen *seen = opaque;
    seen->resets++;
    seen->cause = cause;
}

static void saw_shutdown(void *opaque, enum shutdown_cause cause)
{
    struct seen *seen = opaque;
    seen->shutdowns++;
    seen->cause = cause;
}

static void saw_button(void *opaque)
{
    ((struct seen *)opaque)->buttons++;
}

static void step(struct machine *machine)
{
    machine_unlock(machine);
    loop_step(machine->loop, 0);
    machine_lock(machine);
}

static void states_change_and_are_told(void **state)
{
    (void)state;
    struct seen seen = {0};
    struct error err = {""};
    struct machine_listener listener = {.opaque = &seen,
                                        .state = saw_state,
                                        .reset = saw_reset,
                                        .powerdown = saw_button,
                                        .shutdown = saw_shutdown};
    const struct machine_options options = plain();
    struct machine *machine = begin(&options);
    struct strbuf text;
    build(machine);
    machine_listen(machine, &listener);
    strbuf_init(&text);
    assert_int_equal(machine->state, RUN_STATE_PRELAUNCH);
    machine_print_status(machine, &text);
    assert_string_equal(text.data, "VM status: paused (prelaunch)\n");
    uint64_t before = clock_now(&machine->clock);
    usleep(1000);
    assert_int_equal(clock_now(&machine->clock), before);
    assert_true(machine_cont(machine, &err));
    usleep(1000);
    assert_true(clock_now(&machine->clock) > before);
    assert_int_equal(seen.goes, 1);
    machine_request_stop(machine, RUN_STATE_PAUSED);
    assert_int_equal(machine->state, RUN_STATE_RUNNING);
    step(machine);
    assert_int_equal(machine->state, RUN_STATE_PAUSED);
    assert_int_equal(seen.stops, 1);
    machine_request_cont(machine);
    machine_request_powerdown(machine);
    step(machine);
    assert_int_equal(machine->state, RUN_STATE_RUNNING);
    assert_int_equal(seen.buttons, 1);
    machine->board.request(&machine->board, BOARD_SUSPEND, 0);
    step(machine);
    assert_int_equal(machine->state, RUN_STATE_SUSPENDED);
    machine->board.request(&machine->board, BOARD_WAKEUP, 0);
    step(machine);
    assert_int_equal(machine->state, RUN_STATE_RUNNING);
    assert_int_equal(seen.resets, 0); /* firmware is begun, the guest is not told of a reset */
    machine->board.request(&machine->board, BOARD_RESET, 0);
    step(machine);
    assert_int_equal(seen.resets, 1);
    assert_int_equal(seen.cause, SHUTDOWN_CAUSE_GUEST_RESET);
    machine_listen_no_more(machine, &listener);
    machine_stop(machine, RUN_STATE_PAUSED);
    assert_int_equal(seen.stops, 2);
    strbuf_clear(&text);
    machine_print_status(machine, &text);
    assert_string_equal(text.data, "VM status: paused\n");
    strbuf_free(&text);
    end(machine);
}

static void no_shutdown_stands_until_a_reset(void **state)
{
    (void)state;
    struct error err = {""};
    struct machine_options options = plain();
    options.shutdown = SHUTDOWN_PAUSE;
    options.reboot = REBOOT_SHUTDOWN;
    struct machine *machine = begin(&options);
    build(machine);
    assert_true(machine_cont(machine, &err));
    machine->board.request(&machine->board, BOARD_RESET, 0);
    step(machine);
    assert_int_equal(machine->state, RUN_STATE_SHUTDOWN);
    assert_false(machine_cont(machine, &err));
    assert_string_equal(err.text, "Resetting the Virtual Machine is required");
    machine_reset(machine, SHUTDOWN_CAUSE_HOST_QMP_SYSTEM_RESET);
    assert_int_equal(machine->state, RUN_STATE_PAUSED);
    assert_true(machine_cont(machine, &err));
    end(machine);
}

/* What a request makes of machine_run(). */
static int status_of(enum reboot_action reboot, enum board_request what, int argument)
{
    struct machine_options options = plain();
    options.reboot = reboot;
    struct machine *machine = begin(&options);
    build(machine);
    machine->board.request(&machine->board, what, argument);
    machine_unlock(machine);
    int status = machine_run(machine);
    machine_free(machine);
    return status;
}

static void guests_end_the_run(void **state)
{
    (void)state;
    assert_int_equal(status_of(REBOOT_RESET, BOARD_SHUTDOWN, 0), 0);
    assert_int_equal(status_of(REBOOT_SHUTDOWN, BOARD_RESET, 0), 0);
    assert_int_equal(status_of(REBOOT_RESET, BOARD_EXIT, 33), 33);
}

static void timers_fire_while_it_runs(void **state)
{
    (void)state;
    struct error err = {""};
    const struct machine_options options = plain();
    struct machine *machine = begin(&options);
    build(machine);
    out(machine, 0x20, 0x0a, 1);
    out(machine, 0x43, 0x34, 1);
    out(machine, 0x40, 0xa9, 1); /* 1193 ticks: a millisecond */
    out(machine, 0x40, 0x04, 1);
    usleep(3000);
    step(machine);
    assert_int_equal(clock_now(&machine->clock), 0);
    assert_true(machine_cont(machine, &err));
    bool low = false, high = false;
    for (unsigned i = 0; i < 2000 && !(low && high); i++) {
        machine_unlock(machine);
        loop_step(machine->loop, 1000000);
        machine_lock(machine);
        high |= in(machine, 0x20, 1) & 1;
        low |= clock_now(&machine->clock) > 1000000;
    }
    assert_true(high);
    assert_true(low);
    end(machine);
}

static void two_machines_live_side_by_side(void **state)
{
    (void)state;
    struct machine_options first = plain(), second = plain();
    second.ram_size = 32 << 20;
    struct machine *a = begin(&first), *b = begin(&second);
    build(a);
    build(b);
    uint32_t value = 0x12345678;
    mem_write(a->board.memory, CPU, 0x1000, &value, 4);
    assert_int_equal(peek(a, 0x1000), 0x78);
    assert_int_equal(peek(b, 0x1000), 0);
    out(a, 0x92, 0, 1);
    assert_int_equal(cmos(a, 0x35), 0x03);
    assert_int_equal(cmos(b, 0x35), 0x01);
    end(a);
    end(b);
}

static void files_are_found_and_told(void **state)
{
    (void)state;
    struct error err = {""};
    size_t size;
    const struct machine_options options = plain();
    struct machine *machine = begin(&options);
    char *path = machine_find_file(machine, "odd.bin");
    assert_non_null(path);
    assert_non_null(strstr(path, "/odd.bin"));
    assert_null(machine_find_file(machine, "no such file"));
    uint8_t *bytes = machine_read_file(machine, "odd.bin", true, 1000, &size, &err);
    assert_non_null(bytes);
    assert_int_equal(size, 1000);
    assert_null(machine_read_file(machine, "odd.bin", true, 999, &size, &err));
    assert_non_null(strstr(err.text, "the file is larger than 999 bytes"));
    free(bytes);
    free(path);
    machine_free(machine);
}

static void blobs_are_in_memory_after_each_reset(void **state)
{
    (void)state;
    struct error err = {""};
    const struct machine_options options = plain();
    struct machine *machine = begin(&options);
    assert_true(machine_add_blob(machine, "b", 0x9fffc, "abcd", 4, &err));
    assert_true(machine_add_blob(machine, "c", 0x200000, "xyz", 3, &err));
    build(machine);
    assert_int_equal(peek(machine, 0x200002), 'z');
    mem_host(&machine->ram)[0x200002] = 0;
    machine_reset(machine, SHUTDOWN_CAUSE_GUEST_RESET);
    assert_int_equal(peek(machine, 0x200002), 'z');
    assert_int_equal(peek(machine, 0x9fffd), 'b');
    end(machine);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(functions_are_where_qemu_has_them),
        cmocka_unit_test(firmware_is_below_4g_and_below_1m),
        cmocka_unit_test(shadow_ram_is_seen_where_the_bridge_says),
        cmocka_unit_test(ram_above_the_hole_is_above_4g),
        cmocka_unit_test(lines_reach_the_8259_and_the_ioapic),
        cmocka_unit_test(float_errors_are_cleared_by_port_f0),
        cmocka_unit_test(fw_cfg_tells_the_machine),
        cmocka_unit_test(cmos_tells_memory_and_boot_order),
        cmocka_unit_test(boot_once_is_over_after_a_reset),
        cmocka_unit_test(drives_are_at_their_channels_and_in_the_boot_order),
        cmocka_unit_test(a_pc_has_a_cdrom_and_a_floppy_drive),
        cmocka_unit_test(what_is_wrong_is_told),
        cmocka_unit_test(globals_come_before_properties),
        cmocka_unit_test(states_change_and_are_told),
        cmocka_unit_test(no_shutdown_stands_until_a_reset),
        cmocka_unit_test(guests_end_the_run),
        cmocka_unit_test(timers_fire_while_it_runs),
        cmocka_unit_test(two_machines_live_side_by_side),
        cmocka_unit_test(files_are_found_and_told),
        cmocka_unit_test(blobs_are_in_memory_after_each_reset),
    };
    return cmocka_run_group_tests(tests, make_files, remove_files);
}
