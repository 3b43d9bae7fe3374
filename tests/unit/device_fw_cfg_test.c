/* SPDX-License-Identifier: MIT
 *
 * fw_cfg by its ports and by DMA, as SeaBIOS and Linux use it. */
#include <endian.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "device/fw_cfg.h"
#include "device_harness.h"

enum { SELECTOR = 0x510, DATA = 0x511, DMA = 0x514, ACCESS = 0x1000, BUFFER = 0x2000 };

struct fixture {
    struct harness h;
    struct device *fw;
};

static int set_up(void **state)
{
    struct fixture *f = *state = mem_alloc(sizeof *f);

    harness_begin(&f->h);
    f->fw = harness_add(&f->h, "fw_cfg_io", NULL);
    harness_reset(&f->h);
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    struct error err;
    bool good = harness_keeps_state(&f->h, &err);

    harness_end(&f->h);
    free(f);
    return good ? 0 : -1;
}

static void read_ports(struct fixture *f, uint16_t key, void *to, size_t count)
{
    out16(&f->h, SELECTOR, key);
    for (size_t i = 0; i < count; i++) {
        ((uint8_t *)to)[i] = in8(&f->h, DATA);
    }
}

/* What the control word is afterwards. */
static uint32_t dma(struct fixture *f, uint32_t control, uint32_t length, uint64_t address)
{
    store32(&f->h, ACCESS, htobe32(control));
    store32(&f->h, ACCESS + 4, htobe32(length));
    store64(&f->h, ACCESS + 8, htobe64(address));
    out32(&f->h, DMA, 0);
    out32(&f->h, DMA + 4, htobe32(ACCESS));
    return be32toh(load32(&f->h, ACCESS));
}

static void add(struct fixture *f, const char *name, const char *text)
{
    struct error err = {.text = ""};

    assert_true(fw_cfg_add_file(f->fw, name, text, strlen(text), &err));
}

static void items(void **state)
{
    struct fixture *f = *state;
    uint8_t bytes[16];

    assert_int_equal(in8(&f->h, DATA), 'Q'); /* selected after a reset */
    read_ports(f, FW_CFG_SIGNATURE, bytes, 6);
    assert_memory_equal(bytes, "QEMU\0\0", 6);
    read_ports(f, FW_CFG_ID, bytes, 4);
    assert_memory_equal(bytes, "\3\0\0\0", 4);
    fw_cfg_add_i16(f->fw, FW_CFG_NB_CPUS, 0x1234);
    fw_cfg_add_i64(f->fw, FW_CFG_RAM_SIZE, 0x123456789abcdef0);
    fw_cfg_add_i32(f->fw, FW_CFG_IRQ0_OVERRIDE, 1);
    fw_cfg_add_string(f->fw, FW_CFG_CMDLINE_DATA, "quiet");
    fw_cfg_add_bytes(f->fw, FW_CFG_UUID, "0123456789abcdef", 16);
    read_ports(f, FW_CFG_NB_CPUS, bytes, 3);
    assert_memory_equal(bytes, "\x34\x12\0", 3);
    read_ports(f, FW_CFG_RAM_SIZE, bytes, 8);
    assert_memory_equal(bytes, "\xf0\xde\xbc\x9a\x78\x56\x34\x12", 8);
    read_ports(f, FW_CFG_IRQ0_OVERRIDE, bytes, 4);
    assert_memory_equal(bytes, "\1\0\0\0", 4);
    read_ports(f, FW_CFG_CMDLINE_DATA, bytes, 6);
    assert_string_equal((char *)bytes, "quiet");
    fw_cfg_add_i16(f->fw, FW_CFG_NB_CPUS, 2); /* in place of it */
    read_ports(f, FW_CFG_NB_CPUS, bytes, 2);
    assert_memory_equal(bytes, "\2\0", 2);
    /* There is none: zeros. */
    static const uint16_t none[] = {FW_CFG_KERNEL_ADDR, 0x20, 0x3fff, 0x8005, 0xffff, 0xbfff};
    for (size_t i = 0; i < sizeof none / sizeof none[0]; i++) {
        read_ports(f, none[i], bytes, 4);
        assert_memory_equal(bytes, "\0\0\0\0", 4);
    }
    /* What is no access of it changes nothing. */
    read_ports(f, FW_CFG_SIGNATURE, bytes, 1);
    out8(&f->h, SELECTOR, 5);
    out8(&f->h, DATA, 5);
    assert_int_equal(in8(&f->h, SELECTOR), 0);
    assert_int_equal(in8(&f->h, DATA), 'E');
}

static void files(void **state)
{
    struct fixture *f = *state;
    struct error err;
    uint8_t directory[4 + 3 * 64];
    size_t size;

    add(f, "etc/b", "bbb");
    add(f, "opt/org.example/x", "user");
    add(f, "bootorder", "");
    read_ports(f, FW_CFG_FILE_DIR, directory, sizeof directory);
    assert_memory_equal(directory, "\0\0\0\3", 4);
    static const struct {
        const char *name, *text;
    } rows[] = {{"bootorder", ""}, {"etc/b", "bbb"}, {"opt/org.example/x", "user"}};
    for (unsigned i = 0; i < 3; i++) {
        const uint8_t *entry = directory + 4 + i * 64;
        uint16_t key = (uint16_t)(entry[4] << 8 | entry[5]);
        char text[8] = "";
        assert_int_equal(entry[3], strlen(rows[i].text));
        assert_int_equal(key, 0x20 + i);
        assert_int_equal(entry[6] | entry[7], 0);
        assert_string_equal((const char *)entry + 8, rows[i].name);
        read_ports(f, key, text, strlen(rows[i].text));
        assert_string_equal(text, rows[i].text);
    }
    assert_memory_equal(fw_cfg_file(f->fw, "etc/b", &size), "bbb", 3);
    assert_int_equal(size, 3);
    assert_null(fw_cfg_file(f->fw, "etc/c", &size));
    assert_ptr_equal(fw_cfg_of(&f->h.board), f->fw);

    assert_false(fw_cfg_add_file(f->fw, "etc/b", "", 0, &err));
    assert_string_equal(err.text, "fw_cfg: there is a file 'etc/b' already");
    assert_false(fw_cfg_add_file(f->fw, "", "", 0, &err));
    char name[64];
    memset(name, 'n', sizeof name);
    name[56] = 0;
    assert_false(fw_cfg_add_file(f->fw, name, "", 0, &err));
    name[55] = 0;
    assert_true(fw_cfg_add_file(f->fw, name, "", 0, &err));
    for (int i = 4; i < FW_CFG_FILES; i++) {
        snprintf(name, sizeof name, "f%d", i);
        assert_true(fw_cfg_add_file(f->fw, name, name, 1, &err));
    }
    assert_false(fw_cfg_add_file(f->fw, "more", "", 0, &err));
    assert_string_equal(err.text, "fw_cfg: there is no room for 'more': 64 files at most");
}

