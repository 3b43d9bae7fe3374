/* SPDX-License-Identifier: MIT
 *
 * Devices as bytes, by the tables of their fields. All numbers are little-endian.
 *
 *     device:  'V' 'D' 'E' 'V'  version(1)  name(class)  fields
 *     name:    length(1) bytes
 *     fields:  { type(1) count(4) name value... } ... 0xff
 *     value:   BOOL 1 byte, 0 or 1; numbers as wide as they are; TIMER set(1) when(8);
 *              STRUCT fields
 *
 * The fields are those of the device's bus, then those of its class, in the order of the tables.
 * Loading goes through the bytes twice: first only looking, so that bytes that do not fit change
 * nothing.
 */
#include <inttypes.h>
#include <string.h>

#include "device/internal.h"

enum { STATE_VERSION = 1, STATE_END = 0xff };

static const char magic[4] = {'V', 'D', 'E', 'V'};

static const struct field_kind {
    uint8_t size; /* bytes of a value here and there; 0: not a plain number */
    const char *name;
} kinds[] = {
    [FIELD_BOOL] = {1, "bool"}, [FIELD_U8] = {1, "u8"},       [FIELD_U16] = {2, "u16"},
    [FIELD_U32] = {4, "u32"},   [FIELD_U64] = {8, "u64"},     [FIELD_I32] = {4, "i32"},
    [FIELD_I64] = {8, "i64"},   [FIELD_TIMER] = {0, "timer"}, [FIELD_STRUCT] = {0, "struct"},
};

enum { KINDS = sizeof(kinds) / sizeof(kinds[0]) };

static const struct device_field no_fields[] = {FIELD_END};

/* The two tables of a device. */
static const struct device_field *fields_of(const struct device_class *class, unsigned table)
{
    const struct bus_kind *kind = bus_kind_of(class);
    const struct device_field *fields = table == 0 ? (kind ? kind->state : NULL) : class->state;
    return fields ? fields : no_fields;
}

/* The distance of the values of a row. */
static size_t stride_of(const struct device_field *field)
{
    switch (field->type) {
    case FIELD_STRUCT: return field->stride;
    case FIELD_TIMER: return sizeof(struct timer);
    default: return kinds[field->type].size;
    }
}

/* --- saving --- */

static void put_number(struct strbuf *to, uint64_t value, unsigned size)
{
    uint8_t bytes[8];
    for (unsigned i = 0; i < size; i++)
        bytes[i] = (uint8_t)(value >> i * 8);
    strbuf_add(to, bytes, size);
}

static void put_name(struct strbuf *to, const char *name)
{
    size_t length = strlen(name);
    if (length > UINT8_MAX)
        bug("the name of a field or class is too long: %s", name);
    put_number(to, length, 1);
    strbuf_add(to, name, length);
}

static uint64_t fetch(const void *at, unsigned size)
{
    uint64_t value = 0;
    memcpy(&value, at, size);
    return value;
}

static void put_fields(struct strbuf *to, const struct device_field *fields, const uint8_t *base)
{
    for (const struct device_field *field = fields; field->name; field++) {
        put_number(to, field->type, 1);
        put_number(to, field->count, 4);
        put_name(to, field->name);
        for (uint32_t i = 0; i < field->count; i++) {
            const uint8_t *at = base + field->offset + i * stride_of(field);
            if (field->type == FIELD_STRUCT) {
                put_fields(to, field->fields, at);
                put_number(to, STATE_END, 1);
            } else if (field->type == FIELD_TIMER) {
                const struct timer *timer = (const void *)at;
                put_number(to, timer_is_set(timer), 1);
                put_number(to, timer_is_set(timer) ? timer_when(timer) : 0, 8);
            } else {
                put_number(to, fetch(at, kinds[field->type].size), kinds[field->type].size);
            }
        }
    }
}

void device_save(const struct device *device, struct strbuf *to)
{
    strbuf_add(to, magic, sizeof(magic));
    put_number(to, STATE_VERSION, 1);
    put_name(to, device->class->name);
    for (unsigned table = 0; table < 2; table++)
        put_fields(to, fields_of(device->class, table), (const uint8_t *)device);
    put_number(to, STATE_END, 1);
}

/* --- loading --- */

struct reader {
    const uint8_t *at, *end;
    struct device *device;
    bool store; /* else only look */
    struct error *err;
};

static bool short_of(struct reader *r, const char *what)
{
    return error_set(r->err, "state of device %s: it ends within %s", r->device->class->name, what);
}

static bool get_number(struct reader *r, uint64_t *value, unsigned size, const char *what)
{
    if ((size_t)(r->end - r->at) < size)
        return short_of(r, what);
    *value = 0;
    for (unsigned i = 0; i < size; i++)
        *value |= (uint64_t)r->at[i] << i * 8;
    r->at += size;
    return true;
}

/* True if the next name is this one. `found` gets what is there, printable. */
static bool get_name(struct reader *r, const char *name, char found[64])
{
    size_t length = r->at < r->end ? *r->at : 0;
    bool whole = r->at < r->end && (size_t)(r->end - r->at) > length;
    size_t show = !whole ? 0 : length < 63 ? length : 63;
    for (size_t i = 0; i < show; i++) {
        char c = (char)r->at[1 + i];
        found[i] = c > ' ' && c < 0x7f ? c : '?';
    }
    found[show] = '\0';
    if (!whole || length != strlen(name) || memcmp(r->at + 1, name, length) != 0)
        return false;
    r->at += 1 + length;
    return true;
}

