"""retraind.daemon.storage.journal_retention: how many events and requests are kept."""

import pytest
from journal_entries import a_batch, a_drop, events, newest_event
from sqlalchemy import text

from retraind.daemon.core.home import Home
from retraind.daemon.core.states import DropState, EventKind, RequestState
from retraind.daemon.core.status import utcnow
from retraind.daemon.storage.journal import Journal

pytestmark = pytest.mark.engines


def test_events_and_requests_are_kept_up_to_a_number(home: Home, journal: Journal) -> None:
    """Those of drops do not push out the others; facts stay, and numbers go on, whatever is removed."""
    with journal.together():
        journal.events.record(EventKind.SCHEMA, "It has grown.")
        for number in range(1, 8):
            journal.batches.commit(
                journal.batches.accept(a_batch(number), [a_drop(sha256=str(number))]), "r" * 40, "d" * 32
            )
        journal.swaps.record(1, None, "first")
        journal.versions.roll_back(1, "worse")
        for number in range(9):
            journal.requests.take(f"{number:016}", "retrain", "asked", utcnow())
            journal.drops.refuse(a_drop(sha256=f"x{number}"), DropState.REJECTED, "no")
        for number in range(7):
            journal.requests.end(f"{number:016}", RequestState.DONE, "as asked")
    facts = journal.swaps.newest_batch(), journal.swaps.rolled_back_since(1)
    assert facts == (7, True)
    newest = newest_event(home)
    writes = journal.writes
    assert journal.trim(100) == 0
    assert journal.writes == writes, "nothing to do costs no write"
    assert journal.trim(3) > 0
    left = [kind for kind, _ in events(home)]
    assert left == ["schema", "serving", "rolled back", "request", "request", "request"]
    assert [journal.requests.get(f"{number:016}") is None for number in (0, 3, 4, 6, 8)] == [
        True,
        True,
        False,
        False,
        False,
    ]
    assert (journal.swaps.newest_batch(), journal.swaps.rolled_back_since(1)) == facts
    journal.trim(0)
    journal.events.record(EventKind.STARTED, "again")
    assert newest_event(home) == newest + 1


def test_journal_of_before_knows_the_batch_of_its_swap_when_events_have_gone(journal: Journal) -> None:
    """It was told by events alone."""
    for number in (1, 2):
        journal.batches.accept(a_batch(number), [a_drop(sha256=str(number))])
    journal.swaps.record(1, None, "first")
    journal.database.connection.execute(text("DELETE FROM meta"))
    journal.database.connection.commit()
    journal.batches.accept(a_batch(3), [a_drop(sha256="3")])
    assert journal.swaps.newest_batch() == 2
    journal.trim(0)
    assert journal.swaps.newest_batch() == 2


def test_removing_goes_piece_by_piece(home: Home, journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("retraind.daemon.storage.journal_retention.MOST", 4)
    with journal.together():
        for number in range(10):
            journal.drops.refuse(a_drop(sha256=str(number)), DropState.REJECTED, "no")
    assert [journal.trim(1) for _ in range(4)] == [4, 4, 1, 0]
    assert len(events(home)) == 1
