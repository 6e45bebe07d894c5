"""What every benchmark needs: the real service in a temporary home, and a client."""

import http.client
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

from benchmarks.network import HERE, Machine
from retraind.daemon.core import durable
from retraind.daemon.core.home import Home
from retraind.daemon.core.journal_rows import EventRow
from retraind.daemon.records.records import Records

T = TypeVar("T")

ROOT = Path(__file__).resolve().parent.parent
ROW = [5.1, 3.5, 1.4, 0.2]
"""An Iris flower to predict."""

PATIENCE = 120.0
"""Seconds after which whatever is waited for counts as never happening: no benchmark may hang."""


class NeverHappened(RuntimeError):
    """Something that was waited for did not happen in time; says what, and the end of the service's log."""


def wait_for(what: str, probe: Callable[[], T | None], seconds: float = PATIENCE, pause: float = 0.005) -> T:
    """Ask `probe` every `pause` seconds until it gives something; raises NeverHappened after `seconds`."""
    deadline = time.monotonic() + seconds
    while (result := probe()) is None:
        if time.monotonic() > deadline:
            raise NeverHappened(f"{what} did not happen within {seconds:g} s.")
        time.sleep(pause)
    return result


class Client:
    """One keep-alive connection to a service; connects again by itself after an error."""

    def __init__(self, port: int, host: str = "127.0.0.1") -> None:
        self._connection = http.client.HTTPConnection(host, port, timeout=10)

    def ask(self, path: str, body: Any = None) -> tuple[int, Any]:
        """Status and JSON of a GET, or with `body` of a POST; raises OSError or HTTPException."""
        try:
            data = None if body is None else json.dumps(body).encode()
            self._connection.request(
                "GET" if data is None else "POST", path, data, {"Content-Type": "application/json"}
            )
            answer = self._connection.getresponse()
            return answer.status, json.loads(answer.read())
        except (OSError, http.client.HTTPException):
            self._connection.close()
            raise

    def predict(self) -> dict[str, Any] | None:
        """The answer to one prediction; None if there is none."""
        with suppress(OSError, http.client.HTTPException):
            status, answer = self.ask("/predict", {"features": ROW})
            return dict(answer) if status == 200 else None
        return None

    def version(self) -> int | None:
        """The version that a prediction names; None if none predicts."""
        answer = self.predict()
        return None if answer is None else int(answer["model_version"])

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


class Service:
    """`retraind run` on 127.0.0.1 as a user starts it; settings as `section__name=value`, handed over by environment."""

    command = "run"
    machine: Machine
    """Where it runs; set it before the start."""

    def __init__(self, folder: Path, **settings: object) -> None:
        self.home, self.machine = Home(folder / "home"), HERE
        self.records = Records(self.home)
        self.port = 0
        self._out, self._log = folder / "out.txt", folder / "log.txt"
        self._environment = os.environ | {f"RETRAIND_{key.upper()}": str(value) for key, value in settings.items()}
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> float:
        """Start, on the port of the last time; returns the moment before the process was made (monotonic seconds)."""
        program = [*self.machine.within, sys.executable, "-m", "retraind.daemon", self.command]
        command = [*program, "--home", str(self.home.root), "--host", self.machine.address, "--port", str(self.port)]
        self.home.root.mkdir(exist_ok=True)
        with self._out.open("wb") as out, self._log.open("ab") as log:
            started = time.monotonic()
            self._process = subprocess.Popen(
                command, stdout=out, stderr=log, env=self._environment, cwd=ROOT, start_new_session=True
            )
        if not self.port:
            self.port = self.wait_for("the announcement of the port", self._announced)
        return started

    def client(self) -> Client:
        """A client of it."""
        return Client(self.port, self.machine.address)

    def wait_for(self, what: str, probe: Callable[[], T | None], seconds: float = PATIENCE, pause: float = 0.005) -> T:
        """Like the function, but gives up at once when the service ends, and shows its log."""

        def check() -> T | None:
            if self._process is None or self._process.poll() is not None:
                raise NeverHappened("the service ended by itself")
            return probe()

        try:
            return wait_for(what, check, seconds, pause)
        except NeverHappened as error:
            raise NeverHappened(f"{what}: {error}\n{self.tail()}") from None

    def tail(self, lines: int = 15) -> str:
        """The end of the service's log."""
        return "\n".join(self._log.read_text(errors="replace").splitlines()[-lines:])

    def wait_started(self) -> None:
        """Wait until a model is served and the trainer waits for work."""
        self.wait_answers()
        self.wait_idle()

    def wait_answers(self) -> None:
        """Wait until a model is served."""
        client = self.client()
        self.wait_for("the first prediction", client.version, pause=0.05)
        client.close()

    def wait_idle(self) -> None:
        """Wait until the trainer has nothing to do and is ready to be given something."""
        self.wait_for("a trainer that is ready", self._trainer_waits, pause=0.05)

    def events(self, kind: str, after: int = 0) -> list[EventRow]:
        """Events of one kind with a larger number than `after`, oldest first."""
        return [event for event in self.records.events.after(after=after, limit=10_000) if event["kind"] == kind]

    def last_event(self) -> int:
        """Number of the newest event."""
        return max((int(event["id"]) for event in self.records.events.newest(1)), default=0)

    def terminate(self) -> None:
        """Ask the daemon to stop (SIGTERM) and wait until it and its children have."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(60)

    def kill(self, *, workers: bool) -> None:
        """Kill (-9) the daemon (the trainer dies with it) and, if asked, the HTTP workers, which would outlive it."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        for pid in self.worker_pids() if workers else []:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def preload(self, library: Path, **variables: str) -> None:
        """Load a library before all else from the next start on, with these variables of the environment."""
        self._environment |= {"LD_PRELOAD": str(library), **variables}

    @property
    def ended(self) -> int | None:
        """The exit code of a daemon that has ended; None while it runs, or was never started."""
        return None if self._process is None else self._process.poll()

    @property
    def pid(self) -> int:
        """Pid of the daemon."""
        assert self._process is not None
        return self._process.pid

    def worker_pids(self) -> list[int]:
        """Pids of the HTTP workers of this home: each holds the lock that carries its pid."""
        pids = []
        for path in self.home.workers.glob("*.lock"):
            fd = durable.try_lock(path)
            if fd is None:
                pids.append(int(path.stem.split("-")[1]))
            else:
                os.close(fd)
        return pids

    def close(self) -> None:
        """Stop everything that was started, however it is by now."""
        try:
            self.terminate()
        except subprocess.TimeoutExpired:
            pass
        finally:
            self.kill(workers=True)

    def _announced(self) -> int | None:
        line = self._out.read_text().partition("\n")[0]
        return int(line.rsplit(":", 1)[1].partition("/")[0]) if "/dashboard" in line else None

    def _trainer_waits(self) -> bool | None:
        status = self.home.status
        answer = json.loads(status.read_bytes()) if status.exists() else {}
        # The status of a daemon that was killed stays behind, and says that all is well.
        if self._process is None or answer.get("pid") != self._process.pid:
            return None
        detail = answer.get("checks", {}).get("trainer", {}).get("detail") or ""
        ready = detail.startswith(("Ready", "Asleep"))
        return True if ready and answer.get("training") is None else None


@contextmanager
def running(**settings: object) -> Iterator[Service]:
    """A service with its first model (Iris) served, in a temporary home that is removed afterwards."""
    signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))
    with tempfile.TemporaryDirectory(prefix="retraind-benchmark-", ignore_cleanup_errors=True) as folder:
        service = Service(Path(folder), **settings)
        try:
            service.start()
            service.wait_started()
            yield service
        finally:
            service.close()
