/* SPDX-License-Identifier: MIT
 *
 * The soft TLB, the jump tables of contexts, the pages of code: filled, flushed. */
#include "engine/tlb.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

static unsigned index_of(uint64_t linear)
{
    return (unsigned)(linear >> PAGE_BITS) & (TLB_ENTRIES - 1);
}

static uint64_t tag_of(uint64_t linear)
{
    return -(linear >> PAGE_BITS) - 1;
}

static uint64_t large_bit(uint64_t linear)
{
    enum { REGION_BITS = 30 };

    return UINT64_C(1) << (linear >> REGION_BITS & 63);
}

void tlb_fill(struct soft_cpu *soft, unsigned view, uint64_t linear, uint8_t *host, unsigned rights,
              const struct ir_page *page)
{
    struct tlb_view *v = &soft->view[view];
    unsigned index = index_of(linear);

    if (!(v->known[index] & ENTRY_LOGGED))
        v->log[v->logged++] = (uint16_t)index;
    v->known[index] = (uint8_t)(ENTRY_LOGGED | (page->global ? ENTRY_GLOBAL : 0));
    v->read[index] = rights & IR_RIGHT_READ ? tag_of(linear) : 0;
    v->write[index] = rights & IR_RIGHT_WRITE ? tag_of(linear) : 0;
    v->addend[index] = (uint64_t)(uintptr_t)host - linear;
    if (page->size > 1 << PAGE_BITS)
        soft->large |= large_bit(linear);
}

static void clear_entry(struct tlb_view *v, unsigned index)
{
    v->read[index] = v->write[index] = 0;
}

static void flush_view(struct tlb_view *v, bool all)
{
    unsigned kept = 0;

    for (unsigned i = 0; i < v->logged; i++) {
        unsigned index = v->log[i];

        if (!all && v->known[index] & ENTRY_GLOBAL) {
            v->log[kept++] = (uint16_t)index;
            continue;
        }
        clear_entry(v, index);
        v->known[index] = 0;
    }
    v->logged = kept;
}

/* Goes through a log: what is global stays unless `all` goes; returns how many stay. */
static unsigned flush_log(uint16_t *log, unsigned logged, uint8_t *known, bool all,
                          void (*clear)(struct jump_table *table, unsigned index, uint64_t empty),
                          struct jump_table *table, uint64_t empty)
{
    unsigned kept = 0;

    for (unsigned i = 0; i < logged; i++) {
        unsigned index = log[i];

        if (!all && known[index] & ENTRY_GLOBAL) {
            log[kept++] = (uint16_t)index;
            continue;
        }
        clear(table, index, empty);
        known[index] = 0;
    }
    return kept;
}

static void clear_first(struct jump_table *table, unsigned index, uint64_t empty)
{
    table->entry[index] = empty;
}

static void clear_second(struct jump_table *table, unsigned index, uint64_t empty)
{
    (void)empty;
    table->second[index].tag = 0;
}

static void flush_jumps(struct jump_table *table, bool all, uint64_t empty)
{
    table->logged =
        flush_log(table->log, table->logged, table->known, all, clear_first, table, empty);
    table->logged_second = flush_log(table->log_second, table->logged_second, table->known_second,
                                     all, clear_second, table, empty);
}

static void flush_code(struct soft_cpu *soft, bool all)
{
    for (unsigned i = 0; i < CODE_ENTRIES; i++)
        if (all || !soft->code[i].global)
            soft->code[i].page = 0;
}

/* The entries that code of the page, or an instruction from the page before, may have. */
static void flush_jumps_to(struct jump_table *table, uint64_t linear, uint64_t empty)
{
    enum { PAGES = JUMP_ENTRIES >> PAGE_BITS };
    unsigned page = (unsigned)(linear >> PAGE_BITS) % PAGES, before = (page + PAGES - 1) % PAGES;

    for (unsigned i = 0; i < table->logged; i++) {
        unsigned index = table->log[i];

        if (index >> PAGE_BITS == page || index >> PAGE_BITS == before)
            table->entry[index] = empty;
    }
    for (unsigned i = 0; i < table->logged_second; i++) {
        struct ir_second *second = &table->second[table->log_second[i]];
        uint64_t to = (-second->tag - 1) >> PAGE_BITS;

        if (to == linear >> PAGE_BITS || to + 1 == linear >> PAGE_BITS)
            second->tag = 0;
    }
}

