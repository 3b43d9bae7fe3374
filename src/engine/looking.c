/* SPDX-License-Identifier: MIT
 *
 * What people see of the engine: the items of -d, and figures about its work.
 */
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/logitems.h"
#include "base/strbuf.h"
#include "disas/disas.h"
#include "engine/internal.h"
#include "symbol/symbol.h"

enum { LOOK_PAGE = 4096 };

static void name_of(struct engine *engine, uint64_t pc, struct strbuf *text)
{
    if (engine->config.symbols)
        symbol_format(engine->config.symbols, pc, SYMBOL_OFFSET, text);
}

static bool name_for_disas(void *opaque, uint64_t address, struct strbuf *text)
{
    size_t before = text->len;

    name_of(opaque, address, text);
    return text->len > before;
}

static void write_out(struct strbuf *text)
{
    log_text(text->data, text->len);
    strbuf_free(text);
}

/* The bytes of a block that has just been made. In system mode they are copied: they may lie on two
 * pages that do not follow each other. */
static const uint8_t *code_of(const struct engine *engine, const struct block *block, uint8_t *room)
{
    const struct code_place *place = engine->group_place;

    if (!place)
        return (const uint8_t *)(uintptr_t)block->pc; // NOLINT: one to one
    unsigned offset = (unsigned)(place->offset + block->pc - engine->group_pc[0]) & (LOOK_PAGE - 1);
    unsigned first = LOOK_PAGE - offset < block->bytes ? LOOK_PAGE - offset : block->bytes;
    memcpy(room, (const uint8_t *)(uintptr_t)place->page->address + offset, first); // NOLINT
    if (first < block->bytes && place->second)
        memcpy(room + first, (const uint8_t *)(uintptr_t)place->second->address, // NOLINT
               block->bytes - first);
    else
        memset(room + first, 0, block->bytes - first);
    return room;
}

static void log_guest_code(struct engine *engine, const struct block *block)
{
    struct disas_style style = {DISAS_64, DISAS_ATT, name_for_disas, engine};
    struct strbuf text, symbol;
    uint8_t room[UINT16_MAX];
    uint64_t linear = block->pc;

    if (engine->group_place) {
        const struct ir_context *context =
            &engine->context[(block->set & ~SET_FLAGS) >> SET_CONTEXT_SHIFT];
        linear += context->base;
        linear = engine->guest->system->disas(context) == DISAS_64 ? linear : (uint32_t)linear;
        style.mode = (enum disas_mode)engine->guest->system->disas(context);
    }
    strbuf_init(&text);
    strbuf_init(&symbol);
    name_of(engine, linear, &symbol);
    disas_in_asm(&style, symbol.data, code_of(engine, block, room), block->bytes, linear, &text);
    strbuf_free(&symbol);
    write_out(&text);
}

static void log_host_code(struct engine *engine, const struct block *block)
{
    const struct disas_style style = {DISAS_64, DISAS_ATT, NULL, NULL};
    struct disas_mark mark[IR_BLOCK_INSNS + 1];
    struct side_cursor cursor;
    size_t marks = 0;
    struct strbuf text;

    if (block->exec != block->start)
        mark[marks++] = (struct disas_mark){.guest = block->pc, .note = " + indirect entry"};
    side_begin(engine, block, &cursor);
    while (side_next(&cursor)) {
        if ((cursor.point.flags & IR_POINT_BOUNDARY) && marks < IR_BLOCK_INSNS)
            mark[marks++] = (struct disas_mark){
                .offset = block->base + cursor.point.host - block->start,
                .guest = side_pc(engine, block, cursor.point.insn),
            };
    }
    strbuf_init(&text);
    disas_out_asm(&style, engine->write + block->start, block->end - block->start,
                  engine->exec + block->start, mark, marks, &text);
    write_out(&text);
}

void log_blocks(struct engine *engine, const struct block *block, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        if (block[i].insns == 0 || !log_filter_has(block[i].pc))
            continue;
        if (log_item_on(LOG_IN_ASM))
            log_guest_code(engine, &block[i]);
        if (log_item_on(LOG_OUT_ASM))
            log_host_code(engine, &block[i]);
    }
}

void log_ir(const struct ir_block *ir)
{
    struct strbuf text;

    if (!log_filter_has(ir->pc))
        return;
    strbuf_init(&text);
    strbuf_puts(&text, "OP:\n");
    ir_print(ir, &text);
    strbuf_puts(&text, "\n");
    write_out(&text);
}

void log_entry(struct vcpu *vcpu, const struct block *block)
{
    struct engine *engine = vcpu->engine;
    struct strbuf text;

    if (!log_filter_has(block->pc))
        return;
    strbuf_init(&text);
    if (log_item_on(LOG_EXEC)) {
        strbuf_printf(&text, "Trace %d: %p [%016x/%016" PRIx64 "/%08x/%08x] ", vcpu->number,
                      (void *)(uintptr_t)block_exec(engine, block), 0, block->pc, 0, block->set);
        name_of(engine, block->pc, &text);
        strbuf_puts(&text, "\n");
    }
    if (log_item_on(LOG_CPU) && engine->guest->print_state)
        engine->guest->print_state(vcpu->state, log_item_on(LOG_FPU), &text);
    write_out(&text);
}

