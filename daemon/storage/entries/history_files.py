"""The index of files of old predictions, and the log files that they replace.

A file is put before it is recorded, and removed after its entry. So its name is among the *leftovers* whenever it may
exist without an entry: objects that are removed at the next occasion. A replaced leader's put may end after that. So
names that a start removed stay noted as *late*, and are removed once more a day later, unless they have entries by then.
Nothing is removed because of a listing: a copy of the home with an older index would treat newer files as garbage.
"""

from collections.abc import Collection, Iterable

from sqlalchemy import Connection, select

from retraind.daemon.core.journal.history_files import HistoryFile
from retraind.daemon.core.status import utcnow
from retraind.daemon.storage.database import Database
from retraind.daemon.storage.entries import key_values
from retraind.daemon.storage.entries.key_values import KeyValues
from retraind.daemon.storage.history_index import files, logs

LEFTOVERS = "history_leftovers"
"""The key of the names of objects without an entry."""

LATE = "history_late"
"""The key of the names of objects that were removed but may still come: name to time."""


class HistoryFiles:
    """Files of old predictions; see `retraind.daemon.history`."""

    def __init__(self, database: Database, values: KeyValues) -> None:
        self._database, self._values = database, values

    def leftovers(self) -> list[str]:
        """Names of objects that may exist and have no entry."""
        return self._values.get(LEFTOVERS) or []

    def expect(self, names: Iterable[str]) -> None:
        """Note the names of files that are about to be put."""
        expected = set(names)
        with self._database.writing() as connection:
            key_values.put(connection, LEFTOVERS, sorted({*self.leftovers(), *expected}))
            self._put_late(connection, {}, expected)

    def settle(self, names: Collection[str], late_from: str | None = None) -> None:
        """Forget the names of leftovers that are removed; with `late_from`, the time now, they are late."""
        with self._database.writing() as connection:
            key_values.put(connection, LEFTOVERS, [name for name in self.leftovers() if name not in names])
            if late_from is not None:
                self._put_late(connection, dict.fromkeys(names, late_from), ())

    def late(self, before: str) -> list[str]:
        """The names that are late since a time before this one."""
        return [name for name, since in self._late().items() if since < before]

    def forget_late(self, names: Collection[str]) -> None:
        """Forget late names that are removed once more."""
        with self._database.writing() as connection:
            self._put_late(connection, {}, names)

    def _late(self) -> dict[str, str]:
        return self._values.get(LATE) or {}

    def _put_late(self, connection: Connection, new: dict[str, str], without: Collection[str]) -> None:
        before = self._late()
        after = {name: since for name, since in before.items() if name not in without} | new
        if after != before:
            key_values.put(connection, LATE, after)

    def archived(self, names: Iterable[str]) -> set[str]:
        """Those of these log files whose predictions are in recorded files."""
        return {row["name"] for row in self._database.among(select(logs.c.name), logs.c.name, names)}

    def record(self, recorded: Collection[HistoryFile], replaced: Iterable[str]) -> None:
        """Record files that are durable, and the log files whose predictions they have, in one transaction."""
        new = {file["object"] for file in recorded}
        with self._database.writing() as connection:
            _insert(connection, recorded)
            rows = [{"name": name, "at": utcnow()} for name in replaced]
            if rows:
                connection.execute(logs.insert(), rows)
            key_values.put(connection, LEFTOVERS, [name for name in self.leftovers() if name not in new])

    def replace(self, old: Collection[str], new: Collection[HistoryFile]) -> None:
        """Record files in place of others, which become leftovers, in one transaction."""
        names = {file["object"] for file in new}
        with self._database.writing() as connection:
            connection.execute(files.delete().where(files.c.object.in_(old)))
            _insert(connection, new)
            rest = {*self.leftovers(), *old} - names
            key_values.put(connection, LEFTOVERS, sorted(rest))

    def ended(self, before: str, most: int) -> list[str]:
        """Names of files whose newest prediction is older than this time, at most so many."""
        query = select(files.c.object).where(files.c.last_at < before).order_by(files.c.last_at).limit(most)
        return [row["object"] for row in self._database.rows(query)]


def _insert(connection: Connection, recorded: Collection[HistoryFile]) -> None:
    if recorded:
        # The same predictions give the same file: then its entry is there already.
        connection.execute(files.delete().where(files.c.object.in_([file["object"] for file in recorded])))
        connection.execute(files.insert(), [dict(file) for file in recorded])
