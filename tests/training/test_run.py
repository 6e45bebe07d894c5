"""daemon.training.run: from segments to a registered version with its bundle, in this process, with the real MLflow."""

import copy
import json
import shutil
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import bundles
import crashing
import mlflow
import mlflow.sklearn
import numpy as np
import pyarrow as pa
import pytest
from conftest import home_below
from sites import Client
from sklearn.datasets import make_friedman1, make_regression
from sklearn.model_selection import train_test_split
from test_encoding import LETTERS, TOWNS

from daemon.artifacts import bundle
from daemon.artifacts.bundle import Pointer
from daemon.core.errors import TrainingFailed
from daemon.core.home import Home
from daemon.core.settings import Inbox, Promote, Train
from daemon.dataset import segment_writer
from daemon.gate.terms import Terms
from daemon.processes.training_job import Job
from daemon.registry.registry import Registry
from daemon.schema.arrival_times import Window
from daemon.schema.column import Column
from daemon.schema.row_encoding import encode
from daemon.schema.schema import Schema
from daemon.storage import artifact_paths
from daemon.storage.model_versions import NAME, ModelVersions
from daemon.tabular import rows
from daemon.training.data.revision import Data
from daemon.training.run import train
from daemon.training.selection import candidates

PRICES = Schema(
    task="regression",
    target="price",
    columns=[
        Column(name="size", kind="number"),
        Column(name="rooms", kind="integer", missing=True),
        Column(name="garden", kind="boolean"),
        Column(name="built", kind="date"),
        Column(name="town", kind="category", categories=["Aachen", "Bonn"]),
    ],
)
LEAVES = Schema(
    target="tree",
    classes=["ash", "elm"],
    columns=[
        Column(name="length", kind="number"),
        Column(name="edge", kind="category", categories=["smooth", "toothed"]),
    ],
)


class Registered(Exception):
    """Ends a training whose version is registered: pictures and nested runs come after that."""


def stop() -> None:
    """What a training calls then, for tests that look at no picture."""
    raise Registered


class Workshop:
    """A home with segments, in which one training follows another as the daemon would ask for them."""

    def __init__(self, home: Home, schema: Schema) -> None:
        self.home, self.registry = home, Registry(home)
        self.registry.open()
        home.segments.mkdir(parents=True)
        self.segments: dict[str, str] = {}
        self.first_rows, self.champion = 0, (0, "")
        self.said: list[Any] = []
        self.gate: Terms | None = None
        self.use(schema)

    def copied(self, root: Path) -> "Workshop":
        """The same in a folder of its own, as a copied home is when it is started."""
        shutil.copytree(self.home.root, root)
        other = copy.copy(self)
        other.home, other.registry = Home(root), Registry(Home(root))
        other.segments, other.said = dict(self.segments), []
        assert artifact_paths.relocate(other.home)
        return other

    def use(self, schema: Schema) -> None:
        self.schema = schema
        self.home.schema.write_bytes(schema.dump())

    def add(self, cells: dict[str, list[str]], at: datetime | None = None) -> None:
        """One drop becomes one segment, by the schema as it is now; accepted now, if nothing else is said."""
        checked = rows.check(pa.table(cells), self.schema, Inbox())
        assert not checked.bad
        count = checked.table.num_rows
        drop = f"{len(self.segments):064x}"
        table = rows.with_provenance(checked.table, [drop], [count], np.arange(count), at or datetime.now(UTC), "file")
        made = segment_writer.write(self.home.segments, [table]).place()
        self.segments[made.name] = made.sha256
        self.first_rows = self.first_rows or count

    def train(self, *candidates: str, **settings: Any) -> Any:
        """Train, put the bundle in its place and serve it; returns its manifest. With `report_rows` it draws pictures, too."""
        chosen = {"candidates": list(candidates), "report_rows": 0, **settings}
        number, sha256 = self.champion
        champion = number or None, sha256 or None, list(range(1, number + 1))
        job = Job(1, "test", "a" * 40, "b" * 32, self.segments, self.first_rows, chosen, *champion, self.gate)
        with suppress(Registered):
            train(self.home, job, self.said.append, *([] if chosen["report_rows"] else [stop]))
        version = ModelVersions(self.home).versions()[-1]
        assert version.bundle is not None
        self.home.staging(version.run).rename(self.home.bundle(version.version))
        self.champion = version.version, version.bundle
        return bundle.load(self.home.bundle(version.version), version.bundle).manifest


