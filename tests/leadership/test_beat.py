"""The beat of a leader with a real PostgreSQL, and what a standby may end by it."""

import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager

import pytest
from journal_entries import accept
from service import wait_until

from benchmarks.postgres import Postgres
from daemon.core.errors import JournalTaken
from daemon.core.home import Home
from daemon.core.journal import journal_server
from daemon.core.leader.identity import Leader
from daemon.leadership.beat import Beat
from daemon.storage.journal import Journal
from daemon.storage.server.leader_rows import LeaderRows
from daemon.storage.server.node_session import NodeSession

A, B = (Leader(name, home=name, boot="boot", beats=True) for name in ("box-a", "box-b"))


@pytest.fixture
def url(placed: Home) -> str:
    server = journal_server.named(placed.journal)
    assert server is not None
    return server.url


@contextmanager
def watching(url: str) -> Iterator[LeaderRows]:
    """What a standby sees."""
    session = NodeSession(url, "retraind standby")
    try:
        yield LeaderRows(session)
    finally:
        session.close()


def silence(rows: LeaderRows) -> float:
    """Seconds since the last beat."""
    sight = rows.look()
    assert sight is not None
    assert sight.silence is not None
    return sight.silence


def test_leader_that_beats_is_not_ended_and_a_silent_one_is(placed: Home, url: str) -> None:
    """It beats as long as its loop makes progress."""
    alive = threading.Event()
    alive.set()
    with closing(Journal.open(placed.journal, A)) as journal, watching(url) as rows:
        accept(journal, 1)
        beat = Beat(url, 1, 0.1, alive.is_set, lambda: None)
        beat.start()
        time.sleep(1.0)
        assert silence(rows) < 0.8
        assert rows.end(1, 0.9) is None
        alive.clear()
        wait_until(lambda: silence(rows) > 1.0, 10, "silence")
        assert rows.end(2, 0.9) is None, "of another epoch"
        seconds = rows.end(1, 0.9)
        assert seconds is not None
        assert seconds > 1.0
        beat.close()
        with closing(Journal.open(placed.journal, B)) as successor:
            accept(successor, 2)
            with pytest.raises(JournalTaken):
                accept(journal, 3)


@pytest.mark.parametrize("progress", [True, False])
def test_deposed_leader_learns_it_even_if_its_loop_hangs(placed: Home, url: str, progress: bool) -> None:
    deposed = threading.Event()
    with closing(Journal.open(placed.journal, A)):
        pass
    beat = Beat(url, 1, 0.1, lambda: progress, deposed.set)
    beat.start()
    assert not deposed.wait(0.5)
    with closing(Journal.open(placed.journal, B)):
        assert deposed.wait(10)
    beat.close()


def test_beat_goes_on_after_a_lost_connection(placed: Home, url: str, postgres: Postgres) -> None:
    with closing(Journal.open(placed.journal, A)), watching(url) as rows:
        beat = Beat(url, 1, 0.1, lambda: True, pytest.fail)
        beat.start()
        wait_until(lambda: postgres.sql("SELECT 1 FROM pg_stat_activity WHERE application_name LIKE 'retraind beat %'"))
        postgres.sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'retraind beat %'"
        )
        time.sleep(1.0)
        wait_until(lambda: silence(rows) < 0.5, 10, "a beat")
        beat.close()
