/* SPDX-License-Identifier: MIT
 *
 * Commands of ATA disks (ATA/ATAPI-7 volume 1, chapter 6; DATA SET MANAGEMENT from ATA8-ACS).
 */
#include <errno.h>
#include <string.h>

#include "device/ide.h"

#include "trace-device.h"

enum {
    SMART_MID = 0x4f, /* the key that SMART wants in the LBA registers */
    SMART_HIGH = 0xc2,
    TRIM_ENTRY = 8,
    PIO_MODES = 5,
};

uint64_t ata_sectors(const struct ide_drive *drive)
{
    return drive->drive ? drive_size(drive->drive) / IDE_SECTOR : 0;
}

/* --- addresses --- */

static bool heads_and_sectors(const struct ide_drive *drive, uint32_t *heads, uint32_t *sectors)
{
    *heads = drive->chs_heads ? drive->chs_heads : drive->geometry.heads;
    *sectors = drive->chs_heads ? drive->chs_sectors : drive->geometry.sectors;
    return *heads && *sectors;
}

/* UINT64_MAX: no such address. */
static uint64_t address(const struct ide_drive *drive)
{
    const struct ide_task *now = &drive->now, *before = &drive->before;
    if (drive->wide) {
        return now->low | (uint64_t)now->mid << 8 | (uint64_t)now->high << 16 |
               (uint64_t)before->low << 24 | (uint64_t)before->mid << 32 |
               (uint64_t)before->high << 40;
    }
    uint32_t head = drive->select & 0x0f, heads, sectors;
    if (drive->select & SELECT_LBA) {
        return now->low | (uint64_t)now->mid << 8 | (uint64_t)now->high << 16 |
               (uint64_t)head << 24;
    }
    if (!heads_and_sectors(drive, &heads, &sectors) || !now->low || now->low > sectors ||
        head >= heads) {
        return UINT64_MAX;
    }
    uint64_t cylinder = now->mid | (uint64_t)now->high << 8;
    return (cylinder * heads + head) * sectors + now->low - 1;
}

/* Where it went wrong, in the notation of the command. */
static void set_address(struct ide_drive *drive, uint64_t lba)
{
    uint32_t heads, sectors;
    if (!drive->wide && !(drive->select & SELECT_LBA)) {
        if (!heads_and_sectors(drive, &heads, &sectors)) {
            return;
        }
        uint64_t cylinder = lba / (heads * sectors);
        drive->now.low = (uint8_t)(lba % sectors + 1);
        drive->now.mid = (uint8_t)cylinder;
        drive->now.high = (uint8_t)(cylinder >> 8);
        drive->select = (uint8_t)((drive->select & 0xf0) | lba / sectors % heads);
        return;
    }
    drive->now.low = (uint8_t)lba;
    drive->now.mid = (uint8_t)(lba >> 8);
    drive->now.high = (uint8_t)(lba >> 16);
    if (drive->wide) {
        drive->before.low = (uint8_t)(lba >> 24);
        drive->before.mid = (uint8_t)(lba >> 32);
        drive->before.high = (uint8_t)(lba >> 40);
    } else {
        drive->select = (uint8_t)((drive->select & 0xf0) | (lba >> 24 & 0x0f));
    }
}

static uint32_t sector_count(const struct ide_drive *drive)
{
    if (drive->wide) {
        uint32_t count = drive->now.count | (uint32_t)drive->before.count << 8;
        return count ? count : 65536;
    }
    return drive->now.count ? drive->now.count : 256;
}

/* Takes address and count from the task file. False: the command has failed. */
static bool take_address(struct ide_drive *drive)
{
    drive->lba = address(drive);
    drive->left = sector_count(drive);
    uint64_t size = ata_sectors(drive);
    if (drive->lba >= size || drive->left > size - drive->lba) {
        ide_fail(drive, ERROR_IDNF);
        return false;
    }
    drive->power = POWER_ACTIVE;
    return true;
}

/* --- reading and writing --- */