static bool jumped_to(const struct soft_cpu *soft, uint64_t linear)
{
    unsigned bit = (unsigned)(linear >> PAGE_BITS) % JUMPED_BITS;

    return soft->jumped[bit / 64] >> (bit % 64) & 1;
}

/* What was executed on the page goes. Where pc is not the linear address, everything does. */
static void flush_code_page(struct soft_cpu *soft, uint64_t linear, uint64_t empty)
{
    uint64_t before = linear - (1 << PAGE_BITS);

    tlb_code(soft, linear)->page = 0;
    if (!jumped_to(soft, linear) && !jumped_to(soft, before))
        return;
    for (unsigned i = 0; i < JUMP_TABLES; i++) {
        if (soft->context.base)
            flush_jumps(&soft->jump[i], true, empty);
        else
            flush_jumps_to(&soft->jump[i], linear, empty);
    }
}

static void flush_page(struct soft_cpu *soft, uint64_t linear, uint64_t empty)
{
    pthread_mutex_lock(&soft->lock);
    for (unsigned i = 0; i < IR_VIEWS; i++)
        clear_entry(&soft->view[i], index_of(linear));
    pthread_mutex_unlock(&soft->lock);
    flush_code_page(soft, linear, empty);
}

void tlb_flush(struct soft_cpu *soft, enum ir_flush what, uint64_t address, uint64_t empty)
{
    bool all = what != IR_FLUSH_LOCAL;

    soft->resumes = false;
    if (what == IR_FLUSH_PAGE && !(soft->large & large_bit(address))) {
        flush_page(soft, address, empty);
        return;
    }
    pthread_mutex_lock(&soft->lock);
    for (unsigned i = 0; i < IR_VIEWS; i++)
        flush_view(&soft->view[i], all);
    pthread_mutex_unlock(&soft->lock);
    for (unsigned i = 0; i < JUMP_TABLES; i++)
        flush_jumps(&soft->jump[i], all, empty);
    flush_code(soft, all);
    if (all) {
        soft->large = 0;
        memset(soft->jumped, 0, sizeof(soft->jumped));
    }
}

void tlb_protect(struct soft_cpu *soft, const uint8_t *host)
{
    pthread_mutex_lock(&soft->lock);
    for (unsigned i = 0; i < IR_VIEWS; i++) {
        struct tlb_view *v = &soft->view[i];

        for (unsigned j = 0; j < v->logged; j++) {
            unsigned index = v->log[j];
            uint64_t page = -v->write[index] - 1;

            if (v->write[index] &&
                (page << PAGE_BITS) + v->addend[index] == (uint64_t)(uintptr_t)host)
                __atomic_store_n(&v->write[index], 0, __ATOMIC_RELAXED);
        }
    }
    pthread_mutex_unlock(&soft->lock);
}

bool tlb_contend(uint64_t linear, uint64_t other)
{
    return index_of(linear) == index_of(other) && tag_of(linear) != tag_of(other);
}

uint8_t *tlb_cached(const struct soft_cpu *soft, unsigned view, uint64_t linear, bool write)
{
    const struct tlb_view *v = &soft->view[view];
    unsigned index = index_of(linear);

    if (__atomic_load_n(&(write ? v->write : v->read)[index], __ATOMIC_RELAXED) != tag_of(linear))
        return NULL;
    return (uint8_t *)(uintptr_t)(linear + v->addend[index]); // NOLINT
}

