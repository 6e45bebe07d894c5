"""moto's S3 server, one for the tests of a process; a plugin of pytest."""

import contextlib
import functools
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
import run_wide
from service import wait_until

NAME = "moto"

_started: list["subprocess.Popen[bytes]"] = []
"""Kept, because Python complains of a process that runs on and is forgotten."""


class Moto:
    """A running server, which keeps its objects in memory."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.endpoint = f"http://127.0.0.1:{port}"

    def answers(self) -> bool:
        """Whether it has started."""
        with contextlib.suppress(OSError), urllib.request.urlopen(self.endpoint, timeout=5) as answer:
            return bool(answer.status == 200)
        return False


def free_port() -> int:
    """A port that nothing listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def start(folder: Path) -> str:
    """Start one; its port and process."""
    port = free_port()
    with (folder / "moto.log").open("w") as log:
        command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
        process = subprocess.Popen(command, stdout=log, stderr=log)
    _started.append(process)
    wait_until(Moto(port).answers, 60, "moto's server")
    return f"{port} {process.pid}"


def share_models() -> None:
    """Let all clients of this process read botocore's description of S3 once: each would search two thousand folders for it."""
    import botocore.session

    botocore.session.create_loader = functools.cache(botocore.session.create_loader)


@pytest.fixture(scope="session")
def moto(pytestconfig: pytest.Config) -> Moto:
    """The server that the tests share: each takes buckets of its own."""
    share_models()
    base = run_wide.folder(pytestconfig)
    return Moto(int(run_wide.noted(base, NAME, lambda: start(base)).split()[0]))


def pytest_sessionfinish(session: pytest.Session) -> None:
    """End the server that the tests have shared."""
    for note in run_wide.forgotten(run_wide.folder(session.config), NAME):
        os.kill(int(note.split()[1]), signal.SIGKILL)
