"""Groups of events that will be one notice: pure decisions on when it falls due, and on what waits for too long."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from retraind.daemon.core.journal.notices import KIND_OF, NoticeKind
from retraind.daemon.core.journal_rows import DeliveryRow, EventRow
from retraind.daemon.core.settings import Notify
from retraind.daemon.core.states import EventKind, Level
from retraind.daemon.notify.quiet_times import QuietTimes

BY_TEXT = {event.value: kind for event, kind in KIND_OF.items()}


@dataclass(frozen=True)
class Group:
    """Events of one kind of notice that have not been reported yet."""

    kind: NoticeKind
    count: int
    first: int
    """The number of its first event."""
    last: int
    since: datetime
    """The time of the first one."""


class Rules:
    """When a group falls due, by the settings."""

    def __init__(self, settings: Notify) -> None:
        self._settings = settings
        self._quiet = QuietTimes(settings.quiet, settings.timezone)

    def is_due(self, group: Group, last: datetime | None, now: datetime) -> bool:
        """Whether a group is a notice now; `last` is when the one before it of its kind fell due."""
        settings = self._settings
        if now < group.since + timedelta(seconds=settings.group_seconds):
            return False
        if last is not None and now < last + timedelta(seconds=settings.every_seconds):
            return False
        return group.kind in settings.urgent or not self._quiet.cover(now)

    def is_stale(self, at: datetime, now: datetime) -> bool:
        """Whether an event or notice is too old to be sent."""
        return now - at > timedelta(hours=self._settings.keep_hours)


def kind_of(event: EventRow) -> NoticeKind | None:
    """The kind of notice that reports an event; None for what a person has decided about a drop."""
    if event["kind"] == EventKind.REJECTED and event["level"] == Level.INFO:
        return None
    return BY_TEXT.get(event["kind"])


def joined(
    groups: dict[NoticeKind, Group], events: Iterable[EventRow], cursors: Mapping[NoticeKind, int]
) -> dict[NoticeKind, Group]:
    """The groups with further events, in the order of their numbers; those up to the cursor of their kind are left out."""
    groups = dict(groups)
    for event in events:
        kind = kind_of(event)
        if kind is None or event["id"] <= cursors[kind]:
            continue
        group = groups.get(kind)
        if group is None:
            groups[kind] = Group(kind, 1, event["id"], event["id"], moment(event["at"]))
        else:
            groups[kind] = replace(group, count=group.count + 1, last=event["id"])
    return groups


def surplus(due: Sequence[DeliveryRow], most: int) -> set[int]:
    """The deliveries beyond the newest `most` of each target; `due` is oldest first."""
    by_target: dict[str, list[int]] = {}
    for row in due:
        by_target.setdefault(row["target"], []).append(row["delivery"])
    return {delivery for deliveries in by_target.values() for delivery in deliveries[:-most]}


def moment(text: str) -> datetime:
    """A time of the journal."""
    return datetime.fromisoformat(text).astimezone(UTC)
