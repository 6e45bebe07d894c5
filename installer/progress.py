"""The progress line with the present step and the time taken, and the programs whose output it shows."""

import contextlib
import os
import shutil
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, TextIO

REDRAW_SECONDS = 0.5
REPEAT_SECONDS = 10.0
"""Seconds between lines in a log, where a line cannot be redrawn."""

TAIL_LINES = 25


class Ended(NamedTuple):
    """The end of a program: its exit code, and the last lines of its output."""

    code: int
    tail: str


class Progress:
    """A line on `stream` with the present step, its newest detail and the seconds since the start: redrawn in a terminal, repeated in a log."""

    def __init__(self, stream: TextIO | None = None, repeat_seconds: float = REPEAT_SECONDS) -> None:
        self._stream = stream or sys.stderr
        self._terminal = self._stream.isatty()
        self._seconds = REDRAW_SECONDS if self._terminal else repeat_seconds
        self._started = time.monotonic()
        self._step = self._detail = ""
        self._ended = threading.Event()
        self._writing = threading.Lock()
        self._ticker = threading.Thread(target=self._tick, daemon=True)

    def __enter__(self) -> "Progress":
        self._ticker.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._ticker.join()
        if self._terminal:
            self._write("\r\033[K")

    def step(self, text: str) -> None:
        """Begin a step; `text` continues the words "install:"."""
        self._step, self._detail = text, ""
        self._write(self._line() if self._terminal else f"install: {text}\n")

    def detail(self, text: str) -> None:
        """Set the newest output line of the step's program."""
        self._detail = " ".join(text.split())

    def say(self, text: str) -> None:
        """Write a permanent line."""
        self._write(("\r\033[K" if self._terminal else "") + f"install: {text}\n")

    @property
    def seconds(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self._started

    def _tick(self) -> None:
        while not self._ended.wait(self._seconds):
            self._write(self._line())

    def _line(self) -> str:
        text = f"install: {self._step}, {self.seconds:.0f} s" + (f": {self._detail}" if self._detail else "")
        if not self._terminal:
            return text + "\n"
        return "\r\033[K" + text[: shutil.get_terminal_size().columns - 1]

    def _write(self, text: str) -> None:
        # The reader of the progress may disappear; the installation continues.
        with self._writing, contextlib.suppress(OSError):
            self._stream.write(text)
            self._stream.flush()


class Programs:
    """Runs programs for the installer and shows their output as the detail of the present step."""

    def __init__(self, progress: Progress, held: int) -> None:
        """`held` is a descriptor that each program keeps open, because its programs may outlive a killed installer."""
        self.progress = progress
        self._held = held

    def run(self, command: Sequence[str | Path], folder: Path, environ: Mapping[str, str]) -> Ended:
        """Run a program in `folder`; if it cannot be started, its exit code is 127."""
        tail: deque[str] = deque(maxlen=TAIL_LINES)
        try:
            with self._started(command, folder, environ) as program:
                for line in program.stdout or ():
                    if line.strip():
                        tail.append(line.rstrip())
                        self.progress.detail(line)
        except OSError as error:
            return Ended(127, f"{command[0]} cannot be started: {error}")
        return Ended(program.returncode, "\n".join(tail))

    @contextlib.contextmanager
    def _started(
        self, command: Sequence[str | Path], folder: Path, environ: Mapping[str, str]
    ) -> Iterator[subprocess.Popen[str]]:
        with subprocess.Popen(
            [os.fspath(word) for word in command],
            cwd=folder,
            env=dict(environ),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            pass_fds=(self._held,),
        ) as program:
            try:
                yield program
            finally:
                # After an interruption no program may keep writing to the environment.
                if program.poll() is None:
                    program.terminate()