static uint32_t block_size(const struct ide_drive *drive)
{
    switch (drive->command) {
    case 0x29:
    case 0x39:
    case 0xc4:
    case 0xc5:
    case 0xce: return drive->multiple * (uint32_t)IDE_SECTOR;
    default: return IDE_SECTOR;
    }
}

static uint32_t next_piece(struct ide_drive *drive)
{
    uint32_t largest = drive->careful ? 1 : IDE_BUFFER / IDE_SECTOR;
    drive->piece = drive->left < largest ? drive->left : largest;
    return drive->piece * IDE_SECTOR;
}

static void read_piece(struct ide_drive *drive)
{
    uint32_t bytes = next_piece(drive);
    if (drive->dma) {
        trace_ide_dma_cb(drive, (int64_t)drive->lba, (int)drive->piece, "DMA READ");
    } else {
        trace_ide_sector_read((int64_t)drive->lba, (int)drive->piece);
    }
    ide_disk(drive, BLOCK_READ, drive->lba * IDE_SECTOR, bytes, THEN_READ_HOST);
}

static void write_piece(struct ide_drive *drive, bool interrupt)
{
    uint32_t bytes = next_piece(drive);
    ide_data(drive, false, bytes, block_size(drive), interrupt, THEN_WRITE_DISK);
}

static void piece_is_through(struct ide_drive *drive)
{
    drive->lba += drive->piece;
    drive->left -= drive->piece;
}

static bool is_fua(uint8_t command)
{
    return command == 0x3d || command == 0xce;
}

static void written(struct ide_drive *drive)
{
    piece_is_through(drive);
    if (drive->left) {
        write_piece(drive, true);
    } else if (!drive->write_cache || is_fua(drive->command)) {
        ide_disk(drive, BLOCK_FLUSH, 0, 0, THEN_DONE);
    } else {
        ide_done(drive);
    }
}

static void verify_piece(struct ide_drive *drive)
{
    uint32_t bytes = next_piece(drive);
    ide_disk(drive, BLOCK_READ, drive->lba * IDE_SECTOR, bytes, THEN_VERIFY);
}

/* --- DATA SET MANAGEMENT, TRIM: the data are addresses of 48 bits with counts of 16 --- */

static void trim_next(struct ide_drive *drive)
{
    while (drive->position + TRIM_ENTRY <= drive->filled) {
        uint64_t entry;
        memcpy(&entry, drive->buffer + drive->position, sizeof(entry));
        drive->position += TRIM_ENTRY;
        uint64_t lba = entry & UINT64_C(0xffffffffffff), count = entry >> 48;
        uint64_t size = ata_sectors(drive);
        if (!count) {
            continue;
        }
        if (lba >= size || count > size - lba) {
            ide_fail(drive, ERROR_IDNF);
            return;
        }
        drive->block_end = drive->filled;
        ide_disk(drive, BLOCK_DISCARD, lba * IDE_SECTOR, count * IDE_SECTOR, THEN_TRIM_NEXT);
        return;
    }
    drive->left -= drive->piece;
    if (drive->left) {
        ide_data(drive, false, next_piece(drive), IDE_SECTOR, true, THEN_TRIM);
    } else {
        ide_done(drive);
    }
}

/* --- what follows --- */

void ata_go_on(struct ide_drive *drive)
{
    switch (drive->then) {
    case THEN_READ_HOST:
        ide_data(drive, true, drive->piece * IDE_SECTOR, block_size(drive), true, THEN_READ_NEXT);
        break;
    case THEN_READ_NEXT:
        piece_is_through(drive);
        if (drive->left) {
            read_piece(drive);
        } else if (drive->dma) {
            ide_done(drive);
        } else {
            /* The interrupt came with the last block. */
            drive->then = THEN_END;
            ide_go_on(drive);
        }
        break;
    case THEN_WRITE_DISK:
        if (drive->dma) {
            trace_ide_dma_cb(drive, (int64_t)drive->lba, (int)drive->piece, "DMA WRITE");
        } else {
            trace_ide_sector_write((int64_t)drive->lba, (int)drive->piece);
        }
        ide_disk(drive, BLOCK_WRITE, drive->lba * IDE_SECTOR, drive->piece * IDE_SECTOR,
                 THEN_WRITE_NEXT);
        break;
    case THEN_WRITE_NEXT: written(drive); break;
    case THEN_VERIFY:
        piece_is_through(drive);
        if (drive->left) {
            verify_piece(drive);
        } else {
            ide_done(drive);
        }
        break;
    case THEN_TRIM:
        trace_ide_dma_cb(drive, 0, (int)drive->piece, "DMA TRIM");
        drive->position = 0;
        trim_next(drive);
        break;
    case THEN_TRIM_NEXT: trim_next(drive); break;
    default: ide_fail(drive, ERROR_ABRT); break;
    }
}

