/* SPDX-License-Identifier: MIT
 *
 * Reading `trace-events` files: lines, properties, arguments. Formats are read in format.c, comment
 * lines in marks.c, types in types.c.
 *
 *     line   := [ props blank ] name "(" args ")" [ format [ "," format ] ]
 *     props  := "disable" | "vcpu" | "tcg" ...
 *     args   := "void" | arg ( "," arg )*
 *     arg    := type blank name | type "*" name */
#include "trace/decl/internal.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

/* ---- complaints ---- */

struct decl_quote decl_quote(const char *text, size_t len)
{
    struct decl_quote q;
    size_t n = 0;
    while (n < len && n < sizeof q.text - 4) {
        unsigned char c = (unsigned char)text[n];
        q.text[n++] = c < 0x20 || c == 0x7f ? '?' : (char)c;
    }
    strcpy(q.text + n, n < len ? "..." : "");
    return q;
}

bool decl_fail_place(struct decl_reader *r, unsigned line, unsigned column, const char *sentence)
{
    return error_set(r->err, "%s:%u:%u: %s", r->file, line, column, sentence);
}

void decl_warn_place(struct decl_reader *r, unsigned line, unsigned column, const char *sentence)
{
    if (!r->warn || r->warnings > DECL_WARNINGS_MAX) {
        return;
    }
    struct error text;
    bool last = r->warnings++ == DECL_WARNINGS_MAX;
    error_set(&text, "%s:%u:%u: %s", r->file, line, column,
              last ? "more complaints about this file are left out" : sentence);
    r->warn(r->opaque, text.text);
}

bool decl_fail(struct decl_reader *r, const char *at, const char *format, ...)
{
    char sentence[900];
    va_list ap;
    va_start(ap, format);
    vsnprintf(sentence, sizeof sentence, format, ap);
    va_end(ap);
    return decl_fail_place(r, r->line, (unsigned)(at - r->text) + 1, sentence);
}

void decl_warn(struct decl_reader *r, const char *at, const char *format, ...)
{
    char sentence[900];
    va_list ap;
    va_start(ap, format);
    vsnprintf(sentence, sizeof sentence, format, ap);
    va_end(ap);
    decl_warn_place(r, r->line, (unsigned)(at - r->text) + 1, sentence);
}

/* ---- one declaration ---- */

/* A declaration on its way: one, or two for `tcg`. */
struct draft {
    struct trace_decl decl;
    bool translated[TRACE_VALUES_MAX]; /* TCGv arguments, unknown to NAME_trans */
    const char *name_at;
};

static const char *rskip_blanks(const char *begin, const char *end)
{
    while (end > begin && decl_is_blank(end[-1])) {
        end--;
    }
    return end;
}

static bool add_property(struct decl_reader *r, struct trace_decl *decl, const char *word,
                         size_t len)
{
    const char *own = "'disable' and 'vcpu' are allowed";
    const char *any = "'disable', 'vcpu' and 'tcg' are allowed";
    bool *flag = NULL;
    if (len == 7 && memcmp(word, "disable", 7) == 0) {
        flag = &decl->disabled;
    } else if (len == 4 && memcmp(word, "vcpu", 4) == 0) {
        flag = &decl->vcpu;
    } else if (len == 3 && memcmp(word, "tcg", 3) == 0) {
        if (r->dialect == TRACE_DIALECT_OWN) {
            return decl_fail(r, word, "property 'tcg' belongs to QEMU 2.2 to 6.2: %s", own);
        }
        flag = &decl->tcg;
    } else {
        return decl_fail(r, word, "unknown property '%s': %s", decl_quote(word, len).text,
                         r->dialect == TRACE_DIALECT_OWN ? own : any);
    }
    if (*flag && r->dialect == TRACE_DIALECT_OWN) {
        return decl_fail(r, word, "property '%s' stands here twice: once is allowed",
                         decl_quote(word, len).text);
    }
    *flag = true;
    return true;
}

