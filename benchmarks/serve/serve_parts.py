"""Where the microseconds of one prediction go: the parts in the worker's process, and what server and kernel take around them.

In a process that answers without a server, each part in turn is replaced by its finished result. The difference is what the part
costs among all others: more than alone, because all share the processor's caches. The CPU time of a real worker under load shows the rest.
"""

import asyncio
import os
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from benchmarks.serve import serve_site, serve_wrk
from retraind.daemon.core.home import Home
from retraind.daemon.core.settings import Settings
from retraind.web.api import predict as endpoint
from retraind.web.api.event_stream import Feed
from retraind.web.auth.access import CALLER, LOCAL, Access
from retraind.web.http import payload, reply
from retraind.web.http.reply import Reply
from retraind.web.http.wsgi_environ import environ_of
from retraind.web.metrics.counters import Counters
from retraind.web.server import bridge
from retraind.web.server.bridge import Bridge
from retraind.web.serving import inputs
from retraind.web.serving.answered import AnsweredRow
from retraind.web.serving.prediction_log import PredictionLog
from retraind.web.serving.predictor import Follower, Predictor
from retraind.web.worker_state import Worker

COLUMNS = ("µs of CPU for one prediction", "logistic", "forest", "an empty route")
SAMPLES, AT_ONCE = 2000, 4
"""So many times so many requests are timed; the fastest counts, because others use the machine too."""

REST = "everything else in the process"
AROUND = "Granian, the kernel, waking threads"


class Scope:
    """What Granian says of a request that `wrk` would send."""

    path, method, query_string, http_version = "/predict", "POST", "", "1.1"
    client, authority = "127.0.0.1:5000", None

    def __init__(self, length: int) -> None:
        self.headers = {
            "host": "127.0.0.1:5000",
            "content-type": "application/json",
            "content-length": str(length),
        }


class Exchange:
    """A request as Granian hands it over, and its body, which is there as soon as it is asked for."""

    def __init__(self, body: bytes) -> None:
        self.scope, self.proto = Scope(len(body)), self
        self._body = body
        self.answer: tuple[int, list[tuple[str, str]], bytes] | None = None
        self.arrived: Callable[[Any], None] | None = None

    def __call__(self) -> "Exchange":
        """The future of the body."""
        return self

    def add_done_callback(self, callback: Callable[[Any], None]) -> None:
        """Keep what is to be called when the body has come."""
        self.arrived = callback

    def result(self) -> bytes:
        """The body."""
        return self._body

    def response_bytes(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        """Take the answer."""
        self.answer = status, headers, body


class Part(NamedTuple):
    """A name for people, and where its result stands in."""

    name: str
    owner: Any
    attribute: str
    instead: Any


def measure(homes: dict[str, Home], row: list[float], seconds: float) -> list[list[str]]:
    """Rows of COLUMNS, which add up."""
    parts = {name: asyncio.run(_parts(home, row)) for name, home in homes.items()}
    served = {name: _served(home, row, serve_site.WORKER, seconds) for name, home in homes.items()}
    empty = _served(homes["forest"], row, serve_site.EMPTY, seconds)
    names = [*parts["forest"], AROUND, "a worker's CPU, all of it"]
    figures = {
        name: [*costs.values(), served[name] - sum(costs.values()), served[name]] for name, costs in parts.items()
    }
    return [
        [
            title,
            f"{figures['logistic'][place]:.1f}",
            f"{figures['forest'][place]:.1f}",
            f"{empty:.1f}" if place == len(names) - 1 else "",
        ]
        for place, title in enumerate(names)
    ]


async def _parts(home: Home, row: list[float]) -> dict[str, float]:
    """The parts in the process, in µs, and the rest of it."""
    worker = Worker(home, Settings(), 0)
    Follower(home, worker.slot).look()
    handler, body = Bridge(worker, Feed(worker)), orjson.dumps({"features": row})
    costs, wholes = {}, []
    for part in _replaceable(worker, handler, body):
        wholes.append(_fastest(handler, body))  # in turns, because the machine's speed changes
        with _replaced(part):
            costs[part.name] = wholes[-1] - _fastest(handler, body)
    worker.log.close()
    return {**costs, REST: statistics.median(wholes) - sum(costs.values())}


def _replaceable(worker: Worker, handler: Bridge, body: bytes) -> list[Part]:
    chosen = worker.slot.current
    assert chosen is not None
    environ, document = environ_of(Scope(len(body))), payload.value(body)
    rows = inputs.from_rows(chosen.schema, [document["features"]])
    shares = chosen.answer(rows)
    answered = _answer(handler, body).answer
    assert answered is not None
    route = handler._app.match(environ)[0].callback
    return [
        Part("the request as WSGI's dictionary", bridge, "environ_of", lambda *_: dict(environ)),
        Part("who sends it", Access, "recognise", _recognised),
        Part("waiting for the body", handler.bodies, "expect", partial(_at_once, body)),
        Part("route and checks", handler._app, "answer", partial(_unchecked, route)),
        Part("JSON of the request", payload, "value", lambda _: document),
        Part("row to numbers", inputs, "from_rows", lambda *_: rows),
        Part("the model", Predictor, "answer", lambda *_: shares),
        Part("a line of the log", AnsweredRow, "line", lambda *_: b"\n"),
        Part("writing it", PredictionLog, "append", lambda *_: None),
        Part("counting predictions", Counters, "predicted", lambda *_: None),
        Part("JSON of the answer", reply, "of", lambda *_: Reply(answered[2])),
        Part("counting requests", Counters, "count", lambda *_, **__: None),
    ]


def _recognised(_access: Access, environ: dict[str, Any]) -> Any:
    environ[CALLER] = LOCAL
    return LOCAL


def _at_once(body: bytes, _length: int, _protocol: Any, then: Callable[[bytes], object]) -> None:
    then(body)


def _unchecked(route: Any, environ: dict[str, Any]) -> Any:
    made = endpoint.predict(route._worker, environ)
    return made.status, list(made.headers.items()), made.body


@contextmanager
def _replaced(part: Part) -> Iterator[None]:
    kept = vars(part.owner).get(part.attribute, part)
    setattr(part.owner, part.attribute, part.instead)
    try:
        yield
    finally:
        if kept is part:
            delattr(part.owner, part.attribute)
        else:
            setattr(part.owner, part.attribute, kept)


def _answer(handler: Bridge, body: bytes) -> Exchange:
    exchange = Exchange(body)
    handler.begin(exchange)
    if exchange.arrived is not None:
        exchange.arrived(exchange)
    return exchange


def _fastest(handler: Bridge, body: bytes) -> float:
    """µs for one request."""
    best = float("inf")
    for _ in range(SAMPLES):
        started = time.perf_counter()
        for _ in range(AT_ONCE):
            _answer(handler, body)
        best = min(best, time.perf_counter() - started)
    return best / AT_ONCE * 1e6


def _served(home: Home, row: list[float], module: str, seconds: float) -> float:
    """µs of CPU that a worker takes for one request of a closed loop."""
    with serve_site.running(home, row, module) as site:
        serve_wrk.ask(site.port, {"features": row}, 1)
        before = _cpu(site.pid)
        closed = serve_wrk.ask(site.port, {"features": row}, seconds)
        return (_cpu(site.pid) - before) / (closed.rate * (serve_wrk.WARM_SECONDS + max(1, round(seconds)))) * 1e6


def _cpu(pid: int) -> float:
    """Seconds of CPU that a process has used."""
    ticks = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    return sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK")
