"""Traces: the places that still hold bytes of a drop's rows, and their removal.

`find` changes nothing, so any process may call it; `Eraser` belongs to the loop's thread. Traces are recognised by the rows in
DVC's cache, so its objects are removed last, and after a kill in between the rest is repeated.
"""

import os
from collections.abc import Callable, Generator, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import orjson
import structlog

from daemon.core import durable
from daemon.core.errors import DatasetDamaged
from daemon.core.home import Home
from daemon.core.inbox_names import BAD_ROWS, REPORT
from daemon.core.rows import DropRow
from daemon.core.shared_folder import inbox
from daemon.core.states import DropState
from daemon.dataset import segment_writer, segments
from daemon.dataset.dvc_cache import Cache
from daemon.inbox.rejected_folder import Rejected
from daemon.ingest.erasure import held_files
from daemon.ingest.erasure.held_files import Withheld
from daemon.ingest.erasure.row_matching import MOST_BYTES, Likeness, Split
from daemon.records import lineage, predictions
from daemon.schema import schema
from daemon.storage import log_lines
from daemon.storage.journal import Journal

log = structlog.get_logger()


class Trace(NamedTuple):
    """One place: its path below the home, what lies there, and how it goes."""

    where: str
    what: str
    goes: str


PURGE = "retraind forget --purge"


def find(home: Home, journal: Journal, drop: DropRow) -> list[Trace]:
    """Every place that is known to hold rows of a drop."""
    return [
        *_dataset(home, journal, drop),
        *(Trace(_at(home, path), "rows in a segment set aside", PURGE) for path in orphans(home, journal, drop)),
        *_refused(home, journal, drop),
        *_held(home, journal, drop),
        *_predictions(home, journal, drop),
        *(Trace(_at(home, path), "a damaged history, which may hold any prediction", PURGE) for path in _lost(home)),
        *_models(home, drop),
        *(
            Trace(_at(home, path), "a journal of an older format, which may quote cells", "by hand")
            for path in _old(home)
        ),
        Trace("registry/journal.db", "name, sha256 and counts, so that the same bytes are known again", "stays"),
        Trace("backups, copies and swap space", "whatever they were given", "can't be known from here"),
    ]


def _at(home: Home, path: Path) -> str:
    return str(path.relative_to(home.root))


def _lost(home: Home) -> list[Path]:
    """Histories that were damaged and set aside."""
    return sorted(home.logs.glob(f"{home.history.name}.damaged-*"))


def _old(home: Home) -> list[Path]:
    """Copies of the journal from before it was migrated."""
    return sorted(home.registry.glob(f"{home.journal.name}.format-*"))


def _dataset(home: Home, journal: Journal, drop: DropRow) -> Iterator[Trace]:
    if drop["state"] == DropState.ACCEPTED:
        assert drop["batch"] is not None
        batch = drop["batch"]
        live = {
            row["name"]: row["sha256"] for row in journal.segments.current() if row["first"] <= batch <= row["last"]
        }
        holding = segments.find(home.segments, live, drop["sha256"])
        if holding is not None:
            yield Trace(_at(home, home.segments / holding[0]), "the rows, as part of the dataset", "retraind forget")
    if drop["bad_file"]:
        yield Trace(_at(home, home.rejected / drop["bad_file"]), "rows that were refused", "retraind forget")
    cache = Cache(home.data)
    for md5 in (one["md5"] for one in journal.segments.holders(drop)):
        if cache.path(md5).exists():
            yield Trace(_at(home, cache.path(md5)), "a segment of an earlier revision", PURGE)


def _refused(home: Home, journal: Journal, drop: DropRow) -> Iterator[Trace]:
    for looked in refused(home, journal, home.rejected, drop):
        if looked is None:
            continue
        path, split = looked
        note = f"{split.matched} of {split.lines} lines are rows of it" if split else "not read: too large or damaged"
        yield Trace(_at(home, path), note, PURGE if split else "by hand")


def _held(home: Home, journal: Journal, drop: DropRow) -> Iterator[Trace]:
    for looked in held(home, journal, drop):
        if looked is not None:
            split = looked.split
            rows = (
                f"{split.matched} of {split.lines} lines are rows of it" if split else "not read: too large or damaged"
            )
            goes = PURGE if split else "by hand"
            yield Trace(_at(home, home.inbox / looked.name), f"a drop that waits for you: {rows}", goes)


def held(home: Home, journal: Journal, drop: DropRow) -> Iterator[Withheld | None]:
    """Files that wait for a person and hold rows of the drop; None after each piece of work."""
    waiting = journal.held.all()
    if waiting:
        yield from held_files.search(inbox(home), waiting, likeness_of(home, journal, drop), drop)


def _predictions(home: Home, journal: Journal, drop: DropRow) -> Iterator[Trace]:
    ids = journal.labels.predictions_of(drop)
    if not ids:
        return
    if predictions.any_of(home.history, ids):
        yield Trace(_at(home, home.history), f"{len(ids)} predictions that it labelled, with their features", PURGE)
    for path in log_lines.naming(home, set(ids)):
        yield Trace(_at(home, path), "lines of such predictions", PURGE)


def _models(home: Home, drop: DropRow) -> Iterator[Trace]:
    versions = lineage.taught(home, drop, limit=10_000)["newest"]
    for version in (one["version"] for one in versions):
        if (folder := home.bundle(version)).exists():
            note = f"version {version}: probe, reference rows, and what the model itself keeps"
            yield Trace(_at(home, folder), note, "retention, or by hand once it does not serve")
        yield Trace(
            "registry/artifacts", f"MLflow's model and example rows of version {version}", "retention, or MLflow"
        )


