/* SPDX-License-Identifier: MIT
 *
 * Images: raw files and block devices of the host. What an image is called, whether it is one of
 * the formats that are not raw, locks, reading and writing.
 *
 * Locks are the kernel's OFD locks on single bytes of the file, as other machine emulators set
 * them, so that they see each other: 100 is locked by whoever reads, 101 by whoever writes, 201
 * and 203 by whoever wants nobody else to write or change the size. A writer of ours takes them
 * all.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/descriptor.h"
#include "base/memory.h"
#include "base/strbuf.h"
#include "block/internal.h"

#include "trace-block.h"

enum {
    LOCK_READS = 100,
    LOCK_WRITES = 101,
    LOCK_RESIZES = 103,
    LOCK_NO_WRITER = 201,
    LOCK_NO_RESIZE = 203,
    LOCK_END = 300,
    ZEROS = 64 << 10,
};

void file_opened(const char *name, const char *path)
{
    trace_load_file(name, path);
}

/* --- formats --- */

/* What images begin with that are not raw. */
static const struct {
    const char *name;
    unsigned offset, length;
    const char *magic;
} formats[] = {
    {"qcow2", 0, 8, "QFI\xfb\0\0\0\2"},
    {"qcow2", 0, 8, "QFI\xfb\0\0\0\3"},
    {"qcow", 0, 8, "QFI\xfb\0\0\0\1"},
    {"vmdk", 0, 4, "KDMV"},
    {"vmdk", 0, 4, "COWD"},
    {"vmdk", 0, 21, "# Disk DescriptorFile"},
    {"vdi", 64, 4, "\x7f\x10\xda\xbe"},
    {"vhdx", 0, 8, "vhdxfile"},
    {"vpc", 0, 8, "conectix"},
    {"qed", 0, 4, "QED\0"},
    {"luks", 0, 6, "LUKS\xba\xbe"},
    {"parallels", 0, 16, "WithoutFreeSpace"},
    {"parallels", 0, 16, "WithouFreSpacExt"},
};

static const char *guess_format(int fd)
{
    char head[IMAGE_SECTOR] = {0};
    if (pread(fd, head, sizeof(head), 0) < 0) {
        return NULL;
    }
    for (size_t i = 0; i < sizeof(formats) / sizeof(formats[0]); i++) {
        if (!memcmp(head + formats[i].offset, formats[i].magic, formats[i].length)) {
            return formats[i].name;
        }
    }
    return NULL;
}

static bool check_format(struct block_image *image, const struct drive_options *options,
                         struct strbuf *warnings, struct error *err)
{
    if (options->format) {
        return true;
    }
    const char *format = guess_format(image->fd);
    if (format) {
        return error_set(err,
                         "'%s' is a %s image, which is not supported yet: only raw images are. "
                         "`qemu-img convert -O raw` makes one; format=raw takes it as it is",
                         image->file, format);
    }
    if (!image->readonly && !image->snapshot && warnings) {
        strbuf_printf(warnings,
                      "WARNING: Image format was not specified for '%s' and probing guessed raw.\n"
                      "         Specify the 'raw' format explicitly (format=raw): a guest could "
                      "write another format's head to it.\n",
                      image->file);
    }
    return true;
}

/* --- opening --- */

/* "nbd:...", "fat:...": QEMU's other places. A path that has a slash in front of the colon, or
 * exists, is none. */
static bool check_name(const char *name, struct error *err)
{
    size_t length = strcspn(name, ":/");
    if (name[length] != ':' || !length || !access(name, F_OK)) {
        return true;
    }
    static const char *const known[] = {"nbd",   "fat", "http", "https",   "ftp",  "ssh",
                                        "iscsi", "rbd", "nfs",  "gluster", "nvme", "json"};
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        if (strlen(known[i]) == length && !strncmp(name, known[i], length)) {
            return error_set(err, "%s: is not supported: images are local files and block devices",
                             known[i]);
        }
    }
    return error_set(err, "Unknown protocol '%.*s'", (int)length, name);
}

