"""Versions: every trained model with its verdict."""

from collections.abc import Collection, Mapping
from typing import Any, cast

from sqlalchemy import func, select, text

from retraind.daemon.core.journal_rows import VersionRecord, VersionRow
from retraind.daemon.core.states import EventKind, Level, VersionState
from retraind.daemon.core.status import utcnow
from retraind.daemon.storage.database import Database
from retraind.daemon.storage.entries.events import record_event
from retraind.daemon.storage.journal_tables import versions


class Versions:
    """Versions that have a verdict."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def judge(self, version: VersionRecord, state: VersionState, reason: str) -> None:
        """Record a version with its verdict: `promoted`, `refused` or `held`; a later verdict replaces an earlier one."""
        number = version["version"]
        with self._database.writing() as connection:
            connection.execute(versions.delete().where(versions.c.version == number))
            connection.execute(versions.insert(), {**version, "state": state, "reason": reason, "judged_at": utcnow()})
            level = Level.INFO if state in (VersionState.PROMOTED, VersionState.HELD) else Level.WARNING
            record_event(
                connection, EventKind(state), f"Version {number} {state}: {reason}", level=level, version=number
            )

    def mark_unservable(self, version: int, reason: str) -> None:
        """Record that the chosen version can't be served."""
        with self._database.writing() as connection:
            update = versions.update().where(versions.c.version == version)
            connection.execute(update.values(state=VersionState.UNSERVABLE, reason=reason))
            message = f"Version {version} is not served: {reason}"
            record_event(connection, EventKind.UNSERVABLE, message, level=Level.ERROR, version=version)

    def copy(self, row: Mapping[str, Any]) -> None:
        """Record a version as another journal has it; columns that this one lacks are left out."""
        values = {name: value for name, value in row.items() if name in versions.c}
        with self._database.writing() as connection:
            connection.execute(versions.delete().where(versions.c.version == values["version"]))
            connection.execute(versions.insert(), values)

    def keep(self, numbers: Collection[int]) -> None:
        """Remove all other versions: for a journal that only copies them."""
        with self._database.writing() as connection:
            connection.execute(versions.delete().where(versions.c.version.not_in(numbers)))

    def get(self, version: int) -> VersionRow | None:
        """One version, or None if it has no verdict yet."""
        return self._database.first(VersionRow, select(versions).where(versions.c.version == version))

    def named_by(self, query: str) -> int | None:
        """The `version` in the single row of a query of `retraind.daemon.records`, on the writer's connection."""
        [row] = self._database.rows(text(query))
        return cast("int | None", row["version"])

    def roll_back(self, version: int, reason: str) -> None:
        """Record the rollback of the served version by late labels, before another version replaces it."""
        with self._database.writing() as connection:
            update = versions.update().where(versions.c.version == version)
            connection.execute(update.values(state=VersionState.ROLLED_BACK, reason=reason, judged_at=utcnow()))
            record_event(
                connection,
                EventKind.ROLLED_BACK,
                f"Version {version} rolled back: {reason}",
                level=Level.WARNING,
                version=version,
            )

    def newest(self, limit: int | None = None) -> list[VersionRow]:
        """Judged versions, newest first; all of them without a limit."""
        return self._database.typed(VersionRow, select(versions).order_by(versions.c.version.desc()).limit(limit))

    def count(self) -> int:
        """The number of versions with a verdict."""
        return int(self._database.rows(select(func.count().label("n")).select_from(versions))[0]["n"])

    def held(self, before: int) -> list[VersionRow]:
        """Versions with a smaller number that wait for a person, oldest first."""
        waiting = (versions.c.state == VersionState.HELD) & (versions.c.version < before)
        return self._database.typed(VersionRow, select(versions).where(waiting).order_by(versions.c.version))

    def promoted(self, limit: int, chosen: int = 0, after: int = 0) -> list[VersionRow]:
        """The newest promoted versions, newest first: `chosen`, and those with a larger number than `after`."""
        eligible = (versions.c.version > after) | (versions.c.version == chosen)
        query = select(versions).where(versions.c.state == VersionState.PROMOTED, eligible)
        return self._database.typed(VersionRow, query.order_by(versions.c.version.desc()).limit(limit))
