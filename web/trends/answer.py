"""The figures over time as an answer: one list for each series, with null where nothing was counted or measured."""

from collections.abc import Iterable, Sequence
from itertools import groupby
from pathlib import Path
from typing import NamedTuple, TypedDict

from retraind.daemon.core.trends import figures as sums
from retraind.daemon.core.trends import series, spans
from retraind.daemon.core.trends.figures import Figures
from retraind.daemon.records.trends import reader
from retraind.daemon.records.trends.reader import MarkRow
from retraind.web.http.reply import Reply, json_object
from retraind.web.lists import csv_text
from retraind.web.lists.parameters import Query
from retraind.web.trends import asked
from retraind.web.trends.asked import Asked, iso

MOST_MARKS = 500
"""Number of newest marks in an answer."""


class Trends(TypedDict):
    """Figures over time."""

    step: str
    seconds: int
    """The length of a step."""
    at: list[str]
    """The begins of the steps, oldest first."""
    watched: list[float]
    """Seconds of each step over which HTTP workers were watched; rates are per watched time."""
    series: dict[str, list[float | None]]
    marks: list[MarkRow]
    """Oldest first."""
    count: int
    """Number of steps."""


class Loaded(NamedTuple):
    """What is stored of the time that was asked for."""

    asked: Asked
    points: list[Figures | None]
    """The figures of each step; None without any."""
    marks: list[MarkRow]
    """Oldest first."""

    @property
    def times(self) -> range:
        """The begins of the steps, in seconds since 1970."""
        return range(self.asked.begin, self.asked.end, self.asked.seconds)


def load(path: Path, span: Asked) -> Loaded:
    """Read what was asked for; raises sqlite3.Error."""
    stored = reader.figures(path, spans.source(span.seconds), span.begin, span.end)
    steps = groupby(stored, lambda row: spans.begin(row[0], span.seconds))
    by_step = {step: sums.total(figures for _, figures in rows) for step, rows in steps}
    marks = reader.marks(path, iso(span.begin), iso(span.end), MOST_MARKS)[::-1]
    return Loaded(span, [by_step.get(at) for at in range(span.begin, span.end, span.seconds)], marks)


def trends(loaded: Loaded) -> Trends:
    """The answer for programs."""
    span, points = loaded.asked, loaded.points
    return {
        "step": span.step,
        "seconds": span.seconds,
        "at": [iso(at) for at in loaded.times],
        "watched": [round(series.watched(point), 1) if point else 0.0 for point in points],
        "series": series.columns(points, span.groups),
        "marks": loaded.marks,
        "count": len(points),
    }


def whole(points: Iterable[Figures | None]) -> Figures:
    """The figures of several steps together."""
    return sums.total(point for point in points if point is not None)


def reply(path: Path, query: Query) -> Reply:
    """The answer to a query, as JSON or CSV; raises Problem 400 and sqlite3.Error."""
    span, values = asked.parse(query)
    answer = trends(load(path, span))
    if values.text("format") != "csv":
        return json_object(answer)
    headers = {
        "Content-Type": "text/csv; charset=utf-8; header=present",
        "Content-Disposition": 'attachment; filename="trends.csv"',
    }
    return Reply(_csv(answer), headers=headers)


def _csv(answer: Trends) -> bytes:
    """A line for each step; a number that is not known is an empty cell."""
    table: dict[str, Sequence[object]] = {"at": answer["at"], "watched_seconds": answer["watched"], **answer["series"]}
    rows = [dict(zip(table, row, strict=True)) for row in zip(*table.values(), strict=True)]
    return csv_text.write(list(table), rows)
