"""Quiet times: pure decisions on whether a moment lies in one."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta, tzinfo
from typing import NamedTuple

DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


class Window(NamedTuple):
    """A quiet time that begins on some days of the week (0: Monday); `end` before `start` is on the next day."""

    days: frozenset[int]
    start: int
    """Minutes since midnight."""
    end: int

    def covers(self, local: datetime) -> bool:
        """Whether a local time is in it."""
        minute, today = local.hour * 60 + local.minute, local.weekday()
        if self.start < self.end:
            return today in self.days and self.start <= minute < self.end
        yesterday = (local - timedelta(days=1)).weekday()
        return (today in self.days and minute >= self.start) or (yesterday in self.days and minute < self.end)


class QuietTimes:
    """The quiet times of the settings, which have checked them."""

    def __init__(self, texts: Sequence[str], timezone: str) -> None:
        self._windows = [_window(text) for text in texts]
        self._zone = _zone(timezone)

    def cover(self, moment: datetime) -> bool:
        """Whether a moment is in a quiet time."""
        local = moment.astimezone(self._zone)
        return any(window.covers(local) for window in self._windows)


def _window(text: str) -> Window:
    days, _, hours = text.rpartition(" ")
    start, _, end = hours.partition("-")
    names = days.split(",") if days else DAYS
    return Window(frozenset(DAYS.index(name) for name in names), _minutes(start), _minutes(end))


def _minutes(text: str) -> int:
    hour, _, minute = text.partition(":")
    return int(hour) * 60 + int(minute)


def _zone(name: str) -> tzinfo:
    if name == "UTC":
        return UTC
    from zoneinfo import ZoneInfo  # here, because few homes need it

    return ZoneInfo(name)
