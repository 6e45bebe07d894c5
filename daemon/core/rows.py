"""Rows of the journal, one type for each table of `daemon.storage.journal_tables`, which says what the columns mean."""

from typing import TypedDict


class DropRow(TypedDict):
    """What became of a drop."""

    id: int
    sha256: str
    name: str
    source: str
    bytes: int
    state: str
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
    forgotten_in: int | None
    forgotten_at: str | None
    forgotten_by: str | None


class BatchRow(TypedDict):
    """A change of the dataset."""

    seq: int
    kind: str
    segment: str
    sha256: str
    md5: str
    rows: int
    total_rows: int
    state: str
    revision: str | None
    dvc_md5: str | None
    accepted_at: str
    committed_at: str | None


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


class LabelRow(TypedDict):
    """A late label."""

    prediction_id: str
    version: int
    prediction: str
    truth: str
    drop: str
    batch: int
    at: str


class ExamRow(TypedDict):
    """How a version answered a sample of a drop."""

    id: int
    drop: str
    name: str
    batch: int | None
    version: int
    n: int
    error: float
    usual: float
    mix: float
    shifts: str
    suspicious: int
    reason: str
    at: str


class HeldRow(TypedDict):
    """A suspicious drop that waits for a person."""

    sha256: str
    name: str
    bytes: int
    rows_read: int
    rows_known: int
    version: int
    reason: str
    state: str
    by: str | None
    seen_at: str | None
    held_at: str


class RunRow(TypedDict):
    """A training."""

    id: int
    reason: str
    revision: str
    dvc_md5: str
    rows: int
    batch: int | None
    state: str
    version: int | None
    detail: str | None
    started_at: str
    ended_at: str | None
    seconds: float | None


class VersionVerdict(TypedDict):
    """A version and what came of it."""

    version: int
    mlflow_run: str
    candidate: str
    backend: str
    dvc_md5: str
    rows: int
    trained_rows: int
    trigger: str
    state: str
    reason: str
    judged_at: str


class VersionFacts(VersionVerdict):
    """A version with its verdict, the sha256 of its bundle, and the git commit of its data."""

    bundle: str
    revision: str


class VersionRow(VersionFacts):
    """All that the journal says of a version."""

    scores: str
    """JSON, see `daemon.schema.scores.Scores`."""


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
    state: str
    detail: str
    at: str
    ended_at: str | None


class DriftRow(TypedDict):
    """A check for drift."""

    id: int
    at: str
    version: int
    n: int
    drifted: int
    state: str
    alarm: int
    reason: str
    detail: str | None


class DriftedShares(TypedDict):
    """The shares of missing cells of a feature, and whether their difference is drift."""

    reference: float
    now: float
    p: float
    drifted: bool


class DriftTest(TypedDict):
    """A test of two samples: `value` drifts at or beyond `threshold`; all None where there was nothing to compare."""

    test: str | None
    value: float | None
    threshold: float | None
    p: float | None
    size: float | None


class DriftedFeature(DriftTest):
    """A feature in a check for drift."""

    name: str
    kind: str
    missing: DriftedShares | None
    drifted: bool
    sentence: str
    importance: float
    important: bool


class ClassShares(TypedDict):
    """How common an answer is, in the training rows and now."""

    name: str
    reference: float
    now: float


class Quartiles(TypedDict):
    """Quartiles of the answers of a regression."""

    reference: list[float]
    now: list[float]


class DriftedAnswers(DriftTest):
    """The answers in a check for drift: the mix of classes, or quartiles of numbers."""

    drifted: bool
    classes: list[ClassShares]
    quartiles: Quartiles | None
    sentence: str


class LabelledError(TypedDict):
    """The error on `n` late labels `now`, and `before` it changed at label `at` (None: it has not)."""

    n: int
    now: float
    before: float | None
    at: int | None
    rose: bool


class DriftReport(TypedDict):
    """The JSON in `detail` of a check for drift: see `daemon.drift.report`."""

    version: int | None
    n: int
    reference: int
    window: int
    min_rows: int
    error: LabelledError | None
    features: list[DriftedFeature]
    """The most important first."""
    tested: int
    drifted: int
    prediction: DriftedAnswers | None
    state: str
    alarm: int
    reason: str


class DriftCheck(DriftReport):
    """A check for drift with its time; None: there was none yet, and `reason` says why."""

    at: str | None


class EventRow(TypedDict):
    """An event."""

    id: int
    at: str
    kind: str
    level: str
    message: str
    drop: str | None
    batch: int | None
    run: int | None
    version: int | None
