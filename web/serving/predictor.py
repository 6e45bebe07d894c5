"""The predictor: a bundle in memory, the slot that holds the served one, and the thread that follows the pointer."""

import copy
import logging
import sqlite3
import threading
import time
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np

from retraind.daemon.artifacts import backends, bundle
from retraind.daemon.core import process_table, status
from retraind.daemon.core.errors import BundleRefused, InvalidFeatures, NotFound, RetraindError
from retraind.daemon.core.home import Home
from retraind.daemon.core.journal import journal_server
from retraind.daemon.records.records import Records
from retraind.web.serving.inputs import Inputs

LOOK_SECONDS = 0.05
"""Seconds between checks of the pointer: the longest delay of a promotion, apart from loading."""

RETRY_SECONDS = 5.0
"""A bundle that failed to load is loaded again after this time, or as soon as the pointer changes."""

NOT_FINITE = "The model has no finite answer for values this large."

_log = logging.getLogger("retraind.web")


class Predictor:
    """One version ready to answer; immutable, so a request that took it is not disturbed by a swap."""

    def __init__(self, version: int, model: bundle.Model) -> None:
        self.version = version
        self.sha256 = model.sha256
        self.manifest = model.manifest
        self.schema = model.manifest.data_schema
        self.classes = self.schema.classes
        self.costs = model.costs
        """Costs that decide the answered class; None: the likeliest class."""
        self.trial = False
        """Whether it answers instead of the champion, which takes over if it fails."""
        self._model = model

    def on_trial(self) -> "Predictor":
        """The same model, marked as answering instead of the champion."""
        trial = copy.copy(self)
        trial.trial = True
        return trial

    def answers(self, rows: bundle.Matrix) -> bundle.Matrix:
        """(n, columns) to (n, classes) probabilities or (n, 1) values; raises InvalidFeatures if they are not finite."""
        matrix = self._model.answers(rows)
        if not np.isfinite(matrix).all():
            raise InvalidFeatures(NOT_FINITE)
        return matrix

    def answer(self, inputs: Inputs) -> list[float]:
        """The answer to a single row, without arrays if the backend needs none."""
        run, row = self._model.row, inputs.row
        shares: list[float] = self._model.answers(inputs.matrix)[0].tolist() if run is None or row is None else run(row)
        if not all(map(isfinite, shares)):
            raise InvalidFeatures(NOT_FINITE)
        return shares

    def decide(self, shares: list[float]) -> Any:
        """The answered class, a code, for the probabilities of one row; the value itself of a regression."""
        if not self.classes:
            return shares[0]
        if self.costs is not None:
            return int(self.costs.decide(np.array([shares]))[0])
        return shares.index(max(shares))

    def warm(self) -> None:
        """Predict one row a few times, so the first request does not pay for lazy allocations.

        ONNX Runtime is imported even if this version does not need it, because a swap to one that does must not wait for that.
        """
        backends.import_runtime()
        rows = np.zeros((1, self.schema.width))
        for _ in range(3):
            self._model.answers(rows)
            if self._model.row is not None:
                self._model.row(rows[0].tolist())


def fetch(home: Home, records: Records, version: int) -> Predictor:
    """Load a version that the journal knows: verified, probed and warm.

    Raises NotFound for an unknown or removed version, BundleRefused for a damaged one, sqlite3.Error.
    """
    judged = records.versions.get(version)
    if judged is None:
        raise NotFound(f"There is no version {version}.")
    if bundle.cleared(home.bundle(version)):
        raise NotFound(f"The model files of version {version} were removed (promote.keep_versions).")
    predictor = Predictor(version, bundle.load(home.bundle(version), judged["bundle"]))
    predictor.warm()
    process_table.trim_memory()
    return predictor


class Slot:
    """The model that this process serves now. One thread writes, each attribute in a single assignment; others read."""

    def __init__(self) -> None:
        self.current: Predictor | None = None
        self.problem: str | None = None
        """Why the version that the pointer names is not the one served; None if it is."""
        self.swaps = 0
        self.failures = 0
        self.status: status.Status | None = None
        """The last status of the daemon."""
        self.challenger: int | None = None
        """The newest version that waits for `retraind promote`; it is newer than the served one."""
        self.previous: int | None = None
        """The version that was served before."""

    @property
    def version(self) -> int | None:
        """The served version; None if no model is loaded."""
        current = self.current
        return None if current is None else current.version


