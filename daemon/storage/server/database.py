"""The journal on a PostgreSQL server, and the one connection that writes it.

Only the session that holds the journal's lock can write. Every transaction starts by incrementing a number, so a
process notices that another has written. A lost connection is opened again, and the server is then asked whether the
interrupted commit was made.
"""

import os
import secrets
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from sqlalchemy import Connection, Engine, RowMapping, select, text
from sqlalchemy.exc import DatabaseError, InterfaceError, OperationalError

from retraind.daemon.core.errors import AlreadyRunning, JournalTaken, RetraindError, Unavailable
from retraind.daemon.core.home_integrity import OpenedFile
from retraind.daemon.core.journal import journal_server
from retraind.daemon.core.journal.journal_server import JournalServer
from retraind.daemon.core.leader import identity
from retraind.daemon.core.leader.identity import Leader
from retraind.daemon.storage.database import Database
from retraind.daemon.storage.server import leadership, session, tables
from retraind.daemon.storage.server.tables import LastWrite

FAILED = (OperationalError, InterfaceError)

ANSWER_SECONDS = 15.0
"""Maximum wait for a server that has not answered a commit; its restart takes a second or two."""

STANDBY_SECONDS = 1.0
"""Maximum wait for the lock where a standby may have it: another one may be just as quick."""

RETRY_SECONDS = 2.0
"""Interval between attempts to connect."""


