"""retraind.daemon.training.selection.comparison: what chooses among candidates, and what a budget of time leaves of them."""

import signal
from typing import Any

import numpy as np
import pytest
from sklearn.dummy import DummyClassifier
from test_model import MIXED, PRICES, mixed, priced

from retraind.daemon.core.errors import TrainingFailed
from retraind.daemon.core.settings import Train
from retraind.daemon.schema.schema import Schema
from retraind.daemon.schema.scores import CROSS_VALIDATED
from retraind.daemon.training.progress import Progress
from retraind.daemon.training.selection import candidates, comparison
from retraind.daemon.training.selection.attempt import Attempt
from retraind.daemon.training.selection.comparison import Cut, Outcome
from retraind.daemon.training.selection.cross_validation import Trial
from retraind.daemon.training.selection.tasks import OneByOne, Result

SAID: list[Any] = []


def compare(schema: Schema, taught: tuple[Any, Any], **settings: Any) -> Outcome:
    SAID.clear()
    chosen = Train(**settings)
    planned = candidates.plan(schema, chosen)
    return comparison.compare(planned, Trial(schema, *taught, chosen, Progress(1, len(planned), SAID.append)))


def test_cheap_ones_are_tried_first_and_reported_as_they_were_named() -> None:
    """So that a budget leaves the most, while the order of the settings goes on deciding among equals."""
    outcome = compare(
        MIXED, mixed(), candidates=["forest", "logistic", "tree"], grids={"forest": {"n_estimators": [5]}}
    )
    notes = [message["note"].partition(":")[0] for message in SAID if "note" in message]
    assert notes == ["logistic", "tree", "forest(n_estimators=5)"]
    assert [one.name for one in outcome.scored] == ["forest(n_estimators=5)", "logistic", "tree"]
    steps = [message["step"] for message in SAID if message.get("fold") == 1]
    assert steps == [1, 2, 3]


def test_metric_chooses() -> None:
    """Nine of ten rows are of one class: who always says so is accurate, and no better than a coin by the other measures."""
    random = np.random.default_rng(0)
    rows = random.normal(size=(400, 3))
    codes = (rows[:, 0] + random.normal(size=400) > 2.2).astype(np.int64)
    schema = MIXED.model_copy(update={"classes": ["no", "yes"]})
    chosen = {"candidates": ["logistic", "sklearn.dummy:DummyClassifier"], "class_weight": "balanced"}
    accurate = compare(schema, (rows, codes), **chosen, metric="accuracy")
    assert accurate.ranking[0].name == "sklearn.dummy:DummyClassifier"
    assert compare(schema, (rows, codes), **chosen).ranking[0].metric == "balanced_accuracy", "auto sees the rare class"
    for metric in ("auto", "balanced_accuracy", "roc_auc"):
        best = compare(schema, (rows, codes), **chosen, metric=metric).ranking[0]
        assert best.name == "logistic"
        assert best.value > 0.7
        assert best.metric
        assert best.figures()[CROSS_VALIDATED[best.metric]] == best.value
    by_loss = compare(schema, (rows, codes), **chosen, metric="log_loss")
    assert by_loss.ranking[0].value == min(one.value for one in by_loss.scored)


def test_errors_choose_for_numbers() -> None:
    """The mean absolute error is better when it is smaller."""
    outcome = compare(PRICES, priced(), candidates=["ridge", "tree"], metric="mae")
    assert outcome.ranking[0].value == min(one.value for one in outcome.scored) > 0


def test_metric_of_another_task_is_refused() -> None:
    """With those that there are."""
    with pytest.raises(TrainingFailed, match=r"train\.metric = 'rmse' can't measure classification\. .*log_loss"):
        compare(MIXED, mixed(), metric="rmse", candidates=["tree"])


@pytest.mark.parametrize("endless", ["crashing:Slow", "crashing:Deaf"])
def test_used_budget_leaves_who_has_finished(endless: str) -> None:
    """A fit that never ends is interrupted, until it listens; what finished before competes, the reason of the others is kept."""
    before = signal.getsignal(signal.SIGALRM)
    outcome = compare(MIXED, mixed(), candidates=[endless, "least_squares", "tree"], budget_seconds=1)
    assert [one.name for one in outcome.scored] == ["least_squares", "tree"]
    assert outcome.left_out.keys() == {endless}
    assert outcome.left_out[endless].startswith("train.budget_seconds = 1 was used up: no fold had ended after ")
    assert outcome.cut is not None
    assert outcome.cut.needs[endless] > 1
    assert (
        f"before {endless} had finished: with 1 of train.jobs, all candidates need more than " in outcome.cut.sentence
    )
    assert signal.getsignal(signal.SIGALRM) is before
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_used_budget_leaves_one_at_least() -> None:
    """However small it is, one candidate gets through, with as many folds as there was time for, but one.

    They choose; nothing of the model may depend on how many there were.
    """
    outcome = compare(MIXED, mixed(), candidates=["tree", "logistic"], budget_seconds=1e-9)
    assert [one.name for one in outcome.scored] == ["logistic"]
    assert [message["fold"] for message in SAID if "fold" in message] == [1]
    assert len(outcome.scored[0].kept[0]) == 0


