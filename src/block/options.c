/* SPDX-License-Identifier: MIT
 *
 * -drive: its words, and where a drive belongs that does not say.
 */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/option.h"
#include "block/block.h"

static const struct {
    const char *name;
    unsigned units;       /* a bus; 0: no buses */
    bool policies;        /* werror=, rerror= */
    const char *id_media; /* default ids tell disks from CD-ROMs */
} interfaces[DRIVE_INTERFACES] = {
    [DRIVE_IDE] = {"ide", 2, true, "hd"},   [DRIVE_FLOPPY] = {"floppy", 0, false, NULL},
    [DRIVE_NONE] = {"none", 0, true, NULL}, [DRIVE_VIRTIO] = {"virtio", 0, true, NULL},
    [DRIVE_SCSI] = {"scsi", 7, true, "hd"}, [DRIVE_PFLASH] = {"pflash", 0, false, NULL},
    [DRIVE_SD] = {"sd", 0, false, NULL},    [DRIVE_MTD] = {"mtd", 0, false, NULL},
    [DRIVE_XEN] = {"xen", 0, false, NULL},
};

const char *drive_interface_name(enum drive_interface interface)
{
    return interfaces[interface].name;
}

unsigned drive_interface_units(enum drive_interface interface)
{
    return interfaces[interface].units;
}

/* What is being parsed. */
struct parse {
    struct drive_options *options;
    bool index, bus, unit, readonly, cache, werror, rerror;
    uint64_t index_value, bus_value, unit_value;
};

typedef bool word_fn(struct parse *parse, const char *key, const char *value, struct error *err);

static bool text_of(char **field, const char *value)
{
    free(*field);
    *field = mem_string(value);
    return true;
}

static bool word_file(struct parse *parse, const char *key, const char *value, struct error *err)
{
    (void)key;
    (void)err;
    return text_of(&parse->options->file, value);
}

static bool word_format(struct parse *parse, const char *key, const char *value, struct error *err)
{
    (void)key;
    (void)err;
    return text_of(&parse->options->format, value);
}

static bool word_id(struct parse *parse, const char *key, const char *value, struct error *err)
{
    (void)key;
    bool good = isalpha((unsigned char)value[0]);
    for (const char *c = value; *c; c++) {
        good &= isalnum((unsigned char)*c) || strchr("-._", *c);
    }
    if (!good) {
        return error_set(err, "Parameter 'id' expects an identifier\nIdentifiers consist of "
                              "letters, digits, '-', '.', '_', starting with a letter.");
    }
    return text_of(&parse->options->id, value);
}

static bool word_if(struct parse *parse, const char *key, const char *value, struct error *err)
{
    (void)key;
    for (int i = 0; i < DRIVE_INTERFACES; i++) {
        if (!strcmp(value, interfaces[i].name)) {
            parse->options->interface = (enum drive_interface)i;
            return true;
        }
    }
    return error_set(err, "unsupported bus type '%s'", value);
}

static bool word_media(struct parse *parse, const char *key, const char *value, struct error *err)
{
    (void)key;
    if (!strcmp(value, "disk")) {
        parse->options->media = DRIVE_DISK;
    } else if (!strcmp(value, "cdrom")) {
        parse->options->media = DRIVE_CDROM;
    } else {
        return error_set(err, "'%s' invalid media", value);
    }
    return true;
}

static bool word_number(struct parse *parse, const char *key, const char *value, struct error *err)
{
    uint64_t number;
    if (!option_number(key, value, 0, 255, &number, NULL)) {
        return error_set(err,
                         option_number(key, value, 0, UINT64_MAX, &number, NULL)
                             ? "Parameter '%s' is too large"
                             : "Parameter '%s' expects a number",
                         key);
    }
    if (!strcmp(key, "index")) {
        parse->index = true;
        parse->index_value = number;
    } else if (!strcmp(key, "bus")) {
        parse->bus = true;
        parse->bus_value = number;
    } else {
        parse->unit = true;
        parse->unit_value = number;
    }
    return true;
}

static bool on_or_off(const char *key, const char *value, bool *field, struct error *err)
{
    return option_bool(key, value, field, NULL) ||
           error_set(err, "Parameter '%s' expects 'on' or 'off'", key);
}

static bool word_readonly(struct parse *parse, const char *key, const char *value,
                          struct error *err)
{
    (void)key;
    parse->readonly = true;
    return on_or_off("read-only", value, &parse->options->readonly, err);
}

static bool word_snapshot(struct parse *parse, const char *key, const char *value,
                          struct error *err)
{
    return on_or_off(key, value, &parse->options->snapshot, err);
}

/* Words that change nothing here but must be right: asynchronous requests are threads' work. */
static bool word_on_off(struct parse *parse, const char *key, const char *value, struct error *err)
{
    (void)parse;
    bool ignored;
    return on_or_off(key, value, &ignored, err);
}

