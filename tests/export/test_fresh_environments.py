"""Each format in an environment made from the package index with nothing but what its folder lists: no retraind, no service."""

from pathlib import Path

import pytest
from conftest import home_below
from fresh import Fresh
from taking_away import CUSTOMERS, customers, recorded, same, served_answers, strangers
from workshop import Workshop

from retraind.daemon.export.export import export
from retraind.daemon.export.formats import Format


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory, migrated: Path) -> Workshop:
    workshop = Workshop(home_below(tmp_path_factory.mktemp("customers"), migrated), CUSTOMERS)
    workshop.add(customers(300))
    recorded(workshop, "logistic")
    return workshop


@pytest.mark.parametrize("form", Format)
def test_folder_answers_elsewhere_as_the_service(shop: Workshop, tmp_path: Path, form: Format) -> None:
    """The folder is moved before it is used, as one that is copied to another machine."""
    export(shop.home, 1, form, tmp_path / "exported")
    moved = (tmp_path / "exported").rename(tmp_path / "elsewhere")
    fresh = Fresh(tmp_path / "env", moved / "requirements.txt")
    rows = strangers(100)
    assert same(fresh.predict(moved, rows), served_answers(shop.home, rows))
    assert len(fresh.run(moved).splitlines()) == 3
