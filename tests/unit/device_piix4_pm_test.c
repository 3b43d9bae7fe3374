/* SPDX-License-Identifier: MIT
 *
 * Power management of the PC: ACPI events and timer, sleep, software SMIs, SMBus host.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/logitems.h"
#include "device/piix4_pm.h"
#include "device_harness.h"
#include "log_capture.h"
#include "trace/probe/control.h"

enum { PM = 0x600, SMB = 0x700, GPE = PIIX4_GPE0 };
enum { PMSTS = PM, PMEN = PM + 2, PMCNTRL = PM + 4, PMTMR = PM + 8, GLBSTS = PM + 0x18 };
enum { GLBEN = PM + 0x20, GLBCTL = PM + 0x28 };
enum { SECOND = 1000000000, SLOT = 1, FUNCTION = 3 };

struct pm_test {
    struct harness h;
    struct device *pm;
    struct harness_line smi;
};

/* As SeaBIOS programs it. */
static void program(struct harness *h)
{
    config_write32(h, SLOT, FUNCTION, 0x40, PM | 1);
    config_write8(h, SLOT, FUNCTION, 0x80, 1);
    config_write32(h, SLOT, FUNCTION, 0x90, SMB | 1);
    config_write8(h, SLOT, FUNCTION, 0xd2, 9);
}

static void test_begin(struct pm_test *t, bool smm)
{
    struct error err = {""};
    harness_begin(&t->h);
    harness_add(&t->h, "PIIX3", "addr=1", NULL);
    t->pm =
        piix4_pm_new(&t->h.board, smm ? harness_irq(&t->smi) : (struct irq){NULL, NULL, 0}, &err);
    assert_string_equal(err.text, "");
    harness_reset(&t->h);
    program(&t->h);
}

static int begin(void **state)
{
    struct pm_test *t = mem_alloc(sizeof(*t));
    test_begin(t, true);
    *state = t;
    return 0;
}

static int end(void **state)
{
    harness_end(*state);
    free(*state);
    return 0;
}

/* --- configuration --- */

static void after_reset(void **state)
{
    struct harness *h = *state;
    static const struct {
        unsigned offset;
        uint32_t value;
    } rows[] = {
        {0x00, 0x71138086}, {0x04, 0x02800000}, {0x08, 0x06800003}, {0x2c, 0x11001af4},
        {0x3c, 0x00000100}, {0x40, 0x00000001}, {0x5c, 0x90000000}, {0x60, 0x60000000},
        {0x64, 0x08000000}, {0x90, 0x0000b101}, {0xd0, 0x00090000},
    };
    harness_reset(h);
    for (unsigned offset = 0; offset < 256; offset += 4) {
        uint32_t wanted = 0;
        for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
            if (rows[i].offset == offset)
                wanted = rows[i].value;
        }
        if (config_read32(h, SLOT, FUNCTION, offset) != wanted)
            fail_msg("@0x%x: 0x%x, not 0x%x", offset, config_read32(h, SLOT, FUNCTION, offset),
                     wanted);
    }
}

static void firmware_without_smm(void **state)
{
    (void)state;
    struct pm_test *t = mem_alloc(sizeof(*t));
    test_begin(t, false);
    assert_int_equal(config_read32(&t->h, SLOT, FUNCTION, 0x58), 0x02000000);
    harness_end(&t->h);
    free(t);
}

