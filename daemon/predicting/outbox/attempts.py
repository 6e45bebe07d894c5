"""Attempts: how often a file has ended the process that read it. After MOST of them it is not read again."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from retraind.daemon.core import durable
from retraind.daemon.core.home import Home
from retraind.daemon.inbox.settling import Stamp

MOST = 5


class _Attempt(BaseModel):
    model_config = ConfigDict(frozen=True)

    inode: int
    modified: int
    count: int


class Attempts:
    """The file being read, in a file of its own, which only a killed process leaves."""

    def __init__(self, home: Home) -> None:
        self._path: Path = home.outbox_records / "attempt"

    def begin(self, stamp: Stamp) -> bool:
        """Note that a file is about to be read; False if it has ended MOST processes. Raises OSError."""
        last = self._last()
        same = last is not None and (last.inode, last.modified) == (stamp.inode, stamp.modified)
        count = 1 + (last.count if same and last is not None else 0)
        attempt = _Attempt(inode=stamp.inode, modified=stamp.modified, count=count)
        durable.write(self._path, attempt.model_dump_json().encode())
        return count <= MOST

    def end(self) -> None:
        """Note that the process has survived it."""
        self._path.unlink(missing_ok=True)

    def _last(self) -> _Attempt | None:
        try:
            return _Attempt.model_validate_json(self._path.read_bytes())
        except (FileNotFoundError, ValidationError):
            return None