class DatabaseServer(Database):
    """The connection to a journal on a server; a finished transaction is on the server's disk."""

    _hint = "It is tried again."

    def __init__(self, engine: Engine, server: JournalServer, file: Path, leader: Leader) -> None:
        self._server, self._named, self._leader = server, OpenedFile(file), leader
        self._writer = secrets.token_hex(16)
        self._count: int | None = None
        self._settling = self._committed = self._gaps = False
        self._taken: str | None = None
        self._retry_at, self._failure = 0.0, ""
        self._engine = engine
        super().__init__(engine, self._connect())

    @classmethod
    def open(cls, server: JournalServer, file: Path, leader: Leader | None = None) -> Self:
        """Open or create the journal that `file` names, and start a new epoch.

        Raises AlreadyRunning if another process writes it, BadSettings if it belongs to another home, Unavailable if
        the server can't be reached, RetraindError if a newer retraind wrote it.
        """
        engine = session.engine(server, f"retraind {os.getpid()} on {socket.gethostname()}")
        try:
            return cls(engine, server, file, leader or identity.anonymous())
        except DatabaseError as error:
            raise RetraindError(f"The journal at {server.url} can't be used: {session.sentence(error)}.") from None

    @classmethod
    @contextmanager
    def reading(cls, server: JournalServer) -> Iterator[Database]:
        """A read-only connection, while the daemon writes; raises RetraindError when it can't be used."""
        engine = session.engine(server, "retraind reader")
        try:
            connection = engine.connect()
            try:
                connection.execute(text("SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY"))
                tables.require_known(connection.execute(select(tables.state.c.format)).scalar_one(), server)
                connection.commit()
                yield _Reader(engine, connection)
            finally:
                connection.close()
                engine.dispose()
        except DatabaseError as error:
            raise RetraindError(f"The journal at {server.url} can't be used: {session.sentence(error)}.") from None

    def lost(self) -> str | None:
        """The reason why new entries would be lost: the home no longer names this server."""
        return self._named.lost()

    def problem(self) -> str | None:
        """The reason why readers do not see new entries."""
        if objection := self.lost() or self._taken:
            return objection
        try:
            self.rows(select(tables.state.c.writes))
        except RetraindError as error:
            return str(error)
        return None

    def taken(self) -> str | None:
        """The reason why this process must end: its state in memory may differ from the journal."""
        return self._taken

    def settle(self) -> None:
        """Note in the leadership's row that this home is up to the journal; until then each start catches up again."""
        if self.term is not None and self.term.overtaken:
            with self.writing() as connection:
                leadership.settle(connection, self.term.epoch, self._leader.home)

    def rows(self, query: Any) -> Sequence[RowMapping]:
        """The rows of a query, which is repeated once if the connection was lost; raises Unavailable."""
        if self.connection.in_transaction():
            return super().rows(query)
        self._ensure()
        try:
            return super().rows(query)
        except FAILED as error:  # even closing the result failed
            self.connection.invalidate(error)
        except Unavailable:
            if not self._gone():
                raise
        self._ensure()
        return super().rows(query)

    def _begin(self) -> None:
        if not self._number():
            self._end_here("Another process has written it.")
        if self._gaps:
            self.connection.execute(tables.CLOSE_GAPS)
        self._gaps = True

    def _number(self) -> bool:
        """Start a transaction with the next number, again after a lost connection.

        False if another process has used the number.
        """
        values = {"journal": self._server.journal, "writes": self._count, "writer": self._writer}
        self._ensure()
        try:
            return self.connection.execute(tables.NEXT, values).rowcount == 1
        except FAILED:
            self.connection.rollback()
            if not self._gone():
                raise
        self._ensure()
        return self.connection.execute(tables.NEXT, values).rowcount == 1

    def _commit(self) -> None:
        assert self._count is not None
        try:
            self.connection.commit()
            self._count += 1
        except FAILED:
            if not (self._gone() and self._was_committed()):
                raise
        self._gaps = False

    def _end(self) -> None:
        try:
            super()._end()
        except FAILED as error:  # a connection in this state is of no more use
            self.connection.invalidate(error)
            super()._end()

    def _was_committed(self) -> bool:
        """Whether an unanswered commit was made; False also if the server can't be asked in time.

        The lock is free only after the old session and its transaction have ended, so the number that is read then is
        final.
        """
        self.connection.rollback()
        self._settling, self._committed, self._retry_at = True, False, 0.0
        deadline = time.monotonic() + ANSWER_SECONDS
        try:
            while self._gone() and time.monotonic() < deadline:
                try:
                    self._ensure()
                except (AlreadyRunning, Unavailable):
                    time.sleep(0.1)
                    self._retry_at = 0.0
            return self._committed
        finally:
            self._settling = False

    def _gone(self) -> bool:
        return self.connection.closed or self.connection.invalidated

    def _ensure(self) -> None:
        """Connect again after a lost connection, with the lock; SQLAlchemy would connect without it."""
        if self._taken:
            raise JournalTaken(self._taken)
        if not self._gone():
            return
        self.connection.close()
        if time.monotonic() < self._retry_at:
            raise Unavailable(self._failure)
        self.connection = self._connect()

    def _connect(self) -> Connection:
        """A session that holds the lock of an unchanged journal; raises Unavailable, AlreadyRunning, JournalTaken."""
        try:
            connection = self._engine.connect()
            try:
                self._lock(connection)
                with connection.begin():
                    self._recognise(tables.prepare(connection, self._server))
                    self._lead(connection)
            except BaseException:
                connection.close()
                raise
        except FAILED as error:
            self._failure = f"The journal's server can't be reached: {session.sentence(error)}."
            self._retry_at = time.monotonic() + RETRY_SECONDS
            raise Unavailable(self._failure, hint=journal_server.hint(self._failure, self._server.url)) from None
        self._gaps = True
        self.sessions += 1
        return connection

    def _lock(self, connection: Connection) -> None:
        """Take the lock. After a lost connection only the own session is waited for: another holder may keep it for good."""
        if self.term is None:
            session.lock(
                connection, self._server, self._leader, seconds=STANDBY_SECONDS if self._leader.beats else None
            )
            return
        try:
            session.lock(connection, self._server, self._leader, epoch=self.term.epoch, seconds=0.0)
        except AlreadyRunning as error:
            self._failure, self._retry_at = str(error), time.monotonic() + RETRY_SECONDS
            if self.term.epoch != leadership.current(connection):
                self._end_here(f"{error}")
            raise

    def _lead(self, connection: Connection) -> None:
        """Start an epoch, once; after a lost connection continue with it. Raises JournalTaken."""
        if self.term is None:
            self.term = leadership.begin(connection, self._leader)
        elif not leadership.keep(connection, self.term.epoch):
            self._end_here("Another process has opened it.")

    def _recognise(self, last: LastWrite) -> None:
        """Compare the journal with what this process has left; raises JournalTaken."""
        if self._count is None or last.number == self._count:
            self._count = last.number
        elif last != (self._count + 1, self._writer):
            self._end_here("Another process has written it.")
        elif self._settling:
            self._count, self._committed = last.number, True
        else:
            self._end_here("An unanswered commit was made after all.")

    def _end_here(self, reason: str) -> None:
        self._taken = f"The journal at {self._server.url} has changed since this process wrote it. {reason} A restart reads it again."
        raise JournalTaken(self._taken)


class _Reader(Database):
    """A session that may only read."""

    def _begin(self) -> None:
        self.connection.begin()
