/* SPDX-License-Identifier: MIT
 *
 * Drives: images that a guest's disks, CD-ROMs and floppies are made of. A drive is a place for a
 * medium (a raw file or a block device of the host), which can be exchanged; a device attaches to
 * it and sends requests, which worker threads carry out.
 *
 * Threads: all functions are the machine's, called under its lock, but for what says otherwise.
 * Results come back under the lock too: a pool tells its owner that there are some, and the owner
 * calls block_pool_deliver(). With a clock instead of threads (-icount, tests) a request is
 * carried out when it is sent and its result comes at a time of the machine that depends on
 * nothing but the request.
 *
 * Read in this order: this header, options.c (-drive), image.c (files, locks, formats), overlay.c
 * (snapshot=on), drive.c (media, carrying out), pool.c (threads, results), geometry.c.
 */
#ifndef BLOCK_BLOCK_H
#define BLOCK_BLOCK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/timer.h"

struct block_pool;
struct drive;
struct strbuf;

/* --- what -drive says --- */

enum drive_interface {
    DRIVE_IDE, /* what a drive without if= is */
    DRIVE_FLOPPY,
    DRIVE_NONE, /* for a -device with drive=ID */
    DRIVE_VIRTIO,
    DRIVE_SCSI,
    DRIVE_PFLASH,
    DRIVE_SD,
    DRIVE_MTD,
    DRIVE_XEN,
    DRIVE_INTERFACES,
};

enum drive_media { DRIVE_DISK, DRIVE_CDROM };

/* What happens to a request that failed: the guest is told; nothing; the machine stops, and the
 * request is sent again when it goes on (_ENOSPC: if the host has no room left, else it is told).
 */
enum drive_on_error { DRIVE_REPORT, DRIVE_IGNORE, DRIVE_STOP, DRIVE_ENOSPC };

struct drive_options {
    char *file;   /* NULL: no medium */
    char *format; /* NULL: found out */
    char *id;     /* NULL: drive_options_place() makes one */
    enum drive_interface interface;
    enum drive_media media;
    unsigned bus, unit, index; /* of the interface; index = bus * units a bus + unit */
    bool placed;               /* index, or bus and unit, were given or found */
    bool readonly;
    bool snapshot;
    bool flushes;       /* cache=unsafe: the guest's flushes are not handed on */
    bool write_through; /* cache=writethrough, directsync: each write is flushed */
    bool discards;      /* discard=unmap: the guest's discards are handed on */
    bool locks;         /* file.locking: the image is locked against others */
    enum drive_on_error on_read_error, on_write_error;
};

/* "key=value,..." of -drive. `interface` and `media`: where the text says nothing (DRIVE_IDE and
 * DRIVE_DISK for -drive, others for -fda and -cdrom). Sentences are QEMU's where it has one.
 * drive_options_free() in either case. */
bool drive_options_parse(struct drive_options *options, const char *text,
                         enum drive_interface interface, enum drive_media media, struct error *err);
void drive_options_free(struct drive_options *options);
/* For -hda, -cdrom and the like: a file name as it is, commas too. NULL: no medium. */
void drive_options_file(struct drive_options *options, const char *file,
                        enum drive_interface interface, enum drive_media media, unsigned index);
/* The name that says -drive if=; units a bus (0: any number, no buses). */
const char *drive_interface_name(enum drive_interface interface);
unsigned drive_interface_units(enum drive_interface interface);
/* A bus, unit and id for a drive that has none, and whether they are free: `count` drives were
 * parsed before. */
bool drive_options_place(struct drive_options *options, const struct drive_options *const *others,
                         size_t count, struct error *err);

/* --- pools --- */

/* `threads` workers, started when there is work for them. `ready` says that there are results; any
 * thread calls it, also inside block_submit(); it must not take the machine's lock if whoever holds
 * that lock can wait for it: let the loop of the machine call block_pool_deliver(). */
struct block_pool *block_pool_new(unsigned threads, void (*ready)(void *opaque), void *opaque);
/* No threads: results come at the clock's time `nanoseconds` after the request, and one for each 8
 * bytes (1 GB/s would be 8). */
struct block_pool *block_pool_new_timed(struct clock *clock, uint64_t nanoseconds);
/* Waits for what is under way; nobody is told the results. The drives must be gone. */
void block_pool_free(struct block_pool *pool);
/* Hands results over that are there. */
void block_pool_deliver(struct block_pool *pool);
/* Waits for all that is under way and hands it over, what follows from it too: before the
 * machine is saved, or ends. */
void block_pool_drain(struct block_pool *pool);
/* Requests that are neither delivered nor cancelled nor waiting for block_pool_resume(). */
size_t block_pool_busy(const struct block_pool *pool);
/* A drive's policy asks to stop the machine: `stop` is called inside block_pool_deliver(), and
 * block_pool_resume() sends again what failed. Without it the guest is told the error. */
void block_pool_on_stop(struct block_pool *pool,
                        void (*stop)(void *opaque, struct drive *drive, int error), void *opaque);
