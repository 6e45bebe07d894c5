"""Counts the predictions of the history by minute, class and confidence, each exactly once.

`position` is the number of the last row that was counted. The history gives numbers in the order of its transactions,
so all rows up to the largest number are there.
"""

import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import NamedTuple, TypedDict

from retraind.daemon.core.trends import figures, sketch
from retraind.daemon.core.trends.figures import CONFIDENCE, TWENTIETHS, Figures, Sum
from retraind.daemon.storage.trends.store import Change

ROWS = 50_000
"""Maximum number of predictions that are counted in one transaction."""

AHEAD_SECONDS = 90.0
"""A prediction of a later time than this from now has a wrong one, and counts as one of now."""

HIGHEST = "SELECT seq FROM sqlite_sequence WHERE name = 'predictions'"
AT = "SELECT prediction_id, timestamp FROM predictions WHERE seq = ?"
CLASSES = f"""
SELECT substr(timestamp, 1, 16) AS minute, prediction_name, MIN(CAST(confidence * {TWENTIETHS} AS INTEGER), {TWENTIETHS - 1}) AS part,
    COUNT(*), CAST(ROUND(SUM(confidence) * 1e6) AS INTEGER)
FROM predictions WHERE seq > ? AND seq <= ? AND timestamp > ? GROUP BY 1, 2, 3"""  # noqa: S608 - constants
VALUES = """
SELECT substr(timestamp, 1, 16), prediction FROM predictions
WHERE seq > ? AND seq <= ? AND timestamp > ? AND prediction_name IS NULL"""


class Counted(TypedDict):
    """How far the history was counted."""

    seq: int
    id: str
    """The prediction with this number, which shows that it is still the same history."""
    newest: str
    """The latest time of a counted prediction: in a new history, filled from the remaining logs, earlier ones are left out."""
    after: str
    """Only predictions of a later time count; empty: all."""


class Counts(NamedTuple):
    """Figures of some predictions, and how far the history is counted with them."""

    changes: list[Change]
    counted: Counted


def highest(connection: sqlite3.Connection) -> int:
    """The number of the last prediction of the history; 0 without any."""
    row = connection.execute(HIGHEST).fetchone()
    return int(row[0]) if row else 0


def new(connection: sqlite3.Connection, counted: Counted | None, now: float) -> Iterator[Counts]:
    """The figures of all predictions that are not counted yet; `now` in seconds since 1970. Raises sqlite3.Error."""
    last_seq = highest(connection)
    here = counted or Counted(seq=0, id="", newest="", after="")
    if counted is not None and not _continues(connection, counted, last_seq):
        here = Counted(seq=0, id="", newest=counted["newest"], after=counted["newest"])
    while here["seq"] < last_seq:
        until = min(last_seq, here["seq"] + ROWS)
        changes = _figures(connection, here, until, now)
        last = connection.execute(AT, (until,)).fetchone() or ("", "")
        here = Counted(seq=until, id=last[0] or "", newest=max(here["newest"], last[1] or ""), after=here["after"])
        yield Counts(changes, here)


def _continues(connection: sqlite3.Connection, counted: Counted, last_seq: int) -> bool:
    """Whether the history is the one that was counted, and not a new one."""
    if last_seq < counted["seq"]:
        return False
    row = connection.execute(AT, (counted["seq"],)).fetchone()
    return row is None or not counted["id"] or row[0] == counted["id"]


def _figures(connection: sqlite3.Connection, here: Counted, until: int, now: float) -> list[Change]:
    bounds = (here["seq"], until, here["after"])
    minutes: dict[str, Figures] = {}
    numbers = False
    for minute, name, part, count, confidence in connection.execute(CLASSES, bounds):
        if name is None:
            numbers = True
            continue
        entry = minutes.setdefault(minute, figures.empty())
        counts = {f"{Sum.CLASS}{name}": count}
        if part is not None:
            counts[Sum.CONFIDENCE] = confidence
            shares = entry["histograms"].setdefault(CONFIDENCE, {})
            shares[str(part)] = shares.get(str(part), 0) + count
        entry["sums"] = figures.added(entry["sums"], counts)
    if numbers:
        for minute, values in _values(connection, bounds).items():
            entry = minutes.setdefault(minute, figures.empty())
            entry["sums"] = figures.added(entry["sums"], {Sum.VALUES: len(values)})
            entry["values"] = sketch.of(values)
    return [Change(_seconds(minute, now), entry) for minute, entry in minutes.items()]


def _values(connection: sqlite3.Connection, bounds: tuple[int, int, str]) -> dict[str, list[float]]:
    by_minute: dict[str, list[float]] = {}
    for minute, value in connection.execute(VALUES, bounds):
        by_minute.setdefault(minute, []).append(float(value))
    return by_minute


def _seconds(minute: str, now: float) -> float:
    try:
        at = datetime.fromisoformat(minute).replace(tzinfo=UTC).timestamp()
    except (TypeError, ValueError):
        return now
    return at if at <= now + AHEAD_SECONDS else now
