"""retraind.daemon.blend, retraind.daemon.training.selection.blending: several models answer together, where that is better than each alone."""

from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.base import clone
from test_bundle import sealed
from test_kernel import SMOOTH, waves
from test_model import MIXED, PRICES, few_trees, mixed, priced

from retraind.daemon import model
from retraind.daemon.artifacts import bundle
from retraind.daemon.blend import BlendClassifier, BlendRegressor
from retraind.daemon.core.settings import Train
from retraind.daemon.model import Calibrated
from retraind.daemon.schema.schema import Schema, Task
from retraind.daemon.training.export import export
from retraind.daemon.training.selection import blending, candidates, comparison, tuning
from retraind.daemon.training.selection.blending import BAGS, BOOSTS
from retraind.daemon.training.selection.cross_validation import Trial
from retraind.daemon.training.selection.leaders import Leaders
from retraind.daemon.training.selection.search import Search
from retraind.daemon.training.selection.search_spaces import SPACES, Range
from retraind.daemon.training.selection.tuned import Member, Tuned

TWO = Schema(target="t", classes=["a", "b"], columns=MIXED.columns)
PAIRS = list(combinations(("logistic", "kernel", "forest", "boosting", "shallow_boosting"), 2))


def served(folder: Path, estimator: Any, rows: model.Matrix, schema: Schema) -> tuple[str, bundle.Model]:
    """The backend of the estimator's bundle, and the bundle as workers load it."""
    folder.mkdir()
    facts = export.write(estimator, rows, schema, folder)
    return facts["backend"], bundle.load(folder, sealed(folder, data_schema=schema, **facts))


@pytest.mark.parametrize("pair", PAIRS, ids="-".join)
def test_blend_of_two_classes_serves_as_one_graph(tmp_path: Path, pair: tuple[str, str]) -> None:
    """Whatever its members are, one of them with corrected probabilities: the answers are scikit-learn's."""
    rows, codes = mixed(200)
    codes = np.minimum(codes, 1)
    first, second = (few_trees(name, TWO) for name in pair)
    fitted = BlendClassifier([Calibrated(first, 1.7), second], [2, 1]).fit(rows, codes)
    backend, made = served(tmp_path / "b", fitted, rows, TWO)
    fresh, _ = mixed(500, seed=1)
    assert backend == "onnx"
    np.testing.assert_allclose(made.answers(fresh), fitted.predict_proba(fresh), atol=bundle.PARITY)


@pytest.mark.parametrize("kind", [BAGS, BOOSTS], ids=["bags", "boosts"])
def test_blend_of_three_classes_serves_as_one_graph(tmp_path: Path, kind: frozenset[str]) -> None:
    """With trees of one kind beside models without trees."""
    rows, codes = mixed(200)
    members = [few_trees(name, MIXED) for name in ("least_squares", "kernel", *sorted(kind))]
    fitted = BlendClassifier(members, [1] * len(members)).fit(rows, codes)
    backend, made = served(tmp_path / "b", fitted, rows, MIXED)
    assert backend == "onnx"
    np.testing.assert_allclose(made.answers(rows), fitted.predict_proba(rows), atol=bundle.PARITY)


def test_blend_of_values_is_the_weighted_mean(tmp_path: Path) -> None:
    """Of all regressions that come with retraind, as scikit-learn and as a graph."""
    rows, values = priced(150)
    members = [few_trees(name, PRICES) for name in candidates.NAMES["regression"]]
    weights = list(range(1, len(members) + 1))
    fitted = BlendRegressor(members, weights).fit(rows, values)
    expected = np.average([clone(one).fit(rows, values).predict(rows) for one in members], axis=0, weights=weights)
    np.testing.assert_allclose(fitted.predict(rows), expected)
    backend, made = served(tmp_path / "b", fitted, rows, PRICES)
    assert backend == "onnx"
    np.testing.assert_allclose(made.answers(rows)[:, 0], expected, rtol=1e-9)


@pytest.mark.parametrize("task", ["regression", "classification"])
def test_weights_go_to_models_with_different_errors(task: Task) -> None:
    """Two models with errors in different rows are blended; a copy of the best, or one with larger errors, adds nothing."""
    random = np.random.default_rng(0)
    truth = random.integers(0, 2, 500)

    def answers(noise: model.Matrix) -> model.Matrix:
        if task == "regression":
            return (truth + noise).reshape(-1, 1)
        second = 1 / (1 + np.exp(-(4 * truth - 2 + 3 * noise)))
        return np.column_stack([1 - second, second])

    noise, other = random.normal(size=(2, 500))
    both = blending.weights({"one": answers(noise), "two": answers(other)}, truth, task)
    assert set(both) == {"one", "two"}
    assert blending.weights({"one": answers(noise), "copy": answers(noise)}, truth, task) == {}
    assert blending.weights({"one": answers(noise), "worse": answers(3 * noise)}, truth, task) == {}
    assert blending.weights({}, truth, task) == {}


