"""Watches: turn what lasts into events. A check that keeps failing, and an inbox that stays empty."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from retraind.daemon.core.settings import Notify
from retraind.daemon.core.states import EventKind, Level
from retraind.daemon.core.status import Check
from retraind.daemon.notify.grouping import moment
from retraind.daemon.storage.journal import Journal

LOOK_SECONDS = 60.0
"""Interval of checks for silence."""

START_SECONDS = 600.0
"""Time after the start in which drops that waited meanwhile are taken."""


class Finding(NamedTuple):
    """An event to record."""

    kind: EventKind
    level: Level
    message: str


class HealthWatch:
    """Reports once that a check has failed for some time, and once that it has passed again for as long.

    Used by the loop thread.
    """

    def __init__(self, settings: Notify, reported: Mapping[str, str]) -> None:
        self._seconds = settings.unhealthy_seconds
        self._changed: dict[str, float] = {}
        """By the name of a check that is in another state than reported, since when (monotonic seconds)."""
        self.reported = dict(reported)
        """By the name of a check that is reported as failing, since when (UTC)."""

    def look(self, checks: Mapping[str, Check], now: float) -> list[Finding]:
        """The events to record; `now` is monotonic seconds."""
        failing = {name: check for name, check in checks.items() if not check.ok}
        changed = failing.keys() ^ self.reported.keys()
        self._changed = {name: self._changed.get(name, now) for name in sorted(changed)}
        lasting = [name for name, since in self._changed.items() if now - since >= self._seconds]
        return [self._fails(name, failing[name], now) if name in failing else self._passes(name) for name in lasting]

    def _fails(self, name: str, check: Check, now: float) -> Finding:
        since = datetime.now(UTC) - timedelta(seconds=now - self._changed[name])
        self.reported[name] = since.isoformat()
        return Finding(EventKind.UNHEALTHY, Level.ERROR, f"The check {name} fails: {check.detail}")

    def _passes(self, name: str) -> Finding:
        lasted = datetime.now(UTC) - moment(self.reported.pop(name))
        return Finding(EventKind.RECOVERED, Level.INFO, f"The check {name} passes again, after {_duration(lasted)}.")


class SilenceWatch:
    """Reports once that no drop has come for a long time; used by the loop thread."""

    def __init__(self, settings: Notify, journal: Journal) -> None:
        self._limit, self._journal = timedelta(hours=settings.silent_hours), journal
        self._started_at = datetime.now(UTC)
        self._look_at = 0.0

    def look(self, now: float) -> list[Finding]:
        """The events to record; `now` is monotonic seconds."""
        if not self._limit or now < self._look_at:
            return []
        self._look_at = now + min(LOOK_SECONDS, self._limit.total_seconds())
        moment_, start = datetime.now(UTC), min(timedelta(seconds=START_SECONDS), self._limit)
        text = self._journal.drops.last_decided_at()
        last = self._started_at if text is None else moment(text)
        # A home without any drop is reported once, not after each start.
        since_last = datetime.min.replace(tzinfo=UTC) if text is None else last
        if moment_ - last < self._limit or moment_ - self._started_at < start or self._is_reported(since_last):
            return []
        hours = f"{self._limit.total_seconds() / 3600:g} h"
        since = "since the start" if text is None else f"since {text}"
        return [Finding(EventKind.SILENT, Level.WARNING, f"No drop has come {since}: longer than {hours}.")]

    def _is_reported(self, last: datetime) -> bool:
        event = self._journal.events.newest(EventKind.SILENT)
        return event is not None and moment(event["at"]) >= last


def _duration(time: timedelta) -> str:
    minutes = round(time.total_seconds() / 60)
    if minutes < 1:
        return f"{time.total_seconds():.0f} s"
    return f"{minutes} min" if minutes < 120 else f"{minutes / 60:.0f} h"
