"""Copies of a whole journal, as it was at one moment, between its file and a server."""

import secrets
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Column, Connection, Table, func, inspect, select, text
from sqlalchemy.exc import DatabaseError

from daemon.core import durable
from daemon.core.errors import BadSettings, NotFound, RetraindError
from daemon.core.home import Home
from daemon.core.journal import journal_address, journal_server
from daemon.core.journal.journal_server import JournalServer
from daemon.storage.database_file import DatabaseFile
from daemon.storage.server import session, tables

CHUNK = 5_000
"""Maximum number of rows in memory."""

MOVED = "journal.db.moved"
"""Name of the file after a server has taken over the journal."""

LAST_EVENT = {
    "sqlite": text("SELECT seq FROM sqlite_sequence WHERE name = 'events'"),
    "postgresql": text("SELECT last_value FROM events_id_seq WHERE is_called"),
}
"""The largest number of any event so far, even a removed one; no event gets it again."""


def to_file(server: JournalServer, path: Path) -> None:
    """Copy the journal of a server into a new file, even during writes; raises RetraindError."""
    with _session(server, "retraind backup") as source:
        source.execution_options(isolation_level="REPEATABLE READ")
        tables.require_known(source.execute(select(tables.state.c.format)).scalar_one(), server)
        with closing(DatabaseFile.open(path)) as database, database.writing() as target:
            _copy(source, target)
            last = source.execute(LAST_EVENT["postgresql"]).scalar() or 0
            target.execute(text("DELETE FROM sqlite_sequence WHERE name = 'events'"))
            target.execute(text("INSERT INTO sqlite_sequence VALUES ('events', :last)"), {"last": last})
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode=DELETE")  # so that it is a single file


def move_to_server(home: Home, url: str) -> str:
    """Move the journal of a home without a running daemon to a server; returns a sentence. Raises RetraindError.

    The file is the journal until the copy is complete. If the process ends before that, the next call starts over.
    """
    if objection := journal_address.objection(url):
        raise BadSettings(objection)
    if not home.journal.exists():
        raise NotFound(f"There is no {home.journal} to move.")
    begun = journal_server.named(home.journal)
    server = begun if begun and begun.url == url else JournalServer(url, secrets.token_hex(16))
    journal_server.write(home, server)
    with _session(server, "retraind migrate") as target, closing(DatabaseFile.open(home.journal)) as database:
        session.lock(target, server)
        with target.begin():
            _clear(target, server)
            tables.tables.create_all(target)
            count = _copy(database.connection, target)
            tables.begin(target, server)
            _number(target, database.connection.execute(LAST_EVENT["sqlite"]).scalar() or 0)
        database.connection.rollback()
    _set_aside(home.journal)
    return f"The journal ({count} rows) is now at {url}; the file is kept as {home.journal.with_name(MOVED)}."


def move_to_file(home: Home) -> str:
    """Move the journal of a home without a running daemon from its server to the file; returns a sentence.

    Raises RetraindError.
    """
    server = journal_server.beside(home.journal)
    if server is None:
        raise NotFound(f"{home.root} has no journal on a server.")
    begun = home.registry / f"{durable.MARK}journal.{secrets.token_hex(6)}{durable.TMP}"
    with _session(server, "retraind migrate") as connection:
        session.lock(connection, server)
        to_file(server, begun)
    durable.fsync_file(begun)
    for log in _logs(home.journal):  # of an earlier file: SQLite would replay it over this one
        durable.remove(log)
    begun.rename(home.journal)
    durable.fsync_dir(home.registry)
    durable.remove(home.journal_server)
    return (
        f"{home.journal} is now the journal. The tables at {server.url} stay: drop them when you no longer need them."
    )


def _set_aside(journal: Path) -> None:
    """Rename the file, then its log: a process that still reads it keeps SQLite from emptying the log into it."""
    moved = journal.with_name(MOVED)
    for log in _logs(moved):
        durable.remove(log)
    logs = list(zip(_logs(journal), _logs(moved), strict=True))
    for path, target in [(journal, moved), *(pair for pair in logs if pair[0].exists())]:
        path.rename(target)
    durable.fsync_dir(journal.parent)


def _logs(journal: Path) -> list[Path]:
    """The names of the write-ahead log of a file and of its index."""
    return [journal.with_name(f"{journal.name}{suffix}") for suffix in ("-wal", "-shm")]


@contextmanager
def _session(server: JournalServer, name: str) -> Iterator[Connection]:
    engine = session.engine(server, name)
    try:
        with engine.connect() as connection:
            yield connection
    except DatabaseError as error:
        raise RetraindError(f"The journal at {server.url} can't be used: {session.sentence(error)}.") from None
    finally:
        engine.dispose()


def _clear(target: Connection, server: JournalServer) -> None:
    """Remove the incomplete copy of an earlier call; raises BadSettings for any other journal."""
    if not inspect(target).has_table(tables.state.name):
        return
    if target.execute(select(tables.state.c.journal)).scalar() != server.journal:
        raise BadSettings(
            f"There is a journal at {server.url} already.", hint="Drop its tables, or name another database or schema."
        )
    tables.tables.drop_all(target)


def _copy(source: Connection, target: Connection) -> int:
    """Copy every table, in the order of its rows; returns the number of rows."""
    count = 0
    for table in tables.tables.sorted_tables:
        if table is tables.state:
            continue
        query = select(table).order_by(_order(table)).execution_options(yield_per=CHUNK)
        for rows in source.execute(query).mappings().partitions():
            target.execute(table.insert(), [dict(row) for row in rows])
            count += len(rows)
    return count


def _order(table: Table) -> Column[Any]:
    return table.c.rowid if "rowid" in table.c else next(iter(table.primary_key))


def _number(target: Connection, last_event: int) -> None:
    """Let the server continue the numbers of the file."""
    for table in tables.tables.sorted_tables:
        for column in table.columns:
            sequence = target.execute(
                text("SELECT pg_get_serial_sequence(:table, :column)"), {"table": table.name, "column": column.name}
            ).scalar()
            if sequence is None:
                continue
            last = max(
                int(target.execute(select(func.coalesce(func.max(column), 0))).scalar_one()),
                last_event if table.name == "events" else 0,
            )
            target.execute(text("SELECT setval(:sequence, :next, false)"), {"sequence": sequence, "next": last + 1})
