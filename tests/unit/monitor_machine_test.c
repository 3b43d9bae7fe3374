/* SPDX-License-Identifier: MIT
 *
 * Monitors of a machine over socket pairs: echo, editing, several at once, a multiplexer, and the
 * commands. The machine has a CPU and a firmware of a few bytes; mostly it is stopped, once it runs
 * in a circle with interrupts off.
 */
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/memory.h"
#include "base/strbuf.h"
#include "display/display.h"
#include "guest/x86/cpuid.h"
#include "guest/x86/x86.h"
#include "machine/machine.h"
#include "monitor/machine/attach.h"
#include "monitor/monitor.h"

enum { FIRMWARE_SIZE = 64 << 10, PATIENCE = 2000 };

static char folder[] = "/tmp/monitor-machine-test-XXXXXX";
static const char *const folders[] = {folder, NULL};
static const struct x86_model *model;

/* The reset vector: cli; jmp to itself. In front of it, far away, the word "Vitrine". */
static int make_firmware(void **state)
{
    (void)state;
    static const uint8_t circle[] = {0xfa, 0xeb, 0xfe};
    struct error err;
    uint8_t *bytes = calloc(1, FIRMWARE_SIZE);
    assert_non_null(mkdtemp(folder));
    memcpy(bytes + FIRMWARE_SIZE - 16, circle, sizeof circle);
    memcpy(bytes, "Vitrine", 7);
    char *path = mem_format("%s/bios.bin", folder);
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, FIRMWARE_SIZE, file), FIRMWARE_SIZE);
    fclose(file);
    free(path);
    free(bytes);
    setenv("TERM", "vt100", 1);
    model = x86_model_parse_system("qemu64", NULL, NULL, &err);
    assert_non_null(model);
    return 0;
}

static int remove_firmware(void **state)
{
    (void)state;
    char *command = mem_format("rm -r %s", folder);
    int status = system(command);
    free(command);
    x86_model_free(model);
    return status;
}

/* --- a machine with monitors --- */

struct fixture {
    struct machine_options options;
    struct machine *machine;
    struct machine_monitors *monitors;
    int here[3]; /* our ends */
    unsigned count;
    struct strbuf text; /* read */
};

static void show_network(void *opaque, struct strbuf *text)
{
    (void)opaque;
    strbuf_puts(text, "e1000.0: index=0\n");
}

static void open_with(struct fixture *f, bool defaults)
{
    static const struct machine_monitor_parts parts = {NULL, show_network, NULL};
    struct error err = {""};

    memset(f, 0, sizeof *f);
    f->options = (struct machine_options){.program = "test",
                                          .name = "small",
                                          .folders = folders,
                                          .firmware = "bios.bin",
                                          .ram_size = 8 << 20,
                                          .cpus = 2,
                                          .model = model,
                                          .no_default_devices = !defaults,
                                          .reboot_timeout = -1,
                                          .stopped = true};
    f->machine = machine_new(&f->options, &err);
    if (!f->machine || !machine_build(f->machine, &err)) {
        fail_msg("%s", err.text);
    }
    machine_lock(f->machine);
    f->monitors = machine_monitors_new(f->machine, "Vitrine 1.2", &parts);
    machine_unlock(f->machine);
    strbuf_init(&f->text);
}

static void open_machine(struct fixture *f)
{
    open_with(f, false);
}

/* A monitor at one end of a socket pair; `options` of its back end. */
static int add_monitor(struct fixture *f, const char *options)
{
    struct error err = {""};
    int ends[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends), 0);
    char *text = mem_format("socket,id=mon%u,fd=%d%s", f->count, ends[0], options);
    machine_lock(f->machine);
    struct chardev *chardev = chardev_open(f->machine->chardevs, text, &err);
    if (!chardev || !machine_monitors_add(f->monitors, chardev, &err)) {
        fail_msg("%s", err.text);
    }
    machine_unlock(f->machine);
    free(text);
    f->here[f->count++] = ends[1];
    return ends[1];
}

static void close_machine(struct fixture *f)
{
    machine_lock(f->machine);
    machine_monitors_free(f->monitors);
    machine_unlock(f->machine);
    machine_free(f->machine);
    for (unsigned i = 0; i < f->count; i++) {
        close(f->here[i]);
    }
    strbuf_free(&f->text);
}

