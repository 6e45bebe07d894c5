"""Homes whose MLflow database is on a server, for tests."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import psycopg
from psycopg.rows import dict_row

from benchmarks.postgres import Postgres
from retraind.daemon.core.databases import mlflow_server
from retraind.daemon.core.databases.mlflow_server import MlflowServer
from retraind.daemon.core.home import Home
from retraind.daemon.core.journal import journal_address
from retraind.daemon.storage import mlflow_tables
from retraind.daemon.storage.mlflow.mlflow_session import Leader, MlflowOnServer
from retraind.daemon.storage.model_versions import CHAMPION, NAME, ModelVersions

VERSION = f"INSERT INTO model_versions (name, version, current_stage) VALUES ('{NAME}', ?, 'None')"


def place(home: Home, postgres: Postgres) -> str:
    """Let a home have MLflow's database in a new schema of a server; its address."""
    url = postgres.url()
    mlflow_server.write(home, MlflowServer(url, ""))
    return url


@contextmanager
def leading(home: Home, epoch: int | None, name: str = "") -> Iterator[MlflowOnServer]:
    """The database as the daemon has it that leads with this epoch; it has been made."""
    server = mlflow_server.beside(home)
    assert server is not None
    with closing(MlflowOnServer(server, Leader(name or "home", epoch))) as database:
        mlflow_tables.open_or_make(home, database)
        yield database


def with_versions(home: Home, count: int = 3) -> ModelVersions:
    """The database as a person sees it, with so many versions, the first of which is the champion; made without MLflow, which takes a second."""
    mlflow_tables.open_or_make(home)
    models = ModelVersions(home)
    with models.database.writing() as transaction:
        for number in range(1, count + 1):
            transaction.execute(VERSION, (number,))
    models.set_alias(CHAMPION, 1)
    return models


@contextmanager
def session(url: str) -> Iterator[psycopg.Connection[dict[str, Any]]]:
    """A session of a person."""
    address = url.replace(journal_address.SCHEME, "postgresql", 1)
    with psycopg.connect(address, autocommit=True, row_factory=dict_row) as connection:
        yield connection
