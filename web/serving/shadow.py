"""The shadow: a held challenger predicts requests that the champion has answered, to show how often they agree.

The comparison starts after the answer, in a separate thread that works at most half of the time, so it neither delays
nor breaks a request. Answers that come faster are dropped and counted. Each compared group is a line of the prediction
log, which `daemon/storage/prediction_history.py` adds up.
"""

import logging
import threading
import time
from collections import deque
from dataclasses import asdict

import orjson

from retraind.daemon.core.errors import NotKept
from retraind.daemon.core.status import utcnow
from retraind.web.serving import agreement
from retraind.web.serving.agreement import Agreement, ChampionAnswers
from retraind.web.serving.canary import Challenger
from retraind.web.serving.prediction_log import PredictionLog
from retraind.web.serving.predictor import Predictor

PAUSE_SECONDS = 0.05
"""Minimum pause between groups: one pass over many rows is much cheaper than many passes over one row."""

MOST_ROWS = 4096
"""Maximum number of waiting rows; a single request may have more."""

_log = logging.getLogger("retraind.web")


class Shadow(threading.Thread):
    """Compares in its own thread; any other thread may `offer`."""

    def __init__(self, challenger: Challenger, log: PredictionLog, *, compares: bool) -> None:
        super().__init__(name="shadow", daemon=True)
        self._challenger, self._log, self._compares = challenger, log, compares
        self._waiting: deque[ChampionAnswers] = deque()
        self._rows = 0
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self.dropped = 0
        """Rows that were not compared because the challenger was too slow."""

    @property
    def wants(self) -> bool:
        """Whether there is a challenger to compare with."""
        return self._compares and self._challenger.predictor is not None

    def offer(self, answered: ChampionAnswers) -> None:
        """Queue an answer of the champion for comparison; takes a microsecond."""
        if not self.wants:
            return
        with self._lock:
            if self._rows and self._rows + len(answered.ids) > MOST_ROWS:
                self.dropped += len(answered.ids)
                return
            self._rows += len(answered.ids)
            self._waiting.append(answered)

    def run(self) -> None:
        """Load and compare until `stop`."""
        pause = PAUSE_SECONDS
        while not self._ended.wait(pause):
            began = time.monotonic()
            try:
                self._challenger.look()
                self.compare()
            except Exception:  # noqa: BLE001 - the next group may be better
                _log.exception("The challenger could not be compared.")
            pause = max(PAUSE_SECONDS, time.monotonic() - began)

    def stop(self) -> None:
        """End the thread; waiting answers are not compared."""
        self._ended.set()

    def compare(self) -> None:
        """Compare all waiting answers and log the agreement."""
        with self._lock:
            taken, self._rows = list(self._waiting), 0
            self._waiting.clear()
        challenger = self._challenger.predictor
        groups: dict[int, list[ChampionAnswers]] = {}
        for answered in taken:
            groups.setdefault(answered.champion.version, []).append(answered)
        for version, group in groups.items():
            if challenger is not None and challenger.version != version:
                self._write(version, challenger.version, self._compared(challenger, group))

    def _compared(self, challenger: Predictor, group: list[ChampionAnswers]) -> Agreement:
        try:
            return agreement.compare(challenger, group)
        except Exception as error:  # noqa: BLE001 - a model may fail in any way
            self._challenger.withdraw(challenger.version, error)
            return Agreement(failed=sum(len(part.ids) for part in group))

    def _write(self, champion: int, challenger: int, agreement: Agreement) -> None:
        line = {"shadow": challenger, "model_version": champion, "timestamp": utcnow(), **asdict(agreement)}
        try:
            self._log.append([orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE)], predictions=False)
        except NotKept:
            self.dropped += agreement.n + agreement.failed