static void by_dma(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(in32(&f->h, DMA), 0x554d4551);
    assert_int_equal(in32(&f->h, DMA + 4), 0x47464320);
    add(f, "etc/x", "0123456789");
    memset(mem_host(&f->h.ram) + BUFFER, 0xee, 64);
    /* Select, skip, read on; behind the end there are zeros. */
    assert_int_equal(dma(f, 0x20 << 16 | 0x08 | 0x02, 4, BUFFER), 0);
    assert_memory_equal(mem_host(&f->h.ram) + BUFFER, "0123\xee", 5);
    assert_int_equal(dma(f, 0x04, 2, 0), 0);
    assert_int_equal(dma(f, 0x02, 6, BUFFER), 0);
    assert_memory_equal(mem_host(&f->h.ram) + BUFFER, "6789\0\0\xee", 7);
    assert_int_equal(dma(f, 0x20 << 16 | 0x08, 0, 0), 0);
    assert_int_equal(in8(&f->h, DATA), '0'); /* the ports go on from there */
    /* A key that there is not, and a large read across chunks. */
    assert_int_equal(dma(f, 0x1234u << 16 | 0x08 | 0x02, 10000, BUFFER), 0);
    for (int i = 0; i < 10000; i++) {
        assert_int_equal(mem_host(&f->h.ram)[BUFFER + i], 0);
    }
    /* Nothing to do. */
    assert_int_equal(dma(f, 0, 5, 0), 0);
}

static void dma_errors(void **state)
{
    struct fixture *f = *state;
    struct error err;
    size_t size;

    add(f, "etc/x", "0123456789");
    assert_true(fw_cfg_add_writable(f->fw, "etc/y", "abcdef", 6, &err));
    /* No memory there; nor at its end. */
    assert_int_equal(dma(f, 0x20 << 16 | 0x0a, 4, 0xc0000000), 1);
    assert_int_equal(dma(f, 0x20 << 16 | 0x0a, 0xffffffff, HARNESS_RAM - 4096), 1);
    assert_int_equal(dma(f, 0x20 << 16 | 0x0a, 8, UINT64_MAX - 3), 1);
    /* Writing: what may be written, as far as it reaches. */
    memcpy(mem_host(&f->h.ram) + BUFFER, "XYZXYZXYZ", 9);
    assert_int_equal(dma(f, 0x20 << 16 | 0x18, 2, BUFFER), 1);
    assert_int_equal(dma(f, 0x21 << 16 | 0x18, 2, BUFFER), 0);
    assert_int_equal(dma(f, 0x10, 5, BUFFER), 1);
    assert_int_equal(dma(f, 0x10, 4, BUFFER), 0);
    assert_memory_equal(fw_cfg_file(f->fw, "etc/y", &size), "XYXYZX", 6);
    assert_int_equal(dma(f, 0x10, 1, BUFFER), 1);
    assert_int_equal(dma(f, 0x21 << 16 | 0x18, 2, 0xc0000000), 1);
    /* The struct itself is nowhere: nothing can be told, nothing happens. */
    out32(&f->h, DMA, htobe32(0xff));
    out32(&f->h, DMA + 4, htobe32(0xfffffff8));
    /* Its address is used once. */
    out32(&f->h, DMA + 4, htobe32(ACCESS));
    assert_int_equal(in8(&f->h, DMA), 0xff); /* bytes are refused */
}

static void without_dma(void **state)
{
    struct harness h;

    (void)state;
    harness_begin(&h);
    harness_add(&h, "fw_cfg_io", "dma_enabled=off", NULL);
    harness_reset(&h);
    assert_int_equal(in32(&h, DMA), 0xffffffff);
    out16(&h, SELECTOR, FW_CFG_ID);
    assert_int_equal(in8(&h, DATA), 1);
    assert_null(fw_cfg_file(fw_cfg_of(&h.board), "x", &(size_t){0}));
    harness_end(&h);
    harness_begin(&h);
    assert_null(fw_cfg_of(&h.board));
    harness_end(&h);
}

static void state_moves(void **state)
{
    struct fixture *f = *state;
    struct harness other;
    struct error err;

    read_ports(f, FW_CFG_SIGNATURE, &(uint8_t){0}, 1);
    harness_begin(&other);
    harness_add(&other, "fw_cfg_io", NULL);
    assert_true(harness_transplant(&f->h, &other, &err));
    assert_int_equal(in8(&other, DATA), 'E');
    harness_end(&other);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(items),      TEST(files),       TEST(by_dma),
        TEST(dma_errors), TEST(state_moves), cmocka_unit_test(without_dma),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
