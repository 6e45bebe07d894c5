"""The file of MLflow's database, opened for readers that live for a moment.

It has a rollback journal, no WAL, and programs beside ours write it (the trainer, MLflow's own pages). One that is killed in the
middle of a transaction leaves a journal that the next reader must roll back, and only a connection that may write can.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

BUSY_SECONDS = 10.0
"""How long another program may hold the database locked."""


@contextmanager
def reading(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection that changes nothing but the rest of a killed transaction; no file is made. Raises sqlite3.Error.

    SQLite itself opens the file for reading only where the disk or its mode forbids more.
    """
    uri = f"{path.resolve().as_uri()}?mode=rw"
    with closing(sqlite3.connect(uri, uri=True, timeout=BUSY_SECONDS)) as connection:
        connection.execute("PRAGMA query_only = ON")
        yield connection
