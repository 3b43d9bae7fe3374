/* SPDX-License-Identifier: MIT
 *
 * The metadata of a CTF trace, after reading: where things stand in packets and events.
 * ctf_metadata.c makes it from the TSDL text, ctf.c reads streams by it.
 */
#ifndef TRACE_READ_CTF_METADATA_H
#define TRACE_READ_CTF_METADATA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "trace/decl/decl.h"

/* A number at a fixed place: `bytes` is 0 where the trace has none. */
struct ctf_slot {
    uint32_t offset;
    uint32_t bytes;
};

/* The numbers in front of a packet's events, and in front of an event. */
enum ctf_slot_name {
    CTF_SLOT_MAGIC,
    CTF_SLOT_STREAM,
    CTF_SLOT_BEGIN,
    CTF_SLOT_END,
    CTF_SLOT_CONTENT,
    CTF_SLOT_SIZE,
    CTF_SLOT_SEQUENCE,
    CTF_SLOT_LOST,
    CTF_SLOT_PID,
    CTF_SLOT_THREAD,
    CTF_SLOT_ID,
    CTF_SLOT_TIME,
    CTF_SLOTS,
};

struct ctf_field {
    uint8_t arg;   /* its argument in the declaration */
    uint8_t bytes; /* of a number: 1, 2, 4 or 8; of a string: 0 */
    bool is_signed;
};

struct ctf_event {
    const struct trace_decl *decl;
    unsigned number;
    unsigned nfields;
    unsigned fixed; /* bytes of the fields when all are numbers of 8 bytes in the order of the
                       arguments, else 0 */
    struct ctf_field field[TRACE_VALUES_MAX]; /* in the order of the stream */
};

struct ctf_metadata {
    uint8_t uuid[16];
    uint32_t uuid_offset;
    bool uuid_known;
    struct ctf_slot slot[CTF_SLOTS];
    uint32_t packet_head; /* bytes before a packet's first event */
    uint32_t event_head;  /* bytes before an event's fields */
    bool wall_known;
    int64_t wall; /* ns */
    struct trace_decls *decls;
    struct ctf_event **by_id;
    uint32_t ids; /* length of by_id */
    unsigned events;
};

/* Reads the text; `path` is for sentences ("DIR/metadata"). NULL and a sentence when it is not a
 * trace of ours or is damaged. */
struct ctf_metadata *ctf_metadata_parse(const char *path, const char *text, size_t len,
                                        struct error *err);
void ctf_metadata_free(struct ctf_metadata *m);

#endif
