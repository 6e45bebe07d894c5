"""The leadership's row by sessions other than the writer's: a leader's beats, and what a standby sees and does."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from retraind.daemon.core.leader.leadership import Leadership, recorded
from retraind.daemon.storage.server import session as writer
from retraind.daemon.storage.server.node_session import NodeSession

BEAT = "UPDATE leadership SET beat = clock_timestamp() WHERE epoch = %(epoch)s RETURNING epoch"

LEADS = "SELECT epoch FROM leadership WHERE epoch = %(epoch)s"

HELD = """
locktype = 'advisory' AND granted AND classid = %(class)s AND objid = %(key)s AND objsubid = 2
  AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"""

COLUMNS = """
epoch, leader, url, began, reason, pid, EXTRACT(epoch FROM clock_timestamp() - beat)::float8 AS silence"""

LOOK = f"SELECT {COLUMNS}, (SELECT pid FROM pg_locks WHERE {HELD} LIMIT 1) AS holder FROM leadership"

END = f"""
SELECT pg_terminate_backend(pid), EXTRACT(epoch FROM clock_timestamp() - beat)::float8 AS silence
FROM leadership JOIN pg_locks USING (pid)
WHERE {HELD} AND epoch = %(epoch)s AND beat < clock_timestamp() - make_interval(secs => %(stale)s)"""
"""It ends the session that holds the lock, only if that is the leader's and its last beat is too old at this moment."""

JOURNAL = "SELECT journal FROM journal_state"

WRITES = "SELECT writes FROM journal_state"


class Sight(NamedTuple):
    """What a standby sees of the leader."""

    leadership: Leadership
    silence: float | None
    """Seconds since its last beat, by the server's clock; None: it does not beat."""
    session: int
    """The server's process for the leader's session."""
    holder: int | None
    """The server's process that has the lock; None if it is free."""


class LeaderRows:
    """The row of one journal; every method raises Unavailable."""

    def __init__(self, session: NodeSession) -> None:
        self._session = session
        [row] = session.ask("SELECT current_schema() AS schema")
        self._lock = {"class": writer.LOCK_CLASS, "key": writer.lock_key(str(row["schema"]))}

    def beat(self, epoch: int) -> bool:
        """Say that the leader of this epoch works; False if another epoch has begun."""
        return bool(self._session.ask(BEAT, {"epoch": epoch}))

    def leads(self, epoch: int) -> bool:
        """Whether this epoch is the newest."""
        return bool(self._session.ask(LEADS, {"epoch": epoch}))

    def look(self) -> Sight | None:
        """The present leader; None before the first."""
        rows = self._session.ask(LOOK, self._lock)
        return _sight(rows[0]) if rows else None

    def end(self, epoch: int, stale_seconds: float) -> float | None:
        """End the session of the leader of this epoch if it has not beaten for so long; its silence, None if it was not ended."""
        rows = self._session.ask(END, self._lock | {"epoch": epoch, "stale": stale_seconds})
        return float(rows[0]["silence"]) if rows else None

    def journal(self) -> str | None:
        """The id of the journal; None before the first leader."""
        rows = self._session.ask(JOURNAL)
        return str(rows[0]["journal"]) if rows else None


def writes(session: NodeSession) -> int | None:
    """The number of the journal's transactions; None before the first leader."""
    rows = session.ask(WRITES)
    return int(rows[0]["writes"]) if rows else None


def _sight(row: Mapping[str, Any]) -> Sight:
    record = recorded(row["epoch"], row["leader"], row["url"], row["began"], row["reason"])
    return Sight(record, row["silence"], row["pid"], row["holder"])
