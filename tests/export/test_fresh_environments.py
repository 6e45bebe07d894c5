"""Each format in an environment made from the package index with nothing but what its folder lists: no retraind, no service."""

import shutil
from pathlib import Path

import pytest
from conftest import home_below
from fresh import Environments
from taking_away import CUSTOMERS, customers, recorded, same, served_answers, strangers
from workshop import Workshop

from retraind.daemon.export.export import export
from retraind.daemon.export.format_names import Format


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory, migrated: Path) -> Workshop:
    workshop = Workshop(home_below(tmp_path_factory.mktemp("customers"), migrated), CUSTOMERS)
    workshop.add(customers(300))
    recorded(workshop, "logistic")
    return workshop


@pytest.fixture(scope="module")
def environments(tmp_path_factory: pytest.TempPathFactory) -> Environments:
    return Environments(tmp_path_factory.mktemp("environments"))


@pytest.mark.parametrize("form", Format)
def test_folder_answers_elsewhere_as_the_service(
    shop: Workshop, environments: Environments, tmp_path: Path, form: Format
) -> None:
    """The folder is moved before it is used, as one that is copied to another machine."""
    export(shop.home, 1, form, tmp_path / "exported")
    moved = (tmp_path / "exported").rename(tmp_path / "elsewhere")
    fresh = environments.of(moved / "requirements.txt")
    rows = strangers(100)
    assert same(fresh.predict(moved, rows), served_answers(shop.home, rows))
    assert len(fresh.run(moved).splitlines()) == 3


def test_registered_model_is_loaded_elsewhere_by_mlflow_alone(
    shop: Workshop, environments: Environments, tmp_path: Path
) -> None:
    """The files that MLflow keeps of a version, in an environment with what they list: rows by column in, names of classes out."""
    [place] = [path.parent for path in shop.home.artifacts.rglob("MLmodel")]
    kept = shutil.copytree(place, tmp_path / "kept")
    fresh = environments.of(kept / "requirements.txt")
    export(shop.home, 1, Format.MLFLOW, tmp_path / "exported")
    shutil.copy(tmp_path / "exported" / "example.py", kept)
    rows = strangers(50)
    assert same(fresh.predict(kept, rows), served_answers(shop.home, rows))
