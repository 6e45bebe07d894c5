"""Names in the inbox: which are not drops, and the endings of the files in `inbox/rejected/`.

The inbox uses it to list the folder, and the HTTP workers to look for changes.
"""

import os
from collections.abc import Collection, Iterable, Iterator

UNFINISHED = (".tmp", ".part", ".partial", ".filepart", ".crdownload", ".swp", "~")
"""Names that browsers, rsync, sftp clients and editors give to files they still write."""

RESERVED = frozenset({"README.md"})
"""Names that explain the folder to people."""


LONGEST = 255
"""Bytes that a name can have on all usual file systems."""

REPLACED = "\N{REPLACEMENT CHARACTER}"
"""Stands in a name that is shown for bytes that are not UTF-8."""

REPORT = ".report.json"
"""Follows the name of a rejected drop in `inbox/rejected`: why it was rejected."""

BAD_ROWS = ".bad.csv"
"""Ends the name of a file of rejected rows there."""


def ignored(name: str) -> bool:
    """Whether the inbox leaves files of this name alone."""
    return name.startswith(".") or name.endswith(UNFINISHED) or name in RESERVED


def shown(name: str) -> str:
    """A file name as text: bytes that are not UTF-8 become a replacement character."""
    return os.fsencode(name).decode("utf-8", "replace")


def real_names(entries: Iterable[str], drops: Collection[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    """Drops (name, sha256), whose names may be texts, by the names of the folder's entries: what is shown may be lossy."""
    files: dict[str, list[str]] = {}
    for entry in entries if any(REPLACED in name for name, _ in drops) else ():
        files.setdefault(shown(entry), []).append(entry)
    for name, sha256 in drops:
        yield from ((file, sha256) for file in files.get(name, [name]))


def last_part(name: str, most: int) -> str:
    """The last `most` bytes of a name, all of it if it is shorter; what is cut does not begin with a dot: that would hide it."""
    data = os.fsencode(name)
    return name if len(data) <= most else os.fsdecode(data[-most:].lstrip(b".")) or "drop"
