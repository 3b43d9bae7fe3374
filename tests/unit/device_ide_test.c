/* SPDX-License-Identifier: MIT
 *
 * IDE through its ports, as SeaBIOS and Linux drive it: detection, identification, reading and
 * writing by ports and by bus-master DMA, errors, packet commands. Images are files.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#include <cmocka.h>

#include "block/block.h"
#include "device_harness.h"

enum {
    DATA = 0x1f0,
    ERROR,
    COUNT,
    LOW,
    MID,
    HIGH,
    SELECT,
    STATUS,
    CONTROL = 0x3f6,
    BM = 0xc000, /* where the test maps BAR4 */
    SECOND = 0x170 - 0x1f0,
    SECTOR = 512,
    DISK_SECTORS = 4096,
    CD_SECTORS = 300,
    LATENCY = 1000,
    TABLE = 0x8000, /* of regions, in RAM */
    BUFFER = 0x100000,
    BSY = 0x80,
    DRDY = 0x40,
    DRQ = 0x08,
    ERR = 0x01,
};

struct machine {
    struct harness h;
    struct block_pool *pool;
    struct drive *disk, *cd;
    char *disk_file, *cd_file;
};

static uint8_t pattern(uint64_t at)
{
    return (uint8_t)(at * 7 + (at >> 9) * 13 + (at >> 17));
}

static char *make_image(size_t size)
{
    char *path = mem_string("/tmp/vitrine-ide-XXXXXX");
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    uint8_t *bytes = mem_alloc(size);
    for (size_t i = 0; i < size; i++) {
        bytes[i] = pattern(i);
    }
    assert_int_equal(write(fd, bytes, size), (ssize_t)size);
    free(bytes);
    close(fd);
    return path;
}

static struct drive *open_drive(struct block_pool *pool, const char *id, const char *file,
                                const char *more)
{
    struct error err;
    struct drive_options options;
    char *text = mem_format("file=%s,format=raw,if=none%s", file, more);
    if (!drive_options_parse(&options, text, DRIVE_IDE, DRIVE_DISK, &err)) {
        fail_msg("%s", err.text);
    }
    free(text);
    struct drive *drive = drive_new(id, pool);
    if (!drive_open(drive, &options, NULL, &err)) {
        fail_msg("%s", err.text);
    }
    drive_options_free(&options);
    return drive;
}

static void add_drive(struct machine *m, const char *class, struct drive *drive, const char *bus)
{
    struct error err;
    struct device *device = device_new(device_class_find(class), &m->h.board);
    device_set_pointer(device, "drive", drive);
    assert_true(device_set(device, "bus", bus, &err));
    if (!device_realize(device, &err)) {
        fail_msg("%s", err.text);
    }
}

static void enable(struct machine *m)
{
    config_write16(&m->h, 1, 1, 0x40, 0x8000);
    config_write16(&m->h, 1, 1, 0x42, 0x8000);
    config_write32(&m->h, 1, 1, 0x20, BM);
    config_write16(&m->h, 1, 1, PCI_COMMAND, PCI_COMMAND_IO | PCI_COMMAND_MASTER);
}

static void begin_with(struct machine *m, const char *more)
{
    memset(m, 0, sizeof(*m));
    harness_begin(&m->h);
    m->pool = block_pool_new_timed(&m->h.clock, LATENCY);
    m->disk_file = make_image(DISK_SECTORS * SECTOR);
    m->cd_file = make_image(CD_SECTORS * 2048);
    m->disk = open_drive(m->pool, "hd", m->disk_file, more);
    m->cd = open_drive(m->pool, "cd", m->cd_file, ",media=cdrom");
    harness_add(&m->h, "piix3-ide", "addr=1.1", NULL);
    add_drive(m, "ide-hd", m->disk, "ide.0");
    add_drive(m, "ide-cd", m->cd, "ide.1");
    harness_reset(&m->h);
    enable(m);
}

static void begin(struct machine *m)
{
    begin_with(m, ",discard=unmap");
}

static void end(struct machine *m)
{
    harness_end(&m->h);
    drive_free(m->disk);
    drive_free(m->cd);
    block_pool_free(m->pool);
    unlink(m->disk_file);
    unlink(m->cd_file);
    free(m->disk_file);
    free(m->cd_file);
}

/* Until the drive is not busy: the machine's time goes on. */
static uint8_t wait_ready(struct machine *m, uint16_t base)
{
    for (int i = 0; i < 1000; i++) {
        uint8_t status = in8(&m->h, (uint16_t)(base + CONTROL - DATA));
        if (!(status & BSY)) {
            return status;
        }
        harness_advance(&m->h, LATENCY);
    }
    fail_msg("busy for ever");
    return 0;
}

static void command(struct machine *m, uint16_t base, uint8_t select, uint32_t lba, uint8_t count,
                    uint8_t code)
{
    out8(&m->h, (uint16_t)(base + 6), (uint8_t)(select | (lba >> 24 & 0x0f)));
    out8(&m->h, (uint16_t)(base + 2), count);
    out8(&m->h, (uint16_t)(base + 3), (uint8_t)lba);
    out8(&m->h, (uint16_t)(base + 4), (uint8_t)(lba >> 8));
    out8(&m->h, (uint16_t)(base + 5), (uint8_t)(lba >> 16));
    out8(&m->h, (uint16_t)(base + 7), code);
}

static void read_words(struct machine *m, uint16_t base, void *to, unsigned bytes)
{
    for (unsigned i = 0; i < bytes; i += 2) {
        uint16_t word = in16(&m->h, base);
        memcpy((uint8_t *)to + i, &word, 2);
    }
}

static void write_words(struct machine *m, uint16_t base, const void *from, unsigned bytes)
{
    for (unsigned i = 0; i < bytes; i += 2) {
        uint16_t word;
        memcpy(&word, (const uint8_t *)from + i, 2);
        out16(&m->h, base, word);
    }
}

