# SPDX-License-Identifier: MIT
"""Rows of the table: a figure, the reference that was measured beside it, and a goal."""

import statistics

# How figures of a unit are shown, and whether less is better.
UNITS = {
    "ns": (2, True),
    "ms": (1, True),
    "s": (2, True),
    "x": (2, True),  # times as long as something else
    "times": (2, False),  # as fast as something else
    "M/s": (2, False),
}


class Series:
    """All values of one figure. What rows compare is their median, or the best of them."""

    def __init__(self, unit, values, use_best=False):
        self.unit = unit
        self.values = values
        self.median = statistics.median(values)
        self.best = min(values) if UNITS[unit][1] else max(values)
        self.figure = self.best if use_best else self.median

    def text(self, value=None):
        return f"{self.figure if value is None else value:.{UNITS[self.unit][0]}f} {self.unit}"

    def json(self):
        return {"unit": self.unit, "median": self.median, "best": self.best, "values": self.values}


class Goal:
    """A limit for a figure: `text` for people, `limit` in the unit of the figure."""

    def __init__(self, text, limit):
        self.text = text
        self.limit = limit


class Row:
    """`goal` is a function of the figure beside it that gives a Goal, or None for a
    figure that is there for information."""

    def __init__(self, name, series, beside_name="", beside=None, goal=None, remark=""):
        self.name = name
        self.series = series
        self.beside_name = beside_name
        self.beside = beside
        self.goal = goal(beside.figure if beside else None) if goal else None
        self.remark = remark

    @property
    def ratio(self):
        return self.series.figure / self.beside.figure if self.beside else None

    @property
    def reached(self):
        """How far the goal is reached: 1 and more is met."""
        if not self.goal:
            return None
        less_is_better = UNITS[self.series.unit][1]
        measured, limit = self.series.figure, self.goal.limit
        return limit / max(measured, 1e-9) if less_is_better else measured / limit

    @property
    def met(self):
        return self.reached is not None and self.reached >= 1

    def cells(self):
        met = "" if not self.goal else "yes" if self.met else "NO"
        remark = (f"median {self.series.text(self.series.median)}"
                  if self.series.figure == self.series.best and len(self.series.values) > 1
                  else f"best {self.series.text(self.series.best)}")
        return [self.name, self.series.text(),
                f"{self.beside_name} {self.beside.text()}" if self.beside else "",
                f"{self.ratio:.2f}" if self.beside else "",
                self.goal.text if self.goal else "", met,
                f"{remark}; {self.remark}" if self.remark else remark]

    def json(self):
        row = {"name": self.name, "measured": self.series.json(), "remark": self.remark}
        if self.beside:
            row["beside"] = dict(self.beside.json(), name=self.beside_name)
            row["ratio"] = self.ratio
        if self.goal:
            row["goal"] = {"text": self.goal.text, "limit": self.goal.limit,
                           "reached": self.reached, "met": self.met}
        return row


# --- goals

def at_most_more(ns, text):
    """At most so many nanoseconds more than the reference."""
    return lambda beside: Goal(text, beside + ns)


def at_least(limit, text):
    return lambda beside: Goal(text, limit)


def at_most(limit, text):
    return lambda beside: Goal(text, limit)


def at_most_times(factor, more, text):
    """At most so many times the reference, and so much more."""
    return lambda beside: Goal(text, factor * beside + more)


def at_least_times(factor, text):
    """At least so many times the reference."""
    return lambda beside: Goal(text, factor * beside)
