/* SPDX-License-Identifier: MIT
 *
 * Formats of declarations: C source text (literals side by side, PRI macros between them) becomes
 * one printf format; its conversions are completed from the arguments and compared with them. */
#include "trace/decl/internal.h"

#include <string.h>

static bool put(struct decl_format *f, char c, size_t at)
{
    if (f->len >= TRACE_FORMAT_MAX) {
        return false;
    }
    f->text[f->len] = c;
    f->at[f->len++] = (uint32_t)at;
    f->text[f->len] = '\0';
    return true;
}

static bool too_long(struct decl_reader *r, const char *at)
{
    return decl_fail(r, at, "the format is too long: at most %d bytes are allowed",
                     TRACE_FORMAT_MAX);
}

static int digit_value(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f') {
        return (c | 0x20) - 'a' + 10;
    }
    return 99;
}

/* A number of at most `most` digits; the cursor moves behind it. */
static unsigned read_digits(const char **p, const char *end, unsigned base, unsigned most)
{
    unsigned value = 0;
    for (unsigned n = 0; n < most && *p < end && (unsigned)digit_value(**p) < base; n++) {
        value = (value * base + (unsigned)digit_value(**p)) & 0xffff;
        (*p)++;
    }
    return value;
}

/* What follows a backslash. `p` is behind the letter afterwards. */
static bool read_escape(struct decl_reader *r, const char **p, char *c)
{
    static const char letters[] = "ntr\"\\'?abfv";
    static const char meanings[] = "\n\t\r\"\\'?\a\b\f\v";
    const char *at = *p - 1;
    const char *known = **p ? strchr(letters, **p) : NULL;
    unsigned value;
    if (known) {
        (*p)++;
        *c = meanings[known - letters];
        return true;
    }
    if (**p >= '0' && **p <= '7') {
        value = read_digits(p, r->end, 8, 3);
    } else if (**p == 'x') {
        (*p)++;
        const char *digits = *p;
        value = read_digits(p, r->end, 16, (unsigned)(r->end - *p));
        if (*p == digits) {
            return decl_fail(r, at, "'\\x' needs hexadecimal digits");
        }
    } else if (r->dialect == TRACE_DIALECT_ANY) {
        *c = *(*p)++;
        return *c ? true : decl_fail(r, at, "a NUL byte is not allowed in a format");
    } else {
        return decl_fail(
            r, at,
            "unknown escape '\\%s': C's \\n \\t \\\" \\\\ \\ooo \\xhh and the like are "
            "allowed",
            decl_quote(*p, 1).text);
    }
    if (value == 0 || value > 255) {
        return decl_fail(r, at, "an escape in a format must be a byte between 1 and 255");
    }
    *c = (char)value;
    return true;
}

static bool read_literal(struct decl_reader *r, const char **cursor, struct decl_format *f)
{
    const char *open = *cursor;
    const char *p = open + 1;
    while (p < r->end && *p != '"') {
        const char *at = p;
        char c = *p++;
        if (c == '\0') {
            return decl_fail(r, at, "a NUL byte is not allowed in a format");
        }
        if (c == '\\') {
            if (p == r->end) {
                break;
            }
            if (!read_escape(r, &p, &c)) {
                return false;
            }
        }
        if (c == '\n' && r->dialect == TRACE_DIALECT_OWN) {
            return decl_fail(r, at,
                             "a newline is not allowed in a format: every writer ends the line "
                             "itself");
        }
        if (!put(f, c, (size_t)(at - r->text))) {
            return too_long(r, at);
        }
    }
    if (p >= r->end) {
        return decl_fail(r, open, "this literal has no end: a '\"' is missing on this line");
    }
    *cursor = p + 1;
    return true;
}

/* True if the format so far ends inside a conversion that a macro can complete. */
static bool is_open(struct decl_format *f)
{
    const char *p;
    while ((p = strchr(f->text + f->settled, '%'))) {
        struct trace_conversion c;
        trace_conversion_parse(p, &c);
        if (!c.letter && *c.end == '\0') {
            return true;
        }
        f->settled = (size_t)(c.end - f->text);
    }
    f->settled = f->len;
    return false;
}

/* Macros of older releases (HWADDR_PRIx, TARGET_FMT_plx) stand for 64 bits; their last letter is
 * the conversion. Some hold the percent sign too. */
static void old_macro(const char *name, size_t len, bool open, char letters[8])
{
    char last = name[len - 1];
    size_t n = 0;
    if (!open) {
        letters[n++] = '%';
    }
    letters[n++] = 'l';
    letters[n++] = memchr("dioux", last, 5) ? last : last == 'X' ? 'X' : 'x';
    letters[n] = '\0';
}

