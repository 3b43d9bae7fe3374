/* SPDX-License-Identifier: MIT
 *
 * Devices without a bus of their own: classes, properties and their sentences, making and freeing,
 * state as bytes, what people see of them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/logitems.h"
#include "device_harness.h"
#include "log_capture.h"

/* --- a device that has everything --- */

static const char *const colours[] = {"red", "green", "blue", NULL};

struct part {
    uint16_t number;
    bool flag;
    struct timer timer;
};

struct sample {
    struct device device;
    bool on;
    uint8_t u8;
    uint16_t u16;
    uint32_t u32;
    uint64_t u64;
    int32_t i32;
    uint64_t size;
    const char *text;
    uint8_t colour;
    uint8_t mac[6];
    int32_t place;
    void *chardev;
    /* state */
    uint8_t bytes[5];
    int64_t i64;
    struct timer timer;
    struct part part[2];
    unsigned fired, resets;
};

static void fire(void *opaque, uint64_t now)
{
    struct sample *sample = opaque;
    (void)now;
    sample->fired++;
}

static bool sample_realize(struct device *device, struct error *err)
{
    struct sample *sample = (struct sample *)device;
    struct clock *clock = device->board->clock;
    timer_init(&sample->timer, clock, fire, sample);
    for (unsigned i = 0; i < 2; i++)
        timer_init(&sample->part[i].timer, clock, fire, sample);
    if (sample->u8 == 99)
        return error_set(err, "99 is too much");
    return true;
}

static void sample_reset(struct device *device)
{
    struct sample *sample = (struct sample *)device;
    sample->resets++;
    memset(sample->bytes, 0, sizeof(sample->bytes));
    sample->i64 = 0;
    timer_stop(&sample->timer);
    memset(&sample->part[0].number, 0, sizeof(sample->part[0].number));
}

static bool sample_loaded(struct device *device, struct error *err)
{
    struct sample *sample = (struct sample *)device;
    return sample->bytes[0] == 77 ? error_set(err, "77 cannot be") : true;
}

static unsigned freed;

static void sample_free(struct device *device)
{
    struct sample *sample = (struct sample *)device;
    timer_stop(&sample->timer);
    for (unsigned i = 0; i < 2; i++)
        timer_stop(&sample->part[i].timer);
    freed++;
}

#define PROPERTY(name, type, member, initial)                                              \
    {                                                                                      \
        name, type, offsetof(struct sample, member), (uint64_t)(initial), NULL, NULL, NULL \
    }

static const struct device_property sample_properties[] = {
    PROPERTY("on", PROPERTY_BOOL, on, 1),
    PROPERTY("byte", PROPERTY_U8, u8, 7),
    PROPERTY("word", PROPERTY_U16, u16, 0x1234),
    PROPERTY("iobase", PROPERTY_U32, u32, 0x3f8),
    PROPERTY("long", PROPERTY_U64, u64, UINT64_MAX),
    PROPERTY("offset", PROPERTY_I32, i32, -5),
    PROPERTY("memory", PROPERTY_SIZE, size, 16 << 20),
    {"text", PROPERTY_STRING, offsetof(struct sample, text), 0, "first", NULL, "some words"},
    {"colour", PROPERTY_WORD, offsetof(struct sample, colour), 1, NULL, colours, "what it is"},
    {"mac", PROPERTY_MAC, offsetof(struct sample, mac), 0, "52:54:00:12:34:56", NULL, NULL},
    PROPERTY("addr", PROPERTY_DEVFN, place, -1),
    PROPERTY("chardev", PROPERTY_CHARDEV, chardev, 0),
    {NULL, PROPERTY_BOOL, 0, 0, NULL, NULL, NULL},
};

static const struct device_field part_fields[] = {
    FIELD(struct part, number, FIELD_U16),
    FIELD(struct part, flag, FIELD_BOOL),
    FIELD(struct part, timer, FIELD_TIMER),
    FIELD_END,
};

