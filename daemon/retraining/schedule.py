"""The schedule: when the next planned training is due.

The only module that uses APScheduler, and only its triggers. The loop checks about once a second whether a run is due,
so it needs no scheduler; importing one would read the metadata of every installed package. Whether a run is due follows
from the last one, so runs missed while the machine was off are made up by one run.
"""

import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from retraind.daemon.core.errors import BadSettings

if TYPE_CHECKING:
    from apscheduler.triggers.base import BaseTrigger

DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat", "sun")
UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


class Schedule:
    """Cron text or an interval, in UTC; empty text is never."""

    def __init__(self, text: str) -> None:
        self._every, self._cron = parse(text)

    def next_after(self, last: datetime | None, now: datetime) -> datetime | None:
        """The planned time that follows `last` (from now on if there was none); in the past if it was missed.

        It is now if `last` is in the future: the clock was set back, so missed runs can't be known.
        """
        if last is not None and last > now:
            return now if self._every or self._cron else None
        if self._every is not None:
            return (last or now) + self._every
        if self._cron is None:
            return None
        after = (last or now) + timedelta(microseconds=1)
        moment: datetime | None = self._cron.get_next_fire_time(None, after)
        return moment

    def due(self, last: datetime | None, now: datetime) -> bool:
        """Whether a planned time lies between `last` and `now`."""
        planned = self.next_after(last, now)
        return last is not None and planned is not None and planned <= now


def parse(text: str) -> "tuple[timedelta | None, BaseTrigger | None]":
    """(interval, None), (None, cron) or (None, None); raises BadSettings."""
    if not text.strip():
        return None, None
    interval = re.fullmatch(r"\s*([0-9]+)\s*([smhdw])\s*", text)
    try:
        if interval and int(interval[1]) > 0:
            every = timedelta(**{UNITS[interval[2]]: int(interval[1])})
            datetime.now(UTC) + every  # raises if that is beyond the calendar's end
            return every, None
        return None, _cron(text)
    except (ValueError, OverflowError) as error:
        hint = "Write five cron fields (`0 3 * * *`), an interval (`30m`, `6h`, `1d`), or nothing."
        raise BadSettings(f"retrain.schedule = {text!r}: {error}.", hint=hint) from None


def _cron(text: str) -> "BaseTrigger":
    from apscheduler.triggers.cron import CronTrigger  # imported here, because most homes have no cron fields

    *fields, weekdays = text.split()
    cron = CronTrigger.from_crontab(" ".join([*fields, ",".join(map(_weekday, weekdays.split(",")))]), timezone=UTC)
    if cron.get_next_fire_time(None, datetime.now(UTC)) is None:
        raise ValueError("there is no such day")
    return cron


def _weekday(part: str) -> str:
    """Days of the week by name: cron counts them from Sunday, which is 0 and 7, APScheduler from Monday."""
    match = re.fullmatch(r"(?:\*|([0-7])(?:-([0-7]))?)(?:/([1-9]))?", part)
    if match is None or part == "*":
        return part
    first = int(match[1] or 0)
    last = int(match[2] or (first if match[1] and not match[3] else 6))
    return ",".join(DAYS[first : last + 1 : int(match[3] or 1)]) or part