def prices(count: int, seed: int = 0) -> dict[str, list[str]]:
    random = np.random.default_rng(seed)
    size, rooms, year = random.uniform(20, 200, count), random.integers(1, 9, count), random.integers(1950, 2020, count)
    garden, town = random.random(count) < 0.5, random.choice(["Aachen", "Bonn"], count)
    price = 2000 * size + 5000 * rooms + 100 * (year - 1950) + 9000 * garden + 20000 * (town == "Bonn")
    return {
        "size": [f"{value:.2f}" for value in size],
        "rooms": ["" if index % 9 == 0 else str(value) for index, value in enumerate(rooms)],
        "garden": [str(value).lower() for value in garden],
        "built": [f"{value}-06-01" for value in year],
        "town": list(town),
        "price": [f"{value:.1f}" for value in price],
    }


def leaves(trees: str, count: int, edges: str = "smooth toothed", seed: int = 0, **more: str) -> dict[str, list[str]]:
    """`count` leaves of each tree, told apart by their length; `more` are further columns of one text each."""
    random = np.random.default_rng(seed)
    names = [tree for tree in trees.split() for _ in range(count)]
    length = [f"{['ash', 'elm', 'oak'].index(tree) * 3 + random.normal():.6f}" for tree in names]
    edge = [edges.split()[index % len(edges.split())] for index in range(len(names))]
    return {"length": length, "edge": edge, "tree": names} | {key: [text] * len(names) for key, text in more.items()}


def grown(schema: Schema, **changes: Any) -> Schema:
    return Schema.model_validate(schema.model_dump() | changes)


@pytest.fixture(scope="module")
def taught(tmp_path_factory: pytest.TempPathFactory, migrated: Path) -> Workshop:
    """A home with a champion that knows two trees, two edges and two columns: what `leafy` copies."""
    workshop = Workshop(home_below(tmp_path_factory.mktemp("taught"), migrated), LEAVES)
    workshop.add(leaves("ash elm", 60))
    workshop.train("tree")
    return workshop


@pytest.fixture
def leafy(taught: Workshop, tmp_path: Path) -> Workshop:
    """A home with a champion that knows two trees, two edges and two columns."""
    return taught.copied(tmp_path / "leafy")


def test_regression_from_segments_to_a_version(mlflow_home: Home) -> None:
    """Every kind of column teaches; figures, picture and dataset are in MLflow, and the bundle answers as it was judged."""
    workshop = Workshop(mlflow_home, PRICES)
    workshop.add(prices(80))
    workshop.add(prices(70, seed=1))
    manifest = workshop.train("linear", "tree", "logistic", report_rows=1000)
    assert (manifest.candidate, manifest.backend, manifest.rows) == ("linear", "onnx", 150)
    challenger = manifest.scores["challenger"]
    assert challenger["rolling"]["r2"] > 0.95
    assert 0 < challenger["reference"]["n"] < challenger["rolling"]["n"]
    assert [one["name"] for one in manifest.scores["candidates"]] == ["linear", "tree"]
    assert workshop.said[-1]["done"] == 1
    importance = manifest.scores["importance"]
    assert list(importance) == PRICES.features
    assert max(importance, key=importance.__getitem__) == "size"
    assert (manifest.settings["report_rows"], manifest.settings["folds"], manifest.first_rows) == (1000, 5, 80)
    client = workshop.registry.client
    run = client.get_run(manifest.run)
    assert {"cv_r2", "cv10_r2", "split42_r2", "rolling_r2", "reference_r2"} <= run.data.metrics.keys()
    assert (run.data.tags["retraind.backend"], run.data.metrics["backend_difference"]) == ("onnx", manifest.difference)
    (version,) = client.search_model_versions(f"run_id='{manifest.run}'")
    assert version.tags["retraind.backend"] == "onnx"
    assert float(version.tags["retraind.backend_difference"]) <= bundle.PARITY
    assert {file.path for file in client.list_artifacts(manifest.run)} >= {
        "predicted_actual.png",
        "residuals.png",
        "importance.png",
    }
    nested = client.search_runs([run.info.experiment_id], f"tags.`mlflow.parentRunId` = '{manifest.run}'")
    for nested_run in nested:
        assert [file.path for file in client.list_artifacts(nested_run.info.run_id)] == ["predicted_actual.png"]
        assert nested_run.inputs is not None
        assert nested_run.inputs.dataset_inputs[0].dataset.digest == "b" * 32
        assert {"holdout_r2", "holdout_rmse", "holdout_mae", "cv_rmse"} <= nested_run.data.metrics.keys()
    assert workshop.train("tree").scores["champion"]["rolling"] == pytest.approx(challenger["rolling"])


