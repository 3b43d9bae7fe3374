/* SPDX-License-Identifier: MIT
 *
 * A channel of an IDE controller: the command block of its two drives, which drive answers, device
 * control, interrupts, and data through the data port (ATA/ATAPI-7 volume 2, chapters 6 to 9).
 *
 * Both drives see all writes, the selected one answers reads. Where there is no drive 1, a disk
 * that is drive 0 answers for it, with a status of 0; a packet device, and a channel without
 * drives, show 0 everywhere (9.16).
 */
#include <string.h>

#include "device/ide.h"

#include "trace-device.h"

static const char *const read_names[IDE_REGISTERS] = {
    "Data",         "Error",         "Sector Count", "Sector Number",
    "Cylinder Low", "Cylinder High", "Device/Head",  "Status",
};
static const char *const write_names[IDE_REGISTERS] = {
    "Data",         "Features",      "Sector Count", "Sector Number",
    "Cylinder Low", "Cylinder High", "Device/Head",  "Command",
};

/* --- interrupts --- */

void ide_update_interrupt(struct ide_channel *channel)
{
    const struct ide_drive *drive = channel->drive[channel->unit];
    bool level = drive && drive->interrupt && !(channel->control & CONTROL_NIEN);
    if (level == channel->level) {
        return;
    }
    channel->level = level;
    if (level) {
        channel->bm_status |= BM_INTERRUPT;
    }
    irq_set(channel->irq, level);
}

static void want_interrupt(struct ide_drive *drive, bool wanted)
{
    drive->interrupt = wanted;
    ide_update_interrupt(drive->channel);
}

/* --- ends of commands --- */

static void end(struct ide_drive *drive, uint8_t status, uint8_t error)
{
    drive->phase = IDE_IDLE;
    drive->status = status;
    drive->error = error;
}

void ide_done(struct ide_drive *drive)
{
    end(drive, STATUS_DRDY | STATUS_DSC, 0);
    want_interrupt(drive, true);
}

void ide_fail(struct ide_drive *drive, uint8_t error)
{
    end(drive, STATUS_DRDY | STATUS_DSC | STATUS_ERR, error);
    want_interrupt(drive, true);
}

void ide_go_on(struct ide_drive *drive)
{
    switch (drive->then) {
    case THEN_END: end(drive, STATUS_DRDY | STATUS_DSC, 0); break;
    case THEN_DONE: ide_done(drive); break;
    default: drive->is_atapi ? atapi_go_on(drive) : ata_go_on(drive); break;
    }
}

/* --- the disk's side --- */

static void disk_done(void *opaque, int result)
{
    struct ide_drive *drive = opaque;
    if (drive->dma) {
        trace_dma_blk_cb(&drive->request, result);
    }
    if (!result) {
        ide_go_on(drive);
    } else if (drive->is_atapi) {
        atapi_disk_failed(drive, -result);
    } else {
        ata_disk_failed(drive, -result);
    }
    if (drive->dma && drive->phase == IDE_IDLE) {
        trace_dma_complete(&drive->request, result, NULL);
    }
}

static void send(struct ide_drive *drive)
{
    drive->request.drive = drive->drive;
    drive->request.op = (enum block_op)drive->disk_op;
    drive->request.offset = drive->disk_offset;
    drive->request.bytes = drive->disk_bytes;
    drive->request.buffer = drive->buffer;
    drive->request.done = disk_done;
    drive->request.opaque = drive;
    if (drive->dma) {
        trace_dma_blk_io(&drive->request, drive->drive, (int64_t)drive->disk_offset,
                         drive->disk_op == BLOCK_WRITE);
    }
    block_submit(&drive->request);
}

void ide_disk(struct ide_drive *drive, enum block_op op, uint64_t offset, uint64_t bytes,
              enum ide_then then)
{
    drive->phase = IDE_AT_DISK;
    drive->then = (uint8_t)then;
    drive->status = STATUS_BSY | STATUS_DSC;
    drive->disk_op = (uint8_t)op;
    drive->disk_offset = offset;
    drive->disk_bytes = bytes;
    send(drive);
}

/* --- the host's side --- */

