"""MLflow's database at the daemon's start: opened, migrated if needed, and with the versions that the journal has."""

import secrets
import subprocess
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from retraind.daemon.core import logs
from retraind.daemon.core.databases import mlflow_server
from retraind.daemon.core.errors import Unavailable
from retraind.daemon.core.home import Home
from retraind.daemon.core.states import CheckName, EventKind, Level
from retraind.daemon.processes.child import ELSEWHERE, environment, python
from retraind.daemon.promotion import registry_recovery
from retraind.daemon.service.heartbeat import START_SECONDS
from retraind.daemon.storage import artifact_paths, mlflow_tables
from retraind.daemon.storage.journal import Journal
from retraind.daemon.storage.journal_tables import MLFLOW_HOME
from retraind.daemon.storage.mlflow import mlflow_database
from retraind.daemon.storage.mlflow.mlflow_database import MlflowDatabase
from retraind.daemon.storage.model_versions import LAYOUT, ModelVersions

if TYPE_CHECKING:
    from retraind.daemon.service.parts import Frame

log = logs.Logger()

T = TypeVar("T")

AWAY_SECONDS = 1.0
"""Interval of attempts to reach the database's server."""


def open_models(frame: "Frame", journal: Journal) -> ModelVersions:
    """The versions in MLflow's database.

    A database with other tables is first migrated by MLflow. Raises Unavailable if a file can't be used; a server is
    waited for. Raises BadSettings for the database of another home.
    """
    home, database = frame.home, _database(frame.home, journal)
    frame.stack.callback(database.close)
    models = ModelVersions(home, database)

    def prepare() -> None:
        if moved := artifact_paths.relocate(home, database=database):
            journal.events.record(EventKind.MOVED, moved, level=Level.WARNING)
        if models.layout() not in (None, LAYOUT):
            migrate(home)

    _patiently(frame, database, "opening MLflow's database", prepare)
    return models


def in_order(frame: "Frame", journal: Journal, models: ModelVersions) -> bool:
    """Create MLflow's database if there is none, and close the runs of killed trainings; False: the trainer must do it.

    A new one gets the versions that the journal has. A process of a killed daemon may hold the database for minutes while it still migrates it.
    Raises Unavailable and OSError if a file may lag behind the journal; a database on a server is that of all leaders.
    """
    home, database = frame.home, models.database
    behind = database.in_file and journal.term is not None and journal.term.overtaken

    def prepare() -> bool:
        made = mlflow_tables.open_or_make(home, database)
        if not made and (
            behind or not database.in_file
        ):  # the loop must not run without the versions that the journal has
            migrate(home)
            database.complete()
        mlflow_tables.kill_runs(home, database)
        if made or behind or not database.in_file:
            registry_recovery.recover(home, journal, database)
        if behind:
            registry_recovery.follow(home, journal, database)
        return made or behind or not database.in_file

    try:
        return _patiently(frame, database, "preparing MLflow's database", prepare)
    except (Unavailable, OSError) as error:
        if behind and database.exists():  # its aliases would count as the wish of a person
            raise
        log.warning("mlflow_not_in_order", reason=str(error))
        return False


def migrate(home: Home) -> None:
    """Have MLflow open the database in another process, which makes or migrates it; raises Unavailable."""
    command = [*python("retraind.daemon.registry"), str(home.root)]
    done = subprocess.run(command, cwd=ELSEWHERE, env=environment(), stderr=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        reason = done.stderr.strip().rpartition("\n")[2]
        raise Unavailable(f"MLflow's database has tables of another MLflow. {reason}")


def _database(home: Home, journal: Journal) -> MlflowDatabase:
    """The database; on a server, the one session of this leader."""
    server = mlflow_server.beside(home)
    if server is None:
        return mlflow_database.of(home)
    from retraind.daemon.storage.mlflow.mlflow_session import Leader, MlflowOnServer

    epoch = None if journal.term is None else journal.term.epoch
    return MlflowOnServer(server, Leader(_identity(journal), epoch))


def _identity(journal: Journal) -> str:
    """The home's id, made at its first use."""
    known = journal.key_values.get(MLFLOW_HOME)
    if known is None:
        known = secrets.token_hex(16)
        journal.key_values.put(MLFLOW_HOME, known)
    return str(known)


def _patiently(frame: "Frame", database: MlflowDatabase, name: str, action: Callable[[], T]) -> T:
    """Do this step of the start, again and again while a server can't be used; predictions continue meanwhile."""
    reason = ""
    while True:
        with frame.heartbeat.step(name, START_SECONDS), frame.wake.interruptible():
            try:
                done = action()
            except Unavailable as error:
                if database.in_file:
                    raise
                if str(error) != reason:
                    log.warning("mlflow_away", reason=str(error))
                reason = str(error)
                frame.heartbeat.complain(CheckName.REGISTRY, reason)
                time.sleep(AWAY_SECONDS)
                continue
        if reason:
            frame.heartbeat.complain(CheckName.REGISTRY, "")
        return done
