/* SPDX-License-Identifier: MIT
 *
 * Declarations: the grammar in both dialects with its complaints, types, conversions, words,
 * printing and rendering. */
#include "trace/decl/decl.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "trace/decl/conversion.h"
#include "trace/decl/types.h"

#define COUNT(list) (sizeof(list) / sizeof((list)[0]))

static void collect(void *opaque, const char *sentence)
{
    struct strbuf *out = opaque;
    strbuf_puts(out, sentence);
    strbuf_putc(out, '\n');
}

/* Reads text; the complaint, if any, goes to `err`, warnings to `warnings` (or nowhere). */
static bool parse(struct trace_decls *d, enum trace_dialect dialect, const char *text,
                  struct strbuf *warnings, struct error *err)
{
    return trace_decls_parse(d, dialect, "f", text, strlen(text), warnings ? collect : NULL,
                             warnings, err);
}

static struct trace_decls *must_parse(enum trace_dialect dialect, const char *text)
{
    struct trace_decls *d = trace_decls_new();
    struct error err;
    if (!parse(d, dialect, text, NULL, &err)) {
        fail_msg("%s\n%s", err.text, text);
    }
    return d;
}

/* ---- the grammar ---- */

static void one_line_is_read_whole(void **state)
{
    (void)state;
    struct trace_decls *d =
        must_parse(TRACE_DIALECT_OWN, "# a comment of several words.\n\n  \t \n# dir/seat.c\n"
                                      "disable take(int seat, const char *who, uint64_t when) "
                                      "\"seat %d (%s) \" \"at 0x%\"PRIx64\" ok\"\n");
    assert_int_equal(d->count, 1);
    const struct trace_decl *t = trace_decls_find(d, "take");
    assert_non_null(t);
    assert_ptr_equal(t, d->row[0]);
    assert_string_equal(t->name, "take");
    assert_string_equal(t->format, "seat %d (%s) at 0x%lx ok");
    assert_string_equal(t->source, "dir/seat.c");
    assert_int_equal(t->line, 5);
    assert_int_equal(t->nargs, 3);
    assert_true(t->disabled);
    assert_false(t->vcpu || t->tcg);
    assert_int_equal(t->strings, 2);
    assert_string_equal(t->arg[0].name, "seat");
    assert_string_equal(t->arg[1].type, "const char *");
    assert_int_equal(t->arg[1].kind, TRACE_STRING);
    assert_int_equal(t->arg[2].kind, TRACE_UNSIGNED);
    assert_int_equal(t->arg[2].bits, 64);
    assert_null(t->arg[2].words);
    assert_null(trace_decls_find(d, "tak"));
    assert_null(trace_decls_find(d, ""));
    trace_decls_free(d);
}

static void types_have_kinds_and_widths(void **state)
{
    (void)state;
    static const struct {
        const char *type, *spelling;
        enum trace_kind kind;
        unsigned bits;
    } rows[] = {
        {"int", "int", TRACE_SIGNED, 32},
        {"unsigned", "unsigned", TRACE_UNSIGNED, 32},
        {"unsigned  int", "unsigned int", TRACE_UNSIGNED, 32},
        {"signed", "signed", TRACE_SIGNED, 32},
        {"long", "long", TRACE_SIGNED, 64},
        {"long unsigned int", "long unsigned int", TRACE_UNSIGNED, 64},
        {"unsigned long long", "unsigned long long", TRACE_UNSIGNED, 64},
        {"short", "short", TRACE_SIGNED, 16},
        {"unsigned short int", "unsigned short int", TRACE_UNSIGNED, 16},
        {"char", "char", TRACE_SIGNED, 8},
        {"unsigned char", "unsigned char", TRACE_UNSIGNED, 8},
        {"bool", "bool", TRACE_BOOL, 8},
        {"int8_t", "int8_t", TRACE_SIGNED, 8},
        {"uint8_t", "uint8_t", TRACE_UNSIGNED, 8},
        {"int16_t", "int16_t", TRACE_SIGNED, 16},
        {"uint16_t", "uint16_t", TRACE_UNSIGNED, 16},
        {"int32_t", "int32_t", TRACE_SIGNED, 32},
        {"uint32_t", "uint32_t", TRACE_UNSIGNED, 32},
        {"int64_t", "int64_t", TRACE_SIGNED, 64},
        {"const uint64_t", "const uint64_t", TRACE_UNSIGNED, 64},
        {"size_t", "size_t", TRACE_UNSIGNED, 64},
        {"ssize_t", "ssize_t", TRACE_SIGNED, 64},
        {"uintptr_t", "uintptr_t", TRACE_UNSIGNED, 64},
        {"ptrdiff_t", "ptrdiff_t", TRACE_SIGNED, 64},
        {"void *", "void *", TRACE_POINTER, 64},
        {"const void*", "const void *", TRACE_POINTER, 64},
        {"char *", "char *", TRACE_STRING, 64},
        {"char*", "char *", TRACE_STRING, 64},
        {"const char *", "const char *", TRACE_STRING, 64},
        {"const char*", "const char *", TRACE_STRING, 64},
        {"char **", "char **", TRACE_POINTER, 64},
        {"const char * *", "const char **", TRACE_POINTER, 64},
        {"unsigned char *", "unsigned char *", TRACE_POINTER, 64},
        {"char const *", "char const *", TRACE_POINTER, 64},
        {"uint8_t *", "uint8_t *", TRACE_POINTER, 64},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        char text[128];
        snprintf(text, sizeof text, "e(%s x) \"%%s\"\n", rows[i].type);
        struct trace_decls *d = must_parse(TRACE_DIALECT_ANY, text);
        const struct trace_arg *arg = &d->row[0]->arg[0];
        assert_string_equal(arg->type, rows[i].spelling);
        assert_string_equal(arg->name, "x");
        if (arg->kind != rows[i].kind || arg->bits != rows[i].bits) {
            fail_msg("%s: kind %d, %u bits", rows[i].type, (int)arg->kind, arg->bits);
        }
        assert_int_equal(d->row[0]->strings, rows[i].kind == TRACE_STRING);
        trace_decls_free(d);
    }
}