/* The next DRQ block: packet devices say how long it is. */
static void next_block(struct ide_drive *drive, bool interrupt)
{
    uint32_t size = drive->filled - drive->position;
    if (size > drive->block) {
        size = drive->block;
    }
    drive->block_end = drive->position + size;
    drive->status = STATUS_DRDY | STATUS_DSC | STATUS_DRQ;
    if (drive->is_atapi && drive->then != THEN_PACKET && drive->command == 0xa0) {
        drive->now.count = drive->to_host ? REASON_TO_HOST : 0;
        drive->now.mid = (uint8_t)size;
        drive->now.high = (uint8_t)(size >> 8);
    }
    if (interrupt) {
        want_interrupt(drive, true);
    }
}

void ide_data(struct ide_drive *drive, bool to_host, uint32_t bytes, uint32_t block, bool interrupt,
              enum ide_then then)
{
    drive->to_host = to_host;
    drive->position = 0;
    drive->filled = bytes;
    drive->block = block;
    drive->then = (uint8_t)then;
    if (drive->dma) {
        drive->phase = IDE_AT_DMA;
        drive->status = STATUS_DRDY | STATUS_DSC | STATUS_DRQ;
        ide_dma_run(drive->channel);
        return;
    }
    drive->phase = IDE_AT_PORT;
    next_block(drive, interrupt);
}

static void block_moved(struct ide_drive *drive)
{
    if (drive->position < drive->block_end) {
        return;
    }
    if (drive->position < drive->filled) {
        next_block(drive, true);
        return;
    }
    drive->status &= (uint8_t)~STATUS_DRQ;
    ide_go_on(drive);
}

static uint32_t data_read(struct ide_channel *channel, unsigned size)
{
    struct ide_drive *drive = channel->drive[channel->unit];
    uint32_t value = 0;
    if (!drive || drive->phase != IDE_AT_PORT || !drive->to_host) {
        return 0;
    }
    uint32_t have = drive->block_end - drive->position;
    memcpy(&value, drive->buffer + drive->position, size < have ? size : have);
    drive->position += size < have ? size : have;
    if (size == 4) {
        trace_ide_data_readl(channel->port, value, channel, drive);
    } else {
        trace_ide_data_readw(channel->port, value, channel, drive);
    }
    block_moved(drive);
    return value;
}

static void data_write(struct ide_channel *channel, uint32_t value, unsigned size)
{
    struct ide_drive *drive = channel->drive[channel->unit];
    if (!drive || drive->phase != IDE_AT_PORT || drive->to_host) {
        return;
    }
    uint32_t room = drive->block_end - drive->position;
    memcpy(drive->buffer + drive->position, &value, size < room ? size : room);
    drive->position += size < room ? size : room;
    if (size == 4) {
        trace_ide_data_writel(channel->port, value, channel, drive);
    } else {
        trace_ide_data_writew(channel->port, value, channel, drive);
    }
    block_moved(drive);
}

/* --- resets --- */

void ide_set_signature(struct ide_drive *drive)
{
    drive->now.count = 1;
    drive->now.low = 1;
    drive->now.mid = drive->is_atapi ? 0x14 : 0;
    drive->now.high = drive->is_atapi ? 0xeb : 0;
    drive->select &= SELECT_DEV;
}

void ide_drive_reset(struct ide_drive *drive, bool hard)
{
    trace_ide_reset(drive);
    block_cancel(&drive->request);
    drive->phase = IDE_IDLE;
    drive->dma = false;
    drive->interrupt = false;
    drive->command = 0;
    drive->position = drive->block_end = drive->filled = 0;
    drive->careful = false;
    drive->now = drive->before = (struct ide_task){0};
    drive->select = 0;
    ide_set_signature(drive);
    drive->error = 1; /* diagnostics: all is well */
    drive->status = drive->is_atapi ? 0 : STATUS_DRDY | STATUS_DSC;
    drive->power = POWER_ACTIVE;
    if (!hard) {
        return;
    }
    drive->multiple = IDE_MULTIPLE_LARGEST;
    drive->transfer_mode = 0;
    drive->write_cache = drive->write_cache_wanted != 2;
    drive->look_ahead = true;
    drive->smart = true;
    drive->smart_autosave = true;
    drive->chs_heads = drive->chs_sectors = drive->chs_cylinders = 0;
    drive->sense = (struct ide_sense){0};
    drive->locked = false;
    drive->tray_open = false;
    drive->attention = false;
    drive->media_event = 0;
}