/* Runs the loop until what is read ends so. */
static const char *until(struct fixture *f, int fd, const char *ending)
{
    char bytes[4096];

    strbuf_clear(&f->text);
    for (int i = 0; i < PATIENCE; i++) {
        loop_step(f->machine->loop, 2000000);
        ssize_t n = read(fd, bytes, sizeof bytes);
        if (n > 0) {
            strbuf_add(&f->text, bytes, (size_t)n);
        }
        size_t length = strlen(ending);
        if (n <= 0 && f->text.len >= length &&
            !memcmp(f->text.data + f->text.len - length, ending, length)) {
            return f->text.data;
        }
    }
    fail_msg("no '%s' but %zu bytes, '%s'", ending, f->text.len,
             f->text.data + (f->text.len > 200 ? f->text.len - 200 : 0));
    return NULL;
}

static void type(int fd, const char *text)
{
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
}

/* The answer to a line, without its echo and the prompt, lines ending in \n; good until the next.
 */
static const char *ask(struct fixture *f, const char *line)
{
    int fd = f->here[0];

    type(fd, line);
    type(fd, "\n");
    until(f, fd, "(qemu) ");
    size_t echo = strlen(line), to = 0;
    assert_memory_equal(f->text.data, line, echo);
    assert_memory_equal(f->text.data + echo, "\r\n", 2);
    for (const char *at = f->text.data + echo + 2; *at; at++) {
        if (*at != '\r') {
            f->text.data[to++] = *at;
        }
    }
    f->text.data[to - strlen("(qemu) ")] = 0;
    return f->text.data;
}

struct exchange {
    const char *line, *answer;
};

static void check_all(struct fixture *f, const struct exchange *exchanges, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const char *answer = ask(f, exchanges[i].line);
        if (strcmp(answer, exchanges[i].answer) != 0) {
            fail_msg("'%s': '%s', not '%s'", exchanges[i].line, answer, exchanges[i].answer);
        }
    }
}

#define CHECK(f, exchanges) check_all(f, exchanges, sizeof(exchanges) / sizeof((exchanges)[0]))
#define TRY(name)           "Try \"help " name "\" for more information\n"

static void expect(struct fixture *f, const char *line, const char *part)
{
    if (!strstr(ask(f, line), part)) {
        fail_msg("'%s': no '%s' in '%s'", line, part, f->text.data);
    }
}

static struct fixture *plain_with(bool defaults)
{
    static struct fixture f;

    open_with(&f, defaults);
    assert_string_equal(until(&f, add_monitor(&f, ""), "(qemu) "),
                        "Vitrine 1.2 monitor - type 'help' for more information\r\n(qemu) ");
    return &f;
}

static struct fixture *plain(void)
{
    return plain_with(false);
}

/* --- lines --- */

static void a_socket_echoes(void **state)
{
    (void)state;
    struct fixture *f = plain();
    int fd = f->here[0];

    type(fd, "info name\n");
    assert_string_equal(until(f, fd, "(qemu) "), "info name\r\nsmall\r\n(qemu) ");
    type(fd, "info namx\x7f"
             "e\r\n");
    assert_string_equal(until(f, fd, "(qemu) "), "info namx\b \be\r\nsmall\r\n(qemu) ");
    type(fd, "abc\x15"
             "p 3\r");
    assert_string_equal(until(f, fd, "(qemu) "), "abc\b \b\b \b\b \bp 3\r\n0x3\r\n(qemu) ");
    type(fd, "system_p\t");
    assert_string_equal(until(f, fd, "n "), "system_powerdown ");
    type(fd, "\x15sto\t");
    until(f, fd, "stop ");
    type(fd, "\x15pr\t /d 1\033[A+1\n");
    until(f, fd, "(qemu) ");
    assert_non_null(strstr(f->text.data, "print  /d 1+1\r\n2\r\n"));
    type(fd, "p 1\np 2\np 3\n"); /* typed ahead */
    until(f, fd, "3\r\n(qemu) ");
    assert_non_null(strstr(f->text.data, "p 1\r\n1\r\n(qemu) p 2\r\n2\r\n(qemu) p 3\r\n3\r\n"));
    close_machine(f);
}

