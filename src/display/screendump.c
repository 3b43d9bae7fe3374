/* SPDX-License-Identifier: MIT
 *
 * Pictures of screens as files: PPM (netpbm's format P6), PNG by libpng, text. */
#include <png.h>
#include <stdlib.h>

#include "base/memory.h"
#include "base/output.h"
#include "base/strbuf.h"
#include "display/display.h"
#include "trace-display.h"

static const struct {
    const char *name;
    enum display_format format;
} formats[] = {{"ppm", DISPLAY_PPM}, {"png", DISPLAY_PNG}, {"text", DISPLAY_TEXT}};

bool display_format_parse(const char *name, enum display_format *format, struct error *err)
{
    for (size_t i = 0; i < sizeof(formats) / sizeof(formats[0]); i++) {
        if (strcmp(formats[i].name, name) == 0) {
            *format = formats[i].format;
            return true;
        }
    }
    return error_set(err, "invalid parameter value: %s (ppm, png and text are possible)", name);
}

/* A row as bytes: red, green, blue. */
static void row_bytes(const struct display_surface *surface, unsigned y, uint8_t *to)
{
    const uint32_t *pixel = surface->pixels + (size_t)y * surface->width;
    for (unsigned x = 0; x < surface->width; x++, to += 3) {
        to[0] = (uint8_t)(pixel[x] >> 16);
        to[1] = (uint8_t)(pixel[x] >> 8);
        to[2] = (uint8_t)pixel[x];
    }
}

static void write_ppm(const struct display_surface *surface, struct output *out)
{
    size_t size = (size_t)surface->width * 3;
    uint8_t *row = mem_alloc(size);
    output_printf(out, "P6\n%u %u\n255\n", surface->width, surface->height);
    for (unsigned y = 0; y < surface->height; y++) {
        row_bytes(surface, y, row);
        output_add(out, row, size);
    }
    free(row);
}

/* --- PNG --- */

static void png_write_bytes(png_structp png, png_bytep bytes, size_t size)
{
    output_add(png_get_io_ptr(png), bytes, size);
}

static void png_flush_bytes(png_structp png)
{
    (void)png; /* closing does it */
}

/* libpng leaves through here, never back. */
static void png_failed(png_structp png, png_const_charp message)
{
    error_set(png_get_error_ptr(png), "libpng: %s", message);
    png_longjmp(png, 1);
}

static void png_warned(png_structp png, png_const_charp message)
{
    (void)png;
    (void)message;
}

static bool write_rows(png_structp png, png_infop info, const struct display_surface *surface,
                       uint8_t *row)
{
    if (setjmp(png_jmpbuf(png)))
        return false;
    png_set_IHDR(png, info, surface->width, surface->height, 8, PNG_COLOR_TYPE_RGB,
                 PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
    png_write_info(png, info);
    for (unsigned y = 0; y < surface->height; y++) {
        row_bytes(surface, y, row);
        png_write_row(png, row);
    }
    png_write_end(png, info);
    return true;
}

static bool write_png(const struct display_surface *surface, struct output *out, struct error *err)
{
    uint8_t *row = mem_alloc((size_t)surface->width * 3);
    png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, err, png_failed, png_warned);
    png_infop info = png ? png_create_info_struct(png) : NULL;
    bool good = info;
    if (good) {
        png_set_write_fn(png, out, png_write_bytes, png_flush_bytes);
        good = write_rows(png, info, surface, row);
    } else {
        error_set(err, "libpng does not start (it is another version than it was built with)");
    }
    png_destroy_write_struct(&png, &info);
    free(row);
    return good;
}

/* --- files --- */

static bool write_text(struct display_console *console, const char *path, struct error *err)
{
    struct strbuf text;
    strbuf_init(&text);
    struct output *out = NULL;
    if (display_console_text(console, &text, err) && (out = output_open(path, err)))
        output_add(out, text.data, text.len);
    strbuf_free(&text);
    return out && output_close(out, err);
}

bool display_screendump(struct display_console *console, const char *path,
                        enum display_format format, struct error *err)
{
    struct error own;
    const struct display_surface *surface = &console->surface;
    if (!err)
        err = &own;
    display_console_update(console);
    trace_display_screendump(console->name, path, (int)surface->width, (int)surface->height);
    if (format == DISPLAY_TEXT)
        return write_text(console, path, err);
    if (!surface->width)
        return error_set(err, "%s has shown nothing yet", console->name);
    struct output *out = output_open(path, err);
    if (!out)
        return false;
    bool good = true;
    if (format == DISPLAY_PNG)
        good = write_png(surface, out, err);
    else
        write_ppm(surface, out);
    return output_close(out, good ? err : NULL) && good;
}
