"""retraind.daemon.artifacts.explaining: exact values of trees and linear models are those of the definition, on the scale that is named."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from exporting import PLAIN, exported, loaded
from numpy.typing import NDArray
from sklearn.ensemble import GradientBoostingClassifier, GradientBoostingRegressor
from sklearn.pipeline import make_pipeline
from test_encoding import LETTERS, THREE, letters
from test_model import MIXED, PRICES, mixed, priced

from retraind.daemon import model
from retraind.daemon.artifacts import bundle
from retraind.daemon.artifacts.explaining import coalitions, exact, explanation, model_core
from retraind.daemon.artifacts.explaining.cores import Core, Scale
from retraind.daemon.model import Calibrated, Design
from retraind.daemon.schema.schema import Schema
from retraind.daemon.training.selection import candidates

Matrix = NDArray[np.float64]


def made(
    folder: Path, estimator: Any, matrix: Matrix, targets: Any, schema: Schema
) -> tuple[bundle.Model, Core | None]:
    facts = exported(folder, model.fit(estimator, matrix, targets), matrix, schema)
    served = loaded(folder, facts, schema)
    return served, model_core.core(folder, served.manifest)


def small(estimator: Any) -> Any:
    """The same with few trees, because the definition is slow."""
    for name in ("n_estimators", "max_iter"):
        if name in estimator.get_params() and not hasattr(estimator, "C"):
            estimator.set_params(**{name: 5})
    return estimator


def odds(answers: Matrix, code: int) -> Matrix:
    """The log-odds of a class (n, 1), against the geometric mean of the others."""
    logs = np.log(answers)
    return np.asarray(logs[:, [code]] - np.delete(logs, code, axis=1).mean(axis=1, keepdims=True))


def require_definition(served: bundle.Model, core: Core, rows: Matrix, groups: list[list[int]]) -> exact.Exact:
    """Compare with the mean over all coalitions, answered by the model itself; on the scale of scores by its margins."""
    row, background = rows[0], rows[1:12]
    code = int(served.answers(row[np.newaxis])[0].argmax()) if served.manifest.data_schema.classes else 0
    explained = exact.explain(core, served.answers, row, background, groups, code)
    assert explained is not None

    def on_the_scale(mixed_rows: Matrix) -> Matrix:
        if explained.scale is Scale.LOG_ODDS:
            return odds(served.answers(mixed_rows), code)
        if explained.scale is Scale.SCORE:
            margins = core.inner.margins(core.encode(mixed_rows))
            direction, constant = core.link.direction(code, margins.shape[1])
            return np.asarray(margins @ direction + constant)[:, np.newaxis]
        return served.answers(mixed_rows)[:, [code]]

    defined = coalitions.explain(on_the_scale, row, background, groups)
    size = 1e-6 * max(1.0, abs(explained.answer))
    np.testing.assert_allclose(explained.values, defined.values[:, 0], atol=size)
    assert explained.values.sum() == pytest.approx(
        explained.answer - explained.base, abs=1e-9 * max(1.0, abs(explained.base))
    )
    assert (explained.answer, explained.base) == pytest.approx((defined.answer[0], defined.base[0]), abs=size)
    assert np.abs(explained.values).max() > 0
    return explained


SCALES = {
    "least_squares": Scale.SCORE,
    "logistic": Scale.LOG_ODDS,
    "boosting": Scale.LOG_ODDS,
    "shallow_boosting": Scale.LOG_ODDS,
}


@pytest.mark.parametrize("name", [name for name in candidates.NAMES["classification"] if name != "kernel"])
@pytest.mark.parametrize("schema", [PLAIN, MIXED], ids=["two classes", "mixed"])
def test_classifiers(tmp_path: Path, name: str, schema: Schema) -> None:
    """Numbers with gaps, and categories; the scale is that of probabilities for trees that are averaged."""
    matrix, codes = mixed(400)
    if schema is PLAIN:
        matrix, codes = np.nan_to_num(matrix[:, [0, 2]]), np.minimum(codes, 1)
    served, core = made(tmp_path / "b", small(candidates.build(name, schema, 42)), matrix, codes, schema)
    assert core is not None
    for start in (0, 100):
        explained = require_definition(
            served, core, matrix[start : start + 12], [[at] for at in range(matrix.shape[1])]
        )
        assert explained.scale == SCALES.get(name, Scale.PROBABILITY)


@pytest.mark.parametrize("name", [name for name in candidates.NAMES["regression"] if name != "kernel"])
def test_regressions(tmp_path: Path, name: str) -> None:
    matrix, values = priced(400)
    served, core = made(tmp_path / "b", small(candidates.build(name, PRICES, 42)), matrix, values, PRICES)
    assert core is not None
    explained = require_definition(served, core, matrix[:12], [[at] for at in range(matrix.shape[1])])
    assert explained.scale is Scale.VALUE


@pytest.mark.parametrize(
    ("name", "scale"), [("logistic", Scale.LOG_ODDS), ("boosting", Scale.LOG_ODDS), ("forest", Scale.SCORE)]
)
def test_calibrated_probabilities(tmp_path: Path, name: str, scale: Scale) -> None:
    """A corrected probability's log-odds are the slope times those before; shares of trees are explained before the correction."""
    matrix, codes = mixed(400)
    estimator = candidates.build(name, MIXED, 42)
    if name == "logistic":
        estimator.set_params(logisticregression__C=0.01)  # so that no probability is below the floor of the correction
    estimator = Calibrated(small(estimator), slope=0.7)
    served, core = made(tmp_path / "b", estimator, matrix, codes, MIXED)
    assert core is not None
    assert require_definition(served, core, matrix[20:32], [[at] for at in range(matrix.shape[1])]).scale is scale