static void a_socket_lists_what_may_follow(void **state)
{
    (void)state;
    struct fixture *f = plain();
    int fd = f->here[0];

    type(fd, "system_\t");
    until(f, fd, "(qemu) system_");
    assert_non_null(
        strstr(f->text.data, "\r\nsystem_powerdown  system_reset      system_wakeup\r\n"));
    type(fd, "\x15sendkey ctrl-alt-del\t");
    until(f, fd, "delete ");
    type(fd, "\x15trace-event pic_set_i\t");
    until(f, fd, "pic_set_irq ");
    type(fd, "o\t");
    until(f, fd, "(qemu) trace-event pic_set_irq o");
    assert_non_null(strstr(f->text.data, "\r\noff  on\r\n"));
    close_machine(f);
}

static void several_monitors_have_their_own_state(void **state)
{
    (void)state;
    struct fixture *f = plain();
    int other = add_monitor(f, "");

    until(f, other, "(qemu) ");
    assert_string_equal(ask(f, "cpu 1"), "");
    expect(f, "info cpus", "  CPU #0: thread_id=");
    assert_non_null(strstr(f->text.data, "\n* CPU #1: thread_id="));
    type(other, "info cpus\n");
    until(f, other, "(qemu) ");
    assert_non_null(strstr(f->text.data, "* CPU #0: thread_id="));
    expect(f, "info chardev", "mon1: filename=fd:");
    /* One goes away with half a line, the other goes on. */
    type(other, "info na");
    loop_step(f->machine->loop, 1000000);
    shutdown(other, SHUT_RDWR);
    loop_step(f->machine->loop, 1000000);
    assert_string_equal(ask(f, "info name"), "small\n");
    close_machine(f);
}

/* libedit: keys in the middle of a line, history, completion. */
static void a_terminal_edits(void **state)
{
    (void)state;
    struct fixture f;

    open_machine(&f);
    int fd = add_monitor(&f, ",telnet=on");
    until(&f, fd, "(qemu) ");
    assert_non_null(strstr(f.text.data, "Vitrine 1.2 monitor"));
    type(fd, "info nam\r");
    until(&f, fd, "(qemu) ");
    assert_non_null(strstr(f.text.data, "info nam"));
    assert_non_null(strstr(f.text.data, "\r\nsmall\r\n"));
    /* Up, End; left, left, insertion; Home and delete. */
    type(fd, "p 2\r");
    until(&f, fd, "(qemu) ");
    assert_non_null(strstr(f.text.data, "\r\n0x2\r\n"));
    type(fd, "\033[A0\r");
    until(&f, fd, "(qemu) ");
    assert_non_null(strstr(f.text.data, "\r\n0x14\r\n"));
    type(fd, "xp 7\033[D\033OD\033[D3+\033[H\033[3~\033[F\r");
    until(&f, fd, "(qemu) ");
    /* "xp 7" became "x3+p 7" and then "3+p 7". */
    assert_non_null(strstr(f.text.data, "unknown command: '3+p'"));
    type(fd, "system_po\t");
    until(&f, fd, "down ");
    type(fd, "\x15sto");
    type(fd, "\t\r");
    until(&f, fd, "(qemu) ");
    type(fd, "info st\t\r");
    until(&f, fd, "(qemu) ");
    assert_non_null(strstr(f.text.data, "VM status: paused (prelaunch)\r\n"));
    type(fd, "system_\t");
    until(&f, fd, "system_");
    assert_non_null(strstr(f.text.data, "system_powerdown  system_reset"));
    type(fd, "\x03p 5\r"); /* Ctrl-C: the line is gone */
    until(&f, fd, "0x5\r\n(qemu) ");
    type(fd, "\033[1;5C\033\xc3\xa9\xff\x16\x12\x01\x02\x04\x06\x0b\x0c"); /* nothing breaks */
    type(fd, "\x15p 6\r");
    until(&f, fd, "0x6\r\n(qemu) ");
    close_machine(&f);
}

