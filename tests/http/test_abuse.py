"""HTTP as it must not be (rows H of docs/reliability.md), byte by byte over real sockets.

Each request gets a 4xx with a reason, or a closed connection where it is no HTTP at all; never a 500. Whatever stands behind
it on the same connection is either the next request or not answered, and the next client is served.
"""

import contextlib
import json
import re
import socket
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
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


@pytest.fixture(autouse=True)
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


def chunk(data: bytes) -> bytes:
    """A chunk of a body, with its length."""
    return b"%x\r\n%s\r\n" % (len(data), data)


# How long a body is: H5

SILENT = "by itself: the HTTP library closes without a reason"
LENGTHS = {
    "10 GB": (POST + b"Content-Length: 10000000000\r\n\r\n{", 413, "larger than"),
    "negative": (POST + b"Content-Length: -1\r\n\r\n" + BODY, 400, SILENT),
    "plus": (POST + b"Content-Length: +5\r\n\r\n" + BODY, 400, SILENT),
    "abc": (POST + b"Content-Length: abc\r\n\r\n" + BODY, 400, SILENT),
    "hexadecimal": (POST + b"Content-Length: 0x10\r\n\r\n" + BODY, 400, SILENT),
    "beyond 64 bits": (POST + b"Content-Length: 99999999999999999999999\r\n\r\n" + BODY, 400, SILENT),
    "empty": (POST + b"Content-Length: \r\n\r\n" + BODY, 400, SILENT),
    "a list": (POST + b"Content-Length: 2, 2\r\n\r\n{}", 400, SILENT),
    "two different": (POST + b"Content-Length: %d\r\nContent-Length: 3\r\n\r\n" % len(BODY) + BODY, 400, SILENT),
    "identity": (POST + b"Transfer-Encoding: identity\r\n\r\n" + BODY, 400, SILENT),
    "chunked is not last": (POST + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n", 400, SILENT),
    "another coding": (POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n" + chunk(BODY) + b"0\r\n\r\n", 400, "gzip"),
    "no number in a chunk": (POST + CHUNKED + b"zz\r\nhello\r\n0\r\n\r\n", 400, "broken"),
    "a broken chunk behind a whole body": (POST + CHUNKED + chunk(BODY) + b"zz\r\n", 400, "broken"),
    "a chunk beyond 64 bits": (POST + CHUNKED + b"fffffffffffffffff\r\n", 400, "broken"),
    "a chunk with a huge extension": (POST + CHUNKED + b"5;" + b"a" * 100_000 + b"\r\nhello\r\n", 400, "broken"),
    "a chunk with bare LF": (POST + CHUNKED + b"%x\n%s\n0\n\n" % (len(BODY), BODY), 400, "broken"),
    "trailers": (POST + CHUNKED + chunk(BODY) + b"0\r\nX: y\r\n\r\n", 400, "trailers"),
}


@pytest.mark.parametrize("name", LENGTHS)
def test_a_length_that_can_not_be_is_refused_and_ends_the_connection(site: Site, name: str) -> None:
    data, status, reason = LENGTHS[name]
    (answer,), closed = talk(site, data + NEXT)
    assert (answer.status, closed) == (status, True)
    assert answer.headers["connection"] == "close"
    assert answer.body is None if reason == SILENT else reason in answer.body["detail"]


@pytest.mark.parametrize("start", [b"Content-Length: 50\r\n\r\n" + BODY[:20], CHUNKED + chunk(BODY)])
def test_a_body_that_breaks_off_is_no_body(site: Site, start: bytes) -> None:
    """Not even if what came would be a whole one."""
    (answer,), closed = talk(site, POST + start, ends=True)
    assert (answer.status, closed) == (400, True)
    assert "ended" in answer.body["detail"]


def test_lengths_that_agree_and_extensions_are_taken(site: Site) -> None:
    twice = b"Content-Length: %d\r\n" % len(BODY)
    for data in (
        POST + twice + twice + b"\r\n" + BODY,
        POST + CHUNKED + b"%x;a=b\r\n%s\r\n0\r\n\r\n" % (len(BODY), BODY),
    ):
        answers, _ = talk(site, data + NEXT)
        assert [answer.status for answer in answers] == [200, 503], "no daemon runs here, so it is not ready"


def test_a_body_beyond_the_limit_is_refused_before_it_has_come(site: Site) -> None:
    """H6, and the million rows of H9; chunked ones in `test_server.py`."""
    limit = site.settings.server.max_body_bytes
    (answer,), _ = talk(site, POST + b"Content-Length: %d\r\n\r\n" % (limit + 1) + b"x" * 10)
    assert (answer.status, answer.headers["connection"]) == (413, "close")
    rows = b'{"instances":[' + b"[1,1,1,1]," * (limit // 10) + b"[1,1,1,1]]}"
    (answer,), _ = talk(site, POST + b"Content-Length: %d\r\n\r\n" % len(rows))
    assert (answer.status, answer.headers["connection"]) == (413, "close")


# What one server takes for the end of a request and another one does not (H11)

SMUGGLED = {
    "CL.TE": POST + b"Content-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "TE.CL": POST + b"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n" + chunk(BODY) + b"0\r\n\r\n",
    "TE.TE": POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n\r\n0\r\n\r\n",
    "TE.TE, cow": POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "TE with a space before the colon": POST + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
    "TE with a vertical tab": POST + b"Transfer-Encoding:\x0bchunked\r\n\r\n0\r\n\r\n",
    "TE folded": POST + b"Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n",
    "TE in HTTP/1.0": POST.replace(b"1.1", b"1.0") + CHUNKED + b"0\r\n\r\n",
    "obs-fold": GET + b"X: a\r\n b\r\n\r\n",
    "bare CR": GET + b"X: a\rContent-Length: 40\r\n\r\n",
    "NUL": GET + b"X: a\0b\r\n\r\n",
    "bare LF before a length": POST + b"X: a\nContent-Length: 999\r\nContent-Length: 2\r\n\r\n{}",
}


@pytest.mark.parametrize("name", SMUGGLED)
def test_nothing_is_smuggled(site: Site, name: str) -> None:
    """One answer at most, then the connection ends: what follows is taken neither for a request nor for a body."""
    answers, closed = talk(site, SMUGGLED[name] + NEXT)
    assert closed
    assert [answer.status for answer in answers] == [200 if name == "TE.CL" else 400]


def test_bare_lf_ends_a_line_as_crlf_does(site: Site) -> None:
    """RFC 9112, 2.2 allows it; the length that hides behind it counts."""
    answers, _ = talk(site, GET.replace(b"\r\n", b"\n") + b"X: a\nContent-Length: %d\n\n" % len(NEXT) + NEXT + NEXT)
    assert [answer.status for answer in answers] == [200, 503]


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (POST.replace(b"localhost", b"elsewhere") + b"Content-Length: %d\r\n\r\n" % len(NEXT) + NEXT, 421),
        (POST.replace(b"/predict", b"/nothing") + b"Content-Length: %d\r\n\r\n" % len(NEXT) + NEXT, 404),
    ],
)
def test_who_is_turned_away_at_the_gate_is_answered_once(site: Site, data: bytes, status: int) -> None:
    """The connection ends with it: neither the body of what was refused nor what comes behind it is a request."""
    answers, closed = talk(site, data + WHOLE + NEXT)
    assert [answer.status for answer in answers] == [status]
    assert closed


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (POST + b"Content-Length: 2\r\n\r\n{}", 422),
        (POST + b"Content-Length: 3\r\n\r\n{]}", 400),
        (POST.replace(b"json", b"soap") + b"Content-Length: 2\r\n\r\n{}", 415),
        (POST.replace(b"POST", b"DELETE") + b"Content-Length: %d\r\n\r\n" % len(NEXT) + NEXT, 405),
        (GET.replace(b"/livez", b"/versions/0") + b"Content-Length: %d\r\n\r\n" % len(NEXT) + NEXT, 404),
    ],
)
def test_after_an_error_the_next_request_is_the_next(site: Site, data: bytes, status: int) -> None:
    """The body of what was refused, a request in itself, is answered no second time."""
    answers, _ = talk(site, data + WHOLE + NEXT)
    assert [answer.status for answer in answers] == [status, 200, 503]
    assert answers[0].body["status"] == status


