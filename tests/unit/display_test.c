/* SPDX-License-Identifier: MIT
 *
 * Screens without a device: surfaces, what listeners are told, pictures in files as others read
 * them, and characters of code page 437 as UTF-8.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <iconv.h>
#include <png.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/memory.h"
#include "base/strbuf.h"
#include "display/display.h"

/* --- a screen --- */

struct sample {
    struct display_console *list;
    struct display_console console;
    unsigned width, height; /* of the next picture */
    uint32_t seed;
    unsigned draws, forgets;
    const char *text; /* rows of 8; NULL: pixels */
};

static uint32_t sample_pixel(const struct sample *s, unsigned x, unsigned y)
{
    return (x * 0x010305u + y * 0x112233u + s->seed) & 0xffffff;
}

static void sample_draw(void *opaque)
{
    struct sample *s = opaque;
    struct display_rectangle changed = {0, 0, 0, 0};
    s->draws++;
    if (!display_console_resize(&s->console, s->width, s->height))
        return;
    uint32_t *row = mem_alloc(s->width * sizeof(*row));
    for (unsigned y = 0; y < s->height; y++) {
        for (unsigned x = 0; x < s->width; x++)
            row[x] = sample_pixel(s, x, y);
        display_console_row(&s->console, y, row, &changed);
    }
    free(row);
    display_console_changed_rectangle(&s->console, &changed);
}

static void sample_forget(void *opaque)
{
    ((struct sample *)opaque)->forgets++;
}

static bool sample_text(void *opaque, struct display_text *text)
{
    const struct sample *s = opaque;
    if (!s->text)
        return false;
    display_text_init(text, 8, (unsigned)strlen(s->text) / 8);
    for (unsigned i = 0; s->text[i]; i++)
        text->cells[i].code = (uint8_t)s->text[i];
    return true;
}

static const struct display_console_ops ops = {sample_draw, sample_forget, sample_text};

static void begin(struct sample *s)
{
    memset(s, 0, sizeof(*s));
    s->width = 37;
    s->height = 11;
    display_console_add(&s->list, &s->console, "sample", "screen0", &ops, s);
}

static void end(struct sample *s)
{
    display_console_remove(&s->console);
    assert_null(s->list);
    assert_null(s->console.surface.pixels);
}

/* --- consoles --- */

static void consoles_are_found(void **state)
{
    struct sample one, two;
    (void)state;
    begin(&one);
    memset(&two, 0, sizeof(two));
    display_console_remove(&two.console); /* not added: nothing */
    display_console_add(&one.list, &two.console, "other", NULL, &ops, &two);
    assert_ptr_equal(display_console_find(one.list, NULL), &one.console);
    assert_ptr_equal(display_console_find(one.list, "screen0"), &one.console);
    assert_null(display_console_find(one.list, "screen1"));
    assert_ptr_equal(one.console.next, &two.console);
    display_console_remove(&two.console);
    assert_null(one.console.next);
    assert_null(display_console_find(NULL, NULL));
    end(&one);
}

static void sizes_are_bounded(void **state)
{
    struct sample s;
    (void)state;
    begin(&s);
    assert_true(display_console_resize(&s.console, 640, 480));
    assert_false(display_console_resize(&s.console, 0, 480));
    assert_false(display_console_resize(&s.console, 640, 0));
    assert_false(display_console_resize(&s.console, DISPLAY_WIDTH_MAX + 1, 1));
    assert_false(display_console_resize(&s.console, 1, DISPLAY_HEIGHT_MAX + 1));
    assert_false(display_console_resize(&s.console, 16000, 12000));
    assert_int_equal(s.console.surface.width, 640);
    assert_int_equal(s.console.surface.height, 480);
    assert_int_equal(s.console.surface.pixels[640 * 480 - 1], 0);
    end(&s);
}

struct told {
    unsigned resized, changed;
    struct display_rectangle last;
};

