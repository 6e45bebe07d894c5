"""Supervised child processes: they restart when they end, the first time at once, then after growing pauses.

The trainer must not outlive the daemon; the HTTP workers (`daemon/processes/workers.py`) do.
"""

import contextlib
import math
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import orjson

from retraind.daemon.core import logs
from retraind.daemon.core.home import Home
from retraind.daemon.core.settings import Log
from retraind.daemon.processes.child_output import ChildOutput
from retraind.daemon.processes.training_job import Job, Message

log = logs.Logger()

PAUSES = (0.0, 0.2, 1.0, 2.0, 5.0, 10.0)
"""Seconds before the n-th restart in a row; the count starts over for a child that ran for a minute."""


ELSEWHERE = "/"
"""The working directory of our processes: only root can put files there that Python or a library could import."""


def python(module: str) -> list[str]:
    """The command that runs one of our modules; with -P Python imports nothing from the current folder."""
    return [sys.executable, "-P", "-m", module]


def environment() -> dict[str, str]:
    """Our environment for a process in another folder.

    Its own children also get -P, and relative entries of PYTHONPATH are made absolute. An empty entry, as an extra
    colon leaves, would mean the current folder, so it is dropped.
    """
    kept = [str(Path(entry).absolute()) for entry in os.environ.get("PYTHONPATH", "").split(os.pathsep) if entry]
    variables = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return variables | {"PYTHONSAFEPATH": "1"} | ({"PYTHONPATH": os.pathsep.join(kept)} if kept else {})


