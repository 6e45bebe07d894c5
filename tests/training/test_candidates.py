"""retraind.daemon.training.selection.candidates: what competes, how it is compared, and the figures that are promised for Iris."""

import math
import sys
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.datasets import load_diabetes
from test_model import MIXED, PRICES, few_trees, mixed, priced

from retraind.daemon import model
from retraind.daemon.core.errors import TrainingFailed
from retraind.daemon.core.settings import EXTRA, Train
from retraind.daemon.model import Codes, Matrix, Targets
from retraind.daemon.schema.column import UNKNOWN, Column
from retraind.daemon.schema.schema import Schema
from retraind.daemon.training.selection import candidates, comparison, foreign, report_metrics
from retraind.daemon.training.selection.calibration import Kept
from retraind.daemon.training.selection.candidates import LATE, LATE_ROWS, NAMES, Candidate
from retraind.daemon.training.selection.comparison import Outcome
from retraind.daemon.training.selection.cross_validation import Scored, Trial


def cross_validated(
    name: str, schema: Schema, matrix: Matrix, targets: Targets, folds: int, seed: int, *, few: bool = False
) -> Scored:
    candidate = Candidate(name, few_trees(name, schema, seed) if few else candidates.build(name, schema, seed))
    return report_metrics.cross_validate(candidate, schema, matrix, targets, folds, seed)


OWN_LATE = LATE - set(EXTRA)
"""Of scikit-learn, so they are there in any case."""

CLASSIFIERS, REGRESSORS = ([one for one in NAMES[task] if one not in LATE] for task in NAMES)


@pytest.fixture
def flowers(iris: bytes, schema: Schema) -> tuple[Matrix, Codes]:
    cells = [line.split(",") for line in iris.decode().splitlines()[1:]]
    return np.array([row[:4] for row in cells], dtype=np.float64), np.array(
        [schema.class_codes[row[4]] for row in cells]
    )


def test_iris_reaches_the_promised_figures(flowers: tuple[Matrix, Codes], schema: Schema) -> None:
    """The best candidate has 29 of 30 right on the textbook split; the chosen one at least 0.955 in 10-fold validation."""
    matrix, codes = flowers
    scored = [cross_validated(name, schema, matrix, codes, 5, 42) for name in CLASSIFIERS]
    splits = [report_metrics.split42(one.estimator, matrix, codes, "classification") for one in scored]
    assert max(splits) >= 29 / 30 - 1e-9
    chosen = Outcome(scored, {}).ranking[0]
    assert cross_validated(chosen.name, schema, matrix, codes, 10, 42).score >= 0.955


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_candidate_learns_from_gaps_and_categories(name: str) -> None:
    """Each candidate takes missing numbers and unknown categories, and learns what there is to learn."""
    matrix, codes = mixed()
    fitted = candidates.build(name, MIXED, 42).fit(matrix, codes)
    proba = model.answers(fitted, matrix, MIXED)
    assert_allclose(proba.sum(axis=1), 1)
    assert (proba.argmax(axis=1) == codes).mean() > 0.85
    assert np.isfinite(model.answers(fitted, np.array([[np.nan, UNKNOWN, 1e6]]), MIXED)).all()


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_same_rows_and_seed_give_the_same_model(name: str) -> None:
    """A training can be repeated."""
    matrix, codes = mixed()
    first, again = (few_trees(name, MIXED, 7).fit(matrix, codes).predict_proba(matrix) for _ in range(2))
    assert_array_equal(first, again)


def test_unknown_candidate_is_an_error(schema: Schema) -> None:
    """A name that no candidate has is not silently another one."""
    with pytest.raises(KeyError):
        candidates.build("oracle", schema, 42)


@pytest.mark.parametrize("name", CLASSIFIERS)
@pytest.mark.parametrize("rare", [1, 2, 3])
@pytest.mark.filterwarnings("ignore:The least populated class")
def test_rare_class_does_not_stop_the_comparison(name: str, rare: int) -> None:
    """With fewer rows of a class than folds there are fewer folds, and figures all the same."""
    matrix, codes = mixed(60)
    keep = np.concatenate([np.flatnonzero(codes != 2), np.flatnonzero(codes == 2)[:rare]])
    scored = cross_validated(name, MIXED, matrix[keep], codes[keep], 5, 42, few=True)
    assert 0 <= scored.score <= 1
    assert math.isfinite(scored.loss)


