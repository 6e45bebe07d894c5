"""daemon.policy: when to train and what to promote, as tables."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon import policy
from daemon.policy import Facts
from daemon.settings import Promote, Retrain

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
LONG_AGO, JUST_NOW = NOW - timedelta(days=1), NOW - timedelta(seconds=9)
SETTINGS = Retrain()
IDLE = Facts(
    rows=150, trained_on=150, same_rows=True, last_start=LONG_AGO, schedule_due=False, requested=False, forced=False
)
NEW = replace(IDLE, rows=160, same_rows=False)


@pytest.mark.parametrize(
    ("facts", "part"),
    [
        (IDLE, None),
        (replace(IDLE, schedule_due=True), None),
        (replace(IDLE, requested=True), None),
        (replace(IDLE, requested=True, forced=True), "forced"),
        (replace(IDLE, rows=0, trained_on=None, requested=True, forced=True), None),
        (replace(NEW, trained_on=None, last_start=None), "first model"),
        (replace(NEW, trained_on=None), "first model"),
        (replace(NEW, trained_on=None, last_start=JUST_NOW), None),
        (NEW, None),
        (replace(NEW, requested=True), "requested, 10 new rows"),
        (replace(NEW, requested=True, last_start=JUST_NOW), "requested"),
        (replace(NEW, schedule_due=True), "schedule '0 3 * * *', 10 new rows"),
        (replace(NEW, schedule_due=True, last_start=JUST_NOW), None),
        (replace(NEW, rows=199), None),
        (replace(NEW, rows=200), "50 new rows (retrain.threshold_rows = 50)"),
        (replace(NEW, rows=200, last_start=JUST_NOW), None),
        (replace(NEW, rows=200, last_start=NOW - timedelta(seconds=10)), "50 new rows"),
        (replace(NEW, rows=200, last_start=NOW + timedelta(days=1)), "50 new rows"),
        (replace(NEW, rows=200, same_rows=True), None),
    ],
)
def test_training_starts_for_a_reason(facts: Facts, part: str | None) -> None:
    """Threshold, schedule and request start one, the cooldown and an unchanged revision hold it back."""
    reason = policy.due(facts, SETTINGS, NOW)
    assert (reason is None) if part is None else (part in (reason or ""))


@given(st.builds(replace, st.just(NEW), rows=st.integers(0, 300), trained_on=st.none() | st.integers(0, 300)))
def test_failing_training_is_no_hot_loop(facts: Facts) -> None:
    """After a failure on a revision nothing but force starts another training on it."""
    assert policy.due(replace(facts, same_rows=True, requested=True, schedule_due=True), SETTINGS, NOW) is None


# Promotion


def holdout(right: int, n: int, recall: dict[str, float] | None = None) -> dict[str, Any]:
    recall = recall or {}
    return {"n": n, "accuracy": right / n if n else 0.0, "recall": recall, "support": dict.fromkeys(recall, n // 2)}


def scores(new: int, old: int | None, n: int = 100, **changes: Any) -> dict[str, Any]:
    challenger = {name: holdout(new, n) for name in policy.HOLDOUTS}
    champion = None if old is None else {name: holdout(old, n) for name in policy.HOLDOUTS}
    return {"challenger": challenger, "champion": champion, "champion_version": None if old is None else 7, **changes}


@pytest.mark.parametrize(
    ("new", "old", "n", "state"),
    [
        (50, None, 100, "promoted"),
        (0, None, 0, "promoted"),
        (90, 90, 100, "promoted"),
        (95, 90, 100, "promoted"),
        (88, 90, 100, "promoted"),  # exactly the tolerance
        (87, 90, 100, "refused"),
        (8, 9, 10, "promoted"),  # one row
        (7, 9, 10, "refused"),
        (0, 1, 1, "promoted"),
        (979, 1000, 1000, "refused"),
    ],
)
def test_challenger_may_be_worse_by_tolerance_or_one_row(new: int, old: int | None, n: int, state: str) -> None:
    """Ties are promoted; a fall beyond the tolerance is refused with both figures and the setting."""
    verdict = policy.judge(scores(new, old, n), Promote())
    assert verdict.state == state
    if state == "refused":
        assert old is not None
        for part in (f"{old / n:.4f}", f"{new / n:.4f}", f"n={n}", "promote.tolerance = 0.02"):
            assert part in verdict.reason


@pytest.mark.parametrize("name", policy.HOLDOUTS)
def test_each_holdout_must_hold(name: str) -> None:
    """A challenger that is better on one holdout and worse on the other is refused, naming the one."""
    found = scores(99, 90)
    found["challenger"][name] = holdout(80, 100)
    verdict = policy.judge(found, Promote())
    assert verdict.state == "refused"
    assert f"the {name} holdout" in verdict.reason


@pytest.mark.parametrize(
    ("new", "old", "n", "state"),
    [
        ({"a": 1.0, "b": 0.9}, {"a": 1.0, "b": 1.0}, 100, "promoted"),
        ({"a": 1.0, "b": 0.8}, {"a": 1.0, "b": 1.0}, 100, "refused"),
        ({"a": 1.0, "b": 0.75}, {"a": 1.0, "b": 1.0}, 8, "promoted"),  # one row of four
        ({"a": 1.0, "b": 0.5}, {"a": 1.0, "b": 1.0}, 8, "refused"),
        ({"a": 1.0, "b": 0.0}, {"a": 1.0}, 100, "promoted"),  # the champion has never seen b
        ({"a": 1.0}, {"a": 1.0, "b": 1.0}, 100, "promoted"),  # no row of b is held out
    ],
)
def test_no_class_may_be_forgotten(new: dict[str, float], old: dict[str, float], n: int, state: str) -> None:
    """A class's recall may fall by its tolerance or one row; the refusal names the class."""
    found = scores(99, 99, n=100)
    for name in policy.HOLDOUTS:
        found["challenger"][name] = holdout(n, n, new)
        found["champion"][name] = holdout(n, n, old)
    verdict = policy.judge(found, Promote())
    assert verdict.state == state
    assert state == "promoted" or "Recall of 'b'" in verdict.reason


