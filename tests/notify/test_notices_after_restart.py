"""retraind.daemon.notify.notifier: what was due before a restart is sent after it, once; nothing is reported a second time."""

import time
from contextlib import closing

import pytest
from journal_entries import a_drop
from notified import deliveries, kinds, reject
from notifying import FULL, Stepping, notifying, settings
from receivers import http_receiver

from retraind.daemon.core.home import Home
from retraind.daemon.core.states import DropState, RunState
from retraind.daemon.notify.notifier import Notifier
from retraind.daemon.notify.targets import configured
from retraind.daemon.processes.stop_signals import Wake
from retraind.daemon.records import events as records
from retraind.daemon.records.query import texts
from retraind.daemon.storage.journal import Journal

pytestmark = pytest.mark.engines


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


def test_restart_reports_a_failing_check_no_second_time(home: Home) -> None:
    with http_receiver() as receiver:
        for _ in range(2):
            with notifying(home, settings(receiver)) as loop:
                for _ in range(10):
                    loop.step(FULL)
                loop.rest(FULL)
        assert kinds(receiver) == [("unhealthy", 1)]


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


def test_home_without_a_drop_is_reported_once(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """However often it starts again."""
    monkeypatch.setattr("retraind.daemon.notify.watches.START_SECONDS", 0.0)
    with http_receiver() as receiver:
        for _ in range(3):
            with notifying(home, settings(receiver, silent_hours=1e-6, kinds=["silent"])) as loop:
                loop.until(lambda: receiver.requests)
                for _ in range(3):
                    time.sleep(0.01)
                    loop.step(seconds=100)
                loop.rest()
        assert kinds(receiver) == [("silent", 1)]


def test_end_between_answer_and_record_is_counted(home: Home) -> None:
    """The notice is sent again under the same name; an attempt that has failed for certain is no such case."""
    with http_receiver() as receiver, notifying(home, settings(receiver)) as loop:
        receiver.status = 503
        reject(loop.journal, 1)
        loop.until(lambda: receiver.refused and loop.notifier.problem)
        loop.step()
        assert "Perhaps sent twice" not in Notifier(home, settings(receiver), "", loop.journal, Wake()).sentence
        receiver.status = 200
        receiver.holds.clear()
        loop.until(lambda: receiver.arrived > len(receiver.refused))
        again = Stepping(home, loop.journal, settings(receiver))
        receiver.holds.set()
        assert again.notifier.sentence.endswith("Perhaps sent twice, because the daemon ended meanwhile: 1.")
        again.rest()
        again.notifier.close()
        assert {got.headers["webhook-id"] for got in receiver.requests} == {receiver.refused[0].headers["webhook-id"]}


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