static void expect_pattern(const uint8_t *bytes, uint64_t at, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if (bytes[i] != pattern(at + i)) {
            fail_msg("byte %zu is 0x%02x, not 0x%02x", i, bytes[i], pattern(at + i));
        }
    }
}

/* --- what is there --- */

static void test_pci_header(void **state)
{
    (void)state;
    struct machine m;
    begin(&m);
    assert_int_equal(config_read32(&m.h, 1, 1, 0), 0x70108086);
    assert_int_equal(config_read32(&m.h, 1, 1, 8), 0x01018000);
    config_write32(&m.h, 1, 1, 0x20, 0xffffffff);
    assert_int_equal(config_read32(&m.h, 1, 1, 0x20), 0xfffffff1);
    end(&m);
}

static void test_ports_are_decoded(void **state)
{
    (void)state;
    struct machine m;
    begin(&m);
    assert_int_equal(in8(&m.h, STATUS), DRDY | 0x10);
    config_write16(&m.h, 1, 1, 0x40, 0);
    assert_int_equal(in8(&m.h, STATUS), 0xff);
    assert_int_equal(in8(&m.h, CONTROL), 0xff);
    assert_int_not_equal(in8(&m.h, STATUS + SECOND + 0), 0xff);
    config_write16(&m.h, 1, 1, 0x40, 0x8000);
    config_write16(&m.h, 1, 1, PCI_COMMAND, 0);
    assert_int_equal(in8(&m.h, STATUS), 0xff);
    end(&m);
}

/* As SeaBIOS: select, write two registers, read them back. */
static void test_detection(void **state)
{
    (void)state;
    struct machine m;
    begin(&m);
    out8(&m.h, SELECT, 0xa0);
    out8(&m.h, COUNT, 0x55);
    out8(&m.h, LOW, 0xaa);
    assert_int_equal(in8(&m.h, COUNT), 0x55);
    assert_int_equal(in8(&m.h, LOW), 0xaa);
    out8(&m.h, SELECT, 0xb0); /* nobody: drive 0 answers, not ready */
    assert_int_equal(in8(&m.h, SELECT), 0xb0);
    assert_int_equal(in8(&m.h, STATUS), 0);
    out8(&m.h, STATUS, 0xec);
    assert_int_equal(in8(&m.h, STATUS), 0);
    out8(&m.h, CONTROL, 0x04);
    assert_true(in8(&m.h, CONTROL) & BSY);
    out8(&m.h, CONTROL, 0x00);
    assert_int_equal(in8(&m.h, STATUS), DRDY | 0x10);
    assert_int_equal(in8(&m.h, ERROR), 1);
    assert_int_equal(in8(&m.h, COUNT), 1);
    assert_int_equal(in8(&m.h, LOW), 1);
    assert_int_equal(in8(&m.h, MID), 0);
    assert_int_equal(in8(&m.h, HIGH), 0);
    assert_int_equal(in8(&m.h, MID + SECOND), 0x14);
    assert_int_equal(in8(&m.h, HIGH + SECOND), 0xeb);
    assert_int_equal(in8(&m.h, STATUS + SECOND), 0);
    out8(&m.h, SELECT + SECOND, 0xb0); /* no slave there, and its master is a packet device */
    assert_int_equal(in8(&m.h, MID + SECOND), 0);
    assert_int_equal(in8(&m.h, STATUS + SECOND), 0);
    end(&m);
}

static void swap_text(char *to, const uint8_t *from, unsigned size)
{
    for (unsigned i = 0; i < size; i++) {
        to[i] = (char)from[i ^ 1];
    }
    to[size] = 0;
}

static void test_identify(void **state)
{
    (void)state;
    struct machine m;
    uint8_t bytes[SECTOR], sum = 0;
    uint16_t words[SECTOR / 2];
    char text[41];
    begin(&m);
    command(&m, DATA, 0xa0, 0, 0, 0xec);
    assert_int_equal(wait_ready(&m, DATA), DRDY | 0x10 | DRQ);
    assert_true(m.h.line[14].level);
    assert_int_equal(in8(&m.h, STATUS), DRDY | 0x10 | DRQ);
    assert_false(m.h.line[14].level);
    read_words(&m, DATA, bytes, SECTOR);
    assert_int_equal(in8(&m.h, STATUS), DRDY | 0x10);
    memcpy(words, bytes, SECTOR);
    swap_text(text, bytes + 54, 40);
    assert_string_equal(text, "QEMU HARDDISK                           ");
    swap_text(text, bytes + 20, 20);
    assert_string_equal(text, "QM00001             ");
    swap_text(text, bytes + 46, 8);
    assert_string_equal(text, "2.5+    ");
    assert_int_equal(words[60] | words[61] << 16, DISK_SECTORS);
    assert_int_equal(words[100], DISK_SECTORS);
    assert_int_equal(words[83] & 0x0400, 0x0400);
    assert_int_equal(words[1], 4);
    assert_int_equal(words[3], 16);
    assert_int_equal(words[6], 63);
    for (int i = 0; i < SECTOR; i++) {
        sum = (uint8_t)(sum + bytes[i]);
    }
    assert_int_equal(sum, 0);
    /* A packet device refuses, showing what it is. */
    command(&m, DATA + SECOND, 0xa0, 0, 0, 0xec);
    assert_true(wait_ready(&m, DATA + SECOND) & ERR);
    assert_int_equal(in8(&m.h, ERROR + SECOND), 4);
    assert_int_equal(in8(&m.h, MID + SECOND), 0x14);
    command(&m, DATA + SECOND, 0xa0, 0, 0, 0xa1);
    assert_true(wait_ready(&m, DATA + SECOND) & DRQ);
    read_words(&m, DATA + SECOND, bytes, SECTOR);
    swap_text(text, bytes + 54, 40);
    assert_string_equal(text, "QEMU DVD-ROM                            ");
    swap_text(text, bytes + 20, 20);
    assert_string_equal(text, "QM00003             ");
    end(&m);
}

