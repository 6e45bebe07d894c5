"""retraind.daemon.gate.rules: the comparison with the baseline, the best version so far, on the rows of the first drop."""

from typing import Any

import pytest
from scoring import holdout, scores

from retraind.daemon.core.settings import Promote
from retraind.daemon.gate import rules
from retraind.daemon.schema.scores import HOLDOUTS, PastScores, Score

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


def test_marks_are_of_the_same_rows() -> None:
    """A score of as many rows that are others is no mark, such as one from before equal rows were kept together."""
    past: dict[int, PastScores] = {1: {"challenger": {"reference": holdout(99, 100)}, "split": {"reference": "100-aa"}}}
    assert rules.judge(scores(90, 90, split={"reference": "100-aa"}), Promote(), past).state == "refused"
    assert rules.judge(scores(90, 90, split={"reference": "100-bb"}), Promote(), past).state == "promoted"
    del past[1]["split"]
    assert rules.judge(scores(90, 90, split={"reference": "100-bb"}), Promote(), past).state == "promoted"


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