static bool word_cache(struct parse *parse, const char *key, const char *value, struct error *err)
{
    (void)key;
    /* Direct I/O is a matter of speed only; images are read through the host's cache always. */
    static const struct {
        const char *name;
        bool flushes, through;
    } modes[] = {{"none", true, false},      {"off", true, false},
                 {"writeback", true, false}, {"writethrough", true, true},
                 {"directsync", true, true}, {"unsafe", false, false}};
    for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
        if (!strcmp(value, modes[i].name)) {
            parse->options->flushes = modes[i].flushes;
            parse->options->write_through = modes[i].through;
            return true;
        }
    }
    return error_set(err, "invalid cache option");
}

static bool word_cache_part(struct parse *parse, const char *key, const char *value,
                            struct error *err)
{
    bool on;
    if (!on_or_off(key, value, &on, err)) {
        return false;
    }
    if (!strcmp(key, "cache.no-flush")) {
        parse->options->flushes = !on;
    } else if (!strcmp(key, "cache.writeback")) {
        parse->options->write_through = !on;
    }
    return true;
}

static bool one_of(const char *value, const char *const *words)
{
    for (; *words; words++) {
        if (!strcmp(value, *words)) {
            return true;
        }
    }
    return false;
}

static bool word_aio(struct parse *parse, const char *key, const char *value, struct error *err)
{
    (void)parse;
    (void)key;
    static const char *const words[] = {"threads", "native", "io_uring", NULL};
    return one_of(value, words) || error_set(err, "invalid aio option");
}

static bool word_discard(struct parse *parse, const char *key, const char *value, struct error *err)
{
    (void)key;
    static const char *const on[] = {"unmap", "on", NULL}, *const off[] = {"ignore", "off", NULL};
    parse->options->discards = one_of(value, on);
    return parse->options->discards || one_of(value, off) ||
           error_set(err, "Invalid discard option");
}

static bool word_zeroes(struct parse *parse, const char *key, const char *value, struct error *err)
{
    (void)parse;
    (void)key;
    static const char *const words[] = {"off", "on", "unmap", NULL};
    return one_of(value, words) || error_set(err, "invalid parameter value: %s", value);
}

static bool word_locking(struct parse *parse, const char *key, const char *value, struct error *err)
{
    if (!strcmp(value, "auto")) {
        return true;
    }
    return on_or_off(key, value, &parse->options->locks, err);
}

static bool word_error(struct parse *parse, const char *key, const char *value, struct error *err)
{
    static const struct {
        const char *name;
        enum drive_on_error what;
        bool read;
    } words[] = {{"report", DRIVE_REPORT, true},
                 {"ignore", DRIVE_IGNORE, true},
                 {"stop", DRIVE_STOP, true},
                 {"enospc", DRIVE_ENOSPC, false}};
    bool read = key[0] == 'r';
    *(read ? &parse->rerror : &parse->werror) = true;
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        if (!strcmp(value, words[i].name) && (words[i].read || !read)) {
            *(read ? &parse->options->on_read_error : &parse->options->on_write_error) =
                words[i].what;
            return true;
        }
    }
    return error_set(err, "'%s' invalid %s error action", value, read ? "read" : "write");
}

static bool word_refused(struct parse *parse, const char *key, const char *value, struct error *err)
{
    (void)parse;
    (void)value;
    return error_set(err, "-drive %s is not supported: copy the image to a raw file first", key);
}

static bool word_file_driver(struct parse *parse, const char *key, const char *value,
                             struct error *err)
{
    (void)parse;
    static const char *const words[] = {"file", "host_device", NULL};
    return one_of(value, words) ||
           error_set(err, "%s=%s is not supported: images are local files and block devices", key,
                     value);
}

static const struct {
    const char *name;
    word_fn *parse;
} words[] = {
    {"file", word_file},
    {"file.filename", word_file},
    {"format", word_format},
    {"driver", word_format},
    {"id", word_id},
    {"if", word_if},
    {"media", word_media},
    {"index", word_number},
    {"bus", word_number},
    {"unit", word_number},
    {"readonly", word_readonly},
    {"read-only", word_readonly},
    {"auto-read-only", word_on_off},
    {"snapshot", word_snapshot},
    {"cache", word_cache},
    {"cache.direct", word_cache_part},
    {"cache.no-flush", word_cache_part},
    {"cache.writeback", word_cache_part},
    {"aio", word_aio},
    {"discard", word_discard},
    {"detect-zeroes", word_zeroes},
    {"werror", word_error},
    {"rerror", word_error},
    {"file.locking", word_locking},
    {"file.driver", word_file_driver},
    {"copy-on-read", word_on_off},
    {"backing", word_refused},
    {"backing.file", word_refused},
    {"backing.file.filename", word_refused},
};

/* What a user may write but cannot have. */
static bool check_format(const struct drive_options *options, struct error *err)
{
    static const char *const others[] = {"qcow2", "qcow",  "qed",   "vmdk", "vdi",       "vhdx",
                                         "vpc",   "luks",  "dmg",   "nbd",  "parallels", "bochs",
                                         "cloop", "vvfat", "https", "http", NULL};
    const char *format = options->format;
    if (!format || !strcmp(format, "raw") || !strcmp(format, "file") ||
        !strcmp(format, "host_device")) {
        return true;
    }
    if (one_of(format, others)) {
        return error_set(err,
                         "format %s is not supported yet: only raw images are. "
                         "`qemu-img convert -O raw` makes one",
                         format);
    }
    return error_set(err, "Unknown driver '%s'", format);
}

