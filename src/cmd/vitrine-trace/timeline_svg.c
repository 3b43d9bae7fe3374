/* SPDX-License-Identifier: MIT
 *
 * A timeline as SVG: static, in itself complete, for light and dark grounds.
 *
 *     title, figures                                   legend of densities
 *              +--------------------------------------+
 *     all      |  area: records over time             |
 *              +--------------------------------------+
 *     thread   |  strip, coloured by event            |  count
 *     event    |  strip in the event's colour         |  count
 *              +--------------------------------------+
 *                0      1 ms     2 ms                    axis
 *
 * A strip is a few paths, one for each colour and density, in a group that is scaled so that a
 * column is one unit wide. Above the strips lie invisible cells that carry tooltips.
 */
#include "cmd/vitrine-trace/timeline.h"

#include <math.h>
#include <string.h>

#include "cmd/vitrine-trace/text.h"

enum {
    WIDTH = 1280,
    LEFT = 250, /* of the strips */
    RIGHT = 1170,
    TOP = 92,
    AREA = 64, /* height of the area of all records */
    ROW = 22,
    STRIP = 16, /* of a row */
    GAP = 34,   /* above a group of rows, with its heading */
    LEVELS = 8, /* of density */
    CELLS = 46, /* with tooltips in a row */
    NAME_MAX_CHARS = 34,
};

struct svg {
    const struct timeline *t;
    struct output *out;
    double scale; /* a column's width */
    double span;  /* ns from the first record to the end of the last column */
    double lead;  /* ns from the beginning of column 0 to the first record */
};

static void svg_style(struct output *out)
{
    output_puts(out, "<style>\n"
                     "text{font:12px system-ui,'DejaVu Sans',sans-serif;fill:#24292f}\n"
                     ".g{fill:#ffffff}.p{fill:#f5f6f8}.d{fill:#66707c}.h{font-size:18px;"
                     "font-weight:600}\n"
                     ".k{font-size:11px;font-weight:600;fill:#66707c;letter-spacing:.06em}"
                     ".n{text-anchor:end;font-variant-numeric:tabular-nums}\n"
                     ".x{stroke:#d4d9e0;stroke-width:1;shape-rendering:crispEdges}"
                     ".a{fill:#5b6b80;fill-opacity:.75}\n"
                     ".s path{shape-rendering:crispEdges}.t{fill:#000000;fill-opacity:0}"
                     ".t:hover{fill-opacity:.12}\n");
    for (unsigned i = 0; i < LEVELS; i++) {
        output_printf(out, ".l%u{fill-opacity:%.2f}", i, 0.34 + 0.66 * i / (LEVELS - 1));
    }
    output_puts(out, "\n");
    for (unsigned i = 0; i < TIMELINE_ALL_COLOURS; i++) {
        output_printf(out, ".c%u{fill:%s}", i, timeline_light[i]);
    }
    output_puts(out, "\n@media (prefers-color-scheme:dark){\n"
                     "text{fill:#dfe4ea}.g{fill:#12161c}.p{fill:#1b2129}.d,.k{fill:#98a2af}"
                     ".x{stroke:#323b46}.a{fill:#9fb0c6}.t{fill:#ffffff}\n");
    for (unsigned i = 0; i < TIMELINE_ALL_COLOURS; i++) {
        output_printf(out, ".c%u{fill:%s}", i, timeline_dark[i]);
    }
    output_puts(out, "\n}\n</style>\n");
}

static void svg_text(struct output *out, double x, double y, const char *class, const char *text)
{
    output_printf(out, "<text x=\"%.1f\" y=\"%.1f\" class=\"%s\">", x, y, class);
    text_xml(out, text, strlen(text));
    output_puts(out, "</text>\n");
}

/* A name that may be too long for its place. */
static void svg_name(struct output *out, double x, double y, const char *name)
{
    size_t len = strlen(name);

    output_printf(out, "<text x=\"%.1f\" y=\"%.1f\">", x, y);
    if (len <= NAME_MAX_CHARS) {
        text_xml(out, name, len);
    } else {
        text_xml(out, name, NAME_MAX_CHARS - 1);
        output_puts(out, "\xe2\x80\xa6<title>");
        text_xml(out, name, len);
        output_puts(out, "</title>");
    }
    output_puts(out, "</text>\n");
}

static void svg_head(const struct svg *s)
{
    const struct timeline *t = s->t;

    svg_text(s->out, 20, 34, "h", t->title);
    output_puts(s->out, "<text x=\"20\" y=\"56\" class=\"d\">");
    timeline_figures(t, s->out);
    output_puts(s->out, "</text>\n");
}