bool ide_drive_loaded(struct ide_drive *drive, struct error *err)
{
    if (drive->filled > IDE_BUFFER || drive->position > drive->block_end ||
        drive->block_end > drive->filled || drive->phase > IDE_SLEEPING ||
        drive->then > THEN_ATAPI_SELECT || drive->disk_op >= BLOCK_OPS ||
        drive->multiple > IDE_MULTIPLE_LARGEST ||
        (uint64_t)drive->piece * (drive->is_atapi ? IDE_RAW_SECTOR : IDE_SECTOR) > IDE_BUFFER ||
        ((drive->disk_op == BLOCK_READ || drive->disk_op == BLOCK_WRITE) &&
         drive->disk_bytes > IDE_BUFFER)) {
        return error_set(err, "%s: the transfer's fields do not fit together",
                         drive->device.class->name);
    }
    block_cancel(&drive->request);
    if (drive->phase == IDE_AT_DISK) {
        if (!drive->drive) {
            return error_set(err, "%s: a request is under way, but there is no drive",
                             drive->device.class->name);
        }
        send(drive);
    }
    return true;
}

void ide_channel_reset(struct ide_channel *channel)
{
    channel->unit = 0;
    channel->control = 0;
    bmdma_reset(channel);
    for (unsigned i = 0; i < IDE_UNITS; i++) {
        if (channel->drive[i]) {
            ide_drive_reset(channel->drive[i], true);
        }
    }
    channel->level = false;
    irq_set(channel->irq, false);
}

/* --- device control --- */

uint8_t ide_control_read(struct ide_channel *channel)
{
    const struct ide_drive *drive = channel->drive[channel->unit];
    uint8_t status = drive ? drive->status : 0;
    trace_ide_status_read(channel->control_port, status, channel, (void *)drive);
    return status;
}

void ide_control_write(struct ide_channel *channel, uint8_t value)
{
    trace_ide_ctrl_write(channel->control_port, value, channel);
    uint8_t before = channel->control;
    channel->control = value;
    for (unsigned i = 0; i < IDE_UNITS; i++) {
        struct ide_drive *drive = channel->drive[i];
        if (!drive || !((before | value) & CONTROL_SRST)) {
            continue;
        }
        if (!(before & CONTROL_SRST)) {
            ide_drive_reset(drive, false);
            drive->status = STATUS_BSY | STATUS_DSC;
        } else if (!(value & CONTROL_SRST)) {
            drive->status = drive->is_atapi ? 0 : STATUS_DRDY | STATUS_DSC;
        }
    }
    if (value & CONTROL_SRST) {
        channel->unit = 0;
    }
    ide_update_interrupt(channel);
}

/* --- the command block --- */

/* The drive that answers: the selected one, or a disk that is drive 0 for 1. */
static struct ide_drive *answering(const struct ide_channel *channel)
{
    struct ide_drive *drive = channel->drive[channel->unit], *first = channel->drive[0];
    return drive || !first || first->is_atapi ? drive : first;
}

static uint8_t task_read(const struct ide_task *task, unsigned reg)
{
    switch (reg) {
    case IDE_COUNT: return task->count;
    case IDE_LOW: return task->low;
    case IDE_MID: return task->mid;
    default: return task->high;
    }
}

static uint8_t register_read(struct ide_channel *channel, unsigned reg)
{
    struct ide_drive *drive = answering(channel), *own = channel->drive[channel->unit];
    uint8_t value = 0;
    if (drive) {
        switch (reg) {
        case IDE_ERROR: value = channel->control & CONTROL_HOB ? 0 : drive->error; break;
        case IDE_SELECT:
            value = (uint8_t)((drive->select & ~SELECT_DEV) | SELECT_OBSOLETE |
                              (channel->unit ? SELECT_DEV : 0));
            break;
        case IDE_STATUS: value = own ? own->status : 0; break;
        default:
            value = task_read(channel->control & CONTROL_HOB ? &drive->before : &drive->now, reg);
            break;
        }
    }
    if (reg == IDE_STATUS && own && own->interrupt) {
        own->interrupt = false;
        ide_update_interrupt(channel);
    }
    trace_ide_ioport_read(channel->port + reg, read_names[reg], value, channel, drive);
    return value;
}

