"""A whole service whose journal and MLflow database are on a PostgreSQL server, with its files in an object store."""

import gc
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
import stores
from mlflow import MlflowClient, pyfunc
from mlflow_servers import session
from service import REPOSITORY, Service, flowers, wait_until
from sharing import pair
from stores import Bucket
from test_gate import trained, versions
from test_wiped_home import machine

from benchmarks.postgres import Postgres
from retraind.daemon.cli import doctor
from retraind.daemon.core.databases import mlflow_server
from retraind.daemon.core.errors import Exit
from retraind.daemon.storage.mlflow import mlflow_copies
from retraind.daemon.storage.model_versions import CHAMPION, NAME, PREVIOUS

server = pytest.fixture(scope="module")(stores.server)
bucket = pytest.fixture(stores.bucket)


@pytest.fixture
def service(tmp_path: Path, served: Path, bucket: Bucket, postgres: Postgres) -> Iterator[Service]:
    """One that held its journal and MLflow's database in files until now, and that a person decides for."""
    address = postgres.url()
    settings = {"RETRAIND_MLFLOW__URL": address, "RETRAIND_PROMOTE__MODE": "manual", **bucket.environment}
    settings |= {"RETRAIND_RETRAIN__THRESHOLD_ROWS": "100000"}  # a training starts when it is asked for
    service = Service(tmp_path / "home", **settings)
    service.home.registry.mkdir(parents=True)
    postgres.place(service.home)
    service.copied(served)
    mlflow_copies.move_to_server(service.home, address)
    (service.home.registry / mlflow_copies.MOVED).unlink()
    yield service
    service.end()


def client(service: Service) -> MlflowClient:
    """MLflow as its users open it."""
    named = mlflow_server.beside(service.home)
    assert named is not None
    return MlflowClient(named.url, named.url)


def command(service: Service, *words: object) -> None:
    done = [sys.executable, "-m", "retraind.daemon", *map(str, words), "--home", str(service.home.root)]
    subprocess.run(done, cwd=REPOSITORY, check=True, capture_output=True)


def serves(service: Service, version: int, seconds: float = 30) -> None:
    wait_until(
        lambda: (service.predict() or {}).get("model_version") == version,
        seconds,
        f"version {version}: {service.log()[-1500:]}",
    )


@pytest.mark.timeout(200)
def test_versions_live_on_the_server_and_outlive_the_machine(
    service: Service, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Trained, judged, promoted, rolled back, moved by hand; then the home is lost, and nothing of it comes twice."""
    service.start()
    serves(service, 1)
    assert trained(service, "more.csv", flowers(1, 30)) == 2
    assert versions(service)[2]["state"] == "held"
    command(service, "promote", 2)
    serves(service, 2)
    mlflow = client(service)
    assert [int(mlflow.get_model_version_by_alias(NAME, alias).version) for alias in (CHAMPION, PREVIOUS)] == [2, 1]
    wait_until(lambda: mlflow.get_model_version(NAME, "2").tags["retraind.verdict"] == "promoted", 5)
    command(service, "rollback")
    serves(service, 1)
    mlflow.set_registered_model_alias(NAME, CHAMPION, "2")
    serves(service, 2, 5)
    loads_from_the_store(service, bucket, monkeypatch)
    runs = sorted(run.info.run_id for run in mlflow.search_runs(["1"]))
    machine(service)
    service.start()
    serves(service, 2)
    service.rest()
    assert sorted(versions(service)) == [1, 2]
    assert sorted(int(one.version) for one in mlflow.search_model_versions()) == [1, 2]
    assert sorted(run.info.run_id for run in mlflow.search_runs(["1"])) == runs
    assert not service.home.mlflow.exists()
    [paths] = [one for one in doctor.examine(service.home) if one["what"] == "paths"]
    assert (paths["ok"], f"{bucket.settings.url}/mlflow" in paths["detail"]) == (True, True)
    assert int(mlflow.create_model_version(NAME, "file:///nowhere").version) == 3


def loads_from_the_store(service: Service, bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    """MLflow's own client loads the model from where its database says that it is, without the home."""
    mlflow = client(service)
    location = mlflow.get_logged_model(
        str(mlflow.get_model_version(NAME, "2").source).removeprefix("models:/")
    ).artifact_location
    assert location.startswith(f"{bucket.settings.url}/mlflow/")
    name = location.removeprefix(f"{bucket.settings.url}/")
    wait_until(lambda: f"{name}/MLmodel" in bucket.names(), 30, "the model in the store")
    monkeypatch.setenv("MLFLOW_S3_ENDPOINT_URL", bucket.settings.endpoint)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    files = {
        f"mlflow/{path.relative_to(service.home.artifacts)}"
        for path in service.home.artifacts.rglob("*")
        if path.is_file()
    }
    wait_until(lambda: files <= bucket.names(), 30, "all of MLflow's files in the store")
    model = pyfunc.load_model(location)
    row = dict(zip(model.metadata.get_input_schema().input_names(), [5.1, 3.5, 1.4, 0.2], strict=True))
    assert model.predict(pd.DataFrame([row])).tolist() == ["setosa"]
    gc.collect()  # ends the threads of MLflow's download


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_standby_goes_on_with_the_same_database(
    tmp_path: Path, served: Path, bucket: Bucket, own_server: Postgres
) -> None:
    """The leader is stopped, the standby takes over and trains the next version; what goes on afterwards has no say."""
    address = own_server.url()
    leader, standby = pair(tmp_path, served, own_server.url(), bucket, RETRAIND_MLFLOW__URL=address)
    mlflow_copies.move_to_server(leader.home, address)
    (leader.home.registry / mlflow_copies.MOVED).unlink()
    try:
        leader.start()
        leader.wait_leads()
        serves(leader, 1)
        assert epoch(address) == 1
        standby.start_standby()
        leader.signal(signal.SIGSTOP)
        standby.wait_leads()
        serves(standby, 1)
        assert epoch(address) == 2
        assert trained(standby, "more.csv", flowers(1, 30)) == 2
        leader.signal(signal.SIGCONT)
        assert leader.process is not None
        assert leader.process.wait(15) == Exit.JOURNAL_TAKEN
        serves(standby, versions(standby)[2]["version"] if versions(standby)[2]["state"] == "promoted" else 1)
        assert sorted(int(one.version) for one in client(standby).search_model_versions()) == [1, 2]
        assert not standby.home.mlflow.exists()
    finally:
        if leader.process is not None and leader.process.poll() is None:
            leader.signal(signal.SIGCONT)
        leader.end()
        standby.end()


def epoch(address: str) -> int:
    """The newest epoch that MLflow's database knows."""
    with session(address) as connection:
        row = connection.execute("SELECT epoch FROM retraind_home").fetchone()
    assert row is not None
    return int(row["epoch"])
