"""Scores: the measurements of a version. `retraind.daemon.training` makes them; manifest and journal store them.

Shared with `web`; loads no numpy, because the command line reads them. Versions live for years, so any key that older
releases did not write may be missing.
"""

from collections.abc import Mapping
from typing import Literal, Required, TypedDict, get_args

Metric = Literal["accuracy", "balanced_accuracy", "log_loss", "roc_auc", "r2", "rmse", "mae", "cost"]
"""Metrics that may judge a version."""

NamedMetric = Metric | Literal[""]
"""A metric; empty is the task's usual one, accuracy or R²."""

Table = Mapping[str, Mapping[str, float]]
"""The table of `train.costs`: true class, answered class, cost. Missing pairs cost 1, right answers nothing."""

Holdout = Literal["reference", "rolling"]

HOLDOUTS: tuple[Holdout, ...] = get_args(Holdout)


class Score(TypedDict, total=False):
    """One model on `n` rows; a figure is None if it is undefined there, or too large for a number."""

    n: Required[int]
    metric: Metric
    """The judging metric, if it is not the task's usual one."""
    accuracy: float
    balanced_accuracy: float
    log_loss: float
    roc_auc: float | None
    recall: dict[str, float]
    """By class, for the classes in the rows."""
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
    """Of late labels (`retraind.daemon.records.live_score`): the 95 % interval of accuracy."""
    cost_saved: float
    """Of late labels: the saved share of the best constant answer's cost, and its standard error."""
    cost_error: float


class DummyScore(Score, total=False):
    """A model that always gives one answer, without its figures for single classes."""

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
    """The loss of one model against another on the same rows: see `retraind.daemon.training.losses.Difference`."""

    n: int
    loss: float
    p: float
    error: float
    robust: bool


class Mark(Loss):
    """A loss against a `version` that was promoted before, on `held` held-out reference rows and on others."""

    version: int
    held: int


class Marks(TypedDict, total=False):
    """The challenger's loss against the champion, and against the baseline."""

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
    """The minimum fall of each class's recall."""


class Paired(TypedDict, total=False):
    """The evidence on each holdout."""

    reference: Pair
    rolling: Pair


class PairedHoldouts(TypedDict, total=False):
    """The evidence, by the kind of rows; there is one kind."""

    holdout: Paired


class WorldChange(TypedDict, total=False):
    """The reference rows since the world changed (ms since 1970), and the evidence for the change."""

    since: Required[int]
    until: Required[int]
    days: int
    drops: int
    n: int
    gain: float
    objection: str
    """The objection of the older rows to the challenger."""


class TrainingRows(TypedDict, total=False):
    """The number of rows that trained the scored model, by class."""

    n: int
    support: dict[str, int]


class Split(TypedDict, total=False):
    """How the held-out rows were chosen."""

    by: str
    """The rule that made rows a unit: see `retraind.daemon.training.data.split.By`."""
    since: float | None
    """The moment (ms since 1970) from which on rows judge, if time decides it."""
    reference: str | None
    """Digest of the holdout's rows."""
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
    """A candidate's scores in cross-validation."""

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
    """A candidate's tuned parameters."""

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


class BudgetCut(TypedDict):
    """The candidates that `train.budget_seconds` has cut: a sentence, and the estimated seconds of all folds of each (0: unknown)."""

    sentence: str
    seconds: dict[str, float]


class PastScores(TypedDict, total=False):
    """The part of an earlier version's scores that a verdict uses."""

    challenger: Scored
    split: Split | None


class Scores(PastScores, total=False):
    """All measurements of a challenger, and of the champion beside it."""

    fair: Scored
    """The challenger's scores on rows that the champion was not trained on either; absent: on all rows."""
    champion: Scored | None
    champion_version: int | None
    paired: PairedHoldouts | None
    marks: Marks
    dummy: ScoredDummy
    taught: TrainingRows
    """The number of rows that trained the challenger. The name `taught` stays, because stored scores and API responses
    have it."""
    metric_named: bool
    """False if `train.metric = auto` chose the metric."""
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
    cut: BudgetCut | None
    compared_rows: int
    """The number of training rows on which the candidates were compared; absent: all."""
    from_pieces: bool
    """True if the rows were read piece by piece, because memory has no room for all."""
    tuned: TunedParameters | None
    calibration: CalibrationScore | None


class AgreementCounts(TypedDict):
    """The agreement of a held version with the champion on live requests.

    Of the `n` compared rows, `agreed` have the same label (None for values). `largest` is the largest difference (of a
    row's probabilities, or of the values). It failed to answer `failed` rows.
    """

    version: int
    champion: int
    n: int
    failed: int
    agreed: int | None
    largest: float
    at: str


class Agreement(AgreementCounts):
    """An agreement with the mean difference; None if no row was compared."""

    difference: float | None
