"""retraind.daemon.training.run: from segments to a registered version with its bundle, in this process, with the real MLflow."""

import json
import shutil
from typing import Any

import bundles
import crashing
import mlflow
import mlflow.sklearn
import numpy as np
import pytest
import workshop
from sites import Client
from test_encoding import LETTERS, TOWNS
from workshop import LEAVES, PRICES, Workshop, grown, leaves, prices

from retraind.daemon.artifacts.bundle import Pointer
from retraind.daemon.core.errors import TrainingFailed
from retraind.daemon.core.home import Home
from retraind.daemon.processes.training_job import Job
from retraind.daemon.schema.column import Column
from retraind.daemon.schema.schema import Schema
from retraind.daemon.storage.model_versions import NAME
from retraind.daemon.training.run import train

leafy = pytest.fixture(workshop.leafy)
taught = pytest.fixture(scope="module")(workshop.taught)


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


def test_candidate_that_the_budget_cuts_is_reported_everywhere(leafy: Workshop) -> None:
    """In the manifest, as a line for the journal, and with the end of the run."""
    manifest = leafy.train("tree", "crashing:Slow", budget_seconds=2.0)
    cut = manifest.scores["cut"]
    assert cut is not None
    assert cut["seconds"].keys() == manifest.scores["left_out"].keys() == {"crashing:Slow"}
    notes = [message["note"] for message in leafy.said if "note" in message]
    assert f"crashing:Slow is left out. {manifest.scores['left_out']['crashing:Slow']}" in notes
    assert [message["remark"] for message in leafy.said if "done" in message] == [cut["sentence"]]
    assert leafy.train("tree").scores["cut"] is None


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
    assert [(each.name, each.type.name) for each in signature.inputs.inputs] == [
        ("length", "double"),
        ("edge", "string"),
    ]


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
    assert isinstance(stored[-1].estimator, crashing.Grown)


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
        expected = pipeline.predict_proba([dict(zip(LETTERS.features, features, strict=True))])[0]
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


def test_champion_of_another_schema_is_asked_the_rows_of_the_window(leafy: Workshop) -> None:
    """Rows outside the window are not encoded for it either."""
    leafy.use(grown(LEAVES, classes=["oak", "ash", "elm"]))
    leafy.add(leaves("ash elm oak", 40, seed=1))
    scores = leafy.train("tree", window_rows=100).scores
    assert scores["champion"]["rolling"]["n"] == scores["challenger"]["rolling"]["n"] > 0
    assert scores["champion"]["reference"]["accuracy"] > 0.8
