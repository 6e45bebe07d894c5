"""Requests as raw bytes, and the answers to them; a test module makes a fixture of `good_client`."""

import contextlib
import json
import re
import socket
from collections.abc import Iterator
from typing import Any, NamedTuple

from sites import PREDICTION, Site

BODY = json.dumps(PREDICTION).encode()
POST = b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
GET = b"GET /livez HTTP/1.1\r\nHost: localhost\r\n"
NEXT = b"GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n"
WHOLE = POST + b"Content-Length: %d\r\n\r\n%s" % (len(BODY), BODY)


class Answer(NamedTuple):
    """One answer of a connection; `body` is JSON where there is one."""

    status: int
    headers: dict[str, str]
    body: Any


def good_client(site: Site) -> Iterator[None]:
    """Whatever a test sends, the next client is answered and the worker has noticed nothing."""
    yield
    assert site.post("/predict", PREDICTION)[0] == 200
    assert "Traceback" not in site.log
    assert "panicked" not in site.log


def talk(site: Site, data: bytes, *, ends: bool = False) -> tuple[list[Answer], bool]:
    """Send bytes (and perhaps no more after them); returns all answers, and whether the connection was closed."""
    received, closed = b"", False
    with socket.create_connection(("127.0.0.1", site.port), timeout=0.5) as connection:
        with contextlib.suppress(OSError):  # it may be closed before all is sent
            connection.sendall(data)
            if ends:
                connection.shutdown(socket.SHUT_WR)
        with contextlib.suppress(TimeoutError, ConnectionResetError):
            while part := connection.recv(65_536):
                received += part
            closed = True
    return list(answers(received)), closed


def answers(data: bytes) -> Iterator[Answer]:
    """The answers in a stream of bytes, which must hold nothing else."""
    while data:
        head, _, data = data.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        match = re.fullmatch(r"HTTP/1\.[01] (\d{3}) .*", first)
        assert match, first
        headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
        length = int(headers.get("content-length", 0))
        text, data = data[:length], data[length:]
        yield Answer(int(match[1]), headers, json.loads(text) if text else None)
