"""retraind.daemon.registry.registry with a real MLflow database."""

import json
import shutil
import stat
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow.exceptions import MlflowException
from sklearn.tree import DecisionTreeClassifier

from retraind.daemon.core.errors import BadSettings, Unavailable
from retraind.daemon.core.home import Home
from retraind.daemon.portable import pipeline
from retraind.daemon.registry.registry import Registry, Source
from retraind.daemon.schema.column import Column
from retraind.daemon.schema.schema import Schema
from retraind.daemon.storage import mlflow_file
from retraind.daemon.storage.model_versions import NAME, ModelVersions


@pytest.fixture
def registry(mlflow_home: Home) -> Registry:
    registry = Registry(mlflow_home)
    registry.open()
    return registry


def test_opening_again_changes_nothing(registry: Registry, mlflow_home: Home) -> None:
    """Experiment and model are made once; the database is its owner's."""
    Registry(mlflow_home).open()
    assert [one.name for one in registry.client.search_experiments(filter_string=f"name='{NAME}'")] == [NAME]
    assert [one.name for one in registry.client.search_registered_models()] == [NAME]
    assert stat.S_IMODE(mlflow_home.mlflow.stat().st_mode) == 0o600


def test_database_is_made_and_migrated_by_one_process_at_a_time(
    home: Home, migrated: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The trainer's preparation, the daemon's migration at the start, or that of a daemon that was killed."""
    monkeypatch.setattr(mlflow_file, "MIGRATION_SECONDS", 0.05)
    with mlflow_file.migrating(home.mlflow), pytest.raises(Unavailable, match="Another process migrates"):
        Registry(home).open()
    assert [path.name for path in home.registry.glob("mlflow*")] == ["mlflow.db.lock"]
    shutil.copy(migrated, home.mlflow)
    Registry(home).open()
    assert Registry(home).client.get_experiment_by_name(NAME) is not None


def test_run_holds_what_was_logged(registry: Registry, mlflow_home: Home, tmp_path: Path) -> None:
    """Parameters (cut to what MLflow takes), figures (finite ones), tags, files, the dataset with its DVC md5, the parent."""
    parent = registry.start_run("training 1", {"reason": "first model"})
    run = registry.start_run("tree", {"candidate": "tree"}, parent)
    registry.log(
        run, {"depth": None, "long": "x" * 6000}, {"accuracy": 0.9, "nothing": float("nan")}, {"backend": "onnx"}
    )
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes/note.txt").write_text("x")
    registry.log_files(run, tmp_path / "notes")
    source = Source(str(mlflow_home.data), "a" * 40, "d" * 32 + ".dir", 1000)
    registry.log_dataset([run, parent], {"x": [1.0, 2.0], "y": ["a", "b"]}, "y", source)
    registry.end_run(run)
    stored = registry.client.get_run(run)
    assert stored.info.status == "FINISHED"
    assert stored.data.params == {"depth": "None", "long": "x" * 500}
    assert stored.data.metrics == {"accuracy": 0.9}
    assert stored.data.tags["mlflow.parentRunId"] == parent
    assert (stored.data.tags["retraind.candidate"], stored.data.tags["retraind.backend"]) == ("tree", "onnx")
    for each_run in (stored, registry.client.get_run(parent)):
        assert each_run.inputs is not None
        (logged,) = [entry.dataset for entry in each_run.inputs.dataset_inputs]
        assert logged.digest == "d" * 32 + ".dir"
        assert json.loads(logged.source)["tags"]["mlflow.source.git.commit"] == "a" * 40
        assert json.loads(logged.profile or "")["num_rows"] == 1000
    assert "note.txt" in [entry.path for entry in registry.client.list_artifacts(run)]
    assert list(mlflow_home.artifacts.rglob("note.txt"))


def test_runs_of_candidates_of_cleared_versions_are_removed(registry: Registry) -> None:
    """As `mlflow gc` removes them; the version keeps its own run."""
    run = registry.start_run("training", {})
    candidate = registry.start_run("tree", {}, run)
    other = registry.start_run("elsewhere", {})
    registry.client.create_model_version(NAME, "file:///nowhere", run, {"retraind.artifacts": "removed"})
    registry.prune()
    assert [registry.client.get_run(one).info.status for one in (run, other)] == ["RUNNING", "RUNNING"]
    with pytest.raises(MlflowException, match="not found"):
        registry.client.get_run(candidate)


def test_registered_model_can_be_loaded_by_mlflow(registry: Registry, mlflow_home: Home) -> None:
    """MLflow alone can load the pipeline of a version, by columns and with names of classes; signature and data are recorded."""
    matrix = np.array([[0.0, 0.0], [1.0, 1.0]] * 5)
    fitted = DecisionTreeClassifier().fit(matrix, [0, 1] * 5)
    columns = [Column(name="length", kind="number"), Column(name="lobed", kind="boolean", missing=True)]
    schema = Schema(target="tree", classes=["ash", "oak"], columns=columns)
    run = registry.start_run("training", {})
    with pipeline.table_model(schema, fitted, None) as model:
        version = registry.register(run, model, {"bundle": "b" * 64})
    registry.end_run(run)
    assert ModelVersions(mlflow_home).versions()[-1].bundle == "b" * 64
    loaded = mlflow.pyfunc.load_model(f"models:/{NAME}/{version}")
    frame = pd.DataFrame({"length": [0.0, 1.0], "lobed": [False, True]})
    assert loaded.predict(frame).tolist() == ["ash", "oak"]
    assert mlflow.active_run() is None
    inputs = mlflow.models.get_model_info(f"models:/{NAME}/{version}").signature.inputs
    assert [(each.name, each.type.name, each.required) for each in inputs.inputs] == [
        ("length", "double", True),
        ("lobed", "boolean", False),
    ]


@pytest.mark.parametrize("name", ["what?", "a%41b"])
def test_home_that_mlflow_would_look_for_elsewhere_is_refused(tmp_path: Path, name: str) -> None:
    """Its database would be made in a folder of another name."""
    with pytest.raises(BadSettings, match="must not have"):
        Home(tmp_path / name).require_plain_path()