def rows_of(home: Home, journal: Journal, drop: DropRow) -> list[dict[str, Any]]:
    """The rows, from the dataset or from what earlier revisions left; none when they are gone from both."""
    if drop["state"] == DropState.ACCEPTED:
        assert drop["batch"] is not None
        batch = drop["batch"]
        live = {
            row["name"]: row["sha256"] for row in journal.segments.current() if row["first"] <= batch <= row["last"]
        }
        holding = segments.find(home.segments, live, drop["sha256"])
        return _of(holding[1], drop) if holding else []
    cache = Cache(home.data)
    for md5 in (one["md5"] for one in journal.segments.holders(drop)):
        if cache.has(md5):
            return _of(segments.load(cache.path(md5)), drop)
    return []


def likeness_of(home: Home, journal: Journal, drop: DropRow) -> Likeness | None:
    """The comparison of lines with the rows of the drop; None when its rows are gone."""
    schema_now, rows = schema.load(home.schema), rows_of(home, journal, drop)
    return Likeness(schema_now, rows) if schema_now and rows else None


def _of(table: Any, drop: DropRow) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = segments.of_drop(table, drop["sha256"]).to_pylist()
    return rows


def orphans(home: Home, journal: Journal, drop: DropRow) -> list[Path]:
    """Segments that were set aside and hold rows of the drop; one that can't be read, if its name is that of one that held them."""
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
    """Files in `folder` (rejected/) that hold rows of the drop: its very bytes, or lines that are like its rows.

    Of a file that is too large or damaged only the path is known. None after each piece of work.
    """
    likeness = likeness_of(home, journal, drop)
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
        elif likeness:
            split = None
            for split in likeness.split(data, before=later.isdisjoint({path.name, sha256})):
                if split is None:
                    yield None
            if split is None or split.matched:
                yield path, split
        yield None


class Eraser:
    """Removes traces, but for DVC's objects and what versions keep; `erase` takes predictions out of the history, by id."""

    def __init__(self, home: Home, journal: Journal, erase: Callable[[Sequence[str]], int]) -> None:
        self._home, self._journal, self._erase = home, journal, erase

    def run(self, drop: DropRow) -> Generator[None, None, list[str]]:
        """Remove them, piece by piece; what was found, for people. Doing it again removes what is left."""
        lines = yield from self._refused(drop)
        waiting = yield from self._held(drop)
        done = [lines, waiting, self._orphans(drop), self._predictions(drop)]
        self._journal.labels.forget_predictions(drop)
        return [sentence for sentence in done if sentence]

    def _refused(self, drop: DropRow) -> Generator[None, None, str]:
        count = 0
        place = Rejected.of(inbox(self._home))
        for looked in refused(self._home, self._journal, place.path, drop):
            if looked is None:
                yield
                continue
            path, split = looked
            if split is None:
                log.warning("refused_file_not_read", name=path.name, hint="Look into it by hand.")
                continue
            self._take_out(path, split)
            count += split.matched
        return f"{count} lines are gone from refused files" if count else ""

    def _held(self, drop: DropRow) -> Generator[None, None, str]:
        count, place = 0, inbox(self._home)
        for looked in held(self._home, self._journal, drop):
            if looked is None:
                yield
            elif looked.split is None:
                log.warning("held_file_not_read", name=looked.name, hint="Look into it by hand.")
            else:  # what the journal quotes goes first: after a kill in between the file is read and held again
                self._journal.held.forget(looked.row["sha256"])
                held_files.take_out(place, looked)
                count += looked.split.matched
        return f"{count} lines are gone from files that waited" if count else ""

    def _take_out(self, path: Path, split: Split) -> None:
        """Leave of a refused file only what holds no row of the drop."""
        report = path.with_name(path.name + REPORT)
        self._journal.erasures.blank_refused(durable.sha256_file(path))
        # The report may quote cells, and its file is another now.
        durable.remove(report)
        if split.matched == split.lines:
            durable.remove(path)
            return
        before = path.stat()
        durable.write(path, split.rest, mode=before.st_mode & 0o777)
        os.chown(path, -1, before.st_gid)
        if not path.name.endswith(BAD_ROWS):
            durable.write(report, orjson.dumps({"name": path.name, "reason": "Some of its rows were forgotten."}))

    def _orphans(self, drop: DropRow) -> str:
        holding = orphans(self._home, self._journal, drop)
        for path in holding:
            self._rewrite(path, drop)
            durable.remove(path)
        return f"{len(holding)} segments in data/orphans are without them" if holding else ""

    def _rewrite(self, path: Path, drop: DropRow) -> None:
        """Keep the rows of other drops in a segment that was set aside, unless it can't be read."""
        try:
            table = segments.load(path)
        except DatasetDamaged:
            return
        if set(segments.drops(table)) - {drop["sha256"]}:
            with segment_writer.write(self._home.orphans, [segments.without(table, drop["sha256"], {})]).entry(_never):
                pass

    def _predictions(self, drop: DropRow) -> str:
        ids = self._journal.labels.predictions_of(drop)
        if not ids:
            return ""
        logged = frozenset(ids)
        for path in log_lines.naming(self._home, logged):
            log_lines.blank(path, logged)
        erased = self._erase(ids)
        # What the history was before it was damaged can't be read, so nothing can be taken out of it.
        for path in _lost(self._home):
            durable.remove(path)
        return f"{erased} predictions are gone from the history"


def _never(_name: str) -> bool:
    return False
