"""retraind.web.protocols.routes and errors: in every protocol no body breaks a path, and every error has the protocol's format."""

import gzip
import json
import socket
import time
from pathlib import Path
from typing import Any

import bundles
import pytest
from example_counts import some
from hypothesis import given
from hypothesis import settings as profile
from hypothesis import strategies as st
from sites import Client, Site

from retraind.daemon.core.settings import Server, Settings
from retraind.web.api.app import make_app
from retraind.web.protocols import routes
from retraind.web.worker_state import Worker

INFER, PREDICT = "/v2/models/retraind/infer", "/v1/models/retraind:predict"
POSTS = [
    "/invocations",
    INFER,
    PREDICT,
    "/v1/models/retraind:classify",
    "/v1/models/retraind:regress",
    "/v2/repository/index",
]

WORDS = st.sampled_from(
    [
        "dataframe_split",
        "dataframe_records",
        "instances",
        "inputs",
        "params",
        "predict_method",
        "columns",
        "index",
        "data",
        "name",
        "shape",
        "datatype",
        "parameters",
        "outputs",
        "id",
        "examples",
        "context",
        "signature_name",
        "ready",
        "sepal_length",
        "sepal_width",
        "petal_length",
        "petal_width",
    ]
)
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=10),
    WORDS,
    st.sampled_from(["predict", "predict_proba", "FP64", "BYTES", 10**400, 2**63]),
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=5) | st.dictionaries(WORDS, inner, max_size=5), max_leaves=25
)
BODIES = st.one_of(
    st.binary(max_size=100),
    st.text(alphabet='{}[]",:NaN\\ued8 01e-.tfrusl', max_size=60).map(str.encode),
    st.dictionaries(WORDS, VALUES, max_size=4).map(lambda value: json.dumps(value).encode()),
)


@profile(deadline=None, max_examples=some(150))
@given(
    path=st.sampled_from(POSTS),
    body=BODIES,
    kind=st.sampled_from(["", "application/json", "text/csv", "application/octet-stream"]) | st.text(max_size=20),
    length=st.none() | st.integers(-1, 120).map(str) | st.text(max_size=5),
)
def test_no_body_breaks_a_route(flowers: Client, path: str, body: bytes, kind: str, length: str | None) -> None:
    more = {} if length is None else {"HTTP_INFERENCE_HEADER_CONTENT_LENGTH": length}
    status, headers, answer = flowers.ask("POST", path, body, CONTENT_TYPE=kind, **more)
    assert status == 200 or 400 <= status < 500, answer
    if status != 200:
        error = json.loads(answer)
        assert error.get("error") or error.get("message")
        assert headers["content-type"] == "application/json"


CELLS = st.text(alphabet='0123456789.,-+eE"\n\r;naNtruefs\x00ü', max_size=60)


@profile(deadline=None, max_examples=some(100))
@given(header=st.sampled_from([",".join(bundles.NAMES), ",".join(bundles.NAMES[::-1]), "x", ""]) | CELLS, rows=CELLS)
def test_no_csv_breaks_invocations(flowers: Client, header: str, rows: str) -> None:
    status, _, answer = flowers.ask("POST", "/invocations", f"{header}\n{rows}".encode(), CONTENT_TYPE="text/csv")
    assert status in (200, 400)
    json.loads(answer)


@pytest.mark.parametrize("path", [*POSTS, "/predict"])
def test_pages_of_other_sites_and_foreign_names_are_refused(flowers: Client, path: str) -> None:
    for name, status, more in (
        ("HTTP_ORIGIN", 403, "https://evil.example"),
        ("HTTP_SEC_FETCH_SITE", 403, "cross-site"),
        ("HTTP_HOST", 421, "evil.example"),
        ("HTTP_HOST", 400, ""),
    ):
        answered, headers, body = flowers.ask("POST", path, b"{}", **{name: more})
        assert answered == status
        problem = json.loads(body)
        own = path == "/predict"
        assert headers["content-type"] == ("application/problem+json" if own else "application/json")
        assert problem["status"] == status if own else problem.get("error") or problem["message"]


