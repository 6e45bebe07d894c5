"""What a start says about the end of the daemon before it."""

import time
from datetime import UTC, datetime, timedelta

import pytest
from stories import alive

from retraind.daemon.attention.last_end import start
from retraind.daemon.core.states import EventKind, Level
from retraind.daemon.core.status import Status
from retraind.daemon.storage.journal import Journal

NOW = datetime(2026, 1, 1, 8, 0, tzinfo=UTC)


def last(**changes: object) -> Status:
    at = (NOW - timedelta(minutes=4)).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return alive(at=at, heartbeat=time.monotonic() - 240, **changes)


def test_the_first_start_and_one_after_an_orderly_end_are_no_warnings(journal: Journal) -> None:
    assert start(journal, None, 7, NOW) == (Level.INFO, "The daemon has started (pid 7).")
    journal.events.record(EventKind.STARTED, "The daemon has started.")
    journal.events.record(EventKind.STOPPED, "The daemon was asked to stop.")
    assert start(journal, last(), 7, NOW).level == Level.INFO


def test_a_start_after_a_kill_says_when_the_last_sign_of_life_was(journal: Journal) -> None:
    journal.events.record(EventKind.STARTED, "The daemon has started.")
    level, message = start(journal, last(), 7, NOW)
    assert level == Level.WARNING
    assert "after an unclean end" in message
    assert "2026-01-01T07:56:00.000Z, 4 min before" in message


@pytest.mark.parametrize("status", [None, "starting"])
def test_a_start_that_failed_in_between_hides_no_kill(journal: Journal, status: str | None) -> None:
    """Its status has replaced that of the daemon that was killed, so there is no time to name."""
    journal.events.record(EventKind.STARTED, "The daemon has started.")
    level, message = start(journal, None if status is None else last(state=status), 7, NOW)
    assert (level, "heartbeat" in message) == (Level.WARNING, False)
