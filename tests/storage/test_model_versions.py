"""retraind.daemon.storage.model_versions beside the MLflow that is installed: each statement reads and leaves what its client does."""

import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from mlflow.entities import ViewType
from mlflow.exceptions import MlflowException
from mlflow.store.db.utils import _get_latest_schema_revision

from retraind.daemon.backup import database_copies
from retraind.daemon.core.errors import NotFound, Unavailable
from retraind.daemon.core.home import Home
from retraind.daemon.core.states import VersionState
from retraind.daemon.registry.registry import Registry
from retraind.daemon.storage import artifact_paths, mlflow_file, mlflow_tables
from retraind.daemon.storage.model_versions import (
    CHALLENGER,
    CHAMPION,
    LAYOUT,
    NAME,
    PREVIOUS,
    ModelVersions,
    Registered,
)

BUNDLE = "b" * 64


class Both:
    """One home with versions 1 (cleared), 2, 3 (deleted) and 4 (of another program), seen by MLflow and by us."""

    def __init__(self, home: Home) -> None:
        self.home, self.registry, self.ours = home, Registry(home), ModelVersions(home)
        self.client = self.registry.client

    def fill(self) -> None:
        self.registry.open()
        model = self.client.create_logged_model(self.registry._experiment()).model_id
        for number in (1, 2, 3):
            run = self.registry.start_run("training", {})
            for name in ("tree", "forest"):
                self.registry.end_run(self.registry.start_run(name, {}, run))
            tags = {"retraind.bundle": BUNDLE} | ({"retraind.artifacts": "removed"} if number == 1 else {})
            self.client.create_model_version(NAME, f"models:/{model}", run, tags)
        self.client.create_model_version(NAME, "file:///nowhere", self.registry.start_run("elsewhere", {}))
        self.client.create_registered_model("other")
        self.client.create_model_version("other", "file:///nowhere")
        self.client.set_registered_model_alias("other", CHAMPION, "1")
        self.client.set_registered_model_alias(NAME, CHAMPION, "2")
        self.client.set_registered_model_alias(NAME, PREVIOUS, "3")
        self.client.delete_model_version(NAME, "3")


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory, migrated: Path) -> Home:
    home = Home(tmp_path_factory.mktemp("filled"))
    home.make()
    shutil.copy(migrated, home.mlflow)
    Both(home).fill()
    return home


@pytest.fixture
def both(filled: Home, home: Home) -> Both:
    shutil.copy(filled.mlflow, home.mlflow)
    return Both(home)


def everything(path: Path) -> dict[str, list[Any]]:
    """Every row of every table; times as whether they are of today."""
    with closing(sqlite3.connect(path)) as connection:
        connection.row_factory = sqlite3.Row
        tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        rows = {name: [dict(row) for row in connection.execute(f"SELECT * FROM {name}")] for name in tables}
    for row in rows["model_versions"]:
        row["last_updated_time"] = row["last_updated_time"] > row["creation_time"]
    return {name: sorted(map(repr, found)) for name, found in rows.items()}


def by_client(client: MlflowClient, alias: str) -> int | None:
    try:
        return int(client.get_model_version_by_alias(NAME, alias).version)
    except MlflowException:
        return None


def test_layout_is_that_of_the_installed_mlflow(both: Both) -> None:
    """An MLflow with other tables fails here: look at each statement, then name its layout."""
    assert _get_latest_schema_revision() == LAYOUT
    assert both.ours.layout() == LAYOUT


def test_versions_are_read_as_mlflow_reads_them(both: Both) -> None:
    """Without the deleted one; tags, run and model of each."""
    versions = both.ours.versions()
    known = sorted(both.client.search_model_versions(f"name = '{NAME}'"), key=lambda version: int(version.version))
    assert [(one.version, one.run, one.bundle) for one in versions] == [
        (int(registered.version), registered.run_id, registered.tags.get("retraind.bundle")) for registered in known
    ]
    assert [one.cleared for one in versions] == [True, False, False]
    assert [one.model for one in versions[:2]] == [str(known[0].source).removeprefix("models:/")] * 2
    assert (versions[0].model[:2], versions[2].model) == ("m-", "")
    assert [one.version for one in both.ours.versions(after=1)] == [2, 4]
    assert [both.ours.has(version) for version in range(6)] == [False, True, True, False, True, False]


