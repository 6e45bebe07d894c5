"""Lanes: many rows, slow clients and full lanes do not keep others from their answers."""

import json
import resource
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import bundles
import logged
import pytest
from sites import PREDICTION, Site

from retraind.daemon.core.settings import Server, Settings
from retraind.web.server.slow_requests import LARGE_BYTES
from retraind.web.serving.pipelined import PIECE_ROWS

ROWS = 40_000
"""So many rows are worth hundreds of single ones."""


@pytest.fixture(scope="module")
def narrow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A worker with one place in each lane."""
    site = Site(tmp_path_factory.mktemp("narrow"), Settings(server=Server(max_inflight=1)))
    yield site
    site.close()


@pytest.fixture(scope="module")
def closed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A worker with one place in each lane, which asks everybody for a token."""
    site = Site(tmp_path_factory.mktemp("closed"), Settings(server=Server(max_inflight=1, auth="always")))
    site.home.token.write_text("secret\n")
    yield site
    site.close()


def request(body: bytes, length: int | None = None, path: str = "/predict") -> bytes:
    """A POST; `length` is what it promises, if not the length of the body."""
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {len(body) if length is None else length}\r\n\r\n".encode() + body


def many(rows: int = ROWS) -> bytes:
    return json.dumps({"instances": [bundles.SETOSA] * rows}, separators=(",", ":")).encode()


@contextmanager
def connected(site: Site) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", site.port), timeout=30) as connection:
        yield connection


def answered(connection: socket.socket) -> tuple[int, bytes]:
    """Status and head of the answer that comes."""
    head = b""
    while b"\r\n\r\n" not in head:
        part = connection.recv(65_536)
        assert part, head
        head += part
    return int(head[9:12]), head.lower()


def test_single_rows_are_answered_beside_many(site: Site) -> None:
    times: list[tuple[int, int]] = []

    def ask_many() -> None:
        status, answer = site.post("/predict", {"instances": [bundles.SETOSA] * ROWS})
        times.append((status, len(answer["predictions"])))

    asking = threading.Thread(target=ask_many)
    asking.start()
    beside = 0
    while asking.is_alive():
        assert site.post("/predict", PREDICTION)[0] == 200
        beside += asking.is_alive()
    assert times == [(200, ROWS)]
    assert beside > 0


def test_a_full_lane_says_so_and_single_rows_are_answered(narrow: Site) -> None:
    site = narrow
    body = many(2_000)
    with connected(site) as slow, connected(site) as refused:
        slow.sendall(request(body[:10], len(body)))
        assert site.post("/predict", PREDICTION)[0] == 200
        refused.sendall(request(body))
        status, head = answered(refused)
        assert status == 503
        assert b"retry-after: 1\r\n" in head
        assert b"application/problem+json" in head
        assert site.post("/predict", PREDICTION)[0] == 200
        slow.sendall(body[10:])
        assert answered(slow)[0] == 200
    assert site.post("/predict", {"instances": [bundles.SETOSA] * 2_000})[0] == 200


def test_what_takes_too_long_or_waits_too_long_is_given_up(tmp_path: Path) -> None:
    site = Site(tmp_path, Settings(server=Server(request_seconds=0.02)))
    with connected(site) as first, connected(site) as second:
        for connection in (first, second):
            connection.sendall(request(many(90_000)))
        assert {answered(first)[0], answered(second)[0]} <= {503, 504}
    assert site.post("/predict", PREDICTION)[0] == 200
    site.close()


@pytest.mark.parametrize(
    "start",
    [
        b"",
        b"POST /predict HTTP/1.1\r\nHost: loc",
        request(b'{"fea', 60),
        request(b'{"instances":', 1_000_000),
        request(many(5_000)),
    ],
    ids=["idle", "half a head", "half a body", "half a large body", "an answer that is not read"],
)
def test_slow_clients_delay_no_other_answer(site: Site, start: bytes) -> None:
    with ExitStack() as stack:
        for _ in range(60):
            connection = stack.enter_context(socket.socket())
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.connect(("127.0.0.1", site.port))
            connection.sendall(start)
        for _ in range(5):
            assert site.post("/predict", PREDICTION)[0] == 200
            assert site.get("/livez")[0] == 200


def test_the_memory_of_many_rows_is_given_back(own: Site) -> None:
    """glibc would keep what an answer has taken: with 100,000 rows 400 MB, for good."""

    def resident() -> int:
        return int(Path(f"/proc/{own.process.pid}/statm").read_text().split()[1]) * resource.getpagesize() >> 20

    for _ in range(2):
        assert own.ask("POST", "/predict", many(100_000))[0] == 200
        deadline = time.monotonic() + 5
        while resident() > 200:
            assert time.monotonic() < deadline, f"{resident()} MB"
            assert own.post("/predict", PREDICTION)[0] == 200
            time.sleep(0.1)


def test_rows_in_pieces_are_answered_and_logged_in_their_order(own: Site) -> None:
    rows = [[number / 100, 3.0, 7 - number / 500, number / 900] for number in range(2 * PIECE_ROWS + 7)]
    whole = own.post("/predict", {"instances": rows})[1]["predictions"]
    parts = [own.post("/predict", {"instances": rows[at : at + 100]})[1] for at in range(0, len(rows), 100)]
    alone = [one for part in parts for one in part["predictions"]]
    assert [one["probabilities"] for one in whole] == [one["probabilities"] for one in alone]
    features = {line["prediction_id"]: list(line["features"]) for line in logged.predictions(own.home)}
    assert [features[one["prediction_id"]] for one in whole] == rows