/* One wrong text, the column, and a piece of the sentence. */
struct wrong {
    const char *text;
    unsigned line, column;
    const char *says;
};

static void check_wrong(enum trace_dialect dialect, const struct wrong *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct trace_decls *d = trace_decls_new();
        struct error err;
        char place[64];
        if (parse(d, dialect, rows[i].text, NULL, &err)) {
            fail_msg("accepted: %s", rows[i].text);
        }
        snprintf(place, sizeof place, "f:%u:%u: ", rows[i].line, rows[i].column);
        if (strncmp(err.text, place, strlen(place)) != 0 || !strstr(err.text, rows[i].says)) {
            fail_msg("%s\nexpected %s...%s\n%s", err.text, place, rows[i].says, rows[i].text);
        }
        trace_decls_free(d);
    }
}

static void own_dialect_refuses(void **state)
{
    (void)state;
    static const struct wrong rows[] = {
        /* lines */
        {"nonsense\n", 1, 1, "no declaration: expected NAME(TYPE ARG"},
        {"a(void) \"\"\n  nonsense\n", 2, 3, "no declaration"},
        {"a(void) \"x\"", 1, 12, "does not end in a newline"},
        {"# a comment", 1, 12, "does not end in a newline"},
        {"a(void) \"x\"\r\n", 1, 12, "carriage return"},
        {"a(int x \"%d\"\n", 1, 2, "no ')'"},
        {"(int x) \"%d\"\n", 1, 1, "expected the name"},
        {"a-b(int x) \"%d\"\n", 1, 2, "unexpected '-' in a name"},
        {"a (int x) \"%d\"\n", 1, 3, "expected the name"},
        /* properties */
        {"bogus a(void) \"\"\n", 1, 1,
         "unknown property 'bogus': 'disable' and 'vcpu' are allowed"},
        {"disable bogus a(void) \"\"\n", 1, 9, "unknown property 'bogus'"},
        {"tcg a(void) \"\", \"\"\n", 1, 1, "'tcg' belongs to QEMU 2.2 to 6.2"},
        {"disable disable a(void) \"\"\n", 1, 9, "twice"},
        /* arguments */
        {"a() \"\"\n", 1, 3, "empty argument: expected a type and a name, or 'void'"},
        {"a(int x,) \"%d\"\n", 1, 9, "empty argument"},
        {"a(int x, , int y) \"%d%d\"\n", 1, 10, "empty argument"},
        {"a(int) \"%d\"\n", 1, 3, "argument 'int' has no name"},
        {"a(char *) \"%s\"\n", 1, 3, "has no name"},
        {"a(unsigned int) \"%d\"\n", 1, 12, "'int' is a word of a type"},
        {"a(int x-y) \"%d\"\n", 1, 8, "unexpected '-' in an argument's name"},
        {"a(int x, struct bar *b) \"%d %p\"\n", 1, 10, "unknown word 'struct'"},
        {"a(double d) \"%f\"\n", 1, 3, "pointers to anything else are declared as 'void *'"},
        {"a(const hwaddr d) \"%d\"\n", 1, 9, "unknown word 'hwaddr'"},
        {"a(void x) \"%d\"\n", 1, 3, "cannot be of type 'void'"},
        {"a(short char x) \"%d\"\n", 1, 3, "'short char' is no type in C"},
        {"a(const x) \"%d\"\n", 1, 3, "is no type in C"},
        {"a(TCGv x) \"%lx\"\n", 1, 3, "TCGv types"},
        {"a(int if) \"%d\"\n", 1, 7, "'if' is a keyword of C"},
        {"a(int 9x) \"%d\"\n", 1, 7, "begins with a digit"},
        {"a(int NULL) \"%d\"\n", 1, 7, "meaning of its own"},
        {"a(int trace_live) \"%d\"\n", 1, 7, "kept for generated code"},
        {"a(int x, int x) \"%d %d\"\n", 1, 14, "a second argument 'x'"},
        {"a(int a,int b,int c,int d,int e,int f,int g,int h,int i,int j,int k) \"\"\n", 1, 63,
         "too many arguments: an event may have at most 10"},
        {"vcpu a(int a,int b,int c,int d,int e,int f,int g,int h,int i,int j) \"\"\n", 1, 6,
         "at most 9 others"},
        /* names */
        {"a(void) \"\"\na(void) \"\"\n", 2, 1, "event 'a' was declared before"},
        {"live(void) \"\"\n", 1, 1, "'live' is kept"},
        {"fire_a(void) \"\"\n", 1, 1, "'fire_a' is kept"},
        /* formats */
        {"a(void) x\n", 1, 9, "unknown macro 'x'"},
        {"a(void) %d\n", 1, 9, "unexpected '%'"},
        {"a(void) \"x\n", 1, 9, "no end"},
        {"a(void) \"x\\\"\n", 1, 9, "no end"},
        {"a(void) \"x\\\n", 1, 9, "no end"},
        {"a(void) \"x\" \"y\n", 1, 13, "no end"},
        {"a(void) \"x\\n\"\n", 1, 11, "newline is not allowed"},
        {"a(void) \"x\\ny\"\n", 1, 11, "newline is not allowed"},
        {"a(void) \"x\\012y\"\n", 1, 11, "newline is not allowed"},
        {"a(void) \"x\\qy\"\n", 1, 11, "unknown escape '\\q'"},
        {"a(void) \"x\\0y\"\n", 1, 11, "between 1 and 255"},
        {"a(void) \"x\\x\"\n", 1, 11, "hexadecimal digits"},
        {"a(void) \"x\\x100\"\n", 1, 11, "between 1 and 255"},
        {"a(uint64_t v) \"%\"PRIy64\n", 1, 18, "unknown macro 'PRIy64'"},
        {"a(uint64_t v) \"%\"PRIx65\n", 1, 18, "unknown macro 'PRIx65'"},
        {"a(uint64_t v) \"v \"PRIx64\n", 1, 19, "stands behind no '%'"},
        {"a(void) \"x\", \"y\"\n", 1, 12, "unexpected ','"},
        {"a(void) \"%m\"\n", 1, 10, "'%m' is not allowed: the error number"},
        {"a(int x) \"x %n\"\n", 1, 13, "'%n' is not allowed"},
        {"a(int x) \"%y\"\n", 1, 11, "'%y' is not allowed: it is unknown"},
        {"a(int x) \"%d %5%\"\n", 1, 14, "a percent sign is written '%%'"},
        {"a(int x) \"%d %d\"\n", 1, 11, "shows 2 arguments and the event has 1"},
        {"a(int x, int y) \"%d\"\n", 1, 18, "shows 1 of 2 arguments, 'y' is the first left out"},
        {"a(int x)\n", 1, 9, "shows 0 of 1 arguments"},
        {"a(int x) \"%s\"\n", 1, 11, "'%s' does not fit argument 'x' of type 'int'"},
        {"a(int x) \"x=%lx\"\n", 1, 13, "has another width: allowed is %d, %u, %x, %o or %c"},
        {"a(uint64_t x) \"%x\"\n", 1, 16, "allowed is %\"PRId64, %\"PRIu64 or %\"PRIx64"},
        {"a(uint64_t x) \"%llx\"\n", 1, 16, "has another width"},
        {"a(long long x) \"%lx\"\n", 1, 17, "%lld"},
        {"a(size_t x) \"%d\"\n", 1, 14, "%zu"},
        {"a(int x) \"%p\"\n", 1, 11, "needs an address"},
        {"a(void *x) \"%lx\"\n", 1, 13, "needs an integer: allowed is %p"},
        {"a(void *x) \"%s\"\n", 1, 13, "needs a 'const char *'"},
        {"a(char *x) \"%d\"\n", 1, 13, "allowed is %s"},
        {"a(char *x) \"%ls\"\n", 1, 13, "no length modifier"},
        {"a(char *x) \"%05s\"\n", 1, 13, "flags"},
        {"a(int x) \"%+u\"\n", 1, 11, "flags"},
        {"a(uint64_t x) \"%c\"\n", 1, 16, "needs a char"},
        {"a(int x) \"%f\"\n", 1, 11, "shows nothing"},
        {"a(int x) \"%hhd\"\n", 1, 11, "has another width"},
        {"a(long w, int x) \"%*d\"\n", 1, 19, "'*' takes argument 'w'"},
        {"a(int x) \"%2000d\"\n", 1, 11, "at most 1024"},
        /* comment lines */
        {"#@bogus x\n", 1, 1, "unknown line '#@bogus': #@enum, #@flags and #@args are allowed"},
        {"#@enum\n", 1, 7, "name of the set"},
        {"#@enum a-b 0=x\n", 1, 8, "name of the set"},
        {"#@enum a\n", 1, 9, "no words"},
        {"#@enum a x\n", 1, 10, "VALUE=WORD"},
        {"#@enum a 0=x 1x=y\n", 1, 14, "VALUE=WORD"},
        {"#@enum a 0=x 0x1ffffffffffffffff=y\n", 1, 14, "64 bits"},
        {"#@enum a 0=x 1=a,b\n", 1, 16, "a word consists of"},
        {"#@enum a 0=\n", 1, 12, "a word consists of"},
        {"#@enum a 0=x 0=y\n", 1, 14, "has a word already"},
        {"#@enum a 0=x 1=x\n", 1, 16, "has a value already"},
        {"#@enum a 0=x\n#@enum a 0=y\n", 2, 8, "declared before with other words"},
        {"#@enum a 0=x\n#@flags a 0=x\n", 2, 9, "declared before with other words"},
        {"#@args\n", 1, 7, "ARG:SET"},
        {"#@args a\n", 1, 8, "ARG:SET"},
        {"#@args a:b\n", 1, 10, "no set 'b'"},
        {"#@enum s 0=x\n#@args b:s\na(int x) \"%d\"\n", 2, 8, "event 'a' has no argument 'b'"},
        {"#@enum s 0=x\n#@args x:s\na(char *x) \"%s\"\n", 2, 8, "no number"},
        {"#@enum s 300=x\n#@args x:s\na(uint8_t x) \"%d\"\n", 2, 8, "does not fit argument 'x'"},
        {"#@enum s -1=x\n#@args x:s\na(unsigned x) \"%u\"\n", 2, 8, "does not fit argument 'x'"},
        {"#@enum s 0=x\n\n#@args x:s\n", 3, 8, "no declaration follows"},
    };
    check_wrong(TRACE_DIALECT_OWN, rows, COUNT(rows));
}

