"""Copies of a home's databases as files, also of those on a server, for a backup."""

import sqlite3
from contextlib import closing
from pathlib import Path

from retraind.daemon.core.databases import mlflow_server
from retraind.daemon.core.home import Home
from retraind.daemon.core.journal import journal_server
from retraind.daemon.storage import mlflow_file


def journal(home: Home, copy: Path) -> Path:
    """A copy of the journal as a file, even if it is on a server; raises RetraindError."""
    server = journal_server.beside(home.journal)
    if server is None:
        return snapshot(home.journal, copy)
    from retraind.daemon.storage.server import (
        copies,  # here, because SQLAlchemy is slow to import and not needed otherwise
    )

    copies.to_file(server, copy)
    return copy


def mlflow(home: Home, copy: Path) -> Path | None:
    """A copy of MLflow's database as a file, even if it is on a server; None if there is none. Raises RetraindError."""
    if server := mlflow_server.beside(home):
        from retraind.daemon.storage.mlflow import mlflow_copies

        copy.unlink(missing_ok=True)
        mlflow_copies.to_file(server, copy)
        return copy
    if not home.mlflow.exists():
        return None
    with mlflow_file.reading(home.mlflow) as source:
        return copied(source, copy)


def snapshot(path: Path, copy: Path) -> Path:
    """A consistent copy of one of our databases. It is opened only for reading, because the WAL belongs to the daemon."""
    with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, timeout=10)) as source:
        return copied(source, copy)


def copied(source: sqlite3.Connection, copy: Path) -> Path:
    """A consistent copy of an open database, even while other processes write to it."""
    copy.unlink(missing_ok=True)
    with closing(sqlite3.connect(copy)) as target:
        source.backup(target)
        target.execute("PRAGMA journal_mode=DELETE")
    return copy
