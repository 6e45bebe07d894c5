"""Events that are no notice yet, as any process can see them: they are grouped, or wait for the end of a quiet time."""

from datetime import UTC, datetime
from pathlib import Path

from retraind.daemon.core.journal.notices import EVENTS, DeliveryState
from retraind.daemon.core.settings import Notify
from retraind.daemon.notify.grouping import Group, Rules, joined, moment
from retraind.daemon.notify.quiet_times import QuietTimes
from retraind.daemon.records import events
from retraind.daemon.records.events import Delivery

MOST = 10_000
"""Maximum number of events that are looked at."""

QUIET = "It waits for the end of a quiet time (notify.quiet)."
GROUPED = "It is grouped with others (notify.group_seconds, notify.every_seconds)."


def waiting(journal: Path, settings: Notify, now: datetime) -> list[Delivery]:
    """An entry for each kind of notice with events that wait; empty without targets. Raises sqlite3.Error."""
    recorded = events.cursors(journal) if settings.is_on else {}
    cursors = {kind: recorded[kind.value] for kind in settings.kinds if kind.value in recorded}
    if not cursors:
        return []
    kinds = [event for kind in cursors for event in EVENTS[kind]]
    rules = Rules(settings)
    rows = events.unreported(journal, min(cursors.values()), kinds, MOST)
    groups = joined({}, (row for row in rows if not rules.is_stale(moment(row["at"]), now)), cursors)
    quiet = QuietTimes(settings.quiet, settings.timezone).cover(now)
    return [
        _entry(group, QUIET if quiet and group.kind not in settings.urgent else GROUPED) for group in groups.values()
    ]


def _entry(group: Group, why: str) -> Delivery:
    at = group.since.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return {
        "id": 0,
        "at": at,
        "kind": group.kind,
        "count": group.count,
        "target": "",
        "state": DeliveryState.WAITING,
        "detail": why,
        "ended_at": None,
    }
