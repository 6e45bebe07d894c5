"""retraind.daemon.storage.server.copies: a journal from its file to a server and back, whole, and never two at once."""

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from journal_entries import a_batch, a_drop, a_version, newest_event
from sqlalchemy import text

from benchmarks.postgres import Postgres
from retraind.daemon.core.errors import AlreadyRunning, BadSettings, NotFound
from retraind.daemon.core.home import Home
from retraind.daemon.core.journal import journal_address, journal_server
from retraind.daemon.core.states import DropState, EventKind, RequestState, VersionState
from retraind.daemon.records.query import ask
from retraind.daemon.records.records import Records
from retraind.daemon.service.parts import sweep
from retraind.daemon.storage.journal import Journal
from retraind.daemon.storage.journal_tables import MLFLOW_HOME, tables
from retraind.daemon.storage.server import copies


def fill(home: Home) -> None:
    """A journal with entries of every kind, gaps in its numbers, and a newest event that was removed."""
    label: Any = {"version": 1, "prediction": "a", "truth": "b", "drop": "1"}
    with closing(Journal.open(home.journal)) as journal:
        for place in range(1, 4):
            labels: list[Any] = [{**label, "prediction_id": f"{place}-{key}"} for key in "zay"]
            journal.batches.accept(a_batch(place), [a_drop(f"{place}.csv", sha256=str(place))], labels)
            journal.batches.commit(place, f"{place}" * 40, "d" * 32)
        journal.versions.judge(a_version(1), VersionState.PROMOTED, "the first")
        journal.swaps.record(1, None, "the first")
        journal.requests.take("z" * 16, "retrain", "asked", "2026-01-01T00:00:00Z")
        journal.requests.take("a" * 16, "retrain", "asked", "2026-01-01T00:00:00Z")
        journal.key_values.put("k", [1])
        journal.held.hold(
            {
                "sha256": "h", "name": "h.csv", "bytes": 2**40, "rows_read": 1, "rows_known": 0, "version": 1,
                "reason": "odd", "seen_at": None,
            }
        )  # fmt: skip
        journal.held.forget("h")
        journal.events.record(EventKind.STARTED, "removed")
        with journal.database.writing() as connection:
            connection.execute(text("DELETE FROM events WHERE message = 'removed'"))


def everything(home: Home) -> dict[str, list[dict[str, Any]]]:
    """All rows of all tables, in the order in which readers see them."""
    rows = {name: ask(home.journal, f"SELECT * FROM {name} ORDER BY 1") for name in tables.tables}
    rows |= {name: ask(home.journal, f"SELECT *, rowid FROM {name} ORDER BY rowid") for name in ("labels", "requests")}
    return {name: [dict(row) for row in some] for name, some in rows.items()}


def record(home: Home, words: str) -> None:
    """Write one more entry, wherever the journal is."""
    with closing(Journal.open(home.journal)) as journal:
        journal.events.record(EventKind.STARTED, words)


def comes_back_unchanged(home: Home) -> None:
    """The file is what the server had, also after it was opened to be written."""
    there = everything(home)
    copies.move_to_file(home)
    Journal.open(home.journal).close()
    assert everything(home) == there


def test_journal_goes_to_a_server_and_back_unchanged(home: Home, postgres: Postgres) -> None:
    """Numbers go on where they were, also of an event that is no longer there."""
    fill(home)
    before, last = everything(home), newest_event(home)
    assert "is now at postgresql" in copies.move_to_server(home, postgres.url())
    assert not home.journal.exists()
    assert everything(home) == before
    with closing(Journal.open(home.journal)) as journal:
        journal.events.record(EventKind.STARTED, "on the server")
        assert newest_event(home) == last + 2, "the number of the event that was removed is not used again"
        journal.drops.refuse(a_drop(sha256="4"), DropState.REJECTED, "no")
        assert journal.batches.accept(a_batch(9), [a_drop(sha256="9")]) == 4
    there, totals = everything(home), Records(home).totals.counts()
    assert there["drops"][-1]["id"] == 5
    copies.move_to_file(home)
    assert home.journal.exists()
    assert not home.journal_server.exists()
    assert everything(home) == there
    assert Records(home).totals.counts() == totals
    with closing(Journal.open(home.journal)) as journal:
        newest = newest_event(home)
        journal.events.record(EventKind.STARTED, "in the file")
        assert newest_event(home) == newest + 1