static void any_dialect_refuses(void **state)
{
    (void)state;
    static const struct wrong rows[] = {
        {"nonsense\n", 1, 1, "no declaration"},
        {"bogus a(void) \"\"\n", 1, 1, "'disable', 'vcpu' and 'tcg' are allowed"},
        {"a(struct x *y) \"%p\"\n", 1, 3, "unknown word 'struct'"},
        {"a(TCGv x) \"%lx\"\n", 1, 3, "TCGv types"},
        {"a() \"\"\n", 1, 3, "empty argument"},
        {"a(void) \"x\n", 1, 9, "no end"},
        {"tcg a(void) \"x\"\n", 1, 16, "two formats"},
        {"tcg a(void) \"x\", \"y\", \"z\"\n", 1, 21, "has two formats"},
        {"tcg a(TCGv_ptr TCGv x) \"\", \"%p\"\n", 1, 7, "is no type"},
    };
    check_wrong(TRACE_DIALECT_ANY, rows, COUNT(rows));
}

/* What our own files may not have and people's have all the same. */
static void any_dialect_tolerates(void **state)
{
    (void)state;
    static const char *const rows[] = {
        "a(void) \"x\"",
        "a(void) \"x\"\r\n",
        "a(void) \"x\\n\"\n",
        "a(void) \"\\qx\"\n",
        "a(int x) \"%s\"\n",
        "a(int x) \"%m %d\"\n",
        "a(uint64_t x) \"%x\"\n",
        "a(int x, int y) \"%d\"\n",
        "a(int x) \"%d %d\"\n",
        "a(int x)\n",
        "a(uint64_t x) \"%\"HWADDR_PRIx\n",
        "a(unsigned int) \"%u\"\n",
        "a(int if) \"%d\"\n",
        "live(void) \"\"\n",
        "#@bogus\n#@args x:y\n#@enum\na(int x) \"%d\"\n",
        "#@enum s 0=x\n#@args b:s\na(int x) \"%d\"\n",
        "a(int a,int b,int c,int d,int e,int f,int g,int h,int i,int j) \"\"\n",
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct trace_decls *d = must_parse(TRACE_DIALECT_ANY, rows[i]);
        assert_int_equal(d->count, 1);
        trace_decls_free(d);
    }
    struct trace_decls *d = must_parse(TRACE_DIALECT_ANY, "a(void) \"one\"\na(int x) \"two %d\"\n");
    assert_int_equal(d->count, 1);
    assert_string_equal(d->row[0]->format, "one");
    trace_decls_free(d);
}

