"""retraind.daemon.storage.server with a real PostgreSQL: who may write a journal, with which password, and what it takes."""

import os
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import postgres as servers
import pytest
from journal_entries import a_batch, a_drop, accept, batches
from postgres import terminate

from benchmarks.postgres import Postgres
from retraind.daemon.core.errors import AlreadyRunning, BadSettings, Exit, JournalTaken, RetraindError, Unavailable
from retraind.daemon.core.home import Home
from retraind.daemon.core.journal import journal_address, journal_server
from retraind.daemon.core.settings import Settings
from retraind.daemon.core.states import DropState
from retraind.daemon.records.records import Records
from retraind.daemon.storage.journal import Journal


def test_journal_of_a_running_daemon_is_refused_by_name(
    placed: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also to a copy of the home, on another machine."""
    monkeypatch.setattr("retraind.daemon.storage.server.session.LOCK_SECONDS", 0.1)
    copy = Home(tmp_path / "copy")
    copy.registry.mkdir(parents=True)
    copy.journal_server.write_bytes(placed.journal_server.read_bytes())
    with closing(Journal.open(placed.journal)):
        with pytest.raises(
            AlreadyRunning, match=rf"in use by retraind {os.getpid()} on .*, connected since 2"
        ) as error:
            Journal.open(copy.journal)
        assert error.value.exit == Exit.ALREADY_RUNNING
        with Journal.reading(copy.journal) as reader:
            assert reader.batches.all() == []
    Journal.open(copy.journal).close()


def test_daemon_that_was_overtaken_ends(placed: Home, postgres: Postgres) -> None:
    """What it remembers of the journal is not true any more, and nothing of it is written."""
    with closing(Journal.open(placed.journal)) as first:
        accept(first, 1)
        terminate(postgres, f"retraind {os.getpid()} %")
        with closing(Journal.open(placed.journal)) as second:
            with pytest.raises(JournalTaken, match="in use by"):
                accept(first, 2)
            accept(second, 7)
        with pytest.raises(JournalTaken):
            accept(first, 2)
        assert first.taken()
        with pytest.raises(JournalTaken):
            first.batches.all()
    assert batches(placed) == [1, 2]


def test_journal_of_another_home_is_refused(placed: Home, tmp_path: Path) -> None:
    """Two homes in one schema would have one dataset between them."""
    Journal.open(placed.journal).close()
    server = journal_server.named(placed.journal)
    assert server is not None
    other = Home(tmp_path / "other")
    other.make()
    journal_server.settle(other, server.url)
    with pytest.raises(BadSettings, match="belongs to another home"):
        Journal.open(other.journal)


def test_journal_of_a_newer_program_is_refused_and_an_older_one_migrated(placed: Home, postgres: Postgres) -> None:
    Journal.open(placed.journal).close()
    server = journal_server.named(placed.journal)
    assert server is not None
    schema = server.url.rpartition("%3D")[2]
    postgres.sql(f"UPDATE {schema}.journal_state SET format = 99")
    with pytest.raises(RetraindError, match="format 99"):
        Journal.open(placed.journal)
    with pytest.raises(RetraindError, match="format 99"), Journal.reading(placed.journal):
        pass
    postgres.sql(f"UPDATE {schema}.journal_state SET format = 3")
    with pytest.raises(RetraindError, match="next `retraind run` migrates"), Journal.reading(placed.journal):
        pass
    Journal.open(placed.journal).close()
    assert postgres.sql(f"SELECT format FROM {schema}.journal_state") == [(4,)]


def test_numbers_of_labels_have_no_gaps(placed: Home) -> None:
    """The last of them is how many there are, although a transaction that failed took some."""

    def labels(batch: int) -> list[Any]:
        return [
            {"prediction_id": f"{batch}-{place}", "version": 1, "prediction": "a", "truth": "b", "drop": "d"}
            for place in range(3)
        ]

    with closing(Journal.open(placed.journal)) as journal:
        journal.batches.accept(a_batch(1), [a_drop()], labels(1))

        def fail() -> None:
            with journal.together():
                journal.batches.accept(a_batch(2), [a_drop()], labels(2))
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            fail()
        journal.batches.accept(a_batch(2), [a_drop()], labels(2))
    assert Records(placed).totals.labels() == 6


def test_what_sqlite_takes_the_server_takes(placed: Home) -> None:
    """A file of more than 2 GiB, a NUL in a reason, and keys that are no numbers."""
    with closing(Journal.open(placed.journal)) as journal:
        drop = a_drop("big.csv", reason="cell 'a\0b'") | {"bytes": 2**40}
        journal.drops.refuse(drop, DropState.REJECTED, "big.csv: 'a\0b'")
    records = Records(placed)
    found = records.drops.find("big.csv")
    assert found is not None
    assert (found["bytes"], found["reason"]) == (2**40, "cell 'a\N{REPLACEMENT CHARACTER}b'")
    assert records.drops.find("no\0such") is None
    assert records.drops.find("9" * 30) is None
    assert records.drops.find(found["id"]) == records.drops.find(str(found["id"])) == found


@pytest.mark.parametrize(
    "url",
    [
        "postgresql+psycopg://someone:hush-a-secret@db/journal",
        "postgresql+psycopg://db/journal?password=hush-a-secret",
        "mysql://someone:hush-a-secret@db/journal",
        "postgresql+psycopg://someone:hush-a-secret@[db/journal",
        "postgresql+psycopg://someone@db/journal#?password=hush-a-secret",
        "postgresql+psycopg://someone@db/journal?PassWord=hush-a-secret",
        "postgresql+psycopg://someone@db/journal?pass%77ord=hush-a-secret",
        "postgresql+psycopg://someone@db/journal?password=&password=hush-a-secret",
        "postgresql+psycopg:/someone:hush-a-secret@db/journal",
        "postgresql+psycopg://someone@db/someone:hush-a-secret@db/journal",
        "someone:hush-a-secret@db/journal",
    ],
)
def test_password_in_the_settings_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(BadSettings) as error:
        Settings.model_validate({"journal": {"url": url}})
    assert "hush" not in str(error.value)


@pytest.mark.parametrize(
    "address",
    [
        "db/journal",
        "someone@db.example:5433/journal?sslmode=verify-full&passfile=/etc/retraind/pgpass",
        "someone@one:5432,two:5433/journal?target_session_attrs=read-write",
        "someone@[2001:db8::1]:5432/journal",
        "/journal?host=%2Frun%2Fpostgresql&options=-csearch_path%3Dchurn",
        "?service=churn",
    ],
)
def test_address_without_a_password_is_accepted(address: str) -> None:
    assert journal_address.objection(f"{journal_address.SCHEME}://{address}") is None


def test_password_comes_from_the_environment(home: Home, postgres: Postgres, monkeypatch: pytest.MonkeyPatch) -> None:
    """And is in no error, whether it is missing, wrong or right."""
    journal_server.settle(home, postgres.url("guarded"))
    attempts: dict[str, Callable[[], object]] = {
        "write": lambda: Journal.open(home.journal),
        "read": Records(home).totals.counts,
    }
    for password in (None, "hush-not-the-secret"):
        if password:
            monkeypatch.setenv("PGPASSWORD", password)
        for attempt in attempts.values():
            with pytest.raises(Exception, match="password") as error:
                attempt()
            assert "hush" not in str(error.value)
    monkeypatch.setenv("PGPASSWORD", servers.PASSWORD)
    with closing(Journal.open(home.journal)) as journal:
        accept(journal, 1)
    assert batches(home) == [1]


def test_server_that_is_away_is_unavailable_not_empty(home: Home, tmp_path: Path) -> None:
    servers.required()
    url = f"{journal_address.SCHEME}://nobody@/none?host={str(tmp_path).replace('/', '%2F')}"
    journal_server.settle(home, url)
    with pytest.raises(Unavailable, match="can't be reached"):
        Journal.open(home.journal)
    with pytest.raises(Exception, match="connection"):
        Records(home).runs.newest()
