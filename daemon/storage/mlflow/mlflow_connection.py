"""Connections to MLflow's database on a PostgreSQL server; their errors become Unavailable."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from retraind.daemon.core.databases import mlflow_server
from retraind.daemon.core.databases.mlflow_server import MlflowServer
from retraind.daemon.core.errors import BadSettings, Unavailable
from retraind.daemon.core.journal import journal_address, journal_server
from retraind.daemon.storage.mlflow.mlflow_database import unusable

try:
    import psycopg
    from psycopg.rows import dict_row
except ModuleNotFoundError:
    raise mlflow_server.missing_driver() from None

SETTINGS = """
SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off';
SELECT set_config('search_path', quote_ident(current_schema()), false);
SET statement_timeout = '10s'; SET lock_timeout = '10s'; SET idle_in_transaction_session_timeout = '10s'"""
"""An answer before the commit is on the disk would be worthless; all tables are in one schema; and a process that was
stopped may not keep others waiting: the server ends its transaction."""

OTHERS = "SELECT 1 WHERE to_regclass('journal_state') IS NOT NULL"

Connection = psycopg.Connection[Mapping[str, Any]]

DriverError = psycopg.Error

Undefined = psycopg.errors.UndefinedTable


def connect(server: MlflowServer, name: str, epoch: int | None = None) -> Connection:
    """A session that the server shows as `name`, and that carries the `epoch`; raises psycopg.Error, BadSettings."""
    address = server.url.replace(journal_address.SCHEME, "postgresql", 1)
    parameters = psycopg.conninfo.conninfo_to_dict(address)
    options: dict[str, Any] = {"application_name": name, **journal_server.PATIENCE, **parameters}
    connection: Connection = psycopg.connect(
        "", autocommit=True, prepare_threshold=None, row_factory=dict_row, cursor_factory=psycopg.RawCursor, **options
    )
    try:
        connection.execute(SETTINGS)
        if epoch is not None:  # not in the connection's options, which poolers refuse
            connection.execute("SELECT set_config('retraind.epoch', $1, false)", (str(epoch),))
        if connection.execute(OTHERS).fetchone():
            hint = "Give it another database or schema: both have a table `runs`."
            raise BadSettings(f"{server.url} has a journal, so MLflow's database can't be there.", hint=hint)
    except BaseException:
        connection.close()
        raise
    return connection


class NoTable(Unavailable):
    """Raised for a table that has not been made yet."""


@contextmanager
def translated() -> Iterator[None]:
    """A context whose errors of the driver are raised as Unavailable."""
    try:
        yield
    except psycopg.errors.UndefinedTable as error:
        raise NoTable(str(unusable(sentence(error)))) from error
    except psycopg.Error as error:
        raise unusable(sentence(error)) from error


def sentence(error: psycopg.Error) -> str:
    """The message of the server or the driver, in one line."""
    return " ".join((error.diag.message_primary or str(error)).split())
