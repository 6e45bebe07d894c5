"""retraind.daemon.training.export.export: what a bundle predicts is what scikit-learn predicts."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import crashing
import numpy as np
import orjson
import pytest
from exporting import CLASSIFIERS, PLAIN, exported, loaded
from sklearn import linear_model
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from test_model import MIXED, PRICES, few_trees, mixed, priced

from retraind.daemon import model
from retraind.daemon.artifacts import bundle
from retraind.daemon.core.errors import NotServable
from retraind.daemon.core.settings import Train
from retraind.daemon.schema.column import UNKNOWN, Column
from retraind.daemon.schema.schema import Schema
from retraind.daemon.training.export import export, linear_export
from retraind.daemon.training.selection import candidates


@pytest.mark.parametrize("name", candidates.NAMES["classification"])
@pytest.mark.parametrize("schema", [PLAIN, MIXED], ids=["numbers", "mixed"])
def test_every_candidate_serves_as_onnx(tmp_path: Path, name: str, schema: Schema) -> None:
    """On rows the export has never seen labels agree and probabilities differ by at most the allowed parity."""
    matrix, codes = mixed(400)
    fresh, _ = mixed(2000, seed=1)
    if schema is PLAIN:
        matrix, codes, fresh = np.nan_to_num(matrix[:, [0, 2]]), np.minimum(codes, 1), np.nan_to_num(fresh[:, [0, 2]])
    fitted = candidates.build(name, schema, 42).fit(matrix, codes)
    facts = exported(tmp_path / "b", fitted, matrix, schema)
    assert facts["backend"] == "onnx"
    got = loaded(tmp_path / "b", facts, schema).answers(fresh)
    expected = model.answers(fitted, fresh, schema)
    assert np.abs(got - expected).max() <= bundle.PARITY
    assert (got.argmax(axis=1) == expected.argmax(axis=1)).all()


@pytest.mark.parametrize("name", ["tree", "forest", "boosting"])
def test_rows_on_a_threshold_go_the_same_way(tmp_path: Path, name: str) -> None:
    """Single precision moves no row across a split, also where a value is the threshold itself."""
    random = np.random.default_rng(3)
    matrix = random.integers(0, 40, (300, 2)) / 10 + 0.1
    codes = (matrix.sum(axis=1) > 4.2).astype(np.int64)
    fitted = few_trees(name, PLAIN).fit(matrix, codes)
    got = loaded(tmp_path / "b", exported(tmp_path / "b", fitted, matrix, PLAIN), PLAIN)
    between = np.array([[a / 20, b / 20] for a in range(100) for b in range(100)])
    expected = model.answers(fitted, between, PLAIN)
    assert np.abs(got.answers(between) - expected).max() <= bundle.PARITY


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_model_that_lacks_a_class_is_served_by_scikit_learn(tmp_path: Path, name: str) -> None:
    """A class without rows can't be in the graph; the bundle then holds the estimator itself, and gives every column."""
    matrix, codes = mixed()
    seen = codes != 2
    fitted = few_trees(name, MIXED).fit(matrix[seen], codes[seen])
    facts = exported(tmp_path / "b", fitted, matrix, MIXED)
    assert (facts["backend"], facts["input"]) == ("sklearn", "float64")
    got = loaded(tmp_path / "b", facts, MIXED).answers(matrix)
    assert got.shape == (len(matrix), 3)
    np.testing.assert_allclose(got, model.answers(fitted, matrix, MIXED), atol=bundle.PARITY)


def test_probe_has_the_gaps_that_may_come(tmp_path: Path) -> None:
    """Values that the schema lets be missing are probed, also if no row of the data lacks one."""
    matrix, codes = mixed()
    whole = matrix[~np.isnan(matrix).any(axis=1) & (matrix[:, 1] >= 0)]
    fitted = candidates.build("boosting", MIXED, 42).fit(matrix, codes)
    exported(tmp_path / "b", fitted, whole, MIXED)
    probe = orjson.loads((tmp_path / "b" / bundle.PROBE).read_bytes())
    assert any(row[0] is None for row in probe["rows"])
    assert any(row[1] == UNKNOWN for row in probe["rows"])
    assert len(probe["rows"]) == len(probe["probabilities"]) == 16 + export.PROBE_ROWS


def test_exporting_leaves_the_estimator_alone(tmp_path: Path) -> None:
    """Thresholds are snapped in a copy: what is logged to MLflow is what was fitted."""
    matrix, codes = mixed()
    fitted = candidates.build("tree", MIXED, 42).fit(matrix, codes)
    before = fitted.tree_.threshold.copy()
    exported(tmp_path / "b", fitted, matrix, MIXED)
    np.testing.assert_array_equal(fitted.tree_.threshold, before)


