"""The registry: all work that needs MLflow itself: runs, models, new versions, and migrating its database.

MLflow runs offline, on a file or a PostgreSQL server. Only the modules of this package use it, and only the trainer's
process imports it. `daemon/storage/model_versions.py` reads versions and moves aliases, also in the daemon;
`daemon/storage/mlflow_tables.py` makes the database.
"""

# ruff: noqa: E402 - MLflow reads its environment at its import, and parts of it are deferred before that
import functools
import importlib
import json
import os
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, cast

from retraind.daemon.core.databases import mlflow_server
from retraind.daemon.core.errors import Unavailable
from retraind.daemon.core.home import Home
from retraind.daemon.registry import artifact_files, deferred_packages, migrations
from retraind.daemon.registry.table_model import TableModel, signature
from retraind.daemon.storage import mlflow_tables
from retraind.daemon.storage.model_versions import NAME, TAG, ModelVersions

# Before the import, because MLflow reads these once. Otherwise it would phone home, start pip and uv, and use its own
# log format.
os.environ.update(
    MLFLOW_DISABLE_TELEMETRY="true",
    DO_NOT_TRACK="true",
    MLFLOW_SKIP_PIP_REQUIREMENTS_CHECK="true",
    MLFLOW_UV_AUTO_DETECT="false",
    MLFLOW_MODEL_CATALOG_URI="",
    MLFLOW_ENABLE_ASYNC_LOGGING="false",
    MLFLOW_LOGGING_LEVEL="WARNING",
)

DEFERRED = ("mlflow.gateway", "mlflow.genai", "mlflow.genai.judges", "mlflow.genai.scorers", "mlflow.projects")
"""Packages of MLflow that no training needs."""

deferred_packages.defer(DEFERRED)

# MLflow writes models with it. Its import looks up each of 400 functions in all imported modules: after MLflow's import
# that would take 1.4 s instead of 0.3, and run the deferred packages.
import skops.io  # noqa: F401, I001

import mlflow
import mlflow.sklearn
import numpy as np
import pandas as pd
from mlflow import MlflowClient
from mlflow.data.code_dataset_source import CodeDatasetSource
from mlflow.data.pandas_dataset import from_pandas
from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, RunTag
from mlflow.exceptions import MlflowException


@dataclass(frozen=True)
class Source:
    """Where a dataset came from: folder, git commit, DVC's md5 (MLflow keeps 36 characters as its digest), rows."""

    folder: str
    revision: str
    dvc_md5: str
    rows: int


Method = TypeVar("Method", bound=Callable[..., Any])


def translated(method: Method) -> Method:
    """The method, with errors of MLflow and SQLite turned into Unavailable, so that a locked database leads to a retry."""

    @functools.wraps(method)
    def call(*arguments: Any, **named: Any) -> Any:
        try:
            return method(*arguments, **named)
        except (MlflowException, sqlite3.Error) as error:
            raise Unavailable(f"MLflow's database can't be used: {str(error)[:300]}") from error

    return cast(Method, call)


