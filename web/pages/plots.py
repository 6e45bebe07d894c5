"""Charts of pages as coordinates; the template `plot.html` draws them as SVG, so they work without JavaScript."""

import math
from collections.abc import Sequence
from typing import TypedDict

from retraind.daemon.schema.score_names import plain

WIDTH, HEIGHT, TOP, BOTTOM, LEFT, RIGHT = 360, 268, 26, 40, 58, 14
MOST_TICKS = 5
STEPS = (1, 2, 5, 10)
TINY = 1e-9
"""A share that is rounding error."""

Point = tuple[float, float]


class Tick(TypedDict):
    """A line of the grid, and its number."""

    at: float
    text: str


class Line(TypedDict):
    """A line in SVG's form, and its name for people."""

    points: str
    name: str


class Dot(TypedDict):
    """A point with the ends of its interval."""

    x: float
    y: float
    low: float
    high: float
    title: str


class Bar(TypedDict):
    """A column of a histogram."""

    x: float
    y: float
    width: float
    height: float
    title: str


class Plot(TypedDict):
    """A chart in pixels."""

    width: int
    height: int
    left: int
    right: int
    top: int
    base: int
    across: list[Tick]
    up: list[Tick]
    x_title: str
    y_title: str
    label: str
    """What it shows, for those who don't see it."""
    ideal: str
    """The points of the line of a perfect or useless model; empty without one."""
    lines: list[Line]
    dots: list[Dot]
    bars: list[Bar]


class Scale:
    """Values from `low` to `high` as pixels from `start` to `end`."""

    def __init__(self, low: float, high: float, start: float, end: float) -> None:
        self.low, self.high = (low, high) if high > low else (low - 0.5, low + 0.5)
        self._start, self._end = start, end

    def at(self, value: float) -> float:
        """The pixel of a value; values beyond the ends are drawn at them."""
        share = (min(max(value, self.low), self.high) - self.low) / (self.high - self.low)
        return round(self._start + share * (self._end - self._start), 1)

    def ticks(self) -> list[Tick]:
        """Round values at equal distances, at most MOST_TICKS + 1, with their pixels."""
        rough = (self.high - self.low) / MOST_TICKS
        power = 10.0 ** math.floor(math.log10(rough))
        step = next(power * factor for factor in STEPS if power * factor >= rough * (1 - TINY))
        first, last = math.ceil(self.low / step - TINY), math.floor(self.high / step + TINY)
        values = [index * step for index in range(first, last + 1)]
        return [{"at": self.at(value), "text": plain(value, 3) if value else "0"} for value in values]


class Canvas:
    """The plane of one chart."""

    def __init__(self, x: tuple[float, float], y: tuple[float, float]) -> None:
        self.x, self.y = Scale(*x, LEFT, WIDTH - RIGHT), Scale(*y, HEIGHT - BOTTOM, TOP)

    def points(self, line: Sequence[Point]) -> str:
        """A line in SVG's form."""
        return " ".join(f"{self.x.at(x)},{self.y.at(y)}" for x, y in line)

    def dot(self, x: float, y: float, low: float, high: float, title: str) -> Dot:
        """A point with its interval."""
        return {"x": self.x.at(x), "y": self.y.at(y), "low": self.y.at(low), "high": self.y.at(high), "title": title}

    def bar(self, start: float, end: float, value: float, title: str) -> Bar:
        """A column from zero to a value."""
        left, top = self.x.at(start), self.y.at(value)
        width = max(1.0, round(self.x.at(end) - left - 1, 1))
        return {"x": left, "y": top, "width": width, "height": round(HEIGHT - BOTTOM - top, 1), "title": title}

    def plot(self, label: str, x_title: str, y_title: str, ideal: Sequence[Point] = ()) -> Plot:
        """The chart, still without data."""
        return {
            "width": WIDTH,
            "height": HEIGHT,
            "left": LEFT,
            "right": WIDTH - RIGHT,
            "top": TOP,
            "base": HEIGHT - BOTTOM,
            "across": self.x.ticks(),
            "up": self.y.ticks(),
            "x_title": x_title,
            "y_title": y_title,
            "label": label,
            "ideal": self.points(ideal),
            "lines": [],
            "dots": [],
            "bars": [],
        }