/* --- data by ports --- */

static void test_read_pio(void **state)
{
    (void)state;
    struct machine m;
    static uint8_t bytes[300 * SECTOR];
    begin(&m);
    command(&m, DATA, 0xe0, 5, 1, 0x20);
    assert_int_equal(in8(&m.h, CONTROL) & BSY, BSY);
    assert_false(m.h.line[14].level);
    assert_true(wait_ready(&m, DATA) & DRQ);
    assert_true(m.h.line[14].level);
    read_words(&m, DATA, bytes, SECTOR);
    expect_pattern(bytes, 5 * SECTOR, SECTOR);
    assert_int_equal(in8(&m.h, STATUS), DRDY | 0x10);
    /* 256 sectors and an interrupt for each; 32-bit accesses. */
    unsigned before = m.h.line[14].rises;
    command(&m, DATA, 0xe0, 7, 0, 0x20);
    for (unsigned sector = 0; sector < 256; sector++) {
        assert_true(wait_ready(&m, DATA) & DRQ);
        assert_true(m.h.line[14].level);
        in8(&m.h, STATUS);
        for (unsigned i = 0; i < SECTOR; i += 4) {
            uint32_t value = in32(&m.h, DATA);
            memcpy(bytes + sector * SECTOR + i, &value, 4);
        }
    }
    assert_int_equal(wait_ready(&m, DATA), DRDY | 0x10);
    assert_int_equal(m.h.line[14].rises - before, 256);
    expect_pattern(bytes, 7 * SECTOR, 256 * SECTOR);
    /* READ MULTIPLE EXT: 300 sectors in blocks of 16, across two pieces of the buffer. */
    before = m.h.line[14].rises;
    out8(&m.h, COUNT, 300 >> 8);
    out8(&m.h, LOW, 0);
    out8(&m.h, MID, 0);
    out8(&m.h, HIGH, 0);
    command(&m, DATA, 0xe0, 0x100, 300 & 0xff, 0x29);
    for (unsigned done = 0; done < 300 * SECTOR;) {
        assert_true(wait_ready(&m, DATA) & DRQ);
        in8(&m.h, STATUS);
        unsigned part = 300 * SECTOR - done;
        part = part > 16 * SECTOR ? 16 * SECTOR : part;
        read_words(&m, DATA, bytes + done, part);
        done += part;
    }
    assert_int_equal(wait_ready(&m, DATA), DRDY | 0x10);
    assert_int_equal(m.h.line[14].rises - before, 19);
    expect_pattern(bytes, 0x100 * SECTOR, 300 * SECTOR);
    end(&m);
}

static void test_write_pio(void **state)
{
    (void)state;
    struct machine m;
    uint8_t bytes[3 * SECTOR], back[3 * SECTOR];
    begin(&m);
    for (unsigned i = 0; i < sizeof(bytes); i++) {
        bytes[i] = (uint8_t)(i ^ 0x5a);
    }
    command(&m, DATA, 0xe0, 9, 3, 0x30);
    assert_true(wait_ready(&m, DATA) & DRQ);
    assert_false(m.h.line[14].level); /* not in front of the first */
    for (int i = 0; i < 3; i++) {
        assert_true(wait_ready(&m, DATA) & DRQ);
        write_words(&m, DATA, bytes + i * SECTOR, SECTOR);
    }
    assert_int_equal(wait_ready(&m, DATA), DRDY | 0x10);
    assert_true(m.h.line[14].level);
    in8(&m.h, STATUS);
    command(&m, DATA, 0xe0, 0, 0, 0xe7);
    assert_int_equal(wait_ready(&m, DATA), DRDY | 0x10);
    assert_int_equal(drive_counts(m.disk)->flushes, 1);
    FILE *file = fopen(m.disk_file, "rb");
    assert_non_null(file);
    assert_int_equal(fseek(file, 9 * SECTOR, SEEK_SET), 0);
    assert_int_equal(fread(back, 1, sizeof(back), file), sizeof(back));
    fclose(file);
    assert_memory_equal(back, bytes, sizeof(bytes));
    end(&m);
}

static void test_chs(void **state)
{
    (void)state;
    struct machine m;
    uint8_t bytes[SECTOR];
    begin(&m);
    /* Cylinder 1, head 2, sector 3 of 16 heads and 63 sectors. */
    command(&m, DATA, 0xa0 | 2, 0, 1, 0);
    out8(&m.h, LOW, 3);
    out8(&m.h, MID, 1);
    out8(&m.h, HIGH, 0);
    out8(&m.h, STATUS, 0x20);
    assert_true(wait_ready(&m, DATA) & DRQ);
    read_words(&m, DATA, bytes, SECTOR);
    expect_pattern(bytes, ((1 * 16 + 2) * 63 + 3 - 1) * SECTOR, SECTOR);
    /* INITIALIZE DEVICE PARAMETERS: 4 heads, 17 sectors. */
    out8(&m.h, SELECT, 0xa0 | 3);
    out8(&m.h, COUNT, 17);
    out8(&m.h, STATUS, 0x91);
    assert_int_equal(wait_ready(&m, DATA), DRDY | 0x10);
    out8(&m.h, COUNT, 1);
    out8(&m.h, SELECT, 0xa0 | 2);
    out8(&m.h, STATUS, 0x20);
    assert_true(wait_ready(&m, DATA) & DRQ);
    read_words(&m, DATA, bytes, SECTOR);
    expect_pattern(bytes, ((1 * 4 + 2) * 17 + 3 - 1) * SECTOR, SECTOR);
    /* There is no sector 0. */
    out8(&m.h, LOW, 0);
    out8(&m.h, STATUS, 0x20);
    assert_true(wait_ready(&m, DATA) & ERR);
    assert_int_equal(in8(&m.h, ERROR), 0x10);
    end(&m);
}

