"""The file of MLflow's database: opens it for short reads, and locks it for changes of its tables.

It has a rollback journal, no WAL, and other programs also write it (the trainer, MLflow's own pages). A program killed
in a transaction leaves a journal that the next reader must roll back, which needs a writable connection.
"""

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from retraind.daemon.core import durable
from retraind.daemon.core.errors import Unavailable

BUSY_SECONDS = 10.0
"""Seconds that another program may hold the database locked."""

MIGRATION_SECONDS = 600.0
"""Seconds that another process of ours may take to make or migrate it."""

LOOK_SECONDS = 0.1


@contextmanager
def reading(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection that only rolls back a killed transaction; it never creates the file.

    Raises sqlite3.Error. SQLite itself falls back to read-only if the disk or the file's mode forbids writing.
    """
    uri = f"{path.resolve().as_uri()}?mode=rw"
    with closing(sqlite3.connect(uri, uri=True, timeout=BUSY_SECONDS)) as connection:
        connection.execute("PRAGMA query_only = ON")
        yield connection


@contextmanager
def writing(path: Path) -> Iterator[sqlite3.Connection]:
    """One transaction; raises sqlite3.Error. A missing database is not created (`mode=rw`)."""
    uri = f"{path.resolve().as_uri()}?mode=rw"
    with closing(sqlite3.connect(uri, uri=True, timeout=BUSY_SECONDS)) as connection:
        connection.execute("PRAGMA foreign_keys = ON")
        with connection:
            # A transaction that begins with reading and then writes would fail at once, whatever its timeout.
            connection.execute("BEGIN IMMEDIATE")
            yield connection


@contextmanager
def migrating(path: Path) -> Iterator[None]:
    """Hold the lock for making or migrating the database at `path`; raises Unavailable, OSError.

    MLflow itself takes no lock. If two processes migrated at the same time, one would fail, and its daemon would end
    and kill the other halfway.
    """
    lock, until = path.with_name(f"{path.name}.lock"), time.monotonic() + MIGRATION_SECONDS
    while (fd := durable.try_lock(lock)) is None:
        if time.monotonic() > until:
            raise Unavailable(f"Another process migrates {path}.", hint=f"`lslocks` shows which one holds {lock}.")
        time.sleep(LOOK_SECONDS)
    try:
        yield
    finally:
        os.close(fd)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary name under which the database is completed before it is renamed to `path`; raises OSError.

    Each changed table is durable at once, so a kill during migrations in place would leave a half-migrated database,
    which MLflow would always refuse.
    """
    fresh = path.with_name(f"{path.name}.new")
    _remove(fresh)  # left by an earlier kill
    try:
        yield fresh
    except BaseException:
        _remove(fresh)
        raise
    durable.fsync_file(fresh)
    fresh.replace(path)
    durable.fsync_dir(path.parent)


def _remove(fresh: Path) -> None:
    """Remove an unfinished database, and the journal of its transaction."""
    for leftover in fresh.parent.glob(f"{fresh.name}*"):
        leftover.unlink()
