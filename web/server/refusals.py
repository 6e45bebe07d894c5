"""Answers to requests that are refused before a route runs, or that end with an error."""

import logging
from wsgiref.types import WSGIEnvironment

from retraind.daemon.core.errors import NotKept
from retraind.web.http import security_headers
from retraind.web.http.problems import Problem
from retraind.web.protocols import errors

Headers = list[tuple[str, str]]
Answer = tuple[int, Headers, bytes]
"""Status, headers and body."""

# The connection must end, or the rest of a body would be read as the next request.
CLOSE = ("Connection", "close")
REFUSED: Headers = [CLOSE, *security_headers.SECURED]

_log = logging.getLogger("retraind.web")


def refusal(environ: WSGIEnvironment, error: Exception) -> Answer:
    """The answer for an error; details of an unexpected one go to the log."""
    problem = error if isinstance(error, Problem) else _problem(environ, error)
    dressed = errors.in_format_of(problem, environ["PATH_INFO"])
    return dressed.status_code, [*dressed.headerlist, *REFUSED], dressed.body


def _problem(environ: WSGIEnvironment, error: Exception) -> Problem:
    if isinstance(error, NotKept):
        return Problem(503, str(error.args[0]), hint=error.hint)
    _log.error("%s %r failed.", environ["REQUEST_METHOD"], environ["PATH_INFO"], exc_info=error)
    return Problem(500, "Internal error.", hint="The log of the service has the details.")
