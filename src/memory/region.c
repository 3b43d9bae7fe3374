/* SPDX-License-Identifier: MIT
 *
 * The tree of regions, and who has to look at it again when it changes.
 *
 * A change is seen by the spaces whose root is reached on the way up: from a region to its
 * container, and to the aliases of both. All of them are found first, then each is rendered once
 * (view.c), and only when all show the new picture are their listeners told. A region between
 * mem_begin() and mem_commit() stops the way up and remembers; the commit goes on from there. So
 * there is no state but that of the tree.
 */
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/memory.h"
#include "memory/internal.h"

/* --- changes --- */

static void collect(struct mem_region *region, struct mem_space **stale)
{
    if (region->seen)
        return;
    region->seen = true;
    if (region->held) {
        region->pending = true;
        return;
    }
    for (struct mem_space *space = region->spaces; space; space = space->next) {
        if (!space->stale) {
            space->stale = true;
            space->next_stale = *stale;
            *stale = space;
        }
    }
    if (region->container)
        collect(region->container, stale);
    for (struct mem_region *alias = region->aliases; alias; alias = alias->sibling)
        collect(alias, stale);
}

static void forget_seen(struct mem_region *region)
{
    if (!region->seen)
        return;
    region->seen = false;
    if (region->container)
        forget_seen(region->container);
    for (struct mem_region *alias = region->aliases; alias; alias = alias->sibling)
        forget_seen(alias);
}

static void tell(struct mem_space *space)
{
    for (struct mem_listener *listener = space->listeners, *next; listener; listener = next) {
        next = listener->next;
        listener->changed(listener->opaque);
    }
}

static void renew(struct mem_space *stale)
{
    struct mem_space *changed = NULL;

    for (struct mem_space *space = stale, *next; space; space = next) {
        next = space->next_stale;
        space->stale = false;
        space->next_stale = NULL;
        if (mem_view_renew(space)) {
            space->next_stale = changed;
            changed = space;
        }
    }
    for (struct mem_space *space = changed, *next; space; space = next) {
        next = space->next_stale;
        space->next_stale = NULL;
        tell(space);
    }
}

static void tree_changed(struct mem_region *region)
{
    struct mem_space *stale = NULL;

    collect(region, &stale);
    forget_seen(region);
    renew(stale);
}

void mem_begin(struct mem_region *region)
{
    region->held++;
}

void mem_commit(struct mem_region *region)
{
    if (!region->held)
        bug("mem_commit() without mem_begin(): region '%s'", region->name);
    if (--region->held || !region->pending)
        return;
    region->pending = false;
    tree_changed(region);
}

/* --- making --- */

static void init(struct mem_region *region, enum mem_kind kind, const char *name, uint64_t size)
{
    if (size == 0)
        bug("the memory region '%s' has no bytes", name);
    *region = (struct mem_region){.name = name, .kind = kind, .size = size, .enabled = true};
}

void mem_init_container(struct mem_region *region, const char *name, uint64_t size)
{
    init(region, MEM_CONTAINER, name, size);
}

static bool is_size(unsigned size)
{
    return size == 0 || size == 1 || size == 2 || size == 4 || size == 8;
}

static bool is_span(unsigned min, unsigned max)
{
    return is_size(min) && is_size(max) && (!max || min <= max);
}

void mem_init_io(struct mem_region *region, const char *name, uint64_t size,
                 const struct mem_ops *ops, void *opaque)
{
    if (!is_span(ops->valid_min, ops->valid_max) || !is_span(ops->impl_min, ops->impl_max))
        bug("the memory region '%s' has sizes that are none: valid %u to %u, impl %u to %u", name,
            ops->valid_min, ops->valid_max, ops->impl_min, ops->impl_max);
    init(region, MEM_IO, name, size);
    region->ops = ops;
    region->opaque = opaque;
}

bool mem_init_ram(struct mem_region *region, const char *name, uint64_t size, struct error *err)
{
    *region = (struct mem_region){.name = name};
    if (size == 0)
        return error_set(err, "%s: a memory of 0 bytes", name);
    init(region, MEM_RAM, name, size);
    if (mem_ram_new(region, err))
        return true;
    *region = (struct mem_region){.name = name};
    return false;
}

