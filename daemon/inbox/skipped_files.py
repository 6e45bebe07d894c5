"""Skipped files: they wait in the inbox for a person and are not read again meanwhile.

The journal has held drops by sha256. This module knows which files have those bytes, after each was read once since the
start. A file that changes or is replaced is another drop and is read.
"""

from collections.abc import Mapping
from typing import NamedTuple, TypeVar

S = TypeVar("S")
"""A value that changes with a file's content; see `retraind.daemon.inbox.settling.Stamp`."""


class _Kept(NamedTuple):
    stamp: object
    sha256: str


class SkippedFiles:
    """The files to skip; used by the loop thread."""

    def __init__(self) -> None:
        self._kept: dict[str, _Kept] = {}

    def keep(self, name: str, stamp: object, sha256: str) -> None:
        """Skip a file that was just read and has these bytes, while it has the stamp."""
        self._kept[name] = _Kept(stamp, sha256)

    def release(self, sha256: str) -> None:
        """Let files with these bytes be read again."""
        self._kept = {name: kept for name, kept in self._kept.items() if kept.sha256 != sha256}

    def remaining(self, files: Mapping[str, S]) -> dict[str, S]:
        """The files of the folder without the skipped ones. Skipped files that are gone or have changed are forgotten."""
        self._kept = {name: kept for name, kept in self._kept.items() if files.get(name) == kept.stamp}
        return {name: stamp for name, stamp in files.items() if name not in self._kept}

    @property
    def files(self) -> dict[str, list[str]]:
        """Names of the skipped files, by the sha256 of their bytes."""
        names: dict[str, list[str]] = {}
        for name, kept in self._kept.items():
            names.setdefault(kept.sha256, []).append(name)
        return names