/* A console and a monitor share a back end. */
static void ctrl_a_c_leads_to_the_monitor(void **state)
{
    (void)state;
    struct fixture f;
    struct chardev_front console = {0};
    struct error err;
    int ends[2];

    open_machine(&f);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends), 0);
    char *text = mem_format("socket,id=both,mux=on,fd=%d", ends[0]);
    machine_lock(f.machine);
    struct chardev *chardev = chardev_open(f.machine->chardevs, text, &err);
    assert_non_null(chardev);
    assert_true(chardev_attach(&console, chardev, &err));
    assert_true(machine_monitors_add(f.monitors, chardev, &err));
    assert_int_equal(chardev_write(&console, "login: ", 7), 7);
    machine_unlock(f.machine);
    free(text);
    f.here[f.count++] = ends[1];
    assert_string_equal(until(&f, ends[1], "login: "), "login: "); /* the monitor is silent */
    type(ends[1], "\001c");
    assert_string_equal(until(&f, ends[1], "(qemu) "),
                        "Vitrine 1.2 monitor - type 'help' for more information\r\n(qemu) ");
    type(ends[1], "p 1\r");
    until(&f, ends[1], "0x1\r\n(qemu) ");
    type(ends[1], "\001c");
    loop_step(f.machine->loop, 1000000);
    type(ends[1], "\001c");
    assert_string_equal(until(&f, ends[1], "(qemu) "), "(qemu) "); /* greeted once */
    machine_lock(f.machine);
    chardev_detach(&console);
    machine_unlock(f.machine);
    close_machine(&f);
}

/* An answer that the reader takes slowly: nothing is lost, the prompt comes behind it. */
static void long_answers_wait_for_their_reader(void **state)
{
    (void)state;
    struct fixture *f = plain();
    int fd = f->here[0];

    type(fd, "xp /200000xb 0\np 1\n");
    until(f, fd, "p 1\r\n0x1\r\n(qemu) ");
    assert_non_null(strstr(f->text.data, "\r\n0000000000030d38: 0x00"));
    close_machine(f);
}

/* --- commands --- */

static void the_state_is_told(void **state)
{
    (void)state;
    static const struct exchange exchanges[] = {
        {"info status", "VM status: paused (prelaunch)\n"},
        {"info name", "small\n"},
        {"info uuid", "00000000-0000-0000-0000-000000000000\n"},
        {"info version", "Vitrine 1.2\n"},
        {"info network", "e1000.0: index=0\n"},
        {"cpu 5", "invalid CPU index\n"},
        {"cpu (-1)", "'cpu' has failed: integer is for 32-bit values\n" TRY("cpu")},
        {"info registers 7", "CPU#7 not available\n"},
        {"info lapic 9", "No CPU available\n"},
        {"info mem", "PG disabled\n"},
        {"info tlb", "PG disabled\n"},
        {"info exceptions", "CPU 0 has had no exception and no interrupt.\n"},
        {"system_wakeup", "Error: Unable to wake up: guest is not in suspended state\n"},
        {"stop", ""},
        {"info status", "VM status: paused (prelaunch)\n"},
        {"info mtree -d", "mtree: unsupported option -d\n" TRY("info mtree")},
        {"logfile /no/such/x", "Error opening logfile /no/such/x: No such file or directory\n"},
        {"trace-event nosuch on", "unknown event \"nosuch\"\n"},
        {"info trace-events load_f*", "load_file : state 0\n"},
        {"trace-event load_file on", ""},
        {"info trace-events load_f*", "load_file : state 1\n"},
        {"trace-event load_file off", ""},
        {"trace-file flush", ""},
        {"trace-filter pci_cfg_read offs", "filter 'offs' for event 'pci_cfg_read'"},
        {"trace-filter load_file name == \"x\"", ""},
        {"trace-event load_file off", ""},
        {"info block nosuch", ""},
    };
    struct fixture *f = plain();
    /* The sentence about a filter is the filter's own affair. */
    for (size_t i = 0; i < sizeof exchanges / sizeof exchanges[0]; i++) {
        if (strncmp(exchanges[i].line, "trace-filter pci", 16) != 0) {
            check_all(f, &exchanges[i], 1);
        }
    }
    expect(f, "trace-filter pci_cfg_read nosuch==1", "nosuch");
    expect(f, "gdbserver", "no server for gdb");
    expect(f, "info jit", "\n");
    expect(f, "info pic", "pic0: irr=00");
    expect(f, "info irq", "IRQ statistics for isa-i8259:\n");
    expect(f, "info pci", "Host bridge: PCI device 8086:1237\n");
    expect(f, "info qtree", "dev: PIIX3, id \"\"\n");
    expect(f, "info lapic", "dumping local APIC state for CPU 0");
    expect(f, "info mtree", "address-space: memory\n");
    expect(f, "info mtree -f", "FlatView");
    expect(f, "info chardev", "mon0: filename=fd:");
    close_machine(f);
}

