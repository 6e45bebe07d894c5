"""retraind.daemon.notify.notifier: what is sent, when, and how often, with a real journal and a real HTTP server."""

import sqlite3
import threading
import time
from contextlib import closing

import pytest
from journal_entries import a_drop, a_version
from notified import deliveries, kinds, reject
from notifying import FINE, FULL, notifying, settings
from receivers import http_receiver

from retraind.daemon.core.home import Home
from retraind.daemon.core.states import CheckName, DropState, EventKind, Level, VersionState
from retraind.daemon.core.status import Check

pytestmark = pytest.mark.engines


def test_forty_bad_files_are_one_notice(home: Home) -> None:
    with http_receiver() as receiver, notifying(home, settings(receiver)) as loop:
        with loop.journal.together():
            for number in range(40):
                reject(loop.journal, number)
        loop.rest()
        loop.rest()
        [got] = receiver.requests
        assert got.document["count"] == 40
        assert got.document["events"][0]["message"] == "0.csv was rejected: no header."
        assert "… and 30 more" in got.document["text"]
        assert deliveries(home) == {"sent": 1}


def test_files_that_come_one_by_one_join_a_notice(home: Home) -> None:
    """The first waits for `group_seconds`, the next notice of the kind for `every_seconds`."""
    with http_receiver() as receiver, notifying(home, settings(receiver, group_seconds=1, every_seconds=60)) as loop:
        for number in range(5):
            reject(loop.journal, number)
            loop.step()
        assert not receiver.requests
        loop.until(lambda: receiver.requests)
        assert kinds(receiver) == [("rejected", 5)]
        reject(loop.journal, 5)
        time.sleep(1.1)
        loop.step()
        assert not loop.journal.notices.due()


def test_only_wanted_kinds_and_rules_of_the_machine_are_sent(home: Home) -> None:
    """A person who rejects a held drop knows it."""
    with http_receiver() as receiver, notifying(home, settings(receiver, kinds=["rejected", "refused"])) as loop:
        loop.journal.versions.judge(a_version(1), VersionState.PROMOTED, "first")
        loop.journal.versions.judge(a_version(2), VersionState.REFUSED, "worse")
        loop.journal.drops.refuse(a_drop(decided_by="Ada"), DropState.REJECTED, "a.csv was rejected by Ada.")
        loop.rest()
        assert kinds(receiver) == [("refused", 1)]
        assert receiver.requests[0].document["events"][0]["version"] == 2


def test_failing_check_is_reported_once_and_its_end_too(home: Home) -> None:
    with http_receiver() as receiver, notifying(home, settings(receiver)) as loop:
        for _ in range(4):
            loop.step(FULL)
        loop.step(FINE)  # too short
        assert not receiver.requests
        loop.until(lambda: receiver.requests, FULL)
        for _ in range(20):
            loop.step(FULL)
        loop.rest(FULL)
        assert kinds(receiver) == [("unhealthy", 1)]
        assert "The check disk fails: Less than 100 MiB" in receiver.requests[0].document["text"]
        loop.until(lambda: len(receiver.requests) == 2, FINE)
        assert kinds(receiver)[1] == ("healed", 1)
        assert receiver.requests[1].document["level"] == "info"


@pytest.mark.engines(server=False)
def test_failure_of_the_journal_is_sent_although_it_cannot_be_recorded(home: Home) -> None:
    """As on a full disk; and once."""
    with http_receiver() as receiver, notifying(home, settings(receiver)) as loop:
        loop.step()
        with closing(sqlite3.connect(home.journal)) as other:
            other.execute("PRAGMA busy_timeout=0")
            with loop.journal.database.writing() as connection:
                connection.exec_driver_sql("PRAGMA busy_timeout=50")
            other.execute("BEGIN IMMEDIATE")
            broken = {
                name.value: Check(ok=False, detail="The journal can't be written.")
                for name in (CheckName.JOURNAL, CheckName.WORK)
            }
            loop.until(lambda: receiver.requests, broken)
            for _ in range(5):
                loop.step(broken)
            other.rollback()
        assert kinds(receiver) == [("unhealthy", 2)]
        loop.until(lambda: len(receiver.requests) == 2, FINE)
        assert kinds(receiver)[1] == ("healed", 2)
        loop.rest()


def test_threads_end_with_the_notifier(home: Home) -> None:
    with http_receiver() as receiver, notifying(home, settings(receiver)) as loop:
        reject(loop.journal, 1)
        loop.rest()
    assert not [thread.name for thread in threading.enumerate() if thread.name.startswith("notify-")]


def test_event_without_a_kind_of_its_own_is_not_sent(home: Home) -> None:
    with http_receiver() as receiver, notifying(home, settings(receiver)) as loop:
        loop.journal.events.record(EventKind.PROBLEM, "Something.", level=Level.WARNING)
        loop.rest()
        assert not receiver.requests
