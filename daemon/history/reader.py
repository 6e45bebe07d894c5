"""The reader of old predictions for an HTTP worker: a process of its own, because workers have no library for Parquet.

It reads orders from its standard input, one a line, and writes an answer for each to its standard output, until the input
ends or nothing comes for IDLE_SECONDS.
"""

import os
import select
import signal
import sqlite3
import sys
from pathlib import Path
from typing import IO, Any

import orjson
import pyarrow as pa

from retraind.daemon.core import settings
from retraind.daemon.core.errors import RetraindError, Unavailable
from retraind.daemon.core.home import Home
from retraind.daemon.history import lookup
from retraind.daemon.history.files import HistoryPlace
from retraind.daemon.history.fitting import Fitting
from retraind.daemon.history.lost_files import LostFiles
from retraind.daemon.history.searching import Search, facts
from retraind.daemon.objects.opening import open_store
from retraind.daemon.records.predictions import LoggedPrediction
from retraind.daemon.records.search.old_predictions import (
    Answer,
    Order,
    PredictionFilter,
    Stretch,
)

IDLE_SECONDS = 300.0


class Reader:
    """Answers orders."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self._place = HistoryPlace(home, open_store(settings.load(home.settings).storage))
        self._lost_files = LostFiles(home, self._place)

    def answer(self, order: Order) -> Answer:
        """The answer to an order, or why there is none."""
        try:
            if order["find"] is not None:
                return {"problem": None, "found": self._find(order["find"]), "page": None}
            return {"problem": None, "found": None, "page": self._page(order)}
        except (RetraindError, sqlite3.Error, OSError, pa.ArrowException) as error:
            return {"problem": str(error), "found": None, "page": None}

    def _page(self, order: Order) -> list[Any]:
        fitting = Fitting(self._home, PredictionFilter(**order["chosen"]))
        return list(Search(self._home, self._place, fitting, Stretch(*order["stretch"])).page())

    def _find(self, key: str) -> LoggedPrediction | None:
        row = lookup.by_ids(self._home, self._place, [key], self._lost_files).get(key)
        if row is None and (reason := self._lost_files.of([key]).get(key)):
            raise Unavailable(f"{key} may be in a file that is lost: {reason}", hint="A backup may have the file.")
        return None if row is None else facts(row)


def main(home: Home, source: IO[bytes], target: IO[bytes]) -> None:
    """Answer orders until there are no more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the worker decides
    pa.set_cpu_count(1)
    reader = Reader(home)
    while select.select([source], [], [], IDLE_SECONDS)[0] and (line := source.readline()):
        target.write(orjson.dumps(reader.answer(orjson.loads(line)), option=orjson.OPT_APPEND_NEWLINE))
        target.flush()


if __name__ == "__main__":
    with os.fdopen(os.dup(1), "wb") as answers, os.fdopen(0, "rb", buffering=0) as orders:
        os.dup2(2, 1)  # a library's own output is not part of an answer
        main(Home(Path(sys.argv[1])), orders, answers)
