"""On a leader: log files that nodes have shipped are brought into `logs/`, each once, where the history is made from them.

Bytes durable under a hidden name, row *taken*, name, object removed, row *done*: a kill in between leaves what the next look completes.
Only the leader of the newest epoch can take a file.
"""

import os
import threading
from collections.abc import Callable

from daemon.core import durable, logs
from daemon.core.home import Home
from daemon.objects.store import ObjectDamaged, ObjectLost, ObjectStore, by_sha256
from daemon.storage.server import log_rows
from daemon.storage.server.log_rows import LogRow
from daemon.storage.server.node_session import NodeSession

log = logs.Logger()

LOOK_SECONDS = 2.0
AGAIN_SECONDS = 10.0
HIDDEN = ".shipped-"


class LogReceiving:
    """A thread that takes what nodes have shipped; `epoch` gives that of this leader, None before it leads."""

    def __init__(self, home: Home, url: str, store: ObjectStore, epoch: Callable[[], int | None]) -> None:
        self._logs, self._url, self._store, self._epoch = home.logs, url, store, epoch
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="receiving", daemon=True)
        self.problem: str | None = None
        """Why predictions of nodes are not in the history yet."""

    def start(self) -> None:
        """Begin to take."""
        self._thread.start()

    def close(self) -> None:
        """End after the file under way, or without it if the store hangs."""
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
        """Take every file that is on its way; returns how many. Raises RetraindError, OSError.

        An object that is lost or damaged keeps none of the others waiting.
        """
        session, lost = NodeSession(self._url, f"retraind logs {os.getpid()}"), None
        try:
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
        """Do for one file what is left to do; False: another leader has taken over."""
        hidden = self._logs / f"{HIDDEN}{row.sha256}"
        if not row.taken:
            self._store.get(by_sha256(row.sha256), hidden, row.sha256)
            if not log_rows.take(session, row.sha256, epoch):
                return False
        if hidden.exists():
            hidden.rename(self._logs / name(row))
            durable.fsync_dir(self._logs)
        self._store.delete([by_sha256(row.sha256)])
        log_rows.end(session, row.sha256)
        return True


def name(row: LogRow) -> str:
    """What a file is called here: as the one of a worker that has ended, whose number is made of the content and whose process is none."""
    began = row.name.split("-")[2]
    return f"predictions-{int(row.sha256[:15], 16)}-{began}-0.jsonl"
