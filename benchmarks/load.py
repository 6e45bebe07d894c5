"""An open-loop load: predictions (or GETs of one path) at a fixed rate, whether the answers come or not.

Two threads and raw keep-alive connections: one sends each request at its moment on whichever connection is free, the
other takes the answers. Latency counts from the moment a request was due, so a stall is charged to all it delays.
"""

import itertools
import math
import re
import select
import socket
import threading
import time
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field

import orjson

from benchmarks.harness import ROW

OPENED, MOST = 32, 512
"""Connections at the start, and at most: a request that would need one more is not sent, and counts as failed."""

PREDICT = "/predict"

PATIENCE = 10.0
"""Seconds after the last request during which answers are awaited."""

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_NAMED = re.compile(rb"\r\nx-model-version: *(\d+)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer with status 200: when its request was due (wall clock), how long it took from then, which version.

    The version of what is no prediction is 0.
    """

    due: float
    seconds: float
    version: int


@dataclass
class Outcome:
    """What came of a load; `failed` maps what went wrong to how often, `unclear` counts answers without one version."""

    sent: int = 0
    seconds: float = 0.0
    late: list[float] = field(default_factory=list)
    """Seconds by which each request left later than it was due: the share of the latency that is the sender's."""
    answers: list[Answer] = field(default_factory=list)
    failed: Counter[str] = field(default_factory=Counter)
    unclear: int = 0
    told: dict[int, set[bytes]] = field(default_factory=dict)
    """The distinct probabilities by version: the row is always the same, so a second one for a version is of another."""

    @property
    def mixed(self) -> int:
        """Versions in whose name more than one model has answered."""
        return sum(len(told) > 1 for told in self.told.values())

    def gap(self, since: float = 0.0, until: float = math.inf) -> float:
        """The longest time (seconds) without an answer, of what was due from `since` to `until` (wall clock)."""
        came = sorted(one.due + one.seconds for one in self.answers if since <= one.due <= until)
        return max((later - sooner for sooner, later in itertools.pairwise(came)), default=0.0)


@dataclass
class _Connection:
    socket: socket.socket
    due: float = 0.0
    received: bytes = b""
    waiting: bool = False
    closed: bool = False


class Load:
    """Sends `rate` requests a second to 127.0.0.1 from `start` until `stop`: predictions of `row`, or GETs of another `path`."""

    def __init__(self, port: int, rate: int, path: str = PREDICT, row: Sequence[float] = ROW) -> None:
        self._port, self._rate, self._predicts = port, rate, path == PREDICT
        self._request = _prediction(port, row) if self._predicts else _get(port, path)
        self._poll = select.epoll()
        self._connections: dict[int, _Connection] = {}
        self._free: deque[_Connection] = deque()
        self._ending = threading.Event()
        self._sender = threading.Thread(target=self._send_all, name="sender")
        self._receiver = threading.Thread(target=self._receive_all, name="receiver")
        self._outcome = Outcome()
        self._came: list[tuple[float, float, bytes, bytes]] = []
        self._wall = time.time() - time.perf_counter()

    def start(self) -> None:
        """Open the first connections and begin."""
        self._free.extend(self._connect() for _ in range(OPENED))
        self._receiver.start()
        self._sender.start()

    def stop(self) -> Outcome:
        """Send no more, await what is in flight, close; what has not been answered by then has failed."""
        self._ending.set()
        self._sender.join()
        self._receiver.join()
        for connection in self._connections.values():
            self._outcome.failed["no answer"] += connection.waiting
            connection.socket.close()
        self._poll.close()
        for came in self._came:
            self._judge(*came)
        return self._outcome

    # The sending thread

    def _send_all(self) -> None:
        started = time.perf_counter()
        while not self._ending.is_set():
            due = started + self._outcome.sent / self._rate
            pause = due - time.perf_counter()
            if pause > 0:
                time.sleep(pause)
            self._outcome.sent += 1
            self._outcome.late.append(time.perf_counter() - due)
            self._send(due)
        self._outcome.seconds = time.perf_counter() - started

    def _send(self, due: float) -> None:
        try:
            connection = self._take()
        except OSError as error:
            self._outcome.failed[f"connect: {error.strerror or error}"] += 1
            return
        if connection is None:
            self._outcome.failed[f"{MOST} requests are in flight"] += 1
            return
        connection.due, connection.received, connection.waiting = due, b"", True
        try:
            connection.socket.sendall(self._request)
        except OSError as error:
            self._drop(connection, f"send: {error.strerror or error}")

    def _take(self) -> _Connection | None:
        while self._free:
            connection = self._free.popleft()
            if not connection.closed:
                return connection
        return self._connect() if len(self._connections) < MOST else None

    def _connect(self) -> _Connection:
        connection = _Connection(socket.create_connection(("127.0.0.1", self._port), timeout=PATIENCE))
        connection.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._connections[connection.socket.fileno()] = connection
        self._poll.register(connection.socket, select.EPOLLIN)
        return connection

    # The receiving thread

    def _receive_all(self) -> None:
        deadline = None
        while deadline is None or time.monotonic() < deadline:
            for number, _ in self._poll.poll(0.1):
                self._receive(self._connections[number])
            if deadline is None and not self._sender.is_alive():
                deadline = time.monotonic() + PATIENCE
            if deadline and not any(connection.waiting for connection in self._connections.values()):
                return

    def _receive(self, connection: _Connection) -> None:
        try:
            data = connection.socket.recv(65536)
        except OSError as error:
            self._drop(connection, f"receive: {error.strerror or error}")
            return
        if not data:
            self._drop(connection, "closed by the server")
            return
        connection.received += data
        head, separator, body = connection.received.partition(b"\r\n\r\n")
        length = _LENGTH.search(head)
        if separator and length and len(body) >= int(length[1]):
            # Judged when all is over: meanwhile the sending thread needs the interpreter.
            self._came.append((connection.due, time.perf_counter() - connection.due, head, body))
            connection.waiting = False
            self._free.append(connection)

    def _judge(self, due: float, seconds: float, head: bytes, body: bytes) -> None:
        if (status := head[9:12]) != b"200":
            self._outcome.failed[f"status {status.decode()}"] += 1
            return
        if not self._predicts:
            self._outcome.answers.append(Answer(self._wall + due, seconds, 0))
            return
        answer = orjson.loads(body)
        version = answer.get("model_version")
        named = {int(number) for number in _NAMED.findall(head)} | {version}
        if len(named) != 1 or type(version) is not int or body.count(b'"model_version"') != 1:
            self._outcome.unclear += 1
            return
        self._outcome.told.setdefault(version, set()).add(orjson.dumps(answer["probabilities"]))
        self._outcome.answers.append(Answer(self._wall + due, seconds, version))

    def _drop(self, connection: _Connection, why: str) -> None:
        if not connection.closed:
            connection.closed = True
            self._outcome.failed[why] += connection.waiting
            connection.waiting = False
            self._poll.unregister(connection.socket)
            del self._connections[connection.socket.fileno()]
            connection.socket.close()


def _get(port: int, path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode()


def _prediction(port: int, row: Sequence[float]) -> bytes:
    body = orjson.dumps({"features": row})
    head = f"POST {PREDICT} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body