@pytest.mark.parametrize(
    ("figures", "winner"),
    [
        ([(0.9, 0.1), (0.95, 0.9)], 1),
        ([(0.95, 0.3), (0.95, 0.2)], 1),
        ([(0.95, 0.2), (0.95 + 1e-12, 0.3)], 0),
        ([(0.95, 0.2), (0.95, 0.2)], 0),
    ],
)
def test_best_is_most_accurate_then_surest(figures: list[tuple[float, float]], winner: int) -> None:
    """Accuracy decides, the log loss among equals, the order of the candidates among twins."""
    nothing = Kept(np.empty((0, 2)), np.empty(0), np.empty(0))
    scored = [
        Scored(str(i), None, "classification", accuracy, loss, 0.0, nothing)
        for i, (accuracy, loss) in enumerate(figures)
    ]
    assert Outcome(scored, {}).ranking[0].name == str(winner)


@pytest.mark.parametrize(
    ("by_fold", "losses", "winner"),
    [
        ([(-0.95, -0.93, -0.94), (-0.93, -0.95, -0.93)], (0.4, 0.2), 1),
        ([(-0.95, -0.94, -0.95), (-0.93, -0.92, -0.93)], (0.4, 0.2), 0),
        ([(-0.95, -0.93, -0.94), (-0.93, -0.95, -0.93)], (0.2, 0.4), 0),
        ([(-0.95,), (-0.949,)], (0.4, 0.2), 0),
        ([(-0.95, -0.93, -0.94), (-0.99,)], (0.4, 0.2), 1),
    ],
    ids=["within the noise", "surely better", "better in both", "one fold says nothing", "first folds alone"],
)
def test_surest_is_chosen_among_those_that_accuracy_can_not_tell_apart(
    by_fold: list[tuple[float, ...]], losses: tuple[float, ...], winner: int
) -> None:
    """A difference in accuracy within one standard error over the folds is none; the log loss sees how sure each answer was."""
    nothing = Kept(np.empty((0, 2)), np.empty(0), np.empty(0))
    scored = [
        Scored(str(i), None, "classification", -float(np.mean(folds)), loss, 0.0, nothing, by_fold=folds)
        for i, (folds, loss) in enumerate(zip(by_fold, losses, strict=True))
    ]
    settled = partial(comparison.served_loss, settings=Train(), forward=False)
    assert Outcome(scored, {}, settles=settled).ranking[0].name == str(winner)
    assert Outcome(scored, {}).ranking[0] is max(scored, key=lambda one: one.score)


def test_log_loss_settles_as_it_is_served(flowers: tuple[Matrix, Codes], schema: Schema) -> None:
    """A forest that is far too sure is corrected before it is served, so its log loss is that after the correction."""
    random = np.random.default_rng(0)
    noise, codes = random.normal(size=(300, 4)), random.integers(0, 3, 300)
    forest = cross_validated("tree", schema, noise, codes, 5, 42)
    assert comparison.served_loss(forest, Train(), forward=False) < 0.5 * forest.loss
    assert comparison.served_loss(forest, Train(calibrate=False), forward=False) == forest.loss
    sure = cross_validated("logistic", schema, *flowers, 5, 42)
    assert 0 < comparison.served_loss(sure, Train(), forward=False) <= sure.loss


@pytest.mark.parametrize(("metric", "settled"), [("auto", True), ("accuracy", False)])
def test_only_auto_leaves_room(metric: str, settled: bool) -> None:
    """A metric that is named decides alone, and so do costs and balanced accuracy."""
    train = Train(candidates=["tree"], metric=metric)
    outcome = comparison.compare(candidates.plan(MIXED, train), Trial(MIXED, *mixed(), train))
    assert (outcome.settles is not None) == settled


# Regression