def test_champion_is_compared_after_the_schema_has_grown(leafy: Workshop) -> None:
    """A new class, a new category and a new column: the old model answers the same held-out rows as well as it can."""
    columns = [
        LEAVES.columns[0],
        Column(name="edge", kind="category", categories=["lobed", "smooth", "toothed"]),
        Column(name="hairs", kind="integer", missing=True),
    ]
    leafy.use(grown(LEAVES, classes=["oak", "ash", "elm"], columns=columns))
    leafy.add(leaves("ash elm oak", 90, "lobed smooth toothed", seed=1, hairs="7"))
    scores = leafy.train("tree").scores
    old, new = scores["champion"]["rolling"], scores["challenger"]["rolling"]
    assert scores["champion_version"] == 1
    assert old["n"] == new["n"]
    assert old["support"] == new["support"]
    assert (old["recall"]["oak"], old["recall"]["ash"] > 0.8) == (0.0, True)
    assert new["recall"]["oak"] > 0.8
    assert scores["champion"]["reference"]["accuracy"] > 0.8


@pytest.mark.parametrize("change", ["target", "column", "damaged"])
def test_champion_that_can_not_be_asked_is_not_compared(leafy: Workshop, change: str) -> None:
    """Another target, a column that is gone, a damaged bundle: there is no figure, and the training goes on."""
    match change:
        case "target":
            leafy.segments.clear()
            leafy.use(grown(LEAVES, target="wood"))
            cells = leaves("ash elm", 60)
            leafy.add({"wood": cells.pop("tree"), **cells})
        case "column":
            leafy.use(grown(LEAVES, columns=LEAVES.columns[:1]))
        case "damaged":
            shutil.rmtree(leafy.home.bundle(1))
    scores = leafy.train("tree").scores
    assert (scores["champion"], scores["champion_version"]) == (None, 1)
    assert scores["challenger"]["rolling"]["n"] > 0


def test_candidate_that_can_not_learn_is_left_out(leafy: Workshop) -> None:
    """A column that has no value yet stops boosting; the others compete without it, and alone it says why."""
    leafy.use(grown(LEAVES, columns=[*LEAVES.columns, Column(name="hairs", kind="integer", missing=True)]))
    manifest = leafy.train("boosting", "logistic")
    assert [one["name"] for one in manifest.scores["candidates"]] == ["logistic"]
    with pytest.raises(TrainingFailed, match=r"No candidate could be fitted\. boosting: "):
        leafy.train("boosting")
    assert not list(leafy.home.bundles.glob(".staging-*"))


@pytest.mark.parametrize(
    ("schema", "cells", "said"),
    [
        (PRICES, prices(1), "fewer than two rows to train on"),
        (LEAVES, leaves("ash", 30), r"fewer than two classes with two rows \(\d\d of ash\) to train on"),
    ],
)
def test_too_little_to_learn_from_is_reported(
    mlflow_home: Home, schema: Schema, cells: dict[str, list[str]], said: str
) -> None:
    """One row of a regression, one class of a classification: the training fails with the reason and what to do."""
    workshop = Workshop(mlflow_home, schema)
    workshop.add(cells)
    with pytest.raises(TrainingFailed, match=rf"{said}\. Drop rows (of|with)"):
        workshop.train("tree")


