/* SPDX-License-Identifier: MIT
 *
 * snapshot=on: what the guest writes goes to a temporary file that has no name and is gone with the
 * drive. The file is as long as the image, with holes where nothing was written; a bit says for
 * each block of 4 KiB which of the two has it. A block that is written in part is copied first.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/descriptor.h"
#include "base/memory.h"
#include "block/internal.h"

enum { BLOCK = 4096 };

struct overlay {
    int fd;
    uint64_t size;
    uint64_t *written; /* a bit for each block */
    size_t map_bytes;
    pthread_mutex_t lock; /* of the bits; and writers come one after the other */
};

static int temporary_file(struct error *err)
{
    const char *folder = getenv("TMPDIR");
    if (!folder || !*folder) {
        folder = "/var/tmp";
    }
    int fd = open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (fd < 0 && (errno == EOPNOTSUPP || errno == EISDIR || errno == EINVAL)) {
        char *name = mem_format("%s/vitrine-XXXXXX", folder);
        fd = mkostemp(name, O_CLOEXEC);
        if (fd >= 0) {
            unlink(name);
        }
        free(name);
    }
    if (fd < 0) {
        error_set(err, "could not make a temporary file in %s (TMPDIR names another folder): %s",
                  folder, strerror(errno));
        return -1;
    }
    return descriptor_own(fd);
}

struct overlay *overlay_new(uint64_t size, struct error *err)
{
    int fd = temporary_file(err);
    if (fd < 0) {
        return NULL;
    }
    struct overlay *overlay = mem_alloc(sizeof(*overlay));
    overlay->fd = fd;
    overlay->size = size;
    uint64_t blocks = (size + BLOCK - 1) / BLOCK;
    /* Pages of the map that nobody writes to take no memory. */
    overlay->map_bytes = (size_t)(blocks / 8 + sizeof(uint64_t));
    overlay->written = mmap(NULL, overlay->map_bytes, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    pthread_mutex_init(&overlay->lock, NULL);
    if (overlay->written == MAP_FAILED) {
        error_set(err, "no memory for the map of %llu blocks", (unsigned long long)blocks);
        overlay->written = NULL;
        overlay_free(overlay);
        return NULL;
    }
    return overlay;
}

void overlay_free(struct overlay *overlay)
{
    if (!overlay) {
        return;
    }
    if (overlay->written) {
        munmap(overlay->written, overlay->map_bytes);
    }
    close(overlay->fd);
    pthread_mutex_destroy(&overlay->lock);
    free(overlay);
}

static bool has(const struct overlay *overlay, uint64_t block)
{
    return overlay->written[block / 64] >> block % 64 & 1;
}

/* How many bytes from `offset` on, up to `bytes`, are all in the overlay, or all below. */
static uint64_t run(struct overlay *overlay, uint64_t offset, uint64_t bytes, bool *above)
{
    uint64_t block = offset / BLOCK, end = offset + bytes;
    pthread_mutex_lock(&overlay->lock);
    *above = has(overlay, block);
    do {
        block++;
    } while (block * BLOCK < end && has(overlay, block) == *above);
    pthread_mutex_unlock(&overlay->lock);
    return (block * BLOCK < end ? block * BLOCK : end) - offset;
}

int overlay_read(struct overlay *overlay, struct block_image *below, uint64_t offset, void *to,
                 uint64_t bytes)
{
    char *at = to;
    int result = 0;
    while (bytes && !result) {
        bool above;
        uint64_t part = run(overlay, offset, bytes, &above);
        result = file_read(above ? overlay->fd : below->fd, offset, at, part);
        at += part;
        offset += part;
        bytes -= part;
    }
    return result;
}

/* Brings a block up that will be written in part. */
static int copy_up(struct overlay *overlay, struct block_image *below, uint64_t block)
{
    if (has(overlay, block)) {
        return 0;
    }
    char bytes[BLOCK];
    int result = file_read(below->fd, block * BLOCK, bytes, BLOCK);
    return result ? result : file_write(overlay->fd, block * BLOCK, bytes, BLOCK);
}

int overlay_write(struct overlay *overlay, struct block_image *below, uint64_t offset,
                  const void *from, uint64_t bytes)
{
    if (!bytes) {
        return 0;
    }
    uint64_t first = offset / BLOCK, last = (offset + bytes - 1) / BLOCK;
    int result = 0;
    pthread_mutex_lock(&overlay->lock);
    if (offset % BLOCK) {
        result = copy_up(overlay, below, first);
    }
    if (!result && (offset + bytes) % BLOCK && (last != first || !(offset % BLOCK))) {
        result = copy_up(overlay, below, last);
    }
    if (!result) {
        result = file_write(overlay->fd, offset, from, bytes);
    }
    for (uint64_t block = first; block <= last && !result; block++) {
        overlay->written[block / 64] |= UINT64_C(1) << block % 64;
    }
    pthread_mutex_unlock(&overlay->lock);
    return result;
}
