/* SPDX-License-Identifier: MIT
 *
 * Events as text: what printf would write for the declared format, without its cost, and without
 * its trust in the format. */
#include "trace/decl/conversion.h"

#include <string.h>

#include "base/digits.h"

/* The end of the text, collected before it goes to the string: most pieces are a few bytes long. */
struct window {
    struct strbuf *out;
    char *cur;
    char text[512];
};

static void flush(struct window *w)
{
    strbuf_add(w->out, w->text, (size_t)(w->cur - w->text));
    w->cur = w->text;
}

static inline char *room(struct window *w, size_t len)
{
    if ((size_t)(w->text + sizeof w->text - w->cur) < len) {
        flush(w);
    }
    return w->cur;
}

static void put(struct window *w, const char *text, size_t len)
{
    if (len > sizeof w->text) {
        flush(w);
        strbuf_add(w->out, text, len);
        return;
    }
    memcpy(room(w, len), text, len);
    w->cur += len;
}

/* Text of a number, filled from the end: digits, sign, 0x and zeros. */
struct digits {
    char *begin, *end;
    char text[TRACE_WIDTH_MAX + 40];
};

/* Blanks up to the width, before or after. */
static void put_padded(struct window *w, const struct trace_conversion *c, const char *text,
                       size_t len)
{
    size_t pad = c->width > 0 && (size_t)c->width > len ? (size_t)c->width - len : 0;
    if (c->left) {
        put(w, text, len);
    }
    for (; pad; pad--) {
        *room(w, 1) = ' ';
        w->cur++;
    }
    if (!c->left) {
        put(w, text, len);
    }
}

/* The bits that the length modifier lets through, sign-extended when `is_signed`. */
static uint64_t narrow(const struct trace_conversion *c, uint64_t value, bool is_signed)
{
    switch (c->length) {
    case TRACE_LENGTH_HH: return is_signed ? (uint64_t)(int8_t)value : (uint8_t)value;
    case TRACE_LENGTH_H: return is_signed ? (uint64_t)(int16_t)value : (uint16_t)value;
    case TRACE_LENGTH_NONE: return is_signed ? (uint64_t)(int32_t)value : (uint32_t)value;
    default: return value;
    }
}

static void put_digits(struct digits *d, uint64_t value, char letter)
{
    char *p = d->end;
    if (letter == 'x' || letter == 'X') {
        const char *set = letter == 'x' ? "0123456789abcdef" : "0123456789ABCDEF";
        for (; value; value >>= 4) {
            *--p = set[value & 15];
        }
    } else if (letter == 'o') {
        for (; value; value >>= 3) {
            *--p = (char)('0' + (value & 7));
        }
    } else {
        for (; value; value /= 10) {
            *--p = (char)('0' + value % 10);
        }
    }
    d->begin = p;
}

/* True when nothing changes the usual text of a number. */
static bool is_plain(const struct trace_conversion *c)
{
    return c->width <= 0 && c->precision < 0 && !c->plus && !c->space;
}

/* The usual text, as most conversions want it. */
static bool put_plain(struct window *w, char letter, bool negative, uint64_t value)
{
    uint8_t *p = (uint8_t *)room(w, DIGITS_ROOM + 1);
    if (letter == 'x') {
        size_t n = (size_t)(digits_hex(p, value) - p) - 2;
        memmove(p, p + 2, n); /* without its 0x */
        p += n;
    } else if (letter == 'd' || letter == 'u' || letter == 'i') {
        *p = '-';
        p = digits_decimal(p + negative, negative ? 0 - value : value);
    } else {
        return false;
    }
    w->cur = (char *)p;
    return true;
}

static void put_integer(struct window *w, const struct trace_conversion *c, uint64_t value)
{
    bool is_signed = c->letter == 'd' || c->letter == 'i';
    value = narrow(c, value, is_signed);
    bool negative = is_signed && (int64_t)value < 0;
    if (is_plain(c) && !c->alternate && put_plain(w, c->letter, negative, value)) {
        return;
    }
    struct digits d;
    d.end = d.text + sizeof d.text;
    put_digits(&d, negative ? 0 - value : value, c->letter);

    const char *prefix = "";
    if (is_signed) {
        prefix = negative ? "-" : c->plus ? "+" : c->space ? " " : "";
    } else if (c->alternate && value && c->letter != 'u' && c->letter != 'o') {
        prefix = c->letter == 'x' ? "0x" : "0X";
    }
    size_t prefix_len = strlen(prefix);
    size_t least = c->precision < 0 ? 1 : (size_t)c->precision;
    if (c->zero && !c->left && c->precision < 0 && c->width > (int)prefix_len) {
        least = (size_t)c->width - prefix_len;
    }
    while ((size_t)(d.end - d.begin) < least) {
        *--d.begin = '0';
    }
    if (c->alternate && c->letter == 'o' && (d.begin == d.end || *d.begin != '0')) {
        *--d.begin = '0';
    }
    d.begin -= prefix_len;
    memcpy(d.begin, prefix, prefix_len);
    put_padded(w, c, d.begin, (size_t)(d.end - d.begin));
}

