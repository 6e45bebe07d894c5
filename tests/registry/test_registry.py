"""daemon.registry.registry with a real MLflow database."""

import json
import stat
from pathlib import Path

import mlflow
import numpy as np
import pytest
from sklearn.tree import DecisionTreeClassifier

from daemon.core.errors import BadSettings, NotFound
from daemon.core.home import Home
from daemon.registry.registry import CHALLENGER, CHAMPION, NAME, PREVIOUS, Registry, Source


@pytest.fixture
def registry(mlflow_home: Home) -> Registry:
    registry = Registry(mlflow_home)
    registry.open()
    return registry


def a_version(registry: Registry, run: str | None = None, **tags: str) -> int:
    """Register a version without logging a model, which is quick."""
    run = run or registry.start_run("training", {})
    labels = {f"retraind.{key}": value for key, value in tags.items()}
    return int(registry.client.create_model_version(NAME, "file:///nowhere", run, labels).version)


def test_opening_again_changes_nothing(registry: Registry, mlflow_home: Home) -> None:
    """Experiment and model are made once; the database is its owner's."""
    Registry(mlflow_home).open()
    assert [one.name for one in registry.client.search_experiments(filter_string=f"name='{NAME}'")] == [NAME]
    assert [one.name for one in registry.client.search_registered_models()] == [NAME]
    assert stat.S_IMODE(mlflow_home.mlflow.stat().st_mode) == 0o600


def test_versions_are_found_by_number(registry: Registry) -> None:
    """New ones after a given number, oldest first, also beyond nine; one that somebody else registered has no bundle."""
    run = registry.start_run("training", {})
    numbers = [a_version(registry, run, bundle=f"{number:064}") for number in range(11)]
    foreign = a_version(registry, run)
    found = registry.versions(after=8)
    assert [one.version for one in found] == [*numbers[8:], foreign] == [9, 10, 11, 12]
    assert [one.bundle for one in found] == [f"{8:064}", f"{9:064}", f"{10:064}", None]
    assert {one.run for one in found} == {run}


def test_alias_moves_and_goes(registry: Registry) -> None:
    """An alias names one version or none, whoever moved it."""
    first, second = a_version(registry), a_version(registry)
    assert [registry.alias(name) for name in (CHAMPION, CHALLENGER, PREVIOUS)] == [None] * 3
    registry.set_alias(CHAMPION, first)
    registry.set_alias(CHAMPION, second)
    assert registry.alias(CHAMPION) == second
    registry.client.set_registered_model_alias(NAME, CHAMPION, str(first))
    assert registry.alias(CHAMPION) == first
    registry.set_alias(CHAMPION, None)
    registry.set_alias(CHAMPION, None)
    assert registry.alias(CHAMPION) is None


def test_verdict_is_shown_in_mlflow(registry: Registry) -> None:
    """Who looks at a version in MLflow's pages reads why it is served or not."""
    version = a_version(registry)
    registry.describe(version, "refused", "Accuracy falls.")
    found = registry.client.get_model_version(NAME, str(version))
    assert (found.tags["retraind.verdict"], found.description) == ("refused", "Accuracy falls.")


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
    found = registry.client.get_run(run)
    assert found.info.status == "FINISHED"
    assert found.data.params == {"depth": "None", "long": "x" * 500}
    assert found.data.metrics == {"accuracy": 0.9}
    assert found.data.tags["mlflow.parentRunId"] == parent
    assert (found.data.tags["retraind.candidate"], found.data.tags["retraind.backend"]) == ("tree", "onnx")
    for one in (found, registry.client.get_run(parent)):
        assert one.inputs is not None
        (logged,) = [entry.dataset for entry in one.inputs.dataset_inputs]
        assert logged.digest == "d" * 32 + ".dir"
        assert json.loads(logged.source)["tags"]["mlflow.source.git.commit"] == "a" * 40
        assert json.loads(logged.profile or "")["num_rows"] == 1000
    assert "note.txt" in [entry.path for entry in registry.client.list_artifacts(run)]
    assert list(mlflow_home.artifacts.rglob("note.txt"))


def test_runs_of_a_killed_trainer_are_closed(registry: Registry) -> None:
    """What still seems to run when none can is marked as killed, once."""
    runs = [registry.start_run("training", {}) for _ in range(3)]
    registry.end_run(runs[0])
    assert registry.stop_stale_runs() == 2
    assert registry.stop_stale_runs() == 0
    assert [registry.client.get_run(run).info.status for run in runs] == ["FINISHED", "KILLED", "KILLED"]


def test_registered_model_can_be_loaded_by_mlflow(registry: Registry) -> None:
    """Anybody with MLflow gets the estimator of a version back; its signature and data are on record."""
    matrix = np.array([[0.0, 0.0], [1.0, 1.0]] * 5)
    fitted = DecisionTreeClassifier().fit(matrix, [0, 1] * 5)
    run = registry.start_run("training", {})
    version = registry.register(run, fitted, matrix, ["scikit-learn==1.0"], {"bundle": "b" * 64})
    registry.end_run(run)
    assert registry.versions()[-1].bundle == "b" * 64
    loaded = mlflow.sklearn.load_model(f"models:/{NAME}/{version}")
    assert loaded.predict(matrix).tolist() == [0, 1] * 5
    assert mlflow.active_run() is None
    assert mlflow.models.get_model_info(f"models:/{NAME}/{version}").signature is not None


def test_unknown_version_is_an_error(registry: Registry) -> None:
    """An alias can't be pointed at nothing, nor at what somebody has deleted."""
    version = a_version(registry)
    assert registry.has(version)
    registry.client.delete_model_version(NAME, str(version))
    assert not registry.has(version)
    for missing in (version, 99):
        with pytest.raises(NotFound, match="not found"):
            registry.set_alias(CHAMPION, missing)
    registry.describe(version, "refused", "It was deleted, so nobody reads this.")


@pytest.mark.parametrize("name", ["what?", "a%41b"])
def test_home_that_mlflow_would_look_for_elsewhere_is_refused(tmp_path: Path, name: str) -> None:
    """Its database would be made in a folder of another name."""
    with pytest.raises(BadSettings, match="must not have"):
        Home(tmp_path / name).require_plain_path()
