"""MLflow's tables as statements: `python tests/mlflow_tables.py` writes daemon/storage/mlflow_tables.sql by the MLflow that is installed."""

import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing
from importlib.metadata import version
from pathlib import Path

from daemon.core.home import Home
from daemon.storage import mlflow_tables

STATEMENTS = "SELECT sql || ';' FROM sqlite_master WHERE sql IS NOT NULL AND name != 'sqlite_sequence' ORDER BY rowid"

ROWS = (
    "SELECT 'INSERT INTO alembic_version VALUES (' || quote(version_num) || ');' FROM alembic_version",
    "SELECT 'INSERT INTO workspaces (name, description) VALUES (' || quote(name) || ', ' || quote(description) || ');' FROM workspaces",
)


def statements(path: Path) -> Iterator[str]:
    """What makes the tables of a database, and the rows that its migrations have left in them."""
    with closing(sqlite3.connect(path)) as connection:
        for question in (STATEMENTS, *ROWS):
            yield from (statement for (statement,) in connection.execute(question))


if __name__ == "__main__":
    from daemon.registry import registry

    with tempfile.TemporaryDirectory() as folder:
        home = Home(Path(folder))
        home.make()
        registry._create(home)
        text = "\n".join([f"-- MLflow {version('mlflow')}", *statements(home.mlflow)])
    mlflow_tables.STATEMENTS.write_text(text + "\n")
