"""One HTTP worker: a process with one event loop that runs Granian on an inherited socket.

Bodies are read asynchronously, with a limit in bytes and one in seconds, before Bottle sees a request: a client that
trickles costs a coroutine, not a thread. Predictions run on the loop; whatever touches the disk for long runs in a thread.
"""

import argparse
import asyncio
import contextlib
import gc
import io
import logging
import os
import resource
import signal
import sqlite3
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import uvloop
from granian._granian import SocketHolder
from granian.constants import HTTPModes, Interfaces
from granian.http import HTTP1Settings
from granian.server.embed import Server

from daemon import durable, settings
from daemon.errors import Exit, RetraindError
from daemon.home import Home
from daemon.settings import Settings
from web import app, events, security
from web.predictor import Follower
from web.problems import PROBLEM, Problem, document
from web.worker import Worker

CONNECTIONS = 4096
"""Open connections of one worker; further ones wait in the listening socket's backlog."""

HEADER_MILLISECONDS = 10_000
"""A request's head must arrive within this time, also the next one on a connection that is kept alive."""

PUBLISH_SECONDS = 1.0
SEND_SECONDS = 10.0
"""A listener that takes no event for so long is cut off."""

Headers = list[tuple[str, str]]

# The connection ends, because what is left of a body would be taken for the next request.
REFUSED: Headers = [("Content-Type", PROBLEM), ("Connection", "close"), *security.HEADERS, security.NO_STORE]

_log = logging.getLogger("retraind.web")


class Listener(Server):
    """Granian on a socket that the daemon has bound, so that a worker can die without the address being lost."""

    def __init__(self, bridge: "Bridge", fd: int) -> None:
        super().__init__(
            bridge,
            interface=Interfaces.RSGI,
            http=HTTPModes.http1,
            http1_settings=HTTP1Settings(header_read_timeout=HEADER_MILLISECONDS, max_buffer_size=65_536),
            websockets=False,
            backlog=CONNECTIONS,
            backpressure=CONNECTIONS,
            log_enabled=False,
        )
        self._inherited = fd

    def _init_shared_socket(self) -> None:
        # The stub of this private class does not know its constructor.
        holder: Any = SocketHolder
        vars(self).update(_ssp=None, _shd=holder(self._inherited, False, CONNECTIONS), _sfd=self._inherited)


class Bridge:
    """RSGI on one side, the WSGI application on the other."""

    def __init__(self, worker: Worker, feed: events.Feed) -> None:
        self._worker = worker
        self._feed = feed
        self._app = app.make_app(worker)
        self._guard = security.Guard(worker.settings.server, worker.home.token)

    async def __call__(self, scope: Any, protocol: Any) -> None:
        """Answer one request, whatever happens."""
        started = time.perf_counter()
        environ = _environ(scope)
        try:
            if environ["PATH_INFO"] == "/events" and "text/event-stream" in environ.get("HTTP_ACCEPT", ""):
                await self._stream(environ, protocol)
                return
            if environ["REQUEST_METHOD"] == "POST":
                environ["wsgi.input"] = io.BytesIO(await self._body(environ, protocol))
            inline = environ["PATH_INFO"] in app.INLINE
            status, headers, body = self._ask(environ) if inline else await asyncio.to_thread(self._ask, environ)
        except Problem as problem:
            status, headers, body = problem.status_code, REFUSED, problem.body
        except Exception:  # noqa: BLE001 - the client gets an answer, the log the reason
            _log.exception("%s %s failed.", environ["REQUEST_METHOD"], environ["PATH_INFO"])
            status, headers, body = (
                500,
                REFUSED,
                document(500, "Something went wrong inside.", hint="The log has the details."),
            )
        protocol.response_bytes(status, headers, body)
        matched = environ.get("bottle.route")
        self._worker.counters.count(matched.rule if matched else app.UNMATCHED, status, time.perf_counter() - started)

    def _ask(self, environ: dict[str, Any]) -> tuple[int, Headers, bytes]:
        answer: list[Any] = []
        body = self._app(environ, lambda status, headers, exc_info=None: answer.extend((int(status[:3]), headers)))
        return answer[0], answer[1], b"".join(body)

    async def _body(self, environ: dict[str, Any], protocol: Any) -> bytes:
        limits = self._worker.settings.server
        # The server has checked that Content-Length is a number; a chunked body has none.
        if int(environ.get("CONTENT_LENGTH", 0)) > limits.max_body_bytes:
            raise _too_large(limits.max_body_bytes)
        body = bytearray()
        try:
            async with asyncio.timeout(limits.body_seconds):
                async for chunk in protocol:
                    body += chunk
                    if len(body) > limits.max_body_bytes:
                        raise _too_large(limits.max_body_bytes)
        except TimeoutError:
            raise Problem(408, f"The body did not arrive within {limits.body_seconds:g} s.") from None
        return bytes(body)

    async def _stream(self, environ: dict[str, Any], protocol: Any) -> None:
        self._guard.host(environ)
        if self._feed.streams >= events.STREAMS:
            raise Problem(
                503, f"{events.STREAMS} listeners are connected already.", hint="GET /events without a stream."
            )
        headers = [
            ("Content-Type", "text/event-stream"),
            ("X-Accel-Buffering", "no"),
            *security.HEADERS,
            security.NO_STORE,
        ]
        given = environ.get("HTTP_LAST_EVENT_ID", "")
        texts = self._feed.follow(int(given) if given.isascii() and given.isdecimal() and len(given) < 16 else None)
        transport = protocol.response_stream(200, headers)
        sending = asyncio.ensure_future(_send(transport, texts))
        gone = asyncio.ensure_future(protocol.client_disconnect())
        await asyncio.wait({sending, gone}, return_when=asyncio.FIRST_COMPLETED)
        for task in (sending, gone):
            task.cancel()
        await asyncio.gather(sending, gone, return_exceptions=True)
        self._worker.counters.count("/events", 200, 0.0)