/* --- errors and small commands --- */

static const struct {
    const char *what;
    uint8_t features, count, mid, high, code, status, error;
} small[] = {
    {"no such command", 0, 0, 0, 0, 0xfe, DRDY | 0x10 | ERR, 4},
    {"NOP", 0, 0, 0, 0, 0x00, DRDY | 0x10 | ERR, 4},
    {"PACKET to a disk", 0, 0, 0, 0, 0xa0, DRDY | 0x10 | ERR, 4},
    {"SET MULTIPLE 8", 0, 8, 0, 0, 0xc6, DRDY | 0x10, 0},
    {"SET MULTIPLE 3", 0, 3, 0, 0, 0xc6, DRDY | 0x10 | ERR, 4},
    {"SET MULTIPLE 32", 0, 32, 0, 0, 0xc6, DRDY | 0x10 | ERR, 4},
    {"UDMA 5", 3, 0x45, 0, 0, 0xef, DRDY | 0x10, 0},
    {"UDMA 6", 3, 0x46, 0, 0, 0xef, DRDY | 0x10 | ERR, 4},
    {"PIO 4", 3, 0x0c, 0, 0, 0xef, DRDY | 0x10, 0},
    {"PIO 5", 3, 0x0d, 0, 0, 0xef, DRDY | 0x10 | ERR, 4},
    {"write cache off", 0x82, 0, 0, 0, 0xef, DRDY | 0x10, 0},
    {"feature that is not", 0x77, 0, 0, 0, 0xef, DRDY | 0x10 | ERR, 4},
    {"SMART status", 0xda, 0, 0x4f, 0xc2, 0xb0, DRDY | 0x10, 0},
    {"SMART without the key", 0xda, 0, 0, 0, 0xb0, DRDY | 0x10 | ERR, 4},
    {"freeze", 0, 0, 0, 0, 0xf5, DRDY | 0x10, 0},
    {"set password", 0, 0, 0, 0, 0xf1, DRDY | 0x10 | ERR, 4},
    {"recalibrate", 0, 0, 0, 0, 0x10, DRDY | 0x10, 0},
    {"idle", 0, 0, 0, 0, 0xe1, DRDY | 0x10, 0},
    {"standby", 0, 0, 0, 0, 0xe0, DRDY | 0x10, 0},
    {"parameters without sectors", 0, 0, 0, 0, 0x91, DRDY | 0x10 | ERR, 4},
};

static void test_small_commands(void **state)
{
    (void)state;
    struct machine m;
    begin(&m);
    for (size_t i = 0; i < sizeof(small) / sizeof(small[0]); i++) {
        out8(&m.h, SELECT, 0xa0);
        out8(&m.h, ERROR, small[i].features);
        out8(&m.h, COUNT, small[i].count);
        out8(&m.h, MID, small[i].mid);
        out8(&m.h, HIGH, small[i].high);
        out8(&m.h, STATUS, small[i].code);
        uint8_t status = wait_ready(&m, DATA);
        if (status != small[i].status || !m.h.line[14].level) {
            fail_msg("%s: status 0x%02x", small[i].what, status);
        }
        in8(&m.h, STATUS);
        if (in8(&m.h, ERROR) != small[i].error) {
            fail_msg("%s: error 0x%02x", small[i].what, in8(&m.h, ERROR));
        }
    }
    out8(&m.h, STATUS, 0xe5);
    assert_int_equal(in8(&m.h, COUNT), 0); /* standby */
    out8(&m.h, STATUS, 0xf8);
    assert_int_equal(in8(&m.h, LOW) | in8(&m.h, MID) << 8, DISK_SECTORS - 1);
    end(&m);
}

static void test_range(void **state)
{
    (void)state;
    struct machine m;
    begin(&m);
    uint64_t before = drive_counts(m.disk)->reads; /* the partition table's */
    static const uint8_t codes[] = {0x20, 0x30, 0x40, 0xc4, 0xc5, 0xc8, 0xca};
    for (size_t i = 0; i < sizeof(codes); i++) {
        command(&m, DATA, 0xe0, DISK_SECTORS - 1, 2, codes[i]);
        assert_int_equal(wait_ready(&m, DATA), DRDY | 0x10 | ERR);
        assert_int_equal(in8(&m.h, ERROR), 0x10);
        in8(&m.h, STATUS);
    }
    assert_int_equal(drive_counts(m.disk)->reads + drive_counts(m.disk)->writes, before);
    end(&m);
}

static void test_bad_sector(void **state)
{
    (void)state;
    struct machine m;
    uint8_t bytes[SECTOR];
    begin(&m);
    drive_inject(m.disk, BLOCK_READ, 42 * SECTOR, EIO, 2);
    command(&m, DATA, 0xe0, 40, 8, 0x20);
    for (int i = 0; i < 2; i++) {
        assert_true(wait_ready(&m, DATA) & DRQ);
        read_words(&m, DATA, bytes, SECTOR);
        expect_pattern(bytes, (40u + (unsigned)i) * SECTOR, SECTOR);
    }
    assert_int_equal(wait_ready(&m, DATA), DRDY | 0x10 | ERR);
    assert_int_equal(in8(&m.h, ERROR), 0x40);
    assert_int_equal(in8(&m.h, LOW), 42);
    in8(&m.h, STATUS);
    drive_inject(m.disk, BLOCK_WRITE, 42 * SECTOR, EIO, 1);
    command(&m, DATA, 0xe0, 42, 1, 0x30);
    assert_true(wait_ready(&m, DATA) & DRQ);
    write_words(&m, DATA, bytes, SECTOR);
    assert_int_equal(wait_ready(&m, DATA), DRDY | 0x10 | ERR);
    assert_int_equal(in8(&m.h, ERROR), 4);
    end(&m);
}