def test_candidates_are_those_that_mlflow_finds(both: Both) -> None:
    first, second, _ = both.ours.versions()
    experiment = both.registry._experiment()
    for version in (first, second):  # MLflow keeps the files of a run that a person deletes, so it is still one of them
        both.client.delete_run(both.ours.candidates(version)[0])
        nested = both.client.search_runs([experiment], f"tags.`mlflow.parentRunId` = '{version.run}'", ViewType.ALL)
        assert len(nested) == 2
        assert both.ours.candidates(version) == sorted(run.info.run_id for run in nested) != []
    assert sorted(both.ours.leftover_runs()) == both.ours.candidates(first)
    folders = [first.run, *both.ours.candidates(first), f"models/{first.model}"]
    assert both.ours.artifacts(first) == [both.home.artifacts / folder for folder in folders]


def test_training_under_way_is_seen_as_mlflow_sees_it(both: Both) -> None:
    assert both.ours.unfinished()
    mlflow_tables.kill_runs(both.home)
    assert not both.ours.unfinished()
    both.client.create_run(both.client.create_experiment("other"))
    assert not both.ours.unfinished()


def describe(client: MlflowClient) -> None:
    client.set_model_version_tag(NAME, "2", "retraind.verdict", "refused")
    client.update_model_version(NAME, "2", "Accuracy falls.")


WRITES: dict[str, tuple[Callable[[ModelVersions], None], Callable[[MlflowClient], None]]] = {
    "new alias": (
        lambda ours: ours.set_alias(CHALLENGER, 4),
        lambda client: client.set_registered_model_alias(NAME, CHALLENGER, "4"),
    ),
    "moved alias": (
        lambda ours: ours.set_alias(CHAMPION, 1),
        lambda client: client.set_registered_model_alias(NAME, CHAMPION, "1"),
    ),
    "alias taken away": (
        lambda ours: ours.set_alias(CHAMPION, None),
        lambda client: client.delete_registered_model_alias(NAME, CHAMPION),
    ),
    "alias that is not there taken away": (
        lambda ours: ours.set_alias(PREVIOUS, None),
        lambda client: client.delete_registered_model_alias(NAME, PREVIOUS),
    ),
    "verdict": (
        lambda ours: ours.describe(2, VersionState.REFUSED, "Accuracy falls."),
        describe,
    ),
    "cleared": (
        lambda ours: ours.mark_cleared(2),
        lambda client: client.set_model_version_tag(NAME, "2", "retraind.artifacts", "removed"),
    ),
}


@pytest.mark.parametrize("write", WRITES)
def test_what_is_written_is_what_mlflow_writes(both: Both, tmp_path: Path, write: str) -> None:
    """The whole database is the same afterwards, and both read the same from it."""
    ours, theirs = WRITES[write]
    other = Home(tmp_path / "other")
    other.make()
    shutil.copy(both.home.mlflow, other.mlflow)
    before = everything(other.mlflow)
    ours(both.ours)
    theirs(Registry(other).client)
    assert everything(both.home.mlflow) == everything(other.mlflow)
    assert (everything(other.mlflow) == before) == (write == "alias that is not there taken away")
    for alias in (CHAMPION, CHALLENGER, PREVIOUS):
        assert both.ours.alias(alias) == ModelVersions(other).alias(alias) == by_client(both.client, alias)


