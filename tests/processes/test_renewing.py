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

from retraind.daemon.core.errors import PortTaken
from retraind.daemon.core.home import Home
from retraind.daemon.core.settings import Server, Settings
from retraind.daemon.processes.workers import Workers

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
    before = len(published(home))
    workers = Workers(home, Settings(server=Server(**{"port": 0, **settings})), slots)
    try:
        workers.supervise(time.monotonic())
        wait_until(lambda: len(published(home)) == before + slots)
        yield workers
    finally:
        workers.close()


def published(home: Home) -> list[Path]:
    """What workers have published of themselves."""
    return sorted(home.workers.glob("*.json"))


def next_message(workers: Workers) -> str:
    """The next that the daemon says of its workers."""
    (sentence,) = wait_until(lambda: workers.supervise(time.monotonic()))
    return sentence


def connect(workers: Workers) -> socket.socket:
    assert workers.address is not None
    return socket.create_connection(workers.address, timeout=10)


def status(workers: Workers) -> int:
    """What a prediction gets."""
    with connect(workers) as client:
        client.sendall(REQUEST % (len(BODY), BODY))
        return int(client.recv(65_536)[9:12])


@pytest.mark.parametrize(
    "replacements",
    [(False, True, True), pytest.param((False, True, True, False, True), marks=pytest.mark.slow)],
    ids=["few", "many"],
)
def test_what_a_worker_left_behind_speaks_for_no_other(served: Home, replacements: tuple[bool, ...]) -> None:
    """A new worker continues the counters of a worker that ended before it could answer, however often one is requested."""
    model = served.bundle(1) / "model.onnx"
    whole = model.read_bytes()
    with running(served) as workers:
        for damaged in replacements:
            model.write_bytes(b"broken" if damaged else whole)
            workers.renew()
            assert ("could not be replaced" in next_message(workers)) == damaged
            assert status(workers) == 200


def test_the_workers_of_a_killed_daemon_stay_while_the_new_ones_have_no_model(served: Home) -> None:
    """Also if one of them was killed, too: the last that it published says that it has a model."""
    with running(served, 2) as killed:
        (lock,) = served.workers.glob("1-*.lock")
        os.kill(int(lock.stem.split("-")[1]), signal.SIGKILL)
        (served.bundle(1) / "model.onnx").write_bytes(b"broken")
        assert killed.address is not None
        later = Workers(served, Settings(server=Server(port=killed.address[1])), 2)
        try:
            complaints: list[str] = []

            def heard() -> bool:
                complaints.extend(later.supervise(time.monotonic()))
                return len(complaints) == 2

            wait_until(heard)
            time.sleep(2)
            assert killed.alive == 1
        finally:
            later.close()


def test_old_workers_do_not_let_us_share_the_port_of_another_program(served: Home) -> None:
    """Where they listen themselves, no other program may; elsewhere the port is requested as if they did not exist."""
    with running(served) as killed:
        assert killed.address is not None
        for address in (("127.0.0.1", 0), killed.address):
            with socket.socket() as others:
                others.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
                others.bind(address)
                others.listen()
                with pytest.raises(PortTaken, match="another program answers there"):
                    Workers(served, Settings(server=Server(port=others.getsockname()[1])), 1)
                assert locks(served) == 1
        # Elsewhere the new socket listens at once, so that who connects before the first worker answers waits.
        later = Workers(served, Settings(server=Server(port=0)), 0)
        try:
            connect(later).close()
        finally:
            later.close()


def test_new_workers_without_a_model_relieve_old_ones_without(home: Home) -> None:
    """Else each start after a kill would leave one more generation."""
    with running(home) as killed:
        assert killed.address is not None
        with running(home, port=killed.address[1]) as later:
            wait_until(lambda: later.supervise(time.monotonic()) or not killed.alive)


def test_who_asks_during_a_replacement_gets_every_worker_replaced_once_more(served: Home) -> None:
    """The one that is about to take over does so first."""
    with running(served, 2) as workers:
        workers.renew()
        assert next_message(workers) == REPLACED
        while len(list(served.workers.glob("1-*.lock"))) < 2:  # often: it takes over soon after it has its lock
            assert workers.supervise(time.monotonic()) == []
            time.sleep(0.005)
        workers.renew()
        slots = [1, 0, 1]
        assert [next_message(workers) for _ in slots] == [f"HTTP worker {slot} was replaced." for slot in slots]


@contextmanager
def trickling(workers: Workers) -> Iterator[socket.socket]:
    """A client whose request is under way: its body has begun to come, and lacks its last byte."""
    with connect(workers) as client:
        client.sendall((REQUEST % (len(BODY), BODY))[:-1])
        time.sleep(0.3)
        yield client


def locks(home: Home) -> int:
    """How many workers run, if none was killed."""
    return len(list(home.workers.glob("*.lock")))


def finish(client: socket.socket) -> int:
    """Send the last byte; the status of the answer."""
    client.sendall(BODY[-1:])
    return int(client.recv(65_536)[9:12])


def test_a_replaced_worker_finishes_what_takes_longer_than_a_stop_may(served: Home) -> None:
    with running(served, drain_seconds=0.5, body_seconds=60) as workers, trickling(workers) as client:
        workers.renew()
        assert next_message(workers) == REPLACED
        time.sleep(4)
        assert finish(client) == 200
        wait_until(lambda: locks(served) == 1, 10)


def test_so_does_the_worker_of_a_killed_daemon(served: Home) -> None:
    with running(served, drain_seconds=0.5, body_seconds=60) as killed, trickling(killed) as client:
        assert killed.address is not None
        with running(served, port=killed.address[1]) as later:
            wait_until(lambda: later.supervise(time.monotonic()) or status(later) == 200)
            time.sleep(4)
            assert finish(client) == 200
            wait_until(lambda: not killed.alive, 10)


def test_a_stop_does_not_wait_for_those_that_were_replaced(served: Home) -> None:
    """Neither for its own nor for those of a daemon that was killed."""
    with running(served, drain_seconds=0.5, body_seconds=60) as killed, trickling(killed):
        assert killed.address is not None
        with running(served, port=killed.address[1], drain_seconds=0.5, body_seconds=60) as later:
            later.supervise(time.monotonic())
            with trickling(later):
                later.renew()
                assert next_message(later) == REPLACED
                assert locks(served) == 3
                began = time.monotonic()
                later.close()
                wait_until(lambda: not killed.alive, 3)
                assert time.monotonic() - began < 3


def test_no_more_workers_drain_than_there_are_slots(served: Home) -> None:
    with running(served, body_seconds=60) as workers, trickling(workers) as first:
        workers.renew()
        assert next_message(workers) == REPLACED
        time.sleep(3)  # by then the old one accepts no connection
        with trickling(workers) as second:
            workers.renew()
            for _ in range(30):
                assert workers.supervise(time.monotonic()) == []
                time.sleep(0.1)
            assert locks(served) == 2
            assert finish(first) == 200
            assert next_message(workers) == REPLACED
            assert finish(second) == 200
