"""retraind.daemon.training.reproduction: a version trained again from its revision is the same model, or it is said how far apart they are.

Real git, DVC, SQLite, MLflow and scikit-learn; at the end with the service, which goes on meanwhile.
"""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import bundles
import numpy as np
import pytest
from conftest import home_below, unchanged
from ingesting import Parts
from service import flowers
from workshop import Registered, stop

from retraind.daemon.artifacts import bundle
from retraind.daemon.core import durable, requests
from retraind.daemon.core.errors import DatasetDamaged, NotFound
from retraind.daemon.core.home import Home
from retraind.daemon.core.settings import Train
from retraind.daemon.core.states import VersionState
from retraind.daemon.processes.training_job import Job
from retraind.daemon.registry.registry import Registry
from retraind.daemon.schema.column import Column
from retraind.daemon.schema.schema import Schema, load
from retraind.daemon.service import bootstrap
from retraind.daemon.storage.model_versions import ModelVersions
from retraind.daemon.training import reproduction, reproduction_verdict
from retraind.daemon.training.pieces import memory, piece_data
from retraind.daemon.training.reproduction_verdict import Reproduction
from retraind.daemon.training.run import train

PRICES = Schema(
    task="regression",
    target="price",
    columns=[
        Column(name="size", kind="number"),
        Column(name="rooms", kind="integer", missing=True),
        Column(name="town", kind="category", categories=["Aachen", "Bonn"]),
    ],
)


class Works(Parts):
    """A home that ingests drops and trains versions, as the daemon would."""

    def __init__(self, home: Home) -> None:
        super().__init__(home)
        self.registry = Registry(home)
        self.registry.open()

    def train(self, *candidates: str, **settings: Any) -> int:
        """A version of the newest revision, judged and in its place."""
        newest = self.journal.batches.committed()
        assert newest.revision is not None
        assert newest.dvc_md5 is not None
        names = {one["name"]: one["sha256"] for one in self.journal.segments.current()}
        chosen = Train(candidates=list(candidates), report_rows=0, **settings).model_dump()
        first = self.journal.batches.first_rows()
        job = Job(1, "test", newest.revision, newest.dvc_md5, names, first, chosen, None, None, rows=newest.rows)
        with suppress(Registered):
            train(self.home, job, lambda _: None, stop)
        version = ModelVersions(self.home).versions()[-1]
        assert version.bundle is not None
        self.home.staging(version.run).rename(self.home.bundle(version.version))
        self.judge(version.version, version.run, version.bundle)
        return version.version

    def judge(self, version: int, run: str, sha256: str) -> None:
        """Put a version on record as it is in its folder."""
        manifest = bundle.load(self.home.bundle(version), sha256).manifest
        names = ("candidate", "backend", "revision", "dvc_md5", "rows", "trained_rows")
        facts: Any = {name: getattr(manifest, name) for name in names} | {"trigger": "test", "bundle": sha256}
        scores = json.dumps(manifest.scores)
        self.journal.versions.judge(
            facts | {"version": version, "mlflow_run": run, "scores": scores}, VersionState.PROMOTED, "Good."
        )

    def again(self, version: int) -> int:
        """Another version with the same bundle, which a test may damage."""
        row, number = self.journal.versions.get(version), 100 + len(list(self.home.bundles.iterdir()))
        assert row is not None
        shutil.copytree(self.home.bundle(version), self.home.bundle(number))
        self.judge(number, row["mlflow_run"], row["bundle"])
        return number

    def reseal(self, version: int, **changes: Any) -> None:
        """Change what is on record of a version."""
        folder, row = self.home.bundle(version), self.journal.versions.get(version)
        assert row is not None
        manifest = bundle.read_manifest(folder, row["bundle"]).model_copy(update=changes)
        self.judge(version, row["mlflow_run"], bundle.seal(folder, manifest))


@pytest.fixture
def works(mlflow_home: Home, schema: Schema) -> Iterator[Works]:
    """A home with Iris' schema."""
    assert schema
    works = Works(mlflow_home)
    yield works
    works.close()


@contextmanager
def opened(home: Home, schema: Schema, *drops: str) -> Iterator[Works]:
    """A home that tests share, with these drops in as many segments."""
    home.schema.write_bytes(schema.dump())
    with unchanged():
        works = Works(home)
        for number, text in enumerate(drops):
            works.drop(f"{number}.csv", text)
            works.run()
        yield works
        works.close()


@pytest.fixture(scope="module")
def garden(tmp_path_factory: pytest.TempPathFactory, migrated: Path) -> Iterator[Works]:
    """A home with the 150 flowers of Iris."""
    home = home_below(tmp_path_factory.mktemp("garden"), migrated)
    bootstrap.iris(home)
    text, schema = (home.inbox / bootstrap.NAME).read_text(), load(home.schema)
    (home.inbox / bootstrap.NAME).unlink()
    assert schema is not None
    with opened(home, schema, text) as works:
        yield works


