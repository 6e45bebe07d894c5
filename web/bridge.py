"""RSGI on one side, the WSGI application on the other, and event streams beside it.

Bodies are read asynchronously before Bottle sees a request. Single predictions run on the loop;
large ones and whatever touches the disk for long run in lanes of threads.
"""

import asyncio
import contextlib
import io
import logging
import time
from functools import partial
from typing import Any

from daemon.errors import NotKept
from web import app, doors, events, security, shapes
from web.bodies import Bodies
from web.environ import environ_of, promised
from web.inputs import TooManyHere, on_loop
from web.lanes import Lane
from web.problems import Problem
from web.shelf import LOADING
from web.worker import Worker

Headers = list[tuple[str, str]]
Answer = tuple[int, Headers, bytes]

LARGE_BYTES = 16_384
"""A larger body holds many rows, which must not keep the loop from single ones; a smaller one may, see `web.inputs`."""

BATCHES, PAGES, POSTS = 1, 4, 2
"""Threads for large predictions, for all that reads the disk, and for what is sent to stay there.

One batch at a time takes half of two cores already; and large bodies that come slowly must not keep the pages from people.
"""

WHOLE = ("/predict", "/invocations")
"""Ways in without a name in their path: what they refuse is counted there, also before a route is met."""

_NOWHERE: contextlib.AbstractContextManager[None] = contextlib.nullcontext()

LOAD_SECONDS = 10.0
"""A request waits so long for the version that it names; then it is told to come again."""

SEND_SECONDS = 10.0
"""An event that the server does not take within this time ends its stream; clients that stop reading the kernel cuts off."""

# The connection ends, because what is left of a body would be taken for the next request.
CLOSE = ("Connection", "close")
REFUSED: Headers = [CLOSE, *security.HEADERS, security.NO_STORE]

STREAM: Headers = [
    ("Content-Type", "text/event-stream"),
    ("X-Accel-Buffering", "no"),  # a proxy must pass each event on at once
    *security.HEADERS,
    security.NO_STORE,
]

_log = logging.getLogger("retraind.web")