static void put_address(struct window *w, const struct trace_conversion *c, uint64_t value)
{
    if (!value) {
        put_padded(w, c, "(nil)", 5);
        return;
    }
    if (is_plain(c)) {
        w->cur = (char *)digits_hex((uint8_t *)room(w, DIGITS_ROOM), value);
        return;
    }
    struct trace_conversion hex = *c;
    hex.letter = 'x';
    hex.alternate = true;
    hex.length = TRACE_LENGTH_L;
    put_integer(w, &hex, value);
}

static void put_string(struct window *w, const struct trace_conversion *c, uint64_t value,
                       uint32_t length)
{
    const char *text = (const char *)(uintptr_t)value;
    if (!text) {
        text = "(null)";
        length = c->precision >= 0 && c->precision < 6 ? 0 : 6;
    }
    if (c->precision >= 0 && length > (uint32_t)c->precision) {
        length = (uint32_t)c->precision;
    }
    put_padded(w, c, text, length);
}

/* A value whose conversion does not fit, by its kind alone. */
static void put_by_kind(struct window *w, const struct trace_arg *arg, uint64_t value,
                        uint32_t length)
{
    struct trace_conversion c = {.width = -1, .precision = -1, .length = TRACE_LENGTH_L};
    switch (arg->kind) {
    case TRACE_STRING: put_string(w, &c, value, length); return;
    case TRACE_POINTER: put_address(w, &c, value); return;
    case TRACE_SIGNED: c.letter = 'd'; break;
    case TRACE_UNSIGNED:
    case TRACE_BOOL: c.letter = 'u'; break;
    }
    put_integer(w, &c, value);
}

static void put_value(struct window *w, const struct trace_conversion *c,
                      const struct trace_arg *arg, uint64_t value, uint32_t length)
{
    bool number = arg->kind != TRACE_STRING && arg->kind != TRACE_POINTER;
    if (number && trace_conversion_is_integer(c)) {
        put_integer(w, c, value);
    } else if (number && c->letter == 'c') {
        char text = (char)value;
        put_padded(w, c, &text, 1);
    } else if (arg->kind == TRACE_STRING && c->letter == 's') {
        put_string(w, c, value, length);
    } else if (arg->kind == TRACE_POINTER && c->letter == 'p') {
        put_address(w, c, value);
    } else {
        put_by_kind(w, arg, value, length);
    }
}

/* The int behind a `*`, kept within bounds. */
static int star(const struct trace_decl *decl, const uint64_t *values, unsigned arg)
{
    enum trace_kind kind = decl->arg[arg].kind;
    if (kind == TRACE_STRING || kind == TRACE_POINTER) {
        return 0;
    }
    int32_t n = (int32_t)values[arg];
    return n > TRACE_WIDTH_MAX ? TRACE_WIDTH_MAX : n < -TRACE_WIDTH_MAX ? -TRACE_WIDTH_MAX : n;
}

/* Takes the values that a conversion's stars stand for. */
static void take_stars(struct trace_conversion *c, const struct trace_decl *decl,
                       const uint64_t *values, unsigned *arg)
{
    if (c->width_arg) {
        c->width = star(decl, values, (*arg)++);
        if (c->width < 0) {
            c->left = true;
            c->width = -c->width;
        }
    }
    if (c->precision_arg) {
        c->precision = star(decl, values, (*arg)++); /* negative: none, as in printf */
        c->precision = c->precision < 0 ? -1 : c->precision;
    }
}

void trace_decl_render(struct strbuf *out, const struct trace_decl *decl, const uint64_t *values,
                       const uint32_t *lengths)
{
    struct window w;
    w.out = out;
    w.cur = w.text;
    unsigned arg = 0;
    for (const char *text = decl->format; *text;) {
        if (*text != '%') {
            *room(&w, 1) = *text++;
            w.cur++;
            continue;
        }
        struct trace_conversion c;
        trace_conversion_parse(text, &c);
        text = c.end;
        unsigned needed = 1u + c.width_arg + c.precision_arg;
        if (c.letter == '%') {
            put(&w, "%", 1);
        } else if (!trace_conversion_takes_argument(&c) || arg + needed > decl->nargs) {
            put(&w, c.start, (size_t)(c.end - c.start));
        } else {
            take_stars(&c, decl, values, &arg);
            put_value(&w, &c, &decl->arg[arg], values[arg],
                      decl->arg[arg].kind == TRACE_STRING ? lengths[arg] : 0);
            arg++;
        }
    }
    flush(&w);
}