static void bases_move(void **state)
{
    struct harness *h = *state;
    out16(h, PMEN, 0x0100);
    assert_int_equal(in16(h, PMEN), 0x0100);
    config_write32(h, SLOT, FUNCTION, 0x40, 0xfffff43f);
    assert_int_equal(config_read32(h, SLOT, FUNCTION, 0x40), 0x0000f401);
    assert_int_equal(in16(h, PMEN), 0xffff);
    assert_int_equal(in16(h, 0xf402), 0x0100);
    config_write8(h, SLOT, FUNCTION, 0x41, 0xf0); /* a byte of it */
    assert_int_equal(in16(h, 0xf002), 0x0100);
    config_write8(h, SLOT, FUNCTION, 0x80, 0);
    assert_int_equal(in16(h, 0xf002), 0xffff);
    assert_int_equal(in8(h, SMB), 0);
    config_write32(h, SLOT, FUNCTION, 0x90, 0xffff);
    assert_int_equal(config_read32(h, SLOT, FUNCTION, 0x90), 0xfff1);
    assert_int_equal(in8(h, 0xfff0), 0);
    config_write8(h, SLOT, FUNCTION, 0xd2, 8);
    assert_int_equal(in8(h, 0xfff0), 0xff);
}

/* --- registers --- */

static void registers(void **state)
{
    struct harness *h = *state;
    static const struct {
        uint16_t port;
        unsigned size;
        uint32_t initial, ones;
    } rows[] = {
        {PM + 0x00, 2, 0, 0},
        {PM + 0x02, 2, 0, 0x0521},
        {PM + 0x04, 2, 0, 0x1c03},
        {PM + 0x06, 2, 0, 0},
        {PM + 0x0c, 2, 0, 0},
        {PM + 0x0e, 2, 0, 0x0f01},
        {PM + 0x10, 4, 0, 0x00003e1e},
        {PM + 0x14, 1, 0, 0},
        {PM + 0x15, 1, 0, 0},
        {PM + 0x1c, 4, 0, 0},
        {PM + 0x20, 2, 0, 0x8d1f},
        {PM + 0x28, 4, 0, 0x0701ff05},
        {PM + 0x2c, 4, 0, 0x0fffffff},
        {PM + 0x30, 4, 0, 0},
        {PM + 0x34, 4, 0x7fffbfff, 0x7fffffff},
        {GPE + 0, 2, 0, 0},
        {GPE + 2, 2, 0, 0xffff},
        {SMB + 3, 1, 0, 0xff},
        {SMB + 4, 1, 0, 0xff},
        {SMB + 5, 2, 0, 0xffff},
        {SMB + 8, 1, 0, 0xff},
        {SMB + 9, 1, 0, 0},
        {SMB + 10, 2, 0, 0xffff},
        {SMB + 12, 4, 0, 0},
        {0xb3, 1, 0, 0xff},
    };
    for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        uint64_t value = 0;
        mem_load(h->board.ports, 0, rows[i].port, &value, rows[i].size);
        if (value != rows[i].initial)
            fail_msg("port 0x%x: 0x%llx after reset", rows[i].port, (unsigned long long)value);
        mem_store(h->board.ports, 0, rows[i].port, UINT32_MAX, rows[i].size);
        mem_load(h->board.ports, 0, rows[i].port, &value, rows[i].size);
        if (value != rows[i].ones)
            fail_msg("port 0x%x: 0x%llx after ones", rows[i].port, (unsigned long long)value);
    }
}

static void accesses_of_parts(void **state)
{
    struct harness *h = *state;
    out32(h, PMSTS, 0x05210000); /* status and enable at once */
    assert_int_equal(in32(h, PMSTS), 0x05210000);
    out8(h, PMEN + 1, 0x01);
    assert_int_equal(in16(h, PMEN), 0x0121);
    assert_int_equal(in8(h, PMEN), 0x21);
    out16(h, PMEN + 1, 0x0004); /* across registers, unaligned */
    assert_int_equal(in16(h, PMEN), 0x0421);
    assert_int_equal(in16(h, PMEN + 1), 0x0004);
}

/* --- the timer --- */