def smooth_and_stepped() -> tuple[model.Matrix, model.Matrix]:
    """Rows and values of a function that kernel and boosting come near from two sides."""
    rows, values = waves(300, 0)
    return rows, values + 4 * rows[:, 0] * (rows[:, 1] > 0)


def searched(settings: Train, before: Tuned | None = None) -> tuple[Any, Trial]:
    """What a tuning makes of such rows."""
    rows, values = smooth_and_stepped()
    outcome = comparison.compare(candidates.plan(SMOOTH, settings), Trial(SMOOTH, rows, values, settings))
    trial = Trial(SMOOTH, rows, values, settings)
    return tuning.tune(outcome, trial, before), trial


FEW = {"boosting": {"max_iter": [30]}, "kernel": {"penalty": [0.03]}}
KERNEL, BOOSTING = Tuned("kernel", {"penalty": 0.03}), Tuned("boosting", {"max_iter": 30, "learning_rate": 0.2})


def test_blend_that_is_better_than_its_members_wins_and_is_made_again() -> None:
    """It stands last among the candidates, and the record makes the same model."""
    settings = Train(candidates=["boosting", "kernel"], grids=FEW, folds=3, tune_seconds=1000)
    rows, values = smooth_and_stepped()
    outcome = comparison.compare(candidates.plan(SMOOTH, settings), Trial(SMOOTH, rows, values, settings))
    trial = Trial(SMOOTH, rows, values, settings)
    tries = Search(trial, outcome.ranking)
    for _ in range(60):
        tries.step()
    tries.blend()
    result = tries.result(outcome)
    tuned = Tuned.of({"tuned": result.tuned})
    assert tuned is not None
    assert {member.tuned.candidate for member in tuned.members} == {"boosting", "kernel"}
    assert result.ranking[0] is result.scored[-1]
    again = trial.of(tuned.made(SMOOTH, settings))
    assert (again.name, again.by_fold) == (result.scored[-1].name, result.scored[-1].by_fold)


def test_no_blend_is_made_where_the_settings_say_so() -> None:
    alone, _ = searched(Train(candidates=["boosting", "kernel"], grids=FEW, folds=3, tune_seconds=0.5, blend=False))
    assert alone.tuned is None or alone.tuned["candidate"] != "blend"


def test_blend_of_the_champion_is_tried_however_short_the_time() -> None:
    """A nightly training loses no blend that an earlier one has made; one that names a candidate of old is left."""
    short = Train(candidates=["boosting", "kernel"], grids=FEW, folds=3, tune_seconds=1e-9)
    kept, _ = searched(short, Tuned.blend([Member(KERNEL, 2), Member(BOOSTING, 1)]))
    assert kept.tuned is not None
    assert [(one["candidate"], one["weight"]) for one in kept.tuned["parameters"]["members"]] == [
        ("kernel", 2),
        ("boosting", 1),
    ]
    gone, _ = searched(short, Tuned.blend([Member(KERNEL, 2), Member(Tuned("forest", {}), 1)]))
    assert gone.tuned is None


def test_trees_that_no_graph_can_hold_together_are_not_blended() -> None:
    """With three classes the forests or the boosting leave, whichever is the worse; with two all may join."""
    rows, codes = mixed(120)
    for schema, joined in ((MIXED, 1), (TWO, 2)):
        targets = np.minimum(codes, len(schema.classes) - 1)
        settings = Train(candidates=["forest", "boosting", "logistic"], folds=2)
        outcome = comparison.compare(candidates.plan(schema, settings), Trial(schema, rows, targets, settings))
        leaders = Leaders(Trial(schema, rows, targets, settings), outcome.ranking)
        names = blending._joinable(leaders, len(schema.classes))
        assert len({"forest", "boosting"} & set(names)) == joined
        assert "logistic" in names


