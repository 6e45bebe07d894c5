"""A Dask scheduler and its workers, as processes, as somebody would start them from the command line."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from certificates import Authority, Signed
from ports import free_port, listens
from service import wait_until

ROOT = Path(__file__).parents[1]


class DaskCluster:
    """A scheduler, with TLS if there is an authority, and processes with workers."""

    def __init__(self, folder: Path, authority: Authority | None = None) -> None:
        self._folder, self._authority, self.port = folder, authority, free_port()
        folder.mkdir(exist_ok=True)
        self.processes: list[subprocess.Popen[bytes]] = []
        self.scheduler = self._start("scheduler", "--host", "127.0.0.1", "--port", str(self.port))

    @contextlib.contextmanager
    def held(self) -> Iterator[Callable[[], list[int]]]:
        """Hold the fits of crashing:Held; gives the processes that wait in one."""
        (self._folder / "hold").touch()
        try:
            yield lambda: [int(path.name) for path in self._folder.iterdir() if path.name.isdigit()]
        finally:
            self.release()
            for path in [path for path in self._folder.iterdir() if path.name.isdigit()]:
                path.unlink()

    def release(self) -> None:
        """Let the fits go on."""
        (self._folder / "hold").unlink(missing_ok=True)

    @property
    def worker_pids(self) -> set[int]:
        """The processes of all workers."""
        return {pid for nanny in self.processes[1:] if nanny.poll() is None for pid in workers_of(nanny)}

    @property
    def address(self) -> str:
        return f"{'tls' if self._authority else 'tcp'}://127.0.0.1:{self.port}"

    def settings(self, authority: Authority | None = None) -> dict[str, Any]:
        """Settings of trainings that use it, with a certificate of this authority, or of its own."""
        chosen: dict[str, Any] = {"engine": "dask", "scheduler": self.address}
        if authority := authority or self._authority:
            trainer = authority.sign("trainer")
            files = {"ca": authority.certificate, "cert": trainer.certificate, "key": trainer.key}
            chosen |= {f"scheduler_{name}": str(file) for name, file in files.items()}
        return chosen

    def start_worker(self, *options: str, path: str = "") -> "subprocess.Popen[bytes]":
        """A nanny and its worker, with this folder before all others that it imports from."""
        folder = self._folder / f"worker-{len(self.processes)}"
        common = "--nthreads", "1", "--local-directory", str(folder)
        return self._start("worker", self.address, *common, *options, path=path)

    def await_scheduler(self) -> None:
        wait_until(lambda: listens(self.port), 60, "the scheduler")

    def _start(self, part: str, *arguments: str, path: str = "") -> "subprocess.Popen[bytes]":
        options = list(arguments)
        if self._authority:
            signed = self._authority.sign(part)
            options += ["--tls-ca-file", str(self._authority.certificate), *_files(signed)]
        places = [path, str(ROOT), str(ROOT / "tests")]
        environment = os.environ | {
            "PYTHONPATH": os.pathsep.join(filter(None, places)),
            "CRASHING_HELD": str(self._folder),
        }
        command = [sys.executable, "-P", "-m", f"distributed.cli.dask_{part}", *options, "--no-dashboard"]
        with (self._folder / f"{part}-{len(self.processes)}.log").open("w") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log, env=environment, cwd=self._folder)
        self.processes.append(process)
        return process

    def close(self) -> None:
        """Kill all, nannies first, because they would start other workers."""
        workers = self.worker_pids
        for process in self.processes:
            process.kill()
            process.wait()
        for pid in workers:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def _files(signed: Signed) -> list[str]:
    return ["--tls-cert", str(signed.certificate), "--tls-key", str(signed.key)]


def workers_of(nanny: "subprocess.Popen[bytes]") -> list[int]:
    """The process ids of a nanny's workers, which run Python; its other child tracks resources."""
    threads = Path(f"/proc/{nanny.pid}/task").glob("*/children")
    children = [pid for thread in threads for pid in thread.read_text().split()]
    return [int(pid) for pid in children if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()]
