"""A sentence under each chart, from the figures of the whole time and of its two halves."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime

from retraind.daemon.core.trends import series
from retraind.daemon.core.trends.figures import Figures, Sum
from retraind.daemon.core.trends.series import Series, by_name, values
from retraind.daemon.schema.score_names import counted
from retraind.web.pages.trend_charts import Table, number
from retraind.web.trends.answer import Loaded, whole
from retraind.web.trends.asked import Asked

STEADY = 0.15
"""Change (as a share) of a latency that is not worth a word."""

LONGEST_NAME = 40

Clock = Callable[[float], str]
"""A time in seconds since 1970, for people."""


def clock(asked: Asked) -> Clock:
    """Times as short as the range allows: of a day, with the day, or the day alone; in UTC."""
    length = asked.end - asked.begin
    form = "%H:%M" if length <= 25_200 else "%-d %b" if asked.seconds >= 86_400 else "%-d %b %H:%M"
    return lambda at: datetime.fromtimestamp(at, UTC).strftime(form)


class Sentences:
    """The sentences of one page."""

    def __init__(self, loaded: Loaded, table: Table, clock: Clock, recorded: Mapping[str, str]) -> None:
        """`recorded` has the sentences that need the journal: see `retraind.web.pages.trend_records`."""
        self._loaded, self._table, self._clock, self._recorded = loaded, table, clock, recorded
        half = len(loaded.points) // 2
        self._halves = whole(loaded.points[:half]), whole(loaded.points[half:])
        self._whole = whole(self._halves)

    def of(self, chart: str) -> str:
        """The sentence of a chart by its key; empty without figures."""
        sentences: dict[str, Callable[[], str]] = {
            "requests": self._requests,
            "errors": self._errors,
            "latency": self._latency,
            "predictions": self._predictions,
            "values": self._values,
            "confidence": self._confidence,
            "live": lambda: self._course("live.score"),
            "held_out": lambda: self._recorded.get("held_out", ""),
            "exam": lambda: self._recorded.get("exam", ""),
            "drift": self._drift,
            "rows": self._rows,
            "backlog": self._backlog,
            "memory": self._memory,
        }
        return sentences[chart]()

    def gaps(self) -> list[str]:
        """Sentences on times without figures, or without a worker."""
        points, seconds = self._loaded.points, self._loaded.asked.seconds
        first = next((index for index, point in enumerate(points) if point is not None), None)
        if first is None:
            return ["There are no figures of this time."]
        sentences = [] if first == 0 else [f"There are no figures before {self._clock(self._loaded.times[first])}."]
        rest = points[first + 1 : -1]  # the first and the present step may be part of one
        missing = [max(0.0, seconds - (series.watched(point) if point else 0.0)) for point in rest]
        if (away := sum(missing)) >= max(60.0, 0.02 * seconds * len(rest)):
            begin, end = longest(missing, 0.05 * seconds)
            times = [self._clock(self._loaded.times[first + 1] + index * seconds) for index in (begin, end)]
            when = f", at the longest between {times[0]} and {times[1]}"
            sentences.append(f"The daemon did not run for {duration(away)}{when}; the lines have gaps there.")
        idle = series.watched(self._whole) - self._whole["sums"].get(Sum.SERVED, 0) / 1000
        if idle >= 30:
            sentences.append(f"For {duration(idle)} no HTTP worker ran.")
        return sentences

    def _values_of(self, group: Series, figures: Figures | None = None) -> dict[str, float | None]:
        return values(figures or self._whole, group)

    def _top(self, name: str) -> tuple[float, str] | None:
        """The largest number of a series, and when it was."""
        column = self._table.get(name, ())
        pairs = [(value, at) for value, at in zip(column, self._loaded.times, strict=False) if value is not None]
        return _with_clock(max(pairs, key=lambda pair: pair[0]), self._clock) if pairs else None

    def _last(self, name: str) -> tuple[float, str] | None:
        """The last number of a series that is not zero, and when it was."""
        column = self._table.get(name, ())
        pairs = [(value, at) for value, at in zip(column, self._loaded.times, strict=False) if value]
        return _with_clock(pairs[-1], self._clock) if pairs else None

    def _requests(self) -> str:
        every = self._values_of(Series.REQUESTS)
        count, top = every["count"], self._top("requests.per_minute")
        if not count or top is None:
            return "No prediction was asked for in the time that was watched."
        mean = every["per_minute"]
        average = f", {number(mean)} per minute on average" if mean is not None else ""
        return f"{counted(int(count), 'prediction request')}{average}, most at {top[1]} ({number(top[0])} per minute)."

    def _errors(self) -> str:
        every = self._values_of(Series.REQUESTS)
        count, errors, other, lost = (int(every[name] or 0) for name in ("count", "errors", "other_errors", "lost"))
        sentences = [f"None of {counted(count, 'prediction request')} failed."]
        if errors:
            codes = sorted(series.failed(self._whole).items(), key=lambda pair: -pair[1])
            by_code = ", ".join(f"{code}: {n:,}" for code, n in codes)
            last = self._last("requests.errors")
            when = f", the last at {last[1]}" if last else ""
            sentences = [f"{counted(errors, 'prediction request')} of {count:,} failed ({by_code}){when}."]
        if early := int(every["before_first_model"] or 0):
            sentences.append(f"{counted(early, 'request')} came before the first model.")
        if other:
            sentences.append(f"{counted(other, 'other request')} failed.")
        if lost:
            sentences.append(f"{counted(lost, 'answer')} could not be logged.")
        return " ".join(sentences)

    def _latency(self) -> str:
        before, after = (self._values_of(Series.LATENCY, half)["p99_ms"] for half in self._halves)
        every = self._values_of(Series.LATENCY)
        middle = f"the median is {number(every['p50_ms'])} ms."
        if before is None or after is None:
            return f"p99 is {number(every['p99_ms'])} ms, {middle}"
        return f"p99 {moved(before, after, 'ms')} between the halves of this time; {middle}"

    def _predictions(self) -> str:
        classes = by_name(self._whole, Sum.CLASS)
        count = sum(classes.values())
        if not count:
            return f"{counted(self._whole['sums'].get(Sum.VALUES, 0), 'prediction')} of a number."
        top = sorted(classes.items(), key=lambda pair: -pair[1])
        shares = ", ".join(f"{short(name)} {percent(n / count)}" for name, n in top[:3])
        more = f" and {len(top) - 3} more" if len(top) > 3 else ""
        return f"{counted(count, 'logged prediction')}: {shares}{more}."

    def _values(self) -> str:
        before, after = (self._values_of(Series.VALUES, half)["p50"] for half in self._halves)
        every = self._values_of(Series.VALUES)
        middle = f"The median is {number(every['p50'])}"
        if before is not None and after is not None:
            middle = f"The median went from {number(before)} to {number(after)} between the halves of this time"
        return f"{middle}; eight in ten lie between {number(every['p10'])} and {number(every['p90'])}."

    def _confidence(self) -> str:
        every = self._values_of(Series.CONFIDENCE)
        return f"The mean is {number(every['mean'])}; one answer in ten is below {number(every['p10'])}."

    def _course(self, name: str) -> str:
        """The last value of a score, and its extremes."""
        column = [value for value in self._table.get(name, ()) if value is not None]
        if not column:
            return ""
        return f"The last is {number(column[-1])}; it lay between {number(min(column))} and {number(max(column))}."

    def _drift(self) -> str:
        tops = {name: top for name in self._table if name.startswith("drift.feature.") and (top := self._top(name))}
        if not tops:
            return ""
        name = max(tops, key=lambda name: tops[name][0])
        value, when = tops[name]
        return f"{short(name.removeprefix('drift.feature.'))} has moved furthest: {number(value)} at {when}."

    def _rows(self) -> str:
        every = self._values_of(Series.ROWS)
        accepted, refused, taken, turned = (
            int(every[name] or 0) for name in ("accepted", "refused", "drops_accepted", "drops_rejected")
        )
        if not taken and not turned:
            return "No drop came."
        drops = f"{counted(taken, 'drop')} accepted, {turned:,} rejected"
        return f"{counted(accepted, 'row')} accepted, {refused:,} refused; {drops}."

    def _backlog(self) -> str:
        top = self._top("backlog.files")
        if top and top[0]:
            return f"At most {counted(int(top[0]), 'file')} waited, at {top[1]}."
        return "No file waited while the daemon ran."

    def _memory(self) -> str:
        columns = [self._table.get(f"memory.{role}", ()) for role in ("daemon", "workers", "trainer")]
        sums = [sum(value for value in row if value is not None) for row in zip(*columns, strict=False)]
        known = [total for total in sums if total]
        if not known:
            return ""
        return f"Together {number(known[-1] / 1e6)} MB at the end, at most {number(max(known) / 1e6)} MB."


def longest(missing: Sequence[float], least: float) -> tuple[int, int]:
    """The begin and end (exclusive) of the run of steps that miss most, each at least `least` seconds."""
    runs: list[tuple[float, int, int]] = [(0.0, 0, 0)]
    for index, seconds in enumerate(missing):
        if seconds < least:
            continue
        total, begin, end = runs[-1]
        runs.append((total + seconds, begin, index + 1) if end == index and total else (seconds, index, index + 1))
    _, begin, end = max(runs)
    return begin, end


def percent(share: float) -> str:
    """A share as a percentage that is 0 or 100 only if nothing or all is meant."""
    if 0 < share < 0.005:
        return "under 1 %"
    return "over 99 %" if 0.995 <= share < 1 else f"{round(share * 100)} %"


def short(name: str) -> str:
    """The name of a class, feature or drop, short enough for a sentence."""
    return name if len(name) <= LONGEST_NAME else f"{name[:LONGEST_NAME]}…"


def _with_clock(pair: tuple[float, float], clock: Clock) -> tuple[float, str]:
    return pair[0], clock(pair[1])


def moved(before: float, after: float, unit: str) -> str:
    """How a figure has changed: `rose from 4 to 9 ms`, or `stayed at 4 ms`."""
    if abs(after - before) <= STEADY * max(abs(before), 1e-9):
        return f"stayed at {number(after)} {unit}"
    return f"{'rose' if after > before else 'fell'} from {number(before)} to {number(after)} {unit}"


def duration(seconds: float) -> str:
    """A length of time for people: `2 h 10 min`."""
    minutes = round(seconds / 60)
    days, hours, minutes = minutes // 1440, minutes // 60 % 24, minutes % 60
    parts: Sequence[str] = [
        text for amount, text in ((days, f"{days} d"), (hours, f"{hours} h"), (minutes, f"{minutes} min")) if amount
    ]
    return " ".join(parts[:2]) or "under a minute"