static bool read_macro(struct decl_reader *r, const char **cursor, struct decl_format *f)
{
    const char *name = *cursor;
    const char *p = name;
    while (p < r->end && decl_is_name_char(*p)) {
        p++;
    }
    size_t len = (size_t)(p - name);
    char letters[8];
    bool open = is_open(f);
    if (trace_conversion_pri(name, len, letters)) {
        if (!open && r->dialect == TRACE_DIALECT_OWN) {
            return decl_fail(r, name,
                             "'%s' stands behind no '%%': it must follow a literal that ends in "
                             "'%%' or the like",
                             decl_quote(name, len).text);
        }
    } else if (r->dialect == TRACE_DIALECT_ANY) {
        old_macro(name, len, open, letters);
        decl_warn(r, name, "unknown macro '%s' is taken as \"%s\"", decl_quote(name, len).text,
                  letters);
    } else {
        return decl_fail(r, name,
                         "unknown macro '%s': literals in '\"' and the PRI macros of <inttypes.h> "
                         "(PRIx64, PRIu32, PRIdPTR ...) are allowed",
                         decl_quote(name, len).text);
    }
    for (const char *c = letters; *c; c++) {
        if (!put(f, *c, (size_t)(name - r->text))) {
            return too_long(r, name);
        }
    }
    *cursor = p;
    return true;
}

bool decl_format_read(struct decl_reader *r, const char *p, struct decl_format *f,
                      const char **stop)
{
    f->len = f->settled = 0;
    f->text[0] = '\0';
    f->at[0] = (uint32_t)(p - r->text);
    for (p = decl_skip_blanks(p, r->end); p < r->end && *p != ',';) {
        if (*p == '"') {
            if (!read_literal(r, &p, f)) {
                return false;
            }
        } else if (decl_is_name_char(*p)) {
            if (!read_macro(r, &p, f)) {
                return false;
            }
        } else {
            return decl_fail(r, p,
                             "unexpected '%s' in a format: literals in '\"' and PRI macros are "
                             "allowed",
                             decl_quote(p, 1).text);
        }
        p = decl_skip_blanks(p, r->end);
    }
    *stop = p;
    return true;
}

bool decl_format_prefix(struct decl_format *f, const char *text)
{
    size_t n = strlen(text);
    if (f->len + n > TRACE_FORMAT_MAX) {
        return false;
    }
    memmove(f->text + n, f->text, f->len + 1);
    memmove(f->at + n, f->at, (f->len + 1) * sizeof f->at[0]);
    memcpy(f->text, text, n);
    for (size_t i = 0; i < n; i++) {
        f->at[i] = f->at[n];
    }
    f->len += n;
    return true;
}

/* Replaces `old` bytes at `pos` by `text`. */
static bool splice(struct decl_format *f, size_t pos, size_t old, const char *text)
{
    size_t n = strlen(text);
    if (f->len - old + n > TRACE_FORMAT_MAX) {
        return false;
    }
    uint32_t at = f->at[pos];
    memmove(f->text + pos + n, f->text + pos + old, f->len - pos - old + 1);
    memmove(f->at + pos + n, f->at + pos + old, (f->len - pos - old + 1) * sizeof f->at[0]);
    memcpy(f->text + pos, text, n);
    for (size_t i = 0; i < n; i++) {
        f->at[pos + i] = at;
    }
    f->len = f->len - old + n;
    return true;
}

/* Gives the conversion `c` its length and letter from the argument it shows. `before` is where the
 * text before it begins that is no conversion. */
static bool complete(struct decl_reader *r, struct decl_format *f, struct trace_conversion *c,
                     const struct trace_arg *arg, size_t before)
{
    struct trace_type type = trace_type_of(arg);
    size_t start = (size_t)(c->start - f->text);
    size_t spec = (size_t)(c->spec - f->text);
    size_t old = (size_t)(c->end - c->spec);
    const char *at = r->text + f->at[start];
    bool hex =
        start >= before + 2 && f->text[start - 2] == '0' && (f->text[start - 1] | 0x20) == 'x';
    bool star = c->width_arg || c->precision_arg;
    char letters[4];
    struct decl_quote written = decl_quote(c->start, (size_t)(c->end - c->start));
    trace_conversion_letters(&type, hex, letters);
    if ((type.kind == TRACE_POINTER || type.kind == TRACE_STRING) && !star) {
        /* Flags and widths meant for digits have no effect here, and %p writes its own 0x. */
        size_t from = hex && type.kind == TRACE_POINTER ? start - 2 : start;
        char whole[8] = "%";
        strcat(whole, letters);
        if (!splice(f, from, spec + old - from, whole)) {
            return too_long(r, at);
        }
        start = from;
    } else if (!splice(f, spec, old, letters)) {
        return too_long(r, at);
    }
    trace_conversion_parse(f->text + start, c);
    decl_warn(
        r, at, "incomplete conversion '%s' takes its type from argument '%s' (%s): '%s%s%s%s'",
        written.text, arg->name, arg->type, decl_quote(c->start, (size_t)(c->spec - c->start)).text,
        type.pri ? "\"PRI" : "", type.pri ? letters + 1 : letters, type.pri ? type.pri : "");
    return true;
}

