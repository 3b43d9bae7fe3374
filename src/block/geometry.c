/* SPDX-License-Identifier: MIT
 *
 * The geometry of old BIOSes: cylinders, heads and sectors of a disk that has none. Where a
 * partition table was written by somebody who believed in one, its ends tell; else it follows from
 * the size.
 */
#include <string.h>

#include "block/internal.h"

#include "trace-block.h"

enum {
    SECTORS = 63,
    HEADS_LARGEST = 16,        /* of the device: 4 bits */
    CYLINDERS_LARGEST = 16383, /* what a disk says that is larger */
    CYLINDERS_CHS = 1024,      /* of INT 13h */
    LARGE_LIMIT = 131072,      /* cylinders * heads up to which shifting is enough */
    PARTITIONS = 4,
    PARTITION_TABLE = 0x1be,
    PARTITION_BYTES = 16,
};

/* The last head and sector of a partition are those of the geometry, if they are sane: the
 * partition ends with a cylinder. */
static bool from_partitions(struct drive *drive, uint64_t sectors, struct geometry *geometry)
{
    uint8_t bytes[IMAGE_SECTOR];
    if (drive_size(drive) < IMAGE_SECTOR || block_now(drive, BLOCK_READ, 0, bytes, sizeof(bytes)) ||
        bytes[510] != 0x55 || bytes[511] != 0xaa) {
        return false;
    }
    for (int i = 0; i < PARTITIONS; i++) {
        const uint8_t *entry = bytes + PARTITION_TABLE + i * PARTITION_BYTES;
        uint32_t heads = entry[5] + 1u, last = entry[6] & 63u;
        bool used = entry[12] | entry[13] | entry[14] | entry[15];
        if (!used || heads < 2 || !last) {
            continue;
        }
        uint64_t cylinders = sectors / ((uint64_t)heads * last);
        if (cylinders < 1 || cylinders > CYLINDERS_LARGEST) {
            continue;
        }
        geometry->heads = heads;
        geometry->sectors = last;
        geometry->cylinders = (uint32_t)cylinders;
        return true;
    }
    return false;
}

static void from_size(uint64_t sectors, struct geometry *geometry)
{
    uint64_t cylinders = sectors / (HEADS_LARGEST * SECTORS);
    if (cylinders > CYLINDERS_LARGEST) {
        cylinders = CYLINDERS_LARGEST;
    }
    geometry->cylinders = cylinders < 2 ? 2 : (uint32_t)cylinders;
    geometry->heads = HEADS_LARGEST;
    geometry->sectors = SECTORS;
}

void drive_guess_geometry(struct drive *drive, struct geometry *geometry)
{
    uint64_t sectors = drive_size(drive) / IMAGE_SECTOR;
    bool told = from_partitions(drive, sectors, geometry);
    if (told && geometry->heads <= HEADS_LARGEST) {
        geometry->translation =
            geometry->cylinders <= CYLINDERS_CHS ? GEOMETRY_NONE : GEOMETRY_LARGE;
    } else {
        /* More heads than a disk can have: what the partitions show is the BIOS's translation. */
        from_size(sectors, geometry);
        if (told) {
            geometry->translation = GEOMETRY_LBA;
        } else if (geometry->cylinders <= CYLINDERS_CHS) {
            geometry->translation = GEOMETRY_NONE;
        } else if (geometry->cylinders * geometry->heads <= LARGE_LIMIT) {
            geometry->translation = GEOMETRY_LARGE;
        } else {
            geometry->translation = GEOMETRY_LBA;
        }
    }
    trace_hd_geometry_guess(drive, geometry->cylinders, geometry->heads, geometry->sectors,
                            geometry->translation);
}