static const struct device_field sample_fields[] = {
    FIELD_ARRAY(struct sample, bytes, FIELD_U8),
    FIELD(struct sample, i64, FIELD_I64),
    FIELD(struct sample, timer, FIELD_TIMER),
    FIELD_STRUCTS(struct sample, part, part_fields),
    FIELD_END,
};

static const struct device_bus sample_buses[] = {
    {"sample.0", "Sample"}, {"sample.1", "Sample"}, {0}};

static const struct device_class sample_class = {
    .name = "test-sample",
    .help = "A device that has everything",
    .bus = "System",
    .category = "Misc",
    .size = sizeof(struct sample),
    .by_user = true,
    .properties = sample_properties,
    .state = sample_fields,
    .realize = sample_realize,
    .reset = sample_reset,
    .loaded = sample_loaded,
    .free = sample_free,
    .buses = sample_buses,
};
DEVICE(sample_class)

/* One that has nothing, and sits on a bus of the other. */
static const struct device_class bare_class = {
    .name = "test-bare", .bus = "Sample", .size = sizeof(struct device)};
DEVICE(bare_class)

/* --- fixtures --- */

static int begin(void **state)
{
    struct harness *h = mem_alloc(sizeof(*h));
    harness_begin(h);
    freed = 0;
    *state = h;
    return 0;
}

static int end(void **state)
{
    harness_end(*state);
    free(*state);
    return 0;
}

static void *find_chardev(struct board *board, enum property_type type, const char *id)
{
    return type == PROPERTY_CHARDEV && strcmp(id, "serial0") == 0 ? board : NULL;
}

static const char *name_chardev(struct board *board, enum property_type type, const void *back_end)
{
    assert_int_equal(type, PROPERTY_CHARDEV);
    return back_end == board ? "serial0" : NULL;
}

/* --- classes --- */

static void classes(void **state)
{
    (void)state;
    assert_ptr_equal(device_class_find("test-sample"), &sample_class);
    assert_null(device_class_find("test-none"));
    size_t count = 0, found = 0;
    while (device_class_at(count))
        found += device_class_at(count++) == &bare_class;
    assert_int_equal(found, 1);
    assert_null(device_class_at(count + 1));
}

/* --- properties --- */

static void initial_values(void **state)
{
    struct sample *sample =
        (struct sample *)device_new(&sample_class, &((struct harness *)*state)->board);
    assert_true(sample->on);
    assert_int_equal(sample->u8, 7);
    assert_int_equal(sample->u16, 0x1234);
    assert_int_equal(sample->u32, 0x3f8);
    assert_true(sample->u64 == UINT64_MAX);
    assert_int_equal(sample->i32, -5);
    assert_int_equal(sample->size, 16 << 20);
    assert_string_equal(sample->text, "first");
    assert_int_equal(sample->colour, 1);
    assert_memory_equal(sample->mac, "\x52\x54\x00\x12\x34\x56", 6);
    assert_int_equal(sample->place, -1);
    assert_null(sample->chardev);
    device_free(&sample->device);
}