/* Properties and name, up to the parenthesis at `open`. */
static bool read_head(struct decl_reader *r, const char *p, const char *open, struct draft *d)
{
    const char *name = open;
    while (name > p && decl_is_name_char(name[-1])) {
        name--;
    }
    if (name == open) {
        return decl_fail(r, open,
                         "expected the name of an event (letters, digits and '_') before "
                         "'('");
    }
    if (name > p && !decl_is_blank(name[-1])) {
        return decl_fail(r, name - 1,
                         "unexpected '%s' in a name: letters, digits and '_' are allowed",
                         decl_quote(name - 1, 1).text);
    }
    while ((p = decl_skip_blanks(p, name)) < name) {
        const char *word = p;
        while (p < name && !decl_is_blank(*p)) {
            p++;
        }
        if (!add_property(r, &d->decl, word, (size_t)(p - word))) {
            return false;
        }
    }
    size_t len = (size_t)(open - name);
    int most = DECL_NAME_MAX - (d->decl.tcg ? (int)strlen("_trans") : 0);
    if (len > (size_t)most) {
        return decl_fail(r, name, "the name is too long: at most %d bytes are allowed", most);
    }
    d->name_at = name;
    d->decl.name = decl_store_string(r->decls, name, len);
    const char *refused = decl_refuse_event_name(d->decl.name);
    if (refused && r->dialect == TRACE_DIALECT_OWN) {
        return decl_fail(r, name, "the name '%s' %s: another name is needed",
                         decl_quote(name, len).text, refused);
    }
    return true;
}

/* Complains about a type. */
static bool bad_type(struct decl_reader *r, enum trace_type_result why, const char *type,
                     size_t type_len, const char *bad, size_t bad_len)
{
    if (why == TRACE_TYPE_UNKNOWN) {
        return decl_fail(r, bad,
                         "unknown word '%s' in an argument's type: %s are allowed; pointers to "
                         "anything else are declared as 'void *'",
                         decl_quote(bad, bad_len).text, trace_type_allowed);
    }
    if (why == TRACE_TYPE_VOID) {
        return decl_fail(r, type,
                         "an argument cannot be of type 'void': 'void *' is allowed, and "
                         "'(void)' when there are none");
    }
    return decl_fail(r, type, "'%s' is no type in C: %s are allowed in C's combinations",
                     decl_quote(type, type_len).text, trace_type_allowed);
}

static bool add_arg(struct decl_reader *r, struct draft *d, const char *type_at, size_t type_len,
                    const char *name_at, size_t name_len)
{
    struct trace_decl *decl = &d->decl;
    struct trace_type type;
    struct strbuf spelling;
    const char *bad;
    size_t bad_len;
    strbuf_init(&spelling);
    enum trace_type_result got =
        trace_type_parse(type_at, type_len, &type, &spelling, &bad, &bad_len);
    bool own = r->dialect == TRACE_DIALECT_OWN;
    bool too_long = spelling.len > DECL_NAME_MAX || name_len > DECL_NAME_MAX;
    if (got == TRACE_TYPE_UNKNOWN || too_long || (got != TRACE_TYPE_OK && (own || type.tcg))) {
        strbuf_free(&spelling);
        if (too_long) {
            return decl_fail(r, type_at,
                             "the argument is too long: type and name may have at most %d bytes "
                             "each",
                             DECL_NAME_MAX);
        }
        return bad_type(r, got, type_at, type_len, bad, bad_len);
    }
    const char *spelled = decl_store_string(r->decls, spelling.data, spelling.len);
    strbuf_free(&spelling);
    if (type.tcg && (own || !decl->tcg)) {
        return decl_fail(r, type_at,
                         "TCGv types are known to 'tcg' events of QEMU 2.2 to 6.2 only: "
                         "%s are allowed",
                         trace_type_allowed);
    }
    const char *name = decl_store_string(r->decls, name_at, name_len);
    const char *refused = decl_refuse_arg_name(name);
    if (own && refused) {
        return decl_fail(r, name_at, "the name '%s' %s", decl_quote(name_at, name_len).text,
                         refused);
    }
    for (unsigned i = 0; i < decl->nargs; i++) {
        if (own && strcmp(decl->arg[i].name, name) == 0) {
            return decl_fail(r, name_at, "a second argument '%s': each needs a name of its own",
                             decl_quote(name_at, name_len).text);
        }
    }
    if (type.kind == TRACE_STRING) {
        decl->strings |= 1u << decl->nargs;
    }
    d->translated[decl->nargs] = type.tcg;
    decl->arg[decl->nargs++] = (struct trace_arg){name, spelled, type.kind, type.bits, NULL};
    return true;
}

