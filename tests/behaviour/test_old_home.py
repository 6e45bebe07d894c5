"""A home that earlier code has left: what is stored in it is enough to serve, explain, repeat and go on."""

import json
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from commands import forked
from service import Service, flowers, wait_until

from retraind.daemon.artifacts import bundle
from retraind.daemon.core.errors import Exit
from retraind.daemon.core.home import Home
from retraind.daemon.storage.journal import Journal

FILE = Path(__file__).parents[1] / "home-of-2026-11.tar.xz"
"""Iris and a second drop, two promoted versions, one prediction; without pictures, DVC's site cache and git's sample hooks."""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The home, in another folder than the one in which it was made."""
    with tarfile.open(FILE) as archive:
        archive.extractall(tmp_path / "home", filter="data")
    return tmp_path / "home"


@pytest.fixture
def service(root: Path) -> Iterator[Service]:
    """The service on this home, not yet started."""
    service = Service(root)
    yield service
    service.end()


def test_journal_and_bundles_are_read(root: Path) -> None:
    """Both versions stand in the journal with the sha256 of their bundles, which load."""
    home = Home(root)
    with closing(Journal.open(home.journal)) as journal:
        for number in (1, 2):
            row = journal.versions.get(number)
            assert row is not None
            assert row["state"] == "promoted"
            assert bundle.load(home.bundle(number), row["bundle"]).manifest.data_schema.target == "species"
        assert journal.batches.uncommitted() is None


MODEL = """
import os, sys, mlflow.sklearn
from retraind import earlier_models
earlier_models.register()
answers = [mlflow.sklearn.load_model(path).predict([[5.1, 3.5, 1.4, 0.2]]).tolist() for path in sys.argv[1:]]
assert answers == [[0], [0]], answers
import daemon, retraind.daemon.model
assert sys.modules["daemon.model"] is retraind.daemon.model and daemon.__file__.startswith(os.getcwd()), daemon
"""


def test_models_in_mlflow_load_beside_a_package_of_the_same_name(root: Path, tmp_path: Path) -> None:
    """They name their classes `daemon.model.…`, as before 0.2; here `daemon` is a package of other makers."""
    (tmp_path / "daemon").mkdir()
    (tmp_path / "daemon/__init__.py").touch()
    models = sorted(str(path.parent) for path in root.glob("registry/artifacts/models/*/artifacts/MLmodel"))
    done = subprocess.run([sys.executable, "-c", MODEL, *models], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("form", ["onnx", "pickle"])
def test_versions_of_an_earlier_release_are_taken_away(root: Path, tmp_path: Path, form: str) -> None:
    """MLflow's copies are bare estimators with the names of then; what leaves is made of the classes of now."""
    done = forked("export", 2, "--format", form, "-o", str(tmp_path / "out"), "--json", home=Home(root))
    assert done.returncode == Exit.OK, done.stderr
    assert json.loads(done.stdout)["rows"] > 50


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_old_home_goes_on_with_the_code_of_now(service: Service) -> None:
    """It serves its version at once, the commands explain and repeat it, and a new drop trains the next one."""
    answer = service.start().wait_served(2)
    assert (answer["model_version"], answer["prediction_name"]) == (2, "setosa")
    assert answer["confidence"] == pytest.approx(0.9979331898363825, abs=1e-9)
    service.rest()
    assert service.ask("/health")[0] == 200
    doctor = forked("doctor", home=service.home)
    assert doctor.returncode == Exit.OK, doctor.stdout + doctor.stderr
    for number in (1, 2):
        again = forked("reproduce", number, "--json", home=service.home)
        assert json.loads(again.stdout)["equal"] in ("bit for bit", "within 1e-12"), again.stdout + again.stderr
    service.drop("now.csv", flowers(2, 12))
    newest = wait_until(
        lambda: service.ask("/versions")[1]["versions"][0]["version"] == 3 and service.ask("/versions/3")
    )
    assert [drop["name"] for drop in newest[1]["drops"]["newest"]] == ["now.csv", "more.csv", "iris.csv"]
    assert newest[1]["scores"]["champion_version"] == 2