static void timer_counts(void **state)
{
    struct harness *h = *state;
    assert_int_equal(in32(h, PMTMR), 0);
    harness_advance(h, SECOND);
    assert_int_equal(in32(h, PMTMR), 3579545);
    assert_int_equal(in16(h, PMTMR), 3579545 & 0xffff);
    assert_int_equal(in8(h, PMTMR + 2), 3579545 >> 16);
    harness_advance(h, 9ull * SECOND);
    assert_int_equal(in32(h, PMTMR), 35795450 & 0xffffff);
    out32(h, PMTMR, 0);
    assert_int_equal(in32(h, PMTMR), 35795450 & 0xffffff);
    harness_advance(h, 279);
    assert_int_equal(in32(h, PMTMR), 35795450 & 0xffffff);
    harness_advance(h, 1); /* a tick is 279.4 ns */
    assert_int_equal(in32(h, PMTMR), 35795451 & 0xffffff);
}

static void timer_interrupts(void **state)
{
    struct harness *h = *state;
    const struct harness_line *sci = &h->line[PIIX4_SCI];
    const uint64_t half = (8388608ull * SECOND + 3579544) / 3579545; /* bit 23 changes */
    out16(h, PMCNTRL, 1);
    out16(h, PMEN, 1);
    harness_advance(h, half - 1);
    assert_int_equal(in16(h, PMSTS), 0);
    assert_false(sci->level);
    harness_advance(h, 1);
    assert_true(sci->level); /* without anybody looking */
    assert_int_equal(in16(h, PMSTS), 1);
    assert_int_equal(in32(h, PMTMR), 0x800000);
    out16(h, PMSTS, 1);
    assert_false(sci->level);
    assert_int_equal(in16(h, PMSTS), 0);
    harness_advance(h, half);
    assert_true(sci->level);
    harness_advance(h, 3 * half);
    out16(h, PMSTS, 1);
    assert_false(sci->level);
    assert_int_equal(sci->rises, 2);
    /* Not enabled: the status comes, the interrupt does not. */
    out16(h, PMEN, 0);
    harness_advance(h, half);
    assert_int_equal(in16(h, PMSTS), 1);
    assert_false(sci->level);
    out16(h, PMEN, 1);
    assert_true(sci->level);
}

/* --- events --- */

static void power_button(void **state)
{
    struct pm_test *t = *state;
    struct harness *h = &t->h;
    const struct harness_line *sci = &h->line[PIIX4_SCI];
    piix4_pm_powerdown(t->pm);
    assert_int_equal(in16(h, PMSTS), 0x0100);
    assert_false(sci->level); /* neither SCI_EN nor PWRBTN_EN */
    out16(h, PMCNTRL, 1);
    assert_false(sci->level);
    out16(h, PMEN, 0x0100);
    assert_true(sci->level);
    out16(h, PMCNTRL, 0);
    assert_false(sci->level);
    out16(h, PMCNTRL, 1);
    out16(h, PMSTS, 0x0001);
    assert_true(sci->level);
    out16(h, PMSTS, 0x0100);
    assert_false(sci->level);
    assert_int_equal(in16(h, PMSTS), 0);
    piix4_pm_powerdown(t->pm);
    assert_true(sci->level);
    harness_reset(h);
    assert_false(sci->level);
    piix4_pm_woken(t->pm);
    program(h);
    assert_int_equal(in16(h, PMSTS), 0x8100);
}

static void acpi_enable(void **state)
{
    struct harness *h = *state;
    out8(h, PIIX4_SMI_COMMAND, PIIX4_ACPI_ENABLE);
    assert_int_equal(in16(h, PMCNTRL), 1);
    out16(h, PMCNTRL, 0x1c01);
    out8(h, PIIX4_SMI_COMMAND, PIIX4_ACPI_DISABLE);
    assert_int_equal(in16(h, PMCNTRL), 0x1c00);
    out8(h, PIIX4_SMI_COMMAND, 0x12);
    assert_int_equal(in16(h, PMCNTRL), 0x1c00);
    assert_int_equal(in8(h, PIIX4_SMI_COMMAND), 0x12);
}

