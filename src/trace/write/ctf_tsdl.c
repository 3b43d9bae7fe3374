/* SPDX-License-Identifier: MIT
 *
 * The text of a CTF trace's metadata.
 *
 * TSDL has no place for what a declaration says beyond fields: formats, kinds such as pointers,
 * flag words. So each event is preceded by a comment that holds its line of the trace-events file,
 * from which our reader takes all that; to others it explains the event. */
#include "trace/write/ctf_tsdl.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "trace/decl/conversion.h"

static const char context_prefix[] = "ctx_";
enum { CONTEXT_PREFIX = sizeof context_prefix - 1 };

/* Words of TSDL's grammar. A field may not be called so, but for an underscore in front, which
 * readers remove. */
static const char *const keywords[] = {
    "align", "callsite",  "char",       "clock",          "const",   "double",
    "enum",  "env",       "event",      "float",          "integer", "int",
    "long",  "short",     "signed",     "stream",         "string",  "struct",
    "trace", "typealias", "typedef",    "unsigned",       "variant", "void",
    "_Bool", "_Complex",  "_Imaginary", "floating_point", "int64",   "uint64",
    "hex64", "uint32",    "uint8",      "shex64",         "time64", /* our aliases */
};

static const char head_types[] =
    "typealias integer { size = 8; align = 8; signed = false; } := uint8;\n"
    "typealias integer { size = 32; align = 8; signed = false; } := uint32;\n"
    "typealias integer { size = 64; align = 8; signed = false; } := uint64;\n"
    "typealias integer { size = 64; align = 8; signed = true; } := int64;\n"
    "typealias integer { size = 64; align = 8; signed = false; base = 16; } := hex64;\n"
    "typealias integer { size = 64; align = 8; signed = true; base = 16; } := shex64;\n"
    "typealias integer {\n"
    "\tsize = 64; align = 8; signed = false; map = clock.monotonic.value;\n"
    "} := time64;\n\n";

static const char head_stream[] = "stream {\n"
                                  "\tid = 0;\n"
                                  "\tpacket.context := struct {\n"
                                  "\t\ttime64 timestamp_begin;\n"
                                  "\t\ttime64 timestamp_end;\n"
                                  "\t\tuint64 content_size;\n"
                                  "\t\tuint64 packet_size;\n"
                                  "\t\tuint64 packet_seq_num;\n"
                                  "\t\tuint64 events_discarded;\n"
                                  "\t\tuint32 pid;\n"
                                  "\t\tuint32 thread;\n"
                                  "\t};\n"
                                  "\tevent.header := struct {\n"
                                  "\t\tuint32 id;\n"
                                  "\t\ttime64 timestamp;\n"
                                  "\t};\n"
                                  "};\n";

static void put_uuid(struct strbuf *out, const uint8_t *uuid)
{
    for (unsigned i = 0; i < CTF_UUID_BYTES; i++) {
        strbuf_printf(out, "%s%02x", i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "", uuid[i]);
    }
}

/* A quoted text; what could not stand in one is replaced. */
static void put_quoted(struct strbuf *out, const char *text)
{
    strbuf_putc(out, '"');
    for (const unsigned char *p = (const unsigned char *)text; *p; p++) {
        if (*p == '"' || *p == '\\') {
            strbuf_putc(out, '\\');
        }
        strbuf_putc(out, *p < 0x20 || *p == 0x7f ? '?' : (char)*p);
    }
    strbuf_putc(out, '"');
}

static void put_env(struct strbuf *out, const struct ctf_about *about)
{
    strbuf_puts(out, "env {\n");
    if (about->host) {
        strbuf_puts(out, "\thostname = ");
        put_quoted(out, about->host);
        strbuf_puts(out, ";\n");
    }
    strbuf_puts(out, "\tdomain = \"ust\";\n\ttracer_name = \"vitrine\";\n");
    if (about->program) {
        strbuf_puts(out, "\tprocname = ");
        put_quoted(out, about->program);
        strbuf_puts(out, ";\n");
    }
    strbuf_printf(out, "\tpid = %" PRIu32 ";\n\tvpid = %" PRIu32 ";\n};\n\n", about->pid,
                  about->pid);
}

static void put_clock(struct strbuf *out, const struct ctf_about *about)
{
    const int64_t second = 1000000000;
    strbuf_puts(out, "clock {\n\tname = \"monotonic\";\n");
    if (about->clock_uuid) {
        strbuf_puts(out, "\tuuid = ");
        put_quoted(out, about->clock_uuid);
        strbuf_puts(out, ";\n");
    }
    strbuf_puts(out, "\tdescription = \"Monotonic clock of the host\";\n\tfreq = 1000000000;\n");
    if (about->wall_known) {
        int64_t seconds = about->wall / second, rest = about->wall % second;
        if (rest < 0) {
            seconds--;
            rest += second;
        }
        strbuf_printf(out, "\toffset_s = %" PRId64 ";\n\toffset = %" PRId64 ";\n", seconds, rest);
    }
    strbuf_puts(out, "};\n\n");
}

