"""The bridge between Granian (RSGI) and the WSGI application, with event streams next to it.

Bodies are awaited before Bottle sees a request. The thread that hands requests over (see `retraind.web.server.granian`) answers single
predictions itself. Large requests and those that use the disk run in lanes of threads, which the event loop manages.
"""

import asyncio
import contextlib
import io
import time
from collections.abc import Coroutine
from functools import partial
from typing import Any
from wsgiref.types import WSGIEnvironment

from retraind.web.api import app, event_stream
from retraind.web.auth.access import LOCAL
from retraind.web.http.incoming_request import Request
from retraind.web.http.problems import Problem
from retraind.web.http.wsgi_environ import content_length, environ_of
from retraind.web.protocols import routes
from retraind.web.server import streams, upload_lane
from retraind.web.server.app_runner import ask
from retraind.web.server.bodies import Bodies, BodyOrProblem
from retraind.web.server.refusals import CLOSE, Answer, refusal
from retraind.web.server.slow_requests import SlowRequests
from retraind.web.server.thread_lanes import Lane
from retraind.web.server.upload_lane import UploadLane
from retraind.web.serving.call import Call
from retraind.web.worker_state import Worker


class Bridge:
    """Passes requests from RSGI to the WSGI application; made on the event loop."""

    def __init__(self, worker: Worker, feed: event_stream.Feed) -> None:
        self._worker = worker
        self._feed = feed
        self._loop = asyncio.get_running_loop()
        self._tasks: set[asyncio.Task[None]] = set()
        self._access = worker.access
        self._root = worker.settings.server.root_path
        self._app = app.make_app(worker)
        self.bodies = Bodies(worker.settings.server)
        self.slow = SlowRequests(worker, self._app, self.bodies)
        self.uploads = UploadLane(worker, self._app)

    # In the thread that hands requests over

    def begin(self, handed: Any) -> None:
        """Take over a request: answer a cheap one as soon as its body has arrived, leave others to the loop."""
        request = Request(environ_of(handed.scope, self._root), handed.proto, time.perf_counter())
        environ = request.environ
        try:
            if (refused := self._refused(environ)) is not None:
                self._refuse(request, refused)
            elif streams.wants(environ) and self._worker.settings.role != "node":
                self._leave(self._stream(request))
            elif upload_lane.wants(environ):
                self._leave(self._upload(request))
            elif lane := self.slow.lane(environ):
                self._begin_in(lane, request)
            elif (length := content_length(environ)) and environ["REQUEST_METHOD"] == "POST":
                self.bodies.expect(length, request.protocol, partial(self._take, request))
                request.begun = True
            else:
                self._answer_at_once(request)
        except Exception as error:  # noqa: BLE001 - the client gets an answer
            self._refuse(request, error)

    def _begin_in(self, lane: Lane, request: Request) -> None:
        # Before it takes a place in a lane, because callers without a token may send such requests too.
        problem = self._app.unwanted(request.environ) if request.environ["REQUEST_METHOD"] == "POST" else None
        if problem is not None:
            self._refuse(request, problem)
        else:
            self._leave(self._serve(request, self.slow.answer(lane, request)))

    def _refused(self, environ: WSGIEnvironment) -> Problem | None:
        """Why the caller is refused; None if it is admitted."""
        try:
            caller = self._access.recognise(environ)
            if caller is not LOCAL:
                self._access.admit(caller, self._app.template(environ), environ)
        except Problem as problem:
            return problem
        return None

    def _take(self, request: Request, body: BodyOrProblem) -> None:
        if isinstance(body, Problem):
            self._send(request, refusal(request.environ, body))
            return
        request.environ["wsgi.input"] = io.BytesIO(body)
        self._answer_at_once(request)

    def _answer_at_once(self, request: Request) -> None:
        environ, call = request.environ, Call(inline=True, patient=True)
        try:
            answer = ask(self._app, environ, call)
        except Exception as error:  # noqa: BLE001 - the client gets an answer
            self._send(request, refusal(environ, error))
            return
        if call.rest is not None or (call.logged and self._worker.log.strict):
            self._leave(self._serve(request, self.slow.finish(environ, answer, call)))
        else:
            self._send(request, answer)

    # In any thread

    def _leave(self, rest: Coroutine[Any, Any, None]) -> None:
        self._loop.call_soon_threadsafe(self._start, rest)

    def _start(self, rest: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(rest)
        self._tasks.add(task)  # the loop holds its tasks only weakly
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

    # On the loop

    async def _serve(self, request: Request, answering: Coroutine[Any, Any, Answer]) -> None:
        try:
            answer = await answering
        except Exception as error:  # noqa: BLE001 - the client gets an answer
            self._refuse(request, error)
        else:
            self._send(request, answer)

    async def _upload(self, request: Request) -> None:
        try:
            answer, read = await self.uploads.answer(request)
        except Exception as error:  # noqa: BLE001 - the client gets an answer
            self._refuse(request, error)
            return
        if read or "HTTP_EXPECT" in request.environ:
            self._send(request, answer)
        else:
            await self._send_early(request, answer)

    async def _send_early(self, request: Request, answer: Answer) -> None:
        """Answer a client that is still sending, and discard the rest. Closing at once would reset the connection and lose the answer."""
        status, headers, body = answer
        transport = request.protocol.response_stream(status, [*headers, ("Content-Length", str(len(body)))])
        self._count(request, status)
        with contextlib.suppress(RuntimeError):  # by this Granian reports that the client has gone
            await transport.send_bytes(body)
            await self.bodies.skip(request)

    async def _stream(self, request: Request) -> None:
        try:
            await streams.send(request, self._feed, self._access.peers.address(request.environ))
        except Problem as problem:
            self._send(request, refusal(request.environ, problem))
        else:
            self._worker.counters.count("/events", 200, 0.0)
