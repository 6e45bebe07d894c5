"""retraind.daemon.training.engines.fit_ahead: the fit on all rows in another process gives the same served model."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import workshop
from test_local_pool import Elsewhere
from test_refit import five
from workshop import Workshop

from retraind.daemon import model
from retraind.daemon.core.process_table import Process
from retraind.daemon.training import refit, winner
from retraind.daemon.training.engines import fit_ahead
from retraind.daemon.training.engines.fit_ahead import FitAhead
from retraind.daemon.training.export import export
from retraind.daemon.training.refit import Judged, Served
from retraind.daemon.training.selection import candidates

Children = Callable[[], list[Process]]

leafy = pytest.fixture(workshop.leafy)
taught = pytest.fixture(scope="module")(workshop.taught)

DATA = five(400, 1, slip=False)


def served(estimator: Any, folder: Path, ahead: FitAhead | None) -> Served:
    """The served model, after the judged one."""
    folder.mkdir()
    fitted = model.fit(estimator, *DATA.training)
    judged = Judged(estimator, fitted, None, export.write(fitted, DATA.matrix, DATA.schema, folder), folder, 0.0)
    return refit.serve(judged, DATA, None, 60, None, ahead)


@pytest.mark.parametrize("name", ["forest", "ridge", "boosting", "tree"])
def test_served_files_are_the_same(name: str, tmp_path: Path, children: Children) -> None:
    estimator = candidates.build(name, DATA.schema, 7)
    ahead = FitAhead(estimator, DATA)
    assert ahead.is_of(estimator)
    together, alone = served(estimator, tmp_path / "together", ahead), served(estimator, tmp_path / "alone", None)
    ahead.close()
    assert together.facts == alone.facts
    assert not children()


def test_killed_fit_is_repeated_here() -> None:
    """Also if it raises there, or its model is too large to be sent."""
    for grief in ("killed", "memory"):
        ahead = FitAhead(Elsewhere(grief), DATA)
        assert ahead.result() is None
        ahead.close()


def test_large_model_is_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two processes would need its memory twice."""
    monkeypatch.setattr(fit_ahead, "MOST_BYTES", -1 << 40)
    ahead = FitAhead(candidates.build("ridge", DATA.schema, 7), DATA)
    assert ahead.result() is None
    ahead.close()


def test_other_parameters_are_not_taken() -> None:
    """Early stopping of the judged model says how many trees the served one has."""
    estimator = candidates.build("boosting", DATA.schema, 7)
    ahead = FitAhead(estimator, DATA)
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
