"""Clients that read large answers slowly, or leave in the middle of one."""

import contextlib
import json
import socket
import struct
import time
from pathlib import Path

import pytest
import raw_requests
from raw_requests import POST
from sites import PREDICTION, Site

good_client = pytest.fixture(autouse=True)(raw_requests.good_client)

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
