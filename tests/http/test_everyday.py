"""What ordinary clients and probes send: HTTP/1.0, compressed bodies, NaN, slashes at the end, bodies that are too large."""

import gzip
import json
import shutil
import socket
import subprocess
import time
import zlib
from collections.abc import Iterator
from pathlib import Path

import bundles
import pytest
from sites import PREDICTION, Client, Site

from retraind.daemon.core.home import Home
from retraind.daemon.core.settings import Server, Settings

BODY = json.dumps(PREDICTION).encode()
V2 = "/v2/models/retraind/infer"
CURL = shutil.which("curl")


@pytest.fixture(scope="module")
def flowers(tmp_path_factory: pytest.TempPathFactory) -> Client:
    home = Home(tmp_path_factory.mktemp("home"))
    home.make()
    home.schema.write_bytes(bundles.SCHEMA.dump())
    bundles.point(home, bundles.make(home, 1))
    return Client(home, Settings(server=Server(max_body_bytes=100_000)))


def answer_to(site: Site, request: bytes) -> bytes:
    """All that a connection answers until it is closed."""
    with socket.create_connection(("127.0.0.1", site.port), timeout=5) as connection:
        connection.sendall(request)
        return b"".join(iter(lambda: connection.recv(65_536), b""))


# HTTP/1.0


@pytest.mark.parametrize("path", ["/livez", "/ping", "/v2/health/live"])
def test_a_probe_that_names_no_host_is_answered(site: Site, path: str) -> None:
    assert answer_to(site, b"GET %s HTTP/1.0\r\n\r\n" % path.encode()).startswith(b"HTTP/1.0 200")


def test_who_names_no_host_is_no_program_of_this_machine(site: Site) -> None:
    """It may have come through a proxy that leaves the name out."""
    assert answer_to(site, b"GET /drops HTTP/1.0\r\n\r\n").startswith(b"HTTP/1.0 401")


def test_http_1_1_must_name_a_host(site: Site) -> None:
    for host in (b"", b"Host:\r\n"):
        assert answer_to(site, b"GET /livez HTTP/1.1\r\nConnection: close\r\n%s\r\n" % host).startswith(b"HTTP/1.1 400")
    assert answer_to(site, b"GET /livez HTTP/1.0\r\nHost: evil.example\r\n\r\n").startswith(b"HTTP/1.0 421")


# Slashes


@pytest.mark.parametrize("path", ["/v2/", "/livez/", "/drops/", "/v2/models/retraind/", "/v1/models/retraind/ready/"])
def test_a_slash_at_the_end_changes_nothing(site: Site, path: str) -> None:
    def answer_at(at: str) -> tuple[int, bytes]:
        status, _, body = site.ask("GET", at)
        return status, body

    assert answer_at(path) == answer_at(path.removesuffix("/"))
    assert site.ask("POST", "/predict/", PREDICTION)[0] == 200


# Compressed bodies


@pytest.mark.parametrize(
    "pack", [gzip.compress, zlib.compress, lambda body: gzip.compress(body[:9]) + gzip.compress(body[9:])]
)
@pytest.mark.parametrize("path", ["/predict", "/invocations", V2])
def test_compressed_bodies_are_answered_as_plain_ones(site: Site, pack: object, path: str) -> None:
    plain: dict[str, object] = {"instances": [bundles.SETOSA]}
    if path == V2:
        plain = {"inputs": [{"name": "x", "shape": [1, 4], "datatype": "FP64", "data": bundles.SETOSA}]}
    body = json.dumps(plain).encode()
    assert callable(pack)
    packed = pack(body)
    coding = "gzip" if packed.startswith(b"\x1f\x8b") else "deflate"
    status, _, answer = site.ask("POST", path, packed, {"Content-Encoding": coding})
    assert status == site.ask("POST", path, body)[0] == 200, answer


def test_many_rows_in_few_bytes_are_answered(site: Site) -> None:
    """They stand aside like any large prediction, however small they are packed."""
    packed = gzip.compress(json.dumps({"instances": [bundles.SETOSA] * 2000}).encode())
    assert len(packed) < 16_384
    status, _, answer = site.ask("POST", "/predict", packed, {"Content-Encoding": "gzip"})
    assert (status, len(json.loads(answer)["predictions"])) == (200, 2000)


def test_training_rows_may_be_compressed(flowers: Client) -> None:
    body = gzip.compress(json.dumps({"features": bundles.SETOSA, "target": "setosa"}).encode())
    assert flowers.ask("POST", "/add_training_data", body, HTTP_CONTENT_ENCODING="x-gzip")[0] == 202


