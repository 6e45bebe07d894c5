"""How the daemon replaces workers again and again: by whom, in which order, and how many drain at a time."""

import os
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import bundles
import pytest
from load import BODY
from service import wait_until

from daemon.home import Home
from daemon.settings import Server, Settings
from daemon.workers import Workers

REQUEST = b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"
REPLACED = "HTTP worker 0 was replaced."


@pytest.fixture
def served(home: Home) -> Home:
    """A home with one promoted version."""
    home.schema.write_bytes(bundles.SCHEMA.dump())
    bundles.point(home, bundles.make(home, 1))
    return home


@contextmanager
def running(home: Home, slots: int = 1, **settings: Any) -> Iterator[Workers]:
    """Workers that answer."""
    workers = Workers(home, Settings(server=Server(port=0, **settings)), slots)
    try:
        workers.tend(time.monotonic())
        wait_until(lambda: len(published(home)) == slots)
        yield workers
    finally:
        workers.close()


def published(home: Home) -> list[Path]:
    """What workers have published of themselves."""
    return sorted(home.workers.glob("*.json"))


def told(workers: Workers) -> str:
    """The next that the daemon says of its workers."""
    (sentence,) = wait_until(lambda: workers.tend(time.monotonic()))
    return sentence


def connect(workers: Workers) -> socket.socket:
    assert workers.address is not None
    return socket.create_connection(workers.address, timeout=10)


def status(workers: Workers) -> int:
    """What a prediction gets."""
    with connect(workers) as client:
        client.sendall(REQUEST % (len(BODY), BODY))
        return int(client.recv(65_536)[9:12])


def test_what_a_worker_left_behind_speaks_for_no_other(served: Home) -> None:
    """A new worker goes on with the counters of one that is gone before it can answer, as often as somebody asks for one."""
    model = served.bundle(1) / "model.onnx"
    whole = model.read_bytes()
    with running(served) as workers:
        for damaged in (False, True, True, False, True):
            model.write_bytes(b"broken" if damaged else whole)
            workers.renew()
            assert ("could not be replaced" in told(workers)) == damaged
            assert status(workers) == 200


def test_the_workers_of_a_killed_daemon_stay_while_the_new_ones_have_no_model(served: Home) -> None:
    """Also if one of them was killed, too: the last that it published says that it has a model."""
    with running(served, 2) as killed:
        (lock,) = served.workers.glob("1-*.lock")
        os.kill(int(lock.stem.split("-")[1]), signal.SIGKILL)
        (served.bundle(1) / "model.onnx").write_bytes(b"broken")
        assert killed.address is not None
        later = Workers(served, Settings(server=Server(port=killed.address[1])), 2)
        later.retire_old()
        try:
            complaints: list[str] = []
            wait_until(lambda: complaints.extend(later.tend(time.monotonic())) or len(complaints) == 2)
            time.sleep(2)
            assert killed.alive == 1
        finally:
            later.close()


def test_who_asks_during_a_replacement_gets_every_worker_replaced_once_more(served: Home) -> None:
    """The one that is about to take over does so first."""
    with running(served, 2) as workers:
        workers.renew()
        assert told(workers) == REPLACED
        wait_until(lambda: workers.tend(time.monotonic()) or len(list(served.workers.glob("1-*.lock"))) == 2)
        workers.renew()
        slots = [1, 0, 1]
        assert [told(workers) for _ in slots] == [f"HTTP worker {slot} was replaced." for slot in slots]
