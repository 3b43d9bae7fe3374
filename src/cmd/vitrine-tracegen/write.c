/* SPDX-License-Identifier: MIT
 *
 * Pieces of generated text that several outputs share. */
#include "tracegen.h"

#include <string.h>

void tracegen_literal(struct strbuf *out, const char *text)
{
    strbuf_putc(out, '"');
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;
        if (c == '"' || c == '\\') {
            strbuf_printf(out, "\\%c", c);
        } else if (c < 0x20 || c == 0x7f) {
            strbuf_printf(out, "\\%03o", c);
        } else {
            strbuf_putc(out, (char)c);
        }
    }
    strbuf_putc(out, '"');
}

void tracegen_upper(struct strbuf *out, const char *text)
{
    for (; *text; text++) {
        strbuf_putc(out, *text >= 'a' && *text <= 'z' ? (char)(*text - 'a' + 'A') : *text);
    }
}

void tracegen_parameters(struct strbuf *out, const struct trace_decl *decl)
{
    for (unsigned i = 0; i < decl->nargs; i++) {
        const char *type = decl->arg[i].type;
        bool star = type[strlen(type) - 1] == '*';
        strbuf_printf(out, "%s%s%s%s", i ? ", " : "", type, star ? "" : " ", decl->arg[i].name);
    }
    strbuf_puts(out, decl->nargs ? "" : "void");
}

void tracegen_names(struct strbuf *out, const struct trace_decl *decl, const char *before)
{
    for (unsigned i = 0; i < decl->nargs; i++) {
        strbuf_printf(out, "%s%s", i ? ", " : before, decl->arg[i].name);
    }
}

/* A path inside a comment. */
static void put_path(struct strbuf *out, const char *path)
{
    for (; *path; path++) {
        bool ends_comment = *path == '*' && path[1] == '/';
        strbuf_putc(out, (unsigned char)*path < 0x20 || ends_comment ? '?' : *path);
    }
}

void tracegen_made_by(struct strbuf *out, const struct tracegen *gen)
{
    strbuf_puts(out, "Made by vitrine-tracegen from ");
    if (gen->ninputs == 1) {
        put_path(out, gen->input[0].shown);
        strbuf_puts(out, ". Changes belong there.");
    } else {
        strbuf_printf(out, "%zu trace-events files. Changes belong there.", gen->ninputs);
    }
}

void tracegen_local(struct strbuf *out, const struct trace_decl *decl, const char *name)
{
    struct strbuf local;
    bool again = true;
    strbuf_init(&local);
    strbuf_puts(&local, name);
    while (again) {
        again = false;
        for (unsigned i = 0; i < decl->nargs; i++) {
            again |= strcmp(decl->arg[i].name, local.data) == 0;
        }
        strbuf_puts(&local, again ? "_" : "");
    }
    strbuf_puts(out, local.data);
    strbuf_free(&local);
}

/* The last place in a line where it can be broken so that what is before has at most `most` bytes:
 * behind a comma and its blank, outside literals. 0: nowhere. */
static size_t find_break(const char *line, size_t len, size_t most)
{
    size_t found = 0;
    bool literal = false;
    for (size_t i = 0; i + 2 < len && i + 2 <= most; i++) {
        if (literal && line[i] == '\\') {
            i++;
        } else if (line[i] == '"') {
            literal = !literal;
        } else if (!literal && line[i] == ',' && line[i + 1] == ' ') {
            found = i + 2;
        }
    }
    return found;
}

static void wrap_line(struct strbuf *out, const char *line, size_t len, bool macro)
{
    enum { MOST = 98 };
    size_t indent = strspn(line, " ") + 4;
    size_t margin = 0; /* blanks that stand before this piece already */
    while (len + margin > MOST) {
        size_t n = find_break(line, len, MOST - margin);
        if (n == 0) {
            break;
        }
        strbuf_add(out, line, n - 1);
        strbuf_puts(out, macro ? " \\\n" : "\n");
        strbuf_printf(out, "%*s", (int)indent, "");
        margin = indent;
        line += n;
        len -= n;
    }
    strbuf_add(out, line, len);
    strbuf_putc(out, '\n');
}

void tracegen_wrap(struct strbuf *out, const char *text)
{
    bool macro = false, continues = false;
    while (*text) {
        size_t len = strcspn(text, "\n");
        macro = *text == '#' || (macro && continues);
        continues = len && text[len - 1] == '\\';
        wrap_line(out, text, len, macro);
        text += len + (text[len] == '\n');
    }
}