async def _send(transport: Any, texts: Any) -> None:
    async with contextlib.aclosing(texts):
        async for text in texts:
            async with asyncio.timeout(SEND_SECONDS):
                await transport.send_str(text)


def _too_large(limit: int) -> Problem:
    return Problem(413, f"The body is larger than {limit} bytes.", hint="Drop large files into the inbox instead.")


def _environ(scope: Any) -> dict[str, Any]:
    """The WSGI environment of a request without its body; text as WSGI wants it: bytes in Latin-1 clothing."""
    path = scope.path
    environ = {
        "REQUEST_METHOD": scope.method,
        "SCRIPT_NAME": "",
        "PATH_INFO": path if path.isascii() else path.encode().decode("latin-1"),
        "QUERY_STRING": scope.query_string,
        "SERVER_NAME": "retraind",
        "SERVER_PORT": "0",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": scope.client.rpartition(":")[0],
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
    }
    for name, value in scope.headers.items():
        key = "HTTP_" + name.upper().replace("-", "_")
        if key in ("HTTP_CONTENT_TYPE", "HTTP_CONTENT_LENGTH"):
            key = key[5:]
        environ[key] = f"{environ[key]},{value}" if key in environ else value
    return environ


async def serve(worker: Worker, fd: int) -> None:
    """Answer on the listening socket `fd` until SIGTERM, then finish what is in flight."""
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    feed = events.Feed(worker)
    listener = Listener(Bridge(worker, feed), fd)
    serving = asyncio.create_task(listener.serve())
    helpers = [asyncio.create_task(_publish(worker)), asyncio.create_task(_restarting(feed.run))]
    waiting = asyncio.create_task(stopped.wait())
    await asyncio.wait({serving, waiting}, return_when=asyncio.FIRST_COMPLETED)
    if serving.done():
        raise RetraindError("The HTTP server ended by itself.")
    worker.draining = True
    feed.wake()
    stop: Callable[[], None] = listener.stop
    stop()
    _, pending = await asyncio.wait({serving}, timeout=worker.settings.server.drain_seconds)
    for helper in helpers:
        helper.cancel()
    worker.log.close()
    if pending:
        _log.warning("Some requests did not end within %g s.", worker.settings.server.drain_seconds)
        # A thread that hangs in the kernel would keep an orderly exit waiting for ever.
        os._exit(Exit.OK)


async def _publish(worker: Worker) -> None:
    """Write the snapshot about once a second, and at once when another version is served."""
    problem, swaps, due = "", -1, 0.0
    while True:
        if worker.slot.swaps != swaps or time.monotonic() >= due:
            swaps, due = worker.slot.swaps, time.monotonic() + PUBLISH_SECONDS
            try:
                await asyncio.to_thread(worker.counters.publish, worker.snapshot())
                problem = ""
            except OSError as error:
                if str(error) != problem:
                    _log.error("The counters can't be written: %s", error)
                problem = str(error)
        await asyncio.sleep(0.05)


async def _restarting(run: Any) -> None:
    while True:
        try:
            await run()
        except (OSError, sqlite3.Error):
            _log.exception("The events can't be read; trying again.")
            await asyncio.sleep(PUBLISH_SECONDS)


class JsonLines(logging.Formatter):
    """One JSON object per log record."""

    def format(self, record: logging.LogRecord) -> str:
        """The record's line."""
        line = {"timestamp": self.formatTime(record), "level": record.levelname.lower(), "event": record.getMessage()}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return orjson.dumps({**line, "logger": record.name, "pid": record.process}).decode()


def _configure_log(wanted: settings.Log) -> None:
    handler = logging.StreamHandler()
    text = wanted.format == "text" or (wanted.format == "auto" and sys.stderr.isatty())
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s") if text else JsonLines())
    logging.basicConfig(level=wanted.level.upper(), handlers=[handler])


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m web.server", description=__doc__, epilog="Started by the daemon.")
    parser.add_argument("--home", type=Path, required=True, help="home folder")
    parser.add_argument("--slot", type=int, required=True, help="number of this worker, from 0")
    parser.add_argument("--fd", type=int, required=True, help="descriptor of the listening socket, inherited")
    parser.add_argument("--settings", help="settings as JSON; default: retraind.toml of the home folder")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    """Run one worker until SIGTERM; returns the exit code."""
    options = _parse(arguments)
    home = Home(options.home.resolve())
    chosen = Settings.model_validate_json(options.settings) if options.settings else settings.load(home.settings)
    _configure_log(chosen.log)
    lock = durable.try_lock(home.workers / f"{options.slot}-{os.getpid()}.lock")
    if lock is None:
        _log.error("Another process holds the lock of this worker.")
        return Exit.ALREADY_RUNNING
    worker = Worker(home, chosen, options.slot)
    follower = Follower(home, worker.slot)
    follower.start()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    # A thread that computes gives the interpreter back after this time, so that a prediction does not wait for a page.
    sys.setswitchinterval(0.0005)
    gc.freeze()
    uvloop.run(serve(worker, options.fd))
    follower.stop()
    (home.workers / f"{options.slot}-{os.getpid()}.lock").unlink(missing_ok=True)
    return Exit.OK


if __name__ == "__main__":
    sys.exit(main())
