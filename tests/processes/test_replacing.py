"""Workers that are replaced, one by one or with the daemon, under load: no request is lost or waits for long."""

import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path

import bundles
import pytest
from load import BODY, Load
from service import Service, wait_until
from sites import Site

from retraind.daemon.core.home import Home
from retraind.daemon.core.settings import Server, Settings
from retraind.daemon.processes.sockets import bind, refuse_new, take_new_connections
from retraind.daemon.processes.workers import Workers

PREDICT = b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"
REQUEST = PREDICT % (len(BODY), BODY)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, served: Path) -> Iterator[Service]:
    """A service with one worker that serves Iris."""
    running = Service(tmp_path_factory.mktemp("home"), RETRAIND_SERVER__WORKERS="1").copied(served).start()
    running.wait_served(1)
    wait_until(lambda: running.ask("/readyz")[0] == 200)
    yield running
    running.end()


def stop_worker(service: Service) -> None:
    """What a person does with `kill`."""
    (worker,) = service.workers()
    os.kill(worker, signal.SIGTERM)


def reload(service: Service) -> None:
    """What `systemctl reload` does."""
    os.kill(service.pid, signal.SIGHUP)


def restart(service: Service) -> None:
    port = service.port
    assert service.stop() == 0
    service.start(port=port)


def crash(service: Service) -> None:
    port = service.port
    service.kill()
    service.start(port=port)


def others(service: Service, before: list[int]) -> bool:
    """Whether all workers are new and those of before are gone."""
    now = service.workers()
    return bool(now) and not set(now) & set(before)


@pytest.mark.timeout(120)
@pytest.mark.parametrize("replace", [stop_worker, reload, restart, crash])
def test_no_request_is_lost(service: Service, replace: Callable[[Service], None]) -> None:
    """Neither on new connections nor on kept ones; connections are refused only while no worker runs."""
    before = service.workers()
    with Load(service.port, pause=0.005) as load:
        wait_until(lambda: len(load.answers) > 100)
        replace(service)
        wait_until(partial(others, service, before), what=service.log()[-2000:])
        wait_until(lambda: service.ask("/readyz")[0] == 200)
        answered = len(load.answers)
        wait_until(lambda: len(load.answers) > answered + 100)
    assert load.failures == {}
    assert load.refused == 0 or replace is restart
    assert len(set(load.answers)) == len(load.answers)


def messages(service: Service) -> list[str]:
    return [event["message"] for event in service.ask("/events?limit=1000")[1]["events"]]


def test_a_replacement_is_reported(service: Service) -> None:
    before = service.workers()
    reload(service)
    wait_until(partial(others, service, before))
    # The keeper's thread replaces it; the loop records that at its next step.
    wait_until(lambda: "HTTP worker 0 was replaced." in messages(service), what=service.log()[-2000:])


def read_answer(connection: socket.socket) -> tuple[bytes, bytes]:
    """Status line and headers of an answer, in lower case; its body."""
    head, _, body = connection.recv(65_536).partition(b"\r\n\r\n")
    return head.lower(), body


def test_the_last_answer_on_a_kept_connection_says_so(own: Site) -> None:
    with socket.create_connection(("127.0.0.1", own.port), timeout=5) as kept:
        kept.sendall(REQUEST)
        assert b"connection: close" not in read_answer(kept)[0]
        own.process.send_signal(signal.SIGTERM)
        time.sleep(0.3)
        kept.sendall(REQUEST)
        head, _ = read_answer(kept)
        assert head.startswith(b"http/1.1 200")
        assert b"\r\nconnection: close" in head
        assert kept.recv(100) == b""
    assert own.process.wait(10) == 0


def test_whoever_connects_while_a_worker_stops_is_answered_by_it_or_by_the_next(own: Site) -> None:
    """At every moment of its farewell, also if the client sends nothing at first."""
    own.process.send_signal(signal.SIGTERM)
    clients = []
    while own.process.poll() is None:
        clients.append(socket.create_connection(("127.0.0.1", own.port), timeout=10))
        time.sleep(0.02)
        if len(clients) > 10:
            clients[-10].sendall(REQUEST)
    for client in clients[-9:]:
        client.sendall(REQUEST)
    own.start()
    for client in clients[1:]:
        with client:
            assert read_answer(client)[0].startswith(b"http/1.1 200")
    assert len(clients) > 20


