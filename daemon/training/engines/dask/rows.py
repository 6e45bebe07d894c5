"""The rows of a training on a worker: read there from segments, each verified by its hash, and prepared once."""

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from retraind.daemon.core import process_table
from retraind.daemon.core.errors import RetraindError
from retraind.daemon.objects import opening
from retraind.daemon.objects.store import ObjectStore, by_md5
from retraind.daemon.training.engines.dask.recipe import Recipe, Unfit, loads
from retraind.daemon.training.selection.cross_validation import Trial

FETCHES = 8
"""Number of segments that are fetched at once."""


class Prepared:
    """The rows of the newest training, for all tasks of it that run in this process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._content = b""
        self._trial: Trial | None = None

    def trial(self, content: bytes) -> Trial:
        """The trial of a recipe; raises Unfit if its rows can't be had here."""
        with self._lock:
            if self._trial is None or self._content != content:
                self._trial = None  # before the next is read, because there may be room for one only
                self._content, self._trial = content, _read(loads(content))
            return self._trial

    def forget(self) -> None:
        """Free the memory, because the training is over; not while rows are read. It does not wait."""
        if self._lock.acquire(blocking=False):
            self._content, self._trial = b"", None
            self._lock.release()
            process_table.trim_memory()


def _read(recipe: Recipe) -> Trial:
    try:
        data = replace(recipe.source, folder=_folder(recipe)).read()
        return Trial.of_data(data, recipe.settings)
    except (OSError, RetraindError, MemoryError, RuntimeError) as error:  # RuntimeError: a user without a home
        raise Unfit(f"it can't read the rows: {type(error).__name__}: {error}"[:500]) from None


def _folder(recipe: Recipe) -> Path:
    """A folder with all segments: the shared one, or a cache that is filled from the object store."""
    folder, names = recipe.source.folder, recipe.source.segments
    if all((folder / name).is_file() for name in names):
        return folder
    if recipe.store is None:
        raise Unfit(
            f"it has no {folder} with the segments. Mount the home's data/dataset there (train.shared_data names another "
            "path), or set storage.url."
        )
    store = opening.open_store(recipe.store)
    assert store is not None
    try:
        return _fetched(recipe, store)
    finally:
        store.close()


def _fetched(recipe: Recipe, store: ObjectStore) -> Path:
    """The cache of the home's segments, with those that it lacks fetched, and without those that are not needed any more."""
    names = recipe.source.segments
    cache = _cache() / recipe.home
    cache.mkdir(mode=0o700, parents=True, exist_ok=True)
    for path in cache.iterdir():
        if path.name not in names and not path.name.startswith("."):  # another worker may be writing a hidden one
            path.unlink(missing_ok=True)

    def fetch(name: str) -> None:
        store.get(by_md5(recipe.md5s[name]), cache / name, names[name], mode=0o444)

    with ThreadPoolExecutor(FETCHES, "segment-get") as pool:
        list(pool.map(fetch, [name for name in names if not (cache / name).exists()]))
    return cache


def _cache() -> Path:
    place = os.environ.get("XDG_CACHE_HOME")
    return (Path(place) if place else Path.home() / ".cache") / "retraind/segments"
