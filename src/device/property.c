/* SPDX-License-Identifier: MIT
 *
 * Properties of devices: from text to values in the device's struct, and back. The sentences are
 * QEMU's where it has one, since scripts and people know them.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "device/internal.h"

/* What the numbers among the types hold, and what they are called. */
static const struct property_number {
    uint8_t size; /* bytes; 0: not a number */
    bool is_signed;
    const char *name;
} numbers[] = {
    [PROPERTY_U8] = {1, false, "uint8"},   [PROPERTY_U16] = {2, false, "uint16"},
    [PROPERTY_U32] = {4, false, "uint32"}, [PROPERTY_U64] = {8, false, "uint64"},
    [PROPERTY_I32] = {4, true, "int32"},   [PROPERTY_SIZE] = {8, false, "size"},
    [PROPERTY_NETDEV] = {0, false, NULL},
};

const struct device_property *property_at(const struct device_class *class, size_t i)
{
    const struct device_property *row = class->properties;
    for (; row && row->name; row++) {
        if (i-- == 0)
            return row;
    }
    const struct bus_kind *kind = bus_kind_of(class);
    for (row = kind ? kind->properties : NULL; row && row->name; row++) {
        if (i-- == 0)
            return row;
    }
    return NULL;
}

static void store_number(void *at, unsigned size, uint64_t value)
{
    switch (size) {
    case 1: *(uint8_t *)at = (uint8_t)value; break;
    case 2: *(uint16_t *)at = (uint16_t)value; break;
    case 4: *(uint32_t *)at = (uint32_t)value; break;
    default: *(uint64_t *)at = value;
    }
}

static uint64_t fetch_number(const void *at, unsigned size)
{
    switch (size) {
    case 1: return *(const uint8_t *)at;
    case 2: return *(const uint16_t *)at;
    case 4: return *(const uint32_t *)at;
    default: return *(const uint64_t *)at;
    }
}

/* --- from text --- */

/* Two hexadecimal digits each, colons or dashes between. */
static bool parse_mac(const char *text, uint8_t mac[6])
{
    for (unsigned i = 0; i < 6; i++) {
        unsigned byte = 0;
        for (unsigned digit = 0; digit < 2; digit++, text++) {
            const char *hex = "0123456789abcdef";
            char lower = *text >= 'A' && *text <= 'F' ? (char)(*text + 'a' - 'A') : *text;
            const char *found = lower ? strchr(hex, lower) : NULL;
            if (!found)
                return false;
            byte = byte << 4 | (unsigned)(found - hex);
        }
        mac[i] = (uint8_t)byte;
        if (i < 5 && *text != ':' && *text != '-')
            return false;
        text += i < 5;
    }
    return *text == '\0';
}

/* "SLOT" or "SLOT.FUNCTION", hexadecimal. */
static bool parse_devfn(const char *text, int32_t *devfn)
{
    static const char hex[] = "0123456789abcdefABCDEF";
    size_t digits = strspn(text, hex);
    unsigned long slot = strtoul(text, NULL, 16), function = 0;
    if (digits < 1 || digits > 2 || slot > 31)
        return false;
    text += digits;
    if (*text == '.') {
        if (text[1] < '0' || text[1] > '7' || text[2])
            return false;
        function = (unsigned long)(text[1] - '0');
    } else if (*text) {
        return false;
    }
    *devfn = (int32_t)(slot << 3 | function);
    return true;
}

static bool parse_bool(const struct device_property *property, const char *text, bool *value,
                       struct error *err)
{
    static const char *const words[] = {"off", "on", "no", "yes", "false", "true", "n", "y"};
    for (unsigned i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        if (strcmp(text, words[i]) == 0) {
            *value = i & 1;
            return true;
        }
    }
    return error_set(err, "Parameter '%s' expects 'on' or 'off'", property->name);
}

/* A suffix of sizes as a number of bits to shift by; 64: there is no such. */
static unsigned size_suffix(const char *end)
{
    static const char letters[] = "bkmgtpe";
    char lower = *end >= 'A' && *end <= 'Z' ? (char)(*end + 'a' - 'A') : *end;
    const char *found = lower ? strchr(letters, lower) : letters;
    return found && (!*end || !end[1]) ? (unsigned)(found - letters) * 10 : 64;
}

static bool parse_number(const struct device_property *property, const char *text, uint64_t *value,
                         struct error *err)
{
    const struct property_number *number = &numbers[property->type];
    bool is_size = property->type == PROPERTY_SIZE;
    bool negative = *text == '-';
    const char *digits = text + negative;
    char *end = NULL;
    errno = 0;
    /* C's notation; strtoull() would also take blanks and a second sign. */
    unsigned long long found =
        *digits >= '0' && *digits <= '9' ? strtoull(digits, &end, 0) : (errno = EINVAL, 0ull);
    unsigned shift = !errno && is_size ? size_suffix(end) : 0;
    if (errno || (is_size ? shift > 60 || found > UINT64_MAX >> shift : *end != '\0'))
        return error_set(err, "Parameter '%s' expects %s", property->name,
                         is_size ? "size" : "integer");
    uint64_t most = number->size == 8 ? UINT64_MAX : (1ull << number->size * 8) - 1;
    if (number->is_signed)
        most = (most >> 1) + negative;
    if (found << shift > most || (negative && !number->is_signed && found))
        return error_set(err, "Parameter '%s' expects %s_t", property->name,
                         is_size ? "uint64" : number->name);
    *value = negative ? -(uint64_t)found : (uint64_t)found << shift;
    return true;
}

