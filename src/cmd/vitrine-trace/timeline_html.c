/* SPDX-License-Identifier: MIT
 *
 * A timeline as one HTML page: the counts as JSON, a canvas that draws them, and a plain script for
 * zoom, tooltips and switches. Nothing is loaded from anywhere.
 *
 * Counts of a row are a flat array of [columns skipped, count] or, for threads, [columns skipped,
 * count, place of the event that dominates]: empty columns take no space.
 */
#include "cmd/vitrine-trace/timeline.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "cmd/vitrine-trace/text.h"

static const char page_style[] =
    ":root{color-scheme:light dark;--g:#fff;--p:#f5f6f8;--f:#24292f;--d:#66707c;--x:#d4d9e0}\n"
    "@media(prefers-color-scheme:dark){:root{--g:#12161c;--p:#1b2129;--f:#dfe4ea;--d:#98a2af;"
    "--x:#323b46}}\n"
    "body{margin:0;padding:20px;background:var(--g);color:var(--f);"
    "font:13px system-ui,'DejaVu Sans',sans-serif}\n"
    "h1{font-size:18px;margin:0 0 4px}p{margin:0 0 10px;color:var(--d)}\n"
    "#events{display:flex;flex-wrap:wrap;gap:4px;margin-bottom:10px}\n"
    "button{font:inherit;font-size:12px;color:inherit;background:var(--p);border:1px solid "
    "var(--x);border-radius:4px;padding:2px 7px;cursor:pointer}\n"
    "button[aria-pressed=false]{opacity:.4;text-decoration:line-through}\n"
    "button i{display:inline-block;width:9px;height:9px;border-radius:2px;margin-right:5px}\n"
    "canvas{display:block;width:100%;cursor:crosshair;touch-action:none}\n"
    "#tip{position:fixed;pointer-events:none;background:var(--g);border:1px solid var(--d);"
    "border-radius:4px;padding:4px 8px;font-size:12px;white-space:pre;display:none;z-index:1}\n";