static void registers_are_shown(void **state)
{
    (void)state;
    static const struct exchange exchanges[] = {
        {"p/x $pc", "0xfffffff0\n"},
        {"p $rip", "0xfff0\n"},
        {"p $EIP", "0xfff0\n"},
        {"p $cs", "0xf000\n"},
        {"p $cs.base", "0xffff0000\n"},
        {"p $cs.limit", "0xffff\n"},
        {"p $cr0", "0x60000010\n"},
        {"p $eflags", "0x2\n"},
        {"p $al", "0\n"},
        {"p $idtr.limit", "0xffff\n"},
        {"p $xmm0", "unknown register\n" TRY("p")},
        {"p $cs.nosuch", "unknown register\n" TRY("p")},
        {"p/c 65", "'A'\n"},
        {"p/c 10", "'\\n'\n"},
        {"p/o 8", "010\n"},
        {"p/u -1", "18446744073709551615\n"},
    };
    struct fixture *f = plain();
    CHECK(f, exchanges);
    expect(f, "info registers", "\nCPU#0\nEAX=00000000 EBX=00000000");
    assert_non_null(strstr(f->text.data, "CS =f000 ffff0000 0000ffff 00009b00\n"));
    assert_non_null(strstr(f->text.data, "\nFCW=0040 FSW=0000 [ST=0] FTW=ff MXCSR=00001f80\n"));
    assert_non_null(strstr(f->text.data, "\nXMM06="));
    assert_null(strstr(f->text.data, "XMM08="));
    assert_null(strstr(f->text.data, "CPU#1"));
    expect(f, "info registers -a", "\nCPU#1\n");
    expect(f, "info registers 1", "\nCPU#1\n");
    assert_null(strstr(f->text.data, "CPU#0"));
    close_machine(f);
}

static void memory_is_shown(void **state)
{
    (void)state;
    static const struct exchange exchanges[] = {
        {"x /3i $pc", "0xfffffff0:  fa                       cli      \n"
                      "0xfffffff1:  eb fe                    jmp      0xfff1\n"
                      "0xfffffff3:  00 00                    addb     %al, (%bx, %si)\n"},
        {"xp /7cb 0xf0000", "00000000000f0000: 'V' 'i' 't' 'r' 'i' 'n' 'e'\n"},
        {"xp /2xw 0xf0000", "00000000000f0000: 0x72746956 0x00656e69\n"},
        {"xp /9xb 0xf0000", "00000000000f0000: 0x56 0x69 0x74 0x72 0x69 0x6e 0x65 0x00\n"
                            "00000000000f0008: 0x00\n"},
        {"xp /3db 0xf0005", "00000000000f0005: 110 101   0\n"},
        {"xp /2ob 0xf0005", "00000000000f0005: 0156 0145\n"},
        {"xp /1dg 0xf0000", "00000000000f0000:    28550371818629462\n"},
        {"xp /1xg 0x100000", "0000000000100000: 0x0000000000000000\n"},
        {"xp /4xw 0x90000000", "0000000090000000: Cannot access memory\n"},
        {"x /1xb 0x100000000", "0000000100000000: Cannot access memory\n"},
        {"x /0xb 0", ""},
        {"xp /2i 0x8ffffffff", "0x8ffffffff: unable to read memory\n"},
        {"memsave 0 1", "memsave: string expected\n" TRY("memsave")},
        {"gva2gpa 0x7c00", "gpa: 0x7c00\n"},
        {"gva2gpa 0x100000000", "Unmapped\n"},
        {"gpa2hva 0x90000000", "No memory is mapped at address 0x90000000\n"},
        {"i /xw 0xcf8", "portl[0x0cf8] = 0x00000000\n"},
        {"o /w 0xcf8 0x80000000", ""},
        {"i/w 0xcfc", "portl[0x0cfc] = 0x12378086\n"},
        {"i /h 0xcfe", "portw[0x0cfe] = 0x1237\n"},
        {"o /b 0x80 (-1)", "'o' has failed: integer is for 32-bit values\n" TRY("o")},
    };
    struct fixture *f = plain();
    CHECK(f, exchanges);
    expect(f, "gpa2hva 0", "Host virtual address for 0x0 (");
    close_machine(f);
}

