"""retraind.web.server.granian and retraind.web.server.bodies: requests answered in the thread that brings them, with a real Granian."""

import asyncio
import gc
import http.client
import re
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

from retraind.daemon.core.settings import Server
from retraind.web.http.problems import Problem
from retraind.web.server import granian
from retraind.web.server.bodies import Arrival, Bodies, BodyOrProblem


class Echo:
    """Begins requests as the bridge does, in the simplest way: `/broken` fails, a body comes back with the thread's number."""

    def __init__(self) -> None:
        self.bodies = Bodies(Server(body_seconds=1.0))
        self.threads: set[int] = set()

    def begin(self, handed: Any) -> None:
        """One request."""
        if handed.scope.path == "/broken":
            raise ValueError("broken")
        self.threads.add(threading.get_ident())
        self.bodies.expect(
            int(handed.scope.headers["content-length"]), handed.proto, lambda body: self.send(handed, body)
        )

    def send(self, handed: Any, body: BodyOrProblem) -> None:
        """Answer."""
        self.threads.add(threading.get_ident())
        handed.proto.response_bytes(
            *((200, [], body) if isinstance(body, bytes) else (body.status_code, [], body.body))
        )


@pytest.fixture
def echo() -> Iterator[tuple[Echo, int]]:
    """A server of its own, and its port."""
    ready: Future[Any] = Future()
    echo = Echo()

    async def main() -> None:
        listening = socket.create_server(("127.0.0.1", 0))
        port = listening.getsockname()[1]
        listener = granian.Listener(echo, listening.detach())  # Granian closes it
        ready.set_result((asyncio.get_running_loop(), listener, port))
        watching = asyncio.create_task(echo.bodies.watch())
        await listener.serve(granian.spawn)
        watching.cancel()

    thread = threading.Thread(target=lambda: granian.run(main()))
    thread.start()
    loop, listener, port = ready.result(10)
    yield echo, port
    loop.call_soon_threadsafe(listener.stop)
    thread.join(10)
    assert not thread.is_alive()


def post(port: int, path: str, body: bytes) -> tuple[int, bytes]:
    """Status and body of an answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("POST", path, body)
    answer = connection.getresponse()
    received = answer.status, answer.read()
    connection.close()
    return received


def test_one_thread_takes_requests_over_and_answers_them(echo: tuple[Echo, int]) -> None:
    """Also when there are many at once: no other thread waits for the interpreter."""
    server, port = echo
    asking = [threading.Thread(target=post, args=(port, "/", b"x" * size)) for size in range(1, 60)]
    for thread in asking:
        thread.start()
    for thread in asking:
        thread.join()
    assert post(port, "/", b"hello") == (200, b"hello")
    assert len(server.threads) == 1
    assert server.threads.isdisjoint({thread.ident for thread in threading.enumerate()})


def test_what_fails_before_an_answer_hurts_no_other_request(
    echo: tuple[Echo, int], caplog: pytest.LogCaptureFixture
) -> None:
    """Granian itself would neither report nor clear the exception."""
    _, port = echo
    for _ in range(3):
        assert post(port, "/broken", b"x")[0] == 500
        assert post(port, "/", b"x") == (200, b"x")
    assert [record.exc_text for record in caplog.records if "could be answered" in record.message]


def test_a_slow_body_is_given_up_and_may_still_come(echo: tuple[Echo, int]) -> None:
    """It was answered, so it is not answered again."""
    server, port = echo
    with socket.create_connection(("127.0.0.1", port), timeout=10) as slow:
        slow.sendall(b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\n\r\nab")
        assert b" 408 " in slow.recv(65_536)
        slow.sendall(b"cd")
        assert post(port, "/", b"hello") == (200, b"hello")
    assert not server.bodies._expected


def test_nothing_is_left_of_a_request(echo: tuple[Echo, int]) -> None:
    """Granian's future knows who waits for it, in memory that no garbage collection looks into."""
    _, port = echo
    for _ in range(20):
        assert post(port, "/", b"hello") == (200, b"hello")
    gc.collect()
    assert not [thing for thing in gc.get_objects() if isinstance(thing, Arrival)]


def test_of_two_who_tell_the_first_is_heard() -> None:
    """The body may arrive in the moment in which it is given up, in another thread."""
    outcomes: list[BodyOrProblem] = []
    expected: dict[Arrival, Any] = {}
    arrival = Arrival(expected, 4, None, 0.0)
    expected[arrival] = outcomes.append
    both = [threading.Thread(target=arrival.deliver, args=(found,)) for found in (b"body", Problem(408, "late"))]
    for thread in both:
        thread.start()
    for thread in both:
        thread.join()
    assert len(outcomes) == 1


def test_only_one_module_knows_granian() -> None:
    """Its private classes may change with any release: then one module has to follow, which the tests above hold to account."""
    root = Path(__file__).parent.parent.parent / "web"
    pattern = re.compile(r"^\s*(?:from|import) granian\b", re.MULTILINE)
    assert [path.name for path in root.rglob("*.py") if pattern.search(path.read_text())] == ["granian.py"]
