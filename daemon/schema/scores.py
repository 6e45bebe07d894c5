"""Scores: what is measured of a version, as `daemon.training` makes it and manifest and journal keep it.

Shared with `web`; loads no numpy, since the command line reads it. Versions live for years, so every key may be missing that was not always written.
"""

from collections.abc import Mapping
from typing import Literal, Required, TypedDict, get_args

Metric = Literal["accuracy", "balanced_accuracy", "log_loss", "roc_auc", "r2", "rmse", "mae", "cost"]
"""What may judge a version."""

NamedMetric = Metric | Literal[""]
"""The same; empty is the usual figure of the task, accuracy or R²."""

Table = Mapping[str, Mapping[str, float]]
"""The table of `train.costs`: true class, answered class, cost. Pairs that it lacks cost 1, right answers nothing."""

Holdout = Literal["reference", "rolling"]

HOLDOUTS: tuple[Holdout, ...] = get_args(Holdout)


class Score(TypedDict, total=False):
    """One model on `n` rows; None is a figure that has no meaning there, or is too large for a number."""

    n: Required[int]
    metric: Metric
    """What judges, if it is not the usual figure of the task."""
    accuracy: float
    balanced_accuracy: float
    log_loss: float
    roc_auc: float | None
    recall: dict[str, float]
    """By class, of those that the rows have."""
    support: dict[str, int]
    """Rows of each class."""
    confusion: list[list[int]]
    """Rows: true classes, columns: answered ones."""
    r2: float | None
    rmse: float | None
    mae: float | None
    cost: float | None
    costs: Table
    interval: tuple[float, float]
    """Of late labels (`daemon.records.live_score`): the 95 % interval of accuracy."""
    cost_saved: float
    """Of late labels: what share of the best constant answer's cost is saved, and the standard error of that."""
    cost_error: float


class DummyScore(Score, total=False):
    """A model that always gives one answer, without what it does to single classes."""

    answer: str | None
    """The class; None for a mean."""


class Scored(TypedDict, total=False):
    """One model on each holdout."""

    reference: Score
    rolling: Score


class ScoredDummy(TypedDict, total=False):
    """The dummy on each holdout."""

    reference: DummyScore
    rolling: DummyScore


class Loss(TypedDict):
    """How much worse one model is than another on the same rows: see `daemon.training.losses.Difference`."""

    n: int
    loss: float
    p: float
    error: float
    robust: bool


class Mark(Loss):
    """The same against a `version` that was promoted before, on `held` held-out rows of the reference and on others."""

    version: int
    held: int


class Marks(TypedDict, total=False):
    """The challenger against the champion, and against the version that no challenger may fall below."""

    champion: Mark
    mark: Mark


class Pair(TypedDict, total=False):
    """The evidence for a difference on one holdout: McNemar's test for classes, an interval of the RMSE for numbers."""

    n: Required[int]
    only_champion: int
    only_challenger: int
    p: float
    difference: float | None
    low: float | None
    high: float | None
    worse: Loss
    classes: dict[str, float]
    """By how much the recall of a class falls at least."""


class Paired(TypedDict, total=False):
    """The evidence on each holdout."""

    reference: Pair
    rolling: Pair


class PairedHoldouts(TypedDict, total=False):
    """The evidence, by the kind of rows; there is one kind."""

    holdout: Paired


class WorldChange(TypedDict, total=False):
    """What the rows of the reference are since the world changed (ms since 1970), and what showed the change."""

    since: Required[int]
    until: Required[int]
    days: int
    drops: int
    n: int
    gain: float
    objection: str
    """The objection of the older rows to the challenger."""


class TrainingRows(TypedDict, total=False):
    """How many rows trained the version that the scores are of, by class."""

    n: int
    support: dict[str, int]


class Split(TypedDict, total=False):
    """How the held-out rows were chosen."""

    by: str
    """What made rows a unit: see `daemon.training.data.split.By`."""
    since: float | None
    """From which moment on (ms since 1970) rows judge, where time says it."""
    reference: str | None
    """Tells the rows of the holdout from others."""
    rolling: str


CrossValidated = Literal[
    "cv_accuracy", "cv_balanced_accuracy", "cv_log_loss", "cv_roc_auc", "cv_r2", "cv_rmse", "cv_mae", "cv_cost"
]

CROSS_VALIDATED: dict[Metric, CrossValidated] = {
    "accuracy": "cv_accuracy",
    "balanced_accuracy": "cv_balanced_accuracy",
    "log_loss": "cv_log_loss",
    "roc_auc": "cv_roc_auc",
    "r2": "cv_r2",
    "rmse": "cv_rmse",
    "mae": "cv_mae",
    "cost": "cv_cost",
}
"""The names of the means over the folds."""


class CandidateScore(TypedDict, total=False):
    """How a candidate did in cross-validation."""

    name: Required[str]
    cv_accuracy: float
    cv_balanced_accuracy: float
    cv_log_loss: float
    cv_roc_auc: float
    cv_r2: float
    cv_rmse: float
    cv_mae: float
    cv_cost: float
    fit_seconds: float


class TunedParameters(TypedDict, total=False):
    """What a candidate was tuned to."""

    candidate: Required[str]
    parameters: Required[dict[str, object]]
    tried: Required[int]
    seconds: Required[float]
    encoded: bool


class CalibrationScore(TypedDict):
    """The correction of probabilities, and the log loss without and with it."""

    slope: float
    before: float
    after: float


class PastScores(TypedDict, total=False):
    """What a verdict looks at in the scores of an earlier version."""

    challenger: Scored
    split: Split | None


class Scores(PastScores, total=False):
    """All that is measured of a challenger, and of the champion beside it."""

    fair: Scored
    """The challenger's on the rows that the champion was not trained on either; absent: on all."""
    champion: Scored | None
    champion_version: int | None
    paired: PairedHoldouts | None
    marks: Marks
    dummy: ScoredDummy
    taught: TrainingRows
    """How many rows trained the challenger. Stored scores and answers of the API have the name `taught`, so it stays."""
    metric_named: bool
    """False: `train.metric = auto` has found the metric."""
    world: WorldChange | None
    twin_problem: str
    cv_accuracy: float
    cv_r2: float
    fit_seconds: float
    features: list[str]
    importance: dict[str, float]
    candidates: list[CandidateScore]
    left_out: dict[str, str]
    """Candidates that can't be served, and why."""
    tuned: TunedParameters | None
    calibration: CalibrationScore | None


class AgreementCounts(TypedDict):
    """How far a version agreed with the champion beside which it was tried.

    Of the `n` rows compared, `agreed` have the same label (None for values); `largest` is the greatest difference (of
    probabilities the largest of a row, of values the absolute one); `failed` rows it did not answer.
    """

    version: int
    champion: int
    n: int
    failed: int
    agreed: int | None
    largest: float
    at: str


class Agreement(AgreementCounts):
    """The same with the mean difference; None where no row was compared."""

    difference: float | None
