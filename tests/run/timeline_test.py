# SPDX-License-Identifier: MIT
#
# vitrine-trace timeline: the picture is well-formed, complete in itself, and its counts are right.
import html.parser
import json
import os
import random
import re
import subprocess
import unittest
import xml.etree.ElementTree as ElementTree

from flight_recording import flight
from recording import (Case, DATA, DROPPED, LONG, QEMU_EVENTS, VITRINE_TRACE, event, header, mapping,
                       words, tool)

SVG = "{http://www.w3.org/2000/svg}"


def events_text(count):
    return "".join(f'event_{n:03}(int x) "%d"\n' for n in range(count))


def maps(count):
    return b"".join(mapping(n, f"event_{n:03}") for n in range(count))


class Page(html.parser.HTMLParser):
    """Finds the JSON, checks that every element is closed."""

    VOID = {"meta"}

    def __init__(self, text):
        super().__init__()
        self.stack, self.data, self.scripts, self.links = [], None, "", []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.links += [v for k, v in attrs.items() if k in ("src", "href")]
        if tag not in self.VOID:
            self.stack.append((tag, attrs.get("id")))

    def handle_endtag(self, tag):
        assert self.stack and self.stack[-1][0] == tag, (tag, self.stack)
        self.stack.pop()

    def handle_data(self, data):
        if self.stack and self.stack[-1] == ("script", "data"):
            self.data = json.loads(data)
        elif self.stack and self.stack[-1][0] == "script":
            self.scripts += data


class TimelineCase(Case):
    def timeline(self, trace, name, *args, **more):
        out = self.path(name)
        _, self.errors = self.run_trace("timeline", *args, trace, "-o", out, **more)
        with open(out, encoding="utf-8") as file:
            return file.read()

    def svg_counts(self, text):
        """Counts by the name of the row, and by the tooltips of the row."""
        root = ElementTree.fromstring(text)
        self.assertEqual(root.tag, SVG + "svg")
        texts = [("".join(t.itertext()), t.get("x"), t.get("y"), t.get("class") or "")
                 for t in root.iter(SVG + "text")]
        counts = {y: int(t.replace(",", "")) for t, x, y, c in texts if c == "n"}
        names = {y: t for t, x, y, c in texts if c == "" and y in counts}
        rows = {names[y]: counts[y] for y in counts}
        tips = {}
        for rect in root.iter(SVG + "rect"):
            title = rect.find(SVG + "title")
            if title is not None:
                name, count = re.match(r"(.*): ([\d,]+) from ", title.text).groups()
                tips[name] = tips.get(name, 0) + int(count.replace(",", ""))
        return rows, tips

    def page(self, text):
        page = Page(text)
        self.assertEqual(page.stack, [])
        self.assertEqual(page.links, [], "nothing is loaded")
        self.assertNotRegex(text, r"https?://|@import|url\(|fetch\(|XMLHttp|import\(")
        return page

    def html_counts(self, page):
        rows, sums = {}, {}
        for row in page.data["threads"] + page.data["events"]:
            step = 3 if row in page.data["threads"] else 2
            self.assertEqual(len(row["data"]) % step, 0)
            columns = sum(row["data"][0::step]) + len(row["data"]) // step
            self.assertLessEqual(columns, page.data["columns"])
            rows[row["name"]] = row["total"]
            sums[row["name"]] = sum(row["data"][1::step])
        return rows, sums


