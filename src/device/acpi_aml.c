/* SPDX-License-Identifier: MIT
 *
 * Writing AML. Lengths stand in front of what they count and are of one to four bytes; blocks are
 * written with four, the longest, so that nothing moves (ACPI 6.3, 20.2.4 allows it). */
#include "device/acpi_aml.h"

#include <string.h>

#include "base/error.h"

enum { LENGTH_BYTES = 4, SEGMENT = 4, SEGMENTS_MAX = 8 };

/* Resource descriptors; the small ones with their lengths. */
enum {
    SMALL_IRQ = 0x22,
    SMALL_DMA = 0x2a,
    SMALL_IO = 0x47,
    SMALL_END = 0x79,
    LARGE_MEMORY_FIXED = 0x86,
    LARGE_DWORD_WINDOW = 0x87,
    LARGE_WORD_WINDOW = 0x88,
    LARGE_INTERRUPT = 0x89,
};

enum { WINDOW_MEMORY = 0, WINDOW_IO = 1, WINDOW_BUS = 2, WINDOW_FIXED = 0x0c };

void aml_init(struct aml *aml)
{
    strbuf_init(&aml->bytes);
    aml->depth = 0;
}

void aml_free(struct aml *aml)
{
    strbuf_free(&aml->bytes);
}

void aml_byte(struct aml *aml, uint8_t byte)
{
    strbuf_putc(&aml->bytes, (char)byte);
}

static void number(struct aml *aml, uint64_t value, unsigned size)
{
    for (unsigned i = 0; i < size; i++) {
        aml_byte(aml, (uint8_t)(value >> 8 * i));
    }
}

void aml_op(struct aml *aml, enum aml_op op)
{
    if (op > 0xff) {
        aml_byte(aml, (uint8_t)(op >> 8));
    }
    aml_byte(aml, (uint8_t)op);
}

/* A segment has four characters, filled up with _. */
static void segment(struct aml *aml, const char *text, size_t length)
{
    if (!length || length > SEGMENT) {
        bug("AML: '%s' begins with no name of one to four letters", text);
    }
    strbuf_add(&aml->bytes, text, length);
    strbuf_add(&aml->bytes, "____", SEGMENT - length);
}

void aml_path(struct aml *aml, const char *path)
{
    unsigned segments = 1;

    while (*path == '\\' || *path == '^') {
        aml_byte(aml, (uint8_t)*path++);
    }
    if (!*path) {
        aml_byte(aml, 0);
        return;
    }
    for (const char *at = path; (at = strchr(at, '.')); at++) {
        segments++;
    }
    if (segments == 2) {
        aml_byte(aml, 0x2e);
    } else if (segments > 2) {
        aml_byte(aml, 0x2f);
        aml_byte(aml, (uint8_t)segments);
    }
    for (; segments; segments--) {
        size_t length = strcspn(path, ".");
        segment(aml, path, length);
        path += length + 1;
    }
}

void aml_integer(struct aml *aml, uint64_t value)
{
    if (value <= 1) {
        aml_byte(aml, (uint8_t)value);
    } else if (value <= 0xff) {
        aml_byte(aml, 0x0a);
        number(aml, value, 1);
    } else if (value <= 0xffff) {
        aml_byte(aml, 0x0b);
        number(aml, value, 2);
    } else if (value <= 0xffffffff) {
        aml_byte(aml, 0x0c);
        number(aml, value, 4);
    } else {
        aml_byte(aml, 0x0e);
        number(aml, value, 8);
    }
}

void aml_string(struct aml *aml, const char *text)
{
    aml_byte(aml, 0x0d);
    strbuf_add(&aml->bytes, text, strlen(text) + 1);
}

/* Three letters of five bits, four hexadecimal digits; big-endian (ACPI 6.3, 19.3.4). */
void aml_eisa(struct aml *aml, const char *id)
{
    uint32_t value = 0;

    for (unsigned i = 0; i < 3; i++) {
        value = value << 5 | (uint32_t)(id[i] - '@');
    }
    for (unsigned i = 3; i < 7; i++) {
        value = value << 4 | (uint32_t)(id[i] <= '9' ? id[i] - '0' : id[i] - 'A' + 10);
    }
    aml_byte(aml, 0x0c);
    number(aml, __builtin_bswap32(value), 4);
}

/* --- blocks --- */

void aml_begin(struct aml *aml, enum aml_op op)
{
    if (aml->depth == AML_DEPTH) {
        bug("AML: blocks nest deeper than %d", AML_DEPTH);
    }
    aml_op(aml, op);
    aml->begun[aml->depth++] = aml->bytes.len;
    number(aml, 0, LENGTH_BYTES);
}

/* The length counts itself: its low four bits with the number of further bytes, then the rest. */
void aml_end(struct aml *aml)
{
    size_t at = aml->begun[--aml->depth], length = aml->bytes.len - at;
    char *to = aml->bytes.data + at;

    if (length >= 1u << 28) {
        bug("AML: a block of %zu bytes", length);
    }
    to[0] = (char)((LENGTH_BYTES - 1) << 6 | (length & 0xf));
    to[1] = (char)(length >> 4);
    to[2] = (char)(length >> 12);
    to[3] = (char)(length >> 20);
}

