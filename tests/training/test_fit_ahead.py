"""retraind.daemon.training.engines.fit_ahead: the fit on all rows in another process gives the same served model."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import workshop
from sklearn.datasets import load_iris
from test_local_pool import Elsewhere
from test_refit import five, parted
from workshop import Workshop

from retraind.daemon import model
from retraind.daemon.core import durable
from retraind.daemon.core.process_table import Process
from retraind.daemon.model import Calibrated
from retraind.daemon.schema.schema import Schema
from retraind.daemon.training import refit, winner
from retraind.daemon.training.engines import fit_ahead
from retraind.daemon.training.engines.fit_ahead import FitAhead, Plan
from retraind.daemon.training.export import export
from retraind.daemon.training.refit import Judged, Served
from retraind.daemon.training.selection import candidates

Children = Callable[[], list[Process]]

leafy = pytest.fixture(workshop.leafy)
taught = pytest.fixture(scope="module")(workshop.taught)

DATA = five(400, 1, slip=False)


def begun(estimator: Any, folder: Path) -> FitAhead:
    return FitAhead(Plan(estimator, None, folder / "ahead", None), DATA)


def served(estimator: Any, folder: Path, ahead: FitAhead | None) -> Served:
    """The served model, after the judged one."""
    folder.mkdir(exist_ok=True)
    fitted = model.fit(estimator, *DATA.training)
    judged = Judged(estimator, fitted, None, export.write(fitted, DATA.matrix, DATA.schema, folder), folder, 0.0)
    return refit.serve(judged, DATA, None, 60, None, ahead)


@pytest.mark.parametrize("name", ["forest", "ridge", "boosting", "tree"])
def test_served_files_are_the_same(name: str, tmp_path: Path, children: Children) -> None:
    estimator, together = candidates.build(name, DATA.schema, 7), tmp_path / "together"
    together.mkdir()
    ahead = begun(estimator, together)
    assert ahead.is_of(estimator)
    both, alone = served(estimator, together, ahead), served(estimator, tmp_path / "alone", None)
    assert not list((together / "ahead").iterdir()), "the bundle has its files"
    ahead.close()
    assert both.facts == alone.facts
    assert both.facts["files"] == {path.name: durable.sha256_file(path) for path in together.iterdir()}
    assert not children()


@pytest.mark.parametrize("slope", [None, 2.0])
def test_only_files_of_the_same_calibration_are_taken(slope: float | None, tmp_path: Path) -> None:
    """The judged model is served without one if it can't be exported with it; the fit counts then, and its files are made here."""
    rows, codes = load_iris(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(rows))
    schema = Schema(target="y", classes=["a", "b", "c"], columns=DATA.schema.columns[:4])
    data = parted(rows[order], codes[order], 120, schema)
    estimator = candidates.build("logistic", schema, 7)
    facts = []
    for name in ("together", "alone"):
        folder = tmp_path / name
        folder.mkdir()
        fitted = model.fit(estimator, *data.training)
        fitted = fitted if slope is None else Calibrated(fitted, slope)
        judged = Judged(estimator, fitted, slope, export.write(fitted, data.matrix, schema, folder), folder, 0.0)
        ahead = FitAhead(Plan(estimator, 2.0, folder / "ahead", None), data) if name == "together" else None
        facts.append(refit.serve(judged, data, None, 60, None, ahead).facts)
        if ahead is not None:
            assert len(list((folder / "ahead").iterdir())) == (0 if slope == 2.0 else len(judged.facts["files"]))
            ahead.close()
    assert facts[0] == facts[1]


def test_killed_fit_is_repeated_here(tmp_path: Path) -> None:
    """Also if it raises there, or its model is too large to be sent; no file is left."""
    for grief in ("killed", "memory"):
        ahead = begun(Elsewhere(grief), tmp_path)
        assert ahead.result() is None
        ahead.close()
    assert not list(tmp_path.iterdir())


def test_large_model_is_not_sent(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Two processes would need its memory twice."""
    monkeypatch.setattr(fit_ahead, "MOST_BYTES", -1 << 40)
    ahead = begun(candidates.build("ridge", DATA.schema, 7), tmp_path)
    assert ahead.result() is None
    ahead.close()


def test_other_parameters_are_not_taken(tmp_path: Path) -> None:
    """Early stopping of the judged model says how many trees the served one has."""
    estimator = candidates.build("boosting", DATA.schema, 7)
    ahead = begun(estimator, tmp_path)
    try:
        assert not ahead.is_of(candidates.build("boosting", DATA.schema, 7).set_params(max_iter=3))
        assert not ahead.is_of(candidates.build("tree", DATA.schema, 7))
    finally:
        ahead.close()


def test_training_takes_it(leafy: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    """A training with several jobs serves what one with one job serves."""
    used: list[Any] = []
    taken = FitAhead.result

    def result(ahead: FitAhead) -> Any:
        used.append(taken(ahead))
        return used[-1]

    monkeypatch.setattr(FitAhead, "result", result)
    files = []
    for seconds in (100.0, 0.0):
        monkeypatch.setattr(winner, "AHEAD_SECONDS", seconds)
        files.append(leafy.train("forest", jobs=2).files)
    assert [fitted is not None for fitted in used] == [True]
    assert files[0] == files[1]
