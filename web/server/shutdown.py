"""The shutdown of a worker: how long it runs after it is stopped (SIGTERM, SIGINT) or replaced (SIGUSR1).

A stopping worker must finish within `server.drain_seconds`; a replaced one may take as long as its longest request.
"""

import asyncio
import contextlib
import signal
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from retraind.daemon.core.settings import Server
from retraind.web.server.slow_requests import LOAD_SECONDS

NOTICE_SECONDS = 1.0
"""First, a stopping worker serves normally for this long, with `Connection: close` on each answer."""

CLOSING_SECONDS = 0.5
"""Then it accepts no connection, and the last accepted clients get this long to send. Only then are idle connections closed."""

HANDSHAKE_SECONDS = 0.2
"""A connection that a client has just begun gets this long to arrive, even if no other is open."""

LOOK_SECONDS = 0.05


def replacement_seconds(limits: Server) -> float:
    """Seconds that a replaced worker may run: the two phases above, then a body, the loading of a version, the answer."""
    longest = limits.body_seconds + LOAD_SECONDS + limits.request_seconds
    return NOTICE_SECONDS + CLOSING_SECONDS + max(limits.drain_seconds, longest)


class Shutdown:
    """Handles the signals of this process; made on the event loop."""

    def __init__(self, limits: Server) -> None:
        self._loop = asyncio.get_running_loop()
        self.asked = asyncio.Event()
        """Set by the first signal."""
        self.seconds = replacement_seconds(limits)
        """The shortest time that a signal has allowed."""
        self._end = float("inf")
        for number in (signal.SIGTERM, signal.SIGINT):
            self._loop.add_signal_handler(number, self._end_within, limits.drain_seconds)
        self._loop.add_signal_handler(signal.SIGUSR1, self._end_within, self.seconds)

    def _end_within(self, seconds: float) -> None:
        """End within this time; a signal can shorten the time left by an earlier one, never extend it."""
        self.seconds = min(self.seconds, seconds)
        self._end = min(self._end, self._loop.time() + seconds)
        self.asked.set()

    async def until_quiet(self, seconds: float, quiet: int) -> None:
        """Wait until at most `quiet` sockets are open, for up to `seconds`, or less if little time is left."""
        for look in range(round(seconds * min(1.0, self.seconds / 2) / LOOK_SECONDS)):
            if look * LOOK_SECONDS >= HANDSHAKE_SECONDS and sockets() <= quiet:
                return
            await asyncio.sleep(LOOK_SECONDS)

    async def until_done(self, tasks: Iterable[asyncio.Task[Any]]) -> bool:
        """Wait for all tasks; False when the time is up. A further signal may shorten it."""
        pending = set(tasks)
        while pending and self._loop.time() < self._end:
            _, pending = await asyncio.wait(pending, timeout=LOOK_SECONDS)
        return not pending


def sockets() -> int:
    """How many sockets this process has open."""
    count = 0
    for path in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # the descriptor of this listing
            count += str(path.readlink()).startswith("socket:")
    return count