static bool parse_word(const struct device_property *property, const char *text, uint8_t *value,
                       struct error *err)
{
    struct strbuf words;
    strbuf_init(&words);
    for (unsigned i = 0; property->words[i]; i++) {
        if (strcmp(property->words[i], text) == 0) {
            *value = (uint8_t)i;
            strbuf_free(&words);
            return true;
        }
        strbuf_printf(&words, "%s'%s'", i ? ", " : "", property->words[i]);
    }
    error_set(err, "Parameter '%s' does not accept value '%s'; it accepts %s", property->name, text,
              words.data);
    strbuf_free(&words);
    return false;
}

static bool parse_back_end(struct device *device, const struct device_property *property,
                           const char *id, void **value, struct error *err)
{
    struct board *board = device->board;
    void *found = board->back_end ? board->back_end(board, property->type, id) : NULL;
    if (!found)
        return error_set(err, "Property '%s.%s' can't find value '%s'", device->class->name,
                         property->name, id);
    *value = found;
    return true;
}

bool property_parse(struct device *device, const struct device_property *property, const char *text,
                    struct error *err)
{
    void *at = device_at(device, property->offset);
    uint64_t number = 0;
    switch (property->type) {
    case PROPERTY_BOOL: return parse_bool(property, text, at, err);
    case PROPERTY_U8:
    case PROPERTY_U16:
    case PROPERTY_U32:
    case PROPERTY_U64:
    case PROPERTY_I32:
    case PROPERTY_SIZE:
        if (!parse_number(property, text, &number, err))
            return false;
        store_number(at, numbers[property->type].size, number);
        return true;
    case PROPERTY_STRING:
        property_end(device, property);
        *(char **)at = mem_string(text);
        return true;
    case PROPERTY_WORD: return parse_word(property, text, at, err);
    case PROPERTY_MAC: {
        uint8_t mac[6];
        if (!parse_mac(text, mac))
            break;
        memcpy(at, mac, sizeof(mac));
        return true;
    }
    case PROPERTY_DEVFN:
        if (!parse_devfn(text, at))
            break;
        return true;
    case PROPERTY_CHARDEV:
    case PROPERTY_DRIVE:
    case PROPERTY_NETDEV: return parse_back_end(device, property, text, at, err);
    }
    return error_set(err, "Property '%s.%s' doesn't take value '%s'", device->class->name,
                     property->name, text);
}

void property_begin(struct device *device, const struct device_property *property)
{
    void *at = device_at(device, property->offset);
    switch (property->type) {
    case PROPERTY_BOOL: *(bool *)at = property->initial != 0; break;
    case PROPERTY_WORD: *(uint8_t *)at = (uint8_t)property->initial; break;
    case PROPERTY_DEVFN: *(int32_t *)at = (int32_t)property->initial; break;
    case PROPERTY_STRING: *(char **)at = mem_string(property->initial_text); break;
    case PROPERTY_MAC:
        if (property->initial_text && !parse_mac(property->initial_text, at))
            bug("property %s of %s: not a MAC address: %s", property->name, device->class->name,
                property->initial_text);
        break;
    case PROPERTY_CHARDEV:
    case PROPERTY_DRIVE:
    case PROPERTY_NETDEV: break;
    default: store_number(at, numbers[property->type].size, property->initial);
    }
}

void property_end(struct device *device, const struct device_property *property)
{
    if (property->type == PROPERTY_STRING) {
        char **at = device_at(device, property->offset);
        free(*at);
        *at = NULL;
    }
}

/* --- to text --- */

static void print_size(uint64_t bytes, struct strbuf *text)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    unsigned unit = 0;
    double value = (double)bytes;
    while (value >= 1000 && unit < 6) {
        value /= 1024;
        unit++;
    }
    strbuf_printf(text, "%" PRIu64 " (%.3g %s)", bytes, value, units[unit]);
}

static void print_back_end(const struct device *device, const struct device_property *property,
                           const void *back_end, struct strbuf *text)
{
    const struct board *board = device->board;
    const char *id = NULL;
    if (back_end && board->back_end_id)
        id = board->back_end_id(device->board, property->type, back_end);
    strbuf_printf(text, "\"%s\"", id ? id : "");
}