def test_candidate_that_raises_is_left_out() -> None:
    """Also a candidate that needs more memory than allowed; if no candidate is left, the error has every reason."""
    outcome = compare(MIXED, mixed(), candidates=["crashing:Raises", "tree"])
    assert outcome.left_out == {"crashing:Raises": "ZeroDivisionError: somebody divided by zero"}
    with pytest.raises(TrainingFailed, match="crashing:Raises: ZeroDivisionError"):
        compare(MIXED, mixed(), candidates=["crashing:Raises"])


def test_answers_that_are_no_numbers_never_win() -> None:
    """Such a score is neither more nor less than another one, so it could stand anywhere in the order."""
    outcome = compare(PRICES, priced(), candidates=["crashing:Nonsense", "ridge"])
    assert [one.name for one in outcome.scored] == ["ridge"]
    assert "are not finite numbers" in outcome.left_out["crashing:Nonsense"]


def test_area_under_the_curve_is_that_of_each_class_against_the_rest() -> None:
    """Perfect is 1, a constant is 0.5, also with three classes of which one has no rows."""
    rows = np.arange(40.0).reshape(-1, 1)
    codes = (rows[:, 0] >= 20).astype(np.int64)
    schema = MIXED.model_copy(update={"columns": MIXED.columns[:1]})
    chosen = {"candidates": ["tree", "sklearn.dummy:DummyClassifier"], "metric": "roc_auc"}
    tree, constant = compare(schema, (rows, codes), **chosen).scored
    assert tree.value > 0.95
    assert constant.value == pytest.approx(0.5)
    assert isinstance(
        constant.estimator[-1] if hasattr(constant.estimator, "steps") else constant.estimator, DummyClassifier
    )


def test_cut_candidates_say_what_they_would_need() -> None:
    """From their own folds if any has ended, else from how long they had run, or from those that are known to be quicker."""
    trial = Trial(MIXED, *mixed(), Train(candidates=["tree", "forest", "boosting", "crashing:Slow"], folds=4))
    names = ["tree", "boosting", "forest", "crashing:Slow"]
    planned = {one.name: one for one in candidates.plan(MIXED, trial.settings)}
    tree, boosting, forest, slow = (Attempt(trial, planned[name]) for name in names)
    fold = trial.fold(planned["tree"], 0)
    for task in tree.tasks[1:3]:
        tree.take(Result(task, fold, "", 200.0))
    assert tree.shortfall({}, 0) == (800, False, "2 of 4 folds had ended, all need about 800 s.")
    running = {boosting.tasks[0]: 300.0, boosting.tasks[1]: 250.0, tree.tasks[0]: 900.0}
    assert boosting.shortfall(running, 800) == (
        1200,
        True,
        "no fold had ended after 300 s, so all need more than 1,200 s.",
    )
    assert forest.shortfall(running, 1200).seconds == 1200
    assert (
        "had not started, and usually takes longer than others that need 1,200 s" in forest.shortfall({}, 1200).clause
    )
    assert slow.shortfall({}, 1200) == (0, True, "it had not started, so its time is not known.")
    cut = Cut(900, 2, {"tree": 800, "boosting": 1200}, ["boosting"], at_least=False)
    assert cut.sentence == (
        "train.budget_seconds = 900 was used up before boosting had finished: with 2 of train.jobs, all candidates need about 1,000 s."
    )
    assert cut.figures()["seconds"] == {"boosting": 1200}


class Several(OneByOne):
    """An engine that says that it runs two tasks at the same time."""

    jobs = 2


@pytest.mark.parametrize(
    ("budget", "expected", "first"),
    [
        (0, {}, "tree"),
        (0, {"least_squares": 1, "tree": 2, "logistic": 9}, "logistic"),
        (30, {"least_squares": 1, "tree": 1, "logistic": 10}, "logistic"),
        (20, {"least_squares": 1, "tree": 1, "logistic": 10}, "least_squares"),
        (30, {"least_squares": 1, "logistic": 10}, "least_squares"),
    ],
)
def test_several_processes_begin_with_long_folds_if_there_is_time_for_all(
    budget: float, expected: dict[str, float], first: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then none runs alone at the end. A budget that may be too short gets cheap candidates first, as with one process."""
    monkeypatch.setattr(comparison, "FEW_CELLS", 0)
    chosen = Train(candidates=["logistic", "tree", "least_squares"], budget_seconds=budget, folds=2)
    for kind, begun in ((Several, first), (OneByOne, "least_squares")):
        SAID.clear()
        trial = Trial(MIXED, *mixed(), chosen, Progress(1, 3, SAID.append))
        outcome = comparison.compare(candidates.plan(MIXED, chosen), trial, kind(trial), expected)
        assert next(one["note"] for one in SAID if "note" in one).startswith(f"{begun}:")
        assert [one.name for one in outcome.scored] == chosen.candidates
