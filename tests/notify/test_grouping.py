"""retraind.daemon.notify.grouping: which events are one notice, and when it falls due."""

from datetime import UTC, datetime, timedelta

import pytest

from retraind.daemon.core.journal.notices import EVENTS, KIND_OF, NoticeKind
from retraind.daemon.core.journal_rows import EventRow
from retraind.daemon.core.settings import Notify
from retraind.daemon.core.states import EventKind, Level
from retraind.daemon.notify.grouping import Group, Rules, joined
from retraind.daemon.notify.notice import TITLES, unrecorded

NOON = datetime(2026, 11, 30, 12, tzinfo=UTC)

ALL = dict.fromkeys(NoticeKind, 0)


def event(number: int, kind: EventKind, level: Level = Level.WARNING) -> EventRow:
    return {**unrecorded(kind, NOON.isoformat(), level, "x"), "id": number}


def group(kind: NoticeKind = NoticeKind.REJECTED) -> Group:
    return Group(kind, 1, 1, 1, NOON)


def test_events_join_the_group_of_their_kind() -> None:
    events = [event(1, EventKind.REJECTED), event(2, EventKind.FAILED), event(3, EventKind.QUARANTINED)]
    groups = joined({}, events, ALL)
    assert {kind: (one.count, one.first, one.last) for kind, one in groups.items()} == {
        NoticeKind.REJECTED: (2, 1, 3),
        NoticeKind.FAILED: (1, 2, 2),
    }
    more = joined(groups, [event(7, EventKind.REJECTED)], ALL)
    assert (more[NoticeKind.REJECTED].count, more[NoticeKind.REJECTED].last) == (3, 7)
    assert groups[NoticeKind.REJECTED].count == 2  # the old value stays, in case that the journal can't be written


def test_reported_events_and_decisions_of_people_join_none() -> None:
    events = [event(5, EventKind.REJECTED), event(6, EventKind.REJECTED, Level.INFO), event(7, EventKind.STARTED)]
    assert joined({}, events, {**ALL, NoticeKind.REJECTED: 5}) == {}


@pytest.mark.parametrize(
    ("seconds", "last", "due"),
    [(29, None, False), (30, None, True), (30, -200, False), (99, -200, False), (100, -200, True), (300, 0, True)],
)
def test_group_is_due_after_both_times(seconds: float, last: float | None, due: bool) -> None:
    """30 s after its first event, and 300 s after the last notice of its kind, which was `last` seconds after noon."""
    before = None if last is None else NOON + timedelta(seconds=last)
    assert Rules(Notify()).is_due(group(), before, NOON + timedelta(seconds=seconds)) is due


def test_quiet_time_delays_what_is_not_urgent() -> None:
    rules = Rules(Notify(quiet=["11:00-13:00"]))
    later = NOON + timedelta(minutes=5)
    assert not rules.is_due(group(), None, later)
    assert rules.is_due(group(NoticeKind.UNHEALTHY), None, later)
    assert rules.is_due(group(), None, NOON + timedelta(hours=1))


def test_every_kind_has_events_and_titles() -> None:
    assert set(EVENTS) == set(TITLES) == set(NoticeKind)
    assert len(KIND_OF) == sum(map(len, EVENTS.values()))  # no event is reported twice