@pytest.fixture(scope="module")
def tree(garden: Works) -> int:
    """A version of the garden; who changes it takes a copy."""
    return garden.train("tree")


SMALL = {"forest": {"n_estimators": [10]}, "boosting": {"max_iter": [10]}}
"""Few trees: how many there are makes no difference to a reproduction."""


@pytest.fixture(scope="module")
def priced(tmp_path_factory: pytest.TempPathFactory, migrated: Path) -> Iterator[tuple[Works, dict[str, int]]]:
    """Versions of a regression from two segments, by candidate; a third segment came after them."""
    home = home_below(tmp_path_factory.mktemp("priced"), migrated)
    with opened(home, PRICES, prices(1), prices(2)) as works:
        versions = {name: works.train(name, grids=SMALL) for name in ("forest", "ridge", "boosting")}
        works.drop("later.csv", prices(3))
        works.run()
        yield works, versions


@pytest.fixture(scope="module")
def noise(tmp_path_factory: pytest.TempPathFactory, migrated: Path) -> Iterator[Works]:
    """A home with flowers of which nothing can be told."""
    random = np.random.default_rng(0)
    lines = [f"{x},{random.normal()},{random.normal()},{random.normal()}," for x in random.normal(size=300)]
    species = random.permuted(np.repeat(["setosa", "versicolor", "virginica"], 100))
    text = csv([line + name for line, name in zip(lines, species, strict=True)])
    with opened(home_below(tmp_path_factory.mktemp("noise"), migrated), bundles.SCHEMA, text) as works:
        yield works


def csv(rows: list[str]) -> str:
    return "\n".join(["sepal_length,sepal_width,petal_length,petal_width,species", *rows]) + "\n"


def again(works: Works, version: int) -> Reproduction:
    return reproduction.reproduce(works.home, version, Train())


def prices(seed: int) -> str:
    random = np.random.default_rng(seed)
    lines = ["size,rooms,town,price"]
    for _ in range(150):
        size, rooms, town = random.uniform(20, 200), random.integers(1, 8), random.choice(["Aachen", "Bonn"])
        price = size * 2 + rooms * 10 + 50 * (town == "Bonn") + random.normal(0, 5)
        lines.append(f"{size},{'' if rooms == 7 else rooms},{town},{price}")
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize(
    ("candidate", "settings"),
    [
        ("forest", {"grids": SMALL}),
        ("logistic", {"seed": 7, "holdout": 0.3}),
        ("boosting", {"window_rows": 100, "grids": {"boosting": {"early_stopping": [True], "max_iter": [20]}}}),
        ("tree", {"grids": {"tree": {"max_depth": [2, 3]}}, "refit": False}),
        ("logistic", {"tune_seconds": 0.5, "metric": "log_loss"}),
        ("tree", {"costs": {"virginica": {"versicolor": 9}}}),
        ("tree", {"time": "sepal_width"}),
        ("logistic", {"compare_rows": 66, "metric": "log_loss"}),
        ("sklearn.naive_bayes:GaussianNB", {}),
    ],
)
def test_model_of_classes_is_the_same(garden: Works, candidate: str, settings: dict[str, Any]) -> None:
    """Scores, what scikit-learn answers and what is served: bit for bit, with the settings of then, whatever those of now."""
    report = again(garden, garden.train(candidate, **settings))
    assert report["equal"] == "bit for bit", report
    twin = {"twin": 0.0} if settings.get("refit", True) and "time" not in settings else {}
    assert report["differences"] == {"scores": 0.0, "estimator": 0.0, "answers": 0.0} | twin
    assert report["libraries"] == {}
    assert report["candidate"].startswith(candidate)
    assert report["settings_recorded"]


@pytest.mark.parametrize("settings", [{}, {"time": "sepal_width"}])
def test_model_from_pieces_is_the_same(
    garden: Works, monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any]
) -> None:
    """A version whose rows memory had no room for is also trained again piece by piece."""
    pytest.importorskip("lightgbm", reason="the extra `boost` is not installed")
    monkeypatch.setattr(memory, "FIXED", 0)
    monkeypatch.setattr(memory, "COLUMN", 0)
    monkeypatch.setattr(piece_data, "SAMPLE_ROWS", 60)
    version = garden.train("lightgbm", memory_bytes=25_000, grids={"lightgbm": {"n_estimators": [5]}}, **settings)
    row = garden.journal.versions.get(version)
    assert row is not None
    assert json.loads(row["scores"])["from_pieces"]
    assert again(garden, version)["equal"] == "bit for bit"


