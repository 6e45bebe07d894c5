"""retraind.daemon.objects.quick_gets, with servers that answer in ways of their own."""

import http.server
import threading
import time
from collections.abc import Iterator
from contextlib import closing

import pytest

from retraind.daemon.objects.quick_gets import QuickGets

BODY = b"rows " * 300


class Apart(http.server.BaseHTTPRequestHandler):
    """Sends head and body in two packets, the second one only after the first was acknowledged (Nagle's algorithm)."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(BODY)))
        self.end_headers()
        self.wfile.write(BODY)

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture
def address() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Apart) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/bucket/"
        server.shutdown()
        thread.join()


def test_answer_in_two_packets_is_not_held_back(address: str) -> None:
    """Ceph's gateway answers so: without an acknowledgement at once, each GET would take 40 ms more."""
    with closing(QuickGets(address, lambda _: {}, 10.0, None)) as gets:
        seconds = [seconds_of(gets) for _ in range(40)]
    assert sorted(seconds)[30] < 0.03


def seconds_of(gets: QuickGets) -> float:
    began = time.monotonic()
    with gets.get("name") as answer:
        assert answer is not None
        assert answer.read() == BODY
    return time.monotonic() - began