void ata_disk_failed(struct ide_drive *drive, int error)
{
    (void)error;
    bool reading = drive->disk_op == BLOCK_READ, writing = drive->disk_op == BLOCK_WRITE;
    if (reading && drive->piece > 1) {
        /* Which sector? What comes before it, the host may have. */
        drive->careful = true;
        next_piece(drive);
        ide_disk(drive, BLOCK_READ, drive->lba * IDE_SECTOR, IDE_SECTOR,
                 (enum ide_then)drive->then);
        return;
    }
    if (reading || writing) {
        set_address(drive, drive->lba);
    }
    ide_fail(drive, reading ? ERROR_UNC : ERROR_ABRT);
}

/* --- commands --- */

static void aborted(struct ide_drive *drive)
{
    ide_fail(drive, ERROR_ABRT);
}

static void do_read(struct ide_drive *drive)
{
    if (!block_size(drive)) {
        aborted(drive); /* READ MULTIPLE while it is switched off */
    } else if (take_address(drive)) {
        read_piece(drive);
    }
}

static void do_write(struct ide_drive *drive)
{
    if (!block_size(drive) || drive_is_readonly(drive->drive)) {
        aborted(drive);
    } else if (take_address(drive)) {
        write_piece(drive, false);
    }
}

static void do_verify(struct ide_drive *drive)
{
    if (take_address(drive)) {
        verify_piece(drive);
    }
}

static void do_seek(struct ide_drive *drive)
{
    if (address(drive) >= ata_sectors(drive)) {
        ide_fail(drive, ERROR_IDNF);
    } else {
        ide_done(drive);
    }
}

static void do_trim(struct ide_drive *drive)
{
    if (drive->now.features != 1 || !drive_can_discard(drive->drive)) {
        aborted(drive);
        return;
    }
    drive->left = sector_count(drive);
    ide_data(drive, false, next_piece(drive), IDE_SECTOR, false, THEN_TRIM);
}

static void do_flush(struct ide_drive *drive)
{
    ide_disk(drive, BLOCK_FLUSH, 0, 0, THEN_DONE);
}

static void do_identify(struct ide_drive *drive)
{
    ata_identify(drive);
    ide_data(drive, true, IDE_SECTOR, IDE_SECTOR, true, THEN_END);
}

static void do_recalibrate(struct ide_drive *drive)
{
    drive->now.mid = drive->now.high = 0;
    ide_done(drive);
}

static void do_parameters(struct ide_drive *drive)
{
    uint32_t heads = (drive->select & 0x0fu) + 1, sectors = drive->now.count;
    if (!sectors) {
        aborted(drive);
        return;
    }
    uint64_t cylinders = ata_sectors(drive) / (heads * sectors);
    drive->chs_heads = (uint16_t)heads;
    drive->chs_sectors = (uint16_t)sectors;
    drive->chs_cylinders = (uint16_t)(cylinders < UINT16_MAX ? cylinders : UINT16_MAX);
    ide_done(drive);
}

static void do_multiple(struct ide_drive *drive)
{
    uint8_t count = drive->now.count;
    if (count > IDE_MULTIPLE_LARGEST || (count & (count - 1))) {
        aborted(drive);
        return;
    }
    drive->multiple = count;
    ide_done(drive);
}

/* Modes that the drive has: PIO 0 to 4, multiword DMA 0 to 2, Ultra DMA 0 to 5. */
static bool mode_exists(uint8_t mode)
{
    uint8_t number = mode & 7;
    switch (mode >> 3) {
    case 0: return number <= 1;
    case 1: return number < PIO_MODES;
    case 2: return number <= 2;
    case 4: return number <= 2;
    case 8: return number <= 5;
    default: return false;
    }
}

