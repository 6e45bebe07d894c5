"""retraind.daemon.artifacts.explaining.explanation: the way to the values, and the scale, are named."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from exporting import exported, loaded
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from retraind.daemon.artifacts import reference_sample
from retraind.daemon.artifacts.explaining import explanation
from retraind.daemon.artifacts.explaining.explanation import Explained
from retraind.daemon.kernel import KernelClassifier
from retraind.daemon.model import Design
from retraind.daemon.schema.column import Column
from retraind.daemon.schema.schema import Schema


def explained(folder: Path, estimator: Any, width: int) -> Explained:
    """The explanation of a row of so many numbers, of which the first two decide."""
    random = np.random.default_rng(0)
    rows = random.normal(size=(300, width))
    codes = (rows[:, 0] + rows[:, 1] > 0).astype(np.int64)
    names = [f"x{number}" for number in range(width)]
    schema = Schema(target="t", classes=["no", "yes"], columns=[Column(name=name, kind="number") for name in names])
    facts = exported(folder, estimator.fit(rows, codes), rows, schema)
    model = loaded(folder, facts, schema)
    files = reference_sample.write(folder, rows, rows, model.answers, 0)
    manifest = model.manifest.model_copy(update={"files": {**facts["files"], **files}})
    model.manifest = manifest
    return explanation.explain(folder, 1, model, dict.fromkeys(names, 0.5))


FOREST = RandomForestClassifier(n_estimators=10, random_state=0)
LINEAR = make_pipeline(Design(), LogisticRegression())
KERNEL = make_pipeline(Design(), KernelClassifier())


@pytest.mark.parametrize(
    ("estimator", "width", "method", "scale"),
    [
        (FOREST, 4, "exact Shapley values of trees", "probability"),
        (FOREST, 30, "exact Shapley values of trees", "probability"),
        (LINEAR, 4, "exact Shapley values", "probability"),
        (LINEAR, 30, "exact Shapley values of a linear model", "log-odds"),
        (KERNEL, 4, "exact Shapley values", "probability"),
        (KERNEL, 30, "sampled Shapley values", "probability"),
    ],
)
def test_method_and_scale(tmp_path: Path, estimator: Any, width: int, method: str, scale: str) -> None:
    """Exact whenever it can be, on the scale of the answers if it can be; the contributions lead to the answer."""
    moved = explained(tmp_path / "b", estimator, width)
    assert (moved["method"], moved["scale"], moved["prediction"]) == (method, scale, "yes")
    total = sum(entry["contribution"] for entry in moved["features"])
    sampled = "error" in moved["features"][0]
    assert sampled == method.startswith("sampled")
    assert total == pytest.approx(moved["answer"] - moved["base"], abs=0.1 if sampled else 1e-9)
    assert {moved["features"][place]["feature"] for place in (0, 1)} == {"x0", "x1"}
    if scale == "probability":
        assert moved["answer"] == pytest.approx(moved["probabilities"]["yes"], abs=1e-6)
    else:
        odds = moved["probabilities"]["yes"] / moved["probabilities"]["no"]
        assert moved["answer"] == pytest.approx(np.log(odds), abs=1e-6)