static void what_was_read_before_an_error_stays(void **state)
{
    (void)state;
    struct trace_decls *d = trace_decls_new();
    struct error err;
    assert_false(parse(d, TRACE_DIALECT_OWN, "a(void) \"\"\nb(int x) \"%s\"\n", NULL, &err));
    assert_int_equal(d->count, 1);
    assert_non_null(trace_decls_find(d, "a"));
    assert_true(parse(d, TRACE_DIALECT_OWN, "c(void) \"\"\n", NULL, &err));
    assert_int_equal(d->count, 2);
    assert_false(parse(d, TRACE_DIALECT_OWN, "bad\n", NULL, NULL));
    trace_decls_free(d);
}

static void sizes_are_bounded(void **state)
{
    (void)state;
    struct error err;
    struct strbuf text;
    strbuf_init(&text);

    strbuf_printf(&text, "#%70000s\n", "");
    struct trace_decls *d = trace_decls_new();
    assert_false(parse(d, TRACE_DIALECT_ANY, text.data, NULL, &err));
    assert_non_null(strstr(err.text, "f:1:1: the line is too long"));

    strbuf_clear(&text);
    strbuf_printf(&text, "a(void) \"%9000s\"\n", "");
    assert_false(parse(d, TRACE_DIALECT_ANY, text.data, NULL, &err));
    assert_non_null(strstr(err.text, "the format is too long"));

    strbuf_clear(&text);
    for (int i = 0; i < 300; i++) {
        strbuf_putc(&text, 'n');
    }
    strbuf_puts(&text, "(void) \"\"\n");
    assert_false(parse(d, TRACE_DIALECT_ANY, text.data, NULL, &err));
    assert_non_null(strstr(err.text, "the name is too long"));

    strbuf_clear(&text);
    strbuf_puts(&text, "#@enum s");
    for (int i = 0; i < 513; i++) {
        strbuf_printf(&text, " %d=w%d", i, i);
    }
    strbuf_puts(&text, "\n");
    assert_false(parse(d, TRACE_DIALECT_OWN, text.data, NULL, &err));
    assert_non_null(strstr(err.text, "too many words"));

    /* Warnings end some time. */
    struct strbuf warnings;
    strbuf_init(&warnings);
    strbuf_clear(&text);
    for (int i = 0; i < 200; i++) {
        strbuf_printf(&text, "e%d(int x) \"\"\n", i);
    }
    assert_true(parse(d, TRACE_DIALECT_ANY, text.data, &warnings, &err));
    unsigned lines = 0;
    for (const char *p = warnings.data; *p; p++) {
        lines += *p == '\n';
    }
    assert_int_equal(lines, 51);
    assert_non_null(strstr(warnings.data, "are left out"));

    /* Declarations that are left out count, too. */
    strbuf_clear(&text);
    for (int i = 0; i < (1 << 17) + 1; i++) {
        strbuf_puts(&text, "again(void)\n");
    }
    assert_false(parse(d, TRACE_DIALECT_ANY, text.data, NULL, &err));
    assert_non_null(strstr(err.text, "f:131073:1: too many declarations"));

    /* NUL bytes and no NUL at the end. */
    static const char raw[] = {'a', '(', 'v', 'o', 'i', 'd', ')', '"', 0, '"'};
    assert_false(trace_decls_parse(d, TRACE_DIALECT_ANY, "f", raw, sizeof raw, NULL, NULL, &err));
    assert_non_null(strstr(err.text, "f:1:9: a NUL byte"));
    strbuf_free(&warnings);
    strbuf_free(&text);
    trace_decls_free(d);
}