static void told_resized(void *opaque, const struct display_surface *surface)
{
    (void)surface;
    ((struct told *)opaque)->resized++;
}

static void told_changed(void *opaque, const struct display_surface *surface,
                         const struct display_rectangle *rectangle)
{
    struct told *told = opaque;
    (void)surface;
    told->changed++;
    told->last = *rectangle;
}

static void check_last(const struct told *told, unsigned x, unsigned y, unsigned width,
                       unsigned height)
{
    assert_int_equal(told->last.x, x);
    assert_int_equal(told->last.y, y);
    assert_int_equal(told->last.width, width);
    assert_int_equal(told->last.height, height);
}

static void listeners_are_told(void **state)
{
    struct sample s;
    struct told a = {0}, b = {0};
    struct display_listener first = {&a, told_resized, told_changed, NULL};
    struct display_listener second = {&b, NULL, told_changed, NULL};
    (void)state;
    begin(&s);
    display_console_listen(&s.console, &first);
    display_console_listen(&s.console, &second);
    assert_int_equal(s.forgets, 2);
    display_console_update(&s.console);
    assert_int_equal(a.resized, 1);
    check_last(&a, 0, 0, 37, 11);
    a.changed = b.changed = 0;
    display_console_update(&s.console);
    assert_int_equal(a.changed, 0);
    display_console_changed(&s.console, 30, 10, 100, 100); /* cut off */
    check_last(&a, 30, 10, 7, 1);
    check_last(&b, 30, 10, 7, 1);
    display_console_changed(&s.console, 37, 0, 1, 1); /* outside */
    display_console_changed(&s.console, 0, 0, 0, 1);  /* empty */
    assert_int_equal(a.changed, 1);
    s.console.surface.pixels[3 * 37 + 5] ^= 1;
    s.console.surface.pixels[6 * 37 + 2] ^= 1;
    s.console.surface.pixels[6 * 37 + 9] ^= 1;
    display_console_update(&s.console);
    check_last(&a, 2, 3, 8, 4);
    display_console_listen_no_more(&s.console, &second);
    s.seed = 1;
    b.changed = 0;
    display_console_update(&s.console);
    assert_int_equal(b.changed, 0);
    check_last(&a, 0, 0, 37, 11);
    end(&s);
}

/* --- files --- */

static char *path_of(const char *name)
{
    const char *folder = getenv("TMPDIR");
    return mem_format("%s/display_test.%d.%s", folder ? folder : "/tmp", (int)getpid(), name);
}

static void dump(struct sample *s, const char *path, enum display_format format)
{
    struct error err = {""};
    if (!display_screendump(&s->console, path, format, &err))
        fail_msg("%s", err.text);
    struct stat stat_of;
    assert_int_equal(stat(path, &stat_of), 0);
    assert_int_equal(stat_of.st_mode & 0777, 0600);
}

static char *slurp(const char *path, size_t *size)
{
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    fseek(file, 0, SEEK_END);
    *size = (size_t)ftell(file);
    rewind(file);
    char *bytes = mem_alloc(*size + 1);
    assert_int_equal(fread(bytes, 1, *size, file), *size);
    fclose(file);
    return bytes;
}

static void check_bytes(const struct sample *s, const uint8_t *rgb)
{
    for (unsigned y = 0; y < s->height; y++) {
        for (unsigned x = 0; x < s->width; x++, rgb += 3) {
            uint32_t got = (uint32_t)rgb[0] << 16 | rgb[1] << 8 | rgb[2];
            assert_int_equal(got, sample_pixel(s, x, y));
        }
    }
}

