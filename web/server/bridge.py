"""RSGI on one side, the WSGI application on the other, and event streams beside it.

Bodies are awaited before Bottle sees a request. Single predictions are answered by the thread that hands requests over (see
`web.server.granian`); large ones and whatever touches the disk for long run in lanes of threads, which the event loop looks after.
"""

import asyncio
import contextlib
import io
import time
from collections.abc import Coroutine
from functools import partial
from typing import Any
from urllib.parse import parse_qsl

from web.api import app, event_stream, sign_in
from web.auth.access import CALLER, LOCAL
from web.http import payload, security_headers
from web.http.incoming_request import Request
from web.http.problems import Problem
from web.http.wsgi_environ import environ_of, promised
from web.protocols import routes
from web.server.bodies import Bodies, Found
from web.server.refusals import CLOSE, Answer, Headers, refusal
from web.server.thread_lanes import Lane
from web.serving.call import CURRENT, Call, Elsewhere
from web.worker import Worker

LARGE_BYTES = 16_384
"""A larger body holds many rows, which must not keep single ones waiting; a smaller one may, see `web.serving.inputs`."""

BATCHES, PAGES, POSTS, FORMS = 1, 4, 2, 1
"""Threads for large predictions, for all that reads the disk, for what is sent to stay there, and for signing in and out.

One batch at a time takes half of two cores already; and large bodies that come slowly must not keep the pages from people.
Who has no token may use the last alone, and so takes no place of the others.
"""

LOAD_SECONDS = 10.0
"""A request waits so long for the version that it names; then it is told to come again."""

SEND_SECONDS = 10.0
"""An event that the server does not take within this time ends its stream; clients that stop reading the kernel cuts off."""

STREAM: Headers = [
    ("Content-Type", "text/event-stream"),
    ("X-Accel-Buffering", "no"),  # a proxy must pass each event on at once
    *security_headers.HEADERS,
    security_headers.NO_STORE,
]


