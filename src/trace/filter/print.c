/* SPDX-License-Identifier: MIT
 *
 * Compiled filters as text:
 *
 *     0  if offs <u 0x40 goto 4
 *     1  t0 = val % 3
 *     2  if t0 == 0 goto 4
 *     3  accept
 *     4  reject
 */
#include "trace/filter/program.h"

#include <inttypes.h>

#define X_SYMBOL(name, symbol, ...) symbol,
static const char *const arithmetic_symbol[] = {FILTER_ARITHMETIC_LIST(X_SYMBOL)};
static const char *const predicate_symbol[] = {FILTER_PREDICATE_LIST(X_SYMBOL)};
static const char *const string_symbol[] = {FILTER_STRING_LIST(X_SYMBOL)};

/* Runs of codes that print alike. */
static const struct block {
    uint16_t first, count;
    bool jump, immediate, string;
    const char *const *symbol;
} blocks[] = {
    {FILTER_FIRST_JUMP_VI, FILTER_PREDICATE_COUNT, true, true, false, predicate_symbol},
    {FILTER_FIRST_JUMP_RR, FILTER_PREDICATE_COUNT, true, false, false, predicate_symbol},
    {FILTER_FIRST_JUMP_RI, FILTER_PREDICATE_COUNT, true, true, false, predicate_symbol},
    {FILTER_FIRST_SET_RR, FILTER_PREDICATE_COUNT, false, false, false, predicate_symbol},
    {FILTER_FIRST_SET_RI, FILTER_PREDICATE_COUNT, false, true, false, predicate_symbol},
    {FILTER_FIRST_DO_RR, FILTER_ARITHMETIC_COUNT, false, false, false, arithmetic_symbol},
    {FILTER_FIRST_DO_RI, FILTER_ARITHMETIC_COUNT, false, true, false, arithmetic_symbol},
    {FILTER_FIRST_JUMP_STRING, FILTER_STRING_SAME_RR, true, true, true, string_symbol},
    {FILTER_FIRST_SET_STRING, FILTER_STRING_SAME_RR, false, true, true, string_symbol},
    {FILTER_FIRST_JUMP_STRING + FILTER_STRING_SAME_RR, FILTER_STRING_COUNT - FILTER_STRING_SAME_RR,
     true, false, true, string_symbol + FILTER_STRING_SAME_RR},
    {FILTER_FIRST_SET_STRING + FILTER_STRING_SAME_RR, FILTER_STRING_COUNT - FILTER_STRING_SAME_RR,
     false, false, true, string_symbol + FILTER_STRING_SAME_RR},
};

static void print_operand(struct strbuf *out, const struct trace_filter *filter, unsigned place)
{
    if (place >= FILTER_FIELD) {
        strbuf_puts(out, filter->field[place - FILTER_FIELD]);
    } else if (place >= FILTER_TEMPORARY) {
        strbuf_printf(out, "t%u", place - FILTER_TEMPORARY);
    } else {
        strbuf_puts(out, filter->arg[place]);
    }
}

/* Small numbers in decimal, also negative ones; others look better in hexadecimal. */
static void print_number(struct strbuf *out, uint64_t value)
{
    if (value < 10 || value > UINT64_MAX - 4096) {
        strbuf_printf(out, "%" PRId64, (int64_t)value);
    } else {
        strbuf_printf(out, "0x%" PRIx64, value);
    }
}

static void print_string(struct strbuf *out, const struct filter_string *string)
{
    strbuf_putc(out, '"');
    for (uint32_t i = 0; i < string->len; i++) {
        unsigned char c = (unsigned char)string->bytes[i];
        if (c == '"' || c == '\\') {
            strbuf_printf(out, "\\%c", c);
        } else if (c >= 0x20 && c < 0x7f) {
            strbuf_putc(out, (char)c);
        } else {
            strbuf_printf(out, "\\x%02x", c);
        }
    }
    strbuf_putc(out, '"');
}

static void print_block(struct strbuf *out, const struct trace_filter *filter, unsigned number,
                        const struct block *block)
{
    const struct filter_operation *op = &filter->operation[number];
    if (block->jump) {
        strbuf_puts(out, "if ");
    } else {
        strbuf_printf(out, "t%u = ", op->to);
    }
    print_operand(out, filter, op->a);
    strbuf_printf(out, " %s ", block->symbol[op->code - block->first]);
    if (!block->immediate) {
        print_operand(out, filter, op->b);
    } else if (block->string) {
        print_string(out, &filter->string[op->imm]);
    } else {
        print_number(out, op->imm);
    }
    if (block->jump) {
        strbuf_printf(out, " goto %u", number + op->to);
    }
}

static void print_operation(struct strbuf *out, const struct trace_filter *filter, unsigned number)
{
    const struct filter_operation *op = &filter->operation[number];
    switch (op->code) {
    case FILTER_ACCEPT: strbuf_puts(out, "accept"); return;
    case FILTER_REJECT: strbuf_puts(out, "reject"); return;
    case FILTER_CONSTANT:
        strbuf_printf(out, "t%u = ", op->to);
        print_number(out, op->imm);
        return;
    case FILTER_NUMBER: strbuf_printf(out, "t%u = %s", op->to, filter->field[op->a]); return;
    default: break;
    }
    for (size_t i = 0; i < sizeof blocks / sizeof blocks[0]; i++) {
        if (op->code >= blocks[i].first && op->code < blocks[i].first + blocks[i].count) {
            print_block(out, filter, number, &blocks[i]);
            return;
        }
    }
    bug("filter: operation %d", op->code);
}

void trace_filter_print(struct strbuf *out, const struct trace_filter *filter)
{
    for (unsigned i = 0; i < filter->count; i++) {
        strbuf_printf(out, "%3u  ", i);
        print_operation(out, filter, i);
        strbuf_putc(out, '\n');
    }
}