def test_one_row_is_enough(tmp_path: Path) -> None:
    """The first data of a home may be tiny."""
    matrix, codes = np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([0, 1])
    fitted = candidates.build("tree", PLAIN, 42).fit(matrix, codes)
    facts = exported(tmp_path / "b", fitted, matrix[:1], PLAIN)
    assert loaded(tmp_path / "b", facts, PLAIN).answers(matrix[:1]).tolist() == [[1.0, 0.0]]


@pytest.mark.parametrize("task", ["classification", "regression"])
def test_sets_of_categories_serve_as_onnx(tmp_path: Path, task: Any) -> None:
    """Categories beyond a word of the sets, ones that no row had, and none at all go as scikit-learn sends them."""
    names = [f"c{code}" for code in range(70)]
    columns = [Column(name="plan", kind="category", categories=names), Column(name="fee", kind="number", missing=True)]
    columns += [Column(name="empty", kind="category", categories=["never"])]
    schema = Schema(task=task, target="t", classes=["a", "b"] if task == "classification" else [], columns=columns)
    random = np.random.default_rng(5)
    plan, fee = random.integers(-1, 60, 800), random.normal(size=800)
    matrix = np.column_stack([plan, np.where(fee < -1, np.nan, fee), np.full(800, UNKNOWN)]).astype(np.float64)
    values = random.normal(size=61)[plan] + 0.1 * fee
    fitted = candidates.build("shallow_boosting", schema, 42).set_params(max_iter=60)
    fitted.fit(matrix, (values > 0).astype(np.int64) if task == "classification" else values)
    got = loaded(tmp_path / "b", facts := exported(tmp_path / "b", fitted, matrix, schema), schema)
    fresh = np.array([[code, fee, empty] for code in range(-1, 70) for fee in (-1.0, np.nan, 0.5) for empty in (-1, 0)])
    assert facts["backend"] == "onnx"
    assert np.abs(got.answers(fresh) - model.answers(fitted, fresh, schema)).max() <= bundle.PARITY


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_corrected_probabilities_serve_as_onnx(tmp_path: Path, name: str) -> None:
    """Calibration is part of the graph; where ONNX can't say it, as without a class, it is part of the estimator."""
    matrix, codes = mixed(400)
    fitted = model.Calibrated(few_trees(name, MIXED).fit(matrix, codes), 0.6)
    facts = exported(tmp_path / "b", fitted, matrix, MIXED)
    assert facts["backend"] == "onnx"
    fresh, _ = mixed(500, seed=1)
    expected = model.answers(fitted, fresh, MIXED)
    assert np.abs(loaded(tmp_path / "b", facts, MIXED).answers(fresh) - expected).max() <= bundle.PARITY
    seen = codes != 1
    fitted = model.Calibrated(few_trees(name, MIXED).fit(matrix[seen], codes[seen]), 0.6)
    facts = exported(tmp_path / "s", fitted, matrix, MIXED)
    assert facts["backend"] == "sklearn"
    assert (loaded(tmp_path / "s", facts, MIXED).answers(fresh) == model.answers(fitted, fresh, MIXED)).all()


def test_graph_answers_a_row_alone_as_among_others(tmp_path: Path) -> None:
    """Also with gaps and with values that single precision lacks, and to several threads at once."""
    matrix, codes = mixed(300)
    fitted = candidates.build("forest", MIXED, 42).set_params(n_estimators=10).fit(matrix, codes)
    got = loaded(tmp_path / "b", exported(tmp_path / "b", fitted, matrix, MIXED), MIXED)
    matrix[:4, 2] = 1e39, -1e39, 1e100, 3e38
    row, many = got.row, got.answers(matrix).tolist()
    assert row is not None
    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(row, matrix.tolist() * 3)) == many * 3


LINEAR = {"logistic", "least_squares", "linear", "ridge"}


