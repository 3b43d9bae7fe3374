/* SPDX-License-Identifier: MIT
 *
 * IDE: what a controller, its two channels and their drives have to do with each other. ATA/ATAPI-7
 * (T13/1532D) says how registers and protocols work; Intel's 82371SB (PIIX3) data sheet (290550)
 * and SFF-8038i the bus-master registers.
 *
 *     piix3_ide.c   the controller: ports, PCI configuration, bus-master registers
 *     ide.c         registers of a channel, selection, resets, interrupts, data by ports
 *     ide_dma.c     data by bus-master DMA
 *     ata.c         commands of disks              ata_identify.c   what they say of themselves
 *     atapi.c       packet commands of CD-ROMs     atapi_answers.c  the longer answers
 *     ide_drive.c   ide-hd and ide-cd
 *
 * A command moves its data in pieces through a buffer of the drive: the disk fills it and the host
 * empties it, or the other way. ide_disk() and ide_data() begin a piece of either side and return;
 * when it is through, the command goes on with what `then` says. So all that a command needs to go
 * on is in fields that are saved.
 */
#ifndef DEVICE_IDE_H
#define DEVICE_IDE_H

#include "block/block.h"
#include "device/device.h"

enum {
    IDE_UNITS = 2,
    IDE_SECTOR = 512,
    IDE_RAW_SECTOR = 2352, /* of a CD, with synchronisation, head and correction */
    IDE_BUFFER = 128 << 10,
    IDE_MULTIPLE_LARGEST = 16,
    IDE_PACKET = 12,
    IDE_TEXT = 41, /* model: 40 characters */
};

/* Task file: offsets in the command block. */
enum ide_register {
    IDE_DATA,
    IDE_ERROR, /* written: features */
    IDE_COUNT,
    IDE_LOW,
    IDE_MID,
    IDE_HIGH,
    IDE_SELECT,
    IDE_STATUS, /* written: command */
    IDE_REGISTERS,
};

enum ide_status_bit {
    STATUS_ERR = 0x01, /* CHK of packet devices */
    STATUS_DRQ = 0x08,
    STATUS_DSC = 0x10,
    STATUS_DF = 0x20,
    STATUS_DRDY = 0x40,
    STATUS_BSY = 0x80,
};

enum ide_error_bit {
    ERROR_ABRT = 0x04,
    ERROR_IDNF = 0x10,
    ERROR_UNC = 0x40,
};

enum ide_select_bit { SELECT_DEV = 0x10, SELECT_LBA = 0x40, SELECT_OBSOLETE = 0xa0 };

/* Device control. */
enum ide_control_bit { CONTROL_NIEN = 0x02, CONTROL_SRST = 0x04, CONTROL_HOB = 0x80 };

/* Interrupt reason of packet devices, in the sector count register. */
enum ide_reason_bit { REASON_COMMAND = 1, REASON_TO_HOST = 2 };

enum ide_phase {
    IDE_IDLE,
    IDE_AT_DISK,  /* a request is under way */
    IDE_AT_PORT,  /* the host reads or writes the data port */
    IDE_AT_DMA,   /* the bus master moves, or is waited for */
    IDE_SLEEPING, /* until a reset */
};

/* What follows when a piece is through. */
enum ide_then {
    THEN_END,       /* nothing: the command is over, without an interrupt */
    THEN_DONE,      /* the command is over; interrupt */
    THEN_READ_HOST, /* the disk has filled the buffer */
    THEN_READ_NEXT, /* the host has taken it */
    THEN_WRITE_DISK,
    THEN_WRITE_NEXT,
    THEN_VERIFY,
    THEN_TRIM,
    THEN_TRIM_NEXT,
    THEN_PACKET, /* the twelve bytes of a packet have come */
    THEN_ATAPI_READ_HOST,
    THEN_ATAPI_READ_NEXT,
    THEN_ATAPI_SENT,
    THEN_ATAPI_SELECT,
};

