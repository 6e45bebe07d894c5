"""The state of one HTTP worker process, shared by routes and server."""

import itertools
import secrets
import threading
import time

from retraind.daemon.core.home import Home
from retraind.daemon.core.settings import Settings
from retraind.daemon.records.records import Records
from retraind.web.auth.access import Access
from retraind.web.columnar.client import Columnar
from retraind.web.columnar.old_predictions import OldPredictionsReader
from retraind.web.metrics import totals
from retraind.web.metrics.counters import Counters, Snapshot
from retraind.web.metrics.totals import Totals
from retraind.web.serving.canary import Challenger
from retraind.web.serving.group_commit import Durability
from retraind.web.serving.pipelined import Pipelined
from retraind.web.serving.prediction_log import PredictionLog
from retraind.web.serving.predictor import Slot
from retraind.web.serving.shadow import Shadow
from retraind.web.serving.version_cache import VersionCache


class Worker:
    """The state of one worker. Nothing here blocks except `publish` and `totals`, which use small files."""

    def __init__(self, home: Home, settings: Settings, number: int) -> None:
        self.home = home
        self.settings = settings
        self.access = Access(settings.server, home)
        self.slot = Slot()
        self.records = Records(home)
        self.version_cache = VersionCache(home, self.records, settings.server.versions_loaded)
        self.pipelined = Pipelined()
        self.columnar = Columnar()
        self.old_predictions = OldPredictionsReader(home)
        self.log = PredictionLog(home.logs, number, settings.predictions)
        self.durability = Durability(self.log)
        promote = settings.promote
        self.challenger = Challenger(home, promote, self.slot, self.records)
        self.shadow = Shadow(self.challenger, self.log, compares=promote.shadow and promote.mode == "manual")
        self.counters = Counters(home, number)
        self.draining = False
        """Whether the worker is stopping: it still answers, but accepts no new clients."""
        self._publishing = threading.Lock()
        self._identity = secrets.token_hex(6)
        self._serial = itertools.count(1)

    @property
    def uptime(self) -> float:
        """Seconds since this worker started."""
        return time.monotonic() - self.counters.started

    def next_id(self) -> str:
        """The id of a request, also that of its only row: a random prefix per process and a counter, so neither clocks nor forks can repeat one."""
        return f"{self._identity}-{next(self._serial):x}"

    async def durable(self) -> None:
        """Wait until logged predictions may be sent to their clients; raises NotKept."""
        if self.log.strict:
            await self.durability.wait()

    def snapshot(self) -> Snapshot:
        """The counters of this worker now."""
        ready = self.slot.current is not None and not self.draining
        problem = self.slot.problem or self.challenger.problem
        dropped, failures = self.shadow.dropped, self.access.failures.count
        return self.counters.snapshot(self.slot, self.log, dropped, failures, ready=ready, model_problem=problem)

    def publish(self) -> Snapshot:
        """Write the counters of this worker for the other processes, in any thread; raises OSError when the disk is full."""
        with self._publishing:  # or an older snapshot could be written last
            snapshot = self.snapshot()
            self.counters.publish(snapshot)
        return snapshot

    def totals(self) -> Totals:
        """The counters of all workers. This worker's are written first, so no other worker reports fewer afterwards."""
        try:
            own = self.publish()
        except OSError:  # the regular publishing reports it
            own = self.snapshot()
        return totals.collect(self.home, own)
