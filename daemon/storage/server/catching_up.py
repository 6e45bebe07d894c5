"""Brings a copy of a journal up to date: rows that were added, changed or removed since it was made.

So the bulk of a journal can be copied while the daemon writes, and only the rest while it is stopped.
"""

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Any

from sqlalchemy import Column, Connection, Table, bindparam, func, inspect, select, text

from retraind.daemon.storage.server import tables

Row = dict[str, Any]

CHUNK = 5_000
"""Maximum number of rows in memory."""

NOW = text("SELECT txid_snapshot_xmin(txid_current_snapshot())")
"""The first transaction whose rows a snapshot of the server may lack."""

RECENT = "age(xmin) <= txid_current() - :since"
"""Whether that transaction or a later one wrote a row; of a few more rows it says so, which is harmless."""


def copied(source: Iterable[str]) -> list[Table]:
    """The tables that belong to every copy, of those in `source`: a daemon that still runs may be older and lack some."""
    names = set(source)
    return [table for table in tables.tables.sorted_tables if table is not tables.state and table.name in names]


def key_of(table: Table) -> Column[Any]:
    """The column that identifies the rows of a table."""
    return next(iter(table.primary_key))


def from_file(older: Path, newer: Path, target: Connection) -> int:
    """Apply the difference of two states of a journal's file to `target`, a copy of the older one; returns its rows."""
    with closing(sqlite3.connect(newer)) as source:
        source.row_factory = sqlite3.Row
        source.execute("ATTACH ? AS older", (str(older),))
        count, names = 0, source.execute("SELECT name FROM older.sqlite_master WHERE type = 'table'")
        for table in copied(row[0] for row in names):
            count += _remove(target, table, (row[0] for row in source.execute(_removed(table))))
            count += _replace(target, table, map(dict, source.execute(_changed(table))))
        return count


def _changed(table: Table) -> str:
    names = [f'"{column.name}"' for column in table.columns]
    values, same = (
        ", ".join(f"new.{name}" for name in names),
        " AND ".join(f"new.{name} IS old.{name}" for name in names),
    )
    key = f'"{key_of(table).name}"'
    joined = f"main.{table.name} AS new LEFT JOIN older.{table.name} AS old ON old.{key} = new.{key}"
    return f"SELECT {values} FROM {joined} WHERE old.{key} IS NULL OR NOT ({same})"


def _removed(table: Table) -> str:
    key = f'"{key_of(table).name}"'
    joined = f"older.{table.name} AS old LEFT JOIN main.{table.name} AS new ON new.{key} = old.{key}"
    return f"SELECT old.{key} FROM {joined} WHERE new.{key} IS NULL"


def from_server(source: Connection, since: int, target: Connection) -> int:
    """Apply what the transactions of a server wrote since `since` (NOW, when `target` was copied); returns its rows."""
    count = 0
    for table in copied(inspect(source).get_table_names()):
        recent = select(table).where(text(RECENT).bindparams(since=since))
        rows = [dict(row) for row in source.execute(recent).mappings()]
        count += _remove(target, table, _gone(source, target, table, rows))
        count += _replace(target, table, rows)
    return count


def _gone(source: Connection, target: Connection, table: Table, recent: Sequence[Row]) -> set[Any]:
    """The keys of rows that only `target` has. Counts tell whether there are any, because few tables lose rows."""
    key, total = key_of(table), select(func.count()).select_from(table)
    known = sum(
        int(target.execute(total.where(key.in_([row[key.name] for row in some]))).scalar_one())
        for some in _chunks(recent)
    )
    expected = int(target.execute(total).scalar_one()) + len(recent) - known
    if source.execute(total).scalar() == expected:
        return set()
    return set(target.execute(select(key)).scalars()) - set(source.execute(select(key)).scalars())


def _replace(target: Connection, table: Table, rows: Iterable[Row]) -> int:
    count = 0
    for some in _chunks(rows):
        _remove(target, table, (row[key_of(table).name] for row in some))
        target.execute(table.insert(), some)
        count += len(some)
    return count


def _remove(target: Connection, table: Table, keys: Iterable[Any]) -> int:
    values = [{"gone": key} for key in keys]
    if values:
        target.execute(table.delete().where(key_of(table) == bindparam("gone")), values)
    return len(values)


def _chunks(rows: Iterable[Row]) -> Iterator[list[Row]]:
    remaining = iter(rows)
    while some := list(islice(remaining, CHUNK)):
        yield some