enum ide_power { POWER_STANDBY = 0x00, POWER_IDLE = 0x80, POWER_ACTIVE = 0xff };

struct ide_channel;

/* Registers with a high-order byte behind them, for LBA48. */
struct ide_task {
    uint8_t features, count, low, mid, high;
};

struct ide_sense {
    uint8_t key, code, qualifier;
};

struct ide_drive {
    struct device device;
    /* Properties. */
    struct drive *drive; /* NULL: none */
    uint32_t unit;
    const char *serial, *model, *version;
    int32_t bootindex;
    uint64_t wwn;
    uint16_t rotation_rate;
    uint8_t write_cache_wanted;
    uint32_t cylinders, heads, sectors;

    bool is_atapi;
    struct ide_channel *channel;
    struct block_request request;
    struct geometry geometry;

    /* Task file. */
    struct ide_task now, before; /* `before`: what was written the last time but one */
    uint8_t select, status, error, command;
    bool interrupt; /* wanted; the channel decides whether it is seen */

    /* The command. */
    uint8_t phase, then;
    bool dma, to_host, wide, careful;
    uint8_t disk_op;
    uint64_t disk_offset, disk_bytes;
    uint64_t lba;                                /* of the piece */
    uint32_t left;                               /* sectors from there on */
    uint32_t piece;                              /* sectors of the piece */
    uint32_t position, block_end, filled, block; /* bytes in the buffer; of a DRQ block */

    /* Settings. */
    uint8_t multiple, transfer_mode, power;
    bool write_cache, look_ahead, smart, smart_autosave;
    uint16_t chs_heads, chs_sectors, chs_cylinders; /* translation now; heads 0: as made */

    /* Packet device. */
    uint32_t byte_limit;
    uint8_t packet[IDE_PACKET];
    struct ide_sense sense;
    bool locked, tray_open, attention, raw_sectors;
    uint8_t media_event;

    uint8_t buffer[IDE_BUFFER];
};

struct ide_channel {
    const char *name; /* ide.0 */
    unsigned number;
    uint16_t port, control_port;
    struct device *device; /* the controller */
    struct ide_drive *drive[IDE_UNITS];
    struct irq irq;
    bool (*may_master)(const struct device *device);

    uint8_t unit; /* that is selected */
    uint8_t control;
    bool level;

    /* Bus master. */
    uint8_t bm_command, bm_status;
    uint32_t bm_table;
    uint32_t bm_next, bm_address, bm_left; /* of the table; of the region */
    bool bm_last;
};

enum bm_command_bit { BM_START = 1, BM_TO_MEMORY = 8 };
enum bm_status_bit { BM_ACTIVE = 1, BM_ERROR = 2, BM_INTERRUPT = 4, BM_CAPABLE = 0x60 };

extern const struct device_class piix3_ide_class, ide_hd_class, ide_cd_class;

/* The channel `name` of the board ("ide.1"; NULL: any with room), and a unit that is free there
 * (UINT32_MAX: the first). */
struct ide_channel *ide_find_channel(const struct board *board, const char *name, uint32_t *unit,
                                     struct error *err);

/* Of a piix3-ide: 0 or 1. */
struct ide_channel *piix3_ide_channel(struct device *device, unsigned number);

/* --- ide.c --- */

uint32_t ide_port_read(struct ide_channel *channel, unsigned offset, unsigned size);
void ide_port_write(struct ide_channel *channel, unsigned offset, uint32_t value, unsigned size);
uint8_t ide_control_read(struct ide_channel *channel);
void ide_control_write(struct ide_channel *channel, uint8_t value);
void ide_channel_reset(struct ide_channel *channel);
/* After the interrupt wish of a drive, the selection or the control register changed. */
void ide_update_interrupt(struct ide_channel *channel);

/* Power-on and hardware reset; SRST and DEVICE RESET keep settings. */
void ide_drive_reset(struct ide_drive *drive, bool hard);
void ide_set_signature(struct ide_drive *drive);
/* After its state was loaded. */
bool ide_drive_loaded(struct ide_drive *drive, struct error *err);

