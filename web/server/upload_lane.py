"""Uploads of drops: their bodies pass through a thread to the disk as they arrive, so none is in memory as a whole.

An upload takes as long as its client sends, so it has a lane of its own, and the limit of time is on each piece.
"""

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from wsgiref.types import WSGIEnvironment

from retraind.web.api.app import App
from retraind.web.http.incoming_request import Request
from retraind.web.http.problems import Problem
from retraind.web.http.wsgi_environ import content_length
from retraind.web.server.app_runner import ask
from retraind.web.server.refusals import CLOSE, Answer
from retraind.web.server.thread_lanes import busy
from retraind.web.serving.call import Call
from retraind.web.worker_state import Worker

UPLOADS = 4
"""Uploads at a time in one worker; each has a thread."""

PATH = "/drops"


def wants(environ: WSGIEnvironment) -> bool:
    """Whether a request sends a drop."""
    return (environ["REQUEST_METHOD"], environ["PATH_INFO"]) == ("POST", PATH)


class StreamedBody:
    """A body that a thread reads while the event loop receives it. `read` raises Problem 400, 408 and 503."""

    def __init__(self, request: Request, worker: Worker, loop: asyncio.AbstractEventLoop) -> None:
        self._request, self._worker, self._loop = request, worker, loop
        self._left = content_length(request.environ) if "CONTENT_LENGTH" in request.environ else None
        self._pieces: AsyncIterator[bytes] | None = None
        self.ended = self._left == 0 or (self._left is None and "HTTP_TRANSFER_ENCODING" not in request.environ)
        """Whether all of it was read."""

    def read(self, _size: int, /) -> bytes:
        """The next piece, as it comes; empty at the end."""
        if self.ended:
            return b""
        if self._worker.draining:
            raise busy("The service stops or restarts.")
        return asyncio.run_coroutine_threadsafe(self._next(), self._loop).result()

    async def _next(self) -> bytes:
        pieces = self._pieces = self._pieces or self._request.pieces()
        seconds = self._worker.settings.server.body_seconds
        try:
            async with asyncio.timeout(seconds):
                piece = await anext(pieces, b"")
                # Granian yields an empty chunk at the end, but one more if a chunk was unreadable.
                if not piece and await anext(pieces, None) is not None:
                    raise Problem(400, "The chunked body is broken, or has trailers.", hint="Send the rest.")
                return self._counted(piece)
        except TimeoutError:
            raise Problem(408, f"Nothing of the body arrived for {seconds:g} s.", hint="Send the rest.") from None
        except RuntimeError:  # by this Granian reports that the client has gone
            raise Problem(400, "The body ended early.", hint="Send the rest.") from None

    def _counted(self, piece: bytes) -> bytes:
        if self._left is None:
            self.ended = not piece
        else:
            self._left -= len(piece)
            self.ended = not piece or self._left <= 0
        return piece


class UploadLane:
    """The uploads of one worker; made on the event loop."""

    def __init__(self, worker: Worker, app: App) -> None:
        self._worker, self._app = worker, app
        self._threads = ThreadPoolExecutor(UPLOADS, "uploads")
        self._inside = 0

    async def answer(self, request: Request) -> tuple[Answer, bool]:
        """The answer to an upload, and whether its body was read to the end; raises Problem 503 if too many run."""
        if self._inside >= UPLOADS:
            raise busy(f"{self._inside} uploads are under way already.")
        self._inside += 1
        try:
            loop = asyncio.get_running_loop()
            body = StreamedBody(request, self._worker, loop)
            request.environ["wsgi.input"] = body
            call = partial(ask, self._app, request.environ, Call(patient=True))
            status, headers, text = await loop.run_in_executor(self._threads, call)
        finally:
            self._inside -= 1
        return (status, headers if body.ended else [*headers, CLOSE], text), body.ended
