"""retraind.daemon.gate.rules: what to promote, as tables."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scoring import holdout, scores

from retraind.daemon.core.settings import Promote
from retraind.daemon.gate import rules
from retraind.daemon.schema.scores import HOLDOUTS


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
    verdict = rules.judge(scores(new, old, n), Promote())
    assert verdict.state == state
    if state == "refused":
        assert old is not None
        for part in (f"{old / n:.4f}", f"{new / n:.4f}", f"n = {n}", "promote.tolerance = 0.02"):
            assert part in verdict.reason


@pytest.mark.parametrize("name", HOLDOUTS)
def test_each_holdout_must_hold(name: str) -> None:
    """A challenger that is better on one holdout and worse on the other is refused, naming the one."""
    complete = scores(99, 90)
    complete["challenger"][name] = holdout(80, 100)
    verdict = rules.judge(complete, Promote())
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
    complete = scores(99, 99, n=100)
    for name in HOLDOUTS:
        complete["challenger"][name] = holdout(n, n, new)
        complete["champion"][name] = holdout(n, n, old)
    verdict = rules.judge(complete, Promote())
    assert verdict.state == state
    assert state == "promoted" or "Recall of 'b'" in verdict.reason


@pytest.mark.parametrize("old", [None, 10])
def test_nothing_below_the_floor_is_served(old: int | None) -> None:
    """The floor holds for the first version too, and for one that beats its champion."""
    verdict = rules.judge(scores(79, old), Promote(floor=0.8))
    assert (verdict.state, "promote.floor = 0.8" in verdict.reason) == ("refused", True)
    assert rules.judge(scores(80, old), Promote(floor=0.8)).state == "promoted"


def test_floor_that_nothing_was_measured_against_is_not_reached() -> None:
    """Without a held-out row the score is unknown, and a floor needs a known score."""
    verdict = rules.judge(scores(0, None, 0), Promote(floor=0.8))
    assert verdict.state == "refused"
    assert verdict.reason == "promote.floor = 0.8 can't be checked: more held-out rows are needed."


@pytest.mark.parametrize(("new", "old", "state"), [(95, 90, "held"), (50, 90, "refused"), (95, None, "promoted")])
def test_manual_mode_holds_what_is_good(new: int, old: int | None, state: str) -> None:
    """A person decides about a good challenger; the first version is served at once, or nothing would be."""
    verdict = rules.judge(scores(new, old), Promote(mode="manual"))
    assert verdict.state == state
    assert ("retraind promote" in verdict.reason) == (state == "held")


def test_manual_mode_holds_what_cannot_be_compared() -> None:
    """Another target, a column that is gone, a champion that is damaged: what serves goes for a person's word only."""
    verdict = rules.judge(scores(95, None, champion_version=7), Promote(mode="manual"))
    assert verdict.state == "held"
    assert verdict.reason.startswith("Version 7 can't be compared (")
    assert verdict.reason.endswith("Waiting for `retraind promote` (promote.mode = 'manual').")


def test_verdict_names_both_figures() -> None:
    """Why a version was promoted can be read without looking anything up."""
    assert (
        "0.9500 against 0.9000 of version 7 on the same held-out rows (n = 100)."
        in rules.judge(scores(95, 90), Promote()).reason
    )


def test_verdict_on_a_score_that_is_a_little_worse_says_why_it_passes() -> None:
    reason = rules.judge(scores(89, 90), Promote()).reason
    assert "0.8900 against 0.9000 of version 7" in reason
    assert "That is worse, but not clearly, so it passes." in reason
    assert "not clearly" not in rules.judge(scores(90, 90), Promote()).reason


@given(st.integers(0, 60), st.integers(0, 60), st.integers(1, 60), st.floats(0, 1))
def test_not_worse_is_always_promoted(new: int, old: int, n: int, tolerance: float) -> None:
    """Whatever the tolerance, a challenger that has as many rows right is promoted, one two rows beyond it is not."""
    new, old = min(new, n), min(old, n)
    state = rules.judge(scores(new, old, n), Promote(tolerance=tolerance)).state
    assert new < old or state == "promoted"
    assert old - new <= tolerance * n + 2 or state == "refused"


# How sure it is


@pytest.mark.parametrize(
    ("p", "said"), [(0.0304, "(p = 0.03, n = 100)"), (1.0, "(p = 1, n = 100)"), (1e-9, "(p < 0.001, n = 100)")]
)
def test_verdict_says_how_sure_a_difference_is(p: float, said: str) -> None:
    """Of a better and of a worse challenger; the figure informs, the tolerance decides."""
    paired = {"holdout": {name: {"n": 100, "only_champion": 1, "only_challenger": 9, "p": p} for name in HOLDOUTS}}
    for new, state in ((98, "promoted"), (80, "refused")):
        verdict = rules.judge(scores(new, 90, paired=paired), Promote())
        assert (verdict.state, said in verdict.reason) == (state, True)