def test_few_rows_of_many_classes_are_trained_on(mlflow_home: Home) -> None:
    """Too few for the textbook split, which needs a row of each class on either side, and enough for a model."""
    workshop = Workshop(mlflow_home, grown(LEAVES, classes=["ash", "elm", "oak"]))
    workshop.add(leaves("ash elm oak", 3))
    manifest = workshop.train("tree", "logistic", report_rows=1000)
    assert manifest.rows == 9
    client = workshop.registry.client
    run = client.get_run(manifest.run)
    nested = client.search_runs([run.info.experiment_id], f"tags.`mlflow.parentRunId` = '{manifest.run}'")
    assert {one.info.run_name: one.info.status for one in nested} == {"tree": "FINISHED", "logistic": "FINISHED"}
    assert "split42_accuracy" not in run.data.metrics


def test_class_that_was_taken_out_is_not_trained_on(leafy: Workshop) -> None:
    """Rows of a class that the schema does not list any more neither teach nor judge."""
    leafy.use(grown(LEAVES, classes=["ash", "elm", "oak"]))
    leafy.add(leaves("oak", 30, seed=2))
    leafy.use(LEAVES)
    manifest = leafy.train("tree")
    assert manifest.rows == 120
    assert set(manifest.scores["challenger"]["rolling"]["recall"]) == {"ash", "elm"}


def test_pictures_and_figures_of_classes_are_for_people(leafy: Workshop) -> None:
    """MLflow has a run for each candidate, the pictures of the winner, and a model with its signature."""
    manifest = leafy.train(
        "tree", "logistic", report_rows=1000, metric="roc_auc", grids={"tree": {"max_depth": [1, 3]}}
    )
    client = leafy.registry.client
    run = client.get_run(manifest.run)
    pictures = {"confusion_matrix.png", "roc.png", "calibration.png", "importance.png"}
    assert pictures <= {file.path for file in client.list_artifacts(manifest.run)}
    nested = client.search_runs([run.info.experiment_id], f"tags.`mlflow.parentRunId` = '{manifest.run}'")
    assert {one.info.run_name for one in nested} == {"logistic", "tree(max_depth=1)", "tree(max_depth=3)"}
    assert all(
        {"cv_accuracy", "cv_log_loss", "cv_roc_auc", "split42_accuracy"} <= nested_run.data.metrics.keys()
        for nested_run in nested
    )
    assert run.info.status == "FINISHED"
    assert run.data.params["train.metric"] == "roc_auc"
    (logged,) = client.search_logged_models([run.info.experiment_id], f"source_run_id = '{manifest.run}'")
    signature = mlflow.models.get_model_info(logged.model_uri).signature
    assert signature.inputs.input_types()[0] == np.float64


def test_done_is_reported_before_the_pictures_are_drawn(leafy: Workshop) -> None:
    """The swap does not wait for what decides nothing: the nested runs come after it."""
    runs: list[int] = []
    client = leafy.registry.client

    def say(message: Any) -> None:
        if "done" in message:
            experiments = [experiment.experiment_id for experiment in client.search_experiments()]
            runs.append(len(client.search_runs(experiments, "tags.`mlflow.parentRunId` LIKE '%'")))

    before = len(client.search_runs(["1"], "tags.`mlflow.parentRunId` LIKE '%'"))
    chosen = {"candidates": ["tree"], "report_rows": 0}
    train(leafy.home, Job(2, "test", "a" * 40, "b" * 32, leafy.segments, leafy.first_rows, chosen, None, None), say)
    assert runs == [before]


def test_probabilities_are_corrected_when_that_pays(mlflow_home: Home) -> None:
    """A deep tree is sure of everything; told to, it says how sure it may be, with the same labels."""
    workshop = Workshop(mlflow_home, LEAVES)
    random = np.random.default_rng(5)
    cells = leaves("ash elm", 200)
    cells["length"] = [f"{float(value) + random.normal(0, 3):.3f}" for value in cells["length"]]
    workshop.add(cells)
    deep = {"grids": {"tree": {"max_depth": [20]}}}
    plain = workshop.train("tree", **deep, calibrate=False)
    better = workshop.train("tree", **deep)
    assert (plain.scores["calibration"], better.backend) == (None, "onnx")
    assert better.scores["calibration"]["slope"] < 0.5
    before, after = (one.scores["challenger"]["rolling"] for one in (plain, better))
    assert after["log_loss"] < before["log_loss"] / 2
    assert after["confusion"] == before["confusion"]


