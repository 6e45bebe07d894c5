"""The shelf: versions beside the served one, loaded because somebody asked for them by number or alias.

Threads load them, one at a time, so that all others are answered meanwhile: the request that came first waits in the bridge, those
that come meanwhile wait for the same loading. The `server.versions_loaded` used last stay in memory.
"""

import logging
import math
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass

from daemon.core.errors import BundleRefused, NotFound
from daemon.core.home import Home
from daemon.records.records import Records
from web.http.problems import Problem
from web.serving.call import Loading
from web.serving.predictor import Predictor, fetch

FORGET_SECONDS = 5.0
"""So long a version that does not load is not tried again."""

ABSENT_SECONDS = 0.2
"""So long a version that there is not is not looked for again: it may be the next one, and somebody waits for it."""

REMEMBERED = 100
"""Failures that are remembered at most: anybody can ask for any number."""

MOST_LOADING = 8
"""Versions that wait to be loaded at most."""

_log = logging.getLogger("retraind.web")


@dataclass(frozen=True)
class _Failure:
    status: int
    reason: str
    at: float

    def counts(self, asked: float) -> bool:
        """For a request of that moment: while the failure is new, and for who has waited for what became one."""
        seconds = ABSENT_SECONDS if self.status == 404 else FORGET_SECONDS
        return asked <= self.at or time.monotonic() < self.at + seconds


class VersionCache:
    """Loaded versions beside the served one; any thread may ask."""

    def __init__(self, home: Home, records: Records, room: int) -> None:
        self._home, self._records, self._room = home, records, room
        self._lock = threading.Lock()
        self._loaded: OrderedDict[int, Predictor] = OrderedDict()
        self._loading: dict[int, Loading] = {}
        self._failed: OrderedDict[int, _Failure] = OrderedDict()
        self._turn = threading.Lock()

    @property
    def versions(self) -> list[int]:
        """What is loaded, the version used last at the end."""
        with self._lock:
            return list(self._loaded)

    def find(self, version: int, asked: float = math.inf) -> Predictor | Loading:
        """The version's predictor, or the loading to wait for before asking again.

        `asked` is when (monotonic) the request asked first: one that waits is told what came of it, however late its turn comes.
        Raises Problem 404 for a version that there is not (any more), 503 for one that does not load now.
        """
        with self._lock:
            if (predictor := self._loaded.get(version)) is not None:
                self._loaded.move_to_end(version)
                return predictor
            if (failure := self._failed.get(version)) is not None and failure.counts(asked):
                raise self._problem(failure)
            if version not in self._loading:
                self._begin(version)
            return self._loading[version]

    def _begin(self, version: int) -> None:
        if not self._room:
            raise Problem(404, "Only the served version answers here.", hint="See server.versions_loaded.")
        if len(self._loading) >= MOST_LOADING:
            raise Problem(503, f"{MOST_LOADING} versions are being loaded already.", Retry_After="1")
        loading = Loading()
        self._loading[version] = loading
        threading.Thread(
            target=self._load, args=(version, loading), name=f"load-version-{version}", daemon=True
        ).start()

    def _load(self, version: int, loading: Loading) -> None:
        # One at a time: several at once would only take more memory.
        with self._turn:
            outcome = self._attempt(version)
        self._keep(version, outcome)
        loading.set_result(None)

    def _attempt(self, version: int) -> Predictor | _Failure:
        try:
            return fetch(self._home, self._records, version)
        except BundleRefused as error:
            return _Failure(503, str(error), time.monotonic())
        except NotFound as error:
            return _Failure(404, str(error), time.monotonic())
        except Exception as error:  # noqa: BLE001 - whatever a broken bundle or a damaged journal raises
            return _Failure(503, f"{type(error).__name__}: {error}", time.monotonic())

    def _keep(self, version: int, outcome: Predictor | _Failure) -> None:
        with self._lock:
            del self._loading[version]
            if isinstance(outcome, Predictor):
                self._put(version, outcome)
                return
            self._failed[version] = outcome
            while len(self._failed) > REMEMBERED:
                self._failed.popitem(last=False)
        if outcome.status == 503:
            _log.error("Version %d, which a request named, does not load: %s", version, outcome.reason)

    def _put(self, version: int, predictor: Predictor) -> None:
        self._loaded[version] = predictor
        while len(self._loaded) > self._room:
            self._loaded.popitem(last=False)

    def _problem(self, failure: _Failure) -> Problem:
        if failure.status == 404:
            return Problem(404, failure.reason, hint="GET /versions lists the versions.")
        # The log tells the whole path; whoever asks for a version need not know where the home is.
        reason = failure.reason.replace(f"{self._home.root}/", "")
        return Problem(503, reason, hint="`retraind doctor` looks closer.", Retry_After=f"{FORGET_SECONDS:g}")
