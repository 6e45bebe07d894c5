"""The gate with real processes: what starts a training, and how people, late labels and an alias change what serves.

Covers retraind.daemon.retraining (retraining, current_run, recorded_facts, training_requests) together with promotion.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mlflow import MlflowClient
from service import REPOSITORY, Service, flowers, wait_until
from sklearn.datasets import load_iris

from retraind.daemon.core import requests
from retraind.daemon.core.states import RunState
from retraind.daemon.records.records import Records
from retraind.daemon.storage.journal import Journal
from retraind.daemon.storage.model_versions import CHAMPION, NAME

Start = Callable[..., Service]


@pytest.fixture
def start(tmp_path: Path, served: Path) -> Iterator[Start]:
    """Starts a service with these settings, waits until it serves Iris, and ends it after the test."""
    running: list[Service] = []

    def begin(**settings: str) -> Service:
        names = {f"RETRAIND_{key.upper()}": value for key, value in settings.items()}
        running.append(Service(tmp_path / "home", **names).copied(served).start())
        running[-1].wait_served(1)
        wait_until(lambda: idle(running[-1]), 180, "a service at rest")
        return running[-1]

    yield begin
    for service in running:
        service.end()


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, served: Path) -> Iterator[Service]:
    """A service that promotes and trains only when asked to; tests follow each other on it."""
    settings = {"RETRAIND_PROMOTE__MODE": "manual", "RETRAIND_RETRAIN__THRESHOLD_ROWS": "100000"}
    settings |= {"RETRAIND_TRAIN__CANDIDATES": '["logistic", "tree"]', "RETRAIND_RETRAIN__DRIFT": "false"}
    # Or the labels that roll a version back might start a training first.
    settings |= {"RETRAIND_RETRAIN__LIVE": "false"}
    running = Service(tmp_path_factory.mktemp("gate") / "home", **settings)
    try:
        running.copied(served).start().wait_served(1)
        yield running
    finally:
        running.end()


def idle(service: Service) -> bool:
    """Whether nothing trains, the trainer is ready for the next job, and no request waits."""
    return service.idle() and not list(service.home.requests.glob("*.json"))


def garden(seed: int, count: int) -> list[list[str]]:
    """Cells of so many flowers as those of Iris, with as many digits: a model must not tell them by these."""
    iris = load_iris()
    random = np.random.default_rng(seed)
    chosen = random.integers(0, 150, count)
    matrix = iris.data[chosen] + random.normal(0, 0.1, (count, 4)).clip(-0.2, 0.2)
    names = [str(iris.target_names[code]) for code in iris.target[chosen]]
    return [[*(f"{abs(value):.1f}" for value in row), name] for row, name in zip(matrix, names, strict=True)]


def versions(service: Service) -> dict[int, Any]:
    """The judged versions by number."""
    return {one["version"]: one for one in service.ask("/versions")[1]["versions"]}


def runs(service: Service) -> list[str]:
    """How each training ended, oldest first."""
    return [row["state"] for row in reversed(Records(service.home).runs.newest())]


def mlflow(service: Service) -> MlflowClient:
    """MLflow as its users open it."""
    uri = f"sqlite:///{service.home.mlflow}"
    return MlflowClient(uri, uri)


@pytest.mark.slow
def test_a_thousand_triggers_during_a_training_are_one_follow_up(start: Start) -> None:
    """They wait together, and together they are answered by the one training that starts next."""
    service = start(train__idle_seconds="0")
    before = len(runs(service))
    trainer = service.trainer()
    assert trainer is not None
    os.kill(trainer, signal.SIGSTOP)  # whatever starts now does not end
    requests.submit(service.home, "retrain", force=True)
    wait_until(lambda: len(runs(service)) == before + 1)
    for _ in range(1000):
        requests.submit(service.home, "retrain", force=True)
    os.kill(trainer, signal.SIGCONT)
    wait_until(lambda: len(runs(service)) > before + 1 and idle(service), 120)
    with Journal.reading(service.home.journal) as journal:
        assert journal.requests.queued() == []
    assert runs(service) == ["trained"] * (before + 2)


def trained(service: Service, name: str, rows: list[str]) -> int:
    """Drop rows and have them trained on; the number of the version once it is judged."""
    last = max(versions(service))
    service.drop(name, rows)
    service.wait_ingested()
    requests.submit(service.home, "retrain", force=True)
    number = wait_until(lambda: max((one for one in versions(service) if one > last), default=None), what=name)
    wait_until(lambda: idle(service), 120, "a service at rest")
    return number


def test_manual_mode_holds_until_a_person_says_so(service: Service) -> None:
    """Once with the button of the page, which posts, and once with the command; meanwhile the old one serves."""
    for way in ("page", "command"):
        before = service.wait_served(1)["model_version"]
        version = trained(service, f"{way}.csv", flowers(before, 30))
        assert versions(service)[version]["state"] == "held", versions(service)[version]["reason"]
        assert service.wait_served(1)["model_version"] == before
        if way == "page":
            assert service.ask("/promote", {})[0] == 202
        else:
            command = [sys.executable, "-m", "retraind.daemon", "promote", "--home", str(service.home.root)]
            subprocess.run(command, cwd=REPOSITORY, check=True, capture_output=True)
        service.wait_served(version)
        assert versions(service)[version]["state"] == "promoted"


def test_a_champion_that_is_wrong_live_is_rolled_back_automatically(service: Service) -> None:
    """Mislabelled flowers of a kind that was never seen teach a model that is better on the holdouts; labels tell the truth."""
    before = service.wait_served(1)["model_version"]
    odd = [f"5.{index % 10},{8 + index / 1000},1.4,0.2" for index in range(150)]
    bad = trained(service, "poison.csv", [f"{row},virginica" for row in odd])
    assert versions(service)[bad]["state"] == "held", versions(service)[bad]["reason"]
    assert service.ask("/promote", {})[0] == 202
    service.wait_served(bad)
    answers = [service.ask("/predict", {"features": [float(cell) for cell in row.split(",")]})[1] for row in odd[:60]]
    assert {answer["prediction_name"] for answer in answers} == {"virginica"}
    label(service, "honest.csv", answers, "setosa")
    wait_until(lambda: (service.predict() or {}).get("model_version") == before, what=service.log()[-2000:])
    version_row = versions(service)[bad]
    assert version_row["state"] == "rolled back"
    assert f"of version {bad} is 0.0000 on 60 late labels" in version_row["reason"]
    assert f"version {before} has 1.0000 on the same ones" in version_row["reason"]
    assert int(mlflow(service).get_model_version_by_alias(NAME, CHAMPION).version) == before
    assert any(f"Version {bad} rolled back" in one for one in _messages(service))
    assert f"v{bad} was rolled back" in service.ask("/dashboard")[1]


def test_moving_the_alias_in_mlflow_moves_the_service(service: Service) -> None:
    """To a version that can be served; to one that can't it does not, and it is said why."""
    newest = service.wait_served(2)["model_version"]
    client = mlflow(service)
    client.set_registered_model_alias(NAME, CHAMPION, "1")
    wait_until(lambda: (service.predict() or {}).get("model_version") == 1)
    experiment = client.get_experiment_by_name(NAME)
    assert experiment is not None
    run = client.create_run(experiment.experiment_id)
    foreign = client.create_model_version(NAME, "file:///nowhere", run.info.run_id)
    client.set_registered_model_alias(NAME, CHAMPION, foreign.version)
    wait_until(lambda: any(f"no bundle of version {foreign.version}" in one for one in _messages(service)))
    (service.home.bundle(newest) / "model.onnx").write_bytes(b"not a model")
    client.set_registered_model_alias(NAME, CHAMPION, str(newest))
    wait_until(lambda: versions(service)[newest]["state"] == "unservable")
    assert "is not the file that was recorded" in versions(service)[newest]["reason"]
    assert service.wait_served(1)["model_version"] == 1