def test_foreign_class_is_served_and_kept_in_mlflow(leafy: Workshop) -> None:
    """What retraind itself serves is the ONNX graph; MLflow says which types its copy needs."""
    manifest = leafy.train("crashing:Grown", calibrate=False)
    assert (manifest.candidate, manifest.backend) == ("crashing:Grown", "onnx")
    assert manifest.scores["challenger"]["rolling"]["accuracy"] > 0.8
    stored = mlflow.sklearn.load_model(f"models:/{NAME}/{leafy.champion[0]}")
    assert isinstance(stored, crashing.Grown)


def test_letters_are_answered_over_http_as_the_pipeline_does(mlflow_home: Home) -> None:
    """A drop with a free text is trained on, exported and served: the probabilities agree, also for missing texts and unseen words."""
    workshop, random = Workshop(mlflow_home, LETTERS), np.random.default_rng(0)
    spam = random.integers(0, 2, 240)
    words = np.array(["agenda minutes room", "lottery prize winner"])[spam]
    letters = [f"{said}, {number}!" for said, number in zip(words, random.integers(0, 50, 240), strict=True)]
    towns = [TOWNS[at] for at in random.integers(0, len(TOWNS), 240)]
    size = [f"{value:.3f}" for value in random.normal(size=240)]
    labels = np.array(LETTERS.classes)[spam].tolist()
    workshop.add({"letter": ["", *letters[1:]], "size": size, "town": towns, "y": labels})
    manifest = workshop.train("logistic")
    assert manifest.backend == "onnx"
    assert manifest.scores["challenger"]["rolling"]["accuracy"] > 0.95
    version, sha256 = workshop.champion
    bundles.point(mlflow_home, Pointer(version=version, manifest=sha256, since=manifest.created))
    pipeline = mlflow.sklearn.load_model(f"models:/{NAME}/{version}")
    client = Client(mlflow_home)
    for features in (["Your prize", 0.5, TOWNS[3]], [None, 1.0, None], ["unheard of", None, TOWNS[0]]):
        status, _, body = client.ask("POST", "/predict", json.dumps({"features": features}).encode())
        assert status == 200, body
        expected = pipeline.predict_proba(np.array([encode(LETTERS, features)]))[0]
        assert list(json.loads(body)["probabilities"].values()) == pytest.approx(expected, abs=1e-5)


def test_costs_choose_judge_and_decide(leafy: Workshop) -> None:
    """What is recorded is priced; other costs set a new baseline, and a class that there is not is told before anything is fitted."""
    leafy.add(leaves("ash elm", 60))
    plain = leafy.train("logistic")
    assert "cost" not in plain.scores["challenger"]["rolling"]
    dear = {"elm": {"ash": 50.0}}
    trained = leafy.train("logistic", "tree", costs=dear)
    score, before = trained.scores["challenger"]["rolling"], trained.scores["champion"]["rolling"]
    assert (score["metric"], score["costs"]) == ("cost", dear)
    assert trained.scores["metric_named"] is False, "so promote.floor is of accuracy"
    assert score["recall"]["elm"] == before["recall"]["elm"] == 1, (
        "both by these costs, so no recall falls by them alone"
    )
    assert 0 <= score["cost"] < trained.scores["dummy"]["rolling"]["cost"]
    assert all("cv_cost" in one for one in trained.scores["candidates"])
    with pytest.raises(TrainingFailed, match="names 'ehn', which is not a class"):
        leafy.train("logistic", costs={"ehn": {"ash": 2.0}})


def test_same_seed_gives_the_same_bundle(leafy: Workshop) -> None:
    """Trained twice on the same rows, every file of the bundle has the same bytes."""
    small = {"forest": {"n_estimators": [5]}, "boosting": {"max_iter": [5]}}
    first, second = (leafy.train("forest", "tree", "boosting", "logistic", seed=3, grids=small) for _ in range(2))
    assert first.files == second.files
    same = ("challenger", "importance", "calibration")
    assert [first.scores[key] for key in same] == [second.scores[key] for key in same]


