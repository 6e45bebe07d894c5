"""Acknowledging: what is over no longer asks for attention, what still holds can't be acknowledged. Both journals."""

from typing import Any

import pytest
from journal_entries import a_drop, a_version, change

from retraind.daemon.attention.acknowledging import Acknowledging
from retraind.daemon.core import requests
from retraind.daemon.core.home import Home
from retraind.daemon.core.journal.notices import REPORTED
from retraind.daemon.core.states import DropState, EventKind, Level, RunState, VersionState
from retraind.daemon.records.records import Records
from retraind.daemon.records.search import acknowledged
from retraind.daemon.storage.journal import Journal

pytestmark = pytest.mark.engines

BY = "http (ann)"


def ask(home: Home, journal: Journal, **meant: Any) -> tuple[str, str]:
    """State and detail of the answer to a request."""
    request = requests.ask(home, "acknowledge", by=BY, **meant)
    Acknowledging(home, journal).answer()
    assert requests.pending(home) == []
    entry = Records(home).requests.get(request.id)
    assert entry is not None
    return entry["state"], entry["detail"]


def seen_to(home: Home) -> list[int]:
    """The numbers of the acknowledged events."""
    rows = acknowledged.of_events(home.journal, range(1, 400))
    assert {row["by"] for row in rows.values()} <= {BY}
    return sorted(rows)


def a_rejection(journal: Journal, name: str, digit: str) -> None:
    drop: Any = {**a_drop(name, digit * 64), "reason": "x is no number."}
    journal.drops.refuse(drop, DropState.REJECTED, f"{name} rejected")


def _at(journal: Journal) -> str:
    row = journal.acknowledgements.get(1)
    assert row is not None
    return row["at"]


def newest(home: Home) -> int:
    return Records(home).events.newest(1)[0]["id"]


def test_rejection_is_acknowledged_once(home: Home, journal: Journal) -> None:
    a_rejection(journal, "a.csv", "a")
    assert ask(home, journal, event=1) == ("done", "1 event acknowledged.")
    assert seen_to(home) == [1]
    assert ask(home, journal, event=1) == ("done", f"Event 1 was acknowledged before, by {BY} at {_at(journal)}.")
    assert ask(home, journal, drop="a" * 64) == ("done", f"It was acknowledged before, by {BY} at {_at(journal)}.")
    rows = Records(home).drops.newest(1)
    known = acknowledged.among(home.journal, ["a" * 64], [], [])
    assert known.rejection("a" * 64, rows[0]["decided_at"])
    assert not known.rejection("b" * 64, rows[0]["decided_at"])


def test_a_mistyped_number_leaves_no_warning(home: Home, journal: Journal) -> None:
    """The answer has the reason; a warning would wait to be acknowledged itself."""
    a_rejection(journal, "a.csv", "a")
    assert ask(home, journal, event=999) == ("refused", "There is no event 999; `retraind events` lists them.")
    assert Records(home).events.newest(1)[0]["level"] == "info"


def test_new_rejection_of_the_same_bytes_is_another(home: Home, journal: Journal) -> None:
    a_rejection(journal, "a.csv", "a")
    ask(home, journal, drop="a" * 64)
    a_rejection(journal, "a.csv", "a")
    change(journal, "UPDATE drops SET decided_at = '2999-01-01T00:00:00.000Z' WHERE id = 2")
    known = acknowledged.among(home.journal, ["a" * 64], [], [])
    assert not known.rejection("a" * 64, Records(home).drops.newest(1)[0]["decided_at"])
    assert ask(home, journal, drop="a" * 64) == ("done", "1 event acknowledged.")


def test_what_is_no_problem_or_does_not_exist_is_refused(home: Home, journal: Journal) -> None:
    journal.events.record(EventKind.STARTED, "The daemon has started.")
    assert ask(home, journal, event=1)[1] == "Event 1 is neither a warning nor an error: nothing to acknowledge."
    assert ask(home, journal, event=99) == ("refused", "There is no event 99; `retraind events` lists them.")
    assert ask(home, journal, drop="c" * 64) == ("refused", "There is no warning or error to acknowledge.")


def test_all_means_those_until_then(home: Home, journal: Journal) -> None:
    """What happens after a person has looked is not acknowledged with the rest."""
    for digit in "abc":
        a_rejection(journal, f"{digit}.csv", digit)
    assert ask(home, journal, until=2) == ("done", "2 events acknowledged.")
    assert seen_to(home) == [1, 2]
    assert ask(home, journal, until=newest(home))[1] == "1 event acknowledged."
    assert seen_to(home) == [1, 2, 3]