def test_a_live_score_that_falls_starts_a_training(service: Service) -> None:
    """The world has changed: the newest labels say so before enough rows for an ordinary training have come."""
    wait_until(lambda: idle(service), 120, "a service at rest")
    assert service.stop() == 0
    service._settings["RETRAIND_RETRAIN__LIVE"] = "true"
    service.start().wait_served(1)
    before, rows = len(runs(service)), sum(service.rows().values())
    with Journal.reading(service.home.journal) as journal:
        last = journal.runs.last(RunState.TRAINED)
    assert last is not None
    answers = [service.ask("/predict", {"features": [5.1, 3.5, 1.4, index / 100]})[1] for index in range(60)]
    label(service, "labels.csv", answers, "virginica")
    wait_until(lambda: len(runs(service)) == before + 1, what=service.log()[-2000:])
    newest = Records(service.home).runs.newest(1)[0]["reason"]
    assert newest.startswith("live score: accuracy 0.0000 on the newest 60 late labels")
    assert newest.endswith(f" {rows + 60 - last['rows']} new rows")


def label(service: Service, name: str, answers: list[dict[str, Any]], truth: str) -> None:
    """Drop the same late label for some predictions."""
    lines = ["prediction_id,species", *(f"{answer['prediction_id']},{truth}" for answer in answers)]
    (service.home.inbox / name).write_text("\n".join(lines) + "\n")


