/* SPDX-License-Identifier: MIT
 *
 * Writing declarations as lines that every release of QEMU's tools reads, and ours. */
#include "trace/decl/internal.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

static const char vcpu_prefix[] = "cpu=%p ";

/* One byte inside a C literal. */
static void put_char(struct strbuf *out, char c)
{
    static const char special[] = "\n\t\r\"\\\a\b\f\v";
    static const char letters[] = "ntr\"\\abfv";
    const char *known = strchr(special, c);
    if (known) {
        strbuf_putc(out, '\\');
        strbuf_putc(out, letters[known - special]);
    } else if ((unsigned char)c < 0x20 || c == 0x7f) {
        strbuf_printf(out, "\\%03o", (unsigned)(unsigned char)c);
    } else {
        strbuf_putc(out, c);
    }
}

static void put_text(struct strbuf *out, const char *text, const char *end)
{
    while (text < end) {
        put_char(out, *text++);
    }
}

/* The PRI family of a conversion: "64" or "PTR" when it shows such an argument with `l`. */
static const char *pri_of(const struct trace_conversion *c, const struct trace_decl *decl,
                          unsigned shown)
{
    if (shown >= decl->nargs || c->length != TRACE_LENGTH_L || !trace_conversion_is_integer(c)) {
        return NULL;
    }
    struct trace_type type = trace_type_of(&decl->arg[shown]);
    return type.pri;
}

/* The format as C source text. `skip` bytes and `shown` arguments in front are left out. */
static void put_format(struct strbuf *out, const struct trace_decl *decl, size_t skip,
                       unsigned shown)
{
    const char *text = decl->format + skip;
    const char *p;
    bool open = true; /* inside a literal */
    strbuf_putc(out, '"');
    while ((p = strchr(text, '%'))) {
        struct trace_conversion c;
        trace_conversion_parse(p, &c);
        if (trace_conversion_takes_argument(&c)) {
            shown += c.width_arg + c.precision_arg;
        }
        const char *pri = pri_of(&c, decl, shown);
        shown += trace_conversion_takes_argument(&c);
        if (!open) {
            strbuf_putc(out, '"');
        }
        put_text(out, text, pri ? c.spec : c.end);
        open = !pri;
        if (pri) {
            strbuf_printf(out, "\"PRI%c%s", c.letter, pri);
        }
        text = c.end;
    }
    if (!open && *text) {
        strbuf_putc(out, '"');
        open = true;
    }
    put_text(out, text, text + strlen(text));
    if (open) {
        strbuf_putc(out, '"');
    }
}

void trace_decl_format_source(struct strbuf *out, const struct trace_decl *decl)
{
    put_format(out, decl, 0, 0);
}

static bool has_arg(const struct trace_decl *decl, const char *name)
{
    for (unsigned i = 1; i < decl->nargs; i++) {
        if (strcmp(decl->arg[i].name, name) == 0) {
            return true;
        }
    }
    return false;
}

static void put_arg(struct strbuf *out, const struct trace_arg *arg, const char *name)
{
    size_t n = strlen(arg->type);
    bool star = n && arg->type[n - 1] == '*';
    strbuf_printf(out, "%s%s%s", arg->type, star ? "" : " ", name);
}

static void put_args_mark(struct strbuf *out, const struct trace_decl *decl)
{
    bool any = false;
    for (unsigned i = 0; i < decl->nargs; i++) {
        if (decl->arg[i].words) {
            strbuf_printf(out, "%s%s:%s", any ? " " : "#@args ", decl->arg[i].name,
                          decl->arg[i].words->name);
            any = true;
        }
    }
    strbuf_puts(out, any ? "\n" : "");
}

void trace_decl_print(struct strbuf *out, const struct trace_decl *decl)
{
    /* With more arguments than a line may have, the property must stay. */
    bool keep_vcpu = decl->vcpu && decl->nargs > TRACE_ARGS_MAX;
    unsigned first = keep_vcpu ? 1 : 0;
    put_args_mark(out, decl);
    strbuf_printf(out, "%s%s%s(", decl->disabled ? "disable " : "", keep_vcpu ? "vcpu " : "",
                  decl->name);
    for (unsigned i = first; i < decl->nargs; i++) {
        const char *name = decl->arg[i].name;
        if (i == 0 && decl->vcpu) {
            name = !has_arg(decl, "cpu") ? "cpu" : !has_arg(decl, "vcpu") ? "vcpu" : "__cpu";
        }
        strbuf_puts(out, i > first ? ", " : "");
        put_arg(out, &decl->arg[i], name);
    }
    strbuf_puts(out, decl->nargs == first ? "void) " : ") ");
    put_format(out, decl, keep_vcpu ? strlen(vcpu_prefix) : 0, first);
    strbuf_putc(out, '\n');
}

/* True, and noted, when the set is met for the first time. Programs hold a copy in each group, so
 * sets are compared by content. */
static bool is_new(const struct trace_words ***seen, size_t *nseen, const struct trace_words *words)
{
    for (size_t i = *nseen; i-- > 0;) {
        if (trace_words_same((*seen)[i], words)) {
            return false;
        }
    }
    *seen = mem_resize(*seen, *nseen + 1, sizeof **seen);
    (*seen)[(*nseen)++] = words;
    return true;
}

void trace_decls_print(struct strbuf *out, const struct trace_decl *const *row, size_t count)
{
    const struct trace_words **seen = NULL;
    size_t nseen = 0;
    for (size_t i = 0; i < count; i++) {
        for (unsigned a = 0; a < row[i]->nargs; a++) {
            const struct trace_words *words = row[i]->arg[a].words;
            if (words && is_new(&seen, &nseen, words)) {
                trace_words_print(out, words);
            }
        }
        trace_decl_print(out, row[i]);
    }
    free(seen);
}
