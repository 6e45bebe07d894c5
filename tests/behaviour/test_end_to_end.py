"""The whole loop with real processes: a drop becomes a revision, a run, a version, a prediction, and the page says so."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import mlflow
import mlflow.pyfunc
import pandas as pd
import pytest
from service import FAST, REPOSITORY, Service, flowers, parsed, wait_until

from retraind.daemon.core.states import RunState
from retraind.daemon.registry.registry import Registry
from retraind.daemon.storage.journal import Journal
from retraind.daemon.storage.model_versions import CHAMPION, NAME, ModelVersions

COMPETING = ["logistic", "tree"]

THRESHOLD = int(FAST["RETRAIND_RETRAIN__THRESHOLD_ROWS"])
"""So many new rows start a training."""

HEAVY = {
    *("apscheduler", "dvc", "granian", "matplotlib", "mlflow", "numpy", "onnx", "onnxruntime", "pandas", "pyarrow"),
    *("pydantic_settings", "rich", "river", "scipy", "sklearn", "skl2onnx", "skops", "sqlalchemy", "structlog"),
    *("treelite", "typer", "watchdog"),
}
"""What costs a process time and memory."""


@pytest.fixture(scope="module")
def imports(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where each process of the service notes what it imports."""
    return tmp_path_factory.mktemp("imports")


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, imports: Path) -> Iterator[Service]:
    """One running service for the whole module, bootstrapped with Iris."""
    recorder = str(REPOSITORY / "tests/recorder")
    settings = {"RETRAIND_TRAIN__CANDIDATES": json.dumps(COMPETING), "RETRAIND_TRAIN__REPORT_ROWS": "5000"}
    running = Service(tmp_path_factory.mktemp("home"), **settings, PYTHONPATH=recorder, IMPORTS=str(imports))
    running.start()
    yield running
    running.end()


def test_an_empty_home_learns_iris_and_answers(service: Service) -> None:
    """The first prediction needs nothing but the command."""
    answer = service.wait_served(1)
    assert (answer["prediction"], answer["prediction_name"]) == (0, "setosa")
    assert answer["confidence"] > 0.9
    assert abs(sum(answer["probabilities"].values()) - 1) < 1e-6
    assert sum(service.rows().values()) == 150


def test_a_drop_becomes_a_revision_a_run_a_version_and_a_prediction(service: Service) -> None:
    """Copying a file into the inbox is all it takes, and each step can be seen where its users look."""
    before = service.wait_served(1)["model_version"]
    revisions = service.git("rev-list", "--count", "HEAD")
    service.drop("more.csv", flowers(1, 30))
    answer = service.wait_served(before + 1)
    service.wait_ingested()
    assert int(service.git("rev-list", "--count", "HEAD")) == int(revisions) + 1
    assert "Batch-Id: 2" in service.git("log", "-1", "--format=%B")
    assert "up to date" in service.dvc("status")
    _, listing = service.ask("/versions")
    newest = listing["versions"][0]
    assert newest["version"] == answer["model_version"]
    assert newest["state"] == "promoted"
    assert service.git("rev-parse", "HEAD") == newest["revision"]
    _, drops = service.ask("/drops")
    assert (drops["drops"][0]["name"], drops["drops"][0]["rows_accepted"]) == ("more.csv", 30)
    _, page = service.ask("/dashboard")
    assert "more.csv" in page


def test_mlflow_shows_the_runs_and_loads_the_champion(service: Service) -> None:
    """The registry is an ordinary MLflow: nested runs, figures, pictures, dataset digest, a loadable model."""
    service.wait_served(1)
    registry = Registry(service.home)
    champion = registry.client.get_model_version_by_alias(NAME, CHAMPION)
    run_id = str(champion.run_id)
    wait_until(lambda: registry.client.get_run(run_id).info.status == "FINISHED")
    run = registry.client.get_run(run_id)
    assert run.data.metrics["split42_accuracy"] > 0.9
    assert run.data.metrics["cv10_accuracy"] > 0.9
    assert run.inputs is not None
    assert run.inputs.dataset_inputs[0].dataset.digest == champion.tags["retraind.dvc_md5"][:36]
    nested = registry.client.search_runs([run.info.experiment_id], f"tags.`mlflow.parentRunId` = '{run.info.run_id}'")
    assert {one.data.tags["mlflow.runName"] for one in nested} == set(COMPETING)
    for nested_run in nested:
        assert [file.path for file in registry.client.list_artifacts(nested_run.info.run_id)] == [
            "confusion_matrix.png"
        ]
        assert "split42_accuracy" in nested_run.data.metrics
    loaded = mlflow.pyfunc.load_model(f"models:/{NAME}@{CHAMPION}")
    row = dict(zip(loaded.metadata.get_input_schema().input_names(), [5.1, 3.5, 1.4, 0.2], strict=True))
    assert loaded.predict(pd.DataFrame([row])).tolist() == ["setosa"]