static void test_interrupt_lines(void **state)
{
    (void)state;
    struct machine m;
    begin(&m);
    out8(&m.h, CONTROL, 0x02); /* nIEN */
    out8(&m.h, SELECT, 0xa0);
    out8(&m.h, STATUS, 0x10);
    assert_false(m.h.line[14].level);
    out8(&m.h, CONTROL, 0x00);
    assert_true(m.h.line[14].level);
    out8(&m.h, SELECT, 0xb0); /* the other drive has none */
    assert_false(m.h.line[14].level);
    out8(&m.h, SELECT, 0xa0);
    assert_true(m.h.line[14].level);
    in8(&m.h, CONTROL); /* does not acknowledge */
    assert_true(m.h.line[14].level);
    in8(&m.h, STATUS);
    assert_false(m.h.line[14].level);
    out8(&m.h, STATUS, 0x90); /* diagnostics */
    assert_true(m.h.line[14].level);
    assert_int_equal(in8(&m.h, ERROR), 1);
    end(&m);
}

/* A reset while a request is under way: it is forgotten. */
static void test_reset_in_flight(void **state)
{
    (void)state;
    struct machine m;
    begin(&m);
    command(&m, DATA, 0xe0, 1, 1, 0x20);
    assert_int_equal(block_pool_busy(m.pool), 1);
    out8(&m.h, CONTROL, 0x04);
    out8(&m.h, CONTROL, 0x00);
    assert_int_equal(block_pool_busy(m.pool), 0);
    unsigned before = m.h.line[14].rises;
    harness_advance(&m.h, 1000 * LATENCY);
    assert_int_equal(m.h.line[14].rises, before);
    assert_int_equal(in8(&m.h, STATUS), DRDY | 0x10);
    end(&m);
}

/* --- bus master --- */

static void set_region(struct machine *m, unsigned i, uint32_t address, uint16_t bytes, bool last)
{
    store32(&m->h, TABLE + 8 * i, address);
    store32(&m->h, TABLE + 8 * i + 4, bytes | (last ? 0x80000000u : 0));
}

static void start_dma(struct machine *m, uint16_t bm, bool to_memory)
{
    out32(&m->h, (uint16_t)(bm + 4), TABLE);
    out8(&m->h, (uint16_t)(bm + 2), 0x06);
    out8(&m->h, bm, to_memory ? 8 : 0);
    out8(&m->h, bm, to_memory ? 9 : 1);
}

static void test_dma_read(void **state)
{
    (void)state;
    struct machine m;
    begin(&m);
    /* Three regions, none of whole sectors. */
    set_region(&m, 0, BUFFER, 1000, false);
    set_region(&m, 1, BUFFER + 0x10000, 2, false);
    set_region(&m, 2, BUFFER + 0x20000, 8 * SECTOR - 1002, true);
    command(&m, DATA, 0xe0, 100, 8, 0xc8);
    start_dma(&m, BM, true);
    assert_int_equal(in8(&m.h, BM + 2) & 7, 1);
    harness_advance(&m.h, 100 * LATENCY);
    assert_true(m.h.line[14].level);
    assert_int_equal(in8(&m.h, BM + 2) & 7, 4); /* all of the table used: inactive */
    assert_int_equal(in8(&m.h, STATUS), DRDY | 0x10);
    out8(&m.h, BM, 0);
    const uint8_t *ram = mem_host(&m.h.ram);
    expect_pattern(ram + BUFFER, 100 * SECTOR, 1000);
    expect_pattern(ram + BUFFER + 0x10000, 100 * SECTOR + 1000, 2);
    expect_pattern(ram + BUFFER + 0x20000, 100 * SECTOR + 1002, 8 * SECTOR - 1002);
    assert_int_equal(ram[BUFFER + 1000], 0);
    out8(&m.h, BM + 2, 0x64); /* interrupt cleared, capable noted */
    assert_int_equal(in8(&m.h, BM + 2), 0x60);
    /* The whole disk's first 256 sectors: a region of 64 KiB is written as 0. */
    set_region(&m, 0, BUFFER, 0, false);
    set_region(&m, 1, BUFFER + 0x10000, 0, true);
    start_dma(&m, BM, true); /* before the command: that is allowed too */
    command(&m, DATA, 0xe0, 0, 0, 0xc8);
    harness_advance(&m.h, 1000 * LATENCY);
    assert_true(m.h.line[14].level);
    expect_pattern(ram + BUFFER, 0, 128 << 10);
    end(&m);
}

static void test_dma_write(void **state)
{
    (void)state;
    struct machine m;
    static uint8_t back[600 * SECTOR];
    begin(&m);
    uint8_t *ram = mem_host(&m.h.ram);
    for (unsigned i = 0; i < sizeof(back); i++) {
        ram[BUFFER + i] = (uint8_t)(i * 11 + (i >> 8));
    }
    for (unsigned i = 0; i < 5; i++) {
        set_region(&m, i, BUFFER + i * 0x10000, i == 4 ? sizeof(back) & 0xffff : 0, i == 4);
    }
    out8(&m.h, COUNT, 600 >> 8);
    out8(&m.h, LOW, 0);
    out8(&m.h, MID, 0);
    out8(&m.h, HIGH, 0);
    command(&m, DATA, 0xe0, 1000, 600 & 0xff, 0x35);
    start_dma(&m, BM, false);
    harness_advance(&m.h, 1000 * LATENCY);
    assert_true(m.h.line[14].level);
    assert_int_equal(in8(&m.h, BM + 2) & 7, 4);
    assert_int_equal(block_now(m.disk, BLOCK_READ, 1000 * SECTOR, back, sizeof(back)), 0);
    assert_memory_equal(back, ram + BUFFER, sizeof(back));
    end(&m);
}

