"""`retraind explain`: a real bundle with its sample of training rows, a row and a logged prediction."""

import json
from pathlib import Path

import bundles
import pytest
from commands import forked
from sites import Client

from retraind.daemon.core.errors import Exit
from retraind.daemon.core.home import Home
from retraind.daemon.core.settings import Settings
from retraind.daemon.storage.prediction_history import HistoryCopier

ROW = json.dumps(dict(zip(bundles.NAMES, bundles.SETOSA, strict=True)))


@pytest.fixture
def explaining(home: Home) -> Home:
    """A home that serves version 1, whose bundle has a sample of training rows."""
    bundles.point(home, bundles.with_sample(home, bundles.make(home, 1)))
    return home


def test_contributions_lead_from_the_mean_to_the_answer(explaining: Home) -> None:
    done = forked("explain", ROW, "--json", home=explaining)
    assert done.returncode == Exit.OK, done.stderr
    explained = json.loads(done.stdout)
    assert (explained["version"], explained["prediction"]) == (1, "setosa")
    assert explained["method"] == "exact Shapley values"
    total = sum(entry["contribution"] for entry in explained["features"])
    assert total == pytest.approx(explained["answer"] - explained["base"], abs=1e-9)
    assert {entry["feature"]: entry["value"] for entry in explained["features"]} == json.loads(ROW)


def test_logged_prediction_is_explained_by_its_version(explaining: Home) -> None:
    _, _, text = Client(explaining).ask("POST", "/predict", json.dumps({"features": bundles.SETOSA}).encode())
    copier = HistoryCopier(explaining, Settings())
    copier.copy()
    copier.close()
    bundles.point(explaining, bundles.make(explaining, 2, favourite=2))
    done = forked("explain", json.loads(text)["prediction_id"], home=explaining)
    assert done.returncode == Exit.OK, done.stderr
    assert "petal_length" in done.stdout
    assert "Version 1 answers setosa" in done.stdout


def test_mistakes_have_their_codes(explaining: Home, tmp_path: Path) -> None:
    bundles.record(explaining, bundles.make(explaining, 2))
    for arguments, code, part in [
        (("{",), Exit.NOT_ROWS, "is not JSON"),
        (("[1, 2]",), Exit.NOT_ROWS, "has 2 values"),
        (('{"colour": 1}',), Exit.NOT_ROWS, "no column"),
        (("nothing-1",), Exit.NOT_FOUND, "prediction"),
        ((ROW, "--version", 9), Exit.NOT_FOUND, "no version 9"),
        ((ROW, "--version", 2), Exit.NOT_FOUND, "no sample of its training rows"),
    ]:
        done = forked("explain", *arguments, home=explaining)
        assert (done.returncode, done.stdout) == (code, ""), done.stderr
        assert part in done.stderr
