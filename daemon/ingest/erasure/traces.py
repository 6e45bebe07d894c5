"""Traces: lists the places that still hold rows of a drop, for people. Nothing is changed, so any process may make it."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from retraind.daemon.core.home import Home
from retraind.daemon.core.journal import journal_server
from retraind.daemon.core.journal_rows import DropRow
from retraind.daemon.core.states import DropState
from retraind.daemon.dataset import segments
from retraind.daemon.dataset.dvc_cache import Cache
from retraind.daemon.history import erasing
from retraind.daemon.history.files import HistoryPlace
from retraind.daemon.ingest.erasure import trace_search
from retraind.daemon.objects.store import SHA256, ObjectStore, by_md5
from retraind.daemon.records import lineage, predictions
from retraind.daemon.storage import log_lines
from retraind.daemon.storage.journal import Journal


class Trace(NamedTuple):
    """One place: its path below the home, its content, and how to remove it."""

    where: str
    what: str
    goes: str


PURGE = "retraind forget --purge"


def find(home: Home, journal: Journal, drop: DropRow, store: ObjectStore | None = None) -> list[Trace]:
    """Every place that is known to hold rows of a drop, also in the object `store`; raises StoreUnavailable."""
    return [
        *_dataset(home, journal, drop),
        *(_objects(journal, drop, store) if store is not None else ()),
        *(
            Trace(_at(home, path), "rows in a segment set aside", PURGE)
            for path in trace_search.orphans(home, journal, drop)
        ),
        *_refused(home, journal, drop),
        *_held(home, journal, drop),
        *_predictions(home, journal, drop, store),
        *(
            Trace(_at(home, path), "a damaged history, which may hold any prediction", PURGE)
            for path in trace_search.lost_histories(home)
        ),
        *_models(home, drop),
        *(
            Trace(_at(home, path), "an earlier copy of the journal, which may quote cells", "by hand")
            for path in _old(home)
        ),
        Trace(_journal(home), "name, sha256 and counts, so that the same bytes are recognised", "stays"),
        Trace("backups, copies and swap space", "wherever they were copied to", "not known to this home"),
    ]


def _at(home: Home, path: Path) -> str:
    return str(path.relative_to(home.root))


def _journal(home: Home) -> str:
    server = journal_server.beside(home.journal)
    return _at(home, home.journal) if server is None else f"{server.url} (and its log, replicas and dumps)"


def _old(home: Home) -> list[Path]:
    """Copies of the journal that were made before migrations, or before a move to a server."""
    return sorted(path for end in ("format-*", "moved*") for path in home.registry.glob(f"{home.journal.name}.{end}"))


def _dataset(home: Home, journal: Journal, drop: DropRow) -> Iterator[Trace]:
    if drop["state"] == DropState.ACCEPTED:
        holding = segments.find(home.segments, trace_search.segments_of(journal, drop), drop["sha256"])
        if holding is not None:
            yield Trace(_at(home, home.segments / holding[0]), "the rows, as part of the dataset", "retraind forget")
    if drop["bad_file"]:
        yield Trace(_at(home, home.rejected / drop["bad_file"]), "rejected rows", "retraind forget")
    cache = Cache(home.data)
    for md5 in (one["md5"] for one in journal.segments.holders(drop)):
        if cache.path(md5).exists():
            yield Trace(_at(home, cache.path(md5)), "a segment of an earlier revision", PURGE)


def _objects(journal: Journal, drop: DropRow, store: ObjectStore) -> Iterator[Trace]:
    for segment in journal.segments.holders(drop):
        if store.has(name := by_md5(segment["md5"])):
            yield Trace(f"{name} in {store.place}", "a segment with the rows", PURGE)
    yield Trace(f"{SHA256} in {store.place}", "files of versions that were trained on them", "retention")


def _refused(home: Home, journal: Journal, drop: DropRow) -> Iterator[Trace]:
    for looked in trace_search.refused(home, journal, home.rejected, drop):
        if looked is None:
            continue
        path, split = looked
        note = f"{split.matched} of {split.lines} lines are rows of it" if split else "not read: too large or damaged"
        yield Trace(_at(home, path), note, PURGE if split else "by hand")


def _held(home: Home, journal: Journal, drop: DropRow) -> Iterator[Trace]:
    for looked in trace_search.held(home, journal, drop):
        if looked is not None:
            split = looked.split
            rows = (
                f"{split.matched} of {split.lines} lines are rows of it" if split else "not read: too large or damaged"
            )
            goes = PURGE if split else "by hand"
            yield Trace(_at(home, home.inbox / looked.name), f"a drop that waits for you: {rows}", goes)


def _predictions(home: Home, journal: Journal, drop: DropRow, store: ObjectStore | None) -> Iterator[Trace]:
    ids = journal.labels.predictions_of(drop)
    if not ids:
        return
    if predictions.any_of(home.history, ids):
        yield Trace(_at(home, home.history), f"{len(ids)} predictions that it labelled, with their features", PURGE)
    for path in log_lines.files_with(home, set(ids)):
        yield Trace(_at(home, path), "lines of such predictions", PURGE)
    place = HistoryPlace(home, store)
    for name in erasing.files_with(home, place, ids):
        is_stored = not place.local(name).exists()
        where = f"{name} in {store.place}" if store and is_stored else _at(home, place.local(name))
        yield Trace(where, "such predictions, in Parquet", PURGE)


def _models(home: Home, drop: DropRow) -> Iterator[Trace]:
    versions = lineage.versions_trained_on(home, drop, limit=10_000)["newest"]
    for version in (one["version"] for one in versions):
        if (folder := home.bundle(version)).exists():
            note = f"version {version}: probe, reference rows, and data inside the model"
            yield Trace(_at(home, folder), note, "retention, or by hand once it is not served")
        yield Trace(
            "registry/artifacts", f"MLflow's model and example rows of version {version}", "retention, or MLflow"
        )