static void incomplete_conversions_are_completed(void **state)
{
    (void)state;
    static const struct {
        const char *text, *format, *warning;
    } rows[] = {
        {"a(uint64_t cs, uint64_t pc) \"cs=0x%016 pc=0x%016\"\n", "cs=0x%016lx pc=0x%016lx",
         "f:1:35: incomplete conversion '%016' takes its type from argument 'cs' (uint64_t): "
         "'%016\"PRIx64'"},
        {"a(uint32_t v) \"0x%08 .\"\n", "0x%08x .", "'%08x'"},
        {"a(uint32_t v) \"0X%08,\"\n", "0X%08x,", "'%08x'"},
        {"a(uint32_t v) \"v %5.\"\n", "v %5.u", "'%5.u'"},
        {"a(int64_t v) \"v %.\"\n", "v %.ld", "PRId64"},
        {"a(const char *v) \"(%)\"\n", "(%s)", "'%s'"},
        {"a(const char *v) \"0x%016;\"\n", "0x%s;", "'%s'"},
        {"a(void *v) \"at 0x%016\"\n", "at %p", "'%p'"},
        {"a(void *v) \"at %\"\n", "at %p", "'%p'"},
        {"a(size_t v) \"0x%\"\n", "0x%zx", "'%zx'"},
        {"a(long long v) \"%\"\n", "%lld", "'%lld'"},
        {"a(int w, int v) \"%*\"\n", "%*d", "'%*d'"},
        {"a(uint64_t v) \"0x%016l;\"\n", "0x%016lx;", "'%016l'"},
        {"a(int b, int v) \"%0x%08;\"\n", "%0x%08d;", "'%08d'"},
    };
    for (int any = 0; any < 2; any++) {
        for (size_t i = 0; i < COUNT(rows); i++) {
            struct trace_decls *d = trace_decls_new();
            struct strbuf warnings;
            struct error err;
            strbuf_init(&warnings);
            if (!parse(d, any ? TRACE_DIALECT_ANY : TRACE_DIALECT_OWN, rows[i].text, &warnings,
                       &err)) {
                fail_msg("%s", err.text);
            }
            assert_string_equal(d->row[0]->format, rows[i].format);
            if (!strstr(warnings.data, rows[i].warning)) {
                fail_msg("%sexpected %s", warnings.data, rows[i].warning);
            }
            strbuf_free(&warnings);
            trace_decls_free(d);
        }
    }
}

static void vcpu_adds_an_argument(void **state)
{
    (void)state;
    for (int any = 0; any < 2; any++) {
        struct trace_decls *d = must_parse(
            any ? TRACE_DIALECT_ANY : TRACE_DIALECT_OWN,
            "vcpu enter(void)\nvcpu disable call(uint64_t n, char *s) \"n=%\"PRIu64\" %s\"\n");
        assert_int_equal(d->row[0]->nargs, 1);
        assert_string_equal(d->row[0]->format, "cpu=%p ");
        assert_string_equal(d->row[0]->arg[0].name, "__cpu");
        assert_string_equal(d->row[0]->arg[0].type, "void *");
        assert_int_equal(d->row[0]->arg[0].kind, TRACE_POINTER);
        assert_true(d->row[1]->vcpu && d->row[1]->disabled);
        assert_int_equal(d->row[1]->nargs, 3);
        assert_int_equal(d->row[1]->strings, 4);
        assert_string_equal(d->row[1]->format, "cpu=%p n=%lu %s");
        trace_decls_free(d);
    }
}

static void tcg_makes_two_events(void **state)
{
    (void)state;
    struct trace_decls *d =
        must_parse(TRACE_DIALECT_ANY,
                   "tcg foo(uint8_t a1, TCGv_i32 a2) \"a1=%d\", \"a1=%d a2=%d\"\n"
                   "vcpu tcg mem(TCGv vaddr, const char *s, TCGv_i64 x, TCGv_ptr p) \"s=%s\", "
                   "\"vaddr=0x%016\"PRIx64\" s=%s %\"PRIu64\" %p\"\n"
                   "disable tcg bar(TCGv_i32 x) \"\", \"%u\"\n");
    assert_int_equal(d->count, 6);
    const struct trace_decl *t = trace_decls_find(d, "foo_trans");
    const struct trace_decl *e = trace_decls_find(d, "foo_exec");
    assert_null(trace_decls_find(d, "foo"));
    assert_int_equal(t->nargs, 1);
    assert_string_equal(t->format, "a1=%d");
    assert_int_equal(e->nargs, 2);
    assert_string_equal(e->arg[1].type, "uint32_t");
    assert_string_equal(e->format, "a1=%d a2=%d");
    assert_true(t->tcg && e->tcg && !t->disabled);

    t = trace_decls_find(d, "mem_trans");
    e = trace_decls_find(d, "mem_exec");
    assert_int_equal(t->nargs, 2);
    assert_string_equal(t->arg[0].name, "__cpu");
    assert_string_equal(t->arg[1].name, "s");
    assert_int_equal(t->strings, 2);
    assert_string_equal(t->format, "cpu=%p s=%s");
    assert_int_equal(e->nargs, 5);
    assert_int_equal(e->strings, 4);
    assert_string_equal(e->arg[1].type, "uint64_t");
    assert_string_equal(e->arg[3].type, "uint64_t");
    assert_string_equal(e->arg[4].type, "void *");
    assert_string_equal(e->format, "cpu=%p vaddr=0x%016lx s=%s %lu %p");
    assert_true(trace_decls_find(d, "bar_trans")->disabled);
    assert_true(trace_decls_find(d, "bar_exec")->disabled);
    assert_int_equal(trace_decls_find(d, "bar_trans")->nargs, 0);
    trace_decls_free(d);
}

static void pri_macros_are_replaced(void **state)
{
    (void)state;
    static const struct {
        const char *macro, *letters;
    } rows[] = {
        {"PRId8", "d"},       {"PRIx16", "x"},    {"PRIu32", "u"},      {"PRIX64", "lX"},
        {"PRIi64", "li"},     {"PRIo64", "lo"},   {"PRIxPTR", "lx"},    {"PRIdMAX", "ld"},
        {"PRIuLEAST32", "u"}, {"PRIxFAST8", "x"}, {"PRIxFAST16", "lx"}, {"PRIuLEAST64", "lu"},
    };
    char letters[4];
    for (size_t i = 0; i < COUNT(rows); i++) {
        const char *got = trace_conversion_pri(rows[i].macro, strlen(rows[i].macro), letters);
        assert_non_null(got);
        assert_string_equal(got, rows[i].letters);
    }
    static const char *const others[] = {"PRI", "PRIx", "PRIx6", "PRIx644", "PRIs64", "XRIx64", ""};
    for (size_t i = 0; i < COUNT(others); i++) {
        assert_null(trace_conversion_pri(others[i], strlen(others[i]), letters));
    }
    struct trace_decls *d = must_parse(
        TRACE_DIALECT_ANY, "a(uint64_t x, uint64_t y) \"%016\" HWADDR_PRIX \" \" TARGET_FMT_lx\n");
    assert_string_equal(d->row[0]->format, "%016lX %lx");
    trace_decls_free(d);
}

