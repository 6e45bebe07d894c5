"""Drops sent over HTTP: real workers, sockets and files; a broken upload continues, the same bytes count once."""

import contextlib
import gzip
import hashlib
import json
import os
import random
import socket
import stat
import threading
import time
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import bundles
import pytest
from service import Service, wait_until
from sites import Client, Site

from retraind.daemon.access import tokens
from retraind.daemon.core import shared_folder
from retraind.daemon.core.home import Home
from retraind.daemon.core.scopes import Scope
from retraind.daemon.core.settings import Inbox, Server, Settings
from retraind.web.uploads import partial_file

LINES = b"sepal_length,sepal_width,petal_length,petal_width,species\n" + b"5.1,3.5,1.4,0.2,setosa\n" * 40
SHA256 = hashlib.sha256(LINES).hexdigest()


@pytest.fixture
def client(home: Home) -> Client:
    """The application of a home with a schema."""
    home.schema.write_bytes(bundles.SCHEMA.dump())
    return Client(home)


def send(client: Client, body: bytes, environ: Mapping[str, str] | None = None, **query: object) -> tuple[int, Any]:
    sent = {"CONTENT_TYPE": "text/csv", "CONTENT_LENGTH": str(len(body)), "QUERY_STRING": urlencode(query)}
    status, _, answer = client.ask("POST", "/drops", body, **{**sent, **(environ or {})})
    return status, json.loads(answer)


def inbox(home: Home) -> dict[str, bytes]:
    """Files in the inbox, hidden ones too."""
    return {path.name: path.read_bytes() for path in home.inbox.iterdir() if path.is_file()}


def test_a_file_has_its_name_and_its_bytes(client: Client, home: Home) -> None:
    status, taken = send(client, LINES, name="september.csv")
    assert (status, taken) == (202, {"status": "accepted", "drop": SHA256, "name": "september.csv"})
    assert inbox(home) == {"september.csv": LINES}
    assert stat.S_IMODE((home.inbox / "september.csv").stat().st_mode) == 0o600


def test_the_same_bytes_lie_there_once(client: Client, home: Home) -> None:
    assert send(client, LINES, name="a.csv")[0] == 202
    assert send(client, LINES, name="a.csv")[0] == 202
    assert send(client, LINES, name="a.csv", sha256=SHA256)[0] == 202
    assert inbox(home) == {"a.csv": LINES}
    other = LINES + b"1,1,1,1,setosa\n"
    status, taken = send(client, other, name="a.csv")
    assert status == 202
    assert taken["name"] == f"a-{hashlib.sha256(other).hexdigest()[:12]}.csv"
    assert inbox(home) == {"a.csv": LINES, taken["name"]: other}


def test_a_file_without_a_name_is_named_after_its_bytes(client: Client, home: Home) -> None:
    assert send(client, LINES)[1]["name"] == f"upload-{SHA256[:12]}.csv"
    packed = gzip.compress(LINES)
    assert send(client, packed, {"CONTENT_TYPE": "application/gzip"}, name="b.csv.gz")[0] == 202
    assert inbox(home)["b.csv.gz"] == packed


def test_pieces_make_the_file(client: Client, home: Home) -> None:
    size = len(LINES)
    for begin in range(0, size, 300):
        piece = LINES[begin : begin + 300]
        status, answer = send(client, piece, name="p.csv", sha256=SHA256, offset=begin, size=size)
        if begin + 300 < size:
            assert (status, answer["status"], answer["received"]) == (200, "partial", begin + 300)
            progress = json.loads(client.ask("GET", f"/uploads/{SHA256}")[2])
            assert progress == {"status": "partial", "drop": SHA256, "received": begin + 300}
            assert [name for name in inbox(home) if not name.startswith(".")] == []
    assert status == 202
    assert inbox(home) == {"p.csv": LINES}


def test_a_wrong_offset_is_answered_with_the_right_one(client: Client, home: Home) -> None:
    send(client, LINES[:100], sha256=SHA256, size=len(LINES))
    status, problem = send(client, LINES[50:], sha256=SHA256, offset=50, size=len(LINES))
    assert status == 409
    assert "offset=100" in problem["hint"]
    assert send(client, LINES, name="again.csv", sha256=SHA256)[0] == 202, "without offset it begins again"
    assert inbox(home) == {"again.csv": LINES}


def test_bytes_of_another_sha256_are_not_kept(client: Client, home: Home) -> None:
    status, problem = send(client, LINES[:-1], sha256=SHA256)
    assert status == 422
    assert hashlib.sha256(LINES[:-1]).hexdigest() in problem["detail"]
    assert send(client, b"")[0] == 422
    assert inbox(home) == {}


