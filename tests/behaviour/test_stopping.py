"""SIGTERM and Ctrl-C at any moment end everything that was started: real processes, found again by the path of their home."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from service import FAST, REPOSITORY, Service, wait_until

pytestmark = pytest.mark.timeout(400)  # on a busy machine the first version alone takes two minutes

MOMENTS = [*(number * 0.05 for number in range(8)), *(0.5 + number * 0.22 for number in range(12))]
"""Seconds after the start: closely at first, when handlers, workers and imports begin."""


def started(home: Path, *before: str) -> "subprocess.Popen[bytes]":
    """`retraind run`, a moment ago."""
    command = [*before, sys.executable, "-m", "retraind.daemon", "run", "--home", str(home), "--port", "0"]
    home.mkdir(exist_ok=True)
    with (home / "stderr.log").open("ab") as log:
        return subprocess.Popen(command, cwd=REPOSITORY, env=os.environ | FAST, stdout=log, stderr=log)


def can_unshare() -> bool:
    """Whether this machine lets us make a PID namespace."""
    command = ["unshare", "--pid", "--fork", "--mount-proc", "true"]
    return (
        shutil.which("unshare") is not None
        and subprocess.run(command, check=False, capture_output=True).returncode == 0
    )


def of(home: Path) -> list[tuple[int, str]]:
    """Processes that name this home, with their command."""
    members = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except (FileNotFoundError, ProcessLookupError):
            continue
        if str(home) in command:
            members.append((int(folder.name), command))
    return members


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_signal_at_any_moment_of_the_start_ends_everything(tmp_path: Path) -> None:
    """The process says so by its code: 0 once it has begun to run, else what a signal gives."""
    home, codes = tmp_path / "home", []
    for number, moment in enumerate(MOMENTS):
        process = started(home)
        time.sleep(moment)
        process.send_signal(signal.SIGINT if number % 2 else signal.SIGTERM)
        codes.append(process.wait(30))
        wait_until(lambda: not of(home), 10, f"nobody left {moment:.2f} s after the start: {of(home)}")
    # 1 is Python's own, for Ctrl-C before it is up itself.
    assert set(codes) <= {0, 1, 128 + signal.SIGTERM, 128 + signal.SIGINT, -signal.SIGTERM, -signal.SIGINT}


@pytest.mark.parametrize(
    ("what", "number"),
    [
        ("lock", signal.SIGTERM),
        ("worker", signal.SIGINT),
        ("importing", signal.SIGTERM),
        *(
            pytest.param(*ends, marks=pytest.mark.slow)
            for ends in (("lock", signal.SIGINT), ("worker", signal.SIGTERM), ("importing", signal.SIGINT))
        ),
    ],
    ids=lambda value: getattr(value, "name", value),
)
def test_a_signal_during_the_start_ends_everything(tmp_path: Path, what: str, number: signal.Signals) -> None:
    """With 0, and without waiting for what is still imported."""
    service = Service(tmp_path / "home")
    home = service.home
    signs: dict[str, Callable[[], object]] = {
        "lock": lambda: home.lock.exists() and home.lock.read_text().strip(),
        "worker": lambda: list(home.workers.glob("*.lock")),
        "importing": lambda: "importing" in home.status.read_text(),
    }
    process = started(home.root)
    wait_until(lambda: home.registry.exists() and (what != "importing" or home.status.exists()))
    wait_until(signs[what])
    process.send_signal(number)
    assert process.wait(30) == 0
    wait_until(lambda: not of(home.root), 10, f"nobody left: {of(home.root)}")


@pytest.mark.parametrize("ready", [False, True], ids=["importing", "serving"])
def test_a_second_signal_leaves_no_process(tmp_path: Path, served: Path, ready: bool) -> None:
    """While libraries are imported, or a request is answered slowly: the daemon ends at once and tells all whom it has started."""
    service = Service(tmp_path / "home", RETRAIND_SERVER__DRAIN_SECONDS="3", RETRAIND_TRAIN__IDLE_SECONDS="0")
    try:
        service.copied(served).start()
        wait_until(service.trainer)
        if ready:
            wait_until(service.predict, 240)
        assert service.process is not None
        service.process.send_signal(signal.SIGINT)
        service.process.send_signal(signal.SIGINT)
        code = service.process.wait(30)
        wait_until(lambda: not of(service.home.root), 10, f"nobody left: {of(service.home.root)}")
    finally:
        service.end()
    # Two signals that come at once are one to the kernel.
    assert code in (128 + signal.SIGINT, 0)


def hears(pid: int, number: int) -> bool:
    """Whether a process has asked for a signal."""
    status = Path(f"/proc/{pid}/status").read_text()
    return bool(int(status.split("SigCgt:")[1].split()[0], 16) >> (number - 1) & 1)


@pytest.mark.skipif(not can_unshare(), reason="no PID namespace can be made here")
@pytest.mark.parametrize("moment", [0.3, 1.0, 2.0])
def test_the_first_process_of_a_container_hears_the_first_signal(tmp_path: Path, moment: float) -> None:
    """The kernel delivers to PID 1 only signals that it handles; no process is left in the end."""
    home = tmp_path / "home"
    process = started(home, "unshare", "--pid", "--fork", "--mount-proc", "--kill-child")
    (first,) = wait_until(lambda: [pid for pid, command in of(home) if not command.startswith("unshare")][:1])
    wait_until(lambda: hears(first, signal.SIGTERM))  # before Python is up the kernel drops it
    time.sleep(moment)
    os.kill(first, signal.SIGTERM)
    assert process.wait(30) in (0, 128 + signal.SIGTERM)
    wait_until(lambda: not of(home), 10, f"nobody left: {of(home)}")


ORPHAN = """
import os, subprocess, sys, time
from retraind.daemon.core import process_table
from retraind.daemon.processes.reaper import GRACE_SECONDS, Orphans

ours = subprocess.Popen([sys.executable, "-c", "raise SystemExit(7)"])
theirs = subprocess.run(["sh", "-c", "sh -c 'sleep 0.2' & echo $!"], stdout=subprocess.PIPE, text=True)
stranger = int(theirs.stdout)
while {one.pid for one in process_table.children(1) if one.state == "Z"} != {ours.pid, stranger}:
    time.sleep(0.05)
orphans = Orphans()
orphans.reap(0.0)
orphans.reap(GRACE_SECONDS - 1)
assert {one.pid for one in process_table.children(1)} == {ours.pid, stranger}
assert ours.wait() == 7
orphans.reap(GRACE_SECONDS)
assert process_table.children(1) == []
"""


@pytest.mark.skipif(not can_unshare(), reason="no PID namespace can be made here")
def test_the_first_process_of_a_container_reaps_what_is_left_to_it() -> None:
    """What it has started itself keeps its exit code for whoever waits for it."""
    command = ["unshare", "--pid", "--fork", "--mount-proc", sys.executable, "-c", ORPHAN]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
