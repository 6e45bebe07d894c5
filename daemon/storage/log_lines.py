"""Lines of the prediction log about certain predictions: finds and blanks them.

A worker may append to a log file at any time, so its lines keep their places.
"""

from collections.abc import Set
from pathlib import Path

import orjson

from daemon.core import durable
from daemon.core.home import Home


def files_with(home: Home, ids: Set[str]) -> list[Path]:
    """Log files with a line of one of these predictions."""
    return [
        path
        for path in sorted(home.logs.glob("predictions-*.jsonl"))
        if any(_names(line, ids) for line in path.read_bytes().splitlines())
    ]


def _names(line: bytes, ids: Set[str]) -> bool:
    try:
        entry = orjson.loads(line)
    except orjson.JSONDecodeError:
        return False
    return isinstance(entry, dict) and entry.get("prediction_id") in ids


def blank(path: Path, ids: Set[str]) -> None:
    """Write blanks over the lines of these predictions, in place: a worker may append to the file, and offsets stay true."""
    with path.open("r+b") as file:
        at = 0
        for line in file.read().splitlines(keepends=True):
            if _names(line, ids):
                file.seek(at)
                file.write(b"{}".ljust(len(line.rstrip(b"\n"))))
            at += len(line)
        file.flush()
        durable.fsync_file(path)