/* The table ends before the data do: inactive, no interrupt; a longer table goes on. */
static void test_dma_table_short(void **state)
{
    (void)state;
    struct machine m;
    begin(&m);
    set_region(&m, 0, BUFFER, 700, true);
    command(&m, DATA, 0xe0, 3, 4, 0xc8);
    start_dma(&m, BM, true);
    harness_advance(&m.h, 100 * LATENCY);
    assert_int_equal(in8(&m.h, BM + 2) & 7, 0);
    assert_false(m.h.line[14].level);
    assert_true(in8(&m.h, CONTROL) & DRQ);
    out8(&m.h, BM, 0);
    set_region(&m, 0, BUFFER + 700, 4 * SECTOR - 700, true);
    start_dma(&m, BM, true);
    assert_true(m.h.line[14].level);
    expect_pattern(mem_host(&m.h.ram) + BUFFER, 3 * SECTOR, 4 * SECTOR);
    end(&m);
}

static void test_dma_table_long(void **state)
{
    (void)state;
    struct machine m;
    begin(&m);
    set_region(&m, 0, BUFFER, 8 * SECTOR, true);
    command(&m, DATA, 0xe0, 3, 1, 0xc8);
    start_dma(&m, BM, true);
    harness_advance(&m.h, 100 * LATENCY);
    assert_int_equal(in8(&m.h, BM + 2) & 7, 5); /* active still, and the interrupt */
    out8(&m.h, BM, 0);
    assert_int_equal(in8(&m.h, BM + 2) & 7, 4);
    end(&m);
}

static void test_dma_bad_addresses(void **state)
{
    (void)state;
    struct machine m;
    begin(&m);
    set_region(&m, 0, 0xf0000000u, SECTOR, true);
    command(&m, DATA, 0xe0, 3, 1, 0xc8);
    start_dma(&m, BM, true);
    harness_advance(&m.h, 100 * LATENCY);
    assert_int_equal(in8(&m.h, BM + 2) & 3, 2);
    assert_false(m.h.line[14].level);
    out8(&m.h, CONTROL, 4);
    out8(&m.h, CONTROL, 0);
    /* A table that is nowhere; then one without an end, which memory's end ends. */
    command(&m, DATA, 0xe0, 3, 1, 0xc8);
    out8(&m.h, BM, 0);
    out32(&m.h, BM + 4, 0xf0000000u);
    out8(&m.h, BM + 2, 6);
    out8(&m.h, BM, 9);
    harness_advance(&m.h, 100 * LATENCY);
    assert_int_equal(in8(&m.h, BM + 2) & 3, 2);
    /* Not a master: waits, and goes on when it may. */
    out8(&m.h, BM, 0);
    out8(&m.h, CONTROL, 4);
    out8(&m.h, CONTROL, 0);
    config_write16(&m.h, 1, 1, PCI_COMMAND, PCI_COMMAND_IO);
    set_region(&m, 0, BUFFER, SECTOR, true);
    command(&m, DATA, 0xe0, 3, 1, 0xc8);
    start_dma(&m, BM, true);
    harness_advance(&m.h, 100 * LATENCY);
    assert_int_equal(in8(&m.h, BM + 2) & 7, 1);
    config_write16(&m.h, 1, 1, PCI_COMMAND, PCI_COMMAND_IO | PCI_COMMAND_MASTER);
    assert_int_equal(in8(&m.h, BM + 2) & 7, 4);
    end(&m);
}

static void test_trim(void **state)
{
    (void)state;
    struct machine m;
    uint8_t bytes[2 * SECTOR];
    begin(&m);
    memset(mem_host(&m.h.ram) + BUFFER, 0, SECTOR);
    store64(&m.h, BUFFER, 16 | UINT64_C(8) << 48);
    store64(&m.h, BUFFER + 16, 100 | UINT64_C(8) << 48);
    set_region(&m, 0, BUFFER, SECTOR, true);
    out8(&m.h, COUNT, 0);
    out8(&m.h, ERROR, 1);
    command(&m, DATA, 0xe0, 0, 1, 0x06);
    start_dma(&m, BM, false);
    harness_advance(&m.h, 1000 * LATENCY);
    assert_int_equal(in8(&m.h, STATUS), DRDY | 0x10);
    assert_int_equal(drive_counts(m.disk)->discards, 2);
    assert_int_equal(block_now(m.disk, BLOCK_READ, 15 * SECTOR, bytes, sizeof(bytes)), 0);
    expect_pattern(bytes, 15 * SECTOR, SECTOR);
    end(&m);
}

/* --- packet commands --- */

static void packet(struct machine *m, const uint8_t bytes[12], uint16_t limit, bool dma)
{
    out8(&m->h, SELECT + SECOND, 0xa0);
    out8(&m->h, ERROR + SECOND, dma);
    out8(&m->h, MID + SECOND, (uint8_t)limit);
    out8(&m->h, HIGH + SECOND, (uint8_t)(limit >> 8));
    out8(&m->h, STATUS + SECOND, 0xa0);
    assert_true(wait_ready(m, DATA + SECOND) & DRQ);
    assert_int_equal(in8(&m->h, COUNT + SECOND) & 3, 1);
    write_words(m, DATA + SECOND, bytes, 12);
}

/* By ports; how many bytes came. */
static unsigned answer(struct machine *m, uint8_t *to, unsigned room)
{
    unsigned all = 0;
    while (wait_ready(m, DATA + SECOND) & DRQ) {
        assert_true(m->h.line[15].level);
        in8(&m->h, STATUS + SECOND);
        assert_int_equal(in8(&m->h, COUNT + SECOND) & 3, 2);
        unsigned size = in8(&m->h, MID + SECOND) | (unsigned)in8(&m->h, HIGH + SECOND) << 8;
        assert_true(size && all + size <= room);
        read_words(m, DATA + SECOND, to + all, size);
        all += size;
    }
    assert_int_equal(in8(&m->h, COUNT + SECOND) & 3, 3);
    return all;
}

