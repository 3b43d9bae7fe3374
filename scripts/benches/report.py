# SPDX-License-Identifier: MIT
"""What becomes of the rows: a table for terminals, one for the documentation, and a plot."""

import math
import re
from html import escape

HEADS = ["what", "measured", "beside it", "ratio", "goal", "met", "remarks"]
BEGIN = "<!-- figures: begin -->"
END = "<!-- figures: end -->"


def summary(rows):
    goals = [row for row in rows if row.goal]
    return f"{sum(row.met for row in goals)} of {len(goals)} goals met"


def quiet_enough(conditions):
    """A sentence when others disturbed the measurement, else None."""
    disturbed = conditions["others"] + conditions["stolen"]
    if disturbed < 0.05:
        return None
    return f"other programs and machines took {disturbed:.0%} of the processors meanwhile"


def plain_table(sections):
    """Medians, aligned for a terminal."""
    lines = [[head.upper() for head in HEADS]]
    for title, rows in sections:
        lines += [[], [title + ":"]]
        lines += [row.cells() for row in rows]
    width = [max(len(line[i]) for line in lines if len(line) > 1) for i in range(len(HEADS))]
    return "\n".join("  ".join(cell.ljust(w) for cell, w in zip(line, width)).rstrip()
                     for line in lines)


def describe(conditions):
    c = conditions
    machine = f"{c['processor']}, {c['cores']} cores"
    machine += ", a virtual machine" if c["virtual"] else ""
    machine += f", governor {c['governor']}" if c["governor"] else ""
    lines = [
        ("date", c["date"]),
        ("processor", machine),
        ("memory", f"{c['memory_mib']} MiB"),
        ("system", f"{c['system']}, {c['kernel']}, clock source {c['clocksource']}"),
        ("compiler", f"{c['compiler']}, {c['flags']}"),
        ("versions", ", ".join(part for part in (
            c["vitrine"], c["revision"] and f"revision {c['revision']}", f"Python {c['python']}",
            c["babeltrace2"]) if part)),
        ("disturbance", f"{c['others']:.1%} of the processors taken by other programs, "
                        f"{c['stolen']:.1%} by other machines"),
    ]
    return lines


def markdown(sections, conditions):
    out = []
    for title, rows in sections:
        out += [f"### {title}", "", "| " + " | ".join(HEADS) + " |",
                "|---|--:|---|--:|---|---|---|"]
        out += ["| " + " | ".join(cell.replace("|", "\\|") for cell in row.cells()) + " |"
                for row in rows]
        out.append("")
    all_rows = [row for _, rows in sections for row in rows]
    out += [summary(all_rows) + ". The conditions:", ""]
    out += [f"- {name}: {text}" for name, text in describe(conditions)]
    return "\n".join(out)


def update_document(path, text):
    """Puts the text between the two marks of the document."""
    old = path.read_text()
    pattern = re.compile(f"{re.escape(BEGIN)}.*?{re.escape(END)}", re.DOTALL)
    if len(pattern.findall(old)) != 1:
        raise RuntimeError(f"{path}: expected the marks {BEGIN} and {END}, once")
    path.write_text(pattern.sub(lambda _: f"{BEGIN}\n\n{text}\n\n{END}", old))


# --- the plot

WIDTH, LEFT, RIGHT, TOP, STEP, BAR = 1000, 340, 170, 74, 34, 20
LOW, HIGH = 0.25, 16.0  # ends of the axis, which is logarithmic
MET, MISSED, AXIS, TEXT = "#2f7d4f", "#b3402a", "#b8b8b8", "#222222"


def place(reached):
    """Where a ratio is on the axis."""
    inside = min(max(reached, LOW), HIGH)
    share = math.log(inside / LOW) / math.log(HIGH / LOW)
    return LEFT + share * (WIDTH - LEFT - RIGHT)


def plot(rows, conditions):
    """Bars: how far a goal is reached, from the line at 1 to the right (met) or left (missed)."""
    rows = [row for row in rows if row.goal]
    height = TOP + STEP * len(rows) + 58
    bottom = TOP + STEP * len(rows)
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" '
        f'height="{height}" font-family="sans-serif" font-size="13" fill="{TEXT}">',
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
        f'<text x="16" y="28" font-size="17">Goals and what was measured: {escape(summary(rows))}'
        '</text>',
        '<text x="16" y="48" fill="#666666">how many times better than the goal; right of the line '
        'it is met</text>',
    ]
    tick = LOW
    while tick <= HIGH:
        x = place(tick)
        out.append(f'<line x1="{x:.1f}" y1="{TOP - 8}" x2="{x:.1f}" y2="{bottom}" stroke="{AXIS}" '
                   f'stroke-width="{2 if tick == 1 else 0.5}"/>')
        out.append(f'<text x="{x:.1f}" y="{bottom + 16}" text-anchor="middle" fill="#666666">'
                   f'{tick:g}</text>')
        tick *= 2
    for number, row in enumerate(rows):
        y = TOP + STEP * number
        one, end = place(1), place(row.reached)
        x, width = min(one, end), max(abs(end - one), 1.5)
        middle = y + BAR / 2 + 5
        out += [
            f'<text x="{LEFT - 12}" y="{middle}" text-anchor="end">{escape(row.name)}</text>',
            f'<rect x="{x:.1f}" y="{y}" width="{width:.1f}" height="{BAR}" rx="2" '
            f'fill="{MET if row.met else MISSED}"><title>{escape(" · ".join(row.cells()))}'
            '</title></rect>',
            f'<text x="{max(one, end) + 8:.1f}" y="{middle}">{row.reached:.2f} '
            f'<tspan fill="#666666">({escape(row.series.text())})</tspan></text>',
        ]
    foot = f"{conditions['processor']}, {conditions['cores']} cores, {conditions['kernel']}, "
    foot += f"{conditions['compiler']}, {conditions['date']}"
    out += [f'<text x="16" y="{height - 14}" font-size="11" fill="#666666">{escape(foot)}</text>',
            '</svg>']
    return "\n".join(out) + "\n"