void property_print(const struct device *device, const struct device_property *property,
                    struct strbuf *text)
{
    const void *at = device_at(device, property->offset);
    const uint8_t *bytes = at;
    uint64_t number;
    switch (property->type) {
    case PROPERTY_BOOL: strbuf_puts(text, *(const bool *)at ? "true" : "false"); break;
    case PROPERTY_U8:
    case PROPERTY_U16:
    case PROPERTY_U32:
    case PROPERTY_U64:
        number = fetch_number(at, numbers[property->type].size);
        strbuf_printf(text, "%" PRIu64 " (0x%" PRIx64 ")", number, number);
        break;
    case PROPERTY_I32:
        strbuf_printf(text, "%" PRId32 " (0x%" PRIx32 ")", *(const int32_t *)at,
                      *(const uint32_t *)at);
        break;
    case PROPERTY_SIZE: print_size(*(const uint64_t *)at, text); break;
    case PROPERTY_STRING:
        strbuf_printf(text, "\"%s\"", *(char *const *)at ? *(char *const *)at : "");
        break;
    case PROPERTY_WORD: strbuf_printf(text, "\"%s\"", property->words[*bytes]); break;
    case PROPERTY_MAC:
        strbuf_printf(text, "\"%02x:%02x:%02x:%02x:%02x:%02x\"", bytes[0], bytes[1], bytes[2],
                      bytes[3], bytes[4], bytes[5]);
        break;
    case PROPERTY_DEVFN:
        if (*(const int32_t *)at < 0)
            strbuf_puts(text, "<unset>");
        else
            strbuf_printf(text, "%02x.%x", (unsigned)*(const int32_t *)at >> 3,
                          (unsigned)*(const int32_t *)at & 7);
        break;
    case PROPERTY_CHARDEV:
    case PROPERTY_DRIVE:
    case PROPERTY_NETDEV: print_back_end(device, property, *(void *const *)at, text); break;
    }
}

/* --- help --- */

static const char *type_name(const struct device_property *property)
{
    switch (property->type) {
    case PROPERTY_BOOL: return "bool";
    case PROPERTY_DEVFN: return "int32";
    default: return numbers[property->type].name ? numbers[property->type].name : "str";
    }
}

static void print_initial(const struct device_property *property, struct strbuf *text)
{
    switch (property->type) {
    case PROPERTY_BOOL:
        strbuf_printf(text, " (default: %s)", property->initial ? "true" : "false");
        break;
    case PROPERTY_I32:
    case PROPERTY_DEVFN:
        strbuf_printf(text, " (default: %" PRId32 ")", (int32_t)property->initial);
        break;
    case PROPERTY_WORD:
        strbuf_printf(text, " (default: \"%s\")", property->words[property->initial]);
        break;
    case PROPERTY_STRING:
    case PROPERTY_MAC:
        if (property->initial_text)
            strbuf_printf(text, " (default: \"%s\")", property->initial_text);
        break;
    case PROPERTY_CHARDEV:
    case PROPERTY_DRIVE:
    case PROPERTY_NETDEV: break;
    default: strbuf_printf(text, " (default: %" PRIu64 ")", property->initial);
    }
}

/* What a property is, where its class says nothing. */
static const char *type_help(enum property_type type)
{
    switch (type) {
    case PROPERTY_BOOL: return "on/off";
    case PROPERTY_MAC: return "Ethernet 6-byte MAC Address, example: 52:54:00:12:34:56";
    case PROPERTY_CHARDEV: return "ID of a chardev to use as a backend";
    case PROPERTY_DRIVE: return "Node name or ID of a block device to use as a backend";
    case PROPERTY_NETDEV: return "ID of a netdev to use as a backend";
    default: return "";
    }
}

static void print_help(const struct device_property *property, struct strbuf *text)
{
    struct strbuf name, rest;
    strbuf_init(&name);
    strbuf_init(&rest);
    strbuf_printf(&name, "%s=<%s>", property->name, type_name(property));
    strbuf_puts(&rest, property->help ? property->help : type_help(property->type));
    for (unsigned i = 0; property->words && property->words[i]; i++)
        strbuf_printf(&rest, "%s%s", i ? "/" : *rest.data ? ", " : "", property->words[i]);
    print_initial(property, &rest);
    if (rest.len)
        strbuf_printf(text, "  %-22s - %s\n", name.data, rest.data);
    else
        strbuf_printf(text, "  %s\n", name.data);
    strbuf_free(&name);
    strbuf_free(&rest);
}

static int by_name(const void *a, const void *b)
{
    return strcmp((*(const struct device_property *const *)a)->name,
                  (*(const struct device_property *const *)b)->name);
}

void device_print_properties(const struct device_class *class, struct strbuf *text)
{
    size_t count = 0;
    while (property_at(class, count))
        count++;
    if (!count) {
        strbuf_printf(text, "There are no options for %s.\n", class->name);
        return;
    }
    const struct device_property **sorted = mem_alloc(count * sizeof(*sorted));
    for (size_t i = 0; i < count; i++)
        sorted[i] = property_at(class, i);
    qsort(sorted, count, sizeof(*sorted), by_name);
    strbuf_printf(text, "%s options:\n", class->name);
    for (size_t i = 0; i < count; i++)
        print_help(sorted[i], text);
    free(sorted);
}
