"""retraind.web.api.direct_route: what the server asks directly has the answer that Bottle would give."""

import io
import json
from typing import Any

import pytest
from sites import Client

from retraind.web.http.client_address import PROXIED

ROW = json.dumps({"features": [5.1, 3.5, 1.4, 0.2]}).encode()
MADE_ANEW = ("prediction_id", "prediction_ids", "latency_ms")
"""Parts of an answer that no second answer has."""


def environ(method: str, path: str, body: bytes, kind: str = "application/json") -> dict[str, Any]:
    caller = {"HTTP_HOST": "localhost:5000", "REMOTE_ADDR": "127.0.0.1", PROXIED: False, "CONTENT_TYPE": kind}
    request = {"REQUEST_METHOD": method, "PATH_INFO": path, "QUERY_STRING": "", "wsgi.input": io.BytesIO(body)}
    return {**caller, **request}


def comparable(status: int, headers: list[tuple[str, str]], body: bytes) -> tuple[int, dict[str, str], Any]:
    content = json.loads(body) if body.startswith(b"{") else body
    for name in MADE_ANEW:
        if isinstance(content, dict):
            content.pop(name, None)
    return status, {name.lower(): value for name, value in headers if name.lower() != "content-length"}, content


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "/predict", ROW, 200),
        ("POST", "/predict", b"{", 400),
        ("POST", "/predict", b'{"features": [1]}', 422),
        ("POST", "/invocations", json.dumps({"inputs": [[5.1, 3.5, 1.4, 0.2]]}).encode(), 200),
        ("POST", "/invocations", b"{", 400),
        ("POST", "/v2/models/other/infer", b"{}", 404),
        ("GET", "/v2/models/retraind", b"", 200),
        ("GET", "/ping", b"", 200),
        ("HEAD", "/v2/models/retraind", b"", 200),
        ("GET", "/predict", b"", 405),
        ("POST", "/v2/models/\xc3\xa9/infer", b"{}", 404),
        ("GET", "/nothing", b"", 404),
    ],
)
def test_both_ways_give_the_same_answer(flowers: Client, method: str, path: str, body: bytes, status: int) -> None:
    started: list[Any] = []
    parts = flowers.app(environ(method, path, body), lambda line, headers, _=None: started.extend((line, headers)))
    by_bottle = comparable(int(started[0][:3]), started[1], b"".join(parts))
    directly = comparable(*flowers.app.answer(environ(method, path, body)))
    assert directly == by_bottle
    assert directly[0] == status


def test_wrong_content_type_is_refused_directly(flowers: Client) -> None:
    assert flowers.app.answer(environ("POST", "/predict", ROW, "text/plain"))[0] == 415