@pytest.mark.parametrize("candidate", ["forest", "ridge", "boosting"])
def test_model_of_values_is_the_same(priced: tuple[Works, dict[str, int]], candidate: str) -> None:
    """Numbers, gaps and categories, from two segments, and with rows that came after the training."""
    works, versions = priced
    report = again(works, versions[candidate])
    assert report["equal"] in ("bit for bit", "within 1e-12"), report


@pytest.mark.parametrize(("budget", "corrected"), [(0, True), (1e-6, False)])
def test_calibrated_model_is_the_same(noise: Works, budget: float, corrected: bool) -> None:
    """The correction is found again from the same folds; where a budget cut them, another clock would give another model."""
    deep = {"tree": {"max_depth": [20]}}
    version = noise.train("tree", grids=deep, calibrate=True, budget_seconds=budget)
    row = noise.journal.versions.get(version)
    assert row is not None
    assert bool(json.loads(row["scores"])["calibration"]) == corrected, "noise makes a deep tree far too sure"
    assert again(noise, version)["equal"] == "bit for bit"


def test_version_from_before_a_drop_was_forgotten(works: Works, iris: bytes) -> None:
    """Its revision is in DVC's cache still; once purged, it is said that and why it can't be had."""
    works.drop("iris.csv", iris)
    extra = csv(flowers(1, 30))
    works.drop("extra.csv", extra)
    works.run()
    before = works.train("tree")
    requests.submit(works.home, "forget", drop=durable.sha256(extra.encode()))
    works.run()
    after = works.train("tree")
    assert again(works, before)["equal"] == "bit for bit"
    assert again(works, after)["equal"] == "bit for bit"
    requests.submit(works.home, "forget", drop=durable.sha256(extra.encode()), purge=True)
    works.run()
    with pytest.raises(NotFound, match="purged"):
        again(works, before)
    assert again(works, after)["equal"] == "bit for bit"


def test_other_model_is_distinguished_from_the_recorded_one(garden: Works) -> None:
    """Another seed, or a library that was another version: not equal, how far apart, and which library it may be."""
    version = garden.train("forest", grids=SMALL)
    row = garden.journal.versions.get(version)
    assert row is not None
    manifest = bundle.read_manifest(garden.home.bundle(version), row["bundle"])
    libraries = manifest.libraries | {"scikit-learn": "0.1", "nowhere": "2"}
    garden.reseal(version, settings={**manifest.settings, "seed": 1}, libraries=libraries)
    report = again(garden, version)
    assert report["equal"] is None
    assert 0.01 < (report["differences"]["answers"] or 0.0) < 1
    assert report["libraries"]["scikit-learn"][0] == "0.1"
    assert report["libraries"]["nowhere"] == ["2", None]
    said = reproduction_verdict.sentence(report)
    assert said.startswith(
        f"DIFFERENT: version {version} (forest(n_estimators=10)) from revision {manifest.revision[:10]}"
    )
    assert "scikit-learn was 0.1, is " in said
    assert "nowhere was 2, is not installed" in said


def test_bundle_without_settings_takes_those_of_now(garden: Works, tree: int) -> None:
    """One of an earlier retraind; it is said."""
    version = garden.again(tree)
    garden.reseal(version, settings={}, first_rows=0)
    report = again(garden, version)
    assert report["equal"] == "bit for bit"
    assert "today's were used" in reproduction_verdict.sentence(report)


def test_what_is_gone_or_damaged_is_named(garden: Works, tree: int) -> None:
    """No such version, no bundle, another md5 than the revision's, another object than its md5."""
    version = garden.again(tree)
    with pytest.raises(NotFound, match="There is no version 9999"):
        again(garden, 9999)
    garden.reseal(version, dvc_md5="0" * 32 + ".dir")
    with pytest.raises(DatasetDamaged, match="names DVC's"):
        again(garden, version)
    (garden.home.bundle(version) / bundle.PROBE).write_bytes(b"{}")
    with pytest.raises(NotFound, match=f"nothing to compare version {version} with"):
        again(garden, version)


def test_nothing_in_the_home_is_touched(garden: Works, tree: int) -> None:
    """Neither the data, nor bundles, nor DVC's own databases; and nothing stays behind."""

    def stamps() -> dict[Path, tuple[int, int]]:
        # Whoever reads a database with a write-ahead log takes part in its index.
        files = (
            path for path in garden.home.root.rglob("*") if path.is_file() and not path.name.startswith("journal.db")
        )
        return {path: (path.stat().st_mtime_ns, path.stat().st_size) for path in files}

    before = stamps()
    assert again(garden, tree)["equal"]
    assert stamps() == before
