"""retraind.daemon.promotion.registry_recovery: MLflow's database is lost, the journal is not. The installed MLflow reads what comes back."""

import shutil
from pathlib import Path

import mlflow_servers
import promoting
import pytest
from promoting import Parts

from benchmarks.postgres import Postgres
from retraind.daemon.core import requests
from retraind.daemon.core.home import Home
from retraind.daemon.core.states import RunState
from retraind.daemon.promotion import registry_recovery
from retraind.daemon.registry.registry import Registry
from retraind.daemon.storage import mlflow_tables
from retraind.daemon.storage.journal import Journal
from retraind.daemon.storage.model_versions import CHALLENGER, CHAMPION, NAME, PREVIOUS, ModelVersions

parts = pytest.fixture(promoting.parts)


def run(parts: Parts, version: int | None) -> None:
    """A training of the journal."""
    number = parts.journal.runs.start("first model", "c0ffee", "f00.dir", 150)
    parts.journal.runs.end(number, RunState.TRAINED, "", version=version, seconds=1.0)


def lose(parts: Parts) -> None:
    """The database and the pointer are gone, and a start makes a new one."""
    parts.home.mlflow.unlink()
    parts.home.pointer.unlink()
    assert mlflow_tables.open_or_make(parts.home)
    parts.restart()


def test_versions_come_back_from_the_journal(parts: Parts, tmp_path: Path) -> None:
    """Served, previous and held one have their aliases, and the next version gets the next number."""
    first, second = parts.champion(), parts.champion(favourite=1)
    parts.restart(mode="manual")
    third = parts.train(96, 95, champion=second)
    parts.settle()
    run(parts, third)
    before = [(one.version, one.run, one.bundle) for one in parts.models.versions()]
    lose(parts)
    assert parts.models.versions() == []
    registry_recovery.recover(parts.home, parts.journal)
    parts.settle()
    assert [(one.version, one.run, one.bundle) for one in parts.models.versions()] == before
    aliases = [parts.alias(name) for name in (CHAMPION, PREVIOUS, CHALLENGER)]
    assert (parts.served, aliases) == (second, [second, first, third])
    # A copy: this process keeps the lost database open, which has the same name.
    other = Home(tmp_path / "other")
    other.make()
    shutil.copy(parts.home.mlflow, other.mlflow)
    client = Registry(other).client
    version = client.get_model_version_by_alias(NAME, CHAMPION)
    assert (int(version.version), version.tags["retraind.verdict"]) == (second, "promoted")
    assert len(client.search_model_versions(f"name='{NAME}'")) == 3
    assert int(client.create_model_version(NAME, "file:///nowhere", "f" * 32).version) == third + 1
    assert requests.pending(parts.home) == []


def test_nothing_comes_back_twice(parts: Parts) -> None:
    """Nor a version that a person has deleted."""
    first, second = parts.champion(), parts.champion(favourite=1)
    run(parts, second)
    parts.registry.client.delete_model_version(NAME, str(first))
    registry_recovery.recover(parts.home, parts.journal)
    assert [one.version for one in parts.models.versions()] == [second]


def test_version_that_was_lost_before_its_verdict_is_trained_again(parts: Parts) -> None:
    """Its rows count as trained on, so no policy would find a reason."""
    first = parts.champion()
    run(parts, first + 1)
    lose(parts)
    registry_recovery.recover(parts.home, parts.journal)
    assert [(one.kind, one.force) for one in requests.pending(parts.home)] == [("retrain", True)]


def test_home_without_a_training_stays_as_it_is(parts: Parts) -> None:
    registry_recovery.recover(parts.home, parts.journal)
    assert parts.models.versions() == []


def test_versions_come_back_to_a_server_and_not_twice(home: Home, journal: Journal, postgres: Postgres) -> None:
    """An empty database gets them; one that outlived the home gets none. MLflow numbers the next one on."""
    mlflow_servers.place(home, postgres)
    parts = Parts(home, journal)
    first, second = parts.champion(), parts.champion(favourite=1)
    run(parts, second)
    registry_recovery.recover(home, journal)
    assert [one.version for one in parts.models.versions()] == [first, second]
    mlflow_servers.place(home, postgres)
    assert mlflow_tables.open_or_make(home)
    restored = ModelVersions(home)
    assert restored.versions() == []
    for _ in range(2):
        registry_recovery.recover(home, journal)
    assert [one.version for one in restored.versions()] == [first, second]
    assert [restored.alias(name) for name in (CHAMPION, PREVIOUS, CHALLENGER)] == [second, first, None]
    client = Registry(home).client
    assert client.get_model_version_by_alias(NAME, CHAMPION).tags["retraind.verdict"] == "promoted"
    assert int(client.create_model_version(NAME, "file:///nowhere", "f" * 32).version) == second + 1
