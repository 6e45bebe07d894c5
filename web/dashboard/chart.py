"""The picture of scores per version as coordinates; the template draws them as SVG.

The server draws it, so that it works without JavaScript and under a policy that forbids inline styles.
"""

from collections.abc import Sequence
from typing import TypedDict

from retraind.daemon.core.states import VersionState
from retraind.daemon.schema.score_names import TITLES
from retraind.web.dashboard.quality import wilson

HEIGHT, TOP, BOTTOM, LEFT, RIGHT = 220, 16, 32, 44, 16
STEPS = (0.01, 0.02, 0.05, 0.1, 0.2)
MOST_LINES = 6


class Plotted(TypedDict):
    """The values of a version that the picture needs."""

    number: int
    state: VersionState
    champion: bool
    score: float | None
    """At most 1; a version without one is left out."""
    figure: str
    """The name of the score."""
    n: int
    """Number of rows that it is measured on."""
    left: str
    """How it was taken out of service by a rollback, and when; empty if it was not, or serves again."""


class Dot(Plotted):
    """A version in the picture: its position, and the ends of its interval."""

    x: float
    y: float
    low: float
    high: float


class Tick(TypedDict):
    """A line across the picture, and its number."""

    y: float
    text: str


class Chart(TypedDict):
    """The picture in pixels."""

    width: int
    height: int
    left: int
    right: int
    base: int
    ticks: list[Tick]
    dots: list[Dot]
    labels: list[Dot]
    """The dots that have a number below them."""
    line: str
    """The points of the line through the promoted versions, in SVG's form."""


def points(versions: Sequence[Plotted], width: int, most: int) -> Chart:
    """Dots, whiskers, ticks and the line of promoted versions for the newest `most` of `versions` (oldest first).

    Versions of another task than the newest are left out; a negative R² is drawn at 0.
    """
    scored = [row for row in versions if row["score"] is not None]
    shown = [row for row in scored if row["figure"] == scored[-1]["figure"]][-most:]
    bounds = [_bounds(row) for row in shown]
    ticks = _ticks(min((low for low, _, _ in bounds), default=0.0))
    floor, across = ticks[0], (width - LEFT - RIGHT) / max(1, len(shown))

    def y(value: float) -> float:
        return round(TOP + (1 - (value - floor) / (1 - floor)) * (HEIGHT - TOP - BOTTOM), 1)

    dots: list[Dot] = [
        {**row, "x": round(LEFT + across * (index + 0.5), 1), "y": y(at), "low": y(low), "high": y(high)}
        for index, (row, (low, at, high)) in enumerate(zip(shown, bounds, strict=True))
    ]
    # A number under every dot would overlap when there are many.
    every = -(-len(dots) * 26 // (width - LEFT - RIGHT)) or 1
    labels = [dot for index, dot in enumerate(reversed(dots)) if index % every == 0]
    return {
        "width": width,
        "height": HEIGHT,
        "left": LEFT,
        "right": width - RIGHT,
        "base": HEIGHT - BOTTOM,
        "ticks": [{"y": y(value), "text": f"{value:.2f}"} for value in ticks],
        "dots": dots,
        "labels": labels,
        "line": " ".join(f"{dot['x']},{dot['y']}" for dot in dots if dot["state"] == VersionState.PROMOTED),
    }


def _bounds(row: Plotted) -> tuple[float, float, float]:
    """The coordinates of a score and the ends of its 95 % interval; R² has no simple interval."""
    at = max(0.0, row["score"] or 0.0)
    if row["figure"] != TITLES["accuracy"]:
        return at, at, at
    low, high = wilson(at, row["n"])
    return low, at, high


def _ticks(lowest: float) -> list[float]:
    """Round values from just below `lowest` up to 1."""
    step = next((step for step in STEPS if (1 - lowest) / step <= MOST_LINES), STEPS[-1])
    first = min(int(lowest / step), round(1 / step) - 1)
    return [round(index * step, 2) for index in range(first, round(1 / step) + 1)]
