"""Runs the application: first through WSGI, then for the rest of a call. The `Call` is the current one both times."""

from typing import Any
from wsgiref.types import WSGIEnvironment

from web.api.app import App
from web.server.refusals import Answer
from web.serving.call import CURRENT, Call


def ask(app: App, environ: WSGIEnvironment, call: Call) -> Answer:
    """The answer to a request, in this thread; raises errors that the application does not explain."""
    answer: list[Any] = []
    token = CURRENT.set(call)
    try:
        body = app(environ, lambda status, headers, exc_info=None: answer.extend((int(status[:3]), headers)))
    finally:
        CURRENT.reset(token)
    return answer[0], answer[1], b"".join(body)


def go_on(app: App, environ: WSGIEnvironment, call: Call) -> Answer:
    """The answer to the rest of a call; raises Elsewhere if it must wait again."""
    token = CURRENT.set(call)
    try:
        return app.go_on(environ, call)
    finally:
        CURRENT.reset(token)