def test_a_bad_row_behind_predicted_pieces_is_named_and_none_is_logged(own: Site) -> None:
    rows: list[list[float | str]] = [[number / 100, 3.0, 7 - number / 500, number / 900] for number in range(3000)]
    rows[2500][1] = "?"
    before = own.get("/metrics")[1]["prediction_count"]
    status, problem = own.post("/predict", {"instances": rows})
    assert status == 422
    assert problem["detail"].startswith("Row 2501: ")
    assert own.get("/metrics")[1]["prediction_count"] == before
    logged_rows = {tuple(line["features"]) for line in logged.predictions(own.home)}
    assert not logged_rows & {tuple(row) for row in rows[1:2500]}


def test_many_rows_of_few_bytes_are_no_matter_of_the_loop(narrow: Site) -> None:
    """A value of a byte or two: a body that is no larger than that of a wide row may hold thousands of rows."""
    site = narrow
    spec = {"name": "x", "datatype": "UINT8", "shape": [2000, 4], "parameters": {"binary_data_size": 8000}}
    text = json.dumps({"inputs": [spec]}).encode()
    table = (",".join(bundles.NAMES) + "\n" + "1,2,3,4\n" * 1000).encode()
    columns = {"inputs": {name: [1] * 1000 for name in bundles.NAMES}}
    bodies: list[tuple[str, bytes, dict[str, str]]] = [
        ("/v2/models/retraind/infer", text + bytes(8000), {"Inference-Header-Content-Length": str(len(text))}),
        ("/invocations", table, {"Content-Type": "text/csv"}),
        ("/v1/models/retraind:predict", json.dumps(columns, separators=(",", ":")).encode(), {}),
        ("/predict", many(800), {}),
    ]
    with connected(site) as slow:
        slow.sendall(request(b"{", 2 * LARGE_BYTES))  # takes the only place in the lane for batches
        for path, body, headers in bodies:
            assert len(body) < LARGE_BYTES
            wait_for(site, path, body, headers, 503)
        assert site.post("/predict", PREDICTION)[0] == 200
    for path, body, headers in bodies:
        wait_for(site, path, body, headers, 200)


def test_bodies_that_come_slowly_do_not_block_the_pages(tmp_path: Path) -> None:
    """Only of large ones a bounded number is read at once: few bytes take no place."""
    site = Site(tmp_path, Settings(server=Server(max_inflight=2)))
    row = {"features": bundles.SETOSA, "target": "setosa"}
    with ExitStack() as stack:
        for length in (60, 2 * LARGE_BYTES):
            for _ in range(4):
                stack.enter_context(connected(site)).sendall(request(b"{", length, "/add_training_data"))
            for page in ("/metrics", "/versions", "/dashboard"):
                assert [site.ask("GET", page)[0] for _ in range(3)] == [200] * 3
            expected = 202 if length == 60 else 503
            wait_for(site, "/add_training_data", json.dumps(row).encode(), {}, expected)
    site.close()


@pytest.mark.parametrize("length", [60, 2 * LARGE_BYTES, None])
@pytest.mark.parametrize("path", ["/nothing", "/versions", "/sign-in", "/sign-out", "/v1/models/a/b:predict"])
def test_bodies_of_strangers_take_no_place(closed: Site, path: str, length: int | None) -> None:
    """Of whom no token is asked, or who finds nothing: writing and large predictions go on beside any number of them."""
    site = closed
    admin = {"Authorization": "Bearer secret"}
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\n"
    size = "Transfer-Encoding: chunked" if length is None else f"Content-Length: {length}"
    with ExitStack() as stack:
        for _ in range(8):
            stack.enter_context(connected(site)).sendall(f"{head}{size}\r\n\r\n1\r\na".encode())
        assert site.ask("POST", path, b"", admin)[0] != 503, "the eight have been seen by now"
        for _ in range(3):
            assert site.ask("POST", "/trigger_retrain", {}, admin)[0] == 202
            assert site.ask("POST", "/predict", many(2_000), admin)[0] == 200


@pytest.mark.parametrize(
    ("path", "length", "status"),
    [
        ("/nothing", 20_000, 404),
        ("/versions", 20_000, 405),
        ("/sign-in", 5_000, 413),
        ("/v1/models/a/b:predict", 20_000, 404),
    ],
)
def test_a_request_refused_unread_gets_the_reason(site: Site, path: str, length: int, status: int) -> None:
    answer = site.ask("POST", path, b"x" * length, {"Content-Type": "application/x-www-form-urlencoded"})
    assert answer[0] == status
    assert answer[1].get("allow") == ("GET,HEAD" if status == 405 else None)
    assert answer[1]["x-content-type-options"] == "nosniff"


def wait_for(site: Site, path: str, body: bytes, headers: dict[str, str], status: int) -> None:
    """Ask until the answer has the status."""
    deadline = time.monotonic() + 20
    while site.ask("POST", path, body, headers)[0] != status:
        assert time.monotonic() < deadline, (path, status)
        time.sleep(0.05)
