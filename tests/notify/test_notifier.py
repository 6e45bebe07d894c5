"""retraind.daemon.notify.notifier: what is sent, when, and how often, with a real journal and a real HTTP server."""

import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta

import pytest
from journal_entries import a_drop, a_version
from notifying import FINE, FULL, Stepping, notifying, settings
from receivers import Receiver, http_receiver

from retraind.daemon.core.home import Home
from retraind.daemon.core.states import CheckName, DropState, EventKind, Level, RunState, VersionState
from retraind.daemon.core.status import Check
from retraind.daemon.notify.targets import configured
from retraind.daemon.records import events as records
from retraind.daemon.records.query import texts
from retraind.daemon.storage.journal import Journal

pytestmark = pytest.mark.engines


def reject(journal: Journal, number: int) -> None:
    drop = a_drop(f"{number}.csv", f"{number:064}", reason="No header.")
    journal.drops.refuse(drop, DropState.REJECTED, f"{number}.csv was rejected: no header.")


def kinds(receiver: Receiver) -> list[tuple[str, int]]:
    return [(got.document["kind"], got.document["count"]) for got in receiver.requests]


def deliveries(home: Home) -> Counter[str]:
    return Counter(row["state"] for row in records.deliveries(home.journal, 100))


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


def test_history_is_not_sent_when_notices_are_set_up(home: Home) -> None:
    with closing(Journal.open(home.journal)) as journal:
        reject(journal, 1)
    with http_receiver() as receiver, notifying(home, settings(receiver)) as loop:
        loop.rest()
        reject(loop.journal, 2)
        loop.rest()
        assert kinds(receiver) == [("rejected", 1)]


def test_events_of_a_time_without_a_notifier_are_sent_after_the_restart(home: Home) -> None:
    """A killed daemon may have recorded an event and no notice yet; what was reported is not reported again."""
    with http_receiver() as receiver:
        with notifying(home, settings(receiver)) as loop:
            reject(loop.journal, 1)
            loop.rest()
        with closing(Journal.open(home.journal)) as journal:
            reject(journal, 2)
        for _ in range(2):
            with notifying(home, settings(receiver)) as loop:
                loop.rest()
        assert kinds(receiver) == [("rejected", 1), ("rejected", 1)]
        assert "2.csv" in receiver.requests[1].document["text"]


def test_due_notice_of_an_earlier_process_is_sent_once(home: Home) -> None:
    """As a kill between due and sent leaves it."""
    with http_receiver() as receiver:
        port, configured = receiver.port, settings(receiver)
    with notifying(home, configured) as loop:
        reject(loop.journal, 1)
        loop.until(lambda: loop.notifier.problem)
    assert deliveries(home) == {"due": 1}
    with http_receiver(port) as receiver:
        for _ in range(3):
            with notifying(home, configured) as loop:
                loop.rest()
        assert kinds(receiver) == [("rejected", 1)]
    assert deliveries(home) == {"sent": 1}


def test_webhook_that_is_down_for_a_while_gets_everything_in_order(home: Home) -> None:
    """The health says so meanwhile, pauses grow, and the log has one line."""
    with http_receiver() as receiver, notifying(home, settings(receiver)) as loop:
        receiver.status = 503
        for number in range(3):
            reject(loop.journal, number)
            loop.until(lambda number=number: len(loop.journal.notices.due()) == number + 1)  # type: ignore[misc]
        loop.until(lambda: len(receiver.refused) >= 4)
        assert loop.notifier.problem is not None
        assert "webhook: It answered 503." in loop.notifier.problem
        assert "Waiting: 3 notices." in loop.notifier.problem
        spent = len({got.headers["webhook-id"] for got in receiver.refused})
        assert spent == 1  # the first one is tried again, under one name
        assert loop.clock > 1000 + 2 + 4 + 8
        receiver.status = 200
        loop.rest()
        texts_ = [got.document["events"][0]["message"] for got in receiver.requests]
        assert [text[:5] for text in texts_] == ["0.csv", "1.csv", "2.csv"]
        assert receiver.requests[0].headers["webhook-id"] == receiver.refused[0].headers["webhook-id"]
        assert loop.notifier.problem is None


def test_slow_target_delays_neither_the_loop_nor_another_target(home: Home) -> None:
    ran = home.root / "ran"
    with http_receiver() as receiver:
        configured = settings(receiver, command=["/bin/sh", "-c", f"cat >> {ran}"])
        with notifying(home, configured) as loop:
            receiver.holds.clear()
            reject(loop.journal, 1)
            loop.until(ran.exists)
            started = time.monotonic()
            loop.step()
            assert time.monotonic() - started < 1
            loop.until(lambda: deliveries(home) == {"due": 1, "sent": 1})
            receiver.holds.set()
            loop.rest()
        assert kinds(receiver) == [("rejected", 1)]


# Quiet times


def now_is_quiet(*, minutes: int = 0) -> list[str]:
    """A quiet time around now, or one that begins some minutes later."""
    start = datetime.now(UTC) + timedelta(minutes=minutes - (5 if not minutes else 0))
    return [f"{start:%H:%M}-{start + timedelta(hours=1):%H:%M}"]


def test_quiet_time_delays_all_but_the_urgent(home: Home) -> None:
    with http_receiver() as receiver:
        with notifying(home, settings(receiver, quiet=now_is_quiet(), urgent=["rolled back"])) as loop:
            for number in range(3):
                reject(loop.journal, number)
                loop.step()
            loop.journal.versions.judge(a_version(1), VersionState.PROMOTED, "first")
            loop.journal.versions.roll_back(1, "Its late labels.")
            loop.rest()
            assert kinds(receiver) == [("rolled back", 1)]
        # The quiet time ends, which here is another one after a restart.
        with notifying(home, settings(receiver, quiet=now_is_quiet(minutes=60))) as loop:
            loop.rest()
        assert kinds(receiver) == [("rolled back", 1), ("rejected", 3)]