static void values_that_fit(void **state)
{
    struct harness *h = *state;
    struct sample *sample = (struct sample *)device_new(&sample_class, &h->board);
    static const struct {
        const char *name, *value;
        size_t offset, size;
        uint64_t expected;
    } rows[] = {
#define ROW(name, value, member, expected)                                               \
    {name, value, offsetof(struct sample, member), sizeof(((struct sample *)0)->member), \
     (uint64_t)(expected)}
        ROW("on", "off", on, 0),
        ROW("on", "on", on, 1),
        ROW("on", "no", on, 0),
        ROW("on", "yes", on, 1),
        ROW("on", "false", on, 0),
        ROW("on", "true", on, 1),
        ROW("byte", "255", u8, 255),
        ROW("byte", "0", u8, 0),
        ROW("byte", "-0", u8, 0),
        ROW("word", "0xffff", u16, 0xffff),
        ROW("iobase", "0x2F8", u32, 0x2f8),
        ROW("iobase", "010", u32, 8),
        ROW("iobase", "4294967295", u32, UINT32_MAX),
        ROW("long", "18446744073709551615", u64, UINT64_MAX),
        ROW("offset", "-2147483648", i32, 0x80000000),
        ROW("offset", "2147483647", i32, 0x7fffffff),
        ROW("memory", "3", size, 3),
        ROW("memory", "3k", size, 3 << 10),
        ROW("memory", "4M", size, 4 << 20),
        ROW("memory", "2G", size, 2ull << 30),
        ROW("memory", "7T", size, 7ull << 40),
        ROW("memory", "15E", size, 15ull << 60),
        ROW("colour", "blue", colour, 2),
        ROW("colour", "red", colour, 0),
        ROW("addr", "3", place, 3 << 3),
        ROW("addr", "03.0", place, 3 << 3),
        ROW("addr", "1f.7", place, 31 << 3 | 7),
#undef ROW
    };
    for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct error err = {""};
        if (!device_set(&sample->device, rows[i].name, rows[i].value, &err))
            fail_msg("%s=%s: %s", rows[i].name, rows[i].value, err.text);
        uint64_t found = 0;
        memcpy(&found, (uint8_t *)sample + rows[i].offset, rows[i].size);
        if (found != rows[i].expected)
            fail_msg("%s=%s gives 0x%llx", rows[i].name, rows[i].value, (unsigned long long)found);
    }
    assert_true(device_set(&sample->device, "text", "", NULL));
    assert_string_equal(sample->text, "");
    assert_true(device_set(&sample->device, "text", "second", NULL));
    assert_string_equal(sample->text, "second");
    assert_true(device_set(&sample->device, "mac", "02:aB-cd:00:FF:09", NULL));
    assert_memory_equal(sample->mac, "\x02\xab\xcd\x00\xff\x09", 6);
    assert_true(device_set(&sample->device, "id", "a-1.b_c", NULL));
    assert_string_equal(sample->device.id, "a-1.b_c");
    device_free(&sample->device);
}

static void sentences(void **state)
{
    struct harness *h = *state;
    h->board.back_end = find_chardev;
    static const struct {
        const char *name, *value, *sentence;
    } rows[] = {
        {"on", "maybe", "Parameter 'on' expects 'on' or 'off'"},
        {"byte", "256", "Parameter 'byte' expects uint8_t"},
        {"byte", "-1", "Parameter 'byte' expects uint8_t"},
        {"word", "65536", "Parameter 'word' expects uint16_t"},
        {"iobase", "zz", "Parameter 'iobase' expects integer"},
        {"iobase", "", "Parameter 'iobase' expects integer"},
        {"iobase", " 1", "Parameter 'iobase' expects integer"},
        {"iobase", "--1", "Parameter 'iobase' expects integer"},
        {"iobase", "1G", "Parameter 'iobase' expects integer"},
        {"iobase", "0x100000000", "Parameter 'iobase' expects uint32_t"},
        {"long", "18446744073709551616", "Parameter 'long' expects integer"},
        {"offset", "2147483648", "Parameter 'offset' expects int32_t"},
        {"offset", "-2147483649", "Parameter 'offset' expects int32_t"},
        {"memory", "zz", "Parameter 'memory' expects size"},
        {"memory", "1Kb", "Parameter 'memory' expects size"},
        {"memory", "1Z", "Parameter 'memory' expects size"},
        {"memory", "16E", "Parameter 'memory' expects size"},
        {"memory", "-1", "Parameter 'memory' expects uint64_t"},
        {"colour", "pink",
         "Parameter 'colour' does not accept value 'pink'; it accepts 'red', 'green', 'blue'"},
        {"mac", "zz", "Property 'test-sample.mac' doesn't take value 'zz'"},
        {"mac", "52:54:00:12:34:5",
         "Property 'test-sample.mac' doesn't take value '52:54:00:12:34:5'"},
        {"mac", "52:54:00:12:34:56:",
         "Property 'test-sample.mac' doesn't take value '52:54:00:12:34:56:'"},
        {"addr", "20", "Property 'test-sample.addr' doesn't take value '20'"},
        {"addr", "1.8", "Property 'test-sample.addr' doesn't take value '1.8'"},
        {"addr", "1.", "Property 'test-sample.addr' doesn't take value '1.'"},
        {"addr", "001", "Property 'test-sample.addr' doesn't take value '001'"},
        {"addr", "", "Property 'test-sample.addr' doesn't take value ''"},
        {"chardev", "nope", "Property 'test-sample.chardev' can't find value 'nope'"},
        {"colou", "red", "Property 'test-sample.colou' not found (did you mean 'colour'?)"},
        {"iobas", "1", "Property 'test-sample.iobas' not found (did you mean 'iobase'?)"},
        {"completely-else", "1",
         "Property 'test-sample.completely-else' not found; '-device test-sample,help' lists them"},
        {"id", "1a",
         "Parameter 'id' expects an identifier: letters, digits, '-', '.', '_', starting with a "
         "letter"},
    };
    struct device *device = device_new(&sample_class, &h->board);
    for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct error err = {""};
        assert_false(device_set(device, rows[i].name, rows[i].value, &err));
        assert_string_equal(err.text, rows[i].sentence);
    }
    device_free(device);

    struct error err;
    device = device_new(&bare_class, &h->board);
    assert_false(device_set(device, "x", "1", &err));
    assert_string_equal(err.text, "Property 'test-bare.x' not found; the device has none");
    device_free(device);
}

