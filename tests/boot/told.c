/* SPDX-License-Identifier: MIT
 *
 * A multiboot or PVH kernel that says what it was told, a line each, on the debug console, and ends
 * the machine. Built by boot_test.py: MULTIBOOT is the header's flags, PVH its entry note.
 *
 * With "again" as its command line it resets the machine the first time, its bss full. */
#include <stdint.h>

void told(uint32_t eax, const uint32_t *ebx, uint32_t flags, uint32_t cr0);

#define TEXT_OF(x) #x
#define TEXT(x)    TEXT_OF(x)

__asm__(".section .header, \"a\"\n"
#ifdef MULTIBOOT
        ".long 0x1badb002, " TEXT(MULTIBOOT) ", -(0x1badb002 + " TEXT(
            MULTIBOOT) ")\n"
#endif
                       ".section .note, \"a\", @note\n"
#ifdef PVH
                       ".long 4, 4, 18\n"
                       ".asciz \"Xen\"\n"
                       ".long start\n"
#endif
                       ".text\n"
                       ".globl start\n"
                       "start:\n"
                       "       movl    $stack_end, %esp\n"
                       "       pushfl\n"
                       "       popl    %ecx\n"
                       "       movl    %cr0, %edx\n"
                       "       pushl   %edx\n"
                       "       pushl   %ecx\n"
                       "       pushl   %ebx\n"
                       "       pushl   %eax\n"
                       "       call    told\n");

__attribute__((used)) static char stack[4096] __asm__("stack");
__asm__(".globl stack_end\n.set stack_end, stack + 4096");

enum { CONSOLE = 0xe9, END = 0xf4, RESET = 0xcf9, MARK = 0x12345678 };

static uint32_t bss[4000];
/* A segment of its own below 640 KiB, over the place where a boot loader has its stack. */
__attribute__((section(".low"))) static uint8_t low[0x1800] = {[0] = 0x5a, [0x17ff] = 0xa5};

static void out(uint16_t port, uint8_t value)
{
    __asm__ volatile("outb %0, %1" ::"a"(value), "d"(port));
}

static void text(const char *t)
{
    while (*t) {
        out(CONSOLE, (uint8_t)*t++);
    }
}

static void number(uint32_t value)
{
    text(" ");
    for (int shift = 28; shift >= 0; shift -= 4) {
        out(CONSOLE, (uint8_t) "0123456789abcdef"[value >> shift & 15]);
    }
}

static void line(const char *name, const uint32_t *values, int count)
{
    text(name);
    for (int i = 0; i < count; i++) {
        number(values[i]);
    }
    text("\n");
}

static void quoted(const char *name, uint32_t address)
{
    text(name);
    text(" [");
    text((const char *)(uintptr_t)address);
    text("]\n");
}

static void module(uint32_t start, uint32_t size, uint32_t string)
{
    uint32_t sum = 0;

    for (uint32_t i = 0; i < size; i++) {
        sum = sum * 31 + ((const uint8_t *)(uintptr_t)start)[i];
    }
    line("module", (uint32_t[]){start, size, sum}, 3);
    if (string) {
        quoted("string", string);
    }
}

static void by_multiboot(const uint32_t *info)
{
    line("flags", info, 1);
    line("mem", info + 1, 2);
    quoted("cmdline", info[4]);
    quoted("loader", info[16]);
    const uint32_t *m = (const uint32_t *)(uintptr_t)info[6];
    for (uint32_t i = 0; i < info[5]; i++, m += 4) {
        module(m[0], m[1] - m[0], m[2]);
    }
    for (uint32_t at = info[12]; at < info[12] + info[11];) {
        const uint32_t *entry = (const uint32_t *)(uintptr_t)at;
        line("map", entry + 1, 5);
        at += entry[0] + 4;
    }
    if (info[0] & 0x1000) {
        line("framebuffer", info + 22, 6);
    }
}

static void by_pvh(const uint32_t *info)
{
    line("start", info, 4);
    quoted("cmdline", info[6]);
    const uint32_t *m = (const uint32_t *)(uintptr_t)info[4];
    for (uint32_t i = 0; i < info[3]; i++, m += 8) {
        module(m[0], m[2], m[4]);
    }
    const uint32_t *entry = (const uint32_t *)(uintptr_t)info[10];
    for (uint32_t i = 0; i < info[12]; i++, entry += 6) {
        line("map", entry, 5);
    }
    line("rsdp", (const uint32_t *)(uintptr_t)info[8], 2);
}

void told(uint32_t eax, const uint32_t *ebx, uint32_t flags, uint32_t cr0)
{
    volatile uint32_t *mark = (volatile uint32_t *)0x700000;
    const char *command = (const char *)(uintptr_t)ebx[4];
    uint32_t dirty = 0;

    line("entered", (uint32_t[]){eax, flags & 0x20200, cr0 & 0x80000001}, 3);
    for (unsigned i = 0; i < sizeof bss / sizeof bss[0]; i++) {
        dirty |= bss[i];
        bss[i] = MARK;
    }
    line("bss", &dirty, 1);
    line("low", (uint32_t[]){low[0], low[0x17ff]}, 2);
    if (eax == 0x2badb002) {
        while (*command && *command != ' ') {
            command++;
        }
        if (command[0] == ' ' && command[1] == 'a' && *mark != MARK) {
            *mark = MARK;
            low[0] = 0;
            out(RESET, 6);
            for (;;) {
                __asm__ volatile("hlt");
            }
        }
        by_multiboot(ebx);
    } else {
        by_pvh(ebx);
    }
    text("end\n");
    out(END, 0);
    for (;;) {
        __asm__ volatile("hlt");
    }
}
