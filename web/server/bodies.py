"""Request bodies: awaited without a thread, limited in bytes and seconds, so that a slow client costs only an entry."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

from retraind.daemon.core.settings import Server
from retraind.web.http.incoming_request import MOST_SKIPPED, TOO_LARGE, Request
from retraind.web.http.problems import Problem

LOOK_SECONDS = 0.1
"""Seconds between two searches for late bodies."""

QUIET_SECONDS = 2.0
"""A client that pauses for this long in a discarded body has read the answer, or has stopped."""

BodyOrProblem = bytes | Problem
"""A body, or why there is none: 413 (too large), 408 (too slow) or 400 (it ended too early)."""


class Arrival:
    """An expected body. Granian's future calls it when done, `Bodies.watch` abandons it when late; it delivers once."""

    __slots__ = ("_expected", "_promised", "body", "due")

    def __init__(self, expected: "dict[Arrival, Receiver]", promised: int, body: Any, due: float) -> None:
        self._expected = expected
        self._promised = promised
        self.body = body
        """Granian's future, until it is done."""
        self.due = due
        """When it is abandoned (monotonic seconds)."""

    def __call__(self, body: Any) -> None:
        """Called when Granian has the body, or it will not arrive."""
        self.body = None  # it refers to us, and the garbage collector can't see into Granian
        try:
            self.deliver(body.result())
        except asyncio.CancelledError:
            pass  # given up
        except RuntimeError:  # Granian reports a broken body by it (`RSGIProtocolError`)
            self.deliver(Problem(400, f"The body ended before its {self._promised} bytes."))

    def deliver(self, outcome: BodyOrProblem) -> None:
        """Pass the outcome on, in this thread, unless that was done already."""
        then = self._expected.pop(self, None)
        if then is not None:
            then(outcome)


Receiver = Callable[[BodyOrProblem], object]


class Bodies:
    """The expected bodies of one worker."""

    def __init__(self, limits: Server) -> None:
        self._limits = limits
        self._expected: dict[Arrival, Receiver] = {}
        """In the order of their start, so the first is due first."""

    def expect(self, promised: int, protocol: Any, then: Receiver) -> None:
        """Call `then` with a body of `promised` bytes (Content-Length), or with a Problem, in the thread that has it.

        Raises Problem 413.
        """
        if promised > self._limits.max_body_bytes:
            raise self._too_large()
        # A body can't exceed its Content-Length, so one call reads it all.
        arrival = Arrival(self._expected, promised, protocol(), time.monotonic() + self._limits.body_seconds)
        self._expected[arrival] = then
        arrival.body.add_done_callback(arrival)

    async def read(self, promised: int | None, request: Request) -> bytes:
        """The body of a request; `promised` is its Content-Length, None for a chunked one. Raises Problem, see `BodyOrProblem`."""
        if promised is None:
            return await self._read_chunks(request)
        loop = asyncio.get_running_loop()
        body: asyncio.Future[bytes] = loop.create_future()

        def pass_on(outcome: BodyOrProblem) -> None:
            loop.call_soon_threadsafe(_settle, body, outcome)

        self.expect(promised, request.protocol, pass_on)
        return await body

    async def skip(self, request: Request) -> None:
        """Read and discard a body, up to the limits. Raises RuntimeError when the client has gone."""
        size, pieces = 0, request.pieces()
        with contextlib.suppress(TimeoutError, StopAsyncIteration):
            async with asyncio.timeout(self._limits.body_seconds):
                while size <= MOST_SKIPPED:
                    async with asyncio.timeout(QUIET_SECONDS):
                        size += len(await anext(pieces))

    async def watch(self) -> None:
        """Abandon late bodies; runs until cancelled."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            now = time.monotonic()
            for arrival in self._expected.copy():
                if arrival.due > now:
                    break
                body = arrival.body
                asyncio.get_running_loop().call_soon(arrival.deliver, self._too_slow())
                if body is not None:
                    body.cancel()

    async def _read_chunks(self, request: Request) -> bytes:
        try:
            async with asyncio.timeout(self._limits.body_seconds):
                return await self._chunks(request.pieces())
        except TimeoutError:
            raise self._too_slow() from None

    async def _chunks(self, pieces: AsyncIterator[bytes]) -> bytes:
        body, ends = bytearray(), 0
        async for chunk in pieces:
            body += chunk
            # Granian yields an empty chunk at the end, but also for an unreadable one: then the body is not complete.
            ends += not chunk
            if len(body) > self._limits.max_body_bytes:
                raise self._too_large()
        if ends > 1:
            raise Problem(400, "The chunked body is broken, ended too early, or has trailers, which are not supported.")
        return bytes(body)

    def _too_slow(self) -> Problem:
        return Problem(408, f"The body did not arrive within {self._limits.body_seconds:g} s.")

    def _too_large(self) -> Problem:
        limit = self._limits.max_body_bytes
        return Problem(
            TOO_LARGE, f"The body is larger than {limit} bytes.", hint="Drop large files into the inbox instead."
        )


def _settle(body: "asyncio.Future[bytes]", outcome: BodyOrProblem) -> None:
    if body.done():  # the worker ends
        return
    if isinstance(outcome, Problem):
        body.set_exception(outcome)
    else:
        body.set_result(outcome)