static void sleeping(void **state)
{
    struct harness *h = *state;
    static const struct {
        unsigned type;
        enum board_request request;
    } rows[] = {{0, BOARD_SHUTDOWN}, {1, BOARD_SUSPEND}, {2, BOARD_SHUTDOWN}};
    for (unsigned i = 0; i < 3; i++) {
        memset(h->requests, 0, sizeof(h->requests));
        out16(h, PMCNTRL, (uint16_t)(rows[i].type << 10 | 1));
        for (unsigned what = 0; what <= BOARD_WAKEUP; what++)
            assert_int_equal(h->requests[what], 0);
        out16(h, PMCNTRL, (uint16_t)(rows[i].type << 10 | 0x2001)); /* as Linux: twice */
        for (unsigned what = 0; what <= BOARD_WAKEUP; what++)
            assert_int_equal(h->requests[what], what == rows[i].request);
        assert_int_equal(in16(h, PMCNTRL), rows[i].type << 10 | 1);
    }
    memset(h->requests, 0, sizeof(h->requests));
    log_item_support(LOG_UNIMP);
    log_items_set(1ull << LOG_UNIMP);
    capture_begin();
    out16(h, PMCNTRL, 5 << 10 | 0x2000);
    log_items_set(0);
    char *text = capture_end();
    assert_string_equal(text, "PIIX4_PM: suspend type 5\n");
    free(text);
    for (unsigned what = 0; what <= BOARD_WAKEUP; what++)
        assert_int_equal(h->requests[what], 0);
}

static void sleep_can_be_forbidden(void **state)
{
    (void)state;
    struct harness h;
    harness_begin(&h);
    harness_add(&h, "PIIX3", "addr=1", NULL);
    harness_add(&h, "PIIX4_PM", "addr=1.3", "disable_s3=1", "disable_s4=1", NULL);
    harness_reset(&h);
    program(&h);
    out16(&h, PMCNTRL, 1 << 10 | 0x2000);
    out16(&h, PMCNTRL, 2 << 10 | 0x2000);
    assert_int_equal(h.requests[BOARD_SUSPEND] + h.requests[BOARD_SHUTDOWN], 0);
    out16(&h, PMCNTRL, 0x2000);
    assert_int_equal(h.requests[BOARD_SHUTDOWN], 1);
    harness_end(&h);
}

/* The lock that firmware and system share (11.6.3). */
static void global_lock(void **state)
{
    struct pm_test *t = *state;
    struct harness *h = &t->h;
    out16(h, PMCNTRL, 1);
    out16(h, PMEN, 0x20);
    out32(h, GLBCTL, 2); /* BIOS_RLS */
    assert_int_equal(in16(h, PMSTS), 0x20);
    assert_true(h->line[PIIX4_SCI].level);
    assert_int_equal(in32(h, GLBCTL), 0);
    out16(h, PMCNTRL, 5); /* GBL_RLS */
    assert_int_equal(in16(h, GLBSTS), 1);
    assert_int_equal(t->smi.rises, 0);
    out16(h, GLBEN, 1);
    out32(h, GLBCTL, 1);
    out16(h, PMCNTRL, 5);
    assert_int_equal(t->smi.rises, 1);
    out16(h, GLBSTS, 1);
    assert_int_equal(in16(h, GLBSTS), 0);
}

/* As SeaBIOS makes one. */
static void software_smi(void **state)
{
    struct pm_test *t = *state;
    struct harness *h = &t->h;
    out8(h, 0xb2, 1);
    assert_int_equal(t->smi.rises, 0);
    config_write32(h, SLOT, FUNCTION, 0x58, 0x02000000); /* APMC_EN */
    out8(h, 0xb2, 2);
    assert_int_equal(t->smi.rises, 0);
    out32(h, GLBCTL, 1); /* SMI_EN */
    out8(h, 0xb3, 0x55);
    out8(h, 0xb2, 3);
    assert_int_equal(t->smi.rises, 1);
    assert_false(t->smi.level);
    assert_int_equal(in8(h, 0xb2), 3);
    assert_int_equal(in8(h, 0xb3), 0x55);
    assert_int_equal(in16(h, GLBSTS), 0x20);
    out16(h, GLBSTS, 0x20);
    assert_int_equal(in16(h, GLBSTS), 0);
}

