"""When logged predictions are made durable: at least every SYNC_SECONDS, or, if strict, before the answer.

Strict is a group commit: one fsync runs at a time, in a thread, and releases all requests that logged before it began.
"""

import asyncio
import contextlib
from concurrent.futures import ThreadPoolExecutor

from retraind.daemon.core.errors import NotKept
from retraind.web.serving.prediction_log import PredictionLog

SYNC_SECONDS = 0.5
"""Pause between two syncs. With the time of the sync itself, a power cut loses at most a second."""


class Durability:
    """Syncs one log, for the coroutines of one event loop."""

    def __init__(self, log: PredictionLog) -> None:
        self._log = log
        self._next: asyncio.Future[None] | None = None
        self._commits: asyncio.Task[None] | None = None
        # A separate thread, so that a long batch in another thread does not delay answers.
        self._threads = ThreadPoolExecutor(1, "prediction-log")

    async def wait(self) -> None:
        """Return once everything logged so far is on disk; raises NotKept."""
        if self._next is None:
            self._next = asyncio.get_running_loop().create_future()
        if self._commits is None:
            self._commits = asyncio.create_task(self._commit())
        # Several requests wait for this future, so one that is cancelled must not cancel it.
        await asyncio.shield(self._next)

    async def run(self) -> None:
        """Sync regularly; the log's `problem` reports failures."""
        while True:
            await asyncio.sleep(SYNC_SECONDS)
            with contextlib.suppress(NotKept):
                await self._sync()

    def close(self) -> None:
        """Sync and close the log, after the last answer."""
        self._threads.shutdown()
        self._log.close()

    async def _commit(self) -> None:
        while self._next is not None:
            waiting, self._next = self._next, None
            try:
                await self._sync()
            except NotKept as error:
                waiting.set_exception(error)
            else:
                waiting.set_result(None)
        self._commits = None

    async def _sync(self) -> None:
        await asyncio.get_running_loop().run_in_executor(self._threads, self._log.sync)
