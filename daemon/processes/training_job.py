"""What daemon and trainer say to each other, one JSON line each: a job goes to the trainer, messages come back.

The one end is `daemon.processes.child.Trainer` for `daemon.retraining`, the other `daemon.training`. A message is known by its keys.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import NotRequired, TypedDict, final

from daemon.core.settings import Train
from daemon.gate.terms import Terms


@dataclass(frozen=True)
class Job:
    """A training that is asked for; `segments` maps segment names to sha256, oldest first."""

    run: int
    """Its number in the journal."""
    reason: str
    revision: str
    dvc_md5: str
    segments: dict[str, str]
    first_rows: int
    """So many rows at the beginning are the first revision: the held-out ones among them are the reference holdout."""
    settings: Mapping[str, object]
    """The `[train]` settings."""
    champion: int | None
    champion_bundle: str | None
    past: list[int] = field(default_factory=list)
    """Promoted versions whose answers the challenger is measured by, oldest first."""
    gate: Terms | None = None
    """By what it will be judged (`baseline.gate_terms`); None: the reference stays as it is."""

    @property
    def train(self) -> Train:
        """The `[train]` settings."""
        return Train.model_validate(self.settings)


@final
class Ready(TypedDict):
    """The trainer waits for a job."""

    ready: int
    """Its process id."""


@final
class Unready(TypedDict):
    """The trainer can't work yet, and why; it tries again."""

    unready: str


@final
class Stage(TypedDict):
    """How far the training `run` is, as in `daemon.core.status.Training`."""

    run: int
    stage: str
    step: int
    steps: int
    candidate: NotRequired[int]
    candidates: NotRequired[int]
    fold: NotRequired[int]
    folds: NotRequired[int]
    left: NotRequired[float | None]


@final
class Note(TypedDict):
    """What is worth a line in the journal, if it took long enough (`seconds`)."""

    run: int
    note: str
    seconds: float


@final
class Postponed(TypedDict):
    """The rows can't train a model yet, and why."""

    run: int
    postponed: str


@final
class Failed(TypedDict):
    """The training ended without a version, and why."""

    run: int
    failed: str


@final
class Done(TypedDict):
    """The training has registered this version."""

    run: int
    done: int
    seconds: float


Message = Ready | Unready | Stage | Note | Postponed | Failed | Done

Say = Callable[[Message], None]
