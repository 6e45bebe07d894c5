"""The types of a version's lineage, as `retraind.daemon.records.lineage` reads it: one for each link."""

from typing import NotRequired, TypedDict

from retraind.daemon.core.journal_rows import VersionVerdict
from retraind.daemon.core.states import BatchKind, DropState, RunState, VersionState
from retraind.daemon.schema.scores import Agreement, AgreementCounts, Score, Scores


class TrainingDrop(TypedDict):
    """A drop with rows that a revision holds or held; `rows` counts the accepted ones."""

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
    origin: str | None
    """URL and version of the object that it was, if it came from a bucket."""


class DropTotals(TypedDict):
    """The number of drops in a revision, of their rows, and of drops forgotten since."""

    count: int
    rows: int
    forgotten: int


class TrainingDrops(DropTotals):
    """Totals, and the newest drops."""

    newest: list[TrainingDrop]


class DropsBetween(TypedDict):
    """Drops that one version was trained on and another was not: their number, their rows, and the newest."""

    count: int
    rows: int
    newest: list[TrainingDrop]


class TrainingBatch(TypedDict):
    """A batch that added rows to a revision, or removed some."""

    seq: int
    kind: BatchKind
    rows: int
    sha256: str
    revision: str | None
    accepted_at: str


class TrainingBatches(TypedDict):
    """The number of batches of a revision, and the newest ones."""

    count: int
    newest: list[TrainingBatch]


class TrainedVersion(TypedDict):
    """A version that was trained on a drop."""

    version: int
    candidate: str
    state: VersionState


class TrainedVersions(TypedDict):
    """The versions trained on a drop: their number, and the newest."""

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
    """A training; if its end was not recorded, only the facts from the version itself."""

    id: int | None
    reason: str
    mlflow_run: str
    state: NotRequired[RunState]
    started_at: NotRequired[str]
    ended_at: NotRequired[str | None]
    seconds: NotRequired[float | None]


ServicePeriod = TypedDict(
    "ServicePeriod", {"from": str, "to": str | None, "reason": str, "next": int | None, "ended": str | None}
)
"""When a version was served, and why, and which version replaced it why; `to`, `next` and `ended` None: it still is."""


class PredictionSpan(TypedDict):
    """The number of a version's predictions in the history, and the times of the first and last one."""

    count: int
    first_at: str | None
    last_at: str | None


class StoredAgreement(AgreementCounts):
    """An agreement as stored in the history, with the sum of the differences."""

    difference: float


class Disagreement(TypedDict):
    """A row that champion and shadow answered differently."""

    prediction_id: str
    told: str
    shadow: str


class ShadowTrial(Agreement):
    """An agreement, and the newest rows on which the two disagreed."""

    newest: list[Disagreement]


class Links(VersionVerdict):
    """A version's lineage from its training drops to its predictions, without its bundle."""

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
    """The lineage with the sha256 of the bundle, which `retraind.daemon.artifacts.manifest.summary` needs."""

    bundle: str