bool ata_set_features(struct ide_drive *drive)
{
    switch (drive->now.features) {
    case 0x02: drive->write_cache = true; return true;
    case 0x82: drive->write_cache = false; return true;
    case 0x55: drive->look_ahead = false; return true;
    case 0xaa: drive->look_ahead = true; return true;
    case 0x66: /* keep, or not, over a software reset: settings are kept always */
    case 0xcc:
    case 0x42: /* acoustic management: nothing moves */
    case 0xc2: return true;
    case 0x03:
        if (!mode_exists(drive->now.count)) {
            return false;
        }
        drive->transfer_mode = drive->now.count;
        return true;
    default: return false;
    }
}

static void do_features(struct ide_drive *drive)
{
    bool off = drive->now.features == 0x82;
    if (!ata_set_features(drive)) {
        aborted(drive);
    } else if (off) {
        do_flush(drive);
    } else {
        ide_done(drive);
    }
}

static void do_standby(struct ide_drive *drive)
{
    drive->power = POWER_STANDBY;
    ide_done(drive);
}

static void do_idle(struct ide_drive *drive)
{
    drive->power = POWER_IDLE;
    ide_done(drive);
}

static void do_power(struct ide_drive *drive)
{
    drive->now.count = drive->power;
    ide_done(drive);
}

static void do_sleep(struct ide_drive *drive)
{
    drive->power = POWER_STANDBY;
    ide_done(drive);
    drive->phase = IDE_SLEEPING;
}

static void do_native_max(struct ide_drive *drive)
{
    uint64_t last = ata_sectors(drive);
    last -= last > 0;
    if (!drive->wide) {
        drive->select |= SELECT_LBA;
        last = last > 0x0fffffff ? 0x0fffffff : last;
    }
    set_address(drive, last);
    ide_done(drive);
}

static void do_freeze(struct ide_drive *drive)
{
    /* There is no password, and none can be set. */
    ide_done(drive);
}

static void smart_answer(struct ide_drive *drive, bool thresholds)
{
    ata_smart_data(drive, thresholds);
    ide_data(drive, true, IDE_SECTOR, IDE_SECTOR, true, THEN_END);
}

/* Logs: the directory and the summary of errors, both without entries; self-tests likewise. */
static void smart_log(struct ide_drive *drive)
{
    enum { DIRECTORY = 0, ERRORS = 1, SELF_TESTS = 6 };
    uint8_t log = drive->now.low;
    if (log != DIRECTORY && log != ERRORS && log != SELF_TESTS) {
        aborted(drive);
        return;
    }
    memset(drive->buffer, 0, IDE_SECTOR);
    drive->buffer[0] = 1; /* version */
    if (log == DIRECTORY) {
        drive->buffer[2 * ERRORS] = 1;
        drive->buffer[2 * SELF_TESTS] = 1;
    } else {
        drive->buffer[IDE_SECTOR - 1] = 0xff; /* all bytes together are 0 */
    }
    ide_data(drive, true, IDE_SECTOR, IDE_SECTOR, true, THEN_END);
}

static void do_smart(struct ide_drive *drive)
{
    enum { READ_DATA = 0xd0, READ_THRESHOLDS, AUTOSAVE, SAVE, OFF_LINE, READ_LOG };
    enum { ENABLE = 0xd8, DISABLE, RETURN_STATUS };
    uint8_t what = drive->now.features;
    if (drive->now.mid != SMART_MID || drive->now.high != SMART_HIGH ||
        (!drive->smart && what != ENABLE)) {
        aborted(drive);
        return;
    }
    switch (what) {
    case READ_DATA: smart_answer(drive, false); break;
    case READ_THRESHOLDS: smart_answer(drive, true); break;
    case READ_LOG: smart_log(drive); break;
    case AUTOSAVE:
        drive->smart_autosave = drive->now.count == 0xf1;
        ide_done(drive);
        break;
    case ENABLE:
    case DISABLE:
        drive->smart = what == ENABLE;
        ide_done(drive);
        break;
    case SAVE:
    case OFF_LINE:
    case RETURN_STATUS: ide_done(drive); break; /* the key stays: no threshold is exceeded */
    default: aborted(drive); break;
    }
}

