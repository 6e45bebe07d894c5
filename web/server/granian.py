"""Takes requests over from Granian, and decides which thread answers them; the only module that imports Granian.

Granian runs Python in a separate thread. Its own scheduler passes each request, and later its body, to the event loop,
so two threads take the interpreter from each other several times per request. Here the thread that brings a request
answers it if that is cheap, and only the rest goes to the loop. That gives 50 % more answers per second.
"""

import asyncio
import logging
import os
import socket
from collections.abc import Callable, Coroutine
from contextvars import Context
from typing import Any, Protocol, TypeVar

import uvloop
from granian._granian import CallbackScheduler, RSGIWorker, SocketHolder
from granian.constants import HTTPModes, Interfaces
from granian.http import HTTP1Settings
from granian.server.embed import AsyncWorker, Server

from retraind.web.server.bodies import Arrival

T = TypeVar("T")

CONNECTIONS = 4096
"""Open connections of one worker; further ones wait in the listening socket's backlog."""

HEADER_MILLISECONDS = 10_000
"""The head of a request must arrive within this time, also on a connection that is kept alive."""

STALLED_MILLISECONDS = 30_000
"""The kernel cuts off a client that reads nothing of its answer for this long, even while its window is closed."""


_log = logging.getLogger("retraind.web")


class RequestHandler(Protocol):
    """Takes requests over from Granian."""

    def begin(self, handed: Any) -> None:
        """Take over one request; see `spawn`."""


class Listener(Server):
    """Granian on a socket that the daemon has bound, so the address survives the death of a worker."""

    def __init__(self, handler: RequestHandler, fd: int) -> None:
        super().__init__(
            handler.begin,
            interface=Interfaces.RSGI,
            http=HTTPModes.http1,
            http1_settings=HTTP1Settings(header_read_timeout=HEADER_MILLISECONDS, max_buffer_size=65_536),
            websockets=False,
            backlog=CONNECTIONS,
            backpressure=CONNECTIONS,
            log_enabled=False,
        )
        self._inherited = fd
        with socket.socket(fileno=os.dup(fd)) as shared:
            shared.listen(CONNECTIONS)
            self._unix = shared.family == socket.AF_UNIX
            if not self._unix:  # inherited by connections
                shared.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, STALLED_MILLISECONDS)

    def refuse(self) -> None:
        """Stop accepting without telling Granian, which would close the connections that it has just accepted.

        Its descriptor becomes that of a private socket; the shared socket stays open in the other workers.
        """
        with socket.socket(socket.AF_UNIX) as private:
            private.bind("")  # a name of the kernel's choice
            private.listen()
            private.setblocking(False)
            os.dup2(private.fileno(), self._inherited, inheritable=False)

    def _init_shared_socket(self) -> None:
        # The type stub of this private class lacks its constructor.
        holder: Any = SocketHolder
        vars(self).update(_ssp=None, _shd=holder(self._inherited, self._unix, CONNECTIONS), _sfd=self._inherited)


class Loop(uvloop.Loop):
    """An event loop that passes an arrived body on in Granian's thread, without a separate event."""

    def call_soon_threadsafe(  # type: ignore[override]
        self, callback: Callable[..., Any], *args: Any, context: Context | None = None
    ) -> Any:
        """The same as in any loop, except for an Arrival."""
        if type(callback) is not Arrival:
            return super().call_soon_threadsafe(callback, *args, context=context)
        try:
            return callback(*args)
        except Exception:  # noqa: BLE001 - Granian would drop it silently
            _log.exception("A request failed after its body had arrived.")
            return None


def run(main: Coroutine[Any, Any, T]) -> T:
    """The same as `asyncio.run`, on such a loop."""
    with asyncio.Runner(loop_factory=Loop) as runner:
        return runner.run(main)


def _guarded(begin: Callable[[Any], None]) -> Callable[[Any], None]:
    def schedule(handed: Any) -> None:
        # Granian neither reports nor clears an exception raised here.
        try:
            begin(handed)
        except Exception:  # noqa: BLE001 - whatever it is, the next request must not suffer
            _log.exception("A request failed before it could be answered.")
            handed.done()  # 500, unless it was answered

    return schedule


@AsyncWorker.wrap_target  # type: ignore[untyped-decorator]
async def spawn(
    number: int,
    stopped: Any,
    begin: Callable[[Any], None],
    sock: Any,
    loop: asyncio.AbstractEventLoop,
    runtime_threads: int,
    runtime_blocking_threads: int | None,
    blocking_threads: int,
    idle_timeout: int,
    backpressure: int,
    _task_impl: Any,
    http: Any,
    http1: Any,
    http2: Any,
    websockets: bool,
    static: Any,
    _access_log: Any,
    tls: Any,
    _scope: Any,
) -> None:
    """A worker of `granian.server.embed.Server` that gives each request to `begin` as it leaves Granian, until `stopped`.

    `begin` gets an object with the `scope` and the `proto` of RSGI.
    """
    ended = loop.create_future()
    stopped.add_cb(lambda: loop.call_soon_threadsafe(ended.set_result, None))
    threads = runtime_threads, runtime_blocking_threads, blocking_threads, idle_timeout
    options = backpressure, http, http1, http2, websockets, static
    make: Any = RSGIWorker  # the type stubs of these private classes lack constructors
    worker = make(number, sock, None, *threads, *options, *tls, (None, None))
    schedule: Any = CallbackScheduler
    scheduler = schedule(loop, begin, None, None, None)
    scheduler._schedule_fn = _guarded(begin)
    is_unix = (sock[0] or sock[1]).is_uds()
    (worker.serve_async_uds if is_unix else worker.serve_async)(scheduler, loop, stopped)
    await ended
