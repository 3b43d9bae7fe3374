/* SPDX-License-Identifier: MIT
 *
 * Bus-master DMA of an IDE channel (SFF-8038i; 82371SB data sheet, 2.6). The host writes a table of
 * physical regions to memory:
 *
 *     31                             1 0       31 30       16 15           1 0
 *     | address of the region        |0|       |E| reserved  | bytes, 0: 64K |0|     E: the last
 *
 * The controller walks it as the drive offers or asks for data. If the table ends first, the
 * controller is no longer active while the drive still waits; if the drive ends first, the
 * controller stays active and its interrupt bit is set.
 */
#include "device/ide.h"

#include "trace-device.h"

enum { BM_COMMAND = 0, BM_STATUS = 2, BM_TABLE = 4, ENTRY = 8, REGION_LARGEST = 64 << 10 };

#define ENTRY_LAST 0x80000000u

static void restart_table(struct ide_channel *channel)
{
    channel->bm_next = channel->bm_table;
    channel->bm_left = 0;
    channel->bm_last = false;
}

void bmdma_reset(struct ide_channel *channel)
{
    trace_bmdma_reset();
    channel->bm_command = 0;
    channel->bm_status = 0;
    channel->bm_table = 0;
    restart_table(channel);
}

static void stop(struct ide_channel *channel, bool error)
{
    channel->bm_status &= (uint8_t)~BM_ACTIVE;
    if (error) {
        channel->bm_status |= BM_ERROR;
    }
}

/* The next region. False: there is none, and the controller is no longer active. */
static bool next_region(struct ide_channel *channel)
{
    uint8_t entry[ENTRY];
    if (channel->bm_last) {
        stop(channel, false);
        return false;
    }
    if (dma_read(channel->device, channel->bm_next, entry, sizeof(entry)) != MEM_OK) {
        device_guest_error(channel->device, "no memory at 0x%08x for the table of regions",
                           channel->bm_next);
        stop(channel, true);
        return false;
    }
    uint32_t address = (uint32_t)entry[0] | (uint32_t)entry[1] << 8 | (uint32_t)entry[2] << 16 |
                       (uint32_t)entry[3] << 24;
    uint32_t bytes = (entry[4] | (uint32_t)entry[5] << 8) & 0xfffe;
    channel->bm_next += ENTRY;
    channel->bm_address = address & ~1u;
    channel->bm_left = bytes ? bytes : REGION_LARGEST;
    channel->bm_last = entry[7] & 0x80;
    trace_bmdma_region(channel->number, channel->bm_address, channel->bm_left, channel->bm_last);
    return true;
}

/* Moves a piece of the region. False: nobody is at the address. */
static bool move(struct ide_channel *channel, struct ide_drive *drive, uint32_t bytes)
{
    uint8_t *at = drive->buffer + drive->position;
    enum mem_result result = drive->to_host
                                 ? dma_write(channel->device, channel->bm_address, at, bytes)
                                 : dma_read(channel->device, channel->bm_address, at, bytes);
    if (result != MEM_OK) {
        device_guest_error(channel->device, "no memory at 0x%08x for DMA", channel->bm_address);
        stop(channel, true);
        return false;
    }
    channel->bm_address += bytes;
    channel->bm_left -= bytes;
    drive->position += bytes;
    return true;
}

/* The drive whose data waits for the bus master. */
static struct ide_drive *waiting(const struct ide_channel *channel)
{
    struct ide_drive *drive = channel->drive[channel->unit];
    return drive && drive->phase == IDE_AT_DMA ? drive : NULL;
}

void ide_dma_run(struct ide_channel *channel)
{
    struct ide_drive *drive = waiting(channel);
    if (!drive || !(channel->bm_command & BM_START) || !(channel->bm_status & BM_ACTIVE) ||
        !channel->may_master(channel->device)) {
        return;
    }
    if (drive->to_host != !!(channel->bm_command & BM_TO_MEMORY)) {
        /* Each waits for the other: the host's driver gives up. */
        device_guest_error(channel->device, "DMA of %s in the wrong direction", channel->name);
        return;
    }
    while (drive->position < drive->filled) {
        if (!channel->bm_left && !next_region(channel)) {
            return;
        }
        uint32_t bytes = drive->filled - drive->position;
        if (!move(channel, drive, bytes < channel->bm_left ? bytes : channel->bm_left)) {
            return;
        }
    }
    if (channel->bm_last && !channel->bm_left) {
        stop(channel, false);
    }
    ide_go_on(drive);
}

/* --- registers --- */

uint32_t bmdma_read(struct ide_channel *channel, unsigned offset, unsigned size)
{
    uint32_t value = 0;
    if (offset >= BM_TABLE) {
        value = channel->bm_table >> 8 * (offset - BM_TABLE);
        trace_bmdma_addr_read(value);
        return value;
    }
    for (unsigned i = 0; i < size; i++) {
        uint8_t byte = 0xff;
        if (offset + i == BM_COMMAND) {
            byte = channel->bm_command;
        } else if (offset + i == BM_STATUS) {
            byte = channel->bm_status;
        }
        trace_bmdma_read(offset + i, byte);
        value |= (uint32_t)byte << 8 * i;
    }
    return value;
}

static void command_write(struct ide_channel *channel, uint8_t value)
{
    trace_bmdma_cmd_writeb(value);
    bool was = channel->bm_command & BM_START;
    if (was && value & BM_START) {
        value = (uint8_t)((value & ~BM_TO_MEMORY) | (channel->bm_command & BM_TO_MEMORY));
    }
    channel->bm_command = value & (BM_START | BM_TO_MEMORY);
    if (!(value & BM_START)) {
        channel->bm_status &= (uint8_t)~BM_ACTIVE;
    } else if (!was) {
        restart_table(channel);
        channel->bm_status |= BM_ACTIVE;
        ide_dma_run(channel);
    }
}

static void table_write(struct ide_channel *channel, unsigned shift, uint32_t value, unsigned size)
{
    uint32_t mask = (size == 4 ? UINT32_MAX : (1u << 8 * size) - 1) << shift;
    trace_bmdma_addr_write(value);
    channel->bm_table = ((channel->bm_table & ~mask) | (value << shift & mask)) & ~3u;
}

void bmdma_write(struct ide_channel *channel, unsigned offset, uint32_t value, unsigned size)
{
    if (offset >= BM_TABLE) {
        table_write(channel, 8 * (offset - BM_TABLE), value, size);
        return;
    }
    for (unsigned i = 0; i < size; i++) {
        uint8_t byte = (uint8_t)(value >> 8 * i);
        trace_bmdma_write(offset + i, byte);
        if (offset + i == BM_COMMAND) {
            command_write(channel, byte);
        } else if (offset + i == BM_STATUS) {
            /* Error and interrupt are cleared by ones; who is capable is the driver's note. */
            channel->bm_status =
                (uint8_t)((channel->bm_status & (BM_ACTIVE | BM_ERROR | BM_INTERRUPT) &
                           ~(byte & (BM_ERROR | BM_INTERRUPT))) |
                          (byte & BM_CAPABLE));
        }
    }
}
