"""Lanes: threads for requests that would delay others where they are handed over, because of many rows or a slow disk.

Waiting requests are bounded in number and time, so a client soon learns that it should try again later.
"""

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar

from retraind.daemon.core import process_table
from retraind.daemon.core.settings import Server
from retraind.web.http.problems import Problem

T = TypeVar("T")

RETRY_SECONDS = 1

TIDY_SECONDS = 1.0
"""Seconds between returns of memory by an empty lane that has worked: 100,000 rows briefly take 400 MB."""


class Lane:
    """Threads for one kind of request, on one event loop."""

    def __init__(self, name: str, threads: int, limits: Server) -> None:
        self._threads = ThreadPoolExecutor(threads, name)
        self._limits = limits
        self._inside = 0
        self._untidy = False
        """Whether a request has run since memory was last given back."""

    @contextmanager
    def place(self) -> Iterator[None]:
        """A place in the lane, held also while the body is read, because bodies use the memory. Raises Problem 503 if all are taken."""
        if self._inside >= self._limits.max_inflight:
            raise busy(f"{self._inside} such requests are being answered already.")
        self._inside += 1
        try:
            yield
        finally:
            self._inside -= 1

    async def run(self, call: Callable[[], T]) -> T:
        """The result of `call`, run in a thread; raises Problem 503 if no thread is free in time, 504 if it takes too long."""
        self._untidy = True
        job = self._threads.submit(call)
        answer = asyncio.wrap_future(job)
        # `wait` does not cancel it when the time is over: a running call can't be stopped.
        await asyncio.wait({answer}, timeout=self._limits.request_seconds)
        if answer.done():
            return answer.result()
        if job.cancel():
            raise busy(f"The request waited {self._limits.request_seconds:g} s for a free thread.")
        self._inside += 1
        answer.add_done_callback(self._ended_late)
        raise Problem(504, f"The answer took longer than {self._limits.request_seconds:g} s.", hint="Send fewer rows.")

    async def trim_memory(self) -> None:
        """Give memory back to the system when the lane has worked and is empty; runs until cancelled."""
        while True:
            await asyncio.sleep(TIDY_SECONDS)
            if self._untidy and not self._inside:
                self._untidy = False
                await asyncio.wrap_future(self._threads.submit(process_table.trim_memory))

    def _ended_late(self, answer: "asyncio.Future[Any]") -> None:
        self._inside -= 1
        answer.exception()  # no request waits for it any more


def busy(detail: str) -> Problem:
    """The answer to a client that should try again later."""
    return Problem(503, detail, hint="Try again in a moment.", Retry_After=str(RETRY_SECONDS))