void ctf_tsdl_head(struct strbuf *out, const uint8_t uuid[CTF_UUID_BYTES],
                   const struct ctf_about *about)
{
    const uint16_t one = 1;
    const char *order = *(const uint8_t *)&one ? "le" : "be";
    strbuf_puts(out, CTF_SIGNATURE ". vitrine-trace and babeltrace2 read it. */\n\n");
    strbuf_puts(out, head_types);
    strbuf_puts(out, "trace {\n\tmajor = 1;\n\tminor = 8;\n\tuuid = \"");
    put_uuid(out, uuid);
    strbuf_printf(out,
                  "\";\n\tbyte_order = %s;\n"
                  "\tpacket.header := struct {\n"
                  "\t\tuint32 magic;\n\t\tuint8 uuid[%d];\n\t\tuint32 stream_id;\n"
                  "\t};\n};\n\n",
                  order, CTF_UUID_BYTES);
    put_env(out, about);
    put_clock(out, about);
    strbuf_puts(out, head_stream);
}

/* --- words --- */

struct ctf_words_row {
    struct trace_words set; /* with the name it was written under; rows and words are ours */
    char *asked;            /* the name it had */
};

void ctf_words_free(struct ctf_words *words)
{
    for (unsigned i = 0; i < words->count; i++) {
        struct ctf_words_row *w = &words->row[i];
        for (unsigned k = 0; k < w->set.count; k++) {
            free((char *)w->set.row[k].word);
        }
        free((struct trace_word *)w->set.row);
        free((char *)w->set.name);
        free(w->asked);
    }
    free(words->row);
    *words = (struct ctf_words){0};
}

static bool same_rows(const struct trace_words *a, const struct trace_words *b)
{
    if (a->flags != b->flags || a->count != b->count) {
        return false;
    }
    for (unsigned i = 0; i < a->count; i++) {
        if (a->row[i].value != b->row[i].value || strcmp(a->row[i].word, b->row[i].word)) {
            return false;
        }
    }
    return true;
}

static bool name_taken(const struct ctf_words *words, const char *name)
{
    for (unsigned i = 0; i < words->count; i++) {
        if (!strcmp(words->row[i].set.name, name)) {
            return true;
        }
    }
    return false;
}

/* The set as it is in the metadata; written there if it is new. Valid until the next call. */
static const struct trace_words *words_use(struct strbuf *out, struct ctf_words *words,
                                           const struct trace_words *set)
{
    for (unsigned i = 0; i < words->count; i++) {
        if (!strcmp(words->row[i].asked, set->name) && same_rows(&words->row[i].set, set)) {
            return &words->row[i].set;
        }
    }
    char *name = mem_string(set->name);
    for (unsigned n = 2; name_taken(words, name); n++) {
        free(name);
        name = mem_format("%.50s_%u", set->name, n);
    }
    struct trace_word *rows = mem_alloc(set->count * sizeof *rows);
    for (unsigned i = 0; i < set->count; i++) {
        rows[i] = (struct trace_word){set->row[i].value, mem_string(set->row[i].word)};
    }
    words->row = mem_resize(words->row, words->count + 1, sizeof *words->row);
    struct ctf_words_row *w = &words->row[words->count++];
    w->set = (struct trace_words){name, set->flags, set->count, rows};
    w->asked = mem_string(set->name);
    trace_words_print(out, &w->set);
    return &w->set;
}

/* --- events --- */

unsigned ctf_context_count(const struct trace_decl *decl)
{
    unsigned count = 0;
    while (count < decl->nargs &&
           !strncmp(decl->arg[decl->nargs - 1 - count].name, context_prefix, CONTEXT_PREFIX) &&
           decl->arg[decl->nargs - 1 - count].name[CONTEXT_PREFIX]) {
        count++;
    }
    return count;
}

/* A comment must not contain its own end, which can stand in a format only: the literal is parted
 * there. */