static void expect_sense(struct machine *m, uint8_t key, uint8_t code, uint8_t qualifier)
{
    uint8_t to[32];
    assert_true(in8(&m->h, STATUS + SECOND) & ERR);
    assert_int_equal(in8(&m->h, ERROR + SECOND) >> 4, key);
    packet(m, (uint8_t[12]){0x03, 0, 0, 0, 18}, 18, false);
    assert_int_equal(answer(m, to, sizeof(to)), 18);
    assert_int_equal(to[2], key);
    assert_int_equal(to[12], code);
    assert_int_equal(to[13], qualifier);
}

static void test_packet_answers(void **state)
{
    (void)state;
    struct machine m;
    uint8_t to[2048];
    begin(&m);
    packet(&m, (uint8_t[12]){0x12, 0, 0, 0, 36}, 36, false);
    assert_int_equal(answer(&m, to, sizeof(to)), 36);
    assert_int_equal(to[0], 5);
    assert_memory_equal(to + 8, "QEMU    QEMU DVD-ROM    2.5+", 28);
    packet(&m, (uint8_t[12]){0x00}, 0, false);
    assert_int_equal(answer(&m, to, 0), 0);
    assert_int_equal(in8(&m.h, STATUS + SECOND), DRDY | 0x10);
    packet(&m, (uint8_t[12]){0x25}, 8, false);
    assert_int_equal(answer(&m, to, sizeof(to)), 8);
    assert_memory_equal(to, ((uint8_t[]){0, 0, 1, 0x2b, 0, 0, 8, 0}), 8);
    packet(&m, (uint8_t[12]){0x43, 2, 0, 0, 0, 0, 0, 0, 100}, 100, false);
    assert_int_equal(answer(&m, to, sizeof(to)), 20);
    assert_memory_equal(
        to, ((uint8_t[]){0, 18, 1, 1, 0, 0x14, 1, 0, 0, 0, 2, 0, 0, 0x16, 0xaa, 0, 0, 0, 6, 0}),
        20);
    packet(&m, (uint8_t[12]){0x46}, 0xfffe, false);
    in8(&m.h, STATUS + SECOND);
    assert_int_equal(answer(&m, to, sizeof(to)), 0); /* no room was given */
    packet(&m, (uint8_t[12]){0x46, 0, 0, 0, 0, 0, 0, 0, 200}, 0xfffe, false);
    assert_true(answer(&m, to, sizeof(to)) > 20);
    assert_int_equal(to[7], 8); /* a CD */
    packet(&m, (uint8_t[12]){0x5a, 0, 0x2a, 0, 0, 0, 0, 0, 128}, 128, false);
    assert_int_equal(answer(&m, to, sizeof(to)), 28);
    assert_int_equal(to[8], 0x2a);
    packet(&m, (uint8_t[12]){0xad, 0, 0, 0, 0, 0, 0, 0, 8}, 2048, false);
    expect_sense(&m, 5, 0x30, 2);
    packet(&m, (uint8_t[12]){0xff}, 2048, false);
    expect_sense(&m, 5, 0x20, 0);
    packet(&m, (uint8_t[12]){0x28, 0, 0, 0, 1, 0x2c, 0, 0, 1}, 2048, false);
    expect_sense(&m, 5, 0x21, 0);
    packet(&m, (uint8_t[12]){0x12, 0, 0, 0, 36}, 0, false); /* no limit, by ports */
    assert_int_equal(in8(&m.h, ERROR + SECOND), 4);
    end(&m);
}

static void test_packet_read(void **state)
{
    (void)state;
    struct machine m;
    static uint8_t to[80 * 2048];
    begin(&m);
    packet(&m, (uint8_t[12]){0x28, 0, 0, 0, 0, 16, 0, 0, 80}, 0xffff, false);
    assert_int_equal(answer(&m, to, sizeof(to)), sizeof(to));
    expect_pattern(to, 16 * 2048, sizeof(to));
    /* 2048 a block, as SeaBIOS asks. */
    unsigned before = m.h.line[15].rises;
    packet(&m, (uint8_t[12]){0xa8, 0, 0, 0, 0, 1, 0, 0, 0, 3}, 2048, false);
    assert_int_equal(answer(&m, to, sizeof(to)), 3 * 2048);
    assert_int_equal(m.h.line[15].rises - before, 4);
    expect_pattern(to, 2048, 3 * 2048);
    /* By DMA. */
    for (unsigned i = 0; i < 3; i++) {
        set_region(&m, i, BUFFER + i * 0x10000, i == 2 ? 80 * 2048 & 0xffff : 0, i == 2);
    }
    packet(&m, (uint8_t[12]){0x28, 0, 0, 0, 0, 16, 0, 0, 80}, 0xfffe, true);
    start_dma(&m, BM + 8, true);
    harness_advance(&m.h, 1000 * LATENCY);
    assert_true(m.h.line[15].level);
    assert_int_equal(in8(&m.h, BM + 10) & 7, 4);
    expect_pattern(mem_host(&m.h.ram) + BUFFER, 16 * 2048, 80 * 2048);
    /* READ CD: raw sectors. */
    packet(&m, (uint8_t[12]){0xbe, 0, 0, 0, 0, 16, 0, 0, 2, 0xf8}, 2352, false);
    assert_int_equal(answer(&m, to, sizeof(to)), 2 * 2352);
    assert_memory_equal(to + 2352, "\0\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\0\0\2\x17\1", 16);
    expect_pattern(to + 2352 + 16, 17 * 2048, 2048);
    drive_inject(m.cd, BLOCK_READ, 17 * 2048, EIO, 2);
    packet(&m, (uint8_t[12]){0x28, 0, 0, 0, 0, 16, 0, 0, 4}, 2048, false);
    assert_int_equal(answer(&m, to, sizeof(to)), 2048);
    expect_sense(&m, 3, 0x11, 0);
    end(&m);
}

