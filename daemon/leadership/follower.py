"""A thread that follows the journal's server for a standby, until this home leads itself."""

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from retraind.daemon.core import logs
from retraind.daemon.storage.server.node_session import NodeSession

log = logs.Logger()

LOOK_SECONDS = 0.5
"""Interval of looks without a notification."""

AGAIN_SECONDS = 2.0
"""Pause after a failure."""

STEP_SECONDS = 0.1
"""Maximum delay until an end is noticed."""


class Ended(Exception):
    """Raised in the thread where it would change a file of a home that leads by now."""


class Follower:
    """Calls `work` with a session again and again, at once after a notification on `channel`."""

    def __init__(self, url: str, name: str, channel: str, work: Callable[[NodeSession, "Follower"], object]) -> None:
        self._url, self._name, self._channel, self._work = url, name, channel, work
        self._gate = threading.Lock()
        self._ended = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self.problem = ""
        """Why it can't follow; empty if it can."""

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def end(self) -> None:
        """Stop; when this returns, the thread changes no file that only the leader may change.

        It is not waited for: a transfer may go on, because it only adds files.
        """
        with self._gate:
            self._ended = True

    @contextmanager
    def changing(self) -> Iterator[None]:
        """A context for changes to files that belong to the leader in this home; raises Ended if this home leads."""
        with self._gate:
            if self._ended:
                raise Ended
            yield

    def require(self) -> None:
        """Raise Ended if this home leads."""
        if self._ended:
            raise Ended

    def _run(self) -> None:
        while not self._ended:
            try:
                self._connected()
            except Ended:
                return
            except Exception as error:  # noqa: BLE001 - the home stays as it is, and the status says why it falls behind
                reason = str(error) or type(error).__name__
                if reason != self.problem:
                    log.warning("not_followed", what=self._name, reason=reason)
                self.problem = reason
                self._wait(AGAIN_SECONDS, None)

    def _connected(self) -> None:
        session = NodeSession(self._url, f"retraind {self._name} {os.getpid()}")
        try:
            session.listen(self._channel)
            while not self._ended:
                self._work(session, self)
                self.problem = ""
                self._wait(LOOK_SECONDS, session)
        finally:
            session.close()

    def _wait(self, seconds: float, session: NodeSession | None) -> None:
        until = time.monotonic() + seconds
        while not self._ended and (left := until - time.monotonic()) > 0:
            step = min(left, STEP_SECONDS)
            if session is None:
                time.sleep(step)
            elif session.wait(step):
                return
