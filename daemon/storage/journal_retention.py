"""The retention of the journal: decides which events and requests are removed, so that it stops growing.

SQL for SQLAlchemy's connection. The outcomes of drops, batches, trainings and versions are in their own tables, which
stay. The event kinds of every drop have a separate limit, so they can't push out monthly events. Event numbers are
never reused (AUTOINCREMENT), so streams continue where they were.
"""

from sqlalchemy import Connection, text

from retraind.daemon.core.states import EventKind, RequestState
from retraind.daemon.storage.database import Database

ROUTINE = (
    EventKind.ACCEPTED,
    EventKind.COMMITTED,
    EventKind.MERGED,
    EventKind.DUPLICATE,
    EventKind.REJECTED,
    EventKind.QUARANTINED,
    EventKind.KNOWN,
    EventKind.RELABELLED,
    EventKind.REQUEST,
)
"""Kinds of events that come with every drop or request."""

FACTS = (EventKind.SERVING, EventKind.ROLLED_BACK)
"""Kinds that are always kept, because the journal derives facts from their order."""

ORPHANS = text("""
DELETE FROM acknowledgements WHERE event <= :newest
    AND NOT EXISTS (SELECT 1 FROM events WHERE events.id = acknowledgements.event)""")
"""Removes the acknowledgements of removed events."""

MOST = 5_000
"""Maximum rows of each sort that one call removes, because the loop has other work."""


def _listed(*kinds: EventKind) -> str:
    return ", ".join(f"'{kind}'" for kind in kinds)


SORTS = (
    ("events", "id", f"kind IN ({_listed(*ROUTINE)})"),
    ("events", "id", f"kind NOT IN ({_listed(*ROUTINE, *FACTS)})"),
    ("requests", "rowid", f"state != '{RequestState.QUEUED}'"),
)
"""The sorts: table, growing key, and condition; each sort keeps the same number of rows."""


def overdue(database: Database, keep: int) -> list[tuple[int, int]]:
    """The sorts (by position in SORTS) with more than `keep` rows, and the newest key to remove; only reads."""
    ranges: list[tuple[int, int]] = []
    for place, (table, key, limit) in enumerate(SORTS):
        query = f"SELECT {key} AS key FROM {table} WHERE {limit} ORDER BY {key} DESC LIMIT 1 OFFSET :keep"  # noqa: S608 - constants
        ranges += [(place, int(row["key"])) for row in database.rows(text(query).bindparams(keep=keep))]
    return ranges


def remove(connection: Connection, place: int, newest: int) -> int:
    """Remove the oldest rows of a sort up to the key `newest`, some at a time; returns their number."""
    table, key, keep = SORTS[place]
    oldest = f"SELECT {key} FROM {table} WHERE {keep} AND {key} <= :newest ORDER BY {key} LIMIT :most"  # noqa: S608
    query = text(f"DELETE FROM {table} WHERE {key} IN ({oldest})")  # noqa: S608
    count = int(connection.execute(query, {"newest": newest, "most": MOST}).rowcount)
    if table == "events":
        connection.execute(ORPHANS, {"newest": newest})
    return count
