"""retraind.daemon.promotion.old_versions: what goes and what stays, with real bundles, MLflow runs, models and pictures."""

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from conftest import home_below, names
from mlflow.entities import ViewType
from promoting import Parts
from sklearn.dummy import DummyClassifier

from retraind.daemon.artifacts import bundle
from retraind.daemon.artifacts.bundle import MANIFEST
from retraind.daemon.core.errors import BundleRefused
from retraind.daemon.core.home import Home
from retraind.daemon.core.settings import Promote
from retraind.daemon.portable import pipeline
from retraind.daemon.promotion.champion import Champion
from retraind.daemon.promotion.old_versions import OldVersions
from retraind.daemon.promotion.servable import verify
from retraind.daemon.schema.column import Column
from retraind.daemon.schema.schema import Schema
from retraind.daemon.storage import artifact_paths
from retraind.daemon.storage.journal import Journal
from retraind.daemon.storage.model_versions import CHALLENGER, CHAMPION, Registered


class Logged(Parts):
    """Versions whose trainings have logged what real ones log."""

    def register(self, run: str, sealed: str) -> int:
        nested = self.registry.start_run("candidate", {}, run)
        pictures = self.home.root / "pictures"
        pictures.mkdir(exist_ok=True)
        (pictures / "confusion_matrix.png").touch()
        for run_id in (run, nested):
            self.registry.log_files(run_id, pictures)
        schema = Schema(target="tree", classes=["ash", "oak"], columns=[Column(name="length", kind="number")])
        with pipeline.table_model(schema, DummyClassifier().fit([[0.0], [1.0]], [0, 1]), None) as model:
            return self.registry.register(run, model, {"bundle": sealed})


@pytest.fixture
def parts(mlflow_home: Home, journal: Journal) -> Parts:
    return Parts(mlflow_home, journal)


@pytest.fixture
def logged(mlflow_home: Home, journal: Journal) -> Logged:
    return Logged(mlflow_home, journal)


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory, migrated: Path) -> Path:
    """A home with three versions that were served one after the other: what `replaced` copies."""
    home = home_below(tmp_path_factory.mktemp("three"), migrated)
    with closing(Journal.open(home.journal)) as journal:
        logged = Logged(home, journal)
        for _ in range(3):
            logged.champion()
    return home.root


@pytest.fixture
def replaced(three: Path, tmp_path: Path) -> Iterator[Logged]:
    """Three versions, of which the last is served."""
    home = Home(tmp_path / "home")
    shutil.copytree(three, home.root)
    assert artifact_paths.relocate(home)
    with closing(Journal.open(home.journal)) as journal:
        yield Logged(home, journal)


def clear(parts: Parts, keep: int) -> int:
    """Clear all but the newest `keep` versions and those in use."""
    champion = Champion(parts.home, parts.journal, parts.models)
    stored = parts.promotion.stored
    return OldVersions(parts.home, Promote(keep_versions=keep), parts.journal, parts.models, champion, stored).clear()


def whole(parts: Parts) -> list[int]:
    """The versions that can be served."""
    whole = []
    for row in parts.journal.versions.newest():
        if names(parts.home.bundle(row["version"])) != [MANIFEST]:
            verify(parts.home, row["version"], row["bundle"], parts.promotion.stored)
            whole.append(row["version"])
    return sorted(whole)


def refused(parts: Parts) -> int:
    version = parts.train(50, 95, champion=parts.served)
    parts.settle()
    return version


def test_files_of_old_versions_go(parts: Parts) -> None:
    """Champion, previous and the newest stay, and so does everything that is known of the others."""
    first, second, third = (parts.champion() for _ in range(3))
    rest = [refused(parts) for _ in range(3)]
    assert clear(parts, keep=2) == 2
    assert whole(parts) == [second, third, *rest[1:]]
    for gone in (first, rest[0]):
        judged = parts.journal.versions.get(gone)
        assert judged is not None
        assert bundle.read_manifest(parts.home.bundle(gone), judged["bundle"]).rows == 150
        assert parts.described(gone) == judged["reason"]
    assert clear(parts, keep=2) == 0


def test_version_that_waits_stays(parts: Parts) -> None:
    """The challenger that a person has not decided about, however old."""
    parts.champion()
    parts.restart(mode="manual")
    held = parts.train(96, 95, champion=parts.served)
    parts.settle()
    assert parts.alias(CHALLENGER) == held
    for _ in range(3):
        refused(parts)
    clear(parts, keep=1)
    assert parts.ask("promote", held)[0] == "done"
    assert parts.served == held


