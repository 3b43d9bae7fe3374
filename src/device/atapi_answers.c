/* SPDX-License-Identifier: MIT
 *
 * Answers of a DVD-ROM drive that are mostly tables: who it is, its mode pages, the disc's table of
 * contents, configuration, events, the structure of DVDs (MMC-5; the mode page of capabilities is
 * MMC-3's).
 */
#include <string.h>

#include "device/ide.h"

enum {
    LEAD_OUT = 0xaa,
    LEAD_IN_FRAMES = 150,
    /* A disc with more sectors than a CD holds (80 minutes) is a DVD. */
    CD_SECTORS_LARGEST = 80 * 60 * 75,
    PROFILE_CD = 0x0008,
    PROFILE_DVD = 0x0010,
};

static bool is_dvd(const struct ide_drive *drive)
{
    return atapi_sectors(drive) > CD_SECTORS_LARGEST;
}

static void invalid_field(struct ide_drive *drive)
{
    atapi_fail(drive, SENSE_ILLEGAL_REQUEST, 0x24, 0);
}

static void pad(uint8_t *to, const char *text, size_t size)
{
    size_t length = strlen(text);
    memset(to, ' ', size);
    memcpy(to, text, length < size ? length : size);
}

static void vital_page(struct ide_drive *drive, uint8_t page, uint32_t room)
{
    uint8_t *to = drive->buffer;
    memset(to, 0, 64);
    to[0] = 0x05;
    to[1] = page;
    switch (page) {
    case 0x00:
        to[3] = 2;
        to[5] = 0x83;
        atapi_answer(drive, 6, room);
        break;
    case 0x83: /* an identification of the vendor's kind, in ASCII */
        to[3] = 4 + 20;
        to[4] = 2;
        to[7] = 20;
        pad(to + 8, drive->serial ? drive->serial : "", 20);
        atapi_answer(drive, 28, room);
        break;
    default: invalid_field(drive); break;
    }
}

void atapi_inquiry(struct ide_drive *drive, const uint8_t *packet)
{
    uint8_t *to = drive->buffer;
    uint32_t room = be16(packet + 3);
    if (packet[1] & 1) {
        vital_page(drive, packet[2], room);
        return;
    }
    if (packet[2]) {
        invalid_field(drive);
        return;
    }
    memset(to, 0, 36);
    to[0] = 0x05; /* CD/DVD */
    to[1] = 0x80; /* removable */
    to[3] = 0x21; /* ATAPI 2, answers of format 1 */
    to[4] = 31;
    pad(to + 8, "QEMU", 8);
    pad(to + 16, "QEMU DVD-ROM", 16);
    pad(to + 32, drive->version ? drive->version : "2.5+", 4);
    atapi_answer(drive, 36, room);
}

/* --- mode pages --- */

static const uint8_t error_page[] = {0x01, 6, 0, 5, 0, 0, 0, 0};
static const uint8_t audio_page[] = {0x0e, 14, 4, 0, 0, 0, 0, 0, 1, 0xff, 2, 0xff, 0, 0, 0, 0};
/* Reads CD-R, CD-RW, DVD-ROM, DVD-R; multi-session, mode 2; a tray that locks and ejects. */
static const uint8_t capabilities_page[] = {0x2a, 18,   0x3b, 0x00, 0x70, 0x60, 0x29,
                                            0x00, 0x02, 0xc2, 0x00, 0x02, 0x02, 0x00,
                                            0x02, 0xc2, 0x00, 0x00, 0x00, 0x00};

static const struct {
    const uint8_t *bytes;
    uint8_t size;
} pages[] = {
    {error_page, sizeof(error_page)},
    {audio_page, sizeof(audio_page)},
    {capabilities_page, sizeof(capabilities_page)},
};

void atapi_mode_sense(struct ide_drive *drive, const uint8_t *packet)
{
    enum { SHORT = 0x1a, ALL = 0x3f };
    bool is_short = packet[0] == SHORT;
    uint32_t head = is_short ? 4 : 8, size = head;
    uint8_t page = packet[2] & 0x3f, control = packet[2] >> 6, *to = drive->buffer;
    if (control == 3) {
        atapi_fail(drive, SENSE_ILLEGAL_REQUEST, 0x39, 0); /* none are saved */
        return;
    }
    for (size_t i = 0; i < sizeof(pages) / sizeof(pages[0]); i++) {
        if (page != ALL && page != pages[i].bytes[0]) {
            continue;
        }
        uint8_t *at = to + size;
        memcpy(at, pages[i].bytes, pages[i].size);
        if (control == 1) {
            memset(at + 2, 0, pages[i].size - 2u);
        } else if (pages[i].bytes == capabilities_page && drive->locked) {
            at[6] |= 0x02;
        }
        size += pages[i].size;
    }
    if (size == head) {
        invalid_field(drive);
        return;
    }
    uint8_t medium = drive->tray_open ? 0x71 : atapi_sectors(drive) ? 0x01 : 0x70;
    memset(to, 0, head);
    if (is_short) {
        to[0] = (uint8_t)(size - 1);
        to[1] = medium;
    } else {
        put_be16(to, size - 2);
        to[2] = medium;
    }
    atapi_answer(drive, size, is_short ? packet[4] : be16(packet + 7));
}

