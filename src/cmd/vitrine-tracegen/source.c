/* SPDX-License-Identifier: MIT
 *
 * The source of a group: declarations as constants, the functions that fire, and the registration.
 */
#include "tracegen.h"

#include <inttypes.h>
#include <string.h>

#include "trace/decl/conversion.h"

/* True if row `row`, argument `arg` is the first to use its set of words. */
static bool first_use(const struct trace_decls *decls, size_t row, unsigned arg)
{
    const struct trace_words *words = decls->row[row]->arg[arg].words;
    for (size_t i = 0; i <= row; i++) {
        unsigned n = i == row ? arg : decls->row[i]->nargs;
        for (unsigned a = 0; a < n; a++) {
            if (decls->row[i]->arg[a].words == words) {
                return false;
            }
        }
    }
    return words != NULL;
}

static void put_words(struct strbuf *out, const struct trace_words *words)
{
    strbuf_printf(out, "static const struct trace_word words_%s[] = {\n", words->name);
    for (unsigned i = 0; i < words->count; i++) {
        strbuf_printf(out, "    {UINT64_C(0x%" PRIx64 "), \"%s\"},\n", words->row[i].value,
                      words->row[i].word);
    }
    strbuf_printf(
        out, "};\nstatic const struct trace_words set_%s = {\"%s\", %s, %u, words_%s};\n\n",
        words->name, words->name, words->flags ? "true" : "false", words->count, words->name);
}

static void put_all_words(struct strbuf *out, const struct trace_decls *decls)
{
    for (size_t i = 0; i < decls->count; i++) {
        for (unsigned a = 0; a < decls->row[i]->nargs; a++) {
            if (first_use(decls, i, a)) {
                put_words(out, decls->row[i]->arg[a].words);
            }
        }
    }
}

static const char *kind_name(enum trace_kind kind)
{
    switch (kind) {
    case TRACE_UNSIGNED: return "TRACE_UNSIGNED";
    case TRACE_SIGNED: return "TRACE_SIGNED";
    case TRACE_BOOL: return "TRACE_BOOL";
    case TRACE_POINTER: return "TRACE_POINTER";
    case TRACE_STRING: return "TRACE_STRING";
    }
    bug("an argument of kind %d", (int)kind);
}

static void put_decl(struct strbuf *out, const struct trace_decl *decl)
{
    strbuf_printf(out, "static const struct trace_decl decl_%s = {\n    .name = \"%s\",\n",
                  decl->name, decl->name);
    strbuf_printf(out, "    .nargs = %u,\n", decl->nargs);
    if (decl->nargs) {
        strbuf_puts(out, "    .arg =\n        {\n");
        for (unsigned i = 0; i < decl->nargs; i++) {
            const struct trace_arg *arg = &decl->arg[i];
            strbuf_printf(out, "            {\"%s\", \"%s\", %s, %u, %s%s},\n", arg->name,
                          arg->type, kind_name(arg->kind), arg->bits, arg->words ? "&set_" : "NULL",
                          arg->words ? arg->words->name : "");
        }
        strbuf_puts(out, "        },\n");
    }
    if (decl->strings) {
        strbuf_printf(out, "    .strings = 0x%" PRIx32 ",\n", decl->strings);
    }
    strbuf_puts(out, decl->disabled ? "    .disabled = true,\n" : "");
    strbuf_puts(out, decl->vcpu ? "    .vcpu = true,\n" : "");
    strbuf_puts(out, "    .format = ");
    tracegen_literal(out, decl->format);
    strbuf_puts(out, ",\n");
    if (decl->source) {
        strbuf_puts(out, "    .source = ");
        tracegen_literal(out, decl->source);
        strbuf_puts(out, ",\n");
    }
    strbuf_printf(out, "    .line = %u,\n};\n", decl->line);
}

static void put_event(struct strbuf *out, const struct trace_decl *decl)
{
    if (decl->disabled) {
        strbuf_printf(out, "static union trace_enable trace_enable_%s;\n", decl->name);
    } else {
        strbuf_printf(out,
                      "union trace_enable trace_enable_%s __attribute__((section(\".probes\")));\n",
                      decl->name);
        /* sys/sdt.h wants the semaphore by the name of its symbol. */
        strbuf_printf(out,
                      "extern union trace_enable qemu_%s_semaphore "
                      "__attribute__((visibility(\"hidden\")));\n",
                      decl->name);
    }
    strbuf_puts(out, "struct trace_event _TRACE_");
    tracegen_upper(out, decl->name);
    strbuf_printf(out, "_EVENT = {.decl = &decl_%s, .enable = &trace_enable_%s};\n", decl->name,
                  decl->name);
}