@pytest.mark.parametrize("path", [*POSTS, "/predict"])
def test_unknown_codings_are_refused_with_the_reason(flowers: Client, path: str) -> None:
    status, _, body = flowers.ask("POST", path, gzip.compress(b"{}"), HTTP_CONTENT_ENCODING="br")
    assert (status, b"Send it uncompressed" in body) == (415, True)


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A worker that takes small bodies only, and not for long."""
    site = Site(tmp_path_factory.mktemp("strict"), Settings(server=Server(max_body_bytes=1024, body_seconds=0.3)))
    yield site
    site.close()


@pytest.mark.parametrize("path", POSTS)
def test_what_is_refused_before_a_route_is_met_has_the_shape_too(strict: Site, path: str) -> None:
    status, headers, body = strict.ask("POST", path, b" " * 2000)
    assert (status, headers["content-type"], headers["connection"]) == (413, "application/json", "close")
    error = json.loads(body)
    assert "1024 bytes" in (error.get("error") or error["message"])
    with socket.create_connection(("127.0.0.1", strict.port), timeout=10) as connection:
        connection.sendall(f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n{{".encode())
        answer = connection.makefile("rb").read()
    assert answer.startswith(b"HTTP/1.1 408")
    assert answer.rstrip().endswith(b"}")
    assert b'{"error' in answer


def test_every_route_counts_and_logs_under_its_template(own: Site) -> None:
    matrix = {"inputs": [{"name": "x", "shape": [1, 4], "datatype": "FP64", "data": bundles.SETOSA}]}
    bodies = {"/invocations": {"inputs": [bundles.SETOSA]}, INFER: matrix, PREDICT: {"instances": [bundles.SETOSA]}}
    for path, body in bodies.items():
        assert own.post(path, body)[0] == 200
    own.ask("POST", "/v1/models/none:predict", {"instances": [bundles.SETOSA]})
    own.ask("GET", "/v2/models/retraind/nothing")
    text = own.ask("GET", "/prometheus_metrics")[2].decode()
    for route in ("/invocations", "/v2/models/<name>/infer", "/v1/models/<name>:predict"):
        assert f'retraind_http_requests_total{{code="200",route="{route}"}} 1.0' in text
    assert 'route="unmatched"' in text
    assert 'prediction_requests_total{code="200"} 3.0' in text
    assert "prediction_request_duration_seconds_count 4.0" in text
    assert own.get("/metrics")[1]["p50_ms"] > 0
    assert "none:predict" not in text
    assert 'retraind_predictions_total{version="1"} 3.0' in text
    assert len(b"".join(path.read_bytes() for path in own.home.logs.glob("*.jsonl")).splitlines()) == 3


WAYS = {
    "/predict": "/predict",
    "/invocations": "/invocations",
    "/v2/models/secret/infer": "/v2/models/<name>/infer",
    "/v2/models/secret/versions/7/infer": "/v2/models/<name>/versions/<version>/infer",
    "/v1/models/secret:predict": "/v1/models/<name>:predict",
    "/v1/models/secret/versions/7:regress": "/v1/models/<name>/versions/<version>:regress",
    "/v1/models/secret/labels/x:classify": "/v1/models/<name>/labels/<label>:classify",
}
"""Paths that predict, and the template of each."""


def test_what_is_refused_before_a_route_is_met_is_counted_under_it(tmp_path: Path) -> None:
    site = Site(tmp_path, Settings(server=Server(max_body_bytes=50_000, body_seconds=0.3, max_inflight=1)))
    for path in WAYS:
        assert site.ask("POST", path, b" " * 60_000)[0] == 413
        assert site.ask("POST", path, b"{}", {"Host": "evil.example"})[0] == 421
        head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 20000\r\n\r\n{{".encode()
        with socket.create_connection(("127.0.0.1", site.port), timeout=10) as slow:
            slow.sendall(head)  # takes the only place in the lane
            time.sleep(0.1)
            assert site.ask("POST", path, b" " * 20_000)[0] == 503
            assert slow.recv(100).startswith(b"HTTP/1.1 408")
        with socket.create_connection(("127.0.0.1", site.port), timeout=10) as broken:
            broken.sendall(head)
            broken.shutdown(socket.SHUT_WR)
            assert broken.recv(100).startswith(b"HTTP/1.1 400")
    text = site.ask("GET", "/prometheus_metrics")[2].decode()
    for code in (413, 421, 503, 408, 400):
        assert f'prediction_requests_total{{code="{code}"}} {len(WAYS)}.0' in text
        for template in WAYS.values():
            assert f'retraind_http_requests_total{{code="{code}",route="{template}"}} 1.0' in text
    assert "secret" not in text
    site.close()


def test_the_bridge_knows_which_paths_predict(flowers: Client) -> None:
    for path in POSTS[:-1]:
        assert routes.predicts(path)
    for path in ("/v2/repository/index", "/v2/models/retraind", "/dashboard", "/v1/models/retraind"):
        assert not routes.predicts(path)
    app = make_app(Worker(flowers.worker.home, Settings(), 0))
    assert {route.name for route in app.routes} >= {*routes.GET_ENDPOINTS, *routes.POST_ENDPOINTS}