/* In the order of their use: the data, the view, drawing, the mouse. */
static const char *const page_script[] = {
    "'use strict';\n"
    "const data = JSON.parse(document.getElementById('data').textContent);\n"
    "const canvas = document.getElementById('canvas'), pen = canvas.getContext('2d');\n"
    "const tip = document.getElementById('tip'), chips = document.getElementById('events');\n"
    "const dark = matchMedia('(prefers-color-scheme: dark)');\n"
    "const left = 250, right = 100, ceiling = 20, area = 70, line = 22, strip = 16, gap = 34;\n"
    "const OTHERS = data.light.length - 2;\n"
    "let from = 0, to = data.columns, hits = [], drag = null;\n"
    "\n",
    "/* Counts as they are sent, to one number a column. */\n"
    "function unpack(row, thread) {\n"
    "  row.count = new Float64Array(data.columns);\n"
    "  if (thread) row.most = new Uint8Array(data.columns);\n"
    "  const step = thread ? 3 : 2;\n"
    "  for (let i = 0, at = 0; i < row.data.length; i += step, at++) {\n"
    "    at += row.data[i];\n"
    "    row.count[at] = row.data[i + 1];\n"
    "    if (thread) row.most[at] = row.data[i + 2];\n"
    "  }\n"
    "  row.on = true;\n"
    "  delete row.data;\n"
    "}\n"
    "data.threads.forEach(row => unpack(row, true));\n"
    "data.events.forEach(row => unpack(row, false));\n"
    "\n"
    "/* All records of the events that are switched on. */\n"
    "let total = new Float64Array(data.columns);\n"
    "function addUp() {\n"
    "  total.fill(0);\n"
    "  for (const row of data.events)\n"
    "    if (row.on && !row.lost) for (let i = 0; i < data.columns; i++) total[i] += "
    "row.count[i];\n"
    "}\n"
    "\n",
    "const units = [['s', 1e9], ['ms', 1e6], ['\\u00b5s', 1e3], ['ns', 1]];\n"
    "function timeText(time, step, span) {\n"
    "  const unit = units.find(u => span >= 2 * u[1]) || units[3];\n"
    "  let decimals = 0;\n"
    "  for (let part = step / unit[1]; part < 0.9999 && decimals < 9; part *= 10) decimals++;\n"
    "  return (time / unit[1]).toFixed(decimals) + ' ' + unit[0];\n"
    "}\n"
    "function tickStep(span, most) {\n"
    "  let step = 1;\n"
    "  for (let i = 0; span / step > most; i++) step *= [2, 2.5, 2][i % 3];\n"
    "  return step;\n"
    "}\n"
    "const number = n => Math.round(n).toLocaleString('en');\n"
    "const timeOf = column => column * data.width - data.lead;\n"
    "const chartWidth = () => canvas.clientWidth - left - right;\n"
    "const columnAt = x => from + (x - left) / chartWidth() * (to - from);\n"
    "const xOf = column => left + (column - from) / (to - from) * chartWidth();\n"
    "const colour = i => (dark.matches ? data.dark : data.light)[i];\n"
    "\n",
    "/* Calls each(x, width, first, last) for what becomes one spot: a column, or those that share "
    "a\n"
    "   pixel. */\n"
    "function spots(each) {\n"
    "  const per = (to - from) / chartWidth(), step = Math.max(1, Math.ceil(per));\n"
    "  const first = Math.floor(from / step) * step;\n"
    "  for (let i = first; i < to; i += step) {\n"
    "    const a = Math.max(xOf(i), left), b = Math.min(xOf(i + step), left + chartWidth());\n"
    "    if (b > a) each(Math.round(a), Math.max(1, Math.round(b) - Math.round(a)),\n"
    "                    i, Math.min(i + step, data.columns));\n"
    "  }\n"
    "}\n"
    "function sum(count, first, last) {\n"
    "  let n = 0;\n"
    "  for (let i = first; i < last; i++) n += count[i];\n"
    "  return n;\n"
    "}\n"
    "function peakOf(counts) {\n"
    "  let peak = 1;\n"
    "  for (const count of counts)\n"
    "    spots((x, w, a, b) => { peak = Math.max(peak, sum(count, a, b)); });\n"
    "  return peak;\n"
    "}\n"
    "const alpha = (n, peak) => peak <= 1 ? 1 : 0.34 + 0.66 * Math.log(n) / Math.log(peak);\n"
    "\n",
    "/* The event that dominates some columns of a thread, if there is one. */\n"
    "function dominant(row, first, last) {\n"
    "  let best = first;\n"
    "  for (let i = first; i < last; i++) if (row.count[i] > row.count[best]) best = i;\n"
    "  return data.events[row.most[best]];\n"
    "}\n"
    "/* Its colour, or grey when it is switched off. */\n"
    "function threadColour(row, first, last) {\n"
    "  const event = dominant(row, first, last);\n"
    "  return event && event.on ? event.colour : OTHERS;\n"
    "}\n"
    "function drawRow(row, y, peak, thread) {\n"
    "  spots((x, w, a, b) => {\n"
    "    const n = sum(row.count, a, b);\n"
    "    if (!n) return;\n"
    "    pen.fillStyle = colour(thread ? threadColour(row, a, b) : row.colour);\n"
    "    pen.globalAlpha = alpha(n, peak);\n"
    "    pen.fillRect(x, y, w, strip);\n"
    "  });\n"
    "  pen.globalAlpha = 1;\n"
    "}\n"
    "function label(text, x, y, style, align) {\n"
    "  pen.fillStyle = style;\n"
    "  pen.textAlign = align || 'left';\n"
    "  pen.fillText(text, x, y);\n"
    "}\n"
    "function fit(text, room) {\n"
    "  if (pen.measureText(text).width <= room) return text;\n"
    "  while (text && pen.measureText(text + '\\u2026').width > room) text = text.slice(0, -1);\n"
    "  return text + '\\u2026';\n"
    "}\n"
    "\n",
    "function drawRows(rows, heading, y, thread) {\n"
    "  const css = getComputedStyle(document.documentElement);\n"
    "  const shown = rows.filter(row => row.on), peak = peakOf(shown.map(row => row.count));\n"
    "  label(heading, 0, y - 8, css.getPropertyValue('--d'));\n"
    "  for (const row of shown) {\n"
    "    if (!thread) {\n"
    "      pen.fillStyle = colour(row.colour);\n"
    "      pen.fillRect(0, y + 3, 10, 10);\n"
    "    }\n"
    "    const indent = thread ? 0 : 16;\n"
    "    label(fit(row.name, left - indent - 10), indent, y + 12, css.getPropertyValue('--f'));\n"
    "    label(number(row.total), canvas.clientWidth, y + 12, css.getPropertyValue('--f'), "
    "'right');\n"
    "    drawRow(row, y, peak, thread);\n"
    "    hits.push({y: y, row: row});\n"
    "    y += line;\n"
    "  }\n"
    "  return y;\n"
    "}\n"
    "function drawAxis(bottom) {\n"
    "  const css = getComputedStyle(document.documentElement);\n"
    "  const span = (to - from) * data.width, step = tickStep(span, chartWidth() / 110);\n"
    "  const begin = timeOf(from), whole = Math.max(span, Math.abs(begin) / 1e6);\n"
    "  for (let i = Math.max(0, Math.ceil(begin / step)); i * step <= begin + span; i++) {\n"
    "    const x = Math.round(xOf((i * step + data.lead) / data.width)) + 0.5;\n"
    "    pen.strokeStyle = css.getPropertyValue('--x');\n"
    "    pen.beginPath();\n"
    "    pen.moveTo(x, ceiling);\n"
    "    pen.lineTo(x, bottom);\n"
    "    pen.stroke();\n"
    "    label(timeText(i * step, step, whole), x, bottom + 16, css.getPropertyValue('--d'), "
    "'center');\n"
    "  }\n"
    "}\n"
    "function drawArea() {\n"
    "  const css = getComputedStyle(document.documentElement), peak = peakOf([total]);\n"
    "  label('All records', 0, ceiling + 12, css.getPropertyValue('--d'));\n"
    "  label('logarithmic height', 0, ceiling + 30, css.getPropertyValue('--d'));\n"
    "  pen.fillStyle = css.getPropertyValue('--d');\n"
    "  spots((x, w, a, b) => {\n"
    "    const height = area * Math.log(1 + sum(total, a, b)) / Math.log(1 + peak);\n"
    "    pen.fillRect(x, ceiling + area - height, w, height);\n"
    "  });\n"
    "  hits.push({y: ceiling, height: area, row: {name: 'all records', count: total}});\n"
    "}\n",
    "function draw() {\n"
    "  const events = data.events.filter(row => row.on).length;\n"
    "  const height = ceiling + area + 2 * gap + line * (data.threads.length + events) + 30;\n"
    "  const css = getComputedStyle(document.documentElement), ratio = devicePixelRatio || 1;\n"
    "  canvas.style.height = height + 'px';\n"
    "  canvas.width = canvas.clientWidth * ratio;\n"
    "  canvas.height = height * ratio;\n"
    "  pen.scale(ratio, ratio);\n"
    "  pen.font = '12px system-ui, sans-serif';\n"
    "  pen.fillStyle = css.getPropertyValue('--p');\n"
    "  pen.fillRect(left, ceiling, chartWidth(), height - ceiling - 26);\n"
    "  hits = [];\n"
    "  drawAxis(height - 26);\n"
    "  drawArea();\n"
    "  const y = drawRows(data.threads, 'Threads', ceiling + area + gap, true);\n"
    "  drawRows(data.events, 'Events', y + gap - (line - strip), false);\n"
    "  if (drag && drag.x !== drag.now) {\n"
    "    pen.fillStyle = css.getPropertyValue('--f');\n"
    "    pen.globalAlpha = 0.15;\n"
    "    pen.fillRect(Math.min(drag.x, drag.now), ceiling, Math.abs(drag.now - drag.x), height - "
    "ceiling - "
    "26);\n"
    "    pen.globalAlpha = 1;\n"
    "  }\n"
    "}\n"
    "let asked = false;\n"
    "function redraw() {\n"
    "  if (asked) return;\n"
    "  asked = true;\n"
    "  requestAnimationFrame(() => { asked = false; draw(); });\n"
    "}\n"
    "\n",
    "/* Shows columns a to b, kept inside the recording and at least four wide. */\n"
    "function view(a, b) {\n"
    "  const least = Math.min(4, data.columns), width = Math.min(Math.max(b - a, least), "
    "data.columns);\n"
    "  from = Math.min(Math.max((a + b - width) / 2, 0), data.columns - width);\n"
    "  to = from + width;\n"
    "  redraw();\n"
    "}\n"
    "const zoom = (at, factor) => view(at - (at - from) * factor, at + (to - at) * factor);\n"
    "canvas.addEventListener('wheel', e => {\n"
    "  e.preventDefault();\n"
    "  const pan = (e.shiftKey ? e.deltaY : e.deltaX) / 800 * (to - from);\n"
    "  if (pan) view(from + pan, to + pan);\n"
    "  else zoom(columnAt(e.offsetX), Math.exp(Math.sign(e.deltaY) * 0.2));\n"
    "}, {passive: false});\n"
    "canvas.addEventListener('dblclick', () => view(0, data.columns));\n"
    "canvas.addEventListener('pointerdown', e => {\n"
    "  if (e.offsetX < left || e.button) return;\n"
    "  drag = {x: e.offsetX, now: e.offsetX};\n"
    "  canvas.setPointerCapture(e.pointerId);\n"
    "});\n"
    "canvas.addEventListener('pointerup', () => {\n"
    "  const done = drag;\n"
    "  drag = null;\n"
    "  if (done && Math.abs(done.now - done.x) > 4)\n"
    "    view(columnAt(Math.min(done.x, done.now)), columnAt(Math.max(done.x, done.now)));\n"
    "  else redraw();\n"
    "});\n"
    "addEventListener('keydown', e => {\n"
    "  const part = (to - from) / 5, middle = (from + to) / 2;\n"
    "  if (e.key === 'ArrowLeft') view(from - part, to - part);\n"
    "  else if (e.key === 'ArrowRight') view(from + part, to + part);\n"
    "  else if (e.key === '+') zoom(middle, 0.8);\n"
    "  else if (e.key === '-') zoom(middle, 1.25);\n"
    "  else if (e.key === '0') view(0, data.columns);\n"
    "});\n"
    "\n",
    "function hover(e) {\n"
    "  const hit = hits.find(h => e.offsetY >= h.y && e.offsetY < h.y + (h.height || strip));\n"
    "  const inside = e.offsetX >= left && e.offsetX < left + chartWidth();\n"
    "  tip.style.display = 'none';\n"
    "  if (!hit || (!inside && !hit.row.total)) return;\n"
    "  let text = hit.row.name;\n"
    "  if (inside) spots((x, w, a, b) => {\n"
    "    if (e.offsetX < x || e.offsetX >= x + w) return;\n"
    "    const step = (b - a) * data.width / 10, span = timeOf(to) - Math.min(0, timeOf(from));\n"
    "    text = hit.row.name + ': ' + number(sum(hit.row.count, a, b)) + '\\n' +\n"
    "      timeText(Math.max(0, timeOf(a)), step, span) + ' to ' + timeText(timeOf(b), step, "
    "span);\n"
    "    const most = hit.row.most && sum(hit.row.count, a, b) && dominant(hit.row, a, b);\n"
    "    if (most) text += '\\nmost: ' + most.name;\n"
    "  });\n"
    "  tip.textContent = text;\n"
    "  tip.style.display = 'block';\n"
    "  tip.style.left = Math.min(e.clientX + 14, innerWidth - tip.offsetWidth - 8) + 'px';\n"
    "  tip.style.top = Math.min(e.clientY + 14, innerHeight - tip.offsetHeight - 8) + 'px';\n"
    "}\n"
    "canvas.addEventListener('pointermove', e => {\n"
    "  if (drag) {\n"
    "    drag.now = Math.min(Math.max(e.offsetX, left), left + chartWidth());\n"
    "    redraw();\n"
    "  }\n"
    "  hover(e);\n"
    "});\n"
    "canvas.addEventListener('pointerleave', () => { tip.style.display = 'none'; });\n"
    "\n",
    "/* A switch for every event; with Alt, only that event. */\n"
    "function chip(row) {\n"
    "  const button = document.createElement('button'), square = document.createElement('i');\n"
    "  const show = () => {\n"
    "    button.setAttribute('aria-pressed', row.on);\n"
    "    square.style.background = colour(row.colour);\n"
    "  };\n"
    "  button.append(square, row.name);\n"
    "  button.title = number(row.total) + ' (Alt: only this one)';\n"
    "  button.addEventListener('click', e => {\n"
    "    if (e.altKey) data.events.forEach(other => { other.on = other === row; });\n"
    "    else row.on = !row.on;\n"
    "    changed();\n"
    "  });\n"
    "  chips.append(button);\n"
    "  return show;\n"
    "}\n"
    "const shows = data.events.map(chip), all = document.createElement('button');\n"
    "function changed() {\n"
    "  shows.forEach(show => show());\n"
    "  addUp();\n"
    "  redraw();\n"
    "}\n"
    "all.textContent = 'all';\n"
    "all.addEventListener('click', () => {\n"
    "  data.events.forEach(row => { row.on = true; });\n"
    "  changed();\n"
    "});\n"
    "chips.append(all);\n"
    "addEventListener('resize', redraw);\n"
    "dark.addEventListener('change', changed);\n"
    "if (data.columns) changed();\n",
};

