"""Model versions and their aliases in MLflow's database, read and written without MLflow, whose import takes seconds.

The daemon follows and moves aliases by a few statements on four tables. Tests compare each statement with MLflow's own
client, in both directions, and check the layout of the tables. All other work on that database is done by MLflow in the
trainer's process (`daemon/registry/registry.py`).
"""

import re
import time
from dataclasses import dataclass
from pathlib import Path

from retraind.daemon.core.errors import NotFound
from retraind.daemon.core.home import Home
from retraind.daemon.core.states import VersionState
from retraind.daemon.storage.artifact_paths import EXPERIMENT
from retraind.daemon.storage.mlflow import mlflow_database
from retraind.daemon.storage.mlflow.mlflow_database import MlflowDatabase, Row

NAME = EXPERIMENT
"""The registered model has the name of the experiment."""

TAG = "retraind."

MODELS = "models:/"
"""Prefix of a version's source if it is a logged model; the model's id follows."""

CHAMPION, CHALLENGER, PREVIOUS = "champion", "challenger", "previous"

LAYOUT = "dc11669786a5"
"""MLflow's name for the table layout that these statements are for."""

PRESENT = f"workspace = 'default' AND name = '{NAME}' AND current_stage != 'Deleted_Internal'"
"""Condition for `model_versions` that no person has deleted."""

OF_VERSION = "tags.workspace = versions.workspace AND tags.name = versions.name AND tags.version = versions.version"

VERSIONS = f"""
SELECT version, run_id, source,
    (SELECT value FROM model_version_tags AS tags WHERE {OF_VERSION} AND key = '{TAG}bundle') AS bundle,
    EXISTS (SELECT 1 FROM model_version_tags AS tags WHERE {OF_VERSION} AND key = '{TAG}artifacts') AS cleared
FROM model_versions AS versions WHERE {PRESENT} AND version > ? ORDER BY version"""

ALIASED = f"""
SELECT version FROM registered_model_aliases JOIN model_versions USING (workspace, name, version)
WHERE {PRESENT} AND alias = ?"""

POINT = f"""
INSERT INTO registered_model_aliases (workspace, name, alias, version)
SELECT workspace, name, ?, version FROM model_versions WHERE {PRESENT} AND version = ?
ON CONFLICT (workspace, name, alias) DO UPDATE SET version = excluded.version"""

UNPOINT = f"DELETE FROM registered_model_aliases WHERE workspace = 'default' AND name = '{NAME}' AND alias = ?"

LABEL = f"""
INSERT INTO model_version_tags (workspace, name, version, key, value)
SELECT workspace, name, version, '{TAG}' || ?, ? FROM model_versions WHERE {PRESENT} AND version = ?
ON CONFLICT (workspace, name, version, key) DO UPDATE SET value = excluded.value"""

EXPLAIN = f"UPDATE model_versions SET description = ?, last_updated_time = ? WHERE {PRESENT} AND version = ?"

NESTED = """
SELECT run_uuid FROM tags JOIN runs USING (run_uuid)
WHERE key = 'mlflow.parentRunId' AND value = ? ORDER BY run_uuid"""

LEFT_OVER = f"""
SELECT run_uuid FROM tags JOIN runs USING (run_uuid)
WHERE tags.key = 'mlflow.parentRunId' AND tags.value IN (
    SELECT run_id FROM model_versions JOIN model_version_tags AS labels USING (workspace, name, version)
    WHERE {PRESENT} AND labels.key = '{TAG}artifacts')"""

UNFINISHED = f"""
SELECT 1 FROM runs JOIN experiments USING (experiment_id)
WHERE experiments.name = '{NAME}' AND status = 'RUNNING' AND runs.lifecycle_stage = 'active' LIMIT 1"""


@dataclass(frozen=True)
class Registered:
    """A version in MLflow; `bundle` is the sha256 of its manifest, None if another program registered it."""

    version: int
    run: str
    bundle: str | None
    model: str
    """Id of its logged MLflow model; empty if there is none."""
    cleared: bool
    """Whether its model files have been removed."""


class ModelVersions:
    """Versions and aliases of one home; a database that does not exist yet reads as empty.

    Every method raises Unavailable while the database can't be used (locked, damaged, or on a full disk).
    """

    def __init__(self, home: Home, database: MlflowDatabase | None = None) -> None:
        self._home, self.database = home, database or mlflow_database.of(home)

    def alias(self, alias: str) -> int | None:
        """The version that an alias names, or None."""
        return next((int(row["version"]) for row in self.database.ask(ALIASED, alias)), None)

    def set_alias(self, alias: str, version: int | None) -> None:
        """Point an alias at a version, or remove it; raises NotFound for a deleted version."""
        if version is None and not self.database.exists():
            return
        with self.database.writing() as connection:
            if version is None:
                connection.execute(UNPOINT, (alias,))
            elif connection.execute(POINT, (alias, version)).rowcount == 0:
                raise NotFound(f"MLflow does not have it: version {version} of {NAME} was not found.")

    def versions(self, after: int = 0) -> list[Registered]:
        """Versions with a larger number than `after`, oldest first."""
        return [_registered(row) for row in self.database.ask(VERSIONS, after)]

    def has(self, version: int) -> bool:
        """Whether this version exists and was not deleted."""
        return bool(self.database.ask(f"SELECT 1 FROM model_versions WHERE {PRESENT} AND version = ?", version))

    def describe(self, version: int, state: VersionState, reason: str) -> None:
        """Write a verdict to the version's description in the MLflow UI, unless the version was deleted."""
        with self.database.writing() as connection:
            connection.execute(LABEL, ("verdict", state.value, version))
            connection.execute(EXPLAIN, (reason, time.time_ns() // 1_000_000, version))

    def mark_cleared(self, version: int) -> None:
        """Note on a version that its model and pictures have been removed; the trainer then removes its candidates' runs."""
        with self.database.writing() as connection:
            connection.execute(LABEL, ("artifacts", "removed", version))

    def candidates(self, version: Registered) -> list[str]:
        """The candidates' runs of a version's training, including runs that a person has deleted."""
        return [row["run_uuid"] for row in self.database.ask(NESTED, version.run)]

    def artifacts(self, version: Registered) -> list[Path]:
        """Folders of a version's artifacts: those of its run, of the nested runs, and of its model."""
        names = [version.run, *self.candidates(version), f"models/{version.model}"]
        # Only ids in MLflow's format: any other text written there must not become a path.
        return [
            self._home.artifacts / name for name in names if re.fullmatch(r"[0-9a-f]{32}|models/m-[0-9a-f]{32}", name)
        ]

    def leftover_runs(self) -> list[str]:
        """The candidates' runs of cleared versions, to be removed."""
        return [row["run_uuid"] for row in self.database.ask(LEFT_OVER)]

    def unfinished(self) -> bool:
        """Whether a training seems to be running."""
        return bool(self.database.ask(UNFINISHED))

    def layout(self) -> str | None:
        """MLflow's name for its table layout; LAYOUT if these statements fit it, None without a database."""
        if not self.database.exists():
            return None
        if not self.database.has_column("alembic_version", "version_num"):
            return ""
        return next((row["version_num"] for row in self.database.ask("SELECT version_num FROM alembic_version")), "")


def _registered(row: Row) -> Registered:
    source = str(row["source"])
    model = source.removeprefix(MODELS) if source.startswith(MODELS) else ""
    return Registered(row["version"], row["run_id"] or "", row["bundle"], model, bool(row["cleared"]))