/* ---- words ---- */

static void check_text(const struct trace_words *words, uint64_t value, const char *expected)
{
    struct strbuf out;
    strbuf_init(&out);
    assert_int_equal(trace_words_text(&out, words, value), expected != NULL);
    assert_string_equal(out.data, expected ? expected : "");
    strbuf_free(&out);
}

static void words_belong_to_arguments(void **state)
{
    (void)state;
    struct trace_decls *d =
        must_parse(TRACE_DIALECT_OWN, "#@enum st 0=off 1=on 0x10=half -1=un-known\n"
                                      "#@flags acc 0x4=x 3=rw 1=r 2=w\n"
                                      "#@flags none 0=none 1=one\n"
                                      "#@args s:st f:acc\n"
                                      "# a comment between\n"
                                      "a(int s, unsigned f, int t) \"%d %x %d\"\n"
                                      "b(int s) \"%d\"\n"
                                      "#@args s:st\n#@args f:none\n"
                                      "c(long s, uint8_t f) \"%ld %d\"\n");
    const struct trace_decl *a = trace_decls_find(d, "a");
    const struct trace_decl *c = trace_decls_find(d, "c");
    const struct trace_words *st = a->arg[0].words, *acc = a->arg[1].words;
    assert_non_null(st);
    assert_null(a->arg[2].words);
    assert_null(trace_decls_find(d, "b")->arg[0].words);
    assert_ptr_equal(c->arg[0].words, st);
    assert_string_equal(st->name, "st");
    assert_int_equal(st->count, 4);
    assert_false(st->flags);
    assert_true(acc->flags);

    check_text(st, 0, "off");
    check_text(st, 16, "half");
    check_text(st, UINT64_MAX, "un-known");
    check_text(st, 2, NULL);
    check_text(acc, 0, NULL);
    check_text(acc, 1, "r");
    check_text(acc, 3, "rw");
    check_text(acc, 7, "x|rw");
    check_text(acc, 0x16, "x|w|0x10");
    check_text(acc, 8, NULL);
    check_text(c->arg[1].words, 0, "none");
    check_text(c->arg[1].words, 5, "one|0x4");
    trace_decls_free(d);
}

static void same_sets_of_two_files_are_one(void **state)
{
    (void)state;
    struct error err;
    struct trace_decls *d =
        must_parse(TRACE_DIALECT_OWN, "#@enum s 0=a 1=b\n#@args x:s\ne(int x) \"%d\"\n");
    assert_true(parse(d, TRACE_DIALECT_OWN, "#@enum s 0=a 0x1=b\n#@args x:s\nf(int x) \"%d\"\n",
                      NULL, &err));
    assert_ptr_equal(d->row[0]->arg[0].words, d->row[1]->arg[0].words);
    assert_false(parse(d, TRACE_DIALECT_OWN, "#@enum s 0=a 2=b\n", NULL, &err));
    assert_non_null(strstr(err.text, "f:1:8: the set 's' was declared before"));
    trace_decls_free(d);
}

/* ---- printing ---- */

static void check_print(enum trace_dialect dialect, const char *text, const char *expected)
{
    struct trace_decls *d = must_parse(dialect, text);
    struct strbuf out, again;
    strbuf_init(&out);
    strbuf_init(&again);
    trace_decls_print(&out, (const struct trace_decl *const *)d->row, d->count);
    assert_string_equal(out.data, expected);
    struct trace_decls *second = must_parse(dialect, out.data);
    trace_decls_print(&again, (const struct trace_decl *const *)second->row, second->count);
    assert_string_equal(again.data, expected);
    trace_decls_free(second);
    trace_decls_free(d);
    strbuf_free(&out);
    strbuf_free(&again);
}

static void lists_are_printed_for_every_reader(void **state)
{
    (void)state;
    check_print(TRACE_DIALECT_OWN,
                "disable a(void)\nvcpu b(int cpu, uint64_t v) \"%d 0x%016\"PRIx64\nvcpu c(void)\n",
                "disable a(void) \"\"\n"
                "b(void *vcpu, int cpu, uint64_t v) \"cpu=%p %d 0x%016\"PRIx64\n"
                "c(void *cpu) \"cpu=%p \"\n");
    check_print(TRACE_DIALECT_OWN,
                "a(uint64_t x,int64_t y,uintptr_t z,long l,size_t s,uint32_t u) "
                "\"%\" PRIX64 \" %\"PRIi64\",%\"PRIxPTR\" %ld %zu %\"PRIu32\n",
                "a(uint64_t x, int64_t y, uintptr_t z, long l, size_t s, uint32_t u) "
                "\"%\"PRIX64\" %\"PRIi64\",%\"PRIxPTR\" %ld %zu %u\"\n");
    check_print(TRACE_DIALECT_OWN, "a(const char*s) \"\\t\\\"%s\\\" \\\\ \\x01\\177 100%%\"\n",
                "a(const char *s) \"\\t\\\"%s\\\" \\\\ \\001\\177 100%%\"\n");
    check_print(TRACE_DIALECT_ANY, "a(int x) \"%d\\n\"\n", "a(int x) \"%d\\n\"\n");
    check_print(TRACE_DIALECT_OWN,
                "#@enum unused 0=a\n#@flags f 1=a 0x20=b\n#@enum e -1=m 2=n\n#@args x:e y:f\n"
                "a(int x, int y) \"%d %d\"\n#@args z:e\nb(int z) \"%d\"\n",
                "#@enum e -1=m 2=n\n#@flags f 0x1=a 0x20=b\n#@args x:e y:f\n"
                "a(int x, int y) \"%d %d\"\n#@args z:e\nb(int z) \"%d\"\n");
    /* Eleven values fit no ordinary line: the property stays. */
    check_print(TRACE_DIALECT_ANY,
                "vcpu a(int a,int b,int c,int d,int e,int f,int g,int h,int i,uint64_t j) "
                "\"%d%d%d%d%d%d%d%d%d%\"PRIx64\n",
                "vcpu a(int a, int b, int c, int d, int e, int f, int g, int h, int i, uint64_t j) "
                "\"%d%d%d%d%d%d%d%d%d%\"PRIx64\n");
}

