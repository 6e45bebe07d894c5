"""MLflow's files in the object store: models and pictures of runs, put after they were written to the home.

Nothing waits for them: bundles serve and judge. In the store they are for people, at the places that MLflow's database
names, so MLflow's pages and `mlflow.pyfunc.load_model` find them on any machine. Each run and model has a folder of its
own, and no file in it changes once it is complete.
"""

import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from retraind.daemon.core.databases.mlflow_server import FOLDER
from retraind.daemon.core.home import Home
from retraind.daemon.objects.store import ObjectStore

SETTLED_SECONDS = 2.0
"""A file that changed within this time may still be being written."""


class _File(NamedTuple):
    size: int
    changed_ns: int


class StoredArtifacts:
    """The files of one home; used by one thread."""

    def __init__(self, home: Home, store: ObjectStore) -> None:
        self._home, self._store = home, store
        self._put: dict[str, _File] = {}
        self._there: dict[str, int] | None = None
        """Sizes of the objects at the start, by name."""

    def put_new(self) -> int:
        """Put the files that are not in the store yet; returns their number. Raises StoreUnavailable, OSError."""
        if self._there is None:
            self._there = {entry.name: entry.size for entry in self._store.listing(f"{FOLDER}/")}
        count, present = 0, dict(self._files())
        self._put = {name: file for name, file in self._put.items() if name in present}
        for name, file in present.items():
            if self._put.get(name) == file:
                continue
            if name in self._put or self._there.get(name) != file.size:
                count += self._put_one(name)
            self._put[name] = file
        return count

    def _put_one(self, name: str) -> int:
        try:
            self._store.put(name, self._home.artifacts / name.removeprefix(f"{FOLDER}/"))
        except FileNotFoundError:  # of a version that is being cleared
            return 0
        return 1

    def _files(self) -> Iterator[tuple[str, _File]]:
        """The complete files by the names of their objects."""
        latest = time.time() - SETTLED_SECONDS
        for path in _below(self._home.artifacts):
            try:
                status = path.stat()
            except FileNotFoundError:
                continue
            if status.st_mtime < latest:
                yield f"{FOLDER}/{path.relative_to(self._home.artifacts)}", _File(status.st_size, status.st_mtime_ns)


def _below(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if path.is_file())


def clear(store: ObjectStore, folders: Iterable[str]) -> None:
    """Remove the files of these runs and models from the store; raises StoreUnavailable."""
    for folder in folders:
        store.delete([entry.name for entry in store.listing(f"{FOLDER}/{folder}/")])
