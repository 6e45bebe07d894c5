"""A home that was moved or copied keeps its models in its own folder, by whatever path it is reached. The service, for real."""

import os
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from conftest import names
from service import Service, flowers, wait_until

from retraind.daemon.cli import doctor
from retraind.daemon.core import status
from retraind.daemon.core.home import Home
from retraind.daemon.registry.registry import Registry
from retraind.daemon.storage import artifact_paths
from retraind.daemon.storage.model_versions import ModelVersions


@pytest.fixture
def first(tmp_path: Path, served: Path) -> Iterator[Service]:
    """A service that has trained one version."""
    running = Service(tmp_path / "first home").copied(served).start()  # MLflow writes a space as %20
    running.wait_served(1)
    running.wait_ingested()
    yield running
    running.end()


def settled(service: Service) -> None:
    """Wait until no training runs, pictures included."""
    wait_until(service.idle)


def files(folder: Path) -> set[str]:
    """Every file below a folder."""
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def models(home: Home) -> set[str]:
    """What trainings have written for people and for serving."""
    return files(home.artifacts) | files(home.bundles)


def train(service: Service, version: int) -> None:
    """Drop rows until the next version is registered; whether it is promoted does not matter."""
    service.drop(f"more-{version}.csv", flowers(version, 30))
    with closing(sqlite3.connect(service.home.journal)) as connection:
        wait_until(
            lambda: connection.execute("SELECT 1 FROM versions WHERE version = ?", (version,)).fetchone(),
            120,
            f"version {version}: {service.log()[-1500:]}",
        )
    settled(service)


def bad(home: Home) -> list[str]:
    return [f"{one['what']}: {one['detail']}" for one in doctor.examine(home) if not one["ok"]]


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_copy_and_original_live_side_by_side(first: Service, tmp_path: Path) -> None:
    """Copied while it runs or stands still, both started: each writes into its own folder alone, and says nothing of the other."""
    settled(first)
    copy = Service(tmp_path / "copy")
    shutil.copytree(first.home.root, copy.home.root, symlinks=True)
    assert status.read(first.home.status) is not None
    assert status.read(copy.home.status) is None, "the copied heartbeat is that of another home"
    assert [one.place for one in artifact_paths.foreign_paths(copy.home)] == [str(first.home.artifacts)]
    assert any("out of this home" in one for one in bad(copy.home))
    before = models(first.home)
    try:
        copy.start()
        copy.wait_served(1)
        train(copy, 2)
        assert models(first.home) == before, "the copy wrote into the original"
        assert len(models(copy.home)) > len(before)
        train(first, 2)
        assert bad(copy.home) == []
        assert bad(first.home) == []
        assert artifact_paths.foreign_paths(copy.home) == []
    finally:
        copy.end()


@pytest.mark.timeout(400)
def test_moved_home_leaves_nothing_behind(tmp_path: Path, served: Path) -> None:
    """After `mv` the old folder does not come back, and what was logged before is found in the new place."""
    first = Service(tmp_path / "first home").copied(served)  # MLflow writes a space as %20
    assert artifact_paths.relocate(first.home)
    moved = Service(tmp_path / "deep" / "moved")
    moved.home.root.parent.mkdir()
    first.home.root.rename(moved.home.root)
    try:
        moved.start()
        moved.wait_served(1)
        train(moved, 2)
        assert not first.home.root.exists()
        assert bad(moved.home) == []
        registry = Registry(moved.home)
        [version, _] = ModelVersions(moved.home).versions()
        source = Path(registry.client.get_logged_model(version.model).artifact_location.removeprefix("file://"))
        assert source.is_relative_to(moved.home.artifacts)
        assert (source / "MLmodel").exists()
    finally:
        moved.end()


def test_another_path_to_the_same_home_changes_nothing(mlflow_home: Home, tmp_path: Path) -> None:
    """By a symlink, and by a second mount: one folder, so the database stays as it is, byte for byte."""
    Registry(mlflow_home).open()
    assert artifact_paths.relocate(mlflow_home) is None
    before = mlflow_home.mlflow.read_bytes()
    link = tmp_path / "link"
    link.symlink_to(mlflow_home.root)
    assert artifact_paths.relocate(Home(link)) is None
    assert artifact_paths.foreign_paths(Home(link)) == []
    mounted = tmp_path / "mounted"
    mounted.mkdir()
    done = subprocess.run(["mount", "--bind", str(mlflow_home.root), str(mounted)], capture_output=True, check=False)
    if done.returncode == 0:
        try:
            assert artifact_paths.relocate(Home(mounted)) is None
            assert artifact_paths.foreign_paths(Home(mounted)) == []
        finally:
            subprocess.run(["umount", str(mounted)], check=True)
    assert mlflow_home.mlflow.read_bytes() == before


def test_paths_that_merely_begin_alike_are_left_alone(mlflow_home: Home, tmp_path: Path) -> None:
    """`/a/home` is no part of `/a/home2`, `%` and `_` are letters; what lies elsewhere on purpose stays."""
    Registry(mlflow_home).open()
    near = f"file://{mlflow_home.artifacts}2/x"
    with closing(sqlite3.connect(mlflow_home.mlflow)) as connection, connection:
        connection.execute(
            "INSERT INTO experiments (experiment_id, name, artifact_location) VALUES (7, 'near', ?)", (near,)
        )
        connection.execute(
            "INSERT INTO experiments (experiment_id, name, artifact_location) VALUES (8, 'far', 's3://x')"
        )
    moved = Home(tmp_path / "other_%")
    mlflow_home.root.rename(moved.root)
    assert artifact_paths.relocate(moved)
    with closing(sqlite3.connect(moved.mlflow)) as connection:
        locations = dict(connection.execute("SELECT name, artifact_location FROM experiments").fetchall())
    assert locations["retraind"] == moved.artifacts.as_uri()
    assert locations["near"] == near
    assert locations["far"] == "s3://x"


def test_new_database_names_the_home_alone(home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """MLflow's own experiment would have its files in the folder from which the service was started."""
    monkeypatch.chdir(tmp_path)
    Registry(home).open()
    with closing(sqlite3.connect(home.mlflow)) as connection:
        locations = {place for (place,) in connection.execute("SELECT artifact_location FROM experiments")}
    assert locations == {home.artifacts.as_uri()}
    assert "mlruns" not in names(tmp_path)


@pytest.mark.skipif(os.geteuid() != 0, reason="gives a home to another user")
@pytest.mark.slow
@pytest.mark.timeout(200)
def test_home_of_another_user_is_examined_and_started(first: Service) -> None:
    """Root administers a home whose files belong to another user: git does not refuse it for its owner."""
    settled(first)
    first.stop()
    subprocess.run(["chown", "-R", "65534:65534", str(first.home.root)], check=True)
    assert bad(first.home) == []
    first.start()
    first.wait_served(1)
    first.drop("more.csv", flowers(5))
    first.wait_ingested()
    assert bad(first.home) == []


def test_home_of_an_earlier_mlflow_can_be_moved(mlflow_home: Home, tmp_path: Path) -> None:
    """Its database lacks what MLflow only adds when it migrates it, which comes after the move."""
    Registry(mlflow_home).open()
    with closing(sqlite3.connect(mlflow_home.mlflow)) as connection, connection:
        connection.execute("ALTER TABLE model_versions DROP COLUMN storage_location")
        connection.execute("DROP TABLE logged_models")
    moved = Home(mlflow_home.root.rename(tmp_path / "moved"))
    assert artifact_paths.relocate(moved)
    assert artifact_paths.foreign_paths(moved) == []
