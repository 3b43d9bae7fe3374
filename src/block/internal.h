/* SPDX-License-Identifier: MIT
 *
 * Inside of the block room: images, overlays, and what drives and pools know of each other.
 */
#ifndef BLOCK_INTERNAL_H
#define BLOCK_INTERNAL_H

#include "block/block.h"

enum { IMAGE_SECTOR = 512 };

struct overlay;

/* An open file. References are counted: requests under way keep it when the medium changes. */
struct block_image {
    char *file;
    int fd;
    unsigned references; /* atomic */
    uint64_t file_size;  /* bytes that the file has; may grow to `size` */
    uint64_t size;       /* rounded up to sectors */
    bool readonly, snapshot, locks;
    bool flushes, write_through, discards;
    struct overlay *overlay; /* NULL: writes go to the file */
};

/* Opens, guesses the format, locks. */
struct block_image *image_open(const struct drive_options *options, struct strbuf *warnings,
                               struct error *err);
struct block_image *image_take(struct block_image *image);
void image_drop(struct block_image *image);
/* While one medium is exchanged for another, which may be the same file. */
bool image_lock(struct block_image *image, struct error *err);
void image_unlock(struct block_image *image);

/* Any thread: 0 or an errno negated. The range is within `size`. */
int image_read(struct block_image *image, uint64_t offset, void *to, uint64_t bytes);
int image_write(struct block_image *image, uint64_t offset, const void *from, uint64_t bytes);
int image_flush(struct block_image *image);
int image_discard(struct block_image *image, uint64_t offset, uint64_t bytes, bool must_be_zero);

/* A temporary file that holds what was written, and a bit for each block of it. */
struct overlay *overlay_new(uint64_t size, struct error *err);
void overlay_free(struct overlay *overlay);
int overlay_read(struct overlay *overlay, struct block_image *below, uint64_t offset, void *to,
                 uint64_t bytes);
int overlay_write(struct overlay *overlay, struct block_image *below, uint64_t offset,
                  const void *from, uint64_t bytes);

/* Of the file below, or of any file: all bytes, behind its end zeros. */
int file_read(int fd, uint64_t offset, void *to, uint64_t bytes);
int file_write(int fd, uint64_t offset, const void *from, uint64_t bytes);

struct drive_fault {
    enum block_op op;
    uint64_t offset;
    int error;
    unsigned count;
};

struct drive {
    char *id;
    struct block_pool *pool;
    struct block_image *image; /* NULL: no medium */
    const struct drive_user *user;
    void *user_opaque;
    enum drive_media media;
    enum drive_on_error on_read_error, on_write_error;
    bool removable, tray_open;
    uint32_t sector;
    struct drive_counts counts;
    struct drive_fault fault;
};

/* Before a request is carried out, under the machine's lock: checks it and counts it. 0, or an
 * errno negated: that is the result. */
int drive_begin(struct drive *drive, enum block_op op, uint64_t offset, uint64_t bytes);
/* Any thread. */
int image_carry_out(struct block_image *image, enum block_op op, uint64_t offset, void *buffer,
                    uint64_t bytes);
/* What the drive's policy makes of an error. */
enum drive_on_error drive_policy(const struct drive *drive, enum block_op op, int error);

#endif
