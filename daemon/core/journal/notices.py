"""Kinds of notices: the closed set of what a person can be notified of, and the events behind each kind."""

from enum import StrEnum

from retraind.daemon.core.states import EventKind

REPORTED = "notify_unhealthy"
"""Key of the reported checks that have not recovered: by name, since when (UTC)."""

CURSORS = "notify_cursors"
"""Key of the numbers of the last events that need no further notice, by kind of notice."""


class NoticeKind(StrEnum):
    """A kind of notice, as in the setting `notify.kinds`."""

    REJECTED = "rejected"
    """Files, or rows of files, were rejected by a rule."""
    UNANSWERED = "unanswered"
    """A file in `inbox/predict` could not be answered."""
    HELD = "held"
    """A suspicious drop, or a version, that may wait for a person."""
    REFUSED = "refused"
    """A version is not served, because the gate or a person refused it."""
    ROLLED_BACK = "rolled back"
    FAILED = "failed"
    """A training failed, or a version can't be served."""
    UNHEALTHY = "unhealthy"
    """A check of `/health` has failed for `notify.unhealthy_seconds`."""
    HEALED = "healed"
    """Such a check passes again."""
    DRIFT = "drift"
    PROMOTED = "promoted"
    SILENT = "silent"
    """No drop has come for `notify.silent_hours`."""


EVENTS: dict[NoticeKind, tuple[EventKind, ...]] = {
    NoticeKind.REJECTED: (EventKind.REJECTED, EventKind.QUARANTINED),
    NoticeKind.UNANSWERED: (EventKind.UNANSWERED,),
    NoticeKind.HELD: (EventKind.HELD, EventKind.SUSPICIOUS),
    NoticeKind.REFUSED: (EventKind.REFUSED,),
    NoticeKind.ROLLED_BACK: (EventKind.ROLLED_BACK,),
    NoticeKind.FAILED: (EventKind.FAILED, EventKind.ABANDONED, EventKind.UNSERVABLE),
    NoticeKind.UNHEALTHY: (EventKind.UNHEALTHY,),
    NoticeKind.HEALED: (EventKind.RECOVERED,),
    NoticeKind.DRIFT: (EventKind.DRIFT,),
    NoticeKind.PROMOTED: (EventKind.PROMOTED,),
    NoticeKind.SILENT: (EventKind.SILENT,),
}
"""The kinds of events that a notice of each kind reports."""

KIND_OF = {event: kind for kind, events in EVENTS.items() for event in events}
"""The kind of notice that reports an event."""


BEGUN = "An attempt has begun."
"""Detail of a delivery that is being sent: after a kill, its target may have it already."""


class DeliveryState(StrEnum):
    """How far the delivery of a notice to one target has progressed."""

    WAITING = "waiting"
    """Events that are no notice yet: they are grouped, or wait for the end of a quiet time. It is in no table."""
    DUE = "due"
    SENT = "sent"
    """The target has accepted it."""
    GIVEN_UP = "given up"
    """It was older than `notify.keep_hours`, or its target is no longer configured."""
