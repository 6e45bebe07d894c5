"""The journal's file and the one connection that writes it.

One connection of one process writes it, and only that one checkpoints: SQLite before 3.51.3 can corrupt a WAL that two
connections checkpoint. With the tables and the journal's entries this is the only module that knows SQLAlchemy.
"""

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Self, TypeVar, cast

from sqlalchemy import URL, Connection, Engine, RowMapping, create_engine, event, func, select, text
from sqlalchemy.exc import DatabaseError, OperationalError

from daemon.core.errors import RetraindError, Unavailable
from daemon.core.home_integrity import OpenedFile
from daemon.core.states import of_type
from daemon.storage import journal_tables
from daemon.storage.journal_tables import FORMAT

T = TypeVar("T")

BUSY_SECONDS = 2.0
"""How long a reader of the file waits for it."""

MANY = 500
"""Values in one query: SQLite takes a limited number of them."""


class Database:
    """The connection to `journal.db`; every transaction is durable once it ends (synchronous=FULL)."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.connection = engine.connect()
        self._path: Path | None = None
        self._held: tuple[OpenedFile, ...] = ()
        self.writes = 0
        """Transactions so far: while it stays the same, so does all that the journal says (there is no other writer)."""

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open or create the file; raises RetraindError when a newer retraind wrote it or it can't be used."""
        engine = create_engine(URL.create("sqlite", database=str(path)))
        event.listen(engine, "connect", _configure)
        try:
            database = cls(engine)
            _check(database, path)
        except DatabaseError as error:
            raise _unusable(path, error.orig) from None
        path.chmod(0o600)
        # SQLite keeps one WAL while a connection is open, and writes on into that, too, when it has lost its name.
        database._path, database._held = path, (OpenedFile(path), OpenedFile(path.with_name(f"{path.name}-wal")))
        return database

    @classmethod
    @contextmanager
    def reading(cls, path: Path) -> Iterator[Self]:
        """A connection for reading only, beside the daemon that writes; raises RetraindError when the file can't be used."""
        url = URL.create("sqlite", database=f"{path.absolute().as_uri()}?mode=ro", query={"uri": "true"})
        try:
            database = cls(create_engine(url))
            try:
                _refuse_other_formats(database.connection, path)
                yield database
            finally:
                database.close()
        except DatabaseError as error:
            raise _unusable(path, error.orig) from None

    def close(self) -> None:
        """Close the connection; the last one to close folds the WAL into the file."""
        with self._sparing_others():
            self.connection.close()
            self._engine.dispose()

    @contextmanager
    def _sparing_others(self) -> Iterator[None]:
        """Whoever closes last removes the WAL by its name, which may be that of another journal by now."""
        wal = self._path.with_name(f"{self._path.name}-wal") if self._path and self.lost() else None
        if wal is None or not wal.exists():
            yield
            return
        spared = wal.with_name(f"{wal.name}.spared")
        wal.rename(spared)
        try:
            yield
        finally:
            spared.rename(wal)

    def lost(self) -> str | None:
        """Why what is recorded now would be lost: the file is gone, or another has its name."""
        return next(filter(None, (file.lost() for file in self._held)), None)

    def problem(self) -> str | None:
        """Why others don't read what is recorded here; asks the file as they do."""
        if self._path is None or (lost := self.lost()) is not None:
            return None if self._path is None else lost
        own = self.one(select(func.max(journal_tables.events.c.id).label("id")))
        try:
            newest = _newest_event(self._path)
        except sqlite3.Error as error:
            return f"{self._path} can't be read: {error}. Stop the service and restore the home from a backup."
        if own is not None and newest != own["id"]:
            return f"{self._path} does not return what was recorded. Restart the service."
        return None

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction, or the one that is open already; raises Unavailable when it can't be made durable."""
        if self.connection.in_transaction():
            yield self.connection
            return
        if lost := self.lost():
            raise Unavailable(lost)
        # IMMEDIATE: a deferred transaction that upgrades from reading fails at once, whatever the busy timeout.
        try:
            self.connection.execute(text("BEGIN IMMEDIATE"))
            yield self.connection
            self.connection.commit()
            self.writes += 1
        except OperationalError as error:
            raise Unavailable(f"The journal can't be written: {error.orig}.", hint="Is the disk full?") from None
        finally:
            self.connection.rollback()
            # A commit that is refused may leave SQLite's transaction open, of which SQLAlchemy knows nothing any more.
            self.connection.connection.rollback()

    def typed(self, kind: type[T], query: Any) -> list[T]:
        """The rows of a query for all columns of the table that `kind` describes."""
        return [of_type(kind, row) for row in self.rows(query)]

    def first(self, kind: type[T], query: Any) -> T | None:
        """The first of them, or None."""
        rows = self.typed(kind, query.limit(1))
        return rows[0] if rows else None

    def rows(self, query: Any) -> Sequence[RowMapping]:
        """The rows of a query; raises Unavailable when the file can't be read."""
        inside = self.connection.in_transaction()
        try:
            return self.connection.execute(query).mappings().all()
        except OperationalError as error:
            raise Unavailable(f"The journal can't be read: {error.orig}.") from None
        finally:
            if not inside:
                self.connection.rollback()

    def one(self, query: Any) -> RowMapping | None:
        """The first row of a query, or None."""
        rows = self.rows(query.limit(1))
        return rows[0] if rows else None

    def among(self, query: Any, column: Any, values: Iterable[str]) -> Iterator[RowMapping]:
        """The rows of a query whose `column` is one of `values`, however many these are."""
        keys = list(values)
        for start in range(0, len(keys), MANY):
            yield from self.rows(query.where(column.in_(keys[start : start + MANY])))

    def typed_among(self, kind: type[T], query: Any, column: Any, values: Iterable[str]) -> Iterator[T]:
        """The same, as rows of the table that `kind` describes."""
        return (of_type(kind, row) for row in self.among(query, column, values))

    def checkpoint(self) -> None:
        """Bring the WAL into the file and empty it: what was removed is in neither then, unless a reader holds it back."""
        self.connection.execute(text("PRAGMA wal_checkpoint(TRUNCATE)"))
        self.connection.rollback()


