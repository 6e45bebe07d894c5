"""Slow requests: large ones, those that use the disk, and those that wait for a version to load.

They run in lanes of threads that the event loop manages, so they delay no single prediction.
"""

import asyncio
import contextlib
import io
import time
from functools import partial
from wsgiref.types import WSGIEnvironment

from retraind.web.api import sign_in
from retraind.web.api.app import INLINE, App
from retraind.web.http.incoming_request import Request
from retraind.web.http.wsgi_environ import content_length
from retraind.web.protocols import routes
from retraind.web.server.app_runner import ask, resume
from retraind.web.server.bodies import Bodies
from retraind.web.server.refusals import Answer
from retraind.web.server.thread_lanes import Lane
from retraind.web.serving.call import Call, Deferred
from retraind.web.worker_state import Worker

LARGE_BYTES = 16_384
"""Body size above which a request goes to a lane, because it may hold many rows; for smaller bodies
`retraind.web.serving.inputs` counts the rows."""

BATCHES, PAGES, POSTS, FORMS = 1, 4, 2, 1
"""Threads for large predictions, for requests that read the disk, for those that write to it, and for signing in and out.

One batch at a time already uses half of two cores, and slow large bodies must not delay the pages. Callers without a token can
only use the last lane, so they can't fill the others.
"""

LOAD_SECONDS = 10.0
"""A request waits this long for the version that it names; then it gets 503."""


class SlowRequests:
    """The lanes of one worker and the requests in them."""

    def __init__(self, worker: Worker, app: App, bodies: Bodies) -> None:
        limits = worker.settings.server
        self._worker, self._app, self._bodies = worker, app, bodies
        self.batches = Lane("batches", BATCHES, limits)
        self._pages = Lane("pages", PAGES, limits)
        self._posts = Lane("posts", POSTS, limits)
        self._forms = Lane("forms", FORMS, limits)

    def lane(self, environ: WSGIEnvironment) -> Lane | None:
        """The lane for a request; None: answer it at once, as for a single row and requests that only need memory."""
        path = environ["PATH_INFO"]
        if routes.predicts(path):
            return self.batches if _is_large(environ) else None
        if environ["REQUEST_METHOD"] == "POST":
            return self._forms if path in sign_in.PATHS else self._posts
        return None if path in INLINE else self._pages

    async def answer(self, lane: Lane, request: Request) -> Answer:
        """The answer to a request in its lane; raises Problem for a missing body, or if no place is free."""
        environ = request.environ
        sent, large = environ["REQUEST_METHOD"] == "POST", _is_large(environ)
        # Without taking a place: a client that sends few bytes slowly must not block others.
        if sent and not large:
            await self._read(request)
        with lane.place():
            if sent and large:
                await self._read(request)
            call = Call(patient=True)
            answer = await lane.run(partial(ask, self._app, environ, call))
            return await self.finish(environ, answer, call)

    async def finish(self, environ: WSGIEnvironment, answer: Answer, call: Call) -> Answer:
        """The final answer, after the rest of the call is done and its log lines are durable."""
        if call.rest is not None:
            # A request that waits for a version takes no place from requests whose version is loaded.
            with contextlib.nullcontext() if call.loading else self.batches.place():
                answer = await self._answer_rest(environ, call)
        if call.logged:
            await self._worker.durable()
        return answer

    async def _read(self, request: Request) -> None:
        request.begun = True
        request.environ["wsgi.input"] = io.BytesIO(await self._bodies.read(content_length(request.environ), request))

    async def _answer_rest(self, environ: WSGIEnvironment, call: Call) -> Answer:
        """Wait for the version that the call has named, if any, then run the rest in the lane for batches."""
        call.inline, due = False, time.monotonic() + LOAD_SECONDS
        while True:
            if call.loading is not None:
                # `wait` does not cancel the loading when the time is over, because other requests wait for it too.
                await asyncio.wait({asyncio.wrap_future(call.loading)}, timeout=max(0.0, due - time.monotonic()))
            call.loading, call.patient = None, time.monotonic() < due
            try:
                return await self.batches.run(partial(resume, self._app, environ, call))
            except Deferred:  # the version was evicted before this request ran, because more are asked for than fit
                continue


def _is_large(environ: WSGIEnvironment) -> bool:
    length = content_length(environ)
    # The length of a compressed body says little about its rows.
    return length is None or length > LARGE_BYTES or "HTTP_CONTENT_ENCODING" in environ