/* What the densities mean. */
static void svg_legend(const struct svg *s, uint32_t peak)
{
    double x = RIGHT - LEVELS * 18;

    output_printf(s->out, "<text x=\"%.1f\" y=\"34\" class=\"d n\">records in a column of ", x - 8);
    timeline_time(s->out, (double)s->t->width, (double)s->t->width / 100, (double)s->t->width);
    output_puts(s->out, ": 1</text>\n");
    for (unsigned i = 0; i < LEVELS; i++) {
        output_printf(s->out,
                      "<rect x=\"%.1f\" y=\"24\" width=\"18\" height=\"12\" class=\"c0 l%u\"/>\n",
                      x + 18 * i, i);
    }
    output_printf(s->out, "<text x=\"%d\" y=\"34\" class=\"d\">", RIGHT + 8);
    timeline_count(s->out, peak);
    output_puts(s->out, "</text>\n");
}

static double svg_x(const struct svg *s, double time)
{
    return LEFT + (time + s->lead) / (double)s->t->width * s->scale;
}

/* Lines through all rows and labels under them. */
static void svg_axis(const struct svg *s, double top, double bottom)
{
    double step = timeline_step(s->span, 9);

    for (unsigned i = 0; i * step <= s->span; i++) {
        double x = svg_x(s, i * step);
        if (x > RIGHT) {
            break;
        }
        output_printf(s->out, "<path class=\"x\" d=\"M%.1f %.1fV%.1f\"/>\n", x, top, bottom);
        output_printf(s->out, "<text x=\"%.1f\" y=\"%.1f\" class=\"d\" text-anchor=\"middle\">", x,
                      bottom + 16);
        timeline_time(s->out, i * step, step, s->span);
        output_puts(s->out, "</text>\n");
    }
}

/* 0 for an empty column, else 1 to LEVELS by the logarithm of its count. */
static unsigned svg_level(uint32_t count, uint32_t peak)
{
    if (count == 0 || peak <= 1) {
        return count == 0 ? 0 : LEVELS;
    }
    return 1 + (unsigned)(log(count) / log(peak) * (LEVELS - 1) + 0.5);
}

/* The colour of a thread's column. */
static int svg_colour(const struct timeline *t, const struct density_row *row, unsigned at)
{
    return row->tag[at] == TIMELINE_MIXED ? TIMELINE_OTHERS : (int)t->event[row->tag[at]].colour;
}

/* The columns of one colour and level, as one path. */
static void svg_path(const struct svg *s, const struct density_row *row, int colour, unsigned level,
                     uint32_t peak)
{
    bool open = false;
    unsigned at = 0;

    while (at < s->t->columns) {
        unsigned from = at;
        while (at < s->t->columns && svg_level(row->count[at], peak) == level &&
               (colour < 0 || svg_colour(s->t, row, at) == colour)) {
            at++;
        }
        if (at == from) {
            at++;
            continue;
        }
        if (!open) {
            output_printf(s->out, "<path class=\"l%u", level - 1);
            if (colour >= 0) {
                output_printf(s->out, " c%d", colour);
            }
            output_puts(s->out, "\" d=\"");
            open = true;
        }
        output_printf(s->out, "M%u 0h%uv%dh-%uz", from, at - from, STRIP, at - from);
    }
    if (open) {
        output_puts(s->out, "\"/>\n");
    }
}

static void svg_cells(const struct svg *s, const char *name, const struct density_row *row,
                      double y)
{
    unsigned cells = s->t->columns < CELLS ? s->t->columns : CELLS;

    for (unsigned i = 0; i < cells; i++) {
        unsigned from = s->t->columns * i / cells, to = s->t->columns * (i + 1) / cells;
        double begin = (double)from * (double)s->t->width - s->lead;
        double end = (double)to * (double)s->t->width - s->lead;
        uint64_t count = 0;

        for (unsigned k = from; k < to; k++) {
            count += row->count[k];
        }
        if (count == 0) {
            continue;
        }
        output_printf(s->out,
                      "<rect class=\"t\" x=\"%.2f\" y=\"%.1f\" width=\"%.2f\" height=\"%d\">"
                      "<title>",
                      LEFT + from * s->scale, y, (to - from) * s->scale, STRIP);
        text_xml(s->out, name, strlen(name));
        output_puts(s->out, ": ");
        timeline_count(s->out, count);
        output_puts(s->out, " from ");
        timeline_time(s->out, begin > 0 ? begin : 0, (end - begin) / 10, s->span);
        output_puts(s->out, " to ");
        timeline_time(s->out, end, (end - begin) / 10, s->span);
        output_puts(s->out, "</title></rect>\n");
    }
}

