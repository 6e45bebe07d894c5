"""The worker's end: starts the reader when a body comes for it, and answers with values or a problem."""

import contextlib
import subprocess
import sys
import threading
from dataclasses import dataclass
from typing import IO, Any

import numpy as np
import orjson
from numpy.typing import NDArray

from retraind.web.columnar.formats import Format, Order, Outcome
from retraind.web.http.problems import Problem

READ_SECONDS = 10.0
"""A body is given up after this time; one of 8 MB takes a tenth of a second."""

START_SECONDS = 20.0
"""So much more for the first body of a reader, whose libraries take a third of a second on a quiet machine."""

ENDING_SECONDS = 1.0
"""How long a reader that has closed its output may take to end."""

COMMAND = [sys.executable, "-P", "-m", "retraind.web.columnar.reader"]


@dataclass(frozen=True, slots=True)
class Columns:
    """The values of a body: an array in the order of the names, or lists by name, as JSON has them."""

    matrix: NDArray[np.float64] | None
    by_name: dict[str, list[Any]]


class Columnar:
    """The reader of one worker, used by one thread at a time. Its process ends with the worker, or after a minute without work."""

    def __init__(self, seconds: float = READ_SECONDS) -> None:
        self._seconds = seconds
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()

    def read(self, form: Format, names: list[str], body: bytes, *, most_rows: int, most_bytes: int) -> Columns:
        """The columns that are there, of those named. Raises Problem 400 for a damaged body, 413 for a large one, 504 for a slow one."""
        order: Order = {
            "format": form,
            "names": names,
            "most_rows": most_rows,
            "most_bytes": most_bytes,
            "bytes": len(body),
        }
        with self._lock:
            outcome, values = self._exchange(order, body) or self._exchange(order, body) or _gone(form)
        if outcome["problem"] is not None:
            raise Problem(413 if outcome["too_large"] else 400, outcome["problem"])
        if outcome["rows"]:
            return Columns(np.frombuffer(values, np.float64).reshape(outcome["rows"], -1), {})
        return Columns(None, orjson.loads(values))

    def close(self) -> None:
        """End the reader, if there is one."""
        with self._lock:
            if self._process is not None:
                self._process.kill()
            self._forget()

    def _exchange(self, order: Order, body: bytes) -> tuple[Outcome, bytes] | None:
        """The outcome; None if the process ended because it had no work. Raises Problem if it died of the body, or takes too long."""
        process, seconds = self._running()
        assert process.stdin is not None
        assert process.stdout is not None
        late = threading.Event()

        def give_up() -> None:
            late.set()
            process.kill()

        timer = threading.Timer(seconds, give_up)
        timer.start()
        try:
            process.stdin.write(orjson.dumps(order) + b"\n")
            process.stdin.write(body)
            process.stdin.flush()
            return _received(process.stdout, order["most_bytes"])
        except (EOFError, OSError, ValueError):
            self._ended(process, order["format"], late=late.is_set())
            return None
        finally:
            timer.cancel()

    def _running(self) -> "tuple[subprocess.Popen[bytes], float]":
        """The reader, and how many seconds it may take."""
        if self._process is not None and self._process.poll() is None:
            return self._process, self._seconds
        self._forget()
        self._process = subprocess.Popen(COMMAND, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        return self._process, self._seconds + START_SECONDS

    def _forget(self) -> None:
        if self._process is not None:
            self._process.wait()
            for pipe in (self._process.stdin, self._process.stdout):
                if pipe is not None:
                    with contextlib.suppress(OSError):  # it did not take all that was written
                        pipe.close()
            self._process = None

    def _ended(self, process: "subprocess.Popen[bytes]", form: Format, *, late: bool) -> None:
        try:
            code = process.wait(ENDING_SECONDS)
        except subprocess.TimeoutExpired:  # it says nonsense
            process.kill()
            code = process.wait()
        self._forget()
        if late:
            raise Problem(504, f"Reading the body took longer than {self._seconds:g} s.", hint="Send fewer rows.")
        if code != 0:
            _gone(form)


def _received(source: IO[bytes], most: int) -> tuple[Outcome, bytes]:
    """What the reader says; raises EOFError or ValueError if that is no outcome."""
    line = source.readline()
    if not line:
        raise EOFError
    outcome: Outcome = orjson.loads(line)
    if not 0 <= outcome["bytes"] <= most:
        raise ValueError
    values = source.read(outcome["bytes"])
    if len(values) < outcome["bytes"]:
        raise EOFError
    return outcome, values


def _gone(form: Format) -> tuple[Outcome, bytes]:
    raise Problem(400, f"The body is not readable as {form}: it is damaged, or reading it takes too much memory.")
