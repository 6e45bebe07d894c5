"""Creates and repairs MLflow's database without MLflow, whose import and migrations take seconds.

A new database has the tables that MLflow's migrations make (`mlflow_tables.sql`), and the rows that MLflow's client
would add; tests compare both. If another release of MLflow is installed than the one these statements are from, MLflow
does it (`daemon/registry/registry.py`).
"""

import time
from importlib import metadata
from pathlib import Path

from retraind.daemon.core.databases import mlflow_server
from retraind.daemon.core.home import Home
from retraind.daemon.storage.mlflow import mlflow_database
from retraind.daemon.storage.mlflow.mlflow_database import MlflowDatabase
from retraind.daemon.storage.model_versions import LAYOUT, NAME, ModelVersions

STATEMENTS = Path(__file__).with_name("mlflow_tables.sql")
SERVER_STATEMENTS = Path(__file__).with_name("mlflow") / "server_tables.sql"
"""The same tables for PostgreSQL."""

DESCRIPTION = "Trained by retraind from labelled files."
"""The description of the registered model, for people."""

DEFAULT = """
INSERT INTO experiments
    (experiment_id, name, artifact_location, lifecycle_stage, creation_time, last_update_time, workspace)
VALUES (0, 'Default', ?, 'active', ?, ?, 'default')"""
"""MLflow's own experiment, which its client and its pages expect."""

EXPERIMENT = f"""
INSERT INTO experiments (name, artifact_location, lifecycle_stage, creation_time, last_update_time)
SELECT '{NAME}', ?1, 'active', ?2, ?2 WHERE NOT EXISTS (SELECT 1 FROM experiments WHERE name = '{NAME}')"""

MODEL = f"""
INSERT INTO registered_models (name, creation_time, last_updated_time, description)
SELECT '{NAME}', ?1, ?1, '{DESCRIPTION}' WHERE NOT EXISTS (SELECT 1 FROM registered_models WHERE name = '{NAME}')"""

FILLED = f"""
SELECT 1 WHERE EXISTS (SELECT 1 FROM experiments WHERE name = '{NAME}')
AND EXISTS (SELECT 1 FROM registered_models WHERE name = '{NAME}')"""

KILL = f"""
UPDATE runs SET status = 'KILLED', end_time = ? WHERE status = 'RUNNING' AND lifecycle_stage = 'active'
AND experiment_id IN (SELECT experiment_id FROM experiments WHERE name = '{NAME}')"""


def open_or_make(home: Home, database: MlflowDatabase | None = None) -> bool:
    """Create the database, and add our missing rows; False if only MLflow can do it. Raises Unavailable, OSError."""
    database = database or mlflow_database.of(home)
    database.require(home)
    if ModelVersions(home, database).layout() not in (None, LAYOUT) or not are_of_the_installed_mlflow(database):
        return False
    with database.migrating():
        if not database.exists():
            _make(home, database)
        _fill(home, database)
    return True


def kill_runs(home: Home, database: MlflowDatabase | None = None) -> None:
    """Mark the runs that a killed training left open; call only while none runs. Raises Unavailable."""
    database = database or mlflow_database.of(home)
    if not ModelVersions(home, database).unfinished():
        return  # another program may hold a lock, so it writes only if it must
    with database.writing() as connection:
        connection.execute(KILL, (_now(),))


def are_of_the_installed_mlflow(database: MlflowDatabase | None = None) -> bool:
    """Whether the statements come from the installed MLflow, because another patch release may have other tables."""
    with _statements(database).open() as text:
        written = text.readline().split()[-1]
    try:
        return written == metadata.version("mlflow")
    except metadata.PackageNotFoundError:
        return False


def _statements(database: MlflowDatabase | None) -> Path:
    return STATEMENTS if database is None or database.in_file else SERVER_STATEMENTS


def _make(home: Home, database: MlflowDatabase) -> None:
    location, now = mlflow_server.artifacts(home), _now()
    database.make(_statements(database).read_text(), [(DEFAULT, (location, now, now))])


def _fill(home: Home, database: MlflowDatabase) -> None:
    if not database.ask(FILLED):
        with database.writing() as connection:
            connection.execute(EXPERIMENT, (mlflow_server.artifacts(home), _now()))
            connection.execute(MODEL, (_now(),))
    database.complete()


def _now() -> int:
    """Milliseconds since 1970, MLflow's unit of time."""
    return time.time_ns() // 1_000_000
