"""The prediction log: one line for a prediction or for many rows of a request, written before the answer, so a killed worker loses none.

Written lines survive the process; synced lines also survive a power cut (see `web/serving/group_commit.py`).
`web/predict.py` composes the lines and appends them before it answers.
The daemon copies the lines into SQLite (`daemon/storage/prediction_history.py`).
"""

import contextlib
import errno
import logging
import os
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from retraind.daemon.core import durable, home_integrity
from retraind.daemon.core.errors import NotKept
from retraind.daemon.core.settings import Predictions
from retraind.daemon.schema import prediction_block

GROUP_BYTES = 65_536
"""A write ends with the line that reaches this size, so that a request with many rows does not block others."""

_log = logging.getLogger("retraind.web")


@dataclass(slots=True)
class _File:
    """One file of the log, written by this worker only."""

    fd: int
    path: Path
    opened: float
    size: int = 0
    dirty: bool = False
    named: bool = False
    """Whether its directory entry is durable."""
    error: OSError | None = None

    def lost(self) -> bool:
        """Whether the file no longer has the name under which the daemon looks for it."""
        try:
            on_disk, here = self.path.stat(), os.fstat(self.fd)
        except OSError:
            return True
        return (on_disk.st_dev, on_disk.st_ino) != (here.st_dev, here.st_ino)

    def sync(self, folder: Path) -> OSError | None:
        """Sync all bytes to disk; returns the error if that ever failed.

        Linux marks pages as clean after a failed fsync, so a second one would report success for lost data.
        """
        if self.error is None:
            try:
                os.fdatasync(self.fd)
                if not self.named:
                    durable.fsync_dir(folder)
                    self.named = True
            except OSError as error:
                self.error = error
        return self.error


class PredictionLog:
    """The append-only files of one worker; safe to use from any thread."""

    def __init__(self, folder: Path, slot: int, settings: Predictions) -> None:
        self._folder = folder
        self._slot = slot
        self._settings = settings
        self._file: _File | None = None
        self._retired: list[_File] = []
        """Files that get no more lines and must still be synced."""
        self._lock = threading.Lock()
        self._syncing = threading.Lock()
        self._failures: dict[str, str] = {}
        self._named = datetime.min.replace(tzinfo=UTC)
        """The time in the newest file's name."""
        self.written = 0
        """Bytes written so far."""
        self.lost = 0
        """Predictions that were answered but could not be written."""

    @property
    def strict(self) -> bool:
        """Whether an answer waits until its lines are durable."""
        return self._settings.durability == "strict"

    @property
    def problem(self) -> str | None:
        """Why the last lines could not be written or made durable; None if they were."""
        return next(iter(self._failures.values()), None)

    def append(self, lines: Sequence[bytes], *, predictions: bool = True) -> None:
        """Write lines of JSON, each with its newline, GROUP_BYTES at once.

        On a full disk the answer is still sent and the lines are lost (see `problem`); if strict, it raises NotKept instead.
        Only lines with `predictions` count as lost predictions.
        """
        whole = True
        for group in lines if len(lines) == 1 else _groups(lines):
            with self._lock:
                kept = 0
                try:
                    kept = self._write(group)
                    if kept < len(group):
                        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                except OSError as error:
                    whole, lost = False, group[kept:].splitlines() if predictions else []
                    self._fail(error, sum(map(prediction_block.rows_of, lost)))
                else:
                    # A short group may fit where the long one before it did not.
                    if whole:
                        self._failures.pop("write", None)

    def sync(self) -> None:
        """Sync everything appended before this call. After a failure it raises NotKept, and later lines go to another file."""
        with self._syncing:
            with self._lock:
                self._look()
                self._rotate_by_age()
                retired, self._retired = self._retired, []
                current = self._file
                due = [file for file in (*retired, current) if file and file.dirty]
                for file in due:
                    file.dirty = False
            failed = [error for file in due if (error := file.sync(self._folder))]
            for file in retired:
                os.close(file.fd)
            if failed:
                self._give_up(current, failed[0])
            if due:
                self._failures.pop("sync", None)

    def close(self) -> None:
        """Sync and close; the next line opens another file."""
        with self._lock:
            self._retire()
        with contextlib.suppress(NotKept):
            self.sync()

    def _write(self, data: bytes) -> int:
        """Append whole lines only; returns the number of bytes."""
        file = self._file
        if file is None or file.size + len(data) > self._settings.rotate_bytes or self._aged(file):
            file = self._rotate()
        written = os.write(file.fd, data)
        if written < len(data):
            written = self._cut(file, data.rfind(b"\n", 0, written) + 1)
        file.dirty = True
        file.size += written
        self.written += written
        return written

    def _cut(self, file: _File, whole: int) -> int:
        """Remove a torn line, so the next does not continue it; whole lines may have been copied already."""
        try:
            os.ftruncate(file.fd, file.size + whole)
        except OSError:
            self._retire()
        return whole

    def _fail(self, error: OSError, predictions: int) -> None:
        reason = error.strerror or str(error)
        if self.strict:
            self._failures["write"] = f"{reason}; predictions are refused, because they can't be logged"
            raise NotKept(f"The prediction can't be logged: {reason}.", hint="Send it again later.") from error
        self.lost += predictions
        if "write" not in self._failures:
            _log.error("Predictions are answered but not logged: %s", error)
        self._failures["write"] = f"{reason}; {self.lost} predictions were answered and not logged"

    def _give_up(self, file: _File | None, error: OSError) -> None:
        reason = error.strerror or str(error)
        with self._lock:
            if self._file is file:
                self._retire()
        if "sync" not in self._failures:
            _log.error("Logged predictions may not be on the disk: %s", error)
        self._failures["sync"] = f"{reason}; the newest predictions may be lost if the power fails"
        raise NotKept(f"The prediction may not have been kept: {reason}.", hint="Send it again.") from error

    def _aged(self, file: _File) -> bool:
        return file.size > 0 and time.monotonic() - file.opened >= self._settings.rotate_seconds

    def _look(self) -> None:
        """Retire a file that has lost its name, and report a folder in which no file can be created."""
        if wrong := home_integrity.unwritable(self._folder):
            self._failures["place"] = wrong
        else:
            self._failures.pop("place", None)
        if self._file is not None and self._file.lost():
            _log.error("%s is gone; the next prediction begins another file.", self._file.path)
            self._retire()

    def _rotate_by_age(self) -> None:
        """Rotate even without a new line: a file is removed after copying only if it has a successor."""
        if self._file is not None and self._aged(self._file):
            with contextlib.suppress(OSError):
                self._rotate()

    def _rotate(self) -> _File:
        # The later of two names is the file that still grows, so a clock that goes back must not reorder them.
        self._named = max(datetime.now(UTC), self._named + timedelta(microseconds=1))
        name = f"predictions-{self._slot}-{self._named:%Y%m%dT%H%M%S%f}-{os.getpid()}.jsonl"
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_EXCL | os.O_CLOEXEC
        path = self._folder / name
        fd = os.open(path, flags, 0o600)
        self._retire()
        self._file = _File(fd, path, time.monotonic())
        return self._file

    def _retire(self) -> None:
        if self._file is not None:
            self._retired.append(self._file)
            self._file = None


def _groups(lines: Iterable[bytes]) -> Iterator[bytes]:
    group, size = [], 0
    for line in lines:
        group.append(line)
        size += len(line)
        if size >= GROUP_BYTES:
            yield b"".join(group)
            group, size = [], 0
    if group:
        yield b"".join(group)
