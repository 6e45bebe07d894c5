"""Server-sent events: the journal's events as they happen, and the daemon's status when it changes."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import orjson

from retraind.web.auth.stream_limits import Streams
from retraind.web.worker_state import Worker

LOOK_SECONDS = 0.5
"""How often the journal is checked for new events: once for all streams, and not at all without one."""

STATUS_SECONDS = 1.0
"""The status is sent at most this often."""

HEARTBEAT_SECONDS = 15.0
"""A comment is sent after this silence, so that proxies and clients notice a dead connection."""

PAGE = 200


class Feed:
    """Watches journal and status for all streams of this worker, and wakes them."""

    def __init__(self, worker: Worker) -> None:
        self.worker = worker
        self.streams = Streams(worker.access)
        """The open streams; without one, nothing is checked."""
        self.latest = 0
        """Id of the newest event."""
        self.status = b""
        """The status as JSON, without the fields that change at every heartbeat."""
        self._news = asyncio.Event()
        self._status_due = 0.0

    async def run(self) -> None:
        """Check for news while streams are open; runs until cancelled."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            if self.streams:
                self.streams.end_withdrawn()
                await self.look()

    async def look(self) -> None:
        """Check once, and wake the streams if there is news."""
        latest, status = await self._newest(), self.status
        now = asyncio.get_running_loop().time()
        if now >= self._status_due:
            status, self._status_due = self._status(), now + STATUS_SECONDS
        if (latest, status) != (self.latest, self.status):
            self.latest, self.status = latest, status
            self.wake()

    def wake(self) -> None:
        """Wake every stream; also called when the worker stops."""
        self._news.set()
        self._news = asyncio.Event()

    async def follow(self, after: int | None) -> AsyncIterator[str]:
        """The text of a stream, from the event after `after` (None: from now), until the worker stops."""
        await self.look()
        sent, status = self.latest if after is None else after, b""
        while not self.worker.draining:
            news = self._news
            if status != self.status:
                status = self.status
                yield f"event: status\ndata: {status.decode()}\n\n"
            if sent < self.latest:
                for event in await asyncio.to_thread(self.worker.records.events.after, sent, PAGE):
                    sent = event["id"]
                    yield f"id: {sent}\nevent: {event['kind']}\ndata: {orjson.dumps(event).decode()}\n\n"
            elif not await _within(HEARTBEAT_SECONDS, news):
                yield ": still here\n\n"

    async def _newest(self) -> int:
        events = await asyncio.to_thread(self.worker.records.events.newest, 1)
        return int(events[0]["id"]) if events else 0

    def _status(self) -> bytes:
        status = self.worker.slot.status
        content = {} if status is None else status.model_dump(exclude={"heartbeat", "at", "step", "longest_step"})
        alive = status is not None and status.alive
        return orjson.dumps({**content, "alive": alive, "model_version": self.worker.slot.version})


async def _within(seconds: float, event: asyncio.Event) -> bool:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
    return event.is_set()