static bool get_value(struct reader *r, const struct device_field *field, uint8_t *at)
{
    unsigned size = kinds[field->type].size;
    uint64_t value = 0;
    if (!get_number(r, &value, size, field->name))
        return false;
    if (field->type == FIELD_BOOL && value > 1)
        return error_set(r->err, "state of device %s: field %s: %" PRIu64 " is not a bool",
                         r->device->class->name, field->name, value);
    if (r->store)
        memcpy(at, &value, size);
    return true;
}

static bool get_timer(struct reader *r, const struct device_field *field, struct timer *timer)
{
    uint64_t is_set = 0, when = 0;
    if (!get_number(r, &is_set, 1, field->name) || !get_number(r, &when, 8, field->name))
        return false;
    if (is_set > 1)
        return error_set(r->err, "state of device %s: timer %s is neither set nor stopped",
                         r->device->class->name, field->name);
    if (r->store && is_set)
        timer_set(timer, when);
    else if (r->store)
        timer_stop(timer);
    return true;
}

static bool get_fields(struct reader *r, const struct device_field *fields, uint8_t *base);

static bool get_end(struct reader *r, const char *what)
{
    uint64_t end = 0;
    if (!get_number(r, &end, 1, what))
        return false;
    if (end != STATE_END)
        return error_set(r->err, "state of device %s: there are fields behind the last of %s",
                         r->device->class->name, what);
    return true;
}

static bool get_values(struct reader *r, const struct device_field *field, uint8_t *base)
{
    for (uint32_t i = 0; i < field->count; i++) {
        uint8_t *at = base + field->offset + i * stride_of(field);
        bool good;
        if (field->type == FIELD_STRUCT)
            good = get_fields(r, field->fields, at) && get_end(r, field->name);
        else if (field->type == FIELD_TIMER)
            good = get_timer(r, field, (struct timer *)(void *)at);
        else
            good = get_value(r, field, at);
        if (!good)
            return false;
    }
    return true;
}

static bool get_fields(struct reader *r, const struct device_field *fields, uint8_t *base)
{
    for (const struct device_field *field = fields; field->name; field++) {
        const char *class = r->device->class->name;
        uint64_t type = 0, count = 0;
        char found[64];
        if (!get_number(r, &type, 1, field->name))
            return false;
        if (type == STATE_END)
            return error_set(r->err, "state of device %s: field %s is missing", class, field->name);
        if (!get_number(r, &count, 4, field->name))
            return false;
        if (!get_name(r, field->name, found))
            return error_set(r->err, "state of device %s: field %s was expected, not '%s'", class,
                             field->name, found);
        if (type != field->type)
            return error_set(r->err, "state of device %s: field %s should be %s, not %s", class,
                             field->name, kinds[field->type].name,
                             type < KINDS ? kinds[type].name : "a type that is not known");
        if (count != field->count)
            return error_set(
                r->err, "state of device %s: field %s should have %" PRIu32 " values, not %" PRIu64,
                class, field->name, field->count, count);
        if (!get_values(r, field, base))
            return false;
    }
    return true;
}

static bool get_device(struct reader *r)
{
    const struct device_class *class = r->device->class;
    uint64_t version = 0;
    char found[64];
    if ((size_t)(r->end - r->at) < sizeof(magic) || memcmp(r->at, magic, sizeof(magic)) != 0)
        return error_set(r->err, "state of device %s: these bytes are no state of a device",
                         class->name);
    r->at += sizeof(magic);
    if (!get_number(r, &version, 1, "its head"))
        return false;
    if (version != STATE_VERSION)
        return error_set(r->err, "state of device %s: version %" PRIu64 ", and %d is expected",
                         class->name, version, STATE_VERSION);
    if (!get_name(r, class->name, found))
        return error_set(r->err, "state of device %s: this is of device '%s'", class->name, found);
    for (unsigned table = 0; table < 2; table++) {
        if (!get_fields(r, fields_of(class, table), (uint8_t *)r->device))
            return false;
    }
    if (!get_end(r, "the device"))
        return false;
    if (r->at != r->end)
        return error_set(r->err, "state of device %s: there are %zu bytes behind its end",
                         class->name, (size_t)(r->end - r->at));
    return true;
}

bool device_load(struct device *device, const void *bytes, size_t size, struct error *err)
{
    const struct device_class *class = device->class;
    struct reader look = {bytes, (const uint8_t *)bytes + size, device, false, err};
    if (!get_device(&look))
        return false;
    struct reader store = {bytes, (const uint8_t *)bytes + size, device, true, err};
    get_device(&store);
    const struct bus_kind *kind = bus_kind_of(class);
    if (kind && kind->loaded)
        kind->loaded(device);
    if (class->loaded && !class->loaded(device, err)) {
        error_prefix(err, "state of device %s: ", class->name);
        if (class->reset)
            class->reset(device);
        return false;
    }
    return true;
}