def test_alias_that_a_person_moves_in_mlflow_is_seen(both: Both) -> None:
    assert (both.ours.alias(CHAMPION), both.ours.alias(PREVIOUS)) == (2, None)
    both.client.set_registered_model_alias(NAME, CHAMPION, "1")
    assert both.ours.alias(CHAMPION) == 1
    both.client.delete_model_version(NAME, "1")
    assert both.ours.alias(CHAMPION) is None


def test_version_that_was_deleted_gets_no_alias_and_no_word(both: Both) -> None:
    before = everything(both.home.mlflow)
    for missing in (3, 99):
        with pytest.raises(NotFound, match="not found"):
            both.ours.set_alias(CHAMPION, missing)
        both.ours.describe(missing, VersionState.REFUSED, "It was deleted, so no one reads this.")
    assert everything(both.home.mlflow) == before


def test_home_without_a_database_has_no_versions(home: Home) -> None:
    """And gets none by being asked: the trainer makes it, migrated."""
    ours = ModelVersions(home)
    assert (ours.versions(), ours.alias(CHAMPION), ours.has(1), ours.layout(), ours.unfinished()) == (
        [],
        None,
        False,
        None,
        False,
    )
    ours.set_alias(CHAMPION, None)
    with pytest.raises(Unavailable, match="unable to open"):
        ours.set_alias(CHAMPION, 1)
    assert not home.mlflow.exists()


def test_locked_database_is_waited_out(both: Both, monkeypatch: pytest.MonkeyPatch) -> None:
    """Then it is Unavailable, as long as another program holds it."""
    monkeypatch.setattr(mlflow_file, "BUSY_SECONDS", 0.05)
    with closing(sqlite3.connect(both.home.mlflow)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        with pytest.raises(Unavailable, match="locked"):
            both.ours.set_alias(CHAMPION, 1)
    both.ours.set_alias(CHAMPION, 1)
    assert both.ours.alias(CHAMPION) == 1


KILLED = """
import os, signal, sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("PRAGMA cache_size = 5")
connection.execute("PRAGMA cache_spill = 5")
connection.execute("BEGIN")
connection.execute("UPDATE model_versions SET run_id = 'torn', description = hex(zeroblob(500000))")
connection.execute("UPDATE registered_model_aliases SET version = 4")
os.kill(os.getpid(), signal.SIGKILL)
"""
"""A writer that has written half a transaction into the file when it is killed."""


def test_transaction_of_a_killed_writer_is_rolled_back_by_any_reader(both: Both, tmp_path: Path) -> None:
    """Whoever comes first: the daemon, `doctor`, a backup. A connection that may only read would fail until one writes."""
    path, journal = both.home.mlflow, both.home.mlflow.with_name("mlflow.db-journal")
    before = [row.run for row in both.ours.versions()]

    def backed_up() -> None:
        with mlflow_file.reading(path) as source:
            database_copies.copied(source, tmp_path / "copy.db")

    for look in (both.ours.layout, both.ours.versions, lambda: artifact_paths.foreign_paths(both.home), backed_up):
        subprocess.run([sys.executable, "-c", KILLED, str(path)], check=False)
        assert journal.stat().st_size
        look()
        assert not journal.exists()
        assert ([row.run for row in both.ours.versions()], both.ours.alias(CHAMPION)) == (before, 2)
    with mlflow_file.reading(path) as reader, pytest.raises(sqlite3.OperationalError, match="readonly"):
        reader.execute("DELETE FROM model_versions")


def test_damaged_database_is_not_an_empty_one(home: Home) -> None:
    home.mlflow.write_bytes(b"no database" * 100)
    for ask in (lambda: ModelVersions(home).versions(), lambda: ModelVersions(home).alias(CHAMPION)):
        with pytest.raises(Unavailable, match="not a database"):
            ask()


def test_ids_that_lead_elsewhere_are_not_followed(both: Both) -> None:
    """Whoever can write to MLflow can't make us remove the data."""
    odd = Registered(1, "../../data", BUNDLE, "../../../data", cleared=False)
    assert both.ours.artifacts(odd) == []
