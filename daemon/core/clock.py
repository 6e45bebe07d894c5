"""The clock: whether the time of day can be believed by whoever removes what is old.

A clock that is wrong for one moment (a machine without battery before it has asked the network, a hand that sets
it) makes everything old, and what was removed for it does not come back when it is right again.
"""

import time
from datetime import UTC, datetime
from typing import NamedTuple

from daemon.core import logs
from daemon.core.home import Home

log = logs.Logger()

MOST_JUMP = 300.0
"""Seconds by which the time of day may have been set between two readings: after more, how old anything is isn't known."""

STEADY_SECONDS = 3500.0
"""How long the time of day has to go on undisturbed; a bit less than the hour after which some look again."""


DAY = 86_400.0


class Reading(NamedTuple):
    """One look at both clocks: the time of day (seconds since 1970), and one that goes on at its pace and can't be set."""

    wall: float
    steady: float


def read() -> Reading:
    """Both clocks now; the steady one goes on while the machine sleeps, which sets no clock."""
    return Reading(time.time(), time.clock_gettime(time.CLOCK_BOOTTIME))


def iso(seconds: float) -> str:
    """Seconds since 1970 in a form that compares with the times of the log as texts."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class Clock:
    """Compares the two clocks from reading to reading; ask it at least about once an hour."""

    def __init__(self) -> None:
        self._last: Reading | None = None
        self._since = 0.0

    def trusts(self, reading: Reading) -> bool:
        """Whether the time of day has not been set for an hour: neither in the first one, nor after it was set."""
        last, self._last = self._last, reading
        jump = 0.0 if last is None else (reading.wall - last.wall) - (reading.steady - last.steady)
        if abs(jump) > MOST_JUMP:
            log.warning("clock_was_set", seconds=round(jump), hint="What is old is removed an hour later.")
        if last is None or abs(jump) > MOST_JUMP:
            self._since = reading.steady
        return reading.steady - self._since >= STEADY_SECONDS


def made(home: Home, now: float) -> float:
    """When a home was made, or a day before, by files that are written once; 0 if the clock was wrong then.

    What says that it is older was written by a clock that was wrong. Both in seconds since 1970.
    """
    marks = (home.token, home.data / ".dvc/config")
    newest = min((mark.stat().st_mtime for mark in marks if mark.exists()), default=0.0)
    # A day, because whoever copies a home gives all its files new times in any order.
    return max(0.0, newest - DAY) if newest < now else 0.0
