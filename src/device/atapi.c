/* SPDX-License-Identifier: MIT
 *
 * Packet commands of CD-ROMs: the protocol (ATA/ATAPI-7 volume 2, 11.8), sense data, tray and
 * medium, reading (MMC-5, SPC-3). The longer answers are in atapi_answers.c.
 */
#include <errno.h>
#include <string.h>

#include "base/strbuf.h"
#include "device/ide.h"

#include "trace-device.h"

enum {
    CD_SECTOR = 2048,
    PIECE_SECTORS = IDE_BUFFER / CD_SECTOR / 2,
    RAW_PIECE = IDE_BUFFER / IDE_RAW_SECTOR / 2,
    LIMIT_LARGEST = 0xfffe,
    FEATURE_DMA = 1,
    FEATURE_OVERLAP = 2,
    LEAD_IN_FRAMES = 150,
    MODE_PARAMETERS_LARGEST = 512,
};

uint32_t atapi_sectors(const struct ide_drive *drive)
{
    if (!drive->drive || drive->tray_open) {
        return 0;
    }
    uint64_t sectors = drive_size(drive->drive) / CD_SECTOR;
    return sectors > UINT32_MAX - 1 ? UINT32_MAX - 1 : (uint32_t)sectors;
}

static bool medium_is_there(const struct ide_drive *drive)
{
    return drive->drive && drive_has_medium(drive->drive) && !drive->tray_open;
}

/* --- ends --- */

static void good(struct ide_drive *drive)
{
    drive->sense = (struct ide_sense){0};
    drive->now.count = REASON_TO_HOST | REASON_COMMAND;
    ide_done(drive);
}

void atapi_fail(struct ide_drive *drive, uint8_t key, uint8_t code, uint8_t qualifier)
{
    trace_ide_atapi_cmd_error(drive, key, code);
    drive->sense = (struct ide_sense){key, code, qualifier};
    drive->now.count = REASON_TO_HOST | REASON_COMMAND;
    ide_fail(drive, (uint8_t)(key << 4 | ERROR_ABRT));
}

static void invalid_field(struct ide_drive *drive)
{
    atapi_fail(drive, SENSE_ILLEGAL_REQUEST, 0x24, 0);
}

static void no_medium(struct ide_drive *drive)
{
    atapi_fail(drive, SENSE_NOT_READY, 0x3a, drive->tray_open ? 2 : 1);
}

void atapi_answer(struct ide_drive *drive, uint32_t size, uint32_t room)
{
    if (size > room) {
        size = room;
    }
    if (!size) {
        good(drive);
        return;
    }
    ide_data(drive, true, size, drive->byte_limit, true, THEN_ATAPI_SENT);
}

/* --- reading --- */

static uint32_t sector_size(const struct ide_drive *drive)
{
    return drive->raw_sectors ? IDE_RAW_SECTOR : CD_SECTOR;
}

static void read_piece(struct ide_drive *drive)
{
    uint32_t largest = drive->careful ? 1 : drive->raw_sectors ? RAW_PIECE : PIECE_SECTORS;
    drive->piece = drive->left < largest ? drive->left : largest;
    if (drive->dma) {
        trace_ide_dma_cb(drive, (int64_t)drive->lba, (int)drive->piece, "DMA ATAPI");
    }
    ide_disk(drive, BLOCK_READ, drive->lba * CD_SECTOR, (uint64_t)drive->piece * CD_SECTOR,
             THEN_ATAPI_READ_HOST);
}

static void begin_read(struct ide_drive *drive, uint32_t lba, uint32_t count)
{
    uint32_t size = atapi_sectors(drive);
    if (lba >= size || count > size - lba) {
        atapi_fail(drive, SENSE_ILLEGAL_REQUEST, 0x21, 0);
        return;
    }
    drive->lba = lba;
    drive->left = count;
    if (count) {
        read_piece(drive);
    } else {
        good(drive);
    }
}

static uint8_t to_bcd(uint32_t value)
{
    return (uint8_t)(value / 10 << 4 | value % 10);
}

/* Sectors of mode 1 as they lie on the disc; correction codes are left 0. From the last on, since
 * they grow in place. */
