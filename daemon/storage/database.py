"""The only connection that writes the journal: transactions and queries, for any database.

Besides this module, only the tables, the journal's entries, `database_file.py` and `server/` import SQLAlchemy.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, RowMapping
from sqlalchemy.exc import OperationalError

from retraind.daemon.core.errors import Unavailable
from retraind.daemon.core.leader.identity import Term
from retraind.daemon.core.states import of_type

T = TypeVar("T")

MANY = 500
"""Maximum number of values in one query, which databases limit."""


class Database:
    """A connection to a journal; every transaction is durable once it ends."""

    _hint = "Is the disk full?"
    """What to say where a transaction fails."""

    term: Term | None = None
    """The leadership that began when it was opened; None for a file, and for a reader."""

    sessions = 0
    """Number of connections so far to a server."""

    def __init__(self, engine: Engine, connection: Connection | None = None) -> None:
        self._engine = engine
        self.connection = connection or engine.connect()
        self.writes = 0
        """Number of transactions so far. If it is unchanged, so is the journal, because there is no other writer."""

    def close(self) -> None:
        """Close the connection."""
        self.connection.close()
        self._engine.dispose()

    def lost(self) -> str | None:
        """The reason why new entries would be lost; None if they would not."""
        return None

    def problem(self) -> str | None:
        """The reason why readers do not see new entries; None if they do."""
        return self.lost()

    def taken(self) -> str | None:
        """The reason why this process must end: its state in memory may differ from the journal."""
        return None

    def settle(self) -> None:
        """Note that the files of this home are up to the journal, after another home led; raises Unavailable."""

    def checkpoint(self) -> None:
        """Erase removed rows from the place of the database's last writes, too."""

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction, or the one already open; raises Unavailable when it can't be made durable."""
        if self.connection.in_transaction():
            yield self.connection
            return
        if lost := self.lost():
            raise Unavailable(lost)
        try:
            self._begin()
            yield self.connection
            self._commit()
            self.writes += 1
        except OperationalError as error:
            raise Unavailable(f"The journal can't be written: {error.orig}.", hint=self._hint) from None
        finally:
            self._end()

    def _begin(self) -> None:
        raise NotImplementedError

    def _commit(self) -> None:
        self.connection.commit()

    def _end(self) -> None:
        """Called after a transaction, successful or not."""
        self.connection.rollback()

    def typed(self, kind: type[T], query: Any) -> list[T]:
        """The rows of a query for all columns of the table, as the type `kind`."""
        return [of_type(kind, row) for row in self.rows(query)]

    def first(self, kind: type[T], query: Any) -> T | None:
        """The first of these rows, or None."""
        rows = self.typed(kind, query.limit(1))
        return rows[0] if rows else None

    def rows(self, query: Any) -> Sequence[RowMapping]:
        """The rows of a query; raises Unavailable when they can't be read."""
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
        """The rows of a query whose `column` is one of `values`, of any number."""
        keys = list(values)
        for start in range(0, len(keys), MANY):
            yield from self.rows(query.where(column.in_(keys[start : start + MANY])))

    def typed_among(self, kind: type[T], query: Any, column: Any, values: Iterable[str]) -> Iterator[T]:
        """As `among`, with rows of the type `kind`."""
        return (of_type(kind, row) for row in self.among(query, column, values))