static bool lock(int fd, short type, off_t start, off_t length)
{
    struct flock what = {.l_type = type, .l_whence = SEEK_SET, .l_start = start, .l_len = length};
    return !fcntl(fd, F_OFD_SETLK, &what) || (errno != EAGAIN && errno != EACCES);
}

static bool somebody_has(int fd, off_t start)
{
    struct flock what = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = start, .l_len = 1};
    return !fcntl(fd, F_OFD_GETLK, &what) && what.l_type != F_UNLCK;
}

/* Where the file system knows no locks, there are none. */
bool image_lock(struct block_image *image, struct error *err)
{
    bool good, writes = !image->readonly && !image->snapshot;
    if (!image->locks) {
        return true;
    }
    if (writes) {
        good = lock(image->fd, F_WRLCK, LOCK_READS, LOCK_END - LOCK_READS);
    } else {
        good = lock(image->fd, F_RDLCK, LOCK_READS, 1) &&
               lock(image->fd, F_RDLCK, LOCK_NO_WRITER, 1) &&
               lock(image->fd, F_RDLCK, LOCK_NO_RESIZE, 1) &&
               !somebody_has(image->fd, LOCK_WRITES) && !somebody_has(image->fd, LOCK_RESIZES);
    }
    return good || error_set(err, "Failed to get %s lock\nIs another process using the image [%s]?",
                             writes ? "\"write\"" : "shared \"write\"", image->file);
}

void image_unlock(struct block_image *image)
{
    lock(image->fd, F_UNLCK, LOCK_READS, LOCK_END - LOCK_READS);
}

static bool find_size(struct block_image *image, struct error *err)
{
    struct stat status;
    if (fstat(image->fd, &status)) {
        return error_set(err, "Could not open '%s': %s", image->file, strerror(errno));
    }
    if (S_ISBLK(status.st_mode)) {
        if (ioctl(image->fd, BLKGETSIZE64, &image->file_size)) {
            return error_set(err, "Could not find out the size of '%s': %s", image->file,
                             strerror(errno));
        }
    } else if (S_ISREG(status.st_mode)) {
        image->file_size = (uint64_t)status.st_size;
    } else {
        return error_set(err, "'file' driver requires '%s' to be a regular file", image->file);
    }
    image->size = (image->file_size + IMAGE_SECTOR - 1) & ~(uint64_t)(IMAGE_SECTOR - 1);
    if (image->size > INT64_MAX) {
        return error_set(err, "'%s' is too large", image->file);
    }
    return true;
}

/* On failure the caller drops what there is. */
static bool open_file(struct block_image *image, const struct drive_options *options,
                      struct strbuf *warnings, struct error *err)
{
    bool writes = !options->readonly && !options->snapshot;
    image->readonly = options->readonly;
    image->snapshot = options->snapshot;
    /* Without O_NONBLOCK a fifo of that name would wait for its other end. */
    int fd = open(image->file, (writes ? O_RDWR : O_RDONLY) | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) {
        return error_set(err,
                         errno == EISDIR ? "'file' driver requires '%s' to be a regular file"
                                         : "Could not open '%s': %s",
                         image->file, strerror(errno));
    }
    image->fd = descriptor_own(fd);
    image->locks = options->locks;
    if (!find_size(image, err) || !image_lock(image, err)) {
        return false;
    }
    if (options->snapshot) {
        image->overlay = overlay_new(image->size, err);
        if (!image->overlay) {
            return error_prefix(err, "snapshot of '%s': ", image->file);
        }
    }
    return check_format(image, options, warnings, err);
}