class Bridge:
    """RSGI on one side, the WSGI application on the other; made on the event loop."""

    def __init__(self, worker: Worker, feed: event_stream.Feed) -> None:
        self._worker = worker
        self._feed = feed
        self._loop = asyncio.get_running_loop()
        self._tasks: set[asyncio.Task[None]] = set()
        self.bodies = Bodies(worker.settings.server)
        self.batches = Lane("batches", BATCHES, worker.settings.server)
        self._pages = Lane("pages", PAGES, worker.settings.server)
        self._posts = Lane("posts", POSTS, worker.settings.server)
        self._forms = Lane("forms", FORMS, worker.settings.server)
        self._gate = worker.gate
        self._root = worker.settings.server.root_path
        self._app = app.make_app(worker)

    # In the thread that hands requests over

    def begin(self, handed: Any) -> None:
        """Take a request over: answer what costs little as soon as its body is there, leave all else to the loop."""
        request = Request(environ_of(handed.scope, self._root), handed.proto, time.perf_counter())
        environ = request.environ
        try:
            if (refused := self._refused(environ)) is not None:
                self._refuse(request, refused)
            elif _wants_stream(environ):
                self._leave(self._stream(request))
            elif lane := self._lane(environ):
                self._begin_in(lane, request)
            elif (length := promised(environ)) and environ["REQUEST_METHOD"] == "POST":
                self.bodies.expect(length, request.protocol, partial(self._take, request))
                request.begun = True
            else:
                self._answer_at_once(request)
        except Exception as error:  # noqa: BLE001 - the client gets an answer
            self._refuse(request, error)

    def _begin_in(self, lane: Lane, request: Request) -> None:
        # Before a place is taken: strangers may send these, too.
        problem = self._app.unwanted(request.environ) if request.environ["REQUEST_METHOD"] == "POST" else None
        if problem is not None:
            self._refuse(request, problem)
        else:
            self._leave(self._serve(request, self._answer_in(lane, request)))

    def _refused(self, environ: dict[str, Any]) -> Problem | None:
        """Why who asks is not let in."""
        try:
            caller = self._gate.recognise(environ)
            if caller is not LOCAL:
                self._gate.admit(caller, self._app.template(environ), environ)
        except Problem as problem:
            return problem
        return None

    def _take(self, request: Request, body: Found) -> None:
        if isinstance(body, Problem):
            self._send(request, refusal(request.environ, body))
            return
        request.environ["wsgi.input"] = io.BytesIO(body)
        self._answer_at_once(request)

    def _answer_at_once(self, request: Request) -> None:
        environ, call = request.environ, Call(inline=True, patient=True)
        try:
            answer = self._ask(environ, call)
        except Exception as error:  # noqa: BLE001 - the client gets an answer
            self._send(request, refusal(environ, error))
            return
        if call.rest is not None or (call.logged and self._worker.log.strict):
            self._leave(self._serve(request, self._finish(environ, answer, call)))
        else:
            self._send(request, answer)

    # In any thread

    def _leave(self, rest: Coroutine[Any, Any, None]) -> None:
        self._loop.call_soon_threadsafe(self._start, rest)

    def _start(self, rest: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(rest)
        self._tasks.add(task)  # the loop itself knows its tasks only weakly
        task.add_done_callback(self._tasks.discard)

    def _refuse(self, request: Request, error: Exception) -> None:
        answer = refusal(request.environ, error)
        if request.sends_on(answer[0]):
            self._leave(self._send_early(request, answer))
        else:
            self._send(request, answer)

    def _send(self, request: Request, answer: Answer) -> None:
        status, headers, body = answer
        if self._worker.draining:
            headers = [*headers, CLOSE]
        request.protocol.response_bytes(status, headers, body)
        self._count(request, status)

    def _count(self, request: Request, status: int) -> None:
        seconds, route = time.perf_counter() - request.started, self._app.template(request.environ)
        self._worker.counters.count(route, status, seconds, predicts=routes.predicts(route))

    def _ask(self, environ: dict[str, Any], call: Call) -> Answer:
        answer: list[Any] = []
        token = CURRENT.set(call)
        try:
            body = self._app(environ, lambda status, headers, exc_info=None: answer.extend((int(status[:3]), headers)))
        finally:
            CURRENT.reset(token)
        return answer[0], answer[1], b"".join(body)

    def _go_on(self, environ: dict[str, Any], call: Call) -> Answer:
        token = CURRENT.set(call)
        try:
            return self._app.go_on(environ, call)
        finally:
            CURRENT.reset(token)

    # On the loop

    async def _serve(self, request: Request, answering: Coroutine[Any, Any, Answer]) -> None:
        try:
            answer = await answering
        except Exception as error:  # noqa: BLE001 - the client gets an answer
            self._refuse(request, error)
        else:
            self._send(request, answer)

    async def _send_early(self, request: Request, answer: Answer) -> None:
        """Answer who is still sending, and let the rest go by: closed at once, the connection would be reset and the answer lost."""
        status, headers, body = answer
        transport = request.protocol.response_stream(status, [*headers, ("Content-Length", str(len(body)))])
        self._count(request, status)
        with contextlib.suppress(RuntimeError):  # how Granian says that the client has gone
            await transport.send_bytes(body)
            await self.bodies.skip(request)

    async def _answer_in(self, lane: Lane, request: Request) -> Answer:
        environ = request.environ
        sent, large = environ["REQUEST_METHOD"] == "POST", _is_large(environ)
        # Without a place: who trickles few bytes must not keep others out.
        if sent and not large:
            await self._read(request)
        with lane.place():
            if sent and large:
                await self._read(request)
            call = Call(patient=True)
            answer = await lane.run(partial(self._ask, environ, call))
            return await self._finish(environ, answer, call)

    async def _finish(self, environ: dict[str, Any], answer: Answer, call: Call) -> Answer:
        """The answer, when what is left to do is done, and what was logged is kept."""
        if call.rest is not None:
            # Whoever waits for a version takes no place from those who have theirs.
            with contextlib.nullcontext() if call.loading else self.batches.place():
                answer = await self._answer_rest(environ, call)
        if call.logged:
            await self._worker.durable()
        return answer

    async def _read(self, request: Request) -> None:
        request.begun = True
        request.environ["wsgi.input"] = io.BytesIO(await self.bodies.read(promised(request.environ), request))

    def _lane(self, environ: dict[str, Any]) -> Lane | None:
        """Where to answer: a single row and what only looks at memory at once (None), which costs least."""
        path = environ["PATH_INFO"]
        if routes.predicts(path):
            return self.batches if _is_large(environ) else None
        if environ["REQUEST_METHOD"] == "POST":
            return self._forms if path in sign_in.PATHS else self._posts
        return None if path in app.INLINE else self._pages

    async def _answer_rest(self, environ: dict[str, Any], call: Call) -> Answer:
        """Wait for the version that a call has named, if it has, then go on in the lane for batches; the loop goes on meanwhile."""
        call.inline, due = False, time.monotonic() + LOAD_SECONDS
        while True:
            if call.loading is not None:
                # `wait` leaves the loading alone when the time is over: others wait for it, too.
                await asyncio.wait({asyncio.wrap_future(call.loading)}, timeout=max(0.0, due - time.monotonic()))
            call.loading, call.patient = None, time.monotonic() < due
            try:
                return await self.batches.run(partial(self._go_on, environ, call))
            except Elsewhere:  # more versions are asked for than there is room: it had to go before its turn came
                continue

    async def _stream(self, request: Request) -> None:
        environ, streams = request.environ, self._feed.streams
        try:
            after = _after(environ)
            stream = streams.begin(environ[CALLER], self._gate.peers.address(environ))
        except Problem as problem:
            self._send(request, refusal(environ, problem))
            return
        transport = request.protocol.response_stream(200, STREAM)
        sending = asyncio.ensure_future(_send(transport, self._feed.follow(after)))
        gone = asyncio.ensure_future(request.protocol.client_disconnect())
        ended = asyncio.ensure_future(stream.ended.wait())
        await asyncio.wait({sending, gone, ended}, return_when=asyncio.FIRST_COMPLETED)
        for task in (sending, gone, ended):
            task.cancel()
        # Without `gone`, which is Granian's: `gather` can't read how it was cancelled, and would wait without end.
        await asyncio.gather(sending, ended, return_exceptions=True)
        streams.leave(stream)
        self._worker.counters.count("/events", 200, 0.0)


def _after(environ: dict[str, Any]) -> int | None:
    """The id of the event that a stream goes on from; raises Problem 422."""
    after = payload.number(dict(parse_qsl(environ["QUERY_STRING"], keep_blank_values=True)), "after", None, 0)
    # A client that comes again asks for the address that it has, and says here what it has had since.
    header = environ.get("HTTP_LAST_EVENT_ID", "")
    number = payload.whole(header, 15)
    return after if number is None else number


def _is_large(environ: dict[str, Any]) -> bool:
    length = promised(environ)
    # Of a compressed body, the length says little.
    return length is None or length > LARGE_BYTES or "HTTP_CONTENT_ENCODING" in environ


def _wants_stream(environ: dict[str, Any]) -> bool:
    route = environ["REQUEST_METHOD"], environ["PATH_INFO"]
    return route == ("GET", "/events") and "text/event-stream" in environ.get("HTTP_ACCEPT", "")


async def _send(transport: Any, texts: Any) -> None:
    async with contextlib.aclosing(texts):
        async for text in texts:
            async with asyncio.timeout(SEND_SECONDS):
                await transport.send_str(text)