/* ---- rendering ---- */

static char *render(const char *declaration, const uint64_t *values, const uint32_t *lengths)
{
    struct trace_decls *d = must_parse(TRACE_DIALECT_ANY, declaration);
    struct strbuf out;
    strbuf_init(&out);
    trace_decl_render(&out, d->row[0], values, lengths);
    trace_decls_free(d);
    return strbuf_take(&out);
}

static void check_render(const char *declaration, uint64_t a, uint64_t b, uint32_t b_len,
                         const char *expected)
{
    uint64_t values[] = {a, b};
    uint32_t lengths[] = {UINT32_MAX, b_len};
    char *text = render(declaration, values, lengths);
    assert_string_equal(text, expected);
    free(text);
}

static void events_are_rendered(void **state)
{
    (void)state;
    const uint64_t minus = (uint64_t)-2;
    const uint64_t text = (uintptr_t) "abcdef";
    check_render("a(int a, const char *b) \"%d (%s) 100%%\"\n", minus, text, 3, "-2 (abc) 100%");
    check_render("a(int a, const char *b) \"%x|%8s|\"\n", minus, text, 3, "fffffffe|     abc|");
    check_render("a(int a, const char *b) \"%u|%-8.2s|\"\n", minus, text, 3,
                 "4294967294|ab      |");
    check_render("a(int a, const char *b) \"%3d %s\"\n", 7, 0, 5, "  7 (null)");
    check_render("a(bool a, uint8_t b) \"%d %02x\"\n", 1, 0xf, 0, "1 0f");
    check_render("a(void *a, void *b) \"%p %p\"\n", 0, 0x1234, 0, "(nil) 0x1234");
    check_render("a(char a, int b) \"%c%c\"\n", 'x', 'y', 0, "xy");
    check_render("a(uint64_t a, int b) \"0x%016\"PRIx64\" %5d\"\n", 0xabc, 1, 0,
                 "0x0000000000000abc     1");
    check_render("a(int a, uint64_t b) \"0x%0*\"PRIx64\n", 8, 0xabc, 0, "0x00000abc");
    check_render("a(int a, const char *b) \"%.*s\"\n", 2, text, 6, "ab");
    check_render("a(int a, const char *b) \"%*s|\"\n", (uint64_t)-8, text, 3, "abc     |");
    /* What does not fit goes by the kind of the argument. */
    check_render("a(int a, const char *b) \"%s %d\"\n", minus, text, 3, "-2 abc");
    check_render("a(void *a, const char *b) \"%s %p\"\n", 0x10, text, 3, "0x10 abc");
    check_render("a(uint64_t a, bool b) \"%p %s\"\n", UINT64_MAX, 1, 0, "18446744073709551615 1");
    check_render("a(int a, int b) \"%f %n\"\n", 1, 2, 0, "1 2");
    /* What has no argument stands as it is. */
    check_render("a(int a, int b) \"%d %d %d %s %08\"\n", 1, 2, 0, "1 2 %d %s %08");
    check_render("a(int a, int b) \"%m %d %y %d\"\n", 1, 2, 0, "%m 1 %y 2");
    /* Bounds. */
    uint64_t huge[] = {2000000000, 5};
    char *wide = render("a(int a, int b) \"%*d\"\n", huge, NULL);
    assert_int_equal(strlen(wide), TRACE_WIDTH_MAX);
    free(wide);
    wide = render("a(int a, int b) \"%999999999d%.999999999d\"\n", huge, NULL);
    assert_int_equal(strlen(wide), 2 * TRACE_WIDTH_MAX);
    free(wide);
}

/* Every flag, width, precision and length against the C library. */
static void numbers_come_out_as_from_printf(void **state)
{
    (void)state;
    static const char *const flags[] = {"", "-", "0", "+", " ", "#", "-#", "0#", "+0", "- ", "'0"};
    static const char *const widths[] = {"", "1", "7", "25"};
    static const char *const precisions[] = {"", ".", ".0", ".3", ".20"};
    static const char *const lengths[] = {"hh", "h", "", "l", "ll", "z", "j", "t"};
    static const uint64_t values[] = {0,          1,
                                      9,          127,
                                      128,        255,
                                      0x7fffffff, 0x80000000,
                                      0xffffffff, 0x123456789abcdef,
                                      INT64_MAX,  (uint64_t)INT64_MIN,
                                      UINT64_MAX};
    unsigned checked = 0;
    struct strbuf out;
    strbuf_init(&out);
    for (size_t f = 0; f < COUNT(flags) * COUNT(widths) * COUNT(precisions) * COUNT(lengths); f++) {
        size_t rest = f;
        const char *flag = flags[rest % COUNT(flags)];
        const char *width = widths[(rest /= COUNT(flags)) % COUNT(widths)];
        const char *precision = precisions[(rest /= COUNT(widths)) % COUNT(precisions)];
        const char *length = lengths[(rest / COUNT(precisions)) % COUNT(lengths)];
        for (const char *letter = "diuxXo"; *letter; letter++) {
            char format[40], expected[200];
            snprintf(format, sizeof format, "[%%%s%s%s%s%c]", flag, width, precision, length,
                     *letter);
            struct trace_decl decl = {.name = "a", .nargs = 1, .format = format};
            decl.arg[0] = (struct trace_arg){"x", "uint64_t", TRACE_UNSIGNED, 64, NULL};
            for (size_t v = 0; v < COUNT(values); v++) {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
                snprintf(expected, sizeof expected, format, values[v]);
#pragma GCC diagnostic pop
                strbuf_clear(&out);
                trace_decl_render(&out, &decl, &values[v], NULL);
                if (strcmp(out.data, expected) != 0) {
                    fail_msg("%s of 0x%" PRIx64 ": %s instead of %s", format, values[v], out.data,
                             expected);
                }
                checked++;
            }
        }
    }
    assert_true(checked > 100000);
    strbuf_free(&out);
}