/* A JSON string that may stand inside <script>: no `<`. */
static void html_json(struct output *out, const char *text)
{
    struct output *memory = output_memory();
    size_t len;

    text_json(memory, text, strlen(text));
    char *json = output_memory_take(memory, &len);
    output_close(memory, NULL);
    for (size_t i = 0; i < len; i++) {
        if (json[i] == '<') {
            output_puts(out, "\\u003c");
        } else {
            output_putc(out, json[i]);
        }
    }
    free(json);
}

static void html_row(const struct timeline *t, struct output *out, const struct timeline_row *row)
{
    const struct density_row *d = row->density;
    unsigned skipped = 0;
    bool first = true;

    output_puts(out, "{\"name\":");
    html_json(out, row->name);
    output_printf(out, ",\"total\":%llu,\"colour\":%u,\"lost\":%s,\"data\":[",
                  (unsigned long long)d->total, row->colour,
                  row->colour == TIMELINE_LOST ? "true" : "false");
    for (unsigned i = 0; i < t->columns; i++) {
        if (d->count[i] == 0) {
            skipped++;
            continue;
        }
        output_printf(out, "%s%u,%u", first ? "" : ",", skipped, d->count[i]);
        if (d->tag != NULL) {
            output_printf(out, ",%u", d->tag[i]);
        }
        first = false;
        skipped = 0;
    }
    output_puts(out, "]}");
}

