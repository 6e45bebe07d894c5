"""Runs the application: first for the whole request, then for the rest of a call. The `Call` is the current one both times."""

from wsgiref.types import WSGIEnvironment

from retraind.web.api.app import App
from retraind.web.server.refusals import Answer
from retraind.web.serving.call import CURRENT, Call, Deferred


def ask(app: App, environ: WSGIEnvironment, call: Call) -> Answer:
    """The answer to a request, in this thread; raises errors that the application does not explain."""
    token = CURRENT.set(call)
    try:
        return app.answer(environ)
    except Deferred:
        return 200, [], b""
    finally:
        CURRENT.reset(token)


def resume(app: App, environ: WSGIEnvironment, call: Call) -> Answer:
    """The answer to the rest of a call; raises Deferred if it must wait again."""
    token = CURRENT.set(call)
    try:
        return app.resume(environ, call)
    finally:
        CURRENT.reset(token)
