"""HTTP as it must not be (rows H of docs/reliability.md), byte by byte over real sockets.

Each request gets a 4xx with a reason, or a closed connection where it is no HTTP at all; never a 500. Whatever stands behind
it on the same connection is either the next request or not answered, and the next client is served.
"""

import json
import re
import socket

import pytest
import raw_requests
from raw_requests import GET, Answer, answers, talk
from sites import PREDICTION, Site

good_client = pytest.fixture(autouse=True)(raw_requests.good_client)

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
    assert status == problem["status"] == 400
    assert "limit" in problem["detail"]
