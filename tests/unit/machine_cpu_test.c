/* SPDX-License-Identifier: MIT
 *
 * Machines whose CPUs run: a few instructions of firmware each, which end with a status at port
 * 0xf4. What CPUs and board have to do with each other: interrupts and waiting, NMI, INIT and SIPI,
 * A20, resets, standing still while somebody looks, two machines at once.
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "guest/x86/cpuid.h"
#include "guest/x86/x86.h"
#include "machine/machine.h"

enum { FIRMWARE_SIZE = 64 << 10, RESET_VECTOR = 0xfff0 };

/* Real-mode code at f000:0000, where CS is f000 behind the jump of the reset vector. */
#define GUEST(name, text)                                                                  \
    extern const uint8_t guest_##name[], guest_##name##_end[];                             \
    __asm__(".pushsection .rodata\n.globl guest_" #name ", guest_" #name "_end\n.code16\n" \
            "guest_" #name ":\n" text "\nguest_" #name "_end:\n.code64\n.popsection");

#define EXIT(value) "mov $" #value ", %al\nout %al, $0xf4\n1: hlt\njmp 1b\n"

static char folder[] = "/tmp/machine-cpu-test-XXXXXX";
static const char *const folders[] = {folder, NULL};
static const struct x86_model *model;

static int begin_tests(void **state)
{
    (void)state;
    struct error err;
    model = x86_model_parse_system("max", NULL, NULL, &err);
    return !model || !mkdtemp(folder);
}

static int end_tests(void **state)
{
    (void)state;
    char command[64];
    x86_model_free(model);
    snprintf(command, sizeof command, "rm -r %s", folder);
    return system(command);
}

struct guest {
    struct machine_options options;
    char firmware[32];
    struct machine *machine;
    uint32_t before; /* of look() */
};

static void write_firmware(struct guest *g, const uint8_t *code, const uint8_t *end)
{
    static const uint8_t jump[] = {0xea, 0x00, 0x00, 0x00, 0xf0}; /* ljmp $0xf000, $0 */
    static unsigned number;
    char path[128];
    uint8_t *bytes = calloc(1, FIRMWARE_SIZE);
    memcpy(bytes, code, (size_t)(end - code));
    memcpy(bytes + RESET_VECTOR, jump, sizeof jump);
    snprintf(g->firmware, sizeof g->firmware, "%u.bin",
             __atomic_fetch_add(&number, 1, __ATOMIC_RELAXED));
    snprintf(path, sizeof path, "%s/%s", folder, g->firmware);
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, FIRMWARE_SIZE, file), FIRMWARE_SIZE);
    assert_int_equal(fclose(file), 0);
    free(bytes);
}

/* Not yet built: options may be changed. */
static void prepare(struct guest *g, const uint8_t *code, const uint8_t *end)
{
    write_firmware(g, code, end);
    g->options = (struct machine_options){.program = "test",
                                          .folders = folders,
                                          .firmware = g->firmware,
                                          .ram_size = 16 << 20,
                                          .model = model,
                                          .no_default_devices = true,
                                          .reboot_timeout = -1};
}

static void build(struct guest *g)
{
    struct error err = {""};
    g->machine = machine_new(&g->options, &err);
    assert_non_null(g->machine);
    assert_true(machine_add_device(g->machine, "isa-debug-exit,iobase=0xf4,iosize=4", &err));
    if (!machine_build(g->machine, &err)) {
        fail_msg("%s", err.text);
    }
}

#define PREPARE(g, name) prepare(g, guest_##name, guest_##name##_end)

/* What the guest has written to port 0xf4. */
static int run(struct guest *g)
{
    int status = machine_run(g->machine);
    assert_int_equal(status & 1, 1);
    return status >> 1;
}

static uint8_t *ram(const struct guest *g)
{
    return mem_host(&g->machine->ram);
}

/* --- */

GUEST(exits, "movw %cs, %bx\nmov %bx, %ds\nmovb $0x5a, %al\nxor %bx, %bx\nmov %bx, %ds\n"
             "mov %al, 0x500\n" EXIT(33))

static void a_guest_runs_and_ends(void **state)
{
    (void)state;
    struct guest g;
    PREPARE(&g, exits);
    build(&g);
    assert_int_equal(run(&g), 33);
    assert_int_equal(ram(&g)[0x500], 0x5a);
    assert_int_equal(g.machine->state, RUN_STATE_SHUTDOWN);
    machine_free(g.machine);
}