def test_file_that_is_read_meanwhile_is_moved_whole(home: Home, postgres: Postgres) -> None:
    """A reader keeps SQLite from emptying its log: that must not be replayed over the file that comes back."""
    fill(home)
    with closing(sqlite3.connect(f"{home.journal.as_uri()}?mode=ro", uri=True)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT COUNT(*) FROM events").fetchone()
        record(home, "in the file")
        before = everything(home)
        copies.move_to_server(home, postgres.url())
    with closing(sqlite3.connect(home.journal.with_name(copies.MOVED))) as kept:
        assert kept.execute("SELECT COUNT(*) FROM events").fetchone() == (len(before["events"]),)
    record(home, "on the server")
    comes_back_unchanged(home)


def test_log_that_a_killed_move_left_is_not_replayed(home: Home, postgres: Postgres) -> None:
    """The file had gone and its log had not yet."""
    fill(home)
    log = home.journal.with_name("journal.db-wal")
    with closing(sqlite3.connect(home.journal)) as reader:
        reader.execute("SELECT COUNT(*) FROM events").fetchone()
        record(home, "in the file")
        left = log.read_bytes()
    copies.move_to_server(home, postgres.url())
    log.write_bytes(left)
    record(home, "on the server")
    comes_back_unchanged(home)


def test_move_that_was_interrupted_begins_again(home: Home, postgres: Postgres) -> None:
    """Until the file has gone it is the journal; what was copied before is replaced."""
    fill(home)
    url = postgres.url()
    copies.move_to_server(home, url)
    home.journal.with_name(copies.MOVED).rename(home.journal)
    record(home, "in the file")
    before = everything(home)
    copies.move_to_server(home, url)
    assert everything(home) == before


def test_journal_is_never_moved_over_another(home: Home, postgres: Postgres, tmp_path: Path) -> None:
    fill(home)
    url = postgres.url()
    copies.move_to_server(home, url)
    other = Home(tmp_path / "other")
    other.make()
    fill(other)
    with pytest.raises(BadSettings, match=r"a journal at .* already"):
        copies.move_to_server(other, url)
    assert len(everything(other)["batches"]) == 3
    with pytest.raises(NotFound):
        copies.move_to_file(other)
    with pytest.raises(BadSettings, match="password"):
        copies.move_to_server(other, f"{journal_address.SCHEME}://a:b@c/d")


def write_on(home: Home, number: int) -> None:
    """What a daemon writes while its journal is copied: rows come, change and go. `number` is that of the next batch."""
    label: Any = {"version": 1, "prediction": "a", "truth": "b", "drop": str(number)}
    with closing(Journal.open(home.journal)) as journal:
        with journal.database.writing() as connection:
            connection.execute(text(f"DELETE FROM labels WHERE prediction_id = '{number - 1}-y'"))
            connection.execute(text(f"DELETE FROM events WHERE id = {number}"))
            connection.execute(text(f"UPDATE segments SET died = {number} WHERE born = {number - 2}"))
        labels: list[Any] = [{**label, "prediction_id": f"{number}-{key}"} for key in "zay"]
        journal.batches.accept(a_batch(number), [a_drop(f"{number}.csv", sha256=str(number))], labels)
        journal.batches.commit(number, str(number) * 40, "e" * 32)
        journal.requests.end(("z" if number == 4 else "m") * 16, RequestState.DONE, "yes")
        journal.requests.take(("m" if number == 4 else "l") * 16, "retrain", "asked", "2026-01-01T00:00:00Z")
        journal.key_values.put("k", [number])
        journal.key_values.put(f"k{number}", 1)
        journal.key_values.drop(f"k{number - 1}")
        journal.swaps.record(1, 1, "again")


def test_what_is_written_while_a_journal_is_copied_goes_with_it(home: Home, postgres: Postgres) -> None:
    """To the server and back; the daemon stops only when the bulk is there, and writes nothing after that."""
    fill(home)
    before: dict[str, list[dict[str, Any]]] = {}

    @contextmanager
    def stopped(rows: int) -> Iterator[None]:
        assert rows > 20
        write_on(home, 5 if before else 4)
        before.update(everything(home))
        yield

    copies.move_to_server(home, postgres.url(), stopped)
    assert len(before["batches"]) == 4
    assert everything(home) == before
    with closing(Journal.open(home.journal)) as journal:
        newest = newest_event(home)
        journal.events.record(EventKind.STARTED, "on the server")
        assert newest_event(home) == newest + 1
    copies.move_to_file(home, stopped)
    assert home.journal.exists()
    assert len(before["batches"]) == 5
    assert everything(home) == before
    with closing(Journal.open(home.journal)) as journal:
        newest = newest_event(home)
        journal.events.record(EventKind.STARTED, "in the file")
        assert newest_event(home) == newest + 1


def test_daemon_that_starts_meanwhile_spares_the_copies(
    home: Home, postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A person may take hours to stop it; what a killed move left is removed."""
    monkeypatch.setattr("time.time", lambda: 4e9)
    fill(home)
    before = everything(home)

    @contextmanager
    def restarted(_: int) -> Iterator[None]:
        sweep(home)
        with pytest.raises(AlreadyRunning, match="retraind migrate"):
            copies.move_to_server(home, address)
        yield

    address = postgres.url()
    copies.move_to_server(home, address, restarted)
    copies.move_to_file(home, lambda _: restarted_on_server(home))
    assert everything(home) == before
    (home.registry / copies.SCRATCH).mkdir()
    (home.registry / copies.SCRATCH / "later.db").touch()
    sweep(home)
    assert not (home.registry / copies.SCRATCH).exists()


@contextmanager
def restarted_on_server(home: Home) -> Iterator[None]:
    """A start, of a home whose journal is on a server."""
    sweep(home)
    yield


def test_journal_that_has_gone_to_a_file_is_not_continued_on_the_server(
    home: Home, postgres: Postgres, tmp_path: Path
) -> None:
    """By another home that knows its address and id, such as a standby; the file keeps the id."""
    fill(home)
    copies.move_to_server(home, postgres.url())
    other = Home(tmp_path / "other")
    other.make()
    shutil.copy(home.journal_server, other.journal_server)
    identity = journal_server.identity(home)
    Journal.open(other.journal).close()
    copies.move_to_file(home)
    assert journal_server.identity(home) == identity
    with pytest.raises(BadSettings, match="belongs to another home"):
        Journal.open(other.journal)


def test_copy_of_a_home_gets_a_journal_of_its_own(home: Home, postgres: Postgres, tmp_path: Path) -> None:
    """While the original writes on; it is not disturbed."""
    fill(home)
    copies.move_to_server(home, postgres.url())
    journal_server.require_original(home)
    copy = Home(tmp_path / "copy")
    shutil.copytree(home.root, copy.root)
    with closing(Journal.open(home.journal)) as journal:
        journal.key_values.put(MLFLOW_HOME, "the original")
        copies.move_to_file(copy)
        before = everything(copy)
        journal.events.record(EventKind.STARTED, "on the server")
    assert everything(copy) == before
    assert len(everything(home)["events"]) == len(before["events"]) + 1
    assert journal_server.identity(copy) not in ("", journal_server.identity(home))
    with Journal.reading(copy.journal) as journal:
        assert journal.key_values.get(MLFLOW_HOME) is None
    Journal.open(home.journal).close()


def test_journal_in_use_is_not_moved(home: Home, postgres: Postgres, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("retraind.daemon.storage.server.session.LOCK_SECONDS", 0.1)
    fill(home)
    copies.move_to_server(home, postgres.url())
    with closing(Journal.open(home.journal)), pytest.raises(AlreadyRunning):
        copies.move_to_file(home)
    assert not home.journal.exists()
