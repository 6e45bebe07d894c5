"""Chooses settled drops to read together as the next batch. Pure."""

from collections.abc import Mapping, Sequence

from retraind.daemon.inbox.settling import Stamp
from retraind.daemon.schema import labelled_row
from retraind.daemon.tabular import file_content


def choose(
    names: Sequence[str], settled: Mapping[str, Stamp], *, most_bytes: int, most_files: int | None
) -> dict[str, Stamp]:
    """The first drops of `names` that together have at most `most_bytes`; a large or compressed drop is chosen alone.

    `most_files`: maximum number of drops with more than one row, so that each can have an exam; None: no limit.
    """
    chosen: dict[str, Stamp] = {}
    size = files = 0
    for name in names:
        stamp = settled[name]
        size += stamp.size
        files += not name.endswith(labelled_row.SUFFIX)
        alone = stamp.size > file_content.SMALL_BYTES or file_content.is_packed(name)
        if chosen and (alone or size > most_bytes or files > (most_files or files)):
            break
        chosen[name] = stamp
        if alone:
            break
    return chosen
