"""The timeline: the group of each kind of event in the page's filter."""

from retraind.daemon.core.states import EventKind

GROUPS = {
    "data": (
        EventKind.ACCEPTED,
        EventKind.REJECTED,
        EventKind.DUPLICATE,
        EventKind.QUARANTINED,
        EventKind.KNOWN,
        EventKind.RELABELLED,
        EventKind.SUSPICIOUS,
        EventKind.COMMITTED,
        EventKind.MERGED,
        EventKind.SCHEMA,
        EventKind.FORGOTTEN,
        EventKind.PURGED,
        EventKind.INBOX,
        EventKind.ANSWERED,
        EventKind.UNANSWERED,
    ),
    "training": (
        EventKind.TRAINING,
        EventKind.CANDIDATE,
        EventKind.TRAINED,
        EventKind.POSTPONED,
        EventKind.FAILED,
        EventKind.ABANDONED,
    ),
    "model": (
        EventKind.PROMOTED,
        EventKind.REFUSED,
        EventKind.HELD,
        EventKind.UNSERVABLE,
        EventKind.ROLLED_BACK,
        EventKind.SERVING,
        EventKind.CLEARED,
        EventKind.DRIFT,
        EventKind.REQUEST,
    ),
    "service": (
        EventKind.STARTED,
        EventKind.STOPPED,
        EventKind.LEADING,
        EventKind.WORKER,
        EventKind.HISTORY,
        EventKind.REPAIRED,
        EventKind.MOVED,
        EventKind.PROBLEM,
        EventKind.HEALED,
        EventKind.UNHEALTHY,
        EventKind.RECOVERED,
        EventKind.SILENT,
    ),
}
"""Filters of the timeline, with the kinds of events that each shows. The stream's events have these kinds as names."""

_GROUP_OF: dict[str, str] = {kind: group for group, kinds in GROUPS.items() for kind in kinds}


def group_of(kind: str) -> str:
    """The group of a kind of event; a journal of a newer retraind may hold kinds that are unknown here."""
    return _GROUP_OF.get(kind, "service")