static void svg_row(const struct svg *s, const struct timeline_row *row, double y, uint32_t peak)
{
    bool tags = row->density->tag != NULL;

    if (!tags) {
        output_printf(s->out,
                      "<rect x=\"20\" y=\"%.1f\" width=\"10\" height=\"10\" rx=\"2\" "
                      "class=\"c%u\"/>\n",
                      y + 3, row->colour);
    }
    svg_name(s->out, tags ? 20 : 36, y + 12, row->name);
    output_printf(s->out, "<text x=\"%d\" y=\"%.1f\" class=\"n\">", WIDTH - 20, y + 12);
    timeline_count(s->out, row->density->total);
    output_puts(s->out, "</text>\n");

    output_printf(s->out, "<g transform=\"translate(%d %.1f) scale(%.6f 1)\" class=\"s", LEFT, y,
                  s->scale);
    if (!tags) {
        output_printf(s->out, " c%u", row->colour);
    }
    output_puts(s->out, "\">\n");
    for (unsigned level = 1; level <= LEVELS; level++) {
        if (!tags) {
            svg_path(s, row->density, -1, level, peak);
            continue;
        }
        for (int colour = 0; colour <= TIMELINE_OTHERS; colour++) {
            svg_path(s, row->density, colour, level, peak);
        }
    }
    output_puts(s->out, "</g>\n");
    svg_cells(s, row->name, row->density, y);
}

static double svg_rows(const struct svg *s, const struct timeline_row *row, unsigned rows,
                       const char *heading, double y)
{
    uint32_t peak = 0;

    for (unsigned i = 0; i < rows; i++) {
        uint32_t here = timeline_peak(s->t, row[i].density);
        peak = here > peak ? here : peak;
    }
    svg_text(s->out, 20, y - 10, "k", heading);
    for (unsigned i = 0; i < rows; i++, y += ROW) {
        svg_row(s, &row[i], y, peak);
    }
    return y;
}

/* All records as an area with a logarithmic height. */
static void svg_area(const struct svg *s)
{
    uint32_t peak = timeline_peak(s->t, s->t->total);
    double unit = AREA / log(1.0 + peak);

    svg_text(s->out, 20, TOP + 14, "k", "ALL RECORDS");
    output_printf(s->out, "<text x=\"20\" y=\"%d\" class=\"d\">peak ", TOP + 34);
    timeline_count(s->out, (uint64_t)((double)peak * 1e9 / (double)s->t->width));
    output_puts(s->out, " a second</text>\n");
    svg_text(s->out, 20, TOP + 52, "d", "logarithmic height");
    output_printf(s->out,
                  "<g transform=\"translate(%d %d) scale(%.6f 1)\">"
                  "<path class=\"a\" d=\"M0 %d",
                  LEFT, TOP, s->scale, AREA);
    for (unsigned i = 0; i < s->t->columns; i++) {
        if (i == 0 || s->t->total->count[i] != s->t->total->count[i - 1]) {
            output_printf(s->out, "H%uV%.1f", i, AREA - unit * log(1.0 + s->t->total->count[i]));
        }
    }
    output_printf(s->out, "H%uV%dZ\"/></g>\n", s->t->columns, AREA);
}

static void svg_body(const struct svg *s, double bottom)
{
    const struct timeline *t = s->t;
    uint32_t peak = 0;

    for (unsigned i = 0; i < t->events; i++) {
        uint32_t here = timeline_peak(t, t->event[i].density);
        peak = here > peak ? here : peak;
    }
    svg_legend(s, peak);
    output_printf(s->out, "<rect x=\"%d\" y=\"%d\" width=\"%d\" height=\"%.1f\" class=\"p\"/>\n",
                  LEFT, TOP, RIGHT - LEFT, bottom - TOP);
    svg_axis(s, TOP, bottom);
    svg_area(s);
    double y = svg_rows(s, t->thread, t->threads, "THREADS", TOP + AREA + GAP);
    svg_rows(s, t->event, t->events, "EVENTS", y + GAP - (ROW - STRIP));
}

void timeline_svg(const struct timeline *t, struct output *out)
{
    double bottom = TOP + AREA + 2 * GAP + ROW * (double)(t->threads + t->events) - 4;
    double height = t->columns > 0 ? bottom + 30 : 110;
    struct svg s = {.t = t, .out = out};

    if (t->columns > 0) {
        s.scale = (double)(RIGHT - LEFT) / t->columns;
        s.lead = (double)(t->first - t->start);
        s.span = (double)t->columns * (double)t->width - s.lead;
    }
    output_printf(out,
                  "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%.0f\" "
                  "viewBox=\"0 0 %d %.0f\">\n<title>",
                  WIDTH, height, WIDTH, height);
    text_xml(out, t->title, strlen(t->title));
    output_puts(out, "</title>\n");
    svg_style(out);
    output_printf(out, "<rect width=\"%d\" height=\"%.0f\" class=\"g\"/>\n", WIDTH, height);
    svg_head(&s);
    if (t->columns > 0) {
        svg_body(&s, bottom);
    } else {
        svg_text(out, 20, 86, "d", "The recording holds no records.");
    }
    output_puts(out, "</svg>\n");
}
