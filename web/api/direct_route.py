"""Direct routes: predictions and protocols, answered without Bottle's objects for request and response.

Bottle decides which route a request takes. Its objects, which these routes avoid, took a fifth of a prediction's CPU
time.
"""

from collections.abc import Callable, Mapping
from functools import partial
from wsgiref.types import WSGIEnvironment

from bottle import HTTPResponse, request

from retraind.web.api import pages
from retraind.web.http.problems import Problem, explain
from retraind.web.http.reply import Reply
from retraind.web.protocols import errors
from retraind.web.serving.call import CURRENT, Call, Deferred
from retraind.web.worker_state import Worker

Check = Callable[[WSGIEnvironment], None]
Function = Callable[..., Reply]
"""Takes worker, WSGI environment and the named parts of the path."""

Answer = tuple[int, list[tuple[str, str]], bytes]
"""Status, headers and body."""


class DirectRoute:
    """A function behind its checks, called by the server that carries a request, or by Bottle."""

    def __init__(self, worker: Worker, function: Function, *checks: Check) -> None:
        self._worker, self._function, self._checks = worker, function, checks

    def answer(self, environ: WSGIEnvironment, parts: Mapping[str, str]) -> Answer:
        """The answer to a request, even if it is a problem; raises Deferred, and unexpected errors.

        After Deferred the call holds the rest of the work, without the checks, for `resume`.
        """
        try:
            for check in self._checks:
                check(environ)
            reply = self._function(self._worker, environ, **parts)
        except Deferred:
            CURRENT.get().rest = partial(self._function, self._worker, environ, **parts)
            raise
        except Exception as error:  # noqa: BLE001 - unexpected ones are raised again
            return _refused(error, environ)
        return reply.status, list(reply.headers.items()), reply.body

    def __call__(self, **parts: str) -> HTTPResponse:
        """The answer for Bottle; it has no body if the server does the rest."""
        try:
            status, headers, body = self.answer(request.environ, parts)
        except Deferred:
            return HTTPResponse()
        return HTTPResponse(body, status, headers)


def resume(call: Call, environ: WSGIEnvironment) -> Answer:
    """The answer to the rest of a call; raises Deferred if it must wait again."""
    assert call.rest is not None
    environ["wsgi.input"].seek(0)
    try:
        reply = call.rest()
    except Deferred:
        raise
    except Exception as error:  # noqa: BLE001 - unexpected ones are raised again
        return _refused(error, environ)
    return reply.status, list(reply.headers.items()), reply.body


def problem_of(error: Exception, path: str) -> Problem:
    """The problem for an error, in the format of the path's clients; raises an unexpected error itself."""
    problem = error if isinstance(error, Problem) else explain(error)
    # Expected errors have an explanation; the server logs all others and answers 500.
    if problem is None:
        raise error
    dressed = errors.in_format_of(problem, path)
    dressed.__cause__ = error.__cause__ if problem is error else error
    return dressed


def _refused(error: Exception, environ: WSGIEnvironment) -> Answer:
    problem = pages.in_html(problem_of(error, environ["PATH_INFO"]), environ)
    return problem.status_code, problem.headerlist, problem.body