@pytest.mark.parametrize(
    "name",
    ["../a.csv", "/etc/a.csv", ".hidden.csv", "a.csv.part", "a\n.csv", "a.exe", "csv", "x" * 250 + ".csv", "README.md"],
)
def test_names_that_are_no_names_of_drops(client: Client, home: Home, name: str) -> None:
    status, problem = send(client, LINES, name=name)
    assert (status, "can't be the name" in problem["detail"]) == (400, True)
    assert inbox(home) == {}


@pytest.mark.parametrize(
    ("query", "environ", "status"),
    [
        ({"sha256": "ABC"}, {}, 400),
        ({"offset": 5}, {}, 400),
        ({"size": 5}, {}, 400),
        ({"colour": "red"}, {}, 400),
        ({}, {"CONTENT_TYPE": "application/x-www-form-urlencoded"}, 415),
        ({}, {"HTTP_CONTENT_ENCODING": "gzip"}, 415),
        ({}, {"HTTP_ORIGIN": "https://evil.example"}, 403),
        ({}, {"CONTENT_LENGTH": str(len(LINES) + 1)}, 400),
    ],
)
def test_wrong_requests_leave_nothing(
    client: Client, home: Home, query: dict[str, object], environ: dict[str, str], status: int
) -> None:
    assert send(client, LINES, environ, **query)[0] == status
    assert inbox(home) == {}


def test_a_file_beyond_the_limit_is_refused(home: Home) -> None:
    small = Client(home, Settings(inbox=Inbox(max_bytes=100)))
    assert send(small, LINES)[0] == 413
    chunked = {"HTTP_TRANSFER_ENCODING": "chunked", "CONTENT_LENGTH": ""}
    assert send(small, LINES, chunked)[0] == 413
    assert send(small, LINES[:50], sha256=SHA256, size=200)[0] == 413
    assert inbox(home) == {}


def test_a_scope_to_read_sends_nothing(client: Client, home: Home) -> None:
    for scope, status in ((Scope.READ, 403), (Scope.WRITE, 202)):
        secret = tokens.create(home, scope.value, [scope])
        stranger = {"HTTP_X_FORWARDED_FOR": "203.0.113.9", "HTTP_AUTHORIZATION": f"Bearer {secret}"}
        assert send(client, LINES, stranger)[0] == status
        assert client.ask("GET", f"/uploads/{'0' * 64}", b"", **stranger)[0] == (403 if status == 403 else 404)


def test_what_nothing_continues_is_removed_after_a_day(client: Client, home: Home) -> None:
    send(client, LINES[:100], sha256=SHA256, size=len(LINES))
    (part,) = home.inbox.glob(".upload-*")
    folder = shared_folder.inbox(home)
    partial_file.sweep(folder)
    assert part.exists()
    os.utime(part, (0, time.time() - partial_file.KEPT_SECONDS - 60))
    partial_file.sweep(folder)
    assert not part.exists()


def test_a_link_in_the_place_of_a_partial_file_is_not_followed(client: Client, home: Home, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"")
    (home.inbox / f".upload-{SHA256}.part").symlink_to(secret)
    assert send(client, LINES, sha256=SHA256)[0] in (409, 503)
    assert secret.read_bytes() == b""


# Real workers


def head(site: Site, length: int, query: str) -> bytes:
    fields = f"Host: 127.0.0.1:{site.port}\r\nContent-Type: text/csv\r\nContent-Length: {length}\r\n"
    return f"POST /drops?{query} HTTP/1.1\r\n{fields}\r\n".encode()


@contextlib.contextmanager
def begun(site: Site, sent: bytes, length: int, query: str) -> Iterator[socket.socket]:
    """A connection that has sent a part of its body."""
    with socket.create_connection(("127.0.0.1", site.port), timeout=20) as connection:
        connection.sendall(head(site, length, query) + sent)
        yield connection


def received(site: Site, sha256: str) -> int:
    status, progress = site.get(f"/uploads/{sha256}")
    return progress["received"] if status == 200 else 0


def wait_received(site: Site, sha256: str, least: int) -> int:
    deadline = time.monotonic() + 20
    while (size := received(site, sha256)) < least:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return size


def test_broken_uploads_continue_until_the_file_is_whole(own: Site) -> None:
    """Cut off by the client, then by a killed worker."""
    data = random.Random(1).randbytes(3_000_000)
    sha256 = hashlib.sha256(data).hexdigest()
    query = f"name=big.csv&sha256={sha256}"
    with begun(own, data[:1_000_000], len(data), query):
        wait_received(own, sha256, 900_000)
    at = wait_received(own, sha256, 900_000)
    with begun(own, data[at : at + 1_000_000], len(data) - at, f"{query}&offset={at}"):
        wait_received(own, sha256, at + 900_000)
        own.process.kill()
        own.process.wait()
    own.start()
    own.wait(1)
    at = received(own, sha256)
    assert 1_800_000 < at < len(data)
    status, _, answer = own.ask("POST", f"/drops?{query}&offset={at}", data[at:], {"Content-Type": "text/csv"})
    assert (status, json.loads(answer)["name"]) == (202, "big.csv")
    assert inbox(own.home) == {"big.csv": data}


