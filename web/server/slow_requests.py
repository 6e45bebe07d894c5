"""Slow requests: large ones, those that touch the disk for long, and those that wait for a version.

They are answered in lanes of threads, which the event loop looks after, so that they hold up no single prediction.
"""

import asyncio
import contextlib
import io
import time
from functools import partial
from wsgiref.types import WSGIEnvironment

from web.api import sign_in
from web.api.app import INLINE, App
from web.http.incoming_request import Request
from web.http.wsgi_environ import promised
from web.protocols import routes
from web.server.asking import ask, go_on
from web.server.bodies import Bodies
from web.server.refusals import Answer
from web.server.thread_lanes import Lane
from web.serving.call import Call, Elsewhere
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


class SlowRequests:
    """The lanes of one worker, and what is answered in them."""

    def __init__(self, worker: Worker, app: App, bodies: Bodies) -> None:
        limits = worker.settings.server
        self._worker, self._app, self._bodies = worker, app, bodies
        self.batches = Lane("batches", BATCHES, limits)
        self._pages = Lane("pages", PAGES, limits)
        self._posts = Lane("posts", POSTS, limits)
        self._forms = Lane("forms", FORMS, limits)

    def lane(self, environ: WSGIEnvironment) -> Lane | None:
        """Where to answer: a single row and what only looks at memory at once (None), which costs least."""
        path = environ["PATH_INFO"]
        if routes.predicts(path):
            return self.batches if _is_large(environ) else None
        if environ["REQUEST_METHOD"] == "POST":
            return self._forms if path in sign_in.PATHS else self._posts
        return None if path in INLINE else self._pages

    async def answer(self, lane: Lane, request: Request) -> Answer:
        """The answer to a request in its lane; raises Problem for a body that does not come, and where no place is free."""
        environ = request.environ
        sent, large = environ["REQUEST_METHOD"] == "POST", _is_large(environ)
        # Without a place: who trickles few bytes must not keep others out.
        if sent and not large:
            await self._read(request)
        with lane.place():
            if sent and large:
                await self._read(request)
            call = Call(patient=True)
            answer = await lane.run(partial(ask, self._app, environ, call))
            return await self.finish(environ, answer, call)

    async def finish(self, environ: WSGIEnvironment, answer: Answer, call: Call) -> Answer:
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
        request.environ["wsgi.input"] = io.BytesIO(await self._bodies.read(promised(request.environ), request))

    async def _answer_rest(self, environ: WSGIEnvironment, call: Call) -> Answer:
        """Wait for the version that a call has named, if it has, then go on in the lane for batches; the loop goes on meanwhile."""
        call.inline, due = False, time.monotonic() + LOAD_SECONDS
        while True:
            if call.loading is not None:
                # `wait` leaves the loading alone when the time is over: others wait for it, too.
                await asyncio.wait({asyncio.wrap_future(call.loading)}, timeout=max(0.0, due - time.monotonic()))
            call.loading, call.patient = None, time.monotonic() < due
            try:
                return await self.batches.run(partial(go_on, self._app, environ, call))
            except Elsewhere:  # more versions are asked for than there is room: it had to go before its turn came
                continue


def _is_large(environ: WSGIEnvironment) -> bool:
    length = promised(environ)
    # Of a compressed body, the length says little.
    return length is None or length > LARGE_BYTES or "HTTP_CONTENT_ENCODING" in environ
