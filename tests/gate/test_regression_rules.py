"""retraind.daemon.gate.rules: verdicts on regressions, and how their figures are written."""

from typing import Any

import pytest

from retraind.daemon.core.settings import Promote
from retraind.daemon.gate import rules
from retraind.daemon.schema import score_names
from retraind.daemon.schema.scores import HOLDOUTS, Score


def test_verdict_on_a_regression_has_an_interval() -> None:
    """By how much the RMSE differs, in the target's unit."""
    gain = {"n": 100, "difference": -1.25, "low": -2.0, "high": 0.5}
    scored = regression(0.6, 0.5) | {"paired": {"holdout": dict.fromkeys(HOLDOUTS, gain)}}
    assert "(RMSE -1.25, 95 % interval -2 to +0.5, n = 100)" in rules.judge(scored, Promote()).reason


# Regression


def explained(r2: float | None, n: int) -> Score:
    return {"n": n, "r2": r2, "rmse": 1.0, "mae": 1.0}


def regression(new: float | None, old: float | None, n: int = 100, *, first: bool = False) -> Any:
    challenger = {name: explained(new, n) for name in HOLDOUTS}
    champion = None if first else {name: explained(old, n) for name in HOLDOUTS}
    return {"challenger": challenger, "champion": champion, "champion_version": None if first else 7}


@pytest.mark.parametrize(
    ("new", "old", "n", "state"),
    [
        (0.5, 0.5, 100, "promoted"),
        (0.48, 0.5, 100, "promoted"),
        (0.47, 0.5, 100, "refused"),
        (0.4, 0.5, 10, "promoted"),  # one row of ten
        (-0.5, -0.4, 1000, "refused"),
        (None, 0.5, 1, "promoted"),  # R² of one row has no meaning
        (0.5, None, 1, "promoted"),
    ],
)
def test_regression_is_judged_by_r2(new: float | None, old: float | None, n: int, state: str) -> None:
    """The same gate with the task's own figure; a figure that can't be measured counts against no version."""
    verdict = rules.judge(regression(new, old, n), Promote())
    assert verdict.state == state
    if state == "refused":
        assert f"R² on the reference holdout falls from {old:.4f} to {new:.4f} (n = {n})" in verdict.reason


def test_answers_too_wild_to_be_scored_are_refused() -> None:
    """Squares that overflow leave no figure at all, which is not a lack of rows. Such a champion stops no challenger."""
    wild = {"n": 100, "r2": None, "rmse": None, "mae": 1e200}
    scored = regression(0.5, 0.5)
    scored["challenger"]["rolling"] = wild
    verdict = rules.judge(scored, Promote())
    assert verdict.state == "refused"
    assert verdict.reason == "Its answers on the rolling holdout are too far off to be scored (n = 100)."
    scored["champion"]["rolling"], scored["challenger"]["rolling"] = wild, explained(0.5, 100)
    assert rules.judge(scored, Promote()).state == "promoted"


def test_regression_has_a_floor_if_one_is_set() -> None:
    """R² below 0 is served by default, because a few rows may give it; a floor refuses the first version, too."""
    assert rules.judge(regression(-0.2, None, first=True), Promote()).state == "promoted"
    verdict = rules.judge(regression(-0.2, None, first=True), Promote(floor=0.1))
    assert (verdict.state, "R² -0.2000" in verdict.reason) == ("refused", True)


def test_verdict_on_a_regression_names_r2() -> None:
    """The reason names R², not accuracy."""
    reasons = [
        rules.judge(scores, Promote()).reason for scores in (regression(0.5, 0.4), regression(0.5, None, first=True))
    ]
    assert "R² 0.5000 against 0.4000 of version 7" in reasons[0]
    assert reasons[1] == "First version: R² 0.5000 on 100 held-out rows."
    assert "R² unknown" in rules.judge(regression(None, None, 1, first=True), Promote()).reason


def test_champion_without_its_twin_is_named_in_either_verdict() -> None:
    """It was trained on the rows that judge: who reads a refusal must know that it was compared with too good a figure."""
    for scores in (regression(0.5, 0.4), regression(0.1, 0.9)):
        plain = rules.judge(scores, Promote())
        verdict = rules.judge(scores | {"twin_problem": "twin-model.onnx is gone."}, Promote())
        assert verdict.state == plain.state
        assert verdict.reason.startswith(plain.reason)
        assert "can't be loaded, so it was compared with version 7 itself" in verdict.reason


@pytest.mark.parametrize(
    ("amount", "said"),
    [
        (0.0, "0"),
        (0.01234567, "0.01235"),
        (123.456, "123.5"),
        (999.96, "1,000"),
        (36542.4, "36,540"),
        (-1.5e9, "-1,500,000,000"),
    ],
)
def test_amounts_are_written_in_full(amount: float, said: str) -> None:
    """An error in a currency is written without a power of ten."""
    assert score_names.plain(amount) == said


def test_amounts_may_have_a_sign() -> None:
    """A difference says which way it goes, also where it is small."""
    assert [score_names.plain(amount, 3, sign=True) for amount in (13812.0, -0.12345)] == ["+13,800", "-0.123"]
