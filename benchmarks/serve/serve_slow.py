"""Slow clients: heads and bodies that trickle in, and connections that do nothing; what a good client feels of them."""

import multiprocessing
import select
import socket
import threading
import time
from contextlib import suppress
from typing import Any

from benchmarks.figures import percentile, ratio
from benchmarks.load import Load, Outcome
from benchmarks.serve import serve_site
from retraind.daemon.core.home import Home

HEADS, BODIES, IDLE = 1000, 200, 1000
COLUMNS = ("clients beside", "answered", "failed", "p50, ms", "p99, ms", "sent late, p99", "p99 / without", "target")

HEAD = b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
BODY = HEAD + b"Content-Length: 60\r\n\r\n"
TRICKLE = b"X-A: a\r\n"


class Slow:
    """Connections, each of which sends one byte a second of what it never ends; one that is closed is opened again."""

    def __init__(self, port: int, starts: list[bytes]) -> None:
        self._port, self._starts = port, starts
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._trickle, name="slow clients")
        self._open: dict[int, tuple[socket.socket, bytes]] = {}
        self.closed = 0
        """Connections that the server has given up."""

    def start(self) -> None:
        """Connect all, then trickle."""
        for start in self._starts:
            self._connect(start)
        self._thread.start()

    def stop(self) -> None:
        """Close all."""
        self._ended.set()
        self._thread.join()
        for connection, _ in self._open.values():
            connection.close()

    def _connect(self, start: bytes) -> None:
        connection = socket.create_connection(("127.0.0.1", self._port))
        connection.sendall(start)
        self._open[connection.fileno()] = connection, start

    def _trickle(self) -> None:
        while not self._ended.is_set():
            # A tenth of them each time, so that they don't all send at the same moment.
            for number in range(10):
                self._renew()
                for connection, start in list(self._open.values())[number::10]:
                    if start:
                        self._send(connection)
                self._ended.wait(0.1)

    def _send(self, connection: socket.socket) -> None:
        with suppress(OSError):  # closed by the server, which `_renew` sees
            connection.send(b"a")

    def _renew(self) -> None:
        poll = select.poll()
        for number in self._open:
            poll.register(number, select.POLLIN)
        for number, _ in poll.poll(0):
            connection, start = self._open.pop(number)
            connection.close()
            self.closed += 1
            self._connect(start)


def _be_slow(port: int, pipe: Any) -> None:
    """All slow clients until the other end of the pipe says something; then tells how many were given up."""
    clients = Slow(port, [HEAD + TRICKLE + b"X-B: "] * HEADS + [BODY] * BODIES + [b""] * IDLE)
    clients.start()
    pipe.send("connected")
    pipe.recv()
    clients.stop()
    pipe.send(clients.closed)


def measure(home: Home, row: list[float], rate: int, seconds: float) -> list[list[str]]:
    """Rows of the table: the same rate without and with the slow clients."""
    with serve_site.running(home, row) as site:
        before = _load(site.port, rate, seconds, row)
        # In a process of their own: they must not take time from the good client.
        context = multiprocessing.get_context("spawn")
        near, far = context.Pipe()
        process = context.Process(target=_be_slow, args=(site.port, far), daemon=True)
        process.start()
        near.recv()
        beside = _load(site.port, rate, seconds, row)
        near.send("enough")
        given_up = near.recv()
        process.join()
    base = percentile([one.seconds for one in before.answers], 0.99)
    title = f"{HEADS} heads, {BODIES} bodies, {IDLE} idle ({given_up} given up meanwhile)"
    return [_row("none", before, base, ""), _row(title, beside, base, "<= 2x")]


def _load(port: int, rate: int, seconds: float, row: list[float]) -> Outcome:
    load = Load(port, rate, row=row)
    load.start()
    time.sleep(seconds)
    return load.stop()


def _row(told: str, outcome: Outcome, base: float, target: str) -> list[str]:
    times = [one.seconds for one in outcome.answers]
    p50, p99 = percentile(times, 0.5), percentile(times, 0.99)
    late = percentile(outcome.late, 0.99)
    counts = [str(len(outcome.answers)), str(outcome.failed.total())]
    figures = [f"{value * 1000:.2f}" for value in (p50, p99, late)]
    return [told, *counts, *figures, ratio(p99, base) if target else "", target]