@pytest.mark.parametrize("schema", [LETTERS, THREE], ids=["two classes", "three classes"])
@pytest.mark.parametrize("name", ["logistic", "forest"])
def test_texts_are_one_feature_each(tmp_path: Path, name: str, schema: Schema) -> None:
    """The words of a text move together, and encoded categories belong to their column."""
    matrix, codes = letters(schema)
    estimator = candidates.build(name, schema, 1, encoded=[2])
    small(estimator.steps[-1][1])
    served, core = made(tmp_path / "b", estimator, matrix, codes, schema)
    assert core is not None
    require_definition(served, core, matrix[:12], explanation._groups(schema))


@pytest.mark.parametrize(
    "estimator", [GradientBoostingClassifier(n_estimators=5), GradientBoostingRegressor(n_estimators=5)]
)
def test_trees_of_treelite(tmp_path: Path, estimator: Any) -> None:
    """Three classes, and values, with the design matrix before them."""
    regression = isinstance(estimator, GradientBoostingRegressor)
    (matrix, targets), schema = (priced(400), PRICES) if regression else (mixed(400), MIXED)
    sizes = [len(column.categories or []) for column in schema.columns]
    served, core = made(tmp_path / "b", make_pipeline(Design(sizes), estimator), matrix, targets, schema)
    assert served.manifest.backend == "treelite"
    assert core is not None
    require_definition(served, core, matrix[:12], [[at] for at in range(matrix.shape[1])])


@pytest.mark.parametrize("name", ["kernel", "foreign"])
def test_other_graphs_have_no_core(tmp_path: Path, name: str) -> None:
    """A kernel adds up on no scale; the graph of skl2onnx has trees in single precision."""
    matrix, codes = mixed(400)
    matrix, codes = np.nan_to_num(matrix[:, [0, 2]]), np.minimum(codes, 1)
    foreign = GradientBoostingClassifier(n_estimators=5)
    estimator = foreign if name == "foreign" else candidates.build(name, PLAIN, 42)
    served, core = made(tmp_path / "b", estimator, matrix, codes, PLAIN)
    assert (served.manifest.backend, core) == ("onnx", None)


def test_column_of_two_features_is_not_explained_so(tmp_path: Path) -> None:
    """An encoding that mixes columns has no owner for them."""
    matrix, codes = mixed(400)
    _, core = made(tmp_path / "b", small(candidates.build("forest", MIXED, 42)), matrix, codes, MIXED)
    assert core is not None
    mixing = Core(core.kind, lambda rows: core.encode(rows) + rows[:, [0]], core.inner, core.link, 0)
    groups = [[at] for at in range(matrix.shape[1])]
    answers = lambda rows: mixing.link.answers(mixing.inner.margins(mixing.encode(rows)))  # noqa: E731
    assert exact.explain(mixing, answers, matrix[0], matrix[1:12], groups, 0) is None


def test_core_that_answers_otherwise_is_not_used(tmp_path: Path) -> None:
    matrix, codes = mixed(400)
    served, core = made(tmp_path / "b", small(candidates.build("forest", MIXED, 42)), matrix, codes, MIXED)
    assert core is not None
    groups = [[at] for at in range(matrix.shape[1])]
    assert exact.explain(core, lambda rows: 1.0 - served.answers(rows), matrix[0], matrix[1:12], groups, 0) is None
