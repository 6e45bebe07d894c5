"""Copies of purged rows: a home that did not lead when rows were purged still has the segments that held them."""

from pathlib import Path

from retraind.daemon.core import durable, logs
from retraind.daemon.core.home import Home
from retraind.daemon.dataset.dvc_cache import Cache
from retraind.daemon.records import segments

log = logs.Logger()


def remove(home: Home) -> int:
    """Remove all copies of purged segments from a home, before its upkeep could put them into the store again.

    Returns their number. Raises sqlite3.Error if the journal can't be read, OSError.
    """
    held = segments.purged(home.journal)
    names = [row["name"] for row in segments.ever(home.journal) if row["md5"] in held]
    copies = [path for folder in (home.segments, home.orphans) for path in _existing(folder, names)]
    for path in copies:
        durable.remove(path)
    count = len(copies) + Cache(home.data).purge(held)
    if count:
        log.warning("purged_copies_removed", files=count)
    return count


def _existing(folder: Path, names: list[str]) -> list[Path]:
    return [folder / name for name in names if (folder / name).exists()]