class Registry:
    """MLflow for one home. It uses only explicit ids, because the fluent API keeps global state."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self._models = ModelVersions(home)
        self._database = self._models.database
        self._uri = self._database.uri
        self._client: MlflowClient | None = None

    @property
    def client(self) -> MlflowClient:
        """The client; the first use migrates a new database, which takes seconds."""
        if self._client is None:
            server = mlflow_server.beside(self._home)
            if server is not None and server.artifacts:
                artifact_files.keep_in_home(self._home, server.artifacts)
            mlflow.set_tracking_uri(self._uri)
            mlflow.set_registry_uri(self._uri)
            self._client = MlflowClient(self._uri, self._uri)
        return self._client

    @translated
    def open(self) -> None:
        """Create the migrated database, the experiment and the registered model if they are missing."""
        if mlflow_tables.open_or_make(self._home, self._database):
            return
        with self._database.migrating():
            if (layout := self._models.layout()) is None:
                migrations.create(self._home, self._database)
            elif layout and layout != migrations.newest_layout():
                migrations.upgrade(self._home, self._database)
            self._fill()

    def _fill(self) -> None:
        """Add our experiment and model to a database if they are missing; its first query migrates it."""
        if self.client.get_experiment_by_name(NAME) is None:
            self.client.create_experiment(NAME, artifact_location=mlflow_server.artifacts(self._home))
        if not self.client.search_registered_models(f"name='{NAME}'"):
            self.client.create_registered_model(NAME, description=mlflow_tables.DESCRIPTION)
        self._database.complete()

    def _experiment(self) -> str:
        experiment = self.client.get_experiment_by_name(NAME)
        return str(experiment.experiment_id) if experiment else ""

    @translated
    def prune(self) -> None:
        """Remove the candidates' runs of cleared versions for good, as `mlflow gc` does.

        They are most of a training's rows. The versions and their own runs stay, with all figures.
        """
        store = self.client._tracking_client.store
        for run in self._models.leftover_runs():
            store._hard_delete_run(run)

    # Runs, used by the trainer

    def start_run(self, name: str, tags: Mapping[str, str], parent: str | None = None) -> str:
        """Start a run (nested in `parent` if given); returns its id."""
        labels = {"mlflow.runName": name, **{TAG + key: value for key, value in tags.items()}}
        if parent is not None:
            labels["mlflow.parentRunId"] = parent
        return str(self.client.create_run(self._experiment(), tags=labels).info.run_id)

    def log(self, run: str, params: Mapping[str, Any], metrics: Mapping[str, float], tags: Mapping[str, str]) -> None:
        """Log everything of a run in one transaction."""
        now = pd.Timestamp.now(tz="UTC").value // 1_000_000
        self.client.log_batch(
            run,
            metrics=[Metric(key, float(value), now, 0) for key, value in metrics.items() if np.isfinite(value)],
            params=[Param(key, str(value)[:500]) for key, value in params.items()],
            tags=[RunTag(TAG + key, value) for key, value in tags.items()],
        )

    def log_dataset(self, runs: Sequence[str], columns: Mapping[str, Any], target: str, source: Source) -> None:
        """Log the dataset as input of each run.

        A few rows of `columns` (name to values, in the model's encoding) are enough.
        """
        frame = pd.DataFrame(dict(columns), copy=False)
        tags = {"retraind.data": source.folder, "mlflow.source.git.commit": source.revision}
        dataset = from_pandas(
            frame, source=CodeDatasetSource(tags), targets=target, name="dataset", digest=source.dvc_md5[:36]
        )
        seen = dataset._to_mlflow_entity()
        profile = json.dumps({"num_rows": source.rows, "num_elements": source.rows * frame.shape[1]})
        logged = Dataset(seen.name, seen.digest, seen.source_type, seen.source, seen.schema, profile)
        inputs = DatasetInput(logged, [InputTag("mlflow.data.context", "training")])
        for run in runs:
            self.client.log_inputs(run, [inputs])

    def log_files(self, run: str, folder: Path) -> None:
        """Log every file in `folder` as an artifact."""
        self.client.log_artifacts(run, str(folder))

    def end_run(self, run: str, status: str = "FINISHED") -> None:
        """Close a run: FINISHED, FAILED or KILLED."""
        self.client.set_terminated(run, status)

    def register(self, run: str, model: TableModel, tags: Mapping[str, str]) -> int:
        """Log the pipeline as MLflow's model of `run` and register it; returns the version's number.

        MLflow loads it without retraind: its own classes lie beside it.
        """
        mlflow.start_run(run_id=run)
        try:
            logged = mlflow.sklearn.log_model(
                model.pipeline,
                name="model",
                signature=signature(model),
                code_paths=[str(model.code)],
                pip_requirements=list(model.requirements),
                skops_trusted_types=list(model.trusted),
            )
        finally:
            mlflow.end_run("RUNNING")  # it continues: pictures and textbook figures follow
        labels = {TAG + key: value for key, value in tags.items()}
        version = self.client.create_model_version(NAME, logged.model_uri, run, labels, model_id=logged.model_id)
        return int(version.version)


LATER = (
    *("alembic.command", "git", "mlflow.pyfunc", "mlflow.tracing.export.utils", "mlflow.tracing.processor.base_mlflow"),
    "mlflow.store.model_registry.sqlalchemy_workspace_store",
    "mlflow.store.tracking.sqlalchemy_workspace_store",
)
"""Modules that MLflow imports when it opens a database, starts a run or logs a model."""


REQUIRED = {"mlflow": ["mlflow"], "numpy": ["numpy"], "sklearn": ["scikit-learn"]}
"""The packages of the modules that a model requires."""


def load() -> None:
    """Import the modules that MLflow would import in each training, and map its tables; opens no database."""
    for name in LATER:
        importlib.import_module(name)
    # MLflow would spend a second comparing the installed versions with themselves, package by package.
    vars(importlib.import_module("mlflow.utils.requirements_utils"))["_MODULES_TO_PACKAGES"] = REQUIRED
    importlib.import_module("sqlalchemy.orm").configure_mappers()
