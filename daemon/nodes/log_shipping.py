"""On a node: puts finished log files of predictions into the object store, with a row on the server for each.

The order is object, row, removal of the file. After a kill in between, the rest is done again; equal content counts
once.
"""

import os
import threading
from datetime import UTC, datetime
from pathlib import Path

from retraind.daemon.core import durable, logs
from retraind.daemon.core.errors import Unavailable
from retraind.daemon.core.home import Home
from retraind.daemon.core.node import node_status
from retraind.daemon.core.settings import Settings
from retraind.daemon.objects.store import ObjectStore, by_sha256
from retraind.daemon.storage.history_logs import LogFiles, began_at
from retraind.daemon.storage.server import log_rows
from retraind.daemon.storage.server.node_session import NodeSession

log = logs.Logger()

LOOK_SECONDS = 2.0
AGAIN_SECONDS = 10.0
"""Delay after a failure of server or store."""


class LogShipping:
    """A thread that ships finished files."""

    _alone = threading.Lock()
    """At the end of a node another thread ships: a file must not be put by both."""

    def __init__(self, home: Home, settings: Settings, store: ObjectStore) -> None:
        self._files, self._store = LogFiles(home), store
        self._url, self._node = settings.journal.url, node_status.name(settings.node)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="shipping", daemon=True)
        self.problem = ""
        """The reason why files wait; None if none do."""

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def close(self) -> None:
        """Stop after the current file, or during it if the store hangs."""
        self._ended.set()
        self._thread.join(1.0)

    def _run(self) -> None:
        while not self._ended.wait(AGAIN_SECONDS if self.problem else LOOK_SECONDS):
            try:
                self.ship()
                self.problem = ""
            except Exception as error:  # noqa: BLE001 - whatever it is, the next look tries again
                if not self.problem:
                    log.warning("predictions_not_shipped", reason=str(error))
                self.problem = f"Logged predictions wait on this node: {error}"

    def unshipped(self) -> float:
        """Age (seconds) of the oldest prediction that may be in a file here; 0 if there is none."""
        began = [began_at(path) for path in self._files.all() if _has_lines(path)]
        return max(0.0, (datetime.now(UTC) - min(began)).total_seconds()) if began else 0.0

    def ship(self) -> int:
        """Ship every finished file; returns the number. Raises Unavailable, OSError."""
        with self._alone:
            return self._ship()

    def _ship(self) -> int:
        finished = sorted(self._files.finished())
        if not finished:
            return 0
        session = NodeSession(self._url, f"retraind logs {self._node} {os.getpid()}")
        try:
            for path in finished:
                if path.stat().st_size:
                    sha256 = durable.sha256_file(path)
                    # A known file is in the store, or the leader has already taken it; it must not be put again.
                    if not log_rows.is_known(session, sha256):
                        self._store.put(by_sha256(sha256), path)
                        if not log_rows.ship(session, sha256, path.name, self._node):
                            raise Unavailable("The leader has not started since this node was added.")
                durable.remove(path)
        finally:
            session.close()
        return len(finished)


def _has_lines(path: Path) -> bool:
    try:
        return path.stat().st_size > 0
    except FileNotFoundError:  # shipped meanwhile
        return False
