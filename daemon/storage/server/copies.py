"""Copies of a whole journal, as it was at one moment, between its file and a server.

A move copies the bulk while the daemon writes, and what was written since once it is stopped.
"""

import os
import secrets
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext, suppress
from pathlib import Path

from sqlalchemy import Connection, func, inspect, select, text
from sqlalchemy.exc import DatabaseError

from retraind.daemon.core import durable
from retraind.daemon.core.errors import AlreadyRunning, BadSettings, NotFound, RetraindError
from retraind.daemon.core.home import Home
from retraind.daemon.core.journal import home_identity, journal_address, journal_server
from retraind.daemon.core.journal.journal_server import JournalServer
from retraind.daemon.storage import journal_tables
from retraind.daemon.storage.database_file import DatabaseFile
from retraind.daemon.storage.server import catching_up, session, tables
from retraind.daemon.storage.server.catching_up import CHUNK

MOVED = "journal.db.moved"
"""Name of the file after a server has taken over the journal."""

SCRATCH = "moving"
"""Folder in `registry/` of a move; the copies in it need twice the room of the journal."""

LAST_EVENT = {
    "sqlite": text("SELECT seq FROM sqlite_sequence WHERE name = 'events'"),
    "postgresql": text("SELECT last_value FROM events_id_seq WHERE is_called"),
}
"""The largest number of any event so far, even a removed one; no event gets it again."""

Stopped = Callable[[int], AbstractContextManager[object]]
"""Waits until no daemon runs in the home, and lets none start; called with the number of rows that are copied."""


@contextmanager
def opened(server: JournalServer, name: str) -> Iterator[Connection]:
    """A session on the server, which shows it as `name`; raises RetraindError for its errors."""
    engine = session.engine(server, name)
    try:
        with engine.connect() as connection:
            yield connection
    except DatabaseError as error:
        raise RetraindError(f"The journal at {server.url} can't be used: {session.sentence(error)}.") from None
    finally:
        engine.dispose()


def to_file(server: JournalServer, path: Path) -> int:
    """Copy the journal of a server into a new file, even during writes; returns `catching_up.NOW`. Raises RetraindError."""
    with opened(server, "retraind backup") as source:
        source.execution_options(isolation_level="REPEATABLE READ")
        tables.require_known(source.execute(select(tables.state.c.format)).scalar_one(), server)
        now = int(source.execute(catching_up.NOW).scalar_one())
        with closing(DatabaseFile.open(path)) as database, database.writing() as target:
            _copy(source, target)
            _continue_events(source, target)
    _make_single(path)
    return now


def move_to_server(home: Home, url: str, stopped: Stopped = nullcontext) -> str:
    """Move the journal of a home to a server; returns a sentence. Raises RetraindError.

    The file is the journal until the copy is complete. If the process ends before that, the next call starts over.
    """
    if objection := journal_address.objection(url):
        raise BadSettings(objection)
    if not home.journal.exists():
        raise NotFound(f"There is no {home.journal} to move.")
    begun, server = journal_server.named(home.journal), JournalServer(url, journal_server.settle_identity(home))
    with opened(server, "retraind migrate") as target, _scratch(home) as folder:
        session.lock(target, server)
        bulk, later = _snapshot(home.journal, folder / "bulk.db"), folder / "later.db"
        with target.begin():
            _clear(target, server, {server.journal, begun.journal if begun and begun.url == url else ""})
            tables.tables.create_all(target)
            with closing(DatabaseFile.open(bulk)) as database:
                count = _copy(database.connection, target)
            tables.begin(target, server)
        journal_server.write(home, server)
        with target.begin():
            catching_up.from_file(bulk, _snapshot(home.journal, later), target)
        with stopped(count):
            with target.begin():
                catching_up.from_file(later, home.journal, target)
                _number(target, _last_event(home.journal))
            _set_aside(home.journal)
    return f"The journal is now at {url}; the file is kept as {home.journal.with_name(MOVED)}."


def move_to_file(home: Home, stopped: Stopped = nullcontext) -> str:
    """Move the journal of a home from its server to the file; returns a sentence.

    A copy of another home gets a copy of the journal. Raises RetraindError.
    """
    server = journal_server.beside(home.journal)
    if server is None:
        raise NotFound(f"{home.root} has no journal on a server.")
    is_copy = home_identity.is_copy(home)
    with _scratch(home) as folder:
        begun = folder / "journal.db"
        since = to_file(server, begun)
        with stopped(_rows(begun)), opened(server, "retraind migrate") as source:
            source.execution_options(isolation_level="REPEATABLE READ")
            if not is_copy:
                session.lock(source, server)
            _catch_up(source, since, begun)
            if is_copy:
                _make_other(begun)
            _take_place(begun, home.journal)
            if is_copy:
                home_identity.settle(home)
            else:
                home_identity.write(home, server.journal)
                _retire(source)
            durable.remove(home.journal_server)
    return (
        f"{home.journal} is now the journal. The tables at {server.url} stay: drop them when you no longer need them."
    )