def test_target_from_before_absurd_ones_were_refused_is_left_out(
    mlflow_home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One of 1e200 in an old segment made every training fail, or, held out, left every version without a figure."""
    workshop = Workshop(mlflow_home, PRICES)
    cells = prices(80)
    cells["price"][:40:4] = ["1e200"] * 10
    monkeypatch.setattr("daemon.tabular.rows.BOUND", np.inf)
    workshop.add(cells)
    manifest = workshop.train("linear")
    assert manifest.twin is not None
    judging = manifest.scores["challenger"]["rolling"]["n"]
    assert (manifest.rows, manifest.trained_rows, manifest.twin.trained_rows) == (70, 70, 70 - judging)
    assert manifest.scores["challenger"]["rolling"]["r2"] > 0.9


def test_textbook_figures_are_those_of_the_rows_in_their_order(mlflow_home: Home) -> None:
    """Whoever splits the file with random_state=42 gets the same figure."""
    workshop = Workshop(mlflow_home, PRICES)
    cells = prices(120)
    workshop.add(cells)
    manifest = workshop.train("tree", report_rows=1000)
    matrix = np.column_stack([np.asarray(cells["size"], dtype=float), np.asarray(cells["garden"]) == "true"])
    data = Data.read(workshop.home.segments, workshop.segments, PRICES, 120, 0.2)
    rows, targets = data.as_accepted
    assert (rows[:, [0, 2]] == matrix).all()
    assert (targets == np.asarray(cells["price"], dtype=float)).all()
    (candidate,) = candidates.plan(PRICES, Train(candidates=["tree"]))
    train_rows, test_rows, seen, truth = train_test_split(rows, targets, test_size=0.2, random_state=42)
    logged = workshop.registry.client.get_run(manifest.run).data.metrics
    assert logged["split42_r2"] == candidate.estimator.fit(train_rows, seen).score(test_rows, truth)


@pytest.mark.parametrize("make", [make_friedman1, make_regression])
def test_made_regression_is_trained_and_served(mlflow_home: Home, make: Any) -> None:
    """The data sets of scikit-learn's own examples: most of the variance is explained, and ONNX serves it."""
    matrix, targets = make(n_samples=600, n_features=8, noise=0.5, random_state=0)
    columns = [Column(name=f"x{index}", kind="number") for index in range(8)]
    workshop = Workshop(mlflow_home, Schema(task="regression", target="y", columns=columns))
    texts = {f"x{index}": [repr(float(value)) for value in matrix[:, index]] for index in range(8)}
    workshop.add(texts | {"y": [repr(float(value)) for value in targets]})
    manifest = workshop.train("linear" if make is make_regression else "boosting")
    assert manifest.backend == "onnx"
    assert manifest.scores["challenger"]["rolling"]["r2"] > 0.85


# Windows


def test_window_takes_the_newest_rows_and_leaves_the_reference(mlflow_home: Home) -> None:
    """Of three batches only the last two teach; the holdout of the first goes on judging, the rolling one forgets it."""
    workshop = Workshop(mlflow_home, LEAVES)
    for seed in range(3):
        workshop.add(leaves("ash elm", 50, seed=seed))
    everything = workshop.train("tree")
    newest = workshop.train("tree", window_rows=200)
    before, after = (one.scores["challenger"] for one in (everything, newest))
    assert (everything.rows, newest.rows) == (300, 300)
    assert after["reference"]["n"] == before["reference"]["n"] > 0
    assert after["rolling"]["n"] == before["rolling"]["n"] - before["reference"]["n"]
    assert newest.twin is not None
    assert newest.twin.trained_rows + after["rolling"]["n"] == 200
    assert newest.trained_rows == 200, "the reference judges, but what left the window trains nothing"


def test_window_of_days_ends_with_the_newest_row(mlflow_home: Home) -> None:
    """Counted back from the newest row and not from today, so that a training can be repeated."""
    workshop = Workshop(mlflow_home, LEAVES)
    for seed, day in enumerate((1, 20, 22)):
        workshop.add(leaves("ash elm", 50, seed=seed), datetime(2026, 1, day, tzinfo=UTC))
    manifest = workshop.train("tree", window_days=5)
    assert (manifest.trained_rows, manifest.scores["taught"]["n"] + manifest.scores["challenger"]["rolling"]["n"]) == (
        200,
        200,
    )
    both = workshop.train("tree", window_days=5, window_rows=60)
    assert (both.trained_rows, both.scores["taught"]["n"] + both.scores["challenger"]["rolling"]["n"]) == (60, 60)


def test_rows_of_a_wrong_clock_shift_no_window(mlflow_home: Home) -> None:
    """Those accepted in 2098 or 1970 count as accepted with the rows before them, and leave the window with these."""
    workshop = Workshop(mlflow_home, LEAVES)
    workshop.add(leaves("ash elm", 50), datetime(2026, 1, 1, tzinfo=UTC))
    for year in (2098, 1970):
        workshop.add(leaves("ash elm", 10, seed=year), datetime(year, 5, 6, tzinfo=UTC))
    workshop.add(leaves("ash elm", 40, seed=1), datetime(2026, 1, 3, tzinfo=UTC))

    now = datetime(2026, 1, 4, tzinfo=UTC).timestamp() * 1000

    def taken(rows: int = 0, days: float = 0.0) -> int:
        window = Window(rows, days, now)
        return int(Data.read(mlflow_home.segments, workshop.segments, LEAVES, 100, 0.2, window).recent.sum())

    assert [taken(days=days) for days in (0, 5, 1)] == [220, 220, 80]
    assert taken(rows=90) == 90


def test_changed_world_has_a_new_reference(mlflow_home: Home) -> None:
    """Three days on which ash and elm have changed their names: they judge, and go on judging the next version."""
    workshop, day = Workshop(mlflow_home, LEAVES), datetime(2026, 3, 2, tzinfo=UTC)
    workshop.gate = {"promote": Promote().model_dump(), "past": [], "era": None}
    workshop.add(leaves("ash elm", 150), day)
    first = workshop.train("tree")
    for seed in range(1, 5):
        cells, day = leaves("ash elm", 150, seed=seed), day + timedelta(days=1)
        workshop.add(cells | {"tree": [{"ash": "elm", "elm": "ash"}[tree] for tree in cells["tree"]]}, day)
        if seed == 3:
            turned = workshop.train("tree")
    world = turned.scores["world"]
    assert datetime.fromtimestamp(world["since"] / 1000, UTC) == datetime(2026, 3, 3, tzinfo=UTC)
    assert (world["days"], world["drops"]) == (3, 3)
    assert "on the reference holdout" in world["objection"]
    reference, rolling = (turned.scores["challenger"][name] for name in ("reference", "rolling"))
    assert reference == rolling
    assert reference["n"] > first.scores["challenger"]["reference"]["n"]
    assert turned.scores["marks"] == {}
    workshop.gate["era"] = (world["since"], world["until"])
    after = workshop.train("tree").scores
    assert after["world"] == {"since": world["since"], "until": world["until"]}
    assert after["split"]["reference"] == turned.scores["split"]["reference"]
    assert [after["marks"][who]["version"] for who in ("champion", "mark")] == [2, 2], (
        "the first has answered other rows"
    )
    assert after["marks"]["champion"]["n"] > reference["n"], "those of its rows that teach, by cross-validation"
    assert after["challenger"]["rolling"]["n"] > reference["n"]
    workshop.gate["era"] = (0, 1)
    assert workshop.train("tree").scores["split"]["reference"] == first.scores["split"]["reference"], (
        "rows are forgotten"
    )


def test_champion_of_another_schema_is_asked_the_rows_of_the_window(leafy: Workshop) -> None:
    """Rows outside the window are not encoded for it either."""
    leafy.use(grown(LEAVES, classes=["oak", "ash", "elm"]))
    leafy.add(leaves("ash elm oak", 40, seed=1))
    scores = leafy.train("tree", window_rows=100).scores
    assert scores["champion"]["rolling"]["n"] == scores["challenger"]["rolling"]["n"] > 0
    assert scores["champion"]["reference"]["accuracy"] > 0.8
