"""retraind.daemon.storage.server with a real PostgreSQL: schemas, encodings and servers on which a journal is kept, or refused."""

import secrets
import uuid
from contextlib import closing
from urllib.parse import quote

import postgres as servers
import pytest
from journal_entries import accept, batches
from sqlalchemy import text

from benchmarks.postgres import Postgres
from retraind.daemon.core.errors import RetraindError, Unavailable
from retraind.daemon.core.home import Home
from retraind.daemon.core.journal import journal_address, journal_server
from retraind.daemon.core.states import EventKind
from retraind.daemon.records.query import ask
from retraind.daemon.storage.journal import Journal

KEEPALIVES = ("keepalives_idle", "keepalives_interval", "keepalives_count", "user_timeout")


def address(server: Postgres, database: str, *path: str) -> str:
    """The address of a database on a server, with a search path."""
    host = quote(str(server.folder), safe="")
    return f"{journal_address.SCHEME}://postgres@/{database}?host={host}&options=-csearch_path%3D{','.join(path)}"


def create(server: Postgres, encoding: str) -> str:
    """The address of a new database with this encoding."""
    name = f"d{uuid.uuid4().hex}"
    server.sql(f"CREATE DATABASE {name} TEMPLATE template0 ENCODING '{encoding}' LC_COLLATE 'C' LC_CTYPE 'C'")
    return address(server, name, "public")


def test_tables_of_others_further_on_in_the_path_are_left_alone(home: Home, postgres: Postgres) -> None:
    """A database that another program uses as well: its `events` must not become the journal's."""
    own, others = (f"s{uuid.uuid4().hex}" for _ in range(2))
    postgres.sql(f"CREATE SCHEMA {own}", f"CREATE SCHEMA {others}", f"CREATE TABLE {others}.events (name text)")
    journal_server.settle(home, address(postgres, "postgres", own, others))
    with closing(Journal.open(home.journal)) as journal:
        assert accept(journal, 1) == 1
    assert batches(home) == [1]
    assert postgres.sql(f"SELECT COUNT(*) FROM {own}.events") == [(1,)]
    assert postgres.sql(f"SELECT COUNT(*) FROM {others}.events") == [(0,)]


def test_every_text_is_stored_whatever_the_variables_say(
    home: Home, postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQL_ASCII is what a database gets on a machine without a locale; PGCLIENTENCODING may be there for other programs."""
    monkeypatch.setenv("PGCLIENTENCODING", "LATIN1")
    journal_server.settle(home, create(postgres, "SQL_ASCII"))
    with closing(Journal.open(home.journal)) as journal:
        journal.events.record(EventKind.STARTED, "größer → ✓")
    assert [row["message"] for row in ask(home.journal, "SELECT message FROM events")] == ["größer → ✓"]


def test_database_that_lacks_letters_is_refused(home: Home, postgres: Postgres) -> None:
    """At the start, not at the first reason with an arrow."""
    journal_server.settle(home, create(postgres, "LATIN1"))
    with pytest.raises(RetraindError, match=r"can't store every text \(LATIN1\)"):
        Journal.open(home.journal)


def test_server_that_only_follows_another_is_refused(home: Home, postgres: Postgres) -> None:
    """A standby gives the lock, but takes no entry."""
    url = create(postgres, "UTF8")
    journal_server.settle(home, url)
    Journal.open(home.journal).close()
    name = url.partition("@/")[2].partition("?")[0]
    postgres.sql(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    with pytest.raises(Unavailable, match="is read-only"):
        Journal.open(home.journal)


def test_server_forgets_a_machine_that_vanished(home: Home) -> None:
    """Without power or network nothing says goodbye, and the kernel's default would keep the lock for two hours."""
    servers.required()
    place = f"127.83.{secrets.randbelow(250)}.{1 + secrets.randbelow(250)}"
    server = Postgres.make({"listen_addresses": place}, "host all all 127.0.0.0/8 trust\n")
    try:
        journal_server.settle(home, f"{journal_address.SCHEME}://postgres@{place}/postgres")
        with closing(Journal.open(home.journal)) as journal:
            connection = journal.database.connection
            sets = [connection.execute(text(f"SHOW tcp_{name}")).scalar() for name in KEEPALIVES]
    finally:
        server.remove()
    assert sets == ["5", "2", "3", "10000"]
