"""Key-value pairs: small JSON values that have no table of their own."""

import json
from typing import Any

from sqlalchemy import Connection, select, text

from retraind.daemon.storage.database import Database
from retraind.daemon.storage.journal_tables import meta

# Upserts are spelt alike in SQLite and PostgreSQL, but SQLAlchemy has a construct of its own for each.
PUT = text("INSERT INTO meta (key, value) VALUES (:key, :value) ON CONFLICT (key) DO UPDATE SET value = excluded.value")


class KeyValues:
    """JSON values by key."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, key: str) -> Any:
        """The JSON value of a key; None if it has none."""
        row = self._database.one(select(meta.c.value).where(meta.c.key == key))
        return None if row is None else json.loads(row["value"])

    def put(self, key: str, value: Any) -> None:
        """Store the JSON value of a key."""
        with self._database.writing() as connection:
            put(connection, key, value)

    def drop(self, key: str) -> None:
        """Remove a key."""
        with self._database.writing() as connection:
            connection.execute(meta.delete().where(meta.c.key == key))


def put(connection: Connection, key: str, value: Any) -> None:
    """Store the JSON value of a key within the caller's transaction."""
    connection.execute(PUT, {"key": key, "value": json.dumps(value)})