@pytest.mark.parametrize("old", [None, 10])
def test_nothing_below_the_floor_is_served(old: int | None) -> None:
    """The floor holds for the first version too, and for one that beats its champion."""
    verdict = policy.judge(scores(79, old), Promote(floor=0.8))
    assert (verdict.state, "promote.floor = 0.8" in verdict.reason) == ("refused", True)
    assert policy.judge(scores(80, old), Promote(floor=0.8)).state == "promoted"


@pytest.mark.parametrize(("new", "old", "state"), [(95, 90, "held"), (50, 90, "refused"), (95, None, "promoted")])
def test_manual_mode_holds_what_is_good(new: int, old: int | None, state: str) -> None:
    """A person decides about a good challenger; the first version is served at once, or nothing would be."""
    verdict = policy.judge(scores(new, old), Promote(mode="manual"))
    assert verdict.state == state
    assert ("retraind promote" in verdict.reason) == (state == "held")


def test_verdict_names_both_figures() -> None:
    """Why a version was promoted can be read without looking anything up."""
    assert (
        "0.9500 against 0.9000 of version 7 on the same 100 held-out rows"
        in policy.judge(scores(95, 90), Promote()).reason
    )


@given(st.integers(0, 60), st.integers(0, 60), st.integers(1, 60), st.floats(0, 1))
def test_not_worse_is_always_promoted(new: int, old: int, n: int, tolerance: float) -> None:
    """Whatever the tolerance, a challenger that has as many rows right is promoted, one two rows beyond it is not."""
    new, old = min(new, n), min(old, n)
    state = policy.judge(scores(new, old, n), Promote(tolerance=tolerance)).state
    assert new < old or state == "promoted"
    assert old - new <= tolerance * n + 2 or state == "refused"


# Regression


def explained(r2: float | None, n: int) -> dict[str, Any]:
    return {"n": n, "r2": r2, "rmse": 1.0, "mae": 1.0}


def regression(new: float | None, old: float | None, n: int = 100, *, first: bool = False) -> dict[str, Any]:
    challenger = {name: explained(new, n) for name in policy.HOLDOUTS}
    champion = None if first else {name: explained(old, n) for name in policy.HOLDOUTS}
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
    """The same gate with the task's own figure; what can't be measured is not held against anybody."""
    verdict = policy.judge(regression(new, old, n), Promote())
    assert verdict.state == state
    if state == "refused":
        assert f"R² on the reference holdout falls from {old:.4f} to {new:.4f} (n={n})" in verdict.reason


def test_regression_has_a_floor_if_one_is_set() -> None:
    """R² below 0 is served by default, because a few rows may give it; a floor refuses the first version, too."""
    assert policy.judge(regression(-0.2, None, first=True), Promote()).state == "promoted"
    verdict = policy.judge(regression(-0.2, None, first=True), Promote(floor=0.1))
    assert (verdict.state, "R² -0.2000" in verdict.reason) == ("refused", True)


def test_verdict_on_a_regression_names_r2() -> None:
    """Nobody takes an R² for an accuracy."""
    reasons = [
        policy.judge(found, Promote()).reason for found in (regression(0.5, 0.4), regression(0.5, None, first=True))
    ]
    assert "R² 0.5000 against 0.4000 of version 7" in reasons[0]
    assert reasons[1] == "First version: R² 0.5000 on 100 held-out rows."
    assert "R² unknown" in policy.judge(regression(None, None, 1, first=True), Promote()).reason
