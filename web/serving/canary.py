"""The challenger: the version that waits for `retraind promote`, loaded so that it can be tested on live requests.

As a shadow (`web/serving/shadow.py`) it predicts requests that the champion has answered, only for comparison. As a
canary it answers a share of the requests itself. Both need `promote.mode = "manual"`, with which a person decides. A
held version has passed the gate.
"""

import logging
import time
from hashlib import blake2b
from wsgiref.types import WSGIEnvironment

from retraind.daemon.core.home import Home
from retraind.daemon.core.settings import Promote
from retraind.daemon.records.records import Records
from retraind.daemon.schema.schema import Schema
from retraind.web.serving.predictor import Predictor, Slot, fetch

RETRY_SECONDS = 5.0
"""A challenger that failed to load is loaded again after this time."""

_log = logging.getLogger("retraind.web")


class Challenger:
    """Keeps the held version loaded; one thread calls `look`, the others read."""

    def __init__(self, home: Home, settings: Promote, slot: Slot, records: Records) -> None:
        self._home, self._slot, self._records = home, slot, records
        self.wanted = settings.mode == "manual" and (settings.shadow or settings.canary_share > 0)
        self.predictor: Predictor | None = None
        self.problem: str | None = None
        """Why the held version can't be tested; None if it can, or if there is none."""
        self._share = settings.canary_share if settings.mode == "manual" else 0.0
        self._header = f"HTTP_{settings.canary_header.upper().replace('-', '_')}"
        self._broken: int | None = None
        self._retry_at = 0.0

    def look(self) -> None:
        """Load the held version, or drop the loaded one if it is no longer held."""
        version, loaded = self._slot.challenger, self.predictor
        if loaded is not None and loaded.version == version:
            return
        self.predictor = None
        if version is None:
            self.problem = None
        elif time.monotonic() >= self._retry_at:
            self._load(version)

    def _load(self, version: int) -> None:
        try:
            self.predictor = fetch(self._home, self._records, version)
        except Exception as error:  # noqa: BLE001 - whatever a broken bundle raises, the champion answers
            self._retry_at = time.monotonic() + RETRY_SECONDS
            self._fail(version, error)
        else:
            self.problem = None
            _log.info("Version %d is tested next to the served one.", version)

    def predictor_for(self, champion: Predictor, environ: WSGIEnvironment) -> Predictor:
        """The predictor for a request that names no version: the champion, or for a share of the keys the challenger."""
        if not self._share or (key := environ.get(self._header)) is None:
            return champion
        challenger = self.predictor
        if challenger is None or challenger.version != self._slot.challenger or challenger.version == self._broken:
            return champion
        if not accepts_rows_of(challenger.schema, champion.schema) or not in_share(
            challenger.version, key, self._share
        ):
            return champion
        return challenger.on_trial()

    def withdraw(self, version: int, error: Exception) -> None:
        """Send the challenger no more requests from this worker, because it failed at one."""
        self._broken = version
        self._fail(version, error)

    def _fail(self, version: int, error: Exception) -> None:
        problem = f"Version {version} can't be tested: {type(error).__name__}: {error}"
        if problem != self.problem:
            _log.error("%s", problem)
        self.problem = problem


def in_share(version: int, key: str, share: float) -> bool:
    """Whether a key belongs to the share (0-1) of `version`.

    A version always gets the same keys, the next version others.
    """
    digest = blake2b(f"{version}:{key}".encode(errors="replace"), digest_size=8).digest()
    return int.from_bytes(digest) < share * 2**64


def accepts_rows_of(other: Schema, schema: Schema) -> bool:
    """Whether every valid row of `schema` is valid for `other` and means the same."""
    if (other.task, other.target, other.features) != (schema.task, schema.target, schema.features):
        return False
    pairs = zip(schema.columns, other.columns, strict=True)
    return all(one.kind == two.kind and one.missing <= two.missing for one, two in pairs)
