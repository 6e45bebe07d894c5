"""Held files: drops that wait for a person and may contain rows to forget.

A held drop is not in the dataset, but its file may contain rows of a forgotten drop. A held file is identified by its
bytes, so without such rows it is another drop, which is read and examined like any other.
"""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from retraind.daemon.core import durable
from retraind.daemon.core.journal_rows import DropRow, HeldRow
from retraind.daemon.core.shared_folder import Folder
from retraind.daemon.inbox.settling import Stamp
from retraind.daemon.ingest.erasure.row_matching import MOST_BYTES, RowMatcher, Split


class HeldFile(NamedTuple):
    """A held file (`row` of the journal's table) with rows of a drop; `split` is None if it is too large or damaged."""

    row: HeldRow
    name: str
    stamp: Stamp
    split: Split | None


def search(
    inbox: Folder, held: Sequence[HeldRow], matcher: RowMatcher | None, drop: DropRow
) -> Iterator[HeldFile | None]:
    """The files of held drops, and copies of them, that contain rows of a drop; yields None after each piece of work."""
    sizes, by_sha256 = {row["bytes"] for row in held}, {row["sha256"]: row for row in held}
    for name in sorted(entry.name for entry in inbox.entries() if entry.is_file(follow_symlinks=False)):
        stamp = Stamp.of(inbox.stat(name))
        sha256 = inbox.sha256(name) if stamp.size in sizes else None
        row = by_sha256.get(sha256 or "")
        if row is None or matcher is None:
            continue
        split = None
        for split in _splits(inbox, name, stamp, matcher, before=row["held_at"] <= drop["decided_at"]):
            if split is None:
                yield None
        if split is None or split.matched:
            yield HeldFile(row, name, stamp, split)
        yield None


def _splits(inbox: Folder, name: str, stamp: Stamp, matcher: RowMatcher, *, before: bool) -> Iterator[Split | None]:
    if stamp.size <= MOST_BYTES:
        with os.fdopen(inbox.open(name), "rb") as file:
            data = file.read()
        yield from matcher.split(data, before=before)


def take_out(inbox: Folder, held_file: HeldFile) -> None:
    """Remove the rows of the drop from a held file, unless the file has changed."""
    if (
        held_file.split is None
        or not inbox.has(held_file.name)
        or Stamp.of(before := inbox.stat(held_file.name)) != held_file.stamp
    ):
        return
    if held_file.split.matched == held_file.split.lines:
        inbox.remove(held_file.name)
        inbox.sync()
        return
    path = Path(f"/proc/self/fd/{inbox.fd}") / held_file.name
    durable.write(path, held_file.split.rest, mode=before.st_mode & 0o777)
    os.chown(path, -1, before.st_gid, follow_symlinks=False)