static void test_eject(void **state)
{
    (void)state;
    struct machine m;
    struct error err;
    uint8_t to[64];
    begin(&m);
    packet(&m, (uint8_t[12]){0x1e, 0, 0, 0, 1}, 0, false); /* lock */
    assert_false(drive_eject(m.cd, false, &err));
    assert_non_null(strstr(err.text, "locked"));
    packet(&m, (uint8_t[12]){0x4a, 1, 0, 0, 0x10, 0, 0, 0, 8}, 8, false);
    assert_int_equal(answer(&m, to, sizeof(to)), 8);
    assert_int_equal(to[4], 1); /* somebody wants it */
    packet(&m, (uint8_t[12]){0x1b, 0, 0, 0, 2}, 0, false);
    expect_sense(&m, 5, 0x53, 2);
    packet(&m, (uint8_t[12]){0x1e}, 0, false);
    packet(&m, (uint8_t[12]){0x1b, 0, 0, 0, 2}, 0, false);
    assert_int_equal(in8(&m.h, STATUS + SECOND), DRDY | 0x10);
    assert_true(drive_tray_is_open(m.cd));
    packet(&m, (uint8_t[12]){0x00}, 0, false);
    expect_sense(&m, 2, 0x3a, 2);
    assert_true(drive_eject(m.cd, false, &err));
    packet(&m, (uint8_t[12]){0x1b, 0, 0, 0, 3}, 0, false); /* close */
    packet(&m, (uint8_t[12]){0x00}, 0, false);
    expect_sense(&m, 2, 0x3a, 1);
    /* Another disc: attention once, then ready. */
    struct drive_options options;
    drive_options_file(&options, m.cd_file, DRIVE_IDE, DRIVE_CDROM, 2);
    assert_true(drive_open(m.cd, &options, NULL, &err));
    drive_options_free(&options);
    packet(&m, (uint8_t[12]){0x4a, 1, 0, 0, 0x10, 0, 0, 0, 8}, 8, false);
    assert_int_equal(answer(&m, to, sizeof(to)), 8);
    assert_int_equal(to[4], 2);
    packet(&m, (uint8_t[12]){0x00}, 0, false);
    expect_sense(&m, 6, 0x28, 0);
    packet(&m, (uint8_t[12]){0x00}, 0, false);
    assert_int_equal(in8(&m.h, STATUS + SECOND), DRDY | 0x10);
    end(&m);
}

/* --- state --- */

/* In the middle of a transfer, and with a request under way: another machine goes on. */
static void test_state(void **state)
{
    (void)state;
    struct machine m, other;
    struct error err;
    uint8_t bytes[SECTOR];
    begin_with(&m, ",readonly=off,snapshot=on");
    begin_with(&other, ",readonly=off,snapshot=on");
    command(&m, DATA, 0xe0, 20, 3, 0x20);
    wait_ready(&m, DATA);
    read_words(&m, DATA, bytes, 100);
    if (!harness_transplant(&m.h, &other.h, &err)) {
        fail_msg("%s", err.text);
    }
    read_words(&other, DATA, bytes + 100, SECTOR - 100);
    expect_pattern(bytes, 20 * SECTOR, SECTOR);
    command(&m, DATA, 0xe0, 0, 0, 0xe7);
    out8(&m.h, CONTROL, 4);
    out8(&m.h, CONTROL, 0);
    set_region(&m, 0, BUFFER, 4 * SECTOR, true);
    command(&m, DATA, 0xe0, 50, 4, 0xc8);
    start_dma(&m, BM, true);
    assert_int_equal(block_pool_busy(m.pool), 1);
    if (!harness_transplant(&m.h, &other.h, &err)) {
        fail_msg("%s", err.text);
    }
    harness_advance(&other.h, 100 * LATENCY);
    assert_true(other.h.line[14].level);
    expect_pattern(mem_host(&other.h.ram) + BUFFER, 50 * SECTOR, 4 * SECTOR);
    end(&m);
    end(&other);
}

static void test_refusals(void **state)
{
    (void)state;
    struct machine m;
    begin(&m);
    assert_string_equal(harness_refuses(&m.h, "ide-hd", "bus=ide.0", NULL), "No drive specified");
    assert_string_equal(harness_refuses(&m.h, "ide-cd", "bus=ide.0", "unit=2", NULL),
                        "Can't create IDE unit 2, bus supports only 2 units");
    assert_string_equal(harness_refuses(&m.h, "ide-cd", "bus=ide.0", "unit=0", NULL),
                        "IDE unit 0 is in use");
    assert_string_equal(harness_refuses(&m.h, "ide-cd", "bus=ide.7", NULL),
                        "Bus 'ide.7' not found");
    assert_string_equal(
        harness_refuses(&m.h, "ide-cd", "bus=ide.1", "serial=123456789012345678901", NULL),
        "serial is too long: at most 20 characters");
    assert_string_equal(harness_refuses(&m.h, "ide-cd", "bus=ide.0", NULL), "");
    end(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pci_header),
        cmocka_unit_test(test_ports_are_decoded),
        cmocka_unit_test(test_detection),
        cmocka_unit_test(test_identify),
        cmocka_unit_test(test_read_pio),
        cmocka_unit_test(test_write_pio),
        cmocka_unit_test(test_chs),
        cmocka_unit_test(test_small_commands),
        cmocka_unit_test(test_range),
        cmocka_unit_test(test_bad_sector),
        cmocka_unit_test(test_interrupt_lines),
        cmocka_unit_test(test_reset_in_flight),
        cmocka_unit_test(test_dma_read),
        cmocka_unit_test(test_dma_write),
        cmocka_unit_test(test_dma_table_short),
        cmocka_unit_test(test_dma_table_long),
        cmocka_unit_test(test_dma_bad_addresses),
        cmocka_unit_test(test_trim),
        cmocka_unit_test(test_packet_answers),
        cmocka_unit_test(test_packet_read),
        cmocka_unit_test(test_eject),
        cmocka_unit_test(test_state),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