def test_a_bad_row_is_kept_with_its_reason_and_the_others_are_taken(service: Service) -> None:
    """A word in place of a number: line, column and reason are on the disk and over HTTP; the corrected row is accepted."""
    service.wait_served(1)
    before = service.rows()
    service.drop("bad.csv", [*flowers(2, 3), "5.0,wide,1.4,0.2,setosa"])
    wait_until(lambda: service.rows() == before + parsed(flowers(2, 3)))
    [quarantine] = service.home.rejected.glob("bad.csv.*.bad.csv")
    assert quarantine.read_text().splitlines()[1].endswith(",5.0,wide,1.4,0.2,setosa")
    _, listing = service.ask("/drops")
    drop = listing["drops"][0]
    assert (drop["state"], drop["line"], drop["column"]) == ("accepted", 5, "sepal_width")
    assert (drop["rows_accepted"], drop["rows_refused"], drop["bad_file"]) == (3, 1, quarantine.name)
    (service.home.inbox / "mended.csv").write_text(quarantine.read_text().replace("wide", "3.5"))
    mended = parsed(["5.0,3.5,1.4,0.2,setosa"])
    wait_until(lambda: service.rows() == before + parsed(flowers(2, 3)) + mended)


def test_a_bad_file_is_kept_with_its_reason_and_the_loop_goes_on(service: Service) -> None:
    """A file of another kind goes to rejected/ whole, with a report; the next drop is taken."""
    service.wait_served(1)
    (service.home.inbox / "other.csv").write_text("name,age\nAda,36\n")
    wait_until((service.home.rejected / "other.csv.report.json").exists)
    _, listing = service.ask("/drops")
    assert (listing["drops"][0]["state"], listing["drops"][0]["column"]) == ("rejected", "sepal_length")
    before = service.rows()
    service.drop("good.csv", flowers(3, 6))
    wait_until(lambda: service.rows() == before + parsed(flowers(3, 6)))


def test_a_file_dropped_twice_counts_once(service: Service) -> None:
    """The same bytes under another name are reported as a duplicate of their batch."""
    service.wait_served(1)
    service.drop("once.csv", flowers(4))
    service.wait_ingested()
    before = service.rows()
    service.drop("twice.csv", flowers(4))
    service.wait_ingested()
    _, listing = service.ask("/drops")
    assert (listing["drops"][0]["name"], listing["drops"][0]["state"]) == ("twice.csv", "duplicate")
    assert service.rows() == before


def test_samples_over_http_count_as_often_as_they_are_sent_but_a_key_counts_once(service: Service) -> None:
    """The same sample twice is two rows; the same Idempotency-Key twice is one."""
    service.wait_served(1)
    service.wait_ingested()
    before = sum(service.rows().values())
    sample = {"features": [5.0, 3.3, 1.4, 0.2], "target": "setosa"}
    drops = {service.ask("/add_training_data", sample)[1]["drop"] for _ in range(2)}
    keyed = [service.ask("/add_training_data", sample, **{"Idempotency-Key": "key-1"}) for _ in range(3)]
    assert len(drops) == 2
    assert {status for status, _ in keyed} == {202}
    assert len({answer["drop"] for _, answer in keyed}) == 1
    service.wait_ingested()
    assert sum(service.rows().values()) == before + 3
    again = service.ask("/add_training_data", sample, **{"Idempotency-Key": "key-1"})
    assert again[1]["drop"] == keyed[0][1]["drop"]
    service.wait_ingested()
    assert sum(service.rows().values()) == before + 3


def test_many_requests_to_retrain_are_one_training(service: Service) -> None:
    """However many ask at once, one training starts."""
    service.wait_served(1)
    wait_until(lambda: service.ask("/health")[0] == 200 and not _training(service))
    before = service.ask("/metrics")[1]["retrainings"]["trained"]
    answers = [service.ask("/trigger_retrain", {"force_retrain": True}) for _ in range(20)]
    assert {status for status, _ in answers} == {202}
    wait_until(lambda: service.ask("/metrics")[1]["retrainings"]["trained"] > before)
    wait_until(lambda: not _training(service) and not list(service.home.requests.glob("*.json")))
    assert service.ask("/metrics")[1]["retrainings"]["trained"] <= before + 2


