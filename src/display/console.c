/* SPDX-License-Identifier: MIT
 *
 * Consoles: their surfaces, and who is told what changed. */
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "display/display.h"
#include "trace-display.h"

void display_console_add(struct display_console **list, struct display_console *console,
                         const char *name, const char *id, const struct display_console_ops *ops,
                         void *opaque)
{
    *console = (struct display_console){
        .name = name, .id = id, .ops = ops, .opaque = opaque, .list = list};
    while (*list)
        list = &(*list)->next;
    *list = console;
}

static void free_surface(struct display_console *console)
{
    if (console->surface.pixels)
        trace_displaysurface_free(&console->surface);
    free(console->surface.pixels);
    console->surface = (struct display_surface){0, 0, NULL};
}

void display_console_remove(struct display_console *console)
{
    if (!console->list)
        return;
    struct display_console **at = console->list;
    while (*at != console)
        at = &(*at)->next;
    *at = console->next;
    console->list = NULL;
    console->next = NULL;
    free_surface(console);
}

struct display_console *display_console_find(struct display_console *list, const char *id)
{
    while (list && id && (!list->id || strcmp(list->id, id) != 0))
        list = list->next;
    return list;
}

/* --- surfaces --- */

bool display_console_resize(struct display_console *console, unsigned width, unsigned height)
{
    struct display_surface *surface = &console->surface;
    if (surface->width == width && surface->height == height && width && height)
        return true;
    if (!width || !height || width > DISPLAY_WIDTH_MAX || height > DISPLAY_HEIGHT_MAX ||
        (uint64_t)width * height > DISPLAY_PIXELS_MAX)
        return false;
    free_surface(console);
    surface->width = width;
    surface->height = height;
    surface->pixels = mem_alloc((size_t)width * height * sizeof(*surface->pixels));
    trace_displaysurface_create(surface, (int)width, (int)height);
    for (struct display_listener *l = console->listeners, *next; l; l = next) {
        next = l->next;
        if (l->resized)
            l->resized(l->opaque, surface);
    }
    display_console_changed(console, 0, 0, width, height);
    return true;
}

void display_console_changed(struct display_console *console, unsigned x, unsigned y,
                             unsigned width, unsigned height)
{
    const struct display_surface *surface = &console->surface;
    if (x >= surface->width || y >= surface->height)
        return;
    struct display_rectangle rectangle = {x, y, width, height};
    if (rectangle.width > surface->width - x)
        rectangle.width = surface->width - x;
    if (rectangle.height > surface->height - y)
        rectangle.height = surface->height - y;
    if (!rectangle.width || !rectangle.height)
        return;
    for (struct display_listener *l = console->listeners, *next; l; l = next) {
        next = l->next;
        if (l->changed)
            l->changed(l->opaque, surface, &rectangle);
    }
}

/* The smallest rectangle around both. */
static void enclose(struct display_rectangle *all, unsigned x, unsigned y, unsigned width)
{
    if (!all->width) {
        *all = (struct display_rectangle){x, y, width, 1};
        return;
    }
    unsigned right = all->x + all->width, bottom = all->y + all->height;
    all->x = x < all->x ? x : all->x;
    all->y = y < all->y ? y : all->y;
    all->width = (x + width > right ? x + width : right) - all->x;
    all->height = (y + 1 > bottom ? y + 1 : bottom) - all->y;
}

void display_console_row(struct display_console *console, unsigned y, const uint32_t *pixels,
                         struct display_rectangle *rectangle)
{
    unsigned first = 0, end = console->surface.width;
    uint32_t *row = console->surface.pixels + (size_t)y * end;
    if (memcmp(row, pixels, end * sizeof(*row)) == 0)
        return;
    while (row[first] == pixels[first])
        first++;
    while (row[end - 1] == pixels[end - 1])
        end--;
    memcpy(row + first, pixels + first, (end - first) * sizeof(*row));
    enclose(rectangle, first, y, end - first);
}

void display_console_changed_rectangle(struct display_console *console,
                                       const struct display_rectangle *rectangle)
{
    display_console_changed(console, rectangle->x, rectangle->y, rectangle->width,
                            rectangle->height);
}

/* --- who shows --- */

void display_console_update(struct display_console *console)
{
    console->ops->draw(console->opaque);
}

void display_console_listen(struct display_console *console, struct display_listener *listener)
{
    listener->next = console->listeners;
    console->listeners = listener;
    free_surface(console);
    console->ops->forget(console->opaque);
}

void display_console_listen_no_more(struct display_console *console,
                                    struct display_listener *listener)
{
    for (struct display_listener **at = &console->listeners; *at; at = &(*at)->next) {
        if (*at == listener) {
            *at = listener->next;
            listener->next = NULL;
            return;
        }
    }
}
