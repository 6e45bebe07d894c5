"""The clock: whether the time of day can be trusted when old data is to be removed.

A clock can be wrong for a moment: on a machine without a battery until it has asked the network, or because a person
set it. Then everything looks old, and removed data does not come back when the clock is right again.
"""

import time
from datetime import UTC, datetime
from typing import NamedTuple

from retraind.daemon.core import logs
from retraind.daemon.core.home import Home

log = logs.Logger()

MOST_JUMP = 300.0
"""Largest change (seconds) of the time of day between two readings. After a larger one, no age is known."""

STEADY_SECONDS = 3500.0
"""Seconds that the time of day must run undisturbed; a little less than an hour, after which some callers ask again."""


DAY = 86_400.0


class Reading(NamedTuple):
    """A reading of two clocks: the time of day (seconds since 1970), and a steady one that can't be set."""

    wall: float
    steady: float


def read() -> Reading:
    """Both clocks now; the steady one also runs while the machine sleeps."""
    return Reading(time.time(), time.clock_gettime(time.CLOCK_BOOTTIME))


def iso(seconds: float) -> str:
    """Seconds since 1970 as a text that sorts with the times in the log."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class Clock:
    """Compares the two clocks from reading to reading; ask it at least about once an hour."""

    def __init__(self) -> None:
        self._last: Reading | None = None
        self._since = 0.0

    def trusts(self, reading: Reading) -> bool:
        """Whether the time of day has run for an hour without being set; False in the first hour."""
        last, self._last = self._last, reading
        jump = 0.0 if last is None else (reading.wall - last.wall) - (reading.steady - last.steady)
        if abs(jump) > MOST_JUMP:
            log.warning("clock_was_set", seconds=round(jump), hint="Old data is removed an hour later.")
        if last is None or abs(jump) > MOST_JUMP:
            self._since = reading.steady
        return reading.steady - self._since >= STEADY_SECONDS


def made(home: Home, now: float) -> float:
    """When a home was made, less a day, by files that are written once; 0 if the clock was wrong then.

    Then the newest of these files, whose time is not before `now`, was written while the clock was wrong. Times are
    seconds since 1970.
    """
    marks = (home.token, home.data / ".dvc/config")
    newest = min((mark.stat().st_mtime for mark in marks if mark.exists()), default=0.0)
    # A day less, because copying a home gives its files new times, in any order.
    return max(0.0, newest - DAY) if newest < now else 0.0
