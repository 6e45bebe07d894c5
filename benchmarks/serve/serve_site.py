"""HTTP workers as the daemon starts them, mostly one, on a socket of 127.0.0.1, with nothing else beside them."""

import http.client
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from benchmarks.harness import ROOT, Client, NeverHappened, wait_for
from retraind.daemon.core.home import Home

WORKER = "retraind.web.server"
EMPTY = "benchmarks.serve.serve_empty"


@dataclass(frozen=True)
class Site:
    """A running worker, the first of them; `cold` is how many seconds passed from its start to its first prediction."""

    home: Home
    port: int
    pid: int
    cold: float

    @property
    def resident(self) -> float:
        """Resident memory in MB."""
        pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


@contextmanager
def running(home: Home, row: list[float], module: str = WORKER, workers: int = 1) -> Iterator[Site]:
    """Workers that answer `row`, until the end of the block."""
    with socket.create_server(("127.0.0.1", 0), backlog=4096) as listener:
        fd, port = listener.fileno(), listener.getsockname()[1]
        started = time.monotonic()
        with (home.root / "worker.log").open("ab") as log:
            processes = [_start(home, module, slot, fd, log) for slot in range(workers)]
        try:
            client = Client(port)

            def answers() -> bool | None:
                if any(process.poll() is not None for process in processes):
                    raise NeverHappened(f"a worker ended by itself: {home.root / 'worker.log'}")
                with suppress(OSError, http.client.HTTPException):
                    return client.ask("/predict", {"features": row})[0] == 200 or None
                return None

            wait_for("the first prediction", answers)
            client.close()
            yield Site(home, port, processes[0].pid, time.monotonic() - started)
        finally:
            for process in processes:
                process.terminate()
            for process in processes:
                process.wait(30)


def _start(home: Home, module: str, slot: int, fd: int, log: IO[bytes]) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", module, "--home", str(home.root), "--slot", str(slot), "--fd", str(fd)]
    return subprocess.Popen(command, cwd=ROOT, pass_fds=[fd], stdout=log, stderr=log)