class Child:
    """One supervised process: `supervise` restarts it when it has ended and its pause is over.

    The first start also gets the arguments `once`. A thread calls `wake` when a process has ended.
    """

    def __init__(
        self, command: Sequence[str], once: Sequence[str] = (), wake: Callable[[], None] | None = None, **options: Any
    ) -> None:
        self._command, self._once, self._wake = list(command), list(once), wake
        self._options = {"cwd": ELSEWHERE, "env": environment(), **options}
        self._started, self._failures = 0.0, 0
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def alive(self) -> bool:
        """Whether the process runs."""
        return self.process is not None and self.process.poll() is None

    @property
    def failures(self) -> int:
        """How many times in a row it has ended within a minute."""
        return self._failures

    def supervise(self, now: float) -> str | None:
        """Start the process if it should run and does not; returns how the last one ended, if it ended."""
        if self.alive:
            return None
        ended = None if self.process is None else f"ended with {self.process.returncode}"
        if self.process is not None:
            self._failures = 0 if now - self._started > 60 else self._failures + 1
            self.process = None
        if now - self._started >= PAUSES[min(self._failures, len(PAUSES) - 1)]:
            self._started = now
            self.process = subprocess.Popen([*self._command, *self._once], **self._options)
            self._once = []
            if self._wake is not None:
                threading.Thread(target=self._wake_at_end, args=(self.process, self._wake), daemon=True).start()
        return ended

    @staticmethod
    def _wake_at_end(process: subprocess.Popen[bytes], wake: Callable[[], None]) -> None:
        process.wait()
        wake()

    def terminate(self, number: int = signal.SIGTERM) -> None:
        """Send the terminating signal without waiting."""
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                self.process.send_signal(number)

    def forget(self) -> None:
        """Reset the count of ends, so that the next `supervise` starts it at once."""
        self.process, self._failures, self._started = None, 0, -math.inf

    def stop(self, seconds: float) -> None:
        """Ask the process to end, wait, then kill it."""
        if self.process is None:
            return
        self.terminate()
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class Trainer:
    """The trainer: a process with its imports done that forks a child for each training.

    It is not started until it is needed, and ends after `idle_seconds` without work (0: never), because its imports
    take seconds and it uses 200 MB or more. A trainer that ends before it is ready is restarted instead, so that its
    failures stay visible. `log` sets its logging. `messages` returns its messages (`retraind.daemon.processes.training_job`);
    `wake` is called for each.
    """

    def __init__(
        self, home: Home, nice: int, wake: Callable[[], None], idle_seconds: float = 0.0, log: Log | None = None
    ) -> None:
        settings = (log or Log()).model_dump_json()
        command = [*python("retraind.daemon.training"), str(home.root), str(nice), str(os.getpid()), settings]
        # One thread for numerics: more would take cores from predictions, and there must be no thread pools at a fork.
        threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
        # In a terminal the lines are for people, as they come.
        self._output = ChildOutput("trainer") if logs.writes_json() else None
        self._child = Child(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._output.fd if self._output else None,
            env=environment() | threads,
            start_new_session=True,
        )
        self._wake = wake
        self._idle_seconds = idle_seconds or math.inf
        self._wanted_at = -math.inf if idle_seconds else math.inf
        self.asleep = bool(idle_seconds)
        """Whether it is stopped because it has no work."""
        self._inbox: queue.SimpleQueue[Message] = queue.SimpleQueue()
        self._reader: threading.Thread | None = None
        self.ready = False
        self.heard_at = -math.inf
        """When it was started or last sent a message (monotonic seconds)."""
        self.problem: str | None = None
        """Why it does not get ready, from its own message."""

    @property
    def pid(self) -> int | None:
        """Process id of the waiting trainer."""
        return None if self._child.process is None else self._child.process.pid

    def keep_awake(self, now: float) -> None:
        """Keep it running from the next `supervise` on, because a training runs or may soon be due.

        `now` is monotonic seconds.
        """
        self._wanted_at = max(self._wanted_at, now)

    def supervise(self, now: float) -> str | None:
        """Start the trainer if it is needed, restart it if it has ended, end it if it is idle; returns how it ended."""
        if now - self._wanted_at <= self._idle_seconds:
            self.asleep = False
        elif self.ready:
            self._sleep()
        if self.asleep:
            return None
        before = self._child.process
        ended = self._child.supervise(now)
        if ended is not None:
            _hang_up(before)
        if self._child.process is not None and self._child.process is not before:
            self.ready, self.heard_at = False, now
            self._reader = threading.Thread(target=self._read, args=(self._child.process,), daemon=True)
            self._reader.start()
        return ended

    @property
    def alive(self) -> bool:
        """Whether the waiting trainer runs."""
        return self._child.alive

    @property
    def failures(self) -> int:
        """How many times in a row it has ended within a minute."""
        return self._child.failures

    def train(self, job: Job) -> None:
        """Send a job; raises OSError when the trainer has just died."""
        process = self._child.process
        if process is None or process.stdin is None:
            raise BrokenPipeError("the trainer is not running")
        process.stdin.write(orjson.dumps(job) + b"\n")
        process.stdin.flush()
        self.ready = False

    def messages(self) -> list[Message]:
        """The trainer's messages since the last call, oldest first."""
        received = []
        while not self._inbox.empty():
            message, self.heard_at = self._inbox.get(), time.monotonic()
            if "ready" in message:
                self.ready, self.problem = True, None
            elif "unready" in message:
                self.problem = message["unready"]
            received.append(message)
        return received

    def kill(self) -> None:
        """End the trainer and its training; the next `supervise` starts a new trainer."""
        if self._child.process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._child.process.pid, signal.SIGKILL)
            self._child.process.wait()

    def _sleep(self) -> None:
        self._end()
        self._child.forget()
        self.messages()  # of a process that is gone
        self.ready, self.asleep, self.problem = False, True, None

    def close(self) -> None:
        """End the trainer for good."""
        self._end()
        if self._output is not None:
            self._output.close()
            self._output = None

    def _end(self) -> None:
        self.kill()
        _hang_up(self._child.process)
        if self._reader is not None:
            self._reader.join(timeout=5)

    def _read(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None
        with process.stdout as lines:
            for line in lines:
                try:
                    self._inbox.put(orjson.loads(line))
                except orjson.JSONDecodeError:
                    log.warning("trainer_said", line=line.decode(errors="replace").rstrip()[:500])
                self._wake()
        self._wake()


def _hang_up(process: subprocess.Popen[bytes] | None) -> None:
    """Close the pipe to a process that has ended; otherwise it stays open until garbage collection."""
    if process is not None and process.stdin is not None:
        with contextlib.suppress(BrokenPipeError):
            process.stdin.close()