def _newest_event(path: Path) -> int | None:
    """The last event that the file holds for readers beside the daemon; raises sqlite3.Error."""
    uri = f"{path.resolve().as_uri()}?mode=ro"
    with closing(sqlite3.connect(uri, uri=True, timeout=BUSY_SECONDS)) as connection:
        [newest] = connection.execute("SELECT MAX(id) FROM events").fetchone()
        return cast("int | None", newest)


def _check(database: Database, path: Path) -> None:
    _keep_old(database.connection, path)
    with database.writing() as connection:
        version = journal_tables.prepare(connection)
        if version > FORMAT:
            raise RetraindError(
                f"{path} has format {version}; this retraind knows {FORMAT}.",
                hint="Install the newer version again.",
            )
    problem = database.connection.execute(text("PRAGMA quick_check(1)")).scalar_one()
    database.connection.rollback()
    if problem != "ok":
        raise _unusable(path, problem)


def _format(connection: Connection) -> int:
    version = int(connection.execute(text("PRAGMA user_version")).scalar_one())
    connection.rollback()
    return version


def _keep_old(connection: Connection, path: Path) -> None:
    """Before a migration: a copy that the retraind which wrote it can still open."""
    version = _format(connection)
    copy = path.with_name(f"{path.name}.format-{version}")
    if 0 < version < FORMAT and not copy.exists():
        connection.execute(text("VACUUM INTO :copy"), {"copy": str(copy)})
        connection.rollback()


def _refuse_other_formats(connection: Connection, path: Path) -> None:
    version = _format(connection)
    if version != FORMAT:
        hint = "The next `retraind run` migrates it." if version < FORMAT else "Install the newer version again."
        raise RetraindError(f"{path} has format {version}; this retraind reads {FORMAT}.", hint=hint)


def _unusable(path: Path, problem: object) -> RetraindError:
    hint = "If it is damaged, restore it from a backup; the data is not affected."
    return RetraindError(f"{path} can't be used: {problem}.", hint=hint)


def _configure(dbapi: Any, _record: Any) -> None:
    # SQLAlchemy's own BEGIN is deferred; isolation_level None leaves transactions to `writing`.
    dbapi.isolation_level = None
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "busy_timeout=10000", "mmap_size=0", "secure_delete=ON"):
        dbapi.execute(f"PRAGMA {pragma}")