# What a head may be: H7 and H8

HEADS = {
    "a header of 1 MB": (GET + b"X: " + b"a" * 1_000_000 + b"\r\n\r\n", 431),
    "10,000 headers": (GET + b"".join(b"X%d: y\r\n" % number for number in range(10_000)) + b"\r\n", 431),
    "101 headers": (GET + b"".join(b"X%d: y\r\n" % number for number in range(101)) + b"\r\n", 431),
    "a path of 100 kB": (b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n", 414),
    "a name with a space": (GET + b"X Y: a\r\n\r\n", 400),
    "no colon": (GET + b"hello\r\n\r\n", 400),
    "HTTP/0.9": (b"GET /livez\r\n\r\n", 400),
    "HTTP/2.0": (b"GET /livez HTTP/2.0\r\nHost: localhost\r\n\r\n", 400),
    "NUL in the path": (b"GET /\0livez HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
    "a method that is none": (b"GE\xffT /livez HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
    "nonsense": (b"nonsense\r\n\r\n", 400),
    "TLS": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(200)), 400),
    "NULs": (b"\0" * 1000, 400),
    "HTTP/2 with prior knowledge": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0", None),
}


@pytest.mark.parametrize("name", HEADS)
def test_what_is_no_http_is_refused_and_ends_the_connection(site: Site, name: str) -> None:
    """The library answers before there is a request that we could give a reason for."""
    data, status = HEADS[name]
    answers, closed = talk(site, data)
    assert closed or not answers, "a close can overtake what was still being sent"
    assert [answer.status for answer in answers] in ([status], []) if status else not answers


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (GET.replace(b"Host: localhost\r\n", b"") + b"\r\n", 400),
        (GET + b"Host: elsewhere\r\n\r\n", 421),
        (b"GET http://elsewhere/livez HTTP/1.1\r\nHost: localhost\r\n\r\n", 421),
        (b"OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n", 404),
        (GET.replace(b"GET", b"BREW") + b"\r\n", 405),
        (GET.replace(b"GET", b"TRACE") + b"X: secret\r\n\r\n", 405),
        (b"CONNECT localhost:80 HTTP/1.1\r\nHost: localhost\r\n\r\n", 405),
        (b"GET /" + b"a" * 60_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n", 404),
    ],
)
def test_what_is_http_and_not_for_us_gets_a_reason(site: Site, data: bytes, status: int) -> None:
    (answer,), _ = talk(site, data)
    assert answer.status == answer.body["status"] == status
    assert "secret" not in json.dumps(answer.body)
    assert len(json.dumps(answer.body)) < 1000


