"""Uploads to real workers: broken, slow, chunked, at the same time, and decided by a daemon."""

import contextlib
import hashlib
import json
import random
import socket
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import bundles
from service import Service, wait_until
from sites import Site
from test_sending_drops import LINES, SHA256, inbox

from retraind.daemon.core.settings import Server, Settings


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