struct block_image *image_open(const struct drive_options *options, struct strbuf *warnings,
                               struct error *err)
{
    if (!check_name(options->file, err)) {
        return NULL;
    }
    struct block_image *image = mem_alloc(sizeof(*image));
    image->file = mem_string(options->file);
    image->fd = -1;
    image->references = 1;
    image->flushes = options->flushes;
    image->write_through = options->write_through;
    image->discards = options->discards;
    if (!open_file(image, options, warnings, err)) {
        image_drop(image);
        return NULL;
    }
    file_opened(image->file, image->file);
    trace_bdrv_open_common(image, image->file, (image->readonly ? 0 : O_RDWR), "raw");
    return image;
}

struct block_image *image_take(struct block_image *image)
{
    if (image) {
        __atomic_add_fetch(&image->references, 1, __ATOMIC_RELAXED);
    }
    return image;
}

void image_drop(struct block_image *image)
{
    if (!image || __atomic_sub_fetch(&image->references, 1, __ATOMIC_ACQ_REL)) {
        return;
    }
    if (image->fd >= 0) {
        trace_block_image_closed(image, image->file);
        close(image->fd);
    }
    overlay_free(image->overlay);
    free(image->file);
    free(image);
}

/* --- reading and writing --- */

int file_read(int fd, uint64_t offset, void *to, uint64_t bytes)
{
    char *at = to;
    while (bytes) {
        ssize_t n = pread(fd, at, bytes, (off_t)offset);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return -errno;
        }
        if (!n) {
            memset(at, 0, bytes);
            return 0;
        }
        at += n;
        offset += (uint64_t)n;
        bytes -= (uint64_t)n;
    }
    return 0;
}

int file_write(int fd, uint64_t offset, const void *from, uint64_t bytes)
{
    const char *at = from;
    while (bytes) {
        ssize_t n = pwrite(fd, at, bytes, (off_t)offset);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            return n ? -errno : -ENOSPC;
        }
        at += n;
        offset += (uint64_t)n;
        bytes -= (uint64_t)n;
    }
    return 0;
}

int image_read(struct block_image *image, uint64_t offset, void *to, uint64_t bytes)
{
    trace_bdrv_co_preadv_part(image, (int64_t)offset, (int64_t)bytes, 0);
    if (image->overlay) {
        return overlay_read(image->overlay, image, offset, to, bytes);
    }
    return file_read(image->fd, offset, to, bytes);
}

int image_write(struct block_image *image, uint64_t offset, const void *from, uint64_t bytes)
{
    trace_bdrv_co_pwritev_part(image, (int64_t)offset, (int64_t)bytes, 0);
    if (image->overlay) {
        return overlay_write(image->overlay, image, offset, from, bytes);
    }
    int result = file_write(image->fd, offset, from, bytes);
    if (!result && image->write_through) {
        result = image_flush(image);
    }
    return result;
}

int image_flush(struct block_image *image)
{
    if (image->overlay || image->readonly || !image->flushes) {
        return 0;
    }
    return fdatasync(image->fd) ? -errno : 0;
}

static int write_zeros(struct block_image *image, uint64_t offset, uint64_t bytes)
{
    static const char zeros[ZEROS];
    int result = 0;
    while (bytes && !result) {
        uint64_t part = bytes < ZEROS ? bytes : ZEROS;
        result = image_write(image, offset, zeros, part);
        offset += part;
        bytes -= part;
    }
    return result;
}

int image_discard(struct block_image *image, uint64_t offset, uint64_t bytes, bool must_be_zero)
{
    trace_bdrv_co_pwrite_zeroes(image, (int64_t)offset, (int64_t)bytes, must_be_zero ? 0 : 4);
    if (!must_be_zero && (!image->discards || image->overlay)) {
        return 0;
    }
    if (!image->overlay && !fallocate(image->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                                      (off_t)offset, (off_t)bytes)) {
        return 0;
    }
    /* Not every file system can. What is only discarded may stay as it was. */
    return must_be_zero ? write_zeros(image, offset, bytes) : 0;
}
