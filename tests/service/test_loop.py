"""retraind.daemon.service.loop: whatever fails once a second or once an hour is shown and gone again, and the loop goes on. Real parts."""

import os
import resource
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing
from typing import Any

import pytest
from postgres import terminate
from promoting import Parts
from service import wait_until
from trials import Live

from benchmarks.postgres import Postgres
from retraind.daemon.core import clock, status
from retraind.daemon.core.clock import Reading
from retraind.daemon.core.home import Home
from retraind.daemon.core.settings import Server, Settings
from retraind.daemon.core.states import CheckName, EventKind, RunState
from retraind.daemon.core.status import Check
from retraind.daemon.ingest.exam_runner import UNEXAMINED
from retraind.daemon.processes.child import Trainer
from retraind.daemon.processes.stop_signals import Wake
from retraind.daemon.processes.worker_keeper import WorkerKeeper
from retraind.daemon.processes.workers import Workers
from retraind.daemon.promotion.probation import Probation
from retraind.daemon.service.duties import TIDY_AGAIN_SECONDS, TIDY_SECONDS
from retraind.daemon.service.heartbeat import Heartbeat
from retraind.daemon.service.loop import Loop
from retraind.daemon.service.parts import Frame, open_parts
from retraind.daemon.service.service import starting
from retraind.daemon.storage.journal import Journal
from retraind.daemon.storage.server import session

SETTINGS = Settings(server=Server(port=0))


@pytest.fixture
def loop(mlflow_home: Home) -> Iterator[Loop]:
    """A loop as the service makes it, but for the children, of which none is started."""
    wake = Wake()
    with ExitStack() as stack:
        workers = WorkerKeeper(mlflow_home, SETTINGS, 0, wake)
        stack.callback(workers.close)
        frame = Frame(mlflow_home, SETTINGS, wake, Heartbeat(mlflow_home.status, starting(mlflow_home)), stack)
        yield Loop(open_parts(frame, workers, Trainer(mlflow_home, 0, wake)))


def checks(home: Home) -> dict[str, Check]:
    """What the daemon says of itself."""
    state = status.read(home.status)
    assert state is not None
    return state.checks


