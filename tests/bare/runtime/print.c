/* SPDX-License-Identifier: MIT
 *
 * What a program tells: on the debug console at port e9 or 402, whichever is there, or else on the
 * serial port at 3f8; and how it ends.
 */
#include <stdarg.h>

#include "bare.h"

enum { SERIAL = 0x3f8, DEBUG_EXIT = 0xf4, BOCHS_EXIT = 0x8900, LONGEST = 400 };

static uint16_t console; /* a port; SERIAL */

static const char *name; /* of the case that runs; NULL: none */
static const char *known;
static char failures[LONGEST];
static unsigned length, passed, failed;

void print_start(void)
{
    /* A debug console reads as e9. */
    console = SERIAL;
    if (inb(0x402) == 0xe9) {
        console = 0x402;
    }
    if (inb(0xe9) == 0xe9) {
        console = 0xe9;
    }
}

static void put(char c)
{
    if (console == SERIAL) {
        for (int i = 0; i < 100000 && !(inb(SERIAL + 5) & 0x20); i++) {
        }
    }
    outb(console, (uint8_t)c);
}

typedef void put_function(char c);

static void number(put_function *to, uint64_t value, unsigned base)
{
    char digits[24];
    unsigned count = 0;
    if (base == 16) {
        do {
            digits[count++] = "0123456789abcdef"[value & 15];
            value >>= 4;
        } while (value);
    } else {
        uint32_t rest = (uint32_t)value;
        do {
            digits[count++] = (char)('0' + rest % 10);
            rest /= 10;
        } while (rest);
    }
    while (count) {
        to(digits[--count]);
    }
}

static void format_to(put_function *to, const char *format, va_list args)
{
    for (; *format; format++) {
        if (*format != '%') {
            to(*format);
            continue;
        }
        unsigned longs = 0;
        while (*++format == 'l') {
            longs++;
        }
        switch (*format) {
        case 's':
            for (const char *s = va_arg(args, const char *); *s; s++) {
                to(*s);
            }
            break;
        case 'c': to((char)va_arg(args, int)); break;
        case 'x':
            number(to,
                   longs == 2   ? va_arg(args, unsigned long long)
                   : longs == 1 ? va_arg(args, unsigned long)
                                : va_arg(args, unsigned),
                   16);
            break;
        case 'd':
        case 'u': number(to, va_arg(args, unsigned), 10); break;
        default: to(*format); break;
        }
    }
}

void print(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    format_to(put, format, args);
    va_end(args);
}

static void put_failure(char c)
{
    if (length < LONGEST - 1) {
        failures[length++] = c;
    }
}

static void failure(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    if (length) {
        put_failure(';');
        put_failure(' ');
    }
    format_to(put_failure, format, args);
    va_end(args);
}

static void end_case(void)
{
    if (!name) {
        return;
    }
    failures[length] = 0;
    if (!length) {
        passed++;
        print("ok %s\n", name);
    } else {
        failed++;
        print("FAIL %s: %s", name, failures);
        if (known) {
            print(" (%s)", known);
        }
        print("\n");
    }
    name = NULL;
}

void test(const char *new_name)
{
    end_case();
    name = new_name;
    known = NULL;
    length = 0;
}

void deviation(const char *text)
{
    known = text;
}

void expect_same(const char *what, uint64_t got, uint64_t expected)
{
    if (got != expected) {
        failure("%s: got %llx expected %llx", what, (unsigned long long)got,
                (unsigned long long)expected);
    }
}

void expect_that(const char *what, bool holds)
{
    if (!holds) {
        failure("%s does not hold", what);
    }
}

void expect_event(const struct event *event, unsigned vector, word error, const void *ip)
{
    if (event->vector != vector) {
        failure("vector: got %lx expected %x (error code %lx, at %lx:%lx, cr2 %lx)", event->vector,
                vector, event->error, event->at.cs, event->at.ip, event->cr2);
        return;
    }
    expect_same("error code", event->error, error);
    if (ip) {
        expect_same("ip", event->at.ip, (word)ip);
    }
}

void expect_done(const struct event *event)
{
    expect_event(event, DONE, 0, NULL);
}

void expect_page_fault(const struct event *event, word error, const void *ip, word address)
{
    expect_event(event, VECTOR_PF, error, ip);
    if (event->vector == VECTOR_PF) {
        expect_same("cr2", event->cr2, address);
    }
}

static void leave(uint32_t value) __attribute__((noreturn));

static void leave(uint32_t value)
{
    outl(DEBUG_EXIT, value);
    for (const char *s = "Shutdown"; *s; s++) {
        outb(BOCHS_EXIT, (uint8_t)*s);
    }
    for (;;) {
        __asm__ volatile("cli; hlt");
    }
}

void finish(void)
{
    end_case();
    print("%u passed, %u failed\n", passed, failed);
    leave(failed ? 1 : 0);
}

void give_up(const char *why)
{
    print("FAIL %s: %s\n", name ? name : "program", why);
    print("%u passed, %u failed\n", passed, failed + 1);
    leave(1);
}

void *memory_set(void *to, int byte, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        ((volatile char *)to)[i] = (char)byte;
    }
    return to;
}

void *memory_copy(void *to, const void *from, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        ((volatile char *)to)[i] = ((const char *)from)[i];
    }
    return to;
}

/* The compiler may call them. */
void *memset(void *to, int byte, size_t count);
void *memcpy(void *to, const void *from, size_t count);

void *memset(void *to, int byte, size_t count)
{
    return memory_set(to, byte, count);
}

void *memcpy(void *to, const void *from, size_t count)
{
    return memory_copy(to, from, count);
}
