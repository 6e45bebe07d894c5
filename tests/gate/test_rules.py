"""daemon.gate.rules: what to promote, as tables."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.core.settings import Promote
from daemon.gate import rules
from daemon.schema import score_names
from daemon.schema.scores import HOLDOUTS, PastScores, Score


def holdout(right: int, n: int, recall: dict[str, float] | None = None) -> Score:
    recall = recall or {}
    return {"n": n, "accuracy": right / n if n else 0.0, "recall": recall, "support": dict.fromkeys(recall, n // 2)}


def scores(new: int, old: int | None, n: int = 100, **changes: Any) -> Any:
    challenger = {name: holdout(new, n) for name in HOLDOUTS}
    champion = None if old is None else {name: holdout(old, n) for name in HOLDOUTS}
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
    assert verdict.reason == "No held-out row says whether it reaches promote.floor = 0.8: more rows are needed."


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


@given(st.integers(0, 60), st.integers(0, 60), st.integers(1, 60), st.floats(0, 1))
def test_not_worse_is_always_promoted(new: int, old: int, n: int, tolerance: float) -> None:
    """Whatever the tolerance, a challenger that has as many rows right is promoted, one two rows beyond it is not."""
    new, old = min(new, n), min(old, n)
    state = rules.judge(scores(new, old, n), Promote(tolerance=tolerance)).state
    assert new < old or state == "promoted"
    assert old - new <= tolerance * n + 2 or state == "refused"


# Against slow drips


def classes(*tables: tuple[str, int, int, int]) -> Score:
    """A score from (class, held-out rows, right ones, how often it is answered)."""
    support = {name: n for name, n, _, _ in tables}
    n, right = sum(support.values()), sum(right for _, _, right, _ in tables)
    # Only the column sums of the confusion are looked at.
    confusion = [[times if row == 0 else 0 for _, _, _, times in tables] for row in range(len(tables))]
    recall = {name: right / n for name, n, right, _ in tables if n}
    return {"n": n, "accuracy": right / n, "recall": recall, "support": support, "confusion": confusion}


def against(reference: Score, champion: Score) -> Any:
    """Scores of a challenger that is perfect on the rolling holdout."""
    both = {"rolling": holdout(100, 100)}
    return {"challenger": both | {"reference": reference}, "champion": both | {"reference": champion}} | {
        "champion_version": 9
    }


def judged_after(falls: int, n: int = 100) -> rules.Verdict:
    """Each of the versions before has one row in 100 less right than the one before it; this one, too."""
    past: dict[int, PastScores] = {
        version: {"challenger": {"reference": holdout(98 - version, n)}} for version in range(1, 1 + falls)
    }
    return rules.judge(scores(97 - falls, 98 - falls, n), Promote(), past)


def test_small_falls_do_not_add_up() -> None:
    """Every step is within the tolerance of the one before; the sum of them is not, and the sentence says since when."""
    assert judged_after(1).state == "promoted"
    assert judged_after(2).state == "promoted"
    verdict = judged_after(3)
    assert verdict.state == "refused"
    assert "from 0.9700 of version 1, the best so far, to 0.9400 (n = 100); promote.tolerance = 0.02" in verdict.reason


def test_recall_may_not_slip_either() -> None:
    """The best version's recall of a class is a mark, too, where the class is too rare to weigh in the accuracy."""
    at = [classes(("a", 760, 760, 760), ("b", 40, right, right)) for right in (40, 36, 32)]
    past: dict[int, PastScores] = {
        version: {"challenger": {"reference": mark}} for version, mark in enumerate(at[:2], start=1)
    }
    verdict = rules.judge(against(at[2], at[1]), Promote(), past)
    assert verdict.state == "refused"
    assert "Recall of 'b' on the reference holdout falls from 1.0000 of version 1" in verdict.reason
    assert rules.judge(against(at[2], at[1]), Promote(), {2: past[2]}).state == "promoted"


@pytest.mark.parametrize(
    "other",
    [holdout(99, 101), {**holdout(99, 100), "support": {"a": 100}}, {"n": 100, "r2": 0.99}, {}],
    ids=["another number of rows", "other classes", "another task", "no score"],
)
def test_only_scores_on_the_same_rows_are_a_mark(other: Score) -> None:
    """After rows were forgotten, or the target was changed, older scores say nothing."""
    past: dict[int, PastScores] = {1: {"challenger": {"reference": other}}, 2: {}}
    assert rules.judge(scores(90, 90), Promote(), past).state == "promoted"
    past[3] = {"challenger": {"reference": holdout(99, 100)}}
    assert rules.judge(scores(90, 90), Promote(), past).state == "refused"