/* Nothing sets a general purpose event; one that was saved asks for the SCI. */
static void general_purpose_events(void **state)
{
    struct pm_test *t = *state;
    struct harness *h = &t->h;
    struct strbuf bytes;
    struct error err = {""};
    out8(h, GPE + 2, 0x02);
    out16(h, PMCNTRL, 1);
    strbuf_init(&bytes);
    device_save(t->pm, &bytes);
    char *field = memmem(bytes.data, bytes.len, "\x03gpe", 4);
    assert_non_null(field);
    field[4] = 0x02;
    assert_true(device_load(t->pm, bytes.data, bytes.len, &err));
    strbuf_free(&bytes);
    assert_int_equal(in8(h, GPE), 0x02);
    out8(h, GPE + 3, 0); /* looks at the events again */
    assert_true(h->line[PIIX4_SCI].level);
    out8(h, GPE, 0x01);
    assert_true(h->line[PIIX4_SCI].level);
    out8(h, GPE, 0x02);
    assert_false(h->line[PIIX4_SCI].level);
    assert_int_equal(in8(h, GPE), 0);
}

/* --- SMBus --- */

/* As i2c-piix4 does. */
static void smbus_is_empty(void **state)
{
    struct harness *h = *state;
    for (unsigned address = 0x50; address < 0x58; address++) {
        assert_int_equal(in8(h, SMB), 0);
        out8(h, SMB + 4, (uint8_t)(address << 1 | 1));
        out8(h, SMB + 3, 0);
        out8(h, SMB + 2, 0x08); /* byte data */
        out8(h, SMB + 2, 0x48);
        assert_int_equal(in8(h, SMB + 2), 0x08);
        assert_int_equal(in8(h, SMB), 0x04); /* nobody acknowledges */
        out8(h, SMB, 0x04);
    }
    assert_false(h->line[9].level);
}

static void smbus_interrupts(void **state)
{
    struct pm_test *t = *state;
    struct harness *h = &t->h;
    out8(h, SMB + 2, 0x49);
    assert_true(h->line[9].level);
    out8(h, SMB, 0xff);
    assert_false(h->line[9].level);
    out8(h, SMB + 2, 0x03); /* kill */
    assert_int_equal(in8(h, SMB), 0x10);
    assert_true(h->line[9].level);
    config_write8(h, SLOT, FUNCTION, 0xd2, 0x01); /* interrupts to SMI */
    assert_false(h->line[9].level);
    out32(h, GLBCTL, 1);
    out8(h, SMB + 2, 0x49);
    assert_int_equal(t->smi.rises, 1);
    assert_false(h->line[9].level);
}

static void smbus_block(void **state)
{
    struct harness *h = *state;
    in8(h, SMB + 2);
    for (unsigned i = 0; i < 32; i++)
        out8(h, SMB + 7, (uint8_t)(i * 3));
    in8(h, SMB + 2); /* from the beginning */
    for (unsigned i = 0; i < 33; i++)
        assert_int_equal(in8(h, SMB + 7), i % 32 * 3);
    for (unsigned i = 0; i < 1000; i++)
        out8(h, SMB + 7, 1);
}

/* --- state --- */

static void state_moves(void **state)
{
    struct pm_test *t = *state, *other = mem_alloc(sizeof(*other));
    struct harness *h = &t->h;
    struct error err = {""};
    test_begin(other, true);
    harness_reset(&other->h); /* its ports are elsewhere */
    harness_advance(h, 2345 * 1000000ull);
    out16(h, PMCNTRL, 1);
    out16(h, PMEN, 1);
    out16(h, PMSTS, 1);
    out8(h, 0xb3, 0x77);
    out8(h, SMB + 7, 0x12);
    assert_true(harness_keeps_state(h, &err));
    assert_true(harness_transplant(h, &other->h, &err));
    h = &other->h;
    assert_int_equal(in32(h, PMTMR), in32(&t->h, PMTMR));
    assert_int_equal(in8(h, 0xb3), 0x77);
    for (unsigned i = 0; i < 30; i++) {
        harness_advance(h, SECOND / 3);
        harness_advance(&t->h, SECOND / 3);
        assert_int_equal(h->line[9].level, t->h.line[9].level);
        assert_int_equal(in16(h, PMSTS), in16(&t->h, PMSTS));
    }
    assert_true(h->line[9].level);
    harness_end(h);
    free(other);
}