static void make_raw(struct ide_drive *drive)
{
    for (uint32_t i = drive->piece; i-- > 0;) {
        uint8_t *raw = drive->buffer + (size_t)i * IDE_RAW_SECTOR;
        uint32_t frame = (uint32_t)drive->lba + i + LEAD_IN_FRAMES;
        memmove(raw + 16, drive->buffer + (size_t)i * CD_SECTOR, CD_SECTOR);
        memset(raw + 1, 0xff, 10);
        raw[0] = raw[11] = 0;
        raw[12] = to_bcd(frame / 75 / 60);
        raw[13] = to_bcd(frame / 75 % 60);
        raw[14] = to_bcd(frame % 75);
        raw[15] = 1;
        memset(raw + 16 + CD_SECTOR, 0, IDE_RAW_SECTOR - 16 - CD_SECTOR);
    }
}

void atapi_disk_failed(struct ide_drive *drive, int error)
{
    if (error == ENOMEDIUM) {
        no_medium(drive);
    } else if (drive->piece > 1) {
        drive->careful = true;
        read_piece(drive);
    } else {
        atapi_fail(drive, SENSE_MEDIUM_ERROR, 0x11, 0);
    }
}

/* --- commands --- */

static void do_test_unit_ready(struct ide_drive *drive, const uint8_t *packet)
{
    (void)packet;
    good(drive);
}

static void do_request_sense(struct ide_drive *drive, const uint8_t *packet)
{
    enum { SENSE_BYTES = 18 };
    uint8_t *to = drive->buffer;
    struct ide_sense sense = drive->sense;
    if (!sense.key && drive->attention) {
        sense = (struct ide_sense){SENSE_UNIT_ATTENTION, 0x28, 0};
        drive->attention = false;
    }
    memset(to, 0, SENSE_BYTES);
    to[0] = 0x70;
    to[2] = sense.key;
    to[7] = SENSE_BYTES - 8;
    to[12] = sense.code;
    to[13] = sense.qualifier;
    drive->sense = (struct ide_sense){0};
    atapi_answer(drive, SENSE_BYTES, packet[4]);
}

static void do_start_stop(struct ide_drive *drive, const uint8_t *packet)
{
    bool start = packet[4] & 1, load_or_eject = packet[4] & 2;
    if (packet[4] & 0xf0 || !load_or_eject) {
        good(drive); /* power conditions; the motor */
        return;
    }
    if (!start && drive->locked && !drive->tray_open) {
        atapi_fail(drive, SENSE_ILLEGAL_REQUEST, 0x53, 2);
        return;
    }
    bool was_open = drive->tray_open;
    drive->tray_open = !start;
    if (drive->drive) {
        drive_set_tray(drive->drive, drive->tray_open);
    }
    if (was_open && start && drive->drive && drive_has_medium(drive->drive)) {
        drive->attention = true;
        drive->media_event = 2;
    }
    good(drive);
}

static void do_prevent(struct ide_drive *drive, const uint8_t *packet)
{
    drive->locked = packet[4] & 1;
    good(drive);
}

static void do_read_capacity(struct ide_drive *drive, const uint8_t *packet)
{
    (void)packet;
    put_be32(drive->buffer, atapi_sectors(drive) - 1);
    put_be32(drive->buffer + 4, CD_SECTOR);
    atapi_answer(drive, 8, 8);
}

static void do_read(struct ide_drive *drive, const uint8_t *packet)
{
    uint32_t count = packet[0] == 0xa8 ? be32(packet + 6) : be16(packet + 7);
    drive->raw_sectors = false;
    begin_read(drive, be32(packet + 2), count);
}

/* Addresses by minute, second and frame, or by number; byte 9 says which parts of the sectors. */
static void do_read_cd(struct ide_drive *drive, const uint8_t *packet)
{
    uint32_t lba = be32(packet + 2);
    uint32_t count = (uint32_t)packet[6] << 16 | be16(packet + 7);
    if (packet[0] == 0xb9) {
        uint32_t from = (packet[3] * 60u + packet[4]) * 75 + packet[5];
        uint32_t to = (packet[6] * 60u + packet[7]) * 75 + packet[8];
        if (from < LEAD_IN_FRAMES || to < from) {
            invalid_field(drive);
            return;
        }
        lba = from - LEAD_IN_FRAMES;
        count = to - from;
    }
    switch (packet[9] & 0xf8) {
    case 0x00: count = 0; break;
    case 0x10: drive->raw_sectors = false; break;
    case 0xf8: drive->raw_sectors = true; break;
    default: invalid_field(drive); return;
    }
    if (packet[10] & 7) {
        invalid_field(drive); /* sub-channels */
        return;
    }
    if (!count) {
        good(drive);
    } else {
        begin_read(drive, lba, count);
    }
}