def _training(service: Service) -> bool:
    return '"training":null' not in service.home.status.read_text()


def _settled(service: Service) -> int:
    """Wait until nothing trains and the newest version that was promoted answers; returns it."""

    def quiet() -> int | None:
        version = int((service.predict() or {"model_version": 0})["model_version"])
        trained = service.ask("/metrics")[1]["retrainings"]
        listed = service.ask("/versions")[1]["versions"]
        done = trained["trained"] == len(listed) and trained["started"] == 0 and not _training(service)
        with Journal.reading(service.home.journal) as journal:
            last = journal.runs.last(RunState.TRAINED)
            learnt = last is not None and journal.batches.committed().rows - last["rows"] < THRESHOLD
        return version if done and learnt and listed[0]["version"] == version else None

    service.wait_ingested()
    return wait_until(quiet)


def test_moving_the_alias_moves_the_service_and_rollback_moves_it_back(service: Service) -> None:
    """What the MLflow UI does by hand, the service follows; `retraind rollback` undoes it."""
    newest = _settled(service)
    ModelVersions(service.home).set_alias(CHAMPION, 1)
    wait_until(lambda: (service.predict() or {}).get("model_version") == 1)
    command = [sys.executable, "-m", "retraind.daemon", "rollback", "--home", str(service.home.root)]
    subprocess.run(command, cwd=REPOSITORY, check=True, capture_output=True)
    wait_until(lambda: (service.predict() or {}).get("model_version") == newest, what=service.log()[-3000:])


def test_a_tampered_bundle_is_not_served(service: Service) -> None:
    """Bytes that the journal has not hashed are never loaded; the served version stays."""
    current = _settled(service)
    victim = 1 if current != 1 else 2
    model = service.home.bundle(victim) / "model.onnx"
    original = model.read_bytes()
    model.write_bytes(original[:-1] + bytes([original[-1] ^ 1]))
    ModelVersions(service.home).set_alias(CHAMPION, victim)
    wait_until(lambda: any(one["state"] == "unservable" for one in service.ask("/versions")[1]["versions"]))
    assert service.wait_served(1)["model_version"] == current
    model.write_bytes(original)
    ModelVersions(service.home).set_alias(CHAMPION, current)


def test_each_process_imports_what_it_needs(service: Service, imports: Path) -> None:
    """After drops, trainings, verdicts and swaps by hand: only the trainer has paid for MLflow, pandas and scikit-learn."""
    trainer, [worker] = service.trainer(), service.workers()
    names = {process: set((imports / str(process)).read_text().split()) for process in (service.pid, worker, trainer)}
    heavy = {process: found & HEAVY for process, found in names.items()}
    needed = {"apscheduler", "dvc", "numpy", "onnxruntime", "pyarrow", "river", "scipy", "sqlalchemy", "watchdog"}
    needed |= {"rich", "typer"}  # by way of DVC, and of the command line
    assert heavy[service.pid] <= needed, "scipy and river with drift"
    assert heavy[worker] == {"granian", "numpy", "onnxruntime"}
    assert heavy[trainer] >= {"mlflow", "onnx", "pandas", "sklearn"}
    assert "skl2onnx" not in heavy[trainer], "it is for estimators of others"


def test_a_second_daemon_on_the_same_home_is_refused(service: Service) -> None:
    """It exits with its own code and names the owner."""
    command = [sys.executable, "-m", "retraind.daemon", "run", "--home", str(service.home.root), "--port", "0"]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 3
    assert str(service.pid) in done.stderr


def test_a_taken_port_is_refused(service: Service, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Another home can't listen where this one does, and says so."""
    other = tmp_path_factory.mktemp("other")
    command = [sys.executable, "-m", "retraind.daemon", "run", "--home", str(other), "--port", str(service.port)]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 4
    assert "--port 0" in done.stderr


def test_stopping_drains_and_ends_with_zero_and_restart_serves_at_once(service: Service) -> None:
    """SIGTERM ends everything; the next start answers with the champion it finds. It comes last, as the service is gone then."""
    version = service.wait_served(1)["model_version"]
    workers = service.workers()
    assert service.stop() == 0
    assert workers
    assert not service.workers()
    service.start()
    assert service.wait_served(version)["model_version"] == version
    assert service.process is not None
    service.process.send_signal(signal.SIGIO)  # of the kernel, when a file of the inbox is written to; its default ends
    service.process.send_signal(signal.SIGINT)
    assert service.process.wait(30) == 0
