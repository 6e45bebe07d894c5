"""retraind.daemon.service.self_checks: what the health says of the files that the daemon works with."""

import sqlite3
from contextlib import closing

from retraind.daemon.core.home import Home
from retraind.daemon.service.self_checks import SelfChecks
from retraind.daemon.storage.journal import Journal
from retraind.daemon.storage.model_versions import LAYOUT


def test_tables_of_an_mlflow_that_retraind_does_not_know_are_no_green_light(
    mlflow_home: Home, journal: Journal
) -> None:
    """Also when they were made or migrated after the start, by an MLflow that is newer."""
    inspection = SelfChecks(mlflow_home, journal)
    assert inspection.registry() is None
    for layout, objects in (("later", True), (LAYOUT, False)):
        with closing(sqlite3.connect(mlflow_home.mlflow)) as connection, connection:
            connection.execute("UPDATE alembic_version SET version_num = ?", (layout,))
        objection = inspection.registry()
        assert ("tables of another MLflow than retraind knows (later)" in (objection or "")) == objects
