/* SPDX-License-Identifier: MIT
 *
 * `info mtree` and `info mtree -f`: the tree, and what is seen of it. Scripts read this; the shape
 * is QEMU's. A region that is not enabled has no line, but those in it that are have theirs. */
#include <inttypes.h>
#include <stdlib.h>

#include "base/memory.h"
#include "base/strbuf.h"
#include "memory/internal.h"

/* --- the tree --- */

struct printer {
    struct strbuf *text;
    const struct mem_region **shown; /* targets of aliases, each once, in the order of meeting */
    size_t count, room;
};

static void remember(struct printer *printer, const struct mem_region *target)
{
    for (size_t i = 0; i < printer->count; i++) {
        if (printer->shown[i] == target)
            return;
    }
    if (printer->count == printer->room) {
        printer->room = printer->room ? 2 * printer->room : 16;
        printer->shown = mem_resize(printer->shown, printer->room, sizeof *printer->shown);
    }
    printer->shown[printer->count++] = target;
}

/* An alias is called what it shows. */
static const char *kind_word(const struct mem_region *region)
{
    bool readonly = region->readonly;

    while (region->kind == MEM_ALIAS && region->target) {
        region = region->target;
        readonly |= region->readonly;
    }
    return !region->ram ? "i/o" : readonly ? "rom" : "ram";
}

static void print_span(struct strbuf *text, unsigned indent, uint64_t first, uint64_t last)
{
    strbuf_printf(text, "%*s%016" PRIx64 "-%016" PRIx64, (int)(2 * indent), "", first, last);
}

static void print_region(struct printer *printer, const struct mem_region *region, uint64_t base,
                         unsigned indent)
{
    const struct mem_region *target = region->target;

    print_span(printer->text, indent, base, base + mem_last(region));
    strbuf_printf(printer->text, " (prio %d, %s): ", region->priority, kind_word(region));
    if (region->kind != MEM_ALIAS) {
        strbuf_printf(printer->text, "%s\n", region->name);
        return;
    }
    strbuf_printf(printer->text, "alias %s @%s ", region->name, target ? target->name : "(none)");
    print_span(printer->text, 0, region->target_offset, region->target_offset + mem_last(region));
    strbuf_putc(printer->text, '\n');
    if (target)
        remember(printer, target);
}

/* By address, then the higher priority first. */
static int by_address(const void *a, const void *b)
{
    const struct mem_region *left = *(const struct mem_region *const *)a;
    const struct mem_region *right = *(const struct mem_region *const *)b;

    if (left->address != right->address)
        return left->address < right->address ? -1 : 1;
    return left->priority > right->priority ? -1 : left->priority < right->priority;
}

static void print_tree(struct printer *printer, const struct mem_region *region, uint64_t base,
                       unsigned indent)
{
    const struct mem_region **children;
    size_t count = 0;

    if (region->enabled)
        print_region(printer, region, base, indent);
    for (const struct mem_region *child = region->children; child; child = child->next)
        count++;
    if (!count)
        return;
    children = mem_alloc(count * sizeof *children);
    count = 0;
    for (const struct mem_region *child = region->children; child; child = child->next)
        children[count++] = child;
    qsort(children, count, sizeof *children, by_address);
    for (size_t i = 0; i < count; i++)
        print_tree(printer, children[i], base + children[i]->address, indent + 1);
    free(children);
}

/* True for the first of the spaces that have this root. */
static bool is_first(struct mem_space *const *spaces, size_t at)
{
    for (size_t i = 0; i < at; i++) {
        if (spaces[i]->root == spaces[at]->root)
            return false;
    }
    return true;
}

static void print_trees(struct mem_space *const *spaces, size_t count, struct strbuf *text)
{
    struct printer printer = {.text = text};

    for (size_t i = 0; i < count; i++) {
        if (!is_first(spaces, i))
            continue;
        for (size_t j = i; j < count; j++) {
            if (spaces[j]->root == spaces[i]->root)
                strbuf_printf(text, "address-space: %s\n", spaces[j]->name);
        }
        if (spaces[i]->root)
            print_tree(&printer, spaces[i]->root, 0, 1);
        strbuf_putc(text, '\n');
    }
    /* Grows on the way. */
    for (size_t i = 0; i < printer.count; i++) {
        strbuf_printf(text, "memory-region: %s\n", printer.shown[i]->name);
        print_tree(&printer, printer.shown[i], printer.shown[i]->address, 1);
        strbuf_putc(text, '\n');
    }
    free(printer.shown);
}

/* --- flat --- */

static void print_pieces(const struct mem_space *space, struct strbuf *text)
{
    struct mem_piece piece;

    for (size_t i = 0; mem_view_piece(space, i, &piece); i++) {
        const char *kind = !piece.region->ram ? "i/o" : piece.readonly ? "rom" : "ram";
        print_span(text, 1, piece.start, piece.last);
        strbuf_printf(text, " (prio %d, %s): %s", piece.region->priority, kind, piece.region->name);
        if (piece.offset)
            strbuf_printf(text, " @%016" PRIx64, piece.offset);
        strbuf_putc(text, '\n');
    }
}

static void print_flat(struct mem_space *const *spaces, size_t count, struct strbuf *text)
{
    unsigned number = 0;

    for (size_t i = 0; i < count; i++) {
        struct mem_piece piece;
        if (!is_first(spaces, i))
            continue;
        strbuf_printf(text, "FlatView #%u\n", number++);
        for (size_t j = i; j < count; j++) {
            const struct mem_region *root = spaces[j]->root;
            if (root == spaces[i]->root)
                strbuf_printf(text, " AS \"%s\", root: %s\n", spaces[j]->name,
                              root ? root->name : "(none)");
        }
        if (mem_view_piece(spaces[i], 0, &piece)) {
            strbuf_printf(text, " Root memory region: %s\n", spaces[i]->root->name);
            print_pieces(spaces[i], text);
        } else {
            strbuf_puts(text, " Root memory region: (none)\n  No rendered FlatView\n");
        }
        strbuf_putc(text, '\n');
    }
}

void mem_print(struct mem_space *const *spaces, size_t count, bool flat, struct strbuf *text)
{
    if (flat)
        print_flat(spaces, count, text);
    else
        print_trees(spaces, count, text);
}