# Bodies that `test_web.py` does not have (H9)


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 500_000,
        b'{"a":' * 100_000,
        b'{"features":[' + b"9" * 100_000 + b",1,1,1]}",
        b'{"features":[1e999,1,1,1]}',
        b'{"features":[NaN,1,1,1]}',
        b'{"features":[Infinity,1,1,1]}',
        b'{"features":["\\udc80",1,1,1]}',
        json.dumps(PREDICTION).encode("utf-16"),
        json.dumps(PREDICTION).encode("utf-8-sig"),
        b"\xff\xfe",
        b"",
        b" ",
        b'{"instances":' + b"[" + b"[1,1,1,1]," * 100_000 + b"[1,1,1]]}",
        b'{"instances":' + b"[" + b"{}," * 300_000 + b"{}]}",
    ],
)
@pytest.mark.parametrize("path", ["/predict", "/invocations", "/v1/models/retraind:predict"])
def test_no_json_is_too_odd_for_a_reason(site: Site, path: str, body: bytes) -> None:
    status, headers, text = site.ask("POST", path, body)
    assert status in (400, 413, 422)
    assert "json" in headers["content-type"]
    assert json.loads(text)


# Which methods there are: H10


def test_allowed_methods_are_listed_and_no_site_is_let_in(site: Site) -> None:
    status, headers, _ = site.ask("OPTIONS", "/predict", None, {"Origin": "http://evil.example"})
    assert (status, headers["allow"]) == (405, "POST")
    assert not any(name.startswith("access-control") for name in headers)
    _, headers, _ = site.ask("GET", "/livez", None, {"Origin": "http://evil.example"})
    assert not any(name.startswith("access-control") for name in headers)