static bool place(struct parse *parse, struct error *err)
{
    struct drive_options *options = parse->options;
    unsigned units = interfaces[options->interface].units;
    if (parse->index && (parse->bus || parse->unit)) {
        return error_set(err, "index cannot be used with bus and unit");
    }
    if (parse->index) {
        options->bus = units ? (unsigned)parse->index_value / units : 0;
        options->unit = (unsigned)parse->index_value - options->bus * units;
    } else {
        options->bus = (unsigned)parse->bus_value;
        options->unit = (unsigned)parse->unit_value;
    }
    if (units && options->unit >= units) {
        return error_set(err, "unit %u too big (max is %u)", options->unit, units - 1);
    }
    options->index = options->bus * units + options->unit;
    options->placed = parse->index || parse->unit;
    return true;
}

static bool check(struct parse *parse, struct error *err)
{
    struct drive_options *options = parse->options;
    if ((parse->werror || parse->rerror) && !interfaces[options->interface].policies) {
        return error_set(err, "%s is not supported by this bus type",
                         parse->werror ? "werror" : "rerror");
    }
    if (options->file && !*options->file) {
        free(options->file);
        options->file = NULL;
    }
    if (!options->file && options->media != DRIVE_CDROM && options->interface != DRIVE_FLOPPY &&
        options->interface != DRIVE_NONE) {
        return error_set(err, "A block device must be specified for \"file\"");
    }
    if (options->media == DRIVE_CDROM && !parse->readonly) {
        options->readonly = true;
    }
    return check_format(options, err) && place(parse, err);
}

static void defaults(struct drive_options *options, enum drive_interface interface,
                     enum drive_media media)
{
    *options = (struct drive_options){
        .interface = interface,
        .media = media,
        .flushes = true,
        .locks = true,
        .on_read_error = DRIVE_REPORT,
        .on_write_error = DRIVE_ENOSPC,
    };
}

bool drive_options_parse(struct drive_options *options, const char *text,
                         enum drive_interface interface, enum drive_media media, struct error *err)
{
    defaults(options, interface, media);
    struct parse parse = {.options = options};
    struct option_list list;
    if (!option_list_parse(&list, text, NULL, err)) {
        return false;
    }
    bool good = true;
    for (size_t i = 0; i < list.count && good; i++) {
        const char *key = list.pair[i].key, *value = list.pair[i].value;
        word_fn *word = NULL;
        for (size_t j = 0; j < sizeof(words) / sizeof(words[0]); j++) {
            if (!strcmp(key, words[j].name)) {
                word = words[j].parse;
            }
        }
        if (!word) {
            good = error_set(err, "Block format 'raw' does not support the option '%s'", key);
        } else {
            good = word(&parse, key, value ? value : "on", err);
        }
    }
    option_list_free(&list);
    return good && check(&parse, err);
}

void drive_options_free(struct drive_options *options)
{
    free(options->file);
    free(options->format);
    free(options->id);
    *options = (struct drive_options){0};
}

void drive_options_file(struct drive_options *options, const char *file,
                        enum drive_interface interface, enum drive_media media, unsigned index)
{
    defaults(options, interface, media);
    options->file = mem_string(file);
    options->readonly = media == DRIVE_CDROM;
    unsigned units = interfaces[interface].units;
    options->bus = units ? index / units : 0;
    options->unit = index - options->bus * units;
    options->index = index;
    options->placed = true;
}

static bool taken(const struct drive_options *options, const struct drive_options *const *others,
                  size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (others[i]->interface == options->interface && others[i]->bus == options->bus &&
            others[i]->unit == options->unit) {
            return true;
        }
    }
    return false;
}

bool drive_options_place(struct drive_options *options, const struct drive_options *const *others,
                         size_t count, struct error *err)
{
    unsigned units = interfaces[options->interface].units;
    const char *media = interfaces[options->interface].id_media;
    while (!options->placed && taken(options, others, count)) {
        options->unit++;
        if (units && options->unit >= units) {
            options->unit = 0;
            options->bus++;
        }
    }
    options->index = options->bus * units + options->unit;
    if (taken(options, others, count)) {
        return error_set(err, "drive with bus=%u, unit=%u (index=%u) exists", options->bus,
                         options->unit, options->index);
    }
    options->placed = true;
    if (!options->id) {
        const char *kind = !media ? "" : options->media == DRIVE_CDROM ? "-cd" : "-hd";
        options->id =
            units ? mem_format("%s%u%s%u", interfaces[options->interface].name, options->bus, kind,
                               options->unit)
                  : mem_format("%s%s%u", interfaces[options->interface].name, kind, options->unit);
    }
    for (size_t i = 0; i < count; i++) {
        if (!strcmp(others[i]->id, options->id)) {
            return error_set(err, "Duplicate ID '%s' for drive", options->id);
        }
    }
    return true;
}