static void do_seek(struct ide_drive *drive, const uint8_t *packet)
{
    if (be32(packet + 2) >= atapi_sectors(drive)) {
        atapi_fail(drive, SENSE_ILLEGAL_REQUEST, 0x21, 0);
    } else {
        good(drive);
    }
}

/* The parameters come, and change nothing: no page has fields that can be set. */
static void do_mode_select(struct ide_drive *drive, const uint8_t *packet)
{
    uint32_t size = packet[0] == 0x15 ? packet[4] : be16(packet + 7);
    if (!(packet[1] & 0x10) || size > MODE_PARAMETERS_LARGEST) {
        invalid_field(drive);
    } else if (!size) {
        good(drive);
    } else {
        ide_data(drive, false, size, drive->byte_limit, true, THEN_ATAPI_SELECT);
    }
}

static void do_nothing(struct ide_drive *drive, const uint8_t *packet)
{
    (void)packet;
    good(drive);
}

/* --- the table --- */

enum {
    NEEDS_MEDIUM = 1,
    NO_ATTENTION = 2, /* carried out though an attention waits */
    HAS_DATA = 4,     /* a byte limit of 0 is wrong, by ports */
};

static const struct {
    uint8_t code, flags;
    void (*run)(struct ide_drive *drive, const uint8_t *packet);
} commands[] = {
    /* clang-format off */
    {0x00, NEEDS_MEDIUM, do_test_unit_ready},
    {0x03, NO_ATTENTION | HAS_DATA, do_request_sense},
    {0x12, NO_ATTENTION | HAS_DATA, atapi_inquiry},
    {0x15, HAS_DATA, do_mode_select},                 /* MODE SELECT (6) */
    {0x1a, HAS_DATA, atapi_mode_sense},               /* MODE SENSE (6) */
    {0x1b, 0, do_start_stop},
    {0x1e, 0, do_prevent},
    {0x25, NEEDS_MEDIUM | HAS_DATA, do_read_capacity},
    {0x28, NEEDS_MEDIUM | HAS_DATA, do_read},         /* READ (10) */
    {0x2b, NEEDS_MEDIUM, do_seek},
    {0x35, NEEDS_MEDIUM, do_nothing},                 /* SYNCHRONIZE CACHE */
    {0x42, NEEDS_MEDIUM | HAS_DATA, atapi_read_subchannel},
    {0x43, NEEDS_MEDIUM | HAS_DATA, atapi_read_toc},
    {0x46, NO_ATTENTION | HAS_DATA, atapi_get_configuration},
    {0x4a, NO_ATTENTION | HAS_DATA, atapi_get_event}, /* GET EVENT STATUS NOTIFICATION */
    {0x51, NEEDS_MEDIUM | HAS_DATA, atapi_read_disc_information},
    {0x55, HAS_DATA, do_mode_select},                 /* MODE SELECT (10) */
    {0x5a, HAS_DATA, atapi_mode_sense},               /* MODE SENSE (10) */
    {0xa8, NEEDS_MEDIUM | HAS_DATA, do_read},         /* READ (12) */
    {0xad, NEEDS_MEDIUM | HAS_DATA, atapi_read_dvd_structure},
    {0xb9, NEEDS_MEDIUM | HAS_DATA, do_read_cd},      /* READ CD MSF */
    {0xbb, 0, do_nothing},                            /* SET CD SPEED */
    {0xbd, HAS_DATA, atapi_mechanism_status},
    {0xbe, NEEDS_MEDIUM | HAS_DATA, do_read_cd},      /* READ CD */
    /* clang-format on */
};

static void trace_packet(struct ide_drive *drive)
{
    trace_ide_atapi_cmd(drive, drive->packet[0]);
    if (!TRACE_IDE_ATAPI_CMD_PACKET_BACKEND_DSTATE()) {
        return;
    }
    char room[4 * IDE_PACKET];
    struct strbuf text;
    strbuf_init_in(&text, room, sizeof(room));
    for (unsigned i = 0; i < IDE_PACKET; i++) {
        strbuf_printf(&text, "%s%02x", i ? " " : "", drive->packet[i]);
    }
    trace_ide_atapi_cmd_packet(drive, (uint16_t)drive->byte_limit, text.data);
    strbuf_free(&text);
}