def test_failing_check_can_not_be_acknowledged_before_it_passes(home: Home, journal: Journal) -> None:
    journal.key_values.put(REPORTED, {"disk": "2026-01-01T00:00:00+00:00"})
    journal.events.record(EventKind.UNHEALTHY, "The check disk fails: Full.", level=Level.ERROR)
    said = "Not acknowledged, because it is not over: the check disk still fails."
    assert ask(home, journal, event=1) == ("refused", said)
    a_rejection(journal, "a.csv", "a")
    assert ask(home, journal, until=newest(home)) == (
        "done",
        "1 event acknowledged. Not what still holds: the check disk still fails.",
    )
    assert 1 not in seen_to(home)
    journal.key_values.put(REPORTED, {})
    assert ask(home, journal, event=1)[0] == "done"


def test_drop_that_waits_can_not_be_acknowledged_before_the_decision(home: Home, journal: Journal) -> None:
    waits: Any = {"sha256": "a" * 64, "name": "odd.csv", "bytes": 1, "rows_read": 5, "rows_known": 0, "version": 1}
    waits |= {"reason": "odd", "seen_at": None}
    journal.held.hold(waits)
    assert ask(home, journal, event=1)[1].endswith("odd.csv still waits; accept or reject it.")
    row = journal.held.all()[0]
    journal.held.remove(row, report=False)
    assert ask(home, journal, event=1) == ("done", "1 event acknowledged.")


def test_versions_by_whether_they_still_wait(home: Home, journal: Journal) -> None:
    journal.versions.judge(a_version(1), VersionState.REFUSED, "worse")
    journal.versions.judge(a_version(2), VersionState.HELD, "manual")
    kinds = {row["version"]: row["id"] for row in Records(home).events.newest(9) if row["version"]}
    assert ask(home, journal, event=kinds[1])[0] == "done"
    assert acknowledged.among(home.journal, [], [], [1]).version(EventKind.REFUSED, 1)
    levels = {row["id"]: row["level"] for row in Records(home).events.newest(9)}
    if levels[kinds[2]] != Level.INFO:
        assert ask(home, journal, event=kinds[2])[1].endswith("version 2 still waits; promote or refuse it.")


def test_failed_training_is_acknowledged_and_the_next_failure_is_new(home: Home, journal: Journal) -> None:
    for _ in range(2):
        run = journal.runs.start("new rows", "c" * 40, "d" * 32, 5, 1)
        journal.runs.end(run, RunState.FAILED, "No memory.")
    failures = [row["id"] for row in Records(home).events.newest(9) if row["kind"] == EventKind.FAILED]
    assert ask(home, journal, event=min(failures))[0] == "done"
    assert set(acknowledged.among(home.journal, [], [1, 2], []).runs) == {1}


def test_drift_and_silence_hold_until_they_end(home: Home, journal: Journal) -> None:
    journal.swaps.record(1, None, "first")
    check: Any = {"version": 1, "n": 50, "drifted": 2, "state": "drift", "alarm": 1, "reason": "moved", "detail": None}
    journal.drift_checks.record(check)
    journal.events.record(EventKind.DRIFT, "The inputs have drifted.", level=Level.WARNING, version=1)
    drift = newest(home)
    journal.events.record(EventKind.SILENT, "No drop has come.", level=Level.WARNING)
    silent = newest(home)
    assert ask(home, journal, event=drift)[1].endswith("the inputs still differ from the training data.")
    assert ask(home, journal, event=silent)[1].endswith("no drop has come since.")
    check |= {"alarm": 0, "state": "ok"}
    journal.drift_checks.record(check)
    a_rejection(journal, "late.csv", "e")
    assert ask(home, journal, event=drift)[0] == ask(home, journal, event=silent)[0] == "done"


def test_kill_between_answer_and_removal_records_nothing_twice(home: Home, journal: Journal) -> None:
    a_rejection(journal, "a.csv", "a")
    request = requests.ask(home, "acknowledge", event=1, by=BY)
    path = home.requests / request.name
    data = path.read_bytes()
    Acknowledging(home, journal).answer()
    path.write_bytes(data)
    Acknowledging(home, journal).answer()
    assert seen_to(home) == [1]
    kinds = [row["kind"] for row in Records(home).events.newest(9)]
    assert kinds.count("request") == 1


def test_acknowledgements_of_removed_events_go_with_them(home: Home, journal: Journal) -> None:
    for number in range(30):
        a_rejection(journal, f"{number}.csv", f"{number % 10}")
    ask(home, journal, until=newest(home))
    while journal.trim(10):
        pass
    kept = {row["id"] for row in Records(home).events.newest(100)}
    assert 0 < len(seen_to(home)) < 30
    assert set(seen_to(home)) <= kept