static void check_file(const char *path, const void *bytes, size_t size)
{
    uint8_t found[64] = {0};
    FILE *file = fopen(path, "rb");

    assert_non_null(file);
    assert_int_equal(fread(found, 1, sizeof found, file), size);
    assert_memory_equal(found, bytes, size);
    fclose(file);
}

static void memory_is_saved(void **state)
{
    (void)state;
    struct fixture *f = plain();
    char *path = mem_format("%s/saved", folder), *line;

    line = mem_format("pmemsave 0xf0000 8 %s", path);
    assert_string_equal(ask(f, line), "");
    check_file(path, "Vitrine\0", 8);
    free(line);
    line = mem_format("memsave 0xf0000 4 \"%s\"", path);
    assert_string_equal(ask(f, line), "");
    check_file(path, "Vitr", 4);
    free(line);
    line = mem_format("memsave 0xfffffffe 4 %s", path);
    assert_string_equal(ask(f, line), "Error: Invalid addr 0x00000000fffffffe/size 4 specified\n");
    free(line);
    line = mem_format("pmemsave 0x8fffffff 2 %s", path); /* nothing is there */
    assert_string_equal(ask(f, line), "");
    check_file(path, "\0\0", 2);
    free(line);
    assert_string_equal(ask(f, "memsave 0 16 /no/such/file"),
                        "Error: Could not open '/no/such/file': No such file or directory\n");
    free(path);
    close_machine(f);
}

static void draw(void *opaque)
{
    struct display_console *console = opaque;
    const uint32_t pixels[2] = {0x112233, 0x445566};
    struct display_rectangle rectangle = {0};

    assert_true(display_console_resize(console, 2, 1));
    display_console_row(console, 0, pixels, &rectangle);
    display_console_changed_rectangle(console, &rectangle);
}

static void screens_are_dumped(void **state)
{
    (void)state;
    static const struct display_console_ops ops = {.draw = draw};
    struct display_console console = {0};
    struct fixture *f = plain();
    char *path = mem_format("%s/screen", folder), *line;

    line = mem_format("screendump %s", path);
    assert_string_equal(ask(f, line), "Error: There is no console to take a screendump from\n");
    display_console_add(&f->machine->board.consoles, &console, "VGA", "vga0", &ops, &console);
    assert_string_equal(ask(f, line), "");
    check_file(path, "P6\n2 1\n255\n\x11\x22\x33\x44\x55\x66", 17);
    free(line);
    line = mem_format("screendump %s -f png vga0 0", path);
    assert_string_equal(ask(f, line), "");
    FILE *file = fopen(path, "rb");
    assert_int_equal(fgetc(file), 0x89);
    fclose(file);
    free(line);
    line = mem_format("screendump %s vga1", path);
    assert_string_equal(ask(f, line), "Error: Device 'vga1' not found, or it has no screen\n");
    free(line);
    expect(f, "screendump /no/such/file", "Error: ");
    assert_non_null(strstr(f->text.data, "No such file or directory"));
    expect(f, "screendump a -f bmp", "Error: ");
    expect(f, "screendump a -f", "screendump: -f wants a format");
    expect(f, "screendump", "screendump: filename expected\n");
    display_console_remove(&console);
    free(path);
    close_machine(f);
}

