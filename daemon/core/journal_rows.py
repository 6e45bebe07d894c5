"""Rows of the journal, one type for each table of `retraind.daemon.storage.journal_tables`, which says what the columns mean."""

from typing import NotRequired, TypedDict

from retraind.daemon.core.journal.notices import NoticeKind
from retraind.daemon.core.states import (
    BatchKind,
    BatchState,
    DriftState,
    DropState,
    Hold,
    Level,
    RequestState,
    RunState,
    VersionState,
)


class DropRecord(TypedDict):
    """A drop with its outcome; counts are None if none of its rows was read."""

    sha256: str
    name: str
    source: str
    bytes: int
    settled_at: str
    seen_at: NotRequired[str | None]
    rows_read: NotRequired[int]
    rows_accepted: NotRequired[int]
    rows_refused: NotRequired[int]
    rows_duplicate: NotRequired[int]
    rows_known: NotRequired[int]
    rows_relabelled: NotRequired[int]
    reason: NotRequired[str | None]
    line: NotRequired[int | None]
    column: NotRequired[str | None]
    bad_file: NotRequired[str | None]
    decided_by: NotRequired[str | None]
    origin: NotRequired[str | None]


class DropRow(TypedDict):
    """A drop with its outcome, as stored."""

    id: int
    sha256: str
    name: str
    source: str
    bytes: int
    state: DropState
    rows_read: int
    rows_accepted: int
    rows_refused: int
    rows_duplicate: int
    rows_known: int
    rows_relabelled: int
    reason: str | None
    line: int | None
    column: str | None
    bad_file: str | None
    batch: int | None
    seen_at: str | None
    settled_at: str
    decided_at: str
    decided_by: str | None
    origin: str | None
    forgotten_in: int | None
    forgotten_at: str | None
    forgotten_by: str | None


class BatchRow(TypedDict):
    """A change of the dataset."""

    seq: int
    kind: BatchKind
    segment: str
    sha256: str
    md5: str
    rows: int
    total_rows: int
    state: BatchState
    revision: str | None
    dvc_md5: str | None
    accepted_at: str
    committed_at: str | None


class SegmentRecord(TypedDict):
    """The segment that a batch wrote, with the column names of the table `batches`."""

    segment: str
    sha256: str
    md5: str
    rows: int
    bytes: int
    tier: NotRequired[int]
    """0 unless it is larger."""


class RemainderRecord(SegmentRecord):
    """A segment rewritten without forgotten rows, and the batches whose rows it holds."""

    first: int
    last: int


class SegmentRow(TypedDict):
    """A file of the dataset, past or present."""

    name: str
    sha256: str
    md5: str
    rows: int
    bytes: int
    tier: int
    first: int
    last: int
    born: int
    died: int | None


class JoinedLabel(TypedDict):
    """A late label with its prediction."""

    prediction_id: str
    version: int
    prediction: str
    truth: str


class LabelRecord(JoinedLabel):
    """A late label, and the sha256 of the drop that brought it."""

    drop: str


class ExamRecord(TypedDict):
    """How well a version predicted a sample of a drop."""

    drop: str
    name: str
    version: int
    n: int
    error: float
    usual: float
    mix: float
    shifts: str
    """JSON: features whose values have shifted, and how far."""
    suspicious: int
    reason: str


class ExamRow(ExamRecord):
    """The exam of a drop of a batch."""

    id: int
    batch: int | None
    at: str


class HeldRecord(TypedDict):
    """A suspicious drop, the version that examined it, and what is suspicious."""

    sha256: str
    name: str
    bytes: int
    rows_read: int
    rows_known: int
    version: int
    reason: str
    seen_at: str | None


class HeldRow(HeldRecord):
    """A suspicious drop that waits for a person."""

    state: Hold
    by: str | None
    held_at: str


class RunRow(TypedDict):
    """A training."""

    id: int
    reason: str
    revision: str
    dvc_md5: str
    rows: int
    batch: int | None
    state: RunState
    version: int | None
    detail: str | None
    started_at: str
    ended_at: str | None
    seconds: float | None


class VersionTraining(TypedDict):
    """A version and how it was trained."""

    version: int
    mlflow_run: str
    candidate: str
    backend: str
    dvc_md5: str
    rows: int
    trained_rows: int
    trigger: str


class VersionRecord(VersionTraining):
    """A version before it is judged; `scores` are JSON, see `retraind.daemon.schema.scores.Scores`."""

    bundle: str
    revision: str
    scores: str


class VersionVerdict(VersionTraining):
    """A version and its verdict."""

    state: VersionState
    reason: str
    judged_at: str


class VersionFacts(VersionVerdict):
    """A version with its verdict, the sha256 of its bundle, and the git commit of its data."""

    bundle: str
    revision: str


class VersionRow(VersionFacts):
    """The journal's full row on a version."""

    scores: str
    """JSON, see `retraind.daemon.schema.scores.Scores`."""


class SwapRow(TypedDict):
    """A change of the served version."""

    id: int
    version: int
    previous: int | None
    reason: str
    at: str


class RequestRow(TypedDict):
    """A request to the loop and its answer."""

    id: str
    kind: str
    state: RequestState
    detail: str
    at: str
    ended_at: str | None


class DriftRecord(TypedDict):
    """A check for drift; `detail` is JSON, see `retraind.daemon.core.drift_report.DriftReport`."""

    version: int
    n: int
    drifted: int
    state: DriftState
    alarm: int
    reason: str
    detail: str | None


class DriftRow(DriftRecord):
    """A check for drift at a time."""

    id: int
    at: str


class NoticeRow(TypedDict):
    """A notice that has fallen due, without its texts: they are those of its events."""

    id: int
    token: str
    kind: NoticeKind
    count: int
    first: int
    last: int
    at: str


class DeliveryRow(NoticeRow):
    """A delivery of a notice that is still due: `delivery` is its number."""

    delivery: int
    target: str
    detail: str | None


class EventRow(TypedDict):
    """An event."""

    id: int
    at: str
    kind: str
    """One of `retraind.daemon.core.states.EventKind`, or one of a later release."""
    level: Level
    message: str
    drop: str | None
    batch: int | None
    run: int | None
    version: int | None