/* --- table of contents: one track of data --- */

static uint8_t *put_address(uint8_t *to, bool msf, uint32_t lba)
{
    if (msf) {
        uint32_t frame = lba + LEAD_IN_FRAMES;
        to[0] = 0;
        to[1] = (uint8_t)(frame / 75 / 60);
        to[2] = (uint8_t)(frame / 75 % 60);
        to[3] = (uint8_t)(frame % 75);
    } else {
        put_be32(to, lba);
    }
    return to + 4;
}

static uint8_t *put_track(uint8_t *to, uint8_t track, bool msf, uint32_t lba)
{
    *to++ = 0;
    *to++ = track == LEAD_OUT ? 0x16 : 0x14; /* a digital track */
    *to++ = track;
    *to++ = 0;
    return put_address(to, msf, lba);
}

/* A row of the raw table: session 1, what (a0: first track, a1: last, a2: lead-out, or a track),
 * and where. */
static uint8_t *put_raw(uint8_t *to, uint8_t point, uint8_t minute, uint8_t second, uint8_t frame)
{
    memset(to, 0, 11);
    to[0] = 1;
    to[1] = 0x14;
    to[3] = point;
    to[8] = minute;
    to[9] = second;
    to[10] = frame;
    return to + 11;
}

static uint8_t *raw_table(uint8_t *at, uint32_t sectors)
{
    uint32_t end = sectors + LEAD_IN_FRAMES;
    at = put_raw(at, 0xa0, 1, 0, 0);
    at = put_raw(at, 0xa1, 1, 0, 0);
    at = put_raw(at, 0xa2, (uint8_t)(end / 75 / 60), (uint8_t)(end / 75 % 60), (uint8_t)(end % 75));
    return put_raw(at, 1, 0, 2, 0);
}

void atapi_read_toc(struct ide_drive *drive, const uint8_t *packet)
{
    uint32_t room = be16(packet + 7), sectors = atapi_sectors(drive);
    bool msf = packet[1] & 2;
    uint8_t format = packet[2] & 0x0f, first = packet[6];
    uint8_t *to = drive->buffer, *at = to + 4;
    if (!format) {
        format = packet[9] >> 6; /* where SFF-8020i had it */
    }
    to[2] = to[3] = 1; /* first and last track, or session */
    switch (format) {
    case 0:
        if (first > 1 && first != LEAD_OUT) {
            invalid_field(drive);
            return;
        }
        if (first <= 1) {
            at = put_track(at, 1, msf, 0);
        }
        at = put_track(at, LEAD_OUT, msf, sectors);
        break;
    case 1: at = put_track(at, 1, msf, 0); break;
    case 2: at = raw_table(at, sectors); break;
    default: invalid_field(drive); return;
    }
    put_be16(to, (uint32_t)(at - to) - 2);
    atapi_answer(drive, (uint32_t)(at - to), room);
}

void atapi_read_subchannel(struct ide_drive *drive, const uint8_t *packet)
{
    uint8_t *to = drive->buffer;
    memset(to, 0, 4);
    to[1] = 0x15; /* no audio is playing */
    atapi_answer(drive, 4, be16(packet + 7));
}

void atapi_read_disc_information(struct ide_drive *drive, const uint8_t *packet)
{
    uint8_t *to = drive->buffer;
    memset(to, 0, 34);
    put_be16(to, 32);
    to[2] = 0x0e; /* the disc and its session are complete */
    to[3] = to[4] = to[5] = to[6] = 1;
    to[7] = 0x20; /* may be used without conditions */
    atapi_answer(drive, 34, be16(packet + 7));
}

/* --- configuration --- */

/* Features: code, version and persistence, bytes that follow. Current is added. */
static const struct {
    uint16_t code;
    uint8_t flags, size;
    uint8_t bytes[8];
    enum { ALWAYS, WITH_MEDIUM, WITH_CD, WITH_DVD } current;
} features[] = {
    {0x0001, 0x0a, 8, {0, 0, 0, 2, 1, 0, 0, 0}, ALWAYS},      /* core: ATAPI, events */
    {0x0003, 0x02, 4, {0x29, 0, 0, 0}, ALWAYS},               /* removable: tray, locks, ejects */
    {0x0010, 0x00, 8, {0, 0, 8, 0, 0, 1, 0, 0}, WITH_MEDIUM}, /* random reading, 2048 bytes */
    {0x001e, 0x08, 4, {0, 0, 0, 0}, WITH_CD},                 /* reads CDs */
    {0x001f, 0x00, 0, {0}, WITH_DVD},                         /* reads DVDs */
};

static bool is_current(const struct ide_drive *drive, int current)
{
    bool medium = atapi_sectors(drive), dvd = is_dvd(drive);
    return current == ALWAYS || (current == WITH_MEDIUM && medium) ||
           (current == WITH_CD && medium && !dvd) || (current == WITH_DVD && dvd);
}

