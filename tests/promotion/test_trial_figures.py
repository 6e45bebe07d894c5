"""retraind.daemon.promotion.live_comparison: the figures by which late labels judge a champion, and how sure they are."""

from typing import Any, Literal

import numpy as np
import orjson
import pytest
import trials
from promoting import Parts
from trials import SETOSA, VERSICOLOR, Live

from retraind.daemon.core.journal_rows import VersionRow
from retraind.daemon.core.settings import Promote
from retraind.daemon.core.states import VersionState
from retraind.daemon.promotion import live_comparison, probation
from retraind.daemon.promotion.probation import Probation
from retraind.daemon.records.late_labels import Outcome

live, parts = pytest.fixture(trials.live), pytest.fixture(trials.parts)

STORED = VersionRow(
    version=1,
    mlflow_run="a" * 32,
    bundle="b" * 64,
    candidate="linear",
    backend="onnx",
    revision="c" * 40,
    dvc_md5="d" * 32,
    rows=100,
    trained_rows=80,
    trigger="first model",
    scores="{}",
    state=VersionState.PROMOTED,
    reason="First version.",
    judged_at="2026-01-01T00:00:00Z",
)
"""What the journal says of a version."""


def test_world_that_is_harder_for_both_is_held_against_neither(parts: Parts, live: Live) -> None:
    """The version before would have been wrong as often: going back would not help."""
    parts.champion(favourite=VERSICOLOR)
    newer = parts.champion(favourite=VERSICOLOR)
    live.label(0, 100)
    parts.settle()
    assert parts.served == newer


@pytest.mark.parametrize(("right", "wrong", "stays"), [(94, 6, True), (85, 15, False)])
def test_doubt_is_in_favour_of_the_new_champion(parts: Parts, live: Live, right: int, wrong: int, stays: bool) -> None:
    """The whole interval must lie below what the gate allows: 94 of 100 may still be as good as 100 of 100 less 2 %."""
    _, newer = parts.champion(favourite=SETOSA), parts.champion(favourite=VERSICOLOR)
    live.label(right, wrong)
    parts.settle()
    assert (parts.served == newer) == stays


@pytest.mark.parametrize(("metric", "stays"), [("balanced_accuracy", True), ("accuracy", False)])
@pytest.mark.parametrize("logged", [True, False])
def test_trial_is_of_the_metric_that_judged(parts: Parts, live: Live, metric: str, stays: bool, logged: bool) -> None:
    """A version that finds the rare class, and is wrong more often on the common one, is no worse where each counts alike."""
    first = parts.champion(favourite=SETOSA)
    second = parts.champion(favourite=VERSICOLOR)
    for version, recall in ((first, {"setosa": 1.0, "versicolor": 0.0}), (second, {"setosa": 0.75, "versicolor": 1.0})):
        judged = parts.journal.versions.get(version)
        assert judged is not None
        score = {"n": 120, "accuracy": 0.95, "balanced_accuracy": sum(recall.values()) / 2, "recall": recall}
        score |= {"support": {"setosa": 114, "versicolor": 6}, "metric": metric}
        facts: Any = {name: value for name, value in judged.items() if name not in ("state", "reason", "judged_at")}
        scores = orjson.dumps({"challenger": {"rolling": score}}).decode()
        parts.journal.versions.judge(facts | {"scores": scores}, VersionState.PROMOTED, judged["reason"])
    answers = [("setosa", "setosa")] * 84 + [("setosa", "versicolor")] * 30 + [("versicolor", "versicolor")] * 6
    live.answered(answers, second, logged=logged)
    parts.settle()
    assert parts.served == (second if stays else first)
    assert Probation(parts.home, Promote(), parts.journal).fell() is None


def test_without_the_history_scores_of_their_own_are_compared(parts: Parts, live: Live) -> None:
    """Predictions that the history has lost: the version before is taken at its own live score, or its holdout's."""
    first = parts.champion(favourite=SETOSA)
    live.label(45, 15, logged=False)
    second = parts.champion(favourite=VERSICOLOR)
    live.label(42, 18, logged=False)
    parts.settle()
    assert parts.served == second
    live.label(0, 60, logged=False)
    parts.settle()
    assert parts.served == first
    assert f"version {first} has 0.7500 on 60 late labels of its own" in parts.described(second)
    third = parts.champion(favourite=VERSICOLOR)
    parts.champion(favourite=VERSICOLOR)
    live.label(0, 60, logged=False)
    parts.settle()
    assert parts.served == third
    assert f"version {third} has 0.9500 on 100 held-out rows" in parts.described(third + 1)


