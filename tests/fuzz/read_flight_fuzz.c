/* SPDX-License-Identifier: MIT
 *
 * Fuzz target: the reader of flight recordings. So that short inputs get far, the file is made
 * here: a good header, declarations and mapping, and two chunks filled from the input; then bytes
 * of the file are changed as the input says.
 *
 *     byte 0          number of changes (low 4 bits); whether the file is cut (bit 4)
 *     4 bytes each    a change: place (24 bits, little-endian), value
 *     the rest        half for each chunk, from its sequence number on */
#include <string.h>

#include "trace/record.h"
#include "trace/write/flight.h"
#include "walk.h"

static const char text[] = "tick(void) \"\"\n"
                           "two(uint64_t offs, int val) \"offs 0x%lx val %d\"\n"
                           "name(const char *dev, uint32_t bus, char *t) \"%s %u %s\"\n";
static const char *const names[] = {"tick", "two", "name"};

enum {
    CHUNKS = 2,
    CHUNKS_AT = FLIGHT_HEADER_SIZE + 4096,
    FILE_SIZE = CHUNKS_AT + CHUNKS * FLIGHT_CHUNK_MIN,
};

static uint8_t file[FILE_SIZE];

/* Writes the tables in front of the chunks. */
static void put_tables(struct flight_header *head)
{
    uint8_t *p = file + FLIGHT_HEADER_SIZE;
    memcpy(p, text, sizeof text - 1);
    p += sizeof text - 1;
    for (uint64_t id = 0; id < sizeof names / sizeof *names; id++) {
        const uint64_t words[2] = {TRACE_TYPE_MAPPING, id};
        const uint32_t length = (uint32_t)strlen(names[id]);
        memcpy(p, words, sizeof words);
        memcpy(p + 16, &length, 4);
        memcpy(p + 20, names[id], length);
        p += 20 + length;
    }
    head->text_offset = FLIGHT_HEADER_SIZE;
    head->text_length = sizeof text - 1;
    head->mapping_length = (uint64_t)(p - file) - FLIGHT_HEADER_SIZE - head->text_length;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1) {
        return 0;
    }
    const size_t changes = data[0] & 15;
    const bool cut_off = data[0] & 16;
    const uint8_t *change = data + 1;
    if (size < 1 + changes * 4) {
        return 0;
    }
    data += 1 + changes * 4;
    size -= 1 + changes * 4;

    struct flight_header head = {
        .magic = FLIGHT_MAGIC,
        .version = FLIGHT_VERSION,
        .byte_order = 0x01020304,
        .chunk_size = FLIGHT_CHUNK_MIN,
        .chunk_count = CHUNKS,
        .chunks_offset = CHUNKS_AT,
        .pid = 1,
    };
    memset(file, 0, sizeof file);
    put_tables(&head);
    memcpy(file, &head, sizeof head);
    for (size_t i = 0; i < CHUNKS; i++) {
        const size_t half = size / 2 < FLIGHT_CHUNK_MIN ? size / 2 : FLIGHT_CHUNK_MIN;
        memcpy(file + CHUNKS_AT + i * FLIGHT_CHUNK_MIN, data + i * half, half);
    }
    for (size_t i = 0; i < changes; i++, change += 4) {
        const size_t place = (size_t)change[0] | (size_t)change[1] << 8 | (size_t)change[2] << 16;
        file[place % sizeof file] = change[3];
    }

    /* Somewhere in the second chunk, as far as it is filled. */
    const size_t cut = cut_off ? FLIGHT_CHUNK_MIN - size / 3 % FLIGHT_CHUNK_MIN : 0;
    const struct trace_reader_options options = {0};
    struct error err = {0};
    walk_reader(
        trace_reader_open_input("fuzz", input_memory(file, sizeof file - cut), &options, &err),
        &err, false);
    return 0;
}
