"""MLflow's own migrations of its database, for layouts that the daemon's statements don't know.

The modules of MLflow are imported by name, after `registry.py` has prepared its import.
"""

import contextlib
import functools
import importlib
import sqlite3
from contextlib import closing
from typing import Any

from retraind.daemon.core.databases import mlflow_server
from retraind.daemon.core.errors import Unavailable
from retraind.daemon.core.home import Home
from retraind.daemon.storage import mlflow_file
from retraind.daemon.storage.mlflow.mlflow_database import MlflowDatabase

LOCATE = "UPDATE experiments SET artifact_location = ?"
"""MLflow's own default experiment would write to the current folder."""


def create(home: Home, database: MlflowDatabase) -> None:
    """Have MLflow make the tables; call within the database's lock."""
    location = mlflow_server.artifacts(home)
    if not database.in_file:
        _open(database.uri)
        with database.writing() as transaction:
            transaction.execute(LOCATE, (location,))
        return
    with mlflow_file.replacing(home.mlflow) as fresh:
        _open(f"sqlite:///{fresh.absolute()}")
        with closing(sqlite3.connect(fresh)) as connection, connection:
            connection.execute(LOCATE, (location,))


def upgrade(home: Home, database: MlflowDatabase) -> None:
    """Do what `mlflow db upgrade` does: in a copy of the file, or on a server in one transaction.

    By itself MLflow only adds tables, and refuses a database that lacks a column. The database of a later MLflow is not
    changed, and its next query fails with the reason. Raises Unavailable for a server's database that is not ours.
    """
    with contextlib.suppress(importlib.import_module("alembic.util").CommandError):
        if database.in_file:
            _upgrade_copy(home)
        elif database.has_column("retraind_home", "epoch"):
            _upgrade(database.uri)
        else:
            raise Unavailable(
                f"The database at {database.place} has tables of another MLflow.",
                hint="Other programs use it, so upgrade it yourself: `mlflow db upgrade`. Or name another database.",
            )


def _upgrade_copy(home: Home) -> None:
    path = home.mlflow
    # Other programs can only read it meanwhile, because the copy would lack their writes.
    with mlflow_file.writing(path), mlflow_file.replacing(path) as fresh:
        with mlflow_file.reading(path) as source, closing(sqlite3.connect(fresh)) as copy:
            source.backup(copy)
        _upgrade(f"sqlite:///{fresh.absolute()}")


def _open(uri: str) -> None:
    client: Any = importlib.import_module("mlflow").MlflowClient(uri, uri)
    client.search_experiments()


def _upgrade(uri: str) -> None:
    engine = _utils().create_sqlalchemy_engine_with_retry(uri)
    try:
        _utils()._upgrade_db(engine)
    finally:
        engine.dispose()


def newest_layout() -> str:
    """MLflow's name for the table layout after its newest migration."""
    return str(_utils()._get_latest_schema_revision())


def remember_layout() -> None:
    """Look up MLflow's newest migration once: MLflow would load all migrations for this at each database that it opens."""
    database = _utils()
    database._get_latest_schema_revision = functools.cache(database._get_latest_schema_revision)
    database._get_latest_schema_revision()


def _utils() -> Any:
    return importlib.import_module("mlflow.store.db.utils")
