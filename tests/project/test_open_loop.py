"""benchmarks.serve.serve_open: the sender in C counts what a closed loop would leave out."""

import resource
import socketserver
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.serve import serve_open

ROW = [5.1, 3.5, 1.4, 0.2]
pytestmark = pytest.mark.skipif(serve_open.missing() is not None, reason="no C compiler")


class Stalling(socketserver.BaseRequestHandler):
    """Answers what comes on a connection; once the server stalls, no connection gets an answer for a while."""

    stalled_from, stall = 0.0, 0.4
    status = b"200 OK"

    def handle(self) -> None:
        while self.request.recv(65536):
            since = time.monotonic() - self.stalled_from
            if 0 < since < self.stall:
                time.sleep(self.stall - since)
            self.request.sendall(b"HTTP/1.1 %b\r\nContent-Length: 2\r\n\r\n{}" % self.status)


class Server(socketserver.ThreadingTCPServer):
    """Takes all connections of the sender at once."""

    daemon_threads, request_queue_size = True, 512


@contextmanager
def serving(handler: type[Stalling]) -> Iterator[int]:
    """The port of a server that answers by `handler`."""
    with Server(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


def test_a_stall_is_charged_to_every_request_that_was_due_in_it(tmp_path: Path) -> None:
    program = serve_open.compiled(tmp_path)
    with serving(Stalling) as port:
        Stalling.stalled_from = time.monotonic() + 0.6
        load = serve_open.ask(program, port, ROW, 200, 2)
    assert (load.answered, load.failed) == (400, 0)
    assert load.raw.p50 < 100
    assert 250 < load.raw.p99 <= load.raw.most
    assert load.net.most <= load.raw.most
    assert {len(line) for line in serve_open.rows("forest", load)} == {len(serve_open.COLUMNS)}
    assert len(serve_open.pause_row("forest", load)) == len(serve_open.PAUSE_COLUMNS)


class Refusing(Stalling):
    """Answers with a problem."""

    status = b"503 Service Unavailable"


def test_other_answers_than_200_have_failed(tmp_path: Path) -> None:
    with serving(Refusing) as port:
        load = serve_open.ask(serve_open.compiled(tmp_path), port, ROW, 100, 0.5)
    assert (load.answered, load.failed) == (0, 50)


class Overloaded(Stalling):
    """Answers nothing for so long that all connections of the sender are busy."""

    stall = 3.5


def test_a_sender_without_a_free_connection_leaves_the_core_to_the_server(tmp_path: Path) -> None:
    program = serve_open.compiled(tmp_path)
    with serving(Overloaded) as port:
        Overloaded.stalled_from = time.monotonic()
        before = _seconds_of_children()
        load = serve_open.ask(program, port, ROW, 1000, 1)
    assert (load.answered, load.failed) == (1000, 0)
    # A sender that spins uses its core for the three seconds without a connection; one that waits, a tenth of that.
    assert _seconds_of_children() - before < 2, "it spins while it waits"


def test_pauses_are_subtracted_only_if_our_own_work_can_be_none_of_them(tmp_path: Path) -> None:
    with serving(Stalling) as port:
        load = serve_open.ask(serve_open.compiled(tmp_path), port, ROW, 100, 0.2)
    names = [[line[0] for line in serve_open.rows("forest", replace(load, realtime=first))] for first in (True, False)]
    assert names == [["forest", "forest, without pauses"], ["forest"]]


def _seconds_of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