def test_failing_retention_is_shown_by_its_own_name_and_tried_again_soon(
    mlflow_home: Home, loop: Loop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It says nothing of the inbox, which is in order, and does not stay in the health for an hour."""
    loop.tick(100.0)
    now = 100.0 + TIDY_SECONDS
    with monkeypatch.context() as patch:
        patch.setattr(
            "retraind.daemon.inbox.rejected_retention._times",
            lambda _: (_ for _ in ()).throw(OSError(5, "Input/output error", "rejected")),
        )
        later = Reading(*(seconds + TIDY_SECONDS for seconds in clock.read()))
        patch.setattr("retraind.daemon.core.clock.read", lambda: later)
        loop.tick(now)
    assert checks(mlflow_home)["inbox"].ok
    assert not checks(mlflow_home)["rejected"].ok
    loop.tick(now + TIDY_AGAIN_SECONDS - 1)
    assert not checks(mlflow_home)["rejected"].ok
    loop.tick(now + TIDY_AGAIN_SECONDS)
    assert "rejected" not in checks(mlflow_home)


def test_health_says_that_nothing_is_examined_before_the_first_version(mlflow_home: Home, loop: Loop) -> None:
    loop.tick(100.0)
    detail = "Nothing is examined: no version is served yet. Drops are accepted without an exam until one is."
    assert checks(mlflow_home)["exams"] == Check(ok=True, detail=detail)


def test_exams_that_fail_are_a_check_of_their_own(
    mlflow_home: Home, journal: Journal, request: pytest.FixtureRequest
) -> None:
    """Also after a restart, when no drop has come yet."""
    journal.key_values.put(UNEXAMINED, "Drops can't be examined: BundleRefused: torn.")
    loop: Loop = request.getfixturevalue("loop")
    loop.tick(100.0)
    assert checks(mlflow_home)["exams"] == Check(
        ok=False,
        detail="Drops can't be examined: BundleRefused: torn. They are accepted without an exam, and none is held, until an exam succeeds again.",
    )


def test_loop_without_file_descriptors_goes_on(mlflow_home: Home, loop: Loop) -> None:
    """Neither children nor status nor pointer can be looked at: the next tick does, and says so."""
    loop.tick(100.0)
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    with closing(_Descriptors()):
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, before[1]))
        try:
            loop.tick(101.0)
            failed = dict(loop.health.problems)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, before)
    assert "Too many open files" in failed[CheckName.DISK]
    assert "Too many open files" in failed[CheckName.POINTER]
    loop.tick(102.0)
    assert loop.health.problems == {}
    assert "pointer" not in checks(mlflow_home)


def test_file_that_is_no_request_is_reported_once(mlflow_home: Home, loop: Loop) -> None:
    """Otherwise it would be read again each second, without any sign of the reason."""
    (mlflow_home.requests / "big.json").write_text('{"kind": "promote", "version": 18446744073709551616}')
    loop.tick(100.0)
    loop.tick(101.0)
    with closing(sqlite3.connect(mlflow_home.journal)) as connection:
        [(message,)] = connection.execute("SELECT message FROM events WHERE kind = 'request'").fetchall()
    assert message.startswith("registry/requests/big.json is not a request: version: ")


class _Descriptors:
    """Takes the lowest descriptors that are free, of which three would be left below the limit."""

    def __init__(self) -> None:
        self._taken = [os.open("/dev/null", os.O_RDONLY) for _ in range(3)]

    def close(self) -> None:
        for fd in self._taken:
            os.close(fd)


@pytest.mark.parametrize("table", ["events", "batches"])
def test_journal_that_fails_ends_nothing(mlflow_home: Home, loop: Loop, table: str) -> None:
    """Whatever the database says, to a reader or to a writer: it is shown until the journal is in order again."""
    with closing(sqlite3.connect(mlflow_home.journal)) as connection:
        connection.execute(f"ALTER TABLE {table} RENAME TO elsewhere")
        loop.health.problems[CheckName.INBOX] = "There was something to be told of."
        loop.tick(100.0)
        assert (CheckName.DISK in loop.health.problems) == (table == "batches")
        connection.execute(f"ALTER TABLE elsewhere RENAME TO {table}")
    loop.tick(100.0 + TIDY_AGAIN_SECONDS)
    assert loop.health.problems == {}
    assert checks(mlflow_home)["inbox"].ok


def test_late_labels_that_can_not_be_looked_at_are_shown(
    mlflow_home: Home, loop: Loop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An unforeseen exception appears in the health under its own name and stops no other part."""

    def fails(_: Probation, swap: dict[str, Any]) -> None:
        raise OverflowError(swap["version"])

    loop.parts.journal.swaps.record(7, None, "First version.")
    with monkeypatch.context() as patch:
        patch.setattr(Probation, "_fell", fails)
        loop.tick(100.0)
    checked = checks(mlflow_home)
    assert checked["live"].detail == "The late labels can't be read: OverflowError: 7. See the log."
    assert [name for name, one in checked.items() if not one.ok and name in ("disk", "work", "inbox")] == []
    loop.parts.journal.events.record(EventKind.PROBLEM, "Something was written.")
    loop.tick(101.0)
    assert checks(mlflow_home)["live"].ok


def test_tick_that_fails_in_one_part_does_the_others(
    mlflow_home: Home, loop: Loop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even after an unforeseen exception in the first of them."""

    def fails(_: Workers, now: float) -> list[str]:
        raise ZeroDivisionError(now)

    with monkeypatch.context() as patch:
        patch.setattr(Workers, "supervise", fails)
        loop.parts.workers._look()
        loop.tick(100.0)
    assert checks(mlflow_home)["workers"].detail.startswith("ZeroDivisionError: ")
    loop.parts.workers._look()
    loop.tick(101.0)
    assert "ZeroDivisionError" not in checks(mlflow_home)["workers"].detail


def test_labels_that_take_the_champions_place_come_before_the_training_that_they_ask_for(loop: Loop) -> None:
    """Or it would compare with the version that goes, be refused for that, and another one would have to follow."""
    parts = Parts(loop.parts.home, loop.parts.journal)
    good, bad = parts.champion(favourite=0), parts.champion(favourite=1)
    loop._follower.begin_step()
    while loop._follower.step(100.0):
        pass
    loop.parts.retraining.trainer.ready = True  # it does not run, so the training ends at once
    Live(parts).label(0, 60)
    assert not loop._follower.step(100.1), "it looks again when a scan is due"
    while loop.parts.journal.runs.last(RunState.ABANDONED) is None:
        assert loop._train(100.1)
    swap = loop.parts.journal.swaps.last()
    assert swap is not None
    assert (swap["previous"], swap["version"]) == (bad, good)


@pytest.fixture
def schema(mlflow_home: Home, postgres: Postgres, monkeypatch: pytest.MonkeyPatch) -> str:
    """The schema of a server in which the home keeps its journal."""
    monkeypatch.setattr("retraind.daemon.storage.server.database.RETRY_SECONDS", 0.1)
    return postgres.place(mlflow_home).rpartition("%3D")[2]


def test_journal_that_another_process_holds_is_not_shown_as_fine(
    mlflow_home: Home, schema: str, loop: Loop, postgres: Postgres
) -> None:
    """The daemon can't ask it for anything, and its last status must not be repeated."""
    import psycopg

    loop.tick(100.0)
    assert checks(mlflow_home)["journal"].ok
    terminate(postgres, f"retraind {os.getpid()} %")
    with psycopg.connect(f"host={postgres.folder} user=postgres dbname=postgres") as tool:
        tool.execute("SELECT pg_advisory_lock(%s, %s)", (session.LOCK_CLASS, session.lock_key(schema)))
        loop.tick(101.0)
        held = checks(mlflow_home)["journal"]
    assert (held.ok, "in use by" in held.detail) == (False, True)
    wait_until(lambda: not loop.parts.journal.problem(), 10, "the next attempt")
    loop.tick(104.0)
    assert checks(mlflow_home)["journal"].ok
    postgres.sql(f"ALTER SCHEMA {schema} RENAME TO {schema}_gone")
    loop.tick(105.0)
    gone = checks(mlflow_home)["journal"]
    assert (gone.ok, "does not exist" in gone.detail) == (False, True)
