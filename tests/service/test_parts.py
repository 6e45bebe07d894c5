"""daemon.service.parts: what is put right while the parts are opened."""

import sqlite3
from contextlib import closing

import pytest

from daemon.core.errors import Unavailable
from daemon.core.home import Home
from daemon.service.parts import _migrate
from daemon.storage.model_versions import LAYOUT, ModelVersions


def test_database_of_another_mlflow_is_given_to_mlflow_first(mlflow_home: Home) -> None:
    """In a process of its own; what MLflow can't migrate it refuses, and that is said."""
    with closing(sqlite3.connect(mlflow_home.mlflow)) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = 'later'")
    assert ModelVersions(mlflow_home).layout() == "later"
    with pytest.raises(Unavailable, match=f"tables of another MLflow.*expected {LAYOUT}"):
        _migrate(mlflow_home)
