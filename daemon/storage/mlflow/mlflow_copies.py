"""Copies of MLflow's whole database, as it was at one moment, between its file and a server."""

import graphlib
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import psycopg
from psycopg.rows import tuple_row
from psycopg.types.string import TextLoader

from retraind.daemon.core import durable
from retraind.daemon.core.databases import mlflow_server
from retraind.daemon.core.databases.mlflow_server import MlflowServer
from retraind.daemon.core.errors import BadSettings, NotFound, RetraindError
from retraind.daemon.core.home import Home
from retraind.daemon.core.journal import journal_address, journal_server
from retraind.daemon.storage import mlflow_file, mlflow_tables
from retraind.daemon.storage.mlflow.mlflow_connection import Connection, connect, translated
from retraind.daemon.storage.mlflow.mlflow_database import MlflowDatabase, MlflowFile
from retraind.daemon.storage.mlflow.mlflow_session import MlflowOnServer
from retraind.daemon.storage.model_versions import LAYOUT

CHUNK = 5_000
"""Maximum number of rows in memory."""

MOVED = "mlflow.db.moved"
"""Name of the file after a server has taken over the database."""

TABLES = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"

COLUMNS = "SELECT name FROM pragma_table_info(?)"

REFERENCES = """
SELECT conrelid::regclass::text AS name, confrelid::regclass::text AS needed FROM pg_constraint
WHERE contype = 'f' AND connamespace = current_schema()::regnamespace"""

SERIALS = """
SELECT table_name, column_name, pg_get_serial_sequence(quote_ident(table_name), column_name) AS sequence
FROM information_schema.columns WHERE table_schema = current_schema()
AND pg_get_serial_sequence(quote_ident(table_name), column_name) IS NOT NULL"""

NUMBER = "SELECT setval('{sequence}', (SELECT COALESCE(MAX({column_name}), 0) + 1 FROM {table_name}), false)"


def to_file(server: MlflowServer, path: Path) -> None:
    """Copy the database of a server into a new file, even during writes; raises RetraindError."""
    database = MlflowOnServer(server)
    _require_layout(database)
    with _session(server, "retraind backup") as source, closing(sqlite3.connect(path, isolation_level=None)) as target:
        source.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        target.executescript(f"BEGIN;\n{mlflow_tables.STATEMENTS.read_text()}")
        for table, columns in _tables(target).items():
            target.execute(f"DELETE FROM {table}")  # rows of MLflow's migrations
            values = ", ".join("?" * len(columns))
            with psycopg.RawServerCursor(source, "rows", row_factory=tuple_row) as rows:
                rows.execute(f"SELECT {', '.join(columns)} FROM {table}".encode())
                while chunk := rows.fetchmany(CHUNK):
                    target.executemany(f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({values})", chunk)
        target.execute("COMMIT")


def move_to_server(home: Home, url: str) -> str:
    """Move MLflow's database of a home without a running daemon to a server; returns a sentence. Raises RetraindError."""
    if objection := journal_address.objection(url):
        raise BadSettings(objection)
    if not home.mlflow.exists():
        raise NotFound(f"There is no {home.mlflow} to move.")
    _require_layout(MlflowFile(home.mlflow))
    server = MlflowServer(url, "")
    database = MlflowOnServer(server)
    with database.migrating():
        if database.exists():
            hint = "Drop its tables, or name another database or schema."
            raise BadSettings(f"There are tables of MLflow at {url} already.", hint=hint)
        with mlflow_file.reading(home.mlflow) as source, _session(server, "retraind migrate") as target:
            count = _fill(source, target)
    mlflow_server.write(home, server)
    moved = home.mlflow.with_name(MOVED)
    home.mlflow.rename(moved)
    durable.fsync_dir(home.registry)
    return f"MLflow's database ({count} rows) is now at {url}; the file is kept as {moved}."


def move_to_file(home: Home) -> str:
    """Move MLflow's database of a home without a running daemon from its server to the file; returns a sentence.

    Raises RetraindError.
    """
    server = mlflow_server.beside(home)
    if server is None:
        raise NotFound(f"{home.root} has no MLflow database on a server.")
    with mlflow_file.replacing(home.mlflow) as fresh:
        to_file(server, fresh)
    home.mlflow.chmod(0o600)
    durable.remove(home.mlflow_server)
    return f"{home.mlflow} is now MLflow's database. The tables at {server.url} stay: drop them when you no longer need them."


def _require_layout(database: MlflowDatabase) -> None:
    """Raise RetraindError for tables that the statements here don't fit."""
    layout = next((row["version_num"] for row in database.ask("SELECT version_num FROM alembic_version")), None)
    if layout != LAYOUT:
        hint = "The next `retraind run` migrates it."
        raise RetraindError(f"{database.place} has tables of another MLflow ({layout or 'none'}).", hint=hint)


@contextmanager
def _session(server: MlflowServer, name: str) -> Iterator[Connection]:
    """A session whose statements may take any time; values that SQLite has as texts are read as texts."""
    with translated(), closing(connect(server, name)) as connection:
        connection.execute("SET statement_timeout = 0; SET idle_in_transaction_session_timeout = 0")
        for kind in ("json", "jsonb", "timestamp", "timestamptz", "numeric"):
            connection.adapters.register_loader(kind, TextLoader)
        yield connection


def _tables(file: sqlite3.Connection) -> dict[str, list[str]]:
    """The tables of a file with their columns, all in quotes."""
    tables = [name for (name,) in file.execute(TABLES)]
    return {f'"{table}"': [f'"{name}"' for (name,) in file.execute(COLUMNS, (table,))] for table in tables}


def _fill(source: sqlite3.Connection, target: Connection) -> int:
    """Make the tables on a server with all rows of a file, in one transaction; returns the number of rows."""
    count, tables = 0, _tables(source)
    with target.transaction():
        target.execute(mlflow_tables.SERVER_STATEMENTS.read_bytes())
        needed = graphlib.TopologicalSorter({table: set[str]() for table in tables})
        for row in target.execute(REFERENCES.encode()):
            needed.add(f'"{row["name"]}"', *({f'"{row["needed"]}"'} - {f'"{row["name"]}"'}))
        for table in needed.static_order():
            count += _copy(source, target, table, tables[table])
        for row in target.execute(SERIALS.encode()).fetchall():
            target.execute(NUMBER.format(**row).encode())
    return count


def _copy(source: sqlite3.Connection, target: Connection, table: str, columns: list[str]) -> int:
    names, values = ", ".join(columns), ", ".join(f"${number + 1}" for number in range(len(columns)))
    target.execute(f"DELETE FROM {table}".encode())  # rows of MLflow's migrations
    rows, count = source.execute(f"SELECT {names} FROM {table}"), 0
    with target.cursor() as cursor:
        while chunk := rows.fetchmany(CHUNK):
            cursor.executemany(f"INSERT INTO {table} ({names}) VALUES ({values})".encode(), map(_texts, chunk))
            count += len(chunk)
    return count


def _texts(row: Sequence[Any]) -> list[Any]:
    """Values as texts, which the server reads by the types of its columns: SQLite has 0 and 1 for false and true."""
    return [
        value if value is None or isinstance(value, bytes) else journal_server.storable(str(value)) for value in row
    ]