@pytest.mark.parametrize("path", ["/livez", "/dashboard", "/nothing"])
def test_head_is_get_without_a_body(site: Site, path: str) -> None:
    status, headers, _ = site.ask("GET", path)
    (head, after), _ = talk_head(site, path)
    assert head.status == status
    assert head.headers["content-type"] == headers["content-type"]
    assert after.status == 200, "no body stands between the answers"


def talk_head(site: Site, path: str) -> tuple[list[Answer], bool]:
    """HEAD, then another request on the same connection."""
    data = b"HEAD %s HTTP/1.1\r\nHost: localhost\r\n\r\n" % path.encode()
    with socket.create_connection(("127.0.0.1", site.port), timeout=5) as connection:
        connection.sendall(data)
        head = connection.recv(65_536)
        assert head.endswith(b"\r\n\r\n")
        connection.sendall(GET + b"\r\n")
        after = connection.recv(65_536)
    bare = re.sub(rb"content-length: \d+\r\n", b"", head)
    return [*answers(bare), *answers(after)], False


# Clients that do not take their answers (H3, H13)

ROWS = json.dumps({"instances": [PREDICTION["features"]] * 2000}).encode()
LARGE = POST + b"Content-Length: %d\r\n\r\n%s" % (len(ROWS), ROWS)


def memory(site: Site) -> int:
    """Resident bytes of the worker."""
    pages = Path(f"/proc/{site.process.pid}/statm").read_text().split()[1]
    return int(pages) * 4096


def test_clients_that_read_slowly_delay_no_other_and_cost_bounded_memory(own: Site) -> None:
    """50 clients that ask for 400 kB each again and again, and read a few bytes of it."""
    own.ask("POST", "/predict", ROWS)
    before, slow = memory(own), []
    for _ in range(50):
        connection = socket.socket()
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.settimeout(10)
        connection.connect(("127.0.0.1", own.port))
        connection.setblocking(False)
        for _ in range(5):
            with contextlib.suppress(BlockingIOError):
                connection.send(LARGE)
        slow.append(connection)
    for _ in range(20):
        assert own.post("/predict", PREDICTION)[0] == 200
        for connection in slow:
            with contextlib.suppress(BlockingIOError):
                connection.recv(10)
    time.sleep(1)
    grown = memory(own) - before
    for connection in slow:
        connection.close()
    assert grown < 50 * 5_000_000


def test_clients_that_go_in_the_middle_of_an_answer_leave_nothing_behind(own: Site) -> None:
    descriptors = Path(f"/proc/{own.process.pid}/fd")
    own.ask("POST", "/predict", ROWS)
    before = len(list(descriptors.iterdir()))
    for _ in range(100):
        with socket.create_connection(("127.0.0.1", own.port), timeout=10) as connection:
            connection.sendall(LARGE)
            connection.recv(10)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # closing resets
    for _ in range(20):
        assert own.post("/predict", PREDICTION)[0] == 200
    deadline = time.monotonic() + 10
    while len(list(descriptors.iterdir())) > before + 5 and time.monotonic() < deadline:
        time.sleep(0.05)
    assert len(list(descriptors.iterdir())) <= before + 5
    assert "Traceback" not in own.log


# Headers and queries that ask for less, or more (H15, H16)


@pytest.mark.parametrize(
    "header",
    [
        b"Range: bytes=0-3",
        b"Range: bytes=9-1,x",
        b"If-None-Match: *",
        b"If-Modified-Since: Mon, 23 Nov 2099 00:00:00 GMT",
    ],
)
def test_ranges_and_conditions_are_passed_over(site: Site, header: bytes) -> None:
    (answer,), _ = talk(site, GET + header + b"\r\n\r\n")
    assert (answer.status, answer.body) == (200, {"status": "alive"})


@pytest.mark.parametrize("path", ["/predictions/history", "/drops", "/events"])
@pytest.mark.parametrize("limit", ["1e9", "1000000000", "-1", "0", "x", "9" * 5000])
def test_no_list_is_longer_than_its_limit(site: Site, path: str, limit: str) -> None:
    status, problem = site.get(f"{path}?limit={limit}")
    assert status == problem["status"] == 422
    assert "limit" in problem["detail"]
