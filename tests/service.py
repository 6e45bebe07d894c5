"""A real retraind in a folder of its own, for tests: started, asked, killed, looked at. Waits have deadlines."""

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import postgres
import pyarrow as pa

from retraind.daemon.core.home import Home
from retraind.daemon.core.status import read as read_status
from retraind.daemon.dataset.segments import read
from retraind.daemon.storage.journal import Journal

T = TypeVar("T")

REPOSITORY = Path(__file__).parent.parent
FAST = {
    "RETRAIND_INBOX__SETTLE_SECONDS": "0.1",
    "RETRAIND_INBOX__SCAN_SECONDS": "1",
    "RETRAIND_RETRAIN__COOLDOWN_SECONDS": "0",
    "RETRAIND_RETRAIN__THRESHOLD_ROWS": "5",
    "RETRAIND_RETRAIN__GROWTH": "0",
    "RETRAIND_TRAIN__CANDIDATES": '["logistic"]',
    "RETRAIND_TRAIN__REPORT_ROWS": "0",
    "RETRAIND_TRAIN__NICE": "0",
}
"""Waits are short, and a training is one candidate without textbook figures: few tests of a service are about either.

Nor is the trainer nice: beside three other tests it would get a tenth of a core, and its test would wait.
"""

UNTRAINED = {"RETRAIND_RETRAIN__THRESHOLD_ROWS": "1000000"}
"""For tests whose drops are to start no training: the trainer sleeps on, which spares seconds for each drop and each start."""


def wait_until(ask: Callable[[], T | None], seconds: float = 150, what: str = "") -> T:
    """The first true answer; fails after `seconds`, naming `what`."""
    started = time.monotonic()
    while not (answer := ask()):
        waited = time.monotonic() - started
        assert waited < seconds, f"still waiting after {seconds} s: {what or ask}"
        # Questions take the processor from what they wait for: a training would be asked for fifty times a second.
        time.sleep(min(0.02 + waited / 20, 0.25))
    return answer