def test_regression_is_measured_by_r2() -> None:
    """With a bootstrap interval, that of a good model far above that of one which answers at random."""
    random = np.random.default_rng(0)
    truth = random.normal(size=200)

    def rows(live: Any) -> list[Outcome]:
        return [Outcome(truth=repr(float(a)), prediction=repr(float(b))) for a, b in zip(truth, live, strict=True)]

    good, bad = (live_comparison.measure(rows(live), "r2") for live in (truth + 0.1, random.normal(size=200)))
    assert good is not None
    assert bad is not None
    assert 0.98 < good.value < good.upper <= 1
    assert bad.value < bad.upper < 0
    assert live_comparison.measure([], "r2") is None
    assert live_comparison.measure([Outcome(truth="1.0", prediction="2.0")] * 5, "r2") is None


@pytest.mark.parametrize("absurd", [1, 5, 20, 60])
@pytest.mark.parametrize("name", ["truth", "prediction"])
def test_values_too_large_to_be_squared_tell_nothing(name: Literal["truth", "prediction"], absurd: int) -> None:
    """Whether one label is absurd or each: no figure, and no certainty."""
    random = np.random.default_rng(1)
    rows = [Outcome(truth=repr(one), prediction=repr(one + 0.1)) for one in random.normal(size=60).tolist()]
    wild = [row.copy() for row in rows]
    for index, row in enumerate(wild[:absurd]):
        row[name] = repr(1e200 + index)
    assert live_comparison.measure(wild, "r2") is None
    assert live_comparison.standard_errors(wild, rows, "r2") == live_comparison.standard_errors(wild, wild, "r2") == 0


def test_fall_of_values_without_the_history_must_be_as_sure(parts: Parts) -> None:
    """Nothing is there to be paired with, so an interval of 95 % alone would take a version out at one look of forty."""
    random = np.random.default_rng(3)
    truth = random.normal(size=60)
    live = truth + random.normal(0, 0.4, 60)
    rows = [Outcome(truth=repr(float(a)), prediction=repr(float(b))) for a, b in zip(truth, live, strict=True)]
    usual, surest = (
        live_comparison.measure(rows, "r2", bound) for bound in (live_comparison.INTERVAL, live_comparison.SUREST)
    )
    assert usual is not None
    assert surest is not None
    watch = Probation(parts.home, Promote(), parts.journal)
    for before, sure in (((usual.upper + surest.upper) / 2, False), (surest.upper + 0.001, True)):
        score = {"n": 100, "r2": before, "rmse": 1.0, "mae": 1.0}
        old: VersionRow = {**STORED, "scores": orjson.dumps({"challenger": {"rolling": score}}).decode()}
        fall = watch._on_their_own(old, rows, "r2")
        assert fall is not None
        assert fall.now.upper < before
        assert fall.sure == sure


@pytest.mark.parametrize("trials", [40, pytest.param(200, marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    ("fall", "alike", "labels", "least", "most"),
    [
        (0.0, 0.0, 500, 0, 0.03),
        pytest.param(0.0, 0.8, 500, 0, 0.01, marks=pytest.mark.slow),
        (0.1, 0.0, 1000, 0.97, 1),
        (0.1, 0.8, 1000, 0.99, 1),
    ],
)
def test_chance_seldom_takes_a_version_out(
    fall: float, alike: float, labels: int, least: float, most: float, trials: int
) -> None:
    """Labels come ten at a time and are looked at each time, from 50 on.

    The version before is right in 80 of 100 cases, the new one in `fall` less; it answers the share `alike` of them as the other.
    """
    random = np.random.default_rng(0)
    truth, lost = "setosa", 0
    for _ in range(trials):
        before = random.random(labels) < 0.8
        fell = before & (random.random(labels) >= fall / 0.8)
        now = np.where(random.random(labels) < alike, fell, random.random(labels) < 0.8 - fall)
        rows = [
            [{"truth": truth, "prediction": truth if right else "versicolor"} for right in answers]
            for answers in (now, before)
        ]
        lost += any(_falls(rows[0][:n], rows[1][:n]) for n in range(50, labels + 1, 10))
    assert least <= lost / trials <= most


def _falls(now: list[Any], before: list[Any]) -> bool:
    new, old = (live_comparison.measure(rows, "accuracy") for rows in (now, before))
    assert new is not None
    assert old is not None
    below = new.upper < old.value - Promote().tolerance
    return below and live_comparison.standard_errors(now, before, "accuracy") > probation.SURE
