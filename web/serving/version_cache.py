"""The cache of versions other than the served one, loaded when a request names them by number or alias.

Threads load them, one at a time, while other requests are answered. All requests for one version wait for the same loading. The
`server.versions_loaded` most recently used versions stay in memory.
"""

import logging
import math
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass

from retraind.daemon.core.errors import BundleRefused, NotFound
from retraind.daemon.core.home import Home
from retraind.daemon.records.records import Records
from retraind.web.http.problems import Problem
from retraind.web.serving.call import Loading
from retraind.web.serving.predictor import Predictor, fetch

FORGET_SECONDS = 5.0
"""A version that failed to load is not loaded again for this time."""

ABSENT_SECONDS = 0.2
"""A missing version is remembered as missing for this time only, because it may be about to appear."""

REMEMBERED = 100
"""Maximum number of remembered failures: clients can ask for any number."""

MOST_LOADING = 8
"""Maximum number of versions that wait to be loaded."""

_log = logging.getLogger("retraind.web")


@dataclass(frozen=True)
class _Failure:
    status: int
    reason: str
    at: float

    def counts(self, asked: float) -> bool:
        """Whether the failure applies to a request from `asked`: while it is recent, or if the request waited for it."""
        seconds = ABSENT_SECONDS if self.status == 404 else FORGET_SECONDS
        return asked <= self.at or time.monotonic() < self.at + seconds


class VersionCache:
    """Loaded versions other than the served one; safe to use from any thread."""

    def __init__(self, home: Home, records: Records, room: int) -> None:
        self._home, self._records, self._room = home, records, room
        self._lock = threading.Lock()
        self._loaded: OrderedDict[int, Predictor] = OrderedDict()
        self._loading: dict[int, Loading] = {}
        self._failed: OrderedDict[int, _Failure] = OrderedDict()
        self._turn = threading.Lock()

    @property
    def versions(self) -> list[int]:
        """The loaded versions, the most recently used last."""
        with self._lock:
            return list(self._loaded)

    def find(self, version: int, asked: float = math.inf) -> Predictor | Loading:
        """The version's predictor, or the loading to wait for before asking again.

        `asked` is when (monotonic) the request asked first: a request that waited gets the failure of its loading,
        however late. Raises Problem 404 for an unknown or removed version, 503 for one that does not load.
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
        # One at a time, because several at once would only take more memory.
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
        # The log has the whole path; a client need not know where the home is.
        reason = failure.reason.replace(f"{self._home.root}/", "")
        return Problem(503, reason, hint="Run `retraind doctor` for details.", Retry_After=f"{FORGET_SECONDS:g}")
