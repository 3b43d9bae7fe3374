/* SPDX-License-Identifier: MIT
 *
 * A SystemTap tapset: for each event an alias PREFIX.EVENT with the arguments by name. Strings are
 * addresses, for user_string(). */
#include "tracegen.h"

#include <string.h>

/* Words of SystemTap's language: arguments of these names get a '_'. */
static const char *const keywords[] = {
    "break",   "catch",    "const",  "continue", "delete", "else",  "error", "for",
    "foreach", "function", "global", "if",       "in",     "limit", "long",  "next",
    "private", "probe",    "return", "string",   "try",    "while",
};

static const char *after_name(const char *name)
{
    for (size_t i = 0; i < sizeof keywords / sizeof keywords[0]; i++) {
        if (strcmp(keywords[i], name) == 0) {
            return "_";
        }
    }
    return "";
}

void tracegen_stap(struct strbuf *out, const struct tracegen *gen, const char *binary,
                   const char *prefix)
{
    strbuf_puts(out, "/* ");
    tracegen_made_by(out, gen);
    strbuf_puts(out, " */\n");
    for (size_t i = 0; i < gen->decls->count; i++) {
        const struct trace_decl *decl = gen->decls->row[i];
        if (decl->disabled) {
            continue;
        }
        strbuf_printf(out, "\nprobe %s.%s = process(", prefix, decl->name);
        tracegen_literal(out, binary);
        strbuf_printf(out, ").mark(\"%s\")\n{\n", decl->name);
        for (unsigned a = 0; a < decl->nargs; a++) {
            const char *name = decl->arg[a].name;
            strbuf_printf(out, "    %s%s = $arg%u;\n", name, after_name(name), a + 1);
        }
        strbuf_puts(out, "}\n");
    }
}