void block_pool_resume(struct block_pool *pool);

/* --- drives --- */

/* A drive without a medium. Never NULL. */
struct drive *drive_new(const char *id, struct block_pool *pool);
/* Detached before, with no request under way. */
void drive_free(struct drive *drive);

/* Puts a medium in, or another one: the device is told. `warnings`: lines for the user, without
 * the program's name (or NULL). On failure the drive is as it was. */
bool drive_open(struct drive *drive, const struct drive_options *options, struct strbuf *warnings,
                struct error *err);
/* Takes the medium out. Refused while the guest keeps it locked, unless `force`. */
bool drive_eject(struct drive *drive, bool force, struct error *err);

/* What a device does for its drive. Any may be NULL. */
struct drive_user {
    /* The medium came, went or is another one. */
    void (*changed)(void *opaque, bool loaded);
    /* The guest has locked it. */
    bool (*locked)(void *opaque);
    /* Somebody wants to take it out and it is locked: the guest may be asked. */
    void (*eject_wanted)(void *opaque);
};

/* One device uses a drive: "Drive 'd' is already in use by another device". */
bool drive_attach(struct drive *drive, const struct drive_user *user, void *opaque,
                  struct error *err);
void drive_detach(struct drive *drive);

const char *drive_id(const struct drive *drive);
const char *drive_file(const struct drive *drive); /* NULL: no medium */
bool drive_has_medium(const struct drive *drive);
/* Bytes, a multiple of 512 (the end of a file that is no multiple reads as zeros); 0 without a
 * medium. */
uint64_t drive_size(const struct drive *drive);
bool drive_is_readonly(const struct drive *drive);
bool drive_is_snapshot(const struct drive *drive);
bool drive_can_discard(const struct drive *drive);
enum drive_media drive_media(const struct drive *drive); /* what -drive media= said */
/* Removable: a CD-ROM or floppy; set by the device that attaches. */
void drive_set_removable(struct drive *drive, bool removable);
bool drive_is_removable(const struct drive *drive);
/* Bytes of its smallest unit: 512, or what the device says (2048). */
void drive_set_sector(struct drive *drive, uint32_t bytes);
uint32_t drive_sector(const struct drive *drive);
/* The tray, which the guest moves: for `info block`. */
void drive_set_tray(struct drive *drive, bool open);
bool drive_tray_is_open(const struct drive *drive);
/* For the monitor: counts since the start. */
struct drive_counts {
    uint64_t reads, read_bytes, writes, write_bytes, flushes, discards, errors;
};
const struct drive_counts *drive_counts(const struct drive *drive);
/* A paragraph of `info block`. */
void drive_print(const struct drive *drive, struct strbuf *text);

/* --- requests --- */

enum block_op { BLOCK_READ, BLOCK_WRITE, BLOCK_FLUSH, BLOCK_DISCARD, BLOCK_ZERO, BLOCK_OPS };

/* Lies in the device, as the buffer does; neither moves until done() or block_cancel(). Zero
 * memory is one that is not under way. */
struct block_request {
    struct drive *drive;
    enum block_op op;
    uint64_t offset, bytes; /* within the drive, or it fails with EIO; none of FLUSH */
    void *buffer;           /* of READ and WRITE */
    void (*done)(void *opaque, int result); /* 0, or an errno negated; may send the next one */
    void *opaque;
    /* The pool's. */
    int state, result;
    struct block_request *next;
    struct timer timer;
    struct block_image *image;
};

/* Sends a request; done() is called later, never inside. Those under way together may be carried
 * out in any order; a flush covers what was done before it was sent. */
void block_submit(struct block_request *request);
/* Neither done() is called nor the buffer touched after it returned; a write may have happened.
 * Nothing happens to one that is not under way. */
void block_cancel(struct block_request *request);
bool block_is_busy(const struct block_request *request);
/* At once, without the pool: 0 or an errno negated. */
int block_now(struct drive *drive, enum block_op op, uint64_t offset, void *buffer, uint64_t bytes);

/* For tests: the next `count` requests of the kind that touch the byte at `offset` fail (FLUSH: any
 * offset). Replaces what was asked for before; count 0: none. */
void drive_inject(struct drive *drive, enum block_op op, uint64_t offset, int error,
                  unsigned count);

/* --- geometry --- */

enum { GEOMETRY_NONE = 1, GEOMETRY_LBA = 2, GEOMETRY_LARGE = 3 }; /* translation by the BIOS */

struct geometry {
    uint32_t cylinders, heads, sectors;
    int translation;
};

/* What an old BIOS would say of the disk: from the partition table's ends, else from the size. */
void drive_guess_geometry(struct drive *drive, struct geometry *geometry);

/* --- files --- */

/* A file that the machine opens (firmware, kernel, ROM, image): the event load_file. `name`: what
 * was asked for; `path`: where it is. Any thread. */
void file_opened(const char *name, const char *path);

#endif