bool mem_init_rom(struct mem_region *region, const char *name, uint64_t size, struct error *err)
{
    if (!mem_init_ram(region, name, size, err))
        return false;
    region->kind = MEM_ROM;
    region->readonly = true;
    return true;
}

void mem_init_alias(struct mem_region *region, const char *name, struct mem_region *target,
                    uint64_t offset, uint64_t size)
{
    init(region, MEM_ALIAS, name, size);
    region->target = target;
    region->target_offset = offset;
    region->sibling = target->aliases;
    target->aliases = region;
}

static void leave_target(struct mem_region *alias)
{
    struct mem_region **at = &alias->target->aliases;

    while (*at != alias)
        at = &(*at)->sibling;
    *at = alias->sibling;
    alias->target = alias->sibling = NULL;
}

void mem_free(struct mem_region *region)
{
    region->held = 0;
    mem_remove(region);
    while (region->children) {
        struct mem_region *child = region->children;
        region->children = child->next;
        child->container = child->next = NULL;
    }
    if (region->target)
        leave_target(region);
    while (region->aliases) {
        struct mem_region *alias = region->aliases;
        leave_target(alias);
        tree_changed(alias);
    }
    while (region->spaces) {
        struct mem_space *space = region->spaces;
        region->spaces = space->next;
        space->root = NULL;
        space->next = NULL;
        renew(space);
    }
    if (region->ram)
        mem_ram_free(region->ram);
    *region = (struct mem_region){.name = region->name};
}

/* --- the tree --- */

void mem_add(struct mem_region *container, struct mem_region *region, uint64_t address,
             int priority)
{
    struct mem_region **at = &container->children;

    if (region->container)
        bug("the memory region '%s' is in '%s' already", region->name, region->container->name);
    if (container->kind == MEM_ALIAS)
        bug("the memory region '%s' added to the alias '%s'", region->name, container->name);
    while (*at && (*at)->priority > priority)
        at = &(*at)->next;
    region->container = container;
    region->address = address;
    region->priority = priority;
    region->next = *at;
    *at = region;
    tree_changed(region);
}

void mem_remove(struct mem_region *region)
{
    struct mem_region *container = region->container;

    if (!container)
        return;
    struct mem_region **at = &container->children;
    while (*at != region)
        at = &(*at)->next;
    *at = region->next;
    region->next = region->container = NULL;
    tree_changed(container);
}

void mem_move(struct mem_region *region, uint64_t address)
{
    if (region->address == address)
        return;
    region->address = address;
    tree_changed(region);
}

void mem_enable(struct mem_region *region, bool enabled)
{
    if (region->enabled == enabled)
        return;
    region->enabled = enabled;
    tree_changed(region);
}

void mem_set_readonly(struct mem_region *region, bool readonly)
{
    if (region->readonly == readonly)
        return;
    region->readonly = readonly;
    tree_changed(region);
}

void mem_set_alias_offset(struct mem_region *region, uint64_t offset)
{
    if (region->target_offset == offset)
        return;
    region->target_offset = offset;
    tree_changed(region);
}

/* --- spaces --- */

struct mem_space *mem_space_new(const char *name, struct mem_region *root)
{
    struct mem_space *space = mem_alloc(sizeof *space);

    space->name = mem_string(name);
    space->root = root;
    space->next = root->spaces;
    root->spaces = space;
    mem_view_renew(space);
    return space;
}

const char *mem_space_name(const struct mem_space *space)
{
    return space->name;
}

void mem_listen(struct mem_space *space, struct mem_listener *listener)
{
    listener->next = space->listeners;
    space->listeners = listener;
}

void mem_listen_no_more(struct mem_space *space, struct mem_listener *listener)
{
    for (struct mem_listener **at = &space->listeners; *at; at = &(*at)->next) {
        if (*at == listener) {
            *at = listener->next;
            listener->next = NULL;
            return;
        }
    }
}
