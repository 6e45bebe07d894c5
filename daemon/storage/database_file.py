"""The journal as a file: SQLite, and the one connection that writes it.

One connection of one process writes it, and only that one checkpoints: SQLite before 3.51.3 can corrupt a WAL that two
connections checkpoint.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Self, cast

from sqlalchemy import URL, Connection, Engine, create_engine, event, func, select, text
from sqlalchemy.exc import DatabaseError

from retraind.daemon.core.errors import HistoryLost, RetraindError
from retraind.daemon.core.home_integrity import OpenedFile
from retraind.daemon.core.journal.journal_format import FORMAT
from retraind.daemon.storage import journal_tables
from retraind.daemon.storage.database import Database

BUSY_SECONDS = 2.0
"""Maximum wait of a reader for a lock."""


class DatabaseFile(Database):
    """The connection to `journal.db`; every transaction is durable once it ends (synchronous=FULL)."""

    def __init__(self, engine: Engine) -> None:
        super().__init__(engine)
        self._path: Path | None = None
        self._held: tuple[OpenedFile, ...] = ()

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open or create the file; raises RetraindError when a newer retraind wrote it or it can't be used.

        Raises HistoryLost when it disappears meanwhile: SQLite would write into a file without a name.
        """
        engine = create_engine(URL.create("sqlite", database=str(path)))
        event.listen(engine, "connect", _configure)
        try:
            database = cls(engine)
            opened = OpenedFile(path)
            _check(database, path)
        except DatabaseError as error:
            raise _unusable(path, error.orig) from None
        if lost := opened.lost():  # the check of a large file takes long enough for that
            database.close()
            raise HistoryLost(lost)
        path.chmod(0o600)
        # While a connection is open, SQLite writes to the same WAL, even after that file was removed.
        database._path, database._held = path, (opened, OpenedFile(path.with_name(f"{path.name}-wal")))
        return database

    @classmethod
    @contextmanager
    def reading(cls, path: Path) -> Iterator[Self]:
        """A read-only connection, while the daemon writes; raises RetraindError when the file can't be used."""
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
            super().close()

    @contextmanager
    def _sparing_others(self) -> Iterator[None]:
        """Close without removing another journal's WAL: the last connection to close removes the WAL by name."""
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
        """The reason why new entries would be lost: the file is gone, or another has its name."""
        return next(filter(None, (file.lost() for file in self._held)), None)

    def problem(self) -> str | None:
        """The reason why readers do not see new entries; reads the file as they do."""
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

    def _begin(self) -> None:
        # IMMEDIATE: a deferred transaction that upgrades from reading fails at once, whatever the busy timeout.
        self.connection.execute(text("BEGIN IMMEDIATE"))

    def _end(self) -> None:
        super()._end()
        # A failed commit may leave SQLite's transaction open, although SQLAlchemy considers it ended.
        self.connection.connection.rollback()

    def checkpoint(self) -> None:
        """Copy the WAL into the file and empty it. Then removed rows are in neither, unless a reader delays the copy."""
        self.connection.execute(text("PRAGMA wal_checkpoint(TRUNCATE)"))
        self.connection.rollback()


def _newest_event(path: Path) -> int | None:
    """The last event that a reader finds in the file; raises sqlite3.Error."""
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
    """Before a migration, keep a copy that the older retraind can still open."""
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
