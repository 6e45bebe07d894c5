"""Where a request ends: lengths, chunks, smuggled requests, and what follows an error on the same connection."""

import pytest
import raw_requests
from raw_requests import BODY, CHUNKED, GET, NEXT, POST, WHOLE, talk
from sites import Site

good_client = pytest.fixture(autouse=True)(raw_requests.good_client)


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