class Counts(TimelineCase):
    def check(self, content, events, expected, *args, name="trace"):
        trace = content if isinstance(content, str) else self.recording(content, events, name)
        text = self.timeline(trace, "out.svg", *args)
        rows, tips = self.svg_counts(text)
        self.assertEqual(rows, expected)
        self.assertEqual(tips.pop("All records", None), None)
        self.assertEqual(tips, {name: count for name, count in expected.items() if count})
        rows, sums = self.html_counts(self.page(self.timeline(trace, "out.html", *args)))
        self.assertEqual(rows, expected)
        self.assertEqual(sums, expected)
        self.assertEqual(self.errors, "")
        return text

    def test_small(self):
        content = header() + maps(3) + event(0, 1000, words(1), 5) + event(1, 2000, words(1), 5)
        content += event(0, 9000, words(1), 6) + event(DROPPED, 9500, words(77), 6)
        text = self.check(content, events_text(3), {"process 5": 2, "process 6": 1, "event_000": 2,
                                                    "event_001": 1, "lost events": 77})
        self.assertIn("3 records, 2 events, 2 threads", text)

    def test_threads(self):
        trace = self.write("flight", flight(events_text(2), ["event_000", "event_001"], [
            (11, [event(0, t, words(0), 100) for t in range(50)]),
            (12, [event(1, t, words(0), 100) for t in range(20)])]))
        self.check(trace, None, {"process 100, thread 11": 50, "process 100, thread 12": 20,
                                 "event_000": 50, "event_001": 20})

    def test_others(self):
        draw = random.Random(1)
        content, counts, pids = header() + maps(60), {}, {}
        for time in range(3000):
            number, pid = min(draw.randrange(60), draw.randrange(60)), draw.randrange(1, 30)
            counts[number] = counts.get(number, 0) + 1
            pids[pid] = pids.get(pid, 0) + 1
            content += event(number, time * 1000, words(0), pid)
        top = sorted(counts, key=lambda n: (-counts[n], n))
        names = sorted(pids, key=lambda p: (-pids[p], f"process {p}"))
        expected = {f"event_{n:03}": counts[n] for n in top[:7]}
        expected[f"{len(top) - 7} other events"] = sum(counts[n] for n in top[7:])
        expected.update({f"process {p}": pids[p] for p in names[:7]})
        expected[f"{len(names) - 7} other threads"] = sum(pids[p] for p in names[7:])
        self.check(content, events_text(60), expected, "--top", "7")

    def test_times_of_every_size(self):
        draw = random.Random(2)
        for name, times in (
                ("one", [123456789]), ("equal", [5, 5, 5]), ("zero", [0, 1]),
                ("long", [0, 1, 2**63, 2**64 - 1]), ("back", [10**12, 10**12 - 10**6, 5, 10**12]),
                ("falling", list(range(10**6, 0, -1000))),
                ("random", [draw.randrange(2**draw.randrange(1, 64)) for _ in range(500)])):
            content = header() + maps(1) + b"".join(event(0, t, words(0), 1) for t in times)
            self.check(content, events_text(1), {"process 1": len(times), "event_000": len(times)},
                       name=name)

    def test_qemu(self):
        trace = os.path.join(DATA, "pc-boot.simple-v4.zst")
        shown = self.unpack(os.path.join(DATA, "pc-boot.simple-v4.txt.zst")).splitlines()
        counts = {}
        for line in shown:
            name = line.split()[0].decode()
            counts[name] = counts.get(name, 0) + 1
        pid = int(re.search(rb"pid=(\d+)", shown[0]).group(1))
        counts[f"process {pid}"] = len(shown)
        self.check(trace, None, counts, "--top", "100", "--events", QEMU_EVENTS)

    def test_dominant_event(self):
        content = header() + maps(2)
        for t in range(1000):
            for n in (0, 0, 1) if t < 500 else (1, 1, 0):
                content += event(n, t * 1000, words(0), 1)
        trace = self.recording(content, events_text(2))
        data = self.page(self.timeline(trace, "out.html")).data
        names = [row["name"] for row in data["events"]]
        flat = data["threads"][0]["data"]
        most = [names[place] for place in flat[2::3]]
        middle = len(most) // 2
        early, late = most[:middle - 2], most[middle + 2:]
        self.assertGreater(early.count("event_000"), 0.9 * len(early))
        self.assertGreater(late.count("event_001"), 0.9 * len(late))