@pytest.mark.parametrize("name", [*sorted(LINEAR), "tree"])
def test_linear_model_is_there_as_data(tmp_path: Path, name: str) -> None:
    """Without ONNX Runtime, for one row and many: what it answers is what scikit-learn does, calibrated or not; no other model has it."""
    schema, (matrix, targets) = (MIXED, mixed(400)) if name in CLASSIFIERS else (PRICES, priced(400))
    fitted = candidates.build(name, schema, 42).fit(matrix, targets)
    estimators = [fitted, model.Calibrated(fitted, 0.6)] if name in CLASSIFIERS and name in LINEAR else [fitted]
    fresh = (mixed if name in CLASSIFIERS else priced)(1000, seed=1)[0]
    for number, estimator in enumerate(estimators):
        facts = exported(tmp_path / str(number), estimator, matrix, schema)
        assert (bundle.LINEAR in facts["files"]) == (name in LINEAR)
        if name in LINEAR:
            got = loaded(tmp_path / str(number), facts, schema)
            assert got.row is not None
            assert [got.row(row) for row in fresh.tolist()] == got.answers(fresh).tolist()
            np.testing.assert_allclose(
                got.answers(fresh), model.answers(estimator, fresh, schema), rtol=1e-9, atol=1e-12
            )


@pytest.mark.parametrize("path", ["LogisticRegression", "Ridge", "Lasso", "LinearRegression"])
@pytest.mark.parametrize("scaled", [True, False], ids=["scaled", "bare"])
def test_linear_model_of_scikit_learn_alone_is_there_as_data(tmp_path: Path, path: str, *, scaled: bool) -> None:
    """With two classes or a value, behind a StandardScaler or nothing."""
    schema = PLAIN if path == "LogisticRegression" else Schema(task="regression", target="t", columns=PLAIN.columns)
    matrix = np.random.default_rng(0).normal(1e3, 5, (300, 2))
    targets = matrix @ [0.5, -1.0] + 500
    estimator = getattr(linear_model, path)()
    fitted = (make_pipeline(StandardScaler(), estimator) if scaled else estimator).fit(
        matrix, (targets > 0).astype(np.int64) if schema.classes else targets
    )
    facts = exported(tmp_path / "b", fitted, matrix, schema)
    if facts["backend"] == "onnx":  # in single precision a bare one may not be exact
        assert bundle.LINEAR in facts["files"]
        got = loaded(tmp_path / "b", facts, schema).answers(matrix)
        np.testing.assert_allclose(got, model.answers(fitted, matrix, schema), rtol=1e-9, atol=1e-12)


def test_linear_model_that_is_not_exact_or_too_large_is_left_to_onnx(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    matrix, codes = mixed(200)
    fitted = candidates.build("logistic", MIXED, 42).fit(matrix, codes)
    form = linear_export.form_of(fitted, 3)
    assert form is not None
    for number, other in enumerate((form.model_copy(update={"intercepts": [0.0, 0.0, 0.1]}), None)):
        monkeypatch.setattr(linear_export, "form_of", lambda *_, other=other: other)
        facts = exported(tmp_path / str(number), fitted, matrix, MIXED)
        assert (facts["backend"], set(facts["files"])) == ("onnx", {bundle.ONNX, bundle.PROBE})
    monkeypatch.undo()
    monkeypatch.setattr(linear_export, "MOST_WEIGHTS", 8)  # three scores of two numbers and a category
    assert linear_export.form_of(fitted, 3) is None


@pytest.mark.parametrize(
    "path",
    ["ensemble:ExtraTreesClassifier", "naive_bayes:GaussianNB", "neighbors:KNeighborsClassifier", "svm:LinearSVC"],
)
def test_foreign_estimator_is_served_or_refused_with_the_reason(tmp_path: Path, path: str) -> None:
    """By ONNX or by skops, and then it answers as it did; one that gives no probabilities can't be asked at all."""
    (candidate,) = candidates.plan(MIXED, Train(candidates=[f"sklearn.{path}"]))
    matrix, codes = mixed(300)
    fitted = candidate.estimator.fit(matrix, codes)
    if path == "svm:LinearSVC":
        with pytest.raises(AttributeError, match="predict_proba"):
            exported(tmp_path / "b", fitted, matrix, MIXED)
        return
    facts = exported(tmp_path / "b", fitted, matrix, MIXED)
    got = loaded(tmp_path / "b", facts, MIXED).answers(matrix)
    assert np.abs(got - model.answers(fitted, matrix, MIXED)).max() <= bundle.PARITY


def test_untrusted_type_is_not_written(tmp_path: Path) -> None:
    """A bundle that holds it could not be loaded; if ONNX can say what it does, the bundle holds that."""
    matrix, codes = mixed(100)
    with pytest.raises(NotServable, match=r"no bundle may load crashing\.Own"):
        exported(tmp_path / "own", crashing.Own().fit(np.nan_to_num(matrix), codes), np.nan_to_num(matrix), MIXED)
    assert not (tmp_path / "own" / bundle.SKOPS).exists()
    grown = crashing.Grown(max_depth=3).fit(matrix, codes)
    assert exported(tmp_path / "grown", grown, matrix, MIXED)["backend"] == "onnx"
