/* SPDX-License-Identifier: MIT
 *
 * Any text as a filter, for any values: compiled, printed, run. What a filter and its negation say
 * must differ, a complaint must point into the text, and arguments that a filter does not read must
 * not matter.
 *
 * Input: one byte that chooses the declaration, one that chooses a string, eight bytes of values,
 * then the expression. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/memory.h"
#include "trace/filter/filter.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

enum { HEAD = 10 };

static const struct trace_word state_words[] = {
    {0, "debug"}, {2, "internal-error"}, {9, "run"}, {UINT64_MAX, "none"}};
static const struct trace_word flag_words[] = {{1, "READ"}, {2, "WRITE"}, {4, "run"}, {8, "a-b"}};
static const struct trace_words states = {"state", false, COUNT(state_words), state_words};
static const struct trace_words flags = {"flags", true, COUNT(flag_words), flag_words};

static const struct trace_arg all[] = {{"u", "uint64_t", TRACE_UNSIGNED, 64, NULL},
                                       {"s", "int64_t", TRACE_SIGNED, 64, NULL},
                                       {"b", "bool", TRACE_BOOL, 8, NULL},
                                       {"p", "void *", TRACE_POINTER, 64, NULL},
                                       {"t", "const char *", TRACE_STRING, 64, NULL},
                                       {"st", "int", TRACE_SIGNED, 32, &states},
                                       {"fl", "uint32_t", TRACE_UNSIGNED, 32, &flags},
                                       {"name", "const char *", TRACE_STRING, 64, NULL}};

static const struct trace_field fields[] = {
    {"thread", TRACE_UNSIGNED, ""}, {"vcpu", TRACE_SIGNED, ""}, {"event", TRACE_STRING, ""}};

static uint64_t read_field(void *opaque, unsigned field, uint32_t *length)
{
    const uint8_t *head = opaque;
    if (fields[field].kind != TRACE_STRING) {
        return field ? (uint64_t)(int8_t)head[2] : head[3];
    }
    *length = 5;
    return head[1] & 1 ? (uintptr_t) "event" : 0;
}

/* Which of `all` the event has: all that the bits of `choice` name, none when it is 0. */
static void make_event(struct trace_decl *decl, uint64_t *values, uint32_t *lengths,
                       const uint8_t *head, char *string)
{
    memset(decl, 0, sizeof *decl);
    decl->name = "fuzz";
    for (unsigned i = 0; i < COUNT(all); i++) {
        if (!(head[0] >> i & 1)) {
            continue;
        }
        unsigned n = decl->nargs++;
        decl->arg[n] = all[i];
        lengths[n] = 0;
        memcpy(&values[n], head + 2, 8);
        if (all[i].kind == TRACE_STRING) {
            decl->strings |= 1u << n;
            lengths[n] = head[1];
            values[n] = head[1] == 255 ? 0 : (uintptr_t)string;
        } else if (all[i].kind == TRACE_BOOL) {
            values[n] &= 1;
        } else if (all[i].bits == 32) {
            values[n] = (uint64_t)(int32_t)values[n];
        }
    }
}

static void check_complaint(const struct error *err)
{
    const char *line = strchr(err->text, '\n'), *caret = line ? strchr(line + 1, '\n') : NULL;
    if (!caret || line == err->text || strncmp(line + 1, "  ", 2) != 0 ||
        strspn(caret + 1, " ") + 2 != strlen(caret + 1) + 1) {
        bug("complaint without a caret: %s", err->text);
    }
    if (strspn(caret + 1, " ") - 2 > (size_t)(caret - line)) {
        bug("caret beside the text: %s", err->text);
    }
}

static void check_negation(const char *text, const struct trace_decl *decl,
                           const struct trace_filter_input *input, bool result)
{
    char *negated = mem_format("!(%s)", text);
    struct trace_filter *filter =
        trace_filter_compile(negated, decl, fields, COUNT(fields), NULL, NULL);
    if (filter && trace_filter_match(filter, input) == result) {
        bug("%s is the same as its negation", text);
    }
    trace_filter_free(filter);
    free(negated);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < HEAD) {
        return 0;
    }
    struct trace_decl decl;
    uint64_t values[TRACE_VALUES_MAX];
    uint32_t lengths[TRACE_VALUES_MAX];
    char string[256];
    memset(string, 'a', sizeof string);
    memcpy(string, data, size < sizeof string ? size : sizeof string);
    make_event(&decl, values, lengths, data, string);

    char *text = mem_stringn((const char *)data + HEAD, size - HEAD);
    struct error err = {{0}};
    bool unknown;
    struct trace_filter *filter =
        trace_filter_compile(text, &decl, fields, COUNT(fields), &unknown, &err);
    if (filter) {
        const struct trace_filter_input input = {
            .values = values, .lengths = lengths, .field = read_field, .opaque = (void *)data};
        bool result = trace_filter_match(filter, &input);
        struct strbuf out;
        strbuf_init(&out);
        trace_filter_print(&out, filter);
        strbuf_free(&out);
        check_negation(text, &decl, &input, result);
        for (unsigned i = 0; i < decl.nargs; i++) {
            if (!(trace_filter_reads(filter) >> i & 1)) {
                values[i] = ~values[i];
                lengths[i] = UINT32_MAX;
            }
        }
        if (trace_filter_match(filter, &input) != result) {
            bug("%s reads more than it says", text);
        }
        trace_filter_free(filter);
    } else {
        check_complaint(&err);
    }
    free(text);
    return 0;
}
