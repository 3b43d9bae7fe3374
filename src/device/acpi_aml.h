/* SPDX-License-Identifier: MIT
 *
 * Writing AML, the byte code of ACPI's definition blocks (ACPI 6.3, chapter 20): what acpi.c needs
 * of it. Bytes are appended; blocks (scopes, devices, methods, packages ...) are begun and ended,
 * and may nest. Names are ASL's: "\\_SB.PCI0", "^PRQ0", "_HID".
 */
#ifndef DEVICE_ACPI_AML_H
#define DEVICE_ACPI_AML_H

#include <stdbool.h>
#include <stdint.h>

#include "base/strbuf.h"

enum { AML_DEPTH = 16 };

struct aml {
    struct strbuf bytes;
    size_t begun[AML_DEPTH]; /* where the length of each open block goes */
    unsigned depth;
};

enum aml_op {
    AML_ZERO = 0x00,
    AML_NAME = 0x08,
    AML_SCOPE = 0x10,
    AML_BUFFER = 0x11,
    AML_PACKAGE = 0x12,
    AML_METHOD = 0x14,
    AML_LOCAL0 = 0x60,
    AML_LOCAL1 = 0x61,
    AML_ARG0 = 0x68,
    AML_STORE = 0x70,
    AML_AND = 0x7b,
    AML_OR = 0x7d,
    AML_CREATE_DWORD_FIELD = 0x8a,
    AML_LESS = 0x95,
    AML_IF = 0xa0,
    AML_RETURN = 0xa4,
    /* Behind 0x5b. */
    AML_EXT_REGION = 0x5b80,
    AML_EXT_FIELD = 0x5b81,
    AML_EXT_DEVICE = 0x5b82,
};

enum aml_space { AML_SYSTEM_MEMORY = 0, AML_SYSTEM_IO = 1, AML_PCI_CONFIG = 2 };

void aml_init(struct aml *aml);
void aml_free(struct aml *aml);

void aml_op(struct aml *aml, enum aml_op op);
void aml_byte(struct aml *aml, uint8_t byte);
void aml_path(struct aml *aml, const char *path);
void aml_integer(struct aml *aml, uint64_t value);
void aml_string(struct aml *aml, const char *text);
/* "PNP0A03" as a number. */
void aml_eisa(struct aml *aml, const char *id);

/* Op and length; aml_end() fills the length in. */
void aml_begin(struct aml *aml, enum aml_op op);
void aml_end(struct aml *aml);
void aml_begin_named(struct aml *aml, enum aml_op op, const char *path);
void aml_begin_method(struct aml *aml, const char *path, unsigned arguments, bool serialized);
void aml_begin_package(struct aml *aml, uint8_t elements);

/* Name (PATH, what is appended next). */
void aml_name(struct aml *aml, const char *path);
void aml_name_integer(struct aml *aml, const char *path, uint64_t value);
void aml_region(struct aml *aml, const char *path, enum aml_space space, uint64_t offset,
                uint64_t size);
/* A part of a field, between aml_begin_field() and aml_end(): byte accesses, nothing else kept. */
void aml_begin_field(struct aml *aml, const char *region);
void aml_field_part(struct aml *aml, const char *name, uint8_t bits);

/* Resources (ACPI 6.3, 6.4): between these, parts of a template, a buffer. */
void aml_begin_resources(struct aml *aml);
void aml_end_resources(struct aml *aml);
void aml_resource_io(struct aml *aml, uint16_t first, uint8_t size);
void aml_resource_irq(struct aml *aml, unsigned number); /* edge, active high, exclusive */
void aml_resource_dma(struct aml *aml, unsigned channel);
void aml_resource_memory(struct aml *aml, uint32_t first, uint32_t size);
/* Level, active high, shared: the lines that a link may lead to. */
void aml_resource_interrupts(struct aml *aml, const uint8_t *number, uint8_t count);
/* What a bridge passes on, first to last inclusive. */
void aml_resource_bus_numbers(struct aml *aml, uint16_t first, uint16_t last);
void aml_resource_window_io(struct aml *aml, uint16_t first, uint16_t last);
void aml_resource_window_memory(struct aml *aml, uint32_t first, uint32_t last, bool cacheable);

#endif