static void refusals(void **state)
{
    struct pm_test *t = *state;
    struct error err;
    assert_null(piix4_pm_new(&t->h.board, (struct irq){NULL, NULL, 0}, &err));
    assert_string_equal(err.text, "PCI: slot 1 function 3 not available for PIIX4_PM, in use by "
                                  "PIIX4_PM,id=(null)");
    struct isa_bus *isa = t->h.board.isa;
    t->h.board.isa = NULL;
    assert_string_equal(harness_refuses(&t->h, "PIIX4_PM", NULL),
                        "No 'ISA' bus found for device 'PIIX4_PM'");
    t->h.board.isa = isa;
}

static void probes(void **state)
{
    struct pm_test *t = *state;
    struct harness *h = &t->h;
    struct error err;
    static const char *const patterns[] = {"piix4_*", "apm_*"};
    for (unsigned i = 0; i < 2; i++)
        assert_true(trace_control_set(patterns[i], true, &err));
    capture_begin();
    config_write8(h, SLOT, FUNCTION, 0xd2, 8);
    in8(h, GPE + 1);
    out8(h, GPE + 3, 0x80);
    out8(h, 0xb2, 0xf1);
    in8(h, 0xb3);
    out16(h, PMEN, 0x100);
    in16(h, PMEN);
    piix4_pm_powerdown(t->pm);
    out16(h, PMCNTRL, 0x2000);
    config_write8(h, SLOT, FUNCTION, 0xd2, 9);
    out8(h, SMB + 4, 0xa1);
    out8(h, SMB + 2, 0x48);
    char *text = capture_end();
    assert_string_equal(text, "piix4_pm_base PM 0x0600 enabled 1 SMBus 0x0700 enabled 0\n"
                              "piix4_gpe_readb addr: 0x1 width: 1 ==> 0x0\n"
                              "piix4_gpe_writeb addr: 0x3 width: 1 <== 0x80\n"
                              "apm_io_write write addr=0x0 val=0xf1\n"
                              "apm_io_read read addr=0x1 val=0x00\n"
                              "piix4_pm_write addr 0x02 size 2 <- 0x100\n"
                              "piix4_pm_read addr 0x02 size 2 -> 0x100\n"
                              "piix4_pm_sci level 1 status 0x0100 enable 0x0100\n"
                              "piix4_pm_write addr 0x04 size 2 <- 0x2000\n"
                              "piix4_pm_sleep type 0\n"
                              "piix4_pm_sci level 0 status 0x0100 enable 0x0100\n"
                              "piix4_pm_base PM 0x0600 enabled 1 SMBus 0x0700 enabled 1\n"
                              "piix4_smbus_transfer address 0xa1 protocol 2 command 0x00\n");
    free(text);
    for (unsigned i = 0; i < 2; i++)
        assert_true(trace_control_set(patterns[i], false, &err));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
    const struct CMUnitTest tests[] = {
        TEST(after_reset),
        cmocka_unit_test(firmware_without_smm),
        TEST(bases_move),
        TEST(registers),
        TEST(accesses_of_parts),
        TEST(timer_counts),
        TEST(timer_interrupts),
        TEST(power_button),
        TEST(acpi_enable),
        TEST(sleeping),
        cmocka_unit_test(sleep_can_be_forbidden),
        TEST(global_lock),
        TEST(software_smi),
        TEST(general_purpose_events),
        TEST(smbus_is_empty),
        TEST(smbus_interrupts),
        TEST(smbus_block),
        TEST(state_moves),
        TEST(refusals),
        TEST(probes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
