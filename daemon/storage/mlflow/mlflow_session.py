"""MLflow's database on a PostgreSQL server: a session for each use, or for the daemon one that it keeps.

The daemon's session carries the epoch of its leadership (`mlflow_fence.py`).
"""

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from retraind.daemon.core.databases.mlflow_server import MlflowServer
from retraind.daemon.core.databases.placeholders import numbered
from retraind.daemon.core.errors import BadSettings, Unavailable
from retraind.daemon.core.home import Home
from retraind.daemon.storage.mlflow import mlflow_fence
from retraind.daemon.storage.mlflow.mlflow_connection import (
    Connection,
    DriverError,
    NoTable,
    Undefined,
    connect,
    sentence,
    translated,
)
from retraind.daemon.storage.mlflow.mlflow_database import Insert, Row, Statements, unusable

RETRY_SECONDS = 2.0
"""Interval between attempts to connect."""

LOCK = 0x726D6C66
"""The first half of the key of the lock for making tables, `rmlf`; the second is the schema's."""

COLUMN = """
SELECT 1 FROM information_schema.columns
WHERE table_schema = current_schema() AND table_name = ? AND column_name = ?"""


@dataclass(frozen=True)
class Leader:
    """The daemon of a home: an id that only this home's journal has, and the epoch of its leadership."""

    home: str
    epoch: int | None
    """None if there is no leadership, because the journal is a file."""


class _Transaction:
    """Runs statements with `?` for values."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def execute(self, statement: str, values: Sequence[Any] = (), /) -> Any:
        """Run a statement; returns its cursor."""
        return self._connection.execute(numbered(statement).encode(), tuple(values) or None)


class MlflowOnServer:
    """The database of one home; any thread may use it. Raises Unavailable while it can't be used, or belongs to another leader."""

    in_file = False

    def __init__(self, server: MlflowServer, leader: Leader | None = None) -> None:
        """With a `leader`, the session is kept and carries its epoch."""
        self._server, self._leader = server, leader
        self._lock = threading.RLock()
        self._kept: Connection | None = None
        self._epoch = leader.epoch if leader else None
        self._changes, self._looked = 0, -1
        self._retry_at, self._failure = 0.0, ""

    @property
    def uri(self) -> str:
        """Its address, as MLflow wants it."""
        return self._server.url

    @property
    def place(self) -> str:
        """Its address."""
        return self._server.url

    def exists(self) -> bool:
        """Whether MLflow's tables have been made."""
        return bool(self.ask("SELECT 1 WHERE to_regclass('alembic_version') IS NOT NULL"))

    def require(self, home: Home) -> None:
        """Nothing: an empty one gets the versions from the journal."""

    def ask(self, question: str, *values: Any) -> Sequence[Row]:
        """The rows of a query; none before the tables are made."""
        try:
            with self._transaction("BEGIN READ ONLY") as transaction:
                rows: list[Row] = transaction.execute(question, values).fetchall()
                return rows
        except NoTable:
            return []

    @contextmanager
    def writing(self) -> Iterator[Statements]:
        """A transaction."""
        with self._transaction("BEGIN") as transaction:
            yield transaction

    @contextmanager
    def migrating(self) -> Iterator[None]:
        """A lock of the server, which a session of its own holds."""
        with translated():
            connection = connect(self._server, "retraind migration")
        try:
            with translated():
                schema = connection.execute("SELECT hashtext(current_schema()) AS key").fetchone()
                assert schema is not None
                connection.execute("SET lock_timeout = '600s'; SET statement_timeout = '600s'")
                connection.execute("SELECT pg_advisory_lock($1, $2)", (LOCK, schema["key"]))
            yield
        finally:
            connection.close()

    def make(self, tables: str, rows: Sequence[Insert]) -> None:
        """Make the tables."""
        with self.writing() as transaction:
            transaction.execute("SET LOCAL statement_timeout = '60s'")
            transaction.execute(tables)
            for statement, values in rows:
                transaction.execute(statement, values)

    def complete(self) -> None:
        """Make the fence, and take the database over."""
        fences = self.ask(mlflow_fence.FENCES)[0]["fences"]
        if fences != len(mlflow_fence.FENCED) or not self.has_column("retraind_home", "epoch"):
            with self.writing() as transaction:
                for statement in mlflow_fence.STATEMENTS:
                    transaction.execute(statement)
        if self._leader is not None:
            with self._session() as connection:
                self._take(connection)

    def has_column(self, table: str, column: str) -> bool:
        """Whether a table has a column."""
        return bool(self.ask(COLUMN, table, column))

    def stamp(self) -> object:
        """The number of notifications and connections so far."""
        with self._session() as connection:
            self._listen(connection)
            self._looked = self._changes
            return self._changes

    def signalled(self) -> bool:
        """Whether there was a notification since the last `stamp`; asks nobody."""
        with self._lock:
            if self._kept is None:
                return False
            with suppress(Unavailable), translated():
                self._listen(self._kept)
            return self._changes != self._looked

    def close(self) -> None:
        """Close the session that it keeps."""
        with self._lock, suppress(DriverError):
            kept, self._kept = self._kept, None
            if kept is not None:
                kept.close()

    def _listen(self, connection: Connection) -> None:
        self._changes += len(list(connection.notifies(timeout=0)))

    @contextmanager
    def _transaction(self, begin: str) -> Iterator[_Transaction]:
        with self._session(begin) as connection:
            try:
                yield _Transaction(connection)
                connection.execute("COMMIT")
            except BaseException:
                with suppress(DriverError):
                    connection.execute("ROLLBACK")
                raise

    @contextmanager
    def _session(self, first: str = "SELECT 1") -> Iterator[Connection]:
        """A session whose `first` statement has been answered: a kept one may have been lost."""
        with self._lock, translated():
            connection = self._opened(first)
            try:
                yield connection
            finally:
                if self._leader is None or connection.closed:
                    connection.close()
                    self._kept = None

    def _opened(self, first: str) -> Connection:
        if (kept := self._kept) is not None:
            with suppress(DriverError):
                kept.execute(first.encode())
                return kept
            kept.close()
            self._kept = None
        if time.monotonic() < self._retry_at:
            raise Unavailable(self._failure)
        connection = self._open()
        connection.execute(first.encode())
        if self._leader is not None:
            self._kept = connection
        return connection

    def _open(self) -> Connection:
        """A new session; that of a leader has taken the database over before anything is read."""
        try:
            connection = connect(self._server, "retraind" if self._leader else "retraind reader", self._epoch)
        except DriverError as error:
            self._failure = str(unusable(sentence(error)))
            self._retry_at = time.monotonic() + RETRY_SECONDS
            raise Unavailable(self._failure) from None
        if self._leader is not None:
            self._changes += 1
            try:
                connection.execute(f"LISTEN {mlflow_fence.CHANNEL}".encode())
                with suppress(Undefined):
                    self._take(connection)
            except BaseException:
                connection.close()
                raise
        return connection

    def _take(self, connection: Connection) -> None:
        """Make this leader's epoch the newest one; raises Unavailable if a later one leads, BadSettings in another home's database."""
        assert self._leader is not None
        if self._epoch is not None:
            connection.execute(mlflow_fence.END_READERS)
        row = connection.execute(mlflow_fence.TAKE, (self._leader.home, self._epoch or 0)).fetchone()
        if row is None:
            hint = "Give each home its own database or schema (docs/operations.md)."
            raise BadSettings(f"MLflow's database at {self._server.url} belongs to another home.", hint=hint)
        if self._epoch is not None and row["epoch"] > self._epoch:
            raise unusable(f"epoch {self._epoch} is over, {row['epoch']} leads")