/* Flat data segments under real mode; from 500 to where the TLB has the same entry. */
GUEST(contends, "lgdtl %cs:(8f - guest_contends)\nmov %cr0, %eax\nor $1, %al\nmov %eax, %cr0\n"
                "mov $8, %bx\nmov %bx, %ds\nmov %bx, %es\nand $0xfe, %al\nmov %eax, %cr0\n"
                "mov $0x500, %esi\nmov $0x10000500, %edi\nmovl $0x44332211, (%esi)\n"
                "addr32 movsb\nmov $3, %ecx\naddr32 rep movsb\n"
                "cmpl $0x44332211, -4(%edi)\njne 2f\n" EXIT(44) "2:\n" EXIT(
                    45) "8: .word 15\n.long 0xf0000 + (9f - guest_contends)\n"
                        "9: .quad 0, 0x00cf93000000ffff\n")

static void operands_that_share_a_place_in_the_tlb(void **state)
{
    (void)state;
    static const uint8_t copied[] = {0x11, 0x22, 0x33, 0x44};
    struct guest g;
    PREPARE(&g, contends);
    g.options.ram_size = 512 << 20;
    build(&g);
    assert_int_equal(run(&g), 44);
    assert_memory_equal(ram(&g) + 0x10000500, copied, sizeof copied);
    machine_free(g.machine);
}

/* The 8254 at 1 kHz; each tick of line 0 wakes HLT. */
GUEST(ticks, "xor %ax, %ax\nmov %ax, %ds\nmov %ax, %ss\nmov $0x7000, %sp\n"
             "movw $(8f - guest_ticks), 0x20\nmovw $0xf000, 0x22\nmovb $0, 0x500\n"
             "mov $0x1b, %ecx\nrdmsr\nor $0x400, %eax\nwrmsr\n"            /* x2APIC */
             "mov $0x80f, %ecx\nmov $0x1ff, %eax\nxor %edx, %edx\nwrmsr\n" /* enabled */
             "mov $0x835, %ecx\nmov $0x700, %eax\nwrmsr\n"                 /* LINT0: the 8259's */
             "mov $0x11, %al\nout %al, $0x20\nmov $0x08, %al\nout %al, $0x21\n"
             "mov $4, %al\nout %al, $0x21\nmov $1, %al\nout %al, $0x21\n"
             "mov $0xfe, %al\nout %al, $0x21\n"
             "mov $0x34, %al\nout %al, $0x43\nmov $0xa9, %al\nout %al, $0x40\n"
             "mov $0x04, %al\nout %al, $0x40\n"
             "7: sti\nhlt\ncmpb $20, 0x500\njb 7b\n" EXIT(
                 7) "8: incb 0x500\npush %ax\nmov $0x20, %al\nout %al, $0x20\npop %ax\niret")

static void interrupts_wake_a_halted_cpu(void **state)
{
    (void)state;
    struct guest g;
    PREPARE(&g, ticks);
    build(&g);
    assert_int_equal(run(&g), 7);
    assert_int_equal(ram(&g)[0x500], 20);
    /* It began at most 20 periods ago, as the machine's clock has it. */
    assert_true(clock_now(&g.machine->clock) >= 19000000);
    machine_free(g.machine);
}

GUEST(nmi, "xor %ax, %ax\nmov %ax, %ds\nmov %ax, %ss\nmov $0x7000, %sp\n"
           "movw $(8f - guest_nmi), 0x08\nmovw $0xf000, 0x0a\n"
           "mov $0x1b, %ecx\nrdmsr\nor $0x400, %eax\nwrmsr\n"
           "mov $0x80f, %ecx\nmov $0x1ff, %eax\nxor %edx, %edx\nwrmsr\n"
           "mov $0x836, %ecx\nmov $0x400, %eax\nwrmsr\n" /* LINT1: NMI */
           "movb $1, 0x500\n7: cli\nhlt\njmp 7b\n8: " EXIT(9))

static void press_nmi(void *opaque)
{
    struct guest *g = opaque;
    if (__atomic_load_n(&ram(g)[0x500], __ATOMIC_RELAXED)) {
        machine_nmi(g->machine);
    } else {
        usleep(1000);
        loop_post(g->machine->loop, press_nmi, g);
    }
}

static void an_nmi_wakes_it_too(void **state)
{
    (void)state;
    struct guest g;
    PREPARE(&g, nmi);
    build(&g);
    loop_post(g.machine->loop, press_nmi, &g);
    assert_int_equal(run(&g), 9);
    machine_free(g.machine);
}

/* INIT and SIPI to all others by x2APIC registers, which real mode can reach. Those count at 0x500
 * and halt. */
