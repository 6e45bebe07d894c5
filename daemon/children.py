"""Child processes: the HTTP workers, which outlive a crash of the daemon, and the trainer, which must not.

Level 3. A child that ends unasked is started again, at once the first time, then after growing pauses.
"""

import contextlib
import os
import queue
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from typing import Any

import orjson
import structlog

from daemon import durable
from daemon.errors import PortTaken
from daemon.home import Home
from daemon.settings import Settings

log = structlog.get_logger()

PAUSES = (0.0, 0.2, 1.0, 2.0, 5.0, 10.0)
"""Seconds before the n-th restart in a row; a child that lived for a minute starts again at the first."""


class Child:
    """One supervised process: `tend` starts it again when it has ended and its pause is over."""

    def __init__(self, command: Sequence[str], **options: Any) -> None:
        self._command, self._options = list(command), options
        self._started, self._failures = 0.0, 0
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def alive(self) -> bool:
        """Whether the process runs."""
        return self.process is not None and self.process.poll() is None

    def tend(self, now: float) -> str | None:
        """Start the process if it should run and does not; returns how the last one ended, if it did."""
        if self.alive:
            return None
        ended = None if self.process is None else f"ended with {self.process.returncode}"
        if self.process is not None:
            self._failures = 0 if now - self._started > 60 else self._failures + 1
            self.process = None
        if now - self._started >= PAUSES[min(self._failures, len(PAUSES) - 1)]:
            self._started = now
            self.process = subprocess.Popen(self._command, **self._options)
        return ended

    def stop(self, seconds: float) -> None:
        """Ask the process to end, wait, then kill it."""
        if self.process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            self.process.terminate()
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class Workers:
    """The HTTP workers. They share one listening socket, so that none of them takes a connection to its grave."""

    def __init__(self, home: Home, settings: Settings, slots: int) -> None:
        self._home, self._settings = home, settings
        self._old = _running_workers(home)
        self.socket = _bind(settings.server.host, settings.server.port, ours=bool(self._old))
        self.address: tuple[str, int] = self.socket.getsockname()[:2]
        self._children = [self._child(slot) for slot in range(slots)]

    def _child(self, slot: int) -> Child:
        arguments = ["--home", str(self._home.root), "--slot", str(slot), "--fd", str(self.socket.fileno())]
        command = [sys.executable, "-m", "web.server", *arguments, "--settings", self._settings.model_dump_json()]
        # A session of its own: Ctrl-C in a terminal must reach the daemon only, which then drains the workers.
        return Child(command, pass_fds=[self.socket.fileno()], start_new_session=True)

    def tend(self, now: float) -> list[str]:
        """Restart what died; returns a sentence for each worker that ended."""
        ended = [(slot, child.tend(now)) for slot, child in enumerate(self._children)]
        return [f"HTTP worker {slot} {how}; it is started again." for slot, how in ended if how]

    @property
    def alive(self) -> int:
        """How many workers run."""
        return sum(child.alive for child in self._children)

    def retire_old(self) -> int:
        """Let the workers of a daemon that was killed drain and end, once ours answer; returns how many."""
        for pid in self._old:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
        count, self._old = len(self._old), []
        return count

    def close(self) -> None:
        """Stop accepting, let requests in flight finish, end the workers."""
        for child in self._children:
            if child.process is not None and child.alive:
                child.process.terminate()
        for child in self._children:
            child.stop(self._settings.server.drain_seconds + 2)
        self.socket.close()


class Trainer:
    """The trainer: a process with its imports done that forks a child for each training.

    The messages it sends are taken with `messages`; `wake` is called for each. They are dicts with `ready`, when it waits
    for a job; or with the number of a `run` and how far it is (`stage`, see `daemon.progress`), a `note`, `done` or `failed`.
    """

    def __init__(self, home: Home, nice: int, wake: Callable[[], None]) -> None:
        command = [sys.executable, "-m", "daemon.trainer", str(home.root), str(nice)]
        # One thread for numerics: more would take the cores from predictions, and a fork must find no thread teams.
        threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
        self._child = Child(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=os.environ | threads,
            start_new_session=True,
        )
        self._wake = wake
        self._inbox: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self._reader: threading.Thread | None = None
        self.ready = False

    @property
    def pid(self) -> int | None:
        """Process id of the waiting trainer."""
        return None if self._child.process is None else self._child.process.pid

    def tend(self, now: float) -> str | None:
        """Restart the trainer when it has ended; returns how it ended."""
        before = self._child.process
        ended = self._child.tend(now)
        if self._child.process is not None and self._child.process is not before:
            self.ready = False
            self._reader = threading.Thread(target=self._read, args=(self._child.process,), daemon=True)
            self._reader.start()
        return ended

    @property
    def alive(self) -> bool:
        """Whether the waiting trainer runs."""
        return self._child.alive

    def train(self, job: dict[str, Any]) -> None:
        """Send a job; raises OSError when the trainer has just died."""
        process = self._child.process
        if process is None or process.stdin is None:
            raise BrokenPipeError("the trainer is not running")
        process.stdin.write(orjson.dumps(job) + b"\n")
        process.stdin.flush()
        self.ready = False

    def messages(self) -> list[dict[str, Any]]:
        """What the trainer has said since the last call, oldest first."""
        found = []
        while not self._inbox.empty():
            message = self._inbox.get()
            self.ready = self.ready or "ready" in message
            found.append(message)
        return found

    def kill(self) -> None:
        """End the trainer and what it trains; the next `tend` starts a fresh one."""
        if self._child.process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._child.process.pid, signal.SIGKILL)
            self._child.process.wait()

    def close(self) -> None:
        """End the trainer for good."""
        self.kill()
        if self._reader is not None:
            self._reader.join(timeout=5)

    def _read(self, process: subprocess.Popen[bytes]) -> None:
        if process.stdout is None:
            return
        for line in process.stdout:
            try:
                self._inbox.put(orjson.loads(line))
            except orjson.JSONDecodeError:
                log.warning("trainer_said", line=line.decode(errors="replace").rstrip()[:500])
            self._wake()
        self._wake()


def _running_workers(home: Home) -> list[int]:
    """Pids of workers of this home that still run: they hold the lock that carries their pid."""
    found = []
    for path in home.workers.glob("*.lock"):
        fd = durable.try_lock(path)
        if fd is None:
            found.append(int(path.stem.split("-")[1]))
            continue
        path.unlink()
        os.close(fd)
    return found


def _bind(host: str, port: int, *, ours: bool) -> socket.socket:
    """Bind; raises PortTaken. SO_REUSEPORT lets us bind beside the workers of a killed daemon.

    Beside old workers only the first new one listens, once it can answer: until then all connections go to the old ones.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    try:
        if port and not ours and _answers(host, port):
            raise OSError("somebody answers there")
        listener.bind((host, port))
        if not ours:
            listener.listen(1024)  # who connects before the first worker answers waits instead of being refused
    except OSError as error:
        listener.close()
        hint = "Stop it, or set server.port to a free one (`--port 0` finds one)."
        raise PortTaken(f"Can't listen on {host}:{port}: {error}.", hint=hint) from None
    listener.setblocking(False)
    return listener


def reachable(host: str) -> str:
    """Where a client on this machine reaches a listener: an address that means every one is asked on loopback."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - compared with, not bound to


def _answers(host: str, port: int) -> bool:
    # Two processes of one user may both bind a port with SO_REUSEPORT, so a failing bind alone would not tell.
    with contextlib.suppress(OSError), socket.create_connection((reachable(host), port), timeout=1):
        return True
    return False
