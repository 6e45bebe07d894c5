"""On a leader: moves the log files that nodes have shipped to `logs/`, each once, from where the history is copied.

The order is: bytes durable under a hidden name, row *taken*, rename, object removed, row *done*. After a kill in
between, the next pass completes the rest. Only the leader of the newest epoch can take a file. If the leader of another
home has taken it, but the object is still there, it may have died before the rename: the file is taken again.
"""

import os
import threading
from collections.abc import Callable
from pathlib import Path

from retraind.daemon.core import durable, logs
from retraind.daemon.core.home import Home
from retraind.daemon.core.leader import identity
from retraind.daemon.objects.store import ObjectDamaged, ObjectLost, ObjectStore, by_sha256
from retraind.daemon.storage.server import log_rows
from retraind.daemon.storage.server.log_rows import LogRow
from retraind.daemon.storage.server.node_session import NodeSession

log = logs.Logger()

LOOK_SECONDS = 2.0
AGAIN_SECONDS = 10.0
HIDDEN = ".shipped-"


class LogReceiving:
    """A thread that takes shipped files; `epoch` returns this leader's epoch, None before it leads."""

    def __init__(self, home: Home, url: str, store: ObjectStore, epoch: Callable[[], int | None]) -> None:
        self._logs, self._url, self._store, self._epoch = home.logs, url, store, epoch
        self._here, self._swept = identity.place(home), False
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="receiving", daemon=True)
        self.problem: str | None = None
        """The reason why predictions of nodes are not in the history yet; None if they are."""

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def close(self) -> None:
        """Stop after the current file, or during it if the store hangs."""
        self._ended.set()
        self._thread.join(1.0)

    def _run(self) -> None:
        durable.sweep(self._logs, seconds=600)
        while not self._ended.wait(AGAIN_SECONDS if self.problem else LOOK_SECONDS):
            epoch = self._epoch()
            if epoch is None:
                continue
            try:
                self.receive(epoch)
                self.problem = None
            except Exception as error:  # noqa: BLE001 - whatever it is, the next look tries again
                if self.problem is None:
                    log.warning("predictions_not_received", reason=str(error))
                self.problem = f"Predictions of nodes are not in the history yet: {error}"

    def receive(self, epoch: int) -> int:
        """Take every shipped file; returns the number. Raises RetraindError, OSError.

        A lost or damaged object does not delay the others.
        """
        session, lost = NodeSession(self._url, f"retraind logs {os.getpid()}"), None
        try:
            self._sweep(session)
            rows = log_rows.waiting(session)
            for row in rows:
                try:
                    if not self._receive(row, epoch, session):
                        return 0
                except (ObjectLost, ObjectDamaged) as error:
                    lost = error
        finally:
            session.close()
        if lost is not None:
            raise lost
        return len(rows)

    def _receive(self, row: LogRow, epoch: int, session: NodeSession) -> bool:
        """Complete the remaining steps for one file; False if another leader has taken over."""
        hidden = self._logs / f"{HIDDEN}{row.sha256}"
        if not row.taken or row.taker not in (self._here, None):
            if not self._fetched(row, hidden):
                log_rows.end(session, row.sha256)
                return True
            if not log_rows.take(session, row.sha256, epoch, self._here):
                return False
        if hidden.exists():
            hidden.rename(self._logs / name(row))
            durable.fsync_dir(self._logs)
        self._store.delete([by_sha256(row.sha256)])
        log_rows.end(session, row.sha256)
        return True

    def _fetched(self, row: LogRow, hidden: Path) -> bool:
        """Fetch a file; False if the home that has taken it has removed the object, which it does last."""
        try:
            self._store.get(by_sha256(row.sha256), hidden, row.sha256)
        except ObjectLost:
            if row.taken:
                return False
            raise
        return True

    def _sweep(self, session: NodeSession) -> None:
        """Remove, once, files that this home had begun to take before another one took them."""
        if self._swept:
            return
        own = log_rows.taken(session, self._here)
        for path in self._logs.glob(f"{HIDDEN}*"):
            if path.name.removeprefix(HIDDEN) not in own:
                durable.remove(path)
        self._swept = True


def name(row: LogRow) -> str:
    """The name of a file here, like that of an ended worker.

    The content gives its number, and no process has its process id.
    """
    began = row.name.split("-")[2]
    return f"predictions-{int(row.sha256[:15], 16)}-{began}-0.jsonl"
