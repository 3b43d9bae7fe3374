/* SPDX-License-Identifier: MIT
 *
 * What drives say of themselves: IDENTIFY DEVICE and IDENTIFY PACKET DEVICE (ATA/ATAPI-7 volume 1,
 * 6.17 and 6.18), and SMART data. Names are QEMU's, since guests and scripts know them.
 */
#include <stdio.h>
#include <string.h>

#include "device/ide.h"

enum {
    WORDS = IDE_SECTOR / 2,
    LBA28_LARGEST = 0x0fffffff,
    SERIAL_CHARACTERS = 20,
    VERSION_CHARACTERS = 8,
    MODEL_CHARACTERS = 40,
};

static void put(struct ide_drive *drive, unsigned word, uint32_t value)
{
    drive->buffer[2 * word] = (uint8_t)value;
    drive->buffer[2 * word + 1] = (uint8_t)(value >> 8);
}

/* Characters come in pairs, the first in the high byte. */
static void put_text(struct ide_drive *drive, unsigned word, const char *text, unsigned length)
{
    size_t given = strlen(text);
    for (unsigned i = 0; i < length; i++) {
        drive->buffer[2 * word + (i ^ 1)] = (uint8_t)(i < given ? text[i] : ' ');
    }
}

static void put_names(struct ide_drive *drive, const char *model)
{
    char serial[SERIAL_CHARACTERS + 1];
    snprintf(serial, sizeof(serial), "QM%05u",
             1 + drive->channel->number * IDE_UNITS + (unsigned)drive->unit);
    put_text(drive, 10, drive->serial ? drive->serial : serial, SERIAL_CHARACTERS);
    put_text(drive, 23, drive->version ? drive->version : "2.5+", VERSION_CHARACTERS);
    put_text(drive, 27, drive->model ? drive->model : model, MODEL_CHARACTERS);
}

/* Modes there are in the low byte, the one that is set in the high byte. */
static void put_modes(struct ide_drive *drive)
{
    uint8_t mode = drive->transfer_mode;
    uint32_t multiword = 0x07, ultra = 0x3f;
    if (mode >> 3 == 4) {
        multiword |= 0x100u << (mode & 7);
    } else if (mode >> 3 == 8) {
        ultra |= 0x100u << (mode & 7);
    } else if (!mode) {
        ultra |= 0x100u << 5;
    }
    put(drive, 63, multiword);
    put(drive, 64, 0x0003); /* PIO 3 and 4 */
    for (unsigned word = 65; word <= 68; word++) {
        put(drive, word, 120); /* cycle times, ns */
    }
    put(drive, 88, ultra);
}

static void put_geometry(struct ide_drive *drive, uint64_t sectors)
{
    const struct geometry *geometry = &drive->geometry;
    uint32_t cylinders = geometry->cylinders, heads = geometry->heads;
    uint32_t track = geometry->sectors;
    put(drive, 1, cylinders);
    put(drive, 3, heads);
    put(drive, 6, track);
    if (drive->chs_heads) {
        cylinders = drive->chs_cylinders;
        heads = drive->chs_heads;
        track = drive->chs_sectors;
    }
    uint32_t all = cylinders * heads * track;
    uint32_t narrow = sectors > LBA28_LARGEST ? LBA28_LARGEST : (uint32_t)sectors;
    put(drive, 53, 0x0007); /* words 54-58, 64-70 and 88 are valid */
    put(drive, 54, cylinders);
    put(drive, 55, heads);
    put(drive, 56, track);
    put(drive, 57, all);
    put(drive, 58, all >> 16);
    put(drive, 60, narrow);
    put(drive, 61, narrow >> 16);
    for (unsigned i = 0; i < 4; i++) {
        put(drive, 100 + i, (uint32_t)(sectors >> 16 * i) & 0xffff);
    }
}

static void put_checksum(struct ide_drive *drive)
{
    uint8_t sum = 0xa5;
    drive->buffer[510] = 0xa5;
    for (unsigned i = 0; i < 510; i++) {
        sum = (uint8_t)(sum + drive->buffer[i]);
    }
    drive->buffer[511] = (uint8_t)-sum;
}

