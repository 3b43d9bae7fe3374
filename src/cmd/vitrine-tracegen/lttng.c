/* SPDX-License-Identifier: MIT
 *
 * An LTTng-UST provider for the events: tracepoint definitions, and functions that fire them, which
 * a program finds in a table (trace/write/lttng.h). */
#include "tracegen.h"

#include <string.h>

#include "trace/decl/conversion.h"

/* True if the format shows the argument in hexadecimal. */
static bool shown_in_hex(const struct trace_decl *decl, unsigned arg)
{
    unsigned shown = 0;
    for (const char *p = decl->format; (p = strchr(p, '%'));) {
        struct trace_conversion c;
        trace_conversion_parse(p, &c);
        p = c.end;
        if (!trace_conversion_takes_argument(&c)) {
            continue;
        }
        shown += c.width_arg + c.precision_arg;
        if (shown++ == arg) {
            return c.letter == 'x' || c.letter == 'X';
        }
    }
    return false;
}

static void put_field(struct strbuf *out, const struct trace_decl *decl, unsigned i)
{
    const struct trace_arg *arg = &decl->arg[i];
    const char *name = arg->name;
    const char *kind = shown_in_hex(decl, i) ? "integer_hex" : "integer";
    switch (arg->kind) {
    case TRACE_STRING:
        strbuf_printf(out, "lttng_ust_field_string(%s, %s ? %s : \"(null)\")", name, name, name);
        break;
    case TRACE_POINTER:
        strbuf_printf(out, "lttng_ust_field_integer_hex(uint64_t, %s, (uintptr_t)%s)", name, name);
        break;
    case TRACE_BOOL:
        strbuf_printf(out, "lttng_ust_field_%s(uint8_t, %s, %s)", kind, name, name);
        break;
    case TRACE_SIGNED:
    case TRACE_UNSIGNED:
        strbuf_printf(out, "lttng_ust_field_%s(%sint%u_t, %s, %s)", kind,
                      arg->kind == TRACE_UNSIGNED ? "u" : "", arg->bits, name, name);
        break;
    }
}

static void put_tracepoint(struct strbuf *out, const struct trace_decl *decl)
{
    strbuf_printf(out, "\nLTTNG_UST_TRACEPOINT_EVENT(qemu, %s,\n    LTTNG_UST_TP_ARGS(",
                  decl->name);
    for (unsigned i = 0; i < decl->nargs; i++) {
        strbuf_printf(out, "%s%s, %s", i ? ", " : "", decl->arg[i].type, decl->arg[i].name);
    }
    strbuf_puts(out, "),\n    LTTNG_UST_TP_FIELDS(");
    for (unsigned i = 0; i < decl->nargs; i++) {
        strbuf_puts(out, "\n        ");
        put_field(out, decl, i);
    }
    strbuf_puts(out, "))\n");
}

void tracegen_lttng_header(struct strbuf *out, const struct tracegen *gen, const char *name)
{
    strbuf_puts(out, "/* ");
    tracegen_made_by(out, gen);
    strbuf_puts(out, " */\n"
                     "#undef LTTNG_UST_TRACEPOINT_PROVIDER\n"
                     "#define LTTNG_UST_TRACEPOINT_PROVIDER qemu\n\n"
                     "#undef LTTNG_UST_TRACEPOINT_INCLUDE\n");
    strbuf_printf(out, "#define LTTNG_UST_TRACEPOINT_INCLUDE \"./%s\"\n\n", name);
    strbuf_puts(out, "/* LTTng includes this file several times. */\n"
                     "#if !defined(TRACE_LTTNG_PROVIDER_H) || "
                     "defined(LTTNG_UST_TRACEPOINT_HEADER_MULTI_READ)\n"
                     "#define TRACE_LTTNG_PROVIDER_H\n\n"
                     "#include <lttng/tracepoint.h>\n"
                     "#include <stdbool.h>\n"
                     "#include <stddef.h>\n"
                     "#include <stdint.h>\n"
                     "#include <sys/types.h>\n");
    for (size_t i = 0; i < gen->decls->count; i++) {
        put_tracepoint(out, gen->decls->row[i]);
    }
    strbuf_puts(out, "\n#endif\n\n#include <lttng/tracepoint-event.h>\n");
}

void tracegen_lttng_source(struct strbuf *out, const struct tracegen *gen, const char *header)
{
    strbuf_puts(out, "/* ");
    tracegen_made_by(out, gen);
    strbuf_printf(out,
                  " */\n#define LTTNG_UST_TRACEPOINT_CREATE_PROBES\n"
                  "#define LTTNG_UST_TRACEPOINT_DEFINE\n#include \"%s\"\n\n"
                  "#include \"trace/write/lttng.h\"\n",
                  header);
    for (size_t i = 0; i < gen->decls->count; i++) {
        const struct trace_decl *decl = gen->decls->row[i];
        strbuf_printf(out, "\nstatic void fire_%s(", decl->name);
        tracegen_parameters(out, decl);
        strbuf_printf(out, ")\n{\n    lttng_ust_tracepoint(qemu, %s", decl->name);
        tracegen_names(out, decl, ", ");
        strbuf_printf(out, ");\n}\nstatic int live_%s(void)\n{\n", decl->name);
        strbuf_printf(out, "    return lttng_ust_tracepoint_enabled(qemu, %s) != 0;\n}\n",
                      decl->name);
    }
    strbuf_puts(out, "\nconst struct trace_lttng_row TRACE_LTTNG_ROWS[] = {\n");
    for (size_t i = 0; i < gen->decls->count; i++) {
        const char *name = gen->decls->row[i]->name;
        strbuf_printf(out, "    {\"%s\", (void (*)(void))fire_%s, live_%s},\n", name, name, name);
    }
    strbuf_puts(out, "    {NULL, NULL, NULL},\n};\n");
}