@pytest.mark.parametrize(("right", "state"), [(3, "refused"), (2, "refused"), (1, "promoted"), (0, "promoted")])
def test_class_that_is_never_answered_any_more_is_refused(right: int, state: str) -> None:
    """Even where its recall was too low for the recall's tolerance to notice; one row may be an accident."""
    champion = classes(("a", 100, 99, 100), ("b", 40, right, right))
    challenger = classes(("a", 100, 99 + (right > 0), 140), ("b", 40, 0, 0))
    verdict = rules.judge(against(challenger, champion), Promote(tolerance=0.05))
    assert verdict.state == state
    assert state == "promoted" or f"It never answers 'b' on the reference holdout, where {right} rows" in verdict.reason


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


def test_marks_are_of_the_same_rows() -> None:
    """A score of as many rows that are others is no mark, such as one from before equal rows were kept together."""
    past: dict[int, PastScores] = {1: {"challenger": {"reference": holdout(99, 100)}, "split": {"reference": "100-aa"}}}
    assert rules.judge(scores(90, 90, split={"reference": "100-aa"}), Promote(), past).state == "refused"
    assert rules.judge(scores(90, 90, split={"reference": "100-bb"}), Promote(), past).state == "promoted"
    del past[1]["split"]
    assert rules.judge(scores(90, 90, split={"reference": "100-bb"}), Promote(), past).state == "promoted"


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


# The rule


def with_marks(loss: float, p: float, error: float, who: str = "mark") -> Any:
    """A challenger as good on both holdouts, and so much worse than a version before on the reference's rows."""
    mark = {"n": 1000, "loss": loss, "p": p, "error": error, "robust": False, "version": 3, "held": 200}
    return scores(90, 90, marks={who: mark})


@pytest.mark.parametrize(
    ("who", "loss", "p", "error", "state"),
    [
        ("mark", -0.01, 0.9, 0.005, "promoted"),
        ("mark", 0.012, 0.04, 0.007, "promoted"),  # not sure
        ("mark", 0.015, 0.01, 0.006, "refused"),  # surely worse, and perhaps by more than the tolerance: falls add up
        ("mark", 0.010, 0.001, 0.002, "promoted"),  # surely within the tolerance
        ("mark", 0.030, 0.001, 0.007, "refused"),
        ("champion", 0.015, 0.01, 0.006, "promoted"),
        ("champion", 0.025, 0.01, 0.01, "refused"),
        ("champion", 0.025, 0.06, 0.015, "promoted"),
    ],
)
def test_what_is_surely_worse_on_the_first_rows_is_refused(
    who: str, loss: float, p: float, error: float, state: str
) -> None:
    """A difference within the noise is no reason to refuse; one that is surely small is none either."""
    verdict = rules.judge(with_marks(loss, p, error, who), Promote())
    assert verdict.state == state
    if state == "refused":
        assert f"is {loss:.4f} worse than that of version 3" in verdict.reason
        assert "n = 1,000" in verdict.reason


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


def test_scores_by_another_metric_are_no_mark() -> None:
    """A changed metric sets a new baseline."""
    past: dict[int, PastScores] = {1: {"challenger": {"reference": holdout(99, 100)}}}
    complete = scores(90, 90)
    for version in ("challenger", "champion"):
        for name in HOLDOUTS:
            complete[version][name] |= {"metric": "balanced_accuracy", "balanced_accuracy": 0.9}
    assert rules.judge(complete, Promote(), past).state == "promoted"


def test_scores_by_other_costs_are_no_mark() -> None:
    """Changed costs set a new baseline, too: what a class costs decides how often it is answered."""
    complete: Any = scores(90, 90)
    past: dict[int, Any] = {1: {"challenger": {"reference": holdout(99, 100)}}}
    for score in [past[1]["challenger"]["reference"], *complete["challenger"].values(), *complete["champion"].values()]:
        score |= {"metric": "cost", "cost": 0.5, "costs": {"a": {"b": 5}}}
    past[1]["challenger"]["reference"]["cost"] = 0.1
    reason = rules.judge(complete, Promote(), past).reason
    assert reason.startswith(
        "Mean cost on the reference holdout rises from 0.1000 of version 1, the best so far, to 0.5000"
    )
    past[1]["challenger"]["reference"]["costs"] = {"a": {"b": 4}}
    assert rules.judge(complete, Promote(), past).state == "promoted"


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
