"""Read-only queries of a journal on a PostgreSQL server, written as for the file.

Connections are kept for the next query, because the server needs a process for each. If a kept connection turns out to
be lost, the query is repeated. Only this module imports the driver, and it is imported at the first query of a server.
"""

import os
import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from retraind.daemon.core.journal import journal_address, journal_server
from retraind.daemon.core.journal.journal_server import JournalServer
from retraind.daemon.records import dialect

try:
    import psycopg
    from psycopg.adapt import Loader
    from psycopg.rows import dict_row
except ModuleNotFoundError:
    raise journal_server.missing_driver() from None

QUESTION_MILLISECONDS = 10_000
"""Maximum duration of a query."""

KEPT = 4
"""Maximum number of idle connections of a process: its usual number of concurrent queries."""

Connection = psycopg.Connection[Mapping[str, Any]]

_idle: dict[tuple[int, str], list[Connection]] = {}
"""Idle connections by process, because a fork must not use those of its parent, and by address."""


class Unreadable(sqlite3.OperationalError):
    """Raised when the server can't answer; a sqlite3.Error, so callers handle it like an unreadable file."""


class _Number(Loader):
    """Loads PostgreSQL's sums and means as int or float."""

    def load(self, data: Any) -> int | float:
        text = bytes(data).decode()
        return int(text) if text.lstrip("-").isdecimal() else float(text)


class _Truth(Loader):
    """Loads true and false as 1 and 0, as in SQLite."""

    def load(self, data: Any) -> int:
        return int(bytes(data) == b"t")


def rows(server: JournalServer, query: str, values: Sequence[str | int | float | None]) -> list[Mapping[str, Any]]:
    """The rows of one query; none if the tables do not exist yet. Raises Unreadable."""
    words, parameters = dialect.for_server(query), [_parameter(value) for value in values]
    kept = _idle.setdefault((os.getpid(), server.url), [])
    try:
        while kept:
            connection = kept.pop()
            with suppress(psycopg.OperationalError):  # the server was restarted since, or has ended an idle session
                return _ask(connection, kept, words, parameters)
        return _ask(_connect(server), kept, words, parameters)
    except psycopg.errors.UndefinedTable:
        return []
    except psycopg.Error as error:
        raise Unreadable(" ".join(str(error).split()).rstrip(".")) from None


def close() -> None:
    """Close the connections that this process keeps; the next question makes a new one."""
    for (pid, _), kept in list(_idle.items()):
        while pid == os.getpid() and kept:
            kept.pop().close()


def _ask(
    connection: Connection, kept: list[Connection], query: str, values: Sequence[str | int | float | None]
) -> list[Mapping[str, Any]]:
    try:
        answer = list(connection.execute(query, values).fetchall())
    except BaseException:
        connection.close()
        raise
    if len(kept) < KEPT:
        kept.append(connection)
    else:
        connection.close()
    return answer


def _connect(server: JournalServer) -> Connection:
    address = server.url.replace(journal_address.SCHEME, "postgresql", 1)
    given = psycopg.conninfo.conninfo_to_dict(address)
    options: dict[str, Any] = {"application_name": "retraind reader", **journal_server.PATIENCE, **given}
    connection = psycopg.connect(
        "", autocommit=True, prepare_threshold=None, row_factory=dict_row, cursor_factory=psycopg.RawCursor, **options
    )
    connection.adapters.register_loader("numeric", _Number)
    connection.adapters.register_loader("bool", _Truth)
    connection.execute("SET default_transaction_read_only = on")
    connection.execute(f"SET statement_timeout = {QUESTION_MILLISECONDS}")
    return connection


def _parameter(value: str | int | float | None) -> str | int | float | None:
    """The text of an enum member; other values unchanged."""
    return journal_server.storable(str(value)) if isinstance(value, str) else value