static void html_rows(const struct timeline *t, struct output *out, const char *name,
                      const struct timeline_row *row, unsigned rows)
{
    output_printf(out, ",\n\"%s\":[", name);
    for (unsigned i = 0; i < rows; i++) {
        output_puts(out, i == 0 ? "\n" : ",\n");
        html_row(t, out, &row[i]);
    }
    output_puts(out, "]");
}

static void html_colours(struct output *out, const char *name, const char *const *colour)
{
    output_printf(out, ",\n\"%s\":[", name);
    for (unsigned i = 0; i < TIMELINE_ALL_COLOURS; i++) {
        output_printf(out, "%s\"%s\"", i == 0 ? "" : ",", colour[i]);
    }
    output_puts(out, "]");
}

static void html_data(const struct timeline *t, struct output *out)
{
    output_puts(out, "<script type=\"application/json\" id=\"data\">\n");
    output_printf(out, "{\"columns\":%u,\"width\":%llu,\"lead\":%llu", t->columns,
                  (unsigned long long)t->width, (unsigned long long)(t->first - t->start));
    html_colours(out, "light", timeline_light);
    html_colours(out, "dark", timeline_dark);
    html_rows(t, out, "threads", t->thread, t->threads);
    html_rows(t, out, "events", t->event, t->events);
    output_puts(out, "}\n</script>\n");
}

