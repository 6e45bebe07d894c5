"""The messages between a training and its dispatcher."""

from collections.abc import Mapping
from typing import Any, NamedTuple


class Add(NamedTuple):
    """Tasks to run in this order: pickled, by their numbers."""

    tasks: Mapping[int, bytes]


class Drop(NamedTuple):
    """Numbers of tasks whose results are not needed."""

    numbers: frozenset[int]


class Dropped(NamedTuple):
    """Answers a Drop: the seconds that the running ones had run."""

    seconds: Mapping[int, float]


class Close(NamedTuple):
    """The training needs no more results."""


class Workers(NamedTuple):
    """The workers that are used, as the number of their threads, and why others are not, by address."""

    threads: int
    workers: int
    unfit: Mapping[str, str]
    processors: frozenset[str]
    """Their kinds of processor."""


class Returned(NamedTuple):
    """The outcome of a task: fold, problem and seconds."""

    number: int
    outcome: tuple[Any, str, float]


class Refused(NamedTuple):
    """A task that has cost several workers, so that the training runs it itself."""

    number: int


class Beat(NamedTuple):
    """The scheduler has answered just now."""


class Lost(NamedTuple):
    """Dask can't be used any more, and why."""

    reason: str


ToDispatcher = Add | Drop | Close
FromDispatcher = Workers | Beat | Returned | Refused | Lost | Dropped
