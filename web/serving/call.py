"""The call: what a request and the server that carries it tell each other, in one object.

The thread that brings a request asks the application at once. What must not be answered there (many rows, a version that
is still being loaded) raises Elsewhere: the application keeps the rest of the request, and the server runs that where
there is room, without the routing and the checks, which are done.
"""

from collections.abc import Callable
from concurrent.futures import Future
from contextvars import ContextVar
from dataclasses import dataclass

from web.http.reply import Reply

Loading = Future[None]
"""Done when a version is loaded, or can't be."""


class Elsewhere(Exception):
    """The request must wait, or belongs into a lane: its `Call` says which."""


@dataclass(slots=True, eq=False)
class Call:
    """One request on its way through the application; used by one thread at a time."""

    inline: bool = False
    """Whether it runs in the thread that brings all requests, which many rows must not hold up."""
    patient: bool = False
    """Whether somebody waits for `loading` on its behalf; otherwise it is told to come again."""
    asked_at: float | None = None
    """When (monotonic) it first asked for a version that is not loaded: later news of it count, older ones don't."""
    loading: Loading | None = None
    """What it waits for."""
    logged: bool = False
    """Whether it has predictions in the log, which must be durable before the answer where the log is strict."""
    rest: Callable[[], Reply] | None = None
    """What is left to do, after Elsewhere."""


CURRENT: ContextVar[Call] = ContextVar("call")
"""The call that this thread works on; there is none where no server carries the request."""


def current() -> Call:
    """The call of this thread; a new one, for which nobody waits, where there is none."""
    return CURRENT.get(None) or Call()