/* One argument, without its comma. */
static bool read_arg(struct decl_reader *r, struct draft *d, const char *p, const char *end)
{
    p = decl_skip_blanks(p, end);
    end = rskip_blanks(p, end);
    if (p == end) {
        return decl_fail(r, p,
                         "empty argument: expected a type and a name, or 'void' alone for no "
                         "arguments");
    }
    /* A recording's own list may have more: the context fields that were recorded. */
    const unsigned most =
        r->dialect == TRACE_DIALECT_ANY ? TRACE_VALUES_MAX : TRACE_ARGS_MAX + d->decl.vcpu;
    if (d->decl.nargs == most) {
        return decl_fail(r, p, "too many arguments: an event may have at most %d",
                         most == TRACE_VALUES_MAX ? TRACE_VALUES_MAX : TRACE_ARGS_MAX);
    }
    const char *star = memrchr(p, '*', (size_t)(end - p));
    const char *name = end;
    if (star) {
        name = decl_skip_blanks(star + 1, end);
    } else {
        while (name > p && !decl_is_blank(name[-1])) {
            name--;
        }
    }
    const char *type_end = rskip_blanks(p, star ? star + 1 : name);
    if (name == end || type_end == p) {
        return decl_fail(r, p, "argument '%s' has no name: expected a type and a name",
                         decl_quote(p, (size_t)(end - p)).text);
    }
    for (const char *c = name; c < end; c++) {
        if (!decl_is_name_char(*c)) {
            return decl_fail(r, c,
                             "unexpected '%s' in an argument's name: letters, digits and '_' "
                             "are allowed",
                             decl_quote(c, 1).text);
        }
    }
    return add_arg(r, d, p, (size_t)(type_end - p), name, (size_t)(end - name));
}

/* Everything between the parentheses. */
static bool read_args(struct decl_reader *r, struct draft *d, const char *p, const char *close)
{
    if (d->decl.vcpu) {
        d->decl.arg[d->decl.nargs++] =
            (struct trace_arg){"__cpu", "void *", TRACE_POINTER, 64, NULL};
    }
    const char *first = decl_skip_blanks(p, close);
    if (rskip_blanks(first, close) - first == 4 && memcmp(first, "void", 4) == 0) {
        return true;
    }
    for (;;) {
        const char *comma = memchr(p, ',', (size_t)(close - p));
        if (!read_arg(r, d, p, comma ? comma : close)) {
            return false;
        }
        if (!comma) {
            break;
        }
        p = comma + 1;
    }
    if (r->dialect == TRACE_DIALECT_OWN && d->decl.nargs > TRACE_ARGS_MAX) {
        return decl_fail(r, d->name_at,
                         "too many arguments: 'vcpu' adds one, so that at most %d "
                         "others are allowed",
                         TRACE_ARGS_MAX - 1);
    }
    return true;
}