class Service:
    """One home and the processes that serve it."""

    command: tuple[str, ...] = (sys.executable, "-m", "retraind.daemon")
    folder: Path = REPOSITORY
    """Where it is started."""

    def __init__(self, root: Path, **settings: str) -> None:
        self.home = Home(root)
        self._settings = settings
        self.process: subprocess.Popen[str] | None = None
        self.url = ""

    def start(self, *, port: int = 0) -> "Service":
        """Start `retraind run`; returns once it has said where it listens."""
        environment = {**os.environ, **FAST, **self._settings}
        command = [*self.command, "run", "--home", str(self.home.root), "--port", str(port)]
        self.home.root.mkdir(exist_ok=True)
        with (self.home.root / "stderr.log").open("ab") as log:
            self.process = subprocess.Popen(
                command, cwd=self.folder, env=environment, stdout=subprocess.PIPE, stderr=log, text=True
            )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        address = re.search(r"http://[^/]+", line)
        assert address, f"no address in {line!r}: {(self.home.root / 'stderr.log').read_text()[-2000:]}"
        self.url = address[0]
        return self

    def copied(self, home: Path) -> "Service":
        """Begin with a copy of a home that is at rest, not with an empty one."""
        shutil.copytree(home, self.home.root, symlinks=True, dirs_exist_ok=True)
        postgres.follow(self.home)
        return self

    def rest(self) -> None:
        """Wait until all rows are committed, nothing trains and the trainer is ready for the next job."""
        self.wait_ingested()
        wait_until(self.idle, 180, f"the training to end: {self.log()[-1500:]}")

    def idle(self) -> bool:
        """Whether nothing trains, and the trainer is ready for the next job."""
        status = read_status(self.home.status)
        if status is None or status.training is not None or "trainer" not in status.checks:
            return False  # a start shows no checks before it is done
        return status.checks["trainer"].detail == "Ready." or status.checks["trainer"].detail.startswith("Asleep")

    @property
    def port(self) -> int:
        """The port that the service listens on."""
        return int(self.url.rsplit(":", 1)[1])

    @property
    def pid(self) -> int:
        """The daemon's process id."""
        assert self.process is not None
        return self.process.pid

    def stop(self) -> int:
        """SIGTERM and wait; returns the exit code."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(30)

    def kill(self) -> None:
        """SIGKILL the daemon itself; its workers live on."""
        assert self.process is not None
        self.process.kill()
        self.process.wait(10)

    def end(self) -> None:
        """Whatever still runs for this home, end it."""
        if self.process is not None and self.process.poll() is None:
            self.stop()
        for pid in self.workers():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def workers(self) -> list[int]:
        """Pids of this home's HTTP workers."""
        pids = [int(path.stem.split("-")[1]) for path in self.home.workers.glob("*.lock")]
        return [pid for pid in pids if str(self.home.root) in _command(pid)]

    def trainer(self) -> int | None:
        """Pid of the process that waits for jobs."""
        return next((pid for pid in children(self.pid) if "retraind.daemon.training" in _command(pid)), None)

    # HTTP

    def ask(self, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        """GET, or POST `body` as JSON: status and decoded answer."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, {"Content-Type": "application/json", **headers})
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                status, text = answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            status, text = error.code, error.read().decode()
        with contextlib.suppress(json.JSONDecodeError):
            return status, json.loads(text)
        return status, text

    def predict(self) -> dict[str, Any] | None:
        """A prediction for the README's flower, or None while there is none."""
        with contextlib.suppress(OSError):
            status, answer = self.ask("/predict", {"features": [5.1, 3.5, 1.4, 0.2]})
            if status == 200:
                return dict(answer)
        return None

    def wait_served(self, version: int = 1, seconds: float = 150) -> dict[str, Any]:
        """Wait until at least `version` answers."""

        def served() -> dict[str, Any] | None:
            answer = self.predict()
            return answer if answer and answer["model_version"] >= version else None

        return wait_until(served, seconds, f"version {version} to answer: {self.log()[-1500:]}")

    def log(self) -> str:
        """The daemon's log so far."""
        return (self.home.root / "stderr.log").read_text()

    # Looking at the disk

    def drop(self, name: str, rows: list[str]) -> None:
        """Write a CSV of Iris rows into the inbox, the way `cp` does."""
        header = "sepal_length,sepal_width,petal_length,petal_width,species"
        (self.home.inbox / name).write_text("\n".join([header, *rows]) + "\n")

    def drops(self) -> list[str]:
        """Names that wait in the inbox."""
        return [path.name for path in self.home.inbox.iterdir() if path.is_file() and not path.name.startswith(".")]

    def wait_ingested(self) -> None:
        """Wait until the inbox is empty and every batch is committed."""

        def done() -> bool:
            with Journal.reading(self.home.journal) as journal:
                return not self.drops() and journal.batches.uncommitted() is None

        wait_until(done, what=f"an empty inbox, still {self.drops()}: {self.log()[-1500:]}")

    def rows(self) -> Counter[tuple[Any, ...]]:
        """Multiset of (features…, target) in the committed dataset, read as training reads it."""
        with Journal.reading(self.home.journal) as journal:
            segments = {segment["name"]: segment["sha256"] for segment in journal.segments.current()}
        table = pa.concat_tables(
            [piece for _, piece in read(self.home.segments, segments)], promote_options="permissive"
        )
        names = [name for name in table.column_names if not name.startswith("_")]
        return Counter(zip(*(table[name].to_pylist() for name in names), strict=True))

    def git(self, *arguments: str) -> str:
        """Output of git in data/."""
        command = ["git", "-c", "safe.directory=*", *arguments]
        return subprocess.run(command, cwd=self.home.data, check=True, capture_output=True, text=True).stdout.strip()

    def dvc(self, *arguments: str) -> str:
        """Output of dvc in data/."""
        command = [sys.executable, "-m", "dvc", *arguments]
        environment = {**os.environ, "DVC_NO_ANALYTICS": "1", "DVC_SITE_CACHE_DIR": str(self.home.root / "dvc-site")}
        for _ in range(10):
            done = subprocess.run(command, cwd=self.home.data, capture_output=True, text=True, env=environment)
            if "lock" not in done.stderr:
                break
            time.sleep(1)  # the service was using it
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()


def flowers(seed: int, count: int = 6) -> list[str]:
    """CSV rows near the centres of the three species, distinct for each seed."""
    centres = {"setosa": (5.0, 3.4, 1.5, 0.2), "versicolor": (5.9, 2.8, 4.3, 1.3), "virginica": (6.6, 3.0, 5.6, 2.0)}
    rows = []
    for index in range(count):
        name, centre = list(centres.items())[index % 3]
        shift = (seed * 7 + index) % 10 / 100
        rows.append(",".join([*(f"{value + shift + seed / 10000:.4f}" for value in centre), name]))
    return rows


def parsed(rows: list[str]) -> Counter[tuple[Any, ...]]:
    """Rows of `flowers` as `Service.rows` counts them."""
    cells = [row.split(",") for row in rows]
    return Counter((*map(float, row[:4]), row[4]) for row in cells)


def children(pid: int) -> list[int]:
    """Pids of a process's children."""
    listing = subprocess.run(["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True, check=False)
    return [int(found) for found in listing.stdout.split()]


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return ""
