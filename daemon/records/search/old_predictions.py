"""Old predictions, as programs that show them ask for them: a process of its own reads the files."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, TypedDict

from retraind.daemon.records.predictions import LoggedPrediction
from retraind.daemon.records.query import LAST


@dataclass(frozen=True)
class PredictionFilter:
    """What to list; None or an empty text: any."""

    key: str = ""
    """The prediction's id, or its beginning."""
    version: int | None = None
    answer: str = ""
    """The class."""
    caller: str | None = None
    confidence: tuple[float | None, float | None] = (None, None)
    """From and to, 0 to 1."""
    value: tuple[float | None, float | None] = (None, None)
    """From and to, of a regression."""
    since: str | None = None
    until: str | None = None
    """UTC, ISO 8601."""
    labelled: bool | None = None
    """Only predictions with, or without, a late label."""


class Stretch(NamedTuple):
    """The numbers between two others, and the number of rows of a page."""

    limit: int
    before: int = LAST
    after: int = 0
    upwards: bool = False
    """Whether the smallest numbers come first."""

    def meets(self, low: int, high: int) -> bool:
        """Whether numbers from `low` to `high` are among them."""
        return low < self.before and high > self.after


class OldPage(NamedTuple):
    """Old predictions in the order of their numbers."""

    rows: list[LoggedPrediction]
    rest: int | None
    """The next page has the numbers beyond this one; None if there is none."""
    complete: bool
    """Whether the search was not ended by its time limit."""


class OldPredictions(Protocol):
    """The part of the history that is in files."""

    def page(self, chosen: PredictionFilter, stretch: Stretch) -> OldPage:
        """A page of those that fit; raises Unavailable."""

    def find(self, key: str) -> LoggedPrediction | None:
        """The prediction with this id, or None; raises Unavailable."""


class Order(TypedDict):
    """What a reader is asked for: one prediction, or a page."""

    find: str | None
    chosen: dict[str, Any]
    """The fields of a PredictionFilter."""
    stretch: Sequence[Any]
    """Those of a Stretch."""


class Answer(TypedDict):
    """What a reader says."""

    problem: str | None
    found: LoggedPrediction | None
    page: Sequence[Any] | None
    """The fields of an OldPage."""