static void html_figures(const struct timeline *t, struct output *out)
{
    output_puts(out, "<p>");
    timeline_figures(t, out);
    if (t->columns > 0) {
        output_puts(out, ". Wheel: zoom. Drag: zoom to a range. Shift and wheel, arrows: move. "
                         "Double click: everything.");
    } else {
        output_puts(out, ". The recording holds no records.");
    }
    output_puts(out, "</p>\n");
}

void timeline_html(const struct timeline *t, struct output *out)
{
    output_puts(out, "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
                     "<meta name=\"viewport\" content=\"width=device-width\">\n<title>");
    text_xml(out, t->title, strlen(t->title));
    output_puts(out, "</title>\n<style>\n");
    output_puts(out, page_style);
    output_puts(out, "</style>\n</head>\n<body>\n<h1>");
    text_xml(out, t->title, strlen(t->title));
    output_puts(out, "</h1>\n");
    html_figures(t, out);
    output_puts(out, "<div id=\"events\"></div>\n<canvas id=\"canvas\"></canvas>\n"
                     "<div id=\"tip\"></div>\n");
    html_data(t, out);
    output_puts(out, "<script>\n");
    for (unsigned i = 0; i < sizeof(page_script) / sizeof(page_script[0]); i++) {
        output_puts(out, page_script[i]);
    }
    output_puts(out, "</script>\n</body>\n</html>\n");
}
