/* SPDX-License-Identifier: MIT
 *
 * What resets the machine: a triple fault, the keyboard controller, port 92, port CF9. What has
 * been seen lies in memory that a reset leaves alone; each start goes on with the next.
 */

/* resets: yes */

#include "runtime/bare.h"

enum { STAGES = 4 };
static struct record {
    uint32_t magic, stage;
    uint32_t seen[STAGES];
} *const record = (struct record *)0x2000000;

static void triple_fault(void)
{
    struct table_register none = {0, 0};
    __asm__ volatile("lidt %0; int3" : : "m"(none));
}

static void keyboard_controller(void)
{
    for (int i = 0; i < 100000 && inb(0x64) & 2; i++) {
    }
    outb(0x64, 0xfe);
}

static void port_92(void)
{
    outb(0x92, inb(0x92) & 0xfe);
    outb(0x92, inb(0x92) | 1);
}

static void port_cf9(void)
{
    outb(0xcf9, 2);
    outb(0xcf9, 6);
}

static const struct {
    const char *name;
    void (*go)(void);
} stages[STAGES] = {
    {"a triple fault resets", triple_fault},
    {"command FE of the keyboard controller resets", keyboard_controller},
    {"bit 0 of port 92 resets", port_92},
    {"port CF9 resets", port_cf9},
};

void program(void)
{
    if (record->magic != 0x5e5e7000) {
        record->magic = 0x5e5e7000;
        record->stage = 0;
    } else {
        record->seen[record->stage++] = 1;
    }
    if (record->stage < STAGES) {
        record->seen[record->stage] = 0;
        stages[record->stage].go();
        for (volatile int i = 0; i < 100000000; i++) {
        }
        record->stage++; /* it did not: on with the next */
        program();
        return;
    }
    record->magic = 0;
    for (unsigned i = 0; i < STAGES; i++) {
        test(stages[i].name);
        expect(record->seen[i], 1);
    }
    test("protected mode after a reset");
    expect_true(read_cr0() & CR0_PE);
    expect(read_cr3(), 0);
}
