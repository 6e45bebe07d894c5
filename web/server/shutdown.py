"""The farewell of a worker: until when it goes on, once it is told to stop (SIGTERM, SIGINT) or that it was replaced (SIGUSR1).

Somebody waits for one that stops, nobody for one that was replaced: that one takes as long as its last request may.
"""

import asyncio
import contextlib
import signal
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from daemon.core.settings import Server
from web.server.slow_requests import LOAD_SECONDS

NOTICE_SECONDS = 1.0
"""A worker that stops goes on so long as if nothing were, but for `Connection: close` on each answer."""

CLOSING_SECONDS = 0.5
"""Then it accepts nobody, and whom it accepted last gets so long to send; only then idle connections are closed."""

HANDSHAKE_SECONDS = 0.2
"""A connection that a client has just begun gets this long to arrive, also when nobody is connected."""

LOOK_SECONDS = 0.05


def patience(limits: Server) -> float:
    """How long (seconds) a replaced worker may go on: its farewell, then a body, the version that it names, and the answer."""
    longest = limits.body_seconds + LOAD_SECONDS + limits.request_seconds
    return NOTICE_SECONDS + CLOSING_SECONDS + max(limits.drain_seconds, longest)


class Shutdown:
    """Takes the signals of this process; made on the event loop."""

    def __init__(self, limits: Server) -> None:
        self._loop = asyncio.get_running_loop()
        self.asked = asyncio.Event()
        """Set by the first signal."""
        self.seconds = patience(limits)
        """The shortest time that was given."""
        self._end = float("inf")
        for number in (signal.SIGTERM, signal.SIGINT):
            self._loop.add_signal_handler(number, self._end_within, limits.drain_seconds)
        self._loop.add_signal_handler(signal.SIGUSR1, self._end_within, self.seconds)

    def _end_within(self, seconds: float) -> None:
        """The service may stop while this worker, replaced before, still finishes something; never the other way round."""
        self.seconds = min(self.seconds, seconds)
        self._end = min(self._end, self._loop.time() + seconds)
        self.asked.set()

    async def until_quiet(self, seconds: float, quiet: int) -> None:
        """Wait until no more sockets than `quiet` are open, at most so long, or less if there is little time."""
        for look in range(round(seconds * min(1.0, self.seconds / 2) / LOOK_SECONDS)):
            if look * LOOK_SECONDS >= HANDSHAKE_SECONDS and sockets() <= quiet:
                return
            await asyncio.sleep(LOOK_SECONDS)

    async def until_done(self, tasks: Iterable[asyncio.Task[Any]]) -> bool:
        """Wait for all; False when the time is up, which a further signal may shorten meanwhile."""
        pending = set(tasks)
        while pending and self._loop.time() < self._end:
            _, pending = await asyncio.wait(pending, timeout=LOOK_SECONDS)
        return not pending


def sockets() -> int:
    """How many sockets this process has open."""
    count = 0
    for path in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # the folder's own
            count += str(path.readlink()).startswith("socket:")
    return count
