"""The file of MLflow's database: opened for readers that live for a moment, and locked by whoever may change its tables.

It has a rollback journal, no WAL, and programs beside ours write it (the trainer, MLflow's own pages). One that is killed in the
middle of a transaction leaves a journal that the next reader must roll back, and only a connection that may write can.
"""

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from daemon.core import durable
from daemon.core.errors import Unavailable

BUSY_SECONDS = 10.0
"""How long another program may hold the database locked."""

MIGRATION_SECONDS = 600.0
"""How long another process of ours may make or migrate it."""

LOOK_SECONDS = 0.1


@contextmanager
def reading(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection that changes nothing but the rest of a killed transaction; no file is made. Raises sqlite3.Error.

    SQLite itself opens the file for reading only where the disk or its mode forbids more.
    """
    uri = f"{path.resolve().as_uri()}?mode=rw"
    with closing(sqlite3.connect(uri, uri=True, timeout=BUSY_SECONDS)) as connection:
        connection.execute("PRAGMA query_only = ON")
        yield connection


@contextmanager
def writing(path: Path) -> Iterator[sqlite3.Connection]:
    """One transaction; raises sqlite3.Error. A database that is gone is not made: `mode=rw`."""
    uri = f"{path.resolve().as_uri()}?mode=rw"
    with closing(sqlite3.connect(uri, uri=True, timeout=BUSY_SECONDS)) as connection:
        connection.execute("PRAGMA foreign_keys = ON")
        with connection:
            # A transaction that begins with reading and then writes would fail at once, however long it may wait.
            connection.execute("BEGIN IMMEDIATE")
            yield connection


@contextmanager
def migrating(path: Path) -> Iterator[None]:
    """Hold the lock under which the database at `path` is made or migrated; raises Unavailable, OSError.

    MLflow asks for none: of two that migrate at the same time one fails, in a daemon that then ends and kills the other halfway.
    """
    lock, until = path.with_name(f"{path.name}.lock"), time.monotonic() + MIGRATION_SECONDS
    while (fd := durable.try_lock(lock)) is None:
        if time.monotonic() > until:
            raise Unavailable(f"Another process migrates {path}.", hint=f"`lslocks` names it; it holds {lock}.")
        time.sleep(LOOK_SECONDS)
    try:
        yield
    finally:
        os.close(fd)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Another name, under which the database at `path` is made whole before it gets its own; raises OSError.

    SQLite keeps a changed table at once: a kill in the middle of migrations in place would leave a half one, which MLflow refuses for ever.
    """
    fresh = path.with_name(f"{path.name}.new")
    _remove(fresh)  # what an earlier kill has left
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
