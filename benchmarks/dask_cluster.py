"""A Dask scheduler and its workers, as processes, as a person would start them from the command line; for benchmarks and tests."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

ROOT = Path(__file__).parents[1]

START_SECONDS = 60.0
"""Seconds in which workers must have started."""


class DaskCluster:
    """A scheduler on this machine, and processes with workers; `tls` gives the options of the scheduler and of a worker."""

    def __init__(
        self,
        folder: Path,
        tls: Callable[[str], list[str]] | None = None,
        variables: Mapping[str, str] | None = None,
    ) -> None:
        self.folder, self._tls, self._variables = folder, tls, dict(variables or {})
        folder.mkdir(exist_ok=True)
        with socket.create_server(("127.0.0.1", 0)) as listener:
            self.port = int(listener.getsockname()[1])
        self._nannies: list[subprocess.Popen[bytes]] = []
        self.scheduler = self._start("scheduler", "--host", "127.0.0.1", "--port", str(self.port))

    @property
    def address(self) -> str:
        """The address of the scheduler."""
        return f"{'tls' if self._tls else 'tcp'}://127.0.0.1:{self.port}"

    def start_worker(self, path: str = "") -> None:
        """Start a nanny and its worker of one thread; `path` comes before all other folders that it imports from."""
        options = "--nthreads", "1", "--local-directory", str(self.folder / f"worker-{len(self._nannies)}")
        self._nannies.append(self._start("worker", self.address, *options, path=path))

    def await_workers(self) -> None:
        """Wait until all workers are known to the scheduler, by their logs."""
        deadline = time.monotonic() + START_SECONDS
        while not all("Registered to:" in log.read_text() for log in self.folder.glob("worker-*.log")):
            assert time.monotonic() < deadline, f"the workers did not start; their logs are in {self.folder}"
            time.sleep(0.05)

    @property
    def workers(self) -> set[int]:
        """The process ids of all workers."""
        return {pid for nanny in self._nannies if nanny.poll() is None for pid in _workers_of(nanny)}

    def close(self) -> None:
        """Kill all, nannies first, because they would start other workers."""
        workers = self.workers
        for process in (*self._nannies, self.scheduler):
            process.kill()
            process.wait()
        for pid in workers:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def _start(self, part: str, *options: str, path: str = "") -> "subprocess.Popen[bytes]":
        places = filter(None, [path, str(ROOT), str(ROOT / "tests")])
        variables = {"PYTHONPATH": os.pathsep.join(places), **self._variables}
        command = [sys.executable, "-P", "-m", f"distributed.cli.dask_{part}", *options, "--no-dashboard"]
        with (self.folder / f"{part}-{len(self._nannies)}.log").open("w") as log:
            return subprocess.Popen(
                command + (self._tls(part) if self._tls else []),
                stdout=log,
                stderr=log,
                env=os.environ | variables,
                cwd=self.folder,
            )


def _workers_of(nanny: "subprocess.Popen[bytes]") -> list[int]:
    """The workers of a nanny; its other child tracks resources."""
    threads = Path(f"/proc/{nanny.pid}/task").glob("*/children")
    children = [pid for thread in threads for pid in thread.read_text().split()]
    return [int(pid) for pid in children if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()]
