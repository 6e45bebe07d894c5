"""What a query string asks of the figures over time."""

import time
from datetime import UTC, datetime
from typing import NamedTuple, NoReturn

from retraind.daemon.core.trends.series import Series
from retraind.daemon.core.trends.spans import RANGES, STEPS, begin
from retraind.web.http.problems import Problem
from retraind.web.lists import parameters
from retraind.web.lists.listing import FORMAT
from retraind.web.lists.parameters import WRONG, Kind, Parameter, Query, Values

MOST_POINTS = 3000
"""Maximum number of points of an answer: more than all minutes that are kept."""

USUAL_POINTS = 300
"""Without a step, the shortest with at most so many points is taken."""

USUAL_RANGE = "24h"

RANGE = Parameter("range", "The newest time of this length, in the step of the page. Default: 24h.", choices=(*RANGES,))
SINCE = Parameter("from", "Begin of the time (UTC), instead of a range.", Kind.TIME)
UNTIL = Parameter("to", "End of the time (UTC); a day includes all of it. Default: now.", Kind.TIME)
STEP = Parameter("step", "Length of a step; default: about 300 steps.", choices=(*STEPS,))
SERIES = Parameter("series", f"Groups of series, with commas between them: {', '.join(Series)}. Default: all.")

FILTERS = (RANGE, SINCE, UNTIL, STEP, SERIES, FORMAT)
"""Every parameter of `GET /trends`."""


class Asked(NamedTuple):
    """A time from `begin` to before `end` (seconds since 1970) in steps of `step`."""

    begin: int
    end: int
    step: str
    groups: tuple[Series, ...]

    @property
    def seconds(self) -> int:
        """The length of a step."""
        return STEPS[self.step]


def parse(query: Query, now: float | None = None) -> tuple[Asked, Values]:
    """What is asked for, and the checked query; `now` in seconds since 1970. Raises Problem 400."""
    values, present = parameters.read(query, FILTERS), now or time.time()
    named = values.text("range")
    since, until = values.time("from"), values.time("to", end=True)
    end = _seconds(until) if until else present
    start = _seconds(since) if since else end - RANGES[named or USUAL_RANGE][0]
    if not 0 <= start < end:
        _refuse("from", "'from' must be earlier than 'to', and not before 1970.")
    step = values.text("step") or _usual_step(named, end - start, free=bool(since or until))
    if (end - start) / STEPS[step] > MOST_POINTS:
        _refuse("step", f"An answer has at most {MOST_POINTS} points: ask for a longer step or a shorter time.")
    return Asked(begin(start, STEPS[step]), begin(end - 1, STEPS[step]) + STEPS[step], step, _groups(values)), values


def iso(seconds: float) -> str:
    """A time in UTC, ISO 8601."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _usual_step(named: str, length: float, *, free: bool) -> str:
    if not free:
        return RANGES[named or USUAL_RANGE][1]
    return next((step for step, seconds in STEPS.items() if length / seconds <= USUAL_POINTS), "1d")


def _groups(values: Values) -> tuple[Series, ...]:
    names = [name.strip() for name in values.text("series").split(",") if name.strip()]
    unknown = next((name for name in names if name not in list(Series)), None)
    if unknown is not None:
        _refuse("series", f"'series' must be some of {', '.join(Series)}, not {unknown!r:.60}.")
    return tuple(Series(name) for name in dict.fromkeys(names)) or tuple(Series)


def _seconds(moment: str) -> float:
    return datetime.fromisoformat(moment).timestamp()


def _refuse(field: str, detail: str) -> NoReturn:
    raise Problem(WRONG, detail, errors=[{"field": field, "detail": detail}])