@pytest.mark.parametrize("name", REGRESSORS)
def test_regressor_learns_from_gaps_and_every_kind(name: str) -> None:
    """Each takes missing numbers, integers, booleans and dates, and unknown categories; far better than the mean."""
    matrix, prices = priced(400)
    fitted = candidates.build(name, PRICES, 42).fit(matrix[:300], prices[:300])
    values = model.answers(fitted, matrix[300:], PRICES)[:, 0]
    rest = ((values - prices[300:]) ** 2).sum() / ((prices[300:] - prices[300:].mean()) ** 2).sum()
    assert rest < 0.5
    nothing = np.array([[np.nan, UNKNOWN, 1.0, np.nan, np.nan, np.nan]])
    assert np.isfinite(model.answers(fitted, nothing, PRICES)).all()


def test_textbook_figures_of_diabetes() -> None:
    """The figures that everybody gets with scikit-learn: R² 0.4526 for least squares on the fixed split."""
    matrix, targets = load_diabetes(return_X_y=True)
    schema = Schema(
        task="regression", target="y", columns=[Column(name=f"x{i}", kind="number") for i in range(matrix.shape[1])]
    )
    scored = [cross_validated(name, schema, matrix, targets, 5, 42) for name in ("linear", "ridge", "tree")]
    assert report_metrics.split42(scored[0].estimator, matrix, targets, "regression") == pytest.approx(0.4526, abs=1e-4)
    assert Outcome(scored, {}).ranking[0].name in ("linear", "ridge")
    assert scored[0].score == pytest.approx(0.48, abs=0.02)
    assert scored[0].figures().keys() == {"name", "cv_r2", "cv_rmse", "fit_seconds"}


@pytest.mark.parametrize("count", [2, 3, 5])
def test_few_rows_do_not_stop_a_regression(count: int) -> None:
    """Fewer rows make fewer folds, and figures all the same."""
    matrix, prices = priced(count)
    for name in REGRESSORS:
        scored = cross_validated(name, PRICES, np.nan_to_num(matrix), prices, 5, 42, few=True)
        assert math.isfinite(scored.score)
        assert math.isfinite(scored.loss)


# Plans


def names(schema: Schema, **settings: Any) -> list[str]:
    return [one.name for one in candidates.plan(schema, Train(**settings))]


def test_each_task_takes_its_candidates() -> None:
    """What can't do the task is left out; with nothing left the reason names what there is."""
    everything = [*CLASSIFIERS, *REGRESSORS, "sklearn.naive_bayes:GaussianNB", "sklearn.svm:SVR"]
    assert set(names(PRICES, candidates=everything)) == {*REGRESSORS, "sklearn.svm:SVR"}
    candidate_names = ["ridge", "sklearn.naive_bayes:GaussianNB", "tree", "logistic"]
    assert names(MIXED, candidates=candidate_names) == ["sklearn.naive_bayes:GaussianNB", "tree", "logistic"]
    with pytest.raises(TrainingFailed, match=r"No candidate .* regression.* linear, ridge"):
        names(PRICES, candidates=["logistic"])


def test_each_combination_of_a_grid_competes() -> None:
    """A parameter is that of the estimator itself, whatever stands before it; names tell the combinations apart."""
    grids = {"logistic": {"C": [0.1, 10], "fit_intercept": [True]}, "tree": {"max_depth": [2]}}
    planned = candidates.plan(MIXED, Train(candidates=["logistic", "tree", "forest"], grids=grids))
    assert [one.name for one in planned] == [
        "logistic(C=0.1, fit_intercept=True)",
        "logistic(C=10, fit_intercept=True)",
        "tree(max_depth=2)",
        "forest",
    ]
    assert [one.estimator[-1].C for one in planned[:2]] == [0.1, 10]
    assert [one.name for one in candidates.by_cost(planned[::-1])][2:] == ["tree(max_depth=2)", "forest"]


