"""The facts of `retraind top --json`: a stable part of the page's data."""

from collections.abc import Sequence
from typing import TypedDict

from retraind.daemon.core.journal_rows import EventRow
from retraind.web.dashboard.tiles import State
from retraind.web.terminal.sources import Moment


class Opinion(TypedDict):
    """The state of one question of the page, or of the whole, with its sentences."""

    state: State
    headline: str
    sentence: str


class Requests(TypedDict):
    """Figures of the HTTP side since the home was made; times in milliseconds, None if nothing was counted."""

    workers: int | None
    requests: int | None
    failures: int
    p50_ms: float | None
    p99_ms: float | None


class Overview(TypedDict):
    """What `retraind top` shows."""

    at: str
    verdict: Opinion
    health: Opinion
    model: Opinion
    data: Opinion
    quality: Opinion
    drift: Opinion
    version: int | None
    requests: Requests
    work: str
    """A sentence on what the daemon does now."""
    held_drops: int
    held_version: int | None
    events: list[EventRow]
    """The newest, newest first."""


MOST_EVENTS = 20


def of(moment: Moment) -> Overview:
    """The facts of one moment."""
    page = moment.document
    tiles = {
        tile["id"]: Opinion(state=tile["state"], headline=tile["headline"], sentence=tile["sentence"])
        for tile in page["tiles"]
    }
    verdict, drift, service, champion = page["verdict"], page["drift"], page["service"], page["champion"]
    return {
        "at": page["at"],
        "verdict": {"state": verdict["state"], "headline": verdict["word"], "sentence": verdict["sentence"]},
        "health": tiles["healthy"],
        "model": tiles["serving"],
        "data": tiles["flowing"],
        "quality": tiles["good"],
        "drift": {"state": drift["look"], "headline": drift["word"], "sentence": drift["reason"]},
        "version": champion["version"] if champion else None,
        "requests": {
            "workers": service["workers"],
            "requests": service["request_count"],
            "failures": service["failures"],
            "p50_ms": service["p50_ms"],
            "p99_ms": service["p99_ms"],
        },
        "work": page["now"]["sentence"],
        "held_drops": page["held_total"],
        "held_version": page["held"],
        "events": _plain(page["events"][:MOST_EVENTS]),
    }


def _plain(events: Sequence[EventRow]) -> list[EventRow]:
    names = EventRow.__annotations__
    return [EventRow(**{name: event[name] for name in names}) for event in events]  # type: ignore[literal-required, typeddict-item]
