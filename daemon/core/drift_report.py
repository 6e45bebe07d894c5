"""The result of a drift check, as JSON in the journal and as the answer of `GET /drift`: see `retraind.daemon.drift.report`."""

from typing import TypedDict

from retraind.daemon.core.states import DriftState


class DriftedShares(TypedDict):
    """The shares of missing cells of a feature, and whether their difference is drift."""

    reference: float
    now: float
    p: float
    drifted: bool


class DriftTest(TypedDict):
    """A two-sample test: `value` counts as drift at or beyond `threshold`; all None if there was nothing to compare."""

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
    """The JSON in `detail` of a check for drift: see `retraind.daemon.drift.report`."""

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
    state: DriftState
    alarm: int
    reason: str


class DriftCheck(DriftReport):
    """A check for drift with its time; None: there was none yet, and `reason` says why."""

    at: str | None