void log_fault(struct vcpu *vcpu)
{
    const struct vcpu_fault *fault = &vcpu->fault;
    struct strbuf text;

    strbuf_init(&text);
    strbuf_printf(&text, "%6" PRIu64 ": v=%02x e=%04x i=0 cpl=3 pc=%016" PRIx64,
                  vcpu->counts.exits[IR_EXIT_FAULT], fault->trap, fault->error, vcpu->state->pc);
    if (fault->trap == 14)
        strbuf_printf(&text, " CR2=%016" PRIx64, fault->address);
    strbuf_puts(&text, " ");
    name_of(vcpu->engine, vcpu->state->pc, &text);
    strbuf_puts(&text, "\n");
    if (vcpu->engine->guest->print_state)
        vcpu->engine->guest->print_state(vcpu->state, false, &text);
    write_out(&text);
}

uint64_t engine_guest_pc(struct engine *engine, uint64_t host_pc)
{
    struct ir_point point;
    struct block *block;

    if (host_pc < engine->exec || host_pc >= engine->exec + engine->cache_size ||
        !block_at(engine, host_pc, &block, &point))
        return host_pc;
    return side_pc(engine, block, point.insn);
}

/* --- figures --- */

static const char *const causes[IR_EXIT_COUNT] = {
    [IR_EXIT_LINK] = "direct jump not linked yet",
    [IR_EXIT_LOOKUP] = "indirect jump not in the jump table",
    [IR_EXIT_HELPER] = "instruction done in C",
    [IR_EXIT_TRAP] = "trap",
    [IR_EXIT_ACCESS] = "instruction with accesses to tell",
    [IR_EXIT_ACCESSED] = "the same, executed",
    [IR_EXIT_SYSCALL] = "system call",
    [IR_EXIT_FAULT] = "fault",
    [IR_EXIT_INTERRUPT] = "signal or request",
    [IR_EXIT_MISS] = "TLB miss",
    [IR_EXIT_EVENT] = "event to be looked for",
    [IR_EXIT_BUDGET] = "instructions spent",
    [IR_EXIT_STEPPED] = "single step",
    [IR_EXIT_STALE] = "source bytes changed",
};

/* How many host instructions the hot code of all blocks has. */
static uint64_t host_instructions(struct engine *engine)
{
    const struct disas_style style = {DISAS_64, DISAS_INTEL, NULL, NULL};
    struct strbuf text;
    uint64_t count = 0;

    strbuf_init(&text);
    for (uint32_t i = 0; i < engine->block_count; i++) {
        const struct block *block = &engine->block[i];

        for (uint32_t at = block->exec; at < block->end; count++) {
            strbuf_clear(&text);
            at += (uint32_t)disas_insn(&style, engine->write + at, block->end - at,
                                       engine->exec + at, &text);
        }
    }
    strbuf_free(&text);
    return count;
}

static uint64_t live_instructions(const struct engine *engine)
{
    uint64_t count = 0;

    for (uint32_t i = 0; i < engine->block_count; i++)
        count += engine->block[i].insns;
    return count;
}

static double ratio(double a, double b)
{
    return b > 0 ? a / b : 0;
}

void engine_stats(struct engine *engine, FILE *out)
{
    struct engine_counts sum;
    uint64_t instructions;

    pthread_mutex_lock(&engine->lock);
    sum = engine->counts;
    instructions = engine->dead_instructions;
    for (struct vcpu *vcpu = engine->vcpus; vcpu; vcpu = vcpu->next) {
        instructions += counts_instructions(vcpu);
        for (unsigned i = 0; i < IR_EXIT_COUNT; i++)
            sum.exits[i] += vcpu->counts.exits[i];
    }
    fprintf(out, "Translation\n");
    fprintf(out, "  blocks                  %" PRIu64 "\n", sum.made_blocks);
    fprintf(out, "  guest instructions      %" PRIu64 "\n", sum.made_insns);
    fprintf(out, "  guest bytes             %" PRIu64 "\n", sum.made_bytes);
    fprintf(out, "  host instructions per guest instruction %.3f\n",
            ratio((double)host_instructions(engine), (double)live_instructions(engine)));
    fprintf(out, "  cache bytes per guest byte              %.2f\n",
            ratio((double)sum.made_code, (double)sum.made_bytes));
    fprintf(out, "  time                    %.3f ms, %.0f ns an instruction, %.1f MB/s\n",
            (double)sum.translate_ns / 1e6, ratio((double)sum.translate_ns, (double)sum.made_insns),
            ratio((double)sum.made_bytes * 1e3, (double)sum.translate_ns));
    fprintf(out, "  cache                   %zu of %zu KiB used, %" PRIu64 " flushes\n",
            engine->used >> 10, engine->cache_size >> 10, sum.flushes);
    fprintf(out, "  links %" PRIu64 ", blocks killed %" PRIu64 "\n", sum.links, sum.kills);
    if (engine->options.count)
        fprintf(out, "Execution\n  guest instructions      %" PRIu64 "\n", instructions);
    fprintf(out, "Exits%s\n", engine->options.count ? ", and per million guest instructions" : "");
    for (unsigned i = 0; i < IR_EXIT_COUNT; i++) {
        if (!causes[i])
            continue;
        fprintf(out, "  %-38s %12" PRIu64, causes[i], sum.exits[i]);
        if (engine->options.count)
            fprintf(out, " %10.2f", ratio((double)sum.exits[i] * 1e6, (double)instructions));
        fprintf(out, "\n");
    }
    pthread_mutex_unlock(&engine->lock);
}