GUEST(starts, "xor %ax, %ax\nmov %ax, %ds\nmov %ax, %ss\nmov $0x7000, %sp\n"
              "movl $0x0006fef0, 0x8000\nmovl $0xfdebf405, 0x8004\n" /* lock incb 0x500; hlt */
              "mov $0x1b, %ecx\nrdmsr\nor $0x400, %eax\nwrmsr\n"
              "mov $0x80f, %ecx\nmov $0x1ff, %eax\nxor %edx, %edx\nwrmsr\n"
              "mov $0x830, %ecx\nmov $0xc4500, %eax\nwrmsr\nmov $0xc4608, %eax\nwrmsr\n"
              "7: cmpb $3, 0x500\njb 7b\n" EXIT(11))

static void other_cpus_start(void **state)
{
    (void)state;
    struct guest g;
    PREPARE(&g, starts);
    g.options.cpus = 4;
    build(&g);
    assert_int_equal(run(&g), 11);
    for (unsigned i = 1; i < 4; i++) {
        assert_int_equal(g.machine->cpu[i].x86->segment[NATIVE_CS], 0x800);
        assert_int_equal(g.machine->cpu[i].x86->state.pc, 6);
    }
    machine_free(g.machine);
}

/* With the gate of the keyboard controller closed, and port 0x92's, ffff:0010 is address 0. */
GUEST(gate, "mov $0xffff, %ax\nmov %ax, %ds\nmovb $0x11, 0x10\n"
            "mov $0xd1, %al\nout %al, $0x64\nmov $0xdd, %al\nout %al, $0x60\n"
            "movb $0x22, 0x10\nmov $2, %al\nout %al, $0x92\nmovb $0x33, 0x11\n" EXIT(5))

static void the_a20_gate_reaches_the_cpu(void **state)
{
    (void)state;
    struct guest g;
    PREPARE(&g, gate);
    build(&g);
    assert_int_equal(run(&g), 5);
    assert_int_equal(ram(&g)[0x100000], 0x11);
    assert_int_equal(ram(&g)[0], 0x22);
    assert_int_equal(ram(&g)[0x100001], 0x33);
    assert_int_equal(ram(&g)[1], 0);
    machine_free(g.machine);
}

/* Counts at 0x500; resets itself four times, and not one instruction runs behind the reset. */
GUEST(resets, "xor %ax, %ax\nmov %ax, %ds\nincb 0x500\ncmpb $5, 0x500\njae 7f\n"
              "mov $1, %al\nout %al, $0x92\nincb 0x501\n6: jmp 6b\n7: " EXIT(3))

static void a_reset_begins_anew(void **state)
{
    (void)state;
    struct guest g;
    PREPARE(&g, resets);
    build(&g);
    assert_int_equal(run(&g), 3);
    assert_int_equal(ram(&g)[0x500], 5);
    assert_int_equal(ram(&g)[0x501], 0);
    assert_int_equal(g.machine->reset_cause, SHUTDOWN_CAUSE_GUEST_RESET);
    machine_free(g.machine);
}

/* --- looking at a guest that runs in circles with interrupts off */

GUEST(circles, "cli\nxor %ax, %ax\nmov %ax, %ds\n7: incl 0x500\nmov 0x500, %eax\njmp 7b\n")

static uint32_t count(const struct guest *g)
{
    return __atomic_load_n((const uint32_t *)(ram(g) + 0x500), __ATOMIC_RELAXED);
}

/* It goes on, and stands when it is stopped. */
static void look_at_the_end(void *opaque)
{
    struct guest *g = opaque;
    struct machine *machine = g->machine;
    if (count(g) == g->before) {
        loop_post(machine->loop, look_at_the_end, g);
        return;
    }
    machine_stop(machine, RUN_STATE_PAUSED);
    uint32_t before = count(g);
    uint64_t now = clock_now(&machine->clock);
    usleep(5000);
    assert_int_equal(count(g), before);
    assert_int_equal(clock_now(&machine->clock), now);
    machine_quit(machine, 77);
}

static void look(void *opaque)
{
    struct guest *g = opaque;
    struct machine *machine = g->machine;
    if (count(g) < 1000) {
        usleep(1000);
        loop_post(machine->loop, look, g);
        return;
    }
    machine_hold(machine);
    machine_hold(machine);
    uint32_t before = count(g);
    const struct x86_cpu *cpu = machine->cpu[0].x86;
    assert_in_range(before - (uint32_t)cpu->state.reg[X86_RAX], 0, 1);
    usleep(5000);
    assert_int_equal(count(g), before);
    machine_release(machine);
    usleep(5000);
    assert_int_equal(count(g), before);
    assert_int_equal(machine->state, RUN_STATE_RUNNING);
    machine_release(machine);
    g->before = before;
    loop_post(machine->loop, look_at_the_end, g);
}

