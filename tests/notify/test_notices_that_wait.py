"""retraind.daemon.notify.notifier: notices wait for targets that are down or slow, and for the end of quiet times; they are given up in the end."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest
from journal_entries import a_version
from notified import deliveries, kinds, reject
from notifying import Stepping, notifying, settings
from receivers import http_receiver

from retraind.daemon.core.home import Home
from retraind.daemon.core.states import VersionState

pytestmark = pytest.mark.engines


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


def test_backlog_of_a_target_is_bounded(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """A target that is down for a week gets the newest notices; the health counts those that were given up."""
    monkeypatch.setattr("retraind.daemon.notify.notifier.MOST_WAITING", 3)
    with http_receiver() as receiver, notifying(home, settings(receiver)) as loop:
        receiver.status = 503
        for number in range(8):
            reject(loop.journal, number)
            loop.step()
        loop.until(lambda: deliveries(home) == {"due": 3, "given up": 5})
        receiver.status = 200
        loop.rest()
        assert deliveries(home) == {"sent": 3, "given up": 5}
        assert [got.document["events"][0]["message"][:5] for got in receiver.requests] == ["5.csv", "6.csv", "7.csv"]
        assert loop.notifier.sentence.endswith("Sent since the start: 3. Given up: 5.")


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