/* Adds the finished declaration with its format. */
static bool finish(struct decl_reader *r, const struct draft *d, struct decl_format *format)
{
    struct trace_decl *decl = decl_store_alloc(r->decls, sizeof *decl);
    *decl = d->decl;
    decl->line = r->line;
    if (decl->vcpu && !decl_format_prefix(format, "cpu=%p ")) {
        return decl_fail(r, d->name_at, "the format is too long: at most %d bytes are allowed",
                         TRACE_FORMAT_MAX);
    }
    if (!decl_format_check(r, format, decl) || !decl_apply_pending(r, decl)) {
        return false;
    }
    if (trace_decls_find(r->decls, decl->name)) {
        struct decl_quote q = decl_quote(decl->name, strlen(decl->name));
        if (r->dialect == TRACE_DIALECT_OWN) {
            return decl_fail(r, d->name_at,
                             "event '%s' was declared before: each needs a name of "
                             "its own",
                             q.text);
        }
        decl_warn(r, d->name_at, "event '%s' was declared before: the first one counts", q.text);
        return true;
    }
    if (r->decls->count == DECL_ROWS_MAX) {
        return decl_fail(r, d->name_at, "too many declarations: at most %d are allowed",
                         DECL_ROWS_MAX);
    }
    if (!r->source && r->source_text) {
        r->source = decl_store_string(r->decls, r->source_text, r->source_len);
    }
    decl->source = r->source;
    decl->format = decl_store_string(r->decls, format->text, format->len);
    decl_store_add(r->decls, decl);
    return true;
}

/* Turns the draft of a `tcg` event into one of its twins. */
static struct draft twin(struct decl_reader *r, const struct draft *d, bool at_translation)
{
    struct draft t = *d;
    char name[DECL_NAME_MAX + 8];
    snprintf(name, sizeof name, "%s_%s", d->decl.name, at_translation ? "trans" : "exec");
    t.decl.name = decl_store_string(r->decls, name, strlen(name));
    if (at_translation) {
        t.decl.nargs = 0;
        t.decl.strings = 0;
        for (unsigned i = 0; i < d->decl.nargs; i++) {
            if (!d->translated[i]) {
                t.decl.strings |= (d->decl.arg[i].kind == TRACE_STRING ? 1u : 0u) << t.decl.nargs;
                t.decl.arg[t.decl.nargs++] = d->decl.arg[i];
            }
        }
        for (unsigned i = t.decl.nargs; i < TRACE_VALUES_MAX; i++) {
            t.decl.arg[i] = (struct trace_arg){0};
        }
    }
    return t;
}

/* Format or formats, from behind the parenthesis to the end of the line. */
static bool read_tail(struct decl_reader *r, const char *p, struct draft *d,
                      struct decl_format *format)
{
    const char *stop;
    if (!decl_format_read(r, p, format, &stop)) {
        return false;
    }
    if (!d->decl.tcg) {
        if (stop < r->end) {
            return decl_fail(r, stop, "unexpected ',' behind the format: nothing may follow it");
        }
        return finish(r, d, format);
    }
    struct draft trans = twin(r, d, true);
    if (!finish(r, &trans, format)) {
        return false;
    }
    if (stop == r->end) {
        return decl_fail(r, stop, "a 'tcg' event needs two formats with a ',' between them");
    }
    if (!decl_format_read(r, stop + 1, format, &stop)) {
        return false;
    }
    if (stop < r->end) {
        return decl_fail(r, stop, "unexpected ',': a 'tcg' event has two formats");
    }
    struct draft exec = twin(r, d, false);
    return finish(r, &exec, format);
}

static bool read_decl(struct decl_reader *r, const char *p, struct decl_format *format)
{
    struct draft d = {0};
    if (++r->declarations > DECL_ROWS_MAX) { /* those that are left out take memory, too */
        return decl_fail(r, p, "too many declarations: at most %d are allowed", DECL_ROWS_MAX);
    }
    const char *open = memchr(p, '(', (size_t)(r->end - p));
    if (!open) {
        return decl_fail(r, p,
                         "this line is no declaration: expected NAME(TYPE ARG, ...) "
                         "\"FORMAT\", or a comment that begins with '#'");
    }
    if (!read_head(r, p, open, &d)) {
        return false;
    }
    const char *close = memchr(open, ')', (size_t)(r->end - open));
    if (!close) {
        return decl_fail(r, open,
                         "this '(' has no ')' on the same line: a declaration is one line");
    }
    bool ok = read_args(r, &d, open + 1, close) && read_tail(r, close + 1, &d, format);
    r->npending = 0;
    return ok;
}

