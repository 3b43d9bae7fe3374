/* SPDX-License-Identifier: MIT
 *
 * The walk of a small kernel over the PCI bus: for every slot and function it reads what is there
 * with pci_read_config_word(), as articles on systems programming show it. With `-d
 * trace:pci_cfg_read` the reads of each device are: vendor (twice), class, interrupt line.
 */

/* options: -vga std -nic none -device e1000,addr=3 */

/* bochs: no, it has other devices */

#include "runtime/bare.h"

static uint32_t pci_read_config_word(uint8_t bus, uint8_t device, uint8_t function, uint8_t reg)
{
    outl(0xcf8, 0x80000000u | (uint32_t)bus << 16 | (uint32_t)device << 11 |
                    (uint32_t)function << 8 | reg);
    return inl(0xcfc);
}

/* The devices that a `pc` machine has in this order. */
static const struct {
    const char *name;
    uint8_t device, function;
    uint32_t id, class;
    uint8_t pin, line; /* the line once firmware has given it */
} expected[] = {
    {"host bridge", 0, 0, 0x12378086, 0x06000002, 0, 0},
    {"ISA bridge", 1, 0, 0x70008086, 0x06010000, 0, 0},
    {"IDE", 1, 1, 0x70108086, 0x01018000, 0, 0},
    {"power management", 1, 3, 0x71138086, 0x06800003, 1, 9},
    {"VGA", 2, 0, 0x11111234, 0x03000002, 0, 0},
    {"Ethernet", 3, 0, 0x100e8086, 0x02000003, 1, 11},
};

void program(void)
{
    unsigned found = 0;
    for (unsigned device = 0; device < 32; device++) {
        for (unsigned function = 0; function < 8; function++) {
            if ((pci_read_config_word(0, (uint8_t)device, (uint8_t)function, 0) & 0xffff) ==
                0xffff) {
                continue;
            }
            uint32_t id = pci_read_config_word(0, (uint8_t)device, (uint8_t)function, 0);
            uint32_t class = pci_read_config_word(0, (uint8_t)device, (uint8_t)function, 8);
            uint32_t line = pci_read_config_word(0, (uint8_t)device, (uint8_t)function, 0x3c);
            if (found == sizeof expected / sizeof expected[0]) {
                test("no more devices");
                expect(id, 0xffffffff);
                continue;
            }
            test(expected[found].name);
            expect(device, expected[found].device);
            expect(function, expected[found].function);
            expect(id, expected[found].id);
            expect(class, expected[found].class);
            expect(line >> 8 & 0xff, expected[found].pin);
            expect_true((line & 0xff) == 0 || (line & 0xff) == expected[found].line);
            found++;
        }
    }
    test("all devices");
    expect(found, sizeof expected / sizeof expected[0]);
}
