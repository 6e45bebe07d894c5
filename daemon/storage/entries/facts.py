"""Facts: small JSON values by name, for what has no table of its own."""

import json
from typing import Any

from sqlalchemy import select

from daemon.storage.database import Database
from daemon.storage.journal_tables import meta


class Facts:
    """Remembered values by name."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, key: str) -> Any:
        """A remembered value (JSON), or None."""
        row = self._database.one(select(meta.c.value).where(meta.c.key == key))
        return None if row is None else json.loads(row["value"])

    def put(self, key: str, value: Any) -> None:
        """Remember a JSON value."""
        with self._database.writing() as connection:
            connection.execute(meta.insert().prefix_with("OR REPLACE"), {"key": key, "value": json.dumps(value)})

    def drop(self, key: str) -> None:
        """No longer remember a value."""
        with self._database.writing() as connection:
            connection.execute(meta.delete().where(meta.c.key == key))