/* ---- files ---- */

static bool read_line(struct decl_reader *r, struct decl_format *format)
{
    if (r->end - r->text > DECL_LINE_MAX) {
        return decl_fail(r, r->text, "the line is too long: at most %d bytes are allowed",
                         DECL_LINE_MAX);
    }
    if (r->end > r->text && r->end[-1] == '\r') {
        if (r->dialect == TRACE_DIALECT_OWN) {
            return decl_fail(r, r->end - 1,
                             "a carriage return ends this line: lines end in a "
                             "newline alone");
        }
        r->end--;
    }
    const char *p = decl_skip_blanks(r->text, r->end);
    if (p == r->end) {
        return true;
    }
    return *p == '#' ? decl_read_comment(r, p) : read_decl(r, p, format);
}

static bool read_lines(struct decl_reader *r, const char *text, size_t len)
{
    const char *stop = text + len;
    struct decl_format *format = mem_alloc(sizeof *format);
    bool ok = true;
    for (const char *p = text; ok && p < stop;) {
        const char *newline = memchr(p, '\n', (size_t)(stop - p));
        r->line++;
        r->text = p;
        r->end = newline ? newline : stop;
        ok = read_line(r, format);
        if (ok && !newline && r->dialect == TRACE_DIALECT_OWN) {
            ok = decl_fail(r, r->end, "the last line does not end in a newline: it must");
        }
        p = newline ? newline + 1 : stop;
    }
    free(format);
    return ok;
}

bool trace_decls_parse(struct trace_decls *decls, enum trace_dialect dialect, const char *file,
                       const char *text, size_t len, trace_warn_fn *warn, void *opaque,
                       struct error *err)
{
    struct decl_reader r = {.decls = decls,
                            .dialect = dialect,
                            .file = file,
                            .warn = warn,
                            .opaque = opaque,
                            .err = err};
    if (len > DECL_FILE_MAX) {
        return error_set(err, "%s:1:1: the file is too large: at most %d bytes are allowed", file,
                         DECL_FILE_MAX);
    }
    if (!read_lines(&r, text, len)) {
        return false;
    }
    if (r.npending && dialect == TRACE_DIALECT_OWN) {
        return decl_fail_place(&r, r.pending[0].line, r.pending[0].column,
                               "no declaration follows these '#@args': the next line must be one");
    }
    return true;
}

/* The whole file, up to one byte more than is allowed. */
static char *read_file(const char *path, size_t *len, struct error *err)
{
    FILE *f = fopen(path, "rb");
    if (!f) {
        error_set(err, "%s: cannot open the file of declarations: %s", path, strerror(errno));
        return NULL;
    }
    char *text = NULL;
    size_t room = 0, got;
    *len = 0;
    do {
        room = room ? room * 2 : 64 << 10;
        text = mem_resize(text, room, 1);
        got = fread(text + *len, 1, room - *len, f);
        *len += got;
    } while (*len == room && *len <= DECL_FILE_MAX);
    if (ferror(f)) {
        error_set(err, "%s: cannot read the file of declarations: %s", path, strerror(errno));
        free(text);
        text = NULL;
    }
    fclose(f);
    return text;
}

bool trace_decls_load(struct trace_decls *decls, enum trace_dialect dialect, const char *path,
                      trace_warn_fn *warn, void *opaque, struct error *err)
{
    size_t len;
    char *text = read_file(path, &len, err);
    if (!text) {
        return false;
    }
    bool ok = trace_decls_parse(decls, dialect, path, text, len, warn, opaque, err);
    free(text);
    return ok;
}
