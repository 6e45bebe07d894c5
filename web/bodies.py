"""Request bodies: read asynchronously, with a limit in bytes and one in seconds, so that a client that trickles costs a coroutine."""

import asyncio
from typing import Any

from daemon.settings import Server
from web.problems import Problem

LOOK_SECONDS = 0.1
"""How often bodies that take too long are looked for; `asyncio.timeout` would cost each request a tenth of its time."""


class Bodies:
    """The bodies that are being read at this moment, of one event loop."""

    def __init__(self, limits: Server) -> None:
        self._limits = limits
        self._due: dict[asyncio.Task[Any], float] = {}
        """Who reads, and until when at most; in the order in which they began, so that the first is due first."""
        self._late: set[asyncio.Task[Any]] = set()
        self._looking = False

    async def read(self, promised: int | None, protocol: Any) -> bytes:
        """The body of an RSGI request; `promised` is its Content-Length, None for a chunked one.

        Raises Problem 413 (too large), 408 (too slow) or 400 (it ended too early).
        """
        if promised is not None and promised > self._limits.max_body_bytes:
            raise self._too_large()
        task, loop = asyncio.current_task(), asyncio.get_running_loop()
        assert task is not None
        self._due[task] = loop.time() + self._limits.body_seconds
        if not self._looking:
            self._looking = bool(loop.call_later(LOOK_SECONDS, self._look, loop))
        try:
            # What is promised can't be exceeded, so one call takes it all.
            body: bytes = await (self._chunks(protocol) if promised is None else protocol())
        except RuntimeError:  # how Granian says that the body broke off (`RSGIProtocolError`)
            raise Problem(400, f"The body ended before its {promised} bytes.") from None
        except asyncio.CancelledError:
            if task not in self._late:
                raise
            task.uncancel()
            raise Problem(408, f"The body did not arrive within {self._limits.body_seconds:g} s.") from None
        finally:
            del self._due[task]
            self._late.discard(task)
        return body

    async def _chunks(self, protocol: Any) -> bytes:
        body, ends = bytearray(), 0
        async for chunk in protocol:
            body += chunk
            # Granian gives an empty one at the end, but also for what it can't read: what came before must not pass for the whole.
            ends += not chunk
            if len(body) > self._limits.max_body_bytes:
                raise self._too_large()
        if ends > 1:
            raise Problem(400, "The chunked body is broken, ended too early, or has trailers, which are not taken.")
        return bytes(body)

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        """Give up what is late, and look again as long as somebody reads."""
        now = loop.time()
        for task, due in self._due.items():
            if due > now:
                break
            if task not in self._late:
                self._late.add(task)
                task.cancel()
        self._looking = bool(self._due and loop.call_later(LOOK_SECONDS, self._look, loop))

    def _too_large(self) -> Problem:
        limit = self._limits.max_body_bytes
        return Problem(413, f"The body is larger than {limit} bytes.", hint="Drop large files into the inbox instead.")
