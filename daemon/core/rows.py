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


class VersionRow(TypedDict):
    """A version with its verdict."""

    version: int
    mlflow_run: str
    bundle: str
    candidate: str
    backend: str
    revision: str
    dvc_md5: str
    rows: int
    trained_rows: int
    trigger: str
    scores: str
    state: str
    reason: str
    judged_at: str


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
