"""Searches of the records: filters, pages in both directions, and the time limit; with both kinds of journal."""

import json
from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest
from journal_entries import a_batch, a_drop, a_version, change

from retraind.daemon.core.errors import TooSlow
from retraind.daemon.core.home import Home
from retraind.daemon.core.states import DropState, EventKind, Level, VersionState
from retraind.daemon.records import query
from retraind.daemon.records.search import drop_search, event_search, pages, prediction_search
from retraind.daemon.records.search.drop_search import DropFilter
from retraind.daemon.records.search.event_search import EventFilter
from retraind.daemon.records.search.old_predictions import PredictionFilter
from retraind.daemon.records.search.pages import Page, Range
from retraind.daemon.storage import history_tables
from retraind.daemon.storage.journal import Journal

MANY = 95


def day(number: int) -> str:
    return f"2026-{1 + number // 28:02}-{1 + number % 28:02}T12:00:00.000Z"


@pytest.fixture
def drops(home: Home, journal: Journal) -> Home:
    """Every tenth drop is rejected, the others are batches of their own; version 1 was trained on the first 40."""
    with journal.together():
        batch = 0
        for number in range(1, MANY + 1):
            drop: Any = a_drop(f"Export_{number}%.csv", f"{number:064x}", rows_read=5)
            if number % 10 == 0:
                bad: Any = {**drop, "reason": "x is no number."}
                journal.drops.refuse(bad, DropState.REJECTED, "rejected")
            else:
                good: Any = {**drop, "rows_refused": number % 2}
                batch = journal.batches.accept(a_batch(number), [good])
                journal.batches.commit(batch, f"{batch:040x}", "d" * 32)
            change(journal, "UPDATE drops SET decided_at = :at WHERE id = :id", at=day(number), id=number)
        version: Any = {**a_version(1), "revision": f"{36:040x}"}
        journal.versions.judge(version, VersionState.PROMOTED, "good")
    return home


def walked(turn: Callable[[Range], Page[Any]], limit: int = 7) -> list[list[Any]]:
    """Every page, from the newest to the oldest; going back must give the same ones."""
    there: list[Page[Any]] = [turn(Range(limit))]
    assert there[0].newer is None
    while there[-1].older is not None:
        there.append(turn(Range(limit, before=there[-1].older)))
    back = [there[-1]]
    while back[-1].newer is not None and (page := turn(Range(limit, after=back[-1].newer))).rows:
        back.append(page)
    numbers = [row["number"] for page in there for row in page.rows]
    assert numbers == sorted(set(numbers), reverse=True)
    assert [row["number"] for page in back[::-1] for row in page.rows] == numbers
    return [page.rows for page in there]


def found(home: Home, **filters: Any) -> list[int]:
    """The ids of the drops that fit, by walking through the pages."""

    def turn(place: Range) -> Page[Any]:
        page = drop_search.search(home.journal, DropFilter(**filters), place)
        return Page([{"number": row["id"]} for row in page.rows], page.older, page.newer, page.complete)

    return [row["number"] for rows in walked(turn) for row in rows]


ALL = range(MANY, 0, -1)


@pytest.mark.engines
def test_drops_by_each_filter(drops: Home) -> None:
    assert found(drops) == list(ALL)
    assert found(drops, state=DropState.REJECTED) == [number for number in ALL if number % 10 == 0]
    assert found(drops, with_bad_rows=True) == [number for number in ALL if number % 2 or number % 10 == 0]
    assert found(drops, name="EXPORT_9") == [95, 94, 93, 92, 91, 90, 9]
    assert found(drops, name="%") == list(ALL)
    assert found(drops, name="t_9%") == [9]
    assert found(drops, name="t.9") == []
    assert found(drops, key="42") == [42]
    assert found(drops, key=f"{42:064x}") == [42]
    assert found(drops, key="0" * 62) == list(ALL)
    assert found(drops, since=day(30), until=day(33)) == [32, 31, 30]
    assert found(drops, version=1) == [number for number in ALL if number <= 40 and number % 10]
    assert found(drops, version=2) == []
    assert found(drops, source="http") == []


@pytest.mark.engines
def test_small_windows_give_the_same_pages(drops: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "WINDOW", 3)
    monkeypatch.setattr(pages, "LARGEST_WINDOW", 4)
    assert found(drops, state=DropState.REJECTED) == [number for number in ALL if number % 10 == 0]