def _messages(service: Service) -> list[str]:
    return [event["message"] for event in service.ask("/events?limit=1000")[1]["events"]]


@pytest.mark.slow
def test_served_bundle_that_is_damaged_is_replaced_without_a_restart(start: Start) -> None:
    """The worker that meets it says what is wrong and where to look; the daemon has the version before served."""
    service = start(server__workers="1")
    service.drop("more.csv", flowers(1, 30))
    service.wait_served(2)
    (service.home.bundle(2) / "model.onnx").write_bytes(b"not a model")
    assert (service.predict() or {})["model_version"] == 2, "from memory"
    (worker,) = service.workers()
    os.kill(worker, signal.SIGKILL)
    said = []

    def replaced() -> bool:
        status, answer = service.ask("/predict", {"features": [5.1, 3.5, 1.4, 0.2]})
        if status == 503:
            said.append((answer["detail"], answer["hint"]))
        return status == 200

    wait_until(replaced, what=service.log()[-2000:])
    assert (service.predict() or {})["model_version"] == 1
    assert set(said) <= {
        ("No model is loaded.", "No version has been promoted yet, or it can't be loaded; GET /health has the reason.")
    }
    assert versions(service)[2]["state"] == "unservable"
    assert any("Version 1 is served: Version 2 can no longer be served: " in one for one in _messages(service))


@pytest.mark.slow
def test_poisoned_drops_are_refused_and_stay_inspectable(start: Start) -> None:
    """One class flipped, everything of one class: the champion stays; verdict, bundle and run of the others can be read."""
    service = start(retrain__threshold_rows="150")
    drops = [
        [[*row[:4], {"setosa": "virginica"}.get(row[4], row[4])] for row in garden(1, 300)],
        [[*row[:4], "setosa"] for row in garden(2, 300)],
    ]
    for version, rows in enumerate(drops, start=2):
        service.drop(f"poison-{version}.csv", [",".join(row) for row in rows])
        wait_until(lambda: version in versions(service), what=service.log()[-2000:])  # noqa: B023 - asked at once
        version_row = versions(service)[version]
        assert (version_row["state"], service.wait_served(1)["model_version"]) == ("refused", 1), version_row["reason"]
        assert "on the reference holdout falls from" in version_row["reason"]
        assert (service.home.bundle(version) / "model.onnx").exists()
        run = mlflow(service).get_run(str(mlflow(service).get_model_version(NAME, str(version)).run_id))
        assert run.data.metrics["reference_accuracy"] < 0.9


@pytest.mark.slow
def test_flood_of_duplicates_counts_once_and_in_other_bytes_costs_nothing(start: Start) -> None:
    """The same bytes are one drop, however often they come; the same rows in another order count, and Iris is still predicted well."""
    service = start(retrain__threshold_rows="100")
    rows = [",".join(row) for row in garden(1, 300) if row[4] == "setosa"]
    for number in range(20):
        service.drop(f"same-{number}.csv", rows)
    service.drop("other.csv", [*rows[50:], *rows[:50]])
    service.wait_ingested()
    assert sum(service.rows().values()) == 150 + 2 * len(rows)
    wait_until(lambda: 2 in versions(service), what=service.log()[-2000:])
    answers = {
        name: service.ask("/predict", {"features": cells})[1]["prediction_name"]
        for name, cells in {"setosa": [5.0, 3.4, 1.5, 0.2], "versicolor": [5.9, 2.8, 4.3, 1.3]}.items()
    }
    assert answers == {name: name for name in answers}