/* OWN: what the compilers would say about this conversion, at its place. */
static bool check_fit(struct decl_reader *r, const char *at, const struct trace_conversion *c,
                      const struct trace_arg *arg)
{
    struct trace_type type = trace_type_of(arg);
    const char *wrong = trace_conversion_misfit(c, &type);
    if (c->wide) {
        return decl_fail(r, at, "width and precision may be at most %d", TRACE_WIDTH_MAX);
    }
    if (!wrong) {
        return true;
    }
    return decl_fail(r, at,
                     "conversion '%s' does not fit argument '%s' of type '%s', it %s: "
                     "allowed is %s",
                     decl_quote(c->start, (size_t)(c->end - c->start)).text, arg->name, arg->type,
                     wrong, trace_conversion_allowed(&type));
}

/* Conversions that no event may have. */
static bool check_forbidden(struct decl_reader *r, const char *at, const struct trace_conversion *c)
{
    bool own = r->dialect == TRACE_DIALECT_OWN;
    const char *why = NULL;
    if (c->letter == 'm') {
        why = "the error number is not recorded; pass it as an argument of its own";
    } else if (c->letter == 'n') {
        why = "it would write to memory; an event only shows its arguments";
    } else if (c->letter == '%') {
        return !own || c->end - c->start == 2 ||
               decl_fail(r, at, "'%s' is no conversion: a percent sign is written '%%%%'",
                         decl_quote(c->start, (size_t)(c->end - c->start)).text);
    } else if (!trace_conversion_takes_argument(c)) {
        why = "it is unknown; %d %u %x %o %c %s %p with flags, width and precision are allowed";
    }
    if (!why) {
        return true;
    }
    struct decl_quote q = decl_quote(c->start, (size_t)(c->end - c->start));
    if (own) {
        return decl_fail(r, at, "conversion '%s' is not allowed: %s", q.text, why);
    }
    decl_warn(r, at, "conversion '%s' should not be here: %s", q.text, why);
    return true;
}

/* The argument of a `*`. */
static bool check_star(struct decl_reader *r, const char *at, const struct trace_decl *decl,
                       unsigned *used)
{
    if (*used < decl->nargs && r->dialect == TRACE_DIALECT_OWN) {
        struct trace_type type = trace_type_of(&decl->arg[*used]);
        if (!trace_conversion_star_fits(&type)) {
            return decl_fail(r, at,
                             "'*' takes argument '%s' of type '%s' as a width: an 'int' is "
                             "allowed",
                             decl->arg[*used].name, decl->arg[*used].type);
        }
    }
    (*used)++;
    return true;
}

static bool check_count(struct decl_reader *r, const struct decl_format *f,
                        const struct trace_decl *decl, unsigned used)
{
    const char *at = r->text + f->at[0];
    if (used == decl->nargs) {
        return true;
    }
    char text[160];
    if (used > decl->nargs) {
        snprintf(text, sizeof text,
                 "the format shows %u arguments and the event has %u: each conversion needs one",
                 used, decl->nargs);
    } else {
        snprintf(text, sizeof text,
                 "the format shows %u of %u arguments, '%s' is the first left out: each argument "
                 "needs a conversion",
                 used, decl->nargs,
                 decl_quote(decl->arg[used].name, strlen(decl->arg[used].name)).text);
    }
    if (r->dialect == TRACE_DIALECT_OWN) {
        return decl_fail(r, at, "%s", text);
    }
    decl_warn(r, at, "%s", text);
    return true;
}

bool decl_format_check(struct decl_reader *r, struct decl_format *f, const struct trace_decl *decl)
{
    unsigned used = 0;
    size_t pos = 0;
    const char *p;
    while ((p = strchr(f->text + pos, '%'))) {
        struct trace_conversion c;
        trace_conversion_parse(p, &c);
        const char *at = r->text + f->at[p - f->text];
        size_t before = pos;
        if (c.letter && !check_forbidden(r, at, &c)) {
            return false;
        }
        pos = (size_t)(c.end - f->text);
        if (c.letter && !trace_conversion_takes_argument(&c)) {
            continue;
        }
        if ((c.width_arg && !check_star(r, at, decl, &used)) ||
            (c.precision_arg && !check_star(r, at, decl, &used))) {
            return false;
        }
        unsigned shown = used++;
        if (shown >= decl->nargs) {
            continue;
        }
        if (!c.letter) {
            if (!complete(r, f, &c, &decl->arg[shown], before)) {
                return false;
            }
            pos = (size_t)(c.end - f->text);
        }
        if (r->dialect == TRACE_DIALECT_OWN && !check_fit(r, at, &c, &decl->arg[shown])) {
            return false;
        }
    }
    return check_count(r, f, decl, used);
}
