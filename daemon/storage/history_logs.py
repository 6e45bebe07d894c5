"""The workers' prediction log files: which exist, and which are complete."""

import os
import re
from datetime import UTC, datetime
from pathlib import Path

from retraind.daemon.core import durable
from retraind.daemon.core.home import Home

NAME = re.compile(r"predictions-\d+-\d{8}T\d{12}-\d+\.jsonl")
"""Worker slot, start time and process id of a log file."""


class LogFiles:
    """Prediction logs of all workers of a home."""

    def __init__(self, home: Home) -> None:
        self._home = home

    def all(self) -> list[Path]:
        """Every log file, oldest first."""
        # Sorted by the start time, which follows the worker's number in the name.
        named = (path for path in self._home.logs.iterdir() if NAME.fullmatch(path.name))
        return sorted(named, key=lambda path: path.stem.split("-")[2])

    def finished(self) -> set[Path]:
        """Log files that are complete: a newer file of the same process exists, or the process is gone."""
        newest: dict[tuple[str, str], Path] = {}
        files = self.all()
        for path in files:
            newest[_writer(path)] = path
        return {path for path in files if newest[_writer(path)] != path or not self._writing(*_writer(path))}

    def _writing(self, slot: str, pid: str) -> bool:
        lock = self._home.worker_lock(slot, pid)
        if not lock.exists():  # it removes its lock when it ends; a person may also have removed it
            return _serves(pid)
        fd = durable.try_lock(lock)
        if fd is None:
            return True
        os.close(fd)
        return False


def began_at(path: Path) -> datetime:
    """The time at which a log file was begun, in its name."""
    return datetime.strptime(path.stem.split("-")[2], "%Y%m%dT%H%M%S%f").replace(tzinfo=UTC)


def _serves(pid: str) -> bool:
    """Whether a process with this number is an HTTP worker."""
    try:
        # Until 0.1 a worker was `-m web.server`, since then it is `-m retraind.web.server`.
        return b"web.server" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def _writer(path: Path) -> tuple[str, str]:
    """Slot and process id in a log file's name."""
    _, slot, _, pid = path.stem.split("-")
    return slot, pid