void aml_begin_named(struct aml *aml, enum aml_op op, const char *path)
{
    aml_begin(aml, op);
    aml_path(aml, path);
}

void aml_begin_method(struct aml *aml, const char *path, unsigned arguments, bool serialized)
{
    aml_begin_named(aml, AML_METHOD, path);
    aml_byte(aml, (uint8_t)(arguments | (serialized ? 8 : 0)));
}

void aml_begin_package(struct aml *aml, uint8_t elements)
{
    aml_begin(aml, AML_PACKAGE);
    aml_byte(aml, elements);
}

void aml_name(struct aml *aml, const char *path)
{
    aml_op(aml, AML_NAME);
    aml_path(aml, path);
}

void aml_name_integer(struct aml *aml, const char *path, uint64_t value)
{
    aml_name(aml, path);
    aml_integer(aml, value);
}

void aml_region(struct aml *aml, const char *path, enum aml_space space, uint64_t offset,
                uint64_t size)
{
    aml_op(aml, AML_EXT_REGION);
    aml_path(aml, path);
    aml_byte(aml, (uint8_t)space);
    aml_integer(aml, offset);
    aml_integer(aml, size);
}

void aml_begin_field(struct aml *aml, const char *region)
{
    aml_begin_named(aml, AML_EXT_FIELD, region);
    aml_byte(aml, 1); /* byte accesses, no lock, the rest is preserved */
}

void aml_field_part(struct aml *aml, const char *name, uint8_t bits)
{
    if (bits >= 64) {
        bug("AML: a field part of %u bits", bits);
    }
    segment(aml, name, strlen(name));
    aml_byte(aml, bits);
}

/* --- resources --- */

/* The size of the buffer is an integer of four bytes, so that nothing moves. */
void aml_begin_resources(struct aml *aml)
{
    aml_begin(aml, AML_BUFFER);
    aml_byte(aml, 0x0c);
    number(aml, 0, 4);
}

void aml_end_resources(struct aml *aml)
{
    aml_byte(aml, SMALL_END);
    aml_byte(aml, 0); /* no checksum */
    size_t at = aml->begun[aml->depth - 1] + LENGTH_BYTES + 1, size = aml->bytes.len - at - 4;
    for (unsigned i = 0; i < 4; i++) {
        aml->bytes.data[at + i] = (char)(size >> 8 * i);
    }
    aml_end(aml);
}

void aml_resource_io(struct aml *aml, uint16_t first, uint8_t size)
{
    aml_byte(aml, SMALL_IO);
    aml_byte(aml, 1); /* all 16 bits are decoded */
    number(aml, first, 2);
    number(aml, first, 2);
    aml_byte(aml, 1); /* alignment */
    aml_byte(aml, size);
}

void aml_resource_irq(struct aml *aml, unsigned line)
{
    aml_byte(aml, SMALL_IRQ);
    number(aml, 1u << line, 2);
}

void aml_resource_dma(struct aml *aml, unsigned channel)
{
    aml_byte(aml, SMALL_DMA);
    aml_byte(aml, (uint8_t)(1 << channel));
    aml_byte(aml, 0); /* compatibility timing, 8 bits */
}

void aml_resource_memory(struct aml *aml, uint32_t first, uint32_t size)
{
    aml_byte(aml, LARGE_MEMORY_FIXED);
    number(aml, 9, 2);
    aml_byte(aml, 0); /* read only */
    number(aml, first, 4);
    number(aml, size, 4);
}

void aml_resource_interrupts(struct aml *aml, const uint8_t *line, uint8_t count)
{
    aml_byte(aml, LARGE_INTERRUPT);
    number(aml, 2u + 4u * count, 2);
    aml_byte(aml, 0x09); /* consumer, level, active high, shared */
    aml_byte(aml, count);
    for (unsigned i = 0; i < count; i++) {
        number(aml, line[i], 4);
    }
}

static void window(struct aml *aml, uint8_t descriptor, unsigned size, uint8_t type, uint8_t flags,
                   uint64_t first, uint64_t last)
{
    aml_byte(aml, descriptor);
    number(aml, 3 + 5u * size, 2);
    aml_byte(aml, type);
    aml_byte(aml, WINDOW_FIXED);
    aml_byte(aml, flags);
    number(aml, 0, size); /* granularity */
    number(aml, first, size);
    number(aml, last, size);
    number(aml, 0, size); /* translation */
    number(aml, last - first + 1, size);
}

void aml_resource_bus_numbers(struct aml *aml, uint16_t first, uint16_t last)
{
    window(aml, LARGE_WORD_WINDOW, 2, WINDOW_BUS, 0, first, last);
}

void aml_resource_window_io(struct aml *aml, uint16_t first, uint16_t last)
{
    window(aml, LARGE_WORD_WINDOW, 2, WINDOW_IO, 3 /* ISA and other ports */, first, last);
}

void aml_resource_window_memory(struct aml *aml, uint32_t first, uint32_t last, bool cacheable)
{
    window(aml, LARGE_DWORD_WINDOW, 4, WINDOW_MEMORY, cacheable ? 3 : 1, first, last);
}