/* Types alone: "int, const char *". */
static void put_types(struct strbuf *out, const struct trace_decl *decl)
{
    for (unsigned i = 0; i < decl->nargs; i++) {
        strbuf_printf(out, "%s%s", i ? ", " : "", decl->arg[i].type);
    }
    strbuf_puts(out, decl->nargs ? "" : "void");
}

static void put_values(struct strbuf *out, const struct trace_decl *decl)
{
    strbuf_puts(out, "    const uint64_t ");
    tracegen_local(out, decl, "values");
    strbuf_puts(out, "[] = {");
    for (unsigned i = 0; i < decl->nargs; i++) {
        const struct trace_arg *arg = &decl->arg[i];
        const char *cast = "";
        if (arg->kind == TRACE_SIGNED) {
            cast = "(uint64_t)(int64_t)";
        } else if (arg->kind == TRACE_POINTER || arg->kind == TRACE_STRING) {
            cast = "(uintptr_t)";
        }
        strbuf_printf(out, "%s%s%s", i ? ", " : "", cast, arg->name);
    }
    strbuf_puts(out, "};\n");
}

static void put_fire(struct strbuf *out, const struct trace_decl *decl)
{
    struct strbuf event, lttng;
    strbuf_init(&event);
    strbuf_puts(&event, "_TRACE_");
    tracegen_upper(&event, decl->name);
    strbuf_puts(&event, "_EVENT");
    strbuf_init(&lttng);
    tracegen_local(&lttng, decl, "lttng");

    strbuf_printf(out, "\nvoid trace_fire_%s(", decl->name);
    tracegen_parameters(out, decl);
    strbuf_puts(out, ")\n{\n");
    if (decl->format[0]) { /* compilers complain about empty formats */
        strbuf_puts(out, "    if (0) {\n        trace_format_check(");
        trace_decl_format_source(out, decl);
        tracegen_names(out, decl, ", ");
        strbuf_puts(out, ");\n    }\n");
    }
    strbuf_puts(out, "    STAP_PROBE");
    if (decl->nargs) {
        strbuf_printf(out, "%u", decl->nargs);
    }
    strbuf_printf(out, "(qemu, %s", decl->name);
    tracegen_names(out, decl, ", ");
    strbuf_printf(out, ");\n    void (*%s)(void) = __atomic_load_n(&%s.lttng, __ATOMIC_ACQUIRE);\n",
                  lttng.data, event.data);
    strbuf_printf(out, "    if (%s) {\n        ((void (*)(", lttng.data);
    put_types(out, decl);
    strbuf_printf(out, "))%s)(", lttng.data);
    tracegen_names(out, decl, "");
    strbuf_puts(out, ");\n    }\n");
    if (decl->nargs) {
        put_values(out, decl);
    }
    strbuf_printf(out, "    trace_fire(&%s, ", event.data);
    if (decl->nargs) {
        tracegen_local(out, decl, "values");
    } else {
        strbuf_puts(out, "NULL");
    }
    strbuf_puts(out, ");\n}\n");
    strbuf_free(&event);
    strbuf_free(&lttng);
}

static void put_group(struct strbuf *out, const struct trace_decls *decls, const char *group)
{
    if (decls->count) {
        strbuf_puts(out, "\nstatic struct trace_event *const events[] = {\n");
        for (size_t i = 0; i < decls->count; i++) {
            strbuf_puts(out, "    &_TRACE_");
            tracegen_upper(out, decls->row[i]->name);
            strbuf_puts(out, "_EVENT,\n");
        }
        strbuf_puts(out, "};\n");
    }
    strbuf_printf(
        out, "\nstatic struct trace_group group = {.name = \"%s\", .event = %s, .count = %zu};\n",
        group, decls->count ? "events" : "NULL", decls->count);
    strbuf_puts(out, "\n__attribute__((constructor)) static void register_group(void)\n{\n"
                     "    trace_group_register(&group);\n}\n");
}

void tracegen_source(struct strbuf *out, const struct tracegen *gen, const char *group,
                     const char *header)
{
    strbuf_puts(out, "/* ");
    tracegen_made_by(out, gen);
    strbuf_printf(out, " */\n#include \"%s\"\n\n#include <inttypes.h>\n\n", header);
    strbuf_puts(out, "#include \"trace/probe/generated.h\"\n\n");
    put_all_words(out, gen->decls);
    for (size_t i = 0; i < gen->decls->count; i++) {
        const struct trace_decl *decl = gen->decls->row[i];
        strbuf_printf(out, "%s/* %s: %s:%u%s */\n", i ? "\n" : "", decl->name, gen->input[0].shown,
                      decl->line, decl->disabled ? ", disabled" : "");
        put_decl(out, decl);
        put_event(out, decl);
        if (!decl->disabled) {
            put_fire(out, decl);
        }
    }
    put_group(out, gen->decls, group);
}
