"""Predictions by filters: an index answers id, version and time; the other filters read predictions newest first.

Labels are in the journal and predictions in the history, so predictions with or without a label are chosen in two steps.
"""

import json
from collections.abc import Sequence
from pathlib import Path

from retraind.daemon.core.home import Home
from retraind.daemon.records.predictions import LoggedPrediction, PredictionFacts, lowest_seq
from retraind.daemon.records.query import LAST, Row, ask, listed, number, parts, texts
from retraind.daemon.records.search import conditions
from retraind.daemon.records.search.old_predictions import OldPredictions, PredictionFilter, Stretch
from retraind.daemon.records.search.pages import Bounds, Condition, Page, Range, Source, bounds, page

FEW_LABELS = 20_000
"""Up to this many labels, their predictions are looked up; if there are more, most pages are full at once."""


class ListedPrediction(LoggedPrediction):
    """A prediction with its late label; None without one."""

    label: str | None


class _Stored(PredictionFacts):
    features: str


def search(
    home: Home, chosen: PredictionFilter, place: Range, old: OldPredictions | None = None
) -> Page[ListedPrediction]:
    """A page of predictions with their labels, newest first; raises TooSlow, sqlite3.Error, Unavailable.

    `old` are those in files, which have smaller numbers than the database.
    """
    if old is None:
        page = _recent(home, chosen, place)
    elif place.before is None and place.after is not None:
        page = _upwards(home, chosen, place.after, place.limit, old)
    else:
        page = _downwards(home, chosen, place, old)
    return Page(_shown(home.journal, page.rows), page.older, page.newer, page.complete)


def _downwards(home: Home, chosen: PredictionFilter, place: Range, old: OldPredictions) -> Page[LoggedPrediction]:
    """A page that goes on in files where the database ends."""
    page = _recent(home, chosen, place)
    if page.older is not None:
        return page
    # Read after the page, because rows may leave the database meanwhile; then those of the page stay above.
    end = min(
        [LAST if place.before is None else place.before, lowest_seq(home.history), *(row["seq"] for row in page.rows)]
    )
    rest = old.page(chosen, Stretch(place.limit - len(page.rows), end))
    rows = [*page.rows, *rest.rows]
    newer = None if place.before is None else rows[0]["seq"] if rows else place.before - 1
    return Page(rows, rest.rest, newer, rest.complete)


def _upwards(
    home: Home, chosen: PredictionFilter, after: int, limit: int, old: OldPredictions
) -> Page[LoggedPrediction]:
    """A page that begins in files if the database begins later."""
    lowest = lowest_seq(home.history)
    if after >= lowest - 1:
        return _recent(home, chosen, Range(limit, after=after))
    rest = old.page(chosen, Stretch(limit, lowest, after, upwards=True))
    rows, newer, complete = rest.rows[::-1], rest.rest, rest.complete
    if newer is None:
        page = _recent(home, chosen, Range(max(limit - len(rows), 1), after=lowest - 1))
        if len(rows) < limit:
            rows, newer, complete = [*page.rows, *rows], page.newer, page.complete
        elif page.rows or not page.complete:
            newer = rows[0]["seq"]
    return Page(rows, rows[-1]["seq"] if rows else after + 1, newer, complete)


def _recent(home: Home, chosen: PredictionFilter, place: Range) -> Page[LoggedPrediction]:
    """A page of the database."""
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
    logged: list[LoggedPrediction] = [{**row, "features": json.loads(row["features"])} for row in rows.rows]
    return Page(logged, rows.older, rows.newer, rows.complete)


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
        known = labels_of(home.journal, [row["prediction_id"] for row in rows])
        return [row for row in rows if (row["prediction_id"] in known) == labelled]

    return page(_Stored, source, fitting, place, within, sieve)


def few_labels(home: Home) -> list[str] | None:
    """The ids of all predictions with a label; None if there are more than FEW_LABELS."""
    ids = texts(home.journal, "SELECT prediction_id FROM labels LIMIT ?", FEW_LABELS + 1)
    return None if len(ids) > FEW_LABELS else ids


def _few_labelled(home: Home) -> list[int] | None:
    """The numbers of all predictions with a label; None if there are more than FEW_LABELS labels."""
    ids = few_labels(home)
    if ids is None:
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


def labels_of(journal: Path, ids: Sequence[str]) -> dict[str, str]:
    """The true values of those predictions that have a label."""
    query = "SELECT prediction_id, truth FROM labels WHERE prediction_id IN ({})"
    rows = (row for some in parts(ids) for row in ask(journal, query.format(listed(some)), *some))
    return {row["prediction_id"]: row["truth"] for row in rows}


def _shown(journal: Path, rows: Sequence[LoggedPrediction]) -> list[ListedPrediction]:
    known = labels_of(journal, [row["prediction_id"] for row in rows])
    return [{**row, "label": known.get(row["prediction_id"])} for row in rows]
