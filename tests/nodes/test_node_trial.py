"""retraind.daemon.nodes.trial: a node follows the held version of its leader, with a real store and PostgreSQL."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import stores
from service import wait_until
from test_node_home import Elsewhere

from benchmarks.postgres import Postgres
from retraind.daemon.core.home import Home
from retraind.daemon.core.journal import journal_server
from retraind.daemon.core.node.messages import Desired, Wish
from retraind.daemon.core.settings import Promote
from retraind.daemon.core.states import VersionState
from retraind.daemon.nodes.node_home import NodeHome
from retraind.daemon.nodes.trial import Trial
from retraind.daemon.records.versions import Versions
from retraind.daemon.storage.journal import Journal
from retraind.daemon.storage.server.node_session import NodeSession

server = pytest.fixture(scope="module")(stores.server)
bucket = pytest.fixture(stores.bucket)

ROW = Desired(generation=7, epoch=2, version=1, manifest="aa", state=Wish.ACTIVE, leader="")
SHADOW = Promote.model_validate({"mode": "manual", "shadow": True})


class Place:
    """A leader with a held version, number 2, and a node."""

    def __init__(self, root: Path, url: str, bucket: stores.Bucket) -> None:
        self.home, leader = Home(root / "node"), Home(root / "leader-journal")
        self.home.make()
        leader.make()
        journal_server.settle(leader, url)
        held = {**Elsewhere(root / "leader", bucket).version(2), "state": VersionState.HELD}
        with closing(Journal.open(leader.journal)) as journal:
            journal.versions.copy(held)
        self.disk = NodeHome(self.home, bucket.store, 1000)
        self.session = NodeSession(url, "retraind test")
        self.named = ROW.model_copy(update={"challenger": 2, "challenger_manifest": held["bundle"]})

    def follow(self, trial: Trial, row: Desired) -> None:
        """As the agent does after each look."""
        trial.finish()
        trial.follow(row, self.session)

    @property
    def tried(self) -> Any:
        """The version that workers try."""
        return Versions(self.home).aliases()["challenger"]


@pytest.fixture
def place(tmp_path: Path, postgres: Postgres, bucket: stores.Bucket) -> Iterator[Place]:
    """Both."""
    place = Place(tmp_path, postgres.url(), bucket)
    yield place
    place.session.close()
    place.disk.close()


def test_held_version_is_fetched_tried_and_withdrawn(place: Place) -> None:
    trial = Trial(place.disk, SHADOW)
    place.follow(trial, place.named)
    wait_until(lambda: trial.is_prepared, 20)
    place.follow(trial, place.named)
    assert place.tried == 2
    assert trial.problem == ""
    place.follow(trial, ROW)
    assert place.tried is None


@pytest.mark.parametrize("settings", [Promote(), Promote.model_validate({"mode": "manual", "shadow": False})])
def test_node_whose_settings_ask_for_no_trial_fetches_nothing(place: Place, settings: Promote) -> None:
    trial = Trial(place.disk, settings)
    place.follow(trial, place.named)
    assert trial.prepares is None
    assert place.tried is None


def test_version_of_before_a_restart_is_withdrawn(place: Place) -> None:
    """It was decided about while the node was down."""
    trial = Trial(place.disk, SHADOW)
    place.follow(trial, place.named)
    wait_until(lambda: trial.is_prepared, 20)
    place.follow(trial, place.named)
    place.follow(Trial(place.disk, SHADOW), ROW)
    assert place.tried is None


def test_version_that_is_withdrawn_while_it_is_fetched_is_not_tried(place: Place) -> None:
    """And the agent has nothing left to do: it would look without a pause."""
    trial = Trial(place.disk, SHADOW)
    place.follow(trial, place.named)
    wait_until(lambda: trial.is_prepared, 20)
    place.follow(trial, ROW)
    assert not trial.is_prepared
    assert place.tried is None


def test_version_that_can_not_be_fetched_is_reported(place: Place, bucket: stores.Bucket) -> None:
    trial = Trial(place.disk, SHADOW)
    with bucket.cut():
        place.follow(trial, place.named)
        wait_until(lambda: trial.is_prepared, 30)
    place.follow(trial, place.named)
    assert trial.problem.startswith("Version 2 can't be tried here: ")
    assert not trial.is_prepared
    assert place.tried is None
