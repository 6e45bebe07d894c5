"""MLflow's database of a home: a file, or a database on a PostgreSQL server, with the same tables and statements.

A statement has `?` where a value belongs (`?2`: the second value). Rows are read by the names of their columns.
"""

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path
from typing import Any, Protocol

from retraind.daemon.core import home_integrity
from retraind.daemon.core.databases import mlflow_server
from retraind.daemon.core.errors import Unavailable
from retraind.daemon.core.home import Home
from retraind.daemon.storage import mlflow_file

COLUMN = "SELECT 1 FROM pragma_table_info(?) WHERE name = ?"

Row = Mapping[str, Any]
"""A row by the names of its columns."""

Insert = tuple[str, Sequence[Any]]
"""A statement and its values."""


class Statements(Protocol):
    """An open transaction."""

    def execute(self, statement: str, values: Sequence[Any] = ..., /) -> Any:
        """Run a statement; returns its cursor."""


class MlflowDatabase(Protocol):
    """The database of one home; every method raises Unavailable while it can't be used."""

    @property
    def uri(self) -> str:
        """Its address, as MLflow wants it."""

    @property
    def place(self) -> str:
        """Its place, for people."""

    @property
    def in_file(self) -> bool:
        """Whether it is a file of the home."""

    def exists(self) -> bool:
        """Whether MLflow's tables have been made."""

    def require(self, home: Home) -> None:
        """Raise Unavailable if it is lost, so that an empty one must not replace it."""

    def ask(self, question: str, *values: Any) -> Sequence[Row]:
        """The rows of a query; none before the tables are made."""

    def writing(self) -> AbstractContextManager[Statements]:
        """A transaction."""

    def migrating(self) -> AbstractContextManager[None]:
        """The lock for making or migrating the tables."""

    def make(self, tables: str, rows: Sequence[Insert]) -> None:
        """Make the `tables`, with the first `rows`, all or nothing; call within `migrating`."""

    def complete(self) -> None:
        """Add what retraind needs besides MLflow's tables; call within `migrating`."""

    def has_column(self, table: str, column: str) -> bool:
        """Whether a table has a column."""

    def stamp(self) -> object:
        """A value that changes with every write, also of other programs; None if the database is gone."""

    def signalled(self) -> bool:
        """Whether another program has written since the last `stamp`; False where only a stamp can tell."""

    def close(self) -> None:
        """Close its connection, if it keeps one."""


def of(home: Home) -> MlflowDatabase:
    """The database of a home, for a program that uses it now and then; raises RetraindError."""
    server = mlflow_server.beside(home)
    if server is None:
        return MlflowFile(home.mlflow)
    from retraind.daemon.storage.mlflow.mlflow_session import MlflowOnServer  # here, because it imports the driver

    return MlflowOnServer(server)


class MlflowFile:
    """The file `registry/mlflow.db`."""

    in_file = True

    def __init__(self, path: Path) -> None:
        self._path = path

    @property
    def uri(self) -> str:
        """Its address, as MLflow wants it."""
        return f"sqlite:///{self._path.absolute()}"

    @property
    def place(self) -> str:
        """Its path."""
        return str(self._path)

    def exists(self) -> bool:
        """Whether there is a file."""
        return self._path.exists()

    def require(self, home: Home) -> None:
        """Raise Unavailable for a home without the file that serves a version: it had one.

        An empty one instead would look healthy, and number versions from 1 again.
        """
        if not self.exists() and home.pointer.exists():
            raise Unavailable(f"{self._path} is gone. {home_integrity.RESTORE}.")

    def ask(self, question: str, *values: Any) -> Sequence[Row]:
        """The rows of a query; none without a file."""
        if not self.exists():
            return []
        with _translated(), mlflow_file.reading(self._path) as connection:
            connection.row_factory = sqlite3.Row
            return list(connection.execute(question, values))

    @contextmanager
    def writing(self) -> Iterator[Statements]:
        """A transaction."""
        with _translated(), mlflow_file.writing(self._path) as connection:
            connection.row_factory = sqlite3.Row
            yield connection

    def migrating(self) -> AbstractContextManager[None]:
        """The lock of the file."""
        return mlflow_file.migrating(self._path)

    def make(self, tables: str, rows: Sequence[Insert]) -> None:
        """Make the file; raises OSError, too."""
        with (
            _translated(),
            mlflow_file.replacing(self._path) as fresh,
            closing(sqlite3.connect(fresh, isolation_level=None)) as connection,
        ):
            connection.executescript(f"BEGIN;\n{tables}")
            for statement, values in rows:
                connection.execute(statement, values)
            connection.execute("COMMIT")

    def complete(self) -> None:
        """Let only this user read it."""
        self._path.chmod(0o600)

    def has_column(self, table: str, column: str) -> bool:
        """Whether a table has a column."""
        return bool(self.ask(COLUMN, table, column))

    def stamp(self) -> object:
        """Inode, time and size of the file, and of the write-ahead log that another program may use."""
        wal = self._path.with_name(f"{self._path.name}-wal")
        stats = [path.stat() for path in (self._path, wal) if path.exists()]
        return tuple((stat.st_ino, stat.st_mtime_ns, stat.st_size) for stat in stats) or None

    def signalled(self) -> bool:
        """Never: a file sends no signals."""
        return False

    def close(self) -> None:
        """Nothing to do."""


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise unusable(error) from error


def unusable(error: Exception | str) -> Unavailable:
    """The error for whatever the database raises."""
    return Unavailable(f"MLflow's database can't be used: {str(error).rstrip('.')}.")
