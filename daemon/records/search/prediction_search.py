"""Predictions by filters: an index answers id, version and time; the other filters read predictions newest first.

Labels are in the journal and predictions in the history, so predictions with or without a label are chosen in two steps.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from retraind.daemon.core.home import Home
from retraind.daemon.records.predictions import LoggedPrediction, PredictionFacts
from retraind.daemon.records.query import LAST, Row, ask, listed, number, parts, texts
from retraind.daemon.records.search import conditions
from retraind.daemon.records.search.pages import Bounds, Condition, Page, Range, Source, bounds, page

FEW_LABELS = 20_000
"""Up to this many labels, their predictions are looked up; if there are more, most pages are full at once."""


@dataclass(frozen=True)
class PredictionFilter:
    """What to list; None or an empty text: any."""

    key: str = ""
    """The prediction's id, or its beginning."""
    version: int | None = None
    answer: str = ""
    """The class."""
    caller: str | None = None
    confidence: tuple[float | None, float | None] = (None, None)
    """From and to, 0 to 1."""
    value: tuple[float | None, float | None] = (None, None)
    """From and to, of a regression."""
    since: str | None = None
    until: str | None = None
    """UTC, ISO 8601."""
    labelled: bool | None = None
    """Only predictions with, or without, a late label."""


class ListedPrediction(LoggedPrediction):
    """A prediction with its late label; None without one."""

    label: str | None


class _Stored(PredictionFacts):
    features: str


def search(home: Home, chosen: PredictionFilter, place: Range) -> Page[ListedPrediction]:
    """A page of predictions with their labels, newest first; raises TooSlow, sqlite3.Error."""
    source = Source(home.history, "predictions.*", "predictions", "seq")
    fitting = _conditions(chosen)
    # An index gives the numbers at both ends. In between, times are not in the order of the numbers: the files of
    # several workers are copied one after the other.
    indexed = conditions.during("timestamp", chosen.since, chosen.until)
    if chosen.key:
        indexed.append(conditions.begins("prediction_id", chosen.key))
    within = bounds(source, indexed) if indexed else None
    if chosen.labelled is None:
        rows = page(_Stored, source, fitting + indexed, place, within)
    else:
        rows = _by_label(home, source, fitting + indexed, place, within, labelled=chosen.labelled)
    return Page(_shown(home.journal, rows.rows), rows.older, rows.newer, rows.complete)


def number_of(history: Path, prediction: str) -> int | None:
    """The number of the prediction with this id; None if there is none."""
    return number(history, "SELECT seq FROM predictions WHERE prediction_id = ?", prediction)


def _conditions(chosen: PredictionFilter) -> list[Condition]:
    fitting = conditions.between("confidence", *chosen.confidence) + conditions.between("prediction", *chosen.value)
    if chosen.version is not None:
        fitting.append(conditions.equal("model_version", chosen.version))
    if chosen.answer:
        fitting.append(conditions.equal("prediction_name", chosen.answer))
    if chosen.caller is not None:
        fitting.append(conditions.equal("caller", chosen.caller))
    return fitting


def _by_label(
    home: Home,
    source: Source,
    fitting: list[Condition],
    place: Range,
    within: Bounds | None,
    *,
    labelled: bool,
) -> Page[_Stored]:
    """A page of predictions that have a label, or have none."""
    numbers = _few_labelled(home) if labelled else None
    if numbers is not None:
        return _among(source, fitting, place, numbers)

    def sieve(rows: list[Row]) -> list[Row]:
        known = _labels(home.journal, [row["prediction_id"] for row in rows])
        return [row for row in rows if (row["prediction_id"] in known) == labelled]

    return page(_Stored, source, fitting, place, within, sieve)


def _few_labelled(home: Home) -> list[int] | None:
    """The numbers of all predictions with a label; None if there are more than FEW_LABELS labels."""
    ids = texts(home.journal, "SELECT prediction_id FROM labels LIMIT ?", FEW_LABELS + 1)
    if len(ids) > FEW_LABELS:
        return None
    query = "SELECT seq FROM predictions WHERE prediction_id IN ({})"
    return [int(row["seq"]) for some in parts(ids) for row in ask(home.history, query.format(listed(some)), *some)]


def _among(source: Source, fitting: list[Condition], place: Range, numbers: list[int]) -> Page[_Stored]:
    """A page of the predictions with these numbers."""
    upwards = place.before is None and place.after is not None
    low, high = place.after or 0 if upwards else 0, LAST if place.before is None else place.before
    rest = sorted((seq for seq in numbers if low < seq < high), reverse=not upwards)
    rows: list[_Stored] = []
    for some in parts(rest):
        chosen = [*fitting, Condition(f"seq IN ({listed(some)})", tuple(some))]
        ends = Bounds(min(some), max(some))
        rows += page(_Stored, source, chosen, Range(len(some)), ends).rows[:: -1 if upwards else 1]
        if len(rows) > place.limit:
            break
    more, shown = len(rows) > place.limit, rows[: place.limit]
    if upwards:
        shown = shown[::-1]
        return Page(shown, shown[-1]["seq"] if shown else low + 1, shown[0]["seq"] if more else None)
    newer = None if place.before is None else shown[0]["seq"] if shown else place.before - 1
    return Page(shown, shown[-1]["seq"] if more else None, newer)


def _labels(journal: Path, ids: Sequence[str]) -> dict[str, str]:
    """The true values of those predictions that have a label."""
    query = "SELECT prediction_id, truth FROM labels WHERE prediction_id IN ({})"
    rows = (row for some in parts(ids) for row in ask(journal, query.format(listed(some)), *some))
    return {row["prediction_id"]: row["truth"] for row in rows}


def _shown(journal: Path, rows: Sequence[_Stored]) -> list[ListedPrediction]:
    known = _labels(journal, [row["prediction_id"] for row in rows])
    return [{**row, "features": json.loads(row["features"]), "label": known.get(row["prediction_id"])} for row in rows]