# Health and silence


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


def test_restart_reports_a_failing_check_no_second_time(home: Home) -> None:
    with http_receiver() as receiver:
        for _ in range(2):
            with notifying(home, settings(receiver)) as loop:
                for _ in range(10):
                    loop.step(FULL)
                loop.rest(FULL)
        assert kinds(receiver) == [("unhealthy", 1)]


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


def test_silence_is_reported_once_until_the_next_drop(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("retraind.daemon.notify.watches.START_SECONDS", 0.0)
    with http_receiver() as receiver:
        with notifying(home, settings(receiver, silent_hours=1 / 3600, kinds=["silent"])) as loop:
            loop.until(lambda: receiver.requests)
            for _ in range(5):
                loop.step(seconds=100)
        assert kinds(receiver) == [("silent", 1)]
        with notifying(home, settings(receiver, silent_hours=1 / 3600, kinds=["silent"])) as loop:
            reject(loop.journal, 1)
            for _ in range(3):
                loop.step(seconds=0.1)
            assert len(receiver.requests) == 1
            loop.until(lambda: len(receiver.requests) == 2)
            loop.rest()
        assert len(receiver.requests) == 2


# Limits


def test_notice_is_given_up_when_it_is_old_or_its_target_is_gone(home: Home) -> None:
    with http_receiver() as receiver:
        configured = settings(receiver)
    with notifying(home, configured) as loop:
        reject(loop.journal, 1)
        loop.until(lambda: loop.notifier.problem)
    with notifying(home, settings(receiver, keep_hours=1e-9)) as loop:
        loop.rest()
    assert deliveries(home) == {"given up": 1}
    with notifying(home, configured) as loop:
        reject(loop.journal, 2)
        loop.until(lambda: loop.notifier.problem)
    ran = home.root / "ran"
    other = configured.model_copy(update={"webhook": "", "command": ["/bin/sh", "-c", f"cat >> {ran}"]})
    with notifying(home, other) as loop:
        loop.rest()
    assert deliveries(home) == {"given up": 2}
    assert not ran.exists()


def test_notices_wait_for_a_target_that_can_be_used(home: Home) -> None:
    """A missing key is a problem of the health; nothing is lost by it."""
    with http_receiver() as receiver, notifying(home, settings(receiver)) as loop:
        (home.root / "key").rename(home.root / "away")
        with notifying_again(home, loop) as second:
            reject(loop.journal, 1)
            second.step()
            assert second.notifier.problem is not None
            assert "can't be read" in second.notifier.problem
            (home.root / "away").rename(home.root / "key")
            second.rest()
            assert second.notifier.problem is None
        assert kinds(receiver) == [("rejected", 1)]


@contextmanager
def notifying_again(home: Home, loop: Stepping) -> Iterator[Stepping]:
    """A second notifier on the same journal, which is the only one that steps."""
    second = Stepping(home, loop.journal, loop.notifier._settings)
    try:
        yield second
    finally:
        second.notifier.close()


def test_forgotten_cells_are_in_no_copy(home: Home) -> None:
    """A notice has the numbers of its events only, so removing their texts removes all."""
    with http_receiver() as receiver:
        configured = settings(receiver)
    with notifying(home, configured) as loop:
        drop = a_drop("hush.csv", "c" * 64, reason="hush")
        loop.journal.drops.refuse(drop, DropState.REJECTED, "hush.csv: 'hush' is not a number.")
        loop.until(lambda: loop.notifier.problem)
        loop.journal.erasures.blank_refused("c" * 64)
    with http_receiver(int(configured.webhook.split(":")[2].split("/")[0])) as receiver:
        with notifying(home, configured) as loop:
            loop.rest()
        [got] = receiver.requests
    assert got.document["count"] == 1
    assert b"hush" not in got.body.replace(b"hush.csv", b"")


def test_salt_is_kept_and_names_stay(home: Home) -> None:
    """So a restart finds the deliveries of its targets again; `retraind notify test` shows the same names."""
    pytest.importorskip("apprise")
    home.make()
    (home.root / "urls").write_text("json://127.0.0.1:9/a\n")
    with http_receiver() as receiver:
        names = []
        for _ in range(2):
            with notifying(home, settings(receiver, urls_file="urls")) as loop:
                names.append(sorted(loop.notifier._targets.current()))
        salt = records.salt(home.journal)
        targets = configured.Targets(home, settings(receiver, urls_file="urls"), salt)
        assert names[0] == names[1] == sorted(targets.current())
        assert salt in texts(home.journal, "SELECT value FROM meta WHERE key = 'notify_salt'")[0]


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


def test_kind_that_is_wanted_later_begins_with_new_events(home: Home) -> None:
    """And a kind that was wanted all the time misses none."""
    with http_receiver() as receiver:
        with notifying(home, settings(receiver, kinds=["failed"])) as loop:
            reject(loop.journal, 1)
            loop.rest()
        with notifying(home, settings(receiver, kinds=["failed", "rejected"])) as loop:
            reject(loop.journal, 2)
            run = loop.journal.runs.start("first model", "r", "m", 5)
            loop.journal.runs.end(run, RunState.FAILED, "no memory")
            loop.rest()
        assert sorted(kinds(receiver)) == [("failed", 1), ("rejected", 1)]
        assert "2.csv" in next(got for got in receiver.requests if got.document["kind"] == "rejected").document["text"]