/* The codes that the keyboard keeps for the guest, which are read as the guest does. */
static void keys_are_sent(void **state)
{
    (void)state;
    static const uint8_t expected[] = {0x14, 0x34, 0xf0, 0x34, 0xf0, 0x14};
    struct fixture *f = plain();

    assert_string_equal(ask(f, "sendkey foo"), "invalid parameter: foo\n");
    expect(f, "sendkey", "sendkey: string expected\n");
    assert_string_equal(ask(f, "o /b 0x64 0x60"), ""); /* no translation, no interrupts */
    assert_string_equal(ask(f, "o /b 0x60 0"), "");
    assert_string_equal(ask(f, "cont"), "");
    assert_string_equal(ask(f, "sendkey ctrl-g 1"), "");
    unsigned found = 0;
    for (int i = 0; i < PATIENCE && found < sizeof expected; i++) {
        if (strcmp(ask(f, "i /xb 0x64") + strlen("portb[0x0064] = 0x1c"), "\n")) {
            fail_msg("%s", f->text.data);
        }
        if (strtoul(f->text.data + strlen("portb[0x0064] = "), NULL, 16) & 1) {
            ask(f, "i /xb 0x60");
            assert_int_equal(strtoul(f->text.data + strlen("portb[0x0060] = "), NULL, 16),
                             expected[found++]);
        }
    }
    assert_int_equal(found, sizeof expected);
    close_machine(f);
}

static void commands_steer(void **state)
{
    (void)state;
    struct fixture *f = plain();

    assert_string_equal(ask(f, "c"), "");
    assert_string_equal(ask(f, "info status"), "VM status: running\n");
    assert_string_equal(ask(f, "s"), "");
    assert_string_equal(ask(f, "info status"), "VM status: paused\n");
    assert_string_equal(ask(f, "system_reset"), "");
    assert_string_equal(ask(f, "nmi"), "");
    assert_string_equal(ask(f, "system_powerdown"), "");
    close_machine(f);
}

static void media_are_changed(void **state)
{
    (void)state;
    struct fixture *f = plain_with(true);
    char *path = mem_format("%s/bios.bin", folder), *line;

    assert_string_equal(ask(f, "eject nosuch"), "Error: Device 'nosuch' not found\n");
    assert_string_equal(ask(f, "change ide1-cd0 /no/such/file"),
                        "Error: Could not open '/no/such/file': No such file or directory\n");
    expect(f, "change ide1-cd0", "change: filename expected\n");
    expect(f, "change ide1-cd0 -f", "change: filename expected\n");
    line = mem_format("change ide1-cd0 %s raw", path);
    assert_string_equal(ask(f, line), "");
    free(line);
    expect(f, "info block ide1-cd0", "(raw, read-only)\n");
    line = mem_format("change ide1-cd0 -f %s", path);
    assert_string_equal(ask(f, line), "");
    free(line);
    assert_string_equal(ask(f, "eject -f ide1-cd0"), "");
    expect(f, "info block ide1-cd0", "ide1-cd0: [not inserted]\n");
    free(path);
    close_machine(f);
}

static void mouse_and_links_are_checked(void **state)
{
    (void)state;
    static const struct exchange exchanges[] = {
        {"mouse_move 3 -4", ""},
        {"mouse_move 3 -4 1", ""},
        {"mouse_move 3", "mouse_move: string expected\n" TRY("mouse_move")},
        {"mouse_move 3 a", "mouse_move: 'a' is no number from -10000 to 10000\n" TRY("mouse_move")},
        {"mouse_button 5", ""},
        {"mouse_button x", "invalid char 'x' in expression\n" TRY("mouse_button")},
        {"set_link nosuch on", "Error: Device 'nosuch' not found\n"},
        {"set_link nosuch", "Expected 'on' or 'off'\n" TRY("set_link")},
    };
    struct fixture *f = plain();
    CHECK(f, exchanges);
    assert_string_not_equal(ask(f, "hostfwd_add tcp::1-:2"), ""); /* there is no network */
    assert_string_not_equal(ask(f, "hostfwd_remove n0 tcp::1"), "");
    close_machine(f);
}

/* Firmware has opened LINT1 of the first CPU only. */
static void nmi_goes_through_the_local_apic(void **state)
{
    (void)state;
    struct fixture *f = plain();
    struct local_apic *apic = f->machine->cpu[0].apic;

    assert_true(local_apic_set_base(apic, local_apic_base(apic) | 0x400, 36));
    assert_true(local_apic_write_msr(apic, 0x80f, 0x1ff));
    assert_true(local_apic_write_msr(apic, 0x836, 0x400));
    assert_int_equal(f->machine->cpu[0].x86->system.requests & X86_REQUEST_NMI, 0);
    assert_string_equal(ask(f, "nmi"), "");
    assert_int_equal(f->machine->cpu[0].x86->system.requests & X86_REQUEST_NMI, X86_REQUEST_NMI);
    assert_int_equal(f->machine->cpu[1].x86->system.requests & X86_REQUEST_NMI, 0);
    close_machine(f);
}