class Bridge:
    """RSGI on one side, the WSGI application on the other."""

    def __init__(self, worker: Worker, feed: events.Feed) -> None:
        self._worker = worker
        self._feed = feed
        self._bodies = Bodies(worker.settings.server)
        self._batches = Lane("batches", BATCHES, worker.settings.server)
        self._pages = Lane("pages", PAGES, worker.settings.server)
        self._posts = Lane("posts", POSTS, worker.settings.server)
        self._app = app.make_app(worker)
        self._guard = security.Guard(worker.settings.server, worker.home.token)

    async def __call__(self, scope: Any, protocol: Any) -> None:
        """Answer one request, whatever happens."""
        started = time.perf_counter()
        environ = environ_of(scope)
        try:
            if _wants_stream(environ):
                await self._stream(environ, protocol)
                return
            status, headers, body = await self._answer(environ, protocol)
        except Problem as problem:
            status, headers, body = _refused(environ, problem)
        except NotKept as error:
            status, headers, body = _refused(environ, Problem(503, str(error.args[0]), hint=error.hint))
        except Exception:  # noqa: BLE001 - the client gets an answer, the log the reason
            _log.exception("%s %r failed.", environ["REQUEST_METHOD"], environ["PATH_INFO"])
            broken = Problem(500, "Something went wrong inside.", hint="The log of the service has the details.")
            status, headers, body = _refused(environ, broken)
        if self._worker.draining:
            headers = [*headers, CLOSE]
        protocol.response_bytes(status, headers, body)
        seconds, route = time.perf_counter() - started, _route(environ)
        self._worker.counters.count(route, status, seconds, predicts=doors.predicts(route))

    async def _answer(self, environ: dict[str, Any], protocol: Any) -> Answer:
        lane, sent = self._lane(environ), environ["REQUEST_METHOD"] == "POST"
        large = sent and _is_large(environ)
        # Without a place: who trickles few bytes must not keep others out.
        if sent and not large:
            await self._read(environ, protocol)
        with lane.place() if lane else _NOWHERE:
            if large:
                await self._read(environ, protocol)
            logged = self._worker.log.written
            answer = await (lane.run(partial(self._ask, environ)) if lane else self._ask_here(environ))
            if LOADING in environ:
                answer = await self._ask_loaded(environ)
            if self._worker.log.written != logged:
                await self._worker.durable()
        return answer

    async def _read(self, environ: dict[str, Any], protocol: Any) -> None:
        environ["wsgi.input"] = io.BytesIO(await self._bodies.read(promised(environ), protocol))

    def _lane(self, environ: dict[str, Any]) -> Lane | None:
        """Where to answer: a single row and what only looks at memory on the loop (None), which costs least."""
        path = environ["PATH_INFO"]
        if doors.predicts(path):
            return self._batches if _is_large(environ) else None
        if environ["REQUEST_METHOD"] == "POST":
            return self._posts
        return None if path in app.INLINE else self._pages

    def _ask(self, environ: dict[str, Any]) -> Answer:
        answer: list[Any] = []
        body = self._app(environ, lambda status, headers, exc_info=None: answer.extend((int(status[:3]), headers)))
        return answer[0], answer[1], b"".join(body)

    async def _ask_here(self, environ: dict[str, Any]) -> Answer:
        """Answer on the loop; in the lane for batches what turns out to have many rows in its few bytes."""
        token = on_loop.set(True)
        try:
            return self._ask(environ)
        except TooManyHere:
            pass
        finally:
            on_loop.reset(token)
        with self._batches.place():
            return await self._ask_again(environ)

    async def _ask_loaded(self, environ: dict[str, Any]) -> Answer:
        """Wait for the version that the request has named, then ask once more; the loop goes on meanwhile."""
        due = time.monotonic() + LOAD_SECONDS
        while True:
            loading = asyncio.wrap_future(environ.pop(LOADING))
            # `wait` leaves the loading alone when the time is over: others wait for it, too.
            await asyncio.wait({loading}, timeout=due - time.monotonic())
            answer = await self._ask_again(environ)
            # Where more versions are asked for than there is room, it may have had to go before its turn came.
            if LOADING not in environ or time.monotonic() >= due:
                return answer

    async def _ask_again(self, environ: dict[str, Any]) -> Answer:
        """Ask in the lane for batches what was asked on the loop in vain."""
        for key in [key for key in environ if key.startswith("bottle.")]:
            del environ[key]
        environ["wsgi.input"].seek(0)
        return await self._batches.run(partial(self._ask, environ))

    async def _stream(self, environ: dict[str, Any], protocol: Any) -> None:
        self._guard.host(environ)
        if self._feed.streams >= events.STREAMS:
            raise Problem(503, f"{events.STREAMS} listeners are connected already.", hint="Ask for JSON instead.")
        given = environ.get("HTTP_LAST_EVENT_ID", "")
        texts = self._feed.follow(int(given) if given.isascii() and given.isdecimal() and len(given) < 16 else None)
        transport = protocol.response_stream(200, STREAM)
        self._feed.streams += 1
        sending = asyncio.ensure_future(_send(transport, texts))
        gone = asyncio.ensure_future(protocol.client_disconnect())
        await asyncio.wait({sending, gone}, return_when=asyncio.FIRST_COMPLETED)
        for task in (sending, gone):
            task.cancel()
        await asyncio.gather(sending, gone, return_exceptions=True)
        self._feed.streams -= 1
        self._worker.counters.count("/events", 200, 0.0)


def _refused(environ: dict[str, Any], problem: Problem) -> Answer:
    told = shapes.dress(problem, environ["PATH_INFO"])
    return told.status_code, [*told.headerlist, *REFUSED], told.body


def _route(environ: dict[str, Any]) -> str:
    """The template under which a request is counted; a refused body has not met a route yet."""
    matched, path = environ.get("bottle.route"), environ["PATH_INFO"]
    if matched:
        return str(matched.name or matched.rule)
    return path if path in app.INLINE or path in WHOLE else app.UNMATCHED


def _is_large(environ: dict[str, Any]) -> bool:
    length = promised(environ)
    return length is None or length > LARGE_BYTES


def _wants_stream(environ: dict[str, Any]) -> bool:
    route = environ["REQUEST_METHOD"], environ["PATH_INFO"]
    return route == ("GET", "/events") and "text/event-stream" in environ.get("HTTP_ACCEPT", "")


async def _send(transport: Any, texts: Any) -> None:
    async with contextlib.aclosing(texts):
        async for text in texts:
            async with asyncio.timeout(SEND_SECONDS):
                await transport.send_str(text)
