/* SPDX-License-Identifier: MIT
 *
 * Drives: their media, who uses them, and what a request does.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/strbuf.h"
#include "block/internal.h"

#include "trace-block.h"

struct drive *drive_new(const char *id, struct block_pool *pool)
{
    struct drive *drive = mem_alloc(sizeof(*drive));
    drive->id = mem_string(id);
    drive->pool = pool;
    drive->sector = IMAGE_SECTOR;
    drive->on_write_error = DRIVE_ENOSPC;
    return drive;
}

void drive_free(struct drive *drive)
{
    if (!drive) {
        return;
    }
    image_drop(drive->image);
    free(drive->id);
    free(drive);
}

/* --- media --- */

static void tell(struct drive *drive)
{
    trace_block_medium(drive->id, drive->image != NULL, drive_size(drive));
    if (drive->user && drive->user->changed) {
        drive->user->changed(drive->user_opaque, drive->image != NULL);
    }
}

bool drive_open(struct drive *drive, const struct drive_options *options, struct strbuf *warnings,
                struct error *err)
{
    struct block_image *image = NULL;
    if (options->file) {
        if (drive->image) {
            image_unlock(drive->image);
        }
        image = image_open(options, warnings, err);
        if (!image) {
            if (drive->image) {
                image_lock(drive->image, NULL);
            }
            return false;
        }
    }
    image_drop(drive->image);
    drive->image = image;
    drive->media = options->media;
    drive->on_read_error = options->on_read_error;
    drive->on_write_error = options->on_write_error;
    tell(drive);
    return true;
}

bool drive_eject(struct drive *drive, bool force, struct error *err)
{
    if (!drive->removable && drive->user && !force) {
        return error_set(err, "Device '%s' is not removable", drive->id);
    }
    if (drive->image && !force && drive->user && drive->user->locked &&
        drive->user->locked(drive->user_opaque)) {
        if (drive->user->eject_wanted) {
            drive->user->eject_wanted(drive->user_opaque);
        }
        return error_set(err,
                         "Device '%s' is locked and force was not specified, wait for tray "
                         "to open and try again",
                         drive->id);
    }
    if (drive->image) {
        image_drop(drive->image);
        drive->image = NULL;
        tell(drive);
    }
    return true;
}

bool drive_attach(struct drive *drive, const struct drive_user *user, void *opaque,
                  struct error *err)
{
    if (drive->user) {
        return error_set(err, "Drive '%s' is already in use by another device", drive->id);
    }
    drive->user = user;
    drive->user_opaque = opaque;
    return true;
}

void drive_detach(struct drive *drive)
{
    drive->user = NULL;
}

/* --- what it is --- */

const char *drive_id(const struct drive *drive)
{
    return drive->id;
}

const char *drive_file(const struct drive *drive)
{
    return drive->image ? drive->image->file : NULL;
}

bool drive_has_medium(const struct drive *drive)
{
    return drive->image != NULL;
}

uint64_t drive_size(const struct drive *drive)
{
    return drive->image ? drive->image->size : 0;
}

bool drive_is_readonly(const struct drive *drive)
{
    return drive->image && drive->image->readonly;
}

bool drive_is_snapshot(const struct drive *drive)
{
    return drive->image && drive->image->overlay;
}

bool drive_can_discard(const struct drive *drive)
{
    return drive->image && drive->image->discards && !drive->image->overlay;
}

enum drive_media drive_media(const struct drive *drive)
{
    return drive->media;
}

void drive_set_removable(struct drive *drive, bool removable)
{
    drive->removable = removable;
}

bool drive_is_removable(const struct drive *drive)
{
    return drive->removable;
}

void drive_set_sector(struct drive *drive, uint32_t bytes)
{
    drive->sector = bytes;
}

uint32_t drive_sector(const struct drive *drive)
{
    return drive->sector;
}

void drive_set_tray(struct drive *drive, bool open)
{
    drive->tray_open = open;
}

bool drive_tray_is_open(const struct drive *drive)
{
    return drive->tray_open;
}

const struct drive_counts *drive_counts(const struct drive *drive)
{
    return &drive->counts;
}

