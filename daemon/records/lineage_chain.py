"""The chain of a version as `daemon.records.lineage` reads it: one type for each of its links."""

from typing import NotRequired, TypedDict

from daemon.core.journal_rows import VersionVerdict
from daemon.core.states import BatchKind, DropState, RunState, VersionState
from daemon.schema.scores import Agreement, AgreementCounts, Score, Scores


class TrainingDrop(TypedDict):
    """A drop whose rows a revision holds or held; `rows` are those that were accepted."""

    id: int
    sha256: str
    name: str
    source: str
    state: DropState
    rows: int
    batch: int
    decided_at: str
    forgotten_in: int | None
    forgotten_at: str | None


class DropTotals(TypedDict):
    """How many drops a revision holds, their rows, and how many of them were forgotten since."""

    count: int
    rows: int
    forgotten: int


class TrainingDrops(DropTotals):
    """The same with the newest drops."""

    newest: list[TrainingDrop]


class TrainingBatch(TypedDict):
    """A batch that brought rows of a revision, or took some away."""

    seq: int
    kind: BatchKind
    rows: int
    sha256: str
    revision: str | None
    accepted_at: str


class TrainingBatches(TypedDict):
    """The batches of a revision, and the newest."""

    count: int
    newest: list[TrainingBatch]


class TrainedVersion(TypedDict):
    """A version that was trained on a drop."""

    version: int
    candidate: str
    state: VersionState


class TrainedVersions(TypedDict):
    """The versions that were trained on a drop: how many, and the newest."""

    count: int
    newest: list[TrainedVersion]


class RevisionFacts(TypedDict):
    """A revision, and the last batch that it holds (0: the journal does not know it)."""

    commit: str
    dvc_md5: str
    rows: int
    committed_at: str | None
    batch: int


class TrainingFacts(TypedDict):
    """A training; of one whose end was not recorded only what the version itself says."""

    id: int | None
    reason: str
    mlflow_run: str
    state: NotRequired[RunState]
    started_at: NotRequired[str]
    ended_at: NotRequired[str | None]
    seconds: NotRequired[float | None]


ServicePeriod = TypedDict("ServicePeriod", {"from": str, "to": str | None, "reason": str})
"""When a version was served, and why; `to` None: it still is."""


class PredictionSpan(TypedDict):
    """The predictions of a version that the history has, and when the first and the last of them were made."""

    count: int
    first_at: str | None
    last_at: str | None


class StoredAgreement(AgreementCounts):
    """The same as the history has it, with the sum of the differences."""

    difference: float


class Disagreement(TypedDict):
    """A row that champion and shadow answered differently."""

    prediction_id: str
    told: str
    shadow: str


class ShadowTrial(Agreement):
    """The same with the newest rows on which they disagreed."""

    newest: list[Disagreement]


class Links(VersionVerdict):
    """A version from the drops that it was trained on to the predictions that it made, without its bundle."""

    scores: Scores
    live: Score | None
    drops: TrainingDrops
    batches: TrainingBatches
    revision: RevisionFacts
    run: TrainingFacts
    served: list[ServicePeriod]
    predictions: PredictionSpan
    shadow: list[ShadowTrial]


class Chain(Links):
    """The same with the sha256 of its bundle, by which `daemon.artifacts.manifest.summary` describes the files."""

    bundle: str