@pytest.mark.parametrize(
    ("coding", "body", "status"),
    [
        ("gzip", gzip.compress(b" " * 100_001), 413),
        ("gzip", gzip.compress(b" " * 60_000) + gzip.compress(b" " * 60_000), 413),
        ("deflate", zlib.compress(b" " * 100_001), 413),
        ("gzip", BODY, 400),
        ("gzip", gzip.compress(BODY)[:-9], 400),
        ("gzip", gzip.compress(BODY) + b"x", 400),
        ("gzip", b"", 400),
        ("br", BODY, 415),
        ("gzip, gzip", gzip.compress(gzip.compress(BODY)), 415),
    ],
    ids=["large", "large in two parts", "deflated", "not packed", "cut off", "with a rest", "empty", "brotli", "twice"],
)
def test_compressed_bodies_that_can_not_be_taken(flowers: Client, coding: str, body: bytes, status: int) -> None:
    code, headers, _ = flowers.ask("POST", "/predict", body, HTTP_CONTENT_ENCODING=coding)
    assert code == status
    assert ("gzip" in headers.get("accept-encoding", "")) is (status == 415)


def test_a_bomb_costs_no_memory(site: Site) -> None:
    """7.9 MB that would be 7.9 GB, as members of gzip that each stand for 1 MB of spaces."""
    bomb = gzip.compress(b" " * (1 << 20)) * 7500
    status, _, answer = site.ask("POST", "/predict", bomb, {"Content-Encoding": "gzip"})
    assert (status, b"after decompression" in answer) == (413, True)
    peak = next(line for line in Path(f"/proc/{site.process.pid}/status").read_text().splitlines() if "VmHWM" in line)
    assert int(peak.split()[1]) < 400_000, "kB"


# What is no number in JSON


@pytest.mark.parametrize("word", ["NaN", "-Infinity", "nan"])
@pytest.mark.parametrize("path", ["/predict", "/add_training_data"])
def test_what_json_lacks_is_reported_to_be_null(flowers: Client, path: str, word: str) -> None:
    status, _, body = flowers.ask("POST", path, b'{"features": ["NaN", 1, %s, 2], "target": 0}' % word.encode())
    assert (status, "null" in json.loads(body)["hint"]) == (400, True)


# Bodies that are too large


@pytest.fixture(scope="module")
def narrow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    site = Site(tmp_path_factory.mktemp("narrow"), Settings(server=Server(max_body_bytes=100_000)))
    yield site
    site.close()


LARGE = b" " * 30_000_000
"""More than all buffers on the way hold."""


@pytest.mark.parametrize("path", ["/predict", "/add_training_data", V2, "/nothing"])
def test_who_sends_too_much_hears_it(narrow: Site, path: str) -> None:
    for _ in range(3):
        status, headers, body = narrow.ask("POST", path, LARGE)
        assert (status, headers["connection"]) == (404 if path == "/nothing" else 413, "close")
        assert json.loads(body)


def test_who_sends_too_much_in_chunks_hears_it(narrow: Site) -> None:
    connection = narrow.connect()
    connection.request("POST", "/predict", iter([LARGE[:1_000_000]] * 30), {"Content-Type": "application/json"})
    assert connection.getresponse().status == 413
    connection.close()


@pytest.mark.skipif(CURL is None, reason="needs curl")
@pytest.mark.parametrize("expect", ["Expect:", "Expect: 100-continue"])
def test_curl_hears_it_whether_it_asks_first_or_not(narrow: Site, tmp_path: Path, expect: str) -> None:
    (tmp_path / "large").write_bytes(LARGE)
    command = [str(CURL), "-sS", "-w", "%{http_code}", "-o", "/dev/null", "-H", "Content-Type: application/json"]
    url = f"http://127.0.0.1:{narrow.port}/predict"
    done = subprocess.run(
        [*command, "-H", expect, "--data-binary", f"@{tmp_path}/large", url],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stdout, done.stderr, done.returncode) == ("413", "", 0)


def test_who_stops_in_a_body_that_is_not_wanted_is_let_go(narrow: Site) -> None:
    started = time.monotonic()
    head = b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 30000000\r\n\r\n{"
    assert answer_to(narrow, head).startswith(b"HTTP/1.1 413")
    assert time.monotonic() - started < narrow.settings.server.body_seconds


# Pages of other sites


def test_browsers_are_refused_what_pages_of_other_sites_ask_for(site: Site) -> None:
    """Neither a preflight nor an answer allows them anything."""
    page = {"Origin": "https://other.example", "Access-Control-Request-Method": "POST"}
    for method, path, status in (("OPTIONS", "/predict", 405), ("GET", "/versions", 200), ("POST", "/predict", 403)):
        code, headers, _ = site.ask(method, path, PREDICTION if method == "POST" else None, page)
        assert code == status
        assert [name for name in headers if name.startswith("access-control-")] == []
        assert headers["cross-origin-resource-policy"] == "same-origin"
