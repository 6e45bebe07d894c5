"""Creates and repairs MLflow's database without MLflow, whose import and migrations take seconds.

A new database has the tables that MLflow's migrations make (`mlflow_tables.sql`), and the rows that MLflow's client
would add; tests compare both. If another release of MLflow is installed than the one these statements are from, MLflow
does it (`daemon/registry/registry.py`).
"""

import sqlite3
import time
from contextlib import closing
from importlib import metadata
from pathlib import Path

from daemon.core import home_integrity
from daemon.core.errors import Unavailable
from daemon.core.home import Home
from daemon.storage import mlflow_file
from daemon.storage.model_versions import LAYOUT, NAME, ModelVersions

STATEMENTS = Path(__file__).with_name("mlflow_tables.sql")

DESCRIPTION = "Trained by retraind from labelled files."
"""The description of the registered model, for people."""

DEFAULT = "INSERT INTO experiments VALUES (0, 'Default', ?, 'active', ?, ?, 'default')"
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


def open_or_make(home: Home) -> bool:
    """Create the database, and add our missing rows; False if only MLflow can do it.

    Raises Unavailable, OSError. A home that serves a version had a database. An empty one instead would look healthy,
    and number versions from 1 again.
    """
    if not home.mlflow.exists() and home.pointer.exists():
        raise Unavailable(f"{home.mlflow} is gone. {home_integrity.RESTORE}.")
    if ModelVersions(home).layout() not in (None, LAYOUT) or not are_of_the_installed_mlflow():
        return False
    try:
        with mlflow_file.migrating(home.mlflow):
            if not home.mlflow.exists():
                _make(home)
            _fill(home)
    except sqlite3.Error as error:
        raise Unavailable(f"MLflow's database can't be used: {error}.") from error
    return True


def kill_runs(home: Home) -> None:
    """Mark the runs that a killed training left open; call only while none runs. Raises Unavailable."""
    if not ModelVersions(home).unfinished():
        return  # another program may hold a lock, so it writes only if it must
    try:
        with mlflow_file.writing(home.mlflow) as connection:
            connection.execute(KILL, (_now(),))
    except sqlite3.Error as error:
        raise Unavailable(f"MLflow's database can't be used: {error}.") from error


def are_of_the_installed_mlflow() -> bool:
    """Whether the statements come from the installed MLflow, because another patch release may have other tables."""
    with STATEMENTS.open() as text:
        written = text.readline().split()[-1]
    try:
        return written == metadata.version("mlflow")
    except metadata.PackageNotFoundError:
        return False


def _make(home: Home) -> None:
    location, now = home.artifacts.absolute().as_uri(), _now()
    with (
        mlflow_file.replacing(home.mlflow) as fresh,
        closing(sqlite3.connect(fresh, isolation_level=None)) as connection,
    ):
        connection.executescript(f"BEGIN;\n{STATEMENTS.read_text()}")
        connection.execute(DEFAULT, (location, now, now))
        connection.execute("COMMIT")


def _fill(home: Home) -> None:
    with mlflow_file.reading(home.mlflow) as connection:
        filled = connection.execute(FILLED).fetchone()
    if not filled:
        with mlflow_file.writing(home.mlflow) as connection:
            connection.execute(EXPERIMENT, (home.artifacts.absolute().as_uri(), _now()))
            connection.execute(MODEL, (_now(),))
    home.mlflow.chmod(0o600)


def _now() -> int:
    """Milliseconds since 1970, MLflow's unit of time."""
    return time.time_ns() // 1_000_000