/* --- a machine that runs --- */

struct client {
    pthread_t thread;
    int fd;
    struct strbuf all;
    size_t read; /* of it, up to the last prompt */
};

static bool read_until(struct client *client, const char *ending)
{
    char bytes[4096];

    for (;;) {
        size_t length = strlen(ending);
        if (client->all.len >= client->read + length &&
            !memcmp(client->all.data + client->all.len - length, ending, length)) {
            client->read = client->all.len;
            return true;
        }
        ssize_t n = read(client->fd, bytes, sizeof bytes);
        if (n <= 0) {
            return false;
        }
        strbuf_add(&client->all, bytes, (size_t)n);
    }
}

static void *run_client(void *opaque)
{
    static const char *const lines[] = {"info status\n", "x /2i $pc\n", "info registers\n",
                                        "stop\n",        "p/x $eip\n",  "cont\n",
                                        "p/x $eip\n"};
    struct client *client = opaque;

    /* The vCPU's thread has begun. */
    for (int i = 0; i < PATIENCE && read_until(client, "(qemu) "); i++) {
        if (client->all.len > 40 && strstr(client->all.data + client->all.len - 20, "0xfff1")) {
            break;
        }
        usleep(1000);
        if (write(client->fd, "p/x $eip\n", 9) < 0) {
            return NULL;
        }
    }
    client->read = 0;
    for (size_t i = 0; read_until(client, "(qemu) ") && i < sizeof lines / sizeof lines[0]; i++) {
        if (write(client->fd, lines[i], strlen(lines[i])) < 0) {
            return NULL;
        }
    }
    if (write(client->fd, "quit\n", 5) < 0) {
        return NULL;
    }
    return client;
}

static void a_guest_in_a_circle_does_not_hinder(void **state)
{
    (void)state;
    struct fixture f;
    struct client client = {0};

    open_machine(&f);
    f.options.stopped = false;
    client.fd = dup(add_monitor(&f, ""));
    strbuf_init(&client.all);
    /* The client waits for what it reads. */
    assert_int_equal(fcntl(client.fd, F_SETFL, 0), 0);
    alarm(60);
    assert_int_equal(pthread_create(&client.thread, NULL, run_client, &client), 0);
    assert_int_equal(machine_run(f.machine), 0);
    void *result;
    pthread_join(client.thread, &result);
    alarm(0);
    assert_non_null(result);
    assert_non_null(strstr(client.all.data, "VM status: running\r\n"));
    assert_non_null(
        strstr(client.all.data, "0xfffffff1:  eb fe                    jmp      0xfff1\r\n"));
    assert_non_null(strstr(client.all.data, "EIP=0000fff1"));
    assert_non_null(strstr(client.all.data, "stop\r\n(qemu) p/x $eip\r\n0xfff1\r\n(qemu) cont"));
    close(client.fd);
    strbuf_free(&client.all);
    close_machine(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_socket_echoes),
        cmocka_unit_test(a_socket_lists_what_may_follow),
        cmocka_unit_test(several_monitors_have_their_own_state),
        cmocka_unit_test(a_terminal_edits),
        cmocka_unit_test(ctrl_a_c_leads_to_the_monitor),
        cmocka_unit_test(long_answers_wait_for_their_reader),
        cmocka_unit_test(the_state_is_told),
        cmocka_unit_test(registers_are_shown),
        cmocka_unit_test(memory_is_shown),
        cmocka_unit_test(memory_is_saved),
        cmocka_unit_test(screens_are_dumped),
        cmocka_unit_test(keys_are_sent),
        cmocka_unit_test(commands_steer),
        cmocka_unit_test(media_are_changed),
        cmocka_unit_test(mouse_and_links_are_checked),
        cmocka_unit_test(nmi_goes_through_the_local_apic),
        cmocka_unit_test(a_guest_in_a_circle_does_not_hinder),
    };
    return cmocka_run_group_tests(tests, make_firmware, remove_firmware);
}