def test_blend_is_not_sought_where_its_answers_would_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows times classes, of each candidate once more for each pick."""
    settings = Train(candidates=["boosting", "kernel"], folds=3)
    rows, values = smooth_and_stepped()
    outcome = comparison.compare(candidates.plan(SMOOTH, settings), Trial(SMOOTH, rows, values, settings))
    trial = Trial(SMOOTH, rows, values, settings)
    leaders = Leaders(trial, outcome.ranking)
    assert blending.members(leaders, trial)
    monkeypatch.setattr(blending, "MOST_ANSWERS", 299)
    assert not blending.members(leaders, trial)


def test_trees_of_a_blend_are_as_many_in_the_refit_as_early_stopping_has_found() -> None:
    """Each member's, whether its probabilities are corrected or not."""
    rows, codes = mixed(300)
    boosting = candidates.with_parameters(
        "boosting", {"early_stopping": True, "max_iter": 150}, TWO, Train(), encoded=False
    ).estimator
    blend = BlendClassifier([Calibrated(boosting, 1.7), boosting, few_trees("logistic", TWO)], [1, 1, 1])
    fitted = blend.fit(rows, np.minimum(codes, 1))
    stopped = fitted.members_[0].estimator.n_iter_
    again = model.with_early_stopped_size(blend, fitted)
    assert stopped < 150
    for member in (again.members[0].estimator, again.members[1]):
        assert (member.early_stopping, member.max_iter) == (False, stopped)


def test_accuracy_that_is_not_named_is_tuned_by_the_log_loss() -> None:
    """The best accuracy of many tries is luck; where a metric is named, the tries are ranked by that."""
    rows, codes = mixed(200)
    for metric, by_loss in (("auto", True), ("accuracy", False), ("balanced_accuracy", False)):
        settings = Train(candidates=["logistic", "tree"], metric=metric, folds=2)
        outcome = comparison.compare(candidates.plan(MIXED, settings), Trial(MIXED, rows, codes, settings))
        leaders = Leaders(Trial(MIXED, rows, codes, settings), outcome.ranking)
        for leader in leaders.of.values():
            loss = comparison.served_loss(leader.scored, settings, forward=False)
            assert leader.rank == ((loss,) if by_loss else leader.scored.rank)


@pytest.mark.parametrize(("schema", "blend", "tried"), [(TWO, True, 3), (TWO, False, 2), (MIXED, True, 2)])
def test_blend_that_may_be_no_more_leaves_its_members(schema: Schema, blend: bool, tried: int) -> None:
    """Switched off, or of trees that no graph of three classes can hold: what the champion's members have is tried all the same."""
    rows, codes = mixed(120)
    targets = np.minimum(codes, len(schema.classes) - 1)
    settings = Train(candidates=["forest", "boosting"], folds=2, blend=blend, tune_seconds=10)
    outcome = comparison.compare(candidates.plan(schema, settings), Trial(schema, rows, targets, settings))
    tries = Search(Trial(schema, rows, targets, settings), outcome.ranking)
    few = [Tuned("forest", {"n_estimators": 5}), Tuned("boosting", {"max_iter": 5})]
    tries.keep(Tuned.blend([Member(tuned, 1) for tuned in few]))
    assert tries.tried == tried


def test_lower_log_loss_does_not_hide_the_more_accurate_try() -> None:
    """The comparison's ranking decides at the end: a model that it would not serve leaves its place to the next one."""
    rows, codes = mixed(200)
    codes = np.random.default_rng(0).permutation(codes)
    settings = Train(candidates=["logistic", "least_squares"], folds=3, tune_seconds=1)
    outcome = comparison.compare(candidates.plan(MIXED, settings), Trial(MIXED, rows, codes, settings))
    tries = Search(Trial(MIXED, rows, codes, settings), outcome.ranking)
    name = tries.leaders.names[0]
    leader = tries.leaders.of[name]
    sure = replace(leader.scored, name=f"{name}(sure)", loss=0.01, by_fold=(0.0, 0.01, 0.02), score=0.0)
    better = replace(leader.scored, name=f"{name}(better)", by_fold=(-1.0, -1.0, -1.0), score=1.0)
    for number, scored in enumerate((sure, better)):
        tries.leaders.take(f"try {number}", scored, Tuned(name, {}))
    assert tries.leaders.best.scored is sure
    assert tries.result(outcome).ranking[0] is better


def test_grid_may_hold_a_nought() -> None:
    """Nothing is near it on a logarithm: it is drawn from anywhere."""
    space = SPACES["ridge"]["alpha"]
    assert isinstance(space, Range)
    assert space.low <= space.near(0.0, np.random.default_rng(0)) <= space.high
