"""Helpers for the tests of `inbox/predict`; a test module makes a fixture of `answering`."""

import csv
import io
import os
import signal
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import bundles

from retraind.daemon.core.home import Home
from retraind.daemon.core.settings import Settings
from retraind.daemon.predicting.outbox.process import OutboxProcess
from retraind.daemon.storage.prediction_history import HistoryCopier

HEADER = ",".join(["id", *bundles.NAMES])
ROWS = ["a,5.1,3.5,1.4,0.2", "b,6.0,2.9,4.5,1.5", "c,6.9,3.1,5.4,2.1"]
FAST = Settings.model_validate({"inbox": {"settle_seconds": 0.0}, "predictions": {"outbox_days": 1.0}})


def answering(home: Home) -> Home:
    """A home that serves version 1 of Iris."""
    bundles.point(home, bundles.make(home, 1))
    home.predict.mkdir()
    return home


def drop(home: Home, name: str = "new.csv", rows: list[str] | None = None) -> Path:
    """Put a file into inbox/predict."""
    file = home.predict / name
    file.write_text("\n".join([HEADER, *(rows or ROWS)]) + "\n")
    return file


def answer(home: Home, settings: Settings = FAST) -> None:
    """What the process does until it has nothing more to answer."""
    outbox = OutboxProcess(home, settings)
    while outbox.look():
        pass


def kill_at(home: Home, owner: Any, step: str, *, after: bool) -> None:
    """Let the process answer until it calls a function, and kill it there."""
    pid = os.fork()
    if not pid:
        try:
            _die_at(owner, step, after=after)
            OutboxProcess(home, FAST).look()
        finally:
            os._exit(9)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL


def _die_at(owner: Any, step: str, *, after: bool) -> None:
    real = getattr(owner, step)

    def dying(*arguments: Any, **named: Any) -> Any:
        if after:
            real(*arguments, **named)
        os.kill(os.getpid(), signal.SIGKILL)

    setattr(owner, step, dying)


def read(path: Path) -> list[dict[str, str]]:
    """The rows of a file of answers."""
    return list(csv.DictReader(io.StringIO(path.read_text(), newline="")))


def visible(home: Home) -> list[str]:
    """The names in the outbox."""
    return sorted(path.name for path in home.outbox.iterdir() if not path.name.startswith("."))


def history(home: Home) -> list[str]:
    """The ids in the history, after all log files were copied."""
    copier = HistoryCopier(home, Settings())
    copier.copy()
    copier.close()
    with closing(sqlite3.connect(home.history)) as connection:
        return [identity for (identity,) in connection.execute("SELECT prediction_id FROM predictions")]