/* --- the table --- */

enum { WIDE = 1, DMA = 2 };

static const struct {
    uint8_t first, last;
    uint8_t flags;
    void (*run)(struct ide_drive *drive);
} commands[] = {
    /* clang-format off */
    {0x06, 0x06, WIDE | DMA, do_trim},       /* DATA SET MANAGEMENT */
    {0x10, 0x1f, 0, do_recalibrate},
    {0x20, 0x21, 0, do_read},                /* READ SECTORS */
    {0x24, 0x24, WIDE, do_read},             /* ... EXT */
    {0x25, 0x25, WIDE | DMA, do_read},       /* READ DMA EXT */
    {0x27, 0x27, WIDE, do_native_max},       /* READ NATIVE MAX ADDRESS EXT */
    {0x29, 0x29, WIDE, do_read},             /* READ MULTIPLE EXT */
    {0x30, 0x31, 0, do_write},               /* WRITE SECTORS */
    {0x34, 0x34, WIDE, do_write},            /* ... EXT */
    {0x35, 0x35, WIDE | DMA, do_write},      /* WRITE DMA EXT */
    {0x39, 0x39, WIDE, do_write},            /* WRITE MULTIPLE EXT */
    {0x3d, 0x3d, WIDE | DMA, do_write},      /* WRITE DMA FUA EXT */
    {0x40, 0x41, 0, do_verify},              /* READ VERIFY SECTORS */
    {0x42, 0x42, WIDE, do_verify},           /* ... EXT */
    {0x70, 0x7f, 0, do_seek},
    {0x91, 0x91, 0, do_parameters},          /* INITIALIZE DEVICE PARAMETERS */
    {0x94, 0x94, 0, do_standby},             /* the power commands have two codes each */
    {0x95, 0x95, 0, do_idle},
    {0x96, 0x96, 0, do_standby},
    {0x97, 0x97, 0, do_idle},
    {0x98, 0x98, 0, do_power},
    {0x99, 0x99, 0, do_sleep},
    {0xb0, 0xb0, 0, do_smart},
    {0xc4, 0xc4, 0, do_read},                /* READ MULTIPLE */
    {0xc5, 0xc5, 0, do_write},               /* WRITE MULTIPLE */
    {0xc6, 0xc6, 0, do_multiple},            /* SET MULTIPLE MODE */
    {0xc8, 0xc9, DMA, do_read},              /* READ DMA */
    {0xca, 0xcb, DMA, do_write},             /* WRITE DMA */
    {0xce, 0xce, WIDE, do_write},            /* WRITE MULTIPLE FUA EXT */
    {0xe0, 0xe0, 0, do_standby},             /* STANDBY IMMEDIATE */
    {0xe1, 0xe1, 0, do_idle},                /* IDLE IMMEDIATE */
    {0xe2, 0xe2, 0, do_standby},
    {0xe3, 0xe3, 0, do_idle},
    {0xe5, 0xe5, 0, do_power},               /* CHECK POWER MODE */
    {0xe6, 0xe6, 0, do_sleep},
    {0xe7, 0xe7, 0, do_flush},               /* FLUSH CACHE */
    {0xea, 0xea, WIDE, do_flush},            /* ... EXT */
    {0xec, 0xec, 0, do_identify},
    {0xef, 0xef, 0, do_features},
    {0xf5, 0xf5, 0, do_freeze},              /* SECURITY FREEZE LOCK */
    {0xf8, 0xf8, 0, do_native_max},          /* READ NATIVE MAX ADDRESS */
    /* clang-format on */
};

void ata_command(struct ide_drive *drive, uint8_t command)
{
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
        if (command >= commands[i].first && command <= commands[i].last) {
            drive->wide = commands[i].flags & WIDE;
            drive->dma = commands[i].flags & DMA;
            commands[i].run(drive);
            return;
        }
    }
    aborted(drive);
}