void ata_identify(struct ide_drive *drive)
{
    uint64_t sectors = ata_sectors(drive);
    memset(drive->buffer, 0, IDE_SECTOR);
    put(drive, 0, 0x0040); /* fixed */
    put_names(drive, "QEMU HARDDISK");
    put_geometry(drive, sectors);
    put_modes(drive);
    put(drive, 47, 0x8000 | IDE_MULTIPLE_LARGEST);
    put(drive, 48, 1);      /* 32-bit accesses to the data port */
    put(drive, 49, 0x0f00); /* IORDY, LBA, DMA */
    put(drive, 50, 0x4000);
    put(drive, 51, 0x0200);
    put(drive, 52, 0x0200);
    put(drive, 59, drive->multiple ? 0x100u | drive->multiple : 0);
    put(drive, 80, 0x00f0); /* ATA-4 to ATA-7 */
    put(drive, 81, 0x0016);
    /* 82: NOP, read look-ahead, write cache, power management, SMART. 83: flushes, LBA48, set
     * features of AAM is left out. 84: FUA, world wide name. 85 to 87: which of them are on. */
    put(drive, 82, 0x4069);
    put(drive, 83, 0x7400);
    put(drive, 84, 0x4040 | (drive->wwn ? 0x100u : 0));
    put(drive, 85,
        0x4008 | (drive->look_ahead ? 0x40u : 0) | (drive->write_cache ? 0x20u : 0) |
            (drive->smart ? 0x01u : 0));
    put(drive, 86, 0x3400);
    put(drive, 87, 0x4040 | (drive->wwn ? 0x100u : 0));
    put(drive, 93, 0x6001 | (drive->unit ? 0x0100u : 0)); /* 80 conductors, who answered */
    put(drive, 106, 0x4000);                              /* sectors of 512 bytes */
    for (unsigned i = 0; drive->wwn && i < 4; i++) {
        put(drive, 108 + i, (uint32_t)(drive->wwn >> (48 - 16 * i)) & 0xffff);
    }
    put(drive, 128, 0x0000); /* no passwords */
    if (drive_can_discard(drive->drive)) {
        put(drive, 105, IDE_BUFFER / IDE_SECTOR); /* sectors of ranges in one TRIM */
        put(drive, 169, 0x0001);
    }
    put(drive, 217, drive->rotation_rate);
    put_checksum(drive);
}

void atapi_identify(struct ide_drive *drive)
{
    memset(drive->buffer, 0, IDE_SECTOR);
    put(drive, 0, 0x85c0); /* packet device, CD-ROM, removable, DRQ within 50 us, 12 bytes */
    put_names(drive, "QEMU DVD-ROM");
    put(drive, 48, 1);
    put(drive, 49, 0x0b00); /* IORDY, LBA, DMA */
    put(drive, 53, 0x0007);
    put_modes(drive);
    put(drive, 71, 30); /* ns from PACKET to the bus's release, and from SERVICE */
    put(drive, 72, 30);
    put(drive, 80, 0x001e); /* up to ATA/ATAPI-4 */
    put(drive, 82, 0x4210); /* NOP, DEVICE RESET, packets */
    put(drive, 83, 0x4000);
    put(drive, 84, 0x4000 | (drive->wwn ? 0x100u : 0));
    put(drive, 85, 0x4210);
    put(drive, 87, 0x4000 | (drive->wwn ? 0x100u : 0));
    put(drive, 93, 0x6001 | (drive->unit ? 0x0100u : 0));
    for (unsigned i = 0; drive->wwn && i < 4; i++) {
        put(drive, 108 + i, (uint32_t)(drive->wwn >> (48 - 16 * i)) & 0xffff);
    }
    put_checksum(drive);
}

/* --- SMART --- */

/* Attributes of a disk in good health. */
static const struct {
    uint8_t id, flags, value, threshold;
    uint16_t raw;
} attributes[] = {
    {1, 0x03, 100, 6, 0},   /* read errors */
    {3, 0x03, 100, 0, 16},  /* spin-up time */
    {4, 0x02, 100, 20, 1},  /* starts */
    {5, 0x03, 100, 36, 0},  /* sectors exchanged */
    {9, 0x03, 100, 0, 1},   /* hours */
    {12, 0x03, 100, 0, 1},  /* times switched on */
    {190, 0x03, 69, 50, 31} /* 100 - degrees */
};

void ata_smart_data(struct ide_drive *drive, bool thresholds)
{
    enum { ENTRY = 12 };
    uint8_t *bytes = drive->buffer, sum = 0;
    memset(bytes, 0, IDE_SECTOR);
    bytes[0] = 1; /* version */
    for (size_t i = 0; i < sizeof(attributes) / sizeof(attributes[0]); i++) {
        uint8_t *entry = bytes + 2 + i * ENTRY;
        entry[0] = attributes[i].id;
        if (thresholds) {
            entry[1] = attributes[i].threshold;
        } else {
            entry[1] = attributes[i].flags;
            entry[3] = entry[4] = attributes[i].value;
            entry[5] = (uint8_t)attributes[i].raw;
            entry[6] = (uint8_t)(attributes[i].raw >> 8);
        }
    }
    if (!thresholds) {
        bytes[362] = 0x02; /* off-line collection: completed */
        bytes[367] = 0x01; /* off-line immediate is there */
        bytes[368] = 0x03; /* saves attributes */
        bytes[370] = 0x01; /* error log */
    }
    for (unsigned i = 0; i < IDE_SECTOR - 1; i++) {
        sum = (uint8_t)(sum + bytes[i]);
    }
    bytes[IDE_SECTOR - 1] = (uint8_t)-sum;
}