def test_two_that_send_one_file_make_one(own: Site) -> None:
    with begun(own, LINES[:100], len(LINES), f"name=two.csv&sha256={SHA256}") as first:
        wait_received(own, SHA256, 100)
        status, _, answer = own.ask("POST", f"/drops?sha256={SHA256}", LINES, {"Content-Type": "text/csv"})
        assert (status, "Another request" in json.loads(answer)["detail"]) == (409, True)
        first.sendall(LINES[100:])
        assert first.recv(15) == b"HTTP/1.1 202 Ac"
    assert inbox(own.home) == {"two.csv": LINES}


def test_a_body_that_does_not_come_ends(tmp_path: Path) -> None:
    site = Site(tmp_path, Settings(server=Server(body_seconds=0.3)))
    try:
        with begun(site, LINES[:100], len(LINES), f"sha256={SHA256}") as slow:
            assert slow.recv(12) == b"HTTP/1.1 408"
        assert received(site, SHA256) == 100
    finally:
        site.close()


def test_uploads_leave_the_other_requests_their_threads(own: Site) -> None:
    with contextlib.ExitStack() as stack:
        for number in range(4):
            stack.enter_context(begun(own, b"a", 1000, f"name={number}.csv"))
        deadline = time.monotonic() + 10
        while sum(name.startswith(".upload-") for name in inbox(own.home)) < 4:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        status, headers, _ = own.ask("POST", "/drops", LINES, {"Content-Type": "text/csv"})
        assert (status, headers["retry-after"]) == (503, "1")
        row = {"features": bundles.SETOSA, "target": "setosa"}
        assert own.post("/add_training_data", row)[0] == 202
    deadline = time.monotonic() + 10
    while any(name.startswith(".upload-") for name in inbox(own.home)):
        assert time.monotonic() < deadline, "a broken upload without a sha256 leaves nothing"
        time.sleep(0.02)


def test_chunks_arrive_as_one_file(own: Site) -> None:
    connection = own.connect()
    pieces = (LINES[begin : begin + 100] for begin in range(0, len(LINES), 100))
    connection.request("POST", "/drops?name=chunks.csv", pieces, {"Content-Type": "text/csv"}, encode_chunked=True)
    assert connection.getresponse().status == 202
    connection.close()
    assert inbox(own.home) == {"chunks.csv": LINES}
    with socket.create_connection(("127.0.0.1", own.port), timeout=20) as broken:
        fields = f"Host: 127.0.0.1:{own.port}\r\nTransfer-Encoding: chunked\r\n"
        broken.sendall(f"POST /drops?name=broken.csv HTTP/1.1\r\n{fields}\r\n".encode() + b"5\r\n1,2,3\r\nzz\r\n")
        assert broken.recv(12) == b"HTTP/1.1 400"
    assert inbox(own.home) == {"chunks.csv": LINES}


def test_many_clients_send_at_once(own: Site) -> None:
    """Each file is there once, whichever requests are refused for a while."""
    files = [LINES + f"{number},1,1,1,setosa\n".encode() for number in range(12)]

    def deliver(data: bytes) -> None:
        while own.ask("POST", "/drops", data, {"Content-Type": "text/csv"})[0] != 202:
            time.sleep(0.05)

    clients = [threading.Thread(target=deliver, args=(data,)) for data in files * 2]
    for each in clients:
        each.start()
    for each in clients:
        each.join()
    assert sorted(inbox(own.home).values()) == sorted(files)


def test_a_decided_drop_is_known(tmp_path: Path, served: Path) -> None:
    """With a daemon: sent, taken, sent again, forgotten; its rows count once."""
    service = Service(tmp_path / "home").copied(served).start()
    try:
        service.wait_served(1)
        rows = [f"{5 + number / 100:.2f},3.1,2.{number % 9},0.3,setosa" for number in range(30)]
        data = "\n".join(["sepal_length,sepal_width,petal_length,petal_width,species", *rows, ""]).encode()
        sha256 = hashlib.sha256(data).hexdigest()
        assert post(service, "more.csv", data)[0] == 202
        wait_until(lambda: service.ask(f"/drops/{sha256}")[0] == 200, 60, "the drop is decided")
        status, known = post(service, "other.csv", data)
        assert (status, known["status"], known["state"], known["name"]) == (200, "known", "accepted", "more.csv")
    finally:
        service.end()


def post(service: Service, name: str, data: bytes) -> tuple[int, Any]:
    request = urllib.request.Request(f"{service.url}/drops?name={name}", data, {"Content-Type": "text/csv"})
    with urllib.request.urlopen(request, timeout=20) as answer:
        return answer.status, json.loads(answer.read())
