"""The call: the data on one request that the application and the server exchange.

The thread that brings a request runs the application at once. A request that must not be answered there (many rows, a
version that is still being loaded) raises Deferred. The application then keeps the rest of the work, and the server
runs it in a lane, without repeating routing and checks.
"""

from collections.abc import Callable
from concurrent.futures import Future
from contextvars import ContextVar
from dataclasses import dataclass

from retraind.web.http.reply import Reply

Loading = Future[None]
"""Done when a version is loaded or has failed to load."""


class Deferred(Exception):
    """The request must wait or run in a lane; its `Call` says which."""


@dataclass(slots=True, eq=False)
class Call:
    """One request in the application; used by one thread at a time."""

    inline: bool = False
    """Whether it runs in the thread that brings all requests, which many rows would delay."""
    patient: bool = False
    """Whether the server waits for `loading`; otherwise the client gets 503."""
    asked_at: float | None = None
    """When (monotonic) it first requested a version that is not loaded; a failure since then applies to it."""
    loading: Loading | None = None
    """What it waits for."""
    logged: bool = False
    """Whether it has predictions in the log, which must be durable before the answer if the log is strict."""
    rest: Callable[[], Reply] | None = None
    """The rest of the work, after Deferred."""


CURRENT: ContextVar[Call] = ContextVar("call")
"""The call of this thread; unset if the application runs without the server."""


def current() -> Call:
    """The call of this thread, or a new one that the server does not wait for."""
    return CURRENT.get(None) or Call()
