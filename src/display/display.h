/* SPDX-License-Identifier: MIT
 *
 * Screens. A device that has one owns a struct display_console: it draws into the console's surface
 * when it is asked to, and says which rectangles are others than before. Who shows the screen
 * listens to the console and asks for updates as often as it likes: a picture in a file, a window,
 * a protocol. Keys are in keys.h.
 *
 *     device:    display_console_add(&board->consoles, &d->console, "VGA", &ops, d)
 *     front end: display_console_listen(console, &listener); ... display_console_update(console)
 *     ops.draw:  display_console_resize() if need be, pixels, display_console_changed()
 *
 * All functions are called with the machine's lock held, and so are those of devices and listeners.
 *
 * Read in this order: this header, console.c (surfaces and who is told), screendump.c (files),
 * text.c (screens as text).
 */
#ifndef DISPLAY_DISPLAY_H
#define DISPLAY_DISPLAY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct strbuf;

/* No screen is larger: what a guest asks for beyond it is not shown. */
enum {
    DISPLAY_WIDTH_MAX = 16000,
    DISPLAY_HEIGHT_MAX = 12000,
    DISPLAY_PIXELS_MAX = 32 << 20,
};

/* Rows from the top without gaps; a pixel is 0x00RRGGBB. */
struct display_surface {
    unsigned width, height; /* 0: nothing was drawn yet */
    uint32_t *pixels;
};

struct display_rectangle {
    unsigned x, y, width, height;
};

/* A screen of characters: codes of IBM's code page 437. */
struct display_cell {
    uint8_t code, attribute;
};

struct display_text {
    unsigned columns, rows;
    struct display_cell *cells; /* rows from the top; the caller's, display_text_free() */
    bool cursor;                /* it is shown, at: */
    unsigned cursor_column, cursor_row;
};

/* What the device does. */
struct display_console_ops {
    /* Brings the surface up to date. */
    void (*draw)(void *opaque);
    /* What was drawn is forgotten: the next draw() draws and tells everything. */
    void (*forget)(void *opaque);
    /* Fills in `text`, which display_text_init() made room in; false: the screen shows pixels. */
    bool (*text)(void *opaque, struct display_text *text);
};

/* Who shows the screen. Both may be NULL. */
struct display_listener {
    void *opaque;
    void (*resized)(void *opaque, const struct display_surface *surface);
    /* The pixels of the rectangle are others; it lies within the surface. */
    void (*changed)(void *opaque, const struct display_surface *surface,
                    const struct display_rectangle *rectangle);
    struct display_listener *next;
};

/* Lies in the device, all zeros at first. */
struct display_console {
    const char *name; /* of the device's class */
    const char *id;   /* of -device id=; NULL: none */
    const struct display_console_ops *ops;
    void *opaque;
    struct display_surface surface;
    struct display_listener *listeners;
    struct display_console **list;
    struct display_console *next;
};

/* --- for devices --- */

/* Puts the console behind the others of the machine. Name and id must outlive it. */
void display_console_add(struct display_console **list, struct display_console *console,
                         const char *name, const char *id, const struct display_console_ops *ops,
                         void *opaque);
/* Takes it away and frees its surface. Not added: nothing. */
void display_console_remove(struct display_console *console);
/* A surface of another size is black and wholly changed. False: larger than the limits above, or
 * without pixels; the surface stays as it is. */
bool display_console_resize(struct display_console *console, unsigned width, unsigned height);
/* Tells the listeners; what reaches over the surface's edge is cut off. */
void display_console_changed(struct display_console *console, unsigned x, unsigned y,
                             unsigned width, unsigned height);
/* Puts one row of `surface.width` pixels in place, and adds what is new of it to `rectangle` (all
 * 0: empty), for display_console_changed_rectangle() behind the last. */
void display_console_row(struct display_console *console, unsigned y, const uint32_t *pixels,
                         struct display_rectangle *rectangle);
void display_console_changed_rectangle(struct display_console *console,
                                       const struct display_rectangle *rectangle);

/* Room for cells, at most DISPLAY_TEXT_MAX each way, all 0. */
enum { DISPLAY_TEXT_MAX = 512 };
void display_text_init(struct display_text *text, unsigned columns, unsigned rows);
void display_text_free(struct display_text *text);

/* --- for those who show --- */

/* The console of the device with this id; NULL: the first. NULL: there is none. */
struct display_console *display_console_find(struct display_console *list, const char *id);
/* Draws what has changed and tells all listeners. */
void display_console_update(struct display_console *console);
/* The listener is told of everything from its next update on. */
void display_console_listen(struct display_console *console, struct display_listener *listener);
void display_console_listen_no_more(struct display_console *console,
                                    struct display_listener *listener);

/* --- pictures --- */

enum display_format { DISPLAY_PPM, DISPLAY_PNG, DISPLAY_TEXT };

/* "ppm", "png", "text". */
bool display_format_parse(const char *name, enum display_format *format, struct error *err);
/* Updates the console and writes its screen to a file, which is created private; an existing one is
 * replaced. What is written of a screen of characters as text is as display_text_print() does. */
bool display_screendump(struct display_console *console, const char *path,
                        enum display_format format, struct error *err);

/* The characters as UTF-8, a line a row, without the blanks at their ends and without empty lines
 * at the end of the screen. */
void display_text_print(const struct display_text *text, struct strbuf *to);
/* Text of the screen as it is now, added to `to`. False and a sentence if it shows pixels. */
bool display_console_text(struct display_console *console, struct strbuf *to, struct error *err);
/* The Unicode character that a code of the page is drawn as; 0 and 255 are blanks. */
uint32_t display_unicode(uint8_t code);

#endif
