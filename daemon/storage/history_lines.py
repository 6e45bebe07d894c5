"""Converts lines of the prediction log to rows of the history: one of a single prediction, or many of a block.

`daemon/schema/prediction_block.py` has the blocks. Lines that are not predictions are counted and skipped.
"""

import contextlib
import logging
from collections.abc import Iterable
from typing import Any, NamedTuple

import orjson

from retraind.daemon.schema import prediction_block
from retraind.daemon.storage.history_tables import COLUMNS

_log = logging.getLogger("retraind.history")


class Rows(NamedTuple):
    """The rows from some lines: predictions, and comparisons of a shadow with the champion."""

    predictions: list[tuple[Any, ...]]
    compared: list[tuple[tuple[Any, ...], list[tuple[Any, ...]]]]


class Lines:
    """Reads complete lines."""

    def __init__(self) -> None:
        self.skipped = 0
        """Number of complete lines that were not predictions, since the start."""

    def rows(self, lines: Iterable[bytes], file: str) -> Rows:
        """The rows from the lines of a file."""
        entries = [entry for line in lines if (entry := self._parsed(line, file)) is not None]
        predictions = [row for entry in entries if "shadow" not in entry for row in self._predictions(entry, file)]
        compared = [pair for entry in entries if "shadow" in entry and (pair := self._compared(entry, file))]
        return Rows(predictions, compared)

    def _parsed(self, line: bytes, file: str) -> dict[str, Any] | None:
        with contextlib.suppress(orjson.JSONDecodeError):
            entry = orjson.loads(line)
            if isinstance(entry, dict):
                return entry
        self._skip(file)
        return None

    def _predictions(self, entry: dict[str, Any], file: str) -> list[tuple[Any, ...]]:
        """The single row of a line, or the rows of a block."""
        try:
            block = prediction_block.of(entry)
            return [_row(one) for one in ([entry] if block is None else prediction_block.expand(block))]
        except (LookupError, TypeError, ValueError):
            self._skip(file)
            return []

    def _compared(self, entry: dict[str, Any], file: str) -> tuple[tuple[Any, ...], list[tuple[Any, ...]]] | None:
        """The agreement of a shadow with the champion, and some rows on which they disagreed."""
        try:
            pair = entry["shadow"], entry["model_version"]
            figures = (entry[name] for name in ("n", "failed", "agreed", "difference", "largest", "timestamp"))
            return (*pair, *figures), [(*pair, name, told, shadow) for name, told, shadow in entry["differing"]]
        except (KeyError, TypeError, ValueError):
            self._skip(file)
            return None

    def _skip(self, file: str) -> None:
        self.skipped += 1
        _log.warning("%s holds a line that is not a prediction; it is skipped.", file)


def _row(entry: dict[str, Any]) -> tuple[Any, ...]:
    entry["features"] = orjson.dumps(entry["features"]).decode()
    entry.setdefault("caller", "")  # a program of this machine
    return tuple(entry[name] for name in COLUMNS)