static void texts_and_addresses_come_out_as_from_printf(void **state)
{
    (void)state;
    static const char *const specs[] = {"%s", "%10s", "%-10s|", "%.2s", "%8.3s", "%.0s", "%.6s"};
    static const char *const texts[] = {"", "a", "abcdefgh", NULL};
    char expected[200];
    struct strbuf out;
    strbuf_init(&out);
    for (size_t i = 0; i < COUNT(specs) * COUNT(texts); i++) {
        const char *text = texts[i % COUNT(texts)];
        struct trace_decl decl = {.name = "a", .nargs = 1, .strings = 1};
        decl.format = specs[i / COUNT(texts)];
        decl.arg[0] = (struct trace_arg){"x", "const char *", TRACE_STRING, 64, NULL};
        uint64_t value = (uintptr_t)text;
        uint32_t length = text ? (uint32_t)strlen(text) : 77;
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
        snprintf(expected, sizeof expected, decl.format, text);
#pragma GCC diagnostic pop
        strbuf_clear(&out);
        trace_decl_render(&out, &decl, &value, &length);
        assert_string_equal(out.data, expected);
    }
    static const char *const addresses[] = {"%p", "%20p", "%-20p|"};
    for (size_t i = 0; i < COUNT(addresses) * 2; i++) {
        struct trace_decl decl = {.name = "a", .nargs = 1, .format = addresses[i / 2]};
        decl.arg[0] = (struct trace_arg){"x", "void *", TRACE_POINTER, 64, NULL};
        uint64_t value = i % 2 ? 0x7ffe12345678 : 0;
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
        snprintf(expected, sizeof expected, decl.format, (void *)(uintptr_t)value);
#pragma GCC diagnostic pop
        strbuf_clear(&out);
        trace_decl_render(&out, &decl, &value, NULL);
        assert_string_equal(out.data, expected);
    }
    strbuf_free(&out);
}

/* ---- files ---- */

static void qemus_own_list_is_read(void **state)
{
    (void)state;
    static const char path[] = "/usr/share/qemu/trace-events-all";
    if (access(path, R_OK) != 0) {
        skip(); /* package qemu-system-common is not installed */
    }
    struct error err;
    struct strbuf warnings, one, two;
    strbuf_init(&warnings);
    strbuf_init(&one);
    strbuf_init(&two);
    struct trace_decls *d = trace_decls_new();
    if (!trace_decls_load(d, TRACE_DIALECT_ANY, path, collect, &warnings, &err)) {
        fail_msg("%s", err.text);
    }
    unsigned vcpu = 0, disabled = 0, newlines = 0;
    for (size_t i = 0; i < d->count; i++) {
        vcpu += d->row[i]->vcpu;
        disabled += d->row[i]->disabled;
        newlines += strchr(d->row[i]->format, '\n') != NULL;
        assert_true(d->row[i]->nargs <= TRACE_ARGS_MAX);
    }
    assert_int_equal(d->count, 5078);
    assert_int_equal(vcpu, 5);
    assert_int_equal(disabled, 15);
    assert_int_equal(newlines, 8);
    assert_string_equal(warnings.data, "");

    const struct trace_decl *e = trace_decls_find(d, "pci_cfg_read");
    assert_non_null(e);
    assert_string_equal(e->format, "%s %02x:%02x.%x @0x%x -> 0x%x");
    assert_int_equal(e->nargs, 6);
    assert_int_equal(e->strings, 1);
    assert_string_equal(e->source, "pci_host.c");

    trace_decls_print(&one, (const struct trace_decl *const *)d->row, d->count);
    struct trace_decls *again = must_parse(TRACE_DIALECT_ANY, one.data);
    trace_decls_print(&two, (const struct trace_decl *const *)again->row, again->count);
    assert_int_equal(again->count, 5078);
    assert_string_equal(one.data, two.data);
    for (size_t i = 0; i < d->count; i++) {
        assert_string_equal(d->row[i]->format, again->row[i]->format);
        assert_int_equal(d->row[i]->strings, again->row[i]->strings);
    }
    trace_decls_free(again);
    trace_decls_free(d);
    strbuf_free(&warnings);
    strbuf_free(&one);
    strbuf_free(&two);
}

static void missing_files_are_said(void **state)
{
    (void)state;
    struct trace_decls *d = trace_decls_new();
    struct error err;
    assert_false(trace_decls_load(d, TRACE_DIALECT_ANY, "/no/such/file", NULL, NULL, &err));
    assert_string_equal(err.text, "/no/such/file: cannot open the file of declarations: No such "
                                  "file or directory");
    assert_false(trace_decls_load(d, TRACE_DIALECT_ANY, "/", NULL, NULL, &err));
    assert_non_null(strstr(err.text, "/: cannot read"));
    trace_decls_free(d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_line_is_read_whole),
        cmocka_unit_test(types_have_kinds_and_widths),
        cmocka_unit_test(own_dialect_refuses),
        cmocka_unit_test(any_dialect_refuses),
        cmocka_unit_test(any_dialect_tolerates),
        cmocka_unit_test(what_was_read_before_an_error_stays),
        cmocka_unit_test(sizes_are_bounded),
        cmocka_unit_test(incomplete_conversions_are_completed),
        cmocka_unit_test(vcpu_adds_an_argument),
        cmocka_unit_test(tcg_makes_two_events),
        cmocka_unit_test(pri_macros_are_replaced),
        cmocka_unit_test(words_belong_to_arguments),
        cmocka_unit_test(same_sets_of_two_files_are_one),
        cmocka_unit_test(lists_are_printed_for_every_reader),
        cmocka_unit_test(events_are_rendered),
        cmocka_unit_test(numbers_come_out_as_from_printf),
        cmocka_unit_test(texts_and_addresses_come_out_as_from_printf),
        cmocka_unit_test(qemus_own_list_is_read),
        cmocka_unit_test(missing_files_are_said),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