bool tlb_linear(const struct soft_cpu *soft, uint64_t host, uint64_t *linear)
{
    for (unsigned i = 0; i < IR_VIEWS; i++) {
        const struct tlb_view *v = &soft->view[i];

        for (unsigned j = 0; j < v->logged; j++) {
            unsigned index = v->log[j];
            uint64_t tag = v->read[index] ? v->read[index] : v->write[index];
            uint64_t page = (-tag - 1) << PAGE_BITS;

            if (tag && (page + v->addend[index]) >> PAGE_BITS == host >> PAGE_BITS) {
                *linear = host - v->addend[index];
                return true;
            }
        }
    }
    return false;
}

struct code_entry *tlb_code(struct soft_cpu *soft, uint64_t linear)
{
    return &soft->code[(linear >> PAGE_BITS) & (CODE_ENTRIES - 1)];
}

void jumped(struct soft_cpu *soft, uint64_t linear)
{
    unsigned bit = (unsigned)(linear >> PAGE_BITS) % JUMPED_BITS;

    soft->jumped[bit / 64] |= UINT64_C(1) << (bit % 64);
}

void jump_remember(struct jump_table *table, uint64_t pc, uint64_t exec, bool global)
{
    unsigned index = (unsigned)pc & (JUMP_ENTRIES - 1);

    if (!(table->known[index] & ENTRY_LOGGED))
        table->log[table->logged++] = (uint16_t)index;
    table->known[index] = (uint8_t)(ENTRY_LOGGED | (global ? ENTRY_GLOBAL : 0));
    __atomic_store_n(&table->entry[index], exec, __ATOMIC_RELAXED);
}

void jump_remember_second(struct jump_table *table, unsigned index, uint64_t pc, uint64_t exec,
                          bool global)
{
    if (!(table->known_second[index] & ENTRY_LOGGED))
        table->log_second[table->logged_second++] = (uint16_t)index;
    table->known_second[index] = (uint8_t)(ENTRY_LOGGED | (global ? ENTRY_GLOBAL : 0));
    table->second[index] = (struct ir_second){-pc - 1, exec};
}

void jump_clear(struct jump_table *table, uint64_t empty)
{
    flush_jumps(table, true, empty);
}

void tlb_new(struct soft_cpu *soft, uint8_t *tables, uint64_t empty)
{
    pthread_mutex_init(&soft->lock, NULL);
    for (unsigned i = 0; i < JUMP_TABLES; i++) {
        soft->jump[i].entry = (uint64_t *)(void *)(tables + SYSTEM_AT + i * SOFT_TABLE);
        soft->jump[i].known = mem_alloc(JUMP_ENTRIES);
        soft->jump[i].log = mem_alloc(JUMP_ENTRIES * sizeof(uint16_t));
        soft->jump[i].second =
            (struct ir_second *)(void *)(tables + SECOND_AT + i * 2 * SOFT_TABLE);
        soft->jump[i].known_second = mem_alloc(JUMP_ENTRIES);
        soft->jump[i].log_second = mem_alloc(JUMP_ENTRIES * sizeof(uint16_t));
        for (unsigned j = 0; j < JUMP_ENTRIES; j++)
            soft->jump[i].entry[j] = empty;
    }
    for (unsigned i = 0; i < IR_VIEWS; i++) {
        uint8_t *at = tables + TLB_AT + 3 * i * SOFT_TABLE;

        soft->view[i].read = (uint64_t *)(void *)at;
        soft->view[i].write = (uint64_t *)(void *)(at + SOFT_TABLE);
        soft->view[i].addend = (uint64_t *)(void *)(at + 2 * SOFT_TABLE);
        soft->view[i].known = mem_alloc(TLB_ENTRIES);
        soft->view[i].log = mem_alloc(TLB_ENTRIES * sizeof(uint16_t));
    }
}

void tlb_free(struct soft_cpu *soft)
{
    pthread_mutex_destroy(&soft->lock);
    for (unsigned i = 0; i < JUMP_TABLES; i++) {
        free(soft->jump[i].known);
        free(soft->jump[i].log);
        free(soft->jump[i].known_second);
        free(soft->jump[i].log_second);
    }
    for (unsigned i = 0; i < IR_VIEWS; i++) {
        free(soft->view[i].known);
        free(soft->view[i].log);
    }
}