void ctf_tsdl_declaration(struct strbuf *out, struct ctf_words *words,
                          const struct trace_decl *decl)
{
    struct trace_words set[TRACE_VALUES_MAX];
    struct trace_decl copy = *decl;
    struct strbuf text;

    strbuf_init(&text);
    for (unsigned i = 0; i < copy.nargs; i++) {
        if (copy.arg[i].words) {
            set[i] = *words_use(&text, words, copy.arg[i].words);
            copy.arg[i].words = &set[i];
        }
    }
    trace_decl_print(&text, &copy);
    strbuf_puts(out, "\n" CTF_DECLARATIONS);
    char *rest = text.data, *end;
    while ((end = strstr(rest, "*/"))) {
        strbuf_add(out, rest, (size_t)(end - rest));
        strbuf_puts(out, "*\" \"/");
        rest = end + 2;
    }
    strbuf_puts(out, rest);
    strbuf_puts(out, "*/\n");
    strbuf_free(&text);
}

/* Bit i is set when the format shows argument i in hexadecimal. */
static uint32_t hexadecimal(const struct trace_decl *decl)
{
    uint32_t set = 0;
    unsigned arg = 0;
    struct trace_conversion c;
    for (const char *p = decl->format; (p = strchr(p, '%')) && arg < decl->nargs; p = c.end) {
        trace_conversion_parse(p, &c);
        arg += c.width_arg + c.precision_arg;
        if (trace_conversion_takes_argument(&c)) {
            bool hex = c.letter == 'x' || c.letter == 'X' || c.letter == 'p';
            set |= hex && arg < decl->nargs ? 1u << arg : 0;
            arg++;
        }
    }
    return set;
}

static void put_enum(struct strbuf *out, const struct trace_arg *arg)
{
    bool is_signed = arg->kind == TRACE_SIGNED;
    strbuf_printf(out, "enum : %sint64 {\n", is_signed ? "" : "u");
    for (unsigned i = 0; i < arg->words->count; i++) {
        strbuf_puts(out, "\t\t\t");
        put_quoted(out, arg->words->row[i].word);
        uint64_t value = arg->words->row[i].value;
        if (is_signed) {
            strbuf_printf(out, " = %" PRId64, (int64_t)value);
        } else {
            strbuf_printf(out, " = %" PRIu64, value);
        }
        strbuf_puts(out, i + 1 < arg->words->count ? ",\n" : "\n\t\t}");
    }
}

static void put_type(struct strbuf *out, const struct trace_arg *arg, bool hex)
{
    bool flags = arg->words && arg->words->flags;
    if (arg->kind == TRACE_STRING) {
        strbuf_puts(out, "string");
    } else if (arg->words && !flags && arg->words->count) {
        put_enum(out, arg);
    } else if (hex || flags || arg->kind == TRACE_POINTER) {
        strbuf_puts(out, arg->kind == TRACE_SIGNED ? "shex64" : "hex64");
    } else {
        strbuf_puts(out, arg->kind == TRACE_SIGNED ? "int64" : "uint64");
    }
}

static void put_field_name(struct strbuf *out, const char *name)
{
    bool escape = name[0] == '_' || (name[0] >= '0' && name[0] <= '9');
    for (size_t i = 0; i < sizeof keywords / sizeof *keywords && !escape; i++) {
        escape = !strcmp(name, keywords[i]);
    }
    strbuf_printf(out, " %s%s;\n", escape ? "_" : "", name);
}

static bool has_arg(const struct trace_decl *decl, const char *name)
{
    for (unsigned i = 0; i < decl->nargs; i++) {
        if (!strcmp(decl->arg[i].name, name)) {
            return true;
        }
    }
    return false;
}

static void put_fields(struct strbuf *out, const char *what, const struct trace_decl *decl,
                       unsigned first, unsigned end)
{
    uint32_t hex = hexadecimal(decl);
    strbuf_printf(out, "\t%s := struct {\n", what);
    for (unsigned i = first; i < end; i++) {
        const struct trace_arg *arg = &decl->arg[i];
        const char *name = arg->name;
        if (i == 0 && decl->vcpu && !has_arg(decl, "cpu")) {
            name = "cpu"; /* as in our merged list */
        } else if (!strcmp(what, "context")) {
            name += CONTEXT_PREFIX;
        }
        strbuf_puts(out, "\t\t");
        put_type(out, arg, hex >> i & 1);
        put_field_name(out, name);
    }
    strbuf_puts(out, "\t};\n");
}

void ctf_tsdl_body(struct strbuf *out, const struct trace_decl *decl)
{
    unsigned fields = decl->nargs - ctf_context_count(decl);
    strbuf_puts(out, "\tstream_id = 0;\n\tname = ");
    put_quoted(out, decl->name);
    strbuf_puts(out, ";\n");
    if (fields < decl->nargs) {
        put_fields(out, "context", decl, fields, decl->nargs);
    }
    put_fields(out, "fields", decl, 0, fields);
}

void ctf_tsdl_event(struct strbuf *out, uint32_t id, const char *body)
{
    strbuf_printf(out, "event {\n\tid = %" PRIu32 ";\n%s};\n", id, body);
}
