"""The beat: a thread of a leader writes about once a second that its loop makes progress.

It has a session of its own, because a transaction of the loop may take long. A leader that is deposed learns it here,
even while its loop is busy.
"""

import os
import threading
from collections.abc import Callable

from retraind.daemon.core import logs
from retraind.daemon.core.errors import Unavailable
from retraind.daemon.storage.server.leader_rows import LeaderRows
from retraind.daemon.storage.server.node_session import NodeSession

log = logs.Logger()


class Beat:
    """Beats for one epoch as long as `alive` says that the loop makes progress.

    It calls `deposed` once, in its thread, when another epoch has begun.
    """

    def __init__(
        self, url: str, epoch: int, seconds: float, alive: Callable[[], bool], deposed: Callable[[], object]
    ) -> None:
        """`url` is the journal's server, `seconds` the interval."""
        self._url, self._epoch, self._seconds = url, epoch, seconds
        self._alive, self._deposed = alive, deposed
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="beat", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def close(self) -> None:
        """End."""
        self._ended.set()
        self._thread.join(1.0)

    def _run(self) -> None:
        away = ""
        while not self._ended.is_set():
            try:
                if not self._connected():
                    return
            except Unavailable as error:
                if str(error) != away:
                    log.warning("no_beat", reason=str(error))
                away = str(error)
            self._ended.wait(self._seconds)

    def _connected(self) -> bool:
        """Beat until the connection is lost; False if another epoch has begun, or this is to end. Raises Unavailable."""
        session = NodeSession(self._url, f"retraind beat {os.getpid()}")
        try:
            rows = LeaderRows(session)
            while True:
                # A leader that was stopped for long finds its step too old, and must learn that another one leads.
                if not (rows.beat(self._epoch) if self._alive() else rows.leads(self._epoch)):
                    self._deposed()
                    return False
                if self._ended.wait(self._seconds):
                    return False
        finally:
            session.close()