static void back_ends(void **state)
{
    struct harness *h = *state;
    struct sample *sample = (struct sample *)device_new(&sample_class, &h->board);
    struct error err;
    assert_false(device_set(&sample->device, "chardev", "serial0", &err)); /* the board has none */
    h->board.back_end = find_chardev;
    assert_true(device_set(&sample->device, "chardev", "serial0", &err));
    assert_ptr_equal(sample->chardev, &h->board);
    device_set_pointer(&sample->device, "chardev", h);
    assert_ptr_equal(sample->chardev, h);
    device_free(&sample->device);
}

/* --- on the board --- */

static void realizing(void **state)
{
    struct harness *h = *state;
    struct device *a = harness_add(h, "test-sample", "id=a", NULL);
    struct device *b = harness_add(h, "test-sample", "id=b", NULL);
    assert_ptr_equal(device_first(&h->board), a);
    assert_ptr_equal(a->next, b);
    assert_null(b->next);
    assert_string_equal(harness_refuses(h, "test-sample", "id=a", NULL), "Duplicate device ID 'a'");
    assert_int_equal(freed, 0); /* it was never begun */
    assert_string_equal(harness_refuses(h, "test-sample", "byte=99", NULL), "99 is too much");
    assert_int_equal(freed, 1);
    assert_null(b->next);
    struct error err;
    assert_false(device_set(a, "byte", "1", &err));
    assert_string_equal(err.text,
                        "Property 'test-sample.byte' can be set only before the machine begins");

    harness_reset(h);
    assert_int_equal(((struct sample *)a)->resets, 1);
    assert_int_equal(((struct sample *)b)->resets, 1);
    device_free(a);
    assert_int_equal(freed, 2);
    assert_ptr_equal(device_first(&h->board), b);
    device_free(NULL);
    device_free_all(&h->board);
    assert_int_equal(freed, 3);
    assert_null(device_first(&h->board));
}

static void named_buses(void **state)
{
    struct harness *h = *state;
    assert_string_equal(harness_refuses(h, "test-bare", "bus=sample.0", NULL),
                        "Bus 'sample.0' not found");
    harness_add(h, "test-sample", NULL);
    assert_string_equal(harness_refuses(h, "test-bare", "bus=sample.1", NULL), "");
    assert_string_equal(harness_refuses(h, "test-bare", "bus=sample.2", NULL),
                        "Bus 'sample.2' not found");
    assert_string_equal(harness_refuses(h, "test-sample", "bus=sample.1", NULL),
                        "Device 'test-sample' can't go on Sample bus");
}

/* --- state --- */

static struct sample *filled(struct harness *h)
{
    struct sample *sample = (struct sample *)harness_add(h, "test-sample", NULL);
    harness_reset(h);
    memcpy(sample->bytes, "\x01\x02\x03\x04\xff", 5);
    sample->i64 = -3;
    timer_set(&sample->timer, 500);
    sample->part[0].number = 0xabcd;
    sample->part[1].flag = true;
    timer_set(&sample->part[1].timer, 700);
    return sample;
}

