"""retraind.daemon.training.export: regressors, served as scikit-learn answers."""

from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from exporting import PLAIN, REGRESSORS, exported, loaded
from test_model import PRICES, few_trees, priced

from retraind.daemon.artifacts import bundle
from retraind.daemon.core import durable
from retraind.daemon.core.errors import BundleRefused
from retraind.daemon.schema.schema import Schema
from retraind.daemon.training.selection import candidates

# Regression


@pytest.mark.parametrize("name", candidates.NAMES["regression"])
def test_every_regressor_serves_as_onnx(tmp_path: Path, name: str) -> None:
    """In double precision all the way: a large target with a small spread is as exact as any, on rows never seen."""
    matrix, prices = priced(400)
    fresh, _ = priced(2000, seed=1)
    fitted = candidates.build(name, PRICES, 42).fit(matrix, prices)
    facts = exported(tmp_path / "b", fitted, matrix, PRICES)
    assert (facts["backend"], facts["difference"] <= 1e-9) == ("onnx", True)
    got = loaded(tmp_path / "b", facts, PRICES).answers(fresh)
    assert got.shape == (2000, 1)
    assert got.dtype == np.float64
    np.testing.assert_allclose(got[:, 0], fitted.predict(fresh), rtol=0, atol=1e-8)


@pytest.mark.parametrize("name", ["tree", "forest", "boosting"])
def test_values_on_a_threshold_go_the_same_way(tmp_path: Path, name: str) -> None:
    """No row crosses a split of a regression, also where a value is the threshold itself."""
    plain = Schema(task="regression", target="t", columns=PLAIN.columns)
    matrix = np.random.default_rng(3).integers(0, 40, (300, 2)) / 10 + 0.1
    fitted = few_trees(name, plain).fit(matrix, matrix.sum(axis=1))
    got = loaded(tmp_path / "b", exported(tmp_path / "b", fitted, matrix, plain), plain)
    between = np.array([[a / 20, b / 20] for a in range(100) for b in range(100)])
    np.testing.assert_allclose(got.answers(between)[:, 0], fitted.predict(between), rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", REGRESSORS)
def test_target_that_never_varies_is_served(tmp_path: Path, name: str) -> None:
    """Trees of a single leaf are trees, too."""
    matrix, prices = priced(50)
    fitted = few_trees(name, PRICES).fit(matrix, np.full_like(prices, 7.0))
    facts = exported(tmp_path / "b", fitted, matrix, PRICES)
    assert facts["backend"] == "onnx"
    np.testing.assert_allclose(loaded(tmp_path / "b", facts, PRICES).answers(matrix), 7.0, atol=1e-6)


@pytest.mark.parametrize("name", REGRESSORS)
def test_regressor_can_be_served_by_scikit_learn(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the graph is not exact enough the bundle holds the estimator, of the listed types only."""
    monkeypatch.setattr(bundle, "PARITY", -1.0)
    matrix, prices = priced(100)
    fitted = few_trees(name, PRICES).fit(matrix, prices)
    facts = exported(tmp_path / "b", fitted, matrix, PRICES)
    assert facts["backend"] == "sklearn"
    monkeypatch.setattr(bundle, "PARITY", 1e-6)
    answers: Any = loaded(tmp_path / "b", facts, PRICES).answers(matrix)
    np.testing.assert_allclose(answers[:, 0], fitted.predict(matrix))


def test_parity_of_values_is_a_share_of_their_range(tmp_path: Path) -> None:
    """A graph that is off by more than a millionth of the range is refused when it is loaded."""
    matrix, prices = priced(100)
    fitted = candidates.build("ridge", PRICES, 42).fit(matrix, prices)
    facts = exported(tmp_path / "b", fitted, matrix, PRICES)
    path = tmp_path / "b" / bundle.PROBE
    probe = orjson.loads(path.read_bytes())
    for share, refused in ((0.5e-6, False), (2e-6, True)):
        shifted = [[value + share * probe["scale"] for value in row] for row in probe["values"]]
        path.write_bytes(orjson.dumps({**probe, "values": shifted}))
        files = {**facts["files"], bundle.PROBE: durable.sha256_file(path)}
        if refused:
            with pytest.raises(BundleRefused, match="differs from scikit-learn"):
                loaded(tmp_path / "b", {**facts, "files": files}, PRICES)
        else:
            loaded(tmp_path / "b", {**facts, "files": files}, PRICES)