static void run_packet(struct ide_drive *drive)
{
    memcpy(drive->packet, drive->buffer, IDE_PACKET);
    drive->dma = drive->now.features & FEATURE_DMA;
    trace_packet(drive);
    drive->now.count = REASON_TO_HOST | REASON_COMMAND;
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
        uint8_t flags = commands[i].flags;
        if (commands[i].code != drive->packet[0]) {
            continue;
        }
        if (drive->attention && !(flags & NO_ATTENTION) && medium_is_there(drive)) {
            drive->attention = false;
            atapi_fail(drive, SENSE_UNIT_ATTENTION, 0x28, 0);
        } else if (flags & NEEDS_MEDIUM && !medium_is_there(drive)) {
            no_medium(drive);
        } else if (flags & HAS_DATA && !drive->dma && !drive->byte_limit) {
            ide_fail(drive, ERROR_ABRT);
        } else {
            commands[i].run(drive, drive->packet);
        }
        return;
    }
    atapi_fail(drive, SENSE_ILLEGAL_REQUEST, 0x20, 0);
}

void atapi_go_on(struct ide_drive *drive)
{
    switch (drive->then) {
    case THEN_PACKET: run_packet(drive); break;
    case THEN_ATAPI_READ_HOST:
        if (drive->raw_sectors) {
            make_raw(drive);
        }
        ide_data(drive, true, drive->piece * sector_size(drive), drive->byte_limit, true,
                 THEN_ATAPI_READ_NEXT);
        break;
    case THEN_ATAPI_READ_NEXT:
        drive->lba += drive->piece;
        drive->left -= drive->piece;
        if (drive->left) {
            read_piece(drive);
        } else {
            good(drive);
        }
        break;
    case THEN_ATAPI_SENT:
    case THEN_ATAPI_SELECT: good(drive); break;
    default: ide_fail(drive, ERROR_ABRT); break;
    }
}

/* --- commands of the task file --- */

static void do_packet(struct ide_drive *drive)
{
    if (drive->now.features & FEATURE_OVERLAP) {
        ide_fail(drive, ERROR_ABRT);
        return;
    }
    uint32_t limit = drive->now.mid | (uint32_t)drive->now.high << 8;
    drive->byte_limit = limit > LIMIT_LARGEST ? LIMIT_LARGEST : limit & ~1u;
    drive->now.count = REASON_COMMAND;
    ide_data(drive, false, IDE_PACKET, IDE_PACKET, false, THEN_PACKET);
}

void atapi_command(struct ide_drive *drive, uint8_t command)
{
    enum { IDENTIFY = 0xec, IDENTIFY_PACKET = 0xa1, READ_SECTORS = 0x20 };
    switch (command) {
    case 0xa0: do_packet(drive); break;
    case IDENTIFY_PACKET:
        atapi_identify(drive);
        ide_data(drive, true, IDE_SECTOR, IDE_SECTOR, true, THEN_END);
        break;
    case IDENTIFY:
    case READ_SECTORS:
        /* So a host that takes it for a disk learns what it is (9.12). */
        ide_set_signature(drive);
        drive->select = (uint8_t)(drive->unit ? SELECT_DEV : 0);
        ide_fail(drive, ERROR_ABRT);
        break;
    case 0xe0:
    case 0xe1:
    case 0xe2:
    case 0xe3: ide_done(drive); break;
    case 0xe5:
        drive->now.count = POWER_ACTIVE;
        ide_done(drive);
        break;
    case 0xe6:
        ide_done(drive);
        drive->phase = IDE_SLEEPING;
        break;
    case 0xe7: ide_done(drive); break;
    case 0xef:
        if (ata_set_features(drive)) {
            ide_done(drive);
        } else {
            ide_fail(drive, ERROR_ABRT);
        }
        break;
    default: ide_fail(drive, ERROR_ABRT); break;
    }
}

void atapi_medium_changed(struct ide_drive *drive, bool loaded)
{
    /* Somebody pressed the button, and pushed the tray in again if there is a disc in it. */
    drive->tray_open = !loaded;
    drive_set_tray(drive->drive, drive->tray_open);
    drive->attention = loaded;
    drive->media_event = loaded ? 2 : 3;
    if (!loaded) {
        drive->locked = false;
    }
}