static void state_as_bytes(void **state)
{
    struct harness *h = *state;
    struct sample *sample = filled(h);
    struct strbuf bytes;
    strbuf_init(&bytes);
    device_save(&sample->device, &bytes);
    static const uint8_t head[] =
        "VDEV\x01\x0btest-sample"
        "\x01\x05\x00\x00\x00\x05"
        "bytes\x01\x02\x03\x04\xff"
        "\x06\x01\x00\x00\x00\x03i64\xfd\xff\xff\xff\xff\xff\xff\xff"
        "\x07\x01\x00\x00\x00\x05timer\x01\xf4\x01\x00\x00\x00\x00\x00\x00";
    assert_true(bytes.len > sizeof(head));
    assert_memory_equal(bytes.data, head, sizeof(head) - 1);

    struct harness other;
    harness_begin(&other);
    struct sample *copy = (struct sample *)harness_add(&other, "test-sample", NULL);
    timer_set(&copy->part[0].timer, 1);
    struct error err = {""};
    assert_true(device_load(&copy->device, bytes.data, bytes.len, &err));
    assert_memory_equal(copy->bytes, sample->bytes, 5);
    assert_int_equal(copy->i64, -3);
    assert_int_equal(timer_when(&copy->timer), 500);
    assert_int_equal(copy->part[0].number, 0xabcd);
    assert_false(timer_is_set(&copy->part[0].timer));
    assert_true(copy->part[1].flag);
    assert_int_equal(timer_when(&copy->part[1].timer), 700);
    harness_advance(&other, 600);
    assert_int_equal(copy->fired, 1);
    harness_end(&other);
    strbuf_free(&bytes);
    assert_true(harness_keeps_state(h, &err));
}

/* Each truncation and each byte changed is refused or taken; refused, nothing has changed. */
static void damaged_bytes(void **state)
{
    struct harness *h = *state;
    struct sample *sample = filled(h);
    struct strbuf bytes, now;
    strbuf_init(&bytes);
    strbuf_init(&now);
    device_save(&sample->device, &bytes);
    for (size_t size = 0; size < bytes.len; size++) {
        struct error err = {""};
        assert_false(device_load(&sample->device, bytes.data, size, &err));
        assert_string_not_equal(err.text, "");
        strbuf_clear(&now);
        device_save(&sample->device, &now);
        assert_int_equal(now.len, bytes.len);
        assert_memory_equal(now.data, bytes.data, now.len);
    }
    unsigned refused = 0;
    for (size_t at = 0; at < bytes.len; at++) {
        struct error err = {""};
        bytes.data[at] ^= 0x55;
        bool good = device_load(&sample->device, bytes.data, bytes.len, &err);
        assert_true(good || *err.text);
        refused += !good;
        bytes.data[at] ^= 0x55;
        assert_true(device_load(&sample->device, bytes.data, bytes.len, &err));
    }
    assert_true(refused > bytes.len / 2);
    strbuf_free(&bytes);
    strbuf_free(&now);
}