static void ppm_is_netpbms(void **state)
{
    struct sample s;
    size_t size;
    (void)state;
    begin(&s);
    char *path = path_of("ppm");
    dump(&s, path, DISPLAY_PPM);
    char *bytes = slurp(path, &size);
    static const char head[] = "P6\n37 11\n255\n";
    assert_int_equal(size, sizeof(head) - 1 + 37 * 11 * 3);
    assert_memory_equal(bytes, head, sizeof(head) - 1);
    check_bytes(&s, (uint8_t *)bytes + sizeof(head) - 1);
    free(bytes);
    s.seed = 77; /* the file is replaced, and the picture is that of now */
    dump(&s, path, DISPLAY_PPM);
    bytes = slurp(path, &size);
    check_bytes(&s, (uint8_t *)bytes + sizeof(head) - 1);
    free(bytes);
    unlink(path);
    free(path);
    end(&s);
}

static void png_is_read_by_libpng(void **state)
{
    struct sample s;
    (void)state;
    begin(&s);
    s.width = 801;
    s.height = 599;
    char *path = path_of("png");
    dump(&s, path, DISPLAY_PNG);
    png_image image = {.version = PNG_IMAGE_VERSION};
    assert_int_not_equal(png_image_begin_read_from_file(&image, path), 0);
    assert_int_equal(image.width, 801);
    assert_int_equal(image.height, 599);
    assert_int_equal(image.format, PNG_FORMAT_RGB);
    uint8_t *pixels = mem_alloc(PNG_IMAGE_SIZE(image));
    assert_int_not_equal(png_image_finish_read(&image, NULL, pixels, 0, NULL), 0);
    check_bytes(&s, pixels);
    free(pixels);
    unlink(path);
    free(path);
    end(&s);
}

static void text_goes_to_files(void **state)
{
    struct sample s;
    size_t size;
    (void)state;
    begin(&s);
    s.text = "Hello   "
             "  \xdb\xb0 x  "
             "        ";
    char *path = path_of("txt");
    dump(&s, path, DISPLAY_TEXT);
    char *bytes = slurp(path, &size);
    assert_string_equal(bytes, "Hello\n  \u2588\u2591 x\n");
    free(bytes);
    unlink(path);
    free(path);
    end(&s);
}

static void failures_are_sentences(void **state)
{
    struct sample s;
    struct error err = {""};
    enum display_format format = DISPLAY_PPM;
    (void)state;
    begin(&s);
    assert_false(display_screendump(&s.console, "/nowhere/at/all", DISPLAY_PNG, &err));
    assert_non_null(strstr(err.text, "/nowhere/at/all"));
    assert_non_null(strstr(err.text, "No such file or directory"));
    assert_false(display_screendump(&s.console, "/dev/full", DISPLAY_PPM, &err));
    assert_non_null(strstr(err.text, "No space left on device"));
    assert_false(display_screendump(&s.console, "/dev/full", DISPLAY_PNG, &err));
    assert_non_null(strstr(err.text, "No space left on device"));
    assert_false(display_screendump(&s.console, "/dev/null", DISPLAY_TEXT, &err));
    assert_string_equal(err.text, "the screen of sample shows pixels (37 x 11), not characters; "
                                  "formats png and ppm show them");
    assert_false(display_format_parse("bmp", &format, &err));
    assert_string_equal(err.text, "invalid parameter value: bmp (ppm, png and text are possible)");
    assert_true(display_format_parse("png", &format, &err));
    assert_int_equal(format, DISPLAY_PNG);
    assert_true(display_format_parse("text", &format, &err));
    assert_int_equal(format, DISPLAY_TEXT);
    end(&s);
    begin(&s);
    s.width = 0; /* it draws nothing */
    assert_false(display_screendump(&s.console, "/dev/null", DISPLAY_PPM, &err));
    assert_string_equal(err.text, "sample has shown nothing yet");
    end(&s);
}

/* --- characters --- */

/* The C library's idea of the page, which has the codes that are drawn and no others. */
static uint32_t iconv_unicode(iconv_t conversion, uint8_t code)
{
    char in = (char)code, *from = &in;
    uint32_t out = 0;
    char *to = (char *)&out;
    size_t in_left = 1, out_left = sizeof(out);
    assert_int_equal(iconv(conversion, &from, &in_left, &to, &out_left), 0);
    return out;
}

