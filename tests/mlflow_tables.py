"""MLflow's tables as statements: `python tests/mlflow_tables.py` writes both files of them by the MLflow that is installed."""

import re
import sqlite3
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import closing
from importlib.metadata import version
from pathlib import Path

from benchmarks.postgres import Postgres, programs
from retraind.daemon.core.home import Home
from retraind.daemon.storage import mlflow_tables
from retraind.daemon.storage.mlflow.mlflow_database import MlflowFile

STATEMENTS = "SELECT sql || ';' FROM sqlite_master WHERE sql IS NOT NULL AND name != 'sqlite_sequence' ORDER BY rowid"

ROWS = (
    "SELECT 'INSERT INTO alembic_version VALUES (' || quote(version_num) || ');' FROM alembic_version",
    "SELECT 'INSERT INTO workspaces (name, description) VALUES (' || quote(name) || ', ' || quote(description) || ');' FROM workspaces",
)

LEFT_OUT = re.compile(r"--|\\|SET |SELECT pg_catalog|CREATE SCHEMA")
"""Lines of a dump that make no table."""


def statements(path: Path) -> Iterator[str]:
    """What makes the tables of a database, and the rows that its migrations have left in them."""
    with closing(sqlite3.connect(path)) as connection:
        for question in (STATEMENTS, *ROWS):
            yield from (statement for (statement,) in connection.execute(question))


def on_server(server: Postgres, url: str) -> str:
    """What makes the tables of a schema of a server, without ours and without rows."""
    schema = url.rpartition("%3D")[2]
    folder = programs()
    assert folder is not None
    command = [
        str(folder / "pg_dump"),
        "-h",
        str(server.folder),
        "-U",
        "postgres",
        "-s",
        "--no-owner",
        "--no-privileges",
    ]
    dump = subprocess.run([*command, "-n", schema, "postgres"], capture_output=True, text=True, check=True).stdout
    lines = [line for line in dump.splitlines() if line.strip() and not LEFT_OUT.match(line)]
    return re.sub(rf"\b{schema}\.", "", "\n".join(lines))


def rows_on_server(server: Postgres, url: str) -> Iterator[str]:
    """The rows that the migrations have left in them."""
    schema = url.rpartition("%3D")[2]
    for question in ROWS:
        words = question.replace("quote(", "quote_literal(")
        yield from (statement for (statement,) in server.sql(f"SET search_path TO {schema}", words))


def make_on_server(url: str) -> None:
    """Have MLflow make its tables."""
    from retraind.daemon.registry import migrations, registry

    assert registry
    migrations._open(url)


if __name__ == "__main__":
    from retraind.daemon.registry import migrations

    head = f"-- MLflow {version('mlflow')}"
    with tempfile.TemporaryDirectory() as folder:
        home = Home(Path(folder))
        home.make()
        migrations.create(home, MlflowFile(home.mlflow))
        text = "\n".join([head, *statements(home.mlflow)])
    mlflow_tables.STATEMENTS.write_text(text + "\n")
    server = Postgres.make()
    try:
        make_on_server(address := server.url())
        text = "\n".join([head, on_server(server, address), *rows_on_server(server, address)])
    finally:
        server.remove()
    mlflow_tables.SERVER_STATEMENTS.write_text(text + "\n")
