"""retraind.daemon.artifacts.treelite_model: what ONNX does not reproduce and treelite does is served by it, without scikit-learn in the worker."""

from pathlib import Path
from typing import Any

import bundles
import numpy as np
import pytest
from exporting import exported, loaded
from sites import PREDICTION, Site
from sklearn.ensemble import HistGradientBoostingRegressor
from test_bundle import sealed
from test_layers import loaded as imported
from test_model import MIXED, PRICES, mixed, priced

from retraind.daemon import model
from retraind.daemon.artifacts import bundle
from retraind.daemon.artifacts.bundle import Pointer
from retraind.daemon.core.errors import BundleRefused
from retraind.daemon.core.settings import EXTRA, Train
from retraind.daemon.schema.schema import Schema
from retraind.daemon.training.selection import candidates

BOOSTED = "sklearn.ensemble:GradientBoosting"
TWO = Schema(target="t", classes=["no", "yes"], columns=MIXED.columns)


def boosted(schema: Schema) -> Any:
    """Gradient boosting as a third-party candidate: it accepts no missing values, so `Design` comes before it."""
    kind = "Regressor" if schema.task == "regression" else "Classifier"
    (candidate,) = candidates.plan(schema, Train(candidates=[BOOSTED + kind]))
    return candidate.estimator


@pytest.mark.parametrize("schema", [MIXED, TWO, PRICES], ids=["three classes", "two classes", "values"])
@pytest.mark.parametrize("slope", [None, 0.6], ids=["as it is", "calibrated"])
def test_gradient_boosting_is_served_by_treelite(tmp_path: Path, schema: Schema, slope: float | None) -> None:
    """Labels agree and probabilities too, on rows the export has never seen, gaps and unknown categories among them."""
    rows = mixed if schema.classes else priced
    (matrix, targets), (fresh, _) = rows(400), rows(2000, seed=1)
    fitted = boosted(schema).fit(matrix, np.minimum(targets, len(schema.classes) - 1) if schema.classes else targets)
    if slope is not None and schema.classes:
        fitted = model.Calibrated(fitted, slope)
    facts = exported(tmp_path / "b", fitted, matrix, schema)
    assert (facts["backend"], facts["input"]) == ("treelite", "float32")
    assert 0 <= facts["difference"] <= bundle.PARITY
    expected = model.answers(fitted, fresh, schema)
    got = loaded(tmp_path / "b", facts, schema).answers(fresh)
    scale = 1.0 if schema.classes else np.ptp(expected)
    assert np.abs(got - expected).max() / scale <= bundle.PARITY
    assert (got.argmax(axis=1) == expected.argmax(axis=1)).all()


@pytest.mark.parametrize("name", EXTRA)
@pytest.mark.parametrize("schema", [MIXED, TWO, PRICES], ids=["three classes", "two classes", "values"])
def test_candidate_of_the_extra_is_served_by_treelite(tmp_path: Path, name: str, schema: Schema) -> None:
    """Within the parity, also where a category is unknown; what serves it imports no package of the extra."""
    pytest.importorskip(name)
    rows = mixed if schema.classes else priced
    (matrix, targets), (fresh, _) = rows(400), rows(2000, seed=1)
    (candidate,) = candidates.plan(schema, Train(candidates=[name]))
    candidate.estimator.set_params(n_estimators=20)
    fitted = candidate.estimator.fit(
        matrix, np.minimum(targets, len(schema.classes) - 1) if schema.classes else targets - 1e6
    )
    facts = exported(tmp_path / "b", fitted, matrix, schema)
    assert facts["backend"] == "treelite"
    expected, got = model.answers(fitted, fresh, schema), loaded(tmp_path / "b", facts, schema).answers(fresh)
    assert np.abs(got - expected).max() / (1.0 if schema.classes else np.ptp(expected)) <= bundle.PARITY
    assert (got.argmax(axis=1) == expected.argmax(axis=1)).all()
    sha256 = sealed(tmp_path / "b", data_schema=schema, **facts)
    code = f"from pathlib import Path; from retraind.daemon.artifacts import bundle; bundle.load(Path({str(tmp_path / 'b')!r}), {sha256!r})"
    assert not set(EXTRA) & imported(code)


def test_a_loss_that_our_graphs_do_not_know_is_served_by_treelite(tmp_path: Path) -> None:
    matrix, prices = priced(400)
    fitted = HistGradientBoostingRegressor(loss="poisson", random_state=0).fit(matrix, np.abs(prices))
    facts = exported(tmp_path / "b", fitted, matrix, PRICES)
    assert (facts["backend"], facts["input"]) == ("treelite", "float64")
    got = loaded(tmp_path / "b", facts, PRICES).answers(matrix)[:, 0]
    np.testing.assert_allclose(got, fitted.predict(matrix), rtol=1e-6)


def test_a_changed_file_is_refused(tmp_path: Path) -> None:
    matrix, codes = mixed(200)
    facts = exported(tmp_path / "b", boosted(MIXED).fit(matrix, codes), matrix, MIXED)
    sha256 = sealed(tmp_path / "b", data_schema=MIXED, **facts)
    path = tmp_path / "b" / bundle.TREELITE
    path.write_bytes(path.read_bytes() + b"\0")
    with pytest.raises(BundleRefused, match="not the file that was recorded"):
        bundle.load(tmp_path / "b", sha256)


def served(folder: Path) -> Site:
    """A worker whose champion is a treelite bundle."""
    site = Site(folder)
    random = np.random.default_rng(0)
    rows = random.normal(size=(300, 4)) + 3
    codes = (rows[:, 0] > 3).astype(np.int64) + (rows[:, 2] > 3)
    fitted = boosted(bundles.SCHEMA).fit(rows, codes)
    facts = exported(site.home.bundle(2), fitted, rows, bundles.SCHEMA)
    assert facts["backend"] == "treelite"
    sha256 = sealed(site.home.bundle(2), data_schema=bundles.SCHEMA, **facts)
    bundles.point(site.home, Pointer(version=2, manifest=sha256, since="2026-01-01T00:00:00.000Z"))
    return site


def test_the_worker_needs_treelite_and_not_scikit_learn(tmp_path: Path) -> None:
    site = served(tmp_path)
    try:
        assert "/treelite/" not in Path(f"/proc/{site.process.pid}/maps").read_text()
        site.wait(2)
        assert site.post("/predict", PREDICTION)[0] == 200
        maps = Path(f"/proc/{site.process.pid}/maps").read_text()
        assert "/treelite/" in maps
        assert not any(name in maps for name in ("/sklearn/", "/pandas/"))
        assert "treelite" in site.get("/health")[1]["checks"]["model"]["detail"]
    finally:
        site.close()


def test_loading_one_imports_no_training_library() -> None:
    assert not imported("import treelite") & {"sklearn", "pandas", "mlflow"}