def test_idle_connections_are_closed_before_the_time_is_up(tmp_path: Path) -> None:
    site = Site(tmp_path, Settings(server=Server(drain_seconds=30)))
    with socket.create_connection(("127.0.0.1", site.port), timeout=5) as idle:
        idle.sendall(REQUEST)
        read_answer(idle)
        site.process.send_signal(signal.SIGTERM)
        assert idle.recv(100) == b""
        assert site.process.wait(10) == 0
    site.close()


def test_a_socket_that_is_given_up_empties_its_queue_and_takes_nothing_new() -> None:
    """What has connected is served; who comes later is neither accepted nor reset: its first packet is dropped."""
    with closing(bind("127.0.0.1", 0)) as listener:
        address = listener.getsockname()
        with socket.create_connection(address, timeout=5) as early, socket.socket() as late:
            refuse_new(listener)
            late.settimeout(0.3)
            with pytest.raises(TimeoutError):
                late.connect(address)
            connection, _ = listener.accept()
            with connection:
                early.sendall(b"x")
                assert connection.recv(1) == b"x"
            with pytest.raises(BlockingIOError):
                listener.accept()


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_new_connections_go_to_the_newest_socket_alone(host: str) -> None:
    """Twice in a row, as daemons are killed and started again; the socket before is then emptied and closed."""
    with closing(bind(host, 0)) as first:
        address = first.getsockname()
        old = first
        for _ in range(2):
            new = bind(host, address[1], ours=[os.getpid()])
            new.listen()
            take_new_connections(new)
            for _ in range(30):
                socket.create_connection(address[:2], timeout=5).close()
                new.accept()[0].close()
            with pytest.raises(BlockingIOError):
                old.accept()
            old.close()
            socket.create_connection(address[:2], timeout=5).close()
            new.accept()[0].close()
            old = new
        old.close()


def test_a_worker_that_does_not_get_ready_replaces_no_other(home: Home) -> None:
    """A version that can no more be loaded: the worker that has it in memory goes on."""
    home.schema.write_bytes(bundles.SCHEMA.dump())
    bundles.point(home, bundles.make(home, 1))
    workers = Workers(home, Settings(server=Server(port=0)), 1)
    now = time.monotonic()
    try:
        workers.supervise(now)
        wait_until(lambda: list(home.workers.glob("0-*.json")))
        (home.bundle(1) / "model.onnx").write_bytes(b"broken")
        workers.renew()
        workers.supervise(now)
        (message,) = wait_until(lambda: workers.supervise(now))
        assert "could not be replaced" in message
        assert workers.address is not None
        with socket.create_connection(workers.address, timeout=5) as connection:
            connection.sendall(REQUEST)
            assert read_answer(connection)[0].startswith(b"http/1.1 200")
    finally:
        workers.close()


def test_what_a_worker_cannot_load_is_reported_once(home: Home) -> None:
    """The daemon has verified the bundle; if a worker can't load it all the same, the journal says so, and the old one stays."""
    home.schema.write_bytes(bundles.SCHEMA.dump())
    bundles.point(home, bundles.make(home, 1))
    workers = Workers(home, Settings(server=Server(port=0)), 1)
    try:
        workers.supervise(time.monotonic())
        wait_until(lambda: list(home.workers.glob("0-*.json")))
        pointer = bundles.make(home, 2)
        (home.bundle(2) / "model.onnx").write_bytes(b"broken")
        bundles.point(home, pointer)
        (message,) = wait_until(lambda: workers.supervise(time.monotonic()))
        assert message.startswith("HTTP worker 0: ")
        assert "model.onnx is not the file that was recorded" in message
        time.sleep(1.5)
        assert workers.supervise(time.monotonic()) == []
    finally:
        workers.close()