static void foreign_bytes(void **state)
{
    struct harness *h = *state;
    struct sample *sample = filled(h);
    struct device *bare = harness_add(h, "test-bare", NULL);
    struct strbuf bytes, longer;
    strbuf_init(&bytes);
    strbuf_init(&longer);
    device_save(&sample->device, &bytes);
    strbuf_add(&longer, bytes.data, bytes.len);
    strbuf_putc(&longer, 0);
    char wrong_version[] = "VDEV\x02";
#define HEAD "VDEV\x01\x0btest-sample"
    static const struct {
        const char *bytes;
        size_t size;
        const char *sentence;
    } rows[] = {
        {"", 0, "state of device test-sample: these bytes are no state of a device"},
        {"VDEX\x01", 5, "state of device test-sample: these bytes are no state of a device"},
        {"VDEV\x02", 5, "state of device test-sample: version 2, and 1 is expected"},
        {"VDEV\x01\x03pit", 9, "state of device test-sample: this is of device 'pit'"},
        {HEAD, 17, "state of device test-sample: it ends within bytes"},
        {HEAD "\xff", 18, "state of device test-sample: field bytes is missing"},
        {HEAD "\x01\x05\x00\x00\x00\x02iq", 25,
         "state of device test-sample: field bytes was expected, not 'iq'"},
        {HEAD "\x02\x05\x00\x00\x00\x05"
              "bytes",
         28, "state of device test-sample: field bytes should be u8, not u16"},
        {HEAD "\x63\x05\x00\x00\x00\x05"
              "bytes",
         28, "state of device test-sample: field bytes should be u8, not a type that is not known"},
        {HEAD "\x01\x06\x00\x00\x00\x05"
              "bytes",
         28, "state of device test-sample: field bytes should have 5 values, not 6"},
    };
    struct error err;
    for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        assert_false(device_load(&sample->device, rows[i].bytes, rows[i].size, &err));
        assert_string_equal(err.text, rows[i].sentence);
    }
    assert_false(device_load(&sample->device, wrong_version, 5, NULL));
    assert_false(device_load(&sample->device, longer.data, longer.len, &err));
    assert_string_equal(err.text, "state of device test-sample: there are 1 bytes behind its end");
    assert_false(device_load(bare, bytes.data, bytes.len, &err));
    assert_string_equal(err.text, "state of device test-bare: this is of device 'test-sample'");
    strbuf_free(&bytes);
    strbuf_free(&longer);
}

static void values_that_do_not_fit_together(void **state)
{
    struct harness *h = *state;
    struct sample *sample = filled(h);
    struct strbuf bytes;
    strbuf_init(&bytes);
    sample->bytes[0] = 77;
    device_save(&sample->device, &bytes);
    sample->bytes[0] = 1;
    struct error err;
    assert_false(device_load(&sample->device, bytes.data, bytes.len, &err));
    assert_string_equal(err.text, "state of device test-sample: 77 cannot be");
    assert_int_equal(sample->resets, 2);
    assert_int_equal(sample->bytes[0], 0);
    strbuf_free(&bytes);
}

/* --- text --- */

static void tree(void **state)
{
    struct harness *h = *state;
    h->board.back_end = find_chardev;
    h->board.back_end_id = name_chardev;
    harness_add(h, "test-sample", "id=one", "memory=512", "chardev=serial0", "addr=3.1", NULL);
    harness_add(h, "test-bare", "bus=sample.1", "id=x", NULL);
    harness_add(h, "test-bare", "bus=sample.1", NULL);
    struct strbuf text;
    strbuf_init(&text);
    device_print_tree(&h->board, &text);
    assert_string_equal(text.data, "bus: main-system-bus\n"
                                   "  type System\n"
                                   "  dev: test-sample, id \"one\"\n"
                                   "    on = true\n"
                                   "    byte = 7 (0x7)\n"
                                   "    word = 4660 (0x1234)\n"
                                   "    iobase = 1016 (0x3f8)\n"
                                   "    long = 18446744073709551615 (0xffffffffffffffff)\n"
                                   "    offset = -5 (0xfffffffb)\n"
                                   "    memory = 512 (512 B)\n"
                                   "    text = \"first\"\n"
                                   "    colour = \"green\"\n"
                                   "    mac = \"52:54:00:12:34:56\"\n"
                                   "    addr = 03.1\n"
                                   "    chardev = \"serial0\"\n"
                                   "    bus: sample.0\n"
                                   "      type Sample\n"
                                   "    bus: sample.1\n"
                                   "      type Sample\n"
                                   "      dev: test-bare, id \"\"\n"
                                   "      dev: test-bare, id \"x\"\n");
    strbuf_free(&text);
}

