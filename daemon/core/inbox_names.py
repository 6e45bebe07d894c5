"""File names in the inbox that are not drops, and the endings of the files in `inbox/rejected/`.

The inbox uses it to list the folder, and the HTTP workers to look for changes.
"""

import os
from collections.abc import Collection, Iterable, Iterator

UNFINISHED = (".tmp", ".part", ".partial", ".filepart", ".crdownload", ".swp", "~")
"""Names that browsers, rsync, sftp clients and editors give to unfinished files."""

RESERVED = frozenset({"README.md"})
"""Names that explain the folder to people."""


PREDICT = "predict"
"""The folder of files to predict; see `retraind.daemon.predicting.outbox`."""

LONGEST = 255
"""Bytes that a name can have on all usual file systems."""

REPLACED = "\N{REPLACEMENT CHARACTER}"
"""Replaces bytes that are not UTF-8 in a name that is shown."""

REPORT = ".report.json"
"""Ending of the report on a rejected drop in `inbox/rejected`."""

BAD_ROWS = ".bad.csv"
"""Ending of a file with rejected rows there."""


def ignored(name: str) -> bool:
    """Whether the inbox ignores files with this name."""
    return name.startswith(".") or name.endswith(UNFINISHED) or name in RESERVED


def shown(name: str) -> str:
    """A file name as text: bytes that are not UTF-8 become a replacement character."""
    return os.fsencode(name).decode("utf-8", "replace")


def real_names(entries: Iterable[str], drops: Collection[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    """Drops (name, sha256) with the names of the folder's entries, because a name that is shown may have lost bytes."""
    files: dict[str, list[str]] = {}
    for entry in entries if any(REPLACED in name for name, _ in drops) else ():
        files.setdefault(shown(entry), []).append(entry)
    for name, sha256 in drops:
        yield from ((file, sha256) for file in files.get(name, [name]))


def last_part(name: str, most: int) -> str:
    """The last `most` bytes of a name, or all of it. A cut name does not begin with a dot, which would hide the file."""
    data = os.fsencode(name)
    return name if len(data) <= most else os.fsdecode(data[-most:].lstrip(b".")) or "drop"