@pytest.mark.engines
def test_search_without_time_says_where_it_stopped(drops: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each page then holds what one window has, and the next page continues it: nothing is lost."""
    monkeypatch.setattr(pages, "SECONDS", 0.0)
    monkeypatch.setattr(pages, "WINDOW", 10)
    first = drop_search.search(drops.journal, DropFilter(name="Export_9%"), Range(50))
    assert (first.rows, first.complete, first.older) == ([], False, MANY + 1 - 10)
    assert found(drops, name="Export_9%") == [9]


def test_query_ends_at_its_time_limit(home: Home, journal: Journal) -> None:
    endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT COUNT(*) AS n FROM n"
    with pytest.raises(TooSlow, match=r"ended after 0\.2 s"):
        query.ask(home.journal, endless, seconds=0.2)


@pytest.mark.engines
def test_events_by_each_filter(home: Home, journal: Journal) -> None:
    for number in range(1, 41):
        kind = EventKind.REJECTED if number % 4 == 0 else EventKind.ACCEPTED
        level = Level.WARNING if number % 4 == 0 else Level.INFO
        journal.events.record(kind, f"File {number}", level=level, drop=f"{number:064x}", version=number % 3 or None)

    def listed(**filters: Any) -> list[int]:
        def turn(place: Range) -> Page[Any]:
            page = event_search.search(home.journal, EventFilter(**filters), place)
            return Page([{"number": row["id"]} for row in page.rows], page.older, page.newer, page.complete)

        return [row["number"] for rows in walked(turn) for row in rows]

    every, fourth = range(40, 0, -1), list(range(40, 0, -4))
    assert listed() == list(every)
    assert listed(kinds=[EventKind.REJECTED]) == fourth
    assert listed(levels=[Level.WARNING, Level.ERROR]) == fourth
    assert listed(text="file 3") == [*range(39, 29, -1), 3]
    assert listed(drop=f"{7:064x}") == [7]
    assert listed(version=2) == [number for number in every if number % 3 == 2]
    assert listed(number=12) == [12]
    assert listed(since="2000-01-01", until="2001-01-01") == []
    assert listed(unacknowledged=True) == fourth
    event = journal.acknowledgements.event(20)
    assert event is not None
    journal.acknowledgements.record([event], "cli (ann)")
    assert listed(unacknowledged=True) == [number for number in fourth if number != 20]
    row = event_search.search(home.journal, EventFilter(number=20), Range(1)).rows[0]
    assert row["acknowledged_by"] == "cli (ann)"


def predict(home: Home, count: int) -> None:
    """Predictions of three versions, whose times are out of order, as with several workers."""
    with closing(history_tables.connect(home.history)) as history:
        for number in range(1, count + 1):
            name, version = ("rose", "tulip", "iris")[number % 3], 1 + number // 50
            at, share = day(number + (5 if number % 7 == 0 else 0)), 0.5 + number / 1000
            row = (f"id-{number:03}", at, json.dumps([1.0, "a"]), number, name, share, version, 0.5, "")
            history.execute(history_tables.INSERT, row)


@pytest.mark.engines
@pytest.mark.parametrize("few", [1000, 0])
def test_predictions_by_each_filter(home: Home, journal: Journal, few: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """With few labels their predictions are looked up; with more, predictions are sieved."""
    monkeypatch.setattr(prediction_search, "FEW_LABELS", few)
    monkeypatch.setattr(pages, "SIEVED", 10)
    predict(home, 120)
    labels: Any = [
        {"prediction_id": f"id-{number:03}", "version": 1, "prediction": "rose", "truth": "tulip", "drop": "e" * 64}
        for number in range(5, 120, 10)
    ]
    journal.batches.accept(a_batch(1), [a_drop()], labels)

    def listed(**filters: Any) -> list[int]:
        def turn(place: Range) -> Page[Any]:
            page = prediction_search.search(home, PredictionFilter(**filters), place)
            return Page([{"number": row["seq"]} for row in page.rows], page.older, page.newer, page.complete)

        return [row["number"] for rows in walked(turn) for row in rows]

    every = range(120, 0, -1)
    labelled = [number for number in every if number % 10 == 5]
    assert listed() == list(every)
    assert listed(key="id-01") == list(range(19, 9, -1))
    assert listed(version=2) == list(range(99, 49, -1))
    assert listed(answer="rose") == [number for number in every if number % 3 == 0]
    assert listed(confidence=(0.6, None), version=3) == list(range(120, 99, -1))
    assert listed(value=(3.0, 5.0)) == [5, 4, 3]
    assert listed(since=day(20), until=day(21)) == [20]
    assert listed(since=day(26), until=day(27)) == [26, 21]
    assert listed(labelled=True) == labelled
    assert listed(labelled=False) == [number for number in every if number not in labelled]
    assert listed(labelled=True, version=2) == [95, 85, 75, 65, 55]
    assert listed(labelled=True, answer="none") == []
    row = prediction_search.search(home, PredictionFilter(key="id-005"), Range(1)).rows[0]
    assert (row["label"], row["features"]) == ("tulip", [1.0, "a"])
