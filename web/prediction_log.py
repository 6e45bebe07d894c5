"""The prediction log: one line per prediction, those of a request appended with one `write`, so that a killed worker loses none.

What the kernel has taken survives the process; the daemon copies the lines into SQLite (`daemon/history.py`).
"""

import errno
import logging
import os
import threading
from datetime import UTC, datetime
from pathlib import Path

_log = logging.getLogger("retraind.web")


class PredictionLog:
    """The append-only files of one worker; whichever thread answers."""

    def __init__(self, folder: Path, slot: int, rotate_bytes: int) -> None:
        self._folder = folder
        self._slot = slot
        self._rotate_bytes = rotate_bytes
        self._fd: int | None = None
        self._size = 0
        self._lock = threading.Lock()
        self.lost = 0
        """Predictions that were answered and could not be written."""
        self.problem: str | None = None
        """Why the last line could not be written; None if it was."""

    def append(self, lines: bytes, count: int) -> None:
        """Write `count` lines of JSON, each with its newline, at once.

        A full disk loses lines, never a prediction: see `problem`.
        """
        with self._lock:
            try:
                self._write(lines)
            except OSError as error:
                self.lost += count
                if self.problem is None:
                    _log.error("Predictions are answered but not logged: %s", error)
                self.problem = f"{error.strerror or error}; {self.lost} predictions were answered and not logged"
            else:
                self.problem = None

    def close(self) -> None:
        """Close the file; the next line opens another one."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def _write(self, lines: bytes) -> None:
        if self._fd is None or self._size + len(lines) > self._rotate_bytes:
            self._rotate()
        assert self._fd is not None
        written = os.write(self._fd, lines)
        if written < len(lines):
            # The rest did not fit. Take the torn half back, so that the next line does not grow onto it.
            os.ftruncate(self._fd, self._size)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._size += written

    def _rotate(self) -> None:
        name = f"predictions-{self._slot}-{datetime.now(UTC):%Y%m%dT%H%M%S%f}-{os.getpid()}.jsonl"
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_EXCL | os.O_CLOEXEC
        fd = os.open(self._folder / name, flags, 0o600)
        self.close()
        self._fd, self._size = fd, 0
