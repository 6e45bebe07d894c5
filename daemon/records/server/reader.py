"""Read-only questions to a journal on a PostgreSQL server, in the words of those to the file.

Connections are kept for the next question, since each costs the server a process; a question whose connection turns out to be
lost is asked again once. This is the only module that knows the driver, and it is imported with the first question to a server.
"""

import os
import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from daemon.core.journal import journal_address, journal_server
from daemon.core.journal.journal_server import JournalServer
from daemon.records import dialect

try:
    import psycopg
    from psycopg.adapt import Loader
    from psycopg.rows import dict_row
except ModuleNotFoundError:
    raise journal_server.missing_driver() from None

QUESTION_MILLISECONDS = 10_000
"""A question that takes longer is given up."""

KEPT = 4
"""Connections that a process keeps idle: as many questions as it mostly asks at once."""

Connection = psycopg.Connection[Mapping[str, Any]]

_idle: dict[tuple[int, str], list[Connection]] = {}
"""Idle connections by process, because a fork must not use those of its parent, and by address."""


class Unreadable(sqlite3.OperationalError):
    """Raised where the server can't be asked; a sqlite3.Error, so whoever can do without the journal's file can do without the server."""


class _Number(Loader):
    """What PostgreSQL makes of a sum or a mean: a whole number, or one with a fraction."""

    def load(self, data: Any) -> int | float:
        text = bytes(data).decode()
        return int(text) if text.lstrip("-").isdecimal() else float(text)


class _Truth(Loader):
    """True and false are 1 and 0 in SQLite."""

    def load(self, data: Any) -> int:
        return int(bytes(data) == b"t")


def rows(server: JournalServer, query: str, values: Sequence[str | int | None]) -> list[Mapping[str, Any]]:
    """The rows of one query; none where the tables have not been made yet. Raises Unreadable."""
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


def _ask(
    connection: Connection, kept: list[Connection], query: str, values: Sequence[str | int | None]
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


def _parameter(value: str | int | None) -> str | int | None:
    """A member of a closed set is its text."""
    return journal_server.storable(str(value)) if isinstance(value, str) else value
