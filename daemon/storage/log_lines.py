"""Finds and blanks the lines of certain predictions in the prediction log.

A worker may append to a log file at any time, so all lines keep their positions.
"""

from collections.abc import Set
from pathlib import Path

import orjson

from retraind.daemon.core import durable
from retraind.daemon.core.home import Home
from retraind.daemon.schema import prediction_block


def files_with(home: Home, ids: Set[str]) -> list[Path]:
    """Log files with a line of one of these predictions."""
    of_requests = prediction_block.requests(ids)
    return [
        path
        for path in sorted(home.logs.glob("predictions-*.jsonl"))
        if any(_without(line, ids, of_requests) is not None for line in path.read_bytes().splitlines())
    ]


def blank(path: Path, ids: Set[str]) -> None:
    """Overwrite these predictions with blanks, in place: a worker may append to the file, and offsets stay valid.

    In a line with many rows, the others stay.
    """
    of_requests = prediction_block.requests(ids)
    with path.open("r+b") as file:
        at = 0
        for line in file.read().splitlines(keepends=True):
            if (rest := _without(line, ids, of_requests)) is not None:
                file.seek(at)
                file.write(orjson.dumps(rest).ljust(len(line.rstrip(b"\n"))))
            at += len(line)
        file.flush()
        durable.fsync_file(path)


def _without(line: bytes, ids: Set[str], of_requests: Set[str]) -> object:
    """A line as JSON without these predictions; None if it has none of them."""
    try:
        entry = orjson.loads(line)
        if not isinstance(entry, dict):
            return None
        if (block := prediction_block.of(entry)) is None:
            return {} if entry.get("prediction_id") in ids else None
        erased = prediction_block.places(block, ids, of_requests)
        return prediction_block.without(block, erased) if erased else None
    except (LookupError, TypeError, ValueError):  # it is not a prediction
        return None
