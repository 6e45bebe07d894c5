"""The protocol between daemon and trainer, in JSON lines: a job goes to the trainer, messages come back.

`retraind.daemon.processes.child.Trainer` is the daemon's end, for `retraind.daemon.retraining`; `retraind.daemon.training` is the other end. A
message's keys tell its type.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import NotRequired, TypedDict, final

from retraind.daemon.core.settings import Train
from retraind.daemon.gate.terms import Terms


@dataclass(frozen=True)
class Job:
    """A requested training; `segments` maps segment names to sha256, oldest first."""

    run: int
    """Its number in the journal."""
    reason: str
    revision: str
    dvc_md5: str
    segments: dict[str, str]
    first_rows: int
    """Number of rows in the first revision, at the beginning; the held-out ones among them are the reference holdout.
    """
    settings: Mapping[str, object]
    """The `[train]` settings."""
    champion: int | None
    champion_bundle: str | None
    past: list[int] = field(default_factory=list)
    """Promoted versions; the challenger is compared with their answers. Oldest first."""
    gate: Terms | None = None
    """The terms by which it will be judged (`baseline.gate_terms`); None: the reference stays."""
    early_rows: int = 0
    """Number of rows accepted next that belong to the reference as well, because the first revision is small."""
    rows: int = 0
    """Number of rows in the revision, by which the trainer decides whether memory has room for them; 0: few."""

    storage: Mapping[str, object] = field(default_factory=dict)
    """The `[storage]` settings for workers on other machines; empty without such workers or without a store."""
    md5s: dict[str, str] = field(default_factory=dict)
    """The md5 of each segment by name, which is its name in that store."""

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
    """The progress of the training `run`, as in `retraind.daemon.core.status.Training`."""

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
    """A message for the journal, if the step took long enough (`seconds`)."""

    run: int
    note: str
    seconds: float


@final
class Compared(TypedDict):
    """Where candidates are compared, and why that is not where the settings say; empty if it is."""

    run: int
    engine: str
    problem: str


@final
class Postponed(TypedDict):
    """The rows are not enough for a model yet, and why."""

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
    remark: NotRequired[str]
    """A sentence for the record of the run, empty without one."""


Message = Ready | Unready | Stage | Note | Compared | Postponed | Failed | Done

Say = Callable[[Message], None]