/* The command is over. */
void ide_done(struct ide_drive *drive);
void ide_fail(struct ide_drive *drive, uint8_t error);
/* A request to the image; the buffer's beginning is its bytes. */
void ide_disk(struct ide_drive *drive, enum block_op op, uint64_t offset, uint64_t bytes,
              enum ide_then then);
/* `bytes` of the buffer to or from the host, by DRQ blocks of `block` bytes or by DMA.
 * `interrupt`: also in front of the first block. */
void ide_data(struct ide_drive *drive, bool to_host, uint32_t bytes, uint32_t block, bool interrupt,
              enum ide_then then);
/* What follows a piece. */
void ide_go_on(struct ide_drive *drive);

/* --- ide_dma.c --- */

void bmdma_reset(struct ide_channel *channel);
uint32_t bmdma_read(struct ide_channel *channel, unsigned offset, unsigned size);
void bmdma_write(struct ide_channel *channel, unsigned offset, uint32_t value, unsigned size);
/* Moves what can be moved. */
void ide_dma_run(struct ide_channel *channel);

/* --- ata.c --- */

void ata_command(struct ide_drive *drive, uint8_t command);
void ata_go_on(struct ide_drive *drive);
void ata_disk_failed(struct ide_drive *drive, int error);
void ata_identify(struct ide_drive *drive);   /* into the buffer */
void atapi_identify(struct ide_drive *drive); /* likewise */
void ata_smart_data(struct ide_drive *drive, bool thresholds);
uint64_t ata_sectors(const struct ide_drive *drive);
bool ata_set_features(struct ide_drive *drive);

/* --- atapi.c --- */

void atapi_command(struct ide_drive *drive, uint8_t command);
void atapi_go_on(struct ide_drive *drive);
void atapi_disk_failed(struct ide_drive *drive, int error);
void atapi_medium_changed(struct ide_drive *drive, bool loaded);
void atapi_fail(struct ide_drive *drive, uint8_t key, uint8_t code, uint8_t qualifier);
/* Sends `size` bytes of the buffer, or `room` if that is less. */
void atapi_answer(struct ide_drive *drive, uint32_t size, uint32_t room);
uint32_t atapi_sectors(const struct ide_drive *drive);

enum atapi_sense_key {
    SENSE_NONE = 0,
    SENSE_NOT_READY = 2,
    SENSE_MEDIUM_ERROR = 3,
    SENSE_ILLEGAL_REQUEST = 5,
    SENSE_UNIT_ATTENTION = 6,
};

/* --- atapi_answers.c: commands whose answers are tables --- */

void atapi_inquiry(struct ide_drive *drive, const uint8_t *packet);
void atapi_mode_sense(struct ide_drive *drive, const uint8_t *packet);
void atapi_read_toc(struct ide_drive *drive, const uint8_t *packet);
void atapi_get_configuration(struct ide_drive *drive, const uint8_t *packet);
void atapi_get_event(struct ide_drive *drive, const uint8_t *packet);
void atapi_read_dvd_structure(struct ide_drive *drive, const uint8_t *packet);
void atapi_read_disc_information(struct ide_drive *drive, const uint8_t *packet);
void atapi_mechanism_status(struct ide_drive *drive, const uint8_t *packet);
void atapi_read_subchannel(struct ide_drive *drive, const uint8_t *packet);

static inline uint16_t be16(const uint8_t *bytes)
{
    return (uint16_t)(bytes[0] << 8 | bytes[1]);
}

static inline uint32_t be32(const uint8_t *bytes)
{
    return (uint32_t)be16(bytes) << 16 | be16(bytes + 2);
}

static inline void put_be16(uint8_t *to, uint32_t value)
{
    to[0] = (uint8_t)(value >> 8);
    to[1] = (uint8_t)value;
}

static inline void put_be32(uint8_t *to, uint32_t value)
{
    put_be16(to, value >> 16);
    put_be16(to + 2, value);
}

#endif
