/* SPDX-License-Identifier: MIT
 *
 * The header of a group: what code that fires the probes sees. */
#include "tracegen.h"

static void put_enabled(struct strbuf *out, const struct trace_decl *decl)
{
    const char *name = decl->name;
    strbuf_printf(out, "extern union trace_enable trace_enable_%s\n", name);
    strbuf_printf(
        out, "    __asm__(\"qemu_%s_semaphore\") __attribute__((visibility(\"hidden\")));\n", name);
    strbuf_puts(out, "extern struct trace_event _TRACE_");
    tracegen_upper(out, name);
    strbuf_printf(out, "_EVENT;\nvoid trace_fire_%s(", name);
    tracegen_parameters(out, decl);
    strbuf_printf(out, ");\n#define trace_%s(", name);
    tracegen_names(out, decl, "");
    strbuf_printf(out, ") \\\n    (trace_live(&trace_enable_%s) ? trace_fire_%s(", name, name);
    tracegen_names(out, decl, "");
    strbuf_puts(out, ") : (void)0)\n");
}

static void put_disabled(struct strbuf *out, const struct trace_decl *decl)
{
    const char *name = decl->name;
    strbuf_puts(out, "extern struct trace_event _TRACE_");
    tracegen_upper(out, name);
    strbuf_printf(out, "_EVENT;\nstatic inline void trace_fire_%s(", name);
    tracegen_parameters(out, decl);
    strbuf_puts(out, ")\n{\n");
    for (unsigned i = 0; i < decl->nargs; i++) {
        strbuf_printf(out, "    (void)%s;\n", decl->arg[i].name);
    }
    strbuf_printf(out, "}\n#define trace_%s(", name);
    tracegen_names(out, decl, "");
    strbuf_printf(out, ") (0 ? trace_fire_%s(", name);
    tracegen_names(out, decl, "");
    strbuf_puts(out, ") : (void)0)\n");
}

static void put_event(struct strbuf *out, const struct trace_decl *decl, const char *origin)
{
    strbuf_printf(out, "\n/* %s: %s:%u%s */\n#define TRACE_", decl->name, origin, decl->line,
                  decl->disabled ? ", disabled" : "");
    tracegen_upper(out, decl->name);
    strbuf_printf(out, "_ENABLED %d\n#define TRACE_", !decl->disabled);
    tracegen_upper(out, decl->name);
    if (decl->disabled) {
        strbuf_puts(out, "_BACKEND_DSTATE() false\n");
        put_disabled(out, decl);
    } else {
        strbuf_printf(out, "_BACKEND_DSTATE() trace_live(&trace_enable_%s)\n", decl->name);
        put_enabled(out, decl);
    }
}

void tracegen_header(struct strbuf *out, const struct tracegen *gen, const char *group)
{
    struct strbuf guard;
    strbuf_init(&guard);
    strbuf_puts(&guard, "TRACE_");
    tracegen_upper(&guard, group);
    strbuf_puts(&guard, "_H");
    strbuf_puts(out, "/* ");
    tracegen_made_by(out, gen);
    strbuf_printf(out, " */\n#ifndef %s\n#define %s\n\n", guard.data, guard.data);
    strbuf_puts(out, "#include \"trace/trace.h\"\n");
    for (size_t i = 0; i < gen->decls->count; i++) {
        put_event(out, gen->decls->row[i], gen->input[0].shown);
    }
    strbuf_puts(out, "\n#endif\n");
    strbuf_free(&guard);
}
