"""The search for traces: files of the home that contain rows of a drop, recognised by its sha256 or by its rows."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from retraind.daemon.core import durable
from retraind.daemon.core.errors import DatasetDamaged
from retraind.daemon.core.home import Home
from retraind.daemon.core.inbox_names import REPORT
from retraind.daemon.core.journal_rows import DropRow
from retraind.daemon.core.shared_folder import inbox
from retraind.daemon.core.states import DropState
from retraind.daemon.dataset import segments
from retraind.daemon.dataset.dvc_cache import Cache
from retraind.daemon.ingest.erasure import held_files
from retraind.daemon.ingest.erasure.held_files import HeldFile
from retraind.daemon.ingest.erasure.row_matching import MOST_BYTES, RowMatcher, Split
from retraind.daemon.schema import schema
from retraind.daemon.storage.journal import Journal


def held(home: Home, journal: Journal, drop: DropRow) -> Iterator[HeldFile | None]:
    """Held files that contain rows of the drop; yields None after each piece of work."""
    waiting = journal.held.all()
    if waiting:
        yield from held_files.search(inbox(home), waiting, matcher_of(home, journal, drop), drop)


def segments_of(journal: Journal, drop: DropRow) -> dict[str, str]:
    """The segments of the dataset that may hold an accepted drop, by its batch: name to sha256."""
    assert drop["batch"] is not None
    batch = drop["batch"]
    return {row["name"]: row["sha256"] for row in journal.segments.current() if row["first"] <= batch <= row["last"]}


def rows_of(home: Home, journal: Journal, drop: DropRow) -> list[dict[str, Any]]:
    """The rows, from the dataset or from earlier revisions; empty when both have lost them."""
    if drop["state"] == DropState.ACCEPTED:
        holding = segments.find(home.segments, segments_of(journal, drop), drop["sha256"])
        return _of(holding[1], drop) if holding else []
    cache = Cache(home.data)
    for md5 in (one["md5"] for one in journal.segments.holders(drop)):
        if cache.has(md5):
            return _of(segments.load(cache.path(md5)), drop)
    return []


def matcher_of(home: Home, journal: Journal, drop: DropRow) -> RowMatcher | None:
    """The matcher for the rows of the drop; None when its rows are gone."""
    schema_now, rows = schema.load(home.schema), rows_of(home, journal, drop)
    return RowMatcher(schema_now, rows) if schema_now and rows else None


def _of(table: Any, drop: DropRow) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = segments.of_drop(table, drop["sha256"]).to_pylist()
    return rows


def orphans(home: Home, journal: Journal, drop: DropRow) -> list[Path]:
    """Segments that were set aside and hold rows of the drop.

    Unreadable ones count if a segment of that name held such rows.
    """
    held = {one["name"] for one in journal.segments.holders(drop)} if drop["state"] == DropState.FORGOTTEN else set()
    holding = []
    for path in sorted(home.orphans.glob("*")) if home.orphans.is_dir() else []:
        try:
            is_trace = drop["sha256"] in segments.drops(segments.load(path))
        except DatasetDamaged:
            is_trace = any(path.name.startswith(name) for name in held)
        if is_trace:
            holding.append(path)
    return holding


def refused(home: Home, journal: Journal, folder: Path, drop: DropRow) -> Iterator[tuple[Path, Split | None] | None]:
    """Files in `folder` (rejected/) that hold rows of the drop: its exact bytes, or lines that match its rows.

    For a file that is too large or damaged only the path is known. Yields None after each piece of work.
    """
    matcher = matcher_of(home, journal, drop)
    later = journal.erasures.refused_after(drop)
    for path in sorted(folder.iterdir()):
        if path.is_symlink() or not path.is_file() or path.name.endswith(REPORT) or path.name.startswith("."):
            continue
        if path.stat().st_size > MOST_BYTES:
            yield path, None
            continue
        data = path.read_bytes()
        sha256 = durable.sha256(data)
        if sha256 == drop["sha256"]:
            yield path, Split(b"", data.count(b"\n"), data.count(b"\n"))
        elif matcher:
            split = None
            for split in matcher.split(data, before=later.isdisjoint({path.name, sha256})):
                if split is None:
                    yield None
            if split is None or split.matched:
                yield path, split
        yield None


def lost_histories(home: Home) -> list[Path]:
    """Damaged histories that were set aside."""
    return sorted(home.logs.glob(f"{home.history.name}.damaged-*"))
