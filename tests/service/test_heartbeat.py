"""retraind.daemon.service.heartbeat and retraind.daemon.processes.worker_keeper: a heartbeat and workers whatever the loop does. Threads, files and clocks as they are."""

import os
import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from service import wait_until

from retraind.daemon.core import status
from retraind.daemon.core.home import Home
from retraind.daemon.core.status import Status
from retraind.daemon.processes import systemd
from retraind.daemon.service.heartbeat import Heartbeat
from retraind.daemon.service.service import starting


@contextmanager
def beating(home: Home) -> Iterator[Heartbeat]:
    """A heartbeat of this process, which is ready."""
    heartbeat = Heartbeat(home.status, starting(home).model_copy(update={"state": "ready"}))
    heartbeat.start()
    try:
        yield heartbeat
    finally:
        heartbeat.stop()


def published(home: Home) -> Status:
    """The last word."""
    state = status.read(home.status)
    assert state is not None
    return state


def test_a_long_step_has_a_heartbeat_and_a_name(home: Home) -> None:
    """Afterwards it is the longest of the hour, until one takes longer."""
    with beating(home) as heartbeat:
        with heartbeat.step("looking"):
            heartbeat.rename("counting sheep")
            began = published(home).heartbeat
            wait_until(lambda: published(home).heartbeat > began + 3, 20)
            state = published(home)
            assert state.alive
            assert state.step is not None
            assert state.step.name == "counting sheep"
        with heartbeat.step("a short one"):
            pass
        heartbeat.publish(published(home))
    assert published(home).step is None
    longest = published(home).longest_step
    assert longest is not None
    assert (longest.name, longest.seconds > 3) == ("counting sheep", True)


def test_a_step_that_hangs_has_no_heartbeat(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once it is over its limit, neither who reads the status nor systemd is told that the loop turns."""
    monkeypatch.setattr(status, "STALE_SECONDS", 3.0)
    with beating(home) as heartbeat:
        with heartbeat.step("hanging", limit=0.5):
            assert published(home).alive
            wait_until(lambda: not published(home).alive, 10)
        wait_until(lambda: published(home).alive, 10)


def test_the_longest_is_followed_by_the_longest_since(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """What ended an hour ago counts no more."""
    now = 1000.0
    monkeypatch.setattr("retraind.daemon.service.heartbeat.time.monotonic", lambda: now)
    heartbeat = Heartbeat(home.status, starting(home).model_copy(update={"state": "ready"}))
    for name, seconds in (("first", 5.0), ("second", 9.0), ("third", 2.0), ("fourth", 3.0)):
        with heartbeat.step(name):
            now += seconds
    assert str(heartbeat.longest()) == "name='second' seconds=9.0"
    now += 3600 - 4
    assert str(heartbeat.longest()) == "name='fourth' seconds=3.0"
    now += 10
    assert heartbeat.longest() is None


def test_systemd_hears_of_long_steps_and_of_a_start_that_goes_on(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By its own socket: else it would end a start of several minutes, and a step that outlasts its watchdog."""
    path = tmp_path / "notify"
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as manager:
        manager.bind(str(path))
        manager.settimeout(10)
        monkeypatch.setenv("NOTIFY_SOCKET", str(path))
        systemd.notify(STATUS="x")
        assert manager.recv(100) == b"STATUS=x"
        heartbeat = Heartbeat(home.status, starting(home))
        heartbeat.start()
        try:
            heard = {manager.recv(100) for _ in range(4)}
        finally:
            heartbeat.stop()
    assert heard == {b"WATCHDOG=1", b"EXTEND_TIMEOUT_USEC=60000000"}


def test_the_figures_of_the_daemon_before_are_shown_until_they_are_counted(home: Home) -> None:
    assert starting(home).rows == 0
    known = {"pid": 1, "state": "ready", "heartbeat": 0.0, "at": "then", "started_at": "then"}
    status.publish(home.status, Status.model_validate({**known, "rows": 150, "rows_pending": 3}))
    state = starting(home)
    assert (state.rows, state.rows_pending, state.pid, state.state) == (150, 3, os.getpid(), "starting")