static void task_write(struct ide_drive *drive, unsigned reg, uint8_t value)
{
    uint8_t *now, *before;
    switch (reg) {
    case IDE_ERROR: now = &drive->now.features, before = &drive->before.features; break;
    case IDE_COUNT: now = &drive->now.count, before = &drive->before.count; break;
    case IDE_LOW: now = &drive->now.low, before = &drive->before.low; break;
    case IDE_MID: now = &drive->now.mid, before = &drive->before.mid; break;
    case IDE_HIGH: now = &drive->now.high, before = &drive->before.high; break;
    default: drive->select = value; return;
    }
    *before = *now;
    *now = value;
}

enum { COMMAND_DEVICE_RESET = 0x08, COMMAND_DIAGNOSTIC = 0x90 };

/* Both drives do it, whichever is selected; drive 0 tells (9.11). */
static void diagnostic(struct ide_channel *channel)
{
    for (unsigned i = 0; i < IDE_UNITS; i++) {
        if (channel->drive[i]) {
            ide_drive_reset(channel->drive[i], false);
        }
    }
    channel->unit = 0;
    if (channel->drive[0]) {
        channel->drive[0]->command = COMMAND_DIAGNOSTIC;
        want_interrupt(channel->drive[0], true);
    }
}

static void command_write(struct ide_channel *channel, uint8_t command)
{
    struct ide_drive *drive = channel->drive[channel->unit];
    if (drive) {
        trace_ide_exec_cmd(channel, drive, command);
    }
    if (command == COMMAND_DIAGNOSTIC) {
        diagnostic(channel);
        return;
    }
    if (!drive) {
        return;
    }
    if (command == COMMAND_DEVICE_RESET && drive->is_atapi) {
        ide_drive_reset(drive, false);
        drive->select = (uint8_t)(channel->unit ? SELECT_DEV : 0);
        ide_update_interrupt(channel);
        return;
    }
    if (drive->phase != IDE_IDLE) {
        device_guest_error(&drive->device, "command 0x%02x while 0x%02x is under way", command,
                           drive->command);
        return;
    }
    want_interrupt(drive, false);
    drive->command = command;
    drive->error = 0;
    drive->dma = false;
    drive->careful = false;
    drive->status = STATUS_DRDY | STATUS_DSC;
    if (drive->is_atapi) {
        atapi_command(drive, command);
    } else {
        ata_command(drive, command);
    }
}

static void register_write(struct ide_channel *channel, unsigned reg, uint8_t value)
{
    trace_ide_ioport_write(channel->port + reg, write_names[reg], value, channel,
                           channel->drive[channel->unit]);
    if (channel->control & CONTROL_SRST) {
        return;
    }
    if (reg == IDE_STATUS) {
        command_write(channel, value);
        return;
    }
    /* Reading them with HOB set is over with the next write (6.20). */
    channel->control &= (uint8_t)~CONTROL_HOB;
    for (unsigned i = 0; i < IDE_UNITS; i++) {
        struct ide_drive *drive = channel->drive[i];
        if (drive && !(drive->status & (STATUS_BSY | STATUS_DRQ))) {
            task_write(drive, reg, value);
        }
    }
    if (reg == IDE_SELECT) {
        channel->unit = value & SELECT_DEV ? 1 : 0;
        ide_update_interrupt(channel);
    }
}

uint32_t ide_port_read(struct ide_channel *channel, unsigned offset, unsigned size)
{
    if (offset == IDE_DATA) {
        return data_read(channel, size);
    }
    uint32_t value = 0;
    for (unsigned i = 0; i < size; i++) {
        unsigned reg = offset + i;
        value |= (reg < IDE_REGISTERS ? register_read(channel, reg) : 0xffu) << 8 * i;
    }
    return value;
}

void ide_port_write(struct ide_channel *channel, unsigned offset, uint32_t value, unsigned size)
{
    if (offset == IDE_DATA) {
        data_write(channel, value, size);
        return;
    }
    for (unsigned i = 0; i < size && offset + i < IDE_REGISTERS; i++) {
        register_write(channel, offset + i, (uint8_t)(value >> 8 * i));
    }
}