static void help(void **state)
{
    (void)state;
    struct strbuf text;
    strbuf_init(&text);
    device_print_properties(&sample_class, &text);
    assert_string_equal(
        text.data, "test-sample options:\n"
                   "  addr=<int32>           -  (default: -1)\n"
                   "  byte=<uint8>           -  (default: 7)\n"
                   "  chardev=<str>          - ID of a chardev to use as a backend\n"
                   "  colour=<str>           - what it is, red/green/blue (default: \"green\")\n"
                   "  iobase=<uint32>        -  (default: 1016)\n"
                   "  long=<uint64>          -  (default: 18446744073709551615)\n"
                   "  mac=<str>              - Ethernet 6-byte MAC Address, example: "
                   "52:54:00:12:34:56 (default: \"52:54:00:12:34:56\")\n"
                   "  memory=<size>          -  (default: 16777216)\n"
                   "  offset=<int32>         -  (default: -5)\n"
                   "  on=<bool>              - on/off (default: true)\n"
                   "  text=<str>             - some words (default: \"first\")\n"
                   "  word=<uint16>          -  (default: 4660)\n");
    strbuf_clear(&text);
    device_print_properties(&bare_class, &text);
    assert_string_equal(text.data, "There are no options for test-bare.\n");
    strbuf_clear(&text);
    device_print_classes(&text);
    assert_non_null(strstr(text.data, "Misc devices:\n"));
    assert_non_null(strstr(
        text.data, "name \"test-sample\", bus System, desc \"A device that has everything\"\n"));
    assert_null(strstr(text.data, "test-bare")); /* -device cannot make it */
    strbuf_free(&text);
}

/* --- the ISA bus --- */

static uint64_t port_read(void *opaque, uint64_t offset, unsigned size)
{
    (void)opaque;
    (void)size;
    return 0x40 + offset;
}

static void port_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    struct sample *sample = opaque;
    (void)size;
    sample->bytes[offset] = (uint8_t)value;
}

static void isa(void **state)
{
    struct harness *h = *state;
    static const struct mem_ops ops = {.read = port_read, .write = port_write, .impl_max = 1};
    struct sample *sample = (struct sample *)harness_add(h, "test-sample", NULL);
    struct mem_region region = {0};
    isa_add_ports(&sample->device, &region, "sample", 0x300, 4, &ops);
    assert_int_equal(in32(h, 0x300), 0x43424140);
    out16(h, 0x302, 0x1234);
    assert_int_equal(sample->bytes[2], 0x34);
    assert_int_equal(sample->bytes[3], 0x12);
    assert_int_equal(in8(h, 0x304), 0xff);
    struct irq irq;
    struct error err;
    assert_true(isa_irq(&sample->device, 15, &irq, &err));
    irq_set(irq, true);
    assert_true(h->line[15].level);
    irq_pulse(irq);
    assert_int_equal(h->line[15].rises, 1);
    assert_int_equal(h->line[15].falls, 1);
    assert_false(isa_irq(&sample->device, 16, &irq, &err));
    assert_string_equal(err.text, "Parameter 'irq' expects an ISA interrupt, 0 to 15, not 16");
    mem_free(&region);
}

static void messages(void **state)
{
    struct harness *h = *state;
    struct device *device = harness_add(h, "test-bare", NULL);
    log_item_support(LOG_UNIMP);
    log_item_support(LOG_GUEST_ERRORS);
    capture_begin();
    device_guest_error(device, "not asked for");
    log_items_set(1ull << LOG_GUEST_ERRORS);
    device_guest_error(device, "register 0x%x is read-only", 5);
    device_unimp(device, "not asked for");
    log_items_set(1ull << LOG_UNIMP);
    device_unimp(device, "mode %d", 3);
    log_items_set(0);
    char *text = capture_end();
    assert_string_equal(text, "test-bare: register 0x5 is read-only\ntest-bare: mode 3\n");
    free(text);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
    const struct CMUnitTest tests[] = {
        TEST(classes),
        TEST(initial_values),
        TEST(values_that_fit),
        TEST(sentences),
        TEST(back_ends),
        TEST(realizing),
        TEST(named_buses),
        TEST(state_as_bytes),
        TEST(damaged_bytes),
        TEST(foreign_bytes),
        TEST(values_that_do_not_fit_together),
        TEST(tree),
        TEST(help),
        TEST(isa),
        TEST(messages),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