static void codes_are_those_of_page_437(void **state)
{
    iconv_t conversion = iconv_open("UTF-32LE", "CP437");
    (void)state;
    assert_ptr_not_equal(conversion, (iconv_t)-1);
    for (unsigned code = 32; code < 255; code++) {
        if (code != 127)
            assert_int_equal(display_unicode((uint8_t)code),
                             iconv_unicode(conversion, (uint8_t)code));
    }
    iconv_close(conversion);
}

/* What the page has as controls, the PC draws. */
static void control_codes_are_drawn(void **state)
{
    static const struct {
        uint8_t code;
        uint32_t unicode;
    } drawn[] = {{0, ' '},     {1, 0x263a},  {2, 0x263b},  {3, 0x2665},  {6, 0x2660},
                 {7, 0x2022},  {10, 0x25d9}, {13, 0x266a}, {14, 0x266b}, {15, 0x263c},
                 {16, 0x25ba}, {17, 0x25c4}, {20, 0x00b6}, {21, 0x00a7}, {24, 0x2191},
                 {25, 0x2193}, {26, 0x2192}, {27, 0x2190}, {31, 0x25bc}, {127, 0x2302},
                 {255, ' '}};
    (void)state;
    for (unsigned i = 0; i < sizeof(drawn) / sizeof(drawn[0]); i++)
        assert_int_equal(display_unicode(drawn[i].code), drawn[i].unicode);
}

/* Every code as UTF-8, read back by the C library. */
static void text_is_utf8(void **state)
{
    struct display_text text;
    struct strbuf out;
    (void)state;
    display_text_init(&text, 16, 16);
    for (unsigned i = 0; i < 256; i++)
        text.cells[i].code = (uint8_t)i;
    strbuf_init(&out);
    display_text_print(&text, &out);
    uint32_t decoded[256 + 16];
    char *from = out.data, *to = (char *)decoded;
    size_t in_left = out.len, out_left = sizeof(decoded);
    iconv_t conversion = iconv_open("UTF-32LE", "UTF-8");
    assert_int_equal(iconv(conversion, &from, &in_left, &to, &out_left), 0);
    iconv_close(conversion);
    const uint32_t *at = decoded;
    for (unsigned i = 0; i < 256; i++) {
        if (i != 255) /* a blank at the end of its line */
            assert_int_equal(*at++, display_unicode((uint8_t)i));
        if (i % 16 == 15)
            assert_int_equal(*at++, '\n');
    }
    assert_ptr_equal(at, to);
    strbuf_free(&out);
    display_text_free(&text);
}

static void blanks_at_ends_are_left_out(void **state)
{
    static const struct {
        const char *cells, *text; /* two rows of four */
    } cases[] = {{"        ", ""},      {"a       ", "a\n"},          {"   a    ", "   a\n"},
                 {"    a   ", "\na\n"}, {"abcdefgh", "abcd\nefgh\n"}, {" \xff  b   ", "\nb\n"}};
    (void)state;
    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct display_text text;
        struct strbuf out;
        display_text_init(&text, 4, 2);
        for (unsigned j = 0; j < 8; j++)
            text.cells[j].code = (uint8_t)cases[i].cells[j];
        strbuf_init(&out);
        display_text_print(&text, &out);
        assert_string_equal(out.data, cases[i].text);
        strbuf_free(&out);
        display_text_free(&text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(consoles_are_found),
        cmocka_unit_test(sizes_are_bounded),
        cmocka_unit_test(listeners_are_told),
        cmocka_unit_test(ppm_is_netpbms),
        cmocka_unit_test(png_is_read_by_libpng),
        cmocka_unit_test(text_goes_to_files),
        cmocka_unit_test(failures_are_sentences),
        cmocka_unit_test(codes_are_those_of_page_437),
        cmocka_unit_test(control_codes_are_drawn),
        cmocka_unit_test(text_is_utf8),
        cmocka_unit_test(blanks_at_ends_are_left_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