def test_cleared_version_is_not_served_and_it_is_reported_why(parts: Parts) -> None:
    """Neither for a request nor for an alias."""
    first, _, third = (parts.champion() for _ in range(3))
    clear(parts, keep=1)
    state, detail = parts.ask("rollback", first)
    assert (state, parts.served) == ("refused", third)
    assert f"The model files of version {first} were removed (promote.keep_versions)" in detail
    parts.models.set_alias(CHAMPION, first)
    parts.settle()
    assert (parts.served, parts.state(first)) == (third, "unservable")


def test_all_versions_stay_if_one_likes(parts: Parts) -> None:
    """0 keeps them permanently."""
    versions = [parts.champion() for _ in range(4)]
    assert clear(parts, keep=0) == 0
    assert whole(parts) == versions


def test_version_of_another_program_and_one_without_a_verdict_are_left_alone(parts: Parts) -> None:
    """What is not ours we do not touch; what was just trained has its verdict to come."""
    foreign = parts.registry.start_run("elsewhere", {})
    parts.registry.client.create_model_version("retraind", "file:///nowhere", foreign)
    waiting = parts.train()
    assert clear(parts, keep=1) == 0
    parts.settle()
    assert parts.served == waiting


def test_everything_that_was_logged_goes(logged: Logged) -> None:
    """Pictures of the run and of the nested ones, and the MLflow model; what others logged stays."""
    first = logged.champion()
    other = logged.home.artifacts / "somebody"
    other.mkdir()
    ours = [version for version in logged.models.versions() if version.version == first]
    folders = logged.models.artifacts(ours[0])
    assert [folder.is_dir() for folder in folders] == [True, True, True]
    data = sorted(logged.home.data.rglob("*"))
    for _ in range(2):
        logged.champion()
    assert clear(logged, keep=1) == 1
    assert not any(folder.exists() for folder in folders)
    assert other.exists()
    assert sorted(logged.home.data.rglob("*")) == data
    tags = logged.registry.client.get_model_version("retraind", str(first)).tags
    assert tags["retraind.artifacts"] == "removed"


def test_runs_of_candidates_go_and_the_version_keeps_its_own(logged: Logged) -> None:
    """MLflow's database would grow by all of them for good."""
    first = logged.champion()
    [version] = [one for one in logged.models.versions() if one.version == first]
    logged.registry.log(version.run, {"seed": 1}, {"accuracy": 0.9}, {})
    for _ in range(2):
        logged.champion()
    clear(logged, keep=2)
    logged.registry.prune()
    client, experiment = logged.registry.client, [logged.registry._experiment()]
    runs = [run.info.run_id for run in client.search_runs(experiment, run_view_type=ViewType.ALL)]
    assert len(runs) == 5, "three of versions, and two of candidates"
    kept = client.get_run(version.run).data
    assert (kept.params["seed"], kept.metrics["accuracy"]) == ("1", 0.9)
    assert client.get_model_version("retraind", str(first)).run_id == version.run
    with closing(sqlite3.connect(logged.home.mlflow)) as connection:
        for table in ("params", "metrics", "latest_metrics", "tags"):
            query = f"SELECT COUNT(*) FROM {table} WHERE run_uuid NOT IN (SELECT run_uuid FROM runs)"
            assert connection.execute(query).fetchone() == (0,)


@pytest.mark.parametrize("done", range(1, 7))
def test_kill_at_any_moment_leaves_the_rest_to_the_next_call(replaced: Logged, done: int) -> None:
    """Whatever share of the files has gone, the next call removes the others and says so once."""
    [version, *_] = replaced.models.versions()
    paths = _in_order(replaced, version)
    assert all(path.exists() for path in paths)
    for path in paths[:done]:
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert clear(replaced, keep=1) == 1
    assert names(replaced.home.bundle(version.version)) == [MANIFEST]
    assert not any(folder.exists() for folder in replaced.models.artifacts(version))
    assert clear(replaced, keep=1) == 0


def _in_order(parts: Parts, version: Registered) -> list[Path]:
    """What clearing removes."""
    files = [path for path in sorted(parts.home.bundle(version.version).iterdir()) if path.name != MANIFEST]
    return [*files, *parts.models.artifacts(version)]


def test_version_without_files_is_refused(parts: Parts) -> None:
    with pytest.raises(BundleRefused, match="not a readable bundle"):
        verify(parts.home, 1, "b" * 64, parts.promotion.stored)