static void a_busy_guest_can_be_looked_at(void **state)
{
    (void)state;
    struct guest g;
    PREPARE(&g, circles);
    build(&g);
    loop_post(g.machine->loop, look, &g);
    assert_int_equal(machine_run(g.machine), 77);
    machine_free(g.machine);
}

/* A guest that polls a port all the time: the loop gets the lock all the same. */
GUEST(polls, "cli\n7: in $0x64, %al\njmp 7b\n")

static void come_to_the_end(void *opaque, uint64_t now)
{
    (void)now;
    machine_quit(((struct guest *)opaque)->machine, 5);
}

static void a_guest_that_polls_does_not_keep_the_loop_out(void **state)
{
    (void)state;
    struct guest g;
    struct timer timer = {0};
    PREPARE(&g, polls);
    g.options.cpus = 1;
    build(&g);
    machine_lock(g.machine);
    timer_init(&timer, &g.machine->clock, come_to_the_end, &g);
    timer_set(&timer, 100000000);
    machine_unlock(g.machine);
    assert_int_equal(machine_run(g.machine), 5);
    /* Late by less than a second even where other programs want the host's CPUs. */
    assert_in_range(clock_now(&g.machine->clock), 100000000, 1100000000);
    machine_free(g.machine);
}

GUEST(triple, "lidtw %cs:(7f - guest_triple)\nud2\n7: .word 0, 0, 0\n")

static void a_triple_fault_is_a_reset(void **state)
{
    (void)state;
    struct guest g;
    PREPARE(&g, triple);
    g.options.reboot = REBOOT_SHUTDOWN;
    build(&g);
    assert_int_equal(machine_run(g.machine), 0);
    machine_free(g.machine);
}

/* --- two machines in a process */

GUEST(first, "xor %ax, %ax\nmov %ax, %ds\n7: incl 0x500\ncmpl $2000000, 0x500\njb 7b\n" EXIT(1))
GUEST(second, "xor %ax, %ax\nmov %ax, %ds\n7: decl 0x500\ncmpl $-2000000, 0x500\njg 7b\n" EXIT(2))

static void *run_in_thread(void *opaque)
{
    struct guest *g = opaque;
    struct error err;
    g->machine = machine_new(&g->options, &err);
    if (!g->machine ||
        !machine_add_device(g->machine, "isa-debug-exit,iobase=0xf4,iosize=4", &err) ||
        !machine_build(g->machine, &err)) {
        return NULL;
    }
    int status = machine_run(g->machine);
    uint32_t value = count(g);
    machine_free(g->machine);
    return (void *)(uintptr_t)((uint64_t)(uint32_t)status << 32 | value);
}

static void two_machines_run_at_once(void **state)
{
    (void)state;
    struct guest first, second;
    pthread_t a, b;
    void *of_first, *of_second;
    PREPARE(&first, first);
    PREPARE(&second, second);
    assert_int_equal(pthread_create(&a, NULL, run_in_thread, &first), 0);
    assert_int_equal(pthread_create(&b, NULL, run_in_thread, &second), 0);
    pthread_join(a, &of_first);
    pthread_join(b, &of_second);
    assert_int_equal((uintptr_t)of_first >> 32, 3);
    assert_int_equal((uint32_t)(uintptr_t)of_first, 2000000);
    assert_int_equal((uintptr_t)of_second >> 32, 5);
    assert_int_equal((uint32_t)(uintptr_t)of_second, (uint32_t)-2000000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_guest_runs_and_ends),
        cmocka_unit_test(operands_that_share_a_place_in_the_tlb),
        cmocka_unit_test(interrupts_wake_a_halted_cpu),
        cmocka_unit_test(an_nmi_wakes_it_too),
        cmocka_unit_test(other_cpus_start),
        cmocka_unit_test(the_a20_gate_reaches_the_cpu),
        cmocka_unit_test(a_reset_begins_anew),
        cmocka_unit_test(a_busy_guest_can_be_looked_at),
        cmocka_unit_test(a_guest_that_polls_does_not_keep_the_loop_out),
        cmocka_unit_test(a_triple_fault_is_a_reset),
        cmocka_unit_test(two_machines_run_at_once),
    };
    return cmocka_run_group_tests(tests, begin_tests, end_tests);
}