class Follower(threading.Thread):
    """Keeps the slot at what `champion.json` names; a bundle that fails leaves the old predictor in place."""

    def __init__(self, home: Home, slot: Slot) -> None:
        super().__init__(name="follower", daemon=True)
        self._home = home
        self._slot = slot
        self._records = Records(home)
        self._ended = threading.Event()
        self._pointer_mark: object = None
        self._status_mark: object = None
        self._retry_at = 0.0

    def run(self) -> None:
        """Check until `stop`."""
        while True:
            try:
                self.look()
            except Exception:  # noqa: BLE001 - this thread is the only one that swaps
                _log.exception("Following the pointer failed; the model stays as it is.")
            if self._ended.wait(LOOK_SECONDS):
                return

    def stop(self) -> None:
        """End the thread."""
        self._ended.set()

    def look(self) -> None:
        """Check pointer and status once; costs two `stat` calls if nothing has changed."""
        spoken = self._look_at_status()
        mark = _mark(self._home.pointer)
        moved = mark != self._pointer_mark
        if moved or (self._slot.problem is not None and time.monotonic() >= self._retry_at):
            self._look_at_pointer(mark)
        if moved or spoken:
            self._look_at_journal()

    def _look_at_pointer(self, mark: object) -> None:
        self._pointer_mark = mark
        try:
            self._follow(bundle.read_pointer(self._home.pointer))
            self._slot.problem = None
        except RetraindError as error:
            self._fail(str(error))
        except Exception as error:  # noqa: BLE001 - whatever a broken bundle raises, the old predictor stays
            self._fail(f"{type(error).__name__}: {error}")

    def _look_at_status(self) -> bool:
        """Whether the daemon, or a node's agent, has written its status since the last check, as they do once a second."""
        mark = _mark(self._home.status) or _mark(self._home.node)
        if mark == self._status_mark:
            return False
        self._status_mark = mark
        self._slot.status = status.read(self._home.status)
        return True

    def _look_at_journal(self) -> None:
        # Only the daemon (or a node's agent) writes the journal, so nothing changes while it is silent.
        try:
            aliases = self._records.versions.aliases()
        except sqlite3.Error:
            return  # keep the last values; the endpoints that read the journal report the error
        self._slot.challenger, self._slot.previous = aliases["challenger"], aliases["previous"]

    def _follow(self, pointer: bundle.Pointer | None) -> None:
        if pointer is None:
            return
        current = self._slot.current
        if current and (current.version, current.sha256) == (pointer.version, pointer.manifest):
            return
        self._check(pointer)
        predictor = Predictor(pointer.version, bundle.load(self._home.bundle(pointer.version), pointer.manifest))
        predictor.warm()
        self._slot.current = predictor
        self._slot.swaps += 1
        del current
        process_table.trim_memory()
        _log.info(
            "Version %d is served (%s, %s).",
            predictor.version,
            predictor.manifest.candidate,
            predictor.manifest.backend,
        )

    def _check(self, pointer: bundle.Pointer) -> None:
        # The daemon records a version before it points to it, so another program wrote a pointer to an unknown one.
        try:
            judged = self._records.versions.get(pointer.version)
        except sqlite3.Error as error:
            if journal_server.beside(self._home.journal) is None:
                raise
            # Predictions don't wait for a server, because the pointer has the bundle's sha256, which is compared in any
            # case.
            _log.warning("Version %d is loaded without asking the journal: %s", pointer.version, error)
            return
        if judged is None:
            raise BundleRefused(
                f"{self._home.pointer} names version {pointer.version}, which the journal does not know."
            )
        if judged["bundle"] != pointer.manifest:
            raise BundleRefused(
                f"{self._home.pointer} names the bundle {pointer.manifest[:12]}… for version {pointer.version}; "
                f"the journal recorded {judged['bundle'][:12]}…."
            )

    def _fail(self, reason: str) -> None:
        self._retry_at = time.monotonic() + RETRY_SECONDS
        self._slot.failures += 1
        if reason != self._slot.problem:
            _log.error("The promoted version is not served, the old one stays: %s", reason)
        self._slot.problem = reason


def _mark(path: Path) -> object:
    """A value that changes whenever the file is replaced; None if it can't be read."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns, status.st_size