def test_challenger_and_champion_are_compared_on_rows_that_trained_neither() -> None:
    """On the rows of `fair`, if there are some that the champion knows; the challenger's own score is of all."""
    fair = {name: holdout(9, 20) for name in HOLDOUTS}
    complete = scores(50, 50, fair=fair)
    complete["champion"] = {name: holdout(19, 20) for name in HOLDOUTS}
    assert "falls from 0.9500 to 0.4500" in rules.judge(complete, Promote()).reason
    complete["champion"] = {name: holdout(9, 20) for name in HOLDOUTS}
    verdict = rules.judge(complete, Promote())
    assert verdict.state == "promoted"
    assert (
        "Accuracy 0.4500 against 0.4500 of version 7 on the held-out rows that neither was trained on (n = 20)"
        in verdict.reason
    )


@pytest.mark.parametrize(("p", "state"), [(0.2, "promoted"), (0.01, "refused")])
def test_a_fall_within_the_noise_is_no_reason_to_refuse(p: float, state: str) -> None:
    """Five rows of a hundred, whose chance alone says whether it was chance."""
    worse = {"n": 100, "loss": 0.05, "p": p, "error": 0.03, "robust": False}
    paired = {"holdout": {name: {"n": 100, "p": 2 * p, "worse": worse} for name in HOLDOUTS}}
    assert rules.judge(scores(85, 90, paired=paired), Promote()).state == state


def test_versions_are_judged_by_the_metric_that_chooses() -> None:
    """A rise of balanced accuracy from 0.499 to 0.660 was refused because accuracy fell; nothing else decides now."""
    complete = scores(80, 90)
    for version, value in (("challenger", 0.66), ("champion", 0.499)):
        for name in HOLDOUTS:
            complete[version][name] |= {"metric": "balanced_accuracy", "balanced_accuracy": value}
    verdict = rules.judge(complete, Promote())
    assert verdict.state == "promoted"
    assert verdict.reason.startswith("Balanced accuracy 0.6600 against 0.4990 of version 7")
    for name in HOLDOUTS:
        complete["challenger"][name] |= {"metric": "log_loss", "log_loss": 0.7}
        complete["champion"][name] |= {"metric": "log_loss", "log_loss": 0.5}
    assert rules.judge(complete, Promote()).state == "refused", "less is better"


def test_changed_world_is_reported() -> None:
    """Since when, on what evidence, and what the rows of before would have said; of the versions after it no more."""
    era = {"since": 1_772_496_000_000, "until": 1_772_668_800_000}
    world = {**era, "days": 3, "drops": 1, "n": 1240, "gain": 0.1, "objection": "Accuracy falls."}
    verdict = rules.judge(scores(97, 80, world=world), Promote())
    assert verdict.state == "promoted"
    assert verdict.reason.startswith(
        "The world has changed: it is better on everything since 3 March 2026 (3 days, 1 drop, 1,240 held-out rows). "
        "Earlier rows no longer judge; they would say: Accuracy falls. Accuracy 0.97"
    )
    assert "world" not in rules.judge(scores(97, 80, world=era), Promote()).reason


@pytest.mark.parametrize(
    ("metric", "found", "state", "said"),
    [
        ("balanced_accuracy", 0.6, "refused", "Balanced accuracy 0.6000"),
        ("balanced_accuracy", 0.8, "promoted", ""),
        ("log_loss", 0.3, "promoted", ""),  # the accuracy is 0.9, whatever the loss
        ("log_loss", 3.0, "promoted", ""),
    ],
)
def test_floor_is_of_the_metric_that_judges(metric: str, found: float, state: str, said: str) -> None:
    """Where less of that is better, a floor of it would say nothing; there it is accuracy or R²."""
    incomplete: Any = scores(90, None)
    for name in HOLDOUTS:
        incomplete["challenger"][name] |= {metric: found, "metric": metric}
    verdict = rules.judge(incomplete, Promote(floor=0.7))
    assert verdict.state == state
    assert said in verdict.reason
    incomplete["metric_named"] = False
    assert rules.judge(incomplete, Promote(floor=0.7)).state == "promoted", "auto: of accuracy"
    low = scores(60, None)
    for name in HOLDOUTS:
        low["challenger"][name] |= {"log_loss": 0.1, "metric": "log_loss"}
    assert "Accuracy 0.6000" in rules.judge(low, Promote(floor=0.7)).reason
