"""retraind.daemon.service.parts: what is put right while the parts are opened."""

import os
import signal
import sqlite3
import threading
from contextlib import ExitStack, closing

import pytest

from retraind.daemon.core import durable
from retraind.daemon.core.errors import Unavailable
from retraind.daemon.core.home import Home
from retraind.daemon.core.settings import Settings
from retraind.daemon.processes.stop_signals import Stopped, Wake
from retraind.daemon.service import mlflow_start
from retraind.daemon.service.heartbeat import Heartbeat
from retraind.daemon.service.parts import Frame
from retraind.daemon.service.service import starting
from retraind.daemon.storage.journal import Journal
from retraind.daemon.storage.model_versions import LAYOUT, ModelVersions


def test_database_of_another_mlflow_is_given_to_mlflow_first(mlflow_home: Home) -> None:
    """In a process of its own; what MLflow can't migrate it refuses, and that is said."""
    with closing(sqlite3.connect(mlflow_home.mlflow)) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = 'later'")
    assert ModelVersions(mlflow_home).layout() == "later"
    with pytest.raises(Unavailable, match=f"tables of another MLflow.*expected {LAYOUT}"):
        mlflow_start.migrate(mlflow_home)


def test_start_that_waits_for_the_database_has_a_name_and_can_be_stopped(home: Home, journal: Journal) -> None:
    """What still migrates it for a daemon that was killed may take minutes."""
    held = durable.try_lock(home.mlflow.with_name(f"{home.mlflow.name}.lock"))
    assert held is not None
    wake, heartbeat = Wake(), Heartbeat(home.status, starting(home))
    steps: list[str] = []

    def stop(number: int, frame: object) -> None:
        steps.append(heartbeat._doing.name)
        wake.stop(number)

    before = signal.signal(signal.SIGALRM, stop)
    giving_up = threading.Timer(5, os.close, [held])
    giving_up.start()
    signal.setitimer(signal.ITIMER_REAL, 0.3)
    try:
        with pytest.raises(Stopped):
            mlflow_start.in_order(Frame(home, Settings(), wake, heartbeat, ExitStack()), journal, ModelVersions(home))
        giving_up.cancel()
        os.close(held)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert steps == ["preparing MLflow's database"]