def _catch_up(source: Connection, since: int, path: Path) -> None:
    with closing(DatabaseFile.open(path)) as database, database.writing() as target, source.begin():
        catching_up.from_server(source, since, target)
        _continue_events(source, target)
    _make_single(path)


def _make_other(path: Path) -> None:
    """Let the copy of another home's journal not pass for that one in MLflow's database."""
    with closing(DatabaseFile.open(path)) as database, database.writing() as target:
        target.execute(journal_tables.meta.delete().where(journal_tables.meta.c.key == journal_tables.MLFLOW_HOME))
    _make_single(path)


def _take_place(begun: Path, journal: Path) -> None:
    durable.fsync_file(begun)
    for log in _logs(journal):  # of an earlier file: SQLite would replay it over this one
        durable.remove(log)
    begun.rename(journal)
    durable.fsync_dir(journal.parent)


def _retire(source: Connection) -> None:
    """Let no home continue the journal on the server: its home continues it in a file."""
    with source.begin():
        source.execute(tables.state.update().values(journal=f"moved to a file ({secrets.token_hex(8)})"))


def _continue_events(source: Connection, target: Connection) -> None:
    last = source.execute(LAST_EVENT["postgresql"]).scalar() or 0
    target.execute(text("DELETE FROM sqlite_sequence WHERE name = 'events'"))
    target.execute(text("INSERT INTO sqlite_sequence VALUES ('events', :last)"), {"last": last})


def _make_single(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode=DELETE")


@contextmanager
def _scratch(home: Home) -> Iterator[Path]:
    """The folder for copies on their way; raises AlreadyRunning if another move uses it.

    It has no name of an unfinished file, because a daemon that starts meanwhile removes those.
    """
    folder = home.registry / SCRATCH
    folder.mkdir(mode=0o700, exist_ok=True)
    fd = durable.try_lock(folder / "lock")
    if fd is None:
        raise AlreadyRunning(f"Another `retraind migrate` runs in {home.root}.", hint="Wait for its end.")
    try:
        for path in folder.iterdir():
            if path.name != "lock":
                path.unlink()
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(fd)


def sweep(home: Home) -> None:
    """Remove what a killed move left; one that is under way is spared."""
    if (home.registry / SCRATCH).exists():
        with suppress(AlreadyRunning), _scratch(home):
            pass


def _snapshot(journal: Path, path: Path) -> Path:
    """A copy of the file at one moment, even during writes; raises RetraindError for a file of another format."""
    with (
        DatabaseFile.reading(journal),
        closing(sqlite3.connect(f"{journal.absolute().as_uri()}?mode=ro", uri=True)) as source,
        closing(sqlite3.connect(path)) as target,
    ):
        source.backup(target)
    return path


def _last_event(journal: Path) -> int:
    with closing(sqlite3.connect(journal)) as connection:
        row = connection.execute(LAST_EVENT["sqlite"].text).fetchone()
        return int(row[0]) if row else 0


def _rows(journal: Path) -> int:
    with closing(sqlite3.connect(journal)) as connection:
        names = [row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return sum(
            int(connection.execute(f"SELECT COUNT(*) FROM {table.name}").fetchone()[0])
            for table in catching_up.copied(names)
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


def _clear(target: Connection, server: JournalServer, own: set[str]) -> None:
    """Remove the incomplete copy of an earlier call, which has an id of `own`; raises BadSettings for another journal."""
    if not inspect(target).has_table(tables.state.name):
        return
    if target.execute(select(tables.state.c.journal)).scalar() not in own:
        raise BadSettings(
            f"There is a journal at {server.url} already.",
            hint="Name another database or schema. Only if its home is gone for good, drop its tables.",
        )
    tables.tables.drop_all(target)


def _copy(source: Connection, target: Connection) -> int:
    """Copy every table, in the order of its rows; returns the number of rows."""
    count = 0
    for table in catching_up.copied(inspect(source).get_table_names()):
        order = table.c.rowid if "rowid" in table.c else catching_up.key_of(table)
        query = select(table).order_by(order).execution_options(yield_per=CHUNK)
        for rows in source.execute(query).mappings().partitions():
            target.execute(table.insert(), [dict(row) for row in rows])
            count += len(rows)
    return count


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
