/* SPDX-License-Identifier: MIT
 *
 * What page tables map, for readers: `info tlb`, a line a page, and `info mem`, a line for each run
 * of pages with the same rights. The shapes are QEMU's; behind its three letters of rights we have
 * a fourth, x, and addresses are what the walk makes of an entry. */
#include <inttypes.h>

#include "base/strbuf.h"
#include "guest/x86/internal.h"
#include "guest/x86/paging.h"

#define NO_EXECUTE (UINT64_C(1) << 63)

enum {
    ENTRIES_MAX = 1 << 25, /* that are looked at: a fraction of a second */
    WRITABLE = 1 << 1,
    USER = 1 << 2,
    WRITE_THROUGH = 1 << 3,
    CACHE_OFF = 1 << 4,
    ACCESSED = 1 << 5,
    DIRTY = 1 << 6,
    GLOBAL = 1 << 8,
};

struct printer {
    struct strbuf *text;
    size_t end; /* length of the text that is enough */
    struct x86_page run;
    uint64_t run_end; /* 0: there is no run yet */
};

static bool is_paging(const struct x86_cpu *cpu, struct strbuf *text)
{
    if (!(cpu->system.cr0 & X86_CR0_PG)) {
        strbuf_puts(text, "PG disabled\n");
        return false;
    }
    return true;
}

static void say_cut(struct strbuf *text)
{
    strbuf_puts(text, "there is more: the tables lead to very many pages\n");
}

/* The letters are the bits of the last entry, as in QEMU; those of the tables above it, which may
 * take rights away, are in `info mem`. */
static bool print_page(void *opaque, const struct x86_page *page)
{
    struct printer *printer = opaque;
    const uint64_t entry = page->entry;

    strbuf_printf(printer->text, "%016" PRIx64 ": %016" PRIx64 " %c%c%c%c%c%c%c%c%c\n",
                  page->linear, page->physical, entry & NO_EXECUTE ? 'X' : '-',
                  entry & GLOBAL ? 'G' : '-', page->large ? 'P' : '-', entry & DIRTY ? 'D' : '-',
                  entry & ACCESSED ? 'A' : '-', entry & CACHE_OFF ? 'C' : '-',
                  entry & WRITE_THROUGH ? 'T' : '-', entry & USER ? 'U' : '-',
                  entry & WRITABLE ? 'W' : '-');
    return printer->text->len < printer->end;
}

void x86_print_pages(struct x86_cpu *cpu, size_t most, struct strbuf *text)
{
    struct printer printer = {.text = text, .end = text->len + most};

    if (is_paging(cpu, text) && !x86_each_page(cpu, ENTRIES_MAX, print_page, &printer)) {
        say_cut(text);
    }
}

/* The end of the run at the top of the lower half is not canonical, that of the last is 2^48, as
 * QEMU prints them; in 32-bit modes it is 2^32. */
static void print_run(struct printer *printer)
{
    const struct x86_page *run = &printer->run;
    uint64_t end = printer->run_end;

    if (end == 0) {
        end = UINT64_C(1) << 48;
    }
    strbuf_printf(printer->text, "%016" PRIx64 "-%016" PRIx64 " %016" PRIx64 " %cr%c%c\n",
                  run->linear, end, printer->run_end - run->linear, run->user ? 'u' : '-',
                  run->writable ? 'w' : '-', run->no_execute ? '-' : 'x');
}

static bool add_page(void *opaque, const struct x86_page *page)
{
    struct printer *printer = opaque;
    struct x86_page *run = &printer->run;

    if (run->size && printer->run_end == page->linear && run->user == page->user &&
        run->writable == page->writable && run->no_execute == page->no_execute) {
        printer->run_end += page->size;
        return true;
    }
    if (run->size) {
        print_run(printer);
    }
    *run = *page;
    printer->run_end = page->linear + page->size;
    return printer->text->len < printer->end;
}

void x86_print_mappings(struct x86_cpu *cpu, size_t most, struct strbuf *text)
{
    struct printer printer = {.text = text, .end = text->len + most};

    if (!is_paging(cpu, text)) {
        return;
    }
    bool all = x86_each_page(cpu, ENTRIES_MAX, add_page, &printer);
    if (printer.run.size) {
        print_run(&printer);
    }
    if (!all) {
        say_cut(text);
    }
}