def test_parameter_that_does_not_exist_is_named() -> None:
    """Not at the first fit, and with the nearest one that there is."""
    with pytest.raises(TrainingFailed, match=r"train\.grids: forest has no parameter 'max_dept'\. .*'max_depth'"):
        names(MIXED, candidates=["forest"], grids={"forest": {"max_dept": [3]}})


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("nowhere.at_all:Thing", "ModuleNotFoundError: No module named 'nowhere'"),
        ("sklearn.svm:SVX", "AttributeError"),
        ("sklearn.ensemble:VotingClassifier", "TypeError: .*estimators"),
        ("pathlib:Path", "must be an estimator"),
    ],
)
def test_class_that_can_not_be_used_is_named(path: str, reason: str) -> None:
    """A misspelt module or class, one that needs arguments, one that is no estimator."""
    with pytest.raises(TrainingFailed, match=rf"train\.candidates: {path} can't be used: (.|\n)*{reason}"):
        names(MIXED, candidates=[path, "tree"])


def test_foreign_class_is_seeded_and_sees_what_it_can() -> None:
    """Trees take rows as they are; who refuses missing values gets them imputed, one-hot and standardised."""
    paths = ["sklearn.ensemble:ExtraTreesClassifier", "sklearn.neighbors:KNeighborsClassifier"]
    trees, neighbours = candidates.plan(MIXED, Train(candidates=paths, seed=7))
    assert trees.estimator.random_state == 7
    matrix, codes = mixed()
    for estimator in (trees.estimator, neighbours.estimator):
        assert (estimator.fit(matrix, codes).predict(matrix) == codes).mean() > 0.8


def test_weights_of_classes_go_to_those_who_know_them() -> None:
    """A rare class is found more often by whoever can weigh classes; the others stay as they are."""
    planned = candidates.plan(MIXED, Train(class_weight="balanced"))
    weighed = {one.name for one in planned if "'balanced'" in str(one.estimator)}
    assert weighed - set(EXTRA) == {"logistic", "forest", "tree", "boosting", "kernel", *OWN_LATE}


def test_dear_candidates_wait_for_rows_unless_they_are_named() -> None:
    """A few rows are trained on as fast as before; who names candidates gets them, however few rows there are."""
    usual, named = Train(), Train(candidates=["forest", *OWN_LATE])
    for settings, rows, late in [(usual, LATE_ROWS - 1, False), (usual, LATE_ROWS, True), (named, 10, True)]:
        worthwhile = candidates.worthwhile(candidates.plan(MIXED, settings), rows, settings)
        assert {one.name for one in worthwhile}.issuperset(OWN_LATE) == late


@pytest.mark.parametrize("name", EXTRA)
def test_candidate_of_the_extra_says_what_to_install(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Named without its package it is an error with the way out; unnamed it just does not compete."""
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(TrainingFailed, match="is not installed") as refused:
        candidates.plan(MIXED, Train(candidates=[name]))
    assert "retraind[boost]" in str(refused.value.hint)
    monkeypatch.setattr(foreign, "installed", list)
    assert name not in {one.name for one in candidates.plan(MIXED, Train())}


def test_candidate_whose_package_can_not_be_imported_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that is not installed, and one that is and lacks a library; the others stay, and without others it is an error."""
    (tmp_path / "half_installed.py").write_text("raise OSError('libgomp.so.1: cannot open shared object file')")
    monkeypatch.syspath_prepend(tmp_path)
    names = ["nowhere.trees:Forest", "half_installed:Forest"]
    settings, left_out = foreign.usable(Train(candidates=[*names, "tree"]))
    assert settings.candidates == ["tree"]
    assert left_out["nowhere.trees:Forest"] == "nowhere.trees:Forest: the package nowhere is not installed."
    assert "OSError: libgomp.so.1" in left_out["half_installed:Forest"]
    with pytest.raises(TrainingFailed, match=r"can be used\. nowhere\.trees:Forest: the package nowhere"):
        foreign.usable(Train(candidates=names))


def test_grid_says_more_than_the_setting_for_all() -> None:
    """Who tries weights of classes in a grid gets each of them once."""
    grid = {"tree": {"class_weight": [None, "balanced"]}}
    planned = candidates.plan(MIXED, Train(candidates=["tree"], class_weight="balanced", grids=grid))
    assert [one.estimator.class_weight for one in planned] == [None, "balanced"]