class Looks(TimelineCase):
    def trace(self):
        return self.recording(header() + maps(1) + event(0, 1, words(0), 1) +
                              event(0, 5000, words(0), 1), events_text(1))

    def test_svg_is_complete_in_itself(self):
        text = self.timeline(self.trace(), "out.svg")
        self.assertEqual(re.findall(r"https?://[^\"]*", text), ["http://www.w3.org/2000/svg"])
        self.assertNotRegex(text, r"<script|<image|href|@import|url\(")
        self.assertIn("prefers-color-scheme:dark", text)
        self.assertRegex(text, r">[\d.]+ \u00b5s<")

    def test_title_is_escaped(self):
        title = "</title></script><b>&\"'"
        root = ElementTree.fromstring(self.timeline(self.trace(), "out.svg", "--title", title))
        self.assertEqual(root.find(SVG + "title").text, title)
        text = self.timeline(self.trace(), "out.html", "--title", title)
        self.page(text)
        self.assertNotIn("<b>", text)

    def test_title_that_xml_cannot_express(self):
        title = "a\x01b\ufffec\uffff\ufffd\u20ac"
        root = ElementTree.fromstring(self.timeline(self.trace(), "out.svg", "--title", title))
        self.assertEqual(root.find(SVG + "title").text, "a\ufffdb\ufffdc\ufffd\ufffd\u20ac")

    def test_format(self):
        text, _ = self.run_trace("timeline", self.trace())
        ElementTree.fromstring(text)
        text, _ = self.run_trace("timeline", "--format", "html", self.trace())
        self.assertTrue(text.startswith(b"<!DOCTYPE html>"))
        self.assertTrue(self.timeline(self.trace(), "x.svg", "--format=html").startswith("<!DOC"))

    def test_script(self):
        node = tool("node")
        script = self.write("page.js", self.page(self.timeline(self.trace(), "out.html")).scripts)
        done = subprocess.run([node, "--check", script], capture_output=True, check=False)
        self.assertEqual(done.returncode, 0, done.stderr.decode())

    def test_empty(self):
        trace = self.recording(header(), events_text(1))
        text = self.timeline(trace, "out.svg")
        ElementTree.fromstring(text)
        self.assertIn("no records", text)
        page = self.page(self.timeline(trace, "out.html"))
        self.assertEqual(page.data["columns"], 0)

    def test_damage(self):
        with open(self.trace(), "rb") as file:
            content = file.read()
        trace = self.recording(content[:-1], events_text(1), "cut")
        text = self.timeline(trace, "out.svg", status=1)
        self.assertEqual(len(self.errors.splitlines()), 1)
        self.assertEqual(self.svg_counts(text)[0], {"process 1": 1, "event_000": 1})

    def test_usage(self):
        trace = self.trace()
        for args in ([], [trace, trace], ["--top", "0", trace], ["--format", "png", trace],
                     [trace, "-o", trace]):
            self.run_trace("timeline", *args, status=2)

    def test_memory_does_not_grow(self):
        def peak(records):
            """Feeds a pipe: neither length nor time range are known. Returns kB."""
            before = header() + maps(50)
            with subprocess.Popen([VITRINE_TRACE, "timeline", "-", "--events", events, "-o",
                                   self.path("out.svg")], stdin=subprocess.PIPE) as process:
                process.stdin.write(before)
                block = 5000
                for start in range(0, records, block):
                    process.stdin.write(b"".join(event(n % 50, n * 1000, words(n), 1 + n % 5)
                                                 for n in range(start, start + block)))
                process.stdin.close()
                _, status, usage = os.wait4(process.pid, 0)
                process.returncode = os.waitstatus_to_exitcode(status)
            self.assertEqual(process.returncode, 0)
            return usage.ru_maxrss

        events = self.write("events", events_text(50))
        small, large = peak(20000), peak(2000000 if LONG else 200000)
        self.assertLess(large, small + 2048)


if __name__ == "__main__":
    unittest.main()