static uint8_t *put_profiles(uint8_t *at, uint16_t profile)
{
    put_be16(at, 0x0000);
    at[2] = 0x03;
    at[3] = 8;
    put_be16(at + 4, PROFILE_DVD);
    at[6] = profile == PROFILE_DVD;
    at[7] = 0;
    put_be16(at + 8, PROFILE_CD);
    at[10] = profile == PROFILE_CD;
    at[11] = 0;
    return at + 12;
}

void atapi_get_configuration(struct ide_drive *drive, const uint8_t *packet)
{
    enum { ALL, ONLY_CURRENT, ONE };
    uint8_t what = packet[1] & 3, *to = drive->buffer, *at = to + 8;
    uint16_t first = be16(packet + 2);
    uint16_t profile = !atapi_sectors(drive) ? 0 : is_dvd(drive) ? PROFILE_DVD : PROFILE_CD;
    if (what > ONE) {
        invalid_field(drive);
        return;
    }
    memset(to, 0, 8);
    put_be16(to + 6, profile);
    if (!first) {
        at = put_profiles(at, profile);
    }
    for (size_t i = 0; i < sizeof(features) / sizeof(features[0]); i++) {
        bool current = is_current(drive, features[i].current);
        bool asked = what == ONE ? features[i].code == first : features[i].code >= first;
        if (!asked || (what == ONLY_CURRENT && !current)) {
            continue;
        }
        put_be16(at, features[i].code);
        at[2] = features[i].flags | (current ? 1 : 0);
        at[3] = features[i].size;
        memcpy(at + 4, features[i].bytes, features[i].size);
        at += 4 + features[i].size;
    }
    put_be32(to, (uint32_t)(at - to) - 4);
    atapi_answer(drive, (uint32_t)(at - to), be16(packet + 7));
}

/* Only asking is possible, and only the class of media has events. */
void atapi_get_event(struct ide_drive *drive, const uint8_t *packet)
{
    enum { POLLED = 1, MEDIA_CLASS = 4, CLASSES = 1 << MEDIA_CLASS };
    uint8_t *to = drive->buffer;
    if (!(packet[1] & POLLED)) {
        invalid_field(drive);
        return;
    }
    memset(to, 0, 8);
    to[3] = CLASSES;
    if (!(packet[4] & CLASSES)) {
        to[1] = 2;
        to[2] = 0x80;
        atapi_answer(drive, 4, be16(packet + 7));
        return;
    }
    to[1] = 6;
    to[2] = MEDIA_CLASS;
    to[4] = drive->media_event;
    to[5] = (uint8_t)((drive->tray_open ? 1 : 0) | (atapi_sectors(drive) ? 2 : 0));
    drive->media_event = 0;
    atapi_answer(drive, 8, be16(packet + 7));
}

void atapi_mechanism_status(struct ide_drive *drive, const uint8_t *packet)
{
    uint8_t *to = drive->buffer;
    memset(to, 0, 8);
    to[1] = drive->tray_open ? 0x10 : 0;
    to[5] = 1; /* no changer: one slot */
    atapi_answer(drive, 8, be16(packet + 8));
}

/* --- DVDs --- */

static uint32_t physical_format(const struct ide_drive *drive, uint8_t *at)
{
    enum { DATA_START = 0x30000 };
    memset(at, 0, 2048);
    at[0] = 0x01; /* DVD-ROM, version 1 */
    at[1] = 0x0f; /* 120 mm, no rate is asked for */
    at[2] = 0x01; /* one layer with data burnt in */
    put_be32(at + 4, DATA_START);
    put_be32(at + 8, DATA_START + atapi_sectors(drive) - 1);
    return 2048;
}

void atapi_read_dvd_structure(struct ide_drive *drive, const uint8_t *packet)
{
    static const uint8_t list[][4] = {
        {0x00, 0x40, 0x08, 0x04}, {0x01, 0x40, 0x00, 0x08}, {0x04, 0x40, 0x08, 0x04}};
    uint8_t format = packet[7], *to = drive->buffer;
    uint32_t size = 0;
    if (!is_dvd(drive)) {
        atapi_fail(drive, SENSE_ILLEGAL_REQUEST, 0x30, 2); /* another medium */
        return;
    }
    if (packet[6]) {
        invalid_field(drive); /* layers */
        return;
    }
    switch (format) {
    case 0x00: size = physical_format(drive, to + 4); break;
    case 0x01: /* no protection, all regions */
        memset(to + 4, 0, 4);
        size = 4;
        break;
    case 0x04:
        memset(to + 4, 0, 2048);
        size = 2048;
        break;
    case 0xff:
        memcpy(to + 4, list, sizeof(list));
        size = sizeof(list);
        break;
    default: invalid_field(drive); return;
    }
    put_be32(to, 0);
    put_be16(to, size + 2);
    atapi_answer(drive, size + 4, be16(packet + 8));
}