void drive_print(const struct drive *drive, struct strbuf *text)
{
    const struct block_image *image = drive->image;
    if (image) {
        strbuf_printf(text, "%s: %s (raw%s%s)\n", drive->id, image->file,
                      image->readonly ? ", read-only" : "", image->overlay ? ", snapshot" : "");
    } else {
        strbuf_printf(text, "%s: [not inserted]\n", drive->id);
    }
    if (drive->removable) {
        bool locked = drive->user && drive->user->locked && drive->user->locked(drive->user_opaque);
        strbuf_printf(text, "    Removable device: %slocked, tray %s\n", locked ? "" : "not ",
                      drive->tray_open ? "open" : "closed");
    }
    if (image) {
        strbuf_printf(text, "    Cache mode:       %s%s\n",
                      image->write_through ? "writethrough" : "writeback",
                      image->flushes ? "" : ", ignore flushes");
    }
}

/* --- requests --- */

void drive_inject(struct drive *drive, enum block_op op, uint64_t offset, int error, unsigned count)
{
    drive->fault = (struct drive_fault){.op = op, .offset = offset, .error = error, .count = count};
}

static int injected(struct drive *drive, enum block_op op, uint64_t offset, uint64_t bytes)
{
    struct drive_fault *fault = &drive->fault;
    bool there = op == BLOCK_FLUSH || (fault->offset >= offset && fault->offset - offset < bytes);
    if (!fault->count || fault->op != op || !there) {
        return 0;
    }
    fault->count--;
    return -fault->error;
}

static void count(struct drive *drive, enum block_op op, uint64_t offset, uint64_t bytes)
{
    switch (op) {
    case BLOCK_READ:
        drive->counts.reads++;
        drive->counts.read_bytes += bytes;
        trace_blk_co_preadv(drive, drive->image, (int64_t)offset, (int64_t)bytes, 0);
        break;
    case BLOCK_WRITE:
    case BLOCK_ZERO:
        drive->counts.writes++;
        drive->counts.write_bytes += bytes;
        trace_blk_co_pwritev(drive, drive->image, (int64_t)offset, (int64_t)bytes, 0);
        break;
    case BLOCK_FLUSH:
        drive->counts.flushes++;
        trace_block_flush(drive, drive->image);
        break;
    default:
        drive->counts.discards++;
        trace_block_discard(drive, drive->image, (int64_t)offset, (int64_t)bytes);
        break;
    }
}

int drive_begin(struct drive *drive, enum block_op op, uint64_t offset, uint64_t bytes)
{
    if (!drive->image) {
        return -ENOMEDIUM;
    }
    count(drive, op, offset, bytes);
    if (op != BLOCK_FLUSH && (offset > drive->image->size || bytes > drive->image->size - offset)) {
        return -EIO;
    }
    if (drive->image->readonly && op != BLOCK_READ && op != BLOCK_FLUSH) {
        return -EACCES;
    }
    return injected(drive, op, offset, bytes);
}

int image_carry_out(struct block_image *image, enum block_op op, uint64_t offset, void *buffer,
                    uint64_t bytes)
{
    switch (op) {
    case BLOCK_READ: return image_read(image, offset, buffer, bytes);
    case BLOCK_WRITE: return image_write(image, offset, buffer, bytes);
    case BLOCK_FLUSH: return image_flush(image);
    case BLOCK_DISCARD: return image_discard(image, offset, bytes, false);
    default: return image_discard(image, offset, bytes, true);
    }
}

int block_now(struct drive *drive, enum block_op op, uint64_t offset, void *buffer, uint64_t bytes)
{
    int result = drive_begin(drive, op, offset, bytes);
    return result ? result : image_carry_out(drive->image, op, offset, buffer, bytes);
}

enum drive_on_error drive_policy(const struct drive *drive, enum block_op op, int error)
{
    enum drive_on_error policy = op == BLOCK_READ ? drive->on_read_error : drive->on_write_error;
    if (policy == DRIVE_ENOSPC) {
        return error == ENOSPC ? DRIVE_STOP : DRIVE_REPORT;
    }
    return policy;
}
