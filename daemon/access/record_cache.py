"""A cache of records: a folder of small JSON files, one per record, held in memory until the folder changes.

A record is written once and later only removed, so the folder's modification time shows each change.
"""

import logging
import time
from pathlib import Path
from typing import Generic, TypeVar

from pydantic import BaseModel, ValidationError

LOOK_SECONDS = 0.2
"""Minimum seconds between two looks at the folder."""

TICK_NANOSECONDS = 50_000_000
"""A second change within this time may not show, because the kernel's clock for files moves in ticks."""

Record = TypeVar("Record", bound=BaseModel)

_log = logging.getLogger("retraind.web")


class RecordCache(Generic[Record]):
    """The records of `folder` (it need not exist) as `kind`; any thread may use it."""

    def __init__(self, folder: Path, kind: type[Record]) -> None:
        self._folder, self._kind = folder, kind
        self._due = 0.0
        # One value: if two threads look at once, the folder's state and the records must come from the same look.
        self._seen: tuple[tuple[int, int] | None, dict[str, Record]] = None, {}

    def now(self, *, fresh: bool = False) -> dict[str, Record]:
        """The records by file name without `.json`; the same object until something changes; raises OSError.

        `fresh` looks at once, for a caller that misses a record and expects a new one.
        """
        at = time.monotonic()
        if fresh or at >= self._due:
            self._look()
            self._due = at + LOOK_SECONDS
        return self._seen[1]

    def _look(self) -> None:
        at = time.time_ns()  # before the reading, which may take longer than a tick
        try:
            stat = self._folder.stat()
        except FileNotFoundError:
            self._seen = None, {}
            return
        mark = stat.st_ino, stat.st_mtime_ns
        if mark != self._seen[0]:
            settled = at - stat.st_mtime_ns > TICK_NANOSECONDS
            self._seen = mark if settled else None, self._read()

    def _read(self) -> dict[str, Record]:
        records = {}
        for path in sorted(self._folder.glob("*.json")):
            try:
                records[path.stem] = self._kind.model_validate_json(path.read_bytes())
            except FileNotFoundError:  # removed in this moment
                continue
            except ValidationError as error:
                _log.warning("%s is not a valid %s and is ignored: %s", path, self._kind.__name__, error)
        return records
